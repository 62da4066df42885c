// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ends an io_uring command's wait races what cancels it.  Whoever wins, the
 * account comes out even: a message is received once if its request completed
 * with success, and is where it was if not.
 */
#include "child_test.h"
#include "uring_test.h"

#define ROUNDS	200

FIXTURE(uring_race) {
	struct io_uring ring;
	int fd;			/* a mailbox of one message */
	pthread_barrier_t barrier;
};

FIXTURE_SETUP(uring_race)
{
	ASSERT_EQ(0, uring_init(&self->ring, 8, 0));
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, pthread_barrier_init(&self->barrier, NULL, 2));
}

FIXTURE_TEARDOWN(uring_race)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

/* The other side: @fn once in each round, as the barrier opens. */
struct rival {
	FIXTURE_DATA(uring_race) *self;
	long (*fn)(struct rival *rival, int round);
	uint64_t token;
	long ret;
	int value;
};

static long rival_main(void *arg)
{
	struct rival *rival = arg;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&rival->self->barrier);
		rival->ret = rival->fn(rival, i);
		pthread_barrier_wait(&rival->self->barrier);
	}
	return 0;
}

/* a few hundred instructions, another number each round, so that the winner varies */
static void dither(int round)
{
	for (volatile int i = (round * 37) % 400; i > 0; i--)
		;
}

/* cancel request 1 while the rival does its part; the request's result */
static int race(struct __test_metadata *_metadata, FIXTURE_DATA(uring_race) *self, int round)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	struct uring_result result;
	int res = 1, seen = 0;

	io_uring_prep_cancel64(sqe, 1, 0);
	sqe->user_data = 99;
	pthread_barrier_wait(&self->barrier);
	dither(ROUNDS - round);
	io_uring_submit(&self->ring);
	for (int i = 0; i < 2; i++) {
		if (uring_wait(&self->ring, &result)) {
			EXPECT_TRUE(false) TH_LOG("round %d: a completion is missing", round);
			_exit(CHILD_FAILED);
		}
		if (result.data == 1) {
			res = result.res;
			seen++;
		}
	}
	pthread_barrier_wait(&self->barrier);
	EXPECT_EQ(1, seen) TH_LOG("round %d", round);
	EXPECT_FALSE(uring_done(&self->ring)) TH_LOG("round %d: one completion too many", round);
	return res;
}

static long rival_send(struct rival *rival, int round)
{
	dither(round);
	return kt_post(rival->self->fd, &round, sizeof(round), 0);
}

TEST_F(uring_race, message_handed_over_is_received_or_stays)
{
	struct rival rival = { .self = self, .fn = rival_send };
	int got = 0, left = 0, value;
	struct kpost_recv recv;
	struct kt_job job;

	kt_start_fn(&job, rival_main, &rival);
	for (int i = 0; i < ROUNDS; i++) {
		recv = kt_recv_args(&value, sizeof(value), 0, 0);
		value = -1;
		uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 1);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		/* every other round: while the worker is only on its way */
		if (i % 2) {
			ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		}
		if (race(_metadata, self, i) == sizeof(value)) {
			EXPECT_EQ(i, value);
			EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, &value, sizeof(value)))
				TH_LOG("round %d: received twice", i);
			got++;
		} else {
			EXPECT_EQ(-1, value) TH_LOG("round %d: cancelled, but stored", i);
			EXPECT_EQ(4, kt_take(self->fd, NULL, &value, sizeof(value)))
				TH_LOG("round %d: lost", i);
			EXPECT_EQ(i, value);
			left++;
		}
		ASSERT_EQ(0, rival.ret);
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(ROUNDS, got + left);
	EXPECT_EQ(ROUNDS, kt_stat(self->fd).received);
	EXPECT_EQ(0, kt_stat(self->fd).dropped);
}

static long rival_recv(struct rival *rival, int round)
{
	dither(round);
	return kt_take(rival->self->fd, NULL, &rival->value, sizeof(rival->value));
}

TEST_F(uring_race, message_let_in_is_sent_and_one_cancelled_is_not)
{
	struct rival rival = { .self = self, .fn = rival_recv };
	struct kpost_send send;
	struct kt_job job;
	int value, res;

	kt_start_fn(&job, rival_main, &rival);
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, kt_post(self->fd, &(int){ -5 }, sizeof(int), 0));
		send = kt_send_args(&i, sizeof(i), 0, 0, 0);
		uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		if (i % 2) {
			ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
		}
		res = race(_metadata, self, i);
		ASSERT_EQ(4, rival.ret);
		ASSERT_EQ(-5, rival.value);
		value = -1;
		if (res == 0) {
			EXPECT_EQ(4, kt_take(self->fd, NULL, &value, sizeof(value)))
				TH_LOG("round %d: lost", i);
			EXPECT_EQ(i, value);
		} else {
			EXPECT_EQ(-ECANCELED, res);
			EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, &value, sizeof(value)))
				TH_LOG("round %d: cancelled, but sent", i);
		}
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

TEST_F(uring_race, message_sent_to_be_received_was_received_iff_that_was_told)
{
	struct rival rival = { .self = self, .fn = rival_recv };
	struct kpost_send send;
	struct kt_job job;
	int res;

	kt_start_fn(&job, rival_main, &rival);
	for (int i = 0; i < ROUNDS; i++) {
		send = kt_send_args(&i, sizeof(i), 0, KPOST_SYNC, 0);
		uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
		res = race(_metadata, self, i);
		if (rival.ret == 4) {
			EXPECT_EQ(0, res) TH_LOG("round %d: received, but cancelled", i);
			EXPECT_EQ(i, rival.value);
		} else {
			EXPECT_EQ(-EAGAIN, rival.ret);
			EXPECT_EQ(-ECANCELED, res) TH_LOG("round %d: not received", i);
		}
		EXPECT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 0));
	}
	ASSERT_TRUE(kt_join(&job));
}

static long rival_reply(struct rival *rival, int round)
{
	dither(round);
	return kt_reply(rival->self->fd, rival->token, &round, sizeof(round));
}

TEST_F(uring_race, call_is_answered_iff_its_reply_went_through)
{
	struct rival rival = { .self = self, .fn = rival_reply };
	int value, answer, res;
	struct kpost_call call;
	struct kpost_recv recv;
	struct kt_job job;

	kt_start_fn(&job, rival_main, &rival);
	for (int i = 0; i < ROUNDS; i++) {
		answer = -1;
		call = kt_call_args(&i, sizeof(i), &answer, sizeof(answer), 0);
		uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1);
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_EQ(4, kt_recv(self->fd, &recv, &value, sizeof(value), 0, kt_soon()));
		rival.token = recv.token;
		res = race(_metadata, self, i);
		if (rival.ret == 0) {
			EXPECT_EQ(4, res) TH_LOG("round %d: replied, but cancelled", i);
			EXPECT_EQ(i, answer);
		} else {
			EXPECT_EQ(-ECANCELED, rival.ret);
			EXPECT_EQ(-ECANCELED, res);
			EXPECT_EQ(-1, answer);
		}
		EXPECT_EQ(-ENOENT, kt_reply(self->fd, recv.token, NULL, 0));
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
}

/* what came in was received or is still there, once all is quiet */
static bool even(int fd)
{
	return kt_until(({
		struct kpost_stat st = kt_stat(fd);

		st.waiting_receivers == 0 && st.sent == st.received + st.queued_messages &&
			st.dropped == 0;
	}));
}

TEST_F(uring_race, ring_that_goes_while_a_message_comes_loses_none)
{
	struct rival rival = { .self = self, .fn = rival_send };
	struct kpost_recv recv;
	struct io_uring ring;
	struct kt_job job;
	int value;

	kt_start_fn(&job, rival_main, &rival);
	for (int i = 0; i < ROUNDS; i++) {
		if (i >= ROUNDS / 4) { /* enough; let the rival come to its end */
			pthread_barrier_wait(&self->barrier);
			pthread_barrier_wait(&self->barrier);
			kt_take(self->fd, NULL, &value, sizeof(value));
			continue;
		}
		ASSERT_EQ(0, uring_init(&ring, 4, 0));
		recv = kt_recv_args(&value, sizeof(value), 0, 0);
		uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv, 1);
		ASSERT_EQ(1, io_uring_submit(&ring));
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		pthread_barrier_wait(&self->barrier);
		dither(ROUNDS - i);
		io_uring_queue_exit(&ring);
		pthread_barrier_wait(&self->barrier);
		ASSERT_EQ(0, rival.ret);
		/* the ring has it, or will yet, or it is to be had here */
		ASSERT_TRUE(kt_until(kt_stat(self->fd).received == (uint64_t)i + 1 ||
				     kt_take(self->fd, NULL, &value, sizeof(value)) == 4))
			TH_LOG("round %d: lost", i);
		EXPECT_EQ((uint64_t)i + 1, kt_stat(self->fd).received);
		EXPECT_EQ(i, value);
		ASSERT_TRUE(even(self->fd)) TH_LOG("round %d: lost or doubled", i);
	}
	ASSERT_TRUE(kt_join(&job));
}

static int receive_until_killed(void *arg)
{
	struct kpost_recv recv;
	struct io_uring ring;
	char buf[8];

	CHECK_EQ(0, uring_init(&ring, 4, 0));
	for (;;) {
		recv = kt_recv_args(buf, sizeof(buf), 0, 0);
		CHECK_EQ(4, uring_do(&ring, *(int *)arg, KPOST_IOC_RECV, &recv));
	}
}

TEST_F(uring_race, process_killed_while_messages_come_loses_none)
{
	int value, got;
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		pid = child_start(receive_until_killed, &self->fd);
		for (int n = 0; n < 1 + i % 5; n++) {
			ASSERT_EQ(0, kt_send(self->fd, &n, sizeof(n), 0, 0, kt_soon()));
		}
		dither(i * 7);
		ASSERT_LE(0, kt_kill(pid));
		ASSERT_TRUE(even(self->fd)) TH_LOG("round %d: lost or doubled", i);
		got = (int)kt_take(self->fd, NULL, &value, sizeof(value));
		EXPECT_TRUE(got == 4 || got == -EAGAIN);
		EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, &value, sizeof(value)));
	}
}

#define STOPS	30

/* all in order, each once, whatever a stop of the process does to the request */
static int receive_though_stopped(void *arg)
{
	struct kpost_recv recv;
	struct io_uring ring;
	int value, res;

	CHECK_EQ(0, uring_init(&ring, 4, 0));
	for (int i = 0; i < STOPS; i++) {
		do {
			recv = kt_recv_args(&value, sizeof(value), 0, 0);
			res = uring_do(&ring, *(int *)arg, KPOST_IOC_RECV, &recv);
		} while (res == -EINTR || res == -ECANCELED);
		CHECK_EQ(4, res);
		CHECK_EQ(i, value);
	}
	io_uring_queue_exit(&ring);
	return 0;
}

TEST_F(uring_race, process_stopped_while_messages_come_loses_none)
{
	pid_t pid = child_start(receive_though_stopped, &self->fd);
	int status;

	for (int i = 0; i < STOPS; i++) {
		if (i % 2) {
			ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		}
		ASSERT_EQ(0, kill(pid, SIGSTOP));
		if (i % 3) {
			ASSERT_TRUE(kt_until(waitpid(pid, &status, WUNTRACED | WNOHANG) == pid));
			ASSERT_TRUE(WIFSTOPPED(status));
		}
		ASSERT_EQ(0, kt_send(self->fd, &i, sizeof(i), 0, 0, kt_soon()));
		dither(i * 13);
		ASSERT_EQ(0, kill(pid, SIGCONT));
		ASSERT_TRUE(kt_until(kt_stat(self->fd).received == (uint64_t)i + 1))
			TH_LOG("message %d is not received", i);
	}
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* many at once, cancelled at random while they are served */
TEST_F(uring_race, storm_of_requests_and_cancellations_completes_each_once)
{
	enum { ALL = 400, SLOTS = 16 };
	static struct kpost_recv recv[SLOTS];
	static int buf[SLOTS];
	bool busy[SLOTS] = {};
	uint8_t seen[ALL] = {};
	struct io_uring ring;
	struct uring_result result;
	int sent = 0, received = 0, value;
	uint64_t end = kt_in(20000);

	ASSERT_EQ(0, uring_init(&ring, 2 * SLOTS, 0));
	while (received < ALL && kt_now() < end) {
		struct io_uring_sqe *sqe;
		int slot = rand() % SLOTS;

		if (!busy[slot]) {
			recv[slot] = kt_recv_args(&buf[slot], sizeof(int), 0, 0);
			uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv[slot], slot);
			busy[slot] = true;
		} else if (rand() % 2) {
			sqe = io_uring_get_sqe(&ring);
			io_uring_prep_cancel64(sqe, slot, 0);
			sqe->user_data = 99;
		}
		io_uring_submit(&ring);
		if (sent < ALL && kt_post(self->fd, &sent, sizeof(sent), 0) == 0)
			sent++;
		if (rand() % 8 == 0 && kt_take(self->fd, NULL, &value, sizeof(value)) == 4) {
			seen[value]++;
			received++;
		}
		while (uring_done(&ring)) {
			ASSERT_EQ(0, uring_wait(&ring, &result));
			if (result.data == 99)
				continue;
			busy[result.data] = false;
			if (result.res == -ECANCELED)
				continue;
			ASSERT_EQ(4, result.res);
			seen[buf[result.data]]++;
			received++;
		}
	}
	for (int i = 0; i < ALL; i++) {
		EXPECT_EQ(1, seen[i]) TH_LOG("message %d", i);
	}
	EXPECT_EQ(ALL, kt_stat(self->fd).received);
	io_uring_queue_exit(&ring);
}

TEST_HARNESS_MAIN
