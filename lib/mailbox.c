// SPDX-License-Identifier: MIT
/* Mailboxes: opening, naming, and looking at them. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "internal.h"

#define DEFAULT_MODE 0600
/* How many entries a listing takes from the kernel at a time. */
#define LIST_STEP 64

int kpost_name_copy(char to[KPOST_NAME_MAX + 1], const char *name)
{
	size_t len;

	if (!name)
		return -EINVAL;
	len = strnlen(name, KPOST_NAME_MAX + 1);
	if (len > KPOST_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(to, name, len + 1);
	return 0;
}

static int describe(struct kpost_open *arg, const struct kpost_attr *given, size_t size)
{
	struct kpost_attr attr;
	int ret;

	ret = kpost_struct_get(&attr, sizeof(attr), given, size);
	if (ret)
		return ret;
	if (attr.message_max > UINT32_MAX || attr.reserved)
		return -EINVAL;
	arg->mode = attr.mode;
	arg->messages = attr.messages;
	arg->bytes = attr.bytes;
	arg->message_max = (uint32_t)attr.message_max;
	arg->overflow = attr.overflow;
	arg->held_max = attr.held_max;
	arg->owner = attr.owner;
	/* Where nothing can be made, the kernel says what it thinks of a mode. */
	if (!(arg->flags & (KPOST_OPEN_CREATE | KPOST_OPEN_ANONYMOUS)))
		return 0;
	if (!arg->mode)
		arg->mode = DEFAULT_MODE;
	else if (arg->mode == KPOST_MODE_NONE)
		arg->mode = 0;
	return 0;
}

static void undo_device(void *data)
{
	kpost_fd_close(*(int *)data);
}

KPOST_EXPORT int kpost_open_at_sized(int device, const char *name, unsigned int rights,
				     unsigned int flags, const struct kpost_attr *attr,
				     uint64_t deadline, size_t size)
{
	struct kpost_open arg = {
		.flags = flags,
		.rights = rights,
		.deadline = deadline,
		.cookie = flags & KPOST_OPEN_WAIT ? kpost_cookie : 0,
	};
	int ret;

	/* The second endpoint would have nowhere to go: kpost_pair() returns both. */
	if (flags & KPOST_OPEN_PAIR)
		return -EINVAL;
	if (name || !(flags & KPOST_OPEN_ANONYMOUS)) {
		ret = kpost_name_copy(arg.name, name);
		if (ret)
			return ret;
	}
	ret = describe(&arg, attr, size);
	if (ret)
		return ret;
	/* Nobody could close an endpoint that is opened as its thread is cancelled. */
	if (!(flags & KPOST_OPEN_WAIT))
		return kpost_operation(device, KPOST_IOC_OPEN, &arg);
	return kpost_wait(device, KPOST_IOC_OPEN, &arg, 0, kpost_undo_nothing, NULL);
}

KPOST_EXPORT int kpost_open_sized(const char *name, unsigned int rights, unsigned int flags,
				  const struct kpost_attr *attr, uint64_t deadline, size_t size)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	pthread_cleanup_push(undo_device, &device);
	ret = kpost_open_at_sized(device, name, rights, flags, attr, deadline, size);
	pthread_cleanup_pop(1);
	return ret;
}

/* open(2), once it is known that a mailbox is there: a pipe would wait, or wake somebody. */
static int open_path(const char *path, int flags)
{
	struct statfs fs;
	struct stat st;
	int fd;

	if (statfs(path, &fs) || stat(path, &st))
		return -errno;
	if ((unsigned long)fs.f_type != KPOST_SUPER_MAGIC)
		return -ENOTTY;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	fd = open(path, flags);
	if (fd < 0)
		return -errno;
	/* Somebody may have put another file there meanwhile. */
	if (!fstatfs(fd, &fs) && (unsigned long)fs.f_type == KPOST_SUPER_MAGIC)
		return fd;
	close(fd);
	return -ENOTTY;
}

KPOST_EXPORT int kpost_open_path(const char *path, unsigned int rights, unsigned int flags)
{
	static const int modes[] = {
		[KPOST_RIGHT_SEND] = O_WRONLY,
		[KPOST_RIGHT_RECV] = O_RDONLY,
		[KPOST_RIGHT_SEND | KPOST_RIGHT_RECV] = O_RDWR,
	};
	int saved = errno;
	int state, fd;

	if (!rights || rights >= sizeof(modes) / sizeof(modes[0]) || flags & ~KPOST_OPEN_NONBLOCK)
		return -EINVAL;
	/* The C library may make these cancellation points. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	fd = open_path(path, modes[rights] | O_CLOEXEC | (flags ? O_NONBLOCK : 0));
	pthread_setcancelstate(state, NULL);
	errno = saved;
	return fd;
}

KPOST_EXPORT int kpost_pair_sized(int fds[2], unsigned int flags, const struct kpost_attr *attr,
				  size_t size)
{
	struct kpost_open arg = {
		.flags = flags | KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR,
		.rights = KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
	};
	int device, ret;

	ret = describe(&arg, attr, size);
	if (ret)
		return ret;
	device = kpost_device();
	if (device < 0)
		return device;
	ret = kpost_operation(device, KPOST_IOC_OPEN, &arg);
	kpost_fd_close(device);
	if (ret < 0)
		return ret;
	fds[0] = ret;
	fds[1] = arg.send_fd;
	return 0;
}

KPOST_EXPORT int kpost_unlink_at(int device, const char *name)
{
	struct kpost_unlink arg = { .flags = 0 };
	int ret;

	ret = kpost_name_copy(arg.name, name);
	if (ret)
		return ret;
	return kpost_operation(device, KPOST_IOC_UNLINK, &arg);
}

KPOST_EXPORT int kpost_unlink(const char *name)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	ret = kpost_unlink_at(device, name);
	kpost_fd_close(device);
	return ret;
}

KPOST_EXPORT int kpost_stat_sized(int fd, struct kpost_stat *st, size_t size)
{
	if (size > KPOST_SIZE_MAX)
		return -EINVAL;
	return kpost_operation(fd, kpost_number(KPOST_IOC_STAT, size), st);
}

KPOST_EXPORT int kpost_setattr_sized(int fd, const struct kpost_setattr *attr, size_t size)
{
	if (size > KPOST_SIZE_MAX)
		return -EINVAL;
	return kpost_operation(fd, kpost_number(KPOST_IOC_SETATTR, size), (void *)(uintptr_t)attr);
}

KPOST_EXPORT int kpost_grant_sized(int fd, const struct kpost_grant *grant, size_t size)
{
	if (size > KPOST_SIZE_MAX)
		return -EINVAL;
	return kpost_operation(fd, kpost_number(KPOST_IOC_GRANT, size), (void *)(uintptr_t)grant);
}

/* Go through what entries has room for, a step at a time. */
static int list_all(int device, char *entries, size_t size,
		    int (*each)(const struct kpost_stat *st, void *arg), void *arg)
{
	struct kpost_list list = {
		.buf = kpost_address(entries),
		.count = LIST_STEP,
		.entry_size = (uint32_t)size,
	};
	const struct kpost_stat *entry = NULL;
	int count, i, ret = 0;

	do {
		count = kpost_operation(device, KPOST_IOC_LIST, &list);
		if (count < 0)
			return count;
		for (i = 0; i < count && !ret; i++) {
			entry = (const void *)(entries + (size_t)i * size);
			ret = each(entry, arg);
		}
		if (entry)
			memcpy(list.after, entry->name, sizeof(list.after));
	} while (!ret && count == LIST_STEP);
	return ret;
}

KPOST_EXPORT int kpost_list_at_sized(int device,
				     int (*each)(const struct kpost_stat *st, void *arg), void *arg,
				     size_t size)
{
	int saved = errno;
	char *entries;
	int ret;

	/* The name of the last one is where the next step begins. */
	if (size > KPOST_SIZE_MAX || size < offsetof(struct kpost_stat, name) + KPOST_NAME_MAX + 1)
		return -EINVAL;
	entries = malloc(LIST_STEP * size);
	if (!entries) {
		errno = saved;
		return -ENOMEM;
	}
	/* What is called may be cancelled. */
	pthread_cleanup_push(free, entries);
	ret = list_all(device, entries, size, each, arg);
	pthread_cleanup_pop(1);
	return ret;
}

KPOST_EXPORT int kpost_list_sized(int (*each)(const struct kpost_stat *st, void *arg), void *arg,
				  size_t size)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	pthread_cleanup_push(undo_device, &device);
	ret = kpost_list_at_sized(device, each, arg, size);
	pthread_cleanup_pop(1);
	return ret;
}
