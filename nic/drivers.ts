/**
 * Which of this project's drivers is for a function, and by which bus it could be driven now: what
 * `open` would do, without doing it. Part of the program `nic.ts`, and so above the drivers.
 *
 * @module
 */

import { INTEL, modelOf } from "../ixgbe/models.ts";
import { MODERN_NET, RED_HAT, TRANSITIONAL_NET } from "../virtio/pci.ts";
import { UsageError } from "../src/errors.ts";
import type { FunctionFiles } from "./system.ts";

/** Names of VirtIO network cards. */
const VIRTIO_NET: Readonly<Record<number, string>> = {
  [TRANSITIONAL_NET]: "VirtIO network card",
  [MODERN_NET]: "VirtIO network card (modern only)",
};

/** What a function is to this project. */
export interface Model {
  /** The driver that is for it, or null. */
  readonly driver: "ixgbe" | "virtio" | null;
  /** Its name, or null if it is not known. */
  readonly name: string | null;
  /** Why no driver is for it, or null. */
  readonly problem: string | null;
}

/** How a function could be driven. */
export interface Assessment extends Model {
  /** The bus that `open` would take; null if no driver is for it. */
  readonly bus: "vfio" | "sysfs" | null;
  /** What keeps it from being driven now, each with what to do; none if it can be driven. */
  readonly problems: readonly string[];
}

/** What is known of a function by its ids. */
export function identify({ address, vendor, device }: FunctionFiles): Model {
  if (vendor === RED_HAT && device in VIRTIO_NET) {
    return { driver: "virtio", name: VIRTIO_NET[device], problem: null };
  }
  if (vendor !== INTEL) {
    const problem =
      "no driver here is for it: drivers are for Intel's 82599, X540 and X550, and VirtIO";
    return { driver: null, name: null, problem };
  }
  try {
    return { driver: "ixgbe", name: modelOf(address, device).name, problem: null };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { driver: null, name: null, problem: error.message.replace(`${address}: `, "") };
  }
}

/** How a function could be driven now, and what is in the way. */
export function assess(found: FunctionFiles): Assessment {
  const model = identify(found);
  if (model.driver === null) return { ...model, bus: null, problems: [model.problem!] };
  const vfio = found.driver === "vfio-pci" && found.group !== null;
  const problems = vfio ? vfioProblems(found) : sysfsProblems(found, model.driver);
  return { ...model, bus: vfio ? "vfio" : "sysfs", problems };
}

function vfioProblems({ group }: FunctionFiles): string[] {
  return group!.others.filter(({ blocks }) => blocks).map(({ address, driver }) =>
    `kernel driver ${driver} has ${address} of the same IOMMU group: \`nic.ts bind ${address} none\``
  );
}

function sysfsProblems(found: FunctionFiles, model: "ixgbe" | "virtio"): string[] {
  const { address, driver, interfaces, group } = found;
  const problems = inUse(found).map(({ problem, remedy }) => `${problem}: ${remedy}`);
  if (driver === "vfio-pci") {
    problems.push(`bound to vfio-pci without an IOMMU group: \`nic.ts restore ${address}\``);
  }
  // A VirtIO device goes through the IOMMU only if it offers ACCESS_PLATFORM, which no file tells.
  if (model === "ixgbe" && group?.type?.startsWith("DMA")) {
    const down = interfaces.some(({ up }) => up) ? ", once its interface is down" : "";
    problems.push(
      `an IOMMU keeps it from memory by physical addresses: \`nic.ts bind ${address} vfio-pci\`${down}`,
    );
  }
  return problems;
}

/** What a function is needed for now, and what to do about it. */
export function inUse({ interfaces }: FunctionFiles): { problem: string; remedy: string }[] {
  return interfaces.flatMap(({ name, up, defaultRoute }) => {
    if (defaultRoute) {
      return [{
        problem: `its kernel interface ${name} carries the default route`,
        remedy: "let another card carry it first",
      }];
    }
    if (!up) return [];
    return [{
      problem: `its kernel interface ${name} is up`,
      remedy: `\`ip link set ${name} down\` if nothing needs it`,
    }];
  });
}
