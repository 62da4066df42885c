// SPDX-License-Identifier: GPL-2.0-only
#include "faults.h"

#define SITES_MAX 1000 /* no operation has so many */

static bool among(const int errnos[ERRNOS_MAX], long ret)
{
	unsigned int i;

	for (i = 0; i < ERRNOS_MAX && errnos[i]; i++) {
		if (ret == -errnos[i])
			return true;
	}
	return false;
}

/* What a fault on behalf of kpost may give is told by its kind. */
static bool excused(const struct trial *trial, const struct fault *fault, long ret)
{
	if (!fault->injected)
		return false;
	if (fault->told && fault->ours)
		return ret == (strcmp(fault->kind, "fail_usercopy") ? -ENOMEM : -EFAULT) &&
		       among(trial->errnos, ret);
	return among(trial->elsewhere, ret);
}

static void note_outcome(struct row *row, long ret)
{
	unsigned int i;

	if (ret > 0)
		ret = 0;
	for (i = 0; i < row->outcomes_count && row->outcomes[i].ret != ret; i++)
		;
	if (i == OUTCOMES_MAX)
		return;
	if (i == row->outcomes_count)
		row->outcomes[row->outcomes_count++].ret = ret;
	row->outcomes[i].count++;
}

static void note_fault(struct row *row, const struct fault *fault)
{
	unsigned int i;

	row->faults++;
	row->ours += fault->ours;
	row->quiet += !fault->told;
	if (!fault->told)
		return;
	for (i = 0; i < row->places_count; i++) {
		if (!strcmp(row->places[i].text, fault->place))
			return;
	}
	if (i == PLACES_MAX)
		return;
	row->places_count++;
	row->places[i].ours = fault->ours;
	strcpy(row->places[i].text, fault->place);
}

/* After a call that failed: as before it, and now it works. */
static void call_again(struct stage *stage)
{
	const struct trial *trial = stage->trial;
	unsigned int n = stage->n;
	long ret = stage->ret;

	must(stage, excused(trial, &stage->fault, ret));
	if (!trial->changed || !trial->changed(stage, ret)) {
		stage_snapshot(stage, &stage->after);
		must(stage, !memcmp(&stage->before, &stage->after, sizeof(stage->before)));
		must(stage, !memcmp(&stage->args_before, &stage->args, sizeof(stage->args)));
	}
	stage->n = 0;
	ret = trial->call(stage);
	stage->n = n;
	must(stage, trial->expect < 0 ? ret == trial->expect : ret >= 0);
	stage->ret = ret;
}

static void attempt(struct stage *stage)
{
	const struct trial *trial = stage->trial;
	unsigned int bad = stage->row->bad;

	memset(&stage->args, 0, sizeof(stage->args));
	if (trial->prepare)
		trial->prepare(stage);
	stage->args_before = stage->args;
	stage_snapshot(stage, &stage->before);
	stage->fault = (struct fault){};
	stage->ret = trial->call(stage);
	if (stage->fault.injected) {
		note_outcome(stage->row, stage->ret);
		note_fault(stage->row, &stage->fault);
	}
	if (stage->ret < 0 && stage->ret != trial->expect)
		call_again(stage);
	/* What did not work has left nothing to look at. */
	if (stage->row->bad == bad)
		trial->check(stage);
}

static void attempt_apart(struct stage *stage)
{
	pid_t pid = kt_fork();

	if (!pid) {
		attempt(stage);
		_exit(0);
	}
	must(stage, kt_exit_status(pid) == 0);
}

static void walk_once(struct stage *stage)
{
	stage->n = 0;
	do {
		stage->n++;
		if (stage->trial->forks)
			attempt_apart(stage);
		else
			attempt(stage);
	} while (stage->fault.injected && !stage->row->bad && stage->n < SITES_MAX);
	must(stage, stage->n < SITES_MAX);
	stage->row->sites = stage->n - 1;
}

/* Does it have sites of kpost's, of which none was seen yet? */
static bool misses_ours(const struct stage *stage)
{
	return !stage->row->ours && stage->trial->errnos[0];
}

/*
 * Twice: now and then the kernel takes memory that it keeps, for a slab or a detector,
 * and the sites behind that have other numbers the next time.  Where kpost has one site only,
 * it may be passed over twice.
 */
void trial_walk(struct stage *stage)
{
	struct kpost_info before;
	unsigned int i;

	/* An open device would keep the module, or the office. */
	if (!stage->trial->bare)
		stage_usage(&before);
	walk_once(stage);
	for (i = 0; i < 4 && !stage->row->bad && !stage->trial->once; i++) {
		if (!i || misses_ours(stage))
			walk_once(stage);
	}
	/* One that reached no site of kpost's has shown nothing. */
	must(stage, !misses_ours(stage));
	stage->n = 0;
	/* Files are closed, and calls forgotten, a little later. */
	if (!stage->trial->bare)
		must(stage, kt_until(stage_uses_the_same(&before)));
}
