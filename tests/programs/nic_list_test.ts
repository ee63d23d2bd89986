/** `nic.ts list`: which functions are cards, whether they are free, and the names of their interfaces. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../../mod.ts";
import { SysfsFunction } from "../../src/pci/sysfs.ts";
import { bind } from "../../nic/binding.ts";
import { diagnose } from "../../nic/doctor.ts";
import { assess } from "../../nic/drivers.ts";
import { cards, formatCards } from "../../nic/list.ts";
import { Program, tool } from "../support/processes.ts";
import { CARD, DEVICES, route, Tree, TWIN } from "../support/pci_tree.ts";

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
