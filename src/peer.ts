/**
 * The process that serves a device over a socket, and the buffers that it may still write to after the
 * connection has ended.
 *
 * The end of a connection does not mean that the process no longer writes: DPDK closes a connection first and
 * stops its data path then, and a process that was stopped for longer than the deadline goes on where it was.
 * So buffers stay out of their pool until the process has ended, or until it answers on a new connection to
 * the same address: processes that serve a device end the old connection before they serve a new one. The
 * memory itself can be freed earlier, because both processes have mapped the same file.
 *
 * @module
 */

import { stubs } from "../native/stubs.ts";
import type { Mempool } from "./mempool.ts";

const POLLIN = 1;
/** How long a process may take to end after its connection has, in milliseconds. */
const END_MS = 20;

/** Peers that may still write to buffers, by the device's address. */
const unfinished = new Map<string, Peer[]>();

/** The process at the other end of one connection. */
export class Peer {
  readonly #address: string;
  /** The process's ID, 0 if it is not known; and a descriptor that is readable once it has ended, or -1. */
  readonly #pid: number;
  #pidfd: number;
  #shared = false;
  #done = false;
  readonly #abandoned: (readonly [pool: Mempool, buffers: readonly number[]])[] = [];

  /**
   * Identifies the process.
   *
   * @param address The device's address.
   * @param socket The connected socket.
   */
  constructor(address: string, socket: number) {
    const pid = new Int32Array(1);
    this.#address = address;
    this.#pidfd = Math.max(stubs.ixy_peer(socket, pid), -1);
    this.#pid = pid[0];
  }

  /** Returns the buffers of processes that have served an address and have ended. */
  static look(address: string): void {
    for (const peer of unfinished.get(address) ?? []) peer.#look(0);
  }

  /** Says that the process can reach memory of this process from now on. */
  share(): void {
    this.#shared = true;
  }

  /** Says that the process has confirmed that it reaches no memory any more. */
  stopped(): void {
    this.#shared = false;
  }

  /** Says that the process has answered, so that it is done with earlier connections to the address. */
  answered(): void {
    for (const peer of unfinished.get(this.#address) ?? []) {
      if (peer.#pid === this.#pid || peer.#pidfd < 0) peer.#finish();
    }
  }

  /**
   * Says that the connection has ended. Then pass all buffers of the device to
   * {@linkcode Peer.prototype.giveBack}.
   */
  disconnected(): void {
    if (this.#shared) this.#look(END_MS);
    else this.#finish();
  }

  /** Returns a device's buffers to their pool, or keeps them out of it until the process is done with them. */
  giveBack(pool: Mempool, buffers: readonly number[]): void {
    if (this.#done) return pool.takeBack(buffers);
    const peers = unfinished.get(this.#address) ?? [];
    if (!peers.includes(this)) unfinished.set(this.#address, [...peers, this]);
    this.#abandoned.push([pool, buffers]);
    pool.abandoned += buffers.length;
  }

  /** Finishes if the process has ended; waits for that for some milliseconds at most. */
  #look(milliseconds: number): void {
    if (this.#pidfd < 0) return;
    const pollfd = Int32Array.of(this.#pidfd, POLLIN);
    if (stubs.ixy_poll(pollfd, 1, milliseconds) > 0) this.#finish();
  }

  /** Returns buffers to their pools. */
  #finish(): void {
    this.#done = true;
    if (this.#pidfd >= 0) stubs.ixy_close(this.#pidfd);
    this.#pidfd = -1;
    for (const [pool, buffers] of this.#abandoned.splice(0)) {
      pool.abandoned -= buffers.length;
      if (pool.bytes.length > 0) pool.takeBack(buffers); // else it is disposed
    }
    const others = (unfinished.get(this.#address) ?? []).filter((peer) => peer !== this);
    if (others.length > 0) unfinished.set(this.#address, others);
    else unfinished.delete(this.#address);
  }
}
