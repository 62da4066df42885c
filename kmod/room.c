// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mailbox's room: who gets in, who gets what, and in which order.  All of it
 * is list work under the mailbox's lock, and none of it can fail.
 */
#include "mailbox.h"
#include "trace.h"

/* The message of @queue to be served next, or NULL. */
struct kpost_message *kpost_mailbox_first(const struct kpost_queue *queue)
{
	struct kpost_node *node = kpost_queue_first(queue);

	return node ? container_of(node, struct kpost_message, node) : NULL;
}

static bool mailbox_has_room(const struct kpost_mailbox *mailbox, size_t size)
{
	return mailbox->messages < mailbox->max_messages &&
	       mailbox->bytes + size <= mailbox->max_bytes;
}

/* Would a message of @size bytes get in now, without overtaking anybody? */
bool kpost_mailbox_admits(const struct kpost_mailbox *mailbox, size_t size, u32 priority)
{
	const struct kpost_node *first = kpost_queue_first(&mailbox->pending);

	lockdep_assert_held(&mailbox->lock);
	return mailbox_has_room(mailbox, size) && (!first || priority > first->priority);
}

/* EPOLLOUT: would any message get in? */
bool kpost_mailbox_writable(const struct kpost_mailbox *mailbox)
{
	return !mailbox->closed && kpost_mailbox_admits(mailbox, mailbox->message_max, 0);
}

/* Can there never be a message again?  While it has a name, somebody may yet open it. */
bool kpost_mailbox_finished(const struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&mailbox->lock);
	return !mailbox->named && !mailbox->senders && !mailbox->messages;
}

/*
 * Hand @message, which is the next, to the first waiting receiver that has room for it,
 * if any.  It is left to be queued if that takes too long, and then handed over by
 * mailbox_settle().
 */
static bool mailbox_hand_over(struct kpost_mailbox *mailbox, struct kpost_message *message,
			      struct kpost_wakes *wakes)
{
	struct kpost_waiter *receiver;

	while ((receiver =
			list_first_entry_or_null(&mailbox->waiting, struct kpost_waiter, link)) &&
	       !kpost_wakes_full(wakes)) {
		list_del_init(&receiver->link);
		mailbox->waiting_receivers--;
		if (message->size > receiver->room) {
			receiver->room = message->size;
			kpost_waiter_done(receiver, -EMSGSIZE, wakes);
			continue;
		}
		message->state = KPOST_TAKEN;
		receiver->message = message;
		kpost_waiter_done(receiver, 0, wakes);
		return true;
	}
	message->state = KPOST_QUEUED;
	wakes->events |= EPOLLIN;
	return false;
}

/* Hand @message over or leave it to be queued, behind those that are to be settled first. */
static bool mailbox_place(struct kpost_mailbox *mailbox, struct kpost_message *message,
			  struct kpost_wakes *wakes)
{
	if (likely(kpost_queue_empty(&mailbox->queue)))
		return mailbox_hand_over(mailbox, message, wakes);
	message->state = KPOST_QUEUED;
	wakes->events |= EPOLLIN;
	if (!list_empty(&mailbox->waiting))
		wakes->more = true;
	return false;
}

/* Take @message in, for which there is room. */
void kpost_mailbox_admit(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	mailbox->messages++;
	mailbox->bytes += message->size;
	message->node.order = ++mailbox->sent;
	trace_kpost_send(mailbox->id, message->node.order, message->size, message->node.priority);
	if (!mailbox_place(mailbox, message, wakes))
		kpost_queue_add(&mailbox->queue, &message->node);
}

/* Put back @message, which was taken and could not be received. */
void kpost_mailbox_put_back(struct kpost_mailbox *mailbox, struct kpost_message *message,
			    struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	if (!mailbox_place(mailbox, message, wakes))
		kpost_queue_return(&mailbox->queue, &message->node);
}

/* Let those in who wait for room, as far as it goes. */
void kpost_mailbox_let_in(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_message *message;
	unsigned int admitted = 0;

	lockdep_assert_held(&mailbox->lock);
	if (mailbox->closed)
		return;
	while ((message = kpost_mailbox_first(&mailbox->pending)) &&
	       mailbox_has_room(mailbox, message->size) && !kpost_wakes_full(wakes)) {
		/* Those who then wait for receipt or a reply are not woken. */
		if (admitted++ == ARRAY_SIZE(wakes->tasks)) {
			wakes->more = true;
			break;
		}
		kpost_queue_del(&mailbox->pending, &message->node);
		mailbox->waiting_senders--;
		if (!message->sync && !message->call) {
			kpost_waiter_done(message->sender, 0, wakes);
			message->sender = NULL;
		}
		kpost_mailbox_admit(mailbox, message, wakes);
	}
	if (kpost_mailbox_writable(mailbox))
		wakes->events |= EPOLLOUT;
}

/* Send the waiting receivers away: nothing will come. */
void kpost_mailbox_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_waiter *receiver;

	lockdep_assert_held(&mailbox->lock);
	wakes->events |= EPOLLHUP;
	while ((receiver =
			list_first_entry_or_null(&mailbox->waiting, struct kpost_waiter, link)) &&
	       !kpost_wakes_full(wakes)) {
		list_del_init(&receiver->link);
		mailbox->waiting_receivers--;
		kpost_waiter_done(receiver, -EPIPE, wakes);
	}
}

/* Give back the room of @message, which is in no list any more. */
void kpost_mailbox_give_back(struct kpost_mailbox *mailbox, struct kpost_message *message,
			     struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	mailbox->messages--;
	mailbox->bytes -= message->size;
	kpost_mailbox_let_in(mailbox, wakes);
	if (kpost_mailbox_finished(mailbox))
		kpost_mailbox_finish(mailbox, wakes);
}

/* Go on where the last holder of the lock stopped. */
static void mailbox_settle(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_message *message;

	while ((message = kpost_mailbox_first(&mailbox->queue)) && !list_empty(&mailbox->waiting) &&
	       !kpost_wakes_full(wakes)) {
		kpost_queue_del(&mailbox->queue, &message->node);
		if (!mailbox_hand_over(mailbox, message, wakes))
			kpost_queue_return(&mailbox->queue, &message->node);
	}
	kpost_mailbox_let_in(mailbox, wakes);
	if (kpost_mailbox_finished(mailbox))
		kpost_mailbox_finish(mailbox, wakes);
}

/*
 * Who has been given a message is woken by nobody else.  So the giver is not preempted
 * before it has done that: it may be the last that the scheduler would let run.
 */
static void mailbox_unlock_and_wake(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
	__releases(&mailbox->lock)
{
	preempt_disable();
	spin_unlock(&mailbox->lock);
	kpost_wakes_wake(wakes);
	preempt_enable();
	kpost_wakes_flush(wakes, &mailbox->pollers);
}

/*
 * Drop the lock and wake whom the holder has found to be woken; as often as it
 * takes, so that no holder does more than a little.
 */
void kpost_mailbox_unlock(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
	__releases(&mailbox->lock)
{
	while (unlikely(wakes->more)) {
		mailbox_unlock_and_wake(mailbox, wakes);
		cond_resched();
		spin_lock(&mailbox->lock);
		mailbox_settle(mailbox, wakes);
	}
	mailbox_unlock_and_wake(mailbox, wakes);
}
