// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "machine.h"

static int kmsg, refcnt;
static long idle;

static long references(void)
{
	char text[24];
	ssize_t len = pread(refcnt, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return -1;
	text[len] = '\0';
	return atol(text);
}

void kernel_init(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	refcnt = open("/sys/module/kpost/refcnt", O_RDONLY | O_CLOEXEC);
	if (kmsg < 0 || refcnt < 0)
		err(2, "%s", kmsg < 0 ? "/dev/kmsg" : "the module is not loaded");
	lseek(kmsg, 0, SEEK_END);
	/* And an office is mounted while there are lanes, see path.c. */
	idle = references() + 1;
}

/* As tools/vm/scan knows them; it looks at the whole log in the end. */
static bool complains(const char *text)
{
	static const char *const words[] = {
		"BUG: ",
		"WARNING: ",
		"KASAN",
		"UBSAN",
		"ODEBUG",
		"Oops",
		"INFO: task",
		"cut here",
		"possible circular",
		"possible recursive",
		"refcount",
		"suspicious RCU",
		"held lock freed",
		"blocked for more than",
		"list_add corruption",
		"list_del corruption",
		"sleeping function called",
		"general protection fault",
		"unable to handle",
		"inconsistent lock state",
	};
	unsigned int i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

const char *kernel_complaint(void)
{
	static char complaint[256];
	char record[2048], *text;
	bool any = false;
	ssize_t len;

	while ((len = read(kmsg, record, sizeof(record) - 1)) > 0) {
		record[len] = '\0';
		text = strchr(record, ';');
		if (!text || any || !complains(text))
			continue;
		any = true;
		text[strcspn(text, "\n")] = '\0';
		snprintf(complaint, sizeof(complaint), "%.200s", text + 1);
	}
	return any ? complaint : NULL;
}

bool kernel_module_idle(void)
{
	struct timespec ts = { .tv_nsec = MS / 5 };
	unsigned int tries = 0;

	/* Rings that were closed let go of their files a little later. */
	while (references() > idle) {
		if (++tries > 20000)
			return false;
		nanosleep(&ts, NULL);
	}
	return true;
}
