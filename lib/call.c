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
		.tag = arg->reply_tag,
		.badge = arg->badge,
		.time = arg->time,
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
				       const struct kpost_options *given,
				       struct kpost_answer *answer, size_t options_size,
				       size_t answer_size)
{
	/* What the kernel says where nobody has replied; it says nothing of bad arguments. */
	struct kpost_call arg = {
		.flags = KPOST_IOVEC | KPOST_REPLY_IOVEC,
		.uid = KPOST_OVERFLOW_ID,
		.gid = KPOST_OVERFLOW_ID,
		.opener_uid = KPOST_OVERFLOW_ID,
		.opener_gid = KPOST_OVERFLOW_ID,
	};
	struct kpost_options options;
	struct lists lists;
	ssize_t ret;

	ret = kpost_struct_get(&options, sizeof(options), given, options_size);
	if (ret)
		goto out;
	if (options.flags) {
		ret = -EINVAL;
		goto out;
	}
	ret = kpost_pieces_get(&lists.out, request, request_cnt);
	if (ret)
		goto out;
	ret = kpost_pieces_get(&lists.in, reply, reply_cnt);
	if (ret) {
		kpost_pieces_put(&lists.out);
		goto out;
	}
	arg.priority = options.priority;
	arg.deadline = options.deadline;
	arg.tag = options.tag;
	arg.buf = lists.out.address;
	arg.len = lists.out.count;
	arg.reply_buf = lists.in.address;
	arg.reply_len = lists.in.count;
	ret = kpost_wait(fd, KPOST_IOC_CALL, &arg, 0, lists_put, &lists);
	lists_put(&lists);
out:
	answer_put(answer, answer_size, &arg);
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

KPOST_EXPORT int kpost_replyv_sized(int fd, uint64_t token, const struct iovec *iov, int iovcnt,
				    const struct kpost_options *given, size_t size)
{
	struct kpost_options options;
	struct kpost_pieces pieces;
	struct kpost_reply arg;
	int ret;

	ret = kpost_struct_get(&options, sizeof(options), given, size);
	if (ret)
		return ret;
	/* A reply is in no queue and never waits. */
	if (options.flags || options.priority || options.deadline)
		return -EINVAL;
	ret = kpost_pieces_get(&pieces, iov, iovcnt);
	if (ret)
		return ret;
	arg = (struct kpost_reply){
		.flags = KPOST_IOVEC,
		.token = token,
		.buf = pieces.address,
		.len = pieces.count,
		.tag = options.tag,
	};
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
	struct kpost_response *response; /* the caller's */
};

static void exchange_undo(void *data)
{
	struct exchange *exchange = data;

	exchange->response->token = exchange->reply.token;
	kpost_receipt_undo(&exchange->receipt);
}

KPOST_EXPORT ssize_t kpost_reply_recv_sized(int fd, struct kpost_response *given, void *buf,
					    size_t len, struct kpost_message *message,
					    unsigned int flags, uint64_t deadline,
					    size_t response_size, size_t message_size)
{
	struct kpost_response response;
	struct exchange exchange = {
		.receipt = {
			.fd = fd,
			.arg = {
				.flags = flags,
				.deadline = deadline,
				.buf = kpost_address(buf),
				.len = len,
			},
		},
		.response = given,
	};
	struct kpost_reply_recv arg = {
		.reply = kpost_address(&exchange.reply),
		.recv = kpost_address(&exchange.receipt.arg),
		.reply_size = sizeof(exchange.reply),
		.recv_size = sizeof(exchange.receipt.arg),
	};
	ssize_t ret;

	/* Its token is written to. */
	if (response_size < sizeof(given->token) || flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_struct_get(&response, sizeof(response), given, response_size);
	if (ret)
		return ret;
	/* Without a token there is no reply, whatever the caller still has at hand. */
	if (response.token) {
		exchange.reply.token = response.token;
		exchange.reply.buf = kpost_address(response.buf);
		exchange.reply.len = response.len;
		exchange.reply.tag = response.tag;
	}
	ret = kpost_wait(fd, KPOST_IOC_REPLY_RECV, &arg, flags, exchange_undo, &exchange);
	given->token = exchange.reply.token;
	kpost_receipt_tell(&exchange.receipt, ret, message, message_size);
	return ret;
}
