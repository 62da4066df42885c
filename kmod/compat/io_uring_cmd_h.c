// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io_uring/cmd.h>

const void *probe(struct io_uring_cmd *cmd);
const void *probe(struct io_uring_cmd *cmd)
{
	return cmd->sqe->cmd;
}
