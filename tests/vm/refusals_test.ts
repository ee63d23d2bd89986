/**
 * What programs refuse on a real kernel's PCI devices, in a virtual machine: with one sentence,
 * exit code 2 and no changes. The most important case is a card that the kernel is using.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { addressOf, virtioNic } from "../../vm/devices.ts";
import { type GuestResult, Machine } from "../../vm/machine.ts";

const [A, B] = [3, 4].map((slot) => addressOf({ slot }));
const OTHER = addressOf({ slot: 5 });
const CONFIG = `od -A n -t x1 -N 64 /sys/bus/pci/devices`;

/** The forwarder's command line. */
function forward(options: string, a: string, b: string): string {
  return `deno run --no-prompt --allow-ffi fwd.ts --seconds 0.5 --quiet ${options} ${a} ${b}`;
}

function assertRefused({ code, stdout, stderr }: GuestResult, sentence: RegExp): void {
  assertMatch(stderr, /^error: [^\n]+\n$/);
  assertMatch(stderr, sentence);
  assertEquals({ code, stdout }, { code: 2, stdout: "" });
}

Deno.test("fwd.ts refuses unsuitable PCI devices, and changes nothing", async (t) => {
  const nics = [3, 4].flatMap((slot) => {
    return virtioNic({ kind: "legacy", slot, netdev: "hubport,hubid=0" });
  });
  await using vm = await Machine.boot({ arguments: [...nics, "-device", "virtio-rng-pci,addr=5"] });
  const config = async (address: string) => (await vm.run(`${CONFIG}/${address}/config`)).stdout;

  await t.step("a VirtIO device that is not a network card", async () => {
    const before = await config(OTHER);
    assertRefused(await vm.run(forward("", OTHER, A)), /00:05\.0: .* not an Ethernet controller/);
    assertEquals(await config(OTHER), before);
  });
  await t.step("a device that does not exist", async () => {
    assertRefused(await vm.run(forward("", "0000:00:1e.0", A)), /no such PCI device/);
  });
  await t.step("the modern interface of a legacy device", async () => {
    const before = await config(A);
    assertRefused(await vm.run(forward("--virtio modern", A, B)), /lacks the modern interface/);
    assertEquals(await config(A), before);
  });
  await t.step("a user who is not root", async () => {
    await vm.run("echo 'user:x:1000:1000::/tmp:/bin/sh' >> /etc/passwd");
    const asUser = `DENO_DIR=/tmp/user su user -c '${forward("", A, B)}'`;
    assertRefused(
      await vm.run(asUser),
      /no permission to open .*00:03\.0\/config: run this as root/,
    );
  });
  await t.step("no hugepages", async () => {
    const before = await config(A);
    const pages = (await vm.run("cat /proc/sys/vm/nr_hugepages")).stdout.trim();
    await vm.run("echo 0 > /proc/sys/vm/nr_hugepages");
    assertRefused(await vm.run(forward("", A, B)), /needs memory with physical addresses/);
    await vm.run(`echo ${pages} > /proc/sys/vm/nr_hugepages`);
    assertEquals(await config(A), before);
  });
  await t.step("a card whose interface the kernel has up, until it is down", async () => {
    const setUp = "modprobe virtio_pci && modprobe virtio_net && ip link set eth1 up";
    assertEquals((await vm.run(setUp)).stderr, "");
    const before = await config(B);
    // The forwarder had taken over the other card by then, and gives it back.
    const refused = await vm.run(forward("--rebind", A, B));
    assertRefused(refused, /00:04\.0: its kernel interface eth1 is up/);
    assertEquals(await config(B), before);
    const state = await vm.run("cat /sys/class/net/eth1/flags; ls /sys/class/net");
    assertEquals(state.stdout.split("\n")[0], "0x1003", "still up");
    assertEquals((await vm.run("ip link set eth1 down")).code, 0);
    for (const [option, interfaces] of [["--rebind", "eth0\neth1\nlo\n"], ["", "lo\n"]]) {
      const { code, stderr } = await vm.run(forward(option, A, B));
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      // A driver creates the interface a moment after it is bound to the card again.
      const count = interfaces.trim().split("\n").length;
      const enough = `[ $(ls /sys/class/net | wc -l) = ${count} ] && break; usleep 100000`;
      const list = `for i in $(seq 100); do ${enough}; done; ls /sys/class/net`;
      assertEquals((await vm.run(list)).stdout, interfaces, "both were taken over");
    }
  });
});
