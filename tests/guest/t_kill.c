// SPDX-License-Identifier: GPL-2.0-only
/* The demo: that it works, that it can fail, and that it can be killed. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "support.h"

#define DEMO		"/bin/nvme_demo"
#define USER		1000
#define KILLS		60
#define SHORT_READ	"2097152"
/* The demo locks 2.1 MiB: what two of them leave behind would be too much. */
#define LIMIT_BYTES	(4 * MIB)

static char *checksum(void)
{
	char *sha256 = getenv("demo_sha256");

	if (!sha256)
		FAIL("the environment has no demo_sha256");
	return sha256;
}

/* An ordinary user, so that locked memory is charged and limited. */
static void become_user(void)
{
	struct rlimit limit = { LIMIT_BYTES, LIMIT_BYTES };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgroups(0, NULL) ||
	    setgid(USER) || setuid(USER))
		_exit(120);
}

static void run_demo(const char *sha256, const char *bytes)
{
	int null = open("/dev/null", O_WRONLY);

	become_user();
	dup2(null, 1);
	execl(DEMO, DEMO, bdf_of(NVME), sha256, bytes, NULL);
	_exit(121);
}

static pid_t start_demo(const char *sha256, const char *bytes)
{
	pid_t child = fork();

	CHECK(child >= 0);
	if (!child)
		run_demo(sha256, bytes);
	return child;
}

static int exit_status(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What the demo opens is given to the user. */
static void open_nodes(void)
{
	struct vfio_dev dev;
	char path[64];

	EXPECT(vfio_dev_open(&dev, bdf_of(NVME)), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dev.fd);
	CHECK(!chmod(path, 0666));
	vfio_dev_close(&dev);
	CHECK(!chmod("/dev/iommu", 0666));
	CHECK(!chmod("/dev/vfio", 0755));
	CHECK(!chmod("/dev/vfio/devices", 0755));
	CHECK(!chmod("/dev/kmsg", 0666));
	EXPECT(write_file("/proc/sys/kernel/dmesg_restrict", "0"), 0);
}

static void test_reads_disk(void)
{
	open_nodes();
	EXPECT(exit_status(start_demo(checksum(), "-1")), 0);
}

static void test_notices_difference(void)
{
	char *wrong = strdup(checksum());

	open_nodes();
	wrong[0] = wrong[0] == '0' ? '1' : '0';
	EXPECT(exit_status(start_demo(wrong, "-1")), 1);
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* Returns whether the demo was still running. */
static int kill_after(int64_t delay_us)
{
	pid_t child = start_demo("", SHORT_READ);
	int status;

	usleep(delay_us);
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status))
		EXPECT(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

/* The machine may be busy, and the first run reads the program from the disk. */
static int64_t shortest_run(void)
{
	int64_t shortest = INT64_MAX;

	for (int i = 0; i < 3; i++) {
		int64_t begin = now_us(), run_us;

		EXPECT(exit_status(start_demo("", SHORT_READ)), 0);
		run_us = now_us() - begin;
		if (run_us < shortest)
			shortest = run_us;
	}
	return shortest;
}

static void test_killed(void)
{
	int64_t run_us;
	int killed = 0;
	long pins;

	open_nodes();
	pins = pages_pinned();
	run_us = shortest_run();
	srand(run_us);
	/* One in each part of its run, at random within the part. */
	for (int i = 0; i < KILLS; i++) {
		int64_t delay_us = run_us * (i + rand() / (RAND_MAX + 1.0)) /
				   KILLS;

		killed += kill_after(delay_us);
		if (pages_pinned() != pins)
			FAIL("killed after %lld us: %ld pages stay pinned",
			     (long long)delay_us, pages_pinned() - pins);
	}
	/* A run is not always as long: a few may have ended in time. */
	if (killed < KILLS * 3 / 4)
		FAIL("only %d of %d were killed", killed, KILLS);
	/* Nor is any of it still charged. */
	EXPECT(exit_status(start_demo(checksum(), "-1")), 0);
}

int main(int argc, char **argv)
{
	static const struct guest_test tests[] = {
		{ "demo.reads_disk", test_reads_disk, 60 },
		{ "demo.notices_difference", test_notices_difference, 60 },
		{ "demo.killed", test_killed, 300 },
		{ },
	};

	return guest_tests(tests, argc, argv);
}
