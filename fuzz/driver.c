/*
 * Runs a fuzz target without libFuzzer, for compilers that lack it and for `meson test`:
 *
 *	fuzz_NAME CORPUS MUTATIONS
 *
 * first over each file of the folder CORPUS (one that is not there is an empty corpus), then over
 * that many mutations of them.  The generator starts at a fixed seed, so a failure comes again.  A
 * crash leaves its input in the working directory, as fuzz-PID.input.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#define INPUT_MAX 65536 /* libFuzzer's own default is 4096 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
	char *data;
	size_t n;
};

struct corpus {
	struct input *inputs;
	size_t n, capacity;
};

/* What a signal handler can reach: the input at work. */
static struct {
	const uint8_t *data;
	size_t n;
} current;

static void corpus_done(struct corpus *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		free(c->inputs[i].data);
	free(c->inputs);
}

static int corpus_add(struct corpus *c, const char *path, struct kf_error *err)
{
	struct input in;

	if (kf_grow(&c->inputs, &c->capacity, c->n + 1, sizeof(*c->inputs)) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %s", path);
	in.data = kf_read_file(path, INPUT_MAX, &in.n, err);
	if (!in.data)
		return -1;
	c->inputs[c->n++] = in;
	return 0;
}

/* All plain files of the folder, in alphabetical order: the mutations depend on it. */
static int corpus_read(struct corpus *c, const char *folder, struct kf_error *err)
{
	struct dirent **names;
	int i, n, r = 0;

	n = scandir(folder, &names, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : kf_fail_errno(err, errno, "read %s", folder);
	for (i = 0; i < n; i++) {
		kf_auto_mem char *path = kf_asprintf("%s/%s", folder, names[i]->d_name);

		if (path && names[i]->d_name[0] != '.' && r == 0)
			r = corpus_add(c, path, err);
		free(names[i]);
	}
	free(names);
	return r;
}

/* NOLINTBEGIN(bugprone-signal-handler): calls what a handler must not, by the letter; the process
 * is ending anyway. */
static void keep_input(int sig)
{
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "fuzz-%d.input", (int)getpid());
	f = fopen(name, "wb");
	if (f) {
		fwrite(current.data, 1, current.n, f);
		fclose(f);
		fprintf(stderr, "fuzz: the input is in %s\n", name);
	}
	signal(sig, SIG_DFL);
	raise(sig);
}
/* NOLINTEND(bugprone-signal-handler) */

/* Each run gets bytes that end where the allocation ends, so that a read past them is seen. */
static void run(const uint8_t *data, size_t n)
{
	kf_auto_mem uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, data, n);
	current.data = copy;
	current.n = n;
	LLVMFuzzerTestOneInput(copy, n);
}

/* xorshift64: good enough to choose, the same everywhere */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t below(uint64_t *state, size_t limit)
{
	return limit ? (size_t)(next_random(state) % limit) : 0;
}

/* One small change; answers the new length. */
static size_t mutate(uint8_t *data, size_t n, const struct corpus *c, uint64_t *seed)
{
	static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\n', '"', '{', ':', '-'};
	size_t at = below(seed, n), span = 1 + below(seed, 16);
	const struct input *other;

	switch (n ? below(seed, 6) : 2) {
	case 0:
		data[at] ^= (uint8_t)(1U << below(seed, 8));
		return n;
	case 1:
		data[at] = telling[below(seed, sizeof(telling))];
		return n;
	case 2: /* insert */
		if (n + span > INPUT_MAX)
			return n;
		memmove(data + at + span, data + at, n - at);
		memset(data + at, (int)next_random(seed), span);
		return n + span;
	case 3: /* remove */
		span = span > n - at ? n - at : span;
		memmove(data + at, data + at + span, n - at - span);
		return n - span;
	case 4: /* cut */
		return at;
	default: /* go on as another input does */
		other = c->n ? &c->inputs[below(seed, c->n)] : NULL;
		if (!other || at >= other->n)
			return n;
		memcpy(data + at, other->data + at, other->n - at);
		return other->n;
	}
}

static void run_mutations(const struct corpus *c, size_t count, uint8_t *buffer)
{
	uint64_t seed = 0x9e3779b97f4a7c15;
	size_t i, changes, n;

	for (i = 0; i < count; i++) {
		n = 0;
		if (c->n > 0) {
			const struct input *base = &c->inputs[i % c->n];

			n = base->n;
			memcpy(buffer, base->data, n);
		}
		for (changes = 1 + below(&seed, 8); changes > 0; changes--)
			n = mutate(buffer, n, c, &seed);
		run(buffer, n);
	}
}

int main(int argc, char **argv)
{
	kf_auto(corpus_done) struct corpus corpus = {0};
	kf_auto_mem uint8_t *buffer = kf_calloc(1, INPUT_MAX);
	struct kf_error err;
	uint64_t mutations;
	size_t i;

	if (argc != 3 || kf_parse_uint(argv[2], 1000000000, &mutations) < 0 || !buffer) {
		fprintf(stderr, "usage: %s CORPUS MUTATIONS\n", argv[0]);
		return 2;
	}
	signal(SIGABRT, keep_input); /* a failed assert, or a sanitizer's abort_on_error */
	if (corpus_read(&corpus, argv[1], &err) < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], err.msg);
		return 2;
	}
	for (i = 0; i < corpus.n; i++)
		run((const uint8_t *)corpus.inputs[i].data, corpus.inputs[i].n);
	run_mutations(&corpus, mutations, buffer);
	printf("%zu inputs and %llu mutations of them\n", corpus.n, (unsigned long long)mutations);
	return 0;
}
