/** Network interfaces that `open` refuses: what it says, and that nothing has changed. As root only. */

import { assertEquals } from "@std/assert";
import { Mempool, open } from "../../mod.ts";
import { tool } from "../support/processes.ts";
import { assertOpenRefused as refused, vethTest as test } from "../support/veth_tests.ts";

test("open() refuses an interface that the kernel uses, unless `force` is set", async (veth) => {
  await tool("ip", "address", "add", "192.0.2.9/24", "dev", veth.near);
  await refused(
    veth.address,
    {},
    /the kernel uses the interface for the address 192\.0\.2\.9\/24, and/,
  );
  (await open(veth.address, { force: true })).close();
  await tool("ip", "address", "flush", "dev", veth.near);
  (await open(veth.address)).close();
  const top = `${veth.near}t`, bridge = `${veth.near}b`;
  await tool("ip", "link", "add", "link", veth.near, "name", top, "type", "macvlan");
  await refused(veth.address, {}, /uses the interface for \w+t, an interface on top of it, and/);
  await tool("ip", "link", "delete", top);
  await tool("ip", "link", "add", "name", bridge, "type", "bridge");
  await tool("ip", "link", "set", veth.near, "master", bridge);
  await refused(veth.address, {}, /uses the interface for a bridge or bond, and/);
  await tool("ip", "link", "delete", bridge);
});

test("open() refuses what the interface or the kernel cannot do, and changes nothing", async (veth) => {
  const details = () => tool("ip", "-d", "link", "show", veth.near);
  const before = await details();
  await refused("xdp:nowhere", {}, /no interface "nowhere": `ip link` lists/);
  await refused("xdp:a/b", {}, /a name of 1 to 15 bytes/);
  await refused("xdp:an-interface-name", {}, /a name of 1 to 15 bytes/);
  await refused("xdp:lo", {}, /lo is not an Ethernet interface/);
  await refused(veth.address, { xdp: { mode: "zero-copy" } }, /has no zero-copy: use the mode/);
  await refused(veth.address, { xdp: { pass: ["tcp:0"] } }, /lists arp, .*, not "tcp:0"/);
  await refused(veth.address, { rxQueues: 2, txQueues: 2 }, /over 1 queue, and .* receive from 2/);
  await refused(veth.address, { rxQueues: 2 }, /as many receive queues as transmit queues/);
  await refused(
    veth.address,
    { speeds: [1000] },
    /AF_XDP devices do not support the option `speeds`/,
  );
  using spread = new Mempool({ spread: true, memory: "pages" });
  await refused(veth.address, { pool: spread }, /create the pool without `spread`/);
  assertEquals(await details(), before);
});

test("open() names the MTU and the buffers if frames do not fit", async (veth) => {
  await refused(
    veth.address,
    {},
    /up to 9018 bytes \(MTU 9000\), and a buffer of 2048 bytes holds 1792/,
  );
  using pool = new Mempool({ buffers: 1024, bufferSize: 4096 });
  await refused(
    veth.address,
    { pool },
    /use buffers of 16384 bytes, or run `ip link set dev \w+ mtu 3822`/,
  );
}, { mtu: 9000 });
