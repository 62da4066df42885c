/* SPDX-License-Identifier: GPL-2.0-only */
/* mailbox.c: who is attached, closing and emptying. */

bool office_locked;	/* office->lock */

inline office_lock()
{
	!office_locked ->
	office_locked = true
}

/* mailbox_close() */
inline close()
{
	lock();
	assert(len(waiting) == 0);
	shut = true;
	closed = true;
	unlock()
}

/* mailbox_drain(), and mailbox_drop_one() in its loop */
inline drain()
{
	do
	:: true ->
		yield;
		lock();
		assert(closed);
		if
#ifndef WEAK_DRAIN
		:: len(pending) > 0 ->
			pending?gone;
			waiting_senders--
#endif
		:: len(pending) == 0 && len(queue) > 0 ->
			queue?_, gone;
			messages--;
			bytes = bytes - message[gone].size;
			message[gone].discarded = true
#if defined(HOLDS) && !defined(WEAK_HOLD_DRAIN)
		:: len(pending) == 0 && len(queue) == 0 && (is_delayed(0) || is_delayed(1)) ->
			gone = (is_delayed(0) -> 0 : 1);
			message[gone].state = PENDING;
			messages--;
			bytes = bytes - message[gone].size;
			message[gone].discarded = true
#endif
		:: else ->
			unlock();
			break
		fi;
		assert(!message[gone].freed);
		sender_dropped(gone);
		assert(!more);
		mailbox_unlock();
		request_free(gone);
		gone = NONE
	od;
}

/* mailbox_send_away(), and mailbox_drop_one() in its loop */
inline send_away()
{
	yield;
	lock();
	if
#ifndef WEAK_SHUT_FINISH
	:: finished ->
		run_room(FINISH, NONE)
#endif
	:: else
	fi;
	mailbox_unlock();
	do
	:: true ->
		yield;
		lock();
		if
#ifndef WEAK_SEND_AWAY
		:: len(pending) > 0 ->
			pending?gone;
			waiting_senders--
#endif
		:: else ->
			unlock();
			break
		fi;
		assert(!message[gone].freed);
		sender_dropped(gone);
		assert(!more);
		mailbox_unlock();
		request_free(gone);
		gone = NONE
	od
}

/* kpost_mailbox_setattr(), and setattr_shut() */
inline shut_it()
{
	office_lock();
	lock();
	/* Nobody else takes its name away here; else it may be, and that is EPIPE. */
	assert(!closed);
	shut = true;
	unlock();
	if
	:: receivers == 0 ->
		close();
		office_locked = false;
		drain()
	:: else ->
		office_locked = false;
		send_away()
	fi
}

/* mailbox_senders_gone() */
inline senders_gone()
{
	if
	:: finished ->
		run_room(FINISH, NONE)
	:: else
	fi
}

/* kpost_mailbox_detach(), an endpoint that can receive */
inline detach_receiver()
{
	office_lock();
	lock();
	receivers--;
	unlock();
	if
	:: !closed && !named && receivers == 0 ->
		close();
		office_locked = false;
		drain()
	:: else ->
		office_locked = false
	fi
}

/* kpost_mailbox_detach(), an endpoint that can send */
inline detach_sender()
{
	yield;
	office_lock();
	lock();
	senders--;
	gone_for_good = (senders == 0 && !named);
	unlock();
	office_locked = false;
#ifndef WEAK_FINISH
	if
	:: gone_for_good ->
		yield;
		lock();
		senders_gone();
		mailbox_unlock();
		gone_for_good = false
	:: else
	fi
#endif
}

/* kpost_mailbox_unname() and kpost_mailbox_unnamed(), for kpost_mailbox_succeed() too */
inline unlink()
{
	office_lock();
	lock();
	if
	:: succeeds ->
		shut = true
	:: else
	fi;
	named = false;
	unlock();
	if
	:: receivers == 0 ->
		close()
	:: else
	fi;
	office_locked = false;
	yield;
	lock();
	if
#ifndef WEAK_UNNAME
	:: !closed && senders == 0 ->
		senders_gone()
#endif
	:: else
	fi;
	was_closed = closed;
	mailbox_unlock();
	if
	:: was_closed ->
		drain()
	:: !was_closed && shut ->
		send_away()
	:: else
	fi
}
