/**
 * Shows the progress of long work on the standard error: a bar on a terminal, otherwise a line now
 * and then. Needs a package, `--allow-env` and `--allow-read`, so it is for programs that run from
 * a checkout, not for those that take devices.
 *
 * @module
 */

import process from "node:process";
import { createLogUpdate } from "log-update";

/** Milliseconds between lines for the same stage, without a terminal. */
const LINE_MS = 10000;
/** Milliseconds before the time left of a stage is estimated. */
const ESTIMATE_MS = 2000;
/** Characters of the bar. */
const BAR = 20;

/** How much of a stage is complete. */
export interface Amount {
  /** 0 to {@linkcode Amount.total}. */
  readonly done: number;
  /** More than 0. */
  readonly total: number;
  /** The unit, in the plural. */
  readonly unit: string;
  /** The complete share, 0 to 1, if the units differ in size; default: `done / total`. */
  readonly share?: number;
  /**
   * Whether equal shares take about the same time, so that the time left can be estimated; default:
   * true.
   */
  readonly steady?: boolean;
}

/** Shows the progress of some work. Disposing removes the bar. */
export class Progress implements Disposable {
  readonly #name: string;
  readonly #redraw = isWatched()
    ? createLogUpdate(process.stderr, { showCursor: true })
    : undefined;
  #stage = "";
  #started = 0;
  #printed = -Infinity;
  #text = "";

  /** @param name The program, with which each line starts: `vm`. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Whether it draws a bar. */
  get onTerminal(): boolean {
    return this.#redraw !== undefined;
  }

  /**
   * Shows the current stage.
   *
   * @param stage Its name, such as `fetching packages`.
   * @param amount How much of it is complete, if that is known.
   */
  show(stage: string, amount?: Amount): void {
    const now = performance.now();
    if (stage !== this.#stage) {
      [this.#stage, this.#started, this.#printed] = [stage, now, -Infinity];
    }
    const head = `${this.#name}: ${stage}`;
    const counts = amount &&
      `${amount.done} of ${amount.total} ${amount.unit}${timeLeft(amount, now - this.#started)}`;
    if (this.#redraw) {
      // The stage comes last: the bar stays in place, and only the name of the stage is cut off.
      const text = amount ? `${this.#name}: ${bar(amount)} ${counts}: ${stage}` : head;
      this.#text = text.slice(0, process.stderr.columns - 1);
      this.#redraw(this.#text);
    } else if (now - this.#printed >= LINE_MS) {
      this.#printed = now;
      console.error(amount ? `${head}, ${counts}` : head);
    }
  }

  /** Calls a function that prints lines, and keeps them above the bar. */
  print(lines: () => void): void {
    this.#redraw?.clear();
    lines();
    if (this.#text !== "") this.#redraw?.(this.#text);
  }

  [Symbol.dispose](): void {
    this.#redraw?.clear();
    this.#text = "";
  }
}

/** Whether both standard streams go to a terminal that can redraw a line. */
function isWatched(): boolean {
  if (!Deno.stdout.isTerminal() || !Deno.stderr.isTerminal()) return false;
  // A serial console, for example, does not know its size.
  const { columns, rows } = process.stderr;
  return columns > 0 && rows > 0 && !Deno.env.get("CI") && Deno.env.get("TERM") !== "dumb";
}

/** From 0 to 1, also of a total that turns out to be less than is done, or nothing. */
function shareOf({ done, total, share = done / total }: Amount): number {
  return Math.min(Math.max(share, 0), 1) || 0; // 0 / 0
}

function bar(amount: Amount): string {
  const full = Math.floor(BAR * shareOf(amount));
  return `[${"#".repeat(full)}${"-".repeat(BAR - full)}]`;
}

function timeLeft(amount: Amount, elapsed: number): string {
  const share = shareOf(amount);
  if (amount.steady === false || share === 0 || share === 1 || elapsed < ESTIMATE_MS) return "";
  const seconds = Math.ceil(elapsed * (1 - share) / share / 1000);
  return seconds < 100 ? `, ${seconds} s left` : `, ${Math.ceil(seconds / 60)} min left`;
}
