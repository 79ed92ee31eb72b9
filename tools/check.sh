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
#
# Most parts keep one processor busy, so there are two lanes: the parts of a lane
# run one after the other, beside those of the other lane. Parts that build in the
# same place of build/ are in the same lane. Whichever lane comes first to a part that
# is in none takes it.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# Name, usual time, limit in seconds, command, lane or none. Cheap ones first.
parts() {
	[ -z "$parts_file" ] || { cat "$parts_file"; return; }
	cat <<-'END'
	style	3 min	1200	tools/check-style.sh	1
	room	1 min	600	tools/check-room.sh	1
	kunit	2 min	1800	tools/check-kunit.sh	1
	guest	3 min	1800	tools/check-guest.sh	1
	cost	2 min	600	tools/check-cost.sh	1
	kself	5 min	2400	tools/check-kselftest.sh plain	1
	extents	6 min	1800	tools/check-no-extents.sh	1
	kdebug	17 min	3600	tools/check-kselftest.sh debug	2
	tree	9 min	2400	tools/check-tree.sh	none
	clients	2 min	1800	tools/check-clients.sh	none
	END
}

parts_file='' lanes=()

count() {
	grep -acE "^$1 " "$2" || true
}

# run_part NAME USUAL LIMIT COMMAND: leaves "PASSED FAILED SKIPPED" in $tally/NAME.
run_part() {
	local log=$IOMMUFD_LOGS/check-$1.log status=0 ok bad skip started=$SECONDS

	step "checking $1" "$2"
	: >"$log"
	timeout --kill-after=30 "$3" bash -c "cd '$IOMMUFD_ROOT' && exec $4" \
		</dev/null >"$log" 2>&1 &
	running=$!
	show_progress "$running" "$log" &
	wait "$running" || status=$?
	wait
	running=''
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
	echo "$ok $bad $skip" >"$tally/$1"
	printf '   %s: %d passed, %d failed, %d skipped, %d s\n' \
		"$1" "$ok" "$bad" "$skip" "$((SECONDS - started))"
}

# Steps, what was counted, and whatever did not pass; the rest is in the log.
show_progress() {
	tail -n +1 -s 0.2 -f --pid="$1" "$2" |
		grep --line-buffered -aE '^(not ok |skip |count: |== |[a-z-]+\.sh: )' ||
		true
}

# run_lane LANE: of the parts chosen, those of this lane, and what it comes to first.
run_lane() {
	local name usual limit command lane running=''

	trap '[ -z "$running" ] || kill "$running"; exit 1' TERM
	while IFS=$'\t' read -r -u 8 name usual limit command lane; do
		case ${lane:-none} in
		"$1")	;;
		none)	mkdir "$tally/$name.taken" 2>/dev/null || continue ;;
		*)	continue ;;
		esac
		run_part "$name" "$usual" "$limit" "$command"
	done 8< <(chosen_parts)
}

chosen_parts() {
	local name rest

	parts | while IFS=$'\t' read -r name rest; do
		[ "$chosen" = '  ' ] || [[ $chosen == *" $name "* ]] || continue
		printf '%s\t%s\n' "$name" "$rest"
	done
}

# Whoever ends this ends what runs.
stop() {
	[ "${#lanes[@]}" -eq 0 ] || kill "${lanes[@]}" 2>/dev/null || true
	rm -rf "$tally"
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
tally=$(mktemp -d)
trap stop EXIT
trap 'exit 1' INT TERM HUP
for lane in 1 2; do
	run_lane "$lane" &
	lanes+=("$!")
	[ "$IOMMUFD_JOBS" -gt 1 ] || wait "$!"
done
for lane in "${lanes[@]}"; do
	wait "$lane" || die "a lane ended early"
done
lanes=()

passed=0 failed=0 skipped=0 logs=()
while IFS=$'\t' read -r name rest; do
	read -r ok bad skip <"$tally/$name"
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	logs+=("$IOMMUFD_LOGS/check-$name.log")
done < <(chosen_parts)
if [ "$failed" -gt 0 ]; then
	echo "Failed:"
	grep -ahE '^not ok ' "${logs[@]}" || true
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
