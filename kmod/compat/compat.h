/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels.  Each difference is found by compiling a probe,
 * see probe.mk; nothing here or elsewhere looks at a version.
 */
#ifndef KPOST_COMPAT_H
#define KPOST_COMPAT_H

#ifdef KPOST_HAVE_IO_URING_CMD_H
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#endif
#include <linux/uio.h>
#include <net/net_namespace.h>

/* The 16 bytes of a command, perhaps in memory shared with user space. */
static inline const void *kpost_compat_uring_arg(const struct io_uring_cmd *cmd)
{
#ifdef KPOST_HAVE_IO_URING_CMD_H
	return io_uring_sqe_cmd(cmd->sqe);
#else
	return cmd->cmd;
#endif
}

/*
 * Have the worker that a command is left to see @arg, as it was read.  Some kernels
 * set a copy of the entry aside and then have the worker read the shared one again,
 * which is another command's by then.
 */
static inline void kpost_compat_uring_keep(struct io_uring_cmd *cmd, const void *arg, size_t size)
{
#ifdef KPOST_HAVE_IO_URING_CMD_H
	struct io_kiocb *req = cmd_to_io_kiocb(cmd);
	struct io_ring_ctx *ctx = req->ctx;
	size_t shared = (size_t)ctx->sq_entries << !!(ctx->flags & IORING_SETUP_SQE128);
	struct io_uring_sqe *copy = req->async_data;

	/* Those that make the copy only after this have the worker read that. */
	if (!copy || cmd->sqe < ctx->sq_sqes || cmd->sqe >= ctx->sq_sqes + shared)
		return;
	memcpy(copy->cmd, arg, size);
	cmd->sqe = copy;
#endif
}

static inline int kpost_uring_import_fixed(u64 buf, u64 len, unsigned int direction,
					   struct iov_iter *iter, struct io_uring_cmd *cmd)
{
	if (len > MAX_RW_COUNT)
		return -EFAULT;
	return io_uring_cmd_import_fixed(buf, len, direction, iter, cmd);
}

/* The pieces of an iterator over user memory, of which the first may be used in part. */
static inline const struct iovec *kpost_compat_iter_pieces(const struct iov_iter *iter)
{
#ifdef KPOST_HAVE_ITER_IOV
	return iter_iov(iter);
#else
	return iter->iov;
#endif
}

/*
 * Flags of a command that its user set.  Kernels that use some themselves take only those
 * that they know (IORING_URING_CMD_MASK), and keep the upper ones for that.
 */
static inline unsigned int kpost_compat_uring_user_flags(const struct io_uring_cmd *cmd)
{
#ifdef IORING_URING_CMD_MASK
	return cmd->flags & 0xffffff;
#else
	return cmd->flags;
#endif
}

/* Tables end with an empty entry, which newer kernels want left out of the count. */
#ifndef KPOST_HAVE_REGISTER_NET_SYSCTL_SZ
static inline struct ctl_table_header *register_net_sysctl_sz(struct net *net, const char *path,
							      struct ctl_table *table, size_t size)
{
	return register_net_sysctl(net, path, table);
}
#endif

#endif /* KPOST_COMPAT_H */
