// SPDX-License-Identifier: GPL-2.0-only
/* What is printed: a line per check, the table of sums, and the sum of all checks. */
#include <stdarg.h>

#include "stress.h"

static unsigned int passed, failed, skipped;

static const char *const titles[SUMS] = {
	[SUM_SENT] = "kernel: sent",
	[SUM_RECEIVED] = "kernel: received",
	[SUM_DROPPED] = "kernel: dropped",
	[SUM_QUEUED] = "kernel: queued",
	[SUM_SENDS] = "sends that succeeded",
	[SUM_RECEIPTS] = "received",
	[SUM_LEFT] = "taken out at the end",
	[SUM_WITHDRAWN] = "taken back by senders",
	[SUM_UNKNOWN_SENT] = "unknown, was sent",
	[SUM_UNKNOWN_UNSENT] = "unknown, was not",
	[SUM_IN_HAND] = "in a killed one's hand",
	[SUM_CALLS] = "calls that succeeded",
	[SUM_ANSWERED] = "replies delivered",
	[SUM_LATE] = "late replies",
	[SUM_RESET] = "calls reset",
	[SUM_RESUMED] = "calls gone on with",
	[SUM_KILLS] = "kills",
	[SUM_ENOMEM] = "ENOMEM",
	[SUM_EFAULT] = "EFAULT",
	[SUM_CANCELLED] = "cancelled, interrupted",
	[SUM_TIMED_OUT] = "timed out",
	[SUM_ROUNDS] = "rounds",
};

static void line(const char *begin, unsigned int number, const char *format, va_list args)
{
	printf("%s %u - ", begin, number);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
}

bool check(bool ok, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (ok)
		passed++;
	else
		failed++;
	line(ok ? "ok" : "not ok", passed + failed + skipped, format, args);
	va_end(args);
	return ok;
}

void check_skip(const char *format, ...)
{
	va_list args;

	skipped++;
	printf("ok %u # SKIP ", passed + failed + skipped);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void note(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* Rows that are zero everywhere say nothing, and so do parts that did not run. */
void report_table(const struct part *parts, size_t count)
{
	printf("\n%-24s", "");
	for (size_t i = 0; i < count; i++)
		if (parts[i].took)
			printf(" %10s", parts[i].name);
	putchar('\n');
	for (int sum = 0; sum < SUMS; sum++) {
		uint64_t any = 0;

		for (size_t i = 0; i < count; i++)
			any |= parts[i].sums[sum];
		if (!any)
			continue;
		printf("%-24s", titles[sum]);
		for (size_t i = 0; i < count; i++)
			if (parts[i].took)
				printf(" %10llu", (unsigned long long)parts[i].sums[sum]);
		putchar('\n');
	}
	printf("%-24s", "seconds");
	for (size_t i = 0; i < count; i++)
		if (parts[i].took)
			printf(" %10.1f", (double)parts[i].took / SECOND);
	printf("\n\n");
}

/* The last line; returns how many failed. */
unsigned int report_end(void)
{
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	fflush(stdout);
	return failed;
}
