// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 1 beside receivers that fail: whoever has no memory for a message, too little
 * room, or is killed, disturbs nobody's order; and what had been taken by then is
 * back in its place, whoever gives it back first.
 */
#include "child_test.h"

/* ---- one good receiver, and some that never succeed ------------------------------- */

enum { SENDERS = 3, PRIORITIES = 3, SPOILERS = 4, ENOUGH = 6000, SECONDS = 6 };

struct letter {
	unsigned int sender, priority, number;
	char rest[2000];
};

#define SHORTEST	(offsetof(struct letter, rest) + 12)

struct crowd {
	int fd;
	bool stop;
	unsigned int sent[SENDERS][PRIORITIES];
	unsigned int faults, small, odd;
};

struct one {
	struct crowd *crowd;
	unsigned int number;
};

static bool stopped(struct crowd *crowd)
{
	return __atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE);
}

static long send_letters(void *arg)
{
	struct one *one = arg;
	struct crowd *crowd = one->crowd;
	unsigned int seed = one->number + 1;
	struct letter letter = { .sender = one->number };

	while (!stopped(crowd)) {
		unsigned int flags[] = { 0, KPOST_DONTWAIT, KPOST_SYNC };
		size_t len = SHORTEST + rand_r(&seed) % (sizeof(letter) - SHORTEST);
		unsigned int *sent;
		long ret;

		letter.priority = rand_r(&seed) % PRIORITIES;
		sent = &crowd->sent[one->number][letter.priority];
		letter.number = *sent + 1;
		ret = kt_send(crowd->fd, &letter, len, letter.priority, flags[rand_r(&seed) % 3],
			      kt_in(rand_r(&seed) % 4 ? KT_SOON : 1));
		if (ret == 0)
			__atomic_store_n(sent, letter.number, __ATOMIC_RELEASE);
		else if (ret != -EAGAIN && ret != -ETIMEDOUT)
			return ret;
	}
	return 0;
}

/* no memory, memory for less than the shortest, too little room; waiting for it or not */
static long spoil(void *arg)
{
	struct one *one = arg;
	struct crowd *crowd = one->crowd;
	unsigned int seed = one->number + 100;
	char *edge = kt_edge(PROT_NONE), buf[SHORTEST - 1];

	while (!stopped(crowd)) {
		unsigned int flags = rand_r(&seed) % 2 ? KPOST_DONTWAIT : 0;
		uint64_t deadline = kt_in(rand_r(&seed) % 3);
		long ret;

		switch (rand_r(&seed) % 3) {
		case 0:
			ret = kt_recv(crowd->fd, NULL, edge, sizeof(struct letter), flags,
				      deadline);
			break;
		case 1:
			ret = kt_recv(crowd->fd, NULL, edge - 16, sizeof(struct letter), flags,
				      deadline);
			break;
		default:
			ret = kt_recv(crowd->fd, NULL, buf, sizeof(buf), flags, deadline);
		}
		if (ret == -EFAULT)
			__atomic_add_fetch(&crowd->faults, 1, __ATOMIC_RELAXED);
		else if (ret == -EMSGSIZE)
			__atomic_add_fetch(&crowd->small, 1, __ATOMIC_RELAXED);
		else if (ret != -EAGAIN && ret != -ETIMEDOUT)
			__atomic_add_fetch(&crowd->odd, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

TEST(put_back_or_not_one_receiver_beside_those_that_fail_sees_all_in_order)
{
	static struct crowd crowd;
	unsigned int seen[SENDERS][PRIORITIES] = { 0 }, received = 0, disorder = 0, seed = 7;
	struct kt_job senders[SENDERS], spoilers[SPOILERS];
	struct one who[SENDERS], what[SPOILERS];
	uint64_t end = kt_in(SECONDS * 1000);
	static struct letter letter;
	long ret;

	crowd.fd = kt_mailbox(8, 16384, sizeof(struct letter));
	ASSERT_LE(0, crowd.fd);
	for (unsigned int i = 0; i < SPOILERS; i++) {
		what[i] = (struct one){ &crowd, i };
		kt_start_fn(&spoilers[i], spoil, &what[i]);
	}
	for (unsigned int i = 0; i < SENDERS; i++) {
		who[i] = (struct one){ &crowd, i };
		kt_start_fn(&senders[i], send_letters, &who[i]);
	}
	for (bool last = false; !last;) {
		/* what was sent until the last sender stopped is all there to be received */
		if (!stopped(&crowd) && (received >= ENOUGH || kt_now() > end))
			__atomic_store_n(&crowd.stop, true, __ATOMIC_RELEASE);
		last = stopped(&crowd);
		for (int i = 0; i < SENDERS; i++)
			last = last && kt_done(&senders[i]);
		for (;;) {
			ret = kt_recv(crowd.fd, NULL, &letter, sizeof(letter),
				      rand_r(&seed) % 2 ? KPOST_DONTWAIT : 0, kt_in(1));
			if (ret < 0)
				break;
			ASSERT_LE(SHORTEST, ret);
			ASSERT_GT(SENDERS, letter.sender);
			ASSERT_GT(PRIORITIES, letter.priority);
			if (letter.number != seen[letter.sender][letter.priority] + 1)
				disorder++;
			seen[letter.sender][letter.priority] = letter.number;
			if (++received >= ENOUGH && !stopped(&crowd))
				break;
		}
		ASSERT_TRUE(ret >= 0 || ret == -EAGAIN || ret == -ETIMEDOUT)
			TH_LOG("%ld", ret);
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
	}
	for (int i = 0; i < SPOILERS; i++) {
		ASSERT_TRUE(kt_join(&spoilers[i]));
	}
	EXPECT_EQ(0, disorder) TH_LOG("of %u received", received);
	EXPECT_EQ(0, memcmp(seen, crowd.sent, sizeof(seen)));
	EXPECT_EQ(0, kt_stat(crowd.fd).queued_messages);
	EXPECT_EQ(0, crowd.odd);
	EXPECT_LT(0, crowd.faults);
	EXPECT_LT(0, crowd.small);
	fprintf(stderr, "# %u received beside %u faults and %u times too little room\n", received,
		crowd.faults, crowd.small);
}

/* ---- in line ------------------------------------------------------------------------ */

TEST(put_back_or_not_a_message_goes_to_the_next_in_line_that_has_memory_for_it)
{
	char *edge = kt_edge(PROT_NONE), buf[2][64];
	int fd = kt_mailbox(8, 4096, 512);

	/* the first in line has two bytes for three */
	for (int round = 0; round < 200; round++) {
		struct kpost_recv recv[3] = {
			kt_recv_args(edge - 2, 64, 0, kt_soon()),
			kt_recv_args(buf[0], 64, 0, kt_soon()),
			kt_recv_args(buf[1], 64, 0, kt_soon()),
		};
		struct kt_job job[3];

		for (int i = 0; i < 3; i++) {
			kt_start(&job[i], fd, KPOST_IOC_RECV, &recv[i]);
			ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == i + 1u));
		}
		ASSERT_EQ(0, kt_post(fd, "one", 3, 0));
		ASSERT_EQ(0, kt_post(fd, "two", 3, 0));
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(kt_join(&job[i]));
			EXPECT_EQ(i ? 3 : -EFAULT, job[i].ret);
		}
		ASSERT_EQ(2 * round + 1, recv[1].sequence) TH_LOG("round %d", round);
		ASSERT_EQ(2 * round + 2, recv[2].sequence);
	}
	/* what it has memory for is its own */
	struct kpost_recv recv = kt_recv_args(edge - 2, 64, 0, kt_soon());
	struct kt_job job;

	kt_start(&job, fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(fd, "hi", 2, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(2, job.ret);
	close(fd);
}

/* ---- in masses ---------------------------------------------------------------------- */

#define RECEIVERS	1000
#define MESSAGES	1500

struct sink {
	int fd;
	char *page;
	pthread_t thread[RECEIVERS];
};

static void *receive_to_page(void *arg)
{
	struct sink *sink = arg;
	long ret;

	do
		ret = kt_recv(sink->fd, NULL, sink->page, 64, 0, 0);
	while (ret >= 0);
	return (void *)ret;
}

/* receivers that all wait; their memory is there */
static int start_receivers(struct sink *sink, unsigned int count)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1 << 16);
	for (unsigned int i = 0; i < count; i++) {
		if (pthread_create(&sink->thread[i], &attr, receive_to_page, sink))
			return -EAGAIN;
	}
	return kt_until(kt_stat(sink->fd).waiting_receivers == count) ? 0 : -ETIMEDOUT;
}

/* priorities as if by chance */
static unsigned int priority_of(unsigned int number)
{
	return number * 2654435761u >> 16 & 7;
}

/* what is in the mailbox is in order; how many there were, or -1 */
static int drain_in_order(int fd)
{
	unsigned int priority = KPOST_PRIORITY_MAX;
	struct kpost_recv recv;
	uint64_t sequence = 0;
	int count = 0;
	char buf[64];

	while (kt_take(fd, &recv, buf, sizeof(buf)) >= 0) {
		if (recv.priority > priority ||
		    (recv.priority == priority && recv.sequence <= sequence)) {
			fprintf(stderr, "# message %d: priority %u, number %llu after %u, %llu\n",
				count, recv.priority, (unsigned long long)recv.sequence, priority,
				(unsigned long long)sequence);
			return -1;
		}
		priority = recv.priority;
		sequence = recv.sequence;
		count++;
	}
	return count;
}

TEST(put_back_in_masses_is_in_order)
{
	static struct sink sink;
	void *ret;

	sink.fd = kt_mailbox(2 * MESSAGES, 0, 64);
	ASSERT_LE(0, sink.fd);
	sink.page = kt_edge(PROT_READ | PROT_WRITE);
	ASSERT_EQ(0, start_receivers(&sink, RECEIVERS));
	/* gone while they wait */
	ASSERT_EQ(0, mprotect(sink.page, kt_page_size(), PROT_NONE));
	for (unsigned int i = 0; i < MESSAGES; i++) {
		ASSERT_EQ(0, kt_post(sink.fd, &i, sizeof(i), priority_of(i)));
	}
	for (int i = 0; i < RECEIVERS; i++) {
		ASSERT_EQ(0, pthread_join(sink.thread[i], &ret));
		EXPECT_EQ(-EFAULT, (long)ret);
	}
	EXPECT_EQ(MESSAGES, kt_stat(sink.fd).queued_messages);
	EXPECT_EQ(MESSAGES, drain_in_order(sink.fd));
	close(sink.fd);
}

/* a process with many receivers dies of SIGKILL while they are given messages */
TEST(put_back_by_the_dying_is_in_order)
{
	enum { THREADS = 100, EACH = 150 };
	static struct sink sink;
	int back = 0;

	sink.page = kt_edge(PROT_READ | PROT_WRITE);
	for (int round = 0; round < 10; round++) {
		struct kpost_stat st;
		bool *ready = kt_shared(1);
		pid_t pid;

		sink.fd = kt_mailbox(EACH, 0, 64);
		ASSERT_LE(0, sink.fd);
		pid = kt_fork();
		if (pid == 0) {
			*ready = !start_receivers(&sink, THREADS);
			for (;;)
				pause();
		}
		ASSERT_TRUE(kt_until(*(volatile bool *)ready));
		for (unsigned int i = 0; i < EACH; i++) {
			ASSERT_EQ(0, kt_post(sink.fd, &i, sizeof(i), priority_of(i)));
			if (i == EACH / 10) {
				kill(pid, SIGKILL);
			}
		}
		ASSERT_LE(0, kt_reap(pid));
		st = kt_stat(sink.fd);
		EXPECT_EQ(EACH, st.received + st.queued_messages);
		EXPECT_EQ(0, st.waiting_receivers);
		EXPECT_EQ(st.queued_messages, drain_in_order(sink.fd));
		back += st.queued_messages;
		close(sink.fd);
	}
	EXPECT_LT(0, back);
}

TEST_HARNESS_MAIN
