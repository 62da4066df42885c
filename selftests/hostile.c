// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user without privileges may try against others with the mailboxes that it
 * may open: it costs itself, and nobody else more than was agreed.
 *
 * Each test is at home in a network namespace of its own, so that its limits and
 * counts are nobody else's.  The test is the victim, one user, and its children are
 * the attacker, another.
 */
#include "child_test.h"

#include <sys/socket.h>
#include <sys/stat.h>

#define VICTIM		12345
#define ATTACKER	12346

FIXTURE(hostile) {
	char name[KT_NAME_SIZE];
	char buf[64];
	int socks[2];
};

FIXTURE_SETUP(hostile)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_LE(0, kt_device());
	umask(0);
	kt_name(self->name);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->socks));
}

FIXTURE_TEARDOWN(hostile)
{
}

/* root can be had back with seteuid(0) */
static int be_victim(void)
{
	return setresgid(VICTIM, VICTIM, VICTIM) || setresuid(VICTIM, VICTIM, 0) ? -errno : 0;
}

/* the attacker, in a child of its own; in the test, its pid */
static pid_t fork_attacker(uid_t uid)
{
	pid_t pid;

	/* what the victim has dropped, the child needs once more to drop it itself */
	if (seteuid(0))
		return -errno;
	pid = kt_fork();
	if (pid == 0 && child_become(uid, uid))
		_exit(126);
	if (pid && seteuid(VICTIM))
		return -errno;
	return pid;
}

/* 0 if it was still there to be ended */
static int end_attacker(pid_t pid)
{
	return seteuid(0) || kt_kill(pid) < 0 || seteuid(VICTIM) ? -1 : 0;
}

/* tell the other side of the socket, or wait until it has told */
static int tell(int sock)
{
	return write(sock, "!", 1) == 1 ? 0 : -errno;
}

static bool is_told(int sock)
{
	struct pollfd pfd = { sock, POLLIN, 0 };
	char byte;

	return poll(&pfd, 1, KT_SOON) == 1 && read(sock, &byte, 1) == 1;
}

/* ---- what the attacker holds ------------------------------------------------------- */

/* endpoints that are never closed keep their mailboxes, but not their maker's share */
TEST_F(hostile, closed_mailboxes_held_open_count_for_nobody)
{
	enum { COUNT = 8 };
	int fds[2];
	pid_t pid;

	ASSERT_EQ(0, child_write("/proc/sys/net/kpost/user_mailboxes", "8"));
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

TEST_HARNESS_MAIN
