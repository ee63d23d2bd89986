/**
 * Lists the machine's network cards, binds and restores them, dumps their registers, identifies
 * their modules, dumps their EEPROMs, blinks their LEDs, tests them, and reports what the machine
 * lacks:
 * `deno run --allow-ffi nic.ts COMMAND`.
 *
 * @module
 */

import { visible } from "./native/files.ts";
import { stoppable } from "./native/stop.ts";
import { DeviceError, StopFlag, UsageError } from "./mod.ts";
import { bind, type Binding, restore } from "./nic/binding.ts";
import { diagnose, formatDiagnosis } from "./nic/doctor.ts";
import { identify } from "./nic/drivers.ts";
import { eepromBytes, eepromOf, formatEeprom } from "./nic/eeprom.ts";
import { blinkLed, formatLed } from "./nic/led.ts";
import { missingForXdp } from "./nic/capabilities.ts";
import { formatInterfaces, surveyInterfaces } from "./nic/interfaces.ts";
import { assessed, formatCards } from "./nic/list.ts";
import { formatModule, moduleOf } from "./nic/module.ts";
import { dumpFunction, dumpRemote, formatDump, type IxgbeDump } from "./nic/registers.ts";
import { selftest } from "./nic/selftest.ts";
import { accessesTo } from "./nic/selftest/access.ts";
import {
  formatHead,
  formatPage,
  formatResult,
  formatTotal,
  functionOf,
  machineOf,
} from "./nic/selftest/page.ts";
import { type Survey, System } from "./nic/system.ts";
import { dumpVirtio, formatVirtio, type VirtioDump } from "./nic/virtio.ts";
import { openSink, reason, type Sink } from "./packets/capture_file.ts";
import { VIRTIO_INTERFACES } from "./programs/device_options.ts";
import { command } from "./programs/command_line.ts";
import { choice, decimal, flag, text, type Values } from "./programs/options.ts";
import { err, out } from "./programs/output.ts";
import { run } from "./programs/run.ts";

const ABOUT =
  `  list                     list Ethernet controllers and network interfaces, their drivers, and how
                           ixy.ts can drive them
  bind ADDRESS vfio-pci    bind a card to vfio-pci, so that programs can drive it through VFIO
  bind ADDRESS none        unbind a card from its driver
  restore ADDRESS          bind a card to the kernel's own driver again
  regs ADDRESS [NAME …]    read registers of an 82599, X540 or X550, default: all; the kernel does
                           not allow it while the card is bound to vfio-pci. Of a VirtIO card
                           without a driver: status, features and queues
  module ADDRESS           identify the module in the SFP+ cage of an 82599
  eeprom ADDRESS           dump the EEPROM of an 82599, X540 or X550; check its checksum
  identify ADDRESS         blink the LED of a port of an 82599, X540 or X550
  selftest ADDRESS [ADDRESS]
                           test an 82599, X540 or X550, or two ports that a cable joins: registers,
                           EEPROM, link, packets in loopback, filters, RSS, interrupts, closing
  doctor                   check whether this machine can drive a card, and report what it lacks

ADDRESS is 0000:03:00.0 (PCI), or for regs, module, eeprom, identify and selftest vfio-user:PATH.
bind and restore need root. Their effect ends when the machine restarts.`;

const NOTES =
  `regs does not write to an 82599, X540 or X550. On a VirtIO card it writes the selectors of
features and queues. module writes I2CCTL, and the semaphores that guard it. eeprom writes EERD, on
an X550 the host interface, and semaphores; identify writes LEDCTL, and restores it. All of these
share the card with a driver that uses it. selftest does not: it takes the card over as fwd.ts does,
and leaves it without a driver. It takes the link down for some seconds, also for a management
controller that shares the port. Its page has no MAC address, serial number or PCI address.
Exit code: 0; 1 if a device or a check failed, or doctor finds no way to drive a card; 2 for a
wrong command or a problem to fix first, see the message.`;

const OPTIONS = {
  force: flag(
    "bind: even if the kernel interface is up or carries the default route, or the device is not " +
      "an Ethernet controller; selftest: even if the kernel interface is up",
  ),
  all: flag("regs: also read registers that reading clears or changes"),
  report: text("selftest: also write the page to FILE", "FILE", "a file"),
  virtio: choice("regs: interface of a VirtIO card that has both", VIRTIO_INTERFACES, {
    values: "legacy (default) or modern",
    default: undefined,
  }),
  raw: text(
    "eeprom: write the words to FILE, the lower byte first; needs --allow-write=FILE. FILE may be -, " +
      "the standard output",
    "FILE",
    "the name of a file",
  ),
  seconds: decimal("identify: blink for N seconds", {
    ...{ least: 0.1, most: 86400, default: 10 },
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

/** A command: its operands, its options, and its function. */
interface Command {
  readonly operands: { readonly least: number; readonly most: number; readonly what: string };
  readonly options: readonly string[];
  readonly run: (
    system: System,
    operands: readonly string[],
    values: Arguments,
    stop: StopFlag,
  ) => Outcome | Promise<Outcome>;
}

const ADDRESS = { least: 1, most: 1, what: "an address" };
const NOTHING = { least: 0, most: 0, what: "no operands" };

const COMMANDS: Readonly<Record<string, Command>> = {
  list: {
    operands: NOTHING,
    options: [],
    run: (system) => {
      const found = system.ethernetFunctions(), cards = assessed(found);
      const interfaces = surveyInterfaces(), code = complain(found);
      const lacks = missingForXdp(system);
      const lines = [...formatCards(cards), ...formatInterfaces(interfaces, lacks)];
      return { json: [...cards, ...interfaces], lines, code };
    },
  },
  bind: {
    operands: { least: 2, most: 2, what: "an address and a driver, vfio-pci or none" },
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
  module: {
    operands: ADDRESS,
    options: [],
    run: async (system, [address]) => {
      const json = await stoppable(() => moduleOf(system, address));
      return { json, lines: formatModule(json) };
    },
  },
  eeprom: {
    operands: ADDRESS,
    options: ["raw"],
    run: async (system, [address], { raw }) => {
      const json = await stoppable(() => eepromOf(system, address));
      const code = json.present && json.checksum === json.computed ? 0 : 1;
      if (raw === undefined) return { json, lines: formatEeprom(json), code };
      writeRaw(raw, eepromBytes(json)); // after the card: a wrong address must not truncate the file
      return { json: undefined, lines: [], code };
    },
  },
  identify: {
    operands: ADDRESS,
    options: ["seconds"],
    run: async (system, [address], { seconds }, stop) => {
      const json = await blinkLed(system, address, seconds, () => stop.signal !== 0);
      return { json, lines: formatLed(json) };
    },
  },
  selftest: {
    operands: { least: 1, most: 2, what: "an address, or those of two ports that a cable joins" },
    options: ["force", "report"],
    run: test,
  },
  doctor: {
    operands: NOTHING,
    options: [],
    run: (system) => {
      const process = { deno: Deno.version.deno, processors: navigator.hardwareConcurrency };
      complain(system.ethernetFunctions());
      const json = diagnose(system, process);
      return { json, lines: formatDiagnosis(json), code: json.ready ? 0 : 1 };
    },
  },
};

/** Prints which functions cannot be read; returns the exit code for them. */
function complain({ problems }: Survey): number {
  for (const problem of problems) err.print(`error: ${visible(problem)}`);
  return problems.length > 0 ? 1 : 0;
}

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
    throw new UsageError(
      `${found.address}: regs takes no register names for a VirtIO card: omit ${names[0]}`,
    );
  }
  return dumpVirtio(system, found, virtio);
}

/** Tests ports. Prints each result when it is there, unless JSON is printed at the end. */
async function test(
  system: System,
  addresses: readonly string[],
  { force, report, json }: Arguments,
  stop: StopFlag,
): Promise<Outcome> {
  const accesses = accessesTo(system, addresses);
  const head = {
    date: new Date().toISOString().slice(0, 10),
    machine: machineOf(system),
    functions: accesses.map((access) => functionOf(system, access)),
  };
  using open = new DisposableStack();
  let file: Sink | undefined;
  const print = (line: string) => json || out.print(line);
  let first = true; // neither page nor file if a device cannot be used
  const results = await selftest(accesses, {
    force,
    stopped: () => stop.signal !== 0,
    onResult(result) {
      if (first) {
        if (report !== undefined) file = open.use(openSink(report)); // it may fail: not after all checks
        for (const line of formatHead(head)) print(line);
        first = false;
      }
      print(formatResult(result));
    },
  });
  const page = { ...head, results };
  const lines = [...formatPage(page)].map((line) => `${line}\n`).join("");
  if (file) writeWhole(report!, file, new TextEncoder().encode(lines));
  const code = results.every(({ verdict }) => verdict !== "FAILED") && stop.signal === 0 ? 0 : 1;
  return { json: page, lines: ["", formatTotal(results)], code };
}

/** Writes bytes to a file; `-` is the standard output. */
function writeRaw(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  using sink = openSink(name);
  writeWhole(name, sink, bytes);
}

function writeWhole(name: string, sink: Sink, bytes: Uint8Array<ArrayBuffer>): void {
  try {
    for (let done = 0; done < bytes.length;) done += sink.writeSync(bytes.subarray(done));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const shown = name === "-" ? "standard output" : name;
    throw new DeviceError(shown, `${reason(error)}: what is there is not complete`);
  }
}

function bound(json: Binding): Outcome {
  const { address, before, driver, interfaces, file, notes } = json;
  const bound = driver === null ? "not bound to a driver" : `bound to ${driver}`;
  const line = `${address}: ${bound}${before === driver ? ", as before" : ""}` +
    `${file === null ? "" : `, the owner of ${file} can use it`}` +
    `${interfaces.length > 0 ? `, interface ${visible(interfaces.join(", "))}` : ""}`;
  return { json, lines: [line, ...notes.map((note) => `${address}: ${note}`)] };
}

/** What the command line requests. */
interface Plan {
  readonly command: Command;
  readonly operands: readonly string[];
  readonly values: Arguments;
}

/** The program's command line. */
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
          ? `nic.ts takes a command (${known}): see --help`
          : `"${name}" is not a command (${known}): see --help`,
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
    if (values.json && values.raw !== undefined) {
      throw new UsageError("--raw writes words instead of a report: omit --json");
    }
    if (values.report === "-") {
      throw new UsageError("--report takes a file: the page goes to the standard output anyway");
    }
    return { command, operands, values };
  },
});

async function main({ command, operands, values }: Plan): Promise<number> {
  // A signal must not end the process between two steps: a card would stay half bound, or its
  // semaphore taken.
  using stop = new StopFlag();
  const { json, lines, code = 0 } = await command.run(new System(), operands, values, stop);
  if (json === undefined) return code; // it went to a file
  out.printAndWait(values.json ? [JSON.stringify(json)] : lines);
  return code;
}

if (import.meta.main) await run(NIC, main);
