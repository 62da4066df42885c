// SPDX-License-Identifier: GPL-2.0-only
/*
 * One in a hundred of the module's allocations and user copies fails, in those tasks
 * that ask for it.  Needs a kernel with fault injection.
 */
#include <fcntl.h>

#include "stress.h"

#define DEBUGFS "/sys/kernel/debug/"

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/* Where the module's code is; false if the kernel does not say. */
static bool module_text(unsigned long long *start, unsigned long long *end)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	char line[512], type;

	*start = ~0ull;
	*end = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (!strstr(line, "\t[kpost]") || sscanf(line, "%llx %c", &address, &type) != 2 ||
		    (type | 0x20) != 't')
			continue;
		if (address < *start)
			*start = address;
		if (address > *end)
			*end = address;
	}
	if (file)
		fclose(file);
	*end += 4096; /* the last function */
	return *start && *start < *end;
}

static void set(const char *kind, const char *knob, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, knob);
	/* Not every kind has every knob. */
	if (access(path, W_OK) == 0)
		write_file(path, value);
}

/* Returns false if the kernel cannot do it. */
bool faults_start(void)
{
	unsigned long long start, end;
	char text[32];

	if (access(DEBUGFS "failslab/require-start", W_OK) ||
	    access(DEBUGFS "fail_usercopy/require-start", W_OK) ||
	    access("/proc/self/make-it-fail", W_OK) || !module_text(&start, &end))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		set(kinds[i], "verbose", "0");
		set(kinds[i], "task-filter", "Y");
		/* How far from where it fails the module is, at most; to look costs. */
		set(kinds[i], "stacktrace-depth", strstr(kinds[i], "page") ? "32" : "12");
		snprintf(text, sizeof(text), "0x%llx", start);
		set(kinds[i], "require-start", text);
		snprintf(text, sizeof(text), "0x%llx", end);
		set(kinds[i], "require-end", text);
		set(kinds[i], "ignore-gfp-wait", "N");
		set(kinds[i], "ignore-gfp-highmem", "N");
		set(kinds[i], "min-order", "0");
		set(kinds[i], "times", "-1");
		set(kinds[i], "probability", "1");
	}
	return true;
}

void faults_stop(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		set(kinds[i], "probability", "0");
}

/* From here on, in this task and those that it starts. */
void faults_me(void)
{
	int fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			_exit(126);
		close(fd);
	}
}
