// SPDX-License-Identifier: MIT
/* Operations as entries of the caller's own ring. */
#include <liburing.h>
#include <string.h>

#include "internal.h"

_Static_assert(sizeof(struct kpost_uring) == 16, "what an ordinary entry has room for");

KPOST_EXPORT void kpost_prep(struct io_uring_sqe *sqe, int fd, unsigned int operation,
			     const void *arg)
{
	const struct kpost_uring cmd = { .arg = kpost_address(arg) };

	/* What io_uring_get_sqe() clears, and what is left to prep, changes with liburing. */
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = operation;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
}

KPOST_EXPORT void kpost_sqe_set_fixed_buffer(struct io_uring_sqe *sqe, unsigned int index)
{
	/* rw_flags is where the kernel looks for the flags of a command. */
	sqe->rw_flags |= (__kernel_rwf_t)IORING_URING_CMD_FIXED;
	sqe->buf_index = (__u16)index;
}
