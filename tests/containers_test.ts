/**
 * Programs where something is missing that a machine has: in containers, under limits, without permissions.
 * Each either works, or says in one sentence what is missing and what to do.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type ContainerOptions, Image, readDockerfile } from "./support/container.ts";
import {
  assertRefused,
  ffiOnly,
  isRoot,
  PROJECT,
  type Result,
  run,
  TemporaryDirectory,
} from "./support/processes.ts";
import { SYSTEM_CALL } from "./support/seccomp.ts";

const CARD = "0000:03:00.0";
/** Mounts a directory for files of programs. */
const TMP = 'mount -t tmpfs tmp "$R/tmp"';
/** Without files in memory. */
const NO_MEMFD = ["/image/deny", String(SYSTEM_CALL.memfd_create), "--"];

/** Asserts that the demo forwarded, and lost nothing. */
function assertForwarded({ code, stdout, stderr }: Result): void {
  assertEquals(stderr, "");
  assertEquals(code, 0);
  const { mpps, lost, corrupt, reordered } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assert(mpps > 0, stdout);
  assertEquals([lost, corrupt, reordered], [0, 0, 0]);
}

/** Shell commands that give the container a `/sys` with one card. */
function card(files: string): string {
  const directory = `"$R/sys/bus/pci/devices/${CARD}"`;
  return `mount -t tmpfs sys "$R/sys"; mkdir -p ${directory}; cd ${directory}; ${files}`;
}
/** Configuration space of an 82599 that no driver has, and its ids. */
const FILES = String.raw`printf '\206\200\373\020\006\000\000\000\001\000\000\002' >config; ` +
  "truncate -s 256 config; truncate -s 512K resource0; echo 0x8086 >vendor; echo 0x10fb >device; " +
  "echo 0x020000 >class; echo >driver_override";
const BOUND =
  `${FILES}; ln -s ../../drivers/vfio-pci driver; ln -s ../../../kernel/iommu_groups/7 iommu_group`;

Deno.test("the Dockerfile's COPY and RUN lines cover what its programs import", async () => {
  const { copies, runs, entrypoint, cmd } = readDockerfile();
  const sources = copies.flatMap(({ sources }) => sources);
  for (const source of sources) Deno.statSync(PROJECT + source);
  const programs = [...runs.join(" ").matchAll(/\S+\.ts/g)].map(([file]) => file);
  for (
    const program of [
      "demo.ts",
      "fwd.ts",
      "pktgen.ts",
      "pcap.ts",
      "echo.ts",
      "nic.ts",
      "sim/main.ts",
    ]
  ) {
    assert(programs.includes(program), program);
  }
  assert(programs.includes(cmd[0]));
  assertEquals(entrypoint.slice(0, 2), ["deno", "run"]);
  const readme = await Deno.readTextFile(`${PROJECT}README.md`);
  const shown = [...readme.matchAll(/^ {4}docker run .* ixy(?: (\S+\.ts))?/gm)];
  assert(shown.length >= 3, "README.md says how to run it");
  for (const [line, program = cmd[0]] of shown) assert(programs.includes(program), line);
});

Deno.test({
  name: "programs in a container work, or say what is missing and which flag gives it",
  ignore: !isRoot,
  async fn(t) {
    await using image = await Image.build();
    const works = async (name: string, check: () => Promise<void>) => {
      await t.step(name, check);
    };
    const refuses = async (
      name: string,
      words: readonly string[],
      sentence: RegExp,
      options: ContainerOptions = {},
    ) => {
      await t.step(name, async () => assertRefused(await image.run(words, options), sentence));
    };
    const demo = ["demo.ts", "--json", "--seconds", "1", "--rate", "100000"];

    await works("the demo, read-only and without a network", async () => {
      assertForwarded(await image.run(demo, { mounts: TMP }));
    });
    await works("the demo as an unprivileged user, without files in memory", async () => {
      const user = [
        "setpriv",
        "--reuid=1993",
        "--regid=1993",
        "--clear-groups",
        "--bounding-set=-all",
      ];
      const options = { mounts: TMP, prefix: [...user, ...NO_MEMFD] };
      assertForwarded(await image.run(demo, options));
    });
    await refuses("no directory for temporary files", ["demo.ts"], /TMPDIR .*`--tmpfs \/tmp`/);
    await refuses(
      "files neither in memory nor in /tmp",
      ["fwd.ts", CARD, "vfio-user:x"],
      /C stubs \(memfd_create: refused; .*`--tmpfs \/tmp:exec`/,
      { prefix: NO_MEMFD, mounts: 'mount -t tmpfs -o noexec tmp "$R/tmp"' },
    );
    await refuses(
      "too small a /dev/shm instead of files in memory",
      ["fwd.ts", "vfio-user:/tmp/a", "vfio-user:/tmp/b"],
      /\d+ bytes of memory are not available in \/dev\/shm: .*`--shm-size`/,
      { prefix: NO_MEMFD, mounts: 'mount -t tmpfs -o size=2m tmp "$R/tmp"' },
    );
    await works("nic.ts doctor without /proc and /sys", async () => {
      const result = await image.run(["nic.ts", "doctor"], {
        mounts: `${TMP}; umount "$R/proc"`,
      });
      assertEquals([result.code, result.stderr.split("\n").length], [1, 2]);
      assertMatch(result.stderr, /^error: \/sys is not mounted: .*`-v \/sys:\/sys`/);
      assertMatch(result.stdout, /missing {2}\/proc +missing/);
    });
    await works("fwd.ts without /proc", async () => {
      const options = { mounts: `${TMP}; umount "$R/proc"` };
      const words = ["fwd.ts", "vfio-user:/tmp/a", "vfio-user:/tmp/b"];
      assertRefused(await image.run(words, options), /start the server of this device first/);
      assertRefused(
        await image.run(["fwd.ts", "--workers", "2", "--queues", "2", ...words.slice(1)], options),
        /--workers needs \/proc/,
      );
    });
    await refuses(
      "no /sys",
      ["pktgen.ts", CARD],
      /no such PCI device: .* lists none: .*`-v \/sys:\/sys`/,
    );
    await refuses(
      "/sys read-only",
      ["pktgen.ts", CARD],
      /read-only file system: run `mount -o remount,rw \/sys`, in a container use `-v \/sys:\/sys`/,
      { mounts: `(${card(FILES)}); mount -o remount,ro "$R/sys"` },
    );
    await refuses(
      "registers in a read-only /sys",
      ["nic.ts", "regs", CARD],
      /resource0: read-only file system: run `mount -o remount,rw \/sys`, in a container/,
      { mounts: `(${card(FILES)}); mount -o remount,ro "$R/sys"` },
    );
    await refuses(
      "root without CAP_SYS_ADMIN, which sees 64 bytes of configuration space",
      ["pktgen.ts", CARD],
      /only the header of its configuration space: .*`--cap-add SYS_ADMIN`/,
      { mounts: `(${card(`${FILES}; truncate -s 64 config`)})` },
    );
    await works("nic.ts doctor: /sys read-only", async () => {
      const mounts = `(${card(FILES)}); mount -o remount,ro "$R/sys"; touch "$R/dev/x"`;
      const { code, stdout } = await image.run(["nic.ts", "doctor"], { mounts });
      assertEquals(code, 1);
      assertMatch(stdout, /ok +container +namespaces of its own \(|ok +container +Docker/);
      assertMatch(
        stdout,
        /missing {2}\/sys +read-only\n +-> start the container with `-v \/sys:\/sys`/,
      );
      assertMatch(stdout, /sysfs and physical addresses: lacks .*\/sys/);
    });
    await refuses(
      "no VFIO device files",
      ["pktgen.ts", CARD],
      /open \/dev\/vfio\/7: no such file.*`--device \/dev\/vfio\/vfio --device \/dev\/vfio\/7`/,
      { mounts: `(${card(BOUND)})` },
    );
    await refuses(
      "a user namespace",
      ["pktgen.ts", CARD],
      /no permission to open .*\/config: run this as root, .*`--user 0 --userns host /,
      {
        mounts: `(${
          card(`${FILES}; chown 65534:65534 *`)
        }); chmod 600 "$R"/sys/bus/pci/devices/*/config`,
        prefix: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
      },
    );
    await works("nic.ts doctor: root of a user namespace", async () => {
      const options = { unshare: ["--user", "--map-root-user"], mounts: TMP };
      const { code, stdout } = await image.run(["nic.ts", "doctor"], options);
      assertEquals(code, 1);
      assertMatch(stdout, /ok +container .*with a user namespace/);
      assertMatch(
        stdout,
        /missing {2}root +yes, but of a user namespace.*\n.*`--user 0 --userns host`/,
      );
    });
    await works(
      "fwd.ts and the guard where memory cannot be executed (vm.memfd_noexec=2)",
      async () => {
        // The setting belongs to the PID namespace. Kernels before 6.3 do not have it.
        const mounts = `${TMP}; f="$R/proc/sys/vm/memfd_noexec"; [ ! -e "$f" ] || echo 2 >"$f"`;
        const guard = 'import { Guard } from "/ixy.ts/src/pci/guard.ts"; new Guard("a", 0).end();';
        const options = { mounts: `${mounts}; echo '${guard}' >"$R/tmp/guard.ts"` };
        const words = ["fwd.ts", "vfio-user:/tmp/a", "vfio-user:/tmp/b"];
        assertRefused(await image.run(words, options), /start the server of this device first/);
        const started = await image.run(["/tmp/guard.ts"], options);
        assertEquals([started.code, started.stderr], [0, ""]);
        const denied = await image.run(["/tmp/guard.ts"], { ...options, prefix: NO_MEMFD });
        assertEquals([denied.code, denied.stderr], [0, ""]);
      },
    );
    await refuses(
      "sim/main.ts on a read-only file system",
      ["sim/main.ts", "--socket", "a.sock", "--wire", "generator"],
      /cannot make socket a\.sock: read-only file system: use a path that/,
    );
    await refuses(
      "sim/main.ts without /dev/net/tun",
      ["sim/main.ts", "--socket", "/tmp/a.sock", "--wire", "tap:ixy0"],
      /\/dev\/net\/tun does not exist: .*`--cap-add NET_ADMIN --device \/dev\/net\/tun`/,
      { mounts: TMP },
    );
  },
});

Deno.test("programs say which permission of Deno is missing", async () => {
  const only = [Deno.execPath(), "run", "--quiet", "--no-prompt"];
  for (const flags of [[], [`--allow-ffi=${PROJECT}`]]) {
    const fwd = await run([...only, ...flags, `${PROJECT}fwd.ts`, CARD, "vfio-user:x"]);
    assertRefused(fwd, /run it with `deno run --allow-ffi`, without a path/);
  }
  assertRefused(await run(ffiOnly("demo.ts", [])), /Requires write access .*--allow-write/);
});

Deno.test("demo.ts says what is wrong with TMPDIR", async () => {
  for (
    const [TMPDIR, reason] of [["/nonexistent", "No such file"], ["/etc/passwd", "Not a directory"]]
  ) {
    const result = await run([Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}demo.ts`], {
      env: { TMPDIR },
    });
    assertRefused(result, new RegExp(`directory \\(${reason}.*\\): set TMPDIR to a directory`));
  }
});

/** Runs the body of a program's `main` with `endWith`, and with at most 256 open files. */
async function runMain(body: string): Promise<Result> {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("program.ts");
  const imports = [
    ["endWith", "programs/run.ts"],
    ["Program", "programs/process.ts"],
    ["DmaMemory", "src/dma.ts"],
    ["System", "nic/system.ts"],
    ["open, StopFlag", "mod.ts"],
    ["path, stubs", "native/stubs.ts"],
  ].map(([names, module]) => `import { ${names} } from "${PROJECT}${module}";\n`).join("");
  const uses = "[Program, DmaMemory, System, open, StopFlag, path, stubs];\n";
  const main = `await endWith(async () => { ${body}\n await 0; return 0; });\n`;
  await Deno.writeTextFile(file, imports + uses + main);
  const words = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi"];
  words.push("--allow-write", "--allow-run", "--config", `${PROJECT}deno.json`, file);
  const limited = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", ...words];
  return await run(limited, { env: { NO_COLOR: "1" } });
}

Deno.test("programs answer a limit of open files with one sentence", async () => {
  const calls = [
    'await open("vfio-user:/nonexistent/a");',
    "DmaMemory.allocate(1);",
    "new System().ethernetFunctions();",
    'Program.start(["true"]);',
  ];
  await Promise.all(calls.map(async (call) => {
    const { code, stdout, stderr } = await runMain(
      `while (stubs.ixy_open(path("/dev/null"), 0, 0) >= 0);\n${call}`,
    );
    assertMatch(stderr, /^error: [^\n]*too many open files[^\n]*`ulimit -n`[^\n]*\n$/i, call);
    assert(code === 1 || code === 2, call);
    assertEquals(stdout, "");
  }));
});

Deno.test("endWith() answers refused calls of Deno, and keeps the stack trace of a bug", async () => {
  const refused = await runMain(`Deno.writeTextFileSync("/nonexistent/x", "");`);
  assertRefused(refused, /No such file or directory: writefile '\/nonexistent\/x'/);
  assertRefused(await runMain(`Deno.readTextFileSync("/etc/passwd");`), /--allow-read/);
  const bug = await runMain(`const a: number[] = []; a[0].toFixed();`);
  assertEquals(bug.code, 1);
  assertMatch(bug.stderr, /^error: this is a bug in the program: report it with what follows\n/);
  assertMatch(bug.stderr, /TypeError: .*toFixed[^]*\n +at .*program\.ts/);
});
