/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recv.c: what a receiver does.  It has these locals besides LOCALS: @got, the message
 * that it has taken; @room_for, how long one may be.
 */

/* wait_for_message(), called with the lock held */
inline wait_for_message(t)
{
	waiter_init(t);
	waiter[t].room = room_for;
	waiting!t;
	waiting_receivers++;
	unlock();
	waiter_wait(t, shutdown);
	if
	:: err == LEFT ->
		yield;
		lock();
		if
#ifndef WEAK_LOOK_AGAIN_RECV
		:: waiter[t].done ->
			seen = waiter[t].result;
			err = OK
#endif
		:: else ->
			assert(waiting??[eval(t)]);
			waiting??eval(t);
			waiting_receivers--
		fi;
		unlock()
	:: else
	fi;
	got = waiter[t].message;
	waiter_return(t)
}

/*
 * take_message(); @err is OK, and @got is TAKEN, or EMSGSIZE, EPIPE, LEFT, or EAGAIN
 * if the task does not wait.
 */
inline take_message(t)
{
	lock();
	if
	:: small_room(t) ->
		room_for = 1
	:: true ->
		room_for = LARGE
	fi;
	if
	:: len(queue) > 0 ->
		queue?<_, got>;
		if
		:: message[got].size > room_for ->
			err = EMSGSIZE;
			got = NONE
		:: else ->
			queue?_, got;
			assert(!message[got].freed && is_first(got));
			message[got].state = TAKEN;
			err = OK
		fi;
		unlock()
	:: len(queue) == 0 && finished ->
		err = EPIPE;
		unlock()
	:: len(queue) == 0 && !finished ->
		err = EAGAIN;
		unlock()
	:: len(queue) == 0 && !finished ->
		wait_for_message(t)
	fi;
	room_for = 0
}

/* put_back_message() */
inline put_back_message()
{
#ifdef WEAK_PUT_BACK
	give_back(got);
	mailbox_unlock();
	message_free(got);
#else
	if
	:: message[got].withdrawn ->
		give_back(got);
		mailbox_unlock();
		request_free(got)
	:: else ->
		run_room(PUT_BACK, got);
		mailbox_unlock()
	fi;
#endif
	got = NONE
}

#ifdef WEAK_WITHDRAWN
#define is_withdrawn(m) false
#else
#define is_withdrawn(m) message[m].withdrawn
#endif

/* receive_message(); @err is OK, or LEFT if the message was withdrawn */
inline receive_message()
{
	assert(!message[got].freed && message[got].state == TAKEN);
	if
	:: is_withdrawn(got) ->
		err = LEFT
	:: else ->
		assert(message[got].told != LEFT);
		message[got].deliveries++;
		err = OK;
		if
		:: message[got].call ->
			call_received(got)
		:: !message[got].call && message[got].sender != NONE ->
			waiter_done(message[got].sender, OK)
		:: else
		fi
	fi;
	give_back(got);
	mailbox_unlock()
}
