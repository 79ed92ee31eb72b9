#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# `make demo`: from a checkout to a device doing DMA through /dev/iommu, with
# the time it took.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

started=$SECONDS
"$IOMMUFD_ROOT/tools/demo/run.sh"
note "make demo took $((SECONDS - started)) s; the console of the guest is $IOMMUFD_LOGS/demo.console"
