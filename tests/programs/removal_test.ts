/** Programs whose card is pulled out while they run: registers and configuration space read as ones. */

import { exists, guardsOf } from "../support/guards.ts";
import { ADDRESSES, Plain, plainTest } from "../support/plain_ports.ts";
import { assertFailed, ffiOnly, until } from "../support/processes.ts";

const GONE = /^error: 0000:(aa|bb):00\.0: (configuration space|STATUS) reads .*gone/;

const PROGRAMS: Readonly<Record<string, (file: string) => [args: string[], flags?: string[]]>> = {
  "fwd.ts": () => [["--quiet", ...ADDRESSES]],
  "pktgen.ts": () => [["--quiet", ADDRESSES[0]]],
  "echo.ts": () => [["--quiet", ADDRESSES[0], "192.0.2.9"]],
  "pcap.ts": (file) => [["--quiet", ADDRESSES[0], file], [`--allow-write=${file}`]],
};

for (const [name, command] of Object.entries(PROGRAMS)) {
  plainTest(`${name} ends with one sentence when its card is removed`, async (directory) => {
    await using plain = await Plain.start(directory, "generator:rate=20000");
    const [args, flags] = command(directory.file("pcap"));
    await using program = await plain.program(ffiOnly(name, ["--json", ...args], flags)).ready();
    await plain.sim.command("start");
    await plain.sim.reaches("frames", ([port]) => port.counters.received > 100);
    const guards = guardsOf(program.pid);
    await plain.remove();
    assertFailed(await program.finish(5000), 1, GONE);
    await until("the guards' end", () => guards.every(({ pid }) => !exists(pid)));
  });
}
