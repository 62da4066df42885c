// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <net/netns/generic.h>

#include "mailbox.h"
#include "office.h"
#include "wait.h"

static unsigned int office_id __read_mostly;

/* A task that waits for a name to appear. */
struct office_opener {
	struct kpost_waiter waiter;
	struct rb_node by_name; /* in office->awaited (protected by office->lock) */
	const char *name;
};

struct kpost_office *kpost_office(struct net *net)
{
	return net_generic(net, office_id);
}

/* As for files: a capability reaches only what its namespace knows the ids of. */
bool kpost_office_capable(struct kpost_office *office, int capability, kuid_t uid, kgid_t gid,
			  bool audit)
{
	struct user_namespace *ns = office->net->user_ns;

	if (!kuid_has_mapping(ns, uid) || !kgid_has_mapping(ns, gid))
		return false;
	return audit ? ns_capable(ns, capability) : ns_capable_noaudit(ns, capability);
}

/* The mailbox called @name, or NULL; not held. */
struct kpost_mailbox *kpost_office_find(struct kpost_office *office, const char *name)
{
	struct rb_node *node = office->names.rb_node;

	lockdep_assert_held(&office->lock);
	while (node) {
		struct kpost_mailbox *mailbox = rb_entry(node, struct kpost_mailbox, by_name);
		int order = strcmp(name, mailbox->name);

		if (!order)
			return mailbox;
		node = order < 0 ? node->rb_left : node->rb_right;
	}
	return NULL;
}

/* The first mailbox whose name sorts after @name, or NULL; not held. */
struct kpost_mailbox *kpost_office_after(struct kpost_office *office, const char *name)
{
	struct rb_node *node = office->names.rb_node;
	struct kpost_mailbox *after = NULL;

	lockdep_assert_held(&office->lock);
	while (node) {
		struct kpost_mailbox *mailbox = rb_entry(node, struct kpost_mailbox, by_name);

		if (strcmp(mailbox->name, name) > 0) {
			after = mailbox;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return after;
}

/*
 * Is who has @cred told of @mailbox where mailboxes are listed?  In an office that is private only
 * if it could open it.
 */
bool kpost_office_tells(struct kpost_office *office, struct kpost_mailbox *mailbox,
			const struct cred *cred)
{
	lockdep_assert_held(&office->lock);
	return !READ_ONCE(office->private) || kpost_mailbox_opens(mailbox, cred);
}

/*
 * The first mailbox whose name sorts after @after that who has @cred is told of, held, and @st its
 * state; or NULL if there is none; or -EINTR if the task was killed.  Those that are passed over
 * are not after @after any more, and each takes the lock anew: there may be many.
 */
struct kpost_mailbox *kpost_office_next(struct kpost_office *office, const struct cred *cred,
					char after[KPOST_NAME_MAX + 1], struct kpost_stat *st)
{
	struct kpost_mailbox *mailbox;
	bool passed;

	do {
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
		cond_resched();
		spin_lock(&office->lock);
		mailbox = kpost_office_after(office, after);
		passed = mailbox && !kpost_office_tells(office, mailbox, cred);
		if (passed) {
			strscpy(after, mailbox->name, KPOST_NAME_MAX + 1);
		} else if (mailbox) {
			kpost_mailbox_get(mailbox);
			kpost_mailbox_stat(mailbox, st);
		}
		spin_unlock(&office->lock);
	} while (passed);
	return mailbox;
}

/*
 * May the task give @name, which is free, as user @uid?  What is reserved is for those who may set
 * what is: root of the network namespace, as for its other sysctls.  Returns 0 or -EPERM.
 */
int kpost_office_may_name(struct kpost_office *office, const char *name, kuid_t uid)
{
	struct user_namespace *ns = office->net->user_ns;
	size_t len = strlen(office->reserved);

	lockdep_assert_held(&office->lock);
	if (!len || strncmp(name, office->reserved, len))
		return 0;
	if (uid_eq(uid, make_kuid(ns, 0)))
		return 0;
	/* Who acts for another has no power for it. */
	return uid_eq(uid, current_euid()) && ns_capable_noaudit(ns, CAP_NET_ADMIN) ? 0 : -EPERM;
}

/*
 * Give @mailbox its name, which is free, to be announced once the office is unlocked.
 * The office then holds it.
 */
void kpost_office_add(struct kpost_office *office, struct kpost_mailbox *mailbox)
{
	struct rb_node **link = &office->names.rb_node, *parent = NULL;
	struct kpost_mailbox *other;

	lockdep_assert_held(&office->lock);
	while (*link) {
		parent = *link;
		other = rb_entry(parent, struct kpost_mailbox, by_name);
		if (strcmp(mailbox->name, other->name) < 0)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&mailbox->by_name, parent, link);
	rb_insert_color(&mailbox->by_name, &office->names);
	spin_lock(&mailbox->lock);
	mailbox->named = true;
	spin_unlock(&mailbox->lock);
	kpost_mailbox_get(mailbox);
}

/* Take the name away; the caller drops the reference that the office had. */
void kpost_office_del(struct kpost_office *office, struct kpost_mailbox *mailbox)
{
	lockdep_assert_held(&office->lock);
	lockdep_assert_held(&mailbox->lock);
	rb_erase(&mailbox->by_name, &office->names);
	mailbox->named = false;
	mailbox->persistent = false;
}

/* Somebody who waits for @name, or NULL. */
static struct office_opener *office_opener_find(struct kpost_office *office, const char *name)
{
	struct rb_node *node = office->awaited.rb_node;

	lockdep_assert_held(&office->lock);
	while (node) {
		struct office_opener *opener = rb_entry(node, struct office_opener, by_name);
		int order = strcmp(name, opener->name);

		if (!order)
			return opener;
		node = order < 0 ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static void office_opener_add(struct kpost_office *office, struct office_opener *opener)
{
	struct rb_node **link = &office->awaited.rb_node, *parent = NULL;

	lockdep_assert_held(&office->lock);
	while (*link) {
		parent = *link;
		if (strcmp(opener->name, rb_entry(parent, struct office_opener, by_name)->name) < 0)
			link = &parent->rb_left;
		else
			link = &parent->rb_right;
	}
	rb_link_node(&opener->by_name, parent, link);
	rb_insert_color(&opener->by_name, &office->awaited);
}

/*
 * Tell those who wait for @name that it was given; a few at a time, not locked.  Once it
 * has gone those who are left wait for the next that is given: else who opens it, has it
 * closed, and waits again would keep this from ending.
 */
void kpost_office_announce(struct kpost_office *office, const char *name)
{
	struct kpost_wakes wakes = {};
	struct office_opener *opener;
	bool more;

	do {
		spin_lock(&office->lock);
		while (kpost_office_find(office, name) &&
		       (opener = office_opener_find(office, name)) && !kpost_wakes_full(&wakes)) {
			rb_erase(&opener->by_name, &office->awaited);
			kpost_waiter_done(&opener->waiter, 0, &wakes);
		}
		more = wakes.more;
		/* As by kpost_mailbox_unlock(): who was told is woken by nobody else. */
		preempt_disable();
		spin_unlock(&office->lock);
		kpost_wakes_wake(&wakes);
		preempt_enable();
		kpost_wakes_put(&wakes);
		cond_resched();
	} while (more);
}

/*
 * Wait until @name is given.  Called with the office locked and the name free,
 * returns with it unlocked: 0 if it was given, whatever became of it since, or
 * -ETIMEDOUT, -ERESTARTSYS.
 */
int kpost_office_await(struct kpost_office *office, const char *name, struct kpost_operand *op)
	__releases(&office->lock)
{
	struct office_opener opener = { .name = name };
	int err;

	lockdep_assert_held(&office->lock);
	kpost_waiter_init(&opener.waiter);
	office_opener_add(office, &opener);
	spin_unlock(&office->lock);

	err = kpost_waiter_wait(&opener.waiter, op);
	if (!err)
		return 0;

	spin_lock(&office->lock);
	if (opener.waiter.done)
		err = 0;
	else
		rb_erase(&opener.by_name, &office->awaited);
	spin_unlock(&office->lock);
	return err;
}

static int __net_init office_init(struct net *net)
{
	struct kpost_office *office = kpost_office(net);
	int err;

	office->net = net;
	spin_lock_init(&office->lock);
	office->names = RB_ROOT;
	office->awaited = RB_ROOT;
	kpost_accounts_init(&office->accounts);
	kpost_account_init_own(&office->own, office);

	err = kpost_account_sponsor(net->user_ns, &office->sponsor);
	if (err)
		return err;
	err = kpost_sysctl_init(office);
	if (err)
		goto err_sponsor;
	err = kpost_procfs_init(office);
	if (err)
		goto err_sysctl;
	return 0;

err_sysctl:
	kpost_sysctl_exit(office);
err_sponsor:
	if (office->sponsor)
		kpost_account_put(office->sponsor);
	return err;
}

static void __net_exit office_exit(struct net *net)
{
	struct kpost_office *office = kpost_office(net);
	struct kpost_mailbox *mailbox;

	kpost_procfs_exit(office);
	kpost_sysctl_exit(office);

	for (;;) {
		spin_lock(&office->lock);
		mailbox = kpost_office_after(office, "");
		if (mailbox)
			kpost_mailbox_unname(mailbox);
		spin_unlock(&office->lock);
		if (!mailbox)
			break;
		kpost_mailbox_unnamed(mailbox, false);
	}
	/* What still tells somebody holds an account of this office. */
	kpost_accounts_flush(office);
	WARN_ON_ONCE(atomic_long_read(&office->used[KPOST_CAPACITY]) ||
		     atomic_long_read(&office->used[KPOST_SENDING]));
	if (office->sponsor)
		kpost_account_put(office->sponsor);
}

static struct pernet_operations office_ops = {
	.init = office_init,
	.exit = office_exit,
	.id = &office_id,
	.size = sizeof(struct kpost_office),
};

int __init kpost_offices_init(void)
{
	return register_pernet_subsys(&office_ops);
}

void kpost_offices_exit(void)
{
	unregister_pernet_subsys(&office_ops);
}
