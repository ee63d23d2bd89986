/**
 * The program of an experiment with driver and model, and nobody who looks on. Not a test itself.
 *
 * @module
 */

import { Card } from "../../explorer/recorder/ixgbe/card.ts";
import { DELAYS, DEVICE_IDS, stationOf } from "../../explorer/recorder/ixgbe/recorder.ts";
import { buildFrame } from "../../explorer/recorder/frames.ts";
import type { Experiment } from "../../explorer/recording/experiment.ts";
import { ixgbe } from "../../ixgbe/device.ts";
import { type Device, Mempool } from "../../mod.ts";
import { Direction } from "../../programs/forward.ts";
import { ALL } from "../../sim/registers/register_file.ts";
import { VirtualTime } from "../../sim/virtual_time.ts";
import { nameOf, offsetOf } from "../../src/registers.ts";
import { TestWire } from "./model_function.ts";

/** Registers that depend on where memory is, which no two runs in one process share. */
const ADDRESSES = ["RDBAL", "TDBAL", "RDBAH", "TDBAH"];
/** What an access to a register takes, in milliseconds: as when it is recorded. */
const READ_MS = 0.0012, WRITE_MS = 0.0002;

/** What the run has left. */
export interface Unrecorded {
  /** Frames that the ports sent. */
  readonly sent: readonly Uint8Array[];
  /** What statistics() returned, as the recorder words it. */
  readonly statistics: readonly string[];
  /** For each port: word of BAR0 and value of each register, by name. */
  readonly registers: readonly Map<string, readonly [word: number, value: number]>[];
}

/** Runs the actions open, frame (udp), forward, round, reclaim and statistics of an experiment. */
export async function runUnrecorded(experiment: Experiment): Promise<Unrecorded> {
  const { entries, queues, batch, buffers, bufferSize, promiscuous, actions } = experiment;
  using time = new VirtualTime();
  using pool = new Mempool({ buffers, bufferSize, memory: "pages" });
  using opened = new DisposableStack();
  let working = true;
  const cards = [0, 1].map((port) => {
    const options = { delays: DELAYS, lanId: port as 0 | 1, mac: stationOf(port) };
    const card = new Card(`port ${port}`, { ...options, deviceId: DEVICE_IDS[experiment.device] });
    const { nic } = card;
    card.watcher = {
      read(offset) {
        time.pass(READ_MS);
        if (working) nic.poll();
        return nic.read32(offset);
      },
      write(offset, value) {
        time.pass(WRITE_MS);
        nic.write32(offset, value);
      },
      setBusMaster: (on) => nic.setBusMaster(on),
    };
    nic.wire = new TestWire();
    return card;
  });
  const wires = cards.map(({ nic }) => nic.wire as TestWire);
  const devices: Device[] = [], statistics: string[] = [];
  let frames = 0, ways: Direction[] = [];
  for (const action of actions) {
    switch (action.do) {
      case "open":
        for (const card of cards) {
          const rings = { rxEntries: entries, txEntries: entries };
          const options = { pool, promiscuous, rxQueues: queues, txQueues: queues, ...rings };
          const device = opened.use(await ixgbe.attach(card, options));
          devices.push(device);
          await device.waitForLink(5000);
        }
        working = false;
        ways = [0, 1].map((from) => {
          return new Direction(
            devices[from].rxQueues[0],
            devices[1 - from].txQueues[0],
            batch,
            true,
            batch,
          );
        });
        break;
      case "frame":
        for (let i = 0; i < (action.times ?? 1); i++) {
          const options = { station: stationOf(action.port), flow: frames++, long: 0, jumbo: 0 };
          wires[action.port].waiting.push(buildFrame(action.frame, options));
        }
        while (wires[action.port].waiting.length > 0) cards[action.port].nic.poll();
        break;
      case "forward":
        ways[action.port].forward();
        break;
      case "round":
        cards[action.port].nic.poll();
        break;
      case "reclaim":
        devices[action.port].txQueues[0].reclaim();
        break;
      case "statistics": {
        const { rxPackets, txPackets, rxMissed, rxErrors } = devices[action.port].statistics();
        statistics.push(
          `${rxPackets} received, ${txPackets} sent, ${rxMissed} missed, ${rxErrors} errors`,
        );
      }
    }
  }
  const registers = cards.map(({ nic }) => {
    return new Map(
      ALL.filter(({ name }) => !ADDRESSES.includes(name)).flatMap((register) => {
        return Array.from({ length: register.count }, (_, index) => {
          const offset = offsetOf(register, index);
          const value = time.still(() => nic.view32(offset));
          return [nameOf(register, index), [offset / 4, value]] as const;
        });
      }),
    );
  });
  working = true; // closing waits for the device
  return { sent: wires.flatMap(({ sent }) => sent), statistics, registers };
}
