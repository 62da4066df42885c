/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels for a file system, see compat.h.
 */
#ifndef KPOST_COMPAT_FS_H
#define KPOST_COMPAT_FS_H

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mount.h>

/* How a mount maps owners. */
#ifdef KPOST_HAVE_MNT_IDMAP
#define kpost_idmap mnt_idmap
#define kpost_compat_no_idmap (&nop_mnt_idmap)
#else
#define kpost_idmap user_namespace
#define kpost_compat_no_idmap (&init_user_ns)
#endif

static inline bool kpost_compat_mapped(const struct file *file)
{
	return is_idmapped_mnt(file->f_path.mnt);
}

static inline void kpost_compat_fillattr(struct kpost_idmap *idmap, u32 mask, struct inode *inode,
					 struct kstat *stat)
{
#ifdef KPOST_HAVE_FILLATTR_MASK
	generic_fillattr(idmap, mask, inode, stat);
#else
	generic_fillattr(idmap, inode, stat);
#endif
}

/* Parameters that only some kernels pass. */
#ifdef KPOST_HAVE_REVALIDATE_DIR
#define KPOST_REVALIDATE_DIR struct inode *dir, const struct qstr *name,
#else
#define KPOST_REVALIDATE_DIR
#endif

#ifdef KPOST_HAVE_CREATE_EXCL
#define KPOST_CREATE_MODE umode_t mode, bool excl
#else
#define KPOST_CREATE_MODE umode_t mode
#endif

static inline void kpost_compat_set_d_op(struct super_block *sb, const struct dentry_operations *op)
{
#ifdef KPOST_HAVE_DEFAULT_D_OP
	set_default_d_op(sb, op);
#else
	sb->s_d_op = op;
#endif
}

#endif /* KPOST_COMPAT_FS_H */
