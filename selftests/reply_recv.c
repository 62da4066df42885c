// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replying and receiving the next in one operation: each half does what it does
 * alone, and whatever becomes of the second, the first is not done twice.
 */
#include "kpost_test.h"
#include "uring_test.h"

FIXTURE(loop) {
	int fd;
	struct kpost_call args;
	struct kt_job job;
	struct kpost_reply reply;
	struct kpost_recv recv;
	char answer[32];
	char buf[32];
};

FIXTURE_SETUP(loop)
{
	self->fd = kt_mailbox(8, 0, 0);
	ASSERT_LE(0, self->fd);
	kt_poison(self->answer, sizeof(self->answer));
	self->args = kt_call_args("ask", 3, self->answer, 16, kt_soon());
	self->recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_DONTWAIT, 0);
	self->reply = (struct kpost_reply){ .buf = (uintptr_t)"answer", .len = 6 };
}

FIXTURE_TEARDOWN(loop)
{
	close(self->fd);
}

#define start_received_call() do {						\
	struct kpost_recv kt_got;						\
										\
	kt_start(&self->job, self->fd, KPOST_IOC_CALL, &self->args);		\
	ASSERT_EQ(3, kt_recv(self->fd, &kt_got, self->buf, sizeof(self->buf), 0, kt_soon())); \
	ASSERT_NE(0, kt_got.token);						\
	self->reply.token = kt_got.token;					\
} while (0)

#define expect_answer(result) do {						\
	ASSERT_TRUE(kt_join(&self->job));					\
	EXPECT_EQ((result), self->job.ret);					\
} while (0)

TEST_F(loop, reply_recv_replies_and_receives_the_next)
{
	start_received_call();
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 3));
	EXPECT_EQ(4, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(0, self->reply.token);
	EXPECT_EQ(4, self->recv.size);
	EXPECT_EQ(2, self->recv.sequence);
	EXPECT_EQ(3, self->recv.priority);
	EXPECT_EQ(0, self->recv.token);
	EXPECT_EQ(0, memcmp(self->buf, "next", 4));
	expect_answer(6);
	EXPECT_EQ(0, memcmp(self->answer, "answer", 6));
}

TEST_F(loop, reply_recv_of_no_token_only_receives)
{
	struct kpost_reply before;

	self->reply = (struct kpost_reply){ .token = 0 };
	before = self->reply;
	EXPECT_REFUSED(EAGAIN, self->fd, kt_reply_recv(self->fd, &self->reply, &self->recv));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	EXPECT_EQ(1, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(0, memcmp(&before, &self->reply, sizeof(before)));
}

TEST_F(loop, reply_recv_with_nothing_to_receive_has_replied)
{
	struct kpost_recv before = self->recv;

	start_received_call();
	EXPECT_EQ(-EAGAIN, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(0, self->reply.token);
	EXPECT_EQ(0, memcmp(&before, &self->recv, sizeof(before)));
	expect_answer(6);
}

TEST_F(loop, reply_recv_past_its_deadline_has_replied)
{
	start_received_call();
	self->recv.flags = 0;
	self->recv.deadline = kt_in(20);
	EXPECT_EQ(-ETIMEDOUT, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(0, self->reply.token);
	expect_answer(6);
}

TEST_F(loop, reply_recv_that_cannot_reply_receives_nothing)
{
	char *unmapped = kt_edge(PROT_NONE);
	uint64_t token;

	start_received_call();
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	token = self->reply.token;

	self->reply.token = token + 1;
	EXPECT_REFUSED(ENOENT, self->fd, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(token + 1, self->reply.token);

	self->reply.token = token;
	self->reply.len = 17;
	EXPECT_REFUSED(EMSGSIZE, self->fd, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(token, self->reply.token);

	self->reply.len = 6;
	self->reply.buf = (uintptr_t)unmapped;
	EXPECT_REFUSED(EFAULT, self->fd, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(token, self->reply.token);

	self->reply.buf = (uintptr_t)"answer";
	self->reply.flags = KPOST_SYNC;
	EXPECT_REFUSED(EINVAL, self->fd, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(token, self->reply.token);

	self->reply.flags = 0;
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(4, kt_reply_recv(self->fd, &self->reply, &self->recv));
	expect_answer(6);
}

TEST_F(loop, reply_recv_to_a_caller_that_left_is_canceled_and_receives_nothing)
{
	self->args.deadline = kt_later();
	start_received_call();
	expect_answer(-ETIMEDOUT);
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	EXPECT_EQ(-ECANCELED, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(0, self->reply.token);
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	/* doing the same again goes on */
	EXPECT_EQ(4, kt_reply_recv(self->fd, &self->reply, &self->recv));
}

TEST_F(loop, reply_recv_that_cannot_receive_tells_by_the_token)
{
	char *readonly = kt_edge(PROT_READ);
	uint64_t token;

	start_received_call();
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	token = self->reply.token;
	self->recv = kt_recv_args(readonly, 4, KPOST_DONTWAIT, 0);
	EXPECT_EQ(-EFAULT, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	if (self->reply.token) {
		/* it looked first, so nothing was done at all */
		EXPECT_EQ(token, self->reply.token);
		EXPECT_FALSE(kt_done(&self->job));
	} else {
		expect_answer(6);
	}
	self->recv = kt_recv_args(self->buf, 2, KPOST_DONTWAIT, 0);
	EXPECT_EQ(-EMSGSIZE, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(4, self->recv.size);
	self->recv = kt_recv_args(self->buf, 4, KPOST_DONTWAIT, 0);
	EXPECT_EQ(4, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(2, self->recv.sequence);
	if (self->job.thread) {
		EXPECT_TRUE(kt_until(kt_done(&self->job)));
	}
}

/* one call each: what is wrong with the receiving half is told, and the token tells the rest */
TEST_F(loop, reply_recv_refuses_a_bad_receiving_half_and_replies_at_most_once)
{
	static const struct {
		unsigned int flags;
		uint64_t deadline;
		size_t size;
		long ret;
	} bad[] = {
		{ KPOST_SYNC, 0, sizeof(struct kpost_recv), -EINVAL },
		{ 0, 1ull << 63, sizeof(struct kpost_recv), -EINVAL },
		{ KPOST_DONTWAIT, 0, sizeof(struct kpost_recv) - 1, -EINVAL },
		{ KPOST_DONTWAIT, 0, 0, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kpost_reply_recv both = {
			.reply = (uintptr_t)&self->reply,
			.recv = (uintptr_t)&self->recv,
			.reply_size = sizeof(self->reply),
			.recv_size = bad[i].size,
		};
		uint64_t token;

		start_received_call();
		ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
		token = self->reply.token;
		self->recv.flags = bad[i].flags;
		self->recv.deadline = bad[i].deadline;
		EXPECT_EQ(bad[i].ret, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
		EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
		if (self->reply.token) {
			ASSERT_EQ(token, self->reply.token);
			EXPECT_FALSE(kt_done(&self->job));
			EXPECT_EQ(0, kt_reply(self->fd, token, "answer", 6));
		} else {
			EXPECT_EQ(-ENOENT, kt_reply(self->fd, token, "again", 5));
		}
		expect_answer(6);
		ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	}
}

TEST_F(loop, reply_recv_sizes_follow_the_same_rules_as_those_of_operations)
{
	struct {
		struct kpost_reply reply;
		uint64_t more;
	} reply;
	struct {
		struct kpost_recv recv;
		uint64_t more;
	} recv;
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(recv),
	};

	start_received_call();
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	reply.reply = self->reply;
	recv.recv = self->recv;
	reply.more = 1;
	recv.more = 0;
	EXPECT_REFUSED(E2BIG, self->fd, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
	reply.more = 0;
	both.reply_size = sizeof(reply.reply) - 1;
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
	both.reply_size = 0;
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
	both.reply_size = UINT32_MAX;
	EXPECT_NE(0, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
	EXPECT_EQ(self->reply.token, reply.reply.token);
	EXPECT_FALSE(kt_done(&self->job));
	both.reply_size = sizeof(reply);
	EXPECT_EQ(4, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
	EXPECT_EQ(0, reply.reply.token);
	EXPECT_EQ(0, recv.more);
	expect_answer(6);
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	recv.more = 1;
	EXPECT_REFUSED(E2BIG, self->fd, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, &both));
}

/* where its token could not be set to 0, a restart would reply twice */
TEST_F(loop, reply_recv_needs_to_be_able_to_zero_the_token)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);
	struct kpost_reply *reply = (void *)page;

	start_received_call();
	*reply = self->reply;
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
	EXPECT_REFUSED(EFAULT, self->fd, kt_reply_recv(self->fd, reply, &self->recv));
	EXPECT_FALSE(kt_done(&self->job));
	EXPECT_EQ(0, kt_reply(self->fd, self->reply.token, "answer", 6));
	expect_answer(6);
}

/* ... also when there is nobody to reply to, and without trying for ever */
TEST_F(loop, reply_recv_to_who_has_left_needs_to_be_able_to_zero_the_token)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);
	struct kpost_reply *reply = (void *)page;
	pid_t child;

	self->args.deadline = kt_later();
	start_received_call();
	expect_answer(-ETIMEDOUT);
	*reply = self->reply;
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
	EXPECT_REFUSED(EFAULT, self->fd, kt_reply_recv(self->fd, reply, &self->recv));

	/* a page that has to be copied first, since a child has it too */
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ | PROT_WRITE));
	*reply = self->reply;
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	ASSERT_LT(0, child);
	EXPECT_EQ(-ECANCELED, kt_reply_recv(self->fd, reply, &self->recv));
	EXPECT_EQ(0, reply->token);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* of what it is given, the token is all that the replying half writes to */
TEST_F(loop, reply_recv_needs_no_more_than_that)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);
	struct kpost_reply *reply = (void *)(page - offsetof(struct kpost_reply, token));
	struct kpost_reply_recv *both = (void *)kt_edge(PROT_READ | PROT_WRITE);
	struct kpost_reply before;

	start_received_call();
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	*reply = before = self->reply;
	*both = (struct kpost_reply_recv){
		.reply = (uintptr_t)reply,
		.recv = (uintptr_t)&self->recv,
		.reply_size = sizeof(*reply),
		.recv_size = sizeof(self->recv),
	};
	ASSERT_EQ(0, mprotect(both, kt_page_size(), PROT_READ));
	ASSERT_EQ(0, mprotect(page - kt_page_size(), kt_page_size(), PROT_READ));
	EXPECT_EQ(4, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, both));
	before.token = 0;
	EXPECT_EQ(0, memcmp(&before, reply, sizeof(before)));
	expect_answer(6);
	/* so that the same again only receives */
	EXPECT_EQ(-EAGAIN, kt_ioctl(self->fd, KPOST_IOC_REPLY_RECV, both));
}

TEST_F(loop, reply_recv_by_a_ring_clears_the_token_too)
{
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&self->reply,
		.recv = (uintptr_t)&self->recv,
		.reply_size = sizeof(self->reply),
		.recv_size = sizeof(self->recv),
	};
	struct io_uring_sqe *sqe;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	for (int async = 0; async < 2; async++) {
		start_received_call();
		sqe = uring_op(&ring, self->fd, KPOST_IOC_REPLY_RECV, &both, 1);
		sqe->flags |= async ? IOSQE_ASYNC : 0;
		EXPECT_EQ(-EAGAIN, uring_run(&ring));
		EXPECT_EQ(0, self->reply.token);
		expect_answer(6);
		EXPECT_EQ(-EAGAIN, uring_do(&ring, self->fd, KPOST_IOC_REPLY_RECV, &both));
	}
	io_uring_queue_exit(&ring);
}

static long reply_recv_in_thread(void *arg)
{
	FIXTURE_DATA(loop) *self = arg;

	return kt_reply_recv(self->fd, &self->reply, &self->recv);
}

/* the receiving half is restarted by a signal, many times; the reply was given once */
TEST_F(loop, reply_recv_restarted_does_not_reply_twice)
{
	struct kt_job server;

	ASSERT_EQ(0, kt_handle(SIGUSR1, SA_RESTART));
	start_received_call();
	self->recv.flags = 0;
	self->recv.deadline = kt_soon();
	kt_start_fn(&server, reply_recv_in_thread, self);
	expect_answer(6);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	EXPECT_EQ(0, self->reply.token);
	for (int i = 1; i <= 5; i++) {
		ASSERT_EQ(0, kt_signal(&server, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals == i));
	}
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	ASSERT_TRUE(kt_join(&server));
	EXPECT_EQ(4, server.ret);
}

TEST_F(loop, reply_recv_interrupted_has_replied)
{
	struct kt_job server;

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	start_received_call();
	self->recv.flags = 0;
	self->recv.deadline = kt_soon();
	kt_start_fn(&server, reply_recv_in_thread, self);
	expect_answer(6);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_signal(&server, SIGUSR1));
	ASSERT_TRUE(kt_join(&server));
	EXPECT_EQ(-EINTR, server.ret);
	EXPECT_EQ(0, self->reply.token);
}

TEST_F(loop, reply_recv_can_give_a_call_up)
{
	start_received_call();
	self->reply.flags = KPOST_DROP;
	self->reply.buf = 0;
	self->reply.len = 0;
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	EXPECT_EQ(4, kt_reply_recv(self->fd, &self->reply, &self->recv));
	EXPECT_EQ(0, self->reply.token);
	expect_answer(-ECONNRESET);
}

static long echo_server(void *arg)
{
	int fd = *(int *)arg;
	struct kpost_reply reply = { .token = 0 };
	uint32_t number;
	long count = 0;

	for (;;) {
		struct kpost_recv recv = kt_recv_args(&number, sizeof(number), 0, kt_soon());
		long ret = kt_reply_recv(fd, &reply, &recv);

		if (ret < 0)
			return ret;
		if (!recv.token)
			return count;
		count++;
		number = ~number;
		reply.token = recv.token;
		reply.buf = (uintptr_t)&number;
		reply.len = sizeof(number);
	}
}

static long echo_client(void *arg)
{
	int fd = *(int *)arg;

	for (uint32_t i = 0; i < 150; i++) {
		uint32_t number = (uint32_t)(kt_now() ^ (uintptr_t)&number ^ i), answer = number;
		long ret = kt_call(fd, &number, sizeof(number), &answer, sizeof(answer), kt_soon());

		if (ret != sizeof(answer))
			return ret < 0 ? ret : -EIO;
		if (answer != ~number)
			return -EBADMSG;
	}
	return 0;
}

TEST_F(loop, reply_recv_gives_every_caller_its_own_reply)
{
	enum { SERVERS = 2, CLIENTS = 3 };
	struct kt_job servers[SERVERS], clients[CLIENTS];
	long answered = 0;

	for (int i = 0; i < SERVERS; i++)
		kt_start_fn(&servers[i], echo_server, &self->fd);
	for (int i = 0; i < CLIENTS; i++)
		kt_start_fn(&clients[i], echo_client, &self->fd);
	for (int i = 0; i < CLIENTS; i++) {
		ASSERT_TRUE(kt_join(&clients[i]));
		EXPECT_EQ(0, clients[i].ret);
	}
	for (int i = 0; i < SERVERS; i++) {
		ASSERT_EQ(0, kt_post(self->fd, "stop", 4, 0));
	}
	for (int i = 0; i < SERVERS; i++) {
		ASSERT_TRUE(kt_join(&servers[i]));
		ASSERT_LE(0, servers[i].ret);
		answered += servers[i].ret;
	}
	EXPECT_EQ(CLIENTS * 150, answered);
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
}

TEST_HARNESS_MAIN
