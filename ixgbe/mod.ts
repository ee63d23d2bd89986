/**
 * Intel's 82599 (X520), X540 and X550: their devices also offer access to registers, and queues that can
 * be transferred to worker threads.
 *
 * ```ts
 * import { open } from "../mod.ts";
 * import { IxgbeDevice, REGISTERS } from "./mod.ts";
 *
 * async function links(address: string): Promise<number | undefined> {
 *   using device = await open(address);
 *   if (device instanceof IxgbeDevice) return device.registers.read(REGISTERS.LINKS);
 * }
 * ```
 *
 * A worker has a pool and queues of its own. The main thread sends it the results of `pool.transfer()`
 * and {@linkcode IxgbeDevice.prototype.transferQueues}; the worker passes them to `Mempool.adopt()` and
 * {@linkcode AdoptedQueues}.
 *
 * @module
 */

import type { Register } from "../src/registers.ts";
import { REGISTERS as MAP } from "./registers.ts";

export { AdoptedQueues } from "./adopt.ts";
export { IxgbeDevice } from "./device.ts";
export type { TransferredPool } from "../src/mempool.ts";
export type { TransferredQueues } from "../src/transfer.ts";
export type {
  Access,
  ReadEffect,
  Register,
  Registers,
  RegisterSpec,
  Run,
} from "../src/registers.ts";

/** The registers of BAR0 by the datasheet's names: `REGISTERS.CTRL`. */
export const REGISTERS: Readonly<Record<string, Register>> = MAP;
