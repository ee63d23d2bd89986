/**
 * Files that resemble the kernel's for PCI functions. Not a test itself.
 *
 * @module
 */

import { Command } from "../../src/pci/function.ts";
import { SysfsFunction } from "../../src/pci/sysfs.ts";

/** Address of the function. */
export const ADDRESS = "0000:03:00.0";

/** A directory of PCI functions that contains one 82599. */
export class Tree implements Disposable {
  readonly root = Deno.makeTempDirSync();
  readonly devices = `${this.root}/devices`;
  readonly device = `${this.devices}/${ADDRESS}`;

  constructor() {
    Deno.mkdirSync(this.device, { recursive: true });
    const config = new Uint8Array(256);
    config.set([0x86, 0x80, 0xfb, 0x10, 0x01, 0x04, 0, 0, 0x01, 0, 0, 0x02]);
    Deno.writeFileSync(`${this.device}/config`, config);
    Deno.writeFileSync(`${this.device}/resource0`, new Uint8Array(512 * 1024));
    this.write("enable", "0\n");
  }

  write(file: string, text: string): void {
    Deno.writeTextFileSync(`${this.device}/${file}`, text);
  }

  read(file: string): string {
    return Deno.readTextFileSync(`${this.device}/${file}`);
  }

  get command(): number {
    return Deno.readFileSync(`${this.device}/config`)[4];
  }

  /** Whether INTx is disabled. */
  get intxDisabled(): boolean {
    return (Deno.readFileSync(`${this.device}/config`)[5] << 8 & Command.INTX_DISABLE) !== 0;
  }

  /** Binds the function to a kernel driver. */
  bind(driver: string): void {
    const directory = `${this.root}/drivers/${driver}`;
    Deno.mkdirSync(directory, { recursive: true });
    Deno.writeTextFileSync(`${directory}/unbind`, "");
    Deno.writeTextFileSync(`${directory}/bind`, "");
    Deno.symlinkSync(directory, `${this.device}/driver`);
  }

  /** Returns the addresses unbound from a kernel driver, and bound to it. */
  bound(driver: string): string[] {
    const file = (name: string) => Deno.readTextFileSync(`${this.root}/drivers/${driver}/${name}`);
    return [file("unbind"), file("bind")];
  }

  /** Adds a kernel interface with these IFF_ flags. */
  interface(name: string, flags: string): void {
    Deno.mkdirSync(`${this.device}/net/${name}`, { recursive: true });
    this.write(`net/${name}/flags`, flags + "\n");
  }

  open(rebind = false): SysfsFunction {
    return new SysfsFunction(ADDRESS, this.devices, { rebind });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}
