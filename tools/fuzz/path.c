// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mailboxes by path: the first office is mounted while the lanes live, the second where and when
 * an operation mounts it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"

#define PLACE "/tmp"
#define OFFICE_PATH PLACE "/office"
#define READ_ONLY_PATH PLACE "/read-only" /* the same, bound there */
#define OTHER_PATH PLACE "/other" /* where operations mount */
#define ONE_PATH PLACE "/one" /* and bind one mailbox */
#define PATH_SIZE (KPOST_NAME_MAX + 64)

/* In a mount namespace that goes with the lanes. */
void path_init(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", PLACE, "tmpfs", 0, NULL) || mkdir(OFFICE_PATH, 0777) ||
	    mkdir(OTHER_PATH, 0777) || mkdir(READ_ONLY_PATH, 0777) ||
	    mknod(ONE_PATH, S_IFREG | 0666, 0))
		machine_die("a place to mount");
	task_set_office(0);
	if (mount("kpost", OFFICE_PATH, "kpost", 0, NULL) ||
	    mount(OFFICE_PATH, READ_ONLY_PATH, NULL, MS_BIND, NULL) ||
	    mount("none", READ_ONLY_PATH, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
		machine_die("mount of kpost");
	/* What is made where nothing is mounted would be no mailbox. */
	if (mount("none", PLACE, NULL, MS_REMOUNT | MS_RDONLY, NULL))
		machine_die(PLACE ", read-only");
}

/* SETUP_PATHS. */
void path_set_up(void)
{
	mkfifo(OFFICE_PATH "/a", 0600);
	world->slots[1] = open(OFFICE_PATH "/a", O_RDWR | O_CLOEXEC);
	world->slots[2] = open(OFFICE_PATH "/a", O_WRONLY | O_CLOEXEC);
	world->slots[3] = open(OFFICE_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What operations have mounted. */
void path_clean(void)
{
	if (!atomic_exchange(&world->mounted, false))
		return;
	while (!umount2(OTHER_PATH, MNT_DETACH))
		;
	while (!umount2(ONE_PATH, MNT_DETACH))
		;
}

/* Is that what /proc says of a descriptor of a mailbox that was opened by path? */
bool path_is_of(const char *target)
{
	static const char *const begins[] = { OFFICE_PATH "/", READ_ONLY_PATH "/", OTHER_PATH "/" };
	unsigned int i;

	for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (!strncmp(target, begins[i], strlen(begins[i])))
			return true;
	return false;
}

enum { BY_NAME, DIRECTORY, BOUND, BY_DESCRIPTOR };

static void name_path(char path[PATH_SIZE], const struct operation *op)
{
	const char *dir = me->office || op->value & 32 ? OTHER_PATH :
			  op->value & 16	       ? READ_ONLY_PATH :
							 OFFICE_PATH;
	char name[KPOST_NAME_MAX + 1];

	operation_name(name, op->name);
	if (op->value % 4 == DIRECTORY)
		snprintf(path, PATH_SIZE, "%s", dir);
	else
		snprintf(path, PATH_SIZE, "%s/%.*s", dir, KPOST_NAME_MAX + 1, name);
}

/* The path that @op's value says. */
static void compose_path(char path[PATH_SIZE], const struct operation *op)
{
	switch (op->value % 4) {
	case BOUND:
		snprintf(path, PATH_SIZE, ONE_PATH);
		break;
	case BY_DESCRIPTOR:
		snprintf(path, PATH_SIZE, "/proc/thread-self/fd/%d", me->slots[op->fd]);
		break;
	default:
		name_path(path, op);
	}
}

/* Did it go by a path that was walked from the office's directory? */
bool path_is_walked(const struct operation *op)
{
	return op->value % 4 == BY_NAME || op->value % 4 == DIRECTORY;
}

static void open_path(const struct operation *op)
{
	static const int more[] = { O_NONBLOCK, O_CREAT, O_PATH, O_TRUNC, O_DIRECT, O_DIRECTORY };
	int flags = (op->flags & O_ACCMODE) | O_CLOEXEC;
	char path[PATH_SIZE];
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (op->flags & 4u << i)
			flags |= more[i];
	if (op->value % 4 == DIRECTORY && !op->flags)
		flags |= O_DIRECTORY;
	compose_path(path, op);
	fd = open(path, flags, 0600);
	if (fd < 0)
		operation_judge(op, NULL, -errno);
	file_keep(op->to, fd);
}

/* rights: which; flags: the mode, or the owner. */
static void path_call(const struct operation *op)
{
	static const mode_t modes[] = { 0600, 0666, 0, 0444, 0222, 0066, 06777, 0 };
	mode_t mode = modes[op->flags % 8];
	char path[PATH_SIZE];
	struct statfs sfs;
	struct statx stx;
	long ret = 0;
	int fd;

	compose_path(path, op);
	switch (op->rights % 16) {
	case 0:
		ret = mkfifo(path, mode);
		world->names_given[0] = world->names_given[1] = true;
		break;
	case 1:
		ret = unlink(path);
		break;
	case 2:
		ret = chmod(path, mode);
		break;
	case 3:
		ret = chown(path, op->flags & 1 ? 1000 : -1, op->flags & 2 ? 1000 : -1);
		break;
	case 4:
		ret = statx(AT_FDCWD, path, 0, STATX_ALL, &stx);
		break;
	case 5:
		ret = access(path, op->flags % 8);
		break;
	case 6:
		ret = statfs(path, &sfs);
		break;
	case 7:
		ret = truncate(path, 0);
		break;
	case 8:
		ret = mknod(path, op->flags & 1 ? S_IFSOCK | mode : S_IFREG | mode, 0);
		break;
	case 9:
		ret = mkdir(path, mode);
		break;
	case 10:
		ret = rename(path, READ_ONLY_PATH "/b");
		break;
	case 11:
		ret = link(path, OTHER_PATH "/b");
		break;
	case 12:
		ret = utimensat(AT_FDCWD, path, NULL, 0);
		break;
	case 13:
		ret = syscall(SYS_name_to_handle_at, AT_FDCWD, path, NULL, NULL, 0);
		break;
	case 14:
	case 15:
		fd = op->flags & 1 ? me->slots[op->to] : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		inotify_add_watch(fd, path, IN_ALL_EVENTS);
		file_keep(op->to, fd);
		break;
	}
	if (ret < 0)
		operation_judge(op, NULL, -errno);
}

/* What is left of a directory, from wherever the descriptor is. */
static void read_dir(const struct operation *op)
{
	uint64_t len = memory_length(op->len);
	int fd = me->slots[op->fd];

	if (op->flags & 1)
		lseek(fd, op->reply_len, op->flags & 2 ? SEEK_CUR : SEEK_SET);
	syscall(SYS_getdents64, fd, memory_address(op->buf, len), len);
}

static void mount_steps(const struct operation *op)
{
	int fs = syscall(SYS_fsopen, "kpost", 1), dir;

	if (op->flags & 1)
		syscall(SYS_fsconfig, fs, 1, "source", "x", 0);
	if (op->flags & 2)
		syscall(SYS_fsconfig, fs, 1, "nonsense", "x", 0);
	syscall(SYS_fsconfig, fs, 6, NULL, NULL, 0);
	dir = syscall(SYS_fsmount, fs, 1, 0);
	close(fs);
	file_keep(op->to, dir);
}

static void mount_path(const struct operation *op)
{
	char path[PATH_SIZE];

	/* Else its parent's would have it. */
	if (me->kid)
		unshare(CLONE_NEWNS);
	world->mounted = true;
	switch (op->rights % 4) {
	case 0:
		mount("kpost", OTHER_PATH, "kpost", op->flags & 1 ? MS_RDONLY : 0, NULL);
		break;
	case 1:
		umount2(op->flags & 1 ? ONE_PATH : OTHER_PATH, op->flags & 2 ? MNT_DETACH : 0);
		break;
	case 2:
		name_path(path, op);
		mount(path, ONE_PATH, NULL, MS_BIND, NULL);
		break;
	case 3:
		mount_steps(op);
		break;
	}
}

void path_operate(void)
{
	const struct operation *op = me->op;

	switch (op->kind) {
	case OP_PATH_OPEN:
		open_path(op);
		break;
	case OP_PATH:
		path_call(op);
		break;
	case OP_READDIR:
		read_dir(op);
		break;
	case OP_MOUNT:
		mount_path(op);
		break;
	}
}
