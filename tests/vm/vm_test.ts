/**
 * The virtual machine itself: commands and their exit codes, deadlines, cleaning up, and `deno task
 * vm`.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { addressOf, virtioNic } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";
import { DeviceError } from "../../src/errors.ts";
import {
  assertRefused,
  Program,
  PROJECT,
  run,
  TemporaryDirectory,
  until,
} from "../support/processes.ts";

/** Longest that a program that boots a machine may take, in milliseconds. */
const MACHINE_MS = 180000;
const MAIN = [Deno.execPath(), "run", "--quiet", "--allow-all", `${PROJECT}vm/main.ts`];
const CARD = virtioNic({ kind: "legacy", slot: 3, netdev: "hubport,hubid=0" });

async function assertEnds(action: Promise<unknown>, vm: Machine, why: RegExp): Promise<void> {
  const { message } = await assertRejects(() => action, DeviceError);
  assertMatch(message, why);
  assertEquals(processesWith("stat", (text) => text.startsWith(`${vm.pid} `)), []);
}

/** Returns the ids of the processes that have a file under /proc with a matching text. */
function processesWith(file: string, passes: (text: string) => boolean): number[] {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((n) => n > 0);
  return pids.filter((pid) => {
    try {
      return passes(Deno.readTextFileSync(`/proc/${pid}/${file}`));
    } catch {
      return false; // it has ended, or belongs to another user
    }
  });
}

Deno.test("Machine runs commands in the guest", async (t) => {
  await using vm = await Machine.boot({ arguments: CARD, programs: { ethtool: ["ethtool"] } });

  await t.step("Machine.run() returns exit code and output", async () => {
    const result = await vm.run("echo 'größe'; pwd; echo oh >&2; exit 7");
    assertEquals(result, { code: 7, stdout: "größe\n/project\n", stderr: "oh\n" });
    assertEquals(await vm.run("printf x"), { code: 0, stdout: "x", stderr: "" });
    assertEquals((await vm.run("kill -9 $$")).code, 137);
    assertEquals((await vm.run("no-such-program")).code, 127);
  });

  await t.step("Machine.run() returns long output completely and unchanged", async () => {
    const { stdout } = await vm.run("seq 1 20000");
    assertEquals(stdout, Array.from({ length: 20000 }, (_, i) => `${i + 1}\n`).join(""));
  });

  await t.step("Machine.start() passes output on as it arrives, and sends signals", async () => {
    const trap = await vm.start(
      "trap 'echo got it; exit 5' INT; echo up; while :; do sleep 0.1; done",
    );
    const other = await vm.start("echo one; sleep 1000");
    assertEquals(await trap.line((line) => line === "up"), "up");
    assertEquals(await other.line(() => true), "one");
    assert(!trap.ended && !other.ended);
    await trap.kill("INT");
    assertEquals((await trap.finish()).code, 5);
    assertEquals(trap.stdout, "up\ngot it\n");
    await other.kill("INT");
    assertEquals((await other.finish()).code, 130);
    assertEquals(await other.line(() => true), undefined);
  });

  await t.step("the guest has hugepages and this project, and no drivers loaded", async () => {
    assertMatch((await vm.run("cat /proc/meminfo")).stdout, /HugePages_Free: +128\n/);
    const fwd = await Deno.readTextFile(`${PROJECT}fwd.ts`);
    assertEquals((await vm.run("cat fwd.ts")).stdout, fwd);
    assertEquals((await vm.run("lsmod | tail -n +2")).stdout, "");
  });

  await t.step("the stubs read a network card's registers in the guest", async () => {
    const command = `deno run -A tests/vm/device_state.ts ${addressOf({ slot: 3 })}`;
    const { code, stdout, stderr } = await vm.run(command);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    assertEquals(JSON.parse(stdout), [{ status: 0, busMaster: false }]);
  });

  await t.step("programs of Debian packages run with their libraries", async () => {
    const { code, stdout, stderr } = await vm.run("ethtool --version");
    assertMatch(stdout, /^ethtool version \d/);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  });

  await t.step("modprobe loads drivers with their dependencies", async () => {
    const { code, stderr } = await vm.run(
      "modprobe -a virtio_pci virtio_net vfio_pci vfio_iommu_type1",
    );
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    assertMatch((await vm.run("ls /sys/class/net")).stdout, /eth0/);
    assertEquals((await vm.run("ls /dev/vfio/vfio")).code, 0);
  });

  await t.step("a command's deadline ends the machine, and the error says so", async () => {
    const late = vm.run("sleep 1000", { milliseconds: 300 });
    await assertEnds(late, vm, /^virtual machine: waited 0\.3 s for the end of `sleep 1000`/);
    await assertEnds(vm.run("true"), vm, /ended before it ran `true`/);
  });
});

Deno.test("Machine ends a guest that hangs at the deadline", async () => {
  await using vm = await Machine.boot();
  Deno.kill(vm.pid, "SIGSTOP");
  await assertEnds(
    vm.run("true", { milliseconds: 300 }),
    vm,
    /waited 0\.3 s for the end of `true`/,
  );
});

Deno.test("Machine throws an error with the end of the kernel's log if the guest panics", async () => {
  await using vm = await Machine.boot();
  const panic = vm.run("echo c >/proc/sysrq-trigger");
  await assertEnds(panic, vm, /ended by a kernel panic while .*\n[^]*sysrq: Trigger a crash\n/);
});

Deno.test("Machine throws in calls that wait if the guest powers off", async () => {
  await using vm = await Machine.boot({ machine: "q35" });
  await assertEnds(vm.run("poweroff -f; sleep 1000"), vm, /switched itself off while waiting/);
});

Deno.test("Machine.boot() has a deadline", async () => {
  const { message } = await assertRejects(
    () => Machine.boot({ arguments: ["-S", "-name", "never-starts"] }, 300),
    DeviceError,
  );
  assertMatch(message, /waited 0\.3 s for it to boot/);
  assertEquals(processesWith("cmdline", (text) => text.includes("\0never-starts\0")), []);
});

Deno.test("Machine.boot() shows QEMU's error message", async () => {
  const { message } = await assertRejects(
    () => Machine.boot({ arguments: ["-device", "no-such-device"] }),
    DeviceError,
  );
  assertMatch(message, /QEMU failed with exit code 1, [^]*'no-such-device' is not a valid device/);
});

Deno.test("deno task vm refuses bad options with one sentence", async (t) => {
  const cases: [rule: string, args: string[], sentence: RegExp][] = [
    ["an unknown option", ["--frobnicate"], /--frobnicate/],
    ["an argument", ["x"], /takes no operands: leave out "x"/],
    [
      "an unknown kind of device",
      ["--devices=old"],
      /--devices takes legacy, transitional or modern/,
    ],
    ["an unknown machine", ["--machine=microvm"], /--machine takes pc or q35/],
    ["too little memory", ["--memory=100"], /--memory .* from 512 /],
    ["seconds without a command", ["--seconds=1"], /--seconds needs --command/],
    ["a shell without a terminal", [], /needs a terminal/],
  ];
  for (const [rule, args, sentence] of cases) {
    await t.step(rule, async () => assertRefused(await run([...MAIN, ...args]), sentence));
  }
});

Deno.test("deno task vm --help prints its usage", async () => {
  const { code, stdout } = await run([...MAIN, "--help"]);
  assertMatch(stdout, /^usage: deno task vm /);
  assertEquals(code, 0);
});

/** A `deno task vm` whose processes and temporary files can be identified. */
class Marked implements AsyncDisposable {
  readonly program: Program;
  readonly #directory: TemporaryDirectory;

  private constructor(directory: TemporaryDirectory, command: readonly string[]) {
    this.#directory = directory;
    this.program = Program.start(command, { env: { TMPDIR: directory.path } });
  }

  static async start(command: readonly string[]): Promise<Marked> {
    return new Marked(await TemporaryDirectory.make(), command);
  }

  /** Asserts that soon no process and no file of it is left. */
  async assertGone(): Promise<void> {
    const mark = `TMPDIR=${this.#directory.path}`;
    await until("its processes to end", () => {
      return processesWith("environ", (text) => text.split("\0").includes(mark)).length === 0;
    });
    assertEquals([...Deno.readDirSync(this.#directory.path)], []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}

Deno.test("deno task vm --command prints the command's output and returns its exit code", async () => {
  const command =
    "echo out; echo err >&2; cat /sys/bus/pci/devices/0000:00:0[346].0/device; exit 9";
  const options = ["--devices=modern", "--machine=q35", "--command", command];
  await using vm = await Marked.start([...MAIN, ...options, "--", "-device", "e1000e,addr=6"]);
  const { code, stdout, stderr } = await vm.program.finish(MACHINE_MS);
  assertEquals(stderr, "err\n");
  assertEquals(stdout, "out\n0x1041\n0x1041\n0x10d3\n");
  assertEquals(code, 9);
  await vm.assertGone();
});

for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
  Deno.test(`deno task vm leaves nothing behind when ${signal} ends it`, async () => {
    await using vm = await Marked.start([...MAIN, "--command", "echo up; sleep 1000"]);
    await vm.program.line((line) => line === "up", MACHINE_MS);
    vm.program.kill(signal);
    await vm.program.finish();
    await vm.assertGone();
  });
}

Deno.test("deno task vm runs a shell: Ctrl-C ends its program, exit ends the machine", async () => {
  const quoted = MAIN.map((word) => `'${word}'`).join(" ");
  const command = ["script", "--quiet", "--return", "--command", quoted, "/dev/null"];
  await using vm = await Marked.start(command);
  const shows = (text: RegExp) => {
    return until(`${text} on the terminal`, () => text.test(vm.program.stdout), MACHINE_MS);
  };
  await shows(/vm:\/project# /);
  // The sum distinguishes a program's output from the terminal's echo of the command.
  await vm.program.write("echo sum $((20 + 22)); sleep 1000");
  await shows(/sum 42/);
  await vm.program.write("\x03"); // input before the next prompt is discarded
  await shows(/sum 42[^]*vm:\/project# /);
  await vm.program.write("echo sum $((20 + 23))");
  await shows(/sum 43/);
  await vm.program.write("exit");
  assertEquals((await vm.program.finish()).code, 0);
  await vm.assertGone();
});
