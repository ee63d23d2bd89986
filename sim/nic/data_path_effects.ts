/**
 * Effects of accesses to the registers of the modelled device's data path, and the order that the
 * datasheet requires (sections 4.6.7, 4.6.8 and 8.2.3.7 to 8.2.3.12).
 *
 * @module
 */

import {
  CTRL_EXT,
  DAQF,
  DMATXCTL,
  ETQF,
  ETQS,
  EXVET,
  FCCFG,
  FCRTH,
  FCRTL,
  FCTRL,
  FDIRCMD,
  FDIRCTRL,
  FDIRDIP4M,
  FDIRHKEY,
  FDIRIP6M,
  FDIRM,
  FDIRSCTPM,
  FDIRSIP4M,
  FDIRSKEY,
  FDIRTCPM,
  FDIRUDPM,
  FTQF,
  HLREG0,
  L34TIMIR,
  MAXFRS,
  MCSTCTRL,
  MFLCN,
  MRQC,
  MTQC,
  RAH,
  RAL,
  RDRXCTL,
  RFCTL,
  RQTC,
  RSSRK,
  RTRUP2TC,
  RTTDCS,
  RXCSUM,
  RXCTRL,
  RXPBSIZE,
  SAQF,
  SDPQF,
  SECRXCTRL,
  SECRXSTAT,
  SECTXCTRL,
  SECTXSTAT,
  SYNQF,
  TDLEN,
  TSYNCRXCTL,
  TXDCTL,
  TXPBSIZE,
  TXPBTHRESH,
  VLNCTRL,
} from "../../ixgbe/registers.ts";
import { hex, nameOf, type Register } from "../../src/registers.ts";
import {
  checkReceiveArbiters,
  checkTransmitArbiters,
  receivesByClass,
  sendsByClass,
} from "./arbiters.ts";
import { hasCrcStripForDma, hasLargeRedirectionTable, receiveMemory } from "./boards.ts";
import { type DeviceState, enabledReceiveQueue } from "./device_state.ts";
import { switchKey } from "./queue_effects.ts";

/** KB of transmit packet memory (8.2.3.9.13). */
const TRANSMIT_MEMORY = 160;
const STANDARD_FRAME = 1518;
/** RAH.ADTYPE of the X550: the address is an E-tag. */
const RAH_ADTYPE = 1 << 30;

/** Installs the effects of data path registers. */
export function installDataPath(state: DeviceState): void {
  installFilters(state);
  installReceive(state);
  installFlowControl(state);
  installTransmit(state);
  installSecurity(state);
  installFlowDirector(state);
}

function installFilters(state: DeviceState): void {
  const { file, rules, receiver } = state;
  // FCTRL may change only while RXEN is 0 (8.2.3.7.1). But RXEN may be cleared only after all
  // receive queues are disabled (X550 datasheet, section 4.6.7.1.1): while one is enabled, that
  // rule prevails.
  file.onWrite(FCTRL, (value, old) => {
    if (value !== old && receiverEnabled(state) && enabledReceiveQueue(state) < 0) {
      const rule = "changed only while RXCTRL.RXEN is 0, or a receive queue is enabled";
      rules.violate("FCTRL", "8.2.3.7.1", rule, `${hex(old)} to ${hex(value)}`);
    }
    return value;
  });
  // Bits 29:16 of RAH are reserved; bit 30 is there on the X550 (section 8.2.2.8.15), not in RAH[0].
  const types = hasLargeRedirectionTable(state.deviceId) ? RAH_ADTYPE : 0;
  file.onWrite(RAH, (value, _old, index) => {
    return (value & (RAH.RAH | RAH.AV | (index === 0 ? 0 : types))) >>> 0;
  });
  for (const register of [FCTRL, MCSTCTRL, RAL, RAH]) {
    file.onSettled(register, () => receiver.filters.load());
  }
  for (const register of [VLNCTRL, RXCSUM, MRQC, RSSRK, EXVET, ETQF, ETQS, SYNQF, TSYNCRXCTL]) {
    file.onSettled(register, () => receiver.loadOffloads());
  }
  for (const register of [FTQF, SAQF, DAQF, SDPQF, L34TIMIR, RQTC, RTRUP2TC]) {
    file.onSettled(register, () => receiver.loadOffloads());
  }
}

function installReceive(state: DeviceState): void {
  const { file, rules, receiver } = state;
  file.onWrite(RXCTRL, (value, old) => {
    if (value & ~old & RXCTRL.RXEN) checkReceiver(state);
    if (old & ~value & RXCTRL.RXEN) checkQueuesDisabled(state);
    return value;
  });
  file.onSettled(RXCTRL, () => state.update());
  file.onWrite(RXPBSIZE, (value, old, index) => {
    if (value !== old && receiverEnabled(state)) {
      const detail = `${hex(old)} to ${hex(value)}`;
      const rule = "changed only while RXCTRL.RXEN is 0";
      rules.violate(nameOf(RXPBSIZE, index), "8.2.3.8.9", rule, detail);
    }
    return value;
  });
  file.onSettled(RXPBSIZE, () => receiver.resizeBuffers());
  file.onWrite(CTRL_EXT, (value, old) => {
    const running = receiverEnabled(state) || (file.get(DMATXCTL) & DMATXCTL.TE) !== 0;
    if ((value ^ old) & CTRL_EXT.EXTENDED_VLAN && running) {
      const rule = "EXTENDED_VLAN is changed only while reception and transmission are disabled";
      rules.violate("CTRL_EXT", "8.2.3.1.3", rule, `${hex(old)} to ${hex(value)}`);
    }
    return value;
  });
  file.onSettled(CTRL_EXT, () => {
    receiver.load();
    receiver.loadOffloads();
  });
  for (const register of [HLREG0, MAXFRS]) {
    file.onSettled(register, () => {
      receiver.load();
      state.transmitter.load();
      state.update();
    });
  }
}

function installFlowControl({ file, receiver }: DeviceState): void {
  for (const register of [MFLCN, FCCFG, FCRTH, FCRTL]) {
    file.onSettled(register, () => receiver.flow.load());
  }
}

function receiverEnabled(state: DeviceState): boolean {
  return (state.file.get(RXCTRL) & RXCTRL.RXEN) !== 0;
}

// Checks the rule for clearing RXCTRL.RXEN.
function checkQueuesDisabled(state: DeviceState): void {
  const index = enabledReceiveQueue(state);
  if (index < 0) return;
  const rule = "RXEN is cleared only after all receive queues are disabled";
  state.rules.violate("RXCTRL", "4.6.7.1.2", rule, `RXDCTL[${index}].ENABLE is set`);
}

// Checks the rules for setting RXCTRL.RXEN.
function checkReceiver(state: DeviceState): void {
  const { file, rules } = state;
  checkReady(state, "RXCTRL");
  const limit = receiveMemory(state.deviceId);
  const size = sum(state, RXPBSIZE, receivesByClass(file));
  if (size > limit) {
    const rule = `the sizes add up to ${limit} KB at most`;
    rules.violate("RXPBSIZE", "8.2.3.8.9", rule, `${size} KB when RXEN is set`);
  }
  if ((file.get(SECRXCTRL) & SECRXCTRL.RX_DIS) === 0 || !state.sawReceivePathEmpty) {
    rules.violate(
      "RXCTRL",
      "4.6.7",
      "RXEN is set with SECRXCTRL.RX_DIS set and SECRXSTAT.SECRX_RDY seen",
      `SECRXCTRL ${hex(file.get(SECRXCTRL))}`,
    );
  }
  state.queueMemories.checkReceive();
  checkReceiveArbiters(file, rules);
  checkVlanModes(state);
  const nfs = RFCTL.NFSW_DIS | RFCTL.NFSR_DIS;
  if ((file.get(RFCTL) & nfs) !== nfs) {
    const detail = `${hex(file.get(RFCTL))} when RXEN is set`;
    rules.violate("RFCTL", "4.6.7", "NFSW_DIS and NFSR_DIS are set", detail);
  }
  const strip = (file.get(HLREG0) & HLREG0.RXCRCSTRP) !== 0;
  const dmaStrip = (file.get(RDRXCTL) & RDRXCTL.CRCSTRIP) !== 0;
  if (hasCrcStripForDma(state.deviceId) && strip !== dmaStrip) {
    const detail = `HLREG0.RXCRCSTRP is ${Number(strip)}`;
    rules.violate("RDRXCTL", "8.2.3.8.8", "CRCSTRIP is the same as HLREG0.RXCRCSTRP", detail);
  }
}

function checkVlanModes({ file, rules }: DeviceState): void {
  const extended = (file.get(CTRL_EXT) & CTRL_EXT.EXTENDED_VLAN) !== 0;
  if (extended === ((file.get(DMATXCTL) & DMATXCTL.GDV) !== 0)) return;
  const detail = `EXTENDED_VLAN is ${Number(extended)} when RXEN is set`;
  rules.violate("CTRL_EXT", "8.2.3.1.3", "EXTENDED_VLAN is the same as DMATXCTL.GDV", detail);
}

// Checks that the driver has seen the device's own initialisation end, before it enables a
// direction (4.6.3).
function checkReady(state: DeviceState, register: string): void {
  const { rules } = state;
  if (!state.sawAutoRead) {
    rules.violate(register, "4.6.3", "enabled after EEC.AUTO_RD was seen", "not seen since reset");
  }
  if (!state.sawDmaInit) {
    const rule = "enabled after RDRXCTL.DMAIDONE was seen";
    rules.violate(register, "4.6.3", rule, "not seen since reset");
  }
}

// Returns the sum of the packet buffers' sizes in KB. Without DCB, those of buffers 1 to 7 are
// "meaningless" (X550 datasheet, sections 8.2.2.9.12 and 8.2.2.10.15).
function sum(state: DeviceState, register: Register, dcb: boolean): number {
  const buffers = dcb ? register.count : 1;
  let total = 0;
  for (let i = 0; i < buffers; i++) total += (state.file.get(register, i) >>> 10) & 0x3ff;
  return total;
}

function installTransmit(state: DeviceState): void {
  const { file, rules } = state;
  file.onWrite(DMATXCTL, (value, old) => {
    if (value & ~old & DMATXCTL.TE) {
      checkReady(state, "DMATXCTL");
      checkTransmitBuffers(state);
      state.queueMemories.checkTransmit();
      checkTransmitArbiters(file, rules);
      enableFirstTransmitQueue(state);
    }
    return value;
  });
  file.onSettled(DMATXCTL, () => state.update());
  for (const register of [TXPBSIZE, TXPBTHRESH]) {
    file.onSettled(register, () => {
      if (file.get(DMATXCTL) & DMATXCTL.TE) checkTransmitBuffers(state);
    });
  }
  file.onWrite(MTQC, (value, old) => {
    if (value !== old && (file.get(RTTDCS) & RTTDCS.ARBDIS) === 0) {
      const detail = `${hex(old)} to ${hex(value)}`;
      rules.violate("MTQC", "8.2.3.9.15", "changed only while RTTDCS.ARBDIS is set", detail);
    }
    return value;
  });
}

// Enables queue 0 as well, as TE does (X550 datasheet, section 4.6.8.1). It does not start a ring
// without length, as after a reset.
function enableFirstTransmitQueue(state: DeviceState): void {
  const { file, transmitter } = state;
  if (file.get(TXDCTL) & TXDCTL.ENABLE) return;
  state.timing.after("queue", switchKey(TXDCTL, 0), () => {
    const control = file.get(TXDCTL);
    file.set(TXDCTL, control | TXDCTL.ENABLE);
    if (file.get(TDLEN) !== 0) transmitter.startQueue(0, control);
  });
}

function checkTransmitBuffers(state: DeviceState): void {
  const { file, rules } = state;
  const dcb = sendsByClass(file);
  const total = sum(state, TXPBSIZE, dcb);
  if (total > TRANSMIT_MEMORY) {
    const rule = `the sizes add up to ${TRANSMIT_MEMORY} KB at most`;
    rules.violate("TXPBSIZE", "8.2.3.9.13", rule, `${total} KB while TE is set`);
  }
  const jumbo = (file.get(HLREG0) & HLREG0.JUMBOEN) !== 0;
  const frame = Math.ceil((jumbo ? file.get(MAXFRS) >>> 16 : STANDARD_FRAME) / 1024);
  const buffers = dcb ? TXPBTHRESH.count : 1;
  for (let i = 0; i < buffers; i++) {
    const threshold = file.get(TXPBTHRESH, i) & TXPBTHRESH.THRESH;
    const size = (file.get(TXPBSIZE, i) & TXPBSIZE.SIZE) >>> 10;
    if (threshold === 0 || threshold + frame <= size) continue;
    const rule = "leaves room for one frame below TXPBSIZE";
    const detail = `${threshold} KB and a frame of ${frame} KB in ${size} KB`;
    rules.violate(nameOf(TXPBTHRESH, i), "8.2.3.9.16", rule, detail);
  }
}

function installSecurity(state: DeviceState): void {
  const { file } = state;
  file.onWrite(SECRXCTRL, (value) => {
    if ((value & SECRXCTRL.RX_DIS) === 0) state.sawReceivePathEmpty = false;
    else state.timing.after("queue", "receive path", () => {});
    return value;
  });
  const isEmpty = () =>
    (file.get(SECRXCTRL) & SECRXCTRL.RX_DIS) !== 0 && !state.timing.isPending("receive path");
  file.onRead(SECRXSTAT, (value) => {
    if (!isEmpty()) return value;
    state.sawReceivePathEmpty = true;
    return value | SECRXSTAT.SECRX_RDY;
  }, (value) => isEmpty() ? value | SECRXSTAT.SECRX_RDY : value);
  file.onRead(SECTXSTAT, (value) => {
    const closed = (file.get(SECTXCTRL) & SECTXCTRL.TX_DIS) !== 0;
    return closed ? value | SECTXSTAT.SECTX_RDY : value;
  });
  file.onSettled(SECRXCTRL, () => state.update());
  file.onSettled(SECTXCTRL, () => state.update());
}

function installFlowDirector(state: DeviceState): void {
  const { file, receiver } = state, { director } = receiver;
  file.onWrite(FDIRCTRL, (value) => {
    director.initialise(value, receiveMemory(state.deviceId));
    return (value & ~FDIRCTRL.INIT_DONE) >>> 0;
  });
  file.onSettled(FDIRCTRL, () => {
    director.load();
    receiver.loadOffloads();
  });
  file.onRead(FDIRCTRL, (value) => director.readControl(value), (value) => value);
  file.onWrite(FDIRCMD, (value) => director.command(value));
  const masks = [FDIRM, FDIRSIP4M, FDIRDIP4M, FDIRTCPM, FDIRUDPM, FDIRSCTPM, FDIRIP6M];
  for (const register of [FDIRHKEY, FDIRSKEY, ...masks]) {
    file.onSettled(register, () => director.load());
  }
}
