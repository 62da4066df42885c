// SPDX-License-Identifier: MIT
#include "standin.h"

#include <liburing.h>

static struct io_uring_sqe sqe;

static void expect_entry(unsigned int number, const void *arg)
{
	const struct kpost_uring cmd = { .arg = (uintptr_t)arg };
	struct io_uring_sqe expected = {
		.opcode = IORING_OP_URING_CMD,
		.fd = ENDPOINT_FD,
		.cmd_op = number,
	};

	/* Whatever was left elsewhere would mean something: flags, a priority, a buffer. */
	memcpy(expected.cmd, &cmd, sizeof(cmd));
	assert_memory_equal(&sqe, &expected, sizeof(sqe));
	memset(&sqe, 0xff, sizeof(sqe));
}

static void entries_are_whole(void **state)
{
	struct kpost_send send = { 0 };
	struct kpost_recv recv = { 0 };
	struct kpost_call call = { 0 };
	struct kpost_call_submit submit = { 0 };
	struct kpost_call_collect collect = { 0 };
	struct kpost_reply reply = { 0 };
	struct kpost_reply_recv both = { 0 };
	struct kpost_batch batch = { 0 };

	(void)state;
	memset(&sqe, 0xff, sizeof(sqe));
	kpost_prep_send(&sqe, ENDPOINT_FD, &send);
	expect_entry(KPOST_IOC_SEND, &send);
	kpost_prep_recv(&sqe, ENDPOINT_FD, &recv);
	expect_entry(KPOST_IOC_RECV, &recv);
	kpost_prep_call(&sqe, ENDPOINT_FD, &call);
	expect_entry(KPOST_IOC_CALL, &call);
	kpost_prep_call_submit(&sqe, ENDPOINT_FD, &submit);
	expect_entry(KPOST_IOC_CALL_SUBMIT, &submit);
	kpost_prep_call_collect(&sqe, ENDPOINT_FD, &collect);
	expect_entry(KPOST_IOC_CALL_COLLECT, &collect);
	kpost_prep_reply(&sqe, ENDPOINT_FD, &reply);
	expect_entry(KPOST_IOC_REPLY, &reply);
	kpost_prep_reply_recv(&sqe, ENDPOINT_FD, &both);
	expect_entry(KPOST_IOC_REPLY_RECV, &both);
	kpost_prep_send_batch(&sqe, ENDPOINT_FD, &batch);
	expect_entry(KPOST_IOC_SENDV, &batch);
	kpost_prep_recv_batch(&sqe, ENDPOINT_FD, &batch);
	expect_entry(KPOST_IOC_RECVV, &batch);
}

/* Not every ring's owner clears an entry, nor does every liburing. */
static void used_entries_are_clean(void **state)
{
	struct kpost_send send = { 0 };
	struct kpost_recv recv = { 0 };

	(void)state;
	memset(&sqe, 0, sizeof(sqe));
	io_uring_prep_splice(&sqe, 4, 5, 6, 7, 8, 9);
	sqe.flags = IOSQE_ASYNC | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	sqe.ioprio = 1;
	sqe.personality = 2;
	sqe.user_data = 3;
	kpost_prep_recv(&sqe, ENDPOINT_FD, &recv);
	expect_entry(KPOST_IOC_RECV, &recv);

	memset(&sqe, 0, sizeof(sqe));
	kpost_prep_send(&sqe, ENDPOINT_FD, &send);
	kpost_sqe_set_fixed_buffer(&sqe, 3);
	sqe.flags = IOSQE_FIXED_FILE | IOSQE_IO_DRAIN;
	kpost_prep_recv(&sqe, ENDPOINT_FD, &recv);
	expect_entry(KPOST_IOC_RECV, &recv);
}

static void fixed_buffer_is_named(void **state)
{
	struct kpost_send send = { 0 };

	(void)state;
	memset(&sqe, 0xff, sizeof(sqe));
	kpost_prep_send(&sqe, ENDPOINT_FD, &send);
	kpost_sqe_set_fixed_buffer(&sqe, 3);
	assert_int_equal(sqe.rw_flags, IORING_URING_CMD_FIXED);
	assert_int_equal(sqe.buf_index, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_whole),
		cmocka_unit_test(used_entries_are_clean),
		cmocka_unit_test(fixed_buffer_is_named),
	};

	return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
