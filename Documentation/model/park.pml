/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * park.c: receives that wait in io_uring without a task, each in a ring of its own.
 *
 * Ghosts: @told, it is in the struct kpost_wakes of who has the lock, or had it last; @taken, a
 * message was, by its work.
 */
typedef Parked {
	bool done;
	mtype why;
	bool counted;	/* among @told_count: its round is the mailbox's */
	bool told;
	bool work;	/* was added, and is to run */
	bool marked;	/* to be asked back */
	bool begun;	/* to be found by KPOST_IOC_CANCEL */
	bool armed, timing;	/* the timer; the work that it has queued */
	byte refs;
	mtype result;
	bool taken
}

Parked parked[PARKED];
chan parking = [PARKED] of { byte };	/* mailbox->parking->list */
byte told_count;	/* mailbox->parking->told */
bool nudging;	/* mailbox->parking->nudge is queued */
bool ring_locked[PARKED], ring_dying[PARKED];

inline ring_lock(p)
{
	yield;
	!ring_locked[p] ->
	ring_locked[p] = true
}

inline ring_unlock(p)
{
	ring_locked[p] = false
}

/* parked_done() */
inline parked_done(p)
{
	d_step {
		assert(locked && parked[p].refs > 0);
		assert(!parked[p].told && !parked[p].work && parked[p].result == UNSET);
		parked[p].done = true;
		parked[p].told = true
	}
}

/* kpost_parked_told() */
inline parked_told()
{
	d_step {
		parked[0].work = parked[0].work || parked[0].told;
		parked[0].told = false;
		parked[PARKED - 1].work = parked[PARKED - 1].work || parked[PARKED - 1].told;
		parked[PARKED - 1].told = false
	}
}

inline count_told(p)
{
	d_step {
		assert(!parked[p].counted);
		parked[p].counted = true;
		told_count++
	}
}

inline uncount_told(p)
{
	d_step {
		if
#ifndef WEAK_COUNT
		:: parked[p].counted ->
			parked[p].counted = false;
			told_count--
#endif
		:: else
		fi
	}
}

inline tell_first(p)
{
	parking?p;
	waiting_receivers--;
	count_told(p);
	parked_done(p);
	p = 0
}

/* enlist(); last, or @first, which makes no difference to what is proved here */
inline enlist(p)
{
	if
#ifndef WEAK_AGAIN
	:: len(queue) > 0 || finished ->
		parked_done(p)
#endif
#ifndef WEAK_WHY
	:: parked[p].why != UNSET ->
		parked_done(p)
#endif
	:: else ->
		parked[p].done = false;
		parking!p;
		waiting_receivers++;
		uncount_told(p)
	fi
}

/* kpost_parked_tell(); the list's first is noted in @p */
inline parked_tell(p)
{
	if
	:: len(parking) > 0 && told_count < messages ->
		tell_first(p)
	:: else
	fi;
#ifndef WEAK_NUDGE
	nudging = nudging || len(parking) > 0
#endif
}

/* kpost_parked_finish() */
inline parked_finish(p)
{
	do
#ifndef WEAK_FINISH_PARKED
	:: len(parking) > 0 ->
		tell_first(p)
#endif
	:: else ->
		break
	od
}

/* parked_end() */
inline parked_end(p, reason)
{
	yield;
	lock();
	assert(parked[p].refs > 0);
	if
	:: parked[p].why == UNSET || reason == ECANCELED ->
		parked[p].why = reason
	:: else
	fi;
	if
#ifdef WEAK_ONCE
	:: true ->
		parking??eval(p);
#else
	:: !parked[p].done ->
		assert(parking??[eval(p)]);
		parking??eval(p);
#endif
		waiting_receivers--;
		count_told(p);
		parked_done(p)
	:: else
	fi;
	mailbox_unlock()
}

/* kpost_parked_return() */
inline parked_return(p)
{
	if
	:: parked[p].marked ->
		parked[p].marked = false;
		parked_end(p, ECANCELED)
	:: else
	fi
}

/* parked_complete() */
inline parked_complete(p)
{
#ifndef WEAK_TIMER
	parked[p].armed = false;
	!parked[p].timing ->
#endif
	d_step {
		assert(parked[p].result == UNSET && !parked[p].told && !parked[p].work);
		assert(!parking??[eval(p)] && !parked[p].counted);
		parked[p].begun = false;
		parked[p].marked = false;
		parked[p].result = err;
		parked[p].refs--
	}
}

/* receive_try(): EAGAIN if it has to wait */
inline receive_try(p)
{
	yield;
	lock();
	if
	:: len(queue) > 0 ->
		queue?_, got;
		assert(!message[got].freed && is_first(got));
		message[got].state = TAKEN;
		unlock();
		yield;
		if
		:: true ->
			part = got;
			receive_message();
			assert(err == OK && !parked[p].taken);
			part = NONE;
			parked[p].taken = true
		:: true ->
			put_back_message();
			err = EFAULT
		fi
	:: len(queue) == 0 && finished ->
		unlock();
		err = EPIPE
	:: len(queue) == 0 && !finished ->
		unlock();
		err = EAGAIN
	fi
}

#ifdef WEAK_DEAD
#define is_dead false
#else
#define is_dead dead
#endif

/* parked_run() and receive_end(), of one whose task is @dead, or its ring */
inline parked_run(p, dead)
{
	assert(parked[p].done);
	parked[p].work = false;
	err = ECANCELED;
	if
	:: !is_dead && parked[p].why != ECANCELED ->
		receive_try(p);
		assert(!dead)
	:: else
	fi;
	if
	:: err == EAGAIN && parked[p].why != UNSET ->
		err = parked[p].why
	:: else
	fi;
	yield;
	lock();
	if
	:: err == EAGAIN ->
		enlist(p)
	:: else ->
		uncount_told(p);
		if
#ifndef WEAK_PASS_ON
		:: len(queue) > 0 ->
			parked_tell(first)
#endif
		:: else
		fi
	fi;
	mailbox_unlock();
	if
	:: err != EAGAIN ->
		parked_complete(p)
	:: else
	fi;
	err = OK
}

/* kpost_uring_cmd() of a receive, kpost_park_receive() and kpost_parked_start() */
inline park_receive(p)
{
	receive_try(p);
	if
	:: err == EAGAIN ->
		yield;
		lock();
		parked[p].refs = 1;
		count_told(p);
		enlist(p);
		mailbox_unlock();
		d_step {
			parked[p].marked = true;
			parked[p].begun = true;
			parked[p].armed = true
		}
	:: else ->
		parked[p].result = err
	fi;
	err = OK
}
