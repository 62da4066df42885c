// SPDX-License-Identifier: MIT
#include "pipe_ring.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

struct log {
	struct kpost_sender *sender;
	unsigned int count;
	unsigned int cookies[4096];
	int results[4096];
	unsigned int refill_to; /* the callback queues up to this number */
	unsigned int next;
};

static void note(void *arg, void *cookie, int result)
{
	struct log *log = arg;

	assert_in_range(log->count, 0, 4095);
	log->cookies[log->count] = (unsigned int)(uintptr_t)cookie;
	log->results[log->count++] = result;
}

/* Each message was reported once, in order, and with this result. */
static void expect_log(const struct log *log, unsigned int from, unsigned int to, int result)
{
	unsigned int i;

	assert_in_range(log->count, to, 4096);
	for (i = from; i < to; i++) {
		assert_int_equal(log->cookies[i], i);
		assert_int_equal(log->results[i], result);
	}
}

static int readable(struct kpost_sender *sender)
{
	struct pollfd fd = { .fd = kpost_sender_eventfd(sender), .events = POLLIN };

	return poll(&fd, 1, 0);
}

static void payload_is_copied(void **state)
{
	struct kpost_sender *sender = pipe_sender(0, 0, NULL, NULL);
	unsigned int number = 0;

	(void)state;
	assert_int_equal(kpost_sender_queue(sender, &number, sizeof(number), NULL, NULL), 0);
	number = 77;
	assert_int_equal(kpost_sender_submit(sender), 0);
	pipe_expect(0, 1);
	kpost_sender_free(sender);
}

static void batches_start_by_themselves(void **state)
{
	struct kpost_sender *sender = pipe_sender(64, 4, NULL, NULL);
	unsigned int i;

	(void)state;
	for (i = 0; i < 7; i++)
		pipe_queue(sender, i);
	pipe_expect(0, 4);
	assert_int_equal(pipe_take(), -1);
	assert_int_equal(kpost_sender_submit(sender), 0);
	pipe_expect(4, 7);
	kpost_sender_free(sender);
}

static void completions_are_collected(void **state)
{
	struct kpost_sender *sender = pipe_sender(64, 4, NULL, NULL);
	struct kpost_completion done[8];
	unsigned int i;

	(void)state;
	assert_int_equal(kpost_sender_reap(sender, done, 8), 0);
	for (i = 0; i < 10; i++)
		pipe_queue(sender, i);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(kpost_sender_pending(sender), 0);
	assert_true(readable(sender));
	assert_int_equal(kpost_sender_wait(sender, 0), 0);
	assert_int_equal(kpost_sender_reap(sender, done, 8), 8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(done[i].cookie, i);
		assert_int_equal(done[i].result, 0);
	}
	/* there is more, and the event says so, until there is not */
	assert_true(readable(sender));
	assert_int_equal(kpost_sender_reap(sender, done, 8), 2);
	assert_int_equal(done[1].cookie, 9);
	assert_false(readable(sender));
	kpost_sender_free(sender);
}

static void full_is_eagain(void **state)
{
	struct kpost_sender *sender = pipe_sender(8, 4, NULL, NULL);
	struct kpost_completion done;
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++)
		pipe_queue(sender, i);
	/* all sent, but nobody has looked at them */
	kpost_sender_flush(sender, 0);
	assert_int_equal(kpost_sender_queue(sender, &i, sizeof(i), NULL, NULL), -EAGAIN);
	assert_int_equal(kpost_sender_reap(sender, &done, 1), 1);
	pipe_queue(sender, 8);
	assert_int_equal(kpost_sender_queue(sender, &i, sizeof(i), NULL, NULL), -EAGAIN);
	kpost_sender_flush(sender, 0);
	pipe_expect(0, 9);
	assert_int_equal(pipe_take(), -1);
	kpost_sender_free(sender);
}

static void order_is_kept_through_a_full_mailbox(void **state)
{
	struct log log = { 0 };
	struct kpost_sender *sender = pipe_sender(256, 8, note, &log);
	unsigned int queued = 0, taken = 0;

	(void)state;
	while (taken < 2000) {
		/* far ahead of the reader, so that nearly all have to wait */
		while (queued < 2000) {
			int ret = kpost_sender_queue(sender, &queued, sizeof(queued), NULL,
						     (void *)(uintptr_t)queued);

			if (ret == -EAGAIN)
				break;
			assert_int_equal(ret, 0);
			queued++;
		}
		assert_int_equal(kpost_sender_submit(sender), 0);
		pipe_expect(taken, taken + 1);
		taken++;
		if (taken < queued)
			assert_int_equal(kpost_sender_wait(sender, kpost_deadline(20 * SECOND)), 0);
	}
	kpost_sender_flush(sender, 0);
	assert_int_equal(log.count, 2000);
	expect_log(&log, 0, 2000, 0);
	assert_int_equal(kpost_sender_free(sender), 0);
}

static void failing_message_fails_alone(void **state)
{
	/* at the beginning, in the middle, at the end, next to each other */
	static const unsigned int bad[] = { 0, 5, 6, 15, 16, 23 };
	struct log log = { 0 };
	struct kpost_sender *sender = pipe_sender(64, 8, note, &log);
	unsigned int i, j = 0;

	(void)state;
	for (i = 0; i < 24; i++) {
		bool fails = j < 6 && bad[j] == i;

		assert_int_equal(kpost_sender_queue(sender, &i, sizeof(i),
						    fails ? &pipe_fault : NULL,
						    (void *)(uintptr_t)i),
				 0);
		j += fails;
	}
	/* 18 fit in the pipe one after another only */
	assert_int_equal(kpost_sender_submit(sender), 0);
	for (i = 0, j = 0; i < 24; i++) {
		if (j < 6 && bad[j] == i) {
			j++;
			continue;
		}
		pipe_expect(i, i + 1);
		kpost_sender_submit(sender);
	}
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(log.count, 24);
	for (i = 0, j = 0; i < 24; i++) {
		bool fails = j < 6 && bad[j] == i;

		assert_int_equal(log.cookies[i], i);
		assert_int_equal(log.results[i], fails ? -EFAULT : 0);
		j += fails;
	}
	/* and the neighbours were really started again */
	assert_in_range(pipe_prepared, 25, 100);
	kpost_sender_free(sender);
}

static void all_may_fail(void **state)
{
	struct log log = { 0 };
	struct kpost_sender *sender = pipe_sender(128, 32, note, &log);
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++)
		assert_int_equal(kpost_sender_queue(sender, &i, sizeof(i), &pipe_fault,
						    (void *)(uintptr_t)i),
				 0);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(log.count, 100);
	expect_log(&log, 0, 100, -EFAULT);
	kpost_sender_free(sender);
}

static void failure_may_stop_the_rest(void **state)
{
	const struct kpost_sender_options options = {
		.depth = 64,
		.batch = 8,
		.flags = KPOST_SENDER_STOP,
	};
	struct kpost_completion done[64];
	struct kpost_sender *sender = pipe_sender(8, 8, NULL, NULL);
	unsigned int i;

	(void)state;
	kpost_sender_free(sender);
	assert_int_equal(kpost_sender_new(&sender, pipe_fds[1], &options), 0);
	/* in the second of three batches */
	for (i = 0; i < 24; i++) {
		int ret = kpost_sender_queue(sender, &i, sizeof(i), i == 10 ? &pipe_fault : NULL,
					     (void *)(uintptr_t)i);

		assert_true(!ret || (i > 10 && ret == -ECANCELED));
		if (ret)
			break;
	}
	assert_int_equal(kpost_sender_submit(sender), -ECANCELED);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(kpost_sender_reap(sender, done, 64), i);
	for (unsigned int j = 0; j < i; j++) {
		assert_int_equal(done[j].cookie, j);
		assert_int_equal(done[j].result, j < 10 ? 0 : j > 10 ? -ECANCELED : -EFAULT);
	}
	pipe_expect(0, 10);
	assert_int_equal(pipe_take(), -1);
	assert_int_equal(kpost_sender_queue(sender, "", 0, NULL, NULL), -ECANCELED);
	assert_int_equal(kpost_sender_free(sender), 0);
}

static void free_cancels_what_waits(void **state)
{
	struct log log = { 0 };
	struct kpost_sender *sender = pipe_sender(64, 8, note, &log);
	unsigned int i;

	(void)state;
	for (i = 0; i < 60; i++)
		pipe_queue(sender, i);
	assert_int_equal(kpost_sender_submit(sender), 0);
	assert_int_equal(kpost_sender_pending(sender), 60 - PIPE_ROOM);
	assert_int_equal(kpost_sender_free(sender), 60 - PIPE_ROOM);
	assert_int_equal(log.count, 60);
	expect_log(&log, 0, PIPE_ROOM, 0);
	expect_log(&log, PIPE_ROOM, 60, -ECANCELED);
	/* what was said to be cancelled was not sent */
	pipe_expect(0, PIPE_ROOM);
	assert_int_equal(pipe_take(), -1);
}

static void free_at_every_stage(void **state)
{
	unsigned int queued, taken;

	(void)state;
	for (queued = 0; queued < 40; queued += 3) {
		for (taken = 0; taken < 24 && taken <= queued; taken += 5) {
			struct log log = { 0 };
			struct kpost_sender *sender = pipe_sender(64, 8, note, &log);
			unsigned int i, sent, out = 0;

			for (i = 0; i < queued; i++)
				pipe_queue(sender, i);
			while (out < taken && pipe_take() >= 0)
				out++;
			sent = queued - (unsigned int)kpost_sender_free(sender);
			assert_int_equal(log.count, queued);
			expect_log(&log, 0, sent, 0);
			expect_log(&log, sent, queued, -ECANCELED);
			pipe_expect(out, sent);
			assert_int_equal(pipe_take(), -1);
		}
	}
}

static void wait_and_flush_have_deadlines(void **state)
{
	struct kpost_sender *sender = pipe_sender(64, 8, NULL, NULL);
	struct kpost_completion done[64];
	unsigned int i;

	(void)state;
	assert_int_equal(kpost_sender_wait(sender, 0), 0);
	for (i = 0; i <= PIPE_ROOM; i++)
		pipe_queue(sender, i);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20)), -ETIMEDOUT);
	assert_int_equal(kpost_sender_reap(sender, done, 64), PIPE_ROOM);
	assert_int_equal(kpost_sender_wait(sender, kpost_deadline(20)), -ETIMEDOUT);
	assert_int_equal(kpost_sender_wait(sender, 1), -ETIMEDOUT);
	pipe_expect(0, 1);
	assert_int_equal(kpost_sender_wait(sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(kpost_sender_reap(sender, done, 64), 1);
	assert_int_equal(done[0].cookie, PIPE_ROOM);
	kpost_sender_free(sender);
}

static void event_wakes_a_loop(void **state)
{
	struct kpost_sender *sender = pipe_sender(64, 8, NULL, NULL);
	struct pollfd fd = { .fd = kpost_sender_eventfd(sender), .events = POLLIN };
	struct kpost_completion done[64];
	unsigned int i, collected = 0, taken = 0;

	(void)state;
	for (i = 0; i < 50; i++)
		pipe_queue(sender, i);
	kpost_sender_submit(sender);
	while (collected < 50) {
		assert_int_equal(poll(&fd, 1, 5 * SECOND), 1);
		collected += (unsigned int)kpost_sender_reap(sender, done, 64);
		while (pipe_take() >= 0)
			taken++;
	}
	while (pipe_take() >= 0)
		taken++;
	assert_int_equal(taken, 50);
	assert_false(readable(sender));
	kpost_sender_free(sender);
}

static void refill(void *arg, void *cookie, int result)
{
	struct log *log = arg;

	note(arg, cookie, result);
	/* what would have to come back here is refused */
	assert_int_equal(kpost_sender_wait(log->sender, 0), -EDEADLK);
	assert_int_equal(kpost_sender_flush(log->sender, 0), -EDEADLK);
	assert_int_equal(kpost_sender_free(log->sender), -EDEADLK);
	if (log->next < log->refill_to) {
		pipe_queue(log->sender, log->next++);
		assert_int_equal(kpost_sender_submit(log->sender), 0);
	}
}

static void callback_may_queue(void **state)
{
	struct log log = { .refill_to = 12, .next = 2 };

	(void)state;
	log.sender = pipe_sender(2, 2, refill, &log);
	pipe_queue(log.sender, 0);
	pipe_queue(log.sender, 1);
	while (kpost_sender_pending(log.sender))
		assert_int_equal(kpost_sender_wait(log.sender, kpost_deadline(20 * SECOND)), 0);
	assert_int_equal(log.count, 12);
	expect_log(&log, 0, 12, 0);
	pipe_expect(0, 12);
	kpost_sender_free(log.sender);
}

static void refuse(void *arg, void *cookie, int result)
{
	struct log *log = arg;

	note(arg, cookie, result);
	assert_int_equal(kpost_sender_queue(log->sender, "", 0, NULL, NULL), -ECANCELED);
	assert_int_equal(kpost_sender_submit(log->sender), -ECANCELED);
}

static void nothing_is_queued_while_freeing(void **state)
{
	struct log log = { 0 };

	(void)state;
	log.sender = pipe_sender(8, 8, refuse, &log);
	pipe_queue(log.sender, 0);
	assert_int_equal(kpost_sender_free(log.sender), 1);
	expect_log(&log, 0, 1, -ECANCELED);
	assert_int_equal(pipe_take(), -1);
}

static void endpoint_is_the_senders_own(void **state)
{
	struct kpost_sender *sender = pipe_sender(8, 8, NULL, NULL);
	char end;

	(void)state;
	close(pipe_fds[1]);
	pipe_fds[1] = -1;
	pipe_queue(sender, 0);
	assert_int_equal(kpost_sender_flush(sender, 0), 0);
	pipe_expect(0, 1);
	/* and it has let go of it when free returns */
	kpost_sender_free(sender);
	assert_int_equal(read(pipe_fds[0], &end, 1), 0);
}

static void large_and_small_share_slots(void **state)
{
	struct kpost_sender *sender = pipe_sender(4, 2, NULL, NULL);
	struct kpost_completion done[4];
	/* a packet holds a page; more is split, which only the sizes have to survive */
	static char large[PIPE_ROOM * 4096];
	static char out[PIPE_ROOM * 4096];
	unsigned int i, round;
	size_t got, len;
	ssize_t ret;

	(void)state;
	for (i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7);
	for (round = 0; round < 12; round++) {
		len = round % 3 ? sizeof(large) >> round : sizeof(large);
		assert_int_equal(kpost_sender_queue(sender, large, len, NULL, NULL), 0);
		assert_int_equal(kpost_sender_submit(sender), 0);
		for (got = 0; got < len; got += (size_t)ret) {
			ret = read(pipe_fds[0], out + got, sizeof(out) - got);
			assert_true(ret > 0);
		}
		assert_memory_equal(out, large, len);
		assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
		assert_int_equal(kpost_sender_reap(sender, done, 4), 1);
	}
	kpost_sender_free(sender);
}

/* "never changes errno", whatever is inside */
#define untouched(call) \
	do { \
		errno = ENOTRECOVERABLE; \
		(void)(call); \
		assert_int_equal(errno, ENOTRECOVERABLE); \
	} while (0)

static void errno_is_left_alone(void **state)
{
	struct kpost_completion done[64];
	struct kpost_sender *sender;
	struct rlimit none, before;
	unsigned int i;

	(void)state;
	kpost_sender_free(pipe_sender(0, 0, NULL, NULL));
	untouched(kpost_sender_new(&sender, pipe_fds[1], NULL));
	untouched(kpost_sender_reap(sender, done, 64));
	untouched(kpost_sender_wait(sender, 0));
	for (i = 0; i <= PIPE_ROOM; i++)
		untouched(kpost_sender_queue(sender, &i, sizeof(i), NULL, NULL));
	untouched(kpost_sender_submit(sender));
	untouched(kpost_sender_reap(sender, done, 64));
	untouched(kpost_sender_wait(sender, kpost_deadline(10)));
	untouched(kpost_sender_flush(sender, kpost_deadline(10)));
	untouched(kpost_sender_pending(sender));
	untouched(kpost_sender_eventfd(sender));
	untouched(kpost_sender_free(sender));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	untouched(assert_int_equal(kpost_sender_new(&sender, pipe_fds[1], NULL), -EMFILE));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(payload_is_copied),
		ring_test(batches_start_by_themselves),
		ring_test(completions_are_collected),
		ring_test(full_is_eagain),
		ring_test(order_is_kept_through_a_full_mailbox),
		ring_test(failing_message_fails_alone),
		ring_test(all_may_fail),
		ring_test(failure_may_stop_the_rest),
		ring_test(free_cancels_what_waits),
		ring_test(free_at_every_stage),
		ring_test(wait_and_flush_have_deadlines),
		ring_test(event_wakes_a_loop),
		ring_test(callback_may_queue),
		ring_test(nothing_is_queued_while_freeing),
		ring_test(endpoint_is_the_senders_own),
		ring_test(large_and_small_share_slots),
		ring_test(errno_is_left_alone),
	};

	return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
