/**
 * The VFIO bus: the function is bound to vfio-pci, and an IOMMU lets it reach the memory that was
 * mapped for it and no other, at bus addresses of our choice. Whoever owns `/dev/vfio/N`, N being the
 * number of the function's IOMMU group, needs neither root nor hugepages; and should the program be
 * killed, the kernel stops the device.
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
import { CONFIG_REGION, mapAreas, parseRegionInfo, type RegionInfo } from "./vfio_regions.ts";

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
   * Opens the function, which the kernel resets with that, where it can be reset.
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
      const flags = checkCall(address, "ask what it is", deviceInfo(this.#fd));
      if ((flags & DeviceFlag.PCI) === 0) throw new UsageError(`${address} is no PCI device`);
      this.#canReset = (flags & DeviceFlag.RESET) !== 0;
      this.config = this.#file("configuration space", this.#region(CONFIG_REGION));
    } catch (error) {
      this.#group.closeFunction(address, this.#fd);
      throw error;
    }
  }

  // No reset here: opening has done that, and a function that it could not reset, nobody can. What a
  // former user left such a one with is the driver's affair; its DMA the kernel has turned off.
  claim(_force: boolean): void {
    this.claimCommand(Command.IO | Command.MEMORY | Command.INTX_DISABLE);
  }

  protected openBar(index: number): MappedBar {
    const info = this.#region(index);
    if (info.size === 0) throw new DeviceError(this.address, `the device has no BAR ${index}`);
    const areas = mapAreas(this.address, index, this.#fd, info);
    return new MappedBar(info.size, areas, this.#file(`BAR ${index}`, info));
  }

  #region(index: number): RegionInfo {
    const { result, info } = regionInfo(this.#fd, index);
    checkCall(this.address, `ask for region ${index}`, result);
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
    checkCall(this.address, "ask for its MSI-X vectors", result);
    return info;
  }

  checkAlive(): void {
    // A function that was pulled out reads as ones, but for the ids, which the kernel remembers.
    if (this.readConfig(Config.CLASS, 2) === 0xffff) {
      throw new DeviceError(this.address, "configuration space reads as ones: the device is gone");
    }
  }

  // Each step is taken even if one before it fails: the IOMMU alone keeps the device from memory.
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.claimed) this.#stop();
    } finally {
      this.#interrupts.close(); // the kernel lets go of what it has of them with the function
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

  /** Ends all DMA: that under way too, since a reset waits for it. */
  #stop(): void {
    this.setBusMaster(false);
    this.#interrupts.disable();
    if (!this.#canReset) return;
    const result = resetDevice(this.#fd);
    // Where somebody else holds the device locked for a moment, closing it resets it.
    if (result !== -Errno.EAGAIN) checkCall(this.address, "reset it", result);
  }
}
