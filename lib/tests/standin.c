// SPDX-License-Identifier: MIT
#include "standin.h"

#include <fcntl.h>
#include <sys/ioctl.h>

struct standin standin;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_ioctl(int fd, unsigned long number, ...);

int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/kpost"))
		return __real_open(path, flags, 0);
	standin.open_flags = flags;
	if (standin.open_errno) {
		errno = standin.open_errno;
		return -1;
	}
	standin.opened++;
	return DEVICE_FD;
}

int __wrap_close(int fd)
{
	if (fd != DEVICE_FD)
		return __real_close(fd);
	standin.closed++;
	/* A close that fails must not hide the error of what was done before. */
	errno = EIO;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long number, ...)
{
	va_list args;
	void *arg;

	va_start(args, number);
	arg = va_arg(args, void *);
	va_end(args);
	standin.fd = fd;
	standin.number = number;
	standin.ioctls++;
	assert_true(_IOC_SIZE(number) <= sizeof(standin.arg));
	memcpy(standin.arg, arg, _IOC_SIZE(number));
	if (standin.answer)
		standin.answer(arg);
	if (standin.ret < 0) {
		errno = -standin.ret;
		return -1;
	}
	return standin.ret;
}

void standin_reset(int ret)
{
	memset(&standin, 0, sizeof(standin));
	standin.ret = ret;
	errno = ENOTRECOVERABLE;
}

int standin_setup(void **state)
{
	(void)state;
	standin_reset(0);
	return 0;
}

void standin_expect(int fd, unsigned long number)
{
	assert_int_equal(standin.ioctls, 1);
	assert_int_equal(standin.fd, fd);
	assert_int_equal(standin.number, number);
	/* "never changes errno", whatever the operation returned */
	assert_int_equal(errno, ENOTRECOVERABLE);
}

void standin_expect_device(void)
{
	assert_int_equal(standin.opened, 1);
	assert_int_equal(standin.closed, 1);
	assert_true(standin.open_flags & O_CLOEXEC);
}
