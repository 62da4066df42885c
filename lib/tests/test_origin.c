// SPDX-License-Identifier: MIT
#include "standin.h"

#include "../envelope.h"

#define BADGE 101
#define PAYLOAD "payload"

/* A message with its envelope, and how long both are. */
static struct kpost_envelope envelope;
static unsigned char bytes[sizeof(envelope) + 64];
static size_t head, total;

static void write_message(void)
{
	memcpy(bytes, &envelope, head);
	memcpy(bytes + head, PAYLOAD, sizeof(PAYLOAD));
	total = head + sizeof(PAYLOAD);
}

static int setup(void **state)
{
	envelope = (struct kpost_envelope){
		.magic = KPOST_ENVELOPE_MAGIC,
		.version = KPOST_ENVELOPE_VERSION,
		.size = KPOST_ENVELOPE_HEAD + 8,
		.given = BADGE,
		.identity = 1ull << 40,
		.sequence = 2,
		.stored = 1ull << 60,
		.badge = UINT64_MAX,
		.pid = 3,
		.uid = 4,
		.gid = 5,
		.opener_uid = 6,
		.opener_gid = UINT32_MAX,
		.machine = "m1",
	};
	head = envelope.size;
	write_message();
	return standin_setup(state);
}

/* @len bytes at the end of memory of their own, so that reading on is seen by detectors. */
static ssize_t read_copy(const unsigned char *from, size_t len, struct kpost_origin *origin)
{
	unsigned char *copy = malloc(len ? len : 1);
	ssize_t ret;

	assert_non_null(copy);
	memcpy(copy, from, len);
	ret = kpost_bridge_origin(BADGE, copy, len, origin);
	free(copy);
	return ret;
}

static void expect_refused(uint64_t badge)
{
	struct kpost_origin origin, before;

	memset(&origin, 0x5a, sizeof(origin));
	before = origin;
	assert_int_equal(kpost_bridge_origin(badge, bytes, total, &origin), -EBADMSG);
	assert_memory_equal(&origin, &before, sizeof(origin));
}

static void envelope_is_told(void **state)
{
	const struct kpost_origin expected = {
		.identity = 1ull << 40,
		.sequence = 2,
		.stored = 1ull << 60,
		.badge = UINT64_MAX,
		.pid = 3,
		.uid = 4,
		.gid = 5,
		.opener_uid = 6,
		.opener_gid = UINT32_MAX,
		.machine = "m1",
	};
	struct kpost_origin origin;

	(void)state;
	memset(&origin, 0x5a, sizeof(origin));
	assert_int_equal(kpost_bridge_origin(BADGE, bytes, total, &origin), head);
	assert_memory_equal(&origin, &expected, sizeof(origin));
	/* a message of no bytes has one too, and nobody has to want what it says */
	assert_int_equal(kpost_bridge_origin(BADGE, bytes, head, NULL), head);
	assert_int_equal(standin.ioctls, 0);
}

static void badge_comes_first(void **state)
{
	(void)state;
	expect_refused(0);
	expect_refused(BADGE + 1);
	/* though it says so itself */
	envelope.given = 0;
	write_message();
	expect_refused(0);
	assert_int_equal(kpost_bridge_origin(BADGE, NULL, 0, NULL), -EBADMSG);
}

static void every_truncation_is_refused(void **state)
{
	struct kpost_origin origin;
	size_t len;

	(void)state;
	for (len = 0; len < head; len++)
		assert_int_equal(read_copy(bytes, len, &origin), -EBADMSG);
	for (; len <= total; len++)
		assert_int_equal(read_copy(bytes, len, &origin), head);
}

static void buffer_need_not_be_aligned(void **state)
{
	unsigned char moved[sizeof(bytes) + 8];
	struct kpost_origin origin;
	size_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		memcpy(moved + i, bytes, total);
		assert_int_equal(kpost_bridge_origin(BADGE, moved + i, total, &origin), head);
		assert_string_equal(origin.machine, "m1");
	}
}

static void others_envelopes_are_refused(void **state)
{
	(void)state;
	envelope.version++;
	write_message();
	expect_refused(BADGE);
	setup(state);
	envelope.version = 0;
	write_message();
	expect_refused(BADGE);
	setup(state);
	envelope.magic = __builtin_bswap64(envelope.magic);
	write_message();
	expect_refused(BADGE);
}

static void size_is_not_believed(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 79, 80, 82, UINT32_MAX, UINT32_MAX - 7, 1u << 31 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		envelope.size = sizes[i];
		write_message();
		expect_refused(BADGE);
	}
	/* it ends behind the message, and where no envelope does */
	envelope.size = (uint32_t)total + 1;
	write_message();
	expect_refused(BADGE);
	envelope.size = sizeof(envelope) + 8;
	write_message();
	total = sizeof(bytes);
	expect_refused(BADGE);
}

static void name_has_to_end(void **state)
{
	struct kpost_origin origin;

	(void)state;
	memset(envelope.machine, 'm', sizeof(envelope.machine));
	write_message();
	expect_refused(BADGE);
	/* also the longest there is room for, less one for its end */
	envelope.size = sizeof(envelope);
	head = sizeof(envelope);
	write_message();
	expect_refused(BADGE);
	envelope.machine[sizeof(envelope.machine) - 1] = '\0';
	write_message();
	assert_int_equal(kpost_bridge_origin(BADGE, bytes, total, &origin), head);
	assert_int_equal(strlen(origin.machine), sizeof(origin.machine) - 1);
	envelope.machine[0] = '\0';
	write_message();
	expect_refused(BADGE);
}

/* Whatever comes, it is refused, or told within its bounds. */
static void any_bytes_are_safe(void **state)
{
	unsigned char changed[sizeof(bytes)];
	struct kpost_origin origin;
	unsigned int i, j;
	ssize_t ret;
	size_t len;

	(void)state;
	srand(1);
	for (i = 0; i < 100000; i++) {
		memcpy(changed, bytes, sizeof(changed));
		/* a few of a good one, behind what is looked at first; or all of them */
		for (j = 0; j < (unsigned int)rand() % 8; j++)
			changed[12 + (unsigned int)rand() % (sizeof(changed) - 12)] =
				(unsigned char)rand();
		for (j = 0; i % 4 == 0 && j < sizeof(changed); j++)
			changed[j] = (unsigned char)rand();
		len = (size_t)rand() % (sizeof(changed) + 1);
		ret = read_copy(changed, len, &origin);
		if (ret == -EBADMSG)
			continue;
		assert_in_range(ret, KPOST_ENVELOPE_HEAD + 2, len);
		assert_in_range(strnlen(origin.machine, sizeof(origin.machine)), 1,
				sizeof(origin.machine) - 1);
	}
}

static void origin_is_written_as_far_as_it_goes(void **state)
{
	struct {
		struct kpost_origin known;
		unsigned char more[8];
	} grown;
	const unsigned char zero[8] = { 0 };
	ssize_t ret;

	(void)state;
	memset(&grown, 0x5a, sizeof(grown));
	assert_int_equal(kpost_bridge_origin_sized(BADGE, bytes, total, &grown.known, 16), head);
	assert_int_equal(grown.known.sequence, 2);
	assert_int_equal(grown.known.stored, 0x5a5a5a5a5a5a5a5a);
	ret = kpost_bridge_origin_sized(BADGE, bytes, total, &grown.known, sizeof(grown));
	assert_int_equal(ret, head);
	assert_memory_equal(grown.more, zero, sizeof(zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(envelope_is_told, setup),
		cmocka_unit_test_setup(badge_comes_first, setup),
		cmocka_unit_test_setup(every_truncation_is_refused, setup),
		cmocka_unit_test_setup(buffer_need_not_be_aligned, setup),
		cmocka_unit_test_setup(others_envelopes_are_refused, setup),
		cmocka_unit_test_setup(size_is_not_believed, setup),
		cmocka_unit_test_setup(name_has_to_end, setup),
		cmocka_unit_test_setup(any_bytes_are_safe, setup),
		cmocka_unit_test_setup(origin_is_written_as_far_as_it_goes, setup),
	};

	return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
