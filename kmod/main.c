// SPDX-License-Identifier: GPL-2.0-only
/*
 * kpost: kernel-mediated mailboxes.
 *
 * The map:
 *
 *	device.c	/dev/kpost: open, unlink, list mailboxes
 *	office.c	one per network namespace: names, and who gives and sees them; sysctl.c
 *			its settings, procfs.c its list for people
 *	mailbox.c	a mailbox: attributes, who is attached, when it closes
 *	room.c		its room: who gets in, and which receiver gets what
 *	endpoint.c	a file on a mailbox: rights, poll, release
 *	fs.c		an office as a file system; fs_file.c a mailbox as a file, fs_dir.c the
 *			directory, fs_name.c names by path, fs_guard.c who may change them else
 *	operation.c	operations that are not worth a file, and structs of other sizes
 *	send.c, recv.c	the hot path; batch.c many messages in one operation
 *	call.c		calls: what becomes of them, and the operation that waits; reply.c
 *			tokens and replies; submit.c calls that are collected or cancelled;
 *			caller.c who has those that nobody waits for
 *	uring.c		operations as io_uring commands; park.c those that wait without a task
 *	message.c	messages; memory.c what they are made of, and what a mailbox keeps
 *			of that; origin.c whom they are from; payload.c what is in them;
 *			usercopy.h how a user's memory is read and written
 *	process.c	processes that received or made calls, which end with them; cancel.c waits
 *			that can be ended by their process
 *	mark.c		numbers of senders', of which each is taken once; hold.c messages that
 *			receivers hold
 *	keyed.c		receiving by tag; replace.c messages that replace others; overflow.c
 *			those that are dropped; expiry.c those whose time is over
 *	queue.c		order by priority; wait.c sleeping and waking; clock.c times, and by which
 *			clock they are
 *	pollers.c	telling those who poll
 *	account.c	who pays; shortage.c who waits until that is possible
 *	compat/		what differs between kernels
 *
 * Lock order, outermost first:
 *
 *	the directory's inode	look-ups and changes by path, see fs_name.c
 *	office->lock		names, attachment, closing
 *	keepers_lock		which mailboxes keep memory; never with the former
 *	  mailbox->lock		list work of one mailbox
 *	    account->lock	who is to be told that a share has room
 *	      teller->lock	whom of those who poll its work has still to tell
 *	    accounts->lock	finding and freeing accounts
 *	    process->lock	the calls that a process has received, its callers, and its waits
 *	    processes_lock	finding and freeing those processes
 *
 * All but the first, which is the kernel's, are spinlocks.  No lock is held while user memory
 * is touched or a task that waits is woken, and no two mailboxes are locked at once.  What is
 * done in one go under office->lock or keepers_lock is bounded, and a mailbox is emptied with no
 * lock held on the office.
 * Nothing runs in interrupt context but process_told() and parked_time_over(), which only
 * queue work.  A work item tells of what there is too much to tell at once, and ends the
 * calls of a process that has ended, and the wait of what is parked at its deadline.
 *
 * Lifetimes:
 *
 *	An open file, of the device or an endpoint, holds the module, its
 *	network namespace, and so the office.  An endpoint holds its mailbox.
 *	The office holds each mailbox that has a name in it.  A mount of its file
 *	system holds module and namespace likewise, and an inode there its mailbox,
 *	which does not know of it.  A message is owned by its sender until it is
 *	committed, then by the mailbox's lists, then by the receiver that has taken
 *	it.  A message uses its origin (which holds a struct pid), and holds what was
 *	charged for it, and its call.  A mailbox holds its maker's account, an
 *	endpoint its opener's.  A waiter is on the stack of its task and reached under
 *	the lock of the list it is in, see wait.h; that of a parked command is in what is parked,
 *	see park.h.  An operation under way, parked or from a worker of io_uring's too, holds its
 *	file.  A work item holds nothing: what it works for waits for it before it goes.  But an
 *	account's holds it where it tells of a share, and frees it when nobody else does; a
 *	process's holds that; and one for a name that came or went by path holds mailbox and
 *	namespace, and is waited for before the module goes.  A process is held by the calls that
 *	it received, by the endpoint that it received through last, by its callers, and by its waits
 *	that can be cancelled, which are on the stacks of their tasks or parked.  A caller holds the
 *	calls in its trees, and goes with the last.
 */
#include <linux/module.h>

#include "endpoint.h"
#include "fs.h"
#include "mailbox.h"
#include "memory.h"
#include "office.h"
#include "pollers.h"
#include "process.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static int __init kpost_init(void)
{
	int err;

	kpost_mailboxes_init();
	err = kpost_pollers_start();
	if (err)
		return err;
	err = kpost_memory_init();
	if (err)
		goto err_pollers;
	err = kpost_offices_init();
	if (err)
		goto err_memory;
	err = kpost_device_init();
	if (err)
		goto err_offices;
	/* Last: a mount would stay, whatever fails after it. */
	err = kpost_fs_init();
	if (err)
		goto err_device;
	return 0;

err_device:
	kpost_device_exit();
err_offices:
	kpost_offices_exit();
err_memory:
	kpost_memory_exit();
err_pollers:
	kpost_pollers_stop();
	return err;
}

static void __exit kpost_exit(void)
{
	kpost_fs_exit();
	kpost_device_exit();
	/* Their work has mailboxes, which are of offices. */
	kpost_processes_exit();
	kpost_offices_exit();
	kpost_memory_exit();
	kpost_pollers_stop();
}

module_init(kpost_init);
module_exit(kpost_exit);

#ifndef KPOST_VERSION /* Kbuild knows it */
#define KPOST_VERSION "unknown"
#endif

/*
 * No alias: opening a device node loads a module by the node's numbers, and the
 * minor is given out when the module is loaded.
 */
MODULE_AUTHOR("The kpost developers");
MODULE_DESCRIPTION("Kernel-mediated mailboxes");
MODULE_LICENSE("GPL");
MODULE_VERSION(KPOST_VERSION);
