// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/wait_bit.h>

#include "pollers.h"

/* How many are told by whoever has something to tell. */
#define AT_ONCE 8
/* How many by the work before it gives others the lock of the queue. */
#define ROUND 64
/* How long it rests after more than one round. */
#define REST_MS 10

/*
 * So long it may take to tell somebody at once.  A processor may also be taken away
 * meanwhile, so what is more has to add up before it counts.
 */
#define LONG_NS (100 * NSEC_PER_USEC)
#define DEBT_NS (10 * NSEC_PER_MSEC)
#define LATER_TIMES 64
#define LATER_MS 10000
/* So long it may take the work; else it rests, but not for ever. */
#define LONG_WORK_NS NSEC_PER_MSEC
#define REST_TIMES 2
#define REST_MAX_MS 1000

static struct workqueue_struct *workqueue;

/* How far ahead @time is, which can be no more than @most_ms; 0 if it has passed. */
static unsigned long time_left(unsigned long time, unsigned int most_ms)
{
	unsigned long left = time - jiffies;

	return left <= msecs_to_jiffies(most_ms) ? left : 0;
}

static void patience_extend(unsigned long *time, u64 ns, unsigned int most_ms)
{
	unsigned long most = msecs_to_jiffies(most_ms);

	WRITE_ONCE(*time, jiffies + min_t(u64, nsecs_to_jiffies64(ns) + 1, most));
}

/* It took that long to tell those who poll. */
static void teller_after_telling(struct kpost_teller *teller, u64 ns)
{
	u64 debt = READ_ONCE(teller->debt);

	if (likely(!debt && ns <= LONG_NS))
		return;
	debt += ns;
	debt = debt > LONG_NS ? debt - LONG_NS : 0;
	if (debt > DEBT_NS) {
		patience_extend(&teller->later, debt * LATER_TIMES, LATER_MS);
		debt = 0;
	}
	WRITE_ONCE(teller->debt, debt);
}

/* And that long the work, which is to rest then.  Returns whether it has to. */
static bool teller_after_work(struct kpost_teller *teller, u64 ns, bool rounds)
{
	u64 rest = ns > LONG_WORK_NS ? ns * REST_TIMES : 0;

	if (rounds)
		rest = max_t(u64, rest, REST_MS * NSEC_PER_MSEC);
	if (rest)
		patience_extend(&teller->rest, rest, REST_MAX_MS);
	return rest;
}

/* Marks a place in a queue; whoever else walks that passes over it. */
static int pollers_mark(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key)
{
	return 0;
}

/*
 * Tell up to @max of those behind @place, as __wake_up() would, and say how far that
 * went; @place is then the last that was told.  Of exclusive ones *@exclusive are told,
 * less those that were; each goes to the end, so that it is another's turn the next time.
 */
static enum kpost_told pollers_walk(struct kpost_pollers *pollers, struct list_head **place,
				    __poll_t events, unsigned int max, unsigned int *exclusive)
{
	struct list_head *at = (*place)->next, *next;

	lockdep_assert_held(&pollers->wait.lock);
	for (; at != &pollers->wait.head; at = next) {
		struct wait_queue_entry *entry = list_entry(at, struct wait_queue_entry, entry);
		bool counts = entry->flags & WQ_FLAG_EXCLUSIVE && !(events & KPOST_POLL_ALL);
		int told;

		if (!max--)
			return KPOST_TOLD_SOME;
		/* It may take itself off. */
		next = at->next;
		told = entry->func(entry, TASK_NORMAL, 0, poll_to_key(events));
		*place = next->prev;
		if (told < 0)
			break;
		if (!told || !counts)
			continue;
		if (next->prev == at && next != &pollers->wait.head) {
			*place = at->prev;
			list_move_tail(at, &pollers->wait.head);
		}
		if (!--*exclusive)
			return KPOST_TOLD_ONE;
	}
	return KPOST_TOLD_ALL;
}

/* Have the work run when it may go on, if there is something to tell. */
static void teller_queue(struct kpost_teller *teller)
{
	lockdep_assert_held(&teller->lock);
	if (!list_empty(&teller->quick))
		mod_delayed_work(workqueue, &teller->work, 0);
	else if (!list_empty(&teller->slow))
		queue_delayed_work(workqueue, &teller->work,
				   time_left(READ_ONCE(teller->rest), REST_MAX_MS));
}

/* Whom to tell next, or NULL. */
static struct kpost_pollers *teller_next(struct kpost_teller *teller)
{
	lockdep_assert_held(&teller->lock);
	if (!list_empty(&teller->quick))
		return list_first_entry(&teller->quick, struct kpost_pollers, link);
	/* It may have been queued before it had to rest. */
	if (time_left(READ_ONCE(teller->rest), REST_MAX_MS))
		return NULL;
	return list_first_entry_or_null(&teller->slow, struct kpost_pollers, link);
}

/* Tell all of @pollers of @events. */
static enum kpost_told pollers_tell_all(struct kpost_pollers *pollers, __poll_t events,
					unsigned int exclusive, bool *slow)
{
	struct wait_queue_entry mark = { .func = pollers_mark };
	struct list_head *place = &pollers->wait.head;
	u64 begin = local_clock();
	enum kpost_told told;
	bool rounds = false;

	spin_lock_irq(&pollers->wait.lock);
	while ((told = pollers_walk(pollers, &place, events, ROUND, &exclusive)) ==
	       KPOST_TOLD_SOME) {
		rounds = true;
		list_add(&mark.entry, place);
		spin_unlock_irq(&pollers->wait.lock);
		cond_resched();
		spin_lock_irq(&pollers->wait.lock);
		place = mark.entry.prev;
		list_del(&mark.entry);
	}
	spin_unlock_irq(&pollers->wait.lock);
	*slow = teller_after_work(pollers->teller, local_clock() - begin, rounds);
	return told;
}

static void teller_work(struct work_struct *work)
{
	struct kpost_teller *teller =
		container_of(to_delayed_work(work), struct kpost_teller, work);
	u64 begin = local_clock();
	struct kpost_pollers *pollers;
	unsigned int times;
	__poll_t events;
	bool slow;

	spin_lock(&teller->lock);
	/* Many quick ones in one go, as long as that is quick. */
	while ((pollers = teller_next(teller))) {
		list_del_init(&pollers->link);
		events = pollers->events;
		times = pollers->times;
		pollers->events = 0;
		pollers->times = 0;
		WRITE_ONCE(teller->at, pollers);
		spin_unlock(&teller->lock);

		if (pollers_tell_all(pollers, events, times, &slow) == KPOST_TOLD_ONE &&
		    pollers->one_told)
			pollers->one_told(pollers);

		spin_lock(&teller->lock);
		pollers->slow = slow;
		/* Pairs with the acquire in kpost_pollers_exit(): @pollers may go from here on. */
		smp_store_release(&teller->at, NULL);
		wake_up_var(&teller->at);
		if (local_clock() - begin > LONG_WORK_NS)
			break;
	}
	teller_queue(teller);
	spin_unlock(&teller->lock);
}

void kpost_teller_init(struct kpost_teller *teller)
{
	teller->later = jiffies;
	teller->rest = jiffies;
	teller->debt = 0;
	spin_lock_init(&teller->lock);
	INIT_LIST_HEAD(&teller->quick);
	INIT_LIST_HEAD(&teller->slow);
	teller->at = NULL;
	INIT_DELAYED_WORK(&teller->work, teller_work);
}

/* Nobody has something to tell any more. */
void kpost_teller_exit(struct kpost_teller *teller)
{
	cancel_delayed_work_sync(&teller->work);
}

/* @teller outlives @pollers. */
void kpost_pollers_init(struct kpost_pollers *pollers, struct kpost_teller *teller,
			void (*one_told)(struct kpost_pollers *pollers))
{
	init_waitqueue_head(&pollers->wait);
	pollers->teller = teller;
	INIT_LIST_HEAD(&pollers->link);
	pollers->events = 0;
	pollers->times = 0;
	pollers->slow = false;
	pollers->one_told = one_told;
}

/* Nobody polls any more, and nobody has something to tell. */
void kpost_pollers_exit(struct kpost_pollers *pollers)
{
	struct kpost_teller *teller = pollers->teller;

	spin_lock(&teller->lock);
	list_del_init(&pollers->link);
	/* No timer is left behind by the last. */
	if (list_empty(&teller->quick) && list_empty(&teller->slow))
		cancel_delayed_work(&teller->work);
	spin_unlock(&teller->lock);
	/* Pairs with the release in teller_work(). */
	wait_var_event(&teller->at, smp_load_acquire(&teller->at) != pollers);
}

/*
 * Tell a few of @events, and say whether that was all.  Of those that want to be told alone
 * (EPOLLEXCLUSIVE) *@exclusive are; it is left at how many more may be.  wq_has_sleeper() has
 * the barrier between what was changed under a lock and the look at the queue; it pairs with
 * the one in poll_wait().
 */
enum kpost_told kpost_pollers_tell(struct kpost_pollers *pollers, __poll_t events,
				   unsigned int *exclusive)
{
	struct kpost_teller *teller = pollers->teller;
	struct list_head *place = &pollers->wait.head;
	enum kpost_told told;
	unsigned long flags;
	u64 begin;

	if (!wq_has_sleeper(&pollers->wait))
		return KPOST_TOLD_ALL;
	/* The work has the lock of the queue, or it takes too long. */
	if (READ_ONCE(teller->at) == pollers || time_left(READ_ONCE(teller->later), LATER_MS))
		return KPOST_TOLD_SOME;
	begin = local_clock();
	spin_lock_irqsave(&pollers->wait.lock, flags);
	told = pollers_walk(pollers, &place, events, AT_ONCE, exclusive);
	spin_unlock_irqrestore(&pollers->wait.lock, flags);
	teller_after_telling(teller, local_clock() - begin);
	return told;
}

/*
 * Have all told of @events, which came so many @times, soon.  @pollers are not gone before
 * kpost_pollers_exit().
 */
void kpost_pollers_owe(struct kpost_pollers *pollers, __poll_t events, unsigned int times)
{
	struct kpost_teller *teller = pollers->teller;

	/* The barrier is as in kpost_pollers_tell(). */
	if (!wq_has_sleeper(&pollers->wait))
		return;
	spin_lock(&teller->lock);
	pollers->events |= events;
	pollers->times += times;
	if (list_empty(&pollers->link)) {
		struct list_head *list = pollers->slow ? &teller->slow : &teller->quick;
		bool first = list_empty(list);

		list_add_tail(&pollers->link, list);
		/* Else the work is queued for those before it, or under way. */
		if (first)
			teller_queue(teller);
	}
	spin_unlock(&teller->lock);
}

/* Work of the same kind.  Returns whether it was not queued before. */
bool kpost_pollers_queue(struct work_struct *work)
{
	return queue_work(workqueue, work);
}

/* Work that no processor is bound to, in @delay jiffies. */
void kpost_delayed_queue(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(workqueue, work, delay);
}

/* Wait for all work that was queued before. */
void kpost_pollers_flush(void)
{
	flush_workqueue(workqueue);
}

int __init kpost_pollers_start(void)
{
	workqueue = alloc_workqueue("kpost", WQ_UNBOUND, 0);
	return workqueue ? 0 : -ENOMEM;
}

void kpost_pollers_stop(void)
{
	destroy_workqueue(workqueue);
}
