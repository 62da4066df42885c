// SPDX-License-Identifier: MIT
/* What a sender, and each of its messages, is told to be: options, and structs of other sizes. */
#include "pipe_ring.h"

static void note_nothing(void *arg, void *cookie, int result)
{
	(void)arg;
	(void)cookie;
	(void)result;
}

static void options_are_checked(void **state)
{
	const struct kpost_sender_options deep = { .depth = (1u << 20) + 1 };
	const struct kpost_sender_options wide = { .batch = KPOST_BATCH_MAX + 1 };
	const struct kpost_sender_options strange = { .flags = 1u << 31 };
	struct kpost_sender *sender;

	(void)state;
	assert_int_equal(kpost_sender_new(&sender, pipe_fds[1], &deep), -EINVAL);
	assert_int_equal(kpost_sender_new(&sender, pipe_fds[1], &wide), -EINVAL);
	assert_int_equal(kpost_sender_new(&sender, pipe_fds[1], &strange), -EINVAL);
	kpost_sender_free(pipe_sender(0, 0, NULL, NULL));
	assert_int_equal(kpost_sender_new(&sender, -1, NULL), -EBADF);
	assert_int_equal(kpost_sender_free(NULL), 0);
}

static void messages_are_checked(void **state)
{
	struct kpost_sender *sender = pipe_sender(0, 0, NULL, NULL);

	(void)state;
	assert_int_equal(kpost_sender_queue(sender, "", KPOST_PAYLOAD_MAX + 1, NULL, NULL),
			 -EMSGSIZE);
	assert_int_equal(kpost_sender_queue(sender, NULL, 1, NULL, NULL), -EFAULT);
	assert_int_equal(kpost_sender_pending(sender), 0);
	assert_int_equal(kpost_sender_flush(sender, 0), 0);
	assert_int_equal(kpost_sender_free(sender), 0);
}

static void options_go_with_the_message(void **state)
{
	const struct kpost_options all = {
		.priority = 9,
		.deadline = 1ull << 41,
		.tag = UINT64_MAX,
	};
	struct kpost_sender *sender = pipe_sender(0, 0, NULL, NULL);
	unsigned int number = 0;

	(void)state;
	assert_int_equal(kpost_sender_queue(sender, &number, sizeof(number), &all, NULL), 0);
	assert_int_equal(kpost_sender_submit(sender), 0);
	assert_int_equal(pipe_last.flags, 0);
	assert_int_equal(pipe_last.priority, 9);
	assert_int_equal(pipe_last.deadline, 1ull << 41);
	assert_int_equal(pipe_last.tag, UINT64_MAX);
	assert_int_equal(pipe_last.cookie, 0);
	pipe_expect(0, 1);
	kpost_sender_free(sender);
	/* and none of it is left for the next one in its place */
	sender = pipe_sender(1, 1, note_nothing, NULL);
	assert_int_equal(kpost_sender_queue(sender, &number, sizeof(number), &all, NULL), 0);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(kpost_sender_queue(sender, &number, sizeof(number), NULL, NULL), 0);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(pipe_last.priority, 0);
	assert_int_equal(pipe_last.deadline, 0);
	assert_int_equal(pipe_last.tag, 0);
	kpost_sender_free(sender);
}

static void strange_options_queue_nothing(void **state)
{
	static const unsigned int flags[] = { KPOST_DONTWAIT, KPOST_SYNC, KPOST_IOVEC,
					      KPOST_WANT_SEQUENCE, 1u << 31 };
	struct {
		struct kpost_options known;
		unsigned char more[8];
	} newer = { .known = { .tag = 3 } };
	struct kpost_sender *sender = pipe_sender(0, 0, NULL, NULL);
	struct kpost_options options = { .tag = 3 };
	unsigned int number = 0, i;
	int ret;

	(void)state;
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		options.flags = flags[i];
		ret = kpost_sender_queue(sender, &number, sizeof(number), &options, NULL);
		assert_int_equal(ret, -EINVAL);
	}
	newer.more[7] = 1;
	ret = kpost_sender_queue_sized(sender, &number, sizeof(number), &newer.known, NULL,
				       sizeof(newer));
	assert_int_equal(ret, -E2BIG);
	assert_int_equal(kpost_sender_pending(sender), 0);
	newer.more[7] = 0;
	ret = kpost_sender_queue_sized(sender, &number, sizeof(number), &newer.known, NULL,
				       sizeof(newer));
	assert_int_equal(ret, 0);
	assert_int_equal(kpost_sender_submit(sender), 0);
	assert_int_equal(pipe_last.tag, 3);
	/* an older program's end before the tag */
	ret = kpost_sender_queue_sized(sender, &number, sizeof(number), &newer.known, NULL,
				       offsetof(struct kpost_options, tag));
	assert_int_equal(ret, 0);
	assert_int_equal(kpost_sender_submit(sender), 0);
	assert_int_equal(pipe_last.tag, 0);
	/* all defaults, whatever size they do not have */
	ret = kpost_sender_queue_sized(sender, &number, sizeof(number), NULL, NULL, sizeof(newer));
	assert_int_equal(ret, 0);
	assert_int_equal(kpost_sender_free(sender), 1);
}

static void structs_have_sizes(void **state)
{
	struct {
		struct kpost_sender_options known;
		unsigned char more[8];
	} options = { .known = { .depth = 8, .batch = 8, .flags = 1u << 31 } };
	struct {
		struct kpost_completion known;
		uint64_t more;
	} done[4];
	struct kpost_sender *sender = pipe_sender(0, 0, NULL, NULL);
	unsigned int i;
	int ret;

	(void)state;
	kpost_sender_free(sender);
	/* an older program's options end before the flags that are no good here */
	assert_int_equal(kpost_sender_new_sized(&sender, pipe_fds[1], &options.known,
						offsetof(struct kpost_sender_options, flags)),
			 0);
	kpost_sender_free(sender);
	options.known.flags = 0;
	ret = kpost_sender_new_sized(&sender, pipe_fds[1], &options.known, sizeof(options));
	assert_int_equal(ret, 0);
	memset(done, 0x5a, sizeof(done));
	for (i = 0; i < 3; i++)
		pipe_queue(sender, i);
	assert_int_equal(kpost_sender_flush(sender, 0), 0);
	assert_int_equal(kpost_sender_reap_sized(sender, &done[0].known, 4, sizeof(done[0])), 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(done[i].known.cookie, i);
		assert_int_equal(done[i].known.result, 0);
		assert_int_equal(done[i].more, 0);
	}
	assert_int_equal(done[3].more, 0x5a5a5a5a5a5a5a5a);
	kpost_sender_free(sender);
	options.more[7] = 1;
	assert_int_equal(kpost_sender_new_sized(&sender, pipe_fds[1], &options.known,
						sizeof(options)),
			 -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(options_are_checked),		ring_test(messages_are_checked),
		ring_test(options_go_with_the_message), ring_test(strange_options_queue_nothing),
		ring_test(structs_have_sizes),
	};

	return cmocka_run_group_tests_name("sender options", tests, NULL, NULL);
}
