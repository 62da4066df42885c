// SPDX-License-Identifier: GPL-2.0-only
/* What stub.c and remote.c have not of libkpost: calls, and envelopes; and the clock. */
#include <errno.h>
#include <kpost.h>
#include <time.h>

int kpost_sendv_sized(int fd, const struct iovec *iov, int iovcnt,
		      const struct kpost_options *options, uint64_t *sequence, size_t options_size)
{
	return -ENOSYS;
}

int kpost_drop(int fd, uint64_t token)
{
	return -ENOSYS;
}

int kpost_reply(int fd, uint64_t token, const void *buf, size_t len)
{
	return -ENOSYS;
}

ssize_t kpost_call(int fd, const void *request, size_t len, void *reply, size_t reply_len,
		   uint64_t deadline)
{
	return -ENOSYS;
}

ssize_t kpost_call_submit_sized(int fd, const struct iovec *request, int request_cnt,
				size_t reply_max, uint64_t user_data,
				const struct kpost_options *options, uint64_t *id,
				size_t options_size)
{
	return -ENOSYS;
}

ssize_t kpost_call_collect_sized(int fd, uint64_t id, void *reply, size_t len,
				 struct kpost_answer *answer, unsigned int flags, uint64_t deadline,
				 size_t answer_size)
{
	return -EAGAIN;
}

int kpost_call_cancel(int fd, uint64_t id)
{
	return -ENOENT;
}

ssize_t kpost_bridge_origin_sized(uint64_t badge, const void *buf, size_t len,
				  struct kpost_origin *origin, size_t size)
{
	return -EBADMSG;
}

uint64_t kpost_deadline(int64_t milliseconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return milliseconds < 0 ?
		       0 :
		       ts.tv_sec * 1000000000ull + ts.tv_nsec + milliseconds * 1000000ull;
}

ssize_t kpost_reply_recv_sized(int fd, struct kpost_response *response, void *buf, size_t len,
			       struct kpost_message *message, unsigned int flags, uint64_t deadline,
			       size_t response_size, size_t message_size)
{
	return -ENOSYS;
}
