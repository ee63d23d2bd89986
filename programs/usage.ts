/**
 * Usage texts, generated from the declarations of programs.
 *
 * @module
 */

import { type Command, COMMON, NO_OPERANDS } from "./command_line.ts";
import type { Options } from "./options.ts";

/** Columns of the usage text; longest option for which the description starts on the same line. */
const COLUMNS = 100, MAX_NAME_COLUMNS = 26;

/** Returns what `--help` prints. */
export function usage<O extends Options, Plan extends object>(
  { start, about, options, operands = NO_OPERANDS, rest, notes }: Command<O, Plan>,
): string {
  const first = [
    "usage:",
    start,
    "[options]",
    operands.shown,
    rest === undefined ? "" : `[-- ${rest}]`,
  ];
  const lines = Object.entries({ ...options, ...COMMON } as Options).map(([name, option]) => {
    const { alias, value, help } = option;
    const short = alias === undefined ? "    " : `-${alias}, `;
    return [`  ${short}--${name}${value === undefined ? "" : ` ${value}`}`, help] as const;
  });
  const lengths = lines.map(([name]) => name.length).filter((n) => n <= MAX_NAME_COLUMNS);
  const column = Math.max(...lengths) + 2;
  const table = lines.map(([name, help]) => {
    const text = wrapped(help, COLUMNS - column).join(`\n${" ".repeat(column)}`);
    const long = name.length > MAX_NAME_COLUMNS;
    return (long ? `${name}\n${" ".repeat(column)}` : name.padEnd(column)) + text;
  });
  const parts = [first.filter(Boolean).join(" "), about, table.join("\n"), notes ?? ""];
  return parts.filter(Boolean).join("\n\n");
}

/** Wraps a text into lines of at most so many columns. */
function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!, longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= columns) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
