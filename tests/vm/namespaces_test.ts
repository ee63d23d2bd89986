/**
 * Two network stacks of the host that are connected only by the forwarder in a virtual machine:
 * each of its cards is connected to a TAP device in a network namespace. Root only.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { addressOf, virtioNic } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";
import { Namespace, ping, transfer } from "../support/namespaces.ts";
import { isRoot, requirePackages, TemporaryDirectory } from "../support/processes.ts";

const SLOTS = [3, 4];
const BYTES = 5_000_000;

Deno.test({
  name: "fwd.ts in a virtual machine joins two network stacks of the host",
  ignore: !isRoot,
  fn: async () => {
    await requirePackages("iproute2", "ping");
    await using directory = await TemporaryDirectory.make();
    const [deviceA, deviceB] = ["a", "b"].map((end) => `vm${Deno.pid}${end}`);
    // QEMU creates the devices, and they are removed when it ends. Moving them does not disturb it.
    const cards = [deviceA, deviceB].flatMap((device, i) => {
      const netdev = `tap,ifname=${device},script=no,downscript=no`;
      return virtioNic({ kind: "legacy", slot: SLOTS[i], netdev });
    });
    await using vm = await Machine.boot({ arguments: cards });
    await using a = await Namespace.make(deviceA, deviceA, "192.0.2.1");
    await using b = await Namespace.make(deviceB, deviceB, "192.0.2.2");
    const addresses = SLOTS.map((slot) => addressOf({ slot })).join(" ");
    const options = "--json --quiet --no-touch";
    const forwarder = await vm.start(
      `deno run --no-prompt --allow-ffi fwd.ts ${options} ${addresses}`,
    );
    assertEquals(await forwarder.line(() => true), '{"ready":true}', forwarder.stderr);
    await ping(a, b);
    await ping(b, a, 1472);
    await transfer(directory, a, b, BYTES);
    await forwarder.kill("TERM");
    const { code, stderr, stdout } = await forwarder.finish();
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    const { ports } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    for (const { errors } of ports) assertEquals(errors, 0);
  },
});
