// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several senders and several receivers at once, in every way there is to send and
 * to receive, with each message accounted for.
 */
#include <sys/epoll.h>
#include "kpost_test.h"

enum { SENDERS_MAX = 4, RECEIVERS_MAX = 4, COUNT_MAX = 4000 };

/* shared by the processes of one test */
struct account {
	unsigned char got[SENDERS_MAX][COUNT_MAX];	/* how often each was received */
	unsigned int received[RECEIVERS_MAX];
	unsigned int disorder;
	unsigned int broken;
};

struct item {
	unsigned int who, number, sum;
};

enum way { BY_OPERATION, BY_READ_OR_WRITE, BY_POLL, BY_CALL, BY_SYNC };

static unsigned int sum_of(const struct item *item)
{
	return item->who * 2654435761u ^ item->number * 40503u ^ 0x5bd1e995u;
}

/* room, as poll() has it, and then without waiting */
static long send_when_ready(int fd, const void *buf, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	for (;;) {
		long ret = kt_post(fd, buf, len, 0);

		if (ret != -EAGAIN)
			return ret;
		if (poll(&pfd, 1, KT_SOON) != 1)
			return -ETIMEDOUT;
	}
}

static int run_sender(int fd, unsigned int who, unsigned int count, enum way way)
{
	for (unsigned int i = 0; i < count; i++) {
		struct item item = { .who = who, .number = i };
		unsigned int answer = 0;
		long ret = 0;

		item.sum = sum_of(&item);
		switch (way) {
		case BY_OPERATION:
			ret = kt_send(fd, &item, sizeof(item), 0, 0, kt_soon());
			break;
		case BY_READ_OR_WRITE:
			ret = write(fd, &item, sizeof(item)) == sizeof(item) ? 0 : -errno;
			break;
		case BY_POLL:
			ret = send_when_ready(fd, &item, sizeof(item));
			break;
		case BY_CALL:
			ret = kt_call(fd, &item, sizeof(item), &answer, sizeof(answer), kt_soon());
			ret = ret == sizeof(answer) && answer == item.sum ? 0 : -EBADMSG;
			break;
		case BY_SYNC:
			ret = kt_send(fd, &item, sizeof(item), 0, KPOST_SYNC, kt_soon());
			break;
		}
		if (ret)
			return (int)-ret;
	}
	return 0;
}

/* one message, or -errno; -EPIPE at the end of it all */
static long receive_one(int fd, int epfd, struct item *item, struct kpost_recv *recv, enum way way)
{
	struct epoll_event ev;
	long ret;

	switch (way) {
	case BY_READ_OR_WRITE:
		recv->token = 0;
		ret = read(fd, item, sizeof(*item));
		return ret == 0 ? -EPIPE : ret < 0 ? -errno : ret;
	case BY_POLL:
		for (;;) {
			ret = kt_take(fd, recv, item, sizeof(*item));
			if (ret != -EAGAIN)
				return ret;
			if (epoll_wait(epfd, &ev, 1, KT_SOON) != 1)
				return -ETIMEDOUT;
		}
	default:
		return kt_recv(fd, recv, item, sizeof(*item), 0, kt_soon());
	}
}

static int run_receiver(int fd, unsigned int who, struct account *account, enum way way)
{
	unsigned int next[SENDERS_MAX] = { 0 };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct kpost_recv recv;
	struct item item;

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		return errno;
	for (;;) {
		long ret = receive_one(fd, epfd, &item, &recv, way);

		if (ret == -EPIPE)
			return 0;
		if (ret < 0)
			return (int)-ret;
		if (ret != sizeof(item) || item.who >= SENDERS_MAX || item.number >= COUNT_MAX ||
		    item.sum != sum_of(&item)) {
			account->broken++;
			continue;
		}
		/* what one receiver gets of one sender is in order, with gaps */
		if (item.number < next[item.who])
			__atomic_add_fetch(&account->disorder, 1, __ATOMIC_RELAXED);
		next[item.who] = item.number + 1;
		__atomic_add_fetch(&account->got[item.who][item.number], 1, __ATOMIC_RELAXED);
		account->received[who]++;
		if (recv.token && kt_reply(fd, recv.token, &item.sum, sizeof(item.sum)))
			account->broken++;
	}
}

struct load {
	unsigned int senders, receivers, count;
	unsigned int messages;			/* the mailbox's capacity */
	enum way send[SENDERS_MAX], receive[RECEIVERS_MAX];
};

/* an anonymous mailbox: when the senders are done, the receivers see its end */
static void run_load(struct __test_metadata *_metadata, const struct load *load)
{
	struct account *account = kt_shared(sizeof(*account));
	pid_t senders[SENDERS_MAX], receivers[RECEIVERS_MAX];
	unsigned int total = 0;
	struct kpost_stat st;
	int fds[2];

	ASSERT_NE(NULL, account);
	ASSERT_EQ(0, kt_pair(fds, load->messages, 0));
	for (unsigned int i = 0; i < load->receivers; i++) {
		receivers[i] = kt_fork();
		if (receivers[i] == 0) {
			close(fds[1]);
			_exit(run_receiver(fds[0], i, account, load->receive[i]));
		}
	}
	for (unsigned int i = 0; i < load->senders; i++) {
		senders[i] = kt_fork();
		if (senders[i] == 0) {
			close(fds[0]);
			_exit(run_sender(fds[1], i, load->count, load->send[i]));
		}
	}
	for (unsigned int i = 0; i < load->senders; i++) {
		EXPECT_EQ(0, kt_exit_status(senders[i])) TH_LOG("sender %u", i);
	}
	close(fds[1]);
	for (unsigned int i = 0; i < load->receivers; i++) {
		EXPECT_EQ(0, kt_exit_status(receivers[i])) TH_LOG("receiver %u", i);
		total += account->received[i];
	}
	for (unsigned int i = 0; i < load->senders; i++) {
		for (unsigned int n = 0; n < load->count; n++) {
			ASSERT_EQ(1, account->got[i][n]) TH_LOG("sender %u, message %u", i, n);
		}
	}
	st = kt_stat(fds[0]);
	EXPECT_EQ(load->senders * load->count, total);
	EXPECT_EQ(total, st.sent);
	EXPECT_EQ(total, st.received);
	EXPECT_EQ(0, st.dropped);
	EXPECT_EQ(0, st.queued_messages);
	EXPECT_EQ(0, st.queued_bytes);
	EXPECT_EQ(0, st.open_calls);
	EXPECT_EQ(0, account->disorder);
	EXPECT_EQ(0, account->broken);
	close(fds[0]);
}

TEST(load_of_two_senders_and_two_receivers_is_accounted_for)
{
	static const struct load load = { .senders = 2, .receivers = 2, .count = 2000,
					  .messages = 16 };

	run_load(_metadata, &load);
}

TEST(load_through_the_narrowest_mailbox_is_accounted_for)
{
	static const struct load load = { .senders = 2, .receivers = 2, .count = 600,
					  .messages = 1 };

	run_load(_metadata, &load);
}

TEST(load_in_every_way_is_accounted_for)
{
	static const struct load load = {
		.senders = 4,
		.receivers = 3,
		.count = 500,
		.messages = 8,
		.send = { BY_OPERATION, BY_READ_OR_WRITE, BY_POLL, BY_SYNC },
		.receive = { BY_OPERATION, BY_READ_OR_WRITE, BY_POLL },
	};

	run_load(_metadata, &load);
}

TEST(load_of_calls_among_messages_is_accounted_for)
{
	static const struct load load = {
		.senders = 4,
		.receivers = 2,
		.count = 300,
		.messages = 4,
		.send = { BY_CALL, BY_OPERATION, BY_CALL, BY_SYNC },
		.receive = { BY_OPERATION, BY_POLL },
	};

	run_load(_metadata, &load);
}

TEST(load_of_event_loops_is_accounted_for)
{
	static const struct load load = {
		.senders = 2,
		.receivers = 2,
		.count = 1000,
		.messages = 2,
		.send = { BY_POLL, BY_POLL },
		.receive = { BY_POLL, BY_POLL },
	};

	run_load(_metadata, &load);
}

TEST_HARNESS_MAIN
