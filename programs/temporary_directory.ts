/**
 * Temporary directories for sockets and files.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";

/** A temporary directory. Disposing removes it with its contents. */
export class TemporaryDirectory implements AsyncDisposable {
  /** @param path Its path. */
  private constructor(readonly path: string) {}

  /**
   * Creates one.
   *
   * @param parent The directory to create it in; default: the system's for temporary files.
   * @throws {UsageError} if that is not possible.
   */
  static async make(parent?: string): Promise<TemporaryDirectory> {
    const options = { prefix: "ixy-", ...(parent !== undefined && { dir: parent }) };
    try {
      return new TemporaryDirectory(await Deno.makeTempDir(options));
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

  /** Returns the path of a file in it. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
