/**
 * An engine as a worker: driver and NIC model forward a frame within one port, and the worker reports
 * the stacks of what they did. Part of the tests of the build.
 *
 * @module
 */

import { ixgbe, type IxgbeDevice } from "../../../ixgbe/device.ts";
import { Mempool, PacketBatch } from "../../../mod.ts";
import type { Bar } from "../../../src/pci/function.ts";
import { ModelFunction } from "../../support/model_function.ts";

/** What the worker reports. */
export interface Forwarded {
  /** Frames on the wire after one came. */
  readonly sent: number;
  /** What the model complains about. */
  readonly violations: number;
  /** The stacks of register writes. */
  readonly stacks: readonly string[];
}

const stacks: string[] = [];

/** The NIC model, whose tail registers the driver writes by calls. */
class StackedFunction extends ModelFunction {
  override bar(index: number): Bar {
    const bar = super.bar(index);
    const write = (offset: number, value: number) => {
      stacks.push(new Error().stack!);
      bar.write(offset, 4, value);
    };
    return {
      ...bar,
      write: (offset, _bytes, value) => write(offset, value),
      doorbell: (offset) => ({
        words: new Uint32Array(1),
        index: 0,
        write: (value) => write(offset, value),
      }),
    };
  }
}

const pci = new StackedFunction();
const pool = new Mempool({ buffers: 1024 }), batch = new PacketBatch(pool, 32);
const device = await ixgbe.attach(pci, { pool }) as IxgbeDevice;
pci.wire.waiting.push(new Uint8Array(60).fill(0xff));
pci.nic.poll();
device.rxQueues[0].receive(batch);
device.txQueues[0].transmit(batch);
pci.nic.poll();
const forwarded: Forwarded = {
  sent: pci.wire.sent.length,
  violations: pci.nic.rules.violations.length,
  stacks,
};
(self as unknown as Pick<Worker, "postMessage">).postMessage(forwarded);
