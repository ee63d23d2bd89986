/**
 * Runs the tests: `deno task test`, or a suite by its name. As root it first installs the Debian
 * packages that the suite needs; as anybody else it says what root would add.
 *
 * @module
 */

import { installPackages } from "./support/packages.ts";
import { TESTPMD_PACKAGES } from "./support/testpmd.ts";
import { VAGRANT_PACKAGES } from "./vagrant/packages.ts";

/** Tests that are run together. */
interface Suite {
  /** The folder that they are in. */
  readonly folder: string;
  /** Folders in it that belong to other suites. */
  readonly without?: readonly string[];
  /** Debian packages that they use; a name ends with `*` where a version follows. */
  readonly packages: readonly string[];
  /** What only root can run of them. */
  readonly root: string;
}

const NETWORK = ["iproute2", "iputils-ping", "mount", "tcpdump", "tshark", "util-linux"];

const SUITES: Readonly<Record<string, Suite>> = {
  native: {
    folder: "tests",
    without: ["tests/vm", "tests/vagrant"],
    packages: ["gcc", ...NETWORK, ...TESTPMD_PACKAGES],
    root: "what needs TAP devices, network namespaces, PCI devices and DPDK",
  },
  vm: {
    folder: "tests/vm",
    packages: ["xz-utils", ...NETWORK],
    root: "what needs TAP devices and network namespaces",
  },
  vagrant: {
    folder: "tests/vagrant",
    packages: VAGRANT_PACKAGES,
    root: "everything: libvirt and the box are root's",
  },
};

/** How many tests of a run did what. */
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs the tests of a suite, and prints what they print as it comes. */
async function runSuite(suite: Suite, args: readonly string[]): Promise<Counts> {
  if (Deno.uid() === 0) await installPackages(suite.packages);
  else console.log(`not run: ${suite.root}; run this as root for that`);
  const { folder, without = [] } = suite;
  const ignored = without.length > 0 ? [`--ignore=${without.join()}`] : [];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--quiet", ...ignored, ...args, folder],
    cwd: new URL("..", import.meta.url).pathname,
    env: { NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  let text = "";
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += piece;
    let bytes = new TextEncoder().encode(piece);
    while (bytes.length > 0) bytes = bytes.subarray(await Deno.stdout.write(bytes));
  }
  const { success } = await child.status;
  const count = (what: string) =>
    Number(text.match(new RegExp(`(\\d+) ${what}`, "g"))?.at(-1)?.split(" ")[0] ?? 0);
  const failed = count("failed");
  // Tests that could not even be loaded are counted by nobody.
  return {
    passed: count("passed"),
    failed: success ? failed : Math.max(failed, 1),
    skipped: count("ignored"),
  };
}

/** The suites named first among the arguments; the rest is for `deno test`. */
function chosen(args: string[]): [Suite[], string[]] {
  const [name, ...rest] = args;
  if (name === "all") return [Object.values(SUITES), rest];
  if (name in SUITES) return [[SUITES[name]], rest];
  return [[SUITES.native], args];
}

const [suites, args] = chosen(Deno.args);
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites) {
  const counts = await runSuite(suite, args);
  for (const key of ["passed", "failed", "skipped"] as const) total[key] += counts[key];
}
const { passed, failed, skipped } = total;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
Deno.exit(failed === 0 ? 0 : 1);
