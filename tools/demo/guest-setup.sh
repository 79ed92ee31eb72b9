# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by the init of a guest: mounts, modules, and devices for VFIO.

mount_all() {
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs dev /dev 2>/dev/null
	mkdir -p /dev/shm
	mount -t tmpfs shm /dev/shm
	mkdir -p /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	ln -sf /proc/self/fd /dev/fd
}

load_modules() {
	while read -r module; do
		insmod "/lib/iommufd/$module"
	done </lib/iommufd/load-order
}

# find_device VENDOR DEVICE: the addresses of all such PCI devices
find_device() {
	for dir in /sys/bus/pci/devices/*; do
		if [ "$(cat "$dir/vendor")" = "$1" ] &&
		   [ "$(cat "$dir/device")" = "$2" ]; then
			basename "$dir"
		fi
	done
}

bind_to_vfio() {
	for bdf; do
		echo vfio-pci >"/sys/bus/pci/devices/$bdf/driver_override"
		echo "$bdf" >/sys/bus/pci/drivers_probe
	done
}

# Sets $nvme, and hands all devices made for us to vfio-pci.
bind_devices() {
	nvme=$(find_device 0x1b36 0x0010)
	# shellcheck disable=SC2046 # one argument for each device
	bind_to_vfio "$nvme" $(find_device 0x1234 0x11e8) \
		$(find_device 0x8086 0x100e)
}
