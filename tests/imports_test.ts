/** No import leads up or in a circle, and what `mod.ts` needs can be imported by URL. */

import { assertEquals } from "@std/assert";
import {
  circles,
  EXPLORER_FLOORS,
  packagesOf,
  projectImports,
  SIM_FLOORS,
  upwardImports,
} from "./support/imports.ts";
import { type Import, importsOf, NOT_LITERAL } from "./support/source.ts";

/** Programs that can be run from a URL, where Deno does not read this project's import map. */
const PROGRAMS = ["example", "fwd", "pktgen", "pcap", "echo", "nic"].map((name) => `${name}.ts`);
/** Specifiers that need no import map. */
const WHOLE = /^(node|npm|jsr):/;

/** Imports from pairs of files, `a.ts b.ts`. */
function made(...pairs: string[]): Import[] {
  return pairs.map((pair) => pair.split(/ (.*)/)).map(([from, to]) => ({ from, to, url: false }));
}

Deno.test("importsOf() finds every form of import, and none in comments and strings", () => {
  const text = `
    import { a } from "./static.ts";
    import "./side.ts";
    import type { B } from "../type.ts";
    export * from "./all.ts";
    export { d } from './named.ts';
    export const none = 1;
    let e: import("./argument.ts").E;
    let f: typeof import("./typeof.ts");
    await import("./dynamic.ts");
    await import(none);
    import g from "package";
    new Worker(new URL("./worker.ts", import.meta.url));
    new URL("resolved.ts", import.meta.url);
    import.meta.resolve("./meta.ts");
    new URL("stubs.c", import.meta.url), new URL("./other.ts", location.href);
    // import "./comment.ts";
    const text = \`import "./string.ts"\`;
  `;
  const imports = importsOf("room/file.ts", text);
  assertEquals(imports.filter(({ url }) => !url).map(({ to }) => to), [
    ...["room/static.ts", "room/side.ts", "type.ts", "room/all.ts", "room/named.ts"],
    ...[
      "room/argument.ts",
      "room/typeof.ts",
      "room/dynamic.ts",
      "(not a string literal)",
      "package",
    ],
  ]);
  assertEquals(imports.filter(({ url }) => url).map(({ to }) => to), [
    ...["room/worker.ts", "room/resolved.ts", "room/meta.ts"],
  ]);
});

Deno.test("upwardImports() names file, import and rule", () => {
  assertEquals(
    upwardImports(made(
      ...["ixgbe/device.ts src/dma.ts", "ixgbe/device.ts ixgbe/link.ts", "sim/nic.ts npm:x@1/y.ts"],
      ...["native/stop.ts src/errors.ts", "ixgbe/device.ts virtio/mod.ts", "attic/old.ts mod.ts"],
      ...["sim/nic.ts ixgbe/registers.ts", "sim/nic.ts ixgbe/descriptors.ts"],
      ...["programs/worker.ts ixgbe/adopt.ts", "programs/worker.ts ixgbe/mod.ts"],
      ...[
        "bench/run.ts demo.ts",
        "tests/programs/options_test.ts fwd.ts",
        "bench/run.ts tests/support/processes.ts",
      ],
      ...["fwd.ts ixgbe/mod.ts", "fwd.ts ixgbe/init.ts", "packets/pcap.ts programs/program.ts"],
      `nic/list.ts ${NOT_LITERAL}`,
    )),
    [
      "native/stop.ts imports src/errors.ts: native/ may import no other room",
      "ixgbe/device.ts imports virtio/mod.ts: ixgbe/ may import only src/, native/",
      "attic/old.ts: attic/ is not in FLOORS: add what it may import",
      "sim/nic.ts imports ixgbe/descriptors.ts: sim/ may import only ixgbe/registers.ts, packets/, " +
      "src/, native/, programs/command_line.ts, programs/options.ts, programs/output.ts, programs/run.ts",
      "programs/worker.ts imports ixgbe/mod.ts: programs/ may import only ixgbe/adopt.ts, " +
      "xdp/adopt.ts, mod.ts, wrappers/, packets/, src/, native/",
      "bench/run.ts imports demo.ts: only tests/programs/ imports a top-level program",
      "bench/run.ts imports tests/support/processes.ts: bench/ may import only sim/, programs/, " +
      "packets/, mod.ts, ixgbe/, virtio/, src/, native/",
      "fwd.ts imports ixgbe/init.ts: top-level programs may import only nic/, programs/, " +
      "wrappers/, packets/, mod.ts, ixgbe/mod.ts, xdp/mod.ts, src/, native/, sim/v8_flags.ts",
      "packets/pcap.ts imports programs/program.ts: packets/ may import only src/, native/",
      "nic/list.ts imports a file that its text does not name: use a string literal",
    ],
  );
});

Deno.test("upwardImports() holds the floors inside sim/", () => {
  const down = made(
    ...["sim/rx/receiver.ts sim/rx/queue.ts", "sim/rx/receiver.ts sim/flow/director.ts"],
    ...["sim/nic/nic.ts sim/wires/wire.ts", "sim/main.ts sim/control.ts"],
  );
  assertEquals(upwardImports(down), []);
  assertEquals(
    upwardImports(made(
      ...["sim/frames/copy.ts sim/rings/ring.ts", "sim/rings/ring.ts sim/rx/queue.ts"],
      ...["sim/tx/queue.ts sim/rx/queue.ts", "sim/nic/nic.ts sim/wires/tap.ts"],
      ...["sim/nic/nic.ts sim/main.ts", "sim/loop.ts sim/report.ts"],
      ...["sim/attic/old.ts sim/nic/nic.ts", "sim/new.ts sim/nic/nic.ts"],
    )),
    [
      "sim/frames/copy.ts imports sim/rings/ring.ts: inside sim/, sim/frames/ may import nothing " +
      "else",
      "sim/rings/ring.ts imports sim/rx/queue.ts: inside sim/, sim/rings/ may import only " +
      "sim/registers/",
      "sim/tx/queue.ts imports sim/rx/queue.ts: inside sim/, sim/tx/ may import only sim/rings/, " +
      "sim/registers/, sim/frames/",
      ...["sim/wires/tap.ts", "sim/main.ts"].map((to) =>
        `sim/nic/nic.ts imports ${to}: inside sim/, sim/nic/ may import only sim/rx/, sim/tx/, ` +
        "sim/rings/, sim/registers/, sim/frames/, sim/wires/wire.ts"
      ),
      "sim/loop.ts imports sim/report.ts: inside sim/, sim/loop.ts may import only sim/port.ts",
      ...["sim/attic/old.ts: sim/attic/", "sim/new.ts: sim/new.ts"].map((place) =>
        `${place} is not in SIM_FLOORS: add what it may import`
      ),
    ],
  );
});

Deno.test("upwardImports() holds the floors inside explorer/", () => {
  const down = made("explorer/page/main.tsx explorer/recording/step.ts");
  assertEquals(upwardImports(down), []);
  assertEquals(upwardImports(made("explorer/page/main.tsx explorer/server/build.ts")), [
    "explorer/page/main.tsx imports explorer/server/build.ts: inside explorer/, explorer/page/ may " +
    "import only explorer/lessons/, explorer/recording/",
  ]);
});

for (const [name, floors] of Object.entries({ SIM_FLOORS, EXPLORER_FLOORS })) {
  Deno.test(`${name} lists each part above all parts that it may import`, () => {
    const parts = Object.keys(floors);
    for (const [i, part] of parts.entries()) {
      const above = floors[part].filter((to) => !parts.slice(0, i).some((p) => to.startsWith(p)));
      assertEquals(above, [], part);
    }
  });
}

Deno.test("upwardImports() lets tests, not libraries, run a program by URL", () => {
  const named = (from: string) => ({ from, to: "fwd.ts", url: true });
  assertEquals(upwardImports([named("tests/fwd_test.ts"), named("bench/run.ts")]), []);
  assertEquals(upwardImports([named("src/open.ts")]), [
    "src/open.ts imports fwd.ts: only tests/programs/ imports a top-level program",
  ]);
});

Deno.test("circles() finds each circle once, with the files on it", () => {
  assertEquals(circles(made("a.ts b.ts", "b.ts c.ts", "a.ts c.ts")), []);
  assertEquals(circles(made("a.ts b.ts", "b.ts c.ts", "c.ts a.ts", "d.ts a.ts", "e.ts e.ts")), [
    "a.ts -> b.ts -> c.ts -> a.ts",
    "e.ts -> e.ts",
  ]);
});

Deno.test("packagesOf() finds packages and URLs that a file imports indirectly", () => {
  const imports = made("mod.ts a.ts", "a.ts bare", "a.ts node:util", "a.ts https://host/x.ts");
  assertEquals(packagesOf(imports, ["mod.ts"]), [
    "a.ts imports bare: mod.ts may need relative imports only",
    "a.ts imports node:util: mod.ts may need relative imports only",
    "a.ts imports https://host/x.ts: mod.ts may need relative imports only",
  ]);
  const rule = "mod.ts may need relative imports, and those that match /^node:/";
  assertEquals(packagesOf(imports, ["mod.ts"], /^node:/), [
    `a.ts imports bare: ${rule}`,
    `a.ts imports https://host/x.ts: ${rule}`,
  ]);
  assertEquals(packagesOf(imports, ["b.ts"]), []);
});

const imports = await projectImports();

Deno.test("Every import leads down, to a room that the importing room may know", () => {
  assertEquals(upwardImports(imports), []);
});

Deno.test("No imports are circular, imports of types included", () => {
  assertEquals(circles(imports), []);
});

Deno.test("mod.ts needs relative imports only, and programs need no import map", () => {
  const files = new Set(imports.map(({ from }) => from));
  assertEquals(["mod.ts", ...PROGRAMS].filter((file) => !files.has(file)), []);
  assertEquals(packagesOf(imports, ["mod.ts"]), []);
  assertEquals(packagesOf(imports, PROGRAMS, WHOLE), []);
});
