#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest within the guest, see qemu.sh: reads and writes the NVMe disk that was
# assigned to it. The kernel passes disk_sha256=, of the disk's first MiB.
# shellcheck disable=SC2154
PATH=/bin:/sbin:/usr/bin:/usr/sbin
disk=/dev/nvme0n1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo "nested: up, $(uname -r)"
while read -r module; do
	insmod "/lib/modules/$module"
done </lib/modules/load-order
seconds=0
while [ ! -b $disk ] && [ $seconds -lt 60 ]; do
	sleep 1
	seconds=$((seconds + 1))
done

# read_blocks FIRST COUNT: of 64 KiB, past the page cache
read_blocks() {
	dd if=$disk iflag=direct bs=64k skip="$1" count="$2" 2>/dev/null
}

read=$(read_blocks 0 16 | sha256sum | cut -d ' ' -f 1)
[ "$read" = "$disk_sha256" ] && echo "nested: read 1 MiB as it should be"
dd if=/dev/urandom of=/written bs=64k count=4 2>/dev/null
dd if=/written of=$disk oflag=direct bs=64k seek=100 2>/dev/null
read_blocks 100 4 | cmp - /written && echo "nested: wrote 256 KiB and found them"
grep -E 'nvme0' /proc/interrupts | sed 's/^/nested: /'
dmesg | grep -E 'nvme|I/O error' | sed 's/^/nested: /'
echo "nested: done"
poweroff -f
