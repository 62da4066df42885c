// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "account.h"
#include "office.h"
#include "shortage.h"

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

/* Does what the task does count for no user?  That it does is nothing to audit. */
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

/* Tell those who were short of something; who queued this holds the account.  Or free it. */
static void account_work(struct work_struct *work)
{
	struct kpost_account *account = container_of(work, struct kpost_account, work);

	if (refcount_read(&account->refs)) {
		kpost_shortages_work(account);
		kpost_account_put(account);
	} else {
		kpost_teller_exit(&account->teller);
		kfree(account);
	}
}

static void account_init(struct kpost_account *account, struct kpost_accounts *accounts,
			 struct kpost_office *office, kuid_t uid)
{
	account->accounts = accounts;
	account->office = office;
	account->uid = uid;
	refcount_set(&account->refs, 1);
	kpost_teller_init(&account->teller);
	spin_lock_init(&account->lock);
	INIT_LIST_HEAD(&account->shortages);
	INIT_WORK(&account->work, account_work);
}

/* The account of @office itself, which is part of it, zeroed, and never the last to be put. */
void kpost_account_init_own(struct kpost_account *own, struct kpost_office *office)
{
	account_init(own, &office->accounts, office, INVALID_UID);
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
	account_init(fresh, accounts, office, uid);

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

/* Who pays for what the task does, held: its user, or the office; NULL for want of memory. */
struct kpost_account *kpost_account_payer(struct kpost_office *office)
{
	if (!kpost_account_privileged())
		return kpost_account_get(office);
	refcount_inc(&office->own.refs);
	return &office->own;
}

/*
 * Of an office that goes, only works still hold accounts: those that tell somebody of room.
 * Wait for these.
 */
void kpost_accounts_flush(struct kpost_office *office)
{
	struct kpost_accounts *accounts = &office->accounts;
	struct kpost_account *account;
	unsigned int bucket;
	bool last;

	flush_work(&office->own.work);
	do {
		spin_lock(&accounts->lock);
		hash_for_each(accounts->by_uid, bucket, account, link) {
			refcount_inc(&account->refs);
			break;
		}
		spin_unlock(&accounts->lock);
		if (!account)
			return;
		flush_work(&account->work);
		last = refcount_read(&account->refs) == 1;
		kpost_account_put(account);
	} while (!WARN_ON_ONCE(!last));
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
	WARN_ON_ONCE(atomic_long_read(&account->used[KPOST_CAPACITY]) ||
		     atomic_long_read(&account->used[KPOST_SENDING]));
	/* It may be under a lock; and the teller's work may be on its way yet. */
	kpost_pollers_queue(&account->work);
}

static unsigned long share_limit(const struct kpost_office *office, enum kpost_share share)
{
	return share == KPOST_CAPACITY ? kpost_limit(office, user_bytes) :
					 kpost_limit(office, user_sending_bytes);
}

static unsigned long office_limit(const struct kpost_office *office, enum kpost_share share)
{
	return share == KPOST_CAPACITY ? kpost_limit(office, office_bytes) :
					 kpost_limit(office, office_sending_bytes);
}

/* Add @n unless that goes past @max. */
static bool counter_add(atomic_long_t *counter, long n, long max)
{
	long old = atomic_long_read(counter);

	do {
		if (unlikely(n > max - old))
			return false;
	} while (!atomic_long_try_cmpxchg(counter, &old, old + n));
	return true;
}

/* Is it the office's own? */
bool kpost_account_is_own(const struct kpost_account *account)
{
	return account == &account->office->own;
}

/* What the task's user has of @share. */
unsigned long kpost_account_used(struct kpost_office *office, enum kpost_share share)
{
	struct kpost_account *account;
	unsigned long used = 0;

	spin_lock(&office->accounts.lock);
	account = account_find(&office->accounts, kpost_account_user());
	spin_unlock(&office->accounts.lock);
	if (account) {
		used = atomic_long_read(&account->used[share]);
		kpost_account_put(account);
	}
	return used;
}

/* Who else pays for what counts for @account: the office is a user's, and this is not its own. */
static struct kpost_account *account_sponsor(const struct kpost_account *account)
{
	return kpost_account_is_own(account) ? NULL : account->office->sponsor;
}

/* Would that work, or will it never, whatever is given back? */
static bool counter_has(const atomic_long_t *counter, long n, long max)
{
	long used = atomic_long_read(counter);

	return !used || n <= max - used;
}

/*
 * Who has no @bytes of the sending share left, of those that kpost_charge() asks: @account,
 * its sponsor, or the office, for which its own account stands.  NULL if all have.
 */
struct kpost_account *kpost_account_short(struct kpost_account *account, long bytes)
{
	struct kpost_office *office = account->office;
	struct kpost_account *sponsor = account_sponsor(account);
	bool own = kpost_account_is_own(account);
	long all = office_limit(office, KPOST_SENDING);

	if (!own &&
	    !counter_has(&account->used[KPOST_SENDING], bytes, share_limit(office, KPOST_SENDING)))
		return account;
	if (sponsor && !counter_has(&sponsor->used[KPOST_SENDING], bytes,
				    share_limit(sponsor->office, KPOST_SENDING)))
		return sponsor;
	if (!counter_has(&office->used[KPOST_SENDING], bytes, own ? all : all - all / 10))
		return &office->own;
	return NULL;
}

/* Is it what the task would be charged to? */
bool kpost_account_is_tasks(const struct kpost_account *account)
{
	if (kpost_account_is_own(account))
		return kpost_account_privileged();
	return uid_eq(account->uid, kpost_account_user());
}

/*
 * Count @bytes more for @account, which is held, its office, and whoever has to pay for that.
 * The users first, so that one over its limit takes nothing from the others.  Returns 0,
 * -EDQUOT or -ENOSPC.
 */
int kpost_account_add(struct kpost_account *account, enum kpost_share share, long bytes)
{
	struct kpost_office *office = account->office;
	struct kpost_account *sponsor = account_sponsor(account);
	bool own = kpost_account_is_own(account);
	long all = office_limit(office, share);
	int err = -EDQUOT;

	if (!counter_add(&account->used[share], bytes, own ? LONG_MAX : share_limit(office, share)))
		return err;
	if (sponsor &&
	    !counter_add(&sponsor->used[share], bytes, share_limit(sponsor->office, share)))
		goto err_sponsor;
	err = -ENOSPC;
	if (!counter_add(&office->used[share], bytes, own ? all : all - all / 10))
		goto err_office;
	return 0;

err_office:
	if (sponsor)
		atomic_long_sub(bytes, &sponsor->used[share]);
err_sponsor:
	atomic_long_sub(bytes, &account->used[share]);
	return err;
}

void kpost_account_sub(struct kpost_account *account, enum kpost_share share, long bytes)
{
	struct kpost_account *sponsor = account_sponsor(account);

	atomic_long_sub(bytes, &account->used[share]);
	if (sponsor)
		atomic_long_sub(bytes, &sponsor->used[share]);
	atomic_long_sub(bytes, &account->office->used[share]);
}

/*
 * Charge @bytes to the sending share.  Returns 0, -ENOBUFS (the office has no more) or
 * -EDQUOT.
 */
int kpost_charge(struct kpost_charge *charge, struct kpost_account *account, size_t bytes)
{
	int err = kpost_account_add(account, KPOST_SENDING, bytes);

	if (err)
		return err == -ENOSPC ? -ENOBUFS : err;
	refcount_inc(&account->refs);
	charge->account = account;
	charge->bytes = bytes;
	return 0;
}

/* Have @bytes of what was charged be given back apart from the rest, to what is returned. */
struct kpost_account *kpost_charge_split(struct kpost_charge *from, size_t bytes)
{
	refcount_inc(&from->account->refs);
	from->bytes -= bytes;
	return from->account;
}

/* Give back @bytes that were charged to @account, and the reference that held it for that. */
void kpost_account_uncharge(struct kpost_account *account, size_t bytes)
{
	struct kpost_account *sponsor;

	kpost_account_sub(account, KPOST_SENDING, bytes);
	/* Pairs with the one in shortage_list(): one of us sees the other. */
	smp_mb__after_atomic();
	sponsor = account_sponsor(account);
	kpost_shortages_tell(account);
	if (sponsor)
		kpost_shortages_tell(sponsor);
	kpost_shortages_tell(&account->office->own);
	kpost_account_put(account);
}

/* Give back what was charged; harmless if nothing was. */
void kpost_uncharge(struct kpost_charge *charge)
{
	struct kpost_account *account = charge->account;

	charge->account = NULL;
	if (account)
		kpost_account_uncharge(account, charge->bytes);
}
