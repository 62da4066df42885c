// SPDX-License-Identifier: GPL-2.0-only
/* What a mailbox says of itself. */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/string.h>

#include "account.h"
#include "clock.h"
#include "hold.h"
#include "mailbox.h"
#include "overflow.h"
#include "queue.h"

/* @time by the task's clock, or 0 if that is there for none: one that was never is none. */
static u64 time_told(u64 time)
{
	return time ? max_t(u64, kpost_time_here(time), 1) : 0;
}

/* How many priorities are looked at in one go. */
#define OLDEST_LEVELS 32

/*
 * When the oldest of the messages that wait to be received got in, or 0 if there is none.  It is
 * the first of its priority, and any of those: they are looked at a few at a time.  What is
 * received meanwhile may have been the oldest.
 */
u64 kpost_mailbox_oldest(struct kpost_mailbox *mailbox)
{
	u32 below = KPOST_PRIORITY_MAX + 1;
	struct kpost_node *node;
	u64 oldest = 0, time;
	unsigned int i;

	do {
		spin_lock(&mailbox->lock);
		for (i = 0; i < OLDEST_LEVELS; i++) {
			node = kpost_queue_below(&mailbox->queue, below);
			if (!node)
				break;
			time = container_of(node, struct kpost_message, node)->time;
			oldest = oldest ? min(oldest, time) : time;
			below = node->priority;
		}
		spin_unlock(&mailbox->lock);
		cond_resched();
	} while (node);
	return time_told(oldest);
}

/* When a message was received last.  The same for all who ask, though jiffies are no clock. */
static u64 mailbox_received_time(struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->lock);
	if (!mailbox->told_time || mailbox->told_at != mailbox->received_at) {
		mailbox->told_at = mailbox->received_at;
		mailbox->told_time =
			ktime_get_coarse_ns() - jiffies_to_nsecs(jiffies - mailbox->told_at);
	}
	return mailbox->told_time;
}

/* A snapshot, in the task's terms, but for the oldest message. */
void kpost_mailbox_stat(struct kpost_mailbox *mailbox, struct kpost_stat *st)
{
	const struct kpost_losses *losses;

	memset(st, 0, sizeof(*st));
	st->message_max = mailbox->message_max;
	st->maker = kpost_account_is_own(mailbox->account) ?
			    KPOST_MAKER_OFFICE :
			    from_kuid_munged(current_user_ns(), mailbox->account->uid);

	spin_lock(&mailbox->lock);
	st->flags = (mailbox->persistent ? KPOST_STAT_PERSIST : 0) |
		    (mailbox->anonymous ? KPOST_STAT_ANONYMOUS : 0) |
		    (mailbox->keyed ? KPOST_STAT_KEYED : 0) |
		    (mailbox->closed ? KPOST_STAT_CLOSED :
		     mailbox->shut   ? KPOST_STAT_SHUT :
				       0);
	if (mailbox->named)
		strscpy(st->name, mailbox->name, sizeof(st->name));
	st->mode = mailbox->mode;
	st->uid = from_kuid_munged(current_user_ns(), mailbox->uid);
	st->gid = from_kgid_munged(current_user_ns(), mailbox->gid);
	st->messages = mailbox->max_messages;
	st->bytes = mailbox->max_bytes;
	st->queued_messages = mailbox->messages;
	st->queued_bytes = mailbox->bytes;
	st->receivers = mailbox->receivers;
	st->senders = mailbox->senders;
	st->waiting_receivers = mailbox->waiting_receivers;
	st->waiting_senders = mailbox->waiting_senders;
	st->open_calls = mailbox->open_calls;
	st->sent = mailbox->sent;
	st->received = mailbox->received;
	st->dropped = mailbox->dropped;
	st->unattended = mailbox->unattended;
	losses = kpost_losses(mailbox);
	if (losses) {
		st->dropped_new = losses->dropped_new;
		st->dropped_old = losses->dropped_old;
		st->expired = losses->expired;
		st->replaced = losses->replaced;
		st->overflow = losses->overflow;
		st->held = losses->held;
	}
	st->held_max = kpost_holding_max(mailbox);
	st->last_sent = time_told(mailbox->sent_at);
	st->last_received = mailbox->received ? time_told(mailbox_received_time(mailbox)) : 0;
	st->identity = mailbox->identity;
	st->counted = mailbox->counted + mailbox->counted_own;
	spin_unlock(&mailbox->lock);
}

static struct timespec64 time_real(u64 time)
{
	return ktime_to_timespec64(ktime_mono_to_real(time));
}

void kpost_mailbox_times(struct kpost_mailbox *mailbox, struct kpost_times *times)
{
	times->made = (struct timespec64){ .tv_sec = mailbox->made_at };
	times->received = times->made;
	times->sent = times->made;
	spin_lock(&mailbox->lock);
	if (mailbox->sent)
		times->sent = time_real(mailbox->sent_at);
	if (mailbox->received)
		times->received = time_real(mailbox_received_time(mailbox));
	spin_unlock(&mailbox->lock);
}
