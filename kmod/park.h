/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What io_uring has waiting without a task, on kernels that can have it.
 *
 * A command was tried, and has to wait.  It is parked then.  What it waits for is had in two ways:
 *
 *  - A receive is in the mailbox's list, and is *told* of a message, not given it: until its ring's
 *    task runs the work that was added for it, and takes the message as any receiver does, that
 *    stays queued, and anybody may take it.  Tasks that wait come first.  As many are told as
 *    there are messages; one that was told, and finds none, is parked again.  A ring may never run
 *    its work, so after a while the next two are told as well, then four, and so on, as long as
 *    there is a message and somebody parked.
 *  - A sender, caller or collector is *given* what it waits for as a task is: it has a struct
 *    kpost_waiter, without a task, and whoever ends its wait needs nothing of it.  So messages that
 *    wait for room are in the order of all that do.
 *
 * Either way the work is added once, by whoever ends the wait under the mailbox's lock, and sets
 * waiter.done.  Only that work completes the command and lets go of what is here: a ring or task
 * that ends and asks for the command back ends its wait, no more.  (Some kernels that take it at
 * once do so in a thread that may not complete what is in a ring with IORING_SETUP_DEFER_TASKRUN.)
 *
 * The ring's lock is held from the time at which a command is tried until it is parked for good,
 * whenever its work runs, and when it is asked back, so neither of these comes to one that is half
 * parked.
 */
#ifndef KPOST_PARK_H
#define KPOST_PARK_H

#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "cancel.h"
#include "compat/compat.h"
#include "wait.h"

struct io_uring_cmd;
struct kpost_mailbox;
struct kpost_message;
struct kpost_operand;
struct kpost_parked;

struct kpost_parked_kind {
	bool goes_on; /* its wait has ended, and it may wait again, unless it is cancelled */
	/*
	 * With the mailbox's lock held, before the wait has ended: it is not to go on.  Returns
	 * what is to be discarded once the lock is dropped, or NULL.
	 */
	struct kpost_message *(*withdraw)(struct kpost_parked *parked, struct kpost_wakes *wakes);
	/*
	 * The wait has ended: returns the result, or -EIOCBQUEUED if it was parked again.  If its
	 * ring or task is @dead, no user memory is touched.
	 */
	long (*end)(struct kpost_parked *parked, bool dead, unsigned int issue_flags);
};

struct kpost_parked {
	struct kpost_cancellable wait;
	refcount_t refs; /* the command's, and of who cancels it */
	const struct kpost_parked_kind *kind; /* fixed, as are the next six */
	struct io_uring_cmd *cmd; /* holds the file */
	struct kpost_endpoint *endpoint;
	void __user *arg;
	unsigned int operation;
	bool fixed; /* the payload is in a registered buffer */
	ktime_t deadline; /* by the timer's clock, the kernel's, or 0 */
	struct hrtimer timer; /* if there is a deadline: queues the next */
	struct work_struct timeout;

	/* protected by the mailbox's lock */
	struct kpost_waiter waiter; /* of a receive: in parking->list unless done */
	int why; /* -ETIMEDOUT or -ECANCELED, if it is to end; read without the lock too */
	unsigned int round; /* of the parking, in which it was told */
	struct kpost_parked *next; /* of those whose wait one holder of the lock has ended */
};

/* Receives of one mailbox. */
struct kpost_parking {
	struct kpost_mailbox *mailbox; /* fixed */
	struct delayed_work nudge; /* tells more of them */
	unsigned int nudges; /* how often it has done so; its own */

	/* protected by the mailbox's lock */
	struct list_head list; /* of struct kpost_parked */
	unsigned int told; /* in this round: not in the list, until they have looked */
	unsigned int round; /* a new one begins with each nudge */
};

/* @op, if it waits: is that to be without a task? */
#define kpost_parks(op) \
	(KPOST_PARKS && (op)->cmd && kpost_compat_uring_parks((op)->cmd, (op)->issue_flags))

#ifdef KPOST_HAVE_IO_URING_CMD_MARK_CANCELABLE

#define KPOST_PARKS 1

struct kpost_parked *kpost_parked_new(const struct kpost_operand *op, size_t size,
				      const struct kpost_parked_kind *kind);
void kpost_parked_start(struct kpost_parked *parked, unsigned int issue_flags);
void kpost_parked_free(struct kpost_parked *parked);
int kpost_park_receive(const struct kpost_operand *op);
void kpost_parked_return(struct io_uring_cmd *cmd);

/* With the mailbox's lock held: is what @waiter is of to end, and why?  Else 0. */
static inline int kpost_parked_ends(const struct kpost_waiter *waiter)
{
	return container_of(waiter, struct kpost_parked, waiter)->why;
}

/* With the mailbox's lock held. */
void kpost_parked_given(struct kpost_waiter *waiter, struct kpost_wakes *wakes);
void kpost_parked_tell(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_parked_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);

/* Without. */
void kpost_parked_told(struct kpost_wakes *wakes);
void kpost_parking_free(struct kpost_mailbox *mailbox);

/* For KPOST_IOC_CANCEL, which has a reference meanwhile. */
struct kpost_parked *kpost_parked_get(struct kpost_cancellable *wait);
bool kpost_parked_cancel(struct kpost_parked *parked);

#else

#define KPOST_PARKS 0

static inline struct kpost_parked *kpost_parked_new(const struct kpost_operand *op, size_t size,
						    const struct kpost_parked_kind *kind)
{
	return NULL;
}

static inline void kpost_parked_start(struct kpost_parked *parked, unsigned int issue_flags)
{
}

static inline void kpost_parked_free(struct kpost_parked *parked)
{
}

static inline int kpost_park_receive(const struct kpost_operand *op)
{
	return -EAGAIN;
}

static inline void kpost_parked_return(struct io_uring_cmd *cmd)
{
}

static inline int kpost_parked_ends(const struct kpost_waiter *waiter)
{
	return 0;
}

static inline void kpost_parked_given(struct kpost_waiter *waiter, struct kpost_wakes *wakes)
{
}

static inline void kpost_parked_tell(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
}

static inline void kpost_parked_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes)
{
}

static inline void kpost_parked_told(struct kpost_wakes *wakes)
{
}

static inline void kpost_parking_free(struct kpost_mailbox *mailbox)
{
}

static inline struct kpost_parked *kpost_parked_get(struct kpost_cancellable *wait)
{
	return NULL;
}

static inline bool kpost_parked_cancel(struct kpost_parked *parked)
{
	return false;
}

#endif

#endif /* KPOST_PARK_H */
