/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Senders, a receiver, and two receives parked in rings of their own, which have their work run
 * or never look; one ring may be closed and its receive be cancelled, the other's may have a
 * deadline, and the tasks of both end at any time.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#define RECEIVERS 1
#define PARKED 2
#define ENDPOINTS RECEIVERS
#define TASKS (SENDERS + RECEIVERS)
#define MAX_MESSAGES 2
#define LARGE 1
#define max_bytes 2
#define NONE 15
#define UNSET 0

mtype = { PENDING, QUEUED, TAKEN };
mtype = { OK, WAITS, LEFT, EPIPE, EAGAIN, EMSGSIZE, ECONNRESET, EFAULT, LOOK, LOOK_EMPTY, GONE,
	  ECANCELED, ETIMEDOUT };

bool shutdown;	/* all who can wait get a signal */
byte running;

#define PARKS
#define call_received(m) skip
#define small_room(t) false
#define shaky(t) false
#define request_free(m) message_free(m)

#include "wait.pml"
#include "room.pml"
#include "send.pml"
#include "recv.pml"
#include "mailbox.pml"

/* kpost_send(), once, and then close(2), soon or late */
proctype send_task(byte me)
{
	bool gone_for_good;
	LOCALS;

	atomic {
		yield;
		lock();
		commit(me, me);
		assert(err == OK);
		d_step {
			message[me].told = err;
			check_outcome(me)
		}
		if
		:: true ->
			yield
		:: true ->
			shutdown
		fi;
		detach_sender();
		running--
	}
}

/* kpost_recv(), as often as it likes */
proctype recv_task(byte me)
{
	RECEPTION;
	bool none_came, killed;
	LOCALS;

	atomic {
		do
		:: true ->
			yield;
			if
			:: !shutdown && !killed
			:: true ->
				break
			fi;
			receive(me)
		od;
		running--
	}
}

/* The task of a ring, which may never look at it, until it ends. */
proctype ring_task(byte me)
{
	byte got = NONE, part = NONE, first;
	bool sleeps, ends;
	LOCALS;

	atomic {
		if
#ifndef PROMPT
		:: sleeps = true
#endif
		:: true
		fi;
		ring_lock(me);
		park_receive(me);
		ring_unlock(me);
		do
		:: parked[me].result != UNSET ->
			break
		:: else ->
			if
			:: patient = true
			:: patient = false
			fi;
			if
			:: (parked[me].work && !sleeps) || parked[me].result != UNSET
			:: !patient || shutdown ->
				ends = true;
				sleeps = false;
				ring_lock(me);
				parked_return(me);
				ring_unlock(me);
				parked[me].work
			fi;
			if
			:: parked[me].work ->
				ring_lock(me);
				parked_run(me, (ends || ring_dying[me]));
				ring_unlock(me)
			:: else
			fi
		od;
		running--
	}
}

/* The first ring is closed, once something was submitted to it. */
proctype close_ring()
{
	atomic {
		if
		:: true ->
			yield
		:: true ->
			shutdown
		fi;
		(parked[0].marked || parked[0].result != UNSET) ->
		ring_lock(0);
		ring_dying[0] = true;
		ring_unlock(0);
		ring_lock(0);
		parked_return(0);
		ring_unlock(0);
		running--
	}
}

/* KPOST_IOC_CANCEL */
proctype cancel_task()
{
	atomic {
		if
		:: true ->
			yield
		:: true ->
			shutdown
		fi;
		if
		:: parked[0].begun ->
#ifndef WEAK_REFERENCE
			parked[0].refs++;
#endif
			parked_end(0, ECANCELED);
#ifndef WEAK_REFERENCE
			parked[0].refs--
#endif
		:: shutdown
		fi;
		running--
	}
}

/* parked_time_over() and parked_timeout() */
proctype timer()
{
	atomic {
		if
		:: true ->
			yield
		:: true ->
			shutdown
		fi;
		if
		:: parked[1].armed ->
			parked[1].armed = false;
			parked[1].timing = true;
			parked_end(1, ETIMEDOUT);
			parked[1].timing = false
		:: shutdown
		fi;
		running--
	}
}

/* parking_nudge() */
proctype nudge_task()
{
	byte left, first;

	atomic {
		do
		:: nudging ->
			nudging = false;
			yield;
			lock();
			d_step {
				parked[0].counted = false;
				parked[1].counted = false;
				told_count = 0
			}
			unlock();
			left = 1;
			do
			:: left > 0 ->
				yield;
				lock();
				if
				:: len(queue) > 0 && len(parking) > 0 ->
					tell_first(first);
					left--;
					nudging = (left == 0)
				:: else ->
					left = 0
				fi;
				mailbox_unlock()
			:: else ->
				break
			od
		:: running == 1 ->
			break
		od;
		running--
	}
}

init {
	byte i;

	atomic {
		wakes_max = 2;
		do
		:: i < SENDERS ->
			message[i].size = 1;
			message[i].sender = NONE;
			running++;
			run send_task(i);
			i++
		:: else ->
			break
		od;
		running = running + PARKED;
		run ring_task(0);
		run ring_task(1);
#ifdef ENDS
		running = running + 3;
		run close_ring();
		run cancel_task();
		run timer();
#else
		running++;
		run recv_task(SENDERS);
#endif
#ifndef PROMPT
		running++;
		run nudge_task();
#endif
		run room_functions();
		run scheduler()
	}

	/* Nothing moves any more: no message lies with somebody to take it. */
	timeout;
	d_step {
		assert(!locked && !office_locked);
		assert(len(waiting) == 0 || (len(queue) == 0 && !finished));
		assert(len(parking) == 0 || (len(queue) == 0 && !finished));
		i = 0;
		do
		:: i < PARKED ->
			assert(parked[i].result != UNSET || parked[i].done ||
			       (parking??[eval(i)] && parked[i].why == UNSET));
			assert(!parked[i].told && !ring_locked[i]);
			i++
		:: else ->
			break
		od;
		assert(told_count == parked[0].counted + parked[1].counted);
		shutdown = true
	}

	/* Now everybody can end. */
	timeout;
	d_step {
		assert(running == 0 && len(waiting) == 0 && len(parking) == 0);
		assert(messages == len(queue) && len(pending) == 0 && told_count == 0);
		i = 0;
		do
		:: i < PARKED ->
			assert(parked[i].result != UNSET && parked[i].refs == 0);
			assert(parked[i].taken == (parked[i].result == OK));
			assert(!parked[i].timing);
			i++
		:: else ->
			break
		od;
		i = 0;
		do
		:: i < SENDERS ->
			assert(message[i].told == GONE || (!message[i].freed && message[i].deliveries == 0));
			i++
		:: else ->
			break
		od
	}
}
