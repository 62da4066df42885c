// SPDX-License-Identifier: MIT
/*
 * A sender's messages on their way through the ring.
 *
 * As long as there is room in the mailbox a batch is one request, which sends what
 * finds some and does not wait.
 *
 * Where there is none, requests have to wait, one for each message.  Where they can do so without a
 * worker of io_uring's they wait in the mailbox's line, which keeps their order; the kernel goes on
 * with them when the thread that submitted them has ended.
 *
 * What workers do at the same time may pass each other.  So that messages keep their order, a batch
 * is one chain of linked requests then, of which the kernel starts each when the one before it has
 * succeeded: each is told of as soon as it got in.  When a request fails, the kernel cancels the
 * rest of its chain: none of it was sent, and it is started again once the chain is over.
 *
 * There is one batch in flight at a time, be it the one or the other.
 */
#include <stdlib.h>

#include "sender.h"

/* A slot keeps a buffer up to this size for its next message. */
#define KEEP_BYTES 16384
/*
 * A message of a chain that is cancelled without our asking is tried again: the kernel does that
 * to what a thread submitted when the thread exits, which it can do only once, and when
 * the process is stopped.  If the same thread's are cancelled more often than this within
 * a second, it means something else, such as that there can be no worker.
 */
#define TRIES_MAX 16
#define TRIES_NS 1000000000u
/* Where a message waits in line, those behind it up to so many bytes do: all of them count. */
#define LINE_BYTES 65536

/* Threads are told apart by a number, as the C library's and the kernel's are used again. */
static uint64_t thread_number(void)
{
	static uint64_t last;
	static _Thread_local uint64_t number;

	if (!number)
		number = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	return number;
}

/* Give up a buffer that is too large to keep for nothing. */
static void slot_release(struct kpost_slot *slot)
{
	void *buf = slot->buf;

	if (slot->room <= KEEP_BYTES)
		return;
	slot->buf = NULL;
	slot->room = 0;
	/* In this order for a child that is forked meanwhile, see kpost_sender_forget(). */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	free(buf);
}

static void slot_return(struct kpost_slot *slot, int result)
{
	/* Interrupted is cancelled: nothing was sent, and nobody meant it. */
	slot->result = result == -EINTR ? -ECANCELED : result;
	slot->returned = true;
}

/* What is behind the first @count was started and not sent: it goes on, a full batch or not. */
static void go_back(struct kpost_sender *sender, uint64_t count)
{
	if (sender->wanted < sender->sent)
		sender->wanted = sender->sent;
	sender->sent = count;
}

/* A batch that does not wait is over: @result is how many were sent, or why none was. */
static void batch_return(struct kpost_sender *sender, int result)
{
	unsigned int sent = result > 0 ? (unsigned int)result : 0, i;
	int error = result > 0 ? sender->arg.error : result;

	/* What is told of it may be lost: who waits learns it anew. */
	if (!error)
		error = -EAGAIN;
	go_back(sender, sender->sent - sender->in_flight);
	for (i = 0; i < sent; i++)
		slot_return(kpost_slot_of(sender, sender->sent++), 0);
	if (sent < sender->in_flight && error == -EAGAIN)
		sender->full = true;
	else if (sent < sender->in_flight)
		slot_return(kpost_slot_of(sender, sender->sent++), error);
	sender->in_flight = 0;
}

void kpost_sender_drain(struct kpost_sender *sender)
{
	struct io_uring_cqe *cqe;
	void *data;

	while (!io_uring_peek_cqe(&sender->ring, &cqe)) {
		data = io_uring_cqe_get_data(cqe);
		if (!data) {
			batch_return(sender, cqe->res);
		} else if (data != &sender->cancel) {
			slot_return(data, cqe->res < 0 ? cqe->res : 0);
			sender->in_flight--;
		}
		io_uring_cqe_seen(&sender->ring, cqe);
	}
}

/* Whether a message that was cancelled without our asking has been so too often. */
static bool tried_in_vain(const struct kpost_sender *sender, struct kpost_slot *slot)
{
	uint64_t now = kpost_deadline(0);

	if (slot->tried_by != sender->submitter) {
		slot->tried_by = sender->submitter;
		return false;
	}
	if (!slot->tries || now - slot->tried > TRIES_NS) {
		slot->tries = 0;
		slot->tried = now;
	}
	return ++slot->tries >= TRIES_MAX;
}

/* Whether the oldest message is done; if not, it may be made to start again. */
static bool finished(struct kpost_sender *sender, struct kpost_slot *slot)
{
	if (sender->done == sender->sent) {
		/* It was never started, and is not going to be. */
		if (!sender->stopping)
			return false;
		slot->result = -ECANCELED;
		sender->sent++;
		return true;
	}
	if (!slot->returned)
		return false;
	if (slot->result != -ECANCELED || sender->stopping || sender->parks)
		return true;
	/* The first that was cancelled; all of the chain that is behind it was too. */
	if (sender->in_flight)
		return false;
	if (tried_in_vain(sender, slot)) {
		slot->result = -EAGAIN;
		return true;
	}
	go_back(sender, sender->done);
	return false;
}

/* Find what is done, in order; when stopping, what was never started as well. */
static void settle(struct kpost_sender *sender)
{
	uint64_t before = sender->done;
	struct kpost_slot *slot;

	while (sender->done < sender->queued) {
		slot = kpost_slot_of(sender, sender->done);
		if (!finished(sender, slot))
			break;
		slot_release(slot);
		sender->done++;
		sender->cancelled += slot->result == -ECANCELED;
		if (slot->result && sender->stop_on_error)
			sender->stopping = true;
	}
	if (sender->done == before)
		return;
	if (!sender->callback)
		sender->told = sender->done;
	kpost_sender_announce(sender);
}

/* Tell the callback what is done.  Returns whether there was anything. */
static bool report(struct kpost_sender *sender)
{
	uint64_t before = sender->told;
	struct kpost_slot *slot;
	void *cookie;
	int result;

	/* The thread that reports goes on with what comes meanwhile. */
	if (!sender->callback || sender->reporting)
		return false;
	sender->reporting = true;
	sender->reporter = pthread_self();
	while (sender->taken < sender->done) {
		slot = kpost_slot_of(sender, sender->taken);
		cookie = slot->cookie;
		result = slot->result;
		/* The slot is free from here on, so that the callback can queue. */
		sender->taken++;
		pthread_mutex_unlock(&sender->lock);
		sender->callback(sender->callback_arg, cookie, result);
		pthread_mutex_lock(&sender->lock);
		sender->told = sender->taken;
		kpost_sender_announce(sender);
	}
	sender->reporting = false;
	return sender->told != before;
}

bool kpost_sender_inside(const struct kpost_sender *sender)
{
	return sender->reporting && pthread_equal(sender->reporter, pthread_self());
}

void kpost_ring_rewind(struct io_uring *ring)
{
	struct io_uring_sq *sq = &ring->sq;
	unsigned int head = io_uring_smp_load_acquire(sq->khead);

	io_uring_smp_store_release(sq->ktail, head);
	sq->sqe_head = head;
	sq->sqe_tail = head;
}

/* The @i-th of the messages to be started. */
static struct kpost_slot *slot_start(struct kpost_sender *sender, unsigned int i)
{
	struct kpost_slot *slot = kpost_slot_of(sender, sender->sent + i);

	slot->returned = false;
	return slot;
}

/*
 * How many of the next @count messages can wait in line together.  The line is in order of
 * priority, and what fails there does not keep back what is behind it.
 */
static unsigned int count_line(struct kpost_sender *sender, unsigned int count)
{
	struct kpost_send *arg = &kpost_slot_of(sender, sender->sent)->arg;
	unsigned int priority = arg->priority, i;
	uint64_t bytes = arg->len;

	if (sender->stop_on_error)
		return 1;
	for (i = 1; i < count; i++) {
		arg = &kpost_slot_of(sender, sender->sent + i)->arg;
		bytes += arg->len;
		if (arg->priority > priority || bytes > LINE_BYTES)
			break;
		priority = arg->priority;
	}
	return i;
}

/* An entry for each of the next @count messages, in line or as one chain.  Returns how many. */
static unsigned int prepare_each(struct kpost_sender *sender, unsigned int count)
{
	bool links = !sender->parks, worker = links && sender->mailbox;
	struct io_uring_sqe *sqe;
	struct kpost_slot *slot;
	unsigned int i;

	for (i = 0; i < count; i++) {
		slot = slot_start(sender, i);
		slot->arg.cookie = sender->parks ? kpost_address(slot) : 0;
		sqe = io_uring_get_sqe(&sender->ring);
		kpost_prep_send(sqe, 0, &slot->arg);
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | (worker ? IOSQE_ASYNC : 0) |
						    (links && i + 1 < count ? IOSQE_IO_LINK : 0));
		io_uring_sqe_set_data(sqe, slot);
	}
	return count;
}

void kpost_sender_cancel_parked(struct kpost_sender *sender)
{
	uint64_t count = sender->sent;
	struct io_uring_sqe *sqe;
	struct kpost_slot *slot;

	/* The last first: one that is let in meanwhile has none before it that was cancelled. */
	while (count-- > sender->done) {
		slot = kpost_slot_of(sender, count);
		if (slot->returned)
			continue;
		sender->cancel.cookie = kpost_address(slot);
		sqe = io_uring_get_sqe(&sender->ring);
		kpost_prep(sqe, 0, KPOST_IOC_CANCEL, &sender->cancel);
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
		io_uring_sqe_set_data(sqe, &sender->cancel);
		if (io_uring_submit(&sender->ring) < 1)
			kpost_ring_rewind(&sender->ring);
	}
}

/* The same as one request.  It does not wait, so deadlines mean nothing; a wrong one stays so. */
static unsigned int prepare_batch(struct kpost_sender *sender, unsigned int count)
{
	struct io_uring_sqe *sqe;
	struct kpost_send *entry;
	unsigned int i;

	for (i = 0; i < count; i++) {
		entry = &sender->entries[i];
		*entry = slot_start(sender, i)->arg;
		entry->cookie = 0;
		if (entry->deadline <= INT64_MAX)
			entry->deadline = 0;
	}
	sender->arg = (struct kpost_batch){
		.flags = KPOST_DONTWAIT,
		.count = count,
		.entries = kpost_address(sender->entries),
		.entry_size = sizeof(sender->entries[0]),
	};
	sqe = io_uring_get_sqe(&sender->ring);
	kpost_prep_send_batch(sqe, 0, &sender->arg);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, NULL);
	return 1;
}

/* Start the next batch, unless one is in flight. */
static int start(struct kpost_sender *sender)
{
	unsigned int count = sender->batch, entries;
	uint64_t waiting = sender->queued - sender->sent;
	bool waits = sender->full;
	int taken;

	if (sender->sent != sender->done || !waiting || sender->stopping)
		return 0;
	if (waiting < count) {
		if (sender->sent >= sender->wanted)
			return 0;
		count = (unsigned int)waiting;
	}
	if (waits && sender->parks)
		count = count_line(sender, count);
	entries = waits ? prepare_each(sender, count) : prepare_batch(sender, count);
	taken = io_uring_submit(&sender->ring);
	if (taken < (int)entries)
		kpost_ring_rewind(&sender->ring);
	if (taken <= 0)
		return taken;
	if (waits)
		count = (unsigned int)taken;
	sender->submitter = thread_number();
	sender->sent += count;
	sender->in_flight = count;
	/* Once all of it is over there is room, or it is found out anew that there is none. */
	sender->full = false;
	return 0;
}

int kpost_sender_advance(struct kpost_sender *sender)
{
	int ret;

	do {
		/* Cleared before the look, so that what comes after it is not missed. */
		kpost_event_clear(sender);
		sender->cleared = true;
		kpost_sender_drain(sender);
		settle(sender);
		ret = start(sender);
	} while (!ret && io_uring_cq_ready(&sender->ring));
	/* Those that wait would do so for nothing. */
	if (ret)
		kpost_sender_announce(sender);
	return ret;
}

int kpost_sender_run(struct kpost_sender *sender)
{
	int ret;

	do {
		ret = kpost_sender_advance(sender);
	} while (report(sender));
	return ret;
}
