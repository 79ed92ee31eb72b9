/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_SAMPLE_H
#define GUEST_SAMPLE_H

#include <stdint.h>

#include "../../tools/sample-vfio/iommufd_sample.h"
#include "support.h"

/*
 * The emulated devices of tools/sample-vfio. They are opened and bound like
 * others, and take commands. Where nothing is returned, failure ends the test.
 */
#define NUM_SAMPLES	2

/* Opens device number @index, and makes it before, if it is not there. */
void sample_open(struct vfio_dev *dev, unsigned int index);
/* Removes it again. */
void sample_remove(unsigned int index);
/* Removes them all, and unloads and loads the module. */
void sample_reload(void);

/* Opens the device's group, and the device through that. */
int sample_open_group(unsigned int index);
void sample_open_in_group(struct vfio_dev *dev, int group, unsigned int index);

/* As rig_bind() and rig_open(), with the first of them. */
void rig_bind_sample(struct rig *rig);
void rig_open_sample(struct rig *rig);

/* Runs a command without flags. Returns 0 or a negative errno. */
int sample_run(struct vfio_dev *dev, enum sample_op op, uint64_t iova,
	       uint64_t bytes);
int sample_run_flags(struct vfio_dev *dev, const struct sample_command *command);
void sample_set_mode(struct vfio_dev *dev, uint32_t mode);

uint64_t sample_pinned(struct vfio_dev *dev);
uint64_t sample_unmaps(struct vfio_dev *dev);

/* The memory of the device, from its start. */
void sample_write_memory(struct vfio_dev *dev, const void *from, size_t bytes);
void sample_read_memory(struct vfio_dev *dev, void *to, size_t bytes);

/* Whether LOAD or PEEK of @iova gives what is at @va. */
int sample_sees(struct vfio_dev *dev, enum sample_op op, uint64_t iova,
		const void *va, size_t bytes);

#endif
