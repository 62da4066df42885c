// SPDX-License-Identifier: GPL-2.0-only
/* The two clocks. */
#include "bench.h"

#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define BATCHES 20
#define LONG_BATCHES 5
#define RUNS 11
#define RUN_NS 100000000ull
#define SAMPLES 200000 /* of one run, at most */

enum clock the_clock;

/*
 * The plugin finds these by their bytes: no-operations with an address that nobody uses.
 * What is between begin and end is what it counts.
 */
#ifdef __x86_64__
#define MARK(name) __asm__ volatile("nopl " name "(%%rax)" ::: "memory")
#define HAVE_INSTRUCTIONS 1
#else
#define MARK(name) ((void)0)
#define HAVE_INSTRUCTIONS 0
#endif
#define MARK_BEGIN() MARK("0x6b70a001")
#define MARK_END() MARK("0x6b70a002")

void mark_case(void)
{
	MARK("0x6b70a003");
}

/* Work left over from the boot or from the case before. */
void rest(void)
{
	static bool rested;
	struct timespec ts = { rested ? 0 : 2, rested ? 20000000 : 0 };

	rested = true;
	nanosleep(&ts, NULL);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t now_instructions(void)
{
#if HAVE_INSTRUCTIONS
	return __rdtsc();
#else
	return now_ns();
#endif
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double sorted_at(const double *sorted, size_t count, double part)
{
	size_t at = (size_t)((double)count * part);

	return sorted[at < count ? at : count - 1];
}

/* So few that the least batch of twenty has no tick of the timer in it. */
static unsigned long steps_of_batch(const struct load *load, struct pace pace)
{
	unsigned long steps = load->size > 65536 ? 4 : load->size > 4096 ? 20 : 100;

	if (pace.whole)
		return steps * 30;
	return pace.messages >= steps ? 2 : steps / pace.messages;
}

/*
 * Alone, the least batch is the one to take: one without a tick of the timer. Where others
 * take part, that can be one in which they met in a way that is rare.
 */
static unsigned int rank_of(unsigned int batches, struct pace pace)
{
	if (pace.whole)
		return batches / 2;
	return peers_are_there() ? batches / 4 : 0;
}

static void measure_instructions(struct figure *figure, void (*step)(void *), void *arg,
				 const struct load *load, struct pace pace)
{
	unsigned long steps = steps_of_batch(load, pace), i;
	unsigned int batches = pace.whole ? LONG_BATCHES : BATCHES, batch;
	double values[BATCHES];

	for (i = 0; i < steps && i < 200; i++)
		step(arg);
	for (batch = 0; batch < batches; batch++) {
		uint64_t began = now_instructions();

		MARK_BEGIN();
		for (i = 0; i < steps; i++)
			step(arg);
		MARK_END();
		values[batch] =
			(double)(now_instructions() - began) / (double)(steps * pace.messages);
	}
	qsort(values, batches, sizeof(*values), compare);
	figure->rank = rank_of(batches, pace);
	figure->value = values[figure->rank];
	figure->messages = batches * steps * pace.messages;
	figure->unit = "instructions";
}

/* One run: the time of each step, sorted. Returns how many. */
static size_t time_run(double *samples, void (*step)(void *), void *arg)
{
	uint64_t began = now_ns(), last = began, next;
	size_t count = 0;

	while (count < SAMPLES && last - began < RUN_NS) {
		step(arg);
		next = now_ns();
		samples[count++] = (double)(next - last);
		last = next;
	}
	return count;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void measure_time(struct figure *figure, void (*step)(void *), void *arg, struct pace pace)
{
	double *samples = calloc((size_t)RUNS * SAMPLES, sizeof(double)), values[RUNS];
	double look, sum, per = (double)pace.messages;
	size_t count, all = 0, run, i;

	count = time_run(samples, nothing, NULL);
	qsort(samples, count, sizeof(double), compare);
	look = sorted_at(samples, count, 0.5); /* what a look at the clock costs */
	time_run(samples, step, arg);
	for (run = 0; run < RUNS; run++) {
		double *own = samples + all;

		count = time_run(own, step, arg);
		for (sum = 0, i = 0; i < count; i++) {
			own[i] = (own[i] > look ? own[i] - look : 0) / per;
			sum += own[i];
		}
		qsort(own, count, sizeof(double), compare);
		values[run] = pace.whole ? sum / (double)count : sorted_at(own, count, 0.5);
		all += count;
	}
	qsort(samples, all, sizeof(double), compare);
	qsort(values, RUNS, sizeof(double), compare);
	figure->value = values[RUNS / 2];
	figure->spread = (values[RUNS - 1] - values[0]) / figure->value;
	if (!pace.whole) {
		figure->p99 = sorted_at(samples, all, 0.99);
		figure->p999 = sorted_at(samples, all, 0.999);
	}
	figure->messages = all * pace.messages;
	figure->unit = "ns";
	free(samples);
}

void measure(struct figure *figure, void (*step)(void *), void *arg, const struct load *load,
	     struct pace pace)
{
	rest();
	if (the_clock == CLOCK_INSTRUCTIONS)
		measure_instructions(figure, step, arg, load, pace);
	else
		measure_time(figure, step, arg, pace);
}
