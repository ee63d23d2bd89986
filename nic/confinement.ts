/**
 * What a container keeps from its programs, for `nic.ts doctor`: namespaces, files of the kernel, and
 * limits. Its advice names flags of `docker run`, which `podman run` takes too.
 *
 * @module
 */

import { checkErrno, Errno, Open, path, stubs } from "../native/stubs.ts";
import { linkName, list } from "../native/files.ts";
import type { System } from "./system.ts";

const MIB = 1024 * 1024;
/** A limit of hugepages in bytes, in a directory of a control group: of version 2 and 1. */
const HUGEPAGE_LIMITS = [
  ["/sys/fs/cgroup", "hugetlb.2MB.max"],
  ["/sys/fs/cgroup/hugetlb", "hugetlb.2MB.limit_in_bytes"],
] as const;

/** What container managers write to the name of a container's control group. */
const GROUPS: readonly (readonly [RegExp, string])[] = [
  [/kubepods/, "Kubernetes"],
  [/docker/, "Docker"],
  [/libpod/, "Podman"],
  [/containerd/, "containerd"],
  [/\blxc\b/, "LXC"],
];

/** The machine's own namespaces, by the numbers that Linux gives them (`include/linux/proc_ns.h`). */
const NAMESPACES: Readonly<Record<string, number>> = {
  ipc: 0xefffffff,
  uts: 0xeffffffe,
  user: 0xeffffffd,
  pid: 0xeffffffc,
  cgroup: 0xeffffffb,
};

/** What confines this process. */
export interface Confinement {
  /** The container: the name of its manager, or its namespaces; undefined outside of one. */
  readonly container: string | undefined;
  /** Whether root is not the machine's root here. */
  readonly userNamespace: boolean;
  /** Whether `/proc` is mounted. */
  readonly proc: boolean;
  /** How `/sys` is mounted. */
  readonly sys: "writable" | "read-only" | "missing";
  /** The limit of hugepages of the control group, in bytes; Infinity if there is none. */
  readonly hugepages: number;
}

/**
 * Returns what confines this process.
 *
 * @param addresses Functions whose configuration space should be writable.
 */
export function confinement(system: System, addresses: readonly string[]): Confinement {
  return {
    container: containerOf(system),
    userNamespace: inUserNamespace(system),
    proc: system.text("/proc/self/status") !== undefined,
    sys: sysOf(system, addresses),
    hugepages: hugepageLimit(system),
  };
}

/** Returns the advice for a container if this process runs in one, else that for a machine. */
export function remedy({ container }: Confinement, machine: string, contained: string): string {
  return container === undefined ? machine : contained;
}

/** Formats a number of bytes as MiB. */
export function mebibytes(bytes: number): string {
  return `${bytes / MIB} MiB`;
}

function containerOf(system: System): string | undefined {
  const own = Object.entries(NAMESPACES).map(([name, number]) => {
    const link = linkName(system.file(`/proc/self/ns/${name}`));
    return {
      name,
      known: link !== undefined,
      own: link !== undefined && link !== `${name}:[${number}]`,
    };
  });
  // The marks that managerOf() looks for can be left from the image of which the machine was made.
  if (own.every((namespace) => namespace.known && !namespace.own)) return undefined;
  const names = own.filter((namespace) => namespace.own).map(({ name }) => name).join(", ");
  return managerOf(system) ?? (names === "" ? undefined : `namespaces of its own (${names})`);
}

/** Returns the name of the container's manager, by the marks that it leaves. */
function managerOf(system: System): string | undefined {
  // Only root may read the environment of the first process.
  const environment = ["self", "1"].flatMap((id) => {
    return system.text(`/proc/${id}/environ`)?.split("\0") ?? [];
  });
  if (environment.some((each) => each.startsWith("KUBERNETES_SERVICE_HOST="))) return "Kubernetes";
  if (system.text("/.dockerenv") !== undefined) return "Docker";
  if (system.text("/run/.containerenv") !== undefined) return "Podman";
  // By systemd's container interface: systemd-nspawn, LXC and others.
  const variable = environment.find((each) => each.startsWith("container="));
  const name = system.text("/run/systemd/container") ?? variable?.slice("container=".length);
  if (name) return name;
  const groups = system.text("/proc/1/cgroup") ?? "";
  return GROUPS.find(([pattern]) => pattern.test(groups))?.[1];
}

/** Returns whether root is not the machine's root here: its capabilities then end at its namespace. */
function inUserNamespace(system: System): boolean {
  const map = system.text("/proc/self/uid_map");
  return map !== undefined && !/^0\s+0\s+4294967295$/.test(map);
}

function sysOf(system: System, addresses: readonly string[]): Confinement["sys"] {
  if (list(system.file("/sys/bus")).length === 0) return "missing";
  const readOnly = addresses.some((address) => isReadOnly(`${system.devices}/${address}/config`));
  return readOnly || isMountedReadOnly(system) ? "read-only" : "writable";
}

/** Opens a file for writing, which changes nothing; returns whether its file system is read-only. */
function isReadOnly(file: string): boolean {
  const fd = stubs.ixy_open(path(file), Open.RDWR, 0);
  if (fd >= 0) checkErrno(`close ${file}`, stubs.ixy_close(fd));
  return fd === -Errno.EROFS;
}

/** The options of a mount, and those of its file system after "-", hold `ro` (proc(5), mountinfo). */
function isMountedReadOnly(system: System): boolean {
  const mounts = (system.text("/proc/self/mountinfo") ?? "").split("\n").map((row) =>
    row.split(" ")
  );
  const last = mounts.filter(([, , , , point]) => point === "/sys").at(-1) ?? [];
  return [last[5] ?? "", last.at(-1) ?? ""].some((options) => options.split(",").includes("ro"));
}

/** Returns the least limit of this process's control group and those above it. */
function hugepageLimit(system: System): number {
  const groups = (system.text("/proc/self/cgroup") ?? "").split("\n").map((row) => row.split(":"));
  const paths = ["", ...groups.map(([, , group = ""]) => group)];
  const limits = HUGEPAGE_LIMITS.flatMap(([root, file]) => {
    return paths.flatMap(withParents).map((group) => system.text(`${root}${group}/${file}`));
  });
  return Math.min(
    ...limits.map((text) => text === undefined || text === "max" ? Infinity : Number(text)),
  );
}

/** Returns a path and the paths of the directories above it, with "" for the root. */
function withParents(group: string): string[] {
  const names = group.split("/").filter((name) => name !== "");
  return [...names.keys(), names.length].map((n) =>
    names.slice(0, n).map((name) => `/${name}`).join("")
  );
}
