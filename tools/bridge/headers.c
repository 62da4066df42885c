// SPDX-License-Identifier: GPL-2.0-only
/* What a message says beside its payload, see kpost-bridge(8). */
#include <inttypes.h>
#include <stdio.h>

#include "bridge.h"

const char *numbered(char text[NUMBERED_MAX], const char *before, uint64_t number)
{
	size_t length = strlen(before);
	char digits[20], *first = digits + sizeof(digits);

	do
		*--first = '0' + number % 10;
	while (number /= 10);
	memcpy(text, before, length);
	memcpy(text + length, first, digits + sizeof(digits) - first);
	text[length + (digits + sizeof(digits) - first)] = '\0';
	return text;
}

natsStatus header_set_number(natsMsg *message, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return natsMsgHeader_Set(message, name, text);
}

uint64_t header_number(natsMsg *message, const char *name, uint64_t otherwise)
{
	const char *value;

	return natsMsgHeader_Get(message, name, &value) == NATS_OK ? strtoull(value, NULL, 10) :
								     otherwise;
}

/* Most messages are from whom the last one was. */
static natsStatus set_sender(natsMsg *message, const struct sender *sender)
{
	static struct sender last;
	static char text[100];

	if (!text[0] || sender->pid != last.pid || sender->uid != last.uid ||
	    sender->gid != last.gid || sender->opener_uid != last.opener_uid ||
	    sender->opener_gid != last.opener_gid || sender->badge != last.badge)
		snprintf(text, sizeof(text), "%u %u %u %u %u %" PRIu64, sender->pid, sender->uid,
			 sender->gid, sender->opener_uid, sender->opener_gid, sender->badge);
	last = *sender;
	return natsMsgHeader_Set(message, "Kpost-Sender", text);
}

natsStatus headers_set(natsMsg *message, unsigned int priority, uint64_t tag,
		       const struct sender *sender)
{
	natsStatus status = set_sender(message, sender);

	if (status == NATS_OK && priority)
		status = header_set_number(message, "Kpost-Priority", priority);
	if (status == NATS_OK && tag)
		status = header_set_number(message, "Kpost-Tag", tag);
	return status;
}

bool header_sender(natsMsg *message, struct sender *sender)
{
	const char *text;
	int end = 0;

	return natsMsgHeader_Get(message, "Kpost-Sender", &text) == NATS_OK &&
	       sscanf(text,
		      "%" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu64 "%n",
		      &sender->pid, &sender->uid, &sender->gid, &sender->opener_uid,
		      &sender->opener_gid, &sender->badge, &end) == 6 &&
	       !text[end];
}
