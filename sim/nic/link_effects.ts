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
  CORECTL,
  EICR,
  ESDP,
  I2CCTL,
  I2CPARAMS,
  LINKS,
  MSCA,
  MSRWD,
} from "../../ixgbe/registers.ts";
import { hex } from "../../src/registers.ts";
import { boardLinkMode, hasCage, isX540OrLater } from "./boards.ts";
import type { DeviceState } from "./device_state.ts";
import { checkNegotiation, checkPhyAccess } from "./firmware.ts";

/** The pin that turns the module's laser off while it is an output and high. */
const LASER_OFF = ESDP.SDP3_DIR | ESDP.SDP3;
/** LINKS.SIGNAL: the only lane of a cage. */
const FIRST_LANE = 1 << 8;
/** AUTOC2.PMA_PMD_10G_SERIAL: the interface to a cage. */
const SFI = 2 << 16;
/** ANLP1.AN_STATE once negotiation has begun. */
const AN_STATE_WAITING = 1 << 16;

/** Installs the effects of the link's registers. */
export function installLink(state: DeviceState): void {
  installMdio(state);
  installModule(state);
  installMode(state);
}

function installMdio(state: DeviceState): void {
  const { file, timing } = state, frame = mdioFrames(state);
  file.onWrite(MSCA, (value) => {
    if ((value & MSCA.MDI_COMMAND) === 0) return value;
    checkPhyAccess(state, (value & MSCA.PHY_ADD) >>> 21);
    if (timing.cancel("MDIO")) {
      const rule = "a command comes after MDI_COMMAND was seen clear";
      state.rules.violate("MSCA", MSCA.section, rule, "the one before has not ended");
    }
    if (!timing.takes("bus")) return frame(value);
    timing.after("bus", "MDIO", () => file.set(MSCA, frame(value)));
    return value;
  });
}

/** Returns a function that carries an MDIO frame out, and returns MSCA after it. */
function mdioFrames(state: DeviceState): (msca: number) => number {
  const { file, phy } = state;
  let address = 0;
  return (value) => {
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
  };
}

// An SFP+ board has a module in its cage, and shows it on a pin. On other boards the I2C bus is
// idle.
function installModule(state: DeviceState): void {
  const { file, module } = state;
  file.onWrite(I2CCTL, (value) => {
    const clock = (value & I2CCTL.CLK_OUT) !== 0, data = (value & I2CCTL.DATA_OUT) !== 0;
    const line = module?.drive(clock, data) ?? data;
    return value & (I2CCTL.CLK_OUT | I2CCTL.DATA_OUT) | (clock ? I2CCTL.CLK_IN : 0) |
      (line ? I2CCTL.DATA_IN : 0);
  });
  file.onWrite(I2CPARAMS, (value) => idleBus(value));
  file.onRead(ESDP, (value) => module && !(value & ESDP.SDP2_DIR) ? value | ESDP.SDP2 : value);
  file.onWrite(ESDP, (value, old) => {
    const changed = darkens(value) !== darkens(old) || selectsRate(value) !== selectsRate(old);
    if (darkens(value)) state.partnerGaveUp = false;
    if (module && changed) renegotiate(state);
    return value;
  });
  file.onWrite(CORECTL, (value) => {
    state.serdes.write(value & 0xffff);
    return value;
  });
  file.onSettled(ESDP, () => state.update());
}

// The X550 boards have no module on their bus: released lines are high.
function idleBus(value: number): number {
  const { I2CBB_EN, CLK_OE_N, CLK_OUT, CLK_IN, DATA_OE_N, DATA_OUT, DATA_IN } = I2CPARAMS;
  const clock = value & (value & CLK_OE_N ? I2CBB_EN : CLK_OUT);
  const data = value & (value & DATA_OE_N ? I2CBB_EN : DATA_OUT);
  const lines = value & I2CBB_EN ? (clock ? CLK_IN : 0) | (data ? DATA_IN : 0) : 0;
  return value & ~(CLK_IN | DATA_IN) | lines;
}

function darkens(esdp: number): boolean {
  return (esdp & LASER_OFF) === LASER_OFF;
}

// The pin that has a module for two rates take the higher one: an output, and high.
function selectsRate(esdp: number): boolean {
  return (esdp & (ESDP.SDP5 | ESDP.SDP5_DIR)) === (ESDP.SDP5 | ESDP.SDP5_DIR);
}

function installMode(state: DeviceState): void {
  const { file, rules } = state;
  file.onWrite(AUTOC, (value, old) => {
    if (isX540OrLater(state.deviceId) && (value ^ old) & AUTOC.LMS) {
      const rule = "LMS is not changed: the PHY sets the link mode (X540, X550)";
      rules.violate("AUTOC", "8.2.3.22.19", rule, `${hex(old)} to ${hex(value)}`);
    }
    checkNegotiation(state, value);
    if (value & AUTOC.RESTART_AN) {
      state.advertised = value & (AUTOC.KX_SUPP | AUTOC.KR_SUPP);
      if (!negotiates(value)) state.serdes.restart();
      renegotiate(state);
    }
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
  const links = () => {
    const signal = signalLanes(state);
    if (state.crosstalk && hasCage(state.deviceId) && !state.module) {
      return LINKS.UP | LINKS.SPEED_10G | FIRST_LANE;
    }
    const mbps = state.linkDelay > 0 ? 0 : linkSpeed(state);
    if (mbps === 0) return signal;
    const completed = isBackplane(state) ? LINKS.KX_AN_COMP : 0;
    return (LINKS.UP | speedBits(mbps) | signal | completed) >>> 0;
  };
  file.onRead(LINKS, () => {
    const shown = links();
    if (state.linkDelay > 0) state.linkDelay--;
    return shown;
  }, links);
}

/** Returns whether a value of AUTOC selects negotiation over a backplane. */
export function negotiates(autoc: number): boolean {
  return (autoc & AUTOC.LMS) >= AUTOC.LMS_KX4_KX_KR;
}

/** Takes the link down; it comes up again if nothing prevents that. */
function renegotiate(state: DeviceState): void {
  state.linkDelay = 1;
  train(state);
  state.causes.raiseOther(EICR.LSC);
  state.update();
}

/** Keeps the link down for the time that it takes; without a delay, it stays as it is. */
export function train(state: DeviceState): void {
  const { timing } = state;
  if (!timing.takes("link")) return;
  timing.cancel("link");
  timing.after("link", "link", () => {
    if (state.linkFailures > 0) {
      state.linkFailures--;
      return train(state);
    }
    state.update();
    if (linkSpeed(state) > 0) state.causes.raiseOther(EICR.LSC);
  });
  state.update();
}

/**
 * Returns the link's speed in Mb/s; 0 while it is down. On X540 and X550 the PHY decides; on an 82599
 * there must be a partner of this speed, AUTOC must fit the board, and laser and link must not be off.
 */
export function linkSpeed(state: DeviceState): number {
  const { deviceId, file, phy } = state;
  if (state.timing.isPending("link")) return 0;
  if (isX540OrLater(deviceId)) return phy.mbps;
  if (file.get(AUTOC2) & AUTOC2.LINK_DISABLE) return 0;
  if (hasCage(deviceId)) return cageLink(state) ? cageSpeed(state) : 0;
  if (!state.linkPartner || (file.get(AUTOC) & AUTOC.LMS) !== boardLinkMode(deviceId)) return 0;
  const speeds = isBackplane(state) ? backplaneSpeeds(state) : [10000];
  return Math.max(0, ...speeds.filter((mbps) => state.partnerSpeeds.includes(mbps)));
}

/** Returns whether the port sends a signal: whether its link would be up if one arrived. */
export function sendsSignal(state: DeviceState): boolean {
  const { deviceId, linkPartner, phy } = state;
  if (isX540OrLater(deviceId)) return phy.enabled;
  state.linkPartner = true;
  const sends = linkSpeed(state) > 0;
  state.linkPartner = linkPartner;
  return sends;
}

/** Returns whether the board and its link mode negotiate over a backplane. */
function isBackplane({ deviceId, file }: DeviceState): boolean {
  return negotiates(boardLinkMode(deviceId)) && negotiates(file.get(AUTOC));
}

/** Speeds in Mb/s that the board advertises to its backplane. */
function backplaneSpeeds({ advertised }: DeviceState): number[] {
  const fast = (advertised & (AUTOC.KX_SUPP_KX4 | AUTOC.KR_SUPP)) !== 0;
  return [...(fast ? [10000] : []), ...(advertised & AUTOC.KX_SUPP_KX ? [1000] : [])];
}

/** LINKS.SIGNAL: the lanes on which a signal arrives. */
function signalLanes(state: DeviceState): number {
  if (isX540OrLater(state.deviceId)) return 0;
  if (hasCage(state.deviceId)) return lit(state) ? FIRST_LANE : 0;
  return state.linkPartner ? LINKS.SIGNAL : 0;
}

/** Whether a board's module and its settings agree with the partner at the other end of the fibre. */
function cageLink(state: DeviceState): boolean {
  const { file, module, serdes, partnerSpeeds } = state, pins = file.get(ESDP);
  if (module === undefined || !lit(state) || state.partnerGaveUp) return false;
  if (darkens(pins) && !module.copper) return false; // the partner sees no light
  const mbps = cageSpeed(state);
  return partnerSpeeds.includes(mbps) && module.passes(mbps, selectsRate(pins)) &&
    serdes.fits(module.kind);
}

/** Whether light, or a signal over a cable, arrives from the partner. */
function lit(state: DeviceState): boolean {
  return state.module !== undefined && state.linkPartner;
}

/** Speed in Mb/s that AUTOC and AUTOC2 set SFI to; 0 if the partner does not negotiate as they do. */
function cageSpeed({ file, partnerNegotiates }: DeviceState): number {
  const autoc = file.get(AUTOC), mode = autoc & AUTOC.LMS;
  if (mode === AUTOC.LMS_10G_SERIAL) {
    return (file.get(AUTOC2) & AUTOC2.PMA_PMD_10G_SERIAL) === SFI ? 10000 : 0;
  }
  const negotiated = mode === AUTOC.LMS_1G_AN;
  if (!negotiated && mode !== AUTOC.LMS_1G) return 0;
  return negotiated === partnerNegotiates && (autoc & AUTOC.PMA_PMD_1G) === 0 ? 1000 : 0;
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
