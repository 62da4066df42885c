// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mailbox that was shut takes nothing more, and loses nothing of what it has taken.
 */
#include <sys/epoll.h>
#include "account_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { CROWD = 30 };	/* more than are woken in one go */

FIXTURE(shut) {
	char name[KT_NAME_SIZE];
	int owner, sender;
	char buf[64];
};

FIXTURE_SETUP(shut)
{
	struct kpost_open open = kt_open_args(kt_name(self->name),
					      KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_CREATE);

	open.messages = 4;
	open.bytes = 4096;
	open.message_max = 64;
	self->owner = kt_do_open(&open);
	ASSERT_LE(0, self->owner);
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->sender);
}

FIXTURE_TEARDOWN(shut)
{
	close(self->sender);
	close(self->owner);
	kt_unlink(self->name);
}

static int shut(int fd)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_SHUT };

	return (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);
}

static int ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents & ~(POLLRDNORM | POLLWRNORM);
}

/* ---- who sends ------------------------------------------------------------------------- */

TEST_F(shut, shut_takes_nothing_more)
{
	struct kpost_send entries[2] = {
		kt_send_args("m", 1, 0, 0, 0), kt_send_args("m", 1, 9, 0, 0),
	};
	struct kpost_batch batch = {
		.count = 2,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};
	uint64_t id = 7;

	ASSERT_EQ(0, kt_post(self->sender, "kept", 4, 0));
	ASSERT_EQ(0, shut(self->owner));
	EXPECT_EQ(KPOST_STAT_SHUT, kt_stat(self->sender).flags);
	EXPECT_REFUSED(EPIPE, self->sender, kt_post(self->sender, "m", 1, 0));
	EXPECT_REFUSED(EPIPE, self->sender, kt_post(self->sender, "", 0, KPOST_PRIORITY_MAX));
	EXPECT_REFUSED(EPIPE, self->sender, kt_send(self->sender, "m", 1, 0, 0, kt_soon()));
	EXPECT_REFUSED(EPIPE, self->sender,
		       kt_send(self->sender, "m", 1, 0, KPOST_SYNC, kt_soon()));
	EXPECT_REFUSED(EPIPE, self->sender, kt_ioctl(self->sender, KPOST_IOC_SENDV, &batch));
	EXPECT_REFUSED(EPIPE, self->sender,
		       kt_call(self->sender, "ask", 3, self->buf, sizeof(self->buf), kt_soon()));
	EXPECT_REFUSED(EPIPE, self->sender, kt_submit(self->sender, "ask", 3, 8, 0, &id));
	EXPECT_REFUSED(EPIPE, self->sender, kt_collect(self->sender, NULL, self->buf, 8, 0));
	signal(SIGPIPE, SIG_IGN);
	EXPECT_EQ(-1, write(self->sender, "m", 1));
	EXPECT_EQ(EPIPE, errno);
	/* also by who comes now */
	close(self->sender);
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->sender);
	EXPECT_REFUSED(EPIPE, self->sender, kt_post(self->sender, "m", 1, 0));
	EXPECT_EQ(4, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
}

/* a message that is wrong in itself is refused as ever */
TEST_F(shut, shut_is_told_after_what_is_wrong_with_a_message)
{
	ASSERT_EQ(0, shut(self->owner));
	EXPECT_REFUSED(EMSGSIZE, self->sender, kt_post(self->sender, self->name, 65, 0));
	EXPECT_REFUSED(EFAULT, self->sender, kt_post(self->sender, kt_edge(PROT_NONE), 8, 0));
	EXPECT_REFUSED(EINVAL, self->sender, kt_send(self->sender, "m", 1, 0, 1u << 31, 0));
	EXPECT_REFUSED(EBADF, self->owner, kt_post(self->owner, "m", 1, 0));
}

/* in each way to wait; and what was in the mailbox stays */
TEST_F(shut, shut_sends_away_who_waits_for_room)
{
	static struct kpost_send sends[CROWD];
	static struct kt_job jobs[CROWD];
	struct kpost_send entries[3] = {
		kt_send_args("a", 1, 0, 0, 0), kt_send_args("b", 1, 0, 0, 0),
		kt_send_args("c", 1, 0, 0, 0),
	};
	struct kpost_batch batch = {
		.count = 3,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
		.deadline = kt_soon(),
	};
	struct kpost_call call = kt_call_args("ask", 3, self->buf, sizeof(self->buf), kt_soon());
	struct kpost_send parked = kt_send_args("p", 1, 0, 0, kt_soon());
	struct kt_job calling, sending;
	struct uring_result result;
	struct io_uring ring;
	struct kpost_stat st;

	ASSERT_EQ(0, kt_post(self->sender, "first", 5, 0));
	ASSERT_EQ(0, kt_post(self->sender, "second", 6, 0));
	/* the batch has two in, and waits for the third */
	kt_start(&sending, self->sender, KPOST_IOC_SENDV, &batch);
	ASSERT_TRUE(kt_until(kt_stat(self->owner).waiting_senders == 1));
	for (int i = 0; i < CROWD; i++) {
		sends[i] = kt_send_args("m", 1, (unsigned int)i % 3, i % 2 ? KPOST_SYNC : 0,
					kt_soon());
		kt_start(&jobs[i], self->sender, KPOST_IOC_SEND, &sends[i]);
	}
	kt_start(&calling, self->sender, KPOST_IOC_CALL, &call);
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	uring_op(&ring, self->sender, KPOST_IOC_SEND, &parked, 0);
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->owner).waiting_senders == CROWD + 3));

	ASSERT_EQ(0, shut(self->owner));
	for (int i = 0; i < CROWD; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-EPIPE, jobs[i].ret);
	}
	ASSERT_TRUE(kt_join(&calling));
	EXPECT_EQ(-EPIPE, calling.ret);
	ASSERT_TRUE(kt_join(&sending));
	EXPECT_EQ(2, sending.ret);
	EXPECT_EQ(-EPIPE, batch.error);
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(-EPIPE, result.res);
	io_uring_queue_exit(&ring);
	st = kt_stat(self->owner);
	EXPECT_EQ(4, st.sent);
	EXPECT_EQ(4, st.queued_messages);
	EXPECT_EQ(0, st.dropped);
	EXPECT_EQ(0, st.waiting_senders);
	for (int i = 0; i < 4; i++)
		EXPECT_LT(0, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(-EPIPE, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
}

/* ---- who receives ---------------------------------------------------------------------- */

TEST_F(shut, shut_leaves_what_was_taken_in_its_order)
{
	struct kpost_recv recv;

	ASSERT_EQ(0, kt_post(self->sender, "c", 1, 1));
	ASSERT_EQ(0, kt_post(self->sender, "d", 1, 1));
	ASSERT_EQ(0, kt_post(self->sender, "a", 1, 9));
	ASSERT_EQ(0, kt_post(self->sender, "b", 1, 9));
	ASSERT_EQ(0, shut(self->owner));
	for (const char *next = "abcd"; *next; next++) {
		EXPECT_EQ(POLLIN, ready(self->owner));
		ASSERT_EQ(1, kt_take(self->owner, &recv, self->buf, sizeof(self->buf)));
		EXPECT_EQ(*next, self->buf[0]);
	}
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(POLLHUP, ready(self->owner));
		EXPECT_EQ(-EPIPE, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
		EXPECT_EQ(-EPIPE, kt_recv(self->owner, NULL, self->buf, sizeof(self->buf), 0,
					  kt_soon()));
		EXPECT_EQ(0, read(self->owner, self->buf, sizeof(self->buf)));
	}
	EXPECT_EQ(4, kt_stat(self->owner).received);
	EXPECT_EQ(0, kt_stat(self->owner).dropped);
}

TEST_F(shut, shut_ends_the_wait_of_receivers)
{
	static struct kpost_recv recv[CROWD];
	static struct kt_job jobs[CROWD];
	struct kpost_recv parked = kt_recv_args(self->buf, sizeof(self->buf), 0, kt_soon());
	struct uring_result result;
	struct io_uring ring;

	for (int i = 0; i < CROWD; i++) {
		recv[i] = kt_recv_args(self->buf, sizeof(self->buf), 0, kt_soon());
		kt_start(&jobs[i], self->owner, KPOST_IOC_RECV, &recv[i]);
	}
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	uring_op(&ring, self->owner, KPOST_IOC_RECV, &parked, 0);
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->owner).waiting_receivers == CROWD + 1));
	ASSERT_EQ(0, shut(self->owner));
	for (int i = 0; i < CROWD; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-EPIPE, jobs[i].ret);
	}
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(-EPIPE, result.res);
	io_uring_queue_exit(&ring);
	EXPECT_EQ(0, kt_stat(self->owner).waiting_receivers);
}

TEST_F(shut, shut_leaves_calls_that_it_has_taken)
{
	struct kpost_call first = kt_call_args("1st", 3, self->buf, 8, kt_soon());
	struct kpost_call second = kt_call_args("2nd", 3, self->buf + 8, 8, kt_soon());
	struct kpost_recv recv;
	struct kt_job jobs[2];
	char buf[8];
	uint64_t token;

	kt_start(&jobs[0], self->sender, KPOST_IOC_CALL, &first);
	ASSERT_EQ(3, kt_recv(self->owner, &recv, buf, sizeof(buf), 0, kt_soon()));
	token = recv.token;
	kt_start(&jobs[1], self->sender, KPOST_IOC_CALL, &second);
	ASSERT_TRUE(kt_until(kt_stat(self->owner).queued_messages == 1));
	ASSERT_EQ(0, shut(self->owner));
	ASSERT_EQ(0, kt_reply(self->owner, token, "one", 3));
	ASSERT_TRUE(kt_join(&jobs[0]));
	EXPECT_EQ(3, jobs[0].ret);
	ASSERT_EQ(3, kt_take(self->owner, &recv, buf, sizeof(buf)));
	ASSERT_EQ(0, kt_reply(self->owner, recv.token, "both", 4));
	ASSERT_TRUE(kt_join(&jobs[1]));
	EXPECT_EQ(4, jobs[1].ret);
	EXPECT_EQ(-EPIPE, kt_take(self->owner, &recv, buf, sizeof(buf)));
}

TEST_F(shut, shut_leaves_submitted_calls_to_be_collected)
{
	struct kpost_recv recv;

	ASSERT_EQ(0, kt_submit(self->sender, "ask", 3, 8, 5, NULL));
	ASSERT_EQ(0, shut(self->owner));
	EXPECT_EQ(-EAGAIN, kt_collect(self->sender, NULL, self->buf, 8, 0));
	ASSERT_EQ(3, kt_take(self->owner, &recv, self->buf, sizeof(self->buf)));
	ASSERT_EQ(0, kt_reply(self->owner, recv.token, "yes", 3));
	EXPECT_EQ(3, kt_collect(self->sender, NULL, self->buf, 8, 0));
	EXPECT_EQ(-EPIPE, kt_collect(self->sender, NULL, self->buf, 8, 0));
}

/* ---- when nobody can receive ----------------------------------------------------------- */

TEST(shut_without_a_receiver_is_the_end)
{
	unsigned int flags[] = { 0, KPOST_OPEN_PERSIST };
	char name[KT_NAME_SIZE];
	int admin, sender;

	for (int i = 0; i < 2; i++) {
		admin = kt_open(kt_name(name), KPOST_RIGHT_ADMIN, KPOST_OPEN_CREATE | flags[i]);
		ASSERT_LE(0, admin);
		sender = kt_open(name, KPOST_RIGHT_SEND, 0);
		ASSERT_LE(0, sender);
		ASSERT_EQ(0, kt_post(sender, "lost", 4, 0));
		ASSERT_EQ(0, shut(admin));
		EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(sender).flags);
		EXPECT_EQ(1, kt_stat(sender).dropped);
		EXPECT_EQ(0, kt_stat(sender).counted);
		EXPECT_EQ(-ENOENT, kt_open(name, KPOST_RIGHT_SEND, 0));
		EXPECT_EQ(-EPIPE, shut(admin));
		close(sender);
		close(admin);
	}
}

TEST(shut_ends_with_the_last_receiver_of_a_persistent_mailbox)
{
	char name[KT_NAME_SIZE];
	int owner, receiver, sender;

	owner = kt_open(kt_name(name), KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	ASSERT_LE(0, owner);
	sender = kt_open(name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, sender);
	ASSERT_EQ(0, kt_post(sender, "left", 4, 0));
	ASSERT_EQ(0, shut(owner));
	EXPECT_EQ(KPOST_STAT_SHUT, kt_stat(sender).flags);
	/* the name stays, and another receiver may come */
	receiver = kt_open(name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, receiver);
	close(owner);
	EXPECT_EQ(KPOST_STAT_SHUT, kt_stat(sender).flags);
	EXPECT_EQ(1, kt_stat(sender).queued_messages);
	close(receiver);
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(sender).flags);
	EXPECT_EQ(1, kt_stat(sender).dropped);
	EXPECT_EQ(-ENOENT, kt_open(name, KPOST_RIGHT_RECV, 0));
	close(sender);
}

/* ---- what it counts -------------------------------------------------------------------- */

TEST_F(shut, shut_counts_for_what_is_in_it)
{
	uint64_t before = kt_stat(self->owner).counted;

	EXPECT_EQ(cost(4, 4096), before);
	ASSERT_EQ(0, kt_post(self->sender, "twelve bytes", 12, 0));
	ASSERT_EQ(0, kt_post(self->sender, "three", 5, 0));
	ASSERT_EQ(0, shut(self->owner));
	EXPECT_EQ(cost(2, 17), kt_stat(self->owner).counted);
	ASSERT_EQ(12, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(cost(1, 5), kt_stat(self->owner).counted);
	ASSERT_EQ(5, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, kt_stat(self->owner).counted);
}

/* so who has an endpoint of it, and does not let go, holds nothing of its maker's */
TEST(shut_anonymous_gives_its_maker_back_what_a_client_keeps)
{
	int fds[2];

	if (geteuid() != 0)
		SKIP(return, "another user needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, drop_to(USER));
	ASSERT_EQ(0, kt_pair(fds, 4, 4096));
	EXPECT_EQ(cost(4, 4096), used());
	ASSERT_EQ(0, shut(fds[0]));
	EXPECT_EQ(0, used());
	EXPECT_EQ(-EPIPE, kt_post(fds[1], "m", 1, 0));
	close(fds[0]);
	close(fds[1]);
}

/* ---- how to ---------------------------------------------------------------------------- */

TEST_F(shut, shut_takes_the_right_to_administer)
{
	EXPECT_REFUSED(EPERM, self->sender, shut(self->sender));
	EXPECT_EQ(0, kt_post(self->sender, "m", 1, 0));
}

TEST_F(shut, shut_is_for_ever)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_SHUT | KPOST_SET_MODE, .mode = 0640 };
	struct kpost_setattr wrong[] = {
		{ .valid = KPOST_SET_SHUT | KPOST_SET_MESSAGES, .messages = 1 },
		{ .valid = KPOST_SET_SHUT | KPOST_SET_BYTES, .bytes = 4096 },
		{ .valid = KPOST_SET_SHUT, .messages = 1 },
		{ .valid = KPOST_SET_HELD_MAX << 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_REFUSED(EINVAL, self->owner,
			       kt_ioctl(self->owner, KPOST_IOC_SETATTR, &wrong[i]));
	ASSERT_EQ(0, kt_ioctl(self->owner, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(KPOST_STAT_SHUT, kt_stat(self->owner).flags);
	EXPECT_EQ(0640, kt_stat(self->owner).mode);
	/* again, and with what has no meaning any more */
	EXPECT_EQ(0, shut(self->owner));
	EXPECT_REFUSED(EPIPE, self->owner, resize(self->owner, 9, 0));
	EXPECT_REFUSED(EPIPE, self->owner, resize(self->owner, 1, 0));
	attr = (struct kpost_setattr){ .valid = KPOST_SET_MODE, .mode = 0600 };
	EXPECT_EQ(0, kt_ioctl(self->owner, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(KPOST_STAT_SHUT, kt_stat(self->owner).flags);
	EXPECT_REFUSED(EPIPE, self->sender, kt_post(self->sender, "m", 1, 0));
}

/* ---- who polls ------------------------------------------------------------------------- */

TEST_F(shut, shut_is_told_to_who_polls)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET }, seen;
	struct epoll_event in = { .events = EPOLLIN | EPOLLET };
	int both = kt_open(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 0);
	int sends = epoll_create1(EPOLL_CLOEXEC), does_both = epoll_create1(EPOLL_CLOEXEC);
	int receives = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, both);
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kt_post(self->sender, "m", 1, 0));
	ASSERT_EQ(0, epoll_ctl(sends, EPOLL_CTL_ADD, self->sender, &event));
	ASSERT_EQ(0, epoll_ctl(does_both, EPOLL_CTL_ADD, both, &event));
	ASSERT_EQ(0, epoll_ctl(receives, EPOLL_CTL_ADD, self->owner, &in));
	ASSERT_EQ(0, epoll_wait(sends, &seen, 1, 0));
	ASSERT_EQ(1, epoll_wait(does_both, &seen, 1, 0));
	ASSERT_EQ(1, epoll_wait(receives, &seen, 1, 0));
	EXPECT_EQ(EPOLLIN, seen.events);

	ASSERT_EQ(0, shut(self->owner));
	ASSERT_EQ(1, epoll_wait(sends, &seen, 1, KT_SOON));
	EXPECT_EQ(EPOLLERR | EPOLLHUP, seen.events);
	ASSERT_EQ(1, epoll_wait(does_both, &seen, 1, KT_SOON));
	EXPECT_EQ(EPOLLIN | EPOLLERR, seen.events);
	/* there is nothing new to who receives, before the last has gone */
	EXPECT_EQ(0, epoll_wait(receives, &seen, 1, 0));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(POLLIN, ready(self->owner));
		EXPECT_EQ(POLLIN | POLLERR, ready(both));
		ASSERT_EQ(1, kt_take(self->owner, NULL, self->buf, sizeof(self->buf)));
	}
	ASSERT_EQ(1, epoll_wait(receives, &seen, 1, KT_SOON));
	EXPECT_EQ(EPOLLHUP, seen.events);
	ASSERT_EQ(1, epoll_wait(does_both, &seen, 1, KT_SOON));
	EXPECT_EQ(EPOLLHUP | EPOLLERR, seen.events);
	close(both);
	close(sends);
	close(does_both);
	close(receives);
}

/* also one that was told before that it can send */
TEST_F(shut, shut_is_told_to_who_polls_to_send_and_had_room)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET }, seen;
	int both = kt_open(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, both);
	ASSERT_EQ(0, kt_post(self->sender, "m", 1, 0));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, both, &event));
	ASSERT_EQ(1, epoll_wait(epoll, &seen, 1, 0));
	EXPECT_EQ(EPOLLIN | EPOLLOUT, seen.events);
	ASSERT_EQ(0, epoll_wait(epoll, &seen, 1, 0));
	ASSERT_EQ(0, shut(self->owner));
	ASSERT_EQ(1, epoll_wait(epoll, &seen, 1, KT_SOON));
	EXPECT_EQ(EPOLLIN | EPOLLERR, seen.events);
	close(epoll);
	close(both);
}

/* ---- all at once ----------------------------------------------------------------------- */

struct rush {
	int fd;
	uint64_t sent, received;
};

static long sends_until_it_is_shut(void *arg)
{
	struct rush *rush = arg;
	long ret;

	for (unsigned int i = 0;; i++) {
		ret = kt_send(rush->fd, "m", 1, i % 3, i % 5 ? 0 : KPOST_SYNC, kt_soon());
		if (ret)
			return ret;
		__atomic_add_fetch(&rush->sent, 1, __ATOMIC_RELAXED);
	}
}

static long receives_until_the_end(void *arg)
{
	struct rush *rush = arg;
	char buf[8];
	long ret;

	while ((ret = kt_recv(rush->fd, NULL, buf, sizeof(buf), 0, kt_soon())) == 1)
		__atomic_add_fetch(&rush->received, 1, __ATOMIC_RELAXED);
	return ret;
}

TEST(shut_under_load_loses_no_message_that_it_took)
{
	struct kt_job senders[3], receivers[2];

	for (int round = 0; round < 40; round++) {
		struct rush rush = { .fd = kt_mailbox(8, 0, 8) };
		struct kpost_stat st;

		ASSERT_LE(0, rush.fd);
		for (int i = 0; i < 3; i++)
			kt_start_fn(&senders[i], sends_until_it_is_shut, &rush);
		for (int i = 0; i < 2; i++)
			kt_start_fn(&receivers[i], receives_until_the_end, &rush);
		while (__atomic_load_n(&rush.sent, __ATOMIC_RELAXED) < 10u * (unsigned int)round)
			kt_pause();
		ASSERT_EQ(0, shut(rush.fd));
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(kt_join(&senders[i]));
			EXPECT_EQ(-EPIPE, senders[i].ret);
		}
		for (int i = 0; i < 2; i++) {
			ASSERT_TRUE(kt_join(&receivers[i]));
			EXPECT_EQ(-EPIPE, receivers[i].ret);
		}
		st = kt_stat(rush.fd);
		EXPECT_EQ(rush.sent, rush.received);
		EXPECT_EQ(st.sent, st.received);
		EXPECT_EQ(rush.sent, st.sent);
		EXPECT_EQ(0, st.dropped);
		EXPECT_EQ(0, st.counted);
		close(rush.fd);
	}
}

TEST_HARNESS_MAIN
