// SPDX-License-Identifier: GPL-2.0-only
/* Batches of messages that are received. */
#include <linux/uaccess.h>

#include "batch.h"
#include "endpoint.h"
#include "overflow.h"
#include "payload.h"
#include "recv.h"
#include "room.h"

/* Read an entry of RECVV.  Returns 0, -EFAULT, -E2BIG or -EINVAL. */
static int recv_entry_get(const struct kpost_operand *entry, struct kpost_recv *arg)
{
	int err = kpost_struct_get_back(entry, arg, cookie);

	if (err)
		return err;
	if (arg->flags & ~(KPOST_IOVEC | KPOST_TRUNCATE | KPOST_HOLD | KPOST_MATCH |
			   KPOST_CLOCK_FLAGS) ||
	    arg->deadline || arg->cookie)
		return -EINVAL;
	/* It has no deadline of its own, and by a clock only what is held can be. */
	if (arg->flags & KPOST_CLOCK_FLAGS && !(arg->flags & KPOST_HOLD))
		return -EINVAL;
	return 0;
}

/* A message of a round, taken and not yet received, and where it goes. */
struct recv_slot {
	struct kpost_message *message;
	void __user *buf;
	u32 len; /* as far as a message can need it */
	u32 room; /* the longest message that may be taken for it */
};

/*
 * Find room for the next entries of a batch that are plain ones, and in memory that is there.
 * Returns for how many.
 */
static unsigned int recv_prepare(struct kpost_rounds *rounds, struct recv_slot *slots,
				 unsigned int most)
{
	struct kpost_operand *entry = &rounds->entry;
	void __user *first = entry->arg;
	struct kpost_recv arg __uninitialized;
	struct kpost_payload payload = { .whole = true };
	unsigned int n;

	for (n = 0; n < most; n++, entry->arg += entry->size) {
		size_t sure;

		if (kpost_struct_get_back(entry, &arg, cookie) ||
		    (arg.flags & ~KPOST_TRUNCATE) | arg.deadline | arg.cookie ||
		    !kpost_range_ok(arg.buf, arg.len))
			break;
		payload.buf = u64_to_user_ptr(arg.buf);
		payload.size = arg.len;
		sure = kpost_payload_touch(&payload, min_t(size_t, arg.len, KPOST_SURE_FIRST));
		slots[n].buf = payload.buf;
		slots[n].len = min_t(u64, arg.len, KPOST_PAYLOAD_MAX);
		if (sure < arg.len)
			slots[n].room = sure;
		else
			slots[n].room = arg.flags & KPOST_TRUNCATE ? U32_MAX : slots[n].len;
	}
	entry->arg = first;
	return n;
}

static bool recv_fits(const struct recv_slot *slot, const struct kpost_message *message)
{
	/*
	 * Who receives one message notes who has a call, sheds what is the sender's own, looks
	 * whether it has expired, and leaves it to who looks at it.
	 */
	return message->size <= slot->room && !message->call && !message->pins &&
	       !(message->own && (message->extra || kpost_message_in_pieces(message)));
}

/* Take as many messages as there are for @n slots.  Returns for how many. */
static unsigned int recv_take(struct kpost_mailbox *mailbox, struct recv_slot *slots,
			      unsigned int n)
{
	struct kpost_node *first, *node, *last;
	struct kpost_message *message;
	unsigned int i = 0;

	spin_lock(&mailbox->lock);
	while (i < n && (first = kpost_queue_first(&mailbox->queue))) {
		last = NULL;
		node = first;
		do {
			message = container_of(node, struct kpost_message, node);
			if (!recv_fits(&slots[i], message))
				break;
			message->state = KPOST_TAKEN;
			slots[i++].message = message;
			last = node;
			node = kpost_queue_behind(first, node);
		} while (i < n && node != first);
		if (!last)
			break;
		kpost_queue_del_run(&mailbox->queue, first, last);
	}
	spin_unlock(&mailbox->lock);
	return i;
}

/*
 * Copy messages out, and say with the first that so many were @missed before.  Returns up to which
 * slot, before a fault or the task's end.
 */
static unsigned int recv_fill(struct kpost_rounds *rounds, const struct recv_slot *slots,
			      unsigned int from, unsigned int to, u64 missed)
{
	struct kpost_operand *entry = &rounds->entry;
	void __user *first = entry->arg;
	struct kpost_payload payload = { .whole = true };
	struct kpost_place place;
	unsigned int i;
	size_t stored;

	/* Somebody else may yet use what a killed task cannot. */
	if (fatal_signal_pending(current))
		return from;
	pagefault_disable();
	entry->arg += from * entry->size;
	for (i = from; i < to; i++, entry->arg += entry->size) {
		stored = min_t(size_t, slots[i].message->size, slots[i].len);
		payload.buf = slots[i].buf;
		payload.size = slots[i].len;
		kpost_place_init(&place, &payload);
		if (kpost_message_copy_out(slots[i].message, &payload, &place, stored) ||
		    kpost_message_tell(slots[i].message, NULL, NULL, 0, 0, 0, entry, NULL, stored))
			break;
	}
	entry->arg = first;
	/* If that goes not, the first is as one that was not copied. */
	if (unlikely(missed) && !from && i &&
	    put_user(missed, &((struct kpost_recv __user *)first)->missed))
		i = 0;
	pagefault_enable();
	return i;
}

/* Receive messages that were copied out.  Returns up to which slot, before a withdrawn one. */
static unsigned int recv_receive(struct kpost_endpoint *endpoint, const struct recv_slot *slots,
				 unsigned int from, unsigned int to)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_origin *origin, *origins = NULL;
	struct kpost_wakes wakes __uninitialized;
	struct kpost_block *own = NULL;
	unsigned int i;

	kpost_wakes_init(&wakes);
	spin_lock(&mailbox->lock);
	for (i = from; i < to; i++) {
		/* Let in or woken for one message is enough at a time. */
		if (wakes.more || kpost_wakes_full(&wakes)) {
			kpost_mailbox_unlock(mailbox, &wakes);
			kpost_wakes_init(&wakes);
			spin_lock(&mailbox->lock);
		}
		if (slots[i].message->withdrawn)
			break;
		kpost_message_received(endpoint, slots[i].message, NULL, &wakes);
		origin = kpost_message_leave(mailbox->kept, slots[i].message, &own);
		if (origin) {
			origin->next = origins;
			origins = origin;
		}
	}
	if (i > from)
		mailbox->received_at = jiffies;
	kpost_mailbox_unlock(mailbox, &wakes);
	kpost_origins_free(origins);
	kpost_mailbox_received(mailbox, own);
	return i;
}

/* Put back what was taken, all at once, so that nobody else gets a part of it before the rest. */
static void recv_put_back(struct kpost_mailbox *mailbox, struct recv_slot *slots, unsigned int from,
			  unsigned int to)
{
	struct kpost_wakes wakes = {};
	unsigned int i;

	spin_lock(&mailbox->lock);
	for (i = from; i < to; i++) {
		if (slots[i].message->withdrawn)
			continue;
		kpost_mailbox_put_back(mailbox, slots[i].message, &wakes);
		slots[i].message = NULL;
	}
	/* Only then is there room for others. */
	for (i = from; i < to; i++) {
		if (!slots[i].message)
			continue;
		mailbox->dropped++;
		kpost_mailbox_give_back(mailbox, slots[i].message, &wakes);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	for (i = from; i < to; i++)
		if (slots[i].message)
			kpost_message_discard(mailbox, slots[i].message);
}

/*
 * The message of slot @gap was withdrawn: let go of it, and have those behind it move up, as far
 * as they fit.  Returns how many are taken then.
 */
static unsigned int recv_move_up(struct kpost_mailbox *mailbox, struct recv_slot *slots,
				 unsigned int gap, unsigned int taken)
{
	kpost_message_put_back(mailbox, slots[gap].message);
	for (; gap + 1 < taken; gap++) {
		if (slots[gap + 1].message->size > slots[gap].room) {
			recv_put_back(mailbox, slots, gap + 1, taken);
			return gap;
		}
		slots[gap].message = slots[gap + 1].message;
	}
	return gap;
}

/* What was told of messages that were not received is nobody's. */
static void recv_untell(const struct kpost_rounds *rounds, unsigned int from, unsigned int to)
{
	pagefault_disable();
	for (; from < to; from++) {
		struct kpost_recv __user *entry = rounds->entry.arg + from * rounds->entry.size;

		if (put_user(0, &entry->token) || put_user(0, &entry->sequence))
			break;
	}
	pagefault_enable();
}

/* Receive for the next entries that are plain what is there.  Returns how many were. */
static noinline unsigned int recv_plain(struct kpost_rounds *rounds)
{
	struct kpost_mailbox *mailbox = rounds->op->endpoint->mailbox;
	struct recv_slot slots[KPOST_ROUND];
	unsigned int n, taken, filled, told = 0, received = 0;
	u64 missed;

	/* A struct of another size, or in pieces of words, is written one by one. */
	if (!kpost_struct_fits(&rounds->entry, sizeof(struct kpost_recv)) || rounds->entry.fixed)
		return 0;
	/* A guess, without the lock. */
	n = min3(rounds->left, rounds->most, data_race(mailbox->messages));
	n = recv_prepare(rounds, slots, n);
	taken = n ? recv_take(mailbox, slots, n) : 0;
	missed = taken && kpost_missed(mailbox) ? kpost_missed_claim(mailbox) : 0;
	while (received < taken) {
		filled = recv_fill(rounds, slots, received, taken, missed);
		told = max(told, filled);
		received = recv_receive(rounds->op->endpoint, slots, received, filled);
		if (received == filled)
			break;
		taken = recv_move_up(mailbox, slots, received, taken);
	}
	if (unlikely(missed && !received))
		kpost_missed_return(mailbox, missed);
	if (received < taken)
		recv_put_back(mailbox, slots, received, taken);
	if (received < told)
		recv_untell(rounds, received, told);
	/* To look at memory for many, and receive one, is what is to be had seldom. */
	rounds->most = received ? min(2 * received, (unsigned int)KPOST_ROUND) : 1;
	return received;
}

/* Or one that waits for room, which can be received by its tag. */
static bool mailbox_has_message(struct kpost_mailbox *mailbox)
{
	bool has;

	spin_lock(&mailbox->lock);
	has = !kpost_queue_empty(&mailbox->queue) ||
	      (mailbox->keyed && !kpost_queue_empty(&mailbox->pending));
	spin_unlock(&mailbox->lock);
	return has;
}

/* Nobody waits for more than the first message of all. */
static int recv_round(struct kpost_rounds *rounds, unsigned int *received)
{
	struct kpost_recv arg __uninitialized;
	long ret;

	*received = recv_plain(rounds);
	if (*received)
		return 0;
	/* The memory of an entry that there is nothing for is not looked at. */
	if (!rounds->first && !mailbox_has_message(rounds->op->endpoint->mailbox))
		return 1;
	rounds->entry.nowait |= !rounds->first;
	ret = recv_entry_get(&rounds->entry, &arg);
	if (!ret)
		ret = kpost_recv(&rounds->entry);
	if (ret >= 0)
		*received = 1;
	return !rounds->first && (ret == -EAGAIN || ret == -EPIPE) ? 1 : min(ret, 0L);
}

long kpost_recvv(struct kpost_operand *op)
{
	unsigned int done = 0;
	struct kpost_batch arg;
	int err;

	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	err = kpost_batch_get(op, &arg, KPOST_RECV_SIZE_1);
	if (err)
		return err;
	err = kpost_batch_do(op, &arg, &done, recv_round);
	return kpost_batch_end(op, done, err);
}
