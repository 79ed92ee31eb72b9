#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build an x86-64 Linux 6.12 for QEMU with this directory as its iommufd, and
# the programs of tests/selftests.
#
#   tools/kernel.sh plain|debug|coverage|preempt|bench|bench-theirs
#
# The products are copied to build/kernel/VARIANT: bzImage, config, selftests/,
# and for coverage gcno/, what gcov has to know of the objects. The kernels that
# tools/bench.sh compares have modules/ in place of selftests/, and bench-theirs is
# the source package as it is, with its own iommufd.
# The tree and the objects stay in the cache, where make finds what is out of
# date by itself, and so does a change of the configuration; they are there
# once for all checkouts, which take turns.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

variant=${1:-}
case $variant in
plain)	fragments=(base test) ;;
debug)	fragments=(base test debug) ;;
coverage) fragments=(base test coverage) ;;
preempt) fragments=(base test preempt) ;;
bench|bench-theirs) fragments=(base bench) ;;
*)	die "usage: kernel.sh plain|debug|coverage|preempt|bench|bench-theirs" ;;
esac
bench_modules=(iommufd_cost iommufd_floor)
"$IOMMUFD_ROOT/tools/packages.sh" kernel
source=$("$IOMMUFD_ROOT/tools/source.sh")
cache=$IOMMUFD_CACHE/kernel/$(basename "$source")
tree=$cache/tree
lock=$cache/lock
if [ "$variant" = bench-theirs ]; then
	tree=$source
	lock=$cache/lock-theirs
fi
objects=$cache/$variant
product=$IOMMUFD_BUILD/kernel/$variant
export CCACHE_DIR=$IOMMUFD_CACHE/ccache

# Who builds the kernel, where and when must not make a difference.
kmake() {
	make -s -C "$tree" ARCH=x86_64 O="$objects" CC="ccache gcc" \
		KBUILD_BUILD_TIMESTAMP=2024-01-01 KBUILD_BUILD_USER=iommufd \
		KBUILD_BUILD_HOST=localhost KBUILD_BUILD_VERSION=1 \
		-j"$IOMMUFD_JOBS" "$@"
}

fragment_files() {
	printf "$IOMMUFD_ROOT/tests/kernel/%s.config\n" "${fragments[@]}"
}

# Kconfig drops what it cannot satisfy without a word.
configure() {
	fragment_files | xargs cat >"$objects/fragment"
	KCONFIG_ALLCONFIG=$objects/fragment kmake allnoconfig
	"$IOMMUFD_ROOT/tools/config-holds.sh" "$objects/fragment" \
		"$objects/.config"
}

# The header that the programs see is ours, exported as any other. They are
# always built anew, since their makefile cannot know what they include.
selftests_make() {
	make -s -C "$tree/tools/testing/selftests/iommu" CC="ccache gcc" \
		KHDR_INCLUDES="-isystem $objects/usr/include" \
		USERLDFLAGS=-static OUTPUT="$objects/selftests" \
		-j"$IOMMUFD_JOBS" "$@"
}

build_programs() {
	rm -rf "$objects/selftests"
	mkdir "$objects/selftests"
	selftests_make all
	selftests_make COLLECTION=iommu emit_tests | sed 's/^iommu://' \
		>"$objects/selftests/list"
}

# Links, for objects must not land among the sources.
build_modules() {
	local work=$objects/bench-modules file

	mkdir -p "$work"
	find "$work" -xtype l -delete
	for file in "$IOMMUFD_ROOT"/tools/sample-vfio/*.[ch]; do
		ln -sfn "$file" "$work/"
	done
	printf 'obj-m := %s\n' "${bench_modules[*]/%/.o}" | update_file "$work/Kbuild"
	kmake modules
	kmake M="$work" modules
	rm -rf "$objects/modules"
	mkdir "$objects/modules"
	for file in "${bench_modules[@]}"; do
		cp "$work/$file.ko" "$objects/modules/"
	done
}

build() {
	[ "$tree" = "$source" ] || "$IOMMUFD_ROOT/tools/kernel-tree.sh" "$tree"
	configure
	kmake bzImage
	case $variant in
	bench*)	build_modules ;;
	*)	kmake headers
		build_programs ;;
	esac
}

mkdir -p "$objects"
exec 9>"$lock"
flock 9
case $variant in
plain|preempt|bench*) usual="4 min, later 20 s" ;;
debug)	usual="7 min, later 30 s" ;;
coverage) usual="4 min, later 20 s" ;;
esac
step "building the $variant kernel" "$usual"
log_to "kernel-$variant" build
rm -rf "$product"
mkdir -p "$product"
cp "$objects/arch/x86/boot/bzImage" "$product/bzImage"
cp "$objects/.config" "$product/config"
case $variant in
bench*)	cp -a "$objects/modules" "$product/modules" ;;
*)	cp -a "$objects/selftests" "$product/selftests" ;;
esac
if [ "$variant" = coverage ]; then
	mkdir "$product/gcno"
	find "$objects/drivers/iommu/iommufd" -name '*.gcno' \
		-exec cp -t "$product/gcno" {} +
fi
