#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print how long a small operation on an IOAS waits at most for a long one that is
# under way there, in multiples of the time that it takes alone, in instructions of
# an emulated processor; see tests/selftests/cost_wait.c. More than twice its own
# time fails. Then what two threads get done that have nothing to do with each other:
# these are times of this machine, and nothing to fail for.
#
#   tools/bench-smp.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# What cost_wait prints, as a table, and a verdict.
judge_waits() {
	awk '
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
}

status=0
"$IOMMUFD_ROOT/tools/count-selftest.sh" preempt cost_wait "3 min" | judge_waits ||
	status=1
"$IOMMUFD_ROOT/tools/cost-two-threads.sh"
exit "$status"
