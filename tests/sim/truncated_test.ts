/** Clients that truncate the memory which they share with the software NIC. */

import { assertEquals, assertMatch } from "@std/assert";
import { ffiOnly, Program, PROJECT, run, Sim, TemporaryDirectory } from "../support/processes.ts";

Deno.test("sim/main.ts ends a client that truncates its memory, and the other ports go on", async () => {
  await using directory = await TemporaryDirectory.make();
  const wires = ["generator:rate=20000", "generator:rate=20000", "cable:1", "cable:1"];
  await using sim = await Sim.start(directory, wires);
  const [a, b, c, d] = sim.addresses;
  await using forwarder = await Program.start(ffiOnly("fwd.ts", ["--json", "--quiet", a, b]))
    .ready();
  await sim.command("start");
  await sim.reaches("frames", ([port]) => port.counters.received > 1000);
  const client = `${PROJECT}tests/support/truncating_client.ts`;
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "run", "-A", "--quiet", client, c, d, directory.path],
  );
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^(vfio-user:.*has closed the connection.*\n){2}$/);
  const { ports } = await sim.report();
  assertEquals(ports.map(({ connected }) => connected), [true, true, false, false]);
  const before = ports.map(({ counters }) => counters.received);
  await sim.reaches("more frames", ([one, two]) => {
    return one.counters.received > before[0] + 1000 && two.counters.received > before[1] + 1000;
  });
  await sim.command("stop");
  await sim.reaches("every frame to be accounted for", (ports) => {
    const wires = ports.slice(0, 2).map(({ wireStatistics }) => wireStatistics);
    const sum = (name: string) => wires[0][name] + wires[1][name];
    return sum("received") + sum("missed") === sum("sent");
  });
  forwarder.kill("SIGTERM");
  assertEquals((await forwarder.finish()).code, 0);
  await sim.program.write("quit");
  const result = await sim.program.finish();
  // The model may also have noted descriptors of zeros.
  const said = result.stderr.trim().split("\n");
  for (const line of said) assertMatch(line, /\/[23]\.sock: /);
  const truncated = said.filter((line) =>
    line.includes(": the client has truncated a file of its")
  );
  assertEquals(truncated.length, 2, result.stderr);
});
