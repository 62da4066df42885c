// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deadlines by CLOCK_BOOTTIME and CLOCK_REALTIME: each operation keeps to its clock, whoever sets
 * that meanwhile; so do messages that expire, and what a receiver is told of a caller's deadline.
 *
 * The tests set the clock of the machine, and put it back.
 */
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { HOUR = 3600, SIZE = 8 };

#define SECOND 1000000000ull

static uint64_t now_by(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static uint64_t in_by(clockid_t clock, uint64_t ms)
{
	return now_by(clock) + ms * KT_MS;
}

static clockid_t clock_of(unsigned int flag)
{
	return flag == KPOST_BOOTTIME ? CLOCK_BOOTTIME :
	       flag == KPOST_REALTIME ? CLOCK_REALTIME :
					CLOCK_MONOTONIC;
}

/* how far CLOCK_REALTIME is from CLOCK_MONOTONIC */
static int64_t real_ahead(void)
{
	return (int64_t)(now_by(CLOCK_REALTIME) - now_by(CLOCK_MONOTONIC));
}

/* set CLOCK_REALTIME so far from CLOCK_MONOTONIC; 0 or -errno */
static int set_real_ahead(int64_t ahead)
{
	uint64_t time = now_by(CLOCK_MONOTONIC) + (uint64_t)ahead;
	struct timespec ts = {
		.tv_sec = (time_t)(time / SECOND),
		.tv_nsec = (long)(time % SECOND),
	};

	return clock_settime(CLOCK_REALTIME, &ts) ? -errno : 0;
}

/* ---- operations that wait ---------------------------------------------------------------- */

enum kind { SEND, SYNC, SENDV, CALL, SUBMIT, COLLECT, RECV, RECVV, REPLY_RECV, KINDS };

static const char *const kind_names[] = { "send", "sync", "sendv", "call", "submit", "collect",
					  "recv", "recvv", "reply_recv" };

/* one that waits in a mailbox of its own */
struct waiting {
	int fd;
	unsigned long op;
	void *arg;
	union {
		struct kpost_send send;
		struct kpost_recv recv;
		struct kpost_call call;
		struct kpost_call_submit submit;
		struct kpost_call_collect collect;
		struct {
			struct kpost_batch batch;
			union {
				struct kpost_send entry;
				struct kpost_recv room;
			};
		};
		struct {
			struct kpost_reply_recv both;
			struct kpost_reply reply;
			struct kpost_recv recv_half;
		};
	};
	char buf[SIZE];
};

/* the operation, which nothing but its deadline ends */
static bool waiting_prepare(struct waiting *w, enum kind what, unsigned int flags,
			    uint64_t deadline)
{
	bool full = what == SEND || what == SENDV || what == SUBMIT;

	memset(w, 0, sizeof(*w));
	w->fd = kt_mailbox(1, SIZE, SIZE);
	if (w->fd < 0 || (full && kt_post(w->fd, "full", 4, 0)))
		return false;
	switch (what) {
	case SEND:
	case SYNC:
		w->op = KPOST_IOC_SEND;
		w->arg = &w->send;
		w->send = kt_send_args("x", 1, 0, flags | (what == SYNC ? KPOST_SYNC : 0),
				       deadline);
		break;
	case SENDV:
	case RECVV:
		w->op = what == SENDV ? KPOST_IOC_SENDV : KPOST_IOC_RECVV;
		w->arg = &w->batch;
		w->batch = (struct kpost_batch){
			.flags = flags, .count = 1, .deadline = deadline,
			.entries = (uintptr_t)&w->entry,
			.entry_size = what == SENDV ? sizeof(w->entry) : sizeof(w->room),
		};
		if (what == SENDV)
			w->entry = kt_send_args("x", 1, 0, 0, 0);
		else
			w->room = kt_recv_args(w->buf, SIZE, 0, 0);
		break;
	case CALL:
		w->op = KPOST_IOC_CALL;
		w->arg = &w->call;
		w->call = kt_call_args("x", 1, w->buf, SIZE, deadline);
		w->call.flags = flags;
		break;
	case SUBMIT:
		w->op = KPOST_IOC_CALL_SUBMIT;
		w->arg = &w->submit;
		w->submit = kt_submit_args("x", 1, SIZE, 0, flags, deadline);
		break;
	case COLLECT:
		w->op = KPOST_IOC_CALL_COLLECT;
		w->arg = &w->collect;
		w->collect = kt_collect_args(w->buf, SIZE, 0, flags, deadline);
		break;
	case RECV:
		w->op = KPOST_IOC_RECV;
		w->arg = &w->recv;
		w->recv = kt_recv_args(w->buf, SIZE, flags, deadline);
		break;
	default:
		w->op = KPOST_IOC_REPLY_RECV;
		w->arg = &w->both;
		w->recv_half = kt_recv_args(w->buf, SIZE, flags, deadline);
		w->both = (struct kpost_reply_recv){
			.reply = (uintptr_t)&w->reply, .reply_size = sizeof(w->reply),
			.recv = (uintptr_t)&w->recv_half, .recv_size = sizeof(w->recv_half),
		};
	}
	return true;
}

static void waiting_end(struct waiting *w)
{
	close(w->fd);
}

FIXTURE(clocks) {
	int fd;			/* all rights, room for 4 messages */
	int64_t ahead;
	bool may_set;
	struct io_uring ring;
	char buf[64];
};

FIXTURE_SETUP(clocks)
{
	self->fd = kt_mailbox(4, 4 * SIZE, SIZE);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_init(&self->ring, 64, 0));
	self->ahead = real_ahead();
	self->may_set = set_real_ahead(self->ahead) == 0;
}

FIXTURE_TEARDOWN(clocks)
{
	if (self->may_set)
		set_real_ahead(self->ahead);
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

FIXTURE_VARIANT(clocks) {
	unsigned int flag;
};

FIXTURE_VARIANT_ADD(clocks, boottime) { .flag = KPOST_BOOTTIME };
FIXTURE_VARIANT_ADD(clocks, realtime) { .flag = KPOST_REALTIME };

/* as a task, parked, and in a worker */
TEST_F(clocks, clocks_each_operation_waits_until_its_deadline)
{
	clockid_t clock = clock_of(variant->flag);
	struct io_uring_sqe *sqe;
	struct waiting w;
	uint64_t end;

	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (int way = 0; way < 3; way++) {
			long ret;

			end = in_by(clock, 30);
			ASSERT_TRUE(waiting_prepare(&w, kind, variant->flag, end));
			if (way == 0) {
				ret = kt_ioctl(w.fd, w.op, w.arg);
			} else {
				sqe = uring_op(&self->ring, w.fd, (unsigned int)w.op, w.arg, 1);
				sqe->flags |= way == 2 ? IOSQE_ASYNC : 0;
				ret = uring_run(&self->ring);
			}
			EXPECT_EQ(-ETIMEDOUT, ret) { TH_LOG("%s, way %d", kind_names[kind], way); }
			EXPECT_LE(end, now_by(clock)) { TH_LOG("%s", kind_names[kind]); }
			EXPECT_EQ(0, kt_stat(w.fd).waiting_receivers);
			EXPECT_EQ(0, kt_stat(w.fd).waiting_senders);
			waiting_end(&w);
		}
	}
}

TEST_F(clocks, clocks_deadline_that_has_passed_does_not_wait)
{
	clockid_t clock = clock_of(variant->flag);
	uint64_t past[] = { 1, now_by(clock) - SECOND, now_by(clock) };
	struct waiting w;

	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(past); i++) {
			ASSERT_TRUE(waiting_prepare(&w, kind, variant->flag, past[i]));
			EXPECT_EQ(-ETIMEDOUT, kt_ioctl(w.fd, w.op, w.arg))
			{
				TH_LOG("%s, %zu", kind_names[kind], i);
			}
			EXPECT_EQ(-ETIMEDOUT,
				  uring_do(&self->ring, w.fd, (unsigned int)w.op, w.arg))
			{
				TH_LOG("%s, %zu, io_uring", kind_names[kind], i);
			}
			EXPECT_EQ(kind == SEND || kind == SENDV || kind == SUBMIT,
				  kt_stat(w.fd).sent);
			waiting_end(&w);
		}
	}
	/* what can be done at once is */
	EXPECT_EQ(0, kt_send(self->fd, "x", 1, 0, variant->flag, 1));
	EXPECT_EQ(1, kt_recv(self->fd, NULL, self->buf, SIZE, variant->flag, 1));
}

/* the last time that there is never comes; without a deadline the clock says nothing */
TEST_F(clocks, clocks_deadline_that_never_comes)
{
	struct kt_job job;
	struct waiting w;

	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(waiting_prepare(&w, RECV, variant->flag, i ? INT64_MAX : 0));
		kt_start(&job, w.fd, w.op, w.arg);
		ASSERT_TRUE(kt_until(kt_stat(w.fd).waiting_receivers == 1));
		ASSERT_EQ(0, kt_send(w.fd, "x", 1, 0, variant->flag, i ? INT64_MAX : 0));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(1, job.ret);
		ASSERT_NE(NULL, uring_op(&self->ring, w.fd, (unsigned int)w.op, w.arg, 1));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
		ASSERT_TRUE(kt_until(kt_stat(w.fd).waiting_receivers == 1));
		ASSERT_EQ(0, kt_post(w.fd, "x", 1, 0));
		EXPECT_EQ(1, uring_run(&self->ring));
		waiting_end(&w);
	}
}

TEST_F(clocks, clocks_wait_for_a_name)
{
	struct kpost_open open;
	char name[KT_NAME_SIZE];
	uint64_t end = in_by(clock_of(variant->flag), 30);

	open = kt_open_args(kt_name(name), KPOST_RIGHT_SEND, KPOST_OPEN_WAIT | variant->flag);
	open.deadline = end;
	EXPECT_EQ(-ETIMEDOUT, kt_do_open(&open));
	EXPECT_LE(end, now_by(clock_of(variant->flag)));
	open.deadline = 1;
	EXPECT_EQ(-ETIMEDOUT, kt_do_open(&open));
	open.flags = KPOST_OPEN_CREATE | variant->flag;
	open.deadline = 0;
	open.mode = 0600;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	open.flags = variant->flag;
	open.mode = 0;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	open.flags = KPOST_OPEN_WAIT | KPOST_BOOTTIME | KPOST_REALTIME;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
}

TEST_F(clocks, clocks_both_at_once_are_refused)
{
	struct kpost_send entry = kt_send_args("x", 1, 0, KPOST_BOOTTIME | KPOST_REALTIME, 0);
	struct kpost_recv room = kt_recv_args(self->buf, SIZE, variant->flag, 0);
	struct kpost_batch batch = {
		.count = 1,
		.entries = (uintptr_t)&entry,
		.entry_size = sizeof(entry),
	};
	struct waiting w;

	for (enum kind kind = 0; kind < KINDS; kind++) {
		for (int i = 0; i < 2; i++) {
			ASSERT_TRUE(waiting_prepare(&w, kind, KPOST_BOOTTIME | KPOST_REALTIME,
						    i ? kt_soon() : 0));
			EXPECT_REFUSED(EINVAL, w.fd, kt_ioctl(w.fd, w.op, w.arg));
			EXPECT_REFUSED(EINVAL, w.fd, uring_do(&self->ring, w.fd,
							      (unsigned int)w.op, w.arg));
			waiting_end(&w);
		}
	}
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	/* that of a receive has nothing that it could be the clock of */
	batch.entries = (uintptr_t)&room;
	batch.entry_size = sizeof(room);
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
}

/* ---- what a receiver is told ------------------------------------------------------------- */

static long call_deadline(int fd, unsigned int flags, uint64_t deadline, uint64_t *told)
{
	struct kpost_call_submit submit =
		kt_submit_args("x", 1, 0, 0, flags | KPOST_DONTWAIT, deadline);
	struct kpost_recv recv;
	char buf[SIZE];
	long ret = kt_ioctl(fd, KPOST_IOC_CALL_SUBMIT, &submit);

	if (ret)
		return ret;
	ret = kt_take(fd, &recv, buf, SIZE);
	*told = recv.call_deadline;
	kt_drop(fd, recv.token);
	return kt_collect(fd, NULL, buf, SIZE, submit.id) == -ECONNRESET && ret == 1 ? 0 : -EIO;
}

TEST_F(clocks, clocks_expiry_is_told_by_the_receivers)
{
	struct kpost_send send = kt_send_args("x", 1, 0, variant->flag, 0);
	uint64_t before = kt_now();
	struct kpost_recv recv;
	char buf[SIZE];

	send.expires = in_by(clock_of(variant->flag), 100000);
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_EQ(1, kt_take(self->fd, &recv, buf, SIZE));
	EXPECT_LE(before + 100 * SECOND - KT_MS, recv.expires);
	EXPECT_GE(kt_now() + 100 * SECOND + KT_MS, recv.expires);
}

TEST_F(clocks, clocks_call_deadline_is_told_by_the_receivers)
{
	clockid_t clock = clock_of(variant->flag);
	uint64_t told, before = kt_now();

	ASSERT_EQ(0, call_deadline(self->fd, variant->flag, in_by(clock, 100000), &told));
	EXPECT_LE(before + 100 * SECOND - KT_MS, told);
	EXPECT_GE(kt_now() + 100 * SECOND + KT_MS, told);
	/* one that has passed is not none */
	ASSERT_EQ(0, call_deadline(self->fd, variant->flag, 1, &told));
	EXPECT_LE(1, told);
	EXPECT_GE(kt_now(), told);
	ASSERT_EQ(0, call_deadline(self->fd, variant->flag, now_by(clock) - KT_MS, &told));
	EXPECT_LE(1, told);
	EXPECT_GE(kt_now(), told);
	ASSERT_EQ(0, call_deadline(self->fd, variant->flag, 0, &told));
	EXPECT_EQ(0, told);
	ASSERT_EQ(0, call_deadline(self->fd, variant->flag, INT64_MAX, &told));
	EXPECT_EQ(INT64_MAX, told);
}

/* ---- a time namespace -------------------------------------------------------------------- */

struct elsewhere {
	int fd;
	int64_t ahead[3]; /* of the clocks there, by KPOST_BOOTTIME and so on; in seconds */
	uint64_t call_deadline; /* by the clock outside */
};

static int in_time_namespace(void *arg)
{
	static const unsigned int flags[] = { 0, KPOST_BOOTTIME, KPOST_REALTIME };
	struct elsewhere *elsewhere = arg;
	int fd = elsewhere->fd;
	struct kpost_recv recv;
	char buf[SIZE];

	/* a call from outside, by another clock there */
	CHECK_EQ(1, kt_take(fd, &recv, buf, SIZE));
	CHECK(llabs((int64_t)(recv.call_deadline - elsewhere->call_deadline) -
		    elsewhere->ahead[0] * (int64_t)SECOND) < (int64_t)SECOND);
	CHECK_EQ(0, kt_drop(fd, recv.token));
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		uint64_t soon = in_by(clock_of(flags[i]), 30), told;
		struct kpost_send send = kt_send_args("x", 1, 0, flags[i], 0);

		CHECK_EQ(-ETIMEDOUT, kt_recv(fd, NULL, buf, SIZE, flags[i], soon));
		CHECK(now_by(clock_of(flags[i])) >= soon);
		CHECK_EQ(-ETIMEDOUT, kt_send(fd, "x", 1, 0, flags[i] | KPOST_SYNC,
					     now_by(clock_of(flags[i])) - 1));
		soon = in_by(clock_of(flags[i]), 30);
		send.expires = soon;
		CHECK_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &send));
		CHECK(kt_until(kt_stat(fd).queued_messages == 0));
		CHECK(now_by(clock_of(flags[i])) >= soon);
		CHECK_EQ(i + 1, kt_stat(fd).expired);
		send.expires = in_by(clock_of(flags[i]), 100000);
		CHECK_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &send));
		CHECK_EQ(1, kt_take(fd, &recv, buf, SIZE));
		CHECK(recv.expires > kt_now() + 99 * SECOND);
		CHECK(recv.expires < kt_now() + 101 * SECOND);
		CHECK_EQ(0, call_deadline(fd, flags[i], in_by(clock_of(flags[i]), 100000), &told));
		CHECK(told > kt_now() + 99 * SECOND && told < kt_now() + 101 * SECOND);
	}
	return 0;
}

TEST_F(clocks, clocks_of_a_time_namespace)
{
	static const char *const offsets[] = {
		"monotonic 864000 0\nboottime -1 0\n",
		"monotonic -1 0\nboottime 8640000 0\n",
	};
	struct elsewhere elsewhere[] = {
		{ .ahead = { 864000, -1, 0 } },
		{ .ahead = { -1, 8640000, 0 } },
	};

	if (geteuid())
		SKIP(return, "a time namespace of one's own needs root");
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		struct kpost_call_submit submit;
		int fd = kt_mailbox(4, 4 * SIZE, SIZE);

		ASSERT_LE(0, fd);
		elsewhere[i].fd = fd;
		elsewhere[i].call_deadline = kt_in(100000);
		submit = kt_submit_args("x", 1, 0, 0, variant->flag,
					in_by(clock_of(variant->flag), 100000));
		ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_CALL_SUBMIT, &submit));
		if (unshare(CLONE_NEWTIME))
			SKIP(return, "no time namespace of one's own: %s", strerror(errno));
		ASSERT_EQ(0, child_write("/proc/self/timens_offsets", offsets[i]));
		EXPECT_EQ(0, child_finish(child_start(in_time_namespace, &elsewhere[i]), 30))
		{
			TH_LOG("%s", offsets[i]);
		}
		close(fd);
	}
}

/* ---- the clock is set -------------------------------------------------------------------- */

#define NEEDS_TO_SET() do {							\
	if (!self->may_set)							\
		SKIP(return, "may not set the clock");				\
} while (0)

/* what goes by the clock that is set ends at once, and nothing else does */
TEST_F(clocks, clocks_set_forward_past_deadlines)
{
	clockid_t clock = clock_of(variant->flag);
	bool ends = variant->flag == KPOST_REALTIME;
	static struct waiting tasks[KINDS], parked[KINDS];
	static struct kt_job jobs[KINDS];
	struct uring_result result;

	NEEDS_TO_SET();
	for (enum kind kind = 0; kind < KINDS; kind++) {
		ASSERT_TRUE(waiting_prepare(&tasks[kind], kind, variant->flag,
					    in_by(clock, HOUR * 1000ull)));
		ASSERT_TRUE(waiting_prepare(&parked[kind], kind, variant->flag,
					    in_by(clock, HOUR * 1000ull)));
		tasks[kind].send.cookie = kind == SEND || kind == SYNC ? 7 : 0;
		kt_start(&jobs[kind], tasks[kind].fd, tasks[kind].op, tasks[kind].arg);
		ASSERT_NE(NULL, uring_op(&self->ring, parked[kind].fd,
					 (unsigned int)parked[kind].op, parked[kind].arg, kind));
		ASSERT_EQ(1, io_uring_submit(&self->ring));
	}
	for (enum kind kind = 0; kind < KINDS; kind++)
		ASSERT_TRUE(kt_until(kt_asleep(jobs[kind].tid)));
	ASSERT_EQ(0, set_real_ahead(self->ahead + 2 * HOUR * (int64_t)SECOND));
	if (ends) {
		for (enum kind kind = 0; kind < KINDS; kind++) {
			ASSERT_TRUE(kt_join(&jobs[kind])) { TH_LOG("%s", kind_names[kind]); }
			EXPECT_EQ(-ETIMEDOUT, jobs[kind].ret) { TH_LOG("%s", kind_names[kind]); }
			ASSERT_EQ(0, uring_wait(&self->ring, &result));
			EXPECT_EQ(-ETIMEDOUT, result.res)
			{
				TH_LOG("%s, io_uring", kind_names[result.data]);
			}
		}
	} else {
		uint64_t until = kt_in(100);

		ASSERT_TRUE(kt_until(kt_now() > until));
		EXPECT_FALSE(uring_done(&self->ring));
		for (enum kind kind = 0; kind < KINDS; kind++) {
			EXPECT_FALSE(kt_done(&jobs[kind])) { TH_LOG("%s", kind_names[kind]); }
		}
		/* the rest ends with the test */
		return;
	}
	for (enum kind kind = 0; kind < KINDS; kind++) {
		waiting_end(&tasks[kind]);
		waiting_end(&parked[kind]);
	}
}

/* by the clock that is set back it is farther off, by others it is as it was */
TEST_F(clocks, clocks_set_back_before_deadlines)
{
	clockid_t clock = clock_of(variant->flag);
	bool lasts = variant->flag == KPOST_REALTIME;
	struct waiting task, parked;
	struct uring_result result;
	struct kt_job job;
	uint64_t until;

	NEEDS_TO_SET();
	ASSERT_TRUE(waiting_prepare(&task, RECV, variant->flag, in_by(clock, 2 * KT_LATER)));
	ASSERT_TRUE(waiting_prepare(&parked, RECV, variant->flag, task.recv.deadline));
	until = kt_in(3 * KT_LATER);
	kt_start(&job, task.fd, task.op, task.arg);
	ASSERT_NE(NULL, uring_op(&self->ring, parked.fd, (unsigned int)parked.op, parked.arg, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_EQ(0, set_real_ahead(self->ahead - HOUR * (int64_t)SECOND));
	ASSERT_TRUE(kt_until(kt_now() > until));
	if (lasts) {
		EXPECT_FALSE(kt_done(&job));
		EXPECT_FALSE(uring_done(&self->ring));
		ASSERT_EQ(0, set_real_ahead(self->ahead));
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ETIMEDOUT, job.ret);
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(-ETIMEDOUT, result.res);
	waiting_end(&task);
	waiting_end(&parked);
}

/* a signal has the operation begin anew, with the same deadline by the same clock */
TEST_F(clocks, clocks_deadline_survives_a_restart)
{
	static const enum kind kinds[] = { RECV, SEND, CALL, COLLECT, REPLY_RECV };
	clockid_t clock = clock_of(variant->flag);
	struct waiting w;
	struct kt_job job;
	uint64_t end;

	NEEDS_TO_SET();
	ASSERT_EQ(0, kt_handle(SIGUSR1, SA_RESTART));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int before = kt_signals;

		end = in_by(clock, variant->flag == KPOST_REALTIME ? HOUR * 1000ull : KT_LATER);
		ASSERT_TRUE(waiting_prepare(&w, kinds[i], variant->flag, end));
		kt_start(&job, w.fd, w.op, w.arg);
		ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
		ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
		ASSERT_TRUE(kt_until(kt_signals > before));
		if (variant->flag == KPOST_REALTIME) {
			ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
			EXPECT_FALSE(kt_done(&job)) { TH_LOG("%s", kind_names[kinds[i]]); }
			ASSERT_EQ(0, set_real_ahead(self->ahead + 2 * HOUR * (int64_t)SECOND));
		}
		ASSERT_TRUE(kt_join(&job)) { TH_LOG("%s", kind_names[kinds[i]]); }
		EXPECT_EQ(-ETIMEDOUT, job.ret) { TH_LOG("%s", kind_names[kinds[i]]); }
		EXPECT_LE(end, now_by(clock));
		ASSERT_EQ(0, set_real_ahead(self->ahead));
		waiting_end(&w);
	}
}

/* a call that goes on waits by the deadline and the clock that it is gone on with */
TEST_F(clocks, clocks_of_a_call_that_goes_on)
{
	struct kpost_call call = kt_call_args("x", 1, self->buf, SIZE, 0);
	struct kpost_recv recv;
	struct kt_job job;
	char buf[SIZE];

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	ASSERT_EQ(-EINTR, job.ret);
	ASSERT_NE(0, call.id);
	ASSERT_EQ(1, kt_take(self->fd, &recv, buf, SIZE));
	EXPECT_EQ(0, recv.call_deadline);
	call.flags = KPOST_BOOTTIME | KPOST_REALTIME;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_CALL, &call));
	ASSERT_NE(0, call.id);
	call.flags = variant->flag;
	call.deadline = in_by(clock_of(variant->flag), 30);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_CALL, &call));
	EXPECT_LE(call.deadline, now_by(clock_of(variant->flag)));
	EXPECT_EQ(-ECANCELED, kt_reply(self->fd, recv.token, NULL, 0));
}

/* ---- messages that expire ---------------------------------------------------------------- */

static long send_until(int fd, const char *text, unsigned int flags, uint64_t expires)
{
	struct kpost_send send = kt_send_args(text, strlen(text), 0, flags, 0);

	send.expires = expires;
	return kt_ioctl(fd, KPOST_IOC_SEND, &send);
}

TEST_F(clocks, clocks_message_expires_by_its_clock)
{
	clockid_t clock = clock_of(variant->flag);
	uint64_t end = in_by(clock, KT_LATER);

	EXPECT_EQ(-ETIMEDOUT, send_until(self->fd, "x", variant->flag, now_by(clock)));
	EXPECT_EQ(-ETIMEDOUT, send_until(self->fd, "x", variant->flag, 1));
	EXPECT_EQ(-EINVAL, send_until(self->fd, "x", KPOST_BOOTTIME | KPOST_REALTIME, end));
	ASSERT_EQ(0, send_until(self->fd, "last", variant->flag, INT64_MAX));
	ASSERT_EQ(0, send_until(self->fd, "x", variant->flag, end));
	ASSERT_EQ(0, send_until(self->fd, "other", 0, kt_soon()));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	EXPECT_LE(end, now_by(clock));
	EXPECT_EQ(-ETIMEDOUT,
		  send_until(self->fd, "x", variant->flag | KPOST_SYNC, in_by(clock, 30)));
	EXPECT_TRUE(kt_next_is(self->fd, "last", 2));
	EXPECT_TRUE(kt_next_is(self->fd, "other", 0));
}

/* in a batch each has its own */
TEST_F(clocks, clocks_of_the_entries_of_a_batch)
{
	struct kpost_send entries[3];
	struct kpost_batch batch = {
		.flags = variant->flag,
		.count = 3,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
		.deadline = in_by(clock_of(variant->flag), KT_SOON),
	};

	entries[0] = kt_send_args("mono", 4, 0, 0, 0);
	entries[0].expires = kt_soon();
	entries[1] = kt_send_args("boot", 4, 0, KPOST_BOOTTIME, 0);
	entries[1].expires = in_by(CLOCK_BOOTTIME, KT_LATER);
	entries[2] = kt_send_args("real", 4, 0, KPOST_REALTIME, 0);
	entries[2].expires = in_by(CLOCK_REALTIME, KT_SOON);
	ASSERT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	EXPECT_TRUE(kt_next_is(self->fd, "mono", 1));
	EXPECT_TRUE(kt_next_is(self->fd, "real", 0));
	/* the batch's clock is not that of an entry: this is long past by another than its own */
	entries[0].expires = 0;
	entries[1].flags = 0;
	entries[1].expires = 0;
	entries[2].expires = in_by(CLOCK_REALTIME, KT_SOON);
	EXPECT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(3, kt_stat(self->fd).queued_messages);
	/* nor its deadline's, for which the entry waits */
	entries[0].expires = 0;
	batch.count = 2;
	batch.deadline = in_by(clock_of(variant->flag), 30);
	EXPECT_EQ(1, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(-ETIMEDOUT, batch.error);
}

TEST_F(clocks, clocks_set_forward_has_messages_expire_now)
{
	static const char *const left[] = { "mono", "boot", "later" };
	uint64_t missed = 0;
	struct kpost_recv recv;
	unsigned int i;

	NEEDS_TO_SET();
	ASSERT_EQ(0, send_until(self->fd, "mono", 0, kt_in(HOUR * 1000ull)));
	ASSERT_EQ(0, send_until(self->fd, "boot", KPOST_BOOTTIME,
				in_by(CLOCK_BOOTTIME, HOUR * 1000ull)));
	ASSERT_EQ(0, send_until(self->fd, "real", KPOST_REALTIME,
				in_by(CLOCK_REALTIME, HOUR * 1000ull)));
	ASSERT_EQ(0, send_until(self->fd, "later", KPOST_REALTIME,
				in_by(CLOCK_REALTIME, 9 * HOUR * 1000ull)));
	ASSERT_EQ(0, set_real_ahead(self->ahead + 2 * HOUR * (int64_t)SECOND));
	/* though nobody receives; and no receive that begins now gets it */
	if (variant->flag == KPOST_REALTIME) {
		ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ((long)strlen(left[i]), kt_take(self->fd, &recv, self->buf, SIZE));
		EXPECT_EQ(0, memcmp(self->buf, left[i], strlen(left[i])));
		missed += recv.missed;
	}
	EXPECT_EQ(1, missed);
	EXPECT_EQ(1, kt_stat(self->fd).expired);
}

/* ---- messages that are held -------------------------------------------------------------- */

static long hold_by(FIXTURE_DATA(clocks) *self, unsigned int flag, uint64_t until,
		    struct kpost_recv *recv)
{
	*recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD | flag, 0);
	recv->hold_until = until;
	return kt_ioctl(self->fd, KPOST_IOC_RECV, recv);
}

static long return_by(int fd, unsigned int flag, uint64_t token, uint64_t not_before)
{
	struct kpost_reply reply = {
		.flags = KPOST_RETURN | flag,
		.token = token,
		.not_before = not_before,
	};

	return kt_ioctl(fd, KPOST_IOC_REPLY, &reply);
}

TEST_F(clocks, clocks_of_what_is_held)
{
	uint64_t soon = in_by(clock_of(variant->flag), 300);
	struct kpost_recv recv;

	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	EXPECT_EQ(-ETIMEDOUT, hold_by(self, variant->flag, 1, &recv));
	EXPECT_EQ(-EINVAL, hold_by(self, KPOST_BOOTTIME | KPOST_REALTIME, 0, &recv));
	ASSERT_EQ(1, hold_by(self, variant->flag, soon, &recv));
	ASSERT_EQ(1, kt_recv(self->fd, &recv, self->buf, sizeof(self->buf), KPOST_HOLD, kt_soon()));
	EXPECT_LE(soon, now_by(clock_of(variant->flag)));
	EXPECT_EQ(1, recv.attempts);
	EXPECT_EQ(-EINVAL, return_by(self->fd, KPOST_BOOTTIME | KPOST_REALTIME, recv.token, 0));
	soon = in_by(clock_of(variant->flag), 300);
	ASSERT_EQ(0, return_by(self->fd, variant->flag, recv.token, soon));
	ASSERT_EQ(1, kt_recv(self->fd, &recv, self->buf, sizeof(self->buf), 0, kt_soon()));
	EXPECT_LE(soon, now_by(clock_of(variant->flag)));
	EXPECT_EQ(2, recv.attempts);
}

TEST_F(clocks, clocks_set_forward_has_what_is_held_go_back)
{
	uint64_t later = in_by(clock_of(variant->flag), HOUR * 1000ull);
	bool real = variant->flag == KPOST_REALTIME;
	struct kpost_recv recv;

	NEEDS_TO_SET();
	ASSERT_EQ(0, kt_post(self->fd, "a", 1, 0));
	ASSERT_EQ(0, kt_post(self->fd, "b", 1, 0));
	ASSERT_EQ(1, hold_by(self, variant->flag, later, &recv));
	ASSERT_EQ(1, hold_by(self, variant->flag, 0, &recv));
	ASSERT_EQ(0, return_by(self->fd, variant->flag, recv.token, later));
	EXPECT_EQ(2, kt_stat(self->fd).held);
	ASSERT_EQ(0, set_real_ahead(self->ahead + 2 * HOUR * (int64_t)SECOND));
	if (real) {
		ASSERT_TRUE(kt_until(!kt_stat(self->fd).held));
	} else {
		EXPECT_EQ(2, kt_stat(self->fd).held);
	}
}

TEST_F(clocks, clocks_set_back_has_messages_stay)
{
	uint64_t until;

	NEEDS_TO_SET();
	ASSERT_EQ(0, send_until(self->fd, "mono", 0, kt_in(2 * KT_LATER)));
	ASSERT_EQ(0, send_until(self->fd, "boot", KPOST_BOOTTIME,
				in_by(CLOCK_BOOTTIME, 2 * KT_LATER)));
	ASSERT_EQ(0, send_until(self->fd, "real", KPOST_REALTIME,
				in_by(CLOCK_REALTIME, 2 * KT_LATER)));
	until = kt_in(3 * KT_LATER);
	ASSERT_EQ(0, set_real_ahead(self->ahead - HOUR * (int64_t)SECOND));
	ASSERT_TRUE(kt_until(kt_now() > until));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 2));
	EXPECT_EQ(4, kt_recv(self->fd, NULL, self->buf, SIZE, KPOST_PEEK, 0));
	EXPECT_TRUE(kt_next_is(self->fd, "real", 2));
}

/* ---- the clock is set again and again ---------------------------------------------------- */

struct setting {
	int64_t ahead;
	bool stop;
};

static long set_back_and_forth(void *arg)
{
	struct setting *setting = arg;

	while (!__atomic_load_n(&setting->stop, __ATOMIC_ACQUIRE)) {
		set_real_ahead(setting->ahead + (int64_t)SECOND);
		sched_yield();
		set_real_ahead(setting->ahead);
	}
	return 0;
}

/*
 * A message expires or not between two looks at the clock: it is received whole, or not at all,
 * and to peek ends.  All are accounted for.
 */
TEST_F(clocks, clocks_set_back_and_forth_between_any_two_looks)
{
	struct setting setting = { .ahead = self->ahead };
	unsigned int sent = 0, received = 0;
	uint64_t until = kt_in(3000);
	struct kpost_stat st;
	struct kt_job job;

	NEEDS_TO_SET();
	kt_start_fn(&job, set_back_and_forth, &setting);
	while (kt_now() < until) {
		struct kpost_send send = kt_send_args("12345678", 8, 0, KPOST_REALTIME, 0);
		long ret;

		send.expires = now_by(CLOCK_MONOTONIC) + (uint64_t)self->ahead + SECOND / 2;
		ret = kt_ioctl(self->fd, KPOST_IOC_SEND, &send);
		ASSERT_TRUE(!ret || ret == -ETIMEDOUT);
		sent += !ret;
		ret = kt_recv(self->fd, NULL, self->buf, SIZE, KPOST_PEEK, 0);
		ASSERT_TRUE(ret == 8 || ret == -EAGAIN) { TH_LOG("peek: %ld", ret); }
		/* too long for this one, unless it has expired */
		ret = kt_take(self->fd, NULL, self->buf, 4);
		ASSERT_TRUE(ret == -EMSGSIZE || ret == -EAGAIN) { TH_LOG("take: %ld", ret); }
		ret = kt_take(self->fd, NULL, self->buf, SIZE);
		ASSERT_TRUE(ret == 8 || ret == -EAGAIN);
		received += ret == 8;
	}
	__atomic_store_n(&setting.stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	st = kt_stat(self->fd);
	EXPECT_EQ(sent, st.sent);
	EXPECT_EQ(received, st.received);
	EXPECT_EQ(sent, received + st.expired + st.queued_messages);
	EXPECT_LT(0, sent);
}

TEST_HARNESS_MAIN
