// SPDX-License-Identifier: GPL-2.0-only
/*
 * What io_uring has waiting without a worker: many of each kind, in rings of each kind, in rings
 * that never look, in rings and tasks that end; no message is lost, given twice, or left alone.
 */
#include <kpost.h>
#include <sys/resource.h>
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { MANY = 10000, SLEEPERS = 1000 };

/* Where workers do it, only as many as they are. */
static unsigned int many(void)
{
	return uring_parks() ? MANY : 64;
}

/* a ring for @count commands, or for as many workers */
static int init_many(struct io_uring *ring, unsigned int count, unsigned int flags)
{
	struct io_uring_params params = {
		.flags = flags | IORING_SETUP_CQSIZE, .cq_entries = 2 * count + 128,
	};
	unsigned int workers[2] = { count, count };
	int ret = io_uring_queue_init_params(64, ring, &params);

	if (!ret && !uring_parks())
		ret = io_uring_register_iowq_max_workers(ring, workers);
	return ret;
}

/* submit @count receives, whose user data are their numbers */
static bool receive_many(struct io_uring *ring, int fd, struct kpost_recv *recv, uint64_t *buf,
			 unsigned int count)
{
	unsigned int prepared = 0;

	for (unsigned int i = 0; i < count; i++) {
		recv[i] = kt_recv_args(&buf[i], sizeof(buf[i]), 0, 0);
		recv[i].cookie = i % 100;
		if (!uring_op(ring, fd, KPOST_IOC_RECV, &recv[i], i))
			return false;
		if (++prepared == 64 || i + 1 == count) {
			if (io_uring_submit(ring) != (int)prepared)
				return false;
			prepared = 0;
		}
	}
	return kt_until(kt_stat(fd).waiting_receivers == count);
}

static long cancel(int fd, uint64_t cookie)
{
	struct kpost_cancel args = { .cookie = cookie };

	return kt_ioctl(fd, KPOST_IOC_CANCEL, &args);
}

FIXTURE(park) {
	int fd;
	struct io_uring ring;
	struct kpost_recv *recv;
	uint64_t *buf;
};

FIXTURE_SETUP(park)
{
	self->fd = kt_mailbox(MANY, 8 * MANY, 8);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, init_many(&self->ring, many(), 0));
	self->recv = calloc(MANY, sizeof(*self->recv));
	self->buf = calloc(MANY, sizeof(*self->buf));
	ASSERT_NE(NULL, self->recv);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(park)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
	free(self->recv);
	free(self->buf);
}

TEST_F(park, park_takes_no_thread_and_each_gets_one_message)
{
	unsigned int count = many(), before = uring_threads();
	static bool got[MANY], ended[MANY];
	struct uring_result result;

	ASSERT_TRUE(receive_many(&self->ring, self->fd, self->recv, self->buf, count));
	if (uring_parks())
		EXPECT_EQ(before, uring_threads());
	for (uint64_t i = 0; i < count; i++)
		ASSERT_EQ(0, kt_post(self->fd, &i, sizeof(i), 0));
	for (unsigned int i = 0; i < count; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result)) TH_LOG("%u came", i);
		ASSERT_EQ(8, result.res);
		ASSERT_GT(count, result.data);
		ASSERT_FALSE(ended[result.data]);
		ended[result.data] = true;
		ASSERT_GT(count, self->buf[result.data]);
		ASSERT_FALSE(got[self->buf[result.data]]);
		got[self->buf[result.data]] = true;
	}
	EXPECT_FALSE(uring_done(&self->ring));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
}

TEST_F(park, park_of_many_is_cancelled_as_a_whole_and_in_parts)
{
	unsigned int count = many(), left = count;
	struct uring_result result;
	long ended = 0;

	ASSERT_TRUE(receive_many(&self->ring, self->fd, self->recv, self->buf, count));
	EXPECT_EQ((count + 92) / 100, cancel(self->fd, 7));
	for (long i = (count + 92) / 100; i; i--, left--) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
		EXPECT_EQ(7, result.data % 100);
	}
	EXPECT_EQ(-ENOENT, cancel(self->fd, 7));
	ASSERT_TRUE(kt_until((ended += cancel(self->fd, 0)) == left));
	for (unsigned int i = 0; i < left; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
	}
	EXPECT_FALSE(uring_done(&self->ring));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
	EXPECT_EQ(0, kt_post(self->fd, self->buf, 8, 0));
	EXPECT_EQ(8, kt_take(self->fd, NULL, self->buf, 8));
}

TEST_F(park, park_of_many_ends_with_the_ring)
{
	ASSERT_TRUE(receive_many(&self->ring, self->fd, self->recv, self->buf, many()));
	io_uring_queue_exit(&self->ring);
	EXPECT_TRUE(kt_until(!kt_stat(self->fd).waiting_receivers));
	EXPECT_EQ(0, kt_post(self->fd, self->buf, 8, 0));
	EXPECT_EQ(8, kt_take(self->fd, NULL, self->buf, 8));
	ASSERT_EQ(0, init_many(&self->ring, 64, 0));
}

/* close(2) ends nothing, and so keeps the mailbox; the library ends what is through a duplicate */
TEST_F(park, park_ends_when_the_library_closes)
{
	struct uring_result result;
	char name[KT_NAME_SIZE];
	int fd, other;

	kt_name(name);
	fd = kt_create(name, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	other = dup(fd);
	ASSERT_LE(0, other);
	ASSERT_TRUE(receive_many(&self->ring, fd, self->recv, self->buf, 10));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(10, kt_stat(other).waiting_receivers);
	EXPECT_FALSE(uring_done(&self->ring));
	/* a worker may be about to wait */
	fd = dup(other);
	ASSERT_EQ(0, kpost_close(other));
	ASSERT_TRUE(kt_until((kpost_cancel(fd, 0), !kt_stat(fd).waiting_receivers)));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
	}
	ASSERT_EQ(0, kpost_close(fd));
	EXPECT_EQ(-EBADF, kpost_close(fd));
	EXPECT_EQ(-ENOTTY, kpost_close(STDIN_FILENO));
	ASSERT_TRUE(kt_until(kt_open(name, KPOST_RIGHT_SEND, 0) == -ENOENT));
}

TEST_F(park, park_comes_behind_tasks_that_wait)
{
	struct uring_result result;
	struct kpost_recv recv;
	struct kt_job job;
	uint64_t number;

	if (!uring_parks())
		SKIP(return, "workers are tasks");
	ASSERT_TRUE(receive_many(&self->ring, self->fd, self->recv, self->buf, 100));
	for (uint64_t i = 0; i < 50; i++) {
		recv = kt_recv_args(&number, sizeof(number), 0, kt_soon());
		kt_start(&job, self->fd, KPOST_IOC_RECV, &recv);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 101));
		ASSERT_EQ(0, kt_post(self->fd, &i, sizeof(i), 0));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(8, job.ret);
		EXPECT_EQ(i, number);
		EXPECT_EQ(100, kt_stat(self->fd).waiting_receivers);
	}
	EXPECT_FALSE(uring_done(&self->ring));
	ASSERT_EQ(0, kt_post(self->fd, &number, sizeof(number), 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(8, result.res);
}

/* what they are told of may be gone, or not for them */
TEST_F(park, park_that_cannot_take_it_leaves_it_to_the_next)
{
	struct uring_result result;
	struct kpost_recv recv[2];
	char small, large[16];
	int fd = kt_mailbox(4, 64, 16);

	ASSERT_LE(0, fd);
	recv[0] = kt_recv_args(&small, 1, 0, 0);
	recv[1] = kt_recv_args(large, sizeof(large), 0, 0);
	for (uint64_t i = 0; i < 2; i++) {
		ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_RECV, &recv[i], i));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == i + 1));
	}
	ASSERT_EQ(0, kt_post(fd, "long", 4, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data ? 4 : -EMSGSIZE, result.res);
	}
	EXPECT_EQ(4, recv[0].size);
	EXPECT_EQ(0, memcmp(large, "long", 4));
	/* one whose memory was taken away since */
	recv[0] = kt_recv_args(kt_edge(PROT_NONE), 1, 0, 0);
	recv[1] = kt_recv_args(large, sizeof(large), 0, 0);
	for (uint64_t i = 0; i < 2; i++) {
		ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_RECV, &recv[i], i));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == i + 1));
	}
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data ? 1 : -EFAULT, result.res);
	}
	close(fd);
}

TEST_F(park, park_of_many_ends_with_the_last_sender)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	unsigned int count = many();
	struct uring_result result;
	int fd = kt_do_open(&open);

	ASSERT_LE(0, fd);
	ASSERT_TRUE(receive_many(&self->ring, fd, self->recv, self->buf, count));
	ASSERT_EQ(0, close(open.send_fd));
	for (unsigned int i = 0; i < count; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		ASSERT_EQ(-EPIPE, result.res);
	}
	EXPECT_EQ(0, kt_stat(fd).waiting_receivers);
	close(fd);
}

TEST_F(park, park_ends_at_the_deadline_and_not_before)
{
	static const unsigned int ms[] = { 1, 10, 30, 100, 400 };
	struct uring_result result;
	uint64_t now;

	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		self->recv[i] = kt_recv_args(&self->buf[i], 8, 0, kt_in(ms[i]));
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &self->recv[i], i));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
	}
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		now = kt_now();
		EXPECT_EQ(-ETIMEDOUT, result.res);
		EXPECT_LE(self->recv[result.data].deadline, now);
		EXPECT_LT(now - self->recv[result.data].deadline, 1000 * KT_MS);
	}
	/* one that has passed, and one that is never */
	self->recv[0].deadline = 1;
	EXPECT_EQ(-ETIMEDOUT, uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &self->recv[0]));
	self->recv[0].deadline = INT64_MAX;
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &self->recv[0], 0));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, self->buf, 8, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(8, result.res);
}

TEST_F(park, park_of_batches_and_of_replies_with_receipt)
{
	struct kpost_reply reply = {};
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply, .reply_size = sizeof(reply),
		.recv = (uintptr_t)&self->recv[10], .recv_size = sizeof(*self->recv),
	};
	struct kpost_batch batch = {
		.count = 10, .entries = (uintptr_t)self->recv, .entry_size = sizeof(*self->recv),
	};
	struct uring_result result;

	for (int i = 0; i < 11; i++)
		self->recv[i] = kt_recv_args(&self->buf[i], 8, 0, 0);
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECVV, &batch, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	for (uint64_t i = 1; i <= 3; i++)
		ASSERT_EQ(0, kt_post(self->fd, &i, sizeof(i), 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_LE(1, result.res);
	for (int i = 0; i < result.res; i++)
		EXPECT_EQ(i + 1, self->buf[i]);
	while (kt_take(self->fd, NULL, &self->buf[0], 8) == 8)
		;

	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_REPLY_RECV, &both, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_submit(self->fd, "request", 7, 8, 0, NULL));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(7, result.res);
	/* its reply, and the next */
	reply = (struct kpost_reply){ .token = self->recv[10].token, .buf = (uintptr_t)"yes",
				      .len = 3 };
	both.reply = (uintptr_t)&reply;
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_REPLY_RECV, &both, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	EXPECT_EQ(0, reply.token);
	EXPECT_EQ(3, kt_collect(self->fd, NULL, self->buf, 8, 0));
	ASSERT_EQ(0, kt_post(self->fd, "next", 4, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(4, result.res);
}

/* ---- senders and callers ---------------------------------------------------------------- */

TEST_F(park, park_of_sends_keeps_their_order)
{
	enum { COUNT = 200 };
	static struct kpost_send send[COUNT];
	static uint64_t numbers[COUNT];
	struct uring_result result;
	unsigned int before = uring_threads();
	int fd = kt_mailbox(1, 0, 8);
	uint64_t number;

	if (!uring_parks())
		SKIP(return, "workers begin in any order");
	ASSERT_LE(0, fd);
	for (uint64_t i = 0; i < COUNT; i++) {
		numbers[i] = i;
		send[i] = kt_send_args(&numbers[i], 8, 0, KPOST_WANT_SEQUENCE, 0);
		ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_SEND, &send[i], i));
		if (i % 50 == 49)
			ASSERT_EQ(50, io_uring_submit(&self->ring));
	}
	EXPECT_EQ(COUNT - 1, kt_stat(fd).waiting_senders);
	EXPECT_EQ(before, uring_threads());
	/* what is to be sent is the kernel's since */
	memset(numbers, 0xff, sizeof(numbers));
	for (uint64_t i = 0; i < COUNT; i++) {
		ASSERT_EQ(8, kt_take(fd, NULL, &number, sizeof(number)));
		EXPECT_EQ(i, number);
	}
	for (unsigned int i = 0; i < COUNT; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(0, result.res);
		EXPECT_EQ(i, result.data);
		EXPECT_EQ(i + 1, send[i].sequence);
	}
	close(fd);
}

TEST_F(park, park_of_many_calls_in_one_ring)
{
	unsigned int count = many(), before = uring_threads(), left;
	static struct kpost_call calls[MANY];
	static char replies[MANY][8];
	static bool ended[MANY];
	struct uring_result result;
	struct kpost_recv recv;
	uint64_t number, used;
	struct kpost_info info;
	long ended_by_cancel = 0;

	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	used = info.office_sending_used;
	for (unsigned int i = 0; i < count; i++) {
		self->buf[i] = i;
		calls[i] = kt_call_args(&self->buf[i], 8, replies[i], 8, 0);
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &calls[i], i));
		if (i % 50 == 49 || i + 1 == count)
			ASSERT_LT(0, io_uring_submit(&self->ring));
	}
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == count));
	if (uring_parks())
		EXPECT_EQ(before, uring_threads());
	/* the first half has its replies, the others are given up: received or not */
	for (unsigned int i = 0; i < count * 3 / 4; i++) {
		ASSERT_EQ(8, kt_take(self->fd, &recv, &number, 8));
		ASSERT_GT(count, number);
		if (i < count / 2)
			ASSERT_EQ(0, kt_reply(self->fd, recv.token, &number, 8));
	}
	for (unsigned int i = 0; i < count / 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result)) TH_LOG("%u came", i);
		ASSERT_EQ(8, result.res);
		ASSERT_FALSE(ended[result.data]);
		ended[result.data] = true;
		memcpy(&number, replies[result.data], 8);
		ASSERT_EQ(result.data, number);
		ASSERT_EQ(0, calls[result.data].id);
		ASSERT_EQ(getpid(), calls[result.data].pid);
	}
	left = count - count / 2;
	ASSERT_TRUE(kt_until((ended_by_cancel += cancel(self->fd, 0)) == left));
	for (unsigned int i = 0; i < left; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		ASSERT_EQ(-ECANCELED, result.res);
		ASSERT_FALSE(ended[result.data]);
		ended[result.data] = true;
	}
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	/* those that were received are to be dropped by their receiver */
	EXPECT_EQ(count * 3 / 4 - count / 2, kt_stat(self->fd).open_calls);
	close(self->fd);
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	EXPECT_EQ(used, info.office_sending_used);
	self->fd = kt_mailbox(4, 0, 8);
}

/* a reply into pieces, and an outcome of each kind */
TEST_F(park, park_of_a_call_tells_what_became_of_it)
{
	char parts[6][2];
	struct kpost_iovec iov[6];
	struct kpost_call call = kt_call_args("ask", 3, iov, 6, 0);
	struct uring_result result;
	struct kpost_recv recv;
	char buf[8];
	int server = kt_grant(self->fd, KPOST_RIGHT_RECV);

	for (int i = 0; i < 6; i++)
		iov[i] = (struct kpost_iovec){ (uintptr_t)parts[i], 2 };
	call.flags = KPOST_REPLY_IOVEC;
	call.tag = 9;
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(3, kt_recv(server, &recv, buf, 8, 0, kt_soon()));
	ASSERT_EQ(0, kt_reply(server, recv.token, "abcdefghijk", 11));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(11, result.res);
	EXPECT_EQ(0, memcmp(parts, "abcdefghijk", 11));
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, call.message_flags);
	EXPECT_EQ(1, call.sequence);
	/* its memory is taken away meanwhile */
	call = kt_call_args("ask", 3, kt_edge(PROT_READ | PROT_WRITE), 8, 0);
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(3, kt_recv(server, &recv, buf, 8, 0, kt_soon()));
	ASSERT_EQ(0, mprotect((void *)(uintptr_t)call.reply_buf, kt_page_size(), PROT_NONE));
	ASSERT_EQ(0, kt_reply(server, recv.token, "lost", 4));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-EFAULT, result.res);
	EXPECT_EQ(2, call.sequence);
	EXPECT_EQ(0, call.id);
	/* its deadline passes, then its receiver goes */
	call = kt_call_args("ask", 3, buf, 8, kt_in(50));
	EXPECT_EQ(-ETIMEDOUT, uring_do(&self->ring, self->fd, KPOST_IOC_CALL, &call));
	EXPECT_EQ(0, call.message_flags);
	EXPECT_LE(call.deadline, kt_now());
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	call.deadline = 1;
	EXPECT_EQ(-ETIMEDOUT, uring_do(&self->ring, self->fd, KPOST_IOC_CALL, &call));
	EXPECT_EQ(0, call.sequence);
	call.deadline = 0;
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(3, kt_recv(server, &recv, parts, 8, 0, kt_soon()));
	close(server);
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-ECONNRESET, result.res);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, call.message_flags);
}

/* ---- submitted calls and batches -------------------------------------------------------- */

TEST_F(park, park_of_who_collects_is_given_a_reply)
{
	enum { ANY = 8, ALL = 12 };
	struct kpost_call_collect collect[ALL];
	unsigned int before = uring_threads();
	struct uring_result result;
	struct kpost_recv recv;
	char replies[ALL][8];
	uint64_t ids[ALL], number;

	if (!uring_parks())
		SKIP(return, "nobody knows when a worker begins to wait");
	/* eight wait for any, and four for one each */
	for (uint64_t i = 0; i < ALL; i++) {
		number = i;
		ASSERT_EQ(0, kt_submit(self->fd, &number, 8, 8, i, &ids[i]));
		collect[i] = kt_collect_args(replies[i], 8, i < ANY ? 0 : ids[i], 0, 0);
		collect[i].cookie = 1 + i;
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL_COLLECT, &collect[i],
					 i));
	}
	ASSERT_EQ(ALL, io_uring_submit(&self->ring));
	EXPECT_EQ(before, uring_threads());
	for (uint64_t i = 0; i < ALL; i++) {
		ASSERT_EQ(8, kt_recv(self->fd, &recv, &number, 8, 0, kt_soon()));
		if (number % 2)
			ASSERT_EQ(0, kt_reply(self->fd, recv.token, &number, 8));
	}
	for (int i = 0; i < ALL / 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		ASSERT_EQ(8, result.res);
		memcpy(&number, replies[result.data], 8);
		EXPECT_EQ(number, collect[result.data].user_data);
		EXPECT_EQ(ids[number], collect[result.data].id);
		EXPECT_EQ(1, number % 2);
		/* who waits for one is given that, though others waited for any before */
		if (result.data >= ANY)
			EXPECT_EQ(result.data, number);
		collect[result.data].cookie = 0;
	}
	EXPECT_FALSE(uring_done(&self->ring));
	/* one is cancelled, and its call stays; the others with all calls */
	for (int i = ALL - 1; i >= 0; i--)
		if (collect[i].cookie) {
			ASSERT_TRUE(kt_until(cancel(self->fd, collect[i].cookie) == 1));
			ASSERT_EQ(0, uring_wait(&self->ring, &result));
			EXPECT_EQ(-ECANCELED, result.res);
			EXPECT_EQ(i, result.data);
			break;
		}
	EXPECT_EQ(ALL / 2, kt_stat(self->fd).open_calls);
	EXPECT_EQ(ALL / 2, kt_cancel(self->fd, 0));
	for (int i = 0; i < ALL / 2 - 1; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
	}
	/* at its deadline, and not without a thing to wait for */
	collect[0] = kt_collect_args(replies[0], 8, 0, 0, kt_in(30));
	EXPECT_EQ(-ETIMEDOUT, uring_do(&self->ring, self->fd, KPOST_IOC_CALL_COLLECT, &collect[0]));
	collect[0] = kt_collect_args(replies[0], 8, 7, 0, 0);
	EXPECT_EQ(-ENOENT, uring_do(&self->ring, self->fd, KPOST_IOC_CALL_COLLECT, &collect[0]));
}

/* a reply that cannot be stored stays, for who has room for it */
TEST_F(park, park_of_who_collects_loses_no_reply)
{
	struct kpost_call_collect collect;
	struct uring_result result;
	struct kpost_recv recv;
	char buf[8];
	uint64_t id;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, kt_submit(self->fd, "ask", 3, 8, 0, &id));
		collect = kt_collect_args(buf, i ? 8 : 2, i == 2 ? id : 0, 0, 0);
		if (i == 1)
			collect.buf = (uintptr_t)kt_edge(PROT_NONE);
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_CALL_COLLECT, &collect,
					 1));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_EQ(3, kt_recv(self->fd, &recv, buf, 8, 0, kt_soon()));
		if (i == 2) {
			/* its ring goes, told or not */
			ASSERT_EQ(0, kt_reply(self->fd, recv.token, "reply", 5));
			io_uring_queue_exit(&self->ring);
			ASSERT_EQ(0, init_many(&self->ring, 64, 0));
			break;
		}
		ASSERT_EQ(0, kt_reply(self->fd, recv.token, "reply", 5));
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(i ? -EFAULT : -EMSGSIZE, result.res);
		EXPECT_EQ(5, kt_collect_soon(self->fd, &collect, buf, 8, id));
	}
}

TEST_F(park, park_of_who_submits_waits_for_room)
{
	enum { COUNT = 20 };
	struct kpost_call_submit submit[COUNT];
	struct uring_result result;
	unsigned int before = uring_threads(), left = COUNT;
	int fd = kt_mailbox(1, 0, 8);
	struct kpost_recv recv;
	uint64_t number;
	char buf[8];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "full", 4, 0));
	for (uint64_t i = 0; i < COUNT; i++) {
		self->buf[i] = i;
		submit[i] = kt_submit_args(&self->buf[i], 8, 8, i, 0, i == 5 ? kt_in(30) : 0);
		submit[i].cookie = 1 + i;
		ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_CALL_SUBMIT, &submit[i], i));
	}
	ASSERT_EQ(COUNT, io_uring_submit(&self->ring));
	if (uring_parks())
		EXPECT_EQ(before, uring_threads());
	/* one ends at its deadline, one when cancelled; neither leaves anything */
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-ETIMEDOUT, result.res);
	EXPECT_EQ(5, result.data);
	ASSERT_TRUE(kt_until(cancel(fd, 1 + 7) == 1));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-ECANCELED, result.res);
	EXPECT_EQ(7, result.data);
	left -= 2;
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == left));
	EXPECT_EQ(4, kt_take(fd, NULL, buf, 8));
	for (unsigned int i = 0; i < left - 2; i++) {
		ASSERT_EQ(8, kt_recv(fd, &recv, &number, 8, 0, kt_soon()));
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(0, result.res);
		ASSERT_EQ(0, kt_reply(fd, recv.token, &number, 8));
		/* another worker may have been told first */
		if (uring_parks())
			EXPECT_EQ(number, result.data);
		EXPECT_EQ(8, kt_collect(fd, NULL, buf, 8, uring_parks() ? submit[number].id : 0));
	}
	/* of the last two one is in, and both go with all calls */
	EXPECT_EQ(2, kt_cancel(fd, 0));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(0, kt_stat(fd).queued_messages);
	EXPECT_EQ(0, kt_stat(fd).waiting_senders);
	close(fd);
}

TEST_F(park, park_of_a_batch_sends_all_in_order)
{
	enum { COUNT = 50 };
	static struct kpost_send send[COUNT];
	struct kpost_batch batch = {
		.count = COUNT, .entries = (uintptr_t)send, .entry_size = sizeof(send[0]),
		.cookie = 9,
	};
	unsigned int before = uring_threads();
	struct uring_result result;
	int fd = kt_mailbox(3, 0, 8);
	uint64_t number;

	ASSERT_LE(0, fd);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < COUNT; i++) {
			self->buf[i] = i;
			send[i] = kt_send_args(&self->buf[i], 8, 0, KPOST_WANT_SEQUENCE, 0);
		}
		batch.deadline = round == 2 ? kt_in(500) : 0;
		batch.error = 1;
		ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_SENDV, &batch, 1));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		if (uring_parks())
			EXPECT_EQ(before, uring_threads());
		for (uint64_t i = 0; i < (round ? 10 : COUNT); i++) {
			ASSERT_EQ(8, kt_recv(fd, NULL, &number, 8, 0, kt_soon()));
			EXPECT_EQ(i, number);
		}
		/* the second is cancelled in the midst of it, the third has a deadline */
		if (round == 1) {
			ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
			ASSERT_TRUE(kt_until(cancel(fd, 9) == 1));
		}
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(round ? 13 : COUNT, result.res);
		EXPECT_EQ(round == 0 ? 0 : round == 1 ? -ECANCELED : -ETIMEDOUT, batch.error);
		for (int i = 1; i < result.res; i++)
			EXPECT_EQ(send[i - 1].sequence + 1, send[i].sequence);
		EXPECT_EQ(0, kt_stat(fd).waiting_senders);
		while (kt_take(fd, NULL, &number, 8) == 8)
			;
	}
	close(fd);
}

/* by its number, which can be guessed: its submitter and who waits for it end together */
TEST_F(park, park_of_who_collects_what_is_not_submitted_after_all)
{
	struct kpost_call_submit submit;
	struct kpost_call_collect collect[2];
	struct uring_result result;
	int fd = kt_mailbox(1, 0, 8);
	uint64_t id, number = 1;
	struct kt_job job;
	char buf[2][8];

	if (!uring_parks())
		SKIP(return, "nobody knows when a worker begins to wait");
	ASSERT_LE(0, fd);
	for (int round = 0; round < 20; round++) {
		bool parked = round % 2;

		ASSERT_EQ(0, kt_submit(fd, &number, 8, 8, 0, &id));
		submit = kt_submit_args(&number, 8, 8, 0, 0, 0);
		submit.cookie = 5;
		ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_CALL_SUBMIT, &submit, 1));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_EQ(1, kt_stat(fd).waiting_senders);
		for (id++; parked; id++) {
			/* other tests make calls as well */
			collect[0] = kt_collect_args(buf[0], 8, id, 0, 0);
			ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_CALL_COLLECT,
						 &collect[0], 2));
			ASSERT_EQ(1, io_uring_submit(&self->ring));
			if (!uring_done(&self->ring))
				break;
			ASSERT_EQ(0, uring_wait(&self->ring, &result));
			ASSERT_EQ(-ENOENT, result.res);
		}
		if (!parked) {
			while (kt_collect(fd, NULL, buf[0], 8, id) == -ENOENT)
				id++;
			collect[1] = kt_collect_args(buf[1], 8, id, 0, 0);
			kt_start(&job, fd, KPOST_IOC_CALL_COLLECT, &collect[1]);
			ASSERT_TRUE(kt_until(kt_asleep(job.tid) || kt_done(&job)));
		}
		ASSERT_EQ(1, cancel(fd, 5));
		for (int i = 0; i < 1 + parked; i++) {
			ASSERT_EQ(0, uring_wait(&self->ring, &result));
			EXPECT_EQ(-ECANCELED, result.res);
		}
		if (!parked) {
			ASSERT_TRUE(kt_join(&job));
			EXPECT_EQ(-ECANCELED, job.ret);
		}
		EXPECT_EQ(1, kt_cancel(fd, 0));
		EXPECT_EQ(0, kt_stat(fd).waiting_senders);
	}
	close(fd);
}

/* as all of it is sent by a worker, or by a task that waits */
TEST_F(park, park_of_a_batch_is_of_who_submitted_it)
{
	struct kpost_send send[3];
	struct kpost_batch batch;
	struct uring_result result;
	struct kpost_recv recv;
	int fd = kt_mailbox(1, 0, 8);
	uint64_t number = 5;

	ASSERT_LE(0, fd);
	for (int i = 0; i < 3; i++)
		send[i] = kt_send_args(&number, 8, 0, 0, 0);
	batch = (struct kpost_batch){
		.count = 3, .entries = (uintptr_t)send, .entry_size = sizeof(send[0]),
	};
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, 0));
	ASSERT_NE(NULL, uring_op(&self->ring, fd, KPOST_IOC_SENDV, &batch, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(0, setresuid(0, 0, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(8, kt_recv(fd, &recv, &number, 8, 0, kt_soon()));
		EXPECT_EQ(NOBODY, recv.uid);
	}
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(3, result.res);
	close(fd);
}

/* a batch is not tried as a whole where nothing waits */
TEST_F(park, batch_through_a_nonblocking_endpoint_sends_what_finds_room)
{
	enum { COUNT = 40, ROOM = 10 };
	static struct kpost_send send[COUNT];
	struct kpost_batch batch = {
		.count = COUNT, .entries = (uintptr_t)send, .entry_size = sizeof(send[0]),
	};
	int fd = kt_mailbox(ROOM, 0, 8);
	uint64_t number = 5;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_NONBLOCK));
	for (int i = 0; i < COUNT; i++)
		send[i] = kt_send_args(&number, 8, 0, 0, 0);
	EXPECT_EQ(ROOM, uring_do(&self->ring, fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(-EAGAIN, batch.error);
	EXPECT_EQ(ROOM, kt_stat(fd).queued_messages);
	EXPECT_EQ(-EAGAIN, uring_do(&self->ring, fd, KPOST_IOC_SENDV, &batch));
	close(fd);
}

/* an entry may have become wrong, and its mailbox end */
TEST_F(park, park_of_a_batch_ends_where_it_cannot_go_on)
{
	struct uring_result result;
	struct kpost_send send[4];
	struct kpost_batch batch;
	uint64_t number = 5;
	int fds[2];

	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(0, kt_pair(fds, 1, 0));
		for (int i = 0; i < 4; i++)
			send[i] = kt_send_args(&number, 8, 0, 0, 0);
		batch = (struct kpost_batch){
			.count = 4, .entries = (uintptr_t)send, .entry_size = sizeof(send[0]),
		};
		ASSERT_NE(NULL, uring_op(&self->ring, fds[1], KPOST_IOC_SENDV, &batch, 1));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_TRUE(kt_until(kt_stat(fds[1]).waiting_senders == 1));
		if (round == 0) {
			send[3].priority = KPOST_PRIORITY_MAX + 1;
			for (int i = 0; i < 3; i++)
				ASSERT_EQ(8, kt_recv(fds[0], NULL, &number, 8, 0, kt_soon()));
		} else {
			close(fds[0]);
		}
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(round ? 1 : 3, result.res);
		EXPECT_EQ(round ? -EPIPE : -EINVAL, batch.error);
		if (!round)
			close(fds[0]);
		close(fds[1]);
	}
}

struct parting {
	struct io_uring *ring;
	int fd, other;
	struct kpost_batch batch;
	struct kpost_call_submit submit;
	struct kpost_call_collect collect;
};

static long submits_and_ends(void *arg)
{
	struct parting *parting = arg;

	if (!uring_op(parting->ring, parting->fd, KPOST_IOC_SENDV, &parting->batch, 1) ||
	    !uring_op(parting->ring, parting->fd, KPOST_IOC_CALL_SUBMIT, &parting->submit, 2) ||
	    !uring_op(parting->ring, parting->other, KPOST_IOC_CALL_COLLECT, &parting->collect, 3))
		return -1;
	return io_uring_submit(parting->ring);
}

/* what it sends is sent, and what it would have been given stays */
TEST_F(park, park_of_a_thread_that_ends_goes_on_without_it)
{
	struct parting parting = { .ring = &self->ring, .fd = kt_mailbox(1, 0, 8),
				   .other = self->fd };
	struct kpost_call_collect collect;
	struct kpost_send send[3];
	struct uring_result result;
	struct kpost_recv recv;
	uint64_t number = 5, id;
	struct kt_job job;
	char buf[8];

	if (!uring_parks())
		SKIP(return, "a worker ends with the thread whose it is");
	ASSERT_LE(0, parting.fd);
	for (int i = 0; i < 3; i++)
		send[i] = kt_send_args(&number, 8, 0, KPOST_WANT_SEQUENCE, 0);
	parting.batch = (struct kpost_batch){
		.count = 3, .entries = (uintptr_t)send, .entry_size = sizeof(send[0]), .error = 1,
	};
	parting.submit = kt_submit_args(&number, 8, 8, 4, 0, 0);
	parting.submit.id = 0;
	ASSERT_EQ(0, kt_submit(self->fd, "ask", 3, 8, 0, &id));
	parting.collect = kt_collect_args(buf, 8, id, 0, 0);
	kt_start_fn(&job, submits_and_ends, &parting);
	ASSERT_TRUE(kt_join(&job));
	ASSERT_EQ(3, job.ret);
	ASSERT_EQ(2, kt_stat(parting.fd).waiting_senders);

	/* the second entry is let in, and nobody is there to send the third */
	ASSERT_EQ(8, kt_take(parting.fd, NULL, buf, 8));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(1, result.data);
	EXPECT_EQ(2, result.res);
	EXPECT_EQ(1, parting.batch.error);
	EXPECT_EQ(0, send[1].sequence);
	ASSERT_EQ(8, kt_take(parting.fd, NULL, buf, 8));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(2, result.data);
	EXPECT_EQ(0, result.res);
	EXPECT_EQ(0, parting.submit.id);
	ASSERT_EQ(8, kt_recv(parting.fd, &recv, buf, 8, 0, kt_soon()));
	ASSERT_EQ(0, kt_reply(parting.fd, recv.token, "reply", 5));
	EXPECT_EQ(5, kt_collect_soon(parting.fd, &collect, buf, 8, 0));

	ASSERT_EQ(3, kt_recv(self->fd, &recv, buf, 8, 0, kt_soon()));
	ASSERT_EQ(0, kt_reply(self->fd, recv.token, "reply", 5));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(3, result.data);
	EXPECT_EQ(-ECANCELED, result.res);
	EXPECT_EQ(5, kt_collect_soon(self->fd, &collect, buf, 8, id));
	close(parting.fd);
}

struct apart {
	int fd, ring_fd;
	unsigned int flags;
	bool parked, go;
};

/* shares its descriptors, so that the ring is there when it has ended */
static int collects_and_ends(void *arg)
{
	struct apart *apart = arg;
	struct kpost_call_collect collect[3];
	struct io_uring ring;
	char buf[3][8];
	uint64_t id[2];

	CHECK_EQ(0, uring_init(&ring, 8, apart->flags));
	for (int i = 0; i < 2; i++)
		CHECK_EQ(0, kt_submit(apart->fd, "ask", 3, 8, 0, &id[i]));
	for (int i = 0; i < 3; i++) {
		collect[i] = kt_collect_args(buf[i], 8, i ? 0 : id[0], 0, 0);
		CHECK(uring_op(&ring, apart->fd, KPOST_IOC_CALL_COLLECT, &collect[i], 1));
	}
	CHECK_EQ(3, io_uring_submit(&ring));
	apart->ring_fd = ring.ring_fd;
	__atomic_store_n(&apart->parked, true, __ATOMIC_RELEASE);
	/* without a system call, which would have the work done */
	while (!__atomic_load_n(&apart->go, __ATOMIC_ACQUIRE))
		;
	return 0;
}

/* given or not, and with its ring's work never done or as it ends */
TEST_F(park, park_of_who_collects_leaves_nothing_of_a_process_that_ended)
{
	static const unsigned int flags[] = {
		0, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	struct apart *apart = mmap(NULL, sizeof(*apart), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t used = kt_sending_used();
	struct kpost_recv recv[2];
	unsigned int replies;
	char buf[8];
	pid_t pid;
	long ret;

	if (!uring_parks())
		SKIP(return, "a worker ends with its process");
	ASSERT_NE(MAP_FAILED, apart);
	for (int round = 0; round < 6; round++) {
		*apart = (struct apart){ .fd = self->fd, .flags = flags[round % 2] };
		replies = (unsigned int)round / 2;
		pid = child_start_sharing(collects_and_ends, apart);
		ASSERT_LT(0, pid);
		ASSERT_TRUE(kt_until(__atomic_load_n(&apart->parked, __ATOMIC_ACQUIRE)));
		for (int i = 0; i < 2; i++) {
			ASSERT_EQ(3, kt_recv(self->fd, &recv[i], buf, 8, 0, kt_soon()));
		}
		for (unsigned int i = 0; i < replies; i++)
			ASSERT_EQ(0, kt_reply(self->fd, recv[i].token, "reply", 5));
		__atomic_store_n(&apart->go, true, __ATOMIC_RELEASE);
		ASSERT_EQ(0, child_finish(pid, 10));
		/* who has the ring has nothing more to do with its calls */
		EXPECT_EQ(0, kt_cancel(self->fd, 0));
		close(apart->ring_fd);
		/* its end may not be known yet */
		for (unsigned int i = replies; i < 2; i++) {
			ret = kt_reply(self->fd, recv[i].token, "reply", 5);
			EXPECT_TRUE(ret == 0 || ret == -ECANCELED);
		}
		ASSERT_TRUE(kt_until(kt_stat(self->fd).open_calls == 0));
	}
	ASSERT_TRUE(kt_until(kt_sending_used() == used));
	munmap(apart, sizeof(*apart));
}

/* ---- rings of each kind --------------------------------------------------------------- */

FIXTURE(park_in) {
	int fd;
	struct io_uring ring;
	struct kpost_recv recv;
	uint64_t buf;
};

FIXTURE_VARIANT(park_in) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(park_in, plain) { .flags = 0 };
FIXTURE_VARIANT_ADD(park_in, sqpoll) { .flags = IORING_SETUP_SQPOLL };
FIXTURE_VARIANT_ADD(park_in, coop) { .flags = IORING_SETUP_COOP_TASKRUN };
FIXTURE_VARIANT_ADD(park_in, single) { .flags = IORING_SETUP_SINGLE_ISSUER };
FIXTURE_VARIANT_ADD(park_in, defer) {
	.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
};

FIXTURE_SETUP(park_in)
{
	self->fd = kt_mailbox(4, 0, 8);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_init(&self->ring, 8, variant->flags));
	self->recv = kt_recv_args(&self->buf, sizeof(self->buf), 0, 0);
}

FIXTURE_TEARDOWN(park_in)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

static bool park(FIXTURE_DATA(park_in) *self)
{
	return uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &self->recv, 1) &&
	       io_uring_submit(&self->ring) == 1 &&
	       kt_until(kt_stat(self->fd).waiting_receivers == 1);
}

TEST_F(park_in, park_gets_what_comes_and_ends_when_cancelled)
{
	struct uring_result result;

	for (int i = 0; i < 20; i++) {
		ASSERT_TRUE(park(self));
		ASSERT_EQ(0, kt_post(self->fd, "message", 7, 0));
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(7, result.res);
		ASSERT_TRUE(park(self));
		/* a worker may be about to wait */
		ASSERT_TRUE(kt_until(cancel(self->fd, 0) == 1));
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
	}
	EXPECT_FALSE(uring_done(&self->ring));
}

/* told or not, while the task that submitted it lives, and waits for something else */
TEST_F(park_in, park_goes_with_a_ring_that_is_closed)
{
	struct kpost_stat stat;
	char buf[8];

	for (int told = 0; told < 2; told++) {
		for (int i = 0; i < 20; i++) {
			if (self->ring.ring_fd < 0)
				ASSERT_EQ(0, uring_init(&self->ring, 8, variant->flags));
			ASSERT_TRUE(park(self));
			if (told)
				ASSERT_EQ(0, kt_post(self->fd, "message", 7, 0));
			io_uring_queue_exit(&self->ring);
			self->ring.ring_fd = -1;
			ASSERT_TRUE(kt_until(!kt_stat(self->fd).waiting_receivers));
			stat = kt_stat(self->fd);
			EXPECT_EQ(stat.sent, stat.received + stat.queued_messages);
			while (kt_take(self->fd, NULL, buf, sizeof(buf)) == 7)
				;
		}
	}
	ASSERT_EQ(0, uring_init(&self->ring, 8, variant->flags));
}

/* in a process of its own, which was told of a message or not, and ends as @arg says */
enum end { EXIT, KILL, EXEC, CLOSE };

struct ending {
	FIXTURE_DATA(park_in) *self;
	unsigned int flags;
	enum end end;
};

static int parks_and_ends(void *arg)
{
	struct ending *ending = arg;
	FIXTURE_DATA(park_in) *self = ending->self;

	CHECK_EQ(0, uring_init(&self->ring, 8, ending->flags));
	CHECK(uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &self->recv, 1));
	CHECK_EQ(1, io_uring_submit(&self->ring));
	CHECK(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	/* told of a message, and without a look at the ring */
	CHECK_EQ(0, kt_post(self->fd, "for all", 7, 0));
	switch (ending->end) {
	case EXIT:
		break;
	case KILL:
		kill(getpid(), SIGKILL);
		break;
	case EXEC:
		execl("/bin/true", "true", NULL);
		return CHILD_FAILED;
	case CLOSE:
		io_uring_queue_exit(&self->ring);
		break;
	}
	return 0;
}

/* where it can be told and have no part of it, nobody else is robbed of the message */
TEST_F(park_in, park_of_who_ends_takes_no_message_with_it)
{
	bool looks = !(variant->flags & IORING_SETUP_DEFER_TASKRUN);
	struct ending ending = { self, variant->flags, EXIT };
	struct kpost_stat before, after;
	char buf[8];

	for (ending.end = EXIT; ending.end <= CLOSE; ending.end++) {
		before = kt_stat(self->fd);
		child_finish(child_start(parks_and_ends, &ending), 10);
		ASSERT_TRUE(kt_until(!kt_stat(self->fd).waiting_receivers));
		after = kt_stat(self->fd);
		EXPECT_EQ(before.sent + 1, after.sent);
		EXPECT_EQ(1, after.received - before.received + after.queued_messages);
		EXPECT_EQ(0, after.dropped);
		/* a ring that has its work done at any time may have received it before */
		if (!looks && uring_parks())
			EXPECT_EQ(1, after.queued_messages) TH_LOG("end %d", ending.end);
		if (after.queued_messages)
			ASSERT_EQ(7, kt_take(self->fd, NULL, buf, sizeof(buf)));
	}
}

/* ---- rings that never look ------------------------------------------------------------ */

/*
 * So many are parked and told first, and none of them ever looks: one that does, behind all of
 * them, has each message in time.
 */
TEST(park_that_sleeps_keeps_no_message_from_who_is_awake)
{
	enum { RINGS = 10, EACH = SLEEPERS / RINGS, ROUNDS = 10 };
	static struct kpost_recv recv[SLEEPERS + 1];
	static uint64_t buf[SLEEPERS + 1];
	struct io_uring rings[RINGS], awake;
	uint64_t number, start, took, best = UINT64_MAX;
	struct uring_result result;
	int fd = kt_mailbox(SLEEPERS, 0, 8);

	if (!uring_parks())
		SKIP(return, "workers need no ring that looks");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_init(&awake, 8, 0));
	/* less than 100 ms, but where the machine does other things as well */
	for (int round = 0; round < ROUNDS && best > 100 * KT_MS; round++) {
		for (int i = 0; i < RINGS; i++) {
			ASSERT_EQ(0, init_many(&rings[i], EACH, IORING_SETUP_SINGLE_ISSUER |
							      IORING_SETUP_DEFER_TASKRUN));
			for (int j = 0; j < EACH; j++) {
				struct kpost_recv *args = &recv[i * EACH + j];

				*args = kt_recv_args(&buf[i * EACH + j], 8, 0, 0);
				ASSERT_NE(NULL, uring_op(&rings[i], fd, KPOST_IOC_RECV, args, 1));
				if (j % 50 == 49)
					ASSERT_EQ(50, io_uring_submit(&rings[i]));
			}
		}
		recv[SLEEPERS] = kt_recv_args(&buf[SLEEPERS], 8, 0, 0);
		ASSERT_NE(NULL, uring_op(&awake, fd, KPOST_IOC_RECV, &recv[SLEEPERS], 2));
		ASSERT_EQ(1, io_uring_submit(&awake));
		ASSERT_EQ(SLEEPERS + 1, kt_stat(fd).waiting_receivers);
		number = 77;
		start = kt_now();
		ASSERT_EQ(0, kt_post(fd, &number, sizeof(number), 0));
		ASSERT_EQ(0, uring_wait(&awake, &result));
		took = kt_now() - start;
		EXPECT_EQ(8, result.res);
		EXPECT_EQ(77, buf[SLEEPERS]);
		TH_LOG("%llu us", (unsigned long long)took / 1000);
		best = took < best ? took : best;
		/* and a task at once, though all are told by now */
		ASSERT_EQ(0, kt_post(fd, &number, sizeof(number), 0));
		ASSERT_EQ(8, kt_take(fd, NULL, &number, sizeof(number)));
		for (int i = 0; i < RINGS; i++)
			io_uring_queue_exit(&rings[i]);
		ASSERT_TRUE(kt_until(!kt_stat(fd).waiting_receivers));
	}
	EXPECT_GT(200 * KT_MS, best);
	io_uring_queue_exit(&awake);
	close(fd);
}

/* ---- all at once ---------------------------------------------------------------------- */

struct crowd {
	int fd;
	bool stop, ended; /* nothing more is begun; all has ended */
	uint64_t received, cancelled, timed_out;
	uint64_t sent, submitted, answered, collected;
};

static void add(uint64_t *count, long n)
{
	__atomic_fetch_add(count, (uint64_t)n, __ATOMIC_RELAXED);
}

static const unsigned int ring_kinds[] = {
	0, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN,
};

/* what ended of itself, or for no fault of anybody's, is counted */
static bool ended(struct crowd *crowd, long result)
{
	if (result == -ECANCELED)
		add(&crowd->cancelled, 1);
	else if (result == -ETIMEDOUT)
		add(&crowd->timed_out, 1);
	return result >= 0 || result == -ECANCELED || result == -ETIMEDOUT;
}

static long receives_in_rings(void *arg)
{
	enum { EACH = 16 };
	struct crowd *crowd = arg;
	struct kpost_recv recv[EACH];
	struct uring_result result;
	uint64_t buf[EACH];
	struct io_uring ring;
	unsigned int round = 0, left;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		if (init_many(&ring, EACH, ring_kinds[round++ % ARRAY_SIZE(ring_kinds)]))
			return -1;
		for (int i = 0; i < EACH; i++) {
			recv[i] = kt_recv_args(&buf[i], 8, 0, i % 4 ? kt_in((unsigned int)i) : 0);
			recv[i].cookie = (unsigned int)i % 3;
			uring_op(&ring, crowd->fd, KPOST_IOC_RECV, &recv[i], 0);
		}
		if (io_uring_submit(&ring) != EACH)
			return -2;
		/* All are looked at, since a message that was received is to be counted. */
		for (left = EACH; left; left--) {
			while (uring_wait_for(&ring, &result, 0.02) == URING_NONE)
				cancel(crowd->fd, 0);
			if (!ended(crowd, result.res))
				return result.res;
			if (result.res == 8)
				add(&crowd->received, 1);
		}
		io_uring_queue_exit(&ring);
	}
	return 0;
}

static long cancels_all_the_time(void *arg)
{
	struct crowd *crowd = arg;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		cancel(crowd->fd, 1);
		kt_pause();
	}
	return 0;
}

TEST(park_of_receives_all_at_once_loses_no_message)
{
	struct crowd crowd = { .fd = kt_mailbox(64, 0, 8) };
	struct kt_job receivers[2], canceller;
	uint64_t sent = 0, until, number;
	long ret;

	ASSERT_LE(0, crowd.fd);
	for (int i = 0; i < 2; i++)
		kt_start_fn(&receivers[i], receives_in_rings, &crowd);
	kt_start_fn(&canceller, cancels_all_the_time, &crowd);
	for (until = kt_in(3000); kt_now() < until;) {
		ret = kt_post(crowd.fd, &sent, sizeof(sent), 0);
		ASSERT_TRUE(ret == 0 || ret == -EAGAIN);
		sent += ret == 0;
		if (sent % 7 == 0)
			kt_pause();
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&receivers[i]));
		EXPECT_EQ(0, receivers[i].ret);
	}
	ASSERT_TRUE(kt_join(&canceller));
	TH_LOG("%llu sent, %llu received, %llu cancelled, %llu timed out", (unsigned long long)sent,
	       (unsigned long long)crowd.received, (unsigned long long)crowd.cancelled,
	       (unsigned long long)crowd.timed_out);
	EXPECT_LT(0, crowd.received);
	while (kt_take(crowd.fd, NULL, &number, sizeof(number)) == 8)
		crowd.received++;
	EXPECT_EQ(sent, crowd.received);
	EXPECT_EQ(0, kt_stat(crowd.fd).waiting_receivers);
	close(crowd.fd);
}

/* the user data say which operation it is, and for how many messages */
static long sends_in_rings(void *arg)
{
	enum { SENDS, BATCHES, SUBMITS, COLLECTS, KINDS, EACH = 4 * KINDS };
	struct crowd *crowd = arg;
	struct kpost_send send[EACH], entries[3];
	struct kpost_batch batch[EACH];
	struct kpost_call_submit submit[EACH];
	struct kpost_call_collect collect[EACH];
	char buf[EACH][8], payload[8] = "payload";
	struct uring_result result;
	unsigned int round = 0;
	struct io_uring ring;

	for (int i = 0; i < 3; i++)
		entries[i] = kt_send_args(payload, 8, 0, 0, 0);
	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		if (init_many(&ring, EACH, ring_kinds[round++ % ARRAY_SIZE(ring_kinds)]))
			return -1;
		for (unsigned int i = 0; i < EACH; i++) {
			uint64_t deadline = i % 3 ? kt_in(i) : 0, cookie = i % 5;

			switch (i % KINDS) {
			case SENDS:
				send[i] = kt_send_args(payload, 8, 0, KPOST_WANT_SEQUENCE,
						       deadline);
				send[i].cookie = cookie;
				uring_op(&ring, crowd->fd, KPOST_IOC_SEND, &send[i], SENDS);
				break;
			case BATCHES:
				batch[i] = (struct kpost_batch){
					.count = 3, .entries = (uintptr_t)entries,
					.entry_size = sizeof(entries[0]),
					.deadline = deadline, .cookie = cookie,
				};
				uring_op(&ring, crowd->fd, KPOST_IOC_SENDV, &batch[i], BATCHES);
				break;
			case SUBMITS:
				submit[i] = kt_submit_args(payload, 8, 8, i, 0, deadline);
				submit[i].cookie = cookie;
				uring_op(&ring, crowd->fd, KPOST_IOC_CALL_SUBMIT, &submit[i],
					 SUBMITS);
				break;
			case COLLECTS:
				collect[i] = kt_collect_args(buf[i], 8, 0, 0, deadline);
				collect[i].cookie = cookie;
				uring_op(&ring, crowd->fd, KPOST_IOC_CALL_COLLECT, &collect[i],
					 COLLECTS);
				break;
			}
		}
		if (io_uring_submit(&ring) != EACH)
			return -2;
		for (unsigned int left = EACH; left; left--) {
			while (uring_wait_for(&ring, &result, 0.02) == URING_NONE)
				cancel(crowd->fd, 0);
			if (!ended(crowd, result.res))
				return result.res;
			if (result.res < 0)
				continue;
			if (result.data == SENDS)
				add(&crowd->sent, 1);
			else if (result.data == BATCHES)
				add(&crowd->sent, result.res);
			else if (result.data == SUBMITS)
				add(&crowd->submitted, 1);
			else
				add(&crowd->collected, 1);
		}
		io_uring_queue_exit(&ring);
	}
	return 0;
}

static long receives_and_replies(void *arg)
{
	struct crowd *crowd = arg;
	struct kpost_recv recv;
	char buf[8];
	long ret;

	for (;;) {
		ret = kt_recv(crowd->fd, &recv, buf, sizeof(buf), 0, kt_in(20));
		if (ret == -ETIMEDOUT && __atomic_load_n(&crowd->ended, __ATOMIC_ACQUIRE))
			return 0;
		if (ret == -ETIMEDOUT)
			continue;
		if (ret != 8)
			return ret;
		add(recv.token ? &crowd->answered : &crowd->received, 1);
		if (recv.token && kt_reply(crowd->fd, recv.token, buf, 8))
			return -3;
	}
}

TEST(park_of_sends_and_calls_all_at_once_loses_none)
{
	struct crowd crowd = { .fd = kt_mailbox(4, 0, 8) };
	struct kt_job senders[2], canceller, receiver;
	struct kpost_stat now;
	uint64_t until;
	char buf[8];

	ASSERT_LE(0, crowd.fd);
	for (int i = 0; i < 2; i++)
		kt_start_fn(&senders[i], sends_in_rings, &crowd);
	kt_start_fn(&canceller, cancels_all_the_time, &crowd);
	kt_start_fn(&receiver, receives_and_replies, &crowd);
	for (until = kt_in(3000); kt_now() < until;)
		kt_pause();
	/* how much there is of each depends on the machine; that there is some does not */
	EXPECT_TRUE(kt_until(__atomic_load_n(&crowd.sent, __ATOMIC_RELAXED) &&
			     __atomic_load_n(&crowd.collected, __ATOMIC_RELAXED) &&
			     __atomic_load_n(&crowd.cancelled, __ATOMIC_RELAXED)));
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
	}
	ASSERT_TRUE(kt_join(&canceller));
	/* Only now is nothing sent any more. */
	__atomic_store_n(&crowd.ended, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&receiver));
	EXPECT_EQ(0, receiver.ret);
	while (kt_collect(crowd.fd, NULL, buf, sizeof(buf), 0) == 8)
		crowd.collected++;
	TH_LOG("%llu sent, %llu calls, %llu cancelled, %llu timed out",
	       (unsigned long long)crowd.sent, (unsigned long long)crowd.submitted,
	       (unsigned long long)crowd.cancelled, (unsigned long long)crowd.timed_out);
	EXPECT_LT(0, crowd.sent);
	EXPECT_LT(0, crowd.collected);
	EXPECT_EQ(crowd.sent, crowd.received);
	EXPECT_EQ(crowd.submitted, crowd.answered);
	EXPECT_EQ(crowd.submitted, crowd.collected);
	now = kt_stat(crowd.fd);
	EXPECT_EQ(0, now.queued_messages);
	EXPECT_EQ(0, now.waiting_senders);
	EXPECT_EQ(0, now.open_calls);
	close(crowd.fd);
}

TEST_HARNESS_MAIN
