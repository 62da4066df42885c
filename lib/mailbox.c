// SPDX-License-Identifier: MIT
/* Mailboxes: opening, naming, and looking at them. */
#include <stdlib.h>
#include <string.h>

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

static int describe(struct kpost_open *arg, const struct kpost_attr *attr)
{
	if (attr) {
		if (attr->message_max > UINT32_MAX)
			return -EINVAL;
		arg->mode = attr->mode;
		arg->messages = attr->messages;
		arg->bytes = attr->bytes;
		arg->message_max = (uint32_t)attr->message_max;
	}
	if (!arg->mode && (arg->flags & (KPOST_OPEN_CREATE | KPOST_OPEN_ANONYMOUS)))
		arg->mode = DEFAULT_MODE;
	return 0;
}

KPOST_EXPORT int kpost_open_at(int device, const char *name, unsigned int rights,
			       unsigned int flags, const struct kpost_attr *attr, uint64_t deadline)
{
	struct kpost_open arg = {
		.flags = flags,
		.rights = rights,
		.deadline = deadline,
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
	ret = describe(&arg, attr);
	if (ret)
		return ret;
	return kpost_operation(device, KPOST_IOC_OPEN, &arg);
}

KPOST_EXPORT int kpost_open(const char *name, unsigned int rights, unsigned int flags,
			    const struct kpost_attr *attr, uint64_t deadline)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	ret = kpost_open_at(device, name, rights, flags, attr, deadline);
	kpost_close(device);
	return ret;
}

KPOST_EXPORT int kpost_pair(int fds[2], unsigned int flags, const struct kpost_attr *attr)
{
	struct kpost_open arg = {
		.flags = flags | KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR,
		.rights = KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
	};
	int device, ret;

	ret = describe(&arg, attr);
	if (ret)
		return ret;
	device = kpost_device();
	if (device < 0)
		return device;
	ret = kpost_operation(device, KPOST_IOC_OPEN, &arg);
	kpost_close(device);
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
	kpost_close(device);
	return ret;
}

KPOST_EXPORT int kpost_stat(int fd, struct kpost_stat *st)
{
	return kpost_operation(fd, KPOST_IOC_STAT, st);
}

KPOST_EXPORT int kpost_setattr(int fd, const struct kpost_setattr *attr)
{
	return kpost_operation(fd, KPOST_IOC_SETATTR, (void *)(uintptr_t)attr);
}

KPOST_EXPORT int kpost_list_at(int device, int (*each)(const struct kpost_stat *st, void *arg),
			       void *arg)
{
	struct kpost_list list = {
		.count = LIST_STEP,
		.entry_size = sizeof(struct kpost_stat),
	};
	struct kpost_stat *entries;
	int count, i, ret = 0;

	entries = malloc(LIST_STEP * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	list.buf = kpost_address(entries);
	do {
		count = kpost_operation(device, KPOST_IOC_LIST, &list);
		if (count < 0) {
			ret = count;
			break;
		}
		for (i = 0; i < count && !ret; i++)
			ret = each(&entries[i], arg);
		if (count > 0)
			memcpy(list.after, entries[count - 1].name, sizeof(list.after));
	} while (!ret && count == LIST_STEP);
	free(entries);
	return ret;
}

KPOST_EXPORT int kpost_list(int (*each)(const struct kpost_stat *st, void *arg), void *arg)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	ret = kpost_list_at(device, each, arg);
	kpost_close(device);
	return ret;
}
