// SPDX-License-Identifier: GPL-2.0-only
/* kpost serve: answer calls with what a command says. */
#include <unistd.h>

#include "pool.h"

#define DEFAULT_ATTEMPTS 5

struct options {
	const char *name;
	char **command;
	unsigned int jobs;
	unsigned int attempts;
	unsigned int flags;
};

struct server {
	struct pool pool; /* first */
	unsigned int attempts;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'j':
		options->jobs = (unsigned int)parse_positive(state, "jobs", arg, POOL_JOBS_MAX);
		break;
	case KEY_ATTEMPTS:
		options->attempts = (unsigned int)parse_positive(state, "attempts", arg, INT32_MAX);
		break;
	case KEY_SUCCEED:
		options->flags |= KPOST_OPEN_SUCCEED;
		break;
	case KEY_OWNER:
		mailbox_demand_owner(state, arg);
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
	{ "attempts", KEY_ATTEMPTS, "N", 0,
	  "Give a call up whose servers have died N times; default 5", 0 },
	OWNER_OPTION,
	{ "succeed", KEY_SUCCEED, NULL, 0,
	  "Make the mailbox anew, and shut the one that has the name: who serves that answers what is "
	  "left in it, and ends",
	  0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH -- COMMAND [ARGUMENT]...",
	.doc = "Run COMMAND for each call to the mailbox: the request is its standard input, "
	       "its standard output is the reply. A command that fails, or whose output is "
	       "longer than the caller takes, gives the call up. It runs for other messages too, "
	       "whose senders see no output.\v"
	       "The mailbox is made if there is none, and then goes when this ends. The command "
	       "finds KPOST_MAILBOX, KPOST_SEQUENCE, KPOST_PRIORITY, KPOST_TAG, KPOST_BADGE, "
	       "KPOST_ATTEMPTS and KPOST_PID in its environment, and KPOST_UID and KPOST_GID unless "
	       "they alone do not tell who means it. A call that may be done twice ('kpost call "
	       "--retry') goes to another server of the mailbox if this one dies. SIGINT and "
	       "SIGTERM end it when the commands that run have been answered; a second one at "
	       "once.",
};

static void give_up(struct pool *pool, const struct kpost_message *message)
{
	if (message->token)
		kpost_drop(pool->fd, message->token);
}

/* What cannot be held is received all the same: then it goes with this server. */
static ssize_t receive(struct pool *pool, void *payload, size_t room, struct kpost_message *message)
{
	ssize_t ret = kpost_hold(pool->fd, payload, room, message, KPOST_DONTWAIT, 0, 0);

	if (ret == -EBUSY || ret == -EDQUOT || ret == -ENOBUFS)
		ret = kpost_recv(pool->fd, payload, room, message, KPOST_DONTWAIT, 0);
	/* Nobody waits for what is no call: it is received, and its sender told so. */
	if (ret >= 0 && !(message->flags & KPOST_MESSAGE_CALL) && message->token) {
		kpost_done(pool->fd, message->token);
		message->token = 0;
		message->flags &= ~KPOST_MESSAGE_HELD;
	}
	return ret;
}

static bool accept_call(struct pool *pool, const struct kpost_message *message, const void *payload,
			size_t len)
{
	const struct server *server = (const struct server *)pool;

	(void)payload;
	(void)len;
	if (message->attempts < server->attempts)
		return true;
	warn_plain("giving message %llu up: it has come back %llu times",
		   (unsigned long long)message->sequence, (unsigned long long)message->attempts);
	give_up(pool, message);
	return false;
}

static void fail_call(struct pool *pool, const struct kpost_message *message, int error)
{
	warn_plain("giving message %llu up: cannot run '%s': %s",
		   (unsigned long long)message->sequence, shown(pool->command.words[0]),
		   strerror(-error));
	give_up(pool, message);
}

static void finish_call(struct pool *pool, struct job *job)
{
	const char *command = shown(pool->command.words[0]);
	unsigned long long number = job->message.sequence;
	int ret = 0;

	if (job->oversize) {
		warn_plain("giving message %llu up: the reply of '%s' is longer than the %llu "
			   "bytes that the caller takes",
			   number, command, (unsigned long long)job->message.reply_max);
		give_up(pool, &job->message);
	} else if (job->status) {
		warn_plain("giving message %llu up: '%s' %s", number, command,
			   pool_describe(job->status));
		give_up(pool, &job->message);
	} else if (job->message.token) {
		ret = kpost_reply(pool->fd, job->message.token, job->reply, job->reply_len);
	}
	/* A caller that has left is no failure of ours. */
	if (ret && ret != -ECANCELED) {
		complain(ret, pool->command.mailbox, "cannot reply to message %llu", number);
		give_up(pool, &job->message);
	}
}

int verb_serve(int argc, char **argv)
{
	struct options options = { .jobs = 1, .attempts = DEFAULT_ATTEMPTS };
	struct server server = {
		.pool = {
			.receive = receive,
			.accept = accept_call,
			.fail = fail_call,
			.finish = finish_call,
		},
	};

	/* In order, so that the command's options are not taken for ours. */
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
	server.attempts = options.attempts;
	server.pool.jobs = options.jobs;
	server.pool.command = (struct job_command){
		.words = options.command,
		.mailbox = options.name,
		.replies = true,
	};
	server.pool.fd = mailbox_open(options.name, KPOST_RIGHT_RECV,
				      KPOST_OPEN_CREATE | KPOST_OPEN_NONBLOCK | options.flags, NULL,
				      0);
	pool_run(&server.pool);
	close(server.pool.fd);
	if (server.pool.ended)
		fail_ended(options.name);
	return STATUS_OK;
}
