// SPDX-License-Identifier: GPL-2.0-only
/* One line for each failure: what failed, why, and what to do about it. */
#include <stdarg.h>

#include "tool.h"

static const struct reason {
	int error;
	int status;
	const char *why;
	const char *advice; /* %s is the mailbox's name */
} reasons[] = {
	{ ENOENT, STATUS_NO_MAILBOX, "no such mailbox",
	  "make it with 'kpost create %1$s' or wait for it with 'kpost wait %1$s'" },
	{ EEXIST, STATUS_FAILED, "it exists already",
	  "remove it with 'kpost rm %s', or leave out --exclusive" },
	{ EACCES, STATUS_PERMISSION, "permission denied",
	  "'kpost stat %s' shows its owner and mode" },
	{ EPERM, STATUS_PERMISSION, "not permitted", NULL },
	{ ETIMEDOUT, STATUS_TIMED_OUT, "timed out", NULL },
	{ EAGAIN, STATUS_TIMED_OUT, "nothing to be had at once", NULL },
	{ EPIPE, STATUS_GONE, "the mailbox is closed",
	  "its receivers have gone; wait for a new one with 'kpost wait %s'" },
	{ ENXIO, STATUS_GONE, "nobody can receive from it now",
	  "without --present it waits there for somebody" },
	{ ECONNRESET, STATUS_GONE, "the receiver had the request, and gave the call up or died",
	  NULL },
	{ EMSGSIZE, STATUS_FAILED, "longer than the mailbox or the other side takes",
	  "'kpost stat %s' shows the largest message" },
	{ ERROR_CAPACITY, STATUS_FAILED, "its capacity is more than this user has left",
	  "remove a mailbox, ask for less with --bytes and --messages, or have root raise "
	  "net.kpost.user_bytes; 'kpost info' shows what is used" },
	{ ENOSPC, STATUS_FAILED, "its capacity is more than all users together have left",
	  "remove a mailbox, ask for less with --bytes and --messages, or have root raise "
	  "net.kpost.office_bytes; 'kpost info' shows what is used" },
	{ EDQUOT, STATUS_FAILED, "this user has too much under way",
	  "have something received or answered, or have root raise net.kpost.user_sending_bytes; "
	  "'kpost info' shows what is used" },
	{ ENOBUFS, STATUS_FAILED, "all users together have too much under way",
	  "have something received or answered, or have root raise net.kpost.office_sending_bytes; "
	  "'kpost info' shows what is used" },
	{ ENAMETOOLONG, STATUS_USAGE, "the name is too long", "a name has at most 255 bytes" },
	{ ENOTTY, STATUS_FAILED, "this kernel's kpost does not know the operation",
	  "load the module that belongs to this command" },
	{ 0, 0, NULL, NULL },
};

static const struct reason *find(int error)
{
	const struct reason *reason = reasons;

	while (reason->error && reason->error != error)
		reason++;
	return reason;
}

static void print_what(const char *format, va_list args)
{
	/* Whatever waits to be printed belongs before the complaint. */
	output_flush();
	fputs("kpost: ", stderr);
	vfprintf(stderr, format, args);
}

static int explain(int error, const char *name, const char *format, va_list args)
{
	const struct reason *reason;

	if (error < 0)
		error = -error;
	reason = find(error);
	print_what(format, args);
	fprintf(stderr, ": %s", reason->why ? reason->why : strerror(error));
	if (reason->advice && (name || !strchr(reason->advice, '%'))) {
		fputs("; ", stderr);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		fprintf(stderr, reason->advice, name ? shown(name) : "");
#pragma GCC diagnostic pop
	}
	fputc('\n', stderr);
	return reason->why ? reason->status : STATUS_FAILED;
}

int complain(int error, const char *name, const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = explain(error, name, format, args);
	va_end(args);
	return status;
}

void fail(int error, const char *name, const char *format, ...)
{
	va_list args;
	int status;

	va_start(args, format);
	status = explain(error, name, format, args);
	va_end(args);
	exit(status);
}

void fail_plain(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_what(format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

void fail_ended(const char *name)
{
	fail_plain(STATUS_GONE,
		   "mailbox '%s' has come to its end: it is empty, and was shut, or removed, and "
		   "nobody can send to it any more",
		   shown(name));
}

void warn_plain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_what(format, args);
	va_end(args);
	fputc('\n', stderr);
}
