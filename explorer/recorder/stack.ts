/**
 * Stacks: who acts in a step.
 *
 * @module
 */

/** Lines of a stack that are kept, by default: those below belong to the program that runs the driver. */
const LINES = 10;

/** The constructor of errors, with what V8 adds to it. */
const V8 = Error as ErrorConstructor & {
  stackTraceLimit?: number;
  captureStackTrace?(target: object, above: (...parameters: never[]) => unknown): void;
};

/** Stacks that were seen before: steps share equal ones. */
const seen = new Map<string, string>();
const MAX_SEEN = 10_000;

/**
 * Returns the stack of the caller of a function, innermost call first.
 *
 * @param above The function of the recorder that was called. It and what it calls are not in the stack
 * where the JavaScript engine can leave them out.
 * @param lines The most lines: each costs time.
 */
export function stackAbove(above: (...parameters: never[]) => unknown, lines = LINES): string {
  const before = V8.stackTraceLimit, holder: { stack?: string } = {};
  V8.stackTraceLimit = lines;
  if (V8.captureStackTrace) V8.captureStackTrace(holder, above);
  else holder.stack = new Error().stack ?? "";
  if (before !== undefined) V8.stackTraceLimit = before;
  const stack = holder.stack!.replace(/^\S*Error:?[^\n]*\n/, "");
  const known = seen.get(stack);
  if (known !== undefined) return known;
  if (seen.size >= MAX_SEEN) seen.clear();
  seen.set(stack, stack);
  return stack;
}
