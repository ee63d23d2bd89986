/** Waiting for eventfds that another process shares. */

import { assertEquals } from "@std/assert";
import { stubs } from "../../native/stubs.ts";
import type { RxQueue } from "../../src/device.ts";
import { Waiter } from "../../src/waiter.ts";

Deno.test("Waiter.wait() is woken by an eventfd that was emptied before it reads", () => {
  const fd = stubs.ixy_eventfd();
  const queue = { interrupt: { fd, arm() {} } } as unknown as RxQueue;
  // The read for the first queue empties the second one's.
  const waiter = new Waiter([queue, queue]);
  stubs.ixy_write(fd, BigUint64Array.of(1n), 8);
  assertEquals([waiter.wait(() => false, 0), waiter.wait(() => false, 0)], [true, false]);
  stubs.ixy_close(fd);
});
