// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations as io_uring commands.
 *
 * A command is tried at once.  A receive, a send or a call that has to wait is parked, see park.h,
 * where the kernel can have that.  Any other, and one that was submitted with IOSQE_ASYNC, is left
 * to a worker of io_uring's (-EAGAIN tells it so), which waits in the mailbox's lists as any task
 * does and so is served and withdrawn as any task is.  IORING_OP_ASYNC_CANCEL reaches what a
 * worker does, and not what is parked, since the kernel tells a driver of the exit of a ring or a
 * task only.  Nor does a link timeout, so what has one is not parked.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "compat/compat.h"
#include "endpoint.h"
#include "park.h"

/* Do @op.  Returns as kpost_operate(), but what interrupts it is -EINTR, or -ECANCELED. */
long kpost_uring_operate(struct kpost_operand *op, unsigned int operation)
{
	long ret = kpost_operate(op, operation);

	/* Cancelling a worker interrupts it without a signal. */
	if (ret == -ERESTARTSYS || ret == -EINTR)
		return test_thread_flag(TIF_SIGPENDING) ? -EINTR : -ECANCELED;
	return ret;
}

int kpost_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct kpost_uring *entry;
	struct kpost_uring uring;
	const struct kpost_fixed fixed = { .cmd = cmd, .issue_flags = issue_flags };
	struct kpost_operand op = {
		.endpoint = cmd->file->private_data,
		.nowait = issue_flags & IO_URING_F_NONBLOCK || cmd->file->f_flags & O_NONBLOCK,
		.ring = true,
		.trial = issue_flags & IO_URING_F_NONBLOCK && !(cmd->file->f_flags & O_NONBLOCK),
		.fixed = cmd->flags & IORING_URING_CMD_FIXED ? &fixed : NULL,
		.cmd = cmd->file->f_flags & O_NONBLOCK ? NULL : cmd,
		.issue_flags = issue_flags,
	};
	long ret;

	if (kpost_compat_uring_returns(issue_flags)) {
		kpost_parked_return(cmd);
		return 0;
	}
	/* The entry may be shared with user space: each field is read once. */
	entry = kpost_compat_uring_arg(cmd);
	uring.arg = READ_ONCE(entry->arg);
	uring.reserved = READ_ONCE(entry->reserved);
	if (uring.reserved || kpost_compat_uring_user_flags(cmd) & ~IORING_URING_CMD_FIXED)
		return -EINVAL;
	if (uring.arg > ULONG_MAX)
		return -EFAULT;
	op.arg = u64_to_user_ptr(uring.arg);
	ret = kpost_uring_operate(&op, cmd->cmd_op);
	if (ret == -EAGAIN && op.trial && !op.dontwait) {
		if (op.receives && kpost_parks(&op))
			return kpost_park_receive(&op);
		if (kpost_compat_uring_keep(cmd, &uring, sizeof(uring)))
			return ret;
	}
	if (ret <= 0 && ret != -EAGAIN)
		return ret;
	/*
	 * A positive result, returned as such, is an error to some kernels and
	 * breaks a chain; -EAGAIN would be tried again.
	 */
	kpost_compat_uring_done(cmd, ret, issue_flags);
	return -EIOCBQUEUED;
}
