// SPDX-License-Identifier: MIT
#include "pipe_ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <signal.h>

#include "../sender.h"

const struct kpost_options pipe_fault = { .priority = PRIORITY_FAULT };
int pipe_fds[2];
unsigned int pipe_prepared;
struct kpost_send pipe_last;

/* In place of the library's. */
void kpost_prep(struct io_uring_sqe *sqe, int fd, unsigned int operation, const void *arg)
{
	const void *buf;

	/* Of a batch that does not wait nothing is sent: the module's tests have more of these. */
	if (operation == KPOST_IOC_SENDV) {
		io_uring_prep_nop(sqe);
		return;
	}
	pipe_prepared++;
	pipe_last = *(const struct kpost_send *)arg;
	buf = (const void *)(uintptr_t)pipe_last.buf;
	if (pipe_last.priority == PRIORITY_FAULT)
		buf = (const void *)(uintptr_t)16;
	io_uring_prep_write(sqe, fd, buf, (unsigned int)pipe_last.len, 0);
}

int pipe_setup(void **state)
{
	(void)state;
	pipe_prepared = 0;
	/* a test that failed leaves its sender behind */
	signal(SIGPIPE, SIG_IGN);
	if (pipe2(pipe_fds, O_DIRECT | O_CLOEXEC))
		return -1;
	/* packets take a page each */
	if (fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_ROOM * 4096) != PIPE_ROOM * 4096)
		return -1;
	return fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK | O_DIRECT);
}

int pipe_teardown(void **state)
{
	(void)state;
	close(pipe_fds[0]);
	if (pipe_fds[1] >= 0)
		close(pipe_fds[1]);
	return 0;
}

struct kpost_sender *pipe_sender(unsigned int depth, unsigned int batch, kpost_sent_fn sent,
				 void *arg)
{
	const struct kpost_sender_options options = {
		.depth = depth,
		.batch = batch,
		.sent = sent,
		.arg = arg,
	};
	struct kpost_sender *sender;
	int ret = kpost_sender_new(&sender, pipe_fds[1], &options);

	if (ret == -ENOSYS || ret == -EPERM) {
		print_message("io_uring is not permitted here: %s\n", strerror(-ret));
		skip();
	}
	assert_int_equal(ret, 0);
	return sender;
}

void pipe_queue(struct kpost_sender *sender, unsigned int number)
{
	assert_int_equal(kpost_sender_queue(sender, &number, sizeof(number), NULL,
					    (void *)(uintptr_t)number),
			 0);
}

int pipe_take(void)
{
	unsigned char buf[4096];
	ssize_t ret = read(pipe_fds[0], buf, sizeof(buf));
	unsigned int number;

	if (ret < 0)
		return -1;
	assert_int_equal(ret, sizeof(number));
	memcpy(&number, buf, sizeof(number));
	return (int)number;
}

void pipe_expect(unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		assert_int_equal(pipe_take(), from);
}

bool sender_asleep(struct kpost_sender *sender)
{
	return __atomic_load_n(&sender->asleep, __ATOMIC_SEQ_CST);
}

unsigned int sender_followers(struct kpost_sender *sender)
{
	return __atomic_load_n(&sender->followers, __ATOMIC_SEQ_CST);
}

void pipe_cancel(struct kpost_sender *sender)
{
	struct io_uring_sync_cancel_reg all = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ANY,
		.timeout = { .tv_sec = 1 },
	};

	assert_return_code(io_uring_register_sync_cancel(&sender->ring, &all), 0);
}
