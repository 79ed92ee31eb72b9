// SPDX-License-Identifier: GPL-2.0-only
/*
 * What /proc/PID/fdinfo tells about an iommufd.
 *
 * It is what one looks at when something hangs, so it must not hang: it takes no
 * lock, walks no mappings, and reads counters that can change meanwhile.
 */
#include <linux/fs.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "entry.h"
#include "ioas.h"
#include "iommufd_private.h"

static const char *const iommufd_kind_names[IOMMUFD_NR_KINDS] = {
	[IOMMUFD_DEVICE] = "devices",
	[IOMMUFD_IOAS] = "ioas",
	[IOMMUFD_HWPT] = "hwpts",
	[IOMMUFD_HWPT_NESTED] = "nested-hwpts",
	[IOMMUFD_FAULT] = "fault-queues",
	[IOMMUFD_ACCESS] = "accesses",
	[IOMMUFD_STDEV] = "mocks",
};

static unsigned long iommufd_count_domains(struct iopt_domains *domains)
{
	struct iopt_domain *member;
	unsigned long count = 0;

	list_for_each_entry_rcu(member, &domains->members, item)
		count++;
	return count;
}

static void iommufd_show_ioas(struct seq_file *m, struct iommufd_ioas *ioas)
{
	struct io_pagetable *iopt = &ioas->iopt;

	seq_printf(m, "iommufd-ioas-%u:\tareas %lu mapped %lu bytes quarantined %lu domains %lu\n",
		   ioas->obj.id, READ_ONCE(iopt->nr_areas),
		   READ_ONCE(iopt->mapped_bytes),
		   READ_ONCE(iopt->nr_quarantined),
		   iommufd_count_domains(&iopt->domains));
}

/*
 * Count the first object from @id on if it is published, and show it if it is an IOAS.
 * Return: false when there is none. An RCU section each, for there can be many.
 */
static bool iommufd_show_object(struct seq_file *m, struct iommufd_ctx *ictx,
				unsigned long *id, unsigned int *counts)
{
	struct iommufd_object *object;

	guard(rcu)();
	object = xa_find(&ictx->objects, id, ULONG_MAX, XA_PRESENT);
	if (!object)
		return false;

	if (!iommufd_object_is_published(object))
		return true;
	counts[object->ops->kind]++;
	if (object->ops->kind == IOMMUFD_IOAS)
		iommufd_show_ioas(m, to_ioas(object));
	return true;
}

/**
 * iommufd_show_fdinfo - show the state of a file
 * @m: where
 * @file: a file of /dev/iommu
 *
 * Context: Process context, may sleep.
 */
void iommufd_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct iommufd_ctx *ictx = file->private_data;
	unsigned int counts[IOMMUFD_NR_KINDS] = {};

	for (unsigned long id = 0; iommufd_show_object(m, ictx, &id, counts);
	     id++)
		cond_resched();

	for (int kind = IOMMUFD_ANY_KIND + 1; kind < IOMMUFD_NR_KINDS; kind++) {
		if (kind == IOMMUFD_STDEV && !IS_ENABLED(CONFIG_IOMMUFD_TEST))
			continue;
		seq_printf(m, "iommufd-%s:\t%u\n", iommufd_kind_names[kind],
			   counts[kind]);
	}
}
