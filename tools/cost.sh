#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print what the ioctls cost in instructions: per 4 KiB for 1 GiB of memory, per
# ioctl for a single page; and what type1 programs and in-kernel users pay. An
# emulated processor counts them, so the figures do not depend on this machine.
#
#   tools/cost.sh [--only TEST,...] [--ways WAY,...] [--most-areas NUMBER] [--raw]
#                 [DIRECTORY]
#
# TEST is one of tests/guest/cost.c, such as bulk.thp, or a part of their names. WAY is
# a way to map, see there, that the tests of large memory shall measure. The search
# for an IOVA is measured with up to as many areas as told. --raw prints lines
# "ROW VALUE". DIRECTORY has other modules to measure, and their load-order, for
# comparison.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

only=bulk.thp,bulk.hugetlb,bulk.scattered,small.ioas,small.no_domain,cost
most_areas=1000000 raw=''
ways=ioas,share,access,compat1,large1,compat2,type1v1,type1
while [[ ${1-} == --* ]]; do
	case $1 in
	--only)	only=$2; shift ;;
	--ways)	ways=$2; shift ;;
	--most-areas) most_areas=$2; shift ;;
	--raw)	raw=y ;;
	*)	die "unknown option '$1'" ;;
	esac
	shift
done
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
	--append "quiet intel_iommu=on cost_ways=$ways cost_areas=$most_areas guest_tests=cost guest_only=$only" \
	--close '^guest: done' -- "${machine[@]}" -m 4G \
	-icount shift=0,sleep=off -cpu max,la57=off,erms=off,fsrm=off

console=$IOMMUFD_LOGS/cost.console
! grep -a '^not ok' "$console" || die "a measurement failed"
if [ -n "$raw" ]; then
	tr -d '\r' <"$console" | sed -n 's/^cost: //p'
	exit
fi
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
of_memory 'through type1:v1 map,v1 unmap,large map,large unmap,v2 map,v2 unmap' \
	compat1_map compat1_unmap large1_map large1_unmap \
	compat2_map compat2_unmap
of_memory "through VFIO's own type1:v1 map,v1 unmap,v2 map,v2 unmap" \
	type1v1_map type1v1_unmap type1_map type1_unmap
# in_kernel TITLE SIZE ROW...: a table with a column for each kind of memory.
in_kernel() {
	local rows=() row kind cells

	for row in "${@:3}"; do
		cells=''
		for kind in thp hugetlb scattered; do
			cells+=,${row%%:*}_$2_$kind
		done
		rows+=("${row#*:}:${cells#,}")
	done
	table "$1:huge pages,hugetlb,scattered" "${rows[@]}"
}

pins=('bare_pin:pin, without iommufd' 'new_pin:pin, nobody has it'
	'shared_pin:pin, a domain has it' 'again_pin:pin, an access has it'
	'bare_unpin:unpin, without iommufd'
	'dirty_unpin:unpin and dirty, without iommufd'
	'new_unpin:unpin, nobody else has it'
	'shared_unpin:unpin, a domain has it'
	'again_unpin:unpin, an access has it')
copies=('bare_load:from pages, memcpy()' 'shared_load:from what a domain has pinned'
	'held_load:from what an access has' 'user_load:from a process, copy_from_user()'
	'mm_load:from what nobody has pinned' 'kthread_load:the same in a kernel thread'
	'bare_store:to pages, memcpy()' 'shared_store:to what a domain has pinned'
	'held_store:to what an access has' 'user_store:to a process, copy_to_user()'
	'mm_store:to what nobody has pinned' 'kthread_store:the same in a kernel thread')

table 'instructions per ioctl of 4 KiB:map,unmap' \
	'with a domain:map_page,unmap_page' \
	'without:no_domain_map_page,no_domain_unmap_page'
in_kernel 'pin and unpin, per page of 512' bulk "${pins[@]}"
in_kernel 'pin and unpin, one page' page "${pins[@]}"
in_kernel 'copy, per 4 KiB of 1 MiB' bulk "${copies[@]}"
in_kernel 'copy, 4 KiB' page "${copies[@]}"
table 'automatic IOVA, no domain, areas:1000,10000,100000,1000000' \
	'map above them:auto_1000,auto_10000,auto_100000,auto_1000000' \
	'map of 8 KiB above 4 KiB holes:auto_holes_1000,auto_holes_10000,auto_holes_100000,auto_holes_1000000'
table 'bytes for a mapping, no domain:slab' 'all caches:slab'
