/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The demo: one process sends a file line by line through a mailbox, three take
 * the lines from it in three ways, and a fifth checks that what came out is what went in.
 *
 * Each process opens the mailbox by its name and shares no memory with the others; the
 * driver only inherits the workers' notes, which it reads when all is over. Since one
 * sender sends the lines at one priority, the sequence number that the kernel gives a
 * message is the number of its line.
 */
#ifndef KPOST_DEMO_H
#define KPOST_DEMO_H

#include <errno.h>
#include <kpost.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 3

/* What can be made to go wrong, to see that it is noticed. */
enum mischief {
	BREAK_NOTHING,
	BREAK_LOSE, /* each worker forgets its first line */
	BREAK_DOUBLE, /* the sender sends a line twice */
	BREAK_REORDER, /* the sender sends two lines in the wrong order */
};

/* A file in memory, and its lines: without newlines, of any bytes. */
struct text {
	const char *path;
	const char *bytes;
	size_t size;
	uint64_t lines;
	size_t longest;
	uint64_t longest_line; /* its number, from 1 */
	uint64_t payload; /* bytes of all lines */
};

/* A worker's note of a line that it received. */
struct note {
	uint64_t sequence;
	uint64_t digest;
};

/* What a worker says when it is called at the end. */
struct account {
	uint64_t worker; /* which one it is */
	uint64_t lines;
	uint64_t bytes;
};

struct worker {
	const char *way;
	/* The next message, which may be awaited as the way has it. */
	ssize_t (*take)(struct worker *worker, struct kpost_message *message);
	unsigned int open_flags;
	const char *mailbox;
	enum mischief mischief;
	int notes_fd; /* a file in memory, shared with the driver */
	pid_t pid;
	/* in the worker itself */
	int fd;
	char *buf;
	size_t room;
	void *state; /* of the way */
	/* in the driver, at the end */
	struct account account;
};

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- text.c ------------------------------------------------------------- */

void text_load(struct text *text, const char *path);
/* Go to the next line; *@position starts as 0. Returns false at the end. */
bool text_next(const struct text *text, size_t *position, const char **line, size_t *len);
uint64_t digest(const char *bytes, size_t len);

/* ---- feeder.c ----------------------------------------------------------- */

_Noreturn void feed(const struct text *text, const char *mailbox, enum mischief mischief);

/* ---- worker.c ----------------------------------------------------------- */

extern struct worker workers[WORKERS];

_Noreturn void work(struct worker *worker);

/* ---- verify.c ----------------------------------------------------------- */

/* Says what is wrong, if anything is; returns whether all is well. */
bool verify(const struct text *text);

#endif /* KPOST_DEMO_H */
