// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a test can have the mock IOMMU do, by files in debugfs below iommufd_mock:
 *
 * personality		name of the driver that translates for devices made from now
 *			on: exact, vtd, amd, arm, virtio, coarse. A device of one
 *			kind cannot be attached to a domain that was made for another
 * coherency		enum mock_coherency, of devices made from now on
 * shares_group		devices made from now on are in the group of another one
 * stays_detached		devices made from now on are bound and not attached; the
 *			HWPT in the answer is the ID that was asked for
 * reserved		"FIRST LAST [sw_msi]", in hexadecimal: devices have this
 *			reserved region; anything else: they have none. Each is asked
 *			when it is attached for the first time
 * windows		"FIRST LAST FIRST LAST", in hexadecimal: domains made from now
 *			on translate from the one to the other and from the third to
 *			the last, and devices say that what is in between is reserved;
 *			anything else: what the ABI says
 * plain_driver		devices made from now on belong to another driver, which has
 *			neither hw_info() nor domain_alloc_user()
 * lacks_invalidate	nested domains made from now on have no call for that
 * fail_map_entry	n: writing the n-th entry of a page table from now on fails
 *			for want of memory, once; 0: none does
 * nr_maps		map calls so far
 * stuck_iova		unmaps end in front of the I/O page with this IOVA; 0: none
 * largest_leaf		written by the mock: bytes of the largest leaf so far
 * map_delay_ms		each map call of the driver takes so much longer
 * pin_delay_ms		each batch of pages takes so much longer to pin
 * access_keeps_pins	in-kernel users do not unpin when they are told to
 * access_unpin_pages	n: they join what they have pinned in several pieces, and unpin
 *			it n pages at a time; 0: as it was pinned
 * access_in_worker	they copy in a kernel thread
 * gate			"FIRST LAST", in hexadecimal: map calls that touch one of
 *			these IOVA wait, until anything else is written. Read: how
 *			many are waiting
 * pin_gate		the same for whoever pins one of these user addresses
 * report_gate		the same for the report of a page fault at one of these addresses,
 *			when the core has found out whose it is
 * attach_gate		the same, with 0 for an address, for an attach that has found out
 *			whether to record dirty pages, and has not told the hardware yet
 * detach_gate		for a detach, or what a replace does first, that has not told the
 *			hardware yet
 * track_gate		and for the driver when it has read what the hardware is told of
 *			a device, and has not written yet whether to record dirty pages
 * fault_pages		n: a page fault is of a group of n more pages in front of it
 * fault_is_late		changes of the domain do not wait for page faults under way
 * faults_reported, faults_withheld, faults_success, faults_invalid, faults_failure
 *			counted by the mock: groups of page faults that the core was
 *			told of, that were not sent, and answers by code
 *
 * They are global: tests that use them do not run side by side.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "iommufd_test.h"
#include "selftest.h"
#include "test_hooks.h"

/* Nobody waits at a gate for longer, whatever became of the test. */
#define MOCK_GATE_TIMEOUT (20 * HZ)

static struct dentry *mock_switch_dir;
static enum mock_kind mock_switch_personality;
static atomic_t mock_switch_fail_entry = ATOMIC_INIT(0);
static atomic_t mock_switch_nr_maps = ATOMIC_INIT(0);
static u64 mock_switch_stuck_iova;
static u64 mock_switch_largest_leaf;
static u32 mock_switch_coherency_value;
static bool mock_switch_group_value;
static bool mock_switch_detached_value;
static bool mock_switch_mute_value;
static bool mock_switch_plain_value;
static u32 mock_switch_map_delay_ms;
static u32 mock_switch_pin_delay_ms;
static bool mock_switch_keeps_pins_value;
static bool mock_switch_in_worker_value;
static u32 mock_switch_unpin_pages_value;

/**
 * struct mock_gate - addresses that have to wait while it is closed
 * @lock: guards @is_closed, @first and @last
 * @is_closed: it is
 * @first: the first address
 * @last: the last one, inclusive
 * @queue: of those who wait
 * @nr_waiting: so many
 */
struct mock_gate {
	spinlock_t lock; /* is_closed, first, last */
	bool is_closed;
	unsigned long first;
	unsigned long last;
	wait_queue_head_t queue;
	atomic_t nr_waiting;
};

#define MOCK_GATE(_name)						\
	struct mock_gate _name = {					\
		.lock = __SPIN_LOCK_UNLOCKED(_name.lock),		\
		.queue = __WAIT_QUEUE_HEAD_INITIALIZER(_name.queue),	\
	}

static MOCK_GATE(mock_map_gate);
static MOCK_GATE(mock_pin_gate);
static MOCK_GATE(mock_report_gate);
static MOCK_GATE(mock_attach_gate);
static MOCK_GATE(mock_detach_gate);
static MOCK_GATE(mock_track_gate);

/* A reserved region of all devices; there is none while the length is 0. */
static struct {
	unsigned long first_iova;
	unsigned long length;
	enum iommu_resv_type type;
} mock_reserved;

#define MOCK_USUAL_WINDOW						\
	((struct mock_windows){						\
		.first_iova = MOCK_APERTURE_START,			\
		.last_iova = MOCK_APERTURE_LAST,			\
	})

static struct mock_windows mock_windows_value = MOCK_USUAL_WINDOW;

/* -- what the driver asks -- */

/**
 * mock_switch_kind - what do new domains behave like?
 *
 * Context: Any.
 * Return: the personality.
 */
enum mock_kind mock_switch_kind(void)
{
	return READ_ONCE(mock_switch_personality);
}

/**
 * mock_switch_coherency - does the DMA of new devices snoop caches?
 *
 * Context: Any.
 * Return: whether it does, or can be made to.
 */
enum mock_coherency mock_switch_coherency(void)
{
	return READ_ONCE(mock_switch_coherency_value);
}

/**
 * mock_switch_shares_group - are new devices in the group of another one?
 *
 * Context: Any.
 * Return: whether they are.
 */
bool mock_switch_shares_group(void)
{
	return READ_ONCE(mock_switch_group_value);
}

/**
 * mock_switch_stays_detached - are new devices bound and no more?
 *
 * Context: Any.
 * Return: whether they are.
 */
bool mock_switch_stays_detached(void)
{
	return READ_ONCE(mock_switch_detached_value);
}

/**
 * mock_switch_fails_entry - does writing this entry fail?
 *
 * Context: Any.
 * Return: true for one entry at most.
 */
bool mock_switch_fails_entry(void)
{
	return atomic_read(&mock_switch_fail_entry) > 0 &&
	       atomic_dec_and_test(&mock_switch_fail_entry);
}

/**
 * mock_switch_note_leaf - remember how large leaves get
 * @bytes: of a leaf that is being written
 *
 * Context: Any.
 */
void mock_switch_note_leaf(size_t bytes)
{
	if (bytes > READ_ONCE(mock_switch_largest_leaf))
		WRITE_ONCE(mock_switch_largest_leaf, bytes);
}

/**
 * mock_switch_is_stuck - does this entry refuse to be unmapped?
 * @iova: of the first byte of the entry
 *
 * Context: Any.
 * Return: whether it does.
 */
bool mock_switch_is_stuck(unsigned long iova)
{
	u64 stuck_iova = READ_ONCE(mock_switch_stuck_iova);

	return stuck_iova && iova == stuck_iova;
}

/**
 * mock_switch_reserved - what reserved region do devices have?
 * @first_iova: written: its start
 * @type: written: its type
 *
 * Context: Any.
 * Return: its length in bytes, 0 if there is none.
 */
unsigned long mock_switch_reserved(unsigned long *first_iova,
				   enum iommu_resv_type *type)
{
	*first_iova = mock_reserved.first_iova;
	*type = mock_reserved.type;
	return mock_reserved.length;
}

/**
 * mock_switch_windows - what do new domains translate?
 *
 * Context: Any.
 * Return: one window, or two with a gap.
 */
struct mock_windows mock_switch_windows(void)
{
	return mock_windows_value;
}

/**
 * mock_switch_is_plain - do new devices belong to the plain driver?
 *
 * Context: Any.
 * Return: whether they do.
 */
bool mock_switch_is_plain(void)
{
	return READ_ONCE(mock_switch_plain_value);
}

/**
 * mock_switch_lacks_invalidate - can nested domains not be invalidated?
 *
 * Context: Any.
 * Return: whether they cannot.
 */
bool mock_switch_lacks_invalidate(void)
{
	return READ_ONCE(mock_switch_mute_value);
}

/**
 * mock_switch_keeps_pins - do in-kernel users keep what they have pinned?
 *
 * Context: Any.
 * Return: whether they do not listen to their unmap callback.
 */
bool mock_switch_keeps_pins(void)
{
	return READ_ONCE(mock_switch_keeps_pins_value);
}

/**
 * mock_switch_unpin_pages - in what pieces do in-kernel users unpin?
 *
 * Context: Any.
 * Return: pages; 0 in those that they have pinned.
 */
u32 mock_switch_unpin_pages(void)
{
	return READ_ONCE(mock_switch_unpin_pages_value);
}

/**
 * mock_switch_copies_in_worker - do in-kernel users copy in a kernel thread?
 *
 * Context: Any.
 * Return: whether they do.
 */
bool mock_switch_copies_in_worker(void)
{
	return READ_ONCE(mock_switch_in_worker_value);
}

static void mock_sleep(u32 ms)
{
	if (ms)
		schedule_timeout_killable(msecs_to_jiffies(ms));
}

static bool mock_gate_stops(struct mock_gate *gate, unsigned long first,
			    unsigned long last)
{
	guard(spinlock)(&gate->lock);

	return gate->is_closed && first <= gate->last && last >= gate->first;
}

static void mock_gate_pass(struct mock_gate *gate, unsigned long first,
			   unsigned long last)
{
	if (!mock_gate_stops(gate, first, last))
		return;

	atomic_inc(&gate->nr_waiting);
	wait_event_killable_timeout(gate->queue,
				    !mock_gate_stops(gate, first, last),
				    MOCK_GATE_TIMEOUT);
	atomic_dec(&gate->nr_waiting);
}

/**
 * mock_switch_delay_pin - wait as long as pinning is to take longer
 * @first_address: of the user memory
 * @last_address: the last of it, inclusive
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void mock_switch_delay_pin(unsigned long first_address,
			   unsigned long last_address)
{
	mock_sleep(READ_ONCE(mock_switch_pin_delay_ms));
	mock_gate_pass(&mock_pin_gate, first_address, last_address);
}

/**
 * mock_switch_delay_map - count a map call, and wait as long as it is to take longer
 * @first_iova: what it maps
 * @last_iova: the last of it, inclusive
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void mock_switch_delay_map(unsigned long first_iova, unsigned long last_iova)
{
	atomic_inc(&mock_switch_nr_maps);
	mock_sleep(READ_ONCE(mock_switch_map_delay_ms));
	mock_gate_pass(&mock_map_gate, first_iova, last_iova);
}

/**
 * mock_switch_delay_report - wait as long as the report of a fault is to take longer
 * @addr: where
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void mock_switch_delay_report(unsigned long addr)
{
	mock_gate_pass(&mock_report_gate, addr, addr);
}

/**
 * mock_switch_delay_attach - wait as long as an attach is to take longer
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void mock_switch_delay_attach(void)
{
	mock_gate_pass(&mock_attach_gate, 0, 0);
}

/**
 * mock_switch_delay_detach - wait as long as a detach is to take longer
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void mock_switch_delay_detach(void)
{
	mock_gate_pass(&mock_detach_gate, 0, 0);
}

/**
 * mock_switch_delay_tracking - wait as long as a switch of dirty tracking is to take
 *	longer
 *
 * Context: Process context, may sleep; less long after a fatal signal.
 */
void mock_switch_delay_tracking(void)
{
	mock_gate_pass(&mock_track_gate, 0, 0);
}

/* -- the files -- */

static ssize_t mock_copy_line(char *line, size_t room, const char __user *from,
			      size_t count)
{
	if (count >= room)
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;
	line[count] = '\0';
	return count;
}

static ssize_t mock_personality_read(struct file *file, char __user *to,
				     size_t count, loff_t *pos)
{
	const char *name = mock_kind_names[mock_switch_kind()];

	return simple_read_from_buffer(to, count, pos, name, strlen(name));
}

static ssize_t mock_personality_write(struct file *file, const char __user *from,
				      size_t count, loff_t *pos)
{
	ssize_t copied;
	char line[16];
	int kind;

	copied = mock_copy_line(line, sizeof(line), from, count);
	if (copied < 0)
		return copied;
	kind = __sysfs_match_string(mock_kind_names, MOCK_NR_KINDS, line);
	if (kind < 0)
		return kind;
	WRITE_ONCE(mock_switch_personality, kind);
	return copied;
}

static const struct file_operations mock_personality_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = mock_personality_read,
	.write = mock_personality_write,
};

static ssize_t mock_reserved_write(struct file *file, const char __user *from,
				   size_t count, loff_t *pos)
{
	unsigned long first_iova, last_iova;
	ssize_t copied;
	char line[64];

	copied = mock_copy_line(line, sizeof(line), from, count);
	if (copied < 0)
		return copied;

	mock_reserved.length = 0;
	if (sscanf(line, "%lx %lx", &first_iova, &last_iova) == 2) {
		mock_reserved.first_iova = first_iova;
		mock_reserved.length = last_iova - first_iova + 1;
		mock_reserved.type = strstr(line, "sw_msi") ?
					     IOMMU_RESV_SW_MSI :
					     IOMMU_RESV_RESERVED;
	}
	return copied;
}

static const struct file_operations mock_reserved_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = mock_reserved_write,
};

static ssize_t mock_windows_write(struct file *file, const char __user *from,
				  size_t count, loff_t *pos)
{
	struct mock_windows windows;
	unsigned long second_iova;
	ssize_t copied;
	char line[96];

	copied = mock_copy_line(line, sizeof(line), from, count);
	if (copied < 0)
		return copied;

	if (sscanf(line, "%lx %lx %lx %lx", &windows.first_iova,
		   &windows.gap_iova, &second_iova, &windows.last_iova) == 4) {
		windows.gap_iova++;
		windows.gap_bytes = second_iova - windows.gap_iova;
		mock_windows_value = windows;
	} else {
		mock_windows_value = MOCK_USUAL_WINDOW;
	}
	return copied;
}

static const struct file_operations mock_windows_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = mock_windows_write,
};

static ssize_t mock_gate_read(struct file *file, char __user *to, size_t count,
			      loff_t *pos)
{
	struct mock_gate *gate = file->private_data;
	char line[16];
	int length;

	length = scnprintf(line, sizeof(line), "%d\n",
			   atomic_read(&gate->nr_waiting));
	return simple_read_from_buffer(to, count, pos, line, length);
}

static ssize_t mock_gate_write(struct file *file, const char __user *from,
			       size_t count, loff_t *pos)
{
	struct mock_gate *gate = file->private_data;
	unsigned long first = 0, last = 0;
	ssize_t copied;
	char line[64];

	copied = mock_copy_line(line, sizeof(line), from, count);
	if (copied < 0)
		return copied;

	scoped_guard(spinlock, &gate->lock) {
		gate->is_closed = sscanf(line, "%lx %lx", &first, &last) == 2;
		gate->first = first;
		gate->last = last;
	}
	wake_up_all(&gate->queue);
	return copied;
}

static const struct file_operations mock_gate_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = mock_gate_read,
	.write = mock_gate_write,
};

/**
 * mock_switch_init - make the files
 *
 * Where there is no debugfs, the mock behaves as the ABI says.
 *
 * Context: Process context.
 */
void mock_switch_init(void)
{
	struct dentry *dir = debugfs_create_dir("iommufd_mock", NULL);

	debugfs_create_file("personality", 0600, dir, NULL,
			    &mock_personality_fops);
	debugfs_create_file("reserved", 0600, dir, NULL, &mock_reserved_fops);
	debugfs_create_file("windows", 0600, dir, NULL, &mock_windows_fops);
	debugfs_create_bool("plain_driver", 0600, dir,
			    &mock_switch_plain_value);
	debugfs_create_bool("lacks_invalidate", 0600, dir,
			    &mock_switch_mute_value);
	debugfs_create_file("gate", 0600, dir, &mock_map_gate,
			    &mock_gate_fops);
	debugfs_create_file("pin_gate", 0600, dir, &mock_pin_gate,
			    &mock_gate_fops);
	debugfs_create_file("report_gate", 0600, dir, &mock_report_gate,
			    &mock_gate_fops);
	debugfs_create_file("attach_gate", 0600, dir, &mock_attach_gate,
			    &mock_gate_fops);
	debugfs_create_file("detach_gate", 0600, dir, &mock_detach_gate,
			    &mock_gate_fops);
	debugfs_create_file("track_gate", 0600, dir, &mock_track_gate,
			    &mock_gate_fops);
	mock_faults_add_switches(dir);
	debugfs_create_atomic_t("fail_map_entry", 0600, dir,
				&mock_switch_fail_entry);
	debugfs_create_atomic_t("nr_maps", 0600, dir, &mock_switch_nr_maps);
	debugfs_create_x64("stuck_iova", 0600, dir, &mock_switch_stuck_iova);
	debugfs_create_u64("largest_leaf", 0600, dir,
			   &mock_switch_largest_leaf);
	debugfs_create_u32("coherency", 0600, dir,
			   &mock_switch_coherency_value);
	debugfs_create_bool("shares_group", 0600, dir,
			    &mock_switch_group_value);
	debugfs_create_bool("stays_detached", 0600, dir,
			    &mock_switch_detached_value);
	debugfs_create_u32("map_delay_ms", 0600, dir,
			   &mock_switch_map_delay_ms);
	debugfs_create_u32("pin_delay_ms", 0600, dir,
			   &mock_switch_pin_delay_ms);
	debugfs_create_bool("access_keeps_pins", 0600, dir,
			    &mock_switch_keeps_pins_value);
	debugfs_create_u32("access_unpin_pages", 0600, dir,
			   &mock_switch_unpin_pages_value);
	debugfs_create_bool("access_in_worker", 0600, dir,
			    &mock_switch_in_worker_value);
	mock_switch_dir = dir;
}

/**
 * mock_switch_exit - undo mock_switch_init()
 *
 * Context: Process context.
 */
void mock_switch_exit(void)
{
	debugfs_remove(mock_switch_dir);
}
