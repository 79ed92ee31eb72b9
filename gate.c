// SPDX-License-Identifier: GPL-2.0-only
/*
 * A gate that is closed; see gate.h.
 */
#include "gate.h"

/**
 * iommufd_gate_await - iommufd_gate_enter() when it is not open
 * @gate: the gate
 *
 * Context: As iommufd_gate_enter().
 */
void iommufd_gate_await(struct iommufd_gate *gate)
{
	atomic_inc(&gate->nr_waiting);
	/* To look is not to enter: those who wait do not wake each other. */
	do {
		wait_var_event(&gate->state, !iommufd_gate_is_closed(gate));
	} while (!iommufd_gate_try_enter(gate));
	/* A full barrier in front of the look who waits. */
	if (atomic_dec_and_test(&gate->nr_waiting))
		wake_up_var(&gate->state);
}
