// SPDX-License-Identifier: GPL-2.0-only
/* Mailboxes as files: an argument with a '/' in it is a path, and no name. */
#include <fcntl.h>
#include <mntent.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tool.h"

bool is_path(const char *name)
{
	return strchr(name, '/');
}

bool has_mailboxes(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == KPOST_SUPER_MAGIC;
}

int directory_open(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kpost_info info;

	if (fd < 0)
		fail_plain(errno == ENOENT ? STATUS_NO_MAILBOX :
			   errno == EACCES ? STATUS_PERMISSION :
					     STATUS_FAILED,
			   "cannot open directory '%s': %s", shown(dir), strerror(errno));
	if (!has_mailboxes(dir))
		fail_plain(STATUS_NO_MAILBOX,
			   "'%s' is no directory of mailboxes; 'kpost mount' mounts one, at "
			   "/run/kpost unless told otherwise",
			   shown(dir));
	if (kpost_info_at(fd, &info) == -ENOTTY)
		fail_plain(STATUS_FAILED,
			   "'%s' is mounted with other owners than the mailboxes have: there only "
			   "mkfifo, rm and what opens a file go",
			   shown(dir));
	return fd;
}

int counter_open(const char **name)
{
	const char *path = *name, *base = strrchr(path, '/');
	char *dir;
	int fd;

	if (!base)
		return device_open();
	dir = base > path ? strndup(path, (size_t)(base - path)) : strdup("/");
	if (!dir)
		fail(ENOMEM, NULL, "cannot open '%s'", shown(path));
	if (has_mailboxes(path) && !has_mailboxes(dir))
		fail_plain(STATUS_USAGE,
			   "'%s' is a mailbox that is mounted by itself: look at it, or remove it, "
			   "by its name, or in the directory of mailboxes",
			   shown(path));
	fd = directory_open(dir);
	free(dir);
	*name = base + 1;
	return fd;
}

/* By the directory, which makes mailboxes but opens none that is there. */
static int path_make(const char *path, unsigned int rights, unsigned int flags,
		     const struct kpost_attr *attr)
{
	const char *name = path;
	int dir = counter_open(&name), fd;

	check_name(name);
	fd = kpost_open_at(dir, name, rights, flags, attr, 0);
	close(dir);
	return fd;
}

static _Noreturn void path_fail(const char *path, int error, unsigned int flags)
{
	const char *verb = flags & KPOST_OPEN_CREATE ? "make" : "open";

	switch (-error) {
	case ENOENT:
		fail_plain(STATUS_NO_MAILBOX,
			   "cannot open mailbox '%s': no such file; make it with 'kpost create %s'",
			   shown(path), shown(path));
	case ENOTTY:
		fail_plain(STATUS_NO_MAILBOX,
			   "cannot open mailbox '%s': it is no mailbox, but in a file system of "
			   "another type; 'kpost mount' mounts one of mailboxes",
			   shown(path));
	case EISDIR:
		fail_plain(STATUS_USAGE,
			   "cannot open mailbox '%s': it is the directory; 'kpost ls %s' lists "
			   "what is in it",
			   shown(path), shown(path));
	case ESTALE:
		fail_plain(STATUS_GONE,
			   "cannot open mailbox '%s': the mailbox that is mounted there has "
			   "closed; mount that which has its name now",
			   shown(path));
	case EACCES:
		fail_plain(STATUS_PERMISSION,
			   "cannot %s mailbox '%s': permission denied; 'ls -l' shows its owner and "
			   "mode",
			   verb, shown(path));
	case EPERM:
		fail_no_permission(path);
	case EROFS:
		fail_plain(STATUS_PERMISSION,
			   "cannot %s mailbox '%s': it is mounted read-only, so that nothing can "
			   "be made there",
			   verb, shown(path));
	default:
		fail(error, path, "cannot %s mailbox '%s'", verb, shown(path));
	}
}

int path_open(const char *path, unsigned int rights, unsigned int flags,
	      const struct kpost_attr *attr)
{
	bool admin = rights & KPOST_RIGHT_ADMIN;
	int fd;

	if (flags & KPOST_OPEN_SUCCEED || (admin && !(flags & KPOST_OPEN_CREATE)))
		fail_plain(STATUS_USAGE,
			   "cannot do that to '%s': a path is good for sending and receiving; what "
			   "is its owner's to do goes by the name, and chmod and chown by either",
			   shown(path));
	do {
		fd = admin ? -ENOENT : kpost_open_path(path, rights, flags & KPOST_OPEN_NONBLOCK);
		if (fd == -ENOENT && flags & KPOST_OPEN_CREATE)
			fd = path_make(path, rights, flags, attr);
		/* It is there: made meanwhile, or, for who only wants it made, before. */
		if (fd == -EOPNOTSUPP && admin) {
			fd = open(path, O_PATH | O_CLOEXEC);
			if (fd < 0)
				fd = errno == ENOENT ? -EOPNOTSUPP : -errno;
		}
	} while (fd == -EOPNOTSUPP);
	if (fd == -EINVAL && flags & KPOST_OPEN_CREATE)
		fail_sizes(path);
	if (fd == -EDQUOT)
		fd = -ERROR_CAPACITY;
	if (fd < 0)
		path_fail(path, fd, flags);
	return fd;
}

static int is_it(const struct kpost_stat *st, void *arg)
{
	const uint64_t *identity = arg;

	return st->identity == *identity;
}

/*
 * A mount can be of another network namespace's mailboxes, and nothing tells of which: but no two
 * mailboxes have the same identity.
 */
void each_mount(uint64_t identity, void (*each)(const char *dir))
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *mount;
	int fd;

	while (mounts && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "kpost"))
			continue;
		/* Not one of a single mailbox, nor one that another lies upon. */
		fd = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (has_mailboxes(mount->mnt_dir) && kpost_list_at(fd, is_it, &identity) == 1)
			each(mount->mnt_dir);
		close(fd);
	}
	if (mounts)
		endmntent(mounts);
}
