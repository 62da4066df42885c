// SPDX-License-Identifier: GPL-2.0-only
#include "queue.h"

/*
 * Find the first node of @node's priority.  If there is none, @node becomes it
 * and NULL is returned.
 */
static struct kpost_node *queue_level(struct kpost_queue *queue, struct kpost_node *node)
{
	struct kpost_node *level = kpost_queue_first(queue);
	struct rb_node **link = &queue->levels.rb_root.rb_node;
	struct rb_node *parent = NULL;
	bool leftmost = true;

	if (level && level->priority == node->priority)
		return level;

	while (*link) {
		parent = *link;
		level = rb_entry(parent, struct kpost_node, level);
		if (level->priority == node->priority)
			return level;
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
	return NULL;
}

/* Let @node stand for its priority in the tree in place of @level. */
static void queue_replace_level(struct kpost_queue *queue, struct kpost_node *level,
				struct kpost_node *node)
{
	rb_replace_node_cached(&level->level, &node->level, &queue->levels);
	RB_CLEAR_NODE(&level->level);
}

/* Add @node as the last of its priority. */
void kpost_queue_add(struct kpost_queue *queue, struct kpost_node *node)
{
	struct kpost_node *level = queue_level(queue, node);

	if (!level)
		return;
	RB_CLEAR_NODE(&node->level);
	list_add_tail(&node->peers, &level->peers);
}

/*
 * Add @node where its order says.  It is for what was taken out and comes back:
 * its place is at the head, behind those only that were taken before it and came
 * back sooner.
 */
void kpost_queue_add_ordered(struct kpost_queue *queue, struct kpost_node *node)
{
	struct kpost_node *level = queue_level(queue, node);
	struct kpost_node *next = level;

	if (!level)
		return;
	if (node->order < level->order) {
		queue_replace_level(queue, level, node);
	} else {
		RB_CLEAR_NODE(&node->level);
		do {
			next = list_next_entry(next, peers);
		} while (next != level && next->order < node->order);
	}
	list_add_tail(&node->peers, &next->peers);
}

void kpost_queue_del(struct kpost_queue *queue, struct kpost_node *node)
{
	if (!RB_EMPTY_NODE(&node->level)) {
		if (list_empty(&node->peers)) {
			rb_erase_cached(&node->level, &queue->levels);
			return;
		}
		queue_replace_level(queue, node, list_next_entry(node, peers));
	}
	list_del(&node->peers);
}
