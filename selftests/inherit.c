// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoints that change hands: fork, dup, exec, close and SCM_RIGHTS.  An endpoint
 * lives until its last descriptor is closed, wherever that is.
 */
#include <sys/socket.h>
#include "child_test.h"

FIXTURE(inherit) {
	int receiver, sender;
	char buf[64];
	struct kpost_recv recv;
};

FIXTURE_SETUP(inherit)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	self->receiver = fds[0];
	self->sender = fds[1];
}

FIXTURE_TEARDOWN(inherit)
{
	close(self->receiver);
	close(self->sender);
}

TEST_F(inherit, inherit_by_fork_is_the_same_endpoint)
{
	pid_t pid = kt_fork();

	if (pid == 0)
		_exit(kt_post(self->sender, "child", 5, 0) ? 1 : 0);
	EXPECT_EQ(0, kt_exit_status(pid));
	ASSERT_EQ(5, kt_take(self->receiver, &self->recv, self->buf, 64));
	EXPECT_EQ(pid, self->recv.pid);
	EXPECT_EQ(1, kt_stat(self->receiver).senders);
	EXPECT_EQ(1, kt_stat(self->receiver).receivers);
}

TEST_F(inherit, inherit_by_fork_keeps_the_endpoint_open)
{
	int *go = kt_shared(sizeof(*go));
	pid_t pid = kt_fork();

	if (pid == 0) {
		close(self->receiver);
		if (!kt_until(*(volatile int *)go))
			_exit(2);
		_exit(kt_post(self->sender, "still", 5, 0) ? 1 : 0);
	}
	close(self->sender);
	self->sender = -1;
	EXPECT_EQ(1, kt_stat(self->receiver).senders);
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	*go = 1;
	EXPECT_EQ(5, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
	EXPECT_EQ(0, kt_exit_status(pid));
	/* the child took the last descriptor with it */
	EXPECT_EQ(-EPIPE, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
}

TEST_F(inherit, inherit_by_dup_shares_rights_and_flags)
{
	int dups[] = { dup(self->receiver), fcntl(self->receiver, F_DUPFD_CLOEXEC, 50),
		       dup3(self->receiver, 40, O_CLOEXEC) };

	ASSERT_EQ(0, fcntl(dups[0], F_SETFL, O_NONBLOCK));
	EXPECT_EQ(1, kt_stat(self->sender).receivers);
	for (size_t i = 0; i < ARRAY_SIZE(dups); i++) {
		ASSERT_LE(0, dups[i]);
		EXPECT_EQ(-EAGAIN, kt_recv(dups[i], NULL, self->buf, 64, 0, kt_soon()));
		EXPECT_EQ(-EBADF, kt_post(dups[i], "x", 1, 0));
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
		EXPECT_EQ(1, kt_take(dups[i], NULL, self->buf, 64));
	}
	close(self->receiver);
	self->receiver = -1;
	for (size_t i = 0; i < ARRAY_SIZE(dups); i++) {
		ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0)) TH_LOG("%zu closed", i);
		close(dups[i]);
	}
	EXPECT_EQ(-EPIPE, kt_post(self->sender, "x", 1, 0));
}

TEST_F(inherit, inherit_by_dup2_closes_what_was_there)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 1, 0));
	/* the only receiver of the other mailbox is overwritten */
	ASSERT_EQ(fds[0], dup2(self->receiver, fds[0]));
	EXPECT_EQ(-EPIPE, kt_post(fds[1], "x", 1, 0));
	ASSERT_EQ(0, kt_post(self->sender, "x", 1, 0));
	EXPECT_EQ(1, kt_take(fds[0], NULL, self->buf, 64));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(inherit, inherit_by_exec_only_if_asked)
{
	pid_t pid;
	int kept;

	/* in the child's shell, which knows descriptors up to 9 */
	kept = dup2(self->sender, 9);
	ASSERT_EQ(9, kept);
	for (int keep = 0; keep < 2; keep++) {
		ASSERT_EQ(0, fcntl(kept, F_SETFD, keep ? 0 : FD_CLOEXEC));
		pid = kt_fork();
		if (pid == 0) {
			execl("/bin/sh", "sh", "-c", "(printf exec >&9) 2>/dev/null", NULL);
			_exit(127);
		}
		if (keep) {
			EXPECT_EQ(0, kt_exit_status(pid));
			ASSERT_EQ(4, kt_take(self->receiver, &self->recv, self->buf, 64));
			EXPECT_EQ(0, memcmp(self->buf, "exec", 4));
		} else {
			EXPECT_LT(0, kt_exit_status(pid));
			EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
		}
	}
	close(kept);
}

TEST_F(inherit, inherit_by_exec_closes_the_rest_at_once)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		execl("/bin/sleep", "sleep", "30", NULL);
		_exit(127);
	}
	close(self->sender);
	self->sender = -1;
	/* the child runs on, without its copy of the sender */
	EXPECT_EQ(-EPIPE, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
	EXPECT_LE(0, kt_kill(pid));
}

/* ---- SCM_RIGHTS ----------------------------------------------------------------- */

TEST_F(inherit, inherit_over_a_socket_gives_the_endpoint_with_its_rights)
{
	int socks[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = kt_fork();
	if (pid == 0) {
		int got;

		close(self->receiver);
		close(self->sender);
		got = take_fd(socks[1]);
		if (got < 0)
			_exit(1);
		if (kt_take(got, NULL, self->buf, 64) != -EBADF)
			_exit(2);
		_exit(kt_post(got, "passed", 6, 0) ? 3 : 0);
	}
	ASSERT_EQ(0, pass_fd(socks[0], self->sender));
	EXPECT_EQ(0, kt_exit_status(pid));
	ASSERT_EQ(6, kt_take(self->receiver, &self->recv, self->buf, 64));
	EXPECT_EQ(pid, self->recv.pid);

	/* on its way, it is open, and goes with the socket that it is in */
	ASSERT_EQ(0, pass_fd(socks[0], self->sender));
	close(self->sender);
	self->sender = -1;
	EXPECT_EQ(1, kt_stat(self->receiver).senders);
	EXPECT_EQ(-EAGAIN, kt_take(self->receiver, NULL, self->buf, 64));
	fd = take_fd(socks[1]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "again", 5, 0));
	ASSERT_EQ(5, kt_take(self->receiver, NULL, self->buf, 64));
	ASSERT_EQ(0, pass_fd(socks[0], fd));
	close(fd);
	close(socks[0]);
	close(socks[1]);
	EXPECT_EQ(-EPIPE, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
}

TEST_F(inherit, inherit_of_a_call_over_a_socket_lets_another_process_answer)
{
	char answer[16] = "";
	struct kpost_call call = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
	struct kt_job job;
	int socks[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = kt_fork();
	if (pid == 0) {
		uint64_t token;
		int fd;

		close(self->receiver);
		close(self->sender);
		fd = take_fd(socks[1]);
		if (read(socks[1], &token, sizeof(token)) != sizeof(token))
			_exit(1);
		_exit(kt_reply(fd, token, "other", 5) ? 2 : 0);
	}
	kt_start(&job, self->sender, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->receiver, &self->recv, self->buf, 64, 0, kt_soon()));
	ASSERT_EQ(0, pass_fd(socks[0], self->receiver));
	/* what answers is the endpoint; this process need not have it any more */
	close(self->receiver);
	self->receiver = -1;
	ASSERT_EQ(8, write(socks[0], &self->recv.token, 8));
	EXPECT_EQ(0, kt_exit_status(pid));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(5, job.ret);
	EXPECT_EQ(0, memcmp(answer, "other", 5));
	close(socks[0]);
	close(socks[1]);
}

/* ---- closing ----------------------------------------------------------------------- */

TEST_F(inherit, inherit_nothing_after_close)
{
	ASSERT_EQ(0, close(self->sender));
	EXPECT_EQ(-EBADF, kt_post(self->sender, "x", 1, 0));
	self->sender = -1;
	ASSERT_EQ(0, close(self->receiver));
	EXPECT_EQ(-EBADF, kt_take(self->receiver, NULL, self->buf, 64));
	self->receiver = -1;
}

TEST_F(inherit, inherit_by_close_range_and_exit_close_endpoints)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		syscall(SYS_close_range, 3, ~0u, 0);
		for (;;)
			pause();
	}
	close(self->sender);
	self->sender = -1;
	EXPECT_EQ(-EPIPE, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
	EXPECT_LE(0, kt_kill(pid));
}

static long post_until_closed(void *arg)
{
	int fd = *(int *)arg;
	long ret;

	do {
		ret = kt_post(fd, "x", 1, 0);
	} while (ret == 0 || ret == -EAGAIN);
	return ret;
}

/* the descriptor goes under a thread that is using it all the time */
TEST_F(inherit, inherit_close_races_with_use)
{
	for (int round = 0; round < 50; round++) {
		struct kt_job job;
		int fds[2];

		ASSERT_EQ(0, kt_pair(fds, 4, 0));
		kt_start_fn(&job, post_until_closed, &fds[1]);
		ASSERT_TRUE(kt_until(kt_stat(fds[0]).sent > 0));
		/* at this end or at the other */
		ASSERT_EQ(0, close(fds[round & 1]));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(round & 1 ? -EBADF : -EPIPE, job.ret);
		ASSERT_EQ(0, close(fds[!(round & 1)]));
	}
}

TEST_HARNESS_MAIN
