/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_SUPPORT_H
#define GUEST_SUPPORT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../tools/demo/dma.h"
#include "../../tools/demo/nvme.h"
#include "../../tools/demo/vfio_dev.h"

#define PAGE		4096UL
#define MIB		(1UL << 20)
#define GIB		(1UL << 30)
#define HUGE		(2 * MIB)

/* ioctl() that returns a negative errno. */
int raw_ioctl(int fd, unsigned long cmd, void *arg);

/* Memory of the test; failure to get it ends the test. */
void *anon(size_t bytes);		/* not touched yet */
void *anon_aligned(size_t bytes, size_t alignment);
void fill(void *va, uint8_t value, size_t bytes);
int is_filled(const void *va, uint8_t value, size_t bytes);

/* A child running @run, and its end: exit status 0 or the test fails. */
pid_t start_child(void (*run)(void *arg), void *arg);
void finish_child(pid_t child);

/* Fails the test if the thread has not ended within the time. */
void join_within(pthread_t thread, unsigned int seconds, const char *what);

/* Writes a file such as a sysctl or one of a control group. */
int write_file(const char *path, const char *text);
void write_or_fail(const char *path, const char *text);
/* The number after @key in a file such as /proc/self/status, or -1. */
long long number_in(const char *path, const char *key);

/* The machine's devices, see tools/demo/machine.sh. */
enum machine_dev { NVME, EDU, GROUP_EDU, GROUP_E1000 };

const char *bdf_of(enum machine_dev which);
int iommu_group_of(const char *bdf);

/* A device bound to an iommufd with one IOAS. */
struct rig {
	struct dma_space space;
	struct vfio_dev dev;
	uint32_t hwpt_id;	/* once attached */
};

void rig_bind(struct rig *rig, enum machine_dev which);
void rig_attach(struct rig *rig);
/* Both of them. */
void rig_open(struct rig *rig, enum machine_dev which);
void rig_close(struct rig *rig);

/* Opens and binds one more device to the iommufd. */
void bind_device(struct vfio_dev *dev, enum machine_dev which, int iommufd);

/* Maps in the IOAS of the rig; @va and the rest as in struct iommu_mapping. */
uint64_t map_auto(struct rig *rig, void *va, size_t bytes);
int map_at(struct rig *rig, void *va, size_t bytes, uint64_t iova);
int unmap(struct rig *rig, uint64_t iova, uint64_t bytes);

#endif
