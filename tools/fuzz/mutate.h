/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include "program.h"

/* Change @program a little. */
void mutate(struct program *program, unsigned int seed);
/* Take a part of @other into @program. */
void mutate_cross(struct program *program, const struct program *other, unsigned int seed);

#endif /* FUZZ_MUTATE_H */
