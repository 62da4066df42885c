// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 3, beyond one mailbox: a mailbox counts for its maker from when it is made, by
 * what it can hold; a user never has more than its share, nor an office; and what was
 * counted is given back exactly.
 *
 * Each test is at home in a network namespace of its own, so that its sysctls and counts
 * are nobody else's.
 */
#include "account_test.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>

static const char *const limits[] = {
	"default_bytes", "user_bytes", "user_sending_bytes", "office_bytes", "office_sending_bytes",
};

/* the documented default of each */
static uint64_t limit_default(const char *name)
{
	uint64_t memory, share;
	struct sysinfo si;

	sysinfo(&si);
	memory = (uint64_t)si.totalram * si.mem_unit;
	share = memory / 64;
	if (share < 64 << 20)
		share = 64 << 20;
	if (share > 256 << 20)
		share = 256 << 20;
	if (!strcmp(name, "default_bytes"))
		return 131072;
	if (!strncmp(name, "user_", 5))
		return share;
	return memory / 4 > 16 * share ? memory / 4 : 16 * share;
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

/* ---- sysctls --------------------------------------------------------------------------- */

TEST_F(limits, defaults_are_as_documented_and_info_tells_them)
{
	struct kpost_info info;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		EXPECT_EQ(limit_default(limits[i]), limit_get(limits[i])) TH_LOG("%s", limits[i]);
	}
	ASSERT_EQ(0, drop_to(USER));
	info = info_now();
	EXPECT_EQ(256, info.default_messages);
	EXPECT_EQ(131072, info.default_bytes);
	EXPECT_EQ(limit_default("user_bytes"), info.user_bytes);
	EXPECT_EQ(limit_default("user_sending_bytes"), info.user_sending_bytes);
	EXPECT_EQ(limit_default("office_bytes"), info.office_bytes);
	EXPECT_EQ(limit_default("office_sending_bytes"), info.office_sending_bytes);
	EXPECT_TRUE(nothing_is_used());
}

/* each was a second way to say the same */
TEST_F(limits, there_are_no_others)
{
	static const char *const gone[] = { "default_messages", "max_messages", "max_bytes",
					    "user_mailboxes", "office_mailboxes" };

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		EXPECT_EQ(-ENOENT, limit_set(gone[i], 1)) TH_LOG("%s", gone[i]);
	}
}

static int see_lowered(void *arg)
{
	uint64_t initial = limit_default("user_bytes");
	struct kpost_info info;
	int device;

	CHECK_EQ(100, limit_get("user_bytes"));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	CHECK_EQ(0, kt_ioctl(device, KPOST_IOC_INFO, &info));
	CHECK_EQ(initial, info.user_bytes);
	CHECK_EQ(initial, limit_get("user_bytes"));
	CHECK_EQ(100, info_now().user_bytes);
	(void)arg;
	return 0;
}

TEST_F(limits, each_namespace_has_its_own)
{
	ASSERT_EQ(0, limit_set("user_bytes", 100));
	EXPECT_EQ(0, child_run(see_lowered, NULL));
}

TEST_F(limits, namespace_lowers_them_and_never_raises_them_above_the_initial_ones)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const char *name = limits[i];
		uint64_t value = limit_default(name);

		EXPECT_EQ(-EINVAL, limit_set(name, value + 1)) TH_LOG("%s", name);
		EXPECT_EQ(value, limit_get(name)) TH_LOG("%s", name);
		EXPECT_EQ(0, limit_set(name, value / 2)) TH_LOG("%s", name);
		EXPECT_EQ(value / 2, limit_get(name)) TH_LOG("%s", name);
		EXPECT_EQ(0, limit_set(name, value)) TH_LOG("%s", name);
		EXPECT_EQ(-EINVAL, limit_set(name, 1ull << 62)) TH_LOG("%s", name);
	}
	EXPECT_EQ(-EINVAL, child_write(SYSCTL "default_bytes", "-1"));
	EXPECT_EQ(131072, limit_get("default_bytes"));
}

TEST_F(limits, user_cannot_set_them)
{
	ASSERT_EQ(0, drop_to(USER));
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		EXPECT_EQ(-EACCES, limit_set(limits[i], 1)) TH_LOG("%s", limits[i]);
	}
}

/* ---- capacities ------------------------------------------------------------------------ */

TEST_F(limits, default_capacity_is_what_a_mailbox_gets)
{
	static const struct {
		uint64_t by_default, bytes, has;
		unsigned int messages, message_max;
	} want[] = {
		{ 131072, 0, 131072, 256, 32768 },
		{ 5000, 0, 5000, 16, 1250 },
		{ 20000, 0, 20000, 39, 5000 },
		{ 5000, 1, 1, 16, 1 },
		{ 5000, 3, 3, 16, 1 },
		{ 5000, 8191, 8191, 16, 2047 },
		{ 5000, 8704, 8704, 17, 2176 },
		{ 5000, 1 << 20, 1 << 20, 2048, 1 << 18 },
		{ 5000, 1 << 27, 1 << 27, 1 << 18, 16 << 20 },
		/* that would be a quarter more than there can be */
		{ 5000, 5 << 27, 5 << 27, 1 << 20, 16 << 20 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct kpost_stat st;
		int fd;

		ASSERT_EQ(0, limit_set("default_bytes", want[i].by_default));
		EXPECT_EQ(want[i].by_default, info_now().default_bytes);
		fd = kt_mailbox(0, want[i].bytes, 0);
		ASSERT_LE(0, fd);
		st = kt_stat(fd);
		EXPECT_EQ(want[i].has, st.bytes);
		EXPECT_EQ(want[i].messages, st.messages);
		EXPECT_EQ(want[i].message_max, st.message_max);
		if (!want[i].bytes)
			EXPECT_EQ(want[i].messages, info_now().default_messages);
		close(fd);
	}
	ASSERT_EQ(0, limit_set("default_bytes", 5000));
	EXPECT_EQ(-EINVAL, kt_mailbox(0, 0, 5001));
	EXPECT_EQ(7, kt_stat(kt_mailbox(7, 0, 0)).messages);
	ASSERT_EQ(0, limit_set("default_bytes", 0));
	EXPECT_EQ(-EINVAL, kt_mailbox(0, 0, 0));
}

TEST_F(limits, capacity_above_the_hard_maximum_is_einval)
{
	EXPECT_EQ(-EINVAL, kt_mailbox((1 << 20) + 1, 1, 1));
	EXPECT_EQ(-EINVAL, kt_mailbox(1, (1ull << 30) + 1, 1));
	EXPECT_TRUE(nothing_is_used());
}

/* ---- what a mailbox counts for --------------------------------------------------------- */

static const struct {
	unsigned int messages;
	uint64_t bytes;
} capacities[] = {
	{ 1, 1 }, { 1, 1 << 20 }, { 1000, 1 }, { 256, 131072 }, { 77, 777 }, { 1 << 16, 1 << 24 },
};

/* by the documented formula, to the byte, for who made it and for the office */
TEST_F(limits, mailbox_counts_for_its_capacity)
{
	const uint64_t all = limit_get("user_bytes");

	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
		unsigned int messages = capacities[i].messages;
		uint64_t bytes = capacities[i].bytes, want = cost(messages, bytes);
		struct kpost_stat st;
		int fd;

		ASSERT_EQ(0, change_to(0));
		ASSERT_EQ(0, limit_set("user_bytes", want - 1));
		ASSERT_EQ(0, drop_to(USER));
		EXPECT_EQ(-EDQUOT, kt_mailbox(messages, bytes, 1));
		EXPECT_TRUE(nothing_is_used());
		ASSERT_EQ(0, change_to(0));
		ASSERT_EQ(0, limit_set("user_bytes", want));
		ASSERT_EQ(0, drop_to(USER));
		fd = kt_mailbox(messages, bytes, 1);
		ASSERT_LE(0, fd) TH_LOG("%u messages of %llu bytes", messages,
					(unsigned long long)bytes);
		st = kt_stat(fd);
		EXPECT_EQ(want, st.counted);
		EXPECT_EQ(USER, st.maker);
		EXPECT_EQ(want, used());
		EXPECT_TRUE(office_has(want, 0));
		EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 0));
		/* what is in it counts no more, nor does who opens it */
		EXPECT_EQ(0, kt_post(fd, "x", 1, 0));
		EXPECT_EQ(want, used());
		close(fd);
		EXPECT_TRUE(nothing_is_used());
		ASSERT_EQ(0, change_to(0));
		ASSERT_EQ(0, limit_set("user_bytes", all));
		ASSERT_EQ(0, drop_to(USER));
	}
}

TEST_F(limits, mailbox_that_is_refused_is_not_made)
{
	struct kpost_open open = kt_open_args("none", KPOST_RIGHT_RECV,
					      KPOST_OPEN_CREATE | KPOST_OPEN_PAIR), before;
	int lowest;

	ASSERT_EQ(0, limit_set("user_bytes", DEFAULT_COST - 1));
	ASSERT_EQ(0, drop_to(USER));
	lowest = dup(0);
	close(lowest);
	EXPECT_EQ(-EDQUOT, kt_create("none", KT_ALL));
	EXPECT_EQ(-EDQUOT, kt_open("none", KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST));
	open = kt_open_args(NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	before = open;
	EXPECT_EQ(-EDQUOT, kt_do_open(&open));
	EXPECT_EQ(0, memcmp(&open, &before, sizeof(open)));
	EXPECT_EQ(-ENOENT, kt_open("none", KPOST_RIGHT_SEND, 0));
	EXPECT_EQ(-ENOENT, kt_unlink("none"));
	EXPECT_TRUE(nothing_is_used());
	EXPECT_EQ(lowest, dup(0)) TH_LOG("a descriptor was left");
}

/* as one with default sizes: 193 KiB each */
TEST_F(limits, user_has_as_many_mailboxes_as_go_into_its_share)
{
	enum { MOST = 2000 };
	static char payload[DEFAULT_BYTES / 4];
	const uint64_t share = limit_get("user_bytes"), many = share / DEFAULT_COST;
	static int fd[MOST];
	long err;

	EXPECT_EQ(193 << 10, DEFAULT_COST);
	ASSERT_LE(330, many);
	ASSERT_GT(MOST, many);
	ASSERT_EQ(0, allow_descriptors(MOST + 100));
	ASSERT_EQ(0, drop_to(USER));
	for (uint64_t i = 0; i < many; i++) {
		fd[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fd[i]) TH_LOG("%llu of %llu", (unsigned long long)i,
					   (unsigned long long)many);
	}
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	EXPECT_EQ(many * DEFAULT_COST, used());
	/* each can be filled, which takes nothing from anybody */
	for (uint64_t i = 0; i < many; i++) {
		int count = 0;

		while ((err = kt_post(fd[i], payload, sizeof(payload), 0)) == 0)
			count++;
		ASSERT_EQ(-EAGAIN, err);
		ASSERT_EQ(4, count);
	}
	EXPECT_EQ(many * DEFAULT_COST, used());
	EXPECT_EQ(0, sending());
	/* and what is left of the share is good for small ones, to the byte */
	EXPECT_LE(0, kt_mailbox(1, share - used() - cost(1, 0), 1));
	EXPECT_EQ(share, used());
	EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 1));
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	for (uint64_t i = 0; i < many; i++)
		close(fd[i]);
	ASSERT_EQ(0, change_to(USER));
	EXPECT_EQ(share - many * DEFAULT_COST, used());
}

TEST_F(limits, mailbox_past_the_users_share_is_edquot)
{
	int fd[8], extra;

	ASSERT_EQ(0, limit_set("user_bytes", 8 * DEFAULT_COST));
	ASSERT_EQ(0, drop_to(USER));
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
	EXPECT_EQ(KPOST_MAKER_OFFICE, kt_stat(extra).maker);
	ASSERT_EQ(0, setresuid(USER + 1, USER + 1, 0));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
}

/* ---- the office ------------------------------------------------------------------------ */

TEST_F(limits, mailbox_past_the_offices_share_is_enospc)
{
	int fd[4];

	ASSERT_EQ(0, limit_set("office_bytes", office_for(4 * DEFAULT_COST)));
	ASSERT_EQ(0, drop_to(USER));
	for (int i = 0; i < 4; i++) {
		fd[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, fd[i]);
	}
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 0));
	EXPECT_EQ(4 * DEFAULT_COST, used()) TH_LOG("refused, and counted for its user");
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 0)) TH_LOG("another user's is the office's too");
	EXPECT_EQ(0, used());
	EXPECT_EQ(-ENOSPC, kt_create("none", KT_ALL));
	EXPECT_EQ(-ENOENT, kt_unlink("none"));
	close(fd[0]);
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 0));
}

/* one byte less, and it is refused */
TEST_F(limits, tenth_of_the_office_is_left_to_privilege)
{
	const uint64_t all = office_for(4 * DEFAULT_COST);
	struct kpost_info info;
	int fd;

	ASSERT_EQ(0, limit_set("office_bytes", all - 1));
	ASSERT_EQ(0, drop_to(USER));
	for (int i = 0; i < 3; i++) {
		ASSERT_LE(0, kt_mailbox(0, 0, 0));
	}
	EXPECT_EQ(-ENOSPC, kt_mailbox(0, 0, 0));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, limit_set("office_bytes", all));
	ASSERT_EQ(0, seteuid(USER));
	ASSERT_LE(0, kt_mailbox(0, 0, 0));
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 0));

	ASSERT_EQ(0, change_to(0));
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, all / 10 - cost(1, 0) + 1, 1));
	fd = kt_mailbox(1, all / 10 - cost(1, 0), 1);
	ASSERT_LE(0, fd);
	EXPECT_EQ(KPOST_MAKER_OFFICE, kt_stat(fd).maker);
	EXPECT_EQ(all / 10, kt_stat(fd).counted);
	info = info_now();
	EXPECT_EQ(all, info.office_used);
	EXPECT_EQ(0, info.user_used) TH_LOG("root is no user");
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 0));
	close(fd);
	EXPECT_TRUE(office_has(4 * DEFAULT_COST, 0));
}

/* what privilege has makes less of the office for users, but not of a user's share */
TEST_F(limits, what_is_made_with_privilege_counts_for_the_office_alone)
{
	ASSERT_EQ(0, limit_set("user_bytes", DEFAULT_COST));
	ASSERT_EQ(0, limit_set("office_bytes", office_for(5 * DEFAULT_COST)));
	for (int i = 0; i < 4; i++) {
		ASSERT_LE(0, kt_mailbox(0, 0, 0)) TH_LOG("beyond what a user may have");
	}
	EXPECT_EQ(0, used());
	EXPECT_TRUE(office_has(4 * DEFAULT_COST, 0));
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_EQ(-ENOSPC, kt_mailbox(0, 0, 0));
}

/* uid 0 is a user as well as any, if it has not that capability */
TEST_F(limits, root_without_the_capability_is_a_user)
{
	int fd;

	ASSERT_EQ(0, limit_set("user_bytes", DEFAULT_COST));
	ASSERT_EQ(0, capability_set(CAP_SYS_RESOURCE, false));
	fd = kt_mailbox(0, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kt_stat(fd).maker);
	EXPECT_EQ(DEFAULT_COST, used());
	EXPECT_EQ(-EDQUOT, kt_mailbox(0, 0, 0));
	ASSERT_EQ(0, capability_set(CAP_SYS_RESOURCE, true));
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	EXPECT_EQ(DEFAULT_COST, used());
}

/* what is held stays, and counts: nothing more until it is below the new limit */
TEST_F(limits, lowered_below_what_is_held_take_nothing_away_and_let_nothing_in)
{
	int box[5];

	ASSERT_EQ(0, limit_set("user_bytes", 5 * DEFAULT_COST));
	ASSERT_EQ(0, drop_to(USER));
	for (int i = 0; i < 5; i++) {
		box[i] = kt_mailbox(0, 0, 0);
		ASSERT_LE(0, box[i]);
	}

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, limit_set("user_bytes", 3 * DEFAULT_COST));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_EQ(5 * DEFAULT_COST, used());
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(0, kt_post(box[i], "works", 5, 0));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 0)) TH_LOG("%d of 3 too many", 2 - i);
		close(box[i]);
	}
	EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 0)) TH_LOG("as many as it may");
	close(box[2]);
	EXPECT_LE(0, kt_mailbox(0, 0, 0));
	EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 0));

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, limit_set("user_bytes", 5 * DEFAULT_COST));
	ASSERT_EQ(0, limit_set("office_bytes", 1));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 0));
	close(box[3]);
	close(box[4]);
	EXPECT_EQ(DEFAULT_COST, used());
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

	ASSERT_EQ(0, limit_set("user_bytes", 4 * DEFAULT_COST));
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

/* ---- memory cgroups -------------------------------------------------------------------- */

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
