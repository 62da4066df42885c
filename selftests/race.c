// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hand-over beats timeout and signal, and a woken waiter that leaves passes its
 * turn on: many tries at the moment where a waiter leaves just as it is served,
 * with every message accounted for.
 */
#include "kpost_test.h"

enum { MOST = 4000 };

struct tally {
	int fd;
	bool stop;
	unsigned int spin;		/* for jitter */
	unsigned char got[MOST];	/* how often each number was received or sent */
	unsigned int count, left;
};

static unsigned int jitter(struct tally *tally)
{
	tally->spin = tally->spin * 1103515245u + 12345u;
	return tally->spin >> 16 & 255;
}

static bool stopped(struct tally *tally)
{
	return __atomic_load_n(&tally->stop, __ATOMIC_ACQUIRE);
}

static void stop(struct tally *tally)
{
	__atomic_store_n(&tally->stop, true, __ATOMIC_RELEASE);
}

/* receive with deadlines of up to a quarter of a millisecond */
static long receive_briefly(void *arg)
{
	struct tally *tally = arg;
	unsigned int number;

	while (!stopped(tally)) {
		uint64_t deadline = kt_now() + jitter(tally) * 1000;
		long ret = kt_recv(tally->fd, NULL, &number, sizeof(number), 0, deadline);

		if (ret == -ETIMEDOUT || ret == -EINTR) {
			__atomic_add_fetch(&tally->left, 1, __ATOMIC_RELEASE);
			continue;
		}
		if (ret != sizeof(number) || number >= MOST)
			return ret < 0 ? ret : -EIO;
		tally->got[number]++;
		__atomic_add_fetch(&tally->count, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* receive for as long as it takes, but for signals */
static long receive_patiently(void *arg)
{
	struct tally *tally = arg;
	unsigned int number;

	while (!stopped(tally)) {
		long ret = kt_recv(tally->fd, NULL, &number, sizeof(number), 0, kt_in(20));

		if (ret == -EINTR) {
			__atomic_add_fetch(&tally->left, 1, __ATOMIC_RELEASE);
			continue;
		}
		if (ret == -ETIMEDOUT)
			continue;
		if (ret != sizeof(number) || number >= MOST)
			return ret < 0 ? ret : -EIO;
		tally->got[number]++;
		__atomic_add_fetch(&tally->count, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

static unsigned int counted(struct tally *tally)
{
	return __atomic_load_n(&tally->count, __ATOMIC_ACQUIRE);
}

/* Has anybody left its wait for nothing?  It may, from here on, at any moment. */
static bool someone_left(struct tally *a, struct tally *b)
{
	return __atomic_load_n(&a->left, __ATOMIC_ACQUIRE) +
	       __atomic_load_n(&b->left, __ATOMIC_ACQUIRE);
}

/* signal a thread that may have ended meanwhile */
static bool nudge(struct kt_job *job)
{
	int ret = kt_signal(job, SIGUSR1);

	return ret == 0 || ret == -ESRCH;
}

FIXTURE(race) {
	int fd;
	struct tally a, b;
	struct kt_job jobs[3];
};

FIXTURE_SETUP(race)
{
	self->fd = kt_mailbox(64, 0, 64);
	ASSERT_LE(0, self->fd);
	self->a = (struct tally){ .fd = self->fd, .spin = 1 };
	self->b = (struct tally){ .fd = self->fd, .spin = 2 };
}

FIXTURE_TEARDOWN(race)
{
	close(self->fd);
}

TEST_F(race, race_of_handover_and_timed_receive_loses_and_doubles_nothing)
{
	enum { COUNT = 1200 };

	kt_start_fn(&self->jobs[0], receive_briefly, &self->a);
	kt_start_fn(&self->jobs[1], receive_briefly, &self->b);
	ASSERT_TRUE(kt_until(someone_left(&self->a, &self->b)));
	for (unsigned int i = 0; i < COUNT; i++) {
		/* one at a time, so that there mostly is a receiver that waits */
		ASSERT_EQ(0, kt_post(self->fd, &i, sizeof(i), 0));
		ASSERT_TRUE(kt_until(counted(&self->a) + counted(&self->b) > i ||
				     kt_stat(self->fd).queued_messages < 8));
	}
	ASSERT_TRUE(kt_until(counted(&self->a) + counted(&self->b) == COUNT));
	stop(&self->a);
	stop(&self->b);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&self->jobs[i]));
		EXPECT_EQ(0, self->jobs[i].ret);
	}
	for (unsigned int i = 0; i < COUNT; i++) {
		ASSERT_EQ(1, self->a.got[i] + self->b.got[i]) TH_LOG("message %u", i);
	}
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(COUNT, kt_stat(self->fd).received);
}

TEST_F(race, race_of_handover_and_signal_loses_and_doubles_nothing)
{
	enum { COUNT = 1000 };

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	kt_start_fn(&self->jobs[0], receive_patiently, &self->a);
	kt_start_fn(&self->jobs[1], receive_patiently, &self->b);
	ASSERT_TRUE(kt_until(kt_signal(&self->jobs[0], SIGUSR1) == 0 &&
			     someone_left(&self->a, &self->b)));
	for (unsigned int i = 0; i < COUNT; i++) {
		if (i & 1) {
			ASSERT_EQ(0, kt_signal(&self->jobs[i >> 1 & 1], SIGUSR1));
		}
		ASSERT_EQ(0, kt_send(self->fd, &i, sizeof(i), 0, 0, kt_soon()));
		if (!(i & 1)) {
			ASSERT_EQ(0, kt_signal(&self->jobs[i >> 1 & 1], SIGUSR1));
		}
	}
	ASSERT_TRUE(kt_until(counted(&self->a) + counted(&self->b) == COUNT));
	stop(&self->a);
	stop(&self->b);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&self->jobs[i]));
		EXPECT_EQ(0, self->jobs[i].ret);
	}
	for (unsigned int i = 0; i < COUNT; i++) {
		ASSERT_EQ(1, self->a.got[i] + self->b.got[i]) TH_LOG("message %u", i);
	}
}

/* the first in line is signalled just as a message comes: one of the two has it */
TEST_F(race, race_of_a_receiver_that_leaves_passes_the_message_on)
{
	int passed = 0;

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	for (int round = 0; round < 100; round++) {
		struct kpost_recv recv[2];
		unsigned int number[2];
		int winner;

		for (int i = 0; i < 2; i++) {
			recv[i] = kt_recv_args(&number[i], sizeof(number[i]), 0, kt_soon());
			kt_start(&self->jobs[i], self->fd, KPOST_IOC_RECV, &recv[i]);
			ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == i + 1u));
		}
		if (round & 1) {
			ASSERT_TRUE(nudge(&self->jobs[0]));
			/* Now and then the signal is to win, or this tries nothing. */
			ASSERT_TRUE(!(round & 2) ||
				    kt_until(kt_stat(self->fd).waiting_receivers == 1));
			ASSERT_EQ(0, kt_post(self->fd, &round, sizeof(round), 0));
		} else {
			ASSERT_EQ(0, kt_post(self->fd, &round, sizeof(round), 0));
			ASSERT_TRUE(nudge(&self->jobs[0]));
		}
		ASSERT_TRUE(kt_join(&self->jobs[0]));
		if (self->jobs[0].ret == -EINTR) {
			ASSERT_TRUE(kt_join(&self->jobs[1]))
				TH_LOG("round %d: nobody was given the message", round);
			winner = 1;
			passed++;
		} else {
			ASSERT_EQ(1, kt_stat(self->fd).waiting_receivers);
			ASSERT_EQ(0, kt_post(self->fd, "rest", 4, 0));
			ASSERT_TRUE(kt_join(&self->jobs[1]));
			winner = 0;
		}
		ASSERT_EQ(sizeof(round), self->jobs[winner].ret);
		ASSERT_EQ(round, number[winner]);
		ASSERT_EQ(0, kt_stat(self->fd).queued_messages);
	}
	EXPECT_LT(0, passed);
}

/* one place is free, and the first in line for it is signalled: the other gets it */
TEST_F(race, race_of_a_sender_that_leaves_passes_the_room_on)
{
	int fd = kt_mailbox(1, 0, 64);
	unsigned int number[2] = { 100, 200 }, got;
	int passed = 0;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	ASSERT_EQ(0, kt_post(fd, "full", 4, 0));
	for (int round = 0; round < 100; round++) {
		struct kpost_send send[2];

		for (int i = 0; i < 2; i++) {
			send[i] = kt_send_args(&number[i], sizeof(number[i]), 0, 0, kt_soon());
			kt_start(&self->jobs[i], fd, KPOST_IOC_SEND, &send[i]);
			ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == i + 1u));
		}
		if (round & 1) {
			ASSERT_TRUE(nudge(&self->jobs[0]));
			ASSERT_TRUE(!(round & 2) || kt_until(kt_stat(fd).waiting_senders == 1));
			ASSERT_EQ(4, kt_take(fd, NULL, &got, sizeof(got)));
		} else {
			ASSERT_EQ(4, kt_take(fd, NULL, &got, sizeof(got)));
			ASSERT_TRUE(nudge(&self->jobs[0]));
		}
		ASSERT_TRUE(kt_join(&self->jobs[0]));
		if (self->jobs[0].ret == 0) {
			ASSERT_EQ(4, kt_recv(fd, NULL, &got, sizeof(got), 0, kt_soon()));
			ASSERT_EQ(100, got);
		} else {
			ASSERT_EQ(-EINTR, self->jobs[0].ret);
			passed++;
		}
		ASSERT_TRUE(kt_join(&self->jobs[1])) TH_LOG("round %d: the room was lost", round);
		ASSERT_EQ(0, self->jobs[1].ret);
		ASSERT_EQ(1, kt_stat(fd).queued_messages);
	}
	ASSERT_EQ(4, kt_take(fd, NULL, &got, sizeof(got)));
	EXPECT_EQ(200, got);
	EXPECT_LT(0, passed);
}

struct senders {
	struct tally *tally;
	unsigned int first, last, flags;
};

/* send each number once with a brief deadline; got says which were sent */
static long send_briefly(void *arg)
{
	struct senders *senders = arg;
	struct tally *tally = senders->tally;

	for (unsigned int i = senders->first; i < senders->last; i++) {
		/* Some with time enough on any machine. */
		uint64_t deadline = i & 15 ? kt_now() + (100 + jitter(tally)) * 1000 : kt_soon();
		long ret = kt_send(tally->fd, &i, sizeof(i), 0, senders->flags, deadline);

		if (ret == 0)
			tally->got[i] = 1;
		else if (ret == -ETIMEDOUT)
			__atomic_add_fetch(&tally->left, 1, __ATOMIC_RELEASE);
		else
			return ret;
	}
	return 0;
}

static void check_sends_against_receipts(struct __test_metadata *_metadata, unsigned int flags)
{
	enum { EACH = 400 };
	int fd = kt_mailbox(1, 0, 64);
	struct tally sent[2] = { { .fd = fd, .spin = 7 }, { .fd = fd, .spin = 8 } };
	struct tally received = { .fd = fd, .spin = 9 };
	struct senders senders[2] = { { &sent[0], 0, EACH, flags },
				      { &sent[1], EACH, 2 * EACH, flags } };
	struct kt_job jobs[2], receiver;
	unsigned int total = 0;

	ASSERT_LE(0, fd);
	kt_start_fn(&receiver, receive_briefly, &received);
	for (int i = 0; i < 2; i++)
		kt_start_fn(&jobs[i], send_briefly, &senders[i]);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		ASSERT_EQ(0, jobs[i].ret);
	}
	ASSERT_TRUE(kt_until(kt_stat(fd).queued_messages == 0));
	stop(&received);
	ASSERT_TRUE(kt_join(&receiver));
	ASSERT_EQ(0, receiver.ret);
	for (unsigned int i = 0; i < 2 * EACH; i++) {
		ASSERT_EQ(sent[i >= EACH].got[i], received.got[i])
			TH_LOG("message %u: sent %d, received %d times", i,
			       sent[i >= EACH].got[i], received.got[i]);
		total += received.got[i];
	}
	EXPECT_LT(0, total);
	EXPECT_EQ(total, kt_stat(fd).received);
	close(fd);
}

TEST(race_of_room_and_timeout_sends_what_it_says_it_sent)
{
	check_sends_against_receipts(_metadata, 0);
}

TEST(race_of_receipt_and_timeout_withdraws_what_it_says_was_not_received)
{
	check_sends_against_receipts(_metadata, KPOST_SYNC);
}

static long call_briefly(void *arg)
{
	struct tally *tally = arg;
	unsigned int answer;

	for (unsigned int i = 0; i < 400; i++) {
		uint64_t deadline = kt_now() + (150 + jitter(tally) * 4) * 1000;
		long ret = kt_call(tally->fd, &i, sizeof(i), &answer, sizeof(answer), deadline);

		if (ret == sizeof(answer)) {
			if (answer != ~i)
				return -EBADMSG;
			tally->got[i] = 1;
		} else if (ret == -ETIMEDOUT) {
			__atomic_add_fetch(&tally->left, 1, __ATOMIC_RELEASE);
		} else {
			return ret;
		}
	}
	return 0;
}

/* a reply that was taken was delivered, one that was refused was not */
TEST_F(race, race_of_reply_and_timeout_agree_on_both_sides)
{
	static unsigned char replied[MOST];
	unsigned int number, answer, canceled = 0;
	struct kpost_recv recv;

	kt_start_fn(&self->jobs[0], call_briefly, &self->a);
	while (!kt_done(&self->jobs[0])) {
		long ret = kt_recv(self->fd, &recv, &number, sizeof(number), 0, kt_in(50));

		if (ret == -ETIMEDOUT)
			continue;
		ASSERT_EQ(sizeof(number), ret);
		ASSERT_LT(number, MOST);
		answer = ~number;
		ret = kt_reply(self->fd, recv.token, &answer, sizeof(answer));
		if (ret == 0) {
			ASSERT_EQ(0, replied[number]++);
		} else {
			ASSERT_EQ(-ECANCELED, ret);
			canceled++;
		}
	}
	ASSERT_TRUE(kt_join(&self->jobs[0]));
	ASSERT_EQ(0, self->jobs[0].ret);
	EXPECT_EQ(0, memcmp(replied, self->a.got, sizeof(replied)));
	EXPECT_LE(canceled, self->a.left);
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

struct replier {
	int fd;
	uint64_t token;
	unsigned int value;
	int *go;
};

static long reply_on_go(void *arg)
{
	struct replier *replier = arg;

	while (!__atomic_load_n(replier->go, __ATOMIC_ACQUIRE))
		sched_yield();
	return kt_reply(replier->fd, replier->token, &replier->value, sizeof(replier->value));
}

TEST_F(race, race_of_two_repliers_has_one_winner)
{
	for (int round = 0; round < 40; round++) {
		unsigned int answer = 0, number;
		struct kpost_call call = kt_call_args("ask", 3, &answer, sizeof(answer),
						      kt_soon());
		struct replier repliers[2];
		struct kpost_recv recv;
		int go = 0, winner;

		kt_start(&self->jobs[2], self->fd, KPOST_IOC_CALL, &call);
		ASSERT_EQ(3, kt_recv(self->fd, &recv, &number, 4, 0, kt_soon()));
		for (int i = 0; i < 2; i++) {
			repliers[i] = (struct replier){ self->fd, recv.token, 100 + i, &go };
			kt_start_fn(&self->jobs[i], reply_on_go, &repliers[i]);
		}
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(kt_join(&self->jobs[i]));
		}
		winner = self->jobs[0].ret == 0 ? 0 : 1;
		ASSERT_EQ(0, self->jobs[winner].ret);
		ASSERT_TRUE(self->jobs[!winner].ret == -ENOENT || self->jobs[!winner].ret == -EBUSY)
			TH_LOG("the loser got %ld", self->jobs[!winner].ret);
		ASSERT_EQ(4, self->jobs[2].ret);
		ASSERT_EQ(100 + winner, answer);
	}
}

struct taker {
	char *memory;
	size_t size;
	bool stop;
};

/* what it maps is there, but its pages have to be found anew each time */
static long take_away(void *arg)
{
	struct taker *taker = arg;

	while (!__atomic_load_n(&taker->stop, __ATOMIC_ACQUIRE)) {
		if (madvise(taker->memory, taker->size, MADV_DONTNEED))
			return -errno;
	}
	return 0;
}

struct long_reply {
	int fd;
	uint64_t token;
	char *from;
	int *go;
};

static long reply_at_length(void *arg)
{
	struct long_reply *reply = arg;

	while (!__atomic_load_n(reply->go, __ATOMIC_ACQUIRE))
		sched_yield();
	return kt_reply(reply->fd, reply->token, reply->from, 1 << 17);
}

static bool all_of(const char *bytes, size_t size, char byte)
{
	while (size--) {
		if (bytes[size] != byte)
			return false;
	}
	return true;
}

/* both give up their claim at each page: one goes on, and what the other has done is undone */
TEST_F(race, race_of_two_repliers_whose_memory_faults_has_one_winner)
{
	enum { SIZE = 1 << 17 };
	struct taker taker = { .memory = kt_shared(2 * SIZE), .size = 2 * SIZE };
	char *answer = malloc(SIZE);
	struct kt_job taking;

	ASSERT_NE(NULL, taker.memory);
	memset(taker.memory, 'a', SIZE);
	memset(taker.memory + SIZE, 'b', SIZE);
	kt_start_fn(&taking, take_away, &taker);
	for (int round = 0; round < 100; round++) {
		struct kpost_call call = kt_call_args("ask", 3, answer, SIZE, kt_soon());
		struct long_reply reply[2];
		struct kpost_recv recv;
		int go = 0, winner;
		char buf[8];

		kt_poison(answer, SIZE);
		kt_start(&self->jobs[2], self->fd, KPOST_IOC_CALL, &call);
		ASSERT_EQ(3, kt_recv(self->fd, &recv, buf, sizeof(buf), 0, kt_soon()));
		for (int i = 0; i < 2; i++) {
			reply[i] = (struct long_reply){ self->fd, recv.token,
							taker.memory + i * SIZE, &go };
			kt_start_fn(&self->jobs[i], reply_at_length, &reply[i]);
		}
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(kt_join(&self->jobs[i]));
		}
		winner = self->jobs[0].ret == 0 ? 0 : 1;
		ASSERT_EQ(0, self->jobs[winner].ret);
		ASSERT_TRUE(self->jobs[!winner].ret == -ENOENT || self->jobs[!winner].ret == -EBUSY)
			TH_LOG("the loser got %ld", self->jobs[!winner].ret);
		ASSERT_EQ(SIZE, self->jobs[2].ret);
		ASSERT_TRUE(all_of(answer, SIZE, 'a' + winner)) TH_LOG("round %d", round);
	}
	__atomic_store_n(&taker.stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&taking));
	EXPECT_EQ(0, taking.ret);
	free(answer);
}

struct mapper {
	char *page;
	int turns;
	bool stop;
};

static long protect_on_and_off(void *arg)
{
	struct mapper *mapper = arg;

	while (!__atomic_load_n(&mapper->stop, __ATOMIC_ACQUIRE)) {
		if (mprotect(mapper->page, kt_page_size(), PROT_NONE))
			return -errno;
		/* until 6.18, who calls sched_yield() in a loop may not run again for seconds */
		kt_pause();
		if (mprotect(mapper->page, kt_page_size(), PROT_READ | PROT_WRITE))
			return -errno;
		kt_pause();
		__atomic_fetch_add(&mapper->turns, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* the buffers' second page comes and goes: either all of it works or none */
TEST_F(race, race_of_copies_and_the_memory_they_need)
{
	struct mapper mapper = { .page = kt_edge(PROT_READ | PROT_WRITE) };
	int fd = kt_mailbox(4, 40000, 8000), faults = 0, sent = 0, received = 0;
	char *in = malloc(8000);
	uint64_t end = kt_soon();

	ASSERT_LE(0, fd);
	memset(mapper.page - 4000, 'm', 8000);
	memset(in, 0, 8000);
	kt_start_fn(&self->jobs[0], protect_on_and_off, &mapper);
	for (int i = 0; i < 3000 || __atomic_load_n(&mapper.turns, __ATOMIC_ACQUIRE) < 200; i++) {
		long ret = kt_post(fd, mapper.page - 4000, 8000, 0);

		ASSERT_TRUE(ret == 0 || ret == -EFAULT || ret == -EAGAIN) TH_LOG("%ld", ret);
		sent += ret == 0;
		faults += ret == -EFAULT;
		/* into the same memory half of the time, into good memory otherwise */
		ret = kt_take(fd, NULL, i & 1 ? mapper.page - 4000 : in, 8000);
		ASSERT_TRUE(ret == 8000 || ret == -EFAULT || ret == -EAGAIN) TH_LOG("%ld", ret);
		faults += ret == -EFAULT;
		received += ret == 8000;
		if (ret == 8000 && !(i & 1)) {
			ASSERT_EQ('m', in[0]);
			ASSERT_EQ(0, memcmp(in, in + 1, 7999));
		}
		ASSERT_LT(kt_now(), end) TH_LOG("turns: %d", mapper.turns);
	}
	EXPECT_LT(0, faults);
	EXPECT_LT(0, received);
	__atomic_store_n(&mapper.stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&self->jobs[0]));
	EXPECT_EQ(0, self->jobs[0].ret);
	while (kt_take(fd, NULL, in, 8000) == 8000)
		received++;
	EXPECT_EQ(sent, received);
	EXPECT_EQ(0, kt_stat(fd).dropped);
	close(fd);
	free(in);
}

TEST_HARNESS_MAIN
