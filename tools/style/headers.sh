#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Every header compiles alone and twice: the kernel's with every switch of ours on
# and, if programs outside of ours may include them, with every one off; the
# uAPI's in C and C++, for 64 and 32 bits, with the layout it has to have.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/packages.sh" modules style
stock=$("$IOMMUFD_ROOT/tools/stock.sh")
eval "$stock"
: "${HEADERS:?}"

# Objects are kept, so that only what changed is compiled again.
work=$IOMMUFD_BUILD/kbuild/headers
[ "$STYLE_DIR" = "$IOMMUFD_ROOT" ] || work=$(mktemp -d)
log=$IOMMUFD_LOGS/style-headers-make.log
switches=(CONFIG_IOMMUFD_MODULE CONFIG_IOMMUFD_DRIVER CONFIG_IOMMUFD_DEBUG
	  CONFIG_IOMMUFD_TEST CONFIG_IOMMUFD_VFIO_CONTAINER)

kernel_headers() {
	sources ':(glob)*.h' 'include/linux/*.h' ':(glob)tests/*.h' \
		'tools/sample-vfio/*.h'
}

# What reads CONFIG_IOMMUFD... has to do without it as well.
headers_with_off_variant() {
	kernel_headers | while read -r header; do
		! grep -q 'CONFIG_IOMMUFD' "$STYLE_DIR/$header" || echo "$header"
	done
}

# stem_of HEADER VARIANT
stem_of() {
	echo "${1//[^[:alnum:]]/_}-$2"
}

# includer HEADER on|off: a C file that includes the header, and again.
includer() {
	case $2 in
	on)	printf '#define %s 1\n' "${switches[@]}" ;;
	off)	printf '#undef %s\n' "${switches[@]}" ;;
	esac
	printf '#include "%s"\n' "$STYLE_DIR/$1" "$STYLE_DIR/$1"
}

# make_includer HEADER on|off: make it a file, and print "HEADER STEM".
make_includer() {
	local stem

	stem=$(stem_of "$1" "$2")
	includer "$1" "$2" | update_file "$work/$stem.c"
	echo "$1 $stem"
}

make_includers() {
	local header

	kernel_headers | while read -r header; do
		make_includer "$header" on
	done
	headers_with_off_variant | while read -r header; do
		make_includer "$header" off
	done
}

# Our headers before the kernel's of the same name, see tools/modules.sh.
describe_build() {
	printf 'obj-m += %s.o\n' "$@"
	echo 'ccflags-y += -Werror'
	echo "NOSTDINC_FLAGS += -I$STYLE_DIR/include"
	echo 'export NOSTDINC_FLAGS'
}

# Goes on after a failure: what then has no object did not compile.
build() {
	make -k -O -C "$HEADERS" M="$work" -j"$IOMMUFD_JOBS" "${@/%/.o}"
}

first_complaint() {
	grep -A 40 -F "$1.c:" "$log" | grep -m 1 -oE '[^ ]*: (error|warning): .*' ||
		echo "see ${log#"$IOMMUFD_ROOT/"}"
}

# Without an object there is a complaint; a failure without one is not about
# headers.
collect_kernel() {
	local header stem stems status

	mkdir -p "$work"
	make_includers >"$work/list"
	mapfile -t stems < <(cut -d ' ' -f 2 "$work/list")
	[ "${#stems[@]}" -gt 0 ] || return 0
	describe_build "${stems[@]}" | update_file "$work/Kbuild"
	try build "${stems[@]}" >"$log"
	while read -r header stem; do
		[ ! -e "$work/$stem.o" ] || continue
		echo "$header: does not compile alone (${stem##*-}):" \
		     "$(first_complaint "$stem")"
		status=0
	done <"$work/list"
	return "$status"
}

# compile_user FILE COMMAND...: complaints of a compiler of programs.
compile_user() {
	local file=$1 output

	shift
	output=$("$@" -fsyntax-only -I"$STYLE_DIR/include/uapi" 2>&1) && return
	grep -E ': (fatal )?(error|warning): ' <<<"$output" ||
		echo "$file: does not compile with $*"
}

# The libc's directory for another architecture has what 32 bits need, too.
in_32_bits=(-m32 -isystem "/usr/include/$(gcc -print-multiarch)")

# The first compiler's flags are those of the kernel's own check.
collect_uapi() {
	local header

	sources 'include/uapi/*.h' | while read -r header; do
		header=$STYLE_DIR/$header
		compile_user "$header" gcc -std=c90 -Wall -Werror -x c "$header"
		compile_user "$header" gcc -std=c11 -Wall -Wextra -Wpedantic \
			-Werror -x c "$header"
		compile_user "$header" gcc "${in_32_bits[@]}" -Wall -Wextra \
			-Werror -x c "$header"
		compile_user "$header" g++ -Wall -Wextra -Werror -x c++ "$header"
	done
}

collect_layout() {
	sources tests/uapi_layout.c | while read -r file; do
		file=$STYLE_DIR/$file
		compile_user "$file" gcc -Wall -Wextra -Werror "$file"
		compile_user "$file" gcc "${in_32_bits[@]}" -Wall -Wextra \
			-Werror "$file"
	done
}

check headers collect_kernel
check uapi-headers collect_uapi
check uapi-layout collect_layout
[ "$STYLE_DIR" = "$IOMMUFD_ROOT" ] || rm -rf "$work"
