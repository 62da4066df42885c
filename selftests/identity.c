// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 8: identity is the kernel's.  pid, uid and gid are those of the sender,
 * the real ones, when it sent, told in the receiver's terms, and stay right after it is
 * gone.  (Who opened the endpoint is for opener.c.)
 */
#include "child_test.h"
#include "uring_test.h"

#define OVERFLOW_ID	65534	/* where an id is not mapped */

FIXTURE(identity) {
	int fd;
};

FIXTURE_SETUP(identity)
{
	if (geteuid() != 0)
		SKIP(return, "changing one's identity needs root");
	self->fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(identity)
{
	close(self->fd);
}

struct identity {
	uint32_t pid;
	uint32_t uid;
	uint32_t gid;
};

/* of the next message, whose payload @is, if given, must match */
static struct identity next_sender(int fd, const char *is)
{
	struct kpost_recv recv;
	char buf[32];
	long len = kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon());

	if (len < 0 || (is && (len != (long)strlen(is) || memcmp(buf, is, (size_t)len))))
		return (struct identity){ ~0u, ~0u, ~0u };
	return (struct identity){ recv.pid, recv.uid, recv.gid };
}

#define EXPECT_SENDER(want_pid, want_uid, want_gid, got) do {			\
	struct identity expect_sender = (got);					\
										\
	EXPECT_EQ((uint32_t)(want_pid), expect_sender.pid);			\
	EXPECT_EQ((uint32_t)(want_uid), expect_sender.uid);			\
	EXPECT_EQ((uint32_t)(want_gid), expect_sender.gid);			\
} while (0)

static int send_as_nobody(void *arg)
{
	CHECK_EQ(0, child_become(NOBODY, 1234));
	CHECK_EQ(0, kt_post(*(int *)arg, "child", 5, 0));
	return 0;
}

TEST_F(identity, of_a_child_that_has_exited_stays_right)
{
	pid_t pid = child_start(send_as_nobody, &self->fd);

	ASSERT_EQ(0, child_finish(pid, 20));
	ASSERT_EQ(-1, kill(pid, 0));
	EXPECT_SENDER(pid, NOBODY, 1234, next_sender(self->fd, "child"));
}

TEST_F(identity, of_a_message_sent_through_an_inherited_endpoint_is_the_senders)
{
	pid_t pid;

	EXPECT_EQ(0, kt_post(self->fd, "parent", 6, 0));
	pid = child_start(send_as_nobody, &self->fd);
	ASSERT_EQ(0, child_finish(pid, 20));
	EXPECT_EQ(0, kt_post(self->fd, "again", 5, 0));
	EXPECT_SENDER(getpid(), 0, 0, next_sender(self->fd, "parent"));
	EXPECT_SENDER(pid, NOBODY, 1234, next_sender(self->fd, "child"));
	EXPECT_SENDER(getpid(), 0, 0, next_sender(self->fd, "again"));
}

static int send_as_real(void *arg)
{
	int fd = *(int *)arg;

	CHECK_EQ(0, setresgid(11, 12, 13));
	CHECK_EQ(0, setresuid(21, 22, 0));
	CHECK_EQ(0, kt_post(fd, "ioctl", 5, 0));
	CHECK_EQ(5, write(fd, "write", 5));
	/* what is told is as of sending, whatever comes after */
	CHECK_EQ(0, setresuid(0, 0, 0));
	CHECK_EQ(0, kt_post(fd, "after", 5, 0));
	return 0;
}

TEST_F(identity, is_the_real_one_at_the_time_of_sending)
{
	pid_t pid = child_start(send_as_real, &self->fd);

	ASSERT_EQ(0, child_finish(pid, 20));
	EXPECT_SENDER(pid, 21, 11, next_sender(self->fd, "ioctl"));
	EXPECT_SENDER(pid, 21, 11, next_sender(self->fd, "write"));
	EXPECT_SENDER(pid, 0, 11, next_sender(self->fd, "after"));
}

static long send_from_thread(void *arg)
{
	return kt_post(*(int *)arg, "thread", 6, 0);
}

TEST_F(identity, of_a_thread_is_its_process)
{
	struct kt_job job;

	kt_start_fn(&job, send_from_thread, &self->fd);
	ASSERT_TRUE(kt_join(&job));
	ASSERT_NE(getpid(), job.tid);
	EXPECT_SENDER(getpid(), 0, 0, next_sender(self->fd, "thread"));
}

static int wait_for_room(void *arg)
{
	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	CHECK_EQ(0, kt_send(*(int *)arg, "parked", 6, 0, 0, kt_soon()));
	return 0;
}

TEST_F(identity, of_a_message_that_waited_for_room_is_its_senders)
{
	int fd = kt_mailbox(1, 0, 0);
	pid_t pid;

	ASSERT_EQ(0, kt_post(fd, "full", 4, 0));
	pid = child_start(wait_for_room, &fd);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
	/* this receive lets the other's message in */
	EXPECT_SENDER(getpid(), 0, 0, next_sender(fd, "full"));
	EXPECT_SENDER(pid, NOBODY, NOBODY, next_sender(fd, "parked"));
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* the real user goes back and forth, and each message has that of its moment */
static int send_while_changing(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 100; i++) {
		CHECK_EQ(0, setresuid(i, -1, -1));
		CHECK_EQ(0, kt_send(fd, &i, sizeof(i), 0, 0, kt_soon()));
		CHECK_EQ(0, setresuid(0, -1, -1));
	}
	return 0;
}

TEST_F(identity, follows_setuid_message_by_message)
{
	pid_t pid = child_start(send_while_changing, &self->fd);
	struct kpost_recv recv;
	int value;

	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(4, kt_recv(self->fd, &recv, &value, sizeof(value), 0, kt_soon()));
		EXPECT_EQ(i, value);
		EXPECT_EQ(i, (int)recv.uid);
		EXPECT_EQ(pid, (pid_t)recv.pid);
	}
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* setuid in one thread (the system call, not libc's for all) leaves the other's alone */
static long other_thread_sends(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 200; i++) {
		if (kt_send(fd, "mine", 4, 0, 0, kt_soon()))
			return -1;
	}
	return 0;
}

static int change_while_other_sends(void *arg)
{
	struct kt_job job;

	kt_start_fn(&job, other_thread_sends, arg);
	while (!kt_done(&job)) {
		syscall(SYS_setresuid, NOBODY, -1, -1);
		syscall(SYS_setresuid, 0, -1, -1);
	}
	CHECK(kt_join(&job));
	CHECK_EQ(0, job.ret);
	return 0;
}

TEST_F(identity, is_the_threads_while_another_thread_changes_its_own)
{
	pid_t pid = child_start(change_while_other_sends, &self->fd);

	for (int i = 0; i < 200; i++)
		EXPECT_SENDER(pid, 0, 0, next_sender(self->fd, "mine"));
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* exec while threads send: the pid is the process's throughout */
static int exec_while_sending(void *arg)
{
	struct kt_job job[2];

	for (int i = 0; i < 2; i++)
		kt_start_fn(&job[i], other_thread_sends, arg);
	execl("/bin/true", "true", NULL);
	return CHILD_FAILED;
}

TEST_F(identity, survives_exec_in_the_middle_of_a_send)
{
	for (int round = 0; round < 10; round++) {
		pid_t pid = child_start(exec_while_sending, &self->fd);
		struct kpost_recv recv;
		char buf[8];

		ASSERT_EQ(0, child_finish(pid, 20));
		while (kt_take(self->fd, &recv, buf, sizeof(buf)) >= 0) {
			EXPECT_EQ(pid, (pid_t)recv.pid);
			EXPECT_EQ(0, recv.uid);
		}
		EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	}
}

/* ---- through io_uring --------------------------------------------------------- */

static int send_from_worker(void *arg)
{
	struct kpost_send send = kt_send_args("worker", 6, 0, 0, 0);
	struct io_uring ring;

	CHECK_EQ(0, uring_init(&ring, 4, 0));
	/* the worker starts as root, and must not send as that later */
	uring_op(&ring, *(int *)arg, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	CHECK_EQ(0, uring_run(&ring));
	CHECK_EQ(0, child_become(NOBODY, 1234));
	uring_op(&ring, *(int *)arg, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	CHECK_EQ(0, uring_run(&ring));
	CHECK_EQ(0, uring_do(&ring, *(int *)arg, KPOST_IOC_SEND, &send));
	return 0;
}

TEST_F(identity, of_what_an_io_uring_worker_sends_is_the_submitters)
{
	pid_t pid = child_start(send_from_worker, &self->fd);

	EXPECT_SENDER(pid, 0, 0, next_sender(self->fd, "worker"));
	EXPECT_SENDER(pid, NOBODY, 1234, next_sender(self->fd, "worker"));
	EXPECT_SENDER(pid, NOBODY, 1234, next_sender(self->fd, "worker"));
	EXPECT_EQ(0, child_finish(pid, 20));
}

static int call_from_worker(void *arg)
{
	struct kpost_call call = kt_call_args("ask", 3, NULL, 0, kt_soon());
	struct io_uring ring;

	CHECK_EQ(0, child_become(NOBODY, 1234));
	CHECK_EQ(0, uring_init(&ring, 4, 0));
	CHECK_EQ(0, uring_do(&ring, *(int *)arg, KPOST_IOC_CALL, &call));
	return 0;
}

TEST_F(identity, of_a_call_from_a_worker_is_the_submitters)
{
	pid_t pid = child_start(call_from_worker, &self->fd);
	struct kpost_recv recv;
	char buf[8];

	ASSERT_EQ(3, kt_recv(self->fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(pid, (pid_t)recv.pid);
	EXPECT_EQ(NOBODY, recv.uid);
	EXPECT_EQ(1234, recv.gid);
	EXPECT_EQ(0, kt_reply(self->fd, recv.token, NULL, 0));
	EXPECT_EQ(0, child_finish(pid, 20));
}

static int send_from_polling_thread(void *arg)
{
	struct kpost_send send = kt_send_args("polled", 6, 0, 0, 0);
	struct io_uring ring;

	CHECK_EQ(0, child_become(NOBODY, 1234));
	CHECK_EQ(0, uring_init(&ring, 4, IORING_SETUP_SQPOLL));
	CHECK_EQ(0, uring_do(&ring, *(int *)arg, KPOST_IOC_SEND, &send));
	return 0;
}

TEST_F(identity, of_what_the_polling_thread_sends_is_the_rings_owners)
{
	pid_t pid = child_start(send_from_polling_thread, &self->fd);

	EXPECT_SENDER(pid, NOBODY, 1234, next_sender(self->fd, "polled"));
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* ---- namespaces ----------------------------------------------------------------- */

struct meeting {
	int fd;		/* the mailbox */
	int ready[2];	/* a byte comes here when the other side may go on */
	pid_t pid;	/* of a grandchild, as its parent sees it */
};

static int meeting_go(struct meeting *meeting)
{
	return write(meeting->ready[1], "", 1) == 1 ? 0 : -errno;
}

static int meeting_wait(struct meeting *meeting)
{
	struct pollfd poll_ready = { .fd = meeting->ready[0], .events = POLLIN };
	char byte;

	if (poll(&poll_ready, 1, KT_SOON) != 1)
		return -ETIMEDOUT;
	return read(meeting->ready[0], &byte, 1) == 1 ? 0 : -EIO;
}

static int in_pid_namespace(void *arg)
{
	struct meeting *meeting = arg;
	struct identity sender;

	CHECK_EQ(1, getpid());
	/* the test's message: its pid has no meaning here */
	sender = next_sender(meeting->fd, "outside");
	CHECK_EQ(0, sender.pid);
	CHECK_EQ(0, sender.uid);
	CHECK_EQ(0, kt_post(meeting->fd, "inside", 6, 0));
	sender = next_sender(meeting->fd, "inside");
	CHECK_EQ(1, sender.pid);
	CHECK_EQ(0, kt_post(meeting->fd, "to outside", 10, 0));
	return 0;
}

static int with_pid_namespace(void *arg)
{
	struct meeting *meeting = arg;
	pid_t pid;

	CHECK_EQ(0, unshare(CLONE_NEWPID));
	pid = fork(); /* as its own init it sees no parent to die with */
	if (pid == 0)
		_exit(in_pid_namespace(arg));
	meeting->pid = pid;
	return child_finish(pid, 20);
}

TEST_F(identity, pid_is_told_in_the_receivers_namespace_or_is_zero)
{
	struct meeting *meeting = kt_shared(sizeof(*meeting));
	struct identity sender;

	meeting->fd = self->fd;
	EXPECT_EQ(0, kt_post(self->fd, "outside", 7, 0));
	ASSERT_EQ(0, child_run(with_pid_namespace, meeting));
	sender = next_sender(self->fd, "to outside");
	EXPECT_EQ((uint32_t)meeting->pid, sender.pid);
	EXPECT_NE(1, sender.pid);
}

#define REUSED	42

static pid_t fork_reused(void)
{
	char last[16];

	snprintf(last, sizeof(last), "%d", REUSED - 1);
	return child_write("/proc/sys/kernel/ns_last_pid", last) ? -1 : fork();
}

static int reuse_pid(struct meeting *meeting, const int socks[2])
{
	pid_t pid;

	CHECK_EQ(1, getpid());
	pid = fork_reused();
	if (pid == 0)
		_exit(kt_post(meeting->fd, "alive", 5, 0) || kt_post(meeting->fd, "dead", 4, 0) ||
		      !is_told(socks[1]));
	CHECK_EQ(REUSED, pid);
	CHECK_EQ(0, child_finish(pid, 20));
	pid = fork_reused();
	if (pid == 0)
		_exit(kt_post(meeting->fd, "next", 4, 0) || tell(socks[1]) || !is_told(socks[1]));
	CHECK_EQ(REUSED, pid);
	return child_finish(pid, 20);
}

TEST_F(identity, of_a_dead_sender_is_not_that_of_who_has_its_pid_now)
{
	struct meeting *meeting = kt_shared(sizeof(*meeting));
	struct identity alive, dead, next;
	int socks[2];
	pid_t pid;

	ASSERT_EQ(0, access("/proc/sys/kernel/ns_last_pid", W_OK));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	meeting->fd = self->fd;
	pid = kt_fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWPID))
			_exit(1);
		pid = fork(); /* as its own init it sees no parent to die with */
		_exit(pid ? child_finish(pid, 20) : reuse_pid(meeting, socks));
	}
	alive = next_sender(self->fd, "alive");
	ASSERT_EQ(0, tell(socks[0]));
	/* the process that has its number has sent, and is there */
	ASSERT_TRUE(is_told(socks[0]));
	dead = next_sender(self->fd, "dead");
	next = next_sender(self->fd, "next");
	EXPECT_NE(0, alive.pid);
	EXPECT_EQ(alive.pid, dead.pid);
	EXPECT_NE(0, next.pid);
	EXPECT_NE(dead.pid, next.pid);
	ASSERT_EQ(0, tell(socks[0]));
	EXPECT_EQ(0, kt_exit_status(pid));
}

static int in_user_namespace(void *arg)
{
	struct meeting *meeting = arg;
	struct identity sender;

	CHECK_EQ(0, child_become(1000, 2000));
	prctl(PR_SET_DUMPABLE, 1); /* or its /proc files are root's */
	CHECK_EQ(0, child_unshare_user(7, 8));
	CHECK_EQ(7, geteuid());
	/* from root, who has no name here */
	sender = next_sender(meeting->fd, "outside");
	CHECK_EQ(OVERFLOW_ID, sender.uid);
	CHECK_EQ(OVERFLOW_ID, sender.gid);
	CHECK_EQ(0, kt_post(meeting->fd, "inside", 6, 0));
	sender = next_sender(meeting->fd, "inside");
	CHECK_EQ(7, sender.uid);
	CHECK_EQ(8, sender.gid);
	CHECK_EQ(0, kt_post(meeting->fd, "to outside", 10, 0));
	return 0;
}

TEST_F(identity, uid_and_gid_are_told_in_the_receivers_namespace_or_overflow)
{
	struct meeting meeting = { .fd = self->fd };
	struct identity sender;
	pid_t pid;

	EXPECT_EQ(0, kt_post(self->fd, "outside", 7, 0));
	pid = child_start(in_user_namespace, &meeting);
	ASSERT_EQ(0, child_finish(pid, 20));
	sender = next_sender(self->fd, "to outside");
	EXPECT_EQ((uint32_t)pid, sender.pid);
	EXPECT_EQ(1000, sender.uid);
	EXPECT_EQ(2000, sender.gid);
}

/* the sender changes its credentials between the sending and the receiving */
static int send_then_change(void *arg)
{
	struct meeting *meeting = arg;

	CHECK_EQ(0, setresgid(55, 55, 55));
	CHECK_EQ(0, setresuid(66, 66, 0));
	CHECK_EQ(0, kt_post(meeting->fd, "before", 6, 0));
	CHECK_EQ(0, setresuid(-1, 0, -1));
	CHECK_EQ(0, setresgid(88, 88, 88));
	CHECK_EQ(0, setresuid(77, 77, 77));
	CHECK_EQ(0, meeting_go(meeting));
	for (;;)
		pause();
}

TEST_F(identity, does_not_follow_the_sender_after_sending)
{
	struct meeting meeting = { .fd = self->fd };
	pid_t pid;

	ASSERT_EQ(0, pipe(meeting.ready));
	pid = child_start(send_then_change, &meeting);
	ASSERT_EQ(0, meeting_wait(&meeting));
	EXPECT_SENDER(pid, 66, 55, next_sender(self->fd, "before"));
	EXPECT_LE(0, kt_kill(pid));
}

TEST_HARNESS_MAIN
