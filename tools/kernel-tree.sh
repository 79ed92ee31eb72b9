#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Make TREE, or bring it up to date: a copy of the kernel's source package with
# this directory installed in it.
#
#   tools/kernel-tree.sh TREE
#
# The copy is made of hard links where the file system allows it, and so costs
# next to nothing: nothing writes into the files of a tree, neither a build with
# O= nor tools/tree.sh, which replaces files.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || die "usage: kernel-tree.sh TREE"
tree=$1
source=$("$IOMMUFD_ROOT/tools/source.sh")

# Copied beside its place and renamed, an interrupted run never counts.
copy_kernel() {
	rm -rf "$tree" "$tree.partial"
	mkdir -p "$(dirname "$tree")"
	if ! cp -al "$source" "$tree.partial" 2>/dev/null; then
		rm -rf "$tree.partial"
		cp -a "$source" "$tree.partial"
	fi
	echo "$source" >"$tree.partial/.iommufd-source"
	mv -T "$tree.partial" "$tree"
}

[ "$(cat "$tree/.iommufd-source" 2>/dev/null)" = "$source" ] || copy_kernel
"$IOMMUFD_ROOT/tools/tree.sh" "$tree"
