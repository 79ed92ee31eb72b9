// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults of devices: read from the file of a fault queue, answered by writing to
 * it. Whatever happens, the mock gets one answer to each group, and warns of another.
 */
#include <linux/types.h>
#include <dirent.h>
#include <pthread.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "fault.h"
#include "harness.h"

FIXTURE(fault)
{
	int fd;
	__u32 ioas;
	__u32 parent;
	struct mock mock;
	struct queue queue[2];
	struct tally start;
	/* two pages; what lies behind them is not mapped */
	char *pages;
	char *end;
};

FIXTURE_SETUP(fault)
{
	size_t page = page_bytes();
	int i;

	self->fd = open_iommu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, reset_switches(self->fd));
	ASSERT_EQ(0, ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, mock_device(self->fd, self->ioas, &self->mock));
	ASSERT_EQ(0, hwpt_alloc(self->fd, IOMMU_HWPT_ALLOC_NEST_PARENT,
				self->mock.idev, self->ioas, &self->parent));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, queue_make(self->fd, self->mock.idev, self->parent,
					&self->queue[i]));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[0].hwpt));
	self->pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->pages);
	self->end = self->pages + 2 * page;
	ASSERT_EQ(0, munmap(self->end, page));
	self->start = tally_now();
	ASSERT_LE(0, self->start.reported);
}

FIXTURE_TEARDOWN(fault)
{
	struct tally tally;
	int i;

	EXPECT_EQ(0, reset_switches(self->fd));
	close(self->fd);
	for (i = 0; i < 2; i++) {
		if (self->queue[i].file >= 0)
			close(self->queue[i].file);
	}
	tally = tally_since(&self->start);
	EXPECT_EQ(0, unanswered(&tally));
	EXPECT_EQ(0, tally.failure);
}

/* -- what is read -- */

TEST_F(fault, record)
{
	const struct request request = {
		.pasid = 0x1234,
		.grpid = 7,
		.perm = IOMMU_PGFAULT_PERM_WRITE | IOMMU_PGFAULT_PERM_EXEC,
		.addr = 0x123456789abc000,
	};
	struct iommu_hwpt_pgfault record;
	struct tally tally;

	memset(&record, 0xff, sizeof(record));
	ASSERT_EQ(0, trigger_iopf(self->fd, self->mock.idev, &request));
	ASSERT_EQ(RECORD, read_faults(self->queue[0].file, &record, RECORD));
	ASSERT_EQ(IOMMU_PGFAULT_FLAGS_PASID_VALID |
		  IOMMU_PGFAULT_FLAGS_LAST_PAGE, record.flags);
	ASSERT_EQ(self->mock.idev, record.dev_id);
	ASSERT_EQ(request.pasid, record.pasid);
	ASSERT_EQ(request.grpid, record.grpid);
	ASSERT_EQ(request.perm, record.perm);
	ASSERT_EQ(0, record.__reserved);
	ASSERT_EQ(request.addr, record.addr);
	ASSERT_EQ(0, record.length);
	ASSERT_EQ(1, record.cookie);

	ASSERT_EQ(0, answer(self->queue[0].file, record.cookie, SUCCESS));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, tally.reported);
	ASSERT_EQ(1, tally.success);
	ASSERT_EQ(0, tally.invalid);
}

TEST_F(fault, record_without_pasid)
{
	const struct request request = {
		.grpid = 8,
		.perm = IOMMU_PGFAULT_PERM_READ | IOMMU_PGFAULT_PERM_PRIV,
		.addr = 0x1000,
	};
	struct iommu_hwpt_pgfault record;
	struct tally tally;

	ASSERT_EQ(0, trigger_iopf(self->fd, self->mock.idev, &request));
	ASSERT_EQ(RECORD, read_faults(self->queue[0].file, &record, RECORD));
	ASSERT_EQ(IOMMU_PGFAULT_FLAGS_LAST_PAGE, record.flags);
	ASSERT_EQ(0, record.pasid);
	ASSERT_EQ(request.perm, record.perm);
	ASSERT_EQ(0, answer(self->queue[0].file, record.cookie, INVALID));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, tally.invalid);
}

TEST_F(fault, nothing_to_read)
{
	struct iommu_hwpt_pgfault record;
	int file = self->queue[0].file;

	ASSERT_EQ(0, read_faults(file, &record, RECORD));
	ASSERT_EQ(0, read_faults(file, &record, 0));
	ASSERT_EQ(0, fcntl(file, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, read_faults(file, &record, RECORD));
	/* nowhere to put nothing is no error */
	ASSERT_EQ(0, read_faults(file, self->end, RECORD));
	ASSERT_EQ(-ESPIPE, read_faults(file, &record, RECORD - 1));
}

/* Scenario 39. */
TEST_F(fault, read_counts)
{
	static const long bad[] = { 1, RECORD - 1, RECORD + 1, 2 * RECORD + 8 };
	int file = self->queue[0].file;
	struct iommu_hwpt_pgfault record;
	unsigned int i;

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ASSERT_EQ(-ESPIPE, read_faults(file, self->pages, bad[i]));
	ASSERT_EQ(-EINVAL, read_faults(file, self->pages, 0));
	/* no read is of 2 GiB or more: what is left of the count is odd */
	ASSERT_EQ(-ESPIPE, read_faults(file, self->pages, RECORD << 26));
	/* far more than there is, and more than there is memory */
	ASSERT_EQ(RECORD, read_faults(file, self->pages, RECORD << 25));
	memcpy(&record, self->pages, RECORD);
	ASSERT_EQ(0x1000, record.addr);
	ASSERT_EQ(0, answer(file, record.cookie, SUCCESS));
}

TEST_F(fault, no_position)
{
	int fault_file = self->queue[0].file;

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(-1, lseek(fault_file, 0, SEEK_CUR));
	ASSERT_EQ(ESPIPE, errno);
	ASSERT_EQ(-1, pread(fault_file, self->pages, RECORD, RECORD));
	ASSERT_EQ(ESPIPE, errno);
	ASSERT_EQ(-1, pwrite(fault_file, self->pages, ANSWER, ANSWER));
	ASSERT_EQ(ESPIPE, errno);
	ASSERT_EQ(1, read_cookie(fault_file));
}

/* -- groups of several records -- */

#define MORE	3u

/* Is it a group of @num records, which starts at @addr? */
static bool is_group(const struct iommu_hwpt_pgfault *records, unsigned int num,
		     __u64 addr)
{
	unsigned int i;

	for (i = 0; i < num; i++) {
		bool is_last = records[i].flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE;

		if (records[i].cookie != records[0].cookie ||
		    records[i].grpid != addr >> 12 || is_last != (i == num - 1) ||
		    records[i].addr != addr + i * page_bytes())
			return false;
	}
	return true;
}

/* Scenario 39. */
TEST_F(fault, group_larger_than_buffer)
{
	struct iommu_hwpt_pgfault records[4 * (MORE + 1)];
	int file = self->queue[0].file;

	ASSERT_EQ(0, write_number(SWITCH("fault_pages"), MORE));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x10000));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x20000));

	ASSERT_EQ(-EINVAL, read_faults(file, records, 0));
	ASSERT_EQ(-EINVAL, read_faults(file, records, RECORD));
	ASSERT_EQ(-EINVAL, read_faults(file, records, MORE * RECORD));

	/* The first is there as a whole, of the second there is nothing. */
	memset(records, 0x55, sizeof(records));
	ASSERT_EQ((MORE + 1) * RECORD,
		  read_faults(file, records, (2 * MORE + 1) * RECORD));
	ASSERT_TRUE(is_group(records, MORE + 1, 0x10000));
	ASSERT_EQ(0x55555555, records[MORE + 1].flags);
	ASSERT_EQ(-EINVAL, read_faults(file, records, MORE * RECORD));
	ASSERT_EQ((MORE + 1) * RECORD,
		  read_faults(file, records + MORE + 1, (MORE + 1) * RECORD));
	ASSERT_TRUE(is_group(records + MORE + 1, MORE + 1, 0x20000));
	ASSERT_EQ(0, read_faults(file, records, sizeof(records)));

	ASSERT_EQ(0, answer(file, records[MORE + 1].cookie, SUCCESS));
	ASSERT_EQ(0, answer(file, records[0].cookie, SUCCESS));
}

TEST_F(fault, several_groups_at_once)
{
	struct iommu_hwpt_pgfault records[2 * (MORE + 1) + 1];
	int file = self->queue[0].file;

	ASSERT_EQ(0, write_number(SWITCH("fault_pages"), MORE));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x10000));
	ASSERT_EQ(0, write_number(SWITCH("fault_pages"), 0));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x20000));
	ASSERT_EQ(0, write_number(SWITCH("fault_pages"), MORE));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x30000));

	ASSERT_EQ(sizeof(records), read_faults(file, records, sizeof(records)));
	ASSERT_TRUE(is_group(records, MORE + 1, 0x10000));
	ASSERT_TRUE(is_group(records + MORE + 1, 1, 0x20000));
	ASSERT_TRUE(is_group(records + MORE + 2, MORE + 1, 0x30000));
	ASSERT_EQ(1, records[0].cookie);
	ASSERT_EQ(2, records[MORE + 1].cookie);
	ASSERT_EQ(3, records[MORE + 2].cookie);
}

#define MANY	4999u

/* Scenario 39. A group that does not fit into any number of pages. */
TEST_F(fault, huge_group)
{
	const size_t bytes = (MANY + 1) * RECORD;
	struct iommu_hwpt_pgfault *records = malloc(bytes);
	int file = self->queue[0].file;

	ASSERT_NE(NULL, records);
	ASSERT_EQ(0, write_number(SWITCH("fault_pages"), MANY));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x100000));
	ASSERT_EQ(-EINVAL, read_faults(file, records, bytes - RECORD));
	ASSERT_EQ(bytes, read_faults(file, records, bytes));
	ASSERT_TRUE(is_group(records, MANY + 1, 0x100000));
	ASSERT_EQ(0, answer(file, records[0].cookie, SUCCESS));
	free(records);
}

/* -- bad buffers -- */

/* Scenario 39. */
TEST_F(fault, read_bad_buffer)
{
	int file = self->queue[0].file;
	struct iommu_hwpt_pgfault records[2];

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x2000));
	ASSERT_EQ(-EFAULT, read_faults(file, NULL, RECORD));
	ASSERT_EQ(-EFAULT, read_faults(file, self->end, RECORD));
	/* half of it can be written */
	ASSERT_EQ(-EFAULT, read_faults(file, self->end - RECORD / 2, 2 * RECORD));
	ASSERT_EQ(0, mprotect(self->pages, page_bytes(), PROT_READ));
	ASSERT_EQ(-EFAULT, read_faults(file, self->pages, RECORD));
	ASSERT_EQ(POLLIN | POLLRDNORM | POLLOUT, poll_now(file));

	ASSERT_EQ(2 * RECORD, read_faults(file, records, sizeof(records)));
	ASSERT_EQ(0x1000, records[0].addr);
	ASSERT_EQ(0x2000, records[1].addr);
	ASSERT_EQ(0, read_faults(file, records, RECORD));
}

/* Scenario 39. What did not arrive is not known, its cookie is not either. */
TEST_F(fault, read_half_of_groups)
{
	struct iommu_hwpt_pgfault record;
	int file = self->queue[0].file;

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x2000));
	ASSERT_EQ(RECORD, read_faults(file, self->end - RECORD - 8, 2 * RECORD));
	memcpy(&record, self->end - RECORD - 8, RECORD);
	ASSERT_EQ(0x1000, record.addr);
	ASSERT_EQ(-EINVAL, answer(file, record.cookie + 1, SUCCESS));
	ASSERT_EQ(0, answer(file, record.cookie, SUCCESS));
	ASSERT_EQ(RECORD, read_faults(file, &record, RECORD));
	ASSERT_EQ(0x2000, record.addr);
	ASSERT_EQ(0, answer(file, record.cookie, SUCCESS));
}

/* -- answers -- */

/* Scenario 41. */
TEST_F(fault, answer_bad_cookie)
{
	int file = self->queue[0].file, other = self->queue[1].file;
	struct tally tally;
	__u32 cookie;

	ASSERT_EQ(-EINVAL, answer(file, 0, SUCCESS));
	ASSERT_EQ(-EINVAL, answer(file, 1, SUCCESS));
	ASSERT_EQ(-EINVAL, answer(file, UINT32_MAX, SUCCESS));

	/* right, but not known yet */
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(-EINVAL, answer(file, 1, SUCCESS));
	cookie = read_cookie(file);
	ASSERT_EQ(1, cookie);

	/* of another queue */
	ASSERT_EQ(-EINVAL, answer(other, cookie, SUCCESS));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, unanswered(&tally));

	ASSERT_EQ(0, answer(file, cookie, SUCCESS));
	ASSERT_EQ(-EINVAL, answer(file, cookie, SUCCESS));
	ASSERT_EQ(-EINVAL, answer(file, cookie, INVALID));

	/* a cookie is not used again at once */
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(cookie + 1, read_cookie(file));
	ASSERT_EQ(-EINVAL, answer(file, cookie, SUCCESS));
	ASSERT_EQ(0, answer(file, cookie + 1, SUCCESS));
}

/* Scenario 41. */
TEST_F(fault, answer_bad_code)
{
	int file = self->queue[0].file;
	struct tally tally;
	__u32 cookie;

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	cookie = read_cookie(file);
	ASSERT_NE(0, cookie);
	ASSERT_EQ(-EINVAL, answer(file, cookie, INVALID + 1));
	ASSERT_EQ(-EINVAL, answer(file, cookie, UINT32_MAX));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, unanswered(&tally));
	ASSERT_EQ(0, answer(file, cookie, INVALID));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, tally.invalid);
}

/* In another order than they were read. */
TEST_F(fault, answer_in_any_order)
{
	struct iommu_hwpt_page_response responses[3];
	int file = self->queue[0].file, i;
	struct tally tally;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000 * i));
	for (i = 0; i < 3; i++) {
		responses[2 - i].cookie = read_cookie(file);
		responses[2 - i].code = i == 1 ? INVALID : SUCCESS;
	}
	ASSERT_EQ(sizeof(responses), write_answers(file, responses, sizeof(responses)));
	tally = tally_since(&self->start);
	ASSERT_EQ(2, tally.success);
	ASSERT_EQ(1, tally.invalid);
}

/* Scenario 41. */
TEST_F(fault, answers_half_done)
{
	struct iommu_hwpt_page_response responses[3] = {};
	int file = self->queue[0].file, i;
	struct tally tally;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000 * i));
		responses[i].cookie = read_cookie(file);
	}
	responses[1].code = 77;
	ASSERT_EQ(ANSWER, write_answers(file, responses, sizeof(responses)));
	tally = tally_since(&self->start);
	ASSERT_EQ(2, unanswered(&tally));
	ASSERT_EQ(-EINVAL, write_answers(file, responses + 1, 2 * ANSWER));

	/* the third is where nothing can be read */
	responses[1].code = SUCCESS;
	memcpy(self->end - ANSWER, responses + 1, ANSWER);
	ASSERT_EQ(ANSWER, write_answers(file, self->end - ANSWER, 2 * ANSWER));
	ASSERT_EQ(-EFAULT, write_answers(file, self->end, ANSWER));
	ASSERT_EQ(-EFAULT, write_answers(file, self->end - ANSWER / 2, ANSWER));
	ASSERT_EQ(0, answer(file, responses[2].cookie, SUCCESS));
}

TEST_F(fault, write_counts)
{
	int file = self->queue[0].file;

	memset(self->pages, 0, 2 * page_bytes());
	ASSERT_EQ(0, write_answers(file, self->pages, 0));
	ASSERT_EQ(-ESPIPE, write_answers(file, self->pages, ANSWER - 1));
	ASSERT_EQ(-ESPIPE, write_answers(file, self->pages, ANSWER + 1));
	ASSERT_EQ(-EINVAL, write_answers(file, self->pages, ANSWER));
}

/* -- poll -- */

TEST_F(fault, poll_tells)
{
	int file = self->queue[0].file;
	__u32 cookie;

	ASSERT_EQ(POLLOUT, poll_now(file));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(POLLIN | POLLRDNORM | POLLOUT, poll_now(file));
	ASSERT_EQ(POLLOUT, poll_now(self->queue[1].file));
	cookie = read_cookie(file);
	ASSERT_EQ(POLLOUT, poll_now(file));
	ASSERT_EQ(0, answer(file, cookie, SUCCESS));
	ASSERT_EQ(POLLOUT, poll_now(file));
}

/* Waits for something to read. Return: what poll() says, as a pointer. */
static void *sleep_in_poll(void *arg)
{
	struct pollfd item = { .fd = *(int *)arg, .events = POLLIN };

	return (void *)(long)poll(&item, 1, 20000);
}

TEST_F(fault, poll_wakes)
{
	pthread_t sleeper;
	void *result;

	ASSERT_EQ(0, pthread_create(&sleeper, NULL, sleep_in_poll,
				    &self->queue[0].file));
	usleep(100000);
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(0, pthread_join(sleeper, &result));
	ASSERT_EQ(1, (long)result);
}

/* -- the object and its file -- */

static int count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int num = 0;

	if (!dir)
		return -errno;
	while (readdir(dir))
		num++;
	closedir(dir);
	return num;
}

TEST_F(fault, object_and_file)
{
	char path[64], target[64] = {};
	struct queue *queue = &self->queue[1];
	__u32 id;
	int file;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", queue->file);
	ASSERT_LT(0, readlink(path, target, sizeof(target) - 1));
	ASSERT_STREQ("anon_inode:[iommufd-pgfault]", target);
	ASSERT_EQ(FD_CLOEXEC, fcntl(queue->file, F_GETFD));
	ASSERT_EQ(O_RDWR, fcntl(queue->file, F_GETFL) & O_ACCMODE);

	/* a file alone, a HWPT alone, none */
	ASSERT_EQ(0, fault_alloc(self->fd, &id, &file));
	ASSERT_EQ(-EBUSY, destroy(self->fd, id));
	ASSERT_EQ(0, close(file));
	ASSERT_EQ(0, destroy(self->fd, id));
	ASSERT_EQ(-ENOENT, destroy(self->fd, id));

	ASSERT_EQ(0, close(queue->file));
	queue->file = -1;
	ASSERT_EQ(-EBUSY, destroy(self->fd, queue->id));
	ASSERT_EQ(0, destroy(self->fd, queue->hwpt));
	ASSERT_EQ(0, destroy(self->fd, queue->id));
	ASSERT_EQ(-ENOENT, destroy(self->fd, queue->id));
}

TEST_F(fault, alloc_errors)
{
	struct iommu_fault_alloc arg = { .size = sizeof(arg), .flags = 1 };
	__u32 hwpt;

	ASSERT_EQ(-EOPNOTSUPP, command(self->fd, IOMMU_FAULT_QUEUE_ALLOC, &arg));
	arg.flags = 0;
	arg.size--;
	ASSERT_EQ(-EINVAL, command(self->fd, IOMMU_FAULT_QUEUE_ALLOC, &arg));

	/* not there, of another kind */
	ASSERT_EQ(-ENOENT, fault_hwpt_alloc(self->fd, self->mock.idev,
					    self->parent, NO_SUCH_ID, &hwpt));
	ASSERT_EQ(-ENOENT, fault_hwpt_alloc(self->fd, self->mock.idev,
					    self->parent, self->ioas, &hwpt));
	ASSERT_EQ(-ENOENT, fault_hwpt_alloc(self->fd, self->mock.idev,
					    self->parent, 0, &hwpt));
	/* the queue is looked for last */
	ASSERT_EQ(-EINVAL, fault_hwpt_alloc(self->fd, self->mock.idev,
					    self->queue[0].hwpt, NO_SUCH_ID,
					    &hwpt));
	ASSERT_EQ(-ENOENT, fault_hwpt_alloc(self->fd, NO_SUCH_ID, self->parent,
					    self->queue[0].id, &hwpt));
}

TEST_F(fault, trigger_errors)
{
	ASSERT_EQ(-ENOENT, fault_at(self->fd, NO_SUCH_ID, 0x1000));
	ASSERT_EQ(-ENOENT, fault_at(self->fd, 0, 0x1000));
	ASSERT_EQ(-ENOENT, fault_at(self->fd, self->mock.stdev, 0x1000));
}

/* A closed /dev/iommu stays what it was for the file of the queue. */
TEST_F(fault, file_keeps_iommufd)
{
	struct tally tally;
	__u32 cookie;

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x2000));
	ASSERT_EQ(0, close(self->fd));

	cookie = read_cookie(self->queue[0].file);
	ASSERT_NE(0, cookie);
	ASSERT_EQ(0, answer(self->queue[0].file, cookie, SUCCESS));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, unanswered(&tally));
	ASSERT_EQ(0, close(self->queue[0].file));
	tally = tally_since(&self->start);
	ASSERT_EQ(0, unanswered(&tally));
	ASSERT_EQ(1, tally.invalid);
	self->queue[0].file = -1;
	self->fd = open_iommu();
}

/* What the ioctl shall answer in, which comes and goes. */
struct flicker {
	void *page;
	atomic_bool stop;
};

static void *flicker_run(void *arg)
{
	struct flicker *flicker = arg;

	unsigned int seed = 1;
	int i;

	for (i = 0; !atomic_load(&flicker->stop); i++) {
		mprotect(flicker->page, page_bytes(),
			 i % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
		usleep(rand_r(&seed) % 100);
	}
	return NULL;
}

/* Scenario 21. */
TEST_F(fault, answer_cannot_be_written)
{
	struct iommu_fault_alloc *arg = (void *)self->pages;
	struct flicker flicker = { .page = self->pages };
	int num_files = count_files(), i, done = 0;
	pthread_t thread;

	ASSERT_LT(0, num_files);
	*arg = (struct iommu_fault_alloc){ .size = sizeof(*arg) };
	ASSERT_EQ(0, mprotect(self->pages, page_bytes(), PROT_READ));
	ASSERT_EQ(-EFAULT, command(self->fd, IOMMU_FAULT_QUEUE_ALLOC, arg));
	ASSERT_EQ(num_files, count_files());
	ASSERT_EQ(0, pthread_create(&thread, NULL, flicker_run, &flicker));

	for (i = 0; i < 5000; i++) {
		int rc = command(self->fd, IOMMU_FAULT_QUEUE_ALLOC, arg);

		if (rc == -EFAULT)
			continue;
		if (rc || close(arg->out_fault_fd) ||
		    destroy(self->fd, arg->out_fault_id))
			break;
		done++;
	}
	atomic_store(&flicker.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(5000, i);
	ASSERT_LT(0, done);
	ASSERT_EQ(num_files, count_files());
}

/*
 * Each place that can fail does so once. There are some that the call gets over: those
 * of what a debug kernel notes down. Scenario 21.
 */
TEST_F(fault, no_memory)
{
	int num_files = count_files(), file, rc, nth = 1, failures = 0;
	bool failed;
	__u32 id;

	quiet_injection();
	do {
		ASSERT_EQ(0, fail_nth(nth++));
		rc = fault_alloc(self->fd, &id, &file);
		failed = did_fail();
		if (rc) {
			ASSERT_TRUE(failed);
			ASSERT_EQ(-ENOMEM, rc);
			failures++;
		} else {
			ASSERT_EQ(0, close(file));
			ASSERT_EQ(0, destroy(self->fd, id));
		}
		ASSERT_EQ(num_files, count_files());
	} while (failed);
	/* the queue and its file at least */
	ASSERT_LT(1, failures);
}

/* Scenario 21. */
TEST_F(fault, no_place_for_file)
{
	struct rlimit limit = { 0, 0 }, old_limit;
	int num_files = count_files(), file;
	__u32 id, next_id;

	ASSERT_EQ(0, fault_alloc(self->fd, &id, &file));
	ASSERT_EQ(0, close(file));
	ASSERT_EQ(0, destroy(self->fd, id));

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old_limit));
	limit.rlim_max = old_limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(-EMFILE, fault_alloc(self->fd, &next_id, &file));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old_limit));
	ASSERT_EQ(num_files, count_files());

	/* the ID was not lost either */
	ASSERT_EQ(0, fault_alloc(self->fd, &next_id, &file));
	ASSERT_EQ(id, next_id);
	ASSERT_EQ(0, close(file));
}

/* -- with faults outstanding -- */

/* One that was read, two that wait, and somebody in poll of the other queue. */
#define OUTSTANDING	3

struct outstanding {
	__u32 cookie;
	struct tally tally;
};

static int leave_outstanding(int fd, __u32 dev, int file, struct outstanding *left)
{
	int rc, i;

	for (i = 0, rc = 0; i < OUTSTANDING && !rc; i++)
		rc = fault_at(fd, dev, 0x1000 * (i + 1));
	left->cookie = read_cookie(file);
	left->tally = tally_now();
	return rc ?: left->cookie ? 0 : -ENODATA;
}

/* Has everything been answered with INVALID, and nothing of it is left to see? */
static bool is_dismissed(const struct outstanding *left, int file)
{
	struct tally tally = tally_since(&left->tally);

	return tally.invalid == OUTSTANDING && !tally.success &&
	       !tally.failure && !read_cookie(file) &&
	       poll_now(file) == POLLOUT &&
	       answer(file, left->cookie, SUCCESS) == -EINVAL;
}

/* Scenario 40. */
TEST_F(fault, detach_with_outstanding)
{
	int file = self->queue[0].file;
	struct outstanding left;

	ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file, &left));
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	ASSERT_TRUE(is_dismissed(&left, file));

	/* the queue goes on */
	ASSERT_EQ(0, mock_device(self->fd, self->queue[0].hwpt, &self->mock));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	ASSERT_EQ(OUTSTANDING + 1, read_cookie(file));
	ASSERT_EQ(0, answer(file, OUTSTANDING + 1, SUCCESS));
}

/* Scenario 40. */
TEST_F(fault, replace_with_outstanding)
{
	int file = self->queue[0].file;
	struct outstanding left;
	struct tally tally;

	/* to another queue */
	ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file, &left));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[1].hwpt));
	ASSERT_TRUE(is_dismissed(&left, file));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	ASSERT_EQ(0, read_cookie(file));
	ASSERT_EQ(1, read_cookie(self->queue[1].file));
	ASSERT_EQ(0, answer(self->queue[1].file, 1, SUCCESS));

	/* to nowhere */
	file = self->queue[1].file;
	ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file, &left));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->ioas));
	ASSERT_TRUE(is_dismissed(&left, file));
	tally = tally_now();
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	tally = tally_since(&tally);
	ASSERT_EQ(0, tally.reported);
	ASSERT_EQ(1, tally.withheld);

	/* and back */
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[1].hwpt));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	ASSERT_EQ(OUTSTANDING + 2, read_cookie(file));
}

/* Scenario 40. Another HWPT with the same queue is another attachment. */
TEST_F(fault, replace_within_queue)
{
	int file = self->queue[0].file, i;
	struct outstanding left;
	__u32 hwpts[2] = { self->queue[0].hwpt }, cookie;

	ASSERT_EQ(0, fault_hwpt_alloc(self->fd, self->mock.idev, self->parent,
				      self->queue[0].id, &hwpts[1]));
	for (i = 0; i < 7; i++) {
		ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file,
					       &left));
		/* to where it is: nothing changes */
		ASSERT_EQ(0, mock_replace(self->fd, &self->mock, hwpts[i % 2]));
		ASSERT_EQ(0, mock_replace(self->fd, &self->mock,
					  hwpts[!(i % 2)]));
		ASSERT_TRUE(is_dismissed(&left, file));
		ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x9000));
		cookie = read_cookie(file);
		ASSERT_NE(0, cookie);
		ASSERT_EQ(0, answer(file, cookie, SUCCESS));
	}
}

/* Scenario 40. A replace to where it is, or that fails, leaves everything. */
TEST_F(fault, failed_replace_with_outstanding)
{
	int file = self->queue[0].file;
	struct outstanding left;
	struct tally tally;
	__u32 parent, hwpt;
	struct mock mock;

	/* a table that the device cannot use, for it cannot track dirty pages */
	ASSERT_EQ(0, mock_device_flags(self->fd, self->queue[0].hwpt,
				       MOCK_FLAGS_DEVICE_NO_DIRTY, &mock));
	ASSERT_EQ(0, hwpt_alloc(self->fd, IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
				self->mock.idev, self->ioas, &parent));
	ASSERT_EQ(0, fault_hwpt_alloc(self->fd, self->mock.idev, parent,
				      self->queue[1].id, &hwpt));

	ASSERT_EQ(0, leave_outstanding(self->fd, mock.idev, file, &left));
	ASSERT_EQ(0, mock_replace(self->fd, &mock, self->queue[0].hwpt));
	ASSERT_EQ(-EINVAL, mock_replace(self->fd, &mock, hwpt));
	tally = tally_since(&left.tally);
	ASSERT_EQ(0, tally.invalid);
	ASSERT_EQ(0, answer(file, left.cookie, SUCCESS));
	ASSERT_EQ(left.cookie + 1, read_cookie(file));
	ASSERT_EQ(0, answer(file, left.cookie + 1, SUCCESS));

	/* what was off is off again */
	ASSERT_EQ(0, mock_replace(self->fd, &mock, self->ioas));
	ASSERT_EQ(-EINVAL, mock_replace(self->fd, &mock, hwpt));
	tally = tally_now();
	ASSERT_EQ(0, fault_at(self->fd, mock.idev, 0x5000));
	tally = tally_since(&tally);
	ASSERT_EQ(1, tally.withheld);
}

/* Scenario 40. Who cannot answer any more shall not be waited for. */
TEST_F(fault, close_with_outstanding)
{
	int file = self->queue[0].file, copy = dup(file);
	struct outstanding left;
	struct tally tally;

	ASSERT_LE(0, copy);
	ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file, &left));
	ASSERT_EQ(0, close(file));
	tally = tally_since(&left.tally);
	ASSERT_EQ(0, tally.invalid);
	ASSERT_EQ(0, close(copy));
	self->queue[0].file = -1;
	tally = tally_since(&left.tally);
	ASSERT_EQ(OUTSTANDING, tally.invalid);

	/* nor later */
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	tally = tally_since(&left.tally);
	ASSERT_EQ(1, tally.reported);
	ASSERT_EQ(OUTSTANDING + 1, tally.invalid);
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[1].hwpt));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[0].hwpt));
	ASSERT_EQ(-EBUSY, destroy(self->fd, self->queue[0].id));
}

/* Scenario 40. Somebody in poll stays there, and learns of what comes next. */
TEST_F(fault, poll_across_detach)
{
	int file = self->queue[0].file;
	struct outstanding left;
	pthread_t sleeper;
	void *result;

	ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file, &left));
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	ASSERT_EQ(0, pthread_create(&sleeper, NULL, sleep_in_poll, &file));
	usleep(100000);
	ASSERT_EQ(0, mock_device(self->fd, self->queue[0].hwpt, &self->mock));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[1].hwpt));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[0].hwpt));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	ASSERT_EQ(0, pthread_join(sleeper, &result));
	ASSERT_EQ(1, (long)result);
}

/* -- devices that share a group -- */

/* Scenario 40. */
TEST_F(fault, devices_of_a_group)
{
	int file = self->queue[0].file;
	struct outstanding left;
	struct tally tally;
	struct mock other;
	struct iommu_hwpt_pgfault record;

	/* Attached already, so the second one joins. */
	ASSERT_EQ(0, write_text(SWITCH("shares_group"), "Y"));
	ASSERT_EQ(0, mock_device(self->fd, self->queue[0].hwpt, &other));
	ASSERT_EQ(0, fault_at(self->fd, other.idev, 0x7000));
	ASSERT_EQ(RECORD, read_faults(file, &record, RECORD));
	ASSERT_EQ(other.idev, record.dev_id);

	/* One leaves, the faults of the other are none of its business. */
	ASSERT_EQ(0, leave_outstanding(self->fd, self->mock.idev, file, &left));
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	ASSERT_TRUE(is_dismissed(&left, file));
	ASSERT_EQ(0, answer(file, record.cookie, SUCCESS));

	/* Both move. */
	ASSERT_EQ(0, mock_device(self->fd, self->queue[0].hwpt, &self->mock));
	tally = tally_now();
	ASSERT_EQ(0, fault_at(self->fd, other.idev, 0x7000));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x8000));
	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[1].hwpt));
	tally = tally_since(&tally);
	ASSERT_EQ(2, tally.invalid);
	ASSERT_EQ(0, fault_at(self->fd, other.idev, 0x7000));
	ASSERT_EQ(RECORD, read_faults(self->queue[1].file, &record, RECORD));
	ASSERT_EQ(other.idev, record.dev_id);
	ASSERT_EQ(0, destroy(self->fd, other.stdev));
}

/* -- readers that do not come to an end -- */

/* A read into a page that somebody has to provide. */
struct parked {
	int file;
	int uffd;
	char *page;
	long result;
	pthread_t thread;
};

static void *parked_run(void *arg)
{
	struct parked *parked = arg;

	parked->result = read_faults(parked->file, parked->page, RECORD);
	return NULL;
}

static int park(struct parked *parked)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (uintptr_t)parked->page, page_bytes() },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct pollfd item = { .events = POLLIN };
	int rc;

	parked->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (parked->uffd < 0)
		return -errno;
	rc = command(parked->uffd, UFFDIO_API, &api) ?:
	     command(parked->uffd, UFFDIO_REGISTER, &range) ?:
	     -pthread_create(&parked->thread, NULL, parked_run, parked);
	if (rc)
		return rc;
	/* until it is in the page fault */
	item.fd = parked->uffd;
	return poll(&item, 1, 20000) == 1 ? 0 : -ETIMEDOUT;
}

static int unpark(struct parked *parked)
{
	struct uffdio_zeropage zeroes = {
		.range = { (uintptr_t)parked->page, page_bytes() },
	};

	return command(parked->uffd, UFFDIO_ZEROPAGE, &zeroes) ?:
	       -pthread_join(parked->thread, NULL);
}

/* There will never be such a page. */
static int unpark_failing(struct parked *parked)
{
	struct uffdio_range range = { (uintptr_t)parked->page, page_bytes() };

	if (munmap(parked->page, page_bytes()))
		return -errno;
	return command(parked->uffd, UFFDIO_WAKE, &range) ?:
	       -pthread_join(parked->thread, NULL);
}

/* Scenario 40. */
TEST_F(fault, detach_while_reader_is_parked)
{
	struct parked parked = { .file = self->queue[0].file,
				 .page = self->pages };
	struct iommu_hwpt_pgfault record;
	struct tally tally;

	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000));
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x2000));
	ASSERT_EQ(0, park(&parked));
	/* Another one gets on with it, and so does the device. */
	ASSERT_EQ(RECORD, read_faults(parked.file, &record, RECORD));
	ASSERT_EQ(0x2000, record.addr);
	ASSERT_EQ(0, answer(parked.file, record.cookie, SUCCESS));
	ASSERT_EQ(0, destroy(self->fd, self->mock.stdev));
	tally = tally_since(&self->start);
	ASSERT_EQ(0, unanswered(&tally));

	ASSERT_EQ(0, unpark(&parked));
	ASSERT_EQ(RECORD, parked.result);
	memcpy(&record, parked.page, RECORD);
	ASSERT_EQ(0x1000, record.addr);
	ASSERT_EQ(-EINVAL, answer(parked.file, record.cookie, SUCCESS));
}

/* Scenario 39. Two readers fail after a third has read: the order is as before. */
TEST_F(fault, parked_readers_fail)
{
	size_t page = page_bytes();
	struct parked parked[2] = {
		{ .file = self->queue[0].file, .page = self->pages },
		{ .file = self->queue[0].file, .page = self->pages + page },
	};
	struct iommu_hwpt_pgfault records[3];
	int i;

	for (i = 1; i <= 3; i++)
		ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x1000 * i));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, park(&parked[i]));
	ASSERT_EQ(RECORD, read_faults(parked[0].file, records, RECORD));
	ASSERT_EQ(0x3000, records[0].addr);
	ASSERT_EQ(POLLOUT, poll_now(parked[0].file));

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, unpark_failing(&parked[i]));
		ASSERT_EQ(-EFAULT, parked[i].result);
		ASSERT_EQ(POLLIN | POLLRDNORM | POLLOUT,
			  poll_now(parked[0].file));
	}
	ASSERT_EQ(2 * RECORD, read_faults(parked[0].file, records + 1,
					  2 * RECORD));
	ASSERT_EQ(0x1000, records[1].addr);
	ASSERT_EQ(0x2000, records[2].addr);
}

/* -- reports that take long -- */

struct report {
	int fd;
	__u32 dev;
	__u64 addr;
	int rc;
	pthread_t thread;
};

static void *report_run(void *arg)
{
	struct report *report = arg;

	report->rc = fault_at(report->fd, report->dev, report->addr);
	return NULL;
}

/* A driver that waits for its reports, as it should. */
static void *replace_run(void *arg)
{
	struct report *report = arg;
	struct mock mock = { .stdev = report->dev };

	report->rc = mock_replace(report->fd, &mock, report->addr);
	return NULL;
}

/* Scenario 40. */
TEST_F(fault, report_during_replace)
{
	struct report report = { self->fd, self->mock.idev, 0x4000 };
	struct report replace = { self->fd, self->mock.stdev,
				  self->queue[1].hwpt };
	struct tally tally;

	ASSERT_EQ(0, close_gate(REPORT_GATE, 0x4000, 0x4fff));
	ASSERT_EQ(0, pthread_create(&report.thread, NULL, report_run, &report));
	ASSERT_TRUE(gate_is_busy(REPORT_GATE));
	ASSERT_EQ(0, pthread_create(&replace.thread, NULL, replace_run,
				    &replace));
	usleep(100000);
	ASSERT_EQ(0, open_gate(REPORT_GATE));
	ASSERT_EQ(0, pthread_join(report.thread, NULL));
	ASSERT_EQ(0, pthread_join(replace.thread, NULL));
	ASSERT_EQ(0, report.rc);
	ASSERT_EQ(0, replace.rc);
	tally = tally_since(&self->start);
	ASSERT_EQ(1, tally.invalid);
}

/*
 * Scenario 40. A report that began when the driver had the new domain and the core
 * still knew the old one, which is gone before it goes on.
 */
TEST_F(fault, late_report)
{
	struct report report = { self->fd, self->mock.idev, 0x4000 };
	struct queue *old = &self->queue[0];
	struct tally tally;

	ASSERT_EQ(0, write_text(SWITCH("fault_is_late"), "Y"));
	ASSERT_EQ(0, close_gate(REPORT_GATE, 0x4000, 0x4fff));
	ASSERT_EQ(0, pthread_create(&report.thread, NULL, report_run, &report));
	ASSERT_TRUE(gate_is_busy(REPORT_GATE));

	ASSERT_EQ(0, mock_replace(self->fd, &self->mock, self->queue[1].hwpt));
	ASSERT_EQ(0, close(old->file));
	old->file = -1;
	ASSERT_EQ(0, destroy(self->fd, old->hwpt));
	ASSERT_EQ(0, destroy(self->fd, old->id));
	tally = tally_since(&self->start);
	ASSERT_EQ(1, unanswered(&tally));

	ASSERT_EQ(0, open_gate(REPORT_GATE));
	ASSERT_EQ(0, pthread_join(report.thread, NULL));
	ASSERT_EQ(0, report.rc);
	tally = tally_since(&self->start);
	ASSERT_EQ(1, tally.invalid);
	ASSERT_EQ(0, fault_at(self->fd, self->mock.idev, 0x5000));
	ASSERT_EQ(1, read_cookie(self->queue[1].file));
}

TEST_HARNESS_MAIN
