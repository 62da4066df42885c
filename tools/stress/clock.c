// SPDX-License-Identifier: GPL-2.0-only
/*
 * How late a task runs that is due: one on each processor sleeps for a few milliseconds
 * at a time, and notes what it woke up late by.  Where processors are shared with other
 * machines that can be much, and is nothing that kpost could help.  They are processes:
 * to fork one that has threads on all processors takes several times as long.
 */
#include <sched.h>

#include "stress.h"

#define PERIOD (10 * MS)
#define NOTES 256

struct watch {
	uint64_t due; /* when it should wake up next */
	unsigned int next;
	struct {
		uint64_t at;
		uint64_t late;
	} notes[NOTES];
};

static struct watch *watches;
static long cpus;

static void __attribute__((noreturn)) watch_main(struct watch *watch)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(watch - watches), &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (;;) {
		uint64_t due = now() + PERIOD, woke;
		struct timespec ts = { (time_t)(due / SECOND), (long)(due % SECOND) };

		__atomic_store_n(&watch->due, due, __ATOMIC_RELAXED);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		woke = now();
		if (woke - due < PERIOD)
			continue;
		watch->notes[watch->next % NOTES].late = woke - due;
		__atomic_store_n(&watch->notes[watch->next++ % NOTES].at, woke, __ATOMIC_RELEASE);
	}
}

void clock_watch(void)
{
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	watches = shared((size_t)cpus * sizeof(*watches));
	for (long i = 0; i < cpus; i++)
		if (!process_start())
			watch_main(&watches[i]);
}

/* How long, at most, a task that was due has not run, since that time. */
uint64_t starved_since(uint64_t since)
{
	uint64_t worst = 0, at = now();

	for (long i = 0; i < cpus; i++) {
		uint64_t due = __atomic_load_n(&watches[i].due, __ATOMIC_RELAXED);
		uint64_t late = due && at > due + PERIOD ? at - due : 0;

		for (int n = 0; n < NOTES; n++)
			if (__atomic_load_n(&watches[i].notes[n].at, __ATOMIC_ACQUIRE) >= since)
				late += watches[i].notes[n].late;
		if (late > worst)
			worst = late;
	}
	return worst;
}
