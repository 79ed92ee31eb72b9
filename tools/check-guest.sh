#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run the test programs of tests/guest on Debian's stock kernel with our
# modules, assertions compiled in, and pass on the lines they print.
#
#   tools/check-guest.sh [PROGRAM[,PROGRAM...] [TEST[,TEST...]]]
#
# The first guest has interrupt remapping, the second, for t_unsafe alone, has
# not. IOMMUFD_DEBUG=n takes the modules without assertions.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

programs=${1:-t_ioctl,t_map,t_populate,t_attach,t_hwpt,t_type1,t_device,t_emulated,t_limit,t_nomem,t_park,t_kill,t_unplug,t_unsafe}
only=${2:-}
export IOMMUFD_DEBUG=${IOMMUFD_DEBUG:-y}

eval "$("$IOMMUFD_ROOT/tools/stock.sh")"
: "${KVER:?}" "${IMAGE:?}"
variant=$KVER
[ "$IOMMUFD_DEBUG" != y ] || variant=$KVER-debug
"$IOMMUFD_ROOT/tools/modules.sh" "$KVER"
step "building the test programs" "10 s"
built=$("$IOMMUFD_ROOT/tools/guest-programs.sh")
demo=$("$IOMMUFD_ROOT/tools/demo/build.sh")
disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
sha256=$(sha256sum <"$disk" | cut -d ' ' -f 1)
initrd=$IOMMUFD_BUILD/check-guest.cpio.gz

assemble() {
	local program files

	mapfile -t files < <("$IOMMUFD_ROOT/tools/demo/guest-files.sh" "$variant")
	for program in "$built"/t_*; do
		[[ $program == *.o ]] ||
			files+=("tests/$(basename "$program")=$program")
	done
	"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
		init="$IOMMUFD_ROOT/tests/guest/init.sh" \
		bin/nvme_demo="$demo" "${files[@]}"
}

# boot NAME INTREMAP PROGRAMS
boot() {
	local machine

	mapfile -t machine < <("$IOMMUFD_ROOT/tools/demo/machine.sh" "$disk" "$2")
	"$IOMMUFD_ROOT/tools/guest.sh" --name "$1" --time 900 \
		--kernel "$IMAGE" --initrd "$initrd" \
		--append "quiet intel_iommu=on demo_sha256=$sha256 guest_tests=$3 guest_only=$only" \
		--close '^guest: done' --show '^(ok|not ok|skip) ' \
		-- "${machine[@]}"
	! grep -aq '^not ok ' "$IOMMUFD_LOGS/$1.console" || status=1
}

status=0
assemble
first=$(tr ',' '\n' <<<"$programs" | grep -v '^t_unsafe$' | paste -sd, || true)
if [ -n "$first" ]; then
	step "running the test programs in a guest" "3 min"
	boot check-guest on "$first"
fi
if [[ ,$programs, == *,t_unsafe,* ]]; then
	step "running them without interrupt remapping" "10 s"
	boot check-guest-unsafe off t_unsafe
fi
exit "$status"
