/** The guard, which turns DMA off if a program ends without closing, on files that resemble sysfs. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DeviceError, UsageError } from "../../mod.ts";
import { HUGEPAGE } from "../../src/dma.ts";
import { Command } from "../../src/pci/function.ts";
import { Guard } from "../../src/pci/guard.ts";
import { SysfsFunction } from "../../src/pci/sysfs.ts";
import { PAGES, PATTERN } from "../support/guarded.ts";
import { exists, guardsOf, memoryOf } from "../support/guards.ts";
import { Hugepages } from "../support/hugepages.ts";
import { ffiOnly, isRoot, Program, PROJECT, until } from "../support/processes.ts";
import { ADDRESS, Tree } from "../support/sysfs_tree.ts";

/** Whether the DMA of the function is on. */
function masters(tree: Tree): boolean {
  return (tree.command & Command.BUS_MASTER) !== 0;
}

/** Starts a program with functions whose DMA is on. */
async function start(
  mode: "main" | "worker" | "hugepages",
  tree: Tree,
  addresses: readonly string[] = [ADDRESS],
): Promise<Program> {
  const args = [mode, tree.devices, ...addresses];
  const flags = mode === "worker" ? [`--allow-read=${PROJECT}`] : [];
  const program = await Program.start(ffiOnly("tests/support/guarded.ts", args, flags)).ready();
  assert(masters(tree));
  return program;
}

/** Asserts that the guards of an ended program turn DMA off and end. */
async function assertGuarded(tree: Tree, guards: readonly { pid: number }[]): Promise<void> {
  await until("DMA to be off", () => !masters(tree));
  await until("the guards' end", () => guards.every(({ pid }) => !exists(pid)));
}

for (const signal of ["SIGKILL", "SIGABRT", "SIGHUP", "SIGQUIT", "SIGTERM"] as const) {
  Deno.test(`Guard turns DMA off when ${signal} ends the program`, async () => {
    using tree = new Tree();
    await using program = await start("main", tree);
    const guards = guardsOf(program.pid);
    assertEquals(guards.map((guard) => guard.arguments), [[ADDRESS]]);
    program.kill(signal);
    await program.finish();
    await assertGuarded(tree, guards);
  });
}

Deno.test("Guard ignores signals, and has a session of its own", async () => {
  using tree = new Tree();
  await using program = await start("main", tree);
  const [guard] = guardsOf(program.pid);
  assertEquals(guard.session, guard.pid);
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM", "SIGQUIT"] as const) {
    Deno.kill(guard.pid, signal);
  }
  program.kill("SIGKILL");
  await program.finish();
  await assertGuarded(tree, [guard]);
});

for (const end of ["exit", "throw", "crash"]) {
  Deno.test(`Guard turns DMA off when a program ends without closing: ${end}`, async () => {
    using tree = new Tree();
    await using program = await start("main", tree);
    const guards = guardsOf(program.pid);
    await program.write(end);
    await program.finish();
    await assertGuarded(tree, guards);
  });
}

Deno.test("Guard turns DMA off when a program is killed whose worker has opened the function", async () => {
  using tree = new Tree();
  await using program = await start("worker", tree);
  const guards = guardsOf(program.pid);
  assertEquals(guards.length, 1);
  program.kill("SIGKILL");
  await program.finish();
  await assertGuarded(tree, guards);
});

Deno.test("Guard: each function of a program has one, and all turn DMA off", async () => {
  using tree = new Tree();
  const others = ["0000:04:00.0", "0000:05:00.0"].map((address) => `${tree.devices}/${address}`);
  for (const other of others) {
    Deno.mkdirSync(other);
    for (const file of ["config", "resource0", "enable"]) {
      Deno.copyFileSync(`${tree.device}/${file}`, `${other}/${file}`);
    }
  }
  const on = () => others.map((other) => Deno.readFileSync(`${other}/config`)[4] & 4);
  await using program = await start("main", tree, [ADDRESS, "0000:04:00.0", "0000:05:00.0"]);
  assertEquals(on(), [4, 4]);
  const guards = guardsOf(program.pid);
  assertEquals(guards.length, 3);
  program.kill("SIGKILL");
  await program.finish();
  await assertGuarded(tree, guards);
  assertEquals(on(), [0, 0]);
});

Deno.test("SysfsFunction.close() ends the guard, and leaves no zombie", async () => {
  using tree = new Tree();
  await using program = await start("main", tree);
  const [{ pid }] = guardsOf(program.pid);
  await program.write("close");
  await program.line((line) => line === '{"closed":true}');
  assertEquals([exists(pid), guardsOf(program.pid)], [false, []]);
  // The next driver may have turned DMA on when the program ends.
  const config = Deno.readFileSync(`${tree.device}/config`);
  config[4] |= Command.BUS_MASTER;
  Deno.writeFileSync(`${tree.device}/config`, config);
  program.kill("SIGKILL");
  await program.finish();
  assert(masters(tree));
});

Deno.test("SysfsFunction.claim() that is refused leaves no guard, and DMA as it was", () => {
  using tree = new Tree();
  tree.bind("ixgbe");
  Deno.removeSync(`${tree.root}/drivers/ixgbe/unbind`);
  const config = Deno.readFileSync(`${tree.device}/config`);
  config[4] |= Command.BUS_MASTER;
  Deno.writeFileSync(`${tree.device}/config`, config);
  const pci = tree.open();
  assertThrows(() => pci.claim(false), Error, "unbind");
  assertEquals(guardsOf(Deno.pid).length, 1);
  pci.close();
  assertEquals([guardsOf(Deno.pid), masters(tree)], [[], true]);
});

Deno.test("SysfsFunction.close() ends a guard that is stopped", () => {
  using tree = new Tree();
  const pci = tree.open();
  pci.claim(false);
  pci.setBusMaster(true);
  const [{ pid }] = guardsOf(Deno.pid);
  Deno.kill(pid, "SIGSTOP");
  pci.close();
  assertEquals([exists(pid), masters(tree)], [false, false]);
});

Deno.test("SysfsFunction.checkAlive() throws once the guard was killed; close() turns DMA off", () => {
  using tree = new Tree();
  const pci = tree.open();
  pci.claim(false);
  pci.setBusMaster(true);
  pci.checkAlive();
  const [{ pid }] = guardsOf(Deno.pid);
  Deno.kill(pid, "SIGKILL");
  while (isRunning(pid));
  const { message } = assertThrows(() => pci.checkAlive(), DeviceError);
  assertMatch(
    message,
    new RegExp(`^${ADDRESS}: the guard process ${pid} has ended, .*: start this`),
  );
  pci.close();
  assertEquals([exists(pid), masters(tree)], [false, false]);
});

/** Returns whether a process runs; not if it is a zombie. */
function isRunning(pid: number): boolean {
  return !/\) Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
}

Deno.test("SysfsFunction without `guard` has none", () => {
  using tree = new Tree();
  const pci = new SysfsFunction(ADDRESS, tree.devices, { guard: false });
  pci.claim(false);
  assertEquals(guardsOf(Deno.pid), []);
  pci.close();
});

Deno.test("SysfsFunction waits for the guard of a killed program, and keeps its own DMA on", async () => {
  using tree = new Tree();
  await using program = await start("main", tree);
  const [guard] = guardsOf(program.pid);
  Deno.kill(guard.pid, "SIGSTOP");
  program.kill("SIGKILL");
  await program.finish();
  assertThrows(() => tree.open(), UsageError, "another program");
  assert(masters(tree));
  Deno.kill(guard.pid, "SIGCONT");
  const pci = tree.open();
  pci.claim(false);
  pci.setBusMaster(true);
  await until("the guard's end", () => !exists(guard.pid));
  assert(masters(tree));
  pci.close();
});

Deno.test({
  name: "Guard keeps memory allocated until DMA is off",
  ignore: !isRoot,
  async fn() {
    using _pages = new Hugepages(PAGES);
    using tree = new Tree();
    await using program = await start("hugepages", tree);
    const [guard] = guardsOf(program.pid);
    await until("the guard to hold both halves", () => memoryOf(guard.pid).length === 2);
    Deno.kill(guard.pid, "SIGSTOP");
    program.kill("SIGKILL");
    await program.finish();
    assert(masters(tree));
    for (const file of memoryOf(guard.pid)) {
      const bytes = Deno.readFileSync(file);
      assertEquals(bytes.length, PAGES / 2 * HUGEPAGE);
      assert(bytes.every((byte) => byte === PATTERN));
    }
    Deno.kill(guard.pid, "SIGCONT");
    await assertGuarded(tree, [guard]);
  },
});

Deno.test("Guard that cannot start is refused, with what to look at", () => {
  const error = assertThrows(() => new Guard("a", 1e6), UsageError);
  assertEquals(error.option, "guard");
  assertMatch(
    error.message,
    /^a: start the guard process: .*: see `ulimit -a` and `sysctl vm.memfd_noexec`, .*, or set `guard`/,
  );
});
