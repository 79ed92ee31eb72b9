#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Everything that can be said about the sources without running them.
#
#   tools/check-style.sh [NAME...]	default: all checks of tools/style, and
#					the test that each of them can fail
#
# A check prints "ok style/NAME", or "not ok style/NAME/FILE: why" for each file
# that it complains about.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# Name and usual time, quick ones first.
checks() {
	cat <<-'END'
	text		2 s
	layers		1 s
	scenarios	1 s
	errnos		1 s
	kernel-doc	2 s
	shellcheck	5 s
	checkpatch	30 s
	headers		30 s, later 5 s
	compile		50 s, later 5 s
	self-test	20 s
	END
}

"$IOMMUFD_ROOT/tools/packages.sh" style
for name; do
	checks | cut -f 1 | grep -xF -e "$name" >/dev/null || die "there is no check '$name'"
done
chosen=" $* "
while read -r -u 8 name usual; do
	[ $# -eq 0 ] || [[ $chosen == *" $name "* ]] || continue
	step "checking style: $name" "$usual"
	"$IOMMUFD_ROOT/tools/style/$name.sh" ||
		echo "not ok style/$name: could not be checked"
done 8< <(checks)
