/**
 * A register-accurate model of Intel's 82599 10 GbE controller: what a driver reads and writes in
 * BAR0, what the device does to its descriptors and buffers, and a list of every rule of the
 * datasheet that the driver broke.
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
 * Not modelled: timing, receive coalescing, virtual functions.
 *
 * @module
 */

import {
  CTRL,
  DMATXCTL,
  EICR,
  ESDP,
  HLREG0,
  RXCTRL,
  SECRXCTRL,
  SECTXCTRL,
} from "../../ixgbe/registers.ts";
import type { FrameBuffer } from "../frames/frame.ts";
import { InterruptCauses } from "../registers/interrupt_causes.ts";
import { RegisterFile } from "../registers/register_file.ts";
import { Rules } from "../registers/rules.ts";
import { Statistics } from "../registers/statistics.ts";
import { DmaMap } from "../rings/dma_map.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { Receiver } from "../rx/receiver.ts";
import { Transmitter } from "../tx/transmitter.ts";
import type { Wire, WirePort } from "../wires/wire.ts";
import { boardPins, DEVICE, hasLargeRedirectionTable, phyOf } from "./boards.ts";
import { installControl } from "./control_effects.ts";
import { installDataPath } from "./data_path_effects.ts";
import type { DeviceState } from "./device_state.ts";
import { Doorbells } from "./doorbells.ts";
import { makeEeprom } from "./eeprom.ts";
import { currentLink, installLink } from "./link_effects.ts";
import { Phy } from "./phy.ts";
import { installQueues } from "./queue_effects.ts";
import { RegisterAccess } from "./register_access.ts";
import { keepSemaphores, type PortSettings, resetRegisters } from "./reset.ts";

/** Most frames taken from the wire in one round. */
const WIRE_BUDGET = 64;
/** Rounds between two looks at what was written through the doorbell mapping. */
const INSPECT_EVERY = 1024;

/** What a {@linkcode Nic} is made with. */
export interface NicOptions {
  /** PCI device ID: 0x10fb (SFP+, the default), 0x10f7 (KX4), 0x1528 (X540), 0x1563 (X550), … */
  readonly deviceId?: number;
  /** Station address, 6 bytes; default 02:00:00:00:05:99. */
  readonly mac?: Uint8Array;
  /** Which of the controller's two ports it is; default 0. */
  readonly lanId?: 0 | 1;
  /** Whether the EEPROM has the link disabled until a driver clears AUTOC2.LINK_DISABLE (82599). */
  readonly linkDisabled?: boolean;
  /** BAR0 by word, as memory that the driver maps for its doorbells; default private memory. */
  readonly doorbells?: Uint32Array;
  /** Whether tails are read from `doorbells` in every round; else only `write32()` moves them. */
  readonly pollDoorbells?: boolean;
  /** Whether the registers in `doorbells` are a plain port's, which shows them by `peek32()`. */
  readonly plain?: boolean;
  /** Memory that the device can reach; default none. */
  readonly dma?: DmaMap;
}

/** Running totals since the model was made, whatever the driver clears or resets. */
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

/** How a reset comes about. */
export type ResetKind = "power-on" | "function";

/** One port of the controller. */
export class Nic implements WirePort {
  /** Memory that the device can reach. */
  readonly dma: DmaMap;
  /** What the driver did that the datasheet forbids. */
  readonly rules: Rules = new Rules();
  /** Sends the message of an interrupt vector; while it is undefined, none is sent. */
  onInterrupt: ((vector: number) => void) | undefined;
  /** The other end of the cable; while it is undefined, frames that are sent are lost. */
  wire: Wire | undefined;

  readonly #file = new RegisterFile();
  readonly #causes: InterruptCauses;
  readonly #receiver: Receiver;
  readonly #transmitter: Transmitter;
  readonly #doorbells: Doorbells;
  readonly #registers: RegisterAccess;
  readonly #state: DeviceState;
  readonly #settings: PortSettings;
  #busMaster = false;
  #loopback = false;
  /** Whether a round is under way, at the end of which descriptors are written back. */
  #polling = false;
  #rounds = 0;

  /**
   * Makes a port that has just been powered on.
   *
   * @param options Which device, and where its doorbells are.
   * @throws {RangeError} if the address is not 6 bytes or the doorbells are too short.
   */
  constructor(options: NicOptions = {}) {
    const deviceId = options.deviceId ?? DEVICE.SFP;
    const mac = options.mac?.slice() ?? Uint8Array.of(2, 0, 0, 0, 5, 0x99);
    const lanId = options.lanId ?? 0;
    if (mac.length !== 6) throw new RangeError("a station address has 6 bytes");
    this.#settings = { mac, lanId, linkDisabled: options.linkDisabled ?? false };
    this.dma = options.dma ?? new DmaMap();
    const polled = options.pollDoorbells ? options.doorbells : undefined;
    this.#doorbells = new Doorbells(this.#file, this.rules, polled, options.plain);
    this.#causes = new InterruptCauses(this.#file, (vector) => this.onInterrupt?.(vector));
    const core: DeviceCore = {
      file: this.#file,
      rules: this.rules,
      statistics: new Statistics(),
      causes: this.#causes,
      dma: this.dma,
      tails: this.#doorbells.words,
    };
    this.#receiver = new Receiver(core, hasLargeRedirectionTable(deviceId));
    const outlet = { send: (frame: FrameBuffer, length: number) => this.#send(frame, length) };
    this.#transmitter = new Transmitter(core, outlet);
    this.#state = {
      ...core,
      deviceId,
      receiver: this.#receiver,
      transmitter: this.#transmitter,
      phy: new Phy(phyOf(deviceId)),
      eeprom: makeEeprom(mac, lanId),
      linkPartner: true,
      linkDelay: 0,
      negotiating: false,
      resetAt: 0,
      sawAutoRead: false,
      sawDmaInit: false,
      sawMasterDisabled: false,
      sawReceivePathEmpty: false,
      // CTRL.RST.
      softwareReset: () => keepSemaphores(this.#state, () => this.#restart()),
      update: () => this.#update(),
    };
    this.#registers = new RegisterAccess(this.#state, this.#doorbells);
    installControl(this.#state);
    installLink(this.#state);
    installDataPath(this.#state);
    installQueues(this.#state);
    this.reset();
  }

  /** Whether the receiver and its first queue are on and the link is up. */
  get receiving(): boolean {
    return this.#receiver.receiving && this.#receiver.hasQueue;
  }

  /** Running totals since the model was made. */
  get counters(): NicCounters {
    return { ...this.#receiver.totals, transmitted: this.#transmitter.transmitted };
  }

  /**
   * Reads a register, with what reading does to it.
   *
   * @param offset Offset in BAR0 in bytes.
   * @returns 32 bits; 0 where there is no register.
   */
  read32(offset: number): number {
    return this.#registers.read(offset);
  }

  /**
   * What a register shows to a driver whose reads cannot be seen: as {@linkcode Nic.read32}, but
   * clears no count or cause, and takes no semaphore.
   *
   * @param offset Offset in BAR0 in bytes.
   * @returns 32 bits; 0 where there is no register.
   */
  peek32(offset: number): number {
    return this.#registers.peek(offset);
  }

  /** Moves what was counted since the last call to the statistics registers. */
  settle(): void {
    this.#registers.settle();
  }

  /**
   * Writes a register, with what writing does to it.
   *
   * @param offset Offset in BAR0 in bytes.
   * @param value 32 bits.
   */
  write32(offset: number, value: number): void {
    this.#registers.write(offset, value);
  }

  /**
   * Follows PCI configuration space: the device accesses memory only as bus master.
   *
   * @param on Bus Master Enable of the Command register (section 9.3.3.3).
   */
  setBusMaster(on: boolean): void {
    this.#busMaster = on;
    this.#update();
  }

  /**
   * Puts everything to its initial value, PCI configuration space apart. Violations stay.
   *
   * @param kind How the reset comes about: only power-on resets the PHY, and ESDP (8.2.3.1.4).
   */
  reset(kind: ResetKind = "power-on"): void {
    if (kind === "power-on") {
      this.#state.phy.reset();
      this.#file.set(ESDP, boardPins(this.#state.deviceId));
      this.#rounds = 0;
    }
    this.#restart();
  }

  /** The driver has gone: no DMA, no mappings, and registers as after a function level reset. */
  disconnect(): void {
    this.#busMaster = false;
    this.reset("function");
    this.dma.clear();
  }

  /**
   * Does one round: descriptors to send, frames that wait for descriptors, frames from the wire.
   *
   * @returns Units of work done; 0 lets the caller rest.
   */
  poll(): number {
    if (++this.#rounds % INSPECT_EVERY === 0) this.#doorbells.inspect();
    this.#polling = true;
    let work = this.#transmitter.poll() + this.#receiver.poll();
    const wire = this.wire;
    if (wire !== undefined) work += wire.poll(this, WIRE_BUDGET);
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
    const taken = this.#receiver.receive(frame, length);
    if (!this.#polling) this.#receiver.writeBack();
    return taken;
  }

  /**
   * Plugs or unplugs the link partner.
   *
   * @param up Whether a partner is there.
   * @param mbps Speed in Mb/s: 100, 1000, 2500, 5000 or 10000; default unchanged.
   */
  setLink(up: boolean, mbps?: number): void {
    this.#state.linkPartner = up;
    if (mbps !== undefined) this.#state.phy.mbps = mbps;
    this.#causes.raiseOther(EICR.LSC);
    this.#update();
  }

  #send(frame: FrameBuffer, length: number): void {
    if (this.#loopback) this.#receiver.receive(frame, length);
    else if (this.wire !== undefined) this.wire.transmit(frame, length);
  }

  #restart(): void {
    resetRegisters(this.#state, this.#settings);
    this.#doorbells.reset();
    this.#receiver.reset();
    this.#receiver.resizeBuffer();
    this.#transmitter.reset();
    this.#causes.reset();
    this.#update();
  }

  #update(): void {
    const file = this.#file;
    this.#state.phy.partner = this.#state.linkPartner;
    const link = currentLink(this.#state);
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
