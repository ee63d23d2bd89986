/**
 * Open vSwitch with DPDK's data path as processes of its own: a bridge that joins two ports, which
 * connect to the sockets of two drivers (`dpdkvhostuserclient`). Not a test itself.
 *
 * @module
 */

import { Hugepages } from "./hugepages.ts";
import { Program, run, type TemporaryDirectory, until } from "./processes.ts";

/** Debian's packages. The switch needs hugepages: it combines DPDK with `--in-memory`. */
export const OPEN_VSWITCH_PACKAGES: readonly string[] = ["openvswitch-switch-dpdk"];

/** Memory of DPDK in MiB, and the hugepages for it. */
const MEGABYTES = 128, PAGES = MEGABYTES / 2 + 8;
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const SWITCH = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
/** Deadline for the switch to start, in milliseconds. */
const START_MS = 30000;

/** The switch, with two ports. */
export class OpenVSwitch implements AsyncDisposable {
  /** Paths of the sockets that the ports connect to, once a second. */
  readonly sockets: readonly string[];
  readonly #stack: AsyncDisposableStack;

  private constructor(sockets: readonly string[], stack: AsyncDisposableStack) {
    this.sockets = sockets;
    this.#stack = stack;
  }

  /** Starts it, and waits until its bridge joins the ports. Frames pass unchanged, both ways. */
  static async start(directory: TemporaryDirectory): Promise<OpenVSwitch> {
    await using stack = new AsyncDisposableStack();
    stack.use(new Hugepages(PAGES));
    const [database, db, control] = ["conf.db", "db.sock", "db.ctl"].map((f) => directory.file(f));
    const sockets = ["v0.sock", "v1.sock"].map((f) => directory.file(f));
    const { path } = directory;
    const env = { OVS_RUNDIR: path, OVS_LOGDIR: path, OVS_DBDIR: path, OVS_SYSCONFDIR: path };
    const call = async (...command: string[]) => {
      const { code, stderr } = await run(["env", ...pairs(env), ...command]);
      if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
    };
    await call("ovsdb-tool", "create", database, SCHEMA);
    stack.use(Program.start([
      ...["ovsdb-server", database, `--remote=punix:${db}`, `--unixctl=${control}`],
      "-vconsole:warn",
    ], { env }));
    const configure = (...command: string[]) => {
      return call("ovs-vsctl", `--db=unix:${db}`, "--no-wait", "--timeout=10", ...command);
    };
    await configure("--retry", "init");
    await configure(
      ...["set", "Open_vSwitch", ".", "other_config:dpdk-init=true"],
      ...["other_config:pmd-cpu-mask=0x1", "other_config:dpdk-lcore-mask=0x1"],
      `other_config:dpdk-extra="-m ${MEGABYTES} --no-pci --no-telemetry"`,
      "other_config:per-port-memory=true",
      ...["--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"],
      "fail-mode=secure", // no flows but those below
      ...sockets.flatMap((socket, i) => [
        ...["--", "add-port", "br0", `v${i}`, "--", "set", "Interface", `v${i}`],
        ...["type=dpdkvhostuserclient", `options:vhost-server-path=${socket}`],
        `ofport_request=${i + 1}`,
      ]),
    );
    const vswitchd = stack.use(Program.start([
      ...[SWITCH, `unix:${db}`, `--unixctl=${directory.file("vs.ctl")}`, "-vconsole:warn"],
    ], { env }));
    const management = directory.file("br0.mgmt");
    await until("Open vSwitch to start", async () => {
      if (vswitchd.ended) throw new Error(`Open vSwitch has ended: ${vswitchd.stderr}`);
      return await exists(management);
    }, START_MS);
    for (const [from, to] of [[1, 2], [2, 1]]) {
      await call(
        "ovs-ofctl",
        "add-flow",
        `unix:${management}`,
        `in_port=${from},actions=output:${to}`,
      );
    }
    return new OpenVSwitch(sockets, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

/** Returns variables as arguments of env(1). */
function pairs(variables: Readonly<Record<string, string>>): string[] {
  return Object.entries(variables).map(([name, value]) => `${name}=${value}`);
}

async function exists(file: string): Promise<boolean> {
  try {
    await Deno.lstat(file);
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return false;
  }
}
