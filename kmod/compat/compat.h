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
#include <linux/hrtimer.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/net_namespace.h>

/* The 16 bytes of a command, perhaps in memory shared with user space. */
static inline const void *kpost_compat_uring_arg(const struct io_uring_cmd *cmd)
{
#ifdef KPOST_HAVE_IO_URING_CMD_H
	/* By hand: io_uring_sqe_cmd() does not take the same everywhere. */
	return cmd->sqe->cmd;
#else
	return cmd->cmd;
#endif
}

/*
 * Have the worker that a command is left to see @arg, as it was read.  Some kernels
 * set a copy of the entry aside and then have the worker read the shared one again,
 * which is another command's by then.  Returns false where that cannot be had: then the
 * command must not be left to a worker.
 */
static inline bool kpost_compat_uring_keep(struct io_uring_cmd *cmd, const void *arg, size_t size)
{
#if defined(KPOST_HAVE_REQ_F_SQE_COPIED) || !defined(KPOST_HAVE_IO_URING_CMD_H)
	/* io_uring sees to it by itself. */
	return true;
#else
	struct io_kiocb *req = cmd_to_io_kiocb(cmd);
	struct io_ring_ctx *ctx = req->ctx;
	size_t shared = (size_t)ctx->sq_entries << !!(ctx->flags & IORING_SETUP_SQE128);

	/* Copied before this. */
	if (cmd->sqe < ctx->sq_sqes || cmd->sqe >= ctx->sq_sqes + shared)
		return true;
#ifdef KPOST_HAVE_IO_URING_CMD_GET_ASYNC_DATA
	/* They copy every entry before this, and keep it where only they know. */
	return false;
#else
	struct io_uring_sqe *copy = req->async_data;

	/* Those that make the copy only after this have the worker read that. */
	if (!copy)
		return true;
	unsafe_memcpy(copy->cmd, arg, size, "what is behind that in the entry has no name there");
	cmd->sqe = copy;
	return true;
#endif
#endif
}

/* The payload is in the registered buffer of @cmd, which was issued with @issue_flags. */
struct kpost_fixed {
	struct io_uring_cmd *cmd;
	unsigned int issue_flags;
};

static inline int kpost_uring_import_fixed(u64 buf, u64 len, unsigned int direction,
					   struct iov_iter *iter, const struct kpost_fixed *fixed)
{
	if (len > MAX_RW_COUNT)
		return -EFAULT;
#ifdef KPOST_HAVE_IMPORT_FIXED_ISSUE_FLAGS
	return io_uring_cmd_import_fixed(buf, len, direction, iter, fixed->cmd, fixed->issue_flags);
#else
	return io_uring_cmd_import_fixed(buf, len, direction, iter, fixed->cmd);
#endif
}

/* Complete @cmd with @ret; the second result of rings with large completions is 0. */
static inline void kpost_compat_uring_done(struct io_uring_cmd *cmd, long ret,
					   unsigned int issue_flags)
{
#ifdef KPOST_HAVE_IO_URING_CMD_DONE32
	io_uring_cmd_done(cmd, ret, issue_flags);
#else
	io_uring_cmd_done(cmd, ret, 0, issue_flags);
#endif
}

static inline void kpost_compat_hrtimer_setup(struct hrtimer *timer,
					      enum hrtimer_restart (*function)(struct hrtimer *),
					      clockid_t clock)
{
#ifdef KPOST_HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock, HRTIMER_MODE_ABS_SOFT);
#else
	hrtimer_init(timer, clock, HRTIMER_MODE_ABS_SOFT);
	timer->function = function;
#endif
}

#ifdef KPOST_HAVE_IO_URING_CMD_MARK_CANCELABLE
/* Is a command asked back, since its ring or its task ends? */
static inline bool kpost_compat_uring_returns(unsigned int issue_flags)
{
	return issue_flags & IO_URING_F_CANCEL;
}

/*
 * Can @cmd wait without a worker?  Not one that a worker does; not one with a link timeout, which
 * reaches nothing else; not one with a personality, which its work would not have; and not one of
 * a ring with IORING_SETUP_IOPOLL, which never asks it back.
 */
static inline bool kpost_compat_uring_parks(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct io_kiocb *req = cmd_to_io_kiocb(cmd);

	return issue_flags & IO_URING_F_NONBLOCK && !(issue_flags & IO_URING_F_UNLOCKED) &&
	       !(req->flags & REQ_F_CREDS) && !(req->ctx->flags & IORING_SETUP_IOPOLL) &&
	       !(req->link && req->link->opcode == IORING_OP_LINK_TIMEOUT);
}

/*
 * A command that is asked back, and whose work is to run, is not to be asked again and again; but
 * it has to be marked as it was when it completes.  Both with the ring's lock held.
 */
static inline void kpost_compat_uring_asked(struct io_uring_cmd *cmd)
{
	cmd->flags &= ~IORING_URING_CMD_CANCELABLE;
}

static inline void kpost_compat_uring_completes(struct io_uring_cmd *cmd)
{
	cmd->flags |= IORING_URING_CMD_CANCELABLE;
}

/* In the work of @cmd: does its ring or its task end, or go on as another program? */
static inline bool kpost_compat_uring_ends(struct io_uring_cmd *cmd)
{
	return current->flags & (PF_EXITING | PF_KTHREAD) || !current->io_uring ||
	       atomic_read(&current->io_uring->in_cancel) ||
	       percpu_ref_is_dying(&cmd_to_io_kiocb(cmd)->ctx->refs);
}

/*
 * How to have the work of a command run.  If the ring has an eventfd, who waits for that is told
 * apart from here, where the kernel can: there may be thousands.
 */
#ifdef KPOST_HAVE_IOU_F_TWQ_IN_WAKE
#define KPOST_COMPAT_URING_WAKE IOU_F_TWQ_IN_WAKE
#else
#define KPOST_COMPAT_URING_WAKE 0
#endif

/* A function for __io_uring_cmd_do_in_task(), which does what @run does. */
#ifdef KPOST_HAVE_IO_URING_CMD_FROM_TW
#define kpost_compat_uring_task_work(name, run) \
	static void name(struct io_tw_req work, io_tw_token_t token) \
	{ \
		run(io_uring_cmd_from_tw(work), IO_URING_CMD_TASK_WORK_ISSUE_FLAGS); \
	} \
	static_assert(true)
#else
#define kpost_compat_uring_task_work(name, run) \
	static void name(struct io_uring_cmd *cmd, unsigned int issue_flags) \
	{ \
		run(cmd, issue_flags); \
	} \
	static_assert(true)
#endif
#else
static inline bool kpost_compat_uring_returns(unsigned int issue_flags)
{
	return false;
}

static inline bool kpost_compat_uring_parks(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	return false;
}
#endif

/* A user's address that cannot be one of the kernel's even where the processor guesses. */
#ifndef can_do_masked_user_access
#define can_do_masked_user_access() 0
#define mask_user_address(address) (address)
#endif

#ifndef barrier_nospec
#define barrier_nospec() \
	do { \
	} while (0)
#endif

/* Not to be filled with zero where the compiler does so: it is large, and little of it used. */
#ifndef __uninitialized
#define __uninitialized __attribute__((__uninitialized__))
#endif

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

/* May a handler of a sysctl change its table? */
#ifdef KPOST_HAVE_CTL_TABLE_CONST
#define KPOST_COMPAT_CTL_CONST const
#else
#define KPOST_COMPAT_CTL_CONST
#endif

/* Tables end with an empty entry, which newer kernels want left out of the count. */
#ifndef KPOST_HAVE_REGISTER_NET_SYSCTL_SZ
static inline struct ctl_table_header *register_net_sysctl_sz(struct net *net, const char *path,
							      struct ctl_table *table, size_t size)
{
	return register_net_sysctl(net, path, table);
}
#endif

/* A shrinker, which is asked from here on; NULL if there is no memory for it. */
static inline struct shrinker *
kpost_compat_shrinker_new(const char *name,
			  unsigned long (*count)(struct shrinker *, struct shrink_control *),
			  unsigned long (*scan)(struct shrinker *, struct shrink_control *))
{
#ifdef KPOST_HAVE_SHRINKER_ALLOC
	struct shrinker *shrinker = shrinker_alloc(0, "%s", name);
#else
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
#endif

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
#ifdef KPOST_HAVE_SHRINKER_ALLOC
	shrinker_register(shrinker);
#else
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
#endif
	return shrinker;
}

static inline void kpost_compat_shrinker_free(struct shrinker *shrinker)
{
#ifdef KPOST_HAVE_SHRINKER_ALLOC
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
	kfree(shrinker);
#endif
}

#endif /* KPOST_COMPAT_H */
