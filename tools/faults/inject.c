// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: fail-nth of a thread has it fail at the nth site, and the kernel's log tells
 * which that was.
 *
 * The log's records of a fault are read here and go no further: the console's level
 * is below theirs, see run.  Whatever else the kernel has to say is passed on to the
 * console, whose log tools/vm/run looks at.
 */
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>

#include "faults.h"

#define DEBUGFS "/sys/kernel/debug/"
#define CONSOLE_LEVEL 4 /* run has the kernel print what is more urgent */

#define WORKERS_MAX 2 /* one for operations that may wait, one for others */

static int kmsg = -1, console = -1;
static int nth[WORKERS_MAX];
static unsigned int armed; /* how many of these */

/* Before privileges are dropped. Returns 0 or -errno. */
int faults_open(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	console = open("/dev/console", O_WRONLY | O_CLOEXEC);
	if (kmsg < 0 || console < 0)
		return -errno;
	return lseek(kmsg, 0, SEEK_END) < 0 ? -errno : 0;
}

static void write_knob(const char *attribute, const char *knob, uint64_t value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", attribute, knob);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%#" PRIx64 "\n", value) < 0) {
		fprintf(stderr, "# %s: %s\n", path, strerror(errno));
		exit(1);
	}
	close(fd);
}

/* The text of the function, or of the module, that @filter names. */
static bool find_text(const char *filter, uint64_t *start, uint64_t *end)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	bool module = filter[0] == '[', found = false;
	char line[512], name[256], owner[64], kind;
	uint64_t at;

	*start = *end = 0;
	while (file && fgets(line, sizeof(line), file)) {
		owner[0] = '\0';
		if (sscanf(line, "%" SCNx64 " %c %255s %63s", &at, &kind, name, owner) < 3 ||
		    (kind != 't' && kind != 'T'))
			continue;
		if (module ? !strcmp(owner, filter) : !strcmp(name, filter)) {
			if (!*start || at < *start)
				*start = at;
			/* The last function is not longer than this. */
			if (at + 4096 > *end)
				*end = at + 4096;
			found = true;
		} else if (!module && *start && at > *start && at < *end) {
			*end = at;
		}
	}
	if (file)
		fclose(file);
	return found;
}

/* Only what fails below the functions that @filter names; NULL for anything. */
void faults_filter(const char *filter)
{
	static const char *const attributes[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	uint64_t start = 0, end = UINT64_MAX;
	unsigned int i;

	if (filter && !find_text(filter, &start, &end)) {
		fprintf(stderr, "# there is no %s in /proc/kallsyms\n", filter);
		exit(1);
	}
	for (i = 0; i < sizeof(attributes) / sizeof(*attributes); i++) {
		write_knob(attributes[i], "require-start", start);
		write_knob(attributes[i], "require-end", end);
	}
}

/* The threads of io_uring's that work for this process. Returns how many. */
static unsigned int find_workers(pid_t tids[WORKERS_MAX])
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int count = 0;

	while (dir && count < WORKERS_MAX && (entry = readdir(dir))) {
		char path[300], comm[16] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0 && !strncmp(comm, "iou-wrk", 7))
			tids[count++] = atoi(entry->d_name);
		close(fd);
	}
	if (dir)
		closedir(dir);
	return count;
}

/* The next record of the log, less its prefix; false if there is none. */
static bool next_record(char *line, size_t size, int *level)
{
	char record[2048], *text, *end;
	ssize_t len;

	do {
		len = read(kmsg, record, sizeof(record) - 1);
	} while (len < 0 && (errno == EPIPE || errno == EINTR));
	if (len <= 0)
		return false;
	record[len] = '\0';
	*level = atoi(record) & 7;
	text = strchr(record, ';');
	text = text ? text + 1 : record;
	end = strchr(text, '\n');
	snprintf(line, size, "%.*s", end ? (int)(end - text) : (int)strlen(text), text);
	return true;
}

/* Add a line of the stack, unless it is of the faults' own functions. */
static void note_frame(struct fault *fault, const char *line)
{
	size_t len = strlen(fault->place);
	const char *name = line + 1;

	if (fault->ours || !strchr(line, '+') || name[0] == '?' ||
	    !strncmp(name, "dump_stack", 10) || !strncmp(name, "should_fail", 11) ||
	    !strncmp(name, "fail_dump", 9))
		return;
	fault->ours = strstr(line, "[kpost]");
	snprintf(fault->place + len, sizeof(fault->place) - len, "%s%.*s", len ? " < " : "",
		 (int)strcspn(name, "/"), name);
}

/* What else is printed with a stack: the machine, and the registers of user space. */
static bool of_dump(const char *line)
{
	static const char *const starts[] = {
		"CPU: ", "Tainted: ", "Hardware name: ", "Call Trace:", "RIP: ", "Code: ",
		"RSP: ", "RAX: ",     "RDX: ",		 "RBP: ",	"R10: ", "R13: "
	};
	unsigned int i;

	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		if (!strncmp(line, starts[i], strlen(starts[i])))
			return true;
	}
	return false;
}

/* What the log has to say of a fault, if there was one since. */
static void read_log(struct fault *fault)
{
	bool inside = false;
	char line[1024];
	int level;

	while (next_record(line, sizeof(line), &level)) {
		char *name = strstr(line, "FAULT_INJECTION: forcing a failure");

		if (name) {
			inside = true;
			*fault = (struct fault){ .injected = fault->injected, .told = true };
			name = strstr(line, "name ");
			if (name)
				sscanf(name, "name %31[^,]", fault->kind);
		} else if (inside && line[0] == ' ') {
			note_frame(fault, line);
			inside = !strstr(line, "</TASK>");
		} else if ((!inside || !of_dump(line)) && level >= CONSOLE_LEVEL) {
			dprintf(console, "%s\n", line);
		}
	}
}

/* From here on the thread that does the operation fails at the nth site. */
void faults_arm(struct stage *stage)
{
	pid_t tids[WORKERS_MAX] = { (pid_t)syscall(SYS_gettid) };
	unsigned int count = 1, i;
	char path[64];

	if (!stage->n)
		return;
	if (stage->route == BY_WORKER)
		count = find_workers(tids);
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", tids[i]);
		nth[i] = open(path, O_RDWR | O_CLOEXEC);
	}
	/* With nothing between this and the operation. */
	for (i = 0; i < count; i++) {
		if (nth[i] < 0 || dprintf(nth[i], "%u", stage->n) < 0) {
			fprintf(stderr, "# %s: %s\n", path, strerror(errno));
			exit(1);
		}
	}
	armed = count;
}

/* Until here. */
void faults_disarm(struct stage *stage)
{
	bool injected = false;
	int err = errno;

	if (!stage->n)
		return;
	while (armed) {
		int fd = nth[--armed];
		char left[16] = "";

		/* The read itself fails where the fault is still to come. */
		injected |= pread(fd, left, sizeof(left) - 1, 0) > 0 && atoi(left) == 0;
		if (pwrite(fd, "0", 1, 0) != 1)
			must(stage, pwrite(fd, "0", 1, 0) == 1);
		close(fd);
	}
	stage->fault = (struct fault){ .injected = injected };
	read_log(&stage->fault);
	if (!injected)
		stage->fault = (struct fault){};
	errno = err;
}
