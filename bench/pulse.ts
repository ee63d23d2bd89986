/**
 * Two ports of the software NIC for measuring how long a single packet takes: a packet arrives at the
 * first one after so long a silence, and the time until the second one sends it is printed. Not for
 * people; `interrupts.ts` runs it:
 *
 *     deno run --allow-ffi bench/pulse.ts SOCKET SOCKET MILLISECONDS
 *
 * The ports are looked at without pause, unlike in the software NIC's own program, which rests when it
 * has nothing to do: what is measured is the forwarder.
 *
 * @module
 */

import { Mapping } from "../native/mapping.ts";
import { StopFlag } from "../native/stop.ts";
import { BAR0_BYTES } from "../sim/pci/config_space.ts";
import { Nic } from "../sim/nic/nic.ts";
import { Server } from "../sim/pci/server.ts";
import { FrameBuffer } from "../sim/frames/frame.ts";
import type { Wire, WirePort } from "../sim/wires/wire.ts";

const DEVICE_ID = 0x10fb;
const PACKET_BYTES = 60;
/** Rounds between looks at the sockets: some 20 µs. */
const ROUNDS = 64;

/** Both ends of the way: frames leave it for one port now and then, and come back from the other. */
class Stopwatch implements Wire {
  readonly kind = "stopwatch";
  readonly fd = -1;
  readonly #milliseconds: number;
  readonly #frame = new FrameBuffer();
  /** Whether frames go to the port that asks first. */
  #first: WirePort | undefined;
  #next = Infinity;
  #left = 0;

  /** @param milliseconds From a frame's end to the next frame. */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.#frame.bytes.fill(0x55, 0, PACKET_BYTES);
  }

  /** Starts, at a port. */
  start(port: WirePort): void {
    this.#first = port;
    this.#next = performance.now() + this.#milliseconds;
  }

  poll(port: WirePort): number {
    if (port !== this.#first || performance.now() < this.#next) return 0;
    this.#next = Infinity; // until it is back
    this.#left = performance.now();
    port.receive(this.#frame, PACKET_BYTES);
    return 1;
  }

  transmit(): void {
    const now = performance.now();
    console.log(JSON.stringify({ microseconds: (now - this.#left) * 1000 }));
    this.#next = now + this.#milliseconds;
  }

  statistics(): Record<string, number> {
    return {};
  }

  close(): void {}
}

function openPort(path: string, number: number, wire: Wire): { nic: Nic; server: Server } {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, number), deviceId = DEVICE_ID;
  const doorbells = Mapping.memory(BAR0_BYTES, false);
  const words = new Uint32Array(doorbells.buffer);
  const nic = new Nic({ deviceId, mac, pollDoorbells: true, doorbells: words });
  const server = new Server({ path, model: nic, deviceId, mac, doorbells, log: console.error });
  nic.onInterrupt = (vector) => server.interrupt(vector);
  nic.wire = wire;
  return { nic, server };
}

function main([first, second, milliseconds]: readonly string[]): void {
  using stop = new StopFlag();
  const wire = new Stopwatch(Number(milliseconds));
  const ports = [first, second].map((path, i) => openPort(path, i, wire));
  const [a, b] = ports.map(({ nic }) => nic);
  console.log(JSON.stringify({ ready: true }));
  let started = false;
  while (stop.signal === 0) {
    for (let i = 0; i < ROUNDS; i++) {
      a.poll();
      b.poll();
    }
    for (const { server } of ports) server.poll();
    if (started || !a.receiving || !b.receiving) continue;
    started = true;
    wire.start(a);
  }
  for (const { server } of ports) server.close();
}

if (import.meta.main) main(Deno.args);
