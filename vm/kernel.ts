/**
 * The guest's kernel from Debian, with its modules, and the guest's basic programs and libraries.
 * Finds modules and their dependencies; does not load them.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { UsageError } from "../src/errors.ts";
import { type Unpacked, unpackPackages } from "./debian.ts";
import { unxz, vmlinux } from "./vmlinux.ts";

/** Debian release of the guest. */
export const SUITE = "bookworm";
/** Packages beside the kernel: the guest's shell, and the libraries that Deno is linked with. */
const USERLAND = ["busybox-static", "libc6", "libgcc-s1"];

/**
 * `cloud`: a kernel for clouds, which boots quickly. `full`: a kernel with all drivers. `newest`: the
 * newest one with all drivers, of Debian's backports.
 */
export type Flavour = "cloud" | "full" | "newest";

const PACKAGES: Readonly<Record<Flavour, { readonly suite: string; readonly image: string }>> = {
  cloud: { suite: SUITE, image: "linux-image-cloud-amd64" },
  full: { suite: SUITE, image: "linux-image-amd64" },
  newest: { suite: "trixie-backports", image: "linux-image-amd64" },
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
    /** Path of the directory of modules. */
    readonly modules: string,
  ) {}

  /**
   * Downloads and unpacks a kernel; uses the cache if it has the kernel.
   *
   * @throws {UsageError} if the kernel cannot be downloaded.
   */
  static async unpack(flavour: Flavour = "cloud"): Promise<Kernel> {
    const { suite, image: wanted } = PACKAGES[flavour];
    const unpacked = await unpackPackages({ suite, packages: [wanted, ...USERLAND] });
    const { root } = unpacked;
    const directory = [`${root}/lib/modules`, `${root}/usr/lib/modules`].find(existsSync) ?? root;
    for await (const { name } of Deno.readDir(directory)) {
      const modules = `${directory}/${name}`;
      // Debian's newer packages have the image beside the modules.
      const image = [`${root}/boot/vmlinuz-${name}`, `${modules}/vmlinuz`].find(existsSync);
      if (image === undefined) continue;
      // The kernel for clouds is small enough for the guest to unpack.
      const unpack = flavour !== "cloud";
      return new Kernel(unpacked, name, unpack ? await vmlinux(image, name) : image, modules);
    }
    throw new UsageError(`${directory}: has no kernel; remove ${root}, and try again`);
  }

  /**
   * Returns the content of a module.
   *
   * @param path Its path below the directory of modules.
   * @throws {UsageError} if it is compressed, and this machine has no `xz`.
   */
  async content(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = `${this.modules}/${path}`;
    return existsSync(file) ? await Deno.readFile(file) : await unxz(`${file}.xz`);
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
        else if (/\.ko(\.xz)?$/.test(path)) paths.set(nameOf(path), path.replace(/\.xz$/, ""));
      }
    };
    await visit("kernel");
    return paths;
  }

  /** Returns the names of a module's dependencies, from its section `.modinfo`. */
  async #depends(path: string): Promise<string[]> {
    const text = new TextDecoder("latin1").decode(await this.content(path));
    return (/\0depends=([^\0]*)\0/.exec(text)?.[1] ?? "").split(",").filter(Boolean).map(nameOf);
  }
}

/** Returns a module's name in the kernel's spelling, from its path or from another spelling. */
function nameOf(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.ko(\.xz)?$/, "").replaceAll("-", "_");
}
