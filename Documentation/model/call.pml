/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * call.c and calling.c, and caller.c as far as it is about interrupted calls.  A call has the
 * number of its caller and of its request.
 *
 * Ghosts: @freed; @first and @rest, whose reply is in the room's two halves; @used, how
 * often a replier was told that the token is used up; @answered, it was told 0; @lost, the
 * caller did not want the reply any more; @told_received, whether the caller was told that its
 * request was received.
 */
typedef Call {
	byte refs;
	bool in_tree;	/* endpoint->calls */
	byte waiter;
	bool kept;	/* caller->interrupted */
	bool received;
	bool claimed;
	byte by;	/* the process in whose list it is */
	bool orphaned;
	byte filler;	/* the task that claimed last */
	bool reply;
	bool left;
	bool over;
	mtype result;
	bool freed;
	byte first;
	byte rest;
	byte used;
	bool answered;
	bool lost;
	bool told_received
}

Call call[SENDERS];

/* kpost_call_put() */
inline call_put(c)
{
	d_step {
		assert(!call[c].freed && call[c].refs > 0);
		call[c].refs--;
		if
		:: call[c].refs == 0 ->
			assert(!call[c].in_tree && !call[c].kept);
			call[c].freed = true;
			call[c].reply = false
		:: else
		fi
	}
}

/* kpost_message_free() */
inline request_free(m)
{
	if
	:: message[m].call ->
		message[m].call = false;
		call_put(m)
	:: else
	fi;
	message_free(m)
}

/* kpost_call_received(), by the process me: the message's reference is the tree's now */
inline call_received(m)
{
	assert(!call[m].freed);
	call[m].in_tree = true;
	call[m].received = true;
	call[m].by = me;
	message[m].call = false
}

/* kpost_call_over() */
inline call_over(c, how)
{
	assert(!call[c].over);
	call[c].over = true;
	call[c].result = how;
	if
	:: call[c].waiter != NONE ->
		waiter_done(call[c].waiter, how);
		call[c].waiter = NONE
	:: else
	fi
}

/* kpost_call_dropped(), for all that is sent is requests */
inline sender_dropped(c)
{
	if
	:: !call[c].left ->
		call_over(c, EPIPE)
	:: else
	fi
}

/* kpost_call_reset() */
inline call_reset(c)
{
	call[c].in_tree = false;
	call[c].by = NONE;
	if
	:: !call[c].left ->
		call_over(c, ECONNRESET)
	:: else
	fi
}

/* kpost_call_leave(), after which @mine says whether the request is to be freed */
inline call_leave(c)
{
#ifndef WEAK_ABANDON
	call[c].left = true;
	call[c].waiter = NONE;
#endif
	if
	:: call[c].over ->
		call[c].reply = false
	:: !call[c].over && !call[c].received ->
		mine = message[c].state != TAKEN;
#ifndef WEAK_REQUEST
		if
		:: message[c].state == TAKEN ->
			call[c].reply = false
		:: else
		fi;
#endif
		withdraw(c)
	:: !call[c].over && call[c].received ->
#ifdef WEAK_ROOM
		call[c].reply = false
#else
		if
		:: !call[c].claimed ->
			call[c].reply = false
		:: else
		fi
#endif
	fi;
	assert(mine || call[c].claimed || !call[c].reply)
}

/*
 * What call_wait() does with the lock, if the wait was ended: @err is KEPT if the call goes on,
 * as those may that the model says.
 */
inline call_interrupted(c)
{
	if
#ifdef WEAK_LOOK_AGAIN_CALL
	:: true ->
#else
	:: waiter[c].done ->
		seen = waiter[c].result;
		err = OK
	:: goes_on(c) && !waiter[c].done && (call[c].received || message[c].state != PENDING) ->
#endif
#ifndef WEAK_KEEP
		call[c].waiter = NONE;
#endif
		call[c].kept = true;
		err = KEPT
	:: !waiter[c].done ->
#ifndef WEAK_TOLD
		call[c].told_received = call[c].received;
#endif
		call_leave(c)
	fi;
	mailbox_unlock();
	if
	:: mine ->
		request_free(c);
		mine = false
	:: else
	fi
}

/* call_wait() */
inline call_wait(c)
{
	waiter_wait(c, false);
	if
	:: err == LEFT ->
#ifdef WEAK_TOLD
		call[c].told_received = call[c].received;
#endif
		yield;
		lock();
		call_interrupted(c)
	:: else
	fi;
	keeps = (err == KEPT);
	if
	:: keeps ->
		err = LEFT
	:: else
	fi;
	waiter_return(c)
}

/* call_send() */
inline call_send(c)
{
	lock();
	waiter_init(c);
	call[c].waiter = c;
	commit(c, c);
	if
	:: err == EPIPE ->
		request_free(c);
		call[c].waiter = NONE;
		waiter[c].frame = false
	:: else ->
		call_wait(c)
	fi
}

/* call_resume(): what is there is taken */
inline call_resume(c)
{
	yield;
	lock();
	waiter_init(c);
	assert(call[c].kept && !call[c].freed);
	call[c].kept = false;
	keeps = false;
	if
#ifndef WEAK_OVER
	:: call[c].over ->
		err = call[c].result;
		unlock();
		waiter[c].frame = false
#endif
	:: else ->
		call[c].waiter = c;
		unlock();
		call_wait(c)
	fi
}

/* kpost_caller_give_up(): KPOST_IOC_CALL_CANCEL, or the end of the caller's process */
inline call_give_up(c)
{
	yield;
	lock();
	assert(call[c].kept && !call[c].freed);
	call[c].kept = false;
	keeps = false;
	call[c].told_received = call[c].received;
	call[c].lost = call[c].over && call[c].result == OK;
	call_leave(c);
	err = LEFT;
	mailbox_unlock();
	if
	:: mine ->
		request_free(c);
		mine = false
	:: else
	fi
}

/* kpost_call(), and again as long as a signal interrupts it, or until the caller gives it up */
inline call_message(c)
{
	call_send(c);
	do
	:: keeps ->
		call_resume(c)
	:: keeps ->
		call_give_up(c)
	:: else ->
		break
	od;
	if
	:: err != LEFT ->
		call[c].told_received = call[c].received
	:: else
	fi
}

/*
 * reply(): call_claim(), reply_fill(), and call_unclaim() and reply_bring_in(), or
 * call_answer().  A page may be missing between the halves, after which the task goes on or
 * gives up, and it may be KPOST_DROP.
 */
inline call_reply(c, t)
{
	do
	:: true ->
		lock();
		if
#ifdef WEAK_CLAIM
		:: call[c].in_tree ->
#else
		:: call[c].in_tree && !call[c].claimed ->
#endif
			call[c].claimed = true;
#ifndef WEAK_AFRESH
			if
			:: call[c].filler != t ->
				half = false
			:: else
			fi;
#endif
			call[c].filler = t;
			unlock();
			yield
		:: else ->	/* ENOENT or EBUSY */
			unlock();
			break
		fi;
		if
		:: !half ->
			drop = true
		:: call[c].reply ->
			assert(!call[c].freed);
			if
			:: !half ->
				call[c].first = t;
				half = true
			:: else
			fi;
			yield;
			if
			:: missing = true
			:: true ->
				assert(!call[c].freed && call[c].reply);
				call[c].rest = t;
				yield
			fi
		:: !call[c].reply
		fi;
		lock();
		if
		:: missing ->
			call_unclaim(c);
			missing = false;
			yield;
			if
			:: true
			:: true ->
				break
			fi
		:: else ->
			call_answer(c);
			break
		fi
	od;
	half = false;
	drop = false
}

inline call_unclaim(c)
{
	call[c].claimed = false;
#ifndef WEAK_UNCLAIM
	if
	:: call[c].left ->
		call[c].reply = false
	:: else
	fi;
#endif
	if
#ifndef WEAK_ORPHAN
	:: call[c].orphaned ->
		call_reset(c);
		mailbox_unlock();
		call_put(c)
#endif
	:: else ->
		unlock()
	fi
}

inline call_answer(c)
{
	assert(!call[c].freed && call[c].in_tree);
#ifdef WEAK_TOKEN
	call[c].claimed = false;
#else
	call[c].in_tree = false;
	call[c].by = NONE;
#endif
	call[c].used++;
	if
	:: !call[c].left && drop ->
		call_over(c, ECONNRESET)
	:: !call[c].left && !drop ->
		call[c].answered = true;
		call_over(c, OK)
	:: else		/* ECANCELED */
	fi;
	mailbox_unlock();
	call_put(c)
}

/* kpost_calls_reset() */
inline calls_reset()
{
	got = 0;
	do
	:: got < SENDERS ->
		yield;
		lock();
		if
		:: call[got].in_tree ->
			assert(!call[got].claimed);
			call_reset(got);
			mailbox_unlock();
			call_put(got)
		:: else ->
			unlock()
		fi;
		got++
	:: else ->
		break
	od;
	got = NONE
}

/* process_work(), kpost_call_reset_first() */
inline process_ended(p)
{
	got = 0;
	do
	:: got < SENDERS ->
		yield;
		lock();
		if
#ifndef WEAK_END_CLAIMED
		:: call[got].by == p && call[got].claimed ->
			call[got].by = NONE;
			call[got].orphaned = true;
			unlock()
		:: call[got].by == p && !call[got].claimed ->
#else
		:: call[got].by == p ->
#endif
			call_reset(got);
			mailbox_unlock();
			call_put(got)
		:: else ->
			unlock()
		fi;
		got++
	:: else ->
		break
	od;
	got = NONE
}
