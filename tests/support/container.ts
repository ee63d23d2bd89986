/**
 * A container as Docker starts it, without Docker: a root file system that is read-only, namespaces of its
 * own, and no network. Root only; not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { PROJECT, type Result, run, TemporaryDirectory, tool } from "./processes.ts";
import { buildDeny } from "./seccomp.ts";

/** Directories of this machine that take the place of the image's. */
const IMAGE = ["usr", "lib", "lib64", "bin", "sbin", "etc"];

/** How a container differs from the default. */
export interface ContainerOptions {
  /** Shell commands that run before the root directory is entered; it is `$R`. */
  readonly mounts?: string;
  /** Words before the program's: a program that starts it. */
  readonly prefix?: readonly string[];
  /** Further options of unshare(1). */
  readonly unshare?: readonly string[];
}

/** What the lines of a Dockerfile say. */
export interface Dockerfile {
  readonly workdir: string;
  /** Sources and destination of each COPY. */
  readonly copies: readonly { readonly sources: readonly string[]; readonly to: string }[];
  /** Shell commands of RUN. */
  readonly runs: readonly string[];
  /** Words of ENTRYPOINT and CMD. */
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
}

/** Reads the project's Dockerfile. */
export function readDockerfile(): Dockerfile {
  const text = Deno.readTextFileSync(`${PROJECT}Dockerfile`).replaceAll("\\\n", " ");
  const lines = text.split("\n").map((line) => /^([A-Z]+) (.*)$/.exec(line)).filter((line) =>
    line !== null
  );
  const all = (name: string) => lines.filter(([, word]) => word === name).map(([, , rest]) => rest);
  const known = ["FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"];
  assertEquals(lines.filter(([, word]) => !known.includes(word)).map(([line]) => line), []);
  return {
    workdir: all("WORKDIR")[0],
    copies: all("COPY").map((words) => {
      const sources = words.split(/\s+/), to = sources.pop()!;
      return { sources, to };
    }),
    runs: all("RUN"),
    entrypoint: JSON.parse(all("ENTRYPOINT")[0]),
    cmd: JSON.parse(all("CMD")[0]),
  };
}

/** A root file system like the image that the Dockerfile describes. */
export class Image implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  readonly #dockerfile: Dockerfile;

  private constructor(directory: TemporaryDirectory, dockerfile: Dockerfile) {
    this.#directory = directory;
    this.#dockerfile = dockerfile;
  }

  /** Creates one, and carries out the COPY and RUN lines. Packages come from this machine's cache. */
  static async build(): Promise<Image> {
    const directory = await TemporaryDirectory.make(), dockerfile = readDockerfile();
    const root = directory.path, work = root + dockerfile.workdir;
    const empty = ["proc", "dev", "sys", "tmp", "var/tmp", "deno-dir", "image", ...IMAGE];
    await tool("mkdir", "-p", work, ...empty.map((name) => `${root}/${name}`));
    Deno.writeTextFileSync(`${root}/image/deno`, "");
    for (const { sources, to } of dockerfile.copies) {
      // As Docker: of a directory, the content.
      const from = sources.map((source) => {
        return Deno.statSync(PROJECT + source).isDirectory
          ? `${PROJECT}${source}/.`
          : PROJECT + source;
      });
      await tool("mkdir", "-p", `${work}/${to}`);
      await tool("cp", "-r", ...from, `${work}/${to}`);
    }
    await buildDeny(`${root}/image/deny`);
    const { denoDir } = JSON.parse(await tool(Deno.execPath(), "info", "--json"));
    await tool("cp", "-r", `${denoDir}/npm`, `${root}/deno-dir`);
    await tool("chmod", "755", root);
    const image = new Image(directory, dockerfile);
    for (const command of dockerfile.runs) {
      const { code, stderr } = await image.#command(["sh", "-c", command], {}, "rw");
      assertEquals([code, stderr], [0, ""], command);
    }
    return image;
  }

  #command(
    words: readonly string[],
    options: ContainerOptions,
    access: "ro" | "rw",
  ): Promise<Result> {
    const { mounts = "", prefix = [], unshare = [] } = options;
    const script = [
      "set -e",
      `R='${this.#directory.path}'`,
      'mount --bind "$R" "$R"',
      ...IMAGE.map((name) => `mount --bind -o ro /${name} "$R/${name}"`),
      `mount --bind '${Deno.execPath()}' "$R/image/deno"`,
      'mount -t proc proc "$R/proc"',
      'mount -t tmpfs -o mode=755 dev "$R/dev"',
      'for f in null zero urandom; do touch "$R/dev/$f"; mount --bind "/dev/$f" "$R/dev/$f"; done',
      mounts,
      `mount -o remount,bind,${access} "$R"`,
      `cd / && exec chroot "$R" /usr/bin/env -i HOME=/ PATH=/image:/usr/bin:/bin DENO_DIR=/deno-dir NO_COLOR=1 ` +
      `${prefix.join(" ")} sh -c 'cd ${this.#dockerfile.workdir} && exec "$@"' sh "$@"`,
    ];
    return run([
      ...[
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--ipc",
        "--uts",
        "--net",
        ...unshare,
      ],
      ...["sh", "-c", script.join("\n"), "sh", ...words],
    ], { milliseconds: 60000 });
  }

  /** Runs the entry point with arguments, as `docker run IMAGE ARGUMENT...`. */
  run(words: readonly string[], options: ContainerOptions = {}): Promise<Result> {
    const { entrypoint, cmd } = this.#dockerfile;
    return this.#command([...entrypoint, ...(words.length > 0 ? words : cmd)], options, "ro");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}
