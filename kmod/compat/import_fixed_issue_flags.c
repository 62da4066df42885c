// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io_uring/cmd.h>

int probe(struct io_uring_cmd *cmd, struct iov_iter *iter);
int probe(struct io_uring_cmd *cmd, struct iov_iter *iter)
{
	return io_uring_cmd_import_fixed(0, 0, 0, iter, cmd, 0);
}
