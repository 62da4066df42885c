// SPDX-License-Identifier: MIT
/*
 * How threads wait for a sender's messages.
 *
 * Signals shall end a wait only if their handler was installed without SA_RESTART.  The
 * kernel restarts neither poll(2) nor any wait of io_uring's, and the C library's condition
 * variables never end; but it does so for read(2) of an eventfd that blocks and for
 * futex_waitv(2).  A read knows no deadline: a timeout on a ring of its own signals the
 * same event.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sender.h"

#define NS_PER_SECOND 1000000000u

void kpost_event_set(struct kpost_sender *sender)
{
	(void)eventfd_write(sender->event, 1);
}

static void rouse(struct kpost_sender *sender)
{
	if (sender->asleep && !sender->roused) {
		sender->roused = true;
		kpost_event_set(sender);
	}
}

/* Without blocking, though the event does so for the leader, who reads it. */
void kpost_event_clear(struct kpost_sender *sender)
{
	eventfd_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	/* What the leader has not seen yet is left for it... */
	if (sender->roused)
		return;
	(void)preadv2(sender->event, &iov, 1, -1, RWF_NOWAIT);
	/* ...and so is its deadline.  Completions are looked at by those that clear it. */
	if (sender->asleep && io_uring_cq_ready(&sender->clock))
		rouse(sender);
}

void kpost_sender_announce(struct kpost_sender *sender)
{
	sender->progress++;
	if (sender->followers) {
		sender->followers = 0;
		(void)syscall(SYS_futex, &sender->progress, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL,
			      0);
	}
	rouse(sender);
}

/* Wait for an announcement that comes after @progress was read. */
static int await_progress(struct kpost_sender *sender, uint32_t progress, uint64_t deadline)
{
	struct futex_waitv word = {
		.val = progress,
		.uaddr = kpost_address(&sender->progress),
		.flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
	};
	struct __kernel_timespec until = {
		.tv_sec = (int64_t)(deadline / NS_PER_SECOND),
		.tv_nsec = (long long)(deadline % NS_PER_SECOND),
	};

	if (syscall(SYS_futex_waitv, &word, 1, 0, deadline ? &until : NULL, CLOCK_MONOTONIC) >= 0)
		return 0;
	/* Announced before it could wait. */
	return errno == EAGAIN ? 0 : -errno;
}

static int await_event(struct kpost_sender *sender)
{
	eventfd_t count;

	return read(sender->event, &count, sizeof(count)) < 0 ? -errno : 0;
}

void kpost_sender_await_visitors(struct kpost_sender *sender)
{
	uint32_t progress;

	while (sender->visitors > 1) {
		progress = sender->progress;
		sender->followers++;
		pthread_mutex_unlock(&sender->lock);
		(void)await_progress(sender, progress, 0);
		pthread_mutex_lock(&sender->lock);
	}
}

/* Forget what the clock has completed: whoever leads looks at the time. */
static void clock_drain(struct kpost_sender *sender)
{
	io_uring_cq_advance(&sender->clock, io_uring_cq_ready(&sender->clock));
}

static int clock_submit(struct kpost_sender *sender)
{
	int ret = io_uring_submit(&sender->clock);

	if (ret < 0)
		kpost_ring_rewind(&sender->clock);
	return ret < 0 ? ret : 0;
}

/* Not an absolute time, which io_uring takes for the host's in a time namespace. */
static int alarm_set(struct kpost_sender *sender, uint64_t ns)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&sender->clock);
	struct __kernel_timespec timeout = {
		.tv_sec = (int64_t)(ns / NS_PER_SECOND),
		.tv_nsec = (long long)(ns % NS_PER_SECOND),
	};

	io_uring_prep_timeout(sqe, &timeout, 0, 0);
	io_uring_sqe_set_data64(sqe, ++sender->alarms);
	return clock_submit(sender);
}

static void alarm_clear(struct kpost_sender *sender)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&sender->clock);

	io_uring_prep_timeout_remove(sqe, sender->alarms, 0);
	io_uring_sqe_set_data64(sqe, 0);
	/* One that is left goes off, and wakes somebody for nothing. */
	(void)clock_submit(sender);
	clock_drain(sender);
}

/* A thread that waits, and what it has to undo if it is cancelled there. */
struct waiting {
	struct kpost_sender *sender;
	const struct kpost_visit *visit;
	uint64_t deadline;
	bool leads;
	bool alarmed;
	int result; /* of the last time it slept */
};

static void give_up_lead(struct waiting *waiting)
{
	if (!waiting->leads)
		return;
	waiting->sender->led = false;
	/* Somebody else has to. */
	kpost_sender_announce(waiting->sender);
}

static void wake_up(struct waiting *waiting)
{
	struct kpost_sender *sender = waiting->sender;

	pthread_mutex_lock(&sender->lock);
	if (!waiting->leads)
		return;
	sender->asleep = false;
	sender->roused = false;
	if (waiting->alarmed)
		alarm_clear(sender);
}

/* Cancelled while it waited.  It may have read the event already, for nobody. */
static void abandon(void *data)
{
	struct waiting *waiting = data;

	wake_up(waiting);
	kpost_event_set(waiting->sender);
	give_up_lead(waiting);
	kpost_sender_leave(waiting->sender, waiting->visit);
}

/*
 * Let go of the lock and wait for the event, or as one that follows for an announcement.
 * Only here a thread is cancelled, if its caller lets it.
 */
static int sleep_until(struct waiting *waiting, uint32_t progress)
{
	struct kpost_sender *sender = waiting->sender;
	int type;

	pthread_mutex_unlock(&sender->lock);
	pthread_cleanup_push(abandon, waiting);
	/*
	 * In this order: glibc up to 2.36 at least ends a thread that was cancelled before
	 * with NULL, not PTHREAD_CANCELED, if it is the state that lets it be.
	 */
	pthread_setcancelstate(waiting->visit->cancel_state, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	waiting->result = waiting->leads ? await_event(sender) :
					   await_progress(sender, progress, waiting->deadline);
	pthread_setcanceltype(type, NULL);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(0);
	wake_up(waiting);
	return waiting->result;
}

/* Wait for a completion, an announcement, or the deadline. */
static int wait_once(struct waiting *waiting)
{
	struct kpost_sender *sender = waiting->sender;
	uint64_t now = kpost_deadline(0);
	int ret;

	if (!waiting->leads) {
		sender->followers++;
		return sleep_until(waiting, sender->progress);
	}
	clock_drain(sender);
	if (waiting->deadline) {
		if (now >= waiting->deadline)
			return -ETIMEDOUT;
		ret = alarm_set(sender, waiting->deadline - now);
		if (ret)
			return ret;
		waiting->alarmed = true;
	}
	sender->asleep = true;
	return sleep_until(waiting, 0);
}

static bool can_collect(const struct kpost_sender *sender)
{
	return !sender->callback && sender->taken != sender->done;
}

/* Until @target messages are told, or with @any something can be collected. */
static int wait_until(struct kpost_sender *sender, const struct kpost_visit *visit, uint64_t target,
		      bool any, uint64_t deadline)
{
	struct waiting waiting = { .sender = sender, .visit = visit, .deadline = deadline };
	int ret, waited = 0;

	sender->wanted = sender->queued;
	for (;;) {
		ret = kpost_sender_run(sender);
		if (sender->told >= target || (any && can_collect(sender))) {
			ret = 0;
			break;
		}
		if (ret || waited) {
			ret = ret ? ret : waited;
			break;
		}
		if (!sender->led)
			sender->led = waiting.leads = true;
		waited = wait_once(&waiting);
	}
	give_up_lead(&waiting);
	return sender->freeing ? -ECANCELED : ret;
}

KPOST_EXPORT int kpost_sender_wait(struct kpost_sender *sender, uint64_t deadline)
{
	struct kpost_visit visit;
	int ret = 0;

	pthread_testcancel();
	kpost_sender_enter(sender, &visit);
	if (kpost_sender_inside(sender))
		ret = -EDEADLK;
	else if (sender->told != sender->queued)
		ret = wait_until(sender, &visit, sender->told + 1, true, deadline);
	kpost_sender_leave(sender, &visit);
	return ret;
}

KPOST_EXPORT int kpost_sender_flush(struct kpost_sender *sender, uint64_t deadline)
{
	struct kpost_visit visit;
	int ret;

	pthread_testcancel();
	kpost_sender_enter(sender, &visit);
	if (kpost_sender_inside(sender))
		ret = -EDEADLK;
	else
		ret = wait_until(sender, &visit, sender->queued, false, deadline);
	kpost_sender_leave(sender, &visit);
	return ret;
}
