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
#include "mark.h"
#include "overflow.h"
#include "payload.h"
#include "process.h"
#include "reception.h"
#include "room.h"

/* How much is brought in at a time where not all of it can stay. */
#define BRING_IN SZ_128K

static void reception_init(struct kpost_reception *recv, struct kpost_operand *op,
			   struct kpost_recv *arg, const struct kpost_payload *to, bool nowait)
{
	recv->op = op;
	recv->arg = arg;
	recv->truncate = false;
	recv->nowait = nowait;
	recv->to = to;
	recv->missed = 0;
	recv->sequence = 0;
}

/*
 * @receiver has waited, with @err, 0 if it was given something.  Returns as wait_for_message().
 */
struct kpost_message *kpost_reception_given(struct kpost_reception *recv,
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
						       struct kpost_reception *recv, size_t room)
	__releases(&mailbox->lock)
{
	struct kpost_operand *op = recv->op;
	struct kpost_waiter receiver;
	int err;

	lockdep_assert_held(&mailbox->lock);
	kpost_waiter_init(&receiver);
	receiver.room = room;
	receiver.sure = kpost_reception_sure(recv);
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
	return kpost_reception_given(recv, &receiver, err);
}

/*
 * Take the next message of at most @room bytes; also -EAGAIN, see wait_for_message().
 * Returns NULL if memory has to be looked at before, as much as recv->size says.
 */
static __always_inline struct kpost_message *take_message(struct kpost_mailbox *mailbox,
							  struct kpost_reception *recv, size_t room)
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
		} else if (likely(message->size <= kpost_reception_sure(recv)) ||
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
		recv->size = min_t(size_t, mailbox->message_max, KPOST_SURE_WAITING);
	} else {
		return wait_for_message(mailbox, recv, room);
	}
	spin_unlock(&mailbox->lock);
	return err ? ERR_PTR(err) : message;
}

/* @message, which is in hand, was withdrawn by its sender: it is to be discarded. */
static void message_ends(struct kpost_mailbox *mailbox, struct kpost_message *message,
			 struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	if (kpost_message_is_beyond(message)) {
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
	else if (kpost_message_is_beyond(message))
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
noinline bool kpost_receive_rare(struct kpost_endpoint *endpoint, struct kpost_message *message,
				 struct kpost_process *process, u64 *sequence, u64 *time)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_wakes wakes = {};
	bool beyond, withdrawn, repeats = false;

	spin_lock(&mailbox->lock);
	beyond = kpost_message_is_beyond(message);
	/* Whoever shuts it has not come to this one yet. */
	if (beyond && mailbox->shut && !message->withdrawn)
		kpost_beyond_drop(mailbox, message, &wakes);
	withdrawn = message->withdrawn;
	if (withdrawn) {
		message_ends(mailbox, message, &wakes);
	} else if (beyond && kpost_message_repeats(message)) {
		kpost_beyond_repeats(mailbox, message, &wakes);
		repeats = true;
	} else {
		if (beyond)
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
	/* Its sender has it back then. */
	if (!repeats)
		kpost_message_discard(mailbox, message);
	return !withdrawn && !repeats;
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
		return kpost_receive_rare(endpoint, message, process, NULL, NULL);
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
		return kpost_receive_rare(endpoint, message, NULL, NULL, NULL);
	return receive_message(endpoint, message, NULL);
}

/*
 * Look at the memory for what is next, with nothing in hand.  Returns 0 or -EFAULT; to
 * have none for what may never come is no failure.
 */
int kpost_reception_look(struct kpost_reception *recv)
{
	size_t need = min(recv->size, recv->to->size);

	recv->sure = max(recv->sure, kpost_payload_touch(recv->to, need));
	return recv->sure >= need || recv->empty ? 0 : -EFAULT;
}

/* Describe @message, with what few have. */
static noinline int reception_tell(struct kpost_reception *recv,
				   const struct kpost_message *message,
				   const struct kpost_call_state *call, size_t stored)
{
	const struct kpost_hold *hold = recv->hold;
	u64 expires = 0;

	if (hold && !kpost_hold_applies(message))
		hold = NULL;
	if (recv->expires)
		expires = kpost_deadline_here(recv->expires, recv->clock);
	return kpost_message_tell(message, call, hold, recv->attempts, recv->missed, expires,
				  recv->op, recv->arg, stored);
}

/*
 * Copy out @message, of which @stored bytes are wanted, and describe it, without a page
 * fault; @sequence stands for it.  Returns 0, or -EFAULT, or -EINTR.
 */
static __always_inline int reception_fill(struct kpost_reception *recv,
					  struct kpost_message *message,
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
			err = kpost_message_tell(message, call, NULL, 0, recv->missed, 0, recv->op,
						 recv->arg, stored);
		else
			err = kpost_message_tell(message, NULL, NULL, 0, recv->missed, 0, recv->op,
						 recv->arg, stored);
	}
	pagefault_enable();
	return err && fatal_signal_pending(current) ? -EINTR : err;
}

/* The same for what is not plain. */
noinline int kpost_reception_fill(struct kpost_reception *recv, struct kpost_message *message,
				  const struct kpost_call_state *call, size_t stored, u64 sequence)
{
	return reception_fill(recv, message, call, stored, sequence, true);
}

/* Bring in what the copy stopped at, which may take for ever. Returns 0 or -EFAULT. */
int kpost_reception_bring_in(struct kpost_reception *recv, size_t stored)
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
void kpost_reception_return_missed(struct kpost_mailbox *mailbox, struct kpost_reception *recv)
{
	kpost_missed_return(mailbox, recv->missed);
	recv->missed = 0;
}

/*
 * The task has copied @message, and is done with that: hold it if it was to, and can be, else
 * receive it, as receive_message() does.  Returns 0; or -EBUSY, -ETIMEDOUT or -ECANCELED if it
 * cannot be held, and it was put back.
 */
noinline int kpost_reception_hold(struct kpost_endpoint *endpoint, struct kpost_reception *recv,
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

/*
 * @message, which is in hand, has something that few have: receive it, if that is why.  Returns
 * bytes stored, or -errno, or what is said above.
 */
noinline ssize_t kpost_receive_extra(struct kpost_endpoint *endpoint, struct kpost_reception *recv,
				     struct kpost_message *message, struct kpost_process **process)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	int err;

	/* What is too long was taken since it had, whatever the clock says by now. */
	if ((message->size > recv->to->size && !recv->truncate) || kpost_message_expired(message)) {
		kpost_message_expire(mailbox, message);
		/* There may be many of them. */
		cond_resched();
		return fatal_signal_pending(current) ? -EINTR : KPOST_NEXT;
	}
	kpost_reception_know(recv, message->extra);
	if (!mailbox->keyed)
		return KPOST_AS_ANY;
	/* Before anything is told of it. */
	if (message->call && !*process) {
		err = reception_find_process(endpoint, message, process);
		if (err)
			return err < 0 ? err : KPOST_NEXT;
	}
	return kpost_receive_keyed(endpoint, recv, message, *process);
}

/*
 * Receive as @recv says, which has a hold only if it is a @rare one.  Returns bytes stored or
 * -errno.
 */
static __always_inline ssize_t receive(struct kpost_endpoint *endpoint,
				       struct kpost_reception *recv, bool rare)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	size_t count = recv->to->size;
	size_t room = recv->truncate ? SIZE_MAX : count;
	struct kpost_process *process = NULL;
	struct kpost_message *message;
	bool special;
	size_t stored;
	ssize_t ret;

	kpost_reception_begin(recv);
	for (;;) {
		message = take_message(mailbox, recv, room);
		if (IS_ERR(message)) {
			ret = PTR_ERR(message);
			break;
		}
		if (unlikely(!message)) {
			ret = kpost_reception_look(recv);
			if (ret)
				break;
			continue;
		}
		special = rare;
		if (unlikely(message->extra)) {
			if (!rare)
				recv->hold = NULL;
			ret = kpost_receive_extra(endpoint, recv, message, &process);
			if (ret == KPOST_NEXT)
				continue;
			if (ret != KPOST_AS_ANY)
				break;
			special = true;
		} else if (rare) {
			kpost_reception_know(recv, NULL);
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
				ret = kpost_reception_hold(endpoint, recv, message, process);
			else if (unlikely(!receive_message(endpoint, message, process)))
				ret = -ECANCELED;
			if (likely(!ret)) {
				ret = stored;
				break;
			}
			if (recv->missed)
				kpost_reception_return_missed(mailbox, recv);
			if (ret == -ECANCELED)
				continue;
			break;
		}
		kpost_message_put_back(mailbox, message);
		if (recv->missed)
			kpost_reception_return_missed(mailbox, recv);
		if (ret == -EFAULT)
			ret = kpost_reception_bring_in(recv, stored);
		if (ret)
			break;
		cond_resched();
	}
	if (unlikely(process))
		kpost_process_put(process);
	return ret;
}

/* What most receives say at the most. */
#define PLAIN_FLAGS (KPOST_DONTWAIT | KPOST_IOVEC | KPOST_TRUNCATE)

/* The same as receive(), once for all that are not plain. */
static noinline ssize_t receive_rarely(struct kpost_endpoint *endpoint,
				       struct kpost_reception *recv)
{
	return receive(endpoint, recv, true);
}

/* Receive a message to hold, which takes some memory before.  Returns as receive() does. */
static noinline ssize_t receive_to_hold(struct kpost_endpoint *endpoint,
					struct kpost_reception *recv)
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
static noinline ssize_t receive_as_asked(struct kpost_endpoint *endpoint,
					 struct kpost_reception *recv, u32 flags)
{
	const struct kpost_recv __user *from = recv->op->arg;

	recv->hold = NULL;
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
		return kpost_peek(endpoint, recv, false);
	case KPOST_MATCH | KPOST_PEEK:
		return kpost_peek(endpoint, recv, true);
	case KPOST_MATCH:
		return kpost_receive_match(endpoint, recv);
	case KPOST_HOLD:
		return receive_to_hold(endpoint, recv);
	}
	return -EINVAL;
}

long kpost_recv(struct kpost_operand *op)
{
	struct kpost_payload payload __uninitialized;
	struct kpost_reception recv __uninitialized;
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
	struct kpost_reception recv __uninitialized;
	ssize_t ret;

	if (!(endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	kpost_payload_of_iter(&payload, to);
	reception_init(&recv, NULL, NULL, &payload, nowait);
	ret = receive(endpoint, &recv, false);
	return ret == -EPIPE ? 0 : ret;
}
