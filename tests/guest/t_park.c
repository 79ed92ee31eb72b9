// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user can make a page fault last as long as he likes, with userfaultfd, and
 * so a MAP or an attach that has to pin the page. Nobody else may have to wait
 * for it. Every step has a time limit: a hang is a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/userfaultfd.h>

#include "edu.h"
#include "harness.h"
#include "sample.h"
#include "support.h"

#define IOVA		(16 * MIB)
#define ELSEWHERE	(64 * MIB)
#define PAGES		16
#define PARKED_PAGE	8
#define STEP_SECONDS	5

/* Memory of which one page is not there until release() says so. */
struct trap {
	int uffd;
	char *va;
};

static struct rig rig;
static struct trap trap;

static void *touched(size_t bytes)
{
	void *va = anon(bytes);

	fill(va, 1, bytes);
	return va;
}

static void set_trap(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	trap.va = anon(PAGES * PAGE);
	CHECK(!madvise(trap.va, PAGES * PAGE, MADV_NOHUGEPAGE));
	fill(trap.va, 1, PARKED_PAGE * PAGE);
	fill(trap.va + (PARKED_PAGE + 1) * PAGE, 1,
	     (PAGES - PARKED_PAGE - 1) * PAGE);
	trap.uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (trap.uffd < 0)
		FAIL("userfaultfd: %s", strerror(errno));
	CHECK(!ioctl(trap.uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)trap.va + PARKED_PAGE * PAGE;
	reg.range.len = PAGE;
	CHECK(!ioctl(trap.uffd, UFFDIO_REGISTER, &reg));
}

static void wait_until_parked(void)
{
	struct pollfd poll_fd = { .fd = trap.uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&poll_fd, 1, STEP_SECONDS * 1000) != 1)
		FAIL("nobody has touched the page");
	CHECK(read(trap.uffd, &msg, sizeof(msg)) == sizeof(msg));
	EXPECT(msg.event, UFFD_EVENT_PAGEFAULT);
}

static void release(void)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)trap.va + PARKED_PAGE * PAGE, PAGE },
	};

	CHECK(!ioctl(trap.uffd, UFFDIO_ZEROPAGE, &zero));
}

/* What is done while another is parked: one step with a name, in a thread. */
struct step {
	const char *name;
	void (*run)(void);
};

static void *step_thread(void *arg)
{
	((struct step *)arg)->run();
	return NULL;
}

static void in_time(const char *name, void (*run)(void))
{
	struct step step = { name, run };
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, step_thread, &step));
	join_within(thread, STEP_SECONDS, name);
}

static int parked_rc;
static pthread_t parked_thread;

static void *parked_map(void *unused)
{
	(void)unused;
	parked_rc = map_at(&rig, trap.va, PAGES * PAGE, IOVA);
	return NULL;
}

static void *parked_attach(void *unused)
{
	uint32_t pt_id = rig.space.ioas_id;

	(void)unused;
	parked_rc = vfio_dev_attach(&rig.dev, &pt_id);
	return NULL;
}

static void *parked_pin(void *unused)
{
	(void)unused;
	parked_rc = sample_run(&rig.dev, SAMPLE_PIN, IOVA, PAGES * PAGE);
	return NULL;
}

static void *parked_load(void *unused)
{
	(void)unused;
	parked_rc = sample_run(&rig.dev, SAMPLE_LOAD, IOVA, PAGES * PAGE);
	return NULL;
}

static void park(void *(*what)(void *))
{
	parked_rc = 1;
	CHECK(!pthread_create(&parked_thread, NULL, what, NULL));
	wait_until_parked();
}

/* The edu is on the IOAS, and a MAP into it is parked. */
static void park_a_map(void)
{
	set_trap();
	rig_open(&rig, EDU);
	park(parked_map);
}

/* The IOAS has a mapping, and the edu's attach to it is parked. */
static void park_an_attach(void)
{
	set_trap();
	rig_bind(&rig, EDU);
	EXPECT(map_at(&rig, trap.va, PAGES * PAGE, IOVA), 0);
	park(parked_attach);
}

/* An emulated device is on the IOAS, and its driver is parked. */
static void park_a_driver(void *(*what)(void *))
{
	set_trap();
	rig_open_sample(&rig);
	EXPECT(map_at(&rig, trap.va, PAGES * PAGE, IOVA), 0);
	park(what);
}

static int end_of_parked(void)
{
	EXPECT(parked_rc, 1);
	release();
	join_within(parked_thread, STEP_SECONDS, "what was parked");
	return parked_rc;
}

static void finish_parked(void)
{
	EXPECT(end_of_parked(), 0);
}

/* Both ways of parking end with every page mapped. */
static void check_mapped(void)
{
	struct edu edu;

	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, trap.va, IOVA));
	CHECK(edu_reaches(&edu, trap.va + PARKED_PAGE * PAGE,
			  IOVA + PARKED_PAGE * PAGE));
	CHECK(edu_reaches(&edu, trap.va + (PAGES - 1) * PAGE,
			  IOVA + (PAGES - 1) * PAGE));
	edu_close(&edu);
	EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
}

static int copy_page(uint64_t from, uint64_t to)
{
	struct iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
		.dst_ioas_id = rig.space.ioas_id,
		.src_ioas_id = rig.space.ioas_id,
		.length = PAGE,
		.dst_iova = to,
		.src_iova = from,
	};

	return raw_ioctl(rig.space.iommufd, IOMMU_IOAS_COPY, &cmd);
}

static void map_and_unmap(void)
{
	char *va = touched(PAGE);
	uint64_t iova;

	EXPECT(map_at(&rig, va, PAGE, ELSEWHERE), 0);
	EXPECT(copy_page(ELSEWHERE, ELSEWHERE + PAGE), 0);
	EXPECT(unmap(&rig, ELSEWHERE + PAGE, PAGE), 0);
	iova = map_auto(&rig, va, PAGE);
	EXPECT(unmap(&rig, iova, PAGE), 0);
	EXPECT(unmap(&rig, ELSEWHERE, PAGE), 0);
	EXPECT(map_at(&rig, va, PAGE, IOVA), -EEXIST);
	EXPECT(map_at(&rig, va, PAGE, IOVA + PARKED_PAGE * PAGE), -EEXIST);
}

static void use_what_is_mapped(void)
{
	char *va = touched(PAGE);
	struct edu edu;

	edu_open(&edu, &rig.dev);
	EXPECT(map_at(&rig, va, PAGE, ELSEWHERE), 0);
	CHECK(edu_reaches(&edu, va, ELSEWHERE));
	EXPECT(unmap(&rig, ELSEWHERE, PAGE), 0);
	CHECK(!edu_reaches(&edu, va, ELSEWHERE));
	edu_close(&edu);
}

static void ask_ranges(void)
{
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd), .ioas_id = rig.space.ioas_id,
	};

	EXPECT(raw_ioctl(rig.space.iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd),
	       -EMSGSIZE);
}

static void other_objects(void)
{
	uint32_t ioas;
	struct iommu_mapping map = {
		.va = touched(PAGE), .bytes = PAGE, .prot = IOMMU_PROT_RW,
	};

	EXPECT(iommu_ioas_alloc(rig.space.iommufd, &ioas), 0);
	EXPECT(iommu_map(rig.space.iommufd, ioas, &map), 0);
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), 0);
}

static void read_fdinfo(void)
{
	char path[64], text[4096];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d",
		 rig.space.iommufd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof(text)) > 0);
	close(fd);
}

static void attach_other_to_new_ioas(void)
{
	struct vfio_dev nvme;
	uint32_t ioas, pt_id;

	EXPECT(iommu_ioas_alloc(rig.space.iommufd, &ioas), 0);
	bind_device(&nvme, NVME, rig.space.iommufd);
	pt_id = ioas;
	EXPECT(vfio_dev_attach(&nvme, &pt_id), 0);
	EXPECT(vfio_dev_detach(&nvme), 0);
	vfio_dev_close(&nvme);
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), 0);
}

static void attach_other_to_same_ioas(void)
{
	uint32_t pt_id = rig.space.ioas_id;
	struct vfio_dev nvme;

	bind_device(&nvme, NVME, rig.space.iommufd);
	EXPECT(vfio_dev_attach(&nvme, &pt_id), 0);
	EXPECT(pt_id, rig.hwpt_id);
	EXPECT(vfio_dev_detach(&nvme), 0);
	vfio_dev_close(&nvme);
}

static void attach_group_to_new_ioas(void)
{
	struct vfio_dev dev;
	uint32_t ioas, pt_id;

	EXPECT(iommu_ioas_alloc(rig.space.iommufd, &ioas), 0);
	bind_device(&dev, GROUP_EDU, rig.space.iommufd);
	pt_id = ioas;
	EXPECT(vfio_dev_attach(&dev, &pt_id), 0);
	vfio_dev_close(&dev);
	EXPECT(iommu_destroy(rig.space.iommufd, ioas), 0);
}

/* What is in the middle of being mapped cannot be unmapped, but says so. */
static void unmap_parked(void)
{
	EXPECT(unmap(&rig, IOVA, PAGES * PAGE), -EBUSY);
}

static void another_iommufd(void)
{
	struct dma_space space;

	EXPECT(dma_space_open(&space), 0);
	dma_space_close(&space);
}

/* Scenario 56. */
static void test_map_others_go_on(void)
{
	park_a_map();
	in_time("map and unmap", map_and_unmap);
	in_time("DMA", use_what_is_mapped);
	in_time("IOVA_RANGES", ask_ranges);
	in_time("another IOAS", other_objects);
	in_time("another iommufd", another_iommufd);
	finish_parked();
	check_mapped();
}

/* Scenarios 49 and 56. */
static void test_map_fdinfo(void)
{
	park_a_map();
	in_time("fdinfo", read_fdinfo);
	finish_parked();
	check_mapped();
}

/* Scenario 56. */
static void test_map_attach(void)
{
	park_a_map();
	in_time("attach to a new IOAS", attach_other_to_new_ioas);
	in_time("attach of a group", attach_group_to_new_ioas);
	in_time("attach to the same IOAS", attach_other_to_same_ioas);
	finish_parked();
	check_mapped();
}

static void test_map_unmap_itself(void)
{
	park_a_map();
	in_time("unmap of what is parked", unmap_parked);
	finish_parked();
	check_mapped();
}

/* Scenarios 53 and 56. */
static void test_attach_others_go_on(void)
{
	park_an_attach();
	in_time("map and unmap", map_and_unmap);
	in_time("IOVA_RANGES", ask_ranges);
	in_time("another IOAS", other_objects);
	in_time("fdinfo", read_fdinfo);
	in_time("attach to a new IOAS", attach_other_to_new_ioas);
	in_time("attach of a group", attach_group_to_new_ioas);
	finish_parked();
	check_mapped();
}

/* Mapped while the attach is parked: the attach is done with it as well. */
static char *late_va;

static void map_late(void)
{
	late_va = touched(2 * PAGE);
	EXPECT(map_at(&rig, late_va, PAGE, IOVA - HUGE), 0);
	EXPECT(map_at(&rig, late_va + PAGE, PAGE, IOVA + HUGE), 0);
}

/* Scenario 56. */
static void test_attach_late_maps(void)
{
	struct edu edu;

	park_an_attach();
	in_time("map on both sides", map_late);
	finish_parked();
	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, late_va, IOVA - HUGE));
	CHECK(edu_reaches(&edu, late_va + PAGE, IOVA + HUGE));
	edu_close(&edu);
	check_mapped();
}

static int parked_pipe[2];

/* Parks in a process of its own, in its own memory, and never ends. */
static void park_for_ever(void *what)
{
	set_trap();
	if (what != parked_map)
		EXPECT(map_at(&rig, trap.va, PAGES * PAGE, IOVA), 0);
	park(what);
	CHECK(write(parked_pipe[1], "p", 1) == 1);
	pause();
}

static void kill_in_time(pid_t child)
{
	time_t deadline = time(NULL) + STEP_SECONDS;
	int status;

	kill(child, SIGKILL);
	while (waitpid(child, &status, WNOHANG) != child) {
		if (time(NULL) > deadline)
			FAIL("kill -9 does not end what is parked");
		usleep(1000);
	}
}

static pid_t start_parked(void (*run)(void *what), void *what)
{
	char byte;
	pid_t child;

	CHECK(!pipe2(parked_pipe, O_CLOEXEC));
	child = start_child(run, what);
	close(parked_pipe[1]);
	if (read(parked_pipe[0], &byte, 1) != 1)
		FAIL("the child ended without being parked");
	close(parked_pipe[0]);
	return child;
}

static void park_and_kill(void *what)
{
	pid_t child = start_parked(park_for_ever, what);

	in_time("map and unmap", map_and_unmap);
	kill_in_time(child);
}

/* Scenario 56. */
static void test_map_kill(void)
{
	char *va = touched(PAGES * PAGE);
	long pins = pages_pinned();
	struct edu edu;

	rig_open(&rig, EDU);
	for (int i = 0; i < 5; i++) {
		park_and_kill(parked_map);
		EXPECT(pages_pinned() - pins, 0);
		/* The map was undone, its IOVA is free. */
		EXPECT(map_at(&rig, va, PAGES * PAGE, IOVA), 0);
		EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
	}
	EXPECT(map_at(&rig, va, PAGES * PAGE, IOVA), 0);
	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, va, IOVA));
}

/* Scenario 56. */
static void test_attach_kill(void)
{
	char *va = touched(PAGES * PAGE);
	long pins = pages_pinned();
	struct edu edu;

	rig_bind(&rig, EDU);
	for (int i = 0; i < 5; i++) {
		park_and_kill(parked_attach);
		EXPECT(pages_pinned() - pins, 0);
		/* The mapping stays, without the memory it was of. */
		EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
	}
	EXPECT(map_at(&rig, va, PAGES * PAGE, IOVA), 0);
	rig_attach(&rig);
	edu_open(&edu, &rig.dev);
	CHECK(edu_reaches(&edu, va, IOVA));
}

/* The process dies with everything that it has open. */
static void park_own_rig(void *what)
{
	if (what == parked_attach)
		rig_bind(&rig, EDU);
	else
		rig_open(&rig, EDU);
	park_for_ever(what);
}

/* Scenario 56. */
static void test_kill_all(void)
{
	long pins = pages_pinned();

	for (int i = 0; i < 6; i++) {
		kill_in_time(start_parked(park_own_rig, i % 2 ? parked_attach :
					  parked_map));
		EXPECT(pages_pinned() - pins, 0);
	}
	rig_open(&rig, EDU);
}

static void detach_last(void)
{
	EXPECT(vfio_dev_detach(&rig.dev), 0);
}

/*
 * The device leaves while a MAP is parked, which then has nothing to fill.
 * Scenario 56.
 */
static void test_map_detach(void)
{
	park_a_map();
	in_time("detach", detach_last);
	finish_parked();
	EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
}

static void check_driver_others_go_on(void *(*what)(void *))
{
	park_a_driver(what);
	in_time("map and unmap", map_and_unmap);
	in_time("IOVA_RANGES", ask_ranges);
	in_time("another IOAS", other_objects);
	in_time("fdinfo", read_fdinfo);
	in_time("attach to a new IOAS", attach_other_to_new_ioas);
	finish_parked();
	CHECK(sample_sees(&rig.dev, SAMPLE_LOAD, IOVA, trap.va, PAGES * PAGE));
}

/*
 * Its driver has a mutex meanwhile, and so its own unmap would wait. Scenario 56.
 */
static void test_pin_others_go_on(void)
{
	check_driver_others_go_on(parked_pin);
	EXPECT(sample_pinned(&rig.dev), PAGES);
}

static void test_load_others_go_on(void)
{
	check_driver_others_go_on(parked_load);
}

static void unmap_under_driver(void)
{
	EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
}

/* A pin that comes too late is undone. Scenarios 8 and 56. */
static void test_pin_unmap_itself(void)
{
	long pins = pages_pinned();

	park_a_driver(parked_pin);
	in_time("unmap under a pin", unmap_under_driver);
	EXPECT(end_of_parked(), -EINVAL);
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
}

/* Nothing is copied from what was unmapped meanwhile. Scenario 8. */
static void test_load_unmap_itself(void)
{
	park_a_driver(parked_load);
	in_time("unmap under a copy", unmap_under_driver);
	EXPECT(end_of_parked(), -EINVAL);
}

static pthread_t detach_thread;

static void *detach_in_thread(void *unused)
{
	(void)unused;
	EXPECT(vfio_dev_detach(&rig.dev), 0);
	return NULL;
}

/* A detach ends what its driver is doing, and so has to wait for that. */
static void test_pin_detach(void)
{
	long pins = pages_pinned();

	park_a_driver(parked_pin);
	CHECK(!pthread_create(&detach_thread, NULL, detach_in_thread, NULL));
	usleep(100000);
	in_time("map and unmap", map_and_unmap);
	in_time("attach to a new IOAS", attach_other_to_new_ioas);
	EXPECT(end_of_parked(), -ENOENT);
	join_within(detach_thread, STEP_SECONDS, "a detach");
	EXPECT(sample_pinned(&rig.dev), 0);
	EXPECT(pages_pinned() - pins, 0);
}

/* All of a process that waits for itself can be killed. */
static void park_and_detach(void *unused)
{
	(void)unused;
	park_a_driver(parked_pin);
	CHECK(!pthread_create(&detach_thread, NULL, detach_in_thread, NULL));
	usleep(100000);
	CHECK(write(parked_pipe[1], "p", 1) == 1);
	pause();
}

static void test_pin_detach_kill(void)
{
	kill_in_time(start_parked(park_and_detach, NULL));
	rig_open_sample(&rig);
}

static void test_driver_kill(void)
{
	long pins = pages_pinned();

	rig_open_sample(&rig);
	for (int i = 0; i < 6; i++) {
		park_and_kill(i % 2 ? parked_pin : parked_load);
		EXPECT(pages_pinned() - pins, 0);
		EXPECT(sample_pinned(&rig.dev), 0);
		EXPECT(unmap(&rig, IOVA, PAGES * PAGE), 0);
	}
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "park.map_others_go_on", test_map_others_go_on, 60 },
		{ "park.map_fdinfo", test_map_fdinfo, 60 },
		{ "park.map_attach", test_map_attach, 60 },
		{ "park.map_unmap_itself", test_map_unmap_itself, 60 },
		{ "park.map_detach", test_map_detach, 60 },
		{ "park.map_kill", test_map_kill, 60 },
		{ "park.attach_others_go_on", test_attach_others_go_on, 60 },
		{ "park.attach_late_maps", test_attach_late_maps, 60 },
		{ "park.attach_kill", test_attach_kill, 60 },
		{ "park.kill_all", test_kill_all, 60 },
		{ "park.pin_others_go_on", test_pin_others_go_on, 60 },
		{ "park.pin_unmap_itself", test_pin_unmap_itself, 60 },
		{ "park.load_others_go_on", test_load_others_go_on, 60 },
		{ "park.load_unmap_itself", test_load_unmap_itself, 60 },
		{ "park.pin_detach", test_pin_detach, 60 },
		{ "park.pin_detach_kill", test_pin_detach_kill, 60 },
		{ "park.driver_kill", test_driver_kill, 60 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
