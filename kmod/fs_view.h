/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the file system have of each other, see fs.c.
 */
#ifndef KPOST_FS_VIEW_H
#define KPOST_FS_VIEW_H

#include <linux/fs.h>

#include "mailbox.h"
#include "office.h"

#define KPOST_ROOT_INO 1
static_assert(KPOST_ROOT_INO < KPOST_MAILBOX_ID_MIN);

static inline struct kpost_office *kpost_fs_office(const struct super_block *sb)
{
	return kpost_office(sb->s_fs_info);
}

/* Of an inode but the directory's; it is held as long as that. */
static inline struct kpost_mailbox *kpost_fs_mailbox(const struct inode *inode)
{
	return inode->i_private;
}

/* fs_file.c */
struct inode *kpost_fs_inode(struct super_block *sb, struct kpost_mailbox *mailbox);
struct inode *kpost_fs_inode_there(struct super_block *sb, struct kpost_mailbox *mailbox);
void kpost_fs_refresh(struct inode *inode);
void kpost_fs_evict_inode(struct inode *inode);
int kpost_fs_drop_inode(struct inode *inode);

/* fs_name.c */
extern const struct inode_operations kpost_fs_root_iops;
extern const struct dentry_operations kpost_fs_dops;
struct inode *kpost_fs_find(struct super_block *sb, const char *name);

/* fs_dir.c */
extern const struct file_operations kpost_fs_root_fops;

#endif /* KPOST_FS_VIEW_H */
