/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Times, and by which clock they are.
 *
 * The kernel's own times are of CLOCK_MONOTONIC.  A task's times are by its time namespace, which
 * has the clocks but CLOCK_REALTIME shifted.  So what a task says is translated once, and kept
 * with the clock that it is by: to translate that too would be wrong as soon as somebody sets
 * that clock, or the machine sleeps.
 */
#ifndef KPOST_CLOCK_H
#define KPOST_CLOCK_H

#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/time_namespace.h>
#include <linux/timekeeping.h>

#include "../uapi/linux/kpost.h"

/* What says by which clock the deadline of an operation is. */
#define KPOST_CLOCK_FLAGS (KPOST_BOOTTIME | KPOST_REALTIME)

/* None said is the first. */
enum kpost_clock {
	KPOST_CLOCK_MONOTONIC,
	KPOST_CLOCK_BOOTTIME,
	KPOST_CLOCK_REALTIME,
	KPOST_CLOCKS,
};

/* Do @flags say no more than one? */
static inline bool kpost_clock_flags_ok(u32 flags)
{
	return (flags & KPOST_CLOCK_FLAGS) != KPOST_CLOCK_FLAGS;
}

static inline enum kpost_clock kpost_clock_of(u32 flags)
{
	if (likely(!(flags & KPOST_CLOCK_FLAGS)))
		return KPOST_CLOCK_MONOTONIC;
	return flags & KPOST_BOOTTIME ? KPOST_CLOCK_BOOTTIME : KPOST_CLOCK_REALTIME;
}

clockid_t kpost_clock_id(enum kpost_clock clock);
ktime_t kpost_clock_now(enum kpost_clock clock);
u64 kpost_deadline_here(ktime_t deadline, enum kpost_clock clock);
bool kpost_deadline_passed(u64 deadline, enum kpost_clock clock);
ktime_t kpost_deadline_on_host(u64 deadline, enum kpost_clock clock);
u64 kpost_time_shifted(u64 time);

/* A time of the kernel's by the task's clock, which few have shifted. */
static inline u64 kpost_time_here(u64 time)
{
#ifdef CONFIG_TIME_NS
	const struct timespec64 *ahead = &current->nsproxy->time_ns->offsets.monotonic;

	if (unlikely(ahead->tv_sec || ahead->tv_nsec))
		return kpost_time_shifted(time);
#endif
	return time;
}

#endif /* KPOST_CLOCK_H */
