// SPDX-License-Identifier: MIT
#include "standin.h"

static char payload[16];

static void answer_held(void *arg)
{
	struct kpost_recv *recv = arg;

	recv->message_flags = KPOST_MESSAGE_HELD;
	recv->size = 11;
	recv->token = 1ull << 40;
	recv->attempts = 3;
}

static void hold_passes_and_describes(void **state)
{
	struct kpost_recv expected = {
		.flags = KPOST_HOLD | KPOST_TRUNCATE,
		.deadline = 1ull << 41,
		.buf = (uintptr_t)payload,
		.len = 16,
		.hold_until = 1ull << 42,
	};
	struct kpost_message message;

	(void)state;
	memset(&message, 0x5a, sizeof(message));
	standin_reset(11);
	standin.answer = answer_held;
	assert_int_equal(kpost_hold(ENDPOINT_FD, payload, 16, &message, KPOST_TRUNCATE, 1ull << 41,
				    1ull << 42),
			 11);
	standin_expect(ENDPOINT_FD, KPOST_IOC_RECV);
	assert_memory_equal(standin.arg, &expected, sizeof(expected));
	assert_int_equal(message.flags, KPOST_MESSAGE_HELD);
	assert_int_equal(message.token, 1ull << 40);
	assert_int_equal(message.attempts, 3);
	/* by default for as long as it takes, and nobody has to want the description */
	expected = (struct kpost_recv){ .flags = KPOST_HOLD };
	assert_int_equal(kpost_hold(ENDPOINT_FD, NULL, 0, NULL, 0, 0, 0), 11);
	assert_memory_equal(standin.arg, &expected, sizeof(expected));
}

static void hold_is_refused_what_recv_is(void **state)
{
	static const unsigned int shapes[] = { KPOST_IOVEC, KPOST_REPLY_IOVEC, KPOST_WANT_SEQUENCE,
					       KPOST_TOKENS };
	static const int errors[] = { EAGAIN, EBUSY, EDQUOT, ENOBUFS, ETIMEDOUT };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		assert_int_equal(kpost_hold(ENDPOINT_FD, payload, 16, NULL, shapes[i], 0, 0),
				 -EINVAL);
	assert_int_equal(standin.ioctls, 0);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		standin_reset(-errors[i]);
		assert_int_equal(kpost_hold(ENDPOINT_FD, payload, 16, NULL, 0, 0, 0), -errors[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_RECV);
	}
}

static void recv_can_hold_too(void **state)
{
	const struct iovec pieces[1] = { { .iov_base = payload, .iov_len = 16 } };
	const struct kpost_recv *asked = (const struct kpost_recv *)standin.arg;
	struct kpost_message message;

	(void)state;
	standin_reset(11);
	standin.answer = answer_held;
	assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 16, &message, KPOST_HOLD, 0), 11);
	assert_int_equal(asked->flags, KPOST_HOLD);
	assert_int_equal(message.token, 1ull << 40);
	assert_int_equal(kpost_recvv(ENDPOINT_FD, pieces, 1, &message, KPOST_HOLD, 0), 11);
	assert_int_equal(asked->flags, KPOST_HOLD | KPOST_IOVEC);
}

static void done_and_return_pass_the_token(void **state)
{
	const struct kpost_reply done = { .flags = KPOST_DONE, .token = 1ull << 40 };
	const struct kpost_reply now = { .flags = KPOST_RETURN, .token = 9 };
	const struct kpost_reply later = {
		.flags = KPOST_RETURN,
		.token = 9,
		.not_before = 1ull << 41,
	};

	(void)state;
	assert_int_equal(kpost_done(ENDPOINT_FD, 1ull << 40), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_memory_equal(standin.arg, &done, sizeof(done));
	standin_reset(-ECANCELED);
	assert_int_equal(kpost_return(ENDPOINT_FD, 9, 0), -ECANCELED);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_memory_equal(standin.arg, &now, sizeof(now));
	standin_reset(-ENOENT);
	assert_int_equal(kpost_return(ENDPOINT_FD, 9, 1ull << 41), -ENOENT);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_memory_equal(standin.arg, &later, sizeof(later));
}

static void batches_pass_the_tokens(void **state)
{
	static const uint64_t tokens[3] = { 1, 2, 3 };
	const struct kpost_reply done = {
		.flags = KPOST_DONE | KPOST_TOKENS,
		.buf = (uintptr_t)tokens,
		.len = 3,
	};
	const struct kpost_reply later = {
		.flags = KPOST_RETURN | KPOST_TOKENS,
		.buf = (uintptr_t)tokens,
		.len = 2,
		.not_before = 7,
	};
	const struct kpost_reply *asked = (const struct kpost_reply *)standin.arg;

	(void)state;
	standin_reset(2);
	assert_int_equal(kpost_done_batch(ENDPOINT_FD, tokens, 3), 2);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_memory_equal(standin.arg, &done, sizeof(done));
	standin_reset(2);
	assert_int_equal(kpost_return_batch(ENDPOINT_FD, tokens, 2, 7), 2);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_memory_equal(standin.arg, &later, sizeof(later));
	/* too many are the kernel's to refuse, and no fewer */
	standin_reset(-EINVAL);
	assert_int_equal(kpost_done_batch(ENDPOINT_FD, tokens, SIZE_MAX), -EINVAL);
	assert_int_equal(asked->len, SIZE_MAX);
}

static void calls_can_be_retried(void **state)
{
	const struct kpost_options options = { .flags = KPOST_RETRY | KPOST_PRESENT };
	const struct kpost_options shaped = { .flags = KPOST_RETRY | KPOST_TOKENS };

	(void)state;
	assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, 0, NULL, 0, &options, NULL), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL);
	assert_int_equal(((struct kpost_call *)standin.arg)->flags,
			 KPOST_IOVEC | KPOST_REPLY_IOVEC | KPOST_RETRY | KPOST_PRESENT);
	standin_reset(0);
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, NULL, 0, 0, 0, &options, NULL), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL_SUBMIT);
	assert_int_equal(((struct kpost_call_submit *)standin.arg)->flags,
			 KPOST_IOVEC | KPOST_RETRY | KPOST_PRESENT);
	standin_reset(0);
	assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, 0, NULL, 0, &shaped, NULL), -EINVAL);
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, NULL, 0, 0, 0, &shaped, NULL), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hold_passes_and_describes, standin_setup),
		cmocka_unit_test_setup(hold_is_refused_what_recv_is, standin_setup),
		cmocka_unit_test_setup(recv_can_hold_too, standin_setup),
		cmocka_unit_test_setup(done_and_return_pass_the_token, standin_setup),
		cmocka_unit_test_setup(batches_pass_the_tokens, standin_setup),
		cmocka_unit_test_setup(calls_can_be_retried, standin_setup),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
