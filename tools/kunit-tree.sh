#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Make TREE a copy of the kernel source SRC in which this checkout takes the
# place of the kernel's own iommufd.
#
#   tools/kunit-tree.sh SRC TREE
#
# Only files that differ are written, so that make, whose objects outlive many
# calls, compiles nothing twice. That is why this is not "make tree".

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -eq 2 ] || die "usage: kunit-tree.sh SRC TREE"
src=$1
tree=$2
sub=drivers/iommu/iommufd

copy_kernel() {
	[ ! -e "$tree/.complete" ] || return 0
	rm -rf "$tree"
	mkdir -p "$(dirname "$tree")"
	cp -a "$src" "$tree"
	rm -rf "${tree:?}/$sub" "$tree"/include/{uapi/,}linux/iommufd.h \
		"$tree/include/linux/iova_bitmap.h"
	touch "$tree/.complete"
}

# What a kernel tree needs of the checkout, one path a line.
our_files() {
	(cd "$IOMMUFD_ROOT" && ls Kbuild Kconfig ./*.[ch] include/linux/*.h \
		include/uapi/linux/*.h tests/*.[ch]) | sed 's,^\./,,'
}

place_of() {
	case $1 in
	include/*) echo "$1" ;;
	*) echo "$sub/$1" ;;
	esac
}

install_ours() {
	local file place

	our_files >"$tree/.iommufd-files"
	while read -r file; do
		place=$tree/$(place_of "$file")
		cmp -s "$IOMMUFD_ROOT/$file" "$place" && continue
		mkdir -p "$(dirname "$place")"
		cp --remove-destination "$IOMMUFD_ROOT/$file" "$place"
	done <"$tree/.iommufd-files"
}

remove_strangers() {
	local file

	find "$tree/$sub" -type f -printf '%P\n' | while read -r file; do
		grep -qxF "$file" "$tree/.iommufd-files" || rm "$tree/$sub/$file"
	done
}

copy_kernel
install_ours
remove_strangers
