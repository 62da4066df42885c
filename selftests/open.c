// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making and finding mailboxes: names, what is asked for and what one gets,
 * flags that contradict each other, and descriptors.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include "kpost_test.h"

FIXTURE(open) {
	char name[KT_NAME_SIZE];
	struct kpost_open args;		/* CREATE, all rights */
};

FIXTURE_SETUP(open)
{
	ASSERT_LE(0, kt_device());
	kt_name(self->name);
	self->args = kt_open_args(self->name, KT_ALL, KPOST_OPEN_CREATE);
}

FIXTURE_TEARDOWN(open)
{
}

static bool exists(const char *name)
{
	int fd = kt_open(name, KPOST_RIGHT_ADMIN, 0);

	close(fd);
	return fd != -ENOENT;
}

TEST_F(open, open_makes_what_was_asked_for)
{
	struct kpost_stat want = {
		.mode = 0642,
		.uid = getuid(),
		.gid = getgid(),
		.messages = 17,
		.message_max = 300,
		.bytes = 5000,
		.receivers = 1,
		.senders = 1,
		.counted = 1024 + 5000 + 17 * 256,
		.held_max = 17 / 2,
		/* root's counts for no user */
		.maker = getuid() ? getuid() : KPOST_MAKER_OFFICE,
	};
	int fd;

	umask(0);
	self->args.mode = want.mode;
	self->args.messages = want.messages;
	self->args.message_max = want.message_max;
	self->args.bytes = want.bytes;
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	strcpy(want.name, self->name);
	want.rights = self->args.rights;
	want.identity = kt_stat(fd).identity;
	EXPECT_TRUE(kt_stat_same(want, kt_stat(fd)));
	EXPECT_EQ(0, self->args.send_fd);
	close(fd);
	EXPECT_FALSE(exists(self->name));
}

TEST_F(open, open_takes_the_umask_off_the_mode)
{
	int fd;

	umask(027);
	self->args.mode = 0777;
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0750, kt_stat(fd).mode);
	close(fd);

	self->args = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	self->args.mode = 0666;
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0640, kt_stat(fd).mode);
	close(fd);
}

TEST_F(open, open_to_create_what_exists_leaves_it_as_it_is)
{
	int fd = kt_do_open(&self->args), again;
	struct kpost_stat before;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kt_post(fd, "x", 1, 0));
	before = kt_stat(fd);
	self->args.rights = KPOST_RIGHT_SEND;
	self->args.mode = 0777;
	self->args.messages = 1;
	self->args.bytes = 10;
	self->args.message_max = 5;
	again = kt_do_open(&self->args);
	ASSERT_LE(0, again);
	before.senders++;
	EXPECT_TRUE(kt_stat_same(before, kt_stat(fd)));
	close(again);
	before.senders--;
	EXPECT_TRUE(kt_stat_same(before, kt_stat(fd)));
	close(fd);
}

TEST_F(open, open_exclusively_refuses_what_exists)
{
	int fd;

	self->args.flags |= KPOST_OPEN_EXCL;
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	EXPECT_REFUSED(EEXIST, fd, kt_do_open(&self->args));
	close(fd);
	fd = kt_do_open(&self->args);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(open, open_of_no_such_name_is_enoent)
{
	EXPECT_EQ(-ENOENT, kt_open(self->name, KPOST_RIGHT_SEND, 0));
	EXPECT_EQ(-ENOENT, kt_open(self->name, KPOST_RIGHT_RECV, 0));
	EXPECT_EQ(-ENOENT, kt_open(self->name, KPOST_RIGHT_ADMIN, 0));
	EXPECT_EQ(-ENOENT, kt_unlink(self->name));
}

TEST_F(open, open_refuses_bad_names)
{
	static const char *const bad[] = { "", "/", "a/b", "/a", "a/", "\n", "a\x01z", "\x1f",
					   "tab\there", "\x7f", "x\x7f", ".", ".." };
	struct kpost_unlink unlink = { .flags = 0 };
	struct kpost_open wait;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(self->args.name, 0, sizeof(self->args.name));
		strcpy(self->args.name, bad[i]);
		EXPECT_EQ(-EINVAL, kt_do_open(&self->args)) TH_LOG("%zu", i);
		EXPECT_EQ(-EINVAL, kt_open(bad[i], KPOST_RIGHT_SEND, 0)) TH_LOG("%zu", i);
		EXPECT_EQ(-EINVAL, kt_unlink(bad[i])) TH_LOG("%zu", i);
		/* and nobody waits for what cannot come */
		wait = kt_open_args(bad[i], KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
		wait.deadline = kt_in(10);
		EXPECT_EQ(-EINVAL, kt_do_open(&wait)) TH_LOG("%zu", i);
	}
	/* 256 bytes and no end */
	memset(self->args.name, 'x', sizeof(self->args.name));
	EXPECT_EQ(-ENAMETOOLONG, kt_do_open(&self->args));
	memset(unlink.name, 'x', sizeof(unlink.name));
	EXPECT_EQ(-ENAMETOOLONG, kt_ioctl(kt_device(), KPOST_IOC_UNLINK, &unlink));
}

TEST_F(open, open_takes_every_other_name)
{
	static const char *const good[] = { "...", "....", ". ", " .", "..a", "a..", "a.", ".-",
					    " ", "a b", "\x80\xff", "\xc3\xa9", "%s%n", "-", "~",
					    "!", ".hidden" };
	char longest[KT_NAME_SIZE];
	int fd, again;

	for (size_t i = 0; i <= ARRAY_SIZE(good); i++) {
		memset(longest, 'n', KPOST_NAME_MAX);
		longest[KPOST_NAME_MAX] = '\0';
		const char *name = i < ARRAY_SIZE(good) ? good[i] : longest;

		fd = kt_create(name, KT_ALL);
		ASSERT_LE(0, fd) TH_LOG("%zu", i);
		EXPECT_STREQ(name, kt_stat(fd).name);
		again = kt_open(name, KPOST_RIGHT_SEND, 0);
		EXPECT_LE(0, again);
		EXPECT_EQ(2, kt_stat(fd).senders);
		close(again);
		close(fd);
		EXPECT_FALSE(exists(name));
	}
}

TEST_F(open, open_ignores_what_follows_the_end_of_the_name)
{
	size_t len = strlen(self->args.name);
	int fd, again;

	memset(self->args.name + len + 1, '/', sizeof(self->args.name) - len - 1);
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	again = kt_open(self->name, KPOST_RIGHT_SEND, 0);
	EXPECT_LE(0, again);
	EXPECT_EQ(0, kt_stat(fd).name[len + 1]);
	close(again);
	close(fd);
}

TEST_F(open, open_tells_names_apart_by_every_byte)
{
	char other[KT_NAME_SIZE];
	int fd = kt_do_open(&self->args);

	ASSERT_LE(0, fd);
	strcpy(other, self->name);
	strcat(other, "x");
	EXPECT_FALSE(exists(other));
	other[strlen(other) - 2] = '\0';
	EXPECT_FALSE(exists(other));
	strcpy(other, self->name);
	other[0] = 'K';
	EXPECT_FALSE(exists(other));
	EXPECT_TRUE(exists(self->name));
	close(fd);
}

TEST_F(open, open_refuses_flags_that_contradict_each_other)
{
	enum {
		CREATE = KPOST_OPEN_CREATE, EXCL = KPOST_OPEN_EXCL, WAIT = KPOST_OPEN_WAIT,
		ANON = KPOST_OPEN_ANONYMOUS, PAIR = KPOST_OPEN_PAIR, PERSIST = KPOST_OPEN_PERSIST,
	};
	static const unsigned int bad[] = {
		EXCL, PERSIST, PAIR, CREATE | WAIT, CREATE | EXCL | WAIT, WAIT | EXCL,
		WAIT | PERSIST, ANON | CREATE, ANON | EXCL, ANON | WAIT, ANON | PERSIST,
		ANON | CREATE | PERSIST, CREATE | PAIR, WAIT | PAIR,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kpost_open args = kt_open_args(bad[i] & ANON ? NULL : self->name,
						      KPOST_RIGHT_RECV, bad[i]);

		args.mode = 0;
		EXPECT_EQ(-EINVAL, kt_do_open(&args)) TH_LOG("flags %#x", bad[i]);
	}
	EXPECT_FALSE(exists(self->name));
}

TEST_F(open, open_refuses_fields_that_do_not_apply)
{
	struct kpost_open args[] = {
		/* that describe a new mailbox, where none can be made */
		[0] = { .mode = 0600 }, [1] = { .messages = 1 }, [2] = { .bytes = 1 },
		[3] = { .message_max = 1 },
		/* a deadline where nothing waits */
		[4] = { .deadline = 1 }, [5] = { .flags = KPOST_OPEN_CREATE, .deadline = 1 },
		/* waiting and describing */
		[6] = { .flags = KPOST_OPEN_WAIT, .mode = 0600, .deadline = 1 },
		/* no rights, unknown ones */
		[7] = { .flags = KPOST_OPEN_CREATE, .rights = 8 },
		[8] = { .flags = KPOST_OPEN_CREATE, .rights = 1u << 31 },
		/* mode */
		[9] = { .flags = KPOST_OPEN_CREATE, .mode = 01000 },
		[10] = { .flags = KPOST_OPEN_CREATE, .mode = 0100600 },
	};
	int fd = kt_do_open(&self->args);

	ASSERT_LE(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
		args[i].rights |= KPOST_RIGHT_SEND;
		strcpy(args[i].name, self->name);
		EXPECT_REFUSED(EINVAL, fd, kt_do_open(&args[i]));
		kt_name(args[i].name);
		EXPECT_EQ(-EINVAL, kt_do_open(&args[i])) TH_LOG("%zu", i);
		EXPECT_FALSE(exists(args[i].name));
	}
	self->args.rights = 0;
	EXPECT_REFUSED(EINVAL, fd, kt_do_open(&self->args));
	/* a name for what has none */
	self->args = kt_open_args("name", KT_ALL, KPOST_OPEN_ANONYMOUS);
	EXPECT_EQ(-EINVAL, kt_do_open(&self->args));
	self->args = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	self->args.name[255] = 'x';
	EXPECT_EQ(-EINVAL, kt_do_open(&self->args));
	/* a mailbox that nobody could ever receive from */
	self->args = kt_open_args(NULL, KPOST_RIGHT_SEND | KPOST_RIGHT_ADMIN,
				  KPOST_OPEN_ANONYMOUS);
	EXPECT_EQ(-EINVAL, kt_do_open(&self->args));
	/* two endpoints that send */
	self->args = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	EXPECT_EQ(-EINVAL, kt_do_open(&self->args));
	close(fd);
}

TEST_F(open, open_refuses_capacities_that_cannot_be)
{
	static const struct {
		unsigned int messages, message_max;
		uint64_t bytes;
	} bad[] = {
		{ 0, 101, 100 },			/* a message that never fits */
		{ 0, KPOST_PAYLOAD_MAX + 1, 1ull << 26 },
		{ 0, UINT32_MAX, 1ull << 26 },
		{ (1u << 20) + 1, 0, 0 },
		{ UINT32_MAX, 0, 0 },
		{ 0, 0, (1ull << 30) + 1 },
		{ 0, 0, 1ull << 63 },
		{ 0, 0, UINT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		self->args.messages = bad[i].messages;
		self->args.message_max = bad[i].message_max;
		self->args.bytes = bad[i].bytes;
		EXPECT_EQ(-EINVAL, kt_do_open(&self->args)) TH_LOG("%zu", i);
		EXPECT_FALSE(exists(self->name));
	}
}

TEST_F(open, open_makes_the_largest_message_a_quarter_where_none_is_said)
{
	static const struct {
		uint64_t bytes;
		unsigned int message_max;
	} want[] = { { 1, 1 }, { 3, 1 }, { 4, 1 }, { 8, 2 }, { 400, 100 }, { 1 << 20, 1 << 18 },
		     { 1 << 26, 1 << 24 }, { (1 << 26) + 4, 1 << 24 }, { 1 << 29, 1 << 24 } };

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		int fd = kt_mailbox(1, want[i].bytes, 0);

		ASSERT_LE(0, fd);
		EXPECT_EQ(want[i].message_max, kt_stat(fd).message_max);
		EXPECT_EQ(want[i].bytes, kt_stat(fd).bytes);
		close(fd);
	}
}

TEST_F(open, open_makes_a_pair_that_receives_and_sends)
{
	struct kpost_stat st;
	char buf[8];
	int fds[2];

	ASSERT_EQ(0, kt_pair(fds, 4, 100));
	ASSERT_LE(0, fds[1]);
	EXPECT_NE(fds[0], fds[1]);
	st = kt_stat(fds[1]);
	EXPECT_EQ(KPOST_RIGHT_SEND, st.rights);
	st.rights = KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN;
	EXPECT_TRUE(kt_stat_same(st, kt_stat(fds[0])));
	EXPECT_EQ(KPOST_STAT_ANONYMOUS, st.flags);
	EXPECT_EQ(1, st.receivers);
	EXPECT_EQ(1, st.senders);
	EXPECT_EQ('\0', st.name[0]);
	EXPECT_EQ(0, kt_post(fds[1], "x", 1, 0));
	EXPECT_REFUSED(EBADF, fds[0], kt_post(fds[0], "x", 1, 0));
	EXPECT_REFUSED(EBADF, fds[0], kt_take(fds[1], NULL, buf, sizeof(buf)));
	EXPECT_EQ(1, kt_take(fds[0], NULL, buf, sizeof(buf)));
	close(fds[0]);
	EXPECT_EQ(-EPIPE, kt_post(fds[1], "x", 1, 0));
	close(fds[1]);
}

TEST_F(open, open_of_anonymous_mailboxes_makes_a_new_one_each_time)
{
	int a = kt_mailbox(0, 0, 0), b = kt_mailbox(0, 0, 0);
	char c;

	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	ASSERT_EQ(0, kt_post(a, "a", 1, 0));
	EXPECT_EQ(-EAGAIN, kt_take(b, NULL, &c, 1));
	EXPECT_EQ(1, kt_take(a, NULL, &c, 1));
	close(a);
	close(b);
}

TEST_F(open, open_sets_close_on_exec_and_what_else_was_asked)
{
	int fds[2], fd;

	ASSERT_EQ(0, kt_pair(fds, 0, 0));
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fds[0], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fds[1], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(O_RDWR, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(O_RDONLY, fcntl(fds[0], F_GETFL) & O_ACCMODE);
	EXPECT_EQ(O_WRONLY, fcntl(fds[1], F_GETFL) & O_ACCMODE);
	close(fd);
	self->args.flags |= KPOST_OPEN_NONBLOCK;
	fd = kt_do_open(&self->args);
	ASSERT_LE(0, fd);
	EXPECT_EQ(O_NONBLOCK, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(-EAGAIN, kt_recv(fd, NULL, NULL, 0, 0, 0));
	close(fd);
	close(fds[0]);
	close(fds[1]);
}

/* how many descriptors are open below 64 */
static int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 64; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

TEST_F(open, open_without_a_free_descriptor_makes_nothing)
{
	struct rlimit limit;
	int before, top;

	/* dup() takes the lowest: there is none free below it */
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	top = dup(kt_device());
	ASSERT_LE(0, top);
	before = count_fds();
	limit.rlim_cur = top + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(-EMFILE, kt_do_open(&self->args));
	EXPECT_EQ(-EMFILE, kt_mailbox(0, 0, 0));
	/* a pair with room for one of the two */
	close(top);
	self->args.flags = KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR;
	self->args.rights = KPOST_RIGHT_RECV;
	memset(self->args.name, 0, sizeof(self->args.name));
	EXPECT_EQ(-EMFILE, kt_do_open(&self->args));
	EXPECT_EQ(0, self->args.send_fd);
	EXPECT_EQ(before - 1, count_fds());
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_FALSE(exists(self->name));
}

/* where send_fd cannot be stored, nobody would know of the second descriptor */
TEST_F(open, open_of_a_pair_that_cannot_be_told_leaves_nothing_open)
{
	char *edge = kt_edge(PROT_READ | PROT_WRITE);
	struct kpost_open *args = (void *)edge;
	int before = count_fds();

	*args = kt_open_args(NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
	ASSERT_EQ(0, mprotect(edge, kt_page_size(), PROT_READ));
	EXPECT_EQ(-EFAULT, kt_do_open(args));
	EXPECT_EQ(before, count_fds());
	/* without a pair there is nothing to store */
	ASSERT_EQ(0, mprotect(edge, kt_page_size(), PROT_READ | PROT_WRITE));
	args->flags = KPOST_OPEN_ANONYMOUS;
	ASSERT_EQ(0, mprotect(edge, kt_page_size(), PROT_READ));
	EXPECT_LE(0, close(kt_do_open(args)));
}

TEST_HARNESS_MAIN
