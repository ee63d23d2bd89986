/**
 * `vagrant up` and the steps after it, without KVM: two machines with emulated processors, from a
 * box that the test builds. A program in one machine sends packets over one link, and the forwarder
 * in the other returns them over the other link. Root only; takes some minutes.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { defaultCache } from "../../vm/cache.ts";
import { offline } from "../../vm/offline.ts";
import { makeBox } from "../../vm/vagrant/box.ts";
import { Emulation } from "../../vm/vagrant/emulation.ts";
import { assertFailed, isRoot, Program, PROJECT, type Result, run } from "../support/processes.ts";
import { installPackages } from "../support/packages.ts";
import { VAGRANT_PACKAGES } from "./packages.ts";

/** Longest that each step may take, in seconds. */
const UP_S = 300, RELOAD_S = 180, DESTROY_S = 60, SSH_S = 60, TRIP_S = 120;
/** Packets to send each way. */
const PACKETS = 20000;
/** The character that makes a terminal send SIGINT. */
const CONTROL_C = "\x03";

const MACHINES = ["generator", "forwarder"];
const LINKS = ["0000:00:08.0", "0000:00:09.0"];
const FORWARD = `cd /home/vagrant/ixy.ts; sudo deno run --allow-ffi fwd.ts ${LINKS.join(" ")}`;

/**
 * Prints address, driver and state of each VirtIO network card, and whether it has the default
 * route.
 */
const CARDS = `
for device in /sys/bus/pci/devices/*; do
  [ "$(cat $device/vendor $device/device | paste -sd :)" = 0x1af4:0x1000 ] || continue
  interface=$(ls $device/virtio*/net)
  route=$(ip -o route show default dev $interface)
  state=$(cat /sys/class/net/$interface/operstate)
  echo "\${device##*/} $(basename $(readlink $device/driver)) $state \${route:+default}"
done`;

/** The machines of the Vagrantfile. */
class Machines {
  readonly #emulation: Emulation;
  readonly #env = {
    VAGRANT_CWD: PROJECT,
    IXY_VM_MEMORY: "1024",
    IXY_VM_CPUS: "1",
    IXY_DENO: Deno.execPath(),
  };

  constructor(emulation: Emulation) {
    this.#emulation = emulation;
  }

  /** Runs Vagrant, which must succeed. */
  vagrant(args: readonly string[], seconds: number): Promise<string> {
    return this.#emulation.run(["vagrant", ...args], seconds, this.#env);
  }

  /** Reads the machines' current SSH configuration. */
  async find(): Promise<void> {
    await Deno.writeTextFile(this.#sshConfig, await this.vagrant(["ssh-config"], SSH_S));
  }

  /** Returns the command line that runs a shell command in a machine. */
  command(machine: string, command: string, ...options: string[]): string[] {
    return this.#emulation.onNetwork(["ssh", "-F", this.#sshConfig, ...options, machine, command]);
  }

  /** Runs a shell command in a machine. */
  run(machine: string, command: string, seconds: number = SSH_S): Promise<Result> {
    return run(this.command(machine, command), { milliseconds: seconds * 1000 });
  }

  /** Runs a shell command, which must succeed; returns its output. */
  async tell(machine: string, command: string, seconds?: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(machine, command, seconds);
    assertEquals([code, stderr], [0, ""], `${machine}: ${command}: ${stdout}`);
    return stdout;
  }

  get #sshConfig(): string {
    return `${this.#emulation.directory}/ssh_config`;
  }
}

/** Starts the forwarder at a terminal, with the command that `vagrant up` printed. */
async function startForwarder(machines: Machines): Promise<Program> {
  const forwarder = Program.start(machines.command("forwarder", FORWARD, "-tt", "-e", "none"));
  try {
    await forwarder.line((line) => line.startsWith(`${LINKS[0]}: rx `), SSH_S * 1000);
  } catch (error) {
    await forwarder[Symbol.asyncDispose]();
    throw error;
  }
  return forwarder;
}

async function up(machines: Machines): Promise<void> {
  const output = await machines.vagrant(["up", "--no-tty"], UP_S);
  for (const machine of MACHINES) {
    assert(output.includes(`    ${machine}: ${FORWARD}\n`), output.slice(-3000));
  }
  await machines.find();
}

async function prepared(machines: Machines, machine: string): Promise<void> {
  assertMatch(await machines.tell(machine, "deno --version"), /^deno 2\./);
  assertEquals(await machines.tell(machine, "cat /proc/sys/vm/nr_hugepages"), "64\n");
  const cards = (await machines.tell(machine, CARDS)).trimEnd().split("\n").map((c) => c.trimEnd());
  assertEquals(cards.slice(-2), LINKS.map((link) => `${link} virtio-pci down`));
  assertEquals(cards.length, 3);
  assertMatch(cards[0], / virtio-pci up default$/);
}

/** Copies the packages that programs would fetch to the machines, which have no network. */
async function bringLibrary(machines: Machines): Promise<void> {
  const { configuration, files } = await offline("/std");
  const contents = new Map<string, Uint8Array>([
    ["/home/vagrant/ixy.ts/deno.json", new TextEncoder().encode(configuration)],
    ...[...files].map(([path, content]) => [`/std/${path}`, content] as const),
  ]);
  for (const machine of MACHINES) {
    for (const [path, content] of contents) {
      const write = `base64 -d | sudo tee ${path} >/dev/null`;
      await machines.tell(
        machine,
        `sudo mkdir -p $(dirname ${path}); echo ${content.toBase64()} | ${write}`,
      );
    }
  }
}

/** Neither `links.sh` nor a program may use a card that carries the default route. */
async function refusesUsedCards(machines: Machines): Promise<void> {
  const links = "sudo ixy.ts/vm/vagrant/links.sh";
  await machines.tell("generator", "sudo ip link set eth1 up");
  await machines.tell("generator", "sudo ip route add default dev eth1 metric 4000");
  assertFailed(await machines.run("generator", links), 2, /08\.0: eth1 has the default route/);
  assertFailed(await machines.run("generator", FORWARD), 2, /08\.0: .*eth1.* up/);
  await machines.tell("generator", "sudo ip route delete default dev eth1");
  await machines.tell("generator", links);
  await prepared(machines, "generator");
}

async function forwards(machines: Machines): Promise<void> {
  await using forwarder = await startForwarder(machines);
  const trip = `cd ixy.ts; sudo deno run --quiet --allow-ffi tests/vagrant/round_trip.ts`;
  const command = `${trip} --count=${PACKETS} ${LINKS.join(" ")}`;
  const output = await machines.tell("generator", command, TRIP_S);
  const trips = output.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(trips.map(({ from, to, packets }) => [from, to, packets]), [
    [LINKS[0], LINKS[1], PACKETS],
    [LINKS[1], LINKS[0], PACKETS],
  ]);
  await forwarder.write(CONTROL_C);
  const { code, stdout } = await forwarder.finish(SSH_S * 1000);
  assertEquals(code, 0, stdout);
  const totals = stdout.split(/^totals after .*$/m)[1].trim().split(/\r?\n/);
  assertEquals(totals.map((line) => line.split(": ")[0]), LINKS);
  for (const line of totals) assertMatch(line, /, missed 0, errors 0, dropped 0$/);
}

/** Runs all steps in sequence. */
async function upAndDown(t: Deno.TestContext): Promise<void> {
  await installPackages(VAGRANT_PACKAGES);
  const box = await makeBox(defaultCache());
  await using emulation = await Emulation.start(box);
  const machines = new Machines(emulation);
  // Each step depends on the one before.
  const step = async (name: string, fn: () => Promise<void>) => {
    if (!await t.step(name, fn)) throw new Error(`failed: ${name}`);
  };
  await step("vagrant up prints the command to run", () => up(machines));
  for (const machine of MACHINES) {
    await step(`${machine} is prepared, and its links are down`, () => prepared(machines, machine));
  }
  await step("vagrant reload prepares the links again", async () => {
    await machines.vagrant(["reload", "forwarder"], RELOAD_S);
    await machines.find();
    await prepared(machines, "forwarder");
  });
  await step("the standard library is copied", () => bringLibrary(machines));
  await step("a card in use is refused", () => refusesUsedCards(machines));
  await step("packets come back in order and changed in byte 1", () => forwards(machines));
  await step("vagrant destroy leaves nothing", async () => {
    await machines.vagrant(["destroy", "--force"], DESTROY_S);
    const list = async (...command: string[]) => {
      const virsh = ["virsh", "--quiet", "--connect", "qemu:///system"];
      return (await emulation.run([...virsh, ...command])).trim();
    };
    assertEquals(await list("list", "--all"), "");
    assertEquals(await list("net-list", "--all"), "");
    assertMatch(await list("vol-list", "default"), /^ixy-VAGRANTSLASH-debian_\S+ +\S+$/);
  });
}

Deno.test({
  name: "vagrant up makes two machines that forward packets over their links",
  ignore: !isRoot,
  fn: upAndDown,
});
