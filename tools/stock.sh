#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Find Debian's stock kernel, the newest 6.12 that apt offers or the one
# named, install its image, headers and source, and print shell assignments:
#
#   KVER     its release, as `uname -r` says it
#   IMAGE    the bootable image
#   MODDIR   its own modules
#   HEADERS  its headers, to build modules against
#   SRCVER   the version that image, headers and source have in common
#
#   tools/stock.sh [KVER]        eval "$(tools/stock.sh)"

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# The cloud and real-time flavours and the unsigned twins are other kernels.
offered() {
	apt-cache pkgnames linux-image-6.12. |
		grep -E '^linux-image-6\.12\.[0-9]+(\+[a-z0-9]+)*-amd64$' |
		sed 's/^linux-image-//' | sort -V
}

newest() {
	local kver

	kver=$(offered | tail -n 1)
	[ -n "$kver" ] || die "apt offers no linux-image-6.12.*-amd64"
	echo "$kver"
}

# The version that is installed, or would be.
version_to_be() {
	local version

	version=$(version_of "$1")
	[ -n "$version" ] ||
		version=$(apt-cache policy "$1" 2>/dev/null |
			sed -n 's/^  Candidate: //p')
	[ "${version:-(none)}" != "(none)" ] ||
		die "$1 is neither installed nor offered by apt, so nothing can be built for $KVER"
	echo "$version"
}

[ "$(dpkg --print-architecture)" = amd64 ] ||
	die "modules for the stock kernel are built on amd64 only"
[ -n "$(apt-cache pkgnames linux-source-6.12)" ] ||
	"$IOMMUFD_ROOT/tools/packages.sh" lists
KVER=${1:-$(newest)}
case $KVER in
6.12.*) ;;
*)	die "$KVER is not a Linux 6.12 kernel" ;;
esac
image=$(version_to_be "linux-image-$KVER")
headers=$(version_to_be "linux-headers-$KVER")
SRCVER=$(version_to_be linux-source-6.12)
if [ "$image" != "$SRCVER" ] || [ "$headers" != "$SRCVER" ]; then
	die "the image of $KVER is version $image, its headers are $headers and linux-source-6.12 is $SRCVER; modules can only be built when all three are the same version"
fi
"$IOMMUFD_ROOT/tools/packages.sh" "package:linux-image-$KVER" \
	"package:linux-headers-$KVER" package:linux-source-6.12

cat <<END
KVER=$KVER
IMAGE=/boot/vmlinuz-$KVER
MODDIR=/lib/modules/$KVER
HEADERS=/usr/src/linux-headers-$KVER
SRCVER=$SRCVER
END
