// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "waits": tasks wait in turn in every way and for random times, while others
 * send at random times.  No message lies there for a second with somebody waiting.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include "stress.h"

enum { BOXES = 4, WAITERS = 3 };

struct box {
	int fd;
	bool stop;
	uint64_t waits; /* ended */
	uint64_t messages; /* received */
	uint64_t sent;
	uint64_t slowest;
	uint64_t odd;
	unsigned int running;
};

struct task {
	pthread_t thread;
	struct box *box;
	unsigned int index;
};

static void interrupted(int sig)
{
	(void)sig;
}

static long wait_for_message(struct box *box, struct chance *chance, int epoll, uint64_t *sent_at)
{
	struct pollfd pollfd = { .fd = box->fd, .events = POLLIN };
	unsigned int way = chance_below(chance, 4);
	struct epoll_event event;
	uint64_t deadline;

	switch (way) {
	case 0:
		poll(&pollfd, 1, (int)chance_below(chance, 3));
		break;
	case 1:
		epoll_wait(epoll, &event, 1, (int)chance_below(chance, 3));
		break;
	default:
		deadline = way == 2 ? now() + chance_below(chance, 2000000) : now() + 10 * SECOND;
		return kpost_recv(box->fd, sent_at, sizeof(*sent_at), NULL, 0, deadline);
	}
	return kpost_recv(box->fd, sent_at, sizeof(*sent_at), NULL, KPOST_DONTWAIT, 0);
}

static void *waiter_main(void *data)
{
	struct task *task = data;
	struct box *box = task->box;
	struct chance chance = chance_of(5000 + (uint64_t)box->fd * WAITERS + task->index);
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, box->fd, &event))
		die("epoll: %s", strerror(errno));
	for (;;) {
		uint64_t sent_at = 0, took, starved;
		long ret = wait_for_message(box, &chance, epoll, &sent_at);

		__atomic_add_fetch(&box->waits, 1, __ATOMIC_RELAXED);
		if (ret == -EAGAIN || ret == -ETIMEDOUT || ret == -EINTR)
			continue;
		if (ret != sizeof(sent_at)) {
			__atomic_add_fetch(&box->odd, 1, __ATOMIC_RELAXED);
			break;
		}
		if (!sent_at)
			break; /* the end */
		__atomic_add_fetch(&box->messages, 1, __ATOMIC_RELAXED);
		took = now() - sent_at;
		if (took < SECOND / 10)
			continue;
		starved = starved_since(sent_at);
		took = took > starved ? took - starved : 0;
		if (took > __atomic_load_n(&box->slowest, __ATOMIC_RELAXED))
			__atomic_store_n(&box->slowest, took, __ATOMIC_RELAXED);
	}
	close(epoll);
	__atomic_sub_fetch(&box->running, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *sender_main(void *data)
{
	struct task *task = data;
	struct box *box = task->box;
	struct chance chance = chance_of(6000 + task->index);
	uint64_t at;

	while (!__atomic_load_n(&box->stop, __ATOMIC_ACQUIRE)) {
		unsigned int burst = 1 + chance_below(&chance, 4);

		while (burst--) {
			at = now();
			if (kpost_send(box->fd, &at, sizeof(at), 0, 0, 0))
				box->odd++;
			else
				box->sent++;
		}
		if (chance_below(&chance, 3))
			pause_ns(chance_below(&chance, 1000000));
	}
	at = 0;
	for (int i = 0; i < WAITERS; i++)
		kpost_send(box->fd, &at, sizeof(at), 0, 0, 0);
	return NULL;
}

static uint64_t waits_of(const struct box *boxes)
{
	uint64_t sum = 0;

	for (int i = 0; i < BOXES; i++)
		sum += __atomic_load_n(&boxes[i].waits, __ATOMIC_RELAXED);
	return sum;
}

/* Until enough have waited; now and then a waiter is interrupted. */
static void watch(struct part *part, struct box *boxes, struct task waiters[BOXES][WAITERS])
{
	struct chance chance = chance_of(7000);

	while (waits_of(boxes) < part->goal && now() < part->end) {
		unsigned int one = chance_below(&chance, BOXES * WAITERS);

		pthread_kill(waiters[one / WAITERS][one % WAITERS].thread, SIGUSR1);
		pause_ns(MS);
	}
}

void run_waits(struct part *part)
{
	static struct task senders[BOXES], waiters[BOXES][WAITERS];
	struct sigaction action = { .sa_handler = interrupted };
	static struct box boxes[BOXES];
	uint64_t slowest = 0, odd = 0;
	bool ended = true;

	sigaction(SIGUSR1, &action, NULL);
	for (unsigned int i = 0; i < BOXES; i++) {
		boxes[i] = (struct box){ .running = WAITERS };
		boxes[i].fd =
			open_mailbox(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, 1u << i * 2, 0, 0);
		for (unsigned int n = 0; n < WAITERS; n++) {
			waiters[i][n] = (struct task){ .box = &boxes[i], .index = n };
			pthread_create(&waiters[i][n].thread, NULL, waiter_main, &waiters[i][n]);
		}
		senders[i] = (struct task){ .box = &boxes[i], .index = i };
		pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]);
	}
	watch(part, boxes, waiters);
	for (int i = 0; i < BOXES; i++) {
		struct kpost_stat st;

		__atomic_store_n(&boxes[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(senders[i].thread, NULL);
		if (!until(!__atomic_load_n(&boxes[i].running, __ATOMIC_ACQUIRE)))
			ended = false;
		else
			for (int n = 0; n < WAITERS; n++)
				pthread_join(waiters[i][n].thread, NULL);
		st = stat_of(boxes[i].fd);
		part->sums[SUM_SENT] += st.sent;
		part->sums[SUM_RECEIVED] += st.received;
		part->sums[SUM_SENDS] += boxes[i].sent + WAITERS;
		part->sums[SUM_RECEIPTS] += boxes[i].messages + WAITERS;
		odd += boxes[i].odd + (st.sent != st.received) +
		       (boxes[i].sent != boxes[i].messages);
		if (boxes[i].slowest > slowest)
			slowest = boxes[i].slowest;
		close(boxes[i].fd);
	}
	part->sums[SUM_ROUNDS] = waits_of(boxes);
	check(ended, "%s: all who wait come to their end", part->name);
	check(!odd, "%s: each message is received once (%llu not)", part->name,
	      (unsigned long long)odd);
	check(slowest < SECOND,
	      "%s: none of %llu waits lasts a second with a message there (%.3f s)", part->name,
	      (unsigned long long)part->sums[SUM_ROUNDS], (double)slowest / SECOND);
}
