/* SPDX-License-Identifier: GPL-2.0-only */
/* io_uring helpers of the selftests: every wait for a completion has a deadline. */
#ifndef KPOST_URING_TEST_H
#define KPOST_URING_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/kpost.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define URING_SECONDS	10	/* no completion takes longer, unless something is wrong */
#define URING_NONE	(-ETIME) /* of uring_wait(): there was none */

/* What liburing 2.3 does not know yet. */
#define URING_OP_READ_MULTISHOT 49
#define URING_CMD_MULTISHOT	2	/* in the flags of a command */

struct uring_result {
	uint64_t data;
	int res;
	unsigned int flags;
	uint64_t big[2]; /* of a ring with IORING_SETUP_CQE32 */
};

static inline int uring_init(struct io_uring *ring, unsigned int entries, unsigned int flags)
{
	struct io_uring_params params = { .flags = flags };

	if (flags & IORING_SETUP_SQPOLL)
		params.sq_thread_idle = 100;
	return io_uring_queue_init_params(entries, ring, &params);
}

/* An operation of kpost's as the next SQE of @ring. */
static inline struct io_uring_sqe *uring_op(struct io_uring *ring, int fd, unsigned int op,
					    const void *arg, uint64_t data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct kpost_uring cmd = { .arg = (uintptr_t)arg };

	if (!sqe)
		return NULL;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	sqe->user_data = data;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	return sqe;
}

/* Does what waits wait without a worker, if it is of the kind that can? */
static inline bool uring_parks(void)
{
	struct kpost_info info;
	int fd = open("/dev/kpost", O_RDWR | O_CLOEXEC);
	bool parks = fd >= 0 && ioctl(fd, KPOST_IOC_INFO, &info) == 0 &&
		     info.features & KPOST_FEATURE_URING_PARK;

	close(fd);
	return parks;
}

/* The next completion; URING_NONE, and a zero @result, if none comes in @seconds. */
static inline int uring_wait_for(struct io_uring *ring, struct uring_result *result,
				 double seconds)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)seconds,
		.tv_nsec = (long long)((seconds - (long long)seconds) * 1e9),
	};
	struct io_uring_cqe *cqe = NULL;
	int ret;

	memset(result, 0, sizeof(*result));
	do {
		ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);
	} while (ret == -EINTR);
	if (ret)
		return ret;
	result->data = cqe->user_data;
	result->res = cqe->res;
	result->flags = cqe->flags;
	if (ring->flags & IORING_SETUP_CQE32)
		memcpy(result->big, cqe->big_cqe, sizeof(result->big));
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

static inline int uring_wait(struct io_uring *ring, struct uring_result *result)
{
	return uring_wait_for(ring, result, URING_SECONDS);
}

/* Is there a completion now, without waiting for one? */
static inline int uring_done(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	return io_uring_peek_cqe(ring, &cqe) == 0;
}

/* Submits what was prepared and returns the result of the one completion that comes. */
static inline int uring_run(struct io_uring *ring)
{
	struct uring_result result;
	int ret = io_uring_submit(ring);

	if (ret < 0)
		return ret;
	ret = uring_wait(ring, &result);
	return ret ? ret : result.res;
}

/* One operation, from start to end. */
static inline int uring_do(struct io_uring *ring, int fd, unsigned int op, const void *arg)
{
	if (!uring_op(ring, fd, op, arg, 1))
		return -ENOSPC;
	return uring_run(ring);
}

/* how many threads the process has, with those that work for its rings */
static inline unsigned int uring_threads(void)
{
	unsigned int count = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Threads: %u", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

#endif /* KPOST_URING_TEST_H */
