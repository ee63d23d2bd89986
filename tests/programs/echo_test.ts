/**
 * `echo.ts` as a process: what it refuses, and that it answers Linux and single frames.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Namespace } from "../support/namespaces.ts";
import {
  assertRefused,
  ffiOnly,
  isRoot,
  requirePackages,
  type Result,
  run,
  Sim,
  TemporaryDirectory,
  tool,
} from "../support/processes.ts";
import { Cable, randomFrame, startProgram, stopProgram } from "../support/programs.ts";

const IP = "192.0.2.9", OTHER_IP = "192.0.2.8";
const DEVICE_MAC = [0x02, 0x69, 0x78, 0x79, 0, 0], MAC = [0x02, 0, 0, 0, 0, 7];

function echo(...args: string[]): Promise<Result> {
  return run(ffiOnly("echo.ts", args));
}

Deno.test("echo.ts --help prints its usage", async () => {
  const { code, stdout, stderr } = await echo("--help");
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^usage: deno run --allow-ffi echo\.ts .*\n/);
});

Deno.test("echo.ts refuses invalid command lines with one sentence", async (t) => {
  const a = "vfio-user:none.sock";
  const addresses = [
    "192.0.2",
    "192.0.2.1.1",
    "192.0.2.256",
    "192.0.02.1",
    "192.0.2.1/24",
    "::1",
  ];
  const groups = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"];
  const cases: [args: string[], sentence: RegExp][] = [
    [[], /a device and an IP address, not 0/],
    [[a], /a device and an IP address, not 1/],
    [[a, IP, IP], /a device and an IP address, not 3/],
    [[a, ""], /operand 2 is empty/],
    [[a, IP], /none\.sock: no such file/],
    [["eth0", IP], /"eth0" is not a device address/],
    [["--batch=0", a, IP], /--batch .* from 1 to 256/],
    [["--virtio=new", a, IP], /--virtio takes legacy or modern/],
    [["--count=5", a, IP], /--count/],
    ...[...addresses, ...groups].map((ip): [string[], RegExp] => [
      [a, ip],
      /is not the IPv4 address of a host: use one such as 192\.0\.2\.1$/m,
    ]),
  ];
  for (const [args, sentence] of cases) {
    await t.step(`echo.ts refuses ${args.join(" ") || "no arguments"}`, async () => {
      assertRefused(await echo(...args), sentence);
    });
  }
});

/** Returns a broadcast ARP request for an address, from 192.0.2.1. */
function arpRequest(ip: string): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(60);
  request.set([255, 255, 255, 255, 255, 255, ...MAC, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...MAC]);
  request.set([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, ...ip.split(".").map(Number)], 28);
  return request;
}

Deno.test("echo.ts answers ARP for its address only, ignores other frames, and ends at signals", async () => {
  await using directory = await TemporaryDirectory.make();
  const [near, far] = [directory.file("near"), directory.file("far")];
  using cable = new Cable(far, near);
  await using sim = await Sim.start(directory, [`dgram:${near},${far}`]);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    await using program = await startProgram("echo.ts", [...sim.addresses, IP]);
    const noise = [60, 100, 1514].map((bytes) => {
      const frame = randomFrame(bytes);
      frame.set(DEVICE_MAC);
      return frame;
    });
    for (const frame of [...noise, arpRequest(OTHER_IP), arpRequest(IP)]) cable.send(frame);
    const [answer] = await cable.take(1);
    assertEquals([...answer.subarray(0, 12)], [...MAC, ...DEVICE_MAC]);
    assertEquals([...answer.subarray(20, 32)], [0, 2, ...DEVICE_MAC, 192, 0, 2, 9]);
    const { ports: [{ arp, echo, ignored, dropped, txPackets }] } = await stopProgram(
      program,
      signal,
    );
    assertEquals({ arp, echo, ignored, dropped }, { arp: 1, echo: 0, ignored: 4, dropped: 0 });
    assertEquals([txPackets, cable.receive()], [1, undefined]);
  }
  await sim.quit();
});

Deno.test({
  name: "echo.ts answers pings of Linux to its address, and to no other",
  ignore: !isRoot,
  fn: async (t) => {
    await requirePackages("iproute2", "ping");
    await using directory = await TemporaryDirectory.make();
    const name = `ixyecho${Deno.pid % 1e7}`;
    await using sim = await Sim.start(directory, [`tap:${name}`]);
    await using here = await Namespace.make(name, name, "192.0.2.1");
    await using program = await startProgram("echo.ts", [...sim.addresses, IP]);
    const ping = (...options: string[]) => {
      return run(here.command("ping", "-n", "-i", "0.2", "-W", "5", ...options));
    };
    for (const options of [["-s", "0"], ["-s", "1472"], ["-s", "57", "-R"], ["-p", "ff"]]) {
      await t.step(`ping ${options.join(" ")}`, async () => {
        const { code, stdout } = await ping(...options, "-c", "5", IP);
        assertMatch(stdout, /^5 packets transmitted, 5 received, 0% packet loss/m);
        assert(!/wrong data|DUP/.test(stdout), stdout);
        assertEquals(code, 0);
      });
    }
    await t.step("the kernel has its Ethernet address from ARP", async () => {
      const neighbour = await tool("ip", "-n", here.name, "neighbour", "show", IP);
      assertMatch(neighbour, /lladdr 02:69:78:79:00:00/);
    });
    await t.step("another address is not answered", async () => {
      const { code, stdout } = await ping("-c", "1", "-w", "1", OTHER_IP);
      assertMatch(stdout, / 0 received, 100% packet loss/);
      assertEquals(code, 1);
    });
    const { ports: [{ arp, echo, dropped }] } = await stopProgram(program);
    assertEquals([echo, dropped], [20, 0]);
    assert(arp as number > 0);
    await sim.quit();
  },
});
