/* SPDX-License-Identifier: GPL-2.0-only */
/* The processor time of this process, for bare.c and stub.c. */
#ifndef KPOST_BRIDGE_TESTS_USAGE_H
#define KPOST_BRIDGE_TESTS_USAGE_H

#include <sys/resource.h>

static inline double seconds_of(struct timeval tv)
{
	return tv.tv_sec + tv.tv_usec * 1e-6;
}

static inline double cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

#endif
