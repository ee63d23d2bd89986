/**
 * The driver of VirtIO network devices as `open` finds it: for legacy PCI, modern PCI and
 * vhost-user.
 *
 * @module
 */

import type { PciFunction } from "../src/pci/function.ts";
import type { Device, OpenOptions } from "../src/device.ts";
import type { PciDriver } from "../src/driver.ts";
import { HEADROOM, openVirtio } from "./device.ts";
import { LegacyPciTransport } from "./legacy_pci.ts";
import { ModernPciTransport } from "./modern_pci.ts";
import { chooseInterface, RED_HAT } from "./pci.ts";
import { VhostUserTransport } from "./vhost_user.ts";
import { VhostUserSocket } from "./vhost_user_socket.ts";

/** Schemes of addresses: the back-end listens on the path, or this process does. */
const VHOST_USER = "vhost-user", VHOST_USER_SERVER = "vhost-user-server";

/** The driver of VirtIO network devices. */
export const virtio: PciDriver = {
  name: "virtio",
  vendor: RED_HAT,
  schemes: [VHOST_USER, VHOST_USER_SERVER],
  headroom: HEADROOM,
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
    const { virtio, onWait = () => {}, signal } = options;
    const waits = address.startsWith(`${VHOST_USER_SERVER}:`);
    return openVirtio(address, options, async () => {
      const socket = waits
        ? await VhostUserSocket.accept(address, path, () => {
          onWait(`${address}: waiting for a back-end to connect`);
        }, signal)
        : VhostUserSocket.connect(address, path);
      try {
        if (!waits) await socket.firstAnswer();
      } catch (error) {
        socket.close();
        throw error;
      }
      return new VhostUserTransport(socket, { virtio });
    });
  },
};
