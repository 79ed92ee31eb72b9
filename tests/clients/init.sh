#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The guest of tools/check-clients.sh. The kernel passes in the environment:
#   client=	the script in /clients to run
#   v1_large=	0 or 1, the module parameter type1_v1_large_pages
#   container=	ours, or vfio for that of VFIO's own type1 driver
#   disk_sha256=	of the first MiB of the disk, if there is one
# shellcheck disable=SC2154
PATH=/bin:/sbin:/usr/bin:/usr/sbin
# shellcheck source=tools/demo/guest-setup.sh
. /lib/guest-setup.sh

# Everything but VFIO's own type1 driver: nobody can have used what is not there.
load_all_but_type1() {
	while read -r module; do
		case $module in
		vfio_iommu_type1.ko)
			;;
		iommufd.ko)
			insmod "/lib/iommufd/$module" \
				type1_v1_large_pages="$v1_large"
			;;
		*)
			insmod "/lib/iommufd/$module"
			;;
		esac
	done </lib/iommufd/load-order
}

mount_all
# As on any system: DPDK loads nothing from a place that others can write to.
chmod 755 /
mkdir -p /var
ln -s /run /var/run
ip link set lo up
if [ "$container" = vfio ]; then
	load_modules
else
	load_all_but_type1
	# The one step that lets programs written for VFIO's container use ours.
	ln -sf /dev/iommu /dev/vfio/vfio
fi
dmesg -n 1
"/clients/$client.sh" || echo "not ok $client: ended with status $?"
echo "guest: done"
poweroff -f
