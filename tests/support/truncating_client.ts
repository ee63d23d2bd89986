/**
 * Run as a program: sends packets from one device to another, and then truncates the files of all
 * memory that it shares with them, which are not sealed. Prints what each device says of it.
 *
 *     deno run -A truncating_client.ts A B DIRECTORY
 *
 * @module
 */

import { open, PacketBatch } from "../../mod.ts";
import { Mapping } from "../../native/mapping.ts";
import { checkErrno, Open, path, stubs } from "../../native/stubs.ts";

const O_CREAT = 0o100, PACKETS = 1000;
/** Packets under way at most: a full ring could not take one more, for which the server looks at it. */
const UNDER_WAY = 256;
const [a, b, directory] = Deno.args;

const files: string[] = [];
Mapping.memory = (bytes) => {
  const file = `${directory}/memory${files.length}`;
  const fd = checkErrno("open", stubs.ixy_open(path(file), Open.RDWR | O_CREAT, 0o600));
  files.push(file);
  Deno.truncateSync(file, bytes);
  return Object.defineProperty(Mapping.peerFile("memory", fd, bytes), "fd", { value: fd });
};

const devices = [await open(a, { promiscuous: true }), await open(b, { promiscuous: true })];
for (const device of devices) await device.waitForLink();
const batches = devices.map(({ pool }) => new PacketBatch(pool));
const back = new PacketBatch(devices[1].pool);

/** Sends packets from a device; returns how many. */
function send(i: number): number {
  const { pool, txQueues: [tx] } = devices[i], batch = batches[i];
  while (batch.length < batch.capacity) {
    const buffer = pool.allocate(60);
    if (buffer < 0) break;
    batch.buffers[batch.length++] = buffer;
  }
  return tx.transmit(batch);
}

/** Receives packets by the second device; returns how many. */
function receive(): number {
  const received = devices[1].rxQueues[0].receive(back);
  back.free();
  return received;
}

for (let sent = 0, received = 0; received < PACKETS; received += receive()) {
  if (sent - received < UNDER_WAY) sent += send(0);
}
for (const file of files) Deno.truncateSync(file, 0);
for (const [i, device] of devices.entries()) {
  for (let message = ""; message === "";) {
    try {
      send(i); // the server notices the loss when it reads a descriptor
      device.checkAlive();
    } catch (error) {
      // Before the server ends the connection, the device reports the loss of its memory.
      if (!/closed the connection/.test(`${error}`)) continue;
      message = (error as Error).message;
      console.log(message);
    }
  }
}
Deno.exit();
