// SPDX-License-Identifier: GPL-2.0-only
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "hold.h"
#include "pollers.h"
#include "process.h"

static DEFINE_SPINLOCK(processes_lock);
static struct rb_root processes = RB_ROOT; /* by the address of their struct pid */

static int process_compare(const void *key, const struct rb_node *node)
{
	const struct pid *pid = key, *its = rb_entry(node, struct kpost_process, link)->pid;

	return pid < its ? -1 : pid > its;
}

static int process_compare_nodes(struct rb_node *node, const struct rb_node *other)
{
	return process_compare(rb_entry(node, struct kpost_process, link)->pid, other);
}

/* The entry of the process that the task is in, with a reference, or NULL if it has none. */
struct kpost_process *kpost_process_find(void)
{
	struct pid *pid = task_tgid(current);
	struct kpost_process *process = NULL;
	struct rb_node *node;

	spin_lock(&processes_lock);
	node = rb_find(pid, &processes, process_compare);
	if (node) {
		process = rb_entry(node, struct kpost_process, link);
		refcount_inc(&process->refs);
	}
	spin_unlock(&processes_lock);
	return process;
}

void kpost_process_put(struct kpost_process *process)
{
	bool last;

	if (!process || refcount_dec_not_one(&process->refs))
		return;
	spin_lock(&processes_lock);
	if (!refcount_dec_and_test(&process->refs)) {
		spin_unlock(&processes_lock);
		return;
	}
	rb_erase(&process->link, &processes);
	last = RB_EMPTY_ROOT(&processes);
	spin_unlock(&processes_lock);
	/* process_told() may run until then, but finds no reference to add to. */
	remove_wait_queue(&process->pid->wait_pidfd, &process->wait);
	put_pid(process->pid);
	kfree(process);
	/* Pairs with the look in kpost_processes_exit(). */
	if (last)
		wake_up_var(&processes);
}

/* Has every thread of it ended?  It is told of what is not its end, too. */
static bool process_has_ended(const struct kpost_process *process)
{
	struct task_struct *leader;
	bool ended;

	rcu_read_lock();
	leader = pid_task(process->pid, PIDTYPE_TGID);
	ended = !leader || (READ_ONCE(leader->exit_state) && thread_group_empty(leader));
	rcu_read_unlock();
	return ended;
}

static void process_work(struct work_struct *work)
{
	struct kpost_process *process = container_of(work, struct kpost_process, work);

	/* Orders the look after it; pairs with the one in process_told(). */
	atomic_xchg(&process->told, 0);
	if (process_has_ended(process)) {
		while (kpost_call_reset_first(process) || kpost_hold_return_first(process) ||
		       kpost_caller_end_first(process))
			cond_resched();
	}
	kpost_process_put(process);
}

/*
 * The process ends, or something that is told at the same place.  Called with tasklist_lock
 * held, and on some kernels more of the task's locks, and without PREEMPT_RT with interrupts
 * off: all else is left to the work, which has a reference of its own.
 */
static int process_told(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	struct kpost_process *process = container_of(wait, struct kpost_process, wait);

	/* Orders what is told before it. */
	if (!atomic_xchg(&process->told, 1) && refcount_inc_not_zero(&process->refs))
		kpost_pollers_queue(&process->work);
	return 0;
}

/* The same, or a fresh one; NULL if there is no memory. */
struct kpost_process *kpost_process_of_task(gfp_t gfp)
{
	struct pid *pid = task_tgid(current);
	struct kpost_process *process = kpost_process_find(), *fresh;
	struct rb_node *node;

	if (process)
		return process;
	fresh = kzalloc(sizeof(*fresh), gfp);
	if (!fresh)
		return NULL;
	refcount_set(&fresh->refs, 1);
	fresh->pid = get_pid(pid);
	init_waitqueue_func_entry(&fresh->wait, process_told);
	INIT_WORK(&fresh->work, process_work);
	spin_lock_init(&fresh->lock);
	INIT_LIST_HEAD(&fresh->calls);
	INIT_LIST_HEAD(&fresh->holds);
	INIT_LIST_HEAD(&fresh->callers);
	fresh->waits = RB_ROOT;
	spin_lock(&processes_lock);
	node = rb_find_add(&fresh->link, &processes, process_compare_nodes);
	if (node) {
		process = rb_entry(node, struct kpost_process, link);
		refcount_inc(&process->refs);
	}
	spin_unlock(&processes_lock);
	if (process) {
		put_pid(pid);
		kfree(fresh);
		return process;
	}
	/* Others may use it by now, but the process does not end before the task has done this. */
	add_wait_queue(&pid->wait_pidfd, &fresh->wait);
	return fresh;
}

/*
 * The same for a call that it is about to receive through @endpoint, which keeps it for the next.
 */
struct kpost_process *kpost_process_get(struct kpost_endpoint *endpoint, gfp_t gfp)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_process *process, *old;

	spin_lock(&mailbox->lock);
	process = endpoint->receiver;
	if (likely(process && process->pid == task_tgid(current))) {
		refcount_inc(&process->refs);
		spin_unlock(&mailbox->lock);
		return process;
	}
	spin_unlock(&mailbox->lock);

	process = kpost_process_of_task(gfp);
	if (!process)
		return NULL;
	refcount_inc(&process->refs);
	spin_lock(&mailbox->lock);
	old = endpoint->receiver;
	endpoint->receiver = process;
	spin_unlock(&mailbox->lock);
	kpost_process_put(old);
	return process;
}

static bool processes_are_none(void)
{
	bool none;

	spin_lock(&processes_lock);
	none = RB_EMPTY_ROOT(&processes);
	spin_unlock(&processes_lock);
	return none;
}

/* No endpoint is left: wait until no work has an entry, after which none is queued any more. */
void kpost_processes_exit(void)
{
	wait_var_event(&processes, processes_are_none());
}
