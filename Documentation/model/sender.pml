/* SPDX-License-Identifier: GPL-2.0-only */
/* kpost_send(), once, and then close(2) */
proctype send_task(byte me)
{
	bool mine, gone_for_good;
	LOCALS;

	atomic {
		lock();
		if
		:: message[me].sync = true
		:: true
		fi;
		waiter_init(me);
		commit(me, me);
		if
		:: err == EPIPE || err == EAGAIN ->
			message_free(me)
		:: err == WAITS ->
			wait_for_receipt(me, me)
		:: else
		fi;
		d_step {
			waiter[me].frame = false;
			message[me].told = err;
			check_outcome(me)
		}
		err = OK;
		detach_sender();
		running--
	}
}
