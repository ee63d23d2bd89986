/**
 * A directory tree like the kernel's, with PCI functions. Not a test itself.
 *
 * @module
 */

import { System } from "../../nic/system.ts";

/** Functions of a card. */
export const CARD = "0000:03:00.0", TWIN = "0000:03:00.1";
/** Where the kernel lists PCI functions. */
export const DEVICES = "/sys/bus/pci/devices";
/** Bytes of the registers of an 82599. */
export const BAR_BYTES = 512 * 1024;

/** Properties of a function in the tree. */
interface Made {
  readonly id?: number;
  readonly vendor?: number;
  readonly class?: string;
  readonly driver?: string;
  /** The register COMMAND; default: memory space is on. */
  readonly command?: number;
}

/** A directory with files like the kernel's. */
export class Tree implements Disposable {
  readonly root = Deno.makeTempDirSync();
  readonly system = new System(this.root);

  constructor() {
    this.write("/sys/bus/pci/drivers_probe", "");
    this.write(
      "/proc/net/route",
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n",
    );
  }

  write(file: string, text: string | Uint8Array): void {
    const path = this.root + file;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (typeof text === "string") Deno.writeTextFileSync(path, text);
    else Deno.writeFileSync(path, text);
  }

  read(file: string): string {
    return Deno.readTextFileSync(this.root + file);
  }

  link(file: string, to: string): void {
    Deno.mkdirSync(this.root + file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.mkdirSync(this.root + to, { recursive: true });
    Deno.symlinkSync(this.root + to, this.root + file);
  }

  /** Adds a PCI function; default: an 82599 SFP+ without a driver. */
  add(address: string, made: Made = {}): void {
    const { id = 0x10fb, vendor = 0x8086, driver, command = 0x0002 } = made;
    const directory = `${DEVICES}/${address}`;
    this.write(`${directory}/vendor`, `0x${vendor.toString(16)}\n`);
    this.write(`${directory}/device`, `0x${id.toString(16).padStart(4, "0")}\n`);
    this.write(`${directory}/class`, `${made.class ?? "0x020000"}\n`);
    this.write(`${directory}/driver_override`, "(null)\n");
    this.write(`${directory}/modalias`, "pci:v00008086d000010FB\n");
    const config = new DataView(new ArrayBuffer(256));
    config.setUint16(0, vendor, true);
    config.setUint16(2, id, true);
    config.setUint16(4, command, true);
    this.write(`${directory}/config`, new Uint8Array(config.buffer));
    if (driver === undefined) return;
    this.link(`${directory}/driver`, `/sys/bus/pci/drivers/${driver}`);
    this.write(`/sys/bus/pci/drivers/${driver}/unbind`, "");
  }

  /** Adds an interface with these IFF_ flags to a function. */
  interface(address: string, name: string, flags: string, child = ""): void {
    this.write(`${DEVICES}/${address}${child}/net/${name}/flags`, `${flags}\n`);
  }

  /** Puts functions into an IOMMU group. */
  group(number: string, type: string, ...addresses: readonly string[]): void {
    const group = `/sys/kernel/iommu_groups/${number}`;
    this.write(`${group}/type`, `${type}\n`);
    for (const address of addresses) {
      this.link(`${DEVICES}/${address}/iommu_group`, group);
      this.link(`${group}/devices/${address}`, `${DEVICES}/${address}`);
    }
  }

  /** Returns everything about a function that commands can change. */
  state(address: string): unknown {
    const unbind = `${DEVICES}/${address}/driver/unbind`;
    return [
      this.read(`${DEVICES}/${address}/driver_override`),
      this.read("/sys/bus/pci/drivers_probe"),
      Deno.readFileSync(`${this.root}${DEVICES}/${address}/config`)[4],
      this.system.function(address).driver === null ? "" : this.read(unbind),
    ];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** Returns a default route through an interface. */
export function route(name: string): string {
  return `Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n` +
    `${name}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`;
}
