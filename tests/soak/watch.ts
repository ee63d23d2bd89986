/**
 * Watches what processes hold: memory, file descriptors, hugepages.
 *
 * @module
 */

const PAGE = 4096;
const HUGEPAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

/** What a process holds. */
export interface Held {
  /** Resident memory in MiB. */
  readonly rss: number;
  /** File descriptors. */
  readonly descriptors: number;
}

/** Returns what a process holds. */
export function held(pid: number): Held {
  const [, resident] = Deno.readTextFileSync(`/proc/${pid}/statm`).split(" ");
  return {
    rss: Math.round(Number(resident) * PAGE / 2 ** 20),
    descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
  };
}

/** Returns the number of free hugepages. */
export function freeHugepages(): number {
  return Number(Deno.readTextFileSync(HUGEPAGES));
}

/** Returns the processes with an environment variable, `NAME=value`, without one process. */
export function processesWith(variable: string, except: number | undefined): number[] {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name));
  return pids.filter(Number.isInteger).filter((pid) => {
    return pid !== except && environment(pid).includes(variable);
  });
}

/** Returns the environment of a process; nothing if it has ended, or belongs to another user. */
function environment(pid: number): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/environ`).split("\0");
  } catch (error) {
    const absent = [Deno.errors.NotFound, Deno.errors.PermissionDenied, Deno.errors.NotCapable];
    if (absent.some((kind) => error instanceof kind) || /os error 3/.test(String(error))) return [];
    throw error;
  }
}
