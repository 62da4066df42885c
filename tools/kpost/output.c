// SPDX-License-Identifier: GPL-2.0-only
/*
 * Standard output, where a failure is one: the first is kept, nothing is written after
 * it, and whoever does not tell of it has it told when the program ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "tool.h"

static char waiting[65536];
static size_t used;
static int error;
static bool told;

static void write_all(const char *bytes, size_t len)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	ssize_t ret;

	while (len && !error) {
		ret = write(STDOUT_FILENO, bytes, len);
		if (ret >= 0) {
			bytes += ret;
			len -= (size_t)ret;
		} else if (errno == EAGAIN) {
			/* Somebody who shares it with us made it non-blocking. */
			poll(&out, 1, -1);
		} else if (errno != EINTR) {
			error = errno;
		}
	}
}

int output_flush(void)
{
	write_all(waiting, used);
	used = 0;
	return error;
}

void output(const void *bytes, size_t len)
{
	if (len > sizeof(waiting) - used)
		output_flush();
	if (len > sizeof(waiting)) {
		write_all(bytes, len);
		return;
	}
	memcpy(waiting + used, bytes, len);
	used += len;
}

void output_text(const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		fail(ENOMEM, NULL, "cannot write the output");
	output(text, (size_t)len);
	free(text);
}

static void tell(void)
{
	told = true;
	fprintf(stderr, "kpost: cannot write the output: %s",
		error == EBADF ? "it is closed, or not open for writing" : strerror(error));
}

void output_fail(const char *format, ...)
{
	va_list args;

	tell();
	fputs("; ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(STATUS_FAILED);
}

void output_need(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
		return;
	error = EBADF;
	output_fail("nothing was done");
}

static void end(void)
{
	output_flush();
	/* That is how argp prints its help. */
	if (fflush(stdout) && !error)
		error = errno;
	if (!error || told)
		return;
	tell();
	fputc('\n', stderr);
	_exit(STATUS_FAILED);
}

void output_begin(void)
{
	atexit(end);
}
