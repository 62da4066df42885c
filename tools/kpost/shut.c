// SPDX-License-Identifier: GPL-2.0-only
/* kpost shut: have a mailbox take nothing more. */
#include "tool.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **name = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (*name)
			argp_usage(state);
		*name = arg;
		break;
	case ARGP_KEY_END:
		if (!*name)
			argp_error(state, "which mailbox?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Have a mailbox take nothing more, for ever. Whoever receives from it gets what is "
	       "left, and then its end. If nobody does, it goes, with what is in it.",
};

int verb_shut(int argc, char **argv)
{
	const struct kpost_setattr attr = { .valid = KPOST_SET_SHUT };
	const char *name = NULL;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &name);
	ret = kpost_setattr(mailbox_open(name, KPOST_RIGHT_ADMIN, 0, NULL, 0), &attr);
	if (ret)
		fail(ret, name, "cannot shut mailbox '%s'", shown(name));
	return STATUS_OK;
}
