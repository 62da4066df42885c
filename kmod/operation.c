// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on an endpoint that are not worth a file, and how structs of other sizes are read.
 */
#include <linux/build_bug.h>
#include <linux/uaccess.h>

#include "call.h"
#include "endpoint.h"
#include "mark.h"
#include "overflow.h"

long kpost_stat(struct kpost_operand *op)
{
	struct kpost_stat st;

	kpost_mailbox_stat(op->endpoint->mailbox, &st);
	st.oldest = kpost_mailbox_oldest(op->endpoint->mailbox);
	st.mark = kpost_mark_of(op->endpoint->mailbox, op->endpoint->badge);
	st.rights = op->endpoint->rights;
	return kpost_struct_answer(op, &st, sizeof(st));
}

long kpost_setattr(struct kpost_operand *op)
{
	struct kpost_setattr arg;
	int err;

	err = kpost_struct_get(op, &arg, reserved);
	if (err)
		return err;
	if (arg.valid &
		    ~(KPOST_SET_MESSAGES | KPOST_SET_BYTES | KPOST_SET_MODE | KPOST_SET_UID |
		      KPOST_SET_GID | KPOST_SET_SHUT | KPOST_SET_OVERFLOW | KPOST_SET_HELD_MAX) ||
	    (arg.valid & KPOST_SET_SHUT && arg.valid & (KPOST_SET_MESSAGES | KPOST_SET_BYTES)) ||
	    arg.overflow & ~KPOST_OVERFLOWS ||
	    (arg.overflow && !(arg.valid & KPOST_SET_OVERFLOW)) || arg.mode & ~0777 ||
	    (arg.mode && !(arg.valid & KPOST_SET_MODE)) ||
	    (arg.uid && !(arg.valid & KPOST_SET_UID)) ||
	    (arg.gid && !(arg.valid & KPOST_SET_GID)) ||
	    (arg.messages && !(arg.valid & KPOST_SET_MESSAGES)) ||
	    (arg.bytes && !(arg.valid & KPOST_SET_BYTES)) ||
	    (arg.held_max && !(arg.valid & KPOST_SET_HELD_MAX)) || arg.reserved)
		return -EINVAL;
	if (!(op->endpoint->rights & KPOST_RIGHT_ADMIN))
		return -EPERM;
	return kpost_mailbox_setattr(op->endpoint->mailbox, &arg);
}

/* Grown structs keep their places and their first sizes; these change with them. */
static_assert(sizeof(struct kpost_send) == 80);
static_assert(sizeof(struct kpost_recv) == 160);
static_assert(sizeof(struct kpost_call) == 128);
static_assert(sizeof(struct kpost_call_submit) == 80);
static_assert(sizeof(struct kpost_call_collect) == 120);
static_assert(sizeof(struct kpost_call_cancel) == 24);
static_assert(sizeof(struct kpost_cancel) == KPOST_CANCEL_SIZE_1);
static_assert(sizeof(struct kpost_reply) == 48);
static_assert(sizeof(struct kpost_reply_recv) == 24);
static_assert(sizeof(struct kpost_stat) == 456);
static_assert(sizeof(struct kpost_setattr) == 40);
static_assert(sizeof(struct kpost_grant) == 32);
static_assert(sizeof(struct kpost_batch) == 40);
static_assert(sizeof(struct kpost_iovec) == 16);
static_assert(sizeof(struct kpost_uring) == 16);

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
