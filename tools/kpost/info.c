// SPDX-License-Identifier: GPL-2.0-only
/* kpost info: what the module is, and its limits. */
#include "tool.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	(void)arg;
	switch (key) {
	case KEY_JSON:
		*json = true;
		break;
	case ARGP_KEY_ARG:
		argp_usage(state);
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
	.doc = "Show the version and features of the kernel module, and its limits, which are "
	       "the sysctls net.kpost.*, with how much of each is used.",
};

static void print_json(const struct kpost_info *info)
{
	json_open("{");
	json_number("abi_version", info->abi_version);
	json_bool("io_uring", info->features & KPOST_FEATURE_URING);
	json_bool("io_uring_registered_buffers", info->features & KPOST_FEATURE_URING_FIXED);
	json_bool("io_uring_waits_without_worker", info->features & KPOST_FEATURE_URING_PARK);
	json_bool("tag", info->features & KPOST_FEATURE_TAG);
	json_bool("time", info->features & KPOST_FEATURE_TIME);
	json_bool("grant", info->features & KPOST_FEATURE_GRANT);
	json_bool("call_deadline", info->features & KPOST_FEATURE_CALL_DEADLINE);
	json_bool("identity", info->features & KPOST_FEATURE_IDENTITY);
	json_bool("batch", info->features & KPOST_FEATURE_BATCH);
	json_bool("call_submit", info->features & KPOST_FEATURE_CALL_SUBMIT);
	json_bool("cancel", info->features & KPOST_FEATURE_CANCEL);
	json_bool("shut", info->features & KPOST_FEATURE_SHUT);
	json_bool("present", info->features & KPOST_FEATURE_PRESENT);
	json_bool("stat_times", info->features & KPOST_FEATURE_STAT_TIMES);
	json_bool("peek", info->features & KPOST_FEATURE_PEEK);
	json_bool("overflow", info->features & KPOST_FEATURE_OVERFLOW);
	json_bool("expires", info->features & KPOST_FEATURE_EXPIRES);
	json_bool("keyed", info->features & KPOST_FEATURE_KEYED);
	json_bool("clocks", info->features & KPOST_FEATURE_CLOCKS);
	json_bool("numbered", info->features & KPOST_FEATURE_NUMBERED);
	json_bool("hold", info->features & KPOST_FEATURE_HOLD);
	json_bool("owner", info->features & KPOST_FEATURE_OWNER);
	json_bool("files", info->features & KPOST_FEATURE_FILES);
	json_number("name_max", info->name_max);
	json_number("payload_max", info->payload_max);
	json_number("priority_max", info->priority_max);
	json_number("iovec_max", info->iovec_max);
	json_number("default_messages", info->default_messages);
	json_number("default_bytes", info->default_bytes);
	json_number("user_bytes", info->user_bytes);
	json_number("user_sending_bytes", info->user_sending_bytes);
	json_number("office_bytes", info->office_bytes);
	json_number("office_sending_bytes", info->office_sending_bytes);
	json_number("user_used", info->user_used);
	json_number("user_sending_used", info->user_sending_used);
	json_number("office_used", info->office_used);
	json_number("office_sending_used", info->office_sending_used);
	json_close("}");
	json_end_line();
}

static const char *uring(uint64_t features)
{
	static char text[80];

	if (!(features & KPOST_FEATURE_URING))
		return "no";
	snprintf(text, sizeof(text), "yes, %s registered buffers, and waits %s a worker",
		 features & KPOST_FEATURE_URING_FIXED ? "also with" : "without",
		 features & KPOST_FEATURE_URING_PARK ? "without" : "in");
	return text;
}

static const char *header(uint64_t features)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s%s%s%s", features & KPOST_FEATURE_TAG ? " tag" : "",
		 features & KPOST_FEATURE_TIME ? " time" : "",
		 features & KPOST_FEATURE_GRANT ? " badge" : "",
		 features & KPOST_FEATURE_CALL_DEADLINE ? " call_deadline" : "");
	return *text ? text + 1 : "nothing more";
}

static void print_text(const struct kpost_info *info)
{
	output_text("interface         version %u\n", info->abi_version);
	output_text("io_uring          %s\n", uring(info->features));
	output_text("a message tells   %s\n", header(info->features));
	output_text("name              at most %u bytes\n", info->name_max);
	output_text("message           at most %s, priorities 0 to %u\n",
		    human_size(info->payload_max), info->priority_max);
	output_text("a new mailbox     %u messages, %s\n", info->default_messages,
		    human_size(info->default_bytes));
	output_text("this user has     %s of %s in mailboxes, %s of %s under way\n",
		    human_size(info->user_used), human_size(info->user_bytes),
		    human_size(info->user_sending_used), human_size(info->user_sending_bytes));
	output_text("all users have    %s of %s in mailboxes, %s of %s under way\n",
		    human_size(info->office_used), human_size(info->office_bytes),
		    human_size(info->office_sending_used), human_size(info->office_sending_bytes));
}

int verb_info(int argc, char **argv)
{
	struct kpost_info info;
	bool json = false;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &json);
	ret = kpost_info_at(device_open(), &info);
	if (ret)
		fail(ret, NULL, "cannot ask the kernel module");
	if (json)
		print_json(&info);
	else
		print_text(&info);
	return STATUS_OK;
}
