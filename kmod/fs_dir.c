// SPDX-License-Identifier: GPL-2.0-only
/* The directory as a file: it is read, and operations can be asked of it. */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat/fs.h"
#include "endpoint.h"
#include "fs_view.h"

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
	struct kpost_office *office = kpost_fs_office(file_inode(file)->i_sb);
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

/* The directory is a counter of the office too, for what a file's operations do not say. */
static long fs_root_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	/* Who owns what there is not what the mount says. */
	if (kpost_compat_mapped(file))
		return -ENOTTY;
	return kpost_device_operate(kpost_fs_office(file_inode(file)->i_sb), file, true, cmd, arg);
}

const struct file_operations kpost_fs_root_fops = {
	.owner = THIS_MODULE,
	.open = fs_root_open,
	.release = fs_root_release,
	.llseek = generic_file_llseek,
	.read = generic_read_dir,
	.iterate_shared = fs_iterate,
	.unlocked_ioctl = fs_root_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
