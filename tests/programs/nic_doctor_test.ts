/** `nic.ts doctor`, on a directory tree like the kernel's. */

import { assertEquals, assertMatch } from "@std/assert";
import { diagnose } from "../../nic/doctor.ts";
import { CARD, DEVICES, route, Tree } from "../support/pci_tree.ts";

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
  tree.write(
    "/proc/net/protocols",
    "protocol  size sockets  memory\nXDP       1088      0      -1\n",
  );
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
    ["AF_XDP", ["vfio", "sysfs"], /CONFIG_XDP_SOCKETS/, (tree) => {
      tree.write("/proc/net/protocols", "protocol  size sockets  memory\n");
    }],
    ["AF_XDP", ["vfio"], /with these capabilities/, (tree) => {
      // All but CAP_NET_RAW and CAP_SYS_ADMIN.
      tree.write("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffdfdfff\n");
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
