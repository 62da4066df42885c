// SPDX-License-Identifier: GPL-2.0-only
/* kpost recv: take messages and print them. */
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tool.h"

#define BATCH 32
#define FIRST_ROOM (BATCH * 8192)
/* So long a message of a tag is waited for before it is looked whether to stop, in ms. */
#define SLICE 100

struct options {
	const char *name;
	uint64_t count; /* 0 to follow */
	int64_t timeout;
	uint64_t tag;
	bool tagged;
	bool peek;
	bool envelope;
	bool raw;
	bool json;
};

struct receiver {
	const struct options *options;
	int fd;
	int signals; /* a signalfd */
	int caught; /* the signal that came, or 0 */
	bool reader_gone; /* of our output */
	char *bytes;
	size_t room; /* for those of a batch together */
	struct kpost_recv batch[BATCH];
	struct progress progress;
};

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
		options->timeout = parse_seconds(state, "timeout", arg);
		break;
	case KEY_TAG:
		options->tag = parse_number(state, "tag", arg);
		options->tagged = true;
		break;
	case KEY_PEEK:
		options->peek = true;
		break;
	case KEY_ENVELOPE:
		options->envelope = true;
		break;
	case KEY_RAW:
		options->raw = true;
		break;
	case KEY_JSON:
		options->json = true;
		break;
	case KEY_OWNER:
		mailbox_demand_owner(state, arg);
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
		if (options->peek && options->count != 1)
			argp_error(state, "--peek shows one message, the next");
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
	{ "tag", KEY_TAG, "N", 0, "Take messages of this tag only; the mailbox has to be keyed",
	  0 },
	OWNER_OPTION,
	{ "peek", KEY_PEEK, NULL, 0, "Show the next message, and leave it in the mailbox", 0 },
	{ "envelope", KEY_ENVELOPE, NULL, 0,
	  "Take off what kpost-bridge puts before payloads that come from other machines, where it "
	  "is told to; with --json, tell what it says",
	  0 },
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
	.args_doc = "NAME|PATH",
	.doc = "Receive a message and print its payload, as it is, and a newline. A call is "
	       "received too, but gets no reply: see 'kpost serve'.",
};

/* Signals only come while waiting, so that no message is taken and not printed. */
static void signals_hold(struct receiver *receiver)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, NULL);
	receiver->signals = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
	if (receiver->signals < 0)
		fail_plain(STATUS_FAILED, "cannot take signals: %s", strerror(errno));
}

/* End as the signal would have ended us. */
static void end_by(int number)
{
	sigset_t it;

	sigemptyset(&it);
	sigaddset(&it, number);
	signal(number, SIG_DFL);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &it, NULL);
}

/* Of one that a local process has sent there is nothing to tell. */
static void print_origin(const struct kpost_origin *origin)
{
	json_bytes("machine", origin->machine, strlen(origin->machine));
	json_number("stored", origin->stored);
	json_id("origin_identity", origin->identity);
	json_number("origin_sequence", origin->sequence);
	json_number("origin_badge", origin->badge);
	json_number("origin_pid", (uint32_t)origin->pid);
	json_number("origin_uid", origin->uid);
	json_number("origin_gid", origin->gid);
	json_number("origin_opener_uid", origin->opener_uid);
	json_number("origin_opener_gid", origin->opener_gid);
}

static void print(const struct options *options, const struct kpost_recv *message)
{
	const char *payload = (const char *)(uintptr_t)message->buf;
	size_t len = message->size; /* none is truncated */
	struct kpost_origin origin;
	ssize_t begin = -EBADMSG;

	if (options->envelope)
		begin = kpost_bridge_origin(message->badge, payload, len, &origin);
	if (begin > 0) {
		payload += begin;
		len -= (size_t)begin;
	}
	if (!options->json) {
		output(payload, len);
		if (!options->raw)
			output("\n", 1);
		return;
	}
	json_open("{");
	json_number("sequence", message->sequence);
	json_number("priority", message->priority);
	json_number("tag", message->tag);
	json_number("badge", message->badge);
	json_number("time", message->time);
	json_number("size", len);
	json_number("pid", message->pid);
	json_number("uid", message->uid);
	json_number("gid", message->gid);
	json_number("opener_uid", message->opener_uid);
	json_number("opener_gid", message->opener_gid);
	json_bool("mixed_ids", message->message_flags & KPOST_MESSAGE_MIXED_IDS);
	json_bool("call", message->message_flags & KPOST_MESSAGE_CALL);
	if (message->message_flags & KPOST_MESSAGE_CALL && !options->peek)
		json_number("call_deadline", message->call_deadline);
	json_bool("sync", message->message_flags & KPOST_MESSAGE_SYNC);
	json_number("missed", message->missed);
	json_number("attempts", message->attempts);
	json_number("expires", message->expires);
	json_bool("truncated", message->message_flags & KPOST_MESSAGE_TRUNCATED);
	if (begin > 0)
		print_origin(&origin);
	json_bytes("payload", payload, len);
	json_close("}");
	json_end_line();
}

/*
 * Until there may be a message, and somebody to read it: -EINTR when told to stop,
 * -ECANCELED when nobody reads the output any more, or -ETIMEDOUT.
 */
static int wait_for_one(struct receiver *receiver, uint64_t deadline)
{
	enum { MAILBOX, OUTPUT, SIGNALS, POLLED };
	struct pollfd polled[POLLED] = {
		[MAILBOX] = { .fd = receiver->fd, .events = POLLIN },
		[OUTPUT] = { .fd = STDOUT_FILENO }, /* its end, which is always told */
		[SIGNALS] = { .fd = receiver->signals, .events = POLLIN },
	};
	uint64_t now = kpost_deadline(0);
	uint64_t left = deadline > now && !receiver->options->tagged ? deadline - now : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(left / 1000000000u),
		.tv_nsec = (long)(left % 1000000000u),
	};
	struct signalfd_siginfo info;
	int ret;

	/* Whether there is one of a tag is not told: who takes it waits. */
	if (receiver->options->tagged)
		polled[MAILBOX].fd = -1;
	ret = ppoll(polled, POLLED, deadline || receiver->options->tagged ? &timeout : NULL, NULL);
	if (ret < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (polled[SIGNALS].revents &&
	    read(receiver->signals, &info, sizeof(info)) == sizeof(info)) {
		receiver->caught = (int)info.ssi_signo;
		return -EINTR;
	}
	if (polled[OUTPUT].revents) {
		receiver->reader_gone = true;
		return -ECANCELED;
	}
	return ret || receiver->options->tagged ? 0 : -ETIMEDOUT;
}

/* The next message as one of a batch, though it stays.  Returns 1 or -errno. */
static int look(struct receiver *receiver)
{
	struct kpost_message seen = { 0 };
	ssize_t ret = receiver->options->tagged ?
			      kpost_recv_tag(receiver->fd, receiver->options->tag, receiver->bytes,
					     receiver->room, &seen, KPOST_PEEK, 0) :
			      kpost_recv(receiver->fd, receiver->bytes, receiver->room, &seen,
					 KPOST_PEEK, 0);

	receiver->batch[0] = (struct kpost_recv){
		.message_flags = seen.flags,
		.buf = (uintptr_t)receiver->bytes,
		.tag = seen.tag,
		.size = seen.size,
		.sequence = seen.sequence,
		.badge = seen.badge,
		.time = seen.time,
		.priority = seen.priority,
		.pid = (__u32)seen.pid,
		.uid = seen.uid,
		.gid = seen.gid,
		.opener_uid = seen.opener_uid,
		.opener_gid = seen.opener_gid,
		.missed = seen.missed,
		.attempts = seen.attempts,
		.expires = seen.expires,
	};
	return ret < 0 ? (int)ret : 1;
}

/*
 * Take what is there now into @batch, @most messages at the most.  Returns how many, or -EAGAIN.
 * One that is longer than its part of the buffer comes alone, and the buffer grows for it.
 */
static int take(struct receiver *receiver, size_t most)
{
	size_t part = receiver->room / most;
	int ret;

	for (size_t i = 0; i < most; i++)
		receiver->batch[i] = (struct kpost_recv){
			.buf = (uintptr_t)receiver->bytes + i * part,
			.len = part,
			.flags = receiver->options->tagged ? KPOST_MATCH : 0,
			.tag = receiver->options->tag,
		};
	if (receiver->options->peek)
		ret = look(receiver);
	else if (receiver->options->tagged)
		ret = kpost_recv_batch(receiver->fd, receiver->batch, most, 0,
				       kpost_deadline(SLICE), NULL);
	else
		ret = kpost_recv_batch(receiver->fd, receiver->batch, most, KPOST_DONTWAIT, 0,
				       NULL);
	if (ret != -EMSGSIZE)
		return ret;
	if (receiver->batch[0].size > receiver->room) {
		free(receiver->bytes);
		receiver->room = receiver->batch[0].size;
		receiver->bytes = malloc(receiver->room);
		if (!receiver->bytes)
			return -ENOMEM;
	}
	return take(receiver, 1);
}

static _Noreturn void fail_lost(struct receiver *receiver, size_t count, uint64_t bytes)
{
	const char *name = shown(receiver->options->name);
	unsigned long long first = receiver->batch[0].sequence, size = bytes;

	progress_end(&receiver->progress);
	if (receiver->options->peek)
		output_fail("message %llu of mailbox '%s', %llu bytes, is still there", first, name,
			    size);
	if (count == 1)
		output_fail("message %llu of mailbox '%s', %llu bytes, had been taken and is lost",
			    first, name, size);
	output_fail("%zu messages of mailbox '%s' from %llu on, %llu bytes, had been taken, and "
		    "those that were not written are lost",
		    count, name, first, size);
}

/* What was taken is out before more is, so no more than one batch is ever lost. */
static void deliver(struct receiver *receiver, size_t count)
{
	const struct kpost_recv *batch = receiver->batch;
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		print(receiver->options, &batch[i]);
		bytes += batch[i].size;
	}
	if (output_flush())
		fail_lost(receiver, count, bytes);
	for (size_t i = 0; i < count; i++) {
		if (batch[i].token)
			kpost_drop(receiver->fd, batch[i].token);
		progress_step(&receiver->progress, batch[i].size);
	}
}

static int follow(struct receiver *receiver)
{
	const struct options *options = receiver->options;
	uint64_t deadline = kpost_deadline(options->timeout);
	struct progress *progress = &receiver->progress;
	uint64_t taken = 0;
	size_t most = 1; /* the more have come out well, the more are at risk */
	int ret = 0;

	progress_begin(progress, "received", 0);
	/* Where the messages are seen themselves, there is no need to count them. */
	progress->shown = progress->shown && !isatty(STDOUT_FILENO);
	while (!options->count || taken < options->count) {
		if (options->count && options->count - taken < most)
			most = (size_t)(options->count - taken);
		ret = wait_for_one(receiver, deadline);
		if (!ret)
			ret = take(receiver, most);
		/* Another receiver may have been faster, or there is none of the tag yet. */
		if (ret == -EAGAIN || (options->tagged && ret == -ETIMEDOUT)) {
			if (options->tagged && deadline && kpost_deadline(0) >= deadline) {
				ret = -ETIMEDOUT;
				break;
			}
			if (options->tagged && options->peek)
				usleep(SLICE * 1000);
			continue;
		}
		if (ret < 0)
			break;
		deliver(receiver, (size_t)ret);
		taken += (uint64_t)ret;
		if (most < BATCH)
			most *= 2;
		if (options->timeout >= 0)
			deadline = kpost_deadline(options->timeout);
	}
	progress_end(progress);
	return ret < 0 ? ret : 0;
}

int verb_recv(int argc, char **argv)
{
	struct options options = { .count = 1, .timeout = -1 };
	struct receiver receiver = { .options = &options, .room = FIRST_ROOM };
	bool pipe_tells;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	output_need();
	receiver.fd = mailbox_open(options.name, KPOST_RIGHT_RECV, 0, NULL, 0);
	receiver.bytes = malloc(receiver.room);
	if (!receiver.bytes)
		fail(ENOMEM, NULL, "cannot make room for a message");
	signals_hold(&receiver);
	/* What a write that fails loses is told of. */
	pipe_tells = signal(SIGPIPE, SIG_IGN) == SIG_DFL;
	ret = follow(&receiver);
	if (receiver.caught)
		end_by(receiver.caught);
	if (receiver.reader_gone && pipe_tells)
		end_by(SIGPIPE);
	if (receiver.reader_gone)
		fail_plain(STATUS_FAILED, "nobody reads the output any more");
	if (ret == -EINVAL && options.tagged)
		fail_plain(STATUS_USAGE,
			   "cannot receive from mailbox '%s' by tag: it was not made with 'kpost "
			   "create --keyed'",
			   shown(options.name));
	if (ret == -EPIPE)
		fail_ended(options.name);
	if (ret)
		fail(ret, options.name, "cannot receive from mailbox '%s'", shown(options.name));
	return STATUS_OK;
}
