// SPDX-License-Identifier: GPL-2.0-only
/*
 * The errors of each operation, one test for each, and that a failed operation has
 * changed nothing: not the mailbox, not what its struct said, not the accounts.
 * Errors that belong to a promise are also tried where the promise is.
 */
#include <grp.h>
#include "kpost_test.h"

FIXTURE(errors) {
	int fd;			/* all rights, 2 messages of up to 100 bytes */
	int receiver, sender;	/* a pair */
	int closed;		/* a sender without a receiver */
	char *unmapped;
	char buf[128];
	char answer[32];
};

FIXTURE_SETUP(errors)
{
	int fds[2];

	self->fd = kt_mailbox(2, 300, 100);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	self->receiver = fds[0];
	self->sender = fds[1];
	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	close(fds[0]);
	self->closed = fds[1];
	self->unmapped = kt_edge(PROT_NONE);
	memset(self->buf, 0, sizeof(self->buf));
}

FIXTURE_TEARDOWN(errors)
{
	close(self->fd);
	close(self->receiver);
	close(self->sender);
	close(self->closed);
}

/* @op on @fd is refused with @err: the mailbox and the struct are as they were */
#define expect_refused(err, fd, op, args) do {					\
	__typeof__(args) kt_args_before = (args);				\
										\
	EXPECT_REFUSED(err, fd, kt_ioctl(fd, op, &(args)));			\
	EXPECT_EQ(0, memcmp(&kt_args_before, &(args), sizeof(args)));		\
} while (0)

/*
 * A call is refused; the fields that are out tell of nobody, where arguments and memory
 * were good (@told) and wherever else they were written.
 */
#define expect_call_refused(err, fd, args, told) do {				\
	struct kpost_call kt_in_args;						\
										\
	kt_poison(&(args).sequence, sizeof(args) - offsetof(struct kpost_call, sequence)); \
	kt_in_args = (args);							\
	EXPECT_REFUSED(err, fd, kt_ioctl(fd, KPOST_IOC_CALL, &(args)));		\
	EXPECT_EQ(0, memcmp(&kt_in_args, &(args), offsetof(struct kpost_call, sequence))); \
	if ((told) || memcmp(&kt_in_args, &(args), sizeof(args)))	{	\
		EXPECT_TRUE(tells_of_nobody(&(args)));				\
	}									\
} while (0)

/* The stack may lie so high that what is long would end behind all user memory. */
static char low[16];

static bool tells_of_nobody(const struct kpost_call *call)
{
	return !call->sequence && !call->message_flags && !call->pid && call->uid == 65534 &&
	       call->gid == 65534 && call->opener_uid == 65534 && call->opener_gid == 65534;
}

TEST_F(errors, errors_of_send)
{
	struct kpost_iovec iov = { (uintptr_t)self->unmapped, 1 };
	struct kpost_send good = kt_send_args(self->buf, 100, 0, KPOST_DONTWAIT, 0), send;

	send = good;
	send.priority = KPOST_PRIORITY_MAX + 1;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send = good;
	send.flags = KPOST_TRUNCATE;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send.flags = KPOST_DROP;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send.flags = KPOST_REPLY_IOVEC;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send.flags = KPOST_SYNC | KPOST_DONTWAIT;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send = good;
	send.deadline = 1ull << 63;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send = good;
	send.flags |= KPOST_IOVEC;
	send.len = KPOST_IOVEC_MAX + 1;
	expect_refused(EINVAL, self->fd, KPOST_IOC_SEND, send);
	send = good;
	send.len = 101;
	expect_refused(EMSGSIZE, self->fd, KPOST_IOC_SEND, send);
	send.buf = (uintptr_t)low;
	send.len = KPOST_PAYLOAD_MAX + 1;
	expect_refused(EMSGSIZE, self->fd, KPOST_IOC_SEND, send);
	send = good;
	send.buf = (uintptr_t)self->unmapped;
	expect_refused(EFAULT, self->fd, KPOST_IOC_SEND, send);
	send.buf = KT_KERNEL_ADDRESS;
	expect_refused(EFAULT, self->fd, KPOST_IOC_SEND, send);
	send.buf = 0;
	expect_refused(EFAULT, self->fd, KPOST_IOC_SEND, send);
	send = kt_send_args(&iov, 1, 0, KPOST_DONTWAIT | KPOST_IOVEC, 0);
	expect_refused(EFAULT, self->fd, KPOST_IOC_SEND, send);
	send = good;
	expect_refused(EBADF, self->receiver, KPOST_IOC_SEND, send);
	expect_refused(EPIPE, self->closed, KPOST_IOC_SEND, send);

	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &good));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &good));
	expect_refused(EAGAIN, self->fd, KPOST_IOC_SEND, send);
	send.flags = 0;
	send.deadline = 1;
	expect_refused(ETIMEDOUT, self->fd, KPOST_IOC_SEND, send);
}

TEST_F(errors, errors_of_recv)
{
	struct kpost_iovec iov = { (uintptr_t)self->unmapped, 100 };
	struct kpost_recv good = kt_recv_args(self->buf, 100, KPOST_DONTWAIT, 0), recv = good;

	expect_refused(EAGAIN, self->fd, KPOST_IOC_RECV, recv);
	recv.flags = 0;
	recv.deadline = 1;
	expect_refused(ETIMEDOUT, self->fd, KPOST_IOC_RECV, recv);
	ASSERT_EQ(0, kt_post(self->fd, "message", 7, 0));
	recv = good;
	recv.flags |= KPOST_SYNC;
	expect_refused(EINVAL, self->fd, KPOST_IOC_RECV, recv);
	recv.flags = KPOST_DONTWAIT | KPOST_REPLY_IOVEC;
	expect_refused(EINVAL, self->fd, KPOST_IOC_RECV, recv);
	recv = good;
	recv.deadline = UINT64_MAX;
	expect_refused(EINVAL, self->fd, KPOST_IOC_RECV, recv);
	recv = good;
	recv.flags |= KPOST_IOVEC;
	recv.len = KPOST_IOVEC_MAX + 1;
	expect_refused(EINVAL, self->fd, KPOST_IOC_RECV, recv);
	recv = good;
	recv.buf = (uintptr_t)self->unmapped;
	expect_refused(EFAULT, self->fd, KPOST_IOC_RECV, recv);
	recv = kt_recv_args(&iov, 1, KPOST_DONTWAIT | KPOST_IOVEC, 0);
	expect_refused(EFAULT, self->fd, KPOST_IOC_RECV, recv);
	recv = good;
	recv.len = 6;
	EXPECT_REFUSED(EMSGSIZE, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(7, recv.size);
	recv = good;
	expect_refused(EBADF, self->sender, KPOST_IOC_RECV, recv);
	EXPECT_EQ(7, kt_ioctl(self->fd, KPOST_IOC_RECV, &good));
	close(self->sender);
	self->sender = -1;
	expect_refused(EPIPE, self->receiver, KPOST_IOC_RECV, recv);
}

TEST_F(errors, errors_of_call)
{
	struct kpost_iovec many[2] = {
		{ (uintptr_t)low, KPOST_PAYLOAD_MAX },
		{ (uintptr_t)self->answer, 1 },
	};
	struct kpost_call good = kt_call_args(self->buf, 10, self->answer, 10, kt_soon()), call;

	call = good;
	call.flags = KPOST_DONTWAIT;
	expect_call_refused(EINVAL, self->fd, call, false);
	call.flags = KPOST_SYNC;
	expect_call_refused(EINVAL, self->fd, call, false);
	call = good;
	call.priority = KPOST_PRIORITY_MAX + 1;
	expect_call_refused(EINVAL, self->fd, call, false);
	call = good;
	call.deadline = 1ull << 63;
	expect_call_refused(EINVAL, self->fd, call, false);
	call = good;
	call.flags = KPOST_REPLY_IOVEC;
	call.reply_len = KPOST_IOVEC_MAX + 1;
	expect_call_refused(EINVAL, self->fd, call, false);
	call = good;
	call.len = 101;
	expect_call_refused(EMSGSIZE, self->fd, call, false);
	call = good;
	call.reply_buf = (uintptr_t)low;
	call.reply_len = KPOST_PAYLOAD_MAX + 1;
	expect_call_refused(EMSGSIZE, self->fd, call, false);
	call = good;
	call.flags = KPOST_REPLY_IOVEC;
	call.reply_buf = (uintptr_t)many;
	call.reply_len = 2;
	expect_call_refused(EMSGSIZE, self->fd, call, false);
	call = good;
	call.buf = (uintptr_t)self->unmapped - 5;
	expect_call_refused(EFAULT, self->fd, call, false);
	call = good;
	call.reply_buf = (uintptr_t)self->unmapped - 5;
	expect_call_refused(EFAULT, self->fd, call, false);
	call.reply_buf = KT_KERNEL_ADDRESS;
	expect_call_refused(EFAULT, self->fd, call, false);
	call = good;
	expect_call_refused(EBADF, self->receiver, call, false);
	expect_call_refused(EPIPE, self->closed, call, true);
	call.deadline = 1;
	expect_call_refused(ETIMEDOUT, self->fd, call, true);
	call.deadline = kt_in(10);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_CALL, &call));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	call = good;
	expect_call_refused(EAGAIN, self->fd, call, false);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

TEST_F(errors, errors_of_reply)
{
	struct kpost_iovec iov = { (uintptr_t)self->unmapped, 1 };
	struct kpost_call call = kt_call_args("ask", 3, self->answer, 10, kt_soon());
	struct kpost_reply good = { .buf = (uintptr_t)self->buf, .len = 10 }, reply;
	struct kpost_recv recv;
	struct kt_job job;

	reply = good;
	expect_refused(ENOENT, self->fd, KPOST_IOC_REPLY, reply);
	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->fd, &recv, self->buf, sizeof(self->buf), 0, kt_soon()));
	reply.token = recv.token;
	expect_refused(EBADF, self->sender, KPOST_IOC_REPLY, reply);
	expect_refused(ENOENT, self->receiver, KPOST_IOC_REPLY, reply);
	reply.flags = KPOST_DONTWAIT;
	expect_refused(EINVAL, self->fd, KPOST_IOC_REPLY, reply);
	reply.flags = KPOST_DROP;		/* with a payload */
	expect_refused(EINVAL, self->fd, KPOST_IOC_REPLY, reply);
	reply.buf = 0;
	reply.len = 0;
	reply.flags = KPOST_DROP | KPOST_REPLY_IOVEC;
	expect_refused(EINVAL, self->fd, KPOST_IOC_REPLY, reply);
	reply = good;
	reply.token = recv.token;
	reply.reserved = 1;
	expect_refused(EINVAL, self->fd, KPOST_IOC_REPLY, reply);
	reply.reserved = 0;
	reply.flags = KPOST_IOVEC;
	reply.len = KPOST_IOVEC_MAX + 1;
	expect_refused(EINVAL, self->fd, KPOST_IOC_REPLY, reply);
	reply.buf = (uintptr_t)&iov;
	reply.len = 1;
	expect_refused(EFAULT, self->fd, KPOST_IOC_REPLY, reply);
	iov.len = 11;
	expect_refused(EMSGSIZE, self->fd, KPOST_IOC_REPLY, reply);
	reply = good;
	reply.token = recv.token;
	reply.len = 11;
	expect_refused(EMSGSIZE, self->fd, KPOST_IOC_REPLY, reply);
	reply.len = 10;
	reply.buf = (uintptr_t)self->unmapped;
	expect_refused(EFAULT, self->fd, KPOST_IOC_REPLY, reply);
	EXPECT_FALSE(kt_done(&job));
	EXPECT_EQ(0, kt_reply(self->fd, recv.token, self->buf, 10));
	expect_refused(ENOENT, self->fd, KPOST_IOC_REPLY, reply);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(10, job.ret);
}

TEST_F(errors, errors_of_a_closed_mailbox)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = 0600 };
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KPOST_RIGHT_RECV | KPOST_RIGHT_SEND);
	int admin = kt_open(name, KPOST_RIGHT_ADMIN | KPOST_RIGHT_SEND, 0);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, admin);
	close(fd);
	expect_refused(EPIPE, admin, KPOST_IOC_SETATTR, attr);
	EXPECT_REFUSED(EPIPE, admin, kt_post(admin, "x", 1, 0));
	EXPECT_REFUSED(EPIPE, admin, kt_call(admin, "x", 1, NULL, 0, kt_soon()));
	EXPECT_REFUSED(EPIPE, admin, write(admin, "x", 1) < 0 ? -errno : 0);
	EXPECT_REFUSED(EBADF, admin, kt_take(admin, NULL, self->buf, 1));
	/* what is wrong is wrong, closed or not */
	attr.mode = 01000;
	expect_refused(EINVAL, admin, KPOST_IOC_SETATTR, attr);
	EXPECT_REFUSED(EINVAL, admin, kt_post(admin, "x", 1, KPOST_PRIORITY_MAX + 1));
	close(admin);
}

/* ---- accounts: as a user with limits ------------------------------------------- */

enum { USER = 60005, BLOCK = 131072 };

/* the body of a test, as that user in a child: returns the line that failed, or 0 */
static void run_as_user(struct __test_metadata *_metadata, int (*body)(void))
{
	pid_t pid;
	int line;

	if (geteuid())
		SKIP(return, "only root can become another user");
	pid = kt_fork();
	if (pid == 0) {
		if (setgroups(0, NULL) || setresgid(USER, USER, USER) ||
		    setresuid(USER, USER, USER))
			_exit(255);
		line = body();
		if (line)
			fprintf(stderr, "# the check in line %d failed\n", line);
		_exit(line != 0);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
}

#define check(cond) do {							\
	if (!(cond))								\
		return __LINE__;						\
} while (0)

/* all that counts for the user, of either share; nobody else is that user */
static uint64_t counted(void)
{
	struct kpost_info info;

	kt_poison(&info, sizeof(info));
	kt_ioctl(kt_device(), KPOST_IOC_INFO, &info);
	return info.user_used + info.user_sending_used;
}

/* each way that a send can fail, of messages that count while they are copied too */
static int fail_many_sends(void)
{
	static char block[BLOCK];
	char *unmapped = kt_edge(PROT_NONE), *big;
	struct kpost_iovec iov[2] = { { (uintptr_t)block, BLOCK - 1 },
				      { (uintptr_t)unmapped, 1 } };
	int fd = kt_mailbox(1, BLOCK, BLOCK);
	uint64_t before = counted();

	check(before == 1024 + BLOCK + 256);
	big = mmap(NULL, BLOCK * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(munmap(big + 20 * 4096, 4096) == 0);
	check(kt_post(fd, block, 1, 0) == 0);
	for (size_t len = BLOCK / 4 + 1; len <= BLOCK; len += BLOCK / 4) {
		for (int i = 0; i < 10; i++) {
			check(kt_post(fd, big + 20 * 4096 - 1, len, 0) == -EFAULT);
			check(kt_send(fd, iov, 2, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0) == -EFAULT);
			check(kt_post(fd, block, len, 0) == -EAGAIN);
			check(kt_send(fd, block, len, 0, 0, 1) == -ETIMEDOUT);
			check(kt_send(fd, block, len, 0, 0, kt_now() + 100000) == -ETIMEDOUT);
			check(kt_send(fd, block, len, 0, KPOST_SYNC, 1) == -ETIMEDOUT);
			check(kt_post(fd, block, BLOCK + 1, 0) == -EMSGSIZE);
			check(counted() == before);
		}
	}
	close(fd);
	check(counted() == 0);
	return 0;
}

TEST(errors_of_sends_leave_the_account_as_it_was)
{
	run_as_user(_metadata, fail_many_sends);
}

static int fail_many_calls(void)
{
	static char block[BLOCK], room[BLOCK];
	char *unmapped = kt_edge(PROT_NONE);
	int fd = kt_mailbox(1, BLOCK, BLOCK);
	uint64_t before = counted();

	for (size_t len = BLOCK / 4; len <= BLOCK; len += BLOCK / 4) {
		for (int i = 0; i < 10; i++) {
			check(kt_call(fd, block, len, room, BLOCK, 1) == -ETIMEDOUT);
			check(kt_call(fd, block, len, unmapped - 4, BLOCK, kt_soon()) == -EFAULT);
			check(kt_call(fd, unmapped - 4, len, room, BLOCK, kt_soon()) == -EFAULT);
			check(kt_call(fd, block, len, room, BLOCK, kt_now() + 1000) == -ETIMEDOUT);
			check(kt_call(fd, block, BLOCK + 1, room, BLOCK, kt_soon()) == -EMSGSIZE);
			check(kt_call(fd, block, 1, room, KPOST_PAYLOAD_MAX + 1, kt_soon()) ==
			      -EMSGSIZE);
			check(counted() == before);
		}
	}
	return 0;
}

TEST(errors_of_calls_leave_the_account_as_it_was)
{
	run_as_user(_metadata, fail_many_calls);
}

static int fail_many_opens(void)
{
	char *edge = kt_edge(PROT_READ | PROT_WRITE), name[KT_NAME_SIZE];
	struct kpost_open *args = (void *)edge;
	int fd = kt_create(kt_name(name), KT_ALL);
	uint64_t before = counted();

	check(fd >= 0);
	check(before > 0);
	*args = kt_open_args(NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	check(mprotect(edge, kt_page_size(), PROT_READ) == 0);
	for (int i = 0; i < 100; i++) {
		check(kt_do_open(args) == -EFAULT);
		check(kt_create(name, KT_ALL) == -EEXIST);
		check(kt_open(name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PAIR) == -EINVAL);
		check(kt_mailbox(1 << 20, 0, 0) == -EDQUOT);
		check(kt_mailbox((1 << 20) + 1, 0, 0) == -EINVAL);
		check(kt_mailbox(1, 100, 101) == -EINVAL);
		check(kt_grant(fd, 8) == -EINVAL);
		check(counted() == before);
	}
	return 0;
}

TEST(errors_of_opens_leave_the_account_as_it_was)
{
	run_as_user(_metadata, fail_many_opens);
}

/* receives that fault, or time out, give back nothing that they did not take */
static int fail_many_receives(void)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES | KPOST_SET_BYTES,
				      .messages = 1, .bytes = 4000 };
	static char block[4000];
	char *unmapped = kt_edge(PROT_NONE);
	int fd = kt_mailbox(4, 16000, 4000);
	uint64_t before = counted();

	for (int i = 0; i < 4; i++)
		check(kt_post(fd, block, 4000, 0) == 0);
	/* what is in it is what counts, and so it can be told */
	check(kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) == 0);
	for (int i = 0; i < 100; i++) {
		check(kt_take(fd, NULL, unmapped - 10, 4000) == -EFAULT);
		check(kt_take(fd, NULL, block, 10) == -EMSGSIZE);
		check(counted() == before);
	}
	for (int left = 3; left >= 0; left--) {
		check(kt_take(fd, NULL, block, 4000) == 4000);
		check(kt_take(fd, NULL, unmapped - 10, 4000) == (left ? -EFAULT : -EAGAIN));
		check(counted() == 1024 + (left ? left : 1) * (4000 + 256));
	}
	return 0;
}

TEST(errors_of_receives_leave_the_account_as_it_was)
{
	run_as_user(_metadata, fail_many_receives);
}

TEST_HARNESS_MAIN
