// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that its file system never delivers: whoever touches it cannot be killed, so
 * what it held would be lost to all others for as long as somebody likes.  A receiver that
 * is stuck so holds nothing.  (See no_stall for pages that can be given up.)
 */
#include "fuse_test.h"

#define USER		12345
#define AT_ONCE		1000	/* ms; a promise of 100, and a machine that takes its time */

FIXTURE(fuse) {
	struct fuse_file file;
	char *page;		/* never arrives */
	char name[KT_NAME_SIZE];
	char buf[64];
	int fd;			/* may only send */
	pid_t stuck;
};

FIXTURE_SETUP(fuse)
{
	int err;

	if (geteuid() != 0)
		SKIP(return, "a mount needs root");
	err = fuse_file_make(&self->file, kt_page_size(), false);
	if (err)
		SKIP(return, "no FUSE here: %s", strerror(-err));
	self->page = fuse_map(&self->file, MAP_PRIVATE);
	ASSERT_NE(NULL, self->page);
	kt_name(self->name);
}

FIXTURE_TEARDOWN(fuse)
{
	/* before anything waits for those who are stuck */
	fuse_abort(&self->file);
}

/* the mailbox, for everybody */
static int make_mailbox(const char *name, unsigned int rights, unsigned int messages)
{
	struct kpost_open open = kt_open_args(name, rights, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);

	umask(0);
	open.mode = 0666;
	open.messages = messages;
	return kt_do_open(&open);
}

/* a process of another user that receives into the page; it may get a @call before */
static pid_t fork_stuck(struct __test_metadata *_metadata, FIXTURE_DATA(fuse) *self, bool call)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		struct kpost_recv recv;
		int fd;

		close(self->fd);
		if (child_become(USER, USER))
			_exit(126);
		fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
		if (fd < 0)
			_exit(125);
		if (call && kt_recv(fd, &recv, self->buf, 64, 0, kt_soon()) < 0)
			_exit(124);
		_exit(-kt_recv(fd, &recv, self->page, 64, 0, 0));
	}
	return pid;
}

static void expect_received(struct __test_metadata *_metadata, int fd, uint64_t sequence,
			    const char *text)
{
	uint64_t start = kt_now();
	struct kpost_recv recv;
	char buf[64];

	ASSERT_EQ(strlen(text), kt_take(fd, &recv, buf, sizeof(buf)));
	EXPECT_GT(AT_ONCE * KT_MS, kt_now() - start);
	EXPECT_EQ(sequence, recv.sequence);
	EXPECT_EQ(0, memcmp(buf, text, strlen(text)));
}

TEST_F(fuse, page_that_never_arrives_keeps_no_message_from_others)
{
	int fd, status;
	pid_t pid;

	self->fd = make_mailbox(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 4);
	fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(self->fd, "second", 6, 1));
	ASSERT_EQ(0, kt_post(self->fd, "first", 5, 2));
	ASSERT_EQ(0, kt_post(self->fd, "third", 5, 1));
	pid = fork_stuck(_metadata, self, false);
	ASSERT_TRUE(kt_until(fuse_is_stuck(&self->file)));
	EXPECT_EQ(3, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(1, poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 0));
	expect_received(_metadata, fd, 2, "first");
	/* not even by SIGKILL, which does not end it */
	kill(pid, SIGKILL);
	expect_received(_metadata, fd, 1, "second");
	ASSERT_EQ(0, kt_post(self->fd, "fourth", 6, 1));
	expect_received(_metadata, fd, 3, "third");
	expect_received(_metadata, fd, 4, "fourth");
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	EXPECT_EQ(0, fuse_abort(&self->file));
	EXPECT_LE(0, kt_reap(pid));
	EXPECT_EQ(-EAGAIN, kt_take(fd, NULL, self->buf, 64));
}

/* it stands in no line with it, and what it is handed it gives back */
TEST_F(fuse, page_that_never_arrives_keeps_no_turn)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 64, 0, kt_soon());
	struct kt_job job;
	pid_t pid;
	int fd;

	self->fd = make_mailbox(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 4);
	fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	pid = fork_stuck(_metadata, self, false);
	ASSERT_TRUE(kt_until(fuse_is_stuck(&self->file)));
	kt_start(&job, fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_TRUE(kt_join(&job)) TH_LOG("who is stuck was given it");
	EXPECT_EQ(1, job.ret);
	EXPECT_EQ(0, fuse_abort(&self->file));
	kill(pid, SIGKILL);
	EXPECT_LE(0, kt_reap(pid));
}

/* its mailbox closes when it has gone, and those who wait are told as ever */
TEST_F(fuse, page_that_never_arrives_keeps_no_mailbox_once_it_is_given_up)
{
	struct kpost_send send = kt_send_args("sync", 4, 0, KPOST_SYNC, kt_soon());
	struct kpost_call call = kt_call_args("ask", 3, self->buf, 64, kt_soon());
	struct kt_job caller, sender;
	pid_t pid;
	int fd;

	fd = make_mailbox(self->name, KPOST_RIGHT_RECV, 4);
	self->fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->fd);
	pid = fork_stuck(_metadata, self, true);
	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).open_calls == 1));
	close(fd);
	kt_start(&sender, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(fuse_is_stuck(&self->file)));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	kill(pid, SIGKILL);
	EXPECT_FALSE(kt_done(&caller));
	EXPECT_FALSE(kt_done(&sender));
	EXPECT_EQ(0, fuse_abort(&self->file));
	EXPECT_LE(0, kt_reap(pid));
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(-ECONNRESET, caller.ret);
	ASSERT_TRUE(kt_join(&sender));
	EXPECT_EQ(-EPIPE, sender.ret);
	EXPECT_EQ(-EPIPE, kt_post(self->fd, "x", 1, 0));
}

/* and if it is not given up for good, but not delivered, it lost nothing */
TEST_F(fuse, page_that_cannot_be_read_loses_no_message)
{
	pid_t pid;
	int fd;

	self->fd = make_mailbox(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 4);
	fd = kt_open(self->name, KPOST_RIGHT_RECV, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(self->fd, "first", 5, 0));
	pid = fork_stuck(_metadata, self, false);
	ASSERT_TRUE(kt_until(fuse_is_stuck(&self->file)));
	EXPECT_EQ(0, fuse_abort(&self->file));
	EXPECT_EQ(EFAULT, kt_exit_status(pid));
	expect_received(_metadata, fd, 1, "first");
}

TEST_HARNESS_MAIN
