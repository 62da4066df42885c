/* SPDX-License-Identifier: MIT */
/*
 * What the library's files share with each other and with nobody else.
 */
#ifndef KPOST_INTERNAL_H
#define KPOST_INTERNAL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kpost.h"

#define KPOST_DEVICE_PATH "/dev/kpost"

/* The flags that say what buf is and what comes back; the functions set them, not callers. */
#define KPOST_SHAPE_FLAGS (KPOST_IOVEC | KPOST_REPLY_IOVEC | KPOST_WANT_SEQUENCE | KPOST_TOKENS)

/* Those that say by which clock a deadline is. */
#define KPOST_CLOCK_FLAGS (KPOST_BOOTTIME | KPOST_REALTIME)

/* An operation's number for a struct of the caller's size; that size has to fit. */
#define KPOST_SIZE_MAX _IOC_SIZEMASK
#define kpost_number(number, size) \
	_IOC(_IOC_DIR(number), _IOC_TYPE(number), _IOC_NR(number), (size))

/* The user that stands for those who have no number here. */
#define KPOST_OVERFLOW_ID 65534

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
int kpost_operation(int fd, unsigned long number, void *arg);

/*
 * The same as a cancellation point.  @flags are the operation's: with KPOST_DONTWAIT the
 * thread is cancelled before it or not at all.  @undo is called with @data if it is
 * cancelled.
 */
int kpost_wait(int fd, unsigned long number, void *arg, unsigned int flags, void (*undo)(void *),
	       void *data);
void kpost_undo_nothing(void *data);

/* What kpost_cancel() finds the thread's waits by, 0 for nothing. */
extern __thread uint64_t kpost_cookie;

/*
 * Copy in a struct of the caller's, which may be older or newer than the library; given may
 * be NULL, which is all zero.  Most programs are as old as the library, and this is done for
 * each message, hence the copy of a size that the compiler knows.
 */
int kpost_struct_convert(void *known, size_t known_size, const void *given, size_t size);
static inline int kpost_struct_get(void *known, size_t known_size, const void *given, size_t size)
{
	if (!given || size != known_size)
		return kpost_struct_convert(known, known_size, given, given ? size : 0);
	memcpy(known, given, known_size);
	return 0;
}

/* Copy one out, likewise; given may be NULL. */
void kpost_struct_put_other(void *given, size_t size, const void *known, size_t known_size);
static inline void kpost_struct_put(void *given, size_t size, const void *known, size_t known_size)
{
	if (!given)
		return;
	if (size == known_size)
		memcpy(given, known, known_size);
	else
		kpost_struct_put_other(given, size, known, known_size);
}

int kpost_name_copy(char to[KPOST_NAME_MAX + 1], const char *name);
void kpost_fd_close(int fd);

/* A receiving operation: what it leaves if its thread is cancelled, what it tells. */
struct kpost_receipt {
	int fd;
	struct kpost_recv arg;
	struct kpost_pieces *pieces; /* or NULL */
};

void kpost_receipt_undo(void *receipt);
/* Receive, with the caller's @flags. */
ssize_t kpost_receipt_get(struct kpost_receipt *receipt, unsigned int flags,
			  struct kpost_message *message, size_t size);
/* Nobody has this token, or there is none: whoever else waits for it shall not do so for ever. */
void kpost_token_undo(int fd, uint64_t token, unsigned int message_flags);
void kpost_receipt_tell(const struct kpost_receipt *receipt, ssize_t ret,
			struct kpost_message *message, size_t size);

#endif /* KPOST_INTERNAL_H */
