#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print what MAP and UNMAP cost in instructions: per 4 KiB for 1 GiB of memory,
# per ioctl for a single page. An emulated processor counts them, so the figures
# do not depend on this machine.
#
#   tools/cost.sh [DIRECTORY]
#
# DIRECTORY has other modules to measure, and their load-order, for comparison.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

eval "$("$IOMMUFD_ROOT/tools/stock.sh")"
: "${KVER:?}" "${IMAGE:?}"
modules=${1:-$IOMMUFD_BUILD/modules/$KVER}
[ $# -gt 0 ] || "$IOMMUFD_ROOT/tools/modules.sh" "$KVER"
built=$("$IOMMUFD_ROOT/tools/guest-programs.sh")
disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
mapfile -t machine < <("$IOMMUFD_ROOT/tools/demo/machine.sh" "$disk")
initrd=$IOMMUFD_BUILD/cost.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/guest/init.sh" \
	lib/guest-setup.sh="$IOMMUFD_ROOT/tools/demo/guest-setup.sh" \
	lib/iommufd="$modules" tests/cost="$built/cost"

step "counting instructions" "1 min"
# Without ERMS, clearing memory is counted by words and not by bytes.
"$IOMMUFD_ROOT/tools/guest.sh" --name cost --time 1200 --accel tcg \
	--kernel "$IMAGE" --initrd "$initrd" \
	--append "quiet intel_iommu=on guest_tests=cost" \
	--close '^guest: done' -- "${machine[@]}" -m 4G \
	-icount shift=0,sleep=off -cpu max,la57=off,erms=off,fsrm=off

console=$IOMMUFD_LOGS/cost.console
! grep -a '^not ok' "$console" || die "a measurement failed"
value() {
	tr -d '\r' <"$console" | sed -n "s/^cost: $1 //p"
}
printf '%-32s %9s %9s\n' 'instructions per 4 KiB of 1 GiB' map unmap
printf '%-32s %9s %9s\n' 'transparent huge pages' \
	"$(value map_thp)" "$(value unmap_thp)"
printf '%-32s %9s %9s\n' 'hugetlb 2 MiB' \
	"$(value map_hugetlb)" "$(value unmap_hugetlb)"
printf '%-32s %9s %9s\n' 'no two neighbours' \
	"$(value map_scattered)" "$(value unmap_scattered)"
printf '%-32s %9s %9s\n' 'instructions per ioctl of 4 KiB' map unmap
printf '%-32s %9s %9s\n' 'with a domain' \
	"$(value map_page_domain)" "$(value unmap_page_domain)"
printf '%-32s %9s %9s\n' 'without' \
	"$(value map_page_no_domain)" "$(value unmap_page_no_domain)"
