/**
 * Temporary directories for sockets and files.
 *
 * @module
 */

/** A temporary directory. Disposing removes it with its contents. */
export class TemporaryDirectory implements AsyncDisposable {
  /** @param path Its path. */
  private constructor(readonly path: string) {}

  /**
   * Creates one.
   *
   * @param parent The directory to create it in; default: the system's for temporary files.
   */
  static async make(parent?: string): Promise<TemporaryDirectory> {
    const options = { prefix: "ixy-", ...(parent !== undefined && { dir: parent }) };
    return new TemporaryDirectory(await Deno.makeTempDir(options));
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
