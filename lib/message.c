// SPDX-License-Identifier: MIT
/* Messages: sending and receiving them. */
#include "internal.h"

_Static_assert(offsetof(struct kpost_message, size) == 0, "told alone with -EMSGSIZE");

static void undo_pieces(void *data)
{
	kpost_pieces_put(data);
}

KPOST_EXPORT int kpost_send(int fd, const void *buf, size_t len, unsigned int priority,
			    unsigned int flags, uint64_t deadline)
{
	struct kpost_send arg = {
		.flags = flags,
		.priority = priority,
		.deadline = deadline,
		.buf = kpost_address(buf),
		.len = len,
		.cookie = kpost_cookie,
	};

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	return kpost_wait(fd, KPOST_IOC_SEND, &arg, flags, kpost_undo_nothing, NULL);
}

KPOST_EXPORT int kpost_sendv_sized(int fd, const struct iovec *iov, int iovcnt,
				   const struct kpost_options *given, uint64_t *sequence,
				   size_t size)
{
	struct kpost_options options;
	struct kpost_pieces pieces;
	struct kpost_send arg;
	int ret;

	ret = kpost_struct_get(&options, sizeof(options), given, size);
	if (ret)
		return ret;
	if (options.flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_pieces_get(&pieces, iov, iovcnt);
	if (ret)
		return ret;
	arg = (struct kpost_send){
		.flags = options.flags | KPOST_IOVEC | (sequence ? KPOST_WANT_SEQUENCE : 0),
		.priority = options.priority,
		.deadline = options.deadline,
		.buf = pieces.address,
		.len = pieces.count,
		.tag = options.tag,
		.expires = options.expires,
		.number = options.number,
		.cookie = kpost_cookie,
	};
	ret = kpost_wait(fd, KPOST_IOC_SEND, &arg, options.flags, undo_pieces, &pieces);
	kpost_pieces_put(&pieces);
	if (!ret && sequence)
		*sequence = arg.sequence;
	return ret || !(options.flags & KPOST_NUMBERED) ? ret : (int)arg.out_flags;
}

void kpost_receipt_undo(void *data)
{
	struct kpost_receipt *receipt = data;

	/*
	 * It came as the thread was cancelled, so nobody has its token: a caller would wait for
	 * nothing, and what is held would stay so.
	 */
	kpost_token_undo(receipt->fd, receipt->arg.token, receipt->arg.message_flags);
	if (receipt->pieces)
		kpost_pieces_put(receipt->pieces);
}

void kpost_receipt_tell(const struct kpost_receipt *receipt, ssize_t ret,
			struct kpost_message *message, size_t size)
{
	const struct kpost_recv *arg = &receipt->arg;
	const struct kpost_message known = {
		.size = arg->size,
		.sequence = arg->sequence,
		.tag = arg->tag,
		.badge = arg->badge,
		.time = arg->time,
		.token = arg->token,
		.reply_max = arg->reply_max,
		.call_deadline = arg->call_deadline,
		.flags = arg->message_flags,
		.priority = arg->priority,
		.pid = (pid_t)arg->pid,
		.uid = arg->uid,
		.gid = arg->gid,
		.opener_uid = arg->opener_uid,
		.opener_gid = arg->opener_gid,
		.missed = arg->missed,
		.attempts = arg->attempts,
		.expires = arg->expires,
	};

	if (ret >= 0)
		kpost_struct_put(message, size, &known, sizeof(known));
	else if (ret == -EMSGSIZE && message && size >= sizeof(known.size))
		message->size = known.size;
}

ssize_t kpost_receipt_get(struct kpost_receipt *receipt, unsigned int flags,
			  struct kpost_message *message, size_t size)
{
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_wait(receipt->fd, KPOST_IOC_RECV, &receipt->arg, flags, kpost_receipt_undo,
			 receipt);
	kpost_receipt_tell(receipt, ret, message, size);
	return ret;
}

KPOST_EXPORT ssize_t kpost_recv_sized(int fd, void *buf, size_t len, struct kpost_message *message,
				      unsigned int flags, uint64_t deadline, size_t size)
{
	struct kpost_receipt receipt = {
		.fd = fd,
		.arg = {
			.flags = flags,
			.deadline = deadline,
			.cookie = kpost_cookie,
			.buf = kpost_address(buf),
			.len = len,
		},
	};

	return kpost_receipt_get(&receipt, flags, message, size);
}

KPOST_EXPORT ssize_t kpost_recv_tag_sized(int fd, uint64_t tag, void *buf, size_t len,
					  struct kpost_message *message, unsigned int flags,
					  uint64_t deadline, size_t size)
{
	struct kpost_receipt receipt = {
		.fd = fd,
		.arg = {
			.flags = flags | KPOST_MATCH,
			.deadline = deadline,
			.cookie = kpost_cookie,
			.buf = kpost_address(buf),
			.len = len,
			.tag = tag,
		},
	};
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_wait(fd, KPOST_IOC_RECV, &receipt.arg, flags, kpost_receipt_undo, &receipt);
	kpost_receipt_tell(&receipt, ret, message, size);
	return ret;
}

KPOST_EXPORT ssize_t kpost_recvv_sized(int fd, const struct iovec *iov, int iovcnt,
				       struct kpost_message *message, unsigned int flags,
				       uint64_t deadline, size_t size)
{
	struct kpost_pieces pieces;
	struct kpost_receipt receipt = {
		.fd = fd,
		.arg = {
			.flags = flags | KPOST_IOVEC,
			.deadline = deadline,
			.cookie = kpost_cookie,
		},
		.pieces = &pieces,
	};
	ssize_t ret;

	if (flags & KPOST_SHAPE_FLAGS)
		return -EINVAL;
	ret = kpost_pieces_get(&pieces, iov, iovcnt);
	if (ret)
		return ret;
	receipt.arg.buf = pieces.address;
	receipt.arg.len = pieces.count;
	ret = kpost_wait(fd, KPOST_IOC_RECV, &receipt.arg, flags, kpost_receipt_undo, &receipt);
	kpost_pieces_put(&pieces);
	kpost_receipt_tell(&receipt, ret, message, size);
	return ret;
}
