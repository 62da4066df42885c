// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is what was received what is in the file?
 *
 * First as multisets, by content alone: nothing lost, nothing doubled. Then the
 * order: each worker's sequence numbers rise, and a message's number is its line's.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"

/* A line, by content and by number; of the file, or as received. */
struct entry {
	uint64_t digest;
	uint64_t number;
};

#define SHOWN 3 /* complaints of a kind that are printed */

static uint64_t complaints;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
	va_list args;

	if (complaints++ >= SHOWN)
		return;
	fputs("kpost-demo: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int by_content(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->digest != y->digest)
		return x->digest < y->digest ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static struct entry *file_entries(const struct text *text)
{
	struct entry *entries = calloc(text->lines + 1, sizeof(*entries));
	size_t position = 0, len;
	uint64_t number = 0;
	const char *line;

	if (!entries)
		die("no memory to check %llu lines", (unsigned long long)text->lines);
	while (text_next(text, &position, &line, &len)) {
		entries[number].digest = digest(line, len);
		entries[number].number = number + 1;
		number++;
	}
	return entries;
}

static const struct note *worker_notes(const struct worker *worker, uint64_t *count)
{
	const struct note *notes;
	struct stat st;

	if (fstat(worker->notes_fd, &st))
		die("cannot read a worker's notes: %s", strerror(errno));
	*count = (uint64_t)st.st_size / sizeof(*notes);
	if (!*count)
		return NULL;
	notes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, worker->notes_fd, 0);
	if (notes == MAP_FAILED)
		die("cannot read a worker's notes: %s", strerror(errno));
	return notes;
}

/* All that was received, and on the way whether each worker got it in order. */
static struct entry *received_entries(const struct entry *file, uint64_t lines, uint64_t *total)
{
	struct entry *entries = NULL;
	const struct note *notes;
	uint64_t count, i, last;
	unsigned int w;

	*total = 0;
	for (w = 0; w < WORKERS; w++) {
		notes = worker_notes(&workers[w], &count);
		if (count != workers[w].account.lines)
			die("the worker by %s says %llu lines, and noted %llu", workers[w].way,
			    (unsigned long long)workers[w].account.lines,
			    (unsigned long long)count);
		entries = realloc(entries, (*total + count + 1) * sizeof(*entries));
		if (!entries)
			die("no memory to check what was received");
		for (i = 0, last = 0; i < count; i++) {
			if (notes[i].sequence <= last)
				complain("the worker by %s got message %llu after %llu",
					 workers[w].way, (unsigned long long)notes[i].sequence,
					 (unsigned long long)last);
			last = notes[i].sequence;
			if (last > lines || file[last - 1].digest != notes[i].digest)
				complain("line %llu is out of order: the worker by %s got another "
					 "in its place",
					 (unsigned long long)last, workers[w].way);
			entries[*total].digest = notes[i].digest;
			entries[(*total)++].number = last;
		}
	}
	return entries;
}

static void compare(struct entry *file, uint64_t lines, struct entry *got, uint64_t total)
{
	uint64_t i = 0, j = 0;

	qsort(file, lines, sizeof(*file), by_content);
	qsort(got, total, sizeof(*got), by_content);
	while (i < lines || j < total) {
		if (j == total || (i < lines && file[i].digest < got[j].digest)) {
			complain("line %llu was lost, or one like it",
				 (unsigned long long)file[i].number);
			i++;
		} else if (i == lines || got[j].digest < file[i].digest) {
			complain("message %llu is not in the file, or was received twice",
				 (unsigned long long)got[j].number);
			j++;
		} else {
			i++;
			j++;
		}
	}
}

bool verify(const struct text *text)
{
	struct entry *file = file_entries(text);
	struct entry *got;
	uint64_t total, disorder, difference;

	got = received_entries(file, text->lines, &total);
	disorder = complaints;
	complaints = 0;
	compare(file, text->lines, got, total);
	difference = complaints;
	free(file);
	free(got);
	if (disorder)
		fprintf(stderr, "kpost-demo: %llu lines out of order\n",
			(unsigned long long)disorder);
	if (difference)
		fprintf(stderr, "kpost-demo: %llu lines lost, doubled or changed\n",
			(unsigned long long)difference);
	return !disorder && !difference;
}
