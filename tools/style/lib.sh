# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the checks in tools/style, each of which is called as
#
#   tools/style/NAME.sh [DIR]
#
# and checks the sources in DIR, by default this checkout. A check collects
# complaints, "FILE:LINE: text" or "FILE: text", one a line, and leaves the
# verdict to say_verdict.

# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

STYLE_DIR=$(cd "${1:-$IOMMUFD_ROOT}" && pwd)

# What is said about samples must not replace what is said about the sources.
if [ "$STYLE_DIR" != "$IOMMUFD_ROOT" ]; then
	IOMMUFD_LOGS+=/samples
	mkdir -p "$IOMMUFD_LOGS"
fi

# sources PATTERN...: the files that are, or could be, in the repository.
sources() {
	(cd "$STYLE_DIR" && git ls-files --cached --others --exclude-standard \
		--deduplicate -- "$@" | while read -r file; do
		[ ! -f "$file" ] || echo "$file"
	done)
}

# The C files that become part of the kernel or of the sample module, and those
# that do not.
kernel_sources() {
	sources ':(glob)*.[ch]' 'include/*.h' ':(glob)tests/*_kunit.c' \
		':(glob)tests/*.h' 'tools/sample-vfio/*.[ch]'
}

user_sources() {
	comm -23 <(sources '*.[ch]' | sort) <(kernel_sources | sort)
}

# say_verdict NAME COMPLAINTS: "ok style/NAME" if the file COMPLAINTS is empty,
# otherwise "not ok style/NAME/FILE: why" for each file that it names.
say_verdict() {
	if [ ! -s "$2" ]; then
		echo "ok style/$1"
		return
	fi
	sed "s,$STYLE_DIR/,," "$2" | awk -F: -v name="$1" '
		!($1 in count) { order[++files] = $1; first[$1] = $0 }
		{ count[$1]++ }
		END {
			for (i = 1; i <= files; i++)
				printf "not ok style/%s/%s: %d, the first is %s\n",
				       name, order[i], count[order[i]],
				       first[order[i]]
		}'
	note "all complaints: ${2#"$IOMMUFD_ROOT/"}"
}

# check NAME COLLECT: have the function COLLECT print the complaints. It fails
# only if it could not look.
check() {
	local complaints=$IOMMUFD_LOGS/style-$1.txt

	"$2" >"$complaints" || die "the check '$1' could not be made"
	say_verdict "$1" "$complaints"
}
