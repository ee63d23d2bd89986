/**
 * A register-accurate model of Intel's 82599 10 GbE controller. It serves a driver's accesses to
 * BAR0, its descriptors and its buffers, and lists every rule of the datasheet that the driver
 * breaks.
 *
 * ```ts
 * import { Generator } from "../wires/generator.ts";
 *
 * const nic = new Nic(), memory = new ArrayBuffer(1 << 20);
 * nic.dma.map(0x10000, memory, 0, memory.byteLength);
 * nic.setBusMaster(true);
 * nic.wire = new Generator({ id: 0 });
 * for (;;) nic.poll();
 * ```
 *
 * Not modelled: virtual functions.
 *
 * @module
 */

import {
  CTRL,
  DMATXCTL,
  EICR,
  ESDP,
  HLREG0,
  RDH,
  RDT,
  RXCTRL,
  SECRXCTRL,
  SECTXCTRL,
} from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import type { FrameBuffer } from "../frames/frame.ts";
import type { DeviceObserver } from "../registers/observer.ts";
import { InterruptCauses } from "../registers/interrupt_causes.ts";
import { RegisterFile } from "../registers/register_file.ts";
import { Rules } from "../registers/rules.ts";
import { Statistics } from "../registers/statistics.ts";
import { SystemTime } from "../registers/system_time.ts";
import { DmaMap } from "../rings/dma_map.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { type Fate, Fates } from "../rx/fate.ts";
import { Receiver } from "../rx/receiver.ts";
import { Transmitter } from "../tx/transmitter.ts";
import type { Wire, WirePort } from "../wires/wire.ts";
import {
  boardPins,
  DEVICE,
  eepromWords,
  hasCage,
  hasLargeRedirectionTable,
  isX540OrLater,
  type LinkDefault,
  phyOf,
  timeKind,
} from "./boards.ts";
import { installControl } from "./control_effects.ts";
import { installDataPath } from "./data_path_effects.ts";
import type { DeviceState, Firmware } from "./device_state.ts";
import { Doorbells } from "./doorbells.ts";
import { makeEeprom } from "./eeprom.ts";
import { installLink, linkSpeed, sendsSignal, train } from "./link_effects.ts";
import { Rest } from "./master_disable.ts";
import { ALL_SPEEDS, Phy } from "./phy.ts";
import { QueueMemories } from "./queue_memories.ts";
import { installQueues } from "./queue_effects.ts";
import { RegisterAccess } from "./register_access.ts";
import { type PortSettings, resetRegisters, softwareReset } from "./reset.ts";
import { Serdes } from "./serdes.ts";
import { type ModuleKind, SfpModule } from "./sfp_module.ts";
import { Timing, type TimingOptions } from "./timing.ts";

/** Descriptors of a queue and frames in one round, unless an option says otherwise. */
const BUDGET = 64;
/** A word of the EEPROM that its checksum covers, and nothing depends on. */
const DAMAGED_WORD = 0x3e;
/** Rounds between two checks of writes through the doorbell mapping. */
const INSPECT_EVERY = 1024;

/** Options of a {@linkcode Nic}. */
export interface NicOptions extends TimingOptions {
  /** PCI device ID: 0x10fb (SFP+, the default), 0x10f7 (KX4), 0x1528 (X540), 0x1563 (X550), … */
  readonly deviceId?: number;
  /** Station address, 6 bytes; default: 02:00:00:00:05:99. */
  readonly mac?: Uint8Array;
  /** Number of the port among the controller's two; default: 0. */
  readonly lanId?: 0 | 1;
  /** Whether the EEPROM is blank: EEC.EE_PRES and the station address are 0; default: false. */
  readonly blankEeprom?: boolean;
  /** Whether the EEPROM has a backplane advertise pause frames (AUTOC.PB); default: false. */
  readonly advertisesPause?: boolean;
  /** Whether the EEPROM's checksum is wrong; default: false. */
  readonly damagedEeprom?: boolean;
  /** Whether the EEPROM sets AUTOC2.LINK_DISABLE, which a driver has to clear (82599). */
  readonly linkDisabled?: boolean;
  /** How firmware behaves; default: it is ready at once, and holds nothing. */
  readonly firmware?: Firmware;
  /**
   * What a board with a cage has in it; default: a module for 10GBASE-SR; null for nothing.
   */
  readonly module?: ModuleKind | null;
  /** Clocks for which the module holds the data line of its bus down; default: 0. */
  readonly stuckClocks?: number;
  /** Whether the checksums in the module's memory are wrong; default: false. */
  readonly badChecksum?: boolean;
  /** What the EEPROM sets the link to on a board with a cage; default: SFI at 10 Gb/s. */
  readonly linkDefault?: LinkDefault;
  /**
   * Whether the analog core fits no module until a driver has written to CORECTL what the EEPROM lists;
   * default: false: it then fits all but passive cables.
   */
  readonly bareCore?: boolean;
  /**
   * With a cage: restarts of the link until one can bring a link; default: 0: the first look can.
   * Without: negotiations that bring none before one does, which takes effect with a delay of the
   * link.
   */
  readonly restarts?: number;
  /** Whether the EEPROM allows modules of all makers; default: true. */
  readonly anyModule?: boolean;
  /** Whether the EEPROM lists what to write to CORECTL; default: true. */
  readonly moduleList?: boolean;
  /**
   * Speeds of the link partner in Mb/s; default: all, or with a module the highest of its own. Where
   * the ends negotiate, the link has the highest speed that both advertise.
   */
  readonly partner?: readonly number[];
  /** Whether the link partner negotiates at 1 Gb/s; default: true. */
  readonly partnerNegotiates?: boolean;
  /**
   * Whether the link partner of a board with a cage has given up: there is no link until it sees the
   * laser go off and on, which tells it to begin again; default: false.
   */
  readonly partnerGaveUp?: boolean;
  /** Whether LINKS shows a link while the cage is empty, by crosstalk from other lanes; default: false. */
  readonly crosstalk?: boolean;
  /** BAR0 by word, as memory that the driver maps for its doorbells; default: private memory. */
  readonly doorbells?: Uint32Array;
  /** Whether tails are read from `doorbells` in every round; else only `write32()` writes them. */
  readonly pollDoorbells?: boolean;
  /** Whether a plain port shows the registers in `doorbells`, with `peek32()`. */
  readonly plain?: boolean;
  /** Memory that the device can reach; default: none. */
  readonly dma?: DmaMap;
  /**
   * Most descriptors of a transmit queue, frames from the wire, and frames that leave a packet buffer,
   * in one round; default: 64. With 1, who looks on sees the device work step by step.
   */
  readonly budget?: number;
  /** Is told what the device does by itself; default: nobody looks on, which costs nothing. */
  readonly observer?: DeviceObserver;
}

/** Running totals since the model was created, which no reset clears. */
export type NicCounters = {
  /** Frames from the wire that were for the host and found room. */
  readonly received: number;
  /** Frames for the host that found neither descriptor nor packet buffer. */
  readonly missed: number;
  /** Frames that the filters or the length limits refused. */
  readonly filtered: number;
  /** Frames that arrived while the receiver was off or the link down. */
  readonly ignored: number;
  /** Frames sent. */
  readonly transmitted: number;
};

/** Kinds of reset. */
export type ResetKind = "power-on" | "function";

/** One port of the controller. */
export class Nic implements WirePort {
  /** Memory that the device can reach. */
  readonly dma: DmaMap;
  /** The driver's violations of the datasheet. */
  readonly rules: Rules = new Rules();
  /** Sends the message of an interrupt vector; if undefined, messages are dropped. */
  onInterrupt: ((vector: number) => void) | undefined;
  /** The other end of the cable; if undefined, sent frames are dropped. */
  wire: Wire | undefined;

  readonly #file = new RegisterFile();
  readonly #causes: InterruptCauses;
  readonly #receiver: Receiver;
  readonly #transmitter: Transmitter;
  readonly #doorbells: Doorbells;
  readonly #registers: RegisterAccess;
  readonly #state: DeviceState;
  readonly #settings: PortSettings;
  readonly #timing: Timing;
  readonly #budget: number;
  /** Created with the first explanation. */
  #fates: Fates | undefined;
  #busMaster = false;
  #loopback = false;
  #sendsSignal = true;
  /** Whether a round is running: descriptors are written back at its end. */
  #polling = false;
  #rounds = 0;

  /**
   * Creates a port in its state after power-on.
   *
   * @param options The device, and its doorbells.
   * @throws {RangeError} if the station address is not 6 bytes, the doorbells are too short, or the
   * budget is not a whole number from 1 on.
   */
  constructor(options: NicOptions = {}) {
    const deviceId = options.deviceId ?? DEVICE.SFP;
    const blank = options.blankEeprom ?? false;
    const mac = blank
      ? new Uint8Array(6)
      : options.mac?.slice() ?? Uint8Array.of(2, 0, 0, 0, 5, 0x99);
    const lanId = options.lanId ?? 0;
    if (mac.length !== 6) throw new RangeError("a station address has 6 bytes");
    const { budget = BUDGET } = options;
    if (!Number.isInteger(budget) || budget < 1) {
      throw new RangeError(`a round has a budget of 1 or more, not ${budget}`);
    }
    this.#budget = budget;
    const words = eepromWords(deviceId);
    const { linkDisabled = false, linkDefault = "10G", module = "10G-SR" } = options;
    const { advertisesPause = false } = options;
    this.#settings = { mac, lanId, blank, advertisesPause, linkDisabled, linkDefault };
    this.dma = options.dma ?? new DmaMap();
    this.#timing = new Timing(options);
    const polled = options.pollDoorbells ? options.doorbells : undefined;
    this.#doorbells = new Doorbells(this.#file, this.rules, polled, options.plain);
    this.#causes = new InterruptCauses(
      this.#file,
      (vector) => this.onInterrupt?.(vector),
      options.observer,
    );
    const core: DeviceCore = {
      file: this.#file,
      rules: this.rules,
      statistics: new Statistics(),
      causes: this.#causes,
      time: new SystemTime(this.#file, this.#causes, timeKind(deviceId)),
      dma: this.dma,
      tails: this.#doorbells.words,
      observer: options.observer,
    };
    this.#receiver = new Receiver(
      core,
      hasLargeRedirectionTable(deviceId),
      isX540OrLater(deviceId),
    );
    const outlet = { send: (frame: FrameBuffer, length: number) => this.#send(frame, length) };
    this.#transmitter = new Transmitter(core, outlet);
    const { flow } = this.#receiver;
    flow.onPause = (milliseconds) => this.#transmitter.pause(milliseconds);
    flow.onSend = (frame, length) => {
      if (linkSpeed(this.#state) > 0 && !this.wire?.ignoresPause) {
        this.wire?.transmit(frame, length);
      }
    };
    this.#state = {
      ...core,
      deviceId,
      timing: this.#timing,
      receiver: this.#receiver,
      transmitter: this.#transmitter,
      phy: new Phy(phyOf(deviceId, lanId)),
      firmware: options.firmware ?? {},
      module: hasCage(deviceId) && module !== null
        ? new SfpModule({ ...options, kind: module, light: () => this.#state.linkPartner })
        : undefined,
      serdes: new Serdes(options.bareCore ? undefined : "module", options.restarts ?? 0),
      partnerNegotiates: options.partnerNegotiates ?? true,
      queueMemories: new QueueMemories(
        this.#file,
        this.rules,
        () => this.#transmitter.limit(this.#state.queueMemories.rates),
      ),
      eeprom: blank ? new Uint16Array(words).fill(0xffff) : makeEeprom(mac, lanId, {
        anyModule: options.anyModule ?? true,
        moduleList: options.moduleList ?? true,
      }, words),
      rest: new Rest(core, this.#transmitter, () => linkSpeed(this.#state) > 0),
      removed: false,
      linkPartner: true,
      linkFailures: hasCage(deviceId) ? 0 : options.restarts ?? 0,
      partnerSpeeds: options.partner ?? ALL_SPEEDS,
      partnerGaveUp: options.partnerGaveUp ?? false,
      crosstalk: options.crosstalk ?? false,
      advertised: 0,
      linkDelay: 0,
      negotiating: false,
      resetAt: 0,
      softwareResetAt: -Infinity,
      sawAutoRead: false,
      sawDmaInit: false,
      sawReceivePathEmpty: false,
      // CTRL.RST.
      softwareReset: (link) => {
        softwareReset(this.#state, link, () => this.#restart());
        this.#state.softwareResetAt = this.#state.resetAt;
      },
      update: () => this.#update(),
    };
    const { module: plugged } = this.#state;
    if (plugged && !options.partner) this.#state.partnerSpeeds = [plugged.fastest];
    if (options.damagedEeprom) this.#state.eeprom[DAMAGED_WORD] ^= 1;
    this.#registers = new RegisterAccess(this.#state, this.#doorbells);
    installControl(this.#state);
    installLink(this.#state);
    installDataPath(this.#state);
    installQueues(this.#state);
    if (this.#timing.takes("dma")) this.#postponeWriteBacks();
    this.reset();
  }

  /** Whether the receiver and its first queue are on and the link is up. */
  get receiving(): boolean {
    return this.#receiver.receiving && this.#receiver.hasQueue;
  }

  /** Whether the port receives, and its first queue has descriptors: a frame would not be missed. */
  get ready(): boolean {
    return this.receiving && this.view32(offsetOf(RDT)) !== this.view32(offsetOf(RDH));
  }

  /** Whether the port sends a signal that gives its partner a link. */
  get sendsSignal(): boolean {
    return this.#sendsSignal;
  }

  /** Running totals since the model was created. */
  get counters(): NicCounters {
    return { ...this.#receiver.totals, transmitted: this.#transmitter.transmitted };
  }

  /**
   * Reads a register, with the side effects.
   *
   * @param offset Offset in BAR0 in bytes.
   * @returns 32 bits; 0 where there is no register.
   */
  read32(offset: number): number {
    if (this.#timing.waiting) this.#timing.run();
    return this.#registers.read(offset);
  }

  /**
   * Reads a register for a plain port, whose driver's reads are not seen. As {@linkcode
   * Nic.read32}, but clears no count or cause, and takes no semaphore.
   *
   * @param offset Offset in BAR0 in bytes.
   * @returns 32 bits; 0 where there is no register.
   */
  peek32(offset: number): number {
    if (this.#timing.waiting) this.#timing.run();
    return this.#registers.peek(offset);
  }

  /**
   * Returns the value that {@linkcode Nic.read32} would, and changes nothing: who looks on may call
   * it at any time. It shows no effect of a delay that has ended since the last access or round, and
   * no semaphore that firmware takes just when the driver reads.
   *
   * @param offset Offset in BAR0 in bytes.
   * @returns 32 bits; 0 where there is no register.
   */
  view32(offset: number): number {
    return this.#registers.view(offset);
  }

  /**
   * Explains what would become of a frame from the wire if it arrived now, and changes nothing.
   *
   * @param frame The frame, without CRC.
   * @param length Its bytes, at most those of `frame`.
   */
  explain(frame: Uint8Array, length: number = frame.length): Fate {
    const { deviceId } = this.#state;
    this.#fates ??= new Fates(this.#state, this.#receiver, hasLargeRedirectionTable(deviceId));
    return this.#fates.explain(frame.subarray(0, length), linkSpeed(this.#state) > 0);
  }

  /** Adds the counts since the last call to the statistics registers. */
  settle(): void {
    this.#registers.settle();
  }

  /**
   * Writes a register, with the side effects.
   *
   * @param offset Offset in BAR0 in bytes.
   * @param value 32 bits.
   */
  write32(offset: number, value: number): void {
    if (this.#timing.waiting) this.#timing.run();
    this.#registers.write(offset, value);
  }

  /**
   * Turns bus master on or off, as PCI configuration space says: only a bus master accesses memory.
   *
   * @param on Bus Master Enable of the Command register (section 9.3.3.3).
   */
  setBusMaster(on: boolean): void {
    this.#busMaster = on && !this.#state.removed;
    this.#state.rest.busMaster();
    this.#update();
  }

  /**
   * Resets everything but PCI configuration space and the list of violations.
   *
   * @param kind Kind of reset: only power-on resets the PHY and ESDP (8.2.3.1.4).
   */
  reset(kind: ResetKind = "power-on"): void {
    if (kind === "power-on") {
      this.#state.phy.reset();
      this.#state.serdes.reset();
      this.#state.queueMemories.clear();
      this.#transmitter.limit(this.#state.queueMemories.rates);
      this.#file.set(ESDP, boardPins(this.#state.deviceId));
      this.#rounds = 0;
    }
    this.#state.rest.forget();
    this.#state.softwareResetAt = -Infinity;
    this.#restart();
    // The PHY of X540 and X550 keeps its link.
    if (kind === "power-on" || !isX540OrLater(this.#state.deviceId)) train(this.#state);
  }

  /** Removes the device while a driver uses it: registers read as ones, and no memory is reached. */
  remove(): void {
    this.#state.removed = true;
    this.setBusMaster(false);
  }

  /** Ends the driver's use of the port: no DMA, no mappings, and a function level reset. */
  disconnect(): void {
    this.#polling = false; // a round may have ended with an error
    this.#busMaster = false;
    this.reset("function");
    this.dma.clear();
  }

  /**
   * Does one round: sends, delivers frames that wait for descriptors, and takes frames from the
   * wire.
   *
   * @returns Units of work done; 0 lets the caller wait.
   */
  poll(): number {
    if (this.#state.removed) return 0;
    if (this.#timing.waiting) this.#timing.run();
    if (++this.#rounds % INSPECT_EVERY === 0) this.#doorbells.inspect();
    this.#polling = true;
    let work = this.#transmitter.poll(this.#budget) + this.#receiver.poll(this.#budget);
    const wire = this.wire;
    if (wire !== undefined) work += wire.poll(this, this.#budget);
    this.#receiver.writeBack();
    this.#polling = false;
    if (this.#causes.waiting && this.#busMaster) this.#causes.service();
    return work;
  }

  /**
   * Takes a frame from the wire.
   *
   * @param frame Holds the frame. The four bytes after it may be overwritten.
   * @param length Bytes of the frame, without CRC.
   * @returns false if there was neither a descriptor nor room to wait for one.
   */
  receive(frame: FrameBuffer, length: number): boolean {
    if (this.#loopback) return this.#receiver.ignore(); // the wire is cut off
    const taken = this.#receiver.receive(frame, length);
    if (!this.#polling) this.#receiver.writeBack();
    return taken;
  }

  /**
   * Connects or disconnects the link partner.
   *
   * @param up Whether there is a partner.
   * @param speeds Its speeds in Mb/s: 100, 1000, 2500, 5000 or 10000; none: unchanged.
   */
  setLink(up: boolean, ...speeds: readonly number[]): void {
    const changed = up !== this.#state.linkPartner || speeds.length > 0;
    if (up && changed) train(this.#state);
    this.#state.linkPartner = up;
    if (speeds.length > 0) this.#state.partnerSpeeds = speeds;
    this.#causes.raiseOther(EICR.LSC);
    this.#update();
  }

  #send(frame: FrameBuffer, length: number): void {
    if (this.#loopback) this.#receiver.receive(frame, length);
    else if (this.wire !== undefined) this.wire.transmit(frame, length);
  }

  #postponeWriteBacks(): void {
    this.#receiver.postpone = (action) => this.#timing.after("dma", "receive", action);
    this.#transmitter.postpone = (action) => this.#timing.after("dma", "transmit", action);
  }

  #restart(): void {
    resetRegisters(this.#state, this.#settings);
    this.#doorbells.reset();
    this.#receiver.reset();
    this.#receiver.resizeBuffers();
    this.#transmitter.reset();
    this.#causes.reset();
    this.#state.time.reset();
    this.#update();
  }

  #update(): void {
    const file = this.#file;
    const { phy, linkPartner, partnerSpeeds } = this.#state;
    phy.connect(linkPartner && !this.#timing.isPending("link") ? partnerSpeeds : []);
    this.#sendsSignal = sendsSignal(this.#state);
    const megabits = linkSpeed(this.#state);
    this.#state.time.setSpeed(megabits || 10_000);
    this.#receiver.flow.megabits = megabits || 10_000;
    const link = megabits > 0;
    const loopback = (file.get(HLREG0) & HLREG0.LPBK) !== 0;
    const dma = this.#busMaster && (file.get(CTRL) & CTRL.GIO_DIS) === 0;
    this.#loopback = loopback;
    this.#receiver.dmaAllowed = dma;
    this.#receiver.busMaster = this.#busMaster;
    this.#transmitter.dmaAllowed = dma;
    this.#transmitter.busMaster = this.#busMaster;
    this.#receiver.receiving = (link || loopback) && (file.get(RXCTRL) & RXCTRL.RXEN) !== 0 &&
      (file.get(SECRXCTRL) & SECRXCTRL.RX_DIS) === 0;
    this.#transmitter.sending = (link || loopback) && (file.get(DMATXCTL) & DMATXCTL.TE) !== 0 &&
      (file.get(SECTXCTRL) & SECTXCTRL.TX_DIS) === 0;
  }
}
