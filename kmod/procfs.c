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

static void *procfs_start(struct seq_file *seq, loff_t *pos)
{
	struct kpost_office *office = kpost_office(seq_file_net(seq));
	struct rb_node *node;
	loff_t skip = *pos;

	mutex_lock(&office->lock);
	if (!skip)
		return SEQ_START_TOKEN;
	for (node = rb_first(&office->names); node && --skip; node = rb_next(node))
		;
	return node;
}

static void *procfs_next(struct seq_file *seq, void *at, loff_t *pos)
{
	struct kpost_office *office = kpost_office(seq_file_net(seq));

	++*pos;
	return at == SEQ_START_TOKEN ? rb_first(&office->names) : rb_next(at);
}

static void procfs_stop(struct seq_file *seq, void *at)
{
	mutex_unlock(&kpost_office(seq_file_net(seq))->lock);
}

static int procfs_show(struct seq_file *seq, void *at)
{
	static const char header[] =
		"mode uid gid queued/messages queued/bytes receivers senders waiting calls name\n";
	struct kpost_stat st;

	if (at == SEQ_START_TOKEN) {
		seq_puts(seq, header);
		return 0;
	}
	kpost_mailbox_stat(rb_entry(at, struct kpost_mailbox, by_name), &st);
	seq_printf(seq, "%04o %u %u %u/%u %llu/%llu %u %u %u+%u %u ", st.mode, st.uid, st.gid,
		   st.queued_messages, st.messages, st.queued_bytes, st.bytes, st.receivers,
		   st.senders, st.waiting_receivers, st.waiting_senders, st.open_calls);
	seq_escape(seq, st.name, " \\");
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
			       sizeof(struct seq_net_private)) ?
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
