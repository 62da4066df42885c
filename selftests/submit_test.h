/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that are submitted, collected and cancelled.
 */
#ifndef KPOST_SUBMIT_TEST_H
#define KPOST_SUBMIT_TEST_H

#include "kpost_test.h"

static inline struct kpost_call_submit kt_submit_args(const void *buf, uint64_t len,
						      uint64_t reply_max, uint64_t user_data,
						      unsigned int flags, uint64_t deadline)
{
	struct kpost_call_submit submit = {
		.flags = flags,
		.deadline = deadline,
		.buf = (uintptr_t)buf,
		.len = len,
		.reply_max = reply_max,
		.user_data = user_data,
	};

	kt_poison(&submit.id, sizeof(submit) - offsetof(struct kpost_call_submit, id));
	return submit;
}

/* without waiting for room; @id may be NULL */
static inline long kt_submit(int fd, const void *buf, uint64_t len, uint64_t reply_max,
			     uint64_t user_data, uint64_t *id)
{
	struct kpost_call_submit submit =
		kt_submit_args(buf, len, reply_max, user_data, KPOST_DONTWAIT, 0);
	long ret = kt_ioctl(fd, KPOST_IOC_CALL_SUBMIT, &submit);

	if (id)
		*id = submit.id;
	return ret;
}

static inline struct kpost_call_collect kt_collect_args(void *buf, uint64_t len, uint64_t id,
							unsigned int flags, uint64_t deadline)
{
	struct kpost_call_collect collect;

	kt_poison(&collect, sizeof(collect));
	collect.flags = flags;
	collect.reserved = 0;
	collect.deadline = deadline;
	collect.buf = (uintptr_t)buf;
	collect.len = len;
	collect.cookie = 0;
	collect.id = id;
	return collect;
}

/* without waiting; @collect may be NULL */
static inline long kt_collect(int fd, struct kpost_call_collect *collect, void *buf, uint64_t len,
			      uint64_t id)
{
	struct kpost_call_collect local;

	if (!collect)
		collect = &local;
	*collect = kt_collect_args(buf, len, id, KPOST_DONTWAIT, 0);
	return kt_ioctl(fd, KPOST_IOC_CALL_COLLECT, collect);
}

/* waiting for it */
static inline long kt_collect_soon(int fd, struct kpost_call_collect *collect, void *buf,
				   uint64_t len, uint64_t id)
{
	*collect = kt_collect_args(buf, len, id, 0, kt_soon());
	return kt_ioctl(fd, KPOST_IOC_CALL_COLLECT, collect);
}

/* one, or with 0 all */
static inline long kt_cancel(int fd, uint64_t id)
{
	struct kpost_call_cancel cancel = { .id = id };

	return kt_ioctl(fd, KPOST_IOC_CALL_CANCEL, &cancel);
}

/* what poll(2) says at once of @events */
static inline unsigned int kt_ready(int fd, unsigned int events)
{
	struct pollfd pfd = { .fd = fd, .events = (short)events };

	return poll(&pfd, 1, 0) < 0 ? ~0u : (unsigned int)pfd.revents;
}

/* what counts for the sending shares of this office, of which a test has its part alone */
static inline uint64_t kt_sending_used(void)
{
	struct kpost_info info;

	kt_poison(&info, sizeof(info));
	kt_ioctl(kt_device(), KPOST_IOC_INFO, &info);
	return info.office_sending_used;
}

#endif /* KPOST_SUBMIT_TEST_H */
