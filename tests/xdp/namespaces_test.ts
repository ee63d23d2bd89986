/**
 * Programs on virtual Ethernet interfaces, between network stacks in namespaces of their own: ping, TCP,
 * numbered packets, a program that is killed, permissions. As root only.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { Namespace, ping, PORT, transfer } from "../support/namespaces.ts";
import {
  assertRefused,
  ffiOnly,
  Program,
  PROJECT,
  requirePackages,
  run,
  Sim,
  TemporaryDirectory,
  tool,
  until,
} from "../support/processes.ts";
import { buildDeny, SYSTEM_CALL } from "../support/seccomp.ts";
import { startForwarder, stopProgram, totals } from "../support/programs.ts";
import { canUseXdp, Veth } from "../support/veth.ts";

const BYTES = 5_000_000;

/** Runs a test with two pairs of interfaces. The far ends are in namespaces, with addresses. */
function between(
  name: string,
  fn: (devices: readonly [Veth, Veth], a: Namespace, b: Namespace) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: !canUseXdp,
    async fn() {
      await requirePackages("iproute2", "ping");
      await using first = await Veth.make();
      await using second = await Veth.make();
      await using a = await Namespace.make(first.far, first.far, "192.0.2.1");
      await using b = await Namespace.make(second.far, second.far, "192.0.2.2");
      await fn([first, second], a, b);
    },
  });
}

/** Runs a test with a pair of interfaces. */
function test(name: string, fn: (veth: Veth, directory: TemporaryDirectory) => Promise<void>) {
  Deno.test({
    name,
    ignore: !canUseXdp,
    async fn() {
      await using veth = await Veth.make();
      await using directory = await TemporaryDirectory.make();
      await fn(veth, directory);
    },
  });
}

between("fwd.ts connects two network stacks through interfaces", async (devices, a, b) => {
  await using directory = await TemporaryDirectory.make();
  const addresses = devices.map(({ address }) => address);
  for (const options of [[], ["--interrupts"], ["--xdp=generic"]]) {
    await using forwarder = await startForwarder(addresses, ["--no-touch", ...options]);
    await ping(a, b, 1472);
    await transfer(directory, a, b, BYTES);
    const { ports } = await stopProgram(forwarder);
    for (const { errors } of ports) assertEquals(errors, 0);
  }
});

Deno.test({
  name: "fwd.ts --workers connects two network stacks through interfaces with two queues",
  ignore: !canUseXdp,
  async fn() {
    await using directory = await TemporaryDirectory.make();
    await using first = await Veth.make({ queues: 2 });
    await using second = await Veth.make({ queues: 2 });
    await using a = await Namespace.make(first.far, first.far, "192.0.2.1");
    await using b = await Namespace.make(second.far, second.far, "192.0.2.2");
    const addresses = [first.address, second.address];
    const options = ["--no-touch", "--queues=2", "--workers=2"];
    await using forwarder = await startForwarder(addresses, options, [`--allow-read=${PROJECT}`]);
    await ping(a, b, 1472);
    await transfer(directory, a, b, BYTES);
    const { ports: [from, to] } = await stopProgram(forwarder);
    assertEquals([from.errors, to.errors], [0, 0]);
    assertEquals(from.rxPackets > BYTES / 1500, true);
    assertEquals(to.txPackets > BYTES / 1500, true);
  },
});

test(
  "pktgen.ts --check finds no fault in packets that pass an interface and the software NIC",
  async (veth, directory) => {
    const end = directory.file("end"); // a cable that sends frames back
    await using sim = await Sim.start(directory, [`dgram:${end},${end}`]);
    await using forwarder = await startForwarder([veth.address, ...sim.addresses]);
    // No more packets than a ring holds: on a busy machine, the forwarder may not run for long.
    for (const size of [60, 1514]) {
      const args = [
        "--json",
        "--quiet",
        "--check",
        "--count=500",
        "--rate=2000",
        `--size=${size}`,
      ];
      const { code, stdout, stderr } = await run(
        ffiOnly("pktgen.ts", [...args, `xdp:${veth.far}`]),
      );
      assertEquals([code, stderr], [0, ""], stdout);
      const [{ txPackets, rxPackets, rxBytes }] = totals(stdout).ports;
      assertEquals([txPackets, rxPackets, rxBytes], [500, 500, 500 * size]);
    }
    await stopProgram(forwarder);
    await sim.quit();
  },
);

test("fwd.ts ends with a sentence when an interface is deleted", async (veth) => {
  await using other = await Veth.make();
  await using forwarder = await startForwarder([veth.address, other.address]);
  await tool("ip", "link", "delete", veth.near);
  const { code, stderr } = await forwarder.finish();
  assertMatch(
    stderr,
    /^error: xdp:\w+: .*deleted or moved to another network namespace: see `ip link`\n$/,
  );
  assertEquals(code, 1);
});

test(
  "pcap.ts in the namespace of an interface leaves it the traffic of --pass",
  async (veth, directory) => {
    await using a = await Namespace.make(veth.near, veth.near, "192.0.2.1");
    await using b = await Namespace.make(veth.far, veth.far, "192.0.2.2");
    const program = (...args: string[]) => ffiOnly("pcap.ts", [...args, veth.address, "-"]);
    const refused = await run(a.command(...program("--pass=arp")));
    assertRefused(refused, /the address 192\.0\.2\.1\/24, .* or set `force` \(--force\)/);

    const options = ["--force", `--pass=arp,tcp:${PORT}`, "--json"];
    await using capture = Program.start(a.command(...program(...options)));
    await until("the program to start", () => capture.stderr.includes('"ready":true'));
    await transfer(directory, b, a, 1_000_000);
    const { stdout } = await run(b.command("ping", "-n", "-c", "1", "-W", "1", "192.0.2.1"));
    assertMatch(stdout, / 0 received/, "ICMP goes to the program");
    capture.kill("SIGTERM");
    const { code, stderr } = await capture.finish();
    assertEquals(code, 0);
    const packets = Number(/"rxPackets":(\d+)(?!.*"rxPackets")/s.exec(stderr)?.[1]);
    assertEquals(packets >= 1 && packets < 20, true, stderr);
  },
);

test(
  "pcap.ts --take gets the traffic that it names, and the kernel all other",
  async (veth, directory) => {
    await using a = await Namespace.make(veth.near, veth.near, "192.0.2.1");
    await using b = await Namespace.make(veth.far, veth.far, "192.0.2.2");
    const options = ["--force", "--take=icmp", "--json", veth.address, "-"];
    await using capture = Program.start(a.command(...ffiOnly("pcap.ts", options)));
    await until("the program to start", () => capture.stderr.includes('"ready":true'));
    await transfer(directory, b, a, 1_000_000);
    const { stdout } = await run(b.command("ping", "-n", "-c", "1", "-W", "1", "192.0.2.1"));
    assertMatch(stdout, / 0 received/);
    capture.kill("SIGTERM");
    const { code, stderr } = await capture.finish();
    assertEquals(code, 0);
    // Besides the ping, the other end's kernel may ask for routers over ICMPv6.
    const packets = Number(/"rxPackets":(\d+)(?!.*"rxPackets")/s.exec(stderr)?.[1]);
    assertEquals(packets >= 1 && packets < 10, true, stderr);
  },
);

test(
  "pcap.ts explains a kernel without AF_XDP, and one that forbids bpf(2)",
  async (veth, directory) => {
    const deny = directory.file("deny"), { socket, bpf } = SYSTEM_CALL;
    await buildDeny(deny);
    const AF_XDP = 44, EAFNOSUPPORT = 97, ENOSYS = 38, BPF_MAP_CREATE = 0, BPF_PROG_LOAD = 5;
    const details = () => tool("ip", "-d", "link", "show", veth.near);
    const before = await details();
    for (
      const [call, sentence] of [
        [`${socket}:${AF_XDP}:${EAFNOSUPPORT}`, /use a kernel with CONFIG_XDP_SOCKETS\n$/],
        [`${bpf}`, /make a map: .* a container may forbid it: .*`--cap-add NET_RAW --cap-add/],
        [`${bpf}:${BPF_MAP_CREATE}:${ENOSYS}`, /use a kernel with CONFIG_BPF_SYSCALL\n$/],
        [
          `${bpf}:${BPF_PROG_LOAD}`,
          /load the program: .* bpf\(2\) needs CAP_BPF and CAP_NET_ADMIN/,
        ],
      ] as const
    ) {
      assertRefused(
        await run([deny, call, "--", ...ffiOnly("pcap.ts", [veth.address, "-"])]),
        sentence,
      );
      assertEquals(await details(), before, call);
    }
  },
);
