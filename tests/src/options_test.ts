/** Options of `open`: names, types, and what each kind of device refuses. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import { type Device, Mempool, type OpenOptions, UsageError } from "../../mod.ts";
import { openDevice } from "../../src/open.ts";
import { checkOptions } from "../../src/options.ts";
import { PROJECT } from "../support/processes.ts";
import { DirectVirtio } from "../support/direct_virtio.ts";
import { ModelFunction } from "../support/model_function.ts";

/** Options as a program without a type checker may pass them. */
function untyped(options: Record<string, unknown>): OpenOptions {
  return options as OpenOptions;
}

Deno.test("checkOptions() refuses an unknown option, and names the known ones", () => {
  for (const option of ["rxQueue", "RxQueues", "toString", "__proto__x", ""]) {
    const check = () => checkOptions("a", untyped({ [option]: 1 }));
    const error = assertThrows(check, UsageError, `a: \`open\` has no option \`${option}\``);
    assertEquals(error.option, option);
    for (const known of ["pool", "rxQueues", "virtio"]) assert(error.message.includes(known));
  }
});

Deno.test("checkOptions() refuses values of another type or kind", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const wrong: Record<keyof OpenOptions, unknown[]> = {
    pool: [null, {}, 1, [pool]],
    pools: [null, pool, [null], [pool, {}], "pool"],
    rxQueues: ["2", NaN, 1.5, Infinity, null, 2n, true],
    txQueues: ["2", NaN],
    rssKey: ["key", [1, 2], new ArrayBuffer(40), null],
    speeds: [1000, [], ["1000"], [0.5], "1000", null],
    rxEntries: ["512", NaN, 64.5],
    txEntries: ["512", NaN],
    promiscuous: ["no", 1, null],
    standby: ["no", 1, null],
    interrupts: ["yes", 0],
    force: ["", 1],
    rebind: [null, {}],
    guard: [null, "off"],
    onWait: ["print", true, null, {}],
    signal: [null, "SIGINT", 2, new AbortController()],
    virtio: ["new", "", 1, null],
    xdp: [
      ...["copy", null, [], { mode: "fast" }, { mode: 1 }, { pass: "arp" }, { pass: [1] }],
      ...[{ take: "arp" }, { take: [1] }],
      { modes: "copy" },
    ],
  };
  for (const [option, values] of Object.entries(wrong)) {
    for (const value of values) {
      const check = () => checkOptions("a", untyped({ [option]: value }));
      const error = assertThrows(check, UsageError, `a: \`${option}\` is `);
      assertMatch(error.message, /^[^\n]+, not [^\n]+$/);
      assertEquals(error.option, option);
    }
  }
});

Deno.test("checkOptions() and Mempool refuse options that are not an object", () => {
  for (const options of [null, 5, "auto", true, () => {}] as never[]) {
    assertThrows(() => checkOptions("a", options), UsageError, "a: the options are an object, not");
    assertThrows(
      () => new Mempool(options),
      UsageError,
      "the options of a pool are an object, not",
    );
  }
});

Deno.test("checkOptions() accepts every option, and undefined values", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const right: Required<OpenOptions> = {
    pool,
    pools: [pool, pool],
    rxQueues: 2,
    txQueues: 2,
    rssKey: new Uint8Array(40),
    speeds: [1000, 10000],
    rxEntries: 64,
    txEntries: 64,
    promiscuous: false,
    standby: false,
    interrupts: true,
    force: true,
    rebind: true,
    guard: true,
    onWait: () => {},
    signal: new AbortController().signal,
    virtio: "modern",
    xdp: { mode: "copy", pass: ["arp"] },
  };
  checkOptions("a", right);
  for (const option of Object.keys(right)) checkOptions("a", untyped({ [option]: undefined }));
});

Deno.test("openDevice() refuses options before it calls a driver", async () => {
  const never = (): Promise<Device> => Promise.reject(new Error("a driver was called"));
  const driver = { name: "d", vendor: 1, schemes: ["vhost-user"], attach: never, connect: never };
  for (const options of [{ rxQueue: 2 }, { rxQueues: "2" }, { rxEntries: NaN }]) {
    const open = () => openDevice("vhost-user:a", [driver], untyped(options));
    await assertRejects(open, UsageError, "vhost-user:a: ");
  }
});

Deno.test("ixgbe.attach() refuses the options `virtio` and `xdp`, and changes nothing", async () => {
  const pci = new ModelFunction();
  for (const options of [{ virtio: "modern" }, { xdp: {} }] as const) {
    const error = await assertRejects(() => ixgbe.attach(pci, options), UsageError);
    const [option] = Object.keys(options);
    assertEquals(
      [error.message, error.option],
      [`model: ixgbe devices do not support the option \`${option}\`: leave it out`, option],
    );
  }
  assertEquals(pci.log, []);
});

Deno.test("openVirtio() refuses `rssKey`, `interrupts`, `speeds` and `xdp`, and changes nothing", async () => {
  const all = [
    ...[{ rssKey: new Uint8Array(40) }, { interrupts: true }, { speeds: [10000] }, { xdp: {} }],
  ];
  for (const options of all) {
    const direct = new DirectVirtio(), [option] = Object.keys(options);
    const error = await assertRejects(() => direct.open(options), UsageError);
    assertMatch(error.message, /VirtIO devices do not support the option `\w+`: leave it out$/);
    assertEquals([error.option, direct.log], [option, []]);
  }
});

Deno.test("every device accepts options that are false, and `force` and `rebind`", async () => {
  const options = {
    interrupts: false,
    promiscuous: false,
    standby: false,
    guard: false,
    force: true,
    rebind: true,
  };
  (await ixgbe.attach(new ModelFunction(), options)).close();
  (await new DirectVirtio().open(options)).close();
});

Deno.test("UsageError.option is the option that is out of range", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const cases: [OpenOptions, option: keyof OpenOptions][] = [
    [{ rxQueues: 17 }, "rxQueues"],
    [{ txQueues: 65 }, "txQueues"],
    [{ rxEntries: 100 }, "rxEntries"],
    [{ txEntries: 32 }, "txEntries"],
    [{ pool, pools: [pool] }, "pools"],
    [{ pools: [pool, pool] }, "pools"],
    [{ pool, rxEntries: 128 }, "rxEntries"],
    [{ rssKey: new Uint8Array(39) }, "rssKey"],
    [{ speeds: [100] }, "speeds"],
    [{ interrupts: true }, "interrupts"], // the model has none
  ];
  for (const [options, option] of cases) {
    const error = await assertRejects(() => ixgbe.attach(new ModelFunction(), options), UsageError);
    assertEquals(error.option, option, error.message);
  }
});

Deno.test("Mempool refuses unknown options and kinds of memory", () => {
  const unknown = () => new Mempool(untyped({ buffer: 64 }) as never);
  const error = assertThrows(
    unknown,
    UsageError,
    "no option `buffer`: its options are buffers, bufferSize",
  );
  assertEquals(error.option, "buffer");
  const kind = () => new Mempool({ memory: "huge" as never });
  assertEquals(assertThrows(kind, UsageError, 'not "huge"').option, "memory");
});

/** Options of container runtimes. */
const CONTAINER_OPTIONS = [
  "cap-add",
  "device",
  "network",
  "security-opt",
  "shm-size",
  "tmpfs",
  "ulimit",
  "user",
  "userns",
]
  .map((name) => `--${name}`);

Deno.test("the library's messages name its own options, and none of the programs'", async () => {
  const files: string[] = [`${PROJECT}mod.ts`];
  for (const room of ["src", "src/pci", "ixgbe", "virtio", "xdp"]) {
    for await (const { name } of Deno.readDir(PROJECT + room)) {
      if (name.endsWith(".ts")) {
        files.push(`${PROJECT}${room}/${name}`);
      }
    }
  }
  assert(files.length > 40);
  for (const file of files) {
    for (
      const [option] of (await Deno.readTextFile(file)).matchAll(
        /(?<=[\s`"'(])--[a-z][a-z-]*|\bnic\.ts/g,
      )
    ) {
      assert(["--allow-ffi", ...CONTAINER_OPTIONS].includes(option), `${option} in ${file}`);
    }
  }
});
