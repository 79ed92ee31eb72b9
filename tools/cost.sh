#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print what the ioctls cost in instructions: per 4 KiB for 1 GiB of memory, per
# ioctl for a single page. An emulated processor counts them, so the figures do
# not depend on this machine.
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

step "counting instructions" "2 min"
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

# table TITLE ROW...: a table whose columns are named after the last colon of
# the title, separated by commas. A row is "words:value,value".
table() {
	local title=${1%%:*} row name
	local -a names

	IFS=, read -ra names <<<"${1#*:}"
	printf '\n%-36s' "$title"
	printf ' %11s' "${names[@]}"
	printf '\n'
	shift
	for row in "$@"; do
		IFS=, read -ra names <<<"${row#*:}"
		printf '%-36s' "${row%%:*}"
		for name in "${names[@]}"; do
			printf ' %11s' "$(value "$name")"
		done
		printf '\n'
	done
}

# of_memory TITLE ROW...: a table with a row for each kind of memory.
of_memory() {
	local rows=() kind row cells

	for kind in thp hugetlb scattered; do
		cells=''
		for row in "${@:2}"; do
			cells+=,${row}_$kind
		done
		case $kind in
		thp)	   rows+=("transparent huge pages:${cells#,}") ;;
		hugetlb)   rows+=("hugetlb 2 MiB:${cells#,}") ;;
		scattered) rows+=("no two neighbours:${cells#,}") ;;
		esac
	done
	table "$1" "${rows[@]}"
}

of_memory 'instructions per 4 KiB of 1 GiB:map,unmap' map unmap
of_memory 'with the pages pinned already:copy,unmap,attach,detach' \
	copy unmap_copy attach_more detach_more
of_memory 'with nothing pinned:attach,detach' attach detach
table 'instructions per ioctl of 4 KiB:map,unmap' \
	'with a domain:map_page_domain,unmap_page_domain' \
	'without:map_page_no_domain,unmap_page_no_domain'
table 'automatic IOVA, no domain, areas:1000,10000,100000,1000000' \
	'map above them:auto_1000,auto_10000,auto_100000,auto_1000000' \
	'map of 8 KiB above 4 KiB holes:auto_holes_1000,auto_holes_10000,auto_holes_100000,auto_holes_1000000'
table 'bytes for a mapping, no domain:slab' 'all caches:slab'
