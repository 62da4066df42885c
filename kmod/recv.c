// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hot path, second half: receiving.
 *
 * A message is taken under the mailbox's lock, copied out with no lock held, and
 * only then received: its room is given back, its sender told, and a call made
 * open.  The copy takes no page fault: a page may never come, and the message
 * would be gone for others meanwhile.  If it needs one, the message is put back
 * where it was, the page brought in, and the copy goes on where it stopped if the
 * message is still the next one.
 *
 * What is put back may have been passed by another message in the hands of another
 * receiver.  So none is taken, or handed over, that there is no memory for as far as is
 * known: a receiver looks at its memory before.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "call.h"
#include "endpoint.h"
#include "hold.h"
#include "keyed.h"
#include "overflow.h"
#include "payload.h"
#include "process.h"
#include "recv.h"
#include "room.h"

/* How much before it waits for one: that may be short, and the memory is the receiver's. */
#define SURE_WAITING SZ_256K
/* How much is brought in at a time where not all of it can stay. */
#define BRING_IN SZ_128K

/* What receive_extra() says beside a number of bytes, or an error. */
#define AS_ANY (-(MAX_ERRNO + 1)) /* the message is as any other */
#define NEXT (-(MAX_ERRNO + 2)) /* it was not received: look for the next */
/* Set in reception.sequence of what has no number yet. */
#define NO_NUMBER BIT_ULL(63)

/* What a receiver wants and gets, and how far it is. */
struct reception {
	struct kpost_operand *op; /* of the struct to fill, if @arg is given */
	struct kpost_recv *arg;
	bool truncate;
	bool nowait;
	const struct kpost_payload *to;
	size_t sure; /* bytes of @to that were there when they were looked at */
	bool looked; /* at all of it that may be needed, before it waits */
	bool empty; /* there was no message */
	size_t size; /* of the next message, or of any; out, with -EMSGSIZE */

	u64 tag; /* with KPOST_MATCH: of the message */
	u64 missed; /* by all receivers: this one has to tell of it, or to return it */
	u64 attempts; /* of a message that may have been held before */
	struct kpost_hold *hold; /* if given: to hold the message with, if it can be */

	/* The message that was copied last, and how much of it was. */
	u64 sequence;
	struct kpost_place place;
};

static void reception_init(struct reception *recv, struct kpost_operand *op, struct kpost_recv *arg,
			   const struct kpost_payload *to, bool nowait)
{
	recv->op = op;
	recv->arg = arg;
	recv->truncate = false;
	recv->nowait = nowait;
	recv->to = to;
	recv->missed = 0;
	recv->hold = NULL;
	recv->sequence = 0;
}

/* The largest message that there is memory for, as far as is known. */
static size_t sure_for(const struct reception *recv)
{
	return recv->sure == recv->to->size ? SIZE_MAX : recv->sure;
}

/*
 * @receiver has waited, with @err, 0 if it was given something.  Returns as wait_for_message().
 */
static struct kpost_message *reception_given(struct reception *recv,
					     const struct kpost_waiter *receiver, int err)
{
	if (likely(!err && !receiver->result))
		return receiver->message;
	recv->size = receiver->room;
	/* Told of a message that it has no memory for, as far as is known. */
	recv->empty = false;
	if (!err && receiver->result == -EAGAIN)
		return NULL;
	return ERR_PTR(err ?: receiver->result);
}

/*
 * Wait for a message of at most @room bytes.  Returns it, TAKEN, or NULL, or -ETIMEDOUT,
 * -ERESTARTSYS, -EMSGSIZE, -EPIPE, see take_message().  Called with the lock held, returns
 * without.
 */
static noinline struct kpost_message *wait_for_message(struct kpost_mailbox *mailbox,
						       struct reception *recv, size_t room)
	__releases(&mailbox->lock)
{
	struct kpost_operand *op = recv->op;
	struct kpost_waiter receiver;
	int err;

	lockdep_assert_held(&mailbox->lock);
	kpost_waiter_init(&receiver);
	receiver.room = room;
	receiver.sure = sure_for(recv);
	list_add_tail(&receiver.link, &mailbox->waiting);
	mailbox->waiting_receivers++;
	if (unlikely(mailbox->keyed))
		kpost_keyed_ticket(mailbox, &receiver);
	spin_unlock(&mailbox->lock);

	if (op)
		kpost_operand_waits(op, recv->arg->deadline, recv->arg->flags, recv->arg->cookie);
	err = kpost_waiter_wait(&receiver, op);
	if (err) {
		spin_lock(&mailbox->lock);
		if (receiver.done) {
			err = 0;
		} else {
			list_del(&receiver.link);
			mailbox->waiting_receivers--;
		}
		spin_unlock(&mailbox->lock);
	}
	return reception_given(recv, &receiver, err);
}

/*
 * Take the next message of at most @room bytes; also -EAGAIN, see wait_for_message().
 * Returns NULL if memory has to be looked at before, as much as recv->size says.
 */
static __always_inline struct kpost_message *take_message(struct kpost_mailbox *mailbox,
							  struct reception *recv, size_t room)
{
	struct kpost_message *message;
	int err = 0;

	spin_lock(&mailbox->lock);
	message = kpost_mailbox_first(&mailbox->queue);
	if (likely(message)) {
		/* One that has expired asks for no memory. */
		if (unlikely(message->size > room) && !kpost_message_expired(message)) {
			recv->size = message->size;
			err = -EMSGSIZE;
		} else if (likely(message->size <= sure_for(recv)) ||
			   kpost_message_expired(message)) {
			kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
			message->state = KPOST_TAKEN;
		} else {
			recv->size = message->size;
			recv->empty = false;
			message = NULL;
		}
	} else if (kpost_mailbox_finished(mailbox)) {
		err = -EPIPE;
	} else if (recv->nowait) {
		err = -EAGAIN;
	} else if (!recv->looked) {
		recv->looked = true;
		recv->empty = true;
		recv->size = min_t(size_t, mailbox->message_max, SURE_WAITING);
	} else {
		return wait_for_message(mailbox, recv, room);
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

static bool message_is_beyond(const struct kpost_message *message)
{
	return message->extra && message->extra->keyed && kpost_key(message)->beyond;
}

/* @message, which is in hand, was withdrawn by its sender: it is to be discarded. */
static void message_ends(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	if (message_is_beyond(message)) {
		kpost_beyond_gone(mailbox, message, wakes);
	} else {
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, wakes);
	}
}

/*
 * With the mailbox's lock held: put back what was taken, unless its sender has withdrawn it.
 * Returns whether it has: then it is to be discarded.
 */
bool kpost_message_back(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_wakes *wakes)
{
	bool withdrawn = message->withdrawn;

	if (withdrawn)
		message_ends(mailbox, message, wakes);
	else if (message_is_beyond(message))
		kpost_beyond_return(mailbox, message, wakes);
	else
		kpost_mailbox_put_back(mailbox, message, wakes);
	if (mailbox->keyed)
		kpost_keyed_end(mailbox, wakes);
	return withdrawn;
}

/* The same, without the lock; and then it is discarded. */
noinline bool kpost_message_put_back(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	struct kpost_wakes wakes = {};
	bool withdrawn;

	spin_lock(&mailbox->lock);
	withdrawn = kpost_message_back(mailbox, message, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (withdrawn)
		kpost_message_discard(mailbox, message);
	return withdrawn;
}

/*
 * See receive_message(): somebody looks at @message yet, to whom its memory is left; or it is of a
 * keyed mailbox.  Its number and time are stored, if that is asked for.
 */
static noinline bool receive_rare(struct kpost_endpoint *endpoint, struct kpost_message *message,
				  struct kpost_process *process, u64 *sequence, u64 *time)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes = {};
	bool withdrawn;

	spin_lock(&mailbox->lock);
	withdrawn = message->withdrawn;
	if (withdrawn) {
		message_ends(mailbox, message, &wakes);
	} else {
		if (message_is_beyond(message))
			kpost_beyond_get_in(mailbox, message, &wakes);
		if (sequence) {
			*sequence = message->node.order;
			*time = message->time;
		}
		mailbox->received_at = jiffies;
		kpost_message_received(endpoint, message, process, &wakes);
	}
	if (mailbox->keyed)
		kpost_keyed_end(mailbox, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_message_discard(mailbox, message);
	return !withdrawn;
}

/*
 * Receive @message, which was copied out, and free it; if it is a call, for @process.  Returns
 * false if its sender has withdrawn it: then it was never received.
 */
static __always_inline bool receive_message(struct kpost_endpoint *endpoint,
					    struct kpost_message *message,
					    struct kpost_process *process)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes __uninitialized;
	struct kpost_origin *origin;
	struct kpost_block *own;

	/*
	 * There are no more pins than there were when it was taken.  Pairs with the release in
	 * kpost_message_unpin().
	 */
	if (unlikely(smp_load_acquire(&message->pins)))
		return receive_rare(endpoint, message, process, NULL, NULL);
	own = kpost_message_shed(message);
	kpost_wakes_init(&wakes);
	spin_lock(&mailbox->lock);
	if (unlikely(message->withdrawn)) {
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, &wakes);
		kpost_mailbox_unlock(mailbox, &wakes);
		kpost_blocks_free(own);
		kpost_message_discard(mailbox, message);
		return false;
	}
	mailbox->received_at = jiffies;
	kpost_message_received(endpoint, message, process, &wakes);
	origin = kpost_message_leave(mailbox->kept, message, &own);
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_origin_free(origin);
	kpost_mailbox_received(mailbox, own);
	return true;
}

/* The same for a message that was held, and is no call. */
noinline bool kpost_message_receive(struct kpost_endpoint *endpoint, struct kpost_message *message)
{
	if (endpoint->mailbox->keyed)
		return receive_rare(endpoint, message, NULL, NULL, NULL);
	return receive_message(endpoint, message, NULL);
}

/*
 * Look at the memory for what is next, with nothing in hand.  Returns 0 or -EFAULT; to
 * have none for what may never come is no failure.
 */
static noinline int reception_look(struct reception *recv)
{
	size_t need = min(recv->size, recv->to->size);

	recv->sure = max(recv->sure, kpost_payload_touch(recv->to, need));
	return recv->sure >= need || recv->empty ? 0 : -EFAULT;
}

/* Describe @message, with what few have. */
static noinline int reception_tell(struct reception *recv, const struct kpost_message *message,
				   const struct kpost_call_state *call, size_t stored)
{
	const struct kpost_hold *hold = recv->hold;

	if (hold && !kpost_hold_applies(message))
		hold = NULL;
	return kpost_message_tell(message, call, hold, recv->attempts, recv->missed, recv->op,
				  recv->arg, stored);
}

/*
 * Copy out @message, of which @stored bytes are wanted, and describe it, without a page
 * fault; @sequence stands for it.  Returns 0, or -EFAULT, or -EINTR.
 */
static __always_inline int reception_fill(struct reception *recv, struct kpost_message *message,
					  const struct kpost_call_state *call, size_t stored,
					  u64 sequence, bool special)
{
	int err;

	if (sequence != recv->sequence) {
		recv->sequence = sequence;
		kpost_place_init(&recv->place, recv->to);
	}
	pagefault_disable();
	err = kpost_message_copy_out(message, recv->to, &recv->place, stored);
	/* Somebody else may yet use what a killed task cannot. */
	if (!err && fatal_signal_pending(current))
		err = -EINTR;
	/*
	 * Last, so that a struct in shared memory tells what was received.  More than once, so
	 * that a plain message does not look at each field that only others have.
	 */
	if (!err && recv->arg) {
		if (unlikely(special))
			err = reception_tell(recv, message, call, stored);
		else if (unlikely(call))
			err = kpost_message_tell(message, call, NULL, 0, recv->missed, recv->op,
						 recv->arg, stored);
		else
			err = kpost_message_tell(message, NULL, NULL, 0, recv->missed, recv->op,
						 recv->arg, stored);
	}
	pagefault_enable();
	return err && fatal_signal_pending(current) ? -EINTR : err;
}

/* Bring in what the copy stopped at, which may take for ever. Returns 0 or -EFAULT. */
static noinline int reception_bring_in(struct reception *recv, size_t stored)
{
	size_t need = min_t(size_t, stored - recv->place.done, BRING_IN);

	if (need)
		return kpost_place_touch(recv->to, &recv->place, need) ? 0 : -EFAULT;
	return kpost_memory_touch(recv->op->arg, recv->op->size) == recv->op->size ? 0 : -EFAULT;
}

/*
 * Find the process that is to have @message, a call, which is in hand: put that back if it takes a
 * while.  Returns 0 if the message is still in hand, 1 if not, or -ENOMEM.
 */
static noinline int reception_find_process(struct kpost_endpoint *endpoint,
					   struct kpost_message *message,
					   struct kpost_process **process)
{
	*process = kpost_process_get(endpoint, KPOST_KEPT_GFP);
	if (likely(*process))
		return 0;
	kpost_message_put_back(endpoint->mailbox, message);
	*process = kpost_process_get(endpoint, GFP_KERNEL_ACCOUNT);
	return *process ? 1 : -ENOMEM;
}

/* What was missed is for whoever receives next: @recv has let go of its message. */
static noinline void reception_return_missed(struct kpost_mailbox *mailbox, struct reception *recv)
{
	kpost_missed_return(mailbox, recv->missed);
	recv->missed = 0;
}

/* Tell of @message, which had none before it was received, number and time, as they are now. */
static void reception_number(struct reception *recv, u64 sequence, u64 time)
{
	struct kpost_recv __user *to = recv->op->arg;

	/* It was received, and only that may be lost. */
	(void)put_user(sequence, &to->sequence);
	(void)put_user(kpost_time_here(time), &to->time);
}

/*
 * The task has copied @message, and is done with that: hold it if it was to, and can be, else
 * receive it, as receive_message() does.  Returns 0; or -EBUSY or -ECANCELED if it cannot be held,
 * and it was put back.
 */
static noinline int reception_hold(struct kpost_endpoint *endpoint, struct reception *recv,
				   struct kpost_message *message, struct kpost_process *process)
{
	int err;

	if (!recv->hold || !kpost_hold_applies(message))
		return receive_message(endpoint, message, process) ? 0 : -ECANCELED;
	err = kpost_hold_begin(endpoint, message, recv->hold);
	if (err)
		kpost_message_put_back(endpoint->mailbox, message);
	else
		recv->hold = NULL;
	return err;
}

/* Receive @message, which is in hand, of a keyed mailbox.  Returns as receive_extra(). */
static ssize_t receive_keyed(struct kpost_endpoint *endpoint, struct reception *recv,
			     struct kpost_message *message, struct kpost_process *process)
{
	size_t stored = min_t(size_t, message->size, recv->to->size);
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	bool beyond = message_is_beyond(message);
	u64 sequence = message->node.order, time = 0;
	int err;

	if (beyond)
		sequence = NO_NUMBER | kpost_key(message)->place;
	if (kpost_missed(mailbox) && recv->arg)
		recv->missed = kpost_missed_claim(mailbox);
	err = reception_fill(recv, message, message->call, stored, sequence, true);
	if (!err && recv->hold && kpost_hold_applies(message)) {
		err = reception_hold(endpoint, recv, message, process);
		if (!err)
			return stored;
		if (err == -ECANCELED)
			err = 0;
	} else if (!err) {
		if (receive_rare(endpoint, message, process, &sequence, &time)) {
			if (beyond && recv->arg)
				reception_number(recv, sequence, time);
			return stored;
		}
	} else {
		kpost_message_put_back(mailbox, message);
	}
	if (recv->missed)
		reception_return_missed(mailbox, recv);
	if (err == -EFAULT)
		err = reception_bring_in(recv, stored);
	cond_resched();
	return err ?: NEXT;
}

/*
 * @message, which is in hand, has something that few have: receive it, if that is why.  Returns
 * bytes stored, or -errno, or what is said above.
 */
static noinline ssize_t receive_extra(struct kpost_endpoint *endpoint, struct reception *recv,
				      struct kpost_message *message, struct kpost_process **process)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	int err;

	/* What is too long was taken since it had, whatever the clock says by now. */
	if ((message->size > recv->to->size && !recv->truncate) || kpost_message_expired(message)) {
		kpost_message_expire(mailbox, message);
		/* There may be many of them. */
		cond_resched();
		return fatal_signal_pending(current) ? -EINTR : NEXT;
	}
	recv->attempts = message->extra->attempts;
	if (!mailbox->keyed)
		return AS_ANY;
	/* Before anything is told of it. */
	if (message->call && !*process) {
		err = reception_find_process(endpoint, message, process);
		if (err)
			return err < 0 ? err : NEXT;
	}
	return receive_keyed(endpoint, recv, message, *process);
}

/*
 * Receive as @recv says, which has a hold only if it is a @rare one.  Returns bytes stored or
 * -errno.
 */
static __always_inline ssize_t receive(struct kpost_endpoint *endpoint, struct reception *recv,
				       bool rare)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	size_t count = recv->to->size;
	size_t room = recv->truncate ? SIZE_MAX : count;
	struct kpost_process *process = NULL;
	struct kpost_message *message;
	bool special;
	size_t stored;
	ssize_t ret;

	pagefault_disable();
	recv->sure = kpost_payload_touch(recv->to, min_t(size_t, count, KPOST_SURE_FIRST));
	pagefault_enable();
	recv->looked = recv->sure == count;
	for (;;) {
		message = take_message(mailbox, recv, room);
		if (IS_ERR(message)) {
			ret = PTR_ERR(message);
			break;
		}
		if (unlikely(!message)) {
			ret = reception_look(recv);
			if (ret)
				break;
			continue;
		}
		special = rare;
		if (unlikely(message->extra)) {
			ret = receive_extra(endpoint, recv, message, &process);
			if (ret == NEXT)
				continue;
			if (ret != AS_ANY)
				break;
			special = true;
		} else if (rare) {
			recv->attempts = 0;
		}
		/* Before anything is told of it. */
		if (unlikely(message->call && !process)) {
			ret = reception_find_process(endpoint, message, &process);
			if (ret < 0)
				break;
			if (ret)
				continue;
		}
		if (unlikely(kpost_missed(mailbox) && recv->arg))
			recv->missed = kpost_missed_claim(mailbox);
		stored = min_t(size_t, message->size, count);
		ret = reception_fill(recv, message, message->call, stored, message->node.order,
				     special);
		if (likely(!ret)) {
			if (rare)
				ret = reception_hold(endpoint, recv, message, process);
			else if (unlikely(!receive_message(endpoint, message, process)))
				ret = -ECANCELED;
			if (likely(!ret)) {
				ret = stored;
				break;
			}
			if (recv->missed)
				reception_return_missed(mailbox, recv);
			if (ret == -ECANCELED)
				continue;
			break;
		}
		kpost_message_put_back(mailbox, message);
		if (recv->missed)
			reception_return_missed(mailbox, recv);
		if (ret == -EFAULT)
			ret = reception_bring_in(recv, stored);
		if (ret)
			break;
		cond_resched();
	}
	if (unlikely(process))
		kpost_process_put(process);
	return ret;
}

/* ---- by tag --------------------------------------------------------------------------- */

/* As wait_for_message(), for one of recv->tag. */
static struct kpost_message *match_wait(struct kpost_mailbox *mailbox, struct reception *recv,
					size_t room) __releases(&mailbox->lock)
{
	struct kpost_wakes wakes = {};
	struct kpost_key_waiter receiver;
	int err;

	kpost_waiter_init(&receiver.waiter);
	receiver.waiter.room = room;
	receiver.waiter.sure = sure_for(recv);
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
	return reception_given(recv, &receiver.waiter, err);
}

/* As take_message(), the next of recv->tag. */
static struct kpost_message *match_take(struct kpost_mailbox *mailbox, struct reception *recv,
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
		else if (message->size <= sure_for(recv) || kpost_message_expired(message))
			kpost_keyed_take(mailbox, message);
		else
			message = NULL;
	} else if (kpost_keyed_over(mailbox)) {
		err = -EPIPE;
	} else if (recv->nowait) {
		err = -EAGAIN;
	} else if (!recv->looked) {
		recv->looked = true;
		recv->size = min_t(size_t, mailbox->message_max, SURE_WAITING);
	} else {
		return match_wait(mailbox, recv, room);
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

/* As receive(), the next message of recv->tag. */
static noinline ssize_t receive_match(struct kpost_endpoint *endpoint, struct reception *recv)
{
	size_t count = recv->to->size, room = recv->truncate ? SIZE_MAX : count;
	struct kpost_process *process = NULL;
	struct kpost_message *message;
	ssize_t ret;

	pagefault_disable();
	recv->sure = kpost_payload_touch(recv->to, min_t(size_t, count, KPOST_SURE_FIRST));
	pagefault_enable();
	recv->looked = recv->sure == count;
	do {
		message = match_take(endpoint->mailbox, recv, room);
		if (IS_ERR(message))
			ret = PTR_ERR(message);
		else if (message)
			ret = receive_extra(endpoint, recv, message, &process);
		else
			ret = reception_look(recv) ?: NEXT;
	} while (ret == NEXT);
	if (process)
		kpost_process_put(process);
	return ret;
}

/* ---- KPOST_PEEK ----------------------------------------------------------------------- */

/*
 * Pin the next message, with @match of recv->tag, of at most @room bytes, and of at most @most if
 * those may not be told.  Returns it, or -EPIPE, -EAGAIN, -EMSGSIZE, -EBUSY; or -E2BIG, and
 * recv->size is what it has; or, if it has expired, NULL and in *@expired the message, taken.  That
 * is said once: a look at the clock again may find that it was set back.
 */
static struct kpost_message *peek_pin(struct kpost_mailbox *mailbox, struct reception *recv,
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
		recv->attempts = message->extra ? message->extra->attempts : 0;
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

/*
 * Copy the next message out as @recv says, with @match that of its tag, and leave it where it is:
 * anybody may receive it meanwhile, and who does gets its token.  What is pinned outlives that, so
 * that a large one counts for who looks.  Returns bytes stored or -errno.
 */
static ssize_t peek(struct kpost_endpoint *endpoint, struct reception *recv, bool match)
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
		err = reception_fill(recv, message, NULL, stored, message->node.order, true);
		kpost_message_unpin(mailbox, message);
		if (!err)
			break;
		if (err == -EFAULT)
			err = reception_bring_in(recv, stored);
		cond_resched();
	} while (!err);
	kpost_uncharge(&charge);
	return err ?: stored;
}

/* What most receives say at the most. */
#define PLAIN_FLAGS (KPOST_DONTWAIT | KPOST_IOVEC | KPOST_TRUNCATE)

/* The same as receive(), once for all that are not plain. */
static noinline ssize_t receive_rarely(struct kpost_endpoint *endpoint, struct reception *recv)
{
	return receive(endpoint, recv, true);
}

/* Receive a message to hold, which takes some memory before.  Returns as receive() does. */
static noinline ssize_t receive_to_hold(struct kpost_endpoint *endpoint, struct reception *recv)
{
	const struct kpost_recv __user *from = recv->op->arg;
	u64 until;
	ssize_t ret;

	if (get_user(until, &from->hold_until))
		return -EFAULT;
	recv->hold = kpost_hold_new(endpoint, until, kpost_clock_of(recv->arg->flags));
	if (IS_ERR(recv->hold))
		return PTR_ERR(recv->hold);
	ret = receive_rarely(endpoint, recv);
	kpost_hold_free(recv->hold);
	return ret;
}

/* Do what @flags say beyond what most say.  Returns as receive() does, or -EINVAL. */
static noinline ssize_t receive_as_asked(struct kpost_endpoint *endpoint, struct reception *recv,
					 u32 flags)
{
	const struct kpost_recv __user *from = recv->op->arg;

	if (!kpost_clock_flags_ok(flags))
		return -EINVAL;
	if (flags & KPOST_MATCH) {
		if (!endpoint->mailbox->keyed)
			return -EINVAL;
		if (get_user(recv->tag, &from->tag))
			return -EFAULT;
	}
	switch (flags & ~(PLAIN_FLAGS | KPOST_CLOCK_FLAGS)) {
	case 0:
		return receive_rarely(endpoint, recv);
	case KPOST_PEEK:
		return peek(endpoint, recv, false);
	case KPOST_MATCH | KPOST_PEEK:
		return peek(endpoint, recv, true);
	case KPOST_MATCH:
		return receive_match(endpoint, recv);
	case KPOST_HOLD:
		return receive_to_hold(endpoint, recv);
	}
	return -EINVAL;
}

long kpost_recv(struct kpost_operand *op)
{
	struct kpost_payload payload __uninitialized;
	struct reception recv __uninitialized;
	struct kpost_recv arg __uninitialized;
	ssize_t ret;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	err = kpost_struct_get_back(op, &arg, cookie);
	if (err)
		return err;
	if (arg.deadline > S64_MAX)
		return -EINVAL;
	op->dontwait = arg.flags & KPOST_DONTWAIT;

	err = kpost_payload_import(&payload, arg.buf, arg.len, arg.flags & KPOST_IOVEC, ITER_DEST,
				   op->fixed);
	if (err)
		return err;
	reception_init(&recv, op, &arg, &payload, op->nowait || op->dontwait);
	recv.truncate = arg.flags & KPOST_TRUNCATE;
	/* In one, and the same for flags that there are none of. */
	if (unlikely(arg.flags & ~PLAIN_FLAGS))
		ret = receive_as_asked(op->endpoint, &recv, arg.flags);
	else
		ret = receive(op->endpoint, &recv, false);
	kpost_payload_release(&payload);

	if (ret == -EMSGSIZE) {
		struct kpost_recv __user *to = op->arg;

		if (put_user(recv.size, &to->size))
			return -EFAULT;
	} else if (ret == -EAGAIN) {
		/* Who waits for a tag is a task. */
		op->receives = !(arg.flags & KPOST_MATCH);
		kpost_operand_waits(op, arg.deadline, arg.flags, arg.cookie);
	}
	return ret;
}

/* read(2) and its kin: one payload; 0 when there can never be another. */
ssize_t kpost_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct kpost_endpoint *endpoint = iocb->ki_filp->private_data;
	bool nowait = iocb->ki_filp->f_flags & O_NONBLOCK || iocb->ki_flags & IOCB_NOWAIT;
	struct kpost_payload payload __uninitialized;
	struct reception recv __uninitialized;
	ssize_t ret;

	if (!(endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	kpost_payload_of_iter(&payload, to);
	reception_init(&recv, NULL, NULL, &payload, nowait);
	ret = receive(endpoint, &recv, false);
	return ret == -EPIPE ? 0 : ret;
}
