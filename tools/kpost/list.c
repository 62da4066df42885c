// SPDX-License-Identifier: GPL-2.0-only
/* kpost ls: the mailboxes of this office. */
#include <pwd.h>

#include "tool.h"

struct listing {
	enum { TABLE, NAMES, JSON } form;
	const char *dir; /* by which it is asked for, or NULL */
	uint64_t identity; /* of the first, or 0 */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct listing *listing = state->input;

	switch (key) {
	case KEY_JSON:
		listing->form = JSON;
		break;
	case KEY_NAMES:
		listing->form = NAMES;
		break;
	case ARGP_KEY_ARG:
		if (listing->dir)
			argp_usage(state);
		listing->dir = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "names", KEY_NAMES, NULL, 0, "Print bare names, one a line", 0 },
	JSON_OPTION,
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "[DIR]",
	.doc = "List the mailboxes that have a name: those of this office, or those that are "
	       "files in DIR.",
};

static const char *owner(uid_t uid)
{
	static char text[64];
	static uid_t last;
	const struct passwd *user;

	/* Most lists are of one user's mailboxes. */
	if (!*text || uid != last) {
		user = getpwuid(uid);
		if (user)
			snprintf(text, sizeof(text), "%s", user->pw_name);
		else
			snprintf(text, sizeof(text), "%u", uid);
		last = uid;
	}
	return text;
}

static void print_row(const struct kpost_stat *st)
{
	char messages[32], bytes[80];

	snprintf(messages, sizeof(messages), "%u/%u", st->queued_messages, st->messages);
	snprintf(bytes, sizeof(bytes), "%s/%s", human_size(st->queued_bytes),
		 human_size(st->bytes));
	output_text("%04o %-10s %13s %17s %7u %9u %5u  %s\n", st->mode, owner(st->uid), messages,
		    bytes, st->senders, st->receivers, st->open_calls, shown(st->name));
}

static int print_one(const struct kpost_stat *st, void *arg)
{
	struct listing *listing = arg;

	if (!listing->identity)
		listing->identity = st->identity;
	switch (listing->form) {
	case TABLE:
		print_row(st);
		break;
	case NAMES:
		/* as they are: names hold no newline, and this is for programs */
		output(st->name, strlen(st->name));
		output("\n", 1);
		break;
	case JSON:
		json_stat(st);
		break;
	}
	return 0;
}

static void print_mount(const char *dir)
{
	output_text("as files in %s\n", shown(dir));
}

int verb_list(int argc, char **argv)
{
	struct listing listing = { .form = TABLE };
	int counter, ret;

	argp_parse(&argp, argc, argv, 0, NULL, &listing);
	counter = listing.dir ? directory_open(listing.dir) : device_open();
	if (listing.form == JSON)
		json_open("[");
	else if (listing.form == TABLE)
		output_text("%-4s %-10s %13s %17s %7s %9s %5s  %s\n", "MODE", "OWNER", "MESSAGES",
			    "BYTES", "SENDERS", "RECEIVERS", "CALLS", "NAME");
	ret = kpost_list_at(counter, print_one, &listing);
	if (ret)
		fail(ret, NULL, "cannot list the mailboxes");
	if (listing.form == TABLE && !listing.dir && listing.identity)
		each_mount(listing.identity, print_mount);
	if (listing.form == JSON) {
		json_close("]");
		json_end_line();
	}
	return STATUS_OK;
}
