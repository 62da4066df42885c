// SPDX-License-Identifier: MIT
/* How operations are done, and how structs pass between programs and library of any age. */
#include <pthread.h>
#include <string.h>

#include "internal.h"

int kpost_operation(int fd, unsigned long number, void *arg)
{
	int saved = errno;
	int ret = ioctl(fd, number, arg);

	if (ret < 0) {
		ret = -errno;
		errno = saved;
	}
	return ret;
}

__thread uint64_t kpost_cookie;

KPOST_EXPORT uint64_t kpost_thread_cookie(uint64_t cookie)
{
	uint64_t before = kpost_cookie;

	kpost_cookie = cookie;
	return before;
}

KPOST_EXPORT int kpost_cancel(int fd, uint64_t cookie)
{
	struct kpost_cancel arg = { .cookie = cookie };

	return kpost_operation(fd, KPOST_IOC_CANCEL, &arg);
}

KPOST_EXPORT int kpost_close(int fd)
{
	int ret = kpost_cancel(fd, 0);

	if (ret < 0)
		return ret;
	kpost_fd_close(fd);
	return 0;
}

void kpost_undo_nothing(void *data)
{
	(void)data;
}

/*
 * ioctl() is no cancellation point, so the thread can be cancelled at any instruction
 * around it instead.  The kernel ends an operation before it lets the thread be
 * cancelled, so its struct tells @undo whether it was done.
 */
int kpost_wait(int fd, unsigned long number, void *arg, unsigned int flags, void (*undo)(void *),
	       void *data)
{
	int type, ret;

	pthread_cleanup_push(undo, data);
	if (flags & KPOST_DONTWAIT) {
		pthread_testcancel();
		ret = kpost_operation(fd, number, arg);
	} else {
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
		ret = kpost_operation(fd, number, arg);
		pthread_setcanceltype(type, NULL);
	}
	pthread_cleanup_pop(0);
	return ret;
}

int kpost_struct_convert(void *known, size_t known_size, const void *given, size_t size)
{
	const char *bytes = given;
	size_t common = size < known_size ? size : known_size;
	size_t i;

	for (i = common; i < size; i++) {
		if (bytes[i])
			return -E2BIG;
	}
	if (common)
		memcpy(known, given, common);
	memset((char *)known + common, 0, known_size - common);
	return 0;
}

void kpost_struct_put_other(void *given, size_t size, const void *known, size_t known_size)
{
	size_t common = size < known_size ? size : known_size;

	memcpy(given, known, common);
	memset((char *)given + common, 0, size - common);
}
