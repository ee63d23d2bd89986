/**
 * What sysfs, VFIO and vfio-user have in common: BARs, memory mapped for DMA, and the COMMAND register.
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../dma.ts";
import { type Bar, Command, Config, type PciFunction } from "./function.ts";
import type { MappedBar, RegionAccess } from "./mapped_bar.ts";

/** A PCI function. Subclasses implement access to configuration space, BARs and memory. */
export abstract class FunctionBase implements PciFunction {
  readonly address: string;
  abstract readonly addressing: Addressing;
  abstract readonly behindIommu: boolean;
  /** Configuration space. */
  protected abstract readonly config: RegionAccess;
  /** Memory that is mapped for DMA and pinned, in the order of mapping. */
  protected readonly mapped = new Set<DmaMemory>();
  /** Whether the function was claimed, so that {@linkcode PciFunction.close} has to turn DMA off. */
  protected claimed = false;
  readonly #bars = new Map<number, MappedBar>();

  /** @param address The address under which the function is opened. */
  constructor(address: string) {
    this.address = address;
  }

  /** Opens a BAR. Throws as {@linkcode PciFunction.bar} does. */
  protected abstract openBar(index: number): MappedBar;
  /** Maps memory for DMA. Throws as {@linkcode PciFunction.mapDma} does. */
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
   * Sets bits of COMMAND, and turns off bus mastering, which a previous driver may have left on.
   *
   * @returns The previous value of COMMAND.
   */
  protected claimCommand(bits: number): number {
    const command = this.readConfig(Config.COMMAND, 2);
    this.claimed = true;
    this.writeConfig(Config.COMMAND, 2, (command | bits) & ~Command.BUS_MASTER);
    return command;
  }

  /** Closes every BAR, which empties all views of it. */
  protected closeBars(): void {
    for (const bar of this.#bars.values()) bar.close();
  }
}
