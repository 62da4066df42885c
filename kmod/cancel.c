// SPDX-License-Identifier: GPL-2.0-only
#include "cancel.h"
#include "endpoint.h"
#include "park.h"
#include "process.h"
#include "wait.h"

/* How many are cancelled in one go. */
#define CANCEL_MAX ARRAY_SIZE(((struct kpost_wakes *)NULL)->tasks)

static int compare(const struct kpost_cancellable *a, const struct kpost_cancellable *b)
{
	if (a->through != b->through)
		return a->through < b->through ? -1 : 1;
	if (a->cookie != b->cookie)
		return a->cookie < b->cookie ? -1 : 1;
	return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static bool node_is_less(struct rb_node *a, const struct rb_node *b)
{
	return compare(rb_entry(a, struct kpost_cancellable, link),
		       rb_entry(b, struct kpost_cancellable, link)) < 0;
}

/* The first that comes after @at, or NULL. */
static struct kpost_cancellable *first_after(const struct kpost_process *process,
					     const struct kpost_cancellable *at)
{
	struct kpost_cancellable *found = NULL;
	struct rb_node *node = process->waits.rb_node;

	lockdep_assert_held(&process->lock);
	while (node) {
		struct kpost_cancellable *wait = rb_entry(node, struct kpost_cancellable, link);

		if (compare(wait, at) > 0) {
			found = wait;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/*
 * @task, or what is parked if that is NULL, is about to wait in the current task's @op, and can be
 * told not to.  Returns 0 or -ENOMEM.
 */
int kpost_cancellable_prepare(struct kpost_cancellable *wait, const struct kpost_operand *op,
			      struct task_struct *task)
{
	struct kpost_process *process = kpost_process_of_task(GFP_KERNEL_ACCOUNT);

	if (!process)
		return -ENOMEM;
	wait->process = process;
	wait->through = op->endpoint;
	wait->cookie = op->cookie;
	wait->task = task;
	wait->cancelled = false;
	return 0;
}

/* It does not wait, after all. */
void kpost_cancellable_abandon(struct kpost_cancellable *wait)
{
	kpost_process_put(wait->process);
}

/* From here on it can be told. */
void kpost_cancellable_begin(struct kpost_cancellable *wait)
{
	struct kpost_process *process = wait->process;

	spin_lock(&process->lock);
	wait->serial = ++process->last_wait;
	rb_add(&wait->link, &process->waits, node_is_less);
	spin_unlock(&process->lock);
}

/* It waits no more.  Returns whether it was cancelled. */
bool kpost_cancellable_end(struct kpost_cancellable *wait)
{
	struct kpost_process *process = wait->process;
	bool cancelled;

	spin_lock(&process->lock);
	rb_erase(&wait->link, &process->waits);
	cancelled = wait->cancelled;
	spin_unlock(&process->lock);
	kpost_process_put(process);
	return cancelled;
}

/*
 * Cancel the next after *@at with its cookie, or if @all with any, that began to wait no later
 * than @last; a few at a time.  Returns how many, and in *@more whether there may be others.
 */
static unsigned int cancel_some(struct kpost_process *process, struct kpost_cancellable *at,
				bool all, u64 last, bool *more)
{
	struct kpost_parked *parked[CANCEL_MAX];
	struct kpost_cancellable *wait;
	unsigned int i, count, n = 0;
	struct kpost_wakes wakes;

	kpost_wakes_init(&wakes);
	*more = true;
	spin_lock(&process->lock);
	for (i = 0; i < CANCEL_MAX; i++) {
		wait = first_after(process, at);
		if (!wait || wait->through != at->through || (!all && wait->cookie != at->cookie)) {
			*more = false;
			break;
		}
		at->cookie = wait->cookie;
		at->serial = wait->serial;
		if (wait->serial > last || wait->cancelled)
			continue;
		/* Pairs with the look in waiter_sleep(), by way of the barriers of waking. */
		WRITE_ONCE(wait->cancelled, true);
		if (wait->task)
			wakes.tasks[wakes.count++] = get_task_struct(wait->task);
		else
			parked[n++] = kpost_parked_get(wait);
	}
	spin_unlock(&process->lock);
	count = wakes.count;
	while (n)
		count += kpost_parked_cancel(parked[--n]);
	kpost_wakes_wake(&wakes);
	kpost_wakes_put(&wakes);
	return count;
}

long kpost_cancel(struct kpost_operand *op)
{
	struct kpost_cancellable at = { .through = op->endpoint };
	struct kpost_process *process;
	struct kpost_cancel arg;
	long count = 0;
	bool more;
	u64 last;
	int err;

	err = kpost_struct_get(op, &arg, reserved);
	if (err)
		return err;
	if (arg.flags || arg.reserved)
		return -EINVAL;
	process = kpost_process_find();
	if (process) {
		at.cookie = arg.cookie;
		spin_lock(&process->lock);
		last = process->last_wait;
		spin_unlock(&process->lock);
		do {
			count += cancel_some(process, &at, !arg.cookie, last, &more);
			cond_resched();
		} while (more);
		kpost_process_put(process);
	}
	return count || !arg.cookie ? count : -ENOENT;
}
