/**
 * Linux's own driver of the 82599, in a virtual machine whose cards are the software NIC: what its
 * tests share. The other end of each cable is a network namespace of the host. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Machine } from "../../vm/machine.ts";
import { Namespace } from "../namespaces.ts";
import { Program, Sim, type TemporaryDirectory } from "../processes.ts";

/** Where the first card is on the guest's bus; the others follow. */
const FIRST_SLOT = 3;
/** Port of TCP on the host. */
const PORT = 5001;
/** Longest that the guest may take for a step, and that a cable may take to come up. */
const STEP_MS = 90000, LINK_SECONDS = 20;

/** Sends back what it is sent, once all has come: bytes are given, since `nc` closes late. */
const ECHO = `
using listener = Deno.listen({ hostname: Deno.args[0], port: ${PORT} });
console.log("listening");
using connection = await listener.accept();
const data = new Uint8Array(Number(Deno.args[1]));
for (let at = 0; at < data.length;) at += await connection.read(data.subarray(at)) ?? NaN;
for (let at = 0; at < data.length;) at += await connection.write(data.subarray(at));
connection.closeWrite();
while (await connection.read(new Uint8Array(1)) !== null);
`;

/** A port of the software NIC: a card in the guest, a namespace at the other end of its cable. */
export interface Link {
  /** Name of the card's interface in the guest. */
  readonly device: string;
  /** Its address. */
  readonly address: string;
  /** The other end. */
  readonly peer: Namespace;
}

/** A rule that was broken, as the software NIC reports it. */
export interface Broken {
  readonly register: string;
  readonly rule: string;
}

/** The software NIC, its cables, and a virtual machine that runs Linux's driver. */
export class LinuxGuest implements AsyncDisposable {
  private constructor(
    readonly sim: Sim,
    readonly vm: Machine,
    readonly links: readonly Link[],
    readonly directory: TemporaryDirectory,
  ) {}

  /** Starts all with so many ports. No driver is loaded yet. */
  static async boot(
    directory: TemporaryDirectory,
    ports: number,
    deviceId: number,
  ): Promise<LinuxGuest> {
    await using stack = new AsyncDisposableStack();
    const taps = Array.from({ length: ports }, (_, i) => `ixl${i}p${Deno.pid}`);
    const options = ["--doorbells=trap", `--device-id=0x${deviceId.toString(16)}`];
    const wires = taps.map((tap) => `tap:${tap}`);
    const sim = stack.use(await Sim.start(directory, wires, options));
    const links: Link[] = [];
    for (const [i, tap] of taps.entries()) {
      const peer = stack.use(await Namespace.make(`ixl-${Deno.pid}-${i}`, tap, `10.99.${i}.1`));
      links.push({ device: `eth${i}`, address: `10.99.${i}.2`, peer });
    }
    const vm = stack.use(
      await Machine.boot({
        kernel: "full",
        qemu: "10.1",
        machine: "q35",
        modules: ["ixgbe"],
        arguments: cards(sim),
      }),
    );
    const owned = stack.move();
    const guest = new LinuxGuest(sim, vm, links, directory);
    guest.#owned = owned;
    return guest;
  }

  #owned = new AsyncDisposableStack();

  /** Runs a command that has to succeed in the guest; returns what it prints. */
  async do(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.vm.run(command, { milliseconds: STEP_MS });
    assertEquals(code, 0, `${command}: ${stdout} ${stderr}`);
    return stdout.trim();
  }

  /** Loads the driver, and brings all links up. */
  async load(): Promise<void> {
    await this.do("modprobe ixgbe");
    for (const { device, address } of this.links) {
      await this.do(`ip link set ${device} up && ip addr add ${address}/24 dev ${device}`);
    }
    for (const { device } of this.links) await this.carrier(device, 1);
  }

  /** Waits until an interface has a carrier, or none. */
  async carrier(device: string, wanted: 0 | 1): Promise<void> {
    const file = `/sys/class/net/${device}/carrier`;
    const loop = `for i in $(seq ${LINK_SECONDS * 5}); do`;
    await this.do(
      `${loop} [ "$(cat ${file})" = ${wanted} ] && exit 0; usleep 200000; done; exit 1`,
    );
  }

  /** Pings the other end, and is answered each time. */
  async ping({ peer }: Link, bytes = 56): Promise<void> {
    const output = await this.do(`ping -c 3 -W 10 -s ${bytes} ${peer.address}`);
    assertMatch(output, /3 packets transmitted, 3 packets received/);
  }

  /** Sends random bytes by TCP, and has them sent back; asserts that they are the same. */
  async echo({ peer, device }: Link, megabytes: number): Promise<void> {
    const file = this.directory.file("echo.ts");
    await Deno.writeTextFile(file, ECHO);
    const deno = [Deno.execPath(), "run", "--quiet", "--no-config", "--allow-net", file];
    const args = [peer.address, String(megabytes << 20)];
    await using server = Program.start(peer.command(...deno, ...args));
    await server.line((line) => line === "listening");
    const [from, to] = [`/tmp/${device}.out`, `/tmp/${device}.in`];
    await this.do(`dd if=/dev/urandom of=${from} bs=1M count=${megabytes}`);
    await this.do(`nc ${peer.address} ${PORT} < ${from} > ${to}; cmp ${from} ${to}`);
    const { code, stderr } = await server.finish();
    assertEquals([code, stderr], [0, ""]);
  }

  /** How often each vector of an interface has interrupted the guest, by the vector's name. */
  async interrupts(device: string): Promise<Map<string, number>> {
    const lines = (await this.do(`grep ${device} /proc/interrupts`)).split("\n");
    return new Map(lines.map((line) => {
      const words = line.trim().split(/\s+/);
      assertEquals(words[3], "PCI-MSI", "MSI-X, and nothing else");
      return [words.at(-1)!, Number(words[1]) + Number(words[2])];
    }));
  }

  /** A count of an interface. */
  async statistic(device: string, name: string): Promise<number> {
    return Number(await this.do(`cat /sys/class/net/${device}/statistics/${name}`));
  }

  /** Asserts that the guest's kernel has complained of nothing. */
  async assertQuiet(): Promise<void> {
    const levels = "dmesg -r | grep -E '^<[0-4]>' | grep -E 'ixgbe|eth[0-9]' || true";
    assertEquals(await this.do(levels), "");
    assertEquals(await this.do("dmesg | grep -E 'WARNING:|BUG:|Call Trace|Tx Hang' || true"), "");
  }

  /** Ends the software NIC; returns the rules that the driver broke, copies of registers as one. */
  async quit(): Promise<Set<string>> {
    await this.sim.command("quit");
    const { stdout } = await this.sim.program.finish();
    const report: { violations: readonly Broken[] } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    const nameOf = ({ register, rule }: Broken) => `${register.replace(/\[\d+\]/, "")}: ${rule}`;
    return new Set(report.violations.map(nameOf));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

/** QEMU's arguments: the ports as cards, and memory that the ports can map. */
function cards(sim: Sim): string[] {
  const memory = "memory-backend-memfd,id=memory,size=1024M,share=on";
  assert(sim.addresses.length > 0);
  const devices = sim.addresses.flatMap((address, i) => {
    const socket = { type: "unix", path: address.replace("vfio-user:", "") };
    const card = { driver: "vfio-user-pci", rombar: 0, addr: String(FIRST_SLOT + i), socket };
    return ["-device", JSON.stringify(card)];
  });
  return ["-object", memory, "-machine", "memory-backend=memory", ...devices];
}
