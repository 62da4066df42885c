// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ring of a lane: operations as its requests.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine.h"

#define ENTRIES 16
#define OP_READ_MULTISHOT 49 /* what liburing 2.3 does not know yet */
#define NOT_AN_OPERATION 0x1000

/* Make a ring of that sort. One that there was goes, with what is under way in it. */
void ring_make(unsigned int sort)
{
	static const unsigned int flags[] = {
		0,
		IORING_SETUP_SQPOLL,
		IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
		IORING_SETUP_CQE32,
		IORING_SETUP_IOPOLL,
		0,
	};
	struct io_uring_params params = { .flags = flags[sort % 8], .sq_thread_idle = 1 };
	unsigned int workers[] = { 1, 1 };

	ring_close();
	if (io_uring_queue_init_params(ENTRIES, &me->ring, &params))
		return;
	me->has_ring = true;
	me->ring_flags = params.flags;
	if (sort % 8 == 7)
		io_uring_register_iowq_max_workers(&me->ring, workers);
}

/* Look at what has completed. */
static void ring_reap(void)
{
	struct io_uring_cqe *cqe;
	struct work *work;
	unsigned int index;

	while (!io_uring_peek_cqe(&me->ring, &cqe)) {
		index = cqe->user_data;
		if (index < OPERATIONS_MAX) {
			const struct operation *op = &world->program.operations[index];

			work = &me->work[index];
			if (operation_is_kpost(op->kind))
				operation_judge(op, work, cqe->res);
			if (work->completions++ && op->via != VIA_MULTISHOT)
				machine_found("operation %u completed twice", index);
		}
		io_uring_cqe_seen(&me->ring, cqe);
	}
}

void ring_close(void)
{
	if (!me->has_ring)
		return;
	ring_reap();
	me->has_ring = false;
	io_uring_queue_exit(&me->ring);
}

/* Submit what there is, and wait for @wait completions, but not for long. */
void ring_enter(unsigned int wait)
{
	struct __kernel_timespec soon = { .tv_nsec = 2 * MS };
	struct io_uring_cqe *cqe;

	if (!me->has_ring)
		return;
	io_uring_submit(&me->ring);
	if (wait)
		io_uring_wait_cqes(&me->ring, &cqe, wait, &soon, NULL);
	ring_reap();
}

static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe;

	if (!me->has_ring)
		ring_make(0);
	if (!me->has_ring)
		return NULL;
	sqe = io_uring_get_sqe(&me->ring);
	if (!sqe) {
		ring_enter(0);
		sqe = io_uring_get_sqe(&me->ring);
	}
	return sqe;
}

static void prepare_command(struct io_uring_sqe *sqe, int fd, struct work *work)
{
	struct kpost_uring cmd = { .arg = (uintptr_t)work->address,
				   .reserved = me->op->rights == 0x40 };

	io_uring_prep_nop(sqe);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = work->cmd;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	if (me->op->via == VIA_FIXED)
		sqe->rw_flags = IORING_URING_CMD_FIXED;
	/* A flag that a later kernel may have, which can do harm where it is let through. */
	if (me->op->rights == 0x41)
		sqe->rw_flags |= 1 << 1;
}

static void prepare_file(struct io_uring_sqe *sqe, int fd, struct work *work)
{
	const struct operation *op = me->op;
	struct iovec *pieces = (struct iovec *)work->pieces;
	unsigned int len = memory_length(op->len);
	void *at = memory_address(op->buf, len);
	bool fixed = op->via == VIA_FIXED;

	pieces[0] = (struct iovec){ at, len };
	pieces[1] = (struct iovec){ memory_address(op->reply_buf, 8), 8 };
	switch (op->kind) {
	case OP_READ:
		(fixed ? io_uring_prep_rw(IORING_OP_READ_FIXED, sqe, fd, at, len, 0) :
			 io_uring_prep_rw(IORING_OP_READ, sqe, fd, at, len, 0));
		if (op->via == VIA_MULTISHOT) {
			sqe->opcode = OP_READ_MULTISHOT;
			sqe->flags |= IOSQE_BUFFER_SELECT;
			sqe->len = 0;
			sqe->addr = 0;
		}
		break;
	case OP_WRITE:
		io_uring_prep_rw(fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE, sqe, fd, at, len,
				 0);
		break;
	case OP_READV:
		io_uring_prep_readv(sqe, fd, pieces, 1 + op->flags % 2, 0);
		break;
	case OP_WRITEV:
		io_uring_prep_writev(sqe, fd, pieces, 1 + op->flags % 2, 0);
		break;
	case OP_POLL:
		io_uring_prep_poll_add(sqe, fd, op->flags ? op->flags : POLLIN | POLLOUT);
		if (op->via == VIA_MULTISHOT)
			sqe->len = IORING_POLL_ADD_MULTI;
		break;
	case OP_CLOSE:
		io_uring_prep_close(sqe, fd);
		me->slots[op->fd] = -1;
		break;
	default:
		io_uring_prep_nop(sqe);
		break;
	}
}

/* Buffers for those that need some: one registered, or a group to choose from. */
static void prepare_buffers(enum via via)
{
	struct iovec buffer = { me->memory.private, 16384 };
	struct io_uring_sqe *sqe;

	if (via == VIA_FIXED)
		io_uring_register_buffers(&me->ring, &buffer, 1);
	if (via != VIA_MULTISHOT || me->op->kind != OP_READ)
		return;
	sqe = next_sqe();
	if (!sqe)
		return;
	io_uring_prep_provide_buffers(sqe, me->memory.private, 1024, 4, 0, 0);
	io_uring_sqe_set_data64(sqe, NOT_AN_OPERATION);
	ring_enter(0);
}

/* The lane's operation as a request. */
void ring_operate(struct work *work)
{
	static const unsigned int flags[VIA_COUNT] = {
		[VIA_LINK] = IOSQE_IO_LINK,
		[VIA_HARDLINK] = IOSQE_IO_HARDLINK,
		[VIA_DRAIN] = IOSQE_IO_DRAIN,
		[VIA_ASYNC] = IOSQE_ASYNC,
	};
	const struct operation *op = me->op;
	struct io_uring_sqe *sqe;
	int fd = me->slots[op->fd];

	if (!me->has_ring)
		ring_make(0);
	if (!me->has_ring)
		return;
	prepare_buffers(op->via);
	sqe = next_sqe();
	if (!sqe)
		return;
	if (operation_is_kpost(op->kind))
		prepare_command(sqe, fd, work);
	else
		prepare_file(sqe, fd, work);
	sqe->flags |= flags[op->via];
	io_uring_sqe_set_data64(sqe, me->index);
	switch (op->via) {
	case VIA_QUEUE:
	case VIA_LINK:
	case VIA_HARDLINK:
		break;
	default:
		ring_enter(op->via == VIA_WAIT);
	}
}

void ring_cancel(unsigned int what)
{
	struct io_uring_sqe *sqe = next_sqe();
	int fd = me->slots[me->op->fd];

	if (!sqe)
		return;
	switch (what % 8) {
	case 0:
		io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
		break;
	case 1:
		io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
		break;
	case 2:
		io_uring_prep_poll_remove(sqe, me->index - 1);
		break;
	case 3:
		io_uring_prep_poll_update(sqe, me->index - 1, me->index - 1, POLLIN,
					  IORING_POLL_UPDATE_EVENTS);
		break;
	default:
		io_uring_prep_cancel64(sqe, me->index - 1 - what % 8 + 4, 0);
	}
	io_uring_sqe_set_data64(sqe, NOT_AN_OPERATION);
	ring_enter(0);
}

void ring_timeout(void)
{
	struct io_uring_sqe *sqe = next_sqe();
	struct __kernel_timespec *time = &me->work[me->index].time;

	if (!sqe)
		return;
	time->tv_sec = 0;
	time->tv_nsec = me->op->deadline == AT_LATER ? MS : MS / 10;
	io_uring_prep_link_timeout(sqe, time, 0);
	io_uring_sqe_set_data64(sqe, NOT_AN_OPERATION);
	ring_enter(me->op->value & 1);
}
