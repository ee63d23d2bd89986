/** Interrupts of the ixgbe driver on the NIC model: registers, and that no packet is missed. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { Mempool, type OpenOptions, PacketBatch, UsageError, Waiter } from "../../mod.ts";
import { AdaptiveSleep } from "../../programs/adaptive_sleep.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { eventfds, InterruptingFunction, readable, signals } from "../support/interrupt_events.ts";

/** Time that a test sleeps if it is not woken, in milliseconds. */
const STRANDED_MS = 10000;

/** A promiscuous driver with interrupts on a model; disposing checks buffers, rules and eventfds. */
class Bench implements Disposable {
  readonly pci = new InterruptingFunction();
  readonly pool: Mempool;
  readonly batch: PacketBatch;
  device!: IxgbeDevice;

  private constructor(buffers: number) {
    this.pool = new Mempool({ buffers, memory: "pages" });
    this.batch = new PacketBatch(this.pool, 32);
  }

  static async start(options: OpenOptions = {}, buffers = 1024): Promise<Bench> {
    const bench = new Bench(buffers);
    const { pool, pci } = bench;
    const rest = { promiscuous: true, interrupts: true, ...options };
    bench.device = await ixgbe.attach(pci, { pool, ...rest }) as IxgbeDevice;
    return bench;
  }

  get rx() {
    return this.device.rxQueues[0];
  }

  reads(register: Register, index = 0): number {
    return this.pci.nic.read32(offsetOf(register, index));
  }

  /** Puts frames on the wire and lets the NIC receive them. */
  arrive(frames: number): void {
    for (let i = 0; i < frames; i++) this.pci.wire.waiting.push(new Uint8Array(60).fill(i));
    while (this.pci.wire.waiting.length > 0) this.pci.nic.poll();
    this.pci.nic.poll(); // sends interrupt messages
  }

  /** Receives all packets and returns their number. */
  receive(): number {
    let n = 0;
    while (this.rx.receive(this.batch) > 0) n += this.batch.free();
    return n;
  }

  /** Number of times that the interrupt was armed. */
  get armed(): number {
    const eims = offsetOf(R.EIMS_EX);
    return this.pci.writes.filter(([offset]) => offset === eims).length;
  }

  [Symbol.dispose](): void {
    this.batch.free();
    this.device.close();
    assertEquals(this.pci.nic.rules.violations, []);
    assertEquals(this.pool.freeCount, this.pool.buffers);
    assertThrows(() => this.rx.interrupt!.arm(), Error, "closed");
    this.pool[Symbol.dispose]();
  }
}

Deno.test("ixgbe.attach() gives each receive queue and the link a vector, and arms none", async () => {
  using bench = await Bench.start();
  const valid = R.IVAR.ALLOC_VAL0;
  assertEquals(bench.reads(R.IVAR), valid | 0, "no vector for the transmit queue");
  assertEquals(bench.reads(R.IVAR_MISC), R.IVAR_MISC.ALLOC_VAL1 | 1 << 8, "none for the TCP timer");
  const gpie = R.GPIE.MULTIPLE_MSIX | R.GPIE.PBA_SUPPORT | R.GPIE.EIAME;
  assertEquals(bench.reads(R.GPIE), gpie >>> 0);
  assertEquals([bench.reads(R.EIAC), bench.reads(R.EIAM_EX)], [1, 1]);
  assertEquals(bench.reads(R.EIAM), R.EICR.LSC | 1);
  assertEquals([bench.reads(R.EIMS), bench.reads(R.EIMS_EX)], [0, 0]);
  bench.arrive(3);
  assertEquals(bench.pci.sent, []);
  assertEquals(bench.receive(), 3);
});

Deno.test("Interrupt.arm() is one register write, and allows one message", async () => {
  using bench = await Bench.start();
  const { pci, rx } = bench;
  const before = pci.writes.length;
  rx.interrupt!.arm();
  assertEquals(pci.writes.slice(before), [[offsetOf(R.EIMS_EX), 1]]);
  bench.arrive(1);
  bench.arrive(1);
  assertEquals(pci.sent, [0]);
  assertEquals(bench.reads(R.EIMS_EX), 0);
  assertEquals(readable([rx.interrupt!.fd]), [true]);
  bench.receive();
  rx.interrupt!.arm(); // the second packet's cause is still pending, although the packet was received
  bench.pci.nic.poll();
  assertEquals(pci.sent, [0, 0]);
});

Deno.test("ixgbe.attach() gives each of several receive queues its own vector", async () => {
  using bench = await Bench.start({ rxQueues: 3, rxEntries: 64 });
  const { pci, device } = bench, valid = R.IVAR.ALLOC_VAL0;
  assertEquals(
    [bench.reads(R.IVAR, 0), bench.reads(R.IVAR, 1)],
    [valid | (valid | 1) << 16, valid | 2],
  );
  assertEquals([bench.reads(R.EIAC), bench.reads(R.EIAM_EX)], [7, 7]);
  const interrupts = [...device.rxQueues.map(({ interrupt }) => interrupt), device.linkInterrupt];
  assertEquals(new Set(interrupts.map((interrupt) => interrupt!.fd)), new Set(pci.fds));
  const regs = device.registers;
  for (const queue of [2, 0, 1]) {
    device.rxQueues[queue].interrupt!.arm();
    assertEquals(bench.reads(R.EIMS_EX), 1 << queue);
    regs.write(R.EICS_EX, 7); // as if packets had arrived at all of them
    pci.nic.poll();
    assertEquals(pci.sent.splice(0), [queue]);
    assertEquals(readable(pci.fds), pci.fds.map((_, i) => i === queue));
    signals(pci.fds[queue]);
    regs.write(R.EICR, 7);
  }
});

Deno.test("IxgbeDevice.close() masks all interrupts", async () => {
  const bench = await Bench.start();
  bench.rx.interrupt!.arm();
  const before = bench.pci.writes.length;
  bench[Symbol.dispose]();
  assertEquals(bench.pci.writes[before], [offsetOf(R.EIMC), 0x7fffffff]);
});

Deno.test("ixgbe.attach() refuses interrupts if they are not supported, and changes nothing", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new ModelFunction(), before = await eventfds();
  const attach = () => ixgbe.attach(pci, { pool, interrupts: true });
  await assertRejects(attach, UsageError, "bind the device to vfio-pci");
  assertEquals(pci.writes, []);
  assert(!pci.log.includes("claim"));
  assertEquals(await eventfds(), before);
  assertEquals(pool.freeCount, pool.buffers);
});

Deno.test("Waiter refuses queues without an interrupt, and closed devices", async () => {
  const bench = await Bench.start({ interrupts: false });
  assertThrows(() => new Waiter(bench.device.rxQueues), UsageError, "open its device with `interr");
  assertThrows(() => new Waiter([], [bench.device]), UsageError, "a link without an interrupt");
  bench.device.close();
  const other = await Bench.start();
  const waiter = new Waiter(other.device.rxQueues);
  other[Symbol.dispose]();
  assertThrows(() => waiter.wait(() => false, STRANDED_MS), Error, "closed");
});

Deno.test("Waiter.wait() does not sleep if packets are already in the ring", async () => {
  using bench = await Bench.start();
  const waiter = new Waiter(bench.device.rxQueues);
  bench.arrive(40);
  assert(waiter.wait(() => bench.receive() === 40, STRANDED_MS));
});

/** Asserts that a packet is received that arrives between polling and sleeping. */
function assertWoken(bench: Bench, waiter: Waiter): void {
  const woken = waiter.wait(() => {
    const some = bench.receive() > 0;
    bench.arrive(1);
    return some;
  }, STRANDED_MS);
  assert(woken);
  assertEquals(bench.receive(), 1);
}

Deno.test("Waiter.wait() is woken by a packet that arrives between polling and sleeping", async () => {
  using bench = await Bench.start();
  const waiter = new Waiter(bench.device.rxQueues);
  for (let i = 0; i < 3; i++) {
    assertWoken(bench, waiter);
    assertEquals(readable([bench.rx.interrupt!.fd]), [false], "the eventfd is empty again");
  }
});

Deno.test("Waiter.wait() returns false when the time is over", async () => {
  using bench = await Bench.start();
  assert(!new Waiter(bench.device.rxQueues).wait(() => bench.receive() > 0, 1));
  assert(!new Waiter(bench.device.rxQueues).wait(() => bench.receive() > 0, 0.1));
  assert(!new Waiter(bench.device.rxQueues).wait(() => bench.receive() > 0, -1));
});

Deno.test("Waiter.wait() is woken by either device while the other is silent", async () => {
  using a = await Bench.start();
  using b = await Bench.start();
  const waiter = new Waiter([...a.device.rxQueues, ...b.device.rxQueues]);
  for (const busy of [a, b, a, b]) {
    const woken = waiter.wait(() => {
      const some = a.receive() + b.receive() > 0;
      busy.arrive(2);
      return some;
    }, STRANDED_MS);
    assert(woken);
    assertEquals(busy.receive(), 2);
  }
});

Deno.test("Waiter.wait() never sleeps while packets wait, whenever they arrive", async () => {
  using bench = await Bench.start();
  const waiter = new Waiter(bench.device.rxQueues);
  const few = fc.integer({ min: 0, max: 3 });
  const round = fc.record({ polled: fc.boolean(), before: few, armed: few, looked: few });
  fc.assert(fc.property(fc.array(round, { maxLength: 20 }), (rounds) => {
    for (const { polled, before, armed, looked } of rounds) {
      bench.arrive(before);
      if (polled) bench.receive();
      const woken = waiter.wait(() => {
        bench.arrive(armed);
        const some = bench.receive() > 0;
        bench.arrive(looked);
        return some;
      }, 0);
      if (!woken) assertEquals(bench.receive(), 0);
    }
    bench.receive();
  }));
});

Deno.test("Device.linkInterrupt comes once if the link has changed since its state was read", async () => {
  using bench = await Bench.start({ rxQueues: 2, rxEntries: 64 });
  const { pci, device } = bench, { nic } = pci, link = device.linkInterrupt!;
  for (
    const change of [
      () => nic.setLink(false),
      () => nic.setLink(true),
      () => nic.setLink(true, 1000),
    ]
  ) {
    device.linkStatus();
    link.arm();
    nic.poll();
    assertEquals([pci.sent.splice(0), readable([link.fd])], [[], [false]]);
    change();
    change();
    nic.poll();
    assertEquals([pci.sent.splice(0), signals(link.fd)], [[2], 1]);
    link.arm(); // the state was not read: the change is pending
    nic.poll();
    assertEquals([pci.sent.splice(0), signals(link.fd)], [[2], 1]);
  }
});

Deno.test("Waiter.wait() is woken by a change of a link, also between looking and sleeping", async () => {
  using a = await Bench.start();
  using b = await Bench.start();
  const waiter = new Waiter([...a.device.rxQueues, ...b.device.rxQueues], [a.device, b.device]);
  for (const up of [false, true, false, true]) {
    for (const { device, pci } of [a, b]) {
      const woken = waiter.wait(() => {
        pci.nic.setLink(up);
        pci.nic.poll();
        return false;
      }, STRANDED_MS);
      assertEquals([woken, waiter.linkChanged, device.linkStatus().up], [true, true, up]);
      assertEquals([waiter.wait(() => false, 1), waiter.linkChanged], [false, false]);
    }
  }
  assert(waiter.wait(() => {
    a.arrive(1);
    return false;
  }, STRANDED_MS));
  assertEquals([waiter.linkChanged, a.receive()], [false, 1]);
});

Deno.test("Waiter.wait() ends at once while a changed link's state was not read", async () => {
  using bench = await Bench.start();
  const waiter = new Waiter(bench.device.rxQueues, [bench.device]);
  bench.pci.nic.setLink(false);
  for (let i = 0; i < 2; i++) {
    assertEquals([waiter.wait(() => false, STRANDED_MS), waiter.linkChanged], [true, true]);
  }
  bench.device.linkStatus();
  assertEquals(waiter.wait(() => false, 1), false);
});

Deno.test("AdaptiveSleep.sleepIfIdle() sleeps only after a tenth of a millisecond without a packet", async () => {
  using bench = await Bench.start();
  let looks = 0;
  const hybrid = AdaptiveSleep.of([bench.device], () => {
    looks++;
    bench.receive();
  })!;
  let now = 1000;
  bench.arrive(1);
  bench.receive();
  hybrid.sleepIfIdle(now, Infinity);
  hybrid.sleepIfIdle(now += 0.05, Infinity);
  assertEquals([bench.armed, looks], [0, 0]);
  hybrid.sleepIfIdle(now += 0.06, now);
  assertEquals([bench.armed, looks], [1, 1]);
  bench.arrive(1);
  bench.receive();
  hybrid.sleepIfIdle(now += 10, Infinity);
  hybrid.sleepIfIdle(now + 0.09, Infinity);
  assertEquals([bench.armed, looks], [1, 1]);
});

Deno.test("AdaptiveSleep.of() returns undefined for devices without interrupts", async () => {
  const bench = await Bench.start({ interrupts: false });
  assertEquals(AdaptiveSleep.of([bench.device], () => {}), undefined);
  bench.device.close();
});

Deno.test("RxQueue.receive() after sleeping reclaims the buffers of packets sent before", async () => {
  using bench = await Bench.start({ rxEntries: 64 }, 128);
  const { pool, batch } = bench, [tx] = bench.device.txQueues;
  for (let buffer; (buffer = pool.allocate(60)) >= 0;) {
    batch.buffers[batch.length++] = buffer;
    if (batch.length === batch.capacity) tx.transmit(batch);
  }
  assertEquals([pool.freeCount, tx.pending], [0, 64]);
  const waiter = new Waiter(bench.device.rxQueues);
  assertWoken(bench, waiter);
  assertEquals(bench.device.statistics().rxNoBuffer, 0);
});
