#!/usr/bin/env bash
# Sets the kernel's interfaces of the two links down, as root, at each start of a virtual machine,
# and prints the command to run. It leaves the drivers: programs unbind them, and refuse a card in
# use.
set -euo pipefail

links=(0000:00:08.0 0000:00:09.0)

fail() {
  echo "error: $1" >&2
  exit 2
}

for link in "${links[@]}"; do
  device=/sys/bus/pci/devices/$link
  [ -e "$device" ] || fail "$link: no such PCI device: run this in a machine of this Vagrantfile"
  id=$(cat "$device/vendor" "$device/device" | paste -s -d :)
  [ "$id" = 0x1af4:0x1000 ] || fail "$link: $id is not a legacy VirtIO network card"
  for path in "$device"/virtio*/net/*; do
    [ -e "$path" ] || continue # a program has unbound the kernel's driver
    interface=${path##*/}
    routes=$(ip -o route show default dev "$interface")
    [ -z "$routes" ] || fail "$link: $interface has the default route: move it to another card first"
    ip link set "$interface" down
  done
done

echo "To forward packets between the two links:"
echo "cd /home/vagrant/ixy.ts; sudo deno run --allow-ffi fwd.ts ${links[*]}"
