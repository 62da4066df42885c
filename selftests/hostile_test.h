/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A victim and an attacker: the test is the victim, one user, and its children are
 * the attacker, another.  Both are in a network namespace of the test's own, so that
 * its limits and counts are nobody else's.
 */
#ifndef KPOST_HOSTILE_TEST_H
#define KPOST_HOSTILE_TEST_H

#include "child_test.h"

#include <sys/stat.h>

#define VICTIM		12345
#define ATTACKER	12346
#define OPEN_TO_ALL	0666

static inline int limit_set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/kpost/%s", name);
	return child_write(path, value);
}

/* a network namespace of the test's own, and sockets between the two */
static inline int begin_apart(int socks[2])
{
	umask(0);
	return unshare(CLONE_NEWNET) || kt_device() < 0 ||
			       socketpair(AF_UNIX, SOCK_STREAM, 0, socks) ?
		       -errno :
		       0;
}

/* root can be had back with seteuid(0) */
static inline int be_victim(void)
{
	return setresgid(VICTIM, VICTIM, VICTIM) || setresuid(VICTIM, VICTIM, 0) ? -errno : 0;
}

/* the attacker, in a child of its own; in the test, its pid */
static inline pid_t fork_attacker(uid_t uid)
{
	pid_t pid;

	/* what the victim has dropped, the child needs once more to drop it itself */
	if (seteuid(0))
		return -errno;
	pid = kt_fork();
	if (pid == 0 && child_become(uid, uid))
		_exit(126);
	/* a victim that fails may not kill it */
	if (pid == 0)
		alarm(TEST_TIMEOUT_DEFAULT);
	if (pid && seteuid(VICTIM))
		return -errno;
	return pid;
}

/* 0 if it was still there to be ended */
static inline int end_attacker(pid_t pid)
{
	return seteuid(0) || kt_kill(pid) < 0 || seteuid(VICTIM) ? -1 : 0;
}

/* a mailbox of the victim's that everybody may open */
static inline int open_to_all(const char *name, unsigned int rights, unsigned int messages)
{
	struct kpost_open open = kt_open_args(name, rights, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL);

	open.mode = OPEN_TO_ALL;
	open.messages = messages;
	return kt_do_open(&open);
}

#endif /* KPOST_HOSTILE_TEST_H */
