/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Senders, synchronous ones too, and receivers at one mailbox, while it is shut or not, unlinked,
 * and closes.  The first message is twice as large as the others, which may be all that the
 * mailbox has room for.
 */
#ifndef SENDERS
#define SENDERS 3
#define RECEIVERS 2
#endif
#define ENDPOINTS RECEIVERS
#define TASKS (SENDERS + RECEIVERS)
#define MAX_MESSAGES 2
#define LARGE 2
#define NONE 15

mtype = { PENDING, QUEUED, TAKEN };
#define UNSET 0
mtype = { OK, WAITS, LEFT, EPIPE, EAGAIN, EMSGSIZE, ECONNRESET, EFAULT, LOOK, LOOK_EMPTY, GONE };

byte max_bytes = LARGE;
bool shutdown;	/* all receivers get a signal */
byte running = TASKS;

#define call_received(m) skip
#define small_room(t) (t == TASKS - 1)
#define shaky(t) (t == SENDERS)
#define request_free(m) message_free(m)

#include "wait.pml"
#include "room.pml"
#include "send.pml"
#include "recv.pml"
#include "mailbox.pml"
#include "sender.pml"

/* kpost_recv(), as often as it likes, and then close(2) */
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
		detach_receiver();
		running--
	}
}

/* Unlinked at first, the mailbox is as one that never had a name.  It may be shut before. */
proctype unlink_task()
{
	byte gone = NONE;
	bool was_closed, succeeds;
	LOCALS;

	atomic {
		if
		:: true ->
			yield
		:: true ->
			shutdown
		fi;
#ifdef SHUTS
		if
		:: shut_it();
			if
			:: true ->
				yield
			:: true ->
				shutdown
			fi
		:: succeeds = true
		fi;
#endif
		unlink();
		running--
	}
}

init {
	byte i;

	atomic {
		named = true;
		running++;
		run unlink_task();
		if
#if SENDERS < 3		/* else enough to search */
		:: wakes_max = 1;
			max_bytes = LARGE + 1
		:: wakes_max = 2
#endif
		:: wakes_max = 1
		fi;
		do
		:: i < TASKS ->
			if
			:: i < SENDERS ->
				message[i].size = (i == 0 -> LARGE : 1);
				message[i].sender = NONE;
				run send_task(i)
			:: else ->
				run recv_task(i)
			fi;
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
		assert(len(waiting) == 0 || (len(queue) == 0 && !finished));
		if
		:: len(pending) > 0 ->
			pending?<i>;
			assert(!shut && !has_room(i))
		:: else
		fi;
		i = 0;
		do
		:: i < TASKS ->
			assert(!waiter[i].frame || !waiter[i].done);
			assert(i >= SENDERS || message[i].freed || message[i].state != TAKEN);
			i++
		:: else ->
			break
		od;
		shutdown = true
	}

	/* Now everybody can end. */
	timeout;
	d_step {
		assert(running == 0);
		assert(messages == 0 && bytes == 0);
		assert(len(queue) == 0 && len(pending) == 0 && len(waiting) == 0);
		i = 0;
		do
		:: i < SENDERS ->
			assert(message[i].told == GONE);
			i++
		:: else ->
			break
		od
	}
}
