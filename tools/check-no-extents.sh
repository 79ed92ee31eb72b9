#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run the tests of the core once more with extents switched off: each PFN is
# then read back from a page table, as happens with scattered memory.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

status=0
"$IOMMUFD_ROOT/tools/check-kunit.sh" --no-extents || status=1
"$IOMMUFD_ROOT/tools/check-kselftest.sh" no-extents || status=1
exit "$status"
