/** Nic.explain(): what it says of a frame is what the receiver then does. */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  ETQF,
  ETQS,
  FCTRL,
  FTQF,
  HLREG0,
  L34TIMIR,
  MAXFRS,
  MCSTCTRL,
  MFLCN,
  MRQC,
  MTA,
  RAH,
  RAL,
  RDBAH,
  RDBAL,
  RDLEN,
  RDT,
  RETA,
  ROC,
  RQTC,
  RSSRK,
  RTRUP2TC,
  RUC,
  RXCSUM,
  RXCTRL,
  RXDCTL,
  RXPBSIZE,
  SDPQF,
  SECRXCTRL,
  SRRCTL,
  SYNQF,
  VFTA,
  VLNCTRL,
} from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import type { Fate } from "../../sim/rx/fate.ts";
import type { WirePort } from "../../sim/wires/wire.ts";
import { EventLog } from "../support/event_log.ts";
import { packet } from "../support/ip_packets.ts";
import {
  BROADCAST,
  IOVA,
  RX_BUFFERS,
  STATION,
  TestDriver,
  TestWire,
} from "../support/model_driver.ts";

const OTHER = [2, 0, 0, 0, 7, 7], GROUP = [1, 0, 0x5e, 0, 0x12, 0x34];
const PAUSE = [0x01, 0x80, 0xc2, 0, 0, 1];
const QUEUES = 4, SMALL_RING = 8;

/** A wire that explains each frame just before the device takes it. */
class ExplainingWire extends TestWire {
  readonly fates: Fate[] = [];
  readonly #buffer = new FrameBuffer();

  constructor(readonly driver: ExplainedDriver) {
    super();
  }

  override poll(port: WirePort, budget: number): number {
    let taken = 0;
    for (; taken < budget && this.waiting.length > 0; taken++) {
      const frame = this.waiting.shift()!;
      this.fates.push(this.driver.explainTwice(frame));
      this.#buffer.bytes.set(frame);
      port.receive(this.#buffer, frame.length);
    }
    return taken;
  }
}

/** A driver of some queues with short rings, and a look at what the device does with a frame. */
class ExplainedDriver extends TestDriver {
  readonly log: EventLog;
  override readonly wire: ExplainingWire;

  constructor(options: NicOptions) {
    const log = new EventLog();
    super({ ...options, observer: log });
    this.log = log;
    this.wire = new ExplainingWire(this);
    this.nic.wire = this.wire;
  }

  override configure(): void {
    super.configure();
    for (let queue = 0; queue < QUEUES; queue++) {
      this.write(RDBAL, (IOVA + queue * SMALL_RING * 16) >>> 0, queue);
      this.write(RDBAH, Math.floor(IOVA / 2 ** 32), queue);
      this.write(RDLEN, SMALL_RING * 16, queue);
      this.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2, queue);
      for (let i = 0; i < SMALL_RING; i++) this.arm(queue, i, IOVA + RX_BUFFERS + i * 2048);
    }
  }

  override enableReceive(): void {
    this.openReceivePath();
    for (let queue = 0; queue < QUEUES; queue++) {
      this.set(RXDCTL, RXDCTL.ENABLE, queue);
      this.write(RDT, SMALL_RING - 1, queue);
    }
  }

  /** Points a descriptor at a buffer. */
  arm(queue: number, index: number, address: number): void {
    const at = (queue * SMALL_RING + index) * 4;
    this.words[at] = address >>> 0;
    this.words[at + 1] = Math.floor(address / 2 ** 32);
    this.words[at + 2] = 0;
  }

  /** Explains a frame; asserts that to do so changes nothing that could be seen. */
  explainTwice(frame: Uint8Array): Fate {
    const rules = this.nic.rules.violations.map(({ count }) => count);
    const fate = this.nic.explain(frame);
    assertEquals(this.nic.explain(frame), fate);
    assertEquals(this.nic.rules.violations.map(({ count }) => count), rules);
    return fate;
  }

  /** Sends a frame to the device; returns what was said, and what happened. */
  send(frame: Uint8Array): { fate: Fate; happened: Happened } {
    this.nic.poll(); // frames that waited go first
    this.log.take();
    const before = { ...this.nic.counters };
    const [short, long] = [this.read(RUC), this.read(ROC)];
    assertEquals([short, long], [0, 0]);
    this.wire.waiting.push(frame);
    this.nic.poll();
    const fate = this.wire.fates.pop()!, after = this.nic.counters;
    const changed = (["received", "missed", "filtered", "ignored"] as const)
      .filter((name) => after[name] !== before[name]);
    const lines = this.log.take();
    return {
      fate,
      happened: {
        counted: changed.join(),
        short: this.read(RUC),
        long: this.read(ROC),
        queue: Number(/^rx(\d+)/.exec(lines[0] ?? "")?.[1] ?? -1),
        kept: lines.some((line) => line.endsWith("kept")),
        written: lines.filter((line) => /bytes to/.test(line)).length,
      },
    };
  }
}

/** What the device did with a frame, as counters and events show it. */
interface Happened {
  readonly counted: string;
  readonly short: number;
  readonly long: number;
  /** The queue that got it, or -1. */
  readonly queue: number;
  readonly kept: boolean;
  /** Buffers that were written. */
  readonly written: number;
}

/** What a fate foretells. */
function foretold(fate: Fate, happened: Happened): Happened {
  const none = { counted: "filtered", short: 0, long: 0, queue: -1, kept: false, written: 0 };
  const queue = fate.choice?.queue ?? -1, counted = "received";
  switch (fate.verdict) {
    case "accepted":
      return { ...none, counted, queue, written: fate.descriptors ?? happened.written };
    case "waits":
      return { ...none, counted, queue, kept: true };
    case "lost": // buffers before the bad one were written
      return { ...none, counted, queue: happened.queue, written: happened.written };
    case "missed":
      return { ...none, counted: "missed" };
    case "too short":
      return { ...none, short: 1 };
    case "too long":
      return { ...none, long: 1 };
    case "ignored":
      return { ...none, counted: "ignored" };
    case "pause":
      return { ...none, counted: "" };
    case "filtered":
      return none;
  }
}

type Setting = readonly [Register, number, readonly number[]];
/** Registers that choose a frame's queue, each with values for it. */
const CHOICES: readonly Setting[] = [
  [MRQC, 0, [
    0,
    1 | MRQC.RSS_IPV4,
    1 | MRQC.RSS_UDP_IPV4 | MRQC.RSS_TCP_IPV4,
    3,
    5 | MRQC.RSS_IPV4,
  ]],
  [MRQC, 0, [1 | MRQC.RSS_IPV4]],
  [RQTC, 0, [0, 0x1111_1111]],
  [RTRUP2TC, 0, [0, 0o76543210]],
  [RSSRK, 0, [0x1234_5678, 0xffff_ffff]],
  ...Array.from({ length: 32 }, (_, i): Setting => [RETA, i, [0x0302_0100, 0x0101_0303]]),
  [RXCSUM, 0, [0, RXCSUM.PCSD]],
  [ETQF, 1, [ETQF.FILTER_ENABLE | 0x0806, ETQF.FILTER_ENABLE | ETQF.UP_EN | 3 << 16 | 0x0806]],
  [ETQS, 1, [ETQS.QUEUE_ENABLE | 2 << 16, ETQS.QUEUE_ENABLE | 3 << 16]],
  [SYNQF, 0, [0, SYNQF.QUEUE_ENABLE | 3 << 1, SYNQF.QUEUE_ENABLE | SYNQF.SYNQFP | 1 << 1]],
  [FTQF, 5, [0, FTQF.QUEUE_ENABLE | 0xf << 25 | 1 << 2, FTQF.QUEUE_ENABLE | 0x17 << 25 | 2 << 2]],
  [SDPQF, 5, [0, 0x5000_0000]],
  [L34TIMIR, 5, [0, 1 << 21, 3 << 21]],
];
/** Registers that filter frames, by address, VLAN and length. */
const FILTERS: readonly Setting[] = [
  [FCTRL, 0, [0, FCTRL.UPE, FCTRL.MPE, FCTRL.BAM, FCTRL.BAM | FCTRL.MPE]],
  [MCSTCTRL, 0, [0, MCSTCTRL.MFE, MCSTCTRL.MFE | 1, MCSTCTRL.MFE | 3]],
  ...[0, 36, 104, 108, 26, 52].map((index): Setting => [MTA, index, [0, 0xffff_ffff]]),
  [RAL, 1, [0x0000_0002, 0x005e_0001]],
  [RAH, 1, [0, RAH.AV | 0x0707, RAH.AV | 0x3412, 0x0707]],
  [VLNCTRL, 0, [0x8100, 0x8100 | VLNCTRL.VFE, 0x8100 | VLNCTRL.CFIEN]],
  [VFTA, 0, [0, 1 << 7]],
  [HLREG0, 0, [HLREG0.JUMBOEN, HLREG0.RXCRCSTRP, HLREG0.JUMBOEN | HLREG0.RXCRCSTRP]],
  [MAXFRS, 0, [9018 << 16, 600 << 16]],
  [MFLCN, 0, [0, MFLCN.DPF]],
];
const ON = RXDCTL.ENABLE;
/** Registers that give frames room, or stop them. */
const ROOM: readonly Setting[] = [
  [RXPBSIZE, 0, [1024, 512 << 10]],
  [RXPBSIZE, 1, [2048]],
  [RXCTRL, 0, [0, RXCTRL.RXEN, RXCTRL.RXEN, RXCTRL.RXEN]],
  [SECRXCTRL, 0, [0, 0, 0, SECRXCTRL.RX_DIS]],
  [HLREG0, 0, [HLREG0.JUMBOEN, HLREG0.JUMBOEN, HLREG0.LPBK]],
  ...[0, 1, 2, 3].flatMap((queue): Setting[] => [
    [SRRCTL, queue, [1, 2].flatMap((kb) => [kb, kb | SRRCTL.DROP_EN])],
    [RXDCTL, queue, [ON, ON, ON | RXDCTL.VME, ON | RXDCTL.RLPML_EN | 200, 0]],
    ...[[1, 7], [2, 6], [3, 5], [0, 4]].map((tails): Setting => [RDT, queue, tails]),
  ]),
];

type Operation =
  | { readonly kind: "set"; readonly setting: Setting; readonly value: number }
  | { readonly kind: "frame"; readonly bytes: Uint8Array }
  | { readonly kind: "link"; readonly on: boolean }
  | { readonly kind: "master"; readonly on: boolean }
  | { readonly kind: "bad"; readonly queue: number; readonly index: number };

function settings(of: readonly Setting[]) {
  const kind = fc.constant("set" as const);
  return fc.record({ kind, setting: fc.constantFrom(...of), value: fc.nat(100) });
}

const MOSTLY = fc.constantFrom(true, true, true, false);
const PACKET = fc.record({
  destination: fc.constantFrom(STATION, STATION, STATION, BROADCAST, GROUP, OTHER),
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  port: fc.constantFrom(80, 1024, 9),
  source: fc.nat(255),
  payload: fc.constantFrom(0, 10, 18, 100, 560, 1480, 3000, 9100),
  tag: fc.option(fc.constantFrom(7, 3 << 13 | 7, 7 << 13 | 8, 1 << 12 | 7)),
  syn: fc.boolean(),
  kind: fc.constantFrom("ip", "ip", "ip", "arp", "arp", "pause"),
});
const FRAME = PACKET.map(({ destination, protocol, port, source, payload, tag, syn, kind }) => {
  const options = { source: [10, 0, 0, source], destination: [10, 0, 0, 2], protocol, payload };
  let bytes = packet({ ...options, ports: [1234, port] });
  if (syn && protocol === "tcp") bytes[47] = 2;
  bytes.set(kind === "pause" ? PAUSE : destination);
  if (kind === "arp") bytes.set([8, 6], 12);
  if (kind === "pause") bytes.set([0x88, 8, 0, 1, 0, 0], 12);
  else if (tag !== null) {
    const header = [0x81, 0, tag >> 8, tag & 0xff];
    bytes = Uint8Array.of(...bytes.subarray(0, 12), ...header, ...bytes.subarray(12));
  }
  return { kind: "frame" as const, bytes };
});
const OPERATION: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 9, arbitrary: settings(CHOICES) },
  { weight: 3, arbitrary: settings(FILTERS) },
  { weight: 3, arbitrary: settings(ROOM) },
  { weight: 20, arbitrary: FRAME },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("link" as const), on: MOSTLY }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("master" as const), on: MOSTLY }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("bad" as const),
      queue: fc.nat(QUEUES - 1),
      index: fc.nat(SMALL_RING - 1),
    }),
  },
);

/** Does an operation; returns what is said of a frame, after a comparison with what happens to it. */
function carryOut(driver: ExplainedDriver, operation: Operation): Fate | undefined {
  switch (operation.kind) {
    case "set": {
      const [register, index, values] = operation.setting;
      driver.write(register, values[operation.value % values.length], index);
      return undefined;
    }
    case "link":
      driver.nic.setLink(operation.on);
      return undefined;
    case "master":
      driver.nic.setBusMaster(operation.on);
      return undefined;
    case "bad":
      driver.arm(operation.queue, operation.index, 0x1000);
      return undefined;
    case "frame": {
      const { fate, happened } = driver.send(operation.bytes);
      assertEquals(happened, foretold(fate, happened), JSON.stringify(fate));
      return fate;
    }
  }
}

Deno.test("Nic.explain() agrees with the receiver, for frames and settings at random", () => {
  const seen = new Set<string>();
  const devices = fc.constantFrom(DEVICE.SFP, DEVICE.X550);
  fc.assert(
    fc.property(
      devices,
      fc.array(OPERATION, { maxLength: 60, size: "max" }),
      (deviceId, operations) => {
        const driver = ExplainedDriver.ready({ deviceId });
        for (const operation of operations) {
          const fate = carryOut(driver, operation);
          if (fate) seen.add(fate.verdict);
          if (fate?.choice) seen.add(fate.choice.by.replace(/\[.*/, "").replace("ERETA", "RETA"));
        }
      },
    ),
    { numRuns: 100, seed: 1 },
  );
  assertEquals([...seen].sort(), [
    ...["ETQF", "FTQF", "MRQC", "MRQC.MRQE", "RETA", "RTRUP2TC", "SYNQF", "accepted"],
    ...["filtered", "ignored", "lost", "missed", "pause", "too long", "too short", "waits"],
  ]);
});
