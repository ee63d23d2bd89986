/**
 * Two ports of the software NIC that measure the latency of a single packet: after a silence, a
 * packet arrives at the first port, and the program prints the time until the second port sends it.
 * For `interrupts.ts`, which runs it:
 *
 *     deno run --allow-ffi bench/pulse.ts SOCKET SOCKET MILLISECONDS
 *
 * It polls the ports without pause, unlike the software NIC's own program, which sleeps when idle,
 * so that it measures the forwarder only.
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
/** Rounds between reads of the sockets: about 20 µs. */
const ROUNDS = 64;

/**
 * Both ends of the line: sends a frame to one port now and then, and gets it back from the other.
 */
class Stopwatch implements Wire {
  readonly kind = "stopwatch";
  readonly fd = -1;
  readonly #milliseconds: number;
  readonly #frame = new FrameBuffer();
  /** The port to send frames to. */
  #first: WirePort | undefined;
  #next = Infinity;
  #left = 0;

  /** @param milliseconds From the return of a frame to the next frame. */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.#frame.bytes.fill(0x55, 0, PACKET_BYTES);
  }

  /** Starts to send frames to a port. */
  start(port: WirePort): void {
    this.#first = port;
    this.#next = performance.now() + this.#milliseconds;
  }

  poll(port: WirePort): number {
    if (port !== this.#first || performance.now() < this.#next) return 0;
    this.#next = Infinity; // until the frame is back
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
    if (started || !a.ready || !b.ready) continue;
    started = true;
    wire.start(a);
  }
  for (const { server } of ports) server.close();
}

if (import.meta.main) main(Deno.args);
