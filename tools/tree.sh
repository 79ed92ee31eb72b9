#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Install this directory into an unpacked Linux 6.12 tree, in place of the
# kernel's own iommufd.
#
#   tools/tree.sh DIR
#
# Doing it again changes nothing, and files whose content is already right keep
# their times, so that a build in the tree goes on where it was. Files are
# replaced, never written into: trees often share their files by hard links.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ -n "${1:-}" ] || die "say which tree to install into: make tree KERNEL=DIR"
kernel=$1
[ -d "$kernel" ] || die "there is no directory $kernel"
makefile_says() {
	sed -n "s/^$1 *= *//p" "$kernel/Makefile" | head -n 1
}
if [ ! -f "$kernel/Makefile" ] || [ ! -f "$kernel/drivers/iommu/Kconfig" ]; then
	die "$kernel is not an unpacked Linux kernel"
fi
release=$(makefile_says VERSION).$(makefile_says PATCHLEVEL)
[ "$release" = 6.12 ] ||
	die "$kernel is Linux $release, and this is made for Linux 6.12"

replace() {
	cmp -s "$1" "$2" || install -D -m 644 "$1" "$2"
}

# install_dir SRC DEST FILE...: DEST holds these files of SRC and no other
# sources; what a build has left there stays.
install_dir() {
	local src=$1 dest=$2 old file

	shift 2
	mkdir -p "$dest"
	while IFS= read -r old; do
		printf '%s\n' "$@" | grep -xF -e "$old" >/dev/null ||
			rm "$dest/$old"
	done < <(cd "$dest" && find . -type f ! -name '.*' ! -name '*.o' \
		 ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' ! -name '*.a' \
		 ! -name modules.order -printf '%P\n')
	for file; do
		replace "$src/$file" "$dest/$file"
	done
}

subsystem=$kernel/drivers/iommu/iommufd
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$IOMMUFD_ROOT"/*.[ch] "$IOMMUFD_ROOT/Kconfig" "$stage"
cp "$IOMMUFD_ROOT/Kbuild" "$stage/Makefile"
mkdir "$stage/tests"
find "$IOMMUFD_ROOT/tests" -maxdepth 1 \
	\( -name '*_kunit*.[ch]' -o -name '*.h' \) -exec cp -t "$stage/tests" {} +
mapfile -t files < <(cd "$stage" && find . -type f -printf '%P\n')
install_dir "$stage" "$subsystem" "${files[@]}"

mapfile -t headers < <(cd "$IOMMUFD_ROOT/include" && find . -name '*.h' -printf '%P\n')
for header in "${headers[@]}"; do
	replace "$IOMMUFD_ROOT/include/$header" "$kernel/include/$header"
done

selftests=$IOMMUFD_ROOT/tests/selftests
if [ -d "$selftests" ]; then
	mapfile -t files < <(cd "$selftests" && find . -type f -printf '%P\n')
	install_dir "$selftests" "$kernel/tools/testing/selftests/iommu" "${files[@]}"
fi

page=$IOMMUFD_ROOT/Documentation/iommufd.rst
[ ! -f "$page" ] ||
	replace "$page" "$kernel/Documentation/userspace-api/iommufd.rst"
note "installed into $kernel"
