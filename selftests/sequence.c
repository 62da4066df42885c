// SPDX-License-Identifier: GPL-2.0-only
/*
 * KPOST_WANT_SEQUENCE: a sender learns its message's number, the one that its receiver
 * sees, and nothing is written unless that was asked for and the message was sent.
 */
#include "kpost_test.h"
#include "uring_test.h"

FIXTURE(sequence) {
	int fd;			/* all rights, room for 2 messages */
	struct io_uring ring;
	struct kpost_send send;
	struct kpost_recv recv;
	char buf[64];
	struct kt_job job;
};

/* a send that asks for its number, which is poison before */
static struct kpost_send numbered(unsigned int priority, unsigned int flags, uint64_t deadline)
{
	struct kpost_send send = kt_send_args("numbered", 8, priority,
					      flags | KPOST_WANT_SEQUENCE, deadline);

	kt_poison(&send.sequence, sizeof(send.sequence));
	return send;
}

static bool untold(const struct kpost_send *send)
{
	return kt_poisoned(&send->sequence, sizeof(send->sequence));
}

FIXTURE_SETUP(sequence)
{
	self->fd = kt_mailbox(2, 1000, 100);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_init(&self->ring, 8, 0));
	self->send = numbered(0, 0, kt_soon());
}

FIXTURE_TEARDOWN(sequence)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

#define fill() do {								\
	while (kt_post(self->fd, "x", 1, 0) == 0)				\
		;								\
	ASSERT_EQ(2, kt_stat(self->fd).queued_messages);			\
} while (0)

#define start_without_room() do {						\
	fill();									\
	kt_start(&self->job, self->fd, KPOST_IOC_SEND, &self->send);		\
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));		\
} while (0)

#define expect_end(result) do {							\
	ASSERT_TRUE(kt_join(&self->job));					\
	EXPECT_EQ((result), self->job.ret);					\
} while (0)

TEST_F(sequence, sequence_told_is_the_one_that_is_received)
{
	for (int i = 0; i < 20; i++) {
		struct kpost_send before = self->send;

		/* others have numbers too, whether they ask or not */
		ASSERT_EQ(1, write(self->fd, "x", 1));
		ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
		if (i % 2) {
			ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &self->send));
		} else {
			ASSERT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &self->send));
		}
		EXPECT_EQ(2 * i + 2, self->send.sequence);
		ASSERT_EQ(8, kt_take(self->fd, &self->recv, self->buf, 64));
		EXPECT_EQ(self->recv.sequence, self->send.sequence);
		EXPECT_EQ(0, memcmp(&before, &self->send, offsetof(struct kpost_send, sequence)));
	}
}

TEST_F(sequence, sequence_told_to_each_of_several_flags)
{
	static const unsigned int flags[] = { KPOST_DONTWAIT, KPOST_IOVEC,
					      KPOST_DONTWAIT | KPOST_IOVEC };
	struct kpost_iovec iov = { (uintptr_t)"one piece", 9 };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		self->send = numbered(3, flags[i], 0);
		self->send.buf = (uintptr_t)&iov;
		self->send.len = flags[i] & KPOST_IOVEC ? 1 : sizeof(iov);
		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &self->send));
		ASSERT_LE(0, kt_take(self->fd, &self->recv, self->buf, 64));
		EXPECT_EQ(i + 1, self->send.sequence);
		EXPECT_EQ(i + 1, self->recv.sequence);
	}
}

TEST_F(sequence, sequence_is_told_to_nobody_who_has_not_asked)
{
	static const unsigned int flags[] = { 0, KPOST_DONTWAIT };
	struct kpost_recv recv = kt_recv_args(self->buf, 64, 0, kt_soon());

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		self->send = numbered(0, flags[i], 0);
		self->send.flags &= ~KPOST_WANT_SEQUENCE;
		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &self->send));
		EXPECT_TRUE(untold(&self->send));
		ASSERT_EQ(8, kt_take(self->fd, NULL, self->buf, 64));
		ASSERT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &self->send));
		EXPECT_TRUE(untold(&self->send));
		ASSERT_EQ(8, kt_take(self->fd, NULL, self->buf, 64));
	}
	/* nor of a message that was received */
	kt_start(&self->job, self->fd, KPOST_IOC_RECV, &recv);
	self->send.flags = KPOST_SYNC;
	self->send.deadline = kt_soon();
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &self->send));
	EXPECT_TRUE(untold(&self->send));
	expect_end(8);
}

TEST_F(sequence, sequence_is_not_told_where_nothing_was_sent)
{
	struct kpost_send bad;
	int fds[2];

#define fails(err, fd, args) do {						\
	bad = (args);								\
	EXPECT_REFUSED(err, fd, kt_ioctl(fd, KPOST_IOC_SEND, &bad));		\
	EXPECT_TRUE(untold(&bad));						\
	EXPECT_REFUSED(err, fd, uring_do(&self->ring, fd, KPOST_IOC_SEND, &bad)); \
	EXPECT_TRUE(untold(&bad));						\
} while (0)
	fails(EINVAL, self->fd, numbered(KPOST_PRIORITY_MAX + 1, 0, 0));
	fails(EINVAL, self->fd, numbered(0, KPOST_SYNC | KPOST_DONTWAIT, 0));
	fails(ETIMEDOUT, self->fd, numbered(0, KPOST_SYNC, 1));
	self->send.len = 101;
	fails(EMSGSIZE, self->fd, self->send);
	self->send.len = 8;
	self->send.buf = (uintptr_t)kt_edge(PROT_NONE);
	fails(EFAULT, self->fd, self->send);
	fill();
	fails(EAGAIN, self->fd, numbered(0, KPOST_DONTWAIT, 0));
	fails(ETIMEDOUT, self->fd, numbered(0, 0, kt_in(20)));
	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	fails(EBADF, fds[0], numbered(0, 0, 0));
	close(fds[0]);
	fails(EPIPE, fds[1], numbered(0, 0, 0));
	close(fds[1]);
#undef fails
}

TEST_F(sequence, sequence_is_not_told_of_a_message_that_was_withdrawn)
{
	self->send = numbered(0, KPOST_SYNC, kt_in(30));
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_SEND, &self->send));
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(1, kt_stat(self->fd).dropped);
	EXPECT_TRUE(untold(&self->send));
}

/* the number is of when it got in, not of when the sender came */
TEST_F(sequence, sequence_told_after_waiting_for_room_is_that_of_getting_in)
{
	struct kpost_send first = numbered(0, 0, kt_soon()), urgent = numbered(9, 0, kt_soon());
	struct kt_job jobs[2];

	fill();
	kt_start(&jobs[0], self->fd, KPOST_IOC_SEND, &first);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	kt_start(&jobs[1], self->fd, KPOST_IOC_SEND, &urgent);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 2));
	/* the second to come is the first to get in, and is received before all others */
	ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	ASSERT_TRUE(kt_join(&jobs[1]));
	EXPECT_EQ(0, jobs[1].ret);
	EXPECT_EQ(3, urgent.sequence);
	ASSERT_EQ(8, kt_take(self->fd, &self->recv, self->buf, 64));
	EXPECT_EQ(3, self->recv.sequence);
	ASSERT_TRUE(kt_join(&jobs[0]));
	EXPECT_EQ(0, jobs[0].ret);
	EXPECT_EQ(4, first.sequence);
	ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	ASSERT_EQ(8, kt_take(self->fd, &self->recv, self->buf, 64));
	EXPECT_EQ(4, self->recv.sequence);
}

TEST_F(sequence, sequence_told_after_a_ring_waited_for_room)
{
	struct uring_result result;

	fill();
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &self->send, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_TRUE(untold(&self->send));
	ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(0, result.res);
	EXPECT_EQ(3, self->send.sequence);
}

TEST_F(sequence, sequence_told_after_receipt)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 64, 0, kt_soon());

	/* in the mailbox, without room, and with a receiver that waits */
	self->send = numbered(0, KPOST_SYNC, kt_soon());
	kt_start(&self->job, self->fd, KPOST_IOC_SEND, &self->send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	ASSERT_EQ(8, kt_take(self->fd, &self->recv, self->buf, 64));
	expect_end(0);
	EXPECT_EQ(1, self->send.sequence);
	EXPECT_EQ(1, self->recv.sequence);

	self->send = numbered(0, KPOST_SYNC, kt_soon());
	start_without_room();
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	}
	ASSERT_EQ(8, kt_take(self->fd, &self->recv, self->buf, 64));
	expect_end(0);
	EXPECT_EQ(4, self->send.sequence);
	EXPECT_EQ(4, self->recv.sequence);

	kt_start(&self->job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	self->send = numbered(0, KPOST_SYNC, kt_soon());
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &self->send));
	expect_end(8);
	EXPECT_EQ(5, self->send.sequence);
	EXPECT_EQ(5, recv.sequence);
}

TEST_F(sequence, sequence_told_after_restarts_is_that_of_the_last_try)
{
	ASSERT_EQ(0, kt_handle(SIGUSR1, SA_RESTART));
	self->send = numbered(0, KPOST_SYNC, kt_soon());
	kt_start(&self->job, self->fd, KPOST_IOC_SEND, &self->send);
	for (int i = 1; i <= 5; i++) {
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
		ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals == i));
	}
	ASSERT_EQ(8, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	expect_end(0);
	EXPECT_LT(1, self->recv.sequence);
	EXPECT_EQ(self->recv.sequence, self->send.sequence);
}

/* ---- a struct that cannot be written to ---------------------------------------------- */

TEST_F(sequence, sequence_that_cannot_be_told_is_efault_and_nothing_is_sent)
{
	static const size_t where[] = { 0, offsetof(struct kpost_send, sequence),
					offsetof(struct kpost_send, sequence) + 7 };
	static const unsigned int flags[] = { KPOST_DONTWAIT, 0, KPOST_SYNC };

	for (size_t i = 0; i < ARRAY_SIZE(where) * ARRAY_SIZE(flags); i++) {
		char *page = kt_edge(PROT_READ | PROT_WRITE), *send = page - where[i % 3];

		self->send = numbered(0, flags[i / 3], kt_soon());
		memcpy(send, &self->send, sizeof(self->send));
		ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
		EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SEND, send));
		EXPECT_REFUSED(EFAULT, self->fd,
			       uring_do(&self->ring, self->fd, KPOST_IOC_SEND, send));
		EXPECT_EQ(0, memcmp(send, &self->send, sizeof(self->send)));
		EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, 64));
	}
}

TEST_F(sequence, sequence_that_is_not_asked_for_needs_no_memory)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);

	self->send.flags = 0;
	memcpy(page, &self->send, sizeof(self->send));
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, page));
	EXPECT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, page));
	EXPECT_EQ(2, kt_stat(self->fd).sent);
}

/* what was sent was sent, and to say otherwise would have it sent twice */
static void take_away(struct __test_metadata *_metadata, FIXTURE_DATA(sequence) *self, int prot,
		      unsigned int flags, bool by_ring)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE);
	uint64_t sent = kt_stat(self->fd).sent + 3;
	struct uring_result result;

	self->send = numbered(0, flags, kt_soon());
	memcpy(page, &self->send, sizeof(self->send));
	fill();
	if (by_ring) {
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_SEND, page, 1));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
	} else {
		kt_start(&self->job, self->fd, KPOST_IOC_SEND, page);
	}
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_EQ(0, mprotect(page, kt_page_size(), prot));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 64));
	}
	ASSERT_EQ(8, kt_recv(self->fd, &self->recv, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(sent, self->recv.sequence);
	if (by_ring) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(0, result.res);
	} else {
		expect_end(0);
	}
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, 64));
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
	EXPECT_TRUE(untold((struct kpost_send *)page));
}

TEST_F(sequence, sequence_whose_memory_is_taken_away_is_lost_and_the_message_is_not)
{
	static const int prots[] = { PROT_NONE, PROT_READ };

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		take_away(_metadata, self, prots[i], 0, false);
		take_away(_metadata, self, prots[i], 0, true);
		take_away(_metadata, self, prots[i], KPOST_SYNC, false);
		take_away(_metadata, self, prots[i], KPOST_SYNC, true);
	}
}

/* ---- many at once ----------------------------------------------------------------------- */

enum { SENDERS = 4, EACH = 300 };

struct sending {
	int fd;
	unsigned int first;
	uint64_t told[EACH];
};

static long send_many(void *arg)
{
	struct sending *sending = arg;

	for (unsigned int i = 0; i < EACH; i++) {
		unsigned int id = sending->first + i;
		struct kpost_send send = numbered(i % 3, i % 5 ? 0 : KPOST_SYNC, kt_soon());
		long err;

		send.buf = (uintptr_t)&id;
		send.len = sizeof(id);
		err = kt_ioctl(sending->fd, KPOST_IOC_SEND, &send);
		if (err)
			return err;
		sending->told[i] = send.sequence;
	}
	return 0;
}

TEST_F(sequence, sequence_told_to_many_is_that_of_each_ones_own)
{
	static struct sending sending[SENDERS];
	static uint64_t received[SENDERS * EACH];
	struct kt_job jobs[SENDERS];

	for (int i = 0; i < SENDERS; i++) {
		sending[i] = (struct sending){ .fd = self->fd, .first = i * EACH };
		kt_start_fn(&jobs[i], send_many, &sending[i]);
	}
	for (int i = 0; i < SENDERS * EACH; i++) {
		unsigned int id;

		ASSERT_EQ(4, kt_recv(self->fd, &self->recv, &id, sizeof(id), 0, kt_soon()));
		ASSERT_GT(SENDERS * EACH, id);
		received[id] = self->recv.sequence;
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
		EXPECT_EQ(0, memcmp(&received[i * EACH], sending[i].told, sizeof(sending[i].told)));
	}
}

TEST_HARNESS_MAIN
