/**
 * What accesses to the modelled device's control registers do: reset and master disable, EEPROM,
 * semaphores, MDIO, SFP+ module, link (datasheet sections 8.2.3.1 to 8.2.3.4 and 8.2.3.22).
 *
 * @module
 */

import {
  ANLP1,
  AUTOC,
  AUTOC2,
  CTRL,
  EEC,
  EEC_X550EM_A,
  EERD,
  EICR,
  ESDP,
  I2CCTL,
  LINKS,
  MSCA,
  MSRWD,
  RDRXCTL,
  RXDCTL,
  STATUS,
  SW_FW_SYNC,
  SW_FW_SYNC_X550EM_A,
  SWSM,
  SWSM_X550EM_A,
} from "../../ixgbe/registers.ts";
import { hex, type Register } from "../../src/registers.ts";
import { DEVICE, type DeviceState, isX540OrLater, linkUp, phyOf } from "./device_state.ts";
import { installFlowDirector } from "../flow/director.ts";
import { installHostInterface } from "./host_interface.ts";
import { SfpModule } from "./sfp_module.ts";

/** Milliseconds after a reset until its bits clear themselves, for a driver that does not look earlier. */
const RESET_TAKES = 1;
/** PCI device IDs of the boards that have a cage for an SFP+ module. */
const CAGES: readonly number[] = [
  ...[DEVICE.SFP, 0x1507, 0x1529, 0x154a, 0x154d, 0x1557, 0x1558],
];
/** The pin that turns the module's laser off: while it is an output, and high. */
const LASER_OFF = ESDP.SDP3_DIR | ESDP.SDP3;

/** ANLP1.AN_STATE once negotiation has begun. */
const AN_STATE_WAITING = 1 << 16;

/** Says what accesses to control registers do. */
export function installControl(state: DeviceState): void {
  installReset(state);
  installEeprom(state);
  installSemaphores(state);
  installMdio(state);
  installHostInterface(state);
  installModule(state);
  installLink(state);
  installFlowDirector(state);
}

/** Link mode (AUTOC.LMS) that the EEPROM sets for the board. */
export function boardLinkMode(deviceId: number): number {
  return deviceId === DEVICE.KX4 ? AUTOC.LMS_KX4_KX_KR : AUTOC.LMS_10G_SERIAL;
}

function installReset(state: DeviceState): void {
  const { file, rules } = state;
  file.onWrite(CTRL, (value) => {
    if (value & (CTRL.RST | CTRL.LRST)) {
      if (!state.sawMasterDisabled) {
        rules.violate(
          "CTRL",
          "5.2.5.3.2",
          "CTRL.GIO_DIS set and STATUS.GIO_MASTER_ENABLE seen clear before a reset",
          file.get(CTRL) & CTRL.GIO_DIS ? "STATUS was not read" : "GIO_DIS is 0",
        );
      }
      state.softwareReset();
      return (value & (CTRL.RST | CTRL.LRST)) >>> 0;
    }
    if (value & CTRL.GIO_DIS) checkQueuesStopped(state);
    else state.sawMasterDisabled = false;
    return value;
  });
  file.onSettled(CTRL, () => state.update());
  file.onRead(CTRL, (value) => {
    // The reset bits clear themselves; whoever looks within a millisecond sees them once.
    file.set(CTRL, value & ~(CTRL.RST | CTRL.LRST));
    return performance.now() - state.resetAt < RESET_TAKES ? value : file.get(CTRL);
  });
  file.onRead(STATUS, (value) => {
    if (file.get(CTRL) & CTRL.GIO_DIS) {
      state.sawMasterDisabled = true;
      value &= ~STATUS.GIO_MASTER_ENABLE;
    }
    return currentLink(state) ? value | STATUS.LINK_UP : value;
  });
}

function checkQueuesStopped(state: DeviceState): void {
  const { file, rules } = state;
  if (file.get(CTRL) & CTRL.GIO_DIS) return;
  for (let index = 0; index < RXDCTL.count; index++) {
    if ((file.get(RXDCTL, index) & RXDCTL.ENABLE) === 0) continue;
    const rule = "receive queues disabled before CTRL.GIO_DIS is set";
    rules.violate("CTRL", "5.2.5.3.2", rule, `RXDCTL[${index}].ENABLE is set`);
    return;
  }
}

function installEeprom(state: DeviceState): void {
  const { file, eeprom, rules } = state;
  for (const register of [EEC, EEC_X550EM_A] as Register[]) {
    const early = firstLook(state);
    file.onRead(register, (value) => {
      if (early()) return value;
      state.sawAutoRead = true;
      return value | EEC.AUTO_RD;
    });
  }
  const early = firstLook(state);
  file.onRead(RDRXCTL, (value) => {
    if (early()) return value;
    state.sawDmaInit = true;
    return value | RDRXCTL.DMAIDONE;
  });
  file.onWrite(RDRXCTL, (value) => value & ~RDRXCTL.DMAIDONE);
  file.onWrite(EERD, (value) => {
    if ((value & EERD.START) === 0) return value;
    const address = (value & EERD.ADDR) >>> 2;
    if (address >= eeprom.length) {
      rules.violate("EERD", "8.2.3.2.2", "ADDR is inside the EEPROM", `word ${address}`);
    }
    const word = address < eeprom.length ? eeprom[address] : 0xffff;
    return (word << 16 | value & EERD.ADDR | EERD.DONE) >>> 0;
  });
}

// Whoever looks for the first time after a reset is too early, however late it is: a driver that does
// not wait is found out.
function firstLook(state: DeviceState): () => boolean {
  let seen = NaN;
  return () => {
    const first = seen !== state.resetAt;
    seen = state.resetAt;
    return first;
  };
}

function installSemaphores(state: DeviceState): void {
  const { file, rules } = state;
  for (const register of [SWSM, SWSM_X550EM_A] as Register[]) {
    file.onRead(register, (value) => {
      file.set(register, value | SWSM.SMBI); // who reads it clear has it (8.2.3.4)
      return value;
    });
  }
  for (const register of [SW_FW_SYNC, SW_FW_SYNC_X550EM_A] as Register[]) {
    file.onRead(register, (value) => {
      if (isX540OrLater(state)) file.set(register, value | SW_FW_SYNC.REGSMP);
      return value;
    });
  }
  file.onWrite(SW_FW_SYNC, (value, old) => {
    if (!isX540OrLater(state) && value !== old && (file.get(SWSM) & SWSM.SWESMBI) === 0) {
      const detail = `${hex(old)} to ${hex(value)}`;
      rules.violate("SW_FW_SYNC", "10.5.4", "written only while SWSM.SWESMBI is held", detail);
    }
    return value;
  });
}

function installMdio(state: DeviceState): void {
  const { file, phy } = state;
  let address = 0;
  file.onWrite(MSCA, (value) => {
    if ((value & MSCA.MDI_COMMAND) === 0) return value;
    checkPhyHeld(state);
    const device = (value & MSCA.DEV_ADD) >>> 16;
    const port = (value & MSCA.PHY_ADD) >>> 21;
    const operation = value & MSCA.OP_CODE;
    if (operation === MSCA.OP_ADDRESS) address = value & MSCA.MDI_ADD;
    else if (operation === MSCA.OP_WRITE) {
      const data = file.get(MSRWD) & MSRWD.MDI_WRITE_DATA;
      if (phy.write(port, device, address, data)) renegotiate(state);
    } else {
      const data = phy.read(port, device, address);
      file.set(MSRWD, file.get(MSRWD) & MSRWD.MDI_WRITE_DATA | data << 16);
    }
    return value & ~MSCA.MDI_COMMAND;
  });
}

// The PHY of X540 and X550 has firmware, which uses the same bus.
function checkPhyHeld({ deviceId, file, rules }: DeviceState): void {
  if (phyOf(deviceId) === 0) return;
  const first = (file.get(STATUS) & STATUS.LAN_ID) === 0;
  const semaphore = first ? SW_FW_SYNC.SW_PHY_SM0 : SW_FW_SYNC.SW_PHY_SM1;
  const sync = file.get(SW_FW_SYNC);
  if ((sync & semaphore) !== 0) return;
  const rule = "a command is given while the port's SW_PHY_SM is held (X540, X550)";
  rules.violate("MSCA", "10.5.4", rule, `SW_FW_SYNC ${hex(sync)}`);
}

/** ESDP at power-on, by the EEPROM: resets keep it (8.2.3.1.4). The module's laser is on. */
export function boardPins(deviceId: number): number {
  return CAGES.includes(deviceId) ? ESDP.SDP3_DIR : 0;
}

// An SFP+ board has a module in its cage, and tells by a pin; on others the I2C bus is idle.
function installModule(state: DeviceState): void {
  const { file } = state;
  const module = CAGES.includes(state.deviceId) ? new SfpModule() : undefined;
  file.onWrite(I2CCTL, (value) => {
    const clock = (value & I2CCTL.CLK_OUT) !== 0, data = (value & I2CCTL.DATA_OUT) !== 0;
    const line = module?.drive(clock, data) ?? data;
    return value & (I2CCTL.CLK_OUT | I2CCTL.DATA_OUT) | (clock ? I2CCTL.CLK_IN : 0) |
      (line ? I2CCTL.DATA_IN : 0);
  });
  file.onRead(ESDP, (value) => module && !(value & ESDP.SDP2_DIR) ? value | ESDP.SDP2 : value);
  file.onWrite(ESDP, (value, old) => {
    if (module && darkens(value) !== darkens(old)) renegotiate(state);
    return value;
  });
  file.onSettled(ESDP, () => state.update());
}

function darkens(esdp: number): boolean {
  return (esdp & LASER_OFF) === LASER_OFF;
}

function installLink(state: DeviceState): void {
  const { file, rules } = state;
  file.onWrite(AUTOC, (value, old) => {
    if (isX540OrLater(state) && (value ^ old) & AUTOC.LMS) {
      const rule = "no link mode to set: the PHY decides (X540, X550)";
      rules.violate("AUTOC", "8.2.3.22.19", rule, `${hex(old)} to ${hex(value)}`);
    }
    if (value & AUTOC.RESTART_AN) renegotiate(state);
    return value & ~AUTOC.RESTART_AN;
  });
  file.onSettled(AUTOC, () => {
    state.negotiating ||= negotiates(file.get(AUTOC));
    state.update();
  });
  file.onSettled(AUTOC2, () => state.update());
  // In backplane modes the board negotiates, with nobody: the state machine leaves its first state, and
  // does not return to it if another mode is set.
  file.onRead(ANLP1, (value) => {
    return state.negotiating ? value & ~ANLP1.AN_STATE | AN_STATE_WAITING : value;
  });
  file.onRead(LINKS, () => {
    if (state.linkDelay > 0) {
      state.linkDelay--;
      return 0;
    }
    return currentLink(state) ? LINKS.UP | speedBits(state.phy.mbps) : 0;
  });
}

/** Whether a value of AUTOC asks for negotiation over a backplane. */
export function negotiates(autoc: number): boolean {
  return (autoc & AUTOC.LMS) >= AUTOC.LMS_KX4_KX_KR;
}

/** The link goes down, and comes up again if it may. */
function renegotiate(state: DeviceState): void {
  state.linkDelay = 1;
  state.causes.raiseOther(EICR.LSC);
  state.update();
}

/** Whether the link is up now. */
export function currentLink(state: DeviceState): boolean {
  const { deviceId, file } = state;
  if (!isX540OrLater(state)) {
    if (CAGES.includes(deviceId) && darkens(file.get(ESDP))) return false; // the partner sees no light
    if (file.get(AUTOC2) & AUTOC2.LINK_DISABLE) return false;
  }
  return linkUp(state, file.get(AUTOC) & AUTOC.LMS, boardLinkMode(deviceId));
}

/** LINKS.SPEED, with SPEED_NON_STD for the X550's 2.5 and 5 Gb/s. */
function speedBits(mbps: number): number {
  switch (mbps) {
    case 100:
      return LINKS.SPEED_100M;
    case 1000:
      return LINKS.SPEED_1G;
    case 2500:
      return LINKS.SPEED_10G | LINKS.SPEED_NON_STD;
    case 5000:
      return LINKS.SPEED_100M | LINKS.SPEED_NON_STD;
    default:
      return LINKS.SPEED_10G;
  }
}
