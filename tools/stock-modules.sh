#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Unpack modules of Debian's stock kernel, and those that they need, into a
# directory, with `load-order`, the order to insert them in.
#
#   tools/stock-modules.sh KVER OUT MODULE...

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -ge 3 ] || die "usage: stock-modules.sh KVER OUT MODULE..."
kver=$1
out=$2
shift 2
"$IOMMUFD_ROOT/tools/packages.sh" modules

# What is built in needs no file and is left out.
files() {
	local module

	for module; do
		modprobe --show-depends --set-version "$kver" "$module"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

rm -rf "$out"
mkdir -p "$out"
files "$@" | while read -r file; do
	name=$(basename "$file" .xz)
	case $file in
	*.xz)	xz -dc "$file" >"$out/$name" ;;
	*)	cp "$file" "$out/$name" ;;
	esac
	echo "$name"
done >"$out/load-order"
[ -s "$out/load-order" ] || die "$kver has no such modules: $*"
