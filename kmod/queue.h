/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A queue ordered by priority, first in first out within one.
 *
 * Nodes of the same priority form a ring, and the first of each ring stands for
 * it in a tree ordered by priority, highest leftmost.  So there is nothing to
 * allocate when a priority appears and nothing to keep when it disappears, and
 * as long as only one is in use the tree has one node and is not walked.
 *
 * The owner provides the locking.
 */
#ifndef KPOST_QUEUE_H
#define KPOST_QUEUE_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

struct kpost_queue {
	struct rb_root_cached levels;
};

struct kpost_node {
	struct rb_node level; /* in the tree if first of its priority, else cleared */
	struct list_head peers; /* the ring of its priority */
	u64 order; /* place within the priority, see kpost_queue_add_ordered() */
	u32 priority;
};

static inline void kpost_queue_init(struct kpost_queue *queue)
{
	queue->levels = RB_ROOT_CACHED;
}

static inline bool kpost_queue_empty(const struct kpost_queue *queue)
{
	return RB_EMPTY_ROOT(&queue->levels.rb_root);
}

/* The node to be served next, or NULL. */
static inline struct kpost_node *kpost_queue_first(const struct kpost_queue *queue)
{
	struct rb_node *first = rb_first_cached(&queue->levels);

	return first ? rb_entry(first, struct kpost_node, level) : NULL;
}

void kpost_queue_add(struct kpost_queue *queue, struct kpost_node *node);
void kpost_queue_add_ordered(struct kpost_queue *queue, struct kpost_node *node);
void kpost_queue_del(struct kpost_queue *queue, struct kpost_node *node);

#endif /* KPOST_QUEUE_H */
