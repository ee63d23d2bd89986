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
import { VIRTIO_INTERFACES } from "./programs/device_options.ts";
import { command } from "./programs/command_line.ts";
import { choice, flag, type Values } from "./programs/options.ts";
import { run } from "./programs/run.ts";

const ABOUT =
  `  list                     every Ethernet controller: who has it, and how it could be driven here
  bind ADDRESS vfio-pci    gives a card to vfio-pci, for programs to drive by VFIO
  bind ADDRESS none        takes a card from its driver
  restore ADDRESS          gives a card back to the kernel's own driver
  regs ADDRESS [NAME …]    registers of an 82599, X540 or X550, all or those named, as far as the
                           kernel lets them be seen: not while vfio-pci has the card;
                           status, features and queues of a VirtIO card that no driver has
  doctor                   whether a card can be driven on this machine, and what is missing

ADDRESS is 0000:03:00.0 (PCI), or for regs vfio-user:PATH. bind and restore need root, and nothing
of them outlives a boot.`;

const NOTES =
  `regs writes nothing to an 82599, X540 or X550. It selects features and queues of a VirtIO card.
Exit code: 0; 1 if a device failed, or doctor finds no way to drive a card; 2 if something is to be
mended first, which the message says.`;

const OPTIONS = {
  force: flag(
    "bind: although its kernel interface is up or carries the default route, or it is no Ethernet " +
      "controller",
  ),
  all: flag("regs: read registers too that are cleared or changed by reading"),
  virtio: choice("regs: interface of a VirtIO card that has two", VIRTIO_INTERFACES, {
    values: "legacy (default) or modern",
    default: undefined,
  }),
  json: flag("print JSON"),
};
type Arguments = Values<typeof OPTIONS>;

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
  readonly run: (system: System, operands: readonly string[], values: Arguments) =>
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
    run: (system, [address, driver], { force }) => {
      if (driver !== "vfio-pci" && driver !== "none") {
        throw new UsageError(`bind takes vfio-pci or none, not "${driver}": see --help`);
      }
      return bound(bind(system, address, driver, force));
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
    run: (system, [address, ...names], values) => {
      const json = registers(system, address, names, values);
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
  { all, virtio }: Arguments,
): IxgbeDump | VirtioDump {
  const options = { names, all };
  const remote = /^vfio-user:(.+)$/.exec(address);
  if (remote) return dumpRemote(address, remote[1], options);
  const found = system.function(address);
  const { driver, problem } = identify(found);
  if (driver === "ixgbe") return dumpFunction(system, found, options);
  if (driver === null) throw new UsageError(`${found.address}: ${problem}`);
  if (names.length > 0) {
    throw new UsageError(`${found.address}: a VirtIO card is shown whole: leave out ${names[0]}`);
  }
  return dumpVirtio(system, found, virtio);
}

function bound(json: Binding): Outcome {
  const { address, before, driver, interfaces, file, notes } = json;
  const has = driver === null ? "no driver has it" : `${driver} has it`;
  const line = `${address}: ${has}${before === driver ? ", as before" : ""}` +
    `${file === null ? "" : `, and who owns ${file} can use it`}` +
    `${interfaces.length > 0 ? `, as ${interfaces.join(", ")}` : ""}`;
  return { json, lines: [line, ...notes.map((note) => `${address}: ${note}`)] };
}

/** What to do. */
interface Plan {
  readonly command: Command;
  readonly operands: readonly string[];
  readonly values: Arguments;
}

/** The program, as it is called. */
export const NIC = command({
  start: "deno run --allow-ffi nic.ts",
  operands: { shown: "COMMAND", are: "a command", least: 0, most: Infinity },
  about: ABOUT,
  options: OPTIONS,
  notes: NOTES,
  plan({ values, named, operands: [name, ...operands] }): Plan {
    if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
      const known = Object.keys(COMMANDS).join(", ");
      throw new UsageError(
        name === undefined
          ? `nic.ts takes a command: ${known}: see --help`
          : `"${name}" is no command: ${known}: see --help`,
      );
    }
    const command = COMMANDS[name], { least, most, what } = command.operands;
    if (operands.length < least || operands.length > most) {
      throw new UsageError(`${name} takes ${what}: see --help`);
    }
    for (const option of named) {
      if (option === "json" || command.options.includes(option)) continue;
      throw new UsageError(`${name} has no option --${option}: see --help`);
    }
    return { command, operands, values };
  },
});

async function main({ command, operands, values }: Plan): Promise<number> {
  const { json, lines, code = 0 } = await command.run(new System(), operands, values);
  if (values.json) console.log(JSON.stringify(json));
  else for (const line of lines) console.log(line);
  return code;
}

if (import.meta.main) await run(NIC, main);
