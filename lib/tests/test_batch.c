// SPDX-License-Identifier: MIT
#include "standin.h"

static struct kpost_send sends[3];
static struct kpost_recv recvs[3];

static void expect_batch(unsigned long number, const void *entries, size_t size, unsigned int count)
{
	const struct kpost_batch *asked = (const struct kpost_batch *)standin.arg;

	standin_expect(ENDPOINT_FD, number);
	assert_int_equal(asked->entries, (uintptr_t)entries);
	assert_int_equal(asked->entry_size, size);
	assert_int_equal(asked->count, count);
	assert_int_equal(asked->flags, KPOST_DONTWAIT);
	assert_int_equal(asked->deadline, 77);
	assert_int_equal(asked->cookie, 0);
}

static void answer_error(void *arg)
{
	((struct kpost_batch *)arg)->error = -EMSGSIZE;
}

static void batch_passes_all_and_tells_the_error(void **state)
{
	int error = 1;

	(void)state;
	standin_reset(2);
	standin.answer = answer_error;
	assert_int_equal(kpost_send_batch(ENDPOINT_FD, sends, 3, KPOST_DONTWAIT, 77, &error), 2);
	expect_batch(KPOST_IOC_SENDV, sends, sizeof(sends[0]), 3);
	assert_int_equal(error, -EMSGSIZE);
	error = 1;
	standin_reset(2);
	standin.answer = answer_error;
	assert_int_equal(kpost_recv_batch(ENDPOINT_FD, recvs, 3, KPOST_DONTWAIT, 77, &error), 2);
	expect_batch(KPOST_IOC_RECVV, recvs, sizeof(recvs[0]), 3);
	assert_int_equal(error, -EMSGSIZE);
	/* nobody has to want it */
	standin_reset(2);
	standin.answer = answer_error;
	assert_int_equal(kpost_send_batch(ENDPOINT_FD, sends, 3, 0, 0, NULL), 2);
	assert_int_equal(kpost_recv_batch(ENDPOINT_FD, recvs, 3, 0, 0, NULL), 2);
}

static void batch_that_fails_tells_nothing_else(void **state)
{
	int error = 1;

	(void)state;
	standin_reset(-EPIPE);
	standin.answer = answer_error;
	assert_int_equal(kpost_send_batch(ENDPOINT_FD, sends, 3, 0, 0, &error), -EPIPE);
	assert_int_equal(kpost_recv_batch(ENDPOINT_FD, recvs, 3, 0, 0, &error), -EPIPE);
	assert_int_equal(error, 1);
}

/* a number that the struct cannot hold is no smaller one */
static void batch_of_too_many_is_none(void **state)
{
	const struct kpost_batch *asked = (const struct kpost_batch *)standin.arg;

	(void)state;
	standin_reset(-EINVAL);
	assert_int_equal(kpost_send_batch(ENDPOINT_FD, sends, (size_t)-1, 0, 0, NULL), -EINVAL);
	assert_int_equal(asked->count, 0);
	assert_int_equal(kpost_recv_batch(ENDPOINT_FD, recvs, KPOST_BATCH_MAX + 1, 0, 0, NULL),
			 -EINVAL);
	assert_int_equal(asked->count, 0);
}

/* of those that are not filled in nobody takes an old token for a new one */
static void batch_has_no_old_tokens(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++)
		recvs[i].token = 9;
	standin_reset(1);
	assert_int_equal(kpost_recv_batch(ENDPOINT_FD, recvs, 3, 0, 0, NULL), 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(recvs[i].token, 0);
}

/* programs of another age have entries of another size */
static void batch_goes_by_the_size_of_entries(void **state)
{
	struct {
		struct kpost_recv known;
		uint64_t more;
	} longer[3];
	unsigned int i;

	(void)state;
	memset(longer, 9, sizeof(longer));
	standin_reset(2);
	assert_int_equal(kpost_recv_batch_sized(ENDPOINT_FD, &longer[0].known, 3, KPOST_DONTWAIT,
						77, NULL, sizeof(longer[0])),
			 2);
	expect_batch(KPOST_IOC_RECVV, longer, sizeof(longer[0]), 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(longer[i].known.token, 0);
		assert_int_equal(longer[i].more, 0x0909090909090909);
	}
	standin_reset(2);
	assert_int_equal(kpost_send_batch_sized(ENDPOINT_FD, sends, 3, KPOST_DONTWAIT, 77, NULL,
						sizeof(sends[0]) + 8),
			 2);
	expect_batch(KPOST_IOC_SENDV, sends, sizeof(sends[0]) + 8, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(batch_passes_all_and_tells_the_error, standin_setup),
		cmocka_unit_test_setup(batch_that_fails_tells_nothing_else, standin_setup),
		cmocka_unit_test_setup(batch_of_too_many_is_none, standin_setup),
		cmocka_unit_test_setup(batch_has_no_old_tokens, standin_setup),
		cmocka_unit_test_setup(batch_goes_by_the_size_of_entries, standin_setup),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
