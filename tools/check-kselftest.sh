#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run the programs of tests/selftests in QEMU, on an in-tree kernel, and print
# "ok VARIANT/PROGRAM/TEST", "not ok ...: why" or "skip ...: why" for each test.
#
#   tools/check-kselftest.sh plain|debug|no-extents|coverage [PROGRAM [HARNESS-ARGS]]
#
# The variant no-extents is the plain kernel told to ask page tables for every
# PFN, as it does of its own accord where memory is scattered. The variant
# coverage is for tools/coverage.sh: the KUnit tests run at boot, and what was
# executed is appended to the results.
#
# One program is about devices without an IOMMU. It gets a machine of its own.
#
# HARNESS-ARGS are those of the kselftest harness, such as -t NAME.
#
# The debug kernel is many times slower: it is spared the drivers whose faults are
# like another one's, unless a program is named.
#
# The last test, VARIANT/kernel, is that the kernel itself had nothing to
# report: no warning, no lock out of order, no leak, no hang, no crash.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || die "usage: check-kselftest.sh plain|debug|no-extents|coverage [PROGRAM [HARNESS-ARGS]]"
variant=$1
shift
case $variant in
plain)	kernel=plain usual="5 min" limit=900 ;;
debug)	kernel=debug usual="14 min" limit=2400 ;;
no-extents)	kernel=plain usual="4 min" limit=900 append=iommufd.extents=0 ;;
coverage) kernel=coverage usual="10 min" limit=2400 \
	append="kunit.enable=1 loglevel=7 iommufd.test_access_operations=100000" ;;
*)	die "there is no variant '$variant'" ;;
esac
"$IOMMUFD_ROOT/tools/packages.sh" guest programs
"$IOMMUFD_ROOT/tools/kernel.sh" "$kernel"

product=$IOMMUFD_BUILD/kernel/$kernel
list=$product/selftests/list
noiommu_list=$product/noiommu
accel=$("$IOMMUFD_ROOT/tools/kvm-probe.sh" "$product/bzImage" "$product/config")
status=0

# run NAME LIST QEMU-ARGS...: the programs of a list, and what they say. The
# results have a serial line of their own, or what the kernel says in the
# meantime would stand in the middle of them. Of the memory, 64 pages of 2 MiB
# are set aside for hugetlbfs, and 64 MiB as persistent memory for DAX.
run() {
	local name=$1 list=$2 ended=0 initrd tap log

	shift 2
	initrd=$product/initramfs-$name.cpio.gz
	tap=$IOMMUFD_LOGS/kselftest-$name.tap
	log=$IOMMUFD_LOGS/kselftest-$name.guest
	"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
		init="$IOMMUFD_ROOT/tests/kernel/init.sh" \
		selftests="$product/selftests" list="$list"
	: >"$tap"
	"$IOMMUFD_ROOT/tools/guest.sh" --name "kselftest-$name" \
		--time "$limit" --kernel "$product/bzImage" --initrd "$initrd" \
		--close '^guest: done' --accel "$accel" \
		--append "hugepages=64 memmap=64M!1G ${append:-}" -- \
		-m 2G -smp 2 -serial "file:$tap" "$@" -device edu,addr=5 \
		2>"$log" || ended=$?
	python3 "$IOMMUFD_ROOT/tools/kselftest-report.py" "$name" "$list" \
		"$tap" || status=1
	if [ "$ended" -eq 0 ]; then
		echo "ok $name/kernel"
	else
		cat "$log" >&2
		echo "not ok $name/kernel: $(tail -n 1 "$log")"
		status=1
	fi
}

run_most() {
	step "running the self-tests on the $variant kernel" "$usual"
	run "$variant" "$1" \
		-device intel-iommu,intremap=on,caching-mode=on,aw-bits=48
}

run_noiommu() {
	step "running $(cut -d ' ' -f 1 "$1") on it without an IOMMU" "10 s"
	run "$variant-noiommu" "$1"
}

echo vfio_noiommu >"$noiommu_list"
if [ $# -gt 0 ]; then
	grep -qxF -e "$1" "$list" "$noiommu_list" ||
		die "there is no program '$1' in tests/selftests"
	echo "$*" >"$product/chosen"
	case $1 in
	vfio_noiommu)	run_noiommu "$product/chosen" ;;
	*)		run_most "$product/chosen" ;;
	esac
	exit "$status"
fi
case $variant in
plain)	run_most "$list"
	run_noiommu "$noiommu_list" ;;
debug)	sed 's/$/ -V amd -V arm/' "$list" >"$product/reduced"
	run_most "$product/reduced"
	run_noiommu "$noiommu_list" ;;
*)	run_most "$list" ;;
esac
exit "$status"
