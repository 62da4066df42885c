// SPDX-License-Identifier: GPL-2.0-only
/*
 * A call gets exactly one reply, or learns at once that there will be none; a
 * reply cannot fail for want of space, and a token works once, in one place.
 */
#include "kpost_test.h"

FIXTURE(call) {
	char name[KT_NAME_SIZE];
	int server;		/* RECV, ADMIN */
	int other;		/* another endpoint that receives from the same mailbox */
	int client;		/* SEND */
	struct kpost_call args;
	char answer[64];
	char request[64];
	struct kpost_recv recv;
	struct kt_job job;
};

FIXTURE_SETUP(call)
{
	struct kpost_open open;

	kt_name(self->name);
	open = kt_open_args(self->name, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN, KPOST_OPEN_CREATE);
	open.messages = 8;
	open.bytes = 4096;
	open.message_max = 4096;
	self->server = kt_do_open(&open);
	ASSERT_LE(0, self->server);
	self->other = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, self->other);
	self->client = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->client);
	kt_poison(self->answer, sizeof(self->answer));
	self->args = kt_call_args("ask", 3, self->answer, 16, kt_soon());
}

FIXTURE_TEARDOWN(call)
{
	close(self->client);
	close(self->other);
	close(self->server);
}

/* a call that waits to be received */
#define start_call() do {							\
	unsigned int kt_queued = kt_stat(self->client).queued_messages;		\
										\
	kt_start(&self->job, self->client, KPOST_IOC_CALL, &self->args);	\
	ASSERT_TRUE(kt_until(kt_stat(self->client).queued_messages == kt_queued + 1)); \
} while (0)

/* ... and one that was received and waits for its reply */
#define start_received_call() do {						\
	start_call();								\
	ASSERT_EQ(3, kt_take(self->server, &self->recv, self->request,		\
			     sizeof(self->request)));				\
	ASSERT_NE(0, self->recv.token);						\
	ASSERT_EQ(1, kt_stat(self->client).open_calls);				\
} while (0)

#define expect_answer(result) do {						\
	ASSERT_TRUE(kt_join(&self->job));					\
	EXPECT_EQ((result), self->job.ret);					\
} while (0)

TEST_F(call, call_is_answered)
{
	self->args.priority = 9;
	start_received_call();
	EXPECT_EQ(0, memcmp(self->request, "ask", 3));
	EXPECT_EQ(KPOST_MESSAGE_CALL, self->recv.message_flags);
	EXPECT_EQ(16, self->recv.reply_max);
	EXPECT_EQ(9, self->recv.priority);
	EXPECT_EQ(getpid(), self->recv.pid);
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "answer", 6));
	expect_answer(6);
	EXPECT_EQ(0, memcmp(self->answer, "answer", 6));
	EXPECT_TRUE(kt_poisoned(self->answer + 6, sizeof(self->answer) - 6));
	EXPECT_EQ(0, kt_stat(self->client).open_calls);
	EXPECT_EQ(1, kt_stat(self->client).received);
	EXPECT_EQ(0, kt_stat(self->client).dropped);
}

TEST_F(call, call_is_acknowledged_with_an_empty_reply)
{
	self->args.reply_len = 0;
	self->args.reply_buf = 0;
	start_received_call();
	EXPECT_EQ(0, self->recv.reply_max);
	EXPECT_REFUSED(EMSGSIZE, self->client, kt_reply(self->server, self->recv.token, "x", 1));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, NULL, 0));
	expect_answer(0);
}

TEST_F(call, call_takes_a_reply_up_to_its_room_and_no_longer)
{
	start_received_call();
	EXPECT_REFUSED(EMSGSIZE, self->client,
		       kt_reply(self->server, self->recv.token, "0123456789abcdefg", 17));
	EXPECT_REFUSED(EMSGSIZE, self->client,
		       kt_reply(self->server, self->recv.token, "x", 1ull << 40));
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "0123456789abcdef", 16));
	expect_answer(16);
	EXPECT_EQ(0, memcmp(self->answer, "0123456789abcdef", 16));
	EXPECT_TRUE(kt_poisoned(self->answer + 16, sizeof(self->answer) - 16));
}

TEST_F(call, call_and_reply_in_pieces)
{
	struct kpost_iovec ask[] = { { (uintptr_t)"a", 1 }, { (uintptr_t)"sk", 2 } };
	struct kpost_iovec to[] = { { (uintptr_t)self->answer, 1 },
				    { (uintptr_t)self->answer + 10, 6 } };
	struct kpost_iovec from[] = { { (uintptr_t)"an", 2 }, { 0, 0 }, { (uintptr_t)"swer", 4 } };
	struct kpost_reply reply = { .flags = KPOST_IOVEC, .buf = (uintptr_t)from, .len = 3 };

	self->args.flags = KPOST_IOVEC | KPOST_REPLY_IOVEC;
	self->args.buf = (uintptr_t)ask;
	self->args.len = 2;
	self->args.reply_buf = (uintptr_t)to;
	self->args.reply_len = 2;
	start_received_call();
	EXPECT_EQ(0, memcmp(self->request, "ask", 3));
	EXPECT_EQ(7, self->recv.reply_max);
	reply.token = self->recv.token;
	EXPECT_EQ(0, kt_ioctl(self->server, KPOST_IOC_REPLY, &reply));
	expect_answer(6);
	EXPECT_EQ('a', self->answer[0]);
	EXPECT_TRUE(kt_poisoned(self->answer + 1, 9));
	EXPECT_EQ(0, memcmp(self->answer + 10, "nswer", 5));
	EXPECT_TRUE(kt_poisoned(self->answer + 15, sizeof(self->answer) - 15));
}

TEST_F(call, call_tokens_work_once)
{
	start_received_call();
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "1", 1));
	EXPECT_REFUSED(ENOENT, self->client, kt_reply(self->server, self->recv.token, "2", 1));
	EXPECT_REFUSED(ENOENT, self->client, kt_drop(self->server, self->recv.token));
	expect_answer(1);
	EXPECT_EQ('1', self->answer[0]);
}

TEST_F(call, call_tokens_cannot_be_guessed_or_made_up)
{
	uint64_t t;

	start_received_call();
	t = self->recv.token;
	const uint64_t wrong[] = { 0, 1, t + 1, t - 1, ~t, t | 1ull << 63, t ^ 1ull << 32,
				   (uint32_t)t == t ? t << 32 : (uint32_t)t, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (wrong[i] == t)
			continue;
		EXPECT_REFUSED(ENOENT, self->client, kt_reply(self->server, wrong[i], "x", 1));
		EXPECT_REFUSED(ENOENT, self->client, kt_drop(self->server, wrong[i]));
	}
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(0, kt_reply(self->server, t, "y", 1));
	expect_answer(1);
	EXPECT_EQ('y', self->answer[0]);
}

TEST_F(call, call_tokens_belong_to_the_endpoint_that_received_the_call)
{
	int stranger = kt_mailbox(4, 0, 0);

	start_received_call();
	EXPECT_REFUSED(ENOENT, self->client, kt_reply(self->other, self->recv.token, "x", 1));
	EXPECT_REFUSED(ENOENT, self->client, kt_drop(self->other, self->recv.token));
	EXPECT_REFUSED(ENOENT, self->client, kt_reply(stranger, self->recv.token, "x", 1));
	EXPECT_REFUSED(EBADF, self->client, kt_reply(self->client, self->recv.token, "x", 1));
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "y", 1));
	expect_answer(1);
}

TEST_F(call, call_tokens_are_never_reused_so_a_late_reply_reaches_nobody_else)
{
	enum { COUNT = 300 };
	static uint64_t tokens[COUNT];

	for (int i = 0; i < COUNT; i++) {
		start_received_call();
		for (int j = 0; j < i; j++) {
			ASSERT_NE(tokens[j], self->recv.token);
		}
		tokens[i] = self->recv.token;
		if (i) {
			ASSERT_EQ(-ENOENT, kt_reply(self->server, tokens[i - 1], "old", 3));
		}
		ASSERT_EQ(0, kt_reply(self->server, self->recv.token, &i, sizeof(i)));
		expect_answer((long)sizeof(i));
		ASSERT_EQ(0, memcmp(self->answer, &i, sizeof(i)));
	}
}

TEST_F(call, call_may_be_answered_through_a_duplicate_or_by_a_child)
{
	pid_t pid;
	int fd;

	start_received_call();
	fd = dup(self->server);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kt_reply(fd, self->recv.token, "dup", 3));
	expect_answer(3);
	EXPECT_EQ(0, close(fd));

	start_received_call();
	pid = kt_fork();
	if (pid == 0)
		_exit(kt_reply(self->server, self->recv.token, "kid", 3) == 0 ? 0 : 1);
	EXPECT_EQ(0, kt_exit_status(pid));
	expect_answer(3);
	EXPECT_EQ(0, memcmp(self->answer, "kid", 3));
}

TEST_F(call, call_is_reset_when_the_receiver_gives_it_up)
{
	start_received_call();
	EXPECT_EQ(0, kt_drop(self->server, self->recv.token));
	expect_answer(-ECONNRESET);
	EXPECT_TRUE(kt_poisoned(self->answer, sizeof(self->answer)));
	EXPECT_EQ(-ENOENT, kt_reply(self->server, self->recv.token, "x", 1));
	EXPECT_EQ(0, kt_stat(self->client).open_calls);
}

TEST_F(call, call_given_up_takes_no_payload)
{
	struct kpost_reply reply = { .flags = KPOST_DROP };

	start_received_call();
	reply.token = self->recv.token;
	reply.len = 1;
	EXPECT_REFUSED(EINVAL, self->client, kt_ioctl(self->server, KPOST_IOC_REPLY, &reply));
	reply.len = 0;
	reply.buf = 1;
	EXPECT_REFUSED(EINVAL, self->client, kt_ioctl(self->server, KPOST_IOC_REPLY, &reply));
	reply.buf = 0;
	EXPECT_EQ(0, kt_ioctl(self->server, KPOST_IOC_REPLY, &reply));
	expect_answer(-ECONNRESET);
}

/* another endpoint goes on receiving: that helps the call that was received here not at all */
TEST_F(call, call_is_reset_at_once_when_its_receiver_closes)
{
	uint64_t closed;

	start_received_call();
	closed = kt_now();
	close(self->server);
	expect_answer(-ECONNRESET);
	EXPECT_LT(self->job.ended - closed, 1000 * KT_MS);
	EXPECT_EQ(0, kt_stat(self->client).open_calls);
	EXPECT_EQ(0, kt_stat(self->client).flags & KPOST_STAT_CLOSED);
	self->server = -1;
}

TEST_F(call, call_not_received_yet_survives_one_receiver_of_two)
{
	start_call();
	close(self->server);
	self->server = -1;
	ASSERT_EQ(3, kt_take(self->other, &self->recv, self->request, sizeof(self->request)));
	EXPECT_EQ(0, kt_reply(self->other, self->recv.token, "ok", 2));
	expect_answer(2);
}

TEST_F(call, call_is_epipe_when_the_mailbox_closes_before_receipt)
{
	start_call();
	close(self->server);
	close(self->other);
	self->server = self->other = -1;
	expect_answer(-EPIPE);
	EXPECT_EQ(-EPIPE, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
}

TEST_F(call, call_is_reset_when_its_receiver_is_killed)
{
	int *ready = kt_shared(sizeof(*ready));
	struct kpost_recv recv;
	pid_t pid;
	long ms;

	pid = kt_fork();
	if (pid == 0) {
		int fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);

		*ready = kt_recv(fd, &recv, self->request, 64, 0, kt_soon()) == 3 ? 1 : -1;
		for (;;)
			pause();
	}
	kt_start(&self->job, self->client, KPOST_IOC_CALL, &self->args);
	ASSERT_TRUE(kt_until(*(volatile int *)ready));
	ASSERT_EQ(1, *ready);
	EXPECT_FALSE(kt_done(&self->job));
	ms = kt_kill(pid);
	EXPECT_LE(0, ms);
	EXPECT_LT(ms, 1000);
	expect_answer(-ECONNRESET);
}

TEST_F(call, call_that_times_out_before_receipt_is_withdrawn)
{
	self->args.deadline = kt_in(50);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_LE(self->args.deadline, kt_now());
	EXPECT_EQ(-EAGAIN, kt_take(self->server, &self->recv, self->request, 64));
	EXPECT_EQ(0, kt_stat(self->client).queued_messages);
	EXPECT_EQ(0, kt_stat(self->client).queued_bytes);
	EXPECT_EQ(0, kt_stat(self->client).received);
	EXPECT_EQ(kt_stat(self->client).sent, kt_stat(self->client).dropped);
}

TEST_F(call, call_that_times_out_after_receipt_is_canceled_for_the_replier)
{
	self->args.deadline = kt_later();
	start_received_call();
	expect_answer(-ETIMEDOUT);
	EXPECT_LE(self->args.deadline, self->job.ended);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	/* that used it up */
	EXPECT_EQ(-ENOENT, kt_reply(self->server, self->recv.token, "late", 4));
	EXPECT_EQ(0, kt_stat(self->client).open_calls);
	EXPECT_TRUE(kt_poisoned(self->answer, sizeof(self->answer)));
}

static pid_t fork_caller(int fd)
{
	pid_t pid = kt_fork();
	char answer[16];

	if (pid == 0)
		_exit(kt_call(fd, "ask", 3, answer, sizeof(answer), kt_soon()) >= 0 ? 0 : 1);
	return pid;
}

TEST_F(call, call_of_a_caller_killed_before_receipt_is_withdrawn)
{
	pid_t pid = fork_caller(self->client);
	long ms;

	ASSERT_TRUE(kt_until(kt_stat(self->client).queued_messages == 1));
	ms = kt_kill(pid);
	EXPECT_LE(0, ms);
	EXPECT_LT(ms, 1000);
	EXPECT_EQ(0, kt_stat(self->client).queued_messages);
	EXPECT_EQ(-EAGAIN, kt_take(self->server, &self->recv, self->request, 64));
}

TEST_F(call, call_of_a_caller_killed_after_receipt_is_canceled)
{
	pid_t pid = fork_caller(self->client);

	ASSERT_EQ(3, kt_recv(self->server, &self->recv, self->request, 64, 0, kt_soon()));
	EXPECT_EQ(pid, self->recv.pid);
	EXPECT_LE(0, kt_kill(pid));
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	EXPECT_EQ(-ENOENT, kt_reply(self->server, self->recv.token, "late", 4));
}

TEST_F(call, call_given_up_by_both_sides_is_used_up)
{
	pid_t pid = fork_caller(self->client);

	ASSERT_EQ(3, kt_recv(self->server, &self->recv, self->request, 64, 0, kt_soon()));
	EXPECT_LE(0, kt_kill(pid));
	EXPECT_EQ(-ECANCELED, kt_drop(self->server, self->recv.token));
	EXPECT_EQ(-ENOENT, kt_drop(self->server, self->recv.token));
	EXPECT_EQ(0, kt_stat(self->client).open_calls);
}

/* the mailbox has no room at all, neither for messages nor for bytes */
TEST_F(call, call_reply_does_not_fail_for_space)
{
	static char filler[4096], big[60000], room[60000];

	self->args.reply_buf = (uintptr_t)room;
	self->args.reply_len = sizeof(room);
	start_received_call();
	ASSERT_EQ(0, kt_post(self->client, filler, sizeof(filler), 0));
	while (kt_post(self->client, NULL, 0, 0) == 0)
		;
	EXPECT_EQ(8, kt_stat(self->client).queued_messages);
	memset(big, 'b', sizeof(big));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, big, sizeof(big)));
	expect_answer((long)sizeof(big));
	EXPECT_EQ(0, memcmp(big, room, sizeof(big)));
}

TEST_F(call, call_reply_that_faults_keeps_its_token)
{
	char *edge = kt_edge(PROT_NONE);
	struct kpost_iovec iov[2] = { { (uintptr_t)edge - 2, 1 }, { (uintptr_t)edge - 1, 2 } };
	struct kpost_reply reply = { .flags = KPOST_IOVEC, .buf = (uintptr_t)iov, .len = 2 };

	start_received_call();
	reply.token = self->recv.token;
	EXPECT_REFUSED(EFAULT, self->client, kt_reply(self->server, self->recv.token, edge, 4));
	EXPECT_REFUSED(EFAULT, self->client,
		       kt_reply(self->server, self->recv.token, edge - 3, 4));
	EXPECT_REFUSED(EFAULT, self->client, kt_ioctl(self->server, KPOST_IOC_REPLY, &reply));
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "fine", 4));
	expect_answer(4);
	EXPECT_EQ(0, memcmp(self->answer, "fine", 4));
	EXPECT_TRUE(kt_poisoned(self->answer + 4, sizeof(self->answer) - 4));
}

TEST_F(call, call_without_room_to_write_the_reply_sends_nothing)
{
	char *unmapped = kt_edge(PROT_NONE), *readonly = kt_edge(PROT_READ);
	struct kpost_iovec iov[2] = { { (uintptr_t)self->answer, 8 }, { (uintptr_t)unmapped, 8 } };

	EXPECT_REFUSED(EFAULT, self->client, kt_call(self->client, "ask", 3, unmapped, 16,
						     kt_soon()));
	EXPECT_REFUSED(EFAULT, self->client, kt_call(self->client, "ask", 3, readonly, 16,
						     kt_soon()));
	EXPECT_REFUSED(EFAULT, self->client, kt_call(self->client, "ask", 3, unmapped - 8, 16,
						     kt_soon()));
	self->args.flags = KPOST_REPLY_IOVEC;
	self->args.reply_buf = (uintptr_t)iov;
	self->args.reply_len = 2;
	EXPECT_REFUSED(EFAULT, self->client,
		       kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_EQ(-EAGAIN, kt_take(self->server, NULL, self->request, 64));
}

/* the buffer goes away while the call waits: the server has done its part */
TEST_F(call, call_whose_buffer_went_away_is_efault_for_the_caller_alone)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);

	self->args.reply_buf = (uintptr_t)page;
	start_received_call();
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_NONE));
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "lost", 4));
	expect_answer(-EFAULT);
	EXPECT_EQ(0, kt_stat(self->client).open_calls);
}

TEST_F(call, call_waits_always_or_not_at_all)
{
	int fd = kt_open(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_NONBLOCK);

	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EAGAIN, fd, kt_ioctl(fd, KPOST_IOC_CALL, &self->args));
	self->args.flags = KPOST_DONTWAIT;
	EXPECT_REFUSED(EINVAL, fd, kt_ioctl(fd, KPOST_IOC_CALL, &self->args));
	EXPECT_REFUSED(EINVAL, fd, kt_ioctl(self->client, KPOST_IOC_CALL, &self->args));
	EXPECT_EQ(-EAGAIN, kt_take(self->server, NULL, self->request, 64));
}

TEST_F(call, call_waits_for_room_first)
{
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, kt_post(self->client, "x", 1, 0));
	}
	kt_start(&self->job, self->client, KPOST_IOC_CALL, &self->args);
	ASSERT_TRUE(kt_until(kt_stat(self->client).waiting_senders == 1));
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(1, kt_take(self->server, NULL, self->request, 64));
	}
	ASSERT_EQ(3, kt_recv(self->server, &self->recv, self->request, 64, 0, kt_soon()));
	EXPECT_EQ(9, self->recv.sequence);
	EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "in", 2));
	expect_answer(2);
}

TEST_HARNESS_MAIN
