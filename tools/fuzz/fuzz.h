/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COVERED_TASKS 4 /* the lanes, and one that they fork */

/* coverage.c: what of the module ran; see KCOV in the kernel's documentation. */
void coverage_init(const char *blocks);
void coverage_enable(unsigned int task);
void coverage_reset(void);
unsigned int coverage_collect(void);
void coverage_save(const char *path);
/* Have faults injected in the module only. */
void coverage_limit_faults(void);

/* kernel.c: what the kernel says and holds. */
void kernel_init(void);
/* Returns the kernel's complaint since the last call, or NULL. */
const char *kernel_complaint(void);
/* Is the module used by nobody, as at first?  Waits some time for it. */
bool kernel_module_idle(void);

#endif /* FUZZ_FUZZ_H */
