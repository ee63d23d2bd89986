/**
 * Installs the Debian packages that tests need. Not a test itself.
 *
 * @module
 */

/** Returns what a program prints; undefined if it fails or is not installed. */
async function output(command: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(command, {
      args,
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stderr: "inherit",
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return undefined; // not Debian
  }
}

/** Returns the names of the packages that are not installed. */
async function missing(packages: readonly string[]): Promise<string[]> {
  const status = await output("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n");
  const installed = (status ?? "").split("\n").filter((line) => line.startsWith("ii"))
    .map((line) => line.slice(2).trim());
  return packages.filter((name) => !installed.some((other) => matches(other, name)));
}

function matches(name: string, wanted: string): boolean {
  return wanted.endsWith("*")
    ? /^\d/.test(name.slice(wanted.length - 1)) && name.startsWith(wanted.slice(0, -1))
    : name === wanted;
}

/** The last installation: apt does one at a time. */
let last: Promise<void> = Promise.resolve();

/**
 * Installs missing Debian packages; root only. An installation waits for the one before it.
 *
 * @param packages Names; one ends with `*` where a version follows.
 * @throws {Error} if apt fails; it says what to install by hand.
 */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const names = await missing(packages);
  if (names.length === 0) return;
  last = last.catch(() => {}).then(() => install(names)); // its caller has the error of the one before
  await last;
}

async function install(names: readonly string[]): Promise<void> {
  console.log(`installing ${names.join(", ")}`);
  await output("apt-get", "update", "-qq");
  const known = (await output("apt-cache", "pkgnames") ?? "").split("\n");
  const exact = names.map((name) => known.find((other) => matches(other, name)) ?? name);
  const args = ["install", "-y", "-qq", "--no-install-recommends", ...exact];
  if (await output("apt-get", ...args) === undefined) {
    throw new Error(`cannot install ${exact.join(", ")}: install them by hand`);
  }
}
