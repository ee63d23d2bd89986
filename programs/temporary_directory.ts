/**
 * Temporary directories for sockets and files.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";

/** A temporary directory. Disposing removes it with its contents. */
export class TemporaryDirectory implements AsyncDisposable {
  static readonly #all = new Set<TemporaryDirectory>();

  /** @param path Its path. */
  private constructor(readonly path: string) {
    TemporaryDirectory.#all.add(this);
  }

  /**
   * Creates one.
   *
   * @param parent The directory to create it in; default: the system's for temporary files.
   * @throws {UsageError} if that is not possible.
   */
  static make(parent?: string): Promise<TemporaryDirectory> {
    const options = { prefix: "ixy-", ...(parent !== undefined && { dir: parent }) };
    try {
      return Promise.resolve(new TemporaryDirectory(Deno.makeTempDirSync(options)));
    } catch (cause) {
      // EPERM, ENOENT, EACCES, ENOTDIR, EROFS, ELOOP: errors about the directory.
      const pattern = /^(.+) \(os error (?:1|2|13|20|30|40)\)/;
      const reason = cause instanceof Error && pattern.exec(cause.message)?.[1];
      if (!reason) throw cause;
      const where = parent === undefined ? "" : ` in ${parent}`;
      const remedy = parent === undefined
        ? "set TMPDIR to a directory that exists and is writable, in a container mount one with `--tmpfs /tmp`"
        : "use a directory that exists and is writable";
      throw new UsageError(`cannot create a temporary directory${where} (${reason}): ${remedy}`, {
        cause,
      });
    }
  }

  /** Removes all that exist, for a process that ends before it disposes of them. */
  static removeAll(): void {
    for (const directory of TemporaryDirectory.#all) directory.#remove();
  }

  /** Returns the path of a file in it. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Removes it. Idempotent. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#remove();
    return Promise.resolve();
  }

  #remove(): void {
    if (!TemporaryDirectory.#all.delete(this)) return;
    try {
      Deno.removeSync(this.path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it was in a removed one
    }
  }
}
