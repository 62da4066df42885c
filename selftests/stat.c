// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking at mailboxes and changing them: STAT, LIST and SETATTR, with every byte
 * that they store, and what /proc shows of the same.
 */
#include <sys/stat.h>
#include "kpost_test.h"

FIXTURE(stat) {
	char name[KT_NAME_SIZE];
	int fd;
	char buf[64];
};

FIXTURE_SETUP(stat)
{
	struct kpost_open open;

	umask(0);
	open = kt_open_args(kt_name(self->name), KT_ALL, KPOST_OPEN_CREATE);
	open.messages = 5;
	open.bytes = 1000;
	open.message_max = 100;
	self->fd = kt_do_open(&open);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(stat)
{
	close(self->fd);
}

/* all but the times, which are for other tests */
static bool stat_is(struct kpost_stat *want, int fd)
{
	struct kpost_stat st = kt_stat(fd);

	want->oldest = st.oldest;
	want->last_sent = st.last_sent;
	want->last_received = st.last_received;
	return kt_stat_same(*want, st);
}

TEST_F(stat, stat_counts_everything_and_leaves_no_byte_undefined)
{
	struct kpost_stat want = {
		.mode = 0600,
		.uid = geteuid(),
		.gid = getegid(),
		.messages = 5,
		.message_max = 100,
		.bytes = 1000,
		.receivers = 1,
		.senders = 1,
		.counted = 1024 + 1000 + 5 * 256,
		.held_max = 2,
		/* root's counts for no user */
		.maker = geteuid() ? geteuid() : KPOST_MAKER_OFFICE,
	};
	struct kpost_call call = kt_call_args("ask", 3, self->buf, 8, kt_soon());
	struct kpost_send send = kt_send_args("wait", 4, 0, 0, kt_soon());
	struct kpost_recv recv;
	struct kt_job caller, sender;
	char got[8];

	strcpy(want.name, self->name);
	want.rights = KT_ALL;
	want.identity = kt_stat(self->fd).identity;
	EXPECT_TRUE(stat_is(&want, self->fd));

	kt_start(&caller, self->fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->fd, &recv, got, sizeof(got), 0, kt_soon()));
	want.sent = want.received = want.open_calls = 1;
	/* whoever was there first */
	want.unattended = kt_stat(self->fd).unattended;
	EXPECT_TRUE(stat_is(&want, self->fd));

	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, kt_post(self->fd, "12345678", i, 0));
	}
	want.queued_messages = 5;
	want.queued_bytes = 0 + 1 + 2 + 3 + 4;
	want.sent = 6;
	want.unattended++;
	EXPECT_TRUE(stat_is(&want, self->fd));

	kt_start(&sender, self->fd, KPOST_IOC_SEND, &send);
	want.waiting_senders = 1;
	EXPECT_TRUE(kt_until(stat_is(&want, self->fd)));

	ASSERT_EQ(0, kt_take(self->fd, NULL, got, sizeof(got)));
	ASSERT_TRUE(kt_join(&sender));
	want.waiting_senders = 0;
	want.queued_bytes += 4;
	want.received = 2;
	want.sent = 7;
	EXPECT_TRUE(stat_is(&want, self->fd));

	ASSERT_EQ(0, kt_reply(self->fd, recv.token, "", 0));
	ASSERT_TRUE(kt_join(&caller));
	want.open_calls = 0;
	EXPECT_TRUE(stat_is(&want, self->fd));

	ASSERT_EQ(0, kt_unlink(self->name));
	memset(want.name, 0, sizeof(want.name));
	EXPECT_TRUE(stat_is(&want, self->fd));
}

/* a tick of the slowest kernel, and what reading the clock takes */
#define TICK	(20 * KT_MS)

TEST_F(stat, stat_tells_when_the_last_was_sent_and_received)
{
	struct kpost_stat first = kt_stat(self->fd), second;
	uint64_t before, after;
	struct kpost_recv recv;

	EXPECT_EQ(0, first.oldest);
	EXPECT_EQ(0, first.last_sent);
	EXPECT_EQ(0, first.last_received);
	ASSERT_EQ(0, kt_post(self->fd, "a", 1, 0));
	first = kt_stat(self->fd);
	EXPECT_EQ(first.last_sent, first.oldest);
	EXPECT_EQ(0, first.last_received);
	before = kt_now();
	ASSERT_EQ(1, kt_take(self->fd, &recv, self->buf, sizeof(self->buf)));
	after = kt_now();
	EXPECT_EQ(recv.time, first.last_sent);
	first = kt_stat(self->fd);
	EXPECT_EQ(0, first.oldest);
	EXPECT_EQ(recv.time, first.last_sent);
	EXPECT_LE(before, first.last_received + TICK);
	EXPECT_GE(after + TICK, first.last_received);
	/* whoever asks, and when */
	while (kt_now() < after + 3 * TICK)
		kt_pause();
	second = kt_stat(self->fd);
	EXPECT_TRUE(kt_stat_same(first, second));
	/* what is refused, or goes back, is no receive */
	ASSERT_EQ(0, kt_post(self->fd, "long", 4, 0));
	EXPECT_EQ(-EMSGSIZE, kt_take(self->fd, NULL, self->buf, 1));
	second = kt_stat(self->fd);
	EXPECT_EQ(first.last_received, second.last_received);
	EXPECT_LT(first.last_sent, second.last_sent);
	before = kt_now();
	ASSERT_EQ(4, kt_take(self->fd, NULL, self->buf, sizeof(self->buf)));
	EXPECT_LE(before, kt_stat(self->fd).last_received + TICK);
}

/* of whatever priority, however many there are */
TEST_F(stat, stat_tells_when_the_oldest_got_in)
{
	enum { LEVELS = 200 };
	int fd = kt_mailbox(2 * LEVELS, 0, 0);
	static uint64_t times[2 * LEVELS];
	struct kpost_recv recv;
	uint64_t last;

	ASSERT_LE(0, fd);
	for (unsigned int i = 0; i < 2 * LEVELS; i++) {
		/* the oldest is of the lowest priority but one, and the second oldest of all */
		ASSERT_EQ(0, kt_post(fd, "m", 1, i ? (i * 7) % LEVELS : 1));
		times[i] = kt_stat(fd).last_sent;
		EXPECT_EQ(times[0], kt_stat(fd).oldest);
		for (last = kt_now(); i < 4 && kt_now() < last + TICK;)
			kt_pause();
	}
	EXPECT_LT(times[0], times[1]);
	EXPECT_LT(times[1], times[2]);
	for (unsigned int left = 2 * LEVELS; left; left--) {
		ASSERT_EQ(1, kt_take(fd, &recv, self->buf, sizeof(self->buf)));
		times[recv.sequence - 1] = 0;
		last = UINT64_MAX;
		for (unsigned int i = 0; i < 2 * LEVELS; i++) {
			if (times[i] && times[i] < last)
				last = times[i];
		}
		ASSERT_EQ(left > 1 ? last : 0, kt_stat(fd).oldest);
	}
	close(fd);
}

TEST_F(stat, stat_that_faults_changes_nothing)
{
	char *readonly = kt_edge(PROT_READ);
	struct kpost_stat before = kt_stat(self->fd);

	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_STAT, readonly));
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KPOST_IOC_STAT, readonly - 8));
	EXPECT_TRUE(kt_poisoned(readonly, kt_page_size()));
	EXPECT_TRUE(kt_stat_same(before, kt_stat(self->fd)));
}

TEST_F(stat, stat_setattr_sets_what_is_asked_and_nothing_else)
{
	struct kpost_stat want = kt_stat(self->fd);
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = 9 };

	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	want.messages = 9;
	want.held_max = 4;
	want.counted += 4 * 256;
	EXPECT_TRUE(kt_stat_same(want, kt_stat(self->fd)));

	attr = (struct kpost_setattr){ .valid = KPOST_SET_BYTES, .bytes = 100 };
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	want.bytes = 100;
	want.counted -= 900;
	EXPECT_TRUE(kt_stat_same(want, kt_stat(self->fd)));

	umask(077);	/* is for what is made, not for what is set */
	attr = (struct kpost_setattr){ .valid = KPOST_SET_MODE, .mode = 0777 };
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	want.mode = 0777;
	EXPECT_TRUE(kt_stat_same(want, kt_stat(self->fd)));

	attr = (struct kpost_setattr){ .valid = KPOST_SET_UID, .uid = geteuid() };
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	attr = (struct kpost_setattr){ .valid = KPOST_SET_GID, .gid = getegid() };
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_TRUE(kt_stat_same(want, kt_stat(self->fd)));
}

TEST_F(stat, stat_setattr_refuses_what_cannot_be_and_sets_nothing)
{
	static const struct kpost_setattr bad[] = {
		{ .valid = KPOST_SET_MESSAGES },
		{ .valid = KPOST_SET_MESSAGES, .messages = (1u << 20) + 1 },
		{ .valid = KPOST_SET_MESSAGES, .messages = UINT32_MAX },
		{ .valid = KPOST_SET_BYTES },
		{ .valid = KPOST_SET_BYTES, .bytes = 99 },	/* less than message_max */
		{ .valid = KPOST_SET_BYTES, .bytes = (1ull << 30) + 1 },
		{ .valid = KPOST_SET_BYTES, .bytes = UINT64_MAX },
		{ .valid = KPOST_SET_MODE, .mode = 01000 },
		{ .valid = KPOST_SET_MODE, .mode = 0100600 },
		{ .valid = KPOST_SET_UID, .uid = UINT32_MAX },
		{ .valid = KPOST_SET_GID, .gid = UINT32_MAX },
		/* what is not asked to be set must be 0 */
		{ .valid = KPOST_SET_MESSAGES, .messages = 7, .bytes = 1000 },
		{ .valid = KPOST_SET_MESSAGES, .messages = 7, .mode = 0600 },
		{ .valid = KPOST_SET_BYTES, .bytes = 700, .messages = 5 },
		{ .valid = KPOST_SET_MODE, .mode = 0700, .uid = 1 },
		{ .valid = KPOST_SET_MODE, .mode = 0700, .gid = 1 },
		/* a good one does not get by with a bad one */
		{ .valid = KPOST_SET_MESSAGES | KPOST_SET_BYTES, .messages = 7, .bytes = 1 },
		{ .valid = KPOST_SET_MODE | KPOST_SET_MESSAGES, .mode = 0777 },
		{ .valid = KPOST_SET_MODE | KPOST_SET_GID, .mode = 0777, .gid = UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kpost_setattr attr = bad[i];

		EXPECT_REFUSED(EINVAL, self->fd, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
		EXPECT_EQ(0, memcmp(&attr, &bad[i], sizeof(attr))) TH_LOG("%zu", i);
	}
}

/* ---- LIST -------------------------------------------------------------------- */

enum { NAMES = 7 };

/* what a list says of @fd's mailbox: STAT's, but for the rights, which are an endpoint's */
static struct kpost_stat entry_of(int fd)
{
	struct kpost_stat st = kt_stat(fd);

	st.rights = 0;
	return st;
}

FIXTURE(list) {
	char prefix[KT_NAME_SIZE];
	int fds[NAMES];
	struct kpost_list list;
	struct kpost_stat entries[NAMES + 3];
};

/* in order, as bytes are: not as signed characters, nor as a locale has it */
static const char *const suffixes[NAMES] = { " ", "A", "AA", "B", "a", "\x80", "\xff" };

FIXTURE_SETUP(list)
{
	char name[KT_NAME_SIZE * 2];

	kt_name(self->prefix);
	for (int i = 0; i < NAMES; i++) {
		/* made in another order */
		int at = (i * 3 + 2) % NAMES;

		snprintf(name, sizeof(name), "%s%s", self->prefix, suffixes[at]);
		self->fds[at] = kt_create(name, KT_ALL);
		ASSERT_LE(0, self->fds[at]);
		ASSERT_EQ(0, kt_post(self->fds[at], "xxxxxxxxxx", at, 0));
	}
	self->list = (struct kpost_list){
		.buf = (uintptr_t)self->entries,
		.entry_size = sizeof(struct kpost_stat),
	};
	strcpy(self->list.after, self->prefix);
	kt_poison(self->entries, sizeof(self->entries));
}

FIXTURE_TEARDOWN(list)
{
	for (int i = 0; i < NAMES; i++)
		close(self->fds[i]);
}

TEST_F(list, list_gives_what_stat_gives_in_order_of_names)
{
	self->list.count = NAMES;
	ASSERT_EQ(NAMES, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	for (int i = 0; i < NAMES; i++) {
		EXPECT_TRUE(kt_stat_same(self->entries[i], entry_of(self->fds[i])));
		EXPECT_EQ(i, self->entries[i].queued_bytes);
	}
	EXPECT_TRUE(kt_poisoned(&self->entries[NAMES], 3 * sizeof(self->entries[0])));
}

TEST_F(list, list_pages_without_loss_or_repetition)
{
	for (unsigned int size = 1; size <= NAMES; size++) {
		unsigned int seen = 0;

		strcpy(self->list.after, self->prefix);
		self->list.count = size;
		while (seen < NAMES) {
			long got;

			kt_poison(self->entries, sizeof(self->entries));
			got = kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list);
			ASSERT_LT(0, got);
			ASSERT_LE(got, size);
			EXPECT_TRUE(kt_poisoned(&self->entries[got],
						sizeof(self->entries) -
						got * sizeof(self->entries[0])));
			for (long i = 0; i < got && seen < NAMES; i++, seen++) {
				ASSERT_STREQ(kt_stat(self->fds[seen]).name, self->entries[i].name);
			}
			strcpy(self->list.after, self->entries[got - 1].name);
		}
	}
}

TEST_F(list, list_goes_on_after_a_name_that_is_gone)
{
	struct kpost_stat st = kt_stat(self->fds[3]);

	strcpy(self->list.after, st.name);
	close(self->fds[3]);
	self->fds[3] = -1;
	self->list.count = 1;
	ASSERT_EQ(1, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	EXPECT_TRUE(kt_stat_same(self->entries[0], entry_of(self->fds[4])));
}

TEST_F(list, list_ends)
{
	self->list.count = 3;
	memset(self->list.after, 0xff, KPOST_NAME_MAX);
	self->list.after[KPOST_NAME_MAX] = '\0';
	EXPECT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	self->list.after[0] = '\0';
	self->list.count = 0;
	EXPECT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	EXPECT_TRUE(kt_poisoned(self->entries, sizeof(self->entries)));
}

TEST_F(list, list_shows_only_names)
{
	int anonymous = kt_mailbox(0, 0, 0);

	ASSERT_LE(0, anonymous);
	ASSERT_EQ(0, kt_unlink(kt_stat(self->fds[6]).name));
	self->list.count = NAMES;
	self->list.after[0] = '\0';
	for (;;) {
		long got = kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list);

		ASSERT_LE(0, got);
		for (long i = 0; i < got; i++) {
			ASSERT_NE('\0', self->entries[i].name[0]);
			ASSERT_EQ(0, self->entries[i].flags & KPOST_STAT_ANONYMOUS);
			if (!strncmp(self->prefix, self->entries[i].name, strlen(self->prefix))) {
				ASSERT_NE('\xff', self->entries[i].name[strlen(self->prefix)]);
			}
		}
		if (got < NAMES)
			break;
		strcpy(self->list.after, self->entries[got - 1].name);
	}
	close(anonymous);
}

TEST_F(list, list_entries_may_grow_but_not_shrink)
{
	size_t size = sizeof(struct kpost_stat) + 64;
	char *buf = malloc(3 * size);

	kt_poison(buf, 3 * size);
	self->list.buf = (uintptr_t)buf;
	self->list.entry_size = size;
	self->list.count = 2;
	ASSERT_EQ(2, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	for (int i = 0; i < 2; i++) {
		struct kpost_stat st;

		memcpy(&st, buf + i * size, sizeof(st));
		EXPECT_TRUE(kt_stat_same(st, entry_of(self->fds[i])));
		for (size_t b = sizeof(st); b < size; b++) {
			ASSERT_EQ(0, buf[i * size + b]);
		}
	}
	EXPECT_TRUE(kt_poisoned(buf + 2 * size, size));
	for (unsigned int bad = 0; bad < sizeof(struct kpost_stat); bad += 43) {
		self->list.entry_size = bad;
		EXPECT_EQ(-EINVAL, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list))
			TH_LOG("entries of %u bytes", bad);
	}
	free(buf);
}

TEST_F(list, list_refuses_bad_addresses_and_names)
{
	char *readonly = kt_edge(PROT_READ);

	self->list.count = 2;
	self->list.buf = (uintptr_t)readonly;
	EXPECT_EQ(-EFAULT, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	EXPECT_TRUE(kt_poisoned(readonly, kt_page_size()));
	/* the last bytes of the first entry do not fit */
	self->list.buf = (uintptr_t)readonly - sizeof(struct kpost_stat) + 8;
	EXPECT_EQ(-EFAULT, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	self->list.buf = KT_KERNEL_ADDRESS;
	EXPECT_EQ(-EFAULT, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	self->list.buf = (uintptr_t)self->entries;
	memset(self->list.after, 'x', sizeof(self->list.after));
	EXPECT_EQ(-ENAMETOOLONG, kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list));
	EXPECT_TRUE(kt_poisoned(self->entries, sizeof(self->entries)));
}

struct churn {
	const char *prefix;
	bool stop;
};

static long churn_names(void *arg)
{
	struct churn *churn = arg;
	char name[KT_NAME_SIZE * 2];

	for (unsigned int i = 0; !__atomic_load_n(&churn->stop, __ATOMIC_ACQUIRE); i++) {
		int fd;

		snprintf(name, sizeof(name), "%sA.%u", churn->prefix, i % 17);
		fd = kt_create(name, KT_ALL);
		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

/* what stays is always seen, once, however much comes and goes around it */
TEST_F(list, list_shows_what_stays_once_while_others_come_and_go)
{
	struct churn churn = { .prefix = self->prefix };
	struct kt_job job;

	kt_start_fn(&job, churn_names, &churn);
	for (int round = 0; round < 150; round++) {
		char last[KT_NAME_SIZE];
		int next = 0;

		strcpy(last, self->prefix);
		strcpy(self->list.after, self->prefix);
		self->list.count = 2;
		while (next < NAMES) {
			long got = kt_ioctl(kt_device(), KPOST_IOC_LIST, &self->list);

			ASSERT_LT(0, got);
			for (long i = 0; i < got; i++) {
				ASSERT_LT(strcmp(last, self->entries[i].name), 0);
				strcpy(last, self->entries[i].name);
				if (next < NAMES && !strcmp(last, kt_stat(self->fds[next]).name))
					next++;
			}
			ASSERT_EQ(0, strncmp(last, self->prefix, strlen(self->prefix)))
				TH_LOG("name %d was not seen", next);
			strcpy(self->list.after, last);
		}
	}
	__atomic_store_n(&churn.stop, true, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
}

TEST_HARNESS_MAIN
