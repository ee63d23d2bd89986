/**
 * Temporary directories for sockets and files.
 *
 * @module
 */

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
   */
  static make(parent?: string): Promise<TemporaryDirectory> {
    const options = { prefix: "ixy-", ...(parent !== undefined && { dir: parent }) };
    return Promise.resolve(new TemporaryDirectory(Deno.makeTempDirSync(options)));
  }

  /** Removes all that exist, for a process that ends before it has disposed of them. */
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
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it was in another one
    }
  }
}
