/**
 * What tests of interrupts share: eventfds as the kernel sees them, and a PCI function that
 * connects the driver to the NIC model in one thread, with interrupts. Not a test itself.
 *
 * @module
 */

import { checkErrno, stubs } from "../../native/stubs.ts";
import { ModelFunction } from "./model_function.ts";

const POLLIN = 1;

/** Returns whether each file descriptor becomes readable within a time. */
export function readable(fds: readonly number[], milliseconds = 0): boolean[] {
  const pollfds = Int32Array.from(fds.flatMap((fd) => [fd, POLLIN]));
  checkErrno("poll eventfds", stubs.ixy_poll(pollfds, fds.length, milliseconds));
  return fds.map((_, i) => pollfds[2 * i + 1] >>> 16 === POLLIN);
}

/** Returns how often an eventfd was signalled since the last read. */
export function signals(fd: number): number {
  const count = new BigUint64Array(1);
  return stubs.ixy_read(fd, new Uint8Array(count.buffer), 8) === 8 ? Number(count[0]) : 0;
}

/** Returns the number of eventfds of a process; default: this one. */
export async function eventfds(pid: number = Deno.pid): Promise<number> {
  let n = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
    const target = await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "closed meanwhile");
    if (target === "anon_inode:[eventfd]") n++;
  }
  return n;
}

/** The model as a PCI function of this thread, whose interrupts signal eventfds at once. */
export class InterruptingFunction extends ModelFunction {
  /** The eventfds, by vector. */
  fds: number[] = [];
  /** Vectors of the messages sent, in order. */
  readonly sent: number[] = [];

  interrupts(vectors: number): readonly number[] {
    this.fds = Array.from({ length: vectors }, () => checkErrno("eventfd", stubs.ixy_eventfd()));
    const one = new Uint8Array(new BigUint64Array([1n]).buffer);
    this.nic.onInterrupt = (vector) => {
      this.sent.push(vector);
      checkErrno("write an eventfd", stubs.ixy_write(this.fds[vector], one, one.length));
    };
    return this.fds;
  }

  override close(): void {
    super.close();
    for (const fd of this.fds) stubs.ixy_close(fd);
    this.fds = [];
  }
}
