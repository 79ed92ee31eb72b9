#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Test the scripts that judge everything else: that what should fail does.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

tools=$IOMMUFD_ROOT/tools
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# expect STATUS REGEX NAME CMD...: CMD must end so, with a line like REGEX in
# its output. STATUS is 0, or ! for any other.
expect() {
	local wanted=$1 regex=$2 name=$3 status log=$IOMMUFD_LOGS/room-$3.log

	shift 3
	try "$@" >"$log"
	if [ "$wanted" = 0 ] && [ "$status" -ne 0 ]; then
		echo "not ok room/$name: status $status, see $log"
	elif [ "$wanted" != 0 ] && [ "$status" -eq 0 ]; then
		echo "not ok room/$name: status 0, see $log"
	elif ! grep -qE -e "$regex" "$log"; then
		echo "not ok room/$name: does not say '$regex', see $log"
	else
		echo "ok room/$name"
	fi
}

# guest NAME SECONDS CLOSE LINE...: boot an init that has these lines
guest() {
	local name=room-$1 seconds=$2 close=$3

	shift 3
	{
		printf '#!/bin/sh\n'
		printf 'mount -t proc proc /proc; mount -t devtmpfs dev /dev\n'
		printf '%s\n' "$@" 'poweroff -f'
	} >"$scratch/init"
	"$tools/initramfs.sh" "$scratch/$name.cpio.gz" init="$scratch/init"
	"$tools/guest.sh" --name "$name" --time "$seconds" --close "$close" \
		--kernel "$IMAGE" --initrd "$scratch/$name.cpio.gz" -- \
		-device intel-iommu
}

# The usual time of a boot is 3 s; a machine that has other things to do gets
# a good deal more.
check_guests() {
	local done='echo guest: done'

	expect 0 "ran .* s" guest-good \
		guest good 120 '^guest: done' \
		'echo "DMAR: [DMA Write NO_PASID] Request device [00:04.0]" >/dev/kmsg' \
		"$done"
	expect ! 'kernel reported a fault' guest-warning \
		guest warning 120 '^guest: done' \
		'echo "WARNING: CPU: 0 PID: 1 at room.c:1" >/dev/kmsg' "$done"
	expect ! 'kernel reported a fault' guest-panic \
		guest panic 120 '^guest: done' "$done" 'echo c >/proc/sysrq-trigger'
	expect ! 'without the closing line' guest-silent \
		guest silent 120 '^guest: done' 'echo guest: undone'
	expect ! 'not finished after 8 s' guest-endless \
		guest endless 8 '^guest: done' "$done" 'sleep 1000'
}

no_init() {
	"$tools/initramfs.sh" "$scratch/none.cpio.gz" etc/nothing="$0"
}

check_initramfs() {
	expect ! 'nothing was given for init' initramfs-needs-init no_init
	expect ! 'there is no /nonexistent' initramfs-needs-files \
		"$tools/initramfs.sh" "$scratch/none.cpio.gz" init=/nonexistent
}

check_stock() {
	expect ! 'neither installed nor offered' stock-unknown \
		"$tools/stock.sh" 6.12.0-amd64
	expect ! 'not a Linux 6.12 kernel' stock-other \
		"$tools/stock.sh" 6.1.0-1-amd64
}

fake_tree() {
	mkdir -p "$1/drivers/iommu/iommufd"
	printf 'VERSION = 6\nPATCHLEVEL = %s\n' "$2" >"$1/Makefile"
	touch "$1/drivers/iommu/Kconfig" "$1/drivers/iommu/iommufd/"{old.c,main.o}
}

times() {
	find "$1" -type f -printf '%p %T@\n' | sort
}

twice() {
	"$tools/tree.sh" "$scratch/6.12"
	times "$scratch/6.12" >"$scratch/before"
	"$tools/tree.sh" "$scratch/6.12"
	times "$scratch/6.12" | cmp - "$scratch/before"
	[ ! -e "$scratch/6.12/drivers/iommu/iommufd/old.c" ]
	[ -e "$scratch/6.12/drivers/iommu/iommufd/main.o" ]
	cmp "$IOMMUFD_ROOT/Kbuild" "$scratch/6.12/drivers/iommu/iommufd/Makefile"
	cmp "$IOMMUFD_ROOT/include/linux/iommufd.h" \
		"$scratch/6.12/include/linux/iommufd.h"
}

check_tree() {
	fake_tree "$scratch/6.12" 12
	fake_tree "$scratch/6.11" 11
	expect 0 'installed into' tree-twice twice
	expect ! 'made for Linux 6.12' tree-other "$tools/tree.sh" "$scratch/6.11"
	expect ! 'not an unpacked Linux' tree-none "$tools/tree.sh" "$scratch"
	expect ! 'say which tree' tree-unsaid "$tools/tree.sh"
}

fails_in_the_middle() {
	false
	echo went on
}

# In a condition, bash would not stop at the first error whatever is asked.
dying_log() {
	set +e
	(log_to room-dying fails_in_the_middle)
	echo "status $?, $(wc -l <"$IOMMUFD_LOGS/room-dying.log") lines"
	set -e
}

# count_of NAME COMMAND: how check.sh counts one part
count_of() {
	printf '%s\t1 s\t60\t%s\n' "$1" "$2" >"$scratch/parts"
	"$tools/check.sh" --parts "$scratch/parts"
}

# The part of the one lane ends when that of the other has begun.
two_lanes() {
	printf '%s\t1 s\t60\t%s\t%s\n' \
		room-f "bash -c 'until [ -e $scratch/g ]; do sleep 0.1; done; echo ok f'" 1 \
		room-g "bash -c 'touch $scratch/g; echo ok g; echo not ok h: i'" 2 \
		>"$scratch/parts"
	"$tools/check.sh" --parts "$scratch/parts"
}

check_counting() {
	expect 0 '^status 1, 0 lines$' log-stops dying_log
	expect 0 '^1 passed, 0 failed, 1 skipped$' count-good \
		count_of room-a "printf 'ok a\nskip b: c\n'"
	expect ! '^1 passed, 1 failed, 0 skipped$' count-bad \
		count_of room-b "printf 'ok a\nnot ok b: c\n'"
	expect ! '^0 passed, 1 failed, 0 skipped$' count-nothing \
		count_of room-c "true"
	expect ! '^1 passed, 1 failed, 0 skipped$' count-death \
		count_of room-d "bash -c 'echo ok a; exit 3'"
	expect ! '^0 passed, 1 failed, 0 skipped$' count-missing \
		count_of room-e "$scratch/missing"
	[ "$IOMMUFD_JOBS" -eq 1 ] ||
		expect ! '^2 passed, 1 failed, 0 skipped$' count-lanes two_lanes
}

# With everything built, nothing is built again.
up_to_date() {
	"$tools/modules.sh" "$KVER"
	[ "$(wc -l <"$IOMMUFD_BUILD/modules/$KVER/load-order")" -ge 7 ]
	"$tools/modules.sh" "$KVER" 2>&1 | grep 'are up to date'
}

stock=$("$tools/stock.sh")
eval "$stock"
check_counting
check_stock
check_tree
check_initramfs
expect 0 'are up to date' modules-once up_to_date
check_guests
