/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A queue ordered by priority, first in first out within one.
 *
 * Nodes of the same priority form a ring, and the first of each ring stands for
 * it in a tree ordered by priority, highest leftmost.  So there is nothing to
 * allocate when a priority appears and nothing to keep when it disappears, and
 * as long as only one is in use the tree has one node and is not walked.
 *
 * What was taken out and comes back is in a tree of its own, ordered by its place.
 * Where all are taken in turn it is before all that is in the ring of its priority;
 * where they are not, the first of both are compared.
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
	struct rb_root_cached returned;
};

struct kpost_node {
	struct rb_node level; /* in a tree if returned or first of its priority, else cleared */
	struct list_head peers; /* the ring of its priority, unless returned */
	u64 order; /* its number; its place within the priority, unless it has replaced another */
	u32 priority;
	bool returned;
};

/* The owner says which of two nodes of one priority is first. */
bool kpost_message_before(const struct kpost_node *a, const struct kpost_node *b);

static inline void kpost_queue_init(struct kpost_queue *queue)
{
	queue->levels = RB_ROOT_CACHED;
	queue->returned = RB_ROOT_CACHED;
}

static inline bool kpost_queue_empty(const struct kpost_queue *queue)
{
	return RB_EMPTY_ROOT(&queue->levels.rb_root) && RB_EMPTY_ROOT(&queue->returned.rb_root);
}

struct kpost_node *kpost_queue_either(struct kpost_node *level, struct kpost_node *returned);

/* The node to be served next, or NULL. */
static inline struct kpost_node *kpost_queue_first(const struct kpost_queue *queue)
{
	struct kpost_node *level =
		rb_entry_safe(rb_first_cached(&queue->levels), struct kpost_node, level);
	struct kpost_node *returned =
		rb_entry_safe(rb_first_cached(&queue->returned), struct kpost_node, level);

	return likely(!returned) ? level : kpost_queue_either(level, returned);
}

struct kpost_node *kpost_queue_below(const struct kpost_queue *queue, u32 priority);
struct kpost_node *kpost_queue_lowest(const struct kpost_queue *queue);
void kpost_queue_join(struct kpost_queue *queue, struct kpost_node *node);
void kpost_queue_return(struct kpost_queue *queue, struct kpost_node *node);
void kpost_queue_replace(struct kpost_queue *queue, struct kpost_node *old,
			 struct kpost_node *node);
void kpost_queue_del_level(struct kpost_queue *queue, struct kpost_node *node);
void kpost_queue_del_run(struct kpost_queue *queue, struct kpost_node *first,
			 struct kpost_node *last);

/* What is served after @node, if nothing comes in between; @first if that is not known. */
static inline struct kpost_node *kpost_queue_behind(struct kpost_node *first,
						    struct kpost_node *node)
{
	return first->returned ? first : list_next_entry(node, peers);
}

/* Add @node as the last of its priority. */
static __always_inline void kpost_queue_add(struct kpost_queue *queue, struct kpost_node *node)
{
	node->returned = false;
	if (!RB_EMPTY_ROOT(&queue->levels.rb_root)) {
		kpost_queue_join(queue, node);
		return;
	}
	INIT_LIST_HEAD(&node->peers);
	rb_link_node(&node->level, NULL, &queue->levels.rb_root.rb_node);
	rb_insert_color_cached(&node->level, &queue->levels, true);
}

static __always_inline void kpost_queue_del(struct kpost_queue *queue, struct kpost_node *node)
{
	if (RB_EMPTY_NODE(&node->level))
		list_del(&node->peers);
	else if (queue->levels.rb_root.rb_node == &node->level && list_empty(&node->peers) &&
		 !node->level.rb_left && !node->level.rb_right)
		queue->levels = RB_ROOT_CACHED; /* it was alone */
	else
		kpost_queue_del_level(queue, node);
}

#endif /* KPOST_QUEUE_H */
