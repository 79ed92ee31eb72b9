// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define DEFAULT_SECONDS	30
#define EXIT_FAILED	1
#define EXIT_SKIPPED	2

/* Shared with the test's process and its children; the first reason stands. */
struct report {
	int taken;
	int skipped;
	char why[400];
};

static struct report *report;

const struct guest_test *running_test;

static void say(const char *format, va_list args, int skipped)
{
	/* A program that a test has started with exec. */
	if (!report) {
		vfprintf(stderr, format, args);
		return;
	}
	if (__atomic_exchange_n(&report->taken, 1, __ATOMIC_SEQ_CST))
		return;
	vsnprintf(report->why, sizeof(report->why), format, args);
	report->skipped = skipped;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	char where[400];
	va_list args;

	snprintf(where, sizeof(where), "%s (%s:%d)", format,
		 strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
	va_start(args, format);
	say(where, args, 0);
	va_end(args);
	_exit(EXIT_FAILED);
}

void test_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args, 1);
	va_end(args);
	_exit(EXIT_SKIPPED);
}

static const char *number(long long value, char *buffer, size_t bytes)
{
	if (value < 0 && value > -4096 && strerrorname_np(-value))
		snprintf(buffer, bytes, "-%s", strerrorname_np(-value));
	else
		snprintf(buffer, bytes, "%lld (0x%llx)", value, value);
	return buffer;
}

void test_expect(const char *file, int line, const char *what,
		 long long got, long long want)
{
	char a[64], b[64];

	if (got != want)
		test_fail(file, line, "%s is %s, not %s", what,
			  number(got, a, sizeof(a)), number(want, b, sizeof(b)));
}

static void refresh_vmstat(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1) {
		perror("/proc/sys/vm/stat_refresh");
		exit(EXIT_FAILED);
	}
	close(fd);
}

long pages_pinned(void)
{
	long acquired = 0, released = 0;
	char line[128];
	FILE *file;

	refresh_vmstat();
	file = fopen("/proc/vmstat", "re");
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "nr_foll_pin_acquired %ld", &acquired);
		sscanf(line, "nr_foll_pin_released %ld", &released);
	}
	if (file)
		fclose(file);
	return acquired - released;
}

static void run_in_child(const struct guest_test *test)
{
	/* A group of its own: whatever the test starts can be killed with it. */
	setpgid(0, 0);
	running_test = test;
	test->run();
	_exit(0);
}

/* Returns the wait status, or -1 when the time was up. */
static int wait_with_limit(pid_t child, unsigned int seconds)
{
	time_t deadline = time(NULL) + seconds;
	int status;

	while (time(NULL) <= deadline) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(2000);
	}
	return -1;
}

/*
 * A process that cannot be killed is not waited for: that it cannot be is the
 * failure, and the tests behind it shall still run.
 */
static int reap(pid_t child)
{
	kill(-child, SIGKILL);
	return wait_with_limit(child, 5) < 0;
}

/* The last file may be closed by a process that is still on its way out. */
static long pins_left(long before)
{
	long left = 0;

	for (int i = 0; i < 100; i++) {
		left = pages_pinned() - before;
		if (!left)
			break;
		usleep(10000);
	}
	return left;
}

static int judge(const struct guest_test *test, int status, int unkillable,
		 long left)
{
	const char *why = report->why;
	char text[128] = "";

	if (unkillable)
		snprintf(text, sizeof(text), "hangs, and cannot be killed");
	else if (status < 0)
		snprintf(text, sizeof(text), "not finished in time");
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "died of signal %d",
			 WTERMSIG(status));
	else if (WEXITSTATUS(status) == EXIT_SKIPPED && report->skipped &&
		 !left)
		return printf("skip %s: %s\n", test->name, why), 0;
	else if (left)
		snprintf(text, sizeof(text), "%ld pages stay pinned", left);
	else if (WEXITSTATUS(status))
		snprintf(text, sizeof(text), "exit status %d",
			 WEXITSTATUS(status));
	else
		return printf("ok %s\n", test->name), 0;
	printf("not ok %s: %s%s%s\n", test->name, why, *why ? "; " : "", text);
	return 1;
}

static int run_one(const struct guest_test *test)
{
	long before = pages_pinned();
	int status, unkillable;
	pid_t child;

	memset(report, 0, sizeof(*report));
	fflush(stdout);
	child = fork();
	if (child < 0) {
		printf("not ok %s: fork: %s\n", test->name, strerror(errno));
		return 1;
	}
	if (!child)
		run_in_child(test);
	setpgid(child, child);
	status = wait_with_limit(child,
				 test->seconds ? test->seconds : DEFAULT_SECONDS);
	if (status < 0) {
		unkillable = reap(child);
	} else {
		unkillable = 0;
		kill(-child, SIGKILL);
	}
	return judge(test, status, unkillable, pins_left(before));
}

static int selected(const struct guest_test *test, int argc, char **argv)
{
	if (argc < 2)
		return 1;
	for (int i = 1; i < argc; i++)
		if (strstr(test->name, argv[i]))
			return 1;
	return 0;
}

int guest_tests(const struct guest_test *tests, int argc, char **argv)
{
	int failed = 0;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED) {
		perror("mmap");
		return EXIT_FAILED;
	}
	for (; tests->name; tests++)
		if (selected(tests, argc, argv))
			failed += run_one(tests);
	fflush(stdout);
	return failed ? EXIT_FAILED : 0;
}
