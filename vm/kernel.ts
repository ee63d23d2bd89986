/**
 * The guest's kernel from Debian, with its modules, and the guest's basic programs and libraries.
 * Finds modules and their dependencies; does not load them.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { type Unpacked, unpackPackages } from "./debian.ts";
import { vmlinux } from "./vmlinux.ts";

/** Debian release of the guest. */
export const SUITE = "bookworm";
/** Packages beside the kernel: the guest's shell, and the libraries that Deno is linked with. */
const USERLAND = ["busybox-static", "libc6", "libgcc-s1"];

/** `cloud`: a kernel for clouds, which boots quickly. `full`: a kernel with all drivers. */
export type Flavour = "cloud" | "full";

const PACKAGES: Readonly<Record<Flavour, string>> = {
  cloud: "linux-image-cloud-amd64",
  full: "linux-image-amd64",
};

/** A module of the kernel. */
export interface Module {
  /** Path below the directory of modules: `kernel/drivers/net/virtio_net.ko`. */
  readonly path: string;
  /** Paths of its dependencies, in the order in which they are loaded. */
  readonly needs: readonly string[];
}

/** An unpacked kernel. */
export class Kernel {
  private constructor(
    /** The unpacked packages. */
    readonly unpacked: Unpacked,
    /** Its release: `6.1.0-50-cloud-amd64`. */
    readonly release: string,
    /** Path of the image to boot. */
    readonly image: string,
  ) {}

  /**
   * Downloads and unpacks a kernel; uses the cache if it has the kernel.
   *
   * @throws {UsageError} if the kernel cannot be downloaded.
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

  /** Path of the directory of modules. */
  get modules(): string {
    return `${this.unpacked.root}/lib/modules/${this.release}`;
  }

  /**
   * Returns modules with all of their dependencies, each after those that it depends on. Names of
   * built-in modules are ignored.
   *
   * @throws {UsageError} if the kernel lacks a module.
   */
  async inLoadOrder(names: readonly string[]): Promise<Module[]> {
    const paths = await this.#paths();
    const builtIn = new Set(
      (await Deno.readTextFile(`${this.modules}/modules.builtin`)).split("\n").map(nameOf),
    );
    const found = new Map<string, Module>();
    /** Adds a module; returns the paths to load for it, its own last. */
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

  /** Returns the path of each module, by its name. */
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

  /** Returns the names of a module's dependencies, from its section `.modinfo`. */
  async #depends(path: string): Promise<string[]> {
    const bytes = await Deno.readFile(`${this.modules}/${path}`);
    const text = new TextDecoder("latin1").decode(bytes);
    return (/\0depends=([^\0]*)\0/.exec(text)?.[1] ?? "").split(",").filter(Boolean).map(nameOf);
  }
}

/** Returns a module's name in the kernel's spelling, from its path or from another spelling. */
function nameOf(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.ko$/, "").replaceAll("-", "_");
}
