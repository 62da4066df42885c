// SPDX-License-Identifier: GPL-2.0-only
/* kpost mount: the mailboxes of this office as files. */
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define DEFAULT_DIR "/run/kpost"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **dir = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_usage(state);
		*dir = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "[DIR]",
	.doc = "Mount the mailboxes that have a name as files, in DIR, which is made if it is "
	       "missing, "
	       "or in " DEFAULT_DIR ". If they are mounted there already, that is all right. "
	       "umount(8) undoes it.",
};

/* Returns whether it was made. */
static bool make_directory(const char *dir)
{
	mode_t mask = umask(0);
	int ret = mkdir(dir, 0755);

	umask(mask);
	if (!ret)
		return true;
	if (errno != EEXIST)
		fail_plain(errno == EACCES || errno == EROFS ? STATUS_PERMISSION : STATUS_FAILED,
			   "cannot make directory '%s': %s%s", shown(dir), strerror(errno),
			   errno == ENOENT ? "; make the one that it is to be in first" : "");
	return false;
}

static _Noreturn void fail_to_mount(const char *dir, int error)
{
	switch (error) {
	case ENODEV:
		fail_plain(STATUS_NO_DEVICE,
			   "cannot mount mailboxes at '%s': the kernel module is not loaded; load "
			   "it with 'modprobe kpost' as root",
			   shown(dir));
	case EPERM:
		fail_plain(STATUS_PERMISSION,
			   "cannot mount mailboxes at '%s': only root of the network namespace "
			   "may, where it may mount at all",
			   shown(dir));
	default:
		fail_plain(STATUS_FAILED, "cannot mount mailboxes at '%s': %s", shown(dir),
			   strerror(error));
	}
}

int verb_mount(int argc, char **argv)
{
	const char *dir = DEFAULT_DIR;
	bool made;
	int error;

	argp_parse(&argp, argc, argv, 0, NULL, &dir);
	made = make_directory(dir);
	if (!mount("kpost", dir, "kpost", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return STATUS_OK;
	error = errno;
	/* So the kernel says that just this is mounted there already. */
	if (error == EBUSY && has_mailboxes(dir))
		return STATUS_OK;
	if (made)
		rmdir(dir);
	fail_to_mount(dir, error);
}
