/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who pays for what.
 *
 * An account is one user's in one office.  What is charged to it holds a
 * reference, so that it lives until the last byte was given back, by exactly
 * what was charged.  The user is the real one of the task that acts, not that
 * of whoever opened the endpoint: who sends through an inherited endpoint pays
 * for it.  In a user namespace below the office's it is whoever made the
 * namespace, since a user may have thousands of ids there.
 */
#ifndef KPOST_ACCOUNT_H
#define KPOST_ACCOUNT_H

#include <linux/atomic.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct kpost_office;

struct kpost_account {
	struct hlist_node link; /* in office->accounts (protected by office->accounts_lock) */
	struct kpost_office *office;
	kuid_t uid;
	refcount_t refs;
	atomic_long_t bytes; /* memory of its messages */
	atomic_long_t mailboxes;
};

/* So much memory is charged to this account, which is held. */
struct kpost_charge {
	struct kpost_account *account;
	size_t bytes;
};

kuid_t kpost_account_user(const struct kpost_office *office);
bool kpost_account_privileged(void);
struct kpost_account *kpost_account_get(struct kpost_office *office);
void kpost_account_put(struct kpost_account *account);

int kpost_account_add_mailbox(struct kpost_account *account);
void kpost_account_del_mailbox(struct kpost_account *account);

int kpost_charge(struct kpost_charge *charge, struct kpost_account *account, size_t bytes,
		 bool privileged);
void kpost_uncharge(struct kpost_charge *charge);

#endif /* KPOST_ACCOUNT_H */
