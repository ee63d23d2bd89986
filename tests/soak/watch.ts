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
