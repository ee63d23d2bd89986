/**
 * Shows the machine's network cards, binds them, gives them back, dumps their registers, and says what
 * is missing: `deno run --allow-ffi nic.ts COMMAND`.
 *
 * @module
 */

import { UsageError } from "./mod.ts";
import { bind, type Binding, restore } from "./nic/binding.ts";
import { diagnose, formatDiagnosis } from "./nic/doctor.ts";
import { identify } from "./nic/drivers.ts";
import { cards, formatCards } from "./nic/list.ts";
import { dumpFunction, dumpRemote, formatDump, type IxgbeDump } from "./nic/registers.ts";
import { System } from "./nic/system.ts";
import { dumpVirtio, formatVirtio, type VirtioDump } from "./nic/virtio.ts";
import { type Arguments, choice, parse, run } from "./programs/program.ts";

const USAGE = `usage: deno run --allow-ffi nic.ts [options] COMMAND

  list                     every Ethernet controller: who has it, and how it could be driven here
  bind ADDRESS vfio-pci    gives a card to vfio-pci, for programs to drive by VFIO
  bind ADDRESS none        takes a card from its driver
  restore ADDRESS          gives a card back to the kernel's own driver
  regs ADDRESS [NAME …]    registers of an 82599, X540 or X550, all or those named, as far as the
                           kernel lets them be seen: not while vfio-pci has the card;
                           status, features and queues of a VirtIO card that no driver has
  doctor                   whether a card can be driven on this machine, and what is missing

ADDRESS is 0000:03:00.0 (PCI), or for regs vfio-user:PATH. bind and restore need root, and nothing
of them outlives a boot.

  --force                  bind: although its kernel interface is up or carries the default route,
                           or it is no Ethernet controller
  --all                    regs: read registers too that are cleared or changed by reading
  --virtio HOW             regs: interface of a VirtIO card that has two: legacy (default) or modern
  --json                   print JSON

regs writes nothing to an 82599, X540 or X550. It selects features and queues of a VirtIO card.
Exit code: 0; 1 if a device failed, or doctor finds no way to drive a card; 2 if something is to be
mended first, which the message says.`;

/** What a command prints, and its exit code. */
interface Outcome {
  readonly json: unknown;
  readonly lines: Iterable<string>;
  readonly code?: number;
}

/** A command: its operands, the options that are its own, and what it does. */
interface Command {
  readonly operands: { readonly least: number; readonly most: number; readonly what: string };
  readonly options: readonly string[];
  readonly run: (system: System, operands: readonly string[], args: Arguments) =>
    | Outcome
    | Promise<Outcome>;
}

const ADDRESS = { least: 1, most: 1, what: "an address" };
const NOTHING = { least: 0, most: 0, what: "nothing" };

const COMMANDS: Readonly<Record<string, Command>> = {
  list: {
    operands: NOTHING,
    options: [],
    run: (system) => {
      const json = cards(system);
      return { json, lines: formatCards(json) };
    },
  },
  bind: {
    operands: { least: 2, most: 2, what: "an address, and vfio-pci or none" },
    options: ["force"],
    run: (system, [address, driver], { values }) => {
      if (driver !== "vfio-pci" && driver !== "none") {
        throw new UsageError(`bind takes vfio-pci or none, not "${driver}": see --help`);
      }
      return bound(bind(system, address, driver, values.force === true));
    },
  },
  restore: {
    operands: ADDRESS,
    options: [],
    run: async (system, [address]) => bound(await restore(system, address)),
  },
  regs: {
    operands: { least: 1, most: Infinity, what: "an address, and names of registers" },
    options: ["all", "virtio"],
    run: (system, [address, ...names], args) => {
      const json = registers(system, address, names, args);
      return { json, lines: "transport" in json ? formatVirtio(json) : formatDump(json) };
    },
  },
  doctor: {
    operands: NOTHING,
    options: [],
    run: (system) => {
      const process = { deno: Deno.version.deno, processors: navigator.hardwareConcurrency };
      const json = diagnose(system, process);
      return { json, lines: formatDiagnosis(json), code: json.ready ? 0 : 1 };
    },
  },
};

function registers(
  system: System,
  address: string,
  names: readonly string[],
  args: Arguments,
): IxgbeDump | VirtioDump {
  const options = { names, all: args.values.all === true };
  const remote = /^vfio-user:(.+)$/.exec(address);
  const wanted = choice(args, "virtio", ["legacy", "modern"] as const);
  if (remote) return dumpRemote(address, remote[1], options);
  const found = system.function(address);
  const { driver, problem } = identify(found);
  if (driver === "ixgbe") return dumpFunction(system, found, options);
  if (driver === null) throw new UsageError(`${found.address}: ${problem}`);
  if (names.length > 0) {
    throw new UsageError(`${found.address}: a VirtIO card is shown whole: leave out ${names[0]}`);
  }
  return dumpVirtio(system, found, wanted);
}

function bound(json: Binding): Outcome {
  const { address, before, driver, interfaces, file, notes } = json;
  const has = driver === null ? "no driver has it" : `${driver} has it`;
  const line = `${address}: ${has}${before === driver ? ", as before" : ""}` +
    `${file === null ? "" : `, and who owns ${file} can use it`}` +
    `${interfaces.length > 0 ? `, as ${interfaces.join(", ")}` : ""}`;
  return { json, lines: [line, ...notes.map((note) => `${address}: ${note}`)] };
}

async function main(): Promise<number> {
  const kinds = { json: false, force: false, all: false, virtio: true };
  const args = parse(Deno.args, USAGE, kinds);
  const [name, ...operands] = args.positionals;
  if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
    const known = Object.keys(COMMANDS).join(", ");
    throw new UsageError(
      name === undefined
        ? `nic.ts takes a command: ${known}: see --help`
        : `"${name}" is no command: ${known}: see --help`,
    );
  }
  const { operands: { least, most, what }, options, run } = COMMANDS[name];
  if (operands.length < least || operands.length > most) {
    throw new UsageError(`${name} takes ${what}: see --help`);
  }
  for (const option of Object.keys(args.values)) {
    if (option === "json" || options.includes(option)) continue;
    throw new UsageError(`${name} has no option --${option}: see --help`);
  }
  const { json, lines, code = 0 } = await run(new System(), operands, args);
  if (args.values.json) console.log(JSON.stringify(json));
  else for (const line of lines) console.log(line);
  return code;
}

if (import.meta.main) await run(main);
