/**
 * Run as a program: serves a port of the software NIC on a socket, with its doorbells in a file that is
 * not sealed, for one client. It looks at the doorbells only at first.
 *
 *     deno run -A doorbell_server.ts SOCKET FILE [BYTES]
 *
 * BYTES is the size of the file, if it is not that of the BAR.
 *
 * @module
 */

import type { Mapping } from "../../native/mapping.ts";
import { checkErrno, Open, path, stubs } from "../../native/stubs.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { BAR0_BYTES } from "../../sim/pci/config_space.ts";
import { Server } from "../../sim/pci/server.ts";

const O_CREAT = 0o100, DEVICE_ID = 0x10fb, MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const [socket, file, bytes = String(BAR0_BYTES)] = Deno.args;

const fd = checkErrno("open", stubs.ixy_open(path(file), Open.RDWR | O_CREAT, 0o600));
Deno.truncateSync(file, Number(bytes));
const nic = new Nic({ deviceId: DEVICE_ID, mac: MAC });
const server = new Server({
  path: socket,
  model: nic,
  deviceId: DEVICE_ID,
  mac: MAC,
  doorbells: { fd } as Mapping,
  log: (line) => console.error(line),
});
console.log("ready");
while (!server.connected) {
  server.poll();
  await new Promise((resolve) => setTimeout(resolve, 1));
}
while (server.connected) {
  nic.poll();
  server.poll();
}
server.close();
