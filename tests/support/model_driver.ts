/**
 * A driver for tests of the NIC model, with a wire that the test controls.
 *
 * @module
 */

import { FrameBuffer } from "../../sim/frames/frame.ts";
import { MinimalDriver } from "../../sim/minimal_driver.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import type { Wire, WirePort } from "../../sim/wires/wire.ts";

export {
  IOVA,
  MEMORY,
  RING,
  RX_BUFFERS,
  RX_RING,
  TX_BUFFERS,
  TX_RING,
} from "../../sim/minimal_driver.ts";

/** A wire that keeps sent frames, and delivers the frames that it is given. */
export class TestWire implements Wire {
  readonly kind = "test";
  readonly fd = -1;
  readonly sent: Uint8Array[] = [];
  readonly waiting: Uint8Array[] = [];
  missed = 0;
  readonly #frame = new FrameBuffer();

  transmit(frame: FrameBuffer, length: number): void {
    this.sent.push(frame.bytes.slice(0, length));
  }

  poll(port: WirePort, budget: number): number {
    let handed = 0;
    while (handed < budget && this.waiting.length > 0) {
      const bytes = this.waiting.shift()!;
      this.#frame.bytes.set(bytes);
      if (!port.receive(this.#frame, bytes.length)) this.missed++;
      handed++;
    }
    return handed;
  }

  statistics(): Record<string, number> {
    return { sent: this.sent.length, missed: this.missed };
  }

  close(): void {}
}

/** A minimal driver, with a wire that the test controls. */
export class TestDriver extends MinimalDriver {
  readonly wire = new TestWire();

  constructor(options: NicOptions = {}) {
    super(options);
    this.nic.wire = this.wire;
  }
}

/** Returns a frame to a station, with a number in its payload. */
export function frameTo(destination: number[], length: number, number = 0): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set(destination);
  frame.set([2, 0, 0, 0, 0, 1], 6);
  frame[12] = 8;
  for (let i = 14; i < length; i++) frame[i] = (i + number) & 0xff;
  return frame;
}

/** The default station address of the NIC model. */
export const STATION = [2, 0, 0, 0, 5, 0x99];
export const BROADCAST = [255, 255, 255, 255, 255, 255];
