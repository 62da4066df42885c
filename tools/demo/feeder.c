// SPDX-License-Identifier: GPL-2.0-only
/* The sending process: every line of the file, asynchronously. */
#include "demo.h"

/* As many as a mailbox holds, so that sender and mailbox are full together. */
#define DEPTH 1024
#define BATCH 128

static void sent(void *arg, void *cookie, int result)
{
	(void)arg;
	if (result)
		die("line %llu could not be sent: %s", (unsigned long long)(uintptr_t)cookie,
		    strerror(-result));
}

static void queue(struct kpost_sender *sender, const char *line, size_t len, uint64_t number)
{
	int ret;

	for (;;) {
		ret = kpost_sender_queue(sender, line, len, NULL, (void *)(uintptr_t)number);
		if (ret != -EAGAIN)
			break;
		/* As far ahead as is allowed: wait for the workers. */
		ret = kpost_sender_wait(sender, 0);
		if (ret)
			break;
	}
	if (ret)
		die("line %llu could not be queued: %s", (unsigned long long)number,
		    strerror(-ret));
}

void feed(const struct text *text, const char *mailbox, enum mischief mischief)
{
	const struct kpost_sender_options options = {
		.depth = DEPTH,
		.batch = BATCH,
		.sent = sent,
	};
	size_t position = 0, len, held_len = 0;
	const char *line, *held = NULL;
	struct kpost_sender *sender;
	uint64_t number = 0;
	int fd, ret;

	fd = kpost_open(mailbox, KPOST_RIGHT_SEND, 0, NULL, 0);
	if (fd < 0)
		die("the sender cannot open mailbox '%s': %s", mailbox, strerror(-fd));
	ret = kpost_sender_new(&sender, fd, &options);
	if (ret)
		die("cannot set up an asynchronous sender: %s", strerror(-ret));
	while (text_next(text, &position, &line, &len)) {
		number++;
		if (mischief == BREAK_REORDER && number == text->lines / 2) {
			held = line;
			held_len = len;
			continue;
		}
		queue(sender, line, len, number);
		if (held && number > text->lines / 2) {
			queue(sender, held, held_len, number);
			held = NULL;
		}
		if (mischief == BREAK_DOUBLE && number == text->lines / 2 + 1)
			queue(sender, line, len, number);
	}
	if (held)
		queue(sender, held, held_len, number);
	ret = kpost_sender_flush(sender, 0);
	if (ret)
		die("the last lines could not be sent: %s", strerror(-ret));
	kpost_sender_free(sender);
	exit(0);
}
