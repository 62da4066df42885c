// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every number that a caller hands over at the ends of its type, and of the next
 * smaller one: taken where it makes sense, else refused, and nothing has changed.
 */
#include "kpost_test.h"

#include <sys/uio.h>

static const uint64_t ends[] = {
	0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 0x100000000, 0x100000001, 0x1ffffffff,
	0x7ffffffffffff000, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000,
	0xfffffffffffffff0, 0xffffffffffffffff,
};

FIXTURE(extremes) {
	int fd;
	char buf[64];
	uint64_t token;
	struct kt_job caller;
	struct kpost_call call;
	struct kpost_stat before;
};

/* a mailbox with a message in it, and with a call received */
FIXTURE_SETUP(extremes)
{
	struct kpost_recv recv;

	self->fd = kt_mailbox(4, 4096, 64);
	ASSERT_LE(0, self->fd);
	self->call = kt_call_args("ask", 3, self->buf, 8, 0);
	kt_start(&self->caller, self->fd, KPOST_IOC_CALL, &self->call);
	ASSERT_EQ(3, kt_recv(self->fd, &recv, self->buf + 8, 8, 0, kt_soon()));
	self->token = recv.token;
	ASSERT_EQ(0, kt_post(self->fd, "here", 4, 0));
	self->before = kt_stat(self->fd);
}

FIXTURE_TEARDOWN(extremes)
{
	EXPECT_TRUE(kt_stat_same(self->before, kt_stat(self->fd)));
	EXPECT_EQ(4, kt_take(self->fd, NULL, self->buf + 8, 8));
	EXPECT_EQ(0, kt_reply(self->fd, self->token, "yes", 3));
	EXPECT_TRUE(kt_join(&self->caller));
	EXPECT_EQ(3, self->caller.ret);
	close(self->fd);
}

/* @ret is one of those errors, which end with 0 */
static bool is_one_of(long ret, const int errors[])
{
	for (; *errors; errors++) {
		if (ret == -*errors)
			return true;
	}
	return false;
}

/*
 * Do @op on @fd with the field at @at, of @size bytes, at each of its ends: an error of
 * @errors each time.
 */
static void check_field(struct __test_metadata *_metadata, int fd, unsigned long op,
			const void *arg, size_t at, size_t size, const int errors[])
{
	char copy[512];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		uint64_t value = ends[i];
		uint32_t narrow = (uint32_t)value;
		long ret;

		if (size == sizeof(uint32_t) && value > UINT32_MAX)
			continue;
		memcpy(copy, arg, _IOC_SIZE(op));
		memcpy(copy + at, size == sizeof(narrow) ? (void *)&narrow : &value, size);
		ret = kt_ioctl(fd, op, copy);
		EXPECT_TRUE(is_one_of(ret, errors))
			TH_LOG("op %#lx, field at %zu: %#llx gave %ld", op, at,
			       (unsigned long long)value, ret);
	}
}

#define CHECK_FIELD(fd, op, arg, field, ...) \
	check_field(_metadata, fd, op, &(arg), offsetof(typeof(arg), field), sizeof((arg).field), \
		    (const int[]){ __VA_ARGS__, 0 })

TEST_F(extremes, counters_and_sizes_of_send)
{
	struct kpost_send send = kt_send_args(self->buf, 4, 0, KPOST_DONTWAIT, 0);

	CHECK_FIELD(self->fd, KPOST_IOC_SEND, send, flags, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_SEND, send, priority, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_SEND, send, len, EMSGSIZE, EFAULT);
	CHECK_FIELD(self->fd, KPOST_IOC_SEND, send, buf, EFAULT);
	send.flags |= KPOST_IOVEC;
	CHECK_FIELD(self->fd, KPOST_IOC_SEND, send, len, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_SEND, send, buf, EFAULT);
	send.priority = KPOST_PRIORITY_MAX + 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
}

TEST_F(extremes, counters_and_sizes_of_recv)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 2, KPOST_DONTWAIT, 0);

	CHECK_FIELD(self->fd, KPOST_IOC_RECV, recv, flags, EINVAL);
	/* what is there does not fit, so that all that is lawful is EMSGSIZE */
	CHECK_FIELD(self->fd, KPOST_IOC_RECV, recv, buf, EMSGSIZE, EFAULT);
	recv.flags |= KPOST_IOVEC;
	CHECK_FIELD(self->fd, KPOST_IOC_RECV, recv, len, EINVAL);
	/* a buffer of any length that the address allows is one */
	recv = kt_recv_args((void *)KT_KERNEL_ADDRESS, 8, KPOST_DONTWAIT, 0);
	CHECK_FIELD(self->fd, KPOST_IOC_RECV, recv, len, EFAULT);
}

TEST_F(extremes, counters_and_sizes_of_call_and_reply)
{
	struct kpost_call call = kt_call_args(self->buf, 4, self->buf, 4, 1);
	struct kpost_reply reply = { .token = self->token, .buf = (uintptr_t)self->buf, .len = 4 };

	CHECK_FIELD(self->fd, KPOST_IOC_CALL, call, flags, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_CALL, call, priority, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_CALL, call, len, EMSGSIZE, EFAULT);
	CHECK_FIELD(self->fd, KPOST_IOC_CALL, call, reply_len, EMSGSIZE, EFAULT);
	CHECK_FIELD(self->fd, KPOST_IOC_CALL, call, reply_buf, EFAULT);
	call.flags = KPOST_REPLY_IOVEC;
	CHECK_FIELD(self->fd, KPOST_IOC_CALL, call, reply_len, EINVAL);

	CHECK_FIELD(self->fd, KPOST_IOC_REPLY, reply, flags, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY, reply, reserved, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY, reply, token, ENOENT);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY, reply, len, EMSGSIZE, EFAULT);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY, reply, buf, EFAULT);
	reply.flags = KPOST_IOVEC;
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY, reply, len, EINVAL);
}

TEST_F(extremes, counters_and_sizes_of_reply_recv)
{
	struct kpost_reply reply = { .token = 0 };
	struct kpost_recv recv = kt_recv_args(self->buf, 2, KPOST_DONTWAIT, 0);
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(recv),
	};

	CHECK_FIELD(self->fd, KPOST_IOC_REPLY_RECV, both, reply, EFAULT);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY_RECV, both, recv, EFAULT);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY_RECV, both, reply_size, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_REPLY_RECV, both, recv_size, EINVAL);
}

TEST_F(extremes, counters_and_sizes_of_setattr)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES };

	CHECK_FIELD(self->fd, KPOST_IOC_SETATTR, attr, valid, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_SETATTR, attr, messages, EINVAL);
	CHECK_FIELD(self->fd, KPOST_IOC_SETATTR, attr, overflow, EINVAL);
	attr.valid = KPOST_SET_BYTES;
	CHECK_FIELD(self->fd, KPOST_IOC_SETATTR, attr, bytes, EINVAL);
	attr.valid = KPOST_SET_MODE;
	CHECK_FIELD(self->fd, KPOST_IOC_SETATTR, attr, mode, EINVAL);
	/* no id */
	attr = (struct kpost_setattr){ .valid = KPOST_SET_UID, .uid = UINT32_MAX };
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	attr = (struct kpost_setattr){ .valid = KPOST_SET_GID, .gid = UINT32_MAX };
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
}

TEST_F(extremes, counters_and_sizes_of_open_and_list)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	struct kpost_list list = { .count = 1, .entry_size = sizeof(struct kpost_stat) };
	char name[KT_NAME_SIZE];
	int named = kt_create(kt_name(name), KT_ALL);

	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, flags, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, rights, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, mode, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, messages, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, bytes, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, message_max, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, send_fd, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_OPEN, open, deadline, EINVAL);
	CHECK_FIELD(kt_device(), KPOST_IOC_LIST, list, buf, EFAULT);
	CHECK_FIELD(kt_device(), KPOST_IOC_LIST, list, entry_size, EINVAL);
	list.buf = KT_KERNEL_ADDRESS;
	CHECK_FIELD(kt_device(), KPOST_IOC_LIST, list, count, EFAULT, EINVAL);
	close(named);
}

/* deadlines: the last one is the end of time, which does not wait where it need not */
TEST_F(extremes, deadlines_up_to_the_last)
{
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		long want = ends[i] > INT64_MAX ? -EINVAL : -EMSGSIZE;

		EXPECT_EQ(want, kt_recv(self->fd, NULL, self->buf, 2, 0, ends[i]));
		EXPECT_EQ(want, kt_send(self->fd, self->buf, 65, 0, 0, ends[i]));
		EXPECT_EQ(want, kt_call(self->fd, self->buf, 65, self->buf, 4, ends[i]));
	}
}

/* sums of lists of pieces, past each end, and one piece more than there may be */
TEST_F(extremes, sums_of_pieces_that_wrap_are_refused)
{
	static struct kpost_iovec many[KPOST_IOVEC_MAX + 1];
	struct kpost_iovec pieces[3];
	long ret;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		pieces[0] = (struct kpost_iovec){ (uintptr_t)self->buf, 2 };
		pieces[1] = (struct kpost_iovec){ (uintptr_t)self->buf, ends[i] };
		/* which brings the sum to 4, modulo 2^64 */
		pieces[2] = (struct kpost_iovec){ (uintptr_t)self->buf, 2 - ends[i] };
		ret = kt_send(self->fd, pieces, 3, 0, KPOST_DONTWAIT | KPOST_IOVEC, 0);
		EXPECT_EQ(-EINVAL, ret) TH_LOG("%#llx", (unsigned long long)ends[i]);
		ret = kt_recv(self->fd, NULL, pieces, 3, KPOST_DONTWAIT | KPOST_IOVEC, 0);
		EXPECT_EQ(-EINVAL, ret) TH_LOG("%#llx", (unsigned long long)ends[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct kpost_iovec){ (uintptr_t)self->buf, 0 };
	EXPECT_EQ(-EINVAL, kt_send(self->fd, many, KPOST_IOVEC_MAX + 1, 0,
				   KPOST_DONTWAIT | KPOST_IOVEC, 0));
	EXPECT_EQ(-EMSGSIZE, kt_recv(self->fd, NULL, many, KPOST_IOVEC_MAX,
				     KPOST_DONTWAIT | KPOST_IOVEC, 0));
	EXPECT_EQ(-EINVAL, kt_recv(self->fd, NULL, many, KPOST_IOVEC_MAX + 1,
				   KPOST_DONTWAIT | KPOST_IOVEC, 0));
}

TEST_HARNESS_MAIN
