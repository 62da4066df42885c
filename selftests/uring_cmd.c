// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations as io_uring commands: what they do when they complete at once,
 * that links survive them, and that they refuse what ioctl(2) refuses.
 */
#include "kpost_test.h"
#include "uring_test.h"

FIXTURE(uring_cmd) {
	struct io_uring ring;
	int fd;
};

FIXTURE_VARIANT(uring_cmd) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring_cmd, sqe64) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(uring_cmd, sqe128) {
	.flags = IORING_SETUP_SQE128,
};

FIXTURE_VARIANT_ADD(uring_cmd, cqe32) {
	.flags = IORING_SETUP_CQE32,
};

FIXTURE_VARIANT_ADD(uring_cmd, sqe128_cqe32) {
	.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
};

FIXTURE_VARIANT_ADD(uring_cmd, defer_taskrun) {
	.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
};

FIXTURE_SETUP(uring_cmd)
{
	ASSERT_EQ(0, uring_init(&self->ring, 16, variant->flags));
	self->fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(uring_cmd)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

TEST_F(uring_cmd, send_and_recv_carry_the_message_and_its_header)
{
	struct kpost_send send = kt_send_args("ring", 4, 7, 0, 0);
	char buf[16];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	struct kpost_stat st;

	kt_poison(buf, sizeof(buf));
	EXPECT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &send));
	st = kt_stat(self->fd);
	EXPECT_EQ(1, st.queued_messages);
	EXPECT_EQ(4, st.queued_bytes);

	EXPECT_EQ(4, uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, memcmp(buf, "ring", 4));
	EXPECT_TRUE(kt_poisoned(buf + 4, sizeof(buf) - 4));
	EXPECT_EQ(0, recv.message_flags);
	EXPECT_EQ(4, recv.size);
	EXPECT_EQ(1, recv.sequence);
	EXPECT_EQ(0, recv.token);
	EXPECT_EQ(0, recv.reply_max);
	EXPECT_EQ(7, recv.priority);
	EXPECT_EQ((unsigned int)getpid(), recv.pid);
	EXPECT_EQ(geteuid(), recv.uid);
	EXPECT_EQ(getegid(), recv.gid);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

TEST_F(uring_cmd, completion_carries_no_stray_bytes)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);
	char buf[4];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	struct kpost_recv parked = kt_recv_args(buf, sizeof(buf), 0, kt_soon());
	struct uring_result result;

	/* one that completes inline, one that was parked */
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(1, result.data);
	EXPECT_EQ(0, result.flags);
	EXPECT_EQ(0, result.big[0]);
	EXPECT_EQ(0, result.big[1]);
	EXPECT_EQ(1, uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &recv));

	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &parked, 2));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	EXPECT_EQ(0, kt_post(self->fd, "y", 1, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(2, result.data);
	EXPECT_EQ(1, result.res);
	EXPECT_EQ(0, result.flags);
	EXPECT_EQ(0, result.big[0]);
	EXPECT_EQ(0, result.big[1]);
}

TEST_F(uring_cmd, empty_message_is_a_message)
{
	struct kpost_send send = kt_send_args(NULL, 0, 0, 0, 0);
	struct kpost_recv recv = kt_recv_args(NULL, 0, 0, 0);

	EXPECT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, recv.size);
	EXPECT_EQ(1, recv.sequence);
}

TEST_F(uring_cmd, scattered_payload_arrives_whole)
{
	enum { SIZE = 300 * 1024 };
	char *in = malloc(SIZE), *out = malloc(SIZE);
	struct kpost_iovec from[3] = {
		{ (uintptr_t)in, 1 },
		{ (uintptr_t)in + 1, 0 },
		{ (uintptr_t)in + 1, SIZE - 1 },
	};
	struct kpost_iovec to[2] = {
		{ (uintptr_t)out, SIZE - 7 },
		{ (uintptr_t)out + SIZE - 7, 7 },
	};
	struct kpost_send send = kt_send_args(from, 3, 0, KPOST_IOVEC, 0);
	struct kpost_recv recv = kt_recv_args(to, 2, KPOST_IOVEC, 0);
	int fd = kt_mailbox(0, SIZE, SIZE);

	ASSERT_LE(0, fd);

	for (int i = 0; i < SIZE; i++)
		in[i] = (char)(i * 7 + i / 4096);
	kt_poison(out, SIZE);
	EXPECT_EQ(0, uring_do(&self->ring, fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(SIZE, uring_do(&self->ring, fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, memcmp(in, out, SIZE));
	close(fd);
}

TEST_F(uring_cmd, call_completes_with_the_length_of_its_reply)
{
	char request[8], answer[8];
	struct kpost_call call = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
	struct kpost_recv recv = kt_recv_args(request, sizeof(request), 0, kt_soon());
	struct kpost_reply reply = { .buf = (uintptr_t)"told", .len = 4 };
	struct uring_result result[3];

	kt_poison(answer, sizeof(answer));
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 2));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, &result[0]));
	EXPECT_EQ(2, result[0].data);
	EXPECT_EQ(3, result[0].res);
	EXPECT_EQ(KPOST_MESSAGE_CALL, recv.message_flags);
	EXPECT_NE(0, recv.token);
	EXPECT_EQ(sizeof(answer), recv.reply_max);
	EXPECT_EQ(0, memcmp(request, "ask", 3));
	EXPECT_FALSE(uring_done(&self->ring)) TH_LOG("the call completed without a reply");

	reply.token = recv.token;
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_REPLY, &reply, 3));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, &result[1]));
	ASSERT_EQ(0, uring_wait(&self->ring, &result[2]));
	for (int i = 1; i <= 2; i++)
		EXPECT_EQ(result[i].data == 1 ? 4 : 0, result[i].res);
	EXPECT_EQ(4, result[1].data + result[2].data);
	EXPECT_EQ(0, memcmp(answer, "told", 4));
	EXPECT_TRUE(kt_poisoned(answer + 4, 4));
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
}

TEST_F(uring_cmd, reply_recv_replies_then_receives)
{
	char buf[8], answer[8];
	struct kpost_call call = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, kt_soon());
	struct kpost_reply reply = { .buf = (uintptr_t)"yes", .len = 3 };
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(recv),
	};
	struct kt_job job;

	/* with no token it only receives */
	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	EXPECT_EQ(3, uring_do(&self->ring, self->fd, KPOST_IOC_REPLY_RECV, &both));
	ASSERT_NE(0, recv.token);

	reply.token = recv.token;
	EXPECT_EQ(0, kt_post(self->fd, "next", 4, 0));
	recv = kt_recv_args(buf, sizeof(buf), 0, kt_soon());
	EXPECT_EQ(4, uring_do(&self->ring, self->fd, KPOST_IOC_REPLY_RECV, &both));
	EXPECT_EQ(0, reply.token);
	EXPECT_EQ(0, memcmp(buf, "next", 4));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
	EXPECT_EQ(0, memcmp(answer, "yes", 3));
}

TEST_F(uring_cmd, stat_and_setattr_are_in_the_same_table)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = 17 };
	struct kpost_stat by_ring, by_ioctl;

	kt_poison(&by_ring, sizeof(by_ring));
	EXPECT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_STAT, &by_ring));
	by_ioctl = kt_stat(self->fd);
	EXPECT_EQ(17, by_ioctl.messages);
	EXPECT_EQ(0, memcmp(&by_ring, &by_ioctl, sizeof(by_ring)));
}

/* a result above 0 is no failure: io_uring of 6.1 takes it for one when it is returned */
TEST_F(uring_cmd, positive_result_does_not_break_a_chain)
{
	struct kpost_send send = kt_send_args("12345", 5, 0, 0, 0);
	char buf[3][8];
	struct kpost_recv recv[3];
	struct uring_result result;

	for (int i = 0; i < 3; i++) {
		recv[i] = kt_recv_args(buf[i], sizeof(buf[i]), 0, kt_soon());
		ASSERT_EQ(0, kt_post(self->fd, "abc", 3, 0));
	}
	for (int i = 0; i < 3; i++)
		uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv[i], i)->flags |=
			IOSQE_IO_LINK;
	uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 3);
	ASSERT_EQ(4, io_uring_submit(&self->ring));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ((unsigned int)i, result.data);
		EXPECT_EQ(i < 3 ? 3 : 0, result.res);
	}
	for (int i = 0; i < 3; i++)
		EXPECT_EQ((unsigned int)i + 1, recv[i].sequence);
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
}

TEST_F(uring_cmd, failure_breaks_a_chain_and_sends_nothing)
{
	struct kpost_send send = kt_send_args("no", 2, 0, 0, 0);
	char buf[8];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	struct uring_result first, second;

	uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_IO_LINK;
	uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 2);
	ASSERT_EQ(2, io_uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, &first));
	ASSERT_EQ(0, uring_wait(&self->ring, &second));
	EXPECT_EQ(1, first.data);
	EXPECT_EQ(-EAGAIN, first.res);
	EXPECT_EQ(2, second.data);
	EXPECT_EQ(-ECANCELED, second.res);
	EXPECT_EQ(0, kt_stat(self->fd).sent);
}

TEST_F(uring_cmd, dontwait_completes_with_eagain)
{
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_DONTWAIT, 0);
	char buf[8];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	int fd = kt_mailbox(1, 0, 0);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, uring_do(&self->ring, fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(0, kt_stat(fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(fd).waiting_receivers);
	EXPECT_EQ(1, kt_stat(fd).sent);
}

TEST_F(uring_cmd, nonblocking_endpoint_completes_with_eagain)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);
	struct kpost_send sync = kt_send_args("x", 1, 0, KPOST_SYNC, 0);
	char buf[8];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	struct kpost_call call = kt_call_args("c", 1, buf, sizeof(buf), 0);
	int fd = kt_mailbox(1, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_CALL, &call));
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_SEND, &sync));
	EXPECT_EQ(0, kt_stat(fd).sent);
	EXPECT_EQ(0, uring_do(&self->ring, fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(1, kt_stat(fd).sent);
}

TEST_F(uring_cmd, completion_that_is_not_wanted_is_only_posted_on_failure)
{
	struct kpost_send send = kt_send_args("skip", 4, 0, 0, 0);
	char buf[8];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	struct uring_result result;

	uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 2)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 3)->flags |=
		IOSQE_CQE_SKIP_SUCCESS;
	ASSERT_EQ(3, io_uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(3, result.data);
	EXPECT_EQ(-EAGAIN, result.res);
	EXPECT_FALSE(uring_done(&self->ring));
	EXPECT_EQ(1, kt_stat(self->fd).received);
}

/* ---- what is refused ------------------------------------------------------- */

TEST_F(uring_cmd, reserved_of_the_command_must_be_zero)
{
	struct kpost_uring cmd;
	char buf[8];
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	struct io_uring_sqe *sqe;

	for (int bit = 0; bit < 64; bit += 21) {
		sqe = uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1);
		cmd = (struct kpost_uring){ (uintptr_t)&send, 1ull << bit };
		memcpy(sqe->cmd, &cmd, sizeof(cmd));
		EXPECT_REFUSED(EINVAL, self->fd, uring_run(&self->ring));
	}
	ASSERT_EQ(0, kt_post(self->fd, "kept", 4, 0));
	sqe = uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 1);
	cmd = (struct kpost_uring){ (uintptr_t)&recv, 1 };
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	EXPECT_REFUSED(EINVAL, self->fd, uring_run(&self->ring));
}

/* the lowest bit is IORING_URING_CMD_FIXED, the next one is _MULTISHOT to later kernels */
TEST_F(uring_cmd, unknown_command_flag_is_refused)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);

	for (int bit = 1; bit < 32; bit++) {
		uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1)->rw_flags =
			(int)(1u << bit);
		EXPECT_REFUSED(EINVAL, self->fd, uring_run(&self->ring));
	}
}

/* the same beside the one that is known, by a worker, and for each operation */
TEST_F(uring_cmd, unknown_command_flag_is_refused_wherever_it_is)
{
	static const unsigned int ops[] = {
		KPOST_IOC_SEND, KPOST_IOC_RECV, KPOST_IOC_CALL, KPOST_IOC_REPLY,
		KPOST_IOC_REPLY_RECV, KPOST_IOC_SETATTR, KPOST_IOC_GRANT, KPOST_IOC_STAT,
		KPOST_IOC_SENDV, KPOST_IOC_RECVV, KPOST_IOC_CALL_SUBMIT, KPOST_IOC_CALL_COLLECT,
		KPOST_IOC_CALL_CANCEL, 0,
	};
	static char arg[1024];
	/* Not of the program's own file: the oldest kernel registers none of that. */
	char *payload = malloc(64);
	struct iovec registered = { payload, 64 };
	struct kpost_send send = kt_send_args(payload, 1, 0, 0, 0);
	struct io_uring_sqe *sqe;

	ASSERT_NE(NULL, payload);
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &registered, 1));
	for (int bit = 1; bit < 32; bit++) {
		uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1)->rw_flags =
			(int)(1u << bit | 1);
		EXPECT_REFUSED(EINVAL, self->fd, uring_run(&self->ring));
		sqe = uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1);
		sqe->rw_flags = (int)(1u << bit);
		sqe->flags |= IOSQE_ASYNC;
		EXPECT_REFUSED(EINVAL, self->fd, uring_run(&self->ring));
	}
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		memset(arg, 0, sizeof(arg));
		uring_op(&self->ring, self->fd, ops[i], arg, 1)->rw_flags = 2;
		EXPECT_REFUSED(EINVAL, self->fd, uring_run(&self->ring));
	}
	/* none of that was taken for the flag that there is */
	uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1)->rw_flags = 1;
	EXPECT_EQ(0, uring_run(&self->ring));
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	free(payload);
}

/*
 * _MULTISHOT as those kernels want it, with a group of buffers: some of them would wait for
 * further completions of a command that is done, for good, and keep the ring and the file.
 * Kernels that cannot have a command use such a group say so of any command.
 */
TEST(multishot_command_is_refused)
{
	static const unsigned int ops[] = { KPOST_IOC_SEND, KPOST_IOC_RECV };
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);
	char buf[8], provided[64];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	void *args[] = { &send, &recv };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int fds[2], refused;

	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	io_uring_prep_provide_buffers(io_uring_get_sqe(&ring), provided, 16, 4, 7, 0);
	ASSERT_LE(0, uring_run(&ring));
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		int fd = fds[ops[i] == KPOST_IOC_SEND];

		sqe = uring_op(&ring, fd, ops[i], args[i], 1);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = 7;
		refused = uring_run(&ring);
		EXPECT_TRUE(refused == -EOPNOTSUPP || refused == -EINVAL) TH_LOG("%d", refused);
		sqe = uring_op(&ring, fd, ops[i], args[i], 1);
		sqe->rw_flags = URING_CMD_MULTISHOT;
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = 7;
		EXPECT_EQ(refused, uring_run(&ring));
	}
	EXPECT_EQ(0, kt_stat(fds[0]).sent);
	io_uring_queue_exit(&ring);
	/* nothing keeps the sender's end */
	close(fds[1]);
	EXPECT_TRUE(kt_until(kt_take(fds[0], NULL, buf, sizeof(buf)) == -EPIPE));
	close(fds[0]);
}

TEST_F(uring_cmd, operation_that_is_none_here_is_enotty)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);
	static const unsigned int ops[] = {
		0, 1, ~0u,
		KPOST_IOC_INFO, KPOST_IOC_OPEN, KPOST_IOC_UNLINK, KPOST_IOC_LIST,
		_IOW(KPOST_IOC_TYPE, 0x0f, struct kpost_send),
		_IOW(KPOST_IOC_TYPE, 0x18, struct kpost_send),
		_IOW(KPOST_IOC_TYPE, 0xff, struct kpost_send),
		_IOW(KPOST_IOC_TYPE ^ 1, 0x10, struct kpost_send),
		_IOR(KPOST_IOC_TYPE, 0x10, struct kpost_send),
		_IOW(KPOST_IOC_TYPE, 0x10, struct kpost_send),
		_IOC(_IOC_NONE, KPOST_IOC_TYPE, 0x10, sizeof(struct kpost_send)),
	};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_REFUSED(ENOTTY, self->fd,
			       uring_do(&self->ring, self->fd, ops[i], &send));
		EXPECT_EQ(-ENOTTY, kt_ioctl(self->fd, ops[i], &send));
	}
}

TEST_F(uring_cmd, bad_argument_address_is_efault)
{
	static const unsigned int ops[] = {
		KPOST_IOC_SEND, KPOST_IOC_RECV, KPOST_IOC_CALL, KPOST_IOC_REPLY,
		KPOST_IOC_REPLY_RECV, KPOST_IOC_SETATTR, KPOST_IOC_GRANT, KPOST_IOC_STAT,
		KPOST_IOC_SENDV, KPOST_IOC_RECVV, KPOST_IOC_CALL_SUBMIT, KPOST_IOC_CALL_COLLECT,
		KPOST_IOC_CALL_CANCEL,
	};
	char *edge = kt_edge(PROT_NONE);
	void *bad[] = {
		NULL, edge, edge - 4, (void *)KT_KERNEL_ADDRESS, (void *)-1ul,
		(void *)0x00007ffffffff000ul, (void *)0x8000000000000000ul,
	};

	ASSERT_EQ(0, kt_post(self->fd, "kept", 4, 0));
	memset(edge - kt_page_size(), 0, kt_page_size());
	for (size_t op = 0; op < ARRAY_SIZE(ops); op++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			EXPECT_REFUSED(EFAULT, self->fd,
				       uring_do(&self->ring, self->fd, ops[op], bad[i]));
	}
}

/* later kernels serve there what needs no polling, as on any ring; once, if at all */
TEST(iopoll_ring_is_refused_or_served)
{
	struct kpost_send send = kt_send_args("x", 1, 0, 0, 0);
	struct io_uring_cqe *cqe = NULL;
	struct io_uring ring;
	int fd = kt_mailbox(0, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_init(&ring, 4, IORING_SETUP_IOPOLL));
	ASSERT_NE(NULL, uring_op(&ring, fd, KPOST_IOC_SEND, &send, 1));
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(io_uring_peek_cqe(&ring, &cqe) == 0));
	if (cqe->res == 0) {
		EXPECT_EQ(1, kt_stat(fd).sent);
	} else {
		EXPECT_EQ(-EOPNOTSUPP, cqe->res);
		EXPECT_EQ(0, kt_stat(fd).sent);
	}
	io_uring_queue_exit(&ring);
}

TEST(device_takes_no_commands)
{
	struct kpost_info info;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	ASSERT_LE(0, kt_device());
	kt_poison(&info, sizeof(info));
	EXPECT_EQ(-EOPNOTSUPP, uring_do(&ring, kt_device(), KPOST_IOC_INFO, &info));
	EXPECT_TRUE(kt_poisoned(&info, sizeof(info)));
	io_uring_queue_exit(&ring);
}

TEST(info_tells_of_io_uring)
{
	struct kpost_info info;

	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	EXPECT_TRUE(info.features & KPOST_FEATURE_URING);
	EXPECT_TRUE(info.features & KPOST_FEATURE_URING_FIXED);
}
TEST_HARNESS_MAIN
