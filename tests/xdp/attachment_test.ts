/** The XDP programs of other tools, on an interface, above and below it: what `open` says of them. As root only. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { open, UsageError } from "../../mod.ts";
import { checkErrno, stubs } from "../../native/stubs.ts";
import { checkPorts } from "../../xdp/attachment.ts";
import { AttachFlag, createLink } from "../../xdp/bpf.ts";
import { tool } from "../support/processes.ts";
import { assertOpenRefused as refused, vethTest as test } from "../support/veth_tests.ts";

async function indexOf(name: string): Promise<number> {
  return JSON.parse(await tool("ip", "-j", "link", "show", name))[0].ifindex;
}

/** Attaches a program that passes everything on, as another tool would, until it is disposed of. */
async function attach(name: string, flags: number): Promise<Disposable> {
  const ifindex = await indexOf(name);
  const attributes = new Uint8Array(256), view = new DataView(attributes.buffer);
  const start = Deno.UnsafePointer.value(Deno.UnsafePointer.of(attributes));
  const XDP = 6, PROG_LOAD = 5, LICENSE = 128, CODE = 136;
  view.setUint32(0, XDP, true);
  view.setUint32(4, 2, true); // instructions
  view.setBigUint64(8, start + BigInt(CODE), true);
  view.setBigUint64(16, start + BigInt(LICENSE), true);
  attributes.set(new TextEncoder().encode("a_firewall"), 48);
  attributes.set(new TextEncoder().encode("MIT"), LICENSE);
  attributes.set(Uint8Array.fromHex("b700000002000000" + "9500000000000000"), CODE); // XDP_PASS
  const program = checkErrno("load", stubs.ixy_bpf(PROG_LOAD, attributes, 120));
  const link = checkErrno("attach", createLink(program, ifindex, flags));
  return {
    [Symbol.dispose]() {
      for (const fd of [link, program]) stubs.ixy_close(fd);
    },
  };
}

test("open() refuses a second device on an interface, and names the program", async (veth) => {
  using _device = await open(veth.address);
  await refused(
    veth.address,
    {},
    /it has another XDP program "ixy_xdp", number \d+: end the process/,
  );
});

test("open() refuses an interface that has the program of another tool, and names it", async (veth) => {
  const which = /another XDP program "a_firewall", number \d+: end .*, or run `ip link .* xdp off`/;
  {
    using _program = await attach(veth.near, AttachFlag.DRIVER);
    await refused(veth.address, {}, which);
    await refused(veth.address, { xdp: { mode: "generic" } }, which);
  }
  (await open(veth.address)).close();
});

for (const [kind, make] of [["a bridge", "bridge"], ["an interface on top of it", "macvlan"]]) {
  test(`open() names the program of ${kind}, below which the kernel allows none`, async (veth) => {
    const above = `${veth.near}t`, on = make === "bridge" ? [] : ["link", veth.near];
    await tool("ip", "link", "add", ...on, "name", above, "type", make);
    try {
      if (make === "bridge") await tool("ip", "link", "set", veth.near, "master", above);
      const program = await attach(above, AttachFlag.GENERIC);
      try {
        for (const mode of ["auto", "copy", "generic"] as const) {
          await refused(
            veth.address,
            { force: true, xdp: { mode } },
            /: \w+t, which is above it, has an XDP program "a_firewall", number \d+, .*`ip link set dev \w+t xdp off` if none did$/,
          );
        }
      } finally {
        program[Symbol.dispose]();
      }
      using device = await open(veth.address, { force: true });
      assertEquals(device.model, "AF_XDP, copy");
    } finally {
      await tool("ip", "link", "delete", above);
    }
  });
}

test("checkPorts() names the program of a port, which may take frames before a bond receives them", async (veth) => {
  // Not each kernel has bonds; the ports of a bridge belong to it in the same way.
  const bridge = `${veth.near}t`, address = `xdp:${bridge}`;
  await tool("ip", "link", "add", "name", bridge, "type", "bridge");
  try {
    const at = { index: await indexOf(bridge), name: bridge };
    await tool("ip", "link", "set", veth.near, "master", bridge);
    await checkPorts(address, at);
    for (const flags of [AttachFlag.DRIVER, AttachFlag.GENERIC]) {
      using _program = await attach(veth.near, flags);
      const { message } = await assertRejects(() => checkPorts(address, at), UsageError);
      assertMatch(
        message,
        /^xdp:\w+t: \w+, a port of \w+t, has an XDP program "a_firewall", number \d+, which may take frames .*: end .*`ip link set dev \w+n\d+ xdp off` if none did$/,
      );
    }
    using _program = await attach(veth.far, AttachFlag.GENERIC); // no port of it
    await checkPorts(address, at);
  } finally {
    await tool("ip", "link", "delete", bridge);
  }
});
