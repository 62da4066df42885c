// SPDX-License-Identifier: GPL-2.0-only
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "compat/compat.h"
#include "mailbox.h"
#include "memory.h"
#include "pollers.h"

/* What a kept block is filled with on kernels with KASAN, which cannot watch over it. */
#define POISON 0x9d

/* How much is taken off one shelf by one holder of the mailbox's lock. */
#define CUT_MAX 128U
/* How many keepers are looked at in one go. */
#define LOOK_MAX 4096
#define SHRINK_MAX 128

/* Outermost of ours: it is taken before a mailbox's lock. */
static DEFINE_SPINLOCK(keepers_lock);
static LIST_HEAD(keepers); /* of struct kpost_kept (protected by keepers_lock) */
static unsigned int keepers_count; /* likewise; those that are just looked at included */
static atomic_long_t kept_bytes; /* of all of them together */

static void keepers_look(struct work_struct *work);
static DECLARE_DELAYED_WORK(keepers_work, keepers_look);

static struct shrinker *shrinker;

/* Those of the slab allocator, then of some pages. */
const u16 kpost_class_sizes[KPOST_CLASSES] = {
	KPOST_BLOCK_MIN, 256, 512, 1024, 2048, SZ_4K, SZ_8K, SZ_16K, SZ_32K,
};

/*
 * What is a little longer than a block is better in two, so that no message takes more than half
 * again as much as it counts for.
 */
#define SPLIT(class) (KPOST_CLASS_SPLIT | (class))
const u8 kpost_class_of_lines[SZ_4K / 64 + 1] = {
	[0 ... 3] = 0,	 [4] = 1,
	[5 ... 8] = 2,	 [9] = SPLIT(2),
	[10 ... 16] = 3, [17 ... 20] = SPLIT(3),
	[21 ... 32] = 4, [33 ... 41] = SPLIT(4),
	[42 ... 64] = 5,
};

void kpost_block_poison(struct kpost_block *block, unsigned int class)
{
	memset(block, POISON, kpost_class_sizes[class]);
}

/* All but its link is as it was put there. */
void kpost_block_check(const struct kpost_block *block, unsigned int class)
{
	size_t skip = sizeof(block->next);

	WARN_ON_ONCE(memchr_inv((const u8 *)block + skip, POISON, kpost_class_sizes[class] - skip));
}

/* A block of @class, or NULL.  One of several pages is not worth trying hard for. */
void *kpost_block_alloc(unsigned int class, gfp_t gfp)
{
	size_t size = kpost_class_sizes[class];

	if (unlikely(size > PAGE_SIZE))
		return (void *)__get_free_pages(gfp | __GFP_COMP | __GFP_NORETRY | __GFP_NOWARN,
						get_order(size));
	return kmalloc(size, gfp);
}

void kpost_block_free(void *block, unsigned int class)
{
	size_t size = kpost_class_sizes[class];

	if (unlikely(size > PAGE_SIZE))
		free_pages((unsigned long)block, get_order(size));
	else
		kfree(block);
}

void kpost_blocks_free(struct kpost_block *first)
{
	struct kpost_block *block;

	while ((block = first)) {
		first = block->next;
		kpost_block_free(block, block->class);
	}
}

/* What lies free on the shelves, in bytes. */
static size_t kept_free(const struct kpost_kept *kept)
{
	size_t bytes = 0;
	unsigned int i;

	lockdep_assert_held(&kept->mailbox->lock);
	for (i = 0; i < KPOST_CLASSES; i++)
		bytes += (size_t)kept->shelves[i].count * kpost_class_sizes[i];
	return bytes;
}

/* What was taken off the shelves, to be freed without a lock. */
struct cut {
	struct kpost_block *first[KPOST_CLASSES];
	size_t bytes;
};

/*
 * Take off the shelves what lay there @unused since this was asked last, or all.  Of what is
 * used in part no more than CUT_MAX blocks of a class go in one go.
 */
static void kept_cut(struct kpost_kept *kept, bool unused, struct cut *cut)
{
	struct kpost_mailbox *mailbox = kept->mailbox;
	unsigned int i;

	lockdep_assert_held(&mailbox->lock);
	for (i = 0; i < KPOST_CLASSES; i++) {
		struct kpost_shelf *shelf = &kept->shelves[i];
		unsigned int n = unused ? shelf->least : shelf->count, left;
		struct kpost_block *block;

		cut->first[i] = NULL;
		if (n == shelf->count) {
			swap(cut->first[i], shelf->first);
		} else {
			n = min(n, CUT_MAX);
			for (left = n; left; left--) {
				block = shelf->first;
				shelf->first = block->next;
				block->next = cut->first[i];
				cut->first[i] = block;
			}
		}
		shelf->count -= n;
		shelf->least = shelf->count;
		cut->bytes += (size_t)n * kpost_class_sizes[i];
	}
	if (!cut->bytes)
		return;
	WRITE_ONCE(mailbox->kept_bytes, mailbox->kept_bytes - cut->bytes);
	atomic_long_sub(cut->bytes, &kept_bytes);
}

static void cut_free(struct cut *cut)
{
	struct kpost_block *block, *next;
	unsigned int i;

	for (i = 0; cut->bytes && i < KPOST_CLASSES; i++) {
		for (block = cut->first[i]; block; block = next) {
			next = block->next;
			kpost_block_free(block, i);
		}
	}
}

/*
 * How much more @mailbox may keep, in bytes: what it has not in it of what it counts for, so
 * that both together are no more than that, give or take what falls between the classes.
 */
static size_t kept_room(const struct kpost_mailbox *mailbox)
{
	u64 spare = kpost_mailbox_spare(mailbox);
	size_t bytes = kept_free(mailbox->kept);

	return min_t(u64, KPOST_KEPT_MAX - mailbox->kept_bytes, spare > bytes ? spare - bytes : 0);
}

/* Make @mailbox one that keeps blocks, if there is memory for that. */
static void keeper_add(struct kpost_mailbox *mailbox)
{
	struct kpost_kept *kept = kzalloc(sizeof(*kept), KPOST_KEPT_GFP);
	bool first = false;

	if (!kept)
		return;
	kept->mailbox = mailbox;
	kept->looked = jiffies;
	spin_lock(&keepers_lock);
	spin_lock(&mailbox->lock);
	if (!mailbox->kept) {
		WRITE_ONCE(mailbox->kept, kept);
		list_add_tail(&kept->link, &keepers);
		first = !keepers_count++;
		kept = NULL;
	}
	spin_unlock(&mailbox->lock);
	spin_unlock(&keepers_lock);
	kfree(kept);
	if (first)
		kpost_delayed_queue(&keepers_work, HZ);
}

/*
 * The task has received a message that was in @blocks, its sender's own: have @mailbox keep as
 * much of the task's, if it can be had at once.
 */
void kpost_kept_add_like(struct kpost_mailbox *mailbox, const struct kpost_block *like)
{
	/* A guess, without the lock. */
	size_t room = KPOST_KEPT_MAX - READ_ONCE(mailbox->kept_bytes), bytes = 0;
	struct kpost_block *blocks = NULL, *block;
	unsigned long last = READ_ONCE(mailbox->own_at);

	/* What is in a keyed mailbox is its senders', which is where each has its key. */
	if (mailbox->keyed)
		return;
	/* It is not worth it for one message a second. */
	WRITE_ONCE(mailbox->own_at, jiffies);
	if (!READ_ONCE(mailbox->kept) && time_after_eq(jiffies, last + HZ))
		return;
	for (; like; like = like->next) {
		size_t size = kpost_class_sizes[like->class];

		if (size > room - bytes)
			break;
		block = kpost_block_alloc(like->class, KPOST_KEPT_GFP);
		if (!block)
			break;
		block->class = like->class;
		block->next = blocks;
		blocks = block;
		bytes += size;
	}
	if (!blocks)
		return;
	/* It may go again meanwhile, which does no harm. */
	if (!READ_ONCE(mailbox->kept))
		keeper_add(mailbox);
	spin_lock(&mailbox->lock);
	room = mailbox->kept ? kept_room(mailbox) : 0;
	bytes = 0;
	while ((block = blocks) && bytes + kpost_class_sizes[block->class] <= room) {
		blocks = block->next;
		bytes += kpost_class_sizes[block->class];
		kpost_kept_give(mailbox->kept, block, block->class);
	}
	WRITE_ONCE(mailbox->kept_bytes, mailbox->kept_bytes + bytes);
	atomic_long_add(bytes, &kept_bytes);
	spin_unlock(&mailbox->lock);
	kpost_blocks_free(blocks);
}

/* There is more in @mailbox, or it counts for less: what lies free may be too much. */
void kpost_kept_trim(struct kpost_mailbox *mailbox)
{
	struct cut cut;
	u64 spare;

	cut.bytes = 0;
	if (likely(!READ_ONCE(mailbox->kept)))
		return;
	spin_lock(&mailbox->lock);
	spare = kpost_mailbox_spare(mailbox);
	if (mailbox->kept && kept_free(mailbox->kept) > spare)
		kept_cut(mailbox->kept, false, &cut);
	/* Not too much even if all of it comes back. */
	if (!mailbox->shut && mailbox->kept_bytes <= spare)
		WRITE_ONCE(mailbox->tight, false);
	spin_unlock(&mailbox->lock);
	cut_free(&cut);
}

/* @mailbox goes, with no message in it. */
void kpost_kept_end(struct kpost_mailbox *mailbox)
{
	struct kpost_kept *kept;
	struct cut cut;

	cut.bytes = 0;
	spin_lock(&keepers_lock);
	spin_lock(&mailbox->lock);
	kept = mailbox->kept;
	if (kept) {
		kept_cut(kept, false, &cut);
		list_del(&kept->link);
		keepers_count--;
	}
	spin_unlock(&mailbox->lock);
	spin_unlock(&keepers_lock);
	cut_free(&cut);
	kfree(kept);
	WARN_ON_ONCE(mailbox->kept_bytes);
}

/*
 * Look at up to @max keepers, those first that were looked at the longest ago, and free what
 * lies there @unused for a second, or all that lies free.  Returns how many bytes that were;
 * *@more says whether there are keepers that it was time to look at.
 */
static size_t keepers_tidy(unsigned int max, bool unused, bool *more)
{
	struct kpost_kept *kept, *gone;
	unsigned int left;
	size_t bytes = 0;
	struct cut cut;

	spin_lock(&keepers_lock);
	*more = false;
	for (left = min(keepers_count, max); !list_empty(&keepers); left--) {
		struct kpost_mailbox *mailbox;

		kept = list_first_entry(&keepers, struct kpost_kept, link);
		/* (A second, less what the work may have come late the last time.) */
		if (unused && time_before(jiffies, kept->looked + HZ - HZ / 4))
			break;
		if (!left) {
			*more = true;
			break;
		}
		if (unused)
			kept->looked = jiffies;
		mailbox = kept->mailbox;
		list_move_tail(&kept->link, &keepers);
		gone = NULL;
		cut.bytes = 0;
		/* It cannot go: it would take itself off the list first. */
		spin_lock(&mailbox->lock);
		kept_cut(kept, unused, &cut);
		if (!mailbox->kept_bytes) {
			gone = kept;
			WRITE_ONCE(mailbox->kept, NULL);
			list_del(&kept->link);
			keepers_count--;
		}
		spin_unlock(&mailbox->lock);
		spin_unlock(&keepers_lock);
		bytes += cut.bytes;
		cut_free(&cut);
		kfree(gone);
		cond_resched();
		spin_lock(&keepers_lock);
	}
	spin_unlock(&keepers_lock);
	return bytes;
}

/* All of them each second, as long as they are not too many. */
static void keepers_look(struct work_struct *work)
{
	bool more, any;

	keepers_tidy(LOOK_MAX, true, &more);
	spin_lock(&keepers_lock);
	any = keepers_count;
	spin_unlock(&keepers_lock);
	if (any)
		kpost_delayed_queue(&keepers_work, more ? HZ / 10 : HZ);
}

/* In pages.  What messages are in at the moment is among it. */
static unsigned long shrinker_count(struct shrinker *shrinker, struct shrink_control *control)
{
	return DIV_ROUND_UP(atomic_long_read(&kept_bytes), PAGE_SIZE) ?: SHRINK_EMPTY;
}

static unsigned long shrinker_scan(struct shrinker *shrinker, struct shrink_control *control)
{
	size_t bytes;
	bool more;

	bytes = keepers_tidy(SHRINK_MAX, false, &more);
	return bytes ? DIV_ROUND_UP(bytes, PAGE_SIZE) : SHRINK_STOP;
}

int __init kpost_memory_init(void)
{
	shrinker = kpost_compat_shrinker_new("kpost", shrinker_count, shrinker_scan);
	return shrinker ? 0 : -ENOMEM;
}

/* All mailboxes are gone. */
void kpost_memory_exit(void)
{
	/* It queues itself while there are keepers, and there are none. */
	cancel_delayed_work_sync(&keepers_work);
	kpost_compat_shrinker_free(shrinker);
}
