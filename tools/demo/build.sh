#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Compile the demo, static so that it runs in a bare guest, and print its path.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/../lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" programs
uapi=$("$IOMMUFD_ROOT/tools/uapi.sh")
out=$IOMMUFD_BUILD/programs/nvme_demo
mkdir -p "$(dirname "$out")"
log_to build-demo gcc -O2 -g -Wall -Wextra -Werror -static -pthread -D_GNU_SOURCE \
	-isystem "$IOMMUFD_ROOT/include/uapi" -isystem "$uapi" \
	-o "$out" "$IOMMUFD_ROOT"/tools/demo/*.c
echo "$out"
