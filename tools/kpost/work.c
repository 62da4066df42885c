// SPDX-License-Identifier: GPL-2.0-only
/* kpost work: run a command for each message, which is only gone when that has succeeded. */
#include <unistd.h>

#include "pool.h"

#define DEFAULT_ATTEMPTS 5
#define DEFAULT_PAUSE_MS 1000
#define PAUSE_MAX_MS (3600 * 1000ll)

struct options {
	const char *name;
	const char *aside;
	char **command;
	unsigned int jobs;
	unsigned int attempts;
	int64_t pause;
};

struct worker {
	struct pool pool; /* first */
	const struct options *options;
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
	case KEY_ASIDE:
		options->aside = arg;
		break;
	case KEY_PAUSE:
		options->pause = parse_seconds(state, "pause", arg);
		break;
	case KEY_OWNER:
		mailbox_demand_owner(state, arg);
		break;
	case ARGP_KEY_ARG:
		take_name_or_command(state, arg, &options->name, &options->command);
		break;
	case ARGP_KEY_END:
		want_name_and_command(state, options->name, options->command);
		if (options->aside && !strcmp(options->aside, options->name))
			argp_error(state, "--aside wants another mailbox");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "jobs", 'j', "N", 0, "Run up to N commands at once; default 1", 0 },
	{ "attempts", KEY_ATTEMPTS, "N", 0, "Put a message aside that was tried N times; default 5",
	  0 },
	{ "aside", KEY_ASIDE, "NAME2", 0,
	  "Send what is put aside to this mailbox; without, it is dropped", 0 },
	OWNER_OPTION,
	{ "pause", KEY_PAUSE, "SECONDS", 0,
	  "Try again after this time, and twice as long for each further time, an hour at most; "
	  "default 1",
	  0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH -- COMMAND [ARGUMENT]...",
	.doc = "Run COMMAND for each message: the payload is its standard input. The message is "
	       "held meanwhile, and gone when COMMAND succeeds. If it fails, or this ends before, however "
	       "that is, the message goes back into the mailbox, for whoever works on it next.\v"
	       "The command finds KPOST_MAILBOX, KPOST_SEQUENCE, KPOST_PRIORITY, KPOST_TAG, "
	       "KPOST_BADGE, KPOST_ATTEMPTS and KPOST_PID in its environment, and KPOST_UID and "
	       "KPOST_GID unless they alone do not tell who means it. It can be run twice for a "
	       "message: what it does is to be safe for that. SIGINT and SIGTERM end this when the "
	       "commands that run have ended; a second one at once.",
};

static ssize_t receive(struct pool *pool, void *payload, size_t room, struct kpost_message *message)
{
	return kpost_hold(pool->fd, payload, room, message, KPOST_DONTWAIT, 0, 0);
}

/* Of what is no longer held there is nothing to say: its sender has withdrawn it. */
static void tell(struct pool *pool, const struct kpost_message *message, int error)
{
	if (error && error != -ECANCELED)
		complain(error, pool->command.mailbox, "cannot be done with message %llu",
			 (unsigned long long)message->sequence);
}

/* How long a message waits that was tried @attempts times. */
static int64_t pause_after(const struct worker *worker, uint64_t attempts)
{
	int64_t pause = worker->options->pause;

	while (--attempts && pause < PAUSE_MAX_MS)
		pause *= 2;
	return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

/* It was tried @attempts times: have it tried again, after a while. */
static void put_back(struct worker *worker, const struct kpost_message *message, uint64_t attempts)
{
	struct pool *pool = &worker->pool;

	tell(pool, message,
	     kpost_return(pool->fd, message->token, kpost_deadline(pause_after(worker, attempts))));
}

/* Send it to where such messages go.  Returns 0 or -errno. */
static int send_aside(const struct worker *worker, const struct kpost_message *message,
		      const void *payload, size_t len)
{
	const struct iovec all = { .iov_base = (void *)(uintptr_t)payload, .iov_len = len };
	const struct kpost_options how = {
		.flags = KPOST_DONTWAIT,
		.priority = message->priority,
		.tag = message->tag,
	};
	/* Each time, since it may have been removed and made again. */
	int fd = mailbox_try(worker->options->aside, KPOST_RIGHT_SEND);
	int ret;

	if (fd < 0)
		return fd;
	ret = kpost_sendv(fd, &all, 1, &how, NULL);
	close(fd);
	return ret;
}

/* It was tried @attempts times, and that is enough. */
static void put_aside(struct worker *worker, const struct kpost_message *message,
		      const void *payload, size_t len, uint64_t attempts)
{
	const char *aside = worker->options->aside;
	unsigned long long number = message->sequence, times = attempts;
	struct pool *pool = &worker->pool;
	int ret;

	if (!aside) {
		warn_plain("dropping message %llu: it was tried %llu times", number, times);
	} else {
		ret = send_aside(worker, message, payload, len);
		if (ret) {
			complain(ret, aside,
				 "keeping message %llu, as it cannot be sent to mailbox '%s'",
				 number, shown(aside));
			put_back(worker, message, attempts);
			return;
		}
		warn_plain("put message %llu aside: it was tried %llu times", number, times);
	}
	tell(pool, message, kpost_done(pool->fd, message->token));
}

static bool accept_job(struct pool *pool, const struct kpost_message *message, const void *payload,
		       size_t len)
{
	struct worker *worker = (struct worker *)pool;

	if (message->flags & KPOST_MESSAGE_CALL) {
		warn_plain("giving message %llu up: it is a call, and those are for 'kpost serve'",
			   (unsigned long long)message->sequence);
		kpost_drop(pool->fd, message->token);
		return false;
	}
	if (message->attempts < worker->options->attempts)
		return true;
	put_aside(worker, message, payload, len, message->attempts);
	return false;
}

/* That there is no such command, or none that runs, is no message's fault. */
static void fail_job(struct pool *pool, const struct kpost_message *message, int error)
{
	bool passes = error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
	const char *command = shown(pool->command.words[0]);

	put_back((struct worker *)pool, message, message->attempts + 1);
	if (!passes)
		fail_plain(error == -ENOENT ? STATUS_NO_COMMAND : STATUS_CANNOT_RUN,
			   "cannot run '%s': %s", command, strerror(-error));
	warn_plain("cannot run '%s' for message %llu now: %s", command,
		   (unsigned long long)message->sequence, strerror(-error));
}

static void finish_job(struct pool *pool, struct job *job)
{
	struct worker *worker = (struct worker *)pool;
	const struct kpost_message *message = &job->message;
	uint64_t attempts = message->attempts + 1;

	if (!job->status) {
		tell(pool, message, kpost_done(pool->fd, message->token));
		return;
	}
	warn_plain("message %llu, attempt %llu of %u: '%s' %s",
		   (unsigned long long)message->sequence, (unsigned long long)attempts,
		   worker->options->attempts, shown(pool->command.words[0]),
		   pool_describe(job->status));
	if (attempts < worker->options->attempts)
		put_back(worker, message, attempts);
	else
		put_aside(worker, message, job->payload, job->len, attempts);
}

int verb_work(int argc, char **argv)
{
	struct options options = {
		.jobs = 1,
		.attempts = DEFAULT_ATTEMPTS,
		.pause = DEFAULT_PAUSE_MS,
	};
	struct worker worker = {
		.pool = {
			.receive = receive,
			.accept = accept_job,
			.fail = fail_job,
			.finish = finish_job,
		},
		.options = &options,
	};

	/* In order, so that the command's options are not taken for ours. */
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
	worker.pool.jobs = options.jobs;
	worker.pool.command = (struct job_command){
		.words = options.command,
		.mailbox = options.name,
	};
	/* Rather now than when a message is to go there. */
	if (options.aside)
		close(mailbox_open(options.aside, KPOST_RIGHT_SEND, 0, NULL, 0));
	worker.pool.fd = mailbox_open(options.name, KPOST_RIGHT_RECV, KPOST_OPEN_NONBLOCK, NULL, 0);
	pool_run(&worker.pool);
	close(worker.pool.fd);
	if (worker.pool.ended)
		fail_ended(options.name);
	return STATUS_OK;
}
