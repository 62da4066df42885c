// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "endpoint.h"
#include "mailbox.h"
#include "park.h"
#include "pollers.h"
#include "room.h"

/* How many are told in one go. */
#define TELL_MAX 8
/*
 * As long as nobody takes the messages, more are told each time after 10 ms: so many jiffies, less
 * one that a timer adds.
 */
#define NUDGE_DELAY max(HZ / 100 - 1, 1)
/* The most times that their number is doubled. */
#define NUDGE_DOUBLINGS 12

static struct kpost_parked *parked_of(const struct io_uring_cmd *cmd)
{
	return *(struct kpost_parked *const *)cmd->pdu;
}

static struct kpost_mailbox *mailbox_of(const struct kpost_parked *parked)
{
	return parked->endpoint->mailbox;
}

static void parked_put(struct kpost_parked *parked)
{
	if (refcount_dec_and_test(&parked->refs))
		kfree(parked);
}

/* The wait of @parked has ended: its work is added once the lock is dropped. */
static void parked_done(struct kpost_parked *parked, struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox_of(parked)->lock);
	parked->waiter.done = true;
	parked->next = NULL;
	if (wakes->parked)
		wakes->told_last->next = parked;
	else
		wakes->told = parked;
	wakes->told_last = parked;
	wakes->parked = true;
}

/* @waiter, which has no task, was given what it waits for. */
void kpost_parked_given(struct kpost_waiter *waiter, struct kpost_wakes *wakes)
{
	parked_done(container_of(waiter, struct kpost_parked, waiter), wakes);
}

/* The command ends with @ret. */
static void parked_complete(struct kpost_parked *parked, long ret, unsigned int issue_flags)
{
	if (parked->deadline) {
		/* In this order: the first may still queue the second. */
		hrtimer_cancel(&parked->timer);
		cancel_work_sync(&parked->timeout);
	}
	kpost_cancellable_end(&parked->wait);
	kpost_compat_uring_completes(parked->cmd);
	/* The file may go with it, and the mailbox. */
	kpost_compat_uring_done(parked->cmd, ret, issue_flags);
	parked_put(parked);
}

static void parked_run(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct kpost_parked *parked = parked_of(cmd);
	long ret = parked->kind->end(parked, kpost_compat_uring_ends(cmd), issue_flags);

	if (ret != -EIOCBQUEUED)
		parked_complete(parked, ret, issue_flags);
}

kpost_compat_uring_task_work(parked_work, parked_run);

/* Have the work of those run whose wait has ended. */
void kpost_parked_told(struct kpost_wakes *wakes)
{
	struct kpost_parked *parked = wakes->told, *next;

	for (; parked; parked = next) {
		/* It may be gone after this. */
		next = parked->next;
		__io_uring_cmd_do_in_task(parked->cmd, parked_work, KPOST_COMPAT_URING_WAKE);
	}
}

/* With the mailbox's lock held: end the wait of @parked, unless it has ended, with @why. */
static struct kpost_message *withdraw(struct kpost_parked *parked, int why,
				      struct kpost_wakes *wakes)
{
	if (!parked->why || why == -ECANCELED)
		WRITE_ONCE(parked->why, why);
	if (parked->waiter.done)
		return NULL;
	parked->waiter.result = why;
	return parked->kind->withdraw(parked, wakes);
}

/* The same, and have its work run.  Returns whether it ends for that. */
static bool parked_end(struct kpost_parked *parked, int why)
{
	struct kpost_mailbox *mailbox = mailbox_of(parked);
	struct kpost_message *trash;
	struct kpost_wakes wakes = {};
	bool ends;

	spin_lock(&mailbox->lock);
	trash = withdraw(parked, why, &wakes);
	/* One that may wait again ends when it looks. */
	ends = !parked->waiter.done || parked->kind->goes_on;
	if (!parked->waiter.done)
		parked_done(parked, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (trash)
		kpost_message_discard(mailbox, trash);
	return ends;
}

/* The ring or the task of @cmd ends, and wants it back.  The ring's lock is held. */
void kpost_parked_return(struct io_uring_cmd *cmd)
{
	/* Once: its work is to run, which may take as long as its task is stopped. */
	kpost_compat_uring_asked(cmd);
	parked_end(parked_of(cmd), -ECANCELED);
}

struct kpost_parked *kpost_parked_get(struct kpost_cancellable *wait)
{
	struct kpost_parked *parked = container_of(wait, struct kpost_parked, wait);

	refcount_inc(&parked->refs);
	return parked;
}

/* The file that it is through is held: that is where it was cancelled. */
bool kpost_parked_cancel(struct kpost_parked *parked)
{
	bool ends = parked_end(parked, -ECANCELED);

	parked_put(parked);
	return ends;
}

static void parked_timeout(struct work_struct *work)
{
	parked_end(container_of(work, struct kpost_parked, timeout), -ETIMEDOUT);
}

/* In a softirq, where no lock of ours is taken. */
static enum hrtimer_restart parked_time_over(struct hrtimer *timer)
{
	kpost_pollers_queue(&container_of(timer, struct kpost_parked, timer)->timeout);
	return HRTIMER_NORESTART;
}

/*
 * What @op needs to wait without a task, in the first of @size bytes; to be started, or freed.
 * NULL if there is no memory.  A worker could do without, but might let a later message pass.
 */
struct kpost_parked *kpost_parked_new(const struct kpost_operand *op, size_t size,
				      const struct kpost_parked_kind *kind)
{
	struct kpost_parked *parked = kmalloc(size, GFP_KERNEL_ACCOUNT);

	if (!parked)
		return NULL;
	if (kpost_cancellable_prepare(&parked->wait, op, NULL)) {
		kfree(parked);
		return NULL;
	}
	refcount_set(&parked->refs, 1);
	parked->kind = kind;
	parked->cmd = op->cmd;
	parked->endpoint = op->endpoint;
	parked->arg = op->arg;
	parked->operation = op->cmd->cmd_op;
	parked->fixed = op->fixed;
	parked->deadline = 0;
	if (op->deadline && op->deadline != KTIME_MAX)
		parked->deadline =
			max_t(ktime_t, kpost_deadline_on_host(op->deadline, op->clock), 1);
	INIT_WORK(&parked->timeout, parked_timeout);
	kpost_compat_hrtimer_setup(&parked->timer, parked_time_over, kpost_clock_id(op->clock));
	kpost_waiter_init(&parked->waiter);
	parked->waiter.task = NULL;
	parked->why = 0;
	return parked;
}

void kpost_parked_free(struct kpost_parked *parked)
{
	kpost_cancellable_abandon(&parked->wait);
	kfree(parked);
}

/* @parked waits, or did: from here on it can be cancelled, and its time be over. */
void kpost_parked_start(struct kpost_parked *parked, unsigned int issue_flags)
{
	*(struct kpost_parked **)parked->cmd->pdu = parked;
	io_uring_cmd_mark_cancelable(parked->cmd, issue_flags);
	kpost_cancellable_begin(&parked->wait);
	if (parked->deadline)
		hrtimer_start(&parked->timer, parked->deadline, HRTIMER_MODE_ABS_SOFT);
}

/* ---- receives ------------------------------------------------------------------------- */

/* @parked is told, and counts as that until it has looked, or has not for too long. */
static void count_told(struct kpost_parking *parking, struct kpost_parked *parked)
{
	parked->round = parking->round;
	parking->told++;
}

static void uncount_told(struct kpost_parking *parking, const struct kpost_parked *parked)
{
	if (parked->round == parking->round)
		parking->told--;
}

static void unlist(struct kpost_mailbox *mailbox, struct kpost_parked *parked)
{
	lockdep_assert_held(&mailbox->lock);
	list_del(&parked->waiter.link);
	mailbox->waiting_receivers--;
	count_told(mailbox->parking, parked);
}

static void tell_first(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_parked *parked =
		list_first_entry(&mailbox->parking->list, struct kpost_parked, waiter.link);

	unlist(mailbox, parked);
	parked_done(parked, wakes);
}

/* Have @parked wait @first in the list, or as the last; or look again, if there is a reason. */
static void enlist(struct kpost_mailbox *mailbox, struct kpost_parked *parked, bool first,
		   struct kpost_wakes *wakes)
{
	struct kpost_parking *parking = mailbox->parking;

	lockdep_assert_held(&mailbox->lock);
	if (parked->why || !kpost_queue_empty(&mailbox->queue) || kpost_mailbox_finished(mailbox)) {
		parked_done(parked, wakes);
		return;
	}
	parked->waiter.done = false;
	if (first)
		list_add(&parked->waiter.link, &parking->list);
	else
		list_add_tail(&parked->waiter.link, &parking->list);
	mailbox->waiting_receivers++;
	uncount_told(parking, parked);
}

/* A message is queued: tell the first that is parked, if there are not told enough. */
void kpost_parked_tell(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_parking *parking = mailbox->parking;

	lockdep_assert_held(&mailbox->lock);
	if (!parking || list_empty(&parking->list))
		return;
	if (parking->told < mailbox->messages)
		tell_first(mailbox, wakes);
	if (!list_empty(&parking->list))
		kpost_delayed_queue(&parking->nudge, NUDGE_DELAY);
}

/* Nothing will come: tell all, a few at a time. */
void kpost_parked_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	unsigned int i;

	lockdep_assert_held(&mailbox->lock);
	for (i = 0; mailbox->parking && !list_empty(&mailbox->parking->list); i++) {
		if (i == TELL_MAX) {
			wakes->more = true;
			return;
		}
		tell_first(mailbox, wakes);
	}
}

/* There are messages, and who was told may never look: tell others. */
static void parking_nudge(struct work_struct *work)
{
	struct kpost_parking *parking =
		container_of(to_delayed_work(work), struct kpost_parking, nudge);
	struct kpost_mailbox *mailbox = parking->mailbox;
	struct kpost_wakes wakes;
	unsigned int left, i;

	left = 2u << parking->nudges;
	if (parking->nudges < NUDGE_DOUBLINGS)
		parking->nudges++;
	/* Who was told until now, and has not looked, is not counted on any more. */
	spin_lock(&mailbox->lock);
	parking->round++;
	parking->told = 0;
	spin_unlock(&mailbox->lock);
	do {
		kpost_wakes_init(&wakes);
		spin_lock(&mailbox->lock);
		if (kpost_queue_empty(&mailbox->queue) || list_empty(&parking->list)) {
			parking->nudges = 0;
			left = 0;
		}
		for (i = 0; left && i < TELL_MAX && !list_empty(&parking->list); i++, left--)
			tell_first(mailbox, &wakes);
		if (!left && parking->nudges)
			kpost_delayed_queue(&parking->nudge, NUDGE_DELAY);
		kpost_mailbox_unlock(mailbox, &wakes);
		cond_resched();
	} while (left);
}

static struct kpost_message *receive_withdraw(struct kpost_parked *parked,
					      struct kpost_wakes *wakes)
{
	unlist(mailbox_of(parked), parked);
	return NULL;
}

/* Try it again, in its ring's task.  Returns what it did, and in *@waits whether it has to wait. */
static long receive_try(const struct kpost_parked *parked, unsigned int issue_flags, bool *waits)
{
	const struct kpost_fixed fixed = { .cmd = parked->cmd, .issue_flags = issue_flags };
	struct kpost_operand op = {
		.endpoint = parked->endpoint,
		.arg = parked->arg,
		.nowait = true,
		.ring = true,
		.trial = true,
		.fixed = parked->fixed ? &fixed : NULL,
	};
	long ret = kpost_uring_operate(&op, parked->operation);

	*waits = ret == -EAGAIN && op.receives && !op.dontwait;
	return ret;
}

static long receive_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags)
{
	struct kpost_mailbox *mailbox = mailbox_of(parked);
	struct kpost_wakes wakes = {};
	long ret = -ECANCELED;
	bool waits = false;

	/* A message that is taken for what nobody looks at any more would be lost. */
	if (!dead && READ_ONCE(parked->why) != -ECANCELED)
		ret = receive_try(parked, issue_flags, &waits);
	if (waits)
		ret = READ_ONCE(parked->why) ?: -EIOCBQUEUED;

	spin_lock(&mailbox->lock);
	if (ret == -EIOCBQUEUED) {
		enlist(mailbox, parked, true, &wakes);
	} else {
		uncount_told(mailbox->parking, parked);
		/* If it was told of a message, and has not taken it, others are. */
		if (!kpost_queue_empty(&mailbox->queue))
			kpost_parked_tell(mailbox, &wakes);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	return ret;
}

static const struct kpost_parked_kind receive_kind = {
	.goes_on = true,
	.withdraw = receive_withdraw,
	.end = receive_end,
};

/* Have what @mailbox needs to park receives.  Returns false if there is no memory. */
static bool parking_get(struct kpost_mailbox *mailbox)
{
	struct kpost_parking *parking;

	/* Pairs with the release below, for who has not the lock. */
	if (smp_load_acquire(&mailbox->parking))
		return true;
	parking = kmalloc(sizeof(*parking), GFP_KERNEL_ACCOUNT);
	if (!parking)
		return false;
	parking->mailbox = mailbox;
	INIT_DELAYED_WORK(&parking->nudge, parking_nudge);
	parking->nudges = 0;
	INIT_LIST_HEAD(&parking->list);
	parking->told = 0;
	parking->round = 0;
	spin_lock(&mailbox->lock);
	if (!mailbox->parking) {
		/* Pairs with the acquire above. */
		smp_store_release(&mailbox->parking, parking);
		parking = NULL;
	}
	spin_unlock(&mailbox->lock);
	kfree(parking);
	return true;
}

/* Nothing is parked any more. */
void kpost_parking_free(struct kpost_mailbox *mailbox)
{
	if (!mailbox->parking)
		return;
	cancel_delayed_work_sync(&mailbox->parking->nudge);
	kfree(mailbox->parking);
}

/*
 * @op has found no message: it waits for one without a task.  Returns -EIOCBQUEUED, or -ETIMEDOUT
 * or -ENOMEM.
 */
int kpost_park_receive(const struct kpost_operand *op)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_wakes wakes = {};
	struct kpost_parked *parked;

	if (kpost_deadline_passed(op->deadline, op->clock))
		return -ETIMEDOUT;
	if (!parking_get(mailbox))
		return -ENOMEM;
	parked = kpost_parked_new(op, sizeof(*parked), &receive_kind);
	if (!parked)
		return -ENOMEM;
	spin_lock(&mailbox->lock);
	count_told(mailbox->parking, parked);
	enlist(mailbox, parked, false, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_parked_start(parked, op->issue_flags);
	return -EIOCBQUEUED;
}
