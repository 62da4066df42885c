// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations on an endpoint: one table, for ioctl(2) and for io_uring.
 */
#include <linux/build_bug.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "call.h"
#include "endpoint.h"

static long operation_stat(struct kpost_operand *op)
{
	struct kpost_stat st;

	kpost_mailbox_stat(op->endpoint->mailbox, &st);
	st.rights = op->endpoint->rights;
	return kpost_struct_answer(op, &st, sizeof(st));
}

static long operation_setattr(struct kpost_operand *op)
{
	struct kpost_setattr arg;
	int err;

	err = kpost_struct_get(op, &arg, bytes);
	if (err)
		return err;
	if (arg.valid & ~(KPOST_SET_MESSAGES | KPOST_SET_BYTES | KPOST_SET_MODE | KPOST_SET_UID |
			  KPOST_SET_GID) ||
	    arg.reserved || arg.mode & ~0777 || (arg.mode && !(arg.valid & KPOST_SET_MODE)) ||
	    (arg.uid && !(arg.valid & KPOST_SET_UID)) ||
	    (arg.gid && !(arg.valid & KPOST_SET_GID)) ||
	    (arg.messages && !(arg.valid & KPOST_SET_MESSAGES)) ||
	    (arg.bytes && !(arg.valid & KPOST_SET_BYTES)))
		return -EINVAL;
	if (!(op->endpoint->rights & KPOST_RIGHT_ADMIN))
		return -EPERM;
	return kpost_mailbox_setattr(op->endpoint->mailbox, &arg);
}

#define FIRST _IOC_NR(KPOST_IOC_SEND)
#define OPERATION(cmd, size_1, operate) [_IOC_NR(cmd) - FIRST] = { cmd, size_1, operate }

/* By the number in the command; there are no gaps. */
static const struct {
	unsigned int cmd;
	size_t size_1; /* of its struct in the first version */
	long (*operate)(struct kpost_operand *op);
} operations[] = {
	OPERATION(KPOST_IOC_SEND, 56, kpost_send),
	OPERATION(KPOST_IOC_RECV, KPOST_RECV_SIZE_1, kpost_recv),
	OPERATION(KPOST_IOC_CALL, 120, kpost_call),
	OPERATION(KPOST_IOC_REPLY, KPOST_REPLY_SIZE_1, kpost_reply),
	OPERATION(KPOST_IOC_REPLY_RECV, 24, kpost_reply_recv),
	OPERATION(KPOST_IOC_STAT, KPOST_STAT_SIZE_1, operation_stat),
	OPERATION(KPOST_IOC_SETATTR, 32, operation_setattr),
	OPERATION(KPOST_IOC_GRANT, 32, kpost_grant),
};

/* Grown structs keep their places and their first sizes; these change with them. */
static_assert(sizeof(struct kpost_send) == 56);
static_assert(sizeof(struct kpost_recv) == 128);
static_assert(sizeof(struct kpost_call) == 120);
static_assert(sizeof(struct kpost_reply) == 40);
static_assert(sizeof(struct kpost_reply_recv) == 24);
static_assert(sizeof(struct kpost_stat) == 376);
static_assert(sizeof(struct kpost_setattr) == 32);
static_assert(sizeof(struct kpost_grant) == 32);
static_assert(sizeof(struct kpost_iovec) == 16);
static_assert(sizeof(struct kpost_uring) == 16);

/* Do what @cmd says with @op->arg, whose size is part of @cmd. */
long kpost_operate(struct kpost_operand *op, unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd) - FIRST;

	if (nr >= ARRAY_SIZE(operations))
		return -ENOTTY;
	nr = array_index_nospec(nr, ARRAY_SIZE(operations));
	if ((cmd ^ operations[nr].cmd) & ~IOCSIZE_MASK)
		return -ENOTTY;
	op->size = _IOC_SIZE(cmd);
	if (op->size < operations[nr].size_1)
		return -EINVAL;
	return operations[nr].operate(op);
}

/* For a program of another version than this module. */
int kpost_struct_get_other(const struct kpost_operand *op, void *to, size_t size)
{
	return copy_struct_from_user(to, size, op->arg, op->size);
}

int kpost_struct_put_other(const struct kpost_operand *op, const void *from, size_t size)
{
	return copy_to_user(op->arg, from, min(size, op->size)) ? -EFAULT : 0;
}

/*
 * Write an answer, for which nothing came in: as much as the caller has room for, and zero
 * where this module knows nothing.  Returns 0 or -EFAULT.
 */
int kpost_struct_answer(const struct kpost_operand *op, const void *from, size_t size)
{
	if (kpost_struct_put(op, from, size))
		return -EFAULT;
	if (op->size > size && clear_user(op->arg + size, op->size - size))
		return -EFAULT;
	return 0;
}
