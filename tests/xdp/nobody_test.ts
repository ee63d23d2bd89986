/** Network interfaces as another user than root, with each set of capabilities. As root only. */

import { assertEquals, assertMatch } from "@std/assert";
import { Nobody } from "../support/nobody.ts";
import { canUseXdp, Veth } from "../support/veth.ts";

/** The capabilities that a device needs, as setpriv(1) writes them. */
const NEEDED = ["net_raw", "net_admin", "bpf"];

/** Opens a device and prints its model, or the error. */
const OPEN = `
const { open } = await import("file:///project/mod.ts");
try {
  using device = await open(Deno.args[0], { promiscuous: true });
  console.log(device.model);
} catch (error) {
  console.log(error.name + ": " + error.message);
}
`;

/** Runs a test with a pair of interfaces and another user. */
function test(name: string, fn: (veth: Veth, nobody: Nobody) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !canUseXdp,
    async fn() {
      await using veth = await Veth.make();
      await using nobody = await Nobody.make();
      await fn(veth, nobody);
    },
  });
}

/** Returns the capabilities without one, as the kernel names them. */
function kernelNames(capabilities: readonly string[]): string {
  return capabilities.map((name) => `CAP_${name.toUpperCase()}`).join(", ");
}

test("open() needs three capabilities, and no root", async (veth, nobody) => {
  const script = await nobody.program("open.ts", OPEN.replace("/project", nobody.project));
  const opened = async (capabilities: readonly string[], before?: string) => {
    const words = ["--no-config", "--allow-import", script, veth.address];
    const { stdout, stderr } = await nobody.run(capabilities, words, before);
    return stdout + stderr;
  };
  assertMatch(
    await opened(NEEDED, "ulimit -l 64"),
    /^UsageError: .* the limit of locked memory is too low: each queue needs 4096 KiB, .*CAP_IPC_LOCK/,
  );
  assertEquals(await opened([...NEEDED, "ipc_lock"]), "AF_XDP, copy\n");
  for (const missing of NEEDED) {
    const rest = [...NEEDED, "ipc_lock"].filter((name) => name !== missing);
    assertMatch(await opened(rest), /^UsageError: .*CAP_(BPF|NET_RAW|NET_ADMIN).*: run .*as root/);
  }
});

test("nic.ts list and doctor name the capabilities that a user lacks", async (veth, nobody) => {
  const nic = (capabilities: readonly string[], command: string) =>
    nobody.run(capabilities, [`${nobody.project}/nic.ts`, command]);
  const sets = [[], ...NEEDED.map((one) => NEEDED.filter((name) => name !== one)), NEEDED];
  for (const capabilities of sets) {
    const lacks = kernelNames(NEEDED.filter((name) => !capabilities.includes(name)));
    const list = await nic(capabilities, "list");
    assertEquals([list.code, list.stderr], [0, ""]);
    const [, described] = list.stdout.split(`${veth.address}  network interface\n`);
    const [kernel, , ...rest] = described.split("\n");
    assertEquals(kernel, "  kernel    up, MTU 1500");
    const problem = `            this process lacks ${lacks}: see \`nic.ts doctor\``;
    assertEquals(rest[0] === problem, lacks !== "", described);

    const doctor = await nic(capabilities, "doctor");
    assertEquals(doctor.stderr, "");
    const [row] = doctor.stdout.split("\n").filter((line) => / AF_XDP /.test(line));
    const says = lacks === "" ? "permitted" : `not permitted without ${lacks}`;
    assertEquals(row.replace(/^(ok|note) +AF_XDP +/, ""), `known to the kernel, ${says}`);
  }
});
