/**
 * Effects of accesses to the registers of the modelled device's queues, and when the datasheet
 * allows them (sections 4.6.7.1, 4.6.8.1, 8.2.3.8 and 8.2.3.9).
 *
 * @module
 */

import {
  DMATXCTL,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RXDCTL,
  SRRCTL,
  TDBAH,
  TDBAL,
  TDH,
  TDLEN,
  TDWBAH,
  TDWBAL,
  TXDCTL,
} from "../../ixgbe/registers.ts";
import { hex, nameOf, type Register } from "../../src/registers.ts";
import type { WriteEffect } from "../registers/register_file.ts";
import { RING_RULES } from "../rings/ring.ts";
import type { DeviceState } from "./device_state.ts";

/** The bits of a ring's address and length that have to be 0. */
const UNALIGNED = 0x7f;
const THRESHOLDS = TXDCTL.PTHRESH | TXDCTL.HTHRESH | TXDCTL.WTHRESH;

/** Installs the effects of the queues' registers. */
export function installQueues(state: DeviceState): void {
  const { file, rules, receiver, transmitter } = state;
  for (const register of [RDBAL, RDBAH, RDLEN]) onlyWhileDisabled(state, register, RXDCTL);
  for (const register of [TDBAL, TDBAH, TDLEN, TDWBAL, TDWBAH]) {
    onlyWhileDisabled(state, register, TXDCTL);
  }
  // "The RDH is controlled by hardware", says the datasheet, and no more. DPDK sets RDH and TDH in an
  // enabled queue before their tails, which works on cards. For TDH there is a rule (X550 datasheet,
  // section 8.2.2.10.8). Its tail follows, so that the device sends nothing up to the old tail.
  file.onWrite(RDH, (value, _old, index) => {
    receiver.moveHead(index, value);
    return value;
  });
  file.onWrite(TDH, (value, old, index) => {
    checkDisabled(state, TDH, TXDCTL, [value, old, index]);
    transmitter.moveHead(index, value);
    return value;
  });
  file.onRead(
    RDH,
    (value, index) => enabled(state, RXDCTL, index) ? receiver.headOf(index) : value,
  );
  file.onRead(
    TDH,
    (value, index) => enabled(state, TXDCTL, index) ? transmitter.headOf(index) : value,
  );
  onlyDropEnableWhileEnabled(state);
  file.onWrite(RXDCTL, (value, old, index) => {
    const kept = value & ~RXDCTL.SWFLSH;
    return switched(state, RXDCTL, index, kept, old, (on) => {
      if (on) receiver.startQueue(index);
      else {
        file.set(RDH, receiver.headOf(index), index);
        receiver.stopQueue(index);
      }
      return on;
    });
  });
  file.onSettled(RXDCTL, () => receiver.loadOffloads());
  file.onRead(TXDCTL, (value, index) => {
    if (!state.rest.ended(index)) return value;
    stopTransmit(state, index);
    file.set(TXDCTL, value & ~TXDCTL.ENABLE, index);
    return value & ~TXDCTL.ENABLE;
  }, (value, index) => state.rest.viewEnded(index) ? value & ~TXDCTL.ENABLE : value);
  file.onWrite(TXDCTL, (value, old, index) => {
    const changed = (value ^ old) & TXDCTL.ENABLE, kept = value & ~TXDCTL.SWFLSH;
    if (changed && value & TXDCTL.ENABLE) checkTransmitEnabled(state, index);
    if (!changed && value & TXDCTL.ENABLE && (value ^ old) & THRESHOLDS) {
      const rule = "thresholds are set before the queue is enabled";
      rules.violate(nameOf(TXDCTL, index), "4.6.8.1", rule, `${hex(old)} to ${hex(value)}`);
    }
    return switched(state, TXDCTL, index, kept, old, (on, control) => {
      if (on) transmitter.startQueue(index, control);
      else if (state.rest.end(index)) stopTransmit(state, index);
      else return true;
      return on;
    });
  });
}

/** Returns the key of the event that enables or disables a queue. */
export function switchKey(control: Register, index: number): string {
  return nameOf(control, index);
}

/**
 * Enables or disables a queue as its control register is written, at once or later.
 *
 * @param act Does it, with the register's value by then; returns whether the queue is enabled.
 * @returns The value that the register takes now.
 */
function switched(
  { file, timing }: DeviceState,
  control: Register,
  index: number,
  value: number,
  old: number,
  act: (on: boolean, control: number) => boolean,
): number {
  const enable = RXDCTL.ENABLE, key = switchKey(control, index); // the same bit in both registers
  const on = (value & enable) !== 0, now = (old & enable) !== 0;
  const withEnable = (bits: number, set: boolean) => (set ? bits | enable : bits & ~enable) >>> 0;
  const pending = timing.isPending(key);
  if (on === (pending ? !now : now)) return withEnable(value, now);
  if (pending) timing.cancel(key); // back to how it is
  else if (!timing.takes("queue")) return withEnable(value, act(on, value));
  else {
    timing.after("queue", key, () => {
      const bits = file.get(control, index);
      file.set(control, withEnable(bits, act(on, bits)), index);
    });
  }
  return withEnable(value, now);
}

function stopTransmit({ file, transmitter }: DeviceState, index: number): void {
  file.set(TDH, transmitter.headOf(index), index);
  transmitter.stopQueue(index);
}

function enabled(state: DeviceState, control: Register, index: number): boolean {
  return (state.file.get(control, index) & RXDCTL.ENABLE) !== 0;
}

function checkTransmitEnabled(state: DeviceState, index: number): void {
  if (state.file.get(DMATXCTL) & DMATXCTL.TE) return;
  const rule = "DMATXCTL.TE is set before a queue is enabled";
  state.rules.violate(nameOf(TXDCTL, index), "4.6.8.1", rule, "DMATXCTL.TE is 0");
}

function onlyWhileDisabled(state: DeviceState, register: Register, control: Register): void {
  const { file, rules } = state, { mask, rule } = placeOf(register);
  file.onWrite(register, (value, old, index) => {
    checkDisabled(state, register, control, [value, old, index]);
    if (value & UNALIGNED && rule) {
      rules.violate(nameOf(register, index), register.section, rule, hex(value));
    }
    return (value & mask) >>> 0;
  });
}

function checkDisabled(
  state: DeviceState,
  register: Register,
  control: Register,
  [value, old, index]: Parameters<WriteEffect>,
): void {
  if (!enabled(state, control, index)) return;
  const rule = `written only while ${control.name}.ENABLE is 0`;
  const detail = `${hex(old)} to ${hex(value)}`;
  state.rules.violate(nameOf(register, index), register.section, rule, detail);
}

// Returns the bits of a register that can be set, and the rule for the lowest seven, which are
// "ignored on writes" and return 0 on reads (X550 datasheet, section 8.2.2.9.1).
function placeOf(register: Register): { mask: number; rule?: string } {
  switch (register) {
    case RDBAL as Register:
    case TDBAL as Register:
      return { mask: ~UNALIGNED, rule: RING_RULES.base };
    case RDLEN as Register:
    case TDLEN as Register:
      return { mask: 0xfffff & ~UNALIGNED, rule: RING_RULES.length };
    default:
      return { mask: ~0 };
  }
}

// DROP_EN may change at any time, since it does not say how descriptors are read.
function onlyDropEnableWhileEnabled(state: DeviceState): void {
  const { file, rules, receiver } = state;
  file.onWrite(SRRCTL, (value, old, index) => {
    if (enabled(state, RXDCTL, index) && (value ^ old) & ~SRRCTL.DROP_EN) {
      const rule = "sizes and type written only while RXDCTL.ENABLE is 0";
      rules.violate(nameOf(SRRCTL, index), "8.2.3.8.7", rule, `${hex(old)} to ${hex(value)}`);
    }
    return value;
  });
  file.onSettled(SRRCTL, () => receiver.loadDropEnable());
}
