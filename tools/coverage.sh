#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run the KUnit tests and the self-tests on a kernel that counts, by gcov, how
# often each line of ours is executed, and print the shares per file.
#
#   tools/coverage.sh [PROGRAM [HARNESS-ARGS]]	one program in place of all
#
# All results are in build/coverage: report.txt, and uncovered.txt with the
# lines that no test reached ("FILE:LINE: source"). Fails when a test failed, and
# when a line of the lower layers was not reached and tests/unreached has no
# reason for it.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

result=$IOMMUFD_BUILD/coverage
counts=$result/counts
console=$IOMMUFD_LOGS/kselftest-coverage.console
tap=$IOMMUFD_LOGS/kselftest-coverage.tap

# The objects' notes are looked for beside the counts.
unpack_counts() {
	rm -rf "$result"
	mkdir -p "$counts"
	sed -n '/^# counts/,/^# end of counts/p' "$tap" | tr -d '\r' |
		grep -v '^#' | base64 -d | tar -xz -C "$counts"
	cp "$IOMMUFD_BUILD/kernel/coverage/gcno"/*.gcno "$counts"
}

read_counts() {
	cd "$counts"
	gcov --json-format --stdout -- *.gcda >"$result/gcov.json" \
		2>"$result/gcov.stderr"
}

"$IOMMUFD_ROOT/tools/packages.sh" kernel
status=0
"$IOMMUFD_ROOT/tools/check-kselftest.sh" coverage "$@" || status=1
python3 "$IOMMUFD_ROOT/tools/kunit-report.py" "$console" || status=1
grep -q '^# end of counts' "$tap" ||
	die "the guest did not get as far as to send its counts"
unpack_counts
(read_counts)
cd "$IOMMUFD_ROOT"
python3 tools/coverage-report.py "$result/gcov.json" "$result" || status=1
note "the lines that were not reached are in $result/uncovered.txt"
exit "$status"
