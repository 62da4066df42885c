// SPDX-License-Identifier: MIT
/* Calls and their replies. */
#include "internal.h"

/* Both lists of a call's pieces. */
struct lists {
	struct kpost_pieces out;
	struct kpost_pieces in;
};

static void lists_put(void *data)
{
	struct lists *lists = data;

	kpost_pieces_put(&lists->in);
	kpost_pieces_put(&lists->out);
}

static void answer_put(struct kpost_answer *answer, size_t size, const struct kpost_call *arg)
{
	const struct kpost_answer known = {
		.sequence = arg->sequence,
		.flags = arg->message_flags,
		.pid = (pid_t)arg->pid,
		.uid = arg->uid,
		.gid = arg->gid,
		.opener_uid = arg->opener_uid,
		.opener_gid = arg->opener_gid,
	};

	kpost_struct_put(answer, size, &known, sizeof(known));
}

KPOST_EXPORT ssize_t kpost_call(int fd, const void *request, size_t len, void *reply,
				size_t reply_len, uint64_t deadline)
{
	struct kpost_call arg = {
		.deadline = deadline,
		.buf = kpost_address(request),
		.len = len,
		.reply_buf = kpost_address(reply),
		.reply_len = reply_len,
	};

	return kpost_wait(fd, KPOST_IOC_CALL, &arg, 0, kpost_undo_nothing, NULL);
}

KPOST_EXPORT ssize_t kpost_callv_sized(int fd, const struct iovec *request, int request_cnt,
				       const struct iovec *reply, int reply_cnt,
				       unsigned int priority, uint64_t deadline,
				       struct kpost_answer *answer, size_t size)
{
	/* What the kernel says where nobody has replied; it says nothing of bad arguments. */
	struct kpost_call arg = {
		.flags = KPOST_IOVEC | KPOST_REPLY_IOVEC,
		.priority = priority,
		.deadline = deadline,
		.uid = KPOST_OVERFLOW_ID,
		.gid = KPOST_OVERFLOW_ID,
		.opener_uid = KPOST_OVERFLOW_ID,
		.opener_gid = KPOST_OVERFLOW_ID,
	};
	struct lists lists;
	ssize_t ret;

	ret = kpost_pieces_get(&lists.out, request, request_cnt);
	if (ret)
		goto out;
	ret = kpost_pieces_get(&lists.in, reply, reply_cnt);
	if (ret) {
		kpost_pieces_put(&lists.out);
		goto out;
	}
	arg.buf = lists.out.address;
	arg.len = lists.out.count;
	arg.reply_buf = lists.in.address;
	arg.reply_len = lists.in.count;
	ret = kpost_wait(fd, KPOST_IOC_CALL, &arg, 0, lists_put, &lists);
	lists_put(&lists);
out:
	answer_put(answer, size, &arg);
	return ret;
}

KPOST_EXPORT int kpost_reply(int fd, uint64_t token, const void *buf, size_t len)
{
	struct kpost_reply arg = {
		.token = token,
		.buf = kpost_address(buf),
		.len = len,
	};

	return kpost_operation(fd, KPOST_IOC_REPLY, &arg);
}

KPOST_EXPORT int kpost_replyv(int fd, uint64_t token, const struct iovec *iov, int iovcnt)
{
	struct kpost_reply arg = {
		.flags = KPOST_IOVEC,
		.token = token,
	};
	struct kpost_pieces pieces;
	int ret;

	ret = kpost_pieces_get(&pieces, iov, iovcnt);
	if (ret)
		return ret;
	arg.buf = pieces.address;
	arg.len = pieces.count;
	ret = kpost_operation(fd, KPOST_IOC_REPLY, &arg);
	kpost_pieces_put(&pieces);
	return ret;
}

KPOST_EXPORT int kpost_drop(int fd, uint64_t token)
{
	struct kpost_reply arg = {
		.flags = KPOST_DROP,
		.token = token,
	};

	return kpost_operation(fd, KPOST_IOC_REPLY, &arg);
}

struct exchange {
	struct kpost_reply reply;
	struct kpost_receipt receipt;
	uint64_t *token; /* the caller's */
};

static void exchange_undo(void *data)
{
	struct exchange *exchange = data;

	*exchange->token = exchange->reply.token;
	kpost_receipt_undo(&exchange->receipt);
}

KPOST_EXPORT ssize_t kpost_reply_recv_sized(int fd, uint64_t *token, const void *reply,
					    size_t reply_len, void *buf, size_t len,
					    struct kpost_message *message, unsigned int flags,
					    uint64_t deadline, size_t size)
{
	struct exchange exchange = {
		.reply = { .token = *token },
		.receipt = {
			.fd = fd,
			.arg = {
				.flags = flags,
				.deadline = deadline,
				.buf = kpost_address(buf),
				.len = len,
			},
		},
		.token = token,
	};
	struct kpost_reply_recv arg = {
		.reply = kpost_address(&exchange.reply),
		.recv = kpost_address(&exchange.receipt.arg),
		.reply_size = sizeof(exchange.reply),
		.recv_size = sizeof(exchange.receipt.arg),
	};
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	/* Without a token there is no reply, whatever the caller still has at hand. */
	if (exchange.reply.token) {
		exchange.reply.buf = kpost_address(reply);
		exchange.reply.len = reply_len;
	}
	ret = kpost_wait(fd, KPOST_IOC_REPLY_RECV, &arg, flags, exchange_undo, &exchange);
	*token = exchange.reply.token;
	kpost_receipt_tell(&exchange.receipt, ret, message, size);
	return ret;
}
