// SPDX-License-Identifier: GPL-2.0-only
/*
 * A send that returned success is received once, one that failed never; and a
 * receive that failed has lost nothing and disturbed no order.
 */
#include <sys/uio.h>
#include "kpost_test.h"

#define SIZE 64

/* a system call that failed: its -errno */
#define err(call) ((call) < 0 ? -errno : 0)

FIXTURE(once) {
	int fd;
	char *unmapped;		/* with a page before it that is there */
	char *readonly;		/* likewise */
	char buf[256];
	struct kpost_recv recv;
};

FIXTURE_SETUP(once)
{
	self->fd = kt_mailbox(8, 4096, 512);
	ASSERT_LE(0, self->fd);
	self->unmapped = kt_edge(PROT_NONE);
	self->readonly = kt_edge(PROT_READ);
}

FIXTURE_TEARDOWN(once)
{
	close(self->fd);
}

static void post_numbers(struct __test_metadata *_metadata, int fd, int from, int to)
{
	char buf[SIZE] = "";

	for (int i = from; i <= to; i++) {
		buf[0] = (char)i;
		ASSERT_EQ(0, kt_post(fd, buf, sizeof(buf), 0));
	}
}

static void take_numbers(struct __test_metadata *_metadata, int fd, int from, int to)
{
	struct kpost_recv recv;
	char buf[SIZE];

	for (int i = from; i <= to; i++) {
		ASSERT_EQ(SIZE, kt_take(fd, &recv, buf, sizeof(buf)));
		EXPECT_EQ(i, buf[0]);
		EXPECT_EQ(i, recv.sequence);
	}
	EXPECT_EQ(-EAGAIN, kt_take(fd, &recv, buf, sizeof(buf)));
}

TEST_F(once, exactly_once_after_a_fault_in_an_unmapped_buffer)
{
	post_numbers(_metadata, self->fd, 1, 3);
	EXPECT_REFUSED(EFAULT, self->fd, kt_take(self->fd, NULL, self->unmapped, SIZE));
	EXPECT_REFUSED(EFAULT, self->fd, kt_take(self->fd, NULL, NULL, SIZE));
	take_numbers(_metadata, self->fd, 1, 3);
}

TEST_F(once, exactly_once_after_a_fault_in_a_readonly_buffer)
{
	post_numbers(_metadata, self->fd, 1, 3);
	EXPECT_REFUSED(EFAULT, self->fd, kt_take(self->fd, NULL, self->readonly, SIZE));
	EXPECT_TRUE(kt_poisoned(self->readonly, SIZE));
	take_numbers(_metadata, self->fd, 1, 3);
}

/* the copy gets a number of bytes along before it faults */
TEST_F(once, exactly_once_after_a_fault_in_a_partly_mapped_buffer)
{
	static const size_t there[] = { 1, 7, 8, 32, SIZE - 8, SIZE - 1 };

	post_numbers(_metadata, self->fd, 1, 3);
	for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
		EXPECT_REFUSED(EFAULT, self->fd, kt_take(self->fd, NULL,
							 self->unmapped - there[i], SIZE));
		EXPECT_REFUSED(EFAULT, self->fd, kt_take(self->fd, NULL,
							 self->readonly - there[i], SIZE));
	}
	/* all that the message needs is there, though not all of the buffer */
	EXPECT_EQ(SIZE, kt_take(self->fd, NULL, self->unmapped - SIZE, SIZE + 100));
	self->recv.sequence = 0;
	ASSERT_EQ(SIZE, kt_take(self->fd, &self->recv, self->buf, SIZE));
	EXPECT_EQ(2, self->recv.sequence);
}

TEST_F(once, exactly_once_after_a_fault_in_a_kernel_address)
{
	post_numbers(_metadata, self->fd, 1, 2);
	EXPECT_REFUSED(EFAULT, self->fd,
		       kt_take(self->fd, NULL, (void *)KT_KERNEL_ADDRESS, SIZE));
	EXPECT_REFUSED(EFAULT, self->fd,
		       kt_take(self->fd, NULL, (void *)(UINTPTR_MAX - 8), SIZE));
	take_numbers(_metadata, self->fd, 1, 2);
}

/* the payload can be stored, what the kernel says of it cannot */
TEST_F(once, exactly_once_after_a_fault_in_the_struct)
{
	struct kpost_recv *recv = (void *)(self->readonly + 64);

	post_numbers(_metadata, self->fd, 1, 3);
	mprotect(self->readonly, kt_page_size(), PROT_READ | PROT_WRITE);
	*recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_DONTWAIT, 0);
	mprotect(self->readonly, kt_page_size(), PROT_READ);
	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECV, recv));

	/* the struct straddles a page: its first fields can be written, its last cannot */
	mprotect(self->readonly, kt_page_size(), PROT_READ | PROT_WRITE);
	recv = (void *)(self->readonly - 48);
	*recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_DONTWAIT, 0);
	mprotect(self->readonly, kt_page_size(), PROT_READ);
	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECV, recv));
	take_numbers(_metadata, self->fd, 1, 3);
}

TEST_F(once, exactly_once_after_a_fault_in_a_list_of_pieces)
{
	struct kpost_iovec iov[3] = {
		{ (uintptr_t)self->buf, 10 },
		{ (uintptr_t)self->unmapped, 10 },
		{ (uintptr_t)self->buf + 20, 100 },
	};
	struct kpost_recv recv;

	post_numbers(_metadata, self->fd, 1, 3);
	recv = kt_recv_args(iov, 3, KPOST_DONTWAIT | KPOST_IOVEC, 0);
	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	/* the list itself: its first entry is there */
	memcpy(self->unmapped - sizeof(iov[0]), iov, sizeof(iov[0]));
	recv = kt_recv_args(self->unmapped - sizeof(iov[0]), 3, KPOST_DONTWAIT | KPOST_IOVEC, 0);
	EXPECT_REFUSED(EFAULT, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	take_numbers(_metadata, self->fd, 1, 3);
}

TEST_F(once, exactly_once_after_a_fault_in_read)
{
	struct iovec iov[2] = {
		{ self->buf, 10 },
		{ self->readonly, 100 },
	};

	post_numbers(_metadata, self->fd, 1, 3);
	EXPECT_REFUSED(EFAULT, self->fd, err(read(self->fd, self->unmapped, SIZE)));
	EXPECT_REFUSED(EFAULT, self->fd, err(read(self->fd, self->readonly - 10, SIZE)));
	EXPECT_REFUSED(EFAULT, self->fd, err(readv(self->fd, iov, 2)));
	take_numbers(_metadata, self->fd, 1, 3);
}

TEST_F(once, exactly_once_put_back_goes_before_its_priority_and_after_higher_ones)
{
	static const unsigned int want[] = { 4, 1, 2, 5, 3 };

	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 5));	/* 1 */
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 5));	/* 2 */
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));	/* 3 */
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, self->unmapped, 1));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 9));	/* 4 */
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, self->unmapped, 1));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 5));	/* 5 */
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, self->unmapped, 1));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 1));
		EXPECT_EQ(want[i], self->recv.sequence);
	}
}

TEST_F(once, exactly_once_a_receiver_that_faults_while_waiting_passes_it_to_the_next)
{
	struct kpost_recv bad = kt_recv_args(self->unmapped, SIZE, 0, kt_soon());
	struct kpost_recv good = kt_recv_args(self->buf, SIZE, 0, kt_soon());
	struct kt_job first, second;

	kt_start(&first, self->fd, KPOST_IOC_RECV, &bad);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	kt_start(&second, self->fd, KPOST_IOC_RECV, &good);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 2));
	post_numbers(_metadata, self->fd, 1, 1);
	ASSERT_TRUE(kt_join(&first));
	EXPECT_EQ(-EFAULT, first.ret);
	ASSERT_TRUE(kt_join(&second));
	ASSERT_EQ(SIZE, second.ret);
	EXPECT_EQ(1, good.sequence);
	EXPECT_EQ(1, kt_stat(self->fd).received);
}

TEST_F(once, exactly_once_a_receiver_with_too_small_a_buffer_passes_it_to_the_next)
{
	struct kpost_recv small = kt_recv_args(self->buf + 128, 3, 0, kt_soon());
	struct kpost_recv good = kt_recv_args(self->buf, SIZE, 0, kt_soon());
	struct kt_job first, second;

	kt_start(&first, self->fd, KPOST_IOC_RECV, &small);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	kt_start(&second, self->fd, KPOST_IOC_RECV, &good);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 2));
	post_numbers(_metadata, self->fd, 1, 1);
	ASSERT_TRUE(kt_join(&first));
	EXPECT_EQ(-EMSGSIZE, first.ret);
	EXPECT_EQ(SIZE, small.size);
	ASSERT_TRUE(kt_join(&second));
	ASSERT_EQ(SIZE, second.ret);
	EXPECT_EQ(1, good.sequence);
}

/* EMSGSIZE tells the size, and leaves every other byte alone */
TEST_F(once, exactly_once_a_message_that_does_not_fit_stays)
{
	struct kpost_recv want;

	post_numbers(_metadata, self->fd, 1, 2);
	for (size_t len = 0; len < SIZE; len += 21) {
		want = kt_recv_args(self->buf, len, KPOST_DONTWAIT, 0);
		want.size = SIZE;
		kt_poison(self->buf, sizeof(self->buf));
		EXPECT_REFUSED(EMSGSIZE, self->fd,
			       kt_take(self->fd, &self->recv, self->buf, len));
		EXPECT_EQ(0, memcmp(&want, &self->recv, sizeof(want)));
		EXPECT_TRUE(kt_poisoned(self->buf, sizeof(self->buf)));
	}
	EXPECT_REFUSED(EMSGSIZE, self->fd, err(read(self->fd, self->buf, SIZE - 1)));
	EXPECT_TRUE(kt_poisoned(self->buf, sizeof(self->buf)));
	take_numbers(_metadata, self->fd, 1, 2);
}

TEST_F(once, exactly_once_truncation_is_asked_for_and_told)
{
	ASSERT_EQ(0, kt_post(self->fd, "0123456789", 10, 0));
	ASSERT_EQ(0, kt_post(self->fd, "0123456789", 10, 0));
	ASSERT_EQ(0, kt_post(self->fd, "0123456789", 10, 0));

	kt_poison(self->buf, sizeof(self->buf));
	ASSERT_EQ(4, kt_recv(self->fd, &self->recv, self->buf, 4, KPOST_DONTWAIT | KPOST_TRUNCATE,
			     0));
	EXPECT_EQ(0, memcmp(self->buf, "0123", 4));
	EXPECT_TRUE(kt_poisoned(self->buf + 4, sizeof(self->buf) - 4));
	EXPECT_EQ(10, self->recv.size);
	EXPECT_EQ(KPOST_MESSAGE_TRUNCATED, self->recv.message_flags);

	ASSERT_EQ(0, kt_recv(self->fd, &self->recv, NULL, 0, KPOST_DONTWAIT | KPOST_TRUNCATE, 0));
	EXPECT_EQ(10, self->recv.size);
	EXPECT_EQ(2, self->recv.sequence);
	EXPECT_EQ(KPOST_MESSAGE_TRUNCATED, self->recv.message_flags);

	ASSERT_EQ(10, kt_recv(self->fd, &self->recv, self->buf, 10,
			      KPOST_DONTWAIT | KPOST_TRUNCATE, 0));
	EXPECT_EQ(0, self->recv.message_flags);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(3, kt_stat(self->fd).received);
}

TEST_F(once, exactly_once_a_truncating_receive_that_faults_loses_nothing)
{
	post_numbers(_metadata, self->fd, 1, 2);
	EXPECT_REFUSED(EFAULT, self->fd, kt_recv(self->fd, NULL, self->unmapped - 2, 4,
						 KPOST_DONTWAIT | KPOST_TRUNCATE, 0));
	take_numbers(_metadata, self->fd, 1, 2);
}

TEST_F(once, exactly_once_a_send_that_faults_is_never_received)
{
	struct kpost_iovec iov[2] = {
		{ (uintptr_t)self->buf, 10 },
		{ (uintptr_t)self->unmapped - 5, 6 },
	};
	struct iovec plain[2] = {
		{ self->buf, 10 },
		{ self->unmapped - 5, 6 },
	};

	EXPECT_REFUSED(EFAULT, self->fd, kt_post(self->fd, self->unmapped, 1, 0));
	EXPECT_REFUSED(EFAULT, self->fd, kt_post(self->fd, self->unmapped - 40, 41, 0));
	EXPECT_REFUSED(EFAULT, self->fd, kt_send(self->fd, iov, 2, 0,
						 KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_REFUSED(EFAULT, self->fd, kt_send(self->fd, self->unmapped - 8, 2, 0,
						 KPOST_IOVEC | KPOST_DONTWAIT, 0));
	EXPECT_REFUSED(EFAULT, self->fd, err(write(self->fd, self->unmapped - 1, 2)));
	EXPECT_REFUSED(EFAULT, self->fd, err(writev(self->fd, plain, 2)));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, kt_post(self->fd, self->readonly, 100, 0));
}

/* room is given back when the copy succeeded, not before: nobody slips in meanwhile */
TEST_F(once, exactly_once_a_put_back_message_keeps_its_room)
{
	int fd = kt_mailbox(1, 0, SIZE);
	struct kpost_send waiting = kt_send_args("2", 1, 0, 0, kt_soon());
	struct kt_job job;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "1", 1, 0));
	kt_start(&job, fd, KPOST_IOC_SEND, &waiting);
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == 1));
	for (int i = 0; i < 20; i++) {
		EXPECT_REFUSED(EFAULT, fd, kt_take(fd, NULL, self->unmapped, 1));
	}
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(1, kt_take(fd, NULL, self->buf, 1));
	EXPECT_EQ('1', self->buf[0]);
	ASSERT_EQ(1, kt_recv(fd, NULL, self->buf, 1, 0, kt_soon()));
	EXPECT_EQ('2', self->buf[0]);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_F(once, exactly_once_a_call_whose_receipt_faults_can_still_be_answered)
{
	struct kpost_call call = kt_call_args("ask", 3, self->buf, 16, kt_soon());
	struct kpost_stat before;
	struct kt_job job;
	char request[8];

	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	before = kt_stat(self->fd);
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, self->unmapped, 8));
	EXPECT_EQ(-EMSGSIZE, kt_take(self->fd, &self->recv, request, 2));
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
	ASSERT_EQ(3, kt_take(self->fd, &self->recv, request, sizeof(request)));
	EXPECT_EQ(0, kt_reply(self->fd, self->recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
	EXPECT_EQ(0, memcmp(self->buf, "yes", 3));
}

struct faulty {
	int fd;
	char *unmapped;
	bool *stop;
};

static long fault_on(void *arg)
{
	struct faulty *faulty = arg;
	long faults = 0;

	while (!__atomic_load_n(faulty->stop, __ATOMIC_ACQUIRE)) {
		long ret = kt_take(faulty->fd, NULL, faulty->unmapped - 1, SIZE);

		if (ret != -EFAULT && ret != -EAGAIN)
			return ret;
		faults += ret == -EFAULT;
	}
	return faults;
}

/* one receiver faults all the time, another receives: nothing lost, nothing doubled */
TEST_F(once, exactly_once_beside_a_receiver_that_always_faults)
{
	enum { COUNT = 1500 };
	static unsigned char seen[COUNT];
	bool stop = false;
	struct faulty faulty = { self->fd, self->unmapped, &stop };
	struct kt_job job;
	unsigned int sent = 0;

	kt_start_fn(&job, fault_on, &faulty);
	for (int received = 0; received < COUNT; received++) {
		unsigned int number[SIZE / sizeof(unsigned int)] = { sent };

		while (sent < COUNT && kt_post(self->fd, number, SIZE, 0) == 0)
			number[0] = ++sent;
		ASSERT_EQ(SIZE, kt_recv(self->fd, &self->recv, number, SIZE, 0, kt_soon()));
		ASSERT_LT(number[0], COUNT);
		ASSERT_EQ(0, seen[number[0]]++);
		ASSERT_EQ(number[0] + 1, self->recv.sequence);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_LT(0, job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(0, kt_stat(self->fd).dropped);
}

/* odd receives in every order, against what should be there; three priorities */
TEST_F(once, exactly_once_odd_receives_mixed_at_random)
{
	uint64_t head[3] = { 0 }, queue[3][64], tail[3] = { 0 }, sequence = 0;
	unsigned int random = 4711;

	for (int i = 0; i < 3000; i++) {
		char *const places[] = { self->buf, self->unmapped, self->readonly - 7,
					 self->unmapped - SIZE };
		unsigned int flags = KPOST_DONTWAIT, place;
		size_t len;
		long ret;
		int top;

		random = random * 1103515245u + 12345u;
		if (random >> 16 & 1) {
			unsigned int p = (random >> 17) % 3;

			ret = kt_post(self->fd, self->buf, SIZE, p);
			ASSERT_TRUE(ret == 0 || ret == -EAGAIN);
			if (ret == 0)
				queue[p][tail[p]++ % 64] = ++sequence;
			continue;
		}
		for (top = 2; top > 0 && head[top] == tail[top]; top--)
			;
		place = (random >> 18) % 4;
		len = (random >> 20) % 4 ? SIZE + (random >> 20) % 3 : SIZE - 10;
		if (random >> 24 & 1)
			flags |= KPOST_TRUNCATE;
		ret = kt_recv(self->fd, &self->recv, places[place], len, flags, 0);
		if (head[top] == tail[top]) {
			ASSERT_EQ(-EAGAIN, ret);
		} else if (len < SIZE && !(flags & KPOST_TRUNCATE)) {
			ASSERT_EQ(-EMSGSIZE, ret);
			ASSERT_EQ(SIZE, self->recv.size);
		} else if (place == 1 || place == 2) {
			ASSERT_EQ(-EFAULT, ret);
		} else {
			ASSERT_EQ(len < SIZE ? len : SIZE, ret);
			ASSERT_EQ(queue[top][head[top]++ % 64], self->recv.sequence);
			ASSERT_EQ(top, self->recv.priority);
		}
	}
	EXPECT_EQ(sequence, kt_stat(self->fd).sent);
	EXPECT_EQ(tail[0] + tail[1] + tail[2] - head[0] - head[1] - head[2],
		  kt_stat(self->fd).queued_messages);
}

TEST_F(once, exactly_once_every_byte_of_the_struct_is_defined)
{
	struct kpost_recv want = kt_recv_args(self->buf, sizeof(self->buf), KPOST_DONTWAIT, 0);

	ASSERT_EQ(0, kt_post(self->fd, "hello", 5, 42));
	kt_poison(self->buf, sizeof(self->buf));
	ASSERT_EQ(5, kt_take(self->fd, &self->recv, self->buf, sizeof(self->buf)));
	want.message_flags = 0;
	want.size = 5;
	want.sequence = 1;
	want.token = 0;
	want.reply_max = 0;
	want.tag = 0;
	want.badge = 0;
	want.time = self->recv.time; /* see header.c */
	want.call_deadline = 0;
	want.priority = 42;
	want.pid = getpid();
	want.uid = geteuid();
	want.gid = getegid();
	want.opener_uid = geteuid();
	want.opener_gid = getegid();
	want.missed = 0;
	want.attempts = 0;
	want.expires = 0;
	EXPECT_EQ(0, memcmp(&want, &self->recv, sizeof(want)));
	EXPECT_EQ(0, memcmp(self->buf, "hello", 5));
	EXPECT_TRUE(kt_poisoned(self->buf + 5, sizeof(self->buf) - 5));
}

TEST_HARNESS_MAIN
