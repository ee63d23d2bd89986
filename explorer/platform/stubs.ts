/**
 * Stands in for `native/stubs.ts` where there are no system calls: in a browser. It has the stubs that
 * driver and model call in one thread: the clock, and eventfds in memory. No file exists.
 *
 * @module
 */

import { Errno } from "../../native/system_calls.ts";

export { SystemError } from "../../native/errors.ts";
export { checkErrno, Errno, Open, path } from "../../native/system_calls.ts";

type Stubs = typeof import("../../native/stubs.ts").stubs;

const POLLIN = 1;
/** 32-bit words of a struct pollfd: the descriptor; then `events` (low half) and `revents` (high half). */
const POLLFD_WORDS = 2;
const SEEN_SHIFT = 16;

/** The counts of the eventfds, by descriptor. Descriptors 0 to 2 stay those of the standard streams. */
const eventfds = new Map<number, bigint>();
let nextFd = 3;

const present = {
  ixy_milliseconds: () => performance.now(),
  ixy_open: () => -Errno.ENOENT,
  ixy_close: (fd) => eventfds.delete(fd) ? 0 : -Errno.EBADF,
  ixy_eventfd() {
    eventfds.set(nextFd, 0n);
    return nextFd++;
  },
  ixy_signal(fd) {
    const count = eventfds.get(fd);
    if (count === undefined) return -Errno.EBADF;
    eventfds.set(fd, count + 1n);
    return 8; // the bytes that were written
  },
  ixy_empty(fd) {
    const count = eventfds.get(fd);
    if (count === undefined) return -Errno.EBADF;
    if (count === 0n) return -Errno.EAGAIN;
    eventfds.set(fd, 0n);
    return 8; // the bytes that were read
  },
  /** Does not wait: nothing could signal an eventfd while this thread, the only one, waits. */
  ixy_poll(fds, count) {
    const words = fds as Int32Array;
    let ready = 0;
    for (let i = 0; i < count * POLLFD_WORDS; i += POLLFD_WORDS) {
      const readable = (eventfds.get(words[i]) ?? 0n) > 0n;
      words[i + 1] = POLLIN | (readable ? POLLIN << SEEN_SHIFT : 0);
      if (readable) ready++;
    }
    return ready;
  },
} satisfies Partial<Stubs>;

/** The stubs. The use of any other one is a fault of whoever uses it. */
export const stubs: Stubs = new Proxy(present as unknown as Stubs, {
  get(target, name) {
    const stub = Reflect.get(target, name);
    if (stub === undefined) throw new Error(`${String(name)}: a browser has no such system call`);
    return stub;
  },
});
