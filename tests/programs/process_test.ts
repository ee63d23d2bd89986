/** Programs as child processes: their output, waiting for them, and that none outlives the test. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { interruptible, Interruption } from "../../programs/interruption.ts";
import { Program, runProgram } from "../../programs/process.ts";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { DeviceError } from "../../src/errors.ts";

/** Returns the command line of a shell script. */
function sh(script: string): string[] {
  return ["sh", "-c", script];
}

/** Returns whether a process exists, running or as a zombie. */
function exists(pid: number): boolean {
  try {
    return Deno.statSync(`/proc/${pid}`).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

Deno.test("Program.line() returns the next line that passes, and none twice", async () => {
  await using program = Program.start(sh("printf 'one\\ntwo\\nthr'; sleep 0.05; echo ee; cat"));
  assertEquals(await program.line((line) => line.startsWith("t")), "two");
  assertEquals(await program.line(() => true), "three");
  const line = program.line(() => true);
  await program.write("four");
  assertEquals(await line, "four");
  assertEquals(program.stdout, "one\ntwo\nthree\nfour\n");
});

Deno.test("Program.line() reports the output of a program that ended or is late", async () => {
  const nothing = () => false;
  await using ended = Program.start(sh("echo out; echo err >&2; exit 3"), { name: "it" });
  const { message } = await assertRejects(() => ended.line(nothing), DeviceError);
  assertEquals(message, "it: ended with exit code 3; it printed: err and out");
  await using late = Program.start(sh("echo out; exec sleep 100"), { name: "it" });
  await late.line(() => true);
  const error = await assertRejects(() => late.line(nothing, 20), DeviceError);
  assertMatch(error.message, /^it: did not print the expected line within 20 ms; .*: out$/);
});

Deno.test("Program.json() skips lines that are not JSON objects, and Program.ask() skips old lines", async () => {
  const script = 'echo hello; echo "{\\"n\\":1}"; while read -r n; do echo "{\\"n\\":$n}"; done';
  await using program = Program.start(sh(script));
  const any = ({ n }: { n: number }) => n > 0;
  assertEquals(await program.json(any), { n: 1 });
  await program.write("2");
  await program.write("3");
  await program.json(({ n }: { n: number }) => n === 3);
  assertEquals(await program.ask("4", any), { n: 4 });
});

Deno.test("Program.ready() waits for the ready line, or ends the program", async () => {
  const ready = `echo '{"ready":true}'; exec sleep 100`;
  await using program = await Program.start(sh(ready)).ready();
  assertEquals(program.ended, false);
  const mute = Program.start(sh("exec sleep 100"));
  await assertRejects(() => mute.ready(20), DeviceError, "within 20 ms");
  assertEquals([mute.ended, exists(mute.pid)], [true, false]);
});

Deno.test("Program.write() and Program.fail() throw if the program has ended", async () => {
  await using program = Program.start(sh("exit 4"), { name: "it" });
  await program.finish();
  program.kill("SIGTERM"); // ignored
  for (const use of [() => program.write("x"), () => program.fail()]) {
    await assertRejects(use, DeviceError, "it: ended with exit code 4");
  }
});

Deno.test("Program.finish() returns code and outputs; Program.succeed() accepts code 0 only", async () => {
  assertEquals(
    await runProgram(sh('echo "$A"; pwd; echo err >&2; kill -TERM $$'), {
      ...{ env: { A: "b" }, cwd: "/" },
    }),
    { code: 128 + 15, stdout: "b\n/\n", stderr: "err\n" },
  );
  await using good = Program.start(sh("exit 0")), bad = Program.start(sh("echo no >&2; exit 5"));
  assertEquals((await good.succeed()).code, 0);
  await assertRejects(() => bad.succeed(), DeviceError, "ended with exit code 5; it printed: no");
  await using slow = Program.start(sh("exec sleep 100"));
  await assertRejects(() => slow.finish(20), DeviceError, "did not end within 20 ms");
});

Deno.test("Program with `keep` keeps the last lines, and calls onLine with all", async () => {
  const heard: string[] = [];
  const count = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done";
  await using program = Program.start(sh(`${count}; read -r x; echo $x`), {
    keep: 100,
    onLine: (line) => heard.push(line),
  });
  await program.line((line) => line === "line 2000");
  assertEquals(heard, Array.from({ length: 2000 }, (_, i) => `line ${i + 1}`));
  assertMatch(program.stdout, /^(line \d+\n)+$/);
  assert(program.stdout.length < 200);
  await program.write("last");
  assertEquals(await program.line(() => true), "last");
});

Deno.test("Program sends SIGTERM at disposal, then SIGKILL", async () => {
  const polite = Program.start(
    sh("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"),
  );
  await polite.line((line) => line === "up");
  await polite[Symbol.asyncDispose]();
  assertEquals([polite.stdout, exists(polite.pid)], ["up\nbye\n", false]);
  const stubborn = Program.start(sh("trap '' TERM; echo up; while :; do sleep 0.01; done"));
  await stubborn.line((line) => line === "up");
  await stubborn[Symbol.asyncDispose]();
  await stubborn[Symbol.asyncDispose]();
  assertEquals([(await stubborn.finish()).code, exists(stubborn.pid)], [128 + 9, false]);
});

Deno.test("Program does not wait for child processes that outlive it", async () => {
  const program = Program.start(sh("sleep 100 & echo $!; exec sleep 100"));
  const other = Number(await program.line(() => true));
  await program[Symbol.asyncDispose]();
  assertEquals([exists(program.pid), exists(other)], [false, true]);
  Deno.kill(other, "SIGKILL");
});

Deno.test("Program with `signals` is killed at a signal to this process, even if it is stopped", async () => {
  using interruption = new Interruption();
  await using program = Program.start(sh("echo up; exec sleep 100"), { signals: true });
  await program.line((line) => line === "up");
  program.kill("SIGSTOP");
  const failed = assertRejects(() => program.fail(), DeviceError, "this program got a signal");
  Deno.kill(Deno.pid, "SIGTERM");
  assertEquals((await program.finish()).code, 128 + 9);
  await failed;
  await using late = Program.start(sh("exec sleep 100"), { signals: true });
  assertEquals((await late.finish()).code, 128 + 9, "started after the signal");
  assertEquals(interruption.number, 15);
});

Deno.test("Program with `detached` gets no signal to this process's group", async () => {
  const script = 'echo $(cut -d" " -f5 /proc/self/stat); exec sleep 100';
  await using attached = Program.start(sh(script));
  await using detached = Program.start(sh(script), { detached: true });
  assert(Number(await attached.line(() => true)) !== attached.pid);
  assertEquals(Number(await detached.line(() => true)), detached.pid);
});

Deno.test("interruptible() returns 128 and the signal's number if a signal made `main` fail", async () => {
  const main = interruptible(async (code: number, interruption) => {
    await using _directory = await TemporaryDirectory.make();
    Deno.kill(Deno.pid, "SIGHUP");
    await interruption.caught;
    if (code > 0) return code;
    if (code < 0) throw new RangeError("a bug");
    return await interruption.orEnd(new Promise<number>(() => {}));
  });
  assertEquals([await main(0), await main(3)], [128 + 1, 3]);
  await assertRejects(() => main(-1), RangeError, "a bug");
  await assertRejects(() => interruptible(() => Promise.reject(new Error("own")))(0), Error, "own");
});

Deno.test("TemporaryDirectory.removeAll() removes those that exist", async () => {
  await using directory = await TemporaryDirectory.make();
  const one = await TemporaryDirectory.make(directory.path);
  await using two = await TemporaryDirectory.make(directory.path);
  await one[Symbol.asyncDispose]();
  TemporaryDirectory.removeAll();
  for (const { path } of [directory, one, two]) await assertRejects(() => Deno.stat(path));
});
