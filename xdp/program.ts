/**
 * The BPF program that the kernel runs for each frame: it passes some frames on to the kernel's network
 * stack, and redirects the others to the AF_XDP socket of the queue on which they arrived. Here it is
 * assembled, instruction by instruction; `bpf.ts` loads it.
 *
 * @module
 */

import type { XdpOptions } from "../src/device.ts";
import { UsageError } from "../src/errors.ts";

/** Registers: R0 is the result; R1 to R5 are arguments, which a call destroys; R6 to R9 are kept. */
const R0 = 0, R1 = 1, R2 = 2, R3 = 3, R4 = 4, R5 = 5, R6 = 6;
/** The result of a program that passes the frame on to the kernel's stack. */
const XDP_PASS = 2;
/** The number of the helper function `bpf_redirect_map`. */
const REDIRECT_MAP = 51;
/** Offsets in struct xdp_md, in bytes. */
const DATA = 0, DATA_END = 4, RX_QUEUE_INDEX = 16;
/** Bytes of an instruction. */
const INSTRUCTION = 8;

/** EtherTypes and protocol numbers. */
const ARP = 0x0806, IPV4 = 0x0800, IPV6 = 0x86dd;
const ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58;

/** Offsets in a frame without a VLAN tag, in bytes. */
const ETHER_TYPE = 12, IP = 14;
const V4_VERSION_IHL = IP, V4_FRAGMENT = IP + 6, V4_PROTOCOL = IP + 9, V4_BYTES = 20;
const V6_NEXT_HEADER = IP + 6, V6_BYTES = 40;

/** Assembles instructions. Jumps lead forward, to labels. */
class Assembler {
  readonly #code: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { readonly at: number; readonly label: string }[] = [];

  /** Appends an instruction: opcode, registers, 16-bit offset, 32-bit constant. */
  #emit(opcode: number, to: number, from: number, offset: number, constant: number): this {
    const bytes = new DataView(new ArrayBuffer(INSTRUCTION));
    bytes.setUint8(0, opcode);
    bytes.setUint8(1, from << 4 | to);
    bytes.setInt16(2, offset, true);
    bytes.setInt32(4, constant, true);
    this.#code.push(...new Uint8Array(bytes.buffer));
    return this;
  }

  /** to = constant */
  set(to: number, constant: number): this {
    return this.#emit(0xb7, to, 0, 0, constant);
  }

  /** to = from */
  copy(to: number, from: number): this {
    return this.#emit(0xbf, to, from, 0, 0);
  }

  /** to += constant */
  add(to: number, constant: number): this {
    return this.#emit(0x07, to, 0, 0, constant);
  }

  /** to += from */
  addRegister(to: number, from: number): this {
    return this.#emit(0x0f, to, from, 0, 0);
  }

  /** to &= constant */
  and(to: number, constant: number): this {
    return this.#emit(0x57, to, 0, 0, constant);
  }

  /** to <<= constant */
  shiftLeft(to: number, constant: number): this {
    return this.#emit(0x67, to, 0, 0, constant);
  }

  /** to = memory[from + offset], of 1, 2 or 4 bytes */
  load(bytes: 1 | 2 | 4, to: number, from: number, offset: number): this {
    return this.#emit({ 1: 0x71, 2: 0x69, 4: 0x61 }[bytes], to, from, offset, 0);
  }

  /** to = the map with this descriptor; takes two instructions */
  map(to: number, fd: number): this {
    const BPF_PSEUDO_MAP_FD = 1;
    return this.#emit(0x18, to, BPF_PSEUDO_MAP_FD, 0, fd).#emit(0, 0, 0, 0, 0);
  }

  /** Calls a helper function. */
  call(helper: number): this {
    return this.#emit(0x85, 0, 0, 0, helper);
  }

  /** Ends the program with the result in R0. */
  exit(): this {
    return this.#emit(0x95, 0, 0, 0, 0);
  }

  #jump(opcode: number, register: number, other: number, constant: number, label: string): this {
    this.#jumps.push({ at: this.#code.length, label });
    return this.#emit(opcode, register, other, 0, constant);
  }

  /** Jumps. */
  jump(label: string): this {
    return this.#jump(0x05, 0, 0, 0, label);
  }

  /** Jumps if register = constant. */
  jumpIfEqual(register: number, constant: number, label: string): this {
    return this.#jump(0x15, register, 0, constant, label);
  }

  /** Jumps if register ≠ constant. */
  jumpIfNot(register: number, constant: number, label: string): this {
    return this.#jump(0x55, register, 0, constant, label);
  }

  /** Jumps if register > other. */
  jumpIfAbove(register: number, other: number, label: string): this {
    return this.#jump(0x2d, register, other, 0, label);
  }

  /** Jumps lead here. */
  label(name: string): this {
    this.#labels.set(name, this.#code.length);
    return this;
  }

  /** Returns the program's bytes. */
  finish(): Uint8Array<ArrayBuffer> {
    const code = Uint8Array.from(this.#code), view = new DataView(code.buffer);
    for (const { at, label } of this.#jumps) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`the program has no label "${label}"`);
      view.setInt16(at + 2, (target - at) / INSTRUCTION - 1, true);
    }
    return code;
  }
}

/** A 16-bit number as the program loads it from a frame: the bytes are in the order of the network. */
function network16(number: number): number {
  return (number & 0xff) << 8 | number >> 8;
}

/** Kinds of traffic that a program selects, and where it directs them. All other frames go the other way. */
export interface Selection {
  /** `pass`: to the kernel's network stack; `redirect`: to the socket. */
  readonly action: Action;
  /** Whether ARP is selected. */
  readonly arp: boolean;
  /** Protocols above IPv4 and IPv6 that are selected whole. */
  readonly protocols: readonly number[];
  /** Ports of protocols; either the source or the destination has the port. */
  readonly ports: readonly { readonly protocol: number; readonly port: number }[];
}

/** What a program does with a frame, which is also a label in it. */
type Action = "pass" | "redirect";

/** The most ports: jumps over all of them have to fit 16 bits. */
const MOST_PORTS = 1024;
/** What the options `pass` and `take` list, for messages. */
const KINDS = "arp, icmp, tcp, udp, tcp:PORT or udp:PORT";

/**
 * Reads the options `pass` and `take`: `arp`, `icmp` (ICMP and ICMPv6), `tcp`, `udp`, `tcp:22`, `udp:53`.
 *
 * @param address The device's address, for messages.
 * @throws {UsageError} if both are set, `take` is empty, a word has another form, or there are more than 1024
 * ports.
 */
export function parseSelection(
  address: string,
  { pass, take }: Pick<XdpOptions, "pass" | "take">,
): Selection {
  const option = take === undefined ? "xdp.pass" : "xdp.take";
  const refuse = (what: string) =>
    new UsageError(`${address}: \`${option}\` lists ${what}`, { option });
  if (pass !== undefined && take !== undefined) {
    const problem = "`xdp.pass` lists what the kernel keeps, and `xdp.take` what it does not keep";
    throw new UsageError(`${address}: ${problem}: set only one of them`, { option });
  }
  if (take?.length === 0) throw refuse(`at least one of ${KINDS}`);
  let arp = false;
  const protocols = new Set<number>(), ports: { protocol: number; port: number }[] = [];
  for (const word of take ?? pass ?? []) {
    const [, name, digits] = /^(tcp|udp)(?::(\d{1,5}))?$/.exec(word) ?? [];
    const port = digits === undefined ? undefined : Number(digits);
    if (word === "arp") arp = true;
    else if (word === "icmp") protocols.add(ICMP).add(ICMPV6);
    else if (name !== undefined && port === undefined) protocols.add(name === "tcp" ? TCP : UDP);
    else if (name !== undefined && port !== undefined && port >= 1 && port <= 0xffff) {
      ports.push({ protocol: name === "tcp" ? TCP : UDP, port });
    } else throw refuse(`${KINDS}, not "${word}"`);
  }
  if (ports.length > MOST_PORTS) throw refuse(`up to ${MOST_PORTS} ports, not ${ports.length}`);
  return { action: take ? "redirect" : "pass", arp, protocols: [...protocols], ports };
}

/**
 * Assembles the program.
 *
 * It does not look into VLAN tags, extension headers of IPv6, or fragments of IPv4 after the first: such
 * frames are not selected.
 *
 * @param map Descriptor of the map from queues to sockets.
 */
export function redirectProgram(map: number, selection: Selection): Uint8Array<ArrayBuffer> {
  const code = new Assembler().copy(R6, R1), { action, arp, protocols, ports } = selection;
  const passes = action === "redirect" || arp || protocols.length > 0 || ports.length > 0;
  if (passes) select(code, selection);
  code.label("redirect")
    .load(4, R2, R6, RX_QUEUE_INDEX)
    .map(R1, map)
    .set(R3, XDP_PASS) // the result if the queue has no socket
    .call(REDIRECT_MAP)
    .exit();
  // The kernel refuses instructions that no jump reaches.
  if (passes) code.label("pass").set(R0, XDP_PASS).exit();
  return code.finish();
}

/** Appends the choice between two labels, "pass" and "redirect". R2 is the frame, R3 its end. */
function select(code: Assembler, { action, arp, protocols, ports }: Selection): void {
  const otherwise: Action = action === "pass" ? "redirect" : "pass";
  const holds = (bytes: number) => code.copy(R4, R2).add(R4, bytes).jumpIfAbove(R4, R3, otherwise);
  const byProtocol = () => {
    for (const protocol of protocols) code.jumpIfEqual(R5, protocol, action);
  };
  code.load(4, R2, R6, DATA).load(4, R3, R6, DATA_END);
  holds(IP);
  code.load(2, R5, R2, ETHER_TYPE);
  if (arp) code.jumpIfEqual(R5, network16(ARP), action);
  code.jumpIfEqual(R5, network16(IPV6), "IPv6").jumpIfNot(R5, network16(IPV4), otherwise);

  holds(IP + V4_BYTES);
  code.load(1, R5, R2, V4_PROTOCOL);
  byProtocol();
  code.load(2, R0, R2, V4_FRAGMENT).and(R0, network16(0x1fff)).jumpIfNot(R0, 0, otherwise);
  code.load(1, R4, R2, V4_VERSION_IHL).and(R4, 15).shiftLeft(R4, 2).addRegister(R2, R4);
  code.jump("ports");

  code.label("IPv6");
  holds(IP + V6_BYTES);
  code.load(1, R5, R2, V6_NEXT_HEADER);
  byProtocol();
  code.add(R2, V6_BYTES);

  code.label("ports"); // R2 + IP is the header of TCP or UDP, R5 its protocol
  holds(IP + 4);
  code.load(2, R0, R2, IP).load(2, R1, R2, IP + 2);
  for (const { protocol, port } of ports) {
    const next = `after ${protocol}:${port}`;
    code.jumpIfNot(R5, protocol, next)
      .jumpIfEqual(R0, network16(port), action)
      .jumpIfEqual(R1, network16(port), action)
      .label(next);
  }
  if (action === "redirect") code.jump("pass"); // otherwise "redirect" follows
}
