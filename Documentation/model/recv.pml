/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * recv.c: what a receiver does.  It has these locals besides LOCALS: @got, the message
 * that it has taken; @room_for, how long one may be; @sure, it has found its memory to be
 * there; @looked; @copying and @done, the message that was copied last, and whether a part
 * of it was.  A ghost: @part, the message that this part in its memory is of.
 */
#define RECEPTION \
	byte got = NONE, gone = NONE, room_for; \
	byte copying = NONE, part = NONE; \
	bool sure, looked, done

/* struct reception, of an operation that begins: its first page is there or not */
inline reception_begin(t)
{
	if
	:: true ->
		sure = true;
		looked = true	/* to look again changes nothing */
	:: shaky(t)
	fi
}

inline reception_end()
{
	sure = false;
	looked = false;
	done = false;
	copying = NONE;
	part = NONE;
	err = OK
}

/* wait_for_message(), called with the lock held; LOOK if told to look for itself */
inline wait_for_message(t)
{
	waiter_init(t);
	waiter[t].room = room_for;
	waiter[t].sure = sure;
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
 * if the task does not wait; or LOOK, if it has to look at its memory for a message, or
 * LOOK_EMPTY, for any that may come.
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
		:: message[got].size <= room_for && !sure ->
			err = LOOK;
			got = NONE
		:: message[got].size <= room_for && sure ->
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
	:: len(queue) == 0 && !finished && !looked ->
		looked = true;
		err = LOOK_EMPTY;
		unlock()
	:: len(queue) == 0 && !finished && looked ->
		wait_for_message(t)
	fi;
	room_for = 0
}

/*
 * A page is brought in, with nothing in hand.  It may not come before the task is killed;
 * @err is OK, or EFAULT or LEFT.
 */
inline bring_in()
{
	yield;
	if
	:: err = OK
	:: err = EFAULT
	:: true ->
		shutdown;
		err = LEFT
	fi
}

/* reception_look(), as take_message() said */
inline reception_look()
{
	assert(got == NONE);
	none_came = (err == LOOK_EMPTY);
	bring_in();
	if
	:: err == OK ->
		sure = true
	:: err == EFAULT && none_came ->
		err = OK
	:: else
	fi;
	none_came = false
}

/* reception_fill(), as far as the first page that is not there */
inline reception_fill()
{
	assert(sure);
#ifndef WEAK_CONTINUE
	if
	:: copying != got ->
		done = false
	:: else
	fi;
#endif
	copying = got;
	if
	:: !done ->
		part = got;
		done = true
	:: else
	fi;
	yield;
	assert(!message[got].freed)
}

/* put_back_message() */
inline put_back_message()
{
	lock();
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
	lock();
	assert(!message[got].freed && (message[got].state == TAKEN || is_held(got)));
	assert(part == got || is_held(got));
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
	mailbox_unlock();
	request_free(got);
	got = NONE
}

#ifdef HOLDS
#include "hold.pml"
#else
#define receive_or_hold(t) receive_message()
#endif

/* receive(); @killed: the task was, in the middle of it */
inline receive(t)
{
	reception_begin(t);
	do
	:: true ->
		take_message(t);
		if
		:: err == LOOK || err == LOOK_EMPTY ->
			reception_look();
			if
			:: err != OK ->
				break
			:: else
			fi
		:: err == OK ->
			reception_fill();
			if
			:: true ->
				receive_or_hold(t);
				if
				:: err == OK ->
					break
				:: else ->
					yield
				fi
			:: shaky(t) ->	/* it faults */
#ifdef WEAK_FAULT
				bring_in();
				put_back_message();
#else
				put_back_message();
				bring_in();
#endif
				if
				:: err != OK ->
					break
				:: else
				fi
			:: !shaky(t) ->	/* the task was killed */
				put_back_message();
				killed = true;
				break
			fi
		:: else ->
			break
		fi
	od;
	reception_end()
}
