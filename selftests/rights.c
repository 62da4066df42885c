// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may open a mailbox, and what an endpoint may then do: mode, owner and group
 * as for a file, rights as they were asked for.
 */
#include <sys/stat.h>
#include "child_test.h"

#define OWNER	60001
#define GROUP	60002
#define OTHER	60003

/* run the rest in a child with these ids and no capabilities */
static pid_t fork_as(uid_t uid, gid_t gid)
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(126);
		/* which made the process undumpable, and cleared the signal */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	return pid;
}

/* -errno of opening as that user, or 0; a process each */
static int open_as(uid_t uid, gid_t gid, struct kpost_open *open)
{
	pid_t pid = fork_as(uid, gid);
	int status;

	if (pid == 0) {
		int fd = kt_do_open(open);

		_exit(fd < 0 ? -fd : 0);
	}
	status = kt_exit_status(pid);
	return status < 0 ? -ECHILD : -status;
}

FIXTURE(rights) {
	char name[KT_NAME_SIZE];
	int fd;			/* of root's, all rights */
	struct kpost_open open;
};

FIXTURE_SETUP(rights)
{
	struct kpost_setattr attr = {
		.valid = KPOST_SET_UID | KPOST_SET_GID,
		.uid = OWNER,
		.gid = GROUP,
	};

	if (geteuid())
		SKIP(return, "only root can become somebody else");
	umask(0);
	self->fd = kt_create(kt_name(self->name), KT_ALL);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, kt_ioctl(self->fd, KPOST_IOC_SETATTR, &attr));
	self->open = kt_open_args(self->name, KPOST_RIGHT_SEND, 0);
}

FIXTURE_TEARDOWN(rights)
{
	close(self->fd);
}

static void set_mode(struct __test_metadata *_metadata, int fd, unsigned int mode)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = mode };

	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr));
}

/* each bit of the mode alone, and all but each, for each kind of user */
TEST_F(rights, rights_follow_the_mode_bit_by_bit)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		int shift;
	} users[] = { { OWNER, OTHER, 6 }, { OTHER, GROUP, 3 }, { OTHER, OTHER, 0 },
		      { OWNER, GROUP, 6 } };
	static const unsigned int modes[] = { 0, 0400, 0200, 0040, 0020, 0004, 0002, 0777,
					      0377, 0577, 0737, 0757, 0773, 0775 };

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		set_mode(_metadata, self->fd, modes[m]);
		for (size_t u = 0; u < ARRAY_SIZE(users); u++) {
			unsigned int bits = modes[m] >> users[u].shift & 7;
			const struct {
				unsigned int rights, need;
			} wants[] = {
				{ KPOST_RIGHT_SEND, 2 },
				{ KPOST_RIGHT_RECV, 4 },
				{ KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 6 },
			};

			for (size_t w = 0; w < ARRAY_SIZE(wants); w++) {
				int want = (bits & wants[w].need) == wants[w].need ? 0 : -EACCES;

				self->open.rights = wants[w].rights;
				EXPECT_EQ(want, open_as(users[u].uid, users[u].gid, &self->open))
					TH_LOG("mode %#o, user %zu, rights %u", modes[m], u,
					       wants[w].rights);
			}
		}
	}
	EXPECT_EQ(1, kt_stat(self->fd).receivers);
	EXPECT_EQ(1, kt_stat(self->fd).senders);
}

TEST_F(rights, rights_of_admin_are_the_owners_whatever_the_mode)
{
	self->open.rights = KPOST_RIGHT_ADMIN;
	set_mode(_metadata, self->fd, 0777);
	EXPECT_EQ(0, open_as(OWNER, OTHER, &self->open));
	EXPECT_EQ(-EACCES, open_as(OTHER, GROUP, &self->open));
	EXPECT_EQ(-EACCES, open_as(OTHER, OTHER, &self->open));
	set_mode(_metadata, self->fd, 0);
	EXPECT_EQ(0, open_as(OWNER, OTHER, &self->open));
	self->open.rights = KPOST_RIGHT_ADMIN | KPOST_RIGHT_SEND;
	EXPECT_EQ(-EACCES, open_as(OWNER, OTHER, &self->open));
}

TEST_F(rights, rights_are_no_matter_to_root)
{
	int fd;

	set_mode(_metadata, self->fd, 0);
	fd = kt_open(self->name, KT_ALL, 0);
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_EQ(0, kt_unlink(self->name));
}

TEST_F(rights, rights_of_the_maker_are_what_it_asks_for)
{
	pid_t pid = fork_as(OTHER, OTHER);

	if (pid == 0) {
		char name[KT_NAME_SIZE], c;
		struct kpost_open open = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE);
		int fd;

		open.mode = 0;
		fd = kt_do_open(&open);
		if (fd < 0 || kt_post(fd, "x", 1, 0) || kt_take(fd, NULL, &c, 1) != 1)
			_exit(1);
		if (kt_stat(fd).uid != OTHER || kt_stat(fd).gid != OTHER)
			_exit(2);
		/* a second time is no making */
		open.flags = 0;
		open.rights = KPOST_RIGHT_SEND;
		_exit(kt_do_open(&open) == -EACCES ? 0 : 3);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
}

TEST_F(rights, rights_to_create_are_no_way_into_what_exists)
{
	self->open.flags = KPOST_OPEN_CREATE;
	self->open.mode = 0777;
	self->open.rights = KT_ALL;
	EXPECT_EQ(-EACCES, open_as(OTHER, OTHER, &self->open));
	self->open.flags = KPOST_OPEN_CREATE | KPOST_OPEN_EXCL;
	EXPECT_EQ(-EEXIST, open_as(OTHER, OTHER, &self->open));
	self->open = kt_open_args(self->name, KPOST_RIGHT_RECV, KPOST_OPEN_WAIT);
	self->open.deadline = kt_soon();
	EXPECT_EQ(-EACCES, open_as(OTHER, OTHER, &self->open));
}

TEST_F(rights, rights_to_unlink_are_the_owners)
{
	pid_t pid;

	set_mode(_metadata, self->fd, 0777);
	pid = fork_as(OTHER, GROUP);
	if (pid == 0)
		_exit(-kt_unlink(self->name));
	EXPECT_EQ(EACCES, kt_exit_status(pid));
	EXPECT_STREQ(self->name, kt_stat(self->fd).name);
	set_mode(_metadata, self->fd, 0);
	pid = fork_as(OWNER, OTHER);
	if (pid == 0)
		_exit(-kt_unlink(self->name));
	EXPECT_EQ(0, kt_exit_status(pid));
	EXPECT_STREQ("", kt_stat(self->fd).name);
}

TEST_F(rights, rights_of_open_endpoints_outlast_a_change_of_mode)
{
	int fd = kt_open(self->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV, 0);
	pid_t pid;

	ASSERT_LE(0, fd);
	set_mode(_metadata, self->fd, 0);
	pid = fork_as(OTHER, OTHER);
	if (pid == 0) {
		char c;

		_exit(kt_post(fd, "x", 1, 0) || kt_take(fd, NULL, &c, 1) != 1);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
	close(fd);
}

/* what each right is for, and what it is not */
TEST_F(rights, rights_allow_their_own_operations_and_no_others)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MODE, .mode = 0600 };
	struct kpost_reply_recv both = { .reply_size = sizeof(struct kpost_reply),
					 .recv_size = sizeof(struct kpost_recv) };
	struct kpost_reply reply = { .token = 0 };
	struct kpost_recv recv;
	char c;

	for (unsigned int rights = 1; rights <= KT_ALL; rights++) {
		bool send = rights & KPOST_RIGHT_SEND, receive = rights & KPOST_RIGHT_RECV;
		bool admin = rights & KPOST_RIGHT_ADMIN;
		int fd = kt_open(self->name, rights, 0);

		ASSERT_LE(0, fd) TH_LOG("rights %u", rights);
		EXPECT_EQ(send ? 0 : -EBADF, kt_post(fd, "x", 1, 0)) TH_LOG("%u", rights);
		EXPECT_EQ(send ? 1 : -1, write(fd, "x", 1)) TH_LOG("%u", rights);
		if (!send) {
			EXPECT_EQ(EBADF, errno) TH_LOG("%u", rights);
		}
		EXPECT_EQ(send ? -ETIMEDOUT : -EBADF, kt_call(fd, "x", 1, NULL, 0, 1))
			TH_LOG("%u", rights);
		EXPECT_EQ(receive ? (send ? 1 : -EAGAIN) : -EBADF, kt_take(fd, NULL, &c, 1))
			TH_LOG("%u", rights);
		EXPECT_EQ(0, fcntl(fd, F_SETFL, O_NONBLOCK));
		EXPECT_EQ(receive && send ? 1 : -1, read(fd, &c, 1)) TH_LOG("%u", rights);
		if (!receive || !send) {
			EXPECT_EQ(receive ? EAGAIN : EBADF, errno) TH_LOG("%u", rights);
		}
		EXPECT_EQ(receive ? -ENOENT : -EBADF, kt_reply(fd, 1, "x", 1))
			TH_LOG("%u", rights);
		recv = kt_recv_args(&c, 1, KPOST_DONTWAIT, 0);
		both.reply = (uintptr_t)&reply;
		both.recv = (uintptr_t)&recv;
		EXPECT_EQ(receive ? -EAGAIN : -EBADF, kt_ioctl(fd, KPOST_IOC_REPLY_RECV, &both))
			TH_LOG("%u", rights);
		EXPECT_EQ(admin ? 0 : -EPERM, kt_ioctl(fd, KPOST_IOC_SETATTR, &attr))
			TH_LOG("%u", rights);
		/* anybody may look */
		EXPECT_EQ(1 + receive, kt_stat(fd).receivers) TH_LOG("%u", rights);
		EXPECT_EQ(1 + send, kt_stat(fd).senders) TH_LOG("%u", rights);
		close(fd);
		while (kt_take(self->fd, NULL, &c, 1) >= 0)
			;
	}
}

TEST_F(rights, rights_to_give_a_mailbox_away_are_limited)
{
	pid_t pid = fork_as(OWNER, GROUP);

	if (pid == 0) {
		struct kpost_setattr attr = { .valid = KPOST_SET_UID, .uid = OTHER };
		int fd = kt_open(self->name, KPOST_RIGHT_ADMIN, 0);
		struct kpost_stat before = kt_stat(fd);

		if (fd < 0)
			_exit(1);
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EPERM)
			_exit(2);
		attr = (struct kpost_setattr){ .valid = KPOST_SET_GID, .gid = OTHER };
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EPERM)
			_exit(3);
		/* one bad field, and the good one is not set either */
		attr.valid |= KPOST_SET_MODE;
		attr.mode = 0123;
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EPERM)
			_exit(4);
		if (!kt_stat_same(before, kt_stat(fd)))
			_exit(5);
		/* to oneself and to one's own group it may be given */
		attr = (struct kpost_setattr){ .valid = KPOST_SET_UID | KPOST_SET_GID,
					       .uid = OWNER, .gid = GROUP };
		_exit(kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) ? 6 : 0);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
}

/* to administer it is not to spend what its maker may have */
TEST_F(rights, rights_to_a_larger_mailbox_are_its_makers)
{
	struct kpost_setattr attr = { .valid = KPOST_SET_MESSAGES };
	int socks[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = fork_as(OWNER, GROUP);
	if (pid == 0) {
		fd = kt_mailbox(4, 4000, 1000);
		attr.messages = 5;
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr))
			_exit(1);
		/* its share ends somewhere, however it is asked for */
		attr.messages = 1 << 20;
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EDQUOT)
			_exit(2);
		if (kt_mailbox(1 << 20, 0, 0) != -EDQUOT || kt_mailbox(1, 1 << 30, 0) != -EDQUOT)
			_exit(3);
		_exit(pass_fd(socks[1], fd) ? 4 : 0);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
	fd = take_fd(socks[0]);
	ASSERT_LE(0, fd);
	pid = fork_as(OTHER, GROUP);
	if (pid == 0) {
		struct kpost_stat before = kt_stat(fd);

		if (before.rights != KT_ALL || before.maker != OWNER)
			_exit(5);
		attr = (struct kpost_setattr){ .valid = KPOST_SET_MESSAGES | KPOST_SET_MODE,
					       .messages = 6, .mode = 0777 };
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EPERM)
			_exit(6);
		attr = (struct kpost_setattr){ .valid = KPOST_SET_BYTES, .bytes = 4001 };
		if (kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) != -EPERM)
			_exit(7);
		if (!kt_stat_same(before, kt_stat(fd)))
			_exit(8);
		attr.bytes = 3999;
		_exit(kt_ioctl(fd, KPOST_IOC_SETATTR, &attr) ? 9 : 0);
	}
	EXPECT_EQ(0, kt_exit_status(pid));
	EXPECT_EQ(1024 + 3999 + 5 * 256, kt_stat(fd).counted);
}

TEST_HARNESS_MAIN
