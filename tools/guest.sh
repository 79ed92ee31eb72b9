#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Boot a kernel in QEMU and judge the run by its console.
#
#   tools/guest.sh --name NAME --time SECONDS --kernel IMAGE --initrd CPIO
#                  --close REGEX [--append ARGS] [--accel auto|tcg|kvm]
#                  [--show REGEX] -- QEMU-ARGS...
#
# The console is kept in build/logs/NAME.console. The run fails when it does
# not end within --time, when the kernel reported a fault of its own (the list
# is kernel_reports below), or when no line of the console matches --close.
# The guest ends the run by powering off. Lines that match --show are printed
# as they come.
#
# The machine is a q35 with one processor and 1 GiB and nothing else on it:
# QEMU-ARGS bring the devices, and may bring -m, -smp and -cpu of their own.
# It is emulated (tcg) unless tools/kvm-probe.sh has seen KVM boot this kernel.

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

name='' seconds='' kernel='' initrd='' close='' append='' accel=auto show=''
while [ $# -gt 0 ]; do
	case $1 in
	--name)	  name=$2 ;;
	--time)	  seconds=$2 ;;
	--kernel) kernel=$2 ;;
	--initrd) initrd=$2 ;;
	--close)  close=$2 ;;
	--append) append=$2 ;;
	--accel)  accel=$2 ;;
	--show)   show=$2 ;;
	--)	  shift; break ;;
	*)	  die "unknown argument '$1'" ;;
	esac
	shift 2
done
for given in name seconds kernel initrd close; do
	[ -n "${!given}" ] || die "--$given is missing"
done
for file in "$kernel" "$initrd"; do
	[ -r "$file" ] || die "there is no readable $file"
done
"$IOMMUFD_ROOT/tools/packages.sh" guest

# What a kernel says when it has found a fault in itself. Faults that an IOMMU
# reports (DMAR:) are not among them, tests provoke those on purpose.
kernel_reports() {
	grep -aE \
		-e 'WARNING: ' \
		-e 'BUG: |kernel BUG at' \
		-e 'Oops: |general protection fault' \
		-e 'Kernel panic' \
		-e 'Unable to handle kernel' \
		-e 'KASAN: |KFENCE: |KCSAN: |UBSAN: |KMSAN: ' \
		-e 'possible (circular|recursive) locking|inconsistent lock state' \
		-e 'suspicious RCU usage|held lock freed|bad unlock balance' \
		-e 'INFO: (task .* blocked for more|lockdep is turned off)' \
		-e 'INFO: trying to register non-static key' \
		-e 'detected stalls on CPUs|self-detected stall' \
		-e 'kmemleak: [1-9][0-9]* new suspected|unreferenced object 0x' \
		-e 'refcount_t: |list_(add|del) corruption|ODEBUG: ' \
		-e 'Bad page state|Bad rss-counter|still mapped when deleted' \
		-e 'scheduling while atomic|sleeping function called from' \
		-e 'Out of memory: Killed|segfault at .* ip ' \
		"$1"
}

# The option names among the caller's arguments take the place of defaults.
default() {
	local arg

	for arg in "${caller[@]}"; do
		[ "$arg" != "$1" ] || return 0
	done
	qemu+=("$@")
}

caller=("$@")
if [ "$accel" = auto ]; then
	accel=$("$IOMMUFD_ROOT/tools/kvm-probe.sh" "$kernel")
fi
machine=q35
# With KVM, interrupt remapping needs the IOAPIC in QEMU.
[ "$accel" != kvm ] || machine=q35,kernel-irqchip=split

qemu=(qemu-system-x86_64 -nodefaults -no-user-config -display none
      -monitor none -no-reboot)
default -machine "$machine"
default -accel "$accel"
# Five-level page tables would only slow the emulation down.
default -cpu max,la57=off
default -smp 1
default -m 1G
qemu+=(-kernel "$kernel" -initrd "$initrd" -serial stdio
       # A report must not be lost in the ring buffer of a quiet console, so
       # it ends the guest at once: panic() makes the console talk again.
       # The check whether the timer ticks measures how busy the host is.
       -append "console=ttyS0 panic=-1 oops=panic panic_on_warn=1 loglevel=6 no_timer_check $append"
       "${caller[@]}")

console=$IOMMUFD_LOGS/$name.console
printf '%q ' "${qemu[@]}" >"$IOMMUFD_LOGS/$name.qemu"
: >"$console"
status=0
started=$SECONDS
# QEMU's stdin is closed to it: a serial line on a terminal would eat what the
# user types. A QEMU that no longer listens to TERM is killed.
timeout --kill-after=10 "$seconds" "${qemu[@]}" \
	</dev/null >"$console" 2>"$IOMMUFD_LOGS/$name.stderr" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true' EXIT
if [ -n "$show" ]; then
	tail -n +1 -s 0.2 -f --pid="$pid" "$console" | tr -d '\r' |
		grep --line-buffered -aE -e "$show" || true
fi
wait "$pid" || status=$?
trap - EXIT
took=$((SECONDS - started))

fail() {
	{
		printf '   ... the end of the console:\n'
		tail -n "${2:-15}" "$console" | tr -d '\r'
	} >&2
	die "guest '$name': $1; its console is $console"
}

if reports=$(kernel_reports "$console"); then
	printf '%s\n' "$reports" | head -n 10 >&2
	fail "the kernel reported a fault" 40
fi
case $status in
0)	;;
124|137) fail "not finished after $seconds s" ;;
*)	cat "$IOMMUFD_LOGS/$name.stderr" >&2
	fail "QEMU ended with status $status" ;;
esac
tr -d '\r' <"$console" | grep -aE -e "$close" >/dev/null ||
	fail "it ended without the closing line '$close'"
note "guest '$name' ran $took s ($accel)"
