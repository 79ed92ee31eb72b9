#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The first process of the guest in which the self-tests run. /list names the
# programs of /selftests, with their arguments. Results go to the second serial
# line; the console is for the kernel, which also notes there which test began,
# so that what it reports can be told apart.

results=/dev/ttyS1
leaks=/sys/kernel/debug/kmemleak
counts=/sys/kernel/debug/gcov

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts /sys/fs/cgroup
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /sys/kernel/debug
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
stty -F $results raw

pass_on() {
	while IFS= read -r line; do
		echo "$line"
		case $line in
		*' RUN '*) echo "<5>$1: $line" >/dev/kmsg ;;
		esac
	done
}

run() {
	echo "# program $1"
	{
		"$@" 2>&1
		echo "# exit $?"
	} | pass_on "$1"
}

# An object that nobody points to is reported when it is five seconds old, and
# after two scans, as a pointer may have been on the move during the first.
find_leaks() {
	sleep 6
	echo scan >$leaks
	echo scan >$leaks
	cat $leaks
}

# The size of the files is zero there, which tar would believe.
send_counts() {
	mkdir /tmp/gcda
	find $counts -name '*.gcda' | while read -r file; do
		cat "$file" >"/tmp/gcda/${file##*/}"
	done
	echo "# counts"
	tar -cz -C /tmp/gcda . | base64
	echo "# end of counts"
}

PATH=/selftests:$PATH
while read -r program; do
	# shellcheck disable=SC2086 # the words of the line are arguments
	run $program </dev/null
done </list >$results
[ ! -e $leaks ] || find_leaks
[ ! -e $counts ] || send_counts >>$results
echo "guest: done"
poweroff -f
