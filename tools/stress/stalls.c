// SPDX-License-Identifier: GPL-2.0-only
/*
 * The part "stalls": many are stuck on memory that is never filled in, in all that
 * they may do on a mailbox.  Others go on there within 100 ms, and the stuck die of
 * SIGKILL within a second.
 */
#include <pthread.h>
#include <signal.h>

#include "stress.h"
#include "stuckpage.h"

enum { THREADS = 20, PROBES = 20 };

enum { SEND_PAYLOAD, SEND_STRUCT, RECV_PAYLOAD, RECV_STRUCT, CALL_PAYLOAD, STAT, WRITE, STALLS };

struct stalled {
	pthread_t thread;
	int fd;
	char *page;
	unsigned int kind;
	bool *started;
};

static void *stalled_main(void *data)
{
	struct stalled *stalled = data;
	struct kpost_send send = { .buf = (uintptr_t)stalled->page, .len = 100 };
	struct kpost_recv recv = { .buf = (uintptr_t)stalled->page, .len = 100 };
	struct kpost_call call = { .buf = (uintptr_t)stalled->page, .len = 100 };

	__atomic_store_n(stalled->started, true, __ATOMIC_RELEASE);
	switch (stalled->kind) {
	case SEND_PAYLOAD:
		operate(stalled->fd, KPOST_IOC_SEND, &send);
		break;
	case RECV_PAYLOAD:
		operate(stalled->fd, KPOST_IOC_RECV, &recv);
		break;
	case CALL_PAYLOAD:
		operate(stalled->fd, KPOST_IOC_CALL, &call);
		break;
	case SEND_STRUCT:
		operate(stalled->fd, KPOST_IOC_SEND, stalled->page);
		break;
	case RECV_STRUCT:
		operate(stalled->fd, KPOST_IOC_RECV, stalled->page);
		break;
	case WRITE:
		if (write(stalled->fd, stalled->page, 100) == 100)
			_exit(1);
		break;
	default:
		operate(stalled->fd, KPOST_IOC_STAT, stalled->page);
	}
	/* None can get here. */
	_exit(1);
}

static void victim_main(int fd, bool *started)
{
	static struct stalled stalled[THREADS];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages = stuck_pages(THREADS);

	for (unsigned int i = 0; i < THREADS; i++) {
		stalled[i] = (struct stalled){ .fd = fd,
					       .page = pages + i * page,
					       .kind = i % STALLS,
					       .started = &started[i] };
		if (pthread_create(&stalled[i].thread, NULL, stalled_main, &stalled[i]))
			_exit(1);
	}
	for (;;)
		pause();
}

/* What others do on the same mailbox, and on another, takes how long at most? */
static uint64_t probe(int fd, int other, uint64_t *odd)
{
	uint64_t slowest = 0;
	char buf[100] = { 0 };

	for (int i = 0; i < PROBES; i++) {
		int on = i & 1 ? fd : other;
		uint64_t began = now(), took, starved;

		*odd += kpost_send(on, buf, sizeof(buf), 1, KPOST_DONTWAIT, 0) != 0;
		*odd += kpost_recv(on, buf, sizeof(buf), NULL, KPOST_DONTWAIT, 0) != sizeof(buf);
		stat_of(on);
		took = now() - began;
		starved = starved_since(began);
		took = took > starved ? took - starved : 0;
		if (took > slowest)
			slowest = took;
	}
	return slowest;
}

static bool all_started(const bool *started)
{
	for (int i = 0; i < THREADS; i++)
		if (!__atomic_load_n(&started[i], __ATOMIC_ACQUIRE))
			return false;
	return true;
}

void run_stalls(struct part *part)
{
	uint64_t slowest = 0, slowest_death = 0, took, odd = 0, stalled = 0, early = 0;
	bool *started = shared(THREADS * sizeof(bool));
	int fd, other;

	if (!stuck_pages(1)) {
		check_skip("%s: this kernel has no userfaultfd", part->name);
		return;
	}
	fd = open_mailbox(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, 64, 0, 0);
	other = open_mailbox(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, 64, 0, 0);
	do {
		pid_t pid;

		memset(started, 0, THREADS * sizeof(bool));
		/* For those who are to be stuck with one. */
		for (unsigned int i = 0; i < THREADS; i++) {
			char buf[100] = { 0 };

			if (i % STALLS == RECV_PAYLOAD)
				odd += kpost_send(fd, buf, sizeof(buf), 0, 0, 0) != 0;
		}
		pid = process_start();
		if (!pid)
			victim_main(fd, started);
		odd += !until(all_started(started));
		took = probe(fd, other, &odd);
		if (took > slowest)
			slowest = took;
		early += kill(pid, 0) != 0;
		took = process_kill(pid);
		if (took > slowest_death)
			slowest_death = took;
		/* What they had in hand has come back. */
		for (;;) {
			char buf[100];

			if (kpost_recv(fd, buf, sizeof(buf), NULL, KPOST_DONTWAIT, 0) < 0)
				break;
			part->sums[SUM_LEFT]++;
		}
		odd += stat_of(fd).queued_messages || stat_of(fd).waiting_receivers;
		part->sums[SUM_KILLS]++;
		stalled += THREADS;
	} while (stalled < part->goal && now() < part->end);
	part->sums[SUM_SENT] = stat_of(fd).sent + stat_of(other).sent;
	part->sums[SUM_RECEIVED] = stat_of(fd).received + stat_of(other).received;
	part->sums[SUM_ROUNDS] = stalled;
	close(fd);
	close(other);
	check(!odd && !early && stalled, "%s: beside %llu stalled ones others go on (%llu do not)",
	      part->name, (unsigned long long)stalled, (unsigned long long)(odd + early));
	check(slowest < 100 * MS, "%s: within 100 ms (%.1f ms)", part->name, (double)slowest / MS);
	check(slowest_death < SECOND, "%s: the stalled die within a second (%.3f s)", part->name,
	      (double)slowest_death / SECOND);
}
