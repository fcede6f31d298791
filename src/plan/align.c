/* Which GPUs go together; see align.h. */
#include "plan/align.h"

#include <string.h>

struct aligning {
	unsigned n, size;
	unsigned link[32][32];
	/* the best cut of each set of candidates, plus one; 0: not yet known */
	unsigned best[1u << KF_ALIGN_MAX];
};

static unsigned count(unsigned set)
{
	return (unsigned)__builtin_popcount(set);
}

static unsigned lowest(unsigned set)
{
	return (unsigned)__builtin_ctz(set);
}

/* The sum of the links within a set. */
static unsigned worth(const struct aligning *a, unsigned set)
{
	unsigned sum = 0, rest, i;

	for (; set; set &= set - 1) {
		i = lowest(set);
		for (rest = set & (set - 1); rest; rest &= rest - 1)
			sum += a->link[i][lowest(rest)];
	}
	return sum;
}

static unsigned best_cut(struct aligning *a, unsigned set);

/* The best cut of `set` in which its lowest member is in a set of `size`. */
static unsigned best_with(struct aligning *a, unsigned set, unsigned size)
{
	unsigned first = set & -set, others = set & ~first, sub, sum, best = 0;

	for (sub = others;; sub = (sub - 1) & others) {
		if (count(sub) + 1 == size) {
			sum = worth(a, sub | first) + best_cut(a, set & ~(sub | first));
			best = sum > best ? sum : best;
		}
		if (!sub)
			return best;
	}
}

static unsigned best_cut(struct aligning *a, unsigned set)
{
	unsigned odd = count(set) % a->size, whole = 0, part = 0;

	if (!set)
		return 0;
	if (a->best[set])
		return a->best[set] - 1;
	if (count(set) >= a->size)
		whole = best_with(a, set, a->size);
	if (odd)
		part = best_with(a, set, odd);
	a->best[set] = (whole > part ? whole : part) + 1;
	return a->best[set] - 1;
}

/* Of equals the one that has the lower candidate where they first differ. */
static int is_lower(unsigned set, unsigned than)
{
	unsigned differ = set ^ than;

	return differ && set & differ & -differ;
}

static unsigned cut(struct aligning *a, unsigned must)
{
	unsigned all = (1u << a->n) - 1, set, chosen = 0, sum, w, best = 0, best_w = 0;

	for (set = 1; set <= all; set++) {
		if (count(set) != a->size || (set & must) != must)
			continue;
		w = worth(a, set);
		sum = w + best_cut(a, all & ~set);
		if (chosen && (sum < best || (sum == best && w < best_w) ||
			       (sum == best && w == best_w && !is_lower(set, chosen))))
			continue;
		chosen = set;
		best = sum;
		best_w = w;
	}
	return chosen;
}

/* --- too many for that --- */

static unsigned best_pair(const struct aligning *a)
{
	unsigned i, j, most = 0, pair = 1;

	for (i = 0; i < a->n; i++)
		for (j = i + 1; j < a->n; j++)
			if (a->link[i][j] > most) {
				most = a->link[i][j];
				pair = 1u << i | 1u << j;
			}
	return pair;
}

static unsigned grow(const struct aligning *a, unsigned must)
{
	unsigned set = must, i, w, most, next;

	if (!set)
		set = a->size > 1 ? best_pair(a) : 1;
	while (count(set) < a->size) {
		most = 0;
		next = lowest(~set);
		for (i = 0; i < a->n; i++) {
			w = set & 1u << i ? 0 : worth(a, set | 1u << i) - worth(a, set);
			if (w > most) {
				most = w;
				next = i;
			}
		}
		set |= 1u << next;
	}
	return set;
}

unsigned kf_align(unsigned n, unsigned size, unsigned must, kf_align_link link, const void *ud)
{
	struct aligning a = {.n = n, .size = size};
	unsigned i, j;

	if (n > 32 || size == 0 || size > n || count(must) > size)
		return 0;
	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++)
			a.link[i][j] = i == j ? 0 : link(ud, i, j);
	return n <= KF_ALIGN_MAX ? cut(&a, must) : grow(&a, must);
}
