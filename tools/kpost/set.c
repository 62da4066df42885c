// SPDX-License-Identifier: GPL-2.0-only
/* kpost set: change what may change on a live mailbox. */
#include <grp.h>

#include "tool.h"

struct options {
	const char *name;
	struct kpost_setattr attr;
};

/* USER, USER:GROUP or :GROUP, each by name or number. */
static void parse_owner(struct argp_state *state, struct kpost_setattr *attr, char *arg)
{
	char *colon = strchr(arg, ':');
	const struct group *group;

	if (colon)
		*colon++ = 0;
	if (*arg) {
		attr->uid = parse_user(state, arg);
		attr->valid |= KPOST_SET_UID;
	}
	if (colon && *colon) {
		group = getgrnam(colon);
		if (group)
			attr->gid = group->gr_gid;
		else if (!parse_id(colon, &attr->gid))
			argp_error(state, "there is no group '%s'", shown(colon));
		attr->valid |= KPOST_SET_GID;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	struct kpost_setattr *attr = &options->attr;

	switch (key) {
	case 'm':
		attr->mode = parse_mode(state, arg);
		attr->valid |= KPOST_SET_MODE;
		break;
	case 'o':
		parse_owner(state, attr, arg);
		break;
	case KEY_MESSAGES:
		attr->messages =
			(uint32_t)parse_positive(state, "messages", arg, MESSAGES_HARD_MAX);
		attr->valid |= KPOST_SET_MESSAGES;
		break;
	case KEY_BYTES:
		attr->bytes = parse_positive(state, "bytes", arg, BYTES_HARD_MAX);
		attr->valid |= KPOST_SET_BYTES;
		break;
	case KEY_OVERFLOW:
		attr->overflow = parse_overflow(state, arg);
		attr->valid |= KPOST_SET_OVERFLOW;
		break;
	case KEY_HELD_MAX:
		attr->held_max =
			(uint32_t)parse_positive(state, "held-max", arg, MESSAGES_HARD_MAX);
		attr->valid |= KPOST_SET_HELD_MAX;
		break;
	case ARGP_KEY_ARG:
		if (options->name)
			argp_usage(state);
		options->name = arg;
		break;
	case ARGP_KEY_END:
		if (!options->name)
			argp_error(state, "which mailbox?");
		if (!attr->valid)
			argp_error(state, "nothing to set");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "mode", 'm', "OCTAL", 0, "Permission bits", 0 },
	{ "owner", 'o', "USER[:GROUP]", 0, "Owner, group or both, by name or number", 0 },
	{ "messages", KEY_MESSAGES, "N", 0, "Capacity in messages", 0 },
	{ "bytes", KEY_BYTES, "SIZE", 0, "Capacity in bytes of payload; K, M, G for 1024s", 0 },
	{ "overflow", KEY_OVERFLOW, "old,new,replace,any|none", 0,
	  "What senders may drop where there is no room, or replace; 'any' cannot be changed", 0 },
	{ "held-max", KEY_HELD_MAX, "N", 0, "How many messages one receiver may hold", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Change a mailbox: its capacity, mode or owner. Whoever has it open keeps "
	       "the rights it has; what is queued stays, also above a new capacity.",
};

/* EPERM, though the endpoint was opened to administer: for its owner, or its capacity. */
static _Noreturn void fail_not_permitted(const struct options *options, const struct kpost_stat *st)
{
	const struct kpost_setattr *attr = &options->attr;
	bool larger = attr->messages > st->messages || attr->bytes > st->bytes;
	char maker[64] = "it counts for no user, and only root";

	if (!larger)
		fail_plain(STATUS_PERMISSION,
			   "cannot change mailbox '%s': only root can give it to another user, or "
			   "to a group that one is not in",
			   shown(options->name));
	if (st->maker != KPOST_MAKER_OFFICE)
		snprintf(maker, sizeof(maker), "it counts for user %u, and only that one or root",
			 st->maker);
	fail_plain(STATUS_PERMISSION, "cannot change mailbox '%s': %s can make it larger%s",
		   shown(options->name), maker,
		   attr->valid & (KPOST_SET_UID | KPOST_SET_GID) ?
			   ", and only root can give it to others" :
			   "");
}

int verb_set(int argc, char **argv)
{
	struct options options = { 0 };
	struct kpost_stat st;
	int fd, ret;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	fd = mailbox_open(options.name, KPOST_RIGHT_ADMIN, 0, NULL, 0);
	ret = kpost_setattr(fd, &options.attr);
	if (ret == -EINVAL && (options.attr.valid & KPOST_SET_BYTES) && !kpost_stat(fd, &st) &&
	    options.attr.bytes < st.message_max)
		fail_plain(STATUS_USAGE,
			   "cannot change mailbox '%s': --bytes must be at least %u, the longest "
			   "message that it takes",
			   shown(options.name), st.message_max);
	if (ret == -EINVAL && !kpost_stat(fd, &st) && options.attr.valid & KPOST_SET_OVERFLOW &&
	    (options.attr.overflow ^ st.overflow) & KPOST_OVERFLOW_ANY)
		fail_plain(STATUS_USAGE,
			   "cannot change mailbox '%s': whether senders may drop others' messages "
			   "('any') is said by 'kpost create'",
			   shown(options.name));
	if (ret == -EINVAL && !kpost_stat(fd, &st) && !(st.flags & KPOST_STAT_KEYED) &&
	    options.attr.overflow & KPOST_OVERFLOW_REPLACE)
		fail_plain(STATUS_USAGE,
			   "cannot change mailbox '%s': only one that was made with 'kpost create "
			   "--keyed' lets its senders replace messages",
			   shown(options.name));
	if (ret == -EINVAL)
		fail_plain(STATUS_USAGE,
			   "cannot change mailbox '%s': this user namespace has no such owner",
			   shown(options.name));
	if (ret == -EPERM && !kpost_stat(fd, &st))
		fail_not_permitted(&options, &st);
	if (ret == -EDQUOT)
		ret = -ERROR_CAPACITY;
	if (ret)
		fail(ret, options.name, "cannot change mailbox '%s'", shown(options.name));
	return STATUS_OK;
}
