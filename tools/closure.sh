#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print what dynamically linked programs need to run, themselves included, one
# per line as DEST=SRC for tools/initramfs.sh: each at the place where it is here.
#
#   tools/closure.sh FILE...     programs, or libraries that they dlopen

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# "libz.so.1 => /lib/libz.so.1 (0x...)" and "/lib64/ld-linux.so.2 (0x...)"
libraries_of() {
	local out

	out=$(ldd "$1") || die "ldd cannot tell what $1 needs"
	! grep -q 'not found' <<<"$out" ||
		die "a library that $1 needs is not installed"
	sed -nE 's|^[[:space:]]*([^ ]+ => )?(/[^ ]+) \(0x.*|\2|p' <<<"$out"
}

for file; do
	[ -r "$file" ] || die "there is no $file"
	echo "$file"
	libraries_of "$file"
done | sort -u | sed -E 's|^/(.*)|\1=/\1|'
