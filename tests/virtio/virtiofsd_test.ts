/**
 * The vhost-user transport with a back-end that is built on rust-vmm's crates. virtiofsd is not a
 * network device, so no packet passes, but its crates check each request. Root only, as the other
 * tests that fetch Debian packages.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { DeviceError, Mempool, UsageError } from "../../mod.ts";
import { unpackPackages } from "../../vm/debian.ts";
import { Feature } from "../../virtio/features.ts";
import { isRoot, Program, TemporaryDirectory, until } from "../support/processes.ts";
import { openVhost } from "../support/vhost_user.ts";

/** Starts virtiofsd, which serves one connection. */
async function startVirtiofsd(directory: TemporaryDirectory, socket: string): Promise<Program> {
  const packages = await unpackPackages({ suite: "trixie", packages: ["virtiofsd"] });
  const virtiofsd = Program.start([
    ...packages.command("virtiofsd"),
    ...["--socket-path", socket, "--shared-dir", directory.path, "--sandbox", "none"],
  ]);
  await until("virtiofsd's socket", () => virtiofsd.stderr.includes("Waiting for vhost-user"));
  return virtiofsd;
}

Deno.test({
  name: "VhostUserTransport makes only requests that rust-vmm's crates accept",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("fs.sock");
    await using virtiofsd = await startVirtiofsd(directory, socket);
    using pool = new Mempool();
    // It returns after an answer to a request that follows all others.
    const device = await openVhost(socket, {}, { pool });
    assertEquals(device.features, Feature.VERSION_1);
    try {
      device.close();
    } catch (error) {
      // It may fail meanwhile, because what it finds in the queues are no requests of files.
      if (!(error instanceof DeviceError)) throw error;
    }
    assertEquals(/HandleRequest/.test(virtiofsd.stderr), false, virtiofsd.stderr);
  },
});

Deno.test({
  name: "VhostUserTransport counts as rust-vmm does if rust-vmm refuses a queue",
  ignore: !isRoot,
  fn: async () => {
    await using directory = await TemporaryDirectory.make();
    const socket = directory.file("fs.sock");
    await using virtiofsd = await startVirtiofsd(directory, socket);
    using pool = new Mempool();
    const options = { pool, rxQueues: 2, txQueues: 2 };
    const two = () => openVhost(socket, {}, options);
    await assertRejects(two, UsageError, "has 2 queues, which is 1 pair: use 1");
    await until("the refusal", () => virtiofsd.stderr.includes("HandleRequest(InvalidParam)"));
  },
});
