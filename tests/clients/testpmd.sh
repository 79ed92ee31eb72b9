#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# DPDK's testpmd on two pairs of network cards, each with a cable between the
# two: what it sends on one it receives on the other and sends again. Scenario 46.
# shellcheck source=tests/clients/lib.sh
. /clients/lib.sh
# shellcheck source=tools/demo/guest-setup.sh
. /lib/guest-setup.sh

case $container$v1_large in
vfio*)	name=testpmd_vfio ;;
*1)	name=testpmd_v1_large ;;
*)	name=testpmd_v1_small ;;
esac
log=/tmp/testpmd.log
drivers=/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0
# A burst circulates in each direction.
burst=32
mkfifo /tmp/commands

give_huge_pages() {
	mkdir -p /dev/hugepages
	mount -t hugetlbfs -o pagesize=2M none /dev/hugepages
	echo 64 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
}

# The kernel has virtio's driver built in, and it was first.
unbind() {
	for bdf; do
		echo "$bdf" >"/sys/bus/pci/devices/$bdf/driver/unbind"
	done
}

testpmd() {
	exec dpdk-testpmd -l 0,1 --no-telemetry \
		-d "$drivers/librte_mempool_ring.so.23" \
		-d "$drivers/librte_net_e1000.so.23" \
		-d "$drivers/librte_net_virtio.so.23" \
		-- --interactive --total-num-mbufs=4096 --burst=$burst
}

says() {
	grep -q -e "$1" "$log"
}

# ports: "PORT RX RX-DROPPED TX TX-DROPPED" of what testpmd says when it stops
ports() {
	awk '/Forward statistics for port/ { port = $6 }
	     /Accumulated forward statistics/ { port = "" }
	     port != "" && /RX-packets:/ { rx = $2; rx_dropped = $4 }
	     port != "" && /TX-packets:/ { print port, rx, rx_dropped, $2, $4 }
	    ' "$log"
}

# circulates PORT PEER: many more packets than were sent at first, none lost.
circulates() {
	ports | awk -v a="$1" -v b="$2" -v burst="$burst" '
		function near(x, y) { return x - y <= 2 * burst && y - x <= 2 * burst }
		{ rx[$1] = $2; dropped += $3 + $5; tx[$1] = $4 }
		END {
			exit !(rx[a] > 20 * burst && rx[b] > 20 * burst &&
			       near(tx[a], rx[b]) && near(tx[b], rx[a]) &&
			       !dropped)
		}'
}

no_errors() {
	! grep -E 'RX-error|TX-error|RX-nombufs|error.*: [1-9]|missed.*: [1-9]' "$log"
}

gone() {
	! kill -0 "$pid" 2>/dev/null
}

ready_or_gone() {
	says 'testpmd> ' || gone
}

# What testpmd prints, but for its prompt, lands in the log when it ends.
forward() {
	wait_for 120 ready_or_gone
	! gone || return 1
	echo start tx_first >&3
	sleep 5
	save_fdinfo "$pid" /tmp/fdinfo
	echo show port xstats all >&3
	echo stop >&3
	echo quit >&3
	wait_for 60 gone
}

# Commands for a program that has ended are no reason to end without a verdict.
trap '' PIPE
give_huge_pages
# shellcheck disable=SC2046 # one argument for each device
unbind $(find_device 0x1af4 0x1041)
# shellcheck disable=SC2046
bind_to_vfio $(find_device 0x8086 0x100e) $(find_device 0x1af4 0x1041)
unused=$(cat /sys/module/iommufd/refcnt)

testpmd </tmp/commands >"$log" 2>&1 &
pid=$!
exec 3>/tmp/commands
forward || gone || kill "$pid"
status=0
wait "$pid" || status=$?
exec 3>&-
cat "$log"
ports | while read -r port rx _ tx _; do
	echo "count: $name port $port: received $rx, sent $tx"
done

verdict "$name.picks_v1" says 'Using IOMMU type 1 (Type 1)'
[ "$container" = vfio ] ||
	verdict "$name.uses_ours" ours_is_used /tmp/fdinfo 4 8388608
verdict "$name.forwards_e1000" circulates 0 1
verdict "$name.forwards_virtio" circulates 2 3
verdict "$name.no_errors" no_errors
verdict "$name.ends" [ "$status" -eq 0 ]
verdict "$name.leaves_nothing" ours_is_free "$unused"
verdict "$name.no_faults" no_faults
