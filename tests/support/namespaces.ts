/**
 * Network namespaces, each with one interface: two network stacks of Linux that reach each other
 * only through what is under test. As root only; not a test itself.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { Program, run, type TemporaryDirectory, tool } from "./processes.ts";

/** The TCP port of {@linkcode transfer}. */
export const PORT = 5001;
/** Deadline for a transfer, in milliseconds. */
const TRANSFER_MS = 60000;

/** Accepts one connection: prints the number of bytes received and their hash. */
const SERVER = `
import { createHash } from "node:crypto";
using listener = Deno.listen({ hostname: Deno.args[0], port: ${PORT} });
console.log("listening");
const connection = await listener.accept();
const hash = createHash("sha256");
let bytes = 0;
for await (const piece of connection.readable) {
  hash.update(piece);
  bytes += piece.length;
}
console.log(bytes, hash.digest("hex"));
`;

/** Sends random bytes over one connection: prints their number and their hash. */
const CLIENT = `
import { createHash } from "node:crypto";
using connection = await Deno.connect({ hostname: Deno.args[0], port: ${PORT} });
const hash = createHash("sha256"), total = Number(Deno.args[1]);
const piece = new Uint8Array(50_000);
for (let bytes = 0; bytes < total; bytes += piece.length) {
  crypto.getRandomValues(piece);
  hash.update(piece);
  for (let sent = 0; sent < piece.length;) sent += await connection.write(piece.subarray(sent));
}
connection.closeWrite();
while (await connection.read(new Uint8Array(1)) !== null);
console.log(total, hash.digest("hex"));
`;

/** A network namespace with one interface in it. */
export class Namespace implements AsyncDisposable {
  private constructor(
    readonly name: string,
    readonly device: string,
    readonly address: string,
  ) {}

  /** Creates one and moves an interface of this machine into it. */
  static async make(name: string, device: string, address: string): Promise<Namespace> {
    await tool("ip", "netns", "add", name);
    const namespace = new Namespace(name, device, address);
    try {
      await tool("ip", "link", "set", device, "netns", name);
      await tool("ip", "-n", name, "address", "add", `${address}/24`, "dev", device);
      await tool("ip", "-n", name, "link", "set", device, "up");
    } catch (error) {
      await namespace[Symbol.asyncDispose]();
      throw error;
    }
    return namespace;
  }

  /** Returns the command line that runs a program in it. */
  command(...command: string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await tool("ip", "netns", "delete", this.name);
  }
}

/** Pings some times; asserts that every request is answered. */
export async function ping(from: Namespace, to: Namespace, bytes = 56): Promise<void> {
  for (let i = 0; i < 5; i++) {
    // One request a run: after a first reply, ping waits for the other replies only two round
    // trips.
    const options = ["-n", "-c", "1", "-W", "10", "-s", String(bytes)];
    const { code, stdout, stderr } = await run(from.command("ping", ...options, to.address));
    assertMatch(stdout, /^1 packets transmitted, 1 received, 0% packet loss/m, stderr);
    assertEquals(code, 0);
  }
}

/** Sends random bytes over TCP, a multiple of 50,000; asserts that all arrive unchanged. */
export async function transfer(
  directory: TemporaryDirectory,
  from: Namespace,
  to: Namespace,
  bytes: number,
): Promise<void> {
  const [server, client] = [directory.file("server.ts"), directory.file("client.ts")];
  await Deno.writeTextFile(server, SERVER);
  await Deno.writeTextFile(client, CLIENT);
  const deno = [Deno.execPath(), "run", "--quiet", "--no-config", "--allow-net"];
  await using listener = Program.start(to.command(...deno, server, to.address));
  await listener.line((line) => line === "listening");
  const command = from.command(...deno, client, to.address, String(bytes));
  const sent = await run(command, { milliseconds: TRANSFER_MS });
  assertEquals(sent.stderr, "");
  const taken = await listener.finish();
  assertMatch(sent.stdout, new RegExp(`^${bytes} [0-9a-f]{64}\n$`));
  assertEquals(taken.stdout, `listening\n${sent.stdout}`);
}
