/**
 * Run in the guest: prints the state of the virtio device at each given address, as JSON. It reads
 * the kernel's files, and uses no code of the driver.
 *
 * @module
 */

import { checkErrno, Open, path, stubs } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";

const CONFIG_COMMAND = 4, CONFIG_CAPABILITIES = 0x34, BUS_MASTER = 4;
/** Id of vendor-specific capabilities; virtio's have a type at 3, a BAR at 4 and an offset at 8. */
const VENDOR = 9, COMMON_CONFIG = 1;
/**
 * Offsets of the device status: in the common configuration, and in a legacy device's I/O ports.
 */
const STATUS = 20, LEGACY_STATUS = 18;

/** The state of a device. */
export interface DeviceState {
  /** The device status: 0 after a reset, then each step of a driver sets a bit. */
  readonly status: number;
  /** Whether bus mastering is on. */
  readonly busMaster: boolean;
}

function stateOf(address: string): DeviceState {
  const directory = `/sys/bus/pci/devices/${address}`;
  const config = new DataView(Deno.readFileSync(`${directory}/config`).buffer);
  const busMaster = (config.getUint16(CONFIG_COMMAND, true) & BUS_MASTER) !== 0;
  let at = config.getUint8(CONFIG_CAPABILITIES);
  while (
    at !== 0 && !(config.getUint8(at) === VENDOR && config.getUint8(at + 3) === COMMON_CONFIG)
  ) {
    at = config.getUint8(at + 1);
  }
  const bar = `${directory}/resource${at === 0 ? 0 : config.getUint8(at + 4)}`;
  const fd = checkErrno(`open ${bar}`, stubs.ixy_open(path(bar), Open.RDWR, 0));
  try {
    if (at === 0) {
      const status = new Uint8Array(1);
      checkErrno(`read ${bar}`, stubs.ixy_pread(fd, status, 1, LEGACY_STATUS));
      return { status: status[0], busMaster };
    }
    using mapping = Mapping.file(bar, fd, 4096, config.getUint32(at + 8, true));
    return { status: new Uint8Array(mapping.buffer)[STATUS], busMaster };
  } finally {
    stubs.ixy_close(fd);
  }
}

if (import.meta.main) console.log(JSON.stringify(Deno.args.map(stateOf)));
