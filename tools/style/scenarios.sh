#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The tests' tags and the list of scenarios fit, see tools/scenarios.py.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

collect() {
	cd "$STYLE_DIR"
	python3 "$IOMMUFD_ROOT/tools/scenarios.py" --check
}

check scenarios collect
