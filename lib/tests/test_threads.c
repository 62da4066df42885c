// SPDX-License-Identifier: MIT
#include "pipe_ring.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#define SECOND 1000

static struct kpost_sender *shared;

static void *submit_and_exit(void *arg)
{
	(void)arg;
	kpost_sender_submit(shared);
	return NULL;
}

/* The kernel cancels what an exiting thread has submitted; the sender starts it again. */
static void submitting_thread_may_exit(void **state)
{
	pthread_t thread;
	unsigned int i;

	(void)state;
	shared = pipe_sender(64, 64, NULL, NULL);
	for (i = 0; i < 40; i++)
		pipe_queue(shared, i);
	pthread_create(&thread, NULL, submit_and_exit, NULL);
	pthread_join(thread, NULL);
	for (i = 0; i < 40; i++) {
		uint64_t end = kpost_deadline(20 * SECOND);
		int taken;

		/* The sender goes on only while somebody is in one of its functions. */
		while ((taken = pipe_take()) < 0 && kpost_deadline(0) < end)
			kpost_sender_flush(shared, kpost_deadline(1));
		assert_int_equal(taken, i);
	}
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	for (i = 0; i < 40; i++) {
		struct kpost_completion done;

		assert_int_equal(kpost_sender_reap(shared, &done, 1), 1);
		assert_int_equal(done.cookie, i);
		assert_int_equal(done.result, 0);
	}
	assert_int_equal(kpost_sender_free(shared), 0);
}

#define THREADS 4
#define EACH 500

static unsigned int reported[THREADS];

static void count(void *arg, void *cookie, int result)
{
	unsigned int number = (unsigned int)(uintptr_t)cookie;

	(void)arg;
	/* one call at a time, and in each thread's order */
	assert_int_equal(result, 0);
	assert_int_equal(number % EACH, reported[number / EACH]);
	reported[number / EACH]++;
}

static void *queue_many(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg * EACH;
	unsigned int last = number + EACH;
	int ret;

	while (number < last) {
		ret = kpost_sender_queue(shared, &number, sizeof(number), 0, 0,
					 (void *)(uintptr_t)number);
		if (ret == -EAGAIN) {
			/* all wait at once, and each has to wake */
			assert_int_equal(kpost_sender_wait(shared, kpost_deadline(20 * SECOND)), 0);
			continue;
		}
		assert_int_equal(ret, 0);
		number++;
	}
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	return NULL;
}

static void threads_share_a_sender(void **state)
{
	unsigned int next[THREADS] = { 0 };
	unsigned int i, total = 0;
	pthread_t threads[THREADS];
	struct pollfd fd = { .fd = pipe_fds[0], .events = POLLIN };
	int number;

	(void)state;
	memset(reported, 0, sizeof(reported));
	shared = pipe_sender(16, 4, count, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, queue_many, (void *)(uintptr_t)i);
	while (total < THREADS * EACH) {
		assert_int_equal(poll(&fd, 1, 20 * SECOND), 1);
		number = pipe_take();
		assert_in_range(number, 0, THREADS * EACH - 1);
		assert_int_equal(number % EACH, next[number / EACH]);
		next[number / EACH]++;
		total++;
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(reported[i], EACH);
	assert_int_equal(kpost_sender_free(shared), 0);
}

static void on_signal(int number)
{
	(void)number;
}

static void *kick(void *arg)
{
	/* until the waiter is caught in the act, whenever it gets there */
	while (!pthread_kill(*(pthread_t *)arg, SIGUSR1))
		usleep(1000);
	return NULL;
}

static void signal_ends_waiting(void **state)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t self = pthread_self(), thread;
	unsigned int i;

	(void)state;
	sigaction(SIGUSR1, &action, NULL);
	shared = pipe_sender(64, 8, NULL, NULL);
	for (i = 0; i < PIPE_ROOM + 1; i++)
		pipe_queue(shared, i);
	pthread_create(&thread, NULL, kick, &self);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), -EINTR);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	/* it has harmed nothing */
	pipe_expect(0, 1);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	pipe_expect(1, PIPE_ROOM + 1);
	assert_int_equal(kpost_sender_free(shared), 0);
}

#define ring_test(f) cmocka_unit_test_setup_teardown(f, pipe_setup, pipe_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(submitting_thread_may_exit),
		ring_test(threads_share_a_sender),
		ring_test(signal_ends_waiting),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
