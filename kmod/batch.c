// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "batch.h"
#include "endpoint.h"

/* Read the struct of a batch.  Returns 0, or -EFAULT, -E2BIG, -EINVAL. */
int kpost_batch_get(struct kpost_operand *op, struct kpost_batch *arg, size_t entry_size_1)
{
	int err = kpost_struct_get_back(op, arg, cookie);

	if (err)
		return err;
	if (unlikely(arg->flags & ~KPOST_DONTWAIT)) {
		if (arg->flags & ~(KPOST_DONTWAIT | KPOST_CLOCK_FLAGS) ||
		    !kpost_clock_flags_ok(arg->flags))
			return -EINVAL;
		op->clock = kpost_clock_of(arg->flags);
	}
	if (!arg->count || arg->count > KPOST_BATCH_MAX || arg->entry_size < entry_size_1 ||
	    arg->entry_size > KPOST_STRUCT_MAX || arg->deadline > S64_MAX)
		return -EINVAL;
	if (!kpost_range_ok(arg->entries, (u64)arg->count * arg->entry_size))
		return -EFAULT;
	op->dontwait = arg->flags & KPOST_DONTWAIT;
	op->deadline = arg->deadline;
	op->cookie = arg->cookie;
	return 0;
}

/*
 * Do @arg in rounds, but the first *@done entries, which were done.  A round does what it can of
 * the next entries, says how many those were, and returns 0, or 1 if there is nothing more to do,
 * or -errno for the entry behind them.  So does this.
 */
int kpost_batch_do(struct kpost_operand *op, const struct kpost_batch *arg, unsigned int *done,
		   int (*round)(struct kpost_rounds *rounds, unsigned int *done))
{
	struct kpost_rounds rounds;
	unsigned int n;
	int err = 0;

	rounds.op = op;
	rounds.entry = *op;
	rounds.entry.arg = u64_to_user_ptr(arg->entries) + *done * arg->entry_size;
	rounds.entry.size = arg->entry_size;
	rounds.entry.nowait = op->nowait || op->dontwait;
	rounds.entry.cmd = NULL;
	rounds.left = arg->count - *done;
	rounds.most = KPOST_ROUND;
	rounds.first = true;
	while (!err && rounds.left) {
		n = 0;
		err = round(&rounds, &n);
		*done += n;
		rounds.entry.arg += n * rounds.entry.size;
		rounds.left -= n;
		rounds.first = false;
		cond_resched();
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
	}
	op->receives = rounds.entry.receives;
	return err;
}

/* What the operation returns, after *@done entries and @err. */
long kpost_batch_end(const struct kpost_operand *op, unsigned int done, int err)
{
	struct kpost_batch __user *to = op->arg;

	if (!done)
		return err;
	/* What was done is done, whether it can be told or not. */
	err = err == -ERESTARTSYS ? -EINTR : min(err, 0);
	(void)put_user(err, &to->error);
	return done;
}
