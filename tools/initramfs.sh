#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Assemble an initramfs for a guest: busybox with links for all its applets,
# an empty /proc, /sys, /dev, /tmp and /run, and what the caller names.
#
#   tools/initramfs.sh OUT.cpio.gz DEST=SRC ...
#
# DEST is the place in the guest (no leading slash needed), SRC a file or a
# directory here. One DEST must be `init`, which has to be executable or a
# script. Files are copied as they are: programs should be static.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || die "usage: initramfs.sh OUT.cpio.gz DEST=SRC ..."
out=$1
shift
"$IOMMUFD_ROOT/tools/packages.sh" guest

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

add_busybox() {
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,tmp,run,root,etc}
	cp -L "$(command -v busybox)" "$root/bin/busybox"
	"$root/bin/busybox" --list-full | while read -r applet; do
		[ -e "$root/$applet" ] || ln -s /bin/busybox "$root/$applet"
	done
}

add() {
	local dest=$root/${1%%=*} src=${1#*=}

	[ -e "$src" ] || die "there is no $src to put into the initramfs"
	mkdir -p "$(dirname "$dest")"
	if [ -d "$src" ]; then
		mkdir -p "$dest"
		cp -rL "$src"/. "$dest"
	else
		rm -f "$dest"
		cp -L "$src" "$dest"
	fi
}

# A program in a package that says "busybox" but is linked dynamically would
# only fail in the guest.
[ -n "$(version_of busybox-static)" ] || die "busybox-static is not installed"
add_busybox
for spec; do
	case $spec in
	?*=?*)	add "$spec" ;;
	*)	die "'$spec' is not DEST=SRC" ;;
	esac
done
[ -f "$root/init" ] || die "nothing was given for init"
chmod +x "$root/init"

mkdir -p "$(dirname "$out")"
(cd "$root" && find . -mindepth 1 | sort | cpio -o -H newc -R 0:0 --quiet) |
	gzip -1 -n >"$out.partial"
mv "$out.partial" "$out"
