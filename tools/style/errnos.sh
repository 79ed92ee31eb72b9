#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Each errno of each ioctl has a test or a reason, and Documentation/errnos.rst says
# which, see tools/errnos.py.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

collect() {
	cd "$STYLE_DIR"
	python3 "$IOMMUFD_ROOT/tools/errnos.py" --check
}

check errnos collect
