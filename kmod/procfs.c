// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/net/kpost: the named mailboxes of an office, for people.
 */
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/seq_file_net.h>

#include "../uapi/linux/kpost.h"
#include "mailbox.h"

#ifdef CONFIG_PROC_FS

/* Where a reader is: the lock is held for one line at a time, as by LIST. */
struct procfs_cursor {
	struct seq_net_private net; /* first, for seq_file_net() */
	char after[KPOST_NAME_MAX + 1]; /* the name of the last line read */
	struct kpost_stat st; /* the next */
};

static void *procfs_find(struct procfs_cursor *cursor, struct kpost_office *office)
{
	struct kpost_mailbox *mailbox;

	spin_lock(&office->lock);
	mailbox = kpost_office_after(office, cursor->after);
	if (mailbox)
		kpost_mailbox_stat(mailbox, &cursor->st);
	spin_unlock(&office->lock);
	return mailbox ? &cursor->st : NULL;
}

/* Begins anew or goes on where procfs_next() was last; seq_file knows no other way. */
static void *procfs_start(struct seq_file *seq, loff_t *pos)
{
	struct procfs_cursor *cursor = seq->private;

	if (*pos)
		return procfs_find(cursor, kpost_office(seq_file_net(seq)));
	cursor->after[0] = '\0';
	return SEQ_START_TOKEN;
}

static void *procfs_next(struct seq_file *seq, void *at, loff_t *pos)
{
	struct procfs_cursor *cursor = seq->private;

	++*pos;
	if (at != SEQ_START_TOKEN)
		strscpy(cursor->after, cursor->st.name, sizeof(cursor->after));
	return procfs_find(cursor, kpost_office(seq_file_net(seq)));
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

static const struct seq_operations procfs_ops = {
	.start = procfs_start,
	.next = procfs_next,
	.stop = procfs_stop,
	.show = procfs_show,
};

int kpost_procfs_init(struct kpost_office *office)
{
	return proc_create_net("kpost", 0444, office->net->proc_net, &procfs_ops,
			       sizeof(struct procfs_cursor)) ?
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
