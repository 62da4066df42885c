// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages that are held: no message is lost with who works on it, and none is done with before
 * that is said.
 */
#include "account_test.h"
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { FULL = 8, SIZE = 16 };

FIXTURE(hold) {
	int fd; /* SEND, RECV and ADMIN */
	int other; /* another endpoint, to receive */
	struct kpost_recv recv;
	char buf[64];
};

FIXTURE_SETUP(hold)
{
	self->fd = kt_mailbox(FULL, FULL * SIZE, FULL * SIZE);
	ASSERT_LE(0, self->fd);
	self->other = kt_grant(self->fd, KPOST_RIGHT_RECV);
	ASSERT_LE(0, self->other);
}

FIXTURE_TEARDOWN(hold)
{
	close(self->fd);
	close(self->other);
}

static long hold_until(int fd, struct kpost_recv *recv, unsigned int flags, uint64_t until)
{
	static char buf[64];

	*recv = kt_recv_args(buf, sizeof(buf), KPOST_HOLD | flags, kt_soon());
	recv->hold_until = until;
	return kt_ioctl(fd, KPOST_IOC_RECV, recv);
}

/* hold what is there */
static long hold(int fd, struct kpost_recv *recv)
{
	return hold_until(fd, recv, KPOST_DONTWAIT, 0);
}

static long end(int fd, unsigned int flags, uint64_t token, uint64_t not_before)
{
	struct kpost_reply reply = { .flags = flags, .token = token, .not_before = not_before };

	return kt_ioctl(fd, KPOST_IOC_REPLY, &reply);
}

static long done(int fd, uint64_t token)
{
	return end(fd, KPOST_DONE, token, 0);
}

static long give_back(int fd, uint64_t token)
{
	return end(fd, KPOST_RETURN, token, 0);
}

static long end_many(int fd, unsigned int flags, const void *tokens, uint64_t count)
{
	struct kpost_reply reply = {
		.flags = flags | KPOST_TOKENS,
		.buf = (uintptr_t)tokens,
		.len = count,
	};

	return kt_ioctl(fd, KPOST_IOC_REPLY, &reply);
}

static bool past(uint64_t time)
{
	return kt_until(kt_now() > time);
}

/* the next message is that one, and was held so often before */
static bool next_is(int fd, const char *text, uint64_t sequence, uint64_t attempts)
{
	struct kpost_recv recv;
	char buf[64];
	long ret = kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon());

	if (ret == (long)strlen(text) && !memcmp(buf, text, (size_t)ret) &&
	    recv.sequence == sequence && recv.attempts == attempts)
		return true;
	fprintf(stderr, "# got %ld '%.*s', number %llu, attempts %llu\n", ret,
		ret > 0 ? (int)ret : 0, buf, (unsigned long long)recv.sequence,
		(unsigned long long)recv.attempts);
	return false;
}

/* ---- what is held ---------------------------------------------------------------------- */

TEST_F(hold, hold_is_received_only_when_it_is_done)
{
	struct kpost_stat st;

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 5));
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	EXPECT_EQ(KPOST_MESSAGE_HELD, self->recv.message_flags);
	EXPECT_NE(0, self->recv.token);
	EXPECT_EQ(0, self->recv.attempts);
	EXPECT_EQ(0, self->recv.reply_max);
	st = kt_stat(self->fd);
	EXPECT_EQ(1, st.held);
	EXPECT_EQ(1, st.queued_messages);
	EXPECT_EQ(3, st.queued_bytes);
	EXPECT_EQ(0, st.received);
	EXPECT_EQ(0, st.last_received);
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(-EAGAIN, kt_recv(self->fd, NULL, self->buf, sizeof(self->buf), KPOST_PEEK, 0));
	EXPECT_EQ(0, done(self->fd, self->recv.token));
	st = kt_stat(self->fd);
	EXPECT_EQ(0, st.held);
	EXPECT_EQ(0, st.queued_messages);
	EXPECT_EQ(0, st.queued_bytes);
	EXPECT_EQ(1, st.received);
	EXPECT_NE(0, st.last_received);
	EXPECT_EQ(0, st.dropped);
}

TEST_F(hold, hold_keeps_its_room_and_lets_in_when_done)
{
	struct kpost_send send = kt_send_args("waits", 5, 0, 0, kt_soon());
	struct kt_job job;

	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_EQ(1, hold(self->fd, &self->recv));
	EXPECT_EQ(-EAGAIN, kt_post(self->fd, "x", 1, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_FALSE(kt_done(&job));
	EXPECT_EQ(0, done(self->fd, self->recv.token));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_F(hold, hold_goes_back_to_its_place)
{
	struct kpost_recv second;

	ASSERT_EQ(0, kt_post(self->fd, "low", 3, 1));
	ASSERT_EQ(0, kt_post(self->fd, "a", 1, 5));
	ASSERT_EQ(0, kt_post(self->fd, "b", 1, 5));
	ASSERT_EQ(0, kt_post(self->fd, "c", 1, 5));
	ASSERT_EQ(1, hold(self->fd, &self->recv));
	ASSERT_EQ(1, hold(self->fd, &second));
	EXPECT_EQ(2, self->recv.sequence);
	EXPECT_EQ(3, second.sequence);
	/* in the wrong order, and one comes in between */
	ASSERT_EQ(0, give_back(self->fd, second.token));
	ASSERT_EQ(0, kt_post(self->fd, "d", 1, 5));
	ASSERT_EQ(0, give_back(self->fd, self->recv.token));
	EXPECT_TRUE(next_is(self->fd, "a", 2, 1));
	EXPECT_TRUE(next_is(self->fd, "b", 3, 1));
	EXPECT_TRUE(next_is(self->fd, "c", 4, 0));
	EXPECT_TRUE(next_is(self->fd, "d", 5, 0));
	EXPECT_TRUE(next_is(self->fd, "low", 1, 0));
}

TEST_F(hold, hold_goes_back_to_who_waits)
{
	struct kpost_recv recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	for (uint64_t attempts = 1; attempts < 5; attempts++) {
		ASSERT_EQ(3, hold(self->fd, &self->recv));
		kt_start(&job, self->other, KPOST_IOC_RECV, &recv);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		ASSERT_EQ(0, give_back(self->fd, self->recv.token));
		ASSERT_TRUE(kt_join(&job));
		ASSERT_EQ(3, job.ret);
		EXPECT_EQ(2 * attempts - 1, recv.attempts);
		EXPECT_EQ(1, recv.sequence);
		EXPECT_NE(self->recv.token, recv.token);
		EXPECT_EQ(-ENOENT, done(self->fd, recv.token));
		EXPECT_EQ(-ENOENT, done(self->other, self->recv.token));
		ASSERT_EQ(0, give_back(self->other, recv.token));
		recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD, kt_soon());
	}
}

TEST_F(hold, hold_token_works_once_and_here_only)
{
	struct kpost_reply reply = { .token = 0, .buf = (uintptr_t)"x", .len = 1 };

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	reply.token = self->recv.token;
	EXPECT_REFUSED(ENOENT, self->fd, done(self->other, self->recv.token));
	EXPECT_REFUSED(ENOENT, self->fd, done(self->fd, self->recv.token + 1));
	EXPECT_REFUSED(ENOENT, self->fd, done(self->fd, 0));
	/* it is no call */
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_REPLY, &reply));
	EXPECT_REFUSED(EINVAL, self->fd, kt_drop(self->fd, self->recv.token));
	ASSERT_EQ(0, done(self->fd, self->recv.token));
	EXPECT_REFUSED(ENOENT, self->fd, done(self->fd, self->recv.token));
	EXPECT_REFUSED(ENOENT, self->fd, give_back(self->fd, self->recv.token));
}

TEST_F(hold, hold_refuses_what_means_nothing)
{
	struct kpost_reply bad[] = {
		{ .flags = KPOST_DONE | KPOST_RETURN },
		{ .flags = KPOST_DONE | KPOST_DROP },
		{ .flags = KPOST_RETURN | KPOST_IOVEC },
		{ .flags = KPOST_DONE | KPOST_HOLD },
		{ .flags = KPOST_TOKENS },
		{ .flags = KPOST_DONE, .reserved = 1 },
		{ .flags = KPOST_DONE, .tag = 1 },
		{ .flags = KPOST_DONE, .buf = 1 },
		{ .flags = KPOST_DONE, .len = 1 },
		{ .flags = KPOST_DONE, .not_before = 1 },
		{ .flags = KPOST_RETURN, .not_before = 1ull << 63 },
		{ .not_before = 1 },
	};

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	EXPECT_REFUSED(EINVAL, self->fd, hold_until(self->fd, &self->recv, KPOST_PEEK, 0));
	EXPECT_REFUSED(EINVAL, self->fd, hold_until(self->fd, &self->recv, 0, 1ull << 63));
	EXPECT_REFUSED(ETIMEDOUT, self->fd, hold_until(self->fd, &self->recv, 0, 1));
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bad[i].token = self->recv.token;
		TH_LOG("case %zu", i);
		EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_REPLY, &bad[i]));
	}
	EXPECT_REFUSED(EINVAL, self->fd, end_many(self->fd, KPOST_DONE, &self->recv.token, 0));
	EXPECT_REFUSED(EINVAL, self->fd,
		       end_many(self->fd, KPOST_DONE, &self->recv.token, KPOST_BATCH_MAX + 1));
	EXPECT_REFUSED(EFAULT, self->fd,
		       end_many(self->fd, KPOST_DONE, (void *)KT_KERNEL_ADDRESS, 1));
	EXPECT_REFUSED(EFAULT, self->fd, end_many(self->fd, KPOST_DONE, (void *)8, 1));
	EXPECT_EQ(0, done(self->fd, self->recv.token));
}

/* a copy that fails holds nothing */
TEST_F(hold, hold_that_faults_loses_nothing)
{
	char *edge = kt_edge(PROT_NONE);
	struct kpost_recv recv = kt_recv_args(edge - 2, 3, KPOST_HOLD | KPOST_DONTWAIT, 0);

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, kt_stat(self->fd).held);
	recv = kt_recv_args(self->buf, 2, KPOST_HOLD | KPOST_DONTWAIT, 0);
	EXPECT_EQ(-EMSGSIZE, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(3, recv.size);
	/* what was cut off is whole again when it comes back */
	recv = kt_recv_args(self->buf, 2, KPOST_HOLD | KPOST_TRUNCATE, kt_soon());
	EXPECT_EQ(2, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(KPOST_MESSAGE_HELD | KPOST_MESSAGE_TRUNCATED, recv.message_flags);
	EXPECT_EQ(0, give_back(self->fd, recv.token));
	EXPECT_TRUE(next_is(self->fd, "job", 1, 1));
}

/* ---- who holds it ends ----------------------------------------------------------------- */

struct at_work {
	int fd;
	uint64_t *token; /* shared */
};

static int works(void *arg)
{
	struct at_work *at = arg;
	struct kpost_recv recv;

	CHECK_EQ(3, hold_until(at->fd, &recv, 0, 0));
	__atomic_store_n(at->token, recv.token, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* though this process has the endpoint, too */
TEST_F(hold, hold_goes_back_when_its_process_is_killed)
{
	struct at_work at = { self->fd, kt_shared(sizeof(uint64_t)) };
	uint64_t start;
	pid_t pid;

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	for (uint64_t attempts = 1; attempts <= 5; attempts++) {
		__atomic_store_n(at.token, 0, __ATOMIC_RELEASE);
		pid = child_start(works, &at);
		ASSERT_TRUE(kt_until(__atomic_load_n(at.token, __ATOMIC_ACQUIRE)));
		ASSERT_EQ(1, kt_stat(self->fd).held);
		ASSERT_LE(0, kt_kill(pid));
		start = kt_now();
		ASSERT_TRUE(kt_until(!kt_stat(self->fd).held));
		EXPECT_GT(start + 10 * KT_LATER * KT_MS, kt_now());
		EXPECT_EQ(-ENOENT, done(self->fd, *at.token));
	}
	EXPECT_TRUE(next_is(self->fd, "job", 1, 5));
}

TEST_F(hold, hold_goes_back_when_its_endpoint_is_closed)
{
	ASSERT_EQ(0, kt_post(self->fd, "a", 1, 0));
	ASSERT_EQ(0, kt_post(self->fd, "b", 1, 0));
	ASSERT_EQ(1, hold(self->other, &self->recv));
	ASSERT_EQ(1, hold(self->other, &self->recv));
	ASSERT_EQ(0, close(self->other));
	EXPECT_TRUE(next_is(self->fd, "a", 1, 1));
	EXPECT_TRUE(next_is(self->fd, "b", 2, 1));
}

TEST_F(hold, hold_waits_for_the_next_receiver_of_a_persistent_mailbox)
{
	struct kpost_open open;
	char name[KT_NAME_SIZE];
	int fd;

	open = kt_open_args(kt_name(name), KPOST_RIGHT_SEND | KPOST_RIGHT_RECV,
			    KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "render 17", 9, 0));
	ASSERT_EQ(9, hold(fd, &self->recv));
	ASSERT_EQ(0, close(fd));
	fd = kt_open(name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(next_is(fd, "render 17", 1, 1));
	EXPECT_EQ(0, kt_unlink(name));
	close(fd);
}

static long holds_and_ends(void *arg)
{
	struct at_work *at = arg;
	struct kpost_recv recv;

	if (hold_until(at->fd, &recv, 0, 0) != 3)
		return -EIO;
	*at->token = recv.token;
	return 0;
}

/* it is the process's */
TEST_F(hold, hold_outlives_the_thread_that_received)
{
	uint64_t token = 0;
	struct at_work at = { self->fd, &token };
	struct kt_job job;

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	kt_start_fn(&job, holds_and_ends, &at);
	ASSERT_TRUE(kt_join(&job));
	ASSERT_EQ(0, job.ret);
	EXPECT_EQ(1, kt_stat(self->fd).held);
	EXPECT_EQ(0, done(self->fd, token));
}

/* ---- for a while only ------------------------------------------------------------------- */

TEST_F(hold, hold_until_a_time_goes_back_by_itself)
{
	uint64_t until = kt_later();

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	ASSERT_EQ(3, hold_until(self->fd, &self->recv, KPOST_DONTWAIT, until));
	EXPECT_TRUE(next_is(self->fd, "job", 1, 1));
	EXPECT_LE(until, kt_now());
	EXPECT_EQ(-ENOENT, done(self->fd, self->recv.token));
	EXPECT_EQ(0, kt_stat(self->fd).held);
}

TEST_F(hold, hold_until_a_time_that_passes_while_it_waits_begins_no_more)
{
	struct kpost_recv recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD, kt_soon());
	struct kt_job job;

	recv.hold_until = kt_later();
	kt_start(&job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_TRUE(past(recv.hold_until));
	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ETIMEDOUT, job.ret);
	EXPECT_TRUE(next_is(self->fd, "job", 1, 0));
}

TEST_F(hold, hold_until_many_times_goes_back_in_their_order)
{
	struct kpost_recv late, soon, never;

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_EQ(1, hold_until(self->fd, &late, 0, kt_in(2 * KT_LATER)));
	ASSERT_EQ(1, hold_until(self->fd, &soon, 0, kt_later()));
	ASSERT_EQ(1, hold_until(self->fd, &never, 0, 0));
	EXPECT_TRUE(next_is(self->fd, "x", 2, 1));
	EXPECT_TRUE(next_is(self->fd, "x", 1, 1));
	EXPECT_EQ(-ENOENT, done(self->fd, late.token));
	EXPECT_EQ(0, done(self->fd, never.token));
}

/* either it is done with, or somebody else gets it */
TEST_F(hold, hold_that_is_done_at_its_last_moment_is_done_once)
{
	unsigned int done_with = 0, back = 0;

	for (int i = 0; i < 200; i++) {
		uint64_t until = kt_now() + KT_MS;
		long ret;

		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		ret = hold_until(self->fd, &self->recv, 0, until);
		if (ret == -ETIMEDOUT) {
			ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
			continue;
		}
		ASSERT_EQ(1, ret);
		while (kt_now() + (uint64_t)(i % 8) * 20000 < until)
			;
		ret = done(self->fd, self->recv.token);
		if (ret) {
			ASSERT_EQ(-ENOENT, ret);
			ASSERT_TRUE(next_is(self->fd, "x", self->recv.sequence, 1));
			back++;
		} else {
			done_with++;
		}
		ASSERT_EQ(0, kt_stat(self->fd).queued_messages);
	}
	TH_LOG("%u done with, %u went back", done_with, back);
}

TEST_F(hold, hold_returned_for_later_is_not_given_before)
{
	uint64_t later = kt_later();

	ASSERT_EQ(0, kt_post(self->fd, "first", 5, 9));
	ASSERT_EQ(0, kt_post(self->fd, "second", 6, 0));
	ASSERT_EQ(5, hold(self->fd, &self->recv));
	ASSERT_EQ(0, end(self->fd, KPOST_RETURN, self->recv.token, later));
	EXPECT_EQ(-ENOENT, done(self->fd, self->recv.token));
	EXPECT_EQ(1, kt_stat(self->fd).held);
	/* who is behind it does not wait for it */
	EXPECT_TRUE(next_is(self->fd, "second", 2, 0));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	EXPECT_TRUE(next_is(self->fd, "first", 1, 1));
	EXPECT_LE(later, kt_now());
	EXPECT_EQ(0, kt_stat(self->fd).held);
	/* a time that has passed is at once */
	ASSERT_EQ(0, kt_post(self->fd, "third", 5, 0));
	ASSERT_EQ(5, hold(self->fd, &self->recv));
	ASSERT_EQ(0, end(self->fd, KPOST_RETURN, self->recv.token, 1));
	EXPECT_EQ(5, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
}

/* with the mailbox, though nobody has it */
TEST_F(hold, hold_returned_for_later_is_dropped_at_the_end)
{
	struct kpost_send send = kt_send_args("job", 3, 0, KPOST_SYNC, kt_soon());
	struct kt_job job;
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, FULL, 0));
	kt_start(&job, fds[1], KPOST_IOC_SEND, &send);
	ASSERT_EQ(3, hold_until(fds[0], &self->recv, 0, 0));
	ASSERT_EQ(0, end(fds[0], KPOST_RETURN, self->recv.token, kt_in(10 * KT_SOON)));
	EXPECT_FALSE(kt_done(&job));
	close(fds[0]);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EPIPE, job.ret);
	EXPECT_TRUE(kt_until(kt_stat(fds[1]).dropped == 1));
	EXPECT_EQ(0, kt_stat(fds[1]).queued_messages);
	EXPECT_EQ(0, kt_stat(fds[1]).held);
	close(fds[1]);
}

TEST_F(hold, hold_does_not_expire_but_what_is_back_does)
{
	struct kpost_send send = kt_send_args("job", 3, 0, 0, kt_soon());
	uint64_t expires = kt_later();

	send.expires = expires;
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	EXPECT_EQ(1, kt_stat(self->fd).held);
	ASSERT_TRUE(past(expires));
	ASSERT_EQ(0, give_back(self->fd, self->recv.token));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 2));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

/* ---- who sent it ------------------------------------------------------------------------ */

TEST_F(hold, hold_tells_a_synchronous_sender_when_it_is_done)
{
	struct kpost_send send = kt_send_args("job", 3, 0, KPOST_SYNC, kt_soon());
	struct kt_job job;

	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_EQ(3, hold_until(self->fd, &self->recv, 0, 0));
	EXPECT_EQ(KPOST_MESSAGE_HELD | KPOST_MESSAGE_SYNC, self->recv.message_flags);
	ASSERT_EQ(0, give_back(self->fd, self->recv.token));
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(0, done(self->fd, self->recv.token));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_F(hold, hold_whose_sender_leaves_is_dropped)
{
	static const unsigned int how[] = { KPOST_DONE, KPOST_RETURN };
	struct kpost_send send;
	struct kt_job job;

	for (unsigned int i = 0; i < 3; i++) {
		int fd = kt_grant(self->fd, KPOST_RIGHT_RECV);

		ASSERT_LE(0, fd);
		send = kt_send_args("job", 3, 0, KPOST_SYNC, kt_later());
		kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
		ASSERT_EQ(3, hold_until(fd, &self->recv, 0, 0));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(-ETIMEDOUT, job.ret);
		EXPECT_EQ(1, kt_stat(self->fd).held);
		if (i < 2) {
			EXPECT_EQ(-ECANCELED, end(fd, how[i], self->recv.token, 0));
			EXPECT_EQ(-ENOENT, end(fd, how[i], self->recv.token, 0));
		}
		close(fd);
		EXPECT_EQ(i + 1, kt_stat(self->fd).dropped);
		EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
		EXPECT_EQ(0, kt_stat(self->fd).received);
	}
}

TEST_F(hold, hold_of_many_counts_those_whose_sender_has_left_as_done)
{
	struct kpost_send send = kt_send_args("two", 3, 0, KPOST_SYNC, kt_later());
	uint64_t tokens[3];
	struct kt_job job;

	ASSERT_EQ(0, kt_post(self->fd, "one", 3, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 2));
	ASSERT_EQ(0, kt_post(self->fd, "three", 5, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_LT(0, hold(self->fd, &self->recv));
		tokens[i] = self->recv.token;
	}
	ASSERT_TRUE(kt_join(&job));
	ASSERT_EQ(-ETIMEDOUT, job.ret);
	EXPECT_EQ(3, end_many(self->fd, KPOST_DONE, tokens, 3));
	EXPECT_EQ(2, kt_stat(self->fd).received);
	EXPECT_EQ(1, kt_stat(self->fd).dropped);
}

TEST_F(hold, what_another_user_returns_for_later_counts_for_that_user)
{
	uint64_t before, later = kt_now() + 3600 * 1000000000ull;
	pid_t pid;
	int fd;

	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	/* an endpoint of no privilege, and who holds has none either */
	ASSERT_EQ(0, drop_to(USER));
	fd = kt_grant(self->fd, KPOST_RIGHT_RECV);
	ASSERT_LE(0, fd);
	before = sending();
	ASSERT_EQ(3, hold(fd, &self->recv));
	EXPECT_EQ(before + 512, sending());
	ASSERT_EQ(0, seteuid(0));
	pid = kt_fork();
	if (!pid) {
		if (drop_to(USER + 1))
			_exit(1);
		if (end(fd, KPOST_RETURN, self->recv.token, later))
			_exit(2);
		_exit(sending() == 512 ? 0 : 3);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(before, sending());
	EXPECT_EQ(1, kt_stat(self->fd).held);
	EXPECT_EQ(-ENOENT, done(fd, self->recv.token));
	close(fd);
}

TEST_F(hold, hold_returned_for_later_is_withdrawn_at_once)
{
	struct kpost_send send = kt_send_args("job", 3, 0, KPOST_SYNC, kt_later());
	struct kt_job job;

	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_EQ(3, hold_until(self->fd, &self->recv, 0, 0));
	ASSERT_EQ(0, end(self->fd, KPOST_RETURN, self->recv.token, kt_in(10 * KT_SOON)));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ETIMEDOUT, job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).held);
	EXPECT_EQ(1, kt_stat(self->fd).dropped);
}

/* ---- calls ------------------------------------------------------------------------------- */

struct asking {
	struct kpost_call call;
	struct kt_job job;
	char reply[8];
};

static void ask(struct asking *asking, int fd, unsigned int flags, uint64_t deadline)
{
	asking->call = kt_call_args("ask", 3, asking->reply, sizeof(asking->reply), deadline);
	asking->call.flags = flags;
	kt_start(&asking->job, fd, KPOST_IOC_CALL, &asking->call);
}

TEST_F(hold, hold_takes_a_call_only_if_it_may_be_done_twice)
{
	struct asking asking;

	ask(&asking, self->fd, 0, kt_soon());
	ASSERT_EQ(3, hold_until(self->fd, &self->recv, 0, 0));
	EXPECT_EQ(KPOST_MESSAGE_CALL, self->recv.message_flags);
	EXPECT_EQ(0, kt_stat(self->fd).held);
	EXPECT_EQ(1, kt_stat(self->fd).open_calls);
	EXPECT_EQ(-ENOENT, done(self->fd, self->recv.token));
	EXPECT_EQ(-ENOENT, give_back(self->fd, self->recv.token));
	EXPECT_EQ(0, kt_reply(self->fd, self->recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&asking.job));
	EXPECT_EQ(3, asking.job.ret);
}

TEST_F(hold, hold_of_a_call_ends_with_its_reply)
{
	struct asking asking;

	ask(&asking, self->fd, KPOST_RETRY, kt_soon());
	ASSERT_EQ(3, hold_until(self->fd, &self->recv, 0, 0));
	EXPECT_EQ(KPOST_MESSAGE_CALL | KPOST_MESSAGE_HELD, self->recv.message_flags);
	EXPECT_EQ(sizeof(asking.reply), self->recv.reply_max);
	EXPECT_NE(0, self->recv.call_deadline);
	EXPECT_EQ(1, kt_stat(self->fd).held);
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
	EXPECT_REFUSED(EINVAL, self->fd, done(self->fd, self->recv.token));
	EXPECT_REFUSED(EMSGSIZE, self->fd, kt_reply(self->fd, self->recv.token, "123456789", 9));
	EXPECT_REFUSED(EFAULT, self->fd, kt_reply(self->fd, self->recv.token, (void *)8, 8));
	ASSERT_EQ(0, give_back(self->fd, self->recv.token));
	ASSERT_EQ(3, hold(self->other, &self->recv));
	EXPECT_EQ(1, self->recv.attempts);
	EXPECT_EQ(0, kt_reply(self->other, self->recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&asking.job));
	EXPECT_EQ(3, asking.job.ret);
	EXPECT_EQ(0, memcmp(asking.reply, "yes", 3));
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, asking.call.message_flags);
	EXPECT_EQ(1, asking.call.sequence);
	EXPECT_EQ(getpid(), asking.call.pid);
	EXPECT_EQ(1, kt_stat(self->fd).received);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).held);
	EXPECT_EQ(-ENOENT, kt_reply(self->other, self->recv.token, "no", 2));
}

TEST_F(hold, hold_of_a_call_is_given_up)
{
	struct asking asking;

	ask(&asking, self->fd, KPOST_RETRY, kt_soon());
	ASSERT_EQ(3, hold_until(self->fd, &self->recv, 0, 0));
	EXPECT_EQ(0, kt_drop(self->fd, self->recv.token));
	ASSERT_TRUE(kt_join(&asking.job));
	EXPECT_EQ(-ECONNRESET, asking.job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

TEST_F(hold, hold_of_a_call_is_answered_by_another_when_the_first_dies)
{
	struct at_work at = { self->fd, kt_shared(sizeof(uint64_t)) };
	struct asking asking;
	pid_t pid;

	ask(&asking, self->fd, KPOST_RETRY, kt_soon());
	pid = child_start(works, &at);
	ASSERT_TRUE(kt_until(__atomic_load_n(at.token, __ATOMIC_ACQUIRE)));
	ASSERT_LE(0, kt_kill(pid));
	ASSERT_EQ(3, hold_until(self->other, &self->recv, 0, 0));
	EXPECT_EQ(1, self->recv.attempts);
	EXPECT_EQ(0, kt_reply(self->other, self->recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&asking.job));
	EXPECT_EQ(3, asking.job.ret);
}

TEST_F(hold, hold_of_a_call_whose_caller_leaves_is_dropped)
{
	struct asking asking;

	for (int i = 0; i < 3; i++) {
		ask(&asking, self->fd, KPOST_RETRY, kt_later());
		ASSERT_EQ(3, hold_until(self->fd, &self->recv, 0, 0));
		if (i == 2)
			ASSERT_EQ(0, end(self->fd, KPOST_RETURN, self->recv.token,
					 kt_in(10 * KT_SOON)));
		ASSERT_TRUE(kt_join(&asking.job));
		EXPECT_EQ(-ETIMEDOUT, asking.job.ret);
		EXPECT_EQ(0, asking.call.message_flags);
		if (i == 0)
			EXPECT_EQ(-ECANCELED, kt_reply(self->fd, self->recv.token, "late", 4));
		if (i == 1)
			EXPECT_EQ(-ECANCELED, give_back(self->fd, self->recv.token));
		EXPECT_EQ(-ENOENT, kt_reply(self->fd, self->recv.token, "late", 4));
		EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
		EXPECT_EQ(0, kt_stat(self->fd).held);
		EXPECT_EQ(i + 1, kt_stat(self->fd).dropped);
	}
}

TEST_F(hold, hold_of_a_submitted_call_can_be_collected)
{
	struct kpost_call_submit submit = {
		.flags = KPOST_RETRY | KPOST_DONTWAIT,
		.buf = (uintptr_t)"ask",
		.len = 3,
		.reply_max = 8,
		.user_data = 7,
	};
	struct kpost_call_collect collect = {
		.buf = (uintptr_t)self->buf,
		.len = sizeof(self->buf),
		.deadline = kt_soon(),
	};

	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_CALL_SUBMIT, &submit));
	ASSERT_EQ(3, hold(self->other, &self->recv));
	close(self->other);
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	EXPECT_EQ(1, self->recv.attempts);
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "yes", 3));
	EXPECT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_CALL_COLLECT, &collect));
	EXPECT_EQ(7, collect.user_data);
	EXPECT_EQ(submit.id, collect.id);
	/* one that is cancelled while it is held is withdrawn */
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_CALL_SUBMIT, &submit));
	ASSERT_EQ(3, hold(self->fd, &self->recv));
	struct kpost_call_cancel cancel = { .id = submit.id };
	EXPECT_EQ(1, kt_ioctl(self->fd, KPOST_IOC_CALL_CANCEL, &cancel));
	EXPECT_EQ(-ECANCELED, kt_reply(self->fd, self->recv.token, "yes", 3));
	self->other = kt_grant(self->fd, KPOST_RIGHT_RECV);
}

/* ---- how much ---------------------------------------------------------------------------- */

TEST_F(hold, hold_by_one_endpoint_is_no_more_than_its_part)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_HELD_MAX };
	struct kpost_recv refused;

	EXPECT_EQ(FULL / 2, kt_stat(self->fd).held_max);
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	for (int i = 0; i < FULL / 2; i++)
		ASSERT_EQ(1, hold(self->fd, &self->recv));
	EXPECT_REFUSED(EBUSY, self->fd, hold(self->fd, &self->recv));
	/* others go on, and it can still receive */
	EXPECT_EQ(1, hold(self->other, &self->recv));
	EXPECT_EQ(1, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	attr.held_max = FULL / 2 + 1;
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(FULL / 2 + 1, kt_stat(self->fd).held_max);
	EXPECT_EQ(1, hold(self->fd, &self->recv));
	EXPECT_EQ(-EBUSY, hold(self->fd, &refused));
	EXPECT_EQ(0, done(self->fd, self->recv.token));
	EXPECT_EQ(1, hold(self->fd, &self->recv));
	/* more than its capacity is all of it */
	attr.held_max = UINT32_MAX;
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(FULL, kt_stat(self->fd).held_max);
	attr.held_max = 0;
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(FULL / 2, kt_stat(self->fd).held_max);
	attr.reserved = 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
}

TEST_F(hold, hold_part_is_said_when_the_mailbox_is_made)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	char name[KT_NAME_SIZE];
	int fd;

	open.messages = FULL;
	open.held_max = 1;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, kt_stat(fd).held_max);
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	ASSERT_EQ(1, hold(fd, &self->recv));
	EXPECT_EQ(-EBUSY, hold(fd, &self->recv));
	close(fd);
	/* and only then */
	open = kt_open_args(kt_name(name), KPOST_RIGHT_RECV, KPOST_OPEN_WAIT);
	open.deadline = kt_soon();
	open.held_max = 1;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
}

TEST_F(hold, hold_by_one_endpoint_is_no_more_than_its_part_of_the_bytes)
{
	static const char text[FULL * SIZE];

	/* one, however large */
	ASSERT_EQ(0, kt_post(self->fd, text, sizeof(text) - 2, 0));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	self->recv = kt_recv_args((char[sizeof(text)]){ "" }, sizeof(text), KPOST_HOLD, kt_soon());
	ASSERT_EQ(sizeof(text) - 2, kt_ioctl(self->fd, KPOST_IOC_RECV, &self->recv));
	EXPECT_EQ(-EBUSY, kt_recv(self->fd, NULL, self->buf, sizeof(self->buf), KPOST_HOLD, 0));
	EXPECT_EQ(1, kt_stat(self->fd).held);
	EXPECT_TRUE(next_is(self->fd, "x", 2, 0));
}

/* who waits holds nothing yet, and is told when it comes to that */
TEST_F(hold, hold_that_is_too_much_in_the_end_leaves_it_to_others)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_HELD_MAX, .held_max = 1 };
	struct kpost_recv recv[2];
	struct kt_job job[2];

	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	for (int i = 0; i < 2; i++) {
		recv[i] = kt_recv_args(self->buf + 8 * i, 8, KPOST_HOLD, kt_soon());
		kt_start(&job[i], self->other, KPOST_IOC_RECV, &recv[i]);
	}
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 2));
	ASSERT_EQ(0, kt_post(self->fd, "a", 1, 0));
	ASSERT_EQ(0, kt_post(self->fd, "b", 1, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_TRUE(job[i].ret == 1 || job[i].ret == -EBUSY);
	}
	EXPECT_NE(job[0].ret, job[1].ret);
	EXPECT_EQ(1, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
}

static int counts_for_who_holds(void *arg)
{
	enum { EACH = 512 };
	struct kpost_recv recv[2];
	uint64_t before;
	int fd;

	CHECK_EQ(0, unshare(CLONE_NEWNET));
	fd = kt_mailbox(FULL, 0, 0);
	CHECK(fd >= 0);
	CHECK_EQ(0, drop_to(USER));
	before = sending();
	CHECK_EQ(0, kt_post(fd, "a", 1, 0));
	CHECK_EQ(0, kt_post(fd, "b", 1, 0));
	CHECK_EQ(1, hold(fd, &recv[0]));
	CHECK_EQ(before + EACH, sending());
	CHECK_EQ(1, hold(fd, &recv[1]));
	CHECK_EQ(before + 2 * EACH, sending());
	CHECK_EQ(0, done(fd, recv[0].token));
	CHECK_EQ(before + EACH, sending());
	/* what was returned for later still does */
	CHECK_EQ(0, end(fd, KPOST_RETURN, recv[1].token, kt_later()));
	CHECK_EQ(before + EACH, sending());
	CHECK(kt_until(sending() == before));
	CHECK_EQ(0, seteuid(0));
	CHECK_EQ(0, limit_set("user_sending_bytes", EACH - 1));
	CHECK_EQ(0, seteuid(USER));
	CHECK_EQ(-EDQUOT, hold(fd, &recv[0]));
	CHECK_EQ(before, sending());
	CHECK_EQ(1, kt_take(fd, NULL, &recv, 8));
	return 0;
}

TEST(hold_counts_for_who_holds)
{
	EXPECT_EQ(0, child_run(counts_for_who_holds, NULL));
}

/* ---- batches, io_uring, and others ------------------------------------------------------- */

TEST_F(hold, hold_in_batches)
{
	struct kpost_recv recv[FULL];
	uint64_t tokens[FULL];
	char bufs[FULL][8];
	struct kpost_batch batch = {
		.flags = KPOST_DONTWAIT,
		.count = FULL,
		.entries = (uintptr_t)recv,
		.entry_size = sizeof(recv[0]),
	};

	for (int i = 0; i < FULL; i++) {
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		recv[i] = kt_recv_args(bufs[i], sizeof(bufs[i]), i % 2 ? 0 : KPOST_HOLD, 0);
	}
	ASSERT_EQ(FULL, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(FULL / 2, kt_stat(self->fd).held);
	EXPECT_EQ(FULL / 2, kt_stat(self->fd).received);
	for (int i = 0; i < FULL; i++) {
		EXPECT_EQ(i + 1, recv[i].sequence);
		EXPECT_EQ(!(i % 2), !!recv[i].token);
	}
	for (int i = 0; i < FULL / 2; i++)
		tokens[i] = recv[2 * i].token;
	/* it stops at the first that cannot be done */
	tokens[1] = 0;
	EXPECT_EQ(1, end_many(self->fd, KPOST_DONE, tokens, FULL / 2));
	EXPECT_EQ(-ENOENT, end_many(self->fd, KPOST_DONE, tokens + 1, 1));
	tokens[1] = recv[2].token;
	EXPECT_EQ(2, end_many(self->fd, KPOST_DONE, tokens + 1, 2));
	EXPECT_EQ(1, end_many(self->fd, KPOST_RETURN, tokens + 3, 1));
	EXPECT_TRUE(next_is(self->fd, "x", recv[6].sequence, 1));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	/* the part of it that one endpoint may hold, and no more */
	for (int i = 0; i < FULL; i++) {
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		recv[i] = kt_recv_args(bufs[i], sizeof(bufs[i]), KPOST_HOLD, 0);
	}
	EXPECT_EQ(FULL / 2, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(-EBUSY, batch.error);
}

TEST_F(hold, hold_by_io_uring)
{
	struct kpost_recv recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD, kt_soon());
	struct kpost_reply reply = { .flags = KPOST_DONE };
	struct uring_result result;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	ASSERT_NE(NULL, uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv, 1));
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, "job", 3, 0));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	ASSERT_EQ(3, result.res);
	EXPECT_EQ(1, kt_stat(self->fd).held);
	reply.token = recv.token;
	EXPECT_EQ(0, uring_do(&ring, self->fd, KPOST_IOC_REPLY, &reply));
	EXPECT_EQ(-ENOENT, uring_do(&ring, self->fd, KPOST_IOC_REPLY, &reply));
	EXPECT_EQ(1, kt_stat(self->fd).received);
	io_uring_queue_exit(&ring);
}

TEST_F(hold, hold_one_after_the_other_in_one_operation)
{
	struct kpost_reply reply = { .flags = KPOST_DONE };

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	for (uint64_t i = 1; i <= 3; i++) {
		self->recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD, kt_soon());
		ASSERT_EQ(1, kt_reply_recv(self->fd, &reply, &self->recv));
		EXPECT_EQ(0, reply.token);
		EXPECT_EQ(i, self->recv.sequence);
		EXPECT_EQ(i - 1, kt_stat(self->fd).received);
		reply.token = self->recv.token;
	}
	/* used up, and tells which half failed */
	self->recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD | KPOST_DONTWAIT, 0);
	EXPECT_EQ(-EAGAIN, kt_reply_recv(self->fd, &reply, &self->recv));
	EXPECT_EQ(0, reply.token);
	EXPECT_EQ(3, kt_stat(self->fd).received);
	reply.token = 12345;
	EXPECT_EQ(-ENOENT, kt_reply_recv(self->fd, &reply, &self->recv));
	EXPECT_EQ(12345, reply.token);
	reply.flags |= KPOST_TOKENS;
	EXPECT_EQ(-EINVAL, kt_reply_recv(self->fd, &reply, &self->recv));
}

TEST_F(hold, hold_is_dropped_by_no_overflow)
{
	struct kpost_setattr attr = {
		.valid = KPOST_SET_OVERFLOW,
		.overflow = KPOST_OVERFLOW_DROP_OLD,
	};

	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	for (int i = 0; i < FULL / 2; i++)
		ASSERT_EQ(1, hold(self->fd, &self->recv));
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, kt_send(self->fd, "new", 3, 0, KPOST_DROP_OLD, 0));
	EXPECT_EQ(FULL, kt_stat(self->fd).dropped_old);
	EXPECT_EQ(FULL / 2, kt_stat(self->fd).held);
	EXPECT_EQ(0, done(self->fd, self->recv.token));
}

TEST_F(hold, hold_is_not_the_end_of_a_mailbox_that_was_shut)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_SHUT };
	struct pollfd pfd = { self->other, POLLIN, 0 };

	ASSERT_EQ(0, kt_post(self->fd, "a", 1, 0));
	ASSERT_EQ(0, kt_post(self->fd, "b", 1, 0));
	ASSERT_EQ(1, hold(self->fd, &self->recv));
	EXPECT_EQ(1, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(-EAGAIN, kt_take(self->other, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, poll(&pfd, 1, 0));
	ASSERT_EQ(0, give_back(self->fd, self->recv.token));
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	ASSERT_EQ(1, hold(self->other, &self->recv));
	ASSERT_EQ(0, done(self->other, self->recv.token));
	EXPECT_EQ(-EPIPE, kt_take(self->other, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_TRUE(pfd.revents & POLLHUP);
}

/* by tag it cannot be had; but what is in the mailbox can be held, and comes back under its tag */
TEST_F(hold, hold_in_a_keyed_mailbox)
{
	struct kpost_open open =
		kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_KEYED);
	struct kpost_send send = kt_send_args("first", 5, 0, KPOST_DONTWAIT, 0);
	struct kpost_recv match;
	struct kt_job job;
	int fd;

	open.overflow = KPOST_OVERFLOW_REPLACE;
	open.messages = FULL;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	for (send.tag = 1; send.tag <= 3; send.tag++)
		ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &send));
	EXPECT_REFUSED(EINVAL, fd, hold_until(fd, &self->recv, KPOST_MATCH, 0));
	ASSERT_EQ(5, hold(fd, &self->recv));
	EXPECT_EQ(1, self->recv.tag);
	/* nobody finds it meanwhile, nor is it replaced */
	match = kt_recv_args(self->buf, sizeof(self->buf), KPOST_MATCH | KPOST_DONTWAIT, 0);
	match.tag = 1;
	EXPECT_EQ(-EAGAIN, kt_ioctl(fd, KPOST_IOC_RECV, &match));
	send = kt_send_args("second", 6, 0, KPOST_DONTWAIT | KPOST_REPLACE, 0);
	send.tag = 1;
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(0, kt_stat(fd).replaced);
	/* it comes back before what was sent since */
	ASSERT_EQ(0, give_back(fd, self->recv.token));
	match = kt_recv_args(self->buf, sizeof(self->buf), KPOST_MATCH | KPOST_DONTWAIT, 0);
	match.tag = 1;
	ASSERT_EQ(5, kt_ioctl(fd, KPOST_IOC_RECV, &match));
	EXPECT_EQ(1, match.sequence);
	EXPECT_EQ(1, match.attempts);
	ASSERT_EQ(5, hold(fd, &self->recv));
	EXPECT_EQ(2, self->recv.tag);
	/* and goes to who waits for its tag */
	match = kt_recv_args(self->buf, sizeof(self->buf), KPOST_MATCH, kt_soon());
	match.tag = 2;
	kt_start(&job, fd, KPOST_IOC_RECV, &match);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	ASSERT_EQ(0, end(fd, KPOST_RETURN, self->recv.token, kt_later()));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(5, job.ret);
	EXPECT_EQ(2, match.sequence);
	ASSERT_EQ(5, hold(fd, &self->recv));
	ASSERT_EQ(0, done(fd, self->recv.token));
	EXPECT_EQ(1, kt_stat(fd).queued_messages);
	EXPECT_EQ(0, kt_stat(fd).held);
	/* a number can be of no message that replaces another */
	send.flags |= KPOST_NUMBERED;
	send.number = 1;
	EXPECT_REFUSED(EINVAL, fd, kt_ioctl(fd, KPOST_IOC_SEND, &send));
	close(fd);
}

/* ---- many at once ------------------------------------------------------------------------ */

struct both {
	int fd;
	uint64_t token;
	bool *go;
};

static long done_at_once(void *arg)
{
	struct both *both = arg;

	while (!__atomic_load_n(both->go, __ATOMIC_ACQUIRE))
		;
	return done(both->fd, both->token);
}

TEST_F(hold, hold_that_two_say_is_done_is_done_once)
{
	for (int i = 0; i < 50; i++) {
		bool go = false;
		struct both both = { self->fd, 0, &go };
		struct kt_job job[2];

		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
		ASSERT_EQ(1, hold(self->fd, &self->recv));
		both.token = self->recv.token;
		kt_start_fn(&job[0], done_at_once, &both);
		kt_start_fn(&job[1], done_at_once, &both);
		__atomic_store_n(&go, true, __ATOMIC_RELEASE);
		ASSERT_TRUE(kt_join(&job[0]));
		ASSERT_TRUE(kt_join(&job[1]));
		ASSERT_EQ(-ENOENT, job[0].ret + job[1].ret);
	}
	EXPECT_EQ(50, kt_stat(self->fd).received);
}

enum { JOBS = 300, WORKERS = 4 };

struct pool {
	int fd;
	unsigned char *finished; /* by number; shared */
};

static int works_until_shut(void *arg)
{
	struct pool *pool = arg;
	struct kpost_recv recv;
	uint32_t number;
	long ret;

	for (;;) {
		recv = kt_recv_args(&number, sizeof(number), KPOST_HOLD, kt_soon());
		ret = kt_ioctl(pool->fd, KPOST_IOC_RECV, &recv);
		if (ret == -EPIPE)
			return 0;
		if (ret != sizeof(number) || number >= JOBS)
			return CHILD_FAILED;
		__atomic_add_fetch(&pool->finished[number], 1, __ATOMIC_RELAXED);
		if (done(pool->fd, recv.token))
			return CHILD_FAILED;
	}
}

/* killed again and again, wherever they are: no job is lost, and each is done with once */
TEST_F(hold, hold_loses_no_job_with_its_workers)
{
	struct kpost_setattr shut = { .valid = KPOST_SET_SHUT };
	struct pool pool = { self->fd, kt_shared(JOBS) };
	unsigned int kills = 0;
	pid_t pid[WORKERS];
	uint32_t number;

	for (int i = 0; i < WORKERS; i++)
		pid[i] = child_start(works_until_shut, &pool);
	for (number = 0; number < JOBS; number++) {
		ASSERT_EQ(0, kt_send(self->fd, &number, sizeof(number), 0, 0, kt_soon()));
		if (number % 10 == 9) {
			unsigned int i = kills++ % WORKERS;

			ASSERT_LE(0, kt_kill(pid[i]));
			pid[i] = child_start(works_until_shut, &pool);
		}
	}
	ASSERT_TRUE(kt_until(!kt_stat(self->fd).queued_messages));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &shut));
	for (int i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, child_finish(pid[i], 60));
	for (number = 0; number < JOBS; number++) {
		EXPECT_LE(1, pool.finished[number]) {
			TH_LOG("job %u", number);
		}
	}
	EXPECT_EQ(JOBS, kt_stat(self->fd).received);
	EXPECT_EQ(0, kt_stat(self->fd).held);
}

TEST_HARNESS_MAIN
