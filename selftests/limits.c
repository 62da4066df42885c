// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 3, beyond one mailbox: a user never has more than its share, nor an
 * office, and what was charged is given back exactly.
 *
 * Each test is at home in a network namespace of its own, so that its sysctls
 * and counts are nobody else's.
 */
#include "child_test.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define SYSCTL	"/proc/sys/net/kpost/"
#define USER	12345

static const struct limit {
	const char *name;
	uint64_t value;	/* the documented default */
} limits[] = {
	{ "default_messages", 1024 },
	{ "default_bytes", 1 << 20 },
	{ "max_messages", 65536 },
	{ "max_bytes", 8 << 20 },
	{ "user_mailboxes", 256 },
	{ "user_bytes", 16 << 20 },
	{ "office_mailboxes", 65536 },
	{ "office_bytes", 256 << 20 },
};

static int limit_set(const char *name, uint64_t value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return child_write(path, text);
}

static uint64_t limit_get(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	if (child_read(path, text, sizeof(text)) <= 0)
		return ~0ull;
	return strtoull(text, NULL, 10);
}

FIXTURE(limits) {
	int unused;
};

FIXTURE_SETUP(limits)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_LE(0, kt_device());
}

FIXTURE_TEARDOWN(limits)
{
}

/* from here on as a user without privileges; root can be had back with seteuid(0) */
static int drop(void)
{
	return setresgid(USER, USER, USER) || setresuid(USER, USER, 0) ? -errno : 0;
}

/* ---- sysctls -------------------------------------------------------------------------- */

TEST_F(limits, defaults_are_as_documented_and_info_tells_them)
{
	struct kpost_info info;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		EXPECT_EQ(limits[i].value, limit_get(limits[i].name))
			TH_LOG("%s", limits[i].name);
	}
	ASSERT_EQ(0, drop());
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	EXPECT_EQ(1024, info.default_messages);
	EXPECT_EQ(1 << 20, info.default_bytes);
	EXPECT_EQ(65536, info.max_messages);
	EXPECT_EQ(8 << 20, info.max_bytes);
	EXPECT_EQ(256, info.user_mailboxes);
	EXPECT_EQ(16 << 20, info.user_bytes);
	EXPECT_EQ(65536, info.office_mailboxes);
	EXPECT_EQ(256 << 20, info.office_bytes);
}

static int see_lowered(void *arg)
{
	struct kpost_info info;
	int device;

	CHECK_EQ(100, limit_get("user_mailboxes"));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	CHECK_EQ(0, kt_ioctl(device, KPOST_IOC_INFO, &info));
	CHECK_EQ(256, info.user_mailboxes);
	CHECK_EQ(256, limit_get("user_mailboxes"));
	CHECK_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	CHECK_EQ(100, info.user_mailboxes);
	(void)arg;
	return 0;
}

TEST_F(limits, each_namespace_has_its_own)
{
	ASSERT_EQ(0, limit_set("user_mailboxes", 100));
	EXPECT_EQ(0, child_run(see_lowered, NULL));
}

TEST_F(limits, namespace_lowers_them_and_never_raises_them_above_the_initial_ones)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const char *name = limits[i].name;
		uint64_t value = limits[i].value;

		EXPECT_EQ(-EINVAL, limit_set(name, value + 1)) TH_LOG("%s", name);
		EXPECT_EQ(value, limit_get(name)) TH_LOG("%s", name);
		EXPECT_EQ(0, limit_set(name, value / 2)) TH_LOG("%s", name);
		EXPECT_EQ(value / 2, limit_get(name)) TH_LOG("%s", name);
		EXPECT_EQ(0, limit_set(name, value)) TH_LOG("%s", name);
		EXPECT_EQ(-EINVAL, limit_set(name, 1ull << 62)) TH_LOG("%s", name);
	}
	EXPECT_EQ(-EINVAL, child_write(SYSCTL "max_bytes", "-1"));
	EXPECT_EQ(8 << 20, limit_get("max_bytes"));
}

TEST_F(limits, user_cannot_set_them)
{
	ASSERT_EQ(0, drop());
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		EXPECT_EQ(-EACCES, limit_set(limits[i].name, 1)) TH_LOG("%s", limits[i].name);
	}
}

TEST_F(limits, default_capacity_is_what_a_mailbox_gets)
{
	struct kpost_stat st;

	ASSERT_EQ(0, limit_set("default_messages", 7));
	ASSERT_EQ(0, limit_set("default_bytes", 5000));
	st = kt_stat(kt_mailbox(0, 0, 0));
	EXPECT_EQ(7, st.messages);
	EXPECT_EQ(5000, st.bytes);
	EXPECT_EQ(5000 / 8, st.message_max);
	EXPECT_EQ(-EINVAL, kt_mailbox(0, 0, 5001));
}

/* ---- capacities ------------------------------------------------------------------------ */

TEST_F(limits, capacity_above_the_maximum_is_eperm)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES, .messages = 51 };
	int fd;

	ASSERT_EQ(0, limit_set("default_messages", 50));
	ASSERT_EQ(0, limit_set("default_bytes", 4096));
	ASSERT_EQ(0, limit_set("max_messages", 50));
	ASSERT_EQ(0, limit_set("max_bytes", 5000));
	ASSERT_EQ(0, drop());
	EXPECT_EQ(-EPERM, kt_mailbox(51, 0, 0));
	EXPECT_EQ(-EPERM, kt_mailbox(0, 5001, 0));
	fd = kt_mailbox(50, 5000, 0);
	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EPERM, fd, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	attr = (struct kpost_setattr){ .valid = KPOST_SET_BYTES, .bytes = 5001 };
	EXPECT_REFUSED(EPERM, fd, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));

	/* privilege goes further, to a point */
	ASSERT_EQ(0, seteuid(0));
	EXPECT_LE(0, kt_mailbox(51, 5001, 0));
	EXPECT_EQ(-EINVAL, kt_mailbox((1 << 20) + 1, 0, 0));
	EXPECT_EQ(-EINVAL, kt_mailbox(0, (1ull << 30) + 1, 0));
}

TEST_F(limits, mailbox_past_the_users_share_is_edquot)
{
	int fd[8], extra;

	ASSERT_EQ(0, limit_set("user_mailboxes", 8));
	ASSERT_EQ(0, drop());
	for (int i = 0; i < 8; i++) {
		fd[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fd[i]);
	}
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	/* named or not, by whatever device */
	EXPECT_EQ(-EDQUOT, kt_create("one.more", KT_ALL));
	/* each one that goes makes room for one */
	for (int i = 0; i < 20; i++) {
		close(fd[i % 8]);
		fd[i % 8] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fd[i % 8]);
		EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	}
	/* another user's share is its own, and privilege has no share */
	ASSERT_EQ(0, seteuid(0));
	extra = kt_mailbox(0, 0, 0);
	EXPECT_LE(0, extra);
	ASSERT_EQ(0, setresuid(USER + 1, USER + 1, 0));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
}

TEST_F(limits, mailbox_past_the_offices_share_is_enospc)
{
	int fd[4];

	ASSERT_EQ(0, limit_set("office_mailboxes", 4));
	ASSERT_EQ(0, drop());
	for (int i = 0; i < 4; i++) {
		fd[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fd[i]);
	}
	EXPECT_EQ(-ENOSPC, kt_mailbox(0, 0, 0));
	ASSERT_EQ(0, setresuid(0, 0, 0));
	ASSERT_EQ(0, setresuid(USER + 1, USER + 1, 0));
	EXPECT_EQ(-ENOSPC, kt_mailbox(0, 0, 0)) TH_LOG("another user's is the office's too");
	close(fd[0]);
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
}

/* ---- memory ------------------------------------------------------------------------------- */

static char parked_payload[1 << 16];

/* messages of @size until one is refused; how many got in, and in @err why no more */
static int fill(int fd, size_t size, long *err)
{
	static char payload[1 << 20];
	int count = 0;

	while ((*err = kt_post(fd, payload, size, 0)) == 0)
		count++;
	return count;
}

static int drain(int fd)
{
	static char buf[1 << 20];
	int count = 0;

	while (kt_take(fd, NULL, buf, sizeof(buf)) >= 0)
		count++;
	return count;
}

TEST_F(limits, messages_past_the_users_memory_are_edquot)
{
	int fd[3], count, again;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	for (int i = 0; i < 3; i++) {
		fd[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fd[i]);
	}
	count = fill(fd[0], 4000, &err);
	EXPECT_EQ(-EDQUOT, err);
	/* the overhead counts: but it does not count for more than the payload */
	EXPECT_GE((1 << 20) / 4000, count);
	EXPECT_LE((1 << 20) / 8000, count);
	EXPECT_REFUSED(EDQUOT, fd[1], kt_post(fd[1], parked_payload, 4000, 0));

	/* given back to the byte: the same number again, and again elsewhere */
	for (int round = 0; round < 5; round++) {
		EXPECT_EQ(count, drain(fd[round % 3]));
		again = fill(fd[(round + 1) % 3], 4000, &err);
		EXPECT_EQ(count, again) TH_LOG("round %d", round);
		EXPECT_EQ(-EDQUOT, err);
	}
}

/* as a program that is set-uid root writes to what a user gave it for an output */
TEST_F(limits, privilege_that_was_not_the_openers_goes_past_none)
{
	static char payload[4000];
	int theirs, mine, count, box;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	theirs = kt_mailbox(0, 8 << 20, 0);
	box = kt_create("box", KT_ALL);
	ASSERT_LE(0, theirs);
	ASSERT_LE(0, box);
	count = fill(theirs, 4000, &err);
	ASSERT_EQ(-EDQUOT, err);

	ASSERT_EQ(0, seteuid(0));
	EXPECT_REFUSED(EDQUOT, theirs, write(theirs, payload, 4000) < 0 ? -errno : 0);
	EXPECT_REFUSED(EDQUOT, theirs, kt_post(theirs, payload, 4000, 0));
	EXPECT_REFUSED(EDQUOT, theirs, kt_call(theirs, "x", 1, payload, 4000, kt_in(1)));
	/* by what it opened itself it does */
	mine = kt_open("box", KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, mine);
	EXPECT_EQ(0, kt_post(mine, payload, 4000, 0));
	EXPECT_EQ(4000, write(mine, payload, 4000));
	/* and not for whoever it gives that to */
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_REFUSED(EDQUOT, mine, kt_post(mine, payload, 4000, 0));
	EXPECT_EQ(count, drain(theirs));
}

TEST_F(limits, messages_past_the_offices_memory_are_enobufs)
{
	int fd, count, again;
	long err;

	ASSERT_EQ(0, limit_set("office_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, fd);
	count = fill(fd, 4000, &err);
	EXPECT_EQ(-ENOBUFS, err);
	EXPECT_LE((1 << 20) / 8000, count);
	EXPECT_EQ(count, drain(fd));
	again = fill(fd, 4000, &err);
	EXPECT_EQ(count, again);
	EXPECT_EQ(-ENOBUFS, err);
	/* what goes with its mailbox is given back as well */
	close(fd);
	fd = kt_mailbox(0, 0, 0);
	again = fill(fd, 4000, &err);
	EXPECT_EQ(count, again);
}

/* with the limits as they are by default */
TEST_F(limits, zero_length_accounting_a_million_empty_messages_hit_the_limits)
{
	enum { BYTES = 16 << 20, MILLION = 1000000 };
	int fd, total = 0;
	long err = 0;

	ASSERT_EQ(0, drop());
	while (total < MILLION && err != -EDQUOT) {
		fd = kt_mailbox(65536, 1, 0);
		ASSERT_LE(0, fd);
		total += fill(fd, 0, &err);
	}
	EXPECT_EQ(-EDQUOT, err) TH_LOG("%d empty messages, and no end", total);
	/* each holds some memory, whatever its payload */
	EXPECT_GE(BYTES / 32, total);
	EXPECT_LE(BYTES / 1024, total);
}

TEST_F(limits, empty_messages_fill_a_mailbox_to_its_capacity)
{
	int fd = kt_mailbox(65536, 1, 0);
	long err;

	ASSERT_LE(0, fd);
	EXPECT_EQ(65536, fill(fd, 0, &err));
	EXPECT_EQ(-EAGAIN, err);
	EXPECT_EQ(65536, kt_stat(fd).queued_messages);
	EXPECT_EQ(0, kt_stat(fd).queued_bytes);
	EXPECT_EQ(65536, drain(fd));
}

TEST_F(limits, full_mailbox_leaves_the_users_others_working)
{
	int full, other;
	char buf[8];
	long err;

	ASSERT_EQ(0, drop());
	full = kt_mailbox(0, 0, 0);
	other = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, other);
	fill(full, 1000, &err);
	EXPECT_EQ(-EAGAIN, err) TH_LOG("capacity is less than the user's share");
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, kt_post(other, "works", 5, 0));
		ASSERT_EQ(5, kt_take(other, NULL, buf, sizeof(buf)));
	}
}

TEST_F(limits, parked_senders_are_charged)
{
	enum { COUNT = 8 };
	struct kpost_send send[COUNT];
	struct kt_job job[COUNT];
	int full, other, before, with, after;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	full = kt_mailbox(1, 0, 0);
	other = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, kt_post(full, "", 0, 0));
	before = fill(other, 4000, &err);
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_EQ(before, drain(other));
	for (int i = 0; i < COUNT; i++) {
		send[i] = kt_send_args(parked_payload, sizeof(parked_payload), 0, 0, kt_in(20000));
		kt_start(&job[i], full, KPOST_IOC_SEND, &send[i]);
	}
	ASSERT_TRUE(kt_until(kt_stat(full).waiting_senders == COUNT));
	with = fill(other, 4000, &err);
	EXPECT_EQ(-EDQUOT, err);
	/* half of the user's memory waits in the senders */
	EXPECT_GE(before / 2 + 1, with);
	EXPECT_LE(before / 3, with);
	drain(other);
	for (int i = 0; i <= COUNT; i++) {
		ASSERT_LE(0, kt_recv(full, NULL, parked_payload, sizeof(parked_payload), 0,
				     kt_soon()));
	}
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(kt_join(&job[i]));
		EXPECT_EQ(0, job[i].ret);
	}
	after = fill(other, 4000, &err);
	EXPECT_LE(before, after);
}

TEST_F(limits, room_for_a_reply_is_charged_and_given_back)
{
	struct kpost_call call;
	struct kpost_recv recv;
	struct kt_job job;
	int fd, other, before, with;
	char buf[8];
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	fd = kt_mailbox(0, 0, 0);
	other = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, other);
	before = fill(other, 4000, &err);
	drain(other);
	call = kt_call_args("ask", 3, malloc(1 << 20), 1 << 19, kt_in(20000));
	kt_start(&job, fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	with = fill(other, 4000, &err);
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_GE(before / 2 + 1, with);
	drain(other);
	EXPECT_EQ(0, kt_reply(fd, recv.token, "ok", 2));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(2, job.ret);
	EXPECT_EQ(before, fill(other, 4000, &err));
	drain(other);

	/* too much is refused before anything is sent */
	call.reply_len = 1 << 20;
	EXPECT_REFUSED(EDQUOT, fd, kt_ioctl(fd, KPOST_IOC_CALL, &call));
}

TEST_F(limits, refused_messages_charge_nothing)
{
	char *edge = kt_edge(PROT_NONE);
	int fd, before;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, fd);
	before = fill(fd, 4000, &err);
	drain(fd);
	for (int i = 0; i < 500; i++) {
		ASSERT_EQ(-EFAULT, kt_post(fd, edge - 8, 4000, 0));
		ASSERT_EQ(-ETIMEDOUT, kt_send(fd, parked_payload, 4000, 0, KPOST_SYNC, 1));
		ASSERT_EQ(-EMSGSIZE, kt_post(fd, parked_payload, (1 << 20) + 1, 0));
	}
	EXPECT_EQ(before, fill(fd, 4000, &err));
	EXPECT_EQ(-EDQUOT, err);
}

/* the sender pays, whoever owns the mailbox and whoever receives */
TEST_F(limits, message_is_charged_to_its_sender)
{
	int mine, count;
	long err;

	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	mine = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, mine);
	ASSERT_EQ(0, setresuid(-1, 0, -1));
	ASSERT_EQ(0, setresuid(USER + 1, USER + 1, 0));
	count = fill(mine, 4000, &err);
	EXPECT_EQ(-EDQUOT, err);
	ASSERT_EQ(0, setresuid(-1, 0, -1));
	ASSERT_EQ(0, setresuid(USER, USER, 0));
	EXPECT_EQ(0, kt_post(mine, parked_payload, 4000, 0));
	EXPECT_EQ(count + 1, drain(mine));
}

/* what is held stays, and counts: nothing more until it is below the new limit */
TEST_F(limits, lowered_below_what_is_held_take_nothing_away_and_let_nothing_in)
{
	int fd, count, low, box[4];
	long err;

	ASSERT_EQ(0, limit_set("user_mailboxes", 5));
	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, drop());
	fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 4; i++) {
		box[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, box[i]);
	}
	count = fill(fd, 4000, &err);
	ASSERT_EQ(-EDQUOT, err);

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, limit_set("user_mailboxes", 3));
	ASSERT_EQ(0, limit_set("user_bytes", 1 << 18));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_REFUSED(EDQUOT, fd, kt_post(fd, parked_payload, 1, 0));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0)) TH_LOG("%d of 3 too many", 2 - i);
		close(box[i]);
	}
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0)) TH_LOG("as many as it may");
	close(box[2]);
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	EXPECT_EQ(count, drain(fd));
	low = fill(fd, 4000, &err);
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_GE((1 << 18) / 4000, low);
	EXPECT_LE((1 << 18) / 8000, low);

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, limit_set("user_bytes", 1 << 20));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_EQ(count, low + fill(fd, 4000, &err));
	EXPECT_EQ(-EDQUOT, err);
}

/* Ids that a user has from newuidmap(1), say, are its own, and so is what they hold. */
static int subordinates(void *arg)
{
	const int *socks = arg;

	CHECK_EQ(0, child_become(USER, USER));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, unshare(CLONE_NEWUSER));
	CHECK_EQ(0, tell(socks[1]));
	CHECK(is_told(socks[1])); /* the ids are there */
	for (uid_t uid = 1; uid <= 4; uid++) {
		CHECK_EQ(0, setresuid(uid, uid, 0));
		CHECK(kt_mailbox(0, 0, 0) >= 0);
		CHECK_EQ(0, seteuid(0));
	}
	CHECK_EQ(0, setresuid(5, 5, 0));
	CHECK_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	CHECK_EQ(0, tell(socks[1]));
	CHECK(is_told(socks[1]));
	return 0;
}

TEST_F(limits, ids_of_a_user_namespace_share_what_its_maker_may_have)
{
	char path[64];
	int socks[2];
	pid_t pid;

	ASSERT_EQ(0, limit_set("user_mailboxes", 4));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = child_start(subordinates, socks);
	ASSERT_TRUE(is_told(socks[0]));
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	ASSERT_EQ(0, child_write(path, "0 100000 10"));
	ASSERT_EQ(0, tell(socks[0]));
	/* all have what they may; nobody else has less for it */
	ASSERT_TRUE(is_told(socks[0]));
	ASSERT_EQ(0, setresuid(100001, 100001, 0));
	EXPECT_LE(0, kt_mailbox(0, 0, 0)) TH_LOG("who has that id outside pays for itself");
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setresuid(USER, USER, 0));
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	ASSERT_EQ(0, tell(socks[0]));
	EXPECT_EQ(0, child_finish(pid, 20));
}

/* ---- memory cgroups -------------------------------------------------------------------------- */

#define CGROUP	"/sys/fs/cgroup/kpost-test"

static uint64_t cgroup_memory(void)
{
	char text[64];

	if (child_read(CGROUP "/memory.current", text, sizeof(text)) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}

static int fill_in_cgroup(void *arg)
{
	enum { SIZE = 4096, COUNT = 3072 }; /* 12 MiB of 32, since KASAN takes as much again */
	static char payload[SIZE], buf[SIZE];
	uint64_t before, full, drained;
	int fd;

	CHECK_EQ(0, child_write(CGROUP "/cgroup.procs", "0"));
	fd = kt_mailbox(COUNT, (uint64_t)SIZE * COUNT, 0);
	CHECK(fd >= 0);
	memset(payload, 'm', SIZE);
	before = cgroup_memory();
	for (int i = 0; i < COUNT; i++)
		CHECK_EQ(0, kt_post(fd, payload, SIZE, 0));
	full = cgroup_memory();
	fprintf(stderr, "# %llu of %llu bytes are charged\n",
		(unsigned long long)(full - before), (unsigned long long)SIZE * COUNT);
	CHECK(full > before && (full - before) * 100 >= (uint64_t)SIZE * COUNT * 95);
	CHECK(full <= 32 << 20);
	for (int i = 0; i < COUNT; i++)
		CHECK_EQ(SIZE, kt_take(fd, NULL, buf, SIZE));
	/* the kernel keeps some charges and free slabs at hand */
	CHECK(kt_until((drained = cgroup_memory()) < before + (4 << 20)));
	(void)drained;
	(void)arg;
	return 0;
}

/* in a cgroup; a mailbox costs more than an endpoint of one that is there, and so is charged */
static int open_in_cgroup(void *arg)
{
	enum { COUNT = 2000, MAILBOX = 256 /* bytes at least */ };
	const struct rlimit many = { 3 * COUNT, 3 * COUNT };
	uint64_t before, endpoints, mailboxes;
	char name[KT_NAME_SIZE];

	CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	CHECK(kt_create(kt_name(name), KT_ALL) >= 0);
	CHECK_EQ(0, child_write(CGROUP "/cgroup.procs", "0"));
	/* what the table of descriptors and the like take is there first */
	CHECK_EQ(2 * COUNT + 10, fcntl(0, F_DUPFD_CLOEXEC, 2 * COUNT + 10));
	before = cgroup_memory();
	for (int i = 0; i < COUNT; i++)
		CHECK(kt_open(name, KPOST_RIGHT_SEND, 0) >= 0);
	endpoints = cgroup_memory() - before;
	for (int i = 0; i < COUNT; i++)
		CHECK(kt_mailbox(0, 0, 0) >= 0);
	mailboxes = cgroup_memory() - before - endpoints;
	fprintf(stderr, "# %llu bytes for endpoints, %llu for as many with a mailbox\n",
		(unsigned long long)endpoints, (unsigned long long)mailboxes);
	CHECK(endpoints > 0);
	CHECK(mailboxes >= endpoints + COUNT * MAILBOX);
	(void)arg;
	return 0;
}

static void expect_charged(struct __test_metadata *_metadata, int (*fn)(void *arg))
{
	char text[256];

	if (child_read("/sys/fs/cgroup/cgroup.controllers", text, sizeof(text)) <= 0 ||
	    !strstr(text, "memory"))
		SKIP(return, "no cgroup2 with the memory controller at /sys/fs/cgroup");
	child_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(CGROUP, 0755);
	ASSERT_EQ(0, child_write(CGROUP "/memory.max", "33554432"));
	EXPECT_EQ(0, child_run(fn, NULL));
	EXPECT_TRUE(kt_until(rmdir(CGROUP) == 0));
}

TEST_F(limits, memory_is_charged_to_the_senders_cgroup)
{
	expect_charged(_metadata, fill_in_cgroup);
}

TEST_F(limits, mailboxes_are_charged_to_their_makers_cgroup)
{
	expect_charged(_metadata, open_in_cgroup);
}

TEST_HARNESS_MAIN
