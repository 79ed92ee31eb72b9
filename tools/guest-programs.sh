#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Compile the test programs of tests/guest and print where they are.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" programs
uapi=$("$IOMMUFD_ROOT/tools/uapi.sh")
out=$IOMMUFD_BUILD/guest-programs
log_to guest-programs make -C "$IOMMUFD_ROOT/tests/guest" \
	-j"$IOMMUFD_JOBS" OUT="$out" UAPI="$uapi"
echo "$out"
