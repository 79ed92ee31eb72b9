#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest of tools/check-guest.sh. The kernel passes in the environment:
#   demo_sha256=	of the disk
#   guest_tests=	programs to run, separated by commas
#   guest_only=	names of tests, as the programs take them
# shellcheck disable=SC2154
PATH=/bin:/sbin:/usr/bin:/usr/sbin
# shellcheck source=tools/demo/guest-setup.sh
. /lib/guest-setup.sh

mount_all
load_modules
[ ! -e /lib/iommufd/iommufd_sample.ko ] || insmod /lib/iommufd/iommufd_sample.ko
bind_devices
ip link set lo up
# Faults are provoked, and read from the log.
dmesg -n 1
export nvme demo_sha256
for program in $(echo "$guest_tests" | tr ',' ' '); do
	status=0
	# shellcheck disable=SC2046 # one argument for each name
	"/tests/$program" $(echo "$guest_only" | tr ',' ' ') || status=$?
	# 1 says that a test failed, and that has been printed.
	[ "$status" -le 1 ] ||
		echo "not ok $program: ended with status $status"
done
echo "guest: done"
poweroff -f
