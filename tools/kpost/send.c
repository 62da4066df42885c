// SPDX-License-Identifier: GPL-2.0-only
/* kpost send: lines, or all of the input, as messages. */
#include <sys/uio.h>

#include "tool.h"

struct options {
	const char *name;
	const char *path;
	unsigned int priority;
	uint64_t tag;
	unsigned int open_flags;
	int64_t timeout;
	int64_t expires;
	bool sync;
	bool present;
	unsigned int drops;
	unsigned int clock;
	uint64_t number;
	bool whole;
};

#define BATCH 256

struct transfer {
	const struct options *options;
	struct input input;
	struct progress progress;
	int fd;
	uint64_t deadline;
	uint64_t sent;
	uint64_t repeated; /* of those: their numbers were sent before */
	uint64_t number; /* of the next, or 0 */
	struct kpost_send batch[BATCH]; /* what is to be sent next, in the input's buffer */
	size_t count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'p':
		options->priority =
			(unsigned int)parse_size(state, "priority", arg, KPOST_PRIORITY_MAX);
		break;
	case 't':
		options->timeout = parse_seconds(state, "timeout", arg);
		break;
	case KEY_CREATE:
		options->open_flags = KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST;
		break;
	case KEY_TAG:
		options->tag = parse_number(state, "tag", arg);
		break;
	case KEY_SYNC:
		options->sync = true;
		break;
	case KEY_EXPIRES:
		options->expires = parse_seconds(state, "expires", arg);
		break;
	case KEY_NUMBER:
		options->number = parse_number(state, "number", arg);
		if (!options->number)
			argp_error(state, "--number begins with 1");
		break;
	case KEY_CLOCK:
		options->clock = parse_clock(state, arg);
		break;
	case KEY_DROP:
		options->drops |= !strcmp(arg, "old") ? KPOST_DROP_OLD :
				  !strcmp(arg, "new") ? KPOST_DROP_NEW :
							0;
		if (strcmp(arg, "old") && strcmp(arg, "new"))
			argp_error(state, "--drop takes 'old' or 'new'");
		break;
	case KEY_REPLACE:
		options->drops |= KPOST_REPLACE;
		break;
	case KEY_PRESENT:
		options->present = true;
		break;
	case KEY_WHOLE:
		options->whole = true;
		break;
	case KEY_OWNER:
		mailbox_demand_owner(state, arg);
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			options->name = arg;
		else if (state->arg_num == 1)
			options->path = arg;
		else
			argp_usage(state);
		break;
	case ARGP_KEY_END:
		if (!options->name)
			argp_error(state, "to which mailbox?");
		if (options->sync && options->drops)
			argp_error(state, "--sync excludes --drop and --replace");
		if (options->sync && options->number)
			argp_error(state, "--sync and --number exclude each other");
		if (options->drops & KPOST_REPLACE && options->number)
			argp_error(state, "--replace and --number exclude each other");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "priority", 'p', "N", 0, "Priority, 0 (default) to 32767; higher is received first", 0 },
	{ "tag", KEY_TAG, "N", 0, "A number for the receiver, of 64 bits; default 0", 0 },
	TIMEOUT_OPTION("Give up when it takes longer than this in all, with status 4"),
	{ "sync", KEY_SYNC, NULL, 0, "Wait for each message until it was received", 0 },
	{ "expires", KEY_EXPIRES, "SECONDS", 0,
	  "Drop a message that nobody has received after this time", 0 },
	{ "clock", KEY_CLOCK, "CLOCK", 0,
	  "Count --timeout and --expires by 'monotonic' (default), 'boottime', which goes on while "
	  "the machine sleeps, or 'realtime', which can be set",
	  0 },
	{ "drop", KEY_DROP, "old|new", 0,
	  "Where there is no room, drop older messages of this user, or what is to be sent", 0 },
	{ "number", KEY_NUMBER, "N", 0,
	  "Number the messages from N on, and leave out those whose numbers were sent before", 0 },
	{ "replace", KEY_REPLACE, NULL, 0,
	  "Replace the message of this user with the same tag, if one is queued", 0 },
	{ "present", KEY_PRESENT, NULL, 0, "Fail if nobody can receive from the mailbox", 0 },
	{ "whole", KEY_WHOLE, NULL, 0, "Send the whole input as one message", 0 },
	OWNER_OPTION,
	{ "create", KEY_CREATE, NULL, 0, "Make the mailbox if it does not exist", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH [FILE]",
	.doc = "Send each line of FILE or standard input as a message, without its newline. "
	       "Ends when the mailbox has them all.",
};

static _Noreturn void fail_at(struct transfer *transfer, int error)
{
	const char *name = shown(transfer->options->name);
	unsigned long long number = transfer->sent + 1;
	char so_far[48] = "";

	progress_end(&transfer->progress);
	if (transfer->sent)
		snprintf(so_far, sizeof(so_far), " (%llu were sent)",
			 (unsigned long long)transfer->sent);
	if (!error)
		fail_plain(STATUS_FAILED,
			   "cannot send message %llu to mailbox '%s'%s: it is longer than the "
			   "%zu bytes that this mailbox takes; 'kpost create --message-max' makes "
			   "one that takes more",
			   number, name, so_far, transfer->input.limit);
	if (error == -EPERM)
		fail_plain(STATUS_PERMISSION,
			   "cannot send message %llu to mailbox '%s'%s: its senders may not drop "
			   "messages so, or replace them; its owner can allow it, with "
			   "'kpost set --overflow'",
			   number, name, so_far);
	if (error == -EINVAL && transfer->options->drops & KPOST_REPLACE)
		fail_plain(STATUS_USAGE,
			   "cannot send message %llu to mailbox '%s'%s: --replace is for one that "
			   "was made with 'kpost create --keyed'",
			   number, name, so_far);
	if (error == -ENOENT)
		fail_plain(STATUS_FAILED,
			   "cannot send message %llu to mailbox '%s'%s: there is no mark for its "
			   "number; 'kpost grant --mark' makes one",
			   number, name, so_far);
	fail(error, transfer->options->name, "cannot send message %llu to mailbox '%s'%s", number,
	     name, so_far);
}

/* The first @count of @batch were sent. */
static void sent(struct transfer *transfer, const struct kpost_send *batch, size_t count)
{
	transfer->sent += count;
	for (size_t i = 0; i < count; i++)
		transfer->repeated += batch[i].out_flags & KPOST_SEND_REPEATED;
	for (size_t i = 0; i < count; i++)
		progress_step(&transfer->progress, batch[i].len + !transfer->options->whole);
}

/* Send what has been gathered; all that is before the first that fails is sent. */
static void flush(void *arg)
{
	struct transfer *transfer = arg;
	struct kpost_send *batch = transfer->batch;
	size_t left = transfer->count;
	int ret, error;

	transfer->count = 0;
	while (left) {
		ret = kpost_send_batch(transfer->fd, batch, left, transfer->options->clock,
				       transfer->deadline, &error);
		if (ret < 0) {
			error = ret;
			ret = 0;
		}
		sent(transfer, batch, (size_t)ret);
		batch += ret;
		left -= (size_t)ret;
		if (error && error != -EINTR)
			fail_at(transfer, error);
	}
}

static void send_sync(struct transfer *transfer, const struct kpost_send *message)
{
	const struct iovec payload = {
		.iov_base = (void *)(uintptr_t)message->buf,
		.iov_len = message->len,
	};
	const struct kpost_options how = {
		.flags = KPOST_SYNC | message->flags,
		.priority = message->priority,
		.deadline = transfer->deadline,
		.tag = message->tag,
		.expires = message->expires,
	};
	int ret;

	do {
		ret = kpost_sendv(transfer->fd, &payload, 1, &how, NULL);
	} while (ret == -EINTR);
	if (ret)
		fail_at(transfer, ret);
	sent(transfer, message, 1);
}

static void send_one(struct transfer *transfer, const char *bytes, size_t len)
{
	const struct options *options = transfer->options;
	struct kpost_send *message = &transfer->batch[transfer->count];

	if (len > transfer->input.limit) {
		flush(transfer);
		fail_at(transfer, 0);
	}
	*message = (struct kpost_send){
		.flags = options->drops | options->clock | (options->present ? KPOST_PRESENT : 0),
		.priority = options->priority,
		.buf = (uintptr_t)bytes,
		.len = len,
		.tag = options->tag,
		.expires = kpost_deadline_by(options->clock, options->expires),
	};
	if (transfer->number) {
		message->flags |= KPOST_NUMBERED;
		message->number = transfer->number++;
	}
	if (options->sync)
		send_sync(transfer, message);
	else if (++transfer->count == BATCH)
		flush(transfer);
}

static void transfer_begin(struct transfer *transfer)
{
	const struct options *options = transfer->options;
	struct kpost_stat st;
	int ret;

	transfer->fd = mailbox_open(options->name, KPOST_RIGHT_SEND, options->open_flags, NULL, 0);
	ret = kpost_stat(transfer->fd, &st);
	if (ret)
		fail(ret, options->name, "cannot look at mailbox '%s'", shown(options->name));
	input_open(&transfer->input, options->path, st.message_max);
	/* Nothing is kept back while the input is waited for, nor if that cannot be read. */
	transfer->input.idle = flush;
	transfer->input.arg = transfer;
	transfer->number = options->number;
	transfer->deadline = kpost_deadline_by(options->clock, options->timeout);
}

int verb_send(int argc, char **argv)
{
	struct options options = { .timeout = -1, .expires = -1 };
	static struct transfer transfer;
	const char *bytes;
	size_t len;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	transfer.options = &options;
	transfer_begin(&transfer);
	progress_begin(&transfer.progress, "sent", transfer.input.size);
	if (options.whole) {
		input_whole(&transfer.input, &bytes, &len);
		send_one(&transfer, bytes, len);
	} else {
		while (input_line(&transfer.input, &bytes, &len))
			send_one(&transfer, bytes, len);
	}
	flush(&transfer);
	progress_end(&transfer.progress);
	if (transfer.repeated)
		fprintf(stderr, "kpost: %llu of %llu messages were sent before\n",
			(unsigned long long)transfer.repeated, (unsigned long long)transfer.sent);
	return STATUS_OK;
}
