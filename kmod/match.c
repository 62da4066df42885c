// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving from a keyed mailbox, and by tag.  It goes as in recv.c; but what waits for room is
 * there for a receiver, too, beyond the mailbox's capacity, and has no number until it is received.
 */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "endpoint.h"
#include "hold.h"
#include "keyed.h"
#include "overflow.h"
#include "process.h"
#include "reception.h"
#include "room.h"

/* Set in kpost_reception.sequence of what has no number yet. */
#define NO_NUMBER BIT_ULL(63)

/* Tell of @message, which had none before it was received, number and time, as they are now. */
static void reception_number(struct kpost_reception *recv, u64 sequence, u64 time)
{
	struct kpost_recv __user *to = recv->op->arg;

	/* It was received, and only that may be lost. */
	(void)put_user(sequence, &to->sequence);
	(void)put_user(kpost_time_here(time), &to->time);
}

/* Receive @message, which is in hand, of a keyed mailbox.  Returns as kpost_receive_extra(). */
ssize_t kpost_receive_keyed(struct kpost_endpoint *endpoint, struct kpost_reception *recv,
			    struct kpost_message *message, struct kpost_process *process)
{
	size_t stored = min_t(size_t, message->size, recv->to->size);
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	bool beyond = kpost_message_is_beyond(message);
	u64 sequence = message->node.order, time = 0;
	int err;

	if (beyond)
		sequence = NO_NUMBER | kpost_key(message)->place;
	if (kpost_missed(mailbox) && recv->arg)
		recv->missed = kpost_missed_claim(mailbox);
	err = kpost_reception_fill(recv, message, message->call, stored, sequence);
	if (!err && recv->hold && kpost_hold_applies(message)) {
		err = kpost_reception_hold(endpoint, recv, message, process);
		if (!err)
			return stored;
		if (err == -ECANCELED)
			err = 0;
	} else if (!err) {
		if (kpost_receive_rare(endpoint, message, process, &sequence, &time)) {
			if (beyond && recv->arg)
				reception_number(recv, sequence, time);
			return stored;
		}
	} else {
		kpost_message_put_back(mailbox, message);
	}
	if (recv->missed)
		kpost_reception_return_missed(mailbox, recv);
	if (err == -EFAULT)
		err = kpost_reception_bring_in(recv, stored);
	cond_resched();
	return err ?: KPOST_NEXT;
}

/* As wait_for_message(), for one of recv->tag. */
static struct kpost_message *match_wait(struct kpost_mailbox *mailbox, struct kpost_reception *recv,
					size_t room) __releases(&mailbox->lock)
{
	struct kpost_wakes wakes = {};
	struct kpost_key_waiter receiver;
	int err;

	kpost_waiter_init(&receiver.waiter);
	receiver.waiter.room = room;
	receiver.waiter.sure = kpost_reception_sure(recv);
	kpost_keyed_await(mailbox, &receiver, recv->tag);
	spin_unlock(&mailbox->lock);

	kpost_operand_waits(recv->op, recv->arg->deadline, recv->arg->flags, recv->arg->cookie);
	err = kpost_waiter_wait(&receiver.waiter, recv->op);
	if (err) {
		spin_lock(&mailbox->lock);
		if (receiver.waiter.done)
			err = 0;
		else
			kpost_keyed_leave(mailbox, &receiver, &wakes);
		kpost_mailbox_unlock(mailbox, &wakes);
	}
	return kpost_reception_given(recv, &receiver.waiter, err);
}

/* As take_message(), the next of recv->tag. */
static struct kpost_message *match_take(struct kpost_mailbox *mailbox, struct kpost_reception *recv,
					size_t room)
{
	struct kpost_message *message;
	struct kpost_wakes wakes;
	int err = 0;

	spin_lock(&mailbox->lock);
	while ((message = kpost_keyed_next(mailbox, recv->tag)) &&
	       unlikely(kpost_keyed_unsettled(mailbox, recv->tag))) {
		/* Who has waited is first. */
		kpost_wakes_init(&wakes);
		wakes.more = true;
		kpost_mailbox_unlock(mailbox, &wakes);
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
		spin_lock(&mailbox->lock);
	}
	recv->empty = !message;
	if (message) {
		recv->size = message->size;
		/* One that has expired asks for no memory. */
		if (message->size > room && !kpost_message_expired(message))
			err = -EMSGSIZE;
		else if (message->size <= kpost_reception_sure(recv) ||
			 kpost_message_expired(message))
			kpost_keyed_take(mailbox, message);
		else
			message = NULL;
	} else if (kpost_keyed_over(mailbox)) {
		err = -EPIPE;
	} else if (recv->nowait) {
		err = -EAGAIN;
	} else if (!recv->looked) {
		recv->looked = true;
		recv->size = min_t(size_t, mailbox->message_max, KPOST_SURE_WAITING);
	} else {
		return match_wait(mailbox, recv, room);
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

/* As KPOST_IOC_RECV of the next message of recv->tag. */
ssize_t kpost_receive_match(struct kpost_endpoint *endpoint, struct kpost_reception *recv)
{
	size_t room = recv->truncate ? SIZE_MAX : recv->to->size;
	struct kpost_process *process = NULL;
	struct kpost_message *message;
	ssize_t ret;

	kpost_reception_begin(recv);
	do {
		message = match_take(endpoint->mailbox, recv, room);
		if (IS_ERR(message))
			ret = PTR_ERR(message);
		else if (message)
			ret = kpost_receive_extra(endpoint, recv, message, &process);
		else
			ret = kpost_reception_look(recv) ?: KPOST_NEXT;
	} while (ret == KPOST_NEXT);
	if (process)
		kpost_process_put(process);
	return ret;
}
