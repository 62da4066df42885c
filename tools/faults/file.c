// SPDX-License-Identifier: GPL-2.0-only
/* An endpoint as a file, and the files about it. */
#include <sys/epoll.h>
#include <sys/uio.h>

#include "faults.h"

#define LONG 13000

/* By ioctl(2)'s route the system call, else io_uring's operation. */
static long transfer(struct stage *stage, int op, int fd, char *at)
{
	/* the same layout */
	struct iovec *iov = (struct iovec *)stage->args.pieces;
	struct io_uring_sqe sqe = {};

	if (stage->route == BY_IOCTL) {
		switch (op) {
		case IORING_OP_WRITE:
			return faulty(stage, write(fd, at, stage->len));
		case IORING_OP_WRITEV:
			return faulty(stage, writev(fd, iov, PIECES));
		case IORING_OP_READ:
			return faulty(stage, read(fd, at, PAYLOAD_MAX));
		case IORING_OP_READV:
			return faulty(stage, readv(fd, iov, PIECES));
		}
	}
	if (op == IORING_OP_READV || op == IORING_OP_WRITEV)
		io_uring_prep_rw(op, &sqe, fd, iov, PIECES, 0);
	else
		io_uring_prep_rw(op, &sqe, fd, at, (unsigned int)stage->len, 0);
	return stage_ring(stage, &sqe);
}

/* ---- write, writev ---- */

static void prepare_write(struct stage *stage)
{
	stage->len = LONG;
	stage_cut(stage, stage->payload);
}

static long call_write(struct stage *stage)
{
	return transfer(stage, IORING_OP_WRITE, stage->fds[1], stage->payload);
}

static long call_writev(struct stage *stage)
{
	return transfer(stage, IORING_OP_WRITEV, stage->fds[1], stage->payload);
}

static void check_written(struct stage *stage)
{
	must(stage, stage->ret == LONG);
	must(stage, kt_take(stage->fds[0], NULL, stage->buffer, PAYLOAD_MAX) == LONG);
	must(stage, !memcmp(stage->buffer, stage->payload, LONG));
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

/* ---- read, readv ---- */

static void prepare_read(struct stage *stage)
{
	stage->len = LONG;
	kt_poison(stage->buffer, PAYLOAD_MAX);
	stage_cut(stage, stage->buffer);
	must(stage, kt_post(stage->fds[1], stage->payload, LONG, 0) == 0);
}

static long call_read(struct stage *stage)
{
	return transfer(stage, IORING_OP_READ, stage->fds[0], stage->buffer);
}

static long call_readv(struct stage *stage)
{
	return transfer(stage, IORING_OP_READV, stage->fds[0], stage->buffer);
}

static void check_read(struct stage *stage)
{
	must(stage, stage->ret == LONG && !memcmp(stage->buffer, stage->payload, LONG));
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

/* ---- poll ---- */

static void prepare_ready(struct stage *stage)
{
	must(stage, kt_post(stage->fds[1], "x", 1, 0) == 0);
}

static void take_one(struct stage *stage)
{
	char byte;

	must(stage, kt_take(stage->fds[0], NULL, &byte, 1) == 1);
}

static long call_poll(struct stage *stage)
{
	struct pollfd poll_fd = { .fd = stage->fds[0], .events = POLLIN };
	struct io_uring_sqe sqe = {};

	if (stage->route == BY_IOCTL)
		return faulty(stage, poll(&poll_fd, 1, 0));
	io_uring_prep_poll_add(&sqe, stage->fds[0], POLLIN);
	return stage_ring(stage, &sqe);
}

static void check_poll(struct stage *stage)
{
	must(stage, stage->ret == 1); /* one file, or POLLIN */
	take_one(stage);
}

static long call_epoll_ctl(struct stage *stage)
{
	struct epoll_event event = { .events = EPOLLIN };

	return faulty(stage, epoll_ctl(stage->epoll, EPOLL_CTL_ADD, stage->fds[0], &event));
}

static void check_epoll_ctl(struct stage *stage)
{
	struct epoll_event event;

	must(stage, epoll_wait(stage->epoll, &event, 1, 0) == 1 && event.events == EPOLLIN);
	must(stage, epoll_ctl(stage->epoll, EPOLL_CTL_DEL, stage->fds[0], NULL) == 0);
	take_one(stage);
}

/* ---- close: what it has to do, it can do without memory ---- */

static void prepare_close(struct stage *stage)
{
	stage->fd = kt_create(stage->other, KT_ALL);
	must(stage, kt_post(stage->fd, stage->payload, LONG, 0) == 0);
}

static long call_close(struct stage *stage)
{
	return faulty(stage, close(stage->fd));
}

static void check_close(struct stage *stage)
{
	must(stage, kt_open(stage->other, KPOST_RIGHT_SEND, 0) == -ENOENT);
}

/* ---- files in /proc ---- */

/* All of a file, in a few reads; -errno of what failed first. */
static long read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	ssize_t len, done = 0;

	if (fd < 0)
		return -1;
	do {
		len = read(fd, buffer + done, size - (size_t)done - 1);
		done += len;
	} while (len > 0);
	err = errno;
	close(fd);
	buffer[len < 0 ? 0 : done] = '\0';
	errno = err;
	return len < 0 ? -1 : done;
}

static long call_fdinfo(struct stage *stage)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", stage->fds[0]);
	return faulty(stage, read_file(path, stage->buffer, PAYLOAD_MAX));
}

static void check_fdinfo(struct stage *stage)
{
	must(stage, strstr(stage->buffer, "kpost-rights:\trecv,admin\n"));
	must(stage, strstr(stage->buffer, stage->name));
}

static long call_procfs(struct stage *stage)
{
	return faulty(stage, read_file("/proc/net/kpost", stage->buffer, PAYLOAD_MAX));
}

static void check_procfs(struct stage *stage)
{
	must(stage, strstr(stage->buffer, stage->name));
}

static void set_limit(struct stage *stage, const char *value)
{
	int fd = open("/proc/sys/net/kpost/default_bytes", O_WRONLY | O_CLOEXEC);

	must(stage, fd >= 0 && write(fd, value, strlen(value)) > 0 && close(fd) == 0);
}

static __u64 limit(void)
{
	struct kpost_info info = {};

	kt_ioctl(kt_device(), KPOST_IOC_INFO, &info);
	return info.default_bytes;
}

static void prepare_sysctl(struct stage *stage)
{
	set_limit(stage, "5000");
	must(stage, limit() == 5000); /* which opens the device, too */
}

static long call_sysctl(struct stage *stage)
{
	int fd = open("/proc/sys/net/kpost/default_bytes", O_WRONLY | O_CLOEXEC);
	long ret;

	if (fd < 0)
		return -errno;
	ret = faulty(stage, write(fd, "6000", 4));
	close(fd);
	return ret;
}

static bool changed_sysctl(struct stage *stage, long ret)
{
	(void)ret;
	must(stage, limit() == 5000);
	return false;
}

static void check_sysctl(struct stage *stage)
{
	must(stage, limit() == 6000);
	set_limit(stage, "131072");
}

#define FILE_TRIAL(routes_) .routes = (routes_), .errnos = { EFAULT, ENOMEM }

const struct trial file_trials[] = {
	{
		.name = "write",
		FILE_TRIAL(NO_FIXED),
		.elsewhere = { EAGAIN, ENOMEM },
		.prepare = prepare_write,
		.call = call_write,
		.check = check_written,
	},
	{
		.name = "writev",
		FILE_TRIAL(NO_FIXED),
		.elsewhere = { EAGAIN, ENOMEM, EFAULT },
		.prepare = prepare_write,
		.call = call_writev,
		.check = check_written,
	},
	{
		.name = "read",
		FILE_TRIAL(NO_FIXED),
		.elsewhere = { EAGAIN, ENOMEM },
		.prepare = prepare_read,
		.call = call_read,
		.check = check_read,
	},
	{
		.name = "readv",
		FILE_TRIAL(NO_FIXED),
		.elsewhere = { EAGAIN, ENOMEM, EFAULT },
		.prepare = prepare_read,
		.call = call_readv,
		.check = check_read,
	},
	{
		.name = "poll",
		.routes = NO_FIXED,
		.elsewhere = { EAGAIN, ENOMEM, EFAULT },
		.prepare = prepare_ready,
		.call = call_poll,
		.check = check_poll,
	},
	{
		.name = "epoll_ctl",
		FILE_TRIAL(IOCTL),
		.elsewhere = { ENOMEM, EFAULT },
		.prepare = prepare_ready,
		.call = call_epoll_ctl,
		.check = check_epoll_ctl,
	},
	{
		.name = "close",
		.routes = IOCTL,
		.prepare = prepare_close,
		.call = call_close,
		.check = check_close,
	},
	{
		.name = "fdinfo",
		.routes = IOCTL,
		.elsewhere = { ENOMEM, EFAULT },
		.call = call_fdinfo,
		.check = check_fdinfo,
	},
	{
		.name = "/proc/net/kpost",
		.routes = IOCTL,
		.errnos = { ENOMEM },
		.elsewhere = { ENOMEM, EFAULT },
		.call = call_procfs,
		.check = check_procfs,
	},
	{
		.name = "sysctl write",
		.routes = IOCTL,
		.root = true,
		.elsewhere = { ENOMEM, EFAULT },
		.prepare = prepare_sysctl,
		.call = call_sysctl,
		.check = check_sysctl,
		.changed = changed_sysctl,
	},
	{},
};
