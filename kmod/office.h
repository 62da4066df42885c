/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An office: the names, limits and accounts of one network namespace.
 *
 * It lives as long as its namespace, which every open device and endpoint
 * holds.  When the namespace goes, all that can be left is persistent mailboxes
 * that nobody has open; they go with it.
 */
#ifndef KPOST_OFFICE_H
#define KPOST_OFFICE_H

#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <net/net_namespace.h>

#include "../uapi/linux/kpost.h"
#include "account.h"

struct kpost_mailbox;
struct kpost_operand;
struct kpost_stat;
struct kpost_waiter;
struct cred;
struct super_block;
struct ctl_table;
struct ctl_table_header;

/* What net.kpost.* sets; read without a lock, see kpost_limit(). */
struct kpost_limits {
	unsigned long default_bytes; /* capacity of a mailbox */
	unsigned long user_bytes; /* that the mailboxes of a user count for */
	unsigned long user_sending_bytes; /* that a user has under way */
	unsigned long office_bytes; /* likewise of all together */
	unsigned long office_sending_bytes;
};

struct kpost_office {
	struct net *net;
	struct kpost_limits limits;
	const struct kpost_limits *ceiling; /* the initial office's */
	struct ctl_table *sysctl_table;
	struct ctl_table_header *sysctl;
	u8 private; /* lists tell only of what can be opened; read without a lock */

	spinlock_t lock; /* protects what follows, and who is attached to mailboxes */
	struct rb_root names; /* of struct kpost_mailbox, sorted */
	struct rb_root awaited; /* of struct office_opener, sorted: who waits for a name */
	char reserved[KPOST_NAME_MAX + 1]; /* names that begin so are for its root to give; or "" */
	struct super_block *sb; /* of its file system, or NULL; not held, see fs.c */

	struct kpost_accounts accounts;
	struct kpost_account own; /* what counts for no user */
	struct kpost_account *sponsor; /* held; who else pays, or NULL; fixed */
	atomic_long_t used[KPOST_SHARES]; /* bytes */
};

/* What is in force: the initial office's limits may have been lowered since. */
#define kpost_limit(office, field) \
	kpost_lesser(READ_ONCE((office)->limits.field), READ_ONCE((office)->ceiling->field))

static inline unsigned long kpost_lesser(unsigned long a, unsigned long b)
{
	return min(a, b);
}

/* Can a name have this byte? */
static inline bool kpost_name_byte_ok(unsigned char byte)
{
	return byte >= ' ' && byte != 0x7f && byte != '/';
}

struct kpost_office *kpost_office(struct net *net);
/*
 * May the task act as if it had @capability over what belongs to @uid and @gid?  Without @audit it
 * is only asked, and nobody is told if not.
 */
bool kpost_office_capable(struct kpost_office *office, int capability, kuid_t uid, kgid_t gid,
			  bool audit);

struct kpost_mailbox *kpost_office_find(struct kpost_office *office, const char *name);
struct kpost_mailbox *kpost_office_after(struct kpost_office *office, const char *name);
bool kpost_office_tells(struct kpost_office *office, struct kpost_mailbox *mailbox,
			const struct cred *cred);
struct kpost_mailbox *kpost_office_next(struct kpost_office *office, const struct cred *cred,
					char after[KPOST_NAME_MAX + 1], struct kpost_stat *st);
int kpost_office_may_name(struct kpost_office *office, const char *name, kuid_t uid);
void kpost_office_add(struct kpost_office *office, struct kpost_mailbox *mailbox);
void kpost_office_del(struct kpost_office *office, struct kpost_mailbox *mailbox);
void kpost_office_announce(struct kpost_office *office, const char *name);
int kpost_office_await(struct kpost_office *office, const char *name, struct kpost_operand *op)
	__releases(&office->lock);

int kpost_offices_init(void);
void kpost_offices_exit(void);

/* sysctl.c */
int kpost_sysctl_init(struct kpost_office *office);
void kpost_sysctl_exit(struct kpost_office *office);

/* procfs.c */
int kpost_procfs_init(struct kpost_office *office);
void kpost_procfs_exit(struct kpost_office *office);

#endif /* KPOST_OFFICE_H */
