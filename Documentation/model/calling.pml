/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Callers, and the processes of a server that receive and reply through one endpoint, each
 * with whatever token it likes, until it ends; the last one closes.  The mailbox holds one
 * message.
 */
#define SENDERS 2
#define RECEIVERS 2
#define ENDPOINTS 1
#define TASKS (SENDERS + RECEIVERS)
#define MAX_MESSAGES 1
#define LARGE 1
#define max_bytes 1
#define NONE 15
#define UNSET 0

mtype = { PENDING, QUEUED, TAKEN };
mtype = { OK, WAITS, LEFT, KEPT, EPIPE, EAGAIN, EMSGSIZE, ECONNRESET, EFAULT, LOOK, LOOK_EMPTY, GONE };

bool shutdown;	/* all processes of the server get a signal */
byte running = TASKS;
byte processes = RECEIVERS;
bool ended[TASKS];	/* ghost */

#define CALLS
#define small_room(t) false
#define goes_on(c) (c == 0)
#define shaky(t) false

#include "wait.pml"
#include "room.pml"
#include "send.pml"
#include "call.pml"
#include "recv.pml"
#include "mailbox.pml"

/* kpost_call(), once */
proctype call_task(byte me)
{
	bool mine, keeps;
	LOCALS;

	atomic {
		call_message(me);
		if
		:: err == OK ->
			yield	/* kpost_message_copy_out() */
		:: else
		fi;
		d_step {
			assert((err == OK) == (call[me].answered && !call[me].lost));
			assert(err != OK || (!call[me].freed && call[me].reply));
			assert(err != OK || (call[me].first == call[me].rest && call[me].rest != NONE));
			assert(err != ECONNRESET || call[me].told_received);
			assert(err != EPIPE || !call[me].told_received);
			assert((err == LEFT) == call[me].left);
			err = OK
		}
		call_put(me);
		running--
	}
}

/* kpost_recv() and kpost_reply(), as often as it likes */
proctype serve_task(byte me)
{
	RECEPTION;
	bool none_came, killed, half, missing, drop;
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
				call_reply(0, me)
			:: !shutdown ->
				call_reply(1, me)
			:: !shutdown ->
				receive(me);
				killed = false	/* if only its memory had a fault, it goes on */
			fi
		od;
		processes--;
		if
		:: processes == 0 ->
#ifndef WEAK_RESET
			calls_reset();
#endif
			detach_receiver()
		:: else ->
#ifndef WEAK_END
			process_ended(me);
#endif
			ended[me] = true
		fi;
		running--
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
		:: i < SENDERS ->
			message[i].size = 1;
			message[i].sender = NONE;
			message[i].call = true;
			call[i].waiter = NONE;
			call[i].filler = NONE;
			call[i].by = NONE;
			call[i].first = NONE;
			call[i].rest = NONE;
			call[i].refs = 2;
			call[i].reply = true;
			run call_task(i);
			i++
		:: i >= SENDERS && i < TASKS ->
			run serve_task(i);
			i++
		:: else ->
			break
		od;
		run room_functions();
		run scheduler()
	}

	/* Nothing moves any more: who still waits, does so because there is nothing for it. */
	timeout;
	d_step {
		assert(!locked && !office_locked);
		assert(len(waiting) == 0 || len(queue) == 0);
		assert(len(pending) == 0 || (!closed && messages == MAX_MESSAGES));
		i = 0;
		do
		:: i < TASKS ->
			assert(!waiter[i].frame || !waiter[i].done);
			if
			:: i < SENDERS ->
				assert(!call[i].claimed || !call[i].in_tree);
				assert(!call[i].in_tree || (call[i].by != NONE && !ended[call[i].by]));
				assert(!call[i].left || !call[i].reply);
				assert(!call[i].over || !waiter[i].frame || call[i].waiter == NONE)
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
		assert(running == 0 && closed && messages == 0 && bytes == 0);
		assert(len(queue) == 0 && len(pending) == 0 && len(waiting) == 0);
		i = 0;
		do
		:: i < SENDERS ->
			assert(message[i].freed && message[i].deliveries + message[i].discarded <= 1);
			assert(call[i].freed && call[i].used <= 1);
			assert(call[i].told_received == (message[i].deliveries == 1));
			i++
		:: else ->
			break
		od
	}
}
