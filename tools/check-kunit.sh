#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run the KUnit tests of tests/*_kunit.c in a user-mode Linux with KASAN, and
# print "ok SUITE.CASE" or "not ok SUITE.CASE: why" for each.
#
#   tools/check-kunit.sh [--no-extents] [--time SECONDS] [SUITE.CASE]
#
# With --no-extents page tables are asked for every PFN. SUITE.CASE may have
# wildcards, as KUnit's own filter.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

limit=240 variant=''
if [ "${1-}" = --no-extents ]; then
	variant=no-extents
	shift
fi
if [ "${1-}" = --time ]; then
	limit=$2
	shift 2
fi
filter=${1-}
# The second million of random operations would find little more.
fewer=iommufd.test_access_operations=100000
log=$IOMMUFD_LOGS/kunit${variant:+-$variant}.log
sockets=$(mktemp -d)
trap 'rm -rf "$sockets"' EXIT

# The kernel's sockets need a directory with a short name, so it cannot be in
# the checkout.
run_kernel() {
	timeout --kill-after=5 "$limit" "$IOMMUFD_BUILD/kunit/linux" \
		mem=512M uml_dir="$sockets" earlyprintk \
		kunit.enable=1 kunit_shutdown=halt \
		${variant:+iommufd.extents=0 $fewer} \
		${filter:+kunit.filter_glob="$filter"} </dev/null >"$log" 2>&1
}

"$IOMMUFD_ROOT/tools/packages.sh" kernel
[ -n "$filter$variant" ] || "$IOMMUFD_ROOT/tools/check-kunit-report.sh"
"$IOMMUFD_ROOT/tools/kunit-build.sh"
step "running the KUnit tests" "1 min"
status=0
run_kernel || status=$?
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
	echo "kunit: time limit of $limit s reached" >>"$log"
fi
python3 "$IOMMUFD_ROOT/tools/kunit-report.py" "$log" |
	sed "s,^\(\(not \)\?ok\|skip\) ,&${variant:+$variant/}," || status=1
# A kernel that halts exits with 0; a panic or a signal does not.
[ "$status" -eq 0 ] || die "KUnit failed with status $status; its log is $log"
