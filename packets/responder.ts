/**
 * Answers for one IPv4 address: to ARP requests (RFC 826) and ICMP echo requests (RFC 792). It
 * ignores packets that are damaged, fragmented, in a VLAN or for other hosts, and packets whose
 * answer would not go to their sender.
 *
 * @module
 */

import { checksum } from "./checksum.ts";

/** Shortest Ethernet packet in bytes, without CRC: answers are padded with zeros. */
const MIN_BYTES = 60;
const ADDRESS = 6, IP_ADDRESS = 4;
const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff], ZERO = [0, 0, 0, 0, 0, 0];

// Ethernet II.
const DESTINATION = 0, SOURCE = 6, TYPE = 12, TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, PAYLOAD = 14;
// ARP for IPv4 on Ethernet.
const ARP_HEADER = [0, 1, 8, 0, 6, 4]; // Ethernet, IPv4, and the length of their addresses
const OPERATION = 20, REQUEST = 1, REPLY = 2, SENDER = 22, SENDER_IP = 28, TARGET = 32;
const TARGET_IP = 38, ARP_END = 42;
// IPv4, without options.
const TOTAL_LENGTH = 16, ID = 18, FRAGMENT = 20, TTL = 22, PROTOCOL = 23, HEADER_CHECKSUM = 24;
const SOURCE_IP = 26, DESTINATION_IP = 30, HEADER_END = 34, PROTOCOL_ICMP = 1;
/** Mask of the flag "more fragments" and the fragment offset. */
const FRAGMENTED = 0x3fff;
const DO_NOT_FRAGMENT = 0x40;
// Offsets in the ICMP message.
const ICMP_CHECKSUM = 2, ICMP_HEADER = 8, ECHO_REQUEST = 8;

/** How a packet was handled. */
export type Kind = "arp" | "echo" | "ignored";

/** Answers for one address. It writes each answer in place of the request. */
export class Responder {
  /** Bytes of the last answer. */
  length = 0;
  readonly #mac: Uint8Array;
  readonly #ip: Uint8Array;

  /**
   * Creates a responder.
   *
   * @param mac The Ethernet address to answer from, 6 bytes.
   * @param ip The IPv4 address to answer for, 4 bytes.
   */
  constructor(mac: Uint8Array, ip: Uint8Array) {
    this.#mac = mac;
    this.#ip = ip;
  }

  /**
   * Replaces a packet by its answer, or leaves it unchanged if it does not get one.
   *
   * @param buffer The whole buffer, at least 60 bytes: an answer can be longer than the request.
   * @param length Bytes of the packet.
   * @returns The kind of the request; `ignored` if there is no answer.
   */
  answer(buffer: Uint8Array, length: number): Kind {
    if (length < PAYLOAD || !isHost(buffer, SOURCE)) return "ignored";
    if (equal(buffer, SOURCE, this.#mac)) return "ignored"; // sent by this host
    const type = word(buffer, TYPE);
    if (type === TYPE_ARP && this.#asksArp(buffer, length)) return this.#answerArp(buffer);
    const start = type === TYPE_IPV4 ? this.#echoRequest(buffer, length) : 0;
    return start > 0 ? this.#answerEcho(buffer, start) : "ignored";
  }

  #asksArp(buffer: Uint8Array, length: number): boolean {
    return length >= ARP_END && equal(buffer, PAYLOAD, ARP_HEADER) &&
      (equal(buffer, DESTINATION, BROADCAST) || equal(buffer, DESTINATION, this.#mac)) &&
      word(buffer, OPERATION) === REQUEST && equal(buffer, TARGET_IP, this.#ip) &&
      equal(buffer, SENDER, buffer.subarray(SOURCE, SOURCE + ADDRESS)) &&
      !equal(buffer, SENDER_IP, this.#ip); // an announcement, not a request
  }

  #answerArp(buffer: Uint8Array): Kind {
    this.#toAsker(buffer);
    buffer[OPERATION + 1] = REPLY;
    buffer.copyWithin(TARGET, SENDER, TARGET);
    buffer.set(this.#mac, SENDER);
    buffer.set(this.#ip, SENDER_IP);
    this.#finish(buffer, ARP_END);
    return "arp";
  }

  /**
   * Returns the offset of the ICMP message in an echo request for this host; 0 for other packets.
   */
  #echoRequest(buffer: Uint8Array, length: number): number {
    if (length < HEADER_END || buffer[PAYLOAD] >> 4 !== 4) return 0;
    const icmp = PAYLOAD + (buffer[PAYLOAD] & 0xf) * 4;
    const end = PAYLOAD + word(buffer, TOTAL_LENGTH);
    if (icmp < HEADER_END || end < icmp + ICMP_HEADER || end > length) return 0;
    const forUs = equal(buffer, DESTINATION, this.#mac) &&
      equal(buffer, DESTINATION_IP, this.#ip) && isHostIp(buffer, SOURCE_IP) &&
      !equal(buffer, SOURCE_IP, this.#ip);
    const whole = (word(buffer, FRAGMENT) & FRAGMENTED) === 0 &&
      checksum(buffer, PAYLOAD, icmp) === 0;
    if (!forUs || !whole || buffer[PROTOCOL] !== PROTOCOL_ICMP) return 0;
    if (buffer[icmp] !== ECHO_REQUEST || buffer[icmp + 1] !== 0) return 0;
    return checksum(buffer, icmp, end) === 0 ? icmp : 0;
  }

  /**
   * The answer has no IP options, even if the request has some: none must be returned (RFC 791).
   */
  #answerEcho(buffer: Uint8Array, icmp: number): Kind {
    const end = PAYLOAD + word(buffer, TOTAL_LENGTH), length = HEADER_END + end - icmp;
    this.#toAsker(buffer);
    buffer.copyWithin(HEADER_END, icmp, end);
    buffer.copyWithin(DESTINATION_IP, SOURCE_IP, SOURCE_IP + IP_ADDRESS);
    buffer.set(this.#ip, SOURCE_IP);
    buffer[PAYLOAD] = 0x45; // version 4, header of five words
    setWord(buffer, TOTAL_LENGTH, length - PAYLOAD);
    buffer.set([0, 0, DO_NOT_FRAGMENT, 0], ID);
    buffer[TTL] = 64;
    setWord(buffer, HEADER_CHECKSUM, 0);
    setWord(buffer, HEADER_CHECKSUM, checksum(buffer, PAYLOAD, HEADER_END));
    buffer[HEADER_END] = 0; // echo reply
    setWord(buffer, HEADER_END + ICMP_CHECKSUM, 0);
    setWord(buffer, HEADER_END + ICMP_CHECKSUM, checksum(buffer, HEADER_END, length));
    this.#finish(buffer, length);
    return "echo";
  }

  #toAsker(buffer: Uint8Array): void {
    buffer.copyWithin(DESTINATION, SOURCE, SOURCE + ADDRESS);
    buffer.set(this.#mac, SOURCE);
  }

  #finish(buffer: Uint8Array, end: number): void {
    this.length = Math.max(end, MIN_BYTES);
    buffer.fill(0, end, this.length);
  }
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}

function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

function equal(bytes: Uint8Array, at: number, wanted: ArrayLike<number>): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

/**
 * Returns whether an Ethernet address can belong to a host: it is neither a group address nor 0.
 */
function isHost(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 1) === 0 && !equal(bytes, at, ZERO);
}

/** Returns whether an IPv4 address can belong to a remote host: not 0/8, 127/8, 224/4 or 240/4. */
export function isHostIp(bytes: ArrayLike<number>, at = 0): boolean {
  return bytes[at] !== 0 && bytes[at] !== 127 && bytes[at] < 224;
}
