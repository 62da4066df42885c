// SPDX-License-Identifier: GPL-2.0-only
/*
 * faults [PATTERN]...    all trials, or those whose names contain a pattern
 *
 * Prints TAP, then the table.  As root; what needs no root is done without.
 */
#include <grp.h>

#include "faults.h"

#define TRIALS_MAX 400
#define NOBODY 65534
#define SECONDS 400 /* no trial takes longer */

static const char *const routes[] = {
	[BY_IOCTL] = "",
	[BY_RING] = "io_uring",
	[BY_WORKER] = "io_uring, worker",
	[BY_FIXED] = "io_uring, registered",
};

static struct {
	const struct trial *trial;
	enum route route;
	struct row *row;
} trials[TRIALS_MAX];
static unsigned int count;

static void add(const struct trial *trial, int patterns, char **pattern)
{
	enum route route;
	bool wanted;
	int i;

	for (; trial->name; trial++) {
		wanted = !patterns;
		for (i = 0; i < patterns; i++)
			wanted |= !!strstr(trial->name, pattern[i]);
		for (route = BY_IOCTL; wanted && route < ROUTES; route++) {
			if (!(trial->routes & 1u << route))
				continue;
			if (count == TRIALS_MAX) {
				printf("# more than %u trials\n", TRIALS_MAX);
				exit(1);
			}
			trials[count].trial = trial;
			trials[count].route = route;
			trials[count++].row = kt_shared(sizeof(struct row));
		}
	}
}

static void become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY)) {
		perror("# setresuid");
		exit(1);
	}
	/* else /proc/self would be root's */
	prctl(PR_SET_DUMPABLE, 1);
}

static void play(unsigned int i)
{
	struct stage *stage = kt_shared(sizeof(*stage));

	alarm(SECONDS);
	stage->trial = trials[i].trial;
	stage->route = trials[i].route;
	stage->row = trials[i].row;
	faults_filter(stage->trial->filter);
	must(stage, fs_stage(stage->trial->mounts) == 0);
	if (!stage->trial->root)
		become_nobody();
	stage_begin(stage);
	if (!stage->row->bad)
		trial_walk(stage);
	stage_end(stage);
	stage->row->done = true;
	exit(0);
}

static long references(void)
{
	FILE *file = fopen("/sys/module/kpost/refcnt", "re");
	long refs = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &refs) != 1)
		refs = -1;
	fclose(file);
	return refs;
}

static bool run(unsigned int i)
{
	struct row *row = trials[i].row;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = kt_fork();
	if (!pid)
		play(i);
	if (waitpid(pid, &status, 0) != pid || status || !row->done) {
		printf("# ended with status %#x\n", status);
		row->bad++;
	}
	/* Files are closed a little later. */
	if (!kt_until(references() == 0)) {
		printf("# %ld references to the module are left\n", references());
		row->bad++;
	}
	printf("%sok %u - %s%s%s%s\n", row->bad ? "not " : "", i + 1, trials[i].trial->name,
	       *routes[trials[i].route] ? " (" : "", routes[trials[i].route],
	       *routes[trials[i].route] ? ")" : "");
	return !row->bad;
}

static void print_row(unsigned int i)
{
	const struct row *row = trials[i].row;
	unsigned int ours = 0, j;

	for (j = 0; j < row->places_count; j++)
		ours += row->places[j].ours;
	printf("%-30s %-21s %5u %6u %5u %6u %5u %5u ", trials[i].trial->name,
	       routes[trials[i].route], row->sites, row->faults, row->ours, ours,
	       row->places_count - ours, row->quiet);
	for (j = 0; j < row->outcomes_count; j++)
		printf(" %s:%u",
		       row->outcomes[j].ret ? strerrorname_np(-(int)row->outcomes[j].ret) : "ok",
		       row->outcomes[j].count);
	printf("%s\n", row->bad ? " UNEXPECTED" : "");
}

/* The operations of one family by one route, and all places of kpost's that they fail at. */
static void print_family(const char *family, enum route route)
{
	const char *seen[PLACES_MAX];
	unsigned int places = 0, sites = 0, i, j, k;

	for (i = 0; i < count; i++) {
		const struct row *row = trials[i].row;

		if (trials[i].route != route || !trials[i].trial->family ||
		    strcmp(trials[i].trial->family, family))
			continue;
		sites += row->sites;
		for (j = 0; j < row->places_count; j++) {
			for (k = 0; k < places && strcmp(seen[k], row->places[j].text); k++)
				;
			if (row->places[j].ours && k == places && places < PLACES_MAX)
				seen[places++] = row->places[j].text;
		}
	}
	if (sites)
		printf("%-30s %-21s %5u %6s %5s %6u\n", family, routes[route], sites, "", "",
		       places);
}

int main(int argc, char **argv)
{
	static const char *const families[] = { "OPEN", "SEND", "RECV", "CALL" };
	unsigned int passed = 0, i;
	enum route j;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (faults_open()) {
		perror("# /dev/kmsg, /dev/console");
		return 1;
	}
	add(device_trials, argc - 1, argv + 1);
	add(message_trials, argc - 1, argv + 1);
	add(call_trials, argc - 1, argv + 1);
	add(file_trials, argc - 1, argv + 1);
	add(fs_trials, argc - 1, argv + 1);
	add(module_trials, argc - 1, argv + 1);

	printf("TAP version 13\n1..%u\n", count);
	for (i = 0; i < count; i++)
		passed += run(i);

	printf("\n%-30s %-21s %5s %6s %5s %6s %5s %5s  %s\n", "operation", "by", "sites", "faults",
	       "kpost", "places", "other", "quiet", "outcomes");
	for (i = 0; i < count; i++)
		print_row(i);
	printf("\nof all of a kind:\n");
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		for (j = BY_IOCTL; j < ROUTES; j++)
			print_family(families[i], j);
	}
	printf("\n%u passed, %u failed, 0 skipped\n", passed, count - passed);
	return passed == count ? 0 : 1;
}
