/**
 * A small Debian as a Vagrant box for libvirt, made from the packages of this machine's own mirror:
 * for machines without KVM, and without a network but that mirror. It is no box to work in, and has
 * no boot loader: whoever starts it passes its kernel beside it.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { cached } from "../cache.ts";
import { succeed } from "./succeed.ts";

/** What a box is called in a Vagrantfile. */
export const BOX_NAME = "ixy/debian";
/** Command line for its kernel, where nobody but tests is on the machine. */
export const KERNEL_OPTIONS =
  "root=/dev/vda rw net.ifnames=0 console=ttyS0 quiet mitigations=off random.trust_cpu=on";

/** A box, as files. */
export interface Box {
  /** The box. */
  readonly box: string;
  /** Its kernel. */
  readonly kernel: string;
  /** Its initial RAM file system. */
  readonly initrd: string;
}

/** Packages beside those that dpkg cannot do without. */
const PACKAGES = [
  ...["systemd-sysv", "udev", "procps", "kmod", "iproute2"],
  ...["linux-image-cloud-amd64", "initramfs-tools"],
  ...["openssh-server", "sudo", "rsync"],
];

/** Modules that the kernel needs in order to mount its root. */
const MODULES = ["virtio_pci", "virtio_blk", "ext4"];

/** Timers and services that only cost time at the start of a machine that lives for minutes. */
const MASKED = [
  ...["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"],
  ...["e2scrub_all.timer", "e2scrub_reap.service", "getty@tty1.service"],
  ...["systemd-networkd-wait-online.service", "systemd-update-utmp.service"],
  ...["systemd-logind.service", "systemd-pstore.service", "dev-hugepages.mount"],
  ...["dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"],
];

/** Configuration, by path in the box. */
const FILES: Readonly<Record<string, string>> = {
  "etc/hostname": "debian\n",
  "etc/hosts": "127.0.0.1 localhost debian\n",
  "etc/fstab": "/dev/vda / ext4 noatime 0 1\n",
  // The address is given by MAC, the same one at each start.
  "etc/systemd/network/10-eth0.network":
    "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n",
  "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
  "etc/ssh/sshd_config.d/vagrant.conf": "UseDNS no\n",
};

/** Longest that installing the packages, and each step of packing, may take, in seconds. */
const INSTALL_S = 240, PACK_S = 120;
/** Size of the disk in GiB. */
const DISK_GIB = 2;

/**
 * Makes a box, or finds the one that was made before.
 *
 * @param cache The directory to keep it in.
 * @throws {UsageError} if this machine is no Debian.
 * @throws {Error} if a command fails or takes too long; it says which and what it printed.
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

/** The suite of this machine, and the mirror that its apt uses for it. */
async function source(): Promise<{ suite: string; mirror: string }> {
  const release = await Deno.readTextFile("/etc/os-release");
  const suite = /^VERSION_CODENAME=(.+)$/m.exec(release)?.[1];
  if (!/^ID=debian$/m.test(release) || !suite) {
    throw new UsageError("a box is made from Debian's packages: make it on a Debian");
  }
  const format = ["--format", "$(CODENAME) $(REPO_URI)"];
  const targets = await succeed(["apt-get", "indextargets", ...format, "Created-By: Packages"]);
  const lines = targets.split("\n").map((line) => line.split(" "));
  const mirror = lines.find(([codename]) => codename === suite)?.[1];
  if (!mirror) {
    throw new UsageError(`apt knows no mirror of ${suite}: add one to /etc/apt/sources.list.d`);
  }
  return { suite, mirror };
}

/** Installs the packages below a directory. */
async function install(root: string, suite: string, mirror: string): Promise<void> {
  // The kernel's package makes the initial RAM file system, so what goes into it is said before.
  const initramfs = [
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"',
    'printf "MODULES=list\\nCOMPRESS=gzip\\n" > "$1/etc/initramfs-tools/conf.d/ixy"',
    `printf "${MODULES.join("\\n")}\\n" > "$1/usr/share/initramfs-tools/modules.d/ixy"`,
  ];
  const left = ["doc", "info", "locale", "man"].map((name) => `path-exclude=/usr/share/${name}/*`);
  const configuration = await succeed(["apt-config", "dump"]);
  const proxies = configuration.match(/^Acquire::https?::Proxy.*$/gm) ?? [];
  await succeed([
    // What it mounts in there is nothing to be removed with it, should it be killed.
    ...["unshare", "--mount", "mmdebstrap", "--quiet", "--mode=root"],
    ...["--variant=minbase", "--format=directory"],
    ...[`--include=${PACKAGES.join(",")}`, `--essential-hook=${initramfs.join(" && ")}`],
    ...left.map((option) => `--dpkgopt=${option}`),
    ...proxies.map((option) => `--aptopt=${option}`),
    ...[suite, root, mirror],
  ], INSTALL_S);
}

/** Makes what is installed into what Vagrant expects: a user, her key, SSH, an address by DHCP. */
async function configure(root: string): Promise<void> {
  for (const [path, text] of Object.entries(FILES)) {
    await Deno.remove(`${root}/${path}`).catch(unlessAbsent);
    await Deno.writeTextFile(`${root}/${path}`, text);
  }
  // Each machine makes one at its first start.
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

/** The key that every box has, and Vagrant knows the other half of. */
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
  // Not compressed: it is unpacked more often than it is made.
  await succeed(["qemu-img", "convert", "-O", "qcow2", image, `${work}/box.img`], PACK_S);
  const metadata = { provider: "libvirt", format: "qcow2", virtual_size: DISK_GIB };
  await Deno.writeTextFile(`${work}/metadata.json`, JSON.stringify(metadata));
  await succeed(["tar", "-C", work, "-cf", file, "metadata.json", "box.img"], PACK_S);
}

/** Removes boxes of former recipes. */
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
