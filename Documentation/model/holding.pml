/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Senders, synchronous ones too, and the processes of workers that share one endpoint.  They hold
 * what they receive, or receive it at once, say what becomes of it, each with whatever token it
 * likes, and end at any time; the last one closes.
 */
#define SENDERS 2
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#define ENDPOINTS 1
#define TASKS (SENDERS + RECEIVERS)
#define MAX_MESSAGES SENDERS
#define LARGE 1
#define max_bytes SENDERS
#define NONE 15
#define UNSET 0

mtype = { PENDING, QUEUED, TAKEN, HELD, DELAYED };
mtype = { OK, WAITS, LEFT, EPIPE, EAGAIN, EMSGSIZE, ECONNRESET, EFAULT, LOOK, LOOK_EMPTY, GONE };

bool shutdown;	/* all workers get a signal */
byte running = TASKS;
byte processes = RECEIVERS;
bool ended[TASKS];	/* ghost */

#define HOLDS
#define call_received(m) skip
#define small_room(t) false
#define shaky(t) false
#define request_free(m) message_free(m)

#include "wait.pml"
#include "room.pml"
#include "send.pml"
#include "recv.pml"
#include "mailbox.pml"
#include "sender.pml"

/* Receive, hold, and say what becomes of it, as often as it likes */
proctype work_task(byte me)
{
	RECEPTION;
	bool none_came, killed;
	LOCALS;

	atomic {
		do
		:: true ->
			yield;
			if
			:: shutdown ->
				break
			:: true ->
				break
			:: !shutdown ->
				hold_end(0)
			:: !shutdown ->
				hold_end(1)
			:: !shutdown ->
				receive(me);
				killed = false
			fi
		od;
		processes--;
		if
		:: processes == 0 ->
#ifndef WEAK_HOLD_CLOSE
			holds_end();
#endif
			detach_receiver()
		:: else ->
#ifndef WEAK_HOLD_END
			holds_of_process_end(me);
#endif
			ended[me] = true
		fi;
		running--
	}
}

#define time_is_over(m) (timed[m] || is_delayed(m))

/* holding_work(), which its timer has queued */
proctype timer()
{
	atomic {
		do
		:: time_is_over(0) ->
			time_over(0)
		:: time_is_over(1) ->
			time_over(1)
		:: running == 0 ->
			break
		od
	}
}

init {
	byte i;

	atomic {
		if
		:: wakes_max = 1
		:: wakes_max = 2
		fi;
		do
		:: i < TASKS ->
			if
			:: i < SENDERS ->
				message[i].size = 1;
				message[i].sender = NONE;
				holder[i] = NONE;
				run send_task(i)
			:: else ->
				run work_task(i)
			fi;
			i++
		:: else ->
			break
		od;
		run timer();
		run room_functions();
		run scheduler()
	}

	/* Nothing moves any more: who still waits, does so because there is nothing for it. */
	timeout;
	d_step {
		assert(!locked && !office_locked);
		assert(len(waiting) == 0 || (len(queue) == 0 && !finished));
		assert(len(pending) == 0);
		i = 0;
		do
		:: i < TASKS ->
			assert(!waiter[i].frame || !waiter[i].done);
			if
			:: i < SENDERS ->
				assert(message[i].freed || message[i].state != TAKEN);
				/* Nothing is held by who has ended, or past its time. */
				assert(!held[i] || (!timed[i] && holder[i] != NONE && !ended[holder[i]]));
				assert(!is_delayed(i))
			:: else
			fi;
			i++
		:: else ->
			break
		od;
		shutdown = true
	}

	/* Now everybody can end. */
	timeout;
	d_step {
		assert(running == 0 && closed);
		assert(messages == 0 && bytes == 0);
		assert(len(queue) == 0 && len(pending) == 0 && len(waiting) == 0);
		i = 0;
		do
		:: i < SENDERS ->
			assert(message[i].told == GONE && !held[i]);
			i++
		:: else ->
			break
		od
	}
}
