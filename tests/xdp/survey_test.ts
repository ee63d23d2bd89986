/** `surveyInterfaces()`, and what `nic.ts list` shows of it. As root only. */

import { assertEquals } from "@std/assert";
import { formatInterfaces, surveyInterfaces } from "../../nic/interfaces.ts";
import { Mempool, open } from "../../mod.ts";
import { ffiOnly, run, tool } from "../support/processes.ts";
import { canUseXdp, Veth } from "../support/veth.ts";

Deno.test({
  name: "surveyInterfaces() says how each interface can be used, and what for the kernel uses it",
  ignore: !canUseXdp,
  async fn() {
    await using veth = await Veth.make({ mtu: 3000 });
    const look = () => surveyInterfaces().find(({ name }) => name === veth.near)!;
    const { modes, ...rest } = look();
    const { address, near } = veth;
    const unused = {
      address,
      name: near,
      up: true,
      mtu: 3000,
      uses: [],
      program: false,
      portWithProgram: null,
    };
    assertEquals(rest, unused);
    // Kernels before 6.3 do not say it.
    if (modes !== null) {
      assertEquals(modes.filter((mode) => mode !== "zero-copy"), ["copy", "generic"]);
    }
    {
      using pool = new Mempool({ buffers: 1024, bufferSize: 4096 });
      using _device = await open(veth.address, { pool, xdp: { mode: "generic" } });
      assertEquals(look().program, true);
    }
    await tool("ip", "address", "add", "192.0.2.9/24", "dev", near);
    await tool("ip", "route", "add", "default", "via", "192.0.2.8", "dev", near, "metric", "4000");
    const uses = ["the address 192.0.2.9/24", "the default route of IPv4"];
    assertEquals(look().uses, uses);
    await tool("ip", "link", "set", near, "down");
    const lacks = ["CAP_NET_RAW", "CAP_BPF"];
    const survey = { ...look(), modes: ["copy", "generic"], portWithProgram: "eth9" } as const;
    const lines = [...formatInterfaces([survey], lacks)];
    assertEquals(lines, [
      `${address}  network interface`,
      `  kernel    down, MTU 3000; used for the address 192.0.2.9/24`,
      "  ixy.ts    xdp: copy, generic, but:",
      "            it is down",
      "            this process lacks CAP_NET_RAW, CAP_BPF: see `nic.ts doctor`",
      "            the kernel would no longer receive from it (--force)",
      "            eth9, a port of it, has an XDP program",
    ]);
  },
});

Deno.test({
  name: "nic.ts list shows network interfaces after the cards",
  ignore: !canUseXdp,
  async fn() {
    await using veth = await Veth.make();
    const { code, stdout } = await run(ffiOnly("nic.ts", ["--json", "list"]));
    assertEquals(code, 0);
    const all: { address: string; up?: boolean }[] = JSON.parse(stdout);
    assertEquals(all.find(({ address }) => address === veth.address)?.up, true);
  },
});
