// SPDX-License-Identifier: GPL-2.0-only
/* The kpost command: which verbs there are, and what they end with. */
#include <fcntl.h>
#include <unistd.h>

#include "tool.h"

#ifndef KPOST_VERSION /* the Makefile knows it */
#define KPOST_VERSION "unknown"
#endif

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *doc;
} verbs[] = {
	{ "create", verb_create, "make a mailbox" },
	{ "send", verb_send, "send lines, or the whole input, as messages" },
	{ "recv", verb_recv, "receive messages and print them" },
	{ "call", verb_call, "send a request and print the reply" },
	{ "serve", verb_serve, "answer calls with a command's output" },
	{ "work", verb_work, "run a command for each message, until it succeeds" },
	{ "grant", verb_grant, "run a command whose output is a mailbox" },
	{ "ls", verb_list, "list the mailboxes" },
	{ "stat", verb_stat, "look at a mailbox" },
	{ "set", verb_set, "change a mailbox's capacity, mode or owner" },
	{ "shut", verb_shut, "have a mailbox take nothing more" },
	{ "rm", verb_remove, "remove mailboxes" },
	{ "wait", verb_wait, "wait until there is a mailbox" },
	{ "mount", verb_mount, "have the mailboxes as files" },
	{ "bridge", verb_bridge, "join mailboxes of several machines through NATS" },
	{ "info", verb_info, "show the module's version and limits" },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *to)
{
	unsigned int i;

	fputs("usage: kpost VERB [OPTION]... [ARGUMENT]...\n\n"
	      "Kernel-mediated mailboxes, from the command line.\n\n",
	      to);
	for (i = 0; i < VERBS; i++)
		fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].doc);
	fputs("\n'kpost VERB --help' says more. Try:\n\n"
	      "  kpost create a && echo hello | kpost send a && kpost recv a\n\n"
	      "Exit status:\n"
	      "  0  done\n"
	      "  1  failed for another reason\n"
	      "  2  wrong usage\n"
	      "  3  no such mailbox\n"
	      "  4  timed out\n"
	      "  5  no permission\n"
	      "  6  no /dev/kpost: the kernel module is not loaded\n"
	      "  7  the other side has gone: mailbox closed, or call given up\n"
	      "126  grant, work, bridge: the command cannot be run; 127: it was not found\n",
	      to);
}

/*
 * What was closed would become the number of a mailbox, and be read or written as
 * standard input or output. Reading and writing fail as they would have.
 */
static void open_standard(void)
{
	static const int modes[] = { O_WRONLY, O_RDONLY, O_WRONLY };
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			fail_plain(STATUS_FAILED, "cannot open /dev/null: %s", strerror(errno));
	}
}

int main(int argc, char **argv)
{
	char title[32];
	unsigned int i;

	argp_err_exit_status = STATUS_USAGE;
	/* A complaint is written in one piece, whoever else writes to the terminal. */
	setvbuf(stderr, NULL, _IOLBF, 4096);
	open_standard();
	output_begin();
	if (argc < 2) {
		help(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return STATUS_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("kpost " KPOST_VERSION);
		return STATUS_OK;
	}
	for (i = 0; i < VERBS; i++) {
		if (strcmp(argv[1], verbs[i].name))
			continue;
		snprintf(title, sizeof(title), "kpost %s", verbs[i].name);
		argv[1] = title;
		return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "kpost: there is no verb '%s'; 'kpost --help' lists them\n",
		shown(argv[1]));
	return STATUS_USAGE;
}
