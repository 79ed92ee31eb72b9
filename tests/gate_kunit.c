// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the gate.
 *
 * The test and its visitors, each of them a thread, are inside or keep it closed, and
 * who has to wait for whom is looked at. A visitor that is to wait gets time to do what
 * it must not do. One that is not to wait has a minute.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/debug.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "../gate.h"

#define NR_VISITORS	6
#define NR_GATES	2
#define NR_ROUNDS	100
#define PATIENCE	(60 * HZ)

struct visitor;

typedef void (*visit_fn)(struct visitor *visitor);

/**
 * struct visitor - a thread at the gates
 * @fix: where
 * @visit: what it does
 * @task: it, referenced
 * @arrived: it is inside, or nobody else is
 * @sent: it is to go on
 * @gone: it has done all
 */
struct visitor {
	struct fixture *fix;
	visit_fn visit;
	struct task_struct *task;
	struct completion arrived;
	struct completion sent;
	struct completion gone;
};

/**
 * struct fixture - gates and who is there
 * @test: for expectations
 * @gates: the gates; most tests are about the first one
 * @visitors: threads
 * @nr_visitors: how many
 * @nr_inside: of each gate, how many are inside, if they count it
 * @nr_closers: of each gate, how many keep it closed, if they count it
 * @nr_meetings: how often there were both
 */
struct fixture {
	struct kunit *test;
	struct iommufd_gate gates[NR_GATES];
	struct visitor visitors[NR_VISITORS];
	unsigned int nr_visitors;
	atomic_t nr_inside[NR_GATES];
	atomic_t nr_closers[NR_GATES];
	atomic_t nr_meetings;
};

static s64 state_of(struct fixture *fix)
{
	return atomic64_read(&fix->gates[0].state);
}

/* Time enough for others to do all they can. */
static void pause_briefly(void)
{
	msleep(20);
}

/* -- visitors -- */

/* Be there until sent away. */
static void visitor_stay(struct visitor *visitor)
{
	complete(&visitor->arrived);
	wait_for_completion(&visitor->sent);
}

static void visit_inside(struct visitor *visitor)
{
	struct iommufd_gate *gate = visitor->fix->gates;

	iommufd_gate_enter(gate);
	visitor_stay(visitor);
	iommufd_gate_leave(gate);
}

static void visit_and_close(struct visitor *visitor)
{
	struct iommufd_gate *gate = visitor->fix->gates;

	iommufd_gate_close(gate);
	visitor_stay(visitor);
	iommufd_gate_open(gate);
}

static void visit_and_close_twice(struct visitor *visitor)
{
	struct iommufd_gate *gate = visitor->fix->gates;

	iommufd_gate_close_both(gate, gate);
	visitor_stay(visitor);
	iommufd_gate_open_both(gate, gate);
}

/* Pause when sent on, arrive once more, and stay. */
static void visit_with_pause(struct visitor *visitor)
{
	struct iommufd_gate *gate = visitor->fix->gates;

	iommufd_gate_enter(gate);
	visitor_stay(visitor);
	iommufd_gate_pause(gate);
	visitor_stay(visitor);
	iommufd_gate_leave(gate);
}

static int visitor_main(void *data)
{
	struct visitor *visitor = data;

	visitor->visit(visitor);
	complete_all(&visitor->gone);
	return 0;
}

static struct visitor *start(struct fixture *fix, visit_fn visit)
{
	struct visitor *visitor = &fix->visitors[fix->nr_visitors];

	KUNIT_ASSERT_LT(fix->test, fix->nr_visitors, NR_VISITORS);
	visitor->fix = fix;
	visitor->visit = visit;
	init_completion(&visitor->arrived);
	init_completion(&visitor->sent);
	init_completion(&visitor->gone);
	visitor->task = kthread_create(visitor_main, visitor, "visitor");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(fix->test, visitor->task);
	fix->nr_visitors++;
	get_task_struct(visitor->task);
	wake_up_process(visitor->task);
	return visitor;
}

static void expect_soon(struct visitor *visitor, struct completion *done)
{
	if (wait_for_completion_timeout(done, PATIENCE))
		return;
	sched_show_task(visitor->task);
	/* Who is still there cannot be told to give up: see gate_test_exit(). */
	KUNIT_ASSERT_TRUE_MSG(visitor->fix->test, false, "a visitor is stuck");
}

static void expect_arrival(struct visitor *visitor)
{
	expect_soon(visitor, &visitor->arrived);
}

/* Start one that does not have to wait. */
static struct visitor *start_and_arrive(struct fixture *fix, visit_fn visit)
{
	struct visitor *visitor = start(fix, visit);

	expect_arrival(visitor);
	return visitor;
}

static void expect_waiting(struct visitor *visitor)
{
	pause_briefly();
	KUNIT_EXPECT_FALSE(visitor->fix->test,
			   completion_done(&visitor->arrived));
}

/* Start one that has to wait, and see that it does. */
static struct visitor *start_and_wait(struct fixture *fix, visit_fn visit)
{
	struct visitor *visitor = start(fix, visit);

	expect_waiting(visitor);
	return visitor;
}

static void send_away(struct visitor *visitor)
{
	complete(&visitor->sent);
	expect_soon(visitor, &visitor->gone);
}

static void send_all_away(struct fixture *fix)
{
	for (unsigned int i = 0; i < fix->nr_visitors; i++)
		send_away(&fix->visitors[i]);
	KUNIT_EXPECT_EQ(fix->test, state_of(fix), 0);
}

/* Nobody can enter, and to try makes no difference. */
static void expect_no_entry(struct fixture *fix)
{
	s64 state = state_of(fix);

	KUNIT_EXPECT_LT(fix->test, state, 0);
	KUNIT_EXPECT_FALSE(fix->test, iommufd_gate_try_enter(fix->gates));
	KUNIT_EXPECT_EQ(fix->test, state_of(fix), state);
}

/* -- tests: one kind of work -- */

static void many_are_inside(struct kunit *test)
{
	struct fixture *fix = test->priv;

	for (int i = 0; i < NR_VISITORS; i++)
		start_and_arrive(fix, visit_inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), NR_VISITORS);
	KUNIT_EXPECT_TRUE(test, iommufd_gate_try_enter(fix->gates));
	KUNIT_EXPECT_EQ(test, state_of(fix), NR_VISITORS + 1);
	__iommufd_gate_leave(fix->gates);
	send_all_away(fix);
}

/* The same one as well, as in a replace that stays below one parent. */
static void many_keep_it_closed(struct kunit *test)
{
	struct fixture *fix = test->priv;

	for (int i = 0; i < NR_VISITORS; i++)
		start_and_arrive(fix, i % 2 ? visit_and_close :
					      visit_and_close_twice);
	KUNIT_EXPECT_EQ(test, state_of(fix),
			IOMMUFD_GATE_CLOSER * NR_VISITORS);
	expect_no_entry(fix);
	send_all_away(fix);
}

/* -- tests: one kind and the other -- */

static void close_waits_until_all_have_left(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *first = start_and_arrive(fix, visit_inside);
	struct visitor *second = start_and_arrive(fix, visit_inside);
	struct visitor *closer = start_and_wait(fix, visit_and_close);
	struct visitor *other = start_and_wait(fix, visit_and_close_twice);

	send_away(second);
	expect_waiting(closer);
	expect_waiting(other);
	send_away(first);
	expect_arrival(closer);
	expect_arrival(other);
	send_away(closer);
	send_away(other);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

/* However many are inside, who wants to close it need not wait for those who come. */
static void closer_has_priority(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *inside = start_and_arrive(fix, visit_inside);
	struct visitor *closer, *late;

	KUNIT_EXPECT_FALSE(test, iommufd_gate_is_closed(fix->gates));
	closer = start_and_wait(fix, visit_and_close);
	KUNIT_EXPECT_TRUE(test, iommufd_gate_is_closed(fix->gates));
	KUNIT_EXPECT_EQ(test, state_of(fix), IOMMUFD_GATE_CLOSER + 1);
	expect_no_entry(fix);
	late = start_and_wait(fix, visit_inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), IOMMUFD_GATE_CLOSER + 1);

	send_away(inside);
	expect_arrival(closer);
	expect_waiting(late);
	expect_no_entry(fix);
	send_away(closer);
	expect_arrival(late);
	send_away(late);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

/* However many close it, who waits to enter need not wait for those who come. */
static void closer_lets_in_who_waits(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *closer = start_and_arrive(fix, visit_and_close);
	struct visitor *late = start_and_wait(fix, visit_inside);
	struct visitor *later = start_and_wait(fix, visit_and_close);
	struct visitor *twice = start_and_wait(fix, visit_and_close_twice);

	KUNIT_EXPECT_EQ(test, state_of(fix), IOMMUFD_GATE_CLOSER);
	send_away(closer);
	expect_arrival(late);
	expect_waiting(later);
	expect_waiting(twice);
	KUNIT_EXPECT_EQ(test, state_of(fix), 2 * IOMMUFD_GATE_CLOSER + 1);
	send_away(late);
	expect_arrival(later);
	expect_arrival(twice);
	send_away(later);
	send_away(twice);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

static void last_to_open_lets_in(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *closer = start_and_arrive(fix, visit_and_close);
	struct visitor *other = start_and_arrive(fix, visit_and_close);
	struct visitor *late[] = {
		start_and_wait(fix, visit_inside),
		start_and_wait(fix, visit_inside),
	};

	send_away(closer);
	expect_waiting(late[0]);
	expect_waiting(late[1]);
	expect_no_entry(fix);
	send_away(other);
	expect_arrival(late[0]);
	expect_arrival(late[1]);
	send_away(late[0]);
	send_away(late[1]);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

/* Times that a visitor has gone to sleep; it does nothing else now. */
static unsigned long nr_sleeps(const struct visitor *visitor)
{
	return READ_ONCE(visitor->task->nvcsw);
}

/*
 * One who waits to enter looks again when it is woken, and wakes nobody by that: else
 * all of them would be kept busy for as long as the gate is closed.
 */
static void waiting_is_quiet(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *late[NR_VISITORS];
	unsigned long before[NR_VISITORS];

	iommufd_gate_close(fix->gates);
	for (int i = 0; i < NR_VISITORS; i++)
		late[i] = start_and_wait(fix, visit_inside);
	for (int i = 0; i < NR_VISITORS; i++)
		before[i] = nr_sleeps(late[i]);
	wake_up_var(&fix->gates[0].state);
	for (int i = 0; i < NR_VISITORS; i++) {
		expect_waiting(late[i]);
		KUNIT_EXPECT_EQ(test, state_of(fix), IOMMUFD_GATE_CLOSER);
	}
	for (int i = 0; i < NR_VISITORS; i++)
		KUNIT_EXPECT_EQ(test, nr_sleeps(late[i]), before[i] + 1);
	iommufd_gate_open(fix->gates);
	for (int i = 0; i < NR_VISITORS; i++)
		expect_arrival(late[i]);
	send_all_away(fix);
}

/* -- tests: a pause -- */

static void pause_for_nobody(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *inside = start_and_arrive(fix, visit_with_pause);

	KUNIT_EXPECT_EQ(test, state_of(fix), 1);
	complete(&inside->sent);
	expect_arrival(inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), 1);
	send_away(inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

static void pause_lets_closers_in(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *inside = start_and_arrive(fix, visit_with_pause);
	struct visitor *closer = start_and_wait(fix, visit_and_close);
	struct visitor *other = start_and_wait(fix, visit_and_close);

	/* The first arrival was waited for: from here on, it is the second. */
	complete(&inside->sent);
	expect_arrival(closer);
	expect_arrival(other);
	expect_waiting(inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), 2 * IOMMUFD_GATE_CLOSER);
	send_away(other);
	expect_waiting(inside);
	send_away(closer);
	expect_arrival(inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), 1);
	send_away(inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

/* Who pauses while another one stays inside has to wait for that one as well. */
static void pause_of_one_is_not_enough(struct kunit *test)
{
	struct fixture *fix = test->priv;
	struct visitor *inside = start_and_arrive(fix, visit_with_pause);
	struct visitor *other = start_and_arrive(fix, visit_inside);
	struct visitor *closer = start_and_wait(fix, visit_and_close);

	complete(&inside->sent);
	expect_waiting(inside);
	expect_waiting(closer);
	KUNIT_EXPECT_EQ(test, state_of(fix), IOMMUFD_GATE_CLOSER + 1);
	send_away(other);
	expect_arrival(closer);
	expect_waiting(inside);
	send_away(closer);
	expect_arrival(inside);
	send_away(inside);
	KUNIT_EXPECT_EQ(test, state_of(fix), 0);
}

/* -- tests: a crowd -- */

static void note_meetings(struct fixture *fix, const atomic_t *others)
{
	if (atomic_read(others))
		atomic_inc(&fix->nr_meetings);
}

/* Be among those of a kind, long enough to meet one of the other. */
static void mingle(struct fixture *fix, atomic_t *own, const atomic_t *others,
		   unsigned int round)
{
	atomic_inc(own);
	note_meetings(fix, others);
	if (round % 4)
		cond_resched();
	else
		schedule_timeout_uninterruptible(1);
	note_meetings(fix, others);
	atomic_dec(own);
}

static void visit_often(struct visitor *visitor)
{
	struct fixture *fix = visitor->fix;

	for (unsigned int round = 0; round < NR_ROUNDS; round++) {
		unsigned int i = round % NR_GATES;

		iommufd_gate_enter(&fix->gates[i]);
		mingle(fix, &fix->nr_inside[i], &fix->nr_closers[i], round);
		iommufd_gate_pause(&fix->gates[i]);
		mingle(fix, &fix->nr_inside[i], &fix->nr_closers[i], round + 1);
		iommufd_gate_leave(&fix->gates[i]);
		cond_resched();
	}
}

/* Both of them, in either order: that is what replaces do. */
static void close_often(struct visitor *visitor)
{
	struct fixture *fix = visitor->fix;

	for (unsigned int round = 0; round < NR_ROUNDS; round++) {
		unsigned int i = (round + (visitor - fix->visitors)) % NR_GATES;
		unsigned int j = (i + 1) % NR_GATES;

		iommufd_gate_close_both(&fix->gates[i], &fix->gates[j]);
		mingle(fix, &fix->nr_closers[i], &fix->nr_inside[i], round);
		mingle(fix, &fix->nr_closers[j], &fix->nr_inside[j], round);
		iommufd_gate_open_both(&fix->gates[i], &fix->gates[j]);
		cond_resched();
	}
}

static void crowd(struct kunit *test)
{
	struct fixture *fix = test->priv;

	for (int i = 0; i < NR_VISITORS; i++)
		start(fix, i % 3 ? visit_often : close_often);
	for (int i = 0; i < NR_VISITORS; i++)
		expect_soon(&fix->visitors[i], &fix->visitors[i].gone);
	KUNIT_EXPECT_EQ(test, atomic_read(&fix->nr_meetings), 0);
	for (int i = 0; i < NR_GATES; i++)
		KUNIT_EXPECT_EQ(test, atomic64_read(&fix->gates[i].state), 0);
}

static int gate_test_init(struct kunit *test)
{
	struct fixture *fix = kzalloc(sizeof(*fix), GFP_KERNEL);

	if (!fix)
		return -ENOMEM;
	fix->test = test;
	for (int i = 0; i < NR_GATES; i++)
		iommufd_gate_init(&fix->gates[i]);
	test->priv = fix;
	return 0;
}

/* A visitor that is stuck keeps what it is stuck in. */
static void gate_test_exit(struct kunit *test)
{
	struct fixture *fix = test->priv;
	bool is_stuck = false;

	if (!fix)
		return;
	/* After a failure, others wait to be sent away. */
	for (unsigned int i = 0; i < fix->nr_visitors; i++)
		complete_all(&fix->visitors[i].sent);
	for (unsigned int i = 0; i < fix->nr_visitors; i++) {
		struct visitor *visitor = &fix->visitors[i];

		if (wait_for_completion_timeout(&visitor->gone, HZ))
			kthread_stop_put(visitor->task);
		else
			is_stuck = true;
	}
	if (!is_stuck)
		kfree(fix);
}

static struct kunit_case gate_cases[] = {
	KUNIT_CASE(many_are_inside),
	KUNIT_CASE(many_keep_it_closed),
	KUNIT_CASE(close_waits_until_all_have_left),
	KUNIT_CASE(closer_has_priority),
	KUNIT_CASE(closer_lets_in_who_waits),
	KUNIT_CASE(last_to_open_lets_in),
	KUNIT_CASE(waiting_is_quiet),
	KUNIT_CASE(pause_for_nobody),
	KUNIT_CASE(pause_lets_closers_in),
	KUNIT_CASE(pause_of_one_is_not_enough),
	KUNIT_CASE_SLOW(crowd),
	{}
};

static struct kunit_suite gate_suite = {
	.name = "iommufd_gate",
	.init = gate_test_init,
	.exit = gate_test_exit,
	.test_cases = gate_cases,
};

kunit_test_suite(gate_suite);

MODULE_DESCRIPTION("Tests of the gate between two kinds of work");
MODULE_LICENSE("GPL");
