/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the verbs of the kpost command share.
 *
 * A verb is a function like main(), in a file of its own; argv[0] is "kpost VERB".
 * What cannot go on ends the program at once, with one line on stderr and an exit
 * status that says what kind of failure it was: all that a verb holds is released by
 * the kernel.
 */
#ifndef KPOST_TOOL_H
#define KPOST_TOOL_H

#include <argp.h>
#include <errno.h>
#include <kpost.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exit statuses; kpost --help lists them. */
enum {
	STATUS_OK,
	STATUS_FAILED,
	STATUS_USAGE,
	STATUS_NO_MAILBOX,
	STATUS_TIMED_OUT,
	STATUS_PERMISSION,
	STATUS_NO_DEVICE,
	STATUS_GONE, /* the other side has: the mailbox closed, a call was given up */
	/* as of a shell, of a command that kpost is to become */
	STATUS_CANNOT_RUN = 126,
	STATUS_NO_COMMAND = 127,
};

/* ---- the verbs ---------------------------------------------------------- */

int verb_bridge(int argc, char **argv);
int verb_call(int argc, char **argv);
int verb_create(int argc, char **argv);
int verb_grant(int argc, char **argv);
int verb_info(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_mount(int argc, char **argv);
int verb_recv(int argc, char **argv);
int verb_remove(int argc, char **argv);
int verb_shut(int argc, char **argv);
int verb_send(int argc, char **argv);
int verb_serve(int argc, char **argv);
int verb_set(int argc, char **argv);
int verb_stat(int argc, char **argv);
int verb_wait(int argc, char **argv);
int verb_work(int argc, char **argv);

/* ---- error.c ------------------------------------------------------------ */

/* No errno, but what EDQUOT means where a mailbox is made, or made larger. */
#define ERROR_CAPACITY 4096

/*
 * What @error of an operation of kpost's means, what can be done about it, and the exit
 * status for it. Errors of other system calls mean other things: fail_plain().
 */
int complain(int error, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, and exit. @error is positive or negative; @name may be NULL. */
_Noreturn void fail(int error, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* For what no errno stands for. */
_Noreturn void fail_plain(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* EPIPE is this to a receiver. */
_Noreturn void fail_ended(const char *name);
void warn_plain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- open.c ------------------------------------------------------------- */

int device_open(void);
/* From now on no mailbox is opened that is not this user's: what --owner says. */
void mailbox_demand_owner(struct argp_state *state, const char *user);
/* An endpoint, or the end. */
int mailbox_open(const char *name, unsigned int rights, unsigned int flags,
		 const struct kpost_attr *attr, uint64_t deadline);
/* The same for one that is there, but -errno where that fails. */
int mailbox_try(const char *name, unsigned int rights);
/* Why no mailbox can be called so, or NULL. */
const char *name_fault(const char *name);
void check_name(const char *name); /* and the end, if so */
_Noreturn void fail_no_permission(const char *name); /* EPERM */
_Noreturn void fail_sizes(const char *name); /* that were asked for */
/* Look at a mailbox without opening it; 0 or -errno. */
int mailbox_find(const char *name, struct kpost_stat *st);

/* ---- path.c: mailboxes as files ------------------------------------------ */

bool is_path(const char *name);
bool has_mailboxes(const char *path); /* is it in a file system of type kpost? */
/* It takes what the device takes: LIST, INFO, UNLINK, and OPEN of what is to be made. */
int directory_open(const char *dir);
/* Where *@name is asked for: the device, or the directory of a path, of which the name stays. */
int counter_open(const char **name);
int path_open(const char *path, unsigned int rights, unsigned int flags,
	      const struct kpost_attr *attr);
/* The directories where the office is mounted that has the mailbox. */
void each_mount(uint64_t identity, void (*each)(const char *dir));

/* ---- text.c: what people type and read ---------------------------------- */

/* What no mailbox can be made to hold, whoever asks. */
#define MESSAGES_HARD_MAX 1048576
#define BYTES_HARD_MAX (1u << 30)

/* A name as a terminal can show it: whatever could steer it is escaped. */
const char *shown(const char *name); /* valid until the fourth next call */
/* Is this text, without what a terminal could be steered by? */
bool text_printable(const char *bytes, size_t len);
/* Length of the UTF-8 character at @bytes, 0 if it is none; *@code is set. */
unsigned int utf8_length(const unsigned char *bytes, size_t len, uint32_t *code);
const char *human_size(uint64_t bytes); /* valid until the eighth next call */
/* Arguments of options; a bad one is a usage error. */
uint64_t parse_size(struct argp_state *state, const char *option, const char *arg, uint64_t max);
uint64_t parse_positive(struct argp_state *state, const char *option, const char *arg,
			uint64_t max);
uint64_t parse_number(struct argp_state *state, const char *option, const char *arg);

/* The arguments NAME COMMAND [ARGUMENT]..., of which all but the first are the command's own. */
void take_name_or_command(struct argp_state *state, char *arg, const char **name, char ***command);
void want_name_and_command(struct argp_state *state, const char *name, char *const *command);
unsigned int parse_mode(struct argp_state *state, const char *arg);
bool parse_id(const char *text, uint32_t *id); /* is it a number that is one? */
uint32_t parse_user(struct argp_state *state, const char *arg); /* by name or number */
/* What senders may drop, as in "old,new,any", or "none". */
unsigned int parse_overflow(struct argp_state *state, char *arg);
const char *overflow_text(unsigned int overflow);
int64_t parse_seconds(struct argp_state *state, const char *option, const char *arg);
unsigned int parse_clock(struct argp_state *state, const char *arg); /* KPOST_BOOTTIME or so */

/* Keys of options that have no letter. */
enum {
	KEY_ASIDE = 256,
	KEY_ATTEMPTS,
	KEY_BADGE,
	KEY_BYTES,
	KEY_CREATE,
	KEY_EXCLUSIVE,
	KEY_SUCCEED,
	KEY_DROP,
	KEY_EXPIRES,
	KEY_CLOCK,
	KEY_NUMBER,
	KEY_MARK,
	KEY_OVERFLOW,
	KEY_OWNER,
	KEY_KEYED,
	KEY_REPLACE,
	KEY_PRESENT,
	KEY_PEEK,
	KEY_ENVELOPE,
	KEY_HELD_MAX,
	KEY_INPUT,
	KEY_JSON,
	KEY_MESSAGES,
	KEY_MESSAGE_MAX,
	KEY_NAMES,
	KEY_PAUSE,
	KEY_RAW,
	KEY_REPLY_MAX,
	KEY_RETRY,
	KEY_SYNC,
	KEY_TAG,
	KEY_TRUNCATE,
	KEY_WHOLE,
};

#define JSON_OPTION \
	{ \
		"json", KEY_JSON, NULL, 0, "Print JSON, for programs", 0 \
	}
#define OWNER_OPTION \
	{ \
		"owner", KEY_OWNER, "USER", 0, \
			"Only if the mailbox is this user's, by name or number", 0 \
	}
#define TIMEOUT_OPTION(what) \
	{ \
		"timeout", 't', "SECONDS", 0, what, 0 \
	}

/* ---- json.c ------------------------------------------------------------- */

void json_open(const char *bracket); /* "{" or "[" */
void json_close(const char *bracket);
void json_number(const char *key, uint64_t value);
void json_bool(const char *key, bool value);
/* A number that is a name: as a string, so that no reader rounds it. */
void json_id(const char *key, uint64_t value);
void json_null(const char *key);
/* As "key" if it is UTF-8, else as "key_base64". */
void json_bytes(const char *key, const void *bytes, size_t len);
void json_stat(const struct kpost_stat *st);
void json_end_line(void);

/* ---- input.c ------------------------------------------------------------ */

struct input {
	const char *path; /* "-" or NULL for stdin */
	int fd;
	uint64_t size; /* of the file, 0 if unknown */
	size_t limit; /* longest line */
	char *buf;
	size_t start, end, room;
	bool ended;
	/* called before a read, which may wait, or fail and be the end; may be NULL */
	void (*idle)(void *arg);
	void *arg;
};

void input_open(struct input *input, const char *path, size_t limit);
/*
 * The next line, without its newline, valid until the next read. Returns false at
 * the end; fails on errors. *@len is more than the limit for a line that is longer.
 */
bool input_line(struct input *input, const char **line, size_t *len);
/* All that is left, likewise. */
void input_whole(struct input *input, const char **bytes, size_t *len);

/* ---- output.c ----------------------------------------------------------- */

void output_begin(void); /* from now on, output that was lost is told of at the end */
/* End now if stdout cannot be written to: what is done next cannot be done again. */
void output_need(void);
void output(const void *bytes, size_t len);
void output_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
int output_flush(void); /* returns the first error there was, or 0 */
/* After an error: tell of it, and of what comes of it. */
_Noreturn void output_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- progress.c --------------------------------------------------------- */

struct progress {
	bool shown; /* is stderr a terminal? */
	bool drawn;
	const char *verb; /* "sent" */
	uint64_t messages, bytes, total; /* total bytes, or 0 */
	uint64_t started, next;
};

void progress_begin(struct progress *progress, const char *verb, uint64_t total);
void progress_step(struct progress *progress, size_t bytes);
void progress_end(struct progress *progress);

#endif /* KPOST_TOOL_H */
