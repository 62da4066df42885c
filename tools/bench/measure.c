// SPDX-License-Identifier: GPL-2.0-only
/* The two clocks. */
#include "bench.h"

#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define BATCHES 20
#define LONG_BATCHES 5
#define WARM_NS 20000000ull
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

/* Work left over from the boot or from the case before; among rounds that is little. */
static void rest(void)
{
	bool once = the_clock == CLOCK_INSTRUCTIONS;
	struct timespec ts = { once ? 2 : 0, once ? 0 : 20000000 };

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

/* The time of each step, for so long. Returns how many. */
static size_t time_steps(double *samples, void (*step)(void *), void *arg, uint64_t ns)
{
	uint64_t began = now_ns(), last = began, next;
	size_t count = 0;

	while (count < SAMPLES && last - began < ns) {
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
	double *samples = calloc(SAMPLES, sizeof(double)), per = (double)pace.messages;
	double look, sum = 0;
	size_t count, i;

	count = time_steps(samples, nothing, NULL, WARM_NS);
	qsort(samples, count, sizeof(double), compare);
	look = sorted_at(samples, count, 0.5); /* what a look at the clock costs */
	time_steps(samples, step, arg, WARM_NS);
	count = time_steps(samples, step, arg, RUN_NS);
	for (i = 0; i < count; i++) {
		samples[i] = (samples[i] > look ? samples[i] - look : 0) / per;
		sum += samples[i];
	}
	qsort(samples, count, sizeof(double), compare);
	figure->value = pace.whole ? sum / (double)count : sorted_at(samples, count, 0.5);
	if (!pace.whole) {
		figure->p99 = sorted_at(samples, count, 0.99);
		figure->p999 = sorted_at(samples, count, 0.999);
	}
	figure->messages = count * pace.messages;
	figure->unit = "ns";
	free(samples);
}

unsigned int rounds(void)
{
	return the_clock == CLOCK_TIME ? ROUNDS : 1;
}

void figures_join(struct figure *figures, unsigned int count)
{
	double values[ROUNDS], p99[ROUNDS], p999[ROUNDS];

	for (unsigned int i = 0; i < count; i++) {
		values[i] = figures[i].value;
		p99[i] = figures[i].p99;
		p999[i] = figures[i].p999;
		figures->messages += i ? figures[i].messages : 0;
	}
	qsort(values, count, sizeof(double), compare);
	qsort(p99, count, sizeof(double), compare);
	qsort(p999, count, sizeof(double), compare);
	figures->value = values[count / 2];
	figures->p99 = p99[count / 2];
	figures->p999 = p999[count / 2];
	if (count > 1)
		figures->spread = (values[count - 1] - values[0]) / figures->value;
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
