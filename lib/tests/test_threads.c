// SPDX-License-Identifier: MIT
#include "pipe_ring.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

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
		ret = kpost_sender_queue(shared, &number, sizeof(number), NULL,
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

/* As many as a program that makes a thread for each request has, one after the other. */
#define REQUESTS 100

static void *queue_and_exit(void *arg)
{
	pipe_queue(shared, (unsigned int)(uintptr_t)arg);
	assert_int_equal(kpost_sender_submit(shared), 0);
	/* What waits for a pipe outlives its thread, unlike what waits in a worker. */
	pipe_cancel(shared);
	return NULL;
}

static void threads_that_end_fail_no_message(void **state)
{
	struct kpost_completion done[PIPE_ROOM];
	pthread_t thread;
	unsigned int i;

	(void)state;
	shared = pipe_sender(2 * REQUESTS, 0, NULL, NULL);
	/* full, so that each of them leaves a message that waits */
	for (i = 0; i < PIPE_ROOM; i++)
		pipe_queue(shared, i);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(kpost_sender_reap(shared, done, PIPE_ROOM), PIPE_ROOM);
	for (; i < PIPE_ROOM + REQUESTS; i++) {
		pthread_create(&thread, NULL, queue_and_exit, (void *)(uintptr_t)i);
		pthread_join(thread, NULL);
	}
	for (i = 0; i < REQUESTS; i++) {
		pipe_expect(i, i + 1);
		assert_int_equal(kpost_sender_wait(shared, kpost_deadline(20 * SECOND)), 0);
		assert_int_equal(kpost_sender_reap(shared, done, 1), 1);
		assert_int_equal(done[0].cookie, PIPE_ROOM + i);
		assert_int_equal(done[0].result, 0);
	}
	pipe_expect(REQUESTS, REQUESTS + PIPE_ROOM);
	assert_int_equal(kpost_sender_free(shared), 0);
}

/* But one thread cannot end twice: that the kernel does not do it means something else. */
static void what_one_thread_tries_in_vain_is_given_up(void **state)
{
	struct kpost_completion done[PIPE_ROOM + 1];
	unsigned int i;

	(void)state;
	shared = pipe_sender(64, 64, NULL, NULL);
	for (i = 0; i <= PIPE_ROOM; i++)
		pipe_queue(shared, i);
	assert_int_equal(kpost_sender_submit(shared), 0);
	assert_int_equal(kpost_sender_reap(shared, done, PIPE_ROOM), PIPE_ROOM);
	for (i = 0; i < 100 && kpost_sender_pending(shared); i++) {
		pipe_cancel(shared);
		assert_int_equal(kpost_sender_submit(shared), 0);
	}
	assert_in_range(i, 10, 99);
	assert_int_equal(kpost_sender_reap(shared, done, 1), 1);
	assert_int_equal(done[0].cookie, PIPE_ROOM);
	assert_int_equal(done[0].result, -EAGAIN);
	pipe_expect(0, PIPE_ROOM);
	assert_int_equal(pipe_take(), -1);
	assert_int_equal(kpost_sender_free(shared), 0);
}

static void join_soon(pthread_t thread, void **result)
{
	struct timespec soon;

	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_sec += 20;
	assert_int_equal(pthread_timedjoin_np(thread, result, &soon), 0);
}

/* The messages that fit, and one that waits. */
static void fill(void)
{
	unsigned int i;

	for (i = 0; i <= PIPE_ROOM; i++)
		pipe_queue(shared, i);
	assert_int_equal(kpost_sender_submit(shared), 0);
}

static bool waits(int threads)
{
	return sender_asleep(shared) && sender_followers(shared) >= (unsigned int)threads - 1;
}

static void *flush_all(void *arg)
{
	int ret = kpost_sender_flush(shared, 0);

	__atomic_store_n((int *)arg, ret, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *flush_uncancelled(void *arg)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	*(int *)arg = kpost_sender_flush(shared, kpost_deadline(20 * SECOND));
	pthread_setcancelstate(state, NULL);
	pthread_testcancel();
	return NULL;
}

static void *submit_for_ever(void *arg)
{
	while (arg)
		kpost_sender_submit(shared);
	return arg;
}

static void cancelled_thread_leaves_the_sender_whole(void **state)
{
	int results[4] = { 1, 1, 1, 1 };
	pthread_t threads[4], thread;
	unsigned int i;
	void *result;

	(void)state;
	shared = pipe_sender(64, 8, NULL, NULL);
	fill();
	/* one leads, the others follow; the last ones are cancelled only when they are through */
	for (i = 0; i < 4; i++) {
		pthread_create(&threads[i], NULL, i < 2 ? flush_all : flush_uncancelled,
			       &results[i]);
		pipe_until(waits((int)i + 1));
	}
	for (i = 0; i < 4; i++)
		pthread_cancel(threads[i]);
	for (i = 0; i < 2; i++) {
		join_soon(threads[i], &result);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		assert_int_equal(results[i], 1);
	}
	pthread_create(&thread, NULL, submit_for_ever, results);
	pthread_cancel(thread);
	join_soon(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	/* Somebody else has the lead, and nothing of it was lost. */
	assert_int_equal(kpost_sender_pending(shared), 1);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(50)), -ETIMEDOUT);
	pipe_expect(0, 1);
	for (i = 2; i < 4; i++) {
		join_soon(threads[i], &result);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		assert_int_equal(results[i], 0);
	}
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	pipe_expect(1, PIPE_ROOM + 1);
	assert_int_equal(kpost_sender_free(shared), 0);
}

enum { OUTSIDE, INSIDE, CANCELLED };

/* In a callback nobody is cancelled. */
static void be_cancelled(void *arg, void *cookie, int result)
{
	int *where = arg;

	(void)cookie;
	(void)result;
	if (*where == OUTSIDE)
		__atomic_store_n(where, INSIDE, __ATOMIC_SEQ_CST);
	pipe_until(__atomic_load_n(where, __ATOMIC_SEQ_CST) == CANCELLED);
}

static void *end_with(void *arg)
{
	return arg;
}

/* Then it is where it next waits, and ends as cancelled. */
static void cancelled_before_it_waits_is_cancelled_there(void **state)
{
	int ret = 1, where = OUTSIDE;
	pthread_t thread;
	unsigned int i;
	void *result;

	(void)state;
	shared = pipe_sender(64, 64, be_cancelled, &where);
	for (i = 0; i <= PIPE_ROOM; i++)
		pipe_queue(shared, i);
	/* The C library uses a thread again, with the result that it had. */
	pthread_create(&thread, NULL, end_with, &ret);
	join_soon(thread, &result);
	pthread_create(&thread, NULL, flush_all, &ret);
	pipe_until(__atomic_load_n(&where, __ATOMIC_SEQ_CST) == INSIDE);
	pthread_cancel(thread);
	__atomic_store_n(&where, CANCELLED, __ATOMIC_SEQ_CST);
	join_soon(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(ret, 1);
	pipe_expect(0, 1);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	pipe_expect(1, PIPE_ROOM + 1);
	assert_int_equal(kpost_sender_free(shared), 0);
}

static void note_nothing(void *arg, void *cookie, int result)
{
	(void)arg;
	(void)cookie;
	(void)result;
}

/* One that submits all the time resets the event before the leader has seen it. */
static void wakeup_is_not_taken_away(void **state)
{
	uint64_t end = kpost_deadline(20 * SECOND);
	unsigned int i, round;
	pthread_t thread;
	int result;

	(void)state;
	for (round = 0; round < 20; round++) {
		shared = pipe_sender(64, 8, note_nothing, NULL);
		fill();
		result = 1;
		pthread_create(&thread, NULL, flush_all, &result);
		pipe_until(waits(1));
		pipe_expect(0, 1);
		while (__atomic_load_n(&result, __ATOMIC_SEQ_CST) == 1 && kpost_deadline(0) < end)
			kpost_sender_submit(shared);
		assert_int_equal(result, 0);
		pthread_join(thread, NULL);
		for (i = 1; i <= PIPE_ROOM; i++)
			pipe_expect(i, i + 1);
		kpost_sender_free(shared);
	}
}

static void *flush_shortly(void *arg)
{
	int ret = kpost_sender_flush(shared, kpost_deadline(20));

	__atomic_store_n((int *)arg, ret, __ATOMIC_SEQ_CST);
	return NULL;
}

static void deadline_is_not_taken_away(void **state)
{
	uint64_t end = kpost_deadline(20 * SECOND);
	unsigned int round;
	pthread_t thread;
	int result;

	(void)state;
	shared = pipe_sender(64, 8, note_nothing, NULL);
	fill();
	for (round = 0; round < 20; round++) {
		result = 1;
		pthread_create(&thread, NULL, flush_shortly, &result);
		while (__atomic_load_n(&result, __ATOMIC_SEQ_CST) == 1 && kpost_deadline(0) < end)
			kpost_sender_submit(shared);
		assert_int_equal(result, -ETIMEDOUT);
		pthread_join(thread, NULL);
	}
	kpost_sender_free(shared);
}

static pthread_mutex_t programs = PTHREAD_MUTEX_INITIALIZER;
static unsigned int noted;
static bool in_callback;

static void note_under_lock(void *arg, void *cookie, int result)
{
	(void)arg;
	assert_int_equal(result, 0);
	/* one call at a time, in order */
	assert_false(__atomic_exchange_n(&in_callback, true, __ATOMIC_SEQ_CST));
	pthread_mutex_lock(&programs);
	assert_int_equal((uintptr_t)cookie, noted);
	noted++;
	pthread_mutex_unlock(&programs);
	__atomic_store_n(&in_callback, false, __ATOMIC_SEQ_CST);
}

static void callback_holds_no_lock(void **state)
{
	int results[3] = { 1, 1, 1 };
	pthread_t threads[3];
	unsigned int i;

	(void)state;
	noted = 0;
	shared = pipe_sender(64, 8, note_under_lock, NULL);
	fill();
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, flush_all, &results[i]);
	pipe_until(waits(3));
	pthread_mutex_lock(&programs);
	/* the last message is sent, and whoever leads reports it, and waits for this lock */
	pipe_expect(0, 1);
	pipe_until(__atomic_load_n(&in_callback, __ATOMIC_SEQ_CST));
	/* all works meanwhile, but what waits for the callback */
	pipe_queue(shared, PIPE_ROOM + 1);
	assert_int_equal(kpost_sender_submit(shared), 0);
	pipe_queue(shared, PIPE_ROOM + 2);
	assert_int_equal(kpost_sender_wait(shared, kpost_deadline(50)), -ETIMEDOUT);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(50)), -ETIMEDOUT);
	for (i = 0; i < 3; i++)
		assert_int_equal(__atomic_load_n(&results[i], __ATOMIC_SEQ_CST), 1);
	pthread_mutex_unlock(&programs);
	for (i = 0; i < 3; i++) {
		join_soon(threads[i], NULL);
		assert_int_equal(results[i], 0);
	}
	pipe_expect(1, PIPE_ROOM + 1);
	assert_int_equal(kpost_sender_flush(shared, kpost_deadline(20 * SECOND)), 0);
	pipe_expect(PIPE_ROOM + 1, PIPE_ROOM + 3);
	assert_int_equal(noted, PIPE_ROOM + 3);
	assert_int_equal(kpost_sender_free(shared), 0);
}

static void *report_slowly(void *arg)
{
	(void)arg;
	kpost_sender_submit(shared);
	return NULL;
}

/* Nor does the thread that queues call it, which may have the program's lock itself. */
static void queueing_calls_nothing(void **state)
{
	unsigned int i;
	int ret;

	(void)state;
	noted = 0;
	shared = pipe_sender(8, 2, note_under_lock, NULL);
	pthread_mutex_lock(&programs);
	for (i = 0;; i++) {
		ret = kpost_sender_queue(shared, &i, sizeof(i), NULL, (void *)(uintptr_t)i);
		if (ret)
			break;
	}
	/* all of them are sent, and nothing said so yet */
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(i, 8);
	pipe_expect(0, 8);
	assert_int_equal(noted, 0);
	assert_int_equal(kpost_sender_pending(shared), 8);
	pthread_mutex_unlock(&programs);
	assert_int_equal(kpost_sender_wait(shared, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(noted, 8);
	assert_int_equal(kpost_sender_free(shared), 0);
}

static sem_t go_on;

static void note_slowly(void *arg, void *cookie, int result)
{
	(void)cookie;
	assert_int_equal(result, 0);
	__atomic_store_n(&in_callback, true, __ATOMIC_SEQ_CST);
	sem_wait(&go_on);
	++*(unsigned int *)arg;
}

static void *let_go_on(void *arg)
{
	/* when the one that frees waits for those that are inside */
	pipe_until(sender_followers(shared));
	sem_post(&go_on);
	sem_post(&go_on);
	return arg;
}

static void free_waits_for_who_is_inside(void **state)
{
	unsigned int count = 0;
	pthread_t threads[2];

	(void)state;
	in_callback = false;
	sem_init(&go_on, 0, 0);
	shared = pipe_sender(64, 8, note_slowly, &count);
	pipe_queue(shared, 0);
	pipe_queue(shared, 1);
	pthread_create(&threads[0], NULL, report_slowly, NULL);
	pipe_until(__atomic_load_n(&in_callback, __ATOMIC_SEQ_CST));
	pthread_create(&threads[1], NULL, let_go_on, NULL);
	assert_int_equal(kpost_sender_free(shared), 0);
	assert_int_equal(count, 2);
	join_soon(threads[0], NULL);
	join_soon(threads[1], NULL);
}

static void free_ends_waiting(void **state)
{
	int results[3] = { 1, 1, 1 };
	pthread_t threads[3];
	unsigned int i;

	(void)state;
	shared = pipe_sender(64, 8, NULL, NULL);
	fill();
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, flush_all, &results[i]);
	pipe_until(waits(3));
	assert_int_equal(kpost_sender_free(shared), 1);
	for (i = 0; i < 3; i++) {
		join_soon(threads[i], NULL);
		assert_int_equal(results[i], -ECANCELED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(submitting_thread_may_exit),
		ring_test(threads_share_a_sender),
		ring_test(threads_that_end_fail_no_message),
		ring_test(what_one_thread_tries_in_vain_is_given_up),
		ring_test(cancelled_thread_leaves_the_sender_whole),
		ring_test(cancelled_before_it_waits_is_cancelled_there),
		ring_test(wakeup_is_not_taken_away),
		ring_test(deadline_is_not_taken_away),
		ring_test(callback_holds_no_lock),
		ring_test(queueing_calls_nothing),
		ring_test(free_waits_for_who_is_inside),
		ring_test(free_ends_waiting),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
