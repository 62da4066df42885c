/* SPDX-License-Identifier: GPL-2.0-only */
/* send.c */

#if defined(WEAK_CLOSED)
#define is_shut false
#elif defined(WEAK_SHUT_COMMIT)
#define is_shut closed
#else
#define is_shut shut
#endif

#ifndef CALLS
/* What mailbox_drop_one() tells the sender of @m. */
inline sender_dropped(m)
{
	if
	:: message[m].sender != NONE ->
		waiter_done(message[m].sender, EPIPE)
	:: else
	fi
}
#endif

/* kpost_message_commit(); @err is OK, WAITS, EPIPE, or EAGAIN if the task does not wait */
inline commit(m, t)
{
	if
	:: is_shut ->
		err = EPIPE
	:: !is_shut && admits(m) ->
		if
		:: message[m].sync ->
			message[m].sender = t;
			err = WAITS
		:: message[m].call ->	/* whose waiter is the call's */
			err = WAITS
		:: else ->
			err = OK
		fi;
		run_room(ADMIT, m)
	:: !is_shut && !admits(m) && !message[m].sync && !message[m].call ->
		err = EAGAIN
	:: !is_shut && !admits(m) ->
		if
		:: !message[m].call ->
			message[m].sender = t
		:: else
		fi;
		message[m].state = PENDING;
		pending!m;
		waiting_senders++;
		err = WAITS
	fi;
	mailbox_unlock()
}

/* kpost_message_withdraw() */
inline withdraw(m)
{
	assert(!message[m].freed);
	if
	:: message[m].state == PENDING ->
		assert(pending??[eval(m)]);
		pending??eval(m);
		waiting_senders--;
#ifndef WEAK_LET_IN
		run_room(LET_IN, NONE)
#endif
	:: message[m].state == QUEUED ->
		assert(queue??[_, eval(m)]);
		queue??_, eval(m);
		give_back(m)
#ifdef HOLDS
	:: is_delayed(m) ->
		message[m].state = PENDING;
		give_back(m)
#endif
	:: in_hands(m) ->
		message[m].withdrawn = true;
		message[m].sender = NONE
	fi
}

/* send_message(), the waiting; @mine says whether the message is to be freed */
inline wait_for_receipt(m, t)
{
	waiter_wait(t, false);
	if
	:: err == LEFT ->
		yield;
		lock();
#ifdef WEAK_LOOK_AGAIN_SEND
		if
		:: true ->
#else
		if
		:: waiter[t].done ->
			seen = waiter[t].result;
			err = OK
		:: else ->
#endif
#ifdef WEAK_WITHDRAW
			mine = true;
#else
			mine = !in_hands(m);
#endif
			withdraw(m)
		fi;
		mailbox_unlock();
		if
		:: mine ->
			message_free(m);
			mine = false
		:: else
		fi
	:: else
	fi;
	waiter_return(t)
}
