/**
 * Runs Vagrant, libvirt and QEMU in their own process, network and mount namespaces, with emulated
 * processors: for machines without libvirt, systemd and KVM. When the namespaces' first process
 * ends, all processes in them end. A libvirt of this machine is not affected. Root only.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { type Box, BOX_NAME, KERNEL_OPTIONS } from "./box.ts";
import { succeed } from "./succeed.ts";

/** Longest time until libvirt answers, in seconds: it first probes QEMU's capabilities. */
const START_S = 90;
/** Longest time to unpack the box, in seconds. */
const BOX_S = 90;
/** Longest time until the namespaces' first process ends before it is killed, in seconds. */
const END_S = 10;

/** Directories of libvirt, each replaced by an own one. */
const LIBVIRT_DIRECTORIES = ["etc", "var/lib", "var/cache", "var/log"].map((d) => `${d}/libvirt`);

/** libvirt's configuration for a machine without cgroups, security module, and a user for QEMU. */
const QEMU_CONF = `
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
`;

/**
 * The first process of the namespaces. bash, because it reaps orphans. Ends at the end of its
 * input.
 */
const INIT = `
set -eu
read -r pid _ </proc/self/stat # from the old /proc: this process's id outside
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
for directory in ${LIBVIRT_DIRECTORIES.join(" ")}; do
  mkdir -p "$1/$directory" "/$directory"
  mount --bind "$1/$directory" "/$directory"
done
printf %s "$2" >/etc/libvirt/qemu.conf
if [ -e /dev/kvm ]; then
  # libvirt must neither open it nor be able to write it: it would probe again at each call.
  touch "$1/no-kvm"
  mount --bind "$1/no-kvm" /dev/kvm
  mount -o remount,bind,ro /dev/kvm
fi
ip link set lo up
virtlogd --daemon
libvirtd --daemon
until complaint=$(virsh --quiet --connect qemu:///system version 2>&1 >/dev/null); do
  [ $SECONDS -lt ${START_S} ] || { echo "virsh: $complaint" >&2; exit 1; }
  sleep 0.2
done
echo "$pid"
while read -r _; do :; done
`;

/** Returns the Vagrantfile that Vagrant merges with the project's own one. */
function vagrantfile({ kernel, initrd }: Box): string {
  return `
Vagrant.configure("2") do |config|
  config.vm.guest = :debian # otherwise Vagrant runs some twenty commands to detect it
  config.vm.boot_timeout = 180
  config.ssh.insert_key = false
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = "qemu"
    libvirt.graphics_type = "none"
    libvirt.disk_driver cache: "unsafe"
    libvirt.kernel = "${kernel}"
    libvirt.initrd = "${initrd}"
    libvirt.cmd_line = "${KERNEL_OPTIONS}"
  end
end
`;
}

/** Namespaces in which libvirt runs, for Vagrant. Disposing it ends everything in them. */
export class Emulation implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  readonly #unshare: Deno.ChildProcess;
  #init = 0;

  private constructor(directory: TemporaryDirectory, unshare: Deno.ChildProcess) {
    this.#directory = directory;
    this.#unshare = unshare;
  }

  /**
   * Starts libvirt and adds the box to Vagrant.
   *
   * @throws {Error} if a step fails or takes too long. Everything has ended then.
   */
  static async start(box: Box): Promise<Emulation> {
    const directory = await TemporaryDirectory.make();
    await Deno.chmod(directory.path, 0o755); // dnsmasq is not root
    const unshare = new Deno.Command("unshare", {
      args: [
        ...["--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL"],
        ...["bash", "-c", INIT, "init", directory.path, QEMU_CONF],
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const emulation = new Emulation(directory, unshare);
    try {
      await emulation.#start(box);
    } catch (error) {
      await emulation[Symbol.asyncDispose]();
      throw error;
    }
    return emulation;
  }

  async #start(box: Box): Promise<void> {
    const timer = setTimeout(() => this.#unshare.kill("SIGKILL"), (START_S + END_S) * 1000);
    const lines = this.#unshare.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    const { value } = await lines.read();
    clearTimeout(timer);
    await lines.cancel();
    this.#init = Number(value);
    if (!(this.#init > 0)) {
      throw new Error(
        `libvirt did not start within ${START_S} s in its namespaces: see the messages above`,
      );
    }
    await Deno.mkdir(this.#directory.file("home"));
    await Deno.writeTextFile(this.#directory.file("home/Vagrantfile"), vagrantfile(box));
    await this.run(["vagrant", "box", "add", "--name", BOX_NAME, box.box], BOX_S);
  }

  /** The directory of Vagrant's home and of other files, which is removed at the end. */
  get directory(): string {
    return this.#directory.path;
  }

  /**
   * Returns the command line of a program on the machines' network, such as `ssh`. It is an
   * ordinary process: signals end it, and the end of the namespaces does not.
   */
  onNetwork(command: readonly string[]): string[] {
    return ["nsenter", "--net", `--target=${this.#init}`, "--", ...command];
  }

  get #env(): Record<string, string> {
    return {
      VAGRANT_HOME: this.#directory.file("home"),
      VAGRANT_DOTFILE_PATH: this.#directory.file("machines"),
      VAGRANT_DEFAULT_PROVIDER: "libvirt",
      VAGRANT_CHECKPOINT_DISABLE: "1",
      VAGRANT_NO_COLOR: "1",
      IXY_BOX: BOX_NAME,
    };
  }

  /**
   * Runs a command in the namespaces, which must succeed: `vagrant`, `virsh`.
   *
   * @param command Program and arguments.
   * @param seconds Longest that it may take; default: 60.
   * @param env Environment variables to add to those for Vagrant.
   * @returns Its standard output.
   * @throws {Error} if it fails or takes longer, with the end of its output.
   */
  run(command: readonly string[], seconds?: number, env = {}): Promise<string> {
    const namespaces = ["--mount", "--net", "--pid", `--target=${this.#init}`];
    return succeed(["nsenter", ...namespaces, "--", ...command], seconds, { ...this.#env, ...env });
  }

  /** Ends everything in the namespaces, and removes their files. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#unshare.kill("SIGKILL"), END_S * 1000);
    await this.#unshare.stdin.close();
    await this.#unshare.status;
    clearTimeout(timer);
    await this.#directory[Symbol.asyncDispose]();
  }
}
