/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system of type kpost, mounted in a mount namespace of the test's own, and an office of
 * its own with it.
 */
#ifndef KPOST_FS_TEST_H
#define KPOST_FS_TEST_H

#include "child_test.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define FS_DIR "/tmp/kpost-fs"

/* what is mounted from here on is seen by the test and its children, and goes with them */
static inline int fs_unshare(int flags)
{
	if (unshare(CLONE_NEWNS | flags) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/tmp", "tmpfs", 0, NULL))
		return -errno;
	return 0;
}

static inline int fs_mount_at(const char *dir)
{
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	return mount("kpost", dir, "kpost", 0, NULL) ? -errno : 0;
}

/* an empty office in FS_DIR; 0 or -errno */
static inline int fs_begin(void)
{
	int err = fs_unshare(CLONE_NEWNET);

	return err ? err : fs_mount_at(FS_DIR);
}

/* the path of @name there; of the last four of these calls */
static inline const char *fs_path(const char *name)
{
	static char paths[4][sizeof(FS_DIR) + KPOST_NAME_MAX + 64];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), FS_DIR "/%s", name);
	return path;
}

static inline int fs_mkfifo(const char *name, mode_t mode)
{
	mode_t mask = umask(0);
	int err = mkfifo(fs_path(name), mode) ? -errno : 0;

	umask(mask);
	return err;
}

static inline int fs_open_at(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static inline int fs_open(const char *name, int flags)
{
	return fs_open_at(fs_path(name), flags);
}

/* whether that goes */
static inline int fs_try(const char *path, int flags)
{
	int fd = fs_open_at(path, flags);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static inline int fs_unlink(const char *name)
{
	return unlink(fs_path(name)) ? -errno : 0;
}

static inline int fs_write(const char *path, const char *text)
{
	int fd = fs_open_at(path, O_WRONLY);
	ssize_t ret;

	if (fd < 0)
		return fd;
	ret = write(fd, text, strlen(text));
	ret = ret < 0 ? -errno : 0;
	close(fd);
	return (int)ret;
}

/* is the next message @text? */
static inline bool fs_next_is(const char *path, const char *text)
{
	int fd = fs_open_at(path, O_RDONLY | O_NONBLOCK);
	bool is = fd >= 0 && kt_next_is(fd, text, 0);

	if (fd >= 0)
		close(fd);
	return is;
}

/* the names in @path, sorted, each with a space before it; the number of them, or -errno */
static inline int fs_list(const char *path, char *names, size_t size)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort), told = 0, i;
	size_t len = 0;

	if (count < 0)
		return -errno;
	names[0] = '\0';
	for (i = 0; i < count; i++) {
		if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..")) {
			if (len < size)
				len += (size_t)snprintf(names + len, size - len, " %s",
							entries[i]->d_name);
			told++;
		}
		free(entries[i]);
	}
	free(entries);
	return told;
}

#endif /* KPOST_FS_TEST_H */
