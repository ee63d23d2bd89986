/**
 * Opens a bond and the interface that it consists of, one below the other, in a virtual machine whose kernel
 * has bonds. Prints for each what it is opened as, or the error. Not a test itself.
 *
 * @module
 */

import { type Device, Mempool, open } from "../../mod.ts";
import type { XdpMode } from "../../xdp/socket.ts";

const [bond, port] = Deno.args.map((name) => `xdp:${name}`);
using pool = new Mempool({ buffers: 4096, memory: "pages" });

/** Opens a device and prints its model, or the error. */
async function opened(address: string, mode: XdpMode): Promise<Device | undefined> {
  try {
    const device = await open(address, { pool, force: true, xdp: { mode } });
    console.log(device.model);
    return device;
  } catch (error) {
    console.log(String(error));
    return undefined;
  }
}

{
  using _bond = await opened(bond, "auto");
  using _port = await opened(port, "copy");
}
(await opened(bond, "copy"))?.close();
{
  using _port = await opened(port, "generic");
  using _bond = await opened(bond, "auto");
}
