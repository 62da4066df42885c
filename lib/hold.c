// SPDX-License-Identifier: MIT
/* Messages that are held, and what becomes of them. */
#include "internal.h"

KPOST_EXPORT ssize_t kpost_hold_sized(int fd, void *buf, size_t len, struct kpost_message *message,
				      unsigned int flags, uint64_t deadline, uint64_t until,
				      size_t size)
{
	struct kpost_receipt receipt = {
		.fd = fd,
		.arg = {
			.flags = flags | KPOST_HOLD,
			.deadline = deadline,
			.cookie = kpost_cookie,
			.hold_until = until,
			.buf = kpost_address(buf),
			.len = len,
		},
	};

	return kpost_receipt_get(&receipt, flags, message, size);
}

/* @count is 0 for the one that @token stands for, else @tokens are theirs. */
static int end(int fd, unsigned int flags, uint64_t token, const uint64_t *tokens, size_t count,
	       uint64_t not_before)
{
	struct kpost_reply arg = {
		.flags = flags,
		.token = token,
		.buf = kpost_address(tokens),
		.len = count,
		.not_before = not_before,
	};

	return kpost_operation(fd, KPOST_IOC_REPLY, &arg);
}

KPOST_EXPORT int kpost_done(int fd, uint64_t token)
{
	return end(fd, KPOST_DONE, token, NULL, 0, 0);
}

KPOST_EXPORT int kpost_return(int fd, uint64_t token, uint64_t not_before)
{
	return end(fd, KPOST_RETURN, token, NULL, 0, not_before);
}

KPOST_EXPORT int kpost_done_batch(int fd, const uint64_t *tokens, size_t count)
{
	return end(fd, KPOST_DONE | KPOST_TOKENS, 0, tokens, count, 0);
}

KPOST_EXPORT int kpost_return_batch(int fd, const uint64_t *tokens, size_t count,
				    uint64_t not_before)
{
	return end(fd, KPOST_RETURN | KPOST_TOKENS, 0, tokens, count, not_before);
}

void kpost_token_undo(int fd, uint64_t token, unsigned int message_flags)
{
	if (!token)
		return;
	if (message_flags & KPOST_MESSAGE_HELD)
		kpost_return(fd, token, 0);
	else
		kpost_drop(fd, token);
}
