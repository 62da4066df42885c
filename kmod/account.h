/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who pays for what, in bytes.
 *
 * An account is one user's in one office, and has two shares.  *Capacity* is what the
 * mailboxes count for that the user made, from when they are made; what is in them counts no
 * more.  *Sending* is what tasks of the user have under way: what waits for room, large
 * copies, open calls and the room for their replies, granted endpoints.  So a message that
 * finds room meets no account.
 *
 * What is charged holds a reference, so that the account lives until the last byte was given
 * back, by exactly what was charged.  It is the user of the task that acts, not that of
 * whoever opened the endpoint: who sends through an inherited endpoint pays for it.
 *
 * What is done with CAP_SYS_RESOURCE counts for the office and for no user: an office has an
 * account of its own for that.  A tenth of the office is left to it.
 *
 * The user of a task is its real one; but a user who makes user namespaces may
 * have thousands of ids in them, and is one user all the same.  So the owner of the
 * outermost user namespace between the task's and the initial one counts that was not
 * made by root (uid 0): root could give out real ids anyway, and whoever it puts into
 * namespaces are different users.
 *
 * An office in such a namespace is that user's too, which may make any number of
 * them.  All that is charged in it is charged besides to the sponsor, an account of
 * that user's apart, in which all such offices of the machine share the limits of the
 * initial office.
 */
#ifndef KPOST_ACCOUNT_H
#define KPOST_ACCOUNT_H

#include <linux/atomic.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include "pollers.h"

struct kpost_office;
struct user_namespace;

enum kpost_share {
	KPOST_CAPACITY,
	KPOST_SENDING,
	KPOST_SHARES,
};

/* Accounts of users, one each. */
struct kpost_accounts {
	spinlock_t lock; /* a leaf */
	DECLARE_HASHTABLE(by_uid, 6); /* of struct kpost_account (protected by lock) */
};

struct kpost_account {
	struct hlist_node link; /* in accounts->by_uid (protected by accounts->lock) */
	struct kpost_accounts *accounts; /* fixed, as are the next two */
	struct kpost_office *office; /* whose limits hold, and counters too but for a sponsor */
	kuid_t uid;
	refcount_t refs;
	atomic_long_t used[KPOST_SHARES]; /* bytes */
	struct kpost_teller teller; /* of those who poll its endpoints for room; a user's */

	/* Those for whom there was not enough, see shortage.h. */
	spinlock_t lock; /* taken before the lock of a teller */
	struct list_head shortages; /* of struct kpost_shortage (protected by lock) */
	struct work_struct work; /* tells them, and holds the account for that; or frees it */
};

/* So much is charged to the sending share of this account, which is held. */
struct kpost_charge {
	struct kpost_account *account;
	size_t bytes;
};

void kpost_accounts_init(struct kpost_accounts *accounts);
void kpost_accounts_flush(struct kpost_office *office);
void kpost_account_init_own(struct kpost_account *own, struct kpost_office *office);

kuid_t kpost_account_user(void);
bool kpost_account_privileged(void);
struct kpost_account *kpost_account_get(struct kpost_office *office);
struct kpost_account *kpost_account_payer(struct kpost_office *office);
int kpost_account_sponsor(const struct user_namespace *ns, struct kpost_account **sponsor);
void kpost_account_put(struct kpost_account *account);

bool kpost_account_is_own(const struct kpost_account *account);
unsigned long kpost_account_used(struct kpost_office *office, enum kpost_share share);
struct kpost_account *kpost_account_short(struct kpost_account *account, long bytes);
bool kpost_account_is_tasks(const struct kpost_account *account);
int kpost_account_add(struct kpost_account *account, enum kpost_share share, long bytes);
void kpost_account_sub(struct kpost_account *account, enum kpost_share share, long bytes);

int kpost_charge(struct kpost_charge *charge, struct kpost_account *account, size_t bytes);
struct kpost_account *kpost_charge_split(struct kpost_charge *from, size_t bytes);
void kpost_account_uncharge(struct kpost_account *account, size_t bytes);
void kpost_uncharge(struct kpost_charge *charge);

#endif /* KPOST_ACCOUNT_H */
