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

results=$("$IOMMUFD_ROOT/tools/count-selftest.sh" plain cost_dirty "1 min")
value() {
	sed -n "s/^cost: $1 //p" <<<"$results"
}

printf '\n%-24s %8s %8s %9s %10s\n' 'instructions per leaf' clean dirty recorded \
	'one alone'
for leaf in 4k 2m; do
	printf '%-24s %8d %8d %9d %10d\n' "$leaf" "$(value "clean_$leaf")" \
		"$(value "dirty_$leaf")" \
		"$(($(value "keep_$leaf") - $(value "look_$leaf")))" \
		"$(value "one_$leaf")"
done
