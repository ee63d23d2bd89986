#!/usr/bin/env bash
# Prepares a new virtual machine for ixy.ts, as root: installs Deno, and reserves hugepages at each
# boot.
set -euo pipefail

deno_version=v2.9.6
uploaded=/tmp/ixy-deno
hugepages=64 # of 2 MiB

if [ -e "$uploaded" ]; then
  install -m 755 "$uploaded" /usr/local/bin/deno
  rm "$uploaded"
elif ! command -v deno >/dev/null; then
  if ! command -v curl >/dev/null || ! command -v unzip >/dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y ca-certificates curl unzip
  fi
  curl -fsSL https://deno.land/install.sh |
    DENO_INSTALL=/usr/local sh -s -- --no-modify-path "$deno_version"
fi
deno --version | sed -n 1p

echo "vm.nr_hugepages = $hugepages" >/etc/sysctl.d/60-ixy.conf
sysctl -q -p /etc/sysctl.d/60-ixy.conf
reserved=$(cat /proc/sys/vm/nr_hugepages)
if [ "$reserved" -lt "$hugepages" ]; then
  echo "error: only $reserved of $hugepages hugepages could be reserved: increase IXY_VM_MEMORY" >&2
  exit 2
fi
