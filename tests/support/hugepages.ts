/**
 * Hugepages for tests with physical addresses. As root only; not a test itself.
 *
 * @module
 */

/** Reserves free 2 MiB pages while a test runs, and restores the number reserved before. */
export class Hugepages implements Disposable {
  readonly #before: number | undefined;

  constructor(pages: number) {
    const [total, free] = ["nr", "free"].map((name) => Hugepages.#file(name)).map((file) =>
      Number(Deno.readTextFileSync(file))
    );
    if (free >= pages) return;
    this.#before = total;
    Deno.writeTextFileSync(Hugepages.#file("nr"), String(total + pages));
  }

  /** The number of free pages. */
  static get free(): number {
    return Number(Deno.readTextFileSync(Hugepages.#file("free")));
  }

  static #file(name: string): string {
    return `/sys/kernel/mm/hugepages/hugepages-2048kB/${name}_hugepages`;
  }

  [Symbol.dispose](): void {
    if (this.#before === undefined) return;
    Deno.writeTextFileSync(Hugepages.#file("nr"), String(this.#before));
  }
}
