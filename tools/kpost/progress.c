// SPDX-License-Identifier: GPL-2.0-only
/* How far a long transfer has got, on a terminal and once it takes longer than a second. */
#include <unistd.h>

#include "tool.h"

#define FIRST_NS 1000000000ull
#define EVERY_NS 200000000ull
/* The clock is looked at once in so many messages. */
#define LOOK 64

void progress_begin(struct progress *progress, const char *verb, uint64_t total)
{
	*progress = (struct progress){
		.shown = isatty(STDERR_FILENO),
		.verb = verb,
		.total = total,
		.started = kpost_deadline(0),
	};
	progress->next = progress->started + FIRST_NS;
}

static void draw(struct progress *progress, uint64_t now)
{
	double seconds = (double)(now - progress->started) / 1e9;

	/* Back to the line's beginning, and clear what was longer. */
	fprintf(stderr, "\r\033[K%llu messages %s, %s", (unsigned long long)progress->messages,
		progress->verb, human_size(progress->bytes));
	if (progress->total)
		fprintf(stderr, " of %s (%.0f %%)", human_size(progress->total),
			100.0 * (double)progress->bytes / (double)progress->total);
	fprintf(stderr, ", %.0f messages/s", (double)progress->messages / seconds);
	fflush(stderr);
	progress->drawn = true;
}

void progress_step(struct progress *progress, size_t bytes)
{
	uint64_t now;

	progress->messages++;
	progress->bytes += bytes;
	/* Long messages are few: each is looked at. */
	if (!progress->shown || (bytes < 65536 && progress->messages % LOOK))
		return;
	now = kpost_deadline(0);
	if (now < progress->next)
		return;
	draw(progress, now);
	progress->next = now + EVERY_NS;
}

void progress_end(struct progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}
