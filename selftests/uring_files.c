// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways that io_uring has of naming files and memory and of running requests:
 * registered files and buffers, workers, a polling kernel thread.
 */
#include "kpost_test.h"
#include "uring_test.h"

#define AREA	8192	/* the registered buffer */

FIXTURE(uring_files) {
	struct io_uring ring;
	int fd;
	char *area;
};

FIXTURE_SETUP(uring_files)
{
	struct iovec iov;

	ASSERT_EQ(0, uring_init(&self->ring, 16, 0));
	self->fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, self->fd);
	self->area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->area);
	kt_poison(self->area, AREA);
	iov = (struct iovec){ self->area, AREA };
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, &iov, 1));
	ASSERT_EQ(0, io_uring_register_files(&self->ring, &self->fd, 1));
}

FIXTURE_TEARDOWN(uring_files)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

/* ---- registered files -------------------------------------------------------- */

TEST_F(uring_files, registered_file_takes_every_operation)
{
	struct kpost_send send = kt_send_args("fixed", 5, 0, 0, 0);
	struct kpost_recv recv;
	struct kpost_stat st;
	char buf[8];

	close(self->fd); /* only the ring has it now */
	uring_op(&self->ring, 0, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_FIXED_FILE;
	EXPECT_EQ(0, uring_run(&self->ring));
	uring_op(&self->ring, 0, KPOST_IOC_STAT, &st, 1)->flags |= IOSQE_FIXED_FILE;
	memset(&st, 0, sizeof(st));
	EXPECT_EQ(0, uring_run(&self->ring));
	EXPECT_EQ(1, st.queued_messages);
	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&self->ring, 0, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_FIXED_FILE;
	EXPECT_EQ(5, uring_run(&self->ring));
	EXPECT_EQ(0, memcmp(buf, "fixed", 5));
	self->fd = -1;
}

TEST_F(uring_files, registered_file_is_held_by_what_is_parked_on_it)
{
	struct uring_result result;
	struct kpost_recv recv;
	int pair[2];
	char buf[8];

	ASSERT_EQ(0, kt_pair(pair, 0, 0));
	ASSERT_EQ(1, io_uring_register_files_update(&self->ring, 0, &pair[0], 1));
	close(pair[0]);
	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&self->ring, 0, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_FIXED_FILE;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(pair[1]).waiting_receivers == 1));
	ASSERT_EQ(1, io_uring_register_files_update(&self->ring, 0, &(int){ -1 }, 1));
	EXPECT_EQ(0, kt_post(pair[1], "held", 4, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(4, result.res);
}

TEST_F(uring_files, parked_on_registered_file_is_cancelled_by_it)
{
	struct uring_result result;
	struct io_uring_sqe *sqe;
	struct kpost_recv recv;
	char buf[8];

	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&self->ring, 0, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_FIXED_FILE | IOSQE_ASYNC;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel_fd(sqe, 0, IORING_ASYNC_CANCEL_FD_FIXED | IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = 2;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		if (result.data == 1) {
			EXPECT_EQ(-ECANCELED, result.res);
		}
	}
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
}

/* ---- registered buffers ------------------------------------------------------ */

static int run_fixed(FIXTURE_DATA(uring_files) *self, unsigned int op, const void *arg,
		     unsigned int index)
{
	struct io_uring_sqe *sqe = uring_op(&self->ring, self->fd, op, arg, 1);

	sqe->rw_flags = IORING_URING_CMD_FIXED;
	sqe->buf_index = (uint16_t)index;
	return uring_run(&self->ring);
}

TEST_F(uring_files, registered_buffer_carries_payload_both_ways)
{
	struct kpost_send send;
	struct kpost_recv recv;

	/* across the pages' edge, and up to the very end */
	memcpy(self->area + 4090, "from a registered buffer", 24);
	send = kt_send_args(self->area + 4090, 24, 3, 0, 0);
	EXPECT_EQ(0, run_fixed(self, KPOST_IOC_SEND, &send, 0));
	recv = kt_recv_args(self->area + AREA - 24, 24, 0, 0);
	EXPECT_EQ(24, run_fixed(self, KPOST_IOC_RECV, &recv, 0));
	EXPECT_EQ(0, memcmp(self->area + AREA - 24, "from a registered buffer", 24));
	EXPECT_EQ(3, recv.priority);
	EXPECT_EQ(24, recv.size);
	EXPECT_TRUE(kt_poisoned(self->area + 4114, AREA - 24 - 4114));
	EXPECT_TRUE(kt_poisoned(self->area, 4090));
}

TEST_F(uring_files, registered_buffer_waits_in_a_worker_too)
{
	struct uring_result result;
	struct io_uring_sqe *sqe;
	struct kpost_recv recv = kt_recv_args(self->area + 100, 8, 0, 0);

	sqe = uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 1);
	sqe->rw_flags = IORING_URING_CMD_FIXED;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	EXPECT_EQ(0, kt_post(self->fd, "later", 5, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(5, result.res);
	EXPECT_EQ(0, memcmp(self->area + 100, "later", 5));
	EXPECT_TRUE(kt_poisoned(self->area, 100));
	EXPECT_TRUE(kt_poisoned(self->area + 105, AREA - 105));
}

TEST_F(uring_files, call_and_reply_from_registered_buffers)
{
	struct kpost_call call = kt_call_args(self->area, 3, NULL, 0, kt_soon());
	struct kpost_reply reply = { .buf = (uintptr_t)self->area + 64, .len = 6 };
	struct uring_result result;
	struct kpost_recv recv;
	struct io_uring_sqe *sqe;
	char buf[8], answer[8];

	memcpy(self->area, "ask", 3);
	memcpy(self->area + 64, "answer", 6);
	call.reply_buf = (uintptr_t)answer; /* never lies in a registered buffer */
	call.reply_len = sizeof(answer);
	sqe = uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 1);
	sqe->rw_flags = IORING_URING_CMD_FIXED;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(3, kt_recv(self->fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(0, memcmp(buf, "ask", 3));
	reply.token = recv.token;
	sqe = uring_op(&self->ring, self->fd, KPOST_IOC_REPLY, &reply, 2);
	sqe->rw_flags = IORING_URING_CMD_FIXED;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data == 1 ? 6 : 0, result.res);
	}
	EXPECT_EQ(0, memcmp(answer, "answer", 6));
}

TEST_F(uring_files, buffer_outside_the_registered_one_is_efault)
{
	char *outside = malloc(AREA);
	struct { char *buf; size_t len; } bad[] = {
		{ self->area - 1, 2 },
		{ self->area + AREA - 1, 2 },
		{ self->area + AREA, 1 },
		{ self->area, AREA + 1 },
		{ outside, 8 },
		{ NULL, 8 },
		{ (char *)KT_KERNEL_ADDRESS, 8 },
		{ (char *)UINTPTR_MAX - 3, 8 },
	};
	struct kpost_send send;
	struct kpost_recv recv;

	ASSERT_EQ(0, kt_post(self->fd, "k", 1, 0));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		send = kt_send_args(bad[i].buf, bad[i].len, 0, 0, 0);
		EXPECT_REFUSED(EFAULT, self->fd, run_fixed(self, KPOST_IOC_SEND, &send, 0));
		recv = kt_recv_args(bad[i].buf, bad[i].len, KPOST_DONTWAIT, 0);
		EXPECT_REFUSED(EFAULT, self->fd, run_fixed(self, KPOST_IOC_RECV, &recv, 0));
	}
	/* no such buffer */
	send = kt_send_args(self->area, 8, 0, 0, 0);
	EXPECT_REFUSED(EFAULT, self->fd, run_fixed(self, KPOST_IOC_SEND, &send, 1));
	EXPECT_TRUE(kt_poisoned(self->area, AREA));
}

TEST_F(uring_files, list_of_pieces_in_a_registered_buffer_is_einval)
{
	struct kpost_iovec piece = { (uintptr_t)self->area, 8 };
	struct kpost_send send = kt_send_args(&piece, 1, 0, KPOST_IOVEC, 0);
	struct kpost_recv recv = kt_recv_args(&piece, 1, KPOST_IOVEC | KPOST_DONTWAIT, 0);

	ASSERT_EQ(0, kt_post(self->fd, "kept", 4, 0));
	EXPECT_REFUSED(EINVAL, self->fd, run_fixed(self, KPOST_IOC_SEND, &send, 0));
	EXPECT_REFUSED(EINVAL, self->fd, run_fixed(self, KPOST_IOC_RECV, &recv, 0));
	EXPECT_TRUE(kt_poisoned(self->area, AREA));
}

/* ---- workers ------------------------------------------------------------------ */

TEST_F(uring_files, worker_does_what_is_done_inline)
{
	struct kpost_send send = kt_send_args("async", 5, 9, KPOST_DONTWAIT, 0);
	char buf[8];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	struct kpost_reply reply = { .token = 1 };

	uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(0, uring_run(&self->ring));
	uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(5, uring_run(&self->ring));
	EXPECT_EQ(9, recv.priority);
	EXPECT_EQ(1, recv.sequence);
	EXPECT_EQ(getpid(), (pid_t)recv.pid);
	uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(-EAGAIN, uring_run(&self->ring));
	uring_op(&self->ring, self->fd, KPOST_IOC_REPLY, &reply, 1)->flags |= IOSQE_ASYNC;
	EXPECT_EQ(-ENOENT, uring_run(&self->ring));
}

TEST_F(uring_files, worker_keeps_chains_whole_and_in_order)
{
	static struct kpost_send send[16];
	static int value[16];
	struct uring_result result;
	int got;

	for (int i = 0; i < 16; i++) {
		value[i] = i;
		send[i] = kt_send_args(&value[i], sizeof(int), 0, 0, 0);
		uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send[i], i)->flags |=
			i < 15 ? IOSQE_ASYNC | IOSQE_IO_LINK : IOSQE_ASYNC;
	}
	ASSERT_EQ(16, io_uring_submit(&self->ring));
	for (int i = 0; i < 16; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(0, result.res);
		ASSERT_EQ(4, kt_recv(self->fd, NULL, &got, sizeof(got), 0, kt_soon()));
		EXPECT_EQ(i, got);
	}
}

/* a chain of sends into a mailbox of one: each waits for the one before it */
TEST_F(uring_files, chain_of_parked_sends_keeps_its_order)
{
	static struct kpost_send send[12];
	static int value[12];
	int fd = kt_mailbox(1, 0, 0), got;
	struct uring_result result;

	for (int i = 0; i < 12; i++) {
		value[i] = i;
		send[i] = kt_send_args(&value[i], sizeof(int), 0, 0, 0);
		uring_op(&self->ring, fd, KPOST_IOC_SEND, &send[i], i)->flags |=
			i < 11 ? IOSQE_IO_LINK : 0;
	}
	ASSERT_EQ(12, io_uring_submit(&self->ring));
	for (int i = 0; i < 12; i++) {
		ASSERT_EQ(4, kt_recv(fd, NULL, &got, sizeof(got), 0, kt_soon()));
		EXPECT_EQ(i, got);
	}
	for (int i = 0; i < 12; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ((uint64_t)i, result.data);
		EXPECT_EQ(0, result.res);
	}
}

/* ---- a kernel thread that polls the ring ------------------------------------- */

TEST_F(uring_files, polling_thread_sends_receives_and_parks)
{
	struct kpost_send send = kt_send_args("polled", 6, 0, 0, 0);
	struct uring_result result;
	struct kpost_recv recv;
	struct io_uring ring;
	char buf[8];

	ASSERT_EQ(0, uring_init(&ring, 8, IORING_SETUP_SQPOLL));
	EXPECT_EQ(0, uring_do(&ring, self->fd, KPOST_IOC_SEND, &send));
	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	EXPECT_EQ(6, uring_do(&ring, self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, memcmp(buf, "polled", 6));
	EXPECT_EQ(getpid(), (pid_t)recv.pid);
	recv = kt_recv_args(buf, sizeof(buf), KPOST_DONTWAIT, 0);
	EXPECT_EQ(-EAGAIN, uring_do(&ring, self->fd, KPOST_IOC_RECV, &recv));

	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv, 1);
	ASSERT_LE(0, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	EXPECT_EQ(0, kt_post(self->fd, "waited", 6, 0));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(6, result.res);

	/* and what is parked goes with the ring */
	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv, 1);
	ASSERT_LE(0, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	io_uring_queue_exit(&ring);
	EXPECT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 0));
}

/*
 * All workers are busy, so that what is submitted next waits to be looked at
 * again; by then its entry in the ring serves another request.
 */
TEST_F(uring_files, entry_reused_while_its_request_waits_is_not_looked_at_again)
{
	enum { BUSY = 64 };
	static struct kpost_recv recv[BUSY];
	struct kpost_send send = kt_send_args("right", 5, 0, KPOST_SYNC, 0);
	struct kpost_send wrong = kt_send_args("wrong", 5, 0, KPOST_SYNC, 0);
	int busy = kt_mailbox(0, 0, 0);
	struct uring_result result;
	struct io_uring ring;
	char buf[8], sink[8];

	ASSERT_EQ(0, uring_init(&ring, BUSY, 0));
	for (int i = 0; i < BUSY; i++) {
		recv[i] = kt_recv_args(sink, sizeof(sink), 0, 0);
		uring_op(&ring, busy, KPOST_IOC_RECV, &recv[i], 1);
	}
	ASSERT_EQ(BUSY, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(busy).waiting_receivers > 0));
	uring_op(&ring, self->fd, KPOST_IOC_SEND, &send, 2);
	ASSERT_EQ(1, io_uring_submit(&ring));
	for (int i = 0; i < BUSY; i++) {
		struct kpost_uring cmd = { .arg = (uintptr_t)&wrong };

		memcpy(ring.sq.sqes[i].cmd, &cmd, sizeof(cmd));
	}
	for (int i = 0; i < BUSY; i++) {
		ASSERT_EQ(0, kt_post(busy, "x", 1, 0));
	}
	EXPECT_EQ(5, kt_recv(self->fd, NULL, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(0, memcmp(buf, "right", 5)) TH_LOG("sent '%.5s'", buf);
	for (int i = 0; i <= BUSY; i++) {
		ASSERT_EQ(0, uring_wait(&ring, &result));
		ASSERT_EQ(result.data == 1 ? 1 : 0, result.res);
	}
	io_uring_queue_exit(&ring);
}

/* what is linked behind a request that waits, where the entry is taken at once */
TEST_F(uring_files, entry_of_an_async_link_is_not_looked_at_when_its_turn_comes)
{
	struct kpost_send send = kt_send_args("right", 5, 0, 0, 0);
	struct kpost_send wrong = kt_send_args("wrong", 5, 0, 0, 0);
	struct kpost_uring cmd = { .arg = (uintptr_t)&wrong };
	int gate = kt_mailbox(0, 0, 0);
	struct uring_result result;
	struct io_uring_sqe *sqe;
	struct kpost_recv recv;
	char buf[8];

	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	uring_op(&self->ring, gate, KPOST_IOC_RECV, &recv, 1)->flags |= IOSQE_IO_LINK;
	sqe = uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 2);
	sqe->flags |= IOSQE_ASYNC;
	ASSERT_EQ(2, io_uring_submit(&self->ring));
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	ASSERT_EQ(0, kt_post(gate, "go", 2, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data == 1 ? 2 : 0, result.res);
	}
	ASSERT_EQ(5, kt_take(self->fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(buf, "right", 5)) TH_LOG("sent '%.5s'", buf);
	close(gate);
}

struct vandal {
	struct io_uring *ring;
	struct kpost_send *sends;	/* two, both good */
	bool stop;
};

/* rewrite every entry of the ring and what it points to, over and over */
static long vandalise(void *arg)
{
	struct vandal *vandal = arg;

	for (unsigned int n = 0; !__atomic_load_n(&vandal->stop, __ATOMIC_RELAXED); n++) {
		struct io_uring_sqe *sqe = &vandal->ring->sq.sqes[n % 8];
		volatile struct kpost_uring *cmd = (void *)sqe->cmd;
		volatile struct kpost_send *send = &vandal->sends[n / 16 % 2];

		cmd->arg = (uintptr_t)&vandal->sends[n / 8 % 2];
		cmd->reserved = n % 3 == 0;
		*(volatile uint32_t *)&sqe->cmd_op = n % 5 ? KPOST_IOC_SEND : KPOST_IOC_INFO;
		send->len = n % 7 ? 64 : 16;
		/* too great; in one byte only, since a copy may go by bytes and meet both */
		send->priority = n % 11 ? 5 : 5 + 2 * (KPOST_PRIORITY_MAX + 1);
	}
	return 0;
}

TEST_F(uring_files, entry_is_shared_memory_and_read_once_if_rewritten)
{
	static char payload[2][64];
	struct kpost_send sends[2];
	struct vandal vandal;
	struct uring_result result;
	struct kpost_recv recv;
	struct io_uring ring;
	struct kt_job job;
	int bad = 0;
	char buf[128];
	long len;

	memset(payload[0], 'a', 64);
	memset(payload[1], 'b', 64);
	for (int i = 0; i < 2; i++)
		sends[i] = kt_send_args(payload[i], 64, 5, 0, 0);
	ASSERT_EQ(0, uring_init(&ring, 8, IORING_SETUP_SQPOLL));
	vandal = (struct vandal){ .ring = &ring, .sends = sends };
	kt_start_fn(&job, vandalise, &vandal);
	for (int i = 0; i < 5000 && bad < 100; i++) {
		uring_op(&ring, self->fd, KPOST_IOC_SEND, &sends[i % 2], i);
		ASSERT_LE(0, io_uring_submit(&ring));
		ASSERT_EQ(0, uring_wait(&ring, &result));
		ASSERT_EQ((uint64_t)i, result.data);
		len = kt_take(self->fd, &recv, buf, sizeof(buf));
		if (result.res) {
			/* what was refused was not sent */
			ASSERT_TRUE(result.res == -EINVAL || result.res == -ENOTTY)
				TH_LOG("result %d", result.res);
			ASSERT_EQ(-EAGAIN, len) TH_LOG("refused with %d, and sent", result.res);
			bad++;
			continue;
		}
		/* and what was sent is whole, and one of the two */
		ASSERT_TRUE(len == 64 || len == 16) TH_LOG("%ld bytes", len);
		ASSERT_EQ(5, recv.priority);
		ASSERT_TRUE(!memcmp(buf, payload[0], (size_t)len) ||
			    !memcmp(buf, payload[1], (size_t)len));
	}
	__atomic_store_n(&vandal.stop, true, __ATOMIC_RELAXED);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, &recv, buf, sizeof(buf)));
	io_uring_queue_exit(&ring);
}

TEST_HARNESS_MAIN
