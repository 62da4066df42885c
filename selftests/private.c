// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.kpost.private: who lists mailboxes is told only of those that whoever opened the device, or
 * /proc/net/kpost, could open.
 *
 * Each test is at home in a network namespace of its own.
 */
#include "account_test.h"

#include <sys/stat.h>

enum { OTHER = USER + 1, GROUP = USER + 2 };

#define PROC	"/proc/thread-self/net/kpost"

static char text[1 << 19];

FIXTURE(private) {
	int device;	/* root's */
};

FIXTURE_SETUP(private)
{
	if (geteuid() != 0)
		SKIP(return, "being somebody else needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	self->device = kt_open_device();
	ASSERT_LE(0, self->device);
	ASSERT_LE(0, kt_device());
	umask(0);
	ASSERT_EQ(0, limit_set("private", 1));
}

FIXTURE_TEARDOWN(private)
{
}

/* a small persistent mailbox of the user that the task is now */
static int make(const char *name, unsigned int mode)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL |
					      KPOST_OPEN_PERSIST);
	int fd;

	open.mode = mode;
	open.messages = 1;
	open.bytes = 64;
	fd = kt_do_open(&open);
	return fd < 0 ? fd : close(fd);
}

static int chmod_and_chown(const char *name, unsigned int mode, uid_t uid, gid_t gid)
{
	struct kpost_setattr attr = {
		.valid = KPOST_SET_MODE | KPOST_SET_UID | KPOST_SET_GID,
		.mode = mode,
		.uid = uid,
		.gid = gid,
	};
	int fd = kt_open(name, KPOST_RIGHT_ADMIN, 0);
	int err = fd < 0 ? fd : (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);

	close(fd);
	return err;
}

/* as user and with groups of that person, effective only */
static int act_as(uid_t uid, gid_t gid, gid_t extra)
{
	if (setresuid(-1, 0, 0) || setgroups(extra ? 1 : 0, &extra) ||
	    setresgid(-1, gid, 0) || setresuid(-1, uid, 0))
		return -errno;
	return 0;
}

/*
 * All names that the device tells of, @step at a time, each followed by a newline; "?" where an
 * entry is not as it has to be.
 */
static const char *names_by(int device, unsigned int step)
{
	enum { MOST = 64 };
	static char names[1 << 18];
	static struct kpost_stat entries[MOST + 1];
	struct kpost_list list = { .buf = (uintptr_t)entries, .count = step,
				   .entry_size = sizeof(entries[0]) };
	size_t len = 0;
	long count;

	names[0] = '\0';
	do {
		kt_poison(entries, sizeof(entries));
		count = kt_ioctl(device, KPOST_IOC_LIST, &list);
		if (count < 0 || count > step ||
		    !kt_poisoned(&entries[count], sizeof(entries[0]) * (MOST + 1 - (size_t)count)))
			return "?";
		for (long i = 0; i < count; i++) {
			if (strcmp(list.after, entries[i].name) >= 0)
				return "?";
			strcpy(list.after, entries[i].name);
			len += (size_t)sprintf(names + len, "%s\n", entries[i].name);
		}
	} while (count == step);
	return names;
}

/* with a device that is opened here and now */
static const char *names_here(unsigned int step)
{
	int device = kt_open_device();
	const char *names = device < 0 ? "?" : names_by(device, step);

	close(device);
	return names;
}

/* the same by a file of /proc/net/kpost, read @step bytes at a time */
static const char *names_in(int fd, size_t step)
{
	static char names[1 << 18];
	size_t have = 0, len = 0;
	char *line, *next;
	ssize_t ret;

	names[0] = '\0';
	while ((ret = read(fd, text + have, step)) > 0) {
		have += (size_t)ret;
		if (have + step > sizeof(text))
			return "?";
	}
	text[have] = '\0';
	if (ret < 0 || strncmp(text, "mode uid gid ", 13))
		return "?";
	for (line = strchr(text, '\n') + 1; *line; line = next) {
		next = strchr(line, '\n') + 1;
		next[-1] = '\0';
		len += (size_t)sprintf(names + len, "%s\n", strrchr(line, ' ') + 1);
	}
	return names;
}

static const char *names_in_proc(size_t step)
{
	int fd = open(PROC, O_RDONLY | O_CLOEXEC);
	const char *names = fd < 0 ? "?" : names_in(fd, step);

	close(fd);
	return names;
}

/* ---- what is told -------------------------------------------------------------------------- */

static int see_all(void *arg)
{
	CHECK_EQ(0, child_become(USER, USER));
	CHECK_EQ(0, strcmp(arg, names_here(10)));
	CHECK_EQ(0, strcmp(arg, names_in_proc(4096)));
	return 0;
}

TEST_F(private, lists_tell_all_to_everybody_unless_it_is_set)
{
	ASSERT_EQ(0, make("a", 0));
	ASSERT_EQ(0, make("b", 0600));
	EXPECT_EQ(0, child_run(see_all, ""));
	ASSERT_EQ(0, limit_set("private", 0));
	EXPECT_EQ(0, child_run(see_all, "a\nb\n"));
	ASSERT_EQ(0, limit_set("private", 1));
	EXPECT_EQ(0, child_run(see_all, ""));
}

static const struct who {
	uid_t uid;
	gid_t gid;
	gid_t extra;
	int shift;	/* which bits of the mode are theirs */
} people[] = {
	{ USER, OTHER, 0, 6 },
	{ USER, GROUP, 0, 6 },
	{ OTHER, GROUP, 0, 3 },
	{ OTHER, OTHER, GROUP, 3 },
	{ OTHER, OTHER, 0, 0 },
};

/* with at least one right: the owner has that to administer, by whatever mode */
TEST_F(private, lists_tell_of_what_one_can_open_by_every_mode)
{
	static const char name[] = "box";

	ASSERT_EQ(0, make(name, 0600));
	for (unsigned int bits = 0; bits < 8; bits++) {
		for (int shift = 0; shift < 9; shift += 3) {
			ASSERT_EQ(0, chmod_and_chown(name, bits << shift, USER, GROUP));
			for (size_t i = 0; i < ARRAY_SIZE(people); i++) {
				bool told = people[i].uid == USER ||
					    (people[i].shift == shift && bits & 6);
				const char *want = told ? "box\n" : "";

				ASSERT_EQ(0, act_as(people[i].uid, people[i].gid,
						    people[i].extra));
				EXPECT_STREQ(want, names_here(1))
					TH_LOG("mode %#o, %zu", bits << shift, i);
				EXPECT_STREQ(want, names_in_proc(4096))
					TH_LOG("mode %#o, %zu", bits << shift, i);
				ASSERT_EQ(0, act_as(0, 0, 0));
			}
			EXPECT_STREQ("box\n", names_here(1)) TH_LOG("root");
			EXPECT_STREQ("box\n", names_in_proc(4096)) TH_LOG("root");
		}
	}
}

TEST_F(private, lists_tell_what_privilege_can_open)
{
	static const struct {
		unsigned int capability;
		bool told;
	} privileges[] = {
		{ CAP_DAC_OVERRIDE, true }, { CAP_FOWNER, true }, { CAP_DAC_READ_SEARCH, false },
		{ CAP_SYS_RESOURCE, false }, { CAP_NET_ADMIN, false }, { CAP_CHOWN, false },
	};

	ASSERT_EQ(0, make("box", 0600));
	for (size_t i = 0; i < ARRAY_SIZE(privileges); i++) {
		const char *want = privileges[i].told ? "box\n" : "";
		int device, file;

		ASSERT_EQ(0, change_to(USER));
		ASSERT_EQ(0, capability_set(privileges[i].capability, true));
		device = kt_open_device();
		file = open(PROC, O_RDONLY | O_CLOEXEC);
		EXPECT_STREQ(want, names_by(device, 1)) TH_LOG("%u", privileges[i].capability);
		/* as it was when they were opened */
		ASSERT_EQ(0, capability_set(privileges[i].capability, false));
		EXPECT_STREQ(want, names_by(device, 1)) TH_LOG("%u", privileges[i].capability);
		EXPECT_STREQ(want, names_in(file, 4096)) TH_LOG("%u", privileges[i].capability);
		EXPECT_STREQ("", names_here(1));
		close(device);
		close(file);
	}
}

/* ---- past what is not told ----------------------------------------------------------------- */

enum { HIDDEN = 300, EVERY = 60 };

/* @HIDDEN mailboxes of which USER is told of each @EVERY-th, and one at each end */
static bool make_many(char want[])
{
	char name[32];
	size_t len = 0;

	for (int i = 0; i <= HIDDEN; i++) {
		bool told = i % EVERY == 0;

		snprintf(name, sizeof(name), "%03d", i);
		if (make(name, told ? 0602 : 0600))
			return false;
		if (told)
			len += (size_t)sprintf(want + len, "%s\n", name);
	}
	return true;
}

TEST_F(private, lists_are_whole_and_in_order_whatever_is_passed_over)
{
	static const unsigned int steps[] = { 1, 2, 3, 5, 6, 7, 64 };
	static const size_t reads[] = { 1, 7, 100, 4096 };
	char want[256];

	ASSERT_TRUE(make_many(want));
	ASSERT_EQ(0, drop_to(USER));
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		EXPECT_STREQ(want, names_here(steps[i]));
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++)
		EXPECT_STREQ(want, names_in_proc(reads[i]));
	ASSERT_EQ(0, change_to(0));
	EXPECT_EQ(4 * (HIDDEN + 1), strlen(names_here(64)));
}

/* what lies behind the last that is told is nothing at all */
TEST_F(private, lists_of_nothing_that_is_told_are_empty)
{
	struct kpost_stat entries[2];
	struct kpost_list list = { .buf = (uintptr_t)entries, .count = 2,
				   .entry_size = sizeof(entries[0]) }, before = list;
	int device;

	ASSERT_EQ(0, make("a", 0));
	ASSERT_EQ(0, make("b", 0));
	ASSERT_EQ(0, drop_to(USER));
	device = kt_open_device();
	ASSERT_LE(0, device);
	kt_poison(entries, sizeof(entries));
	EXPECT_EQ(0, kt_ioctl(device, KPOST_IOC_LIST, &list));
	EXPECT_EQ(0, memcmp(&list, &before, sizeof(list)));
	EXPECT_TRUE(kt_poisoned(entries, sizeof(entries)));
	/* from a name on that one has heard of, too */
	strcpy(list.after, "a");
	EXPECT_EQ(0, kt_ioctl(device, KPOST_IOC_LIST, &list));
	EXPECT_TRUE(kt_poisoned(entries, sizeof(entries)));
	EXPECT_STREQ("", names_in_proc(4096));
	close(device);
}

/* an entry that is told tells all that it always did */
TEST_F(private, entries_that_are_told_are_whole)
{
	struct kpost_stat st, entry;
	struct kpost_list list = { .buf = (uintptr_t)&entry, .count = 1,
				   .entry_size = sizeof(entry) };
	int fd, device;

	ASSERT_EQ(0, make("box", 0602));
	fd = kt_open("box", KT_ALL, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	ASSERT_EQ(0, drop_to(USER));
	device = kt_open_device();
	kt_poison(&entry, sizeof(entry));
	ASSERT_EQ(1, kt_ioctl(device, KPOST_IOC_LIST, &list));
	st = kt_stat(fd);
	st.rights = 0; /* of an endpoint, and a list has none */
	EXPECT_TRUE(kt_stat_same(st, entry));
	close(device);
	close(fd);
}

/* ---- whose rights count -------------------------------------------------------------------- */

struct passed {
	int socks[2];
	const char *want;
};

static int list_what_was_passed(void *arg)
{
	const struct passed *passed = arg;
	int device, file;

	CHECK_EQ(0, child_become(USER, USER));
	device = take_fd(passed->socks[1]);
	file = take_fd(passed->socks[1]);
	CHECK(device >= 0 && file >= 0);
	CHECK_EQ(0, strcmp(passed->want, names_by(device, 2)));
	CHECK_EQ(0, strcmp(passed->want, names_in(file, 100)));
	/* its own tell it no more than it may know */
	CHECK_EQ(0, strcmp("open\n", names_here(2)));
	CHECK_EQ(0, strcmp("open\n", names_in_proc(4096)));
	return 0;
}

TEST_F(private, descriptor_that_is_passed_tells_what_its_opener_may_know)
{
	struct passed passed = { .want = "open\nroots\n" };
	int file = open(PROC, O_RDONLY | O_CLOEXEC), device;
	pid_t pid;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, make("roots", 0600));
	ASSERT_EQ(0, make("open", 0604));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, passed.socks));
	ASSERT_EQ(0, pass_fd(passed.socks[0], self->device));
	ASSERT_EQ(0, pass_fd(passed.socks[0], file));
	pid = child_start(list_what_was_passed, &passed);
	EXPECT_EQ(0, child_finish(pid, 60));
	close(file);

	/* the other way, too: root is told by an unprivileged user's no more than that user */
	ASSERT_EQ(0, drop_to(USER));
	device = kt_open_device();
	file = open(PROC, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, change_to(0));
	EXPECT_STREQ("open\n", names_by(device, 1));
	EXPECT_STREQ("open\n", names_in(file, 4096));
	EXPECT_STREQ("open\nroots\n", names_here(1));
	close(device);
	close(file);
}

/* its root is root of nothing outside, and in its own office not over a stranger */
static int root_of_ones_own(void *arg)
{
	const int *socks = arg;
	int device;

	CHECK_EQ(0, child_become(USER, USER));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	/* still in the office outside */
	CHECK_EQ(0, strcmp("", names_here(1)));
	CHECK_EQ(0, strcmp("", names_in_proc(4096)));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(0, limit_get("private"));
	CHECK_EQ(0, limit_set("private", 1));
	device = kt_open_device();
	CHECK(device >= 0);
	CHECK_EQ(0, pass_fd(socks[1], device));
	CHECK(is_told(socks[1])); /* the stranger's are made */
	CHECK_EQ(0, strcmp("strangers.open\n", names_by(device, 1)));
	CHECK_EQ(0, strcmp("strangers.open\n", names_in_proc(4096)));
	return 0;
}

static int make_by(int device, const char *name, unsigned int mode)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE |
					      KPOST_OPEN_PERSIST);

	open.mode = mode;
	return (int)kt_ioctl(device, KPOST_IOC_OPEN, &open);
}

TEST_F(private, root_of_ones_own_namespaces_is_told_of_no_strangers)
{
	int socks[2], device, box;
	pid_t pid;

	ASSERT_EQ(0, make("roots", 0600));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = child_start(root_of_ones_own, socks);
	/* so that a child that fails is not waited for */
	close(socks[1]);
	device = take_fd(socks[0]);
	ASSERT_LE(0, device);
	box = make_by(device, "strangers", 0660);
	EXPECT_LE(0, box);
	EXPECT_LE(0, make_by(device, "strangers.open", 0666));
	/* whoever has its device */
	EXPECT_STREQ("strangers.open\n", names_by(device, 2));
	ASSERT_EQ(0, tell(socks[0]));
	EXPECT_EQ(0, child_finish(pid, 60));
	close(box);
}

/* ---- what it does not hide ----------------------------------------------------------------- */

TEST_F(private, endpoint_still_tells_of_its_mailbox)
{
	struct kpost_stat st;
	int fd;

	ASSERT_EQ(0, make("box", 0600));
	fd = kt_open("box", KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, fd);
	st = kt_stat(fd);
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_STREQ("", names_here(1));
	EXPECT_STREQ("box", kt_stat(fd).name);
	EXPECT_TRUE(kt_stat_same(st, kt_stat(fd)));
	close(fd);
}

TEST_F(private, opening_still_says_whether_there_is_such_a_name)
{
	ASSERT_EQ(0, make("box", 0600));
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(-EACCES, kt_open("box", KPOST_RIGHT_SEND, 0));
	EXPECT_EQ(-ENOENT, kt_open("bo", KPOST_RIGHT_SEND, 0));
	EXPECT_EQ(-EACCES, kt_unlink("box"));
	EXPECT_EQ(-ENOENT, kt_unlink("bo"));
	EXPECT_EQ(-EEXIST, kt_create("box", KT_ALL));
}

/* ---- the setting --------------------------------------------------------------------------- */

static int see_its_own(void *arg)
{
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(0, limit_get("private"));
	(void)arg;
	return 0;
}

TEST_F(private, setting_is_each_offices_own_and_0_or_1)
{
	static const char *const bad[] = { "2", "-1", "256", "257", "18446744073709551616", "x" };

	EXPECT_EQ(1, limit_get("private"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_GT(0, child_write(SYSCTL "private", bad[i])) TH_LOG("%s", bad[i]);
		EXPECT_EQ(1, limit_get("private")) TH_LOG("%s", bad[i]);
	}
	EXPECT_EQ(0, child_run(see_its_own, NULL));
	EXPECT_EQ(0, limit_set("private", 0));
	EXPECT_EQ(0, limit_get("private"));
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(-EACCES, limit_set("private", 1));
}

static long set_in_turn(void *arg)
{
	unsigned int *stop = arg;
	long count = 0;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		int err = limit_set("private", (uint64_t)(count++ & 1));

		if (err)
			return err;
	}
	return count;
}

/* each line as it is at that moment, and those that are always told, always and once */
static int list_while_it_changes(void *arg)
{
	enum { ROUNDS = 30 };

	CHECK_EQ(0, child_become(USER, USER));
	for (int i = 0; i < ROUNDS; i++) {
		const char *names = i & 1 ? names_here(1 + (unsigned int)i % 7) :
					    names_in_proc(100);
		const char *at = names, *last = "";
		int told = 0;

		for (; *at; at = strchr(at, '\n') + 1) {
			CHECK(strncmp(last, at, 3) < 0 || !*last);
			told += atoi(at) % EVERY == 0;
			last = at;
		}
		CHECK_EQ(HIDDEN / EVERY + 1, told);
	}
	(void)arg;
	return 0;
}

TEST_F(private, setting_that_changes_loses_nothing_that_is_always_told)
{
	static unsigned int stop;
	char want[256];
	struct kt_job job;

	ASSERT_TRUE(make_many(want));
	kt_start_fn(&job, set_in_turn, &stop);
	EXPECT_EQ(0, child_run(list_while_it_changes, NULL));
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_LT(1, job.ret);
}

/* ---- those who are passed over hold nobody up ---------------------------------------------- */

static int list_for_ever(void *arg)
{
	unsigned int *turns = arg;

	CHECK_EQ(0, child_become(USER, USER));
	for (;;) {
		CHECK_EQ(0, strcmp("", names_here(1)));
		CHECK_EQ(0, strcmp("", names_in_proc(4096)));
		__atomic_add_fetch(turns, 1, __ATOMIC_RELAXED);
	}
}

TEST_F(private, who_is_killed_while_passing_over_many_ends_and_leaves_nothing)
{
	unsigned int *turns = kt_shared(sizeof(*turns));
	char name[KT_NAME_SIZE];

	ASSERT_NE(NULL, turns);
	for (int i = 0; i < HIDDEN; i++) {
		snprintf(name, sizeof(name), "hidden.%d", i);
		ASSERT_EQ(0, make(name, 0600));
	}
	for (int i = 0; i < 5; i++) {
		pid_t pid = child_start(list_for_ever, turns);

		__atomic_store_n(turns, 0, __ATOMIC_RELAXED);
		ASSERT_TRUE(kt_until(__atomic_load_n(turns, __ATOMIC_RELAXED) > 1));
		EXPECT_LE(0, kt_kill(pid));
	}
	for (int i = 0; i < HIDDEN; i++) {
		snprintf(name, sizeof(name), "hidden.%d", i);
		ASSERT_EQ(0, kt_unlink(name));
	}
	EXPECT_TRUE(kt_until(nothing_is_used()));
}

TEST_HARNESS_MAIN
