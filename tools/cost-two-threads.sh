#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print how much memory a thread maps and unmaps in a second, and how much two threads
# do that have nothing to do with each other: on Debian's stock kernel with two
# emulated CPUs that run beside each other. The rates are of times on this machine;
# what can be compared is their ratio, and it needs an idle machine of two CPUs.
#
#   tools/cost-two-threads.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/two-cpus.sh" two_threads "1 min" | awk '
	$1 != "throughput:" { next }
	$2 == "none" { alone = $7; next }
	!title++ {
		printf "\n%-10s %-10s %-6s %11s %11s %8s\n", "memory", "in maps of",
			"IOAS", "one, MiB/s", "two, MiB/s", "two/one"
	}
	{
		size = $3 < 1024 ? $3 " KiB" : $3 / 1024 " MiB"
		printf "%-10s %-10s %-6s %11s %11s %8s\n", $2, size, $4, $5, $6, $7
	}
	END {
		printf "\nTwo CPUs of this machine do %s times what one does.\n", alone
		exit !title
	}'
