// SPDX-License-Identifier: GPL-2.0-only
/*
 * One table of checks serves ioctl(2) and io_uring: every bad input is given to
 * both, and both must refuse it alike and leave the same bytes behind.
 */
#include "kpost_test.h"
#include "uring_test.h"

#define BIG	(1u << 20)

FIXTURE(uring_errno) {
	struct io_uring ring;
	int both;	/* a mailbox of one message of at most 64 bytes, with all rights */
	int send;	/* an endpoint that only sends, recv one that only receives */
	int recv;
};

FIXTURE_SETUP(uring_errno)
{
	int pair[2];

	ASSERT_EQ(0, uring_init(&self->ring, 4, 0));
	self->both = kt_mailbox(2, 128, 64);
	ASSERT_LE(0, self->both);
	ASSERT_EQ(0, kt_pair(pair, 0, 0));
	self->recv = pair[0];
	self->send = pair[1];
}

FIXTURE_TEARDOWN(uring_errno)
{
	io_uring_queue_exit(&self->ring);
}

static char room[BIG];	/* what the operations read and write */

/* @op with @arg of @size bytes is refused with -@err both ways, alike */
static void refuse(struct __test_metadata *_metadata, struct io_uring *ring, int fd,
		   const char *what, unsigned long op, const void *arg, size_t size, int err)
{
	struct kpost_stat before = kt_stat(fd);
	char *a = malloc(size), *b = malloc(size);
	long by_ioctl, by_ring;

	memcpy(a, arg, size);
	memcpy(b, arg, size);
	by_ioctl = kt_ioctl(fd, op, a);
	by_ring = uring_do(ring, fd, (unsigned int)op, b);
	EXPECT_EQ(-err, by_ioctl) TH_LOG("%s by ioctl", what);
	EXPECT_EQ(-err, by_ring) TH_LOG("%s by io_uring", what);
	EXPECT_EQ(0, memcmp(a, b, size)) TH_LOG("%s: the structs differ afterwards", what);
	EXPECT_TRUE(kt_stat_same(before, kt_stat(fd))) TH_LOG("%s changed the mailbox", what);
	free(a);
	free(b);
}

#define REFUSE(fd, what, op, arg, err) \
	refuse(_metadata, &self->ring, fd, what, op, &(arg), sizeof(arg), err)

TEST_F(uring_errno, send_is_refused_as_by_ioctl)
{
	struct kpost_iovec huge[2] = { { 4096, INT64_MAX }, { 4096, 1 } };
	struct kpost_iovec none[1] = { { 0, 1 } };
	struct kpost_iovec far[1] = { { KT_KERNEL_ADDRESS, 8 } };
	struct kpost_send good = kt_send_args(room, 8, 0, KPOST_DONTWAIT, 0);
	struct kpost_send bad;

#define BAD(field, value, err) do {						\
	bad = good;								\
	bad.field = (value);							\
	REFUSE(self->both, "send: " #field " = " #value, KPOST_IOC_SEND, bad, err); \
} while (0)
	BAD(flags, KPOST_TRUNCATE, EINVAL);
	BAD(flags, KPOST_REPLY_IOVEC, EINVAL);
	BAD(flags, KPOST_DROP, EINVAL);
	BAD(flags, KPOST_PEEK, EINVAL);
	BAD(flags, 1u << 31, EINVAL);
	BAD(flags, KPOST_DONTWAIT | KPOST_SYNC, EINVAL);
	BAD(priority, KPOST_PRIORITY_MAX + 1, EINVAL);
	BAD(priority, ~0u, EINVAL);
	BAD(deadline, 1ull << 63, EINVAL);
	BAD(deadline, ~0ull, EINVAL);
	BAD(buf, 0, EFAULT);
	BAD(buf, KT_KERNEL_ADDRESS, EFAULT);
	BAD(buf, ~0ull - 3, EFAULT);
	BAD(len, 65, EMSGSIZE);
	BAD(len, KPOST_PAYLOAD_MAX + 1ull, EMSGSIZE);
	BAD(len, 1ull << 32, EMSGSIZE);
#undef BAD
	bad = kt_send_args(huge, 2, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	REFUSE(self->both, "send: lengths past SSIZE_MAX", KPOST_IOC_SEND, bad, EINVAL);
	bad = kt_send_args(none, 1, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	REFUSE(self->both, "send: a piece at 0", KPOST_IOC_SEND, bad, EFAULT);
	bad = kt_send_args(far, 1, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	REFUSE(self->both, "send: a piece of the kernel's", KPOST_IOC_SEND, bad, EFAULT);
	bad = kt_send_args(room, KPOST_IOVEC_MAX + 1, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	REFUSE(self->both, "send: 1025 pieces", KPOST_IOC_SEND, bad, EINVAL);
	REFUSE(self->recv, "send: no right", KPOST_IOC_SEND, good, EBADF);
}

TEST_F(uring_errno, send_that_finds_no_room_is_refused_as_by_ioctl)
{
	struct kpost_send again = kt_send_args(room, 8, 0, KPOST_DONTWAIT, 0);
	struct kpost_send late = kt_send_args(room, 8, 0, 0, 1);
	struct kpost_send unread = kt_send_args(room, 8, 0, KPOST_SYNC, 1);

	while (kt_post(self->both, "x", 1, 0) == 0)
		;
	REFUSE(self->both, "send: full", KPOST_IOC_SEND, again, EAGAIN);
	REFUSE(self->both, "send: full, too late", KPOST_IOC_SEND, late, ETIMEDOUT);
	REFUSE(self->both, "send: full, to be received, too late", KPOST_IOC_SEND, unread,
	       ETIMEDOUT);
	close(self->recv);
	again.deadline = 0;
	REFUSE(self->send, "send: closed", KPOST_IOC_SEND, again, EPIPE);
}

TEST_F(uring_errno, recv_is_refused_as_by_ioctl)
{
	struct kpost_iovec far[1] = { { KT_KERNEL_ADDRESS, 64 } };
	struct kpost_recv good = kt_recv_args(room, 64, KPOST_DONTWAIT, 0);
	struct kpost_recv bad = good;

	REFUSE(self->both, "recv: empty", KPOST_IOC_RECV, bad, EAGAIN);
	bad = kt_recv_args(room, 64, 0, 1);
	REFUSE(self->both, "recv: empty, too late", KPOST_IOC_RECV, bad, ETIMEDOUT);
	REFUSE(self->send, "recv: no right", KPOST_IOC_RECV, good, EBADF);
	ASSERT_EQ(0, kt_post(self->both, "kept and kept", 13, 0));
#define BAD(field, value, err) do {						\
	bad = good;								\
	bad.field = (value);							\
	REFUSE(self->both, "recv: " #field " = " #value, KPOST_IOC_RECV, bad, err); \
} while (0)
	BAD(flags, KPOST_SYNC, EINVAL);
	BAD(flags, KPOST_REPLY_IOVEC, EINVAL);
	BAD(flags, KPOST_DROP, EINVAL);
	BAD(flags, 1u << 31, EINVAL);
	BAD(deadline, 1ull << 63, EINVAL);
	BAD(buf, 0, EFAULT);
	BAD(buf, KT_KERNEL_ADDRESS, EFAULT);
	BAD(buf, (uintptr_t)kt_edge(PROT_READ) - 5, EFAULT);
	BAD(len, 12, EMSGSIZE);
	BAD(len, 0, EMSGSIZE);
#undef BAD
	bad = kt_recv_args(far, 1, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	REFUSE(self->both, "recv: a piece of the kernel's", KPOST_IOC_RECV, bad, EFAULT);
	bad = kt_recv_args(room, KPOST_IOVEC_MAX + 1, KPOST_IOVEC | KPOST_DONTWAIT, 0);
	REFUSE(self->both, "recv: 1025 pieces", KPOST_IOC_RECV, bad, EINVAL);

	/* it is still there, and was never numbered anew */
	EXPECT_EQ(13, kt_take(self->both, &good, room, 64));
	EXPECT_EQ(1, good.sequence);
	close(self->send);
	bad = kt_recv_args(room, 64, 0, 0);
	REFUSE(self->recv, "recv: no sender", KPOST_IOC_RECV, bad, EPIPE);
}

TEST_F(uring_errno, call_is_refused_as_by_ioctl)
{
	struct kpost_call good = kt_call_args(room, 8, room, 8, 1);
	struct kpost_call bad = good;

#define BAD(field, value, err) do {						\
	bad = good;								\
	bad.field = (value);							\
	REFUSE(self->both, "call: " #field " = " #value, KPOST_IOC_CALL, bad, err); \
} while (0)
	BAD(flags, KPOST_DONTWAIT, EINVAL);
	BAD(flags, KPOST_SYNC, EINVAL);
	BAD(flags, KPOST_TRUNCATE, EINVAL);
	BAD(flags, 1u << 31, EINVAL);
	BAD(priority, KPOST_PRIORITY_MAX + 1, EINVAL);
	BAD(deadline, 1ull << 63, EINVAL);
	BAD(buf, 0, EFAULT);
	BAD(buf, KT_KERNEL_ADDRESS, EFAULT);
	BAD(reply_buf, 0, EFAULT);
	BAD(reply_buf, KT_KERNEL_ADDRESS, EFAULT);
	BAD(len, 65, EMSGSIZE);
	BAD(reply_len, KPOST_PAYLOAD_MAX + 1ull, EMSGSIZE);
#undef BAD
	REFUSE(self->recv, "call: no right", KPOST_IOC_CALL, good, EBADF);
	close(self->recv);
	good.deadline = 0;
	REFUSE(self->send, "call: closed", KPOST_IOC_CALL, good, EPIPE);
}

TEST_F(uring_errno, reply_is_refused_as_by_ioctl)
{
	struct kpost_call call = kt_call_args("ask", 3, room, 8, kt_soon());
	struct kpost_reply good = { .buf = (uintptr_t)room, .len = 8 };
	struct kpost_reply bad;
	struct kpost_recv recv;
	struct kt_job job;

	kt_start(&job, self->both, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->both, &recv, room + 64, 64, 0, kt_soon()));
	good.token = recv.token;
#define BAD(field, value, err) do {						\
	bad = good;								\
	bad.field = (value);							\
	REFUSE(self->both, "reply: " #field " = " #value, KPOST_IOC_REPLY, bad, err); \
} while (0)
	BAD(flags, KPOST_DONTWAIT, EINVAL);
	BAD(flags, 1u << 31, EINVAL);
	BAD(flags, KPOST_DROP, EINVAL);
	BAD(reserved, 1, EINVAL);
	BAD(token, 0, ENOENT);
	BAD(token, good.token + 1, ENOENT);
	BAD(token, ~good.token, ENOENT);
	BAD(buf, 0, EFAULT);
	BAD(len, 9, EMSGSIZE);
#undef BAD
	REFUSE(self->recv, "reply: a foreign token", KPOST_IOC_REPLY, good, ENOENT);
	REFUSE(self->send, "reply: no right", KPOST_IOC_REPLY, good, EBADF);
	EXPECT_EQ(0, uring_do(&self->ring, self->both, KPOST_IOC_REPLY, &good));
	REFUSE(self->both, "reply: used", KPOST_IOC_REPLY, good, ENOENT);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(8, job.ret);
}

TEST_F(uring_errno, reply_recv_is_refused_as_by_ioctl)
{
	struct kpost_reply reply = { .token = 0 };
	struct kpost_recv recv = kt_recv_args(room, 64, KPOST_DONTWAIT, 0);
	struct kpost_reply_recv good = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(recv),
	};
	struct kpost_reply_recv bad = good;

	REFUSE(self->both, "reply_recv: empty", KPOST_IOC_REPLY_RECV, bad, EAGAIN);
	ASSERT_EQ(0, kt_post(self->both, "kept", 4, 0));
#define BAD(field, value, err) do {						\
	bad = good;								\
	bad.field = (value);							\
	REFUSE(self->both, "reply_recv: " #field " = " #value,			\
	       KPOST_IOC_REPLY_RECV, bad, err);					\
} while (0)
	BAD(reply, 0, EFAULT);
	BAD(recv, 0, EFAULT);
	BAD(recv, KT_KERNEL_ADDRESS, EFAULT);
	BAD(reply_size, 0, EINVAL);
	BAD(reply_size, sizeof(reply) - 1, EINVAL);
	BAD(recv_size, sizeof(recv) - 1, EINVAL);
#undef BAD
	reply.token = 12345;
	REFUSE(self->both, "reply_recv: unknown token", KPOST_IOC_REPLY_RECV, good, ENOENT);
	EXPECT_EQ(12345, reply.token);
	EXPECT_EQ(1, kt_stat(self->both).queued_messages);
}

TEST_F(uring_errno, setattr_is_refused_as_by_ioctl)
{
	struct kpost_setattr good = { .valid = KPOST_SET_MESSAGES, .messages = 5 };
	struct kpost_setattr bad;

#define BAD(field, value, err) do {						\
	bad = good;								\
	bad.field = (value);							\
	REFUSE(self->both, "setattr: " #field " = " #value, KPOST_IOC_SETATTR, bad, err); \
} while (0)
	BAD(valid, 0, EINVAL);	/* messages is not 0 */
	BAD(valid, 1u << 8 | KPOST_SET_MESSAGES, EINVAL);
	BAD(valid, 1u << 31 | KPOST_SET_MESSAGES, EINVAL);
	BAD(messages, 0, EINVAL);
	BAD(overflow, 1, EINVAL);
	BAD(mode, 0600, EINVAL); /* not valid, but set */
	BAD(bytes, 4096, EINVAL);
#undef BAD
	bad = (struct kpost_setattr){ .valid = KPOST_SET_MODE, .mode = 01000 };
	REFUSE(self->both, "setattr: mode above 0777", KPOST_IOC_SETATTR, bad, EINVAL);
	bad = (struct kpost_setattr){ .valid = KPOST_SET_BYTES, .bytes = 63 };
	REFUSE(self->both, "setattr: bytes below message_max", KPOST_IOC_SETATTR, bad, EINVAL);
	bad = (struct kpost_setattr){ .valid = KPOST_SET_UID, .uid = ~0u };
	REFUSE(self->both, "setattr: no user", KPOST_IOC_SETATTR, bad, EINVAL);
	REFUSE(self->send, "setattr: no right", KPOST_IOC_SETATTR, good, EPERM);
}

/* one of each operation, which would succeed at its own size */
TEST_F(uring_errno, size_of_the_struct_counts_as_by_ioctl)
{
	struct { struct kpost_send known; char tail[24]; } send = {
		.known = kt_send_args(room, 8, 0, KPOST_DONTWAIT, 0),
	};
	struct { struct kpost_recv known; char tail[24]; } recv = {
		.known = kt_recv_args(room, 64, KPOST_DONTWAIT, 0),
	};
	unsigned long op = kt_op_sized(KPOST_IOC_SEND, sizeof(send));

	EXPECT_EQ(0, uring_do(&self->ring, self->both, (unsigned int)op, &send));
	send.tail[23] = 1;
	REFUSE(self->both, "send: a tail that is set", op, send, E2BIG);
	REFUSE(self->both, "send: too small", kt_op_sized(KPOST_IOC_SEND, 39), send.known, EINVAL);
	REFUSE(self->both, "send: size 0", kt_op_sized(KPOST_IOC_SEND, 0), send.known, EINVAL);

	op = kt_op_sized(KPOST_IOC_RECV, sizeof(recv));
	memset(recv.tail, 0, sizeof(recv.tail));
	recv.tail[0] = 1;
	REFUSE(self->both, "recv: a tail that is set", op, recv, E2BIG);
	recv.tail[0] = 0;
	REFUSE(self->both, "recv: too small", kt_op_sized(KPOST_IOC_RECV, 87), recv.known, EINVAL);
	EXPECT_EQ(8, uring_do(&self->ring, self->both, (unsigned int)op, &recv));
	EXPECT_EQ(8, recv.known.size);
	for (size_t i = 0; i < sizeof(recv.tail); i++)
		EXPECT_EQ(0, recv.tail[i]);
}

/* of which nothing is looked at, and all is filled */
TEST_F(uring_errno, size_of_an_answer_counts_as_by_ioctl)
{
	struct { struct kpost_stat known; char tail[24]; } a, b;
	unsigned long op = kt_op_sized(KPOST_IOC_STAT, sizeof(a));

	kt_poison(&a, sizeof(a));
	memset(&b, 0x5a, sizeof(b));
	EXPECT_EQ(0, uring_do(&self->ring, self->both, (unsigned int)op, &a));
	EXPECT_EQ(0, kt_ioctl(self->both, op, &b));
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a.tail); i++)
		EXPECT_EQ(0, a.tail[i]);
	REFUSE(self->both, "stat: too small", kt_op_sized(KPOST_IOC_STAT, 343), a, EINVAL);
}

TEST_HARNESS_MAIN
