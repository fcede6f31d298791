/* The length prefix; see frame.h. */
#include "grpc/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The prefix is whole: what does it announce? */
static enum kf_grpc_inbox_answer announced(struct kf_grpc_inbox *in, size_t limit)
{
	const uint8_t *p = in->prefix;

	if (p[0] == 1)
		return KF_GRPC_INBOX_COMPRESSED;
	if (p[0] != 0)
		return KF_GRPC_INBOX_FLAG;
	in->want = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	return in->want > limit ? KF_GRPC_INBOX_LARGE : KF_GRPC_INBOX_MORE;
}

enum kf_grpc_inbox_answer kf_grpc_inbox_feed(struct kf_grpc_inbox *in, const uint8_t *data,
					     size_t n, size_t limit, size_t *ret_used)
{
	size_t k = smaller(n, KF_GRPC_PREFIX - in->n_prefix);
	enum kf_grpc_inbox_answer answer;

	*ret_used = k;
	if (k > 0) {
		memcpy(in->prefix + in->n_prefix, data, k);
		in->n_prefix += (unsigned)k;
		if (in->n_prefix < KF_GRPC_PREFIX)
			return KF_GRPC_INBOX_MORE;
		answer = announced(in, limit);
		if (answer != KF_GRPC_INBOX_MORE)
			return answer;
	}
	if (in->n_prefix < KF_GRPC_PREFIX)
		return KF_GRPC_INBOX_MORE;
	n = smaller(n - k, in->want - in->n);
	if (n > 0) {
		if (kf_grow(&in->message, &in->capacity, in->n + n, 1) < 0)
			return KF_GRPC_INBOX_NOMEM;
		memcpy(in->message + in->n, data + k, n);
		in->n += n;
		*ret_used += n;
	}
	return in->n == in->want ? KF_GRPC_INBOX_MESSAGE : KF_GRPC_INBOX_MORE;
}

int kf_grpc_inbox_idle(const struct kf_grpc_inbox *in)
{
	return in->n_prefix == 0;
}

void kf_grpc_inbox_next(struct kf_grpc_inbox *in)
{
	kf_grpc_inbox_done(in);
}

void kf_grpc_inbox_done(struct kf_grpc_inbox *in)
{
	free(in->message);
	*in = (struct kf_grpc_inbox){0};
}

void kf_grpc_prefix(uint8_t out[KF_GRPC_PREFIX], uint32_t n)
{
	out[0] = 0;
	out[1] = (uint8_t)(n >> 24);
	out[2] = (uint8_t)(n >> 16);
	out[3] = (uint8_t)(n >> 8);
	out[4] = (uint8_t)n;
}
