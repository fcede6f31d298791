/*
 * Files of the state directory as a crash, a bad disk or a person may leave them: ledger, saved
 * geometry, journal of a change.  Each input goes to all three.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "state/intent.h"
#include "state/ledger.h"
#include "state/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was called good must be good by itself, and hold the same. */
static void replay(const char *data, size_t n)
{
	struct kf_ledger *l = kf_ledger_blank(), *again = kf_ledger_blank();
	struct kf_error err = {0};
	long good = kf_ledger_replay(l, data, n, &err);

	if (good < 0 || (size_t)good > n)
		abort();
	if (good > 0) {
		struct kf_error none = {0};

		if (kf_ledger_replay(again, data, (size_t)good, &none) != good || none.code ||
		    kf_ledger_n(again) != kf_ledger_n(l))
			abort();
	}
	kf_ledger_close(l);
	kf_ledger_close(again);
}

/* The same with the right checksum in each line: else little gets past it. */
static void replay_sealed(const uint8_t *data, size_t n)
{
	static const char head[] = "kerf-ledger 1\n";
	char *text = malloc(n + sizeof(head)), *line = text + sizeof(head) - 1, *newline;
	char sum[10];

	memcpy(text, head, sizeof(head));
	memcpy(line, data, n);
	line[n] = '\0';
	for (; (newline = memchr(line, '\n', n)); line = newline + 1) {
		size_t length = (size_t)(newline - line);

		n -= length + 1;
		if (length < 10)
			continue;
		snprintf(sum, sizeof(sum), "%08x ", kf_crc32(line + 9, length - 9));
		memcpy(line, sum, 9);
	}
	replay(text, (size_t)(line - text) + n);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_intent *intent = NULL;
	struct kf_saved *saved = NULL;

	replay((const char *)data, n);
	replay_sealed(data, n);
	if (kf_saved_parse((const char *)data, n, &saved, NULL) == 0)
		kf_saved_free(saved);
	if (kf_intent_parse((const char *)data, n, &intent, NULL) == 0)
		kf_intent_free(intent);
	return 0;
}
