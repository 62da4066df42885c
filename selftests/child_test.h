/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Children of a test that are somebody else: another user, another namespace.
 * A child checks with CHECK(), whose failure is its exit status, and the test
 * looks at that.
 */
#ifndef KPOST_CHILD_TEST_H
#define KPOST_CHILD_TEST_H

#include "kpost_test.h"

#include <grp.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define CHILD_FAILED	1
#define CHILD_SKIPPED	KSFT_SKIP	/* the kernel lacks something */
#define NOBODY		65534

#define CHECK(cond) do {							\
	if (!(cond)) {								\
		fprintf(stderr, "# %s:%d:%s: expected %s\n", __FILE__, __LINE__,	\
			__func__, #cond);					\
		return CHILD_FAILED;						\
	}									\
} while (0)

#define CHECK_EQ(want, seen) do {						\
	long long check_want = (long long)(want), check_seen = (long long)(seen); \
										\
	if (check_want != check_seen) {						\
		fprintf(stderr, "# %s:%d:%s: expected %s (%lld) == %s (%lld)\n",	\
			__FILE__, __LINE__, __func__, #want, check_want, #seen,	\
			check_seen);						\
		return CHILD_FAILED;						\
	}									\
} while (0)

static inline pid_t child_start(int (*fn)(void *arg), void *arg)
{
	pid_t pid = kt_fork();

	if (pid == 0)
		_exit(fn(arg));
	return pid;
}

/* likewise, with the test's own table of descriptors */
static inline pid_t child_start_sharing(int (*fn)(void *arg), void *arg)
{
	struct clone_args args = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(fn(arg));
	return pid;
}

/* the exit status, or -1 if it did not exit by itself within @seconds */
static inline int child_finish(pid_t pid, unsigned int seconds)
{
	uint64_t end = kt_in(seconds * 1000ull);
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (kt_now() > end) {
			fprintf(stderr, "# child %d did not end within %u s\n", pid, seconds);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		kt_pause();
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "# child %d died of signal %d\n", pid, WTERMSIG(status));
	return -1;
}

/* what @fn returned in a child of its own */
static inline int child_run(int (*fn)(void *arg), void *arg)
{
	return child_finish(child_start(fn, arg), 300);
}

/* for good, all three ids, with no further groups; 0 or -errno */
static inline int child_become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the kernel forgot it */
	return 0;
}

static inline int child_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len;
	int err;

	if (fd < 0)
		return -errno;
	len = write(fd, text, strlen(text));
	err = len < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* the file's text, at most @size - 1 bytes of it; its length or -errno */
static inline ssize_t child_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t len = 0;

	if (fd < 0)
		return -errno;
	while (have < size - 1 && (len = read(fd, text + have, size - 1 - have)) > 0)
		have += (size_t)len;
	text[have] = '\0';
	close(fd);
	return len < 0 ? -errno : (ssize_t)have;
}

/* a new user namespace where the caller is @uid and @gid; 0 or -errno */
static inline int child_unshare_user(uid_t uid, gid_t gid)
{
	uid_t euid = geteuid();
	gid_t egid = getegid();
	char map[64];
	int err;

	if (unshare(CLONE_NEWUSER))
		return -errno;
	snprintf(map, sizeof(map), "%u %u 1", uid, euid);
	err = child_write("/proc/self/uid_map", map);
	if (err)
		return err;
	err = child_write("/proc/self/setgroups", "deny");
	if (err)
		return err;
	snprintf(map, sizeof(map), "%u %u 1", gid, egid);
	return child_write("/proc/self/gid_map", map);
}

/* over an AF_UNIX socket; 0 or -errno */
static inline int pass_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { "f", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

/* -1 if there is none */
static inline int take_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

/* tell the other side of the socket, or wait until it has told */
static inline int tell(int sock)
{
	return write(sock, "!", 1) == 1 ? 0 : -errno;
}

static inline bool is_told_within(int sock, int ms)
{
	struct pollfd pfd = { sock, POLLIN, 0 };
	char byte;

	return poll(&pfd, 1, ms) == 1 && read(sock, &byte, 1) == 1;
}

static inline bool is_told(int sock)
{
	return is_told_within(sock, KT_SOON);
}

#endif /* KPOST_CHILD_TEST_H */
