/**
 * The guest's kernel: Debian's, with its modules and with the programs and libraries that the guest
 * runs on. Finds modules and what they need; does not load any.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { type Unpacked, unpackPackages } from "./debian.ts";
import { vmlinux } from "./vmlinux.ts";

/** The release of Debian that the guest is made of. */
export const SUITE = "bookworm";
/** Beside the kernel: the guest's shell, and what Deno is linked with. */
const USERLAND = ["busybox-static", "libc6", "libgcc-s1"];

/** A kernel that was built for clouds, and boots quickly, or the one with drivers for everything. */
export type Flavour = "cloud" | "full";

const PACKAGES: Readonly<Record<Flavour, string>> = {
  cloud: "linux-image-cloud-amd64",
  full: "linux-image-amd64",
};

/** A module of the kernel. */
export interface Module {
  /** Path below the directory of modules: `kernel/drivers/net/virtio_net.ko`. */
  readonly path: string;
  /** Paths of all modules that it needs, in the order in which they are loaded. */
  readonly needs: readonly string[];
}

/** A kernel that was unpacked. */
export class Kernel {
  private constructor(
    /** What was unpacked. */
    readonly unpacked: Unpacked,
    /** Its release: `6.1.0-50-cloud-amd64`. */
    readonly release: string,
    /** Path of the image that is booted. */
    readonly image: string,
  ) {}

  /**
   * Downloads and unpacks it, unless that was done before.
   *
   * @throws {UsageError} if it cannot be downloaded.
   */
  static async unpack(flavour: Flavour = "cloud"): Promise<Kernel> {
    const packages = [PACKAGES[flavour], ...USERLAND];
    const unpacked = await unpackPackages({ suite: SUITE, packages });
    const directory = `${unpacked.root}/lib/modules`;
    for await (const { name } of Deno.readDir(directory)) {
      const image = `${unpacked.root}/boot/vmlinuz-${name}`;
      // The kernel for clouds is small enough for the guest to unpack.
      return new Kernel(unpacked, name, flavour === "full" ? await vmlinux(image, name) : image);
    }
    throw new UsageError(`${directory}: is empty; remove ${unpacked.root}, and try again`);
  }

  /** Path of the directory that holds the modules. */
  get modules(): string {
    return `${this.unpacked.root}/lib/modules/${this.release}`;
  }

  /**
   * Modules with all that they need, each after those that it needs. Names of what is built into
   * the kernel are passed over.
   *
   * @throws {UsageError} if the kernel has no such module.
   */
  async inLoadOrder(names: readonly string[]): Promise<Module[]> {
    const paths = await this.#paths();
    const builtIn = new Set(
      (await Deno.readTextFile(`${this.modules}/modules.builtin`)).split("\n").map(nameOf),
    );
    const found = new Map<string, Module>();
    /** Paths of what is loaded for a module, its own the last. */
    const add = async (name: string): Promise<string[]> => {
      const path = paths.get(name);
      if (path === undefined) {
        if (builtIn.has(name)) return [];
        throw new UsageError(`Debian's kernel ${this.release} has no module ${name}`);
      }
      if (!found.has(name)) {
        const needs = new Set<string>();
        for (const need of await this.#depends(path)) {
          for (const needed of await add(need)) needs.add(needed);
        }
        found.set(name, { path, needs: [...needs] });
      }
      return [...found.get(name)!.needs, path];
    };
    for (const name of names) await add(nameOf(name));
    return [...found.values()];
  }

  /** The path of each module by its name. */
  async #paths(): Promise<Map<string, string>> {
    const paths = new Map<string, string>();
    const visit = async (directory: string) => {
      for await (const entry of Deno.readDir(`${this.modules}/${directory}`)) {
        const path = `${directory}/${entry.name}`;
        if (entry.isDirectory) await visit(path);
        else if (path.endsWith(".ko")) paths.set(nameOf(path), path);
      }
    };
    await visit("kernel");
    return paths;
  }

  /** What a module says that it needs: names in its section `.modinfo`. */
  async #depends(path: string): Promise<string[]> {
    const bytes = await Deno.readFile(`${this.modules}/${path}`);
    const text = new TextDecoder("latin1").decode(bytes);
    return (/\0depends=([^\0]*)\0/.exec(text)?.[1] ?? "").split(",").filter(Boolean).map(nameOf);
  }
}

/** A module's name as the kernel spells it, of its file's path or of another spelling. */
function nameOf(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.ko$/, "").replaceAll("-", "_");
}
