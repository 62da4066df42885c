/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_SEEDS_H
#define FUZZ_SEEDS_H

#include "program.h"

struct seed {
	const char *name;
	struct program program;
};

extern const struct seed seeds[];
extern const unsigned int seed_count;

#endif /* FUZZ_SEEDS_H */
