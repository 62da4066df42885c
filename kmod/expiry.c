// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat/compat.h"
#include "expiry.h"
#include "keyed.h"
#include "mailbox.h"
#include "overflow.h"
#include "pollers.h"
#include "room.h"
#include "trace.h"

/* The most messages that are dropped while a lock is held once. */
#define EXPIRE_MAX 64
/* How late the timer may be, so that messages of about the same time share it. */
#define EXPIRY_SLACK NSEC_PER_MSEC

/* Messages that expire by one clock. */
struct kpost_expiring {
	struct kpost_expiry *expiry; /* fixed */
	enum kpost_clock clock; /* fixed */
	struct rb_root_cached messages; /* of struct kpost_extra (protected by mailbox->lock) */
	struct hrtimer timer; /* for the first of them, or one that was */
};

struct kpost_expiry {
	struct kpost_mailbox *mailbox; /* fixed */
	struct kpost_expiring by[KPOST_CLOCKS];
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

bool kpost_extra_expired(const struct kpost_extra *extra)
{
	return extra->expires && kpost_clock_now(extra->clock) >= extra->expires;
}

/* The message whose time comes first, or NULL. */
static struct kpost_message *expiring_first(struct kpost_expiring *expiring)
{
	struct rb_node *first = rb_first_cached(&expiring->messages);

	return first ? extra_of(first)->message : NULL;
}

static void expiring_start(struct kpost_expiring *expiring, const struct kpost_message *first)
{
	lockdep_assert_held(&expiring->expiry->mailbox->lock);
	hrtimer_start_range_ns(&expiring->timer, first->extra->expires, EXPIRY_SLACK,
			       HRTIMER_MODE_ABS_SOFT);
}

static struct kpost_expiring *expiring_of(struct kpost_mailbox *mailbox,
					  const struct kpost_extra *extra)
{
	lockdep_assert_held(&mailbox->lock);
	return &mailbox->losses->expiry->by[extra->clock];
}

void kpost_extra_timed(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_expiring *expiring;

	lockdep_assert_held(&mailbox->lock);
	if (!message->extra->expires)
		return;
	expiring = expiring_of(mailbox, message->extra);
	/* The timer of one that was before and has gone goes off for nothing, once. */
	if (rb_add_cached(&message->extra->by_time, &expiring->messages, expires_before))
		expiring_start(expiring, message);
}

void kpost_extra_untimed(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_extra *extra = message->extra;

	lockdep_assert_held(&mailbox->lock);
	if (extra->expires)
		rb_erase_cached(&extra->by_time, &expiring_of(mailbox, extra)->messages);
}

void kpost_extra_queued(struct kpost_mailbox *mailbox, struct kpost_message *message, bool pending)
{
	kpost_extra_timed(mailbox, message);
	if (mailbox->keyed)
		kpost_key_queued(mailbox, message, pending);
}

void kpost_extra_unqueued(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  bool pending)
{
	kpost_extra_untimed(mailbox, message);
	if (mailbox->keyed)
		kpost_key_unqueued(mailbox, message, pending);
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
 * Drop messages whose time has come.  Returns whether there may be more.
 */
static bool expiring_drop(struct kpost_expiring *expiring)
{
	struct kpost_mailbox *mailbox = expiring->expiry->mailbox;
	ktime_t now = kpost_clock_now(expiring->clock);
	struct kpost_message *message, *next;
	struct kpost_wakes wakes = {};
	unsigned int count = 0;
	LIST_HEAD(gone);

	spin_lock(&mailbox->lock);
	while ((message = expiring_first(expiring)) && message->extra->expires <= now &&
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
		expiring_start(expiring, message);
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
	unsigned int clock;

	for (clock = 0; clock < KPOST_CLOCKS; clock++)
		while (expiring_drop(&expiry->by[clock]))
			cond_resched();
}

static enum hrtimer_restart expiry_time_over(struct hrtimer *timer)
{
	kpost_pollers_queue(&container_of(timer, struct kpost_expiring, timer)->expiry->work);
	return HRTIMER_NORESTART;
}

/* Have messages of @mailbox expire.  Returns 0 or -ENOMEM. */
int kpost_expiry_prepare(struct kpost_mailbox *mailbox)
{
	struct kpost_expiry *expiry;
	unsigned int clock;
	int err = kpost_losses_prepare(mailbox);

	/* Pairs with the store below, which somebody else may have done. */
	if (err || smp_load_acquire(&mailbox->losses->expiry))
		return err;
	expiry = kmalloc(sizeof(*expiry), GFP_KERNEL_ACCOUNT);
	if (!expiry)
		return -ENOMEM;
	expiry->mailbox = mailbox;
	for (clock = 0; clock < KPOST_CLOCKS; clock++) {
		struct kpost_expiring *expiring = &expiry->by[clock];

		expiring->expiry = expiry;
		expiring->clock = clock;
		expiring->messages = RB_ROOT_CACHED;
		kpost_compat_hrtimer_setup(&expiring->timer, expiry_time_over,
					   kpost_clock_id(clock));
	}
	INIT_WORK(&expiry->work, expiry_work);
	if (cmpxchg_release(&mailbox->losses->expiry, NULL, expiry))
		kfree(expiry);
	return 0;
}

/* Of a mailbox that is to be freed, or NULL: it has no messages. */
void kpost_expiry_free(struct kpost_expiry *expiry)
{
	unsigned int clock;

	if (!expiry)
		return;
	for (clock = 0; clock < KPOST_CLOCKS; clock++)
		hrtimer_cancel(&expiry->by[clock].timer);
	cancel_work_sync(&expiry->work);
	kfree(expiry);
}

/* What a message can have beside it, which is nothing yet; or NULL. */
struct kpost_extra *kpost_extra_new(void)
{
	return kzalloc(sizeof(struct kpost_extra), GFP_KERNEL_ACCOUNT);
}

/* It is @message's, which had none, and nobody else looks at. */
void kpost_extra_give(struct kpost_message *message, struct kpost_extra *extra)
{
	extra->message = message;
	message->extra = extra;
	message->own = true;
}

/* What @message, which is not committed yet, has beside it, which may be nothing yet; or NULL. */
struct kpost_extra *kpost_message_extra(struct kpost_message *message)
{
	struct kpost_extra *extra = message->extra;

	if (extra)
		return extra;
	extra = kpost_extra_new();
	if (extra)
		kpost_extra_give(message, extra);
	return extra;
}

/*
 * Have @message, which is not committed yet, expire, at a time of the kernel's @clock.  Returns 0
 * or -ENOMEM.
 */
int kpost_message_expires(struct kpost_message *message, ktime_t expires, enum kpost_clock clock)
{
	struct kpost_extra *extra = kpost_message_extra(message);

	if (!extra)
		return -ENOMEM;
	extra->expires = max_t(ktime_t, expires, 1);
	extra->clock = clock;
	return 0;
}

/* The task took @message, and it has expired: drop it. */
void kpost_message_expire(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	if (mailbox->keyed && kpost_key(message)->beyond) {
		/* It was never in the mailbox. */
		if (message->sender)
			kpost_waiter_done(message->sender, -ETIMEDOUT, &wakes);
		kpost_beyond_gone(mailbox, message, &wakes);
	} else if (message->withdrawn) {
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, &wakes);
	} else {
		message_expires(mailbox, message, &wakes);
	}
	if (mailbox->keyed)
		kpost_keyed_end(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	trace_kpost_drop(mailbox, message);
	kpost_message_discard(mailbox, message);
}
