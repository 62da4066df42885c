// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat/compat.h"
#include "expiry.h"
#include "mailbox.h"
#include "overflow.h"
#include "pollers.h"
#include "room.h"
#include "trace.h"

/* The most messages that are dropped while a lock is held once. */
#define EXPIRE_MAX 64
/* How late the timer may be, so that messages of about the same time share it. */
#define EXPIRY_SLACK NSEC_PER_MSEC

struct kpost_expiry {
	struct kpost_mailbox *mailbox; /* fixed */
	struct rb_root_cached messages; /* of struct kpost_extra (protected by its lock) */
	struct hrtimer timer; /* for the first of them, or one that was */
	struct work_struct work;
};

static struct kpost_extra *extra_of(struct rb_node *node)
{
	return rb_entry(node, struct kpost_extra, by_time);
}

static bool expires_before(struct rb_node *a, const struct rb_node *b)
{
	return extra_of(a)->expires < rb_entry(b, struct kpost_extra, by_time)->expires;
}

/* The message whose time comes first, or NULL. */
static struct kpost_message *expiry_first(struct kpost_expiry *expiry)
{
	struct rb_node *first = rb_first_cached(&expiry->messages);

	return first ? extra_of(first)->message : NULL;
}

static void expiry_start(struct kpost_expiry *expiry, const struct kpost_message *first)
{
	lockdep_assert_held(&expiry->mailbox->lock);
	hrtimer_start_range_ns(&expiry->timer, first->extra->expires, EXPIRY_SLACK,
			       HRTIMER_MODE_ABS_SOFT);
}

void kpost_extra_queued(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_expiry *expiry = mailbox->losses->expiry;

	lockdep_assert_held(&mailbox->lock);
	/* The timer of one that was before and has gone goes off for nothing, once. */
	if (rb_add_cached(&message->extra->by_time, &expiry->messages, expires_before))
		expiry_start(expiry, message);
}

void kpost_extra_unqueued(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	lockdep_assert_held(&mailbox->lock);
	rb_erase_cached(&message->extra->by_time, &mailbox->losses->expiry->messages);
}

/* @message has expired in @mailbox, and is in none of its queues any more. */
static void message_expires(struct kpost_mailbox *mailbox, struct kpost_message *message,
			    struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	mailbox->losses->expired++;
	WRITE_ONCE(mailbox->losses->missed, mailbox->losses->missed + 1);
	if (message->sender)
		kpost_waiter_done(message->sender, -ETIMEDOUT, wakes);
	kpost_mailbox_give_back(mailbox, message, wakes);
}

/*
 * Drop messages of @mailbox whose time has come.  Returns whether there may be more.
 */
bool kpost_mailbox_expire(struct kpost_mailbox *mailbox)
{
	struct kpost_expiry *expiry = mailbox->losses->expiry;
	struct kpost_message *message, *next;
	struct kpost_wakes wakes = {};
	ktime_t now = ktime_get();
	unsigned int count = 0;
	LIST_HEAD(gone);

	spin_lock(&mailbox->lock);
	while ((message = expiry_first(expiry)) && message->extra->expires <= now &&
	       count < EXPIRE_MAX && !wakes.more && !kpost_wakes_full(&wakes)) {
		if (message->state == KPOST_PENDING) {
			/* It was never in the mailbox: its sender is told, and nobody else. */
			kpost_mailbox_unqueue(mailbox, &mailbox->pending, message);
			mailbox->waiting_senders--;
			if (message->sender)
				kpost_waiter_done(message->sender, -ETIMEDOUT, &wakes);
			/* It may have been what held up those behind it. */
			kpost_mailbox_let_in(mailbox, &wakes);
		} else {
			kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
			message_expires(mailbox, message, &wakes);
		}
		list_add_tail(&message->node.peers, &gone);
		count++;
	}
	if (message && message->extra->expires > now)
		expiry_start(expiry, message);
	kpost_mailbox_unlock(mailbox, &wakes);
	list_for_each_entry_safe(message, next, &gone, node.peers) {
		trace_kpost_drop(mailbox, message);
		kpost_message_discard(mailbox, message);
	}
	return count;
}

static void expiry_work(struct work_struct *work)
{
	struct kpost_expiry *expiry = container_of(work, struct kpost_expiry, work);

	while (kpost_mailbox_expire(expiry->mailbox))
		cond_resched();
}

static enum hrtimer_restart expiry_time_over(struct hrtimer *timer)
{
	kpost_pollers_queue(&container_of(timer, struct kpost_expiry, timer)->work);
	return HRTIMER_NORESTART;
}

/* Have messages of @mailbox expire.  Returns 0 or -ENOMEM. */
int kpost_expiry_prepare(struct kpost_mailbox *mailbox)
{
	struct kpost_expiry *expiry;
	int err = kpost_losses_prepare(mailbox);

	/* Pairs with the store below, which somebody else may have done. */
	if (err || smp_load_acquire(&mailbox->losses->expiry))
		return err;
	expiry = kmalloc(sizeof(*expiry), GFP_KERNEL_ACCOUNT);
	if (!expiry)
		return -ENOMEM;
	expiry->mailbox = mailbox;
	expiry->messages = RB_ROOT_CACHED;
	kpost_compat_hrtimer_setup(&expiry->timer, expiry_time_over);
	INIT_WORK(&expiry->work, expiry_work);
	if (cmpxchg_release(&mailbox->losses->expiry, NULL, expiry))
		kfree(expiry);
	return 0;
}

/* Of a mailbox that is to be freed, or NULL: it has no messages. */
void kpost_expiry_free(struct kpost_expiry *expiry)
{
	if (!expiry)
		return;
	hrtimer_cancel(&expiry->timer);
	cancel_work_sync(&expiry->work);
	kfree(expiry);
}

/* Have @message, which is not committed yet, expire.  Returns 0 or -ENOMEM. */
int kpost_message_expires(struct kpost_message *message, ktime_t expires)
{
	struct kpost_extra *extra = kmalloc(sizeof(*extra), GFP_KERNEL_ACCOUNT);

	if (!extra)
		return -ENOMEM;
	extra->message = message;
	extra->expires = expires;
	message->extra = extra;
	message->own = true;
	return 0;
}

/* The task took @message, and it has expired: drop it. */
void kpost_message_expire(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	if (message->withdrawn) {
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, &wakes);
	} else {
		message_expires(mailbox, message, &wakes);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	trace_kpost_drop(mailbox, message);
	kpost_message_discard(mailbox, message);
}
