/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Traffic: senders, receivers, callers and servers, each a process that may be killed
 * at any moment and is then replaced by another in its slot.
 *
 * A slot's log is memory that lives on.  A sender notes what it is about to send
 * before it does, and afterwards what came of it.  A receiver has the kernel write
 * payload and struct right into its log.  So when one is killed the log tells:
 *
 *  - of a sender: which message it was sending; whether that was sent is unknown,
 *    and settled by whether anybody has received it;
 *  - of a receiver with a struct: the struct has a sequence number if, and only if,
 *    a message was received (or its sender had just withdrawn it, and knows; then
 *    the payload may be that of another already, which went back);
 *  - of one that used read(2): a whole payload may or may not have been received;
 *    that is settled by whether anybody else has it, and by the kernel's counter.
 *
 * ledger.c reads the logs as they are written, and knows of each number of each sender
 * what became of it.
 */
#ifndef STRESS_TRAFFIC_H
#define STRESS_TRAFFIC_H

#include <liburing.h>

#include "stress.h"

enum {
	MAILBOXES = 4,
	SERVICE = MAILBOXES - 1, /* the one for calls */
	SLOTS_MAX = 32,
	NUMBERS = 1 << 20, /* messages of one sender */
	PRIORITIES = 4,
	PAYLOAD_MAX = 6000, /* more than a page */
	LOG = 64,
	ORPHANS = 32,
};

#define PENDING INT64_MIN /* no result yet */
#define READ_ALREADY (INT64_MIN + 1) /* a note that says nothing any more */
#define GIVEN_UP (INT64_MIN + 2) /* a call that was cancelled, with its reply or without */

/* How a payload begins; what follows depends on the number. */
struct item {
	uint32_t sender;
	uint32_t mailbox;
	uint64_t number;
	uint64_t size;
	uint64_t sum; /* of all else */
};

enum role { SENDER, RECEIVER, CALLER, SERVER };

enum answer {
	ANSWER_NONE, /* not tried, or not known to have been */
	ANSWER_TRIED,
	ANSWER_GIVEN,
	ANSWER_DROPPED,
	ANSWER_LATE, /* the caller had left */
	ANSWER_RESET, /* the server has closed its endpoint */
};

/*
 * A receiver's note; the kernel writes to @recv and @payload.  @recv lies in one page,
 * else a task that is killed might leave half of it, and the message goes back.
 */
struct receipt {
	int64_t result; /* PENDING while under way */
	bool described; /* with a struct */
	uint8_t answer;
	_Alignas(128) struct kpost_recv recv;
	union {
		struct item item;
		unsigned char payload[PAYLOAD_MAX];
	};
};

/* A sender's. */
struct dispatch {
	uint64_t number;
	int64_t result;
	uint64_t echo; /* what a call brought back */
	uint8_t mailbox;
	bool sync; /* a withdrawal counts as a drop */
	bool orphan; /* left to a ring that went */
};

/* What a ring that went may still write to or read from. */
struct orphan {
	struct kpost_send send;
	struct receipt receipt;
};

struct slot {
	enum role role;
	unsigned int index;
	unsigned int mailbox; /* a receiver's */
	bool mortal; /* may be killed, and interrupted by signals */
	bool late; /* whether what it sends is counted at the end only */
	pid_t pid; /* 0 if there is none */
	bool killed; /* until it has been replaced */
	unsigned int life;
	/* written by the worker */
	uint64_t operations; /* begun */
	bool waits; /* in an operation that has no end but a message's coming */
	uint64_t next; /* the next message's number */
	uint64_t sent; /* of those, known to have been */
	uint64_t head; /* notes finished */
	uint64_t enomem, efault, cancelled, timed_out;
	uint64_t resumed; /* calls that were gone on with, each time */
	bool syncs; /* waits for receipt or a reply */
	uint64_t restarts[MAILBOXES]; /* how often that may have been restarted */
	uint64_t odd; /* errors that nothing explains */
	int64_t odd_error;
	unsigned int orphaned;
	union {
		struct receipt receipts[LOG];
		struct dispatch dispatches[LOG];
	};
	struct orphan orphans[ORPHANS];
	/* of the ledger's */
	uint64_t tail;
};

struct traffic {
	char names[MAILBOXES][32];
	int fds[MAILBOXES]; /* the test's own endpoints */
	bool cheap; /* only the ways that cost least */
	bool faults; /* allocations and copies are made to fail */
	bool kills;
	bool tail; /* nobody receives any more */
	bool stop_senders;
	bool stop_receivers;
	bool stop_killer;
	uint64_t slowest_death;
	uint64_t wanted; /* messages of each sender */
	unsigned int count;
	struct slot slots[SLOTS_MAX];
};

/* A process in a slot. */
struct worker {
	struct traffic *traffic;
	struct slot *slot;
	int fds[MAILBOXES];
	int epoll, epoll_edge;
	bool ring_ready;
	struct io_uring ring;
	struct chance chance;
};

/* worker.c */
uint64_t worker_memory(struct worker *worker, void *buf);
void worker_main(struct traffic *traffic, struct slot *slot) __attribute__((noreturn));
bool worker_stopping(const struct worker *worker);
void worker_count(struct worker *worker, long err);
void worker_open(struct worker *worker, unsigned int mailbox, unsigned int rights);
bool worker_await_log(struct worker *worker);
void item_fill(struct item *item, unsigned int sender, uint64_t number, unsigned int mailbox,
	       size_t size);
bool item_whole(const struct item *item);

/* ring.c */
struct io_uring_sqe *ring_entry(struct worker *worker);
void ring_prepare(struct io_uring_sqe *sqe, int fd, unsigned int op, const void *arg);
long ring_finish(struct worker *worker, bool cancel);
void ring_abandon(struct worker *worker);

/* sender.c, receiver.c, caller.c, server.c */
void send_one(struct worker *worker, unsigned char *buf);
void receive_one(struct worker *worker);
void call_one(struct worker *worker, unsigned char *buf);
void serve_one(struct worker *worker);
struct receipt *receipt_begin(struct worker *worker, uint64_t at, bool described);

/* ledger.c */
struct ledger;
struct ledger *ledger_open(struct traffic *traffic);
void ledger_read(struct ledger *ledger, struct slot *slot);
void ledger_killed(struct ledger *ledger, struct slot *slot);
void ledger_take(struct ledger *ledger, struct receipt *receipt);
bool ledger_over(const struct ledger *ledger, const struct slot *slot);
void ledger_settle(struct ledger *ledger, struct part *part);
uint64_t ledger_receipts(const struct ledger *ledger);

#endif /* STRESS_TRAFFIC_H */
