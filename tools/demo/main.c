// SPDX-License-Identifier: GPL-2.0-only
/* The driver: starts the others, calls them at the end, and shows what they did. */
#include <argp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"

/* How long a worker may take to answer when there is nothing else left to do. */
#define ANSWER_MS 60000
#define QUESTION "count"

/* The driver takes the name away, whatever ends it; the others have no such duty. */
static char mailbox[64];
static pid_t driver;

void die(const char *format, ...)
{
	char text[512];
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* In one piece: when it fails, several processes may have something to say. */
	fprintf(stderr, "kpost-demo: %s\n", text);
	exit(1);
}

struct options {
	const char *path;
	const char *name;
	enum mischief mischief;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static const char *const kinds[] = { "nothing", "lose", "double", "reorder" };
	struct options *options = state->input;
	unsigned int i;

	switch (key) {
	case 'b':
		for (i = 0; i < 4 && strcmp(arg, kinds[i]); i++)
			;
		if (i == 4)
			argp_error(state, "--break takes lose, double or reorder");
		options->mischief = (enum mischief)i;
		break;
	case 'n':
		options->name = arg;
		break;
	case ARGP_KEY_ARG:
		if (options->path)
			argp_usage(state);
		options->path = arg;
		break;
	case ARGP_KEY_END:
		if (!options->path)
			argp_error(state, "which file?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "break", 'b', "WHAT", 0,
	  "Do it wrong, to see that it is noticed: lose, double or reorder a line", 0 },
	{ "name", 'n', "NAME", 0, "What to call FILE, if it is a copy", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Send FILE line by line through a mailbox to three processes, and check that "
	       "every line arrived once and in order. Status 1 if not.",
};

static pid_t start(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("cannot start a process: %s", strerror(errno));
	/* Nobody stays behind if the driver is stopped. */
	if (!pid && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != driver))
		_exit(1);
	return pid;
}

/* The longest line, or what is said at the end. */
static size_t room_for(const struct text *text)
{
	const size_t least = sizeof(struct account) + sizeof(QUESTION);

	return text->longest > least ? text->longest : least;
}

static int make_mailbox(const struct text *text)
{
	struct kpost_attr attr = { .mode = 0600 };
	struct kpost_info info;
	int fd, ret;

	if (text->longest > KPOST_PAYLOAD_MAX)
		die("line %llu of '%s' has %zu bytes, and a message at most %u",
		    (unsigned long long)text->longest_line, text->path, text->longest,
		    KPOST_PAYLOAD_MAX);
	/* The default capacity, or room for the longest line. */
	ret = kpost_info(&info);
	attr.message_max = room_for(text);
	if (!ret && attr.message_max > info.default_bytes)
		attr.bytes = attr.message_max;
	snprintf(mailbox, sizeof(mailbox), "demo-%d", (int)driver);
	fd = kpost_open(mailbox, KPOST_RIGHT_SEND, KPOST_OPEN_CREATE | KPOST_OPEN_EXCL, &attr, 0);
	if (fd == -ENOENT || fd == -ENXIO || fd == -ENODEV)
		die("there is no /dev/kpost: the kernel module is not loaded");
	if (fd < 0)
		die("cannot make mailbox '%s': %s", mailbox, strerror(-fd));
	return fd;
}

static void start_worker(struct worker *worker, const struct text *text, enum mischief mischief)
{
	worker->mailbox = mailbox;
	worker->room = room_for(text);
	worker->mischief = mischief;
	worker->notes_fd = memfd_create("notes", MFD_CLOEXEC);
	if (worker->notes_fd < 0)
		die("cannot make a file in memory: %s", strerror(errno));
	worker->pid = start();
	if (!worker->pid)
		work(worker);
}

static void finish(pid_t pid, const char *who)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("lost the %s: %s", who, strerror(errno));
	if (WIFSIGNALED(status))
		die("the %s was ended by signal %d", who, WTERMSIG(status));
	/* It has said why. */
	if (status)
		exit(1);
}

/*
 * A call is behind all lines, and the last message of the worker that receives it;
 * so as many calls as there are workers reach each of them.
 */
static void ask(int fd)
{
	bool answered[WORKERS] = { false };
	struct account account;
	ssize_t ret;
	int i;

	for (i = 0; i < WORKERS; i++) {
		ret = kpost_call(fd, QUESTION, strlen(QUESTION), &account, sizeof(account),
				 kpost_deadline(ANSWER_MS));
		if (ret < 0)
			die("call %d of %d was not answered: %s", i + 1, WORKERS,
			    strerror((int)-ret));
		if (ret != sizeof(account) || account.worker >= WORKERS || answered[account.worker])
			die("call %d of %d got an answer that is none", i + 1, WORKERS);
		answered[account.worker] = true;
		workers[account.worker].account = account;
	}
}

static const char *size(uint64_t bytes)
{
	static char texts[4][32];
	static unsigned int turn;
	char *text = texts[turn++ % 4];

	if (bytes < 10240)
		snprintf(text, sizeof(texts[0]), "%llu B", (unsigned long long)bytes);
	else if (bytes < 10u << 20)
		snprintf(text, sizeof(texts[0]), "%.1f KiB", (double)bytes / 1024);
	else
		snprintf(text, sizeof(texts[0]), "%.1f MiB", (double)bytes / (1 << 20));
	return text;
}

static void row(const char *what, uint64_t lines, uint64_t all, uint64_t bytes)
{
	printf("  %-21s %10llu %6.1f %% %12s\n", what, (unsigned long long)lines,
	       all ? 100.0 * (double)lines / (double)all : 0.0, size(bytes));
}

static void show(const struct text *text, double seconds)
{
	uint64_t lines = 0, bytes = 0;
	unsigned int i;

	printf("\n  %-21s %10s %8s %12s\n", "worker", "lines", "share", "bytes");
	for (i = 0; i < WORKERS; i++) {
		lines += workers[i].account.lines;
		bytes += workers[i].account.bytes;
	}
	for (i = 0; i < WORKERS; i++)
		row(workers[i].way, workers[i].account.lines, lines, workers[i].account.bytes);
	row("all", lines, lines, bytes);
	row("the file", text->lines, text->lines, text->payload);
	printf("\n%.2f s: %.0f lines and %s a second\n", seconds, (double)lines / seconds,
	       size((uint64_t)((double)bytes / seconds)));
}

static void unlink_mailbox(void)
{
	if (*mailbox && getpid() == driver)
		kpost_unlink(mailbox);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct text text;
	uint64_t began;
	unsigned int i;
	pid_t feeder;
	double seconds;
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	driver = getpid();
	text_load(&text, options.path);
	if (options.name)
		text.path = options.name;
	fd = make_mailbox(&text);
	atexit(unlink_mailbox);
	printf("%s: %llu lines, the longest of %zu bytes, through mailbox '%s'\n", text.path,
	       (unsigned long long)text.lines, text.longest, mailbox);
	began = kpost_deadline(0);
	for (i = 0; i < WORKERS; i++)
		start_worker(&workers[i], &text, options.mischief);
	feeder = start();
	if (!feeder)
		feed(&text, mailbox, options.mischief);
	finish(feeder, "sending process");
	ask(fd);
	seconds = (double)(kpost_deadline(0) - began) / 1e9;
	for (i = 0; i < WORKERS; i++)
		finish(workers[i].pid, "worker");
	show(&text, seconds);
	fflush(stdout);
	if (!verify(&text)) {
		fprintf(stderr, "kpost-demo: FAILED\n");
		return 1;
	}
	puts("Every line arrived exactly once, and each worker got its lines in order.");
	if (fflush(stdout) || ferror(stdout))
		die("cannot write the output: %s", strerror(errno));
	return 0;
}
