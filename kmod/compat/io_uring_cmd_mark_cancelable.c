// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io_uring/cmd.h>

bool probe(struct io_uring_cmd *cmd, unsigned int issue_flags);
bool probe(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	return issue_flags & IO_URING_F_CANCEL && cmd_to_io_kiocb(cmd)->link &&
	       atomic_read(&current->io_uring->in_cancel);
}
