/**
 * The list of the machine's network cards that `nic.ts list` shows.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import { hex16 } from "../src/pci/function.ts";
import { assess, type Assessment } from "./drivers.ts";
import type { FunctionFiles, Survey, System } from "./system.ts";

/** A card, and how this project can drive it. */
export type Card = FunctionFiles & { readonly use: Assessment };

/** Returns all Ethernet controllers that can be read, ordered by address. */
export function cards(system: System): Card[] {
  return assessed(system.ethernetFunctions());
}

/** Returns the functions of a survey with what `open` would do. */
export function assessed({ functions }: Survey): Card[] {
  return functions.map((found) => ({ ...found, use: assess(found) }));
}

/** Formats cards as lines of text: a heading for each card, then its details. */
export function* formatCards(found: readonly Card[]): Generator<string> {
  if (found.length === 0) yield "no Ethernet controllers on this machine's PCI buses";
  for (const card of found) {
    const { address, vendor, device, driver, interfaces, hidesInterface, group, use } = card;
    yield `${address}  ${hex16(vendor)}:${hex16(device)}  ${use.name ?? "unknown model"}`;
    const names = interfaces.map(({ name, up, defaultRoute }) => {
      return `${visible(name)} ${up ? "up" : "down"}${defaultRoute ? ", default route" : ""}`;
    });
    if (hidesInterface) names.push("in another network namespace");
    yield `  kernel    ${driver === null ? "no driver" : `driver ${driver}`}; ` +
      `${names.length > 0 ? `interface ${names.join("; ")}` : "no interface"}`;
    if (group === null) yield "  IOMMU     none";
    else {
      const others = group.others.map(({ address, driver }) =>
        `${address} (${driver ?? "no driver"})`
      );
      yield `  IOMMU     group ${group.number}${group.type === null ? "" : ` (${group.type})`}` +
        `${others.length > 0 ? `, with ${others.join(", ")}` : ", alone"}`;
    }
    const bus = use.bus === "vfio" ? "VFIO" : "sysfs";
    yield use.driver === null
      ? `  ixy.ts    ${use.problems[0]}`
      : `  ixy.ts    ${use.driver} by ${bus}${use.problems.length === 0 ? "" : ", but:"}`;
    if (use.driver !== null) { for (const problem of use.problems) yield `            ${problem}`; }
  }
}
