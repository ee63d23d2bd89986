/** The BPF program of an interface: its instructions, and what the kernel says that it does to frames. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../../mod.ts";
import { checkErrno, Errno, stubs } from "../../native/stubs.ts";
import { createMap, loadProgram, updateMap } from "../../xdp/bpf.ts";
import { parseSelection, redirectProgram, type Selection } from "../../xdp/program.ts";
import { canUseXdp } from "../support/veth.ts";

const PASS = 2, REDIRECT = 4;
const TCP = 6, UDP = 17, ICMP = 1, ICMPV6 = 58;

Deno.test("redirectProgram() without passed traffic has seven instructions", () => {
  assertEquals(
    redirectProgram(0x1234, parseSelection("a", {})).toHex(),
    "bf16000000000000" + // r6 = r1
      "6162100000000000" + // r2 = the queue
      "18110000341200000000000000000000" + // r1 = the map
      "b703000002000000" + // r3 = XDP_PASS
      "8500000033000000" + // bpf_redirect_map
      "9500000000000000",
  );
});

Deno.test("parseSelection() reads kinds of traffic, and refuses others by name", () => {
  assertEquals(parseSelection("a", { pass: ["arp", "icmp", "tcp:22", "udp:53"] }), {
    action: "pass",
    arp: true,
    protocols: [ICMP, ICMPV6],
    ports: [{ protocol: TCP, port: 22 }, { protocol: UDP, port: 53 }],
  });
  assertEquals(parseSelection("a", { take: ["tcp", "udp", "tcp"] }), {
    action: "redirect",
    arp: false,
    protocols: [TCP, UDP],
    ports: [],
  });
  for (
    const word of ["", "ARP", "tcp:", "tcp:0", "tcp:65536", "tcp:-1", "sctp", "icmp:1", " arp"]
  ) {
    for (const option of ["pass", "take"]) {
      const error = assertThrows(() => parseSelection("xdp:a", { [option]: [word] }), UsageError);
      assertEquals(
        error.message,
        `xdp:a: \`xdp.${option}\` lists arp, icmp, tcp, udp, tcp:PORT or udp:PORT, not "${word}"`,
      );
      assertEquals(error.option, `xdp.${option}`);
    }
  }
  const many = Array.from({ length: 1025 }, (_, i) => `udp:${i + 1}`);
  const tooMany = "lists up to 1024 ports, not 1025";
  assertThrows(() => parseSelection("xdp:a", { pass: many }), UsageError, tooMany);
  assertThrows(
    () => parseSelection("xdp:a", { take: [] }),
    UsageError,
    "lists at least one of arp",
  );
  const both = { pass: ["arp"], take: ["udp"] };
  assertThrows(() => parseSelection("xdp:a", both), UsageError, "set only one of them");
});

/** Returns a frame of 80 bytes with this EtherType, and bytes at offsets. */
function frame(type: number, ...parts: [at: number, ...bytes: number[]][]): Uint8Array {
  const bytes = new Uint8Array(80);
  bytes.set([type >> 8, type & 0xff], 12);
  for (const [at, ...values] of parts) bytes.set(values, at);
  return bytes;
}

function ports(source: number, destination: number): number[] {
  return [source >> 8, source & 0xff, destination >> 8, destination & 0xff];
}

/** An IPv4 packet; `words` is the length of its header in 32-bit words. */
function v4(protocol: number, source: number, destination: number, words = 5, fragment = 0) {
  return frame(
    0x0800,
    [14, 0x40 | words],
    [20, fragment >> 8, fragment & 0xff],
    [23, protocol],
    [14 + 4 * words, ...ports(source, destination)],
  );
}

function v6(protocol: number, source: number, destination: number) {
  return frame(0x86dd, [14, 0x60], [20, protocol], [54, ...ports(source, destination)]);
}

/** A loaded program that redirects to an unbound socket; calls it on frames. */
class Loaded implements Disposable {
  readonly #fds: number[] = [];
  readonly #program: number;

  constructor(selection: Selection) {
    const keep = (fd: number) => this.#fds.push(checkErrno("open", fd)) && fd;
    const map = keep(createMap(1)), socket = keep(stubs.ixy_socket(44, 3, 0));
    checkErrno("update", updateMap(map, 0, socket));
    const { result, log } = loadProgram(redirectProgram(map, selection), false);
    assertEquals(result >= 0, true, log);
    this.#program = keep(result);
  }

  /** Returns what the program decides about a frame. */
  run(frame: Uint8Array): number {
    const BPF_PROG_TEST_RUN = 10;
    const memory = new Uint8Array(128 + frame.length), view = new DataView(memory.buffer);
    memory.set(frame, 128);
    view.setUint32(0, this.#program, true);
    view.setUint32(8, frame.length, true);
    const start = Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
    view.setBigUint64(16, start + 128n, true);
    checkErrno("run", stubs.ixy_bpf(BPF_PROG_TEST_RUN, memory, 80));
    return view.getUint32(4, true);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) stubs.ixy_close(fd);
  }
}

/** Frames with the words that select them. */
const FRAMES: readonly (readonly [name: string, frame: Uint8Array, words: readonly string[]])[] = [
  ["ARP", frame(0x0806), ["arp"]],
  ["ICMP", v4(ICMP, 0, 0), ["icmp"]],
  ["ICMPv6", v6(ICMPV6, 0, 0), ["icmp"]],
  ["TCP to 22", v4(TCP, 1234, 22), ["tcp", "tcp:22"]],
  ["TCP from 22", v4(TCP, 22, 1234), ["tcp", "tcp:22"]],
  ["TCP to 22 behind options", v4(TCP, 1234, 22, 8), ["tcp", "tcp:22"]],
  ["TCP to 22 over IPv6", v6(TCP, 1234, 22), ["tcp", "tcp:22"]],
  ["UDP to 22", v4(UDP, 1234, 22), ["udp", "udp:22"]],
  ["TCP to 5632, which is 22 in the other order", v4(TCP, 1234, 5632), ["tcp"]],
  ["a later fragment", v4(TCP, 1234, 22, 5, 1), ["tcp"]],
  ["a first fragment", v4(TCP, 1234, 22, 5, 0x2000), ["tcp", "tcp:22"]],
  ["TCP to 22 with a header too long for its frame", v4(TCP, 22, 22, 15).subarray(0, 74), ["tcp"]],
  ["a VLAN tag", frame(0x8100, [16, 8, 6]), []],
  ["another EtherType", frame(0x88cc), []],
  ["a short IPv4 frame", v4(TCP, 1234, 22).subarray(0, 33), []],
  ["IPv4 without ports", v4(TCP, 1234, 22).subarray(0, 37), ["tcp"]],
  ["an Ethernet header", frame(0x0800).subarray(0, 14), []],
];

Deno.test({
  name:
    "redirectProgram() passes on or redirects what it is told, and does the other to all other frames",
  ignore: !canUseXdp,
  fn() {
    const words = ["arp", "icmp", "tcp", "udp", "tcp:22", "udp:22"];
    using all = new Loaded(parseSelection("a", {}));
    for (const [name, bytes] of FRAMES) assertEquals(all.run(bytes), REDIRECT, name);
    for (const kinds of [...words.map((word) => [word]), ["arp", "tcp:22"], words]) {
      using passing = new Loaded(parseSelection("a", { pass: kinds }));
      using taking = new Loaded(parseSelection("a", { take: kinds }));
      for (const [name, bytes, selecting] of FRAMES) {
        const selected = selecting.some((word) => kinds.includes(word));
        const about = `${name}, ${kinds.join()}`;
        assertEquals(passing.run(bytes), selected ? PASS : REDIRECT, `pass: ${about}`);
        assertEquals(taking.run(bytes), selected ? REDIRECT : PASS, `take: ${about}`);
      }
    }
  },
});

Deno.test({
  name: "loadProgram() loads a program for many ports, and explains a refusal",
  ignore: !canUseXdp,
  fn() {
    using program = new Loaded(
      parseSelection("a", { pass: Array.from({ length: 1024 }, (_, i) => `tcp:${i + 1}`) }),
    );
    assertEquals(program.run(v4(TCP, 5000, 1024)), PASS);
    assertEquals(program.run(v4(TCP, 5000, 1025)), REDIRECT);
    const exit = Uint8Array.fromHex("9500000000000000"); // without a result
    const { result, log } = loadProgram(exit, false);
    assertEquals(result, -Errno.EACCES);
    assertMatch(log, /R0 !read_ok/);
  },
});
