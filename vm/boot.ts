/**
 * Prepares the boot of a virtual machine: its kernel, its file system, and QEMU's command line.
 * Does not start it.
 *
 * @module
 */

import { Mapping } from "../native/mapping.ts";
import { baseArchive, projectArchive } from "./initramfs.ts";
import { type Flavour, Kernel } from "./kernel.ts";
import { programArchive, type Programs } from "./programs.ts";
import { findQemu } from "./qemu.ts";

/** Options of a virtual machine. */
export interface MachineOptions {
  /** QEMU's machine: `pc` has PCI, `q35` PCI Express; default: `pc`. */
  readonly machine?: "pc" | "q35";
  /** More arguments for QEMU, for example devices. */
  readonly arguments?: readonly string[];
  /** More words for the kernel's command line. */
  readonly append?: string;
  /** Memory in MiB; default: 1024. */
  readonly memory?: number;
  /** Hugepages of 2 MiB that the guest reserves; default: a quarter of its memory. */
  readonly hugepages?: number;
  /** Whether the host's KVM runs the guest; default: QEMU emulates the processor. */
  readonly kvm?: boolean;
  /** Oldest acceptable version of QEMU; default: 7.2. */
  readonly qemu?: string;
  /** Which of Debian's kernels; default: `cloud`. */
  readonly kernel?: Flavour;
  /** Programs and files of Debian packages to install in the guest: `{ ethtool: ["ethtool"] }`. */
  readonly programs?: Programs;
  /** Modules that the guest can load, in addition to {@linkcode MODULES}. */
  readonly modules?: readonly string[];
}

/** Modules that every guest can load with `modprobe`. The guest loads none by itself. */
export const MODULES: readonly string[] = [
  "virtio_pci",
  "virtio_net",
  "vfio_pci",
  "vfio_iommu_type1",
];

/** Everything that a boot needs. */
export class Boot implements Disposable {
  /** QEMU's command line, without the back-ends of the serial ports. */
  readonly command: readonly string[];
  readonly #initrd: Mapping;

  private constructor(command: readonly string[], initrd: Mapping) {
    this.command = command;
    this.#initrd = initrd;
  }

  /**
   * Finds QEMU and the kernel, and builds the guest's file system.
   *
   * @param shell Size of the terminal, `ROWSxCOLUMNS`, for a shell instead of the agent.
   * @throws {UsageError} if something is missing and cannot be downloaded.
   */
  static async prepare(options: MachineOptions, shell?: string): Promise<Boot> {
    const qemu = await findQemu(options.qemu);
    const kernel = await Kernel.unpack(options.kernel);
    const modules = await kernel.inLoadOrder([...MODULES, ...options.modules ?? []]);
    const programs = await programArchive(options.programs ?? {});
    const initrd = await fileSystem(await baseArchive(kernel, modules), programs);
    const memory = options.memory ?? 1024;
    const append = [
      "console=ttyS0 quiet",
      "panic=-1", // reboots at once, and QEMU then ends (-no-reboot)
      `hugepages=${options.hugepages ?? memory >> 3}`,
      shell === undefined ? "" : `ixy_shell=${shell} TERM=${Deno.env.get("TERM") ?? "vt100"}`,
      options.append ?? "",
    ];
    const command = [
      ...qemu,
      ...["-machine", options.machine ?? "pc", "-m", String(memory), "-smp", "2"],
      ...(options.kvm ? ["-accel", "kvm"] : ["-accel", "tcg,thread=multi"]),
      ...["-cpu", options.kvm ? "host" : "max"],
      ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
      // The initrd has no name in a file system, so that nothing has to be removed.
      ...["-kernel", kernel.image, "-initrd", `/proc/${Deno.pid}/fd/${initrd.fd}`],
      ...["-append", append.filter(Boolean).join(" ")],
      ...options.arguments ?? [],
    ];
    return new Boot(command, initrd);
  }

  /** Frees the memory of the file system: QEMU has read it once the guest runs. */
  [Symbol.dispose](): void {
    this.#initrd.unmap();
  }
}

/** Returns all archives, one after another, in memory. */
async function fileSystem(base: string, programs: readonly Uint8Array[]): Promise<Mapping> {
  const others = [...programs, ...await projectArchive()];
  using file = await Deno.open(base);
  const { size } = await file.stat();
  const bytes = others.reduce((sum, part) => sum + part.length, size);
  const mapping = Mapping.memory(bytes, false);
  try {
    const to = new Uint8Array(mapping.buffer);
    let at = 0;
    while (at < size) at += file.readSync(to.subarray(at, size)) ?? Infinity;
    if (at !== size) throw new Error(`${base} changed while it was read: try again`);
    for (const part of others) {
      to.set(part, at);
      at += part.length;
    }
    return mapping;
  } catch (error) {
    mapping.unmap();
    throw error;
  }
}
