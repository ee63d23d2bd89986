/** What lessons say: names of registers, sections, and their form. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { LESSONS } from "../../explorer/lessons/mod.ts";
import type { Lesson } from "../../explorer/recording/lesson.ts";
import { REGISTERS } from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { PROJECT } from "../support/processes.ts";
import { projectFiles } from "../support/source.ts";

const TABLE: Readonly<Record<string, Register | undefined>> = REGISTERS;

/** A name in capitals between backquotes: a register, its copy or field; a field or descriptor bit. */
const NAME = /`([A-Z][A-Z0-9_]*)(?:\[\d+\])?(?:\.([A-Z][A-Z0-9_]*))?`/g;
/** A register, or a bit, with its section. */
const REGISTER_SECTION = /`([A-Z][A-Z0-9_]*)(?:\[\d+\])?` \(([\d.]+)\)/g;
/** A section of the datasheet. */
const SECTION = /\((\d+(?:\.\d+)+)\)/g;
/** Bits of descriptors (7.1.6.2, 7.2.3.2.4), which no register has. */
const DESCRIPTOR_BITS = ["DD", "EOP", "IFCS", "RS"];

/** Fields of all registers, which a text may name alone once it has named the register. */
const fields = new Set(
  Object.values(REGISTERS).flatMap((register: Register) =>
    Object.keys(register).filter((key) => /^[A-Z]/.test(key))
  ),
);

/** Returns all texts of a lesson. */
function textsOf({ title, goal, steps }: Lesson): string[] {
  return [
    title,
    goal,
    ...steps.flatMap(({ text, question }) => [text, question?.ask ?? "", question?.answer ?? ""]),
  ];
}

/** Returns a sentence for each name of a text that the register table does not have. */
function unknownNames(text: string): string[] {
  return [...text.matchAll(NAME)].filter(([, name, field]) => {
    const register = TABLE[name];
    if (field !== undefined) return register === undefined || !(field in register);
    return register === undefined && !fields.has(name) && !DESCRIPTOR_BITS.includes(name);
  }).map(([quoted]) => `${quoted} is neither a register, nor a field, nor a bit of a descriptor`);
}

/** Returns a sentence for each register whose section differs from the register table. */
function wrongSections(text: string): string[] {
  return [...text.matchAll(REGISTER_SECTION)]
    .filter(([, name, section]) => TABLE[name] && TABLE[name].section !== section)
    .map(([, name, section]) => `${name} has section ${TABLE[name]?.section}, not ${section}`);
}

Deno.test("LESSONS have ids of their own for links, and at least twelve are about the 82599", () => {
  const ids = LESSONS.map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length);
  for (const id of ids) assertMatch(id, /^[a-z0-9]+(?:-[a-z0-9]+)*$/);
  assert(LESSONS.filter(({ experiment }) => experiment.device !== "virtio").length >= 12);
});

Deno.test("Each file of explorer/lessons/ is in LESSONS", async () => {
  const listed = await Deno.readTextFile(`${PROJECT}explorer/lessons/mod.ts`);
  const files = (await projectFiles("explorer/lessons/"))
    .filter((file) => file.endsWith(".ts") && !file.endsWith("/mod.ts"));
  assertEquals(files.length, LESSONS.length);
  assertEquals(files.filter((file) => !listed.includes(`./${file.split("/").at(-1)}`)), []);
});

Deno.test("Each lesson begins with opening the devices, has steps, and asks a question", () => {
  for (const { id, experiment, steps } of LESSONS) {
    assertEquals(experiment.actions?.[0], { do: "open" }, id);
    assert(steps.length >= 3, id);
    assert(steps.some(({ question }) => question !== undefined), id);
    assertEquals(steps.filter(({ at }) => Object.keys(at).length === 0), [], id);
  }
});

Deno.test("Texts of lessons name registers, fields and bits that exist, with their sections", () => {
  const wrong = LESSONS.filter(({ experiment }) => experiment.device !== "virtio").flatMap((
    lesson,
  ) =>
    textsOf(lesson).flatMap((text) => [...unknownNames(text), ...wrongSections(text)])
      .map((sentence) => `${lesson.id}: ${sentence}`)
  );
  assertEquals(wrong, []);
});

Deno.test("Registers in the targets of lessons exist", () => {
  const names = LESSONS.flatMap(({ steps }) => steps.map(({ at }) => at.register ?? "CTRL"));
  assertEquals(names.filter((name) => TABLE[name] === undefined), []);
});

Deno.test("Sections in the texts of lessons are ones that the driver or the model names", async () => {
  const sources = (await projectFiles()).filter((file) => /^(?:ixgbe|src|sim|docs)\//.test(file));
  const texts = await Promise.all(sources.map((file) => Deno.readTextFile(PROJECT + file)));
  const known = new Set(texts.flatMap((text) => text.match(/\d+(?:\.\d+)+/g) ?? []));
  const wrong = LESSONS.filter(({ experiment }) => experiment.device !== "virtio")
    .flatMap((lesson) => textsOf(lesson).flatMap((text) => [...text.matchAll(SECTION)]))
    .map(([, section]) => section).filter((section) => !known.has(section));
  assertEquals(wrong, []);
});

Deno.test("Texts of VirtIO lessons have names and sections that driver or device model name", async () => {
  const sources = (await projectFiles())
    .filter((file) => /^(?:virtio|explorer\/recorder\/virtio)\//.test(file));
  const texts = await Promise.all(sources.map((file) => Deno.readTextFile(PROJECT + file)));
  const known = new Set(texts.flatMap((text) => text.match(/[\w.]*\w/g) ?? []));
  const lessons = LESSONS.filter(({ experiment }) => experiment.device === "virtio");
  const named = lessons.flatMap(textsOf).flatMap((text) => [
    ...[...text.matchAll(/`([A-Z][A-Z_]+)`/g)].map(([, name]) => name),
    ...[...text.matchAll(/VirtIO (\d[\d.]*\d)/g)].map(([, section]) => section),
  ]).filter((name) => name !== "DD"); // for comparison with the 82599
  assertEquals(named.filter((name) => !known.has(name)), []);
});

Deno.test("unknownNames() and wrongSections() find what the register table does not have", () => {
  const text =
    "`RDT` (8.2.3.8.5) `RDT[0]` `CTRL.RST` `RST` `DD` `TDT` (1.2) `NONE` `CTRL.NONE` `x`";
  assertEquals(unknownNames(text), [
    "`NONE` is neither a register, nor a field, nor a bit of a descriptor",
    "`CTRL.NONE` is neither a register, nor a field, nor a bit of a descriptor",
  ]);
  assertEquals(wrongSections(text), ["TDT has section 8.2.3.9.9, not 1.2"]);
});
