// SPDX-License-Identifier: GPL-2.0-only
/* Batches of messages that are sent. */
#include <linux/cred.h>
#include <linux/uaccess.h>

#include "batch.h"
#include "endpoint.h"
#include "overflow.h"
#include "park.h"
#include "payload.h"
#include "room.h"
#include "send.h"

/* Read an entry of SENDV.  Returns 0, -EFAULT, -E2BIG or -EINVAL. */
static int send_entry_get(const struct kpost_operand *entry, struct kpost_send *arg)
{
	int err = kpost_struct_get(entry, arg, expires);

	if (err)
		return err;
	return arg->flags & ~(KPOST_IOVEC | KPOST_WANT_SEQUENCE | KPOST_PRESENT | KPOST_LOSES |
			      KPOST_CLOCK_FLAGS | KPOST_NUMBERED) ||
			       arg->priority > KPOST_PRIORITY_MAX || arg->deadline || arg->cookie ?
		       -EINVAL :
		       0;
}

/* An entry to be sent, and its message. */
struct send_slot {
	const void __user *buf;
	u32 size;
	u16 priority;
	bool want_sequence;
	u64 tag;
	struct kpost_message *message;
};

/* Read the next entries, up to @most plain ones.  Returns how many those are. */
static unsigned int send_prepare(struct kpost_rounds *rounds, struct send_slot *slots,
				 unsigned int most)
{
	u32 message_max = rounds->op->endpoint->mailbox->message_max;
	struct kpost_operand *entry = &rounds->entry;
	void __user *first = entry->arg;
	struct kpost_send arg __uninitialized;
	size_t left = KPOST_UNCOUNTED_MAX;
	unsigned int n;

	for (n = 0; n < most; n++, entry->arg += entry->size) {
		struct kpost_send __user *to = entry->arg;

		if (kpost_struct_get(entry, &arg, expires) ||
		    (arg.flags & ~KPOST_WANT_SEQUENCE) | arg.deadline | arg.cookie | arg.expires ||
		    arg.priority > KPOST_PRIORITY_MAX || arg.len > message_max || arg.len > left ||
		    !kpost_range_ok(arg.buf, arg.len))
			break;
		slots[n].want_sequence = arg.flags & KPOST_WANT_SEQUENCE;
		if (slots[n].want_sequence &&
		    kpost_memory_touch(&to->sequence, sizeof(u64)) < sizeof(u64))
			break;
		left -= arg.len;
		slots[n].buf = u64_to_user_ptr(arg.buf);
		slots[n].size = arg.len;
		slots[n].priority = arg.priority;
		slots[n].tag = arg.tag;
	}
	entry->arg = first;
	return n;
}

static void send_discard(struct kpost_mailbox *mailbox, struct send_slot *slots, unsigned int from,
			 unsigned int to)
{
	for (; from < to; from++)
		kpost_message_discard(mailbox, slots[from].message);
}

/* Of @n slots, how many would get in now, one after the other? */
static unsigned int send_admitted(const struct kpost_mailbox *mailbox,
				  const struct send_slot *slots, unsigned int n)
{
	const struct kpost_node *first = kpost_queue_first(&mailbox->pending);
	u64 bytes = mailbox->bytes;
	unsigned int i;

	lockdep_assert_held(&mailbox->lock);
	if (mailbox->messages >= mailbox->max_messages)
		return 0;
	n = min(n, mailbox->max_messages - mailbox->messages);
	for (i = 0; i < n; i++) {
		bytes += slots[i].size;
		/* Nobody is overtaken. */
		if (bytes > mailbox->max_bytes ||
		    unlikely(first && slots[i].priority <= first->priority))
			break;
	}
	return i;
}

/*
 * Take blocks that @mailbox has to spare for up to *@n messages, those that would get in now, which
 * *@n is then.  Returns for how many; the next may have a message that lacks pieces.
 */
static unsigned int send_take(struct kpost_mailbox *mailbox, struct send_slot *slots,
			      unsigned int *n)
{
	unsigned int i, whole = 0;
	bool is_whole = true;

	spin_lock(&mailbox->lock);
	*n = mailbox->shut ? 0 : send_admitted(mailbox, slots, *n);
	for (i = 0; i < *n; i++) {
		slots[i].message = NULL;
		if (!is_whole)
			continue;
		slots[i].message = kpost_message_take(mailbox->kept, slots[i].size, &is_whole);
		is_whole &= !!slots[i].message;
		whole += is_whole;
	}
	spin_unlock(&mailbox->lock);
	return whole;
}

/*
 * Have messages for up to @n slots.  Returns for how many there is one: those for which the
 * mailbox has blocks, or if it has none all, since to allocate may take a while.
 */
static unsigned int send_build(struct kpost_mailbox *mailbox, struct send_slot *slots,
			       unsigned int n)
{
	unsigned int i, whole = send_take(mailbox, slots, &n);

	if (whole < n && slots[whole].message)
		kpost_message_discard(mailbox, slots[whole].message);
	if (whole)
		return whole;
	/* Each has a key, and is sent by itself. */
	if (mailbox->keyed)
		return 0;
	for (i = 0; i < n; i++) {
		slots[i].message = kpost_message_alloc(slots[i].size);
		if (IS_ERR(slots[i].message))
			break;
	}
	return i;
}

/* Copy payloads in.  Returns for how many messages, before a fault. */
static unsigned int send_fill(struct send_slot *slots, unsigned int n)
{
	struct kpost_payload payload = { .whole = true };
	struct kpost_place place;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct kpost_message *message = slots[i].message;

		payload.buf = (void __user *)slots[i].buf;
		payload.size = slots[i].size;
		kpost_place_init(&place, &payload);
		if (kpost_message_copy_in(message, &payload, &place))
			break;
		message->node.priority = slots[i].priority;
		message->tag = slots[i].tag;
	}
	return i;
}

/*
 * Commit as many as get in; with @all none unless all do.  Returns how many, or -EPIPE, -ENOMEM;
 * *@sequence is the number of the last.
 */
static int send_commit(struct kpost_endpoint *endpoint, struct send_slot *slots, unsigned int count,
		       bool all, u64 *sequence)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_origin *origin, *fresh = NULL;
	struct kpost_wakes wakes __uninitialized;
	unsigned int n;
	int ret = -EPIPE;
	u64 now;

	kpost_wakes_init(&wakes);
	spin_lock(&mailbox->lock);
	while (!(origin = kpost_endpoint_origin(endpoint, &fresh)) && !mailbox->shut) {
		spin_unlock(&mailbox->lock);
		fresh = kpost_origin_new(endpoint);
		if (!fresh)
			return -ENOMEM;
		spin_lock(&mailbox->lock);
	}
	if (mailbox->shut)
		goto unlock;
	n = send_admitted(mailbox, slots, count);
	if (all && n < count)
		n = 0;
	now = ktime_get_coarse_ns();
	if (n)
		mailbox->sent_at = now;
	for (ret = 0; ret < n; ret++) {
		struct kpost_message *message = slots[ret].message;

		message->origin = origin;
		origin->uses++;
		kpost_mailbox_admit_at(mailbox, message, now, &wakes);
	}
	*sequence = mailbox->sent;
unlock:
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_origin_free(fresh);
	return ret;
}

/* Tell the numbers of @n messages, of which the last has @sequence. */
static void send_tell(const struct kpost_rounds *rounds, const struct send_slot *slots,
		      unsigned int n, u64 sequence)
{
	struct kpost_send __user *entry;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (likely(!slots[i].want_sequence))
			continue;
		entry = rounds->entry.arg + i * rounds->entry.size;
		/* It was sent, and only the number is lost. */
		(void)put_user(sequence - (n - 1 - i), &entry->sequence);
	}
}

/* Send the next entries that are plain and get in at once.  Returns how many, or -errno. */
static noinline int send_plain(struct kpost_rounds *rounds, bool all)
{
	struct kpost_mailbox *mailbox = rounds->op->endpoint->mailbox;
	/* A guess, without the lock. */
	u32 taken = data_race(mailbox->messages), room = data_race(mailbox->max_messages);
	struct send_slot slots[KPOST_ROUND];
	unsigned int n, built, filled, i;
	bool own = false;
	u64 sequence;
	int sent;

	if (rounds->entry.fixed)
		return 0;
	n = min3(rounds->left, (unsigned int)KPOST_ROUND, room > taken ? room - taken : 0);
	pagefault_disable();
	n = send_prepare(rounds, slots, n);
	pagefault_enable();
	built = send_build(mailbox, slots, n);
	pagefault_disable();
	filled = send_fill(slots, built);
	pagefault_enable();
	for (i = 0; i < filled; i++)
		own |= slots[i].message->own;
	sent = filled && !(all && filled < rounds->left) ?
		       send_commit(rounds->op->endpoint, slots, filled, all, &sequence) :
		       0;
	send_discard(mailbox, slots, max(sent, 0), built);
	if (sent > 0)
		send_tell(rounds, slots, sent, sequence);
	if (unlikely(own))
		kpost_kept_trim(mailbox);
	return sent;
}

static int send_round(struct kpost_rounds *rounds, unsigned int *sent)
{
	/* What io_uring only tries must not be done in part: it would be done anew. */
	bool all = rounds->op->trial && !rounds->op->dontwait && rounds->left > 1;
	struct kpost_send arg __uninitialized;
	int ret;

	if (all && rounds->left > KPOST_ROUND)
		return -EAGAIN;
	ret = send_plain(rounds, all);
	if (ret) {
		*sent = max(ret, 0);
		return min(ret, 0);
	}
	if (all)
		return -EAGAIN;
	ret = send_entry_get(&rounds->entry, &arg);
	if (!ret)
		ret = kpost_send(&rounds->entry);
	*sent = !ret;
	return ret;
}

/* One that waits without a task: that is what its first @done entries were, or the next does. */
struct parked_sendv {
	struct kpost_parked_send send; /* of that */
	const struct cred *cred; /* who submitted it, whoever its task is by then */
	struct kpost_batch arg;
	unsigned int done;
};

/* Send what gets in, behind @waiting->done entries, and have the next wait: -EIOCBQUEUED then. */
static long sendv_go_on(struct parked_sendv *waiting, struct kpost_operand *op)
{
	int err;

	op->parked = &waiting->send.parked;
	op->trial = false;
	err = kpost_batch_do(op, &waiting->arg, &waiting->done, send_round);
	return err == -EIOCBQUEUED ? err : kpost_batch_end(op, waiting->done, err);
}

static long sendv_end(struct kpost_parked *parked, bool dead, unsigned int issue_flags)
{
	struct parked_sendv *waiting = container_of(parked, struct parked_sendv, send.parked);
	const struct kpost_fixed fixed = { .cmd = parked->cmd, .issue_flags = issue_flags };
	struct kpost_operand op = {
		.endpoint = parked->endpoint,
		.arg = parked->arg,
		.size = _IOC_SIZE(parked->operation),
		.nowait = true,
		.ring = true,
		.fixed = parked->fixed ? &fixed : NULL,
	};
	long ret = kpost_parked_send_end(parked, dead, issue_flags);
	const struct cred *own;

	waiting->done += !ret;
	/* Cancelled after this message was let in: the rest of them are not sent. */
	if (!ret && waiting->done < waiting->arg.count && READ_ONCE(parked->why) == -ECANCELED)
		ret = -ECANCELED;
	if (dead) {
		ret = waiting->done ?: ret;
	} else if (ret) {
		ret = kpost_batch_end(&op, waiting->done, ret);
	} else {
		own = override_creds(waiting->cred);
		ret = sendv_go_on(waiting, &op);
		revert_creds(own);
	}
	if (ret != -EIOCBQUEUED)
		put_cred(waiting->cred);
	return ret;
}

static const struct kpost_parked_kind sendv_kind = {
	.goes_on = true,
	.withdraw = kpost_parked_send_withdraw,
	.end = sendv_end,
};

/* Not all get in: the first that does not waits without a task. */
static long sendv_park(struct kpost_operand *op, const struct kpost_batch *arg)
{
	struct kpost_parked *parked =
		kpost_parked_new(op, sizeof(struct parked_sendv), &sendv_kind);
	struct parked_sendv *waiting;
	long ret;

	if (!parked)
		return -ENOMEM;
	waiting = container_of(parked, struct parked_sendv, send.parked);
	waiting->arg = *arg;
	waiting->done = 0;
	ret = sendv_go_on(waiting, op);
	if (ret == -EIOCBQUEUED) {
		waiting->cred = get_current_cred();
		kpost_parked_start(parked, op->issue_flags);
	} else {
		kpost_parked_free(parked);
	}
	return ret;
}

long kpost_sendv(struct kpost_operand *op)
{
	unsigned int done = 0;
	struct kpost_batch arg;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	err = kpost_batch_get(op, &arg, KPOST_SEND_SIZE_1);
	if (err)
		return err;
	err = kpost_batch_do(op, &arg, &done, send_round);
	if (err == -EAGAIN && !done && kpost_parks(op) && !op->dontwait)
		return sendv_park(op, &arg);
	return kpost_batch_end(op, done, err);
}
