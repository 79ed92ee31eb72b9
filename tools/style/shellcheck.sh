#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# No script has anything for shellcheck to complain about.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

# SC1091  guests source a file that is only in the guest
# SC2154  and have what is on the kernel's command line as variables
ignores=SC1091,SC2154

collect() {
	cd "$STYLE_DIR"
	sources '*.sh' .ci/run |
		xargs -r shellcheck --external-sources --format=gcc \
			--exclude="$ignores" || [ $? -eq 123 ]
}

check shellcheck collect
