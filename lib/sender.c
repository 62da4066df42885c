// SPDX-License-Identifier: MIT
/*
 * An asynchronous sender that owns a ring.
 *
 * Messages live in a circle of slots and move through it in the order they were
 * queued:
 *
 *	taken <= done <= sent <= queued		(counts, slot = count % depth)
 *
 *	[taken, done)	finished, to be collected (empty with a callback)
 *	[done, sent)	the chain in flight
 *	[sent, queued)	waiting to be started
 *
 * Requests that have to wait are done by workers of io_uring's, and requests
 * that wait at the same time may pass each other.  So that messages keep their
 * order, a batch is one chain of linked requests, of which the kernel starts each
 * when the one before it has succeeded, and there is one chain at a time.  When a
 * request fails, the kernel cancels the rest of its chain: none of it was sent, and
 * it is started again once the chain is over.
 */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define DEFAULT_DEPTH 256
#define DEFAULT_BATCH 32
#define DEPTH_MAX (1u << 20)
#define BATCH_MAX 4096u

/* A slot keeps a buffer up to this size for its next message. */
#define KEEP_BYTES 16384
/*
 * A message that is cancelled without our asking is tried again: the kernel does that
 * to what a thread submitted when the thread exits, and when the process is stopped.
 * More often than this within a second, it means something else.
 */
#define TRIES_MAX 16
#define TRIES_NS 1000000000u
/* How long a cancellation is given before it is tried again. */
#define CANCEL_MS 10

struct slot {
	struct kpost_send arg; /* the kernel reads it until the completion */
	void *cookie;
	void *buf;
	size_t room; /* bytes of buf */
	int result;
	unsigned int tries;
	uint64_t tried; /* the first of them, in nanoseconds */
	bool returned; /* result is set */
};

struct kpost_sender {
	pthread_mutex_t lock; /* recursive, for the callback; protects all below */
	pthread_cond_t progress; /* done moved, or the leader left */
	struct io_uring ring;
	int event; /* told of each completion by the ring */
	unsigned int depth;
	unsigned int batch;
	kpost_sent_fn callback;
	void *callback_arg;
	uint64_t taken, done, sent, queued;
	uint64_t wanted; /* start batches that are not full up to here */
	unsigned int in_flight; /* completions to come */
	bool reporting; /* inside the callback */
	bool stop_on_error; /* KPOST_SENDER_STOP */
	bool stopping; /* nothing more is started: being freed, or stopped by an error */
	uint64_t cancelled; /* messages reported so */
	bool led; /* a thread waits for the event, the others for progress */
	bool cleared; /* the event, which others may still have to see */
	struct slot slots[];
};

static struct slot *slot_of(struct kpost_sender *sender, uint64_t count)
{
	return &sender->slots[count % sender->depth];
}

static void event_clear(struct kpost_sender *sender)
{
	eventfd_t count;

	(void)eventfd_read(sender->event, &count);
}

static void event_set(struct kpost_sender *sender)
{
	(void)eventfd_write(sender->event, 1);
}

/* Give up a buffer that is too large to keep for nothing. */
static void slot_release(struct slot *slot)
{
	if (slot->room > KEEP_BYTES) {
		free(slot->buf);
		slot->buf = NULL;
		slot->room = 0;
	}
}

static void report(struct kpost_sender *sender, struct slot *slot)
{
	void *cookie = slot->cookie;
	int result = slot->result;

	slot_release(slot);
	sender->done++;
	sender->cancelled += result == -ECANCELED;
	if (result && sender->stop_on_error)
		sender->stopping = true;
	if (!sender->callback)
		return;
	/* The slot is free from here on, so that the callback can queue. */
	sender->taken = sender->done;
	sender->reporting = true;
	sender->callback(sender->callback_arg, cookie, result);
	sender->reporting = false;
}

/* Read what the ring has completed. */
static void drain(struct kpost_sender *sender)
{
	struct io_uring_cqe *cqe;
	struct slot *slot;

	while (!io_uring_peek_cqe(&sender->ring, &cqe)) {
		slot = io_uring_cqe_get_data(cqe);
		slot->result = cqe->res < 0 ? cqe->res : 0;
		/* Interrupted is cancelled: nothing was sent, and nobody meant it. */
		if (slot->result == -EINTR)
			slot->result = -ECANCELED;
		slot->returned = true;
		sender->in_flight--;
		io_uring_cqe_seen(&sender->ring, cqe);
	}
}

static bool final(const struct kpost_sender *sender, const struct slot *slot)
{
	if (slot->result != -ECANCELED)
		return true;
	return sender->stopping || slot->tries >= TRIES_MAX;
}

/* Take back what is left of a chain that is over, to be started again. */
static void take_back(struct kpost_sender *sender)
{
	struct slot *first = slot_of(sender, sender->done);
	uint64_t now = kpost_deadline(0);

	/* Only the first was cancelled for itself. */
	if (!first->tries || now - first->tried > TRIES_NS) {
		first->tries = 0;
		first->tried = now;
	}
	first->tries++;
	sender->sent = sender->done;
}

/* Report what is final, in order; when stopping, what was never started as well. */
static void settle(struct kpost_sender *sender)
{
	struct slot *slot;

	while (sender->done < sender->queued) {
		slot = slot_of(sender, sender->done);
		if (sender->done == sender->sent) {
			if (!sender->stopping)
				return;
			slot->result = -ECANCELED;
			sender->sent++;
		} else if (!slot->returned) {
			return;
		} else if (!final(sender, slot)) {
			if (!sender->in_flight)
				take_back(sender);
			return;
		}
		report(sender, slot);
	}
}

/* Undo entries that the kernel did not take; without SQPOLL it never looks again. */
static void ring_rewind(struct io_uring *ring)
{
	struct io_uring_sq *sq = &ring->sq;
	unsigned int head = io_uring_smp_load_acquire(sq->khead);

	io_uring_smp_store_release(sq->ktail, head);
	sq->sqe_head = head;
	sq->sqe_tail = head;
}

/* Start the next batch as one chain, unless one is in flight. */
static int start(struct kpost_sender *sender)
{
	unsigned int count = sender->batch, i;
	uint64_t waiting = sender->queued - sender->sent;
	struct io_uring_sqe *sqe;
	struct slot *slot;
	int taken;

	if (sender->sent != sender->done || !waiting || sender->stopping)
		return 0;
	if (waiting < count) {
		if (sender->sent >= sender->wanted)
			return 0;
		count = (unsigned int)waiting;
	}
	for (i = 0; i < count; i++) {
		slot = slot_of(sender, sender->sent + i);
		slot->returned = false;
		sqe = io_uring_get_sqe(&sender->ring);
		kpost_prep_send(sqe, 0, &slot->arg);
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | (i + 1 < count ? IOSQE_IO_LINK : 0));
		io_uring_sqe_set_data(sqe, slot);
	}
	taken = io_uring_submit(&sender->ring);
	if (taken < (int)count)
		ring_rewind(&sender->ring);
	if (taken < 0)
		return taken;
	sender->sent += (unsigned int)taken;
	sender->in_flight = (unsigned int)taken;
	return 0;
}

/* Everything that can be done without waiting. */
static int run(struct kpost_sender *sender)
{
	uint64_t before = sender->done;
	int ret;

	/* The callback's own calls come back to the loop below it. */
	if (sender->reporting)
		return 0;
	do {
		/* Cleared before the look, so that what comes after it is not missed. */
		event_clear(sender);
		sender->cleared = true;
		drain(sender);
		settle(sender);
		ret = start(sender);
	} while (!ret && io_uring_cq_ready(&sender->ring));
	if (sender->done != before)
		pthread_cond_broadcast(&sender->progress);
	return ret;
}

/* Every function ends with this: the event is set again where it means something. */
static void unlock(struct kpost_sender *sender)
{
	if (sender->cleared && !sender->reporting) {
		sender->cleared = false;
		if (sender->led || sender->taken != sender->done)
			event_set(sender);
	}
	pthread_mutex_unlock(&sender->lock);
}

static int slot_fill(struct slot *slot, const void *buf, size_t len)
{
	void *grown;

	if (len > slot->room) {
		grown = realloc(slot->buf, len);
		if (!grown)
			return -ENOMEM;
		slot->buf = grown;
		slot->room = len;
	}
	if (len)
		memcpy(slot->buf, buf, len);
	return 0;
}

KPOST_EXPORT int kpost_sender_queue(struct kpost_sender *sender, const void *buf, size_t len,
				    unsigned int priority, uint64_t deadline, void *cookie)
{
	struct slot *slot;
	int ret = 0;

	if (len > KPOST_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (!buf && len)
		return -EFAULT;
	pthread_mutex_lock(&sender->lock);
	if (sender->stopping) {
		ret = -ECANCELED;
		goto out;
	}
	if (sender->queued - sender->taken >= sender->depth)
		run(sender);
	if (sender->queued - sender->taken >= sender->depth) {
		ret = -EAGAIN;
		goto out;
	}
	slot = slot_of(sender, sender->queued);
	ret = slot_fill(slot, buf, len);
	if (ret)
		goto out;
	slot->arg = (struct kpost_send){
		.priority = priority,
		.deadline = deadline,
		.buf = kpost_address(slot->buf),
		.len = len,
	};
	slot->cookie = cookie;
	slot->tries = 0;
	sender->queued++;
	/* It is queued; if the ring cannot start it now, the next call tries again. */
	if (sender->queued - sender->sent >= sender->batch &&
	    (sender->sent == sender->done || io_uring_cq_ready(&sender->ring)))
		run(sender);
out:
	unlock(sender);
	return ret;
}

KPOST_EXPORT int kpost_sender_submit(struct kpost_sender *sender)
{
	int ret;

	pthread_mutex_lock(&sender->lock);
	sender->wanted = sender->queued;
	ret = run(sender);
	if (sender->stopping)
		ret = -ECANCELED;
	unlock(sender);
	return ret;
}

KPOST_EXPORT int kpost_sender_reap(struct kpost_sender *sender, struct kpost_completion *out,
				   unsigned int max)
{
	unsigned int count = 0;
	struct slot *slot;

	pthread_mutex_lock(&sender->lock);
	run(sender);
	while (count < max && sender->taken < sender->done) {
		slot = slot_of(sender, sender->taken++);
		out[count].cookie = slot->cookie;
		out[count].result = slot->result;
		count++;
	}
	unlock(sender);
	return (int)(count < INT32_MAX ? count : INT32_MAX);
}

/* Wait for the event: the ring's, or one passed on by unlock(). */
static int lead(struct kpost_sender *sender, uint64_t deadline)
{
	struct pollfd fd = { .fd = sender->event, .events = POLLIN };
	uint64_t now = kpost_deadline(0);
	uint64_t left = deadline > now ? deadline - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(left / 1000000000u),
		.tv_nsec = (long)(left % 1000000000u),
	};
	int saved = errno;
	int ret;

	sender->led = true;
	sender->cleared = false;
	pthread_mutex_unlock(&sender->lock);
	ret = ppoll(&fd, 1, deadline ? &timeout : NULL, NULL);
	if (ret < 0)
		ret = -errno;
	else
		ret = ret ? 0 : -ETIMEDOUT;
	errno = saved;
	pthread_mutex_lock(&sender->lock);
	sender->led = false;
	/* Somebody else has to watch the event while this thread works or leaves. */
	pthread_cond_broadcast(&sender->progress);
	return ret;
}

static int follow(struct kpost_sender *sender, uint64_t deadline)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline / 1000000000u),
		.tv_nsec = (long)(deadline % 1000000000u),
	};

	if (!deadline)
		return -pthread_cond_wait(&sender->progress, &sender->lock);
	return -pthread_cond_timedwait(&sender->progress, &sender->lock, &until);
}

/* Until @target messages are done, or with @any something can be collected. */
static int wait_done(struct kpost_sender *sender, uint64_t target, bool any, uint64_t deadline)
{
	int ret, waited = 0;

	sender->wanted = sender->queued;
	for (;;) {
		ret = run(sender);
		if (sender->done >= target || (any && sender->taken != sender->done))
			return 0;
		if (ret || waited)
			return ret ? ret : waited;
		waited = sender->led ? follow(sender, deadline) : lead(sender, deadline);
	}
}

KPOST_EXPORT int kpost_sender_wait(struct kpost_sender *sender, uint64_t deadline)
{
	int ret = 0;

	pthread_mutex_lock(&sender->lock);
	if (sender->reporting)
		ret = -EDEADLK;
	else if (sender->done != sender->queued)
		ret = wait_done(sender, sender->done + 1, true, deadline);
	unlock(sender);
	return ret;
}

KPOST_EXPORT int kpost_sender_flush(struct kpost_sender *sender, uint64_t deadline)
{
	int ret;

	pthread_mutex_lock(&sender->lock);
	if (sender->reporting)
		ret = -EDEADLK;
	else
		ret = wait_done(sender, sender->queued, false, deadline);
	unlock(sender);
	return ret;
}

KPOST_EXPORT int kpost_sender_eventfd(struct kpost_sender *sender)
{
	return sender->event;
}

KPOST_EXPORT unsigned int kpost_sender_pending(const struct kpost_sender *sender)
{
	/* The lock is no part of what const promises to keep. */
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&sender->lock;
	unsigned int pending;

	pthread_mutex_lock(lock);
	pending = (unsigned int)(sender->queued - sender->done);
	pthread_mutex_unlock(lock);
	return pending;
}

static int ring_open(struct kpost_sender *sender, int fd)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SUBMIT_ALL };
	int ret;

	ret = io_uring_queue_init_params(sender->batch, &sender->ring, &params);
	if (ret)
		return ret;
	/* The ring's own reference: closing or reusing fd does not divert messages. */
	ret = io_uring_register_files(&sender->ring, &fd, 1);
	if (ret)
		goto err_ring;
	ret = io_uring_register_eventfd(&sender->ring, sender->event);
	if (ret)
		goto err_ring;
	return 0;

err_ring:
	io_uring_queue_exit(&sender->ring);
	return ret;
}

static void locks_init(struct kpost_sender *sender)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&sender->lock, &mutex);
	pthread_mutexattr_destroy(&mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&sender->progress, &cond);
	pthread_condattr_destroy(&cond);
}

KPOST_EXPORT int kpost_sender_new(struct kpost_sender **out, int fd,
				  const struct kpost_sender_options *options)
{
	static const struct kpost_sender_options defaults;
	struct kpost_sender *sender;
	unsigned int depth;
	int ret;

	if (!options)
		options = &defaults;
	depth = options->depth ? options->depth : DEFAULT_DEPTH;
	if (depth > DEPTH_MAX || options->batch > BATCH_MAX || options->flags & ~KPOST_SENDER_STOP)
		return -EINVAL;
	/* The ring would take it for a place that is left empty. */
	if (fd < 0)
		return -EBADF;
	sender = calloc(1, sizeof(*sender) + depth * sizeof(sender->slots[0]));
	if (!sender)
		return -ENOMEM;
	sender->depth = depth;
	sender->batch = options->batch ? options->batch : DEFAULT_BATCH;
	if (sender->batch > depth)
		sender->batch = depth;
	sender->callback = options->sent;
	sender->callback_arg = options->arg;
	sender->stop_on_error = options->flags & KPOST_SENDER_STOP;
	sender->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sender->event < 0) {
		ret = -errno;
		goto err_sender;
	}
	ret = ring_open(sender, fd);
	if (ret)
		goto err_event;
	locks_init(sender);
	*out = sender;
	return 0;

err_event:
	kpost_close(sender->event);
err_sender:
	free(sender);
	return ret;
}

/* Cancel the chain in flight; the rest of it falls with the request that waits. */
static void cancel(struct kpost_sender *sender)
{
	/*
	 * Not a request of its own: that would take the place in the ring of one in
	 * the chain, which some kernels read only when its turn comes.
	 */
	struct io_uring_sync_cancel_reg everything = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ANY,
		.timeout = { .tv_nsec = CANCEL_MS * 1000000 },
	};
	struct pollfd fd = { .fd = sender->event, .events = POLLIN };

	for (;;) {
		event_clear(sender);
		drain(sender);
		if (!sender->in_flight)
			return;
		/* A request that was just being started is not found, hence the loop. */
		(void)io_uring_register_sync_cancel(&sender->ring, &everything);
		drain(sender);
		if (sender->in_flight)
			(void)poll(&fd, 1, CANCEL_MS);
	}
}

KPOST_EXPORT int kpost_sender_free(struct kpost_sender *sender)
{
	uint64_t before;
	unsigned int i;
	int cancelled;

	if (!sender)
		return 0;
	pthread_mutex_lock(&sender->lock);
	if (sender->reporting) {
		pthread_mutex_unlock(&sender->lock);
		return -EDEADLK;
	}
	sender->stopping = true;
	cancel(sender);
	before = sender->cancelled;
	settle(sender);
	cancelled = (int)(sender->cancelled - before);
	/* Now, not when the ring's remains are cleared away: the endpoint is let go. */
	io_uring_unregister_files(&sender->ring);
	io_uring_queue_exit(&sender->ring);
	kpost_close(sender->event);
	pthread_mutex_unlock(&sender->lock);
	pthread_cond_destroy(&sender->progress);
	pthread_mutex_destroy(&sender->lock);
	for (i = 0; i < sender->depth; i++)
		free(sender->slots[i].buf);
	free(sender);
	return cancelled;
}
