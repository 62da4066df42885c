// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mailboxes in the file system: open(2) gives an endpoint, mkfifo(2) makes a mailbox, and
 * what changes the file changes the mailbox.  Each test has an office of its own.
 */
#include "fs_test.h"
#include "uring_test.h"

#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

FIXTURE(fs) {
	struct stat st;
	char names[512];
	char buf[64];
};

FIXTURE_SETUP(fs)
{
	int err;

	if (geteuid() != 0)
		SKIP(return, "mounting needs root");
	err = fs_begin();
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(fs)
{
}

/* ---- endpoints ------------------------------------------------------------------ */

TEST_F(fs, opened_to_write_it_sends_and_opened_to_read_it_receives)
{
	struct kpost_setattr set = { .valid = KPOST_SET_MODE, .mode = 0666 };
	int in, out, both;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	out = fs_open("jobs", O_WRONLY);
	ASSERT_LE(0, out);
	EXPECT_EQ(-EBADF, kt_take(out, NULL, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, kt_send(out, "one", 3, 7, 0, 0));
	in = fs_open("jobs", O_RDONLY);
	ASSERT_LE(0, in);
	EXPECT_EQ(-EBADF, kt_post(in, "x", 1, 0));
	EXPECT_TRUE(kt_next_is(in, "one", 0));
	both = fs_open("jobs", O_RDWR | O_NONBLOCK | O_APPEND | O_TRUNC);
	ASSERT_LE(0, both);
	EXPECT_EQ(3, write(both, "two", 3));
	EXPECT_EQ(3, read(both, self->buf, sizeof(self->buf)));
	EXPECT_EQ(-1, read(both, self->buf, sizeof(self->buf)));
	EXPECT_EQ(EAGAIN, errno);
	/* none of them may what the owner may */
	EXPECT_EQ(-EPERM, kt_ioctl(in, KPOST_IOC_SETATTR, &set));
	EXPECT_EQ(-EPERM, kt_ioctl(both, KPOST_IOC_SETATTR, &set));
	EXPECT_EQ(2, kt_stat(in).receivers);
	EXPECT_EQ(2, kt_stat(in).senders);
	EXPECT_EQ(0, close(both));
	EXPECT_EQ(1, kt_stat(in).receivers);
	/* no way of opening that is none */
	EXPECT_EQ(-EINVAL, fs_open("jobs", O_ACCMODE));
	EXPECT_EQ(-EINVAL, fs_open("jobs", O_RDWR | O_DIRECT));
	EXPECT_EQ(-EACCES, execl(fs_path("jobs"), "jobs", NULL) ? -errno : 0);
}

/* it is no pipe and no regular file, and says so where it is asked */
TEST_F(fs, what_makes_no_sense_on_a_mailbox_is_refused)
{
	int fd;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	fd = fs_open("jobs", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kt_post(fd, "kept", 4, 0));
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, truncate(fs_path("jobs"), 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fallocate(fd, 0, 0, 1));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, fcntl(fd, F_SETPIPE_SZ, 4096));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(0, flock(fd, LOCK_EX));
	EXPECT_TRUE(kt_next_is(fd, "kept", 0));
}

TEST_F(fs, it_polls_and_works_through_io_uring_as_any_endpoint)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int in, out, epoll = epoll_create1(EPOLL_CLOEXEC);
	struct pollfd room;
	struct kpost_send send = kt_send_args("ring", 4, 0, 0, 0);
	struct io_uring ring;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	in = fs_open("jobs", O_RDONLY | O_NONBLOCK);
	out = fs_open("jobs", O_WRONLY | O_NONBLOCK);
	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(1, write(out, "a", 1));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, KT_SOON));
	EXPECT_TRUE(kt_next_is(in, "a", 0));
	room = (struct pollfd){ out, POLLOUT, 0 };
	EXPECT_EQ(1, poll(&room, 1, 0));
	EXPECT_EQ(POLLOUT, room.revents);
	if (uring_init(&ring, 8, 0))
		SKIP(return, "the kernel has no io_uring");
	EXPECT_EQ(0, uring_do(&ring, out, KPOST_IOC_SEND, &send));
	EXPECT_TRUE(kt_next_is(in, "ring", 0));
	io_uring_queue_exit(&ring);
	EXPECT_EQ(0, close(in));
	/* it stays: mkfifo made it so */
	EXPECT_EQ(0, kt_post(out, "b", 1, 0));
}

TEST_F(fs, a_descriptor_opens_again_and_another_endpoint_it_is)
{
	char path[64];
	int fd, again, device;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	fd = fs_open("jobs", O_RDONLY);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = fs_open_at(path, O_WRONLY);
	ASSERT_LE(0, again);
	EXPECT_EQ(0, kt_post(again, "x", 1, 0));
	EXPECT_TRUE(kt_next_is(fd, "x", 0));
	EXPECT_EQ(1, kt_stat(fd).senders);
	/* one of the device's has no path */
	device = kt_open("jobs", KPOST_RIGHT_SEND, 0);
	ASSERT_LE(0, device);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", device);
	EXPECT_EQ(-ENXIO, fs_open_at(path, O_WRONLY));
}

/* ---- names ---------------------------------------------------------------------- */

TEST_F(fs, mkfifo_makes_a_mailbox_that_stays_until_it_is_unlinked)
{
	struct kpost_stat st;
	int fd;

	EXPECT_EQ(-ENOENT, fs_open("jobs", O_WRONLY));
	umask(027);
	ASSERT_EQ(0, mkfifo(fs_path("jobs"), 0666));
	EXPECT_EQ(-1, mkfifo(fs_path("jobs"), 0666));
	EXPECT_EQ(EEXIST, errno);
	fd = kt_open("jobs", KT_ALL, 0);
	ASSERT_LE(0, fd);
	st = kt_stat(fd);
	EXPECT_EQ(KPOST_STAT_PERSIST, st.flags);
	EXPECT_EQ(0640, st.mode);
	EXPECT_EQ(0, st.uid);
	EXPECT_EQ(256, st.messages);
	EXPECT_EQ(0, kt_post(fd, "kept", 4, 0));
	EXPECT_EQ(0, close(fd));
	EXPECT_TRUE(fs_next_is(fs_path("jobs"), "kept"));
	fd = fs_open("jobs", O_WRONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fs_unlink("jobs"));
	EXPECT_EQ(-ENOENT, fs_unlink("jobs"));
	EXPECT_EQ(-EPIPE, kt_post(fd, "x", 1, 0));
	EXPECT_EQ(-ENOENT, fs_open("jobs", O_WRONLY));
	EXPECT_EQ(-ENOENT, kt_open("jobs", KPOST_RIGHT_SEND, 0));
}

TEST_F(fs, a_slip_of_the_pen_makes_no_mailbox)
{
	char longest[KPOST_NAME_MAX + 2];

	EXPECT_EQ(-1, open(fs_path("typo"), O_WRONLY | O_CREAT | O_TRUNC, 0666));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, open(fs_path("typo"), O_WRONLY | O_CREAT | O_EXCL, 0666));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, mknod(fs_path("typo"), S_IFREG | 0666, 0));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, mknod(fs_path("typo"), S_IFSOCK | 0666, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, mkdir(fs_path("typo"), 0777));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, symlink("x", fs_path("typo")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, fs_mkfifo("jobs", 0600));
	EXPECT_EQ(-1, link(fs_path("jobs"), fs_path("typo")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, rename(fs_path("jobs"), fs_path("typo")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-EINVAL, fs_mkfifo("line\nbreak", 0600));
	memset(longest, 'n', sizeof(longest));
	longest[KPOST_NAME_MAX + 1] = '\0';
	EXPECT_EQ(-ENAMETOOLONG, fs_mkfifo(longest, 0600));
	EXPECT_EQ(-ENAMETOOLONG, fs_open(longest, O_RDONLY));
	longest[KPOST_NAME_MAX] = '\0';
	EXPECT_EQ(0, fs_mkfifo(longest, 0600));
	EXPECT_EQ(0, fs_unlink(longest));
	EXPECT_EQ(1, fs_list(FS_DIR, self->names, sizeof(self->names)));
	EXPECT_STREQ(" jobs", self->names);
	/* and the directory is nobody's to change */
	EXPECT_EQ(-1, chmod(FS_DIR, 0700));
	EXPECT_EQ(EPERM, errno);
}

/* the same names by path and by the device, whoever made or unmade them */
TEST_F(fs, it_is_a_view_of_the_office)
{
	int fd, old;

	fd = kt_create("device", KT_ALL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fs_mkfifo("path", 0600));
	EXPECT_EQ(2, fs_list(FS_DIR, self->names, sizeof(self->names)));
	EXPECT_STREQ(" device path", self->names);
	EXPECT_EQ(0, fs_write(fs_path("device"), "hello"));
	EXPECT_TRUE(kt_next_is(fd, "hello", 0));
	EXPECT_EQ(-EEXIST, kt_create("path", KT_ALL));
	EXPECT_EQ(0, kt_unlink("path"));
	EXPECT_EQ(-ENOENT, fs_open("path", O_RDONLY));
	/* it dies with its last receiver */
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(-ENOENT, fs_open("device", O_WRONLY));
	EXPECT_EQ(0, fs_list(FS_DIR, self->names, sizeof(self->names)));
	/* the successor has the path at once */
	fd = kt_create("served", KT_ALL);
	old = fs_open("served", O_WRONLY);
	ASSERT_LE(0, old);
	fd = kt_open("served", KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EPIPE, kt_post(old, "x", 1, 0));
	EXPECT_EQ(0, fs_write(fs_path("served"), "new"));
	EXPECT_TRUE(kt_next_is(fd, "new", 0));
}

TEST_F(fs, who_waits_for_a_name_is_told_when_mkfifo_makes_it)
{
	struct kpost_open open = kt_open_args("late", KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
	struct kt_job job;

	open.deadline = kt_soon();
	kt_start(&job, kt_device(), KPOST_IOC_OPEN, &open);
	ASSERT_TRUE(kt_until(kt_asleep(job.tid)));
	ASSERT_EQ(0, fs_mkfifo("late", 0600));
	ASSERT_TRUE(kt_join(&job));
	EXPECT_LE(0, job.ret);
}

TEST_F(fs, what_was_unlinked_opens_by_what_holds_it_while_it_lives)
{
	char path[64];
	int held, fd;

	fd = kt_create("jobs", KT_ALL);
	ASSERT_LE(0, fd);
	held = fs_open("jobs", O_PATH);
	ASSERT_LE(0, held);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
	EXPECT_EQ(0, fs_unlink("jobs"));
	EXPECT_EQ(0, fs_try(path, O_WRONLY));
	EXPECT_EQ(0, fstat(held, &self->st));
	EXPECT_EQ(0, self->st.st_nlink);
	EXPECT_EQ(0, close(fd));
	/* nobody can receive from it any more, and there is no path to walk again */
	EXPECT_EQ(-ESTALE, fs_open_at(path, O_WRONLY));
	/* another of that name is another */
	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	EXPECT_EQ(-ESTALE, fs_open_at(path, O_WRONLY));
	EXPECT_EQ(0, fs_try(fs_path("jobs"), O_WRONLY));
}

/* its receiver was told of the end, and that is one */
TEST_F(fs, what_is_finished_has_no_new_senders)
{
	struct pollfd end = { .events = POLLIN | POLLRDHUP };
	char path[64];
	int held;

	end.fd = kt_create("jobs", KPOST_RIGHT_RECV);
	ASSERT_LE(0, end.fd);
	held = fs_open("jobs", O_PATH);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
	EXPECT_EQ(0, fs_try(path, O_WRONLY));
	EXPECT_EQ(0, fs_unlink("jobs"));
	ASSERT_EQ(1, poll(&end, 1, KT_SOON));
	EXPECT_EQ(-ESTALE, fs_open_at(path, O_WRONLY));
	EXPECT_EQ(-ESTALE, fs_open_at(path, O_RDWR));
	EXPECT_EQ(0, fs_try(path, O_RDONLY));
	EXPECT_EQ(0, read(end.fd, self->buf, sizeof(self->buf)));
}

static long names_come_and_go(void *arg)
{
	int *stop = arg;
	long made = 0;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		int fd = kt_create("storm", KPOST_RIGHT_RECV);

		if (fd < 0)
			return fd;
		close(fd);
		made++;
	}
	return made;
}

/* a name that dies again and again is there or is not, and nothing else */
TEST_F(fs, an_open_by_path_is_never_stale)
{
	uint64_t end = kt_in(3000);
	unsigned long opened = 0, missing = 0;
	int stop = 0, err = 0;
	struct kt_job job;

	kt_start_fn(&job, names_come_and_go, &stop);
	while (kt_now() < end || !opened || !missing) {
		err = fs_try(fs_path("storm"), O_WRONLY);
		if (err && err != -ENOENT)
			break;
		opened += !err;
		missing += err == -ENOENT;
		if (kt_now() > end + KT_SOON * KT_MS)
			break;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_LT(0, job.ret);
	EXPECT_TRUE(!err || err == -ENOENT);
	EXPECT_LT(0, opened);
	EXPECT_LT(0, missing);
	TH_LOG("opened %lu, missing %lu, made %ld", opened, missing, job.ret);
}

static long name_is_handed_on(void *arg)
{
	int *stop = arg, fd = kt_create("served", KPOST_RIGHT_RECV), next;
	long times = 0;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		next = kt_open("served", KPOST_RIGHT_RECV,
			       KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED);
		if (next < 0)
			return next;
		close(fd);
		fd = next;
		times++;
	}
	return times;
}

/* a name that is handed on is never missing */
TEST_F(fs, who_sends_finds_a_name_that_is_handed_on)
{
	unsigned long opened = 0;
	int stop = 0, err = 0;
	struct kt_job job;
	uint64_t end;

	kt_start_fn(&job, name_is_handed_on, &stop);
	ASSERT_TRUE(kt_until(fs_try(fs_path("served"), O_WRONLY) == 0));
	for (end = kt_in(3000); !err && kt_now() < end; opened += !err)
		err = fs_try(fs_path("served"), O_WRONLY);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, err);
	EXPECT_LT(0, job.ret);
	TH_LOG("opened %lu, handed on %ld times", opened, job.ret);
}

/* a mailbox with as much in it, without a receiver */
static int fill(const char *name)
{
	struct kpost_open open = kt_open_args(name, KPOST_RIGHT_SEND,
					      KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);
	struct kpost_send entries[1024];
	struct kpost_batch batch = {
		.flags = KPOST_DONTWAIT,
		.count = 1024,
		.entries = (uintptr_t)entries,
		.entry_size = sizeof(entries[0]),
	};
	unsigned int i;
	int fd;

	open.messages = 16 * 1024;
	fd = kt_do_open(&open);
	for (i = 0; i < 1024; i++)
		entries[i] = kt_send_args("x", 1, 0, 0, 0);
	for (i = 0; i < 16; i++) {
		if (kt_ioctl(fd, KPOST_IOC_SENDV, &batch) != 1024)
			return -EIO;
	}
	close(fd);
	return 0;
}

/* the fastest of three times that it takes to unlink such a mailbox, by path or by the device */
static uint64_t unlink_time(bool by_path)
{
	uint64_t best = UINT64_MAX, began;
	int try;

	for (try = 0; try < 3; try++) {
		if (fill("full"))
			return 0;
		began = kt_now();
		if (by_path ? fs_unlink("full") : kt_unlink("full"))
			return 0;
		began = kt_now() - began;
		best = began < best ? began : best;
	}
	return best;
}

/* the kernel locks the directory for that, so that what is dropped is dropped by others */
TEST_F(fs, unlink_does_not_take_as_long_as_what_is_in_the_mailbox)
{
	uint64_t device = unlink_time(false), path = unlink_time(true);

	EXPECT_LT(0, path);
	EXPECT_LT(4 * path, device);
	TH_LOG("by path %llu us, by the device %llu us", (unsigned long long)path / 1000,
	       (unsigned long long)device / 1000);
}

/* the events that have come, as " what:name" each */
static const char *events(int fd, char *text, size_t size)
{
	static const struct { uint32_t bit; const char *name; } kinds[] = {
		{ IN_CREATE, "create" }, { IN_DELETE, "delete" }, { IN_OPEN, "open" },
		{ IN_MODIFY, "modify" }, { IN_ACCESS, "access" }, { IN_CLOSE_WRITE, "close" },
		{ IN_CLOSE_NOWRITE, "close" }, { IN_DELETE_SELF, "self" },
	};
	char buf[4096] __attribute__((aligned(8)));
	ssize_t len = read(fd, buf, sizeof(buf)), at = 0;
	size_t used = 0, i;

	text[0] = '\0';
	while (at < len) {
		const struct inotify_event *event = (void *)(buf + at);

		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			if (event->mask & kinds[i].bit && used < size)
				used += (size_t)snprintf(text + used, size - used, " %s:%s",
							 kinds[i].name,
							 event->len ? event->name : "");
		}
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	return text;
}

/* ---- the directory -------------------------------------------------------------- */

TEST_F(fs, readdir_tells_each_name_once_while_others_come_and_go)
{
	unsigned int i, seen = 0, stays = 0;
	struct dirent *entry;
	char name[32];
	DIR *dir;

	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "n%03u", i);
		ASSERT_EQ(0, fs_mkfifo(name, 0600));
	}
	dir = opendir(FS_DIR);
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		EXPECT_EQ(entry->d_name[0] == '.' ? DT_DIR : DT_FIFO, entry->d_type);
		if (entry->d_name[0] != 'n')
			continue;
		seen++;
		/* every second goes, and one before it comes: neither is told again */
		if (seen % 2) {
			EXPECT_EQ(0, fs_unlink(entry->d_name));
		} else {
			stays++;
		}
		snprintf(name, sizeof(name), "a%03u", seen);
		EXPECT_EQ(0, fs_mkfifo(name, 0600));
	}
	EXPECT_EQ(200, seen);
	rewinddir(dir);
	for (i = 0; readdir(dir); i++)
		;
	EXPECT_EQ(2 + stays + 200, i);
	/* from a place that was told before */
	seekdir(dir, 4);
	for (i = 0; readdir(dir); i++)
		;
	EXPECT_EQ(2 + stays + 200 - 4, i);
	closedir(dir);
}

/* what the directory's OPEN asks others for is nobody's to see */
TEST_F(fs, its_directory_tells_who_watches_of_what_it_makes_only)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int dir = fs_open_at(FS_DIR, O_RDONLY | O_DIRECTORY);
	struct kpost_open open = kt_open_args("a", KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);

	ASSERT_LE(0, inotify_add_watch(watch, FS_DIR, IN_CREATE | IN_DELETE | IN_OPEN | IN_CLOSE));
	ASSERT_LE(0, kt_ioctl(dir, KPOST_IOC_OPEN, &open));
	EXPECT_EQ(-EEXIST, kt_ioctl(dir, KPOST_IOC_OPEN, &open));
	EXPECT_STREQ(" create:a", events(watch, self->names, sizeof(self->names)));
}

TEST_F(fs, its_directory_is_a_counter_for_what_files_do_not_say)
{
	struct kpost_open open_arg = kt_open_args("big", KT_ALL, KPOST_OPEN_CREATE);
	struct kpost_unlink unlink_arg = { .name = "big" };
	struct kpost_cancel cancel = { .cookie = 1 };
	struct kpost_info info = {}, other = {};
	struct kpost_stat st[4];
	struct kpost_list list = {
		.buf = (uintptr_t)st, .count = 4, .entry_size = sizeof(st[0]),
	};
	int dir = fs_open_at(FS_DIR, O_RDONLY | O_DIRECTORY), fd;

	ASSERT_LE(0, dir);
	open_arg.messages = 3;
	fd = (int)kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg);
	ASSERT_LE(0, fd);
	EXPECT_EQ(3, kt_stat(fd).messages);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(0, kt_ioctl(dir, KPOST_IOC_INFO, &info));
	EXPECT_EQ(0, kt_ioctl(kt_device(), KPOST_IOC_INFO, &other));
	EXPECT_EQ(0, memcmp(&info, &other, sizeof(info)));
	EXPECT_EQ(1, kt_ioctl(dir, KPOST_IOC_LIST, &list));
	EXPECT_STREQ("big", st[0].name);
	/* what is there is opened by path */
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	open_arg.flags = KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED;
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	open_arg.flags = KPOST_OPEN_CREATE | KPOST_OPEN_EXCL;
	EXPECT_EQ(-EEXIST, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	open_arg = kt_open_args("big", KPOST_RIGHT_SEND, 0);
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	open_arg.flags = KPOST_OPEN_WAIT;
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	open_arg = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS);
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	open_arg.flags = 1u << 31;
	EXPECT_EQ(-EINVAL, kt_ioctl(dir, KPOST_IOC_OPEN, &open_arg));
	EXPECT_EQ(-ENOTTY, kt_ioctl(dir, KPOST_IOC_CANCEL, &cancel));
	EXPECT_EQ(-ENOTTY, kt_ioctl(dir, KPOST_IOC_STAT, &st[0]));
	EXPECT_EQ(0, kt_ioctl(dir, KPOST_IOC_UNLINK, &unlink_arg));
	EXPECT_EQ(-ENOENT, kt_ioctl(dir, KPOST_IOC_UNLINK, &unlink_arg));
	EXPECT_EQ(0, kt_post(fd, "lives", 5, 0));
}

/* ---- what stat, chmod and chown say and do ------------------------------------------ */

TEST_F(fs, stat_tells_the_mailbox_as_it_is)
{
	struct statfs sfs;
	time_t now = time(NULL);
	int fd;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0640));
	fd = kt_open("jobs", KT_ALL, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kt_post(fd, "12345", 5, 0));
	ASSERT_EQ(0, stat(fs_path("jobs"), &self->st));
	EXPECT_EQ(S_IFIFO | 0640, self->st.st_mode);
	EXPECT_EQ(0, self->st.st_uid);
	EXPECT_EQ(1, self->st.st_nlink);
	EXPECT_EQ(5, self->st.st_size);
	/* whoever reads so much at once is never told that it is too little */
	EXPECT_LE(kt_stat(fd).message_max, self->st.st_blksize);
	EXPECT_LE(now - 2, self->st.st_mtim.tv_sec);
	EXPECT_GE(now + 60, self->st.st_mtim.tv_sec);
	EXPECT_LE(now - 2, self->st.st_ctim.tv_sec);
	EXPECT_LE(now - 2, self->st.st_atim.tv_sec);
	ASSERT_EQ(0, statfs(FS_DIR, &sfs));
	EXPECT_EQ(KPOST_SUPER_MAGIC, (unsigned long)sfs.f_type);
	EXPECT_EQ(KPOST_NAME_MAX, sfs.f_namelen);
}

TEST_F(fs, chmod_and_chown_change_the_mailbox_and_setattr_the_file)
{
	struct kpost_setattr set = {
		.valid = KPOST_SET_MODE | KPOST_SET_UID, .mode = 0600, .uid = 1002
	};
	struct kpost_stat st;
	int fd, path;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	fd = kt_open("jobs", KT_ALL, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, chmod(fs_path("jobs"), 06620));
	ASSERT_EQ(0, chown(fs_path("jobs"), 1001, 100));
	st = kt_stat(fd);
	EXPECT_EQ(0620, st.mode);
	EXPECT_EQ(1001, st.uid);
	EXPECT_EQ(100, st.gid);
	ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &set));
	ASSERT_EQ(0, stat(fs_path("jobs"), &self->st));
	EXPECT_EQ(S_IFIFO | 0600, self->st.st_mode);
	EXPECT_EQ(1002, self->st.st_uid);
	/* by descriptor as well, and after it has lost its name */
	path = fs_open("jobs", O_RDONLY);
	ASSERT_LE(0, path);
	EXPECT_EQ(0, fs_unlink("jobs"));
	EXPECT_EQ(0, fchmod(path, 0640));
	EXPECT_EQ(0640, kt_stat(fd).mode);
	EXPECT_EQ(1002, kt_stat(fd).uid);
}

TEST_F(fs, its_times_are_the_mailboxes_own)
{
	struct timespec past[2] = { { 1000, 0 }, { 1000, 0 } };

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	EXPECT_EQ(-1, utimensat(AT_FDCWD, fs_path("jobs"), past, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, utimensat(AT_FDCWD, fs_path("jobs"), NULL, 0));
}

static int opens_it_to_all(void *arg)
{
	int *stop = arg;

	CHECK_EQ(0, child_become(1001, 1001));
	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE))
		chmod(fs_path("jobs"), 0666);
	return 0;
}

/* who owned it may no more change it from when it is another's */
TEST_F(fs, a_mailbox_that_was_given_away_is_its_new_owners)
{
	struct kpost_setattr give = { .valid = KPOST_SET_UID | KPOST_SET_MODE, .uid = 1001,
				      .mode = 0600 };
	struct kpost_setattr take = { .valid = KPOST_SET_UID | KPOST_SET_MODE, .mode = 0600 };
	int *stop = kt_shared(sizeof(*stop)), fd;
	unsigned int opened = 0;
	uint64_t end;
	pid_t pid;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	fd = kt_open("jobs", KT_ALL, 0);
	ASSERT_LE(0, fd);
	pid = child_start(opens_it_to_all, stop);
	for (end = kt_in(3000); kt_now() < end;) {
		ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &give));
		opened += kt_until(kt_stat(fd).mode == 0666);
		ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &take));
		for (int i = 0; i < 20; i++)
			ASSERT_EQ(0600, kt_stat(fd).mode);
	}
	__atomic_store_n(stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, child_finish(pid, 60));
	EXPECT_LT(0, opened);
}

static long chmods(void *arg)
{
	mode_t mode = *(mode_t *)arg;
	unsigned int i;

	for (i = 0; i < 2000; i++) {
		if (chmod(fs_path("jobs"), mode))
			return -errno;
	}
	return 0;
}

/* each is done whole, and the last one stays */
TEST_F(fs, changes_by_path_and_by_the_device_at_once_lose_none)
{
	struct kpost_setattr set = { .valid = KPOST_SET_UID };
	mode_t mode = 0644;
	struct kt_job job;
	unsigned int i = 0;
	int fd;

	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	fd = kt_open("jobs", KT_ALL, 0);
	ASSERT_LE(0, fd);
	kt_start_fn(&job, chmods, &mode);
	while (!kt_done(&job)) {
		set.uid = i++ % 2000;
		ASSERT_EQ(0, kt_ioctl(fd, KPOST_IOC_SETATTR, &set));
		ASSERT_EQ(set.uid, kt_stat(fd).uid);
	}
	ASSERT_TRUE(kt_join(&job));
	EXPECT_EQ(0, job.ret);
	EXPECT_EQ(0644, kt_stat(fd).mode);
	EXPECT_EQ(set.uid, kt_stat(fd).uid);
}

/* ---- who may --------------------------------------------------------------------- */

static int another_user(void *arg)
{
	CHECK_EQ(0, child_become(1001, 1001));
	/* root's, 0620, of group 1001: send only */
	CHECK_EQ(0, fs_try(fs_path("jobs"), O_WRONLY));
	CHECK_EQ(-EACCES, fs_open("jobs", O_RDONLY));
	CHECK_EQ(-EACCES, fs_open("jobs", O_RDWR));
	CHECK_EQ(0, access(fs_path("jobs"), W_OK));
	CHECK_EQ(-1, access(fs_path("jobs"), R_OK));
	CHECK_EQ(-1, chmod(fs_path("jobs"), 0666));
	CHECK_EQ(EPERM, errno);
	CHECK_EQ(-1, chown(fs_path("jobs"), 1001, -1));
	CHECK_EQ(EPERM, errno);
	CHECK_EQ(-EPERM, fs_unlink("jobs"));
	/* its own */
	CHECK_EQ(0, fs_mkfifo("mine", 0600));
	CHECK_EQ(0, fs_try(fs_path("mine"), O_RDWR));
	CHECK_EQ(0, chmod(fs_path("mine"), 0400));
	CHECK_EQ(-EACCES, fs_open("mine", O_WRONLY));
	CHECK_EQ(-1, chown(fs_path("mine"), 1002, -1));
	CHECK_EQ(EPERM, errno);
	CHECK_EQ(0, fs_mkfifo("gone", 0600));
	CHECK_EQ(0, fs_unlink("gone"));
	return 0;
}

TEST_F(fs, the_mode_says_who_may_as_for_any_file)
{
	ASSERT_EQ(0, fs_mkfifo("jobs", 0620));
	ASSERT_EQ(0, chown(fs_path("jobs"), 0, 1001));
	ASSERT_EQ(0, child_run(another_user, NULL));
	ASSERT_EQ(0, stat(fs_path("mine"), &self->st));
	EXPECT_EQ(1001, self->st.st_uid);
	EXPECT_EQ(0, fs_unlink("mine"));
}

static int fills_its_share(void *arg)
{
	struct kpost_info info = {};
	unsigned int made, i;
	char name[32];
	int err;

	CHECK_EQ(0, child_become(1001, 1001));
	for (made = 0;; made++) {
		snprintf(name, sizeof(name), "mine%u", made);
		err = fs_mkfifo(name, 0600);
		if (err)
			break;
	}
	CHECK_EQ(-EDQUOT, err);
	CHECK(made > 100);
	CHECK_EQ(-ENOENT, fs_unlink(name));
	for (i = 0; i < made; i++) {
		snprintf(name, sizeof(name), "mine%u", i);
		CHECK_EQ(0, fs_unlink(name));
	}
	CHECK_EQ(0, kt_ioctl(kt_open_device(), KPOST_IOC_INFO, &info));
	CHECK_EQ(0, info.user_used);
	return 0;
}

/* what is made by path counts, as what is made by the device, and comes back */
TEST_F(fs, mkfifo_counts_against_its_users_share)
{
	EXPECT_EQ(0, child_run(fills_its_share, NULL));
}

/* a file server that acts for somebody */
static int acts_for_another(void *arg)
{
	CHECK_EQ(0, setfsuid(1001));
	CHECK_EQ(-EPERM, fs_unlink("jobs"));
	CHECK_EQ(-EPERM, fs_mkfifo("sys.theirs", 0600));
	CHECK_EQ(0, fs_mkfifo("theirs", 0600));
	CHECK_EQ(0, fs_unlink("theirs"));
	return 0;
}

TEST_F(fs, who_acts_for_a_user_by_path_may_what_that_user_may)
{
	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	EXPECT_EQ(0, child_run(acts_for_another, NULL));
}

/* access(2) of a set-uid program asks for who has started it */
static int set_uid_program(void *arg)
{
	CHECK_EQ(0, setresuid(1001, 0, 0));
	CHECK_EQ(-1, access(fs_path("jobs"), R_OK));
	CHECK_EQ(0, faccessat(AT_FDCWD, fs_path("jobs"), R_OK, AT_EACCESS));
	return 0;
}

TEST_F(fs, access_speaks_of_the_real_user)
{
	ASSERT_EQ(0, fs_mkfifo("jobs", 0600));
	EXPECT_EQ(0, child_run(set_uid_program, NULL));
}

static int set_sysctl(const char *name, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/net/kpost/%s", name);
	return child_write(path, value);
}

static int named_by_nobody(void *arg)
{
	struct kpost_open open = kt_open_args("sys.other", KT_ALL, KPOST_OPEN_CREATE);
	int dir = fs_open_at(FS_DIR, O_RDONLY | O_DIRECTORY);

	CHECK_EQ(0, child_become(1001, 1001));
	CHECK_EQ(-EPERM, fs_mkfifo("sys.other", 0600));
	CHECK_EQ(-EPERM, kt_ioctl(dir, KPOST_IOC_OPEN, &open));
	CHECK_EQ(-EEXIST, fs_mkfifo("sys.jobs", 0600));
	CHECK_EQ(0, fs_mkfifo("system", 0600));
	return 0;
}

TEST_F(fs, mkfifo_gives_reserved_names_for_root_only)
{
	ASSERT_EQ(0, fs_mkfifo("sys.jobs", 0600));
	EXPECT_EQ(0, child_run(named_by_nobody, NULL));
	EXPECT_EQ(2, fs_list(FS_DIR, self->names, sizeof(self->names)));
}

static int looks_around(void *arg)
{
	int watch = inotify_init1(IN_CLOEXEC);
	char names[512];
	struct stat st;
	long len;

	CHECK_EQ(0, child_become(1001, 1001));
	CHECK_EQ(0, fs_mkfifo("mine", 0600));
	CHECK_EQ(2, fs_list(FS_DIR, names, sizeof(names)));
	CHECK_EQ(0, strcmp(names, " mine open"));
	CHECK_EQ(0, stat(fs_path("secret"), &st));
	CHECK_EQ(S_IFIFO, st.st_mode);
	CHECK_EQ(65534, st.st_uid);
	CHECK_EQ(0, st.st_size);
	CHECK_EQ(0, st.st_mtim.tv_sec);
	CHECK_EQ(0, stat(fs_path("open"), &st));
	CHECK_EQ(0, st.st_uid);
	CHECK_EQ(0, access(FS_DIR, R_OK));
	CHECK_EQ(-1, inotify_add_watch(watch, FS_DIR, IN_CREATE | IN_DELETE));
	CHECK_EQ(EACCES, errno);
	CHECK(inotify_add_watch(watch, fs_path("mine"), IN_OPEN) >= 0);
	/* who opened the directory sees more, and what it passes on does too */
	len = syscall(SYS_getdents64, *(int *)arg, names, sizeof(names));
	CHECK(len > 0 && memmem(names, (size_t)len, "secret", 6));
	CHECK_EQ(0, fs_unlink("mine"));
	return 0;
}

TEST_F(fs, a_private_office_tells_by_path_too_only_of_what_one_could_open)
{
	int watch = inotify_init1(IN_CLOEXEC), dir = fs_open_at(FS_DIR, O_RDONLY | O_DIRECTORY);

	ASSERT_EQ(0, fs_mkfifo("secret", 0600));
	EXPECT_EQ(0, fs_write(fs_path("secret"), "12345"));
	ASSERT_EQ(0, fs_mkfifo("open", 0622));
	ASSERT_EQ(0, set_sysctl("private", "1"));
	EXPECT_EQ(0, child_run(looks_around, &dir));
	EXPECT_EQ(2, fs_list(FS_DIR, self->names, sizeof(self->names)));
	EXPECT_STREQ(" open secret", self->names);
	EXPECT_LE(0, inotify_add_watch(watch, FS_DIR, IN_CREATE | IN_DELETE));
	EXPECT_EQ(0, stat(fs_path("secret"), &self->st));
	ASSERT_EQ(0, set_sysctl("private", "0"));
}

/* ---- who watches ------------------------------------------------------------------ */

TEST_F(fs, inotify_tells_of_each_name_once_whoever_gave_it_or_took_it)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd, old;

	ASSERT_LE(0, inotify_add_watch(watch, FS_DIR, IN_CREATE | IN_DELETE));
	ASSERT_EQ(0, fs_mkfifo("a", 0600));
	ASSERT_EQ(0, fs_unlink("a"));
	EXPECT_STREQ(" create:a delete:a", events(watch, self->names, sizeof(self->names)));
	fd = kt_create("b", KT_ALL);
	ASSERT_LE(0, fd);
	EXPECT_STREQ(" create:b", events(watch, self->names, sizeof(self->names)));
	/* opened, and so not made */
	EXPECT_EQ(0, close(kt_open("b", KPOST_RIGHT_SEND, KPOST_OPEN_CREATE)));
	EXPECT_EQ(0, close(fd));
	EXPECT_STREQ(" delete:b", events(watch, self->names, sizeof(self->names)));
	fd = kt_create("c", KT_ALL);
	EXPECT_EQ(0, kt_unlink("c"));
	EXPECT_EQ(0, close(fd));
	EXPECT_STREQ(" create:c delete:c", events(watch, self->names, sizeof(self->names)));
	old = kt_create("d", KT_ALL);
	fd = kt_open("d", KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_SUCCEED);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, close(old));
	EXPECT_STREQ(" create:d delete:d create:d",
		     events(watch, self->names, sizeof(self->names)));
}

TEST_F(fs, inotify_tells_of_reads_and_writes_by_path)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd;

	ASSERT_EQ(0, fs_mkfifo("a", 0600));
	ASSERT_LE(0, inotify_add_watch(watch, fs_path("a"),
				       IN_OPEN | IN_MODIFY | IN_ACCESS | IN_CLOSE |
				       IN_DELETE_SELF));
	fd = fs_open("a", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, write(fd, "x", 1));
	EXPECT_EQ(1, read(fd, self->buf, sizeof(self->buf)));
	EXPECT_EQ(0, close(fd));
	EXPECT_STREQ(" open: modify: access: close:",
		     events(watch, self->names, sizeof(self->names)));
	EXPECT_EQ(0, fs_unlink("a"));
	EXPECT_STREQ(" self:", events(watch, self->names, sizeof(self->names)));
	/* and of its end by other means */
	fd = kt_create("b", KPOST_RIGHT_RECV);
	ASSERT_LE(0, inotify_add_watch(watch, fs_path("b"), IN_DELETE_SELF));
	EXPECT_EQ(0, close(fd));
	EXPECT_STREQ(" self:", events(watch, self->names, sizeof(self->names)));
}

TEST_HARNESS_MAIN
