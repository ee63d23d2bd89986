/**
 * The files with which the instrument's ports look like PCI devices in a forwarder's mount namespace: a
 * private `/sys/bus/pci/devices` for drivers of the ixy family, and for DPDK what uio_pci_generic adds.
 *
 * @module
 */

/** The ports' PCI addresses. */
export const ADDRESSES = ["0000:aa:00.0", "0000:bb:00.0"] as const;

/** A file or directory to show in another's place. */
export interface Mount {
  readonly source: string;
  readonly target: string;
}

/** Where drivers look for PCI devices. */
const PCI_DEVICES = "/sys/bus/pci/devices";
/** Bytes of BAR 0 and of configuration space. */
const BAR_BYTES = 512 * 1024, CONFIG_BYTES = 256;
/** An 82599 for backplanes: drivers look for no module in a cage. */
const DEVICE_ID = 0x10f7;
/** The files with one line. */
const TEXTS = {
  vendor: "0x8086",
  device: `0x${DEVICE_ID.toString(16)}`,
  subsystem_vendor: "0x8086",
  subsystem_device: "0x0003",
  class: "0x020000",
  max_vfs: "0",
  numa_node: "-1",
  driver_override: "(null)",
  enable: "1",
} as const;
/** Device files that a process needs beside those of the ports. */
const DEVICE_FILES = ["null", "zero", "random", "urandom", "full", "tty"];
/** Where the ports' BARs claim to be in physical memory. */
const BAR_AT = 0xf0000000;
/** IORESOURCE_MEM, prefetchable, 64 bits. */
const MEMORY_RESOURCE = 0x140204;
/** Lines of a device's file `resource`. */
const RESOURCES = 10;

/** Makes the directories of both ports; returns what to mount. */
export function makePciFiles(directory: string): Mount[] {
  for (const address of ADDRESSES) {
    const port = `${directory}/devices/${address}`;
    Deno.mkdirSync(port, { recursive: true });
    for (const [name, text] of Object.entries(TEXTS)) write(`${port}/${name}`, text);
    const config = new DataView(new ArrayBuffer(CONFIG_BYTES));
    config.setUint16(0x00, 0x8086, true); // vendor
    config.setUint16(0x02, DEVICE_ID, true);
    config.setUint16(0x04, 0x0002, true); // command: memory
    config.setUint16(0x0a, 0x0200, true); // class: Ethernet
    Deno.writeFileSync(`${port}/config`, new Uint8Array(config.buffer));
    Deno.writeFileSync(`${port}/resource0`, new Uint8Array(BAR_BYTES));
  }
  return [{ source: `${directory}/devices`, target: PCI_DEVICES }];
}

/** Adds what DPDK looks for of devices that are bound to uio_pci_generic; returns what to mount. */
export async function makeUioFiles(directory: string): Promise<Mount[]> {
  const dev = `${directory}/dev`, uio = `${directory}/class/uio`;
  Deno.mkdirSync(`${dev}/shm`, { recursive: true });
  Deno.symlinkSync("/proc/self/fd", `${dev}/fd`);
  ADDRESSES.forEach((address, i) => {
    const port = `${directory}/devices/${address}`, map = `${port}/uio/uio${i}/maps/map0`;
    const start = BAR_AT + i * BAR_BYTES, end = start + BAR_BYTES - 1;
    Deno.symlinkSync("../../../bus/pci/drivers/uio_pci_generic", `${port}/driver`);
    Deno.mkdirSync(map, { recursive: true });
    const resources = Array.from({ length: RESOURCES }, (_, bar) => {
      return (bar === 0 ? [start, end, MEMORY_RESOURCE] : [0, 0, 0]).map(hex64).join(" ");
    });
    write(`${port}/resource`, resources.join("\n"));
    write(`${port}/uio/uio${i}/dev`, `252:${i}`);
    write(`${map}/addr`, hex64(start));
    write(`${map}/offset`, "0x0");
    write(`${map}/size`, `0x${BAR_BYTES.toString(16)}`);
    Deno.mkdirSync(`${uio}/uio${i}`, { recursive: true });
    Deno.symlinkSync(`${PCI_DEVICES}/${address}`, `${uio}/uio${i}/device`);
  });
  // DPDK waits for interrupts in /dev/uioN: none comes.
  const made = await new Deno.Command("mkfifo", {
    args: ADDRESSES.map((_, i) => `${dev}/uio${i}`),
  }).output();
  if (!made.success) throw new Error(new TextDecoder().decode(made.stderr));
  for (const name of DEVICE_FILES) Deno.writeTextFileSync(`${dev}/${name}`, "");
  return [
    ...DEVICE_FILES.map((name) => ({ source: `/dev/${name}`, target: `${dev}/${name}` })),
    { source: `${directory}/class`, target: "/sys/class" },
    { source: dev, target: "/dev" }, // last: the directory may be in /dev/shm
  ];
}

function write(file: string, text: string): void {
  Deno.writeTextFileSync(file, `${text}\n`);
}

function hex64(value: number): string {
  return `0x${value.toString(16).padStart(16, "0")}`;
}
