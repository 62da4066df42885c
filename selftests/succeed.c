// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mailbox in place of another of the same name: nobody comes in between, and nothing that the
 * old one has taken is lost.
 */
#include "account_test.h"

static int shut(int fd)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_SHUT };

	return (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);
}

static int succeed_with(const char *name, unsigned int messages, uint64_t bytes)
{
	struct kpost_open open = kt_open_args(name, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
					      KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED);

	open.messages = messages;
	open.bytes = bytes;
	open.message_max = bytes ? 64 : 0;
	return kt_do_open(&open);
}

static int succeed(const char *name)
{
	return succeed_with(name, 0, 0);
}

TEST(succeed_takes_the_name_and_shuts_the_old_mailbox)
{
	int old, sender, fresh, later;
	char name[KT_NAME_SIZE], buf[8];
	struct kpost_stat st;

	old = kt_open(kt_name(name), KPOST_RIGHT_RECV, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	ASSERT_LE(0, old);
	sender = kt_open(name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, sender);
	ASSERT_EQ(0, kt_post(sender, "old", 3, 0));
	fresh = succeed(name);
	ASSERT_LE(0, fresh);
	st = kt_stat(old);
	EXPECT_EQ(KPOST_STAT_SHUT, st.flags);
	EXPECT_STREQ("", st.name);
	EXPECT_NE(st.identity, kt_stat(fresh).identity);
	EXPECT_STREQ(name, kt_stat(fresh).name);
	EXPECT_EQ(0, kt_stat(fresh).flags);
	EXPECT_REFUSED(EPIPE, sender, kt_post(sender, "m", 1, 0));
	later = kt_open(name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, later);
	ASSERT_EQ(0, kt_post(later, "new", 3, 0));
	EXPECT_EQ(3, kt_take(fresh, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(buf, "new", 3));
	EXPECT_EQ(-EAGAIN, kt_take(fresh, NULL, buf, sizeof(buf)));
	EXPECT_EQ(3, kt_take(old, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(buf, "old", 3));
	EXPECT_EQ(-EPIPE, kt_take(old, NULL, buf, sizeof(buf)));
	/* the end of the old one is nothing to the new one */
	close(sender);
	close(old);
	EXPECT_EQ(0, kt_post(later, "new", 3, 0));
	close(later);
	close(fresh);
	EXPECT_EQ(-ENOENT, kt_open(name, KPOST_RIGHT_SEND, 0));
}

TEST(succeed_makes_the_first_one_too)
{
	char name[KT_NAME_SIZE];
	int fd = succeed(kt_name(name));

	ASSERT_LE(0, fd);
	EXPECT_STREQ(name, kt_stat(fd).name);
	close(fd);
}

TEST(succeed_of_one_that_was_shut_and_has_its_name)
{
	char name[KT_NAME_SIZE], buf[8];
	int old = kt_open(kt_name(name), KT_ALL, KPOST_OPEN_CREATE), fresh;

	ASSERT_LE(0, old);
	ASSERT_EQ(0, kt_post(old, "left", 4, 0));
	ASSERT_EQ(0, shut(old));
	fresh = succeed(name);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(0, kt_stat(fresh).flags);
	EXPECT_EQ(4, kt_take(old, NULL, buf, sizeof(buf)));
	close(old);
	close(fresh);
}

/* there is nobody who could receive it */
TEST(succeed_drops_what_is_in_a_mailbox_without_a_receiver)
{
	char name[KT_NAME_SIZE];
	int sender = kt_open(kt_name(name), KPOST_RIGHT_SEND,
			     KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	int fresh;

	ASSERT_LE(0, sender);
	ASSERT_EQ(0, kt_post(sender, "lost", 4, 0));
	fresh = succeed(name);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(KPOST_STAT_CLOSED, kt_stat(sender).flags);
	EXPECT_EQ(1, kt_stat(sender).dropped);
	EXPECT_EQ(0, kt_stat(fresh).queued_messages);
	close(sender);
	close(fresh);
}

TEST(succeed_goes_with_create_and_a_name_only)
{
	char name[KT_NAME_SIZE];
	unsigned int wrong[] = {
		KPOST_OPEN_SUCCEED,
		KPOST_OPEN_SUCCEED | KPOST_OPEN_WAIT,
		KPOST_OPEN_SUCCEED | KPOST_OPEN_ANONYMOUS,
		KPOST_OPEN_SUCCEED | KPOST_OPEN_CREATE | KPOST_OPEN_EXCL,
	};
	int old = kt_create(kt_name(name), KT_ALL);

	ASSERT_LE(0, old);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct kpost_open open = kt_open_args(name, KPOST_RIGHT_RECV, wrong[i]);

		if (wrong[i] & KPOST_OPEN_ANONYMOUS)
			memset(open.name, 0, sizeof(open.name));
		EXPECT_REFUSED(EINVAL, old, kt_do_open(&open));
	}
	EXPECT_REFUSED(EINVAL, old, succeed_with(name, 1, 8));	/* message_max is more */
	close(old);
}

static int succeeds_as_somebody_else(void *arg)
{
	CHECK_EQ(0, drop_to(NOBODY));
	CHECK_EQ(-EACCES, succeed(arg));
	return 0;
}

TEST(succeed_is_for_the_owner)
{
	char name[KT_NAME_SIZE];
	int old;

	if (geteuid() != 0)
		SKIP(return, "another user needs root");
	old = kt_create(kt_name(name), KT_ALL);
	ASSERT_LE(0, old);
	EXPECT_REFUSED(0, old, kt_exit_status(child_start(succeeds_as_somebody_else, name)));
	EXPECT_EQ(0, kt_post(old, "m", 1, 0));
	close(old);
}

/* ---- what it counts -------------------------------------------------------------------- */

FIXTURE(succession) {
	char name[KT_NAME_SIZE];
	int old, sender;
};

enum { MESSAGES = 8, BYTES = 4096 };

FIXTURE_SETUP(succession)
{
	if (geteuid() != 0)
		SKIP(return, "a network namespace of one's own needs root");
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, drop_to(USER));
	self->old = succeed_with(kt_name(self->name), MESSAGES, BYTES);
	ASSERT_LE(0, self->old);
	self->sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, self->sender);
	ASSERT_EQ(cost(MESSAGES, BYTES), used());
}

FIXTURE_TEARDOWN(succession)
{
}

TEST_F(succession, succeed_counts_only_what_is_more)
{
	int fresh;

	ASSERT_EQ(0, limit_as_root("user_bytes", cost(MESSAGES, BYTES)));
	EXPECT_REFUSED(EDQUOT, self->old, succeed_with(self->name, MESSAGES, BYTES + 1));
	EXPECT_EQ(cost(MESSAGES, BYTES), used());
	fresh = succeed_with(self->name, MESSAGES, BYTES);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(cost(MESSAGES, BYTES), used());
	EXPECT_EQ(0, kt_stat(self->old).counted);
	close(self->sender);
	close(self->old);
	EXPECT_EQ(cost(MESSAGES, BYTES), used());
	/* smaller, and as large again */
	self->old = succeed_with(self->name, 1, BYTES);
	ASSERT_LE(0, self->old);
	EXPECT_EQ(cost(1, BYTES), used());
	close(fresh);
	fresh = succeed_with(self->name, MESSAGES, BYTES);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(cost(MESSAGES, BYTES), used());
	close(self->old);
	close(fresh);
	EXPECT_TRUE(nothing_is_used());
}

/* ... the office too */
TEST_F(succession, succeed_counts_only_what_is_more_in_the_office)
{
	uint64_t all = office_for(cost(MESSAGES, BYTES));
	int fresh;

	ASSERT_EQ(0, limit_as_root("office_bytes", all));
	EXPECT_REFUSED(ENOSPC, self->old, succeed_with(self->name, MESSAGES + 1, BYTES));
	EXPECT_TRUE(office_has(cost(MESSAGES, BYTES), 0));
	fresh = succeed_with(self->name, MESSAGES, BYTES);
	ASSERT_LE(0, fresh);
	EXPECT_TRUE(office_has(cost(MESSAGES, BYTES), 0));
}

/* what is still in the old one is no obstacle, but it counts, and so there is an end to it */
TEST_F(succession, succeed_does_not_pile_up_mailboxes_that_are_full)
{
	int fresh, third, sender;
	char buf[64] = "";

	ASSERT_EQ(0, limit_as_root("user_bytes", cost(MESSAGES, BYTES)));
	for (int i = 0; i < MESSAGES; i++)
		ASSERT_EQ(0, kt_post(self->sender, buf, sizeof(buf), 0));
	fresh = succeed_with(self->name, MESSAGES, BYTES);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(cost(MESSAGES, sizeof(buf) * MESSAGES), kt_stat(self->old).counted);
	EXPECT_EQ(cost(MESSAGES, BYTES) + cost(MESSAGES, sizeof(buf) * MESSAGES), used());
	sender = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, sender);
	ASSERT_EQ(0, kt_post(sender, buf, sizeof(buf), 0));
	EXPECT_REFUSED(EDQUOT, fresh, succeed_with(self->name, MESSAGES, BYTES));
	EXPECT_REFUSED(EDQUOT, fresh, succeed_with(self->name, MESSAGES - 1, BYTES));
	EXPECT_EQ(-EDQUOT, kt_mailbox(1, 1, 1));
	EXPECT_EQ(0, kt_post(sender, buf, sizeof(buf), 0));
	for (int i = 0; i < MESSAGES; i++)
		ASSERT_EQ((long)sizeof(buf), kt_take(self->old, NULL, buf, sizeof(buf)));
	EXPECT_EQ(cost(MESSAGES, BYTES), used());
	third = succeed_with(self->name, MESSAGES, BYTES);
	ASSERT_LE(0, third);
	close(self->sender);
	close(self->old);
	close(sender);
	close(fresh);
	EXPECT_EQ(cost(MESSAGES, BYTES), used());
	close(third);
	EXPECT_TRUE(nothing_is_used());
}

/* each pays for its own */
TEST_F(succession, succeed_by_another_maker_counts_for_that_one)
{
	int fresh;

	/* root is no owner here, but may */
	ASSERT_EQ(0, change_to(0));
	ASSERT_EQ(0, kt_post(self->sender, "four", 4, 0));
	fresh = succeed_with(self->name, MESSAGES, BYTES);
	ASSERT_LE(0, fresh);
	EXPECT_EQ(KPOST_MAKER_OFFICE, kt_stat(fresh).maker);
	EXPECT_EQ(USER, kt_stat(self->old).maker);
	EXPECT_TRUE(office_has(cost(MESSAGES, BYTES) + cost(1, 4), 0));
	ASSERT_EQ(0, change_to(USER));
	EXPECT_EQ(cost(1, 4), used());
	close(self->sender);
	close(self->old);
	EXPECT_EQ(0, used());
	close(fresh);
	EXPECT_TRUE(nothing_is_used());
}

/* ---- under load ------------------------------------------------------------------------ */

/* shared by all processes */
struct service {
	char name[KT_NAME_SIZE];
	bool stop;
	uint64_t sent, received, missed;	/* @missed: the name was free */
};

/* as a client does: the name again, when the mailbox takes nothing more */
static long sends_to_whoever_has_the_name(void *arg)
{
	struct service *service = arg;
	int fd = -1;
	long ret;

	while (!__atomic_load_n(&service->stop, __ATOMIC_ACQUIRE)) {
		if (fd < 0)
			fd = kt_open(service->name, KPOST_RIGHT_SEND, 0);
		if (fd < 0) {
			__atomic_add_fetch(&service->missed, 1, __ATOMIC_RELAXED);
			return fd;
		}
		ret = kt_send(fd, "m", 1, 0, 0, kt_soon());
		if (!ret) {
			__atomic_add_fetch(&service->sent, 1, __ATOMIC_RELAXED);
			continue;
		}
		close(fd);
		fd = -1;
		if (ret != -EPIPE)
			return ret;
	}
	close(fd);
	return 0;
}

static long receives_until_its_mailbox_ends(void *arg)
{
	struct rush {
		struct service *service;
		int fd;
	} *rush = arg;
	char buf[8];
	long ret;

	while ((ret = kt_recv(rush->fd, NULL, buf, sizeof(buf), 0, kt_soon())) == 1)
		__atomic_add_fetch(&rush->service->received, 1, __ATOMIC_RELAXED);
	return ret;
}

TEST(succeed_restarts_a_service_under_load_without_a_loss)
{
	enum { RESTARTS = 60 };
	struct service service = { 0 };
	struct kt_job senders[3], server[2];
	struct {
		struct service *service;
		int fd;
	} instances[2];
	uint64_t enough = 0;

	kt_name(service.name);
	instances[0].service = instances[1].service = &service;
	instances[0].fd = succeed_with(service.name, 8, 4096);
	ASSERT_LE(0, instances[0].fd);
	kt_start_fn(&server[0], receives_until_its_mailbox_ends, &instances[0]);
	for (int i = 0; i < 3; i++)
		kt_start_fn(&senders[i], sends_to_whoever_has_the_name, &service);
	for (int i = 1; i <= RESTARTS; i++) {
		enough = __atomic_load_n(&service.sent, __ATOMIC_RELAXED) + 5;
		ASSERT_TRUE(kt_until(__atomic_load_n(&service.sent, __ATOMIC_RELAXED) >= enough));
		instances[i % 2].fd = succeed_with(service.name, 8, 4096);
		ASSERT_LE(0, instances[i % 2].fd);
		kt_start_fn(&server[i % 2], receives_until_its_mailbox_ends, &instances[i % 2]);
		/* the one before works off what it has, and goes */
		ASSERT_TRUE(kt_join(&server[(i + 1) % 2]));
		EXPECT_EQ(-EPIPE, server[(i + 1) % 2].ret);
		close(instances[(i + 1) % 2].fd);
	}
	__atomic_store_n(&service.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&senders[i]));
		EXPECT_EQ(0, senders[i].ret);
	}
	ASSERT_EQ(0, shut(instances[RESTARTS % 2].fd));
	ASSERT_TRUE(kt_join(&server[RESTARTS % 2]));
	close(instances[RESTARTS % 2].fd);
	EXPECT_EQ(0, service.missed);
	EXPECT_EQ(service.sent, service.received);
	EXPECT_LE(RESTARTS * 5, service.sent);
}

/* two at once: each shuts the other's or is shut, and one has the name in the end */
static long succeeds_again_and_again(void *arg)
{
	const char *name = arg;
	int fd, old = -1;

	for (int i = 0; i < 200; i++) {
		fd = succeed_with(name, 8, 4096);
		if (fd < 0)
			return fd;
		close(old);
		old = fd;
	}
	return old;
}

TEST(succeed_by_many_at_once_leaves_one)
{
	struct kt_job jobs[3];
	char name[KT_NAME_SIZE];
	unsigned int open = 0;

	kt_name(name);
	for (int i = 0; i < 3; i++)
		kt_start_fn(&jobs[i], succeeds_again_and_again, name);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(kt_join(&jobs[i]));
		ASSERT_LE(0, jobs[i].ret);
	}
	for (int i = 0; i < 3; i++)
		open += !kt_stat((int)jobs[i].ret).flags;
	EXPECT_EQ(1, open);
	for (int i = 0; i < 3; i++)
		close((int)jobs[i].ret);
	EXPECT_EQ(-ENOENT, kt_open(name, KPOST_RIGHT_SEND, 0));
}

TEST_HARNESS_MAIN
