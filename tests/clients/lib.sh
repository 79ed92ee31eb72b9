# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by the clients' scripts in the guest: verdicts, and what /dev/iommu says
# of a process.

# verdict NAME COMMAND...: the test passes if the command succeeds.
verdict() {
	verdict_name=$1
	shift
	if "$@"; then
		echo "ok $verdict_name"
	else
		echo "not ok $verdict_name: see the console"
	fi
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	seconds_left=$1
	shift
	until "$@"; do
		[ "$seconds_left" -gt 0 ] || return 1
		seconds_left=$((seconds_left - 1))
		sleep 1
	done
}

# save_fdinfo PID FILE: of the files of /dev/iommu that the process has open.
save_fdinfo() {
	for fd in "/proc/$1"/fd/*; do
		[ "$(readlink "$fd")" != /dev/iommu ] ||
			cat "/proc/$1/fdinfo/${fd##*/}"
	done >"$2"
	sed 's/^/  fdinfo: /' "$2"
}

# How many objects of a kind, as in "iommufd-devices: 4".
objects() {
	sed -nE "s/^iommufd-$2:[[:space:]]*([0-9]+)$/\1/p" "$1"
}

# The number after a word of an IOAS, as in "areas 7 mapped 4096 bytes".
ioas_has() {
	sed -nE "s/^iommufd-ioas-[0-9]+:.*\<$2 ([0-9]+).*/\1/p" "$1"
}

# ours_is_used FILE DEVICES BYTES: a saved fdinfo says that one IOAS shows at
# least so much memory to that many devices, and nobody else can have done it.
ours_is_used() {
	[ "$(objects "$1" devices)" -eq "$2" ] &&
		[ "$(objects "$1" ioas)" -eq 1 ] &&
		[ "$(ioas_has "$1" areas)" -gt 0 ] &&
		[ "$(ioas_has "$1" mapped)" -ge "$3" ] &&
		[ "$(ioas_has "$1" domains)" -gt 0 ] &&
		[ "$(readlink /dev/vfio/vfio)" = /dev/iommu ] &&
		! grep -q '^vfio_iommu_type1 ' /proc/modules
}

# ours_is_free REFCNT: nobody has /dev/iommu open, just as before the client.
ours_is_free() {
	[ "$(cat /sys/module/iommufd/refcnt)" = "$1" ]
}

no_faults() {
	! dmesg | grep -E 'DMAR: .*(handling fault|fault addr|fault reason)'
}
