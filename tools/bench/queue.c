// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two message queues that the kernel has. The program is in an IPC namespace of its
 * own, so that limits are its own and nothing is left of them.
 */
#include "bench.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/msg.h>

static int open_posix(struct line *line, const struct load *load)
{
	static unsigned int number;
	struct mq_attr attr = {
		.mq_maxmsg = (long)room_of(load),
		.mq_msgsize = load->size ? (long)load->size : 1,
	};
	char name[64];

	snprintf(name, sizeof(name), "/kpost-bench-%d-%u", (int)getpid(), number++);
	line->in = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
	line->out = line->in;
	if (line->in < 0)
		return -errno;
	mq_unlink(name);
	return 0;
}

static void posix_send_priority(struct line *line, void *buf, size_t len, unsigned int priority)
{
	if (mq_send(line->out, buf, len, priority))
		die("mq_send: %s", strerror(errno));
}

static void posix_send(struct line *line, void *buf, size_t len)
{
	posix_send_priority(line, buf, len, 0);
}

static void posix_receive(struct line *line, void *buf, size_t len)
{
	if (mq_receive(line->in, buf, len ? len : 1, NULL) < 0)
		die("mq_receive: %s", strerror(errno));
}

const struct transport queue_posix = {
	.name = "mq",
	.what = "a POSIX message queue",
	.open = open_posix,
	.close = close_fds,
	.send = posix_send,
	.receive = posix_receive,
	.send_priority = posix_send_priority,
};

static int open_sysv(struct line *line, const struct load *load)
{
	struct msqid_ds state;
	int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);

	if (id < 0 || msgctl(id, IPC_STAT, &state))
		return -errno;
	state.msg_qbytes = room_of(load) * (load->size ? load->size : 1);
	line->in = line->out = id;
	return msgctl(id, IPC_SET, &state) ? -errno : 0;
}

static void close_sysv(struct line *line)
{
	msgctl(line->in, IPC_RMID, NULL);
}

/* The type of a message stands before its bytes. */
static void sysv_send(struct line *line, void *buf, size_t len)
{
	long *type = (long *)buf - 1;

	*type = 1;
	if (msgsnd(line->out, type, len, 0))
		die("msgsnd: %s", strerror(errno));
}

static void sysv_receive(struct line *line, void *buf, size_t len)
{
	if (msgrcv(line->in, (long *)buf - 1, len, 0, 0) < 0)
		die("msgrcv: %s", strerror(errno));
}

const struct transport queue_sysv = {
	.name = "sysv",
	.what = "a SysV message queue",
	.traits = NO_POLL,
	.open = open_sysv,
	.close = close_sysv,
	.send = sysv_send,
	.receive = sysv_receive,
};
