/**
 * The Debian packages that the tests with Vagrant require. Not a test itself.
 *
 * @module
 */

/** Their names. */
export const VAGRANT_PACKAGES: readonly string[] = [
  ...["vagrant", "vagrant-libvirt", "libvirt-daemon-system", "libvirt-clients"],
  ...["qemu-system-x86", "qemu-utils", "dnsmasq-base", "dmidecode", "iptables", "iproute2"],
  ...["mmdebstrap", "e2fsprogs", "util-linux", "openssh-client", "rsync"],
];
