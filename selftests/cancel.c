// SPDX-License-Identifier: GPL-2.0-only
/*
 * A wait is ended by its cookie, by another thread of its process and by nobody else, and leaves
 * what one leaves whose deadline has passed.
 */
#include <kpost.h>
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

#define COOKIE 0xfeedf00d12345678ull

enum kind {
	RECV, RECVV, REPLY_RECV, SEND, SYNC, SENDV, CALL, CALL_RECEIVED, SUBMIT, COLLECT,
	COLLECT_ANY, OPEN,
};

FIXTURE(cancel) {
	int fd;			/* of a mailbox with room for one message */
	int other;		/* likewise, which no wait is through */
	struct io_uring ring;
	struct kt_job job;
	struct kpost_stat before;
	unsigned long op;
	void *arg;
	bool open;		/* it waits on the device */
	char buf[64];
	struct kpost_recv recv;
	struct kpost_send send;
	struct kpost_send entries[2];
	struct kpost_batch batch;
	struct kpost_reply reply;
	struct kpost_reply_recv reply_recv;
	struct kpost_call call;
	struct kpost_call_submit submit;
	struct kpost_call_collect collect;
	struct kpost_open opening;
};

FIXTURE_VARIANT(cancel) {
	enum kind kind;
	bool by_ring;
};

FIXTURE_VARIANT_ADD(cancel, recv) { .kind = RECV };
FIXTURE_VARIANT_ADD(cancel, recv_in_a_ring) { .kind = RECV, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, recvv) { .kind = RECVV };
FIXTURE_VARIANT_ADD(cancel, recvv_in_a_ring) { .kind = RECVV, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, reply_recv) { .kind = REPLY_RECV };
FIXTURE_VARIANT_ADD(cancel, reply_recv_in_a_ring) { .kind = REPLY_RECV, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, send) { .kind = SEND };
FIXTURE_VARIANT_ADD(cancel, send_in_a_ring) { .kind = SEND, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, sync) { .kind = SYNC };
FIXTURE_VARIANT_ADD(cancel, sync_in_a_ring) { .kind = SYNC, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, sendv) { .kind = SENDV };
FIXTURE_VARIANT_ADD(cancel, sendv_in_a_ring) { .kind = SENDV, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, call) { .kind = CALL };
FIXTURE_VARIANT_ADD(cancel, call_in_a_ring) { .kind = CALL, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, received_call) { .kind = CALL_RECEIVED };
FIXTURE_VARIANT_ADD(cancel, received_call_in_a_ring) { .kind = CALL_RECEIVED, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, submit) { .kind = SUBMIT };
FIXTURE_VARIANT_ADD(cancel, submit_in_a_ring) { .kind = SUBMIT, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, collect) { .kind = COLLECT };
FIXTURE_VARIANT_ADD(cancel, collect_in_a_ring) { .kind = COLLECT, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, collect_any) { .kind = COLLECT_ANY };
FIXTURE_VARIANT_ADD(cancel, collect_any_in_a_ring) { .kind = COLLECT_ANY, .by_ring = true };
FIXTURE_VARIANT_ADD(cancel, open) { .kind = OPEN };

FIXTURE_SETUP(cancel)
{
	self->fd = kt_mailbox(1, 0, 16);
	ASSERT_LE(0, self->fd);
	self->other = kt_grant(self->fd, KT_ALL);
	ASSERT_LE(0, self->other);
	ASSERT_EQ(0, uring_init(&self->ring, 8, 0));
}

FIXTURE_TEARDOWN(cancel)
{
	io_uring_queue_exit(&self->ring);
	close(self->other);
	close(self->fd);
}

static long cancel(int fd, uint64_t cookie)
{
	struct kpost_cancel args = { .cookie = cookie };

	return kt_ioctl(fd, KPOST_IOC_CANCEL, &args);
}

/* What waits may be about to. */
static long cancel_soon(int fd, uint64_t cookie)
{
	long ret;

	return kt_until((ret = cancel(fd, cookie)) != (cookie ? -ENOENT : 0)) ? ret : -ETIME;
}

static int through(const FIXTURE_DATA(cancel) *self)
{
	return self->open ? kt_device() : self->fd;
}

/* What waits for @deadline if it does not, with @cookie. */
static void prepare(struct __test_metadata *_metadata, FIXTURE_DATA(cancel) *self, enum kind kind,
		    uint64_t cookie)
{
	uint64_t id = 0;

	self->recv = kt_recv_args(self->buf, sizeof(self->buf), 0, kt_soon());
	self->send = kt_send_args("late", 4, 0, 0, kt_soon());
	self->call = kt_call_args("ask", 3, self->buf, sizeof(self->buf), kt_soon());
	self->recv.cookie = cookie;
	self->send.cookie = cookie;
	self->call.cookie = cookie;
	self->batch = (struct kpost_batch){ .count = 2, .deadline = kt_soon(), .cookie = cookie };
	self->open = kind == OPEN;
	switch (kind) {
	case RECV:
		self->op = KPOST_IOC_RECV;
		self->arg = &self->recv;
		break;
	case RECVV:
		self->recv.deadline = 0;
		self->recv.cookie = 0;
		self->batch.count = 1;
		self->batch.entries = (uintptr_t)&self->recv;
		self->batch.entry_size = sizeof(self->recv);
		self->op = KPOST_IOC_RECVV;
		self->arg = &self->batch;
		break;
	case REPLY_RECV:
		self->reply_recv = (struct kpost_reply_recv){
			.reply = (uintptr_t)&self->reply, .reply_size = sizeof(self->reply),
			.recv = (uintptr_t)&self->recv, .recv_size = sizeof(self->recv),
		};
		self->op = KPOST_IOC_REPLY_RECV;
		self->arg = &self->reply_recv;
		break;
	case SEND:
		ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
		self->op = KPOST_IOC_SEND;
		self->arg = &self->send;
		break;
	case SYNC:
		self->send.flags = KPOST_SYNC;
		self->op = KPOST_IOC_SEND;
		self->arg = &self->send;
		break;
	case SENDV:
		for (int i = 0; i < 2; i++)
			self->entries[i] = kt_send_args("many", 4, 0, 0, 0);
		self->batch.entries = (uintptr_t)self->entries;
		self->batch.entry_size = sizeof(*self->entries);
		self->op = KPOST_IOC_SENDV;
		self->arg = &self->batch;
		break;
	case CALL:
	case CALL_RECEIVED:
		self->op = KPOST_IOC_CALL;
		self->arg = &self->call;
		break;
	case SUBMIT:
		ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
		self->submit = kt_submit_args("ask", 3, 8, 0, 0, kt_soon());
		self->submit.cookie = cookie;
		self->op = KPOST_IOC_CALL_SUBMIT;
		self->arg = &self->submit;
		break;
	case COLLECT:
	case COLLECT_ANY:
		ASSERT_EQ(0, kt_submit(self->fd, "ask", 3, 8, 0, &id));
		self->collect = kt_collect_args(self->buf, sizeof(self->buf),
						kind == COLLECT ? id : 0, 0, kt_soon());
		self->collect.cookie = cookie;
		self->op = KPOST_IOC_CALL_COLLECT;
		self->arg = &self->collect;
		break;
	case OPEN:
		self->opening = kt_open_args("nobody makes it", KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
		self->opening.deadline = kt_soon();
		self->opening.cookie = cookie;
		self->op = KPOST_IOC_OPEN;
		self->arg = &self->opening;
		break;
	}
	self->before = kt_stat(self->fd);
}

#define start(cookie) do {							\
	prepare(_metadata, self, variant->kind, cookie);			\
	if (variant->by_ring) {							\
		ASSERT_NE(NULL, uring_op(&self->ring, self->fd, self->op, self->arg, 1)); \
		ASSERT_EQ(1, io_uring_submit(&self->ring));			\
	} else {								\
		kt_start(&self->job, through(self), self->op, self->arg);	\
	}									\
	if (variant->kind == CALL_RECEIVED)					\
		ASSERT_EQ(3, kt_recv(self->fd, &self->recv, self->buf, sizeof(self->buf), 0, \
				     kt_soon()));				\
} while (0)

static long ended(FIXTURE_DATA(cancel) *self, bool by_ring)
{
	struct uring_result result;

	if (by_ring)
		return uring_wait(&self->ring, &result) ? -ETIME : result.res;
	return kt_join(&self->job) ? self->job.ret : -ETIME;
}

/* It has left what one that timed out leaves. */
static void expect_cancelled(struct __test_metadata *_metadata, FIXTURE_DATA(cancel) *self,
			     enum kind kind, bool by_ring)
{
	struct kpost_stat now;

	if (kind == SENDV) {
		EXPECT_EQ(1, ended(self, by_ring));
		EXPECT_EQ(-ECANCELED, self->batch.error);
		EXPECT_EQ(4, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	} else {
		EXPECT_EQ(-ECANCELED, ended(self, by_ring));
	}
	now = kt_stat(self->fd);
	EXPECT_EQ(0, now.waiting_receivers);
	EXPECT_EQ(0, now.waiting_senders);
	EXPECT_EQ(self->before.queued_messages, now.queued_messages);
	EXPECT_EQ(kind == CALL_RECEIVED ? 1 : 0, now.open_calls);
	if (kind == CALL_RECEIVED) {
		EXPECT_EQ(0, self->call.id);
		EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->call.message_flags);
		EXPECT_EQ(-ECANCELED, kt_reply(self->fd, self->recv.token, "yes", 3));
	}
	if (kind == COLLECT || kind == COLLECT_ANY) {
		/* The call itself goes on. */
		ASSERT_EQ(3, kt_take(self->fd, &self->recv, self->buf, sizeof(self->buf)));
		ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "yes", 3));
		EXPECT_EQ(3, kt_collect(self->fd, NULL, self->buf, sizeof(self->buf), 0));
	}
}

TEST_F(cancel, cancel_by_cookie_ends_the_wait_and_undoes_it)
{
	start(COOKIE);
	EXPECT_EQ(1, cancel_soon(through(self), COOKIE));
	expect_cancelled(_metadata, self, variant->kind, variant->by_ring);
	EXPECT_EQ(-ENOENT, cancel(through(self), COOKIE));
	EXPECT_EQ(0, cancel(through(self), 0));
}

TEST_F(cancel, cancel_of_all_ends_the_wait_and_undoes_it)
{
	start(COOKIE);
	EXPECT_EQ(1, cancel_soon(through(self), 0));
	expect_cancelled(_metadata, self, variant->kind, variant->by_ring);
}

static int cancels_its_own(void *arg)
{
	const int *fds = arg;

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(-ENOENT, cancel(fds[i], COOKIE));
		CHECK_EQ(0, cancel(fds[i], 0));
	}
	return 0;
}

TEST_F(cancel, cancel_does_not_reach_another_cookie_endpoint_or_process)
{
	static const uint64_t others[] = { COOKIE + 1, COOKIE - 1, (uint32_t)COOKIE,
					   COOKIE & ~(uint64_t)UINT32_MAX, 1, UINT64_MAX };
	int fds[2] = { through(self), self->fd };

	start(COOKIE);
	fds[0] = through(self);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			ASSERT_EQ(-ENOENT, cancel(through(self), others[i]));
		ASSERT_EQ(-ENOENT, cancel(self->other, COOKIE));
		ASSERT_EQ(0, cancel(self->other, 0));
		ASSERT_EQ(-ENOENT, cancel(self->open ? self->fd : kt_device(), COOKIE));
		ASSERT_EQ(0, cancel(self->open ? self->fd : kt_device(), 0));
		if (!round)
			ASSERT_EQ(0, child_run(cancels_its_own, fds));
		kt_pause();
	}
	EXPECT_EQ(1, cancel_soon(through(self), COOKIE));
	expect_cancelled(_metadata, self, variant->kind, variant->by_ring);
}

/* in a ring it is found with all others there; a thread's is nobody's business */
TEST_F(cancel, cancel_of_all_spares_a_thread_without_a_cookie)
{
	start(0);
	if (!variant->by_ring) {
		ASSERT_TRUE(kt_until(kt_asleep(self->job.tid)));
		EXPECT_EQ(0, cancel(through(self), 0));
		EXPECT_FALSE(kt_done(&self->job));
		/* the process ends with the thread in it */
		return;
	}
	EXPECT_EQ(1, cancel_soon(through(self), 0));
	expect_cancelled(_metadata, self, variant->kind, true);
}

static void handler(int sig)
{
	(void)sig;
}

/* a signal that comes with it does not have the operation done anew, and wait for ever */
TEST_F(cancel, cancel_is_not_lost_to_a_signal_that_restarts)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };

	ASSERT_EQ(0, sigaction(SIGUSR2, &action, NULL));
	/* of a ring: the thread that has submitted it */
	self->job.tid = (pid_t)syscall(SYS_gettid);
	start(COOKIE);
	/* a signal ends a batch of which something was done */
	for (int i = 0; i < 50 && variant->kind != SENDV; i++) {
		kt_signal(&self->job, SIGUSR2);
		if (i % 7 == 0)
			kt_pause();
	}
	EXPECT_EQ(1, cancel_soon(through(self), COOKIE));
	kt_signal(&self->job, SIGUSR2);
	expect_cancelled(_metadata, self, variant->kind, variant->by_ring);
}

/* ---- that have no kinds ---------------------------------------------------------------- */

static long cancels(void *arg)
{
	return cancel(*(int *)arg, COOKIE);
}

TEST(cancel_and_a_message_at_once_lose_neither)
{
	struct kpost_recv recv;
	unsigned int received = 0;
	int fd = kt_mailbox(4, 0, 16);
	struct kt_job job, canceller;
	char c, first;

	ASSERT_LE(0, fd);
	for (int round = 0; round < 400; round++) {
		recv = kt_recv_args(&c, 1, 0, kt_soon());
		recv.cookie = COOKIE;
		kt_start(&job, fd, KPOST_IOC_RECV, &recv);
		if (round % 4)
			ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
		kt_start_fn(&canceller, cancels, &fd);
		for (int i = round % 8; i; i--)
			sched_yield();
		ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
		ASSERT_TRUE(kt_join(&canceller));
		ASSERT_TRUE(kt_join(&job));
		if (job.ret == 1) {
			received++;
			ASSERT_EQ(-EAGAIN, kt_take(fd, NULL, &first, 1));
		} else {
			ASSERT_EQ(-ECANCELED, job.ret);
			ASSERT_EQ(1, kt_take(fd, NULL, &first, 1));
		}
	}
	TH_LOG("%u of 400 were received", received);
	close(fd);
}

static long takes_all(void *arg)
{
	int fd = *(int *)arg;
	long count = 0;
	char c;

	while (kt_recv(fd, NULL, &c, 1, 0, kt_soon()) == 1 && c != 'e')
		count++;
	return count;
}

/* while an entry of it is let in: it does not go on with the next */
TEST(cancel_of_a_batch_ends_all_of_it)
{
	enum { ENTRIES = 600 };
	static struct kpost_send entries[ENTRIES];
	struct kt_job sender, receiver;
	struct kpost_batch batch;
	long found, taken = 0;
	int fd = kt_mailbox(1, 0, 1);

	ASSERT_LE(0, fd);
	for (int i = 0; i < ENTRIES; i++)
		entries[i] = kt_send_args("m", 1, 0, 0, 0);
	for (int round = 0; round < 20; round++) {
		batch = (struct kpost_batch){
			.entries = (uintptr_t)entries, .count = ENTRIES, .deadline = kt_soon(),
			.entry_size = sizeof(*entries), .cookie = COOKIE,
		};
		kt_start_fn(&receiver, takes_all, &fd);
		kt_start(&sender, fd, KPOST_IOC_SENDV, &batch);
		/* once is enough, however many of its entries wait */
		ASSERT_TRUE(kt_until((found = cancel(fd, COOKIE)) == 1 || kt_done(&sender)));
		ASSERT_TRUE(kt_join(&sender));
		if (found == 1 && sender.ret < ENTRIES)
			EXPECT_EQ(sender.ret > 0 ? -ECANCELED : 0, batch.error);
		taken = sender.ret == -ECANCELED ? 0 : sender.ret;
		ASSERT_LE(0, taken);
		ASSERT_EQ(0, kt_send(fd, "e", 1, 0, 0, kt_soon()));
		ASSERT_TRUE(kt_join(&receiver));
		EXPECT_EQ(taken, receiver.ret);
	}
	close(fd);
}

/* many with one cookie, many with others, and those that begin meanwhile */
TEST(cancel_ends_as_many_as_there_are)
{
	enum { EACH = 40 };
	unsigned int workers[2] = { 2 * EACH, 2 * EACH };
	struct kpost_recv recv[2 * EACH];
	struct uring_result result;
	struct io_uring ring;
	char c[2 * EACH];
	int fd = kt_mailbox(4, 0, 16);
	long count = 0;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_init(&ring, 2 * EACH, 0));
	ASSERT_EQ(0, io_uring_register_iowq_max_workers(&ring, workers));
	for (int i = 0; i < 2 * EACH; i++) {
		recv[i] = kt_recv_args(&c[i], 1, 0, 0);
		recv[i].cookie = i % 2 ? COOKIE : (uint64_t)i;
		ASSERT_NE(NULL, uring_op(&ring, fd, KPOST_IOC_RECV, &recv[i], (uint64_t)i));
	}
	ASSERT_EQ(2 * EACH, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 2 * EACH))
		TH_LOG("%u wait", kt_stat(fd).waiting_receivers);
	ASSERT_TRUE(kt_until((count += cancel(fd, COOKIE) > 0 ? 1 : 0) &&
			     kt_stat(fd).waiting_receivers <= EACH));
	for (int i = 0; i < EACH; i++) {
		ASSERT_EQ(0, uring_wait(&ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
		EXPECT_EQ(1, result.data % 2);
	}
	EXPECT_EQ(-ENOENT, cancel(fd, COOKIE));
	EXPECT_EQ(1, cancel_soon(fd, 2 * EACH - 2));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(2 * EACH - 2, result.data);
	count = 0;
	ASSERT_TRUE(kt_until((count += cancel(fd, 0)) == EACH - 1));
	for (int i = 0; i < EACH - 1; i++) {
		ASSERT_EQ(0, uring_wait(&ring, &result));
		EXPECT_EQ(-ECANCELED, result.res);
	}
	io_uring_queue_exit(&ring);
	close(fd);
}

TEST(cancel_is_a_command_of_io_uring_too)
{
	struct kpost_cancel args = { .cookie = COOKIE };
	struct kpost_recv recv;
	struct io_uring ring;
	struct kt_job job;
	int fd = kt_mailbox(1, 0, 16);
	char c;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	recv = kt_recv_args(&c, 1, 0, kt_soon());
	recv.cookie = COOKIE;
	EXPECT_EQ(-ENOENT, uring_do(&ring, fd, KPOST_IOC_CANCEL, &args));
	kt_start(&job, fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(uring_do(&ring, fd, KPOST_IOC_CANCEL, &args) == 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ECANCELED, job.ret);
	io_uring_queue_exit(&ring);
	close(fd);
}

struct stopping {
	int fd;
	bool stop;
};

static long receives_until_it_is_stopped(void *arg)
{
	struct stopping *stopping = arg;
	char buf[16];
	long ret = 0;

	kpost_thread_cookie(COOKIE);
	while (!__atomic_load_n(&stopping->stop, __ATOMIC_ACQUIRE))
		ret = kpost_recv(stopping->fd, buf, sizeof(buf), NULL, 0, 0);
	return ret;
}

/* as the library's manual says that it is done */
TEST(cancel_stops_a_thread_whatever_it_is_about_to_do)
{
	struct stopping stopping;
	struct kt_job job;
	int fd = kt_mailbox(1, 0, 16);

	ASSERT_LE(0, fd);
	for (int round = 0; round < 200; round++) {
		stopping = (struct stopping){ .fd = fd };
		kt_start_fn(&job, receives_until_it_is_stopped, &stopping);
		if (round % 2)
			ASSERT_TRUE(kt_until(kt_stat(fd).waiting_receivers == 1));
		__atomic_store_n(&stopping.stop, true, __ATOMIC_RELEASE);
		ASSERT_TRUE(kt_until(kpost_cancel(fd, COOKIE) == 1 || kt_done(&job)));
		ASSERT_TRUE(kt_join(&job));
		ASSERT_TRUE(job.ret == -ECANCELED || (job.ret == 0 && round % 2 == 0));
	}
	close(fd);
}

TEST(cancel_refuses_what_it_does_not_know)
{
	const struct kpost_cancel bad[] = {
		{ .flags = 1 }, { .flags = 1u << 31 }, { .reserved = 1 },
		{ .cookie = COOKIE, .reserved = 1u << 31 },
	};
	int fds[] = { kt_device(), kt_mailbox(1, 0, 16), -1 };

	fds[2] = kt_grant(fds[1], KPOST_RIGHT_SEND);
	for (size_t f = 0; f < ARRAY_SIZE(fds); f++) {
		ASSERT_LE(0, fds[f]);
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			EXPECT_EQ(-EINVAL, kt_ioctl(fds[f], KPOST_IOC_CANCEL, (void *)&bad[i]));
		EXPECT_EQ(-EFAULT, kt_ioctl(fds[f], KPOST_IOC_CANCEL, kt_edge(PROT_NONE)));
		EXPECT_EQ(-ENOENT, cancel(fds[f], COOKIE));
		EXPECT_EQ(0, cancel(fds[f], 0));
	}
}

TEST_HARNESS_MAIN
