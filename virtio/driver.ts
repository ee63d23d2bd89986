/**
 * The driver of VirtIO network devices as `open` finds it: for legacy PCI, modern PCI and
 * vhost-user.
 *
 * @module
 */

import type { PciFunction } from "../src/pci/function.ts";
import type { Device, OpenOptions } from "../src/device.ts";
import type { Driver } from "../src/driver.ts";
import { openVirtio } from "./device.ts";
import { LegacyPciTransport } from "./legacy_pci.ts";
import { ModernPciTransport } from "./modern_pci.ts";
import { chooseInterface, RED_HAT } from "./pci.ts";
import { VhostUserTransport } from "./vhost_user.ts";

/** The driver of VirtIO network devices. */
export const virtio: Driver = {
  name: "virtio",
  vendor: RED_HAT,
  scheme: "vhost-user",
  attach(pci: PciFunction, options: OpenOptions): Promise<Device> {
    const { virtio: wanted, force = false } = options;
    const choice = chooseInterface(pci, wanted);
    return openVirtio(pci.address, options, (pools) => {
      using undo = new DisposableStack();
      undo.defer(() => pci.close()); // before the pools are freed, which the function can reach
      for (const { memory } of new Set(pools)) pci.mapDma(memory); // before any change
      pci.claim(force);
      const transport = choice === "legacy"
        ? new LegacyPciTransport(pci)
        : new ModernPciTransport(pci);
      undo.move();
      return transport;
    });
  },
  connect(address: string, path: string, options: OpenOptions): Promise<Device> {
    const { virtio } = options;
    return openVirtio(address, options, () => {
      return new VhostUserTransport(address, path, virtio ? { virtio } : {});
    });
  },
};
