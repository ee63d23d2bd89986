/**
 * Unpacks Debian packages and their dependencies into a directory: it installs nothing, runs no
 * package scripts, and does not need root. apt downloads and verifies them, with the mirror and the
 * proxies of the machine's apt.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { type Amount, Progress } from "../programs/progress.ts";
import { UsageError } from "../src/errors.ts";
import { cached, defaultCache } from "./cache.ts";
import { type HostResult, runOnHost } from "./command.ts";

/** Keyring that verifies the mirror's files; from the package `debian-archive-keyring`. */
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Longest that apt may take, and dpkg for one package, in milliseconds. */
const DOWNLOAD_MS = 300000, UNPACK_MS = 60000;
/** Longest that listing a program's libraries may take, in milliseconds. */
const LIST_MS = 10000;
/** Packages unpacked at once. */
const PARALLEL = 4;

const PROGRAM_DIRECTORIES = ["usr/bin", "usr/sbin", "bin", "sbin", "usr/libexec"];
const LIBRARY_DIRECTORIES = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/** What to unpack. */
export interface UnpackOptions {
  /** Debian suite: `bookworm`, `trixie-backports`. */
  readonly suite: string;
  /** Names of packages. */
  readonly packages: readonly string[];
  /** Directory that keeps the unpacked tree; default: `ixy.ts` in the user's cache directory. */
  readonly cache?: string;
}

/** Unpacked packages. */
export class Unpacked {
  /** @param root Directory of the unpacked tree, in place of `/`. */
  constructor(readonly root: string) {}

  /**
   * Returns the command line that runs one of their programs with their own loader and libraries.
   *
   * @param program Name of the program.
   * @throws {UsageError} if the packages have no such program.
   */
  command(program: string): string[] {
    return [...this.#loader(), "--argv0", program, this.program(program)];
  }

  /**
   * Returns the path of one of their programs.
   *
   * @throws {UsageError} if the packages have no such program.
   */
  program(name: string): string {
    return this.#find(PROGRAM_DIRECTORIES, name);
  }

  /**
   * Returns the path of one of their files.
   *
   * @param path Its path once the package is installed: `/usr/share/…`.
   * @throws {UsageError} if the packages have no such file.
   */
  file(path: string): string {
    const name = path.lastIndexOf("/") + 1;
    return this.#find([path.slice(1, name - 1)], path.slice(name));
  }

  /**
   * Returns the path of one of their libraries.
   *
   * @param name Its file name: `libc.so.6`.
   * @throws {UsageError} if the packages have no such library.
   */
  library(name: string): string {
    return this.#find(LIBRARY_DIRECTORIES, name);
  }

  /**
   * Returns the libraries that one of their programs is linked with.
   *
   * @returns The path of each library, by its name.
   * @throws {UsageError} if the packages lack the program or one of its libraries.
   */
  async libraries(program: string): Promise<Map<string, string>> {
    const path = this.program(program);
    const listed = await runOnHost([...this.#loader(), "--list", path], LIST_MS);
    if (!listed?.success) throw new UsageError(`${path}: ${complaint(listed)}`);
    const found = listed.stdout.matchAll(/^\s*(\S+) => (\/\S+) /gm);
    return new Map(Array.from(found, ([, name, file]) => [name, file]));
  }

  #loader(): string[] {
    const loader = this.library("ld-linux-x86-64.so.2");
    const libraries = LIBRARY_DIRECTORIES.map((directory) => `${this.root}/${directory}`).join(":");
    return [loader, "--library-path", libraries];
  }

  #find(directories: readonly string[], name: string): string {
    for (const directory of directories) {
      const path = `${this.root}/${directory}/${name}`;
      if (existsSync(path)) return path;
    }
    throw new UsageError(`${this.root}: has no ${name}; remove this directory, and try again`);
  }
}

/**
 * Unpacks Debian packages and their dependencies. The tree is cached: a second call returns at
 * once.
 *
 * @throws {UsageError} if the packages cannot be downloaded; the message says what to install by
 * hand.
 */
export async function unpackPackages(options: UnpackOptions): Promise<Unpacked> {
  const { suite, packages, cache = defaultCache() } = options;
  const name = `debian/${suite}/${[...packages].sort().join(",")}`;
  const root = await cached(cache, name, async (path) => {
    using progress = new Progress("vm");
    const apt = await Apt.configure(`${path}.apt`, suite, packages);
    await apt.download(packages, progress);
    await Deno.mkdir(path);
    const debs = await apt.downloaded(), total = debs.length;
    let done = 0;
    const show = () => {
      const stage = `unpacking ${packages.join(" ")}`;
      progress.show(stage, { done, total, unit: "packages", steady: false });
    };
    show();
    const unpackSome = async () => {
      for (let deb = debs.pop(); deb !== undefined; deb = debs.pop()) {
        const result = await runOnHost(["dpkg", "-x", deb, path], UNPACK_MS);
        if (!result?.success) throw new UsageError(`cannot unpack ${deb}: ${complaint(result)}`);
        done++;
        show();
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, unpackSome));
    await Deno.remove(`${path}.apt`, { recursive: true });
  });
  return new Unpacked(root);
}

/**
 * apt with its own state, in which no package is installed, so that it downloads every dependency.
 */
class Apt {
  readonly #directory: string;
  readonly #suite: string;
  readonly #packages: string;

  private constructor(directory: string, suite: string, packages: readonly string[]) {
    this.#directory = directory;
    this.#suite = suite;
    this.#packages = packages.join(" ");
  }

  /** Creates the directory of an apt with one suite, and with the base suite of backports. */
  static async configure(
    directory: string,
    suite: string,
    packages: readonly string[],
  ): Promise<Apt> {
    const apt = new Apt(directory, suite, packages);
    const dump = await runOnHost(["apt-config", "dump"], DOWNLOAD_MS);
    if (dump === undefined) throw apt.#cannot("this machine has no apt");
    if (!existsSync(KEYRING)) throw apt.#cannot(`${KEYRING} is missing (debian-archive-keyring)`);
    const mirror = await apt.#mirror();
    for (const name of ["etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"]) {
      await Deno.mkdir(`${directory}/${name}`, { recursive: true });
    }
    const suites = new Set([suite.replace(/-backports$/, ""), suite]);
    const sources = [...suites].map((name) =>
      `deb [signed-by=${KEYRING}] ${mirror} ${name} main\n`
    );
    await Deno.writeTextFile(`${directory}/etc/apt/sources.list`, sources.join(""));
    await Deno.writeTextFile(`${directory}/status`, "");
    const network = dump.stdout.split("\n").filter((line) =>
      /^Acquire::(https?|Retries)/.test(line)
    );
    const configuration = [
      ...network,
      `Dir "${directory}/";`,
      `Dir::State::status "${directory}/status";`,
      `APT::Architecture "amd64";`,
      `APT::Architectures { "amd64"; };`,
      `APT::Install-Recommends "false";`,
      `APT::Sandbox::User "root";`, // apt's own user must not write here
      `APT::Update::Error-Mode "any";`,
      `Acquire::Languages "none";`,
    ];
    await Deno.writeTextFile(`${directory}/apt.conf`, configuration.join("\n") + "\n");
    return apt;
  }

  /** Downloads packages with their dependencies, and verifies them. */
  async download(packages: readonly string[], progress: Progress): Promise<void> {
    const install = ["install", "-y", "--download-only", "-t", this.#suite, ...packages];
    const steps = [
      {
        args: ["update"],
        stage: `fetching the package lists of Debian ${this.#suite}`,
        unit: "files",
      },
      {
        args: install,
        stage: `fetching ${this.#packages} of Debian ${this.#suite}`,
        unit: "packages",
      },
    ];
    for (const { args, stage, unit } of steps) {
      const env = { APT_CONFIG: `${this.#directory}/apt.conf` };
      const command = ["apt-get", "-q", "-o", "APT::Status-Fd=1", ...args];
      progress.show(stage);
      const result = await runOnHost(command, DOWNLOAD_MS, env, (line) => {
        const amount = downloaded(line, unit);
        if (amount !== undefined) progress.show(stage, amount);
      });
      if (!result?.success) throw this.#cannot(complaint(result));
    }
  }

  /** Returns the paths of the downloaded packages. */
  async downloaded(): Promise<string[]> {
    const archives = `${this.#directory}/var/cache/apt/archives`;
    const entries = await Array.fromAsync(Deno.readDir(archives));
    return entries.filter(({ name }) => name.endsWith(".deb")).map(({ name }) =>
      `${archives}/${name}`
    );
  }

  /** Returns the Debian mirror of the machine's own configuration. */
  async #mirror(): Promise<string> {
    const format = "$(REPO_URI) $(LABEL)";
    const targets = await runOnHost(["apt-get", "indextargets", "--format", format], DOWNLOAD_MS);
    const lines = targets?.stdout.trim().split("\n") ?? [];
    // The label is in the index, which apt on a fresh image may not have downloaded yet.
    const line = lines.find((line) => line.endsWith(" Debian")) ??
      lines.find((line) => /\/debian\/? /.test(line));
    if (line === undefined) throw this.#cannot("apt's configuration has no Debian mirror");
    return line.split(" ")[0];
  }

  #cannot(problem: string): UsageError {
    return new UsageError(
      `cannot download ${this.#packages} of Debian ${this.#suite}: ${problem}; ` +
        `fix that, or install ${this.#packages} by hand`,
    );
  }
}

/**
 * Returns the progress of apt's downloads from a line that it printed, or undefined for other
 * lines. See README.progress-reporting in apt's documentation.
 */
function downloaded(line: string, unit: string): Amount | undefined {
  const [, percent, done, total] =
    /^dlstatus:\d+:([\d.]+):Retrieving file (\d+) of (\d+)/.exec(line) ?? [];
  if (total === undefined) return undefined;
  return { done: Number(done), total: Number(total), unit, share: Number(percent) / 100 };
}

/** Returns the first error that apt or dpkg printed. */
function complaint(result: HostResult | undefined): string {
  if (result === undefined) return "the program is missing";
  const lines = result.stderr.trim().split("\n");
  return (lines.find((line) => /^(E|dpkg.*error):/.test(line)) ?? lines.at(-1)!)
    .replace(/^E: /, "");
}
