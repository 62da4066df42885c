// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "cancel.h"
#include "clock.h"
#include "endpoint.h"
#include "park.h"
#include "trace.h"
#include "wait.h"

/*
 * End the wait of @waiter with @result.  The caller holds the lock of the list
 * that the waiter was in, and has taken it off; @wakes is not full.
 */
void kpost_waiter_done(struct kpost_waiter *waiter, int result, struct kpost_wakes *wakes)
{
	waiter->result = result;
	if (unlikely(!waiter->task)) {
		kpost_parked_given(waiter, wakes);
		return;
	}
	wakes->tasks[wakes->count++] = get_task_struct(waiter->task);
	/*
	 * Pairs with the acquire in kpost_waiter_wait(): its task reads the
	 * result, and a message handed over with it, without a lock.  After this
	 * store the waiter may be gone; the task is held.
	 */
	smp_store_release(&waiter->done, true);
}

/* As kpost_waiter_wait(), until *@cancelled, if given. */
static int waiter_sleep(struct kpost_waiter *waiter, const struct kpost_operand *op,
			const bool *cancelled)
{
	u64 deadline = op ? op->deadline : 0;
	ktime_t expires = deadline ? kpost_deadline_on_host(deadline, op->clock) : 0;
	int err = 0;

	trace_kpost_block(deadline);
	for (;;) {
		/*
		 * The barrier pairs with the one in wake_up_process().  Suspend
		 * freezes the task where it is: no wait ends for that.
		 */
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		/* Pairs with the release in kpost_waiter_done(). */
		if (smp_load_acquire(&waiter->done))
			break;
		if (unlikely(cancelled && READ_ONCE(*cancelled))) {
			err = -ECANCELED;
			break;
		}
		if (signal_pending(current)) {
			err = -ERESTARTSYS;
			break;
		}
		if (!deadline) {
			schedule();
		} else if (!schedule_hrtimeout_range_clock(&expires, current->timer_slack_ns,
							   HRTIMER_MODE_ABS,
							   kpost_clock_id(op->clock))) {
			err = -ETIMEDOUT;
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	trace_kpost_wake(err);
	return err;
}

/*
 * Wait until @waiter is done, in @op, if given, no longer than that has a deadline.  Returns 0
 * then, else -ETIMEDOUT, -ERESTARTSYS, -ECANCELED or -ENOMEM, after which the caller takes the lock
 * and looks at waiter->done again.
 */
int kpost_waiter_wait(struct kpost_waiter *waiter, struct kpost_operand *op)
{
	struct kpost_cancellable wait __uninitialized;
	int err;

	if (likely(!op || !(op->cookie || op->ring)))
		return waiter_sleep(waiter, op, NULL);
	/* It was, while it was given what it waited for then. */
	if (op->cancelled)
		return -ECANCELED;
	err = kpost_cancellable_prepare(&wait, op, current);
	if (err)
		return err;
	kpost_cancellable_begin(&wait);
	err = waiter_sleep(waiter, op, &wait.cancelled);
	op->cancelled = kpost_cancellable_end(&wait);
	/* Whoever cancelled it counts on that, whatever else came at the same time. */
	return err && op->cancelled ? -ECANCELED : err;
}

/* Wake the tasks that were collected, and are still to be let go of. */
void kpost_wakes_wake(struct kpost_wakes *wakes)
{
	while (wakes->woken < wakes->count)
		wake_up_process(wakes->tasks[wakes->woken++]);
}

/* Let go of the tasks that were woken, and begin anew. */
void kpost_wakes_put(struct kpost_wakes *wakes)
{
	unsigned int i;

	for (i = 0; i < wakes->count; i++)
		put_task_struct(wakes->tasks[i]);
	kpost_wakes_init(wakes);
}
