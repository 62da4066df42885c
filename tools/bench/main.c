// SPDX-License-Identifier: GPL-2.0-only
/* Which cases to run, and each of them in a process of its own. */
#include <argp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bench.h"

const struct transport *const transports[] = {
	&kpost_ioctl,  &kpost_library, &kpost_rw,	  &kpost_uring,	 &kpost_async,
	&kpost_keyed,  &kpost_path,    &kpost_path_rw,	  &pipe_plain,	 &pipe_named,
	&pipe_uring,   &socket_stream, &socket_seqpacket, &socket_dgram, &socket_uring,
	&socket_async, &queue_posix,   &queue_sysv,	  &event_fd,	 &futex_memory,
	NULL,
};

static struct {
	const char *set;
	const char *workloads;
	const char *transports;
	const char *cpus;
	bool json;
	bool own_load; /* a plan of its own, by the options */
	struct plan plan;
} options = { .set = "standard", .plan.vary = "size", .plan.values = { 64 }, .plan.count = 1 };

static unsigned int cases, failed;

/* ---- one case --------------------------------------------------------------- */

#define BEFORE 4096 /* a page with room for what stands before a message */

static void open_lines(struct run *run)
{
	unsigned long count = run->load.peers + 1, i;
	int ret;

	if (run->load.boxes > count)
		count = run->load.boxes;
	run->lines = calloc(count, sizeof(*run->lines));
	for (i = 0; i < count; i++) {
		ret = run->transport->open(&run->lines[i], &run->load);
		if (ret)
			skip("%s of %lu bytes: %s", run->transport->name, run->load.size,
			     strerror(-ret));
	}
}

static void run_case(const struct workload *workload, struct run *run)
{
	process_settle(&run->load, false);
	run->buf = (char *)mmap(NULL, BEFORE + run->load.size + 1, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
		   BEFORE;
	memset((char *)run->buf - BEFORE, 1, BEFORE + run->load.size + 1);
	open_lines(run);
	workload->run(run);
	peers_end();
	run->transport->close(run->lines);
	_exit(0);
}

/* Of a plan's table. */
struct cell {
	const struct transport *transport;
	struct load load;
	unsigned int number; /* of the case, as the plugin counts them */
	bool there; /* it could be measured, each time */
	struct figure figures[ROUNDS];
};

static void do_case(const struct workload *workload, struct cell *cell, unsigned int round)
{
	struct run run = {
		.transport = cell->transport,
		.load = cell->load,
		.figure = &cell->figures[round],
	};
	int status;
	pid_t pid;

	mark_case();
	pid = process_start();
	if (!pid)
		run_case(workload, &run);
	if (waitpid(pid, &status, 0) != pid)
		die("lost a process");
	if (status) {
		cell->there = false;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS_SKIP) {
			failed++;
			fprintf(stderr, "kpost-bench: %s of %s failed\n", workload->name,
				cell->transport->name);
		}
	}
	cgroups_remove();
}

/* ---- which ------------------------------------------------------------------ */

static bool wanted(const char *words, const struct transport *transport)
{
	return !words || has_word(words, transport->name) ||
	       (transport->traits & OURS && has_word(words, "ours"));
}

/* What carries nothing costs the same at all sizes. */
static unsigned int count_for(const struct plan *plan, const struct transport *transport)
{
	return transport->traits & NO_DATA && !strcmp(plan->vary, "size") ? 1 : plan->count;
}

static unsigned int make_cells(struct cell *cells, const struct plan *plan,
			       const struct workload *workload)
{
	unsigned int count = 0;

	for (const struct transport *const *transport = transports; *transport; transport++) {
		if (!workload->fits(*transport) || !wanted(options.transports, *transport))
			continue;
		/* Who names a transport wants it. */
		if (!options.transports && !wanted(plan->only, *transport))
			continue;
		for (unsigned int i = 0; i < count_for(plan, *transport); i++) {
			struct load load = plan_load(plan, plan->values[i]);

			if (load.size < (*transport)->min)
				continue;
			memset(&cells[count], 0, sizeof(*cells));
			cells[count].transport = *transport;
			cells[count].load = load;
			cells[count].there = true;
			cells[count++].number = ++cases;
		}
	}
	return count;
}

static void do_plan(const struct plan *plan, const struct workload *workload)
{
	static struct cell *cells;
	unsigned int count;

	if (options.json)
		fprintf(stderr, "%s by %s\n", workload->name, plan->vary);
	if (!cells)
		cells = shared(sizeof(transports) / sizeof(transports[0]) * VALUES *
			       sizeof(*cells));
	count = make_cells(cells, plan, workload);
	for (unsigned int round = 0; round < rounds(); round++)
		for (unsigned int i = 0; i < count; i++)
			if (cells[i].there)
				do_case(workload, &cells[i], round);
	for (unsigned int i = 0; i < count; i++) {
		figures_join(cells[i].figures, rounds());
		report(plan, workload, cells[i].transport, &cells[i].load,
		       cells[i].there ? cells[i].figures : NULL, cells[i].number);
	}
}

static void do_all(void)
{
	for (size_t w = 0; options.own_load && w < workload_count; w++)
		if (has_word(options.workloads ? options.workloads : "self", workloads[w].name))
			do_plan(&options.plan, &workloads[w]);
	for (size_t i = 0; !options.own_load && i < plan_count; i++)
		for (size_t w = 0; w < workload_count; w++)
			if (has_word(plans[i].sets, options.set) &&
			    !strcmp(plans[i].workload, workloads[w].name) &&
			    (!options.workloads || has_word(options.workloads, workloads[w].name)))
				do_plan(&plans[i], &workloads[w]);
}

/* ---- options ---------------------------------------------------------------- */

#define KEY_FIELD 0x1000 /* and the number of the field */
#define KEY_CLOCK 0x2000
#define KEY_CPUS 0x2001

static void list(void)
{
	puts("workloads:");
	for (size_t i = 0; i < workload_count; i++)
		printf("  %-16s %s\n", workloads[i].name, workloads[i].what);
	puts("\ntransports:");
	for (const struct transport *const *t = transports; *t; t++)
		printf("  %-16s %s\n", (*t)->name, (*t)->what);
	puts("\nsets: standard, wall, charts, batches, many, memory, cgroups");
}

static void parse_field(const struct field *field, char *text, struct argp_state *state)
{
	struct plan *plan = &options.plan;
	unsigned long values[VALUES];
	unsigned int count = 0;

	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		char *end;

		if (count == VALUES)
			argp_error(state, "--%s takes at most %d numbers", field->name, VALUES);
		values[count] = strtoul(word, &end, 0);
		if (*end == 'K')
			values[count] <<= 10, end++;
		else if (*end == 'M')
			values[count] <<= 20, end++;
		if (*end || end == word)
			argp_error(state, "--%s takes numbers, as in 64,4K", field->name);
		count++;
	}
	options.own_load = true;
	if (count == 1 && strcmp(plan->vary, field->name)) {
		*field_of(&plan->load, field) = values[0];
		return;
	}
	if (plan->count > 1 && strcmp(plan->vary, field->name))
		argp_error(state, "only one of --%s and --%s can vary", plan->vary, field->name);
	/* What varied until now was one number. */
	if (strcmp(plan->vary, field->name))
		*field_of(&plan->load, field_find(plan->vary)) = plan->values[0];
	plan->vary = field->name;
	plan->count = count;
	memcpy(plan->values, values, sizeof(values));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	if (key >= KEY_FIELD && key < KEY_FIELD + (int)field_count) {
		parse_field(&fields[key - KEY_FIELD], arg, state);
		return 0;
	}
	switch (key) {
	case 's':
		options.set = arg;
		break;
	case 'w':
		options.workloads = arg;
		break;
	case 't':
		options.transports = arg;
		break;
	case 'j':
		options.json = true;
		break;
	case 'l':
		list();
		exit(0);
	case KEY_CLOCK:
		if (strcmp(arg, "time") && strcmp(arg, "instructions"))
			argp_error(state, "--clock takes time or instructions");
		the_clock = *arg == 't' ? CLOCK_TIME : CLOCK_INSTRUCTIONS;
		break;
	case KEY_CPUS:
		options.cpus = arg;
		break;
	case ARGP_KEY_ARG:
		argp_usage(state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option choices[] = {
	{ "set", 's', "SET", 0, "Cases that belong together (standard)", 0 },
	{ "workload", 'w', "NAME,...", 0, "Only these", 0 },
	{ "transport", 't', "NAME,...", 0, "Only these; \"ours\" are all of kpost's", 0 },
	{ "json", 'j', NULL, 0, "Print JSON", 0 },
	{ "list", 'l', NULL, 0, "Say which workloads, transports and sets there are", 0 },
	{ "clock", KEY_CLOCK, "CLOCK", 0,
	  "time (the default), or instructions, where the time stamp counter counts those", 0 },
	{ "cpus", KEY_CPUS, "N,M,...", 0, "The processor of the process that measures, and others'",
	  0 },
	{ NULL, 0, NULL, 0, "A load of your own; one of these may be a list:", 1 },
	{ "size", KEY_FIELD, "N,...", 0, "Bytes of a message", 1 },
	{ "depth", KEY_FIELD + 1, "N,...", 0, "Messages that lie in the queue", 1 },
	{ "priorities", KEY_FIELD + 2, "N,...", 0, "Priorities with a message each", 1 },
	{ "boxes", KEY_FIELD + 3, "N,...", 0, "Mailboxes under one epoll", 1 },
	{ "peers", KEY_FIELD + 4, "N,...", 0, "Senders, receivers or callers", 1 },
	{ "batch", KEY_FIELD + 5, "N,...", 0, "Messages of one system call, at most 1024", 1 },
	{ "cgroups", KEY_FIELD + 6, "N,...", 0,
	  "Memory cgroups: 1 for all processes; 2: the others are in another", 1 },
	{ 0 },
};

static const struct argp argp = {
	.options = choices,
	.parser = parse,
	.doc = "Measure what a message costs with kpost and with its peers.",
};

/* Limits are not what is measured, and those of the kernel's queues are the namespace's. */
static void lift_limits(void)
{
	const struct rlimit files = { 262144, 262144 }, bytes = { RLIM_INFINITY, RLIM_INFINITY };
	FILE *file;

	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_MSGQUEUE, &bytes);
	if (unshare(CLONE_NEWIPC))
		return;
	file = fopen("/proc/sys/kernel/msgmax", "we");
	if (!file)
		return;
	fprintf(file, "%u\n", KPOST_PAYLOAD_MAX);
	fclose(file);
}

int main(int argc, char **argv)
{
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	lift_limits();
	if (the_clock == CLOCK_TIME)
		processes_pin(options.cpus);
	report_begin(options.json);
	do_all();
	report_end();
	return failed ? 1 : 0;
}
