#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run the tests and count them.
#
#   tools/check.sh [PART...]     default: all parts
#   tools/check.sh --list
#   tools/check.sh --parts FILE  those that FILE lists in place of ours
#
# A part prints one line per test: "ok NAME", "not ok NAME: why" or
# "skip NAME: why". Its output is kept in build/logs/check-PART.log. A part
# that ends badly without having said which test failed, or that ran no test,
# counts as a failed test itself. The last line is "N passed, N failed".

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# Name, usual time, limit in seconds, command. Cheap ones first.
parts() {
	[ -z "$parts_file" ] || { cat "$parts_file"; return; }
	cat <<-'END'
	style	2 min	1200	tools/check-style.sh
	room	1 min	600	tools/check-room.sh
	kunit	3 min	1800	tools/check-kunit.sh
	guest	2 min	1800	tools/check-guest.sh
	cost	1 min	600	tools/check-cost.sh
	kself	6 min	2400	tools/check-kselftest.sh plain
	extents	7 min	1200	tools/check-no-extents.sh
	kdebug	18 min	3000	tools/check-kselftest.sh debug
	tree	8 min	2400	tools/check-tree.sh
	clients	2 min	1800	tools/check-clients.sh
	END
}

passed=0 failed=0 skipped=0 logs=() parts_file=''

count() {
	grep -acE "^$1 " "$2" || true
}

# run_part NAME USUAL LIMIT COMMAND
run_part() {
	local log=$IOMMUFD_LOGS/check-$1.log status=0 ok bad skip started=$SECONDS

	step "checking $1" "$2"
	timeout --kill-after=30 "$3" bash -c "cd '$IOMMUFD_ROOT' && exec $4" \
		</dev/null 2>&1 | tee "$log" | show_progress || status=$?
	ok=$(count ok "$log")
	bad=$(count 'not ok' "$log")
	skip=$(count skip "$log")
	if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		tail -n 30 "$log"
		echo "not ok $1: ended with status $status; see $log" | tee -a "$log"
		bad=1
	elif [ $((ok + bad)) -eq 0 ]; then
		echo "not ok $1: ran no test; see $log" | tee -a "$log"
		bad=1
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	logs+=("$log")
	printf '   %s: %d passed, %d failed, %d skipped, %d s\n' \
		"$1" "$ok" "$bad" "$skip" "$((SECONDS - started))"
}

# Steps, what was counted, and whatever did not pass; the rest is in the log.
show_progress() {
	grep --line-buffered -aE '^(not ok |skip |count: |== |[a-z-]+\.sh: )' || true
}

if [ "${1:-}" = --list ]; then
	parts | cut -f 1,2
	exit
fi
if [ "${1:-}" = --parts ]; then
	parts_file=$2
	shift 2
fi
chosen=" $* "
for part; do
	parts | cut -f 1 | grep -xF -e "$part" >/dev/null || die "there is no part '$part'"
done
while IFS=$'\t' read -r -u 8 name usual limit command; do
	[ $# -eq 0 ] || [[ $chosen == *" $name "* ]] || continue
	run_part "$name" "$usual" "$limit" "$command"
done 8< <(parts)

if [ "$failed" -gt 0 ]; then
	echo "Failed:"
	grep -ahE '^not ok ' "${logs[@]}" || true
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
