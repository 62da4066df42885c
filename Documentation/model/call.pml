/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * call.c.  A call has the number of its caller and of its request.
 *
 * Ghosts: @freed; @first and @rest, whose reply is in the room's two halves; @left, the
 * caller has gone; @used, how often a replier was told that the token is used up;
 * @answered, it was told 0; @told_received, whether the caller was told that its request
 * was received.
 */
typedef Call {
	byte refs;
	bool in_tree;	/* endpoint->calls */
	byte caller;
	bool received;
	bool claimed;
	byte by;	/* the process in whose list it is */
	bool orphaned;
	byte filler;	/* the task that claimed last */
	bool reply;
	bool freed;
	byte first;
	byte rest;
	bool left;
	byte used;
	bool answered;
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
			assert(!call[c].in_tree);
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
	call[m].caller = message[m].sender;
	call[m].received = true;
	call[m].by = me;
	message[m].call = false
}

/* call_reset() */
inline call_reset(c)
{
	call[c].in_tree = false;
	call[c].by = NONE;
	if
	:: call[c].caller != NONE ->
		waiter_done(call[c].caller, ECONNRESET)
	:: else
	fi
}

/* call_abandon() */
inline call_abandon(c)
{
	if
	:: !call[c].received ->
		mine = message[c].state != TAKEN;
#ifndef WEAK_REQUEST
		if
		:: message[c].state == TAKEN ->
			call[c].reply = false
		:: else
		fi;
#endif
		withdraw(c)
	:: else ->
#ifndef WEAK_ABANDON
		call[c].caller = NONE;
#endif
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
	assert(mine || call[c].claimed || !call[c].reply);
	call[c].left = true
}

/* call_message() */
inline call_message(c)
{
	lock();
	waiter_init(c);
	commit(c, c);
	if
	:: err == EPIPE ->
		request_free(c);
		waiter[c].frame = false
	:: else ->
		waiter_wait(c, false);
		if
		:: err == LEFT ->
#ifdef WEAK_TOLD
			call[c].told_received = call[c].received;
#endif
			yield;
			lock();
#ifdef WEAK_LOOK_AGAIN_CALL
			if
			:: true ->
#else
			if
			:: waiter[c].done ->
				seen = waiter[c].result;
				err = OK
			:: else ->
#endif
#ifndef WEAK_TOLD
				call[c].told_received = call[c].received;
#endif
				call_abandon(c)
			fi;
			mailbox_unlock();
			if
			:: mine ->
				request_free(c);
				mine = false
			:: else
			fi
		:: else
		fi;
		waiter_return(c);
		if
		:: err != LEFT ->
			call[c].told_received = call[c].received
		:: else
		fi
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
	:: call[c].caller == NONE ->
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
	assert(call[c].left == (call[c].caller == NONE));
	if
	:: call[c].caller != NONE && drop ->
		waiter_done(call[c].caller, ECONNRESET)
	:: call[c].caller != NONE && !drop ->
		call[c].answered = true;
		waiter_done(call[c].caller, OK)
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
