/**
 * `deno task vm`: boots this project in QEMU with two network cards that are connected by a cable,
 * and runs a shell on the terminal, or one command.
 *
 * @module
 */

import { command } from "../programs/command_line.ts";
import { choice, flag, text, whole } from "../programs/options.ts";
import { interruptible, type Interruption } from "../programs/interruption.ts";
import { run } from "../programs/run.ts";
import { UsageError } from "../src/errors.ts";
import { Boot, type MachineOptions } from "./boot.ts";
import { addressOf, VIRTIO_KINDS, type VirtioKind, virtioNic } from "./devices.ts";
import { Machine } from "./machine.ts";

const SLOTS = [3, 4];

/** What the command line requests. */
interface Plan {
  readonly options: MachineOptions;
  /** The cards' interface. */
  readonly kind: VirtioKind;
  /** Command to run instead of a shell. */
  readonly command: string | undefined;
  /** Longest that the command may take. */
  readonly seconds: number;
}

/** The program's command line. */
export const VM = command({
  start: "deno task vm",
  rest: "QEMU-ARGUMENT...",
  about:
    `Boots this project in QEMU with two virtio network cards at 0000:00:03.0 and 0000:00:04.0, which are
connected by a cable, and runs a shell in the project's directory. \`exit\` ends the machine; Ctrl-C
interrupts the program in the shell. The first start downloads a kernel, and QEMU if it is not
installed, from Debian to ~/.cache/ixy.ts, and does not install them.`,
  options: {
    devices: choice("interface of the cards", VIRTIO_KINDS, { value: "KIND", default: "legacy" }),
    machine: choice("pc, or q35 with PCI Express", ["pc", "q35"], {
      ...{ value: "NAME", values: "(default pc)", default: "pc" },
    }),
    memory: whole("memory", { value: "MIB", least: 512, most: 16384, default: 1024 }),
    kvm: flag("use the host's KVM; default: emulate the processor, about a tenth as fast"),
    command: text("run this instead of a shell, and exit with its code", "COMMAND", "a command"),
    seconds: whole("longest that the command may take", { least: 1, most: 1e6, default: 600 }),
  },
  notes: "Arguments after -- are passed to QEMU, for example: -- -device e1000e,addr=6",
  plan({ values, named, rest }): Plan {
    const { devices: kind, machine, memory, kvm, command, seconds } = values;
    if (named.has("seconds") && command === undefined) {
      throw new UsageError("--seconds needs --command: add --command, or omit --seconds");
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

async function main(
  { options, kind, command, seconds }: Plan,
  interruption: Interruption,
): Promise<number> {
  if (command === undefined) return await shell(options, kind, interruption);
  return await runCommand(options, command, seconds * 1000, interruption);
}

/** Runs a command, prints its output as it arrives, and returns its exit code. */
async function runCommand(
  options: MachineOptions,
  command: string,
  milliseconds: number,
  interruption: Interruption,
): Promise<number> {
  await using machine = await interruption.orEnd(Machine.boot(options));
  const program = await machine.start(command, (stream, bytes) => {
    const to = Deno[stream];
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(to.writeSync(rest));
  });
  return (await interruption.orEnd(program.finish(milliseconds))).code;
}

/** Runs a shell in the guest on the terminal, until it ends. */
async function shell(
  options: MachineOptions,
  kind: VirtioKind,
  { signal }: Interruption,
): Promise<number> {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) {
    throw new UsageError("a shell needs a terminal: use --command COMMAND (see --help)");
  }
  const [a, b] = SLOTS.map((slot) => addressOf({ slot }));
  console.log(`booting with ${kind} virtio cards at ${a} and ${b}; in the shell, try

  deno run --allow-ffi pktgen.ts --seconds 5 ${a} & deno run --allow-ffi -W pcap.ts --seconds 9 ${b} x.pcap
  deno run --allow-ffi fwd.ts ${a} ${b}

\`exit\` ends the machine.
`);
  const { rows, columns } = Deno.consoleSize();
  using boot = await Boot.prepare(options, `${rows}x${columns}`);
  const args = [
    // SIGTERM, which an abort sends too, lets QEMU restore the terminal's settings.
    ...["--pdeathsig", "TERM", ...boot.command],
    ...["-chardev", "file,id=log,path=/dev/stderr", "-serial", "chardev:log"],
    ...["-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"],
  ];
  return (await new Deno.Command("setpriv", { args, stdin: "inherit", signal }).spawn().status)
    .code;
}

if (import.meta.main) await run(VM, interruptible(main));
