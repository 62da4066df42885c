// SPDX-License-Identifier: GPL-2.0-only
/* Sending, receiving, and what an endpoint is asked and told. */
#include "faults.h"

#define SHORT 100
#define LONG 13000 /* four pieces of the kernel's memory */
#define OLDER "older"

static bool arrived(struct stage *stage, const char *buffer)
{
	return !memcmp(buffer, stage->payload, stage->len);
}

/* ---- SEND ---- */

static void prepare_send(struct stage *stage, size_t len, unsigned int flags)
{
	stage->len = len;
	stage->args.send = kt_send_args(stage->payload, len, 0, flags, 0);
	/* Something that must stay where it is. */
	if (!(flags & KPOST_SYNC))
		must(stage, kt_post(stage->fds[1], OLDER, sizeof(OLDER), 0) == 0);
}

static void prepare_send_short(struct stage *stage)
{
	prepare_send(stage, SHORT, 0);
}

static void prepare_send_long(struct stage *stage)
{
	prepare_send(stage, LONG, 0);
}

static void prepare_send_dontwait(struct stage *stage)
{
	prepare_send(stage, SHORT, KPOST_DONTWAIT);
}

static void prepare_send_numbered(struct stage *stage)
{
	prepare_send(stage, SHORT, KPOST_WANT_SEQUENCE);
}

/* What such a message has beside it is allocated, and of its mailbox the first time. */
static void prepare_send_expires(struct stage *stage)
{
	prepare_send(stage, SHORT, 0);
	stage->args.send.expires = kt_soon();
}

/* By a clock that the first of those did not go by. */
static void prepare_send_realtime(struct stage *stage)
{
	prepare_send(stage, SHORT, KPOST_REALTIME);
	stage->args.send.expires = INT64_MAX;
}

/* In a mailbox of its own. */
static void prepare_marked(struct stage *stage)
{
	stage->fd = kt_mailbox(0, 0, 0);
	must(stage, stage->fd >= 0);
}

/* The mark is there; what has the number is allocated. */
static void prepare_send_with_number(struct stage *stage)
{
	struct kpost_grant grant = { .flags = KPOST_GRANT_MARK, .rights = KPOST_RIGHT_RECV };
	long fd;

	prepare_marked(stage);
	fd = kt_ioctl(stage->fd, KPOST_IOC_GRANT, &grant);
	must(stage, fd >= 0);
	close((int)fd);
	prepare_send(stage, SHORT, KPOST_NUMBERED);
	stage->args.send.number = 1;
}

static long call_send_with_number(struct stage *stage)
{
	long ret = stage_do(stage, stage->fd, KPOST_IOC_SEND, &stage->args.send);

	must(stage, kt_stat(stage->fd).mark == (ret == 0));
	must(stage, kt_stat(stage->fd).queued_messages == (ret == 0));
	return ret;
}

/* With the mailbox its mark goes. */
static void check_marked(struct stage *stage)
{
	must(stage, close(stage->fd) == 0);
}

/* To a mailbox of its own that is keyed: what it replaces stays until nothing can fail. */
static void prepare_send_replaces(struct stage *stage)
{
	struct kpost_open open =
		kt_open_args(NULL, KT_ALL, KPOST_OPEN_ANONYMOUS | KPOST_OPEN_KEYED);

	prepare_send(stage, SHORT, KPOST_REPLACE);
	open.overflow = KPOST_OVERFLOW_REPLACE;
	stage->fd = kt_do_open(&open);
	must(stage, stage->fd >= 0 && kt_post(stage->fd, OLDER, sizeof(OLDER), 0) == 0);
}

static long call_send_replaces(struct stage *stage)
{
	long ret = stage_do(stage, stage->fd, KPOST_IOC_SEND, &stage->args.send);

	must(stage, kt_stat(stage->fd).replaced == (ret == 0));
	must(stage, kt_stat(stage->fd).queued_messages == 1);
	return ret;
}

static void check_replaced(struct stage *stage)
{
	struct kpost_recv recv =
		kt_recv_args(stage->job_buffer, PAYLOAD_MAX, KPOST_MATCH | KPOST_DONTWAIT, 0);

	recv.tag = 0;
	must(stage, kt_ioctl(stage->fd, KPOST_IOC_RECV, &recv) == (long)stage->len);
	must(stage, arrived(stage, stage->job_buffer) && recv.sequence == 2 && recv.missed == 1);
	must(stage, close(stage->fd) == 0);
}

static void prepare_send_iovec(struct stage *stage)
{
	prepare_send(stage, LONG, KPOST_IOVEC);
	stage_cut(stage, stage->payload);
	stage->args.send.buf = (uintptr_t)stage->args.pieces;
	stage->args.send.len = PIECES;
}

/* With somebody who waits for it. */
static void prepare_send_sync(struct stage *stage)
{
	prepare_send(stage, SHORT, KPOST_SYNC);
	stage->job_recv = kt_recv_args(stage->job_buffer, PAYLOAD_MAX, 0, kt_soon());
	kt_start(&stage->job, stage->fds[0], KPOST_IOC_RECV, &stage->job_recv);
	must(stage, kt_until(kt_stat(stage->fds[0]).waiting_receivers == 1));
}

static long call_send(struct stage *stage)
{
	return stage_do(stage, stage->fds[1], KPOST_IOC_SEND, &stage->args.send);
}

static void check_sent(struct stage *stage)
{
	char older[sizeof(OLDER)];

	must(stage, kt_take(stage->fds[0], NULL, older, sizeof(older)) == sizeof(older));
	must(stage, !strcmp(older, OLDER));
	must(stage,
	     kt_take(stage->fds[0], NULL, stage->job_buffer, PAYLOAD_MAX) == (long)stage->len);
	must(stage, arrived(stage, stage->job_buffer));
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

static void check_numbered(struct stage *stage)
{
	must(stage, stage->args.send.sequence == kt_stat(stage->fds[0]).sent);
	check_sent(stage);
}

/*
 * The receiver may have been handed what was withdrawn, and be about to wait again.  That was in
 * the mailbox already if it was the wait for its receipt that could not begin.
 */
static bool changed_send_sync(struct stage *stage, long ret)
{
	const struct kpost_stat *before = &stage->before.st;
	struct kpost_stat st;

	(void)ret;
	must(stage, kt_until(kt_stat(stage->fds[0]).waiting_receivers == 1));
	st = kt_stat(stage->fds[0]);
	if (st.sent == before->sent)
		return false;
	must(stage, st.sent == before->sent + 1 && st.dropped == before->dropped + 1);
	must(stage, st.queued_messages == 0 && st.received == before->received);
	must(stage, !memcmp(&stage->args_before, &stage->args, sizeof(stage->args)));
	return true;
}

static void check_sent_sync(struct stage *stage)
{
	must(stage, kt_join(&stage->job));
	must(stage, stage->job.ret == (long)stage->len && arrived(stage, stage->job_buffer));
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

/* Nobody makes room. */
static void prepare_send_full(struct stage *stage)
{
	stage_fill(stage);
	stage->args.send = kt_send_args(stage->payload, SHORT, 0, KPOST_WANT_SEQUENCE, kt_in(20));
	stage->args.send.cookie = 7;
}

/* ---- RECV ---- */

static void prepare_recv(struct stage *stage, size_t len, size_t room, unsigned int flags)
{
	stage->len = len;
	must(stage, kt_post(stage->fds[1], stage->payload, len, 0) == 0);
	stage->args.recv =
		kt_recv_args(kt_poison(stage->buffer, PAYLOAD_MAX), room, flags, kt_soon());
}

static void prepare_recv_short(struct stage *stage)
{
	prepare_recv(stage, SHORT, PAYLOAD_MAX, 0);
}

/* Nothing comes. */
static void prepare_recv_with_cookie(struct stage *stage)
{
	stage->args.recv =
		kt_recv_args(kt_poison(stage->buffer, PAYLOAD_MAX), PAYLOAD_MAX, 0, kt_in(20));
	stage->args.recv.cookie = 7;
}

static void check_timed_out(struct stage *stage)
{
	must(stage, kt_stat(stage->fds[0]).waiting_receivers == 0);
}

static void prepare_recv_long(struct stage *stage)
{
	prepare_recv(stage, LONG, PAYLOAD_MAX, 0);
}

static void prepare_recv_dontwait(struct stage *stage)
{
	prepare_recv(stage, SHORT, PAYLOAD_MAX, KPOST_DONTWAIT);
}

static void prepare_peek(struct stage *stage)
{
	prepare_recv(stage, LONG, PAYLOAD_MAX, KPOST_PEEK);
}

static void prepare_recv_iovec(struct stage *stage)
{
	prepare_recv(stage, LONG, PAYLOAD_MAX, KPOST_IOVEC);
	stage_cut(stage, stage->buffer);
	stage->args.recv.buf = (uintptr_t)stage->args.pieces;
	stage->args.recv.len = PIECES;
}

static void prepare_recv_truncate(struct stage *stage)
{
	prepare_recv(stage, LONG, SHORT, KPOST_TRUNCATE);
}

static void prepare_recv_too_long(struct stage *stage)
{
	prepare_recv(stage, LONG, SHORT, 0);
}

static long call_recv(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_RECV, &stage->args.recv);
}

static void check_received(struct stage *stage)
{
	must(stage, stage->ret == (long)stage->len && arrived(stage, stage->buffer));
	must(stage, stage->args.recv.sequence == stage->before.st.sent);
	must(stage, stage->args.recv.pid == (__u32)getpid());
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

static void check_peeked(struct stage *stage)
{
	must(stage, stage->ret == (long)stage->len && arrived(stage, stage->buffer));
	must(stage, kt_stat(stage->fds[0]).queued_messages == 1);
	must(stage, kt_take(stage->fds[0], NULL, stage->buffer, PAYLOAD_MAX) == (long)stage->len);
}

static void check_truncated(struct stage *stage)
{
	must(stage, stage->ret == SHORT && !memcmp(stage->buffer, stage->payload, SHORT));
	must(stage, stage->args.recv.size == LONG);
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

static void check_too_long(struct stage *stage)
{
	must(stage, stage->ret == -EMSGSIZE && stage->args.recv.size == LONG);
	must(stage, kt_take(stage->fds[0], NULL, stage->buffer, PAYLOAD_MAX) == LONG);
	must(stage, arrived(stage, stage->buffer));
}

/* ---- STAT, SETATTR, GRANT ---- */

static long call_stat(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_STAT, &stage->args.st);
}

static void check_stat(struct stage *stage)
{
	must(stage, kt_stat_same(stage->args.st, stage->before.st));
}

static void prepare_setattr(struct stage *stage)
{
	stage->args.set = (struct kpost_setattr){
		.valid = KPOST_SET_MESSAGES | KPOST_SET_MODE | KPOST_SET_OVERFLOW,
		.overflow = KPOST_OVERFLOW_DROP_OLD,
		.mode = 0640,
		.messages = kt_stat(stage->fds[0]).messages + 1,
	};
}

static long call_setattr(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_SETATTR, &stage->args.set);
}

static void check_setattr(struct stage *stage)
{
	must(stage, kt_stat(stage->fds[0]).messages == stage->args.set.messages);
	must(stage, kt_stat(stage->fds[0]).mode == 0640);
	/* So that it counts for what it did. */
	stage->args.set.messages--;
	must(stage, kt_ioctl(stage->fds[0], KPOST_IOC_SETATTR, &stage->args.set) == 0);
}

static void prepare_grant_mark(struct stage *stage)
{
	prepare_marked(stage);
	stage->args.grant = (struct kpost_grant){
		.flags = KPOST_GRANT_BADGE | KPOST_GRANT_MARK,
		.rights = KPOST_RIGHT_RECV,
		.badge = 1,
	};
}

static void prepare_grant(struct stage *stage)
{
	stage->args.grant = (struct kpost_grant){
		.flags = KPOST_GRANT_BADGE,
		.rights = KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN,
		.badge = 1,
	};
}

/*
 * Where a part was done, that was said exactly, and what is left is done without a fault: so all of
 * it is done in the end, or nothing was.
 */
static long call_batch(struct stage *stage, int fd, unsigned int op, size_t size)
{
	struct kpost_batch *batch = &stage->args.batch;
	long ret = stage_do(stage, fd, op, batch);

	if (ret <= 0 || ret == BATCH)
		return ret;
	must(stage, batch->error == -EFAULT || batch->error == -ENOMEM);
	batch->entries += (uint64_t)ret * size;
	batch->count -= (unsigned int)ret;
	must(stage, kt_ioctl(fd, op, batch) == BATCH - ret && !batch->error);
	return BATCH;
}

static void prepare_batch(struct stage *stage, const void *entries, size_t size)
{
	stage->len = SHORT;
	stage->args.batch = (struct kpost_batch){
		.count = BATCH,
		.entries = (uintptr_t)entries,
		.entry_size = (unsigned int)size,
		.deadline = kt_soon(),
	};
}

/* Two lengths, so that some are in more than one piece of the kernel's memory. */
static size_t batch_len(unsigned int i)
{
	return i == 2 ? LONG : SHORT + i;
}

static void prepare_sendv(struct stage *stage)
{
	prepare_batch(stage, stage->args.sends, sizeof(stage->args.sends[0]));
	for (unsigned int i = 0; i < BATCH; i++) {
		stage->args.sends[i] = kt_send_args(stage->payload, batch_len(i), 0,
						    i % 2 ? KPOST_WANT_SEQUENCE : 0, 0);
		stage->args.sends[i].tag = i;
	}
}

static long call_sendv(struct stage *stage)
{
	return call_batch(stage, stage->fds[1], KPOST_IOC_SENDV, sizeof(stage->args.sends[0]));
}

/* Nobody makes room. */
static void prepare_sendv_full(struct stage *stage)
{
	prepare_sendv(stage);
	stage->args.batch.deadline = kt_in(20);
	stage_fill(stage);
}

static void check_sentv(struct stage *stage)
{
	struct kpost_recv recv;

	for (unsigned int i = 0; i < BATCH; i++) {
		must(stage, kt_take(stage->fds[0], &recv, stage->job_buffer, PAYLOAD_MAX) ==
				    (long)batch_len(i));
		must(stage, recv.tag == i);
		must(stage, !memcmp(stage->job_buffer, stage->payload, batch_len(i)));
	}
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

static void prepare_recvv(struct stage *stage)
{
	prepare_batch(stage, stage->args.recvs, sizeof(stage->args.recvs[0]));
	for (unsigned int i = 0; i < BATCH; i++) {
		must(stage, kt_post(stage->fds[1], stage->payload, batch_len(i), 0) == 0);
		stage->args.recvs[i] = kt_recv_args(stage->buffer, PAYLOAD_MAX, 0, 0);
	}
}

static long call_recvv(struct stage *stage)
{
	return call_batch(stage, stage->fds[0], KPOST_IOC_RECVV, sizeof(stage->args.recvs[0]));
}

static void check_receivedv(struct stage *stage)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		must(stage, stage->args.recvs[i].size == batch_len(i));
		must(stage,
		     !i || stage->args.recvs[i].sequence == stage->args.recvs[i - 1].sequence + 1);
	}
	must(stage, !memcmp(stage->buffer, stage->payload, batch_len(BATCH - 1)));
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

/* Returns 0 for an endpoint, which is closed. */
static long call_grant(struct stage *stage)
{
	long ret = stage_do(stage, stage->fds[0], KPOST_IOC_GRANT, &stage->args.grant);

	if (ret < 0)
		return ret;
	must(stage, kt_stat((int)ret).receivers == stage->before.st.receivers + 1);
	close((int)ret);
	return 0;
}

static long call_grant_mark(struct stage *stage)
{
	long ret = stage_do(stage, stage->fd, KPOST_IOC_GRANT, &stage->args.grant);

	if (ret < 0)
		return ret;
	close((int)ret);
	return 0;
}

static void check_grant(struct stage *stage)
{
	must(stage, kt_stat(stage->fds[0]).receivers == stage->before.st.receivers);
}

/* ---- CANCEL ---- */

static void prepare_cancel(struct stage *stage)
{
	stage->job_recv = kt_recv_args(stage->job_buffer, PAYLOAD_MAX, 0, kt_soon());
	stage->job_recv.cookie = 9;
	kt_start(&stage->job, stage->fds[0], KPOST_IOC_RECV, &stage->job_recv);
	must(stage, kt_until(kt_stat(stage->fds[0]).waiting_receivers == 1));
	stage->args.cancel.cookie = 9;
}

static long call_cancel(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_CANCEL, &stage->args.cancel);
}

static void check_cancelled(struct stage *stage)
{
	must(stage, stage->ret == 1);
	must(stage, kt_join(&stage->job));
	must(stage, stage->job.ret == -ECANCELED);
}

const struct trial message_trials[] = {
	{
		.name = "SEND",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_short,
		.call = call_send,
		.check = check_sent,
	},
	{
		.name = "SEND multi-page",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_long,
		.call = call_send,
		.check = check_sent,
	},
	{
		.name = "SEND iovec",
		COMMAND("SEND", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_iovec,
		.call = call_send,
		.check = check_sent,
	},
	{
		.name = "SEND dontwait",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_dontwait,
		.call = call_send,
		.check = check_sent,
	},
	{
		.name = "SEND, expires",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_expires,
		.call = call_send,
		.check = check_sent,
	},
	{
		.name = "SEND, expires by another clock",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_realtime,
		.call = call_send,
		.check = check_sent,
	},
	{
		.name = "SEND, with a number",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_with_number,
		.call = call_send_with_number,
		.check = check_marked,
	},
	{
		.name = "SEND, replaces",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_replaces,
		.call = call_send_replaces,
		.check = check_replaced,
	},
	{
		.name = "SEND, told its number",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_numbered,
		.call = call_send,
		.check = check_numbered,
	},
	{
		.name = "SEND sync, receiver waiting",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_send_sync,
		.call = call_send,
		.check = check_sent_sync,
		.changed = changed_send_sync,
	},
	{
		.name = "SEND, waiting for room",
		COMMAND("SEND", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.expect = -ETIMEDOUT,
		.prepare = prepare_send_full,
		.call = call_send,
		.check = stage_empty,
	},
	{
		.name = "RECV",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_recv_short,
		.call = call_recv,
		.check = check_received,
	},
	{
		.name = "RECV, waiting with a cookie",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.expect = -ETIMEDOUT,
		.prepare = prepare_recv_with_cookie,
		.call = call_recv,
		.check = check_timed_out,
	},
	{
		.name = "CANCEL",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT },
		.prepare = prepare_cancel,
		.call = call_cancel,
		.check = check_cancelled,
	},
	{
		.name = "RECV multi-page",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_recv_long,
		.call = call_recv,
		.check = check_received,
	},
	{
		.name = "RECV, peeking",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_peek,
		.call = call_recv,
		.check = check_peeked,
	},
	{
		.name = "RECV iovec",
		COMMAND("RECV", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_recv_iovec,
		.call = call_recv,
		.check = check_received,
	},
	{
		.name = "RECV truncate",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_recv_truncate,
		.call = call_recv,
		.check = check_truncated,
	},
	{
		.name = "RECV EMSGSIZE",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT },
		.expect = -EMSGSIZE,
		.prepare = prepare_recv_too_long,
		.call = call_recv,
		.check = check_too_long,
	},
	{
		.name = "RECV dontwait",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_recv_dontwait,
		.call = call_recv,
		.check = check_received,
	},
	{
		.name = "SENDV",
		COMMAND("SENDV", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.expect = BATCH,
		.prepare = prepare_sendv,
		.call = call_sendv,
		.check = check_sentv,
	},
	{
		.name = "SENDV, waiting for room",
		COMMAND("SENDV", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.expect = -ETIMEDOUT,
		.prepare = prepare_sendv_full,
		.call = call_sendv,
		.check = stage_empty,
	},
	{
		.name = "RECVV",
		COMMAND("RECVV", NO_FIXED),
		.errnos = { EFAULT },
		.expect = BATCH,
		.prepare = prepare_recvv,
		.call = call_recvv,
		.check = check_receivedv,
	},
	{
		.name = "STAT",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT },
		.call = call_stat,
		.check = check_stat,
	},
	{
		.name = "SETATTR",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT },
		.prepare = prepare_setattr,
		.call = call_setattr,
		.check = check_setattr,
	},
	{
		.name = "GRANT",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT, ENOMEM, ENFILE },
		.prepare = prepare_grant,
		.call = call_grant,
		.check = check_grant,
	},
	{
		.name = "GRANT, with a mark",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT, ENOMEM, ENFILE },
		.prepare = prepare_grant_mark,
		.call = call_grant_mark,
		.check = check_marked,
	},
	{},
};
