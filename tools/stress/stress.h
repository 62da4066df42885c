/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stress: many at once, killed, faulted and starved, with every message accounted for.
 *
 * Each part does one kind of thing, so often or for so long as it is told, and checks
 * what must hold; main.c has the list.  What a part counts goes to its column of the
 * table that is printed at the end.  "Within a second" is meant for a machine whose
 * processors are free: starved_since() says how long they were not.
 */
#ifndef STRESS_H
#define STRESS_H

#include <errno.h>
#include <kpost.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define SECOND 1000000000ull
#define SOON (10 * SECOND) /* what is due happens within that, or never */

#define SEND_RECV (KPOST_RIGHT_SEND | KPOST_RIGHT_RECV)

/* ---- the part that runs ------------------------------------------------- */

/* One row of the table each. */
enum sum {
	SUM_SENT, /* the kernel's counters */
	SUM_RECEIVED,
	SUM_DROPPED,
	SUM_QUEUED,
	SUM_SENDS, /* what those say who sent and received */
	SUM_RECEIPTS,
	SUM_LEFT, /* taken out at the end by the test itself */
	SUM_WITHDRAWN,
	SUM_UNKNOWN_SENT,
	SUM_UNKNOWN_UNSENT,
	SUM_IN_HAND,
	SUM_CALLS,
	SUM_ANSWERED,
	SUM_LATE,
	SUM_RESET,
	SUM_RESUMED,
	SUM_KILLS,
	SUM_ENOMEM,
	SUM_EFAULT,
	SUM_CANCELLED,
	SUM_TIMED_OUT,
	SUM_ROUNDS,
	SUMS
};

struct part {
	const char *name;
	const char *what;
	uint64_t full; /* how much of it is a full run */
	unsigned int share; /* of the time, in a run by time */
	void (*run)(struct part *part);
	/* set by main.c */
	uint64_t goal; /* stop when so much is done */
	uint64_t end; /* or at this time */
	uint64_t began;
	uint64_t took;
	uint64_t sums[SUMS];
};

void run_traffic(struct part *part);
void run_volume(struct part *part);
void run_closes(struct part *part);
void run_losses(struct part *part);
void run_states(struct part *part);
void run_waits(struct part *part);
void run_unload(struct part *part);
void run_reload(struct part *part);
void run_namespaces(struct part *part);
void run_identities(struct part *part);
void run_stalls(struct part *part);
void run_files(struct part *part);
int identities_executed(char **args);

/* ---- main.c --------------------------------------------------------------- */

extern const char *module_path;
extern uint64_t seed;
extern bool no_kills; /* an option: to see what kills hide */

void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- report.c ------------------------------------------------------------- */

bool check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_table(const struct part *parts, size_t count);
unsigned int report_end(void);

/* ---- clock.c -------------------------------------------------------------- */

void clock_watch(void);
uint64_t starved_since(uint64_t since);

static inline uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static inline void pause_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / SECOND), (long)(ns % SECOND) };

	nanosleep(&ts, NULL);
}

/* Look at @cond until it is true; false if it was not within @ns of unstarved time. */
#define until_within(ns, cond) \
	__extension__({ \
		uint64_t until_began = now(); \
		bool until_ok; \
		while (!(until_ok = !!(cond)) && \
		       now() - until_began < (ns) + starved_since(until_began)) \
			pause_ns(MS / 5); \
		until_ok; \
	})
#define until(cond) until_within(SOON, cond)

/* ---- chance --------------------------------------------------------------- */

struct chance {
	uint64_t state;
};

static inline uint64_t chance_next(struct chance *chance)
{
	uint64_t z = chance->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline unsigned int chance_below(struct chance *chance, unsigned int n)
{
	return (unsigned int)((chance_next(chance) >> 32) * n >> 32);
}

/* Its own sequence for each @who of a run. */
static inline struct chance chance_of(uint64_t who)
{
	struct chance chance = { seed ^ who * 0x632be59bd9b4e019ull };

	chance_next(&chance);
	return chance;
}

/* ---- operations ----------------------------------------------------------- */

static inline long operate(int fd, unsigned long op, void *arg)
{
	long ret = ioctl(fd, op, arg);

	return ret < 0 ? -errno : ret;
}

static inline struct kpost_stat stat_of(int fd)
{
	struct kpost_stat st;
	int err = kpost_stat(fd, &st);

	if (err)
		die("STAT: %s", strerror(-err));
	return st;
}

static inline int open_mailbox(const char *name, unsigned int rights, unsigned int flags,
			       unsigned int messages, uint64_t bytes, size_t message_max)
{
	struct kpost_attr attr = {
		.mode = 0666, .messages = messages, .bytes = bytes, .message_max = message_max
	};
	bool makes = flags & (KPOST_OPEN_CREATE | KPOST_OPEN_ANONYMOUS);
	int fd = kpost_open(name, rights, flags, makes ? &attr : NULL, 0);

	if (fd < 0)
		die("cannot open mailbox %s: %s", name ? name : "", strerror(-fd));
	return fd;
}

/* ---- process.c ------------------------------------------------------------ */

pid_t process_start(void);
uint64_t process_kill(pid_t pid);
int process_wait(pid_t pid);
void *shared(size_t size);
void write_file(const char *path, const char *text);
uint64_t slab_bytes(void);
void check_slab(const struct part *part, uint64_t before, uint64_t slack);

/* ---- module.c ------------------------------------------------------------- */

int module_load(void);
int module_unload(void);
void hurry(unsigned int processors);
void hurry_no_more(void);

/* ---- fault.c -------------------------------------------------------------- */

bool faults_start(void);
void faults_stop(void);
void faults_me(void);

#endif /* STRESS_H */
