// SPDX-License-Identifier: GPL-2.0-only
/*
 * What comes with a message beside its payload: the tag, the time it got in, the deadline of
 * a call; and what tells a mailbox from all others.  (The badge is for grant.c, the ids are
 * for identity.c and opener.c.)
 */
#include "child_test.h"
#include "uring_test.h"

#define TAG 0xfedcba9876543210ull

FIXTURE(header) {
	int fd;			/* all rights, room for 2 messages */
	struct io_uring ring;
	struct kpost_recv recv;
	char buf[64];
};

FIXTURE_SETUP(header)
{
	self->fd = kt_mailbox(2, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_init(&self->ring, 4, 0));
}

FIXTURE_TEARDOWN(header)
{
	io_uring_queue_exit(&self->ring);
	close(self->fd);
}

static struct kpost_send tagged(const char *text, uint64_t tag, unsigned int flags)
{
	struct kpost_send send = kt_send_args(text, strlen(text), 0, flags, kt_soon());

	send.tag = tag;
	return send;
}

/* the clock that tells when a message got in */
static uint64_t coarse_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

TEST_F(header, tag_arrives_whatever_way_the_message_goes)
{
	static const uint64_t tags[] = { 0, 1, 1ull << 32, TAG, UINT64_MAX };
	struct kt_job job;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		struct kpost_send send = tagged("x", tags[i], KPOST_DONTWAIT);

		/* queued */
		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
		EXPECT_EQ(tags[i], self->recv.tag);
		ASSERT_EQ(0, uring_do(&self->ring, self->fd, KPOST_IOC_SEND, &send));
		self->recv = kt_recv_args(self->buf, 8, KPOST_DONTWAIT, 0);
		ASSERT_EQ(1, uring_do(&self->ring, self->fd, KPOST_IOC_RECV, &self->recv));
		EXPECT_EQ(tags[i], self->recv.tag);
		/* handed over */
		self->recv = kt_recv_args(self->buf, 8, 0, kt_soon());
		kt_start(&job, self->fd, KPOST_IOC_RECV, &self->recv);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
		ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		ASSERT_TRUE(kt_join(&job));
		EXPECT_EQ(tags[i], self->recv.tag);
		/* waited for room */
		for (int k = 0; k < 2; k++)
			ASSERT_EQ(0, kt_post(self->fd, "full", 4, 0));
		send.flags = 0;
		kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
		for (int k = 0; k < 3; k++) {
			ASSERT_LT(0, kt_take(self->fd, &self->recv, self->buf, 8));
			EXPECT_EQ(k == 2 ? tags[i] : 0, self->recv.tag);
		}
		ASSERT_TRUE(kt_join(&job));
	}
}

TEST_F(header, tag_of_a_call_and_of_its_reply_are_each_ones_own)
{
	struct kpost_call call = kt_call_args("x", 1, self->buf, 8, kt_soon());
	struct kpost_reply reply = { .tag = ~TAG };
	struct kt_job caller;

	call.tag = TAG;
	for (int i = 0; i < 2; i++) {
		kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
		ASSERT_EQ(1, kt_recv(self->fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
		EXPECT_EQ(TAG, self->recv.tag);
		reply.token = self->recv.token;
		if (i == 0) {
			ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_REPLY, &reply));
		} else {
			self->recv = kt_recv_args(self->buf + 8, 8, KPOST_DONTWAIT, 0);
			ASSERT_EQ(-EAGAIN, kt_reply_recv(self->fd, &reply, &self->recv));
			EXPECT_EQ(0, reply.token);
		}
		ASSERT_TRUE(kt_join(&caller));
		EXPECT_EQ(0, caller.ret);
		EXPECT_EQ(~TAG, call.reply_tag);
		EXPECT_EQ(TAG, call.tag);
	}
}

TEST_F(header, drop_takes_no_tag_and_tells_when)
{
	struct kpost_call call = kt_call_args("x", 1, self->buf, 8, kt_soon());
	struct kpost_reply reply = { .flags = KPOST_DROP, .tag = 1 };
	struct kt_job caller;

	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(1, kt_recv(self->fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
	reply.token = self->recv.token;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_REPLY, &reply));
	reply.tag = 0;
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_REPLY, &reply));
	ASSERT_TRUE(kt_join(&caller));
	EXPECT_EQ(-ECONNRESET, caller.ret);
	EXPECT_EQ(0, call.reply_tag);
	/* of who gave it up, as the ids are */
	EXPECT_EQ(0, call.badge);
	EXPECT_LE(self->recv.time, call.time);
	EXPECT_GE(coarse_now(), call.time);
}

TEST_F(header, message_that_is_put_back_keeps_tag_and_time)
{
	struct kpost_send send = tagged("hello", TAG, KPOST_DONTWAIT);
	char *page = kt_edge(PROT_READ | PROT_WRITE);
	struct kt_job job;
	uint64_t tick;

	/* a receiver whose memory goes while it waits is given it, and gives it back */
	self->recv = kt_recv_args(page, 8, 0, kt_soon());
	kt_start(&job, self->fd, KPOST_IOC_RECV, &self->recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_NONE));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	tick = coarse_now();
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EFAULT, job.ret);
	ASSERT_TRUE(kt_until(coarse_now() > tick));
	/* one that it does not fit into never has it */
	EXPECT_EQ(-EMSGSIZE, kt_take(self->fd, &self->recv, self->buf, 4));
	ASSERT_EQ(5, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_EQ(TAG, self->recv.tag);
	EXPECT_GE(tick, self->recv.time);
}

TEST_F(header, time_is_when_the_message_got_in)
{
	struct kpost_call call = kt_call_args("x", 1, self->buf, 8, kt_soon());
	struct kpost_send send = tagged("x", 0, 0);
	uint64_t before, after, tick;
	struct kt_job job;

	before = coarse_now();
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	after = coarse_now();
	ASSERT_EQ(1, write(self->fd, "x", 1));
	ASSERT_TRUE(kt_until(coarse_now() > after));
	ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_LE(before, self->recv.time);
	EXPECT_GE(after, self->recv.time);

	/* one that waits for room gets in when there is some */
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	tick = coarse_now();
	ASSERT_TRUE(kt_until(coarse_now() > tick));
	ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_GE(after + KT_MS * KT_SOON, self->recv.time);
	ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_GE(tick, self->recv.time);
	ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_LT(tick, self->recv.time);
	EXPECT_GE(coarse_now(), self->recv.time);
	ASSERT_TRUE(kt_join(&job));

	/* a reply has a time of its own */
	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(1, kt_recv(self->fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
	tick = coarse_now();
	ASSERT_TRUE(kt_until(coarse_now() > tick));
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "y", 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_GE(tick, self->recv.time);
	EXPECT_LT(tick, call.time);
	EXPECT_GE(coarse_now(), call.time);
}

TEST_F(header, deadline_of_a_call_is_seen_by_its_receiver_alone)
{
	uint64_t deadlines[] = { 0, kt_soon(), INT64_MAX };
	struct kt_job caller;

	ASSERT_EQ(0, kt_send(self->fd, "x", 1, 0, KPOST_DONTWAIT, kt_soon()));
	ASSERT_EQ(1, kt_take(self->fd, &self->recv, self->buf, 8));
	EXPECT_EQ(0, self->recv.call_deadline);
	for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
		struct kpost_call call = kt_call_args("x", 1, self->buf, 8, deadlines[i]);

		kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
		ASSERT_EQ(1, kt_recv(self->fd, &self->recv, self->buf + 8, 8, 0, kt_soon()));
		EXPECT_EQ(deadlines[i], self->recv.call_deadline);
		ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "y", 1));
		ASSERT_TRUE(kt_join(&caller));
	}
}

struct far {
	int fd;
	int64_t ahead; /* of the child's clock, in nanoseconds */
	uint64_t tick; /* of the parent's, before it sent */
	uint64_t deadline; /* the parent's call's */
};

/* by the child's clock everything is some time off */
static int receive_far(void *arg)
{
	const struct far *far = arg;
	uint64_t deadline = far->deadline;
	struct kpost_recv recv;
	char buf[8];

	if (deadline && deadline != INT64_MAX)
		deadline += far->ahead;
	CHECK_EQ(4, kt_recv(far->fd, &recv, buf, 8, 0, kt_soon()));
	/* what is older than the clock is as old as that */
	CHECK((int64_t)recv.time >= (int64_t)far->tick + far->ahead);
	CHECK(recv.time <= coarse_now());
	CHECK_EQ(deadline, recv.call_deadline);
	CHECK_EQ(0, kt_reply(far->fd, recv.token, "y", 1));
	/* and a call of its own, for a receiver here */
	CHECK_EQ(0, kt_call(far->fd, "back", 4, buf, 8, deadline));
	return 0;
}

static int receive_by_another_clock(void *arg)
{
	const struct far *far = arg;
	const int64_t second = 1000000000;
	char offset[64];

	CHECK_EQ(0, unshare(CLONE_NEWTIME));
	snprintf(offset, sizeof(offset), "monotonic %lld %lld\n",
		 (long long)((far->ahead - (far->ahead < 0 ? second - 1 : 0)) / second),
		 (long long)((far->ahead % second + second) % second));
	CHECK_EQ(0, child_write("/proc/self/timens_offsets", offset));
	/* it begins with the next child */
	return child_run(receive_far, arg);
}

TEST_F(header, time_and_deadline_are_by_the_receivers_own_clock)
{
	const int64_t second = 1000000000;
	const int64_t aheads[] = { 5 * 3600 * second, 1000 * 3600 * second, -1 * second, 0 };
	const uint64_t deadlines[] = { kt_soon(), INT64_MAX, 0 };

	if (geteuid() != 0)
		SKIP(return, "a time namespace needs root");
	if (access("/proc/self/ns/time", F_OK))
		SKIP(return, "the kernel has no time namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(aheads) * ARRAY_SIZE(deadlines); i++) {
		struct far far = {
			self->fd, aheads[i / ARRAY_SIZE(deadlines)], coarse_now(),
			deadlines[i % ARRAY_SIZE(deadlines)],
		};
		struct kpost_call call = kt_call_args("call", 4, self->buf, 8, far.deadline);
		struct kt_job caller;
		pid_t pid;

		kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
		if (!far.ahead) {
			/* the child's clock begins after the request */
			ASSERT_TRUE(kt_until(coarse_now() > far.tick + 30 * KT_MS));
			far.ahead = -(int64_t)(kt_now() - 10 * KT_MS);
		}
		pid = child_start(receive_by_another_clock, &far);
		ASSERT_TRUE(kt_join(&caller));
		EXPECT_EQ(1, caller.ret);
		EXPECT_LE(far.tick, call.time);
		EXPECT_GE(coarse_now(), call.time);
		ASSERT_EQ(4, kt_recv(self->fd, &self->recv, self->buf, 8, 0, kt_soon()));
		EXPECT_EQ(far.deadline, self->recv.call_deadline);
		ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "", 0));
		ASSERT_EQ(0, child_finish(pid, 40));
	}
}

static int identity_elsewhere(void *arg)
{
	uint64_t *identity = arg;
	int fd;

	if (unshare(CLONE_NEWNET))
		return CHILD_SKIPPED;
	fd = kt_mailbox(1, 0, 0);
	CHECK(fd >= 0);
	*identity = kt_stat(fd).identity;
	return 0;
}

TEST_F(header, identity_of_a_mailbox_is_nobody_elses)
{
	uint64_t *elsewhere = kt_shared(sizeof(*elsewhere)), seen[64], last = 0;
	char name[KT_NAME_SIZE];
	int fd, status;

	ASSERT_NE(NULL, elsewhere);
	fd = kt_grant(self->fd, KT_ALL);
	EXPECT_EQ(kt_stat(self->fd).identity, kt_stat(fd).identity);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		fd = kt_mailbox(1, 0, 0);
		ASSERT_LE(0, fd);
		seen[i] = kt_stat(fd).identity;
		EXPECT_NE(0, seen[i]);
		for (size_t k = 0; k < i; k++)
			EXPECT_NE(seen[k], seen[i]);
		close(fd);
	}
	/* the same name, another mailbox */
	kt_name(name);
	for (int i = 0; i < 3; i++) {
		fd = kt_create(name, KT_ALL);
		ASSERT_LE(0, fd);
		EXPECT_NE(last, kt_stat(fd).identity);
		last = kt_stat(fd).identity;
		close(fd);
	}
	status = child_run(identity_elsewhere, elsewhere);
	if (status == CHILD_SKIPPED)
		SKIP(return, "no network namespaces");
	ASSERT_EQ(0, status);
	EXPECT_NE(last, *elsewhere);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		EXPECT_NE(seen[i], *elsewhere);
}

TEST_F(header, list_tells_the_identity_and_nobodys_rights)
{
	struct kpost_stat st, entry;
	struct kpost_list list = {
		.buf = (uintptr_t)&entry,
		.count = 1,
		.entry_size = sizeof(entry),
	};
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KT_ALL);
	long ret;

	ASSERT_LE(0, fd);
	st = kt_stat(fd);
	EXPECT_EQ(KT_ALL, st.rights);
	while ((ret = kt_ioctl(kt_device(), KPOST_IOC_LIST, &list)) == 1 &&
	       strcmp(entry.name, name))
		memcpy(list.after, entry.name, sizeof(list.after));
	ASSERT_EQ(1, ret);
	EXPECT_EQ(0, entry.rights);
	entry.rights = st.rights;
	EXPECT_TRUE(kt_stat_same(st, entry));
	close(fd);
}

TEST_F(header, unattended_counts_what_finds_it_empty_with_nobody_waiting)
{
	struct kpost_recv recv = kt_recv_args(self->buf, 8, 0, kt_soon());
	struct kt_job job;

	EXPECT_EQ(0, kt_stat(self->fd).unattended);
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	EXPECT_EQ(1, kt_stat(self->fd).unattended);
	/* there is one already */
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	EXPECT_EQ(1, kt_stat(self->fd).unattended);
	/* what did not get in */
	EXPECT_EQ(-EAGAIN, kt_post(self->fd, "x", 1, 0));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, 8));
	EXPECT_EQ(1, kt_stat(self->fd).unattended);
	/* somebody waits */
	kt_start(&job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_receivers == 1));
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(1, kt_stat(self->fd).unattended);
	ASSERT_EQ(1, write(self->fd, "x", 1));
	EXPECT_EQ(2, kt_stat(self->fd).unattended);
}

TEST_HARNESS_MAIN
