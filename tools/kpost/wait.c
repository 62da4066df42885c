// SPDX-License-Identifier: GPL-2.0-only
/* kpost wait: until there is a mailbox of that name. */
#include "tool.h"

struct options {
	const char *name;
	int64_t timeout;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 't':
		options->timeout = parse_seconds(state, "timeout", arg);
		break;
	case ARGP_KEY_ARG:
		if (options->name)
			argp_usage(state);
		options->name = arg;
		break;
	case ARGP_KEY_END:
		if (!options->name)
			argp_error(state, "which mailbox?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	TIMEOUT_OPTION("Give up after this long, with status 4"),
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Wait until there is a mailbox of that name.",
};

int verb_wait(int argc, char **argv)
{
	struct options options = { .timeout = -1 };
	struct kpost_stat st;
	int device, fd;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (is_path(options.name))
		fail_plain(STATUS_USAGE,
			   "cannot wait for '%s': what is waited for is a name, not a path",
			   shown(options.name));
	/* Also says what is wrong with the name, if anything. */
	if (!mailbox_find(options.name, &st))
		return STATUS_OK;
	device = device_open();
	fd = kpost_open_at(device, options.name, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT, NULL,
			   kpost_deadline(options.timeout));
	/* One that others may use is there all the same. */
	if (fd >= 0 || fd == -EACCES)
		return STATUS_OK;
	fail(fd, options.name, "cannot wait for mailbox '%s'", shown(options.name));
}
