#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# checkpatch --strict has nothing to say about any C file, Kconfig and Kbuild.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

checkpatch=$("$IOMMUFD_ROOT/tools/source.sh")/scripts/checkpatch.pl

# Nowhere:
# MACRO_ARG_REUSE  iterator macros name their cursor more than once, as all of
#                  the kernel's do
# MINMAX           asks for min_t() when one side is of a narrower type, which
#                  min() compares just as well, and checks better
ignores=MACRO_ARG_REUSE,MINMAX

# In KUnit tests:
# YIELD, MSLEEP    a test gives another task its chance, or a while
test_ignores=$ignores,YIELD,MSLEEP

# In headers for user space there is no BIT().
uapi_ignores=$ignores,BIT_MACRO

# In programs, which have the C library and not the kernel's headers:
# PREFER_KERNEL_TYPES  u32 is uint32_t there
# PREFER_DEFINED_ATTRIBUTE_MACRO, BIT_MACRO, ARRAY_SIZE
#                      __printf(), BIT() and ARRAY_SIZE() are not there
# VOLATILE             nor READ_ONCE(), for memory that a device writes
# CAMELCASE            the C library's names: PRIu64, _Static_assert
# EMBEDDED_FUNCTION_NAME
#                      for messages of functions; ours name files
# NAKED_SSCANF, STRCPY, MSLEEP, YIELD
#                      advice about the kernel's functions of these names
user_ignores=$ignores,PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO
user_ignores+=,BIT_MACRO,ARRAY_SIZE,VOLATILE,CAMELCASE
user_ignores+=,EMBEDDED_FUNCTION_NAME,NAKED_SSCANF,STRCPY,MSLEEP,YIELD

# In kselftests it takes the pointer in "FIXTURE_DATA(x) *self" for a product.
selftest_ignores=$user_ignores,SPACING

# It leaves a cache where it runs, and its status counts complaints.
run_checkpatch() {
	sed "s,^,$STYLE_DIR/," |
		xargs -r -P "$IOMMUFD_JOBS" -n 8 perl "$checkpatch" --strict \
			--no-tree --terse --show-types --no-summary \
			--root=. --ignore "$1" -f || [ $? -eq 123 ] ||
		echo "checkpatch.pl: was stopped before it saw all files"
}

# A macro of declarations, which checkpatch takes for statements.
is_no_exception() {
	grep -v '/tests/uapi_layout.c:.* ERROR:MULTISTATEMENT_MACRO' ||
		[ $? -eq 1 ]
}

collect() {
	local scratch

	scratch=$(mktemp -d)
	cd "$scratch"
	mkdir include # where it looks for names in CamelCase
	{
		{ kernel_sources | grep -vE '^(tests|include/uapi)/'
		  sources Kconfig Kbuild 'tools/sample-vfio/Kbuild'; } | run_checkpatch "$ignores"
		kernel_sources | grep '^tests/' | run_checkpatch "$test_ignores"
		kernel_sources | grep '^include/uapi/' |
			run_checkpatch "$uapi_ignores"
		user_sources | grep -v '^tests/selftests/' |
			run_checkpatch "$user_ignores"
		user_sources | grep '^tests/selftests/' |
			run_checkpatch "$selftest_ignores"
	} | is_no_exception
	cd /
	rm -r "$scratch"
}

check checkpatch collect
