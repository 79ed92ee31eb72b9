#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run a program of tests/guest that measures times, on Debian's stock kernel with two
# emulated CPUs that run beside each other, and print what it prints. What can be
# compared are ratios of times, from one run; they need an idle machine of two CPUs.
#
#   tools/two-cpus.sh PROGRAM USUAL-TIME

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -eq 2 ] || die "usage: two-cpus.sh PROGRAM USUAL-TIME"
program=$1 usual=$2
eval "$("$IOMMUFD_ROOT/tools/stock.sh")"
: "${KVER:?}" "${IMAGE:?}"
"$IOMMUFD_ROOT/tools/modules.sh" "$KVER" >&2
built=$("$IOMMUFD_ROOT/tools/guest-programs.sh")
disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
mapfile -t machine < <("$IOMMUFD_ROOT/tools/demo/machine.sh" "$disk")
initrd=$IOMMUFD_BUILD/two-cpus-$program.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/guest/init.sh" \
	lib/guest-setup.sh="$IOMMUFD_ROOT/tools/demo/guest-setup.sh" \
	lib/iommufd="$IOMMUFD_BUILD/modules/$KVER" \
	tests/"$program"="$built/$program"

step "timing on two CPUs, $program" "$usual"
"$IOMMUFD_ROOT/tools/guest.sh" --name "two-cpus-$program" --time 900 --accel tcg \
	--kernel "$IMAGE" --initrd "$initrd" \
	--append "quiet intel_iommu=on guest_tests=$program" \
	--close '^guest: done' -- "${machine[@]}" -smp 2 -m 2G >&2

console=$IOMMUFD_LOGS/two-cpus-$program.console
! grep -a '^not ok' "$console" >&2 || die "a measurement failed, see $console"
tr -d '\r' <"$console"
