// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a trial is done on, and what must be the same after a call that failed.
 */
#include <sys/epoll.h>

#include "faults.h"

#define POOL (4 * PAYLOAD_MAX)

void stage_bad(struct stage *stage, const char *file, int line, const char *what)
{
	const char *base = strrchr(file, '/');

	stage->row->bad++;
	printf("# %s:%d: not so: %s\n", base ? base + 1 : file, line, what);
	if (stage->n)
		printf("#   site %u, result %ld, %s%s\n", stage->n, stage->ret,
		       stage->fault.told ? stage->fault.kind : "no fault told",
		       stage->fault.injected ? "" : " (not injected)");
	if (stage->fault.told)
		printf("#   at %s\n", stage->fault.place);
	fflush(stdout);
}

/* A ring with one worker of each kind, both there from the beginning. */
static void begin_ring(struct stage *stage)
{
	struct iovec pool = { .iov_base = stage->pool, .iov_len = POOL };
	unsigned int workers[2] = { 1, 1 };
	struct kpost_stat st = {};
	struct io_uring_sqe *sqe;

	must(stage, uring_init(&stage->ring, 8, 0) == 0);
	must(stage, io_uring_register_iowq_max_workers(&stage->ring, workers) == 0);
	must(stage, io_uring_register_buffers(&stage->ring, &pool, 1) == 0);
	sqe = uring_op(&stage->ring, stage->fds[0], KPOST_IOC_STAT, &st, 1);
	sqe->flags |= IOSQE_ASYNC;
	must(stage, uring_run(&stage->ring) == 0);
	sqe = io_uring_get_sqe(&stage->ring);
	io_uring_prep_write(sqe, stage->fds[1], stage->payload, 1, 0);
	sqe->flags |= IOSQE_ASYNC;
	must(stage, uring_run(&stage->ring) == 1);
	must(stage, kt_take(stage->fds[0], NULL, stage->buffer, 1) == 1);
}

void stage_begin(struct stage *stage)
{
	struct kpost_open open;
	size_t i;

	stage->pool = mmap(NULL, POOL, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (stage->pool == MAP_FAILED)
		abort();
	stage->payload = stage->pool;
	stage->buffer = stage->pool + PAYLOAD_MAX;
	stage->job_buffer = stage->pool + 2 * PAYLOAD_MAX;
	for (i = 0; i < PAYLOAD_MAX; i++)
		stage->payload[i] = (char)(i * 31 + i / 251);
	kt_name(stage->name);
	kt_name(stage->other);
	stage->fd = -1;
	if (stage->trial->bare)
		return;

	open = kt_open_args(stage->name, KPOST_RIGHT_RECV | KPOST_RIGHT_ADMIN, KPOST_OPEN_CREATE);
	open.bytes = 256 << 10;
	stage->fds[0] = kt_do_open(&open);
	stage->fds[1] = kt_open(stage->name, KPOST_RIGHT_SEND, 0);
	stage->epoll = epoll_create1(EPOLL_CLOEXEC);
	must(stage, stage->fds[0] >= 0 && stage->fds[1] >= 0 && stage->epoll >= 0);
	if (stage->route != BY_IOCTL)
		begin_ring(stage);
}

void stage_end(struct stage *stage)
{
	if (stage->trial->bare)
		return;
	if (stage->route != BY_IOCTL)
		io_uring_queue_exit(&stage->ring);
	close(stage->epoll);
	close(stage->fds[0]);
	close(stage->fds[1]);
}

void stage_snapshot(struct stage *stage, struct snapshot *snapshot)
{
	struct kpost_list list = {
		.buf = (uintptr_t)snapshot->list,
		.count = sizeof(snapshot->list) / sizeof(snapshot->list[0]),
		.entry_size = sizeof(snapshot->list[0]),
	};
	unsigned int fd;

	memset(snapshot, 0, sizeof(*snapshot));
	if (stage->trial->bare)
		return;
	snapshot->st = kt_stat(stage->fds[0]);
	snapshot->names = (unsigned int)kt_ioctl(kt_device(), KPOST_IOC_LIST, &list);
	for (fd = 0; fd < sizeof(snapshot->fds); fd++)
		snapshot->fds[fd] = fcntl((int)fd, F_GETFD) >= 0;
}

/*
 * Submit @sqe and wait for its completion; the fault is armed while it is submitted,
 * or with a worker until it is completed.  An entry that the kernel could not take is
 * still there, and is what is submitted next.
 */
long stage_ring(struct stage *stage, const struct io_uring_sqe *entry)
{
	struct io_uring_sqe *sqe;
	struct uring_result result;
	long ret;

	if (!io_uring_sq_ready(&stage->ring)) {
		sqe = io_uring_get_sqe(&stage->ring);
		*sqe = *entry;
		if (stage->route == BY_WORKER)
			sqe->flags |= IOSQE_ASYNC;
	}
	faults_arm(stage);
	ret = io_uring_submit(&stage->ring);
	if (stage->route != BY_WORKER)
		faults_disarm(stage);
	if (ret >= 0) {
		ret = uring_wait(&stage->ring, &result);
		if (!ret)
			ret = result.res;
	}
	if (stage->route == BY_WORKER)
		faults_disarm(stage);
	return ret;
}

/* An operation on the endpoint @fd, by the stage's route. */
long stage_do(struct stage *stage, int fd, unsigned int op, void *arg)
{
	struct kpost_uring cmd = { .arg = (uintptr_t)arg };
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_URING_CMD,
		.fd = fd,
		.cmd_op = op,
		.user_data = 1,
	};

	if (stage->route == BY_IOCTL)
		return faulty(stage, ioctl(fd, op, arg));
	if (stage->route == BY_FIXED)
		sqe.uring_cmd_flags = IORING_URING_CMD_FIXED;
	memcpy(sqe.cmd, &cmd, sizeof(cmd));
	return stage_ring(stage, &sqe);
}

void stage_cut(struct stage *stage, char *from)
{
	size_t each = stage->len / PIECES, i;

	for (i = 0; i < PIECES; i++)
		stage->args.pieces[i] = (struct kpost_iovec){
			.base = (uintptr_t)from + i * each,
			.len = i < PIECES - 1 ? each : stage->len - i * each,
		};
}

static void set_messages(struct stage *stage, unsigned int messages)
{
	struct kpost_setattr set = { .valid = KPOST_SET_MESSAGES, .messages = messages };

	must(stage, kt_ioctl(stage->fds[0], KPOST_IOC_SETATTR, &set) == 0);
}

void stage_fill(struct stage *stage)
{
	stage->messages = kt_stat(stage->fds[0]).messages;
	set_messages(stage, 1);
	must(stage, kt_post(stage->fds[1], "", 1, 0) == 0);
}

void stage_empty(struct stage *stage)
{
	struct kpost_stat st = kt_stat(stage->fds[0]);
	char byte;

	must(stage, st.queued_messages == 1 && st.waiting_senders == 0);
	must(stage, kt_take(stage->fds[0], NULL, &byte, 1) == 1);
	set_messages(stage, stage->messages);
}

long stage_device(struct stage *stage, unsigned int op, void *arg)
{
	int device = kt_device();

	return faulty(stage, ioctl(device, op, arg));
}

void stage_usage(struct kpost_info *info)
{
	memset(info, 0, sizeof(*info));
	kt_ioctl(kt_device(), KPOST_IOC_INFO, info);
}

bool stage_uses_the_same(const struct kpost_info *before)
{
	struct kpost_info now;

	stage_usage(&now);
	return !memcmp(&now, before, sizeof(now));
}
