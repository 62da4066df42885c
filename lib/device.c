// SPDX-License-Identifier: MIT
/* The office: its counter /dev/kpost, its limits, and its clock. */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull

KPOST_EXPORT int kpost_device(void)
{
	int saved = errno;
	int fd = open(KPOST_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		fd = -errno;
		errno = saved;
	}
	return fd;
}

void kpost_close(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

KPOST_EXPORT int kpost_info_at(int device, struct kpost_info *info)
{
	return kpost_operation(device, KPOST_IOC_INFO, info);
}

KPOST_EXPORT int kpost_info(struct kpost_info *info)
{
	int device = kpost_device();
	int ret;

	if (device < 0)
		return device;
	ret = kpost_info_at(device, info);
	kpost_close(device);
	return ret;
}

KPOST_EXPORT uint64_t kpost_deadline(int64_t milliseconds)
{
	struct timespec now;
	uint64_t ns;

	if (milliseconds < 0)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
	/* The kernel refuses what is past S64_MAX; that far off is for ever. */
	if ((uint64_t)milliseconds > (INT64_MAX - ns) / NS_PER_MS)
		return INT64_MAX;
	return ns + (uint64_t)milliseconds * NS_PER_MS;
}
