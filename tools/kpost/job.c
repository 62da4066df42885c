// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define STEP 65536

/* What the command finds of a message; each is set only where it is known. */
static const char *const words[] = {
	"KPOST_MAILBOX",  "KPOST_SEQUENCE", "KPOST_PRIORITY", "KPOST_TAG", "KPOST_BADGE",
	"KPOST_ATTEMPTS", "KPOST_PID",	    "KPOST_UID",      "KPOST_GID",
};

static void set_number(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	setenv(name, text, 1);
}

static void set_environment(const char *mailbox, const struct kpost_message *message)
{
	unsigned int i;

	/* A command that is run so may run kpost so: what was said of another message goes. */
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		unsetenv(words[i]);
	setenv("KPOST_MAILBOX", mailbox, 1);
	set_number("KPOST_SEQUENCE", message->sequence);
	set_number("KPOST_PRIORITY", message->priority);
	set_number("KPOST_TAG", message->tag);
	set_number("KPOST_BADGE", message->badge);
	set_number("KPOST_ATTEMPTS", message->attempts);
	if (message->pid)
		set_number("KPOST_PID", (uint64_t)message->pid);
	/* Where these are set, permissions are given by them. */
	if (message->flags & KPOST_MESSAGE_MIXED_IDS)
		return;
	set_number("KPOST_UID", message->uid);
	set_number("KPOST_GID", message->gid);
}

struct pipes {
	int in[2], out[2]; /* out only if there are replies */
	int told[2]; /* closed when the command runs, else it says why not */
};

static void close_both(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* In the child: become the command. */
static _Noreturn void become(const struct job_command *command, const struct kpost_message *message,
			     const struct pipes *pipes, pid_t parent)
{
	int error;

	/* The message goes back when its holder ends; who has it next shall not be the second. */
	if (message->flags & KPOST_MESSAGE_HELD) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(126);
	}
	if (dup2(pipes->in[0], STDIN_FILENO) < 0 ||
	    (command->replies && dup2(pipes->out[1], STDOUT_FILENO) < 0))
		_exit(126);
	set_environment(command->mailbox, message);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, command->signals, NULL);
	execvp(command->words[0], command->words);
	error = errno;
	_exit(write(pipes->told[1], &error, sizeof(error)) == sizeof(error) ? 127 : 126);
}

static int pipes_open(struct pipes *pipes, bool replies)
{
	int error;

	if (pipe2(pipes->in, O_CLOEXEC))
		return -errno;
	if (pipe2(pipes->told, O_CLOEXEC)) {
		error = errno;
		goto err_in;
	}
	if (replies && pipe2(pipes->out, O_CLOEXEC)) {
		error = errno;
		goto err_told;
	}
	return 0;

err_told:
	close_both(pipes->told);
err_in:
	close_both(pipes->in);
	return -error;
}

int job_start(struct job *job, const struct job_command *command,
	      const struct kpost_message *message, char *payload, size_t len)
{
	pid_t pid, parent = getpid();
	struct pipes pipes;
	int error = 0, ret;

	memset(job, 0, sizeof(*job));
	ret = pipes_open(&pipes, command->replies);
	if (ret)
		return ret;
	pid = fork();
	if (!pid)
		become(command, message, &pipes, parent);
	if (pid < 0)
		error = errno;
	close(pipes.in[0]);
	close(pipes.told[1]);
	if (command->replies)
		close(pipes.out[1]);
	/* Until it runs: then nobody has the other end any more. */
	if (pid > 0 && read(pipes.told[0], &error, sizeof(error)) == sizeof(error))
		waitpid(pid, NULL, 0);
	close(pipes.told[0]);
	if (error) {
		close(pipes.in[1]);
		if (command->replies)
			close(pipes.out[0]);
		return -error;
	}
	job->pid = pid;
	/* Only our ends: a command may expect its own to wait. */
	fcntl(pipes.in[1], F_SETFL, O_NONBLOCK);
	job->in = pipes.in[1];
	job->out = -1;
	if (command->replies) {
		fcntl(pipes.out[0], F_SETFL, O_NONBLOCK);
		job->out = pipes.out[0];
	}
	job->message = *message;
	job->payload = payload;
	job->len = len;
	return 0;
}

unsigned int job_poll(const struct job *job, struct pollfd *fds)
{
	unsigned int count = 0;

	if (job->in >= 0)
		fds[count++] = (struct pollfd){ .fd = job->in, .events = POLLOUT };
	if (job->out >= 0)
		fds[count++] = (struct pollfd){ .fd = job->out, .events = POLLIN };
	return count;
}

static void feed(struct job *job)
{
	ssize_t ret = 0;

	while (job->written < job->len) {
		ret = write(job->in, job->payload + job->written, job->len - job->written);
		if (ret < 0)
			break;
		job->written += (size_t)ret;
	}
	if (ret < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* All is written, or the command wants no more of it, which is its right. */
	close(job->in);
	job->in = -1;
}

static void stop_reading(struct job *job)
{
	close(job->out);
	job->out = -1;
}

static void collect(struct job *job)
{
	char *grown;
	ssize_t ret;

	for (;;) {
		if (job->reply_room - job->reply_len < STEP) {
			grown = realloc(job->reply, 2 * job->reply_room + STEP);
			if (!grown)
				fail(ENOMEM, NULL, "cannot make room for a reply");
			job->reply = grown;
			job->reply_room = 2 * job->reply_room + STEP;
		}
		ret = read(job->out, job->reply + job->reply_len, job->reply_room - job->reply_len);
		if (ret < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (ret <= 0) {
			stop_reading(job);
			return;
		}
		/* Nobody waits for the output of what was no call. */
		if (!job->message.token)
			continue;
		job->reply_len += (size_t)ret;
		if (job->reply_len > job->message.reply_max) {
			job->oversize = true;
			stop_reading(job);
			return;
		}
	}
}

void job_move(struct job *job)
{
	if (job->in >= 0)
		feed(job);
	if (job->out >= 0)
		collect(job);
	if (!job->exited && waitpid(job->pid, &job->status, WNOHANG) == job->pid)
		job->exited = true;
}

bool job_done(const struct job *job)
{
	return job->exited && job->out < 0;
}

void job_free(struct job *job)
{
	if (job->in >= 0)
		close(job->in);
	if (job->out >= 0)
		close(job->out);
	free(job->payload);
	free(job->reply);
	memset(job, 0, sizeof(*job));
}
