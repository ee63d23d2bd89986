/**
 * What accesses to the modelled device's control registers do: reset and master disable, EEPROM,
 * semaphores, MDIO, SFP+ module, link, flow director (datasheet sections 8.2.3.1 to 8.2.3.4 and 8.2.3.22).
 *
 * @module
 */

import {
  ANLP1,
  AUTOC,
  CTRL,
  EEC,
  EEC_X550EM_A,
  EERD,
  EICR,
  ESDP,
  FDIRCMD,
  FDIRCTRL,
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
} from "../ixgbe/registers.ts";
import { hex, type Register } from "../src/registers.ts";
import { DEVICE, type DeviceState, isX540OrLater, linkUp, phyOf } from "./device_state.ts";
import { installHostInterface } from "./host_interface.ts";
import { SfpModule } from "./sfp_module.ts";

/** Milliseconds after a reset until the device is ready, for a driver that does not look earlier. */
const READY_AFTER = 1;

/** ANLP1.AN_STATE once negotiation has begun. */
const AN_STATE_WAITING = 1 << 16;
/** The command of FDIRCMD, which the device clears once it has carried it out. */
const FDIRCMD_CMD = 3;

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
    return performance.now() - state.resetAt < READY_AFTER ? value : file.get(CTRL);
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
  let looks = 0;
  for (const register of [EEC, EEC_X550EM_A] as Register[]) {
    file.onRead(register, (value) => {
      if (!ready(state) && looks++ === 0) return value;
      looks = 0;
      state.sawAutoRead = true;
      return value | EEC.AUTO_RD;
    });
  }
  file.onRead(RDRXCTL, (value) => {
    if (!ready(state) && looks++ === 0) return value;
    looks = 0;
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

function ready(state: DeviceState): boolean {
  return performance.now() - state.resetAt >= READY_AFTER;
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

// An SFP+ board has a module in its cage, and tells by a pin; on others the I2C bus is idle.
function installModule(state: DeviceState): void {
  const { file } = state;
  const module = boardLinkMode(state.deviceId) === AUTOC.LMS_10G_SERIAL && !isX540OrLater(state)
    ? new SfpModule()
    : undefined;
  file.onWrite(I2CCTL, (value) => {
    const clock = (value & I2CCTL.CLK_OUT) !== 0, data = (value & I2CCTL.DATA_OUT) !== 0;
    const line = module?.drive(clock, data) ?? data;
    return value & (I2CCTL.CLK_OUT | I2CCTL.DATA_OUT) | (clock ? I2CCTL.CLK_IN : 0) |
      (line ? I2CCTL.DATA_IN : 0);
  });
  file.onRead(ESDP, (value) => module && !(value & ESDP.SDP2_DIR) ? value | ESDP.SDP2 : value);
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
  return linkUp(state, state.file.get(AUTOC) & AUTOC.LMS, boardLinkMode(state.deviceId));
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

// Its memory is ready at once, and filters are taken; nothing is steered by them.
function installFlowDirector(state: DeviceState): void {
  state.file.onWrite(FDIRCMD, (value) => value & ~FDIRCMD_CMD);
  state.file.onRead(FDIRCTRL, (value) => value | FDIRCTRL.INIT_DONE);
}
