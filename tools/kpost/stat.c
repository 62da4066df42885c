// SPDX-License-Identifier: GPL-2.0-only
/* kpost stat: all that can be said of one mailbox. */
#include <unistd.h>
#include <grp.h>
#include <pwd.h>

#include "tool.h"

struct options {
	const char *name;
	bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_JSON:
		options->json = true;
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

static const struct argp_option choices[] = { JSON_OPTION, { 0 } };

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME|PATH",
	.doc = "Show all there is to know of a mailbox.",
};

/* How long before now @time was; nothing if that is 0. */
static void print_ago(const char *before, uint64_t time, const char *behind)
{
	uint64_t now = kpost_deadline(0);

	if (time)
		output_text("%s %.3f s%s", before, now > time ? (double)(now - time) / 1e9 : 0,
			    behind);
}

static void print_text(const struct kpost_stat *st)
{
	const struct passwd *user = getpwuid(st->uid);
	const struct group *group = getgrgid(st->gid);
	char maker[32] = "no user";

	if (st->maker != KPOST_MAKER_OFFICE)
		snprintf(maker, sizeof(maker), "user %u, who made it", st->maker);
	output_text("name      %s\n", shown(st->name));
	output_text("owner     %s:%s (%u:%u), mode %04o\n", user ? user->pw_name : "?",
		    group ? group->gr_name : "?", st->uid, st->gid, st->mode);
	output_text("lasts     %s%s\n",
		    st->flags & KPOST_STAT_PERSIST ? "until it is removed" :
						     "as long as it is open",
		    st->flags & KPOST_STAT_CLOSED ? ", closed" :
		    st->flags & KPOST_STAT_SHUT	  ? ", takes nothing more" :
						    "");
	output_text("capacity  %u messages, %s; one message at most %s\n", st->messages,
		    human_size(st->bytes), human_size(st->message_max));
	output_text("counts    %s, for %s\n", human_size(st->counted), maker);
	output_text("queued    %u messages, %s", st->queued_messages, human_size(st->queued_bytes));
	print_ago("; the oldest for", st->oldest, "");
	output_text("\n");
	output_text("senders   %u, of which %u tasks wait for room\n", st->senders,
		    st->waiting_senders);
	output_text("receivers %u, of which %u tasks wait for a message\n", st->receivers,
		    st->waiting_receivers);
	output_text("calls     %u to be answered\n", st->open_calls);
	output_text("held      %u messages; one receiver may hold %u\n", st->held, st->held_max);
	output_text("so far    %llu sent, %llu received, %llu dropped\n",
		    (unsigned long long)st->sent, (unsigned long long)st->received,
		    (unsigned long long)st->dropped);
	output_text("          %llu of those sent found it empty and nobody waiting\n",
		    (unsigned long long)st->unattended);
	if (st->flags & KPOST_STAT_KEYED)
		output_text("keyed     what is in it can be received by tag\n");
	if (st->overflow || st->dropped_new || st->dropped_old)
		output_text("overflow  senders may drop %s; so far %llu new, %llu old\n",
			    overflow_text(st->overflow), (unsigned long long)st->dropped_new,
			    (unsigned long long)st->dropped_old);
	if (st->replaced)
		output_text("replaced  %llu by others of the same tag\n",
			    (unsigned long long)st->replaced);
	if (st->expired)
		output_text("expired   %llu before they were received\n",
			    (unsigned long long)st->expired);
	if (st->mark)
		output_text("mark      %llu\n", (unsigned long long)st->mark);
	if (st->last_sent) {
		print_ago("last      sent", st->last_sent, " ago");
		print_ago(", received", st->last_received, " ago");
		output_text("\n");
	}
	output_text("identity  %llu\n", (unsigned long long)st->identity);
}

/*
 * The list tells no mark, since that is of a badge: ask for that of who opens it, if it may be
 * opened so that nobody is told of one more sender.
 */
static uint64_t find_mark(const char *name)
{
	int fd = kpost_open(name, KPOST_RIGHT_ADMIN, 0, NULL, 0);
	struct kpost_stat st = { .flags = 0 };

	if (fd < 0)
		return 0;
	if (kpost_stat(fd, &st))
		st.mark = 0;
	close(fd);
	return st.mark;
}

int verb_stat(int argc, char **argv)
{
	struct options options = { 0 };
	struct kpost_stat st;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	ret = mailbox_find(options.name, &st);
	if (ret)
		fail(ret, options.name, "cannot look at mailbox '%s'", shown(options.name));
	/* No path gives the right to administer. */
	st.mark = is_path(options.name) ? 0 : find_mark(options.name);
	if (options.json) {
		json_stat(&st);
		json_end_line();
	} else {
		print_text(&st);
	}
	return STATUS_OK;
}
