// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat/compat.h"
#include "cancel.h"
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

struct kpost_parked {
	struct kpost_cancellable wait;
	refcount_t refs; /* the command's, and of who cancels it */
	struct io_uring_cmd *cmd; /* fixed, as are the next five; it holds the file */
	struct kpost_endpoint *endpoint;
	void __user *arg;
	unsigned int operation;
	bool fixed; /* the payload is in a registered buffer */
	ktime_t deadline; /* by the kernel's clock, or 0 */
	struct delayed_work timeout; /* looks at the clock, if there is a deadline */

	/* protected by the mailbox's lock */
	struct list_head link; /* in mailbox->parked, unless told */
	bool told;
	int why; /* -ETIMEDOUT or -ECANCELED, if it is to end; read without the lock too */
	struct kpost_parked *next; /* of those that were told in one go; without the lock then */
};

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

/* ---- with the mailbox's lock held ----------------------------------------------------- */

/* @parked, which is in no list, is to be told once the lock is dropped. */
static void tell(struct kpost_mailbox *mailbox, struct kpost_parked *parked,
		 struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	parked->told = true;
	mailbox->told++;
	parked->next = wakes->parked ? wakes->told : NULL;
	wakes->parked = true;
	wakes->told = parked;
}

static void unlist(struct kpost_mailbox *mailbox, struct kpost_parked *parked)
{
	lockdep_assert_held(&mailbox->lock);
	list_del(&parked->link);
	mailbox->waiting_receivers--;
}

static void tell_first(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_parked *parked = list_first_entry(&mailbox->parked, struct kpost_parked, link);

	unlist(mailbox, parked);
	tell(mailbox, parked, wakes);
}

/* Have @parked wait @first in the list, or as the last; or look again, if there is a reason. */
static void enlist(struct kpost_mailbox *mailbox, struct kpost_parked *parked, bool first,
		   struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	if (parked->why || !kpost_queue_empty(&mailbox->queue) || kpost_mailbox_finished(mailbox)) {
		tell(mailbox, parked, wakes);
		return;
	}
	parked->told = false;
	if (first)
		list_add(&parked->link, &mailbox->parked);
	else
		list_add_tail(&parked->link, &mailbox->parked);
	mailbox->waiting_receivers++;
}

/* There are messages: tell as many of those that are parked. */
void kpost_parked_tell(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	unsigned int i;

	lockdep_assert_held(&mailbox->lock);
	for (i = 0; mailbox->told < mailbox->messages && !list_empty(&mailbox->parked); i++) {
		if (i == TELL_MAX) {
			wakes->more = true;
			return;
		}
		tell_first(mailbox, wakes);
	}
	if (!list_empty(&mailbox->parked))
		kpost_delayed_queue(&mailbox->telling->nudge, NUDGE_DELAY);
}

/* Nothing will come: tell all, a few at a time. */
void kpost_parked_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	unsigned int i;

	lockdep_assert_held(&mailbox->lock);
	for (i = 0; !list_empty(&mailbox->parked); i++) {
		if (i == TELL_MAX) {
			wakes->more = true;
			return;
		}
		tell_first(mailbox, wakes);
	}
}

/* ---- without -------------------------------------------------------------------------- */

/* There are messages, and who was told may never look: tell others. */
void kpost_parked_nudge(struct work_struct *work)
{
	struct kpost_telling *telling =
		container_of(to_delayed_work(work), struct kpost_telling, nudge);
	struct kpost_mailbox *mailbox = telling->mailbox;
	struct kpost_wakes wakes;
	unsigned int left, i;

	left = 2u << telling->nudges;
	if (telling->nudges < NUDGE_DOUBLINGS)
		telling->nudges++;
	do {
		kpost_wakes_init(&wakes);
		spin_lock(&mailbox->lock);
		if (kpost_queue_empty(&mailbox->queue) || list_empty(&mailbox->parked)) {
			telling->nudges = 0;
			left = 0;
		}
		for (i = 0; left && i < TELL_MAX && !list_empty(&mailbox->parked); i++, left--)
			tell_first(mailbox, &wakes);
		if (!left && telling->nudges)
			kpost_delayed_queue(&telling->nudge, NUDGE_DELAY);
		kpost_mailbox_unlock(mailbox, &wakes);
		cond_resched();
	} while (left);
}

/* Try what was parked, in its ring's task.  Returns as kpost_uring_operate(). */
static long parked_try(const struct kpost_parked *parked, unsigned int issue_flags, bool *waits)
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

	*waits = ret == -EAGAIN && op.parks && !op.dontwait;
	return ret;
}

/* The command ends with @ret.  If it was told of a message, and has not taken it, others are. */
static void parked_end(struct kpost_parked *parked, long ret, unsigned int issue_flags)
{
	struct kpost_mailbox *mailbox = mailbox_of(parked);
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	mailbox->told--;
	if (!kpost_queue_empty(&mailbox->queue))
		kpost_parked_tell(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (parked->deadline)
		cancel_delayed_work_sync(&parked->timeout);
	kpost_cancellable_end(&parked->wait);
	/* The file may go with it, and the mailbox. */
	kpost_compat_uring_done(parked->cmd, ret, issue_flags);
	parked_put(parked);
}

static void parked_run(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct kpost_parked *parked = parked_of(cmd);
	struct kpost_mailbox *mailbox = mailbox_of(parked);
	struct kpost_wakes wakes = {};
	long ret = -ECANCELED;
	bool waits;

	/* A message that is taken for what nobody looks at any more would be lost. */
	if (!kpost_compat_uring_ends(cmd) && READ_ONCE(parked->why) != -ECANCELED) {
		ret = parked_try(parked, issue_flags, &waits);
		if (waits && !READ_ONCE(parked->why)) {
			spin_lock(&mailbox->lock);
			mailbox->told--;
			enlist(mailbox, parked, true, &wakes);
			kpost_mailbox_unlock(mailbox, &wakes);
			return;
		}
		if (waits)
			ret = parked->why;
	}
	parked_end(parked, ret, issue_flags);
}

kpost_compat_uring_task_work(parked_work, parked_run)

	/* Have those run that were told. */
	void kpost_parked_told(struct kpost_wakes *wakes)
{
	struct kpost_parked *parked = wakes->told, *next;

	for (; parked; parked = next) {
		/* It may be gone after this. */
		next = parked->next;
		io_uring_cmd_complete_in_task(parked->cmd, parked_work);
	}
}

/* The wait of @parked ends, if it does not end otherwise just now, with @why. */
static void parked_withdraw(struct kpost_parked *parked, int why)
{
	struct kpost_mailbox *mailbox = mailbox_of(parked);
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	if (!parked->why || why == -ECANCELED)
		WRITE_ONCE(parked->why, why);
	if (!parked->told) {
		unlist(mailbox, parked);
		tell(mailbox, parked, &wakes);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
}

struct kpost_parked *kpost_parked_get(struct kpost_cancellable *wait)
{
	struct kpost_parked *parked = container_of(wait, struct kpost_parked, wait);

	refcount_inc(&parked->refs);
	return parked;
}

/* The file that it is through is held: that is where it was cancelled. */
void kpost_parked_cancel(struct kpost_parked *parked)
{
	parked_withdraw(parked, -ECANCELED);
	parked_put(parked);
}

/* Look at the clock when @parked's time should be over: the kernel's timers are coarse. */
static void parked_arm(struct kpost_parked *parked, ktime_t now)
{
	s64 left = ktime_sub(parked->deadline, now);
	unsigned long delay = min_t(u64, nsecs_to_jiffies64(left) + 1, MAX_JIFFY_OFFSET);

	/* The longer the delay, the later they may be. */
	if (delay >= 64)
		delay -= delay / 8;
	kpost_delayed_queue(&parked->timeout, delay);
}

static void parked_timeout(struct work_struct *work)
{
	struct kpost_parked *parked =
		container_of(to_delayed_work(work), struct kpost_parked, timeout);
	ktime_t now = ktime_get();

	if (now >= parked->deadline)
		parked_withdraw(parked, -ETIMEDOUT);
	else
		parked_arm(parked, now);
}

/*
 * @cmd was tried, as @op says, and has to wait.  Returns false if that cannot be had here: then
 * it is left to a worker.
 */
bool kpost_park(struct io_uring_cmd *cmd, const struct kpost_operand *op, unsigned int issue_flags)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_parked *parked;
	struct kpost_wakes wakes = {};

	if (issue_flags & IO_URING_F_UNLOCKED || kpost_compat_uring_timed(cmd))
		return false;
	parked = kmalloc(sizeof(*parked), GFP_KERNEL_ACCOUNT);
	if (!parked)
		return false;
	refcount_set(&parked->refs, 1);
	parked->cmd = cmd;
	parked->endpoint = op->endpoint;
	parked->arg = op->arg;
	parked->operation = cmd->cmd_op;
	parked->fixed = op->fixed;
	parked->deadline = 0;
	if (op->deadline && op->deadline != KTIME_MAX)
		parked->deadline = max_t(ktime_t, kpost_deadline_on_host(op->deadline), 1);
	INIT_DELAYED_WORK(&parked->timeout, parked_timeout);
	/* Until it is in the list, who ends its wait leaves a note. */
	parked->told = true;
	parked->why = 0;
	if (kpost_cancellable_begin(&parked->wait, op, NULL)) {
		kfree(parked);
		return false;
	}
	*(struct kpost_parked **)cmd->pdu = parked;
	/* With the ring's lock held, so that it is not asked back before it is parked. */
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	if (parked->deadline)
		parked_arm(parked, ktime_get());
	spin_lock(&mailbox->lock);
	enlist(mailbox, parked, false, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	return true;
}

/* The ring or the task of @cmd ends, and wants it back. */
void kpost_parked_return(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct kpost_parked *parked = parked_of(cmd);
	struct kpost_mailbox *mailbox = mailbox_of(parked);
	bool told;

	spin_lock(&mailbox->lock);
	told = parked->told;
	if (!told) {
		unlist(mailbox, parked);
		parked->told = true;
		mailbox->told++;
	}
	spin_unlock(&mailbox->lock);
	/* Else its work is to run, and finds that it is too late. */
	if (!told)
		parked_end(parked, -ECANCELED, issue_flags);
}
