// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kpost: the counter of an office, where mailboxes are opened.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/compat.h"
#include "endpoint.h"
#include "fs.h"
#include "overflow.h"
#include "park.h"
#include "trace.h"

/* Returns 0, -ENAMETOOLONG (no end) or -EINVAL (empty, or no name of a file). */
int kpost_name_check(const char name[KPOST_NAME_MAX + 1])
{
	size_t len = strnlen(name, KPOST_NAME_MAX + 1);
	size_t i;

	if (len > KPOST_NAME_MAX)
		return -ENAMETOOLONG;
	for (i = 0; i < len; i++) {
		if (!kpost_name_byte_ok(name[i]))
			return -EINVAL;
	}
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return len ? 0 : -EINVAL;
}

/* Where an operation is asked for: at the device, or at the directory of a file system. */
struct kpost_counter {
	struct kpost_office *office;
	struct file *file; /* which of these was opened */
	bool at_dir; /* it is a directory: names that are there go by path */
};

static long device_info(struct kpost_counter *counter, struct kpost_operand *op)
{
	struct kpost_office *office = counter->office;
	struct kpost_info info = {
		.abi_version = KPOST_ABI_VERSION,
		.name_max = KPOST_NAME_MAX,
		.features = KPOST_FEATURE_URING | KPOST_FEATURE_URING_FIXED | KPOST_FEATURE_TAG |
			    KPOST_FEATURE_TIME | KPOST_FEATURE_GRANT | KPOST_FEATURE_CALL_DEADLINE |
			    KPOST_FEATURE_IDENTITY | KPOST_FEATURE_BATCH |
			    KPOST_FEATURE_CALL_SUBMIT | KPOST_FEATURE_CANCEL |
			    (KPOST_PARKS ? KPOST_FEATURE_URING_PARK : 0) | KPOST_FEATURE_SHUT |
			    KPOST_FEATURE_PRESENT | KPOST_FEATURE_STAT_TIMES | KPOST_FEATURE_PEEK |
			    KPOST_FEATURE_OVERFLOW | KPOST_FEATURE_EXPIRES | KPOST_FEATURE_CLOCKS |
			    KPOST_FEATURE_NUMBERED | KPOST_FEATURE_KEYED | KPOST_FEATURE_HOLD |
			    KPOST_FEATURE_OWNER | KPOST_FEATURE_FILES,
		.payload_max = KPOST_PAYLOAD_MAX,
		.priority_max = KPOST_PRIORITY_MAX,
		.iovec_max = KPOST_IOVEC_MAX,
		.default_messages = kpost_default_messages(kpost_limit(office, default_bytes)),
		.default_bytes = kpost_limit(office, default_bytes),
		.user_bytes = kpost_limit(office, user_bytes),
		.user_sending_bytes = kpost_limit(office, user_sending_bytes),
		.office_bytes = kpost_limit(office, office_bytes),
		.office_sending_bytes = kpost_limit(office, office_sending_bytes),
		.user_used = kpost_account_used(office, KPOST_CAPACITY),
		.user_sending_used = kpost_account_used(office, KPOST_SENDING),
		.office_used = atomic_long_read(&office->used[KPOST_CAPACITY]),
		.office_sending_used = atomic_long_read(&office->used[KPOST_SENDING]),
	};

	return kpost_struct_answer(op, &info, sizeof(info));
}

/* An open under way: all that can be had before the mailbox is looked for. */
struct opening {
	struct kpost_open arg;
	kuid_t owner; /* with KPOST_OPEN_OWNER: whose the mailbox has to be */
	bool only_makes; /* what is there is for open(2) by path */
	struct file *file; /* the endpoint, and the fd kept for it */
	struct file *send_file; /* the second one of a pair */
	int fd;
	int send_fd;
};

static int open_check(const struct kpost_open *arg)
{
	u32 flags = arg->flags;
	u32 makes = flags & (KPOST_OPEN_CREATE | KPOST_OPEN_ANONYMOUS);

	if (flags & ~(KPOST_OPEN_CREATE | KPOST_OPEN_EXCL | KPOST_OPEN_WAIT | KPOST_OPEN_ANONYMOUS |
		      KPOST_OPEN_PAIR | KPOST_OPEN_PERSIST | KPOST_OPEN_NONBLOCK |
		      KPOST_OPEN_SUCCEED | KPOST_OPEN_KEYED | KPOST_OPEN_OWNER | KPOST_CLOCK_FLAGS))
		return -EINVAL;
	if (flags & KPOST_CLOCK_FLAGS &&
	    (!(flags & KPOST_OPEN_WAIT) || !kpost_clock_flags_ok(flags)))
		return -EINVAL;
	if (flags & (KPOST_OPEN_EXCL | KPOST_OPEN_PERSIST | KPOST_OPEN_SUCCEED) &&
	    !(flags & KPOST_OPEN_CREATE))
		return -EINVAL;
	if (flags & KPOST_OPEN_EXCL && flags & KPOST_OPEN_SUCCEED)
		return -EINVAL;
	/* At most one says what to do about the name. */
	if (hweight32(flags & (KPOST_OPEN_CREATE | KPOST_OPEN_WAIT | KPOST_OPEN_ANONYMOUS)) > 1)
		return -EINVAL;
	if (!arg->rights ||
	    arg->rights & ~(KPOST_RIGHT_SEND | KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN))
		return -EINVAL;
	if (flags & KPOST_OPEN_PAIR &&
	    (!(flags & KPOST_OPEN_ANONYMOUS) || arg->rights & KPOST_RIGHT_SEND))
		return -EINVAL;
	/* Nobody else could ever receive. */
	if (flags & KPOST_OPEN_ANONYMOUS && !(arg->rights & KPOST_RIGHT_RECV))
		return -EINVAL;
	if (arg->mode & ~0777 || arg->send_fd || arg->deadline > S64_MAX ||
	    ((arg->deadline || arg->cookie) && !(flags & KPOST_OPEN_WAIT)))
		return -EINVAL;
	if (!makes && (arg->mode || arg->messages || arg->bytes || arg->message_max ||
		       arg->overflow || arg->held_max))
		return -EINVAL;
	if (!makes && flags & KPOST_OPEN_KEYED)
		return -EINVAL;
	if (arg->overflow & KPOST_OVERFLOW_REPLACE && !(flags & KPOST_OPEN_KEYED))
		return -EINVAL;
	if (arg->overflow & ~KPOST_OVERFLOWS || arg->reserved)
		return -EINVAL;
	/* One without a name is the caller's, and nobody else can have made it. */
	if (flags & KPOST_OPEN_OWNER ? flags & KPOST_OPEN_ANONYMOUS : arg->owner)
		return -EINVAL;
	if (flags & KPOST_OPEN_ANONYMOUS)
		return memchr_inv(arg->name, 0, sizeof(arg->name)) ? -EINVAL : 0;
	return kpost_name_check(arg->name);
}

/* A mailbox without a name: once it counts, nothing can fail. */
static int open_anonymous(struct kpost_office *office, struct opening *opening)
{
	struct kpost_mailbox *mailbox = kpost_mailbox_new(office, &opening->arg);
	int err;

	if (IS_ERR(mailbox))
		return PTR_ERR(mailbox);
	err = kpost_mailbox_count(mailbox);
	if (!err) {
		spin_lock(&office->lock);
		kpost_endpoint_attach(opening->file, mailbox);
		if (opening->send_file)
			kpost_endpoint_attach(opening->send_file, mailbox);
		spin_unlock(&office->lock);
	}
	kpost_mailbox_put(mailbox);
	return err;
}

/* Is what belongs to @uid the user's that it has to be?  Returns 0 or -EPERM. */
static int open_owned(const struct opening *opening, kuid_t uid)
{
	return opening->arg.flags & KPOST_OPEN_OWNER && !uid_eq(uid, opening->owner) ? -EPERM : 0;
}

/*
 * May @mailbox be opened with @rights?  Whose it is comes last: that is told to nobody who may
 * not open it.
 */
static int open_allowed(const struct opening *opening, struct kpost_mailbox *mailbox, u32 rights)
{
	return kpost_mailbox_permission(mailbox, rights) ?: open_owned(opening, mailbox->uid);
}

/*
 * May the task make a mailbox of that name, in place of @old if there is one, whose name is then
 * only handed on?
 */
static int open_may_make(struct kpost_office *office, const struct opening *opening,
			 struct kpost_mailbox *old)
{
	int err = old ? open_allowed(opening, old, KPOST_RIGHT_ADMIN) :
			kpost_office_may_name(office, opening->arg.name, current_euid());

	return err ?: open_owned(opening, current_euid());
}

/* Attach to the mailbox of that name, made or waited for as the flags say. */
static int open_named(struct kpost_office *office, struct opening *opening,
		      struct kpost_operand *op)
{
	const struct kpost_open *arg = &opening->arg;
	struct kpost_mailbox *mailbox, *old = NULL, *fresh = NULL;
	int err = 0, refused = 0;

	for (;;) {
		spin_lock(&office->lock);
		mailbox = kpost_office_find(office, arg->name);
		if (mailbox && !(arg->flags & KPOST_OPEN_SUCCEED)) {
			if (arg->flags & KPOST_OPEN_EXCL)
				err = -EEXIST;
			else if (opening->only_makes)
				err = -EOPNOTSUPP;
			else
				err = open_allowed(opening, mailbox, arg->rights);
			break;
		}
		err = arg->flags & KPOST_OPEN_CREATE ? open_may_make(office, opening, mailbox) : 0;
		err = err ?: refused;
		if (err)
			break;
		if (fresh) {
			old = mailbox;
			mailbox = fresh;
			err = old ? kpost_mailbox_succeed(old, fresh) : kpost_mailbox_count(fresh);
			if (!err)
				kpost_office_add(office, fresh);
			break;
		}
		if (arg->flags & KPOST_OPEN_WAIT && op->nowait) {
			err = -EAGAIN;
			break;
		}
		if (arg->flags & KPOST_OPEN_WAIT) {
			err = kpost_office_await(office, arg->name, op);
			if (err)
				return err;
			continue;
		}
		spin_unlock(&office->lock);
		if (!(arg->flags & KPOST_OPEN_CREATE))
			return -ENOENT;
		/* Somebody else may make it while we do. */
		fresh = kpost_mailbox_new(office, arg);
		if (IS_ERR(fresh)) {
			refused = PTR_ERR(fresh);
			fresh = NULL;
		}
	}
	if (!err)
		kpost_endpoint_attach(opening->file, mailbox);
	spin_unlock(&office->lock);
	if (old && !err)
		kpost_mailbox_unnamed(old, true);
	if (fresh) {
		if (mailbox == fresh && !err) {
			kpost_office_announce(office, arg->name);
			kpost_fs_named(fresh);
		}
		kpost_mailbox_put(fresh);
	}
	return err;
}

static long open_mailbox(struct kpost_office *office, struct opening *opening,
			 struct kpost_operand *op)
{
	struct kpost_open __user *to = op->arg;
	const struct kpost_open *arg = &opening->arg;
	bool nonblock = arg->flags & KPOST_OPEN_NONBLOCK;
	int err;

	opening->fd = kpost_endpoint_prepare(office->net, arg->rights, nonblock, &opening->file);
	if (opening->fd < 0)
		return opening->fd;
	if (arg->flags & KPOST_OPEN_PAIR) {
		opening->send_fd = kpost_endpoint_prepare(office->net, KPOST_RIGHT_SEND, nonblock,
							  &opening->send_file);
		if (opening->send_fd < 0) {
			err = opening->send_fd;
			goto err_file;
		}
		err = put_user(opening->send_fd, &to->send_fd);
		if (err)
			goto err_send_file;
	}

	if (arg->flags & KPOST_OPEN_ANONYMOUS)
		err = open_anonymous(office, opening);
	else
		err = open_named(office, opening, op);
	if (err) {
		if (opening->send_file && put_user(0, &to->send_fd))
			err = -EFAULT;
		goto err_send_file;
	}

	if (opening->send_file)
		fd_install(opening->send_fd, opening->send_file);
	fd_install(opening->fd, opening->file);
	return opening->fd;

err_send_file:
	if (opening->send_file) {
		fput(opening->send_file);
		put_unused_fd(opening->send_fd);
	}
err_file:
	fput(opening->file);
	put_unused_fd(opening->fd);
	return err;
}

static long device_open_mailbox(struct kpost_counter *counter, struct kpost_operand *op)
{
	struct opening opening = { .send_fd = -1, .only_makes = counter->at_dir };
	const struct kpost_open *arg = &opening.arg;
	long ret;

	ret = kpost_struct_get(op, &opening.arg, name);
	if (ret)
		return ret;
	ret = open_check(arg);
	if (ret)
		return ret;
	opening.owner = make_kuid(current_user_ns(), arg->owner);
	if (arg->flags & KPOST_OPEN_OWNER && !uid_valid(opening.owner))
		return -EINVAL;
	kpost_operand_waits(op, arg->deadline, arg->flags, arg->cookie);
	if (!counter->at_dir)
		return open_mailbox(counter->office, &opening, op);
	if (!(arg->flags & KPOST_OPEN_CREATE) || arg->flags & KPOST_OPEN_SUCCEED)
		return -EOPNOTSUPP;
	ret = kpost_fs_make_begin(counter->file, arg->name, arg->mode, arg->rights);
	if (ret)
		return ret;
	ret = open_mailbox(counter->office, &opening, op);
	kpost_fs_change_end(counter->file);
	return ret;
}

static long device_unlink(struct kpost_counter *counter, struct kpost_operand *op)
{
	struct kpost_office *office = counter->office;
	struct kpost_mailbox *mailbox;
	struct kpost_unlink arg;
	int err;

	err = kpost_struct_get(op, &arg, name);
	if (err)
		return err;
	if (arg.flags || arg.reserved)
		return -EINVAL;
	err = kpost_name_check(arg.name);
	if (!err && counter->at_dir)
		err = kpost_fs_unlink_begin(counter->file, arg.name);
	if (err)
		return err;

	spin_lock(&office->lock);
	mailbox = kpost_office_find(office, arg.name);
	err = mailbox ? kpost_mailbox_permission(mailbox, KPOST_RIGHT_ADMIN) : -ENOENT;
	if (!err)
		kpost_mailbox_unname(mailbox);
	spin_unlock(&office->lock);
	if (!err)
		kpost_mailbox_unnamed(mailbox, true);
	if (counter->at_dir)
		kpost_fs_change_end(counter->file);
	return err;
}

/*
 * One entry at a time, since nothing is locked while user memory is written.  What is told is the
 * opener's to know, whoever has the file now.
 */
static long device_list(struct kpost_counter *counter, struct kpost_operand *op)
{
	struct kpost_office *office = counter->office;
	struct kpost_mailbox *mailbox;
	struct kpost_list arg;
	struct kpost_stat st;
	size_t known;
	u32 done;
	int err;

	err = kpost_struct_get(op, &arg, after);
	if (err)
		return err;
	if (arg.entry_size < KPOST_STAT_SIZE_1 || arg.entry_size > KPOST_STRUCT_MAX ||
	    arg.count > INT_MAX)
		return -EINVAL;
	known = min_t(size_t, arg.entry_size, sizeof(st));
	if (strnlen(arg.after, sizeof(arg.after)) == sizeof(arg.after))
		return -ENAMETOOLONG;

	for (done = 0; done < arg.count; done++) {
		u64 at = arg.buf + (u64)done * arg.entry_size;
		char __user *to = u64_to_user_ptr(at);

		if (at < arg.buf || at > ULONG_MAX)
			return -EFAULT;
		mailbox = kpost_office_next(office, counter->file->f_cred, arg.after, &st);
		if (IS_ERR(mailbox))
			return PTR_ERR(mailbox);
		if (!mailbox)
			break;
		st.oldest = kpost_mailbox_oldest(mailbox);
		kpost_mailbox_put(mailbox);
		if (copy_to_user(to, &st, known) || clear_user(to + known, arg.entry_size - known))
			return -EFAULT;
		strscpy(arg.after, st.name, sizeof(arg.after));
	}
	return done;
}

static long device_cancel(struct kpost_counter *counter, struct kpost_operand *op)
{
	return kpost_cancel(op);
}

static const struct {
	unsigned int cmd;
	size_t size_1; /* of its struct in the first version */
	long (*operate)(struct kpost_counter *counter, struct kpost_operand *op);
	bool at_dir; /* by the directory too */
} operations[] = {
	{ KPOST_IOC_INFO, 104, device_info, true },
	{ KPOST_IOC_OPEN, 320, device_open_mailbox, true },
	{ KPOST_IOC_UNLINK, 264, device_unlink, true },
	{ KPOST_IOC_LIST, 272, device_list, true },
	{ KPOST_IOC_CANCEL, KPOST_CANCEL_SIZE_1, device_cancel, false },
};

/* Grown structs keep their places and their first sizes; these change with them. */
static_assert(sizeof(struct kpost_info) == 104);
static_assert(sizeof(struct kpost_open) == 320);
static_assert(sizeof(struct kpost_unlink) == 264);
static_assert(sizeof(struct kpost_list) == 272);

/* Do what @cmd says, asked for at @file, the device, or if @at_dir a directory, of @office. */
long kpost_device_operate(struct kpost_office *office, struct file *file, bool at_dir,
			  unsigned int cmd, unsigned long arg)
{
	struct kpost_counter counter = { .office = office, .file = file, .at_dir = at_dir };
	struct kpost_operand op = {
		.arg = (void __user *)arg,
		.size = _IOC_SIZE(cmd),
		.nowait = file->f_flags & O_NONBLOCK,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(operations); i++) {
		if ((cmd ^ operations[i].cmd) & ~IOCSIZE_MASK || (at_dir && !operations[i].at_dir))
			continue;
		if (op.size < operations[i].size_1)
			return -EINVAL;
		return operations[i].operate(&counter, &op);
	}
	return -ENOTTY;
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return kpost_device_operate(kpost_office(file->private_data), file, false, cmd, arg);
}

/* The office is the opener's, whoever uses the file later. */
static int device_open(struct inode *inode, struct file *file)
{
	file->private_data = get_net(current->nsproxy->net_ns);
	return stream_open(inode, file);
}

static int device_release(struct inode *inode, struct file *file)
{
	put_net(file->private_data);
	return 0;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kpost",
	.mode = 0666,
	.fops = &device_fops,
};

int __init kpost_device_init(void)
{
	return misc_register(&device);
}

void kpost_device_exit(void)
{
	misc_deregister(&device);
}
