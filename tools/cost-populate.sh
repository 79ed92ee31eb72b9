#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print how long it takes to touch memory, by one thread and by two, and to map it
# then, as multiples of the time that a map takes which has to touch it itself: on
# Debian's stock kernel with two emulated CPUs that run beside each other, so the
# figures are ratios of times, from one run, and need an idle machine of two CPUs.
#
#   tools/cost-populate.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

eval "$("$IOMMUFD_ROOT/tools/stock.sh")"
: "${KVER:?}" "${IMAGE:?}"
"$IOMMUFD_ROOT/tools/modules.sh" "$KVER"
built=$("$IOMMUFD_ROOT/tools/guest-programs.sh")
disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
mapfile -t machine < <("$IOMMUFD_ROOT/tools/demo/machine.sh" "$disk")
initrd=$IOMMUFD_BUILD/cost-populate.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/guest/init.sh" \
	lib/guest-setup.sh="$IOMMUFD_ROOT/tools/demo/guest-setup.sh" \
	lib/iommufd="$IOMMUFD_BUILD/modules/$KVER" \
	tests/t_populate="$built/t_populate"

step "timing maps of memory that is touched in advance" "30 s"
"$IOMMUFD_ROOT/tools/guest.sh" --name cost-populate --time 300 --accel tcg \
	--kernel "$IMAGE" --initrd "$initrd" \
	--append "quiet intel_iommu=on guest_tests=t_populate" \
	--close '^guest: done' --show '^(not ok|populate:)' -- "${machine[@]}" \
	-smp 2 -m 2G
