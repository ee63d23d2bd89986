/**
 * Records register accesses of Linux's ixgbe, from its loading to its first received frames, to
 * `linux_ixgbe.trace`, which tests open:
 *
 *     deno run -A tests/explorer/record_linux.ts
 *
 * The driver runs in a virtual machine whose card is the software NIC. Of 40,000 accesses, the file has
 * the first of each table, and the first few of each loop.
 *
 * @module
 */

import { VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";
import { PROJECT, Sim, TemporaryDirectory } from "../support/processes.ts";

/** Copies of a register, and accesses to each of them, that the file has. */
const COPIES = 4, ACCESSES = 4;
/** Registers of which the file has all accesses: they tell the story. */
const WHOLE = /^(?:CTRL|LINKS|EICR|EIM|RDT|TDT|RXDCTL|TXDCTL|RXCTRL)/;
const ACCESS = /^\S+ \S+ (read |write) (\w+)(?:\[(\d+)\])? \S+$/;
const MINUTE_MS = 60_000;

/** Returns the lines of a trace that are worth reading. */
function shorten(lines: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return lines.filter((line) => {
    const [, kind, name, index = "0"] = ACCESS.exec(line) ?? [];
    if (name === undefined) return true; // bus mastering, resets, interrupts
    if (Number(index) >= COPIES) return false;
    const key = `${kind}${name}${index}`, count = seen.get(key) ?? 0;
    seen.set(key, count + 1);
    return count < ACCESSES || WHOLE.test(name);
  });
}

await using directory = await TemporaryDirectory.make();
const trace = directory.file("trace");
const options = ["--doorbells=trap", "--device-id=0x10fb", "--trace", trace];
await using sim = await Sim.start(directory, ["generator:rate=5"], options);
await using machine = await Machine.boot({
  ...{ kernel: "full", qemu: VFIO_USER_QEMU, machine: "q35", append: "ipv6.disable_ipv6=1" },
  modules: ["ixgbe"],
  arguments: vfioUserNics(sim.addresses, [3]),
});
for (const command of ["modprobe ixgbe", "ip link set eth0 up", "sleep 5"]) {
  const { code, stderr } = await machine.run(command, { milliseconds: MINUTE_MS });
  if (code !== 0) throw new Error(`${command}: ${stderr}`);
}
await sim.command("start");
await machine.run("sleep 1", { milliseconds: MINUTE_MS });
const lines = shorten((await Deno.readTextFile(trace)).trimEnd().split("\n"));
await Deno.writeTextFile(`${PROJECT}tests/explorer/linux_ixgbe.trace`, `${lines.join("\n")}\n`);
console.log(`${lines.length} lines`);
