#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Succeed when every line of a configuration fragment is in force in a kernel's
# .config; name those that are not. Kconfig drops them without a word.
#
#   tools/config-holds.sh FRAGMENT CONFIG

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

fragment=$1
config=$2
lost=0

holds() {
	case $1 in
	'# CONFIG_'*' is not set')
		local name=${1#\# }
		! grep -q "^${name%% *}=" "$config"
		;;
	*)
		grep -qxF -- "$1" "$config"
		;;
	esac
}

while read -r line; do
	case $line in
	CONFIG_* | '# CONFIG_'*' is not set') ;;
	*) continue ;;
	esac
	holds "$line" && continue
	echo "$config does not have: $line" >&2
	lost=1
done <"$fragment"
exit $lost
