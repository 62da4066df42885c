// SPDX-License-Identifier: GPL-2.0-only
/* Names in the directory: looked up, made, and taken away, by path. */
#include <linux/fs.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/user_namespace.h>

#include "compat/fs.h"
#include "endpoint.h"
#include "fs.h"
#include "fs_view.h"
#include "pollers.h"

/* What a name that was looked up has in d_time: the path was walked again, see kpost_fs_opens(). */
#define LOOKED_UP_AGAIN 1

static void fs_note_again(struct dentry *dentry, unsigned int flags)
{
	if (flags & LOOKUP_REVAL)
		WRITE_ONCE(dentry->d_time, LOOKED_UP_AGAIN);
}

/*
 * With office->lock held: can @mailbox be opened as @file?  It may have gone since its name was
 * looked up; or be about to end, without a name and a sender, as its receivers know.  -ESTALE has
 * the path walked again, for another may have the name.  If that one has gone as well, there was a
 * time without any; but where names are handed on, who sends is too late for this one, and who
 * receives is told of that.  Where there is no path to walk, -ESTALE is what the caller sees.
 */
int kpost_fs_opens(const struct file *file, const struct kpost_mailbox *mailbox, u32 rights)
{
	bool sends = rights & KPOST_RIGHT_SEND;

	lockdep_assert_held(&mailbox->office->lock);
	if (!mailbox->closed && (!sends || mailbox->named || mailbox->senders || mailbox->shut))
		return 0;
	if (READ_ONCE(file->f_path.dentry->d_time) != LOOKED_UP_AGAIN)
		return -ESTALE;
	if (!mailbox->succeeded)
		return -ENOENT;
	return rights == KPOST_RIGHT_SEND ? 0 : -ESTALE;
}

/* The inode of the mailbox called @name; NULL if there is none, or -ENOMEM. */
struct inode *kpost_fs_find(struct super_block *sb, const char *name)
{
	struct kpost_office *office = kpost_fs_office(sb);
	struct kpost_mailbox *mailbox;
	struct inode *inode;

	spin_lock(&office->lock);
	mailbox = kpost_office_find(office, name);
	if (mailbox)
		kpost_mailbox_get(mailbox);
	spin_unlock(&office->lock);
	if (!mailbox)
		return NULL;
	inode = kpost_fs_inode(sb, mailbox);
	kpost_mailbox_put(mailbox);
	return inode ?: ERR_PTR(-ENOMEM);
}

static struct dentry *fs_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	struct inode *inode;

	if (dentry->d_name.len > KPOST_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	inode = kpost_fs_find(dir->i_sb, dentry->d_name.name);
	if (IS_ERR(inode))
		return ERR_CAST(inode);
	dentry->d_time = 0;
	fs_note_again(dentry, flags);
	return d_splice_alias(inode, dentry);
}

/* Is what was found under this name still what has it? */
static int fs_revalidate(KPOST_REVALIDATE_DIR struct dentry *dentry, unsigned int flags)
{
	if (flags & LOOKUP_RCU)
		return -ECHILD;
	if (IS_ROOT(dentry))
		return 1;
	if (d_really_is_negative(dentry) || !READ_ONCE(kpost_fs_mailbox(d_inode(dentry))->named))
		return 0;
	fs_note_again(dentry, flags);
	return 1;
}

/* As always_delete_dentry(), which not all kernels have for modules. */
static int fs_forget(const struct dentry *dentry)
{
	return 1;
}

const struct dentry_operations kpost_fs_dops = {
	.d_revalidate = fs_revalidate,
	.d_delete = fs_forget,
};

/*
 * What is done once a name has come or gone by path.  That may take as long as the task is given,
 * which has the directory locked, and all others want that: so a work item does it.
 */
struct fs_later {
	struct work_struct work;
	struct kpost_mailbox *mailbox; /* held */
	struct net *net; /* held */
};

static void fs_later_done(struct fs_later *later)
{
	struct net *net = later->net;

	kfree(later);
	put_net(net);
}

static void fs_named_work(struct work_struct *work)
{
	struct fs_later *later = container_of(work, struct fs_later, work);

	kpost_office_announce(later->mailbox->office, later->mailbox->name);
	kpost_mailbox_put(later->mailbox);
	fs_later_done(later);
}

static void fs_unnamed_work(struct work_struct *work)
{
	struct fs_later *later = container_of(work, struct fs_later, work);

	/* With the reference that the office had. */
	kpost_mailbox_unnamed(later->mailbox, false);
	fs_later_done(later);
}

static struct fs_later *fs_later_new(work_func_t function)
{
	struct fs_later *later = kmalloc(sizeof(*later), GFP_KERNEL_ACCOUNT);

	if (later)
		INIT_WORK(&later->work, function);
	return later;
}

static void fs_later_queue(struct fs_later *later, struct kpost_mailbox *mailbox)
{
	later->mailbox = mailbox;
	later->net = get_net(mailbox->office->net);
	kpost_pollers_queue(&later->work);
}

/* mkfifo(2) makes a mailbox that stays until it is unlinked, as files do. */
static int fs_mknod(struct kpost_idmap *idmap, struct inode *dir, struct dentry *dentry,
		    umode_t mode, dev_t dev)
{
	struct kpost_office *office = kpost_fs_office(dir->i_sb);
	struct kpost_mailbox *mailbox;
	struct fs_later *later;
	struct inode *inode;
	struct kpost_open arg = {
		.flags = KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST,
		.mode = mode & 0777,
	};
	int err;

	if (!S_ISFIFO(mode))
		return -EPERM;
	if (strscpy(arg.name, dentry->d_name.name, sizeof(arg.name)) < 0)
		return -ENAMETOOLONG;
	err = kpost_name_check(arg.name);
	if (err)
		return err;
	later = fs_later_new(fs_named_work);
	if (!later)
		return -ENOMEM;
	mailbox = kpost_mailbox_new(office, &arg);
	if (IS_ERR(mailbox)) {
		kfree(later);
		return PTR_ERR(mailbox);
	}
	mailbox->uid = mapped_fsuid(idmap, dir->i_sb->s_user_ns);
	mailbox->gid = mapped_fsgid(idmap, dir->i_sb->s_user_ns);
	inode = kpost_fs_inode(dir->i_sb, mailbox);
	err = inode ? 0 : -ENOMEM;
	if (!err) {
		spin_lock(&office->lock);
		/* By /dev/kpost, since it was looked for. */
		if (kpost_office_find(office, arg.name))
			err = -EEXIST;
		else
			err = kpost_office_may_name(office, arg.name, current_fsuid()) ?:
				      kpost_mailbox_count(mailbox);
		if (!err)
			kpost_office_add(office, mailbox);
		spin_unlock(&office->lock);
	}
	if (err) {
		iput(inode);
		kpost_mailbox_put(mailbox);
		kfree(later);
		return err;
	}
	d_instantiate(dentry, inode);
	fs_later_queue(later, mailbox);
	return 0;
}

/* What open(2) makes with O_CREAT is no named pipe either, and a slip of the pen no mailbox. */
static int fs_create(struct kpost_idmap *idmap, struct inode *dir, struct dentry *dentry,
		     KPOST_CREATE_MODE)
{
	return -ENOENT;
}

static int fs_unlink(struct inode *dir, struct dentry *dentry)
{
	struct kpost_office *office = kpost_fs_office(dir->i_sb);
	struct inode *inode = d_inode(dentry);
	struct kpost_mailbox *mailbox = kpost_fs_mailbox(inode);
	struct fs_later *later = fs_later_new(fs_unnamed_work);
	int err = -ENOENT;

	if (!later)
		return -ENOMEM;
	spin_lock(&office->lock);
	/* Whose it is does not change meanwhile.  What a mount says of that is not told here. */
	kpost_fs_refresh(inode);
	if (mailbox->named)
		err = inode_owner_or_capable(kpost_compat_no_idmap, inode) ? 0 : -EPERM;
	else if (mailbox->succeeded)
		err = -ESTALE; /* has the path walked again: another has the name */
	if (!err)
		kpost_mailbox_unname(mailbox);
	spin_unlock(&office->lock);
	if (err) {
		kfree(later);
		return err;
	}
	clear_nlink(inode);
	fs_later_queue(later, mailbox);
	return 0;
}

/*
 * Who watches the directory is told of all names that come and go.  That takes permission to read
 * it, as opening it does, but nothing is opened, or only asked for.
 */
static int fs_root_permission(struct kpost_idmap *idmap, struct inode *inode, int mask)
{
	struct kpost_office *office = kpost_fs_office(inode->i_sb);

	if ((mask & (MAY_READ | MAY_OPEN | MAY_ACCESS)) == MAY_READ && READ_ONCE(office->private) &&
	    !ns_capable_noaudit(office->net->user_ns, CAP_DAC_OVERRIDE))
		return -EACCES;
	return generic_permission(idmap, inode, mask);
}

/* All may make names, and the office knows who may take them away. */
static int fs_root_setattr(struct kpost_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	return -EPERM;
}

const struct inode_operations kpost_fs_root_iops = {
	.lookup = fs_lookup,
	.create = fs_create,
	.mknod = fs_mknod,
	.unlink = fs_unlink,
	.permission = fs_root_permission,
	.setattr = fs_root_setattr,
};
