// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages with numbers of their sender's: each number gets in once, however often and by whomever
 * it is sent; and marks, which say how far that is: who makes them, who pays, how long they live.
 */
#include "child_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { FULL = 4, SIZE = 8, BADGE = 77 };

FIXTURE(numbered) {
	int fd;			/* all rights, badge 0, no mark */
	int sender;		/* SEND, BADGE, which has a mark */
	struct io_uring ring;
	char buf[64];
};

static int grant_mark(int fd, uint64_t badge)
{
	struct kpost_grant grant = {
		.flags = KPOST_GRANT_BADGE | KPOST_GRANT_MARK,
		.rights = KPOST_RIGHT_SEND,
		.badge = badge,
	};

	return (int)kt_ioctl(fd, KPOST_IOC_GRANT, &grant);
}

FIXTURE_SETUP(numbered)
{
	struct kpost_open open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);

	open.messages = FULL;
	open.bytes = FULL * SIZE;
	open.message_max = SIZE;
	open.overflow = KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD;
	self->fd = kt_do_open(&open);
	ASSERT_LE(0, self->fd);
	self->sender = grant_mark(self->fd, BADGE);
	ASSERT_LE(0, self->sender);
	ASSERT_EQ(0, uring_init(&self->ring, 16, 0));
}

FIXTURE_TEARDOWN(numbered)
{
	io_uring_queue_exit(&self->ring);
	close(self->sender);
	close(self->fd);
}

static struct kpost_send number_args(const char *text, uint64_t number, unsigned int flags,
				     uint64_t deadline)
{
	struct kpost_send send = kt_send_args(text, strlen(text), 0,
					      flags | KPOST_NUMBERED | KPOST_WANT_SEQUENCE,
					      deadline);

	kt_poison(&send.sequence, sizeof(send.sequence));
	send.number = number;
	kt_poison(&send.out_flags, sizeof(send.out_flags));
	return send;
}

/* 1: it was taken, 0: it was sent before; or -errno */
static long sent_as(long ret, const struct kpost_send *send)
{
	if (ret)
		return kt_poisoned(&send->out_flags, 4) && kt_poisoned(&send->sequence, 8) ? ret :
											     -EIO;
	if (send->out_flags == KPOST_SEND_REPEATED)
		return send->sequence ? -EIO : 0;
	return send->out_flags || kt_poisoned(&send->sequence, 8) ? -EIO : 1;
}

static long send_number(int fd, const char *text, uint64_t number, unsigned int flags)
{
	struct kpost_send send = number_args(text, number, flags, 0);

	return sent_as(kt_ioctl(fd, KPOST_IOC_SEND, &send), &send);
}

/* ---- what is taken ----------------------------------------------------------------------- */

TEST_F(numbered, numbered_is_taken_once)
{
	ASSERT_EQ(0, kt_stat(self->sender).mark);
	ASSERT_EQ(1, send_number(self->sender, "five", 5, 0));
	EXPECT_EQ(0, send_number(self->sender, "again", 5, 0));
	EXPECT_EQ(0, send_number(self->sender, "less", 4, KPOST_DONTWAIT));
	ASSERT_EQ(1, send_number(self->sender, "six", 6, 0));
	EXPECT_EQ(6, kt_stat(self->sender).mark);
	EXPECT_EQ(2, kt_stat(self->fd).sent);
	EXPECT_TRUE(kt_next_is(self->fd, "five", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "six", 0));
	/* nor once it was received, nor with the last number that there is */
	EXPECT_EQ(0, send_number(self->sender, "again", 6, 0));
	EXPECT_EQ(1, send_number(self->sender, "last", UINT64_MAX, 0));
	EXPECT_EQ(0, send_number(self->sender, "last", UINT64_MAX, 0));
	EXPECT_TRUE(kt_next_is(self->fd, "last", 0));
	/* others, and what has no number, are not concerned */
	EXPECT_EQ(0, kt_stat(self->fd).mark);
	EXPECT_EQ(0, kt_post(self->sender, "plain", 5, 0));
	EXPECT_EQ(UINT64_MAX, kt_stat(self->sender).mark);
}

TEST_F(numbered, numbered_wrongly_is_refused)
{
	struct kpost_send send = number_args("x", 1, 0, 0);

	EXPECT_EQ(-ENOENT, send_number(self->fd, "x", 1, 0));
	EXPECT_EQ(-EINVAL, send_number(self->sender, "x", 0, 0));
	EXPECT_EQ(-EINVAL, send_number(self->sender, "x", 1, KPOST_SYNC));
	send.reserved = 1;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->sender, KPOST_IOC_SEND, &send));
	/* as an older program's struct, which has no number */
	send.reserved = 0;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->sender, kt_op_sized(KPOST_IOC_SEND, 64), &send));
	send.expires = 1;
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->sender, KPOST_IOC_SEND, &send));
	/* without a number's flag nothing of that is looked at, nor written */
	send = number_args("x", 0, 0, 0);
	send.flags = 0;
	send.reserved = 7;
	EXPECT_EQ(0, kt_ioctl(self->sender, KPOST_IOC_SEND, &send));
	EXPECT_TRUE(kt_poisoned(&send.out_flags, 4));
	EXPECT_EQ(0, kt_stat(self->sender).mark);
	EXPECT_EQ(1, kt_stat(self->sender).sent);
}

/* that it cannot be told is known before it is sent */
TEST_F(numbered, numbered_faults_have_no_effect)
{
	char *edge = kt_edge(PROT_NONE), *ro = kt_edge(PROT_READ | PROT_WRITE);
	struct kpost_send send = number_args("x", 1, 0, 0);
	size_t before = offsetof(struct kpost_send, number);

	for (size_t at = before; at < sizeof(send); at += 8) {
		memcpy(edge - at, &send, at);
		EXPECT_EQ(-EFAULT, kt_ioctl(self->sender, KPOST_IOC_SEND, edge - at));
	}
	memcpy(ro, &send, sizeof(send));
	ASSERT_EQ(0, mprotect(ro, kt_page_size(), PROT_READ));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->sender, KPOST_IOC_SEND, ro));
	send.buf = (uintptr_t)edge;
	EXPECT_EQ(-EFAULT, kt_ioctl(self->sender, KPOST_IOC_SEND, &send));
	EXPECT_EQ(0, kt_stat(self->sender).mark);
	EXPECT_EQ(0, kt_stat(self->sender).sent);
	EXPECT_EQ(1, send_number(self->sender, "x", 1, 0));
}

/* ---- room -------------------------------------------------------------------------------- */

static bool fill(int fd)
{
	for (int i = 0; i < FULL; i++)
		if (kt_post(fd, "full", 4, 0))
			return false;
	return true;
}

/* what was sent before needs no room; what finds none has moved nothing */
TEST_F(numbered, numbered_where_there_is_no_room)
{
	struct kpost_send send = number_args("x", 9, 0, kt_in(20));

	ASSERT_EQ(1, send_number(self->sender, "three", 3, 0));
	ASSERT_EQ(5, kt_take(self->fd, NULL, self->buf, SIZE));
	ASSERT_TRUE(fill(self->fd));
	EXPECT_EQ(0, send_number(self->sender, "again", 3, 0));
	EXPECT_EQ(-EAGAIN, send_number(self->sender, "x", 4, KPOST_DONTWAIT));
	EXPECT_EQ(-ETIMEDOUT, sent_as(kt_ioctl(self->sender, KPOST_IOC_SEND, &send), &send));
	EXPECT_EQ(3, kt_stat(self->sender).mark);
	/* one that is dropped is dealt with */
	EXPECT_EQ(1, send_number(self->sender, "new", 4, KPOST_DROP_NEW));
	EXPECT_EQ(4, kt_stat(self->sender).mark);
	EXPECT_EQ(0, send_number(self->sender, "new", 4, KPOST_DROP_NEW));
	EXPECT_EQ(1, kt_stat(self->sender).dropped_new);
	/* only its own badge's messages give way */
	EXPECT_EQ(-EAGAIN, send_number(self->sender, "x", 5, KPOST_DROP_OLD | KPOST_DONTWAIT));
	ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, SIZE));
}

TEST_F(numbered, numbered_drops_older_ones_once)
{
	for (uint64_t i = 1; i <= FULL; i++)
		ASSERT_EQ(1, send_number(self->sender, "old", i, 0));
	EXPECT_EQ(0, send_number(self->sender, "again", FULL, KPOST_DROP_OLD));
	EXPECT_EQ(0, kt_stat(self->sender).dropped_old);
	EXPECT_EQ(1, send_number(self->sender, "new", 9, KPOST_DROP_OLD));
	EXPECT_EQ(1, kt_stat(self->sender).dropped_old);
	EXPECT_EQ(9, kt_stat(self->sender).mark);
	/* what was dropped was sent */
	EXPECT_EQ(0, send_number(self->sender, "old", 1, KPOST_DROP_OLD));
}

/* the number is looked at when there is room, as a task and parked */
TEST_F(numbered, numbered_waits_for_room_and_is_passed_meanwhile)
{
	struct kpost_send same[2] = { number_args("a", 5, 0, kt_soon()),
				      number_args("b", 5, 0, kt_soon()) };
	struct kpost_send parked = number_args("c", 5, 0, kt_soon());
	struct kpost_send above = number_args("d", 6, 0, kt_soon());
	struct uring_result result;
	uint64_t used;
	struct kt_job jobs[3];
	int taken = 0;

	ASSERT_TRUE(fill(self->fd));
	used = kt_sending_used();
	for (int i = 0; i < 2; i++) {
		kt_start(&jobs[i], self->sender, KPOST_IOC_SEND, &same[i]);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == i + 1));
	}
	ASSERT_NE(NULL, uring_op(&self->ring, self->sender, KPOST_IOC_SEND, &parked, 1));
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 3));
	kt_start(&jobs[2], self->sender, KPOST_IOC_SEND, &above);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 4));
	/* one by one: what is passed takes no room, and holds up nobody */
	ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, SIZE));
	ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, SIZE));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
	}
	ASSERT_EQ(0, uring_wait(&self->ring, &result));
	EXPECT_EQ(0, result.res);
	taken += sent_as(0, &same[0]) + sent_as(0, &same[1]) + sent_as(0, &parked);
	EXPECT_EQ(1, taken);
	EXPECT_EQ(1, sent_as(0, &above));
	EXPECT_EQ(6, kt_stat(self->sender).mark);
	EXPECT_EQ(FULL + 2, kt_stat(self->fd).sent);
	EXPECT_EQ(used, kt_sending_used());
}

/* who leaves has moved nothing: it may be sent again */
TEST_F(numbered, numbered_sender_is_killed_while_it_waits)
{
	pid_t pid;

	ASSERT_TRUE(fill(self->fd));
	pid = kt_fork();
	if (!pid) {
		send_number(self->sender, "x", 7, 0);
		_exit(1);
	}
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_LE(0, kt_kill(pid));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 0));
	EXPECT_EQ(0, kt_stat(self->sender).mark);
	ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, SIZE));
	EXPECT_EQ(1, send_number(self->sender, "x", 7, 0));
}

TEST_F(numbered, numbered_entries_of_a_batch)
{
	static const uint64_t numbers[] = { 1, 2, 2, 1, 3 };
	static const bool is_taken[] = { true, true, false, false, true };
	struct kpost_send entries[5];
	struct kpost_batch batch = {
		.count = 5, .entries = (uintptr_t)entries, .entry_size = sizeof(entries[0]),
		.deadline = kt_soon(),
	};

	for (int way = 0; way < 3; way++) {
		for (int i = 0; i < 5; i++)
			entries[i] = number_args("x", 10 * (uint64_t)way + numbers[i], 0, 0);
		if (way == 0) {
			ASSERT_EQ(5, kt_ioctl(self->sender, KPOST_IOC_SENDV, &batch));
		} else {
			ASSERT_NE(NULL, uring_op(&self->ring, self->sender, KPOST_IOC_SENDV,
						 &batch, 1));
			ASSERT_EQ(1, io_uring_submit(&self->ring));
			/* the rest waits for room */
			if (way == 2)
				for (int i = 0; i < 2; i++)
					ASSERT_TRUE(kt_until(kt_take(self->fd, NULL, self->buf,
								     SIZE) == 1));
			ASSERT_EQ(5, uring_run(&self->ring));
		}
		for (int i = 0; i < 5; i++) {
			EXPECT_EQ(is_taken[i], sent_as(0, &entries[i])) {
				TH_LOG("%d, %d", way, i);
			}
		}
		EXPECT_EQ(10 * way + 3, kt_stat(self->sender).mark);
		if (way == 0) {
			for (int i = 0; i < 3; i++)
				ASSERT_EQ(1, kt_take(self->fd, NULL, self->buf, SIZE));
		}
	}
}

/* what expires was sent; what expires while it waits for room was not */
TEST_F(numbered, numbered_and_expires)
{
	struct kpost_send send = number_args("x", 1, 0, 0);

	send.expires = kt_later();
	ASSERT_EQ(1, sent_as(kt_ioctl(self->sender, KPOST_IOC_SEND, &send), &send));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	EXPECT_EQ(0, send_number(self->sender, "x", 1, 0));
	ASSERT_TRUE(fill(self->fd));
	send = number_args("x", 2, 0, kt_soon());
	send.expires = kt_in(30);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->sender, KPOST_IOC_SEND, &send));
	EXPECT_EQ(1, kt_stat(self->sender).mark);
}

/* ---- many at once ------------------------------------------------------------------------ */

enum { RACERS = 6, NUMBERS = 1500 };

struct racer {
	int fd;
	unsigned int taken;
};

static long race(void *arg)
{
	struct racer *racer = arg;
	char text[SIZE + 1];

	for (uint64_t i = 1; i <= NUMBERS; i++) {
		struct kpost_send send;
		long ret;

		snprintf(text, sizeof(text), "%07u", (unsigned int)i);
		send = number_args(text, i, 0, kt_soon());
		ret = sent_as(kt_ioctl(racer->fd, KPOST_IOC_SEND, &send), &send);
		if (ret < 0)
			return ret;
		racer->taken += (unsigned int)ret;
	}
	return 0;
}

/* the same numbers by all, through two endpoints of one badge: each is taken once, in order */
TEST_F(numbered, numbered_by_many_at_once_is_taken_once_each)
{
	static struct racer racers[RACERS];
	static struct kt_job jobs[RACERS];
	unsigned int taken = 0, received = 0, last = 0;
	int other = grant_mark(self->fd, BADGE);
	bool done;

	ASSERT_LE(0, other);
	for (int i = 0; i < RACERS; i++) {
		racers[i].fd = i % 2 ? other : self->sender;
		kt_start_fn(&jobs[i], race, &racers[i]);
	}
	do {
		long ret;

		done = true;
		for (int i = 0; i < RACERS; i++)
			done &= kt_done(&jobs[i]);
		while ((ret = kt_take(self->fd, NULL, self->buf, SIZE)) == 7) {
			self->buf[7] = '\0';
			ASSERT_LT(last, (unsigned int)atoi(self->buf));
			last = (unsigned int)atoi(self->buf);
			received++;
		}
		ASSERT_EQ(-EAGAIN, ret);
	} while (!done);
	for (int i = 0; i < RACERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
		taken += racers[i].taken;
	}
	EXPECT_EQ(taken, received);
	EXPECT_EQ(NUMBERS, last);
	EXPECT_EQ(NUMBERS, kt_stat(self->sender).mark);
	close(other);
}

/* ---- marks ------------------------------------------------------------------------------- */

TEST_F(numbered, numbered_mark_outlives_its_grant)
{
	int later;

	ASSERT_EQ(1, send_number(self->sender, "x", 5, 0));
	close(self->sender);
	later = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, BADGE);
	ASSERT_LE(0, later);
	EXPECT_EQ(5, kt_stat(later).mark);
	EXPECT_EQ(0, send_number(later, "x", 5, 0));
	self->sender = grant_mark(self->fd, BADGE);
	EXPECT_EQ(5, kt_stat(self->sender).mark);
	EXPECT_EQ(1, send_number(self->sender, "x", 6, 0));
	EXPECT_EQ(0, send_number(later, "x", 6, 0));
	close(later);
}

TEST_F(numbered, numbered_mark_takes_the_right_to_administer)
{
	int plain = kt_grant(self->fd, KPOST_RIGHT_SEND);
	struct kpost_grant grant = { .flags = KPOST_GRANT_MARK, .rights = KPOST_RIGHT_SEND };

	ASSERT_LE(0, plain);
	EXPECT_EQ(-EPERM, kt_ioctl(plain, KPOST_IOC_GRANT, &grant));
	EXPECT_EQ(-EPERM, kt_ioctl(self->sender, KPOST_IOC_GRANT, &grant));
	EXPECT_EQ(-ENOENT, send_number(plain, "x", 1, 0));
	close(plain);
	/* and who may, has one for everybody's badge, if that is what it wants */
	plain = (int)kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant);
	ASSERT_LE(0, plain);
	EXPECT_EQ(1, send_number(self->fd, "x", 1, 0));
	EXPECT_EQ(0, send_number(plain, "x", 1, 0));
	close(plain);
}

/* each once, for who granted, until the mailbox closes, whoever still has endpoints */
TEST_F(numbered, numbered_marks_count_until_the_mailbox_closes)
{
	enum { MANY = 100 };
	int fd = kt_mailbox(1, SIZE, SIZE), sender = -1;
	uint64_t before = kt_sending_used(), each;

	ASSERT_LE(0, fd);
	sender = grant_mark(fd, 1);
	ASSERT_LE(0, sender);
	each = kt_sending_used() - before;
	close(sender);
	ASSERT_LT(before, kt_sending_used());
	each = kt_sending_used() - before;
	for (uint64_t i = 1; i <= MANY; i++) {
		sender = grant_mark(fd, i * 0x9e3779b97f4a7c15ull);
		ASSERT_LE(0, sender);
		close(sender);
		sender = grant_mark(fd, i * 0x9e3779b97f4a7c15ull);
		close(sender);
	}
	EXPECT_EQ(before + (MANY + 1) * each, kt_sending_used());
	sender = grant_mark(fd, 1);
	ASSERT_EQ(1, send_number(sender, "x", 1, 0));
	close(fd);
	EXPECT_EQ(-EPIPE, send_number(sender, "x", 1, 0));
	EXPECT_EQ(-EPIPE, send_number(sender, "x", 2, 0));
	EXPECT_EQ(0, kt_stat(sender).mark);
	close(sender);
	EXPECT_EQ(before, kt_sending_used());
}

/* a user who makes marks without end is stopped, and only that user */
static int make_marks(void *arg)
{
	int fd, sender;
	long ret = 0;

	(void)arg;
	if (child_become(NOBODY, NOBODY))
		return CHILD_SKIPPED;
	fd = kt_mailbox(1, SIZE, SIZE);
	CHECK(fd >= 0);
	for (uint64_t i = 1; i < 1000000 && !ret; i++) {
		sender = grant_mark(fd, i);
		if (sender < 0)
			ret = sender;
		else
			close(sender);
	}
	CHECK_EQ(-EDQUOT, ret);
	/* those that there are go on, and are charged no more */
	sender = kt_grant_badge(fd, KPOST_RIGHT_SEND, 1);
	CHECK(sender == -EDQUOT || sender >= 0);
	return 0;
}

TEST_F(numbered, numbered_marks_are_limited)
{
	uint64_t before = kt_sending_used();
	char limit[32];

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_LT(0, child_read("/proc/sys/net/kpost/user_sending_bytes", limit, sizeof(limit)));
	ASSERT_EQ(0, child_write("/proc/sys/net/kpost/user_sending_bytes", "65536"));
	EXPECT_EQ(0, child_run(make_marks, NULL));
	ASSERT_EQ(0, child_write("/proc/sys/net/kpost/user_sending_bytes", limit));
	ASSERT_TRUE(kt_until(kt_sending_used() == before));
}

/* marks do not go to who succeeds */
TEST_F(numbered, numbered_marks_end_with_succession)
{
	char name[KT_NAME_SIZE];
	int fd = kt_create(kt_name(name), KT_ALL), next, sender;

	ASSERT_LE(0, fd);
	sender = grant_mark(fd, BADGE);
	ASSERT_EQ(1, send_number(sender, "x", 1, 0));
	next = kt_open(name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED);
	ASSERT_LE(0, next);
	EXPECT_EQ(-EPIPE, send_number(sender, "x", 1, 0));
	close(sender);
	sender = kt_grant_badge(next, KPOST_RIGHT_SEND, BADGE);
	EXPECT_EQ(-ENOENT, send_number(sender, "x", 1, 0));
	close(sender);
	close(next);
	close(fd);
}

TEST_HARNESS_MAIN
