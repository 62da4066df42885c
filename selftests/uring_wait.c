// SPDX-License-Identifier: GPL-2.0-only
/*
 * io_uring commands that cannot complete at once: they wait, and are ended by
 * what they wait for or by a cancellation, at each stage and in each way.
 */
#include "child_test.h"
#include "uring_test.h"

/* What a request can be waiting for when it is cancelled. */
enum stage {
	RECV,		/* for a message */
	SEND,		/* for room */
	SYNC,		/* for its receipt */
	CALL_ROOM,	/* for room */
	CALL_QUEUED,	/* for its receipt */
	CALL_RECEIVED,	/* for its reply */
};

struct request {
	union {
		struct kpost_send send;
		struct kpost_recv recv;
		struct kpost_call call;
	};
	char buf[16];
};

static struct io_uring_sqe *request_prep(struct request *req, struct io_uring *ring, int fd,
					 enum stage stage)
{
	switch (stage) {
	case RECV:
		req->recv = kt_recv_args(req->buf, sizeof(req->buf), 0, 0);
		return uring_op(ring, fd, KPOST_IOC_RECV, &req->recv, stage);
	case SEND:
	case SYNC:
		req->send = kt_send_args("parked", 6, 0, stage == SYNC ? KPOST_SYNC : 0, 0);
		return uring_op(ring, fd, KPOST_IOC_SEND, &req->send, stage);
	default:
		req->call = kt_call_args("parked", 6, req->buf, sizeof(req->buf), 0);
		return uring_op(ring, fd, KPOST_IOC_CALL, &req->call, stage);
	}
}

FIXTURE(cancelled) {
	struct io_uring ring;
	struct request req;
	int fd;			/* a mailbox of one message */
	uint64_t token;
	enum stage stage;	/* for the thread that submits */
};

FIXTURE_VARIANT(cancelled) {
	enum stage stage;
};

FIXTURE_VARIANT_ADD(cancelled, recv) { .stage = RECV };
FIXTURE_VARIANT_ADD(cancelled, send) { .stage = SEND };
FIXTURE_VARIANT_ADD(cancelled, sync_send) { .stage = SYNC };
FIXTURE_VARIANT_ADD(cancelled, call_without_room) { .stage = CALL_ROOM };
FIXTURE_VARIANT_ADD(cancelled, call_queued) { .stage = CALL_QUEUED };
FIXTURE_VARIANT_ADD(cancelled, call_received) { .stage = CALL_RECEIVED };

FIXTURE_SETUP(cancelled)
{
	ASSERT_EQ(0, uring_init(&self->ring, 8, 0));
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_LE(0, self->fd);
	if (variant->stage == SEND || variant->stage == CALL_ROOM) {
		ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
	}
}

FIXTURE_TEARDOWN(cancelled)
{
	close(self->fd);
}

/* the request, submitted by whomever, gets to its stage */
static bool arrives(FIXTURE_DATA(cancelled) *self, enum stage stage)
{
	struct kpost_recv recv;
	char buf[16];

	switch (stage) {
	case RECV:
		return kt_until(kt_stat(self->fd).waiting_receivers == 1);
	case SEND:
	case CALL_ROOM:
		return kt_until(kt_stat(self->fd).waiting_senders == 1);
	case SYNC:
	case CALL_QUEUED:
		return kt_until(kt_stat(self->fd).queued_messages == 1);
	case CALL_RECEIVED:
		if (kt_recv(self->fd, &recv, buf, sizeof(buf), 0, kt_soon()) != 6)
			return false;
		self->token = recv.token;
		return kt_stat(self->fd).open_calls == 1;
	}
	return false;
}

/* submitted from here, for a worker if it is to be one of io_uring's that is cancelled */
static bool park(FIXTURE_DATA(cancelled) *self, enum stage stage, unsigned char flags)
{
	struct io_uring_sqe *sqe = request_prep(&self->req, &self->ring, self->fd, stage);

	if (!sqe)
		return false;
	sqe->flags = flags;
	return io_uring_submit(&self->ring) == 1 && arrives(self, stage) &&
	       !uring_done(&self->ring);
}

/* nothing is left of the request, and nothing else was touched */
static void gone(struct __test_metadata *_metadata, FIXTURE_DATA(cancelled) *self,
		 enum stage stage)
{
	char buf[99];
	long ret;

	switch (stage) {
	case RECV:
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 0));
		EXPECT_EQ(0, kt_post(self->fd, "next", 4, 0));
		EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
		break;
	case SEND:
	case CALL_ROOM:
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 0));
		EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
		EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, buf, sizeof(buf)));
		EXPECT_EQ(1, kt_stat(self->fd).sent);
		break;
	case SYNC:
	case CALL_QUEUED:
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 0));
		EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, buf, sizeof(buf)));
		EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
		EXPECT_EQ(0, kt_post(self->fd, "room", 4, 0));
		EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
		break;
	case CALL_RECEIVED:
		/* too long for the caller, and so refused, until it has left */
		ASSERT_TRUE(kt_until((ret = kt_reply(self->fd, self->token, buf, 99)) !=
				     -EMSGSIZE));
		EXPECT_EQ(-ECANCELED, ret);
		EXPECT_EQ(-ENOENT, kt_reply(self->fd, self->token, "late", 4));
		EXPECT_EQ(0, kt_stat(self->fd).open_calls);
		break;
	}
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
}

/*
 * One completion for the request, -ECANCELED, and one for what cancelled it, whose
 * result says what that found where, and differs from kernel to kernel.
 */
static void is_cancelled(struct __test_metadata *_metadata, FIXTURE_DATA(cancelled) *self,
			 enum stage stage)
{
	struct uring_result result;

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		if (result.data != 99) {
			EXPECT_EQ((uint64_t)stage, result.data);
			EXPECT_EQ(-ECANCELED, result.res);
		}
	}
	gone(_metadata, self, stage);
	EXPECT_FALSE(uring_done(&self->ring)) TH_LOG("a second completion");
	io_uring_queue_exit(&self->ring);
}

TEST_F(cancelled, by_user_data)
{
	struct io_uring_sqe *sqe;

	ASSERT_TRUE(park(self, variant->stage, IOSQE_ASYNC));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, variant->stage, 0);
	sqe->user_data = 99;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	is_cancelled(_metadata, self, variant->stage);
}

TEST_F(cancelled, by_file)
{
	struct io_uring_sqe *sqe;

	ASSERT_TRUE(park(self, variant->stage, IOSQE_ASYNC));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel_fd(sqe, self->fd, IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = 99;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	is_cancelled(_metadata, self, variant->stage);
}

TEST_F(cancelled, by_cancelling_everything)
{
	struct io_uring_sqe *sqe;

	ASSERT_TRUE(park(self, variant->stage, IOSQE_ASYNC));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
	sqe->user_data = 99;
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	is_cancelled(_metadata, self, variant->stage);
}

TEST_F(cancelled, by_link_timeout)
{
	struct __kernel_timespec ts = { .tv_nsec = 200 * KT_MS };
	struct io_uring_sqe *sqe;

	sqe = request_prep(&self->req, &self->ring, self->fd, variant->stage);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &ts, 0);
	sqe->user_data = 99;
	ASSERT_EQ(2, io_uring_submit(&self->ring));
	ASSERT_TRUE(arrives(self, variant->stage));
	is_cancelled(_metadata, self, variant->stage);
}

TEST_F(cancelled, by_leaving_the_ring)
{
	ASSERT_TRUE(park(self, variant->stage, 0));
	io_uring_queue_exit(&self->ring);
	gone(_metadata, self, variant->stage);
}

/*
 * It needs no thread to wait, and ends as it would have; but nothing can be stored for it any more:
 * what it receives, or would, is not lost for others.
 */
static void goes_on(struct __test_metadata *_metadata, FIXTURE_DATA(cancelled) *self,
		    enum stage stage)
{
	struct uring_result result;
	struct kpost_recv recv;
	char buf[99];

	EXPECT_FALSE(uring_done(&self->ring));
	switch (stage) {
	case RECV:
		EXPECT_EQ(1, kt_stat(self->fd).waiting_receivers);
		EXPECT_EQ(0, kt_post(self->fd, "next", 4, 0));
		break;
	case SEND:
	case CALL_ROOM:
		EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
		EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
		break;
	default:
		break;
	}
	if (stage == SEND || stage == SYNC || stage == CALL_ROOM || stage == CALL_QUEUED) {
		EXPECT_EQ(6, kt_take(self->fd, &recv, buf, sizeof(buf)));
		self->token = recv.token;
	}
	if (stage >= CALL_ROOM)
		EXPECT_EQ(0, kt_reply(self->fd, self->token, "yes", 3));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(stage == SEND || stage == SYNC ? 0 : -ECANCELED, result.res);
	if (stage == RECV)
		EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, kt_stat(self->fd).open_calls);
}

static long park_and_leave(void *arg)
{
	FIXTURE_DATA(cancelled) *self = arg;

	/*
	 * Not before it waits: some kernels forget to tell the worker that has yet to
	 * begin, and hold up the exit until it is done.
	 */
	return io_uring_submit(&self->ring) == 1 && arrives(self, self->stage);
}

TEST_F(cancelled, by_exit_of_the_thread)
{
	struct kt_job job;

	self->stage = variant->stage;
	ASSERT_NE(NULL, request_prep(&self->req, &self->ring, self->fd, variant->stage));
	kt_start_fn(&job, park_and_leave, self);
	ASSERT_TRUE(kt_join(&job));
	ASSERT_EQ(1, job.ret);
	if (!uring_parks()) {
		gone(_metadata, self, variant->stage);
		return;
	}
	goes_on(_metadata, self, variant->stage);
}

static int park_in_child(FIXTURE_DATA(cancelled) *self, enum stage stage)
{
	struct io_uring ring;

	CHECK_EQ(0, uring_init(&ring, 8, 0));
	CHECK(request_prep(&self->req, &ring, self->fd, stage));
	CHECK_EQ(1, io_uring_submit(&ring));
	return 0;
}

TEST_F(cancelled, by_sigkill)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		if (park_in_child(self, variant->stage))
			_exit(CHILD_FAILED);
		for (;;)
			pause();
	}
	ASSERT_TRUE(arrives(self, variant->stage));
	EXPECT_LE(0, kt_kill(pid)) TH_LOG("it did not die");
	gone(_metadata, self, variant->stage);
}

TEST_F(cancelled, by_exec)
{
	int hold[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe2(hold, O_CLOEXEC));
	pid = kt_fork();
	if (pid == 0) {
		char byte;

		if (park_in_child(self, variant->stage))
			_exit(CHILD_FAILED);
		if (read(hold[0], &byte, 1) != 1 || dup2(hold[0], 0))
			_exit(CHILD_FAILED);
		execl("/bin/cat", "cat", NULL);
		_exit(CHILD_FAILED);
	}
	ASSERT_TRUE(arrives(self, variant->stage));
	ASSERT_EQ(1, write(hold[1], "x", 1));
	gone(_metadata, self, variant->stage);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG)) TH_LOG("it exited instead");
	close(hold[1]);
	EXPECT_EQ(0, kt_exit_status(pid));
}

/* ---- what ends a wait otherwise --------------------------------------------- */

FIXTURE(uring_wait) {
	struct io_uring ring;
	struct request req;
	int fd;		/* a mailbox of one message */
};

FIXTURE_SETUP(uring_wait)
{
	ASSERT_EQ(0, uring_init(&self->ring, 128, 0));
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(uring_wait)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

/*
 * Left to a worker, as all that wait are.  It needs what the entry says, which kpost copies
 * on some kernels, past the end of what is declared there.  The kernel checks copies, and the
 * run fails when it warns: of this one there is nothing to warn of.
 */
TEST_F(uring_wait, send_waits_for_room)
{
	struct uring_result result;
	char buf[16];

	ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
	request_prep(&self->req, &self->ring, self->fd, SEND);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_FALSE(uring_done(&self->ring));
	EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(0, result.res);
	EXPECT_EQ(6, kt_take(self->fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(buf, "parked", 6));
}

TEST_F(uring_wait, sync_send_waits_for_receipt)
{
	struct uring_result result;
	struct kpost_recv recv;
	char buf[16];

	request_prep(&self->req, &self->ring, self->fd, SYNC);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	EXPECT_FALSE(uring_done(&self->ring)) TH_LOG("nobody has received it");
	EXPECT_EQ(6, kt_take(self->fd, &recv, buf, sizeof(buf)));
	EXPECT_EQ(KPOST_MESSAGE_SYNC, recv.message_flags);
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(0, result.res);
}

TEST_F(uring_wait, call_waits_for_room_then_receipt_then_reply)
{
	struct uring_result result;
	struct kpost_recv recv;
	char buf[16];

	ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
	request_prep(&self->req, &self->ring, self->fd, CALL_ROOM);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
	ASSERT_EQ(6, kt_recv(self->fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_FALSE(uring_done(&self->ring));
	EXPECT_EQ(0, kt_reply(self->fd, recv.token, "done", 4));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(4, result.res);
	EXPECT_EQ(0, memcmp(self->req.buf, "done", 4));
}

TEST_F(uring_wait, deadline_ends_each_wait)
{
	uint64_t start = kt_now(), late = kt_in(100);
	struct kpost_send send = kt_send_args("late", 4, 0, 0, late);
	struct kpost_call call = kt_call_args("late", 4, NULL, 0, late);
	struct kpost_recv recv = kt_recv_args(self->req.buf, 16, 0, late);
	int empty = kt_mailbox(1, 0, 0);
	struct uring_result result;

	ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
	uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 1);
	uring_op(&self->ring, self->fd, KPOST_IOC_CALL, &call, 2);
	uring_op(&self->ring, empty, KPOST_IOC_RECV, &recv, 3);
	ASSERT_EQ(3, io_uring_submit(&self->ring));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(-ETIMEDOUT, result.res) TH_LOG("request %d", (int)result.data);
		EXPECT_LE(start + 100 * KT_MS, kt_now());
	}
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(0, kt_stat(empty).waiting_receivers);
}

/* io-wq has fewer workers than this; the rest waits in its own queue */
TEST_F(uring_wait, more_receivers_than_workers_lose_and_double_nothing)
{
	enum { COUNT = 64 };
	static struct kpost_recv recv[COUNT];
	static uint32_t buf[COUNT];
	bool seen[COUNT] = {};
	struct uring_result result;

	for (int i = 0; i < COUNT; i++) {
		recv[i] = kt_recv_args(&buf[i], sizeof(buf[i]), 0, 0);
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv[i], i));
	}
	ASSERT_EQ(COUNT, io_uring_submit(&self->ring));
	for (uint32_t i = 0; i < COUNT; i++)
		ASSERT_EQ(0, kt_send(self->fd, &i, sizeof(i), 0, 0, kt_soon()));
	for (int i = 0; i < COUNT; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		ASSERT_EQ(4, result.res);
		ASSERT_GT(COUNT, buf[result.data]);
		EXPECT_FALSE(seen[buf[result.data]]) TH_LOG("%u twice", buf[result.data]);
		seen[buf[result.data]] = true;
	}
	EXPECT_EQ(COUNT, kt_stat(self->fd).received);
}

TEST_F(uring_wait, more_senders_than_workers_lose_and_double_nothing)
{
	enum { COUNT = 64 };
	static struct kpost_send send[COUNT];
	static uint32_t buf[COUNT];
	bool seen[COUNT] = {};
	struct uring_result result;
	uint32_t value;

	for (int i = 0; i < COUNT; i++) {
		buf[i] = (uint32_t)i;
		send[i] = kt_send_args(&buf[i], sizeof(buf[i]), 0, 0, 0);
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send[i], i));
	}
	ASSERT_EQ(COUNT, io_uring_submit(&self->ring));
	for (int i = 0; i < COUNT; i++) {
		ASSERT_EQ(4, kt_recv(self->fd, NULL, &value, sizeof(value), 0, kt_soon()));
		ASSERT_GT(COUNT, value);
		EXPECT_FALSE(seen[value]) TH_LOG("%u twice", value);
		seen[value] = true;
	}
	for (int i = 0; i < COUNT; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(0, result.res);
	}
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, &value, sizeof(value)));
}

TEST_F(uring_wait, cancelling_all_of_many_leaves_none)
{
	enum { COUNT = 64 };
	static struct kpost_recv recv[COUNT];
	struct uring_result result;
	struct io_uring_sqe *sqe;
	bool seen[COUNT] = {};
	char buf[8];

	for (int i = 0; i < COUNT; i++) {
		recv[i] = kt_recv_args(self->req.buf, sizeof(self->req.buf), 0, 0);
		sqe = uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv[i], i);
		ASSERT_NE(NULL, sqe);
		sqe->flags = IOSQE_ASYNC;
	}
	ASSERT_EQ(COUNT, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers > 0));
	for (int left = COUNT, tries = 0; left;) {
		/* One that a worker is just about to begin the kernel does not find. */
		while (uring_wait_for(&self->ring, &result, tries ? 0.2 : 0) == URING_NONE) {
			ASSERT_GT(50, tries++);
			sqe = io_uring_get_sqe(&self->ring);
			io_uring_prep_cancel_fd(sqe, self->fd, IORING_ASYNC_CANCEL_ALL);
			sqe->user_data = COUNT;
			ASSERT_EQ(1, io_uring_submit(&self->ring));
		}
		if (result.data == COUNT)
			continue;
		EXPECT_EQ(-ECANCELED, result.res);
		EXPECT_FALSE(seen[result.data]) TH_LOG("%d completed twice", (int)result.data);
		seen[result.data] = true;
		left--;
	}
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
	EXPECT_EQ(0, kt_post(self->fd, "mine", 4, 0));
	EXPECT_EQ(4, kt_take(self->fd, NULL, buf, sizeof(buf)));
}

/* parked receivers fill the workers; a send of the same ring still gets through */
TEST_F(uring_wait, parked_receivers_do_not_hold_up_a_send)
{
	enum { COUNT = 64 };
	static struct kpost_recv recv[COUNT];
	struct kpost_send send = kt_send_args("through", 7, 0, 0, 0);
	struct uring_result result;

	for (int i = 0; i < COUNT; i++) {
		recv[i] = kt_recv_args(self->req.buf, sizeof(self->req.buf), 0, 0);
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_RECV, &recv[i], 1));
	}
	ASSERT_EQ(COUNT, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers > 0));
	ASSERT_NE(NULL, uring_op(&self->ring, self->fd, KPOST_IOC_SEND, &send, 2));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data == 1 ? 7 : 0, result.res);
	}
}

TEST_F(uring_wait, parked_receiver_holds_its_endpoint_open)
{
	struct uring_result result;
	int pair[2];

	ASSERT_EQ(0, kt_pair(pair, 0, 0));
	request_prep(&self->req, &self->ring, pair[0], RECV);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(pair[1]).waiting_receivers == 1));
	close(pair[0]);
	EXPECT_EQ(1, kt_stat(pair[1]).receivers);
	EXPECT_EQ(0, kt_post(pair[1], "held", 4, 0));
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(4, result.res);
	EXPECT_EQ(0, memcmp(self->req.buf, "held", 4));
	/* and no longer than it is parked */
	EXPECT_TRUE(kt_until(kt_stat(pair[1]).receivers == 0));
	EXPECT_EQ(-EPIPE, kt_post(pair[1], "gone", 4, 0));
}

TEST_F(uring_wait, closed_mailbox_ends_every_wait)
{
	struct request req[3];
	struct uring_result result;
	struct kpost_recv recv;
	char buf[16];
	int pair[2];

	/* one call received, then one message in it, one send and one call without room */
	ASSERT_EQ(0, kt_pair(pair, 1, 0));
	request_prep(&req[0], &self->ring, pair[1], CALL_RECEIVED);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(6, kt_recv(pair[0], &recv, buf, sizeof(buf), 0, kt_soon()));
	ASSERT_EQ(0, kt_post(pair[1], "full", 4, 0));
	request_prep(&req[1], &self->ring, pair[1], SEND);
	request_prep(&req[2], &self->ring, pair[1], CALL_ROOM);
	ASSERT_EQ(2, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(pair[1]).waiting_senders == 2));
	close(pair[0]);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, uring_wait(&self->ring, &result));
		EXPECT_EQ(result.data == CALL_RECEIVED ? -ECONNRESET : -EPIPE, result.res);
	}
}

TEST_HARNESS_MAIN
