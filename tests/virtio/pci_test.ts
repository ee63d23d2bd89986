/** The PCI transports of the VirtIO driver, on a function that the test simulates. */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { Bar, PciFunction } from "../../src/pci/function.ts";
import type { Addressing, DmaMemory } from "../../src/dma.ts";
import { DeviceError, Mempool, UsageError } from "../../mod.ts";
import { Feature } from "../../virtio/features.ts";
import { chooseInterface } from "../../virtio/pci.ts";
import { virtio } from "../../virtio/driver.ts";
import { COMMON, LEGACY } from "../../virtio/registers.ts";

/** Properties of a function. */
interface FunctionOptions {
  readonly id?: number;
  readonly subsystem?: number;
  readonly ports?: boolean;
  /** Types of its structures; each is in BAR 4, at 256 times its type. */
  readonly structures?: readonly number[];
  readonly addressing?: Addressing;
}

/** A VirtIO function whose configuration space and BARs are in memory. */
class TestFunction implements PciFunction {
  readonly address = "0000:00:03.0";
  readonly addressing: Addressing;
  behindIommu = false;
  readonly config = new DataView(new ArrayBuffer(256));
  readonly bars = Array.from({ length: 6 }, () => new DataView(new ArrayBuffer(4096)));
  /** Calls, and writes to registers as BAR, offset and value. */
  readonly log: string[] = [];
  /** Values that reads of registers return instead of their content, by BAR and offset. */
  readonly overrides = new Map<string, () => number>();
  readonly #mapped: DmaMemory[] = [];

  constructor(options: FunctionOptions = {}) {
    const { id = 0x1000, subsystem = 1, ports = true, structures = [] } = options;
    this.addressing = options.addressing ?? "physical";
    this.config.setUint16(0, 0x1af4, true);
    this.config.setUint16(2, id, true);
    this.config.setUint16(0x2e, subsystem, true);
    this.config.setUint32(0x10, ports ? 0xc001 : 0, true);
    if (structures.length === 0) return;
    this.config.setUint16(6, 0x10, true);
    this.config.setUint8(0x34, 0x40);
    structures.forEach((type, i) => {
      const at = 0x40 + 24 * i;
      this.config.setUint8(at, 9);
      this.config.setUint8(at + 1, i + 1 < structures.length ? at + 24 : 0);
      this.config.setUint8(at + 3, type);
      this.config.setUint8(at + 4, 4);
      this.config.setUint32(at + 8, 256 * type, true);
      this.config.setUint32(at + 12, 256, true);
      this.config.setUint32(at + 16, 4, true);
    });
  }

  readConfig(offset: number, bytes: 1 | 2 | 4): number {
    return get(this.config, offset, bytes);
  }

  writeConfig(): void {}

  /** Called when the function is claimed. */
  onClaim: () => void = () => {};

  claim(): void {
    this.log.push("claim");
    this.onClaim();
  }

  bar(index: number): Bar {
    const view = this.bars[index];
    return {
      size: view.byteLength,
      read: (offset, bytes) => {
        return this.overrides.get(`${index}:${offset}`)?.() ?? get(view, offset, bytes);
      },
      write: (offset, bytes, value) => {
        this.log.push(`${index}:${offset} ${value}`);
        if (bytes === 1) view.setUint8(offset, value);
        else if (bytes === 2) view.setUint16(offset, value, true);
        else view.setUint32(offset, value, true);
      },
      doorbell: () => {
        throw new Error("VirtIO does not use doorbells of this kind");
      },
    };
  }

  mapDma(memory: DmaMemory): void {
    if (!this.#mapped.includes(memory)) memory.pin();
    this.#mapped.push(memory);
  }

  setBusMaster(on: boolean): void {
    this.log.push(`bus master ${on ? "on" : "off"}`);
  }

  checkAlive(): void {}

  close(): void {
    this.log.push("close");
    for (const memory of new Set(this.#mapped.splice(0))) memory.unpin();
  }
}

function get(view: DataView, offset: number, bytes: 1 | 2 | 4): number {
  if (bytes === 1) return view.getUint8(offset);
  return bytes === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true);
}

const MODERN = [1, 2, 4];

Deno.test("chooseInterface() returns legacy by default if the function has it", () => {
  const legacy = new TestFunction();
  const transitional = new TestFunction({ structures: MODERN });
  const modern = new TestFunction({ id: 0x1041, ports: false, structures: MODERN });
  assertEquals(chooseInterface(legacy), "legacy");
  assertEquals(chooseInterface(transitional), "legacy");
  assertEquals(chooseInterface(transitional, "modern"), "modern");
  assertEquals(chooseInterface(modern), "modern");
  assertEquals(chooseInterface(new TestFunction({ ports: false, structures: MODERN })), "modern");
  const refused = (pci: PciFunction, wanted: "legacy" | "modern", sentence: string) => {
    const error = assertThrows(() => chooseInterface(pci, wanted), UsageError, sentence);
    assertEquals(error.option, "virtio");
  };
  refused(legacy, "modern", "lacks the modern interface");
  refused(modern, "legacy", "lacks the legacy interface");
  for (const pci of [legacy, transitional, modern]) assertEquals(pci.log, [], "nothing is changed");
});

Deno.test("chooseInterface() refuses the legacy interface behind an IOMMU", () => {
  const addressing = "iova";
  const transitional = new TestFunction({ structures: MODERN, addressing });
  assertEquals(chooseInterface(transitional), "modern");
  assertThrows(() => chooseInterface(transitional, "legacy"), UsageError, "bypasses the IOMMU");
  assertThrows(() => chooseInterface(new TestFunction({ addressing })), UsageError, "bypasses");
});

Deno.test("chooseInterface() refuses other devices, and network cards with neither interface", () => {
  const cases: [FunctionOptions, RegExp][] = [
    [{ id: 0x1001 }, /1af4:1001 is not a network card/],
    [{ id: 0x1042 }, /1af4:1042 is not a network card/],
    [{ subsystem: 2 }, /not a network card/],
    [{ ports: false }, /neither the legacy interface .* nor the modern one/],
    [{ id: 0x1041 }, /neither/],
    [{ id: 0x1041, structures: [2, 4] }, /neither/],
  ];
  for (const [options, message] of cases) {
    const error = assertThrows(() => chooseInterface(new TestFunction(options)), UsageError);
    assertMatch(error.message, message);
  }
});

Deno.test("chooseInterface() ends on a circular list of capabilities", () => {
  const pci = new TestFunction({ structures: [2] });
  pci.config.setUint8(0x41, 0x40);
  assertEquals(chooseInterface(pci), "legacy");
});

/** Opens a function, which must fail; returns the error's message. */
async function failure(pci: TestFunction, type: typeof DeviceError | typeof UsageError) {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  // If attach() fails, its caller closes the function.
  const error = await assertRejects(() =>
    virtio.attach(pci, { pool }).catch((error) => {
      pci.close();
      throw error;
    }), type);
  assertEquals(pool.freeCount, pool.buffers);
  return error.message;
}

Deno.test("open() refuses a legacy device without a queue, and leaves it reset", async () => {
  for (const size of [0, 48]) {
    const pci = new TestFunction({ addressing: "physical" });
    // Ordinary pages suffice: nothing accesses the memory by a physical address.
    pci.bars[0].setUint16(LEGACY.QUEUE_SIZE.offset, size, true);
    assertMatch(await failure(pci, UsageError), new RegExp(`queue 0 has ${size} descriptors`));
    assertEquals(pci.bars[0].getUint8(LEGACY.DEVICE_STATUS.offset), 0);
    assertEquals(pci.log.at(-1), "close");
  }
});

Deno.test("open() tells a legacy device which of its features it takes", async () => {
  const pci = new TestFunction({ addressing: "physical" });
  const offered = Number(Feature.MAC | Feature.STATUS) | 1 << 31; // the driver does not know bit 31
  pci.bars[0].setUint32(LEGACY.DEVICE_FEATURES.offset, offered, true);
  await failure(pci, UsageError); // it has no queues
  const taken = pci.bars[0].getUint32(LEGACY.DRIVER_FEATURES.offset, true);
  assertEquals(taken, Number(Feature.MAC | Feature.STATUS));
});

Deno.test("open() refuses a device that is in use, and closes it before it frees its own pool", async () => {
  const pci = new TestFunction();
  pci.onClaim = () => {
    throw new UsageError("its kernel interface eth0 is up");
  };
  await assertRejects(() => virtio.attach(pci, {}), UsageError, "eth0 is up");
  assertEquals(pci.log, ["claim", "close"]);
});

Deno.test("open() throws if the device does not reset itself", async () => {
  const pci = new TestFunction();
  pci.overrides.set(`0:${LEGACY.DEVICE_STATUS.offset}`, () => 15);
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  // The reset fails at the beginning and at the end.
  const error = await assertRejects(() => virtio.attach(pci, { pool }), SuppressedError);
  assertMatch((error.suppressed as Error).message, /no reset within 1000 ms: .* still reads 15/);
  assertMatch((error.error as Error).message, /no reset within 1000 ms/);
  assertEquals([pci.log.includes("bus master on"), pci.log.at(-1)], [false, "close"]);
});

Deno.test("open() refuses a modern device without VERSION_1, and leaves it reset", async () => {
  const pci = new TestFunction({ id: 0x1041, structures: MODERN });
  assertMatch(await failure(pci, UsageError), /does not offer VERSION_1/);
  assertEquals(pci.bars[4].getUint8(256 + COMMON.DEVICE_STATUS.offset), 0);
});

Deno.test("open() refuses a modern device that would bypass the IOMMU (no ACCESS_PLATFORM)", async () => {
  const pci = new TestFunction({ id: 0x1041, structures: MODERN, addressing: "iova" });
  pci.overrides.set(`4:${256 + COMMON.DEVICE_FEATURE.offset}`, () => 1);
  assertMatch(await failure(pci, UsageError), /ACCESS_PLATFORM/);
  assertEquals(pci.bars[4].getUint8(256 + COMMON.DEVICE_STATUS.offset), 0);
});

Deno.test("open() accepts ORDER_PLATFORM from a PCI device", async () => {
  const offered = Feature.VERSION_1 | Feature.ORDER_PLATFORM;
  const pci = new TestFunction({ id: 0x1041, structures: MODERN });
  const at = (name: keyof typeof COMMON) => 256 + COMMON[name].offset;
  pci.overrides.set(`4:${at("DEVICE_FEATURE")}`, () => {
    const half = pci.bars[4].getUint32(at("DEVICE_FEATURE_SELECT"), true);
    return Number(offered >> BigInt(32 * half) & 0xffffffffn);
  });
  // The device has no queues, so open() fails after it has negotiated features.
  assertMatch(await failure(pci, UsageError), /queue 0 has 0 descriptors/);
  const high = pci.log.indexOf(`4:${at("DRIVER_FEATURE_SELECT")} 1`) + 1;
  assertEquals(pci.log[high], `4:${at("DRIVER_FEATURE")} ${Number(offered >> 32n)}`);
});

Deno.test("open() refuses physical addresses for a device with ACCESS_PLATFORM behind an IOMMU", async () => {
  const pci = new TestFunction({ id: 0x1041, structures: MODERN });
  pci.behindIommu = true;
  pci.overrides.set(`4:${256 + COMMON.DEVICE_FEATURE.offset}`, () => 3);
  assertMatch(await failure(pci, UsageError), /an IOMMU blocks access to memory/);
  assertEquals(pci.bars[4].getUint8(256 + COMMON.DEVICE_STATUS.offset), 0);
});

Deno.test("open() refuses a device with too few pairs of queues, without resetting it", async () => {
  const multiqueue = Number(Feature.MQ | Feature.CTRL_VQ), pairsAt = 8;
  const [legacy, uncontrolled, modern] = [
    new TestFunction(),
    new TestFunction(),
    new TestFunction({ id: 0x1041, ports: false, structures: MODERN }),
  ];
  legacy.bars[0].setUint32(LEGACY.DEVICE_FEATURES.offset, multiqueue, true);
  legacy.bars[0].setUint16(20 + pairsAt, 2, true);
  uncontrolled.bars[0].setUint32(LEGACY.DEVICE_FEATURES.offset, Number(Feature.MQ), true);
  uncontrolled.bars[0].setUint16(20 + pairsAt, 2, true);
  modern.overrides.set(`4:${256 + COMMON.DEVICE_FEATURE.offset}`, () => multiqueue);
  modern.bars[4].setUint16(4 * 256 + pairsAt, 2, true);
  const selected = `4:${256 + COMMON.DEVICE_FEATURE_SELECT.offset}`;
  const cases: [TestFunction, wanted: number, RegExp, log: string[]][] = [
    [legacy, 3, /has 2 pairs of queues, not 3/, []],
    [new TestFunction(), 2, /has 1 pair of queues, not 2/, []],
    [uncontrolled, 2, /has 1 pair of queues, not 2/, []],
    [modern, 16, /has 2 pairs of queues, not 16/, [`${selected} 0`, `${selected} 1`]],
  ];
  for (const [pci, wanted, message, log] of cases) {
    using pool = new Mempool({ buffers: 16384, memory: "pages" });
    const open = () => virtio.attach(pci, { pool, rxQueues: wanted, txQueues: wanted });
    const error = await assertRejects(open, UsageError);
    assertMatch(error.message, message);
    assertEquals(pci.log, ["claim", ...log, "close"]);
    assertEquals(pool.freeCount, pool.buffers);
  }
});

Deno.test("ModernPciTransport refuses structures that are missing, too short or outside their BAR", async () => {
  const missing = new TestFunction({ id: 0x1041, structures: [1, 2] });
  assertMatch(
    await failure(missing, DeviceError),
    /lacks the capability of its device configuration/,
  );
  const outside = new TestFunction({ id: 0x1041, structures: MODERN });
  outside.config.setUint32(0x40 + 8, 4000, true);
  assertMatch(
    await failure(outside, DeviceError),
    /common configuration structure has 256 bytes at/,
  );
  const short = new TestFunction({ id: 0x1041, structures: MODERN });
  short.config.setUint32(0x40 + 12, 16, true);
  assertMatch(await failure(short, DeviceError), /has 16 bytes/);
});
