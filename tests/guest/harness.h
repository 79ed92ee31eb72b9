/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_HARNESS_H
#define GUEST_HARNESS_H

/*
 * Each test runs in a process of its own, so that what it leaves behind is
 * what a process that dies leaves behind, and has a limit in seconds, so that
 * a hang is a failure. After each test nothing may be pinned that was not
 * pinned before it.
 *
 * One line is printed for each: `ok NAME`, `not ok NAME: why` or
 * `skip NAME: why`.
 */
struct guest_test {
	const char *name;
	void (*run)(void);
	unsigned int seconds;
};

/* The one being run: of use where several tests have one function. */
extern const struct guest_test *running_test;

/* For main(): runs the tests named in @argv, or all. @tests ends with {}. */
int guest_tests(const struct guest_test *tests, int argc, char **argv);

/* Each ends the test, from any thread or child of it. */
void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void test_skip(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

void test_expect(const char *file, int line, const char *what,
		 long long got, long long want);

#define FAIL(...)	test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)	do { if (!(cond)) FAIL("%s", #cond); } while (0)
/* Values, or negative errno codes, which are then shown by name. */
#define EXPECT(got, want) \
	test_expect(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))

/* Pages pinned for the long term and not released, in the whole system. */
long pages_pinned(void);

#endif
