// SPDX-License-Identifier: GPL-2.0-only
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

#define FIRST_ROOM 65536
/* When nothing more can be held, and nothing of ours ends, somebody else's may. */
#define FULL_WAIT_MS 1000

static void pool_open(struct pool *pool)
{
	sigset_t taken;

	sigemptyset(&taken);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGCHLD);
	sigprocmask(SIG_BLOCK, &taken, &pool->before);
	pool->command.signals = &pool->before;
	pool->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (pool->signals < 0)
		fail_plain(STATUS_FAILED, "cannot take signals: %s", strerror(errno));
	/* A command may leave its input unread. */
	signal(SIGPIPE, SIG_IGN);
	pool->list = calloc(pool->jobs, sizeof(*pool->list));
	pool->polled = calloc(2 * pool->jobs + 2, sizeof(*pool->polled));
	if (!pool->list || !pool->polled)
		fail(ENOMEM, NULL, "cannot make room for %u jobs", pool->jobs);
}

/* The next message, if there is one: *@payload is the caller's to free. */
static ssize_t take(struct pool *pool, struct kpost_message *message, char **payload)
{
	size_t room = FIRST_ROOM;
	ssize_t ret;

	for (;;) {
		*payload = malloc(room);
		if (!*payload)
			return -ENOMEM;
		ret = pool->receive(pool, *payload, room, message);
		if (ret >= 0)
			return ret;
		free(*payload);
		if (ret != -EMSGSIZE)
			return ret;
		room = message->size;
	}
}

static void start(struct pool *pool, const struct kpost_message *message, char *payload, size_t len)
{
	struct job *job;
	int ret;

	if (!pool->accept(pool, message, payload, len)) {
		free(payload);
		return;
	}
	for (job = pool->list; job->pid; job++)
		;
	ret = job_start(job, &pool->command, message, payload, len);
	if (!ret) {
		pool->running++;
		return;
	}
	pool->fail(pool, message, ret);
	free(payload);
}

static void start_jobs(struct pool *pool)
{
	const char *name = shown(pool->command.mailbox);
	struct kpost_message message = { 0 };
	char *payload;
	ssize_t len;

	while (!pool->stopping && pool->running < pool->jobs) {
		len = take(pool, &message, &payload);
		if (len >= 0) {
			start(pool, &message, payload, (size_t)len);
			continue;
		}
		if (len == -EAGAIN || len == -EINTR)
			return;
		/* Commands that run are waited for. */
		if (len == -EPIPE) {
			pool->ended = pool->stopping = true;
			return;
		}
		if (len != -EBUSY && len != -EDQUOT && len != -ENOBUFS)
			fail((int)len, pool->command.mailbox, "cannot receive from mailbox '%s'",
			     name);
		if (!pool->told)
			warn_plain("cannot hold more messages of mailbox '%s' for now: %s", name,
				   len == -EBUSY ?
					   "'kpost set --held-max' says how many one receiver may" :
					   "too much is under way, see 'kpost info'");
		pool->told = pool->full = true;
		return;
	}
}

const char *pool_describe(int status)
{
	static char text[64];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "ended with status %d", WEXITSTATUS(status));
	return text;
}

static void take_signals(struct pool *pool)
{
	struct signalfd_siginfo info;

	while (read(pool->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (pool->stopping)
			exit(128 + (int)info.ssi_signo);
		pool->stopping = true;
	}
}

static void move_jobs(struct pool *pool)
{
	struct job *job;

	for (job = pool->list; job < pool->list + pool->jobs; job++) {
		if (!job->pid)
			continue;
		job_move(job);
		if (!job_done(job))
			continue;
		pool->finish(pool, job);
		job_free(job);
		pool->running--;
		pool->full = false;
	}
}

static void wait_for_something(struct pool *pool)
{
	unsigned int i, count = 0;
	int ret;

	pool->polled[count++] = (struct pollfd){ .fd = pool->signals, .events = POLLIN };
	if (!pool->stopping && !pool->full && pool->running < pool->jobs)
		pool->polled[count++] = (struct pollfd){ .fd = pool->fd, .events = POLLIN };
	for (i = 0; i < pool->jobs; i++) {
		if (pool->list[i].pid)
			count += job_poll(&pool->list[i], &pool->polled[count]);
	}
	ret = poll(pool->polled, count, pool->full ? FULL_WAIT_MS : -1);
	if (ret < 0 && errno != EINTR)
		fail_plain(STATUS_FAILED, "cannot wait: %s", strerror(errno));
	if (!ret)
		pool->full = false;
}

void pool_run(struct pool *pool)
{
	pool_open(pool);
	for (;;) {
		start_jobs(pool);
		if (pool->stopping && !pool->running)
			return;
		wait_for_something(pool);
		take_signals(pool);
		move_jobs(pool);
	}
}
