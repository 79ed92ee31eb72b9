#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Run programs that know VFIO's type1 only, as Debian ships them, on Debian's
# stock kernel with our modules and a /dev/vfio/vfio that leads to /dev/iommu:
#
#   testpmd_v1_small	DPDK's packet forwarder
#   testpmd_v1_large	the same with the parameter type1_v1_large_pages
#   qemu		QEMU, which assigns a disk to a guest within the guest
#
#   tools/check-clients.sh [CLIENT...]	default: these
#
# and for comparison testpmd_vfio, that is testpmd on VFIO's own type1 driver.
# What the emulated IOMMU had to look up says which leaves there were.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- testpmd_v1_small testpmd_v1_large qemu
drivers=/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0
clients=$IOMMUFD_ROOT/tests/clients
out=$IOMMUFD_BUILD/clients
status=0
mkdir -p "$out"

# assemble CLIENT DEST=SRC...: an initramfs with what every client needs.
assemble() {
	local initrd=$out/$1.cpio.gz files

	shift
	mapfile -t files < <("$IOMMUFD_ROOT/tools/demo/guest-files.sh" "$KVER-debug")
	"$IOMMUFD_ROOT/tools/initramfs.sh" "$initrd" init="$clients/init.sh" \
		clients="$clients" "${files[@]}" "$@"
}

# Count the lookups that missed the IOTLB, by the size of the leaf they found:
# bit 7 of the last entry says that it ends above the lowest level.
count_leaves() {
	awk '$2 == "IOTLB" {
		for (i = 1; i < NF; i++)
			if ($i == "slpte")
				entry = $(i + 1)
		if (substr(entry, length(entry) - 1, 1) ~ /[89a-f]/)
			large++
		else
			small++
	}
	END { print small + 0, large + 0 }'
}

# boot CLIENT SCRIPT V1_LARGE GUEST-ARGS -- QEMU-ARGS...: sets $small and $large.
boot() {
	local name=$1 script=$2 v1_large=$3 args=() reader

	shift 3
	while [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	exec 7> >(count_leaves >"$out/$name.leaves")
	reader=$!
	"$IOMMUFD_ROOT/tools/guest.sh" --name "check-clients-$name" \
		--kernel "$IMAGE" --initrd "$out/$script.cpio.gz" \
		--append "quiet intel_iommu=on client=$script container=$container v1_large=$v1_large disk_sha256=$sha256" \
		--close '^guest: done' --show '^(ok|not ok|skip|count:) ' \
		"${args[@]}" -- -device intel-iommu,intremap=on,caching-mode=on \
		-trace enable=vtd_iotlb_page_update -D /dev/fd/7 "$@"
	exec 7>&-
	wait "$reader"
	read -r small large <"$out/$name.leaves"
	echo "count: $name: $small misses of the IOTLB found a 4 KiB leaf, $large a larger one"
	! grep -aq '^not ok ' "$IOMMUFD_LOGS/check-clients-$name.console" ||
		status=1
}

# verdict NAME COMMAND...
verdict() {
	local name=$1

	shift
	if "$@"; then
		echo "ok $name"
	else
		echo "not ok $name: $small small leaves, $large large ones"
		status=1
	fi
}

# Two pairs of cards, each with a cable between the two.
cards() {
	local hub card

	for hub in 0 1; do
		for card in a b; do
			echo "-netdev hubport,id=end$hub$card,hubid=$hub"
		done
	done
	echo "-device e1000,netdev=end0a,addr=4,romfile="
	echo "-device e1000,netdev=end0b,addr=5,romfile="
	echo "-device virtio-net-pci,netdev=end1a,addr=6,$modern"
	echo "-device virtio-net-pci,netdev=end1b,addr=7,$modern"
}

assemble_testpmd() {
	local files

	mapfile -t files < <("$IOMMUFD_ROOT/tools/closure.sh" \
		/usr/bin/dpdk-testpmd "$drivers/librte_mempool_ring.so.23" \
		"$drivers/librte_net_e1000.so.23" \
		"$drivers/librte_net_virtio.so.23" \
		/lib/x86_64-linux-gnu/libgcc_s.so.1)
	assemble testpmd "${files[@]}"
}

testpmd() {
	local nics

	step "forwarding packets with testpmd, $1" "25 s"
	[ -e "$out/testpmd.cpio.gz" ] || assemble_testpmd
	read -ra nics <<<"$(cards | tr '\n' ' ')"
	boot "$1" testpmd "$2" --time 400 -- -smp 2 "${nics[@]}"
}

qemu() {
	local files

	step "assigning a disk to a guest of QEMU in the guest" "35 s"
	"$IOMMUFD_ROOT/tools/stock-modules.sh" "$KVER" "$out/nested-modules" nvme
	"$IOMMUFD_ROOT/tools/stock-modules.sh" "$KVER" "$out/kvm-modules" kvm-amd
	"$IOMMUFD_ROOT/tools/initramfs.sh" "$out/nested.cpio.gz" \
		init="$clients/nested-init.sh" lib/modules="$out/nested-modules"
	mapfile -t files < <("$IOMMUFD_ROOT/tools/closure.sh" \
		/usr/bin/qemu-system-x86_64)
	assemble qemu "${files[@]}" lib/kvm="$out/kvm-modules" \
		nested/vmlinuz="$IMAGE" nested/initrd="$out/nested.cpio.gz" \
		usr/share/seabios/bios-256k.bin=/usr/share/seabios/bios-256k.bin \
		usr/share/qemu/linuxboot_dma.bin=/usr/share/qemu/linuxboot_dma.bin \
		usr/share/qemu/kvmvapic.bin=/usr/share/qemu/kvmvapic.bin
	# The emulated processor has what KVM needs, whatever this one has.
	boot qemu qemu 0 --time 600 --accel tcg -- -nodefaults \
		-drive "file=$disk,if=none,id=disk,format=raw,snapshot=on" \
		-device nvme,drive=disk,serial=iommufd,addr=4
}

container=ours
modern=romfile=,disable-legacy=on,iommu_platform=on
eval "$("$IOMMUFD_ROOT/tools/stock.sh")"
: "${KVER:?}" "${IMAGE:?}"
"$IOMMUFD_ROOT/tools/packages.sh" guest clients
IOMMUFD_DEBUG=y "$IOMMUFD_ROOT/tools/modules.sh" "$KVER"
disk=$("$IOMMUFD_ROOT/tools/demo/disk.sh")
sha256=$(head -c 1M "$disk" | sha256sum | cut -d ' ' -f 1)
rm -f "$out"/*.cpio.gz
for client; do
	case $client in
	testpmd_v1_small)
		testpmd "$client" 0
		verdict "$client.leaves_are_small" [ $((small > 0 && !large)) = 1 ]
		;;
	testpmd_v1_large)
		testpmd "$client" 1
		verdict "$client.leaves_are_large" [ $((large > 0 && !small)) = 1 ]
		;;
	testpmd_vfio)
		container=vfio
		testpmd "$client" 0
		container=ours
		;;
	qemu)	qemu ;;
	*)	die "there is no client '$client'" ;;
	esac
done
exit "$status"
