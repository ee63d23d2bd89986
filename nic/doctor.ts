/**
 * Checks whether this machine can drive a network card from user space, through VFIO or through
 * sysfs, and what it lacks for each. Changes nothing.
 *
 * @module
 */

import { checkErrno, Errno, Open, path, stubs } from "../native/stubs.ts";
import { list } from "../native/files.ts";
import { HIDDEN_REMEDY } from "../src/pci/sysfs.ts";
import { Capability, hasCapability, missingForXdp } from "./capabilities.ts";
import { type Confinement, confinement, mebibytes, remedy } from "./confinement.ts";
import { identify } from "./drivers.ts";
import type { FunctionFiles, System } from "./system.ts";

/** Memory for a small pool and its rings: hugepages, or locked memory in bytes. */
const MIN_HUGEPAGES = 2, MIN_LOCKED = 16 * 1024 * 1024;
const HUGEPAGE_BYTES = 2 * 1024 * 1024;
/** Oldest version of Deno that the project is tested with. */
const MIN_DENO = [2, 9] as const;

/** The result of one check. */
export interface Finding {
  /** What was checked, for example `hugepages`. */
  readonly name: string;
  /** What was found. */
  readonly found: string;
  /** Whether the check passed. */
  readonly ok: boolean;
  /** Ways that do not work if the check fails; empty if it only warns. */
  readonly needed: readonly ("vfio" | "sysfs")[];
  /** What to do, or null if the check passed. */
  readonly fix: string | null;
}

/** The process that runs the checks. */
export interface Process {
  /** Deno's version. */
  readonly deno: string;
  /** Processors that it may use. */
  readonly processors: number;
}

/** The results of all checks. */
export interface Diagnosis {
  /** Result of each check. */
  readonly findings: readonly Finding[];
  /** Ways to drive a card that work. */
  readonly ways: readonly ("vfio" | "sysfs")[];
  /** Whether at least one way works. */
  readonly ready: boolean;
}

/** Runs all checks. */
export function diagnose(system: System, process: Process): Diagnosis {
  const confined = confinement(system, candidates(system).map(({ address }) => address));
  const findings = [
    ...machine(process),
    ...container(confined),
    cards(system),
    iommu(system),
    translation(system),
    vfioModule(system, confined),
    vfioAccess(system, confined),
    lockedMemory(system, confined),
    root(system, confined),
    hugepages(system, confined),
    ...hugepageLimit(confined),
    lockdown(system),
    interfaces(system, confined),
  ];
  const ways = (["vfio", "sysfs"] as const).filter((way) => {
    return findings.every(({ ok, needed }) => ok || !needed.includes(way));
  });
  return { findings, ways, ready: ways.length > 0 };
}

/** Formats a diagnosis as lines of text. */
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
  if (ways.length > 0) yield "run `nic.ts selftest ADDRESS` to test a card";
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
  const recent = major > MIN_DENO[0] || (major === MIN_DENO[0] && minor >= MIN_DENO[1]);
  const fix = `run \`deno upgrade\`: the oldest version tested is ${MIN_DENO.join(".")}`;
  yield finding("Deno", deno, recent, [], fix);
  yield finding(
    "processors",
    `${processors}`,
    processors >= 2,
    [],
    "give the machine a second one: a polling driver uses one completely",
  );
}

/** Yields what confines this process, and the files of the kernel that it needs. */
function* container(confined: Confinement): Generator<Finding> {
  const { container, userNamespace, proc, sys } = confined;
  if (container !== undefined) {
    const user = userNamespace ? ", with a user namespace" : "";
    yield finding("container", `${container}${user}`, true, [], "");
  }
  yield finding(
    "/proc",
    proc ? "mounted" : "missing",
    proc,
    ["sysfs"],
    "mount it: `mount -t proc proc /proc`",
  );
  yield finding(
    "/sys",
    sys,
    sys === "writable",
    sys === "missing" ? ["vfio", "sysfs"] : ["sysfs"],
    remedy(
      confined,
      sys === "missing"
        ? "mount it: `mount -t sysfs sysfs /sys`"
        : "run `mount -o remount,rw /sys`",
      "start the container with `-v /sys:/sys`, or with `--privileged --network host`",
    ),
  );
}

/**
 * Returns cards that a driver of this project supports, and that do not carry the default route. Leaves out
 * a card whose interface this process cannot see, because it may carry the route.
 */
function candidates(system: System): FunctionFiles[] {
  return system.ethernetFunctions().functions.filter((found) => {
    const { hidesInterface, interfaces } = found;
    const used = hidesInterface || interfaces.some((each) => each.defaultRoute);
    return identify(found).driver !== null && !used;
  });
}

function cards(system: System): Finding {
  const free = candidates(system);
  const { functions } = system.ethernetFunctions(), all = functions.map(({ address }) => address);
  const others = all.length > 0 ? `none except ${all.join(", ")}: see \`nic.ts list\`` : "none";
  return finding(
    "cards",
    free.map(({ address, driver }) => `${address} (${driver ?? "no driver"})`).join(", ") || others,
    free.length > 0,
    ["vfio", "sysfs"],
    functions.some(({ hidesInterface }) => hidesInterface)
      ? `to see whether a card is in use, ${HIDDEN_REMEDY}`
      : "add an 82599 (X520), X540, X550 or VirtIO card beside the one that carries the default " +
        "route; without one, `deno task demo` runs everything in software",
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

/** A device can use physical addresses only if no IOMMU translates them. */
function translation(system: System): Finding {
  const translated = candidates(system).filter((found) => {
    return identify(found).driver === "ixgbe" && found.group?.type?.startsWith("DMA");
  }).map(({ address }) => address);
  return finding(
    "bus addresses",
    translated.length > 0 ? `translated by an IOMMU for ${translated.join(", ")}` : "physical",
    translated.length === 0 || translated.length < candidates(system).length,
    ["sysfs"],
    "use VFIO, or boot with iommu=pt",
  );
}

function vfioModule(system: System, confined: Confinement): Finding {
  const driver = system.has("/sys/bus/pci/drivers", "vfio-pci");
  const iommu = system.has("/sys/module", "vfio_iommu_type1");
  return finding(
    "vfio modules",
    `vfio-pci ${driver ? "loaded" : "missing"}, vfio_iommu_type1 ${iommu ? "loaded" : "missing"}`,
    driver && iommu,
    ["vfio"],
    `run \`modprobe -a vfio-pci vfio_iommu_type1\`${remedy(confined, "", " on the machine")}`,
  );
}

/** Opens each file briefly, which does not disturb its users. A group that is in use counts too. */
function vfioAccess(system: System, confined: Confinement): Finding {
  const directory = system.file("/dev/vfio");
  const files = list(directory).filter((name) => name === "vfio" || /^\d+$/.test(name));
  const open = files.filter((name) => mayOpen(`${directory}/${name}`));
  const groups = files.filter((name) => name !== "vfio");
  const may = open.includes("vfio") && (groups.length === 0 ? isRoot(system) : open.length > 1);
  return finding(
    "/dev/vfio",
    files.length === 0
      ? "missing"
      : `${files.sort().join(", ")}; accessible: ${open.sort().join(", ") || "none"}`,
    may,
    ["vfio"],
    remedy(
      confined,
      groups.length === 0
        ? "as root, run `nic.ts bind ADDRESS vfio-pci`, then `chown USER /dev/vfio/N`"
        : "run `chown USER /dev/vfio/N` for the card's group N, or run this as root",
      "on the machine, run `nic.ts bind ADDRESS vfio-pci`, then start the container with " +
        "`--device /dev/vfio/vfio --device /dev/vfio/N`",
    ),
  );
}

function mayOpen(file: string): boolean {
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd >= 0) checkErrno(`close ${file}`, stubs.ixy_close(fd));
  return fd >= 0 || fd === -Errno.EBUSY;
}

function lockedMemory(system: System, confined: Confinement): Finding {
  const limits = system.text("/proc/self/limits") ?? "";
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? "unlimited";
  // Only the capability in the machine's user namespace counts.
  const free = hasCapability(system, Capability.IPC_LOCK) && !confined.userNamespace;
  const enough = free || soft === "unlimited" || Number(soft) >= MIN_LOCKED;
  return finding(
    "locked memory",
    free
      ? "no limit for this user"
      : !confined.proc
      ? "unknown without /proc"
      : soft === "unlimited"
      ? soft
      : `${Number(soft) / 1024} KiB`,
    enough,
    ["vfio"],
    remedy(
      confined,
      "run `ulimit -l 65536` as root, or change /etc/security/limits.conf",
      "start the container with `--ulimit memlock=-1`",
    ),
  );
}

function root(system: System, confined: Confinement): Finding {
  const is = isRoot(system), capable = hasCapability(system, Capability.SYS_ADMIN);
  const { userNamespace, proc } = confined;
  const found = !proc
    ? "unknown without /proc"
    : !is
    ? "no"
    : userNamespace
    ? "yes, but of a user namespace: physical addresses need the machine's"
    : capable
    ? "yes"
    : "yes, but physical addresses also need CAP_SYS_ADMIN";
  const fix = is && !userNamespace
    ? "start the container with `--cap-add SYS_ADMIN --cap-add SYS_RAWIO`"
    : remedy(
      confined,
      "run this as root",
      "start the container as root of the machine, `--user 0 --userns host`",
    );
  return finding("root", found, is && capable && !userNamespace, ["sysfs"], fix);
}

function hugepages(system: System, confined: Confinement): Finding {
  const directory = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  const pages = (name: string) => Number(system.text(`${directory}/${name}`) ?? 0);
  const total = pages("nr_hugepages"), free = pages("free_hugepages");
  return finding(
    "hugepages",
    `${free} of ${total} pages of 2 MiB free`,
    free >= MIN_HUGEPAGES,
    ["sysfs"],
    `run \`echo ${total - free + 256} > ${directory}/nr_hugepages\`${
      remedy(confined, "", " on the machine")
    }`,
  );
}

/** A control group may take fewer hugepages than are free. Without a limit, there is nothing to report. */
function* hugepageLimit(confined: Confinement): Generator<Finding> {
  const { hugepages } = confined;
  if (hugepages === Infinity) return;
  yield finding(
    "hugepage limit",
    `${mebibytes(hugepages)} by the control group`,
    hugepages >= MIN_HUGEPAGES * HUGEPAGE_BYTES,
    ["sysfs"],
    "raise hugetlb.2MB.max of the control group; in Kubernetes, set `resources.limits` of hugepages-2Mi",
  );
}

/** A kernel in lockdown refuses writes to configuration space and mappings of BARs. */
function lockdown(system: System): Finding {
  const text = system.text("/sys/kernel/security/lockdown") ?? "[none]";
  const mode = /\[(\w+)\]/.exec(text)?.[1] ?? "none";
  return finding(
    "lockdown",
    mode,
    mode === "none",
    ["sysfs"],
    "turn Secure Boot off, or boot without lockdown=; VFIO works in lockdown",
  );
}

/** Network interfaces need no card: this is not a way to drive one. */
function interfaces(system: System, confined: Confinement): Finding {
  const known = /^XDP\s/m.test(system.text("/proc/net/protocols") ?? "");
  const lacks = missingForXdp(system);
  const may = lacks.length === 0 && !confined.userNamespace;
  const permitted = may
    ? "permitted"
    : `not permitted without ${lacks.join(", ") || "the machine's own user namespace"}`;
  return finding(
    "AF_XDP",
    known ? `known to the kernel, ${permitted}` : "unknown to the kernel",
    known && may,
    [],
    known
      ? remedy(
        confined,
        "for addresses xdp:NAME, run this as root or with these capabilities",
        "for addresses xdp:NAME, start the container with `--cap-add NET_RAW --cap-add NET_ADMIN --cap-add BPF`",
      )
      : "for addresses xdp:NAME, use a kernel with CONFIG_XDP_SOCKETS",
  );
}

function isRoot(system: System): boolean {
  const status = system.text("/proc/self/status") ?? "";
  return /^Uid:\s+\d+\s+0\b/m.test(status);
}
