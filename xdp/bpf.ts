/**
 * The calls of bpf(2) that AF_XDP needs (linux/bpf.h): the map from queues to sockets, the program, and
 * the link that attaches the program to an interface. All three are file descriptors: the kernel removes
 * them when the process ends, however it ends.
 *
 * @module
 */

import { stubs } from "../native/stubs.ts";

/** Commands of bpf(2). */
const Command = {
  MAP_CREATE: 0,
  MAP_UPDATE_ELEM: 2,
  PROG_LOAD: 5,
  PROG_GET_FD_BY_ID: 13,
  OBJ_GET_INFO_BY_FD: 15,
  LINK_CREATE: 28,
} as const;
/** A map from 32-bit numbers to AF_XDP sockets. */
const MAP_TYPE_XSKMAP = 17;
/** A program for XDP, and how it is attached. */
const PROG_TYPE_XDP = 6, ATTACH_XDP = 37;
/** Flag of a program: it can run on frames in several pieces (BPF_F_XDP_HAS_FRAGS). */
const XDP_HAS_FRAGS = 0x20;
/** Flags of a link: the generic mode of the kernel, or the mode of the interface's driver. */
export const AttachFlag = { GENERIC: 2, DRIVER: 4 } as const;
/** Bytes of an instruction, and of the kernel's explanation why it refuses a program. */
const INSTRUCTION = 8, LOG_BYTES = 65536;
/** Offset and bytes of the name in struct bpf_prog_info. */
const INFO_BYTES = 128, INFO_NAME = 64, NAME_BYTES = 16;
/** The name of the program and the map, which `bpftool prog` shows. */
export const PROGRAM_NAME = "ixy_xdp";

/**
 * Attributes of a command, and behind them, in the same memory, what they point to: memory that only a
 * number points to could be freed during the call.
 */
class Attributes {
  readonly #bytes: number;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #used: number;

  /** @param more Bytes behind the attributes. */
  constructor(bytes: number, more = 0) {
    this.#bytes = this.#used = bytes;
    this.#memory = new Uint8Array(new ArrayBuffer(bytes + more));
    this.#view = new DataView(this.#memory.buffer);
  }

  /** Sets a 32-bit attribute. */
  u32(at: number, value: number): this {
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** Sets a name. */
  name(at: number): this {
    this.#memory.set(new TextEncoder().encode(PROGRAM_NAME), at);
    return this;
  }

  /** Makes an attribute point to a copy of these bytes. */
  point(at: number, bytes: Uint8Array): this {
    this.#used = Math.ceil(this.#used / 8) * 8;
    this.#memory.set(bytes, this.#used);
    const start = Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.#memory));
    this.#view.setBigUint64(at, start + BigInt(this.#used), true);
    this.#used += bytes.length;
    return this;
  }

  /** The last bytes, to which the attribute at `point` leads: the kernel writes there. */
  last(bytes: number): Uint8Array {
    return this.#memory.subarray(this.#used - bytes, this.#used);
  }

  /** Makes the call; returns its result: a descriptor, 0, or a negative error number. */
  call(command: number): number {
    return stubs.ixy_bpf(command, this.#memory, this.#bytes);
  }
}

/** Creates a map from queue numbers below `entries` to sockets: its descriptor or a negative errno. */
export function createMap(entries: number): number {
  return new Attributes(64)
    .u32(0, MAP_TYPE_XSKMAP).u32(4, 4).u32(8, 4).u32(12, entries).name(28)
    .call(Command.MAP_CREATE);
}

/** Puts a queue's socket into the map: 0 or a negative errno. */
export function updateMap(map: number, queue: number, socket: number): number {
  const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
  return new Attributes(32, 16)
    .u32(0, map).point(8, word(queue)).point(16, word(socket))
    .call(Command.MAP_UPDATE_ELEM);
}

/**
 * Loads a program: its descriptor, or a negative errno and the kernel's explanation. Asks for that only
 * about a program that was refused: otherwise, a long explanation would itself be a reason to refuse.
 *
 * @param pieces Whether frames may be in several pieces: kernels before 6.3 do not know that.
 */
export function loadProgram(
  code: Uint8Array,
  pieces: boolean,
): { readonly result: number; readonly log: string } {
  const license = new TextEncoder().encode("MIT\0");
  const attributes = (more: number) =>
    new Attributes(128, code.length + license.length + more + 32)
      .u32(0, PROG_TYPE_XDP).u32(4, code.length / INSTRUCTION)
      .point(8, code).point(16, license)
      .u32(44, pieces ? XDP_HAS_FRAGS : 0).name(48).u32(68, ATTACH_XDP);
  const result = attributes(0).call(Command.PROG_LOAD);
  if (result >= 0) return { result, log: "" };
  const explained = attributes(LOG_BYTES).u32(24, 1).u32(28, LOG_BYTES)
    .point(32, new Uint8Array(LOG_BYTES));
  const again = explained.call(Command.PROG_LOAD);
  if (again >= 0) return { result: again, log: "" };
  const text = new TextDecoder().decode(explained.last(LOG_BYTES)).replace(/\0.*$/s, "").trim();
  return { result, log: text };
}

/** Attaches a program to an interface: the descriptor of the link, or a negative errno. */
export function createLink(program: number, index: number, flags: number): number {
  return new Attributes(64)
    .u32(0, program).u32(4, index).u32(8, ATTACH_XDP).u32(12, flags)
    .call(Command.LINK_CREATE);
}

/** Returns the name of a loaded program; undefined if this process may not ask. */
export function programName(id: number): string | undefined {
  const fd = new Attributes(64).u32(0, id).call(Command.PROG_GET_FD_BY_ID);
  if (fd < 0) return undefined;
  const attributes = new Attributes(16, INFO_BYTES)
    .u32(0, fd).u32(4, INFO_BYTES).point(8, new Uint8Array(INFO_BYTES));
  const result = attributes.call(Command.OBJ_GET_INFO_BY_FD);
  stubs.ixy_close(fd);
  if (result < 0) return undefined;
  const name = attributes.last(INFO_BYTES).subarray(INFO_NAME, INFO_NAME + NAME_BYTES);
  return new TextDecoder().decode(name).replace(/\0.*$/s, "");
}
