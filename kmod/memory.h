/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks of memory, and those that a mailbox keeps.
 *
 * Messages are made of blocks of a few sizes.  A mailbox keeps blocks, at most KPOST_KEPT_MAX,
 * and hands them out again as they are, so that a message that follows another one asks for no
 * memory and gives none back.
 *
 * Whose memory cgroup pays: a sender that finds no block kept allocates its own, and once the
 * message was received that is freed.  Only the task that received it puts a block of the same
 * size in its place, of its own cgroup, and without waiting; if that is refused, none is kept.
 * So nobody's cgroup is charged by what another's task does, and what the receivers' are charged
 * is bounded by what one mailbox may keep, the blocks that senders use just then included: a
 * sender takes none where it would have to wait, but may wait with some if others were faster.
 *
 * A work looks each second, and frees what lay unused since it looked last; a shrinker frees all
 * that lies unused.
 */
#ifndef KPOST_MEMORY_H
#define KPOST_MEMORY_H

#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/nospec.h>
#include <linux/sizes.h>
#include <linux/types.h>

struct kpost_mailbox;

/* Classes of blocks, by size; the smallest is class 0. */
#define KPOST_BLOCK_MIN 192
#define KPOST_CLASSES 9
#define KPOST_CLASS_4K 5
#define KPOST_CLASS_8K 6
#define KPOST_CLASS_16K 7
#define KPOST_CLASS_32K 8

#define KPOST_KEPT_MAX SZ_256K

/* How a receiver's own are allocated: it has its message, and waits for nothing. */
#define KPOST_KEPT_GFP (GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)

/* A block that nothing is in any more, in a list. */
struct kpost_block {
	struct kpost_block *next;
	u8 class;
};

extern const u16 kpost_class_sizes[KPOST_CLASSES];
extern const u8 kpost_class_of_lines[SZ_4K / 64 + 1];

/* Set in the class of the block below, where the next one would be too large. */
#define KPOST_CLASS_SPLIT 0x80

/* The class of a block for @size bytes, 4 KiB at the most, or for the first part of them. */
static inline unsigned int kpost_class_of(size_t size)
{
	size_t line = (size + 63) / 64;

	/* A length of the user's, which a processor may take for a small one. */
	return kpost_class_of_lines[array_index_nospec(line, ARRAY_SIZE(kpost_class_of_lines))];
}

/* Free blocks of one class. */
struct kpost_shelf {
	struct kpost_block *first;
	u32 count;
	u32 least; /* that there were since the work looked */
};

/* What a mailbox keeps, while it keeps something. */
struct kpost_kept {
	struct list_head link; /* in keepers (protected by keepers_lock) */
	unsigned long looked; /* in jiffies: when the work looked last (likewise) */
	struct kpost_mailbox *mailbox; /* fixed */
	struct kpost_shelf shelves[KPOST_CLASSES]; /* (protected by mailbox->lock) */
};

/* With KASAN, which cannot watch over what is kept. */
void kpost_block_poison(struct kpost_block *block, unsigned int class);
void kpost_block_check(const struct kpost_block *block, unsigned int class);

/* With the mailbox's lock held: take a free block of @class, or NULL. */
static __always_inline void *kpost_kept_take(struct kpost_kept *kept, unsigned int class)
{
	struct kpost_shelf *shelf = &kept->shelves[class];
	struct kpost_block *block = shelf->first;

	if (unlikely(!block))
		return NULL;
	shelf->first = block->next;
	if (--shelf->count < shelf->least)
		shelf->least = shelf->count;
	if (IS_ENABLED(CONFIG_KASAN))
		kpost_block_check(block, class);
	return block;
}

/* Likewise: put one back that was taken. */
static __always_inline void kpost_kept_give(struct kpost_kept *kept, void *memory,
					    unsigned int class)
{
	struct kpost_shelf *shelf = &kept->shelves[class];
	struct kpost_block *block = memory;

	if (IS_ENABLED(CONFIG_KASAN))
		kpost_block_poison(block, class);
	block->next = shelf->first;
	shelf->first = block;
	shelf->count++;
}

/* Put a block into a list of those that are to be freed. */
static inline void kpost_block_push(struct kpost_block **list, void *memory, unsigned int class)
{
	struct kpost_block *block = memory;

	block->class = class;
	block->next = *list;
	*list = block;
}

void *kpost_block_alloc(unsigned int class, gfp_t gfp);
void kpost_block_free(void *block, unsigned int class);
void kpost_blocks_free(struct kpost_block *first);

void kpost_kept_add_like(struct kpost_mailbox *mailbox, const struct kpost_block *like);
void kpost_kept_trim(struct kpost_mailbox *mailbox);
void kpost_kept_end(struct kpost_mailbox *mailbox);

int kpost_memory_init(void);
void kpost_memory_exit(void);

#endif /* KPOST_MEMORY_H */
