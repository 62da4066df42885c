// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other machines, as local receivers tell them apart: by the badge of the endpoint that their
 * messages come through.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bridge.h"

#define NOBODY 65534 /* the id of those who have none */

/* The machine is the second token of the subject: the server's rights see to that. */
bool origin_machine(const char *subject, char *name, size_t size)
{
	const char *first = strchr(subject, '.'), *end = first ? strchr(first + 1, '.') : NULL;

	if (!end || (size_t)(end - first) > size)
		return false;
	memcpy(name, first + 1, end - first - 1);
	name[end - first - 1] = '\0';
	return true;
}

static const struct badge *badge_of(const struct route_config *config, const char *machine)
{
	const struct badge *any = NULL;

	for (const struct badge *badge = config->badges; badge; badge = badge->next) {
		if (!strcmp(badge->machine, machine))
			return badge;
		if (!strcmp(badge->machine, "*"))
			any = badge;
	}
	return any;
}

struct origin *origin_get(struct origin **origins, struct route *route, const char *subject,
			  short what, event_callback_fn ready, int *error)
{
	struct kpost_grant grant = {
		.flags = KPOST_GRANT_BADGE | KPOST_GRANT_MARK | KPOST_GRANT_NONBLOCK,
		.rights = KPOST_RIGHT_SEND,
	};
	const struct badge *badge;
	struct origin *origin;
	char machine[200];
	int fd;

	if (!origin_machine(subject, machine, sizeof(machine))) {
		*error = -EACCES;
		route_error(route, "%s: the subject of a message has no machine in it", subject);
		return NULL;
	}
	for (origin = *origins; origin; origin = origin->next)
		if (!strcmp(origin->machine, machine))
			return origin;
	badge = badge_of(route->config, machine);
	if (!badge) {
		*error = -EACCES;
		route->counts.refused++;
		route_error(route, "%s: there is no badge for machine %s", subject, machine);
		return NULL;
	}
	grant.badge = badge->badge;
	fd = kpost_grant(route->fd, &grant);
	if (fd < 0) {
		*error = fd;
		route_error(route, "an endpoint for machine %s: %s", machine, strerror(-fd));
		return NULL;
	}
	origin = make(sizeof(*origin));
	origin->machine = text("%s", machine);
	origin->badge = badge->badge;
	origin->fd = fd;
	origin->ready = event_new(route->bridge->base, fd, what, ready, route);
	origin->next = *origins;
	*origins = origin;
	return origin;
}

void origins_free(struct origin **origins)
{
	struct origin *origin;

	while ((origin = *origins)) {
		*origins = origin->next;
		event_free(origin->ready);
		kpost_close(origin->fd);
		free(origin->machine);
		seen_free(origin);
		free(origin);
	}
}

void envelope_fill(struct kpost_envelope *envelope, const struct origin *origin, natsMsg *message)
{
	size_t name = strlen(origin->machine) + 1;
	struct sender sender;

	*envelope = (struct kpost_envelope){
		.magic = KPOST_ENVELOPE_MAGIC,
		.version = KPOST_ENVELOPE_VERSION,
		.size = KPOST_ENVELOPE_HEAD + (name + 7) / 8 * 8,
		.given = origin->badge,
	};
	memcpy(envelope->machine, origin->machine, name);
	/* Where it does not say, nobody is told to be root. */
	if (!header_sender(message, &sender))
		sender = (struct sender){
			.uid = NOBODY,
			.gid = NOBODY,
			.opener_uid = NOBODY,
			.opener_gid = NOBODY,
		};
	envelope->pid = sender.pid;
	envelope->uid = sender.uid;
	envelope->gid = sender.gid;
	envelope->opener_uid = sender.opener_uid;
	envelope->opener_gid = sender.opener_gid;
	envelope->badge = sender.badge;
}
