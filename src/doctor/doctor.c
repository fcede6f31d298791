/* The list of checks; see doctor.h. */
#include "doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>

static void put(char *out, size_t size, const char *fmt, va_list args)
{
	vsnprintf(out, size, fmt, args);
}

void kf_checkup_add(struct kf_checkup *c, enum kf_verdict verdict, const char *name,
		    const char *fmt, ...)
{
	struct kf_check *check;
	va_list args;

	if (c->n < KF_CHECKS_MAX)
		c->n++;
	check = &c->check[c->n - 1];
	*check = (struct kf_check){.verdict = verdict};
	snprintf(check->name, sizeof(check->name), "%s", name);
	va_start(args, fmt);
	put(check->what, sizeof(check->what), fmt, args);
	va_end(args);
}

void kf_checkup_advise(struct kf_checkup *c, const char *fmt, ...)
{
	struct kf_check *check = &c->check[c->n - 1];
	va_list args;

	va_start(args, fmt);
	put(check->todo, sizeof(check->todo), fmt, args);
	va_end(args);
}

unsigned kf_checkup_count(const struct kf_checkup *c, enum kf_verdict verdict)
{
	unsigned i, n = 0;

	for (i = 0; i < c->n; i++)
		n += c->check[i].verdict == verdict;
	return n;
}

const char *kf_verdict_text(enum kf_verdict verdict)
{
	static const char *const text[] = {"ok", "warning", "problem"};

	return text[verdict];
}
