/**
 * Intel's 82599 (X520), X540 and X550: what `open` returns for one has beside what every device has its
 * registers, and queues that worker threads can have.
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
 * A worker gets a pool and queues of its own: the main thread sends it what `pool.transfer()` and
 * {@linkcode IxgbeDevice.prototype.transferQueues} return, and it makes a pool of the one by
 * `Mempool.adopt()`, and queues of the other by {@linkcode AdoptedQueues}.
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
