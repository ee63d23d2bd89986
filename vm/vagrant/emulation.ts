/**
 * Vagrant, libvirt and QEMU in namespaces of their own, with emulated processors: for machines where
 * nothing of the kind runs, no systemd either, and without KVM. Processes, network, mounts: when the
 * namespaces' first process ends, so does all that was ever started in them, and what a libvirt of
 * this machine has is neither seen nor touched. As root only.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { type Box, BOX_NAME, KERNEL_OPTIONS } from "./box.ts";
import { succeed } from "./succeed.ts";

/** Seconds until libvirt answers, which looks at what its QEMU can do first. */
const START_S = 90;
/** Seconds that unpacking the box may take. */
const BOX_S = 90;
/** Seconds after which the namespaces' first process is killed. */
const END_S = 10;

/** Directories of libvirt's, which each get one of our own in their place. */
const LIBVIRT_DIRECTORIES = ["etc", "var/lib", "var/cache", "var/log"].map((d) => `${d}/libvirt`);

/** libvirt with what this machine has: no cgroups, no security module, no user for QEMU. */
const QEMU_CONF = `
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
`;

/** The first process of the namespaces. bash, since it waits for orphans. Ends with its input. */
const INIT = `
set -eu
read -r pid _ </proc/self/stat # of the old /proc still: our number outside
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
for directory in ${LIBVIRT_DIRECTORIES.join(" ")}; do
  mkdir -p "$1/$directory" "/$directory"
  mount --bind "$1/$directory" "/$directory"
done
printf %s "$2" >/etc/libvirt/qemu.conf
if [ -e /dev/kvm ]; then
  # Not to be opened, and not to be written either: libvirt would look again at each call.
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

/** What Vagrant reads beneath the project's own Vagrantfile. */
function vagrantfile({ kernel, initrd }: Box): string {
  return `
Vagrant.configure("2") do |config|
  config.vm.guest = :debian # else it is guessed, by some twenty commands
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

/** Namespaces in which libvirt runs and Vagrant can. Dispose of it to end everything in them. */
export class Emulation implements AsyncDisposable {
  readonly #directory: string;
  readonly #unshare: Deno.ChildProcess;
  #init = 0;

  private constructor(directory: string, unshare: Deno.ChildProcess) {
    this.#directory = directory;
    this.#unshare = unshare;
  }

  /**
   * Starts libvirt and gives Vagrant the box.
   *
   * @throws {Error} if something fails or takes too long; everything is ended then.
   */
  static async start(box: Box): Promise<Emulation> {
    const directory = await Deno.makeTempDir({ prefix: "ixy-vagrant-" });
    await Deno.chmod(directory, 0o755); // dnsmasq is not root
    const unshare = new Deno.Command("unshare", {
      args: [
        ...["--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL"],
        ...["bash", "-c", INIT, "init", directory, QEMU_CONF],
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
        `libvirt did not start within ${START_S} s in namespaces of its own: see above what failed`,
      );
    }
    await Deno.mkdir(`${this.#directory}/home`);
    await Deno.writeTextFile(`${this.#directory}/home/Vagrantfile`, vagrantfile(box));
    await this.run(["vagrant", "box", "add", "--name", BOX_NAME, box.box], BOX_S);
  }

  /** The directory that Vagrant has as its home, beside other files that end with this. */
  get directory(): string {
    return this.#directory;
  }

  /**
   * The command line of a program on the machines' network: `ssh`. It is an ordinary process, which
   * ends at a signal, but also does not end with the namespaces.
   */
  onNetwork(command: readonly string[]): string[] {
    return ["nsenter", "--net", `--target=${this.#init}`, "--", ...command];
  }

  get #env(): Record<string, string> {
    return {
      VAGRANT_HOME: `${this.#directory}/home`,
      VAGRANT_DOTFILE_PATH: `${this.#directory}/machines`,
      VAGRANT_DEFAULT_PROVIDER: "libvirt",
      VAGRANT_CHECKPOINT_DISABLE: "1",
      VAGRANT_NO_COLOR: "1",
      IXY_BOX: BOX_NAME,
    };
  }

  /**
   * Runs a command in the namespaces that has to succeed: `vagrant`, `virsh`.
   *
   * @param command Program and arguments.
   * @param seconds How long it may take; 60 unless given.
   * @param env Environment variables to add to those by which Vagrant finds its files.
   * @returns What it printed on standard output.
   * @throws {Error} if it fails or takes longer, with the end of what it printed.
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
    await Deno.remove(this.#directory, { recursive: true });
  }
}
