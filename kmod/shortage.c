// SPDX-License-Identifier: GPL-2.0-only
#include <linux/sched.h>

#include "account.h"
#include "endpoint.h"
#include "shortage.h"

static void shortage_tell(struct kpost_shortage *shortage)
{
	struct kpost_endpoint *endpoint = container_of(shortage, struct kpost_endpoint, shortage);

	kpost_pollers_owe(&endpoint->room, EPOLLOUT | EPOLLWRNORM, 1);
}

static void shortage_unlist(struct kpost_shortage *shortage)
{
	if (!shortage->lacks)
		return;
	spin_lock(&shortage->lacks->lock);
	list_del_init(&shortage->link);
	spin_unlock(&shortage->lacks->lock);
	shortage->lacks = NULL;
}

/*
 * Have it told of what is given back to whoever has not enough.  Returns false if all have, or
 * have got it just now.
 */
static bool shortage_list(struct kpost_shortage *shortage)
{
	struct kpost_account *lacks = kpost_account_short(shortage->account, shortage->bytes);

	if (!lacks)
		return false;
	if (shortage->lacks != lacks)
		shortage_unlist(shortage);
	shortage->lacks = lacks;
	spin_lock(&lacks->lock);
	if (list_empty(&shortage->link))
		list_add_tail(&shortage->link, &lacks->shortages);
	spin_unlock(&lacks->lock);
	/* Pairs with the one in kpost_uncharge(): what it gave back is seen here, or this there. */
	smp_mb();
	return kpost_account_short(shortage->account, shortage->bytes);
}

/* @account was refused @bytes for a message through @endpoint. */
void kpost_shortage_note(struct kpost_endpoint *endpoint, struct kpost_account *account,
			 size_t bytes)
{
	struct kpost_shortage *shortage = &endpoint->shortage;

	lockdep_assert_held(&endpoint->mailbox->lock);
	if (shortage->account != account) {
		/* Whoever waits for the other one looks again. */
		if (shortage->account)
			shortage_tell(shortage);
		kpost_shortage_end(endpoint);
		refcount_inc(&account->refs);
		shortage->account = account;
	}
	shortage->bytes = bytes;
	/* Who is only told of what changes may have been told too early. */
	if (!shortage_list(shortage))
		shortage_tell(shortage);
}

/* Is @endpoint, for the task, one through which a message was refused, and would be again? */
bool kpost_shortage_lasts(struct kpost_endpoint *endpoint)
{
	struct kpost_shortage *shortage = &endpoint->shortage;

	lockdep_assert_held(&endpoint->mailbox->lock);
	if (likely(!shortage->bytes) || !kpost_account_is_tasks(shortage->account))
		return false;
	if (shortage_list(shortage))
		return true;
	/* It is over, until the next is refused.  Those in the list are still told. */
	shortage->bytes = 0;
	return false;
}

void kpost_shortage_end(struct kpost_endpoint *endpoint)
{
	struct kpost_shortage *shortage = &endpoint->shortage;

	lockdep_assert_held(&endpoint->mailbox->lock);
	if (!shortage->account)
		return;
	shortage_unlist(shortage);
	kpost_account_put(shortage->account);
	shortage->account = NULL;
	shortage->bytes = 0;
}

/* Tell all that are in the list. */
void kpost_shortages_work(struct kpost_account *account)
{
	LIST_HEAD(list);

	spin_lock(&account->lock);
	list_splice_init(&account->shortages, &list);
	while (!list_empty(&list)) {
		struct kpost_shortage *shortage =
			list_first_entry(&list, struct kpost_shortage, link);

		/* Under the lock, since an endpoint takes itself off before it goes. */
		list_del_init(&shortage->link);
		shortage_tell(shortage);
		cond_resched_lock(&account->lock);
	}
	spin_unlock(&account->lock);
}

/* Something was given back to @account, which is held. */
void kpost_shortages_tell(struct kpost_account *account)
{
	if (likely(list_empty(&account->shortages)))
		return;
	refcount_inc(&account->refs);
	if (!kpost_pollers_queue(&account->work))
		kpost_account_put(account);
}
