// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 3: what a user has under way counts in a share of its own: what waits for room,
 * what is long and being copied, open calls and the room for their replies, grants.  A
 * message of up to 64 KiB that finds room counts nowhere.
 */
#include "account_test.h"

#define LONGEST	(1 << 18)

static char payload[LONGEST], buf[LONGEST];

FIXTURE(sending) {
	int fd;			/* USER's, with room */
	int full;		/* and without */
	uint64_t header;	/* what an empty message counts for */
	struct kt_job job;
	struct kpost_send send;
	struct kpost_call call;
	struct kpost_recv recv;
};

/* start a send that waits for room in self->full */
#define start_waiting(len, deadline) do {					\
	self->send = kt_send_args(payload, len, 0, 0, deadline);		\
	kt_start(&self->job, self->full, KPOST_IOC_SEND, &self->send);		\
	ASSERT_TRUE(kt_until(kt_stat(self->full).waiting_senders == 1));	\
} while (0)

#define expect_end(err) do {							\
	ASSERT_TRUE(kt_join(&self->job));					\
	EXPECT_EQ(err, self->job.ret);						\
} while (0)

/* somebody receives from self->full, which is full again once the waiting send is in */
#define let_in() do {								\
	ASSERT_LE(0, kt_take(self->full, NULL, buf, sizeof(buf)));		\
	expect_end(0);								\
} while (0)

FIXTURE_SETUP(sending)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, drop_to(USER));
	self->fd = kt_mailbox(16, 4 * LONGEST, LONGEST);
	ASSERT_LE(0, self->fd);
	self->full = kt_mailbox(1, LONGEST, LONGEST);
	ASSERT_LE(0, self->full);
	ASSERT_EQ(0, kt_post(self->full, "", 0, 0));
	start_waiting(0, kt_soon());
	self->header = sending();
	let_in();
	ASSERT_LT(0, self->header);
	ASSERT_GE(512, self->header);
	ASSERT_EQ(0, sending());
}

FIXTURE_TEARDOWN(sending)
{
}

/* ---- a send that finds room ------------------------------------------------------------ */

static long post_pieces(int fd, size_t len)
{
	struct kpost_iovec iov[] = {
		{ (uintptr_t)payload, 1 },
		{ (uintptr_t)payload, len / 2 },
		{ (uintptr_t)payload, len - len / 2 - 1 },
	};

	return kt_send(fd, iov, 3, 0, KPOST_IOVEC | KPOST_DONTWAIT, 0);
}

static long write_all(int fd, size_t len)
{
	ssize_t ret = write(fd, payload, len);

	return ret < 0 ? -errno : ret == (ssize_t)len ? 0 : -EIO;
}

TEST_F(sending, of_up_to_64_kib_meets_no_limit)
{
	static const size_t sizes[] = { 1, 2, 4000, 65535, UNCOUNTED };

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 0));
	ASSERT_EQ(0, limit_as_root("office_sending_bytes", 0));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(0, kt_post(self->fd, payload, sizes[i], 0));
		EXPECT_EQ(0, kt_send(self->fd, payload, sizes[i], 0, 0, kt_soon()));
		EXPECT_EQ(0, post_pieces(self->fd, sizes[i]));
		EXPECT_EQ(0, write_all(self->fd, sizes[i]));
		EXPECT_TRUE(office_has(used(), 0));
		for (int n = 0; n < 4; n++)
			EXPECT_EQ(sizes[i], kt_take(self->fd, NULL, buf, sizeof(buf)));
	}
	/* nor while its sender waits for receipt */
	self->send = kt_send_args(payload, UNCOUNTED, 0, KPOST_SYNC, kt_soon());
	kt_start(&self->job, self->fd, KPOST_IOC_SEND, &self->send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	EXPECT_EQ(0, sending());
	EXPECT_TRUE(office_has(used(), 0));
	ASSERT_EQ(UNCOUNTED, kt_take(self->fd, NULL, buf, sizeof(buf)));
	expect_end(0);
}

static void expect_long_refused(struct __test_metadata *_metadata, int fd, int err)
{
	struct kpost_send send = kt_send_args(payload, UNCOUNTED + 1, 0, KPOST_SYNC, kt_soon());

	EXPECT_REFUSED(err, fd, kt_post(fd, payload, UNCOUNTED + 1, 0));
	EXPECT_REFUSED(err, fd, kt_post(fd, payload, LONGEST, 9));
	EXPECT_REFUSED(err, fd, kt_send(fd, payload, UNCOUNTED + 1, 0, 0, kt_soon()));
	EXPECT_REFUSED(err, fd, post_pieces(fd, UNCOUNTED + 1));
	EXPECT_REFUSED(err, fd, write_all(fd, UNCOUNTED + 1));
	EXPECT_REFUSED(err, fd, kt_ioctl(fd, KPOST_IOC_SEND, &send));
	/* what comes out is told on success alone */
	send.flags = KPOST_WANT_SEQUENCE;
	send.sequence = 0x5a5a5a5a5a5a5a5a;
	EXPECT_REFUSED(err, fd, kt_ioctl(fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, send.sequence);
	EXPECT_TRUE(office_has(used(), 0));
	EXPECT_EQ(0, sending());
}

/* a byte more does, by the header and the payload, while it is copied */
TEST_F(sending, of_more_than_64_kib_is_counted_while_it_is_copied)
{
	const uint64_t need = self->header + UNCOUNTED + 1, all = limit_get("user_sending_bytes");

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", need - 1));
	expect_long_refused(_metadata, self->fd, EDQUOT);
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", need));
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, kt_post(self->fd, payload, UNCOUNTED + 1, 0));
		EXPECT_EQ(0, sending()) TH_LOG("it is in, and is the mailbox's");
	}
	EXPECT_REFUSED(EDQUOT, self->fd, kt_post(self->fd, payload, UNCOUNTED + 2, 0));

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", all));
	ASSERT_EQ(0, limit_as_root("office_sending_bytes", office_for(need) - 1));
	expect_long_refused(_metadata, self->fd, ENOBUFS);
	ASSERT_EQ(0, limit_as_root("office_sending_bytes", office_for(need)));
	EXPECT_EQ(0, kt_post(self->fd, payload, UNCOUNTED + 1, 0));
	EXPECT_EQ(0, sending());
}

/* nothing that fails later leaves anything */
TEST_F(sending, of_more_than_64_kib_that_fails_counts_for_nothing)
{
	char *edge = kt_edge(PROT_NONE);

	EXPECT_REFUSED(EFAULT, self->fd, kt_post(self->fd, edge - 8, UNCOUNTED + 1, 0));
	EXPECT_REFUSED(EMSGSIZE, self->fd, kt_post(self->fd, payload, LONGEST + 1, 0));
	EXPECT_REFUSED(EAGAIN, self->full, kt_post(self->full, payload, UNCOUNTED + 1, 0));
	EXPECT_REFUSED(ETIMEDOUT, self->full,
		       kt_send(self->full, payload, UNCOUNTED + 1, 0, 0, kt_in(1)));
	EXPECT_EQ(0, sending());
	EXPECT_TRUE(office_has(used(), 0));
}

/* ---- waiting for room ------------------------------------------------------------------ */

TEST_F(sending, counts_while_it_waits_for_room)
{
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", self->header + 100));
	EXPECT_REFUSED(EDQUOT, self->full, kt_send(self->full, payload, 101, 0, 0, kt_soon()));
	start_waiting(100, kt_soon());
	EXPECT_EQ(self->header + 100, sending());
	EXPECT_TRUE(office_has(used(), self->header + 100));
	/* another is refused at once, and does not wait */
	EXPECT_REFUSED(EDQUOT, self->full, kt_send(self->full, payload, 0, 0, 0, 0));
	EXPECT_REFUSED(EDQUOT, self->full,
		       kt_send(self->full, payload, 1, 0, KPOST_SYNC, kt_soon()));
	EXPECT_REFUSED(EDQUOT, self->full, write_all(self->full, 1));
	EXPECT_EQ(self->header + 100, sending());
	/* where there is room there is nothing to refuse */
	EXPECT_EQ(0, kt_post(self->fd, payload, UNCOUNTED, 0));
	let_in();
	EXPECT_EQ(0, sending());
	EXPECT_EQ(100, kt_stat(self->full).queued_bytes);
	start_waiting(100, kt_soon());
	let_in();
	EXPECT_EQ(0, sending());
}

TEST_F(sending, without_waiting_counts_nothing)
{
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 0));
	ASSERT_EQ(0, limit_as_root("office_sending_bytes", 0));
	EXPECT_REFUSED(EAGAIN, self->full, kt_post(self->full, payload, 0, 0));
	EXPECT_REFUSED(EAGAIN, self->full, kt_post(self->full, payload, UNCOUNTED, 9));
	EXPECT_REFUSED(EDQUOT, self->full, kt_send(self->full, payload, 0, 0, 0, kt_soon()));
	ASSERT_EQ(0, fcntl(self->full, F_SETFL, O_NONBLOCK));
	EXPECT_REFUSED(EAGAIN, self->full, kt_send(self->full, payload, 0, 0, 0, kt_soon()));
	EXPECT_REFUSED(EAGAIN, self->full, write_all(self->full, 10));
	EXPECT_EQ(0, sending());
	/* and what may be sent without, as soon as there is room */
	ASSERT_EQ(0, kt_take(self->full, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, kt_post(self->full, payload, UNCOUNTED, 0));
}

/* it was counted when it was copied, and goes on to be */
TEST_F(sending, long_message_that_waits_counts_once)
{
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", self->header + LONGEST));
	start_waiting(LONGEST, kt_soon());
	EXPECT_EQ(self->header + LONGEST, sending());
	let_in();
	EXPECT_EQ(0, sending());
	EXPECT_EQ(LONGEST, kt_stat(self->full).queued_bytes);
}

static int wait_forever(void *arg)
{
	return kt_send(*(int *)arg, payload, 100, 0, 0, 0) ? CHILD_FAILED : 0;
}

TEST_F(sending, wait_gives_back_however_it_ends)
{
	pid_t pid;

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", self->header + 100));
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	for (int round = 0; round < 3; round++) {
		start_waiting(100, kt_later());
		expect_end(-ETIMEDOUT);
		EXPECT_EQ(0, sending());
		start_waiting(100, kt_soon());
		ASSERT_EQ(0, kt_signal(&self->job, SIGUSR1));
		expect_end(-EINTR);
		EXPECT_EQ(0, sending());
		pid = child_start(wait_forever, &self->full);
		ASSERT_TRUE(kt_until(kt_stat(self->full).waiting_senders == 1));
		EXPECT_EQ(self->header + 100, sending());
		EXPECT_LE(0, kt_kill(pid));
		EXPECT_EQ(0, sending());
		/* a larger mailbox lets it in, too */
		start_waiting(100, kt_soon());
		ASSERT_EQ(0, resize(self->full, 2, 0));
		expect_end(0);
		EXPECT_EQ(0, sending());
		ASSERT_EQ(0, resize(self->full, 1, 0));
		ASSERT_LE(0, kt_take(self->full, NULL, buf, sizeof(buf)));
	}
}

TEST_F(sending, wait_gives_back_when_the_mailbox_goes)
{
	enum { COUNT = 5 };
	struct kpost_send send = kt_send_args(payload, 1000, 0, 0, kt_soon());
	struct kt_job jobs[COUNT];
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 1, 0));
	ASSERT_EQ(0, kt_post(fds[1], "", 0, 0));
	for (int i = 0; i < COUNT; i++)
		kt_start(&jobs[i], fds[1], KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(fds[1]).waiting_senders == COUNT));
	EXPECT_EQ(COUNT * (self->header + 1000), sending());
	close(fds[0]);
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-EPIPE, jobs[i].ret);
	}
	EXPECT_EQ(0, sending());
	close(fds[1]);
}

/* ---- calls ----------------------------------------------------------------------------- */

#define start_call(len, room, deadline) do {					\
	self->call = kt_call_args(payload, len, buf, room, deadline);		\
	kt_start(&self->job, self->fd, KPOST_IOC_CALL, &self->call);		\
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));		\
} while (0)

#define receive_call() \
	ASSERT_LE(0, kt_take(self->fd, &self->recv, payload, sizeof(payload)))

TEST_F(sending, call_and_the_room_for_its_reply_count_until_it_is_over)
{
	uint64_t open;

	start_call(3, 0, kt_soon());
	open = sending();
	EXPECT_LT(self->header, open);
	EXPECT_GE(1024, open);
	receive_call();
	EXPECT_EQ(open, sending());
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "", 0));
	expect_end(0);
	EXPECT_EQ(0, sending());

	/* the request has found room */
	start_call(UNCOUNTED, 5000, kt_soon());
	EXPECT_EQ(open + 5000, sending());
	receive_call();
	EXPECT_EQ(open + 5000, sending());
	EXPECT_TRUE(office_has(used(), open + 5000));
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "short", 5));
	expect_end(5);
	EXPECT_EQ(0, sending());

	/* given up before it was received; and after that, when its receiver still has it */
	start_call(3, 5000, kt_later());
	expect_end(-ETIMEDOUT);
	EXPECT_EQ(0, sending());
	start_call(3, 5000, kt_later());
	receive_call();
	expect_end(-ETIMEDOUT);
	EXPECT_EQ(open - self->header, sending()) TH_LOG("the room is given back, and no more");
	EXPECT_EQ(-ECANCELED, kt_reply(self->fd, self->recv.token, "late", 4));
	EXPECT_EQ(0, sending());

	/* the receiver gives it up */
	start_call(3, 5000, kt_soon());
	receive_call();
	ASSERT_EQ(0, kt_drop(self->fd, self->recv.token));
	expect_end(-ECONNRESET);
	EXPECT_EQ(0, sending());

	/* to the byte */
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", open + 5000));
	self->call = kt_call_args("ask", 3, buf, 5001, kt_soon());
	{
		struct kpost_call before = self->call;

		EXPECT_REFUSED(EDQUOT, self->fd, kt_ioctl(self->fd, KPOST_IOC_CALL, &self->call));
		EXPECT_EQ(0, memcmp(&before, &self->call, sizeof(before)));
		EXPECT_EQ(0, sending());
	}
	start_call(UNCOUNTED, 5000, kt_soon());
	receive_call();
	EXPECT_REFUSED(EDQUOT, self->fd, kt_call(self->fd, "ask", 3, buf, 0, kt_soon()));
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "", 0));
	expect_end(0);
	/* a long request counts besides */
	EXPECT_REFUSED(EDQUOT, self->fd,
		       kt_call(self->fd, payload, UNCOUNTED + 1, buf, 0, kt_soon()));
	EXPECT_EQ(0, sending());
}

TEST_F(sending, call_that_waits_for_room_counts_for_its_request_too)
{
	uint64_t open;

	start_call(3, 1000, kt_soon());
	open = sending();
	receive_call();
	ASSERT_EQ(0, kt_reply(self->fd, self->recv.token, "", 0));
	expect_end(0);

	self->call = kt_call_args(payload, 200, buf, 1000, kt_soon());
	kt_start(&self->job, self->full, KPOST_IOC_CALL, &self->call);
	ASSERT_TRUE(kt_until(kt_stat(self->full).waiting_senders == 1));
	EXPECT_EQ(open + self->header + 200, sending());
	ASSERT_LE(0, kt_take(self->full, NULL, payload, sizeof(payload)));
	EXPECT_EQ(open, sending());
	ASSERT_EQ(200, kt_take(self->full, &self->recv, payload, sizeof(payload)));
	ASSERT_EQ(0, kt_reply(self->full, self->recv.token, "", 0));
	expect_end(0);
	EXPECT_EQ(0, sending());
}

/* ---- grants ---------------------------------------------------------------------------- */

TEST_F(sending, granted_endpoints_count_for_who_granted_them)
{
	int granted[3], opened, lowest;
	char name[KT_NAME_SIZE];

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 3 * GRANT_COST));
	for (int i = 0; i < 3; i++) {
		granted[i] = kt_grant(self->fd, KPOST_RIGHT_SEND);
		ASSERT_LE(0, granted[i]);
		EXPECT_EQ((i + 1) * GRANT_COST, sending());
	}
	lowest = dup(0);
	close(lowest);
	for (int i = 0; i < 20; i++) {
		EXPECT_REFUSED(EDQUOT, self->fd, kt_grant(self->fd, KPOST_RIGHT_SEND));
	}
	EXPECT_REFUSED(EDQUOT, granted[0], kt_grant(granted[0], KPOST_RIGHT_SEND));
	EXPECT_EQ(lowest, dup(0)) TH_LOG("a descriptor was left");
	/* as long as anybody has it */
	opened = dup(granted[1]);
	close(granted[1]);
	EXPECT_EQ(-EDQUOT, kt_grant(self->fd, KPOST_RIGHT_SEND));
	close(opened);
	EXPECT_EQ(2 * GRANT_COST, sending());
	granted[1] = kt_grant(granted[0], KPOST_RIGHT_SEND);
	EXPECT_LE(0, granted[1]);
	/* and when its mailbox has gone */
	close(self->fd);
	EXPECT_EQ(3 * GRANT_COST, sending());
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(granted[0]).flags & KPOST_STAT_CLOSED);
	for (int i = 0; i < 3; i++)
		close(granted[i]);
	EXPECT_EQ(0, sending());
	/* what is opened by its name is not granted */
	opened = kt_create(kt_name(name), KT_ALL);
	for (int i = 0; i < 5; i++)
		EXPECT_LE(0, kt_open(name, KPOST_RIGHT_SEND, 0));
	EXPECT_EQ(0, sending());
	/* what is refused otherwise counts for nothing */
	EXPECT_EQ(-EINVAL, kt_grant(opened, 0));
	granted[0] = kt_grant(opened, KPOST_RIGHT_SEND);
	EXPECT_EQ(-EPERM, kt_grant(granted[0], KPOST_RIGHT_RECV));
	close(opened);
	EXPECT_EQ(-EPIPE, kt_grant(granted[0], KPOST_RIGHT_SEND));
	close(granted[0]);
	EXPECT_EQ(0, sending());
}

static int grant_and_pass_on(void *arg)
{
	int *fds = arg, fd;

	CHECK_EQ(0, seteuid(0));
	CHECK_EQ(0, child_become(USER + 1, USER + 1));
	fd = kt_grant(fds[0], KPOST_RIGHT_SEND);
	CHECK(fd >= 0);
	CHECK_EQ(GRANT_COST, sending());
	CHECK_EQ(0, pass_fd(fds[1], fd));
	return 0;
}

/* it is the task that asks: not who made the mailbox, opened the endpoint, or has it now */
TEST_F(sending, grant_that_was_passed_on_counts_for_who_made_it)
{
	int socks[2], fds[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	fds[0] = self->fd;
	fds[1] = socks[1];
	ASSERT_EQ(0, child_run(grant_and_pass_on, fds));
	fd = take_fd(socks[0]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, sending());
	EXPECT_TRUE(office_has(used(), GRANT_COST));
	close(fd);
	EXPECT_TRUE(office_has(used(), 0));
}

/* ---- who pays -------------------------------------------------------------------------- */

/* as many grants as it takes, up to @most; all are kept */
static int grants(int fd, int most, int *err)
{
	int count = 0;

	while (count < most && (*err = kt_grant(fd, KPOST_RIGHT_SEND)) >= 0)
		count++;
	return count;
}

TEST_F(sending, is_paid_for_by_the_user_of_the_task)
{
	int err;

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 4 * GRANT_COST));
	EXPECT_EQ(4, grants(self->fd, 10, &err));
	EXPECT_EQ(-EDQUOT, err);
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_EQ(4, grants(self->fd, 10, &err));
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_EQ(4 * GRANT_COST, sending());
	ASSERT_EQ(0, change_to(USER));
	EXPECT_EQ(-EDQUOT, kt_grant(self->fd, KPOST_RIGHT_SEND));
	EXPECT_TRUE(office_has(used(), 8 * GRANT_COST));
}

/* as a program that is set-uid root writes to what a user gave it for an output */
TEST_F(sending, privilege_that_was_not_the_openers_goes_past_no_share)
{
	int mine, box, granted;

	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 1000));
	box = kt_create("box", KT_ALL);
	ASSERT_LE(0, box);
	ASSERT_EQ(0, seteuid(0));
	EXPECT_REFUSED(EDQUOT, self->fd, write_all(self->fd, UNCOUNTED + 1));
	EXPECT_REFUSED(EDQUOT, self->fd, kt_post(self->fd, payload, UNCOUNTED + 1, 0));
	EXPECT_REFUSED(EDQUOT, self->fd, kt_call(self->fd, "x", 1, buf, 1000, kt_in(1)));
	EXPECT_REFUSED(EDQUOT, self->fd, kt_grant(self->fd, KPOST_RIGHT_SEND));
	/* by what it opened itself it does, for the office */
	mine = kt_open("box", KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, mine);
	EXPECT_EQ(-EMSGSIZE, kt_post(mine, payload, UNCOUNTED + 1, 0));
	EXPECT_EQ(-ETIMEDOUT, kt_call(mine, "x", 1, buf, 1000, kt_in(1)));
	granted = kt_grant(mine, KPOST_RIGHT_SEND);
	EXPECT_LE(0, granted);
	EXPECT_TRUE(office_has(used(), GRANT_COST));
	EXPECT_EQ(0, sending());
	/* and not for whoever it gives that to */
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_REFUSED(EDQUOT, mine, kt_grant(mine, KPOST_RIGHT_SEND));
	EXPECT_REFUSED(EDQUOT, mine, kt_call(mine, "x", 1, buf, 1000, kt_in(1)));
	close(granted);
	EXPECT_TRUE(office_has(used(), 0));
}

TEST_F(sending, tenth_of_the_offices_is_left_to_privilege)
{
	int err, mine, box = kt_create("box", KT_ALL);

	ASSERT_LE(0, box);
	ASSERT_EQ(0, limit_as_root("office_sending_bytes", office_for(20 * GRANT_COST)));
	EXPECT_EQ(15, grants(box, 15, &err));
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_EQ(5, grants(box, 15, &err));
	EXPECT_EQ(-ENOBUFS, err);
	EXPECT_EQ(5 * GRANT_COST, sending()) TH_LOG("refused, and counted for its user");
	EXPECT_REFUSED(ENOBUFS, box, kt_grant(box, KPOST_RIGHT_SEND));
	EXPECT_REFUSED(ENOBUFS, box, kt_call(box, "x", 1, NULL, 0, kt_soon()));
	EXPECT_EQ(0, kt_post(box, "x", 1, 0));
	ASSERT_EQ(0, change_to(0));
	mine = kt_open("box", KT_ALL, 0);
	EXPECT_EQ(2, grants(mine, 15, &err));
	EXPECT_EQ(-ENOBUFS, err);
	EXPECT_EQ(0, sending());
	EXPECT_TRUE(office_has(info_now().office_used, 22 * GRANT_COST));
}

/* what is under way stays, and nothing comes to it until it is below the new limit */
TEST_F(sending, limit_that_is_lowered_takes_nothing_away)
{
	int granted[5];
	pid_t pid;

	/* not a thread: becoming root signals it, and it would begin anew */
	pid = child_start(wait_forever, &self->full);
	ASSERT_TRUE(kt_until(kt_stat(self->full).waiting_senders == 1));
	for (int i = 0; i < 5; i++) {
		granted[i] = kt_grant(self->fd, KPOST_RIGHT_SEND);
		ASSERT_LE(0, granted[i]);
	}
	ASSERT_EQ(0, limit_as_root("user_sending_bytes", 3 * GRANT_COST));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EDQUOT, kt_grant(self->fd, KPOST_RIGHT_SEND));
		close(granted[i]);
	}
	EXPECT_EQ(3 * GRANT_COST + self->header + 100, sending());
	ASSERT_LE(0, kt_take(self->full, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, kt_exit_status(pid));
	EXPECT_EQ(-EDQUOT, kt_grant(self->fd, KPOST_RIGHT_SEND));
	EXPECT_EQ(0, kt_post(granted[2], payload, UNCOUNTED, 0));
	close(granted[2]);
	EXPECT_LE(0, kt_grant(self->fd, KPOST_RIGHT_SEND));
}

TEST_HARNESS_MAIN
