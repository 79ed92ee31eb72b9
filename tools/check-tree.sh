#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Install into a Linux 6.12 tree and compile there: the subsystem, the rest of
# drivers/iommu, whose drivers include our headers, and VFIO.
#
#   tools/check-tree.sh [NAME...]	default: all of cases below
#
# A case is a compiler, an architecture and choices for the options. All
# combinations would be 64; these cover each pair of choices, and the pairs
# with the compiler and the architecture.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

# Name, compiler, architecture, then IOMMUFD and, with y or n, its options
# TEST, VFIO_CONTAINER and DEBUG. The first case of a compiler and an
# architecture is the slow one, as the others reuse its build directory.
cases() {
	cat <<-'END'
	gcc-x86-module		gcc	x86_64	m	n	n	n
	gcc-x86-builtin-all	gcc	x86_64	y	y	y	y
	gcc-x86-none		gcc	x86_64	n	n	n	n
	clang-x86-builtin	clang	x86_64	y	n	y	n
	clang-x86-module-test	clang	x86_64	m	y	n	y
	gcc-arm64-builtin	gcc	arm64	y	y	n	n
	gcc-arm64-module-debug	gcc	arm64	m	n	y	y
	clang-arm64-module-all	clang	arm64	m	y	y	n
	clang-arm64-builtin	clang	arm64	y	n	n	y
	END
}

work=$IOMMUFD_BUILD/tree
tree=$work/linux

# A tree of our own beside the shared source, made of hard links where the file
# system allows it: tools/tree.sh replaces files and never writes into them.
make_tree() {
	local source

	source=$("$IOMMUFD_ROOT/tools/source.sh")
	if [ "$(cat "$work/.source" 2>/dev/null)" != "$source" ]; then
		rm -rf "$work"
		mkdir -p "$work"
		cp -al "$source" "$tree" 2>/dev/null || {
			rm -rf "$tree"
			cp -a "$source" "$tree"
		}
		echo "$source" >"$work/.source"
	fi
	"$IOMMUFD_ROOT/tools/tree.sh" "$tree"
}

yes_or_no() {
	case $2 in
	n)	echo "# CONFIG_$1 is not set" ;;
	*)	echo "CONFIG_$1=$2" ;;
	esac
}

# On top of tinyconfig. IOMMUFD_DRIVER without IOMMUFD comes from a VFIO
# driver that tracks dirty pages by itself.
fragment() {
	local arch=$1 iommufd=$2 test=$3 container=$4 debug=$5 option

	for option in SMP MODULES PCI PCI_MSI MMU EVENTFD DEBUG_KERNEL \
		      RUNTIME_TESTING_MENU FAULT_INJECTION IOMMU_SUPPORT \
		      VFIO_GROUP WERROR NET NETDEVICES ETHERNET; do
		yes_or_no $option y
	done
	yes_or_no DEBUG_INFO_NONE y
	case $arch in
	x86_64)	printf 'CONFIG_%s=y\n' 64BIT ACPI DMI INTEL_IOMMU AMD_IOMMU \
			IRQ_REMAP ;;
	arm64)	printf 'CONFIG_%s=y\n' ARM_SMMU_V3 ;;
	esac
	yes_or_no IOMMUFD "$iommufd"
	if [ "$iommufd" = n ]; then
		yes_or_no VFIO m
		echo CONFIG_NET_VENDOR_PENSANDO=y
		echo CONFIG_PCI_IOV=y
		echo CONFIG_PDS_CORE=m
		echo CONFIG_PDS_VFIO_PCI=m
		echo CONFIG_IOMMUFD_DRIVER=y
	else
		yes_or_no VFIO "$iommufd"
		yes_or_no VFIO_DEVICE_CDEV y
		# Whoever provides the container node, the other one does not.
		case $container in
		y)	yes_or_no VFIO_CONTAINER n
			yes_or_no IOMMUFD_VFIO_CONTAINER y ;;
		n)	yes_or_no VFIO_CONTAINER y ;;
		esac
		yes_or_no IOMMUFD_TEST "$test"
		yes_or_no IOMMUFD_DEBUG "$debug"
		[ "$debug" = n ] || echo CONFIG_KUNIT=y
		[ "$debug" = n ] || echo CONFIG_IOMMUFD_KUNIT_TEST=y
	fi
	yes_or_no VFIO_PCI "$(if [ "$iommufd" = y ]; then echo y; else echo m; fi)"
}

# in_tree TARGET...: make in the tree, objects in a directory of their own
in_tree() {
	local args=(-C "$tree" O="$out" ARCH="$arch" -j"$IOMMUFD_JOBS" -s)

	case $cc in
	gcc)	args+=(CC="ccache ${cross}gcc" CROSS_COMPILE="$cross") ;;
	clang)	args+=(LLVM=1 CC="ccache clang") ;;
	esac
	make "${args[@]}" "$@"
}

# Kconfig drops silently what it cannot satisfy; that would be a case that does
# not check what its name says.
configured() {
	local line

	while read -r line; do
		case $line in
		*'is not set')
			! grep -qE "^${line:2:-11}=" "$out/.config" ||
				{ echo "wanted: $line"; return 1; } ;;
		*)	grep -qxF "$line" "$out/.config" ||
				{ echo "wanted: $line"; return 1; } ;;
		esac
	done <"$out/fragment"
}

compile() {
	mkdir -p "$out"
	fragment "$arch" "$iommufd" "$test" "$container" "$debug" >"$out/fragment"
	KCONFIG_ALLCONFIG=$out/fragment in_tree tinyconfig
	cat "$out/fragment" >>"$out/.config"
	in_tree olddefconfig
	configured
	in_tree prepare modules_prepare
	in_tree drivers/iommu/ drivers/vfio/
	# Our own code has no extra warnings, also where the most is compiled.
	[ "$debug" = n ] || in_tree W=1 KCFLAGS=-Werror drivers/iommu/iommufd/
	has_objects
	has_aliases
}

# Objects of what the case is about, or it has compiled something else.
has_objects() {
	local dir=$out/drivers/iommu/iommufd

	case $iommufd in
	n)	[ -e "$dir/iova_bitmap.o" ] && [ ! -e "$dir/main.o" ] ;;
	y)	[ -e "$dir/main.o" ] && [ -s "$dir/built-in.a" ] ;;
	m)	[ -e "$dir/main.o" ] && [ -e "$dir/iommufd.o" ] ;;
	esac || { echo "wanted: other objects in $dir"; return 1; }
}

# By these the module is loaded when somebody opens /dev/vfio/vfio.
has_aliases() {
	local main=$out/drivers/iommu/iommufd/main.o alias

	[ "$container" = y ] && [ "$iommufd" != n ] || return 0
	for alias in char-major-10-196 devname:vfio/vfio; do
		grep -aqF "alias=$alias" "$main" ||
			{ echo "wanted: the alias $alias in $main"; return 1; }
	done
}

run_case() {
	local log=$IOMMUFD_LOGS/tree-$name.log cross='' status

	out=$work/$cc-$arch
	[ "$arch" = x86_64 ] || cross=aarch64-linux-gnu-
	rm -rf "$out/drivers/iommu/iommufd"
	try compile >"$log"
	if [ "$status" -eq 0 ]; then
		echo "ok tree/$name"
	else
		grep -E 'error:|wanted:|\*\*\*|undefined' "$log" | head -n 5 >&2 || true
		echo "not ok tree/$name: does not compile, see $log"
	fi
}

"$IOMMUFD_ROOT/tools/packages.sh" kernel clang arm64
export CCACHE_DIR=$IOMMUFD_CACHE/ccache CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1
export CCACHE_MAXSIZE=2G
step "making a tree to install into" "10 s"
log_to tree-make make_tree
chosen=" $* "
while read -r -u 8 name cc arch iommufd test container debug; do
	[ $# -eq 0 ] || [[ $chosen == *" $name "* ]] || continue
	step "compiling $name" "20 to 60 s"
	run_case
done 8< <(cases)
