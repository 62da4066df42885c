/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a message costs: kpost's, and those of its peers, in the same run.
 *
 * A *transport* is a way to send messages, and a *line* is one that was opened, in one
 * direction.  A *load* says how large messages are, how many lie in the queue, and so on.
 * A *workload* says who sends to whom; what it repeats is its *step*.  A *case* is a
 * workload on a transport with a load, in a process of its own, and gives a *figure*.
 *
 * There are two clocks.  The one of instructions needs a virtual machine whose time
 * stamp counter counts them (tools/vm/run --icount): the least of some batches is then
 * the same on any machine.  The other is time: medians and percentiles.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <kpost.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* All of one type, since options and plans set any of them; zero is "does not matter". */
struct load {
	unsigned long size; /* bytes of a message */
	unsigned long depth; /* messages that lie in the queue meanwhile */
	unsigned long priorities; /* at each of so many lies one message */
	unsigned long boxes; /* lines that one epoll looks after */
	unsigned long peers; /* processes at the other end */
	unsigned long batch; /* messages of one system call */
	unsigned long cgroups; /* 1: all processes in one memory cgroup, 2: the others in another */
};

/* ---- figures: measure.c --------------------------------------------------- */

enum clock { CLOCK_TIME, CLOCK_INSTRUCTIONS };

struct figure {
	double value; /* of one message: one of the batches, or the median of time */
	unsigned int rank; /* which of the batches: 0 for the least */
	double p99, p999; /* of time; zero where a step is no message's whole way */
	double spread; /* of time: between rounds, as a part of the median */
	unsigned long messages; /* that were measured */
	const char *unit;
};

extern enum clock the_clock;

/*
 * How a workload is measured.  What a step of @whole costs depends on what others have
 * done before it, so that only a long run says something.
 */
struct pace {
	unsigned long messages; /* of one step */
	bool whole;
};

void measure(struct figure *figure, void (*step)(void *arg), void *arg, const struct load *load,
	     struct pace pace);
/*
 * How often all cases of a plan are measured, one after the other.  A machine is now fast, now
 * slow, for seconds: by rounds all cases have their part of both.
 */
#define ROUNDS 11
unsigned int rounds(void);
/* The medians of a case's rounds, in the first. */
void figures_join(struct figure *figures, unsigned int count);
/* An instruction that does nothing, and that tools/bench/profile's plugin knows. */
void mark_case(void);

/* ---- transports ------------------------------------------------------------- */

/* The most messages of a batch. */
#define MOST 1024

struct line {
	int in; /* what is received from, and what is sent to */
	int out;
	void *state;
};

/* Without a body these may be NULL: what a transport lacks, its workloads leave out. */
struct transport {
	const char *name;
	const char *what;
	unsigned int traits;
	unsigned long min; /* bytes of a message */
	/* Returns -errno where it cannot have such a load. */
	int (*open)(struct line *line, const struct load *load);
	void (*close)(struct line *line);
	/* There are sizeof(long) bytes before @buf that may be written to. */
	void (*send)(struct line *line, void *buf, size_t len);
	void (*receive)(struct line *line, void *buf, size_t len);
	void (*send_priority)(struct line *line, void *buf, size_t len, unsigned int priority);
	void (*send_many)(struct line *line, void *buf, size_t len, unsigned int count);
	void (*receive_many)(struct line *line, void *buf, size_t len, unsigned int count);
	void (*call)(struct line *line, void *buf, size_t len);
	void (*serve)(struct line *line, void *buf, size_t len); /* reply, then receive */
	int (*another)(void); /* one more endpoint of the same mailbox, which is made if need be */
};

/* Transport traits. */
#define NO_DATA (1u << 0) /* only tells that there is something */
#define ONE_SENDER (1u << 1)
#define NO_POLL (1u << 2)
#define ASYNC (1u << 3) /* send does not wait for the message to be sent */
#define OURS (1u << 4)
#define TAGS (1u << 5) /* each message has a tag, by which it is received */
#define BY_PATH (1u << 6) /* what else is ours, but opened by path */

extern const struct transport kpost_ioctl, kpost_library, kpost_rw, kpost_uring, kpost_async,
	kpost_keyed, kpost_path, kpost_path_rw;
extern const struct transport pipe_plain, pipe_named, pipe_uring;
extern const struct transport socket_stream, socket_seqpacket, socket_dgram, socket_uring,
	socket_async;
extern const struct transport queue_posix, queue_sysv;
extern const struct transport event_fd, futex_memory;
extern const struct transport *const transports[];

/* Messages that a line has room for, beside those of @load's depth. */
static inline unsigned long room_of(const struct load *load)
{
	unsigned long deep = load->priorities > load->depth ? load->priorities : load->depth;

	return deep + (load->batch > 64 ? load->batch : 64);
}

/* What several transports share. */
int open_mailbox(struct line *line, const struct load *load);
int open_mailbox_as(struct line *line, const struct load *load, unsigned int flags);
void close_mailbox(struct line *line);
int open_pipe(struct line *line, const struct load *load);
int open_seqpacket(struct line *line, const struct load *load);
void close_fds(struct line *line);
void write_all(struct line *line, void *buf, size_t len);
void read_all(struct line *line, void *buf, size_t len);

/* ---- workloads ---------------------------------------------------------------- */

struct run {
	const struct transport *transport;
	struct load load;
	struct figure *figure; /* shared with the process that prints it */
	void *buf;
	struct line *lines;
};

struct workload {
	const char *name;
	const char *what;
	const char *unit;
	bool (*fits)(const struct transport *transport);
	void (*run)(struct run *run);
};

extern const struct workload workloads[];
extern const size_t workload_count;

bool fits_memory_endpoint(const struct transport *transport);
void run_memory_line(struct run *run);
void run_memory_endpoint(struct run *run);
void run_memory_message(struct run *run);
void run_boxes(struct run *run);
void run_fan_in(struct run *run);
void run_fan_out(struct run *run);
void run_callers(struct run *run);

/* ---- plan.c: which cases ------------------------------------------------------ */

#define VALUES 12

/* One table: a workload on all transports, and columns in which one of the load varies. */
struct plan {
	const char *sets; /* words */
	const char *workload;
	const char *vary; /* name of what varies */
	unsigned long values[VALUES];
	unsigned int count;
	struct load load;
	const char *only; /* transports, or NULL for all that fit */
};

extern const struct plan plans[];
extern const size_t plan_count;

struct field {
	const char *name;
	size_t offset;
	unsigned long usual;
};

extern const struct field fields[];
extern const size_t field_count;

static inline unsigned long *field_of(struct load *load, const struct field *field)
{
	return (unsigned long *)((char *)load + field->offset);
}

const struct field *field_find(const char *name);
/* @load with what varies set to @value, and all that is zero to what is usual. */
struct load plan_load(const struct plan *plan, unsigned long value);
/* Is @word one of those in @words, which commas or spaces part? */
bool has_word(const char *words, const char *word);

/* ---- process.c ---------------------------------------------------------------- */

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The case cannot be had here, which is no failure. */
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define STATUS_SKIP 77

/* Fork: the child ends with its parent, and is the number-th beside it. */
pid_t process_start(void);
/* One that takes part in a run; it does not come back. */
pid_t peer_start(const struct run *run, void (*each)(struct run *run, unsigned int number),
		 unsigned int number);
void peers_end(void);
bool peers_are_there(void);
void processes_pin(const char *cpus);
void process_settle(const struct load *load, bool peer);
void cgroups_remove(void);
void *shared(size_t size);

/* ---- uring.c ------------------------------------------------------------------ */

/* The process has no ring: it is its parent's. */
void ring_forget(void);

/* ---- report.c ----------------------------------------------------------------- */

void report_begin(bool json);
/* A case's figure, or NULL if there is none; @number counts the cases, as the plugin does. */
void report(const struct plan *plan, const struct workload *workload,
	    const struct transport *transport, const struct load *load, const struct figure *figure,
	    unsigned int number);
void report_end(void);

#endif /* BENCH_H */
