// SPDX-License-Identifier: MIT
/* What a thread's waits are found by. */
#include "standin.h"

#define COOKIE 0xfeedf00d12345678ull

static void cancel_passes_the_cookie(void **state)
{
	const struct kpost_cancel one = { .cookie = COOKIE }, all = { 0 };

	(void)state;
	standin_reset(3);
	assert_int_equal(kpost_cancel(ENDPOINT_FD, COOKIE), 3);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CANCEL);
	assert_memory_equal(standin.arg, &one, sizeof(one));
	standin_reset(-ENOENT);
	assert_int_equal(kpost_cancel(DEVICE_FD, 0), -ENOENT);
	standin_expect(DEVICE_FD, KPOST_IOC_CANCEL);
	assert_memory_equal(standin.arg, &all, sizeof(all));
}

static void close_cancels_first(void **state)
{
	const struct kpost_cancel all = { 0 };

	(void)state;
	standin_reset(2);
	assert_int_equal(kpost_close(DEVICE_FD), 0);
	standin_expect(DEVICE_FD, KPOST_IOC_CANCEL);
	assert_memory_equal(standin.arg, &all, sizeof(all));
	assert_int_equal(standin.closed, 1);
	/* what is none of ours stays open */
	standin_reset(-ENOTTY);
	assert_int_equal(kpost_close(DEVICE_FD), -ENOTTY);
	assert_int_equal(standin.closed, 0);
}

static uint64_t half_cookie;

static void note_half(void *arg)
{
	const struct kpost_reply_recv *halves = arg;

	half_cookie = ((struct kpost_recv *)(uintptr_t)halves->recv)->cookie;
}

/* the cookie that the kernel was given by each function that can wait */
static void expect_cookies(uint64_t cookie)
{
	const struct iovec iov = { .iov_base = (char[4]){ 0 }, .iov_len = 4 };
	struct kpost_response response = { 0 };
	struct kpost_send sends[1] = { { 0 } };
	struct kpost_recv recvs[1] = { { 0 } };
	char buf[8];

#define expect(type, call) \
	do { \
		standin_reset(0); \
		call; \
		assert_int_equal(((struct type *)standin.arg)->cookie, cookie); \
	} while (0)
	expect(kpost_send, kpost_send(ENDPOINT_FD, buf, 4, 0, 0, 0));
	expect(kpost_send, kpost_sendv(ENDPOINT_FD, &iov, 1, NULL, NULL));
	expect(kpost_recv, kpost_recv(ENDPOINT_FD, buf, 8, NULL, 0, 0));
	expect(kpost_recv, kpost_hold(ENDPOINT_FD, buf, 8, NULL, 0, 0, 0));
	expect(kpost_recv, kpost_recvv(ENDPOINT_FD, &iov, 1, NULL, 0, 0));
	expect(kpost_batch, kpost_send_batch(ENDPOINT_FD, sends, 1, 0, 0, NULL));
	expect(kpost_batch, kpost_recv_batch(ENDPOINT_FD, recvs, 1, 0, 0, NULL));
	expect(kpost_call, kpost_call(ENDPOINT_FD, buf, 4, buf, 8, 0));
	expect(kpost_call, kpost_callv(ENDPOINT_FD, &iov, 1, &iov, 1, NULL, NULL));
	expect(kpost_call_submit, kpost_call_submit(ENDPOINT_FD, &iov, 1, 8, 0, NULL, NULL));
	expect(kpost_call_collect, kpost_call_collect(ENDPOINT_FD, 0, buf, 8, NULL, 0, 0));
	expect(kpost_open, kpost_open("a", KPOST_RIGHT_SEND, KPOST_OPEN_WAIT, NULL, 0));
#undef expect
	standin_reset(0);
	standin.answer = note_half;
	kpost_reply_recv(ENDPOINT_FD, &response, buf, 8, NULL, 0, 0);
	assert_int_equal(half_cookie, cookie);

	/* where nothing waits there is none */
	standin_reset(0);
	kpost_open("a", KPOST_RIGHT_SEND, 0, NULL, 0);
	assert_int_equal(((struct kpost_open *)standin.arg)->cookie, 0);
}

static void waits_have_the_cookie_of_their_thread(void **state)
{
	(void)state;
	expect_cookies(0);
	assert_int_equal(kpost_thread_cookie(COOKIE), 0);
	expect_cookies(COOKIE);
	assert_int_equal(kpost_thread_cookie(UINT64_MAX), COOKIE);
	expect_cookies(UINT64_MAX);
	assert_int_equal(kpost_thread_cookie(0), UINT64_MAX);
	expect_cookies(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(cancel_passes_the_cookie, standin_setup),
		cmocka_unit_test_setup(close_cancels_first, standin_setup),
		cmocka_unit_test_setup(waits_have_the_cookie_of_their_thread, standin_setup),
	};

	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
