# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the scripts in tools/: paths, progress lines, errors and logs.
#
# IOMMUFD_CACHE  what is expensive to make, keyed by content; survives
#                `make clean` and is shared by checkouts
# IOMMUFD_BUILD  logs and products of this checkout

set -euo pipefail

IOMMUFD_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
IOMMUFD_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/iommufd
IOMMUFD_BUILD=$IOMMUFD_ROOT/build
IOMMUFD_LOGS=$IOMMUFD_BUILD/logs
IOMMUFD_JOBS=$(nproc)
export IOMMUFD_ROOT IOMMUFD_CACHE IOMMUFD_BUILD IOMMUFD_LOGS IOMMUFD_JOBS
mkdir -p "$IOMMUFD_LOGS" "$IOMMUFD_CACHE"

# Messages would otherwise depend on who runs the build.
export LC_ALL=C.UTF-8

# step WHAT USUAL-TIME: say what happens now and how long it tends to take.
# On stderr, since the standard output of some scripts is their result.
step() {
	printf '== %s (usually %s)\n' "$1" "$2" >&2
}

# note SENTENCE: something worth knowing that needs no action.
note() {
	printf '   %s\n' "$1" >&2
}

# die SENTENCE: give up, saying why.
die() {
	printf '%s: %s\n' "$(basename "$0")" "$1" >&2
	exit 1
}

# try CMD... >LOG: run CMD, which may be a function, and leave its status in
# $status. Not the same as "CMD || status=$?", in which a function goes on after
# a command of it has failed.
try() {
	set +e
	(set -e; "$@") 2>&1 </dev/null
	status=$?
	set -e
}

# log_to NAME CMD...: run CMD with its output in build/logs/NAME.log. If it
# fails, show the end of the log and where the rest is, and give up.
log_to() {
	local log=$IOMMUFD_LOGS/$1.log status

	shift
	try "$@" >"$log"
	[ "$status" -ne 0 ] || return 0
	tail -n 30 "$log" >&2
	die "'$1' failed with status $status; the whole output is in $log"
}

# update_file FILE: replace FILE by the standard input, but leave it and its
# time alone when the content is already the same, so that make stays quiet.
update_file() {
	local new

	mkdir -p "$(dirname "$1")"
	new=$(mktemp "$1.XXXXXX")
	cat >"$new"
	chmod 644 "$new"
	if cmp -s "$new" "$1"; then
		rm "$new"
	else
		mv "$new" "$1"
	fi
}

# content_key FILE...: a short name for the content of these files.
content_key() {
	cat "$@" | sha256sum | cut -c1-16
}

# version_of PACKAGE: the installed version, nothing if it is not installed.
version_of() {
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null |
		sed -n 's/^installed //p'
}
