/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One run of a command for a message: its payload goes to the command's stdin, and what the
 * command writes to stdout becomes the reply to a call, where calls are replied to.
 */
#ifndef KPOST_JOB_H
#define KPOST_JOB_H

#include <poll.h>
#include <signal.h>

#include "tool.h"

struct job_command {
	char **words;
	const char *mailbox; /* that its messages are from */
	const sigset_t *signals; /* its mask */
	bool replies; /* else its stdout is ours */
};

struct job {
	pid_t pid; /* 0 where there is no job */
	bool exited;
	int status; /* from waitpid(), once it has exited */
	int in; /* the command's stdin, -1 when all is written */
	int out; /* the command's stdout, -1 after its end, or if it is ours */
	struct kpost_message message;
	char *payload;
	size_t len, written;
	char *reply;
	size_t reply_len, reply_room;
	bool oversize; /* the reply is longer than the caller takes */
};

/*
 * Run @command for a message; takes @payload over. If the message is held the command does not
 * outlive us, since somebody else begins again with it then. Returns 0; or -errno, also if the
 * command cannot be run, and then @payload is still the caller's.
 */
int job_start(struct job *job, const struct job_command *command,
	      const struct kpost_message *message, char *payload, size_t len);
/* Descriptors that it waits for, at most two; returns how many. */
unsigned int job_poll(const struct job *job, struct pollfd *fds);
/* Move what can be moved now. */
void job_move(struct job *job);
/* Is there nothing more to come from it? */
bool job_done(const struct job *job);
void job_free(struct job *job);

#endif /* KPOST_JOB_H */
