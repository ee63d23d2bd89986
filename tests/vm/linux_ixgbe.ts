/**
 * Linux's ixgbe driver in a virtual machine whose cards are the software NIC: what its tests share.
 * The other end of each cable is a network namespace of the host. Not a test itself.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { bitRate } from "../../packets/units.ts";
import { VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";
import { Namespace } from "../support/namespaces.ts";
import { Program, Sim, type TemporaryDirectory, tool } from "../support/processes.ts";
import { quitBroken } from "../support/violations.ts";

/** PCI slot of the first card in the guest; the others follow. */
const FIRST_SLOT = 3;
/** TCP port on the host. */
const PORT = 5001;
/** Longest that a step in the guest may take, and that a link may take to come up. */
const STEP_MS = 90000, LINK_SECONDS = 20;
/** Without IPv6, only the tests send packets, so that counts can be compared. */
const NO_IPV6 = "ipv6.disable_ipv6=1", IPV6 = "/proc/sys/net/ipv6/conf";
/** The tests of `ethtool -t`, in its order. */
const SELF_TESTS = ["Register", "Eeprom", "Interrupt", "Loopback", "Link"];
/** Offloads that must be on: without them, Linux does the work itself, silently. */
const OFFLOADS = [
  ...["rx-checksumming", "tx-checksumming", "tx-checksum-ip-generic", "scatter-gather"],
  ...["tx-tcp-segmentation", "tx-tcp6-segmentation", "receive-hashing"],
  ...["rx-vlan-offload", "tx-vlan-offload", "rx-vlan-filter"],
];
/** Prints the kernel's log, from emergencies to warnings. */
const COMPLAINTS = "dmesg -r | grep -E '^<[0-4]>' || true";
/** Warnings that an emulated processor causes, because it may have to wait for a real one. */
const SLOWNESS = /\] (hrtimer: interrupt took|clocksource:|perf: interrupt took too long)/;

/**
 * Receives the given number of bytes (`nc` closes late), then sends them back. Prints the time of each
 * way in milliseconds.
 */
const ECHO = `
using listener = Deno.listen({ hostname: Deno.args[0], port: ${PORT} });
console.log("listening");
using connection = await listener.accept();
const data = new Uint8Array(Number(Deno.args[1]));
const start = performance.now();
for (let at = 0; at < data.length;) at += await connection.read(data.subarray(at)) ?? NaN;
const half = performance.now();
for (let at = 0; at < data.length;) at += await connection.write(data.subarray(at));
connection.closeWrite();
while (await connection.read(new Uint8Array(1)) !== null);
console.log(JSON.stringify({ from: half - start, to: performance.now() - half }));
`;

/**
 * A port of the software NIC: a card in the guest, and a namespace at the other end of its cable.
 */
export interface Link {
  /** Number of the port. */
  readonly index: number;
  /** Name of the card's interface in the guest. */
  readonly device: string;
  /** Its IP address. */
  readonly address: string;
  /** The other end of the cable. */
  readonly peer: Namespace;
}

/** The software NIC, its cables, and a virtual machine that runs Linux's driver. */
export class LinuxGuest implements AsyncDisposable {
  private constructor(
    readonly sim: Sim,
    readonly vm: Machine,
    readonly links: readonly Link[],
    readonly directory: TemporaryDirectory,
  ) {}

  /**
   * Starts the software NIC, the cables and the machine. Does not load the driver.
   *
   * @param ports Number of cards with a cable to a namespace.
   * @param others Wires of further cards, which {@linkcode LinuxGuest.load} does not set up.
   */
  static async boot(
    directory: TemporaryDirectory,
    ports: number,
    deviceId: number,
    others: readonly string[] = [],
  ): Promise<LinuxGuest> {
    await using stack = new AsyncDisposableStack();
    const taps = Array.from({ length: ports }, (_, i) => `ixl${i}p${Deno.pid}`);
    const options = ["--doorbells=trap", `--device-id=0x${deviceId.toString(16)}`];
    const wires = [...taps.map((tap) => `tap:${tap}`), ...others];
    const sim = stack.use(await Sim.start(directory, wires, options));
    const links: Link[] = [];
    for (const [index, tap] of taps.entries()) {
      const name = `ixl-${Deno.pid}-${index}`;
      const peer = stack.use(await Namespace.make(name, tap, `10.99.${index}.1`));
      const silence = `[ ! -e ${IPV6} ] || echo 1 > ${IPV6}/all/disable_ipv6`;
      await tool(...peer.command("sh", "-c", silence));
      links.push({ index, device: `eth${index}`, address: `10.99.${index}.2`, peer });
    }
    const vm = stack.use(
      await Machine.boot({
        kernel: "full",
        qemu: VFIO_USER_QEMU,
        machine: "q35",
        append: NO_IPV6,
        modules: ["ixgbe", "8021q", "macvlan"],
        programs: { ethtool: ["ethtool"], linuxptp: ["phc_ctl", "ptp4l"] },
        arguments: vfioUserNics(sim.addresses, wires.map((_, i) => FIRST_SLOT + i)),
      }),
    );
    const owned = stack.move();
    const guest = new LinuxGuest(sim, vm, links, directory);
    guest.#owned = owned;
    guest.#complaints = new Set(await guest.#log());
    return guest;
  }

  #owned = new AsyncDisposableStack();
  #complaints: ReadonlySet<string> = new Set();

  /** Runs a command in the guest, which must succeed; returns its output. */
  async do(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.vm.run(command, { milliseconds: STEP_MS });
    assertEquals(code, 0, `${command}: ${stdout} ${stderr}`);
    return stdout.trim();
  }

  /** Loads the driver, asserts that it uses the card's offloads, and brings all links up. */
  async load(): Promise<void> {
    await this.do("modprobe ixgbe");
    for (const { device, address } of this.links) {
      const features = await this.do(`ethtool -k ${device}`);
      for (const name of OFFLOADS) assertMatch(features, new RegExp(`^\\s*${name}: on`, "m"));
      await this.do(`ip link set ${device} up && ip addr add ${address}/24 dev ${device}`);
    }
    for (const { device } of this.links) await this.carrier(device, 1);
  }

  /** Waits until an interface has, or loses, its carrier. */
  async carrier(device: string, wanted: 0 | 1): Promise<void> {
    const file = `/sys/class/net/${device}/carrier`;
    const loop = `for i in $(seq ${LINK_SECONDS * 5}); do`;
    await this.do(
      `${loop} [ "$(cat ${file})" = ${wanted} ] && exit 0; usleep 200000; done; exit 1`,
    );
  }

  /** Pings the other end, or another address, at once after each answer; asserts that all are answered. */
  async ping({ peer }: Link, bytes = 56, address = peer.address): Promise<void> {
    const output = await this.do(`ping -A -c 3 -W 10 -s ${bytes} ${address}`);
    assertMatch(output, /3 packets transmitted, 3 packets received/);
  }

  /** Runs the driver's self-test, which resets the card, and asserts that all of its tests pass. */
  async selfTest({ device, index }: Link): Promise<void> {
    const counters = async () => JSON.stringify((await this.sim.report()).ports[index].counters);
    const before = await counters();
    const { stdout } = await this.vm.run(`ethtool -t ${device} offline`, { milliseconds: STEP_MS });
    const results = Array.from(stdout.matchAll(/^(\w+) test +\([a-z/]+\)\s+(\d+)$/gm));
    assertEquals(
      results.map(([, name, result]) => `${name} ${result}`),
      SELF_TESTS.map((name) => `${name} 0`),
      `${stdout}\nthe port before: ${before}, and after: ${await counters()}`,
    );
    await this.carrier(device, 1);
  }

  /**
   * Sends random bytes by TCP and receives them back; asserts that they stay the same.
   * Prints the bit rate of the payload.
   */
  async echo({ peer, device }: Link, megabytes: number, address = peer.address): Promise<void> {
    const file = this.directory.file("echo.ts");
    await Deno.writeTextFile(file, ECHO);
    const bytes = megabytes * 1e6;
    const deno = [Deno.execPath(), "run", "--quiet", "--no-config", "--allow-net", file];
    await using server = Program.start(peer.command(...deno, address, String(bytes)));
    await server.line((line) => line === "listening");
    const [sent, received] = [`/tmp/${device}.out`, `/tmp/${device}.in`];
    await this.do(`head -c ${bytes} /dev/urandom > ${sent}`);
    await this.do(`nc ${address} ${PORT} < ${sent} > ${received}`);
    const { code, stdout, stderr } = await server.finish();
    assertEquals([code, stderr], [0, ""]);
    const { from, to } = JSON.parse(stdout.split("\n")[1]);
    await this.do(`cmp ${sent} ${received} && rm ${sent} ${received}`);
    const rate = (milliseconds: number) => bitRate(bytes * 8 / milliseconds * 1000);
    const mtu = await this.do(`cat /sys/class/net/${device}/mtu`);
    const way = `${megabytes} MB by TCP to and from ${address}, MTU ${mtu}`;
    console.log(`${device}: ${way}: ${rate(from)} sent, ${rate(to)} received`);
  }

  /** Returns the number of interrupts of each vector of an interface, by the vector's name. */
  async interrupts(device: string): Promise<Map<string, number>> {
    const lines = (await this.do(`grep ${device} /proc/interrupts`)).split("\n");
    return new Map(lines.map((line) => {
      const words = line.trim().split(/\s+/);
      assertEquals(words[3], "PCI-MSI", "MSI-X, and nothing else");
      return [words.at(-1)!, Number(words[1]) + Number(words[2])];
    }));
  }

  /** Returns the counts of `ethtool -S` for an interface. */
  async statistics(device: string): Promise<Record<string, number>> {
    const text = await this.do(`ethtool -S ${device}`);
    const lines = Array.from(text.matchAll(/^ *(\w+): (\d+)$/gm));
    return Object.fromEntries(lines.map(([, name, count]) => [name, Number(count)]));
  }

  async #log(): Promise<string[]> {
    return (await this.do(COMPLAINTS)).split("\n").filter(Boolean);
  }

  /** Asserts that the guest's kernel has logged no warnings since it booted, but those expected. */
  async assertQuiet(expected = SLOWNESS): Promise<void> {
    const lines = (await this.#log()).filter((line) => !this.#complaints.has(line));
    const others = lines.filter((line) => !SLOWNESS.test(line) && !expected.test(line));
    assertEquals(others, []);
    assertEquals(await this.do("dmesg | grep -E 'WARNING:|BUG:|Call Trace|Tx Hang' || true"), "");
  }

  /** Ends the software NIC; returns the violated rules, without indices of registers. */
  async quit(): Promise<Set<string>> {
    return new Set((await quitBroken(this.sim)).rules);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}
