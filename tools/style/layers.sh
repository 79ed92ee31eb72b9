#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The files at the root keep to their layers, see layers.py.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

collect() {
	cd "$STYLE_DIR"
	python3 "$IOMMUFD_ROOT/tools/style/layers.py"
}

check layers collect
