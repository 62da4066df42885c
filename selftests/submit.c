// SPDX-License-Identifier: GPL-2.0-only
/*
 * A call that was submitted takes no thread: its reply is collected by the process that made
 * it, through the endpoint that it made it through, once, in any order; it is cancelled, or ends
 * with either.
 */
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#define LONGEST 4096

struct racers {
	int server, client;
	atomic_bool stop;
	atomic_uint submitted, ended; /* collected, or cancelled */
};

FIXTURE(submit) {
	int server;		/* receives */
	int client;		/* may only send */
	uint64_t id;
	struct kpost_recv recv;
	struct kpost_call_collect got;
	char request[LONGEST];
	char reply[LONGEST];
};

FIXTURE_SETUP(submit)
{
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 16, 16 * LONGEST));
	self->server = fds[0];
	self->client = fds[1];
}

FIXTURE_TEARDOWN(submit)
{
	close(self->client);
	close(self->server);
}

/* the next request is received, and is what was submitted last */
#define receive_request() \
	ASSERT_EQ(3, kt_take(self->server, &self->recv, self->request, sizeof(self->request)))

#define submit_one(number) \
	ASSERT_EQ(0, kt_submit(self->client, "ask", 3, 64, number, &self->id))

/* there is nothing to collect, and nothing is left of what there was */
#define expect_none() do {							\
	EXPECT_EQ(-EAGAIN, kt_collect(self->client, NULL, self->reply, 64, 0));	\
	EXPECT_EQ(0, kt_ready(self->client, POLLPRI | POLLIN));			\
	EXPECT_EQ(0, kt_cancel(self->client, 0));				\
	EXPECT_EQ(0, kt_stat(self->server).open_calls);				\
	EXPECT_EQ(0, kt_stat(self->server).queued_messages);			\
	EXPECT_EQ(0, kt_sending_used());					\
} while (0)

TEST_F(submit, submitted_call_gets_its_reply)
{
	struct kpost_call_submit args =
		kt_submit_args("ask", 3, 64, 0xfeed, 0, 0);
	struct kpost_reply reply = { .buf = (uintptr_t)"answer", .len = 6, .tag = 77 };

	args.priority = 5;
	args.tag = 1234;
	ASSERT_EQ(0, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args));
	EXPECT_NE(0, args.id);
	EXPECT_EQ(1, args.sequence);
	EXPECT_LT(0, kt_sending_used());
	EXPECT_EQ(0, kt_ready(self->client, POLLPRI | POLLIN));
	EXPECT_EQ(-EAGAIN, kt_collect(self->client, NULL, self->reply, 64, 0));
	EXPECT_EQ(-EAGAIN, kt_collect(self->client, NULL, self->reply, 64, args.id));

	receive_request();
	EXPECT_EQ(0, memcmp("ask", self->request, 3));
	EXPECT_EQ(KPOST_MESSAGE_CALL, self->recv.message_flags & KPOST_MESSAGE_CALL);
	EXPECT_EQ(64, self->recv.reply_max);
	EXPECT_EQ(5, self->recv.priority);
	EXPECT_EQ(1234, self->recv.tag);
	EXPECT_EQ(1, kt_stat(self->server).open_calls);
	EXPECT_EQ(-EMSGSIZE, kt_reply(self->server, self->recv.token, self->request, 65));
	reply.token = self->recv.token;
	ASSERT_EQ(0, kt_ioctl(self->server, KPOST_IOC_REPLY, &reply));
	EXPECT_EQ(POLLPRI | POLLIN, kt_ready(self->client, POLLPRI | POLLIN));

	ASSERT_EQ(6, kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(0, memcmp("answer", self->reply, 6));
	EXPECT_EQ(args.id, self->got.id);
	EXPECT_EQ(0xfeed, self->got.user_data);
	EXPECT_EQ(6, self->got.size);
	EXPECT_EQ(1, self->got.sequence);
	EXPECT_EQ(77, self->got.reply_tag);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->got.message_flags);
	EXPECT_NE(0, self->got.time);
	EXPECT_EQ(getpid(), self->got.pid);
	EXPECT_EQ(getuid(), self->got.uid);
	EXPECT_EQ(getgid(), self->got.gid);
	EXPECT_EQ(-ENOENT, kt_collect(self->client, NULL, self->reply, 64, args.id));
	EXPECT_EQ(-ENOENT, kt_reply(self->server, self->recv.token, "again", 5));
	expect_none();
}

TEST_F(submit, submitted_calls_are_collected_in_the_order_of_replies_or_by_id)
{
	uint64_t tokens[4], ids[4];
	static const int order[] = { 2, 0, 3, 1 };

	for (int i = 0; i < 4; i++) {
		submit_one(100 + i);
		ids[i] = self->id;
		receive_request();
		tokens[i] = self->recv.token;
	}
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, kt_reply(self->server, tokens[order[i]], &order[i], sizeof(int)));
	ASSERT_EQ(sizeof(int), kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(102, self->got.user_data);
	ASSERT_EQ(sizeof(int), kt_collect(self->client, &self->got, self->reply, 64, ids[3]));
	EXPECT_EQ(103, self->got.user_data);
	EXPECT_EQ(3, *(int *)self->reply);
	ASSERT_EQ(sizeof(int), kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(100, self->got.user_data);
	EXPECT_EQ(POLLPRI, kt_ready(self->client, POLLPRI));
	ASSERT_EQ(sizeof(int), kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(101, self->got.user_data);
	expect_none();
}

/* ---- waiting ------------------------------------------------------------------------- */

TEST_F(submit, collect_waits_for_one_or_for_any)
{
	struct kpost_call_collect args;
	struct kt_job job;

	for (int i = 0; i < 2; i++) {
		submit_one(i);
		receive_request();
		args = kt_collect_args(self->reply, 64, i ? self->id : 0, 0, kt_soon());
		kt_start(&job, self->client, KPOST_IOC_CALL_COLLECT, &args);
		ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
		if (i) {
			EXPECT_EQ(-EBUSY, kt_collect(self->client, NULL, NULL, 0, self->id));
		}
		ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(3, job.ret);
		EXPECT_EQ(self->id, args.id);
		EXPECT_EQ(i, args.user_data);
		expect_none();
	}
}

TEST_F(submit, collect_that_gives_up_leaves_the_call)
{
	struct kpost_call_collect args;
	struct kt_job job;

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	submit_one(0);
	receive_request();
	for (int i = 0; i < 2; i++) {
		args = kt_collect_args(self->reply, 64, i ? self->id : 0, 0, kt_in(20));
		EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->client, KPOST_IOC_CALL_COLLECT, &args));
		args.deadline = kt_soon();
		kt_start(&job, self->client, KPOST_IOC_CALL_COLLECT, &args);
		ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
		ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(-EINTR, job.ret);
		EXPECT_EQ(i ? self->id : 0, args.id);
		EXPECT_TRUE(kt_poisoned(&args.user_data, sizeof(args.user_data)));
	}
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	/* what is there is taken, late as it is */
	args.deadline = 1;
	EXPECT_EQ(3, kt_ioctl(self->client, KPOST_IOC_CALL_COLLECT, &args));
	expect_none();
}

TEST_F(submit, collectors_of_any_are_served_in_turn)
{
	enum { COUNT = 5 };
	struct kpost_call_collect args[COUNT];
	struct kt_job jobs[COUNT];

	for (int i = 0; i < COUNT; i++) {
		args[i] = kt_collect_args(self->reply + 64 * i, 64, 0, 0, kt_soon());
		kt_start(&jobs[i], self->client, KPOST_IOC_CALL_COLLECT, &args[i]);
		ASSERT_TRUE(kt_until(kt_asleep(jobs[i].tid)));
	}
	for (int i = 0; i < COUNT; i++) {
		submit_one(i);
		receive_request();
		ASSERT_EQ(0, kt_reply(self->server, self->recv.token, &i, sizeof(i)));
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(sizeof(i), jobs[i].ret);
		EXPECT_EQ(i, args[i].user_data);
		EXPECT_EQ(i, *(int *)(self->reply + 64 * i));
	}
	expect_none();
}

/* what one has no room for, another gets */
TEST_F(submit, collect_that_cannot_store_passes_it_on)
{
	struct kpost_call_collect small, large;
	struct kt_job first, second;

	submit_one(1);
	receive_request();
	small = kt_collect_args(self->reply, 2, 0, 0, kt_soon());
	large = kt_collect_args(self->reply, 64, 0, 0, kt_soon());
	kt_start(&first, self->client, KPOST_IOC_CALL_COLLECT, &small);
	ASSERT_TRUE(kt_until(kt_asleep(first.tid)));
	kt_start(&second, self->client, KPOST_IOC_CALL_COLLECT, &large);
	ASSERT_TRUE(kt_until(kt_asleep(second.tid)));
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&first));
	EXPECT_EQ(-EMSGSIZE, first.ret);
	EXPECT_EQ(3, small.size);
	EXPECT_EQ(0, small.id);
	ASSERT_TRUE(kt_join(&second));
	EXPECT_EQ(3, second.ret);
	EXPECT_EQ(1, large.user_data);
	expect_none();
}

TEST_F(submit, collect_that_fails_loses_nothing)
{
	char *edge = kt_edge(PROT_NONE);
	struct kpost_call_collect *args = (void *)kt_edge(PROT_READ | PROT_WRITE);

	submit_one(1);
	submit_one(2);
	for (int i = 0; i < 2; i++) {
		receive_request();
		ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "answer", 6));
	}
	EXPECT_EQ(-EMSGSIZE, kt_collect(self->client, &self->got, self->reply, 5, 0));
	EXPECT_EQ(6, self->got.size);
	EXPECT_TRUE(kt_poisoned(&self->got.user_data, sizeof(uint64_t)));
	EXPECT_EQ(-EFAULT, kt_collect(self->client, &self->got, edge - 3, 64, 0));
	EXPECT_TRUE(kt_poisoned(&self->got.user_data, sizeof(uint64_t)));
	*args = kt_collect_args(self->reply, 64, 0, KPOST_DONTWAIT, 0);
	ASSERT_EQ(0, mprotect(args, kt_page_size(), PROT_READ));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->client, KPOST_IOC_CALL_COLLECT, args));
	EXPECT_EQ(POLLPRI, kt_ready(self->client, POLLPRI));
	/* and it stays the first */
	ASSERT_EQ(6, kt_collect(self->client, &self->got, self->reply, 6, 0));
	EXPECT_EQ(1, self->got.user_data);
	ASSERT_EQ(6, kt_collect(self->client, &self->got, self->reply, 6, 0));
	EXPECT_EQ(2, self->got.user_data);
	expect_none();
}

/* ---- room ------------------------------------------------------------------------------ */

#define fill() do {								\
	for (int i_ = 0; i_ < 16; i_++)						\
		ASSERT_EQ(0, kt_post(self->client, "", 0, 0));			\
} while (0)

TEST_F(submit, submit_waits_for_room_or_does_not)
{
	struct kpost_call_submit args;
	struct kt_job job;

	fill();
	EXPECT_EQ(-EAGAIN, kt_submit(self->client, "ask", 3, 64, 0, &self->id));
	EXPECT_EQ(-ENOENT, kt_collect(self->client, NULL, NULL, 0, self->id));
	args = kt_submit_args("ask", 3, 64, 9, 0, kt_in(20));
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args));
	EXPECT_EQ(0, kt_sending_used());
	args = kt_submit_args("ask", 3, 64, 9, 0, 1);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args));

	args = kt_submit_args("ask", 3, 64, 9, 0, kt_soon());
	kt_start(&job, self->client, KPOST_IOC_CALL_SUBMIT, &args);
	ASSERT_TRUE(kt_until(kt_stat(self->client).waiting_senders == 1));
	ASSERT_EQ(0, kt_take(self->server, NULL, NULL, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(17, args.sequence);
	for (int i = 0; i < 15; i++)
		ASSERT_EQ(0, kt_take(self->server, NULL, NULL, 0));
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	ASSERT_EQ(3, kt_collect(self->client, &self->got, self->reply, 64, args.id));
	EXPECT_EQ(17, self->got.sequence);
	EXPECT_EQ(9, self->got.user_data);
	expect_none();
}

TEST_F(submit, submit_that_waits_for_room_ends_in_every_way)
{
	struct kpost_call_submit args = kt_submit_args("ask", 3, 64, 9, 0, kt_soon());
	struct kt_job job;

	fill();
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	kt_start(&job, self->client, KPOST_IOC_CALL_SUBMIT, &args);
	ASSERT_TRUE(kt_until(kt_stat(self->client).waiting_senders == 1));
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EINTR, job.ret);
	EXPECT_EQ(0, kt_sending_used());

	/* cancelled, as all are, by another thread */
	kt_start(&job, self->client, KPOST_IOC_CALL_SUBMIT, &args);
	ASSERT_TRUE(kt_until(kt_stat(self->client).waiting_senders == 1));
	EXPECT_EQ(1, kt_cancel(self->client, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ECANCELED, job.ret);
	EXPECT_EQ(0, kt_stat(self->client).waiting_senders);
	EXPECT_EQ(0, kt_sending_used());

	/* the mailbox goes */
	kt_start(&job, self->client, KPOST_IOC_CALL_SUBMIT, &args);
	ASSERT_TRUE(kt_until(kt_stat(self->client).waiting_senders == 1));
	close(self->server);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EPIPE, job.ret);
	EXPECT_EQ(-EPIPE, kt_collect(self->client, NULL, NULL, 0, 0));
	EXPECT_EQ(-EPIPE, kt_submit(self->client, "ask", 3, 64, 0, NULL));
	EXPECT_EQ(0, kt_cancel(self->client, 0));
	EXPECT_EQ(0, kt_sending_used());
}

static long cancel_again_and_again(void *arg)
{
	struct racers *racers = arg;
	long ret = 0;

	while (!atomic_load(&racers->stop) && ret >= 0)
		ret = kt_cancel(racers->client, 0);
	return ret < 0 ? ret : 0;
}

/* also before its request is in the mailbox, or waits for room */
TEST_F(submit, submit_is_cancelled_at_any_moment)
{
	struct racers racers = { .client = self->client };
	struct kt_job canceller;
	uint64_t end = kt_in(2000);
	unsigned int cancelled = 0;

	fill();
	kt_start_fn(&canceller, cancel_again_and_again, &racers);
	for (int i = 0; kt_now() < end; i++) {
		struct kpost_call_submit args =
			kt_submit_args("ask", 3, 64, 0, 0, kt_now() + i % 50 * 20000 + 1000);
		long ret = kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args);

		ASSERT_TRUE(ret == -ETIMEDOUT || ret == -ECANCELED);
		cancelled += ret == -ECANCELED;
	}
	atomic_store(&racers.stop, true);
	ASSERT_TRUE(kt_join(&canceller));
	EXPECT_EQ(0, canceller.ret);
	EXPECT_LT(0, cancelled);
	EXPECT_EQ(0, kt_stat(self->server).waiting_senders);
	EXPECT_EQ(16, kt_stat(self->server).queued_messages);
	EXPECT_EQ(0, kt_sending_used());
}

/* ---- the end ------------------------------------------------------------------------- */

TEST_F(submit, cancel_withdraws_what_was_not_received)
{
	struct kpost_call_cancel cancel = { .flags = 0 };

	submit_one(0);
	cancel.id = self->id;
	EXPECT_EQ(1, kt_ioctl(self->client, KPOST_IOC_CALL_CANCEL, &cancel));
	EXPECT_EQ(0, cancel.message_flags);
	EXPECT_EQ(1, cancel.sequence);
	EXPECT_EQ(-EAGAIN, kt_take(self->server, NULL, self->request, 64));
	EXPECT_EQ(1, kt_stat(self->server).dropped);
	EXPECT_EQ(-ENOENT, kt_ioctl(self->client, KPOST_IOC_CALL_CANCEL, &cancel));
	expect_none();
}

TEST_F(submit, cancel_of_a_received_call_is_told_the_replier)
{
	struct kpost_call_cancel cancel = { .flags = 0 };

	submit_one(0);
	receive_request();
	cancel.id = self->id;
	EXPECT_EQ(1, kt_ioctl(self->client, KPOST_IOC_CALL_CANCEL, &cancel));
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, cancel.message_flags);
	EXPECT_EQ(1, cancel.sequence);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	expect_none();
}

TEST_F(submit, cancel_loses_a_reply_that_has_come)
{
	submit_one(0);
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	EXPECT_EQ(POLLPRI, kt_ready(self->client, POLLPRI));
	EXPECT_EQ(1, kt_cancel(self->client, self->id));
	EXPECT_EQ(-ENOENT, kt_collect(self->client, NULL, self->reply, 64, self->id));
	expect_none();
}

TEST_F(submit, cancel_of_all_takes_all)
{
	for (int i = 0; i < 9; i++) {
		submit_one(i);
		if (i % 3) {
			receive_request();
		}
		if (i % 3 == 2) {
			ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
		}
	}
	EXPECT_EQ(9, kt_cancel(self->client, 0));
	while (kt_take(self->server, &self->recv, self->request, 64) >= 0)
		;
	EXPECT_EQ(-EAGAIN, kt_collect(self->client, NULL, NULL, 0, 0));
	EXPECT_EQ(0, kt_ready(self->client, POLLPRI));
}

TEST_F(submit, cancel_ends_a_wait_for_the_call)
{
	struct kpost_call_collect args;
	struct kt_job job;

	submit_one(0);
	args = kt_collect_args(self->reply, 64, self->id, 0, kt_soon());
	kt_start(&job, self->client, KPOST_IOC_CALL_COLLECT, &args);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	EXPECT_EQ(1, kt_cancel(self->client, self->id));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-ECANCELED, job.ret);
	expect_none();
}

/* also who waits for any, when there is none */
TEST_F(submit, cancel_of_all_ends_waits_for_any)
{
	enum { MANY = 20 };
	struct kpost_call_collect args[MANY];
	struct kt_job jobs[MANY];

	submit_one(0);
	for (int i = 0; i < MANY; i++) {
		args[i] = kt_collect_args(self->reply, 64, 0, 0, 0);
		kt_start(&jobs[i], self->client, KPOST_IOC_CALL_COLLECT, &args[i]);
		ASSERT_TRUE(kt_until(kt_asleep(jobs[i].tid)));
	}
	EXPECT_EQ(1, kt_cancel(self->client, 0));
	for (int i = 0; i < MANY; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-ECANCELED, jobs[i].ret);
	}
	expect_none();
}

/* one that came before the call takes its reply */
TEST_F(submit, collect_waits_for_what_is_submitted_later)
{
	struct kpost_call_collect args = kt_collect_args(self->reply, 64, 0, 0, kt_soon());
	struct kt_job job;

	kt_start(&job, self->client, KPOST_IOC_CALL_COLLECT, &args);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	submit_one(8);
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
	EXPECT_EQ(8, args.user_data);
	expect_none();
}

TEST_F(submit, submitted_call_ends_with_the_mailbox_or_the_receiver)
{
	int other = kt_grant(self->server, KPOST_RIGHT_RECV);
	uint64_t ids[3];

	ASSERT_LE(0, other);
	for (int i = 0; i < 3; i++) {
		submit_one(i);
		ids[i] = self->id;
	}
	ASSERT_EQ(3, kt_take(other, &self->recv, self->request, 64));
	close(other);
	ASSERT_EQ(-ECONNRESET, kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(ids[0], self->got.id);
	EXPECT_EQ(0, self->got.user_data);
	EXPECT_EQ(0, self->got.size);
	EXPECT_EQ(KPOST_MESSAGE_RECEIVED, self->got.message_flags);
	EXPECT_EQ(0, self->got.pid);
	receive_request();
	ASSERT_EQ(0, kt_drop(self->server, self->recv.token));
	ASSERT_EQ(-ECONNRESET, kt_collect(self->client, &self->got, self->reply, 64, ids[1]));
	EXPECT_EQ(getpid(), self->got.pid);
	EXPECT_EQ(0, kt_ready(self->client, POLLPRI));

	close(self->server);
	EXPECT_EQ(POLLPRI, kt_ready(self->client, POLLPRI) & POLLPRI);
	ASSERT_EQ(-EPIPE, kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(ids[2], self->got.id);
	EXPECT_EQ(3, self->got.sequence);
	EXPECT_EQ(0, self->got.message_flags);
	/* and there will never be another */
	EXPECT_EQ(-EPIPE, kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(0, self->got.id);
	EXPECT_EQ(-EPIPE, kt_collect_soon(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(0, kt_cancel(self->client, 0));
	EXPECT_EQ(0, kt_sending_used());
}

/* the deadline is for room, and nothing happens then */
TEST_F(submit, submit_past_its_deadline_finds_room)
{
	struct kpost_call_submit args = kt_submit_args("ask", 3, 64, 0, 0, 1);

	ASSERT_EQ(0, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args));
	receive_request();
	EXPECT_EQ(1, self->recv.call_deadline);
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	ASSERT_EQ(3, kt_collect(self->client, &self->got, self->reply, 64, args.id));
	while (!kt_submit(self->client, "ask", 3, 64, 0, NULL))
		;
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args));
	EXPECT_EQ(16, kt_cancel(self->client, 0));
	expect_none();
}

TEST_F(submit, submitted_call_ends_with_its_endpoint)
{
	int mine = kt_grant(self->client, KPOST_RIGHT_SEND), again;

	ASSERT_LE(0, mine);
	again = dup(mine);
	ASSERT_EQ(0, kt_submit(mine, "ask", 3, 64, 1, &self->id));
	ASSERT_EQ(0, kt_submit(mine, "ask", 3, 64, 2, NULL));
	ASSERT_EQ(0, kt_submit(mine, "ask", 3, 64, 3, NULL));
	/* through the other there are none */
	EXPECT_EQ(-ENOENT, kt_collect(self->client, NULL, NULL, 0, self->id));
	EXPECT_EQ(-ENOENT, kt_cancel(self->client, self->id));
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	receive_request();
	close(mine);
	EXPECT_EQ(POLLPRI, kt_ready(again, POLLPRI));
	close(again);
	EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
	expect_none();
}

struct child {
	int fd;
	uint64_t id;
	int ends;
};

static int has_no_calls(void *arg)
{
	struct child *child = arg;
	char buf[64];

	CHECK_EQ(0, kt_ready(child->fd, POLLPRI | POLLIN));
	CHECK_EQ(-EAGAIN, kt_collect(child->fd, NULL, buf, sizeof(buf), 0));
	CHECK_EQ(-ENOENT, kt_collect(child->fd, NULL, buf, sizeof(buf), child->id));
	CHECK_EQ(-ENOENT, kt_cancel(child->fd, child->id));
	CHECK_EQ(0, kt_cancel(child->fd, 0));
	/* but it can make some, of which the parent knows nothing */
	CHECK_EQ(0, kt_submit(child->fd, "mine", 4, 64, 5, &child->id));
	CHECK_EQ(1, kt_cancel(child->fd, child->id));
	return 0;
}

TEST_F(submit, submitted_call_is_not_a_childs)
{
	struct child child = { .fd = self->client };

	submit_one(4);
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	child.id = self->id;
	EXPECT_EQ(0, child_run(has_no_calls, &child));
	child.id = self->id;
	EXPECT_EQ(0, kt_exit_status(child_start_sharing(has_no_calls, &child)));
	ASSERT_EQ(3, kt_collect(self->client, &self->got, self->reply, 64, 0));
	EXPECT_EQ(4, self->got.user_data);
	expect_none();
}

static int submits_and_ends(void *arg)
{
	struct child *child = arg;

	for (int i = 0; i < 3; i++)
		CHECK_EQ(0, kt_submit(child->fd, "ask", 3, 64, 5, NULL));
	if (child->ends)
		raise(child->ends);
	return 0;
}

/* though the parent has the endpoint */
TEST_F(submit, submitted_call_ends_with_its_process)
{
	struct child child = { .fd = self->client };
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		child.ends = i ? SIGKILL : SIGSTOP;
		pid = child_start(submits_and_ends, &child);
		ASSERT_LT(0, pid);
		ASSERT_TRUE(kt_until(kt_stat(self->server).sent == (i + 1) * 3u));
		if (!i) {
			/* stopped, it loses nothing */
			ASSERT_TRUE(kt_until(kt_task_state(pid) == 'T'));
			receive_request();
			ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
			receive_request();
		}
		kt_kill(pid);
		ASSERT_TRUE(kt_until(kt_stat(self->server).queued_messages == 0));
		if (!i) {
			EXPECT_EQ(-ECANCELED, kt_reply(self->server, self->recv.token, "late", 4));
		}
		ASSERT_TRUE(kt_until(kt_sending_used() == 0));
	}
	expect_none();
}

/* ---- who is told ----------------------------------------------------------------------- */

static void *submits_and_executes(void *arg)
{
	struct child *child = arg;

	if (!kt_submit(child->fd, "ask", 3, 64, 5, NULL))
		execl("/bin/sh", "sh", "-c", "kill -STOP $$; exit 0", NULL);
	_exit(CHILD_FAILED);
}

static int executes(void *arg)
{
	submits_and_executes(arg);
	return CHILD_FAILED;
}

static int has_a_thread_execute(void *arg)
{
	pthread_t thread;

	CHECK_EQ(0, pthread_create(&thread, NULL, submits_and_executes, arg));
	for (;;)
		pause();
}

TEST_F(submit, submitted_call_goes_on_as_its_process_does_as_another_program)
{
	struct child child = { .fd = self->client };
	pid_t pid;

	fcntl(self->client, F_SETFD, 0);
	for (int i = 0; i < 2; i++) {
		pid = child_start(i ? has_a_thread_execute : executes, &child);
		ASSERT_TRUE(kt_until(kt_task_state(pid) == 'T'));
		receive_request();
		EXPECT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
		EXPECT_NE(0, kt_sending_used());
		EXPECT_EQ(0, kill(pid, SIGCONT));
		EXPECT_EQ(0, kt_exit_status(pid));
		ASSERT_TRUE(kt_until(kt_sending_used() == 0));
	}
	expect_none();
}

TEST_F(submit, submitted_call_ends_with_its_process_that_shares_its_descriptors)
{
	struct child child = { .fd = self->client };

	EXPECT_EQ(0, kt_exit_status(child_start_sharing(submits_and_ends, &child)));
	ASSERT_TRUE(kt_until(kt_stat(self->server).queued_messages == 0));
	ASSERT_TRUE(kt_until(kt_sending_used() == 0));
	expect_none();
}

TEST_F(submit, reply_is_told_by_epoll_each_time)
{
	struct epoll_event event = { .events = EPOLLPRI | EPOLLET };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_ctl(epfd, EPOLL_CTL_ADD, self->client, &event));
	EXPECT_EQ(0, epoll_wait(epfd, &event, 1, 0));
	for (int i = 0; i < 3; i++) {
		submit_one(i);
		EXPECT_EQ(0, epoll_wait(epfd, &event, 1, 0));
		receive_request();
		ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
		ASSERT_EQ(1, epoll_wait(epfd, &event, 1, KT_SOON));
		EXPECT_EQ(EPOLLPRI, event.events);
		EXPECT_EQ(0, epoll_wait(epfd, &event, 1, 0));
	}
	EXPECT_EQ(3, kt_cancel(self->client, 0));
	close(epfd);
	expect_none();
}

/* whom a reply is for nobody knows before: not even an exclusive wait takes it from others */
TEST_F(submit, reply_is_told_all_who_poll)
{
	enum { COUNT = 12 };
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int epfds[COUNT];

	for (int i = 0; i < COUNT; i++) {
		epfds[i] = epoll_create1(EPOLL_CLOEXEC);
		ASSERT_EQ(0, epoll_ctl(epfds[i], EPOLL_CTL_ADD, self->client, &event));
	}
	submit_one(0);
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	for (int i = 0; i < COUNT; i++) {
		ASSERT_EQ(1, epoll_wait(epfds[i], &event, 1, KT_SOON));
		close(epfds[i]);
	}
}

/* an endpoint that receives is readable for messages, and for nothing else */
TEST_F(submit, reply_makes_an_endpoint_that_receives_not_readable)
{
	int fd = kt_mailbox(0, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_submit(fd, "ask", 3, 64, 0, NULL));
	EXPECT_EQ(POLLIN, kt_ready(fd, POLLIN | POLLPRI));
	ASSERT_EQ(3, kt_take(fd, &self->recv, self->request, 64));
	EXPECT_EQ(0, kt_ready(fd, POLLIN | POLLPRI));
	ASSERT_EQ(0, kt_reply(fd, self->recv.token, "yes", 3));
	EXPECT_EQ(POLLPRI, kt_ready(fd, POLLIN | POLLPRI));
	ASSERT_EQ(3, kt_collect(fd, NULL, self->reply, 64, 0));
	EXPECT_EQ(0, kt_ready(fd, POLLIN | POLLPRI));
	close(fd);
}

/* ---- what is refused --------------------------------------------------------------------- */

TEST_F(submit, submit_refuses_what_it_cannot_do)
{
	const struct kpost_call_submit good =
		kt_submit_args("ask", 3, 64, 0, KPOST_DONTWAIT, 0);
	struct kpost_call_submit args, *page = (void *)kt_edge(PROT_READ | PROT_WRITE);

#define refused(err, field, value) do {						\
	args = good;								\
	args.field = (value);							\
	EXPECT_REFUSED(err, self->client, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, &args)); \
} while (0)
	refused(EINVAL, flags, KPOST_SYNC);
	refused(EINVAL, flags, KPOST_WANT_SEQUENCE);
	refused(EINVAL, flags, 1u << 31);
	refused(EINVAL, priority, KPOST_PRIORITY_MAX + 1);
	refused(EINVAL, deadline, UINT64_MAX);
	refused(EMSGSIZE, reply_max, KPOST_PAYLOAD_MAX + 1ull);
	refused(EMSGSIZE, reply_max, UINT64_MAX);
	refused(EMSGSIZE, len, 16 * LONGEST + 1);
	refused(EFAULT, buf, (uintptr_t)kt_edge(PROT_NONE) - 1);
#undef refused
	args = good;
	EXPECT_REFUSED(EBADF, self->server, kt_ioctl(self->server, KPOST_IOC_CALL_SUBMIT, &args));
	*page = good;
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
	EXPECT_REFUSED(EFAULT, self->client, kt_ioctl(self->client, KPOST_IOC_CALL_SUBMIT, page));
	expect_none();
}

TEST_F(submit, collect_and_cancel_refuse_what_they_cannot_do)
{
	const struct kpost_call_collect good =
		kt_collect_args(self->reply, 64, 0, KPOST_DONTWAIT, 0);
	struct kpost_call_cancel cancel = { .flags = 1 };
	struct kpost_call_collect args;

	submit_one(0);
	receive_request();
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
#define refused(err, field, value) do {						\
	args = good;								\
	args.field = (value);							\
	EXPECT_EQ(-(err), kt_ioctl(self->client, KPOST_IOC_CALL_COLLECT, &args)); \
	EXPECT_TRUE(kt_poisoned(&args.user_data, sizeof(args.user_data)));	\
} while (0)
	refused(EINVAL, flags, KPOST_TRUNCATE);
	refused(EINVAL, flags, 1u << 31);
	refused(EINVAL, reserved, 1);
	refused(EINVAL, deadline, UINT64_MAX);
	refused(ENOENT, id, self->id + 1);
	refused(ENOENT, id, UINT64_MAX);
#undef refused
	args = good;
	EXPECT_EQ(-EBADF, kt_ioctl(self->server, KPOST_IOC_CALL_COLLECT, &args));
	EXPECT_EQ(-EBADF, kt_cancel(self->server, 0));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->client, KPOST_IOC_CALL_CANCEL, &cancel));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->client, KPOST_IOC_CALL_CANCEL, kt_edge(PROT_NONE)));
	EXPECT_EQ(POLLPRI, kt_ready(self->client, POLLPRI));
	EXPECT_EQ(1, kt_cancel(self->client, 0));
	expect_none();
}

/* ---- many ---------------------------------------------------------------------------------- */

static unsigned int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

TEST_F(submit, submitted_calls_in_thousands_take_no_thread)
{
	enum { COUNT = 10000 };
	static uint64_t tokens[COUNT];
	static bool seen[COUNT];
	unsigned int before = threads();
	int fd = kt_mailbox(COUNT, 64 * COUNT, 64);

	ASSERT_LE(0, fd);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < COUNT; i++)
			ASSERT_EQ(0, kt_submit(fd, &i, sizeof(i), 64, i, NULL));
		EXPECT_EQ(before, threads());
		for (int i = 0; i < COUNT; i++) {
			ASSERT_EQ(sizeof(int), kt_take(fd, &self->recv, self->request, 64));
			tokens[i] = self->recv.token;
		}
		EXPECT_EQ(COUNT, kt_stat(fd).open_calls);
		if (round) {
			EXPECT_EQ(COUNT, kt_cancel(fd, 0));
			for (int i = 0; i < COUNT; i++)
				ASSERT_EQ(-ECANCELED, kt_reply(fd, tokens[i], NULL, 0));
			break;
		}
		for (int i = COUNT; i--;)
			ASSERT_EQ(0, kt_reply(fd, tokens[i], &i, sizeof(i)));
		for (int i = 0; i < COUNT; i++) {
			ASSERT_EQ(sizeof(int), kt_collect(fd, &self->got, self->reply, 64, 0));
			ASSERT_GT(COUNT, self->got.user_data);
			ASSERT_EQ(self->got.user_data, *(unsigned int *)self->reply);
			ASSERT_FALSE(seen[self->got.user_data]);
			seen[self->got.user_data] = true;
		}
	}
	EXPECT_EQ(-EAGAIN, kt_collect(fd, NULL, self->reply, 64, 0));
	EXPECT_EQ(0, kt_stat(fd).open_calls);
	EXPECT_EQ(0, kt_sending_used());
	close(fd);
}

static long race_serve(void *arg)
{
	struct racers *racers = arg;
	struct kpost_recv recv;
	uint64_t request;
	long ret;

	while (!atomic_load(&racers->stop)) {
		ret = kt_recv(racers->server, &recv, &request, sizeof(request), 0, kt_in(20));
		if (ret == -ETIMEDOUT)
			continue;
		if (ret != sizeof(request))
			return ret;
		ret = request % 5 ? kt_reply(racers->server, recv.token, &request, ret) :
				    kt_drop(racers->server, recv.token);
		if (ret && ret != -ECANCELED)
			return ret;
	}
	return 0;
}

static long race_submit(void *arg)
{
	struct racers *racers = arg;
	unsigned int seed = (unsigned int)gettid();
	uint64_t id;
	long ret;

	for (uint64_t i = 0; !atomic_load(&racers->stop); i++) {
		struct kpost_call_submit args =
			kt_submit_args(&i, sizeof(i), sizeof(i), i, 0, kt_in(20));

		ret = kt_ioctl(racers->client, KPOST_IOC_CALL_SUBMIT, &args);
		if (ret == -ETIMEDOUT)
			continue;
		if (ret)
			return ret;
		id = args.id;
		atomic_fetch_add(&racers->submitted, 1);
		if (rand_r(&seed) % 3)
			continue;
		ret = kt_cancel(racers->client, id);
		if (ret == 1)
			atomic_fetch_add(&racers->ended, 1);
		else if (ret != -ENOENT && ret != -EBUSY)
			return ret;
	}
	return 0;
}

static long race_collect(void *arg)
{
	struct racers *racers = arg;
	struct kpost_call_collect args;
	uint64_t reply;
	long ret;

	while (!atomic_load(&racers->stop)) {
		args = kt_collect_args(&reply, sizeof(reply), 0, 0, kt_in(20));
		ret = kt_ioctl(racers->client, KPOST_IOC_CALL_COLLECT, &args);
		if (ret == -ETIMEDOUT)
			continue;
		if (ret != -ECONNRESET && (ret != sizeof(reply) || reply != args.user_data))
			return ret;
		if ((ret == -ECONNRESET) != (args.user_data % 5 == 0))
			return -EPROTO;
		atomic_fetch_add(&racers->ended, 1);
	}
	return 0;
}

TEST_F(submit, submitted_calls_in_a_race_end_once_each)
{
	struct racers racers = { .server = self->server, .client = self->client };
	long (*const fns[])(void *) = { race_serve, race_serve, race_submit, race_submit,
					race_collect, race_collect };
	struct kt_job jobs[ARRAY_SIZE(fns)];
	uint64_t end = kt_in(3000);
	unsigned int left;

	for (size_t i = 0; i < ARRAY_SIZE(fns); i++)
		kt_start_fn(&jobs[i], fns[i], &racers);
	while (kt_now() < end)
		kt_pause();
	atomic_store(&racers.stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(fns); i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
	left = (unsigned int)kt_cancel(self->client, 0);
	EXPECT_EQ(atomic_load(&racers.submitted), atomic_load(&racers.ended) + left);
	EXPECT_LT(0, atomic_load(&racers.ended));
	while (kt_take(self->server, &self->recv, self->request, 64) >= 0)
		;
	EXPECT_EQ(0, kt_sending_used());
}

/* ---- io_uring -------------------------------------------------------------------------------- */

TEST_F(submit, submit_and_collect_through_io_uring)
{
	struct kpost_call_submit args = kt_submit_args("ask", 3, 64, 7, 0, 0);
	struct kpost_call_collect got = kt_collect_args(self->reply, 64, 0, 0, kt_soon());
	struct uring_result result;
	struct io_uring ring;

	if (uring_init(&ring, 8, 0))
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, uring_do(&ring, self->client, KPOST_IOC_CALL_SUBMIT, &args));
	receive_request();
	/* a collect that waits, while the reply is not there */
	uring_op(&ring, self->client, KPOST_IOC_CALL_COLLECT, &got, 1);
	ASSERT_EQ(1, io_uring_submit(&ring));
	EXPECT_FALSE(uring_done(&ring));
	ASSERT_EQ(0, kt_reply(self->server, self->recv.token, "yes", 3));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(3, result.res);
	EXPECT_EQ(7, got.user_data);
	EXPECT_EQ(args.id, got.id);
	io_uring_queue_exit(&ring);
	expect_none();
}

TEST_HARNESS_MAIN
