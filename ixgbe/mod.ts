/**
 * The driver for Intel's 82599 (X520), X540 and X550, and its register table.
 *
 * @module
 */

export { ixgbe, IxgbeDevice } from "./device.ts";
export { DEVICE_IDS, type Mac, type Media, type Model } from "./models.ts";
export { REGISTERS } from "./registers.ts";
