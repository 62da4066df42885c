// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mailbox never holds more than its capacity in messages and bytes, takes all
 * of it, and says exactly what it holds.
 */
#include "kpost_test.h"

static char zeroes[4096];

static void fill_pattern(unsigned char *buf, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16) + seed);
}

static bool has_pattern(const unsigned char *buf, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++) {
		if (buf[i] != (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16) + seed))
			return false;
	}
	return true;
}

FIXTURE(bounded) {
	int fd;
};

FIXTURE_VARIANT(bounded) {
	unsigned int messages;
};

FIXTURE_VARIANT_ADD(bounded, one) { .messages = 1 };
FIXTURE_VARIANT_ADD(bounded, two) { .messages = 2 };
FIXTURE_VARIANT_ADD(bounded, many) { .messages = 100 };

FIXTURE_SETUP(bounded)
{
	self->fd = kt_mailbox(variant->messages, 4000, 40);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(bounded)
{
	close(self->fd);
}

TEST_F(bounded, bounded_in_messages)
{
	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < variant->messages; i++) {
			EXPECT_EQ(i, kt_stat(self->fd).queued_messages);
			ASSERT_EQ(0, kt_post(self->fd, zeroes, 40, i));
		}
		EXPECT_REFUSED(EAGAIN, self->fd, kt_post(self->fd, zeroes, 40, 0));
		EXPECT_REFUSED(EAGAIN, self->fd, kt_post(self->fd, zeroes, 0, 9));
		EXPECT_REFUSED(EAGAIN, self->fd,
			       kt_post(self->fd, zeroes, 1, KPOST_PRIORITY_MAX));
		EXPECT_EQ(variant->messages * 40, kt_stat(self->fd).queued_bytes);
		/* one out, one in, and no more */
		ASSERT_EQ(40, kt_take(self->fd, NULL, zeroes, 40));
		ASSERT_EQ(0, kt_post(self->fd, zeroes, 40, 0));
		EXPECT_REFUSED(EAGAIN, self->fd, kt_post(self->fd, zeroes, 40, 0));
		for (unsigned int i = 0; i < variant->messages; i++) {
			ASSERT_EQ(40, kt_take(self->fd, NULL, zeroes, 40));
		}
		EXPECT_REFUSED(EAGAIN, self->fd, kt_take(self->fd, NULL, zeroes, 40));
		EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
		EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
	}
}

TEST_F(bounded, bounded_in_empty_messages)
{
	for (unsigned int i = 0; i < variant->messages; i++) {
		ASSERT_EQ(0, kt_post(self->fd, NULL, 0, 0));
	}
	EXPECT_REFUSED(EAGAIN, self->fd, kt_post(self->fd, NULL, 0, 0));
	EXPECT_EQ(variant->messages, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
	for (unsigned int i = 0; i < variant->messages; i++) {
		ASSERT_EQ(0, kt_take(self->fd, NULL, NULL, 0));
	}
	EXPECT_REFUSED(EAGAIN, self->fd, kt_take(self->fd, NULL, NULL, 0));
}

TEST(bounded_in_bytes)
{
	int fd = kt_mailbox(100, 1000, 600);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, zeroes, 600, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 401, 0));
	ASSERT_EQ(0, kt_post(fd, zeroes, 399, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 2, 0));
	ASSERT_EQ(0, kt_post(fd, zeroes, 1, 0));
	EXPECT_EQ(1000, kt_stat(fd).queued_bytes);
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 1, 0));
	/* an empty message needs no bytes */
	EXPECT_EQ(0, kt_post(fd, zeroes, 0, 0));
	ASSERT_EQ(600, kt_take(fd, NULL, zeroes, sizeof(zeroes)));
	EXPECT_EQ(400, kt_stat(fd).queued_bytes);
	ASSERT_EQ(0, kt_post(fd, zeroes, 599, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 2, 0));
	EXPECT_EQ(0, kt_post(fd, zeroes, 1, 0));
}

TEST(bounded_by_the_largest_message)
{
	int fd = kt_mailbox(2, 1000, 600);

	ASSERT_LE(0, fd);
	EXPECT_EQ(600, kt_stat(fd).message_max);
	EXPECT_REFUSED(EMSGSIZE, fd, kt_post(fd, zeroes, 601, 0));
	EXPECT_REFUSED(EMSGSIZE, fd, kt_post(fd, zeroes, 1001, 0));
	EXPECT_REFUSED(EMSGSIZE, fd, kt_post(fd, zeroes, UINT32_MAX, 0));
	EXPECT_REFUSED(EMSGSIZE, fd, kt_post(fd, zeroes, 1ull << 40, 0));
	EXPECT_EQ(0, kt_post(fd, zeroes, 600, 0));
	EXPECT_EQ(0, kt_post(fd, zeroes, 400, 0));
	/* too long is too long, full or not */
	EXPECT_REFUSED(EMSGSIZE, fd, kt_post(fd, zeroes, 601, 0));
	EXPECT_REFUSED(EMSGSIZE, fd, kt_send(fd, zeroes, 601, 0, 0, kt_soon()));
}

TEST(bounded_payloads_of_every_size_arrive_whole)
{
	static const size_t sizes[] = { 0, 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 255, 256, 257,
					511, 512, 513, 1023, 1024, 2047, 2048, 4000, 4032, 4048,
					4064, 4080, 4095, 4096, 4097, 8191, 8192, 8193, 12288,
					16384, 32768, 65535, 65536, 65537, 131072, 262145 };
	unsigned char *out = malloc(300000), *in = malloc(300000);
	int fd = kt_mailbox(4, 1 << 20, 300000);
	struct kpost_recv recv;

	ASSERT_LE(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		fill_pattern(out, sizes[i], i);
		kt_poison(in, 300000);
		ASSERT_EQ(0, kt_post(fd, out, sizes[i], 0));
		EXPECT_EQ(sizes[i], kt_stat(fd).queued_bytes);
		ASSERT_EQ(sizes[i], kt_take(fd, &recv, in, 300000));
		EXPECT_EQ(sizes[i], recv.size);
		EXPECT_TRUE(has_pattern(in, sizes[i], i)) TH_LOG("%zu bytes", sizes[i]);
		EXPECT_TRUE(kt_poisoned(in + sizes[i], 300000 - sizes[i]))
			TH_LOG("%zu bytes", sizes[i]);
	}
}

/* pieces of odd sizes on both sides, empty ones among them */
TEST(bounded_payloads_in_pieces_arrive_whole)
{
	static const size_t cuts[] = { 0, 1, 0, 6, 4000, 89, 0, 4096, 5000, 3, 0 };
	unsigned char *out = malloc(20000), *in = malloc(20000);
	struct kpost_iovec from[ARRAY_SIZE(cuts)], to[ARRAY_SIZE(cuts)];
	int fd = kt_mailbox(4, 0, 0);
	struct kpost_recv recv;
	size_t total = 0;

	ASSERT_LE(0, fd);
	kt_poison(in, 20000);
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		from[i] = (struct kpost_iovec){ (uintptr_t)out + total, cuts[i] };
		total += cuts[i];
	}
	/* the receiver's pieces are the same from the end, and more than is needed */
	for (size_t i = 0, at = 0; i < ARRAY_SIZE(cuts); i++) {
		size_t len = cuts[ARRAY_SIZE(cuts) - 1 - i] + 1;

		to[i] = (struct kpost_iovec){ (uintptr_t)in + at, len };
		at += len;
	}
	fill_pattern(out, total, 99);
	ASSERT_EQ(0, kt_send(fd, from, ARRAY_SIZE(cuts), 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_EQ(total, kt_stat(fd).queued_bytes);
	ASSERT_EQ(total, kt_recv(fd, &recv, to, ARRAY_SIZE(cuts), KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_EQ(total, recv.size);
	EXPECT_TRUE(has_pattern(in, total, 99));
	EXPECT_TRUE(kt_poisoned(in + total, 20000 - total));
}

TEST(bounded_lists_of_pieces_have_a_limit)
{
	struct kpost_iovec *iov = calloc(KPOST_IOVEC_MAX + 1, sizeof(*iov));
	unsigned char out[KPOST_IOVEC_MAX], in[KPOST_IOVEC_MAX];
	int fd = kt_mailbox(4, 0, 0);

	ASSERT_LE(0, fd);
	fill_pattern(out, sizeof(out), 5);
	for (size_t i = 0; i <= KPOST_IOVEC_MAX; i++)
		iov[i] = (struct kpost_iovec){ (uintptr_t)out + i % KPOST_IOVEC_MAX, 1 };
	EXPECT_REFUSED(EINVAL, fd, kt_send(fd, iov, KPOST_IOVEC_MAX + 1, 0,
					   KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_REFUSED(EINVAL, fd, kt_send(fd, iov, UINT64_MAX, 0,
					   KPOST_IOVEC | KPOST_DONTWAIT, 0));
	/* times 16 it is a small number again */
	EXPECT_REFUSED(EINVAL, fd, kt_send(fd, iov, 1ull << 60 | 1, 0,
					   KPOST_IOVEC | KPOST_DONTWAIT, 0));
	ASSERT_EQ(0, kt_send(fd, iov, KPOST_IOVEC_MAX, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	for (size_t i = 0; i < KPOST_IOVEC_MAX; i++)
		iov[i].base = (uintptr_t)in + i;
	EXPECT_REFUSED(EINVAL, fd, kt_recv(fd, NULL, iov, KPOST_IOVEC_MAX + 1,
					   KPOST_IOVEC | KPOST_DONTWAIT, 0));
	ASSERT_EQ(KPOST_IOVEC_MAX, kt_recv(fd, NULL, iov, KPOST_IOVEC_MAX,
					   KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_TRUE(has_pattern(in, sizeof(in), 5));
	/* none at all is an empty message */
	EXPECT_EQ(0, kt_send(fd, NULL, 0, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_EQ(0, kt_recv(fd, NULL, NULL, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
}

TEST(bounded_lengths_that_wrap_are_refused)
{
	struct kpost_iovec iov[3] = {
		{ (uintptr_t)zeroes, 1 },
		{ (uintptr_t)zeroes, UINT64_MAX },
		{ (uintptr_t)zeroes, 1 },
	};
	int fd = kt_mailbox(4, 0, 0);

	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EINVAL, fd, kt_send(fd, iov, 3, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	iov[1].len = INT64_MAX;
	EXPECT_REFUSED(EINVAL, fd, kt_send(fd, iov, 3, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	/* 2^63 + 2 + 2^63 comes round to 2 */
	iov[0].len = iov[2].len = 1ull << 63;
	iov[1].len = 2;
	EXPECT_REFUSED(EINVAL, fd, kt_send(fd, iov, 3, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	EXPECT_REFUSED(EINVAL, fd, kt_recv(fd, NULL, iov, 3, KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_EQ(1, kt_take(fd, NULL, zeroes, 1));
}

TEST(bounded_by_the_largest_payload_of_all)
{
	size_t max = KPOST_PAYLOAD_MAX;
	unsigned char *mem = mmap(NULL, 2 * max + 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *in = mem + max + 4096;
	int fd = kt_mailbox(2, 2 * max, max);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_LE(0, fd);
	for (size_t i = 0; i < max; i += 1024)
		memcpy(mem + i, &i, sizeof(i));
	EXPECT_REFUSED(EMSGSIZE, fd, kt_post(fd, mem, max + 1, 0));
	ASSERT_EQ(0, kt_post(fd, mem, max, 0));
	EXPECT_EQ(max, kt_stat(fd).queued_bytes);
	EXPECT_REFUSED(EMSGSIZE, fd, kt_take(fd, NULL, in, max - 1));
	ASSERT_EQ(max, kt_take(fd, NULL, in, max));
	EXPECT_EQ(0, memcmp(mem, in, max));
	EXPECT_EQ(-EINVAL, kt_mailbox(2, 2 * max, max + 1));
}

struct hammer {
	int fd;
	bool *stop;
};

static long hammer_on(void *arg)
{
	struct hammer *hammer = arg;
	char buf[10] = "";
	long count = 0;

	for (; !__atomic_load_n(hammer->stop, __ATOMIC_ACQUIRE); count++) {
		long ret = kt_send(hammer->fd, buf, count % 11, 0, 0, kt_in(2));

		if (ret && ret != -ETIMEDOUT)
			return ret;
	}
	return count;
}

static long drain_on(void *arg)
{
	struct hammer *hammer = arg;
	char buf[10];
	long count = 0;

	for (; !__atomic_load_n(hammer->stop, __ATOMIC_ACQUIRE); count++) {
		long ret = kt_recv(hammer->fd, NULL, buf, sizeof(buf), 0, kt_in(2));

		if (ret < 0 && ret != -ETIMEDOUT)
			return ret;
	}
	return count;
}

TEST(bounded_under_load_at_every_moment)
{
	enum { SENDERS = 3 };
	int fd = kt_mailbox(4, 25, 10);
	bool stop = false;
	struct hammer hammer = { fd, &stop };
	struct kt_job jobs[SENDERS + 1];
	unsigned int fullest = 0;
	uint64_t end = kt_soon();
	struct kpost_stat st;

	ASSERT_LE(0, fd);
	for (int i = 0; i < SENDERS; i++)
		kt_start_fn(&jobs[i], hammer_on, &hammer);
	kt_start_fn(&jobs[SENDERS], drain_on, &hammer);
	/* until it was full in one of the looks */
	for (int i = 0; i < 5000 || (fullest < 4 && kt_now() < end); i++) {
		st = kt_stat(fd);
		ASSERT_LE(st.queued_messages, 4);
		ASSERT_LE(st.queued_bytes, 25);
		ASSERT_EQ(st.sent, st.received + st.dropped + st.queued_messages);
		if (fullest < st.queued_messages)
			fullest = st.queued_messages;
	}
	EXPECT_EQ(4, fullest);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i <= SENDERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_LT(0, jobs[i].ret);
	}
}

TEST(bounded_anew_when_the_capacity_shrinks_or_grows)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = 2 };
	int fd = kt_mailbox(4, 1000, 100);

	ASSERT_LE(0, fd);
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, kt_post(fd, zeroes, 50, 0));
	}
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(4, kt_stat(fd).queued_messages);
	EXPECT_EQ(2, kt_stat(fd).messages);
	for (int left = 3; left >= 2; left--) {
		ASSERT_EQ(50, kt_take(fd, NULL, zeroes, 100));
		EXPECT_EQ(left, kt_stat(fd).queued_messages);
		EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 50, 0));
	}
	ASSERT_EQ(50, kt_take(fd, NULL, zeroes, 100));
	ASSERT_EQ(0, kt_post(fd, zeroes, 50, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 50, 0));

	attr.messages = 3;
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	ASSERT_EQ(0, kt_post(fd, zeroes, 50, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 50, 0));

	attr = (struct kpost_setattr){ .valid = KPOST_SET_MESSAGES | KPOST_SET_BYTES,
				       .messages = 10, .bytes = 160 };
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_REFUSED(EAGAIN, fd, kt_post(fd, zeroes, 11, 0));
	EXPECT_EQ(0, kt_post(fd, zeroes, 10, 0));
}

TEST(bounded_senders_that_wait_are_let_in_when_the_capacity_grows)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = 3 };
	struct kpost_send send = kt_send_args("x", 1, 0, 0, kt_soon());
	int fd = kt_mailbox(1, 0, 16);
	struct kt_job jobs[3];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	for (int i = 0; i < 3; i++)
		kt_start(&jobs[i], fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 3));
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	ASSERT_TRUE(kt_until(kt_stat(fd).queued_messages == 3));
	EXPECT_EQ(1, kt_stat(fd).waiting_senders);
	attr.messages = 4;
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
	EXPECT_EQ(4, kt_stat(fd).queued_messages);
}

TEST_HARNESS_MAIN
