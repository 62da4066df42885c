// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations as io_uring commands.
 *
 * A command is tried at once.  One that would have to wait is left to a worker of
 * io_uring's (-EAGAIN tells it so), which waits in the mailbox's lists as any
 * task does and so is served and withdrawn as any task is.  The other way, to keep
 * the command in those lists without a task, cannot be had whole: the kernel tells
 * a driver of cancellation at the exit of a ring or task only, so that neither
 * IORING_OP_ASYNC_CANCEL nor a link timeout would reach it.  And what io_uring
 * itself completes, it completes once.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "compat/compat.h"
#include "endpoint.h"

int kpost_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct kpost_uring *entry = kpost_compat_uring_arg(cmd);
	/* The entry may be shared with user space: each field is read once. */
	struct kpost_uring uring = {
		.arg = READ_ONCE(entry->arg),
		.reserved = READ_ONCE(entry->reserved),
	};
	const struct kpost_fixed fixed = { .cmd = cmd, .issue_flags = issue_flags };
	struct kpost_operand op = {
		.endpoint = cmd->file->private_data,
		.arg = u64_to_user_ptr(uring.arg),
		.nowait = issue_flags & IO_URING_F_NONBLOCK || cmd->file->f_flags & O_NONBLOCK,
		.ring = true,
		.trial = issue_flags & IO_URING_F_NONBLOCK,
		.fixed = cmd->flags & IORING_URING_CMD_FIXED ? &fixed : NULL,
	};
	long ret;

	if (uring.reserved || kpost_compat_uring_user_flags(cmd) & ~IORING_URING_CMD_FIXED)
		return -EINVAL;
	if (uring.arg > ULONG_MAX)
		return -EFAULT;
	ret = kpost_operate(&op, cmd->cmd_op);
	switch (ret) {
	case -EAGAIN:
		if (op.dontwait || !kpost_compat_uring_keep(cmd, &uring, sizeof(uring)))
			break;
		return ret;
	case -ERESTARTSYS:
	case -EINTR:
		/* Cancelling a worker interrupts it without a signal. */
		return test_thread_flag(TIF_SIGPENDING) ? -EINTR : -ECANCELED;
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
