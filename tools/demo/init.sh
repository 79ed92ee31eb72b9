#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest of `make demo`. The kernel passes demo_sha256= in the environment.
# shellcheck disable=SC2154 # the kernel's, and $nvme of guest-setup.sh
PATH=/bin:/sbin:/usr/bin:/usr/sbin
# shellcheck source=tools/demo/guest-setup.sh
. /lib/guest-setup.sh

mount_all
load_modules
bind_devices
# The fault that the demo provokes is read from the log, not the console.
dmesg -n 1
if nvme_demo "$nvme" "$demo_sha256"; then
	echo "demo: ok"
else
	echo "demo: failed"
fi
poweroff -f
