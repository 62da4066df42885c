/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting, and waking without a lock held.
 *
 * A waiter lives on the stack of the task that waits and hangs in somebody's
 * list.  Whoever has what it waits for takes it off that list, under the lock
 * of the list, and calls kpost_waiter_done(); from then on the waiter must not
 * be touched, since its task may return at once.  A task that gives up (signal,
 * deadline, cancelled, see cancel.h) takes the lock and looks once more: if the
 * waiter is done by then, that counts, else it takes itself off the list.  So there
 * is exactly one outcome, and nothing that was handed over is lost.
 *
 * Tasks to wake are collected in a struct kpost_wakes and woken after the lock
 * was dropped, so that they do not run into it.  It holds a few, which also
 * bounds what is done in one go: with more to do, @more says so, and whoever
 * drops the lock takes it again, see kpost_mailbox_unlock().
 */
#ifndef KPOST_WAIT_H
#define KPOST_WAIT_H

#include <linux/list.h>
#include <linux/poll.h>
#include <linux/sched.h>

struct kpost_call_state;
struct kpost_endpoint;
struct kpost_message;
struct kpost_operand;
struct kpost_parked;

struct kpost_waiter {
	struct list_head link; /* in the list it waits in (protected by its lock) */
	struct task_struct *task; /* NULL: it is parked, see park.h */
	bool done; /* set last, see kpost_waiter_done() */
	int result;
	size_t room; /* a receiver's: how long a message may be */
	size_t sure; /* likewise: for how much of it there is memory, as far as is known */
	union {
		struct kpost_message *message; /* handed to a receiver */
		struct kpost_call_state *call; /* that a collector is given, or waits for */
	};
	union {
		u64 sequence; /* of a sender's message, once it got in */
		u64 ticket; /* a receiver's, of a keyed mailbox: who has less has waited longer */
	};
};

struct kpost_wakes {
	union {
		struct {
			__poll_t events; /* what to tell those who poll */
			u8 count, woken; /* of @tasks */
			u8 arrivals; /* messages to tell of, if @events has EPOLLIN */
			u8 more : 1;
			u8 room : 1; /* those who poll @refused are told of it */
			u8 reply : 1; /* those who poll @caller are told of one */
			u8 parked : 1; /* there is one in @told, or more */
			u8 gone : 1; /* messages of the mailbox were replaced, see keyed.h */
		};
		u64 any; /* all of the above */
	};
	struct kpost_endpoint *refused, *caller; /* held */
	struct kpost_parked *told, *told_last; /* whose waits have ended */
	struct task_struct *tasks[8];
};

static inline void kpost_wakes_init(struct kpost_wakes *wakes)
{
	wakes->any = 0;
}

/* Room for one more?  Else note that there is more to do. */
static inline bool kpost_wakes_full(struct kpost_wakes *wakes)
{
	if (likely(wakes->count < ARRAY_SIZE(wakes->tasks)))
		return false;
	wakes->more = true;
	return true;
}

/* Is there nobody to wake or to tell? */
static inline bool kpost_wakes_none(const struct kpost_wakes *wakes)
{
	return !wakes->any;
}

static inline void kpost_waiter_init(struct kpost_waiter *waiter)
{
	*waiter = (struct kpost_waiter){ .task = current };
	INIT_LIST_HEAD(&waiter->link);
}

void kpost_waiter_done(struct kpost_waiter *waiter, int result, struct kpost_wakes *wakes);
int kpost_waiter_wait(struct kpost_waiter *waiter, struct kpost_operand *op);
void kpost_wakes_wake(struct kpost_wakes *wakes);
void kpost_wakes_put(struct kpost_wakes *wakes);

#endif /* KPOST_WAIT_H */
