/* SPDX-License-Identifier: MIT */
/*
 * What the sender's files share.
 *
 * sender.c has its life and what a program calls without waiting, sender_chain.c moves
 * messages through the ring, sender_wait.c is how threads wait for them.
 *
 * A sender's messages live in a circle of slots and move through it in the order they
 * were queued:
 *
 *	taken <= done <= sent <= queued		(counts, slot = count % depth)
 *
 *	[taken, done)	finished, to be collected or reported to the callback
 *	[done, sent)	the batch in flight
 *	[sent, queued)	waiting to be started
 *
 * The lock protects all of it, and is not held while the callback runs: one thread
 * reports at a time (reporting), and whatever is done meanwhile is left to it.  A message
 * is taken before its callback, so that this can queue the next one in its slot, and told
 * after it, which is what the others wait for.
 *
 * Of the threads that wait, one leads: it reads the event, which the kernel signals for
 * each completion.  The others follow: they wait for the futex progress.  Whoever makes
 * progress, or leaves the lead, announces it to both kinds.
 */
#ifndef KPOST_SENDER_H
#define KPOST_SENDER_H

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>

#include "internal.h"

struct kpost_slot {
	struct kpost_send arg; /* the kernel reads it until the completion */
	void *cookie;
	void *buf;
	size_t room; /* bytes of buf */
	int result;
	bool returned; /* result is set */
	unsigned int tries; /* that the same thread made in vain */
	uint64_t tried; /* the first of them, in nanoseconds */
	uint64_t tried_by; /* the thread that made the last one */
};

struct kpost_sender {
	pthread_mutex_t lock; /* protects all that changes */
	struct io_uring ring;
	struct io_uring clock; /* the leader's deadline; told of by the event too */
	int event; /* told of each completion by the ring */
	unsigned int depth;
	unsigned int batch;
	kpost_sent_fn callback;
	void *callback_arg;
	uint64_t taken, done, sent, queued;
	uint64_t told; /* done, and if there is a callback, it has returned */
	uint64_t wanted; /* start batches that are not full up to here */
	unsigned int in_flight; /* messages whose completion is to come */
	bool full; /* the mailbox was: the next ones wait */
	bool mailbox; /* there is one, so that what waits is to be left to workers */
	bool parks; /* or they are not needed */
	struct kpost_batch arg; /* the batch, if it does not wait; the kernel's until it is over */
	struct kpost_cancel cancel; /* of what waits; likewise */
	struct kpost_send *entries; /* likewise: of its messages */
	uint64_t submitter; /* the thread that started what is in flight */
	bool reporting;
	pthread_t reporter; /* if reporting */
	bool stop_on_error; /* KPOST_SENDER_STOP */
	bool stopping; /* nothing more is started: being freed, or stopped by an error */
	bool freeing;
	bool cleared; /* the event, which others may still have to see */
	uint64_t cancelled; /* messages reported so */
	unsigned int visitors; /* threads in one of the functions */
	bool led; /* there is a leader */
	bool asleep; /* it reads the event */
	bool roused; /* and has not yet seen that it was set for it */
	unsigned int followers; /* that wait for progress */
	uint32_t progress; /* a futex */
	uint64_t alarms; /* how many deadlines the clock was set to */
	struct kpost_slot slots[];
};

/* What a thread brings into a function of the sender and takes away unchanged. */
struct kpost_visit {
	int error;
	int cancel_state;
};

/*
 * Every function is between these: with the lock, or where nobody else has the sender.
 * The thread is not cancelled inside, or it would leave the sender half changed, but
 * where it waits in _wait and _flush, which see to it.
 */
void kpost_sender_enter(struct kpost_sender *sender, struct kpost_visit *visit);
void kpost_sender_leave(struct kpost_sender *sender, const struct kpost_visit *visit);
void kpost_visit_begin(struct kpost_visit *visit);
void kpost_visit_end(const struct kpost_visit *visit);

/* Whether this thread is inside the callback. */
bool kpost_sender_inside(const struct kpost_sender *sender);

static inline struct kpost_slot *kpost_slot_of(struct kpost_sender *sender, uint64_t count)
{
	return &sender->slots[count % sender->depth];
}

/*
 * Do everything that can be done without waiting, but for callbacks.  Returns 0 or -errno
 * of io_uring_submit().
 */
int kpost_sender_advance(struct kpost_sender *sender);
/* The same with callbacks, during which the lock is let go of. */
int kpost_sender_run(struct kpost_sender *sender);
/* Read what the ring has completed. */
void kpost_sender_drain(struct kpost_sender *sender);
/* Cancel what waits in the mailbox's line; that it was is read later. */
void kpost_sender_cancel_parked(struct kpost_sender *sender);
/* Undo entries that the kernel did not take; without SQPOLL it never looks again. */
void kpost_ring_rewind(struct io_uring *ring);

void kpost_event_clear(struct kpost_sender *sender);
void kpost_event_set(struct kpost_sender *sender);

/* Make every thread that waits look again. */
void kpost_sender_announce(struct kpost_sender *sender);
/* Wait until all other threads have left; the lock is let go of meanwhile. */
void kpost_sender_await_visitors(struct kpost_sender *sender);

#endif /* KPOST_SENDER_H */
