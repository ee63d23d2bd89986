/**
 * Directories for sockets and files that nobody needs later.
 *
 * @module
 */

/** A directory that is removed with all that is in it. */
export class TemporaryDirectory implements AsyncDisposable {
  /** @param path Where it is. */
  private constructor(readonly path: string) {}

  /**
   * Makes one.
   *
   * @param parent The directory to make it in; default the system's for temporary files.
   */
  static async make(parent?: string): Promise<TemporaryDirectory> {
    const options = { prefix: "ixy-", ...(parent !== undefined && { dir: parent }) };
    return new TemporaryDirectory(await Deno.makeTempDir(options));
  }

  /** The path of a file in it. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
