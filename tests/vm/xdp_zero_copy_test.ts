/**
 * AF_XDP on a newer kernel than other tests boot: zero-copy above igb and virtio_net, and bonds. QEMU plays
 * both cards, and the forwarder connects them, so that each receives and sends.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { VFIO_USER_QEMU, virtioNic } from "../../vm/devices.ts";
import { type GuestProgram, Machine } from "../../vm/machine.ts";
import { TemporaryDirectory } from "../support/processes.ts";
import { exchange, Peer } from "./peers.ts";

const FRAMES = 3000;
/** The names that the guest gives to igb, which is loaded first, and to virtio_net. */
const IGB = "eth0", VIRTIO = "eth1";
/** Buffers that hold a frame as igb counts them. */
const FORWARD = "deno run --no-prompt --allow-ffi fwd.ts --json --quiet --xdp=zero-copy " +
  `--buffer-size=4096 xdp:${IGB} xdp:${VIRTIO}`;
/** Waits until both links are up: igb's is down for a moment when a program is attached or detached. */
const UP = `for i in ${IGB} ${VIRTIO}; do for n in $(seq 100); do ` +
  '[ "$(cat /sys/class/net/$i/carrier)" = 1 ] && break; usleep 100000; done; done';

/** Starts the forwarder, and waits until it forwards. */
async function start(vm: Machine): Promise<GuestProgram> {
  const forwarder = await vm.start(FORWARD);
  assertEquals(await forwarder.line(() => true), '{"ready":true}', forwarder.stderr);
  return forwarder;
}

/** Asserts what is said of a bond, and of its only part below the bond's program; removes the bond. */
async function assertBond(vm: Machine): Promise<void> {
  const make = await vm.run(
    `modprobe bonding max_bonds=1 && ip link set ${VIRTIO} down && ip link set bond0 up && ` +
      `echo +${VIRTIO} > /sys/class/net/bond0/bonding/slaves`,
  );
  assertEquals([make.code, make.stderr], [0, ""]);
  const { stdout, stderr } = await vm.run(`deno run -A tests/vm/bond_program.ts bond0 ${VIRTIO}`);
  const [bond, port, copy, alone, below] = stdout.split("\n");
  assertEquals([bond, stderr], ["AF_XDP, copy, generic", ""]);
  assertMatch(port, /bond0, which is above it, has an XDP program "ixy_xdp", .*: end the process/);
  assertMatch(copy, /is a bond, which receives nothing in the mode "copy": use "generic"/);
  assertEquals(alone, "AF_XDP, copy, generic");
  assertMatch(
    below,
    /eth1, a port of bond0, has an XDP program "ixy_xdp", number \d+, which may take/,
  );
  const end = await vm.run(`rmmod bonding && ip link set ${VIRTIO} up && ${UP}`);
  assertEquals([end.code, end.stderr], [0, ""]);
}

Deno.test("fwd.ts forwards with zero-copy between igb and virtio_net, also after it was killed", async () => {
  await using directory = await TemporaryDirectory.make();
  using a = new Peer(directory, "igb");
  using b = new Peer(directory, "virtio");
  await using vm = await Machine.boot({
    ...{ kernel: "newest", qemu: VFIO_USER_QEMU, machine: "q35", hugepages: 0 },
    append: "ipv6.disable_ipv6=1", // otherwise the guest sends frames of its own
    modules: ["igb", "bonding"],
    programs: { ethtool: ["ethtool"] },
    arguments: [
      ...["-netdev", `${a.netdev},id=igb`, "-device", "igb,netdev=igb,addr=3,rombar=0"],
      // Without the platform's DMA, virtio_net has no zero-copy.
      ...virtioNic({
        ...{ kind: "modern", slot: 5, netdev: b.netdev, properties: { iommu_platform: "on" } },
      }),
    ],
  });
  const set = await vm.run(
    `modprobe igb && modprobe virtio_net && ethtool -L ${IGB} combined 1 && ` +
      `ip link set ${IGB} up && ip link set ${VIRTIO} up && ${UP}`,
  );
  assertEquals([set.code, set.stderr], [0, ""]);

  await assertBond(vm);

  const killed = await start(vm);
  await exchange(a, b, { frames: FRAMES, seed: 1 });
  await killed.kill("KILL");
  assertEquals((await killed.finish()).code, 128 + 9);

  const forwarder = await start(vm);
  await exchange(a, b, { frames: FRAMES, seed: 2 });
  await forwarder.kill("INT");
  const { code, stdout, stderr } = await forwarder.finish();
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const { total, ports } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals(total, true);
  for (const { rxPackets, txPackets, missed, errors, dropped } of ports) {
    const counts = { rxPackets, txPackets, missed, errors, dropped };
    const rest = { missed: 0, errors: 0, dropped: 0 };
    assertEquals(counts, { rxPackets: FRAMES, txPackets: FRAMES, ...rest });
  }
});
