// SPDX-License-Identifier: GPL-2.0-only
/* kpost rm: take names away. */
#include <unistd.h>

#include "tool.h"

struct options {
	char **names;
	int count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_ARGS:
		options->names = state->argv + state->next;
		options->count = state->argc - state->next;
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which mailbox?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "NAME|PATH...",
	.doc = "Remove mailboxes. What is in one is lost, unless somebody can still receive "
	       "from it.",
};

int verb_remove(int argc, char **argv)
{
	struct options options = { 0 };
	int counter, i, ret, status = STATUS_OK;
	const char *name, *fault;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	for (i = 0; i < options.count; i++) {
		name = options.names[i];
		counter = counter_open(&name);
		fault = name_fault(name);
		if (fault) {
			warn_plain("'%s' cannot be a mailbox: %s", shown(options.names[i]), fault);
			status = STATUS_USAGE;
			close(counter);
			continue;
		}
		ret = kpost_unlink_at(counter, name);
		close(counter);
		if (ret == -ENOENT) {
			warn_plain("cannot remove mailbox '%s': no such mailbox",
				   shown(options.names[i]));
			status = STATUS_NO_MAILBOX;
		} else if (ret) {
			status = complain(ret, options.names[i], "cannot remove mailbox '%s'",
					  shown(options.names[i]));
		}
	}
	return status;
}
