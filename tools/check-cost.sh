#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Count the instructions of the main operations on Debian's stock kernel with our
# modules, and print "ok cost/ROW" for each row of tests/cost.limits that is not
# above its limit, "not ok cost/ROW: why" for the others.
#
#   tools/check-cost.sh [--new-limits]
#
# --new-limits prints a file of limits for what is counted now. Lowering them is
# what that is for: a limit is raised only by somebody who says why.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

case ${1:-} in
'' | --new-limits) ;;
*)	die "usage: check-cost.sh [--new-limits]" ;;
esac
limits=$IOMMUFD_ROOT/tests/cost.limits
values=$IOMMUFD_BUILD/cost.values
tests=bulk.thp,bulk.scattered,small.ioas,small.no_domain,small.compat2
tests+=,unmap_all.ioas,cost.slab,cost.auto,cost.kill
"$IOMMUFD_ROOT/tools/cost.sh" --raw --most-areas 10000 \
	--ways ioas,share,access --only "$tests" >"$values"

if [ "${1:-}" = --new-limits ]; then
	awk 'NR == FNR { value[$1] = $2; next }
	     /^#|^$/ { print; next }
	     { limit = value[$1] * 1.1
	       printf((limit < 100) ? "%s %.3g\n" : "%s %d\n", $1, limit) }' \
		"$values" "$limits"
	exit
fi
awk 'NR == FNR { value[$1] = $2; next }
     /^#|^$/ { next }
     !($1 in value) { print "not ok cost/" $1 ": was not counted"; bad = 1; next }
     value[$1] > $2 {
	     print "not ok cost/" $1 ": " value[$1] ", the limit is " $2
	     bad = 1
	     next
     }
     { print "ok cost/" $1 }
     END { exit bad }' "$values" "$limits"
