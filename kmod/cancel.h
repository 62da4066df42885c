/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waits that another thread of the process can end, with KPOST_IOC_CANCEL: those of operations
 * that have a cookie, and all of io_uring.
 *
 * One is in its process's tree only while it waits, so that nothing else pays for it.  To be
 * cancelled is to be told so: whoever waits wakes up, and takes itself off the list that it waits
 * in as at its deadline.  So there is no lock order between that tree and a mailbox, and what had
 * been handed over before is not lost.
 */
#ifndef KPOST_CANCEL_H
#define KPOST_CANCEL_H

#include <linux/rbtree.h>
#include <linux/types.h>

struct kpost_endpoint;
struct kpost_operand;
struct kpost_process;
struct task_struct;

struct kpost_cancellable {
	struct kpost_process *process; /* fixed, held */
	const struct kpost_endpoint *through; /* fixed; NULL is the device */
	u64 cookie; /* fixed */
	u64 serial; /* fixed: in the order in which they began to wait */
	struct task_struct *task; /* fixed: that waits; NULL if it is parked, see park.h */

	/* protected by process->lock */
	struct rb_node link; /* in process->waits, by the three above */
	bool cancelled; /* read without the lock by who waits */
};

int kpost_cancellable_prepare(struct kpost_cancellable *wait, const struct kpost_operand *op,
			      struct task_struct *task);
void kpost_cancellable_abandon(struct kpost_cancellable *wait);
void kpost_cancellable_begin(struct kpost_cancellable *wait);
bool kpost_cancellable_end(struct kpost_cancellable *wait);
long kpost_cancel(struct kpost_operand *op);

#endif /* KPOST_CANCEL_H */
