/* SPDX-License-Identifier: MIT */
/*
 * What the library's files share with each other and with nobody else.
 */
#ifndef KPOST_INTERNAL_H
#define KPOST_INTERNAL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "kpost.h"

#define KPOST_DEVICE_PATH "/dev/kpost"

/* The flags that say what buf is; the functions set them, callers may not. */
#define KPOST_SHAPE_FLAGS (KPOST_IOVEC | KPOST_REPLY_IOVEC)

/* Marks what libkpost.map exports; everything else is hidden. */
#define KPOST_EXPORT __attribute__((visibility("default")))

#define kpost_address(pointer) ((uint64_t)(uintptr_t)(pointer))

/*
 * struct iovec in the kernel's layout, which on 64-bit machines is its own.
 * The tests override this to run the conversion there as well.
 */
#ifndef KPOST_IOVEC_NATIVE
#define KPOST_IOVEC_NATIVE (sizeof(struct iovec) == sizeof(struct kpost_iovec))
#endif

struct kpost_pieces {
	uint64_t address; /* of the list, as the kernel takes it */
	uint64_t count;
	struct kpost_iovec *heap;
	struct kpost_iovec few[8];
};

int kpost_pieces_get(struct kpost_pieces *pieces, const struct iovec *iov, int iovcnt);
void kpost_pieces_put(struct kpost_pieces *pieces);

/* An ioctl that returns -errno and leaves errno alone. */
static inline int kpost_operation(int fd, unsigned long number, void *arg)
{
	int saved = errno;
	int ret = ioctl(fd, number, arg);

	if (ret < 0) {
		ret = -errno;
		errno = saved;
	}
	return ret;
}

int kpost_name_copy(char to[KPOST_NAME_MAX + 1], const char *name);
void kpost_close(int fd);
void kpost_message_set(struct kpost_message *message, const struct kpost_recv *arg, ssize_t ret);

#endif /* KPOST_INTERNAL_H */
