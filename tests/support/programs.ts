/**
 * What the tests of programs share: starting and ending a program that has a device, and the far
 * end of a cable. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { path, stubs } from "../../native/stubs.ts";
import { ffiOnly, Program, until } from "./processes.ts";

const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

/** A device in a program's last line. The program's own counts follow these. */
export interface Port {
  readonly address: string;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly missed: number;
  readonly errors: number;
  readonly [name: string]: number | string;
}

/** A program's last line. */
export interface Totals {
  readonly total: boolean;
  readonly seconds: number;
  readonly ports: readonly Port[];
}

/** Returns the last line of a program's JSON. */
export function totals(stdout: string): Totals {
  const line: Totals = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals(line.total, true);
  return line;
}

/** Starts a program with JSON, `--allow-ffi` and flags, and waits until its device is open. */
export function startProgram(
  name: string,
  args: readonly string[],
  flags: readonly string[] = [],
): Promise<Program> {
  return Program.start(ffiOnly(name, ["--json", ...args], flags)).ready();
}

/** Waits until a program with JSON ends, asserts that it succeeds, and returns its totals. */
export async function totalsOf(program: Program, code = 0): Promise<Totals> {
  const result = await program.finish();
  assertEquals(result.stderr, "");
  assertEquals(result.code, code, result.stdout);
  return totals(result.stdout);
}

/** Ends a program with JSON by a signal, asserts that it succeeds, and returns its totals. */
export function stopProgram(program: Program, signal: Deno.Signal = "SIGTERM"): Promise<Totals> {
  program.kill(signal);
  return totalsOf(program);
}

/** Starts the forwarder between two devices and waits until it forwards. */
export function startForwarder(
  addresses: readonly string[],
  options: readonly string[] = [],
  flags: readonly string[] = [],
): Promise<Program> {
  return startProgram("fwd.ts", [...options, ...addresses], flags);
}

/** Returns the packets that a forwarder with JSON has dropped, by its last line: one a second. */
export function droppedBy({ stdout }: { readonly stdout: string }): number {
  const line = stdout.slice(0, stdout.lastIndexOf("\n")).split("\n").at(-1)!;
  const { ports = [] }: Partial<Totals> = JSON.parse(line);
  return ports.reduce((sum, { dropped }) => sum + Number(dropped), 0);
}

/** A datagram socket that the test controls: a datagram is a frame. */
export class Cable implements Disposable {
  readonly #fd: number;
  readonly #remote: Uint8Array<ArrayBuffer>;

  /** @param local Path to receive at. @param remote Path to send to. */
  constructor(local: string, remote: string) {
    this.#fd = stubs.ixy_bind(path(local), SOCK_DGRAM);
    this.#remote = path(remote);
    assert(this.#fd >= 0);
  }

  /** Sends a frame. The socket holds ten unread frames. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    const n = stubs.ixy_sendto(this.#fd, frame, frame.length, this.#remote, MSG_DONTWAIT);
    assertEquals(n, frame.length);
  }

  /** Returns the next frame; undefined if none has arrived. */
  receive(): Uint8Array<ArrayBuffer> | undefined {
    const frame = new Uint8Array(16384);
    const n = stubs.ixy_recv(this.#fd, frame, frame.length, new Int32Array(17), MSG_DONTWAIT);
    return n < 0 ? undefined : frame.slice(0, n);
  }

  /** Waits for the next frames. */
  async take(frames: number): Promise<Uint8Array<ArrayBuffer>[]> {
    const taken: Uint8Array<ArrayBuffer>[] = [];
    await until(`frame ${taken.length} of ${frames}`, () => {
      for (let frame; (frame = this.receive()) !== undefined;) taken.push(frame);
      return taken.length >= frames;
    });
    return taken;
  }

  [Symbol.dispose](): void {
    stubs.ixy_close(this.#fd);
  }
}

/** Returns a frame of random bytes. */
export function randomFrame(bytes: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(bytes));
}
