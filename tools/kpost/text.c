// SPDX-License-Identifier: GPL-2.0-only
/* What people type and read. */
#include <math.h>
#include <pwd.h>

#include "tool.h"

unsigned int utf8_length(const unsigned char *bytes, size_t len, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int need, i;

	if (bytes[0] < 0x80) {
		*code = bytes[0];
		return 1;
	}
	if (bytes[0] >= 0xf0 && bytes[0] < 0xf5)
		need = 4;
	else if (bytes[0] >= 0xe0 && bytes[0] < 0xf0)
		need = 3;
	else if (bytes[0] >= 0xc2 && bytes[0] < 0xe0)
		need = 2;
	else
		return 0;
	if (len < need)
		return 0;
	*code = bytes[0] & (0x7f >> need);
	for (i = 1; i < need; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (bytes[i] & 0x3f);
	}
	if (*code < least[need] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return need;
}

/* Control characters of both sets, and those that turn the direction of text. */
static bool steers(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

const char *shown(const char *name)
{
	static char texts[4][4 * 4096 + 1];
	static unsigned int turn;
	char *text = texts[turn++ % 4], *to = text;
	const unsigned char *from = (const unsigned char *)name;
	size_t len = strnlen(name, 4096);
	unsigned int step;
	uint32_t code;

	while (len) {
		step = utf8_length(from, len, &code);
		if (!step || steers(code) || code == '\\') {
			/* byte by byte, also for a character of several */
			if (!step)
				step = 1;
			len -= step;
			while (step--)
				to += sprintf(to, "\\x%02x", *from++);
			continue;
		}
		memcpy(to, from, step);
		to += step;
		from += step;
		len -= step;
	}
	*to = 0;
	return text;
}

const char *human_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	static char texts[8][32];
	static unsigned int turn;
	char *text = texts[turn++ % 8];
	double value = (double)bytes;
	unsigned int unit = 0;

	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(text, sizeof(texts[0]), value < 10 && floor(value) < value ? "%.1f %s" : "%.0f %s",
		 value, units[unit]);
	return text;
}

/* " (1 GiB)" for what is easier to read so. */
static const char *in_units(uint64_t max)
{
	static char text[40];

	*text = 0;
	if (max >= 1 << 20 && !(max & (max - 1)))
		snprintf(text, sizeof(text), " (%s)", human_size(max));
	return text;
}

uint64_t parse_size(struct argp_state *state, const char *option, const char *arg, uint64_t max)
{
	unsigned long long value;
	unsigned int shift = 0;
	char *end;

	errno = 0;
	value = strtoull(arg, &end, 10);
	if (*end == 'k' || *end == 'K')
		shift = 10;
	else if (*end == 'M')
		shift = 20;
	else if (*end == 'G')
		shift = 30;
	if (shift)
		end++;
	if (errno || end == arg || *end || arg[0] == '-')
		argp_error(state, "--%s wants a number, K, M or G for 1024s after it, not '%s'",
			   option, shown(arg));
	if (value > max >> shift)
		argp_error(state, "--%s can be at most %llu%s", option, (unsigned long long)max,
			   in_units(max));
	return (uint64_t)value << shift;
}

uint64_t parse_positive(struct argp_state *state, const char *option, const char *arg, uint64_t max)
{
	uint64_t value = parse_size(state, option, arg, max);

	if (!value)
		argp_error(state, "--%s is at least 1", option);
	return value;
}

uint64_t parse_number(struct argp_state *state, const char *option, const char *arg)
{
	bool hex = arg[0] == '0' && (arg[1] == 'x' || arg[1] == 'X');
	const char *digits = hex ? arg + 2 : arg;
	size_t len = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long long value;

	/* strtoull() would take blanks and signs. */
	errno = 0;
	value = strtoull(digits, NULL, hex ? 16 : 10);
	if (!len || digits[len] || errno)
		argp_error(state,
			   "--%s wants a number of at most 64 bits, such as 7 or 0x1f, not '%s'",
			   option, shown(arg));
	return value;
}

void take_name_or_command(struct argp_state *state, char *arg, const char **name, char ***command)
{
	if (!*name) {
		*name = arg;
		return;
	}
	*command = state->argv + state->next - 1;
	state->next = state->argc;
}

void want_name_and_command(struct argp_state *state, const char *name, char *const *command)
{
	if (!name)
		argp_error(state, "which mailbox?");
	if (!command)
		argp_error(state, "which command?");
}

static const char *const overflows[] = { "new", "old", "any", "replace", NULL };

unsigned int parse_overflow(struct argp_state *state, char *arg)
{
	char *const words[] = { (char *)"new",	   (char *)"old",  (char *)"any",
				(char *)"replace", (char *)"none", NULL };
	unsigned int overflow = 0;
	char *value;
	int word;

	while (*arg) {
		word = getsubopt(&arg, words, &value);
		if (word < 0 || value)
			argp_error(state, "--overflow takes 'old', 'new', 'replace' and 'any', or "
					  "'none'");
		if (overflows[word])
			overflow |= 1u << word;
	}
	return overflow;
}

const char *overflow_text(unsigned int overflow)
{
	static char text[32];

	*text = 0;
	for (unsigned int i = 0; overflows[i]; i++) {
		if (!(overflow & 1u << i))
			continue;
		if (*text)
			strcat(text, ",");
		strcat(text, overflows[i]);
	}
	return *text ? text : "none";
}

unsigned int parse_mode(struct argp_state *state, const char *arg)
{
	unsigned long value;
	char *end;

	value = strtoul(arg, &end, 8);
	if (end == arg || *end || value > 0777 || arg[0] == '-')
		argp_error(state, "--mode wants octal permission bits such as 660, not '%s'",
			   shown(arg));
	return (unsigned int)value;
}

bool parse_id(const char *text, uint32_t *id)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	*id = (uint32_t)value;
	return !*end && !errno && value < UINT32_MAX;
}

uint32_t parse_user(struct argp_state *state, const char *arg)
{
	const struct passwd *user = getpwnam(arg);
	uint32_t uid = 0;

	if (user)
		return user->pw_uid;
	if (!parse_id(arg, &uid))
		argp_error(state, "there is no user '%s'", shown(arg));
	return uid;
}

unsigned int parse_clock(struct argp_state *state, const char *arg)
{
	if (!strcmp(arg, "boottime"))
		return KPOST_BOOTTIME;
	if (!strcmp(arg, "realtime"))
		return KPOST_REALTIME;
	if (strcmp(arg, "monotonic"))
		argp_error(state, "--clock takes 'monotonic', 'boottime' or 'realtime', not '%s'",
			   shown(arg));
	return 0;
}

int64_t parse_seconds(struct argp_state *state, const char *option, const char *arg)
{
	double value;
	char *end;

	value = strtod(arg, &end);
	if (end == arg || *end || !(value >= 0))
		argp_error(state, "--%s wants seconds, such as 5 or 0.2, not '%s'", option,
			   shown(arg));
	return value > 1e12 ? INT64_MAX : (int64_t)ceil(value * 1000);
}
