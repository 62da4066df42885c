// SPDX-License-Identifier: GPL-2.0-only
/*
 * What things take of the kernel's memory: as much as there is less of it after many were
 * made, whatever it is made of.
 */
#include "bench.h"

#include <time.h>

#define LINES 10000
#define ENDPOINTS 20000

/* The sum of what @path says of one of @names; a unit is @unit bytes. */
static double sum_of(const char *path, const char *const *names, double unit)
{
	char line[256], name[32];
	unsigned long value;
	double sum = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		skip("no %s", path);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %31[^: ]: %lu", name, &value) != 2)
			continue;
		for (size_t i = 0; names[i]; i++)
			if (!strcmp(name, names[i]))
				sum += (double)value * unit;
	}
	fclose(file);
	return sum;
}

/*
 * Not what programs and the page cache have, nor the free pages that each processor keeps
 * for itself.
 */
static double kernel_bytes(void)
{
	static const char *const total[] = { "MemTotal", NULL };
	static const char *const theirs[] = { "MemFree", "Buffers", "Cached", "AnonPages", NULL };
	static const char *const kept[] = { "count", NULL };
	struct timespec ts = { 1, 0 };

	/* What was freed may take RCU's time. */
	nanosleep(&ts, NULL);
	return sum_of("/proc/meminfo", total, 1024) - sum_of("/proc/meminfo", theirs, 1024) -
	       sum_of("/proc/zoneinfo", kept, (double)sysconf(_SC_PAGESIZE));
}

/*
 * Makes @count things, one at a time. The first tenth fills what was free in slabs that
 * are there already, and is not counted.
 */
static void make_all(struct run *run, unsigned long count,
		     void (*make)(struct run *run, unsigned long number))
{
	double before = 0;

	for (unsigned long i = 0; i < count; i++) {
		if (i == count / 10)
			before = kernel_bytes();
		make(run, i);
	}
	run->figure->messages = count - count / 10;
	run->figure->value = (kernel_bytes() - before) / (double)run->figure->messages;
	run->figure->unit = "bytes";
}

static void make_line(struct run *run, unsigned long number)
{
	static struct line lines[LINES];
	int ret = run->transport->open(&lines[number], &run->load);

	if (ret)
		skip("%s: cannot open so many: %s", run->transport->name, strerror(-ret));
}

void run_memory_line(struct run *run)
{
	make_all(run, LINES, make_line);
}

bool fits_memory_endpoint(const struct transport *transport)
{
	return transport->another;
}

static void make_endpoint(struct run *run, unsigned long number)
{
	(void)number;
	if (run->transport->another() < 0)
		die("cannot open an endpoint more");
}

void run_memory_endpoint(struct run *run)
{
	make_all(run, ENDPOINTS, make_endpoint);
}

static void make_message(struct run *run, unsigned long number)
{
	(void)number;
	run->transport->send(run->lines, run->buf, run->load.size);
}

void run_memory_message(struct run *run)
{
	make_all(run, run->load.depth, make_message);
}
