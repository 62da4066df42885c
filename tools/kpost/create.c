// SPDX-License-Identifier: GPL-2.0-only
/* kpost create: make a mailbox that stays until it is removed. */
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

struct options {
	const char *name;
	struct kpost_attr attr;
	unsigned int flags;
	bool mode_given;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'm':
		options->attr.mode = parse_mode(state, arg);
		if (!options->attr.mode)
			options->attr.mode = KPOST_MODE_NONE;
		options->mode_given = true;
		break;
	case KEY_MESSAGES:
		options->attr.messages =
			(unsigned int)parse_positive(state, "messages", arg, MESSAGES_HARD_MAX);
		break;
	case KEY_BYTES:
		options->attr.bytes = parse_positive(state, "bytes", arg, BYTES_HARD_MAX);
		break;
	case KEY_MESSAGE_MAX:
		options->attr.message_max =
			parse_positive(state, "message-max", arg, KPOST_PAYLOAD_MAX);
		break;
	case KEY_OVERFLOW:
		options->attr.overflow = parse_overflow(state, arg);
		break;
	case KEY_HELD_MAX:
		options->attr.held_max =
			(unsigned int)parse_positive(state, "held-max", arg, MESSAGES_HARD_MAX);
		break;
	case KEY_KEYED:
		options->flags |= KPOST_OPEN_KEYED;
		break;
	case KEY_EXCLUSIVE:
		options->flags |= KPOST_OPEN_EXCL;
		break;
	case ARGP_KEY_ARG:
		if (options->name)
			argp_usage(state);
		options->name = arg;
		break;
	case ARGP_KEY_END:
		if (!options->name)
			argp_error(state, "which mailbox?");
		if (options->attr.overflow & KPOST_OVERFLOW_REPLACE &&
		    !(options->flags & KPOST_OPEN_KEYED))
			argp_error(state, "--overflow replace is for --keyed");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "mode", 'm', "OCTAL", 0, "Permission bits, exactly; default 600", 0 },
	{ "messages", KEY_MESSAGES, "N", 0,
	  "Capacity in messages; default one for each 512 of --bytes, at least 16", 0 },
	{ "bytes", KEY_BYTES, "SIZE", 0, "Capacity in bytes of payload; K, M, G for 1024s", 0 },
	{ "message-max", KEY_MESSAGE_MAX, "SIZE", 0,
	  "Longest message; default a quarter of --bytes", 0 },
	{ "keyed", KEY_KEYED, NULL, 0, "Index what is in it by tag, for 'kpost recv --tag'", 0 },
	{ "overflow", KEY_OVERFLOW, "old,new,replace,any", 0,
	  "Let senders drop messages where there is no room: their own old ones, new ones; 'replace' "
	  "their own of the same tag, with --keyed; or with 'any' also those of others",
	  0 },
	{ "held-max", KEY_HELD_MAX, "N", 0,
	  "How many messages one receiver may hold ('kpost work'); default half of --messages", 0 },
	{ "exclusive", KEY_EXCLUSIVE, NULL, 0, "Fail if there is such a mailbox already", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH",
	.doc = "Make a mailbox that stays, with what is in it, until 'kpost rm'. One that exists "
	       "already is left as it is. It counts for whoever makes it, with all of its capacity: "
	       "'kpost info' shows how much may be had.",
};

int verb_create(int argc, char **argv)
{
	struct options options = { .flags = KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST };

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	/* A mode that was typed is meant as it is, as with mkfifo(1). */
	if (options.mode_given)
		umask(0);
	close(mailbox_open(options.name, KPOST_RIGHT_ADMIN, options.flags, &options.attr, 0));
	return STATUS_OK;
}
