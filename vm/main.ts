/**
 * `deno task vm`: boots this project in QEMU, with two network cards that a cable joins, and gives
 * the terminal to a shell in it, or runs one command in it.
 *
 * @module
 */

import { command } from "../programs/command_line.ts";
import { choice, flag, text, whole } from "../programs/options.ts";
import { run } from "../programs/run.ts";
import { UsageError } from "../src/errors.ts";
import { Boot, type MachineOptions } from "./boot.ts";
import { addressOf, VIRTIO_KINDS, type VirtioKind, virtioNic } from "./devices.ts";
import { Machine } from "./machine.ts";

const SLOTS = [3, 4];

/** What to do. */
interface Plan {
  readonly options: MachineOptions;
  /** The cards' interface. */
  readonly kind: VirtioKind;
  /** What to run instead of a shell. */
  readonly command: string | undefined;
  /** Longest that it may take. */
  readonly seconds: number;
}

/** The program, as it is called. */
export const VM = command({
  start: "deno task vm",
  rest: "QEMU-ARGUMENT...",
  about:
    `Boots this project in QEMU, with two virtio network cards at 0000:00:03.0 and 0000:00:04.0 that a
cable joins, and a shell in the project's directory. \`exit\` ends it; Ctrl-C goes to the program
that runs in it. The first time it downloads QEMU, unless it is installed, and a kernel from Debian,
without installing them, to ~/.cache/ixy.ts.`,
  options: {
    devices: choice("interface of the cards", VIRTIO_KINDS, { value: "KIND", default: "legacy" }),
    machine: choice("pc, or q35 with PCI Express", ["pc", "q35"], {
      ...{ value: "NAME", values: "(default pc)", default: "pc" },
    }),
    memory: whole("memory", { value: "MIB", least: 512, most: 16384, default: 1024 }),
    kvm: flag("use the host's KVM; else the processor is emulated, about a tenth as fast"),
    command: text("run it instead of a shell, and exit with its exit code", "COMMAND", "a command"),
    seconds: whole("longest that it may take", { least: 1, most: 1e6, default: 600 }),
  },
  notes: "What follows -- goes to QEMU, for example: -- -device e1000e,addr=6",
  plan({ values, named, rest }): Plan {
    const { devices: kind, machine, memory, kvm, command, seconds } = values;
    if (named.has("seconds") && command === undefined) {
      throw new UsageError("--seconds belongs to --command");
    }
    const cards = SLOTS.flatMap((slot) => virtioNic({ kind, slot, netdev: "hubport,hubid=0" }));
    return {
      options: { machine, memory, kvm, arguments: [...cards, ...rest] },
      kind,
      command,
      seconds,
    };
  },
});

async function main({ options, kind, command, seconds }: Plan): Promise<number> {
  if (command === undefined) return await shell(options, kind);
  return await runCommand(options, command, seconds * 1000);
}

/** Runs a command, prints what it prints as it comes, and returns its exit code. */
async function runCommand(
  options: MachineOptions,
  command: string,
  milliseconds: number,
): Promise<number> {
  await using machine = await Machine.boot(options);
  const program = await machine.start(command, (stream, bytes) => {
    const to = Deno[stream];
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(to.writeSync(rest));
  });
  return (await program.finish(milliseconds)).code;
}

/** Gives the terminal to a shell in the guest until that ends. */
async function shell(options: MachineOptions, kind: VirtioKind): Promise<number> {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) {
    throw new UsageError("a shell needs a terminal: give --command COMMAND (see --help)");
  }
  const [a, b] = SLOTS.map((slot) => addressOf({ slot }));
  console.log(`booting, with ${kind} virtio at ${a} and ${b}; when the shell is there, try

  deno run --allow-ffi pktgen.ts --seconds 5 ${a} & deno run --allow-ffi pcap.ts --count 10 ${b} x.pcap
  deno run --allow-ffi fwd.ts ${a} ${b}

\`exit\` ends the machine.
`);
  const { rows, columns } = Deno.consoleSize();
  using boot = await Boot.prepare(options, `${rows}x${columns}`);
  const args = [
    // QEMU gives the terminal its settings back if it is asked to end.
    ...["--pdeathsig", "TERM", ...boot.command],
    ...["-chardev", "file,id=log,path=/dev/stderr", "-serial", "chardev:log"],
    ...["-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"],
  ];
  return (await new Deno.Command("setpriv", { args, stdin: "inherit" }).spawn().status).code;
}

if (import.meta.main) await run(VM, main);
