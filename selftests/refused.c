// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 3: an endpoint through which a long message was refused for want of a share is not
 * writable for that user until there is as much again; and whoever polls it is told then.
 */
#include "account_test.h"

#include <sys/epoll.h>
#include <sys/uio.h>

/* With one of what is held given back there is enough for a long message, and not before. */
enum { HELD = 20, SHARE = HELD * GRANT_COST + UNCOUNTED + 100, LONGEST = 128 << 10 };

static char payload[LONGEST], buf[LONGEST];

FIXTURE(refused) {
	int receiver, sender;
	int full;
	int other;		/* another mailbox */
	int held[HELD];		/* grants, which leave too little for a long message */
	int epfd;
	struct kt_job job;
};

/* all that was given back */
static bool take_share(int held[HELD], int mailbox)
{
	for (int i = 0; i < HELD; i++) {
		if (held[i] < 0)
			held[i] = kt_grant(mailbox, KPOST_RIGHT_SEND);
		if (held[i] < 0)
			return false;
	}
	return true;
}

FIXTURE_SETUP(refused)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);

	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, limit_set("user_sending_bytes", SHARE));
	ASSERT_EQ(0, drop_to(USER));
	open.messages = 4;
	open.bytes = 1 << 20;
	open.message_max = LONGEST;
	self->receiver = kt_do_open(&open);
	ASSERT_LE(0, self->receiver);
	self->sender = open.send_fd;
	self->full = kt_mailbox(1, LONGEST, LONGEST);
	ASSERT_EQ(0, kt_post(self->full, "", 0, 0));
	self->other = kt_mailbox(0, 0, 0);
	for (int i = 0; i < HELD; i++)
		self->held[i] = -1;
	ASSERT_TRUE(take_share(self->held, self->other));
	self->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epfd);
}

FIXTURE_TEARDOWN(refused)
{
}

/* what @fd is ready for */
static int ready(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	if (poll(&pfd, 1, 0) < 0)
		return -errno;
	return pfd.revents & ~(POLLRDNORM | POLLWRNORM);
}

static long refuse(int fd)
{
	return kt_post(fd, payload, UNCOUNTED + 1, 0);
}

/* a long message is refused; the next that is given back tells of it */
#define get_refused() do {							\
	ASSERT_TRUE(take_share(self->held, self->other));			\
	ASSERT_EQ(POLLOUT, ready(self->sender));				\
	ASSERT_EQ(-EDQUOT, refuse(self->sender));				\
	ASSERT_EQ(0, ready(self->sender));					\
} while (0)

#define give_back(n) do {							\
	close(self->held[n]);							\
	self->held[n] = -1;							\
} while (0)

/* poll until @fd is writable, as a job: 1, or 0 if it never was */
static long await_writable(void *arg)
{
	struct pollfd pfd = { .fd = *(int *)arg, .events = POLLOUT };
	int ret = poll(&pfd, 1, KT_SOON);

	return ret < 0 ? -errno : ret && pfd.revents & POLLOUT;
}

static int watch(int epfd, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* the next report within @ms; 0 if there was none */
static int next_event(int epfd, int ms)
{
	struct epoll_event ev = { .events = 0 };
	int ret = epoll_wait(epfd, &ev, 1, ms);

	return ret < 0 ? -errno : ret ? (int)(ev.events & ~(EPOLLRDNORM | EPOLLWRNORM)) : 0;
}

/* ---- that endpoint, and no other ------------------------------------------------------- */

TEST_F(refused, endpoint_is_not_writable_until_enough_is_given_back)
{
	get_refused();
	/* what meets no limit goes on, and changes nothing about that */
	EXPECT_EQ(0, kt_post(self->sender, payload, UNCOUNTED, 0));
	EXPECT_EQ(0, ready(self->sender));
	EXPECT_EQ(-EDQUOT, refuse(self->sender));
	EXPECT_EQ(UNCOUNTED, kt_take(self->receiver, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, ready(self->sender));
	give_back(0);
	EXPECT_EQ(POLLOUT, ready(self->sender));
	EXPECT_EQ(0, refuse(self->sender));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	/* a longer one takes more, and is told of when there is that */
	ASSERT_TRUE(take_share(self->held, self->other));
	EXPECT_EQ(-EDQUOT, kt_post(self->sender, payload, UNCOUNTED + 3 * GRANT_COST, 0));
	ASSERT_EQ(0, watch(self->epfd, self->sender, EPOLLOUT));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, ready(self->sender)) TH_LOG("%d given back", i);
		EXPECT_EQ(0, next_event(self->epfd, 20)) TH_LOG("%d given back", i);
		give_back(i);
	}
	give_back(3);
	EXPECT_EQ(EPOLLOUT, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

/* who shares the endpoint is another user, with a share of its own */
static int sees_it_writable(void *arg)
{
	int fd = *(int *)arg;

	CHECK_EQ(0, seteuid(0));
	CHECK_EQ(0, child_become(USER + 1, USER + 1));
	CHECK_EQ(POLLOUT, ready(fd));
	CHECK_EQ(0, refuse(fd));
	return 0;
}

TEST_F(refused, endpoint_stays_writable_for_another_user)
{
	get_refused();
	EXPECT_EQ(0, child_run(sees_it_writable, &self->sender));
	EXPECT_EQ(0, ready(self->sender));
}

TEST_F(refused, endpoints_on_the_same_mailbox_stay_writable)
{
	int both = kt_mailbox(4, 1 << 20, LONGEST), another = kt_grant(both, KPOST_RIGHT_SEND);

	ASSERT_LE(0, another);
	EXPECT_EQ(-EDQUOT, refuse(both));
	EXPECT_EQ(0, ready(both));
	EXPECT_EQ(POLLOUT, ready(another));
	/* that there is something to receive is seen as before */
	ASSERT_EQ(0, kt_post(another, "x", 1, 0));
	EXPECT_EQ(POLLIN, ready(both));
	ASSERT_EQ(1, kt_take(both, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, ready(both));
	give_back(0);
	EXPECT_EQ(0, ready(both));
	give_back(1);
	EXPECT_EQ(POLLOUT, ready(both));
}

/* whichever way it was sent */
TEST_F(refused, by_whatever_sent_it)
{
	struct iovec iov[2] = { { payload, UNCOUNTED }, { payload, 1 } };
	struct kpost_iovec pieces[2] = {
		{ (uintptr_t)payload, UNCOUNTED }, { (uintptr_t)payload, 1 },
	};
	struct kpost_send send = kt_send_args(pieces, 2, 0, KPOST_IOVEC, kt_soon());

	for (int way = 0; way < 3; way++) {
		ASSERT_TRUE(take_share(self->held, self->other));
		ASSERT_EQ(POLLOUT, ready(self->sender));
		if (way == 2) {
			ASSERT_EQ(-EDQUOT, kt_ioctl(self->sender, KPOST_IOC_SEND, &send));
		} else {
			ASSERT_EQ(-1, way ? writev(self->sender, iov, 2) :
				  write(self->sender, payload, UNCOUNTED + 1));
			ASSERT_EQ(EDQUOT, errno);
		}
		EXPECT_EQ(0, ready(self->sender)) TH_LOG("way %d", way);
		give_back(way);
		EXPECT_EQ(POLLOUT, ready(self->sender)) TH_LOG("way %d", way);
	}
}

/* what is refused that is no long message says nothing of messages */
TEST_F(refused, endpoint_stays_writable_when_something_else_is_refused)
{
	static char room[SHARE];

	EXPECT_EQ(-EDQUOT, kt_call(self->sender, "x", 1, room, SHARE, kt_soon()));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	EXPECT_EQ(-EDQUOT, kt_call(self->sender, payload, UNCOUNTED + 1, room, 1, kt_soon()));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EDQUOT, kt_send(self->full, payload, UNCOUNTED, 0, 0, kt_soon()));
	}
	EXPECT_EQ(POLLIN, ready(self->full));
	ASSERT_EQ(0, kt_take(self->full, NULL, buf, sizeof(buf)));
	EXPECT_EQ(POLLOUT, ready(self->full));
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 1));
	EXPECT_EQ(-EDQUOT, kt_grant(self->sender, KPOST_RIGHT_SEND));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

/* and whatever is given back */
TEST_F(refused, until_whatever_is_given_back)
{
	/* one of what is held less, and this instead */
	struct kpost_send send = kt_send_args(payload, 2 * GRANT_COST, 0, 0, 0);
	struct kpost_call call;
	struct kpost_recv recv;

	give_back(0);
	/* a wait that ends */
	send.deadline = kt_later();
	kt_start(&self->job, self->full, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->full).waiting_senders == 1));
	ASSERT_EQ(-EDQUOT, refuse(self->sender));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(-ETIMEDOUT, self->job.ret);
	EXPECT_EQ(POLLOUT, ready(self->sender));
	/* by being let in */
	send.deadline = kt_soon();
	kt_start(&self->job, self->full, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->full).waiting_senders == 1));
	ASSERT_EQ(-EDQUOT, refuse(self->sender));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_LE(0, kt_take(self->full, NULL, buf, sizeof(buf)));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(0, self->job.ret);
	EXPECT_EQ(POLLOUT, ready(self->sender));
	/* a call that is answered */
	call = kt_call_args("ask", 3, buf, 2 * GRANT_COST, kt_soon());
	kt_start(&self->job, self->other, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->other, &recv, payload, 10, 0, kt_soon()));
	ASSERT_EQ(-EDQUOT, refuse(self->sender));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_EQ(0, kt_reply(self->other, recv.token, "", 0));
	ASSERT_TRUE(kt_join(&self->job));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

/* the share is too small whatever is given back, so nobody waits for that */
TEST_F(refused, endpoint_stays_writable_where_nothing_can_be_given_back)
{
	for (int i = 0; i < HELD; i++)
		give_back(i);
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", UNCOUNTED));
	ASSERT_EQ(0, sending());
	EXPECT_EQ(-EDQUOT, refuse(self->sender));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	EXPECT_EQ(0, kt_post(self->sender, payload, UNCOUNTED, 0));
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", SHARE));
	ASSERT_EQ(0, limit_as_root("office_sending_bytes", UNCOUNTED));
	EXPECT_EQ(-ENOBUFS, refuse(self->sender));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

/* ---- the office's ---------------------------------------------------------------------- */

static int give_back_when_told(void *arg)
{
	int *fds = arg, fd;
	uid_t uid = fds[2];

	CHECK_EQ(0, seteuid(0));
	if (uid)
		CHECK_EQ(0, child_become(uid, uid));
	else
		CHECK_EQ(0, change_to(0));
	fd = uid ? kt_grant(fds[0], KPOST_RIGHT_SEND) : kt_mailbox(0, 0, 0);
	if (!uid)
		fd = kt_grant(fd, KPOST_RIGHT_SEND);
	CHECK(fd >= 0);
	CHECK_EQ(0, tell(fds[1]));
	CHECK(is_told(fds[1]));
	close(fd);
	return 0;
}

TEST_F(refused, by_the_office_and_told_of_what_anybody_gives_back)
{
	int fds[3] = { self->other }, socks[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	fds[1] = socks[1];
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 2 * SHARE));
	/* nine tenths are theirs: with what the other one gives back it is enough */
	ASSERT_EQ(0, limit_as_root("office_sending_bytes",
				   (HELD * GRANT_COST + UNCOUNTED + 600) * 10 / 9 + 10));
	for (int i = 0; i < 2; i++) {
		fds[2] = i ? 0 : USER + 1;
		pid = child_start(give_back_when_told, fds);
		ASSERT_TRUE(is_told(socks[0]));
		EXPECT_EQ(POLLOUT, ready(self->sender));
		EXPECT_EQ(-ENOBUFS, refuse(self->sender));
		EXPECT_EQ(0, ready(self->sender));
		kt_start_fn(&self->job, await_writable, &self->sender);
		ASSERT_EQ(0, tell(socks[0]));
		ASSERT_TRUE(kt_join(&self->job));
		EXPECT_EQ(1, self->job.ret) TH_LOG("what uid %d gave back", fds[2]);
		EXPECT_EQ(0, child_finish(pid, 20));
	}
}

/* ---- those who are told ---------------------------------------------------------------- */

TEST_F(refused, poll_that_waits_is_woken)
{
	for (int round = 0; round < 5; round++) {
		get_refused();
		kt_start_fn(&self->job, await_writable, &self->sender);
		ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
		give_back(round);
		ASSERT_TRUE(kt_join(&self->job));
		EXPECT_EQ(1, self->job.ret);
	}
}

FIXTURE(told) {
	FIXTURE_DATA(refused) refused;
};

FIXTURE_VARIANT(told) {
	uint32_t how;
};

FIXTURE_VARIANT_ADD(told, level) { .how = 0 };
FIXTURE_VARIANT_ADD(told, edge) { .how = EPOLLET };
FIXTURE_VARIANT_ADD(told, edge_of_one) { .how = EPOLLET | EPOLLONESHOT };
FIXTURE_VARIANT_ADD(told, exclusive) { .how = EPOLLET | EPOLLEXCLUSIVE };

FIXTURE_SETUP(told)
{
	refused_setup(_metadata, &self->refused, NULL);
}

FIXTURE_TEARDOWN(told)
{
}

TEST_F(told, once_something_is_given_back)
{
	FIXTURE_DATA(refused) *refused = &self->refused;
	int fd = refused->sender, epfd = refused->epfd;

	ASSERT_EQ(0, watch(epfd, fd, EPOLLOUT | variant->how));
	EXPECT_EQ(EPOLLOUT, next_event(epfd, 0));
	for (int round = 0; round < 5; round++) {
		ASSERT_TRUE(take_share(refused->held, refused->other));
		ASSERT_EQ(-EDQUOT, refuse(fd));
		if (variant->how & EPOLLONESHOT) {
			struct epoll_event ev = { .events = EPOLLOUT | variant->how };

			ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev));
		}
		EXPECT_EQ(0, next_event(epfd, 20)) TH_LOG("round %d", round);
		close(refused->held[round]);
		refused->held[round] = -1;
		EXPECT_EQ(EPOLLOUT, next_event(epfd, KT_SOON)) TH_LOG("round %d", round);
		/* once, unless it is asked for again and again */
		EXPECT_EQ(variant->how ? 0 : EPOLLOUT, next_event(epfd, 20));
	}
}

TEST_F(refused, endpoints_are_told_however_many_there_are)
{
	enum { MANY = 300 };
	struct epoll_event ev[MANY];
	char name[KT_NAME_SIZE];
	int fd[MANY], seen = 0;
	struct kpost_open open = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE);

	ASSERT_EQ(0, allow_descriptors(2 * MANY));
	open.bytes = 1 << 20;
	ASSERT_LE(0, kt_do_open(&open));
	for (int i = 0; i < MANY; i++) {
		fd[i] = kt_open(name, KPOST_RIGHT_SEND, 0);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(-EDQUOT, refuse(fd[i]));
		ASSERT_EQ(0, watch(self->epfd, fd[i], EPOLLOUT | EPOLLET));
	}
	EXPECT_EQ(0, next_event(self->epfd, 0));
	give_back(0);
	while (seen < MANY) {
		int n = epoll_wait(self->epfd, ev, MANY, KT_SOON);

		ASSERT_LT(0, n) TH_LOG("%d of %d were told", seen, MANY);
		seen += n;
	}
	EXPECT_EQ(MANY, seen);
	EXPECT_EQ(0, next_event(self->epfd, 20));
}

/* ---- and something else meanwhile ------------------------------------------------------ */

TEST_F(refused, endpoint_of_a_mailbox_that_is_full_is_writable_with_room_and_share)
{
	get_refused();
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	}
	ASSERT_EQ(0, watch(self->epfd, self->sender, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, next_event(self->epfd, 20));
	/* share, and no room */
	give_back(0);
	EXPECT_EQ(0, next_event(self->epfd, 50));
	EXPECT_EQ(0, ready(self->sender));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, buf, sizeof(buf)));
	EXPECT_EQ(EPOLLOUT, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLOUT, ready(self->sender));
	/* room, and no share */
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	ASSERT_TRUE(take_share(self->held, self->other));
	ASSERT_EQ(-EDQUOT, refuse(self->sender));
	ASSERT_EQ(1, kt_take(self->receiver, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, ready(self->sender));
	EXPECT_EQ(0, next_event(self->epfd, 20));
	give_back(1);
	EXPECT_EQ(EPOLLOUT, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLOUT, ready(self->sender));
}

TEST_F(refused, endpoint_whose_mailbox_closes_tells_of_that)
{
	get_refused();
	ASSERT_EQ(0, watch(self->epfd, self->sender, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, next_event(self->epfd, 0));
	close(self->receiver);
	EXPECT_EQ(EPOLLERR | EPOLLHUP, next_event(self->epfd, KT_SOON));
	EXPECT_EQ(POLLERR | POLLHUP, ready(self->sender));
	give_back(0);
	EXPECT_EQ(-EPIPE, kt_post(self->sender, "x", 1, 0));
	EXPECT_EQ(POLLERR | POLLHUP, ready(self->sender));
}

/* the list that it was in is not looked through with it any more */
TEST_F(refused, endpoint_is_closed)
{
	int fd[3];

	/* there is enough without these */
	give_back(0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++) {
			fd[i] = kt_grant(self->sender, KPOST_RIGHT_SEND);
			ASSERT_LE(0, fd[i]);
		}
		for (int i = 0; i < 3; i++) {
			ASSERT_EQ(-EDQUOT, refuse(fd[i]));
			ASSERT_EQ(0, watch(self->epfd, fd[i], EPOLLOUT | EPOLLET));
		}
		ASSERT_EQ(-EDQUOT, refuse(self->sender));
		kt_start_fn(&self->job, await_writable, &self->sender);
		ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
		close(fd[1]);
		close(fd[0]);
		close(fd[2]);
		ASSERT_TRUE(kt_join(&self->job));
		EXPECT_EQ(1, self->job.ret);
		EXPECT_EQ(POLLOUT, ready(self->sender));
		/* none of those that were told is left */
		EXPECT_EQ(0, next_event(self->epfd, 0));
	}
	EXPECT_EQ((HELD - 1) * GRANT_COST, sending());
}

struct victim {
	int device_mailbox;
	bool waits;
};

static int refused_and_waiting(void *arg)
{
	struct victim *victim = arg;
	int fd = kt_mailbox(4, 1 << 20, LONGEST);

	if (refuse(fd) != -EDQUOT || ready(fd))
		return CHILD_FAILED;
	__atomic_store_n(&victim->waits, true, __ATOMIC_RELEASE);
	await_writable(&fd);
	return CHILD_FAILED;
}

TEST_F(refused, task_is_killed)
{
	struct victim *victim = kt_shared(sizeof(*victim));
	pid_t pid;

	for (int round = 0; round < 10; round++) {
		victim->waits = false;
		get_refused();
		pid = child_start(refused_and_waiting, victim);
		ASSERT_TRUE(kt_until(__atomic_load_n(&victim->waits, __ATOMIC_ACQUIRE)));
		ASSERT_TRUE(kt_until(kt_asleep(pid)));
		if (round % 2)
			give_back(round);
		kill(pid, SIGKILL);
		if (!(round % 2))
			give_back(round);
		EXPECT_LE(0, kt_reap(pid));
		EXPECT_TRUE(kt_until(ready(self->sender) == POLLOUT));
	}
}

/* ---- many at once ---------------------------------------------------------------------- */

enum { SENDERS = 4, EACH = 300 };

static long send_or_wait(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < EACH;) {
		struct pollfd pfd = { .fd = fd, .events = POLLOUT };
		long ret = refuse(fd);

		if (ret == 0)
			i++;
		else if (ret != -EDQUOT && ret != -EAGAIN)
			return ret;
		else if (poll(&pfd, 1, KT_SOON) != 1)
			return -ETIMEDOUT;
	}
	return 0;
}

/* there is share for one; all of them get theirs, and nobody sleeps through it */
TEST_F(refused, senders_of_long_messages_take_turns)
{
	struct kt_job jobs[SENDERS];
	int received = 0;

	for (int i = 0; i < HELD; i++)
		give_back(i);
	for (int i = 0; i < SENDERS; i++)
		kt_start_fn(&jobs[i], send_or_wait, &self->sender);
	while (received < SENDERS * EACH) {
		ASSERT_EQ(UNCOUNTED + 1, kt_recv(self->receiver, NULL, buf, sizeof(buf), 0,
						 kt_soon()));
		received++;
	}
	for (int i = 0; i < SENDERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
	EXPECT_EQ(0, sending());
}

TEST_HARNESS_MAIN
