// SPDX-License-Identifier: MIT
#include "standin.h"

static char request[8], reply[32], buf[64];

static void call_passes_all(void **state)
{
	struct kpost_call *asked = (struct kpost_call *)standin.arg;

	(void)state;
	standin_reset(20);
	assert_int_equal(kpost_call(ENDPOINT_FD, request, 7, reply, 32, 99), 20);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL);
	assert_int_equal(asked->flags, 0);
	assert_int_equal(asked->priority, 0);
	assert_int_equal(asked->deadline, 99);
	assert_int_equal(asked->buf, (uintptr_t)request);
	assert_int_equal(asked->len, 7);
	assert_int_equal(asked->reply_buf, (uintptr_t)reply);
	assert_int_equal(asked->reply_len, 32);
	standin_reset(-ECONNRESET);
	assert_int_equal(kpost_call(ENDPOINT_FD, request, 7, NULL, 0, 0), -ECONNRESET);
}

static void callv_passes_all(void **state)
{
	const struct iovec out[1] = { { .iov_base = request, .iov_len = 7 } };
	const struct iovec in[2] = { { .iov_base = reply, .iov_len = 1 },
				     { .iov_base = reply + 1, .iov_len = 2 } };
	struct kpost_call *asked = (struct kpost_call *)standin.arg;

	(void)state;
	standin_reset(3);
	assert_int_equal(kpost_callv(ENDPOINT_FD, out, 1, in, 2, 12, 5, NULL), 3);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL);
	assert_int_equal(asked->flags, KPOST_IOVEC | KPOST_REPLY_IOVEC);
	assert_int_equal(asked->priority, 12);
	assert_int_equal(asked->deadline, 5);
	assert_int_equal(asked->len, 1);
	assert_int_equal(asked->reply_len, 2);
	standin_reset(0);
	assert_int_equal(kpost_callv(ENDPOINT_FD, out, -1, in, 2, 0, 0, NULL), -EINVAL);
	assert_int_equal(kpost_callv(ENDPOINT_FD, out, 1, in, KPOST_IOVEC_MAX + 1, 0, 0, NULL),
			 -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

static void answer_call(void *arg)
{
	struct kpost_call *call = arg;

	call->sequence = 1ull << 40;
	call->message_flags = KPOST_MESSAGE_RECEIVED | KPOST_MESSAGE_MIXED_IDS;
	call->pid = 1;
	call->uid = 2;
	call->gid = 3;
	call->opener_uid = 4;
	call->opener_gid = 5;
}

static void callv_tells_what_became_of_it(void **state)
{
	/* success, and an end that comes later than the receiver */
	static const int ends[] = { 3, -ECONNRESET };
	struct kpost_answer answer;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		memset(&answer, 0x5a, sizeof(answer));
		standin_reset(ends[i]);
		standin.answer = answer_call;
		assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, 0, NULL, 0, 0, 0, &answer),
				 ends[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_CALL);
		assert_int_equal(answer.sequence, 1ull << 40);
		assert_int_equal(answer.flags, KPOST_MESSAGE_RECEIVED | KPOST_MESSAGE_MIXED_IDS);
		assert_int_equal(answer.pid, 1);
		assert_int_equal(answer.uid, 2);
		assert_int_equal(answer.gid, 3);
		assert_int_equal(answer.opener_uid, 4);
		assert_int_equal(answer.opener_gid, 5);
	}
}

static void refused_call_was_answered_by_nobody(void **state)
{
	static const int counts[] = { 0, -1 };
	struct kpost_answer answer;
	unsigned int i;

	(void)state;
	/* by the kernel, and by the library; least of all it was answered by root */
	for (i = 0; i < 2; i++) {
		memset(&answer, 0x5a, sizeof(answer));
		standin_reset(-EINVAL);
		assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, 0, NULL, counts[i], 0, 0, &answer),
				 -EINVAL);
		assert_int_equal(answer.sequence, 0);
		assert_int_equal(answer.flags, 0);
		assert_int_equal(answer.pid, 0);
		assert_int_equal(answer.uid, 65534);
		assert_int_equal(answer.gid, 65534);
		assert_int_equal(answer.opener_uid, 65534);
		assert_int_equal(answer.opener_gid, 65534);
	}
}

static void reply_passes_all(void **state)
{
	const struct iovec iov[1] = { { .iov_base = reply, .iov_len = 5 } };
	struct kpost_reply *asked = (struct kpost_reply *)standin.arg;

	(void)state;
	assert_int_equal(kpost_reply(ENDPOINT_FD, 1ull << 40, reply, 5), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_int_equal(asked->flags, 0);
	assert_int_equal(asked->reserved, 0);
	assert_int_equal(asked->token, 1ull << 40);
	assert_int_equal(asked->buf, (uintptr_t)reply);
	assert_int_equal(asked->len, 5);

	standin_reset(-ECANCELED);
	assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, iov, 1), -ECANCELED);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_int_equal(asked->flags, KPOST_IOVEC);
	assert_int_equal(asked->token, 8);
	assert_int_equal(asked->len, 1);
	assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, iov, -1), -EINVAL);
}

static void drop_passes_nothing_else(void **state)
{
	const struct kpost_reply drop = { .flags = KPOST_DROP, .token = 8 };

	(void)state;
	assert_int_equal(kpost_drop(ENDPOINT_FD, 8), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_memory_equal(standin.arg, &drop, sizeof(drop));
}

/* What the library passed behind its pointers, and what the kernel does with it. */
static struct kpost_reply seen_reply;
static struct kpost_recv seen_recv;
static int uses_token;

static void answer_reply_recv(void *arg)
{
	struct kpost_reply_recv *both = arg;
	struct kpost_reply *out = (struct kpost_reply *)(uintptr_t)both->reply;
	struct kpost_recv *in = (struct kpost_recv *)(uintptr_t)both->recv;

	assert_int_equal(both->reply_size, sizeof(*out));
	assert_int_equal(both->recv_size, sizeof(*in));
	seen_reply = *out;
	seen_recv = *in;
	if (uses_token)
		out->token = 0;
	in->size = 13;
	in->token = 78;
}

static void reply_recv_passes_all(void **state)
{
	struct kpost_message message;
	uint64_t token = 77;

	(void)state;
	standin_reset(13);
	standin.answer = answer_reply_recv;
	uses_token = 1;
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &token, reply, 5, buf, 64, &message,
					  KPOST_TRUNCATE, 6),
			 13);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY_RECV);
	assert_int_equal(token, 0);
	assert_int_equal(seen_reply.flags, 0);
	assert_int_equal(seen_reply.token, 77);
	assert_int_equal(seen_reply.buf, (uintptr_t)reply);
	assert_int_equal(seen_reply.len, 5);
	assert_int_equal(seen_recv.flags, KPOST_TRUNCATE);
	assert_int_equal(seen_recv.deadline, 6);
	assert_int_equal(seen_recv.buf, (uintptr_t)buf);
	assert_int_equal(seen_recv.len, 64);
	assert_int_equal(message.token, 78);
	assert_int_equal(message.size, 13);
}

static void reply_recv_tells_which_half_failed(void **state)
{
	uint64_t token = 77;

	(void)state;
	standin_reset(-ENOENT);
	standin.answer = answer_reply_recv;
	uses_token = 0;
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &token, reply, 5, buf, 64, NULL, 0, 0),
			 -ENOENT);
	assert_int_equal(token, 77);
	uses_token = 1;
	standin_reset(-ETIMEDOUT);
	standin.answer = answer_reply_recv;
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &token, reply, 5, buf, 64, NULL, 0, 0),
			 -ETIMEDOUT);
	assert_int_equal(token, 0);
}

static void reply_recv_without_token_replies_nothing(void **state)
{
	uint64_t token = 0;

	(void)state;
	standin.answer = answer_reply_recv;
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &token, reply, 5, buf, 64, NULL, 0, 0), 0);
	assert_int_equal(seen_reply.buf, 0);
	assert_int_equal(seen_reply.len, 0);
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &token, NULL, 0, buf, 64, NULL, KPOST_IOVEC,
					  0),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(call_passes_all, standin_setup),
		cmocka_unit_test_setup(callv_passes_all, standin_setup),
		cmocka_unit_test_setup(callv_tells_what_became_of_it, standin_setup),
		cmocka_unit_test_setup(refused_call_was_answered_by_nobody, standin_setup),
		cmocka_unit_test_setup(reply_passes_all, standin_setup),
		cmocka_unit_test_setup(drop_passes_nothing_else, standin_setup),
		cmocka_unit_test_setup(reply_recv_passes_all, standin_setup),
		cmocka_unit_test_setup(reply_recv_tells_which_half_failed, standin_setup),
		cmocka_unit_test_setup(reply_recv_without_token_replies_nothing, standin_setup),
	};

	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
