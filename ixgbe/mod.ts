/**
 * The driver for Intel's 82599 (X520), X540 and X550, and its register table.
 *
 * @module
 */

export { ixgbe, IxgbeDevice } from "./device.ts";
export { DEVICE_IDS, type Mac, type Media, type Model } from "./models.ts";
export { REGISTERS, TABLE } from "./registers.ts";
export type { RegisterTable } from "./registers.ts";
export type { IxgbeRxQueue } from "./rx_queue.ts";
export type { IxgbeTxQueue } from "./tx_queue.ts";
export type {
  Access,
  ReadEffect,
  Register,
  RegisterMap,
  Registers,
  RegisterSpec,
  Run,
} from "../src/registers.ts";
