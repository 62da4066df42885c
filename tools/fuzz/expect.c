// SPDX-License-Identifier: GPL-2.0-only
/*
 * The errors that an operation may return: those that linux/kpost.h names for it,
 * and those of the way that it went.
 */
#include <errno.h>

#include "machine.h"

#define ERRORS_MAX 18

static const int general[ERRORS_MAX] = { EBADF, ENOTTY, EFAULT, EINVAL, E2BIG };

static const int errors[KIND_COUNT][ERRORS_MAX] = {
	[OP_OPEN] = { EACCES, EAGAIN, EEXIST, ENAMETOOLONG, ENOENT, ETIMEDOUT, EINTR, EDQUOT,
		      ENOSPC, EMFILE, ENOMEM, ECANCELED, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS },
	[OP_UNLINK] = { EACCES, ENAMETOOLONG, ENOENT, ENOMEM, EROFS },
	[OP_LIST] = { EINTR, ENAMETOOLONG },
	[OP_SEND] = { EAGAIN, ECANCELED, EDQUOT, EINTR, EMSGSIZE, ENOBUFS, ENOENT, ENOMEM, ENXIO,
		      EPERM, EPIPE, ETIMEDOUT },
	[OP_RECV] = { EAGAIN, EBUSY, ECANCELED, EDQUOT, ENOBUFS, EINTR, EMSGSIZE, ENOMEM, EPIPE,
		      ETIMEDOUT },
	[OP_CALL] = { EAGAIN, ECANCELED, ECONNRESET, EDQUOT, EINTR, EMSGSIZE, ENOBUFS, ENOENT,
		      ENOMEM, ENXIO, EPIPE, ETIMEDOUT },
	[OP_REPLY] = { EBUSY, ECANCELED, EDQUOT, EMSGSIZE, ENOBUFS, ENOENT, ENOMEM },
	[OP_REPLY_RECV] = { EBUSY, ECANCELED, EMSGSIZE, ENOENT, ENOMEM, EAGAIN, EINTR, EPIPE,
			    ETIMEDOUT, EDQUOT, ENOBUFS },
	[OP_SETATTR] = { EDQUOT, ENOMEM, ENOSPC, EPERM, EPIPE },
	[OP_GRANT] = { EDQUOT, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPIPE },
	[OP_SENDV] = { EAGAIN, ECANCELED, EDQUOT, EINTR, EMSGSIZE, ENOBUFS, ENOENT, ENOMEM, ENXIO,
		       EPERM, EPIPE, ETIMEDOUT },
	[OP_RECVV] = { EAGAIN, EBUSY, ECANCELED, EDQUOT, ENOBUFS, EINTR, EMSGSIZE, ENOMEM, EPIPE,
		       ETIMEDOUT },
	[OP_CALL_SUBMIT] = { EAGAIN, ECANCELED, EDQUOT, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, ENXIO,
			     EPIPE, ETIMEDOUT },
	[OP_CALL_COLLECT] = { EAGAIN, EBUSY, ECANCELED, ECONNRESET, EINTR, EMSGSIZE, ENOENT, ENOMEM,
			      EPIPE, ETIMEDOUT },
	[OP_CALL_CANCEL] = { ENOENT },
	[OP_CANCEL] = { ENOENT },
	[OP_READ] = { EAGAIN, EINTR, EMSGSIZE, ENOMEM },
	[OP_WRITE] = { EAGAIN, EDQUOT, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, EPERM, EPIPE },
	[OP_READV] = { EAGAIN, EINTR, EMSGSIZE, ENOMEM },
	[OP_WRITEV] = { EAGAIN, EDQUOT, EINTR, EMSGSIZE, ENOBUFS, ENOMEM, EPERM, EPIPE },
	[OP_PATH_OPEN] = { EACCES, EEXIST, EISDIR, EMFILE, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR,
			   EOVERFLOW, EROFS },
	[OP_PATH] = { EACCES, EBUSY, EDQUOT, EEXIST, EISDIR, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC,
		      ENOTDIR, ENOTEMPTY, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS, EXDEV },
};

/* What io_uring says of its own accord. */
static const int ring[ERRORS_MAX] = { EOPNOTSUPP, ECANCELED, ENOMEM, EINTR, EAGAIN, ENXIO };

static bool among(const int list[ERRORS_MAX], int err)
{
	unsigned int i;

	for (i = 0; i < ERRORS_MAX && list[i]; i++)
		if (list[i] == err)
			return true;
	return false;
}

bool expect_errno(const struct operation *op, int err)
{
	bool kpost = operation_is_kpost(op->kind) && op->kind != OP_IOCTL;

	/* By what holds a file, it may be any file. */
	if (op->kind == OP_PATH_OPEN || op->kind == OP_PATH) {
		if (!path_is_walked(op))
			return true;
	} else if (!kpost && (op->kind < OP_READ || op->kind > OP_WRITEV)) {
		return true;
	}
	if (among(general, err) || among(errors[op->kind], err))
		return true;
	/* Numbers of kpost's may be those of another kind of file, which the slot has. */
	return op->via != VIA_CALL && op->via != VIA_COMPAT && among(ring, err);
}
