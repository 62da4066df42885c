// SPDX-License-Identifier: GPL-2.0-only
/*
 * The main program of what an input is made into: runs it as often as its argument
 * says, since what it found may be a race.  Build it with liburing and the library of
 * threads, run it as root where the module is loaded, and look at the kernel's log.
 */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"

/* Its table comes before this, in the program that is made. */
extern const struct program program;

int main(int argc, char **argv)
{
	struct machine_hooks hooks = { .may_plant = true };
	int runs = argc > 1 ? atoi(argv[1]) : 100;
	const char *found;

	machine_init(&hooks);
	while (runs-- > 0) {
		world->program = program;
		found = machine_run();
		if (found) {
			printf("%s\n", found);
			return 1;
		}
	}
	return 0;
}
