// SPDX-License-Identifier: GPL-2.0-only
/*
 * A window onto a bitmap in user memory; drivers record dirty IOVA in it.
 *
 * Drivers clear a dirty bit in their page table or device first and record it
 * then, so a record must not fail. Therefore iova_bitmap_for_each() pins the whole
 * bitmap before anything is read, if it is at most IOVA_BITMAP_WINDOW_BYTES
 * long. Of a longer one the part is pinned in which the record falls; there a
 * bitmap that turns out to be bad half way costs what is recorded behind it. A
 * caller who cannot afford that reads longer ranges piece by piece.
 *
 * Neighbours mostly come one after the other, as many records of a page each. So what
 * was recorded last is kept as a run, and written when a record comes that does not
 * go on with it, or when the callback is through.
 *
 * Bits are set byte by byte: what lies next to the bitmap is the user's business
 * and may change at any time, so it must not be written, not even as it was.
 *
 * Everything is in the mm of the calling task.
 */
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/highmem.h>
#include <linux/iova_bitmap.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define PAGE_BITS (PAGE_SIZE * BITS_PER_BYTE)

/* A window of full size that does not start on a page needs one more page. */
#define WINDOW_PAGES (DIV_ROUND_UP(IOVA_BITMAP_WINDOW_BYTES, PAGE_SIZE) + 1)

/* The bitmap is made of u64; this finds the byte of a bit in one of these. */
#define BYTE_ORDER_XOR (IS_ENABLED(CONFIG_CPU_BIG_ENDIAN) ? 7 : 0)

/**
 * struct iova_bitmap - a bitmap in user memory
 * @iova: the address that bit 0 stands for
 * @length: bytes of IOVA from there; 0 makes all records void
 * @granule_shift: one bit stands for 1 << granule_shift bytes
 * @error: why a record was lost since iova_bitmap_for_each() began, or 0
 * @first_page: user address of the page with bit 0
 * @first_page_bit: place of bit 0 in that page
 * @npages: pages that hold the bitmap
 * @max_pages: number of elements of @pages
 * @run_first: place of the first bit of a run that is not written yet, counted from
 *	the start of the first page
 * @run_end: behind its last bit; no higher than @run_first if there is none
 * @window_index: page number within the bitmap of the first pinned page
 * @window_pages: number of pinned pages
 * @window_dirty: something was written to them
 * @pages: the pinned pages
 */
struct iova_bitmap {
	unsigned long iova;
	size_t length;
	unsigned int granule_shift;
	int error;
	unsigned long first_page;
	unsigned int first_page_bit;
	unsigned long npages;
	unsigned int max_pages;
	unsigned long run_first;
	unsigned long run_end;
	unsigned long window_index;
	unsigned int window_pages;
	bool window_dirty;
	struct page *pages[] __counted_by(max_pages);
};

static unsigned long granule_index(const struct iova_bitmap *bitmap,
				   unsigned long iova)
{
	return (iova - bitmap->iova) >> bitmap->granule_shift;
}

static void release_window(struct iova_bitmap *bitmap)
{
	unpin_user_pages_dirty_lock(bitmap->pages, bitmap->window_pages,
				    bitmap->window_dirty);
	bitmap->window_pages = 0;
	bitmap->window_dirty = false;
}

/* Pin @npages pages of the bitmap from page number @index on, or none. */
static int pin_window(struct iova_bitmap *bitmap, unsigned long index,
		      unsigned int npages)
{
	release_window(bitmap);
	bitmap->window_index = index;
	while (bitmap->window_pages < npages) {
		unsigned int done = bitmap->window_pages;
		int rc = pin_user_pages_fast(bitmap->first_page +
						     (index + done) * PAGE_SIZE,
					     npages - done, FOLL_WRITE,
					     bitmap->pages + done);

		if (rc <= 0) {
			release_window(bitmap);
			return rc ? rc : -EFAULT;
		}
		bitmap->window_pages += rc;
	}
	return 0;
}

/*
 * Move the window to the page with number @index.
 *
 * Windows are cut at fixed places, as records may come in any order. If the
 * window has a bad page, the record may still fall into a good one.
 */
static int move_window(struct iova_bitmap *bitmap, unsigned long index)
{
	unsigned long first = index - index % bitmap->max_pages;
	unsigned int npages = min(bitmap->max_pages, bitmap->npages - first);
	int rc = pin_window(bitmap, first, npages);

	return rc == -EFAULT ? pin_window(bitmap, index, 1) : rc;
}

static void or_byte(u8 *bytes, unsigned int index, u8 mask)
{
	bytes[index ^ BYTE_ORDER_XOR] |= mask;
}

/* Set the bits from @first to @last. */
static void set_bits(u8 *bytes, unsigned int first, unsigned int last)
{
	unsigned int last_byte = last / BITS_PER_BYTE;
	unsigned int byte = first / BITS_PER_BYTE;
	u8 head = 0xff << first % BITS_PER_BYTE;
	u8 tail = 0xff >> (BITS_PER_BYTE - 1 - last % BITS_PER_BYTE);

	if (byte == last_byte) {
		or_byte(bytes, byte, head & tail);
		return;
	}
	or_byte(bytes, byte++, head);
	if (!BYTE_ORDER_XOR)
		memset(bytes + byte, 0xff, last_byte - byte);
	else
		while (byte < last_byte)
			or_byte(bytes, byte++, 0xff);
	or_byte(bytes, last_byte, tail);
}

/* Set bits of one page, both given as distance from the start of the first. */
static int set_in_page(struct iova_bitmap *bitmap, unsigned long first,
		       unsigned long last)
{
	unsigned long index = first / PAGE_BITS;
	u8 *bytes;
	int rc;

	if (index - bitmap->window_index >= bitmap->window_pages) {
		rc = move_window(bitmap, index);
		if (rc)
			return rc;
	}
	bytes = kmap_local_page(bitmap->pages[index - bitmap->window_index]);
	set_bits(bytes, first % PAGE_BITS, last % PAGE_BITS);
	kunmap_local(bytes);
	bitmap->window_dirty = true;
	return 0;
}

/* Write the run, page by page. */
static void write_run(struct iova_bitmap *bitmap)
{
	unsigned long bit = bitmap->run_first;

	while (bit < bitmap->run_end) {
		unsigned long last = min(bitmap->run_end - 1,
					 bit | (PAGE_BITS - 1));
		int rc = set_in_page(bitmap, bit, last);

		/* Go on: what has a place shall be recorded all the same. */
		if (rc && !bitmap->error)
			bitmap->error = rc;
		bit = last + 1;
	}
	bitmap->run_first = bit;
}

/**
 * iova_bitmap_set - record a dirty range
 * @bitmap: the bitmap
 * @iova: lowest dirty address
 * @length: dirty bytes from there
 *
 * Sets the bit of every granule that the range touches, at the latest when the
 * callback returns. What is outside of the bitmap is ignored. If the bitmap cannot
 * be written, iova_bitmap_for_each() will return the error.
 *
 * Context: Called below iova_bitmap_for_each(). May sleep.
 */
void iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova,
		     size_t length)
{
	unsigned long last_iova, bit, end_bit;

	if (!length || !bitmap->length)
		return;
	if (check_add_overflow(iova, length - 1, &last_iova))
		last_iova = ULONG_MAX;
	if (last_iova < bitmap->iova ||
	    iova > bitmap->iova + (bitmap->length - 1))
		return;
	iova = max(iova, bitmap->iova);
	last_iova = min(last_iova, bitmap->iova + (bitmap->length - 1));

	bit = bitmap->first_page_bit + granule_index(bitmap, iova);
	end_bit = bitmap->first_page_bit + granule_index(bitmap, last_iova) + 1;
	if (bit < bitmap->run_first || bit > bitmap->run_end) {
		write_run(bitmap);
		bitmap->run_first = bit;
		bitmap->run_end = end_bit;
	} else if (end_bit > bitmap->run_end) {
		bitmap->run_end = end_bit;
	}
}
EXPORT_SYMBOL_NS_GPL(iova_bitmap_set, IOMMUFD);

/**
 * iova_bitmap_for_each - have a range read into its bitmap
 * @bitmap: the bitmap
 * @opaque: handed to @fn
 * @fn: hands dirty ranges to iova_bitmap_set(); called once, for everything
 *
 * Bits are only ever set. When this returns the user sees them all.
 *
 * Context: Process context of the bitmap's owner. May sleep.
 * Return: what @fn returns if that is not 0; otherwise -EFAULT, or what else
 *	keeps the bitmap from being pinned. If the bitmap is no longer than
 *	IOVA_BITMAP_WINDOW_BYTES, @fn has not been called then.
 */
int iova_bitmap_for_each(struct iova_bitmap *bitmap, void *opaque,
			 iova_bitmap_fn_t fn)
{
	int rc = 0;

	bitmap->error = 0;
	if (bitmap->npages <= bitmap->max_pages)
		rc = pin_window(bitmap, 0, bitmap->npages);
	if (!rc)
		rc = fn(bitmap, bitmap->iova, bitmap->length, opaque);
	write_run(bitmap);
	release_window(bitmap);
	return rc ? rc : bitmap->error;
}
EXPORT_SYMBOL_NS_GPL(iova_bitmap_for_each, IOMMUFD);

/* Work out where in user memory the bitmap is. */
static int place_bitmap(struct iova_bitmap *bitmap, u64 __user *data)
{
	unsigned long address = (unsigned long)data;
	unsigned long last_byte;

	if (!bitmap->length)
		return 0;
	last_byte = granule_index(bitmap, bitmap->iova + bitmap->length - 1) /
		    BITS_PER_BYTE;
	/* Then no sum of an address and an offset in the bitmap can wrap. */
	if (!access_ok(data, last_byte + 1))
		return -EFAULT;
	if (BYTE_ORDER_XOR && address % sizeof(*data))
		return -EINVAL;
	bitmap->first_page = address & PAGE_MASK;
	bitmap->first_page_bit = offset_in_page(address) * BITS_PER_BYTE;
	bitmap->npages = (offset_in_page(address) + last_byte) / PAGE_SIZE + 1;
	return 0;
}

/**
 * iova_bitmap_alloc - describe a bitmap in user memory
 * @iova: lowest address that it stands for
 * @length: bytes from there
 * @page_size: bytes of IOVA for each bit; of a number that is not a power of two
 *	the lowest bit counts
 * @data: the bitmap, as u64 in the byte order of the CPU; of any alignment on a
 *	little endian machine
 *
 * The user's memory is not touched.
 *
 * Context: Process context of the bitmap's owner. May sleep.
 * Return: the bitmap, or an ERR_PTR: -EINVAL @page_size is 0, -EOVERFLOW the range
 *	wraps, -EFAULT the bitmap is not in user memory, -ENOMEM.
 */
struct iova_bitmap *iova_bitmap_alloc(unsigned long iova, size_t length,
				      unsigned long page_size,
				      u64 __user *data)
{
	struct iova_bitmap place = { .iova = iova, .length = length };
	struct iova_bitmap *bitmap;
	unsigned long last_iova;
	int rc;

	if (!page_size)
		return ERR_PTR(-EINVAL);
	if (length && check_add_overflow(iova, length - 1, &last_iova))
		return ERR_PTR(-EOVERFLOW);
	place.granule_shift = __ffs(page_size);
	rc = place_bitmap(&place, data);
	if (rc)
		return ERR_PTR(rc);

	place.max_pages = min(place.npages, WINDOW_PAGES);
	bitmap = kzalloc(struct_size(bitmap, pages, place.max_pages),
			 GFP_KERNEL_ACCOUNT);
	if (!bitmap)
		return ERR_PTR(-ENOMEM);
	*bitmap = place;
	return bitmap;
}
EXPORT_SYMBOL_NS_GPL(iova_bitmap_alloc, IOMMUFD);

/**
 * iova_bitmap_free - undo iova_bitmap_alloc()
 * @bitmap: the bitmap, or NULL
 *
 * Context: May sleep.
 */
void iova_bitmap_free(struct iova_bitmap *bitmap)
{
	if (!bitmap)
		return;
	/* What was recorded outside of iova_bitmap_for_each(). */
	write_run(bitmap);
	release_window(bitmap);
	kfree(bitmap);
}
EXPORT_SYMBOL_NS_GPL(iova_bitmap_free, IOMMUFD);
