// SPDX-License-Identifier: GPL-2.0-only
/* kpost grant: become a command whose output, or input, is a mailbox. */
#include <unistd.h>

#include "tool.h"

struct options {
	const char *name;
	char **command;
	struct kpost_grant grant;
	bool sends_as; /* something was said of what is sent */
	bool input;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'p':
		options->grant.priority =
			(uint32_t)parse_size(state, "priority", arg, KPOST_PRIORITY_MAX);
		options->sends_as = true;
		break;
	case KEY_TAG:
		options->grant.tag = parse_number(state, "tag", arg);
		options->sends_as = true;
		break;
	case KEY_BADGE:
		options->grant.badge = parse_number(state, "badge", arg);
		options->grant.flags |= KPOST_GRANT_BADGE;
		break;
	case KEY_MARK:
		options->grant.flags |= KPOST_GRANT_MARK;
		break;
	case KEY_INPUT:
		options->input = true;
		break;
	case KEY_OWNER:
		mailbox_demand_owner(state, arg);
		break;
	case ARGP_KEY_ARG:
		take_name_or_command(state, arg, &options->name, &options->command);
		break;
	case ARGP_KEY_END:
		want_name_and_command(state, options->name, options->command);
		if (options->input && options->sends_as)
			argp_error(state, "--tag and --priority are of what is sent, and with "
					  "--input nothing is");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "badge", KEY_BADGE, "N", 0,
	  "What the kernel stamps on all messages, whatever the command does; for the mailbox's "
	  "owner",
	  0 },
	{ "mark", KEY_MARK, NULL, 0,
	  "Have the mailbox keep the highest number that is sent with the badge, for 'kpost send "
	  "--number'; for the mailbox's owner",
	  0 },
	{ "tag", KEY_TAG, "N", 0, "A number for the receiver, of 64 bits; default 0", 0 },
	{ "priority", 'p', "N", 0, "Priority, 0 (default) to 32767; higher is received first", 0 },
	OWNER_OPTION,
	{ "input", KEY_INPUT, NULL, 0, "The mailbox is the standard input instead", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH -- COMMAND [ARGUMENT]...",
	.doc = "Run COMMAND with the mailbox as its standard output: each of its writes is a "
	       "message. With --input it is the standard input: each of its reads receives one.\v"
	       "Many programs write several lines at once where the output is no terminal; "
	       "'stdbuf -oL COMMAND' has them write each by itself.",
};

/* An endpoint that can do nothing else, so that the command can do no more either. */
static int make_endpoint(struct options *options)
{
	unsigned int rights = options->input ? KPOST_RIGHT_RECV : KPOST_RIGHT_SEND;
	bool admin = options->grant.flags & (KPOST_GRANT_BADGE | KPOST_GRANT_MARK);
	int from, fd;

	from = mailbox_open(options->name, rights | (admin ? KPOST_RIGHT_ADMIN : 0), 0, NULL, 0);
	options->grant.rights = rights;
	fd = kpost_grant(from, &options->grant);
	if (fd < 0)
		fail(fd, options->name, "cannot make an endpoint on mailbox '%s'",
		     shown(options->name));
	/* The one that it was made from is closed when the command runs. */
	return fd;
}

int verb_grant(int argc, char **argv)
{
	struct options options = { 0 };
	int error;

	/* In order, so that the command's options are not taken for ours. */
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
	if (dup2(make_endpoint(&options), options.input ? STDIN_FILENO : STDOUT_FILENO) < 0)
		fail_plain(STATUS_FAILED, "cannot make it the command's: %s", strerror(errno));
	execvp(options.command[0], options.command);
	error = errno;
	fail_plain(error == ENOENT ? STATUS_NO_COMMAND : STATUS_CANNOT_RUN, "cannot run '%s': %s",
		   shown(options.command[0]), strerror(error));
}
