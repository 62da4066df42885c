// SPDX-License-Identifier: MIT
/* Programs with older and newer structs than the library's. */
#include "standin.h"

#define MORE 8

/* Any struct, with what a program of tomorrow has behind it. */
#define grown(type) \
	struct { \
		type known; \
		unsigned char more[MORE]; \
	}

/*
 * What grows at its end has no padding there, or the next field would go where an older
 * program's struct ends, and come out of an older library as whatever is on its stack.
 */
_Static_assert(sizeof(struct kpost_options) == 2 * 4 + 4 * 8, "no padding");
_Static_assert(sizeof(struct kpost_message) == 11 * 8 + 8 * 4, "no padding");
_Static_assert(sizeof(struct kpost_answer) == 7 * 8 + 6 * 4, "no padding");
_Static_assert(sizeof(struct kpost_response) == 3 * 8 + 2 * sizeof(void *) + 2 * 4, "no padding");
_Static_assert(sizeof(struct kpost_origin) == 4 * 8 + 6 * 4 + 200, "no padding");
_Static_assert(sizeof(struct kpost_attr) == 8 + 8 + sizeof(size_t) + 4 * 4, "no padding");

static void expect_zero(const void *bytes, size_t len)
{
	static const unsigned char zero[64];

	assert_memory_equal(bytes, zero, len);
}

static void kernel_is_told_the_size(void **state)
{
	grown(struct kpost_stat) st;
	grown(struct kpost_info) info;
	grown(struct kpost_setattr) attr = { .known = { .valid = 0 } };
	grown(struct kpost_grant) grant = { .known = { .rights = 1 } };

	(void)state;
	memset(&st, 0, sizeof(st));
	memset(&info, 0, sizeof(info));
	assert_int_equal(kpost_stat_sized(ENDPOINT_FD, &st.known, sizeof(st)), 0);
	standin_expect(ENDPOINT_FD, _IOC(_IOC_READ, KPOST_IOC_TYPE, 0x15, sizeof(st)));
	standin_reset(0);
	assert_int_equal(kpost_info_at_sized(9, &info.known, sizeof(info)), 0);
	standin_expect(9, _IOC(_IOC_READ, KPOST_IOC_TYPE, 0, sizeof(info)));
	standin_reset(0);
	assert_int_equal(kpost_info_sized(&info.known, 8), 0);
	standin_expect(DEVICE_FD, _IOC(_IOC_READ, KPOST_IOC_TYPE, 0, 8));
	standin_reset(0);
	assert_int_equal(kpost_setattr_sized(ENDPOINT_FD, &attr.known, sizeof(attr)), 0);
	standin_expect(ENDPOINT_FD, _IOC(_IOC_WRITE, KPOST_IOC_TYPE, 0x16, sizeof(attr)));
	/* and of what it does not know it is told, as it may know it */
	standin_reset(-E2BIG);
	grant.more[MORE - 1] = 1;
	assert_int_equal(kpost_grant_sized(ENDPOINT_FD, &grant.known, sizeof(grant)), -E2BIG);
	standin_expect(ENDPOINT_FD, _IOC(_IOC_WRITE, KPOST_IOC_TYPE, 0x17, sizeof(grant)));
	assert_int_equal(standin.arg[sizeof(grant) - 1], 1);
}

static void size_has_to_fit_the_number(void **state)
{
	static unsigned char large[_IOC_SIZEMASK + 1];
	const void *attr = large;

	(void)state;
	assert_int_equal(kpost_stat_sized(ENDPOINT_FD, (void *)large, sizeof(large)), -EINVAL);
	assert_int_equal(kpost_info_at_sized(9, (void *)large, sizeof(large)), -EINVAL);
	assert_int_equal(kpost_setattr_sized(ENDPOINT_FD, attr, sizeof(large)), -EINVAL);
	assert_int_equal(kpost_grant_sized(ENDPOINT_FD, attr, sizeof(large)), -EINVAL);
	assert_int_equal(kpost_list_at_sized(9, NULL, NULL, sizeof(large)), -EINVAL);
	/* one without the name cannot be gone on from */
	assert_int_equal(kpost_list_at_sized(9, NULL, NULL, 8), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

struct grown_stat {
	struct kpost_stat known;
	unsigned char more[MORE];
};

/* As the module does: filled with zero to the size that was asked for. */
static void answer_list(void *arg)
{
	struct kpost_list *list = arg;
	struct grown_stat *entries = (struct grown_stat *)(uintptr_t)list->buf;
	unsigned int i, from = (unsigned char)list->after[0];

	assert_int_equal(list->entry_size, sizeof(*entries));
	for (i = 0; i < list->count && from + i < 70; i++) {
		memset(&entries[i], 0, sizeof(entries[i]));
		entries[i].known.name[0] = (char)(1 + from + i);
		entries[i].more[0] = (unsigned char)(from + i);
	}
	standin.ret = (int)i;
}

static int each_in_order(const struct kpost_stat *st, void *arg)
{
	int *count = arg;

	assert_int_equal((unsigned char)st->name[0], 1 + *count);
	assert_int_equal(((const struct grown_stat *)(const void *)st)->more[0], *count);
	++*count;
	return 0;
}

static void list_has_entries_of_the_size(void **state)
{
	int count = 0;

	(void)state;
	standin.answer = answer_list;
	assert_int_equal(kpost_list_sized(each_in_order, &count, sizeof(struct grown_stat)), 0);
	standin_expect_device();
	assert_int_equal(count, 70);
}

static void attr_is_read_as_far_as_it_goes(void **state)
{
	grown(struct kpost_attr) attr = {
		.known = { .messages = 5, .message_max = 7, .held_max = 3 },
	};
	const struct kpost_open *asked = (struct kpost_open *)standin.arg;
	const size_t old = offsetof(struct kpost_attr, message_max);
	int fds[2];

	(void)state;
	kpost_open_sized("a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &attr.known, 0, old);
	assert_int_equal(asked->messages, 5);
	assert_int_equal(asked->message_max, 0);
	assert_int_equal(asked->held_max, 0);
	kpost_open_at_sized(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE, &attr.known, 0,
			    sizeof(attr));
	assert_int_equal(asked->message_max, 7);
	assert_int_equal(kpost_pair_sized(fds, 0, &attr.known, sizeof(attr)), 0);
	assert_int_equal(asked->message_max, 7);
	assert_int_equal(asked->held_max, 3);
	standin_reset(0);
	attr.more[MORE - 1] = 1;
	assert_int_equal(kpost_pair_sized(fds, 0, &attr.known, sizeof(attr)), -E2BIG);
	assert_int_equal(kpost_open_at_sized(9, "a", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE,
					     &attr.known, 0, sizeof(attr)),
			 -E2BIG);
	assert_int_equal(standin.ioctls, 0);
}

/* each function that takes options, and what it asked the kernel */
static int with_options(int which, const struct kpost_options *options, size_t size)
{
	switch (which) {
	case 0:
		return kpost_sendv_sized(ENDPOINT_FD, NULL, 0, options, NULL, size);
	case 1:
		return (int)kpost_callv_sized(ENDPOINT_FD, NULL, 0, NULL, 0, options, NULL, size,
					      0);
	default:
		return kpost_replyv_sized(ENDPOINT_FD, 8, NULL, 0, options, size);
	}
}

static uint64_t tag_asked(int which)
{
	switch (which) {
	case 0:
		return ((struct kpost_send *)standin.arg)->tag;
	case 1:
		return ((struct kpost_call *)standin.arg)->tag;
	default:
		return ((struct kpost_reply *)standin.arg)->tag;
	}
}

static void options_are_read_as_far_as_they_go(void **state)
{
	grown(struct kpost_options) options = { .known = { .tag = 7 } };
	unsigned int i;
	int which;

	(void)state;
	for (which = 0; which < 3; which++) {
		standin_reset(0);
		memset(options.more, 0, MORE);
		assert_int_equal(with_options(which, &options.known, sizeof(options)), 0);
		assert_int_equal(tag_asked(which), 7);
		/* an older program's end before it, and the oldest's before all */
		assert_int_equal(with_options(which, &options.known,
					      offsetof(struct kpost_options, tag)),
				 0);
		assert_int_equal(tag_asked(which), 0);
		assert_int_equal(with_options(which, &options.known, 0), 0);
		assert_int_equal(tag_asked(which), 0);
		/* none have no size */
		assert_int_equal(with_options(which, NULL, sizeof(options)), 0);
		assert_int_equal(tag_asked(which), 0);
		standin_reset(0);
		for (i = 0; i < MORE; i++) {
			memset(options.more, 0, MORE);
			options.more[i] = 1;
			assert_int_equal(with_options(which, &options.known, sizeof(options)),
					 -E2BIG);
		}
		assert_int_equal(standin.ioctls, 0);
	}
}

static struct kpost_reply seen_reply;

static void answer_replied(void *arg)
{
	struct kpost_reply *reply =
		(struct kpost_reply *)(uintptr_t)((struct kpost_reply_recv *)arg)->reply;

	seen_reply = *reply;
	reply->token = 0;
}

static ssize_t respond(struct kpost_response *response, size_t size)
{
	return kpost_reply_recv_sized(ENDPOINT_FD, response, NULL, 0, NULL, 0, 0, size, 0);
}

static void response_is_read_and_written_as_far_as_it_goes(void **state)
{
	grown(struct kpost_response) response = {
		.known = {
			.token = 5,
			.buf = "x",
			.len = 1,
			.tag = 7,
			.flags = KPOST_RETURN,
			.not_before = 9,
		},
	};
	struct {
		uint64_t token;
		unsigned char behind[MORE];
	} oldest = { .token = 5, .behind = { 1, 2, 3, 4, 5, 6, 7, 8 } }, before = oldest;
	const size_t old = offsetof(struct kpost_response, tag);

	(void)state;
	standin.answer = answer_replied;
	assert_int_equal(respond(&response.known, sizeof(response)), 0);
	assert_int_equal(seen_reply.token, 5);
	assert_int_equal(seen_reply.tag, 7);
	assert_int_equal(seen_reply.flags, KPOST_RETURN);
	assert_int_equal(seen_reply.not_before, 9);
	assert_int_equal(response.known.token, 0);
	assert_int_equal(response.known.tag, 7);
	expect_zero(response.more, MORE);
	response.known.token = 5;
	assert_int_equal(respond(&response.known, old), 0);
	assert_int_equal(seen_reply.len, 1);
	assert_int_equal(seen_reply.tag, 0);
	assert_int_equal(seen_reply.flags, 0);
	assert_int_equal(seen_reply.not_before, 0);
	assert_int_equal(response.known.token, 0);
	/* the token alone, and nothing is written behind it */
	assert_int_equal(respond((void *)&oldest, sizeof(oldest.token)), 0);
	assert_int_equal(seen_reply.token, 5);
	assert_int_equal(seen_reply.buf, 0);
	assert_int_equal(oldest.token, 0);
	assert_memory_equal(oldest.behind, before.behind, MORE);
	/* without it there is nowhere to write to */
	standin_reset(0);
	assert_int_equal(respond((void *)&oldest, sizeof(oldest.token) - 1), -EINVAL);
	/* what is not understood is not replied to, and the token stays */
	response.known.token = 5;
	response.more[0] = 1;
	assert_int_equal(respond(&response.known, sizeof(response)), -E2BIG);
	assert_int_equal(response.known.token, 5);
	assert_int_equal(standin.ioctls, 0);
}

static void answer_recv(void *arg)
{
	struct kpost_recv *recv = arg;

	recv->size = 3;
	recv->gid = 4;
	recv->opener_uid = 5;
	recv->opener_gid = 6;
}

static void answer_reply_recv(void *arg)
{
	answer_recv((void *)(uintptr_t)((struct kpost_reply_recv *)arg)->recv);
}

/* each function that tells of a message */
static ssize_t receive(int which, struct kpost_message *message, size_t size)
{
	struct kpost_response response = { .token = 0 };

	standin.answer = which == 2 ? answer_reply_recv : answer_recv;
	switch (which) {
	case 3:
		return kpost_hold_sized(ENDPOINT_FD, NULL, 0, message, 0, 0, 0, size);
	case 0:
		return kpost_recv_sized(ENDPOINT_FD, NULL, 0, message, 0, 0, size);
	case 1:
		return kpost_recvv_sized(ENDPOINT_FD, NULL, 0, message, 0, 0, size);
	case 4:
		return kpost_recv_tag_sized(ENDPOINT_FD, 7, NULL, 0, message, 0, 0, size);
	default:
		return kpost_reply_recv_sized(ENDPOINT_FD, &response, NULL, 0, message, 0, 0,
					      sizeof(response), size);
	}
}

static void message_is_written_as_far_as_it_goes(void **state)
{
	const size_t old = offsetof(struct kpost_message, opener_uid);
	grown(struct kpost_message) message, before;
	int which;

	(void)state;
	for (which = 0; which < 5; which++) {
		standin_reset(3);
		memset(&message, 0x5a, sizeof(message));
		before = message;
		assert_int_equal(receive(which, &message.known, old), 3);
		assert_int_equal(message.known.gid, 4);
		assert_memory_equal((char *)&message + old, (char *)&before + old,
				    sizeof(message) - old);
		assert_int_equal(receive(which, &message.known, sizeof(message)), 3);
		assert_int_equal(message.known.opener_gid, 6);
		assert_int_equal(message.known.reserved, 0);
		expect_zero(message.more, MORE);
		/* a message that does not fit tells its size and nothing else */
		standin_reset(-EMSGSIZE);
		message = before;
		assert_int_equal(receive(which, &message.known, sizeof(message)), -EMSGSIZE);
		assert_int_equal(message.known.size, 3);
		message.known.size = before.known.size;
		assert_memory_equal(&message, &before, sizeof(message));
	}
}

static void answer_is_written_as_far_as_it_goes(void **state)
{
	const size_t old = offsetof(struct kpost_answer, opener_uid);
	grown(struct kpost_options) options = { .known = { .tag = 7 } };
	grown(struct kpost_answer) answer, before;
	ssize_t ret;

	(void)state;
	memset(&answer, 0x5a, sizeof(answer));
	before = answer;
	kpost_callv_sized(ENDPOINT_FD, NULL, 0, NULL, 0, NULL, &answer.known, 0, old);
	assert_int_equal(answer.known.sequence, 0);
	assert_int_equal(answer.known.time, 0);
	assert_memory_equal((char *)&answer + old, (char *)&before + old, sizeof(answer) - old);
	kpost_callv_sized(ENDPOINT_FD, NULL, 0, NULL, 0, NULL, &answer.known, 0, sizeof(answer));
	assert_int_equal(answer.known.opener_gid, 65534);
	expect_zero(answer.more, MORE);
	/* also where the options are refused: the two have sizes of their own */
	options.more[0] = 1;
	answer = before;
	ret = kpost_callv_sized(ENDPOINT_FD, NULL, 0, NULL, 0, &options.known, &answer.known,
				sizeof(options), old);
	assert_int_equal(ret, -E2BIG);
	assert_int_equal(answer.known.pid, 0);
	assert_int_equal(answer.known.gid, 65534);
	assert_memory_equal((char *)&answer + old, (char *)&before + old, sizeof(answer) - old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(kernel_is_told_the_size, standin_setup),
		cmocka_unit_test_setup(size_has_to_fit_the_number, standin_setup),
		cmocka_unit_test_setup(list_has_entries_of_the_size, standin_setup),
		cmocka_unit_test_setup(attr_is_read_as_far_as_it_goes, standin_setup),
		cmocka_unit_test_setup(options_are_read_as_far_as_they_go, standin_setup),
		cmocka_unit_test_setup(response_is_read_and_written_as_far_as_it_goes,
				       standin_setup),
		cmocka_unit_test_setup(message_is_written_as_far_as_it_goes, standin_setup),
		cmocka_unit_test_setup(answer_is_written_as_far_as_it_goes, standin_setup),
	};

	return cmocka_run_group_tests_name("sizes", tests, NULL, NULL);
}
