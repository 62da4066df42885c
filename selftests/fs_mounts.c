// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mailboxes in the file system, as others see them: through bind mounts and mounts that map
 * owners, from other namespaces, read-only, and under Landlock.
 */
#include "fs_test.h"

#include <linux/landlock.h>
#include <sys/mount.h>

#define OTHER_DIR "/tmp/kpost-other"

FIXTURE(fs_mounts) {
	struct stat st;
	char names[512];
};

FIXTURE_SETUP(fs_mounts)
{
	int err;

	if (geteuid() != 0)
		SKIP(return, "mounting needs root");
	err = fs_begin();
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(fs_mounts)
{
}

/* OPEN with CREATE, or UNLINK, by the directory; 0 or -errno */
static int make_by_ioctl(const char *path, const char *name)
{
	struct kpost_open open = kt_open_args(name, KT_ALL, KPOST_OPEN_CREATE);
	int dir = fs_open_at(path, O_RDONLY | O_DIRECTORY), fd;

	if (dir < 0)
		return dir;
	fd = (int)kt_ioctl(dir, KPOST_IOC_OPEN, &open);
	close(dir);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int unlink_by_ioctl(const char *path, const char *name)
{
	struct kpost_unlink unlink = {};
	int dir = fs_open_at(path, O_RDONLY | O_DIRECTORY), err;

	if (dir < 0)
		return dir;
	memcpy(unlink.name, name, strlen(name));
	err = (int)kt_ioctl(dir, KPOST_IOC_UNLINK, &unlink);
	close(dir);
	return err;
}

/* ---- namespaces ------------------------------------------------------------------- */

static int sends_from_elsewhere(void *arg)
{
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(0, fs_write(fs_path("jobs"), "from elsewhere"));
	/* a mount of its own is its own office, in which there is nothing */
	CHECK_EQ(0, fs_mount_at(OTHER_DIR));
	CHECK_EQ(-ENOENT, fs_open_at(OTHER_DIR "/jobs", O_WRONLY));
	return 0;
}

TEST_F(fs_mounts, two_network_namespaces_share_a_mailbox_by_its_path)
{
	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	EXPECT_EQ(0, child_run(sends_from_elsewhere, NULL));
	EXPECT_TRUE(fs_next_is(fs_path("jobs"), "from elsewhere"));
}

/* a user namespace that knows nobody but its maker */
static int mounts_without_root(void *arg)
{
	CHECK_EQ(0, child_become(1001, 1001));
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(1001, 1001));
	CHECK_EQ(0, unshare(CLONE_NEWNS | CLONE_NEWNET));
	CHECK_EQ(0, mount("kpost", OTHER_DIR, "kpost", 0, NULL) ? -errno : 0);
	CHECK_EQ(0, mkfifo(OTHER_DIR "/mine", 0600) ? -errno : 0);
	CHECK_EQ(0, make_by_ioctl(OTHER_DIR, "other"));
	CHECK_EQ(0, fs_write(OTHER_DIR "/mine", "hello"));
	CHECK_EQ(0, unlink(OTHER_DIR "/mine") ? -errno : 0);
	return 0;
}

TEST_F(fs_mounts, an_office_without_a_root_has_files_too)
{
	ASSERT_EQ(0, mkdir(OTHER_DIR, 0755));
	EXPECT_EQ(0, child_run(mounts_without_root, NULL));
}

static int mounts_as_nobody(void *arg)
{
	char names[64];

	CHECK_EQ(0, child_become(1001, 1001));
	CHECK_EQ(-1, mount("kpost", OTHER_DIR, "kpost", 0, NULL));
	CHECK_EQ(EPERM, errno);
	/* root of a user namespace is not root of the network namespace that it came from */
	prctl(PR_SET_DUMPABLE, 1);
	CHECK_EQ(0, child_unshare_user(0, 0));
	CHECK_EQ(0, unshare(CLONE_NEWNS));
	CHECK_EQ(-1, mount("kpost", OTHER_DIR, "kpost", 0, NULL));
	CHECK_EQ(EPERM, errno);
	/* its own it may mount */
	CHECK_EQ(0, unshare(CLONE_NEWNET));
	CHECK_EQ(0, mount("kpost", OTHER_DIR, "kpost", 0, NULL) ? -errno : 0);
	CHECK_EQ(0, fs_list(OTHER_DIR, names, sizeof(names)));
	CHECK_EQ(0, mkfifo(OTHER_DIR "/mine", 0600) ? -errno : 0);
	CHECK_EQ(0, fs_write(OTHER_DIR "/mine", "hello"));
	CHECK(fs_next_is(OTHER_DIR "/mine", "hello"));
	return 0;
}

TEST_F(fs_mounts, who_is_root_of_a_network_namespace_mounts_its_office)
{
	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	ASSERT_EQ(0, mkdir(OTHER_DIR, 0755));
	EXPECT_EQ(0, child_run(mounts_as_nobody, NULL));
}

TEST_F(fs_mounts, all_mounts_of_one_network_namespace_are_one_file_system)
{
	struct stat other;

	ASSERT_EQ(0, fs_mount_at(OTHER_DIR));
	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	ASSERT_EQ(0, stat(fs_path("jobs"), &self->st));
	ASSERT_EQ(0, stat(OTHER_DIR "/jobs", &other));
	EXPECT_EQ(self->st.st_dev, other.st_dev);
	EXPECT_EQ(self->st.st_ino, other.st_ino);
	ASSERT_EQ(0, umount(FS_DIR));
	EXPECT_EQ(0, fs_try(OTHER_DIR "/jobs", O_WRONLY));
	ASSERT_EQ(0, umount(OTHER_DIR));
	/* the office goes on without */
	EXPECT_LE(0, kt_open("jobs", KPOST_RIGHT_SEND, 0));
	ASSERT_EQ(0, fs_mount_at(FS_DIR));
	EXPECT_EQ(0, fs_unlink("jobs"));
}

static int leaves_a_mount(void *arg)
{
	CHECK_EQ(0, fs_unshare(CLONE_NEWNET));
	CHECK_EQ(0, fs_mount_at(FS_DIR));
	CHECK_EQ(0, fs_mkfifo("jobs", 0600));
	CHECK(fs_open("jobs", O_RDWR) >= 0);
	return 0;
}

/* the mount goes with its namespaces, and what is in the office with it */
TEST_F(fs_mounts, namespaces_that_end_take_mount_and_office_along)
{
	unsigned int i;

	for (i = 0; i < 5; i++)
		EXPECT_EQ(0, child_run(leaves_a_mount, NULL));
}

/* ---- binds ------------------------------------------------------------------------ */

TEST_F(fs_mounts, a_bound_mailbox_goes_on_without_its_daemon_and_its_directory)
{
	int fd;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	ASSERT_EQ(0, close(open("/tmp/bound", O_WRONLY | O_CREAT, 0600)));
	ASSERT_EQ(0, mount(fs_path("jobs"), "/tmp/bound", NULL, MS_BIND, NULL));
	fd = fs_open("jobs", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fs_write("/tmp/bound", "one"));
	EXPECT_TRUE(kt_next_is(fd, "one", 0));
	/* the daemon restarts */
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(0, fs_write("/tmp/bound", "two"));
	EXPECT_TRUE(fs_next_is(fs_path("jobs"), "two"));
	ASSERT_EQ(0, umount(FS_DIR));
	EXPECT_EQ(0, fs_write("/tmp/bound", "three"));
	EXPECT_TRUE(fs_next_is("/tmp/bound", "three"));
	/* it is bound to that mailbox, and not to its name */
	ASSERT_EQ(0, kt_unlink("jobs"));
	fd = kt_create("jobs", KT_ALL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ESTALE, fs_write("/tmp/bound", "four"));
	ASSERT_EQ(0, stat("/tmp/bound", &self->st));
	EXPECT_EQ(0, self->st.st_nlink);
	EXPECT_EQ(0, umount("/tmp/bound"));
}

TEST_F(fs_mounts, through_a_read_only_mount_names_stay_and_messages_go)
{
	ASSERT_EQ(0, fs_mkfifo("jobs", 0666));
	ASSERT_EQ(0, mkdir(OTHER_DIR, 0755));
	ASSERT_EQ(0, mount(FS_DIR, OTHER_DIR, NULL, MS_BIND, NULL));
	ASSERT_EQ(0, mount(NULL, OTHER_DIR, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(-1, mkfifo(OTHER_DIR "/new", 0600));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, unlink(OTHER_DIR "/jobs"));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, chmod(OTHER_DIR "/jobs", 0600));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, chown(OTHER_DIR "/jobs", 1001, 1001));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-EROFS, make_by_ioctl(OTHER_DIR, "new"));
	EXPECT_EQ(-EROFS, unlink_by_ioctl(OTHER_DIR, "jobs"));
	EXPECT_EQ(-EROFS, make_by_ioctl(OTHER_DIR, "jobs"));
	EXPECT_EQ(0, fs_write(OTHER_DIR "/jobs", "hello"));
	EXPECT_TRUE(fs_next_is(OTHER_DIR "/jobs", "hello"));
	/* where it is not read-only that goes */
	EXPECT_EQ(0, make_by_ioctl(FS_DIR, "new"));
	EXPECT_EQ(0, unlink_by_ioctl(FS_DIR, "jobs"));
}

/* ---- mounts that map owners --------------------------------------------------------- */

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

/* for a map by which 1000 is shown as 2000, and root as it is, whose the directory is */
static int sleeps_in_a_map(void *arg)
{
	int *sock = arg;

	if (unshare(CLONE_NEWUSER) || tell(sock[1]))
		return 1;
	is_told(sock[1]);
	return 0;
}

static int map_owners(const char *from, const char *to)
{
	struct {
		uint64_t set, clear, propagation, userns;
	} attr = { .set = MOUNT_ATTR_IDMAP };
	int sock[2], tree, err = 0;
	char path[64];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		return -errno;
	pid = child_start(sleeps_in_a_map, sock);
	if (!is_told(sock[0]))
		return -ECHILD;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	err = child_write(path, "0 0 1\n1000 2000 1");
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	err = err ?: child_write(path, "0 0 1\n1000 2000 1");
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	attr.userns = (uint64_t)open(path, O_RDONLY | O_CLOEXEC);
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
	if (!err && (tree < 0 ||
		     syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) ||
		     syscall(SYS_move_mount, tree, "", AT_FDCWD, to, 4 /* F_EMPTY_PATH */)))
		err = -errno;
	tell(sock[0]);
	child_finish(pid, 60);
	close((int)attr.userns);
	close(tree);
	close(sock[0]);
	close(sock[1]);
	return err;
}

static int mapped_user(void *arg)
{
	CHECK_EQ(0, child_become(2000, 2000));
	CHECK_EQ(0, fs_try(OTHER_DIR "/jobs", O_RDWR));
	CHECK_EQ(0, mkfifo(OTHER_DIR "/mine", 0600) ? -errno : 0);
	CHECK_EQ(0, chmod(OTHER_DIR "/mine", 0640) ? -errno : 0);
	/* who may take a name away is asked without the map */
	CHECK_EQ(-1, unlink(OTHER_DIR "/mine"));
	CHECK_EQ(EPERM, errno);
	CHECK_EQ(-ENOTTY, make_by_ioctl(OTHER_DIR, "new"));
	CHECK_EQ(-ENOTTY, unlink_by_ioctl(OTHER_DIR, "mine"));
	return 0;
}

static int owner_through_the_map(void *arg)
{
	CHECK_EQ(0, child_become(1000, 1000));
	CHECK_EQ(-EACCES, fs_open_at(OTHER_DIR "/jobs", O_RDWR));
	CHECK_EQ(-1, mkfifo(OTHER_DIR "/other", 0600));
	CHECK_EQ(EOVERFLOW, errno);
	CHECK_EQ(0, fs_try(fs_path("jobs"), O_RDWR));
	return 0;
}

TEST_F(fs_mounts, a_mount_that_maps_owners_maps_those_of_mailboxes)
{
	int err;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	ASSERT_EQ(0, chown(fs_path("jobs"), 1000, 1000));
	ASSERT_EQ(0, mkdir(OTHER_DIR, 0755));
	err = map_owners(FS_DIR, OTHER_DIR);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, stat(OTHER_DIR "/jobs", &self->st));
	EXPECT_EQ(2000, self->st.st_uid);
	EXPECT_EQ(0, child_run(mapped_user, NULL));
	ASSERT_EQ(0, stat(fs_path("mine"), &self->st));
	EXPECT_EQ(1000, self->st.st_uid);
	EXPECT_EQ(0640, self->st.st_mode & 0777);
	EXPECT_EQ(0, child_run(owner_through_the_map, NULL));
}

/* ---- Landlock ---------------------------------------------------------------------- */

static int landlock_add(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = access,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	int err = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) ?
			  -errno : 0;

	close(beneath.parent_fd);
	return err;
}

/* one may be written to, the directory may be read if @dir, and that is all; 0 or -errno */
static int landlock_begin(const char *writes, const char *dir)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = (1ull << 13) - 1 };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), err;

	if (rules < 0)
		return -errno;
	err = landlock_add(rules, writes, LANDLOCK_ACCESS_FS_WRITE_FILE);
	if (!err && dir)
		err = landlock_add(rules, dir, LANDLOCK_ACCESS_FS_READ_DIR);
	if (!err && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		     syscall(SYS_landlock_restrict_self, rules, 0)))
		err = -errno;
	close(rules);
	return err;
}

static int under_landlock(void *arg)
{
	bool reads_directory = *(bool *)arg;
	char names[64];
	int err = landlock_begin(fs_path("jobs"), reads_directory ? FS_DIR : NULL);

	if (err == -ENOSYS || err == -EOPNOTSUPP)
		return CHILD_SKIPPED;
	CHECK_EQ(0, err);
	CHECK_EQ(0, fs_write(fs_path("jobs"), "hello"));
	CHECK_EQ(-EACCES, fs_open("jobs", O_RDONLY));
	CHECK_EQ(-EACCES, fs_open("jobs", O_RDWR));
	CHECK_EQ(-EACCES, fs_open("other", O_WRONLY));
	CHECK_EQ(-EACCES, fs_mkfifo("new", 0600));
	CHECK_EQ(-EACCES, fs_unlink("jobs"));
	CHECK_EQ(-EACCES, fs_open_at(KT_DEVICE, O_RDWR));
	/* what the directory can be asked for is no way round */
	CHECK_EQ(-EACCES, make_by_ioctl(FS_DIR, "new"));
	CHECK_EQ(-EACCES, unlink_by_ioctl(FS_DIR, "other"));
	if (!reads_directory) {
		CHECK_EQ(-EACCES, fs_list(FS_DIR, names, sizeof(names)));
		return 0;
	}
	CHECK_EQ(2, fs_list(FS_DIR, names, sizeof(names)));
	CHECK_EQ(-EACCES, make_by_ioctl(FS_DIR, "jobs"));
	return 0;
}

/* may make and remove names, and read the directory, but open nothing */
static int makes_under_landlock(void *arg)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = (1ull << 13) - 1 };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	struct kpost_open open = kt_open_args("new", KPOST_RIGHT_RECV, KPOST_OPEN_CREATE);
	int dir;

	if (rules < 0)
		return CHILD_SKIPPED;
	CHECK_EQ(0, landlock_add(rules, FS_DIR,
				 LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				 LANDLOCK_ACCESS_FS_REMOVE_FILE));
	CHECK_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_EQ(0, syscall(SYS_landlock_restrict_self, rules, 0));
	CHECK_EQ(0, fs_mkfifo("made", 0600));
	CHECK_EQ(-EACCES, fs_open("made", O_RDONLY));
	dir = fs_open_at(FS_DIR, O_RDONLY | O_DIRECTORY);
	CHECK_EQ(-EACCES, kt_ioctl(dir, KPOST_IOC_OPEN, &open));
	open.rights = KPOST_RIGHT_SEND;
	CHECK_EQ(-EACCES, kt_ioctl(dir, KPOST_IOC_OPEN, &open));
	CHECK_EQ(-ENOENT, fs_unlink("new"));
	open.rights = KPOST_RIGHT_ADMIN;
	CHECK(kt_ioctl(dir, KPOST_IOC_OPEN, &open) >= 0);
	CHECK_EQ(0, unlink_by_ioctl(FS_DIR, "made"));
	return 0;
}

TEST_F(fs_mounts, under_landlock_who_makes_a_mailbox_may_open_it_as_by_path)
{
	int status = child_run(makes_under_landlock, NULL);

	if (status == CHILD_SKIPPED)
		SKIP(return, "the kernel has no Landlock, or does not use it");
	EXPECT_EQ(0, status);
}

TEST_F(fs_mounts, under_a_landlock_rule_for_one_mailbox_all_else_is_refused)
{
	bool reads_directory;
	int status;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0666));
	ASSERT_EQ(0, fs_mkfifo("other", 0666));
	for (reads_directory = false;; reads_directory = true) {
		status = child_run(under_landlock, &reads_directory);
		if (status == CHILD_SKIPPED)
			SKIP(return, "the kernel has no Landlock, or does not use it");
		EXPECT_EQ(0, status);
		EXPECT_TRUE(fs_next_is(fs_path("jobs"), "hello"));
		if (reads_directory)
			break;
	}
	EXPECT_EQ(2, fs_list(FS_DIR, self->names, sizeof(self->names)));
	EXPECT_STREQ(" jobs other", self->names);
}

TEST_HARNESS_MAIN
