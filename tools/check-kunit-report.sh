#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tools/kunit-report.py sees every way in which a KUnit run can go wrong.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# A run of two suites, the first of which has a parameterized case.
good_log() {
	cat <<-'END'
		Linux version 6.12
		KTAP version 1
		1..2
		    KTAP version 1
		    # Subtest: first
		    # module: iommufd
		    1..2
		        KTAP version 1
		        # Subtest: many
		        ok 1 one
		        ok 2 two
		    # many: pass:2 fail:0 skip:0 total:2
		    ok 1 many
		    ok 2 last
		# first: pass:2 fail:0 skip:0 total:2
		ok 1 first
		    KTAP version 1
		    # Subtest: second
		    1..2
		    ok 1 alone
		    ok 2 later # SKIP not yet
		ok 2 second
		reboot: System halted
	END
}

# reports NAME STATUS LINE: the report on the log ends with STATUS, and has LINE.
reports() {
	local output status=0

	output=$(python3 "$IOMMUFD_ROOT/tools/kunit-report.py" "$log") || status=$?
	if [ "$status" -ne "$2" ]; then
		echo "not ok kunit-report/$1: ended with $status in place of $2"
	elif ! grep -qE "^$3" <<<"$output"; then
		echo "not ok kunit-report/$1: does not say '$3'"
	else
		echo "ok kunit-report/$1"
	fi
}

# spoilt NAME SED LINE: a good log, changed by SED, is reported with LINE.
spoilt() {
	good_log | sed "$2" >"$log"
	reports "$1" 1 "$3"
}

good_log >"$log"
reports passes 0 'ok first.many$'
reports skips 0 'skip second.later: not yet$'
spoilt failure 's/    ok 2 last/    # last: EXPECTATION FAILED at x.c:1\n    not ok 2 last/' \
	'not ok first.last: EXPECTATION FAILED at x.c:1'
spoilt lost-case '/ok 2 last/d' 'not ok first.*missing'
spoilt lost-suite '/Subtest: second/,/ok 2 second/d' 'not ok .*missing'
spoilt lost-end '/System halted/d' 'not ok kunit.end'
spoilt nothing '/[0-9]/d' 'not ok kunit.any'
spoilt kasan 's/^Linux.*/BUG: KASAN: slab-out-of-bounds in f/' \
	'not ok kunit.log: BUG: KASAN'
spoilt warning 's/^Linux.*/WARNING: CPU: 0 PID: 1 at x.c:1/' \
	'not ok kunit.log: WARNING'
spoilt panic 's/^reboot.*/Kernel panic - not syncing: x/' \
	'not ok kunit.log: Kernel panic'
spoilt time-limit 's/^reboot.*/kunit: time limit of 1 s reached/' \
	'not ok kunit.time'
