// SPDX-License-Identifier: GPL-2.0-only
/* Standard output, where a failure is one. */
#include "tool.h"

void output(const void *bytes, size_t len)
{
	if (len && fwrite(bytes, 1, len, stdout) != len)
		fail_plain(STATUS_FAILED, "cannot write the output: %s", strerror(errno));
}

void output_flush(void)
{
	if (fflush(stdout))
		fail_plain(STATUS_FAILED, "cannot write the output: %s", strerror(errno));
}
