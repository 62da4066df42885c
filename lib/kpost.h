/* SPDX-License-Identifier: MIT */
/*
 * libkpost: mailboxes that the kernel keeps.
 *
 * Every function returns -errno on failure (never sets errno), is thread-safe,
 * and takes deadlines as absolute nanoseconds of CLOCK_MONOTONIC, 0 for none;
 * kpost_deadline() makes one.  Errors are those that <linux/kpost.h> lists for
 * the operation of the same name.  Endpoints are file descriptors: close(),
 * poll(), read(), write(), fork() and SCM_RIGHTS work on them as on any other.
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

int kpost_device(void); /* open /dev/kpost, for the functions below that end in _at */
int kpost_info(struct kpost_info *info);
int kpost_info_at(int device, struct kpost_info *info);
uint64_t kpost_deadline(int64_t milliseconds); /* now + ms; negative: 0, no deadline */

/* ---- mailbox.c: opening, naming, looking ------------------------------ */

struct kpost_attr { /* of a mailbox that is made; zero for a default */
	unsigned int mode; /* permission bits */
	unsigned int messages; /* capacity in messages */
	uint64_t bytes; /* capacity in payload bytes */
	size_t message_max; /* largest payload */
};

/* flags: KPOST_OPEN_*; attr may be NULL (mode 0600); deadline for KPOST_OPEN_WAIT */
int kpost_open(const char *name, unsigned int rights, unsigned int flags,
	       const struct kpost_attr *attr, uint64_t deadline);
int kpost_open_at(int device, const char *name, unsigned int rights, unsigned int flags,
		  const struct kpost_attr *attr, uint64_t deadline);
/* an anonymous mailbox: fds[0] receives (and has ADMIN), fds[1] sends */
int kpost_pair(int fds[2], unsigned int flags, const struct kpost_attr *attr);
int kpost_unlink(const char *name);
int kpost_unlink_at(int device, const char *name);
int kpost_stat(int fd, struct kpost_stat *st);
int kpost_setattr(int fd, const struct kpost_setattr *attr);
/* calls @each in order of names until it returns non-zero, which is then returned */
int kpost_list(int (*each)(const struct kpost_stat *st, void *arg), void *arg);
int kpost_list_at(int device, int (*each)(const struct kpost_stat *st, void *arg), void *arg);

/* ---- message.c: sending and receiving --------------------------------- */

struct kpost_message { /* what the kernel says of a received message */
	uint64_t size; /* of the payload, also when it was truncated or did not fit */
	uint64_t sequence;
	uint64_t token; /* for kpost_reply(), 0 if this is no call */
	uint64_t reply_max;
	unsigned int flags; /* KPOST_MESSAGE_* */
	unsigned int priority;
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

int kpost_send(int fd, const void *buf, size_t len, unsigned int priority, unsigned int flags,
	       uint64_t deadline);
int kpost_sendv(int fd, const struct iovec *iov, int iovcnt, unsigned int priority,
		unsigned int flags, uint64_t deadline);
/* returns bytes stored; message may be NULL */
ssize_t kpost_recv(int fd, void *buf, size_t len, struct kpost_message *message,
		   unsigned int flags, uint64_t deadline);
ssize_t kpost_recvv(int fd, const struct iovec *iov, int iovcnt, struct kpost_message *message,
		    unsigned int flags, uint64_t deadline);

/* ---- call.c: calls and replies ------------------------------------------ */

/* returns bytes of the reply */
ssize_t kpost_call(int fd, const void *request, size_t len, void *reply, size_t reply_len,
		   uint64_t deadline);
ssize_t kpost_callv(int fd, const struct iovec *request, int request_cnt,
		    const struct iovec *reply, int reply_cnt, unsigned int priority,
		    uint64_t deadline);
int kpost_reply(int fd, uint64_t token, const void *buf, size_t len);
int kpost_replyv(int fd, uint64_t token, const struct iovec *iov, int iovcnt);
int kpost_drop(int fd, uint64_t token); /* the caller gets ECONNRESET */
/* *token is 0 to only receive, and is 0 afterwards if it was used up */
ssize_t kpost_reply_recv(int fd, uint64_t *token, const void *reply, size_t reply_len, void *buf,
			 size_t len, struct kpost_message *message, unsigned int flags,
			 uint64_t deadline);

/* ---- uring.c: for the caller's own liburing ring ------------------------ */

struct io_uring_sqe;

/*
 * Fill @sqe with an operation on endpoint @fd (an index with IOSQE_FIXED_FILE).
 * The struct and all that it points to stay in place until the completion,
 * whose result is what the operation returns.
 */
void kpost_prep_send(struct io_uring_sqe *sqe, int fd, const struct kpost_send *arg);
void kpost_prep_recv(struct io_uring_sqe *sqe, int fd, struct kpost_recv *arg);
void kpost_prep_call(struct io_uring_sqe *sqe, int fd, const struct kpost_call *arg);
void kpost_prep_reply(struct io_uring_sqe *sqe, int fd, const struct kpost_reply *arg);
void kpost_prep_reply_recv(struct io_uring_sqe *sqe, int fd, const struct kpost_reply_recv *arg);
/* after a prep: the payload lies in registered buffer @index */
void kpost_sqe_set_fixed_buffer(struct io_uring_sqe *sqe, unsigned int index);

/* ---- sender.c: a small asynchronous sender that owns a ring ------------- */

struct kpost_sender;

/* called from kpost_sender_* of the same sender, once for each message: 0 or -errno */
typedef void (*kpost_sent_fn)(void *arg, void *cookie, int result);

struct kpost_sender_options {
	unsigned int depth; /* most messages queued or in flight, 0 for 256 */
	unsigned int batch; /* submitted together, 0 for 32 */
	kpost_sent_fn sent; /* may be NULL: then collect with kpost_sender_reap() */
	void *arg; /* first argument of sent */
};

struct kpost_completion { /* of one message, from kpost_sender_reap() */
	void *cookie;
	int result; /* 0 or -errno */
};

int kpost_sender_new(struct kpost_sender **sender, int fd,
		     const struct kpost_sender_options *options);
/*
 * Copies the payload and queues it; messages are sent in the order they were
 * queued.  -EAGAIN when depth messages are under way: the caller waits
 * (kpost_sender_wait) or does something else until kpost_sender_eventfd() is
 * readable.
 */
int kpost_sender_queue(struct kpost_sender *sender, const void *buf, size_t len,
		       unsigned int priority, uint64_t deadline, void *cookie);
int kpost_sender_submit(struct kpost_sender *sender); /* start what is queued; never waits */
/* take up to @max completions (without a callback); returns how many */
int kpost_sender_reap(struct kpost_sender *sender, struct kpost_completion *out, unsigned int max);
int kpost_sender_wait(struct kpost_sender *sender, uint64_t deadline); /* until one more is done */
int kpost_sender_flush(struct kpost_sender *sender, uint64_t deadline); /* until all are done */
int kpost_sender_eventfd(struct kpost_sender *sender); /* readable when something is done */
unsigned int kpost_sender_pending(const struct kpost_sender *sender);
/* cancels what is in flight, reports each to the callback as -ECANCELED, frees; returns how many */
int kpost_sender_free(struct kpost_sender *sender);

#ifdef __cplusplus
}
#endif

#endif /* KPOST_H */
