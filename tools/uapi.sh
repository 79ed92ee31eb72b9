#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Make build/uapi/linux/vfio.h, the VFIO header of the kernel source package,
# exported for user space, and print build/uapi. The libc's own headers can be
# too old to know of /dev/iommu.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

out=$IOMMUFD_BUILD/uapi
source=$("$IOMMUFD_ROOT/tools/source.sh")

# The kernel's exporter calls its helper as scripts/unifdef.
export_header() {
	mkdir "$work/scripts"
	gcc -O1 -w -o "$work/scripts/unifdef" "$source/scripts/unifdef.c"
	(cd "$work" && sh "$source/scripts/headers_install.sh" "$1" out.h)
	mkdir -p "$(dirname "$2")"
	mv "$work/out.h" "$2"
}

if [ ! "$out/linux/vfio.h" -nt "$source/include/uapi/linux/vfio.h" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	export_header "$source/include/uapi/linux/vfio.h" "$out/linux/vfio.h"
fi
echo "$out"
