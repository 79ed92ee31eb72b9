// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "harness.h"
#include "sample.h"

#define MODULE	"/lib/iommufd/iommufd_sample.ko"
#define PARENT	"/sys/devices/platform/iommufd_sample"
#define CREATE	PARENT "/mdev_supported_types/platform-sample/create"

static const char *uuid_of(unsigned int index)
{
	static const char * const uuids[NUM_SAMPLES] = {
		"7c1f6ad2-5f5c-4f0e-9a57-0d6f3c3e1b00",
		"7c1f6ad2-5f5c-4f0e-9a57-0d6f3c3e1b01",
	};

	CHECK(index < NUM_SAMPLES);
	return uuids[index];
}

/* The device's directory, or something in it. */
static const char *path_of(unsigned int index, const char *what)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s%s",
		 uuid_of(index), what);
	return path;
}

static int is_there(unsigned int index)
{
	return !access(path_of(index, ""), F_OK);
}

static void make(unsigned int index)
{
	if (!is_there(index))
		EXPECT(write_file(CREATE, uuid_of(index)), 0);
}

void sample_open(struct vfio_dev *dev, unsigned int index)
{
	make(index);
	EXPECT(vfio_dev_open_at(dev, path_of(index, "")), 0);
}

void sample_remove(unsigned int index)
{
	EXPECT(write_file(path_of(index, "/remove"), "1"), 0);
	CHECK(!is_there(index));
}

void sample_reload(void)
{
	int module = open(MODULE, O_RDONLY | O_CLOEXEC);

	CHECK(module >= 0);
	for (unsigned int i = 0; i < NUM_SAMPLES; i++)
		if (is_there(i))
			sample_remove(i);
	if (syscall(SYS_delete_module, "iommufd_sample", O_NONBLOCK))
		FAIL("the module cannot be unloaded: %s", strerror(errno));
	CHECK(access(PARENT, F_OK));
	if (syscall(SYS_finit_module, module, "", 0))
		FAIL("the module cannot be loaded: %s", strerror(errno));
	close(module);
}

int sample_open_group(unsigned int index)
{
	char link[256] = "", path[64];
	int group;

	make(index);
	CHECK(readlink(path_of(index, "/iommu_group"), link,
		       sizeof(link) - 1) > 0);
	snprintf(path, sizeof(path), "/dev/vfio/%s",
		 strrchr(link, '/') + 1);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		FAIL("%s: %s", path, strerror(errno));
	return group;
}

void sample_open_in_group(struct vfio_dev *dev, int group, unsigned int index)
{
	*dev = (struct vfio_dev){
		.fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid_of(index)),
	};
	if (dev->fd < 0)
		FAIL("GET_DEVICE_FD: %s", strerror(errno));
}

void rig_bind_sample(struct rig *rig)
{
	EXPECT(dma_space_open(&rig->space), 0);
	sample_open(&rig->dev, 0);
	EXPECT(vfio_dev_bind(&rig->dev, rig->space.iommufd), 0);
}

void rig_open_sample(struct rig *rig)
{
	rig_bind_sample(rig);
	rig_attach(rig);
}

int sample_run_flags(struct vfio_dev *dev, const struct sample_command *command)
{
	ssize_t done = pwrite(dev->fd, command, sizeof(*command),
			      SAMPLE_COMMAND_OFFSET);

	if (done < 0)
		return -errno;
	EXPECT(done, sizeof(*command));
	return 0;
}

int sample_run(struct vfio_dev *dev, enum sample_op op, uint64_t iova,
	       uint64_t bytes)
{
	struct sample_command command = {
		.op = op, .iova = iova, .length = bytes,
	};

	return sample_run_flags(dev, &command);
}

void sample_set_mode(struct vfio_dev *dev, uint32_t mode)
{
	struct sample_command command = { .op = SAMPLE_SET_MODE, .flags = mode };

	EXPECT(sample_run_flags(dev, &command), 0);
}

static struct sample_state state_of(struct vfio_dev *dev)
{
	struct sample_state state;

	CHECK(pread(dev->fd, &state, sizeof(state), SAMPLE_COMMAND_OFFSET) ==
	      sizeof(state));
	return state;
}

uint64_t sample_pinned(struct vfio_dev *dev)
{
	return state_of(dev).pinned_pages;
}

uint64_t sample_unmaps(struct vfio_dev *dev)
{
	return state_of(dev).unmaps;
}

void sample_write_memory(struct vfio_dev *dev, const void *from, size_t bytes)
{
	CHECK(pwrite(dev->fd, from, bytes, SAMPLE_MEMORY_OFFSET) ==
	      (ssize_t)bytes);
}

void sample_read_memory(struct vfio_dev *dev, void *to, size_t bytes)
{
	CHECK(pread(dev->fd, to, bytes, SAMPLE_MEMORY_OFFSET) ==
	      (ssize_t)bytes);
}

int sample_sees(struct vfio_dev *dev, enum sample_op op, uint64_t iova,
		const void *va, size_t bytes)
{
	char *seen = malloc(bytes);
	int same;

	CHECK(seen);
	/* What is there already must not be taken for what the device saw. */
	for (size_t i = 0; i < bytes; i++)
		seen[i] = ~((const char *)va)[i];
	sample_write_memory(dev, seen, bytes);
	EXPECT(sample_run(dev, op, iova, bytes), 0);
	sample_read_memory(dev, seen, bytes);
	same = !memcmp(seen, va, bytes);
	free(seen);
	return same;
}
