// SPDX-License-Identifier: GPL-2.0-only
/*
 * First in, first out for each sender and priority, higher priorities first; and
 * sequence numbers by which several receivers can still tell.
 */
#include "kpost_test.h"

FIXTURE(order) {
	int fd;
	unsigned int random;
};

FIXTURE_SETUP(order)
{
	self->fd = kt_mailbox(20000, 0, 64);
	ASSERT_LE(0, self->fd);
	self->random = 12345;
}

FIXTURE_TEARDOWN(order)
{
	close(self->fd);
}

static unsigned int next_random(unsigned int *state)
{
	*state = *state * 1103515245u + 12345u;
	return *state >> 8;
}

TEST_F(order, order_is_first_in_first_out_at_one_priority)
{
	struct kpost_recv recv;
	unsigned int value;

	for (unsigned int i = 0; i < 1000; i++) {
		ASSERT_EQ(0, kt_post(self->fd, &i, sizeof(i), 7));
	}
	for (unsigned int i = 0; i < 1000; i++) {
		ASSERT_EQ(sizeof(value), kt_take(self->fd, &recv, &value, sizeof(value)));
		ASSERT_EQ(i, value);
		ASSERT_EQ(i + 1, recv.sequence);
		ASSERT_EQ(7, recv.priority);
	}
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, &recv, &value, sizeof(value)));
}

TEST_F(order, order_is_higher_priority_first)
{
	static const unsigned int sent[] = { 5, 0, KPOST_PRIORITY_MAX, 5, 1, 0, 32766, 31, 32, 33,
					     63, 64, 65, 1023, 1024, 1025, KPOST_PRIORITY_MAX };
	struct kpost_recv recv, last = { .priority = KPOST_PRIORITY_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		ASSERT_EQ(0, kt_post(self->fd, "", 0, sent[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		ASSERT_EQ(0, kt_take(self->fd, &recv, NULL, 0));
		EXPECT_LE(recv.priority, last.priority);
		if (recv.priority == last.priority) {
			EXPECT_LT(last.sequence, recv.sequence);
		}
		/* the sequence number tells which one it was */
		ASSERT_LE(1, recv.sequence);
		ASSERT_LE(recv.sequence, ARRAY_SIZE(sent));
		EXPECT_EQ(sent[recv.sequence - 1], recv.priority);
		last = recv;
	}
}

TEST_F(order, order_of_priorities_is_from_zero_to_the_greatest)
{
	EXPECT_EQ(0, kt_post(self->fd, "", 0, 0));
	EXPECT_EQ(0, kt_post(self->fd, "", 0, KPOST_PRIORITY_MAX));
	EXPECT_REFUSED(EINVAL, self->fd, kt_post(self->fd, "", 0, KPOST_PRIORITY_MAX + 1));
	EXPECT_REFUSED(EINVAL, self->fd, kt_post(self->fd, "", 0, 65536));
	EXPECT_REFUSED(EINVAL, self->fd, kt_post(self->fd, "", 0, 1u << 31));
	EXPECT_REFUSED(EINVAL, self->fd, kt_post(self->fd, "", 0, UINT32_MAX));
}

/* thousands of priorities in use at once, each in and out many times */
TEST_F(order, order_holds_at_random_against_a_model)
{
	enum { COUNT = 6000, SPREAD = 512, STEP = (KPOST_PRIORITY_MAX + 1) / SPREAD };
	static unsigned int first[SPREAD], last[SPREAD], next[COUNT + 1];
	unsigned int sent = 0, received = 0, top;
	struct kpost_recv recv;

	/* the model: a list of sequence numbers for each priority in use, 0 ends it */
	while (received < COUNT) {
		unsigned int dice = next_random(&self->random) % 100;

		if (sent < COUNT && (dice < 60 || sent == received)) {
			unsigned int p = next_random(&self->random) % SPREAD;

			if (dice < 20)
				p %= 4;
			ASSERT_EQ(0, kt_post(self->fd, &p, sizeof(p), p * STEP + STEP - 1));
			sent++;
			if (first[p])
				next[last[p]] = sent;
			else
				first[p] = sent;
			last[p] = sent;
			continue;
		}
		ASSERT_EQ(sizeof(top), kt_take(self->fd, &recv, &top, sizeof(top)));
		received++;
		ASSERT_EQ(top * STEP + STEP - 1, recv.priority);
		for (unsigned int p = SPREAD - 1; p > top; p--) {
			ASSERT_EQ(0, first[p]) TH_LOG("got %u before %u", top, p);
		}
		ASSERT_EQ(first[top], recv.sequence);
		first[top] = next[first[top]];
	}
}

TEST_F(order, order_of_write_is_that_of_priority_zero)
{
	char c;

	ASSERT_EQ(0, kt_post(self->fd, "1", 1, 0));
	ASSERT_EQ(1, write(self->fd, "2", 1));
	ASSERT_EQ(0, kt_post(self->fd, "3", 1, 0));
	ASSERT_EQ(0, kt_post(self->fd, "0", 1, 1));
	ASSERT_EQ(1, write(self->fd, "4", 1));
	for (char want = '0'; want <= '4'; want++) {
		if (want & 1) {
			ASSERT_EQ(1, read(self->fd, &c, 1));
		} else {
			ASSERT_EQ(1, kt_take(self->fd, NULL, &c, 1));
		}
		EXPECT_EQ(want, c);
	}
}

TEST_F(order, order_of_sequence_numbers_has_no_gap_after_a_refused_send)
{
	struct kpost_recv recv;

	ASSERT_EQ(0, kt_post(self->fd, "", 0, 0));
	EXPECT_EQ(-EMSGSIZE, kt_post(self->fd, NULL, 65, 0));
	EXPECT_EQ(-EFAULT, kt_post(self->fd, NULL, 64, 0));
	EXPECT_EQ(-EINVAL, kt_post(self->fd, NULL, 0, KPOST_PRIORITY_MAX + 1));
	ASSERT_EQ(0, kt_post(self->fd, "", 0, 0));
	ASSERT_EQ(0, kt_take(self->fd, &recv, NULL, 0));
	EXPECT_EQ(1, recv.sequence);
	ASSERT_EQ(0, kt_take(self->fd, &recv, NULL, 0));
	EXPECT_EQ(2, recv.sequence);
	EXPECT_EQ(2, kt_stat(self->fd).sent);
	EXPECT_EQ(2, kt_stat(self->fd).received);
}

struct stream {
	int fd;
	unsigned int who, count, priorities;
};

struct item {
	unsigned int who, number;
};

static long send_stream(void *arg)
{
	struct stream *stream = arg;

	for (unsigned int i = 0; i < stream->count; i++) {
		struct item item = { stream->who, i };
		long ret = kt_send(stream->fd, &item, sizeof(item), i % stream->priorities, 0,
				   kt_soon());

		if (ret)
			return ret;
	}
	return 0;
}

/* more senders than room, so that each waits now and then */
TEST(order_of_each_sender_is_kept_while_they_wait_for_room)
{
	enum { SENDERS = 3, COUNT = 400 };
	int fd = kt_mailbox(3, 0, 64);
	struct stream streams[SENDERS];
	struct kt_job jobs[SENDERS];
	unsigned int next[SENDERS] = { 0 };
	struct item item;

	ASSERT_LE(0, fd);
	for (unsigned int i = 0; i < SENDERS; i++) {
		streams[i] = (struct stream){ fd, i, COUNT, 1 };
		kt_start_fn(&jobs[i], send_stream, &streams[i]);
	}
	for (int i = 0; i < SENDERS * COUNT; i++) {
		ASSERT_EQ(sizeof(item), kt_recv(fd, NULL, &item, sizeof(item), 0, kt_soon()));
		ASSERT_LT(item.who, SENDERS);
		ASSERT_EQ(next[item.who], item.number) TH_LOG("of sender %u", item.who);
		next[item.who]++;
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
}

/* per priority a sender's messages stay in order, though priorities overtake */
TEST(order_of_each_sender_and_priority_is_kept_under_load)
{
	enum { SENDERS = 2, COUNT = 600, PRIORITIES = 3 };
	int fd = kt_mailbox(8, 0, 64);
	struct stream streams[SENDERS];
	struct kt_job jobs[SENDERS];
	unsigned int next[SENDERS][PRIORITIES] = { 0 };
	struct kpost_recv recv;
	struct item item;

	ASSERT_LE(0, fd);
	for (unsigned int i = 0; i < SENDERS; i++) {
		streams[i] = (struct stream){ fd, i, COUNT, PRIORITIES };
		kt_start_fn(&jobs[i], send_stream, &streams[i]);
	}
	for (int i = 0; i < SENDERS * COUNT; i++) {
		unsigned int *due;

		ASSERT_EQ(sizeof(item), kt_recv(fd, &recv, &item, sizeof(item), 0, kt_soon()));
		ASSERT_EQ(item.number % PRIORITIES, recv.priority);
		due = &next[item.who][recv.priority];
		ASSERT_EQ(*due * PRIORITIES + recv.priority, item.number);
		++*due;
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
}

/* a full mailbox, and senders that wait, each known to wait before the next comes */
static void start_waiting_sender(struct __test_metadata *_metadata, int fd, struct kt_job *job,
				 struct kpost_send *send, const void *buf, unsigned int priority)
{
	unsigned int before = kt_stat(fd).waiting_senders;

	*send = kt_send_args(buf, 1, priority, 0, kt_soon());
	kt_start(job, fd, KPOST_IOC_SEND, send);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == before + 1));
}

TEST(order_of_waiting_senders_is_by_priority_then_first_come)
{
	static const struct {
		char payload;
		unsigned int priority;
	} waiting[] = { { 'd', 1 }, { 'b', 5 }, { 'f', 0 }, { 'a', 9 }, { 'c', 5 }, { 'e', 1 } };
	struct kpost_send send[ARRAY_SIZE(waiting)];
	struct kt_job jobs[ARRAY_SIZE(waiting)];
	int fd = kt_mailbox(1, 0, 16);
	char c;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "0", 1, 0));
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		start_waiting_sender(_metadata, fd, &jobs[i], &send[i], &waiting[i].payload,
				     waiting[i].priority);
	}
	ASSERT_EQ(1, kt_take(fd, NULL, &c, 1));
	EXPECT_EQ('0', c);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		ASSERT_EQ(1, kt_recv(fd, NULL, &c, 1, 0, kt_soon()));
		EXPECT_EQ((char)('a' + i), c);
	}
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
}

TEST(order_newcomers_do_not_overtake_a_waiting_sender)
{
	int fd = kt_mailbox(1, 0, 16);
	struct kpost_send send;
	struct kt_job job;
	char c;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "1", 1, 0));
	start_waiting_sender(_metadata, fd, &job, &send, "2", 3);
	ASSERT_EQ(1, kt_take(fd, NULL, &c, 1));
	/* the room is the waiting sender's, whether it has woken yet or not */
	EXPECT_EQ(-EAGAIN, kt_post(fd, "x", 1, 3));
	EXPECT_EQ(-EAGAIN, kt_post(fd, "x", 1, 0));
	ASSERT_EQ(1, kt_recv(fd, NULL, &c, 1, 0, kt_soon()));
	EXPECT_EQ('2', c);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(0, kt_post(fd, "3", 1, 0));
}

/* a small message would fit where a large one waits, but has to queue up behind it */
TEST(order_small_newcomers_do_not_starve_a_large_waiting_message)
{
	char buf[100] = "";
	int fd = kt_mailbox(10, 100, 100);
	struct kpost_send large = kt_send_args(buf, 100, 0, 0, kt_soon());
	struct kpost_recv recv;
	struct kt_job job;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, buf, 50, 0));
	kt_start(&job, fd, KPOST_IOC_SEND, &large);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, buf, 1, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, buf, 0, 0));
	ASSERT_EQ(50, kt_take(fd, NULL, buf, sizeof(buf)));
	ASSERT_EQ(100, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(2, recv.sequence);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST(order_of_waiting_receivers_is_first_come_first_served)
{
	enum { COUNT = 4 };
	int fd = kt_mailbox(8, 0, 16);
	struct kpost_recv recv[COUNT];
	struct kt_job jobs[COUNT];
	char got[COUNT];

	ASSERT_LE(0, fd);
	for (int i = 0; i < COUNT; i++) {
		recv[i] = kt_recv_args(&got[i], 1, 0, kt_soon());
		kt_start(&jobs[i], fd, KPOST_IOC_RECV, &recv[i]);
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == i + 1u));
	}
	for (char c = '0'; c < '0' + COUNT; c++) {
		ASSERT_EQ(0, kt_post(fd, &c, 1, 0));
	}
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		ASSERT_EQ(1, jobs[i].ret);
		EXPECT_EQ((char)('0' + i), got[i]);
		EXPECT_EQ(i + 1u, recv[i].sequence);
	}
	EXPECT_EQ(0, kt_stat(fd).waiting_receivers);
}

/* what is handed over was not overtaken by what came later with more priority */
TEST(order_late_receiver_does_not_take_what_an_earlier_one_was_given)
{
	int fd = kt_mailbox(8, 0, 16);
	struct kpost_recv recv;
	struct kt_job job;
	char first, second;

	ASSERT_LE(0, fd);
	recv = kt_recv_args(&first, 1, 0, kt_soon());
	kt_start(&job, fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(fd, "1", 1, 0));
	ASSERT_EQ(0, kt_post(fd, "2", 1, KPOST_PRIORITY_MAX));
	ASSERT_EQ(1, kt_take(fd, NULL, &second, 1));
	ASSERT_TRUE(kt_join(&job));
	ASSERT_EQ(1, job.ret);
	EXPECT_EQ('1', first);
	EXPECT_EQ('2', second);
	EXPECT_EQ(-EAGAIN, kt_take(fd, NULL, &second, 1));
}

TEST(order_sequence_numbers_belong_to_one_mailbox)
{
	int a = kt_mailbox(8, 0, 16), b = kt_mailbox(8, 0, 16);
	struct kpost_recv recv;

	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, kt_post(a, "", 0, 0));
	}
	ASSERT_EQ(0, kt_post(b, "", 0, 0));
	ASSERT_EQ(0, kt_take(b, &recv, NULL, 0));
	EXPECT_EQ(1, recv.sequence);
	EXPECT_EQ(3, kt_stat(a).sent);
	EXPECT_EQ(0, kt_stat(a).received);
}

TEST_HARNESS_MAIN
