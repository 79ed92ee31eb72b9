#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print, one per line, the QEMU arguments of the machine that the demo and the
# guest tests run on:
#
#   00:04.0  NVMe controller with a disk, in a group of its own
#   00:05.0  edu, a device with a DMA engine, in a group of its own
#   01:01.0  edu \ behind a PCIe-to-PCI bridge, which hides who is who from
#   01:02.0  e1000 / the IOMMU: one group
#
#   tools/demo/machine.sh DISK [on|off]	interrupt remapping, default on
set -euo pipefail

disk=$1
intremap=${2:-on}
edu=edu,dma_mask=0xffffffffffffffff

cat <<END
-device
intel-iommu,intremap=$intremap,caching-mode=on
-drive
file=$disk,if=none,id=disk,format=raw,snapshot=on
-device
nvme,drive=disk,serial=iommufd,addr=4
-device
$edu,addr=5
-device
pcie-pci-bridge,id=bridge,addr=6
-device
$edu,bus=bridge,addr=1
-device
e1000,bus=bridge,addr=2,romfile=
END
