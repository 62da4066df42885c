// SPDX-License-Identifier: GPL-2.0-only
/* kpost serve: answer calls with what a command says. */
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define JOBS_MAX 1024
#define FIRST_ROOM 65536

struct options {
	const char *name;
	char **command;
	unsigned int jobs;
	unsigned int flags;
};

struct server {
	const struct options *options;
	int fd;
	int signals; /* a signalfd */
	sigset_t before; /* the mask to give to commands */
	bool stopping;
	bool ended; /* nobody can send to the mailbox any more */
	unsigned int running;
	struct pollfd *polled;
	struct job *jobs;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'j':
		options->jobs = (unsigned int)parse_positive(state, "jobs", arg, JOBS_MAX);
		break;
	case KEY_SUCCEED:
		options->flags |= KPOST_OPEN_SUCCEED;
		break;
	case ARGP_KEY_ARG:
		take_name_or_command(state, arg, &options->name, &options->command);
		break;
	case ARGP_KEY_END:
		want_name_and_command(state, options->name, options->command);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "jobs", 'j', "N", 0, "Run up to N commands at once; default 1", 0 },
	{ "succeed", KEY_SUCCEED, NULL, 0,
	  "Make the mailbox anew, and shut the one that has the name: who serves that answers what is "
	  "left in it, and ends",
	  0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME -- COMMAND [ARGUMENT]...",
	.doc = "Run COMMAND for each call to the mailbox: the request is its standard input, "
	       "its standard output is the reply. A command that fails, or whose output is "
	       "longer than the caller takes, gives the call up. It runs for other messages too, "
	       "whose senders see no output.\v"
	       "The mailbox is made if there is none, and then goes when this ends. The command "
	       "finds KPOST_MAILBOX, KPOST_SEQUENCE, KPOST_PRIORITY, KPOST_TAG, KPOST_BADGE and "
	       "KPOST_PID in its environment, and KPOST_UID and KPOST_GID unless they alone do not "
	       "tell who means it. SIGINT and SIGTERM end it when the commands that run have been answered; a second "
	       "one at once.",
};

static void server_open(struct server *server, const struct options *options)
{
	sigset_t taken;

	server->options = options;
	server->fd = mailbox_open(options->name, KPOST_RIGHT_RECV,
				  KPOST_OPEN_CREATE | KPOST_OPEN_NONBLOCK | options->flags, NULL,
				  0);
	sigemptyset(&taken);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGCHLD);
	sigprocmask(SIG_BLOCK, &taken, &server->before);
	server->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server->signals < 0)
		fail_plain(STATUS_FAILED, "cannot take signals: %s", strerror(errno));
	/* A command may leave its input unread. */
	signal(SIGPIPE, SIG_IGN);
	server->jobs = calloc(options->jobs, sizeof(*server->jobs));
	server->polled = calloc(2 * options->jobs + 2, sizeof(*server->polled));
	if (!server->jobs || !server->polled)
		fail(ENOMEM, NULL, "cannot make room for %u jobs", options->jobs);
}

static void give_up(struct server *server, const struct kpost_message *message)
{
	if (message->token)
		kpost_drop(server->fd, message->token);
}

/* The next message, if there is one: *@payload is the caller's to free. */
static ssize_t take(struct server *server, struct kpost_message *message, char **payload)
{
	size_t room = FIRST_ROOM;
	ssize_t ret;

	for (;;) {
		*payload = malloc(room);
		if (!*payload)
			return -ENOMEM;
		ret = kpost_recv(server->fd, *payload, room, message, KPOST_DONTWAIT, 0);
		if (ret >= 0)
			return ret;
		free(*payload);
		if (ret != -EMSGSIZE)
			return ret;
		room = message->size;
	}
}

static void start_jobs(struct server *server)
{
	struct kpost_message message = { 0 };
	struct job *job;
	char *payload;
	ssize_t len;
	int ret;

	while (!server->stopping && server->running < server->options->jobs) {
		len = take(server, &message, &payload);
		if (len == -EAGAIN || len == -EINTR)
			return;
		/* Commands that run are waited for. */
		if (len == -EPIPE) {
			server->ended = server->stopping = true;
			return;
		}
		if (len < 0)
			fail((int)len, server->options->name, "cannot receive from mailbox '%s'",
			     shown(server->options->name));
		for (job = server->jobs; job->pid; job++)
			;
		ret = job_start(job, server->options->command, server->options->name,
				&server->before, &message, payload, (size_t)len);
		if (ret) {
			warn_plain("cannot run a command, giving message %llu up: %s",
				   (unsigned long long)message.sequence, strerror(-ret));
			give_up(server, &message);
			free(payload);
			continue;
		}
		server->running++;
	}
}

static const char *describe_end(int status)
{
	static char text[64];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "ended with status %d", WEXITSTATUS(status));
	return text;
}

static void finish(struct server *server, struct job *job)
{
	const char *command = shown(server->options->command[0]);
	unsigned long long number = job->message.sequence;
	int ret = 0;

	if (job->oversize) {
		warn_plain("giving message %llu up: the reply of '%s' is longer than the %llu "
			   "bytes that the caller takes",
			   number, command, (unsigned long long)job->message.reply_max);
		give_up(server, &job->message);
	} else if (job->status) {
		warn_plain("giving message %llu up: '%s' %s", number, command,
			   describe_end(job->status));
		give_up(server, &job->message);
	} else if (job->message.token) {
		ret = kpost_reply(server->fd, job->message.token, job->reply, job->reply_len);
	}
	/* A caller that has left is no failure of ours. */
	if (ret && ret != -ECANCELED) {
		complain(ret, server->options->name, "cannot reply to message %llu", number);
		give_up(server, &job->message);
	}
	job_free(job);
	server->running--;
}

static void take_signals(struct server *server)
{
	struct signalfd_siginfo info;

	while (read(server->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (server->stopping)
			exit(128 + (int)info.ssi_signo);
		server->stopping = true;
	}
}

static void serve(struct server *server)
{
	unsigned int i, count;

	for (;;) {
		start_jobs(server);
		if (server->stopping && !server->running)
			return;
		count = 0;
		server->polled[count++] =
			(struct pollfd){ .fd = server->signals, .events = POLLIN };
		if (!server->stopping && server->running < server->options->jobs)
			server->polled[count++] =
				(struct pollfd){ .fd = server->fd, .events = POLLIN };
		for (i = 0; i < server->options->jobs; i++) {
			if (server->jobs[i].pid)
				count += job_poll(&server->jobs[i], &server->polled[count]);
		}
		if (poll(server->polled, count, -1) < 0 && errno != EINTR)
			fail_plain(STATUS_FAILED, "cannot wait: %s", strerror(errno));
		take_signals(server);
		for (i = 0; i < server->options->jobs; i++) {
			if (!server->jobs[i].pid)
				continue;
			job_move(&server->jobs[i]);
			if (job_done(&server->jobs[i]))
				finish(server, &server->jobs[i]);
		}
	}
}

int verb_serve(int argc, char **argv)
{
	struct options options = { .jobs = 1 };
	struct server server = { 0 };

	/* In order, so that the command's options are not taken for ours. */
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
	server_open(&server, &options);
	serve(&server);
	close(server.fd);
	if (server.ended)
		fail_ended(options.name);
	return STATUS_OK;
}
