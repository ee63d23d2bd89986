/**
 * Run in the guest: opens each given address through VFIO, without a driver, and prints its
 * observations of the first function as JSON. It causes no DMA.
 *
 * @module
 */

import { Command, Config } from "../../src/pci/function.ts";
import { linkName, readText } from "../../native/files.ts";
import { VfioFunction } from "../../src/pci/vfio.ts";
import { DmaMemory } from "../../src/dma.ts";
import { endWith } from "../../programs/run.ts";

/** The BAR that begins with the common configuration of QEMU's virtio devices. */
const COMMON_BAR = 4;
/** Its registers of 4, 2 and 1 byte that can be written and read back. */
const FEATURE_SELECT = 0, CONFIG_VECTOR = 16, STATUS = 20;
const BYTES = 2 * 1024 * 1024;

/** The program's output. Memory is in KiB: the locked memory of this process. */
export interface VfioReport {
  /** Vendor, device and class. */
  readonly ids: readonly number[];
  /** COMMAND after claiming and with bus mastering on, and its bus master bit once opened again. */
  readonly commands: readonly number[];
  /** Size of each BAR, and whether it is mapped. */
  readonly bars: readonly (readonly [size: number, mapped: boolean] | string)[];
  /** Values of the registers of 4, 2 and 1 byte after they were written. */
  readonly registers: readonly number[];
  /**
   * Locked memory while the devices are open, and after closing each: 2048 KiB are mapped for all
   * of them, and another 2048 KiB for the first one only.
   */
  readonly locked: readonly number[];
  /** Messages of the requests that were refused. */
  readonly refused: readonly string[];
  /** Length of the BAR's views after closing. */
  readonly views: number;
}

function open(address: string): VfioFunction {
  return new VfioFunction(address, linkName(`/sys/bus/pci/devices/${address}/iommu_group`)!);
}

function message(action: () => void): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was refused";
}

function locked(): number {
  return Number(/^VmLck:\s*(\d+)/m.exec(readText("/proc/self/status"))![1]);
}

function barOf(pci: VfioFunction, index: number): [number, boolean] | string {
  try {
    const bar = pci.bar(index);
    return [bar.size, bar.doorbell(0).write === undefined];
  } catch (error) {
    return (error as Error).message;
  }
}

function use(addresses: readonly string[]): VfioReport {
  const functions = addresses.map(open);
  const pci = functions[0];
  const command = () => pci.readConfig(Config.COMMAND, 2);
  const ids = [Config.VENDOR_ID, Config.DEVICE_ID, Config.CLASS].map((at) => pci.readConfig(at, 2));
  pci.claim(false);
  const claimed = command();
  const bars = [0, 1, 2, 3, 4, 5].map((index) => barOf(pci, index));
  const common = pci.bar(COMMON_BAR);
  common.write(FEATURE_SELECT, 4, 1);
  common.write(CONFIG_VECTOR, 2, 0xffff);
  common.write(STATUS, 1, 3);
  const registers = [common.read(FEATURE_SELECT, 4), common.read(CONFIG_VECTOR, 2)];
  registers.push(common.read(STATUS, 1));
  const memory = DmaMemory.allocate(BYTES), own = DmaMemory.allocate(BYTES);
  const before = locked();
  for (const each of [...functions, ...functions]) each.mapDma(memory);
  pci.mapDma(own);
  const lockedAfter = [locked() - before];
  pci.setBusMaster(true);
  const bits = Command.IO | Command.MEMORY | Command.BUS_MASTER | Command.INTX_DISABLE;
  const commands = [claimed & bits, command() & bits];
  pci.checkAlive();
  const refused = [message(() => memory.free()), message(() => open(addresses[0]))];
  const { words } = common.doorbell(0);
  for (const each of functions) {
    each.close();
    each.close();
    lockedAfter.push(locked() - before);
  }
  memory.free();
  own.free();
  const again = open(addresses[0]);
  commands.push(again.readConfig(Config.COMMAND, 2) & Command.BUS_MASTER);
  again.close();
  return { ids, commands, bars, registers, locked: lockedAfter, refused, views: words.length };
}

if (import.meta.main) {
  await endWith(() => {
    console.log(JSON.stringify(use(Deno.args)));
    return Promise.resolve(0);
  });
}
