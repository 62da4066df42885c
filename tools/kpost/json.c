// SPDX-License-Identifier: GPL-2.0-only
/* JSON, written as it comes. Strings are UTF-8; what is not goes as base64. */
#include "tool.h"

static bool comma; /* is one needed before what comes next? */

static void begin(const char *key)
{
	if (comma)
		output(",", 1);
	comma = true;
	if (key) {
		output("\"", 1);
		output(key, strlen(key));
		output("\":", 2);
	}
}

void json_open(const char *bracket)
{
	begin(NULL);
	output(bracket, 1);
	comma = false;
}

void json_close(const char *bracket)
{
	output(bracket, 1);
	comma = true;
}

void json_end_line(void)
{
	output("\n", 1);
	comma = false;
}

void json_number(const char *key, uint64_t value)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);

	begin(key);
	output(digits, (size_t)len);
}

void json_id(const char *key, uint64_t value)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);

	json_bytes(key, digits, (size_t)len);
}

void json_bool(const char *key, bool value)
{
	begin(key);
	output(value ? "true" : "false", value ? 4 : 5);
}

void json_null(const char *key)
{
	begin(key);
	output("null", 4);
}

static bool is_utf8(const unsigned char *bytes, size_t len)
{
	unsigned int step;
	uint32_t code;

	for (; len; bytes += step, len -= step) {
		step = utf8_length(bytes, len, &code);
		if (!step)
			return false;
	}
	return true;
}

static void string(const unsigned char *bytes, size_t len)
{
	char escape[8];
	size_t plain = 0, i;
	int count;

	output("\"", 1);
	for (i = 0; i < len; i++) {
		/* 0x7f need not be escaped, but then a terminal can show this too */
		if (bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\' && bytes[i] != 0x7f)
			continue;
		output(bytes + plain, i - plain);
		plain = i + 1;
		if (bytes[i] == '"' || bytes[i] == '\\')
			count = snprintf(escape, sizeof(escape), "\\%c", bytes[i]);
		else if (bytes[i] == '\n')
			count = snprintf(escape, sizeof(escape), "\\n");
		else
			count = snprintf(escape, sizeof(escape), "\\u%04x", bytes[i]);
		output(escape, (size_t)count);
	}
	output(bytes + plain, len - plain);
	output("\"", 1);
}

static void base64(const unsigned char *bytes, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char three[3];
	size_t i, count;
	char four[4];

	output("\"", 1);
	for (i = 0; i < len; i += 3) {
		count = len - i < 3 ? len - i : 3;
		memset(three, 0, sizeof(three));
		memcpy(three, bytes + i, count);
		four[0] = digits[three[0] >> 2];
		four[1] = digits[(three[0] & 3) << 4 | three[1] >> 4];
		four[2] = count > 1 ? digits[(three[1] & 15) << 2 | three[2] >> 6] : '=';
		four[3] = count > 2 ? digits[three[2] & 63] : '=';
		output(four, sizeof(four));
	}
	output("\"", 1);
}

void json_bytes(const char *key, const void *bytes, size_t len)
{
	char encoded[64];

	if (is_utf8(bytes, len)) {
		begin(key);
		string(bytes, len);
	} else {
		snprintf(encoded, sizeof(encoded), "%s_base64", key);
		begin(encoded);
		base64(bytes, len);
	}
}

void json_stat(const struct kpost_stat *st)
{
	char mode[8];

	snprintf(mode, sizeof(mode), "%04o", st->mode);
	json_open("{");
	json_bytes("name", st->name, strlen(st->name));
	json_bytes("mode", mode, strlen(mode));
	json_number("uid", st->uid);
	json_number("gid", st->gid);
	json_bool("persistent", st->flags & KPOST_STAT_PERSIST);
	json_bool("closed", st->flags & KPOST_STAT_CLOSED);
	json_bool("shut", st->flags & KPOST_STAT_SHUT);
	json_number("messages", st->messages);
	json_number("bytes", st->bytes);
	json_number("message_max", st->message_max);
	json_number("counted", st->counted);
	if (st->maker == KPOST_MAKER_OFFICE)
		json_null("maker");
	else
		json_number("maker", st->maker);
	json_number("queued_messages", st->queued_messages);
	json_number("queued_bytes", st->queued_bytes);
	json_number("senders", st->senders);
	json_number("receivers", st->receivers);
	json_number("waiting_senders", st->waiting_senders);
	json_number("waiting_receivers", st->waiting_receivers);
	json_number("open_calls", st->open_calls);
	json_number("sent", st->sent);
	json_number("received", st->received);
	json_number("dropped", st->dropped);
	json_number("unattended", st->unattended);
	json_bytes("overflow", overflow_text(st->overflow), strlen(overflow_text(st->overflow)));
	json_number("dropped_new", st->dropped_new);
	json_number("dropped_old", st->dropped_old);
	json_number("expired", st->expired);
	json_number("replaced", st->replaced);
	json_bool("keyed", st->flags & KPOST_STAT_KEYED);
	json_number("mark", st->mark);
	json_number("held", st->held);
	json_number("held_max", st->held_max);
	json_number("oldest", st->oldest);
	json_number("last_sent", st->last_sent);
	json_number("last_received", st->last_received);
	json_id("identity", st->identity);
	json_close("}");
}
