// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guards files is asked where mailboxes are made, or their names taken away, by operations on
 * the directory and not by path.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/security.h>
#include <linux/string.h>

#include "endpoint.h"
#include "fs.h"
#include "fs_view.h"

/* What a file is that is only asked about: it goes with whoever asks. */
static int fs_asked_open(struct inode *inode, struct file *file)
{
	/* And nobody who watches is told. */
#ifdef FMODE_NONOTIFY_PERM
	file->f_mode &= ~FMODE_NONOTIFY_PERM;
#endif
	file->f_mode |= FMODE_NONOTIFY;
	return stream_open(inode, file);
}

static const struct file_operations fs_asked_fops = {
	.owner = THIS_MODULE,
	.open = fs_asked_open,
};

/* A dentry for @name in @dir that is in no table, and nobody else's; NULL if there is no memory. */
static struct dentry *fs_dentry(struct file *dir, const char *name)
{
	struct qstr qstr = QSTR_INIT(name, strlen(name));

	return d_alloc(dir->f_path.dentry, &qstr);
}

/* Asks those who guard files whether the task may make such a file, and open it so. */
static int fs_make_allowed(struct file *dir, struct dentry *dentry, umode_t mode, u32 rights)
{
	struct super_block *sb = dentry->d_sb;
	struct path path = { .mnt = dir->f_path.mnt, .dentry = dentry };
	u32 ends = rights & (KPOST_RIGHT_SEND | KPOST_RIGHT_RECV);
	struct inode *inode;
	struct file *file;
	int err;

	/* As the kernel asks for what is made by path. */
	if (!kuid_has_mapping(sb->s_user_ns, current_euid()) ||
	    !kgid_has_mapping(sb->s_user_ns, current_egid()))
		return -EOVERFLOW;
	err = security_path_mknod(&dir->f_path, dentry, S_IFIFO | mode, 0);
	if (err || !ends)
		return err;
	inode = new_inode(sb);
	if (!inode)
		return -ENOMEM;
	inode->i_ino = KPOST_ROOT_INO;
	inode->i_mode = S_IFIFO | mode;
	inode->i_uid = current_euid();
	inode->i_gid = current_egid();
	inode->i_fop = &fs_asked_fops;
	d_instantiate(dentry, inode);
	file = dentry_open(&path,
			   ends == KPOST_RIGHT_SEND ? O_WRONLY :
			   ends == KPOST_RIGHT_RECV ? O_RDONLY :
						      O_RDWR,
			   current_cred());
	if (IS_ERR(file))
		return PTR_ERR(file);
	fput(file);
	return 0;
}

/*
 * A mailbox is about to be made by an operation on the directory @dir, and not by path, and opened
 * with @rights.  What guards paths guards that too.  Returns 0, to be ended by
 * kpost_fs_change_end(), or -EROFS, -EACCES, -EOVERFLOW, -ENOMEM, -ENFILE, or what those say.
 */
int kpost_fs_make_begin(struct file *dir, const char *name, umode_t mode, u32 rights)
{
	struct dentry *dentry;
	int err = mnt_want_write_file(dir);

	if (err)
		return err;
	dentry = fs_dentry(dir, name);
	err = dentry ? fs_make_allowed(dir, dentry, mode, rights) : -ENOMEM;
	dput(dentry);
	if (err)
		mnt_drop_write_file(dir);
	return err;
}

/*
 * Likewise a name is about to go.  Returns 0, to be ended by kpost_fs_change_end(), or -EROFS,
 * -EACCES, -ENOENT, -ENOMEM.
 */
int kpost_fs_unlink_begin(struct file *dir, const char *name)
{
	struct dentry *dentry;
	struct inode *inode;
	int err = mnt_want_write_file(dir);

	if (err)
		return err;
	dentry = fs_dentry(dir, name);
	inode = dentry ? kpost_fs_find(file_inode(dir)->i_sb, name) : ERR_PTR(-ENOMEM);
	err = PTR_ERR_OR_ZERO(inode);
	if (!inode)
		err = -ENOENT;
	if (!err) {
		d_instantiate(dentry, inode);
		err = security_path_unlink(&dir->f_path, dentry);
	}
	dput(dentry);
	if (err)
		mnt_drop_write_file(dir);
	return err;
}

void kpost_fs_change_end(struct file *dir)
{
	mnt_drop_write_file(dir);
}
