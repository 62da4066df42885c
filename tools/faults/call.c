// SPDX-License-Identifier: GPL-2.0-only
/* Calls and replies, each with the other side in a thread. */
#include "faults.h"

#include "../../selftests/submit_test.h"

#define REQUEST 100
#define REPLY 13000

/* Answers calls with the payload; the end is an empty message. */
static long serve(void *arg)
{
	struct stage *stage = arg;
	char request[REQUEST];
	struct kpost_recv recv;
	long ret;

	for (;;) {
		ret = kt_recv(stage->fds[0], &recv, request, sizeof(request), 0, 0);
		if (ret <= 0)
			return ret;
		ret = kt_reply(stage->fds[0], recv.token, stage->payload, REPLY);
		if (ret && ret != -ECANCELED)
			return ret;
	}
}

static bool server_waits(struct stage *stage)
{
	return kt_until(kt_stat(stage->fds[0]).waiting_receivers == 1);
}

static void prepare_call(struct stage *stage)
{
	kt_start_fn(&stage->job, serve, stage);
	must(stage, server_waits(stage));
	stage->len = REPLY;
	stage->args.call = kt_call_args(stage->payload, REQUEST,
					kt_poison(stage->buffer, PAYLOAD_MAX), PAYLOAD_MAX,
					kt_soon());
}

static void cut_call(struct stage *stage)
{
	struct kpost_iovec *pieces = stage->args.pieces;
	struct kpost_call *call = &stage->args.call;
	unsigned int i;

	for (i = 0; i < 6; i++) {
		pieces[i].base = (uintptr_t)stage->payload + i * 10;
		pieces[i].len = i < 5 ? 10 : REQUEST - 50;
	}
	/* The list is the same kind of list; two pieces of it take the kernel no memory. */
	pieces[6].base = (uintptr_t)stage->buffer;
	pieces[6].len = 5000;
	pieces[7].base = (uintptr_t)stage->buffer + 5000;
	pieces[7].len = PAYLOAD_MAX - 5000;
	call->buf = (uintptr_t)pieces;
	call->len = 6;
	call->reply_buf = (uintptr_t)&pieces[6];
	call->reply_len = 2;
	call->flags = KPOST_IOVEC | KPOST_REPLY_IOVEC;
}

static void prepare_call_iovec(struct stage *stage)
{
	prepare_call(stage);
	cut_call(stage);
}

static long call_call(struct stage *stage)
{
	return stage_do(stage, stage->fds[1], KPOST_IOC_CALL, &stage->args.call);
}

/* A reply that cannot be stored is lost; the request has been received then. */
static bool changed_call(struct stage *stage, long ret)
{
	struct kpost_stat now, st = stage->before.st;

	must(stage, server_waits(stage));
	now = kt_stat(stage->fds[0]);
	st.sent++;
	st.received++;
	st.last_sent = now.last_sent;
	st.last_received = now.last_received;
	return ret == -EFAULT && kt_stat_same(now, st);
}

static void check_call(struct stage *stage)
{
	must(stage, stage->ret == REPLY && !memcmp(stage->buffer, stage->payload, REPLY));
	must(stage, server_waits(stage));
	must(stage, kt_post(stage->fds[1], NULL, 0, 0) == 0);
	must(stage, kt_join(&stage->job) && stage->job.ret == 0);
	must(stage, kt_stat(stage->fds[0]).open_calls == 0);
}

/* ---- RECV of a call, whose process has to be noted: the caller is the thread ---- */

static void prepare_recv_call(struct stage *stage)
{
	stage->job_call =
		kt_call_args(stage->payload, REQUEST, stage->job_buffer, PAYLOAD_MAX, kt_soon());
	kt_start(&stage->job, stage->fds[1], KPOST_IOC_CALL, &stage->job_call);
	must(stage, kt_until(kt_stat(stage->fds[0]).queued_messages == 1));
	stage->args.recv = kt_recv_args(stage->buffer, PAYLOAD_MAX, 0, kt_soon());
}

static long call_recv_call(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_RECV, &stage->args.recv);
}

static void check_recv_call(struct stage *stage)
{
	must(stage, stage->ret == REQUEST && !memcmp(stage->buffer, stage->payload, REQUEST));
	must(stage, kt_stat(stage->fds[0]).open_calls == 1);
	must(stage, kt_drop(stage->fds[0], stage->args.recv.token) == 0);
	must(stage, kt_join(&stage->job) && stage->job.ret == -ECONNRESET);
}

/* ---- REPLY: the caller is the thread ---- */

static void prepare_reply(struct stage *stage)
{
	struct kpost_recv recv;
	char request[REQUEST];

	stage->len = REPLY;
	stage->job_call =
		kt_call_args(stage->payload, REQUEST, stage->job_buffer, PAYLOAD_MAX, kt_soon());
	kt_start(&stage->job, stage->fds[1], KPOST_IOC_CALL, &stage->job_call);
	must(stage,
	     kt_recv(stage->fds[0], &recv, request, sizeof(request), 0, kt_soon()) == REQUEST);
	stage->args.reply = (struct kpost_reply){
		.token = recv.token,
		.buf = (uintptr_t)stage->payload,
		.len = REPLY,
	};
}

static void prepare_reply_iovec(struct stage *stage)
{
	prepare_reply(stage);
	stage_cut(stage, stage->payload);
	stage->args.reply.flags = KPOST_IOVEC;
	stage->args.reply.buf = (uintptr_t)stage->args.pieces;
	stage->args.reply.len = PIECES;
}

static void prepare_drop(struct stage *stage)
{
	prepare_reply(stage);
	stage->args.reply.flags = KPOST_DROP;
	stage->args.reply.buf = 0;
	stage->args.reply.len = 0;
}

static long call_reply(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_REPLY, &stage->args.reply);
}

static void check_replied(struct stage *stage)
{
	must(stage, kt_join(&stage->job) && stage->job.ret == REPLY);
	must(stage, !memcmp(stage->job_buffer, stage->payload, REPLY));
	must(stage, kt_stat(stage->fds[0]).open_calls == 0);
}

static void check_dropped(struct stage *stage)
{
	must(stage, kt_join(&stage->job) && stage->job.ret == -ECONNRESET);
	must(stage, kt_stat(stage->fds[0]).open_calls == 0);
}

/* ---- REPLY_RECV: and the next message is there ---- */

static void prepare_reply_recv(struct stage *stage)
{
	prepare_reply(stage);
	must(stage, kt_post(stage->fds[1], stage->payload, REQUEST, 0) == 0);
	stage->args.recv = kt_recv_args(stage->buffer, PAYLOAD_MAX, 0, kt_soon());
	stage->args.reply_recv = (struct kpost_reply_recv){
		.reply = (uintptr_t)&stage->args.reply,
		.recv = (uintptr_t)&stage->args.recv,
		.reply_size = sizeof(stage->args.reply),
		.recv_size = sizeof(stage->args.recv),
	};
}

static long call_reply_recv(struct stage *stage)
{
	return stage_do(stage, stage->fds[0], KPOST_IOC_REPLY_RECV, &stage->args.reply_recv);
}

/* The token tells which half failed: the call is over, the message is still there. */
static bool changed_reply_recv(struct stage *stage, long ret)
{
	struct kpost_stat st = stage->before.st;
	struct arguments args = stage->args;

	(void)ret;
	if (stage->args.reply.token)
		return false;
	args.reply.token = stage->args_before.reply.token;
	st.open_calls--;
	must(stage, !memcmp(&args, &stage->args_before, sizeof(args)));
	must(stage, kt_until(kt_stat_same(kt_stat(stage->fds[0]), st)));
	return true;
}

static void check_reply_recv(struct stage *stage)
{
	must(stage, stage->ret == REQUEST && !memcmp(stage->buffer, stage->payload, REQUEST));
	must(stage, stage->args.reply.token == 0);
	check_replied(stage);
}

/* ---- CALL_SUBMIT, CALL_COLLECT and CALL_CANCEL ---- */

static void receive_and_reply(struct stage *stage)
{
	char request[REQUEST];
	struct kpost_recv recv;

	must(stage, kt_take(stage->fds[0], &recv, request, sizeof(request)) == REQUEST);
	must(stage, kt_reply(stage->fds[0], recv.token, stage->payload, REPLY) == 0);
}

static void prepare_submit(struct stage *stage)
{
	stage->len = REPLY;
	stage->args.submit = kt_submit_args(stage->payload, REQUEST, REPLY, 5, 0, 0);
}

static void prepare_submit_iovec(struct stage *stage)
{
	prepare_submit(stage);
	stage_cut(stage, stage->payload);
	stage->args.submit.flags = KPOST_IOVEC;
	stage->args.submit.buf = (uintptr_t)stage->args.pieces;
	stage->args.submit.len = PIECES;
}

static long call_submit(struct stage *stage)
{
	return stage_do(stage, stage->fds[1], KPOST_IOC_CALL_SUBMIT, &stage->args.submit);
}

/* Nobody makes room. */
static void prepare_submit_full(struct stage *stage)
{
	prepare_submit(stage);
	stage->args.submit.deadline = kt_in(20);
	stage_fill(stage);
}

static void check_not_submitted(struct stage *stage)
{
	must(stage, kt_cancel(stage->fds[1], 0) == 0);
	stage_empty(stage);
}

static void check_submitted(struct stage *stage)
{
	struct kpost_call_collect got;

	must(stage, kt_collect(stage->fds[1], NULL, NULL, 0, 0) == -EAGAIN);
	if (stage->args.submit.flags & KPOST_IOVEC) {
		must(stage, kt_cancel(stage->fds[1], stage->args.submit.id) == 1);
		return;
	}
	receive_and_reply(stage);
	must(stage, kt_collect(stage->fds[1], &got, stage->buffer, PAYLOAD_MAX, 0) == REPLY);
	must(stage, got.id == stage->args.submit.id && got.user_data == 5);
}

static void prepare_collect(struct stage *stage)
{
	stage->len = REPLY;
	must(stage, kt_submit(stage->fds[1], stage->payload, REQUEST, REPLY, 6, NULL) == 0);
	receive_and_reply(stage);
	stage->args.collect = kt_collect_args(kt_poison(stage->buffer, PAYLOAD_MAX), PAYLOAD_MAX, 0,
					      0, kt_soon());
}

static void prepare_collect_iovec(struct stage *stage)
{
	prepare_collect(stage);
	stage_cut(stage, stage->buffer);
	stage->args.collect.flags = KPOST_IOVEC;
	stage->args.collect.buf = (uintptr_t)stage->args.pieces;
	stage->args.collect.len = PIECES;
}

static long call_collect(struct stage *stage)
{
	return stage_do(stage, stage->fds[1], KPOST_IOC_CALL_COLLECT, &stage->args.collect);
}

/* Nobody replies. */
static void prepare_collect_waiting(struct stage *stage)
{
	must(stage, kt_submit(stage->fds[1], stage->payload, REQUEST, REPLY, 6, NULL) == 0);
	stage->args.collect = kt_collect_args(kt_poison(stage->buffer, PAYLOAD_MAX), PAYLOAD_MAX, 0,
					      0, kt_in(20));
}

static void check_not_collected(struct stage *stage)
{
	must(stage, kt_cancel(stage->fds[1], 0) == 1);
}

static void check_collected(struct stage *stage)
{
	must(stage, stage->ret == REPLY && !memcmp(stage->buffer, stage->payload, REPLY));
	must(stage, stage->args.collect.user_data == 6);
	must(stage, kt_cancel(stage->fds[1], 0) == 0);
}

static void prepare_cancel(struct stage *stage)
{
	uint64_t id;

	must(stage, kt_submit(stage->fds[1], stage->payload, REQUEST, REPLY, 6, &id) == 0);
	stage->args.call_cancel.id = id;
}

static long call_cancel(struct stage *stage)
{
	return stage_do(stage, stage->fds[1], KPOST_IOC_CALL_CANCEL, &stage->args.call_cancel);
}

static void check_cancelled(struct stage *stage)
{
	must(stage, stage->ret == 1);
	must(stage, kt_cancel(stage->fds[1], 0) == 0);
	must(stage, kt_stat(stage->fds[0]).queued_messages == 0);
}

const struct trial call_trials[] = {
	{
		.name = "CALL",
		COMMAND("CALL", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_call,
		.call = call_call,
		.check = check_call,
		.changed = changed_call,
	},
	{
		.name = "CALL iovec",
		COMMAND("CALL", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_call_iovec,
		.call = call_call,
		.check = check_call,
		.changed = changed_call,
	},
	{
		.name = "RECV of a call",
		COMMAND("RECV", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_recv_call,
		.call = call_recv_call,
		.check = check_recv_call,
	},
	{
		.name = "REPLY",
		COMMAND(NULL, ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_reply,
		.call = call_reply,
		.check = check_replied,
	},
	{
		.name = "REPLY iovec",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_reply_iovec,
		.call = call_reply,
		.check = check_replied,
	},
	{
		.name = "REPLY drop",
		COMMAND(NULL, ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_drop,
		.call = call_reply,
		.check = check_dropped,
	},
	{
		.name = "REPLY_RECV",
		COMMAND(NULL, ALL_ROUTES),
		.errnos = { EFAULT },
		.prepare = prepare_reply_recv,
		.call = call_reply_recv,
		.check = check_reply_recv,
		.changed = changed_reply_recv,
	},
	{
		.name = "CALL_SUBMIT",
		COMMAND("SUBMIT", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_submit,
		.call = call_submit,
		.check = check_submitted,
	},
	{
		.name = "CALL_SUBMIT, waiting for room",
		COMMAND("SUBMIT", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.expect = -ETIMEDOUT,
		.prepare = prepare_submit_full,
		.call = call_submit,
		.check = check_not_submitted,
	},
	{
		.name = "CALL_SUBMIT iovec",
		COMMAND("SUBMIT", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_submit_iovec,
		.call = call_submit,
		.check = check_submitted,
	},
	{
		.name = "CALL_COLLECT",
		COMMAND("COLLECT", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_collect,
		.call = call_collect,
		.check = check_collected,
	},
	{
		.name = "CALL_COLLECT, waiting for a reply",
		COMMAND("COLLECT", ALL_ROUTES),
		.errnos = { EFAULT, ENOMEM },
		.expect = -ETIMEDOUT,
		.prepare = prepare_collect_waiting,
		.call = call_collect,
		.check = check_not_collected,
	},
	{
		.name = "CALL_COLLECT iovec",
		COMMAND("COLLECT", NO_FIXED),
		.errnos = { EFAULT, ENOMEM },
		.prepare = prepare_collect_iovec,
		.call = call_collect,
		.check = check_collected,
	},
	{
		.name = "CALL_CANCEL",
		COMMAND(NULL, NO_FIXED),
		.errnos = { EFAULT },
		.prepare = prepare_cancel,
		.call = call_cancel,
		.check = check_cancelled,
	},
	{},
};
