// SPDX-License-Identifier: MIT
#include "standin.h"

#include <liburing.h>

static struct io_uring_sqe sqe;

static void expect_entry(unsigned int number, const void *arg)
{
	struct kpost_uring cmd;

	assert_int_equal(sqe.opcode, IORING_OP_URING_CMD);
	assert_int_equal(sqe.fd, ENDPOINT_FD);
	assert_int_equal(sqe.cmd_op, number);
	/* the kernel refuses what lies beside cmd_op */
	assert_int_equal(sqe.off >> 32, 0);
	assert_int_equal(sqe.flags, 0);
	assert_int_equal(sqe.ioprio, 0);
	assert_int_equal(sqe.rw_flags, 0);
	memcpy(&cmd, sqe.cmd, sizeof(cmd));
	assert_int_equal(cmd.arg, (uintptr_t)arg);
	assert_int_equal(cmd.reserved, 0);
	memset(&sqe, 0xff, sizeof(sqe));
}

static void entries_are_whole(void **state)
{
	struct kpost_send send = { 0 };
	struct kpost_recv recv = { 0 };
	struct kpost_call call = { 0 };
	struct kpost_reply reply = { 0 };
	struct kpost_reply_recv both = { 0 };

	(void)state;
	memset(&sqe, 0xff, sizeof(sqe));
	kpost_prep_send(&sqe, ENDPOINT_FD, &send);
	expect_entry(KPOST_IOC_SEND, &send);
	kpost_prep_recv(&sqe, ENDPOINT_FD, &recv);
	expect_entry(KPOST_IOC_RECV, &recv);
	kpost_prep_call(&sqe, ENDPOINT_FD, &call);
	expect_entry(KPOST_IOC_CALL, &call);
	kpost_prep_reply(&sqe, ENDPOINT_FD, &reply);
	expect_entry(KPOST_IOC_REPLY, &reply);
	kpost_prep_reply_recv(&sqe, ENDPOINT_FD, &both);
	expect_entry(KPOST_IOC_REPLY_RECV, &both);
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
		cmocka_unit_test(fixed_buffer_is_named),
	};

	return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
