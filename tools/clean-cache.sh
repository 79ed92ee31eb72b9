#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Remove what the scripts here keep outside the checkout.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

rm -rf "$IOMMUFD_CACHE"
note "removed $IOMMUFD_CACHE"
