// SPDX-License-Identifier: GPL-2.0-only
/* kpost bridge: become kpost-bridge, which is installed by itself for the libraries it needs. */
#include <unistd.h>

#include "tool.h"

int verb_bridge(int argc, char **argv)
{
	char program[] = "kpost-bridge";

	(void)argc;
	/* All that follows is for it, --help as well. */
	argv[0] = program;
	execvp(program, argv);
	if (errno == ENOENT)
		fail_plain(STATUS_NO_COMMAND,
			   "cannot run '%s': it is not installed, or not in the PATH; "
			   "'make install-bridge' installs it",
			   program);
	fail_plain(STATUS_CANNOT_RUN, "cannot run '%s': %s", program, strerror(errno));
}
