/**
 * The forwarder on virtio cards of QEMU, in a virtual machine: every kind of card, on both of
 * QEMU's machines.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { addressOf, macOf, type VirtioKind, virtioNic } from "../../vm/devices.ts";
import { type GuestProgram, Machine } from "../../vm/machine.ts";
import { TemporaryDirectory } from "../support/processes.ts";
import type { DeviceState } from "./device_state.ts";
import { assertFilters } from "./filters.ts";
import { exchange, Peer } from "./peers.ts";

const FRAMES = 10000;

/** Two cards that the forwarder connects. */
interface Pair {
  readonly slots: readonly [number, number];
  readonly properties: Readonly<Record<string, string | number>>;
}

const PAIRS: readonly Pair[] = [
  { slots: [3, 4], properties: { mrg_rxbuf: "on", rx_queue_size: 256 } },
  { slots: [5, 6], properties: { mrg_rxbuf: "off", rx_queue_size: 1024 } },
];

const MACHINES: readonly { machine: "pc" | "q35"; kind: VirtioKind; interfaces: string[] }[] = [
  { machine: "pc", kind: "legacy", interfaces: ["legacy"] },
  { machine: "q35", kind: "legacy", interfaces: ["legacy"] },
  { machine: "pc", kind: "transitional", interfaces: ["legacy", "modern"] },
  { machine: "q35", kind: "modern", interfaces: ["modern"] },
];

for (const { machine, kind, interfaces } of MACHINES) {
  Deno.test(`fwd.ts forwards between ${kind} virtio cards on ${machine}`, async (t) => {
    await using directory = await TemporaryDirectory.make();
    using stack = new DisposableStack();
    const peers = new Map(
      PAIRS.flatMap(({ slots }) => slots).map((slot) => {
        return [slot, stack.use(new Peer(directory, String(slot)))] as const;
      }),
    );
    const cards = PAIRS.flatMap(({ slots, properties }) =>
      slots.flatMap((slot) =>
        virtioNic({ kind, slot, netdev: peers.get(slot)!.netdev, properties })
      )
    );
    await using vm = await Machine.boot({ machine, arguments: cards });
    for (const use of interfaces) {
      await t.step(`${use}, killed`, async () => {
        await assertGuarded(vm, PAIRS[0].slots.map((slot) => addressOf({ slot })), use);
      });
      for (const { slots, properties } of PAIRS) {
        const { mrg_rxbuf, rx_queue_size } = properties;
        await t.step(`${use}, mrg_rxbuf=${mrg_rxbuf}, rx_queue_size=${rx_queue_size}`, async () => {
          await forwardBetween(vm, slots.map((slot) => addressOf({ slot })), use, async () => {
            const [a, b] = slots.map((slot) => peers.get(slot)!);
            await exchange(a, b, { frames: FRAMES, seed: slots[0] });
          });
        });
      }
      await t.step(`${use}, filters`, async () => {
        const slot = PAIRS[0].slots[0];
        await assertFilters(vm, addressOf({ slot }), macOf({ slot }), peers.get(slot)!, use);
      });
    }
  });
}

/** Starts the forwarder, and waits until it forwards. */
async function startForwarder(
  vm: Machine,
  addresses: readonly string[],
  use: string,
): Promise<GuestProgram> {
  const options = `--json --quiet --virtio ${use}`;
  const forwarder = await vm.start(
    `deno run --no-prompt --allow-ffi fwd.ts ${options} ${addresses.join(" ")}`,
  );
  const ready = await forwarder.line((line) => line === '{"ready":true}');
  assertEquals(ready, '{"ready":true}', forwarder.stderr);
  return forwarder;
}

/** Returns the states of cards. */
async function statesOf(vm: Machine, addresses: readonly string[]): Promise<DeviceState[]> {
  const state = await vm.run(`deno run -A tests/vm/device_state.ts ${addresses.join(" ")}`);
  assertEquals(state.stderr, "");
  return JSON.parse(state.stdout);
}

/** Kills the forwarder; asserts that guards turn the cards' DMA off, and end. */
async function assertGuarded(
  vm: Machine,
  addresses: readonly string[],
  use: string,
): Promise<void> {
  const forwarder = await startForwarder(vm, addresses, use);
  const masters = async () => (await statesOf(vm, addresses)).map(({ busMaster }) => busMaster);
  assertEquals(await masters(), [true, true]);
  await forwarder.kill("KILL");
  assertEquals((await forwarder.finish()).code, 128 + 9);
  const end = await vm.run(
    "for i in $(seq 500); do pidof ixy-guard || exit 0; usleep 10000; done; exit 1",
  );
  assertEquals(end.code, 0);
  assertEquals(await masters(), [false, false]);
}

/** Runs a function beside the forwarder; asserts that it succeeds and leaves the cards reset. */
async function forwardBetween(
  vm: Machine,
  addresses: readonly string[],
  use: string,
  meanwhile: () => Promise<void>,
): Promise<void> {
  const forwarder = await startForwarder(vm, addresses, use);
  await meanwhile();
  await forwarder.kill("INT");
  const { code, stdout, stderr } = await forwarder.finish();
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const { total, ports } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals(total, true);
  for (const port of ports) {
    const { rxPackets, txPackets, missed, errors, dropped } = port;
    const expected = { rxPackets: FRAMES, txPackets: FRAMES, missed: 0, errors: 0, dropped: 0 };
    assertEquals({ rxPackets, txPackets, missed, errors, dropped }, expected);
  }
  const reset: DeviceState = { status: 0, busMaster: false };
  assertEquals(await statesOf(vm, addresses), [reset, reset]);
}
