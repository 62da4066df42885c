// SPDX-License-Identifier: GPL-2.0-only
/*
 * What things take of the kernel's memory: as much as there is less of it after many were
 * made, whatever it is made of.
 */
#include "bench.h"

#include <time.h>

#define LINES 4000
#define ENDPOINTS 10000

/* Not what programs and the page cache have. */
static double kernel_bytes(void)
{
	static const char *const theirs[] = { "MemFree", "Buffers", "Cached", "AnonPages" };
	struct timespec ts = { 1, 0 };
	char line[128], name[32];
	unsigned long value;
	double bytes = 0;
	FILE *file;

	/* What was freed may take RCU's time. */
	nanosleep(&ts, NULL);
	file = fopen("/proc/meminfo", "re");
	if (!file)
		skip("no /proc/meminfo");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%31[^:]: %lu", name, &value) != 2)
			continue;
		if (!strcmp(name, "MemTotal"))
			bytes += (double)value * 1024;
		for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
			if (!strcmp(name, theirs[i]))
				bytes -= (double)value * 1024;
	}
	fclose(file);
	return bytes;
}

static void each(struct run *run, double before, unsigned long count)
{
	run->figure->value = (kernel_bytes() - before) / (double)count;
	run->figure->messages = count;
	run->figure->unit = "bytes";
}

void run_memory_line(struct run *run)
{
	struct line *lines = calloc(LINES, sizeof(*lines));
	double before;
	int ret;

	memset(lines, 1, LINES * sizeof(*lines));
	before = kernel_bytes();
	for (unsigned int i = 0; i < LINES; i++) {
		ret = run->transport->open(&lines[i], &run->load);
		if (ret)
			skip("%s: cannot open so many: %s", run->transport->name, strerror(-ret));
	}
	each(run, before, LINES);
}

bool fits_memory_endpoint(const struct transport *transport)
{
	return transport->another;
}

void run_memory_endpoint(struct run *run)
{
	double before = kernel_bytes();

	for (unsigned int i = 0; i < ENDPOINTS; i++)
		if (run->transport->another() < 0)
			die("cannot open an endpoint more");
	each(run, before, ENDPOINTS);
}

void run_memory_message(struct run *run)
{
	double before = kernel_bytes();

	for (unsigned long i = 0; i < run->load.depth; i++)
		run->transport->send(run->lines, run->buf, run->load.size);
	each(run, before, run->load.depth);
}
