#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print, one per line, what every guest with VFIO needs in its initramfs, as
# DEST=SRC for tools/initramfs.sh: our modules with the order to load them in,
# and guest-setup.sh.
#
#   tools/demo/guest-files.sh VARIANT	as tools/modules.sh calls it

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/../lib.sh"

echo "lib/iommufd=$IOMMUFD_BUILD/modules/$1"
echo "lib/guest-setup.sh=$IOMMUFD_ROOT/tools/demo/guest-setup.sh"
