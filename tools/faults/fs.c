// SPDX-License-Identifier: GPL-2.0-only
/*
 * The office as a directory: mounts, names, and mailboxes by path.  Such trials have a mount
 * namespace of their own, and most of them kpost in FS_DIR there.
 */
#include "faults.h"

#include "../../selftests/fs_test.h"

#include <sys/inotify.h>
#include <sys/vfs.h>

/* Before privileges are dropped.  Returns 0 or -errno. */
int fs_stage(enum mounts mounts)
{
	int err;

	if (mounts == NO_MOUNTS)
		return 0;
	err = fs_unshare(0);
	if (!err && mkdir(OTHER_DIR, 0755))
		err = -errno;
	if (!err && mounts == MOUNTED)
		err = fs_mount_at(FS_DIR);
	return err;
}

static bool mounted(const char *dir)
{
	struct statfs st;

	return !statfs(dir, &st) && (unsigned long)st.f_type == KPOST_SUPER_MAGIC;
}

/* A mailbox that nobody has open. */
static void make_other(struct stage *stage)
{
	int fd = kt_open(stage->other, KT_ALL, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);

	must(stage, fd >= 0 && close(fd) == 0);
}

static bool other_exists(struct stage *stage)
{
	int fd = kt_open(stage->other, KPOST_RIGHT_SEND, 0);

	if (fd >= 0)
		close(fd);
	return fd != -ENOENT;
}

static void check_the_same(struct stage *stage)
{
	stage_snapshot(stage, &stage->after);
	must(stage, !memcmp(&stage->before, &stage->after, sizeof(stage->before)));
}

/* ---- mounts ---- */

static long call_mount(struct stage *stage)
{
	return faulty(stage, mount("kpost", OTHER_DIR, "kpost", 0, NULL));
}

static bool changed_mount(struct stage *stage, long ret)
{
	(void)ret;
	must(stage, !mounted(OTHER_DIR));
	return false;
}

static void check_mount(struct stage *stage)
{
	char path[sizeof(OTHER_DIR) + KT_NAME_SIZE];

	snprintf(path, sizeof(path), OTHER_DIR "/%s", stage->name);
	must(stage, mounted(OTHER_DIR) && fs_try(path, O_WRONLY) == 0);
	must(stage, umount(OTHER_DIR) == 0);
}

/* The same in the steps that it has; what there is after one that failed is closed. */
static long mount_in_steps(void)
{
	int fs = fsopen("kpost", FSOPEN_CLOEXEC), dir = -1, err;

	if (fs < 0)
		return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		dir = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	err = errno;
	close(fs);
	errno = err;
	return dir;
}

static long call_steps(struct stage *stage)
{
	return faulty(stage, mount_in_steps());
}

static void check_steps(struct stage *stage)
{
	must(stage, faccessat((int)stage->ret, stage->name, R_OK, 0) == 0);
	must(stage, close((int)stage->ret) == 0);
	check_the_same(stage);
}

static void prepare_umount(struct stage *stage)
{
	must(stage, mount("kpost", OTHER_DIR, "kpost", 0, NULL) == 0);
}

static long call_umount(struct stage *stage)
{
	return faulty(stage, umount(OTHER_DIR));
}

static bool changed_umount(struct stage *stage, long ret)
{
	(void)ret;
	must(stage, mounted(OTHER_DIR));
	return false;
}

static void check_umount(struct stage *stage)
{
	must(stage, !mounted(OTHER_DIR));
}

/* ---- open ---- */

static long call_open_receives(struct stage *stage)
{
	return faulty(stage, open(fs_path(stage->name), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

static void check_open_receives(struct stage *stage)
{
	char byte;

	must(stage, kt_stat(stage->fds[0]).receivers == 2);
	must(stage, kt_post(stage->fds[1], "x", 1, 0) == 0);
	must(stage, read((int)stage->ret, &byte, 1) == 1 && byte == 'x');
	must(stage, close((int)stage->ret) == 0);
	must(stage, kt_stat(stage->fds[0]).receivers == 1);
}

static long call_open_sends(struct stage *stage)
{
	return faulty(stage, open(fs_path(stage->name), O_WRONLY | O_CLOEXEC));
}

static void check_open_sends(struct stage *stage)
{
	char byte;

	must(stage, kt_stat(stage->fds[0]).senders == 2);
	must(stage, write((int)stage->ret, "x", 1) == 1);
	must(stage, kt_take(stage->fds[0], NULL, &byte, 1) == 1);
	must(stage, close((int)stage->ret) == 0);
	must(stage, kt_stat(stage->fds[0]).senders == 1);
}

/* By what holds the file, and not by its path: there is no look-up. */
static void prepare_reopen(struct stage *stage)
{
	stage->fd = open(fs_path(stage->name), O_PATH | O_CLOEXEC);
	must(stage, stage->fd >= 0);
}

static long call_reopen(struct stage *stage)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", stage->fd);
	return faulty(stage, open(path, O_WRONLY | O_CLOEXEC));
}

static void check_reopen(struct stage *stage)
{
	check_open_sends(stage);
	must(stage, close(stage->fd) == 0);
}

static long call_open_missing(struct stage *stage)
{
	return faulty(stage, open(fs_path(stage->other), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void check_missing(struct stage *stage)
{
	must(stage, stage->ret == -ENOENT);
	check_the_same(stage);
}

/* ---- names ---- */

static long call_mkfifo(struct stage *stage)
{
	return faulty(stage, mkfifo(fs_path(stage->other), 0600));
}

static void check_mkfifo(struct stage *stage)
{
	must(stage, fs_write(fs_path(stage->other), "made") == 0);
	must(stage, fs_next_is(fs_path(stage->other), "made"));
	must(stage, fs_unlink(stage->other) == 0);
	check_the_same(stage);
}

static long call_unlink(struct stage *stage)
{
	return faulty(stage, unlink(fs_path(stage->other)));
}

static bool changed_unlink(struct stage *stage, long ret)
{
	(void)ret;
	must(stage, other_exists(stage));
	return false;
}

static void check_unlink(struct stage *stage)
{
	must(stage, !other_exists(stage));
	must(stage, fs_open(stage->other, O_RDONLY) == -ENOENT);
}

/* Who watches the directory is told, or that it has missed something. */
static void prepare_watched(struct stage *stage)
{
	stage->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	must(stage, inotify_add_watch(stage->fd, FS_DIR, IN_CREATE | IN_DELETE) >= 0);
	stage->args.open = kt_open_args(stage->other, KT_ALL, KPOST_OPEN_CREATE);
}

static long call_watched(struct stage *stage)
{
	return stage_device(stage, KPOST_IOC_OPEN, &stage->args.open);
}

static uint32_t next_event(int fd)
{
	char buf[sizeof(struct inotify_event) + KT_NAME_SIZE]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event = (struct inotify_event *)buf;

	return read(fd, buf, sizeof(buf)) > 0 ? event->mask : 0;
}

static void check_watched(struct stage *stage)
{
	uint32_t event = next_event(stage->fd);

	must(stage, event == IN_CREATE || (stage->fault.injected && event == IN_Q_OVERFLOW));
	must(stage, close((int)stage->ret) == 0);
	must(stage, next_event(stage->fd) == IN_DELETE);
	must(stage, close(stage->fd) == 0);
}

/* ---- attributes ---- */

static long call_chmod(struct stage *stage)
{
	return faulty(stage, chmod(fs_path(stage->name), 0640));
}

static void check_chmod(struct stage *stage)
{
	must(stage, kt_stat(stage->fds[0]).mode == 0640);
	must(stage, chmod(fs_path(stage->name), 0600) == 0);
	check_the_same(stage);
}

static void prepare_stat(struct stage *stage)
{
	must(stage, kt_post(stage->fds[1], "12345", 5, 0) == 0);
}

static long call_stat(struct stage *stage)
{
	return faulty(stage, stat(fs_path(stage->name), (struct stat *)stage->buffer));
}

static void check_stat(struct stage *stage)
{
	const struct stat *st = (struct stat *)stage->buffer;
	char buf[8];

	must(stage, st->st_mode == (S_IFIFO | 0600) && st->st_size == 5);
	must(stage, kt_take(stage->fds[0], NULL, buf, sizeof(buf)) == 5);
}

/* ---- the directory ---- */

static long read_dir(char *buffer)
{
	int dir = open(FS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	long len, done = 0;

	if (dir < 0)
		return -1;
	do {
		len = syscall(SYS_getdents64, dir, buffer + done, PAYLOAD_MAX - done);
		done += len;
	} while (len > 0);
	err = errno;
	close(dir);
	errno = err;
	return len < 0 ? -1 : done;
}

static long call_readdir(struct stage *stage)
{
	return faulty(stage, read_dir(stage->buffer));
}

static void check_readdir(struct stage *stage)
{
	unsigned int entries = 0;
	bool found = false;
	long at = 0;

	while (at < stage->ret) {
		const struct dirent64 *entry = (struct dirent64 *)(stage->buffer + at);

		found |= !strcmp(entry->d_name, stage->name) && entry->d_type == DT_FIFO;
		entries++;
		at += entry->d_reclen;
	}
	must(stage, found && entries == 2 + stage->before.names);
}

static void open_dir(struct stage *stage)
{
	stage->fd = open(FS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(stage, stage->fd >= 0);
}

static void prepare_dir_create(struct stage *stage)
{
	open_dir(stage);
	stage->args.open = kt_open_args(stage->other, KT_ALL, KPOST_OPEN_CREATE);
}

static long call_dir_create(struct stage *stage)
{
	return faulty(stage, ioctl(stage->fd, KPOST_IOC_OPEN, &stage->args.open));
}

static void check_dir_create(struct stage *stage)
{
	must(stage, fs_write(fs_path(stage->other), "made") == 0);
	must(stage, kt_next_is((int)stage->ret, "made", 0));
	must(stage, close((int)stage->ret) == 0);
	check_the_same(stage);
	must(stage, close(stage->fd) == 0);
}

static void prepare_dir_unlink(struct stage *stage)
{
	open_dir(stage);
	make_other(stage);
	strcpy(stage->args.unlink.name, stage->other);
}

static long call_dir_unlink(struct stage *stage)
{
	return faulty(stage, ioctl(stage->fd, KPOST_IOC_UNLINK, &stage->args.unlink));
}

static void check_dir_unlink(struct stage *stage)
{
	check_unlink(stage);
	must(stage, close(stage->fd) == 0);
}

static void prepare_dir_list(struct stage *stage)
{
	open_dir(stage);
	stage->args.list = (struct kpost_list){
		.buf = (uintptr_t)stage->buffer,
		.count = 8,
		.entry_size = sizeof(struct kpost_stat),
	};
}

static long call_dir_list(struct stage *stage)
{
	return faulty(stage, ioctl(stage->fd, KPOST_IOC_LIST, &stage->args.list));
}

static void check_dir_list(struct stage *stage)
{
	const struct kpost_stat *first = (struct kpost_stat *)stage->buffer;

	must(stage, stage->ret == stage->before.names && !strcmp(first->name, stage->name));
	must(stage, close(stage->fd) == 0);
}

/* The path is copied, and walked, by the kernel. */
#define BY_PATH(mounts_, ...) \
	.routes = IOCTL, .mounts = (mounts_), .errnos = { __VA_ARGS__ }, \
	.elsewhere = { ENOMEM, EFAULT }

const struct trial fs_trials[] = {
	{
		.name = "mount",
		BY_PATH(APART, ENOMEM),
		.root = true,
		.call = call_mount,
		.check = check_mount,
		.changed = changed_mount,
	},
	{
		.name = "mount, again",
		BY_PATH(MOUNTED),
		.root = true,
		.call = call_mount,
		.check = check_mount,
		.changed = changed_mount,
	},
	{
		.name = "fsopen, fsmount",
		BY_PATH(APART, ENOMEM),
		.root = true,
		.call = call_steps,
		.check = check_steps,
	},
	{
		.name = "umount",
		BY_PATH(APART),
		.root = true,
		.prepare = prepare_umount,
		.call = call_umount,
		.check = check_umount,
		.changed = changed_umount,
	},
	{
		.name = "open by path, to receive",
		BY_PATH(MOUNTED, ENOMEM),
		.call = call_open_receives,
		.check = check_open_receives,
	},
	{
		.name = "open by path, to send",
		BY_PATH(MOUNTED, ENOMEM),
		.call = call_open_sends,
		.check = check_open_sends,
	},
	{
		.name = "open by /proc/self/fd",
		BY_PATH(MOUNTED, ENOMEM),
		.prepare = prepare_reopen,
		.call = call_reopen,
		.check = check_reopen,
	},
	{
		.name = "open by path, O_CREAT",
		BY_PATH(MOUNTED),
		.expect = -ENOENT,
		.call = call_open_missing,
		.check = check_missing,
	},
	{
		.name = "mkfifo",
		BY_PATH(MOUNTED, ENOMEM),
		.call = call_mkfifo,
		.check = check_mkfifo,
	},
	{
		.name = "unlink by path",
		BY_PATH(MOUNTED, ENOMEM),
		.prepare = make_other,
		.call = call_unlink,
		.check = check_unlink,
		.changed = changed_unlink,
	},
	{
		.name = "OPEN create, watched",
		BY_PATH(MOUNTED, ENOMEM, EFAULT),
		.prepare = prepare_watched,
		.call = call_watched,
		.check = check_watched,
	},
	{
		.name = "chmod by path",
		BY_PATH(MOUNTED, ENOMEM),
		.call = call_chmod,
		.check = check_chmod,
	},
	{
		.name = "stat by path",
		BY_PATH(MOUNTED, ENOMEM),
		.prepare = prepare_stat,
		.call = call_stat,
		.check = check_stat,
	},
	{
		.name = "readdir",
		BY_PATH(MOUNTED, ENOMEM),
		.call = call_readdir,
		.check = check_readdir,
	},
	{
		.name = "OPEN create by directory",
		BY_PATH(MOUNTED, ENOMEM, EFAULT),
		.prepare = prepare_dir_create,
		.call = call_dir_create,
		.check = check_dir_create,
	},
	{
		.name = "UNLINK by directory",
		BY_PATH(MOUNTED, ENOMEM, EFAULT),
		.prepare = prepare_dir_unlink,
		.call = call_dir_unlink,
		.check = check_dir_unlink,
	},
	{
		.name = "LIST by directory",
		BY_PATH(MOUNTED, EFAULT),
		.prepare = prepare_dir_list,
		.call = call_dir_list,
		.check = check_dir_list,
	},
	{},
};
