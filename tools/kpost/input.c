// SPDX-License-Identifier: GPL-2.0-only
/* Lines of any bytes, none longer than can be sent, from a file or stdin. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define STEP 65536

static _Noreturn void cannot_read(const struct input *input, int error)
{
	const char *why = error == EBADF ? "it is closed, or not open for reading" :
					   strerror(error);

	if (input->path)
		fail_plain(STATUS_FAILED, "cannot read '%s': %s", shown(input->path), why);
	fail_plain(STATUS_FAILED, "cannot read standard input: %s", why);
}

void input_open(struct input *input, const char *path, size_t limit)
{
	struct stat st;

	memset(input, 0, sizeof(*input));
	input->limit = limit;
	input->fd = STDIN_FILENO;
	if (path && strcmp(path, "-")) {
		input->path = path;
		input->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (input->fd < 0)
			cannot_read(input, errno);
	}
	if (!fstat(input->fd, &st) && S_ISREG(st.st_mode))
		input->size = (uint64_t)st.st_size;
}

/* Room for STEP more bytes behind what there is. */
static void make_room(struct input *input)
{
	char *grown;

	if (input->start) {
		memmove(input->buf, input->buf + input->start, input->end - input->start);
		input->end -= input->start;
		input->start = 0;
	}
	if (input->room - input->end >= STEP)
		return;
	input->room = input->room ? 2 * input->room : 2 * STEP;
	grown = realloc(input->buf, input->room);
	if (!grown)
		cannot_read(input, ENOMEM);
	input->buf = grown;
}

static void fill(struct input *input)
{
	ssize_t ret;
	int error;

	if (input->idle)
		input->idle(input->arg);
	make_room(input);
	do {
		ret = read(input->fd, input->buf + input->end, STEP);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0) {
		error = errno;
		cannot_read(input, error);
	}
	input->end += (size_t)ret;
	input->ended = !ret;
}

bool input_line(struct input *input, const char **line, size_t *len)
{
	size_t seen = 0, have;
	char *newline = NULL;

	for (;;) {
		have = input->end - input->start;
		if (have > seen)
			newline = memchr(input->buf + input->start + seen, '\n', have - seen);
		/* One that is too long is not read to its end, which may never come. */
		if (newline || input->ended || have > input->limit)
			break;
		seen = have;
		fill(input);
	}
	*line = input->buf + input->start;
	*len = newline ? (size_t)(newline - *line) : have;
	input->start += *len + (newline ? 1 : 0);
	return newline || have;
}

void input_whole(struct input *input, const char **bytes, size_t *len)
{
	while (!input->ended && input->end - input->start <= input->limit)
		fill(input);
	*bytes = input->buf + input->start;
	*len = input->end - input->start;
	input->start = input->end;
}
