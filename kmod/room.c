// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mailbox's room: who gets in, who gets what, and in which order.  All of it
 * is list work under the mailbox's lock, and none of it can fail.
 */
#include "endpoint.h"
#include "mailbox.h"
#include "mark.h"
#include "overflow.h"
#include "room.h"
#include "trace.h"

/* How many endpoints are told of room in one go. */
#define TELL_MAX 16
/* So often that all are told who want to be told alone. */
#define TELL_ALL 65536
/* More refusals of one endpoint are not remembered: nobody saves them up. */
#define REFUSALS_MAX 4096

/* Of one priority, and in one mailbox's queue: which of two messages is first? */
static u64 message_place(const struct kpost_node *node)
{
	const struct kpost_message *message = container_of(node, struct kpost_message, node);

	/* Only of those that can have replaced others it is another than their number. */
	if (message->extra && message->extra->keyed && kpost_key(message)->place)
		return kpost_key(message)->place;
	return node->order;
}

bool kpost_message_before(const struct kpost_node *a, const struct kpost_node *b)
{
	return message_place(a) < message_place(b);
}

/* EPOLLOUT: would any message get in? */
bool kpost_mailbox_writable(const struct kpost_mailbox *mailbox)
{
	return !mailbox->shut && kpost_mailbox_admits(mailbox, mailbox->message_max, 0);
}

static void mailbox_list_refused(struct kpost_endpoint *endpoint)
{
	lockdep_assert_held(&endpoint->mailbox->lock);
	if (list_empty(&endpoint->refused) && !endpoint->released)
		list_add_tail(&endpoint->refused, &endpoint->mailbox->refused);
}

/* There was no room for who came through @endpoint; when there is, it will be told. */
void kpost_mailbox_refuse(struct kpost_endpoint *endpoint)
{
	if (!endpoint->refusals)
		endpoint->told = endpoint->mailbox->received;
	if (endpoint->refusals < REFUSALS_MAX)
		endpoint->refusals++;
	mailbox_list_refused(endpoint);
}

/*
 * Of those who poll @endpoint exclusively one was told of room.  Another is told when there
 * is room again, or has been meanwhile, as often as somebody was refused: that is what it
 * costs to be told.
 */
void kpost_mailbox_one_told(struct kpost_endpoint *endpoint)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;

	spin_lock(&mailbox->lock);
	if (endpoint->refusals && --endpoint->refusals) {
		mailbox_list_refused(endpoint);
		if (++endpoint->told < mailbox->received && kpost_mailbox_writable(mailbox))
			kpost_pollers_queue(&mailbox->telling->room_work);
	}
	spin_unlock(&mailbox->lock);
}

/* The first of a list of refused endpoints, which is taken off. */
static struct kpost_endpoint *pop_refused(struct list_head *list)
{
	struct kpost_endpoint *endpoint = list_first_entry(list, struct kpost_endpoint, refused);

	list_del_init(&endpoint->refused);
	return endpoint;
}

/* One is told by the task that made the room, all others by the work. */
static void mailbox_find_refused(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	if (!wakes->room) {
		wakes->room = true;
		wakes->refused = pop_refused(&mailbox->refused);
		refcount_inc(&wakes->refused->refs);
	}
	if (!list_empty(&mailbox->refused))
		kpost_pollers_queue(&mailbox->telling->room_work);
}

/* Those that are refused while this goes on wait for the next room, or the end. */
void kpost_mailbox_room_work(struct work_struct *work)
{
	struct kpost_mailbox *mailbox =
		container_of(work, struct kpost_telling, room_work)->mailbox;
	LIST_HEAD(refused);

	spin_lock(&mailbox->lock);
	list_splice_init(&mailbox->refused, &refused);
	while (!list_empty(&refused) && (mailbox->shut || kpost_mailbox_writable(mailbox))) {
		__poll_t events = mailbox->shut ? EPOLLERR : EPOLLOUT | EPOLLWRNORM;
		unsigned int i;

		/* Under the lock, since an endpoint takes itself off before it goes. */
		for (i = 0; i < TELL_MAX && !list_empty(&refused); i++)
			kpost_pollers_owe(&pop_refused(&refused)->room, events, 1);
		spin_unlock(&mailbox->lock);
		cond_resched();
		spin_lock(&mailbox->lock);
	}
	list_splice(&refused, &mailbox->refused);
	spin_unlock(&mailbox->lock);
}

/*
 * Hand @message, which is the next, to the first waiting receiver that has room for it,
 * if any.  One that may have no memory for it is sent to look for itself: it would only
 * have to give it back, and others may be ahead of it by then.  It is left to be queued
 * if that takes too long, and then handed over by mailbox_settle().
 */
bool kpost_mailbox_hand_over(struct kpost_mailbox *mailbox, struct kpost_message *message,
			     struct kpost_wakes *wakes)
{
	struct kpost_waiter *receiver;

	while ((receiver =
			list_first_entry_or_null(&mailbox->waiting, struct kpost_waiter, link)) &&
	       !kpost_wakes_full(wakes)) {
		list_del_init(&receiver->link);
		mailbox->waiting_receivers--;
		if (unlikely(message->size > receiver->room || message->size > receiver->sure)) {
			int err = message->size > receiver->room ? -EMSGSIZE : -EAGAIN;

			receiver->room = message->size;
			kpost_waiter_done(receiver, err, wakes);
			continue;
		}
		message->state = KPOST_TAKEN;
		receiver->message = message;
		kpost_waiter_done(receiver, 0, wakes);
		return true;
	}
	kpost_parked_tell(mailbox, wakes);
	kpost_mailbox_tell_of(mailbox, message, wakes);
	return false;
}

/* Put back @message, which was taken and could not be received. */
void kpost_mailbox_put_back(struct kpost_mailbox *mailbox, struct kpost_message *message,
			    struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	if (!kpost_mailbox_place(mailbox, message, wakes))
		kpost_mailbox_requeue(mailbox, &mailbox->queue, message);
}

/*
 * @message, of which not all is the mailbox's, is about to be let in.  Returns whether it is not
 * to be: its number was sent meanwhile.  Its sender waits then, is told, and has it back.
 */
static bool mailbox_let_in_own(struct kpost_mailbox *mailbox, struct kpost_message *message,
			       struct kpost_wakes *wakes)
{
	if (unlikely(kpost_message_repeats(message))) {
		message->state = KPOST_GONE;
		kpost_waiter_done(message->sender, -EALREADY, wakes);
		return true;
	}
	kpost_message_mark(message);
	if (mailbox->kept)
		WRITE_ONCE(mailbox->tight, true);
	return false;
}

/* Let those in who wait for room, as far as it goes. */
void kpost_mailbox_let_in(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_message *message;
	unsigned int admitted = 0;

	lockdep_assert_held(&mailbox->lock);
	if (mailbox->shut)
		return;
	/* A receiver may have the first beyond the capacity: it comes back, or is gone, soon. */
	while ((message = kpost_mailbox_first(&mailbox->pending)) &&
	       message->state == KPOST_PENDING) {
		bool replaces = unlikely(message->extra) && kpost_may_replace(mailbox, message);

		if (!replaces && !kpost_mailbox_has_room(mailbox, message->size))
			break;
		if (kpost_wakes_full(wakes))
			break;
		/* Those who then wait for receipt or a reply are not woken. */
		if (admitted++ == ARRAY_SIZE(wakes->tasks)) {
			wakes->more = true;
			break;
		}
		if (replaces) {
			kpost_replace_let_in(mailbox, message, wakes);
			continue;
		}
		kpost_mailbox_unqueue(mailbox, &mailbox->pending, message);
		mailbox->waiting_senders--;
		if (message->own && mailbox_let_in_own(mailbox, message, wakes))
			continue;
		kpost_mailbox_admit(mailbox, message, wakes);
	}
	if (unlikely(!list_empty(&mailbox->refused)) && kpost_mailbox_writable(mailbox))
		mailbox_find_refused(mailbox, wakes);
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
	if (mailbox->keyed)
		kpost_keyed_end(mailbox, wakes);
	kpost_parked_finish(mailbox, wakes);
}

/* Send those away for whom nothing will come. */
void kpost_mailbox_end(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	if (kpost_mailbox_finished(mailbox))
		kpost_mailbox_finish(mailbox, wakes);
	else if (mailbox->keyed)
		kpost_keyed_end(mailbox, wakes);
}

/* Go on where the last holder of the lock stopped. */
static void mailbox_settle(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	struct kpost_message *message;

	if (mailbox->keyed)
		kpost_keyed_settle(mailbox, wakes);
	while ((message = kpost_mailbox_first(&mailbox->queue)) && !list_empty(&mailbox->waiting) &&
	       !kpost_wakes_full(wakes)) {
		kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
		if (!kpost_mailbox_hand_over(mailbox, message, wakes))
			kpost_mailbox_requeue(mailbox, &mailbox->queue, message);
	}
	if (message)
		kpost_parked_tell(mailbox, wakes);
	kpost_mailbox_let_in(mailbox, wakes);
	kpost_mailbox_end(mailbox, wakes);
}

static void pollers_tell(struct kpost_pollers *pollers, __poll_t events, unsigned int times)
{
	if (kpost_pollers_tell(pollers, events, &times) == KPOST_TOLD_SOME)
		kpost_pollers_owe(pollers, events, times);
}

/*
 * Tell those who poll for messages, of which there are so many @arrivals, or for the end, of
 * @events; no lock of ours is held.
 */
void kpost_mailbox_tell(struct kpost_mailbox *mailbox, __poll_t events, unsigned int arrivals)
{
	__poll_t end = events & KPOST_POLL_END;

	if (events & EPOLLIN)
		pollers_tell(&mailbox->in, EPOLLIN | EPOLLRDNORM, arrivals);
	if (end) {
		pollers_tell(&mailbox->in, end, 1);
		/* Whoever closes the mailbox is no trustee of those who may only send. */
		kpost_pollers_owe(&mailbox->end, end, 1);
	}
}

/*
 * Nothing more is taken: tell all who poll to send.  Those of them who can receive, too, hang
 * beside others that can do nothing else, and are to go on: to these an error would be the end.
 */
void kpost_mailbox_tell_shut(struct kpost_mailbox *mailbox)
{
	kpost_pollers_owe(&mailbox->end, EPOLLHUP | EPOLLERR, 1);
	kpost_pollers_owe(&mailbox->in, EPOLLOUT | EPOLLWRNORM, TELL_ALL);
	kpost_pollers_queue(&mailbox->telling->room_work);
}

/* Tell those who poll @endpoint, which is held and may have been released, of @events. */
static void mailbox_tell_sender(struct kpost_mailbox *mailbox, struct kpost_endpoint *endpoint,
				__poll_t events)
{
	unsigned int one = 1;

	switch (kpost_pollers_tell(&endpoint->room, events, &one)) {
	case KPOST_TOLD_ALL:
		break;
	case KPOST_TOLD_ONE:
		kpost_mailbox_one_told(endpoint);
		break;
	case KPOST_TOLD_SOME:
		spin_lock(&mailbox->lock);
		if (!endpoint->released)
			kpost_pollers_owe(&endpoint->room, events, 1);
		spin_unlock(&mailbox->lock);
		break;
	}
	kpost_endpoint_put(endpoint);
}

static void mailbox_tell_all(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
	if (wakes->parked)
		kpost_parked_told(wakes);
	if (wakes->events)
		kpost_mailbox_tell(mailbox, wakes->events, wakes->arrivals);
	if (unlikely(wakes->room))
		mailbox_tell_sender(mailbox, wakes->refused, EPOLLOUT | EPOLLWRNORM);
	if (unlikely(wakes->reply))
		mailbox_tell_sender(mailbox, wakes->caller,
				    kpost_poll_reply(wakes->caller->rights));
}

/*
 * Who has been given a message, or is told of one, is woken by nobody else.  So the giver
 * is not preempted before it has done that: it may be the last that the scheduler would
 * let run.  Where wait queues have locks that sleep (PREEMPT_RT), that goes for tasks only.
 */
static void mailbox_unlock_and_wake(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
	__releases(&mailbox->lock)
{
	preempt_disable();
	spin_unlock(&mailbox->lock);
	kpost_wakes_wake(wakes);
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		mailbox_tell_all(mailbox, wakes);
	preempt_enable();
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		mailbox_tell_all(mailbox, wakes);
	if (unlikely(wakes->gone))
		kpost_keyed_discard(mailbox);
	kpost_wakes_put(wakes);
}

/*
 * Wake whom the holder has found to be woken; as often as it takes, so that no holder does
 * more than a little.
 */
void kpost_mailbox_unlock_and_wake(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
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
