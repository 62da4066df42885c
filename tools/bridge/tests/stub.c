// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the bridge uses of libkpost, for a machine without the module, to measure the rest: a
 * mailbox from which messages come for ever, and one that takes all.  After STUB_COUNT messages of
 * STUB_SIZE bytes it says how fast that was, and ends the program.
 */
#include <errno.h>
#include <inttypes.h>
#include <kpost.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "usage.h"

static uint64_t count, size, given, done, first_time, last_number;
static double first_cpu;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void begin(void)
{
	if (first_time)
		return;
	first_time = now();
	first_cpu = cpu();
}

static void finished(uint64_t messages)
{
	struct rusage usage;
	double seconds = (now() - first_time) * 1e-9;

	if (messages < count)
		return;
	getrusage(RUSAGE_SELF, &usage);
	printf("messages=%" PRIu64 " size=%" PRIu64 " rate=%.0f cpu_us=%.2f rss_kib=%ld\n",
	       messages, size, messages / seconds, (cpu() - first_cpu) * 1e6 / messages,
	       usage.ru_maxrss);
	fflush(stdout);
	_exit(0);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 10) : otherwise;
}

/* A mailbox that is a route's is always ready; all others never are. */
int kpost_open_sized(const char *name, unsigned int rights, unsigned int flags,
		     const struct kpost_attr *attr, uint64_t deadline, size_t attr_size)
{
	bool of_route = rights & KPOST_RIGHT_ADMIN;

	count = setting("STUB_COUNT", 100000);
	size = setting("STUB_SIZE", 64);
	return eventfd(of_route, EFD_CLOEXEC | EFD_NONBLOCK);
}

int kpost_stat_sized(int fd, struct kpost_stat *st, size_t st_size)
{
	memset(st, 0, st_size);
	st->message_max = setting("STUB_MAX", 64 << 10);
	st->identity = now(); /* of each run another */
	return 0;
}

int kpost_setattr_sized(int fd, const struct kpost_setattr *attr, size_t attr_size)
{
	return 0;
}

int kpost_grant_sized(int fd, const struct kpost_grant *grant, size_t grant_size)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int kpost_close(int fd)
{
	return close(fd);
}

int kpost_recv_batch_sized(int fd, struct kpost_recv *entries, size_t entries_count,
			   unsigned int flags, uint64_t deadline, int *error, size_t entry_size)
{
	size_t i;

	begin();
	for (i = 0; i < entries_count && given < count; i++) {
		memset((void *)(uintptr_t)entries[i].buf, 'x', size);
		entries[i].size = size;
		entries[i].sequence = entries[i].token = ++given;
		entries[i].message_flags = KPOST_MESSAGE_HELD;
	}
	if (error)
		*error = 0;
	return i ? (int)i : -EAGAIN;
}

int kpost_done_batch(int fd, const uint64_t *tokens, size_t tokens_count)
{
	done += tokens_count;
	finished(done);
	return (int)tokens_count;
}

int kpost_send_batch_sized(int fd, struct kpost_send *entries, size_t entries_count,
			   unsigned int flags, uint64_t deadline, int *error, size_t entry_size)
{
	if (entries->flags & KPOST_REPLACE)
		return (int)entries_count;
	begin();
	for (size_t i = 0; i < entries_count; i++) {
		size = entries[i].len;
		entries[i].out_flags = entries[i].number <= last_number ? KPOST_SEND_REPEATED : 0;
		if (!entries[i].out_flags) {
			last_number = entries[i].number;
			done++;
		}
	}
	finished(done);
	return (int)entries_count;
}

/* ---- what no messages come by ---- */

ssize_t kpost_recv_sized(int fd, void *buf, size_t len, struct kpost_message *message,
			 unsigned int flags, uint64_t deadline, size_t message_size)
{
	return -EAGAIN;
}

ssize_t kpost_recv_tag_sized(int fd, uint64_t tag, void *buf, size_t len,
			     struct kpost_message *message, unsigned int flags, uint64_t deadline,
			     size_t message_size)
{
	return -EAGAIN;
}

int kpost_return(int fd, uint64_t token, uint64_t not_before)
{
	return -ENOSYS;
}
