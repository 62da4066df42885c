// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "call.h"
#include "clock.h"
#include "compat/compat.h"
#include "endpoint.h"
#include "hold.h"
#include "overflow.h"
#include "pollers.h"
#include "process.h"
#include "recv.h"
#include "room.h"
#include "trace.h"

/* What one held message counts for: its hold, what the message gets, and who holds it. */
#define HOLD_BYTES 512
/* How late the timer may be, so that what goes back at about the same time shares it. */
#define HOLD_SLACK NSEC_PER_MSEC

/* What is held through one endpoint. */
struct kpost_holder {
	struct rb_root holds; /* by token (protected by the mailbox's lock, as is all) */
	u32 messages;
	u64 bytes;
};

/* What goes back at a time by one clock. */
struct kpost_timed {
	struct kpost_holding *holding; /* fixed */
	enum kpost_clock clock; /* fixed */
	struct rb_root_cached holds; /* of struct kpost_hold (protected by the mailbox's lock) */
	struct hrtimer timer; /* for the first of them, or one that was */
};

/* Of one mailbox, once a message was to be held. */
struct kpost_holding {
	struct kpost_mailbox *mailbox; /* fixed */
	struct kpost_timed by[KPOST_CLOCKS];
	struct work_struct work;
};

static struct kpost_hold *timed_of(struct rb_node *node)
{
	return rb_entry(node, struct kpost_hold, by_time);
}

static bool timed_before(struct rb_node *a, const struct rb_node *b)
{
	return timed_of(a)->until < rb_entry(b, struct kpost_hold, by_time)->until;
}

/* The hold whose time comes first, or NULL. */
static struct kpost_hold *timed_first(struct kpost_timed *timed)
{
	struct rb_node *first = rb_first_cached(&timed->holds);

	return first ? timed_of(first) : NULL;
}

static void timed_start(struct kpost_timed *timed, const struct kpost_hold *first)
{
	lockdep_assert_held(&timed->holding->mailbox->lock);
	hrtimer_start_range_ns(&timed->timer, first->until, HOLD_SLACK, HRTIMER_MODE_ABS_SOFT);
}

static void timed_add(struct kpost_mailbox *mailbox, struct kpost_hold *hold)
{
	struct kpost_timed *timed = &mailbox->losses->holding->by[hold->clock];

	/* The timer of one that was before and has gone goes off for nothing, once. */
	if (rb_add_cached(&hold->by_time, &timed->holds, timed_before))
		timed_start(timed, hold);
}

static void timed_del(struct kpost_mailbox *mailbox, struct kpost_hold *hold)
{
	if (RB_EMPTY_NODE(&hold->by_time))
		return;
	rb_erase_cached(&hold->by_time, &mailbox->losses->holding->by[hold->clock].holds);
	RB_CLEAR_NODE(&hold->by_time);
}

/* How many messages one endpoint may hold. */
u32 kpost_holding_max(const struct kpost_mailbox *mailbox)
{
	u32 most = mailbox->losses ? mailbox->losses->held_max : 0;

	lockdep_assert_held(&mailbox->lock);
	return most ? min(most, mailbox->max_messages) : max(mailbox->max_messages / 2, 1u);
}

/* Could @holder hold a message of @size bytes more? */
static bool holder_may(const struct kpost_mailbox *mailbox, const struct kpost_holder *holder,
		       size_t size)
{
	u32 most = kpost_holding_max(mailbox);

	if (holder->messages >= most)
		return false;
	return !holder->messages ||
	       holder->bytes + size <=
		       mul_u64_u32_div(mailbox->max_bytes, most, mailbox->max_messages);
}

/* Can @message be held?  A call only if to do it twice does no harm. */
bool kpost_hold_applies(const struct kpost_message *message)
{
	return !message->call || message->call->retry;
}

/* Is somebody replying to the call that is held? */
static bool hold_claimed(const struct kpost_hold *hold)
{
	const struct kpost_call_state *call = hold->message->call;

	return call && call->claimed;
}

struct kpost_hold *kpost_hold_find(struct kpost_endpoint *endpoint, u64 token)
{
	struct rb_node *node = endpoint->holder ? endpoint->holder->holds.rb_node : NULL;

	lockdep_assert_held(&endpoint->mailbox->lock);
	while (node) {
		struct kpost_hold *hold = rb_entry(node, struct kpost_hold, link);

		if (hold->token == token)
			return hold;
		node = token < hold->token ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static bool hold_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct kpost_hold, link)->token <
	       rb_entry(b, struct kpost_hold, link)->token;
}

static void hold_leave_process(struct kpost_hold *hold)
{
	spin_lock(&hold->process->lock);
	list_del_init(&hold->of_process);
	spin_unlock(&hold->process->lock);
}

/* @hold ends: its message is the caller's, who frees it, too. */
void kpost_hold_take(struct kpost_endpoint *endpoint, struct kpost_hold *hold)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;

	lockdep_assert_held(&mailbox->lock);
	rb_erase(&hold->link, &endpoint->holder->holds);
	endpoint->holder->messages--;
	endpoint->holder->bytes -= hold->message->size;
	mailbox->losses->held--;
	hold_leave_process(hold);
	timed_del(mailbox, hold);
}

/*
 * @hold ends, and its message goes back, unless its sender has withdrawn it.  Returns whether it
 * has: then the message is to be discarded.
 */
static bool hold_back(struct kpost_endpoint *endpoint, struct kpost_hold *hold,
		      struct kpost_wakes *wakes)
{
	kpost_hold_take(endpoint, hold);
	hold->message->extra->attempts++;
	trace_kpost_return(endpoint->mailbox, hold->message);
	return kpost_message_back(endpoint->mailbox, hold->message, wakes);
}

/* The same, once the lock was dropped. */
static void hold_gone(struct kpost_mailbox *mailbox, struct kpost_hold *hold, bool withdrawn)
{
	if (withdrawn)
		kpost_message_discard(mailbox, hold->message);
	kpost_hold_free(hold);
}

/* ---- what was returned for later ------------------------------------------------------ */

/*
 * @message, which nobody holds any more, is to go back when it is @until by the kernel's @clock;
 * @hold is its own then.
 */
static void delayed_add(struct kpost_mailbox *mailbox, struct kpost_message *message,
			struct kpost_hold *hold, ktime_t until, enum kpost_clock clock)
{
	hold->until = until;
	hold->clock = clock;
	hold->endpoint = NULL;
	message->extra->hold = hold;
	message->state = KPOST_DELAYED;
	mailbox->losses->held++;
	timed_add(mailbox, hold);
}

/* It is in nothing then; its hold is still its own. */
void kpost_hold_delayed_withdraw(struct kpost_mailbox *mailbox, struct kpost_message *message)
{
	lockdep_assert_held(&mailbox->lock);
	mailbox->losses->held--;
	timed_del(mailbox, message->extra->hold);
}

/* Of a mailbox that was closed, in which nothing is held: the next that is delayed, or NULL. */
struct kpost_message *kpost_hold_delayed_first(struct kpost_mailbox *mailbox)
{
	struct kpost_losses *losses = kpost_losses(mailbox);
	struct kpost_hold *hold = NULL;
	unsigned int i;

	lockdep_assert_held(&mailbox->lock);
	if (!losses || !losses->holding)
		return NULL;
	for (i = 0; i < KPOST_CLOCKS && !hold; i++)
		hold = timed_first(&losses->holding->by[i]);
	if (!hold)
		return NULL;
	kpost_hold_delayed_withdraw(mailbox, hold->message);
	return hold->message;
}

/* Put back the first message whose time has come.  Returns whether there may be more. */
static bool timed_return_first(struct kpost_timed *timed)
{
	struct kpost_mailbox *mailbox = timed->holding->mailbox;
	struct kpost_wakes wakes = {};
	struct kpost_hold *hold;
	bool withdrawn = false, due;

	spin_lock(&mailbox->lock);
	hold = timed_first(timed);
	due = hold && hold->until <= kpost_clock_now(timed->clock);
	if (!due) {
		if (hold)
			timed_start(timed, hold);
		hold = NULL;
	} else if (!hold->endpoint) {
		kpost_hold_delayed_withdraw(mailbox, hold->message);
		hold->message->extra->hold = NULL;
		kpost_message_back(mailbox, hold->message, &wakes);
	} else if (hold_claimed(hold)) {
		timed_del(mailbox, hold);
		hold->over = true;
		hold = NULL;
	} else {
		withdrawn = hold_back(hold->endpoint, hold, &wakes);
	}
	kpost_mailbox_unlock(mailbox, &wakes);
	if (hold)
		hold_gone(mailbox, hold, withdrawn);
	return due;
}

static void holding_work(struct work_struct *work)
{
	struct kpost_holding *holding = container_of(work, struct kpost_holding, work);
	unsigned int i;

	for (i = 0; i < KPOST_CLOCKS; i++)
		while (timed_return_first(&holding->by[i]))
			cond_resched();
}

static enum hrtimer_restart timed_over(struct hrtimer *timer)
{
	kpost_pollers_queue(&container_of(timer, struct kpost_timed, timer)->holding->work);
	return HRTIMER_NORESTART;
}

/* Have messages of @mailbox held.  Returns 0 or -ENOMEM. */
static int holding_prepare(struct kpost_mailbox *mailbox)
{
	struct kpost_holding *holding;
	int err = kpost_losses_prepare(mailbox);
	unsigned int i;

	/* Pairs with the store below, which somebody else may have done. */
	if (err || smp_load_acquire(&mailbox->losses->holding))
		return err;
	holding = kmalloc(sizeof(*holding), GFP_KERNEL_ACCOUNT);
	if (!holding)
		return -ENOMEM;
	holding->mailbox = mailbox;
	for (i = 0; i < KPOST_CLOCKS; i++) {
		struct kpost_timed *timed = &holding->by[i];

		timed->holding = holding;
		timed->clock = i;
		timed->holds = RB_ROOT_CACHED;
		kpost_compat_hrtimer_setup(&timed->timer, timed_over, kpost_clock_id(i));
	}
	INIT_WORK(&holding->work, holding_work);
	if (cmpxchg_release(&mailbox->losses->holding, NULL, holding))
		kfree(holding);
	return 0;
}

/* Of a mailbox that is to be freed, or NULL: it has no messages. */
void kpost_holding_free(struct kpost_holding *holding)
{
	unsigned int i;

	if (!holding)
		return;
	for (i = 0; i < KPOST_CLOCKS; i++)
		hrtimer_cancel(&holding->by[i].timer);
	cancel_work_sync(&holding->work);
	kfree(holding);
}

/* ---- to begin with -------------------------------------------------------------------- */

static int holder_prepare(struct kpost_endpoint *endpoint)
{
	struct kpost_holder *holder;

	/* Pairs with the store below, which somebody else may have done. */
	if (smp_load_acquire(&endpoint->holder))
		return 0;
	holder = kzalloc(sizeof(*holder), GFP_KERNEL_ACCOUNT);
	if (!holder)
		return -ENOMEM;
	if (cmpxchg_release(&endpoint->holder, NULL, holder))
		kfree(holder);
	return 0;
}

/* What no message was held with, or has ended; or NULL. */
void kpost_hold_free(struct kpost_hold *hold)
{
	if (!hold)
		return;
	kpost_process_put(hold->process);
	kpost_uncharge(&hold->charge);
	kfree(hold->spare);
	kfree(hold);
}

/*
 * All that it takes to hold a message through @endpoint, until @until by the task's @clock if that
 * is not 0.  Returns it or -EINVAL, -ETIMEDOUT, -EBUSY, -EDQUOT, -ENOBUFS, -ENOMEM.
 */
struct kpost_hold *kpost_hold_new(struct kpost_endpoint *endpoint, u64 until,
				  enum kpost_clock clock)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_charge charge;
	struct kpost_hold *hold;
	bool may;
	int err;

	if (until > S64_MAX)
		return ERR_PTR(-EINVAL);
	if (kpost_deadline_passed(until, clock))
		return ERR_PTR(-ETIMEDOUT);
	err = holding_prepare(mailbox) ?: holder_prepare(endpoint);
	if (err)
		return ERR_PTR(err);
	/* Before it waits; what counts is how much it holds then. */
	spin_lock(&mailbox->lock);
	may = holder_may(mailbox, endpoint->holder, 0);
	spin_unlock(&mailbox->lock);
	if (!may)
		return ERR_PTR(-EBUSY);
	err = kpost_endpoint_charge(endpoint, &charge, HOLD_BYTES, false);
	if (err)
		return ERR_PTR(err);
	hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);
	if (!hold) {
		kpost_uncharge(&charge);
		return ERR_PTR(-ENOMEM);
	}
	hold->charge = charge;
	hold->token = kpost_token_new();
	hold->until = until ? max_t(ktime_t, kpost_deadline_on_host(until, clock), 1) : 0;
	hold->clock = clock;
	INIT_LIST_HEAD(&hold->of_process);
	RB_CLEAR_NODE(&hold->by_time);
	hold->spare = kpost_extra_new();
	hold->process = kpost_process_of_task(GFP_KERNEL_ACCOUNT);
	if (!hold->spare || !hold->process) {
		kpost_hold_free(hold);
		return ERR_PTR(-ENOMEM);
	}
	return hold;
}

/*
 * The task has @message, which was copied out: hold it from here on.  Returns 0, or -EBUSY if the
 * endpoint holds too much, -ETIMEDOUT if it is too late for that, or -ECANCELED if its sender has
 * withdrawn it; then it is to be put back.
 */
int kpost_hold_begin(struct kpost_endpoint *endpoint, struct kpost_message *message,
		     struct kpost_hold *hold)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_holder *holder = endpoint->holder;
	int err = 0;

	spin_lock(&mailbox->lock);
	if (message->withdrawn) {
		err = -ECANCELED;
	} else if (!holder_may(mailbox, holder, message->size)) {
		err = -EBUSY;
	} else if (hold->until && hold->until <= kpost_clock_now(hold->clock)) {
		/* The task may have waited for long. */
		err = -ETIMEDOUT;
	} else {
		if (!message->extra) {
			kpost_extra_give(message, hold->spare);
			hold->spare = NULL;
		}
		message->state = KPOST_HELD;
		hold->message = message;
		hold->endpoint = endpoint;
		rb_add(&hold->link, &holder->holds, hold_before);
		holder->messages++;
		holder->bytes += message->size;
		mailbox->losses->held++;
		spin_lock(&hold->process->lock);
		list_add_tail(&hold->of_process, &hold->process->holds);
		spin_unlock(&hold->process->lock);
		if (hold->until)
			timed_add(mailbox, hold);
		trace_kpost_hold(mailbox, message);
	}
	spin_unlock(&mailbox->lock);
	return err;
}

/* ---- how it ends ---------------------------------------------------------------------- */

/*
 * The message that @token stands for is done with, or goes back, as @arg says.  What waits until
 * later counts for the task, from @charge if somebody else held it.  Returns 0 or -ENOENT, -EBUSY,
 * -EINVAL, -ECANCELED; or -EAGAIN if it takes a charge, and there is none.
 */
static int hold_end(struct kpost_endpoint *endpoint, u64 token, const struct kpost_reply *arg,
		    struct kpost_charge *charge)
{
	enum kpost_clock clock = kpost_clock_of(arg->flags);
	bool later = arg->not_before && !kpost_deadline_passed(arg->not_before, clock);
	bool done = arg->flags & KPOST_DONE, withdrawn;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_process *process = NULL;
	struct kpost_message *message;
	struct kpost_hold *hold;
	int err = 0;

	spin_lock(&mailbox->lock);
	hold = kpost_hold_find(endpoint, token);
	if (!hold)
		err = -ENOENT;
	else if (hold_claimed(hold))
		err = -EBUSY;
	else if (done && hold->message->call)
		err = -EINVAL;
	else if (later && !charge->bytes && !hold->message->withdrawn &&
		 !kpost_account_is_tasks(hold->charge.account))
		err = -EAGAIN;
	if (err) {
		spin_unlock(&mailbox->lock);
		return err;
	}
	message = hold->message;
	kpost_hold_take(endpoint, hold);
	if (!done) {
		message->extra->attempts++;
		trace_kpost_return(mailbox, message);
	}
	later = later && !message->withdrawn;
	if (later) {
		process = hold->process;
		hold->process = NULL;
		if (charge->bytes)
			swap(hold->charge, *charge);
		delayed_add(mailbox, message, hold, kpost_deadline_on_host(arg->not_before, clock),
			    clock);
	}
	spin_unlock(&mailbox->lock);
	if (later) {
		kpost_process_put(process);
		return 0;
	}
	/* In the task's hands, as if it had just copied it. */
	kpost_hold_free(hold);
	if (done)
		withdrawn = !kpost_message_receive(endpoint, message);
	else
		withdrawn = kpost_message_put_back(mailbox, message);
	return withdrawn ? -ECANCELED : 0;
}

/* The same, also if it takes a charge; then -EDQUOT, -ENOBUFS, -ENOMEM too. */
static int hold_end_charged(struct kpost_endpoint *endpoint, u64 token,
			    const struct kpost_reply *arg)
{
	struct kpost_charge charge = {};
	int err = hold_end(endpoint, token, arg, &charge);

	if (err != -EAGAIN)
		return err;
	err = kpost_endpoint_charge(endpoint, &charge, HOLD_BYTES, false);
	if (err)
		return err;
	err = hold_end(endpoint, token, arg, &charge);
	kpost_uncharge(&charge);
	return err;
}

/*
 * The same for the tokens in @arg's array.  Returns for how many, or why not for the first.  One
 * that is used up counts, also if its sender has left: to ask for it again would be ENOENT.
 */
static long holds_end(struct kpost_endpoint *endpoint, const struct kpost_reply *arg)
{
	const u64 __user *from = u64_to_user_ptr(arg->buf);
	u64 i, token;
	int err;

	for (i = 0; i < arg->len; i++) {
		err = get_user(token, from + i) ? -EFAULT : hold_end_charged(endpoint, token, arg);
		if (err == -ECANCELED)
			err = 0;
		if (!err && fatal_signal_pending(current))
			return i + 1;
		if (err)
			return i ?: err;
		cond_resched();
	}
	return i;
}

/*
 * KPOST_IOC_REPLY with KPOST_DONE or KPOST_RETURN.  @used, if given, is where the user keeps the
 * token, which is cleared when it is used up.
 */
long kpost_hold_end(struct kpost_operand *op, const struct kpost_reply *arg, u64 __user *used)
{
	bool done = arg->flags & KPOST_DONE, many = arg->flags & KPOST_TOKENS;
	int err;

	if (arg->flags & ~(KPOST_DONE | KPOST_RETURN | KPOST_TOKENS | KPOST_CLOCK_FLAGS) ||
	    !kpost_clock_flags_ok(arg->flags) || arg->reserved || arg->tag ||
	    arg->not_before > S64_MAX)
		return -EINVAL;
	if (done && (arg->flags & (KPOST_RETURN | KPOST_CLOCK_FLAGS) || arg->not_before))
		return -EINVAL;
	if (many) {
		if (arg->token || !arg->len || arg->len > KPOST_BATCH_MAX)
			return -EINVAL;
		if (!kpost_range_ok(arg->buf, arg->len * sizeof(u64)))
			return -EFAULT;
		return holds_end(op->endpoint, arg);
	}
	if (arg->buf || arg->len)
		return -EINVAL;
	/* Before it has its effect. */
	if (used && kpost_memory_touch(used, sizeof(*used)) != sizeof(*used))
		return -EFAULT;
	err = hold_end_charged(op->endpoint, arg->token, arg);
	if (used && (!err || err == -ECANCELED))
		(void)put_user(0, used);
	return err;
}

/* The endpoint goes, and all that is held through it goes back. */
void kpost_holds_end(struct kpost_endpoint *endpoint)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct rb_node *first;

	if (!endpoint->holder)
		return;
	do {
		struct kpost_wakes wakes = {};
		struct kpost_hold *hold = NULL;
		bool withdrawn = false;

		spin_lock(&mailbox->lock);
		first = rb_first(&endpoint->holder->holds);
		if (first) {
			hold = rb_entry(first, struct kpost_hold, link);
			withdrawn = hold_back(endpoint, hold, &wakes);
		}
		kpost_mailbox_unlock(mailbox, &wakes);
		if (hold)
			hold_gone(mailbox, hold, withdrawn);
		cond_resched();
	} while (first);
	kfree(endpoint->holder);
}

/*
 * @process has ended: put back the first of what it holds, but leave a call to who is about to
 * reply to it.  Returns whether there was one.
 */
bool kpost_hold_return_first(struct kpost_process *process)
{
	struct kpost_wakes wakes = {};
	struct kpost_mailbox *mailbox;
	struct kpost_hold *hold;
	bool withdrawn = false;
	struct net *net;

	/* As long as a hold is in the list, its endpoint has what leads to the mailbox. */
	spin_lock(&process->lock);
	hold = list_first_entry_or_null(&process->holds, struct kpost_hold, of_process);
	if (hold) {
		net = get_net(hold->endpoint->net);
		mailbox = hold->endpoint->mailbox;
		kpost_mailbox_get(mailbox);
	}
	spin_unlock(&process->lock);
	if (!hold)
		return false;

	spin_lock(&mailbox->lock);
	/* It may have gone, but what the first is now stays while its mailbox is locked. */
	spin_lock(&process->lock);
	hold = list_first_entry_or_null(&process->holds, struct kpost_hold, of_process);
	if (hold && hold->endpoint->mailbox != mailbox)
		hold = NULL;
	spin_unlock(&process->lock);
	if (hold && hold_claimed(hold)) {
		hold_leave_process(hold);
		hold->over = true;
		hold = NULL;
	}
	if (hold)
		withdrawn = hold_back(hold->endpoint, hold, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (hold)
		hold_gone(mailbox, hold, withdrawn);
	kpost_mailbox_put(mailbox);
	put_net(net);
	return true;
}

/* Nobody replies to the call that is held any more, and it was not answered. */
void kpost_hold_unclaimed(struct kpost_endpoint *endpoint, struct kpost_hold *hold)
{
	struct kpost_call_state *call = hold->message->call;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_message *trash = NULL;
	bool withdrawn = false, over;
	struct kpost_wakes wakes = {};

	spin_lock(&mailbox->lock);
	call->claimed = false;
	if (call->left)
		trash = kpost_call_shed_room(call);
	over = hold->over;
	if (over)
		withdrawn = hold_back(endpoint, hold, &wakes);
	kpost_mailbox_unlock(mailbox, &wakes);
	if (trash)
		kpost_message_free(trash);
	if (over)
		hold_gone(mailbox, hold, withdrawn);
}
