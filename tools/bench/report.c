// SPDX-License-Identifier: GPL-2.0-only
/* Figures for people, a line each, or as JSON; "report" makes tables and charts of that. */
#include "bench.h"

#include <sys/utsname.h>

static bool as_json, comma;

static const char *clock_name(void)
{
	return the_clock == CLOCK_INSTRUCTIONS ? "instructions" : "time";
}

void report_begin(bool json)
{
	struct utsname system;

	as_json = json;
	uname(&system);
	if (json)
		printf("{\"kernel\":\"%s\",\"machine\":\"%s\",\"clock\":\"%s\",\"figures\":[",
		       system.release, system.machine, clock_name());
	else
		printf("kernel %s, %s, clock: %s\n", system.release, system.machine, clock_name());
}

/* What is not as usual, and what varies. */
static void name_load(char *text, size_t room, const char *vary, struct load load)
{
	size_t len = 0;

	*text = 0;
	for (size_t i = 0; i < field_count && len < room; i++) {
		unsigned long value = *field_of(&load, &fields[i]);

		if (i && value == fields[i].usual && strcmp(fields[i].name, vary))
			continue;
		len += (size_t)snprintf(text + len, room - len, "%s%s=%lu", len ? " " : "",
					fields[i].name, value);
	}
}

static void print_json(const struct plan *plan, const struct workload *workload,
		       const struct transport *transport, const struct load *load, const char *name,
		       const struct figure *figure, unsigned int number)
{
	struct load copy = *load;

	printf("%s\n{\"name\":\"%s %s %s\",\"workload\":\"%s\",\"what\":\"%s\",\"of\":\"%s\","
	       "\"transport\":\"%s\",\"ours\":%s,\"load\":\"%s\",\"vary\":\"%s\",\"at\":%lu,"
	       "\"number\":%u",
	       comma ? "," : "", workload->name, transport->name, name, workload->name,
	       workload->what, workload->unit, transport->name,
	       transport->traits & OURS ? "true" : "false", name, plan->vary,
	       *field_of(&copy, field_find(plan->vary)), number);
	comma = true;
	if (figure) {
		printf(",\"unit\":\"%s\",\"messages\":%lu,\"rank\":%u,\"value\":%.1f", figure->unit,
		       figure->messages, figure->rank, figure->value);
		if (figure->spread > 0)
			printf(",\"spread\":%.4f", figure->spread);
		if (figure->p99 > 0)
			printf(",\"p99\":%.1f,\"p999\":%.1f", figure->p99, figure->p999);
	}
	printf("}");
}

void report(const struct plan *plan, const struct workload *workload,
	    const struct transport *transport, const struct load *load, const struct figure *figure,
	    unsigned int number)
{
	char name[128];

	name_load(name, sizeof(name), plan->vary, *load);
	if (as_json) {
		print_json(plan, workload, transport, load, name, figure, number);
	} else if (!figure) {
		printf("%-15s %-15s %-24s          -\n", workload->name, transport->name, name);
	} else {
		printf("%-15s %-15s %-24s %10.0f %s", workload->name, transport->name, name,
		       figure->value, figure->unit);
		if (figure->p99 > 0)
			printf(", 99 %%: %.0f, 99.9 %%: %.0f", figure->p99, figure->p999);
		if (figure->spread > 0)
			printf(", runs within %.1f %%", 100 * figure->spread);
		printf("\n");
	}
	fflush(stdout);
}

void report_end(void)
{
	if (as_json)
		printf("\n]}\n");
}
