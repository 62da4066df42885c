// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deadlines and signals end a wait when they should, and only then; a waiter that
 * leaves takes nobody's turn with it.
 */
#include <sys/time.h>
#include "child_test.h"

FIXTURE(wait) {
	int fd;			/* room for one message */
	struct kpost_send send;
	struct kpost_recv recv;
	char c;
};

FIXTURE_SETUP(wait)
{
	self->fd = kt_mailbox(1, 0, 16);
	ASSERT_LE(0, self->fd);
	self->send = kt_send_args("w", 1, 0, 0, kt_soon());
	self->recv = kt_recv_args(&self->c, 1, 0, kt_soon());
}

FIXTURE_TEARDOWN(wait)
{
	close(self->fd);
}

static const uint64_t past[] = { 1, 1000000000ull };

TEST_F(wait, wait_with_a_deadline_in_the_past_does_not_wait)
{
	struct kpost_stat empty = kt_stat(self->fd);

	for (size_t i = 0; i < ARRAY_SIZE(past); i++) {
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       kt_recv(self->fd, &self->recv, &self->c, 1, 0, past[i]));
		EXPECT_TRUE(kt_poisoned(&self->recv.size,
					sizeof(self->recv) - offsetof(struct kpost_recv, size)));
	}
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	for (size_t i = 0; i < ARRAY_SIZE(past); i++) {
		EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_send(self->fd, "y", 1, 0, 0, past[i]));
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       kt_send(self->fd, "y", 1, 0, KPOST_SYNC, past[i]));
		EXPECT_REFUSED(ETIMEDOUT, self->fd,
			       kt_call(self->fd, "y", 1, &self->c, 1, past[i]));
	}
	EXPECT_EQ(empty.sent + 1, kt_stat(self->fd).sent);
}

TEST_F(wait, wait_not_needed_does_not_look_at_the_deadline)
{
	ASSERT_EQ(0, kt_send(self->fd, "x", 1, 0, 0, 1));
	ASSERT_EQ(1, kt_recv(self->fd, NULL, &self->c, 1, 0, 1));
}

TEST_F(wait, wait_ends_at_the_deadline_and_not_before)
{
	uint64_t deadline, end;

	for (int i = 0; i < 5; i++) {
		deadline = kt_now() + (10 + 7 * i) * KT_MS;
		EXPECT_EQ(-ETIMEDOUT, kt_recv(self->fd, NULL, &self->c, 1, 0, deadline));
		end = kt_now();
		EXPECT_LE(deadline, end);
		EXPECT_LT(end - deadline, 1000 * KT_MS);
	}
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	for (int i = 0; i < 5; i++) {
		deadline = kt_now() + (10 + 7 * i) * KT_MS;
		EXPECT_EQ(-ETIMEDOUT, kt_send(self->fd, "y", 1, 0, 0, deadline));
		end = kt_now();
		EXPECT_LE(deadline, end);
		EXPECT_LT(end - deadline, 1000 * KT_MS);
	}
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
}

TEST_F(wait, wait_with_a_deadline_far_away_waits)
{
	static const uint64_t far[] = { 0, INT64_MAX, INT64_MAX - 1, 1ull << 62 };
	struct kt_job job;

	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		self->recv.deadline = far[i];
		kt_start(&job, self->fd, KPOST_IOC_RECV, &self->recv);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(1, job.ret);
	}
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		self->send.deadline = far[i];
		kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
		ASSERT_EQ(1, kt_take(self->fd, NULL, &self->c, 1));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(0, job.ret);
		ASSERT_EQ(1, kt_take(self->fd, NULL, &self->c, 1));
	}
}

/* where CLOCK_MONOTONIC is another than the machine's */
static int wait_until_past_the_deadline(void *arg)
{
	struct kpost_open open = kt_open_args("nobody's", KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
	int fd = *(int *)arg;
	uint64_t deadline = kt_in(50);
	char c;

	CHECK_EQ(-ETIMEDOUT, kt_recv(fd, NULL, &c, 1, 0, deadline));
	CHECK(kt_now() >= deadline);
	CHECK_EQ(-ETIMEDOUT, kt_recv(fd, NULL, &c, 1, 0, 1));
	open.deadline = kt_in(50);
	CHECK_EQ(-ETIMEDOUT, kt_do_open(&open));
	CHECK(kt_now() >= open.deadline);
	return 0;
}

TEST_F(wait, wait_until_a_deadline_by_the_clock_of_ones_time_namespace)
{
	static const char *const offsets[] = { "monotonic 864000 0", "monotonic -1 0" };

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		if (unshare(CLONE_NEWTIME))
			SKIP(return, "no time namespace of one's own: %s", strerror(errno));
		ASSERT_EQ(0, child_write("/proc/self/timens_offsets", offsets[i]));
		/* it begins with the next child */
		EXPECT_EQ(0, child_finish(child_start(wait_until_past_the_deadline, &self->fd), 20))
			TH_LOG("%s", offsets[i]);
	}
}

TEST_F(wait, wait_with_a_deadline_past_the_end_of_time_is_einval)
{
	static const uint64_t bad[] = { 1ull << 63, UINT64_MAX };
	struct kpost_open open = kt_open_args("kt.never", KPOST_RIGHT_RECV, KPOST_OPEN_WAIT);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_REFUSED(EINVAL, self->fd, kt_recv(self->fd, NULL, &self->c, 1, 0, bad[i]));
		EXPECT_REFUSED(EINVAL, self->fd, kt_send(self->fd, "x", 1, 0, 0, bad[i]));
		EXPECT_REFUSED(EINVAL, self->fd, kt_call(self->fd, "x", 1, NULL, 0, bad[i]));
		open.deadline = bad[i];
		EXPECT_EQ(-EINVAL, kt_do_open(&open));
	}
}

TEST_F(wait, wait_never_where_the_flag_or_the_file_says_so)
{
	int flags = fcntl(self->fd, F_GETFL);

	EXPECT_REFUSED(EAGAIN, self->fd,
		       kt_recv(self->fd, NULL, &self->c, 1, KPOST_DONTWAIT, kt_soon()));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, flags | O_NONBLOCK));
	EXPECT_REFUSED(EAGAIN, self->fd, kt_recv(self->fd, NULL, &self->c, 1, 0, kt_soon()));
	EXPECT_REFUSED(EAGAIN, self->fd, kt_recv(self->fd, NULL, &self->c, 1, 0, 0));
	EXPECT_REFUSED(EAGAIN, self->fd, kt_send(self->fd, "x", 1, 0, KPOST_SYNC, kt_soon()));
	ASSERT_EQ(0, kt_send(self->fd, "x", 1, 0, 0, 0));
	EXPECT_REFUSED(EAGAIN, self->fd, kt_send(self->fd, "x", 1, 0, 0, kt_soon()));
	EXPECT_REFUSED(EAGAIN, self->fd, kt_send(self->fd, "x", 1, 0, 0, 0));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, flags));
	EXPECT_REFUSED(EAGAIN, self->fd,
		       kt_send(self->fd, "x", 1, 0, KPOST_DONTWAIT, kt_soon()));
	EXPECT_REFUSED(ETIMEDOUT, self->fd, kt_send(self->fd, "x", 1, 0, 0, kt_in(10)));
}

TEST_F(wait, wait_is_interrupted_by_a_signal)
{
	struct kt_job job;

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	kt_start(&job, self->fd, KPOST_IOC_RECV, &self->recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EINTR, job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);

	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EINTR, job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(2, kt_signals);
}

TEST_F(wait, wait_is_restarted_after_a_signal_that_asks_for_it)
{
	struct kt_job job;

	ASSERT_EQ(0, kt_handle(SIGUSR1, SA_RESTART));
	kt_start(&job, self->fd, KPOST_IOC_RECV, &self->recv);
	for (int i = 1; i <= 5; i++) {
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals == i));
	}
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(1, job.ret);

	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
	for (int i = 6; i <= 10; i++) {
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
		ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals == i));
	}
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(1, kt_take(self->fd, NULL, &self->c, 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(3, kt_stat(self->fd).sent);
}

/* each restart waits for what is left, not for all of it again */
TEST_F(wait, wait_restarted_keeps_its_deadline)
{
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } };
	uint64_t deadline, end;

	ASSERT_EQ(0, kt_handle(SIGALRM, SA_RESTART));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	deadline = kt_in(250);
	EXPECT_EQ(-ETIMEDOUT, kt_recv(self->fd, NULL, &self->c, 1, 0, deadline));
	end = kt_now();
	memset(&often, 0, sizeof(often));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	EXPECT_LT(2, kt_signals);
	EXPECT_LE(deadline, end);
	EXPECT_LT(end - deadline, 1000 * KT_MS);
}

TEST_F(wait, wait_of_read_and_write_follows_signals_too)
{
	ASSERT_EQ(0, kt_handle(SIGALRM, 0));
	struct itimerval once = { { 0, 50000 }, { 0, 50000 } };

	ASSERT_EQ(0, setitimer(ITIMER_REAL, &once, NULL));
	EXPECT_EQ(-1, read(self->fd, &self->c, 1));
	EXPECT_EQ(EINTR, errno);
	ASSERT_EQ(1, write(self->fd, "x", 1));
	EXPECT_EQ(-1, write(self->fd, "y", 1));
	EXPECT_EQ(EINTR, errno);
	memset(&once, 0, sizeof(once));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &once, NULL));
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(1, read(self->fd, &self->c, 1));
	EXPECT_EQ('x', self->c);
}

TEST_F(wait, wait_for_receipt_ends_when_the_message_was_received)
{
	struct kt_job job;

	self->send.flags = KPOST_SYNC;
	kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	EXPECT_TRUE(kt_until(kt_asleep(job.tid)));
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(1, kt_take(self->fd, &self->recv, &self->c, 1));
	EXPECT_EQ(KPOST_MESSAGE_SYNC, self->recv.message_flags);
	EXPECT_EQ(0, self->recv.token);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);

	/* a receiver that waits already has it at once */
	self->recv = kt_recv_args(&self->c, 1, 0, kt_soon());
	kt_start(&job, self->fd, KPOST_IOC_RECV, &self->recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	EXPECT_EQ(0, kt_send(self->fd, "w", 1, 0, KPOST_SYNC, kt_soon()));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(1, job.ret);
}

TEST_F(wait, wait_for_receipt_is_not_satisfied_by_a_receiver_that_faults)
{
	char *unmapped = kt_edge(PROT_NONE);
	struct kt_job job;

	self->send.flags = KPOST_SYNC;
	kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, unmapped, 1));
	EXPECT_EQ(-EMSGSIZE, kt_take(self->fd, NULL, NULL, 0));
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(1, kt_take(self->fd, NULL, &self->c, 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_F(wait, wait_for_receipt_that_ends_early_withdraws_the_message)
{
	struct kt_job job;

	EXPECT_EQ(-ETIMEDOUT, kt_send(self->fd, "x", 1, 0, KPOST_SYNC, kt_in(20)));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(1, kt_stat(self->fd).dropped);

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	self->send.flags = KPOST_SYNC;
	kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EINTR, job.ret);
	EXPECT_EQ(2, kt_stat(self->fd).dropped);
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, &self->c, 1));
	/* the room is back as well */
	EXPECT_EQ(0, kt_post(self->fd, "x", 1, 0));
}

TEST_F(wait, wait_for_receipt_restarted_sends_once)
{
	struct kt_job job;

	ASSERT_EQ(0, kt_handle(SIGUSR1, SA_RESTART));
	self->send.flags = KPOST_SYNC;
	kt_start(&job, self->fd, KPOST_IOC_SEND, &self->send);
	for (int i = 1; i <= 5; i++) {
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
		ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals == i));
	}
	ASSERT_EQ(1, kt_recv(self->fd, NULL, &self->c, 1, 0, kt_soon()));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, &self->c, 1));
	EXPECT_EQ(1, kt_stat(self->fd).received);
}

TEST_F(wait, wait_for_receipt_by_dontwait_is_einval)
{
	EXPECT_REFUSED(EINVAL, self->fd,
		       kt_send(self->fd, "x", 1, 0, KPOST_SYNC | KPOST_DONTWAIT, 0));
}

/* the first in line needs more than there is; once it leaves, the next fits */
TEST_F(wait, wait_behind_a_large_message_ends_when_its_sender_leaves)
{
	char buf[100] = "";
	int fd = kt_mailbox(10, 100, 100);
	struct kpost_send large = kt_send_args(buf, 100, 0, 0, kt_later());
	struct kpost_send small = kt_send_args(buf, 10, 0, 0, kt_soon());
	struct kt_job first, second;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, buf, 50, 0));
	kt_start(&first, fd, KPOST_IOC_SEND, &large);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
	kt_start(&second, fd, KPOST_IOC_SEND, &small);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 2));
	ASSERT_TRUE(kt_join(&first));
	EXPECT_EQ(-ETIMEDOUT, first.ret);
	ASSERT_TRUE(kt_join(&second));
	EXPECT_EQ(0, second.ret);
	EXPECT_EQ(60, kt_stat(fd).queued_bytes);

	/* the same where a signal takes the first away */
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	large.deadline = kt_soon();
	kt_start(&first, fd, KPOST_IOC_SEND, &large);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
	kt_start(&second, fd, KPOST_IOC_SEND, &small);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 2));
	ASSERT_EQ(0, kt_signal(&first, SIGUSR1));
	ASSERT_TRUE(kt_join(&first));
	EXPECT_EQ(-EINTR, first.ret);
	ASSERT_TRUE(kt_join(&second));
	EXPECT_EQ(0, second.ret);
}

TEST_HARNESS_MAIN
