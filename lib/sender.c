// SPDX-License-Identifier: MIT
/* An asynchronous sender that owns a ring: its life, and what does not wait. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "sender.h"

#define DEFAULT_DEPTH 256
#define DEFAULT_BATCH 32
#define DEPTH_MAX (1u << 20)

/* A timeout and its removal, and what they leave. */
#define CLOCK_ENTRIES 4

/* How long a cancellation is given before it is tried again. */
#define CANCEL_MS 10

void kpost_visit_begin(struct kpost_visit *visit)
{
	visit->error = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &visit->cancel_state);
}

void kpost_visit_end(const struct kpost_visit *visit)
{
	pthread_setcancelstate(visit->cancel_state, NULL);
	errno = visit->error;
}

void kpost_sender_enter(struct kpost_sender *sender, struct kpost_visit *visit)
{
	kpost_visit_begin(visit);
	pthread_mutex_lock(&sender->lock);
	sender->visitors++;
}

void kpost_sender_leave(struct kpost_sender *sender, const struct kpost_visit *visit)
{
	/* The event is set again where it means something: to the one that reports it does not. */
	if (sender->cleared && !sender->reporting) {
		sender->cleared = false;
		if (sender->taken != sender->done)
			kpost_event_set(sender);
	}
	sender->visitors--;
	if (sender->freeing)
		kpost_sender_announce(sender);
	pthread_mutex_unlock(&sender->lock);
	kpost_visit_end(visit);
}

static int slot_fill(struct kpost_slot *slot, const void *buf, size_t len)
{
	void *room, *old = slot->buf;

	if (len > slot->room) {
		room = malloc(len);
		if (!room)
			return -ENOMEM;
		slot->buf = room;
		slot->room = len;
		/* In this order for a child that is forked meanwhile. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		free(old);
	}
	if (len)
		memcpy(slot->buf, buf, len);
	return 0;
}

static bool is_full(const struct kpost_sender *sender)
{
	return sender->queued - sender->taken >= sender->depth;
}

KPOST_EXPORT int kpost_sender_queue_sized(struct kpost_sender *sender, const void *buf, size_t len,
					  const struct kpost_options *given, void *cookie,
					  size_t size)
{
	struct kpost_options options;
	struct kpost_visit visit;
	struct kpost_slot *slot;
	int ret;

	ret = kpost_struct_get(&options, sizeof(options), given, size);
	if (ret)
		return ret;
	if (options.flags || options.number)
		return -EINVAL;
	if (len > KPOST_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (!buf && len)
		return -EFAULT;
	kpost_sender_enter(sender, &visit);
	if (is_full(sender))
		kpost_sender_advance(sender);
	if (sender->stopping)
		ret = -ECANCELED;
	else if (is_full(sender))
		ret = -EAGAIN;
	if (ret)
		goto out;
	slot = kpost_slot_of(sender, sender->queued);
	ret = slot_fill(slot, buf, len);
	if (ret)
		goto out;
	slot->arg = (struct kpost_send){
		.priority = options.priority,
		.deadline = options.deadline,
		.buf = kpost_address(slot->buf),
		.len = len,
		.tag = options.tag,
		.expires = options.expires,
	};
	slot->cookie = cookie;
	slot->tries = 0;
	slot->tried_by = 0;
	sender->queued++;
	/* It is queued; if the ring cannot start it now, the next call tries again. */
	if (sender->queued - sender->sent >= sender->batch &&
	    (sender->sent == sender->done || io_uring_cq_ready(&sender->ring)))
		kpost_sender_advance(sender);
out:
	kpost_sender_leave(sender, &visit);
	return ret;
}

KPOST_EXPORT int kpost_sender_submit(struct kpost_sender *sender)
{
	struct kpost_visit visit;
	int ret;

	pthread_testcancel();
	kpost_sender_enter(sender, &visit);
	sender->wanted = sender->queued;
	ret = kpost_sender_run(sender);
	if (sender->stopping)
		ret = -ECANCELED;
	kpost_sender_leave(sender, &visit);
	return ret;
}

KPOST_EXPORT int kpost_sender_reap_sized(struct kpost_sender *sender, struct kpost_completion *out,
					 unsigned int max, size_t size)
{
	struct kpost_completion completion = { .result = 0 };
	char *to = (char *)out;
	struct kpost_visit visit;
	struct kpost_slot *slot;
	int count = 0;

	if (max > INT32_MAX)
		max = INT32_MAX;
	kpost_sender_enter(sender, &visit);
	kpost_sender_run(sender);
	while (count < (int)max && !sender->callback && sender->taken < sender->done) {
		slot = kpost_slot_of(sender, sender->taken++);
		completion.cookie = slot->cookie;
		completion.result = slot->result;
		kpost_struct_put(to + (size_t)count * size, size, &completion, sizeof(completion));
		count++;
	}
	kpost_sender_leave(sender, &visit);
	return count;
}

KPOST_EXPORT int kpost_sender_eventfd(struct kpost_sender *sender)
{
	return sender->event;
}

KPOST_EXPORT unsigned int kpost_sender_pending(const struct kpost_sender *sender)
{
	/* The lock is no part of what const promises to keep. */
	struct kpost_sender *lockable = (struct kpost_sender *)(uintptr_t)sender;
	struct kpost_visit visit;
	unsigned int pending;

	kpost_sender_enter(lockable, &visit);
	pending =
		(unsigned int)(sender->queued - (sender->callback ? sender->taken : sender->done));
	kpost_sender_leave(lockable, &visit);
	return pending;
}

static int rings_open(struct kpost_sender *sender, int fd)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SUBMIT_ALL };
	struct kpost_info info;
	struct kpost_stat st;
	int ret;

	sender->mailbox = !kpost_stat(fd, &st);
	sender->parks = sender->mailbox && !kpost_info(&info) &&
			info.features & KPOST_FEATURE_URING_PARK;
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
	ret = io_uring_queue_init(CLOCK_ENTRIES, &sender->clock, 0);
	if (ret)
		goto err_ring;
	ret = io_uring_register_eventfd(&sender->clock, sender->event);
	if (ret)
		goto err_clock;
	return 0;

err_clock:
	io_uring_queue_exit(&sender->clock);
err_ring:
	io_uring_queue_exit(&sender->ring);
	return ret;
}

/* All but the endpoint, which is let go of with the ring in its own time. */
static void dispose(struct kpost_sender *sender)
{
	unsigned int i;

	io_uring_queue_exit(&sender->clock);
	io_uring_queue_exit(&sender->ring);
	kpost_fd_close(sender->event);
	for (i = 0; i < sender->depth; i++)
		free(sender->slots[i].buf);
	free(sender->entries);
	free(sender);
}

/* Take what is good in the options; the sender still has to be made. */
static int options_get(struct kpost_sender_options *options,
		       const struct kpost_sender_options *given, size_t size)
{
	int ret;

	ret = kpost_struct_get(options, sizeof(*options), given, size);
	if (ret)
		return ret;
	if (!options->depth)
		options->depth = DEFAULT_DEPTH;
	if (options->depth > DEPTH_MAX || options->batch > KPOST_BATCH_MAX ||
	    options->flags & ~KPOST_SENDER_STOP || options->reserved)
		return -EINVAL;
	if (!options->batch)
		options->batch = DEFAULT_BATCH;
	if (options->batch > options->depth)
		options->batch = options->depth;
	return 0;
}

static int make(struct kpost_sender **out, int fd, const struct kpost_sender_options *options)
{
	struct kpost_sender *sender;
	int ret;

	sender = calloc(1, sizeof(*sender) + options->depth * sizeof(sender->slots[0]));
	if (!sender)
		return -ENOMEM;
	sender->entries = calloc(options->batch, sizeof(sender->entries[0]));
	if (!sender->entries) {
		ret = -ENOMEM;
		goto err_sender;
	}
	sender->depth = options->depth;
	sender->batch = options->batch;
	sender->callback = options->sent;
	sender->callback_arg = options->arg;
	sender->stop_on_error = options->flags & KPOST_SENDER_STOP;
	/* It blocks the thread that reads it, and no other: see kpost_event_clear(). */
	sender->event = eventfd(0, EFD_CLOEXEC);
	if (sender->event < 0) {
		ret = -errno;
		goto err_sender;
	}
	ret = rings_open(sender, fd);
	if (ret)
		goto err_event;
	pthread_mutex_init(&sender->lock, NULL);
	*out = sender;
	return 0;

err_event:
	kpost_fd_close(sender->event);
err_sender:
	free(sender->entries);
	free(sender);
	return ret;
}

KPOST_EXPORT int kpost_sender_new_sized(struct kpost_sender **sender, int fd,
					const struct kpost_sender_options *given, size_t size)
{
	struct kpost_sender_options options;
	struct kpost_visit visit;
	int ret;

	ret = options_get(&options, given, size);
	if (ret)
		return ret;
	/* The ring would take it for a place that is left empty. */
	if (fd < 0)
		return -EBADF;
	kpost_visit_begin(&visit);
	ret = make(sender, fd, &options);
	kpost_visit_end(&visit);
	return ret;
}

/* The rest of a chain falls with the request that waits. */
static void cancel_chain(struct kpost_sender *sender)
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

	(void)io_uring_register_sync_cancel(&sender->ring, &everything);
}

/* Cancel what is in flight. */
static void cancel(struct kpost_sender *sender)
{
	struct pollfd fd = { .fd = sender->event, .events = POLLIN };

	for (;;) {
		kpost_event_clear(sender);
		kpost_sender_drain(sender);
		if (!sender->in_flight)
			return;
		/* A request that was just being started is not found, hence the loop. */
		if (sender->parks)
			kpost_sender_cancel_parked(sender);
		else
			cancel_chain(sender);
		kpost_sender_drain(sender);
		if (sender->in_flight)
			(void)poll(&fd, 1, CANCEL_MS);
	}
}

KPOST_EXPORT int kpost_sender_free(struct kpost_sender *sender)
{
	struct kpost_visit visit;
	uint64_t before;
	int cancelled;

	if (!sender)
		return 0;
	kpost_sender_enter(sender, &visit);
	if (kpost_sender_inside(sender)) {
		kpost_sender_leave(sender, &visit);
		return -EDEADLK;
	}
	before = sender->cancelled;
	sender->stopping = true;
	sender->freeing = true;
	cancel(sender);
	/* Others see the end and leave; one of them may be reporting. */
	kpost_sender_announce(sender);
	kpost_sender_await_visitors(sender);
	kpost_sender_run(sender);
	cancelled = (int)(sender->cancelled - before);
	/* Now, not when the ring's remains are cleared away: the endpoint is let go. */
	io_uring_unregister_files(&sender->ring);
	pthread_mutex_unlock(&sender->lock);
	pthread_mutex_destroy(&sender->lock);
	dispose(sender);
	kpost_visit_end(&visit);
	return cancelled;
}

/*
 * The lock may be held for ever by a thread that this process does not have, so it is left
 * alone.  What is freed has been set right at any moment of the parent's threads, but for
 * those that had the heap's lock, for which fork() waits.
 */
KPOST_EXPORT void kpost_sender_forget(struct kpost_sender *sender)
{
	struct kpost_visit visit;

	if (!sender)
		return;
	kpost_visit_begin(&visit);
	dispose(sender);
	kpost_visit_end(&visit);
}
