#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make demo`: boot Debian's stock kernel with our modules and let a user-space
# NVMe driver read a disk through /dev/iommu.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/../lib.sh"

demo=$IOMMUFD_ROOT/tools/demo
stock=$("$IOMMUFD_ROOT/tools/stock.sh")
eval "$stock"
: "${KVER:?}" "${IMAGE:?}"
"$IOMMUFD_ROOT/tools/modules.sh" "$KVER"
step "building the demo" "2 s"
program=$("$demo/build.sh")
disk=$("$demo/disk.sh")
sha256=$(sha256sum <"$disk" | cut -d ' ' -f 1)
mapfile -t files < <("$demo/guest-files.sh" "$KVER")
mapfile -t machine < <("$demo/machine.sh" "$disk")
initrd=$IOMMUFD_BUILD/demo.cpio.gz
"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" \
	init="$demo/init.sh" bin/nvme_demo="$program" "${files[@]}"
step "booting $KVER and reading a disk" "10 s"
"$IOMMUFD_ROOT/tools/guest.sh" --name demo --time 120 \
	--kernel "$IMAGE" --initrd "$initrd" \
	--append "quiet intel_iommu=on demo_sha256=$sha256" \
	--close '^demo: ok' --show '^(  |nvme_demo|demo:)' -- "${machine[@]}"
