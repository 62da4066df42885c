// SPDX-License-Identifier: GPL-2.0-only
#include "clock.h"

clockid_t kpost_clock_id(enum kpost_clock clock)
{
	switch (clock) {
	case KPOST_CLOCK_BOOTTIME:
		return CLOCK_BOOTTIME;
	case KPOST_CLOCK_REALTIME:
		return CLOCK_REALTIME;
	default:
		return CLOCK_MONOTONIC;
	}
}

ktime_t kpost_clock_now(enum kpost_clock clock)
{
	switch (clock) {
	case KPOST_CLOCK_BOOTTIME:
		return ktime_get_boottime();
	case KPOST_CLOCK_REALTIME:
		return ktime_get_real();
	default:
		return ktime_get();
	}
}

/* How far the task's own @clock is ahead, which its time namespace may have shifted. */
static s64 clock_ahead(enum kpost_clock clock)
{
	struct timespec64 shift = {};

	if (clock == KPOST_CLOCK_MONOTONIC)
		timens_add_monotonic(&shift);
	else if (clock == KPOST_CLOCK_BOOTTIME)
		timens_add_boottime(&shift);
	return timespec64_to_ns(&shift);
}

/*
 * @time of a clock by one that is so far @ahead of it, no less than 0.  The last time that there is
 * stands for one that never comes, by each clock.
 */
static u64 time_ahead(u64 time, s64 ahead)
{
	if (time == KTIME_MAX)
		return time;
	if (ahead > 0)
		return min_t(u64, time + ahead, KTIME_MAX);
	return max_t(s64, time + ahead, 0);
}

u64 kpost_time_shifted(u64 time)
{
	return time_ahead(time, clock_ahead(KPOST_CLOCK_MONOTONIC));
}

/* A deadline of the task's, by the kernel's @clock. */
ktime_t kpost_deadline_on_host(u64 deadline, enum kpost_clock clock)
{
	return time_ahead(deadline, -clock_ahead(clock));
}

/*
 * When it is @time by the kernel's @clock, by its CLOCK_MONOTONIC, as far as that can be told: if
 * nobody sets the one, and the machine does not sleep.
 */
static u64 clock_to_monotonic(u64 time, enum kpost_clock clock)
{
	if (clock == KPOST_CLOCK_MONOTONIC)
		return time;
	return time_ahead(time,
			  -ktime_mono_to_any(0, clock == KPOST_CLOCK_BOOTTIME ? TK_OFFS_BOOT :
										TK_OFFS_REAL));
}

/*
 * A deadline, by the kernel's @clock, by the task's CLOCK_MONOTONIC.  One that was before that
 * clock's beginning is not none.
 */
u64 kpost_deadline_here(ktime_t deadline, enum kpost_clock clock)
{
	return max_t(u64, kpost_time_here(clock_to_monotonic(deadline, clock)), 1);
}

/* Too late for what has to wait? */
bool kpost_deadline_passed(u64 deadline, enum kpost_clock clock)
{
	return deadline && kpost_clock_now(clock) >= kpost_deadline_on_host(deadline, clock);
}
