// SPDX-License-Identifier: GPL-2.0-only
#include "queue.h"

/* The first node of the highest priority below @priority in @tree, or NULL. */
static struct kpost_node *tree_below(const struct rb_root_cached *tree, u32 priority)
{
	struct rb_node *at = tree->rb_root.rb_node;
	struct kpost_node *node, *found = NULL;

	while (at) {
		node = rb_entry(at, struct kpost_node, level);
		if (node->priority < priority) {
			found = node;
			at = at->rb_left;
		} else {
			at = at->rb_right;
		}
	}
	return found;
}

/* Of the first of both trees of a queue the one to be served first; @level may be NULL. */
struct kpost_node *kpost_queue_either(struct kpost_node *level, struct kpost_node *returned)
{
	if (!level || level->priority < returned->priority)
		return returned;
	if (level->priority > returned->priority)
		return level;
	return kpost_message_before(level, returned) ? level : returned;
}

/* Of the highest priority below @priority the node to be served first, or NULL. */
struct kpost_node *kpost_queue_below(const struct kpost_queue *queue, u32 priority)
{
	struct kpost_node *level = tree_below(&queue->levels, priority);
	struct kpost_node *returned = tree_below(&queue->returned, priority);

	return returned ? kpost_queue_either(level, returned) : level;
}

/* Of the lowest priority that there is the node to be served first, or NULL. */
struct kpost_node *kpost_queue_lowest(const struct kpost_queue *queue)
{
	struct kpost_node *level =
		rb_entry_safe(rb_last(&queue->levels.rb_root), struct kpost_node, level);
	struct kpost_node *returned =
		rb_entry_safe(rb_last(&queue->returned.rb_root), struct kpost_node, level);

	if (!returned || (level && level->priority < returned->priority))
		return level;
	returned = tree_below(&queue->returned, returned->priority + 1);
	if (!level || level->priority > returned->priority)
		return returned;
	return kpost_queue_either(level, returned);
}

static void queue_add_peer(struct kpost_node *level, struct kpost_node *node)
{
	RB_CLEAR_NODE(&node->level);
	list_add_tail(&node->peers, &level->peers);
}

/* Add @node as the last of its priority to a queue that is not empty. */
void kpost_queue_join(struct kpost_queue *queue, struct kpost_node *node)
{
	struct kpost_node *level =
		rb_entry(rb_first_cached(&queue->levels), struct kpost_node, level);
	struct rb_node **link = &queue->levels.rb_root.rb_node;
	struct rb_node *parent = NULL;
	bool leftmost = true;

	if (level->priority == node->priority) {
		queue_add_peer(level, node);
		return;
	}
	while (*link) {
		parent = *link;
		level = rb_entry(parent, struct kpost_node, level);
		if (level->priority == node->priority) {
			queue_add_peer(level, node);
			return;
		}
		if (node->priority > level->priority) {
			link = &parent->rb_left;
		} else {
			link = &parent->rb_right;
			leftmost = false;
		}
	}
	INIT_LIST_HEAD(&node->peers);
	rb_link_node(&node->level, parent, link);
	rb_insert_color_cached(&node->level, &queue->levels, leftmost);
}

/* Let @node stand for its priority in the tree in place of @level. */
static void queue_replace_level(struct kpost_queue *queue, struct kpost_node *level,
				struct kpost_node *node)
{
	rb_replace_node_cached(&level->level, &node->level, &queue->levels);
	RB_CLEAR_NODE(&level->level);
}

/* Add @node, which was taken out, where it was. */
void kpost_queue_return(struct kpost_queue *queue, struct kpost_node *node)
{
	struct rb_node **link = &queue->returned.rb_root.rb_node, *parent = NULL;
	bool leftmost = true;

	node->returned = true;
	while (*link) {
		const struct kpost_node *at;

		parent = *link;
		at = rb_entry(parent, struct kpost_node, level);
		if (node->priority != at->priority ? node->priority > at->priority :
						     kpost_message_before(node, at)) {
			link = &parent->rb_left;
		} else {
			link = &parent->rb_right;
			leftmost = false;
		}
	}
	rb_link_node(&node->level, parent, link);
	rb_insert_color_cached(&node->level, &queue->returned, leftmost);
}

/* Put @node where @old is, which is in no queue then. */
void kpost_queue_replace(struct kpost_queue *queue, struct kpost_node *old, struct kpost_node *node)
{
	node->priority = old->priority;
	node->returned = old->returned;
	if (old->returned) {
		rb_replace_node_cached(&old->level, &node->level, &queue->returned);
		return;
	}
	if (RB_EMPTY_NODE(&old->level))
		RB_CLEAR_NODE(&node->level);
	else
		rb_replace_node_cached(&old->level, &node->level, &queue->levels);
	list_replace(&old->peers, &node->peers);
}

/* Take out @node, which is in the tree. */
void kpost_queue_del_level(struct kpost_queue *queue, struct kpost_node *node)
{
	if (node->returned) {
		rb_erase_cached(&node->level, &queue->returned);
	} else if (list_empty(&node->peers)) {
		rb_erase_cached(&node->level, &queue->levels);
	} else {
		queue_replace_level(queue, node, list_next_entry(node, peers));
		list_del(&node->peers);
	}
}

/*
 * Take out @first, which is the next to be served, and all up to @last that are behind it, see
 * kpost_queue_behind().
 */
void kpost_queue_del_run(struct kpost_queue *queue, struct kpost_node *first,
			 struct kpost_node *last)
{
	LIST_HEAD(gone);
	struct kpost_node *next;

	if (first == last) {
		kpost_queue_del(queue, first);
		return;
	}
	next = list_next_entry(last, peers);
	if (next == first) {
		rb_erase_cached(&first->level, &queue->levels);
		return;
	}
	queue_replace_level(queue, first, next);
	/* Who has one of them looks at its peers no more, and puts it back without. */
	list_bulk_move_tail(&gone, &first->peers, &last->peers);
}
