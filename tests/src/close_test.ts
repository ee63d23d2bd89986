/**
 * What becomes of memory when closing a device fails half-way: what the device reaches no more is freed,
 * what it may still reach is kept.
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

/** When closing fails: once the memory is out of the device's reach, or before. */
type Moment = "late" | "early";

class FailingBus extends ModelFunction {
  /** Undefined for not at all. */
  fails: Moment | undefined;

  constructor(fails: Moment) {
    super();
    this.fails = fails;
  }

  override close(): void {
    if (this.fails === "early") throw new Error("bus mastering stays on");
    super.close();
    if (this.fails === "late") throw new DeviceError(this.address, "nobody takes it back");
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
    if (this.fails === "late") throw new DeviceError(this.address, "nobody takes it back");
  }
}

/** A device of each driver, and what it is reached by. */
const DRIVERS = {
  async ixgbe(fails: Moment, options: OpenOptions) {
    const bus = new FailingBus(fails);
    return { bus, device: await ixgbe.attach(bus, options) as IxgbeDevice };
  },
  async virtio(fails: Moment, options: OpenOptions) {
    const bus = new FailingVirtio(fails);
    return { bus, device: await bus.open(options) as VirtioDevice };
  },
};

/** How many pieces of DMA memory this process has. */
function pieces(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("/memfd:ixy (deleted)").length;
}

function assertClosed({ rxQueues, pool }: Device): void {
  assertThrows(() => rxQueues[0].receive(new PacketBatch(pool)), Error, "closed");
}

for (const [driver, attach] of Object.entries(DRIVERS)) {
  Deno.test(`${driver}: close() frees what the device reaches no more, though it fails`, async () => {
    const before = pieces();
    const own = await attach("late", {});
    assert(pieces() > before);
    assertThrows(() => own.device.close(), DeviceError, "nobody takes it back");
    assertEquals(pieces(), before);
    own.device.close(); // again: nothing

    using pool = new Mempool({ buffers: 1024, memory: "pages" });
    const shared = await attach("late", { pool });
    assertThrows(() => shared.device.close(), DeviceError, "nobody takes it back");
    assertEquals(pool.freeCount, pool.buffers);
    assertClosed(shared.device);
  });

  Deno.test(`${driver}: close() keeps what the device may still reach, and says why`, async () => {
    const before = pieces();
    for (const options of [{}, { pool: new Mempool({ buffers: 1024, memory: "pages" }) }]) {
      const { bus, device } = await attach("early", options);
      const { freeCount, memory } = device.pool, kept = pieces();
      assertThrows(() => device.close(), Error, "bus mastering stays on");
      assertEquals([pieces(), device.pool.freeCount], [kept, freeCount]);
      assertThrows(() => device.pool[Symbol.dispose](), Error, "still in reach of 1 device");
      assertClosed(device);
      bus.fails = undefined;
      bus.close();
      memory.free();
    }
    assert(pieces() > before, "the rings are never freed");
  });
}

Deno.test("virtio: close() says all that it meets, and frees the memory", async () => {
  const before = pieces();
  const { bus, device } = await DRIVERS.virtio("late", {});
  bus.atRest = false;
  const { suppressed, error } = assertThrows(() => device.close(), SuppressedError);
  assertEquals([suppressed.message, error.message], [
    "virtio: no reset",
    "virtio: nobody takes it back",
  ]);
  assertEquals(pieces(), before);
});

Deno.test("ixgbe: attach() that fails lets go of all in the same way", async () => {
  const before = pieces();
  const bus = new FailingBus("late");
  bus.claim = () => {
    throw new UsageError("it is in use");
  };
  const { suppressed, error } = await assertRejects(() => ixgbe.attach(bus, {}), SuppressedError);
  assertEquals([suppressed.message, error.message], [
    "it is in use",
    "model: nobody takes it back",
  ]);
  assertEquals(pieces(), before);
});
