// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/net/kpost: the named mailboxes of an office, for people.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "../uapi/linux/kpost.h"
#include "mailbox.h"

#ifdef CONFIG_PROC_FS

/* Where a reader is: the lock is held for one line at a time, as by LIST. */
struct procfs_cursor {
	struct kpost_office *office;
	char after[KPOST_NAME_MAX + 1]; /* the name of the last line read, or passed over */
	struct kpost_stat st; /* the next */
};

/* It tells what its opener may know, whoever reads. */
static void *procfs_find(struct seq_file *seq)
{
	struct procfs_cursor *cursor = seq->private;
	struct kpost_mailbox *mailbox;

	mailbox = kpost_office_next(cursor->office, seq->file->f_cred, cursor->after, &cursor->st);
	if (IS_ERR_OR_NULL(mailbox))
		return mailbox;
	kpost_mailbox_put(mailbox);
	return &cursor->st;
}

/* Begins anew or goes on where procfs_next() was last; seq_file knows no other way. */
static void *procfs_start(struct seq_file *seq, loff_t *pos)
{
	struct procfs_cursor *cursor = seq->private;

	if (*pos)
		return procfs_find(seq);
	cursor->after[0] = '\0';
	return SEQ_START_TOKEN;
}

static void *procfs_next(struct seq_file *seq, void *at, loff_t *pos)
{
	struct procfs_cursor *cursor = seq->private;

	++*pos;
	if (at != SEQ_START_TOKEN)
		strscpy(cursor->after, cursor->st.name, sizeof(cursor->after));
	return procfs_find(seq);
}

static void procfs_stop(struct seq_file *seq, void *at)
{
}

static int procfs_show(struct seq_file *seq, void *at)
{
	static const char header[] =
		"mode uid gid queued/messages queued/bytes receivers senders waiting calls name\n";
	const struct kpost_stat *st = at;

	if (at == SEQ_START_TOKEN) {
		seq_puts(seq, header);
		return 0;
	}
	seq_printf(seq, "%04o %u %u %u/%u %llu/%llu %u %u %u+%u %u ", st->mode, st->uid, st->gid,
		   st->queued_messages, st->messages, st->queued_bytes, st->bytes, st->receivers,
		   st->senders, st->waiting_receivers, st->waiting_senders, st->open_calls);
	seq_escape(seq, st->name, " \\");
	seq_putc(seq, '\n');
	return 0;
}

static const struct seq_operations procfs_seq_ops = {
	.start = procfs_start,
	.next = procfs_next,
	.stop = procfs_stop,
	.show = procfs_show,
};

/*
 * Not proc_create_net(): taking a file of its away waits for who reads it, with all network
 * namespaces locked, and a read into memory that never arrives does not end.  So a reader
 * has the module and the namespace stay.
 */
static int procfs_open(struct inode *inode, struct file *file)
{
	struct kpost_office *office = pde_data(inode);
	struct procfs_cursor *cursor;

	/* The namespace may be on its way out, but not further: its exit waits for this open. */
	if (!maybe_get_net(office->net))
		return -ENXIO;
	if (!try_module_get(THIS_MODULE)) {
		put_net(office->net);
		return -ENXIO;
	}
	cursor = __seq_open_private(file, &procfs_seq_ops, sizeof(*cursor));
	if (!cursor) {
		put_net(office->net);
		module_put(THIS_MODULE);
		return -ENOMEM;
	}
	cursor->office = office;
	return 0;
}

static int procfs_release(struct inode *inode, struct file *file)
{
	struct procfs_cursor *cursor = ((struct seq_file *)file->private_data)->private;

	put_net(cursor->office->net);
	seq_release_private(inode, file);
	/* The entry, and so this code, stays until this returns: its removal waits for that. */
	module_put(THIS_MODULE);
	return 0;
}

static const struct proc_ops procfs_ops = {
	.proc_open = procfs_open,
	.proc_read_iter = seq_read_iter,
	.proc_lseek = seq_lseek,
	.proc_release = procfs_release,
};

int kpost_procfs_init(struct kpost_office *office)
{
	return proc_create_data("kpost", 0444, office->net->proc_net, &procfs_ops, office) ?
		       0 :
		       -ENOMEM;
}

void kpost_procfs_exit(struct kpost_office *office)
{
	remove_proc_entry("kpost", office->net->proc_net);
}

#else

int kpost_procfs_init(struct kpost_office *office)
{
	return 0;
}

void kpost_procfs_exit(struct kpost_office *office)
{
}

#endif
