// SPDX-License-Identifier: GPL-2.0-only
/* The device's operations. */
#include "faults.h"

static void check_closed(struct stage *stage)
{
	must(stage, close((int)stage->ret) == 0);
}

static long call_device_open(struct stage *stage)
{
	return faulty(stage, open(KT_DEVICE, O_RDWR | O_CLOEXEC));
}

static long call_device_close(struct stage *stage)
{
	return faulty(stage, close(stage->fd));
}

static void prepare_device_close(struct stage *stage)
{
	stage->fd = kt_open_device();
}

static void check_nothing(struct stage *stage)
{
	must(stage, fcntl(stage->fd, F_GETFD) < 0);
}

static long call_info(struct stage *stage)
{
	return stage_device(stage, KPOST_IOC_INFO, &stage->args.info);
}

static void check_info(struct stage *stage)
{
	must(stage, stage->args.info.abi_version == KPOST_ABI_VERSION);
}

/* ---- OPEN ---- */

static long call_open(struct stage *stage)
{
	return stage_device(stage, KPOST_IOC_OPEN, &stage->args.open);
}

static void prepare_create(struct stage *stage)
{
	stage->args.open = kt_open_args(stage->other, KT_ALL, KPOST_OPEN_CREATE);
	stage->args.open.overflow = KPOST_OVERFLOW_DROP_OLD;
}

/* The mailbox that has the name is to be as it was, or shut. */
static void prepare_succeed(struct stage *stage)
{
	prepare_create(stage);
	stage->fd = kt_do_open(&stage->args.open);
	must(stage, stage->fd >= 0 && kt_post(stage->fd, "old", 3, 0) == 0);
	stage->args.open.flags |= KPOST_OPEN_SUCCEED;
}

static long call_succeed(struct stage *stage)
{
	long ret = call_open(stage);
	struct kpost_stat st = kt_stat(stage->fd);

	must(stage, st.flags == (ret < 0 ? 0 : KPOST_STAT_SHUT) && st.queued_messages == 1);
	return ret;
}

static void prepare_existing(struct stage *stage)
{
	stage->args.open = kt_open_args(stage->name, KPOST_RIGHT_SEND, 0);
}

static void prepare_owned(struct stage *stage)
{
	prepare_existing(stage);
	stage->args.open.flags = KPOST_OPEN_OWNER;
	stage->args.open.owner = geteuid();
}

static void prepare_create_owned(struct stage *stage)
{
	prepare_create(stage);
	stage->args.open.flags |= KPOST_OPEN_OWNER;
	stage->args.open.owner = geteuid();
}

static void prepare_anonymous(struct stage *stage)
{
	stage->args.open = kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_NONBLOCK);
}

static void prepare_pair(struct stage *stage)
{
	stage->args.open =
		kt_open_args(NULL, KPOST_RIGHT_RECV, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_PAIR);
}

static void check_open(struct stage *stage)
{
	int fd = (int)stage->ret;

	must(stage, kt_stat(fd).receivers == 1);
	must(stage, fcntl(fd, F_GETFD) == FD_CLOEXEC);
	check_closed(stage);
	stage_snapshot(stage, &stage->after);
	must(stage, !memcmp(&stage->before, &stage->after, sizeof(stage->before)));
}

/* The one that it has succeeded was there before, and goes now. */
static void check_succeed(struct stage *stage)
{
	must(stage, kt_stat((int)stage->ret).receivers == 1);
	must(stage, close(stage->fd) == 0);
	check_closed(stage);
	stage_snapshot(stage, &stage->after);
	must(stage, stage->after.names == stage->before.names - 1);
	must(stage, kt_stat_same(stage->before.st, stage->after.st));
}

static void check_pair(struct stage *stage)
{
	int fds[2] = { (int)stage->ret, stage->args.open.send_fd };
	char buf[4];

	must(stage, kt_post(fds[1], "pair", 4, 0) == 0);
	must(stage, kt_take(fds[0], NULL, buf, sizeof(buf)) == 4);
	must(stage, close(fds[1]) == 0);
	check_open(stage);
}

/* Does the thread whose wchan this is wait in the module?  A fault may have it wait elsewhere. */
static bool waiting(int wchan)
{
	char where[64] = "";

	return pread(wchan, where, sizeof(where) - 1, 0) > 0 && strstr(where, "waiter_");
}

static long make_awaited(void *arg)
{
	struct stage *stage = arg;

	if (!kt_until(waiting(stage->fd)))
		return -ETIMEDOUT;
	return kt_create(stage->other, KPOST_RIGHT_RECV);
}

/* The thread opens nothing before its time: the table of fds is everybody's. */
static void prepare_wait(struct stage *stage)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", getpid());
	stage->fd = open(path, O_RDONLY | O_CLOEXEC);
	must(stage, stage->fd >= 0 && kt_device() >= 0);
	stage->args.open = kt_open_args(stage->other, KPOST_RIGHT_SEND, KPOST_OPEN_WAIT);
	kt_start_fn(&stage->job, make_awaited, stage);
}

static void check_wait(struct stage *stage)
{
	must(stage, kt_join(&stage->job) && stage->job.ret >= 0);
	must(stage, close((int)stage->job.ret) == 0);
	must(stage, close(stage->fd) == 0);
	check_closed(stage);
}

/*
 * So that the table of fds has to grow: 64 entries is the least that it has, and one
 * more is taken while a fault is armed.
 */
static void prepare_crowded(struct stage *stage)
{
	while (dup(0) < 62)
		;
	prepare_anonymous(stage);
}

/* The kernel has no more files for anybody without privilege: no fault is needed. */
static void set_files(struct stage *stage, const char *max)
{
	int fd = open("/proc/sys/fs/file-max", O_WRONLY | O_CLOEXEC);

	must(stage, fd >= 0 && write(fd, max, strlen(max)) > 0 && close(fd) == 0);
}

static void prepare_no_files(struct stage *stage)
{
	prepare_pair(stage);
	set_files(stage, "0");
}

static long call_open_unprivileged(struct stage *stage)
{
	unsigned int n = stage->n;
	long ret;

	must(stage, seteuid(65534) == 0);
	stage->n = 0;
	ret = call_open(stage);
	stage->n = n;
	must(stage, seteuid(0) == 0);
	return ret;
}

static void check_no_files(struct stage *stage)
{
	must(stage, stage->ret == -ENFILE);
	stage_snapshot(stage, &stage->after);
	must(stage, !memcmp(&stage->before, &stage->after, sizeof(stage->before)));
	must(stage, !memcmp(&stage->args_before, &stage->args, sizeof(stage->args)));
	set_files(stage, "1000000");
	stage->ret = call_open_unprivileged(stage);
	check_pair(stage);
}

/* ---- UNLINK, LIST ---- */

static void prepare_unlink(struct stage *stage)
{
	int fd = kt_open(stage->other, KPOST_RIGHT_RECV, KPOST_OPEN_CREATE | KPOST_OPEN_PERSIST);

	must(stage, fd >= 0 && close(fd) == 0);
	strcpy(stage->args.unlink.name, stage->other);
}

static long call_unlink(struct stage *stage)
{
	return stage_device(stage, KPOST_IOC_UNLINK, &stage->args.unlink);
}

static void check_unlink(struct stage *stage)
{
	must(stage, kt_open(stage->other, KPOST_RIGHT_RECV, 0) == -ENOENT);
}

static void prepare_list(struct stage *stage)
{
	stage->fd = kt_create(stage->other, KT_ALL);
	stage->args.list = (struct kpost_list){
		.buf = (uintptr_t)stage->buffer,
		.count = 8,
		.entry_size = sizeof(struct kpost_stat) + 8,
	};
}

static long call_list(struct stage *stage)
{
	return stage_device(stage, KPOST_IOC_LIST, &stage->args.list);
}

static void check_list(struct stage *stage)
{
	const struct kpost_stat *first = (struct kpost_stat *)stage->buffer;

	must(stage, stage->ret == 2 && !strcmp(first->name, stage->name));
	must(stage, close(stage->fd) == 0);
}

static void set_private(struct stage *stage, const char *to)
{
	int fd = open("/proc/sys/net/kpost/private", O_WRONLY | O_CLOEXEC);

	must(stage, fd >= 0 && write(fd, to, 1) == 1 && close(fd) == 0);
}

/* By a device whose opener is told of neither mailbox. */
static void prepare_list_private(struct stage *stage)
{
	prepare_unlink(stage);
	set_private(stage, "1");
	must(stage, seteuid(65534) == 0);
	stage->fd = kt_open_device();
	must(stage, stage->fd >= 0 && seteuid(0) == 0);
	stage->args.list = (struct kpost_list){
		.buf = (uintptr_t)stage->buffer,
		.count = 8,
		.entry_size = sizeof(struct kpost_stat),
	};
}

static long call_list_private(struct stage *stage)
{
	return faulty(stage, ioctl(stage->fd, KPOST_IOC_LIST, &stage->args.list));
}

static void check_list_private(struct stage *stage)
{
	must(stage, stage->ret == 0);
	must(stage, close(stage->fd) == 0);
	must(stage, kt_unlink(stage->other) == 0);
	set_private(stage, "0");
}

const struct trial device_trials[] = {
	{
		.name = "open /dev/kpost",
		.routes = IOCTL,
		.elsewhere = { ENOMEM, EFAULT },
		.call = call_device_open,
		.check = check_closed,
	},
	{
		.name = "close /dev/kpost",
		.routes = IOCTL,
		.prepare = prepare_device_close,
		.call = call_device_close,
		.check = check_nothing,
	},
	{
		.name = "INFO",
		.routes = IOCTL,
		.errnos = { EFAULT },
		.call = call_info,
		.check = check_info,
	},
	{
		.name = "OPEN create",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_create,
		.call = call_open,
		.check = check_open,
	},
	{
		.name = "OPEN, succeeding",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_succeed,
		.call = call_succeed,
		.check = check_succeed,
	},
	{
		.name = "OPEN existing",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_existing,
		.call = call_open,
		.check = check_open,
	},
	{
		.name = "OPEN of a user's",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_owned,
		.call = call_open,
		.check = check_open,
	},
	{
		.name = "OPEN create, of a user's",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_create_owned,
		.call = call_open,
		.check = check_open,
	},
	{
		.name = "OPEN anonymous",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_anonymous,
		.call = call_open,
		.check = check_open,
	},
	{
		.name = "OPEN pair",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_pair,
		.call = call_open,
		.check = check_pair,
	},
	{
		.name = "OPEN wait",
		.family = "OPEN",
		.routes = IOCTL,
		.errnos = { ENOMEM, EFAULT },
		.prepare = prepare_wait,
		.call = call_open,
		.check = check_wait,
	},
	{
		.name = "OPEN, fd table full",
		.family = "OPEN",
		.routes = IOCTL,
		.forks = true,
		.errnos = { ENOMEM, EFAULT },
		.elsewhere = { ENOMEM },
		.prepare = prepare_crowded,
		.call = call_open,
		.check = check_open,
	},
	{
		.name = "OPEN, no more files",
		.family = "OPEN",
		.routes = IOCTL,
		.root = true,
		.expect = -ENFILE,
		.prepare = prepare_no_files,
		.call = call_open_unprivileged,
		.check = check_no_files,
	},
	{
		.name = "UNLINK",
		.routes = IOCTL,
		.errnos = { EFAULT },
		.prepare = prepare_unlink,
		.call = call_unlink,
		.check = check_unlink,
	},
	{
		.name = "LIST",
		.routes = IOCTL,
		.errnos = { EFAULT },
		.prepare = prepare_list,
		.call = call_list,
		.check = check_list,
	},
	{
		.name = "LIST, private",
		.routes = IOCTL,
		.root = true,
		.errnos = { EFAULT },
		.prepare = prepare_list_private,
		.call = call_list_private,
		.check = check_list_private,
	},
	{},
};
