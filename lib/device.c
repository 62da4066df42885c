// SPDX-License-Identifier: MIT
/* The office: its counter /dev/kpost, its limits, and its clock. */
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull

/*
 * open() and close() are cancellation points where the C library has them, and would
 * lose the other files that their callers have open.
 */
KPOST_EXPORT int kpost_device(void)
{
	int saved = errno;
	int state, fd;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	fd = open(KPOST_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		errno = saved;
	}
	pthread_setcancelstate(state, NULL);
	return fd;
}

void kpost_fd_close(int fd)
{
	int saved = errno;
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	close(fd);
	pthread_setcancelstate(state, NULL);
	errno = saved;
}

KPOST_EXPORT int kpost_info_at_sized(int device, struct kpost_info *info, size_t size)
{
	if (size > KPOST_SIZE_MAX)
		return -EINVAL;
	return kpost_operation(device, kpost_number(KPOST_IOC_INFO, size), info);
}

KPOST_EXPORT int kpost_info_sized(struct kpost_info *info, size_t size)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	ret = kpost_info_at_sized(device, info, size);
	kpost_fd_close(device);
	return ret;
}

KPOST_EXPORT uint64_t kpost_deadline(int64_t milliseconds)
{
	return kpost_deadline_by(0, milliseconds);
}

KPOST_EXPORT uint64_t kpost_deadline_by(unsigned int flags, int64_t milliseconds)
{
	clockid_t clock = CLOCK_MONOTONIC;
	struct timespec now;
	uint64_t ns;

	if (milliseconds < 0)
		return 0;
	if (flags & KPOST_BOOTTIME)
		clock = CLOCK_BOOTTIME;
	else if (flags & KPOST_REALTIME)
		clock = CLOCK_REALTIME;
	clock_gettime(clock, &now);
	ns = (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
	/* The kernel refuses what is past S64_MAX; that far off is for ever. */
	if ((uint64_t)milliseconds > (INT64_MAX - ns) / NS_PER_MS)
		return INT64_MAX;
	return ns + (uint64_t)milliseconds * NS_PER_MS;
}
