#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# QEMU assigns the NVMe disk to a guest of its own, by VFIO's type1 v2. All of that
# guest's memory is mapped for the disk, which reads and writes where the guest says.
# Scenario 46.
# shellcheck source=tests/clients/lib.sh
. /clients/lib.sh
# shellcheck source=tools/demo/guest-setup.sh
. /lib/guest-setup.sh

name=qemu
console=/tmp/nested.console
mib=256

# KVM because a guest emulated in an emulated machine takes minutes to boot.
load_kvm() {
	while read -r module; do
		[ -d "/sys/module/${module%.ko}" ] ||
			insmod "/lib/kvm/$module" || return
	done </lib/kvm/load-order
}

nested_guest() {
	exec qemu-system-x86_64 -nodefaults -no-user-config -display none \
		-monitor none -no-reboot -machine q35 -accel kvm \
		-cpu qemu64 -m ${mib}M -serial "file:$console" \
		-kernel /nested/vmlinuz -initrd /nested/initrd \
		-append "console=ttyS0 panic=-1 quiet no_timer_check nokaslr disk_sha256=$disk_sha256" \
		-device "vfio-pci,host=$nvme"
}

says() {
	grep -aq -e "$1" "$console"
}

gone() {
	! kill -0 "$pid" 2>/dev/null
}

up_or_gone() {
	says '^nested: up' || gone
}

# QEMU tries to map the BARs too, for other devices of the guest to reach them,
# and goes on with a warning when that fails. Nothing else may fail.
only_bars_refused() {
	! grep -vE \
		-e 'VFIO_MAP_DMA failed: Bad address$' \
		-e 'vfio_dma_map\(0x[0-9a-f]+, 0xfeb[0-9a-f]+, .* = -14 \(Bad address\)$' \
		/tmp/qemu.log
}

load_kvm
nvme=$(find_device 0x1b36 0x0010)
bind_to_vfio "$nvme"
unused=$(cat /sys/module/iommufd/refcnt)
: >"$console"
nested_guest >/tmp/qemu.log 2>&1 </dev/null &
pid=$!
tail -f "$console" &
wait_for 400 up_or_gone
save_fdinfo "$pid" /tmp/fdinfo
wait_for 400 gone || kill "$pid"
status=0
wait "$pid" || status=$?
cat /tmp/qemu.log

verdict $name.boots says '^nested: up'
verdict $name.uses_ours ours_is_used /tmp/fdinfo 1 $((mib << 20))
verdict $name.only_bars_refused only_bars_refused
verdict $name.reads says '^nested: read 1 MiB as it should be'
verdict $name.writes says '^nested: wrote 256 KiB and found them'
verdict $name.ends [ "$status" -eq 0 ]
verdict $name.leaves_nothing ours_is_free "$unused"
verdict $name.no_faults no_faults
