/**
 * Finds hugepages of other processes by their physical addresses, which `/proc` shows to root. So
 * the model reaches the memory of a driver that uses physical addresses; `memory.ts` maps it.
 *
 * @module
 */

import { checkErrno, path, stubs } from "../../native/stubs.ts";
import { ifReadable, list, readBytes, readText } from "../../native/files.ts";
import { HUGEPAGE } from "../../src/dma.ts";

/** Shared memory of a process, in whole hugepages. */
export interface SharedPages {
  /** The process. */
  readonly pid: number;
  /** File to open for the memory. */
  readonly file: string;
  /** Offset of the memory in the file, in bytes. */
  readonly offset: number;
  /** Physical address of each hugepage; -1 without a page in memory. */
  readonly addresses: readonly number[];
}

const PAGE = 4096;
const ENTRY_BYTES = 8;
// A pagemap entry: bit 63 says that the page is present, bits 54:0 are its frame number.
const PRESENT = 1n << 63n;
const FRAME = (1n << 55n) - 1n;
/** A line of maps for shared, writable memory: its range, and its offset in the file. */
const SHARED = /^([0-9a-f]+)-([0-9a-f]+) rw.s ([0-9a-f]+) /gm;

/** Yields all shared hugepages of all other processes. */
export function* sharedPages(): Generator<SharedPages> {
  for (const name of list("/proc")) {
    const pid = Number(name);
    if (Number.isInteger(pid) && pid !== Deno.pid) yield* pagesOf(pid);
  }
}

/** Returns whether a process runs; false for a zombie. */
export function isRunning(pid: number): boolean {
  return (ifReadable(() => readBytes(`/proc/${pid}/maps`, 1))?.length ?? 0) > 0;
}

/** Returns whether this process may see physical addresses. */
export function seesPhysicalAddresses(): boolean {
  const view = new BigUint64Array(PAGE / ENTRY_BYTES).fill(1n);
  const entry = new BigUint64Array(1);
  checkErrno(
    "read /proc/self/pagemap",
    stubs.ixy_pagemap(Deno.UnsafePointer.of(view), PAGE, 1, entry),
  );
  return (entry[0] & FRAME) !== 0n;
}

function* pagesOf(pid: number): Generator<SharedPages> {
  const maps = ifReadable(() => readText(`/proc/${pid}/maps`)) ?? ""; // processes end meanwhile
  for (const [, from, to, offset] of maps.matchAll(SHARED)) {
    const start = parseInt(from, 16), end = parseInt(to, 16);
    if (start % HUGEPAGE !== 0 || end % HUGEPAGE !== 0) continue;
    const addresses = addressesOf(pid, start, (end - start) / HUGEPAGE);
    if (addresses.every((address) => address < 0)) continue;
    const file = `/proc/${pid}/map_files/${from}-${to}`;
    yield { pid, file, offset: parseInt(offset, 16), addresses };
  }
}

/** Returns the addresses of hugepages; -1 if a page is not present, or consists of small pages. */
function addressesOf(pid: number, start: number, count: number): number[] {
  const fd = stubs.ixy_open(path(`/proc/${pid}/pagemap`), 0, 0);
  if (fd < 0) return []; // the process has ended meanwhile
  try {
    const entries = new BigUint64Array(2);
    return Array.from({ length: count }, (_, i) => {
      const first = start + i * HUGEPAGE, last = first + HUGEPAGE - PAGE;
      for (const [n, address] of [first, last].entries()) {
        const at = address / PAGE * ENTRY_BYTES;
        const bytes = stubs.ixy_pread(fd, entries.subarray(n), ENTRY_BYTES, at);
        if (bytes !== ENTRY_BYTES || (entries[n] & PRESENT) === 0n) return -1;
      }
      const [low, high] = Array.from(entries, (entry) => Number(entry & FRAME) * PAGE);
      return low % HUGEPAGE === 0 && high === low + HUGEPAGE - PAGE ? low : -1;
    });
  } finally {
    stubs.ixy_close(fd);
  }
}
