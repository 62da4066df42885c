/* SPDX-License-Identifier: GPL-2.0-only */
/* mailbox.c: who is attached, closing and emptying. */

bool office_locked;	/* office->lock */
bool persistent;	/* and so named, until it is unlinked */

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
		:: else ->
			unlock();
			break
		fi;
		assert(!message[gone].freed);
		if
		:: message[gone].sender != NONE && message[gone].call ->
			waiter_done(message[gone].sender, ECONNRESET)
		:: message[gone].sender != NONE && !message[gone].call ->
			waiter_done(message[gone].sender, EPIPE)
		:: else
		fi;
		assert(!more);
		mailbox_unlock();
		request_free(gone);
		gone = NONE
	od;
}

/* kpost_mailbox_detach(), an endpoint that can receive */
inline detach_receiver()
{
	office_lock();
	lock();
	receivers--;
	unlock();
	if
	:: !closed && !persistent && receivers == 0 ->
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
#ifndef WEAK_FINISH
	if
	:: finished ->
		run_room(FINISH, NONE)
	:: else
	fi;
#endif
	mailbox_unlock();
	office_locked = false
}

/* kpost_mailbox_unname() and kpost_mailbox_unnamed() */
inline unlink()
{
	office_lock();
	persistent = false;
	if
	:: receivers == 0 ->
		close()
	:: else
	fi;
	office_locked = false;
	if
	:: closed ->
		drain()
	:: else
	fi
}
