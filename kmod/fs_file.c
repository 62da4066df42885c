// SPDX-License-Identifier: GPL-2.0-only
/* A mailbox as a file: its inode, who may open it, and what is told and changed of it. */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/mm.h>

#include "compat/fs.h"
#include "endpoint.h"
#include "fs_view.h"

static const struct inode_operations fs_file_iops;

/* The inode is to have the owner and the mode that the mailbox has; readers have no lock. */
static void fs_update(struct inode *inode)
{
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);

	lockdep_assert_held(&mailbox->lock);
	if (!uid_eq(inode->i_uid, mailbox->uid))
		WRITE_ONCE(inode->i_uid, mailbox->uid);
	if (!gid_eq(inode->i_gid, mailbox->gid))
		WRITE_ONCE(inode->i_gid, mailbox->gid);
	if (inode->i_mode != (S_IFIFO | mailbox->mode))
		WRITE_ONCE(inode->i_mode, S_IFIFO | mailbox->mode);
}

void kpost_fs_refresh(struct inode *inode)
{
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);

	spin_lock(&mailbox->lock);
	fs_update(inode);
	spin_unlock(&mailbox->lock);
}

/* Which mailbox an inode is wanted for, and whether it was made for that. */
struct fs_wanted {
	struct kpost_mailbox *mailbox;
	bool made;
};

static int fs_inode_is(struct inode *inode, void *data)
{
	const struct fs_wanted *wanted = data;

	return inode->i_private == wanted->mailbox;
}

/* Under a lock of the inodes'. */
static int fs_inode_set(struct inode *inode, void *data)
{
	struct fs_wanted *wanted = data;

	kpost_mailbox_get(wanted->mailbox);
	inode->i_private = wanted->mailbox;
	inode->i_ino = wanted->mailbox->id;
	inode->i_op = &fs_file_iops;
	inode->i_fop = &kpost_endpoint_fops;
	inode->i_mode = S_IFIFO;
	wanted->made = true;
	return 0;
}

/* The inode of @mailbox, which the caller holds; NULL if there is no memory. */
struct inode *kpost_fs_inode(struct super_block *sb, struct kpost_mailbox *mailbox)
{
	struct fs_wanted wanted = { .mailbox = mailbox };
	struct inode *inode = iget5_locked(sb, mailbox->id, fs_inode_is, fs_inode_set, &wanted);

	if (!inode)
		return NULL;
	kpost_fs_refresh(inode);
	if (wanted.made)
		unlock_new_inode(inode);
	return inode;
}

/* That of @mailbox if there is one, to be put; or NULL. */
struct inode *kpost_fs_inode_there(struct super_block *sb, struct kpost_mailbox *mailbox)
{
	struct fs_wanted wanted = { .mailbox = mailbox };

	return ilookup5(sb, mailbox->id, fs_inode_is, &wanted);
}

void kpost_fs_evict_inode(struct inode *inode)
{
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (mailbox)
		kpost_mailbox_put(mailbox);
}

/* One that nobody uses is not kept. */
int kpost_fs_drop_inode(struct inode *inode)
{
	return 1;
}

static int fs_permission(struct kpost_idmap *idmap, struct inode *inode, int mask)
{
	struct kpost_office *office;
	int err;

	/* The mailbox may be asked only while the inode is held. */
	if (mask & MAY_NOT_BLOCK)
		return -ECHILD;
	office = kpost_fs_mailbox(inode)->office;
	/* Owner and mode are those of one moment: none of them changes meanwhile. */
	spin_lock(&office->lock);
	kpost_fs_refresh(inode);
	err = generic_permission(idmap, inode, mask);
	spin_unlock(&office->lock);
	return err;
}

/* Is who has @cred told of the mailbox that the inode is of? */
static bool fs_tells(const struct inode *inode, const struct cred *cred)
{
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);
	bool tells;

	spin_lock(&mailbox->office->lock);
	tells = kpost_office_tells(mailbox->office, mailbox, cred);
	spin_unlock(&mailbox->office->lock);
	return tells;
}

static int fs_getattr(struct kpost_idmap *idmap, const struct path *path, struct kstat *stat,
		      u32 mask, unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);
	struct kpost_times times;

	kpost_fs_refresh(inode);
	kpost_compat_fillattr(idmap, mask, inode, stat);
	kpost_mailbox_times(mailbox, &times);
	stat->nlink = READ_ONCE(mailbox->named);
	stat->atime = times.received;
	stat->mtime = times.sent;
	stat->ctime = times.made;
	stat->btime = times.made;
	stat->result_mask |= STATX_BTIME;
	/* What waits, and what a read should have room for. */
	stat->size = READ_ONCE(mailbox->bytes);
	stat->blksize = max_t(u32, mailbox->message_max, PAGE_SIZE);
	/* No error, or programs could not use what they have open. */
	if (!fs_tells(inode, current_cred())) {
		stat->mode = S_IFIFO;
		stat->uid = INVALID_UID;
		stat->gid = INVALID_GID;
		stat->size = 0;
		stat->atime = (struct timespec64){};
		stat->mtime = stat->atime;
		stat->ctime = stat->atime;
		stat->btime = stat->atime;
	}
	return 0;
}

static int fs_setattr(struct kpost_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);
	int err;

	/* What the times are says the mailbox. */
	if (attr->ia_valid & (ATTR_ATIME_SET | ATTR_MTIME_SET))
		return -EPERM;
	/* There is none, and to look for it would sleep. */
	attr->ia_valid &= ~ATTR_KILL_PRIV;
	spin_lock(&mailbox->office->lock);
	/* Whose it is does not change between the look and the change. */
	kpost_fs_refresh(inode);
	err = setattr_prepare(idmap, dentry, attr);
	if (!err) {
		spin_lock(&mailbox->lock);
		setattr_copy(idmap, inode, attr);
		mailbox->uid = inode->i_uid;
		mailbox->gid = inode->i_gid;
		mailbox->mode = inode->i_mode & 0777;
		fs_update(inode);
		spin_unlock(&mailbox->lock);
	}
	spin_unlock(&mailbox->office->lock);
	return err;
}

static const struct inode_operations fs_file_iops = {
	.permission = fs_permission,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
};
