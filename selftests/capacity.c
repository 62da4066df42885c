// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 3: what a mailbox counts for when its capacity changes, when it holds more than
 * that, when its maker has gone, and until when.
 */
#include "account_test.h"

enum { SIZE = 1000, FULL = 8 };

static char payload[SIZE];

FIXTURE(capacity) {
	char name[KT_NAME_SIZE];
	int fd; /* USER's, for FULL messages of SIZE */
};

FIXTURE_SETUP(capacity)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, drop_to(USER));
	self->fd = kt_mailbox(FULL, FULL * SIZE, SIZE);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(cost(FULL, FULL * SIZE), used());
	kt_name(self->name);
}

FIXTURE_TEARDOWN(capacity)
{
}

/* ---- made larger and smaller by the maker ---------------------------------------------- */

TEST_F(capacity, maker_enlarges_up_to_its_share)
{
	ASSERT_EQ(0, limit_as_root("user_bytes", cost(FULL, FULL * SIZE) + 256));
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL + 2, 0));
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, 0, FULL * SIZE + 257));
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL + 1, FULL * SIZE + 1));
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, 1 << 20, 1 << 30));
	EXPECT_EQ(cost(FULL, FULL * SIZE), used());
	EXPECT_EQ(0, resize(self->fd, FULL + 1, 0));
	EXPECT_EQ(cost(FULL + 1, FULL * SIZE), kt_stat(self->fd).counted);
	EXPECT_EQ(cost(FULL + 1, FULL * SIZE), used());
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, 0, FULL * SIZE + 1));
	/* one for the other is no more than before */
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE + 256));
	EXPECT_EQ(0, resize(self->fd, FULL + 2, FULL * SIZE - 256));
	EXPECT_EQ(cost(FULL + 1, FULL * SIZE), used());
	/* what is given up can be had again, or by another mailbox */
	EXPECT_EQ(0, resize(self->fd, 1, SIZE));
	EXPECT_EQ(cost(1, SIZE), kt_stat(self->fd).counted);
	EXPECT_EQ(cost(1, SIZE), used());
	EXPECT_EQ(0, resize(self->fd, FULL + 1, FULL * SIZE));
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE - cost(1, 0)));
	EXPECT_LE(0, kt_mailbox(1, 256, 1));
	EXPECT_EQ(cost(FULL + 1, FULL * SIZE), used());
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL + 1, 0));
	close(self->fd);
	EXPECT_EQ(cost(1, 256), used());
}

TEST_F(capacity, maker_enlarges_up_to_the_offices)
{
	uint64_t all = office_for(cost(FULL, FULL * SIZE) + 256);

	ASSERT_EQ(0, limit_as_root("office_bytes", all));
	EXPECT_REFUSED(ENOSPC, self->fd, resize(self->fd, FULL + 2, 0));
	EXPECT_EQ(cost(FULL, FULL * SIZE), used());
	EXPECT_TRUE(office_has(cost(FULL, FULL * SIZE), 0));
	EXPECT_EQ(0, resize(self->fd, FULL + 1, 0));
	EXPECT_EQ(-ENOSPC, kt_mailbox(1, 1, 1));
}

/* nothing of what is asked for with it is done either */
TEST_F(capacity, refused_enlarging_changes_nothing_else)
{
	struct kpost_setattr attr = {
		.valid = KPOST_SET_MODE | KPOST_SET_MESSAGES,
		.mode = 0666,
		.messages = FULL + 1,
	};

	ASSERT_EQ(0, limit_as_root("user_bytes", 1));
	EXPECT_REFUSED(EDQUOT, self->fd, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_REFUSED(EINVAL, self->fd, resize(self->fd, (1 << 20) + 1, 0));
	EXPECT_REFUSED(EINVAL, self->fd, resize(self->fd, 0, (1ull << 30) + 1));
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_REFUSED(EPERM, self->fd, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
}

/* lowered below what is used: no larger, but it may become smaller */
TEST_F(capacity, changes_past_a_lowered_limit)
{
	ASSERT_EQ(0, limit_as_root("user_bytes", 1));
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL + 1, 0));
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
	EXPECT_EQ(0, resize(self->fd, FULL - 1, FULL * SIZE));
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL, 0));
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE - 256));
	EXPECT_EQ(cost(FULL - 1, FULL * SIZE), used());
}

/* ---- by others ------------------------------------------------------------------------- */

TEST_F(capacity, nobody_else_enlarges_and_so_spends_the_makers_share)
{
	ASSERT_EQ(0, change_to(USER + 1));
	EXPECT_REFUSED(EPERM, self->fd, resize(self->fd, FULL + 1, 0));
	EXPECT_REFUSED(EPERM, self->fd, resize(self->fd, 0, FULL * SIZE + 1));
	/* not even for less of the other */
	EXPECT_REFUSED(EPERM, self->fd, resize(self->fd, FULL + 1, FULL * SIZE - 1000));
	EXPECT_REFUSED(EPERM, self->fd, resize(self->fd, FULL - 1, FULL * SIZE + 1));
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
	/* smaller it may be made by whoever administers it, and is back with its maker */
	EXPECT_EQ(0, resize(self->fd, FULL - 1, FULL * SIZE - 1));
	EXPECT_REFUSED(EPERM, self->fd, resize(self->fd, FULL, 0));
	EXPECT_EQ(0, used());
	EXPECT_EQ(USER, kt_stat(self->fd).maker);
	ASSERT_EQ(0, change_to(USER));
	EXPECT_EQ(cost(FULL - 1, FULL * SIZE - 1), used());
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
}

/* an owner is not a maker: chown does not pass on what is counted, nor who may add to it */
TEST_F(capacity, owner_that_did_not_make_it_enlarges_nothing)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_UID, .uid = USER + 1 };
	int fd = kt_create(self->name, KT_ALL), theirs;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
	ASSERT_EQ(0, change_to(USER + 1));
	theirs = kt_open(self->name, KT_ALL, 0);
	ASSERT_LE(0, theirs);
	EXPECT_EQ(USER + 1, kt_stat(theirs).uid);
	EXPECT_EQ(USER, kt_stat(theirs).maker);
	EXPECT_REFUSED(EPERM, theirs, resize(theirs, 257, 0));
	EXPECT_EQ(0, used());
	ASSERT_EQ(0, change_to(USER));
	EXPECT_EQ(0, resize(fd, 257, 0));
}

/* what privilege adds is the office's, and the first to be given back */
TEST_F(capacity, privilege_enlarges_for_the_office)
{
	const uint64_t made = cost(FULL, FULL * SIZE);

	ASSERT_EQ(0, limit_as_root("user_bytes", made));
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(0, resize(self->fd, FULL + 100, 2 * FULL * SIZE));
	EXPECT_EQ(cost(FULL + 100, 2 * FULL * SIZE), kt_stat(self->fd).counted);
	EXPECT_EQ(USER, kt_stat(self->fd).maker);
	EXPECT_TRUE(office_has(cost(FULL + 100, 2 * FULL * SIZE), 0));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_EQ(made, used());
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL + 101, 0));
	/* part of it; all of it; and more than that */
	EXPECT_EQ(0, resize(self->fd, FULL + 50, 0));
	EXPECT_EQ(made, used());
	EXPECT_TRUE(office_has(cost(FULL + 50, 2 * FULL * SIZE), 0));
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
	EXPECT_EQ(made, used());
	EXPECT_TRUE(office_has(made, 0));
	EXPECT_EQ(0, resize(self->fd, FULL - 1, 0));
	EXPECT_EQ(made - 256, used());
	EXPECT_TRUE(office_has(made - 256, 0));

	/* once more, as another user that has the capability, and closed that way */
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(0, resize(self->fd, 1000, 1 << 20));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_EQ(made - 256, used());
	close(self->fd);
	EXPECT_TRUE(nothing_is_used());
}

TEST_F(capacity, privilege_enlarges_up_to_the_offices)
{
	ASSERT_EQ(0, limit_as_root("office_bytes", cost(FULL, FULL * SIZE) + 256));
	ASSERT_EQ(0, seteuid(0));
	EXPECT_REFUSED(ENOSPC, self->fd, resize(self->fd, FULL + 2, 0));
	EXPECT_EQ(0, resize(self->fd, FULL + 1, 0));
	EXPECT_TRUE(office_has(cost(FULL + 1, FULL * SIZE), 0));
}

/* what was made with privilege is enlarged with it alone, whoever's it became */
TEST_F(capacity, mailboxes_of_the_office_are_enlarged_by_privilege_alone)
{
	int fd;

	ASSERT_EQ(0, seteuid(0));
	fd = kt_mailbox(FULL, FULL * SIZE, SIZE);
	ASSERT_LE(0, fd);
	EXPECT_EQ(KPOST_MAKER_OFFICE, kt_stat(fd).maker);
	EXPECT_EQ(0, resize(fd, FULL + 1, 0));
	ASSERT_EQ(0, capability_set(CAP_SYS_RESOURCE, false));
	EXPECT_REFUSED(EPERM, fd, resize(fd, FULL + 2, 0));
	ASSERT_EQ(0, capability_set(CAP_SYS_RESOURCE, true));
	ASSERT_EQ(0, seteuid(USER));
	EXPECT_REFUSED(EPERM, fd, resize(fd, FULL + 2, 0));
	EXPECT_EQ(0, resize(fd, FULL, 0));
	EXPECT_EQ(cost(FULL, FULL * SIZE), used()) TH_LOG("only the other is this user's");
	EXPECT_TRUE(office_has(2 * cost(FULL, FULL * SIZE), 0));
	close(fd);
	EXPECT_TRUE(office_has(cost(FULL, FULL * SIZE), 0));
}

/* ---- filled, then made smaller --------------------------------------------------------- */

static void fill(struct __test_metadata *_metadata, int fd)
{
	for (int i = 0; i < FULL; i++) {
		ASSERT_EQ(0, kt_post(fd, payload, SIZE, 0));
	}
}

TEST_F(capacity, what_it_holds_counts_until_it_is_received)
{
	const uint64_t full = cost(FULL, FULL * SIZE);

	fill(_metadata, self->fd);
	ASSERT_EQ(0, limit_as_root("user_bytes", full));
	ASSERT_EQ(0, resize(self->fd, 2, SIZE));
	EXPECT_EQ(full, kt_stat(self->fd).counted) TH_LOG("it holds as much as before");
	EXPECT_EQ(full, used());
	EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 1));
	for (int left = FULL - 1; left > 0; left--) {
		ASSERT_EQ(SIZE, kt_take(self->fd, NULL, payload, SIZE));
		EXPECT_EQ(left > 1 ? cost(left, left * SIZE) : cost(2, SIZE), used());
		EXPECT_EQ(used(), kt_stat(self->fd).counted);
	}
	ASSERT_EQ(SIZE, kt_take(self->fd, NULL, payload, SIZE));
	EXPECT_EQ(cost(2, SIZE), used());
	/* from here on it is as any other: what comes and goes is not counted */
	ASSERT_EQ(0, kt_post(self->fd, payload, SIZE, 0));
	EXPECT_EQ(cost(2, SIZE), used());
	ASSERT_EQ(SIZE, kt_take(self->fd, NULL, payload, SIZE));
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
	EXPECT_EQ(full, used());
}

/* as large as it was it may be at any time, since it has not ceased to count */
TEST_F(capacity, what_still_counts_is_not_counted_twice)
{
	const uint64_t full = cost(FULL, FULL * SIZE);

	fill(_metadata, self->fd);
	ASSERT_EQ(0, limit_as_root("user_bytes", full));
	ASSERT_EQ(0, resize(self->fd, 1, SIZE));
	EXPECT_EQ(0, resize(self->fd, 3, 2 * SIZE));
	EXPECT_EQ(full, used());
	EXPECT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
	EXPECT_EQ(full, used());
	EXPECT_REFUSED(EDQUOT, self->fd, resize(self->fd, FULL + 1, 0));
	ASSERT_EQ(0, resize(self->fd, 1, 0));
	ASSERT_EQ(SIZE, kt_take(self->fd, NULL, payload, SIZE));
	/* one is missing, but the bytes of all are capacity again */
	EXPECT_EQ(cost(FULL - 1, (FULL - 1) * SIZE), used());
	EXPECT_EQ(0, resize(self->fd, FULL, 0));
	EXPECT_EQ(full, used());
}

/* the office's part goes first then too */
TEST_F(capacity, what_privilege_added_and_was_filled_counts_for_the_office)
{
	const uint64_t made = cost(1, SIZE), full = cost(FULL, FULL * SIZE);

	ASSERT_EQ(0, resize(self->fd, 1, SIZE));
	EXPECT_EQ(made, used());
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, resize(self->fd, FULL, FULL * SIZE));
	ASSERT_EQ(0, seteuid(USER));
	fill(_metadata, self->fd);
	ASSERT_EQ(0, resize(self->fd, 1, SIZE));
	EXPECT_EQ(made, used());
	EXPECT_TRUE(office_has(full, 0));
	for (int i = 0; i < FULL - 1; i++) {
		ASSERT_EQ(SIZE, kt_take(self->fd, NULL, payload, SIZE));
		EXPECT_EQ(made, used());
	}
	EXPECT_TRUE(office_has(made, 0));
	close(self->fd);
	EXPECT_TRUE(nothing_is_used());
}

/* a message also goes when its sender withdraws it, and with the mailbox */
TEST_F(capacity, what_is_withdrawn_or_dropped_counts_no_more)
{
	struct kpost_send send = kt_send_args(payload, SIZE, 0, KPOST_SYNC, 0);
	struct kt_job job;

	ASSERT_EQ(0, kt_handle(SIGUSR1, 0));
	kt_start(&job, self->fd, KPOST_IOC_SEND, &send);
	ASSERT_TRUE(kt_until(kt_stat(self->fd).queued_messages == 1));
	for (int i = 1; i < FULL; i++) {
		ASSERT_EQ(0, kt_post(self->fd, payload, SIZE, 0));
	}
	ASSERT_EQ(0, resize(self->fd, 1, SIZE));
	EXPECT_EQ(cost(FULL, FULL * SIZE), used());
	ASSERT_EQ(0, kt_signal(&job, SIGUSR1));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(-EINTR, job.ret);
	EXPECT_EQ(cost(FULL - 1, (FULL - 1) * SIZE), used());
	close(self->fd);
	EXPECT_TRUE(nothing_is_used());
}

/* nobody can receive it, and who holds its sender holds nothing that counts */
TEST_F(capacity, closed_mailbox_counts_for_nothing)
{
	int fds[2];

	close(self->fd);
	EXPECT_EQ(0, used());
	ASSERT_EQ(0, kt_pair(fds, FULL, FULL * SIZE));
	fill(_metadata, fds[1]);
	ASSERT_EQ(cost(FULL, FULL * SIZE), used());
	close(fds[0]);
	EXPECT_EQ(0, kt_stat(fds[1]).counted);
	EXPECT_EQ(0, used());
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(fds[1]).flags & KPOST_STAT_CLOSED);
	close(fds[1]);
	/* and one that was filled and made smaller before */
	ASSERT_EQ(0, kt_pair(fds, FULL, FULL * SIZE));
	fill(_metadata, fds[1]);
	ASSERT_EQ(0, resize(fds[0], 1, FULL * SIZE / 4));
	close(fds[0]);
	EXPECT_TRUE(nothing_is_used());
	EXPECT_EQ(0, kt_stat(fds[1]).counted);
}

/* ---- a maker that has gone ------------------------------------------------------------- */

static int make_and_leave(void *arg)
{
	struct kpost_open open = kt_open_args(arg, KPOST_RIGHT_SEND,
					      KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);

	CHECK_EQ(0, seteuid(0));
	CHECK_EQ(0, child_become(USER + 2, USER + 2));
	open.mode = 0777;
	CHECK(kt_do_open(&open) >= 0);
	CHECK_EQ(DEFAULT_COST, used());
	return 0;
}

TEST_F(capacity, mailbox_counts_for_its_maker_when_that_has_gone)
{
	int fd;

	ASSERT_EQ(0, child_run(make_and_leave, self->name));
	EXPECT_TRUE(office_has(DEFAULT_COST + cost(FULL, FULL * SIZE), 0));
	ASSERT_EQ(0, change_to(0));
	fd = kt_open(self->name, KT_ALL, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(USER + 2, kt_stat(fd).maker);
	EXPECT_EQ(DEFAULT_COST, kt_stat(fd).counted);
	EXPECT_EQ(0, kt_post(fd, payload, SIZE, 0));
	EXPECT_EQ(0, resize(fd, 1000, 0));
	/* another process of that user finds it counted, but for what root has added */
	ASSERT_EQ(0, change_to(USER + 2));
	EXPECT_EQ(DEFAULT_COST, used());
	EXPECT_EQ(0, resize(fd, 256, 0));
	EXPECT_EQ(0, resize(fd, 257, 0));
	EXPECT_EQ(DEFAULT_COST + 256, used());
	EXPECT_EQ(0, resize(fd, 1, DEFAULT_BYTES / 4));
	EXPECT_EQ(cost(1, DEFAULT_BYTES / 4), used());
	ASSERT_EQ(0, change_to(0));
	EXPECT_EQ(0, kt_unlink(self->name));
	close(fd);
	EXPECT_TRUE(office_has(cost(FULL, FULL * SIZE), 0));
}

static int make_and_pass_on(void *arg)
{
	int fd;

	CHECK_EQ(0, seteuid(0));
	CHECK_EQ(0, child_become(USER + 2, USER + 2));
	fd = kt_mailbox(0, 0, 0);
	CHECK(fd >= 0);
	CHECK_EQ(0, pass_fd(*(int *)arg, fd));
	return 0;
}

/* whoever has it then */
TEST_F(capacity, mailbox_that_was_passed_on_counts_for_its_maker)
{
	int socks[2], fd;

	close(self->fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	ASSERT_EQ(0, child_run(make_and_pass_on, &socks[1]));
	EXPECT_TRUE(office_has(DEFAULT_COST, 0));
	fd = take_fd(socks[0]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(USER + 2, kt_stat(fd).maker);
	EXPECT_EQ(0, used());
	EXPECT_REFUSED(EPERM, fd, resize(fd, 257, 0));
	close(fd);
	EXPECT_TRUE(nothing_is_used());
}

/* the user namespace in which it is told knows no such user */
static int see_maker(void *arg)
{
	struct kpost_stat st;

	CHECK_EQ(0, seteuid(0));
	CHECK_EQ(0, child_become(USER + 1, USER + 1));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	st = kt_stat(*(int *)arg);
	CHECK_EQ(NOBODY, st.maker);
	CHECK_EQ(cost(FULL, FULL * SIZE), st.counted);
	return 0;
}

TEST_F(capacity, maker_is_told_as_seen_from_the_users_namespace)
{
	EXPECT_EQ(0, child_run(see_maker, &self->fd));
}

TEST_HARNESS_MAIN
