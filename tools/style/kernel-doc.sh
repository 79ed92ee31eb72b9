#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# kernel-doc has nothing to say, and comments follow the rules of kdoc-rules.py.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

kernel_doc=$("$IOMMUFD_ROOT/tools/source.sh")/scripts/kernel-doc

collect_warnings() {
	cd "$STYLE_DIR"
	kernel_sources | xargs -r perl "$kernel_doc" -none -Wall 2>&1 ||
		[ $? -eq 123 ]
}

collect_rules() {
	cd "$STYLE_DIR"
	kernel_sources | grep -v '^tests/' |
		xargs -r python3 "$IOMMUFD_ROOT/tools/style/kdoc-rules.py"
}

check kernel-doc collect_warnings
check kernel-doc-rules collect_rules
