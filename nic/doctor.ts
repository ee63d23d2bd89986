/**
 * Whether this machine lets a network card be driven from user space, by which of two ways, and what
 * is missing. Looks only; changes nothing.
 *
 * @module
 */

import { checkErrno, Errno, Open, path, stubs } from "../native/stubs.ts";
import { list } from "../native/files.ts";
import { identify } from "./drivers.ts";
import type { FunctionFiles, System } from "./system.ts";

/** The bits of these capabilities in the kernel's sets. */
const CAP_IPC_LOCK = 14n, CAP_SYS_ADMIN = 21n;
/** What a small pool and its rings take, in bytes: two hugepages, or as much locked memory. */
const MIN_HUGEPAGES = 2, MIN_LOCKED = 16 * 1024 * 1024;
/** The oldest Deno that this is tried with. */
const DENO = [2, 9] as const;

/** One thing that was looked at. */
export interface Finding {
  /** What: `hugepages`. */
  readonly name: string;
  /** What was found. */
  readonly found: string;
  /** Whether it is as it should be. */
  readonly ok: boolean;
  /** Ways that do not work without it; none if it only slows down. */
  readonly needed: readonly ("vfio" | "sysfs")[];
  /** What to do, or null if it is well. */
  readonly fix: string | null;
}

/** What this process is. */
export interface Process {
  /** Deno's version. */
  readonly deno: string;
  /** Processors that it may use. */
  readonly processors: number;
}

/** The diagnosis. */
export interface Diagnosis {
  /** Everything that was looked at. */
  readonly findings: readonly Finding[];
  /** Ways that are open. */
  readonly ways: readonly ("vfio" | "sysfs")[];
  /** Whether a card that a driver here is for can be driven by an open way. */
  readonly ready: boolean;
}

/** Looks at everything. */
export function diagnose(system: System, process: Process): Diagnosis {
  const findings = [
    ...machine(process),
    cards(system),
    iommu(system),
    translation(system),
    vfioModule(system),
    vfioAccess(system),
    lockedMemory(system),
    root(system),
    hugepages(system),
    lockdown(system),
  ];
  const ways = (["vfio", "sysfs"] as const).filter((way) => {
    return findings.every(({ ok, needed }) => ok || !needed.includes(way));
  });
  return { findings, ways, ready: ways.length > 0 };
}

/** Lines for people. */
export function* formatDiagnosis({ findings, ways }: Diagnosis): Generator<string> {
  for (const { name, found, ok, needed, fix } of findings) {
    const mark = ok ? "ok" : needed.length > 0 ? "missing" : "note";
    yield `${mark.padEnd(8)} ${name.padEnd(14)} ${found}`;
    if (fix !== null) yield `${"".padEnd(23)} -> ${fix}`;
  }
  for (const way of ["vfio", "sysfs"] as const) {
    const missing = findings.filter(({ ok, needed }) => !ok && needed.includes(way))
      .map(({ name }) => name);
    const name = way === "vfio" ? "VFIO" : "sysfs and physical addresses";
    yield ways.includes(way) ? `${name}: can be used` : `${name}: lacks ${missing.join(", ")}`;
  }
}

function finding(
  name: string,
  found: string,
  ok: boolean,
  needed: Finding["needed"],
  fix: string,
): Finding {
  return { name, found, ok, needed, fix: ok ? null : fix };
}

function* machine({ deno, processors }: Process): Generator<Finding> {
  const [major, minor] = deno.split(".").map(Number);
  const recent = major > DENO[0] || (major === DENO[0] && minor >= DENO[1]);
  yield finding("Deno", deno, recent, [], `\`deno upgrade\`: it is tried with ${DENO.join(".")}`);
  yield finding(
    "processors",
    `${processors}`,
    processors >= 2,
    [],
    "give the machine a second one: a polling driver keeps one to itself",
  );
}

/** Cards that a driver here is for, and that the machine is not reached by. */
function candidates(system: System): FunctionFiles[] {
  return system.ethernetFunctions().filter((found) => {
    return identify(found).driver !== null && !found.interfaces.some((each) => each.defaultRoute);
  });
}

function cards(system: System): Finding {
  const free = candidates(system), all = system.ethernetFunctions().map(({ address }) => address);
  const others = all.length > 0 ? `none but ${all.join(", ")}: see \`nic.ts list\`` : "none";
  return finding(
    "cards",
    free.map(({ address, driver }) => `${address} (${driver ?? "no driver"})`).join(", ") || others,
    free.length > 0,
    ["vfio", "sysfs"],
    "put in an 82599 (X520), X540, X550 or VirtIO card beside the one that carries the default " +
      "route; without one, `deno task demo` runs everything here",
  );
}

function iommu(system: System): Finding {
  const groups = list(system.file("/sys/kernel/iommu_groups")).length;
  const before = candidates(system).filter(({ group }) => group !== null).length;
  return finding(
    "IOMMU",
    groups === 0 ? "none" : `${groups} groups, ${before} with cards`,
    before > 0,
    ["vfio"],
    "turn VT-d or AMD-Vi on in the firmware, and boot with intel_iommu=on",
  );
}

/** Physical addresses reach memory only where no IOMMU translates them. */
function translation(system: System): Finding {
  const translated = candidates(system).filter((found) => {
    return identify(found).driver === "ixgbe" && found.group?.type?.startsWith("DMA");
  }).map(({ address }) => address);
  return finding(
    "bus addresses",
    translated.length > 0 ? `an IOMMU translates those of ${translated.join(", ")}` : "physical",
    translated.length === 0 || translated.length < candidates(system).length,
    ["sysfs"],
    "use VFIO, or boot with iommu=pt",
  );
}

function vfioModule(system: System): Finding {
  const driver = system.has("/sys/bus/pci/drivers", "vfio-pci");
  const iommu = system.has("/sys/module", "vfio_iommu_type1");
  return finding(
    "vfio modules",
    `vfio-pci ${driver ? "loaded" : "missing"}, vfio_iommu_type1 ${iommu ? "loaded" : "missing"}`,
    driver && iommu,
    ["vfio"],
    "`modprobe -a vfio-pci vfio_iommu_type1`",
  );
}

/** Opens for a moment what may be opened by many; of a group, one that is in use counts as well. */
function vfioAccess(system: System): Finding {
  const directory = system.file("/dev/vfio");
  const files = list(directory).filter((name) => name === "vfio" || /^\d+$/.test(name));
  const open = files.filter((name) => mayOpen(`${directory}/${name}`));
  const groups = files.filter((name) => name !== "vfio");
  const may = open.includes("vfio") && (groups.length === 0 ? isRoot(system) : open.length > 1);
  return finding(
    "/dev/vfio",
    files.length === 0
      ? "missing"
      : `${files.sort().join(", ")}; may be opened: ${open.sort().join(", ") || "none"}`,
    may,
    ["vfio"],
    groups.length === 0
      ? "as root, `nic.ts bind ADDRESS vfio-pci`, then `chown USER /dev/vfio/N`"
      : "`chown USER /dev/vfio/N` for the card's group N, or run this as root",
  );
}

function mayOpen(file: string): boolean {
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd >= 0) checkErrno(`close ${file}`, stubs.ixy_close(fd));
  return fd >= 0 || fd === -Errno.EBUSY;
}

function lockedMemory(system: System): Finding {
  const limits = system.text("/proc/self/limits") ?? "";
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? "unlimited";
  const free = hasCapability(system, CAP_IPC_LOCK);
  const enough = free || soft === "unlimited" || Number(soft) >= MIN_LOCKED;
  return finding(
    "locked memory",
    free ? "no limit for this user" : soft === "unlimited" ? soft : `${Number(soft) / 1024} KiB`,
    enough,
    ["vfio"],
    "`ulimit -l 65536`, as root or by /etc/security/limits.conf",
  );
}

function root(system: System): Finding {
  const is = isRoot(system), all = is && hasCapability(system, CAP_SYS_ADMIN);
  return finding(
    "root",
    !is ? "no" : all ? "yes" : "yes, but without CAP_SYS_ADMIN, which physical addresses need",
    all,
    ["sysfs"],
    is ? "give the container CAP_SYS_ADMIN and CAP_SYS_RAWIO" : "run this as root",
  );
}

function hugepages(system: System): Finding {
  const directory = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  const pages = (name: string) => Number(system.text(`${directory}/${name}`) ?? 0);
  const total = pages("nr_hugepages"), free = pages("free_hugepages");
  return finding(
    "hugepages",
    `${free} of ${total} pages of 2 MiB free`,
    free >= MIN_HUGEPAGES,
    ["sysfs"],
    `\`echo ${total - free + 256} > /proc/sys/vm/nr_hugepages\``,
  );
}

/** A kernel that is locked down lets nobody write to configuration space, or map BARs. */
function lockdown(system: System): Finding {
  const text = system.text("/sys/kernel/security/lockdown") ?? "[none]";
  const mode = /\[(\w+)\]/.exec(text)?.[1] ?? "none";
  return finding(
    "lockdown",
    mode,
    mode === "none",
    ["sysfs"],
    "turn Secure Boot off, or boot without lockdown=; VFIO works with it",
  );
}

function isRoot(system: System): boolean {
  const status = system.text("/proc/self/status") ?? "";
  return /^Uid:\s+\d+\s+0\b/m.test(status);
}

function hasCapability(system: System, bit: bigint): boolean {
  const set = /^CapEff:\s*([0-9a-f]+)/m.exec(system.text("/proc/self/status") ?? "")?.[1] ?? "0";
  return (BigInt(`0x${set}`) >> bit & 1n) === 1n;
}
