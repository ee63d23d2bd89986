/**
 * Processor cycles of another process, counted by the processor (`perf_event_open(2)`). Most virtual
 * machines have no such counter.
 *
 * @module
 */

/** The number of the system call on x86-64. */
const PERF_EVENT_OPEN = 298n;
const O_CLOEXEC = 1n << 3n;
/** Bytes of the first version of `perf_event_attr`, and offsets of its fields. */
const ATTRIBUTE_BYTES = 64, TYPE_AT = 0, SIZE_AT = 4, CONFIG_AT = 8;

/** The events that can be counted. */
export const EVENTS = {
  /** Cycles of the core, at any frequency. */
  cycles: { type: 0, config: 0n },
  /** Nanoseconds that the thread has run, which every kernel counts. */
  taskClock: { type: 1, config: 1n },
} as const;

/** A counter of the main thread of a process. */
export class Counter implements Disposable {
  readonly #libc: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #fd: number;
  readonly #value = new BigUint64Array(1);

  private constructor(libc: Deno.DynamicLibrary<typeof SYMBOLS>, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  /** Counts from now on; undefined if the machine or its kernel does not allow it. */
  static open(pid: number, event: typeof EVENTS[keyof typeof EVENTS]): Counter | undefined {
    const libc = Deno.dlopen("libc.so.6", SYMBOLS);
    const attribute = new Uint8Array(ATTRIBUTE_BYTES), view = new DataView(attribute.buffer);
    view.setUint32(TYPE_AT, event.type, true);
    view.setUint32(SIZE_AT, ATTRIBUTE_BYTES, true);
    view.setBigUint64(CONFIG_AT, event.config, true);
    const { syscall } = libc.symbols;
    const fd = Number(syscall(PERF_EVENT_OPEN, attribute, pid, -1, -1, O_CLOEXEC));
    if (fd >= 0) return new Counter(libc, fd);
    libc.close();
    return undefined;
  }

  /**
   * Returns the count so far.
   *
   * @throws {Error} if it cannot be read.
   */
  read(): number {
    const { byteLength } = this.#value;
    const n = this.#libc.symbols.read(this.#fd, this.#value, BigInt(byteLength));
    if (n !== BigInt(byteLength)) throw new Error("cannot read the counter of the processor");
    return Number(this.#value[0]);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
    this.#libc.close();
  }
}

const SYMBOLS = {
  syscall: { parameters: ["i64", "buffer", "i32", "i32", "i32", "u64"], result: "i64" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  close: { parameters: ["i32"], result: "i32" },
} as const;
