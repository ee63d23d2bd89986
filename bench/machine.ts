/**
 * The machine that measures: what a reader needs to judge a figure, from /proc and /sys.
 *
 * @module
 */

/** The machine. */
export interface Machine {
  /** Model name of the processor. */
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  /** Whether it is a virtual machine. */
  readonly virtual: boolean;
  /** Rate of the time stamp counter in MHz; undefined if it is not constant or not known. */
  readonly tscMHz?: number;
  /** The kernel's frequency governor; undefined if the kernel does not set the frequency. */
  readonly governor?: string;
  /** Memory in GiB. */
  readonly memoryGiB: number;
  /** Release of the kernel. */
  readonly kernel: string;
  /** Version of Deno. */
  readonly deno: string;
  /** Version of V8. */
  readonly v8: string;
}

/** Returns the text of a file; undefined if it does not exist. */
function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Returns the value in a line `name: value`. */
function field(text: string, name: string): string | undefined {
  return new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(text)?.[1];
}

/** Returns the cores that this process may use, lowest first. */
export function usableCores(): number[] {
  const list = field(read("/proc/self/status") ?? "", "Cpus_allowed_list") ?? "0";
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** Returns whether this process runs as root. */
export function isRoot(): boolean {
  return field(read("/proc/self/status") ?? "", "Uid")?.split("\t")[1] === "0";
}

/** Returns how often the kernel has preempted a process's main thread; 0 if it has ended. */
export function preemptions(pid: number): number {
  return Number(field(read(`/proc/${pid}/status`) ?? "", "nonvoluntary_ctxt_switches") ?? 0);
}

/** Describes this machine. */
export function machine(): Machine {
  const cpu = read("/proc/cpuinfo") ?? "", flags = (field(cpu, "flags") ?? "").split(" ");
  const megahertz = tscMHz(cpu, flags);
  const governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?.trim();
  return {
    cpu: field(cpu, "model name") ?? "unknown",
    cores: usableCores().length,
    virtual: flags.includes("hypervisor"),
    ...(megahertz !== undefined && { tscMHz: megahertz }),
    ...(governor !== undefined && { governor }),
    memoryGiB: Math.round(
      parseInt(field(read("/proc/meminfo") ?? "", "MemTotal") ?? "0") / 2 ** 20,
    ),
    kernel: (read("/proc/sys/kernel/osrelease") ?? "unknown").trim(),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
  };
}

/** Linux derives bogomips from the time stamp counter: twice its MHz. */
function tscMHz(cpu: string, flags: readonly string[]): number | undefined {
  const bogomips = Number(field(cpu, "bogomips"));
  return flags.includes("constant_tsc") && bogomips > 0 ? bogomips / 2 : undefined;
}

/** Returns the machine as a sentence. */
export function describe(m: Machine): string {
  const where = m.virtual ? "a virtual machine" : "bare metal";
  return `${m.cpu}, ${m.cores} cores, ${m.memoryGiB} GiB, ${where}; Linux ${m.kernel}, ` +
    `Deno ${m.deno}, V8 ${m.v8}; frequency ${
      m.governor === undefined ? "not the kernel's to set" : `governed by ${m.governor}`
    }`;
}
