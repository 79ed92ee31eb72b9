// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the kernel must be able to move away, such as that of a memory block
 * which is to be unplugged: it is moved before it is pinned for the long term, or
 * the map fails.
 */
#include <linux/types.h>
#include <dirent.h>
#include <sys/uio.h>

#include "mock.h"
#include "harness.h"

#define BLOCKS		"/sys/devices/system/memory"
#define PAGES		64UL
#define PIPE_PAGES	16

/* Bits of an entry of /proc/self/pagemap. */
#define PAGEMAP_PRESENT	(1ULL << 63)
#define PAGEMAP_PFN	((1ULL << 55) - 1)

static int set_block(unsigned int block, const char *state)
{
	char path[96];

	snprintf(path, sizeof(path), BLOCKS "/memory%u/state", block);
	return write_text(path, state);
}

/*
 * Make all of a block movable. Most of those that the kernel began with hold
 * something of its own.
 */
static int find_movable_block(unsigned int *block)
{
	struct dirent *entry;
	DIR *blocks = opendir(BLOCKS);
	int rc = -ENODEV;

	while (blocks && rc && (entry = readdir(blocks))) {
		if (sscanf(entry->d_name, "memory%u", block) != 1)
			continue;
		rc = set_block(*block, "offline");
		if (!rc)
			rc = set_block(*block, "online_movable");
	}
	if (blocks)
		closedir(blocks);
	return rc;
}

static __u64 block_bytes(void)
{
	FILE *file = fopen(BLOCKS "/block_size_bytes", "re");
	unsigned long long bytes = 0;

	if (file) {
		if (fscanf(file, "%llx", &bytes) != 1)
			bytes = 0;
		fclose(file);
	}
	return bytes;
}

FIXTURE(movable)
{
	int fd;
	__u32 ioas;
	struct mock mock;
	__u64 page;
	long pinned;
	unsigned int block;
	bool has_block;
	__u64 first_pfn;
	__u64 end_pfn;
};

FIXTURE_SETUP(movable)
{
	int rc;

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	self->page = page_bytes();
	rc = find_movable_block(&self->block);
	if (rc)
		SKIP(return, "no memory block can be made movable: %s",
		     strerror(-rc));
	self->has_block = true;
	self->first_pfn = self->block * block_bytes() / self->page;
	self->end_pfn = self->first_pfn + block_bytes() / self->page;
	self->pinned = pinned_pages();
}

FIXTURE_TEARDOWN(movable)
{
	EXPECT_EQ(0, close(self->fd));
	if (!self->has_block)
		return;
	EXPECT_EQ(self->pinned, pinned_pages());
	EXPECT_EQ(0, set_block(self->block, "offline"));
	EXPECT_EQ(0, set_block(self->block, "online_kernel"));
}

/* How many pages are in the block? */
static unsigned long in_block(const FIXTURE_DATA(movable) *self, const char *va)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t offset = (uintptr_t)va / self->page * sizeof(__u64);
	unsigned long count = 0;
	__u64 entries[PAGES];
	unsigned int i;

	if (pread(file, entries, sizeof(entries), offset) != sizeof(entries))
		memset(entries, 0, sizeof(entries));
	close(file);
	for (i = 0; i < PAGES; i++) {
		__u64 pfn = entries[i] & PAGEMAP_PFN;

		count += entries[i] & PAGEMAP_PRESENT && pfn >= self->first_pfn &&
			 pfn < self->end_pfn;
	}
	return count;
}

/* Each page with something of its own in it. */
static char *filled_pages(__u64 page)
{
	char *va = small_pages(PAGES * page);
	unsigned int i;

	for (i = 0; va && i < PAGES; i++)
		memset(va + i * page, i + 1, page);
	return va;
}

static bool are_filled(const char *va, __u64 page)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		if (va[i * page] != (char)(i + 1) ||
		    memcmp(va + i * page, va + i * page + 1, page - 1))
			return false;
	}
	return true;
}

/* Scenario 15. */
TEST_F(movable, moved_before_it_is_pinned)
{
	char *va = filled_pages(self->page);
	const __u64 length = PAGES * self->page;

	ASSERT_NE(NULL, va);
	ASSERT_EQ(PAGES, in_block(self, va));
	ASSERT_EQ(0, map_at(self->fd, self->ioas, (uintptr_t)va, length, APERTURE));
	EXPECT_EQ(0, in_block(self, va));
	EXPECT_TRUE(are_filled(va, self->page));
	EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, (uintptr_t)va, length,
			       APERTURE));
	EXPECT_EQ(0, check_refs(self->fd, (uintptr_t)va, length, 1));
	/* so the block can go while a device uses what was in it */
	EXPECT_EQ(0, set_block(self->block, "offline"));
	EXPECT_EQ(0, set_block(self->block, "online_movable"));
}

/*
 * What cannot be moved now, as somebody else holds it, fails the map as a whole.
 * Scenario 15.
 */
TEST_F(movable, not_pinned_when_it_cannot_be_moved)
{
	char *va = filled_pages(self->page);
	const __u64 length = PAGES * self->page;
	struct iovec held;
	int ends[2];

	ASSERT_NE(NULL, va);
	ASSERT_EQ(PAGES, in_block(self, va));
	held.iov_base = va + (PAGES - PIPE_PAGES) * self->page;
	held.iov_len = PIPE_PAGES * self->page;
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ((ssize_t)held.iov_len, vmsplice(ends[1], &held, 1, 0));
	EXPECT_EQ(-ENOMEM, map_at(self->fd, self->ioas, (uintptr_t)va, length,
				  APERTURE));
	EXPECT_EQ(self->pinned, pinned_pages());
	EXPECT_EQ(0, status_kib("VmPin"));
	EXPECT_TRUE(is_empty(self->fd, self->mock.hwpt, (uintptr_t)va, length,
			     APERTURE));
	EXPECT_TRUE(are_filled(va, self->page));
	close(ends[0]);
	close(ends[1]);
	EXPECT_EQ(0, map_at(self->fd, self->ioas, (uintptr_t)va, length, APERTURE));
	EXPECT_EQ(0, in_block(self, va));
	EXPECT_TRUE(are_filled(va, self->page));
	EXPECT_EQ(0, check_map(self->fd, self->mock.hwpt, (uintptr_t)va, length,
			       APERTURE));
}

/* Memory that waits for its domain may still be moved about. Scenario 15. */
TEST_F(movable, moved_at_the_attach)
{
	char *va = filled_pages(self->page);
	const __u64 length = PAGES * self->page;
	struct mock mock = {};
	__u32 ioas;

	ASSERT_NE(NULL, va);
	ASSERT_EQ(0, ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, map_at(self->fd, ioas, (uintptr_t)va, length, APERTURE));
	EXPECT_EQ(PAGES, in_block(self, va));
	ASSERT_EQ(0, mock_device(self->fd, ioas, &mock));
	EXPECT_EQ(0, in_block(self, va));
	EXPECT_TRUE(are_filled(va, self->page));
	EXPECT_EQ(0, check_map(self->fd, mock.hwpt, (uintptr_t)va, length,
			       APERTURE));
}

TEST_HARNESS_MAIN
