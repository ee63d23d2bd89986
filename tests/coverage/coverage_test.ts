import { assert, assertEquals, assertThrows } from "@std/assert";
import { PROJECT, TemporaryDirectory } from "../support/processes.ts";
import { ranges, readLcov, table } from "./lcov.ts";
import { measure } from "./measure.ts";
import {
  addSpecialised,
  type FunctionCoverage,
  type ScriptCoverage,
  specialisedCoverage,
} from "./specialised.ts";

function covered(functionName: string, startOffset: number, endOffset: number, count: number) {
  const ranges = [{ startOffset, endOffset, count }];
  return { functionName, ranges, isBlockCoverage: true } satisfies FunctionCoverage;
}

const FILE: ScriptCoverage = {
  ...{ scriptId: "1", url: "file:///q.ts" },
  functions: [covered("", 0, 900, 1), covered("receiver", 500, 600, 0)],
};

Deno.test("specialisedCoverage() moves a specialised function to where its file has it", () => {
  const script: ScriptCoverage = {
    ...{ scriptId: "2", url: "file:///q.ts#receiver-3" },
    functions: [
      ...[covered("", 0, 130, 1), covered("receiver", 20, 120, 1), covered("receive", 50, 110, 7)],
    ],
  };
  assertEquals(specialisedCoverage([FILE, script]), [{
    ...{ scriptId: "2", url: "file:///q.ts" },
    functions: [covered("receiver", 500, 600, 1), covered("receive", 530, 590, 7)],
  }]);
});

Deno.test("specialisedCoverage() throws where the file's text is another", () => {
  const script = (name: string, end: number) => ({
    ...{ scriptId: "2", url: `file:///q.ts#${name}-3`, functions: [covered(name, 20, end, 1)] },
  });
  assertThrows(() => specialisedCoverage([FILE, script("receiver", 121)]), Error, "differs");
  assertThrows(() => specialisedCoverage([FILE, script("sender", 120)]), Error, "no coverage");
  assertThrows(() => specialisedCoverage([script("receiver", 120)]), Error, "no coverage");
});

Deno.test("addSpecialised() removes files that a killed process left incomplete", async () => {
  await using directory = await TemporaryDirectory.make();
  Deno.writeTextFileSync(directory.file("whole.json"), JSON.stringify(FILE));
  Deno.writeTextFileSync(directory.file("part.json"), JSON.stringify(FILE).slice(0, 40));
  Deno.writeTextFileSync(directory.file("empty.json"), "");
  addSpecialised(directory.path);
  assertEquals([...Deno.readDirSync(directory.path)].map(({ name }) => name), ["whole.json"]);
});

const REPORT = `SF:/project/src/b.ts
BRDA:3,0,0,1
BRDA:3,0,1,-
DA:3,1
DA:1,0
DA:4,0
DA:5,0
end_of_record
SF:/project/src/a.ts
DA:1,2
end_of_record
`;

Deno.test("readLcov() returns lines and branches of each file, sorted", () => {
  assertEquals(readLcov(REPORT, "/project/"), [{
    ...{ file: "src/a.ts", lines: { covered: 1, all: 1 }, branches: { covered: 0, all: 0 } },
    ...{ ran: [1], uncovered: [] },
  }, {
    ...{ file: "src/b.ts", lines: { covered: 1, all: 4 }, branches: { covered: 1, all: 2 } },
    ...{ ran: [3], uncovered: [1, 4, 5] },
  }]);
});

Deno.test("table() adds up rooms, and lists lines that did not run on request", () => {
  const files = readLcov(REPORT, "/project/");
  const lines = (uncovered: boolean) =>
    table(files, ["src/", "native/"], uncovered).map((line) => line.trim().replaceAll(/ +/g, " "));
  assertEquals(lines(false), [
    "lines % lines branches % branches",
    "src/a.ts 100.0 1/1 - 0/0",
    "src/b.ts 25.0 1/4 50.0 1/2",
    "src/ 40.0 2/5 50.0 1/2",
    "all 40.0 2/5 50.0 1/2",
  ]);
  assertEquals(lines(true)[3], "not run: 1, 4-5");
});

Deno.test("ranges() joins numbers that follow each other", () => {
  assertEquals(ranges([]), "");
  assertEquals(ranges([1, 2, 3, 5, 7, 8]), "1-3, 5, 7-8");
});

Deno.test("measure() shows that a specialised function ran", async () => {
  const { passed, files } = await measure(PROJECT, ["tests/ixgbe/queue_state_test.ts"]);
  assert(passed);
  const { ran, uncovered } = files.find(({ file }) => file === "ixgbe/tx_queue.ts")!;
  const text = Deno.readTextFileSync(`${PROJECT}ixgbe/tx_queue.ts`).split("\n");
  const line = text.findIndex((line) => line.includes("ring64[t << 1] = address[buffer];")) + 1;
  assert(
    line > 0 && ran.includes(line),
    `line ${line} of ${JSON.stringify({ ran, uncovered })}`,
  );
});
