// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "files": those who act in it.  Each does its work again and again, and says how that
 * went: no error but those that it may have.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "files.h"

const char *const files_whats[WHAT_COUNT] = {
	[OPEN_TO_SEND] = "open to send",
	[WRITE] = "write",
	[OPEN_TO_RECEIVE] = "open to receive",
	[READ] = "read",
	[MKFIFO] = "mkfifo",
	[UNLINK] = "unlink",
	[OPEN_BY_DEVICE] = "OPEN",
	[UNLINK_BY_DEVICE] = "UNLINK",
	[READDIR] = "readdir",
	[CHANGE] = "chmod, chown",
	[LOOK] = "stat",
	[OPEN_AGAIN] = "open again",
	[WATCH] = "inotify",
	[MOUNT] = "mount",
	[BIND] = "bind",
	[SPACE] = "namespace",
	[UNLOAD] = "unload",
};

/*
 * The errors that each may have, and those that it may where nothing is mounted, or loaded.
 * ESTALE: the name was handed on twice meanwhile.
 */
static const struct {
	int errnos[4];
	int bare[4];
} mays[WHAT_COUNT] = {
	[OPEN_TO_SEND] = { { ENOENT }, { 0 } },
	[WRITE] = { { EAGAIN, EPIPE }, { 0 } },
	[OPEN_TO_RECEIVE] = { { ENOENT, ESTALE }, { 0 } },
	[READ] = { { EAGAIN }, { 0 } },
	[MKFIFO] = { { EEXIST }, { EROFS } },
	[UNLINK] = { { ENOENT, ESTALE }, { EROFS } },
	[UNLINK_BY_DEVICE] = { { ENOENT }, { 0 } },
	[CHANGE] = { { ENOENT }, { EROFS } },
	[LOOK] = { { ENOENT }, { 0 } },
	[OPEN_AGAIN] = { { ENOENT, ESTALE }, { 0 } },
	[WATCH] = { { ENOENT }, { 0 } },
	[MOUNT] = { { 0 }, { ENODEV } },
	[BIND] = { { ENOENT }, { 0 } },
	[UNLOAD] = { { EWOULDBLOCK, EBUSY }, { 0 } },
};

static void add(uint64_t *sum, uint64_t n)
{
	__atomic_add_fetch(sum, n, __ATOMIC_RELAXED);
}

static bool among(const int errnos[4], int err)
{
	for (int i = 0; i < 4 && errnos[i]; i++)
		if (errnos[i] == err)
			return true;
	return false;
}

/* Count it, and see whether it may have that result, -1 for errno.  Returns whether it worked. */
static bool did(struct lane *lane, enum what what, long ret)
{
	struct files_seen *seen = lane->files->seen;
	int err = errno;

	if (ret >= 0) {
		lane->worked[what]++;
		return true;
	}
	lane->failed[what]++;
	if (among(mays[what].errnos, err) || (lane->files->phase && among(mays[what].bare, err)))
		return false;
	if (!__atomic_exchange_n(&seen->odd, true, __ATOMIC_ACQ_REL))
		snprintf(seen->odd_text, sizeof(seen->odd_text), "phase %u, %s: %s",
			 lane->files->phase + 1, files_whats[what], strerror(err));
	return false;
}

/* Of a mailbox that comes and goes, or now and then the steady one. */
static const char *some_path(struct lane *lane, bool or_steady)
{
	unsigned int which = chance_below(&lane->chance, or_steady ? 4 : 3);

	if (which == 3)
		return DIR_PATH "/" STEADY;
	snprintf(lane->path, sizeof(lane->path), DIR_PATH "/%c", (int)('a' + which));
	return lane->path;
}

static uint64_t message_sum(const struct file_message *message)
{
	return (message->sender * 0x9e3779b97f4a7c15ull ^ message->number) * 0xbf58476d1ce4e5b9ull +
	       message->steady;
}

/* ---- those who send and receive by path ------------------------------------ */

void files_send(struct lane *lane)
{
	struct file_message message = { .sender = lane->index };
	const char *path = some_path(lane, true);
	struct files *files = lane->files;
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	/* One of them is nobody, whom the mode may refuse. */
	if (fd < 0 && errno == EACCES && lane->index == SENDERS - 1)
		errno = ENOENT;
	if (!did(lane, OPEN_TO_SEND, fd))
		return;
	message.steady = path != lane->path;
	for (int i = 0; i < 5 && lane->number < NUMBERS; i++) {
		unsigned char *sent = &files->sent[lane->index][lane->number];

		message.number = lane->number++;
		message.sum = message_sum(&message);
		*sent = 1;
		if (!did(lane, WRITE, write(fd, &message, sizeof(message))))
			*sent = 0;
		else if (message.steady)
			add(&files->steady_sends, 1);
	}
	close(fd);
}

void files_receive(struct lane *lane)
{
	int flags = chance_below(&lane->chance, 2) ? O_RDONLY : O_RDWR;
	const char *path = some_path(lane, true);
	bool steady = path != lane->path;
	struct files *files = lane->files;
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	struct file_message message;

	if (!did(lane, OPEN_TO_RECEIVE, fd))
		return;
	for (int i = 0; i < 8; i++) {
		ssize_t n = read(fd, &message, sizeof(message));

		/* 0 is the end of one that was shut. */
		if (!did(lane, READ, n) || !n)
			break;
		if (n != sizeof(message) || message.sender >= SENDERS ||
		    message.number >= NUMBERS || message.sum != message_sum(&message) ||
		    message.steady != steady) {
			add(&files->seen->wrong_messages, 1);
			break;
		}
		__atomic_add_fetch(&files->received[message.sender][message.number], 1,
				   __ATOMIC_RELAXED);
		if (message.steady)
			add(&files->steady_receipts, 1);
	}
	close(fd);
}

/* ---- names, by path and by the device --------------------------------------- */

void files_make(struct lane *lane)
{
	const char *path = some_path(lane, false);

	if (chance_below(&lane->chance, 2))
		did(lane, MKFIFO, mkfifo(path, 0666));
	else
		did(lane, UNLINK, unlink(path));
}

/* A mailbox is made, succeeds another, dies with its receiver, or loses its name. */
void files_device(struct lane *lane)
{
	struct kpost_open arg = { .rights = KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN, .mode = 0666 };
	struct kpost_unlink gone = { .flags = 0 };
	int device = open("/dev/kpost", O_RDWR | O_CLOEXEC), fd;

	if (device < 0)
		return;
	for (int i = 0; i < 20; i++) {
		arg.flags = KPOST_OPEN_CREATE |
			    (chance_below(&lane->chance, 3) ? 0 : KPOST_OPEN_SUCCEED);
		arg.name[0] = gone.name[0] = (char)('a' + chance_below(&lane->chance, 3));
		fd = ioctl(device, KPOST_IOC_OPEN, &arg);
		if (did(lane, OPEN_BY_DEVICE, fd)) {
			if (chance_below(&lane->chance, 2))
				sched_yield();
			close(fd);
		}
		if (!chance_below(&lane->chance, 4))
			did(lane, UNLINK_BY_DEVICE, ioctl(device, KPOST_IOC_UNLINK, &gone));
	}
	close(device);
}

/* ---- those who look, change and watch ------------------------------------------ */

void files_look(struct lane *lane)
{
	struct dirent *entry;
	char path[64];
	struct stat st;
	DIR *dir = opendir(DIR_PATH);
	int fd, held;

	if (did(lane, READDIR, dir ? 0 : -1)) {
		while ((entry = readdir(dir)))
			did(lane, LOOK, fstatat(dirfd(dir), entry->d_name, &st, 0));
		closedir(dir);
	}
	did(lane, CHANGE, chmod(some_path(lane, false), 0600 | chance_below(&lane->chance, 0177)));
	did(lane, CHANGE,
	    chown(some_path(lane, false), NOBODY * chance_below(&lane->chance, 2),
		  chance_below(&lane->chance, 3)));
	did(lane, LOOK, access(some_path(lane, true), R_OK));
	held = open(some_path(lane, false), O_PATH | O_CLOEXEC);
	if (!did(lane, LOOK, held))
		return;
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", held);
	if (chance_below(&lane->chance, 2))
		sched_yield();
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (did(lane, OPEN_AGAIN, fd))
		close(fd);
	close(held);
}

void files_watch(struct lane *lane)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char buf[4096];

	did(lane, WATCH, inotify_add_watch(watch, DIR_PATH, IN_ALL_EVENTS));
	for (int i = 0; i < 50 && !files_stopping(lane->files); i++) {
		did(lane, WATCH, inotify_add_watch(watch, some_path(lane, true), IN_ALL_EVENTS));
		while (read(watch, buf, sizeof(buf)) > 0)
			;
		if (!chance_below(&lane->chance, 4))
			sched_yield();
	}
	close(watch);
}

void files_drop_caches(struct lane *lane)
{
	(void)lane;
	write_file("/proc/sys/vm/drop_caches", "2");
	pause_ns(200 * MS);
}

/* ---- mounts, namespaces, the module ------------------------------------------------ */

/* Bind one mailbox to another place, and use it there. */
static void bind_one(struct lane *lane, const char *path)
{
	int fd;

	if (!did(lane, BIND, mount(path, ONE_PATH, NULL, MS_BIND, NULL)))
		return;
	fd = open(ONE_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (did(lane, OPEN_AGAIN, fd))
		close(fd);
	umount2(ONE_PATH, MNT_DETACH);
}

void files_mount(struct lane *lane)
{
	struct files *files = lane->files;
	const char *at = files->phase ? DIR_PATH : EXTRA_PATH;
	char path[64];

	if (!did(lane, MOUNT, mount("kpost", at, "kpost", 0, NULL))) {
		pause_ns(MS);
		return;
	}
	snprintf(path, sizeof(path), "%s/%c", at, (int)('a' + chance_below(&lane->chance, 3)));
	did(lane, MKFIFO, mkfifo(path, 0666));
	if (chance_below(&lane->chance, 2))
		pause_ns(chance_below(&lane->chance, 3 * MS));
	bind_one(lane, path);
	if (chance_below(&lane->chance, 2) || umount2(at, 0))
		did(lane, MOUNT, umount2(at, MNT_DETACH));
	add(&files->mounts, 1);
}

/* In a network namespace of its own, which goes with mounts, mailboxes and open files. */
static int space_main(struct lane *lane)
{
	char path[64];

	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return 1;
	if (mount("kpost", SPACE_PATH, "kpost", 0, NULL))
		return errno == ENODEV ? 0 : 2;
	for (int i = 0; i < 3; i++) {
		int fd;

		snprintf(path, sizeof(path), SPACE_PATH "/%c", 'a' + i);
		if (mkfifo(path, 0666))
			return 3;
		fd = open(path, O_RDWR);
		if (fd < 0 || write(fd, "inside", 6) != 6)
			return 4;
	}
	if (mount(path, SPACE_ONE_PATH, NULL, MS_BIND, NULL))
		return 5;
	if (chance_below(&lane->chance, 2) && unlink(path))
		return 6;
	if (chance_below(&lane->chance, 2) && umount2(SPACE_PATH, MNT_DETACH))
		return 7;
	return 0;
}

void files_space(struct lane *lane)
{
	pid_t pid = process_start();

	if (!pid)
		_exit(space_main(lane));
	chance_next(&lane->chance);
	errno = process_wait(pid);
	did(lane, SPACE, errno ? -1 : 0);
}

void files_unload(struct lane *lane)
{
	int err = module_unload();

	errno = -err;
	if (did(lane, UNLOAD, err ? -1 : 0) && module_load())
		die("the module does not load again");
	pause_ns(MS);
}
