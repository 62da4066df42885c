// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user without privileges may try against others with the mailboxes that it
 * may open: it costs itself, and nobody else more than was agreed.
 */
#include "hostile_test.h"

#include <sys/resource.h>

/* what so many mailboxes of default sizes count for */
#define BOXES_3		"592896"
#define BOXES_8		"1581056"

FIXTURE(hostile) {
	char name[KT_NAME_SIZE];
	char buf[64];
	int socks[2];
};

FIXTURE_SETUP(hostile)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, begin_apart(self->socks));
	kt_name(self->name);
}

FIXTURE_TEARDOWN(hostile)
{
}

/* ---- what the attacker holds ------------------------------------------------------- */

/* endpoints that are never closed keep their mailboxes, but not their maker's share */
TEST_F(hostile, closed_mailboxes_held_open_count_for_nobody)
{
	enum { COUNT = 8 };
	int fds[2];
	pid_t pid;

	ASSERT_EQ(0, limit_set("user_bytes", BOXES_8));
	ASSERT_EQ(0, be_victim());
	pid = fork_attacker(ATTACKER);
	if (pid == 0) {
		for (int i = 0; i < 3 * COUNT; i++) {
			if (take_fd(self->socks[1]) < 0 || tell(self->socks[1]))
				_exit(1);
		}
		pause();
	}
	ASSERT_LT(0, pid);
	for (int i = 0; i < 3 * COUNT; i++) {
		ASSERT_EQ(0, kt_pair(fds, 0, 0)) TH_LOG("mailbox %d", i);
		ASSERT_EQ(0, pass_fd(self->socks[0], fds[1]));
		ASSERT_TRUE(is_told(self->socks[0]));
		close(fds[0]);
		close(fds[1]);
	}
	/* those that are not closed count */
	for (int i = 0; i < COUNT; i++) {
		ASSERT_EQ(0, kt_pair(fds, 0, 0)) TH_LOG("mailbox %d", i);
	}
	EXPECT_EQ(-EDQUOT, kt_pair(fds, 0, 0));
	EXPECT_EQ(0, end_attacker(pid));
}

/* and until then for their maker, whoever has them */
TEST_F(hostile, mailboxes_count_for_their_maker_until_they_close)
{
	char other[KT_NAME_SIZE];
	int fds[2], fd;
	pid_t pid;

	ASSERT_EQ(0, limit_set("user_bytes", BOXES_3));
	ASSERT_EQ(0, be_victim());
	pid = fork_attacker(ATTACKER);
	if (pid == 0) {
		if (take_fd(self->socks[1]) < 0 || tell(self->socks[1]))
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_LT(0, pid);
	/* nobody has it open; another has its receiver; it has no name any more */
	ASSERT_EQ(0, close(kt_open(self->name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST)));
	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	ASSERT_EQ(0, pass_fd(self->socks[0], fds[0]));
	ASSERT_TRUE(is_told(self->socks[0]));
	close(fds[0]);
	close(fds[1]);
	fd = kt_create(kt_name(other), KT_ALL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_unlink(other));
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	ASSERT_EQ(0, kt_unlink(self->name));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	EXPECT_EQ(0, end_attacker(pid));
	EXPECT_TRUE(kt_until(kt_mailbox(0, 0, 0) >= 0));
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	close(fd);
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
}

static char block[4000];

static struct kpost_info info_now(void)
{
	struct kpost_info info;

	kt_poison(&info, sizeof(info));
	kt_ioctl(kt_device(), KPOST_IOC_INFO, &info);
	return info;
}

/* messages of a block each until one is refused; how many got in, and in @err why no more */
static int fill(int fd, long *err)
{
	int count = 0;

	while ((*err = kt_post(fd, block, sizeof(block), 0)) == 0)
		count++;
	return count;
}

static int drain(int fd)
{
	int count = 0;

	while (kt_take(fd, NULL, block, sizeof(block)) >= 0)
		count++;
	return count;
}

/* as many grants as are let; in the end a small mailbox more than of default sizes */
static void hoard(int fd)
{
	struct rlimit many = { 1000, 1000 };
	long err;
	int box;

	setrlimit(RLIMIT_NOFILE, &many);
	fill(fd, &err);
	while ((box = kt_mailbox(0, 0, 0)) >= 0)
		fill(box, &err);
	while (kt_mailbox(1, 1000, 0) >= 0)
		;
	while (kt_grant(fd, KPOST_RIGHT_SEND) >= 0)
		;
}

/* take all that one user can: of somebody's mailbox, of both its shares; and keep it */
static pid_t fork_hoarder(const char *name, uid_t uid, int sock)
{
	pid_t pid = fork_attacker(uid);
	int fd;

	if (pid)
		return pid;
	fd = kt_open(name, KPOST_RIGHT_SEND, 0);
	if (fd < 0)
		_exit(1);
	hoard(fd);
	if (tell(sock))
		_exit(2);
	for (;;)
		pause();
}

TEST_F(hostile, filling_all_mailboxes_and_shares_stops_nobody_else)
{
	enum { USERS = 3, GRANTS = 64 };
	int public, private, waiting;
	struct kpost_info info;
	struct kpost_send send;
	struct kpost_recv recv;
	pid_t pid[USERS];
	struct kt_job job;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", "1581056"));
	ASSERT_EQ(0, limit_set("office_bytes", "8388608"));
	ASSERT_EQ(0, limit_set("user_sending_bytes", "65536"));
	ASSERT_EQ(0, limit_set("office_sending_bytes", "524288"));
	ASSERT_EQ(0, be_victim());
	public = open_to_all(self->name, KT_ALL, 16);
	private = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, private);
	for (int i = 0; i < USERS; i++) {
		pid[i] = fork_hoarder(self->name, ATTACKER + i, self->socks[1]);
		ASSERT_LT(0, pid[i]);
		ASSERT_TRUE(is_told(self->socks[0]));
	}
	info = info_now();
	EXPECT_LE(USERS * (1581056 - 2280), info.office_used - info.user_used);
	EXPECT_EQ(USERS * GRANTS * 1024, info.office_sending_used);
	/* they have filled what they may send to; the rest of its owner's is untouched */
	EXPECT_EQ(-EAGAIN, kt_post(public, "x", 1, 0));
	ASSERT_LE(0, kt_recv(public, &recv, block, sizeof(block), KPOST_DONTWAIT, 0));
	EXPECT_EQ(ATTACKER, recv.uid);
	for (int i = 0; i < 6; i++)
		EXPECT_LE(0, kt_mailbox(0, 0, 0));
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(131072 / 4000, fill(private, &err)) TH_LOG("round %d", i);
		EXPECT_EQ(-EAGAIN, err);
		drain(private);
	}
	/* so is what it may have under way */
	EXPECT_EQ(0, kt_post(public, "x", 1, 0));
	send = kt_send_args(block, sizeof(block), 0, 0, kt_soon());
	kt_start(&job, public, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(public).waiting_senders == 1));
	waiting = (int)info_now().user_sending_used;
	EXPECT_LT(sizeof(block), waiting);
	for (int i = 0; i < (65536 - waiting) / 1024; i++)
		EXPECT_LE(0, kt_grant(private, KPOST_RIGHT_SEND));
	EXPECT_EQ(-EDQUOT, kt_grant(private, KPOST_RIGHT_SEND));
	EXPECT_EQ(16 + 1, drain(public));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	/* what they have goes with them */
	for (int i = 0; i < USERS; i++)
		EXPECT_EQ(0, end_attacker(pid[i]));
	info = info_now();
	EXPECT_EQ(info.user_used, info.office_used);
	EXPECT_EQ(info.user_sending_used, info.office_sending_used);
}

/* so many users that the office is full: that stops everybody, until they go */
TEST_F(hostile, filling_the_office_takes_many_users_and_ends_with_them)
{
	enum { USERS = 5 };
	char name[KT_NAME_SIZE];
	struct kpost_info info;
	pid_t pid[USERS];
	int fd, roots, count;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", "1581056"));
	ASSERT_EQ(0, limit_set("office_bytes", "7000000"));
	ASSERT_EQ(0, limit_set("user_sending_bytes", "65536"));
	ASSERT_EQ(0, limit_set("office_sending_bytes", "262144"));
	ASSERT_EQ(0, be_victim());
	ASSERT_LE(0, open_to_all(self->name, KT_ALL, 2));
	fd = kt_create(kt_name(name), KT_ALL);
	ASSERT_LE(0, fd);
	for (int i = 0; i < USERS; i++) {
		pid[i] = fork_hoarder(self->name, ATTACKER + i, self->socks[1]);
		ASSERT_LT(0, pid[i]);
		ASSERT_TRUE(is_told(self->socks[0]));
	}
	/* no mailbox, and nothing under way; what is there goes on */
	EXPECT_EQ(-ENOSPC, kt_mailbox(0, 0, 0));
	EXPECT_EQ(-ENOBUFS, kt_grant(fd, KPOST_RIGHT_SEND));
	EXPECT_EQ(-ENOBUFS, kt_call(fd, "x", 1, block, 1024, kt_soon()));
	EXPECT_EQ(131072 / 4000, fill(fd, &err));
	EXPECT_EQ(-EAGAIN, err);
	EXPECT_EQ(131072 / 4000, drain(fd));
	/* who has privilege can go on, and see who it is */
	ASSERT_EQ(0, seteuid(0));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	roots = kt_open(name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, roots);
	EXPECT_LE(0, kt_grant(roots, KPOST_RIGHT_SEND));
	info = info_now();
	EXPECT_LT(7000000 - 7000000 / 10, info.office_used);
	ASSERT_EQ(0, seteuid(VICTIM));
	for (int i = 0; i < USERS; i++)
		EXPECT_EQ(0, end_attacker(pid[i]));
	for (count = 0; kt_mailbox(0, 0, 0) >= 0; count++)
		;
	EXPECT_EQ(8 - 1, count + 1) TH_LOG("one is root's, one for two messages less");
	EXPECT_LE(0, kt_grant(fd, KPOST_RIGHT_SEND));
}

static int open_until_refused(const char *name, int fds[], int count)
{
	int have = 0;

	while (have < count && (fds[have] = kt_open(name, KPOST_RIGHT_SEND, 0)) >= 0)
		have++;
	return have;
}

static int open_to_exhaustion(const char *name)
{
	const struct rlimit limit = { 64, 64 };
	int fds[128], pair[2], count;

	CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	count = open_until_refused(name, fds, 128);
	CHECK_EQ(-EMFILE, fds[count]);
	CHECK(count > 32 && count < 64);
	CHECK_EQ(-EMFILE, kt_mailbox(0, 0, 0));
	/* one descriptor, where it takes two */
	close(fds[--count]);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(-EMFILE, kt_pair(pair, 0, 0));
	CHECK_EQ(0, pair[1]);
	/* none of which counts */
	for (int i = 0; i < 3; i++) {
		CHECK(kt_mailbox(0, 0, 0) >= 0);
		close(fds[--count]);
	}
	CHECK_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	return 0;
}

/* endpoints end with descriptors, and what failed has left nothing */
TEST_F(hostile, opening_to_exhaustion_ends_with_the_openers_descriptors)
{
	struct kpost_stat before;
	int public;
	pid_t pid;

	ASSERT_EQ(0, limit_set("user_bytes", BOXES_3));
	ASSERT_EQ(0, be_victim());
	public = open_to_all(self->name, KT_ALL, 2);
	ASSERT_LE(0, public);
	before = kt_stat(public);
	pid = fork_attacker(ATTACKER);
	if (pid == 0)
		_exit(open_to_exhaustion(self->name));
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, kt_exit_status(pid));
	EXPECT_TRUE(kt_until(kt_stat_same(before, kt_stat(public))));
}

/* ---- what the attacker does not do ------------------------------------------------------- */

static pid_t fork_deaf_server(const char *name, int sock)
{
	pid_t pid = fork_attacker(ATTACKER);
	char buf[64];
	int fd;

	if (pid)
		return pid;
	fd = open_to_all(name, KPOST_RIGHT_RECV, 0);
	if (fd < 0 || tell(sock))
		_exit(1);
	for (;;)
		kt_recv(fd, NULL, buf, sizeof(buf), 0, 0);
}

TEST_F(hostile, never_replying_holds_no_caller_and_little_of_its_share)
{
	enum { CALLS = 200, ROOM = 1 << 19, CALL_MOST = 512 };
	char *room = malloc(ROOM);
	pid_t server, caller;
	uint64_t begin, with;
	int fd;

	ASSERT_NE(NULL, room);
	ASSERT_EQ(0, limit_set("user_sending_bytes", "1048576"));
	ASSERT_EQ(0, be_victim());
	server = fork_deaf_server(self->name, self->socks[1]);
	ASSERT_LT(0, server);
	ASSERT_TRUE(is_told(self->socks[0]));
	fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, fd);

	/* the deadline is the caller's */
	begin = kt_now();
	EXPECT_EQ(-ETIMEDOUT, kt_call(fd, "ask", 3, room, ROOM, kt_in(100)));
	EXPECT_LE(100 * KT_MS, kt_now() - begin);
	/* each call takes half of what there is, and leaves what is counted for it alone */
	ASSERT_TRUE(kt_until(kt_call(fd, "ask", 3, room, ROOM, kt_in(50)) == -ETIMEDOUT &&
			     kt_stat(fd).open_calls >= CALLS));
	with = info_now().user_sending_used;
	EXPECT_LT(0, with) TH_LOG("open calls are counted for who made them");
	EXPECT_GE(kt_stat(fd).open_calls * CALL_MOST, with);

	caller = kt_fork();
	if (caller == 0) {
		tell(self->socks[1]);
		_exit(kt_call(fd, "ask", 3, room, ROOM, 0) != 0);
	}
	ASSERT_TRUE(is_told(self->socks[0]));
	ASSERT_TRUE(kt_until(kt_asleep(caller)));
	ASSERT_EQ(0, seteuid(0));
	EXPECT_GT(1000, (unsigned long)kt_kill(caller));
	ASSERT_EQ(0, seteuid(VICTIM));
	EXPECT_EQ(0, end_attacker(server));
	ASSERT_TRUE(kt_until(kt_stat(fd).flags & KPOST_STAT_CLOSED));
	EXPECT_TRUE(kt_until(kt_stat(fd).open_calls == 0));
	EXPECT_TRUE(kt_until(info_now().user_sending_used == 0));
	free(room);
}

/* ---- what is taken from the attacker --------------------------------------------------- */

static int open_none(const char *name)
{
	for (unsigned int rights = 1; rights <= KT_ALL; rights++)
		CHECK_EQ(-EACCES, kt_open(name, rights, 0));
	return 0;
}

TEST_F(hostile, mode_taken_away_keeps_new_ones_out_and_wakes_the_old_as_before)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE };
	struct kpost_recv recv;
	struct kt_job job;
	int fd, old;
	pid_t pid;

	ASSERT_EQ(0, be_victim());
	fd = open_to_all(self->name, KT_ALL, 2);
	old = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, old);
	recv = kt_recv_args(self->buf, sizeof(self->buf), 0, kt_soon());
	kt_start(&job, old, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(1, kt_stat(fd).waiting_receivers);
	pid = fork_attacker(ATTACKER);
	if (pid == 0)
		_exit(open_none(self->name));
	EXPECT_EQ(0, kt_exit_status(pid));
	/* not even its owner, but to administer it */
	EXPECT_EQ(-EACCES, kt_open(self->name, KPOST_RIGHT_SEND, 0));
	EXPECT_LE(0, kt_open(self->name, KPOST_RIGHT_ADMIN, 0));

	ASSERT_EQ(0, kt_post(fd, "still", 5, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(5, job.ret);
	EXPECT_EQ(0, poll(&(struct pollfd){ old, POLLIN, 0 }, 1, 0));
	ASSERT_EQ(0, kt_post(fd, "here", 4, 0));
	EXPECT_EQ(1, poll(&(struct pollfd){ old, POLLIN, 0 }, 1, KT_SOON));
}

TEST_HARNESS_MAIN
