/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every operation, with a fault injected at each site in turn.
 *
 * A *trial* is one operation by one *route*: ioctl(2), a command of io_uring's, or
 * the same done by a worker of io_uring's.  A trial runs in a process of its own, on
 * a *stage*: a mailbox, a ring, buffers.  It is walked: the operation is done with
 * the first allocation or copy that it makes failing, then with the second, and so on
 * until it gets through without a fault.  Where it failed, everything has to be as it
 * was, and the same call without a fault has to work.
 */
#ifndef KPOST_FAULTS_H
#define KPOST_FAULTS_H

#define KPOST_TEST_NO_HARNESS
#include "../../selftests/kpost_test.h"
#include "../../selftests/uring_test.h"

#define PLACES_MAX 160
#define PLACE_SIZE 320
#define OUTCOMES_MAX 8
#define ERRNOS_MAX 6

enum route { BY_IOCTL, BY_RING, BY_WORKER, BY_FIXED, ROUTES };

#define IOCTL (1u << BY_IOCTL)
#define RING (1u << BY_RING | 1u << BY_WORKER)
#define ALL_ROUTES (IOCTL | RING | 1u << BY_FIXED)
#define NO_FIXED (IOCTL | RING)

/* What failed, as the kernel's log tells. */
struct fault {
	bool injected;
	bool told; /* not all are: some callers ask for silence */
	bool ours; /* on behalf of kpost */
	char kind[32]; /* failslab, fail_page_alloc, fail_usercopy */
	char place[PLACE_SIZE]; /* return addresses, up to kpost's */
};

struct outcome {
	long ret;
	unsigned int count;
};

/* A row of the table; in memory that the processes share. */
struct row {
	unsigned int sites; /* where the operation can fail, loops counted as often as they go */
	unsigned int faults; /* injected: each step is walked twice */
	unsigned int ours; /* of these, on behalf of kpost */
	unsigned int quiet; /* of these, not told of */
	unsigned int bad; /* unexpected */
	unsigned int outcomes_count;
	struct outcome outcomes[OUTCOMES_MAX];
	unsigned int places_count;
	struct {
		bool ours;
		char text[PLACE_SIZE];
	} places[PLACES_MAX];
	bool done;
};

struct stage;

/* Has it a mount namespace of its own, and kpost mounted there? */
enum mounts { NO_MOUNTS, APART, MOUNTED };

struct trial {
	const char *name;
	const char *family; /* operations that are added up, or NULL */
	unsigned int routes;
	bool root; /* the others are done by an unprivileged user */
	bool bare; /* without a mailbox and a ring */
	bool once; /* takes too long to be walked twice */
	bool forks; /* each attempt in a process of its own */
	enum mounts mounts;
	const char *filter; /* only faults below this function, or "[kpost]" */
	int errnos[ERRNOS_MAX]; /* that the interface documents and a fault may give */
	int elsewhere[ERRNOS_MAX]; /* that the rest of the kernel may give for its own faults */
	long expect; /* the result without a fault */
	void (*prepare)(struct stage *stage);
	long (*call)(struct stage *stage);
	/* It has done what it should; leaves all as it was before prepare(). */
	void (*check)(struct stage *stage);
	/* What a failed call may have changed; else nothing. */
	bool (*changed)(struct stage *stage, long ret);
};

/* What an operation that fails must leave alone. */
struct snapshot {
	struct kpost_stat st;
	unsigned int names;
	struct kpost_stat list[8];
	bool fds[256];
};

/* io_uring allocates a request, and for a command a copy of the entry. */
#define COMMAND(family_, routes_) \
	.family = (family_), .routes = (routes_), .elsewhere = { EAGAIN, ENOMEM }

#define PAYLOAD_MAX 16384
#define PIECES 8
#define BATCH 5

struct stage {
	const struct trial *trial;
	enum route route;
	struct row *row;
	unsigned int n; /* the step to fail, 0 for none */
	struct fault fault;
	struct snapshot before, after;
	long ret;

	char name[KT_NAME_SIZE];
	char other[KT_NAME_SIZE];
	int fds[2]; /* of the mailbox: [0] receives and administers, [1] sends */
	int fd; /* whatever the trial has opened */
	int epoll;
	struct io_uring ring;
	struct kt_job job;

	/* the arguments; unchanged by a call that fails */
	struct arguments {
		struct kpost_info info;
		struct kpost_open open;
		struct kpost_unlink unlink;
		struct kpost_list list;
		struct kpost_send send;
		struct kpost_recv recv;
		struct kpost_call call;
		struct kpost_reply reply;
		struct kpost_reply_recv reply_recv;
		struct kpost_call_submit submit;
		struct kpost_call_collect collect;
		struct kpost_call_cancel call_cancel;
		struct kpost_cancel cancel;
		struct kpost_stat st;
		struct kpost_setattr set;
		struct kpost_grant grant;
		struct kpost_iovec pieces[PIECES];
		struct kpost_batch batch;
		struct kpost_send sends[BATCH];
		struct kpost_recv recvs[BATCH];
	} args, args_before;
	struct kpost_call job_call;
	struct kpost_recv job_recv;
	size_t len; /* of the payload */
	unsigned int messages; /* that the mailbox has room for, while it is full */
	char *payload; /* what is sent */
	char *buffer; /* where it is received */
	char *job_buffer;
	char *pool; /* all of these, registered with the ring */
};

/* inject.c */
int faults_open(void);
void faults_filter(const char *filter);
void faults_arm(struct stage *stage);
void faults_disarm(struct stage *stage);

/* Do @call with the fault armed that the stage says. */
#define faulty(stage, call) \
	({ \
		long faulty_ret; \
\
		faults_arm(stage); \
		faulty_ret = (call); \
		if (faulty_ret < 0) \
			faulty_ret = -errno; \
		faults_disarm(stage); \
		faulty_ret; \
	})

/* stage.c */
void stage_begin(struct stage *stage);
void stage_end(struct stage *stage);
void stage_snapshot(struct stage *stage, struct snapshot *snapshot);
long stage_do(struct stage *stage, int fd, unsigned int op, void *arg);
long stage_ring(struct stage *stage, const struct io_uring_sqe *sqe);
/* The payload's length of @from as pieces, in the arguments. */
void stage_cut(struct stage *stage, char *from);
/* There is no more room in the mailbox, until it is made empty again. */
void stage_fill(struct stage *stage);
void stage_empty(struct stage *stage);
long stage_device(struct stage *stage, unsigned int op, void *arg);
/* What counts for the user and the office, which is the same again if nothing was leaked. */
void stage_usage(struct kpost_info *info);
bool stage_uses_the_same(const struct kpost_info *before);

/* Something is not as it has to be. */
void stage_bad(struct stage *stage, const char *file, int line, const char *what);

#define must(stage, cond) \
	do { \
		if (!(cond)) \
			stage_bad(stage, __FILE__, __LINE__, #cond); \
	} while (0)

/* fs.c */
#define OTHER_DIR "/tmp/other" /* to mount in */
int fs_stage(enum mounts mounts);

/* walk.c */
void trial_walk(struct stage *stage);

extern const struct trial device_trials[], message_trials[], call_trials[], file_trials[],
	fs_trials[], module_trials[];

#endif /* KPOST_FAULTS_H */
