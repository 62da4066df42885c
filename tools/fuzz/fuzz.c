// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fuzzer: libFuzzer, which brings the corpus, mutation by coverage, merging and
 * minimising, with the kernel module's coverage in place of its own.  (AFL++ would want
 * a shared map from a target of its own making and a fork server, where here one process
 * drives others that last; and its forkserver gains nothing when it is the kernel that is
 * tested.)
 *
 * Before an input is run it is written to a file that the host sees, since the machine may
 * not outlive it.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "machine.h"
#include "mutate.h"

static const char *output, *grown;
static int current;

static char *output_path(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", output, name);
	return path;
}

static void save_coverage(void)
{
	char path[128];

	coverage_save(output_path(path, "covered"));
}

static void lane_started(unsigned int lane)
{
	coverage_enable(lane);
}

/* What libFuzzer calls has no header. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
				 size_t size2, uint8_t *out, size_t max, unsigned int seed);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct machine_hooks hooks = { .lane_started = lane_started };
	const char *blocks = getenv("FUZZ_BLOCKS");
	char path[128];

	(void)argc;
	(void)argv;
	output = getenv("FUZZ_OUTPUT");
	if (!output)
		output = ".";
	grown = getenv("FUZZ_GROWN");
	hooks.may_plant = getenv("FUZZ_PLANT");
	current = open(output_path(path, "current"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (current < 0)
		err(2, "%s", path);
	coverage_init(blocks ? blocks : "blocks");
	coverage_limit_faults();
	kernel_init();
	machine_init(&hooks);
	machine_start();
	atexit(save_coverage);
	return 0;
}

/* An input that reached blocks which none before it did. */
static void keep(void)
{
	static unsigned int number;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%03u", grown, number++);
	file = fopen(path, "w");
	if (!file || fwrite(&world->program, program_size(&world->program), 1, file) != 1 ||
	    fclose(file))
		err(2, "%s", path);
}

/* libFuzzer keeps the input of what aborts. */
static void finding(const char *what)
{
	fprintf(stderr, "\nfuzz: FOUND %s\n", what);
	save_coverage();
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *what, *complaint;

	program_decode(&world->program, data, size);
	/* Padded by operations that do nothing, so that none of the last one is left. */
	pwrite(current, &world->program, sizeof(world->program), 0);
	coverage_reset();
	what = machine_run();
	if (!what && !kernel_module_idle())
		what = "the module is still in use";
	complaint = kernel_complaint();
	if (complaint || what)
		finding(complaint ? complaint : what);
	if (coverage_collect() && grown)
		keep();
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	struct program program;

	program_decode(&program, data, size);
	mutate(&program, seed);
	size = program_size(&program);
	size = size < max ? size : max;
	memcpy(data, &program, size);
	return size;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
				 size_t size2, uint8_t *out, size_t max, unsigned int seed)
{
	struct program one, other;
	size_t size;

	program_decode(&one, data1, size1);
	program_decode(&other, data2, size2);
	mutate_cross(&one, &other, seed);
	size = program_size(&one);
	size = size < max ? size : max;
	memcpy(out, &one, size);
	return size;
}
