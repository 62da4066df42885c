/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that have received calls, or made some that they do not wait for, so that these
 * end with them.
 *
 * An open call belongs to the process that received it.  If that ends before it has replied the
 * call is reset, though somebody else may still have the endpoint; and one that it has made is
 * given up.  A process's end is told on the wait queue of its struct pid, which is what pidfds are
 * polled on; flush() of a file is not told of it.  There is one entry there for a process, however
 * many calls it has: who waits there makes the end of the process longer for all.
 *
 * To the kernel a process has not ended while a debugger has yet to see the end of one of its
 * threads, and neither has it here.
 */
#ifndef KPOST_PROCESS_H
#define KPOST_PROCESS_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/pid.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct kpost_endpoint;

struct kpost_process {
	/* Its calls', holds', callers', waits', its endpoints' that received last, its work's. */
	refcount_t refs;
	struct rb_node link; /* in processes (protected by processes_lock) */
	struct pid *pid; /* fixed, held: of the thread group */
	struct wait_queue_entry wait; /* in pid->wait_pidfd */
	struct work_struct work;
	atomic_t told; /* 1: the work is to look; it has a reference then */
	spinlock_t lock; /* a leaf, below mailbox->lock */
	struct list_head calls; /* received, of struct kpost_call_state (protected by lock) */
	struct list_head holds; /* likewise: what it holds, of struct kpost_hold */
	struct list_head callers; /* likewise: who made calls, of struct kpost_caller */
	struct rb_root waits; /* likewise: that can be cancelled, see cancel.h */
	u64 last_wait; /* likewise: the number of the last that began */
};

struct kpost_process *kpost_process_find(void);
struct kpost_process *kpost_process_of_task(gfp_t gfp);
struct kpost_process *kpost_process_get(struct kpost_endpoint *endpoint, gfp_t gfp);
void kpost_process_put(struct kpost_process *process);

void kpost_processes_exit(void);

#endif /* KPOST_PROCESS_H */
