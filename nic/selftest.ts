/**
 * The self-test of an 82599, X540 or X550: what to run first on a card. It opens the device, checks one
 * thing after the other, and describes the result on one page, without what identifies card, module or
 * machine: no MAC address, no serial number, no PCI address. Part of the program `nic.ts`, and therefore
 * above the drivers.
 *
 * @module
 */

import { modelOf } from "../ixgbe/models.ts";
import { DeviceError, Mempool, StopError, SystemError, UsageError } from "../mod.ts";
import {
  type Access,
  type Bench,
  type Check,
  Failed,
  Interrupted,
  type OpenPort,
  type Result,
  Skipped,
  type Verdict,
} from "./selftest/check.ts";
import { CLOSE_CHECK, REOPEN_CHECK } from "./selftest/closing.ts";
import { FILTER_CHECK, LOOPBACK_CHECK, RSS_CHECK, STATISTICS_CHECK } from "./selftest/data_path.ts";
import { EEPROM_CHECK } from "./selftest/eeprom.ts";
import { INTERRUPT_CHECK } from "./selftest/interrupts.ts";
import { CABLE_CHECK, LINK_CHECK, LINK_LOSS_CHECK, MODULE_CHECK } from "./selftest/link.ts";
import { REGISTER_CHECK } from "./selftest/registers.ts";
import { TIME_CHECK } from "./selftest/time.ts";
import { ALL_SIZES } from "./selftest/traffic.ts";

/** Receive queues, one transmit queue; descriptors of each ring. */
const QUEUES = 4, ENTRIES = 128;
/** Buffers for full rings and the packets between them; each holds the largest frame. */
const BUFFERS = 1024, BUFFER_SIZE = 16384;

/** Name of the first check, which opens the device. */
const OPEN = "open";
/** Longest time until a link is up: 10GBASE-T negotiates for several seconds. In milliseconds. */
const LINK_MS = 15000;
/** Time without a packet after which no more are expected: generous, for a busy machine. */
const SILENCE_MS = 5000;
/** Checks while all ports are open: each group of all ports, before the next group. */
const ON_CABLE: readonly (readonly Check[])[] = [
  [LINK_CHECK],
  [MODULE_CHECK, REGISTER_CHECK, EEPROM_CHECK],
  [CABLE_CHECK, LINK_LOSS_CHECK],
];
/** Checks of one port after the other, in loopback; the last one closes it. */
const IN_LOOPBACK: readonly Check[] = [
  LOOPBACK_CHECK,
  FILTER_CHECK,
  RSS_CHECK,
  STATISTICS_CHECK,
  INTERRUPT_CHECK,
  TIME_CHECK,
  CLOSE_CHECK,
];

/** Names of all checks, in the order of a port's results. */
export const CHECKS: readonly string[] = [
  OPEN,
  ...[...ON_CABLE.flat(), ...IN_LOOPBACK, REOPEN_CHECK].map(({ name }) => name),
];

/** What the self-test is told about its run. */
export interface RunOptions {
  /** Whether to take over a device whose kernel interface is up. */
  readonly force: boolean;
  /** Longest time until a link is up or down, in milliseconds (default: 15,000). */
  readonly linkMs?: number;
  /** Time without a packet after which no more are expected, in milliseconds (default: 5000). */
  readonly silenceMs?: number;
  /** Sizes of the packets over cable and in loopback, in bytes without CRC (default: all). */
  readonly sizes?: readonly number[];
  /** Returns whether the user has ended the test. */
  readonly stopped: () => boolean;
  /** Called with each result. */
  readonly onResult: (result: Result) => void;
}

/**
 * Tests one port, or two whose cables join. Closes the devices also after a failure.
 *
 * @returns All results, by port, in the order of {@linkcode CHECKS}; and the ports' models.
 * @throws {UsageError} if a device cannot be used: no result is complete then.
 */
export async function selftest(
  accesses: readonly Access[],
  options: RunOptions,
): Promise<Result[]> {
  const run = new Run(accesses, options);
  try {
    await run.all();
  } finally {
    run.close();
  }
  return run.results.toSorted((a, b) => {
    return a.port - b.port || CHECKS.indexOf(a.check) - CHECKS.indexOf(b.check);
  });
}

/** One run. */
class Run {
  readonly results: Result[] = [];
  readonly #accesses: readonly Access[];
  readonly #options: RunOptions;
  /** Ports by number; undefined if the device is closed. */
  readonly #open = new Map<number, OpenPort>();
  readonly #pools: Mempool[] = [];

  constructor(accesses: readonly Access[], options: RunOptions) {
    this.#accesses = accesses;
    this.#options = options;
  }

  async all(): Promise<void> {
    for (const access of this.#accesses) await this.#check(access, OPEN, () => this.#start(access));
    for (const group of ON_CABLE) {
      for (const access of this.#accesses) await this.#checks(access, group);
    }
    for (const access of this.#accesses) {
      await this.#checks(access, IN_LOOPBACK);
      await this.#reopen(access);
    }
  }

  /** Closes what is open, and frees the pools. That a device does not close is a result, too. */
  close(): void {
    using pools = new DisposableStack();
    for (const pool of this.#pools) pools.use(pool);
    for (const { access, device } of this.#open.values()) {
      try {
        device.close();
      } catch (error) {
        if (!isFailure(error, CLOSE_CHECK.name)) throw error;
        const known = this.results.some(({ port, check, verdict }) => {
          return port === access.number && check === CLOSE_CHECK.name && verdict === "FAILED";
        });
        if (!known) this.#add(access, CLOSE_CHECK.name, "FAILED", `at the end: ${error.message}`);
      }
    }
  }

  async #start(access: Access): Promise<string> {
    const { number } = access;
    let pool = this.#pools[number - 1];
    if (pool === undefined) {
      pool = this.#pools[number - 1] = new Mempool({ buffers: BUFFERS, bufferSize: BUFFER_SIZE });
    }
    const openedAt = performance.now();
    const device = await access.open({
      pool,
      rxQueues: QUEUES,
      rxEntries: ENTRIES,
      txEntries: ENTRIES,
      interrupts: access.noInterrupts === undefined,
      force: this.#options.force,
    });
    const model = modelOf(device.address, device.deviceId);
    const linked = false, looped = false;
    this.#open.set(number, { number, access, device, model, pool, openedAt, linked, looped });
    return `${model.name}, ${((performance.now() - openedAt) / 1000).toFixed(1)} s`;
  }

  async #checks(access: Access, checks: readonly Check[]): Promise<void> {
    for (const { name, run } of checks) {
      await this.#check(access, name, () => run(this.#bench(access)));
    }
  }

  /** Opens a device again whose link has come up before, or not. */
  async #reopen(access: Access): Promise<void> {
    const linked = this.#open.get(access.number)?.linked ?? false;
    await this.#check(access, REOPEN_CHECK.name, async () => {
      this.#bench(access).port.device.close(); // idempotent
      this.#open.delete(access.number);
      await this.#start(access);
      const bench = this.#bench(access);
      bench.port.linked = linked;
      return await REOPEN_CHECK.run(bench);
    });
  }

  #bench({ number }: Access): Bench {
    const port = this.#open.get(number);
    if (port === undefined) throw new Skipped("the device is not open");
    const partner = [...this.#open.values()].find((other) => other.number !== number);
    const { linkMs = LINK_MS, silenceMs = SILENCE_MS, sizes = ALL_SIZES } = this.#options;
    return { port, partner, linkMs, silenceMs, sizes, checkStop: () => this.#checkStop() };
  }

  #checkStop(): void {
    if (this.#options.stopped()) throw new Interrupted();
  }

  /** Does one check, and keeps its result. */
  async #check(
    access: Access,
    check: string,
    run: () => string | Promise<string>,
  ): Promise<void> {
    let verdict: Verdict = "ok", detail: string;
    try {
      this.#checkStop();
      detail = await run();
    } catch (error) {
      const stopped = error instanceof Interrupted || error instanceof StopError;
      if (stopped || error instanceof Skipped) verdict = "skipped";
      else if (isFailure(error, check)) verdict = "FAILED";
      else throw error;
      detail = stopped ? "interrupted" : (error as Error).message;
    }
    this.#add(access, check, verdict, detail);
  }

  #add(access: Access, check: string, verdict: Verdict, detail: string): void {
    const result = { port: access.number, check, verdict, detail: anonymous(detail, access) };
    this.results.push(result);
    this.#options.onResult(result);
  }
}

/** Whether an error is the port's; else it is the user's, or the program's. */
function isFailure(error: unknown, check: string): error is Error {
  if (error instanceof UsageError) return check !== OPEN;
  return [Failed, DeviceError, SystemError, SuppressedError].some((kind) => error instanceof kind);
}

const MAC_ADDRESS = /\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b/gi;
const PCI_ADDRESS = /\b(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b/gi;

/** Returns a text without addresses. */
function anonymous(text: string, { address, number }: Access): string {
  return text.replaceAll(address, `port ${number}`).replaceAll(MAC_ADDRESS, "(a MAC address)")
    .replaceAll(PCI_ADDRESS, "(a PCI address)");
}
