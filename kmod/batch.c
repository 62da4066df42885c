// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many messages in one operation.
 *
 * A batch is done in rounds.  A round deals with the next entries as long as they are plain (one
 * buffer each, in memory that is there), no more than KPOST_ROUND of them, and takes the
 * mailbox's lock twice for all.  Where the next entry is not plain, or has to wait, or is wrong,
 * the round is of that one, which is done as an operation of its own is.
 */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "endpoint.h"
#include "payload.h"
#include "recv.h"
#include "room.h"

/* The most messages in a round. */
#define KPOST_ROUND 32

/* A batch under way. */
struct batch {
	struct kpost_operand *op; /* of the batch itself */
	struct kpost_operand entry; /* of the entry that is next */
	unsigned int left; /* entries, that one included */
	unsigned int most; /* of them in the next round: 1 behind one that was not plain */
	bool first; /* no round was done */
};

/*
 * Do @arg in rounds.  A round does what it can of the next entries, says how many those were, and
 * returns 0, or 1 if there is nothing more to do, or -errno for the entry behind them.
 */
static long batch_do(struct kpost_operand *op, size_t entry_size_1,
		     int (*round)(struct batch *batch, unsigned int *done))
{
	struct kpost_batch __user *to = op->arg;
	struct kpost_batch arg __uninitialized;
	struct batch batch;
	unsigned int done;
	long ret = 0;
	int err;

	err = kpost_struct_get_back(op, &arg, cookie);
	if (err)
		return err;
	if (arg.flags & ~KPOST_DONTWAIT || !arg.count || arg.count > KPOST_BATCH_MAX ||
	    arg.entry_size < entry_size_1 || arg.entry_size > KPOST_STRUCT_MAX ||
	    arg.deadline > S64_MAX)
		return -EINVAL;
	if (!kpost_range_ok(arg.entries, (u64)arg.count * arg.entry_size))
		return -EFAULT;
	op->dontwait = arg.flags & KPOST_DONTWAIT;
	op->deadline = arg.deadline;
	op->cookie = arg.cookie;

	batch.op = op;
	batch.entry = *op;
	batch.entry.arg = u64_to_user_ptr(arg.entries);
	batch.entry.size = arg.entry_size;
	batch.entry.nowait = op->nowait || op->dontwait;
	batch.entry.cmd = NULL;
	batch.left = arg.count;
	batch.most = KPOST_ROUND;
	batch.first = true;
	do {
		done = 0;
		err = round(&batch, &done);
		ret += done;
		batch.entry.arg += done * batch.entry.size;
		batch.left -= done;
		batch.first = false;
		cond_resched();
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
	} while (!err && batch.left);
	op->receives = batch.entry.receives;
	if (!ret)
		return err;
	/* What was done is done, whether it can be told or not. */
	err = err == -ERESTARTSYS ? -EINTR : min(err, 0);
	(void)put_user(err, &to->error);
	return ret;
}

/* Read an entry of SENDV.  Returns 0, -EFAULT, -E2BIG or -EINVAL. */
static int send_entry_get(const struct kpost_operand *entry, struct kpost_send *arg)
{
	int err = kpost_struct_get(entry, arg, cookie);

	if (err)
		return err;
	return arg->flags & ~(KPOST_IOVEC | KPOST_WANT_SEQUENCE) ||
			       arg->priority > KPOST_PRIORITY_MAX || arg->deadline || arg->cookie ?
		       -EINVAL :
		       0;
}

/* An entry to be sent, and its message. */
struct send_slot {
	const void __user *buf;
	u32 size;
	u32 priority;
	u64 tag;
	bool want_sequence;
	struct kpost_message *message;
};

/* Read the next entries, up to @most plain ones.  Returns how many those are. */
static unsigned int send_prepare(const struct batch *batch, struct send_slot *slots,
				 unsigned int most)
{
	u32 message_max = batch->op->endpoint->mailbox->message_max;
	struct kpost_operand entry = batch->entry;
	struct kpost_send arg __uninitialized;
	size_t left = KPOST_UNCOUNTED_MAX;
	unsigned int n;

	for (n = 0; n < most; n++, entry.arg += entry.size) {
		struct kpost_send __user *to = entry.arg;

		if (send_entry_get(&entry, &arg) || arg.flags & KPOST_IOVEC ||
		    arg.len > message_max || arg.len > left || !kpost_range_ok(arg.buf, arg.len))
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
	return n;
}

static void send_discard(struct kpost_mailbox *mailbox, struct send_slot *slots, unsigned int from,
			 unsigned int to)
{
	for (; from < to; from++)
		kpost_message_discard(mailbox, slots[from].message);
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
	size_t bytes = 0;

	spin_lock(&mailbox->lock);
	if (mailbox->closed)
		*n = 0;
	for (i = 0; i < *n; i++) {
		bytes += slots[i].size;
		if (mailbox->messages + i >= mailbox->max_messages ||
		    !kpost_mailbox_admits(mailbox, bytes, slots[i].priority))
			break;
		slots[i].message = NULL;
		if (!is_whole)
			continue;
		slots[i].message = kpost_message_take(mailbox->kept, slots[i].size, &is_whole);
		is_whole &= !!slots[i].message;
		whole += is_whole;
	}
	spin_unlock(&mailbox->lock);
	*n = i;
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
	size_t bytes = 0;
	unsigned int n;
	int ret = -EPIPE;
	u64 now;

	kpost_wakes_init(&wakes);
	spin_lock(&mailbox->lock);
	while (!(origin = kpost_endpoint_origin(endpoint, &fresh)) && !mailbox->closed) {
		spin_unlock(&mailbox->lock);
		fresh = kpost_origin_new(endpoint);
		if (!fresh)
			return -ENOMEM;
		spin_lock(&mailbox->lock);
	}
	if (mailbox->closed)
		goto unlock;
	for (n = 0; n < count; n++) {
		bytes += slots[n].size;
		if (mailbox->messages + n >= mailbox->max_messages ||
		    !kpost_mailbox_admits(mailbox, bytes, slots[n].priority))
			break;
	}
	if (all && n < count)
		n = 0;
	now = ktime_get_coarse_ns();
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
static void send_tell(const struct batch *batch, const struct send_slot *slots, unsigned int n,
		      u64 sequence)
{
	struct kpost_send __user *entry;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (likely(!slots[i].want_sequence))
			continue;
		entry = batch->entry.arg + i * batch->entry.size;
		/* It was sent, and only the number is lost. */
		(void)put_user(sequence - (n - 1 - i), &entry->sequence);
	}
}

/* Send the next entries that are plain and get in at once.  Returns how many, or -errno. */
static noinline int send_plain(const struct batch *batch, bool all)
{
	struct kpost_mailbox *mailbox = batch->op->endpoint->mailbox;
	/* A guess, without the lock. */
	u32 taken = data_race(mailbox->messages), room = data_race(mailbox->max_messages);
	struct send_slot slots[KPOST_ROUND];
	unsigned int n, built, filled, i;
	bool own = false;
	u64 sequence;
	int sent;

	if (batch->entry.fixed)
		return 0;
	n = min3(batch->left, (unsigned int)KPOST_ROUND, room > taken ? room - taken : 0);
	pagefault_disable();
	n = send_prepare(batch, slots, n);
	pagefault_enable();
	built = send_build(mailbox, slots, n);
	pagefault_disable();
	filled = send_fill(slots, built);
	pagefault_enable();
	for (i = 0; i < filled; i++)
		own |= slots[i].message->own;
	sent = filled && !(all && filled < batch->left) ?
		       send_commit(batch->op->endpoint, slots, filled, all, &sequence) :
		       0;
	send_discard(mailbox, slots, max(sent, 0), built);
	if (sent > 0)
		send_tell(batch, slots, sent, sequence);
	if (unlikely(own))
		kpost_kept_trim(mailbox);
	return sent;
}

static int send_round(struct batch *batch, unsigned int *sent)
{
	/* What io_uring only tries must not be done in part: it would be done anew. */
	bool all = batch->op->trial && !batch->op->dontwait && batch->left > 1;
	struct kpost_send arg __uninitialized;
	int ret;

	if (all && batch->left > KPOST_ROUND)
		return -EAGAIN;
	ret = send_plain(batch, all);
	if (ret) {
		*sent = max(ret, 0);
		return min(ret, 0);
	}
	if (all)
		return -EAGAIN;
	ret = send_entry_get(&batch->entry, &arg);
	if (!ret)
		ret = kpost_send(&batch->entry);
	*sent = !ret;
	return ret;
}

long kpost_sendv(struct kpost_operand *op)
{
	if (!(op->endpoint->rights & KPOST_RIGHT_SEND))
		return -EBADF;
	return batch_do(op, KPOST_SEND_SIZE_1, send_round);
}

/* Read an entry of RECVV.  Returns 0, -EFAULT, -E2BIG or -EINVAL. */
static int recv_entry_get(const struct kpost_operand *entry, struct kpost_recv *arg)
{
	int err = kpost_struct_get_back(entry, arg, cookie);

	if (err)
		return err;
	return arg->flags & ~(KPOST_IOVEC | KPOST_TRUNCATE) || arg->deadline || arg->cookie ?
		       -EINVAL :
		       0;
}

/* A message of a round, taken and not yet received, and where it goes. */
struct recv_slot {
	struct kpost_message *message;
	void __user *buf;
	size_t len;
	size_t room; /* the longest message that may be taken for it */
};

/*
 * Find room for the next entries of a batch that are plain ones, and in memory that is there.
 * Returns for how many.
 */
static unsigned int recv_prepare(const struct batch *batch, struct recv_slot *slots,
				 unsigned int most)
{
	struct kpost_operand entry = batch->entry;
	struct kpost_recv arg __uninitialized;
	struct kpost_payload payload = { .whole = true };
	unsigned int n;

	for (n = 0; n < most; n++, entry.arg += entry.size) {
		size_t sure;

		if (recv_entry_get(&entry, &arg) || arg.flags & KPOST_IOVEC ||
		    !kpost_range_ok(arg.buf, arg.len))
			break;
		payload.buf = u64_to_user_ptr(arg.buf);
		payload.size = arg.len;
		sure = kpost_payload_touch(&payload, min_t(size_t, arg.len, KPOST_SURE_FIRST));
		slots[n].buf = payload.buf;
		slots[n].len = arg.len;
		if (sure < arg.len)
			slots[n].room = sure;
		else
			slots[n].room = arg.flags & KPOST_TRUNCATE ? SIZE_MAX : arg.len;
	}
	return n;
}

static bool recv_fits(const struct recv_slot *slot, const struct kpost_message *message)
{
	/* Who receives one message notes who has a call, and sheds the sender's own pieces. */
	return message->size <= slot->room && !message->call &&
	       !(message->own && kpost_message_in_pieces(message));
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

/* Copy messages out.  Returns up to which slot, before a fault or the task's end. */
static unsigned int recv_fill(const struct batch *batch, const struct recv_slot *slots,
			      unsigned int from, unsigned int to)
{
	struct kpost_operand entry = batch->entry;
	struct kpost_payload payload = { .whole = true };
	struct kpost_place place;
	unsigned int i;
	size_t stored;

	/* Somebody else may yet use what a killed task cannot. */
	if (fatal_signal_pending(current))
		return from;
	pagefault_disable();
	entry.arg += from * entry.size;
	for (i = from; i < to; i++, entry.arg += entry.size) {
		stored = min_t(size_t, slots[i].message->size, slots[i].len);
		payload.buf = slots[i].buf;
		payload.size = slots[i].len;
		kpost_place_init(&place, &payload);
		if (kpost_message_copy_out(slots[i].message, &payload, &place, stored) ||
		    kpost_message_tell(slots[i].message, &entry, NULL, stored))
			break;
	}
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
		origin = kpost_message_received(endpoint, slots[i].message, NULL, &wakes, &own);
		if (origin) {
			origin->next = origins;
			origins = origin;
		}
	}
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
static void recv_untell(const struct batch *batch, unsigned int from, unsigned int to)
{
	pagefault_disable();
	for (; from < to; from++) {
		struct kpost_recv __user *entry = batch->entry.arg + from * batch->entry.size;

		if (put_user(0, &entry->token) || put_user(0, &entry->sequence))
			break;
	}
	pagefault_enable();
}

/* Receive for the next entries that are plain what is there.  Returns how many were. */
static noinline unsigned int recv_plain(struct batch *batch)
{
	struct kpost_mailbox *mailbox = batch->op->endpoint->mailbox;
	struct recv_slot slots[KPOST_ROUND];
	unsigned int n, taken, filled, told = 0, received = 0;

	/* A struct of another size, or in pieces of words, is written one by one. */
	if (!kpost_struct_fits(&batch->entry, sizeof(struct kpost_recv)) || batch->entry.fixed)
		return 0;
	/* A guess, without the lock. */
	n = min3(batch->left, batch->most, data_race(mailbox->messages));
	n = recv_prepare(batch, slots, n);
	taken = n ? recv_take(mailbox, slots, n) : 0;
	while (received < taken) {
		filled = recv_fill(batch, slots, received, taken);
		told = max(told, filled);
		received = recv_receive(batch->op->endpoint, slots, received, filled);
		if (received == filled)
			break;
		taken = recv_move_up(mailbox, slots, received, taken);
	}
	if (received < taken)
		recv_put_back(mailbox, slots, received, taken);
	if (received < told)
		recv_untell(batch, received, told);
	/* To look at memory for many, and receive one, is what is to be had seldom. */
	batch->most = received ? min(2 * received, (unsigned int)KPOST_ROUND) : 1;
	return received;
}

static bool mailbox_has_message(struct kpost_mailbox *mailbox)
{
	bool has;

	spin_lock(&mailbox->lock);
	has = !kpost_queue_empty(&mailbox->queue);
	spin_unlock(&mailbox->lock);
	return has;
}

/* Nobody waits for more than the first message of all. */
static int recv_round(struct batch *batch, unsigned int *received)
{
	struct kpost_recv arg __uninitialized;
	long ret;

	*received = recv_plain(batch);
	if (*received)
		return 0;
	/* The memory of an entry that there is nothing for is not looked at. */
	if (!batch->first && !mailbox_has_message(batch->op->endpoint->mailbox))
		return 1;
	batch->entry.nowait |= !batch->first;
	ret = recv_entry_get(&batch->entry, &arg);
	if (!ret)
		ret = kpost_recv(&batch->entry);
	if (ret >= 0)
		*received = 1;
	return !batch->first && (ret == -EAGAIN || ret == -EPIPE) ? 1 : min(ret, 0L);
}

long kpost_recvv(struct kpost_operand *op)
{
	if (!(op->endpoint->rights & KPOST_RIGHT_RECV))
		return -EBADF;
	return batch_do(op, KPOST_RECV_SIZE_1, recv_round);
}
