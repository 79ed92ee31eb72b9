// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"

int raw_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

void *anon(size_t bytes)
{
	return anon_aligned(bytes, PAGE);
}

void *anon_aligned(size_t bytes, size_t alignment)
{
	char *base = mmap(NULL, bytes + alignment, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t start;

	if (base == MAP_FAILED)
		FAIL("no %zu bytes of memory: %s", bytes, strerror(errno));
	start = ((uintptr_t)base + alignment - 1) & ~(alignment - 1);
	if (start > (uintptr_t)base)
		munmap(base, start - (uintptr_t)base);
	munmap((char *)start + bytes, (uintptr_t)base + alignment - start);
	return (void *)start;
}

void fill(void *va, uint8_t value, size_t bytes)
{
	memset(va, value, bytes);
}

int is_filled(const void *va, uint8_t value, size_t bytes)
{
	const volatile uint8_t *p = va;

	for (size_t i = 0; i < bytes; i++)
		if (p[i] != value)
			return 0;
	return 1;
}

pid_t start_child(void (*run)(void *arg), void *arg)
{
	pid_t child = fork();

	if (child < 0)
		FAIL("fork: %s", strerror(errno));
	if (!child) {
		run(arg);
		_exit(0);
	}
	return child;
}

void finish_child(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		FAIL("waitpid: %s", strerror(errno));
	if (status)
		FAIL("a child ended with status 0x%x", status);
}

void join_within(pthread_t thread, unsigned int seconds, const char *what)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += seconds;
	if (pthread_timedjoin_np(thread, NULL, &deadline))
		FAIL("%s hangs", what);
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

void write_or_fail(const char *path, const char *text)
{
	int rc = write_file(path, text);

	if (rc)
		FAIL("%s: %s", path, strerror(-rc));
}

long long number_in(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	long long value = -1;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)) &&
		    sscanf(line + strlen(key), ": %lld", &value) != 1)
			sscanf(line + strlen(key), " %lld", &value);
	if (file)
		fclose(file);
	return value;
}

struct pci_name {
	const char *vendor;
	const char *device;
	int in_shared_group;
};

static const struct pci_name pci_names[] = {
	[NVME]		= { "0x1b36", "0x0010", 0 },
	[EDU]		= { "0x1234", "0x11e8", 0 },
	[GROUP_EDU]	= { "0x1234", "0x11e8", 1 },
	[GROUP_E1000]	= { "0x8086", "0x100e", 1 },
};

static int attribute_is(const char *dir, const char *name, const char *want)
{
	char path[300], text[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	return !strncmp(text, want, strlen(want));
}

static int group_is_shared(const char *dir)
{
	glob_t members;
	char pattern[300];
	int shared;

	snprintf(pattern, sizeof(pattern), "%s/iommu_group/devices/*", dir);
	if (glob(pattern, 0, NULL, &members))
		return 0;
	shared = members.gl_pathc > 1;
	globfree(&members);
	return shared;
}

const char *bdf_of(enum machine_dev which)
{
	const struct pci_name *name = &pci_names[which];
	static char bdf[16];
	glob_t devices;

	bdf[0] = 0;
	if (glob("/sys/bus/pci/devices/*", 0, NULL, &devices))
		FAIL("no PCI devices");
	for (size_t i = 0; i < devices.gl_pathc; i++) {
		const char *dir = devices.gl_pathv[i];

		if (attribute_is(dir, "vendor", name->vendor) &&
		    attribute_is(dir, "device", name->device) &&
		    group_is_shared(dir) == name->in_shared_group)
			snprintf(bdf, sizeof(bdf), "%s", strrchr(dir, '/') + 1);
	}
	globfree(&devices);
	if (!bdf[0])
		FAIL("the machine has no device %s:%s", name->vendor,
		     name->device);
	return bdf;
}

int iommu_group_of(const char *bdf)
{
	char path[128], target[256] = "";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	if (readlink(path, target, sizeof(target) - 1) < 0)
		FAIL("%s: %s", path, strerror(errno));
	return atoi(strrchr(target, '/') + 1);
}

void bind_device(struct vfio_dev *dev, enum machine_dev which, int iommufd)
{
	EXPECT(vfio_dev_open(dev, bdf_of(which)), 0);
	EXPECT(vfio_dev_bind(dev, iommufd), 0);
}

void rig_bind(struct rig *rig, enum machine_dev which)
{
	EXPECT(dma_space_open(&rig->space), 0);
	bind_device(&rig->dev, which, rig->space.iommufd);
}

void rig_attach(struct rig *rig)
{
	rig->hwpt_id = rig->space.ioas_id;
	EXPECT(vfio_dev_attach(&rig->dev, &rig->hwpt_id), 0);
}

void rig_open(struct rig *rig, enum machine_dev which)
{
	rig_bind(rig, which);
	rig_attach(rig);
}

void rig_close(struct rig *rig)
{
	vfio_dev_close(&rig->dev);
	dma_space_close(&rig->space);
}

uint64_t map_auto(struct rig *rig, void *va, size_t bytes)
{
	struct iommu_mapping map = {
		.va = va, .bytes = bytes, .prot = IOMMU_PROT_RW,
	};

	EXPECT(iommu_map(rig->space.iommufd, rig->space.ioas_id, &map), 0);
	return map.iova;
}

int map_at(struct rig *rig, void *va, size_t bytes, uint64_t iova)
{
	struct iommu_mapping map = {
		.va = va, .bytes = bytes, .iova = iova, .prot = IOMMU_PROT_RW,
	};

	return iommu_map_fixed(rig->space.iommufd, rig->space.ioas_id, &map);
}

int unmap(struct rig *rig, uint64_t iova, uint64_t bytes)
{
	return iommu_unmap(rig->space.iommufd, rig->space.ioas_id, iova, bytes,
			   NULL);
}
