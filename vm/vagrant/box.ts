/**
 * Builds a small Debian as a Vagrant box for libvirt, from packages of this machine's mirror: for
 * machines without KVM, whose only network access is that mirror. The box is for tests only. It
 * lacks a boot loader: to start it, pass its kernel to QEMU.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { cached } from "../cache.ts";
import { succeed } from "./succeed.ts";

/** Name of the box in a Vagrantfile. */
export const BOX_NAME = "ixy/debian";
/** Command line of its kernel. Mitigations are off, since only tests use the machine. */
export const KERNEL_OPTIONS =
  "root=/dev/vda rw net.ifnames=0 console=ttyS0 quiet mitigations=off random.trust_cpu=on";

/** Paths of a box's files. */
export interface Box {
  /** The box. */
  readonly box: string;
  /** Its kernel. */
  readonly kernel: string;
  /** Its initial RAM file system. */
  readonly initrd: string;
}

/** Packages in addition to the essential ones. */
const PACKAGES = [
  ...["systemd-sysv", "udev", "procps", "kmod", "iproute2"],
  ...["linux-image-cloud-amd64", "initramfs-tools"],
  ...["openssh-server", "sudo", "rsync"],
];

/** Modules that the kernel needs to mount its root file system. */
const MODULES = ["virtio_pci", "virtio_blk", "ext4"];

/** Timers and services that a machine for a few minutes does not need, and that delay its start. */
const MASKED = [
  ...["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"],
  ...["e2scrub_all.timer", "e2scrub_reap.service", "getty@tty1.service"],
  ...["systemd-networkd-wait-online.service", "systemd-update-utmp.service"],
  ...["systemd-logind.service", "systemd-pstore.service", "dev-hugepages.mount"],
  ...["dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"],
];

/** Configuration files, by path in the box. */
const FILES: Readonly<Record<string, string>> = {
  "etc/hostname": "debian\n",
  "etc/hosts": "127.0.0.1 localhost debian\n",
  "etc/fstab": "/dev/vda / ext4 noatime 0 1\n",
  // Identifies itself by MAC address, so that it gets the same IP address at each start.
  "etc/systemd/network/10-eth0.network":
    "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n",
  "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
  "etc/ssh/sshd_config.d/vagrant.conf": "UseDNS no\n",
};

/** Longest that the installation, and each step of packing, may take, in seconds. */
const INSTALL_S = 240, PACK_S = 120;
/** Size of the disk in GiB. */
const DISK_GIB = 2;

/**
 * Builds a box, or returns the cached one.
 *
 * @param cache The cache directory.
 * @throws {UsageError} if this machine does not run Debian.
 * @throws {Error} if a command fails or takes too long; the message has the command and its output.
 */
export async function makeBox(cache: string): Promise<Box> {
  const { suite, mirror } = await source();
  const recipe = await Deno.readFile(new URL(import.meta.url));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", recipe)).toHex().slice(0, 12);
  const name = `vagrant-${suite}-${hash}`;
  const directory = await cached(cache, name, async (directory) => {
    await forget(cache);
    await Deno.mkdir(directory);
    const work = `${directory}-work`; // beside it: `cached` removes it
    await Deno.mkdir(work);
    await install(`${work}/root`, suite, mirror);
    await configure(`${work}/root`);
    await Deno.copyFile(`${work}/root/vmlinuz`, `${directory}/vmlinuz`);
    await Deno.copyFile(`${work}/root/initrd.img`, `${directory}/initrd.img`);
    await pack(work, `${directory}/debian.box`);
  });
  return {
    box: `${directory}/debian.box`,
    kernel: `${directory}/vmlinuz`,
    initrd: `${directory}/initrd.img`,
  };
}

/** Returns the Debian suite of this machine, and the mirror of its apt. */
async function source(): Promise<{ suite: string; mirror: string }> {
  const release = await Deno.readTextFile("/etc/os-release");
  const suite = /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1];
  if (!/^ID=debian$/m.test(release) || !suite) {
    throw new UsageError("a box is built from Debian's packages: build it on a Debian machine");
  }
  const format = ["--format", "$(CODENAME) $(REPO_URI)"];
  const targets = await succeed(["apt-get", "indextargets", ...format, "Created-By: Packages"]);
  const lines = targets.split("\n").map((line) => line.split(" "));
  const mirror = lines.find(([codename]) => codename === suite)?.[1];
  if (!mirror) {
    throw new UsageError(`apt has no mirror of ${suite}: add one to /etc/apt/sources.list.d`);
  }
  return { suite, mirror };
}

/** Installs the packages below a directory. */
async function install(root: string, suite: string, mirror: string): Promise<void> {
  // The kernel's package builds the initial RAM file system, so its configuration must exist
  // before.
  const initramfs = [
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"',
    'printf "MODULES=list\\nCOMPRESS=gzip\\n" > "$1/etc/initramfs-tools/conf.d/ixy"',
    `printf "${MODULES.join("\\n")}\\n" > "$1/usr/share/initramfs-tools/modules.d/ixy"`,
  ];
  const left = ["doc", "info", "locale", "man"].map((name) => `path-exclude=/usr/share/${name}/*`);
  const configuration = await succeed(["apt-config", "dump"]);
  const proxies = configuration.match(/^Acquire::https?::Proxy.*$/gm) ?? [];
  await succeed([
    // Its own mount namespace: if it is killed, removing the directory does not reach into its
    // mounts.
    ...["unshare", "--mount", "mmdebstrap", "--quiet", "--mode=root"],
    ...["--variant=minbase", "--format=directory"],
    ...[`--include=${PACKAGES.join(",")}`, `--essential-hook=${initramfs.join(" && ")}`],
    ...left.map((option) => `--dpkgopt=${option}`),
    ...proxies.map((option) => `--aptopt=${option}`),
    ...[suite, root, mirror],
  ], INSTALL_S);
}

/** Configures what Vagrant expects: a user with Vagrant's key, SSH, and an address from DHCP. */
async function configure(root: string): Promise<void> {
  for (const [path, text] of Object.entries(FILES)) {
    await Deno.remove(`${root}/${path}`).catch(unlessAbsent);
    await Deno.writeTextFile(`${root}/${path}`, text);
  }
  // Each machine generates its own at its first start.
  await Deno.writeTextFile(`${root}/etc/machine-id`, "");
  const chroot = (...command: string[]) => succeed(["chroot", root, ...command]);
  await chroot("useradd", "--create-home", "--shell", "/bin/bash", "vagrant");
  await chroot("chmod", "440", "/etc/sudoers.d/vagrant");
  await chroot("systemctl", "--quiet", "enable", "systemd-networkd", "ssh");
  await chroot("systemctl", "--quiet", "mask", ...MASKED);
  await Deno.mkdir(`${root}/home/vagrant/.ssh`, { mode: 0o700 });
  await Deno.copyFile(await publicKey(), `${root}/home/vagrant/.ssh/authorized_keys`);
  await chroot("chmod", "600", "/home/vagrant/.ssh/authorized_keys");
  await chroot("chown", "-R", "vagrant:vagrant", "/home/vagrant");
}

/** Returns the path of the public key of all boxes; Vagrant has the private key. */
async function publicKey(): Promise<string> {
  const files = await succeed(["dpkg", "--listfiles", "vagrant"]);
  const key = files.split("\n").find((file) => file.endsWith("/keys/vagrant.pub"));
  if (!key) throw new Error("the package vagrant has no keys/vagrant.pub: its layout has changed");
  return key;
}

/** Packs the directory `root` in `work` as a box. */
async function pack(work: string, file: string): Promise<void> {
  const image = `${work}/disk.raw`;
  const sizes = ["-d", `${work}/root`, image, `${DISK_GIB}G`];
  await succeed(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", ...sizes], PACK_S);
  // Not compressed: the box is unpacked more often than it is built.
  await succeed(["qemu-img", "convert", "-O", "qcow2", image, `${work}/box.img`], PACK_S);
  const metadata = { provider: "libvirt", format: "qcow2", virtual_size: DISK_GIB };
  await Deno.writeTextFile(`${work}/metadata.json`, JSON.stringify(metadata));
  await succeed(["tar", "-C", work, "-cf", file, "metadata.json", "box.img"], PACK_S);
}

/** Removes boxes of older versions of this file. */
async function forget(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    if (/^vagrant-[a-z]+-[0-9a-f]{12}$/.test(name)) {
      await Deno.remove(`${cache}/${name}`, { recursive: true });
    }
  }
}

function unlessAbsent(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
