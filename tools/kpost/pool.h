/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop of 'kpost serve' and 'kpost work': messages come, a command runs for each, and some run
 * side by side.  What a verb makes of a message is in its hooks.
 */
#ifndef KPOST_POOL_H
#define KPOST_POOL_H

#include "job.h"

#define POOL_JOBS_MAX 1024

struct pool {
	/* filled in by the verb */
	struct job_command command;
	unsigned int jobs; /* how many may run at once */
	int fd; /* receives, and does not wait */
	/* Receive into @payload, without waiting; returns as kpost_recv(). */
	ssize_t (*receive)(struct pool *pool, void *payload, size_t room,
			   struct kpost_message *message);
	/* Shall the command run for it?  If not, the verb has seen to the message. */
	bool (*accept)(struct pool *pool, const struct kpost_message *message, const void *payload,
		       size_t len);
	/* It cannot: @error is what job_start() says. */
	void (*fail)(struct pool *pool, const struct kpost_message *message, int error);
	void (*finish)(struct pool *pool, struct job *job);

	int signals; /* a signalfd */
	sigset_t before; /* the mask to give to commands */
	bool stopping;
	bool ended; /* no message comes from the mailbox any more */
	bool full; /* no more can be held for now */
	bool told; /* ... which was said */
	unsigned int running;
	struct pollfd *polled;
	struct job *list;
};

/* How a command has ended, in words; valid until the next call. */
const char *pool_describe(int status);
/* Until SIGINT, SIGTERM or the mailbox's end, and until the commands that run have ended. */
void pool_run(struct pool *pool);

#endif /* KPOST_POOL_H */
