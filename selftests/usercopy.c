// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies move exactly what they should, from and to exactly where it is: at any
 * address and of any length, and never where a program itself could not.
 */
#include <sys/uio.h>
#include "kpost_test.h"
#include "uring_test.h"

#define LARGE 20000
/* how far from a place that matters */
#define NEAR 9

FIXTURE(usercopy) {
	int fd;
	char *pages;		/* three of them, the last of which is not there */
	unsigned char *from, *to;
};

FIXTURE_SETUP(usercopy)
{
	self->fd = kt_mailbox(8, 4 * LARGE, LARGE);
	ASSERT_LE(0, self->fd);
	self->pages = kt_edge(PROT_READ | PROT_WRITE) - kt_page_size();
	self->from = malloc(2 * LARGE);
	self->to = malloc(2 * LARGE);
	for (int i = 0; i < 2 * LARGE; i++)
		self->from[i] = (unsigned char)(i * 37 + i / 251);
}

FIXTURE_TEARDOWN(usercopy)
{
	close(self->fd);
	free(self->from);
	free(self->to);
}

/* a system call that failed: its -errno */
#define err(call) ((call) < 0 ? -errno : 0)

/* structs that begin anywhere, and lie in two pages */
TEST_F(usercopy, usercopy_of_structs_at_any_address)
{
	char *middle = self->pages + kt_page_size(), got[8];

	for (int at = -(int)sizeof(struct kpost_recv) - NEAR; at <= NEAR; at++) {
		struct kpost_send send = kt_send_args("hello", 5, 3, KPOST_DONTWAIT |
						      KPOST_WANT_SEQUENCE, 0);
		struct kpost_recv recv = kt_recv_args(got, sizeof(got), KPOST_DONTWAIT, 0);
		char *place = middle + at;
		uint64_t sequence;

		kt_poison(self->pages, 2 * kt_page_size());
		memcpy(place, &send, sizeof(send));
		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, place)) TH_LOG("at %d", at);
		memcpy(&send, place, sizeof(send));
		sequence = send.sequence;
		EXPECT_NE(0, sequence);
		EXPECT_TRUE(kt_poisoned(place - 64, 64));
		EXPECT_TRUE(kt_poisoned(place + sizeof(send), 64));

		kt_poison(self->pages, 2 * kt_page_size());
		memcpy(place, &recv, sizeof(recv));
		ASSERT_EQ(5, kt_ioctl(self->fd, KPOST_IOC_RECV, place)) TH_LOG("at %d", at);
		memcpy(&recv, place, sizeof(recv));
		EXPECT_EQ(sequence, recv.sequence);
		EXPECT_EQ(5, recv.size);
		EXPECT_EQ(3, recv.priority);
		EXPECT_EQ((__u32)getpid(), recv.pid);
		EXPECT_EQ((uintptr_t)got, recv.buf);
		EXPECT_EQ(0, memcmp(got, "hello", 5));
		EXPECT_TRUE(kt_poisoned(place - 64, 64));
		EXPECT_TRUE(kt_poisoned(place + sizeof(recv), 64));
	}
}

/* one that cannot be written back is found before anything has happened */
TEST_F(usercopy, usercopy_back_to_what_is_half_read_only_loses_nothing)
{
	char *edge = kt_edge(PROT_READ | PROT_WRITE), got[8];
	size_t page = kt_page_size();

	ASSERT_EQ(0, kt_post(self->fd, "hello", 5, 0));
	for (int first = 0; first < 2; first++) {
		for (int at = -(int)sizeof(struct kpost_recv) + 1; at < 0; at++) {
			struct kpost_recv recv = kt_recv_args(got, sizeof(got), KPOST_DONTWAIT, 0);

			ASSERT_EQ(0, mprotect(edge - page, 2 * page, PROT_READ | PROT_WRITE));
			memcpy(edge + at, &recv, sizeof(recv));
			ASSERT_EQ(0, mprotect(first ? edge - page : edge, page, PROT_READ));
			EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_RECV, edge + at))
				TH_LOG("at %d, page %d", at, !first);
			EXPECT_EQ(0, memcmp(edge + at, &recv, sizeof(recv)));
		}
	}
	ASSERT_EQ(5, read(self->fd, got, sizeof(got)));
	EXPECT_EQ(1, kt_stat(self->fd).received);
}

/* a payload there and back, by the way that is asked for; true if just that arrived */
static bool there_and_back(int fd, const unsigned char *from, unsigned char *to, size_t size,
			   int way)
{
	struct iovec out[] = { { (void *)from, size / 3 },
			       { (void *)(from + size / 3), size - size / 3 } };
	struct iovec in[] = { { to, size / 2 }, { to + size / 2, size - size / 2 } };
	ssize_t sent, got;

	kt_poison(to - NEAR, size + 2 * NEAR);
	switch (way) {
	case 0:
		sent = kt_post(fd, from, size, 0) ?: (ssize_t)size;
		got = kt_take(fd, NULL, to, size);
		break;
	case 1:
		sent = write(fd, from, size);
		got = read(fd, to, size);
		break;
	case 2:
		sent = writev(fd, out, 2);
		got = readv(fd, in, 2);
		break;
	default:
		sent = write(fd, from, size);
		/* more room than there is payload */
		got = kt_take(fd, NULL, to, size + NEAR);
	}
	return sent == (ssize_t)size && got == (ssize_t)size && !memcmp(from, to, size) &&
	       kt_poisoned(to - NEAR, NEAR) && kt_poisoned(to + size, NEAR);
}

TEST_F(usercopy, usercopy_of_payloads_of_any_length_at_any_address)
{
	static const size_t around[] = { 0, 64, 256, 1024, 2048, 4096 - 160, 4096, 8192 - 168,
					 8192, 3 * 4096, LARGE - NEAR };
	unsigned int seed = 1, failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(around); i++) {
		for (size_t less = 0; less < 4 * NEAR; less++) {
			size_t size = around[i] + NEAR > less ? around[i] + NEAR - less : 0;
			size_t here = rand_r(&seed) % 64, there = NEAR + rand_r(&seed) % 64;

			for (int way = 0; way < 4; way++) {
				if (there_and_back(self->fd, self->from + here, self->to + there,
						   size, way))
					continue;
				TH_LOG("%zu bytes, way %d", size, way);
				failed++;
			}
		}
	}
	EXPECT_EQ(0, failed);
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
}

#define ROUNDS 700

/* calls, each of which has to be answered with bytes of one kind */
static long call_often(void *arg)
{
	const int *fd = arg;
	char answer[64];

	for (int i = 0; i < ROUNDS; i++) {
		long ret = kt_call(*fd, "ask", 3, answer, sizeof(answer), kt_soon());

		if (ret != sizeof(answer))
			return ret < 0 ? ret : -EBADMSG;
		for (size_t at = 0; at < sizeof(answer); at++) {
			if (answer[at] != 'b')
				return -EIO;
		}
	}
	return 0;
}

/* by a worker of the ring's, whose stack begins at the same place each time */
static int reply_by_worker(struct io_uring *ring, int fd, uint64_t token, const void *buf)
{
	struct kpost_reply reply = { .token = token, .buf = (uintptr_t)buf, .len = 64 };

	uring_op(ring, fd, KPOST_IOC_REPLY, &reply, 1)->flags |= IOSQE_ASYNC;
	return uring_run(ring);
}

/* a reply that stopped half way leaves nothing for the one that follows on the same stack */
TEST_F(usercopy, usercopy_of_a_reply_that_faulted_is_not_gone_on_with_by_the_next)
{
	char *edge = kt_edge(PROT_NONE), request[8], good[64];
	struct kpost_recv recv;
	struct io_uring ring;
	struct kt_job job;

	memset(edge - 32, 'a', 32);
	memset(good, 'b', sizeof(good));
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	kt_start_fn(&job, call_often, &self->fd);
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(3, kt_recv(self->fd, &recv, request, sizeof(request), 0, kt_soon()));
		ASSERT_EQ(-EFAULT, reply_by_worker(&ring, self->fd, recv.token, edge - 32));
		ASSERT_EQ(0, reply_by_worker(&ring, self->fd, recv.token, good));
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	io_uring_queue_exit(&ring);
}

/* what could not be told to the caller is a failure, and what hangs on it is not done */
TEST_F(usercopy, usercopy_of_a_reply_that_is_lost_breaks_a_chain_of_commands)
{
	char *page = kt_edge(PROT_READ | PROT_WRITE), request[8];
	struct kpost_call call = kt_call_args("ask", 3, page, 8, kt_soon());
	struct uring_result result;
	struct io_uring_sqe *sqe;
	struct kpost_recv recv;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	uring_op(&ring, self->fd, KPOST_IOC_CALL, &call, 1)->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_nop(sqe);
	sqe->user_data = 2;
	ASSERT_EQ(2, io_uring_submit(&ring));
	ASSERT_EQ(3, kt_recv(self->fd, &recv, request, sizeof(request), 0, kt_soon()));
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_NONE));
	ASSERT_EQ(0, kt_reply(self->fd, recv.token, "lost", 4));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&ring, &result));
		EXPECT_EQ(result.data == 1 ? -EFAULT : -ECANCELED, result.res);
	}
	io_uring_queue_exit(&ring);
}

/* what is the kernel's, or nobody's, is refused, whichever way it is named */
TEST_F(usercopy, usercopy_never_reaches_the_kernel)
{
	static const uint64_t places[] = {
		KT_KERNEL_ADDRESS, 0x7ffffffff000, 0x800000000000, 0xffff800000000000,
		0xffff888000000000, 0xfffffffffffff000, 0xffffffffffffff80, 0,
	};

	ASSERT_EQ(0, kt_post(self->fd, self->from, 100, 0));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct kpost_send send = kt_send_args(NULL, 100, 0, KPOST_DONTWAIT, 0);
		struct kpost_recv recv = kt_recv_args(NULL, 100, KPOST_DONTWAIT, 0);
		struct kpost_call call = { .buf = (uintptr_t)self->from, .len = 1 };
		struct kpost_iovec piece = { places[i], 100 };
		void *at = (void *)(uintptr_t)places[i];
		struct iovec vec = { at, 100 };

		send.buf = places[i];
		recv.buf = places[i];
		call.reply_buf = places[i];
		call.reply_len = 100;
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_CALL, &call));
		send = kt_send_args(&piece, 1, 0, KPOST_DONTWAIT | KPOST_IOVEC, 0);
		recv = kt_recv_args(&piece, 1, KPOST_DONTWAIT | KPOST_IOVEC, 0);
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
		EXPECT_EQ(-EFAULT, err(write(self->fd, at, 100)));
		EXPECT_EQ(-EFAULT, err(read(self->fd, at, 100)));
		EXPECT_EQ(-EFAULT, err(writev(self->fd, &vec, 1)));
		EXPECT_EQ(-EFAULT, err(readv(self->fd, &vec, 1)));
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_SEND, at));
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_RECV, at));
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_CALL, at));
	}
	/* nor from the last of one's own on */
	for (int before = 1; before < 100; before += 7) {
		struct kpost_recv recv = kt_recv_args(NULL, 100, KPOST_DONTWAIT, 0);

		recv.buf = 0x7ffffffff000 - before;
		EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	}
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(100, read(self->fd, self->to, 100));
	EXPECT_EQ(0, memcmp(self->from, self->to, 100));
}

TEST_HARNESS_MAIN
