// SPDX-License-Identifier: GPL-2.0-only
/* kpost send: lines, or all of the input, as messages. */
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tool.h"

struct options {
	const char *name;
	const char *path;
	unsigned int priority;
	uint64_t tag;
	unsigned int open_flags;
	int64_t timeout;
	bool sync;
	bool whole;
};

struct transfer {
	const struct options *options;
	struct input input;
	struct progress progress;
	struct kpost_sender *sender; /* NULL to send one by one */
	int fd;
	uint64_t deadline;
	uint64_t number; /* of messages taken from the input */
	uint64_t sent;
	uint64_t failed; /* number of the first that failed, or 0 */
	int error; /* of that one */
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
		options->timeout = parse_timeout(state, arg);
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
	case KEY_WHOLE:
		options->whole = true;
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
	{ "whole", KEY_WHOLE, NULL, 0, "Send the whole input as one message", 0 },
	{ "create", KEY_CREATE, NULL, 0, "Make the mailbox if it does not exist", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME [FILE]",
	.doc = "Send each line of FILE or standard input as a message, without its newline. "
	       "Ends when the mailbox has them all.",
};

static void sent(void *arg, void *cookie, int result)
{
	struct transfer *transfer = arg;
	uint64_t number = (uintptr_t)cookie;

	if (!result) {
		transfer->sent++;
	} else if (!transfer->failed) {
		transfer->failed = number;
		transfer->error = result;
	}
}

static void report_failure(struct transfer *transfer, bool too_long)
{
	const char *name = shown(transfer->options->name);
	char so_far[48] = "";

	progress_end(&transfer->progress);
	if (transfer->number > 1)
		snprintf(so_far, sizeof(so_far), " (%llu were sent)",
			 (unsigned long long)transfer->sent);
	if (too_long)
		fail_plain(STATUS_FAILED,
			   "cannot send message %llu to mailbox '%s'%s: it is longer than the "
			   "%zu bytes that this mailbox takes; 'kpost create --message-max' makes "
			   "one that takes more",
			   (unsigned long long)transfer->failed, name, so_far,
			   transfer->input.limit);
	fail(transfer->error, transfer->options->name, "cannot send message %llu to mailbox '%s'%s",
	     (unsigned long long)transfer->failed, name, so_far);
}

/* Stop at the first failure; of what is behind it, nothing more is sent. */
static void check(struct transfer *transfer)
{
	if (!transfer->failed)
		return;
	if (transfer->sender)
		kpost_sender_free(transfer->sender);
	transfer->sender = NULL;
	report_failure(transfer, false);
}

static void check_ring(struct transfer *transfer, int ret)
{
	check(transfer);
	if (ret && ret != -EAGAIN && ret != -EINTR)
		fail(ret, NULL, "cannot use io_uring");
}

/* Before reading, which may wait long: nothing is kept back, and batches go on. */
static void idle(struct input *input, void *arg)
{
	struct transfer *transfer = arg;
	struct pollfd fds[2] = {
		{ .fd = input->fd, .events = POLLIN },
		{ .events = POLLIN },
	};

	if (!transfer->sender)
		return;
	fds[1].fd = kpost_sender_eventfd(transfer->sender);
	do {
		check_ring(transfer, kpost_sender_submit(transfer->sender));
		if (poll(fds, 2, kpost_sender_pending(transfer->sender) ? -1 : 0) <= 0)
			return;
	} while (!fds[0].revents);
}

/* What is before a failure is sent all the same. */
static void settle(void *arg)
{
	struct transfer *transfer = arg;

	while (transfer->sender && kpost_sender_pending(transfer->sender))
		check_ring(transfer, kpost_sender_wait(transfer->sender, 0));
}

static void send_one(struct transfer *transfer, const char *bytes, size_t len)
{
	const struct options *options = transfer->options;
	const struct iovec payload = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	const struct kpost_options how = {
		.flags = options->sync ? KPOST_SYNC : 0,
		.priority = options->priority,
		.deadline = transfer->deadline,
		.tag = options->tag,
	};
	void *cookie = (void *)(uintptr_t)++transfer->number;
	int ret;

	if (len > transfer->input.limit) {
		settle(transfer);
		transfer->failed = transfer->number;
		report_failure(transfer, true);
	}
	if (!transfer->sender) {
		ret = kpost_sendv(transfer->fd, &payload, 1, &how, NULL);
		sent(transfer, cookie, ret);
		check(transfer);
	} else {
		while ((ret = kpost_sender_queue(transfer->sender, bytes, len, &how, cookie)) ==
		       -EAGAIN)
			check_ring(transfer, kpost_sender_wait(transfer->sender, 0));
		/* One has failed, and nothing is sent behind it: be told of that one. */
		if (ret == -ECANCELED)
			kpost_sender_submit(transfer->sender);
		check(transfer);
		if (ret)
			fail(ret, NULL, "cannot queue message %llu",
			     (unsigned long long)transfer->number);
	}
	progress_step(&transfer->progress, len + (options->whole ? 0 : 1));
}

static void transfer_begin(struct transfer *transfer)
{
	const struct options *options = transfer->options;
	const struct kpost_sender_options how = {
		.sent = sent,
		.arg = transfer,
		.flags = KPOST_SENDER_STOP,
	};
	struct kpost_stat st;
	int ret;

	transfer->fd = mailbox_open(options->name, KPOST_RIGHT_SEND, options->open_flags, NULL, 0);
	ret = kpost_stat(transfer->fd, &st);
	if (ret)
		fail(ret, options->name, "cannot look at mailbox '%s'", shown(options->name));
	input_open(&transfer->input, options->path, st.message_max);
	transfer->input.idle = idle;
	transfer->input.failed = settle;
	transfer->input.arg = transfer;
	transfer->deadline = kpost_deadline(options->timeout);
	if (options->sync || options->whole)
		return;
	ret = kpost_sender_new(&transfer->sender, transfer->fd, &how);
	/* Where io_uring is forbidden, it goes without. */
	if (ret)
		transfer->sender = NULL;
}

int verb_send(int argc, char **argv)
{
	struct options options = { .timeout = -1 };
	struct transfer transfer = { .options = &options };
	const char *bytes;
	size_t len;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	transfer_begin(&transfer);
	progress_begin(&transfer.progress, "sent", transfer.input.size);
	if (options.whole) {
		input_whole(&transfer.input, &bytes, &len);
		send_one(&transfer, bytes, len);
	} else {
		while (input_line(&transfer.input, &bytes, &len))
			send_one(&transfer, bytes, len);
	}
	if (transfer.sender) {
		settle(&transfer);
		check(&transfer);
		kpost_sender_free(transfer.sender);
	}
	progress_end(&transfer.progress);
	return STATUS_OK;
}
