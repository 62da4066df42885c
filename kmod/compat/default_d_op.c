// SPDX-License-Identifier: GPL-2.0-only
#include <linux/dcache.h>
#include <linux/fs.h>

void probe(struct super_block *sb, const struct dentry_operations *op);
void probe(struct super_block *sb, const struct dentry_operations *op)
{
	set_default_d_op(sb, op);
}
