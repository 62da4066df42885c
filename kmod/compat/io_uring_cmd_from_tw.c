// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io_uring/cmd.h>

struct io_uring_cmd *probe(struct io_tw_req work);
struct io_uring_cmd *probe(struct io_tw_req work)
{
	return io_uring_cmd_from_tw(work);
}
