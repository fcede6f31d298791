/* Which GPUs go together, against every cut there is. */
#include <string.h>

#include "kftest.h"

#include "plan/align.h"

#define MAX 8

struct matrix {
	unsigned n, link[MAX][MAX];
};

static unsigned link_of(const void *ud, unsigned i, unsigned j)
{
	const struct matrix *m = ud;

	return m->link[i][j];
}

static unsigned inside(const struct matrix *m, unsigned set)
{
	unsigned i, j, sum = 0;

	for (i = 0; i < m->n; i++)
		for (j = i + 1; j < m->n; j++)
			if (set >> i & 1 && set >> j & 1)
				sum += m->link[i][j];
	return sum;
}

/*
 * The other way round: every candidate is put into one of the sets in turn (bins of `size`, the
 * last one of what is left over), and what is best of all is remembered.
 */
struct brute {
	const struct matrix *m;
	unsigned size, must, n_bins, bin[MAX];
	unsigned sum, worth, set; /* best so far */
	int any;
};

static unsigned room(const struct brute *b, unsigned bin)
{
	unsigned odd = b->m->n % b->size;

	return bin + 1 == b->n_bins && odd ? odd : b->size;
}

static int is_lower(unsigned a, unsigned b)
{
	unsigned i;

	for (i = 0; i < MAX; i++)
		if ((a >> i & 1) != (b >> i & 1))
			return a >> i & 1;
	return 0;
}

static void weigh(struct brute *b)
{
	unsigned i, sum = 0, w;

	for (i = 0; i < b->n_bins; i++)
		sum += inside(b->m, b->bin[i]);
	for (i = 0; i < b->n_bins; i++) {
		if (room(b, i) != b->size || (b->bin[i] & b->must) != b->must)
			continue;
		w = inside(b->m, b->bin[i]);
		if (b->any && (sum < b->sum || (sum == b->sum && w < b->worth) ||
			       (sum == b->sum && w == b->worth && !is_lower(b->bin[i], b->set))))
			continue;
		b->any = 1;
		b->sum = sum;
		b->worth = w;
		b->set = b->bin[i];
	}
}

static void place(struct brute *b, unsigned i)
{
	unsigned k;

	if (i == b->m->n) {
		weigh(b);
		return;
	}
	for (k = 0; k < b->n_bins; k++) {
		if ((unsigned)__builtin_popcount(b->bin[k]) == room(b, k))
			continue;
		b->bin[k] |= 1u << i;
		place(b, i + 1);
		b->bin[k] &= ~(1u << i);
	}
}

static unsigned brute(const struct matrix *m, unsigned size, unsigned must)
{
	struct brute b = {.m = m, .size = size, .must = must, .n_bins = (m->n + size - 1) / size};

	place(&b, 0);
	return b.set;
}

static unsigned compare(const struct matrix *m)
{
	unsigned size, must, n = 0;

	for (size = 2; size <= m->n; size++)
		for (must = 0; must < 1u << m->n; must += 1 + must % 3) {
			if ((unsigned)__builtin_popcount(must) > size)
				continue;
			assert_int_equal(kf_align(m->n, size, must, link_of, m),
					 brute(m, size, must));
			n++;
		}
	return n;
}

static void link(struct matrix *m, unsigned i, unsigned j, unsigned score)
{
	m->link[i][j] = m->link[j][i] = score;
}

/* Of a p3.16xlarge: two rings of four V100, single and double NVLinks. */
static struct matrix v100s(void)
{
	static const unsigned char pairs[][3] = {{0, 1, 1}, {0, 2, 1}, {0, 3, 2}, {0, 4, 2},
						 {1, 2, 2}, {1, 3, 1}, {1, 5, 2}, {2, 3, 2},
						 {2, 6, 1}, {3, 7, 1}, {4, 5, 1}, {4, 6, 1},
						 {4, 7, 2}, {5, 6, 2}, {5, 7, 1}, {6, 7, 2}};
	struct matrix m = {.n = 8};
	unsigned i, j;

	for (i = 0; i < 8; i++)
		for (j = i + 1; j < 8; j++)
			link(&m, i, j, i / 4 == j / 4 ? 20 : 10);
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		link(&m, pairs[i][0], pairs[i][1],
		     m.link[pairs[i][0]][pairs[i][1]] + pairs[i][2] * 100u);
	return m;
}

/* Pairs on switches, two switches a CPU. */
static struct matrix switches(void)
{
	struct matrix m = {.n = 8};
	unsigned i, j;

	for (i = 0; i < 8; i++)
		for (j = i + 1; j < 8; j++)
			link(&m, i, j, i / 2 == j / 2 ? 50 : i / 4 == j / 4 ? 20 : 10);
	return m;
}

static void equals_every_cut_on_eight_gpus(void **state)
{
	struct matrix v = v100s(), s = switches();

	(void)state;
	print_message("%u answers compared\n", compare(&v) + compare(&s));
}

static void equals_every_cut_on_links_by_chance(void **state)
{
	static const unsigned scores[] = {0, 10, 20, 30, 40, 50, 60, 110, 210};
	unsigned seed = 7, run, i, j, n = 0;

	(void)state;
	for (run = 0; run < 60; run++) {
		struct matrix m = {.n = 2 + run % 6};

		for (i = 0; i < m.n; i++)
			for (j = i + 1; j < m.n; j++) {
				seed = seed * 1103515245u + 12345u;
				link(&m, i, j, scores[(seed >> 16) % 9]);
			}
		n += compare(&m);
	}
	print_message("%u answers compared\n", n);
}

static void two_of_eight_are_a_pair_on_one_switch(void **state)
{
	struct matrix m = switches();

	(void)state;
	assert_int_equal(kf_align(8, 2, 0, link_of, &m), 0x03);
	assert_int_equal(kf_align(8, 2, 1u << 5, link_of, &m), 0x30);
	assert_int_equal(kf_align(8, 4, 1u << 5, link_of, &m), 0xf0);
}

static void what_is_asked_beyond_reason_has_no_answer(void **state)
{
	struct matrix m = switches();

	(void)state;
	assert_int_equal(kf_align(8, 0, 0, link_of, &m), 0);
	assert_int_equal(kf_align(8, 9, 0, link_of, &m), 0);
	assert_int_equal(kf_align(8, 1, 3, link_of, &m), 0);
	assert_int_equal(kf_align(33, 2, 0, link_of, &m), 0);
}

static unsigned ring(const void *ud, unsigned i, unsigned j)
{
	(void)ud;
	return i / 4 == j / 4 ? 100 : 10;
}

static void many_gpus_are_grown_around_what_must_be_in(void **state)
{
	(void)state;
	assert_int_equal(kf_align(16, 4, 1u << 9, ring, NULL), 0xf00);
	assert_int_equal(kf_align(16, 4, 0, ring, NULL), 0x00f);
	assert_int_equal(kf_align(16, 16, 0, ring, NULL), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_every_cut_on_eight_gpus),
		cmocka_unit_test(equals_every_cut_on_links_by_chance),
		cmocka_unit_test(two_of_eight_are_a_pair_on_one_switch),
		cmocka_unit_test(what_is_asked_beyond_reason_has_no_answer),
		cmocka_unit_test(many_gpus_are_grown_around_what_must_be_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
