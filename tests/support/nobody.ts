/**
 * Programs of this project as another user, with some capabilities or none: that user reaches neither this
 * user's directories nor Deno, so both are mounted elsewhere. As root only; not a test itself.
 *
 * @module
 */

import { PROJECT, type Result, run, TemporaryDirectory } from "./processes.ts";

const USER = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/** Another user. */
export class Nobody implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  /** Where the user finds the project. */
  readonly project: string;
  readonly #deno: string;
  readonly #cache: string;

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
    this.project = directory.file("project");
    this.#deno = directory.file("deno");
    this.#cache = directory.file("cache");
  }

  /** Makes the directory in which the user finds things. */
  static async make(): Promise<Nobody> {
    const nobody = new Nobody(await TemporaryDirectory.make());
    await Deno.writeTextFile(nobody.#deno, "");
    for (const directory of [nobody.project, nobody.#cache]) await Deno.mkdir(directory);
    await Deno.chmod(nobody.#directory.path, 0o755);
    return nobody;
  }

  /**
   * Runs a program of the project.
   *
   * @param capabilities All capabilities of the process: `net_raw`.
   * @param words Flags of Deno, the program's path, its arguments.
   * @param before A shell command that root runs first.
   */
  async run(
    capabilities: readonly string[],
    words: readonly string[],
    before = "true",
  ): Promise<Result> {
    const { stdout } = await run([Deno.execPath(), "info", "--json"]);
    const { denoDir } = JSON.parse(stdout);
    const mounts = [[Deno.execPath(), this.#deno], [PROJECT, this.project], [denoDir, this.#cache]]
      .map(([from, to]) => `mount --bind '${from}' '${to}'`);
    const set = ["-all", ...capabilities.map((name) => `+${name}`)].join();
    const user = ["setpriv", ...USER, `--inh-caps=${set}`, `--ambient-caps=${set}`];
    const shell = [...mounts, before, 'exec "$@"'].join(" && ");
    const deno = [this.#deno, "run", "--quiet", "--no-prompt", "--cached-only", "--allow-ffi"];
    return await run(["unshare", "-m", "sh", "-c", shell, "sh", ...user, ...deno, ...words], {
      env: { DENO_DIR: this.#cache },
    });
  }

  /** Writes a program, which the user can run. */
  async program(name: string, text: string): Promise<string> {
    const file = this.#directory.file(name);
    await Deno.writeTextFile(file, text);
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
  }
}
