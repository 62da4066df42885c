// SPDX-License-Identifier: GPL-2.0-only
/* kpost recv: take messages and print them. */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "tool.h"

#define FIRST_ROOM 65536

struct options {
	const char *name;
	uint64_t count; /* 0 to follow */
	int64_t timeout;
	bool raw;
	bool json;
};

static volatile sig_atomic_t caught;

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'n':
		options->count = parse_size(state, "count", arg, INT64_MAX);
		break;
	case 'f':
		options->count = 0;
		break;
	case 't':
		options->timeout = parse_timeout(state, arg);
		break;
	case KEY_RAW:
		options->raw = true;
		break;
	case KEY_JSON:
		options->json = true;
		break;
	case ARGP_KEY_ARG:
		if (options->name)
			argp_usage(state);
		options->name = arg;
		break;
	case ARGP_KEY_END:
		if (!options->name)
			argp_error(state, "from which mailbox?");
		if (options->raw && options->json)
			argp_error(state, "--raw and --json exclude each other");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "count", 'n', "N", 0, "Take N messages; default 1, 0 for as --follow", 0 },
	{ "follow", 'f', NULL, 0, "Take messages until interrupted", 0 },
	TIMEOUT_OPTION("Give up when no message comes for this long, with status 4"),
	{ "raw", KEY_RAW, NULL, 0, "Print no newline after each payload", 0 },
	{ "json", KEY_JSON, NULL, 0,
	  "Print an object a line: what is known of the message, and its "
	  "payload as text or, if it is none, as base64",
	  0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Receive a message and print its payload, as it is, and a newline. A call is "
	       "received too, but gets no reply: see 'kpost serve'.",
};

static void on_signal(int number)
{
	caught = number;
}

/* Signals only come while waiting, so that no message is taken and not printed. */
static void signals_hold(sigset_t *open)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, open);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void print(const struct options *options, const struct kpost_message *message,
		  const void *payload, size_t len)
{
	if (!options->json) {
		output(payload, len);
		if (!options->raw)
			output("\n", 1);
		return;
	}
	json_open("{");
	json_number("sequence", message->sequence);
	json_number("priority", message->priority);
	json_number("size", message->size);
	json_number("pid", (uint64_t)message->pid);
	json_number("uid", message->uid);
	json_number("gid", message->gid);
	json_bool("call", message->flags & KPOST_MESSAGE_CALL);
	json_bool("sync", message->flags & KPOST_MESSAGE_SYNC);
	json_bool("truncated", message->flags & KPOST_MESSAGE_TRUNCATED);
	json_bytes("payload", payload, len);
	json_close("}");
	json_end_line();
}

struct buffer {
	void *bytes;
	size_t room;
};

/* What is there now, or -EAGAIN; the buffer grows as messages need it. */
static ssize_t take(int fd, struct buffer *buffer, struct kpost_message *message)
{
	ssize_t ret;

	for (;;) {
		ret = kpost_recv(fd, buffer->bytes, buffer->room, message, KPOST_DONTWAIT, 0);
		if (ret != -EMSGSIZE)
			return ret;
		free(buffer->bytes);
		buffer->room = message->size;
		buffer->bytes = malloc(buffer->room);
		if (!buffer->bytes)
			return -ENOMEM;
	}
}

/* Until there may be a message; -ETIMEDOUT, or -EINTR when told to stop. */
static int wait_for_one(int fd, uint64_t deadline, const sigset_t *open)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };
	uint64_t now = kpost_deadline(0);
	uint64_t left = deadline > now ? deadline - now : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(left / 1000000000u),
		.tv_nsec = (long)(left % 1000000000u),
	};
	int ret;

	output_flush();
	ret = ppoll(&poll, 1, deadline ? &timeout : NULL, open);
	if (ret < 0)
		return -errno;
	return ret ? 0 : -ETIMEDOUT;
}

static int follow(const struct options *options, int fd, const sigset_t *open)
{
	struct buffer buffer = { .bytes = malloc(FIRST_ROOM), .room = FIRST_ROOM };
	uint64_t deadline = kpost_deadline(options->timeout);
	struct kpost_message message = { 0 };
	struct progress progress;
	uint64_t taken = 0;
	ssize_t ret = 0;

	progress_begin(&progress, "received", 0);
	/* Where the messages are seen themselves, there is no need to count them. */
	progress.shown = progress.shown && !isatty(STDOUT_FILENO);
	while (!options->count || taken < options->count) {
		ret = take(fd, &buffer, &message);
		if (ret == -EAGAIN) {
			ret = wait_for_one(fd, deadline, open);
			if (ret)
				break;
			continue;
		}
		if (ret < 0)
			break;
		print(options, &message, buffer.bytes, (size_t)ret);
		if (message.token)
			kpost_drop(fd, message.token);
		progress_step(&progress, (size_t)ret);
		taken++;
		if (options->timeout >= 0)
			deadline = kpost_deadline(options->timeout);
	}
	progress_end(&progress);
	output_flush();
	free(buffer.bytes);
	return ret < 0 ? (int)ret : 0;
}

int verb_recv(int argc, char **argv)
{
	struct options options = { .count = 1, .timeout = -1 };
	sigset_t open;
	int fd, ret;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	fd = mailbox_open(options.name, KPOST_RIGHT_RECV, 0, NULL, 0);
	signals_hold(&open);
	ret = follow(&options, fd, &open);
	if (ret == -EINTR && caught) {
		/* End as the signal would have ended us. */
		signal(caught, SIG_DFL);
		sigprocmask(SIG_SETMASK, &open, NULL);
		raise(caught);
	}
	if (ret)
		fail(ret, options.name, "cannot receive from mailbox '%s'", shown(options.name));
	return STATUS_OK;
}
