#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Each check of tools/style can fail: a bad sample is put before it, and it has
# to say what is wrong with it.

# shellcheck source=tools/style/lib.sh
source "$(dirname "$0")/lib.sh"

sample=
trap '[ -z "$sample" ] || rm -rf "$sample"' EXIT

# A repository with nothing in it.
new_sample() {
	[ -z "$sample" ] || rm -rf "$sample"
	sample=$(mktemp -d)
	git -C "$sample" init -q
	mkdir -p "$sample"/{tests,include/linux,include/uapi/linux}
	mkdir -p "$sample/tools/sample-vfio"
}

# file NAME [LICENCE]: the standard input, below a licence, becomes a file.
file() {
	local licence='SPDX-License-Identifier: GPL-2.0-only'

	{
		case ${2:-$1} in
		*.c)	echo "// $licence" ;;
		*.h)	echo "/* $licence */" ;;
		*.sh)	printf '#!/bin/bash\n# %s\n' "$licence" ;;
		none)	;;
		*)	echo "# $licence" ;;
		esac
		cat
	} >"$sample/$1"
	[ "${1##*.}" != sh ] || chmod +x "$sample/$1"
}

# says CHECK REGEX...: CHECK fails the sample, with each of these complaints.
says() {
	local name=$1 output expected

	shift
	output=$("$IOMMUFD_ROOT/tools/style/$name.sh" "$sample" 2>/dev/null) || true
	for expected; do
		if grep -qE "^not ok style/.*$expected" <<<"$output"; then
			echo "ok style/self-test/$name: $expected"
		else
			echo "not ok style/self-test/$name: does not say '$expected'"
		fi
	done
}

# is_content CHECK: CHECK has nothing against the sample.
is_content() {
	local output

	output=$("$IOMMUFD_ROOT/tools/style/$1.sh" "$sample" 2>/dev/null) || true
	if [ "$output" = "ok style/$1" ]; then
		echo "ok style/self-test/$1: is content"
	else
		echo "not ok style/self-test/$1: $output"
	fi
}

test_text() {
	new_sample
	echo 'int x;' | file unlicensed.c none
	printf '// from %swt\n' /tm''p/w/ | file place.c
	printf 'if then\n' | file syntax.sh
	printf 'def (:\n' | file syntax.py
	printf 'true\n' | file mode.sh
	chmod -x "$sample/mode.sh"
	printf 'int y;\n' | file run.c
	chmod +x "$sample/run.c"
	says text spdx/unlicensed.c places/place.c syntax/syntax.sh \
		syntax/syntax.py executable/mode.sh executable/run.c
}

test_shellcheck() {
	new_sample
	# shellcheck disable=SC2016 # what is wrong here is the sample
	printf 'cd /x\nrm $1\n' | file unquoted.sh
	says shellcheck 'unquoted.sh.*SC'
}

test_checkpatch() {
	new_sample
	printf 'int f(void)\n{\n    return 0 ;\n}\n' | file spaces.c
	printf 'int f(void)\n{\n    return 0 ;\n}\n' | file tests/spaces_kunit.c
	printf 'int f(void)\n{\n    return 0 ;\n}\n' | file tests/program.c
	printf '#define A (1<<2)\n' | file include/uapi/linux/space.h
	printf 'config X\n\tbool "x"\n\tdepends on Y  \n' | file Kconfig
	says checkpatch checkpatch/spaces.c checkpatch/tests/spaces_kunit.c \
		checkpatch/tests/program.c \
		checkpatch/include/uapi/linux/space.h checkpatch/Kconfig
}

test_kernel_doc() {
	new_sample
	file parameter.c <<-'END'
		/**
		 * f - do it
		 * @b: is called a
		 *
		 * Context: Any.
		 * Return: 0.
		 */
		int f(int a)
		{
			return a;
		}
	END
	file sections.c <<-'END'
		/**
		 * g - do it
		 * @a: a number
		 */
		int g(int a)
		{
			return a;
		}
	END
	printf 'int h(void)\n{\n\treturn 0;\n}\n' | file missing.c
	says kernel-doc kernel-doc/parameter.c kernel-doc-rules/sections.c \
		kernel-doc-rules/missing.c
}

test_layers() {
	new_sample
	file Kbuild <<-'END'
		# L0: low
		iommufd-y := low.o
		# L2: middle
		iommufd-y += middle.o
	END
	printf '#include "middle.h"\n' | file low.c
	printf '#include <uapi/linux/iommufd.h>\n' | file middle.c
	printf 'void f(void);\n' | file middle.h
	printf 'void g(struct x *x)\n{\n\tiommu_unmap(x, 0, 0);\n}\n' >>"$sample/middle.c"
	printf 'int z;\n' | file stranger.c
	says layers 'layers/low.c.*middle.h of L2' 'layers/middle.c: 2,.*uAPI' \
		'layers/stranger.c.*in no layer'
}

test_scenarios() {
	new_sample
	mkdir "$sample/Documentation"
	cat >"$sample/Documentation/scenarios.rst" <<-'END'
		1. One with a test that does not run
		2. One with a test, and yet
		   -- not yet: a test
		3. One with neither
	END
	file tests/tagged_kunit.c <<-'END'
		/* Scenario 1. */
		static void never_runs(struct kunit *test) { }
		/* Scenarios 2 and 9. */
		static void runs(struct kunit *test) { }
		static struct kunit_case cases[] = { KUNIT_CASE(runs), { } };
	END
	says scenarios 'tagged_kunit.c: 2.*:2: "Scenario 1" is above no test' \
		'scenarios.rst: 3.*scenario 1:'
	# Only the first complaint of a file is printed: the others, one by one.
	sed -i 's/^1\..*/& -- not yet: it runs/' "$sample/Documentation/scenarios.rst"
	sed -i '/never_runs/d; /Scenario 1\./d' "$sample/tests/tagged_kunit.c"
	says scenarios 'scenario 9 is not listed' 'scenario 2: .* there are 1'
}

# Two ioctls, of which one is not said to have any errno but those of all.
errno_sources() {
	cat >"$sample/include/uapi/linux/iommufd.h" <<-'END'
		enum {
			IOMMUFD_CMD_SWIM	= 0x80,
			IOMMUFD_CMD_FLY	= 0x81,
		};
		#define IOMMU_SWIM	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_SWIM)
		#define IOMMU_FLY	_IO(IOMMUFD_TYPE, IOMMUFD_CMD_FLY)
		/**
		 * struct iommu_swim - EPERM in winter
		 */
		/**
		 * struct iommu_fly - IOMMU_FLY
		 */
	END
	cat >"$sample/main.c" <<-'END'
		IOCTL(SWIM, struct iommu_swim, water, .handle = swim),
		IOCTL(FLY, struct iommu_fly, air, .handle = fly),
		/**
		 * fly - handler of IOMMU_FLY
		 * Return: 0 or as land().
		 */
		int fly(void)
		/* Return: 0; -EBUSY. */
		int land(void)
	END
}

# Expectations that prove something, and others that only look like it.
errno_tests() {
	cat >"$sample/tests/selftests/calls.h" <<-'END'
		int command(int fd, unsigned long word, void *arg)
		{
			return ioctl(fd, word, arg) ? -errno : 0;
		}
		int fly(int fd)
		{
			int rc = command(fd, IOMMU_FLY, NULL);

			return rc;
		}
		int either(int fd)
		{
			return fly(fd) ?: command(fd, IOMMU_SWIM, NULL);
		}
	END
	cat >"$sample/tests/selftests/water.c" <<-'END'
		static const struct row { unsigned long word; int want; } rows[] = {
			{ IOMMU_SWIM, -E2BIG }, { IOMMU_FLY, -EINVAL },
		};
		TEST_F(water, rows)
		{
			for (i = 0; i < 2; i++)
				EXPECT_EQ(rows[i].want, command(1, rows[i].word, NULL));
			EXPECT_EQ(-EFAULT, command(1, rows[0].word, NULL));
		}
		TEST_F(water, fly)
		{
			int rc = fly(1);

			EXPECT_EQ(-EBUSY, rc);
			rc = either(1);
			EXPECT_EQ(-E2BIG, rc);
		}
		/* Errno IOMMU_SWIM EFAULT. */
		TEST_F(water, tagged)
		{
			EXPECT_EQ(-EFAULT, in_a_child());
		}
	END
}

test_errnos() {
	new_sample
	mkdir "$sample/Documentation" "$sample/tests/selftests"
	errno_sources
	errno_tests
	says errnos 'errnos.rst: is stale' \
		'tests/errnos: 4, the first is .* IOMMU_FLY E2BIG'
	cat >"$sample/tests/errnos" <<-'END'
		*		EFAULT	nobody writes there
		IOMMU_FLY	E2BIG	it is small
		IOMMU_SWIM	EINVAL	everything swims
		IOMMU_SWIM	E2BIG	it is long
	END
	sed -i 's/-EFAULT, in_a/-EPERM, in_a/' "$sample/tests/selftests/water.c"
	says errnos 'water.c.*water.tagged has no EFAULT' \
		'tests/errnos: 2, .*errnos:4: IOMMU_SWIM E2BIG is not missing'
	# The table is what is needed last.
	sed -i '$d' "$sample/tests/errnos"
	sed -i 's/SWIM EFAULT/SWIM EPERM/' "$sample/tests/selftests/water.c"
	(cd "$sample" && "$IOMMUFD_ROOT/tools/errnos.py" --write)
	is_content errnos
}

test_headers() {
	new_sample
	printf 'static inline u32 f(struct unknown *p)\n{\n\treturn p->x;\n}\n' |
		file alone.h
	printf 'struct s {\n\t__u32 x;\n};\n' | file include/uapi/linux/alone.h
	printf '_Static_assert(sizeof(int) == 3, "x");\n' |
		file tests/uapi_layout.c
	says headers headers/alone.h uapi-headers/include/uapi/linux/alone.h \
		uapi-layout/tests/uapi_layout.c
}

test_compile() {
	new_sample
	file endian.c <<-'END'
		#include <linux/types.h>
		extern __le32 little;
		u32 read_little(void);
		u32 read_little(void)
		{
			return little;
		}
	END
	printf 'int undeclared(void)\n{\n\treturn 0;\n}\n' | file undeclared.c
	printf 'int x(void)\n{\n}\n' | file tools/sample-vfio/x.c
	says compile 'compile/endian.c.*incorrect type in return' \
		'compile/undeclared.c.*no previous prototype' \
		compile/tools/sample-vfio/x.c
}

test_text
test_shellcheck
test_checkpatch
test_kernel_doc
test_layers
test_scenarios
test_errnos
test_headers
test_compile
