/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Those who poll, in masses too.
 *
 * Anybody who may open a mailbox can hang any number of watches on it, and a wait queue
 * is walked with interrupts disabled.  So whoever has something to tell does a bounded
 * part of it, such that an event loop hears at once, and leaves the rest to a work item
 * that no processor is bound to.  That takes the lock of the queue anew every few entries,
 * and walks a long queue only now and then.  What comes while it is on its way or waits is
 * told by one more walk: nobody misses the last one.
 *
 * A few watches can be much work, since an epoll instance can be watched itself.  So the
 * time counts as well: those who take long to tell, again and again, are left to the work
 * for many times as long, and the work rests.  For those who poll for room that goes by who
 * opened the endpoint, on all of that user's together.
 */
#ifndef KPOST_POLLERS_H
#define KPOST_POLLERS_H

#include <linux/list.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* What is told to all, and not only to one of those who asked to be woken exclusively. */
#define KPOST_POLL_END (EPOLLHUP | EPOLLRDHUP | EPOLLERR)
/* Likewise: a reply is one process's, and who polls for which is not known. */
#define KPOST_POLL_ALL (KPOST_POLL_END | EPOLLPRI)

/*
 * Tells, in a work, those who were not told at once, one queue of them after the other.  A queue
 * that took long the last time comes after all others, and waits until the work has rested.
 */
struct kpost_teller {
	/* Races between those who set these three do no harm. */
	unsigned long later; /* in jiffies: until then all is left to the work */
	unsigned long rest; /* likewise: which tells no slow queue until then */
	u32 debt; /* nanoseconds that telling took at once, less what each time may take */

	spinlock_t lock; /* a leaf; protects what follows */
	struct list_head quick, slow; /* of struct kpost_pollers, that are owed something */
	struct kpost_pollers *at; /* the work is at it; read without the lock too */
	struct delayed_work work; /* queued with the lock held */
};

struct kpost_pollers {
	struct wait_queue_head wait;
	struct kpost_teller *teller; /* fixed */
	struct list_head link; /* in a list of the teller's (protected by teller->lock) */
	__poll_t events; /* that the teller has still to tell of (likewise) */
	unsigned int times : 31; /* how often; so many exclusive ones are told (likewise) */
	unsigned int slow : 1; /* to tell them took the work long (likewise) */
	/* Called, if given, by the work when it told an exclusive one, and others are not. */
	void (*one_told)(struct kpost_pollers *pollers);
};

enum kpost_told {
	KPOST_TOLD_ALL,
	KPOST_TOLD_ONE, /* an exclusive one, or as many as it was owed, and those before */
	KPOST_TOLD_SOME, /* or none: for kpost_pollers_owe() */
};

void kpost_teller_init(struct kpost_teller *teller);
void kpost_teller_exit(struct kpost_teller *teller);

void kpost_pollers_init(struct kpost_pollers *pollers, struct kpost_teller *teller,
			void (*one_told)(struct kpost_pollers *pollers));
void kpost_pollers_exit(struct kpost_pollers *pollers);

enum kpost_told kpost_pollers_tell(struct kpost_pollers *pollers, __poll_t events,
				   unsigned int *exclusive);
void kpost_pollers_owe(struct kpost_pollers *pollers, __poll_t events, unsigned int times);
void kpost_pollers_flush(void);
bool kpost_pollers_queue(struct work_struct *work);
void kpost_delayed_queue(struct delayed_work *work, unsigned long delay);

int kpost_pollers_start(void);
void kpost_pollers_stop(void);

#endif /* KPOST_POLLERS_H */
