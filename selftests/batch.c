// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many messages in one operation: in order, each as if it were done alone, with an exact account
 * of how far it went.
 */
#include "kpost_test.h"
#include "uring_test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MANY	KPOST_BATCH_MAX
#define UNTOLD	12345		/* what is in @error before */

FIXTURE(batch) {
	int fd;
	struct kpost_send *out;
	struct kpost_recv *in;
	char *bytes;		/* MANY pieces of 64 */
};

FIXTURE_SETUP(batch)
{
	self->fd = kt_mailbox(2048, 8 << 20, 1 << 20);
	ASSERT_LE(0, self->fd);
	self->out = calloc(MANY, sizeof(*self->out));
	self->in = calloc(MANY, sizeof(*self->in));
	self->bytes = calloc(MANY, 64);
	ASSERT_TRUE(self->out && self->in && self->bytes);
	for (unsigned int i = 0; i < MANY; i++) {
		self->in[i].buf = (uintptr_t)&self->bytes[i * 64];
		self->in[i].len = 64;
		self->out[i].buf = (uintptr_t)&self->out[i].tag;
		self->out[i].len = sizeof(self->out[i].tag);
		self->out[i].tag = i + 1;
	}
}

FIXTURE_TEARDOWN(batch)
{
	free(self->out);
	free(self->in);
	free(self->bytes);
	close(self->fd);
}

static struct kpost_batch batch_args(const void *entries, size_t size, unsigned int count,
				     unsigned int flags, uint64_t deadline)
{
	return (struct kpost_batch){
		.flags = flags,
		.count = count,
		.entries = (uintptr_t)entries,
		.entry_size = size,
		.error = UNTOLD,
		.deadline = deadline,
	};
}

/* Sends as many as there are at once; *@error as the kernel tells it. */
static long sendv(int fd, struct kpost_send *out, unsigned int count, int *error)
{
	struct kpost_batch batch = batch_args(out, sizeof(*out), count, KPOST_DONTWAIT, 0);
	long ret = kt_ioctl(fd, KPOST_IOC_SENDV, &batch);

	*error = batch.error;
	return ret;
}

static long recvv(int fd, struct kpost_recv *in, unsigned int count, int *error)
{
	struct kpost_batch batch = batch_args(in, sizeof(*in), count, KPOST_DONTWAIT, 0);
	long ret = kt_ioctl(fd, KPOST_IOC_RECVV, &batch);

	*error = batch.error;
	return ret;
}

TEST_F(batch, batch_of_any_length_arrives_in_order)
{
	static const unsigned int counts[] = { 1, 2, 31, 32, 33, 63, 64, 65, 1000, MANY };
	uint64_t sequence = 0;
	int error;

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		unsigned int n = counts[c];

		for (unsigned int i = 0; i < n; i++) {
			self->out[i].flags = i % 3 ? KPOST_WANT_SEQUENCE : 0;
			self->out[i].sequence = 0;
		}
		ASSERT_EQ(n, sendv(self->fd, self->out, n, &error));
		EXPECT_EQ(0, error);
		for (unsigned int i = 0; i < n; i++)
			ASSERT_EQ(i % 3 ? sequence + i + 1 : 0, self->out[i].sequence);
		EXPECT_EQ(n, kt_stat(self->fd).queued_messages);
		/* one more than there are, where that can be */
		ASSERT_EQ(n, recvv(self->fd, self->in, n < MANY ? n + 1 : n, &error));
		EXPECT_EQ(0, error);
		for (unsigned int i = 0; i < n; i++) {
			ASSERT_EQ(i + 1, self->in[i].tag);
			ASSERT_EQ(++sequence, self->in[i].sequence);
			ASSERT_EQ(sizeof(uint64_t), self->in[i].size);
			ASSERT_EQ(0, memcmp(&self->bytes[i * 64], &self->out[i].tag,
					    sizeof(uint64_t)));
			ASSERT_EQ((uint32_t)getpid(), self->in[i].pid);
		}
	}
	EXPECT_EQ(-EAGAIN, recvv(self->fd, self->in, 3, &error));
	EXPECT_EQ(UNTOLD, error);
}

TEST_F(batch, batch_keeps_priorities_and_pieces)
{
	struct kpost_iovec two[2] = { { (uintptr_t)"ab", 2 }, { (uintptr_t)"cd", 2 } };
	struct kpost_iovec into[2] = { { (uintptr_t)self->bytes, 1 },
				       { (uintptr_t)self->bytes + 10, 20 } };
	int error;

	for (unsigned int i = 0; i < 40; i++)
		self->out[i].priority = i % 4;
	self->out[39].flags = KPOST_IOVEC;
	self->out[39].buf = (uintptr_t)two;
	self->out[39].len = 2;
	ASSERT_EQ(40, sendv(self->fd, self->out, 40, &error));
	self->in[9].flags = KPOST_IOVEC;
	self->in[9].buf = (uintptr_t)into;
	self->in[9].len = 2;
	ASSERT_EQ(40, recvv(self->fd, self->in, 64, &error));
	EXPECT_EQ(0, error);
	for (unsigned int i = 0; i < 40; i++) {
		EXPECT_EQ(3 - i / 10, self->in[i].priority);
		EXPECT_EQ(4 * (i % 10) + 3 - i / 10 + 1, self->in[i].tag);
	}
	EXPECT_EQ(4, self->in[9].size);
	EXPECT_EQ(0, memcmp(self->bytes, "a", 1));
	EXPECT_EQ(0, memcmp(self->bytes + 10, "bcd", 3));
}

TEST_F(batch, batch_into_a_full_mailbox_says_how_many_got_in)
{
	int fd = kt_mailbox(50, 1 << 20, 64), error;

	ASSERT_LE(0, fd);
	ASSERT_EQ(50, sendv(fd, self->out, 80, &error));
	EXPECT_EQ(-EAGAIN, error);
	EXPECT_EQ(-EAGAIN, sendv(fd, self->out, 80, &error));
	EXPECT_EQ(UNTOLD, error);
	EXPECT_EQ(50, kt_stat(fd).queued_messages);
	ASSERT_EQ(1, recvv(fd, self->in, 1, &error));
	/* one in, and it is the first */
	self->out[0].tag = 77;
	ASSERT_EQ(1, sendv(fd, self->out, 5, &error));
	EXPECT_EQ(-EAGAIN, error);
	ASSERT_EQ(50, recvv(fd, self->in, MANY, &error));
	EXPECT_EQ(2, self->in[0].tag);
	EXPECT_EQ(50, self->in[48].tag);
	EXPECT_EQ(77, self->in[49].tag);
	close(fd);
}

/* an entry that cannot be sent, at each place: those before are in, and nothing else */
TEST_F(batch, batch_ends_with_the_first_entry_that_cannot_be_sent)
{
	static const unsigned int places[] = { 0, 1, 31, 32, 40, 69 };
	static const struct {
		struct kpost_send entry;
		int error;
	} bad[] = {
		{ { .flags = KPOST_SYNC }, -EINVAL },
		{ { .flags = KPOST_DONTWAIT }, -EINVAL },
		{ { .flags = 1u << 31 }, -EINVAL },
		{ { .priority = KPOST_PRIORITY_MAX + 1 }, -EINVAL },
		{ { .deadline = 1 }, -EINVAL },
		{ { .cookie = 1 }, -EINVAL },
		{ { .buf = 8, .len = 8 }, -EFAULT },
		{ { .buf = (1ull << 63) - 8, .len = 64 }, -EFAULT },
		{ { .len = (1 << 20) + 1 }, -EMSGSIZE },
	};
	int error;

	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (size_t b = 0; b < sizeof(bad) / sizeof(bad[0]); b++) {
			unsigned int place = places[p];
			struct kpost_send good = self->out[place];
			long ret;

			self->out[place] = bad[b].entry;
			ret = sendv(self->fd, self->out, 70, &error);
			self->out[place] = good;
			ASSERT_EQ(place ? (long)place : bad[b].error, ret);
			ASSERT_EQ(place ? bad[b].error : UNTOLD, error);
			ASSERT_EQ(place, kt_stat(self->fd).queued_messages);
			if (place) {
				ASSERT_EQ(place, recvv(self->fd, self->in, 100, &error));
				ASSERT_EQ(place, self->in[place - 1].tag);
			}
		}
	}
}

TEST_F(batch, batch_that_cannot_be_received_into_loses_nothing)
{
	static const unsigned int places[] = { 0, 1, 31, 32, 40, 69 };
	static const struct {
		struct kpost_recv entry;
		int error;
	} bad[] = {
		{ { .flags = KPOST_DONTWAIT }, -EINVAL },
		{ { .deadline = 1 }, -EINVAL },
		{ { .cookie = 1 }, -EINVAL },
		{ { .buf = 8, .len = 64 }, -EFAULT },
		{ { .buf = (1ull << 63) - 8, .len = 64 }, -EFAULT },
		{ { .len = 7 }, -EMSGSIZE },
	};
	int error;

	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (size_t b = 0; b < sizeof(bad) / sizeof(bad[0]); b++) {
			unsigned int place = places[p];
			struct kpost_recv good = self->in[place];
			long ret;

			self->in[place] = bad[b].entry;
			if (bad[b].error == -EMSGSIZE)
				self->in[place].buf = (uintptr_t)self->bytes;
			ASSERT_EQ(70, sendv(self->fd, self->out, 70, &error));
			ret = recvv(self->fd, self->in, 70, &error);
			ASSERT_EQ(place ? (long)place : bad[b].error, ret);
			ASSERT_EQ(place ? bad[b].error : UNTOLD, error);
			if (bad[b].error == -EMSGSIZE)
				ASSERT_EQ(8, self->in[place].size);
			self->in[place] = good;
			ASSERT_EQ(70 - place, kt_stat(self->fd).queued_messages);
			ASSERT_EQ(70 - place, recvv(self->fd, self->in, 100, &error));
			for (unsigned int i = 0; i < 70 - place; i++)
				ASSERT_EQ(place + i + 1, self->in[i].tag);
		}
	}
}

TEST_F(batch, batch_cuts_off_only_where_asked)
{
	int error;

	ASSERT_EQ(3, sendv(self->fd, self->out, 3, &error));
	self->in[1].flags = KPOST_TRUNCATE;
	self->in[1].len = 3;
	ASSERT_EQ(3, recvv(self->fd, self->in, 5, &error));
	EXPECT_EQ(0, self->in[0].message_flags);
	EXPECT_EQ(KPOST_MESSAGE_TRUNCATED, self->in[1].message_flags);
	EXPECT_EQ(8, self->in[1].size);
	EXPECT_EQ(0, memcmp(&self->bytes[64], &self->out[1].tag, 3));
	EXPECT_EQ(0, self->bytes[64 + 3]);
}

/* memory that was never touched, and messages of many pages, in one go */
TEST_F(batch, batch_fills_fresh_memory)
{
	static const size_t sizes[] = { 0, 1, 4000, 4096, 5000, 70000, 200000 };
	size_t room = 200064;
	char *out = malloc(room);
	int error;

	ASSERT_NE(NULL, out);
	for (size_t i = 0; i < room; i++)
		out[i] = (char)(i * 7 + i / 256);
	for (unsigned int i = 0; i < 14; i++) {
		self->out[i].buf = (uintptr_t)out + i;
		self->out[i].len = sizes[i % 7];
	}
	for (int round = 0; round < 3; round++) {
		char *in = mmap(NULL, 14 * room, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct kpost_recv *entries = mmap(NULL, 1 << 14, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(MAP_FAILED, in);
		ASSERT_NE(MAP_FAILED, entries);
		for (unsigned int i = 0; i < 14; i++) {
			entries[i].buf = (uintptr_t)in + i * room;
			entries[i].len = room;
		}
		ASSERT_EQ(14, sendv(self->fd, self->out, 14, &error));
		ASSERT_EQ(14, recvv(self->fd, entries, 14, &error));
		for (unsigned int i = 0; i < 14; i++) {
			ASSERT_EQ(sizes[i % 7], entries[i].size);
			ASSERT_EQ(0, memcmp(in + i * room, out + i, sizes[i % 7]));
			ASSERT_EQ(0, in[i * room + sizes[i % 7]]);
		}
		munmap(in, 14 * room);
		munmap(entries, 1 << 14);
	}
	free(out);
}

TEST_F(batch, batch_arguments_are_checked)
{
	struct kpost_batch good = batch_args(self->out, sizeof(*self->out), 2, KPOST_DONTWAIT, 0);
	struct kpost_batch bad[] = { good, good, good, good, good, good };
	struct kpost_batch *page;

	bad[0].flags = KPOST_SYNC;
	bad[1].count = 0;
	bad[2].count = MANY + 1;
	bad[3].entry_size = 55;
	bad[4].entry_size = 1u << 14;
	bad[5].deadline = 1ull << 63;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_SENDV, &bad[i]));
		if (i != 3)
			EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_RECVV, &bad[i]));
	}
	good.entry_size = 127;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KPOST_IOC_RECVV, &good));
	good.entry_size = sizeof(*self->out);
	good.entries = -4096ull;
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_SENDV, &good));
	good.entries = -1ull - 55;
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_SENDV, &good));
	good.entries = (uintptr_t)self->out;
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, kt_op_sized(KPOST_IOC_SENDV, 32), &good));
	/* a struct that cannot be written to, before anything is sent */
	page = mmap(NULL, kt_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	ASSERT_NE(MAP_FAILED, page);
	*page = good;
	ASSERT_EQ(0, mprotect(page, kt_page_size(), PROT_READ));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_SENDV, page));
	munmap(page, kt_page_size());
	EXPECT_EQ(0, kt_stat(self->fd).sent);
}

TEST_F(batch, batch_entries_grow_at_their_end)
{
	struct {
		struct kpost_send send;
		uint64_t more;
	} out[40] = {};
	struct {
		struct kpost_recv recv;
		uint64_t more[2];
	} in[40] = {};
	struct kpost_batch batch;

	for (unsigned int i = 0; i < 40; i++) {
		out[i].send = self->out[i];
		in[i].recv = self->in[i];
	}
	batch = batch_args(out, sizeof(out[0]), 40, KPOST_DONTWAIT, 0);
	ASSERT_EQ(40, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	batch = batch_args(in, sizeof(in[0]), 40, KPOST_DONTWAIT, 0);
	ASSERT_EQ(40, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	for (unsigned int i = 0; i < 40; i++)
		EXPECT_EQ(i + 1, in[i].recv.tag);
	out[5].more = 1;
	batch = batch_args(out, sizeof(out[0]), 40, KPOST_DONTWAIT, 0);
	ASSERT_EQ(5, kt_ioctl(self->fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(-E2BIG, batch.error);
	in[3].more[1] = 1;
	batch = batch_args(in, sizeof(in[0]), 40, KPOST_DONTWAIT, 0);
	ASSERT_EQ(3, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
	EXPECT_EQ(-E2BIG, batch.error);
	EXPECT_EQ(2, kt_stat(self->fd).queued_messages);
}

TEST_F(batch, batch_needs_the_right)
{
	int sender = kt_grant(self->fd, KPOST_RIGHT_SEND);
	int receiver = kt_grant(self->fd, KPOST_RIGHT_RECV), error;

	EXPECT_EQ(-EBADF, recvv(sender, self->in, 1, &error));
	EXPECT_EQ(-EBADF, sendv(receiver, self->out, 1, &error));
	close(sender);
	close(receiver);
}

TEST_F(batch, batch_waits_until_all_are_in)
{
	int fd = kt_mailbox(8, 1 << 16, 64), error;
	struct kpost_batch batch = batch_args(self->out, sizeof(*self->out), 100, 0, kt_soon());
	struct kt_job job;
	unsigned int got = 0;

	ASSERT_LE(0, fd);
	kt_start(&job, fd, KPOST_IOC_SENDV, &batch);
	while (got < 100) {
		/* never more than fits, and the sender waits with one */
		kt_until(kt_stat(fd).queued_messages);
		ASSERT_LE(kt_stat(fd).queued_messages, 8);
		ASSERT_LE(kt_stat(fd).waiting_senders, 1);
		for (long i = 0, n = recvv(fd, self->in, 3, &error); i < n; i++)
			ASSERT_EQ(++got, self->in[i].tag);
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(100, job.ret);
	EXPECT_EQ(0, batch.error);
	EXPECT_EQ(100, kt_stat(fd).received);
	close(fd);
}

TEST_F(batch, batch_that_gives_up_says_how_many_got_in)
{
	int fd = kt_mailbox(8, 1 << 16, 64), error;
	struct kpost_batch batch = batch_args(self->out, sizeof(*self->out), 20, 0, kt_in(30));
	struct kt_job job;

	ASSERT_LE(0, fd);
	ASSERT_EQ(8, kt_ioctl(fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(-ETIMEDOUT, batch.error);
	batch.deadline = 1;
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(fd, KPOST_IOC_SENDV, &batch));
	EXPECT_EQ(8, kt_stat(fd).queued_messages);
	EXPECT_EQ(0, kt_stat(fd).waiting_senders);
	ASSERT_EQ(8, recvv(fd, self->in, 20, &error));

	/* a signal */
	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	batch = batch_args(self->out, sizeof(*self->out), 20, 0, kt_soon());
	kt_start(&job, fd, KPOST_IOC_SENDV, &batch);
	kt_until(kt_stat(fd).waiting_senders);
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(8, job.ret);
	EXPECT_EQ(-EINTR, batch.error);
	ASSERT_EQ(8, recvv(fd, self->in, 20, &error));
	EXPECT_EQ(8, self->in[7].tag);
	close(fd);
}

TEST_F(batch, batch_is_told_that_the_mailbox_closes)
{
	struct kpost_batch batch = batch_args(self->out, sizeof(*self->out), 20, 0, kt_soon());
	struct kt_job job;
	int ends[2], error;

	ASSERT_EQ(0, kt_pair(ends, 8, 1 << 16));
	kt_start(&job, ends[1], KPOST_IOC_SENDV, &batch);
	kt_until(kt_stat(ends[1]).waiting_senders);
	close(ends[0]);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(8, job.ret);
	EXPECT_EQ(-EPIPE, batch.error);
	EXPECT_EQ(-EPIPE, sendv(ends[1], self->out, 20, &error));
	close(ends[1]);

	/* and that nobody will send any more */
	ASSERT_EQ(0, kt_pair(ends, 8, 1 << 16));
	ASSERT_EQ(3, sendv(ends[1], self->out, 3, &error));
	close(ends[1]);
	ASSERT_EQ(3, recvv(ends[0], self->in, 10, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(-EPIPE, recvv(ends[0], self->in, 10, &error));
	close(ends[0]);
}

TEST_F(batch, batch_waits_for_the_first_message_only)
{
	struct kpost_batch batch = batch_args(self->in, sizeof(*self->in), 10, 0, kt_soon());
	struct kt_job job;

	kt_start(&job, self->fd, KPOST_IOC_RECVV, &batch);
	kt_until(kt_stat(self->fd).waiting_receivers);
	ASSERT_EQ(0, kt_post(self->fd, "x", 1, 0));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(1, job.ret);
	EXPECT_EQ(0, batch.error);
	batch.deadline = kt_in(20);
	EXPECT_EQ(-ETIMEDOUT, kt_ioctl(self->fd, KPOST_IOC_RECVV, &batch));
}

TEST_F(batch, batch_receives_calls_and_tells_those_who_wait_for_receipt)
{
	struct kpost_send sync[20];
	struct kpost_call calls[20];
	struct kt_job senders[20], callers[20];
	char replies[20][8];
	int error;

	for (unsigned int i = 0; i < 20; i++) {
		sync[i] = kt_send_args("s", 1, 0, KPOST_SYNC, kt_soon());
		kt_start(&senders[i], self->fd, KPOST_IOC_SEND, &sync[i]);
		calls[i] = kt_call_args("c", 1, replies[i], 8, kt_soon());
		kt_start(&callers[i], self->fd, KPOST_IOC_CALL, &calls[i]);
	}
	kt_until(kt_stat(self->fd).queued_messages == 40);
	ASSERT_EQ(40, recvv(self->fd, self->in, 64, &error));
	EXPECT_EQ(20, kt_stat(self->fd).open_calls);
	for (unsigned int i = 0; i < 40; i++) {
		if (self->in[i].token) {
			EXPECT_EQ(KPOST_MESSAGE_CALL, self->in[i].message_flags);
			EXPECT_EQ(0, kt_reply(self->fd, self->in[i].token, "r", 1));
		} else {
			EXPECT_EQ(KPOST_MESSAGE_SYNC, self->in[i].message_flags);
		}
	}
	for (unsigned int i = 0; i < 20; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
		ASSERT_TRUE(kt_join(&callers[i]));
		EXPECT_EQ(1, callers[i].ret);
	}
}

/* a sender that leaves while its message is copied takes nobody else's place */
static long leave_again_and_again(void *arg)
{
	struct racer_sync {
		int fd;
		atomic_bool stop;
	} *sync = arg;

	while (!atomic_load(&sync->stop)) {
		struct kpost_send send = kt_send_args("leaves", 6, 0, KPOST_SYNC,
						      kt_now() + 200000);
		long ret = kt_ioctl(sync->fd, KPOST_IOC_SEND, &send);

		if (ret && ret != -ETIMEDOUT)
			return ret;
	}
	return 0;
}

TEST_F(batch, batch_keeps_order_though_senders_leave)
{
	struct {
		int fd;
		atomic_bool stop;
	} sync = { .fd = self->fd };
	struct kt_job leaver;
	uint64_t end = kt_in(1000), next = 1, number = 1;
	int error;

	kt_start_fn(&leaver, leave_again_and_again, &sync);
	while (kt_now() < end) {
		for (unsigned int i = 0; i < 20; i++)
			self->out[i].tag = number++;
		ASSERT_EQ(20, sendv(self->fd, self->out, 20, &error));
		while (next < number) {
			long n = recvv(self->fd, self->in, 16, &error);

			ASSERT_LT(0, n);
			for (long i = 0; i < n; i++) {
				if (self->in[i].message_flags & KPOST_MESSAGE_SYNC)
					continue;
				ASSERT_EQ(next++, self->in[i].tag);
			}
			for (long i = n; i < 16; i++)
				ASSERT_EQ(0, self->in[i].token);
		}
	}
	atomic_store(&sync.stop, true);
	ASSERT_TRUE(kt_join(&leaver));
	EXPECT_EQ(0, leaver.ret);
}

TEST_F(batch, batch_hands_messages_to_all_who_wait)
{
	struct kpost_recv recv[20];
	struct kt_job receivers[20];
	char bytes[20][8];
	int error;

	for (unsigned int i = 0; i < 20; i++) {
		recv[i] = kt_recv_args(bytes[i], 8, 0, kt_soon());
		kt_start(&receivers[i], self->fd, KPOST_IOC_RECV, &recv[i]);
	}
	kt_until(kt_stat(self->fd).waiting_receivers == 20);
	ASSERT_EQ(25, sendv(self->fd, self->out, 25, &error));
	for (unsigned int i = 0; i < 20; i++) {
		ASSERT_TRUE(kt_join(&receivers[i]));
		EXPECT_EQ(8, receivers[i].ret);
	}
	EXPECT_EQ(5, kt_stat(self->fd).queued_messages);
}

TEST_F(batch, batch_by_io_uring_is_done_once)
{
	struct kpost_batch send = batch_args(self->out, sizeof(*self->out), 50, 0, kt_soon());
	struct kpost_batch recv = batch_args(self->in, sizeof(*self->in), 50, 0, kt_soon());
	int fd = kt_mailbox(40, 1 << 16, 64), error;
	struct uring_result result;
	struct io_uring ring;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_init(&ring, 8, 0));
	/* waits for the first, in a worker */
	uring_op(&ring, fd, KPOST_IOC_RECVV, &recv, 1);
	ASSERT_EQ(1, io_uring_submit(&ring));
	kt_until(kt_stat(fd).waiting_receivers);
	ASSERT_EQ(1, sendv(fd, self->out, 1, &error));
	ASSERT_EQ(0, uring_wait(&ring, &result));
	EXPECT_EQ(1, result.res);
	/* all at once where they fit, and else none before a worker takes it over */
	for (unsigned int n = 10; n <= 50; n += 20) {
		unsigned int got = 0;

		send.count = n;
		uring_op(&ring, fd, KPOST_IOC_SENDV, &send, n);
		ASSERT_EQ(1, io_uring_submit(&ring));
		while (got < n) {
			long ret;

			kt_until(kt_stat(fd).queued_messages);
			ret = recvv(fd, self->in, 7, &error);
			for (long i = 0; i < ret; i++)
				ASSERT_EQ(++got, self->in[i].tag);
		}
		ASSERT_EQ(0, uring_wait(&ring, &result));
		EXPECT_EQ(n, result.res);
		EXPECT_EQ(0, send.error);
	}
	EXPECT_EQ(0, kt_stat(fd).queued_messages);
	io_uring_queue_exit(&ring);
	close(fd);
}

/* ---- many at once -------------------------------------------------------- */

#define RACERS	3
#define EACH	3000

struct racer {
	int fd;
	unsigned int number;
	atomic_uint *received;
	uint64_t last[RACERS];
	long wrong;
};

static long race_send(void *arg)
{
	struct racer *racer = arg;
	struct kpost_send out[48];
	unsigned int sent = 0;

	while (sent < EACH) {
		unsigned int n = 1 + (sent * 7) % 48;
		struct kpost_batch batch = batch_args(out, sizeof(out[0]), n, 0, kt_soon());
		long ret;

		if (n > EACH - sent)
			batch.count = EACH - sent;
		memset(out, 0, sizeof(out));
		for (unsigned int i = 0; i < batch.count; i++)
			out[i].tag = (uint64_t)racer->number << 32 | (sent + i + 1);
		ret = kt_ioctl(racer->fd, KPOST_IOC_SENDV, &batch);
		if (ret <= 0)
			return ret;
		sent += (unsigned int)ret;
	}
	return 0;
}

static long race_receive(void *arg)
{
	struct racer *racer = arg;
	struct kpost_recv in[40];

	while (atomic_load(racer->received) < RACERS * EACH) {
		struct kpost_batch batch = batch_args(in, sizeof(in[0]), 40, 0, kt_in(100));
		long ret;

		memset(in, 0, sizeof(in));
		ret = kt_ioctl(racer->fd, KPOST_IOC_RECVV, &batch);
		if (ret == -ETIMEDOUT)
			continue;
		if (ret <= 0)
			return ret;
		for (long i = 0; i < ret; i++) {
			uint64_t *last = &racer->last[in[i].tag >> 32];
			uint32_t number = (uint32_t)in[i].tag;

			/* what one receiver gets of one sender is in order */
			racer->wrong += number <= *last;
			*last = number;
		}
		atomic_fetch_add(racer->received, (unsigned int)ret);
	}
	return 0;
}

TEST_F(batch, batch_races_lose_and_double_nothing)
{
	struct racer senders[RACERS] = {}, receivers[2] = {};
	struct kt_job sending[RACERS], receiving[2];
	atomic_uint received = 0;
	int fd = kt_mailbox(64, 1 << 16, 64);

	ASSERT_LE(0, fd);
	for (unsigned int i = 0; i < 2; i++) {
		receivers[i] = (struct racer){ .fd = fd, .received = &received };
		kt_start_fn(&receiving[i], race_receive, &receivers[i]);
	}
	for (unsigned int i = 0; i < RACERS; i++) {
		senders[i] = (struct racer){ .fd = fd, .number = i };
		kt_start_fn(&sending[i], race_send, &senders[i]);
	}
	for (unsigned int i = 0; i < RACERS; i++) {
		ASSERT_TRUE(kt_join(&sending[i]));
		EXPECT_EQ(0, sending[i].ret);
	}
	for (unsigned int i = 0; i < 2; i++) {
		ASSERT_TRUE(kt_join(&receiving[i]));
		EXPECT_EQ(0, receiving[i].ret);
		EXPECT_EQ(0, receivers[i].wrong);
	}
	EXPECT_EQ(RACERS * EACH, atomic_load(&received));
	EXPECT_EQ(RACERS * EACH, kt_stat(fd).received);
	EXPECT_EQ(0, kt_stat(fd).dropped);
	close(fd);
}

TEST_HARNESS_MAIN
