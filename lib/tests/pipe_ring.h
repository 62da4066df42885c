/* SPDX-License-Identifier: MIT */
/*
 * The sender on a real ring, but with a pipe for a mailbox.
 *
 * kpost_prep_send() is replaced: a message becomes a write to a pipe in packet mode,
 * which keeps boundaries and waits for room much as a mailbox does.  So the chains,
 * their breaking, waiting and cancelling are the running kernel's own.
 */
#ifndef PIPE_RING_H
#define PIPE_RING_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include "kpost.h"

/* How many messages the pipe holds. */
#define PIPE_ROOM 16

/* A message of this priority fails with -EFAULT, and these are its options. */
#define PRIORITY_FAULT 1
extern const struct kpost_options pipe_fault;

extern int pipe_fds[2];

/* How many entries were prepared, those that were started again included. */
extern unsigned int pipe_prepared;
/* The argument of the last one. */
extern struct kpost_send pipe_last;

int pipe_setup(void **state);
int pipe_teardown(void **state);

/* Skips the test, saying why, where io_uring is not to be had. */
struct kpost_sender *pipe_sender(unsigned int depth, unsigned int batch, kpost_sent_fn sent,
				 void *arg);

void pipe_queue(struct kpost_sender *sender, unsigned int number);

/* Take messages out, and check that they are the numbers from @from up to @to. */
void pipe_expect(unsigned int from, unsigned int to);

/* The number of the next message, or -1 if there is none now. */
int pipe_take(void);

/* Look until it is so, at most half a minute. */
#define pipe_until(condition) \
	do { \
		unsigned int looks_ = 0; \
		while (!(condition)) { \
			assert_in_range(looks_++, 0, 30000); \
			usleep(1000); \
		} \
	} while (0)

/* Cancel what is in flight, as the kernel does to what a thread submitted when it exits. */
void pipe_cancel(struct kpost_sender *sender);

/* A look inside: whether a thread leads and waits for the event, and how many follow. */
bool sender_asleep(struct kpost_sender *sender);
unsigned int sender_followers(struct kpost_sender *sender);

/* For kpost_deadline(). */
#define SECOND 1000

#define ring_test(f) cmocka_unit_test_setup_teardown(f, pipe_setup, pipe_teardown)

#endif /* PIPE_RING_H */
