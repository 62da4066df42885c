// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who asks for a user's mailbox gets that or none: KPOST_OPEN_OWNER finds out who has taken a name
 * first.
 *
 * Each test is at home in a network namespace of its own.
 */
#include "account_test.h"

#include <sys/stat.h>

enum { OTHER = USER + 1, SQUATTER = USER + 2 };

FIXTURE(owner) {
	char name[KT_NAME_SIZE];
	int lowest;	/* the descriptor that is given next */
};

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

FIXTURE_SETUP(owner)
{
	if (geteuid() != 0)
		SKIP(return, "being somebody else needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_LE(0, kt_device());
	umask(0);
	kt_name(self->name);
	self->lowest = lowest_free();
}

FIXTURE_TEARDOWN(owner)
{
}

static struct kpost_open owned_args(const char *name, unsigned int rights, unsigned int flags,
				    unsigned int owner)
{
	struct kpost_open open = kt_open_args(name, rights, flags | KPOST_OPEN_OWNER);

	open.owner = owner;
	return open;
}

/* what is refused leaves the caller's struct alone */
static int open_owned(const char *name, unsigned int rights, unsigned int flags,
		      unsigned int owner)
{
	struct kpost_open open = owned_args(name, rights, flags, owner), before = open;
	int fd = kt_do_open(&open);

	return memcmp(&open, &before, sizeof(open)) ? -EPROTO : fd;
}

/* a mailbox that anybody can send to and receive from, of the user that the task is now */
static int make(const char *name)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);

	open.mode = 0666;
	return kt_do_open(&open);
}

/* ---- what is there ------------------------------------------------------------------------- */

TEST_F(owner, mailbox_of_the_user_that_was_asked_for_is_opened_and_no_other)
{
	static const unsigned int rights[] = { KPOST_RIGHT_SEND, KPOST_RIGHT_RECV,
					       KPOST_RIGHT_SEND | KPOST_RIGHT_RECV };
	static const unsigned int others[] = { 0, OTHER, SQUATTER, USER ^ 0x10000, 0xfffffffe };
	int fd, again;

	ASSERT_EQ(0, drop_to(USER));
	fd = make(self->name);
	ASSERT_LE(0, fd);
	for (uid_t uid = USER; uid <= OTHER; uid++) {
		ASSERT_EQ(0, change_to(uid));
		for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
			again = open_owned(self->name, rights[i], 0, USER);
			ASSERT_LE(0, again);
			EXPECT_EQ(rights[i], kt_stat(again).rights);
			EXPECT_EQ(0, close(again));
			for (size_t j = 0; j < ARRAY_SIZE(others); j++)
				EXPECT_REFUSED(EPERM, fd, open_owned(self->name, rights[i], 0,
								     others[j]));
		}
	}
	/* nor does privilege make it anybody else's */
	ASSERT_EQ(0, change_to(0));
	EXPECT_REFUSED(EPERM, fd, open_owned(self->name, KT_ALL, 0, 0));
	again = open_owned(self->name, KT_ALL, 0, USER);
	EXPECT_LE(0, again);
	close(again);
	close(fd);
	EXPECT_EQ(self->lowest, lowest_free());
}

TEST_F(owner, squatter_is_found_out)
{
	int squat, fd;

	ASSERT_EQ(0, drop_to(SQUATTER));
	squat = make(self->name);
	ASSERT_LE(0, squat);
	ASSERT_EQ(0, change_to(USER));
	/* who does not ask is taken in */
	fd = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "secret", 6, 0));
	close(fd);
	EXPECT_REFUSED(EPERM, squat, open_owned(self->name, KPOST_RIGHT_SEND, 0, OTHER));
	EXPECT_REFUSED(EPERM, squat, open_owned(self->name, KPOST_RIGHT_RECV, 0, 0));
	/* neither does asking to make it */
	EXPECT_REFUSED(EPERM, squat, open_owned(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE,
						USER));
	EXPECT_REFUSED(EEXIST, squat, open_owned(self->name, KPOST_RIGHT_SEND,
						 KPOST_OPEN_CREATE | KPOST_OPEN_EXCL, USER));
	close(squat);
	fd = open_owned(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE, USER);
	ASSERT_LE(0, fd);
	EXPECT_EQ(USER, kt_stat(fd).uid);
	close(fd);
}

/* nobody whom the mode keeps out is told whose it is */
TEST_F(owner, owner_is_looked_at_after_the_mode)
{
	int fd = kt_create(self->name, KT_ALL);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, drop_to(USER));
	for (unsigned int owner = 0; owner <= USER; owner += USER) {
		EXPECT_REFUSED(EACCES, fd, open_owned(self->name, KPOST_RIGHT_SEND, 0, owner));
		EXPECT_REFUSED(EACCES, fd, open_owned(self->name, KPOST_RIGHT_RECV, 0, owner));
		EXPECT_REFUSED(EACCES, fd, open_owned(self->name, KPOST_RIGHT_ADMIN, 0, owner));
		EXPECT_REFUSED(EACCES, fd, open_owned(self->name, KPOST_RIGHT_SEND,
						      KPOST_OPEN_WAIT, owner));
		EXPECT_REFUSED(EACCES, fd, open_owned(self->name, KPOST_RIGHT_SEND,
						      KPOST_OPEN_CREATE, owner));
		EXPECT_REFUSED(EACCES, fd, open_owned(self->name, KPOST_RIGHT_RECV,
						      KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED,
						      owner));
	}
	close(fd);
}

TEST_F(owner, owner_is_who_has_the_mailbox_now)
{
	struct kpost_setattr give = { .valid = KPOST_SET_UID, .uid = OTHER };
	int fd = make(self->name), first, again;

	ASSERT_LE(0, fd);
	first = open_owned(self->name, KPOST_RIGHT_SEND, 0, 0);
	ASSERT_LE(0, first);
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &give));
	EXPECT_REFUSED(EPERM, fd, open_owned(self->name, KPOST_RIGHT_SEND, 0, 0));
	again = open_owned(self->name, KPOST_RIGHT_SEND, 0, OTHER);
	EXPECT_LE(0, again);
	/* who has it open has it */
	EXPECT_EQ(0, kt_post(first, "x", 1, 0));
	close(again);
	close(first);
	close(fd);
}

/* ---- what is waited for -------------------------------------------------------------------- */

/* for a SEND endpoint, as long as it takes */
static void wait_for_owned(struct kt_job *job, struct kpost_open *wait, const char *name,
			   unsigned int owner)
{
	*wait = owned_args(name, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT, owner);
	wait->deadline = kt_soon();
	kt_start(job, kt_device(), KPOST_IOC_OPEN, wait);
}

TEST_F(owner, name_waited_for_that_a_squatter_takes_is_eperm)
{
	struct kpost_open wait;
	struct kt_job job;
	int fd;

	wait_for_owned(&job, &wait, self->name, 0);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_FALSE(kt_done(&job));
	/* the thread that waits stays root */
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, SQUATTER, -1));
	fd = make(self->name);
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 0, -1));
	ASSERT_LE(0, fd);
	ASSERT_EQ(SQUATTER, kt_stat(fd).uid);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EPERM, job.ret);
	EXPECT_EQ(1, kt_stat(fd).senders) TH_LOG("the squatter's own, and no other");
	/* and so is one that is there before the wait */
	EXPECT_REFUSED(EPERM, fd, open_owned(self->name, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT, 0));
	close(fd);
}

TEST_F(owner, name_waited_for_is_opened_when_its_owner_makes_it)
{
	struct kpost_open wait;
	struct kt_job job;
	int fd;

	wait_for_owned(&job, &wait, self->name, USER);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, USER, -1));
	fd = make(self->name);
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 0, -1));
	ASSERT_LE(0, fd);
	ASSERT_TRUE(kt_join(&job));
	ASSERT_LE(0, job.ret);
	EXPECT_EQ(0, kt_post((int)job.ret, "x", 1, 0));
	EXPECT_EQ(1, kt_stat(fd).queued_messages);
	close((int)job.ret);
	close(fd);
}

/* ---- what is made -------------------------------------------------------------------------- */

TEST_F(owner, mailbox_that_would_be_anothers_is_not_made)
{
	static const unsigned int flags[] = {
		KPOST_OPEN_CREATE, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL,
		KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST, KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED,
		KPOST_OPEN_CREATE | KPOST_OPEN_KEYED,
	};
	int fd;

	for (uid_t uid = 0; uid <= USER; uid += USER) {
		ASSERT_EQ(0, change_to(uid));
		for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
			EXPECT_EQ(-EPERM, open_owned(self->name, KT_ALL, flags[i], OTHER));
			EXPECT_EQ(-ENOENT, kt_open(self->name, KPOST_RIGHT_ADMIN, 0));
			EXPECT_EQ(-ENOENT, kt_unlink(self->name));
			EXPECT_TRUE(nothing_is_used());
			EXPECT_EQ(self->lowest, lowest_free());
			fd = open_owned(self->name, KT_ALL, flags[i], uid);
			ASSERT_LE(0, fd);
			EXPECT_EQ(uid, kt_stat(fd).uid);
			kt_unlink(self->name);
			close(fd);
		}
	}
}

TEST_F(owner, mailbox_that_would_be_made_is_the_effective_users)
{
	int fd;

	ASSERT_EQ(0, setresuid(USER, OTHER, 0));
	EXPECT_EQ(-EPERM, open_owned(self->name, KT_ALL, KPOST_OPEN_CREATE, USER));
	EXPECT_EQ(-EPERM, open_owned(self->name, KT_ALL, KPOST_OPEN_CREATE, 0));
	EXPECT_EQ(-ENOENT, kt_unlink(self->name));
	fd = open_owned(self->name, KT_ALL, KPOST_OPEN_CREATE, OTHER);
	ASSERT_LE(0, fd);
	EXPECT_EQ(OTHER, kt_stat(fd).uid);
	close(fd);
}

TEST_F(owner, whose_a_mailbox_would_be_is_told_before_that_there_is_no_room_for_it)
{
	struct kpost_open open;

	ASSERT_EQ(0, limit_set("user_bytes", 1));
	ASSERT_EQ(0, drop_to(USER));
	EXPECT_EQ(-EDQUOT, open_owned(self->name, KT_ALL, KPOST_OPEN_CREATE, USER));
	EXPECT_EQ(-EPERM, open_owned(self->name, KT_ALL, KPOST_OPEN_CREATE, OTHER));
	open = owned_args(self->name, KT_ALL, KPOST_OPEN_CREATE, USER);
	open.messages = UINT32_MAX;
	EXPECT_EQ(-EINVAL, kt_do_open(&open));
	EXPECT_EQ(-EINVAL, open_owned("a/b", KT_ALL, KPOST_OPEN_CREATE, OTHER));
	EXPECT_EQ(-ENOENT, open_owned(self->name, KT_ALL, 0, OTHER));
}

/* ---- succession ---------------------------------------------------------------------------- */

TEST_F(owner, succession_is_of_the_owners_mailbox_only)
{
	const unsigned int flags = KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED;
	int old, fresh;

	/* root may administer it, and is told that it is not its own */
	ASSERT_EQ(0, drop_to(SQUATTER));
	old = make(self->name);
	ASSERT_LE(0, old);
	ASSERT_EQ(0, kt_post(old, "kept", 4, 0));
	ASSERT_EQ(0, change_to(0));
	EXPECT_REFUSED(EPERM, old, open_owned(self->name, KT_ALL, flags, 0));
	/* what would be made is root's */
	EXPECT_REFUSED(EPERM, old, open_owned(self->name, KT_ALL, flags, SQUATTER));
	EXPECT_EQ(1, kt_stat(old).queued_messages);
	EXPECT_EQ(0, kt_stat(old).flags & KPOST_STAT_SHUT);
	EXPECT_STREQ(self->name, kt_stat(old).name);

	ASSERT_EQ(0, change_to(SQUATTER));
	EXPECT_REFUSED(EPERM, old, open_owned(self->name, KT_ALL, flags, 0));
	fresh = open_owned(self->name, KT_ALL, flags, SQUATTER);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(KPOST_STAT_SHUT, kt_stat(old).flags & KPOST_STAT_SHUT);
	EXPECT_STREQ(self->name, kt_stat(fresh).name);
	close(old);
	close(fresh);
}

/* ---- the field ----------------------------------------------------------------------------- */

TEST_F(owner, fields_that_do_not_go_together_are_einval)
{
	static const unsigned int values[] = { 1, USER, 1u << 31, UINT32_MAX };
	struct kpost_open open;
	int fd = make(self->name);

	ASSERT_LE(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		open = kt_open_args(self->name, KPOST_RIGHT_SEND, 0);
		open.owner = values[i];
		EXPECT_REFUSED(EINVAL, fd, kt_do_open(&open));
		open = owned_args(self->name, KPOST_RIGHT_SEND, 0, 0);
		open.reserved = values[i];
		EXPECT_REFUSED(EINVAL, fd, kt_do_open(&open));
	}
	EXPECT_REFUSED(EINVAL, fd, open_owned(self->name, KPOST_RIGHT_SEND, 0, UINT32_MAX));
	EXPECT_REFUSED(EINVAL, fd, open_owned(self->name, KPOST_RIGHT_SEND, 1u << 10, 0));
	EXPECT_EQ(-EINVAL, open_owned(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS, 0));
	EXPECT_EQ(-EINVAL, open_owned(NULL, KPOST_RIGHT_RECV,
				      KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR, 0));
	close(fd);
}

TEST_F(owner, feature_bit_says_that_it_is_there)
{
	EXPECT_EQ(KPOST_FEATURE_OWNER, info_now().features & KPOST_FEATURE_OWNER);
}

/* ---- user namespaces ----------------------------------------------------------------------- */

/* in a namespace whose root is USER outside, and which knows no other */
static int ask_inside(void *arg)
{
	const char *name = arg;
	int fd;

	CHECK_EQ(0, child_become(USER, USER));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(-EINVAL, open_owned(name, KPOST_RIGHT_SEND, 0, USER));
	CHECK_EQ(-EINVAL, open_owned(name, KPOST_RIGHT_SEND, 0, 1));
	/* nor does the id that all strangers have stand for any of them */
	CHECK_EQ(-EINVAL, open_owned(name, KPOST_RIGHT_SEND, 0, NOBODY));
	fd = open_owned(name, KPOST_RIGHT_SEND, 0, 0);
	CHECK(fd >= 0);
	CHECK_EQ(0, kt_stat(fd).uid);
	close(fd);
	CHECK_EQ(0, kt_unlink(name));
	fd = open_owned(name, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST, 0);
	CHECK(fd >= 0);
	return 0;
}

TEST_F(owner, owner_is_named_as_in_the_callers_user_namespace)
{
	int fd, again;

	ASSERT_EQ(0, drop_to(USER));
	fd = make(self->name);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, change_to(0));
	EXPECT_EQ(0, child_run(ask_inside, self->name));
	/* which made it USER's */
	again = open_owned(self->name, KPOST_RIGHT_SEND, 0, USER);
	EXPECT_LE(0, again);
	EXPECT_REFUSED(EPERM, again, open_owned(self->name, KPOST_RIGHT_SEND, 0, 0));
	close(again);
	close(fd);
}

/* a mailbox of root's in the namespace's office is no stranger's to know by root's own id there */
static int stranger_inside(void *arg)
{
	const int *socks = arg;
	struct kpost_open open;
	int device;

	CHECK_EQ(0, child_become(USER, USER));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	CHECK(device >= 0);
	CHECK_EQ(0, tell(socks[1]));
	CHECK(is_told(socks[1])); /* it is made */
	open = kt_open_args("strangers", KPOST_RIGHT_SEND, 0);
	CHECK(kt_ioctl(device, KPOST_IOC_OPEN, &open) >= 0);
	open = owned_args("strangers", KPOST_RIGHT_SEND, 0, 0);
	CHECK_EQ(-EPERM, kt_ioctl(device, KPOST_IOC_OPEN, &open));
	open.owner = NOBODY;
	CHECK_EQ(-EINVAL, kt_ioctl(device, KPOST_IOC_OPEN, &open));
	return 0;
}

TEST_F(owner, stranger_to_a_user_namespace_is_nobody_that_can_be_asked_for_there)
{
	struct kpost_open args = kt_open_args("strangers", KT_ALL, KPOST_OPEN_CREATE);
	int socks[2], net, device;
	char path[64];
	pid_t pid;

	args.mode = 0666;
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = child_start(stranger_inside, socks);
	ASSERT_TRUE(is_told(socks[0]));
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	net = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, net);
	ASSERT_EQ(0, setns(net, CLONE_NEWNET));
	device = kt_open_device();
	ASSERT_LE(0, device);
	ASSERT_LE(0, kt_ioctl(device, KPOST_IOC_OPEN, &args));
	ASSERT_EQ(0, tell(socks[0]));
	EXPECT_EQ(0, child_finish(pid, 60));
}

/* ---- who races ----------------------------------------------------------------------------- */

enum { ROUNDS = 300 };

struct race {
	char name[KT_NAME_SIZE];
	unsigned int stop;
	unsigned int made[2];
};

static int make_again_and_again(struct race *race, uid_t uid, unsigned int *made)
{
	CHECK_EQ(0, child_become(uid, uid));
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		int fd = make(race->name);

		if (fd >= 0) {
			__atomic_add_fetch(made, 1, __ATOMIC_RELAXED);
			sched_yield();
			close(fd);
		} else {
			CHECK_EQ(-EEXIST, fd);
		}
		/* on one processor the other has its turn, too */
		sched_yield();
	}
	return 0;
}

static int race_as_owner(void *arg)
{
	struct race *race = arg;

	return make_again_and_again(race, USER, &race->made[0]);
}

static int race_as_squatter(void *arg)
{
	struct race *race = arg;

	return make_again_and_again(race, SQUATTER, &race->made[1]);
}

TEST_F(owner, nobody_gets_a_squatters_mailbox_while_its_owner_and_a_squatter_race)
{
	struct race *race = kt_shared(sizeof(*race));
	unsigned int opened = 0, refused = 0;
	uint64_t end = kt_soon();
	pid_t pids[2];

	ASSERT_NE(NULL, race);
	strcpy(race->name, self->name);
	pids[0] = child_start(race_as_owner, race);
	pids[1] = child_start(race_as_squatter, race);
	while ((opened < ROUNDS || refused < ROUNDS) && kt_now() < end) {
		int fd = open_owned(self->name, KPOST_RIGHT_SEND, 0, USER);

		if (fd >= 0) {
			opened++;
			ASSERT_EQ(USER, kt_stat(fd).uid);
			close(fd);
		} else if (fd == -EPERM) {
			refused++;
		} else {
			ASSERT_EQ(-ENOENT, fd);
		}
	}
	__atomic_store_n(&race->stop, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, child_finish(pids[0], 60));
	EXPECT_EQ(0, child_finish(pids[1], 60));
	TH_LOG("opened %u, refused %u, of %u and %u made", opened, refused, race->made[0],
	       race->made[1]);
	EXPECT_LT(0, opened);
	EXPECT_LT(0, refused);
}

TEST_HARNESS_MAIN
