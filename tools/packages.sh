#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Install the Debian packages that a task needs, as far as they are missing.
#
#   tools/packages.sh GROUP|package:NAME ...
#   tools/packages.sh lists       only fetch the lists of what there is
#
# Nothing missing: costs a fraction of a second and needs neither root nor
# a network. Groups are listed below; package:NAME is one package.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

packages_of() {
	case $1 in
	modules) echo make gcc-12 libc6-dev binutils xz-utils kmod ;;
	guest)	echo qemu-system-x86 seabios ipxe-qemu busybox-static cpio gzip ;;
	clients) echo dpdk-dev librte-net-e1000-23 librte-net-virtio23 libgcc-s1 libc-bin ;;
	programs) echo make gcc libc6-dev ;;
	kernel)	echo make gcc libc6-dev flex bison bc libelf-dev libssl-dev \
		     xz-utils ccache kmod cpio python3 rsync perl ;;
	clang)	echo clang lld llvm ;;
	arm64)	echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
	style)	echo sparse perl python3 shellcheck gcc g++ libc6-dev git ;;
	package:*) echo "${1#package:}" ;;
	*)	die "there is no package group '$1'" ;;
	esac
}

missing() {
	local package

	for package; do
		[ -n "$(version_of "$package")" ] || echo "$package"
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -n "$@"
	else
		die "only root can install what is missing: ${wanted[*]:-package lists}"
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@"
}

install_wanted() {
	apt install --no-install-recommends "${wanted[@]}"
}

# The package lists may be absent or too old to find what they promise, and
# then, only then, are they fetched.
install_with_fresh_lists_if_needed() {
	apt-cache show "${wanted[@]}" >/dev/null && install_wanted && return
	apt update
	install_wanted
}

if [ "$*" = lists ]; then
	step "fetching the package lists" "10 s"
	log_to apt-update apt update
	exit 0
fi

all=()
for group; do
	read -ra some <<<"$(packages_of "$group")"
	all+=("${some[@]}")
done
mapfile -t wanted < <(missing "${all[@]}")
[ "${#wanted[@]}" -gt 0 ] || exit 0

# Somebody else may be installing them, and apt does not wait for its lists.
exec 9>"$IOMMUFD_CACHE/packages.lock"
flock 9
mapfile -t wanted < <(missing "${all[@]}")
[ "${#wanted[@]}" -gt 0 ] || exit 0

step "installing ${wanted[*]}" "10 s to 2 min"
log_to packages install_with_fresh_lists_if_needed
