// SPDX-License-Identifier: GPL-2.0-only
/* The file: which machine this is, where NATS is, and the list of routes. */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

#include "bridge.h"

/* libinih cuts off what is longer, and says nothing. */
#define SECTION_LENGTH 49
/* The name of a route's lock has it in it. */
#define MAILBOX_MAX 220

struct reader {
	struct config *config;
	char section[SECTION_LENGTH + 1];
	struct route_config *route; /* of the section, or NULL */
	struct stream_config *stream;
	struct route_config **last_route;
	struct stream_config **last_stream;
	unsigned int sections;
};

static const char *const kinds[] = {
	[ROUTE_EXPORT] = "export",
	[ROUTE_IMPORT] = "import",
	[ROUTE_CALL_OUT] = "call-out",
	[ROUTE_CALL_IN] = "call-in",
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

__attribute__((format(printf, 2, 3), noreturn)) static void wrong(const struct reader *reader,
								  const char *format, ...)
{
	va_list args;
	char what[300];

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (reader->section[0])
		fail(EX_CONFIG, "%s: [%s]: %s", reader->config->file, reader->section, what);
	fail(EX_CONFIG, "%s: %s", reader->config->file, what);
}

/* ---- values ---------------------------------------------------------------- */

static char *copy(const char *value)
{
	return text("%s", value);
}

static void set(const struct reader *reader, char **field, const char *name, const char *value)
{
	if (*field)
		wrong(reader, "%s is given twice, or goes on in a second line", name);
	*field = copy(value);
}

/* A list, which can go on in lines that are indented. */
static void add(char **field, const char *value)
{
	char *all = *field ? text("%s %s", *field, value) : copy(value);

	free(*field);
	*field = all;
}

/* With units: a suffix for each, and what it stands for. */
struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };
static const struct unit sizes[] = {
	{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 },
};
static const struct unit times[] = {
	{ "ms", MS },
	{ "s", SECOND },
	{ "m", 60 * SECOND },
	{ "h", 3600 * SECOND },
	{ "d", 24 * 3600 * SECOND },
	{ NULL, 0 },
};

static uint64_t number(const struct reader *reader, const char *name, const char *value, int base,
		       const struct unit *units, uint64_t least, uint64_t most)
{
	const struct unit *unit = units;
	unsigned long long count;
	char *end;

	errno = 0;
	count = strtoull(value, &end, base);
	while (unit->suffix && strcmp(end, unit->suffix))
		unit++;
	if (!isdigit((unsigned char)value[0]) || errno || !unit->suffix ||
	    count > UINT64_MAX / unit->factor || count * unit->factor < least ||
	    count * unit->factor > most)
		wrong(reader,
		      base == 8 ? "%s = %s: wanted are permission bits, such as 0622" :
		      units == sizes || units == times ?
				  "%s = %s: this is no such amount, or out of range" :
				  "%s = %s: this is no number, or out of range",
		      name, value);
	return count * unit->factor;
}

/* What can be between two dots of a subject, and in the name of a stream or consumer. */
static bool is_token(const char *value)
{
	return value[0] && !strpbrk(value, " \t.*>/\\") && strlen(value) < 200;
}

static void token(const struct reader *reader, char **field, const char *name, const char *value)
{
	if (!is_token(value))
		wrong(reader, "%s = %s: no spaces, and none of . * > / \\", name, value);
	set(reader, field, name, value);
}

/* A subject, which can have a wild card for a token. */
static void subject(const struct reader *reader, char **field, const char *name, const char *value)
{
	char *whole = copy(value), *rest = whole, *part;

	while ((part = strsep(&rest, ".")))
		if (strcmp(part, "*") && !is_token(part))
			wrong(reader, "%s = %s: this is no subject", name, value);
	free(whole);
	set(reader, field, name, value);
}

static bool yes(const struct reader *reader, const char *name, const char *value)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		wrong(reader, "%s = %s: there are yes and no", name, value);
	return !strcmp(value, "yes");
}

static void badge(const struct reader *reader, const char *machine, const char *value)
{
	struct badge *new = make(sizeof(*new));

	if (strcmp(machine, "*") && !is_token(machine))
		wrong(reader, "badge.%s: this is no machine", machine);
	new->machine = copy(machine);
	/* 0 is what local senders have. */
	new->badge = number(reader, "badge", value, 10, plain, 1, UINT64_MAX);
	new->next = reader->route->badges;
	reader->route->badges = new;
}

/* ---- sections -------------------------------------------------------------- */

static void route_section(struct reader *reader, enum route_kind kind, const char *mailbox)
{
	struct route_config *route = make(sizeof(*route));

	route->kind = kind;
	route->mailbox = copy(mailbox);
	route->window = kind == ROUTE_EXPORT || kind == ROUTE_IMPORT ? 256 : 1024;
	route->mode = 0600;
	route->message_max = 64 << 10;
	route->timeout = 5 * SECOND;
	route->duplicate_window = 3600 * SECOND;
	*reader->last_route = route;
	reader->last_route = &route->next;
	reader->route = route;
	reader->config->routes_count++;
}

static void stream_section(struct reader *reader, const char *name)
{
	struct stream_config *stream = make(sizeof(*stream));

	token(reader, &stream->name, "stream", name);
	stream->replicas = 1;
	stream->duplicate_window = 3600 * SECOND;
	*reader->last_stream = stream;
	reader->last_stream = &stream->next;
	reader->stream = stream;
}

static void section_begin(struct reader *reader, const char *section)
{
	const char *name = strchr(section, ' ');
	size_t kind_length = name ? (size_t)(name - section) : strlen(section);

	snprintf(reader->section, sizeof(reader->section), "%s", section);
	reader->sections++;
	reader->route = NULL;
	reader->stream = NULL;
	if (strlen(section) >= SECTION_LENGTH)
		wrong(reader, "this is too long: give the section a short name, and say mailbox =");
	if (!name || !name[1])
		wrong(reader, "wanted is a kind and a name, such as [export orders]");
	if (!strncmp(section, "stream ", 7)) {
		stream_section(reader, name + 1);
		return;
	}
	for (unsigned int kind = 0; kind < KINDS; kind++)
		if (strlen(kinds[kind]) == kind_length &&
		    !strncmp(kinds[kind], section, kind_length)) {
			route_section(reader, kind, name + 1);
			return;
		}
	wrong(reader, "unknown: there are export, import, call-out, call-in and stream");
}

/* The section's name stands for it until this is given. */
static void name_mailbox(const struct reader *reader, const char *value)
{
	free(reader->route->mailbox);
	reader->route->mailbox = copy(value);
}

static bool route_value(struct reader *reader, const char *name, const char *value)
{
	struct route_config *route = reader->route;
	bool streams = route->kind == ROUTE_EXPORT || route->kind == ROUTE_IMPORT;
	bool comes_in = route->kind == ROUTE_IMPORT || route->kind == ROUTE_CALL_IN;

	if (!strcmp(name, "mailbox"))
		name_mailbox(reader, value);
	else if (!strcmp(name, "subject"))
		subject(reader, &route->subject, name, value);
	else if (!strcmp(name, "mode"))
		route->mode = number(reader, name, value, 8, plain, 0, 0777);
	else if (!strcmp(name, "group"))
		set(reader, &route->group, name, value);
	else if (!strcmp(name, "message-max"))
		route->message_max = number(reader, name, value, 10, sizes, 1, KPOST_PAYLOAD_MAX);
	else if (!strcmp(name, "bytes"))
		route->bytes = number(reader, name, value, 10, sizes, 1, INT64_MAX);
	else if (!strcmp(name, "stream") && streams)
		token(reader, &route->stream, name, value);
	else if (!strcmp(name, "window") && route->kind == ROUTE_EXPORT)
		route->window = number(reader, name, value, 10, plain, 1, 4096);
	else if (!strcmp(name, "duplicate-window") && route->kind == ROUTE_EXPORT)
		route->duplicate_window = number(reader, name, value, 10, times, SECOND, INT64_MAX);
	else if (!strcmp(name, "batch") && route->kind == ROUTE_IMPORT)
		route->window = number(reader, name, value, 10, plain, 1, 4096);
	else if (!strcmp(name, "consumer") && route->kind == ROUTE_IMPORT)
		token(reader, &route->consumer, name, value);
	else if (!strncmp(name, "badge.", 6) && comes_in)
		badge(reader, name + 6, value);
	else if (!strcmp(name, "envelope") && comes_in)
		route->envelope = yes(reader, name, value);
	else if (!strcmp(name, "in-flight") && !streams)
		route->window = number(reader, name, value, 10, plain, 1, 65536);
	else if (!strcmp(name, "timeout") && !streams)
		route->timeout = number(reader, name, value, 10, times, 1, 3600 * SECOND);
	else
		return false;
	return true;
}

static bool stream_value(struct reader *reader, const char *name, const char *value)
{
	struct stream_config *stream = reader->stream;

	if (!strcmp(name, "subjects"))
		add(&stream->subjects, value);
	else if (!strcmp(name, "retention")) {
		if (strcmp(value, "work-queue") && strcmp(value, "limits"))
			wrong(reader, "retention = %s: there are work-queue and limits", value);
		set(reader, &stream->retention, name, value);
	} else if (!strcmp(name, "replicas"))
		stream->replicas = number(reader, name, value, 10, plain, 1, 5);
	else if (!strcmp(name, "max-bytes"))
		stream->max_bytes = number(reader, name, value, 10, sizes, 1, INT64_MAX);
	else if (!strcmp(name, "max-messages"))
		stream->max_messages = number(reader, name, value, 10, plain, 1, INT64_MAX);
	else if (!strcmp(name, "duplicate-window"))
		stream->duplicate_window =
			number(reader, name, value, 10, times, SECOND, INT64_MAX);
	else
		return false;
	return true;
}

static bool top_value(struct reader *reader, const char *name, const char *value)
{
	struct config *config = reader->config;
	const struct {
		const char *name;
		char **field;
	} fields[] = {
		{ "user", &config->user },   { "password", &config->password },
		{ "creds", &config->creds }, { "nkey", &config->nkey },
		{ "ca", &config->ca },	     { "nkey-public", &config->nkey_public },
		{ "cert", &config->cert },   { "key", &config->key },
	};

	if (!strcmp(name, "machine")) {
		token(reader, &config->machine, name, value);
		return true;
	}
	if (!strcmp(name, "servers")) {
		add(&config->servers, value);
		return true;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!strcmp(name, fields[i].name)) {
			set(reader, fields[i].field, name, value);
			return true;
		}
	return false;
}

static int value_read(void *data, const char *section, const char *name, const char *value)
{
	struct reader *reader = data;
	bool known;

	if (strcmp(section, reader->section))
		section_begin(reader, section);
	if (!value[0])
		wrong(reader, "%s has no value", name);
	if (reader->route)
		known = route_value(reader, name, value);
	else if (reader->stream)
		known = stream_value(reader, name, value);
	else
		known = top_value(reader, name, value);
	if (!known)
		wrong(reader, "%s: there is no such setting here", name);
	return 1;
}

/* ---- the whole ------------------------------------------------------------- */

/* The second token of a subject is the machine that sends: the server's rights are by it. */
static bool is_from(const char *subject, const char *machine)
{
	const char *second = strchr(subject, '.');
	size_t length = strlen(machine);

	return second && !strncmp(second + 1, machine, length) && second[1 + length] == '.';
}

static void route_finish(struct reader *reader, struct route_config *route)
{
	const char *machine = reader->config->machine;
	bool comes_in = route->kind == ROUTE_IMPORT || route->kind == ROUTE_CALL_IN;

	snprintf(reader->section, sizeof(reader->section), "%s %s", kinds[route->kind],
		 route->mailbox);
	/* By its limit a mailbox that is there tells whether what is in it has envelopes. */
	route->mailbox_max = route->message_max + (route->envelope ? KPOST_ENVELOPE_MAX : 0);
	if (route->mailbox_max > KPOST_PAYLOAD_MAX)
		wrong(reader, "message-max = is too large: with an envelope it is at most %u",
		      KPOST_PAYLOAD_MAX - KPOST_ENVELOPE_MAX);
	/* Room for twice what is under way, so that nobody waits for what is on its way back. */
	if (!route->bytes)
		route->bytes = 2 * route->window * 2048ull;
	if (route->bytes < 4 * route->mailbox_max)
		route->bytes = 4 * route->mailbox_max;
	if (strlen(route->mailbox) > MAILBOX_MAX)
		wrong(reader, "a mailbox with a route has a name of at most %d bytes", MAILBOX_MAX);
	if (!route->subject)
		route->subject = route->kind == ROUTE_EXPORT ?
					 text("kpost.%s.q.%s", machine, route->mailbox) :
				 route->kind == ROUTE_IMPORT ?
					 text("kpost.*.q.%s", route->mailbox) :
				 route->kind == ROUTE_CALL_OUT ?
					 text("kpost.%s.call.%s", machine, route->mailbox) :
					 text("kpost.*.call.%s", route->mailbox);
	if (!comes_in && !is_from(route->subject, machine))
		wrong(reader, "subject = %s: the second part has to be the machine, %s",
		      route->subject, machine);
	if (!comes_in && strchr(route->subject, '*'))
		wrong(reader, "subject = %s: only an import or a call-in can have a *",
		      route->subject);
	if (route->kind == ROUTE_EXPORT || route->kind == ROUTE_IMPORT) {
		if (!route->stream)
			wrong(reader, "stream = is missing: which stream of JetStream is it?");
		if (!route->consumer && is_token(route->mailbox))
			route->consumer = text("%s-%s", machine, route->mailbox);
		if (route->kind == ROUTE_IMPORT && !route->consumer)
			wrong(reader, "consumer = is missing: a name without . * > / \\");
	}
	if (comes_in && !route->badges)
		wrong(reader, "badge.* = is missing: what tells a receiver that it is from afar");
}

/* What comes in by one route must not go out by another: it would go round. */
static void check_pairs(struct reader *reader)
{
	for (struct route_config *a = reader->config->routes; a; a = a->next)
		for (struct route_config *b = a->next; b; b = b->next)
			if (!strcmp(a->mailbox, b->mailbox)) {
				snprintf(reader->section, sizeof(reader->section), "%s %s",
					 kinds[b->kind], b->mailbox);
				wrong(reader,
				      "this mailbox has a route, %s: messages would go round, or be shared",
				      kinds[a->kind]);
			}
}

/* The library tells of no section without a setting: that would be a route that nobody misses. */
static void check_sections(struct reader *reader)
{
	FILE *file = fopen(reader->config->file, "re");
	unsigned int count = 0;
	char line[256];
	const char *begin;

	while (file && fgets(line, sizeof(line), file)) {
		begin = line + strspn(line, " \t");
		count += *begin == '[';
	}
	if (file)
		fclose(file);
	if (count != reader->sections)
		wrong(reader,
		      "a [section] has no setting, or is there twice: say at least mailbox =");
}

void config_read(struct config *config, const char *file)
{
	struct reader reader = {
		.config = config,
		.last_route = &config->routes,
		.last_stream = &config->streams,
	};
	int ret;

	config->file = file;
	errno = 0;
	ret = ini_parse(file, value_read, &reader);
	if (ret < 0)
		fail(EX_NOINPUT, "%s: %s", file, errno ? strerror(errno) : "cannot be read");
	if (ret > 0)
		fail(EX_CONFIG, "%s: line %d is no [section], no name = value, or too long", file,
		     ret);
	reader.section[0] = '\0';
	check_sections(&reader);
	if (!config->machine)
		wrong(&reader, "machine = is missing: the name of this machine, once among all");
	if (!config->servers)
		wrong(&reader, "servers = is missing: where NATS is, such as tls://n1:4222");
	if (!config->routes && !config->streams)
		wrong(&reader, "there is no route in it");
	if (!config->nkey != !config->nkey_public)
		wrong(&reader, "nkey = and nkey-public = go together");
	if (!config->cert != !config->key)
		wrong(&reader, "cert = and key = go together");
	if (strstr(config->servers, "tls://") && !config->ca)
		wrong(&reader, "ca = is missing: by what is the server known?");
	for (struct route_config *route = config->routes; route; route = route->next)
		route_finish(&reader, route);
	check_pairs(&reader);
}
