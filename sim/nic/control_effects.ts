/**
 * Effects of accesses to the modelled device's control registers: reset and master disable, EEPROM,
 * and semaphores (datasheet sections 8.2.3.1 to 8.2.3.4).
 *
 * @module
 */

import {
  CTRL,
  EEC,
  EERD,
  FRTIMER,
  GCR_EXT,
  RDRXCTL,
  STATUS,
  SW_FW_SYNC,
  SWSM,
} from "../../ixgbe/registers.ts";
import { hex, type Register } from "../../src/registers.ts";
import { isX540OrLater } from "./boards.ts";
import { type DeviceState, enabledReceiveQueue } from "./device_state.ts";
import { checkReset, firmwareHolds, installFirmware, withHeld } from "./firmware.ts";
import { installHostInterface } from "./host_interface.ts";
import { linkSpeed } from "./link_effects.ts";
import { SpiEeprom } from "./spi_eeprom.ts";

/** Milliseconds until the reset bits clear themselves; a read clears them earlier. */
const RESET_TAKES = 1;
/** What software sets in EEC: pins, Flash writes, and the request for the pins. */
const EEC_WRITABLE = EEC.SK | EEC.CS | EEC.DI | EEC.FWE | EEC.REQ;
/** Registers by which software and firmware share the device (10.5.4). */
export const SEMAPHORES: readonly Register[] = [SWSM, SW_FW_SYNC];

/** Installs the effects of control registers. */
export function installControl(state: DeviceState): void {
  installReset(state);
  installRest(state);
  installTimer(state);
  installEeprom(state);
  installSemaphores(state);
  installFirmware(state);
  installHostInterface(state);
}

function installReset(state: DeviceState): void {
  const { file } = state;
  file.onWrite(CTRL, (value) => {
    if (value & (CTRL.RST | CTRL.LRST)) {
      checkReset(state, value);
      state.rest.reset();
      state.softwareReset((value & CTRL.LRST) !== 0);
      state.timing.after("reset", "reset", () => {
        file.set(CTRL, file.get(CTRL) & ~(CTRL.RST | CTRL.LRST));
      });
      return (value & (CTRL.RST | CTRL.LRST)) >>> 0;
    }
    if (value & CTRL.GIO_DIS) checkQueuesStopped(state);
    state.rest.disable((value & CTRL.GIO_DIS) !== 0);
    if (value & CTRL.GIO_DIS) state.timing.after("dma", "master", () => {});
    return value;
  });
  file.onSettled(CTRL, () => state.update());
  // The reset bits clear themselves. A driver that reads within a millisecond sees them once.
  const shown = (value: number) =>
    state.timing.takes("reset") || state.timing.now() - state.resetAt < RESET_TAKES
      ? value
      : value & ~(CTRL.RST | CTRL.LRST);
  file.onRead(CTRL, (value) => {
    if (!state.timing.takes("reset")) file.set(CTRL, value & ~(CTRL.RST | CTRL.LRST));
    return shown(value);
  }, shown);
}

// FRTIMER: microseconds and milliseconds of 10 bits each, seconds above.
function installTimer({ file }: DeviceState): void {
  const start = performance.now();
  file.onRead(FRTIMER, () => {
    const microseconds = Math.floor((performance.now() - start) * 1000);
    const milliseconds = Math.floor(microseconds / 1000), seconds = Math.floor(milliseconds / 1000);
    return (seconds << 20 | milliseconds % 1000 << 10 | microseconds % 1000) >>> 0;
  });
}

function installRest(state: DeviceState): void {
  const { file, rest } = state;
  const shown = (value: number, isAtRest: () => boolean) => {
    const stopped = file.get(CTRL) & CTRL.GIO_DIS && !writesBack(state);
    if (stopped && isAtRest()) value &= ~STATUS.GIO_MASTER_ENABLE;
    return linkSpeed(state) > 0 ? value | STATUS.LINK_UP : value;
  };
  file.onRead(
    STATUS,
    (value) => shown(value, () => rest.look()),
    (value) => shown(value, () => !rest.viewPending),
  );
  file.onWrite(GCR_EXT, (value, old) => {
    if (value & ~old & GCR_EXT.BUFFERS_CLEAR_FUNC) rest.clear();
    return value;
  });
}

/** Whether write-backs, or the end of DMA, are still to come. */
function writesBack({ timing, receiver, transmitter }: DeviceState): boolean {
  return timing.isPending("master") || receiver.unwritten || transmitter.unwritten;
}

function checkQueuesStopped(state: DeviceState): void {
  if (state.file.get(CTRL) & CTRL.GIO_DIS) return;
  const index = enabledReceiveQueue(state);
  if (index < 0) return;
  const rule = "receive queues disabled before CTRL.GIO_DIS is set";
  state.rules.violate("CTRL", "5.2.5.3.2", rule, `RXDCTL[${index}].ENABLE is set`);
}

function installEeprom(state: DeviceState): void {
  const { file, eeprom, rules, timing } = state;
  const autoRead = new Initialisation(state, "auto read");
  file.onRead(EEC, (value) => {
    if (!autoRead.look()) return value;
    state.sawAutoRead = true;
    return value | EEC.AUTO_RD;
  }, (value) => autoRead.done ? value | EEC.AUTO_RD : value);
  const spi = new SpiEeprom(eeprom);
  file.onWrite(EEC, (value, old) => {
    if (isX540OrLater(state.deviceId)) return old;
    const kept = old & ~(EEC_WRITABLE | EEC.GNT | EEC.DO) | value & EEC_WRITABLE;
    if ((value & EEC.REQ) === 0) return kept;
    if ((old & EEC.GNT) === 0) return kept | EEC.GNT;
    const out = spi.drive((value & EEC.CS) !== 0, (value & EEC.SK) !== 0, (value & EEC.DI) !== 0);
    return kept | EEC.GNT | (out ? EEC.DO : 0);
  });
  const dmaInit = new Initialisation(state, "DMA init");
  file.onRead(RDRXCTL, (value) => {
    if (!dmaInit.look()) return value;
    state.sawDmaInit = true;
    return value | RDRXCTL.DMAIDONE;
  }, (value) => dmaInit.done ? value | RDRXCTL.DMAIDONE : value);
  file.onWrite(RDRXCTL, (value) => value & ~RDRXCTL.DMAIDONE);
  file.onWrite(EERD, (value) => {
    if ((value & EERD.START) === 0) return value;
    const address = (value & EERD.ADDR) >>> 2;
    if (address >= eeprom.length) {
      rules.violate("EERD", "8.2.3.2.2", "ADDR is inside the EEPROM", `word ${address}`);
    }
    const word = address < eeprom.length ? eeprom[address] : 0xffff;
    const done = (word << 16 | value & EERD.ADDR | EERD.DONE) >>> 0;
    if (!timing.takes("bus")) return done;
    timing.after("bus", "EERD", () => file.set(EERD, done));
    return value & ~EERD.DONE;
  });
}

/**
 * A part of the device's own initialisation after a reset. Without a delay, the first look comes too
 * early, so that a driver that does not wait is noticed.
 */
class Initialisation {
  readonly #state: DeviceState;
  readonly #event: string;
  /** Time of the last reset that a look followed. */
  #seen = NaN;

  /** @param event Key of the event that ends it, with a delay. */
  constructor(state: DeviceState, event: string) {
    this.#state = state;
    this.#event = event;
  }

  /** Whether the next look shows that it is done. */
  get done(): boolean {
    const { timing, resetAt } = this.#state;
    return timing.takes("eeprom") ? !timing.isPending(this.#event) : this.#seen === resetAt;
  }

  /** The driver looks whether it is done. */
  look(): boolean {
    const { done } = this;
    this.#seen = this.#state.resetAt;
    return done;
  }
}

function installSemaphores(state: DeviceState): void {
  const { file, rules, timing, firmware: { stuck } } = state;
  const shown = (value: number) => stuck === "SMBI" ? value | SWSM.SMBI : value;
  file.onRead(SWSM, (value) => {
    file.set(SWSM, value | SWSM.SMBI); // a driver that reads 0 has taken it (8.2.3.4)
    return shown(value);
  }, shown);
  file.onWrite(SWSM, (value, old) => {
    const taken = value & ~old & SWSM.SWESMBI && firmwareHolds(state);
    return taken || stuck === "SWESMBI" ? value & ~SWSM.SWESMBI : value;
  });
  file.onRead(SW_FW_SYNC, (stored) => {
    const value = withHeld(state, stored);
    if (isX540OrLater(state.deviceId) && !(value & SW_FW_SYNC.REGSMP) && firmwareHolds(state)) {
      return (value | SW_FW_SYNC.REGSMP) >>> 0;
    }
    if (isX540OrLater(state.deviceId)) file.set(SW_FW_SYNC, value | SW_FW_SYNC.REGSMP);
    return value;
  }, (stored) => {
    const held = isX540OrLater(state.deviceId) && timing.isPending("semaphore");
    return withHeld(state, stored) | (held ? SW_FW_SYNC.REGSMP : 0);
  });
  file.onWrite(SW_FW_SYNC, (value, old) => {
    if (!isX540OrLater(state.deviceId) && value !== old && (file.get(SWSM) & SWSM.SWESMBI) === 0) {
      const detail = `${hex(old)} to ${hex(value)}`;
      rules.violate("SW_FW_SYNC", "10.5.4", "written only while SWSM.SWESMBI is held", detail);
    }
    return value;
  });
}
