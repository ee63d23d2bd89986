/**
 * The process that serves a device over a socket, and the buffers that it may still write to after the
 * connection has ended.
 *
 * The process may write after the connection has ended: DPDK closes a connection before it stops its data
 * path, and a process that was stopped for longer than the deadline goes on where it was. So its buffers are
 * abandoned: they stay out of their pool until the process has ended, or until it answers on a new connection
 * to the same address, because it stops serving an old connection before it serves a new one. The memory
 * itself can be freed earlier, because both processes have mapped the same file.
 *
 * @module
 */

import { stubs } from "../native/stubs.ts";
import type { Mempool } from "./mempool.ts";

const POLLIN = 1;
/** How long a process may take to end after its connection has, in milliseconds. */
const END_MS = 20;

/** Peers with abandoned buffers, by the device's address. */
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

  /** Returns abandoned buffers to their pools if the processes that served an address have ended. */
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

  /** Says that the process has answered, so it no longer uses the buffers of earlier connections. */
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

  /** Returns a device's buffers to their pool; abandons them if the process may still write to them. */
  giveBack(pool: Mempool, buffers: readonly number[]): void {
    if (this.#done) return pool.takeBack(buffers);
    const peers = unfinished.get(this.#address) ?? [];
    if (!peers.includes(this)) unfinished.set(this.#address, [...peers, this]);
    this.#abandoned.push([pool, buffers]);
    pool.abandoned += buffers.length;
  }

  /** Waits some milliseconds for the process to end, and finishes if it has. */
  #look(milliseconds: number): void {
    if (this.#pidfd < 0) return;
    const pollfd = Int32Array.of(this.#pidfd, POLLIN);
    if (stubs.ixy_poll(pollfd, 1, milliseconds) > 0) this.#finish();
  }

  /** Returns abandoned buffers to their pools. */
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
