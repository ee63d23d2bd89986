/**
 * `deno task vm`: boots this project in QEMU, with two network cards that a cable joins, and gives
 * the terminal to a shell in it, or runs one command in it.
 *
 * @module
 */

import { choice, number, parse, run } from "../programs/program.ts";
import { UsageError } from "../src/errors.ts";
import { Boot, type MachineOptions } from "./boot.ts";
import { addressOf, VIRTIO_KINDS, type VirtioKind, virtioNic } from "./devices.ts";
import { Machine } from "./machine.ts";

const USAGE = `usage: deno task vm [options] [-- QEMU-ARGUMENT...]

Boots this project in QEMU, with two virtio network cards at 0000:00:03.0 and 0000:00:04.0 that a
cable joins, and a shell in the project's directory. \`exit\` ends it; Ctrl-C goes to the program
that runs in it. The first time it downloads QEMU, unless it is installed, and a kernel from Debian,
without installing them, to ~/.cache/ixy.ts.

  --devices KIND     interface of the cards: legacy (default), transitional or modern
  --machine NAME     pc (default), or q35 with PCI Express
  --memory MIB       512 to 16384 (default 1024)
  --kvm              use the host's KVM; else the processor is emulated, about a tenth as fast
  --command COMMAND  run it instead of a shell, and exit with its exit code
  --seconds N        longest that it may take (default 600)
  --help             print this

What follows -- goes to QEMU, for example: -- -device e1000e,addr=6`;

const OPTIONS = {
  devices: true,
  machine: true,
  memory: true,
  kvm: false,
  command: true,
  seconds: true,
};
const MACHINES = ["pc", "q35"] as const;
const SLOTS = [3, 4];
const COMMAND_SECONDS = 600;

async function main(): Promise<number> {
  const separator = Deno.args.indexOf("--");
  const own = separator < 0 ? Deno.args : Deno.args.slice(0, separator);
  const args = parse(own, USAGE, OPTIONS);
  if (args.positionals.length > 0) {
    throw new UsageError(`${args.positionals[0]} is no option: see --help`);
  }
  const kind = choice(args, "devices", VIRTIO_KINDS) ?? "legacy";
  const options: MachineOptions = {
    machine: choice(args, "machine", MACHINES) ?? "pc",
    memory: number(args, "memory", 1024, 512, 16384),
    kvm: args.values.kvm === true,
    arguments: [
      ...SLOTS.flatMap((slot) => virtioNic({ kind, slot, netdev: "hubport,hubid=0" })),
      ...separator < 0 ? [] : Deno.args.slice(separator + 1),
    ],
  };
  const { command } = args.values;
  const seconds = number(args, "seconds", COMMAND_SECONDS, 1, 1e6);
  if (typeof command === "string") return await runCommand(options, command, seconds * 1000);
  if (args.values.seconds !== undefined) throw new UsageError("--seconds belongs to --command");
  return await shell(options, kind);
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

if (import.meta.main) await run(main);
