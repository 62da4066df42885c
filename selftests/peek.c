// SPDX-License-Identifier: GPL-2.0-only
/*
 * KPOST_PEEK: who looks at the next message takes nothing from anybody, and holds nothing.
 */
#include "account_test.h"
#include "fuse_test.h"
#include "uring_test.h"

FIXTURE(peek) {
	int fds[2];
	char buf[64];
};

FIXTURE_SETUP(peek)
{
	ASSERT_EQ(0, kt_pair(self->fds, 16, 0));
}

FIXTURE_TEARDOWN(peek)
{
	close(self->fds[0]);
	close(self->fds[1]);
}

static long peek_flags(int fd, struct kpost_recv *recv, void *buf, uint64_t len, unsigned int flags)
{
	return kt_recv(fd, recv, buf, len, KPOST_PEEK | flags, 0);
}

static long peek(int fd, struct kpost_recv *recv, void *buf, uint64_t len)
{
	return peek_flags(fd, recv, buf, len, 0);
}

TEST_F(peek, peek_tells_what_a_receive_would_and_leaves_it)
{
	struct kpost_recv seen, got;
	struct kpost_stat before;
	char buf[64];

	ASSERT_EQ(0, kt_post(self->fds[1], "second", 6, 1));
	ASSERT_EQ(0, kt_post(self->fds[1], "first", 5, 7));
	before = kt_stat(self->fds[0]);
	for (int i = 0; i < 3; i++) {
		kt_poison(self->buf, sizeof(self->buf));
		ASSERT_EQ(5, peek(self->fds[0], &seen, self->buf, sizeof(self->buf)));
		EXPECT_EQ(0, memcmp(self->buf, "first", 5));
		EXPECT_TRUE(kt_poisoned(self->buf + 5, sizeof(self->buf) - 5));
	}
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fds[0])));
	ASSERT_EQ(5, kt_take(self->fds[0], &got, buf, sizeof(buf)));
	/* but for what was asked */
	seen.flags = got.flags;
	seen.buf = got.buf;
	EXPECT_EQ(0, memcmp(&seen, &got, sizeof(got)));
	ASSERT_EQ(6, peek(self->fds[0], &seen, self->buf, sizeof(self->buf)));
	EXPECT_EQ(1, seen.sequence);
	ASSERT_EQ(6, kt_take(self->fds[0], NULL, buf, sizeof(buf)));
}

TEST_F(peek, peek_gives_no_token)
{
	struct kpost_call call = kt_call_args("ask", 3, self->buf, sizeof(self->buf), kt_soon());
	struct kpost_recv recv;
	struct kt_job job;
	char buf[8];

	kt_start(&job, self->fds[1], KPOST_IOC_CALL, &call);
	ASSERT_TRUE(kt_until(kt_stat(self->fds[0]).queued_messages == 1));
	ASSERT_EQ(3, peek(self->fds[0], &recv, buf, sizeof(buf)));
	EXPECT_EQ(KPOST_MESSAGE_CALL, recv.message_flags & KPOST_MESSAGE_CALL);
	EXPECT_EQ(0, recv.token);
	EXPECT_EQ(0, recv.reply_max);
	EXPECT_EQ(0, recv.call_deadline);
	EXPECT_EQ(0, kt_stat(self->fds[0]).open_calls);
	ASSERT_EQ(3, kt_take(self->fds[0], &recv, buf, sizeof(buf)));
	EXPECT_NE(0, recv.token);
	ASSERT_EQ(0, kt_reply(self->fds[0], recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
}

TEST_F(peek, peek_waits_for_nothing)
{
	struct kpost_recv recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_PEEK, kt_soon());
	struct io_uring ring;

	EXPECT_REFUSED(EAGAIN, self->fds[0], kt_ioctl(self->fds[0], KPOST_IOC_RECV, &recv));
	ASSERT_EQ(0, uring_init(&ring, 4, 0));
	EXPECT_EQ(-EAGAIN, uring_do(&ring, self->fds[0], KPOST_IOC_RECV, &recv));
	ASSERT_EQ(0, kt_post(self->fds[1], "ring", 4, 0));
	EXPECT_EQ(4, uring_do(&ring, self->fds[0], KPOST_IOC_RECV, &recv));
	EXPECT_EQ(4, kt_take(self->fds[0], NULL, self->buf, sizeof(self->buf)));
	io_uring_queue_exit(&ring);
	close(self->fds[1]);
	self->fds[1] = -1;
	EXPECT_EQ(-EPIPE, peek(self->fds[0], &recv, self->buf, sizeof(self->buf)));
}

TEST_F(peek, peek_goes_by_the_rules_of_receiving)
{
	struct kpost_iovec pieces[2] = {
		{ (uintptr_t)self->buf, 2 }, { (uintptr_t)self->buf + 10, 20 },
	};
	struct kpost_recv recv, entry = kt_recv_args(self->buf, 8, KPOST_PEEK, 0);
	struct kpost_batch batch = {
		.count = 1,
		.entries = (uintptr_t)&entry,
		.entry_size = sizeof(entry),
	};

	ASSERT_EQ(0, kt_post(self->fds[1], "message", 7, 0));
	EXPECT_REFUSED(EBADF, self->fds[1], peek(self->fds[1], &recv, self->buf, 64));
	EXPECT_REFUSED(EMSGSIZE, self->fds[0], peek(self->fds[0], &recv, self->buf, 6));
	EXPECT_EQ(7, recv.size);
	EXPECT_EQ(6, peek_flags(self->fds[0], &recv, self->buf, 6, KPOST_TRUNCATE));
	EXPECT_EQ(KPOST_MESSAGE_TRUNCATED, recv.message_flags & KPOST_MESSAGE_TRUNCATED);
	EXPECT_EQ(7, peek_flags(self->fds[0], &recv, pieces, 2, KPOST_IOVEC));
	EXPECT_EQ(0, memcmp(self->buf, "me", 2));
	EXPECT_EQ(0, memcmp(self->buf + 10, "ssage", 5));
	EXPECT_REFUSED(EFAULT, self->fds[0], peek(self->fds[0], &recv, kt_edge(PROT_NONE), 8));
	EXPECT_REFUSED(EFAULT, self->fds[0], peek(self->fds[0], &recv, kt_edge(PROT_READ), 8));
	EXPECT_REFUSED(EFAULT, self->fds[0],
		       peek(self->fds[0], &recv, kt_edge(PROT_NONE) - 3, 8));
	EXPECT_REFUSED(EINVAL, self->fds[0], kt_ioctl(self->fds[0], KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(7, kt_take(self->fds[0], NULL, self->buf, sizeof(self->buf)));
}

/* in one block and in pieces, the sender's memory and what the mailbox keeps */
TEST(peek_sees_messages_of_any_size)
{
	static const size_t sizes[] = { 0, 1, 64, 3968, 4096, 5000, 65536, 1 << 20 };
	static char payload[1 << 20], seen[1 << 20];
	int fd = kt_mailbox(4, 4 << 20, 1 << 20);

	ASSERT_LE(0, fd);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (char)(i * 7 + i / 251);
	for (int round = 0; round < 6; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			ASSERT_EQ(0, kt_post(fd, payload, sizes[i], 0));
			kt_poison(seen, sizeof(seen));
			ASSERT_EQ((long)sizes[i], peek(fd, NULL, seen, sizeof(seen)));
			ASSERT_EQ(0, memcmp(seen, payload, sizes[i]));
			kt_poison(seen, sizeof(seen));
			ASSERT_EQ((long)sizes[i], kt_take(fd, NULL, seen, sizeof(seen)));
			ASSERT_EQ(0, memcmp(seen, payload, sizes[i]));
		}
	}
	close(fd);
}

/* ---- what it holds --------------------------------------------------------------------- */

struct stuck {
	int fd;
	char *page;
	struct kpost_recv recv;
};

static long peeks_into_page(void *arg)
{
	struct stuck *stuck = arg;

	return peek(stuck->fd, &stuck->recv, stuck->page, 64);
}

TEST(peek_into_a_page_that_never_arrives_holds_nothing)
{
	static char payload[4096];
	struct fuse_file file;
	struct stuck stuck;
	struct kpost_stat st;
	struct kt_job job;
	int fds[2], err;

	if (geteuid() != 0)
		SKIP(return, "a mount needs root");
	err = fuse_file_make(&file, kt_page_size(), false);
	if (err)
		SKIP(return, "no FUSE here: %s", strerror(-err));
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, kt_pair(fds, 4, 65536));
	stuck.fd = fds[0];
	stuck.page = fuse_map(&file, MAP_PRIVATE);
	ASSERT_NE(NULL, stuck.page);
	ASSERT_EQ(0, kt_post(fds[1], "looked at", 9, 0));
	ASSERT_EQ(0, kt_post(fds[1], payload, sizeof(payload), 0));
	kt_start_fn(&job, peeks_into_page, &stuck);
	ASSERT_TRUE(kt_until(fuse_is_stuck(&file)));
	/* others receive, and nothing is left of it */
	EXPECT_EQ(9, kt_take(fds[0], NULL, payload, sizeof(payload)));
	EXPECT_EQ((long)sizeof(payload), kt_take(fds[0], NULL, payload, sizeof(payload)));
	st = kt_stat(fds[0]);
	EXPECT_EQ(0, st.queued_messages);
	EXPECT_EQ(2, st.received);
	EXPECT_EQ(0, info_now().office_sending_used);
	EXPECT_FALSE(kt_done(&job));
	ASSERT_EQ(0, fuse_abort(&file));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EFAULT, job.ret);
	close(fds[0]);
	close(fds[1]);
}

/* ---- all at once ----------------------------------------------------------------------- */

enum { LONG = 9000 };

struct crowd {
	int fd;
	bool stop;
	uint64_t sent, received, peeked;
};

/* each message is of one byte over and over, in one of three lengths */
static bool is_whole(const unsigned char *buf, long len)
{
	if (len != 8 && len != 700 && len != LONG)
		return false;
	for (long i = 1; i < len; i++) {
		if (buf[i] != buf[0])
			return false;
	}
	return true;
}

static long sends(void *arg)
{
	static const long lengths[] = { 8, 700, LONG };
	unsigned char buf[LONG];
	struct crowd *crowd = arg;
	struct kpost_send entries[4];
	struct kpost_batch batch = {
		.count = 4,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
		.flags = KPOST_DONTWAIT,
	};
	long ret;

	for (unsigned int i = 0; !__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE); i++) {
		long len = lengths[i % 3];

		memset(buf, (int)i, (size_t)len);
		switch (i % 4) {
		case 0:
			for (int n = 0; n < 4; n++)
				entries[n] = kt_send_args(buf, (uint64_t)len, i % 5, 0, 0);
			ret = kt_ioctl(crowd->fd, KPOST_IOC_SENDV, &batch);
			break;
		case 1: /* taken back, as often as not */
			ret = kt_send(crowd->fd, buf, (uint64_t)len, 9, KPOST_SYNC, kt_in(i % 3));
			ret = ret ? ret : 1;
			break;
		default:
			ret = kt_send(crowd->fd, buf, (uint64_t)len, i % 5, KPOST_DONTWAIT, 0);
			ret = ret ? ret : 1;
			break;
		}
		if (ret > 0)
			__atomic_add_fetch(&crowd->sent, (uint64_t)ret, __ATOMIC_RELAXED);
		else if (ret != -EAGAIN && ret != -ETIMEDOUT)
			return ret;
	}
	return 0;
}

static long peeks(void *arg)
{
	unsigned char buf[LONG];
	struct crowd *crowd = arg;
	struct kpost_recv recv;
	long ret;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		ret = peek(crowd->fd, &recv, buf, sizeof(buf));
		if (ret == -EAGAIN)
			continue;
		if (ret < 0)
			return ret;
		if (!is_whole(buf, ret) || recv.size != (uint64_t)ret ||
		    recv.pid != (__u32)getpid())
			return -EBADMSG;
		__atomic_add_fetch(&crowd->peeked, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static long takes(void *arg)
{
	static __thread unsigned char bufs[4][LONG];
	struct crowd *crowd = arg;
	struct kpost_recv entries[4];
	struct kpost_batch batch = {
		.count = 4,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
		.flags = KPOST_DONTWAIT,
	};
	long ret;

	for (unsigned int i = 0;; i++) {
		for (int n = 0; n < 4; n++)
			entries[n] = kt_recv_args(bufs[n], LONG, 0, 0);
		if (i % 2) {
			ret = kt_ioctl(crowd->fd, KPOST_IOC_RECVV, &batch);
		} else {
			entries[0].flags = KPOST_DONTWAIT;
			ret = kt_ioctl(crowd->fd, KPOST_IOC_RECV, &entries[0]);
			ret = ret < 0 ? ret : 1;
		}
		if (ret == -EAGAIN && __atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE))
			return 0;
		if (ret == -EAGAIN)
			continue;
		if (ret < 0)
			return ret;
		for (int n = 0; n < ret; n++) {
			if (!is_whole(bufs[n], (long)entries[n].size))
				return -EBADMSG;
		}
		__atomic_add_fetch(&crowd->received, (uint64_t)ret, __ATOMIC_RELAXED);
	}
}

TEST(peek_beside_all_others_sees_whole_messages_and_loses_none)
{
	struct crowd crowd = { .fd = kt_mailbox(64, 0, LONG) };
	struct kt_job senders[2], peekers[2], taker;
	struct kpost_stat st;
	static char buf[LONG];
	uint64_t until;

	ASSERT_LE(0, crowd.fd);
	for (int i = 0; i < 2; i++) {
		kt_start_fn(&senders[i], sends, &crowd);
		kt_start_fn(&peekers[i], peeks, &crowd);
	}
	kt_start_fn(&taker, takes, &crowd);
	for (until = kt_in(2000); kt_now() < until;)
		kt_pause();
	EXPECT_TRUE(kt_until(__atomic_load_n(&crowd.peeked, __ATOMIC_RELAXED) &&
			     __atomic_load_n(&crowd.received, __ATOMIC_RELAXED)));
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
		ASSERT_TRUE(kt_join(&peekers[i]));
		EXPECT_EQ(0, peekers[i].ret);
	}
	ASSERT_TRUE(kt_join(&taker));
	EXPECT_EQ(0, taker.ret);
	while (kt_take(crowd.fd, NULL, buf, sizeof(buf)) >= 0)
		crowd.received++;
	TH_LOG("%llu sent, %llu seen", (unsigned long long)crowd.sent,
	       (unsigned long long)crowd.peeked);
	st = kt_stat(crowd.fd);
	EXPECT_EQ(crowd.sent, crowd.received);
	EXPECT_EQ(st.received, crowd.received);
	EXPECT_EQ(st.sent, st.received + st.dropped);
	EXPECT_EQ(0, st.queued_messages);
	EXPECT_EQ(0, st.queued_bytes);
	close(crowd.fd);
}

TEST_HARNESS_MAIN
