/**
 * The self-test's page: what was tested, on what machine, and the results. It names models, not
 * individuals.
 *
 * @module
 */

import type { System } from "../system.ts";
import type { Access, Result, Verdict } from "./check.ts";

/** The machine, as far as the kernel's files tell. */
export interface Machine {
  /** Manufacturer and model; null if unknown. */
  readonly board: string | null;
  readonly processor: string | null;
  readonly kernel: string | null;
  readonly deno: string;
}

/** The function behind a port. */
export interface FunctionFacts {
  readonly port: number;
  /** How the driver reaches it. */
  readonly through: "sysfs" | "VFIO" | "vfio-user";
  /** PCI ids of device and subsystem, and the revision: `8086:10fb 8086:0003 rev 01`; null if unknown. */
  readonly ids: string | null;
  /** Speed and width of its PCI Express link; null if unknown. */
  readonly link: string | null;
  /** Type of its IOMMU group; null without one. */
  readonly iommu: string | null;
}

/** All that the self-test tells. */
export interface Report {
  /** The day: `2026-11-28`. */
  readonly date: string;
  readonly machine: Machine;
  readonly functions: readonly FunctionFacts[];
  readonly results: readonly Result[];
}

/** Describes the machine. */
export function machineOf(system: System): Machine {
  const dmi = (name: string) => system.text(`/sys/class/dmi/id/${name}`);
  const board = [dmi("sys_vendor"), dmi("product_name")].filter((part) => part).join(" ");
  const processor = /^model name\s*:\s*(.+)$/m.exec(system.text("/proc/cpuinfo") ?? "")?.[1];
  return {
    board: board === "" ? null : board,
    processor: processor ?? null,
    kernel: system.text("/proc/sys/kernel/osrelease") ?? null,
    deno: Deno.version.deno,
  };
}

/** Describes the function behind a port. Call it before the device is opened. */
export function functionOf(
  system: System,
  { number: port, address, noInterrupts }: Access,
): FunctionFacts {
  if (address.startsWith("vfio-user:")) {
    return { port, through: "vfio-user", ids: null, link: null, iommu: null };
  }
  const { vendor, device, group } = system.function(address);
  const text = (name: string) => system.text(`/sys/bus/pci/devices/${address}/${name}`);
  const id = (value: string | number | undefined) => {
    return value === undefined ? "?" : Number(value).toString(16).padStart(4, "0");
  };
  const speed = text("current_link_speed"), width = text("current_link_width");
  const revision = text("revision")?.replace(/^0x/, "");
  return {
    port,
    through: noInterrupts === undefined ? "VFIO" : "sysfs",
    ids: `${id(vendor)}:${id(device)} ${id(text("subsystem_vendor"))}:` +
      `${id(text("subsystem_device"))}${revision === undefined ? "" : ` rev ${revision}`}`,
    link: speed === undefined || width === undefined ? null : `${speed} x${width}`,
    iommu: group?.type ?? null,
  };
}

/** Formats what is known before the first check. */
export function* formatHead(
  { date, machine, functions }: Omit<Report, "results">,
): Generator<string> {
  const { board, processor, kernel, deno } = machine;
  yield `ixy.ts self-test, ${date}`;
  yield `machine   ${[board, processor].filter((part) => part !== null).join(", ") || "unknown"}`;
  yield `software  ${kernel === null ? "" : `Linux ${kernel}, `}Deno ${deno}`;
  for (const { port, through, ids, link, iommu } of functions) {
    const known = [ids, link === null ? null : `PCI Express ${link}`, `through ${through}`];
    const group = iommu === null ? [] : [`IOMMU group of type ${iommu}`];
    yield `port ${port}    ${[...known.filter((part) => part !== null), ...group].join(", ")}`;
  }
  yield "";
}

/** Formats a result as a line. */
export function formatResult({ port, check, verdict, detail }: Result): string {
  return `port ${port}  ${check.padEnd(11)}  ${verdict.padEnd(7)}  ${detail}`;
}

/** Formats the last line. */
export function formatTotal(results: readonly Result[]): string {
  const count = (verdict: Verdict) => results.filter((result) => result.verdict === verdict).length;
  return `${count("ok")} ok, ${count("FAILED")} FAILED, ${count("skipped")} skipped`;
}

/** Formats a whole page. */
export function* formatPage(report: Report): Generator<string> {
  yield* formatHead(report);
  yield* report.results.map(formatResult);
  yield "";
  yield formatTotal(report.results);
}
