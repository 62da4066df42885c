// SPDX-License-Identifier: MIT
/* Messages of other machines: what kpost-bridge says of them. */
#include "envelope.h"
#include "internal.h"

/* All of the message is others' bytes until its badge has told that the bridge wrote them. */
KPOST_EXPORT ssize_t kpost_bridge_origin_sized(uint64_t badge, const void *buf, size_t len,
					       struct kpost_origin *origin, size_t size)
{
	struct kpost_envelope envelope;
	struct kpost_origin known;
	size_t room, length;

	if (!badge || len < KPOST_ENVELOPE_HEAD)
		return -EBADMSG;
	memcpy(&envelope, buf, KPOST_ENVELOPE_HEAD);
	if (envelope.magic != KPOST_ENVELOPE_MAGIC || envelope.version != KPOST_ENVELOPE_VERSION ||
	    envelope.given != badge || envelope.size < KPOST_ENVELOPE_HEAD ||
	    envelope.size > sizeof(envelope) || envelope.size > len)
		return -EBADMSG;
	room = envelope.size - KPOST_ENVELOPE_HEAD;
	memcpy(envelope.machine, (const char *)buf + KPOST_ENVELOPE_HEAD, room);
	length = strnlen(envelope.machine, room);
	if (!length || length == room)
		return -EBADMSG;
	known = (struct kpost_origin){
		.identity = envelope.identity,
		.sequence = envelope.sequence,
		.stored = envelope.stored,
		.badge = envelope.badge,
		.pid = (pid_t)envelope.pid,
		.uid = envelope.uid,
		.gid = envelope.gid,
		.opener_uid = envelope.opener_uid,
		.opener_gid = envelope.opener_gid,
	};
	memcpy(known.machine, envelope.machine, length);
	kpost_struct_put(origin, size, &known, sizeof(known));
	return (ssize_t)envelope.size;
}
