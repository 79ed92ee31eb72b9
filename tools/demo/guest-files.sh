#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print, one per line, what every guest with VFIO needs in its initramfs, as
# DEST=SRC for tools/initramfs.sh: our modules, the one of the stock kernel
# that they need, and guest-setup.sh.
#
#   tools/demo/guest-files.sh KVER MODDIR

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/../lib.sh"

ours=$IOMMUFD_BUILD/modules/$1
stock=$2

# insmod wants them plain; Debian has changed more than once how it packs them.
unpack_irqbypass() {
	local packed=$stock/kernel/virt/lib/irqbypass.ko

	if [ -e "$packed" ]; then
		cat "$packed"
	else
		xz -dc "$packed.xz"
	fi
}

unpack_irqbypass | update_file "$IOMMUFD_BUILD/stock/irqbypass.ko"
echo "lib/guest-setup.sh=$IOMMUFD_ROOT/tools/demo/guest-setup.sh"
echo "lib/iommufd/irqbypass.ko=$IOMMUFD_BUILD/stock/irqbypass.ko"
for module in iommufd vfio vfio-pci-core vfio-pci; do
	echo "lib/iommufd/$module.ko=$ours/$module.ko"
done
