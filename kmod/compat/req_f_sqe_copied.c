// SPDX-License-Identifier: GPL-2.0-only
#include <linux/io_uring_types.h>

bool probe(const struct io_kiocb *req);
bool probe(const struct io_kiocb *req)
{
	return req->flags & REQ_F_SQE_COPIED;
}
