// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.kpost.reserved: names that begin so are for the office's root to give.
 *
 * Each test is at home in a network namespace of its own.
 */
#include "account_test.h"

#include <sys/stat.h>

enum { OTHER = USER + 1 };

#define SETTING SYSCTL "reserved"

FIXTURE(reserved) {
	char name[KT_NAME_SIZE];	/* begins with "sys." */
	char free[KT_NAME_SIZE];	/* does not */
};

FIXTURE_SETUP(reserved)
{
	if (geteuid() != 0)
		SKIP(return, "being somebody else needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_LE(0, kt_device());
	umask(0);
	kt_name(self->free);
	snprintf(self->name, sizeof(self->name), "sys.%.200s", self->free);
}

FIXTURE_TEARDOWN(reserved)
{
}

/* what the setting is now; "?" if it cannot be read */
static const char *setting(void)
{
	static char text[2 * KT_NAME_SIZE];
	ssize_t len = child_read(SETTING, text, sizeof(text));

	if (len < 1 || text[len - 1] != '\n' || (size_t)len != strlen(text))
		return "?";
	text[len - 1] = '\0';
	return text;
}

/* exactly these bytes */
static int set_bytes(const void *bytes, size_t len)
{
	int fd = open(SETTING, O_WRONLY | O_CLOEXEC);
	ssize_t ret = fd < 0 ? -1 : write(fd, bytes, len);
	int err = ret == (ssize_t)len ? 0 : ret < 0 ? -errno : -EIO;

	close(fd);
	return err;
}

static int set(const char *text)
{
	return set_bytes(text, strlen(text));
}

/* make it and let go of it */
static int make(const char *name, unsigned int flags)
{
	int fd = kt_open(name, KT_ALL, flags);

	return fd < 0 ? fd : close(fd);
}

/* ---- who may give a name ------------------------------------------------------------------- */

TEST_F(reserved, names_are_for_root_to_give)
{
	static const unsigned int flags[] = {
		KPOST_OPEN_CREATE, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL,
		KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST, KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED,
		KPOST_OPEN_CREATE | KPOST_OPEN_KEYED,
	};
	int lowest = dup(0);

	close(lowest);
	EXPECT_STREQ("sys.", setting());
	ASSERT_EQ(0, drop_to(USER));
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct kpost_open open = kt_open_args(self->name, KT_ALL, flags[i]), before = open;

		EXPECT_EQ(-EPERM, kt_do_open(&open));
		EXPECT_EQ(0, memcmp(&open, &before, sizeof(open)));
		EXPECT_EQ(-ENOENT, kt_open(self->name, KPOST_RIGHT_ADMIN, 0));
		EXPECT_EQ(-ENOENT, kt_unlink(self->name));
		EXPECT_TRUE(nothing_is_used());
		EXPECT_EQ(lowest, dup(0));
		close(lowest);
	}
	ASSERT_EQ(0, change_to(0));
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(0, make(self->name, flags[i]));
		kt_unlink(self->name);
	}
}

TEST_F(reserved, names_are_those_that_begin_so_and_no_others)
{
	static const char *const reserved[] = { "sys.", "sys.x", "sys..", "sys.sys.", "sys.\xff" };
	static const char *const others[] = { "sys", "sy", "sysx.", "Sys.x", "xsys.x", " sys.x",
					      "sys,x", "s", "\xff" };

	ASSERT_EQ(0, drop_to(USER));
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		EXPECT_EQ(-EPERM, make(reserved[i], KPOST_OPEN_CREATE)) TH_LOG("%zu", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_EQ(0, make(others[i], KPOST_OPEN_CREATE)) TH_LOG("%zu", i);
	}
	/* what has none is not reserved */
	EXPECT_LE(0, close(kt_mailbox(0, 0, 0)));
}

/* what is refused for the name is so before anything is looked at that only its maker needs */
TEST_F(reserved, names_are_refused_before_limits)
{
	struct kpost_open open = kt_open_args(self->name, KT_ALL, KPOST_OPEN_CREATE);

	ASSERT_EQ(0, limit_set("user_bytes", 1));
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(-EPERM, kt_do_open(&open));
	open.messages = UINT32_MAX;
	EXPECT_EQ(-EPERM, kt_do_open(&open));
	EXPECT_EQ(-EDQUOT, make(self->free, KPOST_OPEN_CREATE));
}

TEST_F(reserved, names_that_are_given_are_for_whom_the_mode_lets_in)
{
	struct kpost_open open = kt_open_args(self->name, KT_ALL, KPOST_OPEN_CREATE), wait;
	struct kt_job job;
	int fd, again;

	open.mode = 0666;
	ASSERT_EQ(0, drop_to(USER));
	wait = kt_open_args(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
	wait.deadline = kt_soon();
	kt_start(&job, kt_device(), KPOST_IOC_OPEN, &wait);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_FALSE(kt_done(&job));
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 0, -1));
	fd = kt_do_open(&open);
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, USER, -1));
	ASSERT_LE(0, fd);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_LE(0, job.ret);

	again = kt_open(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 0);
	EXPECT_LE(0, again);
	close(again);
	again = kt_open(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE);
	EXPECT_LE(0, again);
	close(again);
	EXPECT_EQ(-EEXIST, kt_open(self->name, KPOST_RIGHT_SEND,
				   KPOST_OPEN_CREATE | KPOST_OPEN_EXCL));
	EXPECT_EQ(-EACCES, kt_open(self->name, KPOST_RIGHT_ADMIN, KPOST_OPEN_CREATE));
	close(fd);
	close((int)job.ret);
	EXPECT_EQ(-EPERM, kt_open(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE));
}

/* whom root has given it to can restart, and loses the name when it has let go of it */
TEST_F(reserved, name_is_handed_on_by_its_owner_and_not_given_anew)
{
	const unsigned int succeeds = KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED;
	struct kpost_setattr give = { .valid = KPOST_SET_UID, .uid = USER };
	int old = kt_create(self->name, KT_ALL), fresh, third;

	ASSERT_LE(0, old);
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_REFUSED(EACCES, old, kt_open(self->name, KT_ALL, succeeds));
	ASSERT_EQ(0, change_to(0));
	ASSERT_EQ(0, kt_ioctl(old, KPOST_IOC_SETATTR, &give));
	ASSERT_EQ(0, change_to(OTHER));
	EXPECT_REFUSED(EACCES, old, kt_open(self->name, KT_ALL, succeeds));
	ASSERT_EQ(0, change_to(USER));
	fresh = kt_open(self->name, KT_ALL, succeeds);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(USER, kt_stat(fresh).uid);
	EXPECT_STREQ(self->name, kt_stat(fresh).name);
	third = kt_open(self->name, KT_ALL, succeeds);
	ASSERT_LE(0, third);
	close(old);
	close(fresh);
	EXPECT_EQ(0, kt_unlink(self->name));
	EXPECT_EQ(-EPERM, kt_open(self->name, KT_ALL, succeeds));
	EXPECT_EQ(-EPERM, kt_open(self->name, KT_ALL, KPOST_OPEN_CREATE));
	close(third);
}

TEST_F(reserved, names_are_for_who_may_set_which_they_are)
{
	/* without privilege, but root's user */
	ASSERT_EQ(0, capability_set(CAP_NET_ADMIN, false));
	EXPECT_EQ(0, make(self->name, KPOST_OPEN_CREATE));
	EXPECT_EQ(0, set("sys."));
	/* it is the effective user that counts */
	ASSERT_EQ(0, setresuid(0, USER, 0));
	EXPECT_EQ(-EPERM, make(self->name, KPOST_OPEN_CREATE));
	EXPECT_EQ(-EACCES, set("x"));
	ASSERT_EQ(0, setresuid(USER, 0, 0));
	EXPECT_EQ(0, make(self->name, KPOST_OPEN_CREATE));
	/* another one with the privilege, and no other privilege */
	ASSERT_EQ(0, change_to(USER));
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		bool admin = cap == CAP_NET_ADMIN;

		if (capability_set(cap, true))
			continue; /* one that this kernel has not */
		EXPECT_EQ(admin ? 0 : -EPERM, make(self->name, KPOST_OPEN_CREATE))
			TH_LOG("capability %u", cap);
		EXPECT_EQ(admin ? 0 : -EACCES, set("sys.")) TH_LOG("capability %u", cap);
		ASSERT_EQ(0, capability_set(cap, false));
	}
	EXPECT_STREQ("sys.", setting());
}

/* the device is root's, and who uses it is not */
TEST_F(reserved, device_of_roots_gives_no_name_in_another_users_hands)
{
	int device = kt_open_device();
	struct kpost_open open = kt_open_args(self->name, KT_ALL, KPOST_OPEN_CREATE);

	ASSERT_LE(0, device);
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(-EPERM, kt_ioctl(device, KPOST_IOC_OPEN, &open));
	ASSERT_EQ(0, change_to(0));
	EXPECT_LE(0, close((int)kt_ioctl(device, KPOST_IOC_OPEN, &open)));
	close(device);
}

/* ---- the setting --------------------------------------------------------------------------- */

TEST_F(reserved, setting_says_what_names_begin_with)
{
	static const char *const prefixes[] = { "x", "sys.a", ".", "..", "a b", "\xc3\xa9", "%s",
						"\\", "sys.sys.sys." };
	char name[KT_NAME_SIZE], longest[KT_NAME_SIZE];

	memset(longest, 'l', KPOST_NAME_MAX);
	longest[KPOST_NAME_MAX] = '\0';
	for (size_t i = 0; i <= ARRAY_SIZE(prefixes); i++) {
		const char *prefix = i < ARRAY_SIZE(prefixes) ? prefixes[i] : longest;

		ASSERT_EQ(0, change_to(0));
		ASSERT_EQ(0, set(prefix)) TH_LOG("%zu", i);
		EXPECT_STREQ(prefix, setting());
		ASSERT_EQ(0, drop_to(USER));
		snprintf(name, sizeof(name), "%s%s", prefix, strcmp(prefix, longest) ? "x" : "");
		EXPECT_EQ(-EPERM, make(name, KPOST_OPEN_CREATE)) TH_LOG("%zu", i);
		name[strlen(prefix) - 1]--;
		EXPECT_EQ(0, make(name, KPOST_OPEN_CREATE)) TH_LOG("%zu", i);
		if (strlen(prefix) > 2) {
			name[strlen(prefix) - 1] = '\0';
			EXPECT_EQ(0, make(name, KPOST_OPEN_CREATE)) TH_LOG("%zu", i);
		}
	}
}

TEST_F(reserved, setting_that_is_empty_reserves_nothing)
{
	ASSERT_EQ(0, set("\n"));
	EXPECT_STREQ("", setting());
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(0, make(self->name, KPOST_OPEN_CREATE));
	EXPECT_EQ(0, make("sys.", KPOST_OPEN_CREATE));
	EXPECT_EQ(0, make("x", KPOST_OPEN_CREATE));
}

TEST_F(reserved, setting_may_end_as_a_line)
{
	ASSERT_EQ(0, set("line\n"));
	EXPECT_STREQ("line", setting());
	/* a write of nothing says nothing */
	ASSERT_EQ(0, set_bytes("x", 0));
	EXPECT_STREQ("line", setting());
	/* and one of the longest, with its end */
	char longest[KT_NAME_SIZE];

	memset(longest, 'l', KPOST_NAME_MAX);
	longest[KPOST_NAME_MAX] = '\n';
	ASSERT_EQ(0, set_bytes(longest, KT_NAME_SIZE));
	longest[KPOST_NAME_MAX] = '\0';
	EXPECT_STREQ(longest, setting());
}

TEST_F(reserved, setting_that_can_begin_no_name_is_einval)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "/", 1 }, { "a/b", 3 }, { "a/", 2 }, { "\n\n", 2 }, { "a\n\n", 3 },
		{ "a\nb", 3 }, { "\x01", 1 }, { "a\x1f", 2 }, { "\x7f", 1 }, { "a\tb", 3 },
		{ "a\0", 2 }, { "a\0b", 3 }, { "\0", 1 }, { "a\r\n", 3 },
	};
	static char text[1 << 20];
	size_t len;
	int fd;

	ASSERT_EQ(0, set("kept"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, set_bytes(bad[i].bytes, bad[i].len)) TH_LOG("%zu", i);
		EXPECT_STREQ("kept", setting());
	}
	memset(text, 'x', sizeof(text));
	for (len = KPOST_NAME_MAX + 1; len <= sizeof(text); len *= 2) {
		EXPECT_EQ(-EINVAL, set_bytes(text, len)) TH_LOG("%zu", len);
		EXPECT_STREQ("kept", setting());
	}
	text[KPOST_NAME_MAX + 1] = '\n';
	EXPECT_EQ(-EINVAL, set_bytes(text, KPOST_NAME_MAX + 2));
	/* nor is a piece of one put behind another */
	fd = open(SETTING, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(fd, "x", 1, 4));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_STREQ("kept", setting());
	close(fd);
}

TEST_F(reserved, setting_is_read_piece_by_piece_as_it_is_at_once)
{
	char text[KT_NAME_SIZE + 8];
	int fd;

	ASSERT_EQ(0, set("piece by piece"));
	fd = open(SETTING, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	kt_poison(text, sizeof(text));
	for (size_t i = 0; i < strlen("piece by piece\n"); i++)
		ASSERT_EQ(1, read(fd, text + i, 1));
	EXPECT_EQ(0, memcmp(text, "piece by piece\n", 15));
	EXPECT_EQ(0, read(fd, text + 15, 1));
	EXPECT_TRUE(kt_poisoned(text + 15, sizeof(text) - 15));
	EXPECT_EQ(0, pread(fd, text + 15, 1, 1 << 20));
	close(fd);
}

TEST_F(reserved, setting_is_for_root_only)
{
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(-EACCES, set("x"));
	EXPECT_STREQ("sys.", setting());
}

static int see_ones_own(void *arg)
{
	CHECK_EQ(0, strcmp("outside", setting()));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(0, strcmp("sys.", setting()));
	CHECK_EQ(0, set("inside"));
	CHECK_EQ(0, strcmp("inside", setting()));
	(void)arg;
	return 0;
}

TEST_F(reserved, setting_is_each_offices_own)
{
	ASSERT_EQ(0, set("outside"));
	EXPECT_EQ(0, child_run(see_ones_own, NULL));
	EXPECT_STREQ("outside", setting());
}

/* ---- user namespaces ----------------------------------------------------------------------- */

static int make_by(int device, const char *name)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE);
	int fd = (int)kt_ioctl(device, KPOST_IOC_OPEN, &open);

	return fd < 0 ? fd : close(fd);
}

/* an unprivileged user that makes its own namespaces, and root of this one looking in */
static int root_of_ones_own(void *arg)
{
	const int *socks = arg;
	int device;

	CHECK(kt_device() >= 0);
	CHECK_EQ(0, child_become(USER, USER));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	CHECK(device >= 0);
	/* its root here, and nobody in the office that it came from */
	CHECK_EQ(0, make_by(device, "sys.x"));
	CHECK_EQ(0, set("mine"));
	CHECK_EQ(0, strcmp("mine", setting()));
	CHECK_EQ(0, make_by(device, "mine.x"));
	CHECK_EQ(-EPERM, make_by(kt_device(), "sys.x"));
	CHECK_EQ(0, make_by(kt_device(), "mine.x"));
	CHECK_EQ(0, pass_fd(socks[1], device));
	CHECK(is_told(socks[1]));
	return 0;
}

TEST_F(reserved, root_of_ones_own_namespaces_is_root_there_and_nowhere_else)
{
	int socks[2], device;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = child_start(root_of_ones_own, socks);
	/* so that a child that fails is not waited for */
	close(socks[1]);
	device = take_fd(socks[0]);
	ASSERT_LE(0, device);
	/* who made the namespace owns it, from outside too; a stranger does not */
	EXPECT_EQ(0, make_by(device, "mine.outside"));
	ASSERT_EQ(0, drop_to(OTHER));
	EXPECT_EQ(-EPERM, make_by(device, "mine.stranger"));
	EXPECT_EQ(0, make_by(device, "other.stranger"));
	ASSERT_EQ(0, change_to(USER));
	EXPECT_EQ(0, make_by(device, "mine.maker"));
	ASSERT_EQ(0, change_to(0));
	ASSERT_EQ(0, tell(socks[0]));
	EXPECT_EQ(0, child_finish(pid, 60));
	EXPECT_STREQ("sys.", setting());
}

/* ---- while it changes ---------------------------------------------------------------------- */

enum { TURNS = 4000 };

static char prefix[2][KT_NAME_SIZE];

/* one of the two, again and again, and neither in part */
static long set_in_turn(void *arg)
{
	unsigned int *stop = arg;
	int err = 0;

	for (int i = 0; i < TURNS && !err; i++)
		err = set(prefix[i % 2]);
	__atomic_store_n(stop, 1, __ATOMIC_RELAXED);
	return err;
}

static int make_while_it_changes(void *arg)
{
	unsigned int *stop = arg;
	char name[KT_NAME_SIZE];

	CHECK_EQ(0, child_become(USER, USER));
	for (size_t i = 0; !__atomic_load_n(stop, __ATOMIC_RELAXED); i++) {
		size_t some = 1 + i % (KPOST_NAME_MAX - 1);
		int err;

		/* one that begins as the first, and goes on as the second, is nobody's */
		memcpy(name, prefix[i % 2], KT_NAME_SIZE);
		memcpy(name + some, prefix[!(i % 2)] + some, KT_NAME_SIZE - some);
		CHECK_EQ(0, make(name, KPOST_OPEN_CREATE));
		err = make(prefix[i % 2], KPOST_OPEN_CREATE);
		CHECK(err == 0 || err == -EPERM);
	}
	return 0;
}

TEST_F(reserved, setting_is_seen_whole_by_those_who_open_and_read_while_it_changes)
{
	unsigned int *stop = kt_shared(sizeof(*stop));
	unsigned int seen[2] = {};
	struct kt_job job;
	pid_t pid;

	ASSERT_NE(NULL, stop);
	memset(prefix[0], 'a', KPOST_NAME_MAX);
	memset(prefix[1], 'b', KPOST_NAME_MAX);
	ASSERT_EQ(0, set(prefix[1]));
	pid = child_start(make_while_it_changes, stop);
	kt_start_fn(&job, set_in_turn, stop);
	while (!kt_done(&job)) {
		const char *now = setting();

		ASSERT_TRUE(!strcmp(now, prefix[0]) || !strcmp(now, prefix[1])) TH_LOG("%s", now);
		seen[now[0] == 'b']++;
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(0, child_finish(pid, 60));
	TH_LOG("seen %u and %u times", seen[0], seen[1]);
	EXPECT_LT(0, seen[0]);
	EXPECT_LT(0, seen[1]);
}

TEST_HARNESS_MAIN
