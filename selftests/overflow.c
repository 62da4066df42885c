// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of messages that find no room, if their sender wants no wait; and that what is lost
 * so is counted, and the next receiver told.
 */
#include "account_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { FULL = 4, SIZE = 8 };

FIXTURE(overflow) {
	int fd; /* SEND, RECV and ADMIN */
	char name[KT_NAME_SIZE];
	char buf[64];
};

static int make(const char *name, uint32_t overflow)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE);

	open.mode = 0666;
	open.messages = FULL;
	open.bytes = FULL * SIZE;
	open.message_max = FULL * SIZE;
	open.overflow = overflow;
	return kt_do_open(&open);
}

FIXTURE_SETUP(overflow)
{
	umask(0);
	self->fd = make(kt_name(self->name), KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(overflow)
{
	close(self->fd);
}

static long drop(int fd, const char *text, unsigned int priority, unsigned int flags)
{
	return kt_send(fd, text, strlen(text), priority, flags | KPOST_DONTWAIT, 0);
}

static int allow(int fd, uint32_t overflow)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_OVERFLOW, .overflow = overflow };

	return (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);
}

/* ---- the message itself ---------------------------------------------------------------- */

TEST_F(overflow, overflow_drops_a_new_message_that_finds_no_room)
{
	const __u32 flags = KPOST_DROP_NEW | KPOST_WANT_SEQUENCE;
	struct kpost_send send = kt_send_args("lost", 4, 0, flags, 0);
	struct kpost_stat st;

	ASSERT_EQ(0, drop(self->fd, "a", 0, KPOST_DROP_NEW));
	for (int i = 1; i < FULL; i++)
		ASSERT_EQ(0, drop(self->fd, "b", 0, KPOST_DROP_NEW));
	for (int i = 0; i < 3; i++) {
		send.sequence = 7;
		EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
		EXPECT_EQ(0, send.sequence);
	}
	st = kt_stat(self->fd);
	EXPECT_EQ(3, st.dropped_new);
	EXPECT_EQ(0, st.dropped_old);
	EXPECT_EQ(0, st.dropped);
	EXPECT_EQ(FULL, st.sent);
	EXPECT_EQ(FULL, st.queued_messages);
	EXPECT_TRUE(kt_next_is(self->fd, "a", 3));
	EXPECT_TRUE(kt_next_is(self->fd, "b", 0));
	/* with room it is as any other */
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(FULL + 1, send.sequence);
}

/* one that waits has others in front of it: there is no room for them */
TEST_F(overflow, overflow_drops_no_message_past_those_that_wait)
{
	struct kpost_send send = kt_send_args("12345678", 8, 5, 0, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, drop(self->fd, "1234567890123456789012345678", 5, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_EQ(0, drop(self->fd, "x", 5, KPOST_DROP_NEW));
	EXPECT_EQ(-EAGAIN, drop(self->fd, "x", 5, KPOST_DROP_OLD));
	EXPECT_EQ(1, kt_stat(self->fd).dropped_new);
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	EXPECT_TRUE(kt_next_is(self->fd, "1234567890123456789012345678", 1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

/* ---- older ones ------------------------------------------------------------------------ */

TEST_F(overflow, overflow_keeps_the_newest)
{
	char text[2] = "a";

	for (; text[0] <= 'j'; text[0]++)
		ASSERT_EQ(0, drop(self->fd, text, 0, KPOST_DROP_OLD));
	EXPECT_EQ(6, kt_stat(self->fd).dropped_old);
	EXPECT_EQ(10, kt_stat(self->fd).sent);
	EXPECT_TRUE(kt_next_is(self->fd, "g", 6));
	EXPECT_TRUE(kt_next_is(self->fd, "h", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "i", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "j", 0));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
}

TEST_F(overflow, overflow_drops_the_oldest_of_the_lowest_priority)
{
	ASSERT_EQ(0, drop(self->fd, "high", 9, 0));
	ASSERT_EQ(0, drop(self->fd, "low", 1, 0));
	ASSERT_EQ(0, drop(self->fd, "mid", 5, 0));
	ASSERT_EQ(0, drop(self->fd, "low 2", 1, 0));
	EXPECT_EQ(0, drop(self->fd, "first", 5, KPOST_DROP_OLD));
	EXPECT_EQ(0, drop(self->fd, "second", 5, KPOST_DROP_OLD));
	EXPECT_EQ(0, drop(self->fd, "third", 5, KPOST_DROP_OLD));
	/* never one of a higher priority than its own */
	EXPECT_REFUSED(EAGAIN, self->fd, drop(self->fd, "x", 4, KPOST_DROP_OLD));
	EXPECT_TRUE(kt_next_is(self->fd, "high", 3));
	EXPECT_TRUE(kt_next_is(self->fd, "first", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "second", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "third", 0));
}

/* what was taken and came back is in its place, and the first to go */
TEST_F(overflow, overflow_drops_what_came_back_in_its_turn)
{
	ASSERT_EQ(0, drop(self->fd, "a", 1, 0));
	ASSERT_EQ(0, drop(self->fd, "b", 1, 0));
	ASSERT_EQ(0, drop(self->fd, "c", 0, 0));
	ASSERT_EQ(0, drop(self->fd, "d", 1, 0));
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, kt_edge(PROT_NONE), 8));
	EXPECT_EQ(0, drop(self->fd, "e", 1, KPOST_DROP_OLD));
	EXPECT_EQ(0, drop(self->fd, "f", 1, KPOST_DROP_OLD));
	EXPECT_TRUE(kt_next_is(self->fd, "b", 2));
	EXPECT_TRUE(kt_next_is(self->fd, "d", 0));
}

/* as many as it takes, but no more than 16, and none if that is not enough */
TEST(overflow_drops_no_more_than_it_takes)
{
	char payload[64] = "", name[KT_NAME_SIZE];
	struct kpost_open open = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE);
	int fd;

	open.messages = 40;
	open.bytes = 40;
	open.message_max = 40;
	open.overflow = KPOST_OVERFLOW_DROP_OLD;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 40; i++)
		ASSERT_EQ(0, kt_post(fd, payload, 1, 0));
	EXPECT_REFUSED(EAGAIN, fd, kt_send(fd, payload, 17, 0, KPOST_DROP_OLD | KPOST_DONTWAIT, 0));
	EXPECT_EQ(0, kt_send(fd, payload, 16, 0, KPOST_DROP_OLD | KPOST_DONTWAIT, 0));
	EXPECT_EQ(16, kt_stat(fd).dropped_old);
	EXPECT_EQ(25, kt_stat(fd).queued_messages);
	EXPECT_EQ(40, kt_stat(fd).queued_bytes);
	EXPECT_EQ(0, kt_send(fd, payload, 3, 0, KPOST_DROP_OLD | KPOST_DONTWAIT, 0));
	EXPECT_EQ(19, kt_stat(fd).dropped_old);
	/* order: those that were looked at and stayed are where they were */
	for (uint64_t sequence = 20; sequence <= 42; sequence++) {
		struct kpost_recv recv;

		ASSERT_LT(0, kt_take(fd, &recv, payload, sizeof(payload)));
		EXPECT_EQ(sequence, recv.sequence);
	}
	close(fd);
}

/* one that cannot be had so waits, if it may */
TEST_F(overflow, overflow_that_drops_nothing_waits_as_ever)
{
	struct kpost_send send = kt_send_args("low", 3, 0, KPOST_DROP_OLD, kt_soon());
	struct kt_job job;

	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, drop(self->fd, "high", 9, 0));
	send.deadline = kt_in(20);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	send.deadline = kt_soon();
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_TRUE(kt_next_is(self->fd, "high", 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).dropped_old);
}

/* a caller, or one who waits for receipt, has not been told that this can be */
TEST_F(overflow, overflow_drops_no_calls_and_nothing_that_is_waited_for)
{
	struct kpost_send sync = kt_send_args("sync", 4, 0, KPOST_SYNC, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, kt_submit(self->fd, "call", 4, 8, 0, NULL));
	for (int i = 1; i < FULL; i++)
		ASSERT_EQ(0, drop(self->fd, "plain", 0, 0));
	EXPECT_REFUSED(EAGAIN, self->fd, drop(self->fd, "x", 9, KPOST_DROP_OLD));
	EXPECT_TRUE(kt_next_is(self->fd, "call", 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &sync);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == FULL));
	for (int i = 1; i < FULL; i++)
		EXPECT_TRUE(kt_next_is(self->fd, "plain", 0));
	for (int i = 1; i < FULL; i++)
		ASSERT_EQ(0, drop(self->fd, "plain", 0, 0));
	EXPECT_REFUSED(EAGAIN, self->fd, drop(self->fd, "x", 9, KPOST_DROP_OLD));
	EXPECT_TRUE(kt_next_is(self->fd, "sync", 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

/* ---- whose ----------------------------------------------------------------------------- */

TEST_F(overflow, overflow_drops_only_what_has_the_same_badge)
{
	int one = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 1);
	int two = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 2);

	ASSERT_LE(0, one);
	ASSERT_LE(0, two);
	ASSERT_EQ(0, drop(one, "1", 0, 0));
	for (int i = 1; i < FULL; i++)
		ASSERT_EQ(0, drop(two, "2", 0, 0));
	EXPECT_REFUSED(EAGAIN, self->fd, drop(two, "x", 9, KPOST_DROP_OLD));
	EXPECT_REFUSED(EAGAIN, self->fd, drop(self->fd, "x", 9, KPOST_DROP_OLD));
	EXPECT_EQ(0, drop(one, "new", 0, KPOST_DROP_OLD));
	EXPECT_REFUSED(EAGAIN, self->fd, drop(one, "x", 0, KPOST_DROP_OLD));
	EXPECT_EQ(0, drop(two, "new", 0, KPOST_DROP_OLD));
	close(one);
	close(two);
}

static int drops_as_somebody_else(void *arg)
{
	int fd;

	CHECK_EQ(0, drop_to(USER));
	fd = kt_open(arg, KPOST_RIGHT_SEND, 0);
	CHECK(fd >= 0);
	CHECK_EQ(-EAGAIN, drop(fd, "x", 9, KPOST_DROP_OLD));
	return 0;
}

static int drops_anything(void *arg)
{
	int fd;

	CHECK_EQ(0, drop_to(USER));
	fd = kt_open(arg, KPOST_RIGHT_SEND, 0);
	CHECK(fd >= 0);
	CHECK_EQ(0, drop(fd, "x", 9, KPOST_DROP_OLD));
	return 0;
}

TEST_F(overflow, overflow_drops_only_what_the_same_opener_sent)
{
	char name[KT_NAME_SIZE];
	int any;

	if (geteuid() != 0)
		SKIP(return, "another user needs root");
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, drop(self->fd, "root's", 0, 0));
	EXPECT_EQ(0, kt_exit_status(child_start(drops_as_somebody_else, self->name)));
	EXPECT_EQ(0, kt_stat(self->fd).dropped_old);
	any = make(kt_name(name), KPOST_OVERFLOW_DROP_OLD | KPOST_OVERFLOW_ANY);
	ASSERT_LE(0, any);
	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, drop(any, "root's", 0, 0));
	EXPECT_EQ(0, kt_exit_status(child_start(drops_anything, name)));
	EXPECT_EQ(1, kt_stat(any).dropped_old);
	close(any);
}

/* ---- what a mailbox lets be done ------------------------------------------------------- */

TEST_F(overflow, overflow_is_what_the_mailbox_lets_its_senders_do)
{
	int plain = kt_mailbox(1, 64, 64);

	ASSERT_LE(0, plain);
	EXPECT_EQ(0, kt_stat(plain).overflow);
	EXPECT_REFUSED(EPERM, plain, drop(plain, "x", 0, KPOST_DROP_NEW));
	EXPECT_REFUSED(EPERM, plain, drop(plain, "x", 0, KPOST_DROP_OLD));
	ASSERT_EQ(0, allow(plain, KPOST_OVERFLOW_DROP_NEW));
	EXPECT_EQ(KPOST_OVERFLOW_DROP_NEW, kt_stat(plain).overflow);
	EXPECT_EQ(0, drop(plain, "x", 0, KPOST_DROP_NEW));
	EXPECT_REFUSED(EPERM, plain, drop(plain, "x", 0, KPOST_DROP_OLD));
	EXPECT_REFUSED(EPERM, plain, drop(plain, "x", 0, KPOST_DROP_NEW | KPOST_DROP_OLD));
	ASSERT_EQ(0, allow(plain, KPOST_OVERFLOW_DROP_OLD));
	EXPECT_REFUSED(EPERM, plain, drop(plain, "x", 0, KPOST_DROP_NEW));
	EXPECT_EQ(0, drop(plain, "y", 0, KPOST_DROP_OLD));
	ASSERT_EQ(0, allow(plain, 0));
	EXPECT_REFUSED(EPERM, plain, drop(plain, "x", 0, KPOST_DROP_OLD));
	/* what was lost is told all the same */
	EXPECT_TRUE(kt_next_is(plain, "y", 1));
	/* others' messages from the beginning, or never */
	EXPECT_REFUSED(EINVAL, plain, allow(plain, KPOST_OVERFLOW_ANY));
	EXPECT_REFUSED(EINVAL, plain, allow(plain, KPOST_OVERFLOW_ANY << 1));
	close(plain);
	plain = make(kt_name(self->name), KPOST_OVERFLOW_ANY);
	ASSERT_LE(0, plain);
	EXPECT_REFUSED(EINVAL, plain, allow(plain, KPOST_OVERFLOW_DROP_OLD));
	EXPECT_EQ(0, allow(plain, KPOST_OVERFLOW_DROP_OLD | KPOST_OVERFLOW_ANY));
	close(plain);
}

TEST_F(overflow, overflow_goes_with_what_it_can)
{
	struct kpost_open open = kt_open_args(self->name, KPOST_RIGHT_SEND, 0);
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = 0600, .overflow = 1 };
	struct kpost_grant grant = { .rights = KPOST_RIGHT_SEND, .write_flags = KPOST_DONTWAIT };

	EXPECT_REFUSED(EINVAL, self->fd,
		       kt_send(self->fd, "x", 1, 0, KPOST_DROP_NEW | KPOST_SYNC, kt_soon()));
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant));
	open.overflow = 1;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	open = kt_open_args(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE);
	open.overflow = 8;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	/* an existing one is what it is */
	open.overflow = KPOST_OVERFLOW_ANY;
	EXPECT_LE(0, kt_do_open(&open));
	EXPECT_EQ(KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD, kt_stat(self->fd).overflow);
}

/* in every way to send */
TEST_F(overflow, overflow_by_every_way_to_send)
{
	struct kpost_grant grant = { .rights = KPOST_RIGHT_SEND, .write_flags = KPOST_DROP_OLD };
	struct kpost_send send = kt_send_args("ring", 4, 0, KPOST_DROP_OLD, 0);
	struct kpost_send entries[3] = {
		kt_send_args("1", 1, 0, KPOST_DROP_OLD, 0),
		kt_send_args("2", 1, 0, KPOST_DROP_NEW, 0),
		kt_send_args("3", 1, 0, KPOST_DROP_OLD, 0),
	};
	struct kpost_batch batch = {
		.count = 3,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};
	struct io_uring ring;
	int writer;

	for (int i = 0; i < FULL; i++)
		ASSERT_EQ(0, drop(self->fd, "old", 0, 0));
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	EXPECT_EQ(0, uring_do(&ring, self->fd, KPOST_IOC_SEND, &send));
	io_uring_queue_exit(&ring);
	EXPECT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	writer = (int)kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant);
	ASSERT_LE(0, writer);
	EXPECT_EQ(5, write(writer, "write", 5));
	EXPECT_EQ(4, kt_stat(self->fd).dropped_old);
	EXPECT_EQ(1, kt_stat(self->fd).dropped_new);
	EXPECT_TRUE(kt_next_is(self->fd, "ring", 5));
	EXPECT_TRUE(kt_next_is(self->fd, "1", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "3", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "write", 0));
	ASSERT_EQ(0, allow(self->fd, 0));
	EXPECT_EQ(-1, write(writer, "x", 1));
	EXPECT_EQ(EPERM, errno);
	close(writer);
}

/* ---- who is told ----------------------------------------------------------------------- */

TEST_F(overflow, overflow_is_told_to_one_receiver_that_can_be_told)
{
	struct kpost_recv entries[3], recv;
	struct kpost_batch batch = {
		.count = 3,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};

	for (int i = 0; i < FULL + 2; i++)
		ASSERT_EQ(0, drop(self->fd, "m", 0, KPOST_DROP_NEW));
	/* not who fails, or looks, or reads */
	EXPECT_EQ(-EFAULT, kt_take(self->fd, &recv, kt_edge(PROT_NONE), 8));
	EXPECT_EQ(-EMSGSIZE, kt_take(self->fd, &recv, self->buf, 0));
	EXPECT_EQ(1, kt_recv(self->fd, &recv, self->buf, 8, KPOST_PEEK, 0));
	EXPECT_EQ(2, recv.missed);
	EXPECT_EQ(1, read(self->fd, self->buf, 8));
	for (int i = 0; i < 3; i++)
		entries[i] = kt_recv_args(self->buf + 8 * i, 8, 0, 0);
	EXPECT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(2, entries[0].missed);
	EXPECT_EQ(0, entries[1].missed);
	EXPECT_EQ(0, entries[2].missed);
	ASSERT_EQ(0, drop(self->fd, "m", 0, 0));
	EXPECT_TRUE(kt_next_is(self->fd, "m", 0));
}

/* in a mailbox that was made smaller than what it holds */
TEST_F(overflow, overflow_gives_back_what_no_longer_counts)
{
	char name[KT_NAME_SIZE];
	struct kpost_open open = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE);
	int fd;

	open.messages = 20;
	open.bytes = 4096;
	open.message_max = 64;
	open.overflow = KPOST_OVERFLOW_DROP_OLD;
	fd = kt_do_open(&open);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 20; i++)
		ASSERT_EQ(0, kt_post(fd, "m", 1, 0));
	ASSERT_EQ(0, resize(fd, 10, 0));
	EXPECT_EQ(0, drop(fd, "m", 0, KPOST_DROP_OLD));
	EXPECT_EQ(10, kt_stat(fd).queued_messages);
	EXPECT_EQ(cost(10, 4096), kt_stat(fd).counted);
	close(fd);
}

/* ---- all at once ----------------------------------------------------------------------- */

struct flood {
	int fd;
	bool stop;
	uint64_t sent, received, missed;
};

static long floods(void *arg)
{
	static const unsigned int ways[] = { KPOST_DROP_OLD, KPOST_DROP_NEW,
					     KPOST_DROP_OLD | KPOST_DROP_NEW, 0 };
	struct flood *flood = arg;
	char buf[SIZE] = "";
	long ret;

	for (unsigned int i = 0; !__atomic_load_n(&flood->stop, __ATOMIC_ACQUIRE); i++) {
		ret = kt_send(flood->fd, buf, 1 + i % SIZE, i % 3, ways[i % 4] | KPOST_DONTWAIT, 0);
		if (!ret)
			__atomic_add_fetch(&flood->sent, 1, __ATOMIC_RELAXED);
		else if (ret != -EAGAIN)
			return ret;
	}
	return 0;
}

static long drains(void *arg)
{
	struct flood *flood = arg;
	struct kpost_recv recv;
	char buf[64];
	long ret;

	for (unsigned int i = 0;; i++) {
		ret = kt_recv(flood->fd, &recv, i % 7 ? buf : kt_edge(PROT_NONE), 64,
			      i % 5 ? 0 : KPOST_DONTWAIT, kt_in(20));
		if (ret > 0) {
			__atomic_add_fetch(&flood->received, 1, __ATOMIC_RELAXED);
			__atomic_add_fetch(&flood->missed, recv.missed, __ATOMIC_RELAXED);
		} else if (ret == -ETIMEDOUT && __atomic_load_n(&flood->stop, __ATOMIC_ACQUIRE)) {
			return 0;
		} else if (ret != -EFAULT && ret != -EAGAIN && ret != -ETIMEDOUT) {
			return ret;
		}
		/* each an address space of its own, and no more than some */
		if (i % 7 == 0)
			kt_pause();
	}
}

TEST(overflow_under_load_is_counted_to_the_last_message)
{
	char name[KT_NAME_SIZE];
	struct flood flood = {
		.fd = make(kt_name(name), KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD),
	};
	struct kt_job senders[3], receivers[2];
	struct kpost_stat st;
	uint64_t until;

	ASSERT_LE(0, flood.fd);
	for (int i = 0; i < 3; i++)
		kt_start_fn(&senders[i], floods, &flood);
	for (int i = 0; i < 2; i++)
		kt_start_fn(&receivers[i], drains, &flood);
	for (until = kt_in(2000); kt_now() < until;)
		kt_pause();
	EXPECT_TRUE(kt_until(kt_stat(flood.fd).dropped_old && kt_stat(flood.fd).dropped_new &&
			     kt_stat(flood.fd).received));
	__atomic_store_n(&flood.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&receivers[i]));
		EXPECT_EQ(0, receivers[i].ret);
	}
	st = kt_stat(flood.fd);
	TH_LOG("%llu sent, %llu old and %llu new dropped", (unsigned long long)flood.sent,
	       (unsigned long long)st.dropped_old, (unsigned long long)st.dropped_new);
	EXPECT_EQ(flood.sent, st.sent + st.dropped_new);
	EXPECT_EQ(st.sent, st.received + st.dropped_old + st.queued_messages);
	EXPECT_EQ(flood.received, st.received);
	ASSERT_EQ(0, drop(flood.fd, "last", 9, KPOST_DROP_OLD));
	for (char buf[64]; st.queued_messages || flood.missed < st.dropped_old + st.dropped_new;) {
		struct kpost_recv recv;

		if (kt_take(flood.fd, &recv, buf, sizeof(buf)) < 0)
			break;
		flood.missed += recv.missed;
	}
	st = kt_stat(flood.fd);
	EXPECT_EQ(st.dropped_old + st.dropped_new, flood.missed);
	close(flood.fd);
}

TEST_HARNESS_MAIN
