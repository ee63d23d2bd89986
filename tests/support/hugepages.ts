/**
 * Hugepages for tests with physical addresses. As root only; not a test itself.
 *
 * @module
 */

/** Reserves free hugepages while a test runs, and restores the number reserved before. */
export class Hugepages implements Disposable {
  readonly #kiB: number;
  readonly #before: number | undefined;

  /**
   * Reserves pages.
   *
   * @param kiB Size of a page: 2048, or 1048576 where the machine has them.
   */
  constructor(pages: number, kiB = 2048) {
    this.#kiB = kiB;
    const [total, free] = ["nr", "free"].map((name) => Hugepages.#file(name, kiB)).map((file) =>
      Number(Deno.readTextFileSync(file))
    );
    if (free >= pages) return;
    this.#before = total;
    Deno.writeTextFileSync(Hugepages.#file("nr", kiB), String(total + pages));
  }

  /** The number of free pages of 2 MiB. */
  static get free(): number {
    return Hugepages.freeOf(2048);
  }

  /** Returns the number of free pages of a size; 0 if the machine has no pages of this size. */
  static freeOf(kiB: number): number {
    try {
      return Number(Deno.readTextFileSync(Hugepages.#file("free", kiB)));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0;
      throw error;
    }
  }

  static #file(name: string, kiB: number): string {
    return `/sys/kernel/mm/hugepages/hugepages-${kiB}kB/${name}_hugepages`;
  }

  [Symbol.dispose](): void {
    if (this.#before === undefined) return;
    Deno.writeTextFileSync(Hugepages.#file("nr", this.#kiB), String(this.#before));
  }
}

/**
 * A control group with a limit of hugepages. Kubernetes sets it to 0 for containers that request none.
 * Needs root and cgroup v2 with the controller hugetlb.
 */
export class HugepagesGroup implements Disposable {
  readonly #directory: string;
  /** The file with the root's controllers, if the controller was turned on there. */
  readonly #control: string | undefined;

  private constructor(directory: string, control: string | undefined) {
    this.#directory = directory;
    this.#control = control;
  }

  /** Whether this machine can have such a group. */
  static get available(): boolean {
    using group = HugepagesGroup.make(0);
    return group !== undefined;
  }

  /**
   * Returns a group; undefined if this machine cannot have one.
   *
   * @param pages The most hugepages of 2 MiB.
   */
  static make(pages: number): HugepagesGroup | undefined {
    const mounts = Deno.readTextFileSync("/proc/self/mounts");
    const root = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
    if (root === undefined || Deno.uid() !== 0) return undefined;
    const directory = `${root}/ixy-test-${crypto.randomUUID()}`;
    const control = `${root}/cgroup.subtree_control`;
    let on = false;
    try {
      on = Deno.readTextFileSync(control).split(/\s/).includes("hugetlb");
      Deno.writeTextFileSync(control, "+hugetlb");
      Deno.mkdirSync(directory);
    } catch {
      return undefined; // v1 has the controller, or this is a container
    }
    const group = new HugepagesGroup(directory, on ? undefined : control);
    Deno.writeTextFileSync(`${directory}/hugetlb.2MB.max`, String(pages * 2 ** 21));
    return group;
  }

  /** Returns a command line that runs a command in the group. */
  command(...command: readonly string[]): string[] {
    return [
      "sh",
      "-c",
      'echo $$ > "$0" && exec "$@"',
      `${this.#directory}/cgroup.procs`,
      ...command,
    ];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#directory);
    if (this.#control !== undefined) Deno.writeTextFileSync(this.#control, "-hugetlb");
  }
}
