// SPDX-License-Identifier: GPL-2.0-only
/* kpost call: a request, and its reply. */
#include "tool.h"

#define DEFAULT_REPLY 65536

struct options {
	const char *name;
	const char *payload; /* NULL to read it */
	unsigned int priority;
	uint64_t tag;
	size_t reply_max;
	int64_t timeout;
	bool present;
	bool retry;
	bool raw;
	bool json;
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
	case KEY_TAG:
		options->tag = parse_number(state, "tag", arg);
		break;
	case KEY_REPLY_MAX:
		options->reply_max = parse_size(state, "reply-max", arg, KPOST_PAYLOAD_MAX);
		break;
	case KEY_PRESENT:
		options->present = true;
		break;
	case KEY_RETRY:
		options->retry = true;
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
		if (state->arg_num == 0)
			options->name = arg;
		else if (state->arg_num == 1)
			options->payload = strcmp(arg, "-") ? arg : NULL;
		else
			argp_usage(state);
		break;
	case ARGP_KEY_END:
		if (!options->name)
			argp_error(state, "which mailbox?");
		if (options->raw && options->json)
			argp_error(state, "--raw and --json exclude each other");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "priority", 'p', "N", 0, "Priority of the request, 0 (default) to 32767", 0 },
	{ "tag", KEY_TAG, "N", 0, "A number for the receiver, of 64 bits; default 0", 0 },
	TIMEOUT_OPTION("Give up when there is no reply after this long, with status 4"),
	{ "reply-max", KEY_REPLY_MAX, "SIZE", 0, "Longest reply; default 64K", 0 },
	{ "present", KEY_PRESENT, NULL, 0, "Fail if nobody can receive from the mailbox", 0 },
	OWNER_OPTION,
	{ "retry", KEY_RETRY, NULL, 0,
	  "The request can be done twice: if a server dies with it, another gets it", 0 },
	{ "raw", KEY_RAW, NULL, 0, "Print no newline after the reply", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print the reply as JSON, text or base64", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH [PAYLOAD|-]",
	.doc = "Send PAYLOAD or standard input as a call, and print the reply, as it is, and a "
	       "newline. Ends with status 7 at once if the receiver dies or gives it up.",
};

static const char unreceived[] = "nobody had received the request, so it is safe to call again";

/* What a failure means depends on whether the request was received. */
static _Noreturn void call_failed(const struct options *options, int error,
				  const struct kpost_answer *answer)
{
	const char *name = shown(options->name);
	const char *effect = answer->flags & KPOST_MESSAGE_RECEIVED ?
				     "the request was received, and may be acted upon" :
			     options->retry ? "the request may have been acted upon" :
					      unreceived;

	if (error == -EPIPE)
		fail_plain(STATUS_GONE, "call to mailbox '%s' failed: the mailbox is closed; %s",
			   name, effect);
	if (error == -ETIMEDOUT)
		fail_plain(STATUS_TIMED_OUT, "call to mailbox '%s' failed: timed out; %s", name,
			   effect);
	fail(error, options->name, "call to mailbox '%s' failed", name);
}

static void print_json(const struct kpost_answer *answer, const void *reply, size_t len)
{
	json_open("{");
	json_number("sequence", answer->sequence);
	json_number("tag", answer->tag);
	json_number("badge", answer->badge);
	json_number("time", answer->time);
	json_number("size", len);
	json_number("pid", (uint64_t)answer->pid);
	json_number("uid", answer->uid);
	json_number("gid", answer->gid);
	json_number("opener_uid", answer->opener_uid);
	json_number("opener_gid", answer->opener_gid);
	json_bool("mixed_ids", answer->flags & KPOST_MESSAGE_MIXED_IDS);
	json_bytes("reply", reply, len);
	json_close("}");
	json_end_line();
}

int verb_call(int argc, char **argv)
{
	struct options options = { .timeout = -1, .reply_max = DEFAULT_REPLY };
	struct kpost_answer answer = { 0 };
	struct kpost_options how;
	struct iovec request, reply;
	struct input input;
	const char *bytes;
	size_t len;
	ssize_t ret;
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	output_need();
	fd = mailbox_open(options.name, KPOST_RIGHT_SEND, 0, NULL, 0);
	if (options.payload) {
		bytes = options.payload;
		len = strlen(bytes);
	} else {
		input_open(&input, NULL, KPOST_PAYLOAD_MAX);
		input_whole(&input, &bytes, &len);
	}
	request = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	reply = (struct iovec){ .iov_base = malloc(options.reply_max + 1),
				.iov_len = options.reply_max };
	if (!reply.iov_base)
		fail(ENOMEM, NULL, "cannot make room for the reply");
	how = (struct kpost_options){
		.flags = (options.present ? KPOST_PRESENT : 0) | (options.retry ? KPOST_RETRY : 0),
		.priority = options.priority,
		.deadline = kpost_deadline(options.timeout),
		.tag = options.tag,
	};
	ret = kpost_callv(fd, &request, 1, &reply, 1, &how, &answer);
	if (ret < 0)
		call_failed(&options, (int)ret, &answer);
	if (options.json) {
		print_json(&answer, reply.iov_base, (size_t)ret);
	} else {
		output(reply.iov_base, (size_t)ret);
		if (!options.raw)
			output("\n", 1);
	}
	if (output_flush())
		output_fail("the call was answered, and its reply is lost");
	return STATUS_OK;
}
