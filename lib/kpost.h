/* SPDX-License-Identifier: MIT */
/*
 * libkpost: mailboxes that the kernel keeps.
 *
 * The model is that of <linux/kpost.h>, which also describes the flags, the errors
 * of each operation and the order of messages: a *mailbox* is a bounded queue of
 * discrete messages, and an *endpoint* is a file descriptor on one.  Endpoints work
 * with close(), dup(), fork(), poll(), read(), write() and SCM_RIGHTS as any other
 * file descriptor, are closed on exec, and are closed with close().
 *
 * What holds for every function:
 *
 *  - It returns -errno on failure and never changes errno.  Its errors are those
 *    of the kernel's operation of the same name, and what is said here.
 *  - It is thread-safe, and keeps nothing that the caller passes in but where it
 *    says so.
 *  - Lengths and sizes are in bytes.  A buffer of no bytes may be NULL.
 *  - Deadlines are absolute, in nanoseconds of CLOCK_MONOTONIC, and 0 is none:
 *    wait for ever.  kpost_deadline() makes one.  -ETIMEDOUT when it has passed.
 *    With KPOST_BOOTTIME in the flags that go with it a deadline is of CLOCK_BOOTTIME,
 *    which goes on while the machine sleeps, and with KPOST_REALTIME of CLOCK_REALTIME,
 *    and follows where that is set; kpost_deadline_by() makes those.
 *  - Waiting ends with -EINTR when a signal was caught by a handler that was
 *    installed without SA_RESTART.  Where each description says so, that goes for
 *    other handlers too.
 *  - kpost_send(), kpost_recv() and kpost_call(), their variants and those that do many at
 *    once, kpost_hold(), kpost_call_submit(), kpost_call_collect(), kpost_reply_recv(), with
 *    KPOST_OPEN_WAIT kpost_open(), and three functions of a sender (see there) are
 *    cancellation points, and no other function is one (see pthread_cancel(3)).
 *    A thread that is cancelled in one leaves nothing allocated.  With KPOST_DONTWAIT
 *    it is cancelled before anything was done.  A message that comes at the very
 *    moment in which the waiting thread is cancelled is lost, as what read(2) reads
 *    is with most C libraries; so is a reply.  If the message is a call, the call is given
 *    up, as by kpost_drop(), and so is one whose caller is cancelled.  One that is held is
 *    not lost: it is returned, as by kpost_return().  Where many are received at once, that
 *    goes for all that came.
 *  - Structs grow at their end.  So that programs and libraries of different age fit,
 *    the functions below that take a struct pass its size to one of the same name
 *    that ends in _sized, which is what the library exports; no program need call
 *    those.  What an older program's struct lacks is zero, or not told; what a newer
 *    one's has more must be zero (else -E2BIG), or is set to zero.  So clear a struct
 *    before filling it in.
 *
 * Functions that take a name open /dev/kpost for themselves, each time, and so
 * speak to the office of the network namespace that the thread is in then; they
 * fail as open() does, with -ENOENT or -ENXIO where the module is not loaded.  Those
 * that end in _at take a device that kpost_device() has opened, whose office stays.
 *
 * Only the last two sections need liburing.  To compile them, include <liburing.h>
 * and link with it for a ring of your own; the sender needs neither.
 */
#ifndef KPOST_H
#define KPOST_H

#include <linux/kpost.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- device.c: the office ------------------------------------------- */

/**
 * kpost_device - open the office of the caller's network namespace
 *
 * Returns a file descriptor of /dev/kpost for the functions that end in _at, to be
 * closed with close(); or -ENOENT, -ENXIO, -EACCES, -EMFILE, -ENFILE, -ENOMEM.
 */
int kpost_device(void);

int kpost_info_sized(struct kpost_info *info, size_t size);
int kpost_info_at_sized(int device, struct kpost_info *info, size_t size);

/**
 * kpost_info - ask for the version, features and limits of the module
 * @info: where the answer goes
 *
 * Returns 0.
 */
static inline int kpost_info(struct kpost_info *info)
{
	return kpost_info_sized(info, sizeof(*info));
}

static inline int kpost_info_at(int device, struct kpost_info *info)
{
	return kpost_info_at_sized(device, info, sizeof(*info));
}

/**
 * kpost_deadline - the deadline that is some milliseconds away
 * @milliseconds: from now; 0 does not wait, negative waits for ever
 *
 * Returns nanoseconds of CLOCK_MONOTONIC, or 0 if @milliseconds is negative.
 */
uint64_t kpost_deadline(int64_t milliseconds);

/**
 * kpost_deadline_by - the same by another clock
 * @flags: KPOST_BOOTTIME or KPOST_REALTIME, to be among the flags of what has the deadline;
 *	all others are ignored, and with neither it is kpost_deadline()
 * @milliseconds: as in kpost_deadline()
 *
 * Returns nanoseconds of that clock, or 0 if @milliseconds is negative.
 */
uint64_t kpost_deadline_by(unsigned int flags, int64_t milliseconds);

/* ---- mailbox.c: opening, naming, looking ------------------------------ */

/**
 * struct kpost_attr - a mailbox that is made, and whose it has to be; zero in any field for its
 *	default
 * @mode: permission bits (0777) less the umask, default 0600; KPOST_MODE_NONE for
 *	none of them
 * @messages: capacity in messages, by default one for each 512 of @bytes, at least 16
 * @bytes: capacity in bytes of payload, by default 128 KiB (see kpost_info.default_bytes)
 * @message_max: largest payload of a message, by default a quarter of @bytes
 * @overflow: mask of KPOST_OVERFLOW_*, what its senders may have become of messages that find no
 *	room, by default nothing but to wait; KPOST_OVERFLOW_REPLACE only for one that is keyed
 * @held_max: how many messages one endpoint may hold, see kpost_hold(), by default half of
 *	@messages
 * @owner: with KPOST_OPEN_OWNER: the user whose the mailbox has to be, made or not, by default
 *	root; else 0
 * @reserved: 0
 *
 * The mailbox counts for its maker, as 1 KiB + @bytes + 256 * @messages (448 if it is keyed), from
 * when it is made until it closes; what is in it counts no more.  It is keyed if it is opened with
 * KPOST_OPEN_KEYED: then kpost_recv_tag() goes, and KPOST_REPLACE if @overflow has that.
 */
struct kpost_attr {
	unsigned int mode;
	unsigned int messages;
	uint64_t bytes;
	size_t message_max;
	unsigned int overflow;
	unsigned int held_max;
	unsigned int owner;
	unsigned int reserved;
};

/* kpost_attr.mode of 0, which only the owner and the privileged can change or pass by */
#define KPOST_MODE_NONE (1u << 31)

int kpost_open_sized(const char *name, unsigned int rights, unsigned int flags,
		     const struct kpost_attr *attr, uint64_t deadline, size_t size);
int kpost_open_at_sized(int device, const char *name, unsigned int rights, unsigned int flags,
			const struct kpost_attr *attr, uint64_t deadline, size_t size);
int kpost_pair_sized(int fds[2], unsigned int flags, const struct kpost_attr *attr, size_t size);

/**
 * kpost_open - open a mailbox, and make it if that is asked for
 * @name: its name, 1 to KPOST_NAME_MAX bytes, none of them '/' or a control character,
 *	and not "." or ".."; NULL or empty with KPOST_OPEN_ANONYMOUS
 * @rights: what the endpoint may do, a mask of KPOST_RIGHT_*, not 0
 * @flags: mask of KPOST_OPEN_*, but not KPOST_OPEN_PAIR (see kpost_pair()); with KPOST_OPEN_WAIT
 *	also KPOST_BOOTTIME or KPOST_REALTIME
 * @attr: what a new mailbox shall be like, or NULL for defaults; with neither
 *	KPOST_OPEN_CREATE nor KPOST_OPEN_ANONYMOUS it must be NULL or all zero but @owner
 * @deadline: with KPOST_OPEN_WAIT: how long to wait for the mailbox, else 0
 *
 * Any user can take a name that is free.  So who sends what others are not to see, or does what
 * it is told, says whose the mailbox has to be: with KPOST_OPEN_OWNER that is @attr->owner, or
 * root if @attr is NULL, and any other's mailbox is -EPERM.
 *
 * A thread that is cancelled at the very moment in which the mailbox is opened can leave
 * an endpoint open, as with open(2).
 *
 * Returns an endpoint; or -EACCES, -EAGAIN (@device is non-blocking, and would wait),
 * -EEXIST, -EINVAL, -ENAMETOOLONG, -ENOENT (no such mailbox; also no /dev/kpost), -EPERM (the
 * mailbox is not the user's that it has to be, or would not be if it were made; the name is for
 * root to give, see net.kpost.reserved in kpost(4)), -ETIMEDOUT, -EINTR, -EDQUOT (the mailbox
 * counts for more than the user has left, see kpost_info.user_bytes), -ENOSPC (than the office
 * has), -EMFILE, -ENFILE, -ENOMEM.
 */
static inline int kpost_open(const char *name, unsigned int rights, unsigned int flags,
			     const struct kpost_attr *attr, uint64_t deadline)
{
	return kpost_open_sized(name, rights, flags, attr, deadline, sizeof(*attr));
}

static inline int kpost_open_at(int device, const char *name, unsigned int rights,
				unsigned int flags, const struct kpost_attr *attr,
				uint64_t deadline)
{
	return kpost_open_at_sized(device, name, rights, flags, attr, deadline, sizeof(*attr));
}

/**
 * kpost_open_path - open a mailbox that is a file, in a file system of type kpost
 * @path: as for open(2)
 * @rights: KPOST_RIGHT_SEND, KPOST_RIGHT_RECV or both; no path gives KPOST_RIGHT_ADMIN
 * @flags: 0 or KPOST_OPEN_NONBLOCK
 *
 * It is open(2) with O_WRONLY, O_RDONLY or O_RDWR, but for files that are no mailboxes, which it
 * leaves alone.  No /dev/kpost is needed, and the office is that of whoever mounted the file
 * system.
 *
 * Returns an endpoint; or -EINVAL (@rights or @flags), -ENOTTY (what is there is in no file system
 * of type kpost), -EISDIR (it is the directory), -ESTALE (it was bound there, and has closed), and
 * what open(2) fails with, such as -ENOENT, -EACCES, -EMFILE, -ENFILE, -ENOMEM.
 */
int kpost_open_path(const char *path, unsigned int rights, unsigned int flags);

/**
 * kpost_pair - make an anonymous mailbox and both its ends
 * @fds: out: fds[0] receives and has KPOST_RIGHT_ADMIN, fds[1] sends
 * @flags: 0 or KPOST_OPEN_NONBLOCK, which goes for both
 * @attr: as in kpost_open()
 *
 * Returns 0, or -errno with @fds untouched.
 */
static inline int kpost_pair(int fds[2], unsigned int flags, const struct kpost_attr *attr)
{
	return kpost_pair_sized(fds, flags, attr, sizeof(*attr));
}

/**
 * kpost_unlink - take a mailbox's name away, and its persistence
 * @name: its name
 *
 * Endpoints go on; the mailbox closes when nobody can receive from it any more, and
 * receiving ends with -EPIPE when it is empty and nobody can send to it any more.
 *
 * Returns 0; or -EACCES (only the owner may), -EINVAL, -ENAMETOOLONG, -ENOENT.
 */
int kpost_unlink(const char *name);
int kpost_unlink_at(int device, const char *name);

int kpost_stat_sized(int fd, struct kpost_stat *st, size_t size);
int kpost_setattr_sized(int fd, const struct kpost_setattr *attr, size_t size);
int kpost_grant_sized(int fd, const struct kpost_grant *grant, size_t size);
int kpost_list_sized(int (*each)(const struct kpost_stat *st, void *arg), void *arg, size_t size);
int kpost_list_at_sized(int device, int (*each)(const struct kpost_stat *st, void *arg), void *arg,
			size_t size);

/**
 * kpost_stat - look at a mailbox
 * @fd: any endpoint on it
 * @st: where the answer goes
 *
 * Returns 0.
 */
static inline int kpost_stat(int fd, struct kpost_stat *st)
{
	return kpost_stat_sized(fd, st, sizeof(*st));
}

/**
 * kpost_setattr - change a mailbox's capacity, mode or owner, or shut it
 * @fd: an endpoint with KPOST_RIGHT_ADMIN
 * @attr: what to change, see struct kpost_setattr
 *
 * Returns 0; or -EDQUOT, -ENOSPC (a larger capacity counts for more than its maker, or the
 * office, has left), -EINVAL, -EPERM (also a larger capacity, by who is not its maker),
 * -EPIPE (the mailbox is closed; a capacity, and it is shut).
 */
static inline int kpost_setattr(int fd, const struct kpost_setattr *attr)
{
	return kpost_setattr_sized(fd, attr, sizeof(*attr));
}

/**
 * kpost_grant - make another endpoint on a mailbox, to be handed to somebody else
 * @fd: an endpoint on it
 * @grant: what the new endpoint shall be like, see struct kpost_grant: its rights, which
 *	@fd must have too; its badge, for which @fd needs KPOST_RIGHT_ADMIN; tag and
 *	priority of what write(2) sends through it
 *
 * Whatever goes through an endpoint has its badge, and who holds it cannot change that.  So
 * a program that gives each of its children an endpoint with a badge of its own can tell
 * by kpost_message.badge who sent a message.  Without KPOST_GRANT_BADGE the new
 * endpoint has the badge of @fd.
 *
 * No cancellation point, as nobody could close what was made.
 *
 * Returns the endpoint, closed on exec, to be closed with close(); or -EBADF, -EDQUOT (the
 * user has as much under way as it may, see kpost_send()), -EFAULT, -EINVAL (rights, flags,
 * priority, a badge without KPOST_GRANT_BADGE), -EMFILE, -ENFILE, -ENOBUFS (likewise the
 * office), -ENOMEM, -ENOTTY (@fd is no endpoint), -EPERM (a right that @fd lacks, or a badge
 * without KPOST_RIGHT_ADMIN), -EPIPE (the mailbox is closed).
 */
static inline int kpost_grant(int fd, const struct kpost_grant *grant)
{
	return kpost_grant_sized(fd, grant, sizeof(*grant));
}

/**
 * kpost_list - go through the mailboxes that have a name, in bytewise order of it
 * @each: called for each one; @st is valid until it returns; non-zero ends the list
 * @arg: passed to @each
 *
 * Mailboxes that come or go meanwhile may be seen or not; none is seen twice.  Where
 * net.kpost.private is set, see kpost(4), only those are seen that who opened the device, or else
 * the caller, could open.
 *
 * The thread may be cancelled inside @each, but @each does not leave by longjmp() or an
 * exception.
 *
 * Returns 0, or what @each returned if that was not 0, or -errno (-ENOMEM).
 */
static inline int kpost_list(int (*each)(const struct kpost_stat *st, void *arg), void *arg)
{
	return kpost_list_sized(each, arg, sizeof(struct kpost_stat));
}

static inline int kpost_list_at(int device, int (*each)(const struct kpost_stat *st, void *arg),
				void *arg)
{
	return kpost_list_at_sized(device, each, arg, sizeof(struct kpost_stat));
}

/* ---- operation.c: ending waits -------------------------------------------- */

/**
 * kpost_thread_cookie - say what the waits of the calling thread are to be found by
 * @cookie: any number, for kpost_cancel(); 0, as to begin with: nothing
 *
 * All functions that wait have it from then on, but those of a struct kpost_sender.  Where it is
 * not 0 they can fail with -ECANCELED, and with -ENOMEM.
 *
 * Returns the one before.
 */
uint64_t kpost_thread_cookie(uint64_t cookie);

/**
 * kpost_cancel - end waits of this process; never waits
 * @fd: the endpoint that they are through, or one of kpost_device() for kpost_open()
 * @cookie: theirs; or 0: all that have one, and all of io_uring
 *
 * What waits fails with -ECANCELED, and leaves what it leaves at its deadline.  Only what waits
 * is found, and a thread may be about to: to stop a thread, tell it first, then cancel until it
 * has ended.
 *
 * Returns how many it has ended; or -ENOENT (nothing with @cookie waits), -EBADF, -ENOTTY.
 */
int kpost_cancel(int fd, uint64_t cookie);

/**
 * kpost_close - end waits of this process through an endpoint, and close(2) it; never waits
 * @fd: the endpoint, or one of kpost_device()
 *
 * close() alone ends nothing: what waits holds the endpoint.  Those that have a cookie, and all
 * of io_uring, end as by kpost_cancel() with 0, also if they are through a duplicate of @fd.
 *
 * Returns 0; or -EBADF, -ENOTTY, and nothing was done.
 */
int kpost_close(int fd);

/* ---- message.c: sending and receiving --------------------------------- */

/**
 * struct kpost_options - how to send; zero in any field for its default
 * @flags: KPOST_DONTWAIT: -EAGAIN instead of waiting for room; KPOST_SYNC: wait until a
 *	receiver has the message; KPOST_PRESENT: -ENXIO if nobody can receive now;
 *	KPOST_DROP_NEW, KPOST_DROP_OLD: where there is no room, see struct kpost_send;
 *	KPOST_REPLACE: in place of the queued message of the same @tag; of a call, KPOST_RETRY: a
 *	receiver may hold it, see kpost_hold(); KPOST_BOOTTIME, KPOST_REALTIME: by which clock
 *	@deadline and @expires are; KPOST_NUMBERED: not if @number was sent before
 * @priority: 0 to KPOST_PRIORITY_MAX, higher ones are received first
 * @deadline: when to give up waiting, by default never; the message is then not sent
 * @tag: any number, for the receiver: what kind of message it is, or which key it is of
 * @expires: when the message is of no use any more, a time as of kpost_deadline(); by default
 *	never.  It is then dropped if nobody has received it, see struct kpost_send
 * @number: with KPOST_NUMBERED: the sender's own number of the message, not 0; else 0
 *
 * Some functions take not all of them, and say so.
 */
struct kpost_options {
	unsigned int flags;
	unsigned int priority;
	uint64_t deadline;
	uint64_t tag;
	uint64_t expires;
	uint64_t number;
};

/**
 * struct kpost_message - what the kernel says of a received message
 * @size: bytes of its payload, also when it was truncated or did not fit
 * @sequence: its number in the mailbox, from 1 up
 * @tag: the sender's, see struct kpost_options; of write(2), the endpoint's, see kpost_grant()
 * @badge: of the endpoint that it was sent through, see kpost_grant(); 0 if that was opened
 * @time: when it got into the mailbox, in nanoseconds of CLOCK_MONOTONIC, by the tick
 *	(CLOCK_MONOTONIC_COARSE)
 * @token: for kpost_reply() if this is a call; for kpost_done() and kpost_return() if it is
 *	held; else 0
 * @reply_max: longest reply that the caller has room for
 * @call_deadline: when the caller gives up, in nanoseconds of CLOCK_MONOTONIC, whichever clock it
 *	goes by, see struct kpost_recv; 0 if never, or if this is no call
 * @flags: mask of KPOST_MESSAGE_*
 * @priority: 0 to KPOST_PRIORITY_MAX
 * @pid: the sender's process, 0 if not visible from here
 * @uid: the real user of the task that sent, when it sent
 * @gid: likewise its group
 * @opener_uid: the effective user that opened the endpoint it was sent through, when it
 *	opened it
 * @opener_gid: likewise its group
 * @reserved: 0
 * @missed: how many messages senders have had dropped or replaced, or have expired, since
 *	somebody was told so last
 * @attempts: how often it was held before, and has come back
 * @expires: when it is of no use any more, see struct kpost_options, in nanoseconds of
 *	CLOCK_MONOTONIC, whichever clock its sender goes by; 0 if never
 *
 * Ids are as seen in the receiver's user namespace, or the overflow id (65534).
 *
 * Trust @uid and @gid for a permission only where KPOST_MESSAGE_MIXED_IDS is not in
 * @flags: then the sender's real and effective ids and the opener's are all the same.
 * Where it is set, somebody may have started a privileged program with an endpoint of its
 * own (then @opener_uid says who), or passed an endpoint on; @uid is good for accounting.
 */
struct kpost_message {
	uint64_t size;
	uint64_t sequence;
	uint64_t tag;
	uint64_t badge;
	uint64_t time;
	uint64_t token;
	uint64_t reply_max;
	uint64_t call_deadline;
	unsigned int flags;
	unsigned int priority;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uid_t opener_uid;
	gid_t opener_gid;
	unsigned int reserved;
	uint64_t missed;
	uint64_t attempts;
	uint64_t expires;
};

int kpost_sendv_sized(int fd, const struct iovec *iov, int iovcnt,
		      const struct kpost_options *options, uint64_t *sequence, size_t size);
ssize_t kpost_recv_sized(int fd, void *buf, size_t len, struct kpost_message *message,
			 unsigned int flags, uint64_t deadline, size_t size);
ssize_t kpost_recvv_sized(int fd, const struct iovec *iov, int iovcnt,
			  struct kpost_message *message, unsigned int flags, uint64_t deadline,
			  size_t size);
ssize_t kpost_recv_tag_sized(int fd, uint64_t tag, void *buf, size_t len,
			     struct kpost_message *message, unsigned int flags, uint64_t deadline,
			     size_t size);

/**
 * kpost_send - send a message, in the plain case
 * @fd: an endpoint with KPOST_RIGHT_SEND
 * @buf: the payload
 * @len: its length
 * @priority: 0 to KPOST_PRIORITY_MAX, higher ones are received first
 * @flags: KPOST_DONTWAIT: -EAGAIN instead of waiting for room; KPOST_SYNC: wait
 *	until a receiver has the message; KPOST_PRESENT: -ENXIO if nobody can receive now;
 *	KPOST_DROP_NEW, KPOST_DROP_OLD: where there is no room, see struct kpost_send;
 *	KPOST_BOOTTIME, KPOST_REALTIME: by which clock @deadline is
 * @deadline: when to give up waiting; the message is then not sent
 *
 * Returns 0; or -EAGAIN, -EBADF (not a sender's endpoint), -EDQUOT (it has to wait, or has
 * more than 64 KiB, and the user has as much under way as it may, see
 * kpost_info.user_sending_bytes), -EFAULT, -EINTR, -EINVAL, -EMSGSIZE (longer than the
 * mailbox takes), -ENOBUFS (likewise the office), -ENOMEM, -ENXIO (nobody can receive now, with
 * KPOST_PRESENT), -EPERM (the mailbox does not let its senders drop or replace
 * so), -EPIPE (the mailbox is
 * closed or shut; there is no SIGPIPE), -ETIMEDOUT.
 */
int kpost_send(int fd, const void *buf, size_t len, unsigned int priority, unsigned int flags,
	       uint64_t deadline);

/**
 * kpost_sendv - send a message, with all that can be said of it
 * @fd: an endpoint with KPOST_RIGHT_SEND
 * @iov: the pieces of the payload, in order; may be NULL if there are none
 * @iovcnt: how many, at most KPOST_IOVEC_MAX
 * @options: how to send it, or NULL for all defaults
 * @sequence: out, with success only: its number in the mailbox, from 1 up; or NULL
 *
 * With KPOST_NUMBERED a message is not sent if one with its number, or a higher one, was sent
 * through an endpoint of the same badge, which needs a mark, see KPOST_GRANT_MARK.  That is
 * success.
 *
 * Returns as kpost_send(); KPOST_SEND_REPEATED, which is 1, if nothing was done since its number
 * was sent before, and @sequence is 0 then; also -E2BIG (@options), -ENOENT (there is no mark).
 */
static inline int kpost_sendv(int fd, const struct iovec *iov, int iovcnt,
			      const struct kpost_options *options, uint64_t *sequence)
{
	return kpost_sendv_sized(fd, iov, iovcnt, options, sequence, sizeof(*options));
}

/**
 * kpost_recv - receive a message
 * @fd: an endpoint with KPOST_RIGHT_RECV
 * @buf: where the payload goes
 * @len: how much fits there
 * @message: where its description goes, or NULL
 * @flags: KPOST_DONTWAIT: -EAGAIN instead of waiting; KPOST_TRUNCATE: take the
 *	beginning of a message that does not fit, and lose the rest; KPOST_PEEK: leave the
 *	message where it is, without a token, and never wait; KPOST_HOLD: hold it, as
 *	kpost_hold() does, without end; KPOST_BOOTTIME, KPOST_REALTIME: by which clock @deadline is
 * @deadline: when to give up waiting
 *
 * Returns how many bytes were stored; or -EAGAIN, -EBADF (not a receiver's
 * endpoint), -EFAULT (the message stays), -EINTR, -EINVAL, -EMSGSIZE (the message
 * does not fit and stays; @message->size, and nothing else of @message, says how
 * long it is), -ENOMEM, -EPIPE (a mailbox without a name, because it never had one or
 * was unlinked, is empty and its last sender has gone), -ETIMEDOUT.
 */
static inline ssize_t kpost_recv(int fd, void *buf, size_t len, struct kpost_message *message,
				 unsigned int flags, uint64_t deadline)
{
	return kpost_recv_sized(fd, buf, len, message, flags, deadline, sizeof(*message));
}

/**
 * kpost_recv_tag - receive a message of one tag
 * @fd: an endpoint with KPOST_RIGHT_RECV on a keyed mailbox
 * @tag: of which messages the next is wanted
 *
 * As kpost_recv() otherwise: the first message of exactly that tag, also one that waits for room,
 * or the next that comes.  Returns what that does; -EINVAL also if the mailbox is not keyed, and
 * -EPIPE if none of that tag is left, and none can come.
 */
static inline ssize_t kpost_recv_tag(int fd, uint64_t tag, void *buf, size_t len,
				     struct kpost_message *message, unsigned int flags,
				     uint64_t deadline)
{
	return kpost_recv_tag_sized(fd, tag, buf, len, message, flags, deadline, sizeof(*message));
}

/**
 * kpost_recvv - receive a message into pieces
 * @iov: the pieces, filled in order
 * @iovcnt: how many, at most KPOST_IOVEC_MAX
 *
 * As kpost_recv() otherwise.
 */
static inline ssize_t kpost_recvv(int fd, const struct iovec *iov, int iovcnt,
				  struct kpost_message *message, unsigned int flags,
				  uint64_t deadline)
{
	return kpost_recvv_sized(fd, iov, iovcnt, message, flags, deadline, sizeof(*message));
}

/* ---- hold.c: messages that are not lost with their receiver --------------- */

ssize_t kpost_hold_sized(int fd, void *buf, size_t len, struct kpost_message *message,
			 unsigned int flags, uint64_t deadline, uint64_t until, size_t size);

/**
 * kpost_hold - receive a message, and hold it until it is done with
 * @fd: an endpoint with KPOST_RIGHT_RECV
 * @buf: where the payload goes
 * @len: how much fits there
 * @message: where its description goes; @message->token is for the functions below
 * @flags: as for kpost_recv(), but not KPOST_PEEK
 * @deadline: when to give up waiting for a message
 * @until: when the message goes back by itself, a time as of kpost_deadline(); 0 for never
 *
 * The message keeps its room, and nobody else receives it.  kpost_done() says that it is done
 * with; kpost_return() puts it back to its place, for the next receiver.  It goes back by itself
 * when the process ends, however that is, when the endpoint is closed, and at @until.
 * @message->attempts tells the next receiver how often that was.
 *
 * A call is held, as KPOST_MESSAGE_HELD in @message->flags tells, if its caller has said that it
 * can be done twice (KPOST_RETRY), and kpost_reply() and kpost_drop() are what it is done with by.
 * Any other call is received as by kpost_recv().
 *
 * Returns as kpost_recv(); also -EBUSY (the endpoint holds as much as it may, see
 * kpost_attr.held_max), -EDQUOT and -ENOBUFS (what is held counts as what is under way, see
 * kpost_send()), -ETIMEDOUT also where @until has passed.
 */
static inline ssize_t kpost_hold(int fd, void *buf, size_t len, struct kpost_message *message,
				 unsigned int flags, uint64_t deadline, uint64_t until)
{
	return kpost_hold_sized(fd, buf, len, message, flags, deadline, until, sizeof(*message));
}

/**
 * kpost_done - be done with a message that is held: now it is received; never waits
 * @fd: the endpoint that holds it
 * @token: of the message; it works once
 *
 * Returns 0; or -EBADF, -EBUSY (a call, and another thread is replying to it), -ECANCELED (its
 * sender has withdrawn it meanwhile), -EINVAL (a call: reply to it), -ENOENT (nothing is held with
 * that token: it has gone back).  0 and -ECANCELED use the token up.
 */
int kpost_done(int fd, uint64_t token);

/**
 * kpost_return - put a message that is held back to its place; never waits
 * @fd: the endpoint that holds it
 * @token: of the message, which may be a call; it works once
 * @not_before: when it can be received again, a time as of kpost_deadline(); 0 for at once
 *
 * Until @not_before it keeps its room, does not expire, keeps nobody from what is behind it, and
 * counts for who returned it.
 *
 * Returns 0; or -EBADF, -EBUSY (another thread is replying to it), -ECANCELED, -EINVAL
 * (@not_before), -ENOENT, as kpost_done(); or, if another user held it, -EDQUOT, -ENOBUFS, -ENOMEM,
 * as kpost_hold().
 */
int kpost_return(int fd, uint64_t token, uint64_t not_before);

/**
 * kpost_done_batch, kpost_return_batch - the same for many, as if one after the other
 * @fd: the endpoint that holds them
 * @tokens: theirs
 * @count: how many there are, 1 to KPOST_BATCH_MAX
 * @not_before: for all of them
 *
 * One whose sender has withdrawn it counts as done.
 *
 * Returns how many were done, and if that is less than @count the next one was not; or if that
 * is none the -errno of the first, as the functions above; also -EFAULT, -EINVAL (@count).
 */
int kpost_done_batch(int fd, const uint64_t *tokens, size_t count);
int kpost_return_batch(int fd, const uint64_t *tokens, size_t count, uint64_t not_before);

/* ---- batch.c: many messages at once ------------------------------------- */

int kpost_send_batch_sized(int fd, struct kpost_send *entries, size_t count, unsigned int flags,
			   uint64_t deadline, int *error, size_t size);
int kpost_recv_batch_sized(int fd, struct kpost_recv *entries, size_t count, unsigned int flags,
			   uint64_t deadline, int *error, size_t size);

/**
 * kpost_send_batch - send many messages
 * @fd: an endpoint with KPOST_RIGHT_SEND
 * @entries: what to send, in this order: struct kpost_send of <linux/kpost.h>, each with
 *	flags KPOST_IOVEC, KPOST_WANT_SEQUENCE, KPOST_PRESENT, KPOST_DROP_*, KPOST_REPLACE,
 *	KPOST_NUMBERED, and for expires KPOST_BOOTTIME or KPOST_REALTIME, priority, buf, len, tag,
 *	expires and number; all else 0
 * @count: how many there are, 1 to KPOST_BATCH_MAX
 * @flags: KPOST_DONTWAIT, and KPOST_BOOTTIME or KPOST_REALTIME for @deadline
 * @deadline: when to give up waiting until all are in the mailbox
 * @error: out, if it succeeds: 0, or the -errno of the first entry that was not sent; may
 *	be NULL
 *
 * Returns how many were sent, or if that is none the -errno of the first, as kpost_send();
 * also -EINVAL (@count).
 */
static inline int kpost_send_batch(int fd, struct kpost_send *entries, size_t count,
				   unsigned int flags, uint64_t deadline, int *error)
{
	return kpost_send_batch_sized(fd, entries, count, flags, deadline, error, sizeof(*entries));
}

/**
 * kpost_recv_batch - receive many messages
 * @fd: an endpoint with KPOST_RIGHT_RECV
 * @entries: where they go: struct kpost_recv of <linux/kpost.h>, each with flags KPOST_IOVEC,
 *	KPOST_TRUNCATE and KPOST_HOLD, buf, len and hold_until; all else 0.  What is out is told
 *	in them
 * @count: how many there is room for, 1 to KPOST_BATCH_MAX
 * @flags: KPOST_DONTWAIT, and KPOST_BOOTTIME or KPOST_REALTIME for @deadline
 * @deadline: when to give up waiting for the first message
 * @error: out, if it succeeds: 0 if there are no more messages, or the -errno of the first
 *	entry that could not be filled though there is one; may be NULL
 *
 * Returns how many were received, or if that is none the -errno of the first, as
 * kpost_recv(); also -EINVAL (@count).
 */
static inline int kpost_recv_batch(int fd, struct kpost_recv *entries, size_t count,
				   unsigned int flags, uint64_t deadline, int *error)
{
	return kpost_recv_batch_sized(fd, entries, count, flags, deadline, error, sizeof(*entries));
}

/* ---- call.c: calls and replies ------------------------------------------ */

/**
 * struct kpost_answer - what the kernel says of a call
 * @id: of a call that was collected; else 0
 * @user_data: likewise, as it was submitted
 * @size: bytes of the reply
 * @sequence: the request's number in the mailbox, or 0 if it never got in
 * @tag: the reply's, see kpost_replyv(); 0 if nobody replied
 * @badge: of the endpoint that the call was replied to or given up through, see
 *	kpost_grant(); 0 if nobody did
 * @time: when that was, in nanoseconds of CLOCK_MONOTONIC, by the tick
 *	(CLOCK_MONOTONIC_COARSE); 0 if nobody did
 * @flags: mask of KPOST_MESSAGE_RECEIVED (the request was received) and
 *	KPOST_MESSAGE_MIXED_IDS (of who replied, as in struct kpost_message)
 * @pid: the process that replied or gave the call up, 0 if nobody did or if it is not
 *	visible from here
 * @uid: its real user, or the overflow user (65534) if nobody did
 * @gid: likewise its group
 * @opener_uid: the effective user that opened the endpoint it replied through
 * @opener_gid: likewise its group
 */
struct kpost_answer {
	uint64_t id;
	uint64_t user_data;
	uint64_t size;
	uint64_t sequence;
	uint64_t tag;
	uint64_t badge;
	uint64_t time;
	unsigned int flags;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uid_t opener_uid;
	gid_t opener_gid;
};

/**
 * struct kpost_response - the reply to a call, for kpost_reply_recv(), or what becomes of a
 *	message that is held
 * @token: of the message, or 0 for none: then nothing else here is looked at
 * @buf: the reply
 * @len: its length, at most the message's reply_max
 * @tag: any number, for the caller
 * @flags: 0 for a reply; or KPOST_DROP, KPOST_DONE or KPOST_RETURN, as kpost_drop(), kpost_done()
 *	and kpost_return() do: then @buf, @len and @tag are 0
 * @reserved: 0
 * @not_before: with KPOST_RETURN: as for kpost_return(); else 0
 */
struct kpost_response {
	uint64_t token;
	const void *buf;
	size_t len;
	uint64_t tag;
	unsigned int flags;
	unsigned int reserved;
	uint64_t not_before;
};

ssize_t kpost_callv_sized(int fd, const struct iovec *request, int request_cnt,
			  const struct iovec *reply, int reply_cnt,
			  const struct kpost_options *options, struct kpost_answer *answer,
			  size_t options_size, size_t answer_size);
int kpost_replyv_sized(int fd, uint64_t token, const struct iovec *iov, int iovcnt,
		       const struct kpost_options *options, size_t size);
ssize_t kpost_reply_recv_sized(int fd, struct kpost_response *response, void *buf, size_t len,
			       struct kpost_message *message, unsigned int flags, uint64_t deadline,
			       size_t response_size, size_t message_size);

/**
 * kpost_call - send a request and wait for its reply
 * @fd: an endpoint with KPOST_RIGHT_SEND
 * @request: the request
 * @len: its length
 * @reply: where the reply goes
 * @reply_len: how much fits there; the reply can be no longer
 * @deadline: when to give up on room, receipt or reply
 *
 * With -EINTR and -ETIMEDOUT the call is given up: a request that was not received is taken
 * back.  A signal whose handler was installed with SA_RESTART does not end it, nor does what
 * stops, freezes or traces the process.
 *
 * Returns how many bytes the reply has; or -EAGAIN (the endpoint is non-blocking),
 * -EBADF, -ECONNRESET (the receiver closed, ended, or gave up the call, after it had
 * received the request), -EDQUOT (calls and the room for their replies count as what waits
 * does, see kpost_send()), -EFAULT, -EINTR, -EINVAL, -EMSGSIZE, -ENOBUFS, -ENOMEM, -EPIPE
 * (the mailbox is closed, or closed before the request was received), -ETIMEDOUT.
 *
 * After -EPIPE the request has had no effect, and after -ECONNRESET it may have had one.
 * For the other errors kpost_callv() can tell.
 */
ssize_t kpost_call(int fd, const void *request, size_t len, void *reply, size_t reply_len,
		   uint64_t deadline);

/**
 * kpost_callv - call, with all that can be said and told of it
 * @fd: an endpoint with KPOST_RIGHT_SEND
 * @request: pieces of the request, in order; may be NULL if there are none
 * @request_cnt: how many, at most KPOST_IOVEC_MAX
 * @reply: pieces that the reply fills in order; may be NULL if there are none
 * @reply_cnt: how many, at most KPOST_IOVEC_MAX
 * @options: priority and tag of the request, and when to give up on room, receipt or reply;
 *	its flags are KPOST_PRESENT, KPOST_RETRY, and KPOST_BOOTTIME or KPOST_REALTIME, since a
 *	call always waits.  NULL for all defaults.
 * @answer: where goes what became of the call, however it ends, or NULL.  Where the
 *	arguments were refused, it says that nobody received the request.
 *
 * A request without KPOST_MESSAGE_RECEIVED in @answer->flags has had no effect, so doing
 * the call again is safe.  With KPOST_RETRY that is not so: whoever held it may have died, or had
 * it taken away, in the middle of the work.
 *
 * Returns as kpost_call(); also -E2BIG (@options).
 */
static inline ssize_t kpost_callv(int fd, const struct iovec *request, int request_cnt,
				  const struct iovec *reply, int reply_cnt,
				  const struct kpost_options *options, struct kpost_answer *answer)
{
	return kpost_callv_sized(fd, request, request_cnt, reply, reply_cnt, options, answer,
				 sizeof(*options), sizeof(*answer));
}

ssize_t kpost_call_submit_sized(int fd, const struct iovec *request, int request_cnt,
				size_t reply_max, uint64_t user_data,
				const struct kpost_options *options, uint64_t *id, size_t size);
ssize_t kpost_call_collect_sized(int fd, uint64_t id, void *reply, size_t len,
				 struct kpost_answer *answer, unsigned int flags, uint64_t deadline,
				 size_t size);

/**
 * kpost_call_submit - call without waiting for the reply
 * @fd: an endpoint with KPOST_RIGHT_SEND
 * @request: pieces of the request, in order; may be NULL if there are none
 * @request_cnt: how many, at most KPOST_IOVEC_MAX
 * @reply_max: how long the reply can be
 * @user_data: any number, for who collects it
 * @options: priority and tag of the request, KPOST_DONTWAIT, KPOST_PRESENT, KPOST_RETRY, and
 *	when to give up waiting for room, by which clock, of which the receiver is told too.  NULL
 *	for all defaults.
 * @id: out, the call's number, never another's; may be NULL
 *
 * When this returns 0 the request is in the mailbox.  A program with one thread can have as
 * many calls under way as its user's sending share has room for: each takes memory, and
 * nothing else.  They belong to the process (not to a child of it) and to the endpoint, and end
 * with either.
 *
 * That there is a reply poll(2) says, with EPOLLPRI, and on an endpoint without
 * KPOST_RIGHT_RECV with EPOLLIN as well.
 *
 * Returns 0; or -E2BIG (@options), -EAGAIN, -EBADF, -ECANCELED (by another thread, while it
 * waited for room), -EDQUOT, -EFAULT, -EINTR, -EINVAL, -EMSGSIZE, -ENOBUFS, -ENOMEM, -EPIPE,
 * -ETIMEDOUT; nothing was sent then.
 */
static inline ssize_t kpost_call_submit(int fd, const struct iovec *request, int request_cnt,
					size_t reply_max, uint64_t user_data,
					const struct kpost_options *options, uint64_t *id)
{
	return kpost_call_submit_sized(fd, request, request_cnt, reply_max, user_data, options, id,
				       sizeof(*options));
}

/**
 * kpost_call_collect - take the reply of a call that was submitted
 * @fd: the endpoint that it was submitted through
 * @id: of the call, or 0 for any: of those whose reply is there the one that came first, or
 *	the next that comes
 * @reply: where the reply goes
 * @len: how much fits there
 * @answer: where goes what became of the call, and which it was; or NULL
 * @flags: KPOST_DONTWAIT, and KPOST_BOOTTIME or KPOST_REALTIME for @deadline
 * @deadline: when to give up waiting; what is there is taken all the same
 *
 * Returns how many bytes the reply has; or how else the call ended: -ECONNRESET (after the
 * request was received the receiver closed, ended, or gave up the call), -EPIPE (the mailbox
 * was closed before; or if @answer->id is 0, it is closed, and there is no call).  After these
 * the call is over, and @answer->id says which it was.  After
 * all others it is as it was: -EAGAIN, -EBADF, -EBUSY (another thread waits for that one, or
 * is collecting it), -ECANCELED (it, or all, were cancelled meanwhile), -EFAULT, -EINTR,
 * -EINVAL, -EMSGSIZE (@len is too small; @answer->size says how long it is), -ENOENT (no such
 * call), -ENOMEM, -ETIMEDOUT.
 */
static inline ssize_t kpost_call_collect(int fd, uint64_t id, void *reply, size_t len,
					 struct kpost_answer *answer, unsigned int flags,
					 uint64_t deadline)
{
	return kpost_call_collect_sized(fd, id, reply, len, answer, flags, deadline,
					sizeof(*answer));
}

/**
 * kpost_call_cancel - give up calls that were submitted; never waits
 * @fd: the endpoint that they were submitted through
 * @id: of the call, or 0 for all of this process and endpoint
 *
 * Requests that were not received are taken back, and had no effect; to the others nobody can
 * reply any more.  Replies that were not collected are lost, but those that other threads are
 * collecting.  Threads that wait to collect what is given up, or with 0 any, get -ECANCELED.
 *
 * Returns how many there were; or -EBADF, -EBUSY (another thread is collecting it), -ENOENT (no
 * such call).
 */
int kpost_call_cancel(int fd, uint64_t id);

/**
 * kpost_reply - answer a call, in the plain case; never waits
 * @fd: the endpoint that received the call
 * @token: of the received message; it works once
 * @buf: the reply
 * @len: its length, at most the message's reply_max
 *
 * Returns 0; or -EBADF, -EBUSY (another thread is replying to it), -ECANCELED (the
 * caller has left), -EFAULT, -EINVAL, -EMSGSIZE, -ENOENT (no such call).  0 and
 * -ECANCELED use the token up, the others do not.
 */
int kpost_reply(int fd, uint64_t token, const void *buf, size_t len);

/**
 * kpost_replyv - answer a call, with all that can be said of the reply; never waits
 * @fd: the endpoint that received the call
 * @token: of the received message; it works once
 * @iov: the pieces of the reply, in order; may be NULL if there are none
 * @iovcnt: how many, at most KPOST_IOVEC_MAX
 * @options: the reply's tag, all else must be 0 (else -EINVAL): a reply is in no queue and
 *	waits for nothing.  NULL for a tag of 0.
 *
 * Returns as kpost_reply(); also -E2BIG (@options) and -ENOMEM, which do not use the token
 * up.
 */
static inline int kpost_replyv(int fd, uint64_t token, const struct iovec *iov, int iovcnt,
			       const struct kpost_options *options)
{
	return kpost_replyv_sized(fd, token, iov, iovcnt, options, sizeof(*options));
}

/**
 * kpost_drop - give a call up: its caller gets -ECONNRESET
 * @fd: the endpoint that received the call
 * @token: of the received message
 *
 * Returns as kpost_reply().
 */
int kpost_drop(int fd, uint64_t token);

/**
 * kpost_reply_recv - answer a call, or be done with a message that is held, and receive the next
 *	one, in one operation
 * @fd: an endpoint with KPOST_RIGHT_RECV
 * @response: the reply, and the call that it is for.  With a token of 0 it only receives.
 *	The token is set to 0 once it is used up, whatever is returned, so that doing the
 *	same again does not reply twice.  Nothing else of @response is written to.
 * @buf: where the next message's payload goes; may be the memory of the reply
 * @len: how much fits there
 * @message: where its description goes, or NULL
 * @flags: as for kpost_recv()
 * @deadline: as for kpost_recv()
 *
 * @response->token is also right in the cleanup handlers of a thread that is cancelled in
 * it.
 *
 * Returns what kpost_recv() returns; also -E2BIG (@response).  A failure with
 * @response->token not 0 is one of kpost_reply(), or what @response->flags stand for, or of the
 * arguments, and nothing was received.
 */
static inline ssize_t kpost_reply_recv(int fd, struct kpost_response *response, void *buf,
				       size_t len, struct kpost_message *message,
				       unsigned int flags, uint64_t deadline)
{
	return kpost_reply_recv_sized(fd, response, buf, len, message, flags, deadline,
				      sizeof(*response), sizeof(*message));
}

/* ---- origin.c: messages of other machines ------------------------------- */

/* No envelope is longer, in bytes; nor will one of a later version be. */
#define KPOST_ENVELOPE_MAX 512

/**
 * struct kpost_origin - which machine a message is of, and what is said of it there
 * @identity: the mailbox that it was sent to there, see kpost_stat.identity; 0 if that is not told,
 *	as of a call
 * @sequence: its number in that mailbox, from 1 up; 0 if that is not told
 * @stored: when JetStream stored it, in nanoseconds of CLOCK_REALTIME; 0 of a call
 * @badge: of the endpoint that it was sent through there
 * @pid: the sender's process there; 0 if that is not told
 * @uid: the user there, as in struct kpost_message; 65534 if that is not told
 * @gid: likewise the group
 * @opener_uid: likewise the user that opened the endpoint
 * @opener_gid: likewise its group
 * @reserved: 0
 * @machine: the machine's name, which ends with NUL; of a dead letter the one that put it aside
 *
 * @machine is true: the server lets no other machine say that it is this one, if its rights are
 * set as kpost-bridge(8) says.  @stored is the server's.  All else is only what that machine
 * claims: who controls it, or may publish in its name, can claim anything.  Its ids are those of
 * its own users, and mean nothing here: they are for accounting, and never for a permission
 * without looking at @machine.
 */
struct kpost_origin {
	uint64_t identity;
	uint64_t sequence;
	uint64_t stored;
	uint64_t badge;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uid_t opener_uid;
	gid_t opener_gid;
	unsigned int reserved;
	char machine[200];
};

ssize_t kpost_bridge_origin_sized(uint64_t badge, const void *buf, size_t len,
				  struct kpost_origin *origin, size_t size);

/**
 * kpost_bridge_origin - tell which machine a message is of, and where its payload begins; never
 *	waits
 * @badge: of the message: kpost_message.badge, or kpost_recv.badge
 * @buf: the message; it need not be aligned
 * @len: how much of it was stored
 * @origin: out, if it succeeds; or NULL
 *
 * For mailboxes of routes of kpost-bridge that have "envelope = yes", and for no others: there the
 * bridge puts an envelope before each payload.  Anybody who may send can write such bytes, but
 * only the mailbox's owner, which is the bridge's user, can give badges.  Hence this takes the
 * message's: local senders have 0, which has no envelope, whatever the bytes are; and an envelope
 * is good only with the badge that the bridge has put into it.  A machine that comes in by a route
 * without envelopes could write one itself.
 *
 * Any bytes are safe, also those of a message that was truncated.
 *
 * Returns where the payload begins, in bytes from @buf, which is more than 0 and at most @len; or
 * -EBADMSG: there is no envelope, @len ends within it, or it is one of a later version.
 */
static inline ssize_t kpost_bridge_origin(uint64_t badge, const void *buf, size_t len,
					  struct kpost_origin *origin)
{
	return kpost_bridge_origin_sized(badge, buf, len, origin, sizeof(*origin));
}

/* ---- uring.c: for the caller's own liburing ring ------------------------ */

struct io_uring_sqe;

/* What the functions below are made of; @operation, KPOST_IOC_SEND and so on, has @arg's size. */
void kpost_prep(struct io_uring_sqe *sqe, int fd, unsigned int operation, const void *arg);

/**
 * kpost_prep_send, ... - fill an entry with an operation
 * @sqe: the entry, from io_uring_get_sqe(); its flags and user data are set after
 * @fd: an endpoint, or with IOSQE_FIXED_FILE the index of a registered one
 * @arg: the operation's argument, see <linux/kpost.h>
 *
 * The completion's result is what ioctl(2) would return, or -errno; -ECANCELED if
 * the request was cancelled, and then it has changed nothing.  @arg and all that it
 * points to stay in place until the completion.  Requests that wait at the same
 * time may pass each other; IOSQE_IO_LINK keeps them in order.
 */
static inline void kpost_prep_send(struct io_uring_sqe *sqe, int fd, struct kpost_send *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_SEND, arg);
}

static inline void kpost_prep_recv(struct io_uring_sqe *sqe, int fd, struct kpost_recv *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_RECV, arg);
}

static inline void kpost_prep_call(struct io_uring_sqe *sqe, int fd, struct kpost_call *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_CALL, arg);
}

static inline void kpost_prep_call_submit(struct io_uring_sqe *sqe, int fd,
					  struct kpost_call_submit *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_CALL_SUBMIT, arg);
}

static inline void kpost_prep_call_collect(struct io_uring_sqe *sqe, int fd,
					   struct kpost_call_collect *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_CALL_COLLECT, arg);
}

static inline void kpost_prep_reply(struct io_uring_sqe *sqe, int fd, const struct kpost_reply *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_REPLY, arg);
}

static inline void kpost_prep_reply_recv(struct io_uring_sqe *sqe, int fd,
					 const struct kpost_reply_recv *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_REPLY_RECV, arg);
}

static inline void kpost_prep_send_batch(struct io_uring_sqe *sqe, int fd, struct kpost_batch *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_SENDV, arg);
}

static inline void kpost_prep_recv_batch(struct io_uring_sqe *sqe, int fd, struct kpost_batch *arg)
{
	kpost_prep(sqe, fd, KPOST_IOC_RECVV, arg);
}

/**
 * kpost_sqe_set_fixed_buffer - the payload lies in a registered buffer
 * @sqe: an entry that one of the functions above has filled
 * @index: of the registered buffer in which @buf of the argument lies
 */
void kpost_sqe_set_fixed_buffer(struct io_uring_sqe *sqe, unsigned int index);

/* ---- sender.c: a small asynchronous sender that owns a ring ------------- */

/*
 * A sender copies messages, sends them in the order they were queued, and says of
 * each exactly once what became of it, in that order too: 0 when the mailbox has
 * it, or -errno of kpost_send().  A message that fails holds up or fails no other,
 * unless that is asked for (KPOST_SENDER_STOP).
 *
 * Nothing happens in the background: completions are looked at, and further
 * batches started, inside the functions below.  A program either waits in
 * kpost_sender_wait() or kpost_sender_flush(), or adds kpost_sender_eventfd() to its
 * event loop and calls kpost_sender_submit() or kpost_sender_reap() when it is
 * readable.
 *
 * Any thread may use a sender, also when the thread that queued or submitted a message
 * has ended.  A signal handler may not.  kpost_sender_wait(), _flush() and _submit() are
 * cancellation points, the others are none; a thread that is cancelled in one leaves the
 * sender as it has to be for the others.
 *
 * A sender is for one process.  A child of fork() does nothing with it but
 * kpost_sender_forget(); until it does, or executes a program, the child keeps the
 * endpoint open, and receivers are not told when the parent ends.
 */
struct kpost_sender;

/**
 * kpost_sent_fn - told what became of a message
 * @arg: from struct kpost_sender_options
 * @cookie: from kpost_sender_queue()
 * @result: 0 or -errno; -ECANCELED only if the sender was freed or stopped before;
 *	-EAGAIN also where io_uring gets no thread to wait in, see RLIMIT_NPROC
 *
 * Called from _submit, _reap, _wait, _flush and _free, in the thread that called them,
 * one call at a time and in the order of the messages.  No lock of the sender is held
 * meanwhile, so it may take a lock under which threads queue; those that wait for the
 * message, wait for it.  It may queue and submit; _wait, _flush and _free of the same
 * sender return -EDEADLK in it.  It returns: it is not left by longjmp(), an exception or
 * pthread_exit(), nor does it make the thread cancelable.
 */
typedef void (*kpost_sent_fn)(void *arg, void *cookie, int result);

/* kpost_sender_options.flags */
#define KPOST_SENDER_STOP (1u << 0) /* when a message fails, send nothing behind it */

/**
 * struct kpost_sender_options - of a sender; zero in any field for its default
 * @depth: most messages under way or not collected, 0 for 256, at most 1048576
 * @batch: most messages submitted together, 0 for 32, at most KPOST_BATCH_MAX; a full batch
 *	is started without being asked for
 * @sent: called for each message; NULL to collect with kpost_sender_reap()
 * @arg: first argument of @sent
 * @flags: 0 or KPOST_SENDER_STOP: when a message fails, all that is queued behind it is
 *	reported with -ECANCELED and not sent, and nothing can be queued any more
 * @reserved: 0
 */
struct kpost_sender_options {
	unsigned int depth;
	unsigned int batch;
	kpost_sent_fn sent;
	void *arg;
	unsigned int flags;
	unsigned int reserved;
};

/**
 * struct kpost_completion - of one message, from kpost_sender_reap()
 * @cookie: from kpost_sender_queue()
 * @result: 0 or -errno, as in kpost_sent_fn
 * @reserved: 0
 */
struct kpost_completion {
	void *cookie;
	int result;
	unsigned int reserved;
};

int kpost_sender_new_sized(struct kpost_sender **sender, int fd,
			   const struct kpost_sender_options *options, size_t size);
int kpost_sender_queue_sized(struct kpost_sender *sender, const void *buf, size_t len,
			     const struct kpost_options *options, void *cookie, size_t size);
int kpost_sender_reap_sized(struct kpost_sender *sender, struct kpost_completion *out,
			    unsigned int max, size_t size);

/**
 * kpost_sender_new - make a sender
 * @sender: out; free it with kpost_sender_free()
 * @fd: an endpoint with KPOST_RIGHT_SEND; the sender has its own reference, so it
 *	may be closed.  On a non-blocking one, messages that find no room fail with
 *	-EAGAIN.
 * @options: or NULL for defaults
 *
 * A sender has three file descriptors, all close-on-exec.
 *
 * Returns 0; or -EBADF, -EINVAL (options), -EMFILE, -ENFILE, -ENOMEM, or -ENOSYS or
 * -EPERM where io_uring is not to be had.
 */
static inline int kpost_sender_new(struct kpost_sender **sender, int fd,
				   const struct kpost_sender_options *options)
{
	return kpost_sender_new_sized(sender, fd, options, sizeof(*options));
}

/**
 * kpost_sender_queue - copy a message and queue it; never waits
 * @sender: a sender
 * @buf: the payload
 * @len: its length
 * @options: priority, tag, deadline and expires, both of CLOCK_MONOTONIC, or NULL for all
 *	defaults; its flags must be 0.
 *	Messages are sent in the order they were queued in, whatever their priority.  The
 *	deadline is when to give up waiting for room (-ETIMEDOUT), also for what is queued
 *	behind others that wait.
 * @cookie: returned with the result
 *
 * Returns 0; or with nothing queued -EAGAIN (depth messages are under way or not
 * collected: wait, collect, or do something else until the eventfd is readable),
 * -EINVAL (flags), -E2BIG (@options), -EMSGSIZE (longer than KPOST_PAYLOAD_MAX),
 * -EFAULT (@buf is NULL), -ENOMEM, -ECANCELED (stopped; the message that failed may have
 * to be reported yet, which kpost_sender_submit() does).
 */
static inline int kpost_sender_queue(struct kpost_sender *sender, const void *buf, size_t len,
				     const struct kpost_options *options, void *cookie)
{
	return kpost_sender_queue_sized(sender, buf, len, options, cookie, sizeof(*options));
}

/**
 * kpost_sender_submit - start all that is queued, batch by batch; never waits
 * @sender: a sender
 *
 * Also reports what is done to the callback, if no other thread is about it.
 *
 * Returns 0; or -errno of io_uring_submit(), with the messages still queued; or
 * -ECANCELED (stopped).
 */
int kpost_sender_submit(struct kpost_sender *sender);

/**
 * kpost_sender_reap - collect completions; never waits
 * @sender: a sender; one with a callback has none to collect
 * @out: where they go, in the order the messages were queued
 * @max: how many fit there
 *
 * Returns how many were stored.
 */
static inline int kpost_sender_reap(struct kpost_sender *sender, struct kpost_completion *out,
				    unsigned int max)
{
	return kpost_sender_reap_sized(sender, out, max, sizeof(*out));
}

/**
 * kpost_sender_wait - submit, then wait until one more message is done
 * @sender: a sender
 * @deadline: when to give up
 *
 * With a callback, a message is done when its callback has returned.  Any number of
 * threads may wait.
 *
 * Returns 0, at once if nothing is under way or something can be collected; or
 * -EINTR, -ETIMEDOUT, -EDEADLK (in the callback), -ECANCELED (another thread frees the
 * sender), or as kpost_sender_submit().
 */
int kpost_sender_wait(struct kpost_sender *sender, uint64_t deadline);

/**
 * kpost_sender_flush - submit, then wait until all that was queued before is done
 * @sender: a sender
 * @deadline: when to give up
 *
 * Returns 0, or as kpost_sender_wait().
 */
int kpost_sender_flush(struct kpost_sender *sender, uint64_t deadline);

/**
 * kpost_sender_eventfd - readable when something is done; for poll() only
 * @sender: a sender
 *
 * The other functions reset it.  It may be readable with nothing done.  While a thread is
 * in kpost_sender_wait() or kpost_sender_flush(), it may stay unreadable until that
 * returns.
 *
 * Returns a file descriptor that belongs to the sender.
 */
int kpost_sender_eventfd(struct kpost_sender *sender);

/**
 * kpost_sender_pending - how many messages are queued or in flight
 * @sender: a sender
 *
 * Returns their number: those whose callback has not been called, or without a callback
 * those that cannot be collected yet.
 */
unsigned int kpost_sender_pending(const struct kpost_sender *sender);

/**
 * kpost_sender_free - cancel what is under way and free the sender
 * @sender: a sender, or NULL.  No thread begins to use it any more; those that are inside
 *	one of its functions, or in the callback, are waited for, and waiting ends there
 *	with -ECANCELED.
 *
 * Every message that was not done is reported to the callback: as sent if the
 * kernel was faster, else with -ECANCELED, and then it was not sent.  What was not
 * collected is forgotten.
 *
 * Returns how many messages were cancelled, always the ones queued last; or
 * -EDEADLK in the callback.
 */
int kpost_sender_free(struct kpost_sender *sender);

/**
 * kpost_sender_forget - let go of a parent's sender, in a child of fork()
 * @sender: a sender that the process got by fork(), or NULL; it is gone afterwards
 *
 * Closes the sender's file descriptors and frees its memory.  Sends, cancels and reports
 * nothing, and takes no lock, so what the parent's threads were doing when it forked does
 * not matter.  The parent's sender goes on.
 */
void kpost_sender_forget(struct kpost_sender *sender);

#ifdef __cplusplus
}
#endif

#endif /* KPOST_H */
