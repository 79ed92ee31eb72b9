#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print how much memory a thread maps and unmaps in a second, and how much two threads
# do that have nothing to do with each other: on Debian's stock kernel with two
# emulated CPUs that run beside each other. The rates are of times on this machine;
# what can be compared is their ratio, and it needs an idle machine of two CPUs.
#
#   tools/cost-two-threads.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

eval "$("$IOMMUFD_ROOT/tools/stock.sh")"
: "${KVER:?}" "${IMAGE:?}"
"$IOMMUFD_ROOT/tools/modules.sh" "$KVER"
built=$("$IOMMUFD_ROOT/tools/guest-programs.sh")
disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
mapfile -t machine < <("$IOMMUFD_ROOT/tools/demo/machine.sh" "$disk")
initrd=$IOMMUFD_BUILD/cost-two-threads.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$IOMMUFD_ROOT/tests/guest/init.sh" \
	lib/guest-setup.sh="$IOMMUFD_ROOT/tools/demo/guest-setup.sh" \
	lib/iommufd="$IOMMUFD_BUILD/modules/$KVER" \
	tests/two_threads="$built/two_threads"

step "timing maps of one thread and of two" "2 min"
"$IOMMUFD_ROOT/tools/guest.sh" --name cost-two-threads --time 900 --accel tcg \
	--kernel "$IMAGE" --initrd "$initrd" \
	--append "quiet intel_iommu=on guest_tests=two_threads" \
	--close '^guest: done' -- "${machine[@]}" -smp 2 -m 2G

console=$IOMMUFD_LOGS/cost-two-threads.console
! grep -a '^not ok' "$console" || die "a measurement failed"
tr -d '\r' <"$console" | awk '
	$1 != "throughput:" { next }
	$2 == "none" { alone = $7; next }
	!title++ {
		printf "\n%-10s %-10s %-6s %11s %11s %8s\n", "memory", "in maps of",
			"IOAS", "one, MiB/s", "two, MiB/s", "two/one"
	}
	{
		size = $3 < 1024 ? $3 " KiB" : $3 / 1024 " MiB"
		printf "%-10s %-10s %-6s %11s %11s %8s\n", $2, size, $4, $5, $6, $7
	}
	END {
		printf "\nTwo CPUs of this machine do %s times what one does.\n", alone
		exit !title
	}'
