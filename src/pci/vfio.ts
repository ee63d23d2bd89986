/**
 * Access to a PCI function through VFIO. The function is bound to vfio-pci, and an IOMMU lets it reach
 * only memory that was mapped for functions of this program, at I/O virtual addresses. The owner of
 * `/dev/vfio/N` (N is the number of the function's IOMMU group) needs neither root nor hugepages. If the
 * program is killed, the kernel stops the device.
 *
 * @module
 */

import { Errno } from "../../native/stubs.ts";
import type { DmaMemory } from "../dma.ts";
import { checkCall, DeviceError, UsageError } from "../errors.ts";
import { Command, Config } from "./function.ts";
import { FunctionBase } from "./function_base.ts";
import { FileRegion } from "./file_region.ts";
import { MappedBar } from "./mapped_bar.ts";
import { Interrupts, type IrqInfo, MSIX } from "./msix.ts";
import { VfioGroup } from "./vfio_group.ts";
import { DeviceFlag, deviceInfo, irqInfo, regionInfo, resetDevice, setIrqs } from "./vfio_ioctl.ts";
import {
  checkBar,
  CONFIG_REGION,
  mapAreas,
  parseRegionInfo,
  type RegionInfo,
} from "./vfio_regions.ts";

/** A PCI function that is bound to vfio-pci. */
export class VfioFunction extends FunctionBase {
  readonly addressing = "iova" as const;
  readonly behindIommu = false;
  readonly #group: VfioGroup;
  readonly #fd: number;
  readonly #canReset: boolean;
  protected readonly config: FileRegion;
  readonly #interrupts: Interrupts;
  #closed = false;

  /**
   * Opens the function. The kernel resets it then, if the function supports a reset.
   *
   * @param address Domain, bus, device and function: `0000:03:00.0`.
   * @param group The number of its IOMMU group.
   * @throws {UsageError} if the function or its group is in use, or permission is missing.
   */
  constructor(address: string, group: string) {
    super(address);
    const opened = VfioGroup.openFunction(address, group);
    this.#group = opened.group;
    this.#fd = opened.fd;
    this.#interrupts = new Interrupts(address, {
      info: () => this.#irqInfo(),
      set: (flags, count, fds) => {
        checkCall(address, "set MSI-X vectors", setIrqs(this.#fd, MSIX, flags, count, fds));
      },
    });
    try {
      const flags = checkCall(address, "get device info", deviceInfo(this.#fd));
      if ((flags & DeviceFlag.PCI) === 0) throw new UsageError(`${address} is not a PCI device`);
      this.#canReset = (flags & DeviceFlag.RESET) !== 0;
      this.config = this.#file("configuration space", this.#region(CONFIG_REGION));
    } catch (error) {
      this.#group.closeFunction(address, this.#fd);
      throw error;
    }
  }

  // No reset here: opening the function did it if the function supports it. The driver has to expect a
  // device that was not reset; the kernel has turned its DMA off.
  claim(_force: boolean): void {
    this.claimCommand(Command.IO | Command.MEMORY | Command.INTX_DISABLE);
  }

  protected openBar(index: number): MappedBar {
    const info = this.#region(index);
    checkBar(this.address, index, info);
    const areas = mapAreas(this.address, index, this.#fd, info);
    return new MappedBar(info.size, areas, this.#file(`BAR ${index}`, info));
  }

  #region(index: number): RegionInfo {
    const { result, info } = regionInfo(this.#fd, index);
    checkCall(this.address, `get info of region ${index}`, result);
    return parseRegionInfo(info)!;
  }

  #file(name: string, { offset }: RegionInfo): FileRegion {
    return new FileRegion(this.address, name, this.#fd, offset);
  }

  protected mapMemory(memory: DmaMemory): void {
    this.#group.map(this.address, memory);
  }

  interrupts(vectors: number): readonly number[] {
    return this.#interrupts.enable(vectors);
  }

  #irqInfo(): IrqInfo {
    const { result, info } = irqInfo(this.#fd, MSIX);
    checkCall(this.address, "get info of its MSI-X vectors", result);
    return info;
  }

  checkAlive(): void {
    // A function that was unplugged reads as ones, except for its IDs, which the kernel emulates.
    if (this.readConfig(Config.CLASS, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
  }

  // Later steps run even if an earlier one fails: the IOMMU alone keeps the device from memory.
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.claimed) this.#stop();
    } finally {
      this.#interrupts.close(); // the kernel's references to the eventfds end with the function
      this.closeBars();
      try {
        for (const memory of this.mapped) {
          this.#group.unmap(this.address, memory);
          memory.unpin();
        }
      } finally {
        this.#group.closeFunction(this.address, this.#fd);
      }
    }
  }

  /** Ends all DMA, including transactions in flight: the reset waits for them. */
  #stop(): void {
    this.setBusMaster(false);
    this.#interrupts.disable();
    if (!this.#canReset) return;
    const result = resetDevice(this.#fd);
    // EAGAIN: the device is locked for a moment. Closing its descriptor resets it in any case.
    if (result !== -Errno.EAGAIN) checkCall(this.address, "reset it", result);
  }
}
