/** `nic.ts`, on a directory tree like the kernel's, and on the software NIC. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { REGISTERS } from "../../ixgbe/registers.ts";
import { DeviceError, UsageError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { SysfsFunction } from "../../src/pci/sysfs.ts";
import { offsetOf } from "../../src/registers.ts";
import { bind, restore } from "../../nic/binding.ts";
import { diagnose } from "../../nic/doctor.ts";
import { assess } from "../../nic/drivers.ts";
import { dump, format } from "../../nic/dump.ts";
import { blinkLed } from "../../nic/led.ts";
import { cards, formatCards } from "../../nic/list.ts";
import { dumpFunction } from "../../nic/registers.ts";
import { System } from "../../nic/system.ts";
import { dumpVirtio } from "../../nic/virtio.ts";
import {
  assertRefused,
  ffiOnly,
  Program,
  run,
  Sim,
  TemporaryDirectory,
  tool,
  until,
} from "../support/processes.ts";

const CARD = "0000:03:00.0", TWIN = "0000:03:00.1";
const DEVICES = "/sys/bus/pci/devices";
const BAR_BYTES = 512 * 1024;

/** Properties of a function in the tree. */
interface Made {
  readonly id?: number;
  readonly vendor?: number;
  readonly class?: string;
  readonly driver?: string;
  /** The register COMMAND; default: memory space is on. */
  readonly command?: number;
}

/** A directory with files like the kernel's. */
class Tree implements Disposable {
  readonly root = Deno.makeTempDirSync();
  readonly system = new System(this.root);

  constructor() {
    this.write("/sys/bus/pci/drivers_probe", "");
    this.write(
      "/proc/net/route",
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n",
    );
  }

  write(file: string, text: string | Uint8Array): void {
    const path = this.root + file;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (typeof text === "string") Deno.writeTextFileSync(path, text);
    else Deno.writeFileSync(path, text);
  }

  read(file: string): string {
    return Deno.readTextFileSync(this.root + file);
  }

  link(file: string, to: string): void {
    Deno.mkdirSync(this.root + file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.mkdirSync(this.root + to, { recursive: true });
    Deno.symlinkSync(this.root + to, this.root + file);
  }

  /** Adds a PCI function; default: an 82599 SFP+ without a driver. */
  add(address: string, made: Made = {}): void {
    const { id = 0x10fb, vendor = 0x8086, driver, command = 0x0002 } = made;
    const directory = `${DEVICES}/${address}`;
    this.write(`${directory}/vendor`, `0x${vendor.toString(16)}\n`);
    this.write(`${directory}/device`, `0x${id.toString(16).padStart(4, "0")}\n`);
    this.write(`${directory}/class`, `${made.class ?? "0x020000"}\n`);
    this.write(`${directory}/driver_override`, "(null)\n");
    this.write(`${directory}/modalias`, "pci:v00008086d000010FB\n");
    const config = new DataView(new ArrayBuffer(256));
    config.setUint16(0, vendor, true);
    config.setUint16(2, id, true);
    config.setUint16(4, command, true);
    this.write(`${directory}/config`, new Uint8Array(config.buffer));
    if (driver === undefined) return;
    this.link(`${directory}/driver`, `/sys/bus/pci/drivers/${driver}`);
    this.write(`/sys/bus/pci/drivers/${driver}/unbind`, "");
  }

  /** Adds an interface with these IFF_ flags to a function. */
  interface(address: string, name: string, flags: string, child = ""): void {
    this.write(`${DEVICES}/${address}${child}/net/${name}/flags`, `${flags}\n`);
  }

  /** Puts functions into an IOMMU group. */
  group(number: string, type: string, ...addresses: readonly string[]): void {
    const group = `/sys/kernel/iommu_groups/${number}`;
    this.write(`${group}/type`, `${type}\n`);
    for (const address of addresses) {
      this.link(`${DEVICES}/${address}/iommu_group`, group);
      this.link(`${group}/devices/${address}`, `${DEVICES}/${address}`);
    }
  }

  /** Returns everything about a function that commands can change. */
  state(address: string): unknown {
    const unbind = `${DEVICES}/${address}/driver/unbind`;
    return [
      this.read(`${DEVICES}/${address}/driver_override`),
      this.read("/sys/bus/pci/drivers_probe"),
      Deno.readFileSync(`${this.root}${DEVICES}/${address}/config`)[4],
      this.system.function(address).driver === null ? "" : this.read(unbind),
    ];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** Returns a default route through an interface. */
function route(name: string): string {
  return `Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n` +
    `${name}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n`;
}

Deno.test("cards() lists Ethernet controllers only, by address, with model and driver", () => {
  using tree = new Tree();
  tree.add("0000:04:00.0", { vendor: 0x1af4, id: 0x1041, driver: "virtio-pci" });
  tree.add(CARD, { driver: "ixgbe" });
  tree.add("0000:02:00.0", { class: "0x010802" });
  tree.interface(CARD, "eth2", "0x1002");
  tree.interface("0000:04:00.0", "eth0", "0x1003", "/virtio0");
  const found = cards(tree.system).map(({ address, driver, interfaces, use }) => {
    return [
      address,
      driver,
      interfaces.map(({ name, up }) => `${name} ${up}`),
      use.driver,
      use.name,
    ];
  });
  assertEquals(found, [
    [CARD, "ixgbe", ["eth2 false"], "ixgbe", "82599 SFP+"],
    ["0000:04:00.0", "virtio-pci", ["eth0 true"], "virtio", "VirtIO network card (modern only)"],
  ]);
  const text = [...formatCards(cards(tree.system))].join("\n");
  assertMatch(text, /03:00\.0 {2}8086:10fb {2}82599 SFP\+\n.*driver ixgbe; interface eth2 down\n/);
});

Deno.test("cards() says why a card is not supported, and names a known model", () => {
  using tree = new Tree();
  tree.add("0000:05:00.0", { id: 0x10ed });
  tree.add("0000:06:00.0", { vendor: 0x14e4, id: 0x1657 });
  tree.add("0000:07:00.0", { id: 0x15ac });
  const [virtual, foreign, embedded] = cards(tree.system).map(({ use }) => use);
  assertEquals([virtual.driver, virtual.bus, foreign.driver], [null, null, null]);
  assertMatch(virtual.problems[0], /a virtual function of an 82599/);
  assertMatch(foreign.problems[0], /not supported: ixy\.ts has drivers for/);
  assertEquals(embedded.driver, null);
  assertMatch(embedded.problems[0], /15ac \(an X550EM, .*\) is not supported, because .* its link/);
});

/** Runs a shell command beside this process, which may wait for it in a system call. */
async function beside(command: string, meanwhile: () => void): Promise<void> {
  await using shell = Program.start(["sh", "-c", command]);
  meanwhile();
  await shell.succeed();
}

Deno.test("System.ethernetFunctions() lists the others when one cannot be read, or vanishes", async () => {
  using tree = new Tree();
  for (const address of ["0000:02:00.0", CARD, TWIN]) tree.add(address);
  const broken = `${tree.root}${DEVICES}/${CARD}`;
  Deno.removeSync(`${broken}/class`);
  const { functions, problems } = tree.system.ethernetFunctions();
  assertEquals(functions.map(({ address }) => address), ["0000:02:00.0", TWIN]);
  assertEquals(problems.length, 1);
  assertMatch(
    problems[0],
    /^0000:03:00\.0: open .*class: no such file or directory: see what dmesg/,
  );
  // The read waits for a writer, which removes the function first.
  await tool("mkfifo", `${broken}/fifo`);
  Deno.renameSync(`${broken}/fifo`, `${broken}/driver_override`);
  const unplug = `exec 3>'${broken}/driver_override'; rm -r '${broken}'`;
  await beside(unplug, () => {
    const later = tree.system.ethernetFunctions();
    assertEquals(later.functions.map(({ address }) => address), ["0000:02:00.0", TWIN]);
    assertEquals(later.problems, []);
  });
});

Deno.test("System reads interfaces again when one is renamed meanwhile", async () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "a", "0x1002");
  tree.interface(CARD, "b", "0x1003");
  const net = `${tree.root}${DEVICES}/${CARD}/net`;
  Deno.removeSync(`${net}/a/flags`);
  await tool("mkfifo", `${net}/a/flags`);
  const rename = `cd '${net}'; exec 3>a/flags; rm a/flags; echo 0x1003 >a/flags; mv b c`;
  await beside(rename, () => {
    const { interfaces } = tree.system.function(CARD);
    assertEquals(interfaces.map(({ name, up }) => `${name} ${up}`), ["a true", "c true"]);
  });
});

Deno.test("names of interfaces are bytes: they are read, shown with escapes, and quoted in commands", async () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  const net = `${tree.root}${DEVICES}/${CARD}/net`;
  // Bytes that are not UTF-8 between some that are, a control sequence, and words of a shell.
  const names = "a\\377\\303\\244 b\\033[2J c\\047$(id)".split(" ");
  for (const name of names) {
    const interfaceOf = `d='${net}/'$(printf '${name}')`;
    await tool("sh", "-c", `${interfaceOf}; mkdir -p "$d"; echo 0x1003 >"$d/flags"`);
  }
  await tool(
    "sh",
    "-c",
    `printf '%b 00000000 0 0 0 0 0 00000000\\n' 'a\\0377\\0303\\0244' >'${tree.root}/proc/net/route'`,
  );
  const found = cards(tree.system), [{ interfaces, use }] = found;
  assertEquals(interfaces.map(({ up, defaultRoute }) => [up, defaultRoute]), [
    [true, true],
    [true, false],
    [true, false],
  ]);
  assertMatch(
    [...formatCards(found)].join("\n"),
    /interface a\\xffä up, default route; b\\u001b\[2J up; c'\$\(id\) up/,
  );
  assertMatch(use.problems[1], /run `ip link set \$'b\\x1b\[2J' down`/);
  assertMatch(use.problems[2], /run `ip link set \$'c\\x27\$\(id\)' down`/);
});

Deno.test("a card whose interface is in another network namespace is not free", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  Deno.mkdirSync(`${tree.root}${DEVICES}/${CARD}/net`); // lists none of this namespace
  const found = cards(tree.system);
  assertMatch(found[0].use.problems[0], /another network namespace.*`--network host`/);
  assertMatch([...formatCards(found)].join("\n"), /driver ixgbe; interface in another network/);
  tree.group("7", "DMA", CARD);
  tree.write("/sys/bus/pci/drivers/vfio-pci/bind", "");
  const refused = /another network namespace/;
  assertMatch(
    assertThrows(() => bind(tree.system, CARD, "vfio-pci", false), UsageError).message,
    refused,
  );
  const { findings } = diagnose(tree.system, { deno: "2.9.6", processors: 2 });
  const card = findings.find(({ name }) => name === "cards")!;
  assertEquals(card.ok, false);
  assertMatch(card.fix!, /network namespace of the machine/);
  const pci = new SysfsFunction(CARD, tree.system.devices, { guard: false });
  try {
    const error = assertThrows(() => pci.claim(false), UsageError);
    assertMatch(error.message, refused);
    assertEquals(error.option, "force");
  } finally {
    pci.close();
  }
});

Deno.test("assess() returns VFIO for a function that is bound to vfio-pci in a group, else sysfs", () => {
  using tree = new Tree();
  tree.add(CARD);
  assertEquals(assess(tree.system.function(CARD)).bus, "sysfs");
  assertEquals(assess(tree.system.function(CARD)).problems, []);
  tree.add(TWIN, { driver: "vfio-pci" });
  tree.group("7", "DMA-FQ", CARD, TWIN);
  assertEquals(assess(tree.system.function(TWIN)).bus, "vfio");
  assertEquals(assess(tree.system.function(TWIN)).problems, []);
  assertMatch(assess(tree.system.function(CARD)).problems[0], /an IOMMU translates its addresses/);
});

Deno.test("assess() names the functions of the group that have kernel drivers", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "vfio-pci" });
  tree.add(TWIN, { driver: "ixgbe" });
  tree.group("7", "DMA", CARD, TWIN);
  const { group } = tree.system.function(CARD);
  assertEquals(group?.others, [{ address: TWIN, driver: "ixgbe", blocks: true }]);
  const { problems } = assess(tree.system.function(CARD));
  assertEquals(problems.length, 1);
  assertMatch(problems[0], /ixgbe has 0000:03:00\.1 .*`nic\.ts bind 0000:03:00\.1 none`/);
});

Deno.test("System.function() accepts short addresses, and refuses invalid and unknown ones", () => {
  using tree = new Tree();
  tree.add(CARD);
  assertEquals(tree.system.function("03:00.0").address, CARD);
  for (const name of ["eth0", "../03:00.0", "03:00.8", "", "vfio-user:a"]) {
    assertThrows(
      () => tree.system.function(name),
      UsageError,
      "is not the address of a PCI function",
    );
  }
  assertThrows(() => tree.system.function("09:00.0"), UsageError, "no such PCI device");
});

Deno.test("System finds default routes of IPv4 and IPv6, also through an interface on top of a card", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  const carries = () => tree.system.function(CARD).interfaces[0].defaultRoute;
  assertEquals(carries(), false);
  tree.write("/proc/net/route", route("eth2"));
  assertEquals(carries(), true);
  tree.write("/proc/net/route", route("br0"));
  assertEquals(carries(), false);
  tree.write("/sys/class/net/eth2/upper_bond0/ifindex", "8\n");
  tree.write("/sys/class/net/bond0/upper_br0/ifindex", "9\n");
  assertEquals(carries(), true);
  const zeros = "0".repeat(32), tail = "00000400 00000001 00000000 00000003";
  const gateway = `fe80${"0".repeat(27)}1`;
  const v6 = (name: string) => `${zeros} 00 ${zeros} 00 ${gateway} ${tail} ${name}\n`;
  tree.write("/proc/net/route", "");
  tree.write("/proc/net/ipv6_route", v6("lo").repeat(200) + v6("eth2")); // longer than a page
  assertEquals(carries(), true);
  tree.write("/proc/net/ipv6_route", v6("lo"));
  assertEquals(carries(), false);
});

Deno.test("bind() refuses a card that is in use or unsuitable, and changes nothing", () => {
  const refusals: [RegExp, (tree: Tree) => void][] = [
    [/its kernel interface eth2 is up: run `ip link set eth2 down`/, (tree) => {
      tree.add(CARD, { driver: "ixgbe" });
      tree.interface(CARD, "eth2", "0x1003");
    }],
    [/eth2 carries the default route: move the route/, (tree) => {
      tree.add(CARD, { driver: "ixgbe" });
      tree.interface(CARD, "eth2", "0x1002");
      tree.write("/proc/net/route", route("eth2"));
    }],
    [/not an Ethernet controller \(class 0108\)/, (tree) => tree.add(CARD, { class: "0x010802" })],
    [/vfio-pci needs an IOMMU, and it has none/, (tree) => tree.add(CARD, { driver: "ixgbe" })],
    [/vfio-pci is not loaded: run `modprobe vfio-pci`/, (tree) => {
      tree.add(CARD, { driver: "ixgbe" });
      tree.group("3", "DMA", CARD);
    }],
  ];
  for (const [sentence, prepare] of refusals) {
    using tree = new Tree();
    prepare(tree);
    const before = tree.state(CARD);
    const error = assertThrows(() => bind(tree.system, CARD, "vfio-pci", false), UsageError);
    assertMatch(error.message, sentence);
    assertEquals(tree.state(CARD), before);
  }
});

Deno.test("bind() to none unbinds a card whose interface is up only with force", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  assertThrows(() => bind(tree.system, CARD, "none", false), UsageError, "eth2 is up");
  assertEquals(tree.read("/sys/bus/pci/drivers/ixgbe/unbind"), "");
  bind(tree.system, CARD, "none", true);
  assertEquals(tree.read("/sys/bus/pci/drivers/ixgbe/unbind"), CARD);
  assertEquals(tree.read("/sys/bus/pci/drivers_probe"), "");
});

Deno.test("bind() allows any driver again if vfio-pci does not accept the card", () => {
  using tree = new Tree();
  tree.add(CARD);
  tree.group("3", "DMA", CARD);
  tree.write("/sys/bus/pci/drivers/vfio-pci/unbind", "");
  const error = assertThrows(() => bind(tree.system, CARD, "vfio-pci", false), DeviceError);
  assertMatch(error.message, /vfio-pci does not accept it/);
  assertEquals(tree.read(`${DEVICES}/${CARD}/driver_override`)[0], "\n", "any driver");
  assertEquals(tree.read("/sys/bus/pci/drivers_probe"), CARD);
});

Deno.test("restore() names the module to load if no kernel driver accepts the card", async () => {
  using tree = new Tree();
  tree.add(CARD);
  await assertRejects(() => restore(tree.system, CARD), DeviceError, "`modprobe pci:v00008086d");
  assertEquals(tree.read("/sys/bus/pci/drivers_probe"), CARD);
});

Deno.test("restore() does not change a card that is bound to a kernel driver", async () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  const before = tree.state(CARD);
  const { driver, interfaces } = await restore(tree.system, CARD);
  assertEquals([driver, interfaces], ["ixgbe", ["eth2"]]);
  assertEquals(tree.state(CARD), before);
});

/** A BAR that records which registers were read. */
function recordingBar(read: (offset: number) => number, offsets: number[]): Bar {
  const refuse = () => {
    throw new Error("a dump wrote to a register");
  };
  return {
    size: BAR_BYTES,
    read: (offset) => {
      offsets.push(offset);
      return read(offset);
    },
    write: refuse,
    doorbell: refuse,
  };
}

Deno.test("dump() skips registers that reading changes, and format() folds equal values", () => {
  const offsets: number[] = [];
  const { LINKS, GPRC, RDT } = REGISTERS;
  const reading = {
    changes: ({ access }: { access: string }) => access === "RC" ? "cleared" : undefined,
    never: () => undefined,
  };
  const bar = recordingBar((offset) => offset === LINKS.offset ? 0x40000000 : 7, offsets);
  const found = dump(bar, [LINKS, GPRC, RDT], { ...reading, all: false });
  assertEquals(offsets.includes(GPRC.offset), false);
  assertEquals(found.skipped, [{ name: "GPRC", reason: "cleared" }]);
  assertEquals(found.registers.length, 1 + RDT.count);
  assertEquals(found.registers[0].fields.UP, 1);
  const lines = [...format(found, Object.values(REGISTERS))];
  assertMatch(lines[0], /^042a4 {2}LINKS +0x40000000 {2}.*: UP$/);
  assertMatch(lines[1], /^01018 {2}RDT\[0\.\.127\] +0x00000007/);
  assertEquals(lines.length, 2);
  assertEquals(dump(bar, [GPRC], { ...reading, all: true }).registers[0].value, 7);
});

Deno.test("dumpFunction() reads a card with a kernel driver, and changes nothing", () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  tree.interface(CARD, "eth2", "0x1003");
  const bytes = new Uint8Array(BAR_BYTES);
  new DataView(bytes.buffer).setUint32(REGISTERS.LINKS.offset, 0x40000000, true);
  tree.write(`${DEVICES}/${CARD}/resource0`, bytes);
  const before = tree.state(CARD);
  const options = { names: ["links", "gprc", "SWSM"], all: false };
  const found = dumpFunction(tree.system, tree.system.function(CARD), options);
  assertEquals(found.model, "82599 SFP+");
  assertEquals(found.registers.map(({ name, value }) => [name, value]), [["LINKS", 0x40000000]]);
  assertEquals(found.skipped.map(({ name }) => name), ["GPRC", "SWSM"]);
  assertEquals(tree.state(CARD), before);
  assertEquals(Deno.readFileSync(`${tree.root}${DEVICES}/${CARD}/resource0`), bytes);
});

Deno.test("dumpFunction() refuses registers that are turned off, and unknown names", () => {
  using tree = new Tree();
  tree.add(CARD, { command: 0 });
  const read = (names: string[]) => {
    dumpFunction(tree.system, tree.system.function(CARD), { names, all: false });
  };
  assertThrows(() => read(["NOTHING"]), UsageError, '"NOTHING" is not a register');
  assertThrows(() => read([]), UsageError, "registers are turned off (COMMAND 0000");
});

Deno.test("dumpFunction() throws if the registers read as ones", () => {
  using tree = new Tree();
  tree.add(CARD);
  tree.write(`${DEVICES}/${CARD}/resource0`, new Uint8Array(BAR_BYTES).fill(0xff));
  const found = tree.system.function(CARD);
  const read = () => dumpFunction(tree.system, found, { names: [], all: false });
  assertThrows(read, DeviceError, "asleep or gone");
});

Deno.test("dumpVirtio() refuses a card with a driver", () => {
  using tree = new Tree();
  tree.add(CARD, { vendor: 0x1af4, id: 0x1041, driver: "virtio-pci" });
  const before = tree.state(CARD);
  const found = tree.system.function(CARD);
  assertThrows(() => dumpVirtio(tree.system, found), UsageError, "selectors that this driver uses");
  assertEquals(tree.state(CARD), before);
});

/** Fills a tree with a machine that passes all checks. */
function complete(tree: Tree): void {
  tree.add(CARD, { driver: "vfio-pci" });
  tree.group("5", "identity", CARD);
  tree.write("/sys/module/vfio_iommu_type1/refcnt", "0\n");
  tree.write("/dev/vfio/vfio", "");
  tree.write("/dev/vfio/5", "");
  const limit = "Max locked memory         8388608              8388608              bytes\n";
  tree.write("/proc/self/limits", limit);
  tree.write("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n");
  const hugepages = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  tree.write(`${hugepages}/nr_hugepages`, "256\n");
  tree.write(`${hugepages}/free_hugepages`, "200\n");
  tree.write("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
}

Deno.test("diagnose() returns both ways on a machine that passes all checks", () => {
  using tree = new Tree();
  complete(tree);
  const { findings, ways, ready } = diagnose(tree.system, { deno: "2.9.6", processors: 2 });
  assertEquals(findings.filter(({ ok }) => !ok), []);
  assertEquals([ways, ready], [["vfio", "sysfs"], true]);
});

Deno.test("diagnose() omits ways whose checks fail, and says what to do", () => {
  const user = "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n";
  const lacks: [string, string[], RegExp, (tree: Tree) => void][] = [
    ["bus addresses", ["vfio"], /iommu=pt/, (tree) => {
      tree.write("/sys/kernel/iommu_groups/5/type", "DMA-FQ\n");
    }],
    ["hugepages", ["vfio"], /echo 256 >/, (tree) => {
      tree.write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
      tree.write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n");
    }],
    ["lockdown", ["vfio"], /VFIO works in lockdown/, (tree) => {
      tree.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    }],
    ["vfio modules", ["sysfs"], /modprobe/, (tree) => {
      Deno.removeSync(`${tree.root}/sys/module`, { recursive: true });
    }],
    ["locked memory", [], /ulimit -l/, (tree) => tree.write("/proc/self/status", user)],
    [
      "/sys",
      ["vfio"],
      /remount,rw \/sys/,
      (tree) => tree.write("/proc/self/mountinfo", READ_ONLY_SYS),
    ],
    ["/proc", [], /mount it/, (tree) => Deno.removeSync(`${tree.root}/proc/self/status`)],
    ["root", [], /run this as root/, (tree) => {
      tree.write("/proc/self/uid_map", "         0       1000          1\n");
    }],
    ["hugepage limit", ["vfio"], /hugetlb\.2MB\.max/, (tree) => {
      tree.write("/proc/self/cgroup", "0::/a/b\n");
      tree.write("/sys/fs/cgroup/a/hugetlb.2MB.max", "0\n");
      tree.write("/sys/fs/cgroup/a/b/hugetlb.2MB.max", "max\n");
    }],
    ["hugepage limit", ["vfio"], /hugetlb\.2MB\.max/, (tree) => {
      tree.write("/sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes", "2097152\n");
    }],
    ["cards", [], /the one that carries the default route/, (tree) => {
      tree.interface(CARD, "eth2", "0x1003");
      tree.write("/proc/net/route", route("eth2"));
    }],
    ["cards", [], /deno task demo/, (tree) => {
      Deno.removeSync(`${tree.root}${DEVICES}/${CARD}`, { recursive: true });
    }],
  ];
  for (const [name, ways, fix, remove] of lacks) {
    using tree = new Tree();
    complete(tree);
    remove(tree);
    const diagnosis = diagnose(tree.system, { deno: "2.9.6", processors: 2 });
    const found = diagnosis.findings.find((finding) => finding.name === name)!;
    assertEquals([found.ok, diagnosis.ways, diagnosis.ready], [false, ways, ways.length > 0], name);
    assertMatch(found.fix!, fix);
  }
});

Deno.test("diagnose() names the container, and the flag for what it lacks", () => {
  const marks: [string, (tree: Tree) => void][] = [
    ["Docker", (tree) => tree.write("/.dockerenv", "")],
    ["Podman", (tree) => tree.write("/run/.containerenv", "")],
    [
      "Kubernetes",
      (tree) => tree.write("/proc/self/environ", "A=b\0KUBERNETES_SERVICE_HOST=10.0.0.1\0"),
    ],
    ["systemd-nspawn", (tree) => tree.write("/proc/1/environ", "container=systemd-nspawn\0")],
    ["lxc", (tree) => tree.write("/run/systemd/container", "lxc\n")],
    ["containerd", (tree) => tree.write("/proc/1/cgroup", "0::/system.slice/containerd.service\n")],
    ["namespaces of its own (pid)", (tree) => namespaces(tree, { pid: 4026532999 })],
    ["Docker, with a user namespace", (tree) => {
      namespaces(tree, { user: 4026532888 });
      tree.write("/.dockerenv", "");
      tree.write("/proc/self/uid_map", "0 100000 65536\n");
    }],
  ];
  for (const [name, mark] of marks) {
    using tree = new Tree();
    complete(tree);
    tree.write("/proc/self/mountinfo", READ_ONLY_SYS);
    tree.write("/proc/self/limits", "Max locked memory  65536  65536  bytes\n");
    tree.write("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n"); // Docker's default
    Deno.removeSync(`${tree.root}/dev/vfio/5`);
    Deno.removeSync(`${tree.root}/dev/vfio/vfio`);
    mark(tree);
    const { findings, ready } = diagnose(tree.system, { deno: "2.9.6", processors: 2 });
    const of = (name: string) => findings.find((finding) => finding.name === name);
    assertEquals([of("container")?.found, ready], [name, false]);
    assertMatch(of("/sys")!.fix!, /-v \/sys:\/sys/);
    assertMatch(of("/dev/vfio")!.fix!, /--device \/dev\/vfio\/vfio --device \/dev\/vfio\/N/);
    assertMatch(of("locked memory")!.fix!, /--ulimit memlock=-1/);
    assertMatch(of("root")!.fix!, name.includes("user") ? /--userns host/ : /--cap-add SYS_ADMIN/);
  }
});

Deno.test("diagnose() finds no container in the machine's own namespaces, whatever an image left", () => {
  using tree = new Tree();
  complete(tree);
  namespaces(tree);
  tree.write("/.dockerenv", "");
  const { findings } = diagnose(tree.system, { deno: "2.9.6", processors: 2 });
  assertEquals(findings.find(({ name }) => name === "container"), undefined);
});

/** Gives the process the machine's namespaces, with exceptions. */
function namespaces(tree: Tree, own: Readonly<Record<string, number>> = {}): void {
  const machine = {
    ipc: 4026531839,
    uts: 4026531838,
    user: 4026531837,
    pid: 4026531836,
    cgroup: 4026531835,
  };
  Deno.mkdirSync(`${tree.root}/proc/self/ns`, { recursive: true });
  for (const [name, number] of Object.entries({ ...machine, ...own })) {
    Deno.symlinkSync(`${name}:[${number}]`, `${tree.root}/proc/self/ns/${name}`);
  }
}

/** The mount of `/sys` in an unprivileged container. */
const READ_ONLY_SYS = "31 30 0:27 / / rw,relatime - overlay overlay rw\n" +
  "36 31 0:23 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro\n";

Deno.test("nic.ts refuses wrong commands in one sentence", async () => {
  const cases: [string[], RegExp][] = [
    [
      [],
      /takes a command \(list, bind, restore, regs, module, eeprom, identify, selftest, doctor\): see --help/,
    ],
    [["lst"], /"lst" is not a command/],
    [["list", "eth0"], /list takes no operands/],
    [["bind", CARD], /bind takes an address and a driver, vfio-pci or none/],
    [["bind", CARD, "ixgbe"], /not "ixgbe"/],
    [["list", "--force"], /list has no option --force/],
    [["regs", "nowhere"], /"nowhere" is not the address of a PCI function/],
    [["regs", "vfio-user:/nowhere.sock"], /connect to \/nowhere\.sock/],
    [["module", "nowhere"], /"nowhere" is not the address of a PCI function/],
    [["module"], /module takes an address: see --help/],
    [["--frobnicate"], /unknown option --frobnicate/],
  ];
  for (const [args, sentence] of cases) {
    assertRefused(await run(ffiOnly("nic.ts", args)), sentence);
  }
});

Deno.test("nic.ts list and doctor run on any machine", async () => {
  const list = await run(ffiOnly("nic.ts", ["--json", "list"]));
  assertEquals([list.code, list.stderr, Array.isArray(JSON.parse(list.stdout))], [0, "", true]);
  const doctor = await run(ffiOnly("nic.ts", ["doctor", "--json"]));
  assertEquals([doctor.code, doctor.stderr], [JSON.parse(doctor.stdout).ready ? 0 : 1, ""]);
});

Deno.test("nic.ts regs reads the software NIC without violating a rule", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const regs = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(ffiOnly("nic.ts", ["regs", ...args]));
    assertEquals([code, stderr], [0, ""]);
    return stdout;
  };
  const [address] = sim.addresses;
  const text = await regs(address);
  assertMatch(text, /^vfio-user:.*: 82599 /);
  assertMatch(text, /^00000 {2}CTRL /m);
  assertMatch(text, /^not read, because reading clears it .*: .*\bGPRC\b/m);
  assertMatch(text, /^not read, because reading clears the interrupt causes .*: .*\bEICR\b/m);
  assert(!/^[0-9a-f]{5} {2}(GPRC|SWSM|EICS) /m.test(text), "skipped");
  const all = JSON.parse(await regs(address, "--all", "--json"));
  const names = all.registers.map(({ name }: { name: string }) => name);
  assert(names.includes("GPRC") && names.includes("QPRC[15]"));
  const changed = Object.values(REGISTERS).filter(({ name, access, readEffect }) => {
    return access === "WO" || (readEffect !== null && name !== "SW_FW_SYNC");
  });
  assert(changed.some(({ name }) => name === "PCSS1") && names.includes("PCSS1"));
  for (const { name } of changed) {
    assert(!new RegExp(`^[0-9a-f]{5} {2}${name}[[ ]`, "m").test(text));
  }
  assert(!names.includes("SWSM") && !names.includes("EICS"), "never read");
  assertEquals(names.length, new Set(names).size);
  const one = JSON.parse(await regs(address, "--json", "STATUS"));
  assertEquals(one.registers.map(({ name }: { name: string }) => name), ["STATUS"]);
  await sim.quit();
});

Deno.test("nic.ts module identifies the software NIC's module without violating a rule", async () => {
  await using directory = await TemporaryDirectory.make();
  const module = async (options: string[], ...args: string[]) => {
    await using sim = await Sim.start(directory, ["none"], options);
    const found = await run(ffiOnly("nic.ts", ["module", sim.addresses[0], ...args]));
    await sim.quit();
    return found;
  };
  const { code, stdout, stderr } = await module([]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^ {2}module {4}10GBASE-SR\n {2}vendor {4}SOFTWARE, part SIM-SR, serial 1$/m);
  assertMatch(stdout, /^ {2}signal {4}arrives\n {2}link {6}up$/m);
  const dual = JSON.parse((await module(["--module", "dual-LR"], "--json")).stdout);
  assertEquals(dual.module.megabits, [10000, 1000]);
  const none = await module(["--module", "none"]);
  assertMatch(none.stdout, /^ {2}module {4}none found: no module is in the cage$/m);
  const copper = await module(["--device-id", "0x1528"]);
  assertEquals(copper.code, 2);
  assertMatch(copper.stderr, /module does not support X540 10GBASE-T, only an 82599 with a cage/);
});

Deno.test("nic.ts regs does not take semaphores: SW_FW_SYNC is one on an X540, not on an 82599", async () => {
  await using directory = await TemporaryDirectory.make();
  for (const [id, semaphore] of [["0x10fb", false], ["0x1528", true]] as const) {
    await using sim = await Sim.start(directory, ["none"], ["--device-id", id]);
    const args = ["regs", "--json", "--all", sim.addresses[0], "SW_FW_SYNC", "SWSM"];
    const { registers, skipped } = JSON.parse((await run(ffiOnly("nic.ts", args))).stdout);
    assertEquals(registers.length, semaphore ? 0 : 1);
    const reason = "reading takes the semaphore from drivers";
    const names = semaphore ? ["SW_FW_SYNC", "SWSM"] : ["SWSM"];
    assertEquals(skipped, names.map((name) => ({ name, reason })));
    await sim.quit();
  }
});

Deno.test("nic.ts eeprom dumps the software NIC's EEPROM without violating a rule", async () => {
  await using directory = await TemporaryDirectory.make();
  const eeprom = async (options: string[], args: string[], flags: string[] = []) => {
    await using sim = await Sim.start(directory, ["none"], options);
    const found = await run(ffiOnly("nic.ts", ["eeprom", sim.addresses[0], ...args], flags));
    await sim.quit();
    return found;
  };
  // The words of its EEPROM, or of the shadow RAM that X540 and X550 have instead.
  for (const [id, words] of [["0x10fb", 1024], ["0x1528", 8192], ["0x1563", 8192]] as const) {
    const board = ["--device-id", id];
    const { code, stdout, stderr } = await eeprom(board, []);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^ {2}signature {5}valid\n {2}checksum {6}0x[0-9a-f]{4}, right$/m);
    assertMatch(stdout, /^ {2}MAC address {3}02:69:78:79:00:00$/m);
    assertMatch(stdout, /^ {2}board {9}SIM599-001$/m);
    assertMatch(stdout, /^0000 {2}4000( [0-9a-f]{4}){7}$/m);
    const json = JSON.parse((await eeprom(board, ["--json"])).stdout);
    assertEquals([json.checksum, json.words.length, json.words[0]], [json.computed, words, 0x4000]);
    const file = directory.file("raw");
    const raw = await eeprom(board, ["--raw", file], [`--allow-write=${file}`]);
    assertEquals(raw, { code: 0, stdout: "", stderr: "" });
    const bytes = new DataView((await Deno.readFile(file)).buffer);
    assertEquals(bytes.byteLength, 2 * words);
    for (const [i, word] of json.words.entries()) assertEquals(bytes.getUint16(2 * i, true), word);
  }
  const damaged = await eeprom(["--fault=damaged-eeprom"], []);
  assertEquals(damaged.code, 1);
  assertMatch(
    damaged.stdout,
    /^ {2}checksum {6}0x[0-9a-f]{4}, wrong: the words give 0x[0-9a-f]{4}$/m,
  );
  assertRefused(await eeprom([], ["--raw", "x"]), /x: no permission to write it/);
  assertRefused(await eeprom([], ["--raw", "x", "--json"]), /omit --json/);
  const held = await eeprom(["--fault=held-eeprom", "--device-id=0x1528"], []);
  assertRefused(held, /SW_FW_SYNC/);
});

Deno.test("nic.ts eeprom --raw names a file that takes no more, once", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const command = ffiOnly("nic.ts", ["eeprom", "--raw=-", sim.addresses[0]]);
  const full = await run(["sh", "-c", `exec "$@" >/dev/full`, "sh", ...command]);
  const sentence = "standard output: no space left on device: what is there is not complete";
  assertEquals(full, { code: 1, stdout: "", stderr: `error: ${sentence}\n` });
  await sim.quit();
});

Deno.test("nic.ts eeprom ends at a signal with a sentence, and leaves no rule broken", async () => {
  await using directory = await TemporaryDirectory.make();
  const trace = directory.file("trace"),
    slow = ["--trace", trace, "--delays=bus=20", "--device-id=0x1563"];
  await using sim = await Sim.start(directory, ["none"], slow);
  await using program = Program.start(ffiOnly("nic.ts", ["eeprom", sim.addresses[0]]));
  await until("the first words", async () => / FLEX_MNG\[/.test(await Deno.readTextFile(trace)));
  program.kill("SIGTERM");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stdout], [143, ""], stderr);
  assertMatch(stderr, /^[^\n]*SIGTERM[^\n]*\n$/);
  const [last] = (await Deno.readTextFile(trace)).match(
    / write SW_FW_SYNC \S+(?!.* write SW_FW_SYNC)/s,
  )!;
  assertMatch(last, /0x0+$/, "the semaphore is free");
  await sim.quit();
});

Deno.test("nic.ts identify blinks the LED, and restores it, also at SIGINT", async () => {
  await using directory = await TemporaryDirectory.make();
  const trace = directory.file("trace");
  for (const id of ["0x10fb", "0x1528", "0x1563"]) {
    await using sim = await Sim.start(directory, ["none"], ["--trace", trace, "--device-id", id]);
    const args = ["identify", "--json", "--seconds=0.8", sim.addresses[0]];
    const { code, stdout, stderr } = await run(ffiOnly("nic.ts", args));
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout).led, 2);
    await using endless = Program.start(ffiOnly("nic.ts", ["identify", sim.addresses[0]]));
    await until("the LED", async () => /00000000 000e0000 000f0000/.test(await ledsOf(trace)));
    endless.kill("SIGINT");
    assertEquals((await endless.finish()).code, 0);
    await sim.quit();
    const [first, second, end] = (await ledsOf(trace)).split("00000000");
    for (const blinks of [first, second]) {
      assertMatch(blinks, /^ ?(000e0000 000f0000 )+(000e0000 )?$/, "on, off, on, …");
    }
    assertEquals(end, "", "and then as before");
  }
});

/** Returns what was written to LEDCTL. */
async function ledsOf(trace: string): Promise<string> {
  const text = await Deno.readTextFile(trace);
  const written = text.matchAll(/ write LEDCTL 0x([0-9a-f]{8})/g);
  return Array.from(written, ([, value]) => value).join(" ");
}

Deno.test("blinkLed() blinks the LED for activity of the link, and changes no other", async () => {
  using tree = new Tree();
  tree.add(CARD, { driver: "ixgbe" });
  const bar = new Uint32Array(BAR_BYTES / 4);
  bar[offsetOf(REGISTERS.LEDCTL) / 4] = 0x05044203;
  tree.write(`${DEVICES}/${CARD}/resource0`, new Uint8Array(bar.buffer));
  const file = `${tree.root}${DEVICES}/${CARD}/resource0`;
  const led = () => new Uint32Array(Deno.readFileSync(file).buffer)[offsetOf(REGISTERS.LEDCTL) / 4];
  const seen: number[] = [];
  let looks = 0;
  const report = await blinkLed(tree.system, CARD, 60, () => {
    seen.push(led());
    return ++looks > 1;
  });
  assertEquals([report.led, report.blinks, led()], [2, 1, 0x05044203]);
  assertEquals(seen, [0x05044203, 0x050e4203, 0x050e4203]);
});
