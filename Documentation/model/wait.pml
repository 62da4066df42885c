/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wait.c, wait.h: waiters on the stacks of their tasks, and waking without a lock.
 *
 * Ghosts, which the module does not have: @frame, the function that has the waiter
 * on its stack has not returned; @outcome, with what its wait was ended.
 */
typedef Waiter {
	bool done;
	mtype result;
	byte room;
	bool sure;
	byte message;
	bool frame;
	mtype outcome
}

/*
 * A process runs in one go (atomic) but where it says that others may go on: before
 * it takes the lock, and between what it does without.
 */
chan others = [0] of { bit };
#define yield others!0

proctype scheduler()
{
	do
	:: others?_
	:: running == 0 ->
		break
	od
}

Waiter waiter[TASKS];
bool asleep[TASKS];	/* the state of the task, not of the waiter */
byte wakes_max = 2;	/* ARRAY_SIZE(wakes->tasks) */

/* struct kpost_wakes, of who has the lock */
byte wakes[2];
byte wakes_count;
bool more;

#ifdef PARKS
#define parked_count len(parking)
#else
#define parked_count 0
#define parked_tell(p) skip
#define parked_finish(p) skip
#define parked_told() skip
#endif

/* What the functions below need. */
#define LOCALS \
	bool patient; \
	mtype err = OK, seen = UNSET

#define wakes_full (wakes_count == wakes_max)

/* kpost_waiter_init() */
inline waiter_init(t)
{
	d_step {
		waiter[t].done = false;
		waiter[t].result = UNSET;
		waiter[t].message = NONE;
		waiter[t].outcome = UNSET;
		waiter[t].frame = true
	}
}

/* The function returns @err, or what the waiter was told.  No other outcome than that. */
inline waiter_return(t)
{
	d_step {
		assert((err == LEFT) == (waiter[t].outcome == UNSET));
		if
		:: err == OK ->
			assert(seen == waiter[t].outcome);
			err = seen
		:: else
		fi;
		seen = UNSET;
		waiter[t].done = false;
		waiter[t].result = UNSET;
		waiter[t].message = NONE;
		waiter[t].room = 0;
		waiter[t].sure = false;
		waiter[t].outcome = UNSET;
		waiter[t].frame = false
	}
}

/* kpost_waiter_done(): the store to @done is the last. */
inline waiter_done(t, told)
{
	d_step {
		assert(waiter[t].frame && waiter[t].outcome == UNSET);
		assert(wakes_count < wakes_max);
		wakes[wakes_count] = t;
		wakes_count++;
		waiter[t].outcome = told
	}
#ifdef WEAK_RELEASE
	waiter[t].done = true;
	yield;
	waiter[t].result = told
#else
	waiter[t].result = told;
	waiter[t].done = true
#endif
}

/*
 * kpost_waiter_wait().  A deadline or a signal may come at any time, unless the task is
 * @patient; @signal is what reaches those too.  The last choice stands for
 * schedule_hrtimeout_range(): it ends when somebody has woken the task, or it leaves.
 * One that may leave has done so already, and goes on when it gets the lock.
 */
inline waiter_wait(t, signal)
{
	if
	:: patient = true
	:: patient = false
	fi;
	do
	:: true ->
#ifdef WEAK_ACQUIRE
		seen = waiter[t].result;
#endif
#ifndef WEAK_SLEEP
		asleep[t] = true;
#endif
#if defined(WEAK_ACQUIRE) || defined(WEAK_RELEASE)
		yield;	/* else the task might as well come to this point later */
#endif
		if
		:: waiter[t].done ->
			err = OK;
			break
		:: else
		fi;
#ifdef WEAK_SLEEP
		yield;
		asleep[t] = true;
#endif
		if
		:: !asleep[t]
		:: !patient || signal ->
			err = LEFT;
			break
		fi
	od;
	asleep[t] = false;
	patient = false;
#ifndef WEAK_ACQUIRE
	if
	:: err == OK ->
		seen = waiter[t].result
	:: else
	fi
#endif
}

/* kpost_wakes_wake() */
inline wakes_wake()
{
	do
	:: wakes_count > 0 ->
		wakes_count--;
		asleep[wakes[wakes_count]] = false;	/* wake_up_process() */
		wakes[wakes_count] = 0
	:: else ->
		break
	od;
	parked_told()
}
