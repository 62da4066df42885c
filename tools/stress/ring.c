// SPDX-License-Identifier: GPL-2.0-only
/* A worker's io_uring: one operation at a time, cancelled or abandoned now and then. */
#include "traffic.h"

#define OPERATION 1
#define CANCEL 2

static __thread int command_fd; /* of the operation, if it is a command of kpost's, or -1 */

/* The entry for the next operation; NULL if the kernel gives no ring. */
struct io_uring_sqe *ring_entry(struct worker *worker)
{
	static const unsigned int kinds[] = { 0, IORING_SETUP_COOP_TASKRUN,
					      IORING_SETUP_SINGLE_ISSUER |
						      IORING_SETUP_DEFER_TASKRUN };
	struct io_uring_sqe *sqe;

	if (!worker->ring_ready) {
		unsigned int kind = kinds[chance_below(&worker->chance, 3)];

		if (io_uring_queue_init(4, &worker->ring, kind))
			return NULL;
		worker->ring_ready = true;
	}
	sqe = io_uring_get_sqe(&worker->ring);
	if (!sqe)
		_exit(4);
	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = OPERATION;
	command_fd = -1;
	return sqe;
}

void ring_prepare(struct io_uring_sqe *sqe, int fd, unsigned int op, const void *arg)
{
	struct kpost_uring cmd = { .arg = (uintptr_t)arg };

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	command_fd = fd;
}

/* What waits without a worker the first finds, and what a worker does the second. */
static void ring_cancel(struct worker *worker)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&worker->ring);
	struct kpost_cancel all = { .cookie = 0 };

	if (command_fd >= 0)
		while (operate(command_fd, KPOST_IOC_CANCEL, &all) == -EFAULT)
			;
	if (!sqe)
		_exit(4);
	io_uring_prep_cancel64(sqe, OPERATION, 0);
	sqe->user_data = CANCEL;
	while (io_uring_submit(&worker->ring) == -EINTR)
		;
}

/* Submit what was prepared, and wait for its result. */
long ring_finish(struct worker *worker, bool cancel)
{
	unsigned int expected = cancel ? 2 : 1;
	bool cancelled = cancel;
	struct io_uring_cqe *cqe;
	long result = -EIO;
	int err;

	while (io_uring_submit(&worker->ring) == -EINTR)
		;
	if (cancel) {
		if (chance_below(&worker->chance, 2))
			pause_ns(chance_below(&worker->chance, 500000));
		ring_cancel(worker);
	}
	while (expected) {
		err = io_uring_wait_cqe(&worker->ring, &cqe);
		if (err == -EINTR) {
			if (!cancelled && worker_stopping(worker)) {
				ring_cancel(worker);
				cancelled = true;
				expected++;
			}
			continue;
		}
		if (err)
			_exit(5);
		if (cqe->user_data == OPERATION)
			result = cqe->res;
		io_uring_cqe_seen(&worker->ring, cqe);
		expected--;
	}
	return result;
}

/* Submit what was prepared, and let the ring go with it. */
void ring_abandon(struct worker *worker)
{
	while (io_uring_submit(&worker->ring) == -EINTR)
		;
	if (chance_below(&worker->chance, 2))
		pause_ns(chance_below(&worker->chance, 500000));
	io_uring_queue_exit(&worker->ring);
	worker->ring_ready = false;
}
