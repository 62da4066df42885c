// SPDX-License-Identifier: GPL-2.0-only
#include <linux/slab.h>

#include "endpoint.h"
#include "hold.h"
#include "mark.h"
#include "keyed.h"
#include "overflow.h"
#include "room.h"
#include "trace.h"

/* The most messages that one makes give way. */
#define DROP_MAX 16

/* Have @mailbox count what it loses.  Returns 0 or -ENOMEM. */
int kpost_losses_prepare(struct kpost_mailbox *mailbox)
{
	struct kpost_losses *losses;

	/* Pairs with the store below, which somebody else may have done. */
	if (smp_load_acquire(&mailbox->losses))
		return 0;
	losses = kzalloc(sizeof(*losses), GFP_KERNEL_ACCOUNT);
	if (!losses)
		return -ENOMEM;
	if (cmpxchg_release(&mailbox->losses, NULL, losses))
		kfree(losses);
	return 0;
}

/* Of a mailbox that is to be freed, or NULL. */
void kpost_losses_free(struct kpost_losses *losses)
{
	if (!losses)
		return;
	kpost_expiry_free(losses->expiry);
	kpost_holding_free(losses->holding);
	kfree(losses->keyed);
	kfree(losses);
}

static bool lets(const struct kpost_mailbox *mailbox, u32 flags)
{
	u32 wants = (flags & KPOST_DROP_NEW ? KPOST_OVERFLOW_DROP_NEW : 0) |
		    (flags & KPOST_DROP_OLD ? KPOST_OVERFLOW_DROP_OLD : 0) |
		    (flags & KPOST_REPLACE ? KPOST_OVERFLOW_REPLACE : 0);
	const struct kpost_losses *losses = kpost_losses(mailbox);

	lockdep_assert_held(&mailbox->lock);
	return losses && !(wants & ~losses->overflow);
}

/* What senders of @mailbox, which has losses, may have become of messages is @overflow. */
void kpost_overflow_set(struct kpost_mailbox *mailbox, u32 overflow)
{
	struct kpost_keyed *keyed = mailbox->losses->keyed;

	mailbox->losses->overflow = overflow;
	if (overflow & KPOST_OVERFLOW_REPLACE && !keyed->replaced_from)
		keyed->replaced_from = mailbox->sent + 1;
}

/*
 * May senders of @mailbox do what the KPOST_DROP_* and KPOST_REPLACE in @flags ask for?  Returns
 * 0, -EPERM, or -EINVAL if nobody ever can.
 */
int kpost_overflow_permission(struct kpost_mailbox *mailbox, u32 flags)
{
	bool may;

	if (flags & KPOST_REPLACE && !mailbox->keyed)
		return -EINVAL;
	spin_lock(&mailbox->lock);
	may = lets(mailbox, flags);
	spin_unlock(&mailbox->lock);
	return may ? 0 : -EPERM;
}

/* May who sends @message through @endpoint have @old dropped? */
static bool may_drop(const struct kpost_endpoint *endpoint, const struct kpost_message *message,
		     const struct kpost_message *old)
{
	const struct kpost_who *who = &old->origin->who;

	if (old->call || old->sender || old->node.priority > message->node.priority)
		return false;
	if (endpoint->mailbox->losses->overflow & KPOST_OVERFLOW_ANY)
		return true;
	if (who->badge != endpoint->badge)
		return false;
	return endpoint->badge || who->ids.opener_uid == __kuid_val(endpoint->uid);
}

/*
 * Have the oldest of the lowest priority give way to @message, as few as it takes: they are in
 * @dropped then, and count no more.  Returns whether @message has room now; if not, all are as
 * they were.
 */
static bool make_room(struct kpost_endpoint *endpoint, const struct kpost_message *message,
		      struct list_head *dropped)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	const struct kpost_node *first = kpost_queue_first(&mailbox->pending);
	struct kpost_message *old, *next;
	unsigned int count;

	lockdep_assert_held(&mailbox->lock);
	/* However much room there were. */
	if (first && message->node.priority <= first->priority)
		return false;
	for (count = 0; !kpost_mailbox_has_room(mailbox, message->size) && count < DROP_MAX;
	     count++) {
		struct kpost_node *node = kpost_queue_lowest(&mailbox->queue);

		old = node ? container_of(node, struct kpost_message, node) : NULL;
		if (!old || !may_drop(endpoint, message, old))
			break;
		kpost_mailbox_unqueue(mailbox, &mailbox->queue, old);
		list_add_tail(&node->peers, dropped);
		mailbox->messages--;
		mailbox->bytes -= old->size;
	}
	if (kpost_mailbox_admits(mailbox, message->size, message->node.priority))
		return true;
	list_for_each_entry_safe(old, next, dropped, node.peers) {
		list_del(&old->node.peers);
		mailbox->messages++;
		mailbox->bytes += old->size;
		kpost_mailbox_requeue(mailbox, &mailbox->queue, old);
	}
	return false;
}

/*
 * With the mailbox's lock held: what @message, which is from @origin, is to replace as @flags say;
 * or NULL.
 */
static struct kpost_message *overflow_old(const struct kpost_mailbox *mailbox,
					  const struct kpost_message *message,
					  const struct kpost_origin *origin, u32 flags)
{
	return flags & KPOST_REPLACE ? kpost_replaceable(mailbox, message, origin) : NULL;
}

/*
 * With the mailbox's lock held: let @message in, which has its origin, or do what @flags ask for.
 * What was lost for it is in @lost then.  Returns 0 if it is in the mailbox, and *@sequence is its
 * number; 1 if it is what is lost; or -EAGAIN.
 */
static int overflow_try(struct kpost_endpoint *endpoint, struct kpost_message *message, u32 flags,
			struct kpost_origin *origin, struct list_head *lost,
			struct kpost_wakes *wakes, u64 *sequence)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_message *old = overflow_old(mailbox, message, origin, flags);
	struct kpost_losses *losses = mailbox->losses;

	if (old && !kpost_replace_passes(mailbox, message, origin) &&
	    kpost_replace_fits(mailbox, message, old, false)) {
		message->origin = origin;
		origin->uses++;
		kpost_replace(mailbox, message, old, wakes);
		*sequence = mailbox->sent;
		list_add_tail(&old->node.peers, lost);
		/* It may be smaller. */
		kpost_mailbox_let_in(mailbox, wakes);
		return 0;
	}
	if (!old && (kpost_mailbox_admits(mailbox, message->size, message->node.priority) ||
		     (flags & KPOST_DROP_OLD && make_room(endpoint, message, lost)))) {
		message->origin = origin;
		origin->uses++;
		list_for_each_entry(old, lost, node.peers) {
			losses->dropped_old++;
			WRITE_ONCE(losses->missed, losses->missed + 1);
		}
		kpost_message_mark(message);
		kpost_mailbox_admit(mailbox, message, wakes);
		*sequence = mailbox->sent;
		/* Larger ones may have made more room than it takes. */
		if (!list_empty(lost)) {
			kpost_mailbox_let_in(mailbox, wakes);
			kpost_mailbox_recount(mailbox);
		}
		return 0;
	}
	if (!(flags & KPOST_DROP_NEW))
		return -EAGAIN;
	/* It was dealt with, and that it is not sent again is what was asked for. */
	kpost_message_mark(message);
	losses->dropped_new++;
	WRITE_ONCE(losses->missed, losses->missed + 1);
	*sequence = 0;
	return 1;
}

/*
 * Let @message in, or if there is no room, or it is to replace another, do what @flags ask for; or
 * have it wait for room, unless @nowait, @parked if @sender waits without a task.  Returns 0 if it
 * is in the mailbox, *@sequence is its number then, or was dropped, and is gone, and *@sequence is
 * 0; 1 if it waits; or -EAGAIN, -EPERM, -EPIPE, -ENOMEM, -EDQUOT, -ENOBUFS, -EALREADY, or why what
 * waits without a task is not to wait any more, and it is the caller's.
 */
int kpost_overflow(struct kpost_endpoint *endpoint, struct kpost_message *message, u32 flags,
		   struct kpost_waiter *sender, bool parked, bool nowait, u64 *sequence)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_origin *origin, *fresh = NULL;
	struct kpost_message *old, *next;
	struct kpost_wakes wakes = {};
	LIST_HEAD(lost);
	bool drop = false, own = message->own;
	int err;

again:
	spin_lock(&mailbox->lock);
	while (!(origin = kpost_endpoint_origin(endpoint, &fresh)) && !mailbox->shut) {
		spin_unlock(&mailbox->lock);
		fresh = kpost_origin_new(endpoint);
		if (!fresh)
			return -ENOMEM;
		spin_lock(&mailbox->lock);
	}
	if (mailbox->shut) {
		err = -EPIPE;
	} else if (!lets(mailbox, flags)) {
		/* Not any more: the copy may have taken for ever. */
		err = -EPERM;
	} else if (kpost_message_repeats(message)) {
		err = -EALREADY;
	} else {
		err = overflow_try(endpoint, message, flags, origin, &lost, &wakes, sequence);
		drop = err > 0;
		err = min(err, 0);
	}
	if (err == -EAGAIN && !nowait && !message->counts) {
		/* From here on it counts; others may have given room back meanwhile. */
		spin_unlock(&mailbox->lock);
		kpost_origin_free(fresh);
		fresh = NULL;
		err = kpost_message_charge(endpoint, message);
		if (err)
			return err;
		goto again;
	}
	if (err == -EAGAIN && nowait) {
		kpost_mailbox_refuse(endpoint);
	} else if (err == -EAGAIN) {
		err = parked ? kpost_parked_ends(sender) : 0;
		if (!err) {
			message->origin = origin;
			origin->uses++;
			if (mailbox->keyed)
				kpost_key(message)->replaces = flags & KPOST_REPLACE;
			kpost_message_pend(mailbox, message, sender, parked, &wakes);
			err = 1;
		}
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_origin_free(fresh);
	list_for_each_entry_safe(old, next, &lost, node.peers) {
		trace_kpost_drop(mailbox, old);
		kpost_message_discard(mailbox, old);
	}
	if (drop)
		kpost_message_discard(mailbox, message);
	else if (own)
		kpost_kept_trim(mailbox);
	return err;
}

/* How many messages were lost that no receiver was told of: the caller tells, or returns them. */
u64 kpost_missed_claim(struct kpost_mailbox *mailbox)
{
	u64 missed;

	spin_lock(&mailbox->lock);
	missed = mailbox->losses->missed;
	WRITE_ONCE(mailbox->losses->missed, 0);
	spin_unlock(&mailbox->lock);
	return missed;
}

/* It was not told of. */
void kpost_missed_return(struct kpost_mailbox *mailbox, u64 missed)
{
	spin_lock(&mailbox->lock);
	WRITE_ONCE(mailbox->losses->missed, mailbox->losses->missed + missed);
	spin_unlock(&mailbox->lock);
}
