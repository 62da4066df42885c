// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "account.h"
#include "office.h"

/* Of users in whose user namespaces there are offices. */
static struct kpost_accounts sponsors = {
	.lock = __SPIN_LOCK_UNLOCKED(sponsors.lock),
};

void kpost_accounts_init(struct kpost_accounts *accounts)
{
	spin_lock_init(&accounts->lock);
	hash_init(accounts->by_uid);
}

/* The owner of the outermost namespace, of @ns and those around it, that root did not make. */
static bool namespace_user(const struct user_namespace *ns, kuid_t *uid)
{
	bool found = false;

	for (; ns->parent; ns = ns->parent) {
		if (uid_eq(ns->owner, GLOBAL_ROOT_UID))
			continue;
		*uid = ns->owner;
		found = true;
	}
	return found;
}

/* The user that has to pay for what the task does. */
kuid_t kpost_account_user(void)
{
	kuid_t uid = current_uid();

	namespace_user(current_user_ns(), &uid);
	return uid;
}

/* May the task go past limits?  Being refused that is nothing to audit. */
bool kpost_account_privileged(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
}

static struct kpost_account *account_find(struct kpost_accounts *accounts, kuid_t uid)
{
	struct kpost_account *account;

	lockdep_assert_held(&accounts->lock);
	hash_for_each_possible(accounts->by_uid, account, link, __kuid_val(uid)) {
		if (!uid_eq(account->uid, uid))
			continue;
		refcount_inc(&account->refs);
		return account;
	}
	return NULL;
}

/* @uid's account, held; NULL if there is no memory for it. */
static struct kpost_account *account_get(struct kpost_accounts *accounts,
					 struct kpost_office *office, kuid_t uid)
{
	struct kpost_account *account, *fresh;

	spin_lock(&accounts->lock);
	account = account_find(accounts, uid);
	spin_unlock(&accounts->lock);
	if (likely(account))
		return account;

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return NULL;
	fresh->accounts = accounts;
	fresh->office = office;
	fresh->uid = uid;
	refcount_set(&fresh->refs, 1);
	kpost_patience_init(&fresh->patience);

	spin_lock(&accounts->lock);
	account = account_find(accounts, uid);
	if (!account) {
		hash_add(accounts->by_uid, &fresh->link, __kuid_val(uid));
		swap(account, fresh);
	}
	spin_unlock(&accounts->lock);
	kfree(fresh);
	return account;
}

/* The account of the task's user, held; NULL if there is no memory for it. */
struct kpost_account *kpost_account_get(struct kpost_office *office)
{
	return account_get(&office->accounts, office, kpost_account_user());
}

/*
 * Who has to pay besides for an office whose network namespace is @ns's: @sponsor, held,
 * or NULL if nobody has to.  Returns 0 or -ENOMEM.
 */
int kpost_account_sponsor(const struct user_namespace *ns, struct kpost_account **sponsor)
{
	kuid_t uid;

	*sponsor = NULL;
	if (!namespace_user(ns, &uid))
		return 0;
	*sponsor = account_get(&sponsors, kpost_office(&init_net), uid);
	return *sponsor ? 0 : -ENOMEM;
}

void kpost_account_put(struct kpost_account *account)
{
	struct kpost_accounts *accounts = account->accounts;
	bool last;

	/* The last one has the lock, so that nobody finds it meanwhile. */
	if (refcount_dec_not_one(&account->refs))
		return;
	spin_lock(&accounts->lock);
	last = refcount_dec_and_test(&account->refs);
	if (last)
		hash_del(&account->link);
	spin_unlock(&accounts->lock);
	if (!last)
		return;
	WARN_ON_ONCE(atomic_long_read(&account->bytes) || atomic_long_read(&account->mailboxes));
	kfree(account);
}

/* Add @n unless that goes past @max and the task has no privilege to do so, or must not use it. */
static bool counter_add(atomic_long_t *counter, long n, long max, bool privileged)
{
	long old = atomic_long_read(counter);

	do {
		if (unlikely(n > max - old) && !(privileged && kpost_account_privileged()))
			return false;
	} while (!atomic_long_try_cmpxchg(counter, &old, old + n));
	return true;
}

enum counted {
	MAILBOXES,
	BYTES,
};

static atomic_long_t *account_counter(struct kpost_account *account, enum counted what)
{
	return what == BYTES ? &account->bytes : &account->mailboxes;
}

static unsigned long user_limit(const struct kpost_office *office, enum counted what)
{
	return what == BYTES ? kpost_limit(office, user_bytes) :
			       kpost_limit(office, user_mailboxes);
}

/*
 * Count @n more for @account, its office, and whoever has to pay for that.  The users
 * first, so that one over its limit takes nothing from the others.  Returns 0, -EDQUOT or
 * -ENOSPC.
 */
static int account_add(struct kpost_account *account, enum counted what, long n, bool privileged)
{
	struct kpost_office *office = account->office;
	struct kpost_account *sponsor = office->sponsor;
	atomic_long_t *all = what == BYTES ? &office->bytes : &office->mailboxes;
	long max = what == BYTES ? kpost_limit(office, office_bytes) :
				   kpost_limit(office, office_mailboxes);
	int err = -EDQUOT;

	if (!counter_add(account_counter(account, what), n, user_limit(office, what), privileged))
		return err;
	if (sponsor && !counter_add(account_counter(sponsor, what), n,
				    user_limit(sponsor->office, what), privileged))
		goto err_sponsor;
	err = -ENOSPC;
	if (!counter_add(all, n, max, privileged))
		goto err_office;
	refcount_inc(&account->refs);
	return 0;

err_office:
	if (sponsor)
		atomic_long_sub(n, account_counter(sponsor, what));
err_sponsor:
	atomic_long_sub(n, account_counter(account, what));
	return err;
}

static void account_sub(struct kpost_account *account, enum counted what, long n)
{
	struct kpost_office *office = account->office;

	atomic_long_sub(n, account_counter(account, what));
	if (office->sponsor)
		atomic_long_sub(n, account_counter(office->sponsor, what));
	atomic_long_sub(n, what == BYTES ? &office->bytes : &office->mailboxes);
	kpost_account_put(account);
}

/* Count a mailbox; the account is held by it. Returns 0, -ENOSPC or -EDQUOT. */
int kpost_account_add_mailbox(struct kpost_account *account)
{
	return account_add(account, MAILBOXES, 1, true);
}

void kpost_account_del_mailbox(struct kpost_account *account)
{
	account_sub(account, MAILBOXES, 1);
}

/*
 * Charge @bytes, past limits only if @privileged and the task is so too.  Returns 0,
 * -ENOBUFS (the office has no more) or -EDQUOT.
 */
int kpost_charge(struct kpost_charge *charge, struct kpost_account *account, size_t bytes,
		 bool privileged)
{
	int err = account_add(account, BYTES, bytes, privileged);

	if (err)
		return err == -ENOSPC ? -ENOBUFS : err;
	charge->account = account;
	charge->bytes = bytes;
	return 0;
}

/* Give back what was charged; harmless if nothing was. */
void kpost_uncharge(struct kpost_charge *charge)
{
	struct kpost_account *account = charge->account;

	if (!account)
		return;
	charge->account = NULL;
	account_sub(account, BYTES, charge->bytes);
}
