/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for the module: the library's open(), ioctl() and close() end here.
 *
 * A test says what the next ioctl() shall do, calls the library, and looks at what
 * the library asked for.  open() of /dev/kpost gives DEVICE_FD; every other file goes to
 * the system.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include "kpost.h"

#define DEVICE_FD 1000
#define ENDPOINT_FD 1001
#define SEND_FD 1002

struct standin {
	/* what the next ioctl() does */
	int ret; /* or -errno */
	int open_errno; /* of open(), 0 to succeed */
	void (*answer)(void *arg); /* fills the caller's struct, may be NULL */
	/* what happened */
	int fd; /* of the last ioctl() */
	unsigned long number;
	unsigned char arg[1024]; /* the struct, as it was passed */
	unsigned int ioctls;
	unsigned int opened;
	unsigned int closed;
	int open_flags;
};

extern struct standin standin;

/* Set up for one call. */
void standin_reset(int ret);

/* A cmocka setup function that does so. */
int standin_setup(void **state);

/* After a call: one ioctl, with this number, on this file. */
void standin_expect(int fd, unsigned long number);

/* After a call by name: the device was opened and closed again. */
void standin_expect_device(void);

#endif /* STANDIN_H */
