#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Every source says its licence, mentions no place of one machine, and what has
# an interpreter can be run and read by it.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

# Prose and the licence itself say it otherwise, and figures are made by a source.
collect_unlicensed() {
	local file

	sources | grep -vE '(^|/)(COPYING|\.gitignore|.*\.(md|rst|csv|svg))$' |
		while read -r file; do
			head -n 2 "$STYLE_DIR/$file" |
				grep -q 'SPDX-License-Identifier: GPL-2.0' ||
				echo "$file:1: no SPDX-License-Identifier"
		done
}

# Directories of whoever wrote it, and hosts that packages come from. The
# pattern has brackets lest this file should match itself.
places='/tm[p]/w/|(^|[^[:alnum:]_./])/wor[k]/|/hom[e]/[a-z]'
places+='|(deb|security)[.]debian[.]or[g]|registry[.]npmj[s]|proxy[.]golan[g]'

collect_places() {
	local file

	sources | while read -r file; do
		grep -nHIE "$places" "$STYLE_DIR/$file" || [ $? -eq 1 ]
	done
}

# Executable exactly if it names its interpreter; what is sourced does not.
collect_unusable() {
	local file interpreter

	sources | while read -r file; do
		interpreter=$(head -n 1 "$STYLE_DIR/$file" | tr -d '\0' |
			sed -n 's/^#!//p')
		if [ -n "$interpreter" ] && [ ! -x "$STYLE_DIR/$file" ]; then
			echo "$file:1: has an interpreter, but is not executable"
		elif [ -z "$interpreter" ] && [ -x "$STYLE_DIR/$file" ]; then
			echo "$file:1: is executable, but has no interpreter"
		fi
	done
}

collect_unreadable() {
	local file

	cd "$STYLE_DIR"
	sources '*.sh' .ci/run | while read -r file; do
		bash -n "$file" 2>&1 || true
	done
	sources '*.py' | while read -r file; do
		python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' \
			"$file" 2>/dev/null || echo "$file: is not Python"
	done
}

check spdx collect_unlicensed
check places collect_places
check executable collect_unusable
check syntax collect_unreadable
