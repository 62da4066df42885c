// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoints on their way from one process to another over AF_UNIX, and in circles.
 *
 * kpost carries no files, so that no circle leads through a mailbox.  One that leads
 * through sockets is the kernel's to find: an endpoint in it is closed with it.
 */
#include "hostile_test.h"

#include <liburing.h>
#include "uring_test.h"

FIXTURE(passing) {
	int receiver, sender;
	int socks[2];
	char buf[64];
	struct kpost_recv recv;
};

FIXTURE_SETUP(passing)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	self->receiver = fds[0];
	self->sender = fds[1];
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->socks));
}

FIXTURE_TEARDOWN(passing)
{
}

/* the collector of sockets runs when one is closed while others are in flight */
static bool is_closed(int sender)
{
	int socks[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		return false;
	close(socks[0]);
	close(socks[1]);
	return kt_stat(sender).flags & KPOST_STAT_CLOSED;
}

/* both ends are in flight in each other, with the endpoint; nobody has any of it */
static void close_into_a_circle(struct __test_metadata *_metadata, int socks[2], int *fd)
{
	ASSERT_EQ(0, pass_fd(socks[0], *fd));
	ASSERT_EQ(0, pass_fd(socks[0], socks[0]));
	ASSERT_EQ(0, pass_fd(socks[1], socks[1]));
	close(socks[0]);
	close(socks[1]);
	close(*fd);
	*fd = -1;
}

TEST_F(passing, fd_cycle_with_the_last_receiver_is_freed_and_closes_the_mailbox)
{
	struct pollfd pfd = { self->sender, POLLOUT, 0 };
	struct kpost_send send;
	struct kt_job job;

	send = kt_send_args("x", 1, 0, KPOST_SYNC, 0);
	kt_start(&job, self->sender, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->sender).queued_messages == 1));
	close_into_a_circle(_metadata, self->socks, &self->receiver);
	ASSERT_TRUE(kt_until(is_closed(self->sender)));
	EXPECT_EQ(-EPIPE, kt_post(self->sender, "x", 1, 0));
	ASSERT_EQ(1, poll(&pfd, 1, KT_SOON));
	EXPECT_EQ(POLLHUP | POLLERR, pfd.revents);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EPIPE, job.ret);
	EXPECT_EQ(0, kt_stat(self->sender).queued_messages);
}

TEST_F(passing, fd_cycle_with_the_last_sender_ends_the_mailbox)
{
	close_into_a_circle(_metadata, self->socks, &self->sender);
	ASSERT_TRUE(kt_until((is_closed(self->receiver), kt_stat(self->receiver).senders == 0)));
	EXPECT_EQ(-EPIPE, kt_recv(self->receiver, NULL, self->buf, 64, 0, kt_soon()));
}

TEST_F(passing, fd_cycle_with_an_open_call_resets_it)
{
	struct kpost_call call = kt_call_args("ask", 3, self->buf, 64, 0);
	struct kt_job job;
	char ask[4];

	kt_start(&job, self->sender, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->receiver, &self->recv, ask, sizeof(ask), 0, kt_soon()));
	close_into_a_circle(_metadata, self->socks, &self->receiver);
	ASSERT_TRUE(kt_until(is_closed(self->sender)));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ECONNRESET, job.ret);
}

/* a ring that holds the endpoint and a socket, in flight in that socket */
TEST_F(passing, fd_cycle_through_a_ring_is_refused_or_freed)
{
	int files[2] = { self->receiver, self->socks[1] };
	struct uring_result result;
	struct kpost_recv recv;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	ASSERT_EQ(0, io_uring_register_files(&ring, files, 2));
	/* with a request parked on the endpoint, which holds it too */
	recv = kt_recv_args(self->buf, 64, 0, 0);
	ASSERT_NE(NULL, uring_op(&ring, self->receiver, KPOST_IOC_RECV, &recv, 1));
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->sender).waiting_receivers == 1));
	EXPECT_EQ(URING_NONE, uring_wait_for(&ring, &result, 0.01));
	pass_fd(self->socks[0], ring.ring_fd);
	close(self->receiver);
	close(self->socks[0]);
	close(self->socks[1]);
	io_uring_queue_exit(&ring);
	EXPECT_TRUE(kt_until(is_closed(self->sender)));
	EXPECT_EQ(-EPIPE, kt_post(self->sender, "x", 1, 0));
}

/* the rights are those it was opened with, the identity is of whoever uses it */
TEST_F(passing, endpoint_over_a_socket_keeps_its_rights_and_speaks_for_its_user)
{
	pid_t pid;

	if (geteuid() != 0)
		SKIP(return, "only root can become somebody else");
	pid = kt_fork();
	if (pid == 0) {
		struct kpost_setattr attr = { .valid = KPOST_SET_MODE };
		int fd;

		close(self->receiver);
		close(self->sender);
		if (child_become(ATTACKER, ATTACKER))
			_exit(126);
		fd = take_fd(self->socks[1]);
		if (kt_take(fd, NULL, self->buf, 64) != -EBADF)
			_exit(1);
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EPERM)
			_exit(2);
		_exit(kt_post(fd, "mine", 4, 0) ? 3 : 0);
	}
	ASSERT_EQ(0, pass_fd(self->socks[0], self->sender));
	EXPECT_EQ(0, kt_exit_status(pid));
	ASSERT_EQ(4, kt_take(self->receiver, &self->recv, self->buf, 64));
	EXPECT_EQ(pid, self->recv.pid);
	EXPECT_EQ(ATTACKER, self->recv.uid);
	EXPECT_EQ(ATTACKER, self->recv.gid);
}

/* how many, if that was for want of a share */
static int grant_until_refused(int fd)
{
	int count = 0, granted;

	while ((granted = kt_grant(fd, KPOST_RIGHT_SEND)) >= 0)
		count++;
	return granted == -EDQUOT ? count : granted;
}

/* and so is the payer: whoever opened it has a whole share left */
TEST_F(passing, endpoint_over_a_socket_is_paid_for_by_its_user)
{
	enum { SHARE = 8 };
	pid_t pid;
	int fd;

	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, limit_set("user_sending_bytes", "8192"));
	/* the device was opened in the old one */
	fd = kt_open_device();
	ASSERT_LE(0, fd);
	ASSERT_EQ(kt_device(), dup2(fd, kt_device()));
	ASSERT_EQ(0, be_victim());
	fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, fd);
	pid = fork_attacker(ATTACKER);
	if (pid == 0) {
		close(fd);
		if (grant_until_refused(take_fd(self->socks[1])) != SHARE ||
		    tell(self->socks[1]))
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, pass_fd(self->socks[0], fd));
	ASSERT_TRUE(is_told(self->socks[0]));
	EXPECT_EQ(SHARE, grant_until_refused(fd));
	EXPECT_EQ(0, end_attacker(pid));
}

TEST_HARNESS_MAIN
