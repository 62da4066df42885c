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
	const struct kpost_options options = {
		.priority = 12,
		.deadline = 1ull << 41,
		.tag = UINT64_MAX,
	};
	struct kpost_call *asked = (struct kpost_call *)standin.arg;
	int ret;

	(void)state;
	standin_reset(3);
	assert_int_equal(kpost_callv(ENDPOINT_FD, out, 1, in, 2, &options, NULL), 3);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL);
	assert_int_equal(asked->flags, KPOST_IOVEC | KPOST_REPLY_IOVEC);
	assert_int_equal(asked->priority, 12);
	assert_int_equal(asked->deadline, 1ull << 41);
	assert_int_equal(asked->len, 1);
	assert_int_equal(asked->reply_len, 2);
	assert_int_equal(asked->tag, UINT64_MAX);
	assert_int_equal(asked->cookie, 0);
	/* none are all the defaults */
	assert_int_equal(kpost_callv(ENDPOINT_FD, out, 1, in, 2, NULL, NULL), 3);
	assert_int_equal(asked->flags, KPOST_IOVEC | KPOST_REPLY_IOVEC);
	assert_int_equal(asked->priority, 0);
	assert_int_equal(asked->deadline, 0);
	assert_int_equal(asked->tag, 0);
	standin_reset(0);
	assert_int_equal(kpost_callv(ENDPOINT_FD, out, -1, in, 2, NULL, NULL), -EINVAL);
	ret = (int)kpost_callv(ENDPOINT_FD, out, 1, in, KPOST_IOVEC_MAX + 1, NULL, NULL);
	assert_int_equal(ret, -EINVAL);
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
	call->reply_tag = 1ull << 41;
	call->badge = 7;
	call->time = 1ull << 42;
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
		assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, 0, NULL, 0, NULL, &answer),
				 ends[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_CALL);
		assert_int_equal(answer.sequence, 1ull << 40);
		assert_int_equal(answer.flags, KPOST_MESSAGE_RECEIVED | KPOST_MESSAGE_MIXED_IDS);
		assert_int_equal(answer.pid, 1);
		assert_int_equal(answer.uid, 2);
		assert_int_equal(answer.gid, 3);
		assert_int_equal(answer.opener_uid, 4);
		assert_int_equal(answer.opener_gid, 5);
		assert_int_equal(answer.tag, 1ull << 41);
		assert_int_equal(answer.badge, 7);
		assert_int_equal(answer.time, 1ull << 42);
	}
}

static void refused_call_was_answered_by_nobody(void **state)
{
	/* by the kernel, and by the library: each list, and flags, which a call has not */
	static const struct {
		int request_cnt, reply_cnt;
		struct kpost_options options;
	} calls[] = {
		{ 0, 0, { .tag = 5 } },
		{ -1, 0, { .tag = 5 } },
		{ 0, -1, { .tag = 5 } },
		{ 0, 0, { .flags = KPOST_DONTWAIT } },
		{ 0, 0, { .flags = KPOST_SYNC } },
		{ 0, 0, { .flags = KPOST_IOVEC } },
		{ 0, 0, { .flags = KPOST_REPLY_IOVEC } },
		{ 0, 0, { .flags = KPOST_PRESENT | KPOST_DONTWAIT } },
		{ 0, 0, { .flags = 1u << 31 } },
	};
	struct kpost_answer answer;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		memset(&answer, 0x5a, sizeof(answer));
		standin_reset(-EINVAL);
		assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, calls[i].request_cnt, NULL,
					     calls[i].reply_cnt, &calls[i].options, &answer),
				 -EINVAL);
		assert_int_equal(standin.ioctls, i == 0);
		assert_int_equal(answer.sequence, 0);
		assert_int_equal(answer.tag, 0);
		assert_int_equal(answer.badge, 0);
		assert_int_equal(answer.time, 0);
		/* least of all it was answered by root */
		assert_int_equal(answer.flags, 0);
		assert_int_equal(answer.pid, 0);
		assert_int_equal(answer.uid, 65534);
		assert_int_equal(answer.gid, 65534);
		assert_int_equal(answer.opener_uid, 65534);
		assert_int_equal(answer.opener_gid, 65534);
	}
}

/* A signal leaves the call under way; CANCEL says what had become of it. */
static void answer_interrupted(void *arg)
{
	if (standin.number == KPOST_IOC_CALL) {
		((struct kpost_call *)arg)->id = 1ull << 43;
		return;
	}
	assert_int_equal(standin.number, KPOST_IOC_CALL_CANCEL);
	assert_int_equal(((struct kpost_call_cancel *)arg)->id, 1ull << 43);
	((struct kpost_call_cancel *)arg)->message_flags = KPOST_MESSAGE_RECEIVED;
	((struct kpost_call_cancel *)arg)->sequence = 9;
	standin.ret = 1;
}

static void interrupted_call_is_given_up(void **state)
{
	struct kpost_answer answer;

	(void)state;
	standin_reset(-EINTR);
	standin.answer = answer_interrupted;
	assert_int_equal(kpost_call(ENDPOINT_FD, request, 7, reply, 32, 0), -EINTR);
	assert_int_equal(standin.ioctls, 2);
	standin_reset(-EINTR);
	standin.answer = answer_interrupted;
	memset(&answer, 0x5a, sizeof(answer));
	assert_int_equal(kpost_callv(ENDPOINT_FD, NULL, 0, NULL, 0, NULL, &answer), -EINTR);
	assert_int_equal(standin.ioctls, 2);
	assert_int_equal(answer.flags, KPOST_MESSAGE_RECEIVED);
	assert_int_equal(answer.sequence, 9);
	assert_int_equal(answer.pid, 0);
	assert_int_equal(answer.uid, 65534);
}

static void answer_submit(void *arg)
{
	((struct kpost_call_submit *)arg)->id = 1ull << 44;
}

static void submit_passes_all(void **state)
{
	const struct iovec out[1] = { { .iov_base = request, .iov_len = 7 } };
	const struct kpost_options options = {
		.flags = KPOST_DONTWAIT,
		.priority = 12,
		.deadline = 1ull << 41,
		.tag = UINT64_MAX,
	};
	const struct kpost_options shaped = { .flags = KPOST_IOVEC };
	struct kpost_call_submit *asked = (struct kpost_call_submit *)standin.arg;
	uint64_t id = 0;

	(void)state;
	standin_reset(0);
	standin.answer = answer_submit;
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, out, 1, 32, 99, &options, &id), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL_SUBMIT);
	assert_int_equal(id, 1ull << 44);
	assert_int_equal(asked->flags, KPOST_IOVEC | KPOST_DONTWAIT);
	assert_int_equal(asked->priority, 12);
	assert_int_equal(asked->deadline, 1ull << 41);
	assert_int_equal(asked->len, 1);
	assert_int_equal(asked->reply_max, 32);
	assert_int_equal(asked->tag, UINT64_MAX);
	assert_int_equal(asked->user_data, 99);
	assert_int_equal(asked->cookie, 0);
	/* none are all the defaults, and the id need not be told */
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, out, 1, 0, 0, NULL, NULL), 0);
	assert_int_equal(asked->flags, KPOST_IOVEC);
	id = 5;
	standin_reset(-EAGAIN);
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, out, 1, 0, 0, NULL, &id), -EAGAIN);
	assert_int_equal(id, 5);
	standin_reset(0);
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, out, -1, 0, 0, NULL, NULL), -EINVAL);
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, out, 1, 0, 0, &shaped, NULL), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

static void answer_collect(void *arg)
{
	struct kpost_call_collect *collect = arg;

	collect->id = 1ull << 45;
	collect->user_data = 1ull << 46;
	collect->size = 3;
	collect->sequence = 1ull << 40;
	collect->reply_tag = 1ull << 41;
	collect->badge = 7;
	collect->time = 1ull << 42;
	collect->message_flags = KPOST_MESSAGE_RECEIVED;
	collect->pid = 1;
	collect->uid = 2;
	collect->gid = 3;
	collect->opener_uid = 4;
	collect->opener_gid = 5;
}

static void collect_passes_all_and_tells_all(void **state)
{
	static const int ends[] = { 3, -ECONNRESET };
	struct kpost_call_collect *asked = (struct kpost_call_collect *)standin.arg;
	struct kpost_answer answer;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		memset(&answer, 0x5a, sizeof(answer));
		standin_reset(ends[i]);
		standin.answer = answer_collect;
		assert_int_equal(kpost_call_collect(ENDPOINT_FD, 8, reply, 32, &answer,
						    KPOST_DONTWAIT, 77),
				 ends[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_CALL_COLLECT);
		assert_int_equal(asked->flags, KPOST_DONTWAIT);
		assert_int_equal(asked->deadline, 77);
		assert_int_equal(asked->buf, (uintptr_t)reply);
		assert_int_equal(asked->len, 32);
		assert_int_equal(asked->id, 8);
		assert_int_equal(answer.id, 1ull << 45);
		assert_int_equal(answer.user_data, 1ull << 46);
		assert_int_equal(answer.size, 3);
		assert_int_equal(answer.sequence, 1ull << 40);
		assert_int_equal(answer.tag, 1ull << 41);
		assert_int_equal(answer.badge, 7);
		assert_int_equal(answer.time, 1ull << 42);
		assert_int_equal(answer.flags, KPOST_MESSAGE_RECEIVED);
		assert_int_equal(answer.pid, 1);
		assert_int_equal(answer.uid, 2);
		assert_int_equal(answer.gid, 3);
		assert_int_equal(answer.opener_uid, 4);
		assert_int_equal(answer.opener_gid, 5);
	}
	standin_reset(-EAGAIN);
	assert_int_equal(kpost_call_collect(ENDPOINT_FD, 0, NULL, 0, NULL, KPOST_DONTWAIT, 0),
			 -EAGAIN);
	standin_reset(0);
	assert_int_equal(kpost_call_collect(ENDPOINT_FD, 0, NULL, 0, NULL, KPOST_IOVEC, 0),
			 -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

static void cancel_passes_the_id(void **state)
{
	const struct kpost_call_cancel one = { .id = 8 }, all = { .id = 0 };

	(void)state;
	standin_reset(1);
	assert_int_equal(kpost_call_cancel(ENDPOINT_FD, 8), 1);
	standin_expect(ENDPOINT_FD, KPOST_IOC_CALL_CANCEL);
	assert_memory_equal(standin.arg, &one, sizeof(one));
	standin_reset(17);
	assert_int_equal(kpost_call_cancel(ENDPOINT_FD, 0), 17);
	assert_memory_equal(standin.arg, &all, sizeof(all));
}

static void reply_passes_all(void **state)
{
	const struct iovec iov[1] = { { .iov_base = reply, .iov_len = 5 } };
	const struct kpost_options options = { .tag = UINT64_MAX }, late = { .expires = 1 };
	struct kpost_reply *asked = (struct kpost_reply *)standin.arg;

	(void)state;
	assert_int_equal(kpost_reply(ENDPOINT_FD, 1ull << 40, reply, 5), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_int_equal(asked->flags, 0);
	assert_int_equal(asked->reserved, 0);
	assert_int_equal(asked->token, 1ull << 40);
	assert_int_equal(asked->buf, (uintptr_t)reply);
	assert_int_equal(asked->len, 5);
	assert_int_equal(asked->tag, 0);

	standin_reset(-ECANCELED);
	assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, iov, 1, &options), -ECANCELED);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY);
	assert_int_equal(asked->flags, KPOST_IOVEC);
	assert_int_equal(asked->token, 8);
	assert_int_equal(asked->len, 1);
	assert_int_equal(asked->tag, UINT64_MAX);
	assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, iov, 1, NULL), -ECANCELED);
	assert_int_equal(asked->tag, 0);
	/* neither replies nor calls expire */
	standin_reset(0);
	assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, iov, 1, &late), -EINVAL);
	assert_int_equal(kpost_callv(ENDPOINT_FD, iov, 1, iov, 1, &late, NULL), -EINVAL);
	assert_int_equal(kpost_call_submit(ENDPOINT_FD, iov, 1, 5, 0, &late, NULL), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
	assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, iov, -1, NULL), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
}

static void reply_has_only_a_tag(void **state)
{
	static const struct kpost_options strange[] = {
		{ .flags = KPOST_DONTWAIT, .tag = 1 }, { .flags = KPOST_DROP, .tag = 1 },
		{ .flags = 1u << 31, .tag = 1 },       { .priority = 1, .tag = 1 },
		{ .priority = 1u << 31, .tag = 1 },    { .deadline = 1, .tag = 1 },
		{ .deadline = 1ull << 63, .tag = 1 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		assert_int_equal(kpost_replyv(ENDPOINT_FD, 8, NULL, 0, &strange[i]), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
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
	in->tag = 79;
	in->badge = 80;
	in->time = 81;
	in->call_deadline = 82;
}

static void reply_recv_passes_all(void **state)
{
	struct kpost_response response = {
		.token = 77,
		.buf = reply,
		.len = 5,
		.tag = UINT64_MAX,
	};
	struct kpost_message message;
	ssize_t ret;

	(void)state;
	memset(&message, 0x5a, sizeof(message));
	standin_reset(13);
	standin.answer = answer_reply_recv;
	uses_token = 1;
	ret = kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, &message, KPOST_TRUNCATE, 6);
	assert_int_equal(ret, 13);
	standin_expect(ENDPOINT_FD, KPOST_IOC_REPLY_RECV);
	/* used up, and nothing else was touched */
	assert_int_equal(response.token, 0);
	assert_ptr_equal(response.buf, reply);
	assert_int_equal(response.len, 5);
	assert_int_equal(response.tag, UINT64_MAX);
	assert_int_equal(seen_reply.flags, 0);
	assert_int_equal(seen_reply.reserved, 0);
	assert_int_equal(seen_reply.tag, UINT64_MAX);
	assert_int_equal(seen_reply.token, 77);
	assert_int_equal(seen_reply.buf, (uintptr_t)reply);
	assert_int_equal(seen_reply.len, 5);
	assert_int_equal(seen_recv.flags, KPOST_TRUNCATE);
	assert_int_equal(seen_recv.deadline, 6);
	assert_int_equal(seen_recv.buf, (uintptr_t)buf);
	assert_int_equal(seen_recv.len, 64);
	assert_int_equal(message.token, 78);
	assert_int_equal(message.size, 13);
	assert_int_equal(message.tag, 79);
	assert_int_equal(message.badge, 80);
	assert_int_equal(message.time, 81);
	assert_int_equal(message.call_deadline, 82);
}

/* what is held is done with, or goes back, in the same operation */
static void reply_recv_ends_what_is_held(void **state)
{
	const struct kpost_reply done = { .flags = KPOST_DONE, .token = 77 };
	const struct kpost_reply later = { .flags = KPOST_RETURN, .token = 77, .not_before = 8 };
	struct kpost_response response = { .token = 77, .flags = KPOST_DONE };

	(void)state;
	standin.answer = answer_reply_recv;
	uses_token = 1;
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, NULL, KPOST_HOLD, 0), 0);
	assert_memory_equal(&seen_reply, &done, sizeof(done));
	assert_int_equal(seen_recv.flags, KPOST_HOLD);
	assert_int_equal(response.flags, KPOST_DONE);
	response = (struct kpost_response){
		.token = 77,
		.flags = KPOST_RETURN,
		.not_before = 8,
	};
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, NULL, KPOST_HOLD, 0), 0);
	assert_memory_equal(&seen_reply, &later, sizeof(later));
	assert_int_equal(response.token, 0);
}

static void reply_recv_tells_which_half_failed(void **state)
{
	struct kpost_response response = { .token = 77, .buf = reply, .len = 5 };
	struct kpost_message message, before;
	ssize_t ret;

	(void)state;
	memset(&message, 0x5a, sizeof(message));
	before = message;
	standin_reset(-ENOENT);
	standin.answer = answer_reply_recv;
	uses_token = 0;
	ret = kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, &message, 0, 0);
	assert_int_equal(ret, -ENOENT);
	assert_int_equal(response.token, 77);
	uses_token = 1;
	standin_reset(-ETIMEDOUT);
	standin.answer = answer_reply_recv;
	ret = kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, &message, 0, 0);
	assert_int_equal(ret, -ETIMEDOUT);
	assert_int_equal(response.token, 0);
	/* neither told of a message */
	assert_memory_equal(&message, &before, sizeof(message));
}

static void reply_recv_without_token_replies_nothing(void **state)
{
	const struct kpost_reply nothing = { .flags = 0 };
	/* what is left of the last reply, which may be freed memory by now */
	struct kpost_response response = {
		.buf = (void *)16,
		.len = SIZE_MAX,
		.tag = 9,
		.flags = KPOST_IOVEC,
		.reserved = 1,
		.not_before = 3,
	};
	unsigned int i;

	(void)state;
	standin.answer = answer_reply_recv;
	/* the loop of a server that gets nothing but messages */
	for (i = 0; i < 3; i++) {
		memset(&seen_reply, 0x5a, sizeof(seen_reply));
		assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, NULL, 0, 0), 0);
		assert_memory_equal(&seen_reply, &nothing, sizeof(nothing));
		assert_int_equal(response.token, 0);
	}
}

static void reply_recv_keeps_the_token_of_what_is_refused(void **state)
{
	static const unsigned int shapes[] = { KPOST_IOVEC, KPOST_REPLY_IOVEC, KPOST_WANT_SEQUENCE,
					       KPOST_TOKENS };
	struct kpost_response response = { .token = 77 };
	unsigned int i;
	ssize_t ret;

	(void)state;
	for (i = 0; i < 4; i++) {
		ret = kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, NULL, shapes[i], 0);
		assert_int_equal(ret, -EINVAL);
		assert_int_equal(response.token, 77);
		response.flags = shapes[i];
		ret = kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, NULL, 0, 0);
		assert_int_equal(ret, -EINVAL);
		assert_int_equal(response.token, 77);
		response.flags = 0;
	}
	response.reserved = 1;
	assert_int_equal(kpost_reply_recv(ENDPOINT_FD, &response, buf, 64, NULL, 0, 0), -EINVAL);
	assert_int_equal(response.token, 77);
	assert_int_equal(standin.ioctls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(call_passes_all, standin_setup),
		cmocka_unit_test_setup(callv_passes_all, standin_setup),
		cmocka_unit_test_setup(callv_tells_what_became_of_it, standin_setup),
		cmocka_unit_test_setup(refused_call_was_answered_by_nobody, standin_setup),
		cmocka_unit_test_setup(interrupted_call_is_given_up, standin_setup),
		cmocka_unit_test_setup(submit_passes_all, standin_setup),
		cmocka_unit_test_setup(collect_passes_all_and_tells_all, standin_setup),
		cmocka_unit_test_setup(cancel_passes_the_id, standin_setup),
		cmocka_unit_test_setup(reply_passes_all, standin_setup),
		cmocka_unit_test_setup(reply_has_only_a_tag, standin_setup),
		cmocka_unit_test_setup(drop_passes_nothing_else, standin_setup),
		cmocka_unit_test_setup(reply_recv_passes_all, standin_setup),
		cmocka_unit_test_setup(reply_recv_ends_what_is_held, standin_setup),
		cmocka_unit_test_setup(reply_recv_tells_which_half_failed, standin_setup),
		cmocka_unit_test_setup(reply_recv_without_token_replies_nothing, standin_setup),
		cmocka_unit_test_setup(reply_recv_keeps_the_token_of_what_is_refused,
				       standin_setup),
	};

	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
