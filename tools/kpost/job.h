/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One run of the command that answers a call: its payload goes to the command's stdin,
 * and what the command writes to stdout becomes the reply.
 */
#ifndef KPOST_JOB_H
#define KPOST_JOB_H

#include <poll.h>
#include <signal.h>

#include "tool.h"

struct job {
	pid_t pid; /* 0 where there is no job */
	bool exited;
	int status; /* from waitpid(), once it has exited */
	int in; /* the command's stdin, -1 when all is written */
	int out; /* the command's stdout, -1 after its end */
	struct kpost_message message;
	char *payload;
	size_t len, written;
	char *reply;
	size_t reply_len, reply_room;
	bool oversize; /* the reply is longer than the caller takes */
};

/* Run @command for a message; takes @payload over. Returns 0 or -errno. */
int job_start(struct job *job, char **command, const char *mailbox, const sigset_t *signals,
	      const struct kpost_message *message, char *payload, size_t len);
/* Descriptors that it waits for, at most two; returns how many. */
unsigned int job_poll(const struct job *job, struct pollfd *fds);
/* Move what can be moved now. */
void job_move(struct job *job);
/* Is there nothing more to come from it? */
bool job_done(const struct job *job);
void job_free(struct job *job);

#endif /* KPOST_JOB_H */
