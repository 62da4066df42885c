// SPDX-License-Identifier: GPL-2.0-only
/*
 * A deadline that has passed: what means nothing without a wait, a call and a send that
 * waits for receipt, does not happen then, whatever the mailbox is like; all else does what
 * can be done at once.
 */
#include "child_test.h"
#include "uring_test.h"

FIXTURE(deadline) {
	int fd;			/* all rights, room for 2 messages */
	struct io_uring ring;
	char buf[16];
};

FIXTURE_SETUP(deadline)
{
	self->fd = kt_mailbox(2, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_init(&self->ring, 4, 0));
}

FIXTURE_TEARDOWN(deadline)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

/* of the kth kind; the last is just now */
static bool past(unsigned int k, uint64_t *deadline)
{
	const uint64_t deadlines[] = { 1, 2, kt_now() - 1000000000ull, kt_now() - 1, kt_now() };

	if (k >= ARRAY_SIZE(deadlines))
		return false;
	*deadline = deadlines[k];
	return true;
}

/* refused both ways, with nothing sent, nobody woken, and no line left or joined */
static void refuse(struct __test_metadata *_metadata, FIXTURE_DATA(deadline) *self)
{
	uint64_t deadline;

	for (unsigned int k = 0; past(k, &deadline); k++) {
		struct kpost_send send = kt_send_args("late", 4, 0, KPOST_SYNC, deadline);
		struct kpost_call call = kt_call_args("late", 4, self->buf, 16, deadline);

		EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_ioctl(self->fd, KPOST_IOC_CALL, &call));
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &send));
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       uring_do(&self->ring, self->fd, KPOST_IOC_CALL, &call));
		uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1)->flags |= IOSQE_ASYNC;
		EXPECT_REFUSED(ETIMEDOUT, self->fd, uring_run(&self->ring));
		uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
		EXPECT_REFUSED(ETIMEDOUT, self->fd, uring_run(&self->ring));
		send.priority = KPOST_PRIORITY_MAX;
		EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	}
}

TEST_F(deadline, deadline_that_has_passed_sends_nothing_where_there_is_room)
{
	refuse(_metadata, self);
	EXPECT_EQ(0, kt_stat(self->fd).sent);
	EXPECT_EQ(0, kt_stat(self->fd).dropped);
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, 16));
}

TEST_F(deadline, deadline_that_has_passed_sends_nothing_where_there_is_none)
{
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_EQ(0, kt_post(self->fd, "y", 1, 0));
	refuse(_metadata, self);
	EXPECT_EQ(2, kt_stat(self->fd).sent);
}

TEST_F(deadline, deadline_that_has_passed_sends_nothing_to_a_receiver_that_waits)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 16, 0, kt_soon());
	struct kt_job job;

	kt_start(&job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	refuse(_metadata, self);
	EXPECT_FALSE(kt_done(&job));
	EXPECT_EQ(0, kt_stat(self->fd).sent);
	ASSERT_EQ(0, kt_post(self->fd, "on", 2, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(2, job.ret);
}

/* what was wrong before is wrong still, and comes first */
TEST_F(deadline, deadline_that_has_passed_hides_no_other_error)
{
	struct kpost_send send = kt_send_args(kt_edge(PROT_NONE), 4, 0, KPOST_SYNC, 1);
	struct kpost_call call = kt_call_args("x", 1, kt_edge(PROT_NONE), 4, 1);
	int fds[2];

	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_CALL, &call));
	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	EXPECT_EQ(-EBADF, kt_send(fds[0], "x", 1, 0, KPOST_SYNC, 1));
	EXPECT_EQ(-EBADF, kt_call(fds[0], "x", 1, NULL, 0, 1));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(deadline, deadline_that_has_passed_does_not_forbid_what_needs_no_wait)
{
	uint64_t deadline;

	for (unsigned int k = 0; past(k, &deadline); k++) {
		struct kpost_send send = kt_send_args("now", 3, 0, 0, deadline);
		struct kpost_recv recv = kt_recv_args(self->buf, 16, 0, deadline);
		struct kpost_reply reply = { .token = 0 };

		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		ASSERT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &send));
		/* where it would have to wait it does not */
		EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &send));
		ASSERT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
		ASSERT_EQ(3, uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &recv));
		EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &recv));
		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		EXPECT_EQ(3, kt_reply_recv(self->fd, &reply, &recv));
		EXPECT_EQ(-ETIMEDOUT, kt_reply_recv(self->fd, &reply, &recv));
	}
}

/* and so does a receiver that waits already */
TEST_F(deadline, deadline_that_has_passed_does_not_forbid_a_plain_send_to_who_waits)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 16, 0, kt_soon());
	struct kt_job job;

	kt_start(&job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_send(self->fd, "now", 3, 0, 0, 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
}

/* one that has not passed is no hindrance, and none is none */
TEST_F(deadline, deadline_to_come_or_none_at_all_waits)
{
	const uint64_t deadlines[] = { 0, kt_soon(), INT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
		struct kpost_send send = kt_send_args("sync", 4, 0, KPOST_SYNC, deadlines[i]);
		struct kpost_call call = kt_call_args("call", 4, NULL, 0, deadlines[i]);
		struct kpost_recv recv;
		struct kt_job jobs[2];

		kt_start(&jobs[0], self->fd, KPOST_IOC_SEND, &send);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
		kt_start(&jobs[1], self->fd, KPOST_IOC_CALL, &call);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 2));
		ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, 16));
		ASSERT_EQ(4, kt_take(self->fd, &recv, self->buf, 16));
		ASSERT_EQ(0, kt_reply(self->fd, recv.token, NULL, 0));
		for (int j = 0; j < 2; j++) {
			ASSERT_TRUE(kt_join(&jobs[j]));
			EXPECT_EQ(0, jobs[j].ret);
		}
	}
}

/* ---- by another clock -------------------------------------------------------------------- */

struct elsewhere {
	int fd;
	uint64_t now_outside;
};

/* in a time namespace: the past is that of the clock there */
static int send_too_late(void *arg)
{
	const struct elsewhere *elsewhere = arg;
	uint64_t past[] = { 1, kt_now() - 1, kt_now() - 1000000000ull, elsewhere->now_outside };
	struct kpost_stat before = kt_stat(elsewhere->fd);
	/* where the clock is behind, the outside's now is to come, and no past */
	size_t count = ARRAY_SIZE(past) - (elsewhere->now_outside > kt_now());
	uint64_t soon;

	for (size_t i = 0; i < count; i++) {
		CHECK_EQ(-ETIMEDOUT, kt_send(elsewhere->fd, "x", 1, 0, KPOST_SYNC, past[i]));
		CHECK_EQ(-ETIMEDOUT, kt_call(elsewhere->fd, "x", 1, NULL, 0, past[i]));
		CHECK(kt_stat_same(before, kt_stat(elsewhere->fd)));
		CHECK_EQ(0, kt_send(elsewhere->fd, "x", 1, 0, 0, past[i]));
		CHECK_EQ(0, kt_take(elsewhere->fd, NULL, NULL, 0) + EMSGSIZE);
		CHECK_EQ(0, kt_recv(elsewhere->fd, NULL, NULL, 0, KPOST_TRUNCATE, past[i]));
		before = kt_stat(elsewhere->fd);
	}
	/* what is to come here has not passed, wherever else it would have */
	soon = kt_in(50);
	CHECK_EQ(-ETIMEDOUT, kt_send(elsewhere->fd, "x", 1, 0, KPOST_SYNC, soon));
	CHECK(kt_now() >= soon);
	CHECK_EQ(before.sent + 1, kt_stat(elsewhere->fd).sent);
	soon = kt_in(50);
	CHECK_EQ(-ETIMEDOUT, kt_call(elsewhere->fd, "x", 1, NULL, 0, soon));
	CHECK(kt_now() >= soon);
	CHECK_EQ(before.sent + 2, kt_stat(elsewhere->fd).sent);
	CHECK_EQ(before.dropped + 2, kt_stat(elsewhere->fd).dropped);
	return 0;
}

TEST_F(deadline, deadline_has_passed_by_the_clock_of_ones_time_namespace)
{
	static const char *const offsets[] = { "monotonic 864000 0", "monotonic -1 0" };

	if (geteuid())
		SKIP(return, "a time namespace of one's own needs root");
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		struct elsewhere elsewhere = { self->fd, kt_now() };

		if (unshare(CLONE_NEWTIME))
			SKIP(return, "no time namespace of one's own: %s", strerror(errno));
		ASSERT_EQ(0, child_write("/proc/self/timens_offsets", offsets[i]));
		/* it begins with the next child */
		EXPECT_EQ(0, child_finish(child_start(send_too_late, &elsewhere), 20))
			TH_LOG("%s", offsets[i]);
	}
}

TEST_HARNESS_MAIN
