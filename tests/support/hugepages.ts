/**
 * Hugepages for tests of what reaches devices by physical addresses. As root only; not a test itself.
 *
 * @module
 */

/** 2 MiB pages that are free while a test runs; what was reserved before is put back. */
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

  /** How many are free. */
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
