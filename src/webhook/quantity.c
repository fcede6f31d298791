/* Kubernetes' quantities; see quantity.h. */
#include "webhook/quantity.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define MOST_DIGITS   20 /* times 1024^6 that is still below 2^127 */
#define MOST_EXPONENT 1000

/* A number is digits * 10^tens * 1024^kibis. */
struct parts {
	unsigned __int128 digits;
	int tens;
	unsigned kibis;
};

/* "1.50" into 15 and -1; answers how much of s that was, 0: no number, or too long a one. */
static size_t parse_digits(const char *s, struct parts *p)
{
	unsigned n_digits = 0, n_any = 0;
	int point = 0, zeros = 0;
	const char *at;

	for (at = s; isdigit((unsigned char)*at) || (*at == '.' && !point); at++) {
		if (*at == '.') {
			point = 1;
			continue;
		}
		n_any++;
		p->tens -= point;
		if (*at == '0') { /* counts only when another digit follows */
			zeros++;
			continue;
		}
		for (; zeros > 0; zeros--, n_digits += p->digits != 0)
			if (n_digits < MOST_DIGITS)
				p->digits *= 10;
		if (++n_digits > MOST_DIGITS)
			return 0;
		p->digits = p->digits * 10 + (unsigned)(*at - '0');
	}
	p->tens += zeros;
	return n_any ? (size_t)(at - s) : 0;
}

/* What stands behind the digits: 0, or -1. */
static int parse_suffix(const char *s, struct parts *p)
{
	static const char decimal[] = "num kMGTPE", binary[] = "KMGTPE";
	const char *at;
	uint64_t n;

	if (!*s)
		return 0;
	if (s[1] == 'i' && !s[2]) {
		at = strchr(binary, *s);
		p->kibis = at ? (unsigned)(at - binary) + 1 : 0;
		return at ? 0 : -1;
	}
	if ((*s == 'e' || *s == 'E') && s[1]) {
		int negative = s[1] == '-';

		if (kf_parse_uint(s + 1 + (negative || s[1] == '+'), MOST_EXPONENT, &n) < 0)
			return -1;
		p->tens += negative ? -(int)n : (int)n;
		return 0;
	}
	at = s[1] || *s == ' ' ? NULL : strchr(decimal, *s);
	if (!at)
		return -1;
	p->tens += ((int)(at - decimal) - 3) * 3;
	return 0;
}

static enum kf_quantity evaluate(struct parts *p, int64_t *ret)
{
	unsigned __int128 v = p->digits;

	if (v == 0) {
		*ret = 0;
		return KF_QUANTITY_WHOLE;
	}
	v <<= 10 * p->kibis;
	for (; p->tens < 0; p->tens++, v /= 10)
		if (v % 10)
			return KF_QUANTITY_FRACTION;
	for (; p->tens > 0 && v <= INT64_MAX; p->tens--)
		v *= 10;
	*ret = v > INT64_MAX ? INT64_MAX : (int64_t)v;
	return v > INT64_MAX ? KF_QUANTITY_LARGE : KF_QUANTITY_WHOLE;
}

enum kf_quantity kf_quantity_parse(const char *s, int64_t *ret)
{
	struct parts p = {0};
	int negative = *s == '-';
	enum kf_quantity answer;
	size_t n;

	s += negative || *s == '+';
	n = parse_digits(s, &p);
	if (n == 0 || parse_suffix(s + n, &p) < 0)
		return KF_QUANTITY_NONE;
	answer = evaluate(&p, ret);
	return negative && p.digits != 0 ? KF_QUANTITY_NEGATIVE : answer;
}
