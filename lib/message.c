// SPDX-License-Identifier: MIT
/* Messages: sending and receiving them. */
#include "internal.h"

KPOST_EXPORT int kpost_send(int fd, const void *buf, size_t len, unsigned int priority,
			    unsigned int flags, uint64_t deadline)
{
	struct kpost_send arg = {
		.flags = flags,
		.priority = priority,
		.deadline = deadline,
		.buf = kpost_address(buf),
		.len = len,
	};

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	return kpost_operation(fd, KPOST_IOC_SEND, &arg);
}

KPOST_EXPORT int kpost_sendv(int fd, const struct iovec *iov, int iovcnt, unsigned int priority,
			     unsigned int flags, uint64_t deadline)
{
	struct kpost_send arg = {
		.flags = flags | KPOST_IOVEC,
		.priority = priority,
		.deadline = deadline,
	};
	struct kpost_pieces pieces;
	int ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_pieces_get(&pieces, iov, iovcnt);
	if (ret)
		return ret;
	arg.buf = pieces.address;
	arg.len = pieces.count;
	ret = kpost_operation(fd, KPOST_IOC_SEND, &arg);
	kpost_pieces_put(&pieces);
	return ret;
}

void kpost_message_set(struct kpost_message *message, const struct kpost_recv *arg, ssize_t ret)
{
	if (!message)
		return;
	if (ret >= 0) {
		message->size = arg->size;
		message->sequence = arg->sequence;
		message->token = arg->token;
		message->reply_max = arg->reply_max;
		message->flags = arg->message_flags;
		message->priority = arg->priority;
		message->pid = (pid_t)arg->pid;
		message->uid = arg->uid;
		message->gid = arg->gid;
	} else if (ret == -EMSGSIZE) {
		message->size = arg->size;
	}
}

KPOST_EXPORT ssize_t kpost_recv(int fd, void *buf, size_t len, struct kpost_message *message,
				unsigned int flags, uint64_t deadline)
{
	struct kpost_recv arg = {
		.flags = flags,
		.deadline = deadline,
		.buf = kpost_address(buf),
		.len = len,
	};
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_operation(fd, KPOST_IOC_RECV, &arg);
	kpost_message_set(message, &arg, ret);
	return ret;
}

KPOST_EXPORT ssize_t kpost_recvv(int fd, const struct iovec *iov, int iovcnt,
				 struct kpost_message *message, unsigned int flags,
				 uint64_t deadline)
{
	struct kpost_recv arg = {
		.flags = flags | KPOST_IOVEC,
		.deadline = deadline,
	};
	struct kpost_pieces pieces;
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_pieces_get(&pieces, iov, iovcnt);
	if (ret)
		return ret;
	arg.buf = pieces.address;
	arg.len = pieces.count;
	ret = kpost_operation(fd, KPOST_IOC_RECV, &arg);
	kpost_pieces_put(&pieces);
	kpost_message_set(message, &arg, ret);
	return ret;
}
