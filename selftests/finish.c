// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a mailbox whose name was taken away: nobody can open it any more, so that
 * once its last sender has gone, and what it left was received, its receivers are told.
 * (For mailboxes that never had a name see death.c.)
 */
#include <sys/epoll.h>
#include "kpost_test.h"
#include "uring_test.h"

enum { CROWD = 30 };	/* more than are woken in one go */

FIXTURE(finish) {
	char name[KT_NAME_SIZE];
	int receiver, sender;
	struct kpost_recv recv;
	struct kt_job job;
	char buf[64];
};

FIXTURE_VARIANT(finish) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(finish, plain) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(finish, persistent) {
	.flags = KPOST_OPEN_PERSIST,
};

FIXTURE_SETUP(finish)
{
	self->receiver = kt_open(kt_name(self->name), KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
				 KPOST_OPEN_CREATE | variant->flags);
	ASSERT_LE(0, self->receiver);
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->sender);
	self->recv = kt_recv_args(self->buf, sizeof(self->buf), 0, kt_soon());
}

FIXTURE_TEARDOWN(finish)
{
	close(self->sender);
	close(self->receiver);
	kt_unlink(self->name);
}

/* the two halves of the end, in either order */
static void end(struct __test_metadata *_metadata, FIXTURE_DATA(finish) *self, bool unlink_first)
{
	if (unlink_first) {
		ASSERT_EQ(0, kt_unlink(self->name));
	}
	close(self->sender);
	self->sender = -1;
	if (!unlink_first) {
		ASSERT_EQ(0, kt_unlink(self->name));
	}
}

static int ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents & ~(POLLRDNORM | POLLWRNORM);
}

/* in every way to look, now and again */
static void expect_the_end(struct __test_metadata *_metadata, FIXTURE_DATA(finish) *self)
{
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EPIPE, kt_take(self->receiver, NULL, self->buf, 64));
		EXPECT_EQ(-EPIPE, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
		EXPECT_EQ(POLLHUP | POLLRDHUP, ready(self->receiver));
		EXPECT_EQ(0, kt_stat(self->receiver).flags);
		/* would wait for ever if this were not the end */
		ASSERT_EQ(0, fcntl(self->receiver, F_SETFL, O_NONBLOCK));
		EXPECT_EQ(0, read(self->receiver, self->buf, 64));
		ASSERT_EQ(0, fcntl(self->receiver, F_SETFL, 0));
	}
}

TEST_F(finish, finish_comes_when_the_last_sender_of_an_unlinked_mailbox_goes)
{
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	EXPECT_EQ(0, ready(self->receiver));
	close(self->sender);
	self->sender = -1;
	expect_the_end(_metadata, self);
}

TEST_F(finish, finish_comes_when_a_mailbox_is_unlinked_after_its_last_sender_went)
{
	close(self->sender);
	self->sender = -1;
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	EXPECT_EQ(0, ready(self->receiver));
	ASSERT_EQ(0, kt_unlink(self->name));
	expect_the_end(_metadata, self);
}

TEST_F(finish, finish_comes_when_a_mailbox_that_never_had_a_sender_is_unlinked)
{
	char name[KT_NAME_SIZE];

	close(self->receiver);
	self->receiver = kt_open(kt_name(name), KPOST_RIGHT_RECV,
				 KPOST_OPEN_CREATE | variant->flags);
	ASSERT_LE(0, self->receiver);
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	ASSERT_EQ(0, kt_unlink(name));
	expect_the_end(_metadata, self);
}

/* an endpoint that can do both is a sender too, and may send to itself */
TEST_F(finish, finish_does_not_come_while_anybody_can_send)
{
	int both = kt_open(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 0);

	ASSERT_LE(0, both);
	end(_metadata, self, true);
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	EXPECT_EQ(0, ready(self->receiver));
	kt_start(&self->job, self->receiver, KPOST_IOC_RECV, &self->recv);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(both, "on", 2, 0));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(2, self->job.ret);
	close(both);
	expect_the_end(_metadata, self);
}

static void wake_a_crowd(struct __test_metadata *_metadata, FIXTURE_DATA(finish) *self,
			 bool unlink_first)
{
	static struct kpost_recv recv[CROWD];
	static struct kt_job jobs[CROWD];
	static char buf[CROWD][8];

	for (int i = 0; i < CROWD; i++) {
		recv[i] = kt_recv_args(buf[i], 8, 0, kt_soon());
		kt_start(&jobs[i], self->receiver, KPOST_IOC_RECV, &recv[i]);
	}
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).waiting_receivers == CROWD));
	end(_metadata, self, unlink_first);
	for (int i = 0; i < CROWD; i++) {
		ASSERT_TRUE(kt_join(&jobs[i])) TH_LOG("receiver %d is not told", i);
		EXPECT_EQ(-EPIPE, jobs[i].ret);
		/* as every failure it says nothing of a message */
		EXPECT_TRUE(kt_poisoned(&recv[i].size, sizeof(recv[i]) -
					offsetof(struct kpost_recv, size)));
	}
	EXPECT_EQ(0, kt_stat(self->receiver).waiting_receivers);
}

TEST_F(finish, finish_by_the_last_sender_is_told_to_all_that_wait)
{
	wake_a_crowd(_metadata, self, true);
}

TEST_F(finish, finish_by_unlinking_is_told_to_all_that_wait)
{
	wake_a_crowd(_metadata, self, false);
}

static long read_one(void *arg)
{
	char buf[8];
	ssize_t ret = read(*(int *)arg, buf, sizeof(buf));

	return ret < 0 ? -errno : ret;
}

TEST_F(finish, finish_is_the_end_of_file_of_a_read_that_waits)
{
	for (int first = 0; first < 2; first++) {
		kt_start_fn(&self->job, read_one, &self->receiver);
		ASSERT_TRUE(kt_until(kt_stat(self->receiver).waiting_receivers == 1));
		end(_metadata, self, first);
		ASSERT_TRUE(kt_join(&self->job));
		EXPECT_EQ(0, self->job.ret);
		close(self->receiver);
		self->receiver = kt_open(self->name, KPOST_RIGHT_RECV,
					 KPOST_OPEN_CREATE | variant->flags);
		self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
		ASSERT_LE(0, self->sender);
	}
}

static int next_event(int epfd, int ms)
{
	struct epoll_event ev = { .events = 0 };
	int ret = epoll_wait(epfd, &ev, 1, ms);

	return ret > 0 ? (int)(ev.events & ~EPOLLRDNORM) : ret;
}

static void tell_pollers(struct __test_metadata *_metadata, FIXTURE_DATA(finish) *self,
			 bool unlink_first, bool edge)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | (edge ? EPOLLET : 0) };
	struct pollfd pfd = { .fd = self->receiver, .events = POLLIN };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_ADD, self->receiver, &ev));
	EXPECT_EQ(0, next_event(epfd, 0));
	if (!unlink_first) {
		close(self->sender);
		self->sender = -1;
		EXPECT_EQ(0, next_event(epfd, 0));
	}
	end(_metadata, self, unlink_first);
	EXPECT_EQ(EPOLLHUP | EPOLLRDHUP, next_event(epfd, KT_SOON));
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_EQ(POLLHUP, pfd.revents);
	close(epfd);
}

TEST_F(finish, finish_by_the_last_sender_is_an_event)
{
	tell_pollers(_metadata, self, true, false);
}

TEST_F(finish, finish_by_the_last_sender_is_an_edge)
{
	tell_pollers(_metadata, self, true, true);
}

TEST_F(finish, finish_by_unlinking_is_an_event)
{
	tell_pollers(_metadata, self, false, false);
}

TEST_F(finish, finish_by_unlinking_is_an_edge)
{
	tell_pollers(_metadata, self, false, true);
}

static long wait_by_poll(void *arg)
{
	int ret = poll(arg, 1, KT_SOON);

	return ret < 0 ? -errno : ret;
}

TEST_F(finish, finish_wakes_who_sleeps_in_poll)
{
	struct pollfd pfd = { .fd = self->receiver, .events = POLLIN | POLLRDHUP };

	ASSERT_EQ(0, kt_unlink(self->name));
	kt_start_fn(&self->job, wait_by_poll, &pfd);
	ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
	close(self->sender);
	self->sender = -1;
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(1, self->job.ret);
	EXPECT_EQ(POLLHUP | POLLRDHUP, pfd.revents);
}

/* ---- not before all was received ----------------------------------------------- */

static void drain(struct __test_metadata *_metadata, FIXTURE_DATA(finish) *self,
		  bool unlink_first)
{
	ASSERT_EQ(0, kt_post(self->sender, "last", 4, 0));
	ASSERT_EQ(0, kt_post(self->sender, "words", 5, 0));
	end(_metadata, self, unlink_first);
	EXPECT_EQ(POLLIN | POLLRDHUP, ready(self->receiver));
	/* what fails takes nothing, and is no end */
	EXPECT_EQ(-EMSGSIZE, kt_take(self->receiver, NULL, self->buf, 3));
	EXPECT_EQ(-EFAULT, kt_take(self->receiver, NULL, kt_edge(PROT_NONE), 64));
	ASSERT_EQ(4, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(POLLIN | POLLRDHUP, ready(self->receiver));
	ASSERT_EQ(5, read(self->receiver, self->buf, 64));
	expect_the_end(_metadata, self);
}

TEST_F(finish, finish_comes_after_what_was_sent_before_the_last_sender_went)
{
	drain(_metadata, self, true);
}

TEST_F(finish, finish_comes_after_what_was_sent_before_the_name_went)
{
	drain(_metadata, self, false);
}

/* one that is in a receiver's hands may yet come back, and is others' to receive then */
TEST_F(finish, finish_does_not_come_while_the_last_message_is_copied)
{
	enum { SIZE = 8 << 20, ROUNDS = 20 };
	char *message = calloc(1, SIZE), *buf = calloc(1, SIZE);
	unsigned int seen = 0;

	/* That of the fixture makes way. */
	kt_unlink(self->name);
	for (int round = 0; round < ROUNDS; round++) {
		struct kpost_open open = kt_open_args(kt_name(self->name), KPOST_RIGHT_RECV,
						      KPOST_OPEN_CREATE | variant->flags);
		long ret;

		close(self->receiver);
		open.bytes = SIZE;
		open.message_max = SIZE;
		self->receiver = kt_do_open(&open);
		self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
		ASSERT_EQ(0, kt_post(self->sender, message, SIZE, 0));
		end(_metadata, self, true);
		self->recv = kt_recv_args(buf, SIZE, 0, kt_soon());
		kt_start(&self->job, self->receiver, KPOST_IOC_RECV, &self->recv);
		/* it is too long for this receiver, then gone, and then it is the end */
		do {
			int events = ready(self->receiver);

			if (events & POLLHUP) {
				EXPECT_EQ(1, kt_stat(self->receiver).received);
			}
			ret = kt_take(self->receiver, NULL, NULL, 0);
			seen += ret == -EAGAIN;
		} while ((ret == -EMSGSIZE || ret == -EAGAIN) && !kt_done(&self->job));
		if (ret == -EPIPE) {
			EXPECT_EQ(1, kt_stat(self->receiver).received);
		}
		ASSERT_TRUE(kt_join(&self->job));
		EXPECT_EQ(SIZE, self->job.ret);
		expect_the_end(_metadata, self);
	}
	EXPECT_LT(0, seen) TH_LOG("none was seen while it was copied");
	free(message);
	free(buf);
}

/* a call that is under way has the endpoint, though nobody else has it */
TEST_F(finish, finish_does_not_come_while_a_call_is_under_way)
{
	struct kpost_call call = kt_call_args("ask", 3, NULL, 0, kt_soon());

	kt_start(&self->job, self->sender, KPOST_IOC_CALL, &call);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).queued_messages == 1));
	end(_metadata, self, true);
	EXPECT_EQ(POLLIN, ready(self->receiver));
	ASSERT_EQ(3, kt_take(self->receiver, &self->recv, self->buf, 64));
	EXPECT_EQ(0, ready(self->receiver));
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	EXPECT_EQ(0, kt_reply(self->receiver, self->recv.token, NULL, 0));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).senders == 0));
	expect_the_end(_metadata, self);
}

/* but one that has been left is no reason to wait, and its token is still good for that */
TEST_F(finish, finish_comes_while_a_call_is_open_that_its_caller_has_left)
{
	struct kpost_call call = kt_call_args("ask", 3, NULL, 0, kt_later());

	kt_start(&self->job, self->sender, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->receiver, &self->recv, self->buf, 64, 0, kt_soon()));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-ETIMEDOUT, self->job.ret);
	end(_metadata, self, false);
	expect_the_end(_metadata, self);
	EXPECT_EQ(-ECANCELED, kt_reply(self->receiver, self->recv.token, NULL, 0));
	expect_the_end(_metadata, self);
}

TEST_F(finish, finish_does_not_come_while_a_sender_waits_for_receipt)
{
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_SYNC, kt_soon());

	kt_start(&self->job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).queued_messages == 1));
	end(_metadata, self, true);
	EXPECT_EQ(POLLIN, ready(self->receiver));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 64));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).senders == 0));
	expect_the_end(_metadata, self);
}

/* a message whose sender goes with it was never there */
TEST_F(finish, finish_comes_when_what_was_left_is_withdrawn)
{
	pid_t pid = kt_fork();

	if (pid == 0)
		_exit(kt_send(self->sender, "x", 1, 0, KPOST_SYNC, 0) ? 1 : 0);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).queued_messages == 1));
	end(_metadata, self, true);
	EXPECT_EQ(POLLIN, ready(self->receiver));
	EXPECT_LE(0, kt_kill(pid));
	expect_the_end(_metadata, self);
}

TEST_F(finish, finish_ends_the_receiving_half_of_a_reply)
{
	struct kpost_call call = kt_call_args("ask", 3, NULL, 0, kt_soon());
	struct kpost_reply reply = { .flags = 0 };
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&self->recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(self->recv),
	};
	struct kt_job server;
	struct kpost_recv got;

	kt_start(&self->job, self->sender, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->receiver, &got, self->buf, 64, 0, kt_soon()));
	reply.token = got.token;
	end(_metadata, self, true);
	/* the reply sends the last sender away, and then nothing can come */
	kt_start(&server, self->receiver, KPOST_IOC_REPLY_RECV, &both);
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	ASSERT_TRUE(kt_join(&server));
	EXPECT_EQ(-EPIPE, server.ret);
	EXPECT_EQ(0, reply.token);
}

/* ---- who has the name now --------------------------------------------------------- */

TEST_F(finish, finish_is_no_matter_of_who_has_the_name_next)
{
	int other, others_sender;

	ASSERT_EQ(0, kt_unlink(self->name));
	kt_start(&self->job, self->receiver, KPOST_IOC_RECV, &self->recv);
	ASSERT_TRUE(kt_until(kt_stat(self->receiver).waiting_receivers == 1));
	other = kt_create(self->name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, other);
	others_sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, others_sender);
	EXPECT_FALSE(kt_done(&self->job));
	close(self->sender);
	self->sender = -1;
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-EPIPE, self->job.ret);
	expect_the_end(_metadata, self);
	/* whose own senders may come and go, for it has a name */
	close(others_sender);
	EXPECT_EQ(0, ready(other));
	EXPECT_EQ(-EAGAIN, kt_take(other, NULL, self->buf, 64));
	/* and its own end is not that of the first */
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_EQ(-EPIPE, kt_take(other, NULL, self->buf, 64));
	EXPECT_EQ(POLLHUP | POLLRDHUP, ready(other));
	close(other);
}

/* ---- by io_uring -------------------------------------------------------------------- */

TEST_F(finish, finish_completes_what_waits_in_a_ring)
{
	enum { RECV = 1, READ, POLL };
	struct uring_result result;
	struct io_uring ring;
	char buf[8];

	for (int first = 0; first < 2; first++) {
		ASSERT_EQ(0, uring_init(&ring, 8, 0));
		ASSERT_NE(NULL, uring_op(&ring, self->receiver, KPOST_IOC_RECV, &self->recv, RECV));
		io_uring_prep_read(io_uring_get_sqe(&ring), self->receiver, buf, sizeof(buf), 0);
		ring.sq.sqes[1].user_data = READ;
		io_uring_prep_poll_add(io_uring_get_sqe(&ring), self->receiver, POLLIN | POLLRDHUP);
		ring.sq.sqes[2].user_data = POLL;
		ASSERT_EQ(3, io_uring_submit(&ring));
		ASSERT_TRUE(kt_until(kt_stat(self->receiver).waiting_receivers >= 1));
		EXPECT_EQ(URING_NONE, uring_wait_for(&ring, &result, 0.01));
		end(_metadata, self, first);
		for (int i = 0; i < 3; i++) {
			ASSERT_EQ(0, uring_wait(&ring, &result));
			switch (result.data) {
			case RECV:
				EXPECT_EQ(-EPIPE, result.res);
				break;
			case READ:
				EXPECT_EQ(0, result.res);
				break;
			default:
				EXPECT_EQ(POLLHUP | POLLRDHUP, result.res);
			}
		}
		EXPECT_EQ(-EPIPE, uring_do(&ring, self->receiver, KPOST_IOC_RECV, &self->recv));
		io_uring_queue_exit(&ring);
		close(self->receiver);
		self->receiver = kt_open(self->name, KPOST_RIGHT_RECV,
					 KPOST_OPEN_CREATE | variant->flags);
		self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
		ASSERT_LE(0, self->sender);
	}
}

/* ---- at any moment ----------------------------------------------------------------- */

struct visitor {
	const char *name;
	unsigned int sent;
};

/* open, send and close, for as long as there is the name */
static long visit(void *arg)
{
	struct visitor *visitor = arg;
	int fd;

	while ((fd = kt_open(visitor->name, KPOST_RIGHT_SEND, 0)) >= 0) {
		long err = kt_send(fd, "x", 1, 0, 0, kt_soon());

		close(fd);
		if (err)
			return err;
		__atomic_add_fetch(&visitor->sent, 1, __ATOMIC_RELEASE);
	}
	return fd;
}

struct counter {
	int fd;
	unsigned int got;
};

static long receive_to_the_end(void *arg)
{
	struct counter *counter = arg;
	char buf[8];
	long ret;

	while ((ret = kt_recv(counter->fd, NULL, buf, sizeof(buf), 0, kt_soon())) >= 0)
		counter->got++;
	return ret;
}

/*
 * Visitors come and go, and the name goes in the midst of it: each message that was sent
 * is received, however late, and only then do the receivers see the end, each of them.
 */
TEST_F(finish, finish_comes_after_the_last_of_many_visitors)
{
	enum { ROUNDS = 40, VISITORS = 2, RECEIVERS = 3 };

	for (int round = 0; round < ROUNDS; round++) {
		struct visitor visitors[VISITORS];
		struct counter counters[RECEIVERS];
		struct kt_job comers[VISITORS], receivers[RECEIVERS];
		unsigned int sent = 0, got = 0;

		for (int i = 0; i < RECEIVERS; i++) {
			counters[i] = (struct counter){ .fd = self->receiver };
			kt_start_fn(&receivers[i], receive_to_the_end, &counters[i]);
		}
		for (int i = 0; i < VISITORS; i++) {
			visitors[i] = (struct visitor){ .name = self->name };
			kt_start_fn(&comers[i], visit, &visitors[i]);
		}
		close(self->sender);
		self->sender = -1;
		ASSERT_TRUE(kt_until(__atomic_load_n(&visitors[0].sent, __ATOMIC_ACQUIRE) >
				     (unsigned int)round % 5));
		ASSERT_EQ(0, kt_unlink(self->name));
		for (int i = 0; i < VISITORS; i++) {
			ASSERT_TRUE(kt_join(&comers[i]));
			EXPECT_EQ(-ENOENT, comers[i].ret);
			sent += visitors[i].sent;
		}
		for (int i = 0; i < RECEIVERS; i++) {
			ASSERT_TRUE(kt_join(&receivers[i])) TH_LOG("round %d", round);
			EXPECT_EQ(-EPIPE, receivers[i].ret);
			got += counters[i].got;
		}
		EXPECT_EQ(sent, got) TH_LOG("round %d", round);
		EXPECT_EQ(0, kt_stat(self->receiver).queued_messages);
		close(self->receiver);
		self->receiver = kt_open(self->name, KPOST_RIGHT_RECV,
					 KPOST_OPEN_CREATE | variant->flags);
		ASSERT_LE(0, self->receiver);
	}
}

TEST_HARNESS_MAIN
