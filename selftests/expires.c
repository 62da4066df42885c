// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages that expire: past their time they are not received, make room though nobody receives,
 * and are counted; who waits with one is told.
 */
#include "account_test.h"
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { FULL = 4, SIZE = 8, LARGE = 200000 };

FIXTURE(expires) {
	int fd; /* SEND, RECV and ADMIN */
	char buf[64];
};

FIXTURE_SETUP(expires)
{
	self->fd = kt_mailbox(FULL, FULL * SIZE, FULL * SIZE);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(expires)
{
	close(self->fd);
}

static long send_until(int fd, const char *text, unsigned int priority, unsigned int flags,
		       uint64_t expires)
{
	struct kpost_send send = kt_send_args(text, strlen(text), priority, flags, 0);

	send.expires = expires;
	return kt_ioctl(fd, KPOST_IOC_SEND, &send);
}

static bool past(uint64_t time)
{
	return kt_until(kt_now() > time);
}

/* ---- what becomes of the message ------------------------------------------------------- */

TEST_F(expires, expires_makes_room_though_nobody_receives)
{
	struct kpost_send send = kt_send_args("next", 4, 0, 0, kt_soon());
	struct kpost_stat st;

	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, send_until(self->fd, "old", 0, KPOST_DONTWAIT, kt_later()));
	ASSERT_EQ(-EAGAIN, kt_send(self->fd, "x", 1, 0, KPOST_DONTWAIT, 0));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == FULL));
	st = kt_stat(self->fd);
	EXPECT_EQ(FULL + 1, st.sent);
	EXPECT_EQ(0, st.received);
	EXPECT_EQ(0, st.dropped);
	EXPECT_EQ(1, st.queued_messages);
	EXPECT_EQ(4, st.queued_bytes);
	EXPECT_TRUE(kt_next_is(self->fd, "next", FULL));
	EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
}

/* the timer may be late: whoever receives looks as well */
TEST_F(expires, expires_is_received_at_no_later_time)
{
	for (int i = 0; i < 200; i++) {
		uint64_t expires = kt_now() + KT_MS;
		long ret = send_until(self->fd, "x", 0, 0, expires);

		if (ret == -ETIMEDOUT && kt_now() >= expires)
			continue;
		ASSERT_EQ(0, ret);
		while (kt_now() <= expires)
			;
		if (i % 2)
			ASSERT_EQ(-EAGAIN, kt_recv(self->fd, NULL, self->buf, sizeof(self->buf),
						   KPOST_PEEK, 0));
		ASSERT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	}
	EXPECT_EQ(0, kt_stat(self->fd).received);
	EXPECT_EQ(kt_stat(self->fd).sent, kt_stat(self->fd).expired);
}

TEST_F(expires, expires_is_received_before_as_any_other)
{
	uint64_t expires = kt_in(30);

	ASSERT_EQ(0, send_until(self->fd, "low", 1, 0, kt_soon()));
	ASSERT_EQ(0, send_until(self->fd, "high", 5, 0, kt_soon()));
	ASSERT_EQ(0, kt_post(self->fd, "high 2", 6, 5));
	ASSERT_EQ(4, kt_recv(self->fd, NULL, self->buf, sizeof(self->buf), KPOST_PEEK, 0));
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, (void *)8, sizeof(self->buf)));
	EXPECT_TRUE(kt_next_is(self->fd, "high", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "high 2", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "low", 0));
	/* a timer that goes off for one that was received finds nothing, and others go on */
	if (!send_until(self->fd, "soon", 0, 0, expires))
		(void)kt_take(self->fd, NULL, self->buf, sizeof(self->buf));
	ASSERT_EQ(0, send_until(self->fd, "later", 0, 0, kt_soon()));
	ASSERT_TRUE(past(expires + 20 * KT_MS));
	EXPECT_EQ(5, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
}

TEST_F(expires, expires_one_by_one_each_at_its_time)
{
	ASSERT_EQ(0, send_until(self->fd, "last", 0, 0, kt_soon()));
	ASSERT_EQ(0, send_until(self->fd, "second", 9, 0, kt_in(2 * KT_LATER)));
	ASSERT_EQ(0, send_until(self->fd, "first", 0, 0, kt_later()));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired >= 1));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 2));
	EXPECT_TRUE(kt_next_is(self->fd, "last", 2));
}

/* more than are dropped in one go, some of them with senders that wait */
TEST_F(expires, expires_by_thousands_at_once)
{
	enum { MANY = 3000, SENDERS = 20 };
	int fd = kt_mailbox(MANY + SENDERS, 1 << 20, 64);
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_SYNC, kt_soon());
	struct kt_job jobs[SENDERS];
	uint64_t expires = kt_in(3000);
	long ret = 0;

	ASSERT_LE(0, fd);
	send.expires = expires;
	for (int i = 0; i < SENDERS; i++)
		kt_start(&jobs[i], fd, KPOST_IOC_SEND, &send);
	/* on a slow machine not all of them are in time */
	for (int i = 0; i < MANY && !ret; i++) {
		ret = send_until(fd, "x", (unsigned int)i % 7, 0, expires);
		ASSERT_TRUE(!ret || (ret == -ETIMEDOUT && i > 200));
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-ETIMEDOUT, jobs[i].ret);
	}
	ASSERT_TRUE(kt_until(kt_stat(fd).expired == kt_stat(fd).sent));
	EXPECT_EQ(0, kt_stat(fd).queued_messages);
	close(fd);
}

/* ---- who waits with it ----------------------------------------------------------------- */

TEST_F(expires, expires_tells_its_synchronous_sender)
{
	EXPECT_EQ(-ETIMEDOUT, send_until(self->fd, "x", 0, KPOST_SYNC, kt_later()));
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(1, kt_stat(self->fd).expired);
	EXPECT_EQ(0, kt_stat(self->fd).dropped);
	ASSERT_EQ(0, kt_post(self->fd, "y", 1, 0));
	EXPECT_TRUE(kt_next_is(self->fd, "y", 1));
}

/* it was never in the mailbox, and nobody has missed it; those behind it get in */
TEST_F(expires, expires_while_it_waits_for_room)
{
	struct kpost_send large = kt_send_args("12345678", 8, 0, KPOST_WANT_SEQUENCE, kt_soon());
	struct kpost_send small = kt_send_args("s", 1, 0, 0, kt_soon());
	struct kt_job jobs[2];
	uint64_t used = kt_sending_used();

	ASSERT_EQ(0, kt_post(self->fd, "1234567890123456789012345678", 28, 0));
	large.expires = kt_in(KT_LATER);
	large.sequence = 7;
	kt_start(&jobs[0], self->fd, KPOST_IOC_SEND, &large);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	kt_start(&jobs[1], self->fd, KPOST_IOC_SEND, &small);
	ASSERT_TRUE(kt_join(&jobs[0]));
	EXPECT_EQ(-ETIMEDOUT, jobs[0].ret);
	EXPECT_EQ(7, large.sequence);
	ASSERT_TRUE(kt_join(&jobs[1]));
	EXPECT_EQ(0, jobs[1].ret);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(self->fd).expired);
	EXPECT_EQ(2, kt_stat(self->fd).sent);
	EXPECT_TRUE(kt_until(kt_sending_used() == used));
	EXPECT_TRUE(kt_next_is(self->fd, "1234567890123456789012345678", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "s", 0));
}

TEST_F(expires, expires_before_it_was_sent)
{
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_WANT_SEQUENCE, 0);
	struct kpost_stat before = kt_stat(self->fd);

	send.sequence = 7;
	send.expires = 1;
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	send.expires = kt_now();
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	send.expires = 1ull << 63;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(7, send.sequence);
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	/* the last time that there is never comes */
	send.expires = (1ull << 63) - 1;
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_TRUE(kt_next_is(self->fd, "x", 0));
}

TEST_F(expires, expires_tells_who_polls_of_room_and_of_the_end)
{
	struct pollfd to_send, to_recv;
	int fds[2], other;

	other = kt_grant(self->fd, KPOST_RIGHT_SEND);
	ASSERT_LE(0, other);
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, send_until(self->fd, "12345678", 0, 0, kt_in(KT_LATER)));
	to_send = (struct pollfd){ .fd = other, .events = POLLOUT };
	ASSERT_EQ(0, poll(&to_send, 1, 0));
	EXPECT_EQ(1, poll(&to_send, 1, KT_SOON));
	EXPECT_EQ(POLLOUT, to_send.revents & POLLOUT);
	close(other);

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	ASSERT_EQ(0, send_until(fds[1], "x", 0, 0, kt_later()));
	close(fds[1]);
	to_recv = (struct pollfd){ .fd = fds[0] };
	EXPECT_EQ(1, poll(&to_recv, 1, KT_SOON));
	EXPECT_EQ(POLLHUP, to_recv.revents);
	EXPECT_EQ(0, read(fds[0], self->buf, sizeof(self->buf)));
	close(fds[0]);
}

/* ---- what a receiver is told ----------------------------------------------------------- */

TEST_F(expires, expires_is_told_to_the_receiver)
{
	const uint64_t expires[] = { 0, kt_soon(), INT64_MAX };
	const unsigned int flags[] = { KPOST_PEEK, KPOST_HOLD, 0 };
	struct kpost_recv recv;

	for (size_t i = 0; i < ARRAY_SIZE(expires); i++) {
		ASSERT_EQ(0, send_until(self->fd, "x", 0, 0, expires[i]));
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++) {
			recv = kt_recv_args(self->buf, sizeof(self->buf),
					    flags[j] | KPOST_DONTWAIT, 0);
			recv.expires = 4711;
			ASSERT_EQ(1, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
			EXPECT_EQ(expires[i], recv.expires);
			if (flags[j] == KPOST_HOLD) {
				struct kpost_reply back = { .flags = KPOST_RETURN,
							    .token = recv.token };

				ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_REPLY, &back));
			}
		}
	}
}

/* ---- in batches, in rings, with what else there is ------------------------------------- */

TEST_F(expires, expires_in_batches)
{
	struct kpost_send sends[4] = {
		kt_send_args("1", 1, 0, 0, 0),
		kt_send_args("2", 1, 0, 0, 0),
		kt_send_args("3", 1, 0, 0, 0),
		kt_send_args("4", 1, 0, 0, 0),
	};
	struct kpost_recv recvs[4];
	struct kpost_batch batch = { .count = 4, .entries = (uintptr_t)sends,
				     .entry_size = sizeof(sends[0]), .flags = KPOST_DONTWAIT };
	char buf[4] = "";

	sends[1].expires = kt_later();
	sends[3].expires = kt_soon();
	ASSERT_EQ(4, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	ASSERT_TRUE(past(sends[1].expires));
	for (int i = 0; i < 4; i++)
		recvs[i] = kt_recv_args(&buf[i], 1, 0, 0);
	batch.entries = (uintptr_t)recvs;
	batch.entry_size = sizeof(recvs[0]);
	ASSERT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(0, memcmp(buf, "134", 3));
	EXPECT_EQ(1, recvs[0].missed + recvs[1].missed + recvs[2].missed);
	EXPECT_EQ(0, recvs[0].expires);
	EXPECT_EQ(0, recvs[1].expires);
	EXPECT_EQ(sends[3].expires, recvs[2].expires);
	/* the first that is too late ends the batch */
	sends[2].expires = 1;
	batch.entries = (uintptr_t)sends;
	batch.entry_size = sizeof(sends[0]);
	sends[1].expires = 0;
	EXPECT_EQ(2, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(-ETIMEDOUT, batch.error);
}

TEST_F(expires, expires_in_a_ring)
{
	struct kpost_send sync = kt_send_args("s", 1, 0, KPOST_SYNC, 0);
	struct kpost_send waits = kt_send_args("w", 1, 0, 0, 0);
	struct kpost_recv recv = kt_recv_args(self->buf, sizeof(self->buf), 0, 0);
	struct uring_result result;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	sync.expires = kt_later();
	EXPECT_EQ(-ETIMEDOUT, uring_do(&ring, self->fd, KPOST_IOC_SEND, &sync));
	EXPECT_EQ(1, kt_stat(self->fd).expired);
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	waits.expires = kt_later();
	EXPECT_EQ(-ETIMEDOUT, uring_do(&ring, self->fd, KPOST_IOC_SEND, &waits));
	EXPECT_EQ(1, kt_stat(self->fd).expired);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	/* who waits is told as who finds it */
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv, 1);
	ASSERT_EQ(1, io_uring_submit(&ring));
	waits.expires = kt_soon();
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &waits));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(1, result.res);
	EXPECT_EQ(waits.expires, recv.expires);
	io_uring_queue_exit(&ring);
}

TEST_F(expires, expires_where_older_ones_make_room)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_OVERFLOW,
				      .overflow = KPOST_OVERFLOW_DROP_OLD };

	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, send_until(self->fd, "old", 0, KPOST_DROP_OLD, kt_in(KT_LATER)));
	ASSERT_EQ(0, send_until(self->fd, "new", 0, KPOST_DROP_OLD, kt_soon()));
	ASSERT_EQ(1, kt_stat(self->fd).dropped_old);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == FULL - 1));
	EXPECT_TRUE(kt_next_is(self->fd, "new", FULL));
}

TEST_F(expires, expires_of_a_mailbox_that_is_shut)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_SHUT };

	ASSERT_EQ(0, send_until(self->fd, "x", 0, 0, kt_later()));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	EXPECT_EQ(-EPIPE, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
}

/* a timer that is set outlives no mailbox */
TEST_F(expires, expires_never_in_a_mailbox_that_is_gone)
{
	for (int i = 0; i < 50; i++) {
		int fd = kt_mailbox(4, 0, 0);

		ASSERT_LE(0, fd);
		/* about when the mailbox goes, or just before */
		(void)send_until(fd, "x", 0, 0, kt_now() + 2 * KT_MS);
		ASSERT_EQ(0, send_until(fd, "y", 0, 0, kt_soon()));
		if (i % 2)
			(void)past(kt_now() + 2 * KT_MS);
		close(fd);
	}
}

static int send_elsewhere(void *data)
{
	int fd = *(int *)data;

	CHECK_EQ(-ETIMEDOUT, send_until(fd, "x", 0, 0, kt_now()));
	CHECK_EQ(0, send_until(fd, "x", 0, 0, kt_soon()));
	CHECK_EQ(-ETIMEDOUT, send_until(fd, "y", 0, KPOST_SYNC, kt_later()));
	return 0;
}

TEST_F(expires, expires_by_the_clock_of_the_senders_time_namespace)
{
	static const char *const offsets[] = { "monotonic 864000 0", "monotonic -1 0" };

	if (geteuid())
		SKIP(return, "a time namespace of one's own needs root");
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		if (unshare(CLONE_NEWTIME))
			SKIP(return, "no time namespace of one's own: %s", strerror(errno));
		ASSERT_EQ(0, child_write("/proc/self/timens_offsets", offsets[i]));
		EXPECT_EQ(0, child_finish(child_start(send_elsewhere, &self->fd), 20))
			TH_LOG("%s", offsets[i]);
		EXPECT_TRUE(kt_next_is(self->fd, "x", 1));
		EXPECT_EQ(i + 1, kt_stat(self->fd).expired);
	}
}

/* ---- all at once ----------------------------------------------------------------------- */

struct crowd {
	int fd;
	uint64_t end, latest;
	long sent, received;
};

/* On a slow machine it takes longer until all that can happen has. */
static bool goes_on(const struct crowd *crowd)
{
	struct kpost_stat st;

	if (kt_now() < crowd->end)
		return true;
	st = kt_stat(crowd->fd);
	return (!st.dropped || !st.expired) && kt_now() < crowd->latest;
}

static long sends_on(void *data)
{
	struct crowd *crowd = data;
	static const char payload[LARGE];
	unsigned int i = 0;

	/* Large ones take a while to be copied: there they are withdrawn, and expire. */
	while (goes_on(crowd)) {
		unsigned int slow = 1 + i / 64 % 8; /* as the machine may be */
		struct kpost_send send = kt_send_args(payload, i % 3 ? 1 + i % 8 : LARGE, i % 3,
						      i % 4 ? 0 : KPOST_SYNC,
						      kt_now() + slow * (i % 5 + 1) * KT_MS / 5);

		send.expires = kt_now() + slow * (i % 7) * KT_MS / 4;
		i++;
		if (!kt_ioctl(crowd->fd, KPOST_IOC_SEND, &send))
			crowd->sent++;
	}
	return 0;
}

static long receives_on(void *data)
{
	struct crowd *crowd = data;
	struct kpost_recv recv;
	char *buf = malloc(LARGE);

	while (goes_on(crowd)) {
		if (kt_recv(crowd->fd, &recv, buf, LARGE, 0, kt_in(2)) > 0)
			crowd->received++;
		(void)kt_recv(crowd->fd, NULL, buf, LARGE, KPOST_PEEK, 0);
	}
	free(buf);
	return 0;
}

TEST_F(expires, expires_received_and_withdrawn_at_once_is_counted_once)
{
	struct crowd crowds[6];
	struct kt_job jobs[6];
	struct kpost_stat st;
	uint64_t end = kt_in(2500), latest = kt_in(8000);
	int fd = kt_mailbox(8, 2 * LARGE, LARGE);
	long received = 0;

	ASSERT_LE(0, fd);

	for (int i = 0; i < 6; i++) {
		crowds[i] = (struct crowd){ .fd = fd, .end = end, .latest = latest };
		kt_start_fn(&jobs[i], i < 4 ? sends_on : receives_on, &crowds[i]);
	}
	for (int i = 0; i < 6; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		received += crowds[i].received;
	}
	ASSERT_TRUE(kt_until(!kt_stat(fd).queued_messages));
	st = kt_stat(fd);
	EXPECT_EQ(st.sent, st.received + st.dropped + st.expired);
	EXPECT_EQ((uint64_t)received, st.received);
	EXPECT_LT(0, st.expired);
	EXPECT_EQ(0, st.waiting_senders);
	EXPECT_EQ(0, st.queued_bytes);
	EXPECT_LT(0, st.dropped);
	close(fd);
}

TEST_HARNESS_MAIN
