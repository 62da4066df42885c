// SPDX-License-Identifier: GPL-2.0-only
/* A look at the next message, which stays where it is. */
#include <linux/sched/signal.h>

#include "endpoint.h"
#include "expiry.h"
#include "keyed.h"
#include "overflow.h"
#include "reception.h"
#include "room.h"

/*
 * Pin the next message, with @match of recv->tag, of at most @room bytes, and of at most @most if
 * those may not be told.  Returns it, or -EPIPE, -EAGAIN, -EMSGSIZE, -EBUSY; or -E2BIG, and
 * recv->size is what it has; or, if it has expired, NULL and in *@expired the message, taken.  That
 * is said once: a look at the clock again may find that it was set back.
 */
static struct kpost_message *peek_pin(struct kpost_mailbox *mailbox, struct kpost_reception *recv,
				      bool match, size_t room, size_t most,
				      struct kpost_message **expired)
{
	const struct kpost_losses *losses;
	struct kpost_message *message;
	int err = 0;

	spin_lock(&mailbox->lock);
	message = match ? kpost_keyed_queued(mailbox, recv->tag) :
			  kpost_mailbox_first(&mailbox->queue);
	if (!message) {
		err = kpost_mailbox_finished(mailbox) || (match && kpost_keyed_over(mailbox)) ?
			      -EPIPE :
			      -EAGAIN;
	} else if (kpost_message_expired(message)) {
		kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
		message->state = KPOST_TAKEN;
		*expired = message;
		message = NULL;
	} else if (message->size > room || message->size > most) {
		recv->size = message->size;
		err = message->size > room ? -EMSGSIZE : -E2BIG;
	} else if (message->pins == U8_MAX) {
		err = -EBUSY;
	} else {
		WRITE_ONCE(message->pins, message->pins + 1);
		/* Who receives it is told, too. */
		losses = kpost_losses(mailbox);
		recv->missed = losses ? losses->missed : 0;
		kpost_reception_know(recv, message->extra);
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

/*
 * Copy the next message out as @recv says, with @match that of its tag, and leave it where it is:
 * anybody may receive it meanwhile, and who does gets its token.  What is pinned outlives that, so
 * that a large one counts for who looks.  Returns bytes stored or -errno.
 */
ssize_t kpost_peek(struct kpost_endpoint *endpoint, struct kpost_reception *recv, bool match)
{
	size_t room = recv->truncate ? SIZE_MAX : recv->to->size, most = KPOST_UNCOUNTED_MAX;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_message *message, *expired;
	struct kpost_charge charge = {};
	size_t stored = 0;
	int err = 0;

	recv->op->dontwait = true;
	do {
		message = peek_pin(mailbox, recv, match, room, most, &expired);
		if (!message) {
			kpost_message_expire(mailbox, expired);
			cond_resched();
			if (fatal_signal_pending(current))
				err = -EINTR;
			continue;
		}
		err = PTR_ERR_OR_ZERO(message);
		if (err == -E2BIG) {
			most = recv->size;
			kpost_uncharge(&charge);
			err = kpost_endpoint_charge(endpoint, &charge, kpost_message_cost(most),
						    false);
			if (err)
				return err;
			continue;
		}
		if (err)
			break;
		stored = min_t(size_t, message->size, recv->to->size);
		err = kpost_reception_fill(recv, message, NULL, stored, message->node.order);
		kpost_message_unpin(mailbox, message);
		if (!err)
			break;
		if (err == -EFAULT)
			err = kpost_reception_bring_in(recv, stored);
		cond_resched();
	} while (!err);
	kpost_uncharge(&charge);
	return err ?: stored;
}
