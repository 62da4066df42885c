/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * room.c, and the fields of struct kpost_mailbox and struct kpost_message.
 *
 * Ghosts: @freed, kpost_message_free() was called; @deliveries, how often it was
 * received; @discarded, it was dropped because the mailbox closed; @told, what
 * its sender's system call returned, GONE once that was checked.
 */
typedef Message {
	mtype state;
	bool withdrawn;
	bool sync;
	bool call;
	byte sender;	/* the task whose waiter it is */
	byte size;
	byte order;
	bool freed;
	byte deliveries;
	bool discarded;
	mtype told
}

Message message[SENDERS];

bool locked;	/* mailbox->lock */
bool shut, closed;
bool named;	/* and persistent, until it is unlinked */
byte receivers = ENDPOINTS, senders = SENDERS;
byte messages, bytes;
byte sent;
byte waiting_senders, waiting_receivers;
chan queue = [SENDERS] of { byte, byte };	/* order, message */
chan pending = [SENDERS] of { byte };	/* message */
chan waiting = [RECEIVERS] of { byte };	/* task */

/* The queue is served in the order in which the messages came. */
#define not_before(i, m) (!queue??[eval(message[i].order), eval(i)] || message[i].order >= message[m].order)
#define is_first(m) (not_before(0, m) && not_before(SENDERS / 2, m) && not_before(SENDERS - 1, m))

#ifdef HOLDS
#define is_held(m) (message[m].state == HELD)
#define is_delayed(m) (message[m].state == DELAYED)
#else
#define is_held(m) false
#endif
#define in_hands(m) (message[m].state == TAKEN || is_held(m))

#define has_room(m) (messages < MAX_MESSAGES && bytes + message[m].size <= max_bytes)
#define admits(m) (has_room(m) && len(pending) == 0)
#define finished (messages == 0 && (shut || (!named && senders == 0)))

inline lock()
{
	!locked ->
	locked = true
}

inline unlock()
{
	d_step {
		assert(locked && waiting_senders == len(pending) && waiting_receivers == len(waiting) + parked_count);
		locked = false
	}
}

/* Once a message has gone, and its sender too, it had one outcome, which the sender was told. */
inline check_outcome(m)
{
	if
	:: message[m].freed && message[m].told != UNSET ->
		assert(message[m].deliveries + message[m].discarded <= 1);
		if
		:: message[m].told == OK ->
			assert(message[m].deliveries == 1 || (message[m].discarded && !message[m].sync))
		:: else ->
			assert(message[m].deliveries == 0)
		fi;
		message[m].deliveries = 0;
		message[m].discarded = false;
		message[m].sync = false;
		message[m].order = 0;
		message[m].withdrawn = false;
		message[m].state = PENDING;
		message[m].told = GONE
	:: else
	fi
}

/* kpost_message_free(), but for the call */
inline message_free(m)
{
	d_step {
		assert(!message[m].freed);
		message[m].freed = true;
		check_outcome(m)
	}
}

/* mailbox_hand_over() */
inline hand_over(m)
{
	assert(!message[m].freed);
	do
	:: !handed && len(waiting) > 0 && !wakes_full ->
		waiting?who;
		waiting_receivers--;
		assert(waiter[who].frame && !waiter[who].done);
		if
		:: message[m].size > waiter[who].room ->
			waiter[who].room = message[m].size;
			waiter_done(who, EMSGSIZE)
#ifndef WEAK_SURE
		:: message[m].size <= waiter[who].room && !waiter[who].sure ->
#ifdef WEAK_TELL
			waiting!who;
			waiting_receivers++;
			break
#else
			waiter_done(who, LOOK)
#endif
#endif
		:: else ->
			assert(is_first(m));
			message[m].state = TAKEN;
			waiter[who].message = m;
			handed = true;
			waiter_done(who, OK)
		fi
	:: !handed && len(waiting) > 0 && wakes_full ->
#ifndef WEAK_MORE
		more = true;
#endif
		break
	:: else ->
		break
	od;
	who = 0;
	if
	:: !handed ->
		parked_tell(who);
		message[m].state = QUEUED
	:: else
	fi
}

/* mailbox_place() */
inline place(m)
{
	if
#ifndef WEAK_PLACE
	:: len(queue) > 0 ->
		message[m].state = QUEUED;
		if
		:: len(waiting) > 0 ->
			more = true
		:: else
		fi
#endif
	:: else ->
		hand_over(m)
	fi
}

/* kpost_mailbox_admit() */
inline admit(m)
{
	d_step {
		messages++;
		bytes = bytes + message[m].size;
		assert(messages <= MAX_MESSAGES && bytes <= max_bytes && !shut);
		sent++;
		message[m].order = sent
	}
	if
	:: message[m].sender != NONE && !message[m].sync ->
		waiter_done(message[m].sender, OK);
#ifndef WEAK_SENDER
		message[m].sender = NONE
#endif
	:: else
	fi;
	place(m);
	if
	:: !handed ->
		queue!message[m].order, m
	:: else
	fi;
	handed = false
}

/* kpost_mailbox_put_back() */
inline put_back(m)
{
	place(m);
	put_in_order(m)
}

/* kpost_queue_return(), unless it was handed over */
inline put_in_order(m)
{
	if
	:: !handed ->
#ifdef WEAK_ORDER
		queue!message[m].order, m
#else
		queue!!message[m].order, m
#endif
	:: else
	fi;
	handed = false
}

#ifdef WEAK_SHUT_LET_IN
#define LETS_IN_NONE closed
#else
#define LETS_IN_NONE shut
#endif

/* kpost_mailbox_let_in() */
inline let_in()
{
	do
	:: !LETS_IN_NONE && len(pending) > 0 && !wakes_full ->
		pending?<next>;
		if
		:: has_room(next) ->
			pending?next;
			waiting_senders--;
			admit(next)
		:: else ->
			break
		fi
	:: !LETS_IN_NONE && len(pending) > 0 && wakes_full ->
		more = true;
		break
	:: else ->
		break
	od;
	next = NONE
}

/* kpost_mailbox_finish() */
inline finish()
{
	do
	:: len(waiting) > 0 && !wakes_full ->
		waiting?who;
		waiting_receivers--;
		waiter_done(who, EPIPE)
	:: len(waiting) > 0 && wakes_full ->
		more = true;
		break
	:: else ->
		break
	od;
	who = 0;
	parked_finish(who)
}

/* mailbox_settle() */
inline settle()
{
	do
	:: len(queue) > 0 && len(waiting) > 0 && !wakes_full ->
		queue?_, next;
		hand_over(next);
		put_in_order(next)
	:: len(queue) > 0 && len(waiting) > 0 && wakes_full ->
		more = true;
		break
	:: else ->
		break
	od;
	if
	:: len(queue) > 0 ->
		parked_tell(who)
	:: else
	fi;
	let_in();
	if
	:: finished ->
		finish()
	:: else
	fi
}

#ifdef PARKS
#include "park.pml"
#endif

/*
 * The functions above are called, not expanded where they are used, so that the model
 * stays small.  This process runs them while its caller, which has the lock, waits.
 */
mtype = { ADMIT, PUT_BACK, LET_IN, FINISH, SETTLE };
chan call_room = [0] of { mtype, byte };
chan return_room = [0] of { bit };

inline run_room(function, m)
{
	call_room!function, m;
	return_room?_
}

proctype room_functions()
{
	byte m, who, next = NONE;
	bool handed;

	atomic {
		do
		:: call_room?ADMIT, m ->
			admit(m);
			m = 0;
			return_room!0
		:: call_room?PUT_BACK, m ->
			put_back(m);
			m = 0;
			return_room!0
		:: call_room?LET_IN, _ ->
			let_in();
			return_room!0
		:: call_room?FINISH, _ ->
			finish();
			return_room!0
		:: call_room?SETTLE, _ ->
			settle();
			return_room!0
		:: running == 0 ->
			break
		od
	}
}

/* kpost_mailbox_give_back() */
inline give_back(m)
{
	d_step {
		assert(!message[m].freed);
		messages--;
		bytes = bytes - message[m].size
	}
#ifndef WEAK_GIVE_BACK
	run_room(LET_IN, NONE);
#endif
	if
	:: finished ->
		run_room(FINISH, NONE)
	:: else
	fi
}

/* kpost_mailbox_unlock() */
inline mailbox_unlock()
{
	do
	:: more ->
		more = false;
		unlock();
		wakes_wake();
		yield;
		lock();
		run_room(SETTLE, NONE)
	:: else ->
		break
	od;
	unlock();
	wakes_wake()
}
