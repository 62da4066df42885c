// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "account.h"
#include "office.h"

static struct kpost_account *account_find(struct kpost_office *office, kuid_t uid)
{
	struct kpost_account *account;

	lockdep_assert_held(&office->accounts_lock);
	hash_for_each_possible(office->accounts, account, link, __kuid_val(uid)) {
		if (!uid_eq(account->uid, uid))
			continue;
		refcount_inc(&account->refs);
		return account;
	}
	return NULL;
}

/* The user that has to pay for what the task does. */
kuid_t kpost_account_user(const struct kpost_office *office)
{
	const struct user_namespace *ns = current_user_ns();
	kuid_t uid = current_uid();

	for (; ns != office->net->user_ns && ns->parent; ns = ns->parent)
		uid = ns->owner;
	return uid;
}

/* May the task go past limits?  Being refused that is nothing to audit. */
bool kpost_account_privileged(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
}

/* That user's account, held; NULL if there is no memory for it. */
struct kpost_account *kpost_account_get(struct kpost_office *office)
{
	kuid_t uid = kpost_account_user(office);
	struct kpost_account *account, *fresh;

	spin_lock(&office->accounts_lock);
	account = account_find(office, uid);
	spin_unlock(&office->accounts_lock);
	if (likely(account))
		return account;

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return NULL;
	fresh->office = office;
	fresh->uid = uid;
	refcount_set(&fresh->refs, 1);

	spin_lock(&office->accounts_lock);
	account = account_find(office, uid);
	if (!account) {
		hash_add(office->accounts, &fresh->link, __kuid_val(uid));
		swap(account, fresh);
	}
	spin_unlock(&office->accounts_lock);
	kfree(fresh);
	return account;
}

void kpost_account_put(struct kpost_account *account)
{
	struct kpost_office *office = account->office;
	bool last;

	/* The last one has the lock, so that nobody finds it meanwhile. */
	if (refcount_dec_not_one(&account->refs))
		return;
	spin_lock(&office->accounts_lock);
	last = refcount_dec_and_test(&account->refs);
	if (last)
		hash_del(&account->link);
	spin_unlock(&office->accounts_lock);
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

/* Count a mailbox; the account is held by it. Returns 0, -ENOSPC or -EDQUOT. */
int kpost_account_add_mailbox(struct kpost_account *account)
{
	struct kpost_office *office = account->office;

	/* The user first, so that one over its limit takes nothing from the others. */
	if (!counter_add(&account->mailboxes, 1, kpost_limit(office, user_mailboxes), true))
		return -EDQUOT;
	if (!counter_add(&office->mailboxes, 1, kpost_limit(office, office_mailboxes), true)) {
		atomic_long_dec(&account->mailboxes);
		return -ENOSPC;
	}
	refcount_inc(&account->refs);
	return 0;
}

void kpost_account_del_mailbox(struct kpost_account *account)
{
	atomic_long_dec(&account->mailboxes);
	atomic_long_dec(&account->office->mailboxes);
	kpost_account_put(account);
}

/*
 * Charge @bytes, past limits only if @privileged and the task is so too.  Returns 0,
 * -ENOBUFS (the office has no more) or -EDQUOT.
 */
int kpost_charge(struct kpost_charge *charge, struct kpost_account *account, size_t bytes,
		 bool privileged)
{
	struct kpost_office *office = account->office;

	if (!counter_add(&account->bytes, bytes, kpost_limit(office, user_bytes), privileged))
		return -EDQUOT;
	if (!counter_add(&office->bytes, bytes, kpost_limit(office, office_bytes), privileged)) {
		atomic_long_sub(bytes, &account->bytes);
		return -ENOBUFS;
	}
	refcount_inc(&account->refs);
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
	atomic_long_sub(charge->bytes, &account->bytes);
	atomic_long_sub(charge->bytes, &account->office->bytes);
	kpost_account_put(account);
}
