#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Compare what mapping memory for devices costs with this directory, with the
# kernel's own iommufd, with VFIO's type1, and at the least: one program is run on
# two kernels that differ in nothing but iommufd, on an emulated processor that
# counts instructions.
#
#   tools/bench.sh               print the table, and renew it in Documentation/
#   tools/bench.sh --again       run the same kernels once more and compare with the
#                                last run: no figure may differ by more than 2 %
#   tools/bench.sh --table       make the table of the last run anew
#
# The figures are in build/bench, those of "--again" in build/bench/again.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

case ${1:-} in
'')	out=$IOMMUFD_BUILD/bench ;;
--again) out=$IOMMUFD_BUILD/bench/again ;;
--table) out=$IOMMUFD_BUILD/bench ;;
*)	die "usage: bench.sh [--again|--table]" ;;
esac
mkdir -p "$out"

# tests/guest/cost.c says what the names are. What does not depend on who serves
# /dev/iommu is measured on one of the kernels only.
tests=bulk,small.ioas,small.no_domain,small.compat2,unmap_all.ioas
tests+=,unmap_all.no_domain,cost.nothing,cost.slab,cost.auto_iova
ways=ioas,compat1,large1,compat2,share,access

# run KERNEL TESTS WAYS: leaves "ROW VALUE" lines in $out/KERNEL.values
run() {
	local product=$IOMMUFD_BUILD/kernel/$1 initrd=$IOMMUFD_BUILD/$1.cpio.gz
	local console=$IOMMUFD_LOGS/$1.console
	local machine

	: >"$product/modules/load-order"
	"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
		init="$IOMMUFD_ROOT/tests/guest/init.sh" \
		lib/guest-setup.sh="$IOMMUFD_ROOT/tools/demo/guest-setup.sh" \
		lib/iommufd="$product/modules" tests/cost="$programs/cost"
	mapfile -t machine < <("$IOMMUFD_ROOT/tools/demo/machine.sh" "$disk")
	# Without ERMS, clearing memory is counted by words and not by bytes.
	"$IOMMUFD_ROOT/tools/guest.sh" --name "$1" --time 3600 --accel tcg \
		--kernel "$product/bzImage" --initrd "$initrd" \
		--append "quiet intel_iommu=on hugepagesz=1G hugepages=1 vfio_iommu_type1.dma_entry_limit=200000 cost_ways=$3 guest_tests=cost guest_only=$2" \
		--close '^guest: done' -- "${machine[@]}" -m 5G \
		-icount shift=0,sleep=off -cpu max,la57=off,erms=off,fsrm=off
	! grep -a '^not ok' "$console" || die "a measurement failed on $1"
	tr -d '\r' <"$console" | sed -n 's/^cost: //p' >"$out/$1.values"
}

# Both at a time, one emulated processor each.
run_both() {
	local status=0 ours theirs

	run bench "$tests,small.floor" "$ways,floor" &
	ours=$!
	run bench-theirs "$tests,small.type1,unmap_all.type1" "$ways,type1,type1v1" &
	theirs=$!
	wait "$ours" || status=1
	wait "$theirs" || status=1
	return "$status"
}

build() {
	"$IOMMUFD_ROOT/tools/packages.sh" guest programs
	"$IOMMUFD_ROOT/tools/kernel.sh" bench-theirs
	"$IOMMUFD_ROOT/tools/kernel.sh" bench
}

measure() {
	programs=$("$IOMMUFD_ROOT/tools/guest-programs.sh")
	disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
	step "counting instructions on both kernels" "5 min"
	run_both
}

[ $# -gt 0 ] || build
[ "${1:-}" = --table ] || measure
if [ "${1:-}" = --again ]; then
	python3 "$IOMMUFD_ROOT/tools/bench/compare.py" "$IOMMUFD_BUILD/bench" "$out"
	exit
fi
"$IOMMUFD_ROOT/tools/packages.sh" package:gnuplot-nox package:python3
python3 "$IOMMUFD_ROOT/tools/bench/table.py" "$out" \
	"$IOMMUFD_ROOT/Documentation/bench.csv" "$out/plot"
gnuplot "$out/plot/bench.gnuplot" >"$IOMMUFD_ROOT/Documentation/bench.svg"
note "the table is in Documentation/bench.csv, the plot in Documentation/bench.svg"
