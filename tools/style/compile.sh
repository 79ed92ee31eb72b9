#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sparse, and gcc with W=1, have nothing to say about the C files that become
# part of the kernel, with all of our options switched on.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" modules style
stock=$("$IOMMUFD_ROOT/tools/stock.sh")
eval "$stock"
: "${HEADERS:?}"
source=$("$IOMMUFD_ROOT/tools/source.sh")

# Objects are kept: a warning is an error, so what has an object had none, and
# only what changed is compiled again.
work=$IOMMUFD_BUILD/kbuild/style
[ "$STYLE_DIR" = "$IOMMUFD_ROOT" ] || work=$(mktemp -d)

compiled() {
	kernel_sources | grep '\.c$'
}

# The kernel of the headers has no KUnit, but its headers have all of it.
options() {
	printf -- '-DCONFIG_%s=1\n' KUNIT VFIO_DEVICE_CDEV IOMMUFD_MODULE \
		IOMMUFD_DRIVER IOMMUFD_DEBUG IOMMUFD_TEST IOMMUFD_KUNIT_TEST \
		IOMMUFD_VFIO_CONTAINER
	echo -Werror
	echo "-I$source/drivers/iommu"
}

describe_build() {
	compiled | sed 's/\.c$/.o/; s/^/obj-m += /'
	options | sed 's/^/ccflags-y += /'
	# Before the kernel's own headers of the same names.
	echo "NOSTDINC_FLAGS += -I$STYLE_DIR/include"
	echo 'export NOSTDINC_FLAGS'
}

# Links, so that times and messages are those of the files one edits.
link_sources() {
	local file

	mkdir -p "$work/tests" "$work/tools/sample-vfio"
	find "$work" -xtype l -delete
	kernel_sources | grep -v '^include/' | while read -r file; do
		ln -sfn "$STYLE_DIR/$file" "$work/$file"
	done
}

# -Wno-context: sparse does not know the cleanup attribute, so each guard() of a
# spinlock looks to it like a lock that is never given back.
build() {
	mapfile -t objects < <(compiled | sed 's/\.c$/.o/')
	make -k -O -C "$HEADERS" M="$work" -j"$IOMMUFD_JOBS" C=1 W=1 \
		CF='-Wsparse-error -Wno-context' "${objects[@]}"
}

complaints_in() {
	sed "s,$work/,," "$1" |
		{ grep -E '^[^ ]*: (fatal )?(error|warning): ' || [ $? -eq 1 ]; } |
		sort -u
}

# A failure without a complaint is not about the sources.
collect() {
	local log=$IOMMUFD_LOGS/style-compile-make.log status file

	link_sources
	describe_build | update_file "$work/Kbuild"
	try build >"$log"
	complaints_in "$log"
	[ "$status" -eq 0 ] || [ -n "$(complaints_in "$log")" ] || return 1
	compiled | while read -r file; do
		[ -e "$work/${file%.c}.o" ] || echo "$file: has no object"
	done
}

check compile collect
[ "$STYLE_DIR" = "$IOMMUFD_ROOT" ] || rm -rf "$work"
