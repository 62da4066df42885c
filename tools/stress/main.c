// SPDX-License-Identifier: GPL-2.0-only
/* The parts, and which of them to run for how long. */
#include <argp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include "stress.h"

static struct part parts[] = {
	{ "traffic", "messages and calls in every way", 0, 38, run_traffic, 0, 0, 0, 0, { 0 } },
	{ "volume",
	  "messages, eight senders to four receivers",
	  2000000,
	  14,
	  run_volume,
	  0,
	  0,
	  0,
	  0,
	  { 0 } },
	{ "closes", "mailboxes closed under load", 300, 5, run_closes, 0, 0, 0, 0, { 0 } },
	{ "losses",
	  "messages dropped, replaced, late, held and numbered",
	  1000,
	  10,
	  run_losses,
	  0,
	  0,
	  0,
	  0,
	  { 0 } },
	{ "kills", "receivers killed in every state", 10000, 12, run_states, 0, 0, 0, 0, { 0 } },
	{ "waits", "random waits", 1000000, 8, run_waits, 0, 0, 0, 0, { 0 } },
	{ "stalls", "stalled buffers", 200, 4, run_stalls, 0, 0, 0, 0, { 0 } },
	{ "identities", "sender identities", 100000, 5, run_identities, 0, 0, 0, 0, { 0 } },
	{ "namespaces", "network namespaces", 1000, 5, run_namespaces, 0, 0, 0, 0, { 0 } },
	{ "files", "mailboxes by path, mounts, namespaces", 500, 6, run_files, 0, 0, 0, 0, { 0 } },
	{ "unload", "unloads under load", 300, 6, run_unload, 0, 0, 0, 0, { 0 } },
	{ "reload", "loads and unloads", 1000, 3, run_reload, 0, 0, 0, 0, { 0 } },
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))
#define TRAFFIC_FULL (120 * SECOND)

const char *module_path;
uint64_t seed;
bool no_kills;

static struct {
	uint64_t time;
	uint64_t full_time;
	bool full;
	double scale;
	bool chosen[PARTS];
	bool any;
} options = { .time = 120 * SECOND, .full_time = 2400 * SECOND, .scale = 1 };

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("kpost-stress: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

static bool parse_time(const char *text, uint64_t *time)
{
	char *end;
	double value = strtod(text, &end);

	if (!strcmp(end, "m"))
		value *= 60;
	else if (*end && strcmp(end, "s"))
		return false;
	*time = (uint64_t)(value * SECOND);
	return value > 0;
}

static void choose(const char *name, struct argp_state *state)
{
	for (size_t i = 0; i < PARTS; i++) {
		if (strcmp(name, parts[i].name))
			continue;
		options.chosen[i] = options.any = true;
		return;
	}
	argp_error(state, "no part '%s'", name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 't':
		if (!parse_time(arg, &options.time))
			argp_error(state, "--time takes seconds, or minutes as in 2m");
		options.full_time = options.time;
		break;
	case 'f':
		options.full = true;
		break;
	case 'p':
		choose(arg, state);
		break;
	case 'x':
		options.scale = strtod(arg, NULL);
		break;
	case 's':
		seed = strtoull(arg, NULL, 0);
		break;
	case 'k':
		no_kills = true;
		break;
	case ARGP_KEY_ARG:
		if (module_path)
			argp_usage(state);
		module_path = arg;
		break;
	case ARGP_KEY_END:
		if (!module_path)
			argp_error(state, "which module?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "time", 't', "TIME", 0, "How long, in seconds or minutes (2m)", 0 },
	{ "full", 'f', NULL, 0, "As much of each part as a full run has", 0 },
	{ "part", 'p', "PART", 0, "This part only; may be given again", 0 },
	{ "scale", 'x', "FACTOR", 0, "So much of a full run's amounts", 0 },
	{ "seed", 's', "SEED", 0, "For the random choices", 0 },
	{ "no-kills", 'k', NULL, 0, "Kill nobody in the traffic", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.args_doc = "MODULE",
	.doc = "Stress the loaded module, and account for every message. MODULE is its file, to "
	       "load it again. Status 1 if a check failed.",
};

/* By time, each part gets its share of it; a full one ends when it has done its amount. */
static void run(void)
{
	uint64_t began = now(), time = options.full ? options.full_time : options.time;
	unsigned int shares = 0;

	for (size_t i = 0; i < PARTS; i++)
		if (options.chosen[i])
			shares += parts[i].share;
	for (size_t i = 0; i < PARTS; i++) {
		struct part *part = &parts[i];
		uint64_t left = began + time > now() ? began + time - now() : 0;

		if (!options.chosen[i])
			continue;
		part->began = now();
		part->goal = (uint64_t)((double)part->full * options.scale);
		if (part->full && !part->goal)
			part->goal = 1;
		/* What one leaves, those after it share. */
		part->end = part->began + (options.full ? left : left * part->share / shares);
		if (options.full && !part->full)
			part->end = part->began + (uint64_t)(TRAFFIC_FULL * options.scale);
		shares -= part->share;
		note("%s: %s", part->name, part->what);
		part->run(part);
		part->took = now() - part->began;
	}
	check(now() - began < time + 40 * SECOND, "the end is not late: %.1f s of %.1f s",
	      (double)(now() - began) / SECOND, (double)time / SECOND);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	uint64_t messages = 0;

	if (argc == 4 && !strcmp(argv[1], "--executed"))
		return identities_executed(argv + 2);
	seed = now() ^ (uint64_t)getpid() << 40;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; !options.any && i < PARTS; i++)
		options.chosen[i] = true;
	clock_watch();
	note("seed %#llx", (unsigned long long)seed);
	run();
	for (size_t i = 0; i < PARTS; i++)
		messages += parts[i].sums[SUM_SENT];
	report_table(parts, PARTS);
	printf("%llu messages\n", (unsigned long long)messages);
	return report_end() ? 1 : 0;
}
