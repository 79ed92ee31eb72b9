#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print how long a small operation on an IOAS waits at most for a long one that is
# under way there, in multiples of the time that it takes alone, in instructions of
# an emulated processor; see tests/selftests/cost_wait.c. More than twice its own
# time fails.
#
#   tools/bench-smp.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" guest programs
"$IOMMUFD_ROOT/tools/kernel.sh" preempt
product=$IOMMUFD_BUILD/kernel/preempt
results=$IOMMUFD_LOGS/bench-smp.txt
list=$product/bench-smp
echo cost_wait >"$list"
initrd=$product/initramfs-bench-smp.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/kernel/init.sh" \
	selftests="$product/selftests" list="$list"

step "timing small operations in the middle of long ones" "3 min"
: >"$results"
"$IOMMUFD_ROOT/tools/guest.sh" --name bench-smp --time 1800 --accel tcg \
	--kernel "$product/bzImage" --initrd "$initrd" --close '^guest: done' \
	--append "quiet" -- \
	-m 4G -smp 1 -serial "file:$results" \
	-icount shift=0,sleep=off -cpu max,la57=off,erms=off,fsrm=off

grep -q '^# exit 0' "$results" || die "the measurement failed, see $results"
tr -d '\r' <"$results" | awk '
	BEGIN {
		printf "\n%-15s %-11s %8s %8s %8s %8s %7s\n", "beside",
			"operation", "times", "slept", "alone", "longest", "waited"
	}
	$1 == "wait:" {
		waited = $7 > $6 ? ($7 - $6) / $6 : 0
		late = waited > 2
		printf "%-15s %-11s %8d %8d %8d %8d %7.2f%s\n", $2, $3, $4, $5,
			$6, $7, waited, late ? "  too long" : ""
		bad += late
		n++
	}
	END {
		printf "\n%d of %d waited longer than twice their own time\n", bad, n
		exit !n || bad > 0
	}'
