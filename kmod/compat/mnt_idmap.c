// SPDX-License-Identifier: GPL-2.0-only
#include <linux/fs.h>

int probe(struct mnt_idmap *idmap, struct inode *inode, int mask);
int probe(struct mnt_idmap *idmap, struct inode *inode, int mask)
{
	return inode->i_op->permission(idmap, inode, mask);
}
