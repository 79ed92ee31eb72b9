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
debug)	kernel=debug usual="14 min" limit=1800 ;;
no-extents)	kernel=plain usual="4 min" limit=900 append=iommufd.extents=0 ;;
coverage) kernel=coverage usual="10 min" limit=2400 \
	append="kunit.enable=1 loglevel=7 iommufd.test_access_operations=100000" ;;
*)	die "there is no variant '$variant'" ;;
esac
"$IOMMUFD_ROOT/tools/packages.sh" guest programs
"$IOMMUFD_ROOT/tools/kernel.sh" "$kernel"

product=$IOMMUFD_BUILD/kernel/$kernel
tap=$IOMMUFD_LOGS/kselftest-$variant.tap
list=$product/selftests/list
if [ $# -gt 0 ]; then
	grep -qxF -e "$1" "$list" || die "there is no program '$1' in tests/selftests"
	list=$product/chosen
	echo "$*" >"$list"
elif [ "$variant" = debug ]; then
	list=$product/reduced
	sed 's/$/ -V amd -V arm/' "$product/selftests/list" >"$list"
fi
initrd=$product/initramfs-$variant.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/kernel/init.sh" \
	selftests="$product/selftests" list="$list"

accel=$("$IOMMUFD_ROOT/tools/kvm-probe.sh" "$product/bzImage" "$product/config")

# The results have a serial line of their own, or what the kernel says in the
# meantime would stand in the middle of them. Of the memory, 64 pages of 2 MiB
# are set aside for hugetlbfs, and 64 MiB as persistent memory for DAX.
step "running the self-tests on the $variant kernel" "$usual"
: >"$tap"
status=0
"$IOMMUFD_ROOT/tools/guest.sh" --name "kselftest-$variant" --time "$limit" \
	--kernel "$product/bzImage" --initrd "$initrd" --close '^guest: done' \
	--append "hugepages=64 memmap=64M!1G ${append:-}" --accel "$accel" -- \
	-m 2G -smp 2 -serial "file:$tap" \
	-device intel-iommu,intremap=on,caching-mode=on,aw-bits=48 \
	-device edu,addr=5 \
	2>"$IOMMUFD_LOGS/kselftest-$variant.guest" || status=$?

python3 "$IOMMUFD_ROOT/tools/kselftest-report.py" "$variant" "$list" "$tap" ||
	failed=1
if [ "$status" -eq 0 ]; then
	echo "ok $variant/kernel"
else
	cat "$IOMMUFD_LOGS/kselftest-$variant.guest" >&2
	echo "not ok $variant/kernel: $(tail -n 1 \
		"$IOMMUFD_LOGS/kselftest-$variant.guest")"
fi
[ "$status" -eq 0 ] && [ -z "${failed:-}" ]
