/** What `specialise` compiles: each text is self-contained, and a script with its own name. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Options, parse } from "acorn";
import { analyze } from "eslint-scope";
import { makeLane } from "../../bench/lean.ts";
import { Mempool } from "../../mod.ts";
import { Direction } from "../../programs/forward.ts";
import { DmaMemory } from "../../src/dma.ts";
import { specialise } from "../../src/specialise.ts";
import { VirtioRxQueue } from "../../virtio/rx_queue.ts";
import type { Transport } from "../../virtio/transport.ts";
import { VirtioTxQueue } from "../../virtio/tx_queue.ts";
import { placeQueues, Virtqueue } from "../../virtio/virtqueue.ts";
import { Wakeup } from "../../xdp/wakeup.ts";
import { FakeKernel } from "../support/fake_kernel.ts";
import { FakeRxRing, FakeTxRing } from "../support/fake_ring.ts";

/** Globals that a text may refer to, in addition to its parameters and its scope. */
const GLOBALS: ReadonlySet<string> = new Set([
  ...["Float64Array", "Math", "Uint32Array", "Uint8Array", "undefined"],
]);
const ROOT = new URL("../../", import.meta.url);

/** Returns the texts of the functions that `make` compiles with `new Function`. */
function compiledBy(make: () => void): string[] {
  const { Function } = globalThis, texts: string[] = [];
  globalThis.Function = new Proxy(Function, {
    construct(target, args) {
      const compiled = Reflect.construct(target, args);
      texts.push(String(compiled));
      return compiled;
    },
  });
  try {
    make();
  } finally {
    globalThis.Function = Function;
  }
  return texts;
}

/** Returns the names that a function's text refers to outside itself, and its unused parameters. */
function namesIn(text: string): { outside: string[]; unused: string[] } {
  const options = { ecmaVersion: 2024, sourceType: "script", ranges: true } satisfies Options;
  const scopes = analyze(parse(`(${text})`, options) as unknown as Parameters<typeof analyze>[0], {
    ecmaVersion: options.ecmaVersion,
    sourceType: options.sourceType,
  });
  const outside = scopes.globalScope!.through.map(({ identifier }) => identifier.name as string);
  const parameters = scopes.scopes.find(({ type }) => type === "function")!.variables;
  return {
    outside: [...new Set(outside)].filter((name) => !GLOBALS.has(name)),
    unused: parameters.filter((variable) =>
      variable.defs.length > 0 && variable.references.length === 0
    ).map(({ name }) => name),
  };
}

/** Returns the name of a text's script, relative to the project's root. */
function scriptOf(text: string): string {
  return text.match(/^\/\/# sourceURL=(.*)$/m)![1].replace(ROOT.href, "");
}

/** Returns the texts of all functions that the project specialises. */
function specialised(): string[] {
  using pool = new Mempool({ buffers: 256, memory: "pages" });
  using after = new DisposableStack();
  const { offsets, bytes } = placeQueues([64, 64]), rings = DmaMemory.allocate(bytes, "pages");
  after.defer(() => rings.free());
  const transport = { address: "device", addressing: "iova" } as unknown as Transport;
  const queues = offsets.map((offset, i) => {
    return new Virtqueue(transport, i, 64, 2, rings, offset, false);
  });
  using kernels = new DisposableStack();
  return compiledBy(() => {
    new Wakeup("xdp:k", -1, kernels.use(new FakeKernel()).rings);
    const rx = new FakeRxRing(pool, 64), tx = new FakeTxRing(pool, 64);
    new Direction(rx.queue, tx.queue, 32, true);
    new VirtioRxQueue(queues[0], pool, 12, false, 32);
    new VirtioTxQueue(queues[1], pool, 12, 32);
    const words = new Uint32Array(1), doorbell = { words, index: 0, write: undefined };
    const rings = { rx: words, tx: words, rdt: doorbell, tdt: doorbell };
    makeLane({ ...rings, low: words, high: words, bytes: new Uint8Array(1) }, 32);
  });
}

/** Yields the project's modules below a folder that call `specialise`. */
function* callers(folder = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    if (isDirectory && !/^\.|^tests$|^node_modules$/.test(name)) {
      yield* callers(`${folder}${name}/`);
    }
    if (!name.endsWith(".ts")) continue;
    const text = Deno.readTextFileSync(new URL(folder + name, ROOT));
    // A call by another name counts as well, and fails the test.
    for (const _ of text.matchAll(/\bspecialise(\(| as |: )/g)) yield folder + name;
  }
}

Deno.test("specialise() is called only in modules that these tests check", () => {
  const looked = specialised().map((text) => scriptOf(text).replace(/#.*/, ""));
  assertEquals(looked.sort(), [...callers()].sort());
  assertEquals(looked.length, 9);
});

Deno.test("Specialised functions refer only to parameters, scope and globals, and use all parameters and scope", () => {
  for (const text of specialised()) {
    assertEquals(namesIn(text), { outside: [], unused: [] }, scriptOf(text));
  }
});

Deno.test("A specialised function that lacks a name in its scope is detected", () => {
  for (const text of specialised()) {
    const scope = text.slice(text.indexOf("(") + 1, text.indexOf(")")).split(",");
    for (const name of scope.map((name) => name.trim())) {
      const mutant = text.replace(new RegExp(`\\b${name}\\b`), `${name}_`);
      assertEquals(namesIn(mutant), { outside: [name], unused: [`${name}_`] }, scriptOf(text));
    }
  }
});

Deno.test("specialise() passes its scope and parameters to each copy", () => {
  const STEP = 3, double = (n: number) => 2 * n;
  const makeStep = specialise(import.meta.url, { STEP, double }, function stepper(first: number) {
    return () => first + double(STEP);
  });
  const [one, other] = [makeStep(1), makeStep(10)];
  assertEquals([one(), other(), one()], [7, 16, 7]);
});

Deno.test("specialise() compiles strict code", () => {
  const make = specialise(import.meta.url, {}, function maker() {
    return function own(this: unknown) {
      return this;
    };
  });
  assertEquals(make()(), undefined);
});

Deno.test("specialise() shows the file, the function and the copy in stack traces", () => {
  const makeFailing = specialise(import.meta.url, {}, function failing() {
    return function fails() {
      throw new Error("it fails");
    };
  });
  const stacks = [makeFailing(), makeFailing()].map((fails) => assertThrows(fails, Error).stack!);
  const names = stacks.map((stack) => stack.match(/at fails \((\S+), <anonymous>:\d+:\d+\)/)?.[1]);
  for (const name of names) assertMatch(name!, /\/specialise_test\.ts#failing-\d+$/);
  assert(names[0] !== names[1]);
});

Deno.test("specialise() uses the function itself where code must not be made from strings", async () => {
  const program = `
    import { specialise } from ${JSON.stringify(new URL("src/specialise.ts", ROOT).href)};
    const STEP = 3;
    const makeAdd = specialise("file", { STEP }, (by) => (n) => n + by * STEP);
    const add = makeAdd(2), other = makeAdd(5);
    let refused = "";
    try {
      new Function("return 1");
    } catch (error) {
      refused = error.name;
    }
    console.log(refused, add(1), other(1));
  `;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["eval", "--quiet", "--v8-flags=--disallow-code-generation-from-strings"],
      program,
    ],
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout),
    "EvalError 7 16\n",
    new TextDecoder().decode(stderr),
  );
});
