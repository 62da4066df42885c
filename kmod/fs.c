// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file system of type kpost: the named mailboxes of an office as files, to be opened by path.
 *
 * It is a view.  Each look-up, and each look at an owner or a mode, asks the office, and what is
 * changed here is changed there; /dev/kpost needs none of it.  There is one for each network
 * namespace in which it was mounted, and it holds that namespace, and so the office, and the
 * module.
 *
 * A mailbox looks like a named pipe: programs that read whatever they find keep away from those.
 * Who may open it is asked as for any file, by the kernel, so that mounts that map owners,
 * access(2) and security modules work.
 *
 * A mailbox has at most one inode here, which holds it and is found by its id.  Nothing is kept
 * once nobody uses it: a name that was looked up is forgotten at once, and its inode with it.
 */
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fsnotify.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/string.h>
#include <linux/user_namespace.h>

#include "compat/fs.h"
#include "endpoint.h"
#include "fs.h"
#include "pollers.h"

#define ROOT_INO 1
static_assert(ROOT_INO < KPOST_MAILBOX_ID_MIN);

static const struct inode_operations fs_file_iops;

static struct kpost_office *fs_office(const struct super_block *sb)
{
	return kpost_office(sb->s_fs_info);
}

static struct kpost_mailbox *fs_mailbox(const struct inode *inode)
{
	return inode->i_private;
}

/* ---- a mailbox as a file ---- */

/* The inode is to have the owner and the mode that the mailbox has; readers have no lock. */
static void fs_update(struct inode *inode)
{
	struct kpost_mailbox *mailbox = fs_mailbox(inode);

	lockdep_assert_held(&mailbox->lock);
	if (!uid_eq(inode->i_uid, mailbox->uid))
		WRITE_ONCE(inode->i_uid, mailbox->uid);
	if (!gid_eq(inode->i_gid, mailbox->gid))
		WRITE_ONCE(inode->i_gid, mailbox->gid);
	if (inode->i_mode != (S_IFIFO | mailbox->mode))
		WRITE_ONCE(inode->i_mode, S_IFIFO | mailbox->mode);
}

static void fs_refresh(struct inode *inode)
{
	struct kpost_mailbox *mailbox = fs_mailbox(inode);

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
static struct inode *fs_inode(struct super_block *sb, struct kpost_mailbox *mailbox)
{
	struct fs_wanted wanted = { .mailbox = mailbox };
	struct inode *inode = iget5_locked(sb, mailbox->id, fs_inode_is, fs_inode_set, &wanted);

	if (!inode)
		return NULL;
	fs_refresh(inode);
	if (wanted.made)
		unlock_new_inode(inode);
	return inode;
}

static void fs_evict_inode(struct inode *inode)
{
	struct kpost_mailbox *mailbox = fs_mailbox(inode);

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (mailbox)
		kpost_mailbox_put(mailbox);
}

/* One that nobody uses is not kept. */
static int fs_drop_inode(struct inode *inode)
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
	office = fs_mailbox(inode)->office;
	/* Owner and mode are those of one moment: none of them changes meanwhile. */
	spin_lock(&office->lock);
	fs_refresh(inode);
	err = generic_permission(idmap, inode, mask);
	spin_unlock(&office->lock);
	return err;
}

/* Is who has @cred told of the mailbox that the inode is of? */
static bool fs_tells(const struct inode *inode, const struct cred *cred)
{
	struct kpost_mailbox *mailbox = fs_mailbox(inode);
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
	struct kpost_mailbox *mailbox = fs_mailbox(inode);
	struct kpost_times times;

	fs_refresh(inode);
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
	struct kpost_mailbox *mailbox = fs_mailbox(inode);
	int err;

	/* What the times are says the mailbox. */
	if (attr->ia_valid & (ATTR_ATIME_SET | ATTR_MTIME_SET))
		return -EPERM;
	/* There is none, and to look for it would sleep. */
	attr->ia_valid &= ~ATTR_KILL_PRIV;
	spin_lock(&mailbox->office->lock);
	/* Whose it is does not change between the look and the change. */
	fs_refresh(inode);
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

/* ---- names ---- */

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
static struct inode *fs_find(struct super_block *sb, const char *name)
{
	struct kpost_office *office = fs_office(sb);
	struct kpost_mailbox *mailbox;
	struct inode *inode;

	spin_lock(&office->lock);
	mailbox = kpost_office_find(office, name);
	if (mailbox)
		kpost_mailbox_get(mailbox);
	spin_unlock(&office->lock);
	if (!mailbox)
		return NULL;
	inode = fs_inode(sb, mailbox);
	kpost_mailbox_put(mailbox);
	return inode ?: ERR_PTR(-ENOMEM);
}

static struct dentry *fs_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	struct inode *inode;

	if (dentry->d_name.len > KPOST_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	inode = fs_find(dir->i_sb, dentry->d_name.name);
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
	if (d_really_is_negative(dentry) || !READ_ONCE(fs_mailbox(d_inode(dentry))->named))
		return 0;
	fs_note_again(dentry, flags);
	return 1;
}

/* As always_delete_dentry(), which not all kernels have for modules. */
static int fs_forget(const struct dentry *dentry)
{
	return 1;
}

static const struct dentry_operations fs_dops = {
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
	struct kpost_office *office = fs_office(dir->i_sb);
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
	inode = fs_inode(dir->i_sb, mailbox);
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
	struct kpost_office *office = fs_office(dir->i_sb);
	struct inode *inode = d_inode(dentry);
	struct kpost_mailbox *mailbox = fs_mailbox(inode);
	struct fs_later *later = fs_later_new(fs_unnamed_work);
	int err = -ENOENT;

	if (!later)
		return -ENOMEM;
	spin_lock(&office->lock);
	/* Whose it is does not change meanwhile.  What a mount says of that is not told here. */
	fs_refresh(inode);
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
	struct kpost_office *office = fs_office(inode->i_sb);

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

static const struct inode_operations fs_root_iops = {
	.lookup = fs_lookup,
	.create = fs_create,
	.mknod = fs_mknod,
	.unlink = fs_unlink,
	.permission = fs_root_permission,
	.setattr = fs_root_setattr,
};

/* ---- the directory ---- */

/* Where a reader is, as that of /proc/net/kpost. */
struct fs_cursor {
	loff_t pos;
	char after[KPOST_NAME_MAX + 1]; /* the name of the last one told */
	char name[KPOST_NAME_MAX + 1]; /* the next */
};

static int fs_root_open(struct inode *inode, struct file *file)
{
	struct fs_cursor *cursor = kzalloc(sizeof(*cursor), GFP_KERNEL_ACCOUNT);

	file->private_data = cursor;
	return cursor ? 0 : -ENOMEM;
}

static int fs_root_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static void fs_list(struct file *file, struct dir_context *ctx)
{
	struct kpost_office *office = fs_office(file_inode(file)->i_sb);
	struct fs_cursor *cursor = file->private_data;
	struct kpost_mailbox *mailbox;
	loff_t at = cursor->pos;
	bool tells = false;
	u32 id = 0;

	if (!dir_emit_dots(file, ctx))
		return;
	if (ctx->pos != at) {
		cursor->after[0] = '\0';
		at = 2;
	}
	while (!fatal_signal_pending(current)) {
		spin_lock(&office->lock);
		mailbox = kpost_office_after(office, cursor->after);
		if (mailbox) {
			strscpy(cursor->name, mailbox->name, sizeof(cursor->name));
			id = mailbox->id;
			/* As LIST, to whoever opened the directory. */
			tells = kpost_office_tells(office, mailbox, file->f_cred);
		}
		spin_unlock(&office->lock);
		if (!mailbox)
			break;
		if (tells && at >= ctx->pos) {
			if (!dir_emit(ctx, cursor->name, strlen(cursor->name), id, DT_FIFO))
				break;
			ctx->pos++;
		}
		at += tells;
		strscpy(cursor->after, cursor->name, sizeof(cursor->after));
		cond_resched();
	}
	cursor->pos = ctx->pos;
}

/*
 * The kernel locks a directory while it is read, but here nothing depends on that, and memory
 * that never arrives must not keep others from the names.
 */
static int fs_iterate(struct file *file, struct dir_context *ctx)
{
	struct inode *dir = file_inode(file);

	inode_unlock_shared(dir);
	fs_list(file, ctx);
	inode_lock_shared(dir);
	return 0;
}

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
	inode->i_ino = ROOT_INO;
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
	inode = dentry ? fs_find(file_inode(dir)->i_sb, name) : ERR_PTR(-ENOMEM);
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

/* The directory is a counter of the office too, for what a file's operations do not say. */
static long fs_root_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	/* Who owns what there is not what the mount says. */
	if (kpost_compat_mapped(file))
		return -ENOTTY;
	return kpost_device_operate(fs_office(file_inode(file)->i_sb), file, true, cmd, arg);
}

static const struct file_operations fs_root_fops = {
	.owner = THIS_MODULE,
	.open = fs_root_open,
	.release = fs_root_release,
	.llseek = generic_file_llseek,
	.read = generic_read_dir,
	.iterate_shared = fs_iterate,
	.unlocked_ioctl = fs_root_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/* ---- the file system ---- */

/* That of @office, to be given back by deactivate_super(); NULL if it has none. */
static struct super_block *fs_get(struct kpost_office *office)
{
	struct super_block *sb;

	/* Most have none.  One that is being mounted has nobody yet who watches it. */
	if (!READ_ONCE(office->sb))
		return NULL;
	spin_lock(&office->lock);
	sb = office->sb;
	if (sb && !atomic_inc_not_zero(&sb->s_active))
		sb = NULL;
	spin_unlock(&office->lock);
	return sb;
}

/*
 * Tell who watches the directory of @event, and who watches the file if it has gone.  Whoever does
 * the next thing to the name may tell of it first: nothing orders those that do so by the device.
 * And a mount that is undone meanwhile ends here.
 */
static void fs_notify(struct kpost_mailbox *mailbox, u32 event)
{
	struct super_block *sb = fs_get(mailbox->office);
	struct fs_wanted wanted = { .mailbox = mailbox };
	struct qstr name = QSTR_INIT(mailbox->name, strlen(mailbox->name));
	struct inode *dir, *inode;

	if (!sb)
		return;
	dir = d_inode(sb->s_root);
	/* Most have none: nobody looks at them. */
	inode = ilookup5(sb, mailbox->id, fs_inode_is, &wanted);
	fsnotify_name(event, inode ?: dir, FSNOTIFY_EVENT_INODE, dir, &name, 0);
	if (inode && event == FS_DELETE) {
		clear_nlink(inode);
		fsnotify_inoderemove(inode);
	}
	iput(inode);
	deactivate_super(sb);
}

/* The name was given otherwise than by mkfifo(2), of which the kernel tells. */
void kpost_fs_named(struct kpost_mailbox *mailbox)
{
	fs_notify(mailbox, FS_CREATE);
}

/* The name has gone otherwise than by unlink(2). */
void kpost_fs_unnamed(struct kpost_mailbox *mailbox)
{
	fs_notify(mailbox, FS_DELETE);
}

static int fs_statfs(struct dentry *dentry, struct kstatfs *st)
{
	int err = simple_statfs(dentry, st);

	st->f_namelen = KPOST_NAME_MAX;
	return err;
}

static const struct super_operations fs_sops = {
	.statfs = fs_statfs,
	.drop_inode = fs_drop_inode,
	.evict_inode = fs_evict_inode,
};

static int fs_fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct kpost_office *office = fs_office(sb);
	struct inode *root;

	sb->s_iflags |= SB_I_NOEXEC | SB_I_NODEV;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_magic = KPOST_SUPER_MAGIC;
	sb->s_op = &fs_sops;
	kpost_compat_set_d_op(sb, &fs_dops);

	root = new_inode(sb);
	if (!root)
		return -ENOMEM;
	root->i_ino = ROOT_INO;
	root->i_mode = S_IFDIR | 0777;
	root->i_uid = make_kuid(sb->s_user_ns, 0);
	root->i_gid = make_kgid(sb->s_user_ns, 0);
	/* Where there is no root; it may not be nobody's, for then nobody could write. */
	if (!uid_valid(root->i_uid))
		root->i_uid = GLOBAL_ROOT_UID;
	if (!gid_valid(root->i_gid))
		root->i_gid = GLOBAL_ROOT_GID;
	root->i_op = &fs_root_iops;
	root->i_fop = &fs_root_fops;
	set_nlink(root, 2);
	sb->s_root = d_make_root(root);
	if (!sb->s_root)
		return -ENOMEM;

	spin_lock(&office->lock);
	WRITE_ONCE(office->sb, sb); /* pairs with the look in fs_get() */
	spin_unlock(&office->lock);
	return 0;
}

static int fs_get_tree(struct fs_context *fc)
{
	/* Whoever mounts it read-only has one that is; others have their own. */
	fc->sb_flags &= ~SB_RDONLY;
	return get_tree_keyed(fc, fs_fill_super, get_net(fc->net_ns));
}

static void fs_free_fc(struct fs_context *fc)
{
	if (fc->s_fs_info)
		put_net(fc->s_fs_info);
}

static const struct fs_context_operations fs_context_ops = {
	.get_tree = fs_get_tree,
	.free = fs_free_fc,
};

/* Who is root of the network namespace may mount its office. */
static int fs_init_fs_context(struct fs_context *fc)
{
	put_user_ns(fc->user_ns);
	fc->user_ns = get_user_ns(fc->net_ns->user_ns);
	fc->ops = &fs_context_ops;
	return 0;
}

static void fs_kill_sb(struct super_block *sb)
{
	struct net *net = sb->s_fs_info;
	struct kpost_office *office = fs_office(sb);

	spin_lock(&office->lock);
	/* One that was never filled is not it, and another may be. */
	if (office->sb == sb)
		WRITE_ONCE(office->sb, NULL);
	spin_unlock(&office->lock);
	kill_anon_super(sb);
	put_net(net);
}

static struct file_system_type fs_type = {
	.owner = THIS_MODULE,
	.name = "kpost",
	.init_fs_context = fs_init_fs_context,
	.kill_sb = fs_kill_sb,
	.fs_flags = FS_USERNS_MOUNT | FS_ALLOW_IDMAP,
};
MODULE_ALIAS_FS("kpost");

int __init kpost_fs_init(void)
{
	return register_filesystem(&fs_type);
}

/* There is no mount any more, but there may be what is left to do of one. */
void kpost_fs_exit(void)
{
	unregister_filesystem(&fs_type);
	kpost_pollers_flush();
}
