/**
 * `VfioFunction` behind QEMU's IOMMU in a virtual machine: what the kernel allows, to which user,
 * and the state after a program ends; and frames through the forwarder.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { Command } from "../../src/pci/function.ts";
import { addressOf, virtioNic } from "../../vm/devices.ts";
import type { GuestProgram } from "../../vm/machine.ts";
import { assertRefused, TemporaryDirectory } from "../support/processes.ts";
import { exchange, Peer } from "./peers.ts";
import { FORWARD, Guest, stopForwarder, USER } from "./vfio_guest.ts";
import type { VfioReport } from "./vfio_program.ts";

const FRAMES = 2000;
/** Addresses of cards: one without a reset, one behind a port with a reset, two in one group. */
const CARD = 3, PORT = 4, TWINS = 5;
/** A card that bypasses the IOMMU, as virtio devices of QEMU do by default. */
const BYPASSING = 6;
const A = addressOf({ slot: CARD }), B = "0000:01:00.0";
const TWIN_A = addressOf({ slot: TWINS }), TWIN_B = TWIN_A.replace(/0$/, "1");
const OUTSIDE = addressOf({ slot: BYPASSING });

function cards(peers: readonly Peer[]): string[] {
  const translated = { iommu_platform: "on" };
  const card = (slot: number, peer: Peer, properties: Record<string, string | number>) => {
    return virtioNic({ kind: "modern", slot, netdev: peer.netdev, properties });
  };
  const [a, b, twinA, twinB, outside] = peers;
  return [
    ...card(CARD, a, translated),
    ...["-device", `pcie-root-port,id=root1,addr=${PORT}`],
    ...card(PORT, b, { ...translated, bus: "root1", addr: 0 }),
    ...card(TWINS, twinA, { ...translated, multifunction: "on" }),
    ...card(TWINS + 16, twinB, { ...translated, addr: `${TWINS}.1` }),
    ...card(BYPASSING, outside, {}),
  ];
}

/** Uses functions through VFIO, without a driver. */
async function useBus(guest: Guest, addresses: readonly string[]): Promise<VfioReport> {
  const program = `tests/vm/vfio_program.ts ${addresses.join(" ")}`;
  return JSON.parse(await guest.do(`deno run --no-prompt --allow-ffi ${program}`));
}

/** Asserts that the forwarder ends with success and has forwarded this many frames each way. */
async function assertForwarded(forwarder: GuestProgram, frames: number): Promise<void> {
  for (const { rxPackets, txPackets, errors, dropped } of await stopForwarder(forwarder)) {
    assertEquals([rxPackets, txPackets, errors, dropped], [frames, frames, 0, 0]);
  }
}

Deno.test("VfioFunction in a virtual machine with an IOMMU", async (t) => {
  await using directory = await TemporaryDirectory.make();
  using stack = new DisposableStack();
  const peers = ["a", "b", "twin-a", "twin-b", "outside"].map((name) => {
    return stack.use(new Peer(directory, name));
  });
  const [a, b, twinA, twinB] = peers;
  await using guest = await Guest.boot(cards(peers));

  await t.step(
    "VfioFunction refuses a function if a kernel driver has another of its group",
    async () => {
      await guest.do("modprobe virtio_pci");
      await guest.bind(TWIN_A);
      const result = await guest.forward(TWIN_A, A);
      assertRefused(result, /IOMMU group \d+, 0000:00:05\.1 \(virtio-pci\): unbind/);
    },
  );

  await guest.bind(A, B, TWIN_B, OUTSIDE);
  for (const addresses of [[A], [B], [TWIN_A, TWIN_B], [A, B]]) {
    await t.step(`VfioFunction opens and closes ${addresses.join(" and ")}`, async () => {
      const [address] = addresses;
      const none = (index: number) => `${address}: the device has no BAR ${index}`;
      const on = Command.IO | Command.MEMORY | Command.INTX_DISABLE;
      assertEquals(await useBus(guest, addresses), {
        ids: [0x1af4, 0x1041, 0x0200],
        commands: [on, on | Command.BUS_MASTER, 0],
        bars: [none(0), [4096, true], none(2), none(3), [16384, true], none(5)],
        registers: [1, 0xffff, 3],
        // Functions share their mappings, in one group or two, until both are closed.
        locked: addresses.length === 1 ? [4096, 0] : [4096, 2048, 0],
        refused: [
          `memory is still in reach of ${addresses.length} device(s): close them first`,
          `${address}: this program has the device open already: close it first`,
        ],
        views: 0,
      });
    });
  }

  await t.step("fwd.ts forwards by VFIO, and a second program is refused", async () => {
    const forwarder = await guest.startForwarder(`${FORWARD} ${A} ${B}`);
    await exchange(a, b, { frames: FRAMES, seed: 1 });
    const second = await guest.forward(A, TWIN_A);
    assertRefused(second, /0000:00:03\.0: another program is using .* \/dev\/vfio\/\d+: end it/);
    await exchange(a, b, { frames: FRAMES, seed: 2 });
    await assertForwarded(forwarder, 2 * FRAMES);
    assertEquals(await guest.busMasters(A, B), [false, false]);
  });

  await t.step("fwd.ts forwards inside a group, and DMA ends when it is killed", async () => {
    const forwarder = await guest.startForwarder(`${FORWARD} ${TWIN_A} ${TWIN_B}`);
    await exchange(twinA, twinB, { frames: FRAMES, seed: 3 });
    assertEquals(await guest.busMasters(TWIN_A, TWIN_B), [true, true]);
    await forwarder.kill("KILL");
    assertEquals((await forwarder.finish()).code, 128 + 9);
    assertEquals(await guest.busMasters(TWIN_A, TWIN_B), [false, false]);
    await guest.bind(TWIN_A, TWIN_B); // again: waits until the killed program has closed them
  });

  await t.step("fwd.ts names what a user other than root lacks, then forwards", async () => {
    const asUser = await guest.addUser();
    const as = (lockKiB: number) => asUser(`${FORWARD} ${TWIN_A} ${TWIN_B}`, lockKiB);
    const stranger = await guest.vm.run(as(65536));
    assertRefused(stranger, /no permission to open \/dev\/vfio\/\d+: .*`chown`/);
    await guest.do(`chown ${USER} ${await guest.groupFile(TWIN_A)}`);
    const limited = await guest.vm.run(as(8192));
    assertRefused(
      limited,
      /needs 10240 KiB of locked memory so far, and `ulimit -l` allows 8192 KiB: .*`ulimit -l 32768`/,
    );
    const forwarder = await guest.startForwarder(as(65536));
    await exchange(twinA, twinB, { frames: FRAMES, seed: 4 });
    await assertForwarded(forwarder, FRAMES);
  });

  await t.step("fwd.ts locks its memory once for two groups, and its rings", async () => {
    const asUser = await guest.addUser();
    await guest.do(`chown ${USER} ${await guest.groupFile(A)} ${await guest.groupFile(B)}`);
    const forwarder = await guest.startForwarder(asUser(`${FORWARD} ${A} ${B}`, 12288));
    await exchange(a, b, { frames: FRAMES, seed: 5 });
    await assertForwarded(forwarder, FRAMES);
  });

  await t.step("fwd.ts refuses a device that bypasses the IOMMU", async () => {
    const result = await guest.forward(OUTSIDE, A);
    assertRefused(result, /0000:00:06\.0: the device bypasses the IOMMU/);
    assertEquals(await guest.busMasters(OUTSIDE), [false]);
  });
});
