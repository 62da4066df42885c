// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts "unload" and "reload": the module goes when nothing uses it any more, then
 * at once, and not before.
 */
#include <pthread.h>

#include "stress.h"

enum { OPENERS = 3 };

struct opener {
	pthread_t thread;
	bool *stop;
	uint64_t opened;
	uint64_t odd;
	uint64_t closed_at; /* its last endpoint */
};

/* Opens, uses and closes, whether the module is there or not. */
static void *opener_main(void *data)
{
	struct opener *opener = data;
	char byte = 'x';

	while (!__atomic_load_n(opener->stop, __ATOMIC_ACQUIRE)) {
		int fd = kpost_open(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, NULL, 0);

		if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO) {
			sched_yield();
			continue;
		}
		if (fd < 0 || kpost_send(fd, &byte, 1, 0, 0, 0) ||
		    kpost_recv(fd, &byte, 1, NULL, 0, 0) != 1)
			opener->odd++;
		if (fd >= 0)
			close(fd);
		opener->opened++;
	}
	opener->closed_at = now();
	return NULL;
}

/*
 * While an endpoint is open and others come and go, it is refused; once the last has
 * gone it is done within a second.
 */
static bool unload_round(struct part *part, uint64_t *slowest)
{
	int pin = open_mailbox(NULL, SEND_RECV, KPOST_OPEN_ANONYMOUS, 0, 0, 0);
	struct opener openers[OPENERS];
	bool stop = false, good = true;
	uint64_t last, took, starved;
	int err;

	for (int i = 0; i < OPENERS; i++) {
		openers[i] = (struct opener){ .stop = &stop };
		pthread_create(&openers[i].thread, NULL, opener_main, &openers[i]);
	}
	for (int i = 0; i < 5; i++) {
		err = module_unload();
		good &= err == -EWOULDBLOCK || err == -EBUSY;
		sched_yield();
	}
	/* Now it may go at any moment that none of them is in it. */
	close(pin);
	err = module_unload();
	good &= !err || err == -EWOULDBLOCK || err == -EBUSY;
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	last = 0;
	for (int i = 0; i < OPENERS; i++) {
		pthread_join(openers[i].thread, NULL);
		good &= !openers[i].odd;
		if (openers[i].closed_at > last)
			last = openers[i].closed_at;
	}
	if (err)
		good &= until((err = module_unload()) == 0);
	took = now() - last;
	starved = starved_since(last);
	took = took > starved ? took - starved : 0;
	if (took > *slowest)
		*slowest = took;
	part->sums[SUM_ROUNDS]++;
	return good && !err && access("/dev/kpost", F_OK) && !module_load();
}

void run_unload(struct part *part)
{
	uint64_t slowest = 0, wrong = 0;

	hurry(2);
	do
		wrong += !unload_round(part, &slowest);
	while (part->sums[SUM_ROUNDS] < part->goal && now() < part->end && !wrong);
	hurry_no_more();
	check(!wrong && part->sums[SUM_ROUNDS],
	      "%s: refused while anything lives, and possible after, %llu times", part->name,
	      (unsigned long long)part->sums[SUM_ROUNDS]);
	check(slowest < SECOND, "%s: done within a second after the last has gone (%.3f s)",
	      part->name, (double)slowest / SECOND);
}

void run_reload(struct part *part)
{
	uint64_t slab, wrong = 0;

	hurry(1);
	/* The first few fill caches. */
	for (int i = 0; i < 3; i++)
		wrong += module_unload() || module_load();
	slab = slab_bytes();
	do {
		wrong += module_unload() || module_load();
		part->sums[SUM_ROUNDS]++;
	} while (part->sums[SUM_ROUNDS] < part->goal && now() < part->end && !wrong);
	hurry_no_more();
	check(!wrong && part->sums[SUM_ROUNDS], "%s: loaded and unloaded %llu times", part->name,
	      (unsigned long long)part->sums[SUM_ROUNDS]);
	check_slab(part, slab, 4 << 20);
}
