#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build a user-mode Linux with this checkout's KUnit tests: build/kunit/linux.
#
# The kernel tree and the objects stay in the cache, one set per kernel version
# and configuration, and make brings them up to date.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

fragment=$IOMMUFD_ROOT/tests/kunit.config
product=$IOMMUFD_BUILD/kunit/linux
src=$("$IOMMUFD_ROOT/tools/source.sh")
cache=$IOMMUFD_CACHE/kunit/$(basename "$src")
tree=$cache/tree
objects=$cache/$(content_key "$fragment")

kmake() {
	make -C "$tree" ARCH=um O="$objects" "$@"
}

# Making the configuration anew costs seconds, and when the outcome is the
# same, make rebuilds nothing.
build() {
	KCONFIG_ALLCONFIG=$fragment kmake allnoconfig &&
		"$IOMMUFD_ROOT/tools/config-holds.sh" "$fragment" \
			"$objects/.config" &&
		kmake -j"$IOMMUFD_JOBS" linux
}

# Kbuild would pass over a test that it does not list in silence.
require_built_tests() {
	local test

	for test in "$IOMMUFD_ROOT"/tests/*_kunit.c; do
		test=tests/$(basename "$test" .c)
		[ -e "$objects/drivers/iommu/iommufd/$test.o" ] ||
			die "Kbuild does not build $test.c under CONFIG_IOMMUFD_KUNIT_TEST"
	done
}

mkdir -p "$objects" "$(dirname "$product")"
exec 9>"$cache/lock"
flock 9
# A build keeps all processors busy by itself, so tools/kernel.sh takes turns with it.
mkdir -p "$IOMMUFD_CACHE/kernel/$(basename "$src")"
exec 8>"$IOMMUFD_CACHE/kernel/$(basename "$src")/lock"
flock 8
step "building user-mode Linux with the KUnit tests" "90 s, later 10 s"
log_to kunit-tree "$IOMMUFD_ROOT/tools/kunit-tree.sh" "$src" "$tree"
log_to kunit-build build
require_built_tests
cp -f "$objects/linux" "$product"
