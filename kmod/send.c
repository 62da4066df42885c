// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hot path, first half: sending.
 *
 * A message is built with no lock held: memory, charge, payload; only to take
 * a block that the mailbox keeps its lock is held for a moment.  Then it is
 * committed under that lock, where nothing can fail but for want of room, and
 * gets its origin.  A sender that has to wait leaves its message in the mailbox
 * and is told what became of it.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "call.h"
#include "endpoint.h"
#include "hold.h"
#include "mark.h"
#include "keyed.h"
#include "overflow.h"
#include "payload.h"
#include "room.h"
#include "send.h"

/* How often a sender's memory is brought in for the sake of what the mailbox keeps. */
#define FILL_TRIES 3

/* Does a message with the payload @from count while it is copied? */
bool kpost_payload_counts(const struct kpost_payload *from)
{
	return from->size > KPOST_UNCOUNTED_MAX;
}

/*
 * A message filled from @from, in blocks that @mailbox has to spare; NULL if it has none.  No
 * block of a mailbox is held while memory is brought in, which may take for ever, and what was
 * copied is lost then.  Where that happens again and again the sender's own memory has to do.
 */
static __always_inline struct kpost_message *
message_fill_kept(struct kpost_mailbox *mailbox, const struct kpost_payload *from, u32 priority)
{
	struct kpost_place place __uninitialized;
	struct kpost_message *message;
	unsigned int tries;
	bool whole;
	int err;

	for (tries = 0; tries < FILL_TRIES && READ_ONCE(mailbox->kept_bytes); tries++) {
		message = NULL;
		spin_lock(&mailbox->lock);
		/* One that would wait is not to have others without. */
		if (likely(!mailbox->shut && kpost_mailbox_admits(mailbox, from->size, priority)))
			message = kpost_message_take(mailbox->kept, from->size, &whole);
		spin_unlock(&mailbox->lock);
		if (unlikely(!message))
			return NULL;
		if (unlikely(!whole)) {
			err = kpost_message_extend(message);
			if (err) {
				kpost_message_discard(mailbox, message);
				return ERR_PTR(err);
			}
		}
		kpost_place_init(&place, from);
		pagefault_disable();
		err = kpost_message_copy_in(message, from, &place);
		pagefault_enable();
		if (likely(!err))
			return message;
		kpost_message_discard(mailbox, message);
		if (!kpost_place_bring_in(from, &place, from->size - place.done))
			return ERR_PTR(-EFAULT);
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
	}
	return NULL;
}

/* The same in the sender's own memory. */
static struct kpost_message *message_fill_own(struct kpost_mailbox *mailbox,
					      const struct kpost_payload *from)
{
	struct kpost_message *message = kpost_message_alloc(from->size);
	struct kpost_place place __uninitialized;

	if (IS_ERR(message))
		return message;
	if (unlikely(mailbox->keyed && kpost_message_key(message))) {
		kpost_message_free(message);
		return ERR_PTR(-ENOMEM);
	}
	kpost_place_init(&place, from);
	if (!kpost_message_copy_in(message, from, &place))
		return message;
	kpost_message_free(message);
	return ERR_PTR(-EFAULT);
}

/*
 * A message with the payload @from, ready to be committed, which is charged to who sends it
 * if @counts.  Returns it or -EMSGSIZE, -EDQUOT, -ENOBUFS, -ENOMEM, -EINTR, -EFAULT.
 */
static __always_inline struct kpost_message *message_build(struct kpost_endpoint *endpoint,
							   const struct kpost_payload *from,
							   u32 priority, u64 tag, bool counts)
{
	struct kpost_charge charge __uninitialized;
	struct kpost_message *message;
	int err;

	if (from->size > endpoint->mailbox->message_max)
		return ERR_PTR(-EMSGSIZE);
	if (unlikely(counts)) {
		err = kpost_endpoint_charge(endpoint, &charge, kpost_message_cost(from->size),
					    true);
		if (err)
			return ERR_PTR(err);
	}
	message = message_fill_kept(endpoint->mailbox, from, priority);
	if (unlikely(!message))
		message = message_fill_own(endpoint->mailbox, from);
	if (IS_ERR(message)) {
		if (counts)
			kpost_uncharge(&charge);
		return message;
	}
	if (unlikely(counts))
		kpost_message_count(message, charge.account);
	message->node.priority = priority;
	message->tag = tag;
	return message;
}

struct kpost_message *kpost_message_build(struct kpost_endpoint *endpoint,
					  const struct kpost_payload *from, u32 priority, u64 tag,
					  bool counts)
{
	return message_build(endpoint, from, priority, tag, counts);
}

/*
 * Take back a message whose sender leaves before it was received.  It is freed
 * here, or by the receiver that has it.
 */
void kpost_message_withdraw(struct kpost_mailbox *mailbox, struct kpost_message *message,
			    struct kpost_wakes *wakes)
{
	lockdep_assert_held(&mailbox->lock);
	switch (message->state) {
	case KPOST_PENDING:
		kpost_mailbox_unqueue(mailbox, &mailbox->pending, message);
		mailbox->waiting_senders--;
		/* It may have been what held up those behind it. */
		kpost_mailbox_let_in(mailbox, wakes);
		break;
	case KPOST_QUEUED:
		kpost_mailbox_unqueue(mailbox, &mailbox->queue, message);
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, wakes);
		break;
	case KPOST_DELAYED:
		kpost_hold_delayed_withdraw(mailbox, message);
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, message, wakes);
		if (mailbox->keyed)
			kpost_keyed_end(mailbox, wakes);
		break;
	case KPOST_TAKEN:
	case KPOST_HELD:
		message->withdrawn = true;
		message->sender = NULL;
		break;
	}
}

static void message_await(struct kpost_message *message, struct kpost_waiter *sender, bool parked)
{
	if (!parked)
		kpost_waiter_init(sender);
	else
		sender->done = false; /* a batch's has waited before */
	message->sender = sender;
}

/*
 * Have @message, which is about to wait for room, count for who sends it.  Returns 0 or -EDQUOT,
 * -ENOBUFS, -ENOMEM.
 */
noinline int kpost_message_charge(struct kpost_endpoint *endpoint, struct kpost_message *message)
{
	struct kpost_charge charge;
	int err =
		kpost_endpoint_charge(endpoint, &charge, kpost_message_cost(message->room), false);

	if (!err)
		kpost_message_count(message, charge.account);
	return err;
}

/*
 * With the mailbox's lock held: @message, which counts, and has its origin, waits for room, and
 * @sender, if given, with it.
 */
void kpost_message_pend(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_waiter *sender, bool parked, struct kpost_wakes *wakes)
{
	if (sender)
		message_await(message, sender, parked);
	message->state = KPOST_PENDING;
	kpost_mailbox_queue(mailbox, &mailbox->pending, message);
	mailbox->waiting_senders++;
	if (mailbox->keyed)
		kpost_keyed_pended(mailbox, message, wakes);
}

/*
 * Commit @message.  Returns 0 if it is in the mailbox and there is nothing to
 * wait for, 1 if @sender, if given, has to wait, for room or for receipt, or -EPIPE,
 * -EAGAIN, -EDQUOT, -ENOBUFS, -ENOMEM, -ECANCELED if it was withdrawn before, or why what waits
 * without a task is not to wait any more, after which the message is still the caller's.  Once it
 * is in, *@sequence is its number; sender->sequence if it waits.  @awaits says whether that is to
 * be told of the receipt, @parked whether it waits without a task, and @marks whether it may have a
 * number of its sender's: then it can be -EALREADY too.
 */
static __always_inline int message_commit(struct kpost_endpoint *endpoint,
					  struct kpost_message *message,
					  struct kpost_waiter *sender, bool awaits, bool parked,
					  bool marks, bool nowait, u64 *sequence)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_origin *origin, *fresh = NULL;
	struct kpost_wakes wakes __uninitialized;
	bool own = message->own;
	int err = awaits;

	kpost_wakes_init(&wakes);
	if (awaits)
		message_await(message, sender, parked);
again:
	spin_lock(&mailbox->lock);
	origin = kpost_endpoint_origin(endpoint, &fresh);
	if (unlikely(mailbox->shut || message->withdrawn)) {
		err = mailbox->shut ? -EPIPE : -ECANCELED;
	} else if (unlikely(!origin)) {
		spin_unlock(&mailbox->lock);
		fresh = kpost_origin_new(endpoint);
		if (!fresh)
			return -ENOMEM;
		goto again;
	} else if (marks && kpost_message_repeats(message)) {
		err = -EALREADY;
	} else if (likely(kpost_mailbox_admits(mailbox, message->size, message->node.priority))) {
		message->origin = origin;
		origin->uses++;
		if (marks)
			kpost_message_mark(message);
		kpost_mailbox_admit(mailbox, message, &wakes);
		*sequence = mailbox->sent;
	} else if (nowait) {
		kpost_mailbox_refuse(endpoint);
		err = -EAGAIN;
	} else if (!message->counts) {
		/* From here on it counts; others may have given room back meanwhile. */
		spin_unlock(&mailbox->lock);
		kpost_origin_free(fresh);
		fresh = NULL;
		err = kpost_message_charge(endpoint, message);
		if (err)
			return err;
		err = awaits;
		goto again;
	} else if (parked && kpost_parked_ends(sender)) {
		err = kpost_parked_ends(sender);
	} else {
		message->origin = origin;
		origin->uses++;
		kpost_message_pend(mailbox, message, sender, parked, &wakes);
		err = 1;
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_origin_free(fresh);
	if (unlikely(own))
		kpost_kept_trim(mailbox);
	return err;
}

int kpost_message_commit(struct kpost_endpoint *endpoint, struct kpost_message *message,
			 struct kpost_waiter *sender, bool nowait, u64 *sequence)
{
	return message_commit(endpoint, message, sender, message->flags == KPOST_MESSAGE_SYNC,
			      false, false, nowait, sequence);
}

/*
 * The same for @message that may have a number of its sender's, and for @sender that waits without
 * a task if it is @parked.
 */
int kpost_message_commit_rare(struct kpost_endpoint *endpoint, struct kpost_message *message,
			      struct kpost_waiter *sender, bool parked, bool nowait, u64 *sequence)
{
	return message_commit(endpoint, message, sender, message->flags == KPOST_MESSAGE_SYNC,
			      parked, true, nowait, sequence);
}

/*
 * Wait for what @message, which was committed, waits for, in @op, if given; @sequence is its
 * number then.  Returns 0 or -errno.
 */
static noinline int await_message(struct kpost_mailbox *mailbox, struct kpost_message *message,
				  struct kpost_waiter *sender, struct kpost_operand *op,
				  u64 *sequence)
{
	struct kpost_wakes wakes;
	bool mine = false;
	int err;

	err = kpost_waiter_wait(sender, op);
	if (err) {
		kpost_wakes_init(&wakes);
		spin_lock(&mailbox->lock);
		if (!sender->done) {
			mine = !kpost_message_in_hands(message);
			kpost_message_withdraw(mailbox, message, &wakes);
		} else {
			err = 0;
		}
		kpost_mailbox_unlock(mailbox, &wakes);
		if (mine)
			kpost_message_discard(mailbox, message);
	}
	*sequence = sender->sequence;
	err = err ?: sender->result;
	if (err == -EALREADY)
		kpost_message_discard(mailbox, message);
	return err;
}

struct kpost_message *kpost_parked_send_withdraw(struct kpost_parked *parked,
						 struct kpost_wakes *wakes)
{
	struct kpost_message *message =
		container_of(parked, struct kpost_parked_send, parked)->message;
	bool mine = !kpost_message_in_hands(message);

	kpost_message_withdraw(parked->endpoint->mailbox, message, wakes);
	return mine ? message : NULL;
}

long kpost_parked_send_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags)
{
	struct kpost_parked_send *send = container_of(parked, struct kpost_parked_send, parked);
	int result = parked->waiter.result;
	u32 flags = 0;

	if (result == -EALREADY) {
		kpost_message_discard(parked->endpoint->mailbox, send->message);
		flags = KPOST_SEND_REPEATED;
		result = 0;
	}
	/* It was sent, and only what is told of it may be lost. */
	if (!result && !dead && send->sequence)
		(void)put_user(flags ? 0 : parked->waiter.sequence, send->sequence);
	if (!result && !dead && send->out_flags)
		(void)put_user(flags, send->out_flags);
	return result;
}

static const struct kpost_parked_kind send_kind = {
	.withdraw = kpost_parked_send_withdraw,
	.end = kpost_parked_send_end,
};

/*
 * Commit @message, which has to wait, so that it does so without a task: -EIOCBQUEUED then.
 * Else as message_commit() does, or -ETIMEDOUT or -ENOMEM.
 */
static noinline int send_park(struct kpost_operand *op, struct kpost_message *message, u32 flags,
			      u64 *sequence)
{
	struct kpost_send __user *to = op->arg;
	struct kpost_parked *parked = op->parked;
	struct kpost_parked_send *send;
	int err;

	if (kpost_deadline_passed(op->deadline, op->clock))
		return -ETIMEDOUT;
	if (!parked)
		parked = kpost_parked_new(op, sizeof(*send), &send_kind);
	if (!parked)
		return -ENOMEM;
	send = container_of(parked, struct kpost_parked_send, parked);
	send->message = message;
	send->sequence = flags & KPOST_WANT_SEQUENCE ? &to->sequence : NULL;
	send->out_flags = flags & KPOST_NUMBERED ? &to->out_flags : NULL;
	if (flags & KPOST_LOSES)
		err = kpost_overflow(op->endpoint, message, flags & KPOST_LOSES, &parked->waiter,
				     true, false, sequence);
	else
		err = kpost_message_commit_rare(op->endpoint, message, &parked->waiter, true, false,
						sequence);
	if (err > 0)
		err = -EIOCBQUEUED;
	/* A batch's is started, or freed, by who has made it. */
	if (op->parked)
		return err;
	if (err == -EIOCBQUEUED)
		kpost_parked_start(parked, op->issue_flags);
	else
		kpost_parked_free(parked);
	return err;
}

/*
 * @message, of which @arg is the struct, was committed with @err, which is not 0.  Returns what
 * becomes of it: 0, or -errno, or -EIOCBQUEUED.
 */
static noinline int send_waits(struct kpost_operand *op, const struct kpost_send *arg,
			       struct kpost_message *message, struct kpost_waiter *sender, int err,
			       u64 *sequence)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	u32 loses = arg->flags & KPOST_LOSES;

	kpost_operand_waits(op, arg->deadline, arg->flags, arg->cookie);
	if (err == -EAGAIN && loses)
		err = kpost_overflow(op->endpoint, message, loses, sender, false,
				     op->nowait || op->dontwait, sequence);
	if (err == -EAGAIN && (op->parked || kpost_parks(op)) && !op->dontwait)
		err = send_park(op, message, arg->flags, sequence);
	if (err > 0)
		return await_message(mailbox, message, sender, op, sequence);
	if (err < 0 && err != -EIOCBQUEUED)
		kpost_message_discard(mailbox, message);
	return err;
}

/* What @arg can ask for beyond what is said of the plainest message. */
#define ASKS \
	(KPOST_SYNC | KPOST_WANT_SEQUENCE | KPOST_PRESENT | KPOST_LOSES | KPOST_CLOCK_FLAGS | \
	 KPOST_NUMBERED)

/* Read into @arg what comes in behind what all sends have.  Returns 0, -EFAULT, -EINVAL. */
static int send_number_get(const struct kpost_operand *op, struct kpost_send *arg)
{
	const struct kpost_send __user *from = op->arg;
	size_t behind = sizeof(*arg) - offsetof(struct kpost_send, number);

	/* A struct of another size was read as a whole. */
	if (kpost_struct_fits(op, sizeof(*arg)) &&
	    copy_from_user(&arg->number, &from->number, behind))
		return -EFAULT;
	return !arg->number || arg->reserved ? -EINVAL : 0;
}

/*
 * Does what @arg asks for go, before anything is done?  Returns 0, or -EINVAL, -EAGAIN, -ETIMEDOUT,
 * -EPERM, -ENOMEM, -ENXIO, -EPIPE, -EFAULT.
 */
static noinline int send_asks(struct kpost_operand *op, struct kpost_send *arg)
{
	struct kpost_mailbox *mailbox = op->endpoint->mailbox;
	struct kpost_send __user *to = op->arg;
	u32 flags = arg->flags;
	int err = 0;

	if (flags & ~(KPOST_DONTWAIT | KPOST_IOVEC | ASKS) || !kpost_clock_flags_ok(flags) ||
	    arg->expires > S64_MAX ||
	    (flags & KPOST_SYNC && flags & (KPOST_DONTWAIT | KPOST_LOSES | KPOST_NUMBERED)) ||
	    (flags & KPOST_REPLACE && flags & KPOST_NUMBERED))
		return -EINVAL;
	if (flags & KPOST_NUMBERED)
		err = send_number_get(op, arg);
	if (err)
		return err;
	if (flags & KPOST_SYNC && op->nowait && !kpost_parks(op))
		return -EAGAIN;
	if (kpost_deadline_passed(arg->expires, kpost_clock_of(flags)))
		return -ETIMEDOUT;
	if (flags & KPOST_LOSES)
		err = kpost_overflow_permission(mailbox, flags);
	if (!err && arg->expires)
		err = kpost_expiry_prepare(mailbox);
	if (!err && flags & KPOST_PRESENT)
		err = kpost_mailbox_attended(mailbox);
	/* Before the message has its effect. */
	if (!err && flags & KPOST_WANT_SEQUENCE &&
	    kpost_memory_touch(&to->sequence, sizeof(to->sequence)) != sizeof(to->sequence))
		err = -EFAULT;
	if (!err && flags & KPOST_NUMBERED &&
	    kpost_memory_touch(&to->out_flags, sizeof(to->out_flags)) != sizeof(to->out_flags))
		err = -EFAULT;
	return err;
}

/* Commit @message as @arg asks.  Returns as message_commit(), or -ETIMEDOUT, -ENOMEM, -ENOENT. */
static noinline int send_as_asked(struct kpost_operand *op, const struct kpost_send *arg,
				  struct kpost_message *message, struct kpost_waiter *sender,
				  u64 *sequence)
{
	enum kpost_clock clock = kpost_clock_of(arg->flags);
	int err;

	if (arg->flags & KPOST_SYNC) {
		message->flags = KPOST_MESSAGE_SYNC;
		if (kpost_deadline_passed(arg->deadline, clock))
			return -ETIMEDOUT;
	}
	if (arg->expires) {
		/* The copy may have taken a while. */
		if (kpost_deadline_passed(arg->expires, clock))
			return -ETIMEDOUT;
		err = kpost_message_expires(message, kpost_deadline_on_host(arg->expires, clock),
					    clock);
		if (err)
			return err;
	}
	if (arg->flags & KPOST_NUMBERED) {
		err = kpost_message_number(op->endpoint, message, arg->number);
		if (err)
			return err;
	}
	/* Others do that, see send_waits(). */
	if (arg->flags & KPOST_LOSES || (arg->flags & KPOST_SYNC && kpost_parks(op)))
		return -EAGAIN;
	if (arg->flags & KPOST_NUMBERED)
		return kpost_message_commit_rare(op->endpoint, message, sender, false,
						 op->nowait || op->dontwait, sequence);
	return kpost_message_commit(op->endpoint, message, sender, op->nowait || op->dontwait,
				    sequence);
}

/*
 * Tell what is out of a send that has ended with @err, which is -EALREADY where its number was sent
 * before.  Returns its result: what cannot be told is lost, and it was sent.
 */
static noinline int send_tell(const struct kpost_operand *op, const struct kpost_send *arg, int err,
			      u64 sequence)
{
	struct kpost_send __user *to = op->arg;
	u32 flags = 0;

	if (err == -EALREADY) {
		flags = KPOST_SEND_REPEATED;
		sequence = 0;
		err = 0;
	}
	if (!err && arg->flags & KPOST_WANT_SEQUENCE && put_user(sequence, &to->sequence))
		return 0;
	if (!err && arg->flags & KPOST_NUMBERED)
		(void)put_user(flags, &to->out_flags);
	return err;
}

long kpost_send(struct kpost_operand *op)
{
	struct kpost_endpoint *endpoint = op->endpoint;
	struct kpost_message *message;
	struct kpost_payload payload __uninitialized;
	struct kpost_waiter sender __uninitialized;
	struct kpost_send arg __uninitialized;
	u64 sequence;
	bool asks;
	int err;

	if (!(endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	err = kpost_struct_get(op, &arg, expires);
	if (err)
		return err;
	/* One look for all that is not plain; send_asks() refuses flags that do not exist. */
	asks = (arg.flags & ~(KPOST_DONTWAIT | KPOST_IOVEC)) | arg.expires;
	if (arg.priority > KPOST_PRIORITY_MAX || arg.deadline > S64_MAX)
		return -EINVAL;
	op->dontwait = arg.flags & KPOST_DONTWAIT;
	if (unlikely(asks)) {
		err = send_asks(op, &arg);
		if (err)
			return err;
	}
	err = kpost_payload_import(&payload, arg.buf, arg.len, arg.flags & KPOST_IOVEC, ITER_SOURCE,
				   op->fixed);
	if (err)
		return err;
	message = message_build(endpoint, &payload, arg.priority, arg.tag,
				kpost_payload_counts(&payload));
	kpost_payload_release(&payload);
	if (IS_ERR(message))
		return PTR_ERR(message);
	if (likely(!asks))
		err = message_commit(endpoint, message, &sender, false, false, false,
				     op->nowait || op->dontwait, &sequence);
	else
		err = send_as_asked(op, &arg, message, &sender, &sequence);
	if (unlikely(err))
		err = send_waits(op, &arg, message, &sender, err, &sequence);
	return unlikely(asks) ? send_tell(op, &arg, err, sequence) : err;
}

/* write(2) and its kin: one message as long as the buffer, as the endpoint was granted for. */
ssize_t kpost_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct kpost_endpoint *endpoint = iocb->ki_filp->private_data;
	bool nowait = iocb->ki_filp->f_flags & O_NONBLOCK || iocb->ki_flags & IOCB_NOWAIT;
	struct kpost_payload payload __uninitialized;
	struct kpost_waiter sender __uninitialized;
	struct kpost_message *message;
	u32 drops = endpoint->write_flags;
	u64 sequence;
	int err;

	if (!(endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	if (unlikely(drops)) {
		err = kpost_overflow_permission(endpoint->mailbox, drops);
		if (err)
			return err;
	}
	kpost_payload_of_iter(&payload, from);
	message = kpost_message_build(endpoint, &payload, endpoint->priority, endpoint->tag,
				      kpost_payload_counts(&payload));
	if (IS_ERR(message))
		return PTR_ERR(message);
	if (unlikely(drops))
		err = kpost_overflow(endpoint, message, drops, &sender, false, nowait, &sequence);
	else
		err = kpost_message_commit(endpoint, message, &sender, nowait, &sequence);
	if (err < 0)
		kpost_message_discard(endpoint->mailbox, message);
	else if (err > 0)
		err = await_message(endpoint->mailbox, message, &sender, NULL, &sequence);
	return err ?: payload.size;
}
