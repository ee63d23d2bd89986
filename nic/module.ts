/**
 * Reads the module in the SFP+ cage of an 82599, whether or not a driver is using the card: software and
 * firmware share the module's bus by semaphores. Claims and enables nothing; writes the bus and the
 * semaphores. Part of the program `nic.ts`, and therefore above the drivers.
 *
 * @module
 */

import type { Model } from "../ixgbe/models.ts";
import { LINKS } from "../ixgbe/registers.ts";
import { SfpLink } from "../ixgbe/sfp_link.ts";
import { identifyModule, seesSignal } from "../ixgbe/sfp_module.ts";
import type { LinkModule } from "../src/device.ts";
import { UsageError } from "../src/errors.ts";
import { type Card, withCard } from "./card.ts";
import type { System } from "./system.ts";

/** What is in a card's cage. */
export interface ModuleReport {
  /** The card's address, as the caller gave it. */
  readonly address: string;
  /** The card's model. */
  readonly model: string;
  /** The module; null if none was found. */
  readonly module: LinkModule | null;
  /** Why none was found; null if one was. */
  readonly problem: string | null;
  /** Whether a signal arrives at the module, by its diagnostics; null if it does not say. */
  readonly signal: boolean | null;
  /** Whether the link is up. */
  readonly up: boolean;
}

/**
 * Reads the module of a card.
 *
 * @param name A PCI address, or `vfio-user:PATH` for a function that another process serves.
 * @throws {UsageError} if the card has no cage for SFP+ modules, the kernel does not let this process
 * access its registers, or they are turned off.
 * @throws {DeviceError} if the function is asleep or gone.
 */
export function moduleOf(system: System, name: string): Promise<ModuleReport> {
  const purpose = { command: "module", instead: "ethtool -m", check: checkCage };
  return withCard(system, name, purpose, report);
}

function checkCage(address: string, model: Model): void {
  if (SfpLink.fits(model)) return;
  throw new UsageError(
    `${address}: module does not support ${model.name}, only an 82599 with a cage for SFP+`,
  );
}

async function report({ address, model: { name: model }, regs }: Card): Promise<ModuleReport> {
  const up = (regs.read(LINKS) & LINKS.UP) !== 0;
  const found = await identifyModule(regs);
  if (found.module === undefined) {
    return { address, model, module: null, problem: found.problem, signal: null, up };
  }
  const { kind, vendor, part, serial, megabits, warnings } = found.module;
  const module = { kind, vendor, part, serial, megabits, warnings };
  const signal = await seesSignal(regs, found.module) ?? null;
  return { address, model, module, problem: null, signal, up };
}

/** Formats a report as lines of text. */
export function* formatModule(found: ModuleReport): Generator<string> {
  const { address, model, module, problem, signal, up } = found;
  yield `${address}: ${model}`;
  if (module === null) {
    yield `  module    none found: ${problem}`;
  } else {
    yield `  module    ${module.kind}`;
    yield `  vendor    ${module.vendor}, part ${module.part}, serial ${module.serial}`;
    const speeds = module.megabits.map((speed) => speed / 1000).join(" and ");
    yield `  speed     ${speeds} Gbit/s`;
    if (signal !== null) yield `  signal    ${signal ? "arrives" : "does not arrive"}`;
    for (const warning of module.warnings) yield `  warning   ${warning}`;
  }
  yield `  link      ${up ? "up" : "down"}`;
}
