/**
 * Effects of accesses to the registers of the modelled device's link: MDIO and the PHY behind it,
 * the SFP+ module, link mode and speed (datasheet sections 8.2.3.1 and 8.2.3.22).
 *
 * @module
 */

import {
  ANLP1,
  AUTOC,
  AUTOC2,
  EICR,
  ESDP,
  I2CCTL,
  LINKS,
  MSCA,
  MSRWD,
  STATUS,
  SW_FW_SYNC,
} from "../../ixgbe/registers.ts";
import { hex } from "../../src/registers.ts";
import { boardLinkMode, hasCage, isX540OrLater, phyOf } from "./boards.ts";
import type { DeviceState } from "./device_state.ts";
import { SfpModule } from "./sfp_module.ts";

/** The pin that turns the module's laser off while it is an output and high. */
const LASER_OFF = ESDP.SDP3_DIR | ESDP.SDP3;
/** ANLP1.AN_STATE once negotiation has begun. */
const AN_STATE_WAITING = 1 << 16;

/** Installs the effects of the link's registers. */
export function installLink(state: DeviceState): void {
  installMdio(state);
  installModule(state);
  installMode(state);
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

// Checks that the driver holds the bus to the PHY, which firmware of X540 and X550 uses too.
function checkPhyHeld({ deviceId, file, rules }: DeviceState): void {
  if (phyOf(deviceId) === 0) return;
  const first = (file.get(STATUS) & STATUS.LAN_ID) === 0;
  const semaphore = first ? SW_FW_SYNC.SW_PHY_SM0 : SW_FW_SYNC.SW_PHY_SM1;
  const sync = file.get(SW_FW_SYNC);
  if ((sync & semaphore) !== 0) return;
  const rule = "a command comes while the port's SW_PHY_SM is held (X540, X550)";
  rules.violate("MSCA", "10.5.4", rule, `SW_FW_SYNC ${hex(sync)}`);
}

// An SFP+ board has a module in its cage, and shows it on a pin. On other boards the I2C bus is
// idle.
function installModule(state: DeviceState): void {
  const { file } = state;
  const module = hasCage(state.deviceId) ? new SfpModule() : undefined;
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

function installMode(state: DeviceState): void {
  const { file, rules } = state;
  file.onWrite(AUTOC, (value, old) => {
    if (isX540OrLater(state.deviceId) && (value ^ old) & AUTOC.LMS) {
      const rule = "LMS is not changed: the PHY sets the link mode (X540, X550)";
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
  // In backplane modes the board negotiates, but its partner does not. The state machine leaves its
  // first state, and does not return to it in another mode.
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

/** Returns whether a value of AUTOC selects negotiation over a backplane. */
export function negotiates(autoc: number): boolean {
  return (autoc & AUTOC.LMS) >= AUTOC.LMS_KX4_KX_KR;
}

/** Takes the link down; it comes up again if nothing prevents that. */
function renegotiate(state: DeviceState): void {
  state.linkDelay = 1;
  state.causes.raiseOther(EICR.LSC);
  state.update();
}

/**
 * Returns whether the link is up. On X540 and X550 the PHY decides; on an 82599 there must be a
 * partner, AUTOC must fit the board, and laser and link must not be off.
 */
export function currentLink(state: DeviceState): boolean {
  const { deviceId, file, phy } = state;
  if (isX540OrLater(deviceId)) return phy.linkUp;
  if (hasCage(deviceId) && darkens(file.get(ESDP))) return false; // the partner sees no light
  if (file.get(AUTOC2) & AUTOC2.LINK_DISABLE) return false;
  return state.linkPartner && (file.get(AUTOC) & AUTOC.LMS) === boardLinkMode(deviceId);
}

/** Returns LINKS.SPEED, with SPEED_NON_STD for 2.5 and 5 Gb/s of the X550. */
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
