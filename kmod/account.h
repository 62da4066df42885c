/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who pays for what.
 *
 * An account is one user's in one office.  What is charged to it holds a
 * reference, so that it lives until the last byte was given back, by exactly
 * what was charged.  It is the user of the task that acts, not that of whoever
 * opened the endpoint: who sends through an inherited endpoint pays for it.
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
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "pollers.h"

struct kpost_office;
struct user_namespace;

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
	atomic_long_t bytes; /* memory of its messages */
	atomic_long_t mailboxes;
	struct kpost_patience patience; /* with those who poll its endpoints for room */
};

/* So much memory is charged to this account, which is held. */
struct kpost_charge {
	struct kpost_account *account;
	size_t bytes;
};

void kpost_accounts_init(struct kpost_accounts *accounts);

kuid_t kpost_account_user(void);
bool kpost_account_privileged(void);
struct kpost_account *kpost_account_get(struct kpost_office *office);
int kpost_account_sponsor(const struct user_namespace *ns, struct kpost_account **sponsor);
void kpost_account_put(struct kpost_account *account);

int kpost_account_add_mailbox(struct kpost_account *account);
void kpost_account_del_mailbox(struct kpost_account *account);

int kpost_charge(struct kpost_charge *charge, struct kpost_account *account, size_t bytes,
		 bool privileged);
void kpost_uncharge(struct kpost_charge *charge);

#endif /* KPOST_ACCOUNT_H */
