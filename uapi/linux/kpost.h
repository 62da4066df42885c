/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * kpost: kernel-mediated mailboxes, the interface of /dev/kpost.
 *
 * An *office* is the table of mailbox names of one network namespace, and
 * /dev/kpost is its counter: an open device belongs to the office of the
 * namespace that it was opened in.  A *mailbox* is a bounded queue of discrete
 * *messages*.  An *endpoint* is a file descriptor on one mailbox, with rights.
 * Operations on the device open and list mailboxes; all others are operations
 * on an endpoint, through ioctl(2) or as an io_uring command (see struct
 * kpost_uring), with the same numbers, structs, checks and errors.
 *
 * Rules that hold for every operation:
 *
 *  - A call that fails has changed nothing, but where its description says so.
 *    Only what is in a buffer that was to be filled is then undefined.
 *  - Unknown flags and non-zero reserved fields are EINVAL.
 *  - Structs grow at their end, and their size is part of the operation's
 *    number.  A larger struct than the kernel knows is taken if all that the
 *    kernel does not know is zero (else E2BIG; the answers of KPOST_IOC_INFO and
 *    KPOST_IOC_STAT are not looked at); one that is smaller than its first version
 *    is EINVAL.  An operation that does not exist, on this kind of
 *    file, is ENOTTY.
 *  - Pointers travel as 64-bit integers, so that 32-bit programs need no
 *    translation.  A bad one is EFAULT.
 *  - Deadlines are absolute, in nanoseconds of the caller's CLOCK_MONOTONIC (that of
 *    its time namespace).  Zero waits for ever; past S64_MAX is EINVAL.  One that has
 *    passed does not wait: what can be done at once is done, else it is ETIMEDOUT.
 *    What means nothing without a wait (a call, KPOST_SYNC) is ETIMEDOUT, and nothing
 *    was sent.
 *  - With KPOST_BOOTTIME a deadline is of the caller's CLOCK_BOOTTIME, which goes on while
 *    the machine sleeps; what is over by then ends when it wakes up.  With KPOST_REALTIME it
 *    is of CLOCK_REALTIME, and follows where that is set: a deadline that is passed so ends
 *    the wait, and one that is farther off so lasts longer.  Both are EINVAL.  Without a
 *    deadline they say nothing.
 *  - KPOST_DONTWAIT, and O_NONBLOCK on the file, never wait: EAGAIN instead.
 *  - A wait ends early with EINTR, or is restarted where the signal's handler was
 *    installed with SA_RESTART, its deadline being absolute.
 *  - Where an operation can wait, its struct has a @cookie: any number, by which another
 *    thread of the process can end the wait, see KPOST_IOC_CANCEL.  The wait is then
 *    ECANCELED, and leaves what one leaves whose deadline has passed; if it has one, or is of
 *    io_uring, it can fail with ENOMEM.
 *  - Structs and buffers are the kernel's from the beginning of an operation to its
 *    end; what another thread writes to a buffer meanwhile may be lost.
 *
 * The order of messages is first in, first out for each sender and priority,
 * with higher priorities first.  In a keyed mailbox, who receives by tag gets those of a tag in
 * that order, and what replaces a message has its place, see KPOST_MATCH and KPOST_REPLACE.
 */
#ifndef _UAPI_LINUX_KPOST_H
#define _UAPI_LINUX_KPOST_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The version of this interface; it changes only if a program could break. */
#define KPOST_ABI_VERSION	1

/* The longest name of a mailbox, in bytes, without the terminating NUL. */
#define KPOST_NAME_MAX		255
/* Priorities are 0 (the lowest, and the one of write(2)) to this. */
#define KPOST_PRIORITY_MAX	32767
/* The longest payload that any mailbox can be made to take, in bytes. */
#define KPOST_PAYLOAD_MAX	(16u << 20)
/* The most entries in a scatter/gather list. */
#define KPOST_IOVEC_MAX		1024

/* The most messages in one operation. */
#define KPOST_BATCH_MAX		1024

/* Rights of an endpoint. */
#define KPOST_RIGHT_SEND	(1u << 0)	/* send and call; FMODE_WRITE */
#define KPOST_RIGHT_RECV	(1u << 1)	/* receive and reply; FMODE_READ */
#define KPOST_RIGHT_ADMIN	(1u << 2)	/* change the mailbox's attributes */

/* Features, bits of kpost_info.features. */
#define KPOST_FEATURE_URING	(1ull << 0)	/* io_uring commands */
#define KPOST_FEATURE_URING_FIXED (1ull << 1)	/* ... with registered buffers */
#define KPOST_FEATURE_TAG	(1ull << 2)	/* tags of messages and replies */
#define KPOST_FEATURE_TIME	(1ull << 3)	/* when a message got in */
#define KPOST_FEATURE_GRANT	(1ull << 4)	/* KPOST_IOC_GRANT, and badges */
#define KPOST_FEATURE_CALL_DEADLINE (1ull << 5)	/* a receiver sees a call's deadline */
#define KPOST_FEATURE_IDENTITY	(1ull << 6)	/* kpost_stat.identity */
#define KPOST_FEATURE_BATCH	(1ull << 7)	/* KPOST_IOC_SENDV, KPOST_IOC_RECVV */
/* KPOST_IOC_CALL_SUBMIT, _COLLECT, _CANCEL, and calls that go on after a signal */
#define KPOST_FEATURE_CALL_SUBMIT (1ull << 8)
#define KPOST_FEATURE_CANCEL	(1ull << 9)	/* KPOST_IOC_CANCEL */
/* what has to wait in io_uring needs no worker, see kpost_uring */
#define KPOST_FEATURE_URING_PARK (1ull << 10)
#define KPOST_FEATURE_SHUT	(1ull << 11)	/* KPOST_SET_SHUT, KPOST_OPEN_SUCCEED */
#define KPOST_FEATURE_PRESENT	(1ull << 12)	/* KPOST_PRESENT */
#define KPOST_FEATURE_STAT_TIMES (1ull << 13)	/* kpost_stat.oldest, and what follows it */
#define KPOST_FEATURE_PEEK	(1ull << 14)	/* KPOST_PEEK */
#define KPOST_FEATURE_OVERFLOW	(1ull << 15)	/* KPOST_DROP_NEW, KPOST_DROP_OLD */
#define KPOST_FEATURE_EXPIRES	(1ull << 16)	/* kpost_send.expires, kpost_recv.expires */
#define KPOST_FEATURE_CLOCKS	(1ull << 17)	/* KPOST_BOOTTIME, KPOST_REALTIME */
#define KPOST_FEATURE_NUMBERED	(1ull << 18)	/* KPOST_NUMBERED, KPOST_GRANT_MARK */
#define KPOST_FEATURE_KEYED	(1ull << 19)	/* KPOST_OPEN_KEYED, KPOST_MATCH, KPOST_REPLACE */
#define KPOST_FEATURE_HOLD	(1ull << 20)	/* KPOST_HOLD, KPOST_RETRY */
#define KPOST_FEATURE_OWNER	(1ull << 21)	/* KPOST_OPEN_OWNER */
#define KPOST_FEATURE_FILES	(1ull << 22)	/* a file system of type kpost */

/**
 * struct kpost_info - answer to KPOST_IOC_INFO
 * @abi_version: KPOST_ABI_VERSION of the module
 * @name_max: longest name
 * @features: mask of KPOST_FEATURE_*
 * @payload_max: longest payload of any mailbox
 * @priority_max: highest priority
 * @iovec_max: most entries of a scatter/gather list
 * @default_messages: capacity of a mailbox in messages if neither is asked for; else it is
 *	@bytes / 512, but at least 16
 * @default_bytes: capacity in payload bytes if none is asked for
 * @user_bytes: how much the mailboxes may count for that one user has made, where each
 *	counts for 1 KiB, its capacity in bytes, and 256 bytes for each message of it, or 448
 *	if it is keyed
 * @user_sending_bytes: how much one user may have under way: messages that wait for room,
 *	messages longer than 64 KiB while they are copied, open calls and the room for their
 *	replies, endpoints that were granted
 * @office_bytes: as @user_bytes, of all users together; a tenth is left to those with
 *	CAP_SYS_RESOURCE in the initial user namespace, who count for no user
 * @office_sending_bytes: as @user_sending_bytes, likewise
 * @user_used: of @user_bytes, by the user of the task that asks
 * @user_sending_used: likewise
 * @office_used: of @office_bytes
 * @office_sending_used: likewise
 *
 * The limits are those of the office, see kpost(4) for their sysctls.  What is written
 * is as for struct kpost_stat.
 */
struct kpost_info {
	__u32 abi_version;
	__u32 name_max;
	__u64 features;
	__u32 payload_max;
	__u32 priority_max;
	__u32 iovec_max;
	__u32 default_messages;
	__u64 default_bytes;
	__u64 user_bytes;
	__u64 user_sending_bytes;
	__u64 office_bytes;
	__u64 office_sending_bytes;
	__u64 user_used;
	__u64 user_sending_used;
	__u64 office_used;
	__u64 office_sending_used;
};

/* The file system of type kpost: f_type of statfs(2). */
#define KPOST_SUPER_MAGIC	0x6b706f73

/* kpost_open.flags */
#define KPOST_OPEN_CREATE	(1u << 0)	/* make the mailbox if it does not exist */
#define KPOST_OPEN_EXCL		(1u << 1)	/* with CREATE: EEXIST if it does */
#define KPOST_OPEN_WAIT		(1u << 2)	/* wait until somebody makes it */
#define KPOST_OPEN_ANONYMOUS	(1u << 3)	/* make a mailbox without a name */
#define KPOST_OPEN_PAIR		(1u << 4)	/* with ANONYMOUS: a second endpoint, to send */
#define KPOST_OPEN_PERSIST	(1u << 5)	/* it outlives its endpoints until unlinked */
#define KPOST_OPEN_NONBLOCK	(1u << 6)	/* set O_NONBLOCK on the endpoint */
#define KPOST_OPEN_SUCCEED	(1u << 7)	/* with CREATE: in place of the one that exists */
#define KPOST_OPEN_KEYED	(1u << 8)	/* the mailbox that is made is indexed by tag */
#define KPOST_OPEN_OWNER	(1u << 9)	/* EPERM if the mailbox is not that user's */

/**
 * struct kpost_open - argument of KPOST_IOC_OPEN
 * @flags: mask of KPOST_OPEN_*; with KPOST_OPEN_WAIT also KPOST_BOOTTIME or KPOST_REALTIME
 * @rights: mask of KPOST_RIGHT_* that the endpoint shall have, not 0
 * @mode: permission bits (0777) of a mailbox that is made, less the umask
 * @messages: its capacity in messages, 0 for @bytes / 512, but at least 16
 * @bytes: its capacity in payload bytes, 0 for the office's default
 * @message_max: its largest payload, at most @bytes and KPOST_PAYLOAD_MAX; 0 for a
 *	quarter of @bytes, so that a sender that polls for room need not find the
 *	mailbox empty
 * @send_fd: out, with KPOST_OPEN_PAIR: the endpoint with KPOST_RIGHT_SEND;
 *	must be 0 on entry
 * @deadline: with KPOST_OPEN_WAIT: how long to wait
 * @cookie: with KPOST_OPEN_WAIT: for KPOST_IOC_CANCEL; else 0
 * @overflow: of a mailbox that is made: mask of KPOST_OVERFLOW_*, what its senders may have
 *	become of messages that find no room, see struct kpost_send; KPOST_OVERFLOW_REPLACE only
 *	with KPOST_OPEN_KEYED
 * @held_max: of a mailbox that is made: how many messages one endpoint may hold, see
 *	KPOST_HOLD; 0 for half of @messages, and more than those is as many
 * @owner: with KPOST_OPEN_OWNER: whose the mailbox has to be, as seen in the caller's user
 *	namespace; else 0
 * @reserved: 0
 * @name: the name, NUL-terminated, at most KPOST_NAME_MAX bytes; any bytes but
 *	'/' and control characters, and not "." or "..".  All zero with
 *	KPOST_OPEN_ANONYMOUS.
 *
 * The fields that describe a new mailbox must be zero where none can be made,
 * and are not looked at further where the mailbox exists already.  A mailbox that is
 * made counts for its maker, all of its capacity at once, until it closes: see
 * kpost_info.user_bytes.  What is in it counts no more.
 *
 * Opening to send needs write permission by the mailbox's mode, opening to
 * receive needs read permission, and KPOST_RIGHT_ADMIN needs its owner; whoever
 * makes a mailbox gets the rights that it asks for.  An anonymous one is made with
 * KPOST_RIGHT_RECV at least, since nobody else could receive from it.
 *
 * With KPOST_OPEN_SUCCEED a mailbox is made in any case.  If there is one of that name, which
 * then has to be the caller's as for KPOST_RIGHT_ADMIN, the new one takes the name from it, and
 * it is shut, in one step: nobody else can have the name in between, and what the old one has
 * taken is for its receivers, see KPOST_SET_SHUT.  Where both have the same maker, only what the
 * new one counts for more than the old is looked at; what is in the old one counts on top of
 * that until it was received.  Who counts for more than its share so is no successor again before
 * that, but of a mailbox that is empty.
 *
 * With KPOST_OPEN_KEYED, which goes where a mailbox can be made, that one is *keyed*, for good:
 * what is in it can be received by tag (KPOST_MATCH), at a cost that does not grow with what else
 * is queued, nor with who else waits, and replaced (KPOST_REPLACE).  Each message of its capacity
 * counts for 192 bytes more.  Where the mailbox exists already, it is what it is; a successor is
 * keyed only if that is asked for.
 *
 * Any user can take a name that is free, and give its mailbox a mode that lets others in.  With
 * KPOST_OPEN_OWNER only @owner's mailbox is opened: one that is there, or comes while it is waited
 * for, or is to be succeeded, has to be that user's, and so has one that would be made, which is
 * the caller's; else it is EPERM, and nothing was made.  That is looked at when it is opened, and
 * last: who may not open it is told EACCES, whoever's it is.  It does not go with
 * KPOST_OPEN_ANONYMOUS.
 *
 * Names that begin as net.kpost.reserved says ("sys." unless root has set it), see kpost(4), are
 * for the office's root to give: for others it is EPERM to make a mailbox of such a name, but to
 * succeed one.
 *
 * On a non-blocking device, KPOST_OPEN_WAIT is EAGAIN where it would wait.
 *
 * On the directory of a file system of type kpost it makes mailboxes, as mkfifo(2) there does,
 * where all that guards paths lets it; KPOST_OPEN_CREATE has to be set.  A mailbox that is there
 * is opened by open(2), and asking for it here is EOPNOTSUPP, as is KPOST_OPEN_SUCCEED.  Where
 * the mount maps owners, no operation on the directory goes (ENOTTY).
 *
 * Returns the endpoint, a file descriptor with close-on-exec set.
 *
 * Errors: EACCES (mode, or not the owner), EAGAIN, ECANCELED, EEXIST, EINVAL (flags, rights, mode,
 * capacities, name, deadline, cookie, an owner that is not mapped), ENAMETOOLONG (no NUL in @name),
 * ENOENT, EPERM (not @owner's; a name that is reserved), ETIMEDOUT, EINTR, EDQUOT (more than
 * kpost_info.user_bytes), ENOSPC (more than kpost_info.office_bytes), EMFILE, ENFILE, ENOMEM,
 * EFAULT; on a directory also EOPNOTSUPP, EROFS and EOVERFLOW (the user is none that the file
 * system knows).
 */
struct kpost_open {
	__u32 flags;
	__u32 rights;
	__u32 mode;
	__u32 messages;
	__u64 bytes;
	__u32 message_max;
	__s32 send_fd;
	__u64 deadline;
	__u64 cookie;
	__u32 overflow;
	__u32 held_max;
	__u32 owner;
	__u32 reserved;
	char name[KPOST_NAME_MAX + 1];
};

/**
 * struct kpost_unlink - argument of KPOST_IOC_UNLINK
 * @flags: 0
 * @reserved: 0
 * @name: the name, as in struct kpost_open
 *
 * Takes the name away at once, and persistence with it.  Endpoints go on; the
 * mailbox closes when nobody can receive from it any more, and its receivers are
 * told of the end once it is empty and nobody can send to it any more.  Only the
 * mailbox's owner may.
 *
 * Errors: EACCES (not the owner), EINVAL, ENAMETOOLONG, ENOENT, EFAULT; on a directory of a file
 * system of type kpost, where it goes too, also EROFS and ENOMEM.
 */
struct kpost_unlink {
	__u32 flags;
	__u32 reserved;
	char name[KPOST_NAME_MAX + 1];
};

/* Flags of the operations on messages; each struct says which it takes. */
#define KPOST_DONTWAIT		(1u << 0)	/* EAGAIN instead of waiting */
#define KPOST_IOVEC		(1u << 1)	/* buf is an array of struct kpost_iovec */
#define KPOST_REPLY_IOVEC	(1u << 2)	/* so is reply_buf */
#define KPOST_SYNC		(1u << 3)	/* wait until the message was received */
#define KPOST_TRUNCATE		(1u << 4)	/* cut off what does not fit */
#define KPOST_DROP		(1u << 5)	/* give the call up instead of replying */
#define KPOST_WANT_SEQUENCE	(1u << 6)	/* tell the message's sequence number */
#define KPOST_PRESENT		(1u << 7)	/* ENXIO if nobody can receive now */
#define KPOST_PEEK		(1u << 8)	/* leave the message where it is */
#define KPOST_DROP_NEW		(1u << 9)	/* where there is no room, drop this message */
#define KPOST_DROP_OLD		(1u << 10)	/* ... drop older ones */
#define KPOST_BOOTTIME		(1u << 11)	/* deadlines are of CLOCK_BOOTTIME */
#define KPOST_REALTIME		(1u << 12)	/* ... of CLOCK_REALTIME */
#define KPOST_NUMBERED		(1u << 13)	/* not if that number was sent before */
#define KPOST_MATCH		(1u << 14)	/* receive a message of this tag */
#define KPOST_REPLACE		(1u << 15)	/* replace the queued message of this tag */
#define KPOST_HOLD		(1u << 16)	/* have the message until it is done with */
#define KPOST_DONE		(1u << 17)	/* the held message is done with: receive it */
#define KPOST_RETURN		(1u << 18)	/* it is not: put it back */
#define KPOST_RETRY		(1u << 19)	/* a call that may be done twice: it can be held */
#define KPOST_TOKENS		(1u << 20)	/* buf is an array of tokens */

/* What the senders of a mailbox may have become of messages that find no room. */
#define KPOST_OVERFLOW_DROP_NEW	(1u << 0)	/* KPOST_DROP_NEW */
#define KPOST_OVERFLOW_DROP_OLD	(1u << 1)	/* KPOST_DROP_OLD */
#define KPOST_OVERFLOW_ANY	(1u << 2)	/* messages of others too */
#define KPOST_OVERFLOW_REPLACE	(1u << 3)	/* KPOST_REPLACE; of a keyed mailbox */

/**
 * struct kpost_iovec - one piece of a payload
 * @base: address
 * @len: bytes
 *
 * The same layout as struct iovec of a 64-bit program.
 */
struct kpost_iovec {
	__u64 base;
	__u64 len;
};

/* kpost_send.out_flags */
#define KPOST_SEND_REPEATED	(1u << 0)	/* its number was sent before: nothing was done */

/**
 * struct kpost_send - argument of KPOST_IOC_SEND
 * @flags: KPOST_DONTWAIT, KPOST_IOVEC, KPOST_SYNC, KPOST_WANT_SEQUENCE, KPOST_PRESENT,
 *	KPOST_DROP_NEW, KPOST_DROP_OLD, KPOST_REPLACE, KPOST_BOOTTIME, KPOST_REALTIME,
 *	KPOST_NUMBERED
 * @priority: 0 to KPOST_PRIORITY_MAX
 * @deadline: when to give up waiting for room, and with KPOST_SYNC for receipt
 * @buf: the payload, or with KPOST_IOVEC its pieces
 * @len: bytes of @buf, or with KPOST_IOVEC the number of pieces
 * @tag: any number, for the receiver: what kind of message it is, or which key it is of
 * @cookie: for KPOST_IOC_CANCEL
 * @expires: when the message is of no use any more, by the clock of @deadline; 0 for never
 * @sequence: out, with KPOST_WANT_SEQUENCE and success: the message's number in this
 *	mailbox, from 1 up.  That the struct can be written to is looked at before the
 *	message is sent; if that memory is taken away meanwhile, the number is lost,
 *	and the message was sent all the same.
 * @number: with KPOST_NUMBERED: the sender's own number of the message, not 0
 * @out_flags: out, with KPOST_NUMBERED and success: mask of KPOST_SEND_*; written as @sequence is
 * @reserved: 0.  This and @number are looked at with KPOST_NUMBERED only
 *
 * With KPOST_SYNC the sender waits until a receiver has the message.  If it
 * leaves before (signal, deadline), the message is withdrawn.  That cannot be had
 * without waiting, so with KPOST_DONTWAIT it is EINVAL, and EAGAIN on a
 * non-blocking endpoint.
 *
 * A mailbox can be without receivers: one that is persistent, or whose first has yet to come.
 * What is sent then waits for one, but with KPOST_PRESENT that is ENXIO, and nothing was sent.
 * What is looked at is whether an endpoint can receive when the operation begins.
 *
 * A message that finds no room waits, but with one of these flags, which the mailbox has to let
 * its senders use (else EPERM), and which do not go with KPOST_SYNC:
 *
 *  - KPOST_DROP_NEW: it is dropped, and that is success.  @sequence is 0.
 *  - KPOST_DROP_OLD: the oldest messages of the lowest priority make room for it, 16 at the most,
 *    if they are of no higher priority than it, and it then fits; else it is as if this was not
 *    asked for.  Only messages are dropped that came through an endpoint of the same badge, or if
 *    that is 0, of the same opener (kpost_recv.opener_uid), but from a mailbox that was made with
 *    KPOST_OVERFLOW_ANY any; and no calls, nor messages sent with KPOST_SYNC.
 *
 * With KPOST_REPLACE (EINVAL if the mailbox is not keyed, EPERM if it does not let its senders do
 * that, and not with KPOST_SYNC), if there is a message of the same @tag in the mailbox, this one
 * takes its place in line: it is received when that would have been, with the priority of that,
 * and has a number and a time of its own.  Only a message is replaced that came through an endpoint
 * of the same badge, or if that is 0, of the same opener, but in a mailbox that was made with
 * KPOST_OVERFLOW_ANY any; of several the last; and no call, nor one sent with KPOST_SYNC, nor one
 * that is just being received, that waits for room, or that was sent before the mailbox let its
 * senders replace for the first time.  For what the message is larger than the one it replaces it
 * needs room, for which it waits as any other, or is dropped with KPOST_DROP_NEW; KPOST_DROP_OLD
 * is of no effect then.  The same goes where one of that @tag and badge, or opener, waits for room
 * already: none is passed by what was sent later at no higher priority, nor replaces it when there
 * is room.  One that is held and comes back is received at its own place, which can be behind.
 * Where there is nothing to replace, it is sent as if this was not asked for.
 *
 * What is dropped or replaced so is counted, and the next receiver is told, see kpost_recv.missed.
 *
 * A message that waits past @expires, for room or to be received, is dropped, and makes room,
 * though nobody receives: soon after that time, and no receive that begins later gets it.  A
 * sender that waits, for room or with KPOST_SYNC for receipt, gets ETIMEDOUT.  One that was in the
 * mailbox is counted as those are that found no room.  What a receiver has begun to copy by then
 * is received, unless memory has to be brought in for it.  Where @expires has passed already it is
 * ETIMEDOUT, and nothing was sent.  With KPOST_REALTIME it has passed when CLOCK_REALTIME is set
 * past it, and is yet to come when that is set back before it, until the message was dropped.
 *
 * With KPOST_NUMBERED the message is taken only if @number is above the mark that the mailbox has
 * for the endpoint's badge, see KPOST_GRANT_MARK (ENOENT without one), which it becomes in the
 * moment in which the message gets in, or is dropped as KPOST_DROP_NEW says.  Else that is success,
 * nothing was done, @out_flags has KPOST_SEND_REPEATED, and @sequence is 0.  So who does not know
 * what of it was sent, after a crash, sends it again, and doubles nothing.  One that waits for
 * room is looked at again when there is some.  What expires, or is dropped for another, was sent.
 * It does not go with KPOST_SYNC, which may withdraw what has moved the mark, nor with
 * KPOST_REPLACE.
 *
 * A message of up to 64 KiB that finds room meets no limit but the mailbox's own.  One
 * that has to wait, or is longer, counts for who sends it until it is in the mailbox: see
 * kpost_info.user_sending_bytes.  An endpoint that was refused for that is not EPOLLOUT
 * until something of that was given back.
 *
 * Returns 0.
 *
 * Errors: EAGAIN, EBADF (no KPOST_RIGHT_SEND), ECANCELED, EDQUOT (more than
 * kpost_info.user_sending_bytes), EFAULT, EINTR, EINVAL, EMSGSIZE (longer than the
 * mailbox's message_max), ENOBUFS (more than kpost_info.office_sending_bytes), ENOENT (there is
 * no mark, with KPOST_NUMBERED), ENOMEM, ENXIO (nobody can receive, with KPOST_PRESENT), EPERM (the
 * mailbox does not let its senders drop or replace so),
 * EPIPE (the mailbox is closed or shut), ETIMEDOUT (@deadline, or @expires).
 */
struct kpost_send {
	__u32 flags;
	__u32 priority;
	__u64 deadline;
	__u64 buf;
	__u64 len;
	__u64 tag;
	__u64 cookie;
	__u64 expires;
	__u64 sequence;
	__u64 number;
	__u32 out_flags;
	__u32 reserved;
};

/* kpost_recv.message_flags, kpost_call.message_flags, kpost_call_collect.message_flags */
#define KPOST_MESSAGE_CALL	(1u << 0)	/* the sender waits for a reply */
#define KPOST_MESSAGE_TRUNCATED	(1u << 1)	/* size is more than was stored */
#define KPOST_MESSAGE_SYNC	(1u << 2)	/* the sender waits for receipt */
#define KPOST_MESSAGE_MIXED_IDS	(1u << 3)	/* uid and gid alone do not tell who means it */
#define KPOST_MESSAGE_RECEIVED	(1u << 4)	/* somebody has received the request */
#define KPOST_MESSAGE_HELD	(1u << 5)	/* the message is held, and token is for that */

/**
 * struct kpost_recv - argument of KPOST_IOC_RECV
 * @flags: KPOST_DONTWAIT, KPOST_IOVEC, KPOST_TRUNCATE, KPOST_PEEK, KPOST_MATCH, KPOST_HOLD,
 *	KPOST_BOOTTIME, KPOST_REALTIME
 * @message_flags: out, mask of KPOST_MESSAGE_*
 * @deadline: when to give up waiting for a message
 * @buf: where the payload goes, or with KPOST_IOVEC the pieces
 * @len: bytes of @buf, or with KPOST_IOVEC the number of pieces
 * @cookie: for KPOST_IOC_CANCEL
 * @hold_until: with KPOST_HOLD: when the message goes back by itself, by the clock of @deadline, 0
 *	for never; else it is not looked at
 * @tag: out, what the sender set, or for write(2) what the endpoint was granted with; with
 *	KPOST_MATCH in, too: of which messages the next is wanted
 * @size: out, bytes of the message's payload, however many were stored
 * @sequence: out, the message's number in this mailbox, from 1 up
 * @token: out, for KPOST_IOC_REPLY if this is a call or held, else 0
 * @reply_max: out, the longest reply that the caller has room for
 * @badge: out, of the endpoint that it was sent through, see struct kpost_grant
 * @time: out, when it got into the mailbox, in nanoseconds of the receiver's
 *	CLOCK_MONOTONIC, by the tick (CLOCK_MONOTONIC_COARSE)
 * @call_deadline: out, when the caller gives up, by the receiver's CLOCK_MONOTONIC, whichever clock
 *	the caller goes by: where that is another, it is when it will be as far as can be told when
 *	the call is received, and what is done to that clock later is not seen.  0 if never, or if
 *	this is no call; 1 if it was before that clock began
 * @priority: out
 * @pid: out, the sender's process, as seen in the receiver's pid namespace, or 0
 *	where it is not visible there
 * @uid: out, the real user of the task that sent, when it sent, as seen in the
 *	receiver's user namespace, or the overflow user
 * @gid: out, likewise its group
 * @opener_uid: out, the effective user that opened the endpoint it was sent through,
 *	when it opened it, likewise
 * @opener_gid: out, likewise its group
 * @missed: out, how many messages senders have had dropped or replaced, or have expired, since
 *	somebody was told so last
 * @attempts: out, how often the message was held and has come back
 * @expires: out, when the message is of no use any more, by the receiver's CLOCK_MONOTONIC, as
 *	@call_deadline is for a call; 0 if never
 *
 * Returns how many bytes were stored.
 *
 * Trust @uid and @gid for a permission only where KPOST_MESSAGE_MIXED_IDS is not set:
 * then the sender's real and effective ids and the opener's are all the same.  Where it
 * is set, somebody may have started a privileged program with an endpoint of its own
 * (then @opener_uid says who), or passed an endpoint on; @uid is good for accounting.
 *
 * A message longer than the buffer stays where it is: EMSGSIZE, and @size (and no
 * other field) tells the size needed.  With KPOST_TRUNCATE its beginning is
 * stored, the rest is lost, and KPOST_MESSAGE_TRUNCATED says so.  A buffer that
 * faults loses nothing: the message is in the mailbox until all of it was copied.
 *
 * With KPOST_PEEK the next message is copied, and stays: what is told of it is as ever, but
 * @token, @reply_max and @call_deadline are 0.  It keeps nobody from receiving it meanwhile; if
 * the copy has to wait for memory, and it was received by then, the next one is copied instead.
 * No message is waited for: EAGAIN if there is none.  One of more than 64 KiB counts meanwhile for
 * who looks, see kpost_info.user_sending_bytes (EDQUOT, ENOBUFS).
 *
 * With KPOST_HOLD the message is not received yet: it keeps its room in the mailbox, and @token
 * is for KPOST_IOC_REPLY to say what becomes of it, with KPOST_DONE or KPOST_RETURN; a sender with
 * KPOST_SYNC waits for that.  If none of it is said it goes back to its place when the process
 * (thread group) that holds it ends, the endpoint is closed, or @hold_until has passed: then the
 * next receiver has it, and @attempts tells.  A sender or caller that leaves meanwhile withdraws
 * it, though the work may have been done.  It does not expire while it is held.  A call is only
 * held if its caller said KPOST_RETRY; else it is received, as KPOST_MESSAGE_HELD tells.  What is
 * held counts, as 512 bytes each, for who holds it, see kpost_info.user_sending_bytes.  One
 * endpoint holds at most kpost_stat.held_max messages, and none beyond that part of the mailbox's
 * bytes, but one: else EBUSY.  With KPOST_PEEK or KPOST_MATCH it is EINVAL.
 *
 * With KPOST_MATCH, on a keyed mailbox (else EINVAL), it is the next message of exactly that @tag,
 * or, if there is none, the next that comes.  A message goes to whoever has waited longest of those
 * who want it, by its tag or any.  What waits for room is found at its priority, too, so that a
 * mailbox full of other tags holds nobody up: it gets in when it is received, and counts for its
 * sender until then.  (But not one that is to replace what is in the mailbox, nor what waits behind
 * that of this @tag; and not with KPOST_PEEK, which looks at what is in the mailbox.)  EPIPE means
 * that there is none of that tag, and can never be.  As an io_uring command such a receive is not
 * parked: where it has to wait it is left to a worker.
 *
 * Errors: EAGAIN, EBADF (no KPOST_RIGHT_RECV), EBUSY (too many look at the message, with
 * KPOST_PEEK; the endpoint holds too much, with KPOST_HOLD), ECANCELED, EDQUOT and ENOBUFS (with
 * KPOST_PEEK or KPOST_HOLD), EFAULT, EINTR, EINVAL, EMSGSIZE, ENOMEM, EPIPE (the mailbox is empty,
 * and was shut, or has no name, because it never had one or was unlinked, and its last sender has
 * gone), ETIMEDOUT (@deadline, or @hold_until has passed).
 */
struct kpost_recv {
	__u32 flags;
	__u32 message_flags;
	__u64 deadline;
	__u64 buf;
	__u64 len;
	__u64 cookie;
	__u64 hold_until;
	__u64 tag;
	__u64 size;
	__u64 sequence;
	__u64 token;
	__u64 reply_max;
	__u64 badge;
	__u64 time;
	__u64 call_deadline;
	__u32 priority;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	__u32 opener_uid;
	__u32 opener_gid;
	__u64 missed;
	__u64 attempts;
	__u64 expires;
};

/**
 * struct kpost_batch - argument of KPOST_IOC_SENDV and KPOST_IOC_RECVV
 * @flags: KPOST_DONTWAIT, KPOST_BOOTTIME, KPOST_REALTIME
 * @count: how many entries there are, 1 to KPOST_BATCH_MAX
 * @entries: an array of struct kpost_send, or of struct kpost_recv
 * @entry_size: size of one of them, as the caller knows it
 * @error: out, if something was done: 0, or the -errno of the first entry that was not
 * @deadline: when to give up waiting
 * @cookie: for KPOST_IOC_CANCEL
 *
 * Sends or receives many messages, in the order of their entries, as if one were done after
 * the other.  Each entry is what KPOST_IOC_SEND or KPOST_IOC_RECV would take, and is filled in
 * as there, but that @deadline and @cookie must be 0 in it, and of the flags only KPOST_IOVEC,
 * KPOST_WANT_SEQUENCE, KPOST_PRESENT, KPOST_DROP_*, KPOST_REPLACE, KPOST_NUMBERED, KPOST_TRUNCATE,
 * KPOST_MATCH, KPOST_HOLD, and, for @expires and @hold_until, KPOST_BOOTTIME and KPOST_REALTIME are
 * known.  What others do may come in between.
 *
 * SENDV waits until all are in the mailbox.  RECVV waits for the first, and takes what else is
 * there.  Either ends with the first entry that cannot be done; the entries behind it are as
 * they were, but for what a receive may have written to their buffers and fields that are out.
 * With KPOST_DONTWAIT, and on a non-blocking endpoint, EAGAIN is such an error of SENDV's; that
 * there are no more messages is none of RECVV's.
 *
 * Returns how many were done; or if that is none, the error of the first.  That @error can be
 * written to is looked at before; if that memory is taken away meanwhile, it is lost.
 *
 * As an io_uring command, SENDV waits as any other: each message that finds no room is in the
 * mailbox's line, and the ring's task sends those behind it once that is let in.
 *
 * Errors: those of KPOST_IOC_SEND and KPOST_IOC_RECV, and EINVAL (flags, @count, @entry_size
 * below the first version's, @deadline).
 */
struct kpost_batch {
	__u32 flags;
	__u32 count;
	__u64 entries;
	__u32 entry_size;
	__s32 error;
	__u64 deadline;
	__u64 cookie;
};

/**
 * struct kpost_call - argument of KPOST_IOC_CALL
 * @flags: KPOST_IOVEC, KPOST_REPLY_IOVEC, KPOST_PRESENT (as in struct kpost_send), KPOST_RETRY
 *	(both of no effect for one that goes on), KPOST_BOOTTIME, KPOST_REALTIME; KPOST_DONTWAIT is
 *	EINVAL, since a call waits, and on a non-blocking endpoint it is EAGAIN
 * @priority: of the request
 * @deadline: when to give up on room, receipt or reply
 * @buf: the request, or with KPOST_IOVEC its pieces
 * @len: bytes of @buf, or the number of pieces
 * @reply_buf: where the reply goes, or with KPOST_REPLY_IOVEC the pieces
 * @reply_len: bytes of @reply_buf, or the number of pieces; the reply can be no
 *	longer, and that much memory is reserved before the request is sent, and counts as
 *	kpost_info.user_sending_bytes says
 * @tag: the request's, as in struct kpost_send
 * @cookie: for KPOST_IOC_CANCEL
 * @id: in and out: 0, or the call that goes on
 * @sequence: out, the request's number in this mailbox, or 0 if it never got in
 * @reply_tag: out, what the replier set; 0 if nobody replied
 * @badge: out, of the endpoint that the call was replied to or given up through; 0 if
 *	nobody did
 * @time: out, when that was, as in struct kpost_recv; likewise
 * @message_flags: out, mask of KPOST_MESSAGE_RECEIVED (the request was received) and
 *	KPOST_MESSAGE_MIXED_IDS (of who replied)
 * @pid: out, the process that replied or gave the call up, as in struct kpost_recv;
 *	0 if nobody did
 * @uid: out, its real user, or the overflow user if nobody did
 * @gid: out, likewise its group
 * @opener_uid: out, who opened the endpoint that it replied through, likewise
 * @opener_gid: out, likewise its group
 *
 * Returns how many bytes the reply has.
 *
 * Before the request is sent @id is set to the call's number.  If a signal ends the wait (EINTR)
 * when the request is in the mailbox, the call goes on without its caller, and @id stays: the same
 * operation with the same struct waits for the same reply, and does not send again.  So nothing is
 * lost when a signal's handler has SA_RESTART, nor when the caller is stopped, frozen or traced.
 * What is not to go on is given up with KPOST_IOC_CALL_CANCEL; with the process, and with the
 * endpoint, it ends.  A call whose io_uring command is cancelled while it waits (ECANCELED) does
 * not go on.
 *
 * A call that goes on is of the same process (thread group) and endpoint.  What the request was is
 * not looked at again; a reply that has come by then is taken, also if @deadline has passed.
 *
 * After each other return @id is 0, but what fails without a look at the call that goes on leaves
 * that as it is, and @id with it: E2BIG, EAGAIN, EBADF, EINVAL, EMSGSIZE, ENOMEM, EFAULT if @id is
 * not 0 then, and ECANCELED of an io_uring command that had not begun.
 *
 * The fields that are out are written however the call ends, once the request was ready
 * to be sent: with success, ECONNRESET, EPIPE, ETIMEDOUT, with EINTR if it does not go on, and
 * with EFAULT if the reply was lost.  That the struct can be written to is looked at before the
 * request is sent; if that memory is taken away meanwhile, they are lost, and the result stands.
 * A request that was not received has had no effect, so doing the call again is safe.
 *
 * With KPOST_RETRY a receiver may hold the request, see struct kpost_recv: if it dies another gets
 * it.  It is received when it is replied to; what was done with it before may be done again, also
 * where it was withdrawn in the end.
 *
 * If the caller gives up before its request was received, the request is withdrawn.
 * If it does after that, the replier gets ECANCELED.  The memory for the reply is looked at
 * before the request is sent; if it is taken away while the call is under way, the reply is lost
 * with EFAULT.
 *
 * Errors: EAGAIN, EBADF (no KPOST_RIGHT_SEND), ECANCELED, ECONNRESET (after the request was
 * received, the endpoint was closed, the process that had received it ended, or the call was
 * given up), EDQUOT and ENOBUFS (as in struct kpost_send), EFAULT, EINTR, EINVAL, EMSGSIZE (request
 * or reply room too long; or @reply_len is less than it was when the call that goes on was made),
 * ENOENT (no such call of this process and endpoint that goes on), ENOMEM, ENXIO (nobody can
 * receive, with KPOST_PRESENT), EPIPE (the mailbox is closed or shut, or closed before the request
 * was received), ETIMEDOUT.
 */
struct kpost_call {
	__u32 flags;
	__u32 priority;
	__u64 deadline;
	__u64 buf;
	__u64 len;
	__u64 reply_buf;
	__u64 reply_len;
	__u64 tag;
	__u64 cookie;
	__u64 id;
	__u64 sequence;
	__u64 reply_tag;
	__u64 badge;
	__u64 time;
	__u32 message_flags;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	__u32 opener_uid;
	__u32 opener_gid;
};

/**
 * struct kpost_call_submit - argument of KPOST_IOC_CALL_SUBMIT
 * @flags: KPOST_DONTWAIT, KPOST_IOVEC, KPOST_PRESENT, KPOST_RETRY (as in struct kpost_call),
 *	KPOST_BOOTTIME, KPOST_REALTIME
 * @priority: of the request
 * @deadline: when to give up waiting for room; the receiver is told of it, and else nothing
 *	happens then
 * @buf: the request, or with KPOST_IOVEC its pieces
 * @len: bytes of @buf, or the number of pieces
 * @reply_max: how many bytes the reply can have at the most; that much memory is reserved, as
 *	for struct kpost_call
 * @tag: the request's, as in struct kpost_send
 * @user_data: any number, for who collects the reply
 * @cookie: for KPOST_IOC_CANCEL
 * @id: out, the call's number, never another's
 * @sequence: out, the request's number in this mailbox
 *
 * Sends a request, and returns when it is in the mailbox: 0.  The call is then under way, and
 * belongs to this process (thread group) and endpoint.  It ends when its reply has been
 * collected, when it is cancelled, with the process and with the endpoint.  It takes no thread,
 * and counts as kpost_info.user_sending_bytes says until then.
 *
 * That @id and @sequence can be written to is looked at before the request is sent.
 *
 * Errors: EAGAIN, EBADF (no KPOST_RIGHT_SEND), ECANCELED (cancelled while it waited for room),
 * EDQUOT and ENOBUFS (as in struct kpost_send), EFAULT, EINTR, EINVAL, EMSGSIZE, ENOMEM, ENXIO
 * (nobody can receive, with KPOST_PRESENT), EPIPE, ETIMEDOUT; nothing was sent then.
 */
struct kpost_call_submit {
	__u32 flags;
	__u32 priority;
	__u64 deadline;
	__u64 buf;
	__u64 len;
	__u64 reply_max;
	__u64 tag;
	__u64 user_data;
	__u64 cookie;
	__u64 id;
	__u64 sequence;
};

/**
 * struct kpost_call_collect - argument of KPOST_IOC_CALL_COLLECT
 * @flags: KPOST_DONTWAIT, KPOST_IOVEC, KPOST_BOOTTIME, KPOST_REALTIME
 * @reserved: 0
 * @deadline: when to give up waiting
 * @buf: where the reply goes, or with KPOST_IOVEC the pieces
 * @len: bytes of @buf, or the number of pieces
 * @cookie: for KPOST_IOC_CANCEL
 * @id: in, a call that was submitted, or 0: any; out, which it was
 * @user_data: out, as submitted
 * @size: out, bytes of the reply
 * @sequence: out, as in struct kpost_call, as are all that follow
 * @reply_tag: out
 * @badge: out
 * @time: out
 * @message_flags: out
 * @pid: out
 * @uid: out
 * @gid: out
 * @opener_uid: out
 * @opener_gid: out
 *
 * Takes the reply of a call that this process has submitted through this endpoint.  Any means
 * the one that came first, of those that are there, or the next, also of a call that is submitted
 * later; a call that KPOST_IOC_CALL waits for is none of them.  Where the mailbox is closed or
 * shut, and there are none, that is EPIPE, and @id stays 0.  What is there is taken also if
 * @deadline has passed.
 *
 * Returns how many bytes the reply has; or if there is none and never will be, ECONNRESET or
 * EPIPE, as KPOST_IOC_CALL does.  With these the fields that are out are written and the call is
 * over.  After each other error nothing was written, but @size with EMSGSIZE, and what a copy
 * that failed may have put into @buf, and the reply can still be collected.
 *
 * Whether there is something to collect, poll(2) says with EPOLLPRI, and on an endpoint without
 * KPOST_RIGHT_RECV with EPOLLIN too: for the process that polls.  So processes that share an epoll
 * instance may each miss what is the others', and want one each.
 *
 * Errors: EAGAIN, EBADF (no KPOST_RIGHT_SEND), EBUSY (another thread waits for that one, or is
 * collecting it), ECANCELED (it was cancelled meanwhile; of any: all were), ECONNRESET, EFAULT,
 * EINTR, EINVAL, EMSGSIZE (the reply is longer than @len), ENOENT (no call with that @id), ENOMEM,
 * EPIPE, ETIMEDOUT.
 */
struct kpost_call_collect {
	__u32 flags;
	__u32 reserved;
	__u64 deadline;
	__u64 buf;
	__u64 len;
	__u64 cookie;
	__u64 id;
	__u64 user_data;
	__u64 size;
	__u64 sequence;
	__u64 reply_tag;
	__u64 badge;
	__u64 time;
	__u32 message_flags;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	__u32 opener_uid;
	__u32 opener_gid;
};

/**
 * struct kpost_call_cancel - argument of KPOST_IOC_CALL_CANCEL
 * @id: a call that was submitted, or goes on after a signal; or 0: all that were submitted
 * @flags: 0
 * @message_flags: out, if @id is one: as in struct kpost_call
 * @sequence: out, likewise
 *
 * Gives up calls of this process and endpoint.  A request that was not received is withdrawn,
 * and has had no effect; else the replier gets ECANCELED.  A reply that has come is lost, but one
 * that another thread is collecting is left to it.  Who waits for what is given up, and with all
 * also who waits for any, gets ECANCELED.  Never waits.
 *
 * Returns how many there were.
 *
 * Errors: EBADF (no KPOST_RIGHT_SEND), EBUSY (another thread is collecting it), EFAULT, EINVAL,
 * ENOENT (no call with that @id).
 */
struct kpost_call_cancel {
	__u64 id;
	__u32 flags;
	__u32 message_flags;
	__u64 sequence;
};

/**
 * struct kpost_reply - argument of KPOST_IOC_REPLY
 * @flags: KPOST_IOVEC; or KPOST_DROP: no reply, the caller gets ECONNRESET; or KPOST_DONE or
 *	KPOST_RETURN, also with KPOST_TOKENS, KPOST_RETURN with KPOST_BOOTTIME or KPOST_REALTIME
 * @reserved: 0
 * @token: the call's, or what stands for the held message, as received through this endpoint; 0
 *	with KPOST_TOKENS
 * @buf: the reply, or with KPOST_IOVEC its pieces; with KPOST_TOKENS an array of tokens; else 0
 *	with KPOST_DROP, KPOST_DONE and KPOST_RETURN
 * @len: bytes of @buf, or the number of pieces, or of tokens, 1 to KPOST_BATCH_MAX; or 0 as @buf
 * @tag: any number, for the caller; 0 with KPOST_DROP, KPOST_DONE and KPOST_RETURN
 * @not_before: with KPOST_RETURN: when the message can be received again, by the clock that @flags
 *	say, as for deadlines; 0, or one that has passed, for at once.  Else 0
 *
 * Never waits.  A token works once, and only on the endpoint that received the
 * call, or holds the message.  It is used up by success and by ECANCELED, and by nothing else.
 *
 * KPOST_DONE says of a message that is held that it is done with: now it is received.  A call is
 * so by its reply, or KPOST_DROP: it is EINVAL here.  KPOST_RETURN puts a message back to its
 * place, also a call, for the next receiver.  One that is not to be given before a time keeps
 * nobody waiting for it from those behind it; it keeps its room meanwhile, counts for who returned
 * it, and does not expire before.
 *
 * With KPOST_TOKENS this is done for each token of the array, as if one after the other; but one
 * whose sender has left is not told apart, and counts as done.
 *
 * Returns 0; with KPOST_TOKENS how many were done, and if that is less than @len the next one
 * was not.
 *
 * Errors: EBADF (no KPOST_RIGHT_RECV), EBUSY (another thread is replying to this
 * token), ECANCELED (the caller or sender has left; nothing goes back, or counts as received),
 * EFAULT, EINVAL (also a reply to a held message that is no call), EMSGSIZE (longer than the
 * caller's room), ENOENT (no such token here: unknown, used or foreign, or what was held has gone
 * back), ENOMEM (for the list of pieces).  EDQUOT, ENOBUFS and ENOMEM, as in struct kpost_send,
 * where @not_before is to come, and another user held the message.  With KPOST_TOKENS those of the
 * first.
 */
struct kpost_reply {
	__u32 flags;
	__u32 reserved;
	__u64 token;
	__u64 buf;
	__u64 len;
	__u64 tag;
	__u64 not_before;
};

/**
 * struct kpost_reply_recv - argument of KPOST_IOC_REPLY_RECV
 * @reply: address of a struct kpost_reply
 * @recv: address of a struct kpost_recv
 * @reply_size: sizeof(struct kpost_reply)
 * @recv_size: sizeof(struct kpost_recv)
 *
 * Replies, then receives the next message, in one operation: the loop of a
 * server, or with KPOST_DONE and KPOST_HOLD of a worker; KPOST_TOKENS is EINVAL.  A token of 0 in
 * @reply only receives.  When the token was used up, it
 * is set to 0 in the caller's struct, so that whatever becomes of the receiving
 * half (EINTR and its restart, EAGAIN, ETIMEDOUT), doing the same again does
 * not reply twice, and tells which half failed.
 *
 * Returns what KPOST_IOC_RECV returns.  Errors: those of KPOST_IOC_REPLY, after
 * which nothing was received, and of KPOST_IOC_RECV.
 */
struct kpost_reply_recv {
	__u64 reply;
	__u64 recv;
	__u32 reply_size;
	__u32 recv_size;
};

/**
 * struct kpost_cancel - argument of KPOST_IOC_CANCEL
 * @cookie: of the operations that are to end; or 0: all
 * @flags: 0
 * @reserved: 0
 *
 * Ends operations of this process (thread group) that wait, through this endpoint, or on the
 * device: those that were given this @cookie, or with 0 those that have one and all of io_uring.
 * They fail with ECANCELED; one that was given at that moment what it waits for succeeds.  What
 * a batch has done by then counts, and it ends.  A call that was received is given up: its
 * replier gets ECANCELED.
 *
 * Only what waits is found, not what is about to: who wants an operation to end, whenever it
 * begins, cancels until it has ended.  Never waits.
 *
 * Returns how many waits it has ended; 0 can be the answer to a @cookie of 0 only.
 *
 * Errors: EFAULT, EINVAL, ENOENT (nothing with that @cookie waits here).
 */
struct kpost_cancel {
	__u64 cookie;
	__u32 flags;
	__u32 reserved;
};

/* kpost_stat.maker */
#define KPOST_MAKER_OFFICE	0xffffffffu	/* it counts for no user */

/* kpost_stat.flags */
#define KPOST_STAT_PERSIST	(1u << 0)	/* outlives its endpoints */
#define KPOST_STAT_CLOSED	(1u << 1)	/* nobody can receive from it */
#define KPOST_STAT_ANONYMOUS	(1u << 2)	/* never had a name */
#define KPOST_STAT_SHUT		(1u << 3)	/* takes nothing more, and is not closed */
#define KPOST_STAT_KEYED	(1u << 4)	/* made with KPOST_OPEN_KEYED */

/**
 * struct kpost_stat - answer to KPOST_IOC_STAT, and one entry of KPOST_IOC_LIST
 * @flags: mask of KPOST_STAT_*
 * @mode: permission bits
 * @uid: owner, as seen in the caller's user namespace
 * @gid: group, likewise
 * @messages: capacity in messages
 * @message_max: largest payload
 * @bytes: capacity in payload bytes
 * @queued_messages: messages in it now, being received included
 * @receivers: endpoints that can receive
 * @queued_bytes: payload bytes in it now
 * @senders: endpoints that can send
 * @waiting_receivers: tasks, and commands of io_uring, that wait for a message
 * @waiting_senders: likewise for room
 * @open_calls: calls received and not yet replied to
 * @sent: messages ever taken into the mailbox, the last one's sequence number
 * @received: messages ever received
 * @dropped: messages lost because the mailbox closed, or withdrawn by the sender
 * @unattended: of those taken in, how many found the mailbox empty and nobody waiting
 * @identity: the mailbox's own number, of 64 bits: counted on in all offices from one that
 *	is drawn at random when the module is loaded, so no other mailbox has it, nor one
 *	after a restart, but by a chance that is next to none.  It is no secret.
 * @counted: bytes that it counts for, see kpost_info.user_bytes; for more than its capacity
 *	while it holds more, after it was made smaller
 * @oldest: when the oldest message that waits to be received got in, as kpost_recv.time would
 *	tell; 0 if there is none.  Others may receive while it is looked for.  One that has
 *	replaced another is as young as it is, and where it is the next of its priority no other
 *	of that is looked at
 * @last_sent: when the last message got in, likewise; 0 if there never was one
 * @last_received: when the last was received, likewise
 * @dropped_new: messages that found no room and were dropped, with KPOST_DROP_NEW; they are not in
 *	@sent
 * @dropped_old: messages that made room for others, with KPOST_DROP_OLD
 * @expired: messages that were in the mailbox past their kpost_send.expires
 * @replaced: messages that others have replaced, with KPOST_REPLACE
 * @mark: the highest kpost_send.number that was sent with the badge of the endpoint that asks, or
 *	0; 0 in a list
 * @held: messages in it now that receivers hold, or have returned for a later time
 * @held_max: how many messages one endpoint may hold
 * @overflow: mask of KPOST_OVERFLOW_*
 * @reserved: 0
 * @rights: of the endpoint that asks; 0 in a list
 * @maker: the user that it counts for; KPOST_MAKER_OFFICE if none, since who made it had
 *	CAP_SYS_RESOURCE
 * @name: its name, or empty if it has none (any more)
 *
 * Any endpoint may ask.  As many bytes as the caller's struct has are written, those
 * that the kernel does not know as zero, and none is looked at.
 *
 * Errors: EFAULT, EINVAL.
 */
struct kpost_stat {
	__u32 flags;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 messages;
	__u32 message_max;
	__u64 bytes;
	__u32 queued_messages;
	__u32 receivers;
	__u64 queued_bytes;
	__u32 senders;
	__u32 waiting_receivers;
	__u32 waiting_senders;
	__u32 open_calls;
	__u64 sent;
	__u64 received;
	__u64 dropped;
	__u64 unattended;
	__u64 identity;
	__u64 counted;
	__u64 oldest;
	__u64 last_sent;
	__u64 last_received;
	__u64 dropped_new;
	__u64 dropped_old;
	__u64 expired;
	__u64 replaced;
	__u64 mark;
	__u32 held;
	__u32 held_max;
	__u32 overflow;
	__u32 reserved;
	__u32 rights;
	__u32 maker;
	char name[KPOST_NAME_MAX + 1];
};

/**
 * struct kpost_list - argument of KPOST_IOC_LIST
 * @buf: an array of struct kpost_stat
 * @count: how many it has room for
 * @entry_size: sizeof(struct kpost_stat); an entry is cut off or filled with zero
 *	to this size
 * @after: list names that sort (bytewise) after this one, empty to begin with
 *
 * Returns how many entries were stored, in order of their names; fewer than
 * @count when there are no more.  What changes between two operations may be
 * seen or not, but no name is seen twice.  In an office with net.kpost.private set, see
 * kpost(4), only mailboxes are told of that who opened the device could open, with any right.
 *
 * Errors: EFAULT, EINTR (the task was killed), EINVAL (@entry_size below the first
 * version's), ENAMETOOLONG.
 */
struct kpost_list {
	__u64 buf;
	__u32 count;
	__u32 entry_size;
	char after[KPOST_NAME_MAX + 1];
};

/* kpost_setattr.valid: which fields to set */
#define KPOST_SET_MESSAGES	(1u << 0)
#define KPOST_SET_BYTES		(1u << 1)
#define KPOST_SET_MODE		(1u << 2)
#define KPOST_SET_UID		(1u << 3)
#define KPOST_SET_GID		(1u << 4)
#define KPOST_SET_SHUT		(1u << 5)	/* it takes nothing more, for ever */
#define KPOST_SET_OVERFLOW	(1u << 6)
#define KPOST_SET_HELD_MAX	(1u << 7)

/**
 * struct kpost_setattr - argument of KPOST_IOC_SETATTR
 * @valid: mask of KPOST_SET_*, which fields to look at; the others must be 0
 * @mode: permission bits; endpoints that are open keep their rights
 * @uid: owner, as seen in the caller's user namespace
 * @gid: group, likewise
 * @messages: capacity in messages, not 0
 * @overflow: mask of KPOST_OVERFLOW_*; whether KPOST_OVERFLOW_ANY is in it must not change, and
 *	KPOST_OVERFLOW_REPLACE is for keyed mailboxes only
 * @bytes: capacity in payload bytes, no less than the mailbox's message_max
 * @held_max: how many messages one endpoint may hold; 0 for half of the capacity in messages, and
 *	more than that is as many.  Who holds more holds on to it
 * @reserved: 0
 *
 * A capacity below what is queued drops nothing; it only takes no more until
 * there is room.  One above lets waiting senders in.  What the mailbox counts for
 * follows: a larger one counts for more, for its maker (kpost_stat.maker), so that only
 * a task of that user can make it larger, or one with CAP_SYS_RESOURCE in the initial user
 * namespace, and then for the office.  A smaller one counts for less once no more is in it.
 *
 * With KPOST_SET_SHUT the mailbox takes nothing more.  Who sends to it gets EPIPE, also who waits
 * for room; what was taken before is for its receivers, who get EPIPE, and read(2) 0, once
 * nothing is left.  Calls that were received can be replied to.  It counts for what is in it
 * only.  It keeps its name, but is persistent no more: without a receiver it closes, and what is
 * left is dropped.  There is no way back; to shut it again changes nothing.  poll(2) says
 * EPOLLERR to who can send, with EPOLLHUP to who can do nothing else; to who can receive,
 * EPOLLHUP once nothing is left.  Who can do both is told at once if it polls for EPOLLOUT.
 *
 * Errors: EDQUOT and ENOSPC (as in struct kpost_open), EFAULT, EINVAL (also an id that is
 * not mapped), ENOMEM (with KPOST_SET_OVERFLOW, KPOST_SET_HELD_MAX), EPERM (no KPOST_RIGHT_ADMIN;
 * a larger capacity, by who is not its maker; giving the mailbox to another user, or to a group
 * one is not in, without CAP_CHOWN), EPIPE (the mailbox is closed; a capacity, and it is shut).
 */
struct kpost_setattr {
	__u32 valid;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 messages;
	__u32 overflow;
	__u64 bytes;
	__u32 held_max;
	__u32 reserved;
};

/* kpost_grant.flags */
#define KPOST_GRANT_NONBLOCK	(1u << 0)	/* set O_NONBLOCK on the endpoint */
#define KPOST_GRANT_BADGE	(1u << 1)	/* with another badge than one's own */
#define KPOST_GRANT_MARK	(1u << 2)	/* with a mark for its badge, if there is none */

/**
 * struct kpost_grant - argument of KPOST_IOC_GRANT
 * @flags: mask of KPOST_GRANT_*
 * @rights: mask of KPOST_RIGHT_*, not 0, and none that this endpoint lacks
 * @badge: with KPOST_GRANT_BADGE: what the kernel stamps on all that goes through the new
 *	endpoint; else 0
 * @tag: of what write(2) sends through it
 * @priority: likewise, 0 to KPOST_PRIORITY_MAX
 * @write_flags: likewise, 0 or KPOST_DROP_NEW, KPOST_DROP_OLD, and on a keyed mailbox KPOST_REPLACE
 *
 * Makes another endpoint on this one's mailbox, to be handed to somebody else.  It has the
 * badge of this one, or with KPOST_GRANT_BADGE another, for which KPOST_RIGHT_ADMIN is
 * needed: so a badge tells a receiver which grant a message came through, and who has it
 * cannot change that.  An endpoint that was opened has badge 0.  Whoever grants counts as
 * the opener of the new one, and has it count, as 1 KiB, until it is closed: see
 * kpost_info.user_sending_bytes.
 *
 * With KPOST_GRANT_MARK, for which KPOST_RIGHT_ADMIN is needed too, the mailbox has a mark for the
 * badge of the new endpoint from then on, for KPOST_NUMBERED: the highest number that was sent
 * with that badge, 0 to begin with.  If it has one already, that stays, so a later grant of the
 * badge goes on where the last one was.  It lives as long as the mailbox is open, and counts for
 * who granted until then, as 56 bytes.  All who have the badge share it, and each of them can
 * set it as high as there are numbers: badge 0 is everybody's.  What succeeds a mailbox has none.
 *
 * Returns the endpoint, a file descriptor with close-on-exec set.
 *
 * Errors: EDQUOT and ENOBUFS (as in struct kpost_send), EFAULT, EINVAL, EMFILE, ENFILE,
 * ENOMEM, EPERM (a right that this endpoint lacks, or KPOST_GRANT_BADGE or KPOST_GRANT_MARK without
 * KPOST_RIGHT_ADMIN), EPIPE (the mailbox is closed).
 */
struct kpost_grant {
	__u32 flags;
	__u32 rights;
	__u64 badge;
	__u64 tag;
	__u32 priority;
	__u32 write_flags;
};

/**
 * struct kpost_uring - the 16 bytes of sqe->cmd of an io_uring command
 * @arg: address of the struct that the operation in sqe->cmd_op takes
 * @reserved: 0
 *
 * The operations on an endpoint, as IORING_OP_URING_CMD.  The completion's result
 * is what ioctl(2) would return, or -errno.  The struct, the payload and whatever
 * else it points to must stay as they are until then.
 *
 * With KPOST_FEATURE_URING_PARK, a command that cannot complete at once waits without a task.
 * A message that waits for room waits in line; a receive, but for one by tag, is done when the
 * ring's task next looks at its ring, so that a ring that never does keeps no message from others,
 * who are told of it too, and tasks that wait come first.  KPOST_IOC_CANCEL ends such a command, as
 * do its deadline and the end of the ring; close(2) does not, and the endpoint stays open until
 * then.  The end of the thread that submitted it does not end it, but nothing can be stored for it
 * then: what would be received or collected stays for others, the rest of a batch is not sent, and
 * the reply of a call is lost (ECANCELED).
 *
 * A command that has to wait and has IOSQE_ASYNC, a link timeout or a personality, or is in a
 * ring with IORING_SETUP_IOPOLL, a CALL that goes on, and all on kernels that lack the feature,
 * are left to a worker of io_uring's, which waits in the mailbox's line like any other task.
 * IORING_OP_ASYNC_CANCEL and a link timeout end what a worker does, with ECANCELED, and a stop
 * of the process or a tracer can end it with EINTR; either leaves what a signal leaves, so that
 * all but a call that was received can be submitted again.  What workers do at the same time
 * waits in no particular order, as everywhere in io_uring; IOSQE_IO_LINK gives one.
 *
 * Kernels from 6.10 to 6.13 read the entry of a linked or drained command when its
 * turn comes: give it IOSQE_ASYNC, or leave the entry alone until then.
 *
 * With IORING_URING_CMD_FIXED, @buf of the struct lies in the registered buffer
 * sqe->buf_index (and KPOST_IOVEC is EINVAL); a call's @reply_buf never does.  Any other
 * flag in sqe->uring_cmd_flags is EINVAL.
 */
struct kpost_uring {
	__u64 arg;
	__u64 reserved;
};

#define KPOST_IOC_TYPE		0xBE

/* On the device. */
#define KPOST_IOC_INFO		_IOR(KPOST_IOC_TYPE, 0x00, struct kpost_info)
#define KPOST_IOC_OPEN		_IOWR(KPOST_IOC_TYPE, 0x01, struct kpost_open)
#define KPOST_IOC_UNLINK	_IOW(KPOST_IOC_TYPE, 0x02, struct kpost_unlink)
#define KPOST_IOC_LIST		_IOW(KPOST_IOC_TYPE, 0x03, struct kpost_list)

/* On an endpoint. */
#define KPOST_IOC_SEND		_IOWR(KPOST_IOC_TYPE, 0x10, struct kpost_send)
#define KPOST_IOC_RECV		_IOWR(KPOST_IOC_TYPE, 0x11, struct kpost_recv)
#define KPOST_IOC_CALL		_IOWR(KPOST_IOC_TYPE, 0x12, struct kpost_call)
#define KPOST_IOC_REPLY		_IOW(KPOST_IOC_TYPE, 0x13, struct kpost_reply)
#define KPOST_IOC_REPLY_RECV	_IOWR(KPOST_IOC_TYPE, 0x14, struct kpost_reply_recv)
#define KPOST_IOC_STAT		_IOR(KPOST_IOC_TYPE, 0x15, struct kpost_stat)
#define KPOST_IOC_SETATTR	_IOW(KPOST_IOC_TYPE, 0x16, struct kpost_setattr)
#define KPOST_IOC_GRANT		_IOW(KPOST_IOC_TYPE, 0x17, struct kpost_grant)
#define KPOST_IOC_SENDV		_IOWR(KPOST_IOC_TYPE, 0x18, struct kpost_batch)
#define KPOST_IOC_RECVV		_IOWR(KPOST_IOC_TYPE, 0x19, struct kpost_batch)
#define KPOST_IOC_CALL_SUBMIT	_IOWR(KPOST_IOC_TYPE, 0x1a, struct kpost_call_submit)
#define KPOST_IOC_CALL_COLLECT	_IOWR(KPOST_IOC_TYPE, 0x1b, struct kpost_call_collect)
#define KPOST_IOC_CALL_CANCEL	_IOWR(KPOST_IOC_TYPE, 0x1c, struct kpost_call_cancel)

/* On both. */
#define KPOST_IOC_CANCEL	_IOW(KPOST_IOC_TYPE, 0x20, struct kpost_cancel)

#endif /* _UAPI_LINUX_KPOST_H */
