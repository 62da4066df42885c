/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An endpoint: an open file on one mailbox, with rights.
 *
 * It holds its mailbox and its network namespace, and so the office.  Each
 * operation holds the file, so an endpoint is released only when nothing goes
 * on through it.
 *
 * An operation comes from ioctl(2), io_uring, or read(2) and write(2).  The first
 * two hand over the user's struct as a struct kpost_operand, and share the list
 * of operations at the end of this file.
 */
#ifndef KPOST_ENDPOINT_H
#define KPOST_ENDPOINT_H

#include <linux/fs.h>
#include <linux/rbtree.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include "../uapi/linux/kpost.h"
#include "call.h"
#include "caller.h"
#include "cancel.h"
#include "clock.h"
#include "mailbox.h"
#include "payload.h"
#include "shortage.h"
#include "usercopy.h"

struct io_uring_cmd;
struct kpost_fixed;
struct kpost_holder;
struct kpost_parked;
struct kpost_payload;
struct kpost_process;

struct kpost_endpoint {
	struct kpost_mailbox *mailbox; /* fixed once the file is known to user space */
	struct kpost_account *account; /* the opener's, see kpost_endpoint_charge() */
	struct kpost_charge charge; /* for it, if it was granted */
	struct net *net;
	u32 rights; /* fixed once the file is known, as are the next four */
	u16 priority; /* of what write(2) sends */
	u16 write_flags; /* likewise: KPOST_DROP_*, KPOST_REPLACE */
	u64 tag; /* likewise */
	u64 badge; /* stamped on what goes through it */
	kuid_t uid; /* the opener's effective one, fixed, as is the next */
	kgid_t gid;
	/*
	 * Whether its opener could go past limits.  Who uses it has to be able to as well,
	 * but that alone is not enough: a program that runs with another's privilege writes
	 * to whatever it was started with.
	 */
	bool privileged;

	/* protected by mailbox->lock */
	bool released; /* nothing may be left to the work of @room any more */
	unsigned int open_calls;
	struct rb_root calls; /* received through it */
	struct rb_root callers; /* who made some through it, by process */
	struct kpost_holder *holder; /* of what is held through it; NULL if nothing was; set once */
	struct kpost_origin *origins; /* of those who sent through it last */
	struct kpost_process *receiver; /* the last that received a call, held */
	struct list_head refused; /* in mailbox->refused */
	struct kpost_shortage shortage;
	u64 told; /* the mailbox's count of received messages that those polling know of */
	unsigned int refusals; /* so many have to be told of room */

	refcount_t refs; /* its file's, and of those who tell of room; for this and @account */
	struct kpost_pollers room; /* who polls for room, and for replies */
};

#if defined(CONFIG_64BIT) && !defined(CONFIG_PREEMPT_RT) && !defined(CONFIG_DEBUG_SPINLOCK)
static_assert(sizeof(struct kpost_endpoint) <= 256);
#endif
static_assert(KPOST_PRIORITY_MAX <= U16_MAX);

/* One operation under way. */
struct kpost_operand {
	struct kpost_endpoint *endpoint;
	void __user *arg; /* the operation's struct */
	size_t size; /* of it, as the caller knows it */
	bool nowait; /* -EAGAIN instead of waiting */
	bool ring; /* by io_uring: an interruption that is no signal is a cancellation */
	bool trial; /* io_uring's: what would wait is to do nothing, and is done anew by a worker */
	bool dontwait; /* out: the struct said so too, so that -EAGAIN is final */
	bool receives; /* out: -EAGAIN is for want of a message */
	u8 clock; /* enum kpost_clock, by which is: */
	u64 deadline; /* when it gives up waiting, or 0; of a batch for its entries */
	u64 cookie; /* likewise: by which its wait can be cancelled, or 0 */
	bool cancelled; /* it was */
	const struct kpost_fixed *fixed; /* the payload is in a registered buffer, if given */
	struct io_uring_cmd *cmd; /* if given: what waits can be parked, see park.h */
	unsigned int issue_flags; /* of that */
	struct kpost_parked *parked; /* if given: to park it in, a struct kpost_parked_send */
};

/*
 * @op, whose struct says so, has to wait; what that does not say is as the batch says that @op is
 * an entry of.
 */
static inline void kpost_operand_waits(struct kpost_operand *op, u64 deadline, u32 flags,
				       u64 cookie)
{
	if (deadline) {
		op->deadline = deadline;
		op->clock = kpost_clock_of(flags);
	}
	op->cookie = cookie ?: op->cookie;
}

/* What may be under way uncounted: no more than that for each task. */
#define KPOST_UNCOUNTED_MAX SZ_64K

/* Sizes of structs in their first version, where more than the table needs them. */
#define KPOST_SEND_SIZE_1 80
#define KPOST_REPLY_SIZE_1 48
#define KPOST_RECV_SIZE_1 160
#define KPOST_STAT_SIZE_1 456
#define KPOST_CANCEL_SIZE_1 16

#define KPOST_STRUCT_MAX ((1U << _IOC_SIZEBITS) - 1)

/* operation.c */
long kpost_stat(struct kpost_operand *op);
long kpost_setattr(struct kpost_operand *op);
int kpost_struct_get_other(const struct kpost_operand *op, void *to, size_t size);
int kpost_struct_put_other(const struct kpost_operand *op, const void *from, size_t size);
int kpost_struct_answer(const struct kpost_operand *op, const void *from, size_t size);

/* Is the operation's struct what this module knows it to be, and to be had word by word? */
static __always_inline bool kpost_struct_fits(const struct kpost_operand *op, size_t size)
{
	return likely(op->size == size && kpost_words_fit(op->arg, size));
}

/*
 * Read the operation's struct into *@to, as this module knows it; of which nothing comes in
 * behind @last, so what is there may be read or not.  What an older program's lacks is zero,
 * what a newer one's has on top must be.  Returns 0, -EFAULT or -E2BIG.
 */
#define kpost_struct_get(op, to, last) \
	kpost_struct_get_in(op, to, offsetofend(typeof(*(to)), last), sizeof(*(to)))

static __always_inline int kpost_struct_get_in(const struct kpost_operand *op, void *to, size_t in,
					       size_t size)
{
	if (kpost_struct_fits(op, size))
		return kpost_words_get(to, op->arg, in) ? 0 : -EFAULT;
	return kpost_struct_get_other(op, to, size);
}

/* The same, for a struct that is to be written to in the end: that this can be is made sure of. */
#define kpost_struct_get_back(op, to, last) \
	kpost_struct_get_back_in(op, to, offsetofend(typeof(*(to)), last), sizeof(*(to)))

static __always_inline int kpost_struct_get_back_in(const struct kpost_operand *op, void *to,
						    size_t in, size_t size)
{
	int err;

	if (kpost_struct_fits(op, size))
		return kpost_words_get_back(to, op->arg, in, size) ? 0 : -EFAULT;
	err = kpost_struct_get_other(op, to, size);
	if (!err && kpost_memory_touch(op->arg, op->size) != op->size)
		err = -EFAULT;
	return err;
}

/* Write it back. Returns 0 or -EFAULT. */
static __always_inline int kpost_struct_put(const struct kpost_operand *op, const void *from,
					    size_t size)
{
	if (kpost_struct_fits(op, size))
		return kpost_words_put(op->arg, from, size) ? 0 : -EFAULT;
	return kpost_struct_put_other(op, from, size);
}

/*
 * With the mailbox's lock held: find who sends through @endpoint, or add *@fresh, which then is
 * what is to be freed, if anything.  Returns NULL if there has to be a fresh one.
 */
static __always_inline struct kpost_origin *kpost_endpoint_origin(struct kpost_endpoint *endpoint,
								  struct kpost_origin **fresh)
{
	struct kpost_origin *origin = endpoint->origins;

	if (likely(origin && kpost_origin_is_tasks(origin)))
		return origin;
	origin = kpost_origin_find(endpoint);
	if (!origin && *fresh) {
		origin = *fresh;
		*fresh = kpost_origin_add(endpoint, origin);
	}
	return origin;
}

/* sendv.c, recvv.c */
long kpost_sendv(struct kpost_operand *op);
long kpost_recvv(struct kpost_operand *op);

/* What those who poll an endpoint with @rights are told of a reply that can be collected. */
static inline __poll_t kpost_poll_reply(u32 rights)
{
	return rights & KPOST_RIGHT_RECV ? EPOLLPRI : EPOLLPRI | EPOLLIN | EPOLLRDNORM;
}

/* endpoint.c */
extern const struct file_operations kpost_endpoint_fops;
struct file *kpost_endpoint_new(struct net *net, u32 rights, bool nonblock);
int kpost_endpoint_prepare(struct net *net, u32 rights, bool nonblock, struct file **file);
void kpost_endpoint_attach(struct file *file, struct kpost_mailbox *mailbox);
long kpost_grant(struct kpost_operand *op);
int kpost_endpoint_charge(struct kpost_endpoint *endpoint, struct kpost_charge *charge,
			  size_t bytes, bool polls);
void kpost_endpoint_put(struct kpost_endpoint *endpoint);

/* send.c */
struct kpost_message *kpost_message_build(struct kpost_endpoint *endpoint,
					  const struct kpost_payload *from, u32 priority, u64 tag,
					  bool counts);
bool kpost_payload_counts(const struct kpost_payload *from);
int kpost_message_commit(struct kpost_endpoint *endpoint, struct kpost_message *message,
			 struct kpost_waiter *sender, bool nowait, u64 *sequence);
int kpost_message_commit_rare(struct kpost_endpoint *endpoint, struct kpost_message *message,
			      struct kpost_waiter *sender, bool parked, bool nowait, u64 *sequence);
int kpost_message_charge(struct kpost_endpoint *endpoint, struct kpost_message *message);
void kpost_message_pend(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_waiter *sender, bool parked, struct kpost_wakes *wakes);
void kpost_message_withdraw(struct kpost_mailbox *mailbox, struct kpost_message *message,
			    struct kpost_wakes *wakes);
long kpost_send(struct kpost_operand *op);
ssize_t kpost_write_iter(struct kiocb *iocb, struct iov_iter *from);

/* recv.c */
long kpost_recv(struct kpost_operand *op);
ssize_t kpost_read_iter(struct kiocb *iocb, struct iov_iter *to);

/* device.c, uring.c */
int kpost_device_init(void);
void kpost_device_exit(void);
int kpost_name_check(const char name[KPOST_NAME_MAX + 1]);
long kpost_device_operate(struct kpost_office *office, struct file *file, bool at_dir,
			  unsigned int cmd, unsigned long arg);
int kpost_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);
long kpost_uring_operate(struct kpost_operand *op, unsigned int operation);

/*
 * Do what @cmd says with @op->arg, whose size is part of @cmd: the one list of operations, for
 * ioctl(2) and for io_uring.
 */
static __always_inline long kpost_operate(struct kpost_operand *op, unsigned int cmd)
{
	op->size = _IOC_SIZE(cmd);
	switch (cmd & ~IOCSIZE_MASK) {
	case KPOST_IOC_SEND & ~IOCSIZE_MASK:
		return op->size < KPOST_SEND_SIZE_1 ? -EINVAL : kpost_send(op);
	case KPOST_IOC_RECV & ~IOCSIZE_MASK:
		return op->size < KPOST_RECV_SIZE_1 ? -EINVAL : kpost_recv(op);
	case KPOST_IOC_CALL & ~IOCSIZE_MASK:
		return op->size < 128 ? -EINVAL : kpost_call(op);
	case KPOST_IOC_REPLY & ~IOCSIZE_MASK:
		return op->size < KPOST_REPLY_SIZE_1 ? -EINVAL : kpost_reply(op);
	case KPOST_IOC_REPLY_RECV & ~IOCSIZE_MASK:
		return op->size < 24 ? -EINVAL : kpost_reply_recv(op);
	case KPOST_IOC_STAT & ~IOCSIZE_MASK:
		return op->size < KPOST_STAT_SIZE_1 ? -EINVAL : kpost_stat(op);
	case KPOST_IOC_SETATTR & ~IOCSIZE_MASK:
		return op->size < 40 ? -EINVAL : kpost_setattr(op);
	case KPOST_IOC_GRANT & ~IOCSIZE_MASK:
		return op->size < 32 ? -EINVAL : kpost_grant(op);
	case KPOST_IOC_SENDV & ~IOCSIZE_MASK:
		return op->size < 40 ? -EINVAL : kpost_sendv(op);
	case KPOST_IOC_RECVV & ~IOCSIZE_MASK:
		return op->size < 40 ? -EINVAL : kpost_recvv(op);
	case KPOST_IOC_CALL_SUBMIT & ~IOCSIZE_MASK:
		return op->size < 80 ? -EINVAL : kpost_call_submit(op);
	case KPOST_IOC_CALL_COLLECT & ~IOCSIZE_MASK:
		return op->size < 120 ? -EINVAL : kpost_call_collect(op);
	case KPOST_IOC_CALL_CANCEL & ~IOCSIZE_MASK:
		return op->size < 24 ? -EINVAL : kpost_call_cancel(op);
	case KPOST_IOC_CANCEL & ~IOCSIZE_MASK:
		return op->size < KPOST_CANCEL_SIZE_1 ? -EINVAL : kpost_cancel(op);
	}
	return -ENOTTY;
}

#endif /* KPOST_ENDPOINT_H */
