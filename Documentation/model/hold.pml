/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hold.c.  A hold has the number of its message.  A timer is one process for all times: it may
 * look at any moment, and at last it does.
 */
bool held[SENDERS];	/* it is in the holder's tree: its token works */
byte holder[SENDERS];	/* the process in whose list it is */
bool timed[SENDERS];	/* it goes back at a time */

/* kpost_hold_begin(); @err is OK, or LEFT if the message was withdrawn, and then it has gone */
inline hold_begin(t)
{
	lock();
	assert(!message[got].freed && message[got].state == TAKEN);
	assert(part == got);
	if
	:: message[got].withdrawn ->
		unlock();
		put_back_message();
		err = LEFT
	:: else ->
		message[got].state = HELD;
		held[got] = true;
		holder[got] = t;
		if
		:: timed[got] = true
		:: true
		fi;
#ifdef WEAK_HOLD_TOLD
		if
		:: message[got].sender != NONE ->
			waiter_done(message[got].sender, OK);
			message[got].sender = NONE
		:: else
		fi;
#endif
		mailbox_unlock();
		got = NONE;
		err = OK
	fi
}

inline receive_or_hold(t)
{
	if
	:: receive_message()
	:: hold_begin(t)
	fi
}

/* kpost_hold_take() */
inline hold_take(m)
{
	d_step {
		assert(held[m] && is_held(m) && !message[m].freed);
#ifndef WEAK_HOLD_TOKEN
		held[m] = false;
#endif
		holder[m] = NONE;
		timed[m] = false
	}
}

/* hold_back() and hold_gone(), with the lock, which is dropped */
inline hold_back(m)
{
	hold_take(m);
	if
	:: message[m].withdrawn ->
		give_back(m);
		mailbox_unlock();
		request_free(m)
	:: else ->
		run_room(PUT_BACK, m);
		mailbox_unlock()
	fi
}

/* hold_end(): KPOST_DONE, KPOST_RETURN, or that with a time */
inline hold_end(m)
{
	lock();
	if
	:: held[m] ->
		hold_take(m);
		if
		:: got = m;
			unlock();
			yield;
			receive_message();
			err = OK
		:: got = m;
			unlock();
			yield;
			put_back_message()
		:: !message[m].withdrawn ->
			message[m].state = DELAYED;
			unlock()
		fi
	:: else ->	/* ENOENT */
		unlock()
	fi
}

/* timed_return_first(), of what was held for a time or returned for later */
inline time_over(m)
{
	running++;
	yield;
	lock();
	if
	:: held[m] && timed[m] ->
		hold_back(m)
	:: is_delayed(m) ->
		run_room(PUT_BACK, m);
		mailbox_unlock()
	:: else ->
		unlock()
	fi;
	running--
}

/* kpost_holds_end(), as the endpoint goes */
inline holds_end()
{
	got = 0;
	do
	:: got < SENDERS ->
		yield;
		lock();
		if
		:: held[got] ->
			hold_back(got)
		:: else ->
			unlock()
		fi;
		got++
	:: else ->
		break
	od;
	got = NONE
}

/* process_work(), kpost_hold_return_first(): what process @p holds goes back */
inline holds_of_process_end(p)
{
	got = 0;
	do
	:: got < SENDERS ->
		yield;
		lock();
		if
		:: held[got] && holder[got] == p ->
			hold_back(got)
		:: else ->
			unlock()
		fi;
		got++
	:: else ->
		break
	od;
	got = NONE
}
