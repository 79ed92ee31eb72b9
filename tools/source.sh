#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print the directory where linux-source-6.12 is unpacked, one per package
# version, in the cache. It is shared: read it, never write to it.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" package:linux-source-6.12 package:xz-utils
version=$(version_of linux-source-6.12)
parent=$IOMMUFD_CACHE/source
tree=$parent/linux-source-6.12_$version

# Unpacked beside its place and renamed, an interrupted run never counts.
unpack() {
	local partial

	rm -rf "$parent"/partial.*
	partial=$(mktemp -d "$parent/partial.XXXXXX")
	chmod 755 "$partial"
	tar -xf /usr/src/linux-source-6.12.tar.xz -C "$partial" \
		--strip-components=1
	mv -T "$partial" "$tree"
}

if [ ! -d "$tree" ]; then
	mkdir -p "$parent"
	exec 9>"$parent/lock"
	flock 9
	if [ ! -d "$tree" ]; then
		step "unpacking linux-source-6.12 $version" "1 min"
		log_to source unpack
	fi
fi
echo "$tree"
