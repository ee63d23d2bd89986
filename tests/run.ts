/**
 * Runs the tests: `deno task test`. As root it first installs the Debian packages that tests need;
 * as anybody else it says what root would add.
 *
 * @module
 */

/** Packages that tests use, and a program of each by which to see whether it is there. */
const PACKAGES: Readonly<Record<string, string>> = {
  gcc: "gcc",
  iproute2: "ip",
  "iputils-ping": "ping",
  tcpdump: "tcpdump",
  tshark: "tshark",
  "util-linux": "unshare",
};

async function succeeds(command: string, ...args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(command, {
    args,
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdout: "null",
    stderr: "inherit",
  }).output();
  return success;
}

async function installPackages(): Promise<void> {
  const missing: string[] = [];
  for (const [name, program] of Object.entries(PACKAGES)) {
    if (!await succeeds("sh", "-c", `command -v ${program}`)) missing.push(name);
  }
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(", ")}`);
  await succeeds("apt-get", "update", "-qq");
  if (!await succeeds("apt-get", "install", "-y", "-qq", "--no-install-recommends", ...missing)) {
    throw new Error(`cannot install ${missing.join(", ")}: install them by hand`);
  }
}

if (Deno.uid() === 0) await installPackages();

const child = new Deno.Command(Deno.execPath(), {
  args: ["test", "--allow-all", "--quiet", ...Deno.args],
  cwd: new URL("..", import.meta.url).pathname,
  env: { NO_COLOR: "1" },
  stdout: "piped",
}).spawn();
let output = "";
for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
  output += text;
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(await Deno.stdout.write(bytes));
}
const { success } = await child.status;
if (Deno.uid() !== 0) {
  console.log(
    "not run: what needs root, that is TAP devices, network namespaces and PCI devices; " +
      "run `sudo deno task test` for those",
  );
}
const count = (what: string) =>
  Number(output.match(new RegExp(`(\\d+) ${what}`, "g"))?.at(-1)?.split(" ")[0] ?? 0);
const skipped = count("ignored");
console.log(
  `${count("passed")} passed, ${count("failed")} failed${skipped ? `, ${skipped} skipped` : ""}`,
);
Deno.exit(success ? 0 : 1);
