// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readiness: what poll(2) and epoll(7) say in each state, and that nobody who
 * waits that way misses anything, level-triggered, edge-triggered, one-shot or
 * exclusive.
 */
#include <sys/epoll.h>
#include <sys/select.h>
#include "kpost_test.h"

/* what @fd is ready for; all that could be is asked for */
static int ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };

	if (poll(&pfd, 1, 0) < 0)
		return -errno;
	/* the two names that poll has for each */
	return pfd.revents & ~(POLLRDNORM | POLLWRNORM);
}

/* the events of the next report within @ms, 0 if there was none */
static int next_event(int epfd, int ms)
{
	struct epoll_event ev = { .events = 0 };
	int ret = epoll_wait(epfd, &ev, 1, ms);

	if (ret < 0)
		return -errno;
	return ret ? (int)(ev.events & ~(EPOLLRDNORM | EPOLLWRNORM)) : 0;
}

static int watch(int epfd, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

FIXTURE(poll) {
	int receiver, sender;
	int epfd;
	char buf[100];
};

FIXTURE_SETUP(poll)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);

	open.messages = 4;
	open.bytes = 300;
	open.message_max = 100;
	self->receiver = kt_do_open(&open);
	ASSERT_LE(0, self->receiver);
	self->sender = open.send_fd;
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epfd);
	memset(self->buf, 0, sizeof(self->buf));
}

FIXTURE_TEARDOWN(poll)
{
	close(self->epfd);
	close(self->sender);
	close(self->receiver);
}

TEST_F(poll, poll_tells_messages_to_receivers_and_room_to_senders)
{
	EXPECT_EQ(0, ready(self->receiver));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	EXPECT_EQ(POLLIN, ready(self->receiver));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(0, ready(self->receiver));
}

TEST_F(poll, poll_tells_both_to_an_endpoint_with_both_rights)
{
	int fd = kt_mailbox(1, 0, 0);

	ASSERT_LE(0, fd);
	EXPECT_EQ(POLLOUT, ready(fd));
	ASSERT_EQ(0, kt_post(fd, "", 0, 0));
	EXPECT_EQ(POLLIN, ready(fd));
	close(fd);
}

TEST_F(poll, poll_tells_room_by_messages)
{
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(POLLOUT, ready(self->sender));
		ASSERT_EQ(0, kt_post(self->sender, "", 0, 0));
	}
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_EQ(0, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

/* room for some message is not enough: whoever is told sends one of the largest */
TEST_F(poll, poll_tells_room_only_for_the_largest_message)
{
	ASSERT_EQ(0, kt_post(self->sender, self->buf, 100, 0));
	ASSERT_EQ(0, kt_post(self->sender, self->buf, 100, 0));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	ASSERT_EQ(0, kt_post(self->sender, self->buf, 1, 0));
	EXPECT_EQ(0, ready(self->sender));
	EXPECT_EQ(0, kt_post(self->sender, self->buf, 99, 0));
	ASSERT_EQ(100, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	EXPECT_EQ(0, kt_post(self->sender, self->buf, 100, 0));
}

TEST_F(poll, poll_tells_no_room_while_somebody_waits_for_it)
{
	struct kpost_send send = kt_send_args(self->buf, 100, 0, 0, kt_soon());
	struct kt_job job;

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, kt_post(self->sender, self->buf, 1, 0));
	}
	kt_start(&job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_senders == 1));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_F(poll, poll_follows_a_change_of_capacity)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = 1 };

	ASSERT_EQ(0, kt_post(self->sender, "", 0, 0));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	ASSERT_EQ(0, kt_ioctl(self->receiver, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_EQ(0, watch(self->epfd, self->sender, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, next_event(self->epfd, 0));
	attr.messages = 2;
	ASSERT_EQ(0, kt_ioctl(self->receiver, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(EPOLLOUT, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

TEST_F(poll, poll_tells_senders_that_the_mailbox_is_closed)
{
	ASSERT_EQ(0, watch(self->epfd, self->sender, EPOLLET));
	EXPECT_EQ(0, next_event(self->epfd, 0));
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(EPOLLHUP | EPOLLERR, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLHUP | POLLERR, ready(self->sender));
}

TEST_F(poll, poll_tells_receivers_that_the_last_sender_has_gone)
{
	ASSERT_EQ(0, watch(self->epfd, self->receiver, EPOLLIN | EPOLLRDHUP | EPOLLET));
	ASSERT_EQ(0, kt_post(self->sender, "last", 4, 0));
	EXPECT_EQ(EPOLLIN, next_event(self->epfd, KT_SOON));
	close(self->sender);
	self->sender = -1;
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLIN | POLLRDHUP, ready(self->receiver));
	ASSERT_EQ(4, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(EPOLLRDHUP | EPOLLHUP, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLRDHUP | POLLHUP, ready(self->receiver) & ~POLLIN);
}

TEST(poll_tells_nothing_of_senders_of_a_named_mailbox)
{
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KPOST_RIGHT_RECV);
	int sender = kt_open(name, KPOST_RIGHT_SEND, 0);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, sender);
	close(sender);
	EXPECT_EQ(0, ready(fd));
	close(fd);
}

/* ---- waiting ------------------------------------------------------------------ */

struct waiter {
	struct pollfd pfd;
	int timeout;
};

static long wait_by_poll(void *arg)
{
	struct waiter *waiter = arg;
	int ret = poll(&waiter->pfd, 1, waiter->timeout);

	return ret < 0 ? -errno : ret;
}

TEST_F(poll, poll_wakes_all_who_wait_for_a_message)
{
	struct waiter waiters[3];
	struct kt_job jobs[3];

	for (int i = 0; i < 3; i++) {
		waiters[i] = (struct waiter){ { self->receiver, POLLIN, 0 }, KT_SOON };
		kt_start_fn(&jobs[i], wait_by_poll, &waiters[i]);
		ASSERT_TRUE(kt_until(kt_asleep(jobs[i].tid)));
	}
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(1, jobs[i].ret);
		EXPECT_EQ(POLLIN, waiters[i].pfd.revents);
	}
}

TEST_F(poll, poll_wakes_who_waits_for_room_or_for_the_end)
{
	struct waiter waiter = { { self->sender, POLLOUT, 0 }, KT_SOON };
	struct kt_job job;

	while (kt_post(self->sender, "x", 1, 0) == 0)
		;
	kt_start_fn(&job, wait_by_poll, &waiter);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(POLLOUT, waiter.pfd.revents);

	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	kt_start_fn(&job, wait_by_poll, &waiter);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	close(self->receiver);
	self->receiver = -1;
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(POLLHUP | POLLERR, waiter.pfd.revents);
}

TEST_F(poll, poll_level_triggered_tells_again_until_drained)
{
	ASSERT_EQ(0, watch(self->epfd, self->receiver, EPOLLIN));
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(EPOLLIN, next_event(self->epfd, 0));
	}
	ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(EPOLLIN, next_event(self->epfd, 0));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
	EXPECT_EQ(0, next_event(self->epfd, 0));
}

/* each message is an edge, whatever is queued already and however little was drained */
TEST_F(poll, poll_edge_triggered_tells_every_message)
{
	ASSERT_EQ(0, watch(self->epfd, self->receiver, EPOLLIN | EPOLLET));
	EXPECT_EQ(0, next_event(self->epfd, 0));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
		EXPECT_EQ(EPOLLIN, next_event(self->epfd, 0)) TH_LOG("message %d", i);
		EXPECT_EQ(0, next_event(self->epfd, 0));
	}
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
		EXPECT_EQ(0, next_event(self->epfd, 0));
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
		EXPECT_EQ(EPOLLIN, next_event(self->epfd, 0)) TH_LOG("after drain %d", i);
	}
}

TEST_F(poll, poll_edge_triggered_tells_messages_sent_to_oneself)
{
	int fd = kt_mailbox(8, 0, 16);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, watch(self->epfd, fd, EPOLLIN | EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, next_event(self->epfd, 0));
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
		EXPECT_EQ(EPOLLIN | EPOLLOUT, next_event(self->epfd, 0)) TH_LOG("%d", i);
	}
	close(fd);
}

TEST_F(poll, poll_edge_triggered_tells_of_room)
{
	ASSERT_EQ(0, watch(self->epfd, self->sender, EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, next_event(self->epfd, 0));
	for (int round = 0; round < 5; round++) {
		while (kt_post(self->sender, "x", 1, 0) == 0)
			;
		EXPECT_EQ(0, ready(self->sender));
		while (next_event(self->epfd, 0))
			;
		ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
		EXPECT_EQ(EPOLLOUT, next_event(self->epfd, KT_SOON)) TH_LOG("round %d", round);
	}
}

/* room that a receive that faults never gave back is not announced */
TEST_F(poll, poll_tells_the_truth_after_a_receive_that_failed)
{
	char *unmapped = kt_edge(PROT_NONE);

	while (kt_post(self->sender, "x", 1, 0) == 0)
		;
	EXPECT_EQ(-EFAULT, kt_take(self->receiver, NULL, unmapped, 1));
	EXPECT_EQ(0, ready(self->sender));
	EXPECT_EQ(POLLIN, ready(self->receiver));
	EXPECT_EQ(-EMSGSIZE, kt_take(self->receiver, NULL, NULL, 0));
	EXPECT_EQ(0, ready(self->sender));
	EXPECT_EQ(POLLIN, ready(self->receiver));
}

TEST_F(poll, poll_oneshot_tells_once_for_each_arming)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };

	ASSERT_EQ(0, watch(self->epfd, self->receiver, EPOLLIN | EPOLLONESHOT));
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	EXPECT_EQ(EPOLLIN, next_event(self->epfd, 0));
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	EXPECT_EQ(0, next_event(self->epfd, 0));
	/* what came while it was not armed is told when it is */
	ASSERT_EQ(0, epoll_ctl(self->epfd, EPOLL_CTL_MOD, self->receiver, &ev));
	EXPECT_EQ(EPOLLIN, next_event(self->epfd, 0));
	EXPECT_EQ(0, next_event(self->epfd, 0));
}

struct drainer {
	int fd, epfd;
	bool *stop;
	unsigned int got;
};

/* an event loop on an edge: take all that is there, then wait for the next edge */
static long drain_on_edges(void *arg)
{
	struct drainer *drainer = arg;
	char buf[8];

	while (!__atomic_load_n(drainer->stop, __ATOMIC_ACQUIRE)) {
		int event = next_event(drainer->epfd, 100);
		long ret;

		if (event < 0)
			return event;
		if (!event)
			continue;
		do {
			ret = kt_take(drainer->fd, NULL, buf, sizeof(buf));
			if (ret >= 0)
				__atomic_add_fetch(&drainer->got, 1, __ATOMIC_RELEASE);
		} while (ret >= 0);
		if (ret != -EAGAIN)
			return ret;
	}
	return 0;
}

static void check_edges_under_load(struct __test_metadata *_metadata, uint32_t events)
{
	enum { DRAINERS = 2, COUNT = 3000 };
	struct drainer drainers[DRAINERS];
	struct kt_job jobs[DRAINERS];
	int fd = kt_mailbox(5, 0, 16);
	bool stop = false;
	int epfds[DRAINERS];

	ASSERT_LE(0, fd);
	for (int i = 0; i < DRAINERS; i++) {
		epfds[i] = epoll_create1(0);
		ASSERT_EQ(0, watch(epfds[i], fd, events));
		drainers[i] = (struct drainer){ .fd = fd, .epfd = epfds[i], .stop = &stop };
		kt_start_fn(&jobs[i], drain_on_edges, &drainers[i]);
	}
	for (int i = 0; i < COUNT; i++) {
		ASSERT_EQ(0, kt_send(fd, "x", 1, 0, 0, kt_soon()))
			TH_LOG("message %d: an edge was lost, and nobody drains", i);
	}
	EXPECT_TRUE(kt_until(kt_stat(fd).queued_messages == 0));
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < DRAINERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
		close(epfds[i]);
	}
	EXPECT_EQ(COUNT, drainers[0].got + drainers[1].got);
	close(fd);
}

TEST(poll_edge_triggered_loses_no_wakeup_under_load)
{
	check_edges_under_load(_metadata, EPOLLIN | EPOLLET);
}

TEST(poll_exclusive_loses_no_wakeup_under_load)
{
	check_edges_under_load(_metadata, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
}

/* of several that wait exclusively, at least one is woken for each message */
TEST_F(poll, poll_exclusive_wakes_somebody)
{
	struct waiter waiters[3];
	struct kt_job jobs[3];
	int epfds[3];

	for (int i = 0; i < 3; i++) {
		epfds[i] = epoll_create1(0);
		ASSERT_EQ(0, watch(epfds[i], self->receiver, EPOLLIN | EPOLLEXCLUSIVE));
		waiters[i] = (struct waiter){ { epfds[i], POLLIN, 0 }, KT_SOON };
	}
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3; i++) {
			kt_start_fn(&jobs[i], wait_by_poll, &waiters[i]);
			ASSERT_TRUE(kt_until(kt_asleep(jobs[i].tid)));
		}
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
		ASSERT_TRUE(kt_until(kt_done(&jobs[0]) || kt_done(&jobs[1]) || kt_done(&jobs[2])))
			TH_LOG("round %d: nobody was woken", round);
		/* level-triggered, so the others come round with more of the same */
		for (int more = 0; more < 3; more++)
			kt_post(self->sender, "x", 1, 0);
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(kt_join(&jobs[i]));
			ASSERT_EQ(1, jobs[i].ret);
		}
		while (kt_take(self->receiver, NULL, self->buf, 100) >= 0)
			;
	}
}

/* ---- what goes while it is watched -------------------------------------------- */

TEST_F(poll, poll_wait_queue_may_go_while_it_is_watched)
{
	for (int round = 0; round < 100; round++) {
		struct waiter waiter = { { self->epfd, POLLIN, 0 }, 20 };
		struct kt_job job;
		int fds[2];

		ASSERT_EQ(0, kt_pair(fds, 2, 0));
		ASSERT_EQ(0, watch(self->epfd, fds[0], EPOLLIN | EPOLLRDHUP | EPOLLET));
		ASSERT_EQ(0, watch(self->epfd, fds[1], EPOLLOUT | EPOLLET));
		kt_start_fn(&job, wait_by_poll, &waiter);
		ASSERT_EQ(0, kt_post(fds[1], "x", 1, 0));
		/* either end first, and the other sees it */
		close(fds[round & 1]);
		close(fds[!(round & 1)]);
		ASSERT_TRUE(kt_join(&job));
		ASSERT_LE(0, job.ret);
		EXPECT_EQ(0, next_event(self->epfd, 0));
	}
}

TEST_F(poll, poll_survives_the_thread_and_the_process_that_watch)
{
	for (int round = 0; round < 10; round++) {
		pid_t pid = kt_fork();

		if (pid == 0) {
			struct waiter waiter = { { self->receiver, POLLIN, 0 }, -1 };
			struct kt_job job;
			int epfd = epoll_create1(0);

			if (watch(epfd, self->receiver, EPOLLIN))
				_exit(1);
			kt_start_fn(&job, wait_by_poll, &waiter);
			next_event(epfd, -1);
			_exit(2);
		}
		ASSERT_TRUE(kt_until(kt_asleep(pid)));
		EXPECT_LE(0, kt_kill(pid));
		/* those that remain are still woken */
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
		EXPECT_EQ(POLLIN, ready(self->receiver));
		ASSERT_EQ(1, kt_take(self->receiver, NULL, self->buf, 100));
	}
}

TEST_F(poll, poll_reports_an_error_to_senders_of_a_closed_mailbox_and_nobody_else)
{
	int fd = kt_mailbox(1, 0, 0), seen = 0;
	char name[KT_NAME_SIZE];
	int ends[3];

	ASSERT_LE(0, fd);
	for (int round = 0; round < 3; round++) {
		seen |= ready(fd) | ready(self->receiver) | ready(self->sender);
		kt_post(fd, "x", 1, 0);
		kt_post(fd, NULL, 1, 0);
		kt_take(fd, NULL, NULL, 1);
		kt_post(self->sender, "x", 1, 0);
	}
	EXPECT_EQ(0, seen & (POLLERR | POLLPRI | POLLNVAL | POLLHUP));
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(POLLHUP | POLLERR, ready(self->sender));

	/* a receiver of one that is at its end, and who may do neither */
	ends[0] = kt_create(kt_name(name), KPOST_RIGHT_RECV);
	ends[1] = kt_open(name, KPOST_RIGHT_ADMIN, 0);
	ends[2] = kt_open(name, KPOST_RIGHT_ADMIN | KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, ends[2]);
	EXPECT_EQ(0, ready(ends[0]));
	EXPECT_EQ(0, ready(ends[1]));
	close(ends[0]);
	EXPECT_EQ(POLLHUP, ready(ends[1]));
	EXPECT_EQ(POLLHUP | POLLERR, ready(ends[2]));
	close(ends[1]);
	close(ends[2]);
	close(fd);
}

/* ---- select(2), which knows no end: an error is what it takes for writable ------- */

struct selector {
	int fd;
	fd_set in, out, urgent;
};

static long wait_by_select(void *arg)
{
	struct timeval tv = { .tv_sec = KT_SOON / 1000 };
	struct selector *selector = arg;
	int ret = select(selector->fd + 1, &selector->in, &selector->out, &selector->urgent, &tv);

	return ret < 0 ? -errno : ret;
}

static void selector_init(struct selector *selector, int fd)
{
	*selector = (struct selector){ .fd = fd };
	FD_SET(fd, &selector->out);
}

static void selector_tells_of_the_end(struct __test_metadata *_metadata, struct kt_job *job,
				      struct selector *selector)
{
	ASSERT_TRUE(kt_join(job)) TH_LOG("select does not see that the mailbox is closed");
	EXPECT_EQ(1, job->ret);
	EXPECT_TRUE(FD_ISSET(selector->fd, &selector->out));
	EXPECT_FALSE(FD_ISSET(selector->fd, &selector->urgent));
	EXPECT_EQ(-EPIPE, kt_post(selector->fd, "x", 1, 0));
}

TEST_F(poll, poll_by_select_tells_a_sender_that_its_mailbox_is_closed)
{
	struct selector selector;
	struct kt_job job;

	/* no room, so that it is not that */
	while (kt_post(self->sender, "x", 1, 0) == 0)
		;
	selector_init(&selector, self->sender);
	close(self->receiver);
	self->receiver = -1;
	kt_start_fn(&job, wait_by_select, &selector);
	selector_tells_of_the_end(_metadata, &job, &selector);
}

TEST_F(poll, poll_by_select_tells_a_waiting_sender_that_its_mailbox_closes)
{
	struct selector selector;
	struct kt_job job;

	while (kt_post(self->sender, "x", 1, 0) == 0)
		;
	selector_init(&selector, self->sender);
	kt_start_fn(&job, wait_by_select, &selector);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	EXPECT_FALSE(kt_done(&job));
	close(self->receiver);
	self->receiver = -1;
	selector_tells_of_the_end(_metadata, &job, &selector);
}

TEST_F(poll, poll_by_select_tells_a_receiver_that_the_last_sender_went)
{
	struct selector selector;
	struct kt_job job;

	for (int waiting = 0; waiting < 2; waiting++) {
		int fds[2];

		ASSERT_EQ(0, kt_pair(fds, 0, 0));
		selector = (struct selector){ .fd = fds[0] };
		FD_SET(fds[0], &selector.in);
		if (!waiting)
			close(fds[1]);
		kt_start_fn(&job, wait_by_select, &selector);
		if (waiting) {
			ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
			close(fds[1]);
		}
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(1, job.ret);
		EXPECT_TRUE(FD_ISSET(fds[0], &selector.in));
		close(fds[0]);
	}
}

TEST_HARNESS_MAIN
