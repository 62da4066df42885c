// SPDX-License-Identifier: MIT
#include "standin.h"

#include "../internal.h"

static char payload[16];
static const struct iovec pieces[2] = {
	{ .iov_base = payload, .iov_len = 4 },
	{ .iov_base = payload + 8, .iov_len = 8 },
};

static void send_passes_all(void **state)
{
	struct kpost_send *asked = (struct kpost_send *)standin.arg;

	(void)state;
	assert_int_equal(kpost_send(ENDPOINT_FD, payload, 5, 9, KPOST_SYNC, 1234), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_SEND);
	assert_int_equal(asked->flags, KPOST_SYNC);
	assert_int_equal(asked->priority, 9);
	assert_int_equal(asked->deadline, 1234);
	assert_int_equal(asked->buf, (uintptr_t)payload);
	assert_int_equal(asked->len, 5);
	assert_int_equal(asked->tag, 0);
	assert_int_equal(asked->cookie, 0);
}

static void answer_send(void *arg)
{
	((struct kpost_send *)arg)->sequence = 1ull << 33;
}

static void sendv_tells_the_number(void **state)
{
	const struct kpost_options options = {
		.flags = KPOST_SYNC | KPOST_REALTIME,
		.expires = 1ull << 40,
	};
	struct kpost_send *asked = (struct kpost_send *)standin.arg;
	uint64_t sequence = 5;

	(void)state;
	standin.answer = answer_send;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, &options, &sequence), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_SEND);
	assert_int_equal(asked->flags,
			 KPOST_IOVEC | KPOST_SYNC | KPOST_WANT_SEQUENCE | KPOST_REALTIME);
	assert_int_equal(asked->expires, 1ull << 40);
	/* what goes in is no number yet */
	assert_int_equal(asked->sequence, 0);
	assert_int_equal(sequence, 1ull << 33);
	/* what was not sent has none, whatever the kernel left there */
	standin_reset(-EPIPE);
	standin.answer = answer_send;
	sequence = 5;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, NULL, &sequence), -EPIPE);
	assert_int_equal(sequence, 5);
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, -1, NULL, &sequence), -EINVAL);
	assert_int_equal(sequence, 5);
	/* and nobody has to want it */
	standin_reset(0);
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, NULL, NULL), 0);
	assert_int_equal(asked->flags, KPOST_IOVEC);
	assert_int_equal(asked->expires, 0);
}

static void answer_repeated(void *arg)
{
	((struct kpost_send *)arg)->sequence = 0;
	((struct kpost_send *)arg)->out_flags = KPOST_SEND_REPEATED;
}

static void sendv_tells_that_a_number_was_sent_before(void **state)
{
	const struct kpost_options options = { .flags = KPOST_NUMBERED, .number = 1ull << 42 };
	struct kpost_send *asked = (struct kpost_send *)standin.arg;
	uint64_t sequence = 5;

	(void)state;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, &options, NULL), 0);
	assert_int_equal(asked->flags, KPOST_IOVEC | KPOST_NUMBERED);
	assert_int_equal(asked->number, 1ull << 42);
	assert_int_equal(asked->reserved, 0);
	standin.answer = answer_repeated;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, &options, &sequence),
			 KPOST_SEND_REPEATED);
	assert_int_equal(sequence, 0);
	standin_reset(-ENOENT);
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, &options, NULL), -ENOENT);
}

static void sendv_passes_all(void **state)
{
	const struct kpost_options options = {
		.flags = KPOST_DONTWAIT,
		.priority = 3,
		.deadline = 1ull << 41,
		.tag = UINT64_MAX,
	};
	struct kpost_send expected = {
		.flags = KPOST_IOVEC | KPOST_DONTWAIT,
		.priority = 3,
		.deadline = 1ull << 41,
		.len = 2,
		.tag = UINT64_MAX,
	};
	struct kpost_send *asked = (struct kpost_send *)standin.arg;

	(void)state;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, &options, NULL), 0);
	standin_expect(ENDPOINT_FD, KPOST_IOC_SEND);
	if (KPOST_IOVEC_NATIVE)
		assert_int_equal(asked->buf, (uintptr_t)pieces);
	expected.buf = asked->buf;
	assert_memory_equal(asked, &expected, sizeof(expected));
	/* none are all the defaults */
	expected = (struct kpost_send){ .flags = KPOST_IOVEC, .len = 2 };
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 2, NULL, NULL), 0);
	expected.buf = asked->buf;
	assert_memory_equal(asked, &expected, sizeof(expected));
}

static void sendv_counts_at_their_limits(void **state)
{
	static struct iovec many[KPOST_IOVEC_MAX];

	(void)state;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, -1, NULL, NULL), -EINVAL);
	assert_int_equal(kpost_sendv(ENDPOINT_FD, many, KPOST_IOVEC_MAX + 1, NULL, NULL), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
	assert_int_equal(kpost_sendv(ENDPOINT_FD, many, KPOST_IOVEC_MAX, NULL, NULL), 0);
	assert_int_equal(kpost_sendv(ENDPOINT_FD, NULL, 0, NULL, NULL), 0);
	assert_int_equal(((struct kpost_send *)standin.arg)->len, 0);
}

static void shape_is_not_the_callers(void **state)
{
	static const unsigned int shapes[] = { KPOST_IOVEC, KPOST_REPLY_IOVEC, KPOST_WANT_SEQUENCE,
					       KPOST_TOKENS };
	struct kpost_options options = { .priority = 1 };
	uint64_t sequence = 5;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		options.flags = shapes[i] | KPOST_SYNC;
		assert_int_equal(kpost_send(ENDPOINT_FD, payload, 1, 0, shapes[i], 0), -EINVAL);
		assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 1, &options, NULL), -EINVAL);
		assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 1, &options, &sequence), -EINVAL);
		assert_int_equal(sequence, 5);
	}
	assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 1, NULL, KPOST_IOVEC, 0), -EINVAL);
	assert_int_equal(kpost_recvv(ENDPOINT_FD, pieces, 1, NULL, KPOST_REPLY_IOVEC, 0), -EINVAL);
	assert_int_equal(standin.ioctls, 0);
	/* flags that the library does not know are the kernel's to refuse */
	standin_reset(-EINVAL);
	assert_int_equal(kpost_send(ENDPOINT_FD, payload, 1, 0, 1u << 30, 0), -EINVAL);
	assert_int_equal(((struct kpost_send *)standin.arg)->flags, 1u << 30);
	options.flags = 1u << 30;
	assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 1, &options, NULL), -EINVAL);
	assert_int_equal(((struct kpost_send *)standin.arg)->flags, 1u << 30 | KPOST_IOVEC);
}

static void errors_are_returned(void **state)
{
	static const int errors[] = { EAGAIN,  EBADF,  EDQUOT, EFAULT, EINTR,	  EINVAL,
				      ENOBUFS, ENOMEM, EPIPE,  ENOTTY, ETIMEDOUT, EMSGSIZE };
	struct kpost_message message;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		standin_reset(-errors[i]);
		assert_int_equal(kpost_send(ENDPOINT_FD, payload, 1, 0, 0, 0), -errors[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_SEND);
		standin_reset(-errors[i]);
		assert_int_equal(kpost_sendv(ENDPOINT_FD, pieces, 1, NULL, NULL), -errors[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_SEND);
		standin_reset(-errors[i]);
		assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 1, &message, 0, 0), -errors[i]);
		standin_expect(ENDPOINT_FD, KPOST_IOC_RECV);
	}
}

static void answer_recv(void *arg)
{
	struct kpost_recv *recv = arg;

	recv->message_flags = KPOST_MESSAGE_CALL;
	recv->size = 1ull << 35;
	recv->sequence = 2;
	recv->token = 3;
	recv->reply_max = 4;
	recv->priority = 5;
	recv->pid = 6;
	recv->uid = 7;
	recv->gid = 8;
	recv->opener_uid = 9;
	recv->opener_gid = 10;
	recv->tag = 1ull << 42;
	recv->badge = 12;
	recv->time = 1ull << 43;
	recv->call_deadline = INT64_MAX;
	recv->missed = 13;
	recv->attempts = 1ull << 44;
	recv->expires = 1ull << 45;
}

static void expect_message(const struct kpost_message *message)
{
	assert_int_equal(message->flags, KPOST_MESSAGE_CALL);
	assert_int_equal(message->size, 1ull << 35);
	assert_int_equal(message->sequence, 2);
	assert_int_equal(message->token, 3);
	assert_int_equal(message->reply_max, 4);
	assert_int_equal(message->priority, 5);
	assert_int_equal(message->pid, 6);
	assert_int_equal(message->uid, 7);
	assert_int_equal(message->gid, 8);
	assert_int_equal(message->opener_uid, 9);
	assert_int_equal(message->opener_gid, 10);
	assert_int_equal(message->tag, 1ull << 42);
	assert_int_equal(message->badge, 12);
	assert_int_equal(message->time, 1ull << 43);
	assert_int_equal(message->call_deadline, INT64_MAX);
	assert_int_equal(message->reserved, 0);
	assert_int_equal(message->missed, 13);
	assert_int_equal(message->attempts, 1ull << 44);
	assert_int_equal(message->expires, 1ull << 45);
}

static void recv_passes_and_describes(void **state)
{
	struct kpost_recv *asked = (struct kpost_recv *)standin.arg;
	struct kpost_message message;

	(void)state;
	memset(&message, 0x5a, sizeof(message));
	standin_reset(11);
	standin.answer = answer_recv;
	assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 16, &message, KPOST_TRUNCATE, 55), 11);
	standin_expect(ENDPOINT_FD, KPOST_IOC_RECV);
	assert_int_equal(asked->flags, KPOST_TRUNCATE);
	assert_int_equal(asked->deadline, 55);
	assert_int_equal(asked->buf, (uintptr_t)payload);
	assert_int_equal(asked->len, 16);
	assert_int_equal(asked->cookie, 0);
	assert_int_equal(asked->hold_until, 0);
	expect_message(&message);
	/* nobody has to want the description */
	assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 16, NULL, 0, 0), 11);
}

static void recvv_passes_and_describes(void **state)
{
	struct kpost_recv *asked = (struct kpost_recv *)standin.arg;
	struct kpost_message message;

	(void)state;
	standin_reset(11);
	standin.answer = answer_recv;
	assert_int_equal(kpost_recvv(ENDPOINT_FD, pieces, 2, &message, KPOST_DONTWAIT, 0), 11);
	standin_expect(ENDPOINT_FD, KPOST_IOC_RECV);
	assert_int_equal(asked->flags, KPOST_IOVEC | KPOST_DONTWAIT);
	assert_int_equal(asked->len, 2);
	expect_message(&message);
	assert_int_equal(kpost_recvv(ENDPOINT_FD, pieces, -1, &message, 0, 0), -EINVAL);
}

static void recv_of_too_long_tells_size_only(void **state)
{
	struct kpost_message message, before;

	(void)state;
	memset(&message, 0x5a, sizeof(message));
	before = message;
	standin_reset(-EMSGSIZE);
	standin.answer = answer_recv;
	assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 16, &message, 0, 0), -EMSGSIZE);
	assert_int_equal(message.size, 1ull << 35);
	before.size = message.size;
	assert_memory_equal(&message, &before, sizeof(message));

	standin_reset(-EFAULT);
	standin.answer = answer_recv;
	message.size = 1;
	before.size = 1;
	assert_int_equal(kpost_recv(ENDPOINT_FD, payload, 16, &message, 0, 0), -EFAULT);
	assert_memory_equal(&message, &before, sizeof(message));
}

/* The conversion that 32-bit programs need, compiled for this machine. */
int converted_pieces_get(struct kpost_pieces *to, const struct iovec *iov, int iovcnt);
void converted_pieces_put(struct kpost_pieces *to);

static void pieces_are_converted(void **state)
{
	static struct iovec iov[KPOST_IOVEC_MAX];
	static const int counts[] = { 0, 1, 8, 9, KPOST_IOVEC_MAX };
	const struct kpost_iovec *list;
	struct kpost_pieces to;
	unsigned int i;
	int j;

	(void)state;
	for (j = 0; j < KPOST_IOVEC_MAX; j++) {
		iov[j].iov_base = payload + j;
		iov[j].iov_len = (size_t)j * 3;
	}
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		assert_int_equal(converted_pieces_get(&to, iov, counts[i]), 0);
		assert_int_equal(to.count, counts[i]);
		assert_true(to.address != (uintptr_t)iov);
		list = (const struct kpost_iovec *)(uintptr_t)to.address;
		for (j = 0; j < counts[i]; j++) {
			assert_int_equal(list[j].base, (uintptr_t)(payload + j));
			assert_int_equal(list[j].len, j * 3);
		}
		converted_pieces_put(&to);
	}
	assert_int_equal(converted_pieces_get(&to, iov, KPOST_IOVEC_MAX + 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(send_passes_all, standin_setup),
		cmocka_unit_test_setup(sendv_tells_the_number, standin_setup),
		cmocka_unit_test_setup(sendv_tells_that_a_number_was_sent_before, standin_setup),
		cmocka_unit_test_setup(sendv_passes_all, standin_setup),
		cmocka_unit_test_setup(sendv_counts_at_their_limits, standin_setup),
		cmocka_unit_test_setup(shape_is_not_the_callers, standin_setup),
		cmocka_unit_test_setup(errors_are_returned, standin_setup),
		cmocka_unit_test_setup(recv_passes_and_describes, standin_setup),
		cmocka_unit_test_setup(recvv_passes_and_describes, standin_setup),
		cmocka_unit_test_setup(recv_of_too_long_tells_size_only, standin_setup),
		cmocka_unit_test(pieces_are_converted),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
