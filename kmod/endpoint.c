// SPDX-License-Identifier: GPL-2.0-only
#include <linux/anon_inodes.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "call.h"
#include "caller.h"
#include "endpoint.h"
#include "fs.h"
#include "hold.h"
#include "mark.h"
#include "overflow.h"
#include "process.h"
#include "room.h"
#include "trace.h"

/* What a granted one counts for: itself, its file, and what these are kept in. */
#define ENDPOINT_BYTES SZ_1K

void kpost_endpoint_put(struct kpost_endpoint *endpoint)
{
	if (!refcount_dec_and_test(&endpoint->refs))
		return;
	/* Whoever tells its pollers looks at the account's teller; and is in this office. */
	kpost_account_put(endpoint->account);
	kfree(endpoint);
}

static void endpoint_one_told(struct kpost_pollers *room)
{
	kpost_mailbox_one_told(container_of(room, struct kpost_endpoint, room));
}

/* An endpoint that has no mailbox yet, of the task that opens it; NULL if there is no memory. */
static struct kpost_endpoint *endpoint_alloc(struct net *net, u32 rights)
{
	struct kpost_endpoint *endpoint = kzalloc(sizeof(*endpoint), GFP_KERNEL_ACCOUNT);

	if (!endpoint)
		return NULL;
	endpoint->account = kpost_account_get(kpost_office(net));
	if (!endpoint->account) {
		kfree(endpoint);
		return NULL;
	}
	endpoint->net = get_net(net);
	endpoint->rights = rights;
	endpoint->uid = current_euid();
	endpoint->gid = current_egid();
	endpoint->privileged = kpost_account_privileged();
	kpost_shortage_init(&endpoint->shortage);
	endpoint->calls = RB_ROOT;
	endpoint->callers = RB_ROOT;
	INIT_LIST_HEAD(&endpoint->refused);
	kpost_pollers_init(&endpoint->room, &endpoint->account->teller, endpoint_one_told);
	refcount_set(&endpoint->refs, 1);
	return endpoint;
}

/* One that never had a mailbox. */
static void endpoint_free(struct kpost_endpoint *endpoint)
{
	struct net *net = endpoint->net;

	kpost_endpoint_put(endpoint);
	put_net(net);
}

/*
 * A file for an endpoint that has no mailbox yet; the caller attaches one, and
 * only then lets user space know of the file.  Returns it or -ENOMEM, -ENFILE.
 */
struct file *kpost_endpoint_new(struct net *net, u32 rights, bool nonblock)
{
	struct kpost_endpoint *endpoint = endpoint_alloc(net, rights);
	struct file *file;
	int flags;

	if (!endpoint)
		return ERR_PTR(-ENOMEM);
	flags = nonblock ? O_NONBLOCK : 0;
	if (rights & KPOST_RIGHT_SEND)
		flags |= rights & KPOST_RIGHT_RECV ? O_RDWR : O_WRONLY;
	file = anon_inode_getfile("[kpost]", &kpost_endpoint_fops, endpoint, flags);
	if (IS_ERR(file)) {
		endpoint_free(endpoint);
		return file;
	}
	stream_open(file_inode(file), file);
	file->f_mode |= FMODE_NOWAIT;
	return file;
}

/* An fd and a file for one endpoint, not yet known to user space. */
int kpost_endpoint_prepare(struct net *net, u32 rights, bool nonblock, struct file **file)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		return fd;
	*file = kpost_endpoint_new(net, rights, nonblock);
	if (IS_ERR(*file)) {
		put_unused_fd(fd);
		return PTR_ERR(*file);
	}
	return fd;
}

static void endpoint_attach(struct kpost_endpoint *endpoint, struct kpost_mailbox *mailbox)
{
	kpost_mailbox_attach(mailbox, endpoint->rights);
	endpoint->mailbox = mailbox;
	trace_kpost_open(mailbox->id, endpoint->rights, mailbox->name);
}

/* Under office->lock. */
void kpost_endpoint_attach(struct file *file, struct kpost_mailbox *mailbox)
{
	endpoint_attach(file->private_data, mailbox);
}

/* By path, see fs_name.c: whether the task may was asked on the way. */
static int endpoint_open(struct inode *inode, struct file *file)
{
	struct kpost_mailbox *mailbox = inode->i_private;
	struct kpost_office *office = mailbox->office;
	struct kpost_endpoint *endpoint;
	u32 rights = 0;
	int err;

	if (file->f_mode & FMODE_READ)
		rights |= KPOST_RIGHT_RECV;
	if (file->f_mode & FMODE_WRITE)
		rights |= KPOST_RIGHT_SEND;
	if (!rights)
		return -EINVAL;
	endpoint = endpoint_alloc(office->net, rights);
	if (!endpoint)
		return -ENOMEM;
	spin_lock(&office->lock);
	err = kpost_fs_opens(file, mailbox, rights);
	if (!err)
		endpoint_attach(endpoint, mailbox);
	spin_unlock(&office->lock);
	if (err) {
		endpoint_free(endpoint);
		return err;
	}
	file->private_data = endpoint;
	file->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, file);
}

/* Another endpoint on the same mailbox, for somebody else. */
long kpost_grant(struct kpost_operand *op)
{
	struct kpost_endpoint *endpoint = op->endpoint, *granted;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_office *office = mailbox->office;
	struct kpost_mark *mark = NULL;
	struct kpost_grant arg;
	struct file *file;
	int fd, err;

	err = kpost_struct_get(op, &arg, write_flags);
	if (err)
		return err;
	if (arg.flags & ~(KPOST_GRANT_NONBLOCK | KPOST_GRANT_BADGE | KPOST_GRANT_MARK) ||
	    !arg.rights ||
	    arg.rights & ~(KPOST_RIGHT_SEND | KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN) ||
	    arg.priority > KPOST_PRIORITY_MAX || arg.write_flags & ~KPOST_LOSES ||
	    (arg.write_flags & KPOST_REPLACE && !mailbox->keyed) ||
	    (arg.badge && !(arg.flags & KPOST_GRANT_BADGE)))
		return -EINVAL;
	if (arg.rights & ~endpoint->rights || (arg.flags & (KPOST_GRANT_BADGE | KPOST_GRANT_MARK) &&
					       !(endpoint->rights & KPOST_RIGHT_ADMIN)))
		return -EPERM;

	fd = kpost_endpoint_prepare(endpoint->net, arg.rights, arg.flags & KPOST_GRANT_NONBLOCK,
				    &file);
	if (fd < 0)
		return fd;
	granted = file->private_data;
	err = kpost_endpoint_charge(endpoint, &granted->charge, ENDPOINT_BYTES, false);
	if (err)
		goto err_file;
	granted->badge = arg.flags & KPOST_GRANT_BADGE ? arg.badge : endpoint->badge;
	granted->tag = arg.tag;
	granted->priority = arg.priority;
	granted->write_flags = arg.write_flags;
	if (arg.flags & KPOST_GRANT_MARK && !kpost_mark_exists(mailbox, granted->badge)) {
		mark = kpost_mark_new(endpoint, granted->badge);
		err = PTR_ERR_OR_ZERO(mark);
		if (err)
			goto err_file;
	}
	spin_lock(&office->lock);
	err = mailbox->closed ? -EPIPE : 0;
	if (!err) {
		kpost_endpoint_attach(file, mailbox);
		if (mark) {
			spin_lock(&mailbox->lock);
			/* Unless somebody else has made one meanwhile. */
			if (kpost_mark_add(mailbox, mark))
				mark = NULL;
			spin_unlock(&mailbox->lock);
		}
	}
	spin_unlock(&office->lock);
	if (mark)
		kpost_mark_free(mark);
	if (err)
		goto err_file;
	fd_install(fd, file);
	return fd;

err_file:
	fput(file);
	put_unused_fd(fd);
	return err;
}

/*
 * Charge @bytes to the sending share of who pays for what the task does through @endpoint.  If
 * there are not so many, and @polls, the endpoint cannot be written to before there are.
 * Returns 0, -ENOBUFS, -EDQUOT or -ENOMEM.
 */
int kpost_endpoint_charge(struct kpost_endpoint *endpoint, struct kpost_charge *charge,
			  size_t bytes, bool polls)
{
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct kpost_account *account = endpoint->account;
	struct kpost_office *office = account->office;
	bool held = false;
	int err;

	if (endpoint->privileged && kpost_account_privileged()) {
		account = &office->own;
	} else if (!uid_eq(account->uid, kpost_account_user())) {
		account = kpost_account_get(office);
		if (!account)
			return -ENOMEM;
		held = true;
	}
	err = kpost_charge(charge, account, bytes);
	if (unlikely(err && polls)) {
		spin_lock(&mailbox->lock);
		kpost_shortage_note(endpoint, account, bytes);
		spin_unlock(&mailbox->lock);
	}
	if (held)
		kpost_account_put(account);
	return err;
}

static int endpoint_release(struct inode *inode, struct file *file)
{
	struct kpost_endpoint *endpoint = file->private_data;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	struct net *net = endpoint->net;
	struct kpost_origin *origin;

	if (mailbox) {
		trace_kpost_close(mailbox->id, endpoint->rights);
		kpost_calls_reset(endpoint);
		kpost_holds_end(endpoint);
		kpost_callers_end(endpoint);
		spin_lock(&mailbox->lock);
		endpoint->released = true;
		list_del_init(&endpoint->refused);
		kpost_shortage_end(endpoint);
		origin = kpost_origins_end(endpoint);
		spin_unlock(&mailbox->lock);
		kpost_origins_free(origin);
		kpost_process_put(endpoint->receiver);
		kpost_pollers_exit(&endpoint->room);
		kpost_mailbox_detach(mailbox, endpoint->rights);
	}
	kpost_uncharge(&endpoint->charge);
	kpost_endpoint_put(endpoint);
	put_net(net);
	return 0;
}

static __poll_t endpoint_poll(struct file *file, struct poll_table_struct *wait)
{
	struct kpost_endpoint *endpoint = file->private_data;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	bool wants_room = poll_requested_events(wait) & (EPOLLOUT | EPOLLWRNORM);
	bool receives = endpoint->rights & KPOST_RIGHT_RECV;
	__poll_t events = 0;

	/* Two queues at the most: io_uring polls no more of one file. */
	poll_wait(file, receives ? &mailbox->in.wait : &mailbox->end.wait, wait);
	if (endpoint->rights & KPOST_RIGHT_SEND)
		poll_wait(file, &endpoint->room.wait, wait);

	spin_lock(&mailbox->lock);
	if (receives) {
		if (!kpost_queue_empty(&mailbox->queue))
			events |= EPOLLIN | EPOLLRDNORM;
		if (!mailbox->named && !mailbox->senders)
			events |= EPOLLRDHUP;
		if (kpost_mailbox_finished(mailbox))
			events |= EPOLLHUP;
	}
	if (endpoint->rights & KPOST_RIGHT_SEND) {
		if (kpost_mailbox_writable(mailbox) && !kpost_shortage_lasts(endpoint))
			events |= EPOLLOUT | EPOLLWRNORM;
		else if (wants_room && !mailbox->shut)
			kpost_mailbox_refuse(endpoint);
		if (unlikely(!RB_EMPTY_ROOT(&endpoint->callers)) && kpost_caller_ready(endpoint))
			events |= kpost_poll_reply(endpoint->rights);
		/* What select(2) takes for writable: a write would not wait. */
		if (mailbox->shut)
			events |= receives ? EPOLLERR : EPOLLERR | EPOLLHUP;
	}
	if (mailbox->closed)
		events |= EPOLLHUP;
	spin_unlock(&mailbox->lock);
	return events;
}

static long endpoint_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kpost_operand op = {
		.endpoint = file->private_data,
		.arg = (void __user *)arg,
		.nowait = file->f_flags & O_NONBLOCK,
	};

	return kpost_operate(&op, cmd);
}

#ifdef CONFIG_PROC_FS
static void endpoint_show_fdinfo(struct seq_file *seq, struct file *file)
{
	static const char *const rights[] = {
		[KPOST_RIGHT_SEND] = "send",
		[KPOST_RIGHT_RECV] = "recv",
		[KPOST_RIGHT_SEND | KPOST_RIGHT_RECV] = "send,recv",
		[KPOST_RIGHT_ADMIN] = "admin",
		[KPOST_RIGHT_SEND | KPOST_RIGHT_ADMIN] = "send,admin",
		[KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN] = "recv,admin",
		[KPOST_RIGHT_SEND | KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN] = "send,recv,admin",
	};
	struct kpost_endpoint *endpoint = file->private_data;
	struct kpost_mailbox *mailbox = endpoint->mailbox;
	unsigned int calls;
	u64 bytes, sequence;
	u32 messages;
	bool named;

	spin_lock(&mailbox->lock);
	named = mailbox->named;
	messages = mailbox->messages;
	bytes = mailbox->bytes;
	sequence = mailbox->sent;
	calls = endpoint->open_calls;
	spin_unlock(&mailbox->lock);

	seq_puts(seq, "kpost-name:\t");
	seq_escape(seq, named ? mailbox->name : "", "\n\\");
	seq_printf(seq, "\nkpost-rights:\t%s\n", rights[endpoint->rights]);
	seq_printf(seq, "kpost-badge:\t%llu\n", endpoint->badge);
	seq_printf(seq, "kpost-queued:\t%u %llu\n", messages, bytes);
	seq_printf(seq, "kpost-sequence:\t%llu\n", sequence);
	seq_printf(seq, "kpost-calls:\t%u\n", calls);
}
#endif

const struct file_operations kpost_endpoint_fops = {
	.owner = THIS_MODULE,
	.open = endpoint_open,
	.release = endpoint_release,
	.read_iter = kpost_read_iter,
	.write_iter = kpost_write_iter,
	.poll = endpoint_poll,
	.unlocked_ioctl = endpoint_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = kpost_uring_cmd,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = endpoint_show_fdinfo,
#endif
};
