/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mailbox's room, as each message sees it: what both halves of the hot path do under the
 * mailbox's lock.  room.c has what few messages meet: those who wait, poll, or were refused.
 */
#ifndef KPOST_ROOM_H
#define KPOST_ROOM_H

#include <linux/ktime.h>
#include <linux/wait.h>

#include "../uapi/linux/kpost.h"
#include "account.h"
#include "expiry.h"
#include "keyed.h"
#include "mailbox.h"
#include "park.h"
#include "trace.h"

/* The message of @queue to be served next, or NULL. */
static inline struct kpost_message *kpost_mailbox_first(const struct kpost_queue *queue)
{
	struct kpost_node *node = kpost_queue_first(queue);

	return node ? container_of(node, struct kpost_message, node) : NULL;
}

static inline bool kpost_mailbox_has_room(const struct kpost_mailbox *mailbox, size_t size)
{
	return mailbox->messages < mailbox->max_messages &&
	       mailbox->bytes + size <= mailbox->max_bytes;
}

/* Would a message of @size bytes get in now, without overtaking anybody? */
static inline bool kpost_mailbox_admits(const struct kpost_mailbox *mailbox, size_t size,
					u32 priority)
{
	const struct kpost_node *first = kpost_queue_first(&mailbox->pending);

	lockdep_assert_held(&mailbox->lock);
	return kpost_mailbox_has_room(mailbox, size) &&
	       (likely(!first) || priority > first->priority);
}

/*
 * All that goes into a queue of the mailbox, and comes out of one, does so here: what a message
 * has beside it follows.
 */
static __always_inline void kpost_mailbox_queue(struct kpost_mailbox *mailbox,
						struct kpost_queue *queue,
						struct kpost_message *message)
{
	kpost_queue_add(queue, &message->node);
	if (unlikely(message->extra))
		kpost_extra_queued(mailbox, message, queue == &mailbox->pending);
}

static inline void kpost_mailbox_requeue(struct kpost_mailbox *mailbox, struct kpost_queue *queue,
					 struct kpost_message *message)
{
	kpost_queue_return(queue, &message->node);
	if (unlikely(message->extra))
		kpost_extra_queued(mailbox, message, false);
}

static __always_inline void kpost_mailbox_unqueue(struct kpost_mailbox *mailbox,
						  struct kpost_queue *queue,
						  struct kpost_message *message)
{
	kpost_queue_del(queue, &message->node);
	if (unlikely(message->extra))
		kpost_extra_unqueued(mailbox, message, queue == &mailbox->pending);
}

/* Can there never be a message again?  While it has a name, somebody may yet open it. */
static inline bool kpost_mailbox_finished(const struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->lock);
	return !mailbox->messages && (mailbox->shut || (!mailbox->named && !mailbox->senders));
}

/* @message is to be queued, and those who poll are told, if there are any. */
static inline void kpost_mailbox_tell_of(struct kpost_mailbox *mailbox,
					 struct kpost_message *message, struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	message->state = KPOST_QUEUED;
	/*
	 * No barrier: who begins to poll is in that queue before it takes the lock and looks
	 * for messages, so it is seen here or sees this one.
	 */
	if (unlikely(waitqueue_active(&mailbox->in.wait))) {
		wakes->events |= EPOLLIN;
		/* No more than 32 times 7 are put in by one holder of the lock. */
		if (wakes->arrivals < U8_MAX)
			wakes->arrivals++;
	}
}

/* Hand @message over or leave it to be queued, behind those that are to be settled first. */
static __always_inline bool kpost_mailbox_place(struct kpost_mailbox *mailbox,
						struct kpost_message *message,
						struct kpost_wakes *wakes)
{
	if (unlikely(mailbox->waiting_receivers)) {
		if (unlikely(mailbox->keyed))
			return kpost_keyed_place(mailbox, message, wakes);
		if (!list_empty(&mailbox->waiting) && kpost_queue_empty(&mailbox->queue))
			return kpost_mailbox_hand_over(mailbox, message, wakes);
		if (list_empty(&mailbox->waiting))
			kpost_parked_tell(mailbox, wakes);
		else
			wakes->more = true;
	}
	kpost_mailbox_tell_of(mailbox, message, wakes);
	return false;
}

/*
 * Take @message in, for which there is room, @now; its sender, if it waits, learns its number.
 * @now was read with the lock held, so that times are in the order of numbers, and is the mailbox's
 * @sent_at.
 */
static __always_inline void kpost_mailbox_admit_at(struct kpost_mailbox *mailbox,
						   struct kpost_message *message, u64 now,
						   struct kpost_wakes *wakes)
{
	struct kpost_waiter *sender = message->sender;

	lockdep_assert_held(&mailbox->lock);
	if (!mailbox->messages && !mailbox->waiting_receivers)
		mailbox->unattended++;
	mailbox->messages++;
	mailbox->bytes += message->size;
	/* It is part of what the mailbox counts for now. */
	if (unlikely(message->counts)) {
		kpost_account_uncharge(message->account, kpost_message_cost(message->room));
		message->counts = false;
	}
	message->time = now;
	message->node.order = ++mailbox->sent;
	trace_kpost_send(mailbox, message);
	if (unlikely(sender)) {
		sender->sequence = message->node.order;
		if (message->flags != KPOST_MESSAGE_SYNC) {
			kpost_waiter_done(sender, 0, wakes);
			message->sender = NULL;
		}
	}
	if (!kpost_mailbox_place(mailbox, message, wakes))
		kpost_mailbox_queue(mailbox, &mailbox->queue, message);
}

static __always_inline void kpost_mailbox_admit(struct kpost_mailbox *mailbox,
						struct kpost_message *message,
						struct kpost_wakes *wakes)
{
	u64 now = ktime_get_coarse_ns();

	mailbox->sent_at = now;
	kpost_mailbox_admit_at(mailbox, message, now, wakes);
}

/* Give back the room of @message, which is in no list any more. */
static __always_inline void kpost_mailbox_give_back(struct kpost_mailbox *mailbox,
						    struct kpost_message *message,
						    struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	mailbox->messages--;
	mailbox->bytes -= message->size;
	if (unlikely(mailbox->above))
		kpost_mailbox_recount(mailbox);
	if (unlikely(!kpost_queue_empty(&mailbox->pending) || !list_empty(&mailbox->refused)))
		kpost_mailbox_let_in(mailbox, wakes);
	if (unlikely(kpost_mailbox_finished(mailbox)))
		kpost_mailbox_finish(mailbox, wakes);
}

#endif /* KPOST_ROOM_H */
