/**
 * Command lines of all programs, in this process: each option takes what its declaration says, an
 * error is one sentence that names the option, and the usage text lists all options.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Command, command, parse } from "../../programs/command_line.ts";
import {
  choice,
  decimal,
  flag,
  type Option,
  type Options,
  repeated,
  text,
  whole,
  wholes,
  words,
} from "../../programs/options.ts";
import { usage } from "../../programs/usage.ts";
import { FWD } from "../../fwd.ts";
import { UsageError } from "../../src/errors.ts";
import { FUZZ } from "../fuzz/main.ts";
import { VM } from "../../vm/main.ts";
import { assertRefused, ffiOnly, PROJECT, run, TemporaryDirectory } from "../support/processes.ts";
import { PROGRAMS } from "./commands.ts";

/** Texts that are not decimal numbers. */
const NO_NUMBERS = [
  ...["-1", "-0", "+5", "1e3", "0x10", "0b11", "0o7", "1_000", "1,000", "5.", ".5", "5n"],
  ...[" 5", "5 ", " ", "5\n", "NaN", "Infinity", "-Infinity", "many", "true", "٣", "９"],
];
/**
 * Words that `parseArgs` turns into objects, negations or operands, or that name object members.
 */
const NO_OPTIONS = [
  ...["--frobnicate", "--__proto__", "--constructor", "--toString", "--hasOwnProperty", "--_"],
  ...["--a.b", "--batch.x", "--help.x", "--no-", "--no-help", "--no-json", "--no-seconds", "---"],
  ...["--Seconds", "--BATCH", "--=5", "-z", "-zq", "-1", "-0.5", "-jason", "-batch"],
];

function refused(command: Command<Options, object>, args: readonly string[], word: string): void {
  const { message } = assertThrows(() => parse(command, args), UsageError);
  const given = `${args.join(" ")}: ${message}`;
  assert(message.includes(word), given);
  assertMatch(message, /^[^]+: see --help$/);
  assertEquals(parse(command, ["-h", ...args]), undefined, given);
  if (args.includes("--")) return; // operands follow
  assertEquals(parse(command, [...args, "--help"]), undefined, given);
}

function isFlag({ value }: Option<unknown>): boolean {
  return value === undefined;
}

for (const [program, valid] of [...PROGRAMS, [FUZZ, []]] as typeof PROGRAMS) {
  const name = program.start.split(" ").at(-1);
  const options = Object.entries(program.options);
  const takers = options.filter(([, option]) => !isFlag(option));
  const flags = [...options.filter(([, option]) => isFlag(option))];
  const test = (rule: string, fn: () => void) => Deno.test(`${name} ${rule}`, fn);

  test("takes a valid command line", () => {
    assert(parse(program, valid) !== undefined);
  });

  test("refuses an unknown option", () => {
    for (const word of NO_OPTIONS) {
      const found = word.startsWith("--") ? word.split("=")[0] : "unknown option -";
      refused(program, [...valid, word], found);
      refused(program, [word, ...valid], found);
      if (!word.includes("=")) refused(program, [`${word}=1`, ...valid], found);
    }
    assertEquals(({} as Record<string, unknown>).x, undefined);
  });

  test("refuses a value for a flag", () => {
    for (const [option, { alias }] of [...flags, ["help", flag("", {})] as const]) {
      for (const value of ["yes", "true", "false", "1", ""]) {
        const { message } = assertThrows(
          () => parse(program, [`--${option}=${value}`, ...valid]),
          UsageError,
        );
        assertMatch(message, new RegExp(`--${option} takes no value`));
      }
      if (option === "help") continue;
      refused(program, [`--${option}`, "true", ...valid], `--${option} takes no value`);
      refused(program, [`--${option}`, "false", ...valid], `--${option} takes no value`);
      refused(program, [`--no-${option}`, ...valid], `--no-${option}`);
      refused(program, [`--no-${option}=true`, ...valid], `--no-${option}`);
      if (alias !== undefined) refused(program, [`-${alias}5`, ...valid], `--${option}`);
    }
  });

  test("refuses an option without a value", () => {
    for (const [option, { alias, takes }] of takers) {
      refused(program, [...valid, `--${option}`], `--${option} has no value: it takes ${takes}`);
      refused(program, [`--${option}=`, ...valid], `--${option} has no value: it takes ${takes}`);
      refused(program, [`--${option}`, "", ...valid], `--${option} has no value`);
      refused(program, [...valid, `--${option}`, "--"], `--${option} has no value`);
      refused(program, [`--no-${option}=1`, ...valid], `--no-${option}`);
      if (alias === undefined) continue;
      refused(program, [...valid, `-${alias}`], `--${option} has no value`);
      refused(program, [`-${alias}=`, ...valid], `--${option} has no value`);
    }
  });

  test("refuses an option that is given twice", () => {
    for (const [option, { alias, repeated }] of options) {
      if (repeated) continue;
      const value = isFlag(program.options[option]) ? "" : "=1";
      const one = `--${option}${value}`;
      refused(program, [one, ...valid, one], `--${option} is given twice`);
      if (alias !== undefined) {
        refused(program, [`-${alias}${value}`, one, ...valid], `--${option} is given twice`);
      }
    }
  });

  test("refuses numbers that are not decimal", () => {
    for (const [option, { alias, takes }] of takers) {
      if (!/ (whole )?numbers? from /.test(` ${takes}`)) continue;
      for (const text of NO_NUMBERS) {
        refused(program, [`--${option}=${text}`, ...valid], `--${option} takes ${takes}, not `);
        if (text.startsWith("-I")) continue; // an option
        refused(program, [`--${option}`, text, ...valid], `--${option} takes ${takes}, not `);
        if (alias !== undefined) refused(program, [`-${alias}`, text], ` takes ${takes}, not `);
      }
      if (takes.includes("whole")) refused(program, [`--${option}=1.5`, ...valid], takes);
    }
  });

  test("refuses operands that are empty, too few or too many", () => {
    const { least, most } = program.operands ?? { least: 0, most: 0 };
    refused(program, ["", ...valid], "operand 1 is empty");
    refused(
      program,
      ["--", "", ...valid].filter((_, i) => program.rest === undefined || i > 0),
      "empty",
    );
    if (least > 0) refused(program, valid.slice(1), `takes ${program.operands!.are}, not `);
    if (most < Infinity) refused(program, [...valid, "x"], " takes ");
  });

  test("--help lists every option, its alias, range and default", () => {
    const text = usage(program);
    assert(text.startsWith(`usage: ${program.start} [options]`));
    for (const [option, { alias, value, help }] of options) {
      const line = `--${option}${value === undefined ? "" : ` ${value}`}`;
      const at = text.indexOf(alias === undefined ? `      ${line}` : `  -${alias}, ${line}`);
      assert(at >= 0, line);
      const words = text.slice(at).replaceAll(/\s+/g, " ").trim();
      assert(words.startsWith(`${alias === undefined ? "" : `-${alias}, `}${line} ${help}`), words);
    }
    for (const line of text.split("\n")) assert(line.length <= 104, line);
  });
}

/** Options of every kind. */
const ALL = command({
  start: "deno run all.ts",
  operands: { shown: "[A …]", are: "some", least: 0, most: Infinity },
  about: "Tests.",
  options: {
    flag: flag("f", { alias: "f" }),
    "no-flag": flag("n"),
    whole: whole("w", { alias: "w", least: 1, most: 256, default: 32 }),
    open: whole("o", { least: 0, default: undefined }),
    decimal: decimal("d", { least: 0.1, most: 10, default: Infinity }),
    wholes: wholes("ws", { least: 1, most: 9, default: [1, 2] }),
    choice: choice("c", ["poll", "trap"], { default: "poll" }),
    words: words("wo", ["red", "green", "blue"], {}),
    text: text("t", "FILE", "a file"),
    socket: repeated("s", "PATH", "a path"),
    wire: repeated("w", "WIRE", "a wire"),
  },
  plan: (given) => given,
});

function given(...args: string[]) {
  return parse(ALL, args)!;
}

Deno.test("parse() returns defaults for options that are not given", () => {
  const { values, named } = given();
  assertEquals(values, {
    flag: false,
    "no-flag": false,
    whole: 32,
    open: undefined,
    decimal: Infinity,
    wholes: [1, 2],
    choice: "poll",
    words: ["red", "green", "blue"],
    text: undefined,
    socket: undefined,
    wire: undefined,
  });
  assertEquals([...named], []);
});

Deno.test("parse() reads values after a space, an equals sign, and a letter", () => {
  for (const args of [["--whole", "5"], ["--whole=5"], ["-w", "5"], ["-w=5"], ["-w5"]]) {
    assertEquals(given(...args).values.whole, 5);
    assertEquals([...given(...args).named], ["whole"]);
  }
  assertEquals(given("--flag", "x").values.flag, true);
  assertEquals(given("-f").values.flag, true);
  assertEquals(given("--no-flag", "x").values["no-flag"], true);
  assertEquals(given("--decimal=0.25").values.decimal, 0.25);
  assertEquals(given("--wholes=9,3,3").values.wholes, [3, 9]);
  assertEquals(given("--choice", "trap").values.choice, "trap");
  assertEquals(given("--words=blue,red").values.words, ["blue", "red"]);
  assertEquals(given("--open=9007199254740991").values.open, Number.MAX_SAFE_INTEGER);
});

Deno.test("parse() does not change texts and operands", () => {
  for (const word of ["0123", "1e3", "0x10", "true", "a=b", "a.b", "-", "x --y", "NaN"]) {
    assertEquals(given(word).operands, [word]);
    if (word !== "-") assertEquals(given("--text", word).values.text, word);
    assertEquals(given(`--text=${word}`).values.text, word);
  }
  assertEquals(given("--text", "-", "-").values.text, "-");
  assertEquals(given("--text", "-", "-").operands, ["-"]);
  assertEquals(given("--wire", "-", "--flag", "-").sequence, [{ name: "wire", text: "-" }]);
  assertThrows(() => given("-w", "-"), UsageError, "--whole takes a whole number from 1 to 256");
  assertEquals(given("--text=-1").values.text, "-1");
  assertEquals(given("--text=--x=y=z").values.text, "--x=y=z");
  assertEquals(given("--text=a\nb").values.text, "a\nb");
});

Deno.test("parse() takes all words after -- as operands", () => {
  const { operands, values } = given("a", "--", "--help", "-h", "--flag", "--", "true", "0123");
  assertEquals(operands, ["a", "--help", "-h", "--flag", "--", "true", "0123"]);
  assertEquals(values.flag, false);
  assertEquals(given("--flag", "--", "true").values.flag, true);
});

Deno.test("parse() returns the words after -- to a program that passes them on", () => {
  const plan = parse(VM, ["--memory=512", "--", "-device", "e1000e", "", "--help"])!;
  assertEquals(plan.options.arguments!.slice(-4), ["-device", "e1000e", "", "--help"]);
});

Deno.test("parse() keeps the order of repeated options", () => {
  const { sequence } = given(
    "--socket",
    "a",
    "--wire=none",
    "--flag",
    "--socket=b",
    "--socket",
    "c",
  );
  const [a, wire, b, c] = ["a", "none", "b", "c"];
  assertEquals(sequence, [
    { name: "socket", text: a },
    { name: "wire", text: wire },
    { name: "socket", text: b },
    { name: "socket", text: c },
  ]);
  assertThrows(() => given("--socket", "--wire", "none"), UsageError, "--socket has no value");
});

Deno.test("parse() refuses invalid choices and lists", () => {
  assertThrows(() => given("--choice=push"), UsageError, '--choice takes poll or trap, not "push"');
  assertThrows(() => given("--words=red,"), UsageError, "red, green and blue, separated by commas");
  assertThrows(() => given("--words=toString"), UsageError, "red, green and blue");
  assertThrows(
    () => given("--wholes=1,,2"),
    UsageError,
    "numbers from 1 to 9, separated by commas",
  );
  assertThrows(() => given("--whole=257"), UsageError, "a whole number from 1 to 256");
  assertThrows(() => given("--decimal=0.05"), UsageError, "a number from 0.1 to 10");
  assertThrows(() => given("--open=9007199254740993"), UsageError, "a whole number from 0");
});

Deno.test("A program with an invalid command line prints one sentence, exits with 2, and writes nothing", async () => {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("file");
  const pcap = ["--allow-write"], args = ["vfio-user:none", file];
  assertRefused(await run(ffiOnly("pcap.ts", [...args, "--batch", "-1"], pcap)), /--batch .*"-1"/);
  assertRefused(
    await run(ffiOnly("sim/main.ts", ["--socket", file, "--json=yes"])),
    /--json takes no/,
  );
  const demo = [Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}demo.ts`, "--seconds"];
  assertRefused(await run(demo), /--seconds has no value/);
  assertEquals([...Deno.readDirSync(directory.path)], []);
});

Deno.test("A program shows control characters in its one sentence", async () => {
  const refused = await run(ffiOnly("nic.ts", ["a\nb\x1b[31m\u202e💥"]));
  assertRefused(refused, /^error: "a\\u000ab\\u001b\[31m\\u202e💥" is not a command/);
});

Deno.test("A program whose standard output takes no more says so, and ends with 1", async () => {
  for (
    const [program, word, rest] of [
      ["nic.ts", "list", "[0-9]+ lines? (was|were) not printed"],
      ["fwd.ts", "--help", "[0-9]+ lines were not printed"],
    ]
  ) {
    const command = ffiOnly(program, [word]).map((word) => `'${word}'`).join(" ");
    const { code, stderr } = await run(["sh", "-c", `${command} >/dev/full`]);
    assertMatch(
      stderr,
      new RegExp(`^error: standard output: no space left on device: ${rest}\n$`),
    );
    assertEquals(code, 1);
  }
});

Deno.test("deviceOptions() lets the device choose its rings, except for large batches", () => {
  const rings = (args: string[], ...addresses: string[]) => {
    const { open, rxEntries, txEntries } = parse(FWD, [...args, ...addresses])!;
    return [open.rxEntries, open.txEntries, rxEntries, txEntries];
  };
  const cards = ["vfio-user:a", "vfio-user:b"], large = ["--batch", "65"];
  assertEquals(rings([], ...cards), [undefined, undefined, 512, 512]);
  assertEquals(rings(large, ...cards), [1024, 1024, 1024, 1024]);
  assertEquals(rings(["--rx-entries", "64"], ...cards), [64, undefined, 64, 512]);
  // Not every back-end accepts such rings.
  for (const backend of ["vhost-user:b", "vhost-user-server:b"]) {
    assertEquals(rings(large, cards[0], backend), [undefined, undefined, 512, 512]);
    assertEquals(rings(["--tx-entries", "256"], backend, cards[0])[1], 256);
  }
});
