// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be done to any descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine.h"

/* Slot @slot is @fd from now on. What it was stays open, as leaked descriptors do. */
void file_keep(unsigned int slot, int fd)
{
	if (fd >= 0)
		me->slots[slot % SLOTS] = fd;
}

static bool is_endpoint(int fd)
{
	char path[40], target[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	return !strcmp(target, "anon_inode:[kpost]") || path_is_of(target);
}

static void move_bytes(const struct operation *op, int fd)
{
	uint64_t len = memory_length(op->len);
	void *at = memory_address(op->buf, len);
	struct iovec pieces[] = { { at, len },
				  { memory_address(op->reply_buf, 8),
				    memory_length(op->reply_len) },
				  { me->memory.private, op->value } };
	long ret = 0;

	switch (op->kind) {
	case OP_READ:
		ret = read(fd, at, len);
		break;
	case OP_WRITE:
		ret = write(fd, at, len);
		break;
	case OP_READV:
		ret = readv(fd, pieces, op->flags & 3);
		break;
	case OP_WRITEV:
		ret = writev(fd, pieces, op->flags & 3);
		break;
	}
	/* Other files have other errors. */
	if (ret < 0 && !expect_errno(op, errno) && is_endpoint(fd))
		operation_judge(op, NULL, -errno);
}

static uint32_t rights_of(int fd)
{
	struct kpost_stat st;

	return ioctl(fd, KPOST_IOC_STAT, &st) ? 0 : st.rights;
}

static void poll_file(const struct operation *op, int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = op->flags ? op->flags : POLLIN | POLLOUT };
	int timeout = op->deadline == AT_SOON ? 0 : op->deadline == AT_NEVER ? -1 : 2;

	poll(&pollfd, 1, timeout);
	/* Who cannot send any more is told of both, unless there may be something to receive. */
	if ((pollfd.revents & (POLLERR | POLLHUP)) == POLLERR && is_endpoint(fd) &&
	    me->slots[op->fd] == fd && !(rights_of(fd) & KPOST_RIGHT_RECV))
		machine_found("operation %u polled and saw POLLERR alone", me->index);
}

static void epoll_file(const struct operation *op, int fd)
{
	static const uint32_t events[] = {
		EPOLLIN,
		EPOLLOUT,
		EPOLLIN | EPOLLOUT | EPOLLRDHUP,
		EPOLLIN | EPOLLET,
		EPOLLIN | EPOLLOUT | EPOLLET,
		EPOLLIN | EPOLLONESHOT,
		EPOLLIN | EPOLLEXCLUSIVE,
		EPOLLOUT | EPOLLEXCLUSIVE | EPOLLET,
	};
	struct epoll_event event = { .events = events[op->flags % 8], .data.fd = fd };
	int epoll = me->slots[op->to];

	switch (op->value % 5) {
	case 0:
		epoll = epoll_create1(EPOLL_CLOEXEC);
		file_keep(op->to, epoll);
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		break;
	case 1:
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		break;
	case 2:
		epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
		break;
	case 3:
		epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
		break;
	case 4:
		epoll_wait(epoll, &event, 1, op->deadline == AT_NEVER ? -1 : op->flags % 2);
		break;
	}
}

static void other_call(const struct operation *op, int fd)
{
	int n = 1, other = me->slots[op->to];
	struct stat st;
	loff_t offset = 0;
	void *at;

	switch (op->value % 16) {
	case 0:
		at = mmap(NULL, 4096, op->flags & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
			  op->flags & 2 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		if (at != MAP_FAILED)
			munmap(at, 4096);
		break;
	case 1:
		lseek(fd, op->flags, SEEK_SET);
		break;
	case 2:
		fsync(fd);
		break;
	case 3:
		ftruncate(fd, op->flags);
		break;
	case 4:
		fstat(fd, &st);
		break;
	case 5:
		pread(fd, memory_address(op->buf, 16), 16, op->flags);
		break;
	case 6:
		pwrite(fd, memory_address(op->buf, 16), 16, op->flags);
		break;
	case 7:
		sendfile(fd, other, &offset, 16);
		break;
	case 8:
		splice(fd, NULL, other, NULL, 16, SPLICE_F_NONBLOCK);
		break;
	case 9:
		ioctl(fd, FIONREAD, &n);
		break;
	case 10:
		ioctl(fd, FIONBIO, &n);
		break;
	case 11:
		fcntl(fd, F_SETFL, O_ASYNC | O_APPEND | O_DIRECT);
		break;
	case 12:
		fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_RDLCK });
		break;
	case 13:
		fchmod(fd, 0666);
		break;
	case 14:
		tee(fd, other, 16, SPLICE_F_NONBLOCK);
		break;
	case 15:
		preadv2(fd, &(struct iovec){ memory_address(op->buf, 16), 16 }, 1, -1, RWF_NOWAIT);
		break;
	}
}

static void show(const struct operation *op, int fd)
{
	char path[64], text[4096];
	int from;

	switch (op->value % 4) {
	case 0:
		snprintf(path, sizeof(path), "/proc/thread-self/net/kpost");
		break;
	case 1:
	case 2:
		snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
		break;
	case 3:
		snprintf(path, sizeof(path), "/sys/kernel/tracing/trace");
		break;
	}
	from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return;
	while (read(from, text, op->flags & 1 ? 100 : sizeof(text)) > 0 && op->value % 4 != 3)
		;
	close(from);
}

/* Which names are reserved; a write can be cut off, or follow another, by what .flags says. */
static void sysctl_reserve(const struct operation *op, int fd)
{
	static const char *const texts[] = {
		"a", "b\n", "", "\n", "x \\\xff", "a/b", "a\nb", "\x7f"
	};
	char text[KPOST_NAME_MAX + 2];
	size_t len;

	memset(text, 'l', sizeof(text));
	len = op->len ? KPOST_NAME_MAX - 1 + op->len % 4 : strlen(texts[op->value % 8]);
	if (!op->len)
		memcpy(text, texts[op->value % 8], len);
	pwrite(fd, text, len, op->flags & 1);
	pread(fd, text, op->flags & 2 ? 3 : sizeof(text), op->flags & 4 ? 2 : 0);
}

static void sysctl_write(const struct operation *op)
{
	static const char *const names[] = { "default_bytes", "user_bytes", "user_sending_bytes",
					     "office_bytes", "office_sending_bytes" };
	char path[64], text[32];
	int fd, len;

	snprintf(path, sizeof(path), "/proc/sys/net/kpost/%s",
		 op->value & 64	 ? "private" :
		 op->value & 128 ? "reserved" :
				   names[op->value % 5]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	world->sysctls_changed[me->office] = true;
	if ((op->value & 192) == 128) {
		sysctl_reserve(op, fd);
		close(fd);
		return;
	}
	len = snprintf(text, sizeof(text), op->flags & 1 ? "%lld x" : "%lld",
		       (long long)memory_length(op->len));
	write(fd, text, len);
	pread(fd, text, sizeof(text), 0);
	close(fd);
}

/* Those of a task's operations that concern files. */
void file_operate(void)
{
	const struct operation *op = me->op;
	int fd = me->slots[op->fd];

	switch (op->kind) {
	case OP_READ:
	case OP_WRITE:
	case OP_READV:
	case OP_WRITEV:
		move_bytes(op, fd);
		break;
	case OP_POLL:
		poll_file(op, fd);
		break;
	case OP_DEVICE:
		file_keep(op->to,
			  open("/dev/kpost", (op->flags & 1 ? O_RDONLY : O_RDWR) |
						     (op->flags & 2 ? O_NONBLOCK : 0) | O_CLOEXEC));
		break;
	case OP_DUP:
		file_keep(op->to, fcntl(fd, F_DUPFD_CLOEXEC, 0));
		break;
	case OP_CLOSE:
		if (fd >= 0 && atomic_compare_exchange_strong(&me->slots[op->fd], &fd, -1))
			close(fd);
		break;
	case OP_NONBLOCK:
		fcntl(fd, F_SETFL, op->value & 1 ? 0 : O_NONBLOCK);
		break;
	case OP_FILE:
		other_call(op, fd);
		break;
	case OP_EPOLL:
		epoll_file(op, fd);
		break;
	case OP_SHOW:
		show(op, fd);
		break;
	case OP_SYSCTL:
		sysctl_write(op);
		break;
	}
}
