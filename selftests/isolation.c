// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promise 9: isolation.  Names exist per network namespace, modes decide who may
 * open a mailbox, and nothing but what was sent reaches user memory.
 */
#include "child_test.h"

#include <sys/stat.h>

struct named {
	char name[KT_NAME_SIZE];
	int fd;
};

FIXTURE(isolation) {
	struct named box;	/* root's, mode 0600 */
};

FIXTURE_SETUP(isolation)
{
	if (geteuid() != 0)
		SKIP(return, "being somebody else needs root");
	self->box.fd = kt_create(kt_name(self->box.name), KT_ALL);
	ASSERT_LE(0, self->box.fd);
}

FIXTURE_TEARDOWN(isolation)
{
	close(self->box.fd);
}

static int try_open(const char *name, unsigned int rights)
{
	int fd = kt_open(name, rights, 0);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* with a device that was opened here and now */
static int do_open_here(struct kpost_open *open)
{
	int device = kt_open_device(), fd;

	if (device < 0)
		return device;
	fd = (int)kt_ioctl(device, KPOST_IOC_OPEN, open);
	close(device);
	return fd;
}

static int open_here(const char *name, unsigned int rights, unsigned int flags)
{
	struct kpost_open open = kt_open_args(name, rights, flags);

	return do_open_here(&open);
}

/* ---- network namespaces --------------------------------------------------------- */

static int same_name_elsewhere(void *arg)
{
	struct named *box = arg;
	char buf[8];
	int fd;

	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(-ENOENT, open_here(box->name, KT_ALL, 0));
	fd = open_here(box->name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);
	CHECK(fd >= 0);
	CHECK_EQ(-EAGAIN, kt_take(fd, NULL, buf, sizeof(buf)));
	CHECK_EQ(0, kt_post(fd, "theirs", 6, 0));
	/* the endpoint that came along leads where it always did */
	CHECK_EQ(4, kt_take(box->fd, NULL, buf, sizeof(buf)));
	CHECK_EQ(0, memcmp(buf, "ours", 4));
	CHECK_EQ(0, kt_post(box->fd, "back", 4, 0));
	return 0;
}

TEST_F(isolation, same_name_in_two_network_namespaces_is_two_mailboxes)
{
	char buf[8];

	ASSERT_EQ(0, kt_post(self->box.fd, "ours", 4, 0));
	EXPECT_EQ(0, child_run(same_name_elsewhere, &self->box));
	EXPECT_EQ(4, kt_take(self->box.fd, NULL, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(buf, "back", 4));
	EXPECT_EQ(-EAGAIN, kt_take(self->box.fd, NULL, buf, sizeof(buf)));
}

static int device_from_elsewhere(void *arg)
{
	struct named *box = arg;
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, fd;
	struct kpost_unlink unlink = {};
	struct kpost_open create;
	char name[KT_NAME_SIZE];

	CHECK(kt_device() >= 0);
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(0, try_open(box->name, KPOST_RIGHT_SEND));

	/* one opened there names what is there, from here too */
	there = kt_open_device();
	CHECK_EQ(0, setns(home, CLONE_NEWNET));
	create = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	fd = (int)kt_ioctl(there, KPOST_IOC_OPEN, &create);
	CHECK(fd >= 0);
	CHECK_EQ(-ENOENT, try_open(name, KT_ALL));
	CHECK_EQ(-ENOENT, open_here(name, KT_ALL, 0));
	CHECK_EQ(-ENOENT, kt_unlink(name));
	strcpy(unlink.name, name);
	CHECK_EQ(0, kt_ioctl(there, KPOST_IOC_UNLINK, &unlink));
	return 0;
}

TEST_F(isolation, device_belongs_to_the_namespace_it_was_opened_in)
{
	EXPECT_EQ(0, child_run(device_from_elsewhere, &self->box));
}

static char listing[1 << 16];

static int proc_elsewhere(void *arg)
{
	struct named *box = arg;
	char name[KT_NAME_SIZE];

	CHECK(child_read("/proc/net/kpost", listing, sizeof(listing)) > 0);
	CHECK(strstr(listing, box->name));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK(open_here(kt_name(name), KT_ALL, KPOST_OPEN_CREATE) >= 0);
	CHECK(child_read("/proc/net/kpost", listing, sizeof(listing)) > 0);
	CHECK(!strstr(listing, box->name));
	CHECK(strstr(listing, name));
	return 0;
}

TEST_F(isolation, proc_shows_the_mailboxes_of_ones_own_namespace)
{
	EXPECT_EQ(0, child_run(proc_elsewhere, &self->box));
}

static int list_elsewhere(void *arg)
{
	struct kpost_stat entries[4];
	struct kpost_list list = {
		.buf = (uintptr_t)entries,
		.count = 4,
		.entry_size = sizeof(entries[0]),
	};
	char name[KT_NAME_SIZE];
	int device;

	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	CHECK_EQ(0, kt_ioctl(device, KPOST_IOC_LIST, &list));
	CHECK(open_here(kt_name(name), KT_ALL, KPOST_OPEN_CREATE) >= 0);
	CHECK_EQ(1, kt_ioctl(device, KPOST_IOC_LIST, &list));
	CHECK_EQ(0, strcmp(name, entries[0].name));
	return 0;
}

TEST_F(isolation, list_tells_of_ones_own_namespace)
{
	EXPECT_EQ(0, child_run(list_elsewhere, &self->box));
}

/* ---- modes ------------------------------------------------------------------------ */

/* effective only, so that root is a call away */
static int act_as(uid_t uid, gid_t gid, gid_t extra)
{
	if (setresuid(-1, 0, 0) || setgroups(extra ? 1 : 0, &extra) ||
	    setresgid(-1, gid, 0) || setresuid(-1, uid, 0))
		return -errno;
	return 0;
}

#define OWNER	1000
#define GROUP	2000
#define OTHER	3000

static const struct who {
	uid_t uid;
	gid_t gid;
	gid_t extra;
	int shift;	/* which bits of the mode are theirs */
} people[] = {
	{ OWNER, OTHER, 0, 6 },
	{ OWNER, GROUP, 0, 6 },
	{ OTHER, GROUP, 0, 3 },
	{ OTHER, OTHER, GROUP, 3 },
	{ OTHER, OTHER, 0, 0 },
};

static int try_every_mode(void *arg)
{
	struct named *box = arg;
	struct kpost_setattr attr = {
		.valid = KPOST_SET_UID | KPOST_SET_GID,
		.uid = OWNER,
		.gid = GROUP,
	};

	CHECK(kt_device() >= 0);
	CHECK_EQ(0, kt_ioctl(box->fd, KPOST_IOC_SETATTR, &attr));
	for (unsigned int mode = 0; mode <= 0777; mode++) {
		attr = (struct kpost_setattr){ .valid = KPOST_SET_MODE, .mode = mode };
		CHECK_EQ(0, kt_ioctl(box->fd, KPOST_IOC_SETATTR, &attr));
		for (size_t i = 0; i < ARRAY_SIZE(people); i++) {
			const struct who *who = &people[i];
			bool r = mode >> who->shift & 4, w = mode >> who->shift & 2;
			int send, recv, both;

			CHECK_EQ(0, act_as(who->uid, who->gid, who->extra));
			send = try_open(box->name, KPOST_RIGHT_SEND);
			recv = try_open(box->name, KPOST_RIGHT_RECV);
			both = try_open(box->name, KPOST_RIGHT_SEND | KPOST_RIGHT_RECV);
			if (send != (w ? 0 : -EACCES) || recv != (r ? 0 : -EACCES) ||
			    both != (r && w ? 0 : -EACCES)) {
				fprintf(stderr, "# mode %04o, person %zu: %d %d %d\n", mode, i,
					send, recv, both);
				return CHILD_FAILED;
			}
		}
	}
	return 0;
}

TEST_F(isolation, every_mode_lets_in_whom_it_says)
{
	EXPECT_EQ(0, child_run(try_every_mode, &self->box));
}

static int try_admin(void *arg)
{
	struct named *box = arg;
	struct kpost_setattr attr = {
		.valid = KPOST_SET_UID | KPOST_SET_GID | KPOST_SET_MODE,
		.uid = OWNER,
		.gid = GROUP,
		.mode = 0777,
	};

	CHECK(kt_device() >= 0);
	CHECK_EQ(0, kt_ioctl(box->fd, KPOST_IOC_SETATTR, &attr));
	for (size_t i = 0; i < ARRAY_SIZE(people); i++) {
		CHECK_EQ(0, act_as(people[i].uid, people[i].gid, people[i].extra));
		CHECK_EQ(people[i].uid == OWNER ? 0 : -EACCES,
			 try_open(box->name, KPOST_RIGHT_ADMIN));
		if (people[i].uid != OWNER)
			CHECK_EQ(-EACCES, kt_unlink(box->name));
	}
	CHECK_EQ(0, act_as(OWNER, OTHER, 0));
	CHECK_EQ(0, kt_unlink(box->name));
	CHECK_EQ(-ENOENT, kt_unlink(box->name));
	return 0;
}

TEST_F(isolation, only_the_owner_administers_and_unlinks)
{
	EXPECT_EQ(0, child_run(try_admin, &self->box));
}

TEST_F(isolation, roots_capabilities_override_modes)
{
	struct kpost_setattr attr = {
		.valid = KPOST_SET_UID | KPOST_SET_GID | KPOST_SET_MODE,
		.uid = OWNER,
		.gid = GROUP,
	};

	ASSERT_EQ(0, kt_ioctl(self->box.fd, KPOST_IOC_SETATTR, &attr));
	EXPECT_EQ(0, kt_stat(self->box.fd).mode);
	EXPECT_EQ(0, try_open(self->box.name, KT_ALL));
	EXPECT_EQ(0, kt_unlink(self->box.name));
}

static int give_away(void *arg)
{
	int fd;

	struct kpost_setattr uid = { .valid = KPOST_SET_UID, .uid = OTHER };
	struct kpost_setattr gid = { .valid = KPOST_SET_GID, .gid = OTHER };

	(void)arg;
	CHECK(kt_device() >= 0);
	CHECK_EQ(0, act_as(OWNER, OWNER, GROUP));
	fd = kt_mailbox(0, 0, 0);
	CHECK(fd >= 0);
	CHECK_EQ(-EPERM, kt_ioctl(fd, KPOST_IOC_SETATTR, &uid));
	CHECK_EQ(-EPERM, kt_ioctl(fd, KPOST_IOC_SETATTR, &gid));
	CHECK_EQ(OWNER, kt_stat(fd).uid);
	CHECK_EQ(OWNER, kt_stat(fd).gid);
	gid.gid = GROUP;
	CHECK_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &gid));
	CHECK_EQ(GROUP, kt_stat(fd).gid);
	return 0;
}

TEST_F(isolation, mailbox_is_not_given_away_without_the_capability)
{
	EXPECT_EQ(0, child_run(give_away, NULL));
}

TEST_F(isolation, umask_takes_from_the_mode_of_a_new_mailbox)
{
	struct kpost_open create;
	char name[KT_NAME_SIZE];
	int fd;

	umask(027);
	create = kt_open_args(kt_name(name), KT_ALL, KPOST_OPEN_CREATE);
	create.mode = 0777;
	fd = kt_do_open(&create);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0750, kt_stat(fd).mode);
}

static int use_what_was_opened(void *arg)
{
	struct named *box = arg;
	char buf[8];

	CHECK(kt_device() >= 0);
	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	CHECK_EQ(-EACCES, try_open(box->name, KPOST_RIGHT_SEND));
	CHECK_EQ(-EACCES, try_open(box->name, KPOST_RIGHT_RECV));
	/* an endpoint is a capability: rights are checked when it is opened */
	CHECK_EQ(0, kt_post(box->fd, "given", 5, 0));
	CHECK_EQ(5, kt_take(box->fd, NULL, buf, sizeof(buf)));
	return 0;
}

TEST_F(isolation, endpoint_keeps_its_rights_and_gives_none_to_its_heir)
{
	EXPECT_EQ(0, child_run(use_what_was_opened, &self->box));
}

/* ---- user namespaces ----------------------------------------------------------------- */

static int root_of_nothing(void *arg)
{
	struct named *box = arg;
	struct kpost_open big = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);

	CHECK(kt_device() >= 0);
	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(0, geteuid());
	CHECK_EQ(-EACCES, try_open(box->name, KPOST_RIGHT_SEND));
	CHECK_EQ(-EACCES, try_open(box->name, KPOST_RIGHT_RECV));
	CHECK_EQ(-EACCES, try_open(box->name, KPOST_RIGHT_ADMIN));
	CHECK_EQ(-EACCES, kt_unlink(box->name));
	CHECK_EQ(-EACCES, open_here(box->name, KPOST_RIGHT_SEND, 0));
	/* nor does its share end later than any user's */
	big.messages = 1 << 20;
	CHECK_EQ(-EDQUOT, kt_do_open(&big));
	return 0;
}

TEST_F(isolation, root_of_a_user_namespace_has_no_power_over_the_initial_office)
{
	EXPECT_EQ(0, child_run(root_of_nothing, &self->box));
}

static int office_of_ones_own(void *arg)
{
	struct kpost_open open = kt_open_args("mine", KT_ALL, KPOST_OPEN_CREATE);
	struct named *box = arg;
	struct kpost_stat st;
	int fd;

	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(-ENOENT, open_here(box->name, KT_ALL, 0));
	open.mode = 0;
	fd = do_open_here(&open);
	CHECK(fd >= 0);
	st = kt_stat(fd);
	CHECK_EQ(0, st.uid);
	/* root here, over what is its own: the mode does not matter */
	CHECK(open_here("mine", KT_ALL, 0) >= 0);
	CHECK_EQ(0, kt_post(fd, "x", 1, 0));
	/* but not over the machine's memory */
	open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	open.messages = 1 << 20;
	CHECK_EQ(-EDQUOT, do_open_here(&open));
	open.messages = 1;
	fd = do_open_here(&open);
	CHECK(fd >= 0);
	CHECK_EQ(0, kt_stat(fd).maker); /* itself, and not the office */
	CHECK_EQ(-ENOENT, try_open("mine", KT_ALL)); /* by the device from outside */
	return 0;
}

TEST_F(isolation, unprivileged_user_has_an_office_of_its_own_in_its_own_namespaces)
{
	EXPECT_EQ(0, child_run(office_of_ones_own, &self->box));
}

/* ---- an owner that the office's user namespace does not know ------------------------ */

static int make_as_a_stranger(const char *name, pid_t inside)
{
	struct kpost_open args = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);
	char path[64];
	int net;

	args.mode = 0600;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", inside);
	net = open(path, O_RDONLY | O_CLOEXEC);
	if (net < 0 || setns(net, CLONE_NEWNET))
		return -errno;
	close(net);
	return do_open_here(&args);
}

static int root_beside_a_stranger(void *arg)
{
	struct kpost_stat entry;
	struct kpost_list list = {
		.buf = (uintptr_t)&entry, .count = 1, .entry_size = sizeof(entry),
	};
	struct kpost_unlink unlink = { .name = "stranger" };
	const int *socks = arg;
	int device;

	CHECK_EQ(0, child_become(NOBODY, NOBODY));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	device = kt_open_device();
	CHECK(device >= 0);
	CHECK_EQ(0, tell(socks[1]));
	CHECK(is_told(socks[1])); /* it is made */
	CHECK_EQ(1, kt_ioctl(device, KPOST_IOC_LIST, &list));
	CHECK_EQ(65534, entry.uid);
	CHECK_EQ(65534, entry.gid);
	CHECK_EQ(-EACCES, open_here("stranger", KPOST_RIGHT_SEND, 0));
	CHECK_EQ(-EACCES, open_here("stranger", KPOST_RIGHT_RECV, 0));
	CHECK_EQ(-EACCES, open_here("stranger", KPOST_RIGHT_ADMIN, 0));
	CHECK_EQ(-EACCES, kt_ioctl(device, KPOST_IOC_UNLINK, &unlink));
	return 0;
}

TEST_F(isolation, root_of_a_user_namespace_has_no_power_over_a_stranger_in_its_office)
{
	int socks[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = child_start(root_beside_a_stranger, socks);
	ASSERT_TRUE(is_told(socks[0]));
	fd = make_as_a_stranger("stranger", pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, tell(socks[0]));
	EXPECT_EQ(0, child_finish(pid, 60));
}

/* ---- what reaches user memory ----------------------------------------------------------- */

TEST_F(isolation, recv_writes_no_byte_past_the_message)
{
	char secret[4096], buf[4096];

	/* what another message left behind in the kernel must not come along */
	memset(secret, 'S', sizeof(secret));
	for (size_t len = 0; len < 600; len += 37) {
		struct kpost_recv recv;

		ASSERT_EQ(0, kt_post(self->box.fd, secret, sizeof(secret), 0));
		ASSERT_EQ(sizeof(secret), kt_take(self->box.fd, NULL, buf, sizeof(buf)));
		kt_poison(buf, sizeof(buf));
		ASSERT_EQ(0, kt_post(self->box.fd, "a short one", len < 11 ? len : 11, 0));
		ASSERT_EQ(len < 11 ? len : 11, kt_take(self->box.fd, &recv, buf, sizeof(buf)));
		EXPECT_TRUE(kt_poisoned(buf + (len < 11 ? len : 11),
					sizeof(buf) - (len < 11 ? len : 11)));
		EXPECT_EQ(0, recv.token);
		EXPECT_EQ(0, recv.reply_max);
		EXPECT_EQ(0, recv.message_flags);
	}
}

TEST_F(isolation, reply_writes_no_byte_past_itself)
{
	char answer[256], buf[8];
	struct kpost_call call = kt_call_args("ask", 3, answer, sizeof(answer), kt_soon());
	struct kpost_recv recv;
	struct kt_job job;

	kt_poison(answer, sizeof(answer));
	kt_start(&job, self->box.fd, KPOST_IOC_CALL, &call);
	ASSERT_EQ(3, kt_recv(self->box.fd, &recv, buf, sizeof(buf), 0, kt_soon()));
	EXPECT_EQ(0, kt_reply(self->box.fd, recv.token, "no", 2));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(2, job.ret);
	EXPECT_EQ(0, memcmp(answer, "no", 2));
	EXPECT_TRUE(kt_poisoned(answer + 2, sizeof(answer) - 2));
}

TEST_F(isolation, structs_have_no_stray_byte)
{
	struct kpost_stat entries[3], st = kt_stat(self->box.fd);
	struct kpost_list list = {
		.buf = (uintptr_t)entries,
		.count = 2,
		.entry_size = sizeof(entries[0]),
	};
	struct kpost_info info;
	size_t len = strlen(self->box.name);

	EXPECT_STREQ(self->box.name, st.name);
	for (size_t i = len; i < sizeof(st.name); i++)
		EXPECT_EQ(0, st.name[i]);
	kt_poison(&info, sizeof(info));
	ASSERT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &info));
	EXPECT_GE(info.office_bytes, info.office_used);
	EXPECT_GE(info.office_sending_bytes, info.office_sending_used);

	/* the entry before the name is ours alone to ask for */
	memcpy(list.after, self->box.name, len);
	list.after[len - 1]--;
	kt_poison(entries, sizeof(entries));
	ASSERT_LE(1, kt_ioctl(kt_device(), KPOST_IOC_LIST, &list));
	st.rights = 0; /* of an endpoint, and a list has none */
	EXPECT_EQ(0, memcmp(&st, &entries[0], sizeof(st)));
	EXPECT_TRUE(kt_poisoned(&entries[2], sizeof(entries[2])));
}

TEST_F(isolation, unnamed_mailbox_tells_no_name)
{
	static const char zero[KPOST_NAME_MAX + 1];
	struct kpost_stat st;

	EXPECT_EQ(0, kt_unlink(self->box.name));
	st = kt_stat(self->box.fd);
	EXPECT_EQ(0, memcmp(zero, st.name, sizeof(zero)));
}

TEST_HARNESS_MAIN
