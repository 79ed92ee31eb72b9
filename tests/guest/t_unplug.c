// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that are taken away from their driver, or out of the machine, while a
 * user has them open, bound and attached. VFIO asks the user to let go and waits;
 * once the device is closed, nothing of it may be left in the iommufd, and all
 * else in there is as it was.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "edu.h"
#include "harness.h"
#include "support.h"

#define IOVA		(16 * MIB)
#define STEP_SECONDS	10

static struct rig rig;
static char bdf[16];

/* -- how it is taken away, and given back -- */

/* For a child, which has what its parent has open: it is not to be a user. */
static void close_all(void)
{
	CHECK(!close_range(3, ~0U, 0));
}

static void unbind(void *unused)
{
	(void)unused;
	close_all();
	write_or_fail("/sys/bus/pci/drivers/vfio-pci/unbind", bdf);
}

static void bind_again(void)
{
	write_or_fail("/sys/bus/pci/drivers/vfio-pci/bind", bdf);
}

static void remove_device(void *unused)
{
	char path[64];

	(void)unused;
	close_all();
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", bdf);
	write_or_fail(path, "1");
}

/* A device that is found anew is nobody's. */
static void rescan(void)
{
	char path[64];

	write_or_fail("/sys/bus/pci/rescan", "1");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 bdf);
	write_or_fail(path, "vfio-pci");
	write_or_fail("/sys/bus/pci/drivers_probe", bdf);
}

struct way {
	void (*take)(void *unused);
	void (*give_back)(void);
};

static const struct way by_driver = { unbind, bind_again };
static const struct way by_removal = { remove_device, rescan };

/* -- what the user sees -- */

/* Signalled when VFIO wants the device back. */
static int request_channel(struct vfio_dev *dev)
{
	struct {
		struct vfio_irq_set set;
		int32_t fd;
	} arg = {
		.set = {
			.argsz = sizeof(arg),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_REQ_IRQ_INDEX,
			.count = 1,
		},
		.fd = eventfd(0, EFD_CLOEXEC),
	};

	CHECK(arg.fd >= 0);
	EXPECT(raw_ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &arg), 0);
	return arg.fd;
}

static void wait_for_request(int channel)
{
	struct pollfd poll_fd = { .fd = channel, .events = POLLIN };

	if (poll(&poll_fd, 1, STEP_SECONDS * 1000) != 1)
		FAIL("nobody wants the device back");
}

static void finish_in_time(pid_t child)
{
	time_t deadline = time(NULL) + STEP_SECONDS;
	int status;

	while (waitpid(child, &status, WNOHANG) != child) {
		if (time(NULL) > deadline)
			FAIL("the device is closed, and taking it away hangs");
		usleep(1000);
	}
	EXPECT(status, 0);
}

static void open_edu(void)
{
	snprintf(bdf, sizeof(bdf), "%s", bdf_of(EDU));
	rig_open(&rig, EDU);
}

/* Starts taking it away; returns when the user has been asked. */
static pid_t ask_for(const struct way *way)
{
	int channel = request_channel(&rig.dev);
	pid_t child = start_child(way->take, NULL);

	wait_for_request(channel);
	close(channel);
	return child;
}

static void use_device(char *va)
{
	struct edu edu;

	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, va, IOVA));
	edu_close(&edu);
}

/* As new: the whole space is usable again. */
static void expect_no_trace(void)
{
	struct iommu_iova_range range;
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd), .ioas_id = rig.space.ioas_id,
		.num_iovas = 1, .allowed_iovas = (uintptr_t)&range,
	};
	int fd = rig.space.iommufd;

	EXPECT(iommu_destroy(fd, rig.hwpt_id), -ENOENT);
	EXPECT(iommu_destroy(fd, rig.dev.dev_id), -ENOENT);
	EXPECT(raw_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	EXPECT(range.start, 0);
	EXPECT(range.last, UINT64_MAX);
}

static void take_away(const struct way *way)
{
	char *va = anon(2 * PAGE);
	long pins = pages_pinned();
	pid_t child;

	fill(va, 1, 2 * PAGE);
	open_edu();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	child = ask_for(way);

	/* Until the user lets go, all of it works. */
	CHECK(!waitpid(child, NULL, WNOHANG));
	EXPECT(map_at(&rig, va + PAGE, PAGE, IOVA + PAGE), 0);
	EXPECT(unmap(&rig, IOVA + PAGE, PAGE), 0);
	use_device(va);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.hwpt_id), -EBUSY);
	EXPECT(iommu_destroy(rig.space.iommufd, rig.dev.dev_id), -EBUSY);
	EXPECT(pages_pinned() - pins, 1);

	vfio_dev_close(&rig.dev);
	finish_in_time(child);
	EXPECT(pages_pinned() - pins, 0);
	expect_no_trace();

	/* The mapping has outlived the device, and serves it when it is back. */
	way->give_back();
	bind_device(&rig.dev, EDU, rig.space.iommufd);
	rig_attach(&rig);
	use_device(va);
	rig_close(&rig);
	EXPECT(pages_pinned() - pins, 0);
}

/* Scenario 32. */
static void test_driver_unbound(void)
{
	take_away(&by_driver);
}

/* Scenario 32. */
static void test_device_removed(void)
{
	take_away(&by_removal);
}

static int own_pipe[2];

/* Ends with everything open, in no order of its own. */
static void hold_device(void *unused)
{
	char *va = anon(PAGE);

	(void)unused;
	fill(va, 1, PAGE);
	open_edu();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	CHECK(write(own_pipe[1], "o", 1) == 1);
	pause();
}

/* A user that cannot be asked is killed: that lets go as well. Scenario 32. */
static void test_holder_killed(void)
{
	long pins = pages_pinned();
	pid_t holder, child;
	char byte;

	snprintf(bdf, sizeof(bdf), "%s", bdf_of(EDU));
	CHECK(!pipe(own_pipe));
	holder = start_child(hold_device, NULL);
	CHECK(read(own_pipe[0], &byte, 1) == 1);
	child = start_child(unbind, NULL);
	usleep(300000);
	CHECK(!waitpid(child, NULL, WNOHANG));
	kill(holder, SIGKILL);
	CHECK(waitpid(holder, NULL, 0) == holder);
	finish_in_time(child);
	EXPECT(pages_pinned() - pins, 0);
	bind_again();
	open_edu();
	rig_close(&rig);
}

/*
 * The iommufd is closed first: the device holds it until it goes itself.
 * Scenario 32.
 */
static void test_iommufd_closed_first(void)
{
	char *va = anon(PAGE);
	long pins = pages_pinned();
	pid_t child;

	fill(va, 1, PAGE);
	open_edu();
	EXPECT(map_at(&rig, va, PAGE, IOVA), 0);
	child = ask_for(&by_driver);
	dma_space_close(&rig.space);
	use_device(va);
	CHECK(!waitpid(child, NULL, WNOHANG));
	vfio_dev_close(&rig.dev);
	finish_in_time(child);
	EXPECT(pages_pinned() - pins, 0);
	bind_again();
	open_edu();
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "unplug.driver_unbound", test_driver_unbound, 60 },
		{ "unplug.device_removed", test_device_removed, 60 },
		{ "unplug.holder_killed", test_holder_killed, 60 },
		{ "unplug.iommufd_closed_first", test_iommufd_closed_first,
		  60 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
