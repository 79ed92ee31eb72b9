// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the life of an object.
 *
 * One test makes up random lives by the grammar in object.c, of many objects at
 * once, and compares what look-ups, IDs and destroys say with a model that is a
 * plain array. The others are about what takes two threads.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched/signal.h>

#include "../iommufd_private.h"

#define NR_SLOTS 24
#define NR_STEPS 20000

/**
 * struct test_object - what is under test, with a trace of its end
 * @obj: the object
 * @nr_destroyed: where to count that ops->destroy() was called
 * @uses: what to stop using in ops->destroy(), or NULL
 */
struct test_object {
	struct iommufd_object obj;
	unsigned int *nr_destroyed;
	struct iommufd_object *uses;
};

static void test_object_destroy(struct iommufd_object *object)
{
	struct test_object *test_object =
		container_of(object, struct test_object, obj);

	++*test_object->nr_destroyed;
	if (test_object->uses)
		iommufd_object_unuse(test_object->uses);
}

/* The user's, and a driver's. */
static const struct iommufd_object_ops test_ops[] = {
	{ .kind = IOMMUFD_IOAS, .destroy = test_object_destroy },
	{ .kind = IOMMUFD_DEVICE, .destroy = test_object_destroy,
	  .kernel_owned = true },
};

/**
 * struct slot - the model of an object
 * @test_object: it, NULL if there is none
 * @id: the ID it was given
 * @is_published: whether it is to be found
 * @calls: references from look-ups
 * @users: uses
 */
struct slot {
	struct test_object *test_object;
	u32 id;
	bool is_published;
	unsigned int calls;
	unsigned int users;
};

/**
 * struct fixture - a file and the model of what is in it
 * @test: for expectations
 * @ictx: the file
 * @slots: the model
 * @nr_destroyed: counted by the objects
 * @nr_to_destroy: counted by the model
 * @rnd: source of random numbers
 */
struct fixture {
	struct kunit *test;
	struct iommufd_ctx ictx;
	struct slot slots[NR_SLOTS];
	unsigned int nr_destroyed;
	unsigned int nr_to_destroy;
	struct rnd_state rnd;
};

static struct test_object *begin(struct fixture *fix,
				 const struct iommufd_object_ops *ops)
{
	struct test_object *test_object;

	test_object = iommufd_object_begin(&fix->ictx, struct test_object, ops);
	KUNIT_ASSERT_FALSE(fix->test, IS_ERR(test_object));
	test_object->nr_destroyed = &fix->nr_destroyed;
	return test_object;
}

static u32 random_below(struct fixture *fix, u32 limit)
{
	return prandom_u32_state(&fix->rnd) % limit;
}

static bool id_is_taken(struct fixture *fix, u32 id)
{
	for (int i = 0; i < NR_SLOTS; i++)
		if (fix->slots[i].test_object && fix->slots[i].id == id)
			return true;
	return false;
}

static u32 lowest_free_id(struct fixture *fix)
{
	u32 id = 1;

	while (id_is_taken(fix, id))
		id++;
	return id;
}

/* -- the steps of a life -- */

static void step_begin(struct fixture *fix, struct slot *slot)
{
	u32 id = lowest_free_id(fix);

	slot->test_object = begin(fix, &test_ops[random_below(fix, 2)]);
	slot->id = slot->test_object->obj.id;
	KUNIT_EXPECT_EQ(fix->test, slot->id, id);
}

static void step_drop(struct fixture *fix, struct slot *slot)
{
	if (slot->users)
		return;
	if (random_below(fix, 2)) {
		iommufd_object_discard(&slot->test_object->obj);
	} else {
		iommufd_object_abort(&slot->test_object->obj);
		fix->nr_to_destroy++;
	}
	*slot = (struct slot){};
}

static void step_publish(struct fixture *fix, struct slot *slot)
{
	iommufd_object_publish(&slot->test_object->obj);
	slot->is_published = true;
}

static void step_get(struct fixture *fix, struct slot *slot)
{
	enum iommufd_kind kind = slot->test_object->obj.ops->kind;
	struct iommufd_object *object;

	object = iommufd_object_get(&fix->ictx, slot->id,
				    random_below(fix, 2) ? kind :
							   IOMMUFD_ANY_KIND);
	KUNIT_EXPECT_PTR_EQ(fix->test, object, &slot->test_object->obj);
	slot->calls++;
	object = iommufd_object_get(&fix->ictx, slot->id, IOMMUFD_HWPT);
	KUNIT_EXPECT_EQ(fix->test, PTR_ERR(object), -ENOENT);
}

static void step_put(struct fixture *fix, struct slot *slot)
{
	if (!slot->calls)
		return;
	iommufd_object_put(&slot->test_object->obj);
	slot->calls--;
}

static void step_use(struct fixture *fix, struct slot *slot)
{
	KUNIT_EXPECT_EQ(fix->test,
			iommufd_object_use(&slot->test_object->obj), 0);
	slot->users++;
}

static void expect_destroyed(struct fixture *fix, struct slot *slot)
{
	fix->nr_to_destroy++;
	*slot = (struct slot){};
}

static void step_unuse(struct fixture *fix, struct slot *slot)
{
	struct iommufd_object *object = &slot->test_object->obj;
	bool is_last = slot->users == 1;

	if (!slot->users)
		return;
	slot->users--;
	if (slot->calls || !slot->is_published || random_below(fix, 2)) {
		iommufd_object_unuse(object);
		return;
	}
	KUNIT_EXPECT_EQ(fix->test, iommufd_object_unuse_retire(object), is_last);
	if (is_last) {
		iommufd_object_destroy_retired(object);
		expect_destroyed(fix, slot);
	}
}

static void step_destroy_id(struct fixture *fix, struct slot *slot)
{
	struct iommufd_object *object = &slot->test_object->obj;
	int expected = 0;

	if (object->ops->kernel_owned || slot->users)
		expected = -EBUSY;
	else if (slot->calls)
		/* That would wait; see destroy_waits_for_calls(). */
		return;

	KUNIT_EXPECT_EQ(fix->test,
			iommufd_object_destroy_id(&fix->ictx, slot->id),
			expected);
	if (!expected)
		expect_destroyed(fix, slot);
}

static void step_destroy_owned(struct fixture *fix, struct slot *slot)
{
	struct iommufd_object *object = &slot->test_object->obj;

	if (!object->ops->kernel_owned || slot->users || slot->calls)
		return;
	iommufd_object_retire(object);
	iommufd_object_destroy_retired(object);
	expect_destroyed(fix, slot);
}

typedef void (*step_fn)(struct fixture *fix, struct slot *slot);

static const step_fn begun_steps[] = {
	step_drop, step_use, step_unuse, step_publish,
};

static const step_fn published_steps[] = {
	step_get, step_put, step_put, step_use, step_unuse, step_unuse,
	step_destroy_id, step_destroy_owned,
};

static step_fn pick(struct fixture *fix, const step_fn *steps, u32 nr_steps)
{
	return steps[random_below(fix, nr_steps)];
}

static void step(struct fixture *fix)
{
	struct slot *slot = &fix->slots[random_below(fix, NR_SLOTS)];

	if (!slot->test_object)
		step_begin(fix, slot);
	else if (!slot->is_published)
		pick(fix, begun_steps, ARRAY_SIZE(begun_steps))(fix, slot);
	else
		pick(fix, published_steps,
		     ARRAY_SIZE(published_steps))(fix, slot);
}

/* Whatever happened to one object, the others are where they were. */
static void check_look_ups(struct fixture *fix)
{
	for (int i = 0; i < NR_SLOTS; i++) {
		struct slot *slot = &fix->slots[i];
		struct iommufd_object *object;

		if (!slot->test_object)
			continue;
		object = iommufd_object_get(&fix->ictx, slot->id,
					    IOMMUFD_ANY_KIND);
		if (slot->is_published) {
			KUNIT_ASSERT_PTR_EQ(fix->test, object,
					    &slot->test_object->obj);
			iommufd_object_put(object);
		} else {
			KUNIT_ASSERT_EQ(fix->test, PTR_ERR(object), -ENOENT);
		}
	}
	KUNIT_ASSERT_EQ(fix->test, fix->nr_destroyed, fix->nr_to_destroy);
}

/* -- tests -- */

/* Scenario 24. */
static void random_lives(struct kunit *test)
{
	struct fixture *fix = test->priv;

	for (int i = 0; i < NR_STEPS; i++) {
		step(fix);
		check_look_ups(fix);
	}
	KUNIT_EXPECT_GT(test, fix->nr_destroyed, NR_STEPS / 100);

	for (int i = 0; i < NR_SLOTS; i++) {
		struct slot *slot = &fix->slots[i];

		if (slot->test_object && !slot->is_published)
			step_publish(fix, slot);
		while (slot->calls)
			step_put(fix, slot);
		for (; slot->users; slot->users--)
			iommufd_object_unuse(&slot->test_object->obj);
	}
}

static void unknown_ids(struct kunit *test)
{
	static const u32 ids[] = { 0, 1, 2, INT_MAX, 1U << 31, U32_MAX };
	struct fixture *fix = test->priv;

	for (int i = 0; i < ARRAY_SIZE(ids); i++) {
		KUNIT_EXPECT_EQ(test,
				PTR_ERR(iommufd_object_get(&fix->ictx, ids[i],
							   IOMMUFD_ANY_KIND)),
				-ENOENT);
		KUNIT_EXPECT_EQ(test,
				iommufd_object_destroy_id(&fix->ictx, ids[i]),
				-ENOENT);
	}
}

/*
 * A chain in which each uses the next or the previous: the order is forced.
 * Scenario 24.
 */
static void close_destroys_users_first(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct test_object *chain[10];

	for (int dir = 0; dir < 2; dir++) {
		for (int i = 0; i < ARRAY_SIZE(chain); i++)
			chain[i] = begin(fix, &test_ops[i % 2]);
		for (int i = 0; i + 1 < ARRAY_SIZE(chain); i++) {
			struct iommufd_object *used = &chain[i + !dir]->obj;

			chain[i + dir]->uses = used;
			KUNIT_EXPECT_EQ(test, iommufd_object_use(used), 0);
		}
		for (int i = 0; i < ARRAY_SIZE(chain); i++)
			iommufd_object_publish(&chain[i]->obj);
		fix->nr_destroyed = 0;
		KUNIT_EXPECT_TRUE(test,
				  iommufd_ctx_destroy_objects(&fix->ictx));
		KUNIT_EXPECT_EQ(test, fix->nr_destroyed, ARRAY_SIZE(chain));
	}
}

/**
 * struct destroyer - a thread that destroys an object
 * @fix: where
 * @id: which
 * @rc: how it went
 * @done: it is through
 * @task: the thread
 */
struct destroyer {
	struct fixture *fix;
	u32 id;
	int rc;
	struct completion done;
	struct task_struct *task;
};

static int destroyer_main(void *data)
{
	struct destroyer *destroyer = data;

	allow_signal(SIGKILL);
	destroyer->rc = iommufd_object_destroy_id(&destroyer->fix->ictx,
						  destroyer->id);
	complete(&destroyer->done);
	while (!kthread_should_stop())
		schedule_timeout_uninterruptible(1);
	return 0;
}

static bool is_found(struct fixture *fix, u32 id)
{
	struct iommufd_object *object;

	object = iommufd_object_get(&fix->ictx, id, IOMMUFD_ANY_KIND);
	if (IS_ERR(object))
		return false;
	iommufd_object_put(object);
	return true;
}

/* Start to destroy an object that is in use by a call, up to the wait. */
static void start_destroyer(struct fixture *fix, struct destroyer *destroyer,
			    struct iommufd_object *object)
{
	struct kunit *test = fix->test;

	destroyer->fix = fix;
	destroyer->id = object->id;
	init_completion(&destroyer->done);
	destroyer->task = kthread_run(destroyer_main, destroyer, "destroyer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(destroyer->task));
	while (is_found(fix, object->id))
		schedule_timeout_uninterruptible(1);
	schedule_timeout_uninterruptible(2);
	KUNIT_EXPECT_FALSE(test, completion_done(&destroyer->done));
	KUNIT_EXPECT_EQ(test, fix->nr_destroyed, 0);
}

static int join_destroyer(struct destroyer *destroyer)
{
	wait_for_completion(&destroyer->done);
	kthread_stop(destroyer->task);
	return destroyer->rc;
}

static struct iommufd_object *begin_call(struct fixture *fix)
{
	struct iommufd_object *object = &begin(fix, &test_ops[0])->obj;

	iommufd_object_publish(object);
	KUNIT_ASSERT_PTR_EQ(fix->test, object,
			    iommufd_object_get(&fix->ictx, object->id,
					       IOMMUFD_IOAS));
	return object;
}

/* Scenarios 20 and 23. */
static void destroy_waits_for_calls(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct iommufd_object *object = begin_call(fix);
	struct test_object *other;
	struct destroyer destroyer;
	u32 id = object->id;

	start_destroyer(fix, &destroyer, object);
	/* The second to destroy it finds nothing, and does not wait. */
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&fix->ictx, id),
			-ENOENT);
	/* The call that is in it cannot make it last any more. */
	KUNIT_EXPECT_EQ(test, iommufd_object_use(object), -ENOENT);
	/* Nobody gets its ID while there is something to be undone. */
	other = begin(fix, &test_ops[0]);
	KUNIT_EXPECT_NE(test, other->obj.id, id);
	iommufd_object_discard(&other->obj);

	iommufd_object_put(object);
	KUNIT_EXPECT_EQ(test, join_destroyer(&destroyer), 0);
	KUNIT_EXPECT_EQ(test, fix->nr_destroyed, 1);
	/* But then it is free. */
	other = begin(fix, &test_ops[0]);
	KUNIT_EXPECT_EQ(test, other->obj.id, id);
	KUNIT_EXPECT_FALSE(test, is_found(fix, id));
	iommufd_object_discard(&other->obj);
}

/* What was looked up last is found without the table. */
static void recent_object_ends_like_any(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct iommufd_object *object = begin_call(fix);
	struct test_object *next;
	u32 id = object->id;

	iommufd_object_put(object);
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENOENT),
			    iommufd_object_get(&fix->ictx, id, IOMMUFD_DEVICE));
	KUNIT_EXPECT_EQ(test, refcount_read(&object->calls), 1);
	KUNIT_EXPECT_FALSE(test, is_found(fix, id + 1));
	KUNIT_EXPECT_TRUE(test, is_found(fix, id));
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&fix->ictx, id), 0);
	KUNIT_EXPECT_FALSE(test, is_found(fix, id));

	next = begin(fix, &test_ops[0]);
	KUNIT_EXPECT_EQ(test, next->obj.id, id);
	KUNIT_EXPECT_FALSE(test, is_found(fix, id));
	iommufd_object_publish(&next->obj);
	KUNIT_EXPECT_PTR_EQ(test, &next->obj,
			    iommufd_object_get(&fix->ictx, id, IOMMUFD_IOAS));
	iommufd_object_put(&next->obj);
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&fix->ictx, id), 0);
}

static void killed_destroy_puts_back(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct iommufd_object *object = begin_call(fix);
	struct destroyer destroyer;
	u32 id = object->id;

	start_destroyer(fix, &destroyer, object);
	send_sig(SIGKILL, destroyer.task, 1);
	KUNIT_EXPECT_EQ(test, join_destroyer(&destroyer), -EINTR);
	KUNIT_EXPECT_EQ(test, fix->nr_destroyed, 0);
	KUNIT_EXPECT_TRUE(test, is_found(fix, id));
	KUNIT_EXPECT_EQ(test, iommufd_object_use(object), 0);
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&fix->ictx, id),
			-EBUSY);

	iommufd_object_unuse(object);
	iommufd_object_put(object);
	KUNIT_EXPECT_EQ(test, iommufd_object_destroy_id(&fix->ictx, id), 0);
	KUNIT_EXPECT_EQ(test, fix->nr_destroyed, 1);
}

/* The signal and the end of the last call at once: one of the two, not half. */
static void killed_destroy_can_be_late(struct kunit *test)
{
	struct fixture *fix = test->priv;

	for (int i = 0; i < 50; i++) {
		struct iommufd_object *object = begin_call(fix);
		struct destroyer destroyer;
		u32 id = object->id;
		int rc;

		fix->nr_destroyed = 0;
		start_destroyer(fix, &destroyer, object);
		send_sig(SIGKILL, destroyer.task, 1);
		if (i % 2)
			cond_resched();
		iommufd_object_put(object);
		rc = join_destroyer(&destroyer);
		KUNIT_EXPECT_TRUE(test, rc == 0 || rc == -EINTR);
		KUNIT_EXPECT_EQ(test, fix->nr_destroyed, !rc);
		KUNIT_EXPECT_EQ(test,
				iommufd_object_destroy_id(&fix->ictx, id),
				rc ? 0 : -ENOENT);
		KUNIT_EXPECT_EQ(test, fix->nr_destroyed, 1);
	}
}

static int object_test_init(struct kunit *test)
{
	struct fixture *fix = kunit_kzalloc(test, sizeof(*fix), GFP_KERNEL);

	if (!fix)
		return -ENOMEM;
	fix->test = test;
	prandom_seed_state(&fix->rnd, 1);
	iommufd_ctx_init(&fix->ictx);
	test->priv = fix;
	return 0;
}

static void object_test_exit(struct kunit *test)
{
	struct fixture *fix = test->priv;

	if (fix)
		KUNIT_EXPECT_TRUE(test,
				  iommufd_ctx_destroy_objects(&fix->ictx));
}

static struct kunit_case object_cases[] = {
	KUNIT_CASE(random_lives),
	KUNIT_CASE(unknown_ids),
	KUNIT_CASE(close_destroys_users_first),
	KUNIT_CASE(destroy_waits_for_calls),
	KUNIT_CASE(recent_object_ends_like_any),
	KUNIT_CASE(killed_destroy_puts_back),
	KUNIT_CASE(killed_destroy_can_be_late),
	{}
};

static struct kunit_suite object_suite = {
	.name = "iommufd_object",
	.init = object_test_init,
	.exit = object_test_exit,
	.test_cases = object_cases,
};

kunit_test_suite(object_suite);

MODULE_DESCRIPTION("Tests of the life of iommufd's objects");
MODULE_LICENSE("GPL");
