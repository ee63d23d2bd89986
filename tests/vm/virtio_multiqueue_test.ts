/**
 * Several pairs of queues on virtio cards of QEMU, in a virtual machine. Each card is connected to
 * a TAP device of the host with as many queues: Linux sends a flow through the queue in which the
 * flow arrived. Root only, for the TAP devices.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { addressOf, macOf, virtioNic } from "../../vm/devices.ts";
import { type GuestResult, Machine } from "../../vm/machine.ts";
import { formatMac } from "../../src/driver.ts";
import { Namespace } from "../support/namespaces.ts";
import { isRoot, Program, PROJECT, requirePackages, tool } from "../support/processes.ts";
import type { DeviceState } from "./device_state.ts";
import type { EchoCounts } from "./udp_echo.ts";
import {
  GUEST_IP,
  type MultiqueueOrder,
  type MultiqueueResult,
} from "./virtio_multiqueue_program.ts";

const PACKETS = 3000;
const HOST_IP = [192, 0, 2, 1], HOST_MAC = [2, 0, 0, 0, 0, 1], PORT = 7;

/** Cards: their pairs of queues, and how many of these each run uses. */
const CARDS: readonly { slot: number; pairs: number; used: readonly number[] }[] = [
  { slot: 3, pairs: 2, used: [2, 1] },
  { slot: 4, pairs: 4, used: [3, 4] },
];

/** A namespace with a TAP device, in which a program sends UDP packets back. */
class EchoHost implements AsyncDisposable {
  private constructor(readonly namespace: Namespace, readonly program: Program) {}

  /** @param guest The MAC address of the guest's card. */
  static async start(tap: string, guest: Uint8Array): Promise<EchoHost> {
    await using stack = new AsyncDisposableStack();
    const ip = HOST_IP.join(".");
    const namespace = stack.use(await Namespace.make(tap, tap, ip));
    await tool(
      "ip",
      "-n",
      tap,
      "link",
      "set",
      tap,
      "address",
      formatMac(Uint8Array.from(HOST_MAC)),
    );
    const neighbour = [GUEST_IP.join("."), "lladdr", formatMac(guest), "dev", tap];
    await tool("ip", "-n", tap, "neighbour", "add", ...neighbour);
    const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-net"];
    const file = `${PROJECT}tests/vm/udp_echo.ts`;
    const program = stack.use(
      Program.start(namespace.command(...deno, file, ip, String(PORT))),
    );
    await program.line((line) => line === "listening");
    stack.move();
    return new EchoHost(namespace, program);
  }

  /** Returns what has arrived since the last call. */
  async counts(): Promise<EchoCounts> {
    await this.program.write("counts");
    return JSON.parse(await this.program.line(() => true));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.namespace[Symbol.asyncDispose]();
  }
}

/** Runs the program in the guest. */
function exchange(
  vm: Machine,
  slot: number,
  virtio: "legacy" | "modern",
  pairs: number,
): Promise<GuestResult> {
  const order: MultiqueueOrder = {
    address: addressOf({ slot }),
    ...{ virtio, pairs, packets: PACKETS, mac: HOST_MAC, ip: HOST_IP, port: PORT },
  };
  const program = "tests/vm/virtio_multiqueue_program.ts";
  return vm.run(`deno run --no-prompt --allow-ffi ${program} '${JSON.stringify(order)}'`);
}

/** Asserts that a card is reset. */
async function assertReset(vm: Machine, slot: number): Promise<void> {
  const { stdout, stderr } = await vm.run(
    `deno run -A tests/vm/device_state.ts ${addressOf({ slot })}`,
  );
  assertEquals(stderr, "");
  const reset: DeviceState = { status: 0, busMaster: false };
  assertEquals(JSON.parse(stdout), [reset]);
}

Deno.test({
  name: "VirtioDevice moves packets in each of several pairs of queues of QEMU's virtio cards",
  ignore: !isRoot,
  fn: async (t) => {
    await requirePackages("iproute2");
    const taps = CARDS.map(({ slot }) => `ixyq${Deno.pid}n${slot}`.slice(-15));
    const cards = CARDS.flatMap(({ slot, pairs }, i) => {
      const netdev = `tap,ifname=${taps[i]},queues=${pairs},script=no,downscript=no`;
      return virtioNic({ kind: "transitional", slot, netdev, properties: { mq: "on" } });
    });
    await using vm = await Machine.boot({ arguments: cards });
    for (const [i, { slot, pairs, used }] of CARDS.entries()) {
      await using host = await EchoHost.start(taps[i], macOf({ slot }));
      for (const virtio of ["legacy", "modern"] as const) {
        for (const some of used) {
          await t.step(`${virtio}, ${some} of ${pairs}`, async () => {
            const { code, stdout, stderr } = await exchange(vm, slot, virtio, some);
            assertEquals({ code, stderr }, { code: 0, stderr: "" });
            const { received, steered, txPackets }: MultiqueueResult = JSON.parse(stdout);
            assertEquals(received, Array<number>(some).fill(PACKETS / some));
            assertEquals([steered, txPackets], [PACKETS, PACKETS]);
            const once: EchoCounts = { received: PACKETS, distinct: PACKETS };
            assertEquals(await host.counts(), once);
            await assertReset(vm, slot);
          });
        }
        await t.step(`${virtio}, more than ${pairs}`, async () => {
          const { code, stdout, stderr } = await exchange(vm, slot, virtio, pairs + 1);
          assertEquals([code, stdout], [1, ""]);
          assertMatch(
            stderr,
            new RegExp(`has ${pairs} pairs of queues, not ${pairs + 1}: use fewer`),
          );
        });
      }
    }
  },
});
