#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build iommufd.ko, and VFIO's modules so that they use it, for Debian's stock
# kernel, in which IOMMUFD is switched off.
#
#   tools/modules.sh [KVER]      default: the newest 6.12 that apt offers
#   IOMMUFD_DEBUG=y tools/modules.sh ...    with the assertions compiled in
#
# The modules land in build/modules/KVER (KVER-debug), stripped of debugging
# information, together with the stock modules they need and `load-order`, the
# order to insert them in. What is in tools/sample-vfio is there as well, but is
# nothing that anybody needs. Nothing outside build/ is written.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

stock=$("$IOMMUFD_ROOT/tools/stock.sh" "$@")
eval "$stock"
: "${KVER:?}" "${MODDIR:?}" "${HEADERS:?}" "${SRCVER:?}"

debug=${IOMMUFD_DEBUG:-n}
variant=$KVER
[ "$debug" != y ] || variant=$KVER-debug
out=$IOMMUFD_BUILD/modules/$variant
work=$IOMMUFD_BUILD/kbuild/$variant
inputs() {
	find "$IOMMUFD_ROOT" -maxdepth 1 -name '*.[ch]' -o -maxdepth 1 -name Kbuild
	find "$IOMMUFD_ROOT/include" -name '*.h'
	find "$IOMMUFD_ROOT/tools/sample-vfio" -name '*.[ch]' -o -name Kbuild
	echo "$0"
}
mapfile -t files < <(inputs | sort)
key="$SRCVER $(content_key "${files[@]}")"

mkdir -p "$work" "$IOMMUFD_BUILD/modules"
exec 9>"$work/.lock"
flock 9
if [ "$(cat "$out/.built-from" 2>/dev/null)" = "$key" ]; then
	note "the modules for $variant are up to date"
	exit 0
fi

"$IOMMUFD_ROOT/tools/packages.sh" modules
target_config() {
	sed -n "s/^$1=//p" "$HEADERS/include/config/auto.conf"
}
[ "$(target_config CONFIG_IOMMUFD)" != y ] ||
	die "$KVER has IOMMUFD built in, so a module cannot take its place"
[ "$(target_config CONFIG_VFIO)" = m ] ||
	die "$KVER does not have VFIO as a module"
source=$("$IOMMUFD_ROOT/tools/source.sh")

# Links, so that the compiler's messages and make's times are those of the
# files one edits. Links whose files are gone would keep a build alive.
link_dir() {
	local file

	mkdir -p "$work/$2"
	find "$work/$2" -xtype l -delete
	for file in "$1"/*.[ch] "$1/Kbuild"; do
		ln -sfn "$file" "$work/$2/"
	done
}

# VFIO is copied, for objects must not land in the cache. The copy keeps its
# times and is renewed only when the source package changes.
copy_theirs() {
	[ "$(cat "$work/.source" 2>/dev/null)" != "$SRCVER" ] || return 0
	rm -rf "$work/vfio" "$work/iommu"
	cp -a "$source/drivers/vfio" "$work/vfio"
	mkdir "$work/iommu"
	cp -a "$source/drivers/iommu/iommu-priv.h" "$work/iommu/"
	echo "$SRCVER" >"$work/.source"
}

# What differs between the target kernel's configuration and the one these
# modules are built for. C learns of it from here because the headers'
# autoconf.h does not know; the makefiles get it on make's command line. Where
# the kernel has no CONFIG_IOMMUFD_DRIVER, our module exports what belongs to
# it, and VFIO is to use that.
#
# NOSTDINC_FLAGS stand before the kernel's own include directories, which have
# headers of the same names that must not be found first.
describe_build() {
	local define

	echo 'obj-m += iommufd/ vfio/ sample-vfio/'
	for define in CONFIG_IOMMUFD_MODULE CONFIG_VFIO_DEVICE_CDEV \
		      CONFIG_IOMMUFD_DRIVER; do
		grep -qw "#define $define" "$HEADERS/include/generated/autoconf.h" ||
			echo "subdir-ccflags-y += -D$define=1"
	done
	[ "$debug" != y ] || echo 'subdir-ccflags-y += -DCONFIG_IOMMUFD_DEBUG=1'
	echo "subdir-ccflags-y += -I$work/iommu"
	echo "NOSTDINC_FLAGS += -I$IOMMUFD_ROOT/include"
	echo 'export NOSTDINC_FLAGS'
}

build() {
	make -C "$HEADERS" M="$work" -j"$IOMMUFD_JOBS" \
		CONFIG_IOMMUFD=m CONFIG_VFIO_DEVICE_CDEV=y \
		CONFIG_IOMMUFD_VFIO_CONTAINER= CONFIG_IOMMUFD_TEST= \
		CONFIG_IOMMUFD_KUNIT_TEST= CONFIG_IOMMUFD_DEBUG="${debug#n}" \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules
}

# A wrong include order would build modules that agree with nobody, silently.
check_headers_are_ours() {
	local deps

	deps=$(find "$work" -name '.*.o.cmd' -exec cat {} +)
	! grep -E '/usr/src/[^ ]*/include/(uapi/)?linux/(iommufd|iova_bitmap)\.h' \
		<<<"$deps" || return 1
	grep -qF "$IOMMUFD_ROOT/include/linux/iommufd.h" <<<"$deps"
}

# Modules in an order in which each finds what it needs loaded.
needed_first() {
	local module=$1 dep

	[ -z "${seen[$module]:-}" ] || return 0
	seen[$module]=1
	for dep in $(modinfo -F depends "$new/$module.ko" | tr ',' ' '); do
		dep=${dep//_/-}
		[ -e "$new/$dep.ko" ] || dep=${dep//-/_}
		[ -e "$new/$dep.ko" ] || take_stock "$dep"
		needed_first "$dep"
	done
	echo "$module.ko"
}

take_stock() {
	local file

	file=$(find "$MODDIR/kernel" -name "$1.ko*" -print -quit)
	[ -n "$file" ] || die "no module $1 among those of $KVER"
	case $file in
	*.xz)	xz -dc "$file" >"$new/$1.ko" ;;
	*)	cp "$file" "$new/$1.ko" ;;
	esac
}

collect() {
	local module
	local -A seen=()

	rm -rf "$new"
	mkdir -p "$new"
	find "$work" -name '*.ko' -exec cp -t "$new" {} +
	for module in "${wanted[@]}" iommufd_sample iommufd_cost iommufd_floor; do
		[ -e "$new/$module.ko" ] || die "$module.ko was not built"
		strip --strip-debug "$new/$module.ko"
	done
	for module in "${wanted[@]}"; do
		needed_first "$module"
	done >"$new/load-order"
	echo "$key" >"$new/.built-from"
	rm -rf "$out"
	mv -T "$new" "$out"
}

wanted=(iommufd vfio vfio_iommu_type1 vfio-pci-core vfio-pci mdev)
new=$IOMMUFD_BUILD/modules/.$variant.new
step "building iommufd and VFIO's modules for $variant" "15 s"
link_dir "$IOMMUFD_ROOT" iommufd
link_dir "$IOMMUFD_ROOT/tools/sample-vfio" sample-vfio
copy_theirs
describe_build | update_file "$work/Kbuild"
log_to "modules-$variant" build
check_headers_are_ours ||
	die "the build used the kernel's own iommufd headers in place of ours"
collect
note "modules are in ${out#"$IOMMUFD_ROOT/"}"
