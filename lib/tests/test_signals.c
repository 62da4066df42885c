// SPDX-License-Identifier: MIT
/* What signals do to those that wait: the thread that leads, and those that follow it. */
#include "pipe_ring.h"

#include <pthread.h>
#include <signal.h>

#define SIGNALS 50

static struct kpost_sender *sender;
static unsigned int handled;

static void on_signal(int number)
{
	(void)number;
	__atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	handled = 0;
	sigaction(SIGUSR1, &action, NULL);
}

struct waiter {
	pthread_t thread;
	uint64_t deadline;
	bool flush;
	int result; /* 1 while it waits */
};

static void *wait_until_told(void *arg)
{
	struct waiter *waiter = arg;
	int ret = waiter->flush ? kpost_sender_flush(sender, waiter->deadline) :
				  kpost_sender_wait(sender, waiter->deadline);

	__atomic_store_n(&waiter->result, ret, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start(struct waiter *waiter, bool flush, uint64_t deadline)
{
	*waiter = (struct waiter){ .deadline = deadline, .flush = flush, .result = 1 };
	pthread_create(&waiter->thread, NULL, wait_until_told, waiter);
}

static bool ended(const struct waiter *waiter)
{
	return __atomic_load_n(&waiter->result, __ATOMIC_SEQ_CST) != 1;
}

/* One message that waits, a thread that leads, and with @follows one behind it. */
static void setup_waiters(struct waiter *leader, struct waiter *follower, bool flush,
			  int64_t milliseconds, bool follows)
{
	unsigned int i;

	sender = pipe_sender(64, 8, NULL, NULL);
	for (i = 0; i < PIPE_ROOM; i++)
		pipe_queue(sender, i);
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	for (i = 0; i < PIPE_ROOM; i++) {
		struct kpost_completion done;

		assert_int_equal(kpost_sender_reap(sender, &done, 1), 1);
	}
	pipe_queue(sender, i);
	start(leader, flush, follows ? 0 : kpost_deadline(milliseconds));
	pipe_until(sender_asleep(sender));
	if (follows) {
		start(follower, flush, kpost_deadline(milliseconds));
		pipe_until(sender_followers(sender));
	}
}

static void let_end(struct waiter *waiter)
{
	pthread_join(waiter->thread, NULL);
	assert_int_equal(waiter->result, 0);
}

/* The next round begins with an empty pipe. */
static void end(void)
{
	kpost_sender_free(sender);
	while (pipe_take() >= 0)
		;
}

static void make_room(void)
{
	pipe_expect(0, 1);
}

static void kick(struct waiter *waiter)
{
	pthread_kill(waiter->thread, SIGUSR1);
	usleep(1000);
}

static void restarting(bool flush, int64_t milliseconds, bool follows)
{
	struct waiter leader, follower, *kicked = follows ? &follower : &leader;

	handle(SA_RESTART);
	setup_waiters(&leader, &follower, flush, milliseconds, follows);
	while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) < SIGNALS && !ended(kicked))
		kick(kicked);
	assert_true(handled >= SIGNALS);
	assert_false(ended(kicked));
	make_room();
	let_end(&leader);
	if (follows)
		let_end(&follower);
	end();
}

static void restarting_handler_does_not_end_a_wait(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++)
		restarting(i & 1, i & 2 ? 60 * SECOND : -1, i & 4);
}

static void interrupting(bool flush, int64_t milliseconds, bool follows)
{
	struct waiter leader, follower, *kicked = follows ? &follower : &leader;

	handle(0);
	setup_waiters(&leader, &follower, flush, milliseconds, follows);
	while (!ended(kicked))
		kick(kicked);
	assert_int_equal(kicked->result, -EINTR);
	pthread_join(kicked->thread, NULL);
	make_room();
	if (follows)
		let_end(&leader);
	/* it has harmed nothing */
	assert_int_equal(kpost_sender_flush(sender, kpost_deadline(20 * SECOND)), 0);
	pipe_expect(1, PIPE_ROOM + 1);
	end();
}

static void other_handler_ends_a_wait(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++)
		interrupting(i & 1, i & 2 ? 60 * SECOND : -1, i & 4);
}

static void deadline_holds_under_signals(void **state)
{
	struct waiter leader, follower;
	unsigned int follows;

	(void)state;
	for (follows = 0; follows < 2; follows++) {
		struct waiter *kicked = follows ? &follower : &leader;

		handle(SA_RESTART);
		setup_waiters(&leader, &follower, true, 200, follows);
		while (!ended(kicked))
			kick(kicked);
		pthread_join(kicked->thread, NULL);
		assert_int_equal(kicked->result, -ETIMEDOUT);
		assert_in_range(kpost_deadline(0), kicked->deadline,
				kicked->deadline + 10000000000u);
		make_room();
		if (follows)
			let_end(&leader);
		end();
	}
}

/* A follower takes the lead when the leader has gone. */
static void lead_is_handed_on(void **state)
{
	struct waiter leader, follower;

	(void)state;
	handle(0);
	setup_waiters(&leader, &follower, true, -1, true);
	while (!ended(&leader))
		kick(&leader);
	pthread_join(leader.thread, NULL);
	assert_int_equal(leader.result, -EINTR);
	pipe_until(sender_asleep(sender));
	make_room();
	let_end(&follower);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(restarting_handler_does_not_end_a_wait),
		ring_test(other_handler_ends_a_wait),
		ring_test(deadline_holds_under_signals),
		ring_test(lead_is_handed_on),
	};

	return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
