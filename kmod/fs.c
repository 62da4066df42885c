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
#include <linux/statfs.h>
#include <linux/string.h>
#include <linux/user_namespace.h>

#include "compat/fs.h"
#include "fs.h"
#include "fs_view.h"
#include "pollers.h"

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
	struct qstr name = QSTR_INIT(mailbox->name, strlen(mailbox->name));
	struct inode *dir, *inode;

	if (!sb)
		return;
	dir = d_inode(sb->s_root);
	/* Most have none: nobody looks at them. */
	inode = kpost_fs_inode_there(sb, mailbox);
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
	.drop_inode = kpost_fs_drop_inode,
	.evict_inode = kpost_fs_evict_inode,
};

static int fs_fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct kpost_office *office = kpost_fs_office(sb);
	struct inode *root;

	sb->s_iflags |= SB_I_NOEXEC | SB_I_NODEV;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_magic = KPOST_SUPER_MAGIC;
	sb->s_op = &fs_sops;
	kpost_compat_set_d_op(sb, &kpost_fs_dops);

	root = new_inode(sb);
	if (!root)
		return -ENOMEM;
	root->i_ino = KPOST_ROOT_INO;
	root->i_mode = S_IFDIR | 0777;
	root->i_uid = make_kuid(sb->s_user_ns, 0);
	root->i_gid = make_kgid(sb->s_user_ns, 0);
	/* Where there is no root; it may not be nobody's, for then nobody could write. */
	if (!uid_valid(root->i_uid))
		root->i_uid = GLOBAL_ROOT_UID;
	if (!gid_valid(root->i_gid))
		root->i_gid = GLOBAL_ROOT_GID;
	root->i_op = &kpost_fs_root_iops;
	root->i_fop = &kpost_fs_root_fops;
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
	struct kpost_office *office = kpost_fs_office(sb);

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
