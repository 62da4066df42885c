/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Receives of io_uring that wait without a task, on kernels that can have it.
 *
 * A receive that was tried and found nothing is parked in the mailbox's list.  It is told of a
 * message, not given it: until its ring's task runs the work that was added for it, and takes the
 * message as any receiver does, that stays queued, and anybody may take it.  Tasks that wait come
 * first.  As many are told as there are messages; one that was told, and finds none, is parked
 * again.  A ring may never run its work, so after a while the next two are told as well, then four,
 * and so on, as long as there is a message and somebody parked.
 *
 * A parked one is in the list or told, never both.  Whoever takes it off the list, under the
 * mailbox's lock, tells it, which is what adds the work; so there is one at most, and only that
 * completes the command and lets go of what is here.  But for one thing: a ring or task that ends
 * asks for the command back, with the ring's lock held, and gets it at once if it was not told.
 */
#ifndef KPOST_PARK_H
#define KPOST_PARK_H

#include <linux/list.h>
#include <linux/types.h>

struct io_uring_cmd;
struct kpost_cancellable;
struct kpost_mailbox;
struct kpost_operand;
struct kpost_parked;
struct kpost_wakes;
struct work_struct;

#ifdef KPOST_HAVE_IO_URING_CMD_MARK_CANCELABLE

#define KPOST_PARKS KPOST_FEATURE_URING_PARK

bool kpost_park(struct io_uring_cmd *cmd, const struct kpost_operand *op, unsigned int issue_flags);
void kpost_parked_return(struct io_uring_cmd *cmd, unsigned int issue_flags);

/* With the mailbox's lock held. */
void kpost_parked_tell(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);
void kpost_parked_finish(struct kpost_mailbox *mailbox, struct kpost_wakes *wakes);

/* Without. */
void kpost_parked_told(struct kpost_wakes *wakes);
void kpost_parked_nudge(struct work_struct *work);

/* For KPOST_IOC_CANCEL, which has a reference meanwhile. */
struct kpost_parked *kpost_parked_get(struct kpost_cancellable *wait);
void kpost_parked_cancel(struct kpost_parked *parked);

#else

#define KPOST_PARKS 0

static inline bool kpost_park(struct io_uring_cmd *cmd, const struct kpost_operand *op,
			      unsigned int issue_flags)
{
	return false;
}

static inline void kpost_parked_return(struct io_uring_cmd *cmd, unsigned int issue_flags)
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

static inline void kpost_parked_nudge(struct work_struct *work)
{
}

static inline struct kpost_parked *kpost_parked_get(struct kpost_cancellable *wait)
{
	return NULL;
}

static inline void kpost_parked_cancel(struct kpost_parked *parked)
{
}

#endif

#endif /* KPOST_PARK_H */
