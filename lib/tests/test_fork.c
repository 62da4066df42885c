// SPDX-License-Identifier: MIT
/* A sender in a process that forks. */
#include "pipe_ring.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void never(void *arg, void *cookie, int result)
{
	(void)arg;
	(void)cookie;
	(void)result;
	abort();
}

static int count_fds(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* The process that sends, has a child, and dies; 0 if all went well. */
static int sending_process(int before, int told)
{
	struct kpost_sender *sender = pipe_sender(64, 8, never, NULL);
	pid_t child;

	close(pipe_fds[0]);
	pipe_queue(sender, 0);
	child = fork();
	if (child)
		return child < 0 || write(told, &child, sizeof(child)) != sizeof(child);
	close(pipe_fds[1]);
	kpost_sender_forget(sender);
	kpost_sender_forget(NULL);
	/* but for the ends of the pipe nothing is left of it */
	if (count_fds() != before - 2)
		abort();
	pause();
	return 1;
}

static void endpoint_closes_with_the_parent(void **state)
{
	struct pollfd end = { .fd = pipe_fds[0], .events = POLLIN };
	int told[2], status, before;
	pid_t parent, child;
	char byte;

	(void)state;
	kpost_sender_free(pipe_sender(0, 0, NULL, NULL));
	assert_int_equal(pipe(told), 0);
	before = count_fds();
	parent = fork();
	if (!parent)
		_exit(sending_process(before, told[1]));
	close(pipe_fds[1]);
	pipe_fds[1] = -1;
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_int_equal(status, 0);
	assert_int_equal(read(told[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(poll(&end, 1, 20 * SECOND), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
	/* it is alive, and has not failed */
	assert_int_equal(kill(child, 0), 0);
	kill(child, SIGKILL);
	close(told[0]);
	close(told[1]);
}

static struct kpost_sender *shared;
static bool over;

static void *use(void *arg)
{
	static unsigned char large[65536];
	unsigned int number = 0;

	while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
		/* small, and too large to be kept, so that the slots' memory changes */
		kpost_sender_queue(shared, large, number++ % 2 ? sizeof(large) : 4, &pipe_fault,
				   NULL);
		kpost_sender_submit(shared);
	}
	return arg;
}

static void child_does_not_care_what_threads_were_doing(void **state)
{
	struct kpost_completion done[16];
	pthread_t threads[2];
	unsigned int i, round;
	int status;
	pid_t child;

	(void)state;
	/* every message fails at once, see PRIORITY_FAULT */
	shared = pipe_sender(8, 2, NULL, NULL);
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, use, NULL);
	for (round = 0; round < 200; round++) {
		kpost_sender_reap(shared, done, 16);
		child = fork();
		if (!child) {
			alarm(20);
			kpost_sender_forget(shared);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	__atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* and the parent's goes on */
	kpost_sender_flush(shared, kpost_deadline(20 * SECOND));
	while (kpost_sender_reap(shared, done, 16))
		;
	pipe_queue(shared, 5);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(pipe_take(), 5);
	kpost_sender_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(endpoint_closes_with_the_parent),
		ring_test(child_does_not_care_what_threads_were_doing),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
