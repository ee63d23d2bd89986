/**
 * What the buses have in common: a function's BARs, the memory in its reach, and the COMMAND register.
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../dma.ts";
import { type Bar, Command, Config, type PciFunction } from "./function.ts";
import type { MappedBar, RegionAccess } from "./mapped_bar.ts";

/** A PCI function on a bus that says how configuration space, BARs and memory are reached. */
export abstract class FunctionBase implements PciFunction {
  readonly address: string;
  abstract readonly addressing: Addressing;
  abstract readonly behindIommu: boolean;
  /** Configuration space. */
  protected abstract readonly config: RegionAccess;
  /** Memory that is mapped for the device and pinned, in the order of its mapping. */
  protected readonly mapped = new Set<DmaMemory>();
  /** Whether something was changed that {@linkcode PciFunction.close} has to undo. */
  protected claimed = false;
  readonly #bars = new Map<number, MappedBar>();

  /** @param address The address to show in messages. */
  constructor(address: string) {
    this.address = address;
  }

  /** Opens a BAR, or throws what {@linkcode PciFunction.bar} throws. */
  protected abstract openBar(index: number): MappedBar;
  /** Maps memory for the device, or throws what {@linkcode PciFunction.mapDma} throws. */
  protected abstract mapMemory(memory: DmaMemory): void;
  abstract claim(force: boolean): void;
  abstract checkAlive(): void;
  abstract close(): void;

  readConfig(offset: number, bytes: 1 | 2 | 4): number {
    return this.config.read(offset, bytes);
  }

  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.config.write(offset, bytes, value);
  }

  bar(index: number): Bar {
    let bar = this.#bars.get(index);
    if (!bar) this.#bars.set(index, bar = this.openBar(index));
    return bar;
  }

  mapDma(memory: DmaMemory): void {
    if (this.mapped.has(memory)) return;
    this.mapMemory(memory);
    this.mapped.add(memory);
    memory.pin();
  }

  setBusMaster(on: boolean): void {
    const command = this.readConfig(Config.COMMAND, 2);
    const next = on ? command | Command.BUS_MASTER : command & ~Command.BUS_MASTER;
    if (next !== command) this.writeConfig(Config.COMMAND, 2, next);
  }

  /**
   * Sets bits of COMMAND and turns bus mastering off, which a former user may have left on.
   *
   * @returns COMMAND as it was.
   */
  protected claimCommand(bits: number): number {
    const command = this.readConfig(Config.COMMAND, 2);
    this.claimed = true;
    this.writeConfig(Config.COMMAND, 2, (command | bits) & ~Command.BUS_MASTER);
    return command;
  }

  /** Closes every BAR: its views are empty then. */
  protected closeBars(): void {
    for (const bar of this.#bars.values()) bar.close();
  }
}
