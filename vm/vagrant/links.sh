#!/usr/bin/env bash
# Takes the kernel's interfaces of the two links down, as root, at each start of a virtual machine,
# and says what to run. No driver is touched: programs unbind it, and refuse a card in use.
set -euo pipefail

links=(0000:00:08.0 0000:00:09.0)

fail() {
  echo "error: $1" >&2
  exit 2
}

for link in "${links[@]}"; do
  device=/sys/bus/pci/devices/$link
  [ -e "$device" ] || fail "$link: no such PCI device: this is no machine of this Vagrantfile"
  id=$(cat "$device/vendor" "$device/device" | paste -s -d :)
  [ "$id" = 0x1af4:0x1000 ] || fail "$link: $id is no VirtIO network card with a legacy interface"
  for path in "$device"/virtio*/net/*; do
    [ -e "$path" ] || continue # a program has unbound the kernel's driver
    interface=${path##*/}
    routes=$(ip -o route show default dev "$interface")
    [ -z "$routes" ] || fail "$link: $interface has the default route: no link, left as it is"
    ip link set "$interface" down
  done
done

echo "To forward packets between the two links:"
echo "cd /home/vagrant/ixy.ts; sudo deno run --allow-ffi fwd.ts ${links[*]}"
