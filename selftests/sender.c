// SPDX-License-Identifier: GPL-2.0-only
/*
 * libkpost on a real kernel: its two levels of asynchronous sending, which are helpers
 * for the caller's own ring and the sender that owns one; and threads that are cancelled.
 */
#include "kpost_test.h"

#include "uring_test.h"

#include <kpost.h>
#include <liburing.h>
#include <sys/eventfd.h>

FIXTURE(sender) {
	struct kpost_sender *sender;
	int fd;
};

FIXTURE_SETUP(sender)
{
	self->fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(sender)
{
	if (self->sender)
		kpost_sender_free(self->sender);
	close(self->fd);
}

/* the next message, as a number; -1 if there is none */
static int next_value(int fd, bool wait)
{
	int value;
	long ret = kt_recv(fd, NULL, &value, sizeof(value), wait ? 0 : KPOST_DONTWAIT,
			   wait ? kt_soon() : 0);

	return ret == sizeof(value) ? value : -1;
}

#define COUNT	1000

/* what the callback saw of each message */
struct seen {
	int times[COUNT];
	int result[COUNT];
	int total;
	int last;
	bool in_order;
};

static void sent(void *arg, void *cookie, int result)
{
	struct seen *seen = arg;
	int i = (int)(intptr_t)cookie;

	seen->times[i]++;
	seen->result[i] = result;
	if (seen->total && i != seen->last + 1)
		seen->in_order = false;
	seen->last = i;
	seen->total++;
}

static int sender_open(FIXTURE_DATA(sender) *self, struct seen *seen, unsigned int depth,
		       unsigned int batch)
{
	struct kpost_sender_options options = {
		.depth = depth,
		.batch = batch,
		.sent = seen ? sent : NULL,
		.arg = seen,
	};

	if (seen)
		*seen = (struct seen){ .in_order = true };
	return kpost_sender_new(&self->sender, self->fd, &options);
}

static int queue(FIXTURE_DATA(sender) *self, int i)
{
	return kpost_sender_queue(self->sender, &i, sizeof(i), NULL, (void *)(intptr_t)i);
}

/* a message, once the sender has been told that there is room for it */
static bool comes(FIXTURE_DATA(sender) *self)
{
	return kt_until(!kpost_sender_submit(self->sender) && kt_stat(self->fd).queued_messages);
}

static struct seen seen;

/* ---- for one's own ring ------------------------------------------------------------------ */

static int one(struct io_uring *ring)
{
	struct __kernel_timespec ts = { .tv_sec = KT_SOON / 1000 };
	struct io_uring_cqe *cqe;
	int ret;

	io_uring_submit(ring);
	ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);
	if (ret)
		return ret == -ETIME ? -9999 : ret;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

TEST_F(sender, prepared_entries_do_each_operation)
{
	static char area[4096];
	struct iovec iov = { area, sizeof(area) };
	struct kpost_send send = kt_send_args("prepared", 8, 0, 0, 0);
	struct kpost_send from_area = kt_send_args(area + 10, 5, 0, 0, 0);
	char buf[16], answer[16];
	struct kpost_recv recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	struct kpost_call call = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
	struct kpost_reply reply = { .buf = (uintptr_t)"one", .len = 3 };
	struct kpost_reply_recv both = {
		.reply = (uintptr_t)&reply,
		.recv = (uintptr_t)&recv,
		.reply_size = sizeof(reply),
		.recv_size = sizeof(recv),
	};
	struct io_uring ring;
	struct kt_job job;

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, 0));
	ASSERT_EQ(0, io_uring_register_buffers(&ring, &iov, 1));
	kpost_prep_send(io_uring_get_sqe(&ring), self->fd, &send);
	EXPECT_EQ(0, one(&ring));
	kpost_prep_recv(io_uring_get_sqe(&ring), self->fd, &recv);
	EXPECT_EQ(8, one(&ring));
	EXPECT_EQ(0, memcmp(buf, "prepared", 8));

	/* entries are used over and over: nothing of the last use may stay */
	for (int i = 0; i < 20; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		memset(sqe, 0xff, sizeof(*sqe));
		kpost_prep_send(sqe, self->fd, &send);
		EXPECT_EQ(0, one(&ring));
		EXPECT_EQ(8, kt_take(self->fd, NULL, buf, sizeof(buf)));
	}

	memcpy(area + 10, "fixed", 5);
	for (int i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		kpost_prep_send(sqe, self->fd, &from_area);
		if (i == 0)
			kpost_sqe_set_fixed_buffer(sqe, 0);
		EXPECT_EQ(0, one(&ring));
		EXPECT_EQ(5, kt_take(self->fd, NULL, buf, sizeof(buf)));
		EXPECT_EQ(0, memcmp(buf, "fixed", 5));
		from_area.buf = (uintptr_t)"fixed"; /* not in the area: must not be asked to be */
	}

	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	recv = kt_recv_args(buf, sizeof(buf), 0, 0);
	kpost_prep_reply_recv(io_uring_get_sqe(&ring), self->fd, &both);
	EXPECT_EQ(3, one(&ring));
	reply.token = recv.token;
	kpost_prep_reply(io_uring_get_sqe(&ring), self->fd, &reply);
	EXPECT_EQ(0, one(&ring));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);

	kpost_prep_call(io_uring_get_sqe(&ring), self->fd, &call);
	io_uring_submit(&ring);
	ASSERT_EQ(3, kt_recv(self->fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(0, kt_reply(self->fd, recv.token, "four", 4));
	EXPECT_EQ(4, one(&ring));
	EXPECT_EQ(0, memcmp(answer, "four", 4));
	io_uring_queue_exit(&ring);
}

/* ---- the sender --------------------------------------------------------------------------- */

/* into a mailbox of three, so that nearly all of them wait */
static long receive_all(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < COUNT; i++) {
		if (next_value(fd, true) != i)
			return i + 1;
	}
	return 0;
}

TEST_F(sender, messages_go_in_order_under_back_pressure)
{
	struct kt_job job;
	int ret;

	close(self->fd);
	self->fd = kt_mailbox(3, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 64, 16));
	kt_start_fn(&job, receive_all, &self->fd);
	for (int i = 0; i < COUNT; i++) {
		while ((ret = queue(self, i)) == -EAGAIN) {
			ASSERT_GE(64, kpost_sender_pending(self->sender));
			ASSERT_EQ(0, kpost_sender_wait(self->sender, kt_soon()));
		}
		ASSERT_EQ(0, ret);
	}
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(0, kpost_sender_pending(self->sender));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret) TH_LOG("message %ld is out of order", job.ret - 1);
	EXPECT_EQ(COUNT, seen.total);
	EXPECT_TRUE(seen.in_order);
	for (int i = 0; i < COUNT; i++) {
		EXPECT_EQ(1, seen.times[i]);
		EXPECT_EQ(0, seen.result[i]);
	}
	EXPECT_EQ(COUNT, kt_stat(self->fd).received);
}

TEST_F(sender, caller_sees_that_it_is_full)
{
	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 8, 4));
	/* one gets in, eight are under way; a few more may pass meanwhile, but not many */
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, queue(self, i));
	}
	ASSERT_EQ(0, kpost_sender_submit(self->sender));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders > 0));
	for (int i = 8; i < 12; i++) {
		if (queue(self, i) == -EAGAIN)
			break;
		ASSERT_GT(11, i) TH_LOG("it takes more than its depth");
	}
	EXPECT_EQ(-ETIMEDOUT, kpost_sender_flush(self->sender, kt_in(50)));
	EXPECT_EQ(8, kpost_sender_pending(self->sender));
	EXPECT_EQ(1, kt_stat(self->fd).sent);
	/* and that it no longer is */
	EXPECT_EQ(0, next_value(self->fd, true));
	EXPECT_EQ(1, next_value(self->fd, true));
	ASSERT_EQ(0, kpost_sender_wait(self->sender, kt_soon()));
	EXPECT_EQ(0, queue(self, 20));
}

TEST_F(sender, failing_message_does_not_disturb_its_neighbours)
{
	static char big[4096];

	close(self->fd);
	self->fd = kt_mailbox(64, 65536, 1024);
	ASSERT_EQ(0, sender_open(self, &seen, 64, 16));
	for (int i = 0; i < 48; i++) {
		ASSERT_EQ(0, i % 7 == 3 ? kpost_sender_queue(self->sender, big, sizeof(big), NULL,
							     (void *)(intptr_t)i) :
					  queue(self, i));
	}
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(48, seen.total);
	EXPECT_TRUE(seen.in_order);
	for (int i = 0; i < 48; i++) {
		EXPECT_EQ(1, seen.times[i]) TH_LOG("message %d", i);
		EXPECT_EQ(i % 7 == 3 ? -EMSGSIZE : 0, seen.result[i]) TH_LOG("message %d", i);
		if (i % 7 != 3) {
			EXPECT_EQ(i, next_value(self->fd, false));
		}
	}
	EXPECT_EQ(-1, next_value(self->fd, false));
}

TEST_F(sender, one_that_stops_sends_nothing_behind_a_failure)
{
	struct kpost_sender_options options = {
		.depth = 64,
		.batch = 8,
		.sent = sent,
		.arg = &seen,
		.flags = KPOST_SENDER_STOP,
	};
	static char big[4096];

	close(self->fd);
	self->fd = kt_mailbox(64, 65536, 1024);
	seen = (struct seen){ .in_order = true };
	ASSERT_EQ(0, kpost_sender_new(&self->sender, self->fd, &options));
	/* fewer than a batch, so that nothing is started before all is queued */
	for (int i = 0; i < 7; i++) {
		ASSERT_EQ(0, i == 3 ? kpost_sender_queue(self->sender, big, sizeof(big), NULL,
							 (void *)(intptr_t)i) :
				      queue(self, i));
	}
	kpost_sender_flush(self->sender, kt_soon());
	EXPECT_EQ(7, seen.total);
	EXPECT_TRUE(seen.in_order);
	for (int i = 0; i < 7; i++) {
		EXPECT_EQ(i < 3 ? 0 : i == 3 ? -EMSGSIZE : -ECANCELED, seen.result[i])
			TH_LOG("message %d", i);
	}
	EXPECT_EQ(-ECANCELED, queue(self, 8));
	EXPECT_EQ(3, kt_stat(self->fd).sent);
}

/* nor what would have waited with it */
TEST_F(sender, one_that_stops_sends_nothing_behind_a_deadline)
{
	struct kpost_sender_options options = {
		.sent = sent,
		.arg = &seen,
		.flags = KPOST_SENDER_STOP,
	};
	struct kpost_options soon = { .deadline = 0 };
	int late = 0;

	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, kt_post(self->fd, &(int){ 77 }, sizeof(int), 0));
	seen = (struct seen){ .in_order = true };
	ASSERT_EQ(0, kpost_sender_new(&self->sender, self->fd, &options));
	soon.deadline = kt_in(50);
	ASSERT_EQ(0, kpost_sender_queue(self->sender, &late, sizeof(late), &soon, NULL));
	for (int i = 1; i < 8; i++)
		ASSERT_EQ(0, queue(self, i));
	kpost_sender_flush(self->sender, kt_soon());
	EXPECT_EQ(8, seen.total);
	EXPECT_TRUE(seen.in_order);
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(i ? -ECANCELED : -ETIMEDOUT, seen.result[i]) TH_LOG("message %d", i);
	}
	EXPECT_EQ(77, next_value(self->fd, true));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(-1, next_value(self->fd, false));
}

/* they wait in line together, which is in order of priority, and are not */
TEST_F(sender, messages_that_wait_keep_their_order_whatever_their_priority)
{
	enum { LINE = 32 };
	struct kpost_options options = { .priority = 0 };
	unsigned int before;

	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 2 * LINE, LINE));
	before = uring_threads();
	for (int round = 0; round < 3; round++) {
		seen = (struct seen){ .in_order = true };
		for (int i = 0; i < 2 * LINE; i++) {
			options.priority = round == 0 ? 0 : round == 1 ? (unsigned int)i % 5 :
									 2 * LINE - (unsigned int)i;
			ASSERT_EQ(0, kpost_sender_queue(self->sender, &i, sizeof(i), &options,
							(void *)(intptr_t)i));
		}
		ASSERT_EQ(0, kpost_sender_submit(self->sender));
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders > 0));
		if (uring_parks()) {
			EXPECT_EQ(before, uring_threads());
			if (round != 1)
				EXPECT_EQ(LINE - 1, kt_stat(self->fd).waiting_senders);
		}
		for (int i = 0; i < 2 * LINE; i++) {
			ASSERT_TRUE(comes(self));
			EXPECT_EQ(i, next_value(self->fd, true));
		}
		ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
		EXPECT_EQ(2 * LINE, seen.total);
		EXPECT_TRUE(seen.in_order);
	}
}

/* all of a long line would use up what its user may have under way */
TEST_F(sender, long_messages_wait_a_few_at_a_time)
{
	static char big[30000];

	if (!uring_parks())
		SKIP(return, "one waits at a time");
	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 16, 16));
	for (int i = 0; i < 16; i++)
		ASSERT_EQ(0, kpost_sender_queue(self->sender, big, sizeof(big), NULL,
						(void *)(intptr_t)i));
	ASSERT_EQ(0, kpost_sender_submit(self->sender));
	EXPECT_EQ(2, kt_stat(self->fd).waiting_senders);
	for (int i = 0; i < 16; i++) {
		ASSERT_TRUE(comes(self));
		EXPECT_EQ(sizeof(big), kt_recv(self->fd, NULL, big, sizeof(big), 0, kt_soon()));
	}
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(16, seen.total);
}

TEST_F(sender, cancel_of_all_ends_what_waits_without_a_worker)
{
	if (!uring_parks())
		SKIP(return, "what a worker does is tried again");
	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 16, 4));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, queue(self, i));
	ASSERT_EQ(0, kpost_sender_submit(self->sender));
	EXPECT_EQ(3, kpost_cancel(self->fd, 0));
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(4, seen.total);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(i ? -ECANCELED : 0, seen.result[i]) TH_LOG("message %d", i);
	}
	/* and goes on */
	EXPECT_EQ(0, next_value(self->fd, true));
	ASSERT_EQ(0, queue(self, 4));
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(4, next_value(self->fd, true));
}

TEST_F(sender, deadline_fails_one_message_and_not_those_behind_it)
{
	struct kpost_options soon = { .deadline = 0 };
	int late = 0;

	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 16, 16));
	ASSERT_EQ(0, kt_post(self->fd, &(int){ 77 }, sizeof(int), 0));
	soon.deadline = kt_in(50);
	ASSERT_EQ(0, kpost_sender_queue(self->sender, &late, sizeof(late), &soon, NULL));
	ASSERT_EQ(0, queue(self, 1));
	ASSERT_EQ(0, queue(self, 2));
	ASSERT_EQ(0, kpost_sender_submit(self->sender));
	/* on a slow machine it may have been too late already, and nothing else ends by itself */
	if (!seen.total) {
		ASSERT_EQ(0, kpost_sender_wait(self->sender, kt_soon()));
	}
	EXPECT_EQ(1, seen.total);
	EXPECT_EQ(-ETIMEDOUT, seen.result[0]);
	EXPECT_EQ(77, next_value(self->fd, true));
	/* the others were cancelled with it, and may be a moment behind it */
	ASSERT_TRUE(comes(self));
	EXPECT_EQ(1, next_value(self->fd, true));
	EXPECT_EQ(2, next_value(self->fd, true));
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(3, seen.total);
}

/* what is freed with messages in flight reports each, and what it says is so */
TEST_F(sender, freed_in_flight_it_reports_each_message_once_and_truly)
{
	for (int round = 0; round < 30; round++) {
		int sent_well = 0, cancelled = 0;

		close(self->fd);
		self->fd = kt_mailbox(5, 0, 0);
		ASSERT_EQ(0, sender_open(self, &seen, 32, 8));
		for (int i = 0; i < 32; i++) {
			ASSERT_EQ(0, queue(self, i));
		}
		ASSERT_EQ(0, kpost_sender_submit(self->sender));
		/* some received, some queued, some in flight, some not started */
		for (int i = 0; i < round % 6; i++) {
			EXPECT_EQ(i, next_value(self->fd, true));
		}
		cancelled = kpost_sender_free(self->sender);
		self->sender = NULL;
		EXPECT_EQ(32, seen.total);
		for (int i = 0; i < 32; i++) {
			EXPECT_EQ(1, seen.times[i]) TH_LOG("round %d, message %d", round, i);
			EXPECT_TRUE(seen.result[i] == 0 || seen.result[i] == -ECANCELED)
				TH_LOG("round %d, message %d: %d", round, i, seen.result[i]);
			if (seen.result[i] == 0)
				sent_well++;
		}
		EXPECT_EQ(32 - sent_well, cancelled);
		EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
		for (int i = round % 6; i < sent_well; i++) {
			EXPECT_EQ(i, next_value(self->fd, false)) TH_LOG("round %d", round);
		}
		EXPECT_EQ(-1, next_value(self->fd, false)) TH_LOG("cancelled, but sent");
	}
}

TEST_F(sender, closed_mailbox_fails_all_that_is_under_way)
{
	int pair[2];

	ASSERT_EQ(0, kt_pair(pair, 2, 0));
	close(self->fd);
	self->fd = pair[1];
	ASSERT_EQ(0, sender_open(self, &seen, 16, 4));
	for (int i = 0; i < 16; i++) {
		ASSERT_EQ(0, queue(self, i));
	}
	ASSERT_EQ(0, kpost_sender_submit(self->sender));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders > 0));
	close(pair[0]);
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	EXPECT_EQ(16, seen.total);
	EXPECT_TRUE(seen.in_order);
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(i < 2 ? 0 : -EPIPE, seen.result[i]) TH_LOG("message %d", i);
	}
}

TEST_F(sender, eventfd_is_readable_when_something_is_done)
{
	struct kpost_completion done[8];
	struct pollfd event;
	int got = 0;

	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, kt_post(self->fd, &(int){ 77 }, sizeof(int), 0));
	ASSERT_EQ(0, sender_open(self, NULL, 8, 4));
	event = (struct pollfd){ kpost_sender_eventfd(self->sender), POLLIN, 0 };
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, queue(self, i));
	}
	ASSERT_EQ(0, kpost_sender_submit(self->sender));
	EXPECT_EQ(0, poll(&event, 1, 0)) TH_LOG("nothing is done");
	EXPECT_EQ(0, kpost_sender_reap(self->sender, done, 8));

	/* a loop that does nothing unless it is told to */
	EXPECT_EQ(77, next_value(self->fd, true));
	for (int received = 0; got < 4;) {
		int n;

		if (received < 4 && next_value(self->fd, true) == received)
			received++;
		ASSERT_EQ(1, poll(&event, 1, KT_SOON)) TH_LOG("%d of 4, and no event", got);
		n = kpost_sender_reap(self->sender, done, 8);
		for (int i = 0; i < n; i++) {
			EXPECT_EQ(got + i, (int)(intptr_t)done[i].cookie);
			EXPECT_EQ(0, done[i].result);
		}
		got += n;
	}
	EXPECT_EQ(4, got);
	EXPECT_EQ(0, poll(&event, 1, 0)) TH_LOG("all was collected");
}

TEST_F(sender, payload_is_copied_when_it_is_queued)
{
	char scratch[64];

	ASSERT_EQ(0, sender_open(self, &seen, 64, 64));
	for (int i = 0; i < 32; i++) {
		memset(scratch, 'a' + i % 26, sizeof(scratch));
		ASSERT_EQ(0, kpost_sender_queue(self->sender, scratch, sizeof(scratch), NULL,
						(void *)(intptr_t)i));
	}
	memset(scratch, '!', sizeof(scratch));
	ASSERT_EQ(0, kpost_sender_flush(self->sender, kt_soon()));
	for (int i = 0; i < 32; i++) {
		ASSERT_EQ(64, kt_take(self->fd, NULL, scratch, sizeof(scratch)));
		EXPECT_EQ('a' + i % 26, scratch[0]);
		EXPECT_EQ('a' + i % 26, scratch[63]);
	}
}

static long queue_from_thread(void *arg)
{
	FIXTURE_DATA(sender) *self = arg;
	int ret;

	for (int i = 0; i < 100; i++) {
		int value = i;

		while ((ret = kpost_sender_queue(self->sender, &value, sizeof(value), NULL,
						 (void *)(intptr_t)i)) == -EAGAIN) {
			if (kpost_sender_wait(self->sender, kt_soon()))
				return -1;
		}
		if (ret)
			return ret;
	}
	return kpost_sender_flush(self->sender, kt_soon());
}

TEST_F(sender, threads_share_one)
{
	int count[100] = {};
	struct kt_job job[3];

	close(self->fd);
	self->fd = kt_mailbox(4, 0, 0);
	ASSERT_EQ(0, sender_open(self, &seen, 32, 8));
	for (int i = 0; i < 3; i++)
		kt_start_fn(&job[i], queue_from_thread, self);
	for (int i = 0; i < 300; i++) {
		int value = next_value(self->fd, true);

		ASSERT_LE(0, value) TH_LOG("message %d of 300 does not come", i);
		count[value]++;
	}
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_EQ(0, job[i].ret);
	}
	for (int i = 0; i < 100; i++) {
		EXPECT_EQ(3, count[i]);
	}
	EXPECT_EQ(300, seen.total);
}

/* thread by thread, as a program does that has one for each request */
static long queue_one(void *arg)
{
	FIXTURE_DATA(sender) *self = arg;
	int i = (int)kpost_sender_pending(self->sender);

	return queue(self, i) ?: kpost_sender_submit(self->sender);
}

static long flush(void *arg)
{
	FIXTURE_DATA(sender) *self = arg;

	return kpost_sender_flush(self->sender, kt_soon());
}

TEST_F(sender, threads_that_end_fail_no_message)
{
	struct kt_job job;

	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	ASSERT_EQ(0, kt_post(self->fd, &(int){ 77 }, sizeof(int), 0));
	ASSERT_EQ(0, sender_open(self, &seen, 128, 0));
	for (int i = 0; i < 100; i++) {
		kt_start_fn(&job, queue_one, self);
		ASSERT_TRUE(kt_join(&job));
		ASSERT_EQ(0, job.ret);
	}
	EXPECT_EQ(77, next_value(self->fd, true));
	kt_start_fn(&job, flush, self);
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(i, next_value(self->fd, true));
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(100, seen.total);
	for (int i = 0; i < 100; i++) {
		EXPECT_EQ(0, seen.result[i]) TH_LOG("message %d", i);
	}
}

/* what a child of fork() has of a sender keeps the endpoint open until it is forgotten */
TEST_F(sender, forgotten_by_a_child_it_ends_with_its_parent)
{
	pid_t *child = kt_shared(sizeof(*child)), parent;
	int pair[2];
	char buf[8];

	ASSERT_EQ(0, kt_pair(pair, 2, 0));
	parent = kt_fork();
	if (parent == 0) {
		close(self->fd);
		self->fd = pair[1];
		close(pair[0]);
		if (sender_open(self, NULL, 8, 4) || queue(self, 5) ||
		    kpost_sender_flush(self->sender, kt_soon()))
			_exit(1);
		if (fork() == 0) {
			close(pair[1]);
			kpost_sender_forget(self->sender);
			__atomic_store_n(child, getpid(), __ATOMIC_RELEASE);
			/* it outlives its parent, until it is killed */
			for (;;)
				pause();
		}
		_exit(kt_until(__atomic_load_n(child, __ATOMIC_ACQUIRE)) ? 0 : 2);
	}
	close(pair[1]);
	EXPECT_EQ(0, kt_exit_status(parent));
	EXPECT_EQ(4, kt_recv(pair[0], NULL, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(-EPIPE, kt_recv(pair[0], NULL, buf, sizeof(buf), 0, kt_soon()));
	close(pair[0]);
	if (*child)
		kill(*child, SIGKILL);
}

/* ---- a thread that waits in the library is cancelled -------------------------------------- */

static long wait_in_recv(void *arg)
{
	char buf[8];

	return kpost_recv(*(int *)arg, buf, sizeof(buf), NULL, 0, 0);
}

static long wait_in_send(void *arg)
{
	return kpost_send(*(int *)arg, "late", 4, 0, 0, 0);
}

static long wait_in_call(void *arg)
{
	char buf[8];

	return kpost_call(*(int *)arg, "ask", 3, buf, sizeof(buf), 0);
}

static bool cancel(struct kt_job *job)
{
	struct timespec until;
	void *result;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += KT_SOON / 1000;
	pthread_cancel(job->thread);
	return !pthread_timedjoin_np(job->thread, &result, &until) && result == PTHREAD_CANCELED;
}

TEST_F(sender, cancelled_thread_leaves_nothing_in_the_mailbox)
{
	struct kt_job job;
	char buf[8];

	close(self->fd);
	self->fd = kt_mailbox(1, 0, 0);
	kt_start_fn(&job, wait_in_recv, &self->fd);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_TRUE(cancel(&job));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);

	/* its request is taken back */
	kt_start_fn(&job, wait_in_call, &self->fd);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	ASSERT_TRUE(cancel(&job));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);

	ASSERT_EQ(0, kt_post(self->fd, "one", 3, 0));
	kt_start_fn(&job, wait_in_send, &self->fd);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_TRUE(cancel(&job));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(3, kt_take(self->fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, buf, sizeof(buf)));
}

TEST_HARNESS_MAIN
