/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of accounts share: the limits of the office that the test is in, what is used
 * of them, and what a mailbox counts for.
 */
#ifndef KPOST_ACCOUNT_TEST_H
#define KPOST_ACCOUNT_TEST_H

#include "child_test.h"

#include <linux/capability.h>
#include <sys/resource.h>

#define SYSCTL		"/proc/sys/net/kpost/"
#define USER		12345
#define DEFAULT_BYTES	131072
#define DEFAULT_COST	(1024 + DEFAULT_BYTES + 256 * (DEFAULT_BYTES / 512))
#define UNCOUNTED	65536	/* so long a message meets no limit */
#define GRANT_COST	1024

static inline int limit_set(const char *name, uint64_t value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return child_write(path, text);
}

static inline uint64_t limit_get(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	if (child_read(path, text, sizeof(text)) <= 0)
		return ~0ull;
	return strtoull(text, NULL, 10);
}

/* what a mailbox of that capacity counts for */
static inline uint64_t cost(uint64_t messages, uint64_t bytes)
{
	return 1024 + bytes + 256 * messages;
}

/* all poison if it failed */
static inline struct kpost_info info_now(void)
{
	struct kpost_info info;

	kt_poison(&info, sizeof(info));
	kt_ioctl(kt_device(), KPOST_IOC_INFO, &info);
	return info;
}

/* what the task's user has in mailboxes, and under way */
static inline uint64_t used(void)
{
	return info_now().user_used;
}

static inline uint64_t sending(void)
{
	return info_now().user_sending_used;
}

/* what the office has, of whomever; nothing but that is left of what was given back */
static inline bool office_has(uint64_t capacity, uint64_t under_way)
{
	struct kpost_info info = info_now();

	return info.office_used == capacity && info.office_sending_used == under_way;
}

static inline bool nothing_is_used(void)
{
	return office_has(0, 0) && !used() && !sending();
}

/* of an office's @all, what is not left to those who have privilege */
static inline uint64_t for_users(uint64_t all)
{
	return all - all / 10;
}

/* the least office in which users have @bytes */
static inline uint64_t office_for(uint64_t bytes)
{
	uint64_t all = bytes;

	while (for_users(all) < bytes)
		all++;
	return all;
}

static inline int resize(int fd, unsigned int messages, uint64_t bytes)
{
	struct kpost_setattr attr = {
		.valid = (messages ? KPOST_SET_MESSAGES : 0) | (bytes ? KPOST_SET_BYTES : 0),
		.messages = messages,
		.bytes = bytes,
	};

	return (int)kt_ioctl(fd, KPOST_IOC_SETATTR, &attr);
}

/* from here on as that user, without privileges; root can be had back with seteuid(0) */
static inline int drop_to(uid_t uid)
{
	return setresgid(uid, uid, uid) || setresuid(uid, uid, 0) ? -errno : 0;
}

/* as another user, from wherever that brought it */
static inline int change_to(uid_t uid)
{
	if (setresuid(-1, 0, -1))
		return -errno;
	return uid ? drop_to(uid) : setresgid(0, 0, 0) || setresuid(0, 0, 0) ? -errno : 0;
}

/* after drop_to(), and still that user */
static inline int limit_as_root(const char *name, uint64_t value)
{
	int err = seteuid(0) ? -errno : limit_set(name, value);

	return seteuid(getuid()) ? -errno : err;
}

/* take @capability from what is effective, or put it back */
static inline int capability_set(unsigned int capability, bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint32_t *word = &data[capability / 32].effective;

	if (syscall(SYS_capget, &header, data))
		return -errno;
	*word = on ? *word | 1u << capability % 32 : *word & ~(1u << capability % 32);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static inline int allow_descriptors(unsigned int count)
{
	const struct rlimit many = { count, count };

	return setrlimit(RLIMIT_NOFILE, &many) ? -errno : 0;
}

#endif /* KPOST_ACCOUNT_TEST_H */
