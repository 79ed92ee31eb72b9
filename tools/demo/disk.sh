#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print the path of a disk image full of random bytes, made once.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/../lib.sh"

disk=$IOMMUFD_CACHE/disk-32M.img
if [ ! -s "$disk" ]; then
	partial=$(mktemp "$disk.XXXXXX")
	head -c 32M /dev/urandom >"$partial"
	mv "$partial" "$disk"
fi
echo "$disk"
