#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Print how long it takes to touch memory, by one thread and by two, and to map it
# then, as multiples of the time that a map takes which has to touch it itself: on
# Debian's stock kernel with two emulated CPUs that run beside each other, so the
# figures are ratios of times, from one run, and need an idle machine of two CPUs.
#
#   tools/cost-populate.sh

# shellcheck source=tools/lib.sh
source "$(dirname "$0")/lib.sh"

"$IOMMUFD_ROOT/tools/two-cpus.sh" t_populate "30 s" | grep '^populate:'
