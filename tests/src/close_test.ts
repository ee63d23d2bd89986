/**
 * Memory when closing a device fails: memory that the device no longer reaches is freed, memory that it
 * may still reach stays allocated.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import {
  type Device,
  DeviceError,
  Mempool,
  type OpenOptions,
  PacketBatch,
  UsageError,
} from "../../mod.ts";
import type { VirtioDevice } from "../../virtio/device.ts";
import { ModelFunction } from "../support/model_function.ts";
import { DirectVirtio } from "../support/direct_virtio.ts";

/** When closing fails: after the device has lost access to memory, or before. */
type Moment = "late" | "early";

class FailingFunction extends ModelFunction {
  /** Undefined if closing succeeds. */
  fails: Moment | undefined;

  constructor(fails: Moment) {
    super();
    this.fails = fails;
  }

  override close(): void {
    if (this.fails === "early") throw new Error("bus mastering stays on");
    super.close();
    if (this.fails === "late") throw new DeviceError(this.address, "the kernel driver is gone");
  }
}

class FailingVirtio extends DirectVirtio {
  fails: Moment | undefined;

  constructor(fails: Moment) {
    super();
    this.fails = fails;
  }

  override stop(): boolean {
    if (super.stop()) return true;
    throw new DeviceError(this.address, "no reset");
  }

  override close(): void {
    if (this.fails === "early") throw new Error("bus mastering stays on");
    super.close();
    if (this.fails === "late") throw new DeviceError(this.address, "the kernel driver is gone");
  }
}

/** Opens a device of each driver on a fake that fails to close. */
const DRIVERS = {
  async ixgbe(fails: Moment, options: OpenOptions) {
    const fake = new FailingFunction(fails);
    return { fake, device: await ixgbe.attach(fake, options) as IxgbeDevice };
  },
  async virtio(fails: Moment, options: OpenOptions) {
    const fake = new FailingVirtio(fails);
    return { fake, device: await fake.open(options) as VirtioDevice };
  },
};

/** Returns the number of DMA memory mappings in this process. */
function pieces(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("/memfd:ixy (deleted)").length;
}

function assertClosed({ rxQueues, pool }: Device): void {
  assertThrows(() => rxQueues[0].receive(new PacketBatch(pool)), Error, "closed");
}

for (const [driver, attach] of Object.entries(DRIVERS)) {
  Deno.test(`${driver}: close() that fails frees memory that the device no longer reaches`, async () => {
    const before = pieces();
    const own = await attach("late", {});
    assert(pieces() > before);
    assertThrows(() => own.device.close(), DeviceError, "the kernel driver is gone");
    assertEquals(pieces(), before);
    own.device.close(); // idempotent

    using pool = new Mempool({ buffers: 1024, memory: "pages" });
    const shared = await attach("late", { pool });
    assertThrows(() => shared.device.close(), DeviceError, "the kernel driver is gone");
    assertEquals(pool.freeCount, pool.buffers);
    assertClosed(shared.device);
  });

  Deno.test(`${driver}: close() that fails keeps memory that the device may still reach`, async () => {
    const before = pieces();
    for (const options of [{}, { pool: new Mempool({ buffers: 1024, memory: "pages" }) }]) {
      const { fake, device } = await attach("early", options);
      const { freeCount, memory } = device.pool, kept = pieces();
      assertThrows(() => device.close(), Error, "bus mastering stays on");
      assertEquals([pieces(), device.pool.freeCount], [kept, freeCount]);
      assertThrows(() => device.pool[Symbol.dispose](), Error, "still in reach of 1 device");
      assertClosed(device);
      fake.fails = undefined;
      fake.close();
      memory.free();
    }
    assert(pieces() > before, "the rings are never freed");
  });
}

Deno.test("virtio: close() reports every failure, and frees the memory", async () => {
  const before = pieces();
  const { fake, device } = await DRIVERS.virtio("late", {});
  fake.atRest = false;
  const { suppressed, error } = assertThrows(() => device.close(), SuppressedError);
  assertEquals([suppressed.message, error.message], [
    "virtio: no reset",
    "virtio: the kernel driver is gone",
  ]);
  assertEquals(pieces(), before);
});

Deno.test("ixgbe: attach() that fails releases everything in the same way", async () => {
  const before = pieces();
  const fake = new FailingFunction("late");
  fake.claim = () => {
    throw new UsageError("it is in use");
  };
  const { suppressed, error } = await assertRejects(() => ixgbe.attach(fake, {}), SuppressedError);
  assertEquals([suppressed.message, error.message], [
    "it is in use",
    "model: the kernel driver is gone",
  ]);
  assertEquals(pieces(), before);
});
