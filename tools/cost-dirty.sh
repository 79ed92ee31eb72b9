#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print what a read of dirty bits costs in instructions per leaf. An emulated
# processor counts them, so the figures do not depend on this machine. The page
# tables are those of the mock, which looks each 4 KiB up by itself: the column
# "recorded" is the difference that a dirty leaf makes that is not cleared, most of
# which is iommufd's.
#
#   tools/cost-dirty.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" guest programs
"$IOMMUFD_ROOT/tools/kernel.sh" plain
product=$IOMMUFD_BUILD/kernel/plain
results=$IOMMUFD_LOGS/cost-dirty.txt
list=$product/cost-dirty
echo cost_dirty >"$list"
initrd=$product/initramfs-cost-dirty.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/kernel/init.sh" \
	selftests="$product/selftests" list="$list"

step "counting instructions" "1 min"
: >"$results"
"$IOMMUFD_ROOT/tools/guest.sh" --name cost-dirty --time 600 --accel tcg \
	--kernel "$product/bzImage" --initrd "$initrd" --close '^guest: done' \
	--append "quiet hugepages=64" -- \
	-m 2G -serial "file:$results" \
	-icount shift=0,sleep=off -cpu max,la57=off,erms=off,fsrm=off

grep -q '^# exit 0' "$results" || die "a measurement failed, see $results"
value() {
	tr -d '\r' <"$results" | sed -n "s/^cost: $1 //p"
}

printf '\n%-24s %8s %8s %9s %10s\n' 'instructions per leaf' clean dirty recorded \
	'one alone'
for leaf in 4k 2m; do
	printf '%-24s %8d %8d %9d %10d\n' "$leaf" "$(value "clean_$leaf")" \
		"$(value "dirty_$leaf")" \
		"$(($(value "keep_$leaf") - $(value "look_$leaf")))" \
		"$(value "one_$leaf")"
done
