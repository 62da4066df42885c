// SPDX-License-Identifier: MIT
/* Calls and their replies. */
#include "internal.h"

/* A call under way, and the lists of its pieces. */
struct calling {
	int fd;
	struct kpost_call arg;
	struct kpost_pieces out, in;
};

static int cancel(int fd, struct kpost_call_cancel *arg)
{
	return kpost_operation(fd, KPOST_IOC_CALL_CANCEL, arg);
}

/* Nobody will do it again: what a signal has left is given up. */
static void calling_end(void *data)
{
	struct calling *calling = data;
	struct kpost_call_cancel arg = { .id = calling->arg.id };

	kpost_pieces_put(&calling->in);
	kpost_pieces_put(&calling->out);
	if (!arg.id)
		return;
	/* If that cannot be said, say that it may have been. */
	if (cancel(calling->fd, &arg) < 0)
		arg.message_flags = KPOST_MESSAGE_RECEIVED;
	calling->arg.message_flags = arg.message_flags;
	calling->arg.sequence = arg.sequence;
	calling->arg.id = 0;
}

static ssize_t calling_do(struct calling *calling)
{
	ssize_t ret =
		kpost_wait(calling->fd, KPOST_IOC_CALL, &calling->arg, 0, calling_end, calling);

	calling_end(calling);
	return ret;
}

KPOST_EXPORT ssize_t kpost_call(int fd, const void *request, size_t len, void *reply,
				size_t reply_len, uint64_t deadline)
{
	struct calling calling;

	calling.fd = fd;
	calling.arg = (struct kpost_call){
		.deadline = deadline,
		.buf = kpost_address(request),
		.len = len,
		.reply_buf = kpost_address(reply),
		.reply_len = reply_len,
		.cookie = kpost_cookie,
	};
	calling.out.heap = NULL;
	calling.in.heap = NULL;
	return calling_do(&calling);
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

KPOST_EXPORT ssize_t kpost_callv_sized(int fd, const struct iovec *request, int request_cnt,
				       const struct iovec *reply, int reply_cnt,
				       const struct kpost_options *given,
				       struct kpost_answer *answer, size_t options_size,
				       size_t answer_size)
{
	struct kpost_options options;
	struct calling calling;
	ssize_t ret;

	calling.fd = fd;
	/* What the kernel says where nobody has replied; it says nothing of bad arguments. */
	calling.arg = (struct kpost_call){
		.flags = KPOST_IOVEC | KPOST_REPLY_IOVEC,
		.uid = KPOST_OVERFLOW_ID,
		.gid = KPOST_OVERFLOW_ID,
		.opener_uid = KPOST_OVERFLOW_ID,
		.opener_gid = KPOST_OVERFLOW_ID,
	};
	ret = kpost_struct_get(&options, sizeof(options), given, options_size);
	if (ret)
		goto out;
	if (options.flags & ~(KPOST_PRESENT | KPOST_RETRY | KPOST_CLOCK_FLAGS) || options.expires ||
	    options.number) {
		ret = -EINVAL;
		goto out;
	}
	calling.arg.flags |= options.flags;
	ret = kpost_pieces_get(&calling.out, request, request_cnt);
	if (ret)
		goto out;
	ret = kpost_pieces_get(&calling.in, reply, reply_cnt);
	if (ret) {
		kpost_pieces_put(&calling.out);
		goto out;
	}
	calling.arg.priority = options.priority;
	calling.arg.deadline = options.deadline;
	calling.arg.tag = options.tag;
	calling.arg.cookie = kpost_cookie;
	calling.arg.buf = calling.out.address;
	calling.arg.len = calling.out.count;
	calling.arg.reply_buf = calling.in.address;
	calling.arg.reply_len = calling.in.count;
	ret = calling_do(&calling);
out:
	answer_put(answer, answer_size, &calling.arg);
	return ret;
}

/* A call that is being submitted: if its thread is cancelled then, nobody will collect it. */
struct submission {
	int fd;
	struct kpost_call_submit arg;
	struct kpost_pieces pieces;
};

static void submission_undo(void *data)
{
	struct submission *submission = data;

	kpost_pieces_put(&submission->pieces);
	if (submission->arg.id)
		cancel(submission->fd, &(struct kpost_call_cancel){ .id = submission->arg.id });
}

KPOST_EXPORT ssize_t kpost_call_submit_sized(int fd, const struct iovec *request, int request_cnt,
					     size_t reply_max, uint64_t user_data,
					     const struct kpost_options *given, uint64_t *id,
					     size_t size)
{
	struct submission submission = { .fd = fd };
	struct kpost_options options;
	ssize_t ret;

	ret = kpost_struct_get(&options, sizeof(options), given, size);
	if (ret)
		return ret;
	if (options.flags & KPOST_SHAPE_FLAGS || options.expires || options.number)
		return -EINVAL;
	ret = kpost_pieces_get(&submission.pieces, request, request_cnt);
	if (ret)
		return ret;
	submission.arg = (struct kpost_call_submit){
		.flags = options.flags | KPOST_IOVEC,
		.priority = options.priority,
		.deadline = options.deadline,
		.buf = submission.pieces.address,
		.len = submission.pieces.count,
		.reply_max = reply_max,
		.tag = options.tag,
		.cookie = kpost_cookie,
		.user_data = user_data,
	};
	ret = kpost_wait(fd, KPOST_IOC_CALL_SUBMIT, &submission.arg, options.flags, submission_undo,
			 &submission);
	kpost_pieces_put(&submission.pieces);
	if (!ret && id)
		*id = submission.arg.id;
	return ret;
}

KPOST_EXPORT ssize_t kpost_call_collect_sized(int fd, uint64_t id, void *reply, size_t len,
					      struct kpost_answer *answer, unsigned int flags,
					      uint64_t deadline, size_t size)
{
	struct kpost_call_collect arg = {
		.flags = flags,
		.deadline = deadline,
		.buf = kpost_address(reply),
		.len = len,
		.cookie = kpost_cookie,
		.id = id,
		.uid = KPOST_OVERFLOW_ID,
		.gid = KPOST_OVERFLOW_ID,
		.opener_uid = KPOST_OVERFLOW_ID,
		.opener_gid = KPOST_OVERFLOW_ID,
	};
	struct kpost_answer known;
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_wait(fd, KPOST_IOC_CALL_COLLECT, &arg, flags, kpost_undo_nothing, NULL);
	known = (struct kpost_answer){
		.id = arg.id,
		.user_data = arg.user_data,
		.size = arg.size,
		.sequence = arg.sequence,
		.tag = arg.reply_tag,
		.badge = arg.badge,
		.time = arg.time,
		.flags = arg.message_flags,
		.pid = (pid_t)arg.pid,
		.uid = arg.uid,
		.gid = arg.gid,
		.opener_uid = arg.opener_uid,
		.opener_gid = arg.opener_gid,
	};
	kpost_struct_put(answer, size, &known, sizeof(known));
	return ret;
}

KPOST_EXPORT int kpost_call_cancel(int fd, uint64_t id)
{
	return cancel(fd, &(struct kpost_call_cancel){ .id = id });
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
	if (options.flags || options.priority || options.deadline || options.expires ||
	    options.number)
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
				.cookie = kpost_cookie,
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
	if (response.token && (response.flags & KPOST_SHAPE_FLAGS || response.reserved))
		return -EINVAL;
	/* Without a token there is no reply, whatever the caller still has at hand. */
	if (response.token) {
		exchange.reply.flags = response.flags;
		exchange.reply.token = response.token;
		exchange.reply.buf = kpost_address(response.buf);
		exchange.reply.len = response.len;
		exchange.reply.tag = response.tag;
		exchange.reply.not_before = response.not_before;
	}
	ret = kpost_wait(fd, KPOST_IOC_REPLY_RECV, &arg, flags, exchange_undo, &exchange);
	given->token = exchange.reply.token;
	kpost_receipt_tell(&exchange.receipt, ret, message, message_size);
	return ret;
}
