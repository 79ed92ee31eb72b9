#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print `kvm` if KVM has been seen to boot this kernel, else `tcg`.
#
#   tools/kvm-probe.sh IMAGE [LIKE]
#
# That /dev/kvm exists and takes orders proves nothing: on some machines a
# guest then hangs in early boot. So a guest is booted once, with a time limit,
# and what came of it is remembered for this kernel, this QEMU and this host. A
# kernel that changes all the time is remembered by the content of LIKE, such as
# its configuration.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || [ $# -eq 2 ] || die "usage: kvm-probe.sh IMAGE [LIKE]"
if [ ! -w /dev/kvm ]; then
	echo tcg
	exit 0
fi

key=$({ sha256sum <"${2:-$1}"; qemu-system-x86_64 --version; uname -r; } |
	sha256sum | cut -c1-16)
answer=$IOMMUFD_CACHE/kvm-probe/$key
if [ ! -s "$answer" ]; then
	mkdir -p "$(dirname "$answer")"
	exec 9>"$answer.lock"
	flock 9
fi
if [ ! -s "$answer" ]; then
	step "probing whether KVM can boot this kernel" "5 to 20 s"
	init=$(mktemp)
	trap 'rm -f "$init"' EXIT
	printf '#!/bin/sh\necho kvm-probe: up\npoweroff -f\n' >"$init"
	"$IOMMUFD_ROOT/tools/initramfs.sh" "$IOMMUFD_BUILD/kvm-probe.cpio.gz" \
		init="$init"
	if "$IOMMUFD_ROOT/tools/guest.sh" --name kvm-probe --accel kvm --time 20 \
		--kernel "$1" --initrd "$IOMMUFD_BUILD/kvm-probe.cpio.gz" \
		--close '^kvm-probe: up' -- -device intel-iommu,intremap=on \
		>"$IOMMUFD_LOGS/kvm-probe.log" 2>&1; then
		result=kvm
	else
		result=tcg
	fi
	note "KVM probe: guests will run with $result"
	echo "$result" >"$answer"
fi
cat "$answer"
