// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grants: who has an endpoint gives others of the same mailbox away, with no right that it
 * lacks, and a badge tells the receiver through which of them a message came (promise 8).
 */
#include <sys/resource.h>

#include "child_test.h"
#include "uring_test.h"

FIXTURE(grant) {
	int fd;			/* all rights on an anonymous mailbox */
	struct io_uring ring;
	char buf[64];
	struct kpost_recv recv;
};

FIXTURE_SETUP(grant)
{
	self->fd = kt_mailbox(4, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_init(&self->ring, 4, 0));
}

FIXTURE_TEARDOWN(grant)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

/* the badge of the next message; poison if there is none */
static uint64_t next_badge(int fd)
{
	struct kpost_recv recv;
	char buf[64];

	kt_take(fd, &recv, buf, sizeof(buf));
	return recv.badge;
}

/* the badge that is stamped on what @fd sends to @to */
static uint64_t stamp(int fd, int to)
{
	return kt_post(fd, "x", 1, 0) ? 0 : next_badge(to);
}

TEST_F(grant, grant_gives_no_right_that_the_granter_lacks)
{
	for (unsigned int have = 1; have <= KT_ALL; have++) {
		int from = kt_grant(self->fd, have);

		ASSERT_LE(0, from);
		EXPECT_EQ(have, kt_stat(from).rights);
		for (unsigned int want = 1; want <= KT_ALL; want++) {
			int fd;

			if (want & ~have) {
				EXPECT_REFUSED(EPERM, from, kt_grant(from, want));
				continue;
			}
			fd = kt_grant(from, want);
			ASSERT_LE(0, fd);
			EXPECT_EQ(want, kt_stat(fd).rights);
			EXPECT_EQ(want & KPOST_RIGHT_SEND ? 0 : -EBADF, kt_post(fd, "x", 1, 0));
			EXPECT_EQ(want & KPOST_RIGHT_RECV ?
				  want & KPOST_RIGHT_SEND ? 1 : -EAGAIN : -EBADF,
				  kt_take(fd, NULL, self->buf, 1));
			kt_take(self->fd, NULL, self->buf, 1);
			close(fd);
		}
		close(from);
	}
	EXPECT_EQ(1, kt_stat(self->fd).receivers);
	EXPECT_EQ(1, kt_stat(self->fd).senders);
}

TEST_F(grant, grant_with_bad_arguments_is_einval)
{
	const struct kpost_grant bad[] = {
		{ .rights = 0 },
		{ .rights = KT_ALL + 1 },
		{ .rights = KT_ALL | 1u << 31 },
		{ .rights = KT_ALL, .priority = KPOST_PRIORITY_MAX + 1 },
		{ .rights = KT_ALL, .priority = UINT32_MAX },
		{ .rights = KT_ALL, .badge = 1 },
		{ .rights = KT_ALL, .badge = 1ull << 63 },
		{ .rights = KT_ALL, .flags = KPOST_GRANT_NONBLOCK, .badge = 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_REFUSED(EINVAL, self->fd,
			       kt_ioctl(self->fd, KPOST_IOC_GRANT, (void *)&bad[i]));
	}
}

TEST_F(grant, badge_is_stamped_on_all_that_goes_through_the_endpoint)
{
	const uint64_t badge = 0xfedcba9876543210;
	int fd = kt_grant_badge(self->fd, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, badge);
	struct kpost_send send = kt_send_args("x", 1, 0, KPOST_DONTWAIT, 0);
	struct kpost_iovec piece = { (uintptr_t)"abc", 3 };
	struct kpost_send pieces = kt_send_args(&piece, 1, 0, KPOST_DONTWAIT | KPOST_IOVEC, 0);
	struct kpost_call call = kt_call_args("x", 1, self->buf, 8, kt_soon());
	struct kpost_reply reply;
	struct kt_job caller;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, stamp(self->fd, self->fd));
	EXPECT_EQ(badge, stamp(fd, self->fd));
	ASSERT_EQ(1, write(fd, "x", 1));
	EXPECT_EQ(badge, next_badge(self->fd));
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &pieces));
	EXPECT_EQ(badge, next_badge(self->fd));
	ASSERT_EQ(0, uring_do(&self->ring, fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(badge, next_badge(self->fd));
	uring_op(&self->ring, fd, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	ASSERT_EQ(0, uring_run(&self->ring));
	EXPECT_EQ(badge, next_badge(self->fd));

	/* a request, answered without; and the other way round */
	kt_start(&caller, fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(1, kt_recv(self->fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
	EXPECT_EQ(badge, self->recv.badge);
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "y", 1));
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(1, caller.ret);
	EXPECT_EQ(0, call.badge);
	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(1, kt_recv(fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
	EXPECT_EQ(0, self->recv.badge);
	reply = (struct kpost_reply){ .token = self->recv.token, .tag = 7 };
	ASSERT_EQ(0, uring_do(&self->ring, fd, KPOST_IOC_REPLY, &reply));
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(badge, call.badge);
	EXPECT_EQ(7, call.reply_tag);
	/* given up */
	call.badge = 0;
	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(1, kt_recv(fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
	ASSERT_EQ(0, kt_drop(fd, self->recv.token));
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(badge, call.badge);
	EXPECT_EQ(0, call.reply_tag);
}

TEST_F(grant, badge_is_of_the_endpoint_that_it_was_sent_through_for_whoever_waits)
{
	int fds[3];
	struct kpost_send sends[3];
	struct kt_job jobs[3];
	unsigned int seen = 0;

	/* handed over to a receiver that waits */
	self->recv = kt_recv_args(self->buf, 8, 0, kt_soon());
	fds[0] = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 77);
	kt_start(&jobs[0], self->fd, KPOST_IOC_RECV, &self->recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(fds[0], "x", 1, 0));
	ASSERT_TRUE(kt_join(&jobs[0]));
	EXPECT_EQ(77, self->recv.badge);
	close(fds[0]);

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kt_post(self->fd, "full", 4, 1));
	for (int i = 0; i < 3; i++) {
		fds[i] = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 100 + i);
		ASSERT_LE(0, fds[i]);
		sends[i] = kt_send_args("0", 1, 0, 0, kt_soon());
		sends[i].buf = (uintptr_t)&"012"[i];
		kt_start(&jobs[i], fds[i], KPOST_IOC_SEND, &sends[i]);
	}
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 3));
	for (int i = 0; i < 7; i++) {
		ASSERT_LT(0, kt_take(self->fd, &self->recv, self->buf, 8));
		if (i < 4) {
			EXPECT_EQ(0, self->recv.badge);
		} else {
			EXPECT_EQ(100 + self->buf[0] - '0', self->recv.badge);
			seen |= 1u << (self->buf[0] - '0');
		}
	}
	EXPECT_EQ(7, seen);
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(kt_join(&jobs[i]));
		close(fds[i]);
	}
}

TEST_F(grant, badge_is_chosen_with_admin_only_and_passed_on_by_all)
{
	int holder = kt_grant_badge(self->fd, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 5);
	int admin = kt_grant_badge(self->fd, KT_ALL, 6);
	int next;

	ASSERT_LE(0, holder);
	ASSERT_LE(0, admin);
	/* neither another, nor none, nor its own by name */
	EXPECT_REFUSED(EPERM, holder, kt_grant_badge(holder, KPOST_RIGHT_SEND, 7));
	EXPECT_REFUSED(EPERM, holder, kt_grant_badge(holder, KPOST_RIGHT_SEND, 0));
	EXPECT_REFUSED(EPERM, holder, kt_grant_badge(holder, KPOST_RIGHT_SEND, 5));
	for (int i = 0; i < 3; i++) {
		next = kt_grant(holder, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV);
		ASSERT_LE(0, next);
		EXPECT_EQ(5, stamp(next, self->fd));
		close(holder);
		holder = next;
	}
	close(holder);

	EXPECT_EQ(6, stamp(admin, self->fd));
	next = kt_grant_badge(admin, KPOST_RIGHT_SEND, 0);
	EXPECT_EQ(0, stamp(next, self->fd));
	close(next);
	next = kt_grant(admin, KPOST_RIGHT_SEND);
	EXPECT_EQ(6, stamp(next, self->fd));
	close(next);
	close(admin);
}

static int send_from_elsewhere(void *arg)
{
	int fd = *(int *)arg;

	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	CHECK_EQ(-EPERM, kt_grant_badge(fd, KPOST_RIGHT_SEND, 1));
	CHECK_EQ(0, kt_post(fd, "x", 1, 0));
	CHECK_EQ(0, kt_post(dup(fd), "x", 1, 0));
	CHECK_EQ(0, kt_post(kt_grant(fd, KPOST_RIGHT_SEND), "x", 1, 0));
	return 0;
}

TEST_F(grant, badge_stays_with_the_endpoint_in_other_hands)
{
	int fd = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 9);

	if (geteuid() != 0)
		SKIP(return, "changing one's identity needs root");
	ASSERT_EQ(0, child_run(send_from_elsewhere, &fd));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
		EXPECT_EQ(9, self->recv.badge);
		EXPECT_EQ(NOBODY, self->recv.uid);
		/* who granted opened it, and the third was granted by the child */
		EXPECT_EQ(i < 2 ? 0 : NOBODY, self->recv.opener_uid);
		EXPECT_EQ(i < 2 ? KPOST_MESSAGE_MIXED_IDS : 0, self->recv.message_flags);
	}
	close(fd);
}

TEST_F(grant, grant_sets_tag_and_priority_of_write)
{
	struct kpost_grant grant = {
		.rights = KPOST_RIGHT_SEND,
		.tag = 0x8000000000000001,
		.priority = KPOST_PRIORITY_MAX,
	};
	int fd = (int)kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant), next;

	ASSERT_LE(0, fd);
	ASSERT_EQ(2, write(self->fd, "lo", 2));
	ASSERT_EQ(2, write(fd, "hi", 2));
	/* SEND says its own, and who grants says anew */
	ASSERT_EQ(0, kt_post(fd, "send", 4, 0));
	next = kt_grant(fd, KPOST_RIGHT_SEND);
	ASSERT_EQ(4, write(next, "next", 4));

	ASSERT_EQ(2, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_EQ(0, memcmp(self->buf, "hi", 2));
	EXPECT_EQ(grant.tag, self->recv.tag);
	EXPECT_EQ(KPOST_PRIORITY_MAX, self->recv.priority);
	for (int i = 0; i < 3; i++) {
		ASSERT_LT(0, kt_take(self->fd, &self->recv, self->buf, 8));
		EXPECT_EQ(0, self->recv.tag);
		EXPECT_EQ(0, self->recv.priority);
	}
	close(next);
	close(fd);
}

TEST_F(grant, granted_endpoint_is_close_on_exec_and_non_blocking_if_asked)
{
	struct kpost_grant grant = { .rights = KT_ALL, .flags = KPOST_GRANT_NONBLOCK };
	struct kpost_recv recv = kt_recv_args(self->buf, 8, 0, kt_soon());
	int fd = kt_grant(self->fd, KPOST_RIGHT_RECV);

	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	close(fd);
	fd = (int)kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant);
	EXPECT_EQ(O_RDWR | O_NONBLOCK, fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, kt_ioctl(fd, KPOST_IOC_RECV, &recv));
	/* the granter is as it was */
	EXPECT_EQ(0, fcntl(self->fd, F_GETFL) & O_NONBLOCK);
	close(fd);
}

TEST_F(grant, granted_endpoint_keeps_the_mailbox_as_any_other)
{
	int fds[2], receiver, sender;

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	sender = kt_grant(fds[1], KPOST_RIGHT_SEND);
	ASSERT_LE(0, sender);
	close(fds[1]);
	ASSERT_EQ(0, kt_post(sender, "x", 1, 0));
	receiver = kt_grant(fds[0], KPOST_RIGHT_RECV);
	ASSERT_LE(0, receiver);
	close(fds[0]);
	EXPECT_EQ(1, kt_take(receiver, NULL, self->buf, 8));
	EXPECT_EQ(-EAGAIN, kt_take(receiver, NULL, self->buf, 8));
	close(sender);
	EXPECT_EQ(-EPIPE, kt_take(receiver, NULL, self->buf, 8));
	/* without senders, and nobody who could make one */
	EXPECT_EQ(-EPERM, kt_grant(receiver, KPOST_RIGHT_SEND));
	close(receiver);
}

TEST_F(grant, grant_on_a_closed_mailbox_is_epipe_and_leaves_nothing)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 0));
	close(fds[0]);
	for (int i = 0; i < 3; i++)
		EXPECT_REFUSED(EPIPE, fds[1], kt_grant(fds[1], KPOST_RIGHT_SEND));
	/* the descriptor that it would have had is free */
	EXPECT_EQ(fds[0], dup(fds[1]));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(grant, grant_without_a_free_descriptor_is_emfile)
{
	struct rlimit limit, none = { 0, 0 };

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none.rlim_max = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_REFUSED(EMFILE, self->fd, kt_grant(self->fd, KT_ALL));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

TEST_F(grant, grant_through_io_uring_completes_with_the_descriptor)
{
	struct kpost_grant grant = { .flags = KPOST_GRANT_BADGE, .rights = KT_ALL, .badge = 3 };
	int fd = uring_do(&self->ring, self->fd, KPOST_IOC_GRANT, &grant);

	ASSERT_LT(0, fd);
	EXPECT_EQ(3, stamp(fd, self->fd));
	close(fd);
	/* a worker's is the process's as well */
	uring_op(&self->ring, self->fd, KPOST_IOC_GRANT, &grant, 1)->flags |= IOSQE_ASYNC;
	fd = uring_run(&self->ring);
	ASSERT_LT(0, fd);
	EXPECT_EQ(3, stamp(fd, self->fd));
	close(fd);
}

TEST_F(grant, call_belongs_to_the_endpoint_that_received_it_not_to_its_grants)
{
	struct kpost_call call = kt_call_args("x", 1, self->buf, 8, kt_soon());
	int worker = kt_grant(self->fd, KPOST_RIGHT_RECV);
	struct kt_job caller;

	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(1, kt_recv(worker, &self->recv, self->buf + 8, 8, 0, kt_soon()));
	EXPECT_EQ(-ENOENT, kt_reply(self->fd, self->recv.token, "y", 1));
	EXPECT_FALSE(kt_done(&caller));
	/* and goes with it, though others could still receive */
	close(worker);
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(-ECONNRESET, caller.ret);
	EXPECT_EQ(0, call.badge);
	EXPECT_EQ(0, call.reply_tag);
	EXPECT_EQ(0, call.time);
}

static int grant_elsewhere(void *arg)
{
	int fd = *(int *)arg, granted, device;
	struct kpost_open open;
	char buf[8];

	if (unshare(CLONE_NEWNET))
		return CHILD_SKIPPED;
	granted = kt_grant(fd, KT_ALL);
	CHECK(granted >= 0);
	CHECK_EQ(0, kt_post(granted, "far", 3, 0));
	/* it keeps the mailbox's office, not this one */
	open = kt_open_args("grant-elsewhere", KPOST_RIGHT_RECV, 0);
	device = kt_open_device();
	CHECK_EQ(-ENOENT, kt_ioctl(device, KPOST_IOC_OPEN, &open));
	CHECK_EQ(3, kt_take(granted, NULL, buf, sizeof(buf)));
	CHECK_EQ(0, kt_post(granted, "far", 3, 0));
	return 0;
}

TEST_F(grant, granted_endpoint_is_of_the_mailboxs_office_wherever_it_was_granted)
{
	int fd = kt_create("grant-elsewhere", KT_ALL), status;

	ASSERT_LE(0, fd);
	status = child_run(grant_elsewhere, &fd);
	if (status == CHILD_SKIPPED)
		SKIP(return, "no network namespaces");
	ASSERT_EQ(0, status);
	EXPECT_EQ(3, kt_take(fd, &self->recv, self->buf, 8));
	EXPECT_EQ(1, kt_stat(fd).receivers);
	close(fd);
}

static long grant_until_closed(void *arg)
{
	int fd = *(int *)arg, granted;

	for (;;) {
		granted = kt_grant(fd, KPOST_RIGHT_SEND);
		if (granted < 0)
			return granted;
		kt_post(granted, "x", 1, 0);
		close(granted);
	}
}

TEST_F(grant, grant_while_the_last_receiver_closes_is_done_or_epipe)
{
	for (int round = 0; round < 30; round++) {
		struct kt_job jobs[2];
		int fds[2];

		ASSERT_EQ(0, kt_pair(fds, 4, 0));
		for (int i = 0; i < 2; i++)
			kt_start_fn(&jobs[i], grant_until_closed, &fds[1]);
		close(fds[0]);
		for (int i = 0; i < 2; i++) {
			ASSERT_TRUE(kt_join(&jobs[i]));
			EXPECT_EQ(-EPIPE, jobs[i].ret);
		}
		EXPECT_EQ(1, kt_stat(fds[1]).senders);
		close(fds[1]);
	}
}

TEST_HARNESS_MAIN
