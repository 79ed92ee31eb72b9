#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run a program of tests/selftests that is no test but measures, on an in-tree kernel
# and an emulated processor on whose clock an instruction takes a nanosecond, and
# print what it prints.
#
#   tools/count-selftest.sh VARIANT PROGRAM USUAL-TIME

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -eq 3 ] || die "usage: count-selftest.sh VARIANT PROGRAM USUAL-TIME"
variant=$1 program=$2 usual=$3
"$IOMMUFD_ROOT/tools/packages.sh" guest programs
"$IOMMUFD_ROOT/tools/kernel.sh" "$variant"
product=$IOMMUFD_BUILD/kernel/$variant
results=$IOMMUFD_LOGS/$program.txt
list=$product/$program.list
echo "$program" >"$list"
initrd=$product/initramfs-$program.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/kernel/init.sh" \
	selftests="$product/selftests" list="$list"

step "counting instructions, $program" "$usual"
: >"$results"
"$IOMMUFD_ROOT/tools/guest.sh" --name "$program" --time 1800 --accel tcg \
	--kernel "$product/bzImage" --initrd "$initrd" --close '^guest: done' \
	--append "quiet hugepages=64" -- \
	-m 4G -serial "file:$results" \
	-icount shift=0,sleep=off -cpu max,la57=off,erms=off,fsrm=off >&2

grep -q '^# exit 0' "$results" || die "a measurement failed, see $results"
tr -d '\r' <"$results"
