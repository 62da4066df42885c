// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keyed mailboxes: what is in them is received by tag, and replaced; in the order that is
 * promised, by whoever has waited longest, and whatever comes in between.
 */
#include <sys/epoll.h>

#include "account_test.h"
#include "submit_test.h"
#include "uring_test.h"

enum { FULL = 4, SIZE = 8, A = 1, B = 2, C = 3 };

FIXTURE(keyed) {
	int fd; /* SEND, RECV and ADMIN */
	char name[KT_NAME_SIZE];
	char buf[64];
};

static int make(const char *name, uint32_t overflow, unsigned int messages, uint64_t bytes)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_KEYED);

	open.mode = 0666;
	open.messages = messages;
	open.bytes = bytes;
	open.message_max = (uint32_t)bytes;
	open.overflow = overflow;
	return kt_do_open(&open);
}

FIXTURE_SETUP(keyed)
{
	umask(0);
	self->fd = make(kt_name(self->name),
			KPOST_OVERFLOW_DROP_NEW | KPOST_OVERFLOW_DROP_OLD | KPOST_OVERFLOW_REPLACE,
			FULL, FULL * SIZE);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(keyed)
{
	close(self->fd);
}

static struct kpost_send tagged(uint64_t tag, const char *text, unsigned int priority,
				unsigned int flags, uint64_t deadline)
{
	struct kpost_send send = kt_send_args(text, strlen(text), priority, flags, deadline);

	send.tag = tag;
	return send;
}

static long post(int fd, uint64_t tag, const char *text, unsigned int priority, unsigned int flags)
{
	struct kpost_send send = tagged(tag, text, priority, flags | KPOST_DONTWAIT, 0);

	return kt_ioctl(fd, KPOST_IOC_SEND, &send);
}

static struct kpost_recv match_args(uint64_t tag, void *buf, uint64_t len, unsigned int flags,
				    uint64_t deadline)
{
	struct kpost_recv recv = kt_recv_args(buf, len, flags | KPOST_MATCH, deadline);

	recv.tag = tag;
	return recv;
}

/* @recv may be NULL */
static long match(int fd, struct kpost_recv *recv, uint64_t tag, void *buf, uint64_t len)
{
	struct kpost_recv local;

	if (!recv)
		recv = &local;
	*recv = match_args(tag, buf, len, KPOST_DONTWAIT, 0);
	return kt_ioctl(fd, KPOST_IOC_RECV, recv);
}

static bool match_is(int fd, uint64_t tag, const char *text)
{
	struct kpost_recv recv;
	char buf[64];
	long ret = match(fd, &recv, tag, buf, sizeof(buf));

	if (ret == (long)strlen(text) && !memcmp(buf, text, (size_t)ret) && recv.tag == tag)
		return true;
	fprintf(stderr, "# got %ld '%.*s' of tag %llu\n", ret, ret > 0 ? (int)ret : 0, buf,
		(unsigned long long)recv.tag);
	return false;
}

static bool none_of(int fd, uint64_t tag)
{
	char buf[64];

	return match(fd, NULL, tag, buf, sizeof(buf)) == -EAGAIN;
}

/* a thread that receives, by tag if it is to */
struct receiver {
	struct kt_job job;
	struct kpost_recv recv;
	char buf[64];
};

static void wait_for(struct receiver *receiver, int fd, unsigned int flags, uint64_t tag,
		     uint64_t len)
{
	receiver->recv = kt_recv_args(receiver->buf, len, flags, kt_soon());
	if (flags & KPOST_MATCH)
		receiver->recv.tag = tag;
	kt_start(&receiver->job, fd, KPOST_IOC_RECV, &receiver->recv);
}

static bool waiting(int fd, unsigned int count)
{
	return kt_until(kt_stat(fd).waiting_receivers == count);
}

static bool got(struct receiver *receiver, const char *text)
{
	if (kt_join(&receiver->job) && receiver->job.ret == (long)strlen(text) &&
	    !memcmp(receiver->buf, text, strlen(text)))
		return true;
	fprintf(stderr, "# got %ld\n", receiver->job.ret);
	return false;
}

static int allow(int fd, uint32_t overflow)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_OVERFLOW, .overflow = overflow };

	return (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);
}

static int shut(int fd)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_SHUT };

	return (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);
}

/* all four places are taken by tag C */
static bool fill(int fd)
{
	for (int i = 0; i < FULL; i++)
		if (post(fd, C, "full", 0, 0))
			return false;
	return true;
}

/* ---- what can be asked for -------------------------------------------------------------- */

TEST_F(keyed, keyed_is_asked_for_where_a_mailbox_is_made)
{
	struct kpost_open open = kt_open_args(self->name, KT_ALL, KPOST_OPEN_KEYED);
	struct kpost_grant grant = { .rights = KPOST_RIGHT_SEND, .write_flags = KPOST_REPLACE };
	int plain = kt_mailbox(0, 0, 0);

	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	open.overflow = KPOST_OVERFLOW_REPLACE;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	ASSERT_LE(0, plain);
	ASSERT_EQ(0, post(plain, A, "a", 0, 0));
	EXPECT_EQ(0, kt_stat(plain).flags & KPOST_STAT_KEYED);
	EXPECT_REFUSED(EINVAL, plain, allow(plain, KPOST_OVERFLOW_REPLACE));
	EXPECT_REFUSED(EINVAL, plain, match(plain, NULL, A, self->buf, 64));
	EXPECT_REFUSED(EINVAL, plain, kt_recv(plain, NULL, self->buf, 64,
					      KPOST_MATCH | KPOST_PEEK, 0));
	EXPECT_REFUSED(EINVAL, plain, post(plain, A, "b", 0, KPOST_REPLACE));
	EXPECT_REFUSED(EINVAL, plain, kt_ioctl(plain, KPOST_IOC_GRANT, &grant));
	EXPECT_TRUE(kt_next_is(plain, "a", 0));
	EXPECT_NE(0, kt_stat(self->fd).flags & KPOST_STAT_KEYED);
	EXPECT_REFUSED(EINVAL, self->fd, kt_send(self->fd, "x", 1, 0, KPOST_REPLACE | KPOST_SYNC,
						 kt_soon()));
	ASSERT_EQ(0, allow(self->fd, KPOST_OVERFLOW_DROP_OLD));
	EXPECT_REFUSED(EPERM, self->fd, post(self->fd, A, "x", 0, KPOST_REPLACE));
	ASSERT_EQ(0, allow(self->fd, KPOST_OVERFLOW_REPLACE));
	EXPECT_REFUSED(EPERM, self->fd, post(self->fd, A, "x", 0, KPOST_REPLACE | KPOST_DROP_OLD));
	close(plain);
}

TEST_F(keyed, keyed_is_not_inherited_by_a_successor)
{
	struct kpost_open open = kt_open_args(self->name, KT_ALL,
					      KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED);
	int plain = kt_do_open(&open), keyed;

	ASSERT_LE(0, plain);
	EXPECT_EQ(0, kt_stat(plain).flags & KPOST_STAT_KEYED);
	EXPECT_EQ(-EINVAL, match(plain, NULL, A, self->buf, 64));
	open.flags |= KPOST_OPEN_KEYED;
	keyed = kt_do_open(&open);
	ASSERT_LE(0, keyed);
	EXPECT_NE(0, kt_stat(keyed).flags & KPOST_STAT_KEYED);
	ASSERT_EQ(0, post(keyed, A, "a", 0, 0));
	EXPECT_TRUE(match_is(keyed, A, "a"));
	close(keyed);
	close(plain);
}

/* ---- receiving by tag ------------------------------------------------------------------- */

TEST_F(keyed, keyed_receives_exactly_the_tag_that_is_asked_for)
{
	const uint64_t tags[] = { 0, ~0ull, 1ull << 63, (1ull << 63) - 1 };
	char text[2] = "a";

	for (int i = 0; i < 4; i++, text[0]++) {
		ASSERT_EQ(0, post(self->fd, tags[i], text, 0, 0));
	}
	EXPECT_REFUSED(EAGAIN, self->fd, match(self->fd, NULL, 1, self->buf, 64));
	EXPECT_TRUE(match_is(self->fd, ~0ull, "b"));
	EXPECT_REFUSED(EAGAIN, self->fd, match(self->fd, NULL, ~0ull, self->buf, 64));
	EXPECT_TRUE(match_is(self->fd, (1ull << 63) - 1, "d"));
	/* the others are as they were */
	EXPECT_TRUE(kt_next_is(self->fd, "a", 0));
	EXPECT_TRUE(match_is(self->fd, 1ull << 63, "c"));
	EXPECT_EQ(0, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(4, kt_stat(self->fd).received);
}

TEST_F(keyed, keyed_keeps_the_order_of_a_tag)
{
	ASSERT_EQ(0, post(self->fd, A, "low 1", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "else", 9, 0));
	ASSERT_EQ(0, post(self->fd, A, "high", 5, 0));
	ASSERT_EQ(0, post(self->fd, A, "low 2", 0, 0));
	EXPECT_TRUE(match_is(self->fd, A, "high"));
	/* what goes back is where it was */
	EXPECT_EQ(-EFAULT, match(self->fd, NULL, A, kt_edge(PROT_NONE), 8));
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, kt_edge(PROT_NONE), 8));
	EXPECT_TRUE(match_is(self->fd, A, "low 1"));
	EXPECT_TRUE(match_is(self->fd, A, "low 2"));
	EXPECT_TRUE(kt_next_is(self->fd, "else", 0));
}

TEST_F(keyed, keyed_message_given_out_of_turn_goes_back_to_its_place)
{
	void *page = mmap(NULL, kt_page_size(), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kpost_recv recv;
	struct kt_job job;

	ASSERT_NE(MAP_FAILED, page);
	recv = match_args(B, page, 64, 0, kt_soon());
	kt_start(&job, self->fd, KPOST_IOC_RECV, &recv);
	ASSERT_TRUE(waiting(self->fd, 1));
	ASSERT_EQ(0, munmap(page, kt_page_size()));
	ASSERT_EQ(0, post(self->fd, A, "first", 0, 0));
	/* it is given to who waits, who has no memory for it any more */
	ASSERT_EQ(0, post(self->fd, B, "second", 0, 0));
	ASSERT_EQ(0, post(self->fd, A, "third", 0, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EFAULT, job.ret);
	/* the oldest makes room */
	ASSERT_EQ(0, post(self->fd, A, "fourth", 0, 0));
	ASSERT_EQ(0, post(self->fd, A, "fifth", 0, KPOST_DROP_OLD));
	EXPECT_TRUE(kt_next_is(self->fd, "second", 1));
	EXPECT_TRUE(kt_next_is(self->fd, "third", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "fourth", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "fifth", 0));
	EXPECT_EQ(1, kt_stat(self->fd).dropped_old);
}

TEST_F(keyed, keyed_messages_count_for_what_they_take)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = FULL + 2 };

	EXPECT_EQ(1024 + FULL * SIZE + FULL * 448, kt_stat(self->fd).counted);
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(1024 + FULL * SIZE + (FULL + 2) * 448, kt_stat(self->fd).counted);
}

TEST_F(keyed, keyed_tells_of_room_as_any_receive)
{
	struct kpost_recv recv = match_args(A, self->buf, 2, KPOST_TRUNCATE, 0);

	ASSERT_EQ(0, post(self->fd, A, "12345678", 0, 0));
	ASSERT_EQ(0, post(self->fd, A, "second", 0, 0));
	EXPECT_EQ(-EMSGSIZE, match(self->fd, NULL, A, self->buf, 7));
	EXPECT_EQ(2, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(8, recv.size);
	EXPECT_EQ(1, recv.sequence);
	EXPECT_TRUE(match_is(self->fd, A, "second"));
}

/* ---- waiting ---------------------------------------------------------------------------- */

TEST_F(keyed, keyed_waits_for_the_tag_and_for_no_other)
{
	struct receiver receiver;

	wait_for(&receiver, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, 1));
	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	ASSERT_EQ(0, post(self->fd, C, "c", 9, 0));
	EXPECT_TRUE(kt_next_is(self->fd, "c", 0));
	EXPECT_FALSE(kt_done(&receiver.job));
	EXPECT_EQ(1, kt_stat(self->fd).waiting_receivers);
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	EXPECT_TRUE(got(&receiver, "a"));
	EXPECT_EQ(3, receiver.recv.sequence);
	EXPECT_TRUE(kt_next_is(self->fd, "b", 0));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
}

TEST_F(keyed, keyed_message_goes_to_whoever_has_waited_longest)
{
	struct receiver any, by_tag, late;

	wait_for(&any, self->fd, 0, 0, 64);
	ASSERT_TRUE(waiting(self->fd, 1));
	wait_for(&by_tag, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, 2));
	wait_for(&late, self->fd, 0, 0, 64);
	ASSERT_TRUE(waiting(self->fd, 3));
	ASSERT_EQ(0, post(self->fd, A, "1", 0, 0));
	EXPECT_TRUE(got(&any, "1"));
	ASSERT_EQ(0, post(self->fd, A, "2", 0, 0));
	EXPECT_TRUE(got(&by_tag, "2"));
	ASSERT_EQ(0, post(self->fd, A, "3", 0, 0));
	EXPECT_TRUE(got(&late, "3"));
}

TEST_F(keyed, keyed_message_goes_past_those_who_wait_for_another)
{
	struct receiver first, any;

	wait_for(&first, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, 1));
	wait_for(&any, self->fd, 0, 0, 64);
	ASSERT_TRUE(waiting(self->fd, 2));
	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	EXPECT_TRUE(got(&any, "b"));
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	EXPECT_TRUE(got(&first, "a"));
}

/* who has no room, or no memory, is sent away, and the next is given it, however many there are */
TEST_F(keyed, keyed_message_is_passed_on_by_all_who_cannot_have_it)
{
	enum { MANY = 30 };
	struct receiver *small = calloc(MANY, sizeof(*small)), last;

	for (unsigned int i = 0; i < MANY; i++) {
		wait_for(&small[i], self->fd, KPOST_MATCH, A, 2);
		ASSERT_TRUE(waiting(self->fd, i + 1));
	}
	wait_for(&last, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, MANY + 1));
	ASSERT_EQ(0, post(self->fd, A, "large", 0, 0));
	EXPECT_TRUE(got(&last, "large"));
	for (unsigned int i = 0; i < MANY; i++) {
		ASSERT_TRUE(kt_join(&small[i].job));
		ASSERT_EQ(-EMSGSIZE, small[i].job.ret);
	}
	free(small);
}

/* ... and what was replaced or put back meanwhile is found by those who come */
TEST_F(keyed, keyed_message_stays_for_who_comes_when_nobody_could_have_it)
{
	enum { MANY = 30 };
	struct receiver *small = calloc(MANY, sizeof(*small)), next;

	for (unsigned int i = 0; i < MANY; i++)
		wait_for(&small[i], self->fd, i % 2 ? 0 : KPOST_MATCH, A, 2);
	ASSERT_TRUE(waiting(self->fd, MANY));
	ASSERT_EQ(0, post(self->fd, A, "large", 0, 0));
	for (unsigned int i = 0; i < MANY; i++) {
		ASSERT_TRUE(kt_join(&small[i].job));
		ASSERT_EQ(-EMSGSIZE, small[i].job.ret);
	}
	wait_for(&next, self->fd, KPOST_MATCH, A, 64);
	EXPECT_TRUE(got(&next, "large"));
	free(small);
}

TEST_F(keyed, keyed_wait_ends_with_its_time_a_signal_and_when_it_is_cancelled)
{
	struct kpost_recv recv = match_args(A, self->buf, 64, 0, kt_in(20));
	struct kpost_cancel cancel = { .cookie = 5 };
	struct receiver receiver;

	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(A, recv.tag);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	wait_for(&receiver, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, 1));
	ASSERT_EQ(0, kt_signal(&receiver.job, SIGUSR1));
	ASSERT_TRUE(kt_join(&receiver.job));
	EXPECT_EQ(-EINTR, receiver.job.ret);

	receiver.recv = match_args(A, receiver.buf, 64, 0, kt_soon());
	receiver.recv.cookie = 5;
	kt_start(&receiver.job, self->fd, KPOST_IOC_RECV, &receiver.recv);
	ASSERT_TRUE(waiting(self->fd, 1));
	EXPECT_TRUE(kt_until(kt_ioctl(self->fd, KPOST_IOC_CANCEL, &cancel) == 1));
	ASSERT_TRUE(kt_join(&receiver.job));
	EXPECT_EQ(-ECANCELED, receiver.job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).waiting_receivers);
	/* and nothing is lost for that */
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	EXPECT_TRUE(match_is(self->fd, A, "a"));
}

TEST_F(keyed, keyed_wait_ends_when_the_mailbox_is_shut_though_other_tags_are_left)
{
	struct receiver receiver;

	wait_for(&receiver, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, 1));
	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	ASSERT_EQ(0, shut(self->fd));
	ASSERT_TRUE(kt_join(&receiver.job));
	EXPECT_EQ(-EPIPE, receiver.job.ret);
	EXPECT_EQ(-EPIPE, match(self->fd, NULL, A, self->buf, 64));
	EXPECT_EQ(-EPIPE, kt_recv(self->fd, NULL, self->buf, 64, KPOST_MATCH | KPOST_PEEK, 0));
	EXPECT_TRUE(match_is(self->fd, B, "b"));
	EXPECT_EQ(-EPIPE, match(self->fd, NULL, B, self->buf, 64));
}

TEST(keyed_wait_ends_with_the_last_sender)
{
	struct kpost_open open = kt_open_args(NULL, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR |
						      KPOST_OPEN_KEYED);
	struct receiver many[20];
	int fd = kt_do_open(&open);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, post(open.send_fd, B, "b", 0, 0));
	for (unsigned int i = 0; i < 20; i++)
		wait_for(&many[i], fd, KPOST_MATCH, i % 3 + 10, 64);
	ASSERT_TRUE(waiting(fd, 20));
	close(open.send_fd);
	for (unsigned int i = 0; i < 20; i++) {
		ASSERT_TRUE(kt_join(&many[i].job));
		ASSERT_EQ(-EPIPE, many[i].job.ret);
	}
	EXPECT_TRUE(match_is(fd, B, "b"));
	close(fd);
}

/* ---- beyond the capacity ---------------------------------------------------------------- */

TEST_F(keyed, keyed_receive_finds_what_waits_for_room)
{
	struct kpost_send send = tagged(A, "waits", 0, KPOST_WANT_SEQUENCE, kt_soon());
	uint64_t before = info_now().office_sending_used;
	struct kpost_recv recv;
	struct kpost_stat st;
	struct kt_job job;

	ASSERT_TRUE(fill(self->fd));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_LT(before, info_now().office_sending_used);
	EXPECT_TRUE(none_of(self->fd, B));
	EXPECT_EQ(5, match(self->fd, &recv, A, self->buf, 64));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(FULL + 1, send.sequence);
	EXPECT_EQ(FULL + 1, recv.sequence);
	/* a time, and nothing else that was there */
	EXPECT_GE(kt_now(), recv.time);
	EXPECT_LT(0, recv.time);
	st = kt_stat(self->fd);
	EXPECT_EQ(FULL, st.queued_messages);
	EXPECT_EQ(FULL * 4, st.queued_bytes);
	EXPECT_EQ(FULL + 1, st.sent);
	EXPECT_EQ(1, st.received);
	EXPECT_EQ(0, st.waiting_senders);
	EXPECT_EQ(before, info_now().office_sending_used);
}

TEST_F(keyed, keyed_receiver_that_waits_is_given_what_finds_no_room)
{
	struct kpost_send send = tagged(A, "waits", 0, KPOST_WANT_SEQUENCE, kt_soon());
	uint64_t before = info_now().office_sending_used;
	struct receiver receiver;

	ASSERT_TRUE(fill(self->fd));
	wait_for(&receiver, self->fd, KPOST_MATCH, A, 64);
	ASSERT_TRUE(waiting(self->fd, 1));
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_TRUE(got(&receiver, "waits"));
	EXPECT_EQ(FULL + 1, send.sequence);
	EXPECT_EQ(FULL + 1, receiver.recv.sequence);
	EXPECT_EQ(FULL, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(before, info_now().office_sending_used);
}

TEST_F(keyed, keyed_receive_prefers_what_waits_with_a_higher_priority)
{
	struct kpost_send send = tagged(A, "high", 7, 0, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, A, "low", 0, 0));
	for (int i = 1; i < FULL; i++) {
		ASSERT_EQ(0, post(self->fd, C, "full", 9, 0));
	}
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_TRUE(match_is(self->fd, A, "high"));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_TRUE(match_is(self->fd, A, "low"));
}

/* it waits again, in its place, and nobody has overtaken it */
TEST_F(keyed, keyed_message_that_waits_for_room_survives_a_fault)
{
	struct kpost_send send = tagged(A, "waits", 0, 0, kt_soon());
	struct kpost_send second = tagged(A, "after", 0, 0, kt_soon());
	uint64_t before = info_now().office_sending_used;
	struct kt_job job, other;

	ASSERT_TRUE(fill(self->fd));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	kt_start(&other, self->fd, KPOST_IOC_SEND, &second);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 2));
	for (int i = 0; i < 3; i++) {
		EXPECT_REFUSED(EFAULT, self->fd, match(self->fd, NULL, A, kt_edge(PROT_NONE), 64));
		EXPECT_REFUSED(EMSGSIZE, self->fd, match(self->fd, NULL, A, self->buf, 2));
	}
	EXPECT_FALSE(kt_done(&job));
	EXPECT_TRUE(kt_next_is(self->fd, "full", 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_TRUE(match_is(self->fd, A, "waits"));
	ASSERT_TRUE(kt_join(&other));
	EXPECT_TRUE(match_is(self->fd, A, "after"));
	EXPECT_EQ(before, info_now().office_sending_used);
}

TEST_F(keyed, keyed_call_and_sync_that_wait_for_room_are_received)
{
	struct kpost_send sync = tagged(B, "sync", 0, KPOST_SYNC, kt_soon());
	struct kpost_recv recv;
	struct kpost_call call;
	struct kt_job job, sync_job;
	char reply[8];

	ASSERT_TRUE(fill(self->fd));
	call = kt_call_args("ask", 3, reply, sizeof(reply), kt_soon());
	call.tag = A;
	kt_start(&job, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	kt_start(&sync_job, self->fd, KPOST_IOC_SEND, &sync);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 2));
	EXPECT_EQ(3, match(self->fd, &recv, A, self->buf, 64));
	EXPECT_NE(0, recv.token);
	EXPECT_EQ(0, kt_reply(self->fd, recv.token, "yes", 3));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, job.ret);
	/* the number, and not its place in line */
	EXPECT_EQ(recv.sequence, call.sequence);
	EXPECT_EQ(FULL + 1, call.sequence);
	EXPECT_TRUE(match_is(self->fd, B, "sync"));
	ASSERT_TRUE(kt_join(&sync_job));
	EXPECT_EQ(0, sync_job.ret);
	EXPECT_EQ(FULL, kt_stat(self->fd).queued_messages);
}

TEST_F(keyed, keyed_number_of_what_is_received_out_of_turn_is_taken_once)
{
	struct kpost_send send[2];
	struct kt_job jobs[2];
	struct kpost_grant grant = {
		.flags = KPOST_GRANT_BADGE | KPOST_GRANT_MARK,
		.rights = KPOST_RIGHT_SEND,
		.badge = 7,
	};
	int fd = (int)kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant);

	ASSERT_LE(0, fd);
	ASSERT_TRUE(fill(self->fd));
	for (int i = 0; i < 2; i++) {
		send[i] = tagged(A, "once", 0, KPOST_NUMBERED | KPOST_WANT_SEQUENCE, kt_soon());
		send[i].number = 5;
		kt_start(&jobs[i], fd, KPOST_IOC_SEND, &send[i]);
		ASSERT_TRUE(kt_until(kt_stat(fd).waiting_senders == i + 1));
	}
	EXPECT_TRUE(match_is(self->fd, A, "once"));
	EXPECT_EQ(5, kt_stat(fd).mark);
	/* the second repeats it, and nobody gets it */
	EXPECT_TRUE(none_of(self->fd, A));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(0, jobs[i].ret);
		EXPECT_EQ(i ? KPOST_SEND_REPEATED : 0, send[i].out_flags);
		EXPECT_EQ(i ? 0 : FULL + 1, send[i].sequence);
	}
	send[0] = tagged(A, "again", 0, KPOST_NUMBERED, kt_soon());
	send[0].number = 5;
	EXPECT_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &send[0]));
	EXPECT_EQ(KPOST_SEND_REPEATED, send[0].out_flags);
	EXPECT_EQ(FULL + 1, kt_stat(self->fd).sent);
	EXPECT_EQ(FULL, kt_stat(self->fd).queued_messages);
	close(fd);
}

TEST_F(keyed, keyed_sender_that_leaves_takes_its_message_along)
{
	struct kpost_send send = tagged(A, "waits", 0, 0, kt_in(20));

	ASSERT_TRUE(fill(self->fd));
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_TRUE(none_of(self->fd, A));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
}

TEST_F(keyed, keyed_message_expires_queued_or_waiting_for_room)
{
	struct kpost_send send = tagged(A, "old", 0, KPOST_DONTWAIT, 0);

	send.expires = kt_in(30);
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 1));
	EXPECT_TRUE(none_of(self->fd, A));
	ASSERT_TRUE(fill(self->fd));
	send = tagged(A, "old", 0, 0, kt_soon());
	send.expires = kt_in(30);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_TRUE(none_of(self->fd, A));
	EXPECT_EQ(0, kt_stat(self->fd).waiting_senders);
	EXPECT_EQ(1, kt_stat(self->fd).expired);
	/* one that replaces has a time of its own */
	EXPECT_TRUE(match_is(self->fd, C, "full"));
	send = tagged(B, "b", 0, KPOST_DONTWAIT, 0);
	send.expires = kt_in(10 * KT_SOON);
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	send.flags |= KPOST_REPLACE;
	send.expires = kt_in(30);
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).expired == 2));
	EXPECT_TRUE(none_of(self->fd, B));
}

TEST_F(keyed, keyed_mailbox_that_is_shut_lets_nothing_wait)
{
	struct kpost_send send = tagged(A, "waits", 0, 0, kt_soon());
	struct kt_job jobs[3];

	ASSERT_TRUE(fill(self->fd));
	for (unsigned int i = 0; i < 3; i++) {
		kt_start(&jobs[i], self->fd, KPOST_IOC_SEND, &send);
		ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == i + 1));
	}
	ASSERT_EQ(0, shut(self->fd));
	for (unsigned int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		EXPECT_EQ(-EPIPE, jobs[i].ret);
	}
	EXPECT_EQ(-EPIPE, match(self->fd, NULL, A, self->buf, 64));
	EXPECT_TRUE(match_is(self->fd, C, "full"));
}

/* ---- replacing -------------------------------------------------------------------------- */

TEST_F(keyed, keyed_replacement_keeps_the_place_and_has_a_number_of_its_own)
{
	struct kpost_send send = tagged(B, "new b", 9, KPOST_REPLACE | KPOST_WANT_SEQUENCE, 0);
	struct kpost_recv recv;

	ASSERT_EQ(0, post(self->fd, A, "a", 1, 0));
	ASSERT_EQ(0, post(self->fd, B, "b", 1, KPOST_REPLACE));
	ASSERT_EQ(0, post(self->fd, C, "c", 1, 0));
	EXPECT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	EXPECT_EQ(4, send.sequence);
	EXPECT_EQ(3, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(7, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(1, kt_stat(self->fd).replaced);
	EXPECT_EQ(4, kt_stat(self->fd).sent);
	EXPECT_EQ(0, kt_stat(self->fd).dropped);
	EXPECT_TRUE(kt_next_is(self->fd, "a", 1));
	EXPECT_EQ(5, kt_take(self->fd, &recv, self->buf, 64));
	EXPECT_EQ(4, recv.sequence);
	EXPECT_EQ(1, recv.priority);
	EXPECT_EQ(0, recv.missed);
	EXPECT_TRUE(kt_next_is(self->fd, "c", 0));
}

/* it goes back to that place, not to the one that its number says */
TEST_F(keyed, keyed_replacement_that_was_taken_goes_back_to_its_place)
{
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	ASSERT_EQ(0, post(self->fd, A, "a 2", 0, 0));
	EXPECT_EQ(-EFAULT, match(self->fd, NULL, B, kt_edge(PROT_NONE), 64));
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, kt_edge(PROT_NONE), 64));
	/* both lie apart now; the last of its tag is replaced */
	ASSERT_EQ(0, post(self->fd, A, "new", 0, KPOST_REPLACE));
	ASSERT_EQ(0, post(self->fd, B, "new b", 0, KPOST_REPLACE));
	EXPECT_EQ(-EFAULT, match(self->fd, NULL, B, kt_edge(PROT_NONE), 64));
	EXPECT_EQ(-EFAULT, match(self->fd, NULL, A, kt_edge(PROT_NONE), 64));
	EXPECT_EQ(-EFAULT, kt_take(self->fd, NULL, kt_edge(PROT_NONE), 64));
	EXPECT_TRUE(match_is(self->fd, A, "a"));
	EXPECT_TRUE(kt_next_is(self->fd, "new b", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "new", 0));
	EXPECT_EQ(-EAGAIN, kt_take(self->fd, NULL, self->buf, 64));
}

TEST_F(keyed, keyed_replacement_is_of_ones_own_messages)
{
	int seven = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 7);
	int eight = kt_grant_badge(self->fd, KPOST_RIGHT_SEND, 8);
	pid_t child;

	ASSERT_LE(0, seven);
	ASSERT_LE(0, eight);
	ASSERT_EQ(0, post(seven, A, "7", 0, KPOST_REPLACE));
	ASSERT_EQ(0, post(eight, A, "8", 0, KPOST_REPLACE));
	ASSERT_EQ(0, post(self->fd, A, "own", 0, KPOST_REPLACE));
	EXPECT_EQ(0, kt_stat(self->fd).replaced);
	child = kt_fork();
	if (!child) {
		int fd;

		if (child_become(USER, USER))
			_exit(1);
		fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
		_exit(fd < 0 || post(fd, A, "user", 0, KPOST_REPLACE));
	}
	EXPECT_EQ(0, kt_exit_status(child));
	EXPECT_EQ(0, kt_stat(self->fd).replaced);
	ASSERT_EQ(0, post(seven, A, "7 7", 0, KPOST_REPLACE));
	ASSERT_EQ(0, post(self->fd, A, "my own", 0, KPOST_REPLACE));
	EXPECT_EQ(2, kt_stat(self->fd).replaced);
	EXPECT_TRUE(kt_next_is(self->fd, "7 7", 2));
	EXPECT_TRUE(kt_next_is(self->fd, "8", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "my own", 0));
	EXPECT_TRUE(kt_next_is(self->fd, "user", 0));
	close(seven);
	close(eight);
}

TEST(keyed_replacement_is_of_any_where_the_mailbox_was_made_so)
{
	char name[KT_NAME_SIZE];
	int fd = make(kt_name(name), KPOST_OVERFLOW_REPLACE | KPOST_OVERFLOW_ANY, FULL,
		      FULL * SIZE), seven;

	ASSERT_LE(0, fd);
	seven = kt_grant_badge(fd, KPOST_RIGHT_SEND, 7);
	ASSERT_EQ(0, post(fd, A, "own", 0, 0));
	ASSERT_EQ(0, post(seven, A, "7", 0, KPOST_REPLACE));
	EXPECT_TRUE(kt_next_is(fd, "7", 1));
	EXPECT_TRUE(none_of(fd, A));
	close(seven);
	close(fd);
}

TEST_F(keyed, keyed_replacement_is_of_no_call_nor_of_what_somebody_waits_for)
{
	struct kpost_send sync = tagged(A, "sync", 0, KPOST_SYNC, kt_soon());
	struct kt_job job;
	uint64_t id;

	kt_start(&job, self->fd, KPOST_IOC_SEND, &sync);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	ASSERT_EQ(0, kt_submit(self->fd, "call", 4, 8, 0, &id)); /* of tag 0 */
	ASSERT_EQ(0, post(self->fd, A, "a", 0, KPOST_REPLACE));
	ASSERT_EQ(0, post(self->fd, 0, "0", 0, KPOST_REPLACE));
	EXPECT_EQ(0, kt_stat(self->fd).replaced);
	EXPECT_TRUE(match_is(self->fd, A, "sync"));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_TRUE(match_is(self->fd, 0, "call"));
	EXPECT_TRUE(match_is(self->fd, A, "a"));
	EXPECT_TRUE(match_is(self->fd, 0, "0"));
}

TEST_F(keyed, keyed_replacement_needs_room_for_what_it_grows_by)
{
	struct kpost_send send = tagged(A, "1234567890", 0, KPOST_REPLACE, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, A, "1234567", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "12345678901234567890123", 0, 0));
	EXPECT_EQ(30, kt_stat(self->fd).queued_bytes); /* of 32 */
	EXPECT_REFUSED(EAGAIN, self->fd, post(self->fd, A, "1234567890", 0, KPOST_REPLACE));
	EXPECT_EQ(0, post(self->fd, A, "123456789", 0, KPOST_REPLACE));
	EXPECT_EQ(32, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(0, post(self->fd, A, "1234567890", 0, KPOST_REPLACE | KPOST_DROP_NEW));
	EXPECT_EQ(1, kt_stat(self->fd).dropped_new);
	EXPECT_EQ(1, kt_stat(self->fd).replaced);
	/* one that waits replaces when there is room, and so does one of the same length at once */
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_EQ(0, post(self->fd, B, "abcdefghijabcdefghijabc", 0, KPOST_REPLACE));
	EXPECT_FALSE(kt_done(&job));
	EXPECT_TRUE(match_is(self->fd, B, "abcdefghijabcdefghijabc"));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(10, kt_stat(self->fd).queued_bytes);
	EXPECT_EQ(3, kt_stat(self->fd).replaced);
	EXPECT_TRUE(match_is(self->fd, A, "1234567890"));
	EXPECT_EQ(0, kt_stat(self->fd).queued_bytes);
}

/* a full mailbox is none for what takes no more room; what is smaller lets others in */
TEST_F(keyed, keyed_replacement_passes_nothing_of_its_own_that_waits)
{
	struct kpost_send first = tagged(A, "state 2", 0, KPOST_REPLACE, kt_soon());
	struct kpost_send second = tagged(A, "3", 0, KPOST_REPLACE, kt_soon());
	struct kt_job one, two;

	/* full of bytes, but for a few */
	ASSERT_EQ(0, post(self->fd, A, "1", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "12345678901234567890123456", 0, 0));
	kt_start(&one, self->fd, KPOST_IOC_SEND, &first);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	/* it would fit, but what was sent first would be the last then */
	EXPECT_EQ(-EAGAIN, post(self->fd, A, "3", 0, KPOST_REPLACE));
	kt_start(&two, self->fd, KPOST_IOC_SEND, &second);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 2));
	EXPECT_TRUE(match_is(self->fd, B, "12345678901234567890123456"));
	ASSERT_TRUE(kt_join(&one));
	ASSERT_TRUE(kt_join(&two));
	EXPECT_EQ(0, one.ret);
	EXPECT_EQ(0, two.ret);
	EXPECT_TRUE(match_is(self->fd, A, "3"));
	EXPECT_TRUE(none_of(self->fd, A));
	EXPECT_EQ(2, kt_stat(self->fd).replaced);
}

TEST_F(keyed, keyed_replacement_that_waited_replaces_nothing_that_was_sent_later)
{
	struct kpost_send first = tagged(A, "state 1", 0, KPOST_REPLACE, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, B, "12345678901234567890123456", 0, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &first);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	/* it goes past at its priority, and is the newer one */
	ASSERT_EQ(0, post(self->fd, A, "2", 5, KPOST_REPLACE));
	EXPECT_TRUE(match_is(self->fd, B, "12345678901234567890123456"));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(0, kt_stat(self->fd).replaced);
	EXPECT_TRUE(match_is(self->fd, A, "2"));
	EXPECT_TRUE(match_is(self->fd, A, "state 1"));
}

TEST_F(keyed, keyed_replacement_that_waits_is_not_received_before_what_it_replaces)
{
	struct kpost_send send = tagged(A, "state 2", 9, KPOST_REPLACE, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, A, "1", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "12345678901234567890123456", 0, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_TRUE(match_is(self->fd, A, "1"));
	EXPECT_TRUE(match_is(self->fd, A, "state 2"));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_TRUE(none_of(self->fd, A));
}

TEST_F(keyed, keyed_sender_is_told_its_own_number_whoever_gets_in_with_it)
{
	struct kpost_send waits = tagged(C, "12345678", 0, KPOST_WANT_SEQUENCE, kt_soon());
	struct kpost_send send = tagged(A, "2", 0, KPOST_REPLACE | KPOST_WANT_SEQUENCE, 0);
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, A, "1234567890", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "12345678901234567890", 0, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &waits);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SEND, &send));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(3, send.sequence);
	EXPECT_EQ(4, waits.sequence);
}

TEST_F(keyed, keyed_sender_that_was_refused_is_told_of_room)
{
	static const unsigned int flags[] = { KPOST_REPLACE, KPOST_DROP_OLD };
	struct epoll_event event = { .events = EPOLLOUT | EPOLLET };

	for (int i = 0; i < 2; i++) {
		int fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
		int epoll = epoll_create1(EPOLL_CLOEXEC);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
		ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 0));
		for (unsigned int n = 0; n < FULL; n++) {
			ASSERT_EQ(0, post(fd, n, "x", 9, 0));
		}
		ASSERT_EQ(-EAGAIN, post(fd, FULL, "x", 0, flags[i]));
		ASSERT_EQ(0, epoll_wait(epoll, &event, 1, 0));
		for (unsigned int n = 0; n < FULL; n++) {
			ASSERT_TRUE(kt_next_is(self->fd, "x", 0));
		}
		EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 10000));
		event.events = EPOLLOUT | EPOLLET;
		close(epoll);
		close(fd);
	}
}

TEST_F(keyed, keyed_message_sent_before_replacing_was_allowed_stays)
{
	struct kpost_reply back = { .flags = KPOST_RETURN };
	struct kpost_recv recv;

	ASSERT_EQ(0, close(self->fd));
	self->fd = make(kt_name(self->name), 0, FULL, FULL * SIZE);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, post(self->fd, A, "old", 0, 0));
	ASSERT_EQ(0, allow(self->fd, KPOST_OVERFLOW_REPLACE));
	/* also when it was taken, and comes back */
	recv = kt_recv_args(self->buf, sizeof(self->buf), KPOST_HOLD | KPOST_DONTWAIT, 0);
	ASSERT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	back.token = recv.token;
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_REPLY, &back));
	ASSERT_EQ(0, post(self->fd, A, "new", 0, KPOST_REPLACE));
	ASSERT_EQ(0, post(self->fd, A, "newer", 0, KPOST_REPLACE));
	EXPECT_TRUE(match_is(self->fd, A, "old"));
	EXPECT_TRUE(match_is(self->fd, A, "newer"));
	EXPECT_EQ(1, kt_stat(self->fd).replaced);
}

TEST_F(keyed, keyed_replacement_goes_in_a_full_mailbox_and_lets_others_in)
{
	struct kpost_send send = tagged(B, "123456", 0, 0, kt_soon());
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, A, "12345678901234567890123456789012", 0, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	EXPECT_EQ(0, post(self->fd, A, "a", 0, KPOST_REPLACE));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_TRUE(kt_next_is(self->fd, "a", 1));
	EXPECT_TRUE(kt_next_is(self->fd, "123456", 0));
}

TEST_F(keyed, keyed_replacement_after_the_capacity_was_made_smaller)
{
	ASSERT_TRUE(fill(self->fd));
	ASSERT_EQ(0, resize(self->fd, 1, 0));
	EXPECT_REFUSED(EAGAIN, self->fd, post(self->fd, C, "fuller", 0, KPOST_REPLACE));
	EXPECT_EQ(0, post(self->fd, C, "ok", 0, KPOST_REPLACE));
	EXPECT_TRUE(kt_next_is(self->fd, "full", 1));
	EXPECT_EQ(1024 + 3 * 448 + 10, kt_stat(self->fd).counted);
}

/* what counts for its sender while it is copied does so no more once it is in */
TEST(keyed_replacement_gives_back_what_it_counted_for)
{
	uint64_t before = info_now().office_sending_used;
	char name[KT_NAME_SIZE], *large = calloc(1, 200000);
	int fd = make(kt_name(name), KPOST_OVERFLOW_REPLACE, 4, 1 << 20);
	struct kpost_send send = kt_send_args(large, 200000, 0, KPOST_REPLACE | KPOST_DONTWAIT, 0);

	ASSERT_LE(0, fd);
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SEND, &send));
	}
	EXPECT_EQ(7, kt_stat(fd).replaced);
	EXPECT_EQ(before, info_now().office_sending_used);
	EXPECT_EQ(200000, kt_take(fd, NULL, large, 200000));
	close(fd);
	EXPECT_EQ(before, info_now().office_sending_used);
	free(large);
}

TEST_F(keyed, keyed_what_gives_way_is_found_by_its_tag_no_more)
{
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	for (int i = 1; i < FULL; i++) {
		ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	}
	EXPECT_EQ(0, post(self->fd, C, "c", 0, KPOST_DROP_OLD));
	EXPECT_TRUE(none_of(self->fd, A));
	EXPECT_TRUE(match_is(self->fd, C, "c"));
	/* nothing in it is dropped where another can be replaced */
	EXPECT_EQ(0, post(self->fd, A, "a", 0, KPOST_DROP_OLD | KPOST_REPLACE));
	EXPECT_EQ(0, post(self->fd, A, "new", 0, KPOST_DROP_OLD | KPOST_REPLACE));
	EXPECT_EQ(1, kt_stat(self->fd).dropped_old);
	EXPECT_EQ(0, post(self->fd, C, "c", 0, KPOST_DROP_OLD | KPOST_REPLACE));
	EXPECT_EQ(2, kt_stat(self->fd).dropped_old);
	EXPECT_TRUE(match_is(self->fd, A, "new"));
}

TEST_F(keyed, keyed_write_replaces_where_it_was_granted_so)
{
	struct kpost_grant grant = {
		.rights = KPOST_RIGHT_SEND, .tag = A, .write_flags = KPOST_REPLACE
	};
	int fd = (int)kt_ioctl(self->fd, KPOST_IOC_GRANT, &grant);

	ASSERT_LE(0, fd);
	ASSERT_EQ(1, write(fd, "1", 1));
	ASSERT_EQ(2, write(fd, "22", 2));
	EXPECT_EQ(1, kt_stat(self->fd).queued_messages);
	EXPECT_TRUE(kt_next_is(self->fd, "22", 1));
	close(fd);
}

/* ---- other ways to receive --------------------------------------------------------------- */

TEST_F(keyed, keyed_peek_copies_the_next_of_a_tag)
{
	struct kpost_send send = tagged(B, "waits", 0, 0, kt_soon());
	struct kpost_recv recv = match_args(A, self->buf, 64, KPOST_PEEK, 0);
	struct kt_job job;

	ASSERT_EQ(0, post(self->fd, C, "c", 0, 0));
	ASSERT_EQ(0, post(self->fd, A, "a 1", 0, 0));
	ASSERT_EQ(0, post(self->fd, A, "a 2", 0, 0));
	ASSERT_EQ(0, post(self->fd, C, "c", 0, 0));
	EXPECT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_EQ(0, memcmp(self->buf, "a 1", 3));
	EXPECT_EQ(2, recv.sequence);
	/* what waits for room is not in the mailbox */
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	recv = match_args(B, self->buf, 64, KPOST_PEEK, 0);
	EXPECT_EQ(-EAGAIN, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
	EXPECT_TRUE(match_is(self->fd, A, "a 1"));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(5, kt_ioctl(self->fd, KPOST_IOC_RECV, &recv));
}

TEST_F(keyed, keyed_batch_has_a_tag_for_each_entry)
{
	char bufs[4][8];
	struct kpost_recv entries[4];
	struct kpost_batch batch = {
		.count = 4, .entries = (uintptr_t)entries, .entry_size = sizeof(entries[0])
	};
	const uint64_t tags[] = { B, A, 9, C };

	for (int i = 0; i < 4; i++)
		entries[i] = match_args(tags[i], bufs[i], 8, 0, 0);
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	ASSERT_EQ(0, post(self->fd, C, "c", 0, 0));
	EXPECT_EQ(2, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(0, batch.error);
	EXPECT_EQ('b', bufs[0][0]);
	EXPECT_EQ('a', bufs[1][0]);
	EXPECT_EQ(1, entries[1].sequence);
	EXPECT_TRUE(kt_next_is(self->fd, "c", 0));
}

TEST_F(keyed, keyed_reply_and_receive_the_next_of_a_tag)
{
	struct kpost_reply reply = { .token = 0 };
	struct kpost_recv recv = match_args(A, self->buf, 64, KPOST_DONTWAIT, 0);

	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	EXPECT_EQ(-EAGAIN, kt_reply_recv(self->fd, &reply, &recv));
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	EXPECT_EQ(1, kt_reply_recv(self->fd, &reply, &recv));
	EXPECT_EQ('a', self->buf[0]);
}

TEST_F(keyed, keyed_receive_of_io_uring_waits)
{
	struct kpost_recv recv = match_args(A, self->buf, 64, 0, kt_soon());
	struct kpost_send send = tagged(C, "longer, so that it waits for room", 0, KPOST_REPLACE,
					kt_soon());
	struct uring_result result;
	struct io_uring ring;

	ASSERT_EQ(0, uring_init(&ring, 8, 0));
	ASSERT_NE(NULL, uring_op(&ring, self->fd, KPOST_IOC_RECV, &recv, 1));
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(waiting(self->fd, 1));
	ASSERT_EQ(0, post(self->fd, B, "b", 0, 0));
	EXPECT_FALSE(uring_done(&ring));
	ASSERT_EQ(0, post(self->fd, A, "a", 0, 0));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(1, result.res);
	EXPECT_EQ('a', self->buf[0]);
	EXPECT_TRUE(match_is(self->fd, B, "b"));

	/* a replacement that waits for room, without a task where that can be */
	ASSERT_TRUE(fill(self->fd));
	send.len = 12;
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, post(self->fd, C, "123456", 0, KPOST_REPLACE));
	}
	ASSERT_EQ(0, resize(self->fd, FULL - 1, 0));
	ASSERT_NE(NULL, uring_op(&ring, self->fd, KPOST_IOC_SEND, &send, 2));
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_TRUE(kt_until(kt_stat(self->fd).waiting_senders == 1));
	ASSERT_EQ(0, resize(self->fd, FULL, 0));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(0, result.res);
	EXPECT_EQ(FULL, kt_stat(self->fd).queued_messages);
	EXPECT_EQ(3, kt_stat(self->fd).replaced);
	io_uring_queue_exit(&ring);
}

/* ---- all at once ------------------------------------------------------------------------- */

enum { LONG = 30000, WORKERS = 3 };

struct churn {
	int fd;
	bool stop;
	char *buf; /* of one that receives, in pages that are taken away */
	unsigned int mixed, odd, received;
};

static bool stopped(struct churn *churn)
{
	return __atomic_load_n(&churn->stop, __ATOMIC_ACQUIRE);
}

/* each message consists of one byte, again and again */
static long replace_all_the_time(void *arg)
{
	struct churn *churn = arg;
	unsigned int seed = (unsigned int)syscall(SYS_gettid);
	char *bytes = malloc(LONG);

	while (!stopped(churn)) {
		size_t len = LONG - rand_r(&seed) % 3 * 4000;
		struct kpost_send send = kt_send_args(bytes, len, 0, KPOST_REPLACE, kt_in(5));
		long ret;

		memset(bytes, rand_r(&seed) % 255, LONG);
		send.tag = A + rand_r(&seed) % 2;
		ret = kt_ioctl(churn->fd, KPOST_IOC_SEND, &send);
		if (ret && ret != -ETIMEDOUT)
			__atomic_add_fetch(&churn->odd, 1, __ATOMIC_RELAXED);
	}
	free(bytes);
	return 0;
}

static long look_all_the_time(void *arg)
{
	struct churn *churn = arg;
	char *bytes = malloc(LONG);

	while (!stopped(churn)) {
		struct kpost_recv recv = match_args(A, bytes, LONG, KPOST_PEEK, 0);
		long ret = kt_ioctl(churn->fd, KPOST_IOC_RECV, &recv);

		for (long i = 1; i < ret; i++)
			if (bytes[i] != bytes[0]) {
				__atomic_add_fetch(&churn->mixed, 1, __ATOMIC_RELAXED);
				break;
			}
		if (ret < 0 && ret != -EAGAIN && ret != -EDQUOT)
			__atomic_add_fetch(&churn->odd, 1, __ATOMIC_RELAXED);
	}
	free(bytes);
	return 0;
}

static long take_pages_away(void *arg)
{
	struct churn *churn = arg;

	while (!stopped(churn)) {
		madvise(churn->buf + kt_page_size(), 3 * kt_page_size(), MADV_DONTNEED);
		sched_yield();
	}
	return 0;
}

/* whoever stopped half way goes on with the same message, or begins anew with another */
TEST(keyed_receive_never_mixes_two_messages)
{
	static struct churn churn;
	uint64_t before = info_now().office_sending_used, end = kt_in(4000);
	char name[KT_NAME_SIZE];
	struct kt_job jobs[WORKERS], look, away;

	churn.fd = make(kt_name(name), KPOST_OVERFLOW_REPLACE, 8, 3 * LONG);
	ASSERT_LE(0, churn.fd);
	churn.buf = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < WORKERS; i++)
		kt_start_fn(&jobs[i], replace_all_the_time, &churn);
	kt_start_fn(&look, look_all_the_time, &churn);
	kt_start_fn(&away, take_pages_away, &churn);
	for (unsigned int n = 0; kt_now() < end; n++) {
		struct kpost_recv recv = match_args(A + n % 2, churn.buf, LONG, 0, kt_in(5));
		long ret = kt_ioctl(churn.fd, KPOST_IOC_RECV, &recv);

		if (ret < 0) {
			ASSERT_EQ(-ETIMEDOUT, ret);
			continue;
		}
		churn.received++;
		/* what was taken away later is zero */
		for (long i = 1; i < ret; i++) {
			if (churn.buf[i] && churn.buf[i] != churn.buf[0]) {
				churn.mixed++;
				break;
			}
		}
	}
	__atomic_store_n(&churn.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < WORKERS; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
	}
	ASSERT_TRUE(kt_join(&look));
	ASSERT_TRUE(kt_join(&away));
	EXPECT_EQ(0, churn.mixed);
	EXPECT_EQ(0, churn.odd);
	EXPECT_LT(0, churn.received);
	EXPECT_EQ(before, info_now().office_sending_used);
	close(churn.fd);
	EXPECT_EQ(before, info_now().office_sending_used);
}

enum { TAGS = 3, EACH = 400 };

struct storm {
	int fd;
	unsigned int next[TAGS]; /* number of the message that is due, of the tag */
	unsigned int received, disorder;
	pthread_mutex_t lock;
	bool stop;
};

struct storming {
	struct storm *storm;
	uint64_t tag;
};

static long storm_send(void *arg)
{
	struct storming *who = arg;
	unsigned int number;

	for (number = 0; number < EACH; number++) {
		struct kpost_send send = kt_send_args(&number, sizeof(number), 0, 0, kt_soon());
		long ret;

		send.tag = who->tag;
		ret = kt_ioctl(who->storm->fd, KPOST_IOC_SEND, &send);
		if (ret)
			return ret;
	}
	return 0;
}

/* by tag, and sometimes with no memory or too little room; with some left to who takes any */
static long storm_receive(void *arg)
{
	struct storming *who = arg;
	struct storm *storm = who->storm;
	unsigned int seed = (unsigned int)syscall(SYS_gettid), number;
	char *edge = kt_edge(PROT_NONE);

	while (!__atomic_load_n(&storm->stop, __ATOMIC_ACQUIRE)) {
		unsigned int how = rand_r(&seed) % 8;
		struct kpost_recv recv = match_args(who->tag, how == 1 ? (void *)edge : &number,
						    how == 2 ? 1 : sizeof(number), 0,
						    kt_in(how == 3 ? 0 : 20));
		long ret;

		if (who->tag == TAGS)
			recv.flags &= ~KPOST_MATCH;
		ret = kt_ioctl(storm->fd, KPOST_IOC_RECV, &recv);
		if (ret < 0)
			continue;
		pthread_mutex_lock(&storm->lock);
		storm->received++;
		if (recv.tag >= TAGS || (who->tag != TAGS && recv.tag != who->tag))
			storm->disorder++;
		pthread_mutex_unlock(&storm->lock);
	}
	return 0;
}

TEST(keyed_storm_loses_nothing)
{
	static struct storm storm = { .lock = PTHREAD_MUTEX_INITIALIZER };
	uint64_t before = info_now().office_sending_used;
	struct storming who[TAGS + 1];
	struct kt_job senders[TAGS], receivers[TAGS + 1], extra[TAGS];
	char name[KT_NAME_SIZE];
	struct kpost_stat st;

	storm.fd = make(kt_name(name), 0, 2, 64);
	ASSERT_LE(0, storm.fd);
	for (unsigned int i = 0; i <= TAGS; i++) {
		who[i] = (struct storming){ &storm, i };
		kt_start_fn(&receivers[i], storm_receive, &who[i]);
	}
	for (unsigned int i = 0; i < TAGS; i++) {
		kt_start_fn(&extra[i], storm_receive, &who[i]);
		kt_start_fn(&senders[i], storm_send, &who[i]);
	}
	for (unsigned int i = 0; i < TAGS; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
	}
	EXPECT_TRUE(kt_until(kt_stat(storm.fd).received == TAGS * EACH));
	__atomic_store_n(&storm.stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < TAGS; i++) {
		ASSERT_TRUE(kt_join(&receivers[i]));
		ASSERT_TRUE(kt_join(&extra[i]));
	}
	ASSERT_TRUE(kt_join(&receivers[TAGS]));
	EXPECT_EQ(TAGS * EACH, storm.received);
	EXPECT_EQ(0, storm.disorder);
	st = kt_stat(storm.fd);
	EXPECT_EQ(TAGS * EACH, st.sent);
	EXPECT_EQ(0, st.queued_messages);
	EXPECT_EQ(0, st.queued_bytes);
	EXPECT_EQ(0, st.waiting_senders);
	EXPECT_EQ(0, st.waiting_receivers);
	EXPECT_EQ(0, st.dropped);
	EXPECT_EQ(before, info_now().office_sending_used);
	close(storm.fd);
}

TEST_HARNESS_MAIN
