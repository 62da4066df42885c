// SPDX-License-Identifier: MIT
/* Calls and their replies. */
#include "internal.h"

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

	return kpost_operation(fd, KPOST_IOC_CALL, &arg);
}

KPOST_EXPORT ssize_t kpost_callv(int fd, const struct iovec *request, int request_cnt,
				 const struct iovec *reply, int reply_cnt, unsigned int priority,
				 uint64_t deadline)
{
	struct kpost_call arg = {
		.flags = KPOST_IOVEC | KPOST_REPLY_IOVEC,
		.priority = priority,
		.deadline = deadline,
	};
	struct kpost_pieces out, in;
	ssize_t ret;

	ret = kpost_pieces_get(&out, request, request_cnt);
	if (ret)
		return ret;
	ret = kpost_pieces_get(&in, reply, reply_cnt);
	if (ret)
		goto put_out;
	arg.buf = out.address;
	arg.len = out.count;
	arg.reply_buf = in.address;
	arg.reply_len = in.count;
	ret = kpost_operation(fd, KPOST_IOC_CALL, &arg);
	kpost_pieces_put(&in);
put_out:
	kpost_pieces_put(&out);
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

KPOST_EXPORT ssize_t kpost_reply_recv(int fd, uint64_t *token, const void *reply, size_t reply_len,
				      void *buf, size_t len, struct kpost_message *message,
				      unsigned int flags, uint64_t deadline)
{
	struct kpost_reply out = { .token = *token };
	struct kpost_recv in = {
		.flags = flags,
		.deadline = deadline,
		.buf = kpost_address(buf),
		.len = len,
	};
	struct kpost_reply_recv arg = {
		.reply = kpost_address(&out),
		.recv = kpost_address(&in),
		.reply_size = sizeof(out),
		.recv_size = sizeof(in),
	};
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	/* Without a token there is no reply, whatever the caller still has at hand. */
	if (out.token) {
		out.buf = kpost_address(reply);
		out.len = reply_len;
	}
	ret = kpost_operation(fd, KPOST_IOC_REPLY_RECV, &arg);
	*token = out.token;
	kpost_message_set(message, &in, ret);
	return ret;
}
