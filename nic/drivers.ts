/**
 * Which driver of this project supports a function, and how it could reach it now: what `open`
 * would do, without doing it. Part of the program `nic.ts`, and therefore above the drivers.
 *
 * @module
 */

import { shellWord, visible } from "../native/files.ts";
import { INTEL, modelOf } from "../ixgbe/models.ts";
import { MODERN_NET, RED_HAT, TRANSITIONAL_NET } from "../virtio/pci.ts";
import { UsageError } from "../src/errors.ts";
import { HIDDEN_REMEDY } from "../src/pci/sysfs.ts";
import type { FunctionFiles } from "./system.ts";

/** Names of VirtIO network cards. */
const VIRTIO_NET: Readonly<Record<number, string>> = {
  [TRANSITIONAL_NET]: "VirtIO network card",
  [MODERN_NET]: "VirtIO network card (modern only)",
};

/** The model of a function, from its ids. */
export interface Model {
  /** The driver that supports it, or null. */
  readonly driver: "ixgbe" | "virtio" | null;
  /** Its name, or null if unknown. */
  readonly name: string | null;
  /** Why no driver supports it, or null. */
  readonly problem: string | null;
}

/** How a function could be driven. */
export interface Assessment extends Model {
  /** How `open` would reach it; null if no driver supports it. */
  readonly bus: "vfio" | "sysfs" | null;
  /** What prevents driving it now, each with what to do; empty if it can be driven. */
  readonly problems: readonly string[];
}

/** Returns the model of a function. */
export function identify({ address, vendor, device }: FunctionFiles): Model {
  if (vendor === RED_HAT && device in VIRTIO_NET) {
    return { driver: "virtio", name: VIRTIO_NET[device], problem: null };
  }
  if (vendor !== INTEL) {
    const problem =
      "not supported: ixy.ts has drivers for Intel's 82599, X540 and X550, and for VirtIO";
    return { driver: null, name: null, problem };
  }
  try {
    return { driver: "ixgbe", name: modelOf(address, device).name, problem: null };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { driver: null, name: null, problem: error.message.replace(`${address}: `, "") };
  }
}

/** Returns how a function could be driven, and what prevents it now. */
export function assess(found: FunctionFiles): Assessment {
  const model = identify(found);
  if (model.driver === null) return { ...model, bus: null, problems: [model.problem!] };
  const vfio = found.driver === "vfio-pci" && found.group !== null;
  const problems = vfio ? vfioProblems(found) : sysfsProblems(found, model.driver);
  return { ...model, bus: vfio ? "vfio" : "sysfs", problems };
}

function vfioProblems({ group }: FunctionFiles): string[] {
  return group!.others.filter(({ blocks }) => blocks).map(({ address, driver }) =>
    `kernel driver ${driver} has ${address} of the same IOMMU group: run ` +
    `\`nic.ts bind ${address} none\``
  );
}

function sysfsProblems(found: FunctionFiles, model: "ixgbe" | "virtio"): string[] {
  const { address, driver, interfaces, group } = found;
  const problems = inUse(found).map(({ problem, remedy }) => `${problem}: ${remedy}`);
  if (driver === "vfio-pci") {
    problems.push(`bound to vfio-pci without an IOMMU group: run \`nic.ts restore ${address}\``);
  }
  // A VirtIO device uses the IOMMU only if it offers ACCESS_PLATFORM, which no file of the kernel
  // shows.
  if (model === "ixgbe" && group?.type?.startsWith("DMA")) {
    const down = interfaces.some(({ up }) => up) ? ", once its interface is down" : "";
    problems.push(
      `an IOMMU translates its addresses, so physical ones do not work: run ` +
        `\`nic.ts bind ${address} vfio-pci\`${down}`,
    );
  }
  return problems;
}

/** Returns what the kernel uses a function for, and what to do about it. */
export function inUse(
  { interfaces, hidesInterface }: FunctionFiles,
): { problem: string; remedy: string }[] {
  const problems = interfaces.flatMap(({ name, up, defaultRoute }) => {
    if (defaultRoute) {
      return [{
        problem: `its kernel interface ${visible(name)} carries the default route`,
        remedy: "move the route to another card first",
      }];
    }
    if (!up) return [];
    return [{
      problem: `its kernel interface ${visible(name)} is up`,
      remedy: `run \`ip link set ${shellWord(name)} down\` if nothing needs it`,
    }];
  });
  const hidden = {
    problem: "its kernel interface is in another network namespace, so this process does not see " +
      "whether it is up",
    remedy: HIDDEN_REMEDY,
  };
  return hidesInterface ? [...problems, hidden] : problems;
}
