/* Status codes and messages; see status.h. */
#include "grpc/status.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

const char *kf_grpc_status_text(int status)
{
	switch (status) {
#define X(name, code)                                                                              \
	case code:                                                                                 \
		return #name;
		KF_GRPC_STATUS_MAP(X)
#undef X
	}
	return "an unknown status";
}

int kf_grpc_status_of_reset(unsigned http2_error)
{
	switch (http2_error) {
	case NGHTTP2_REFUSED_STREAM:
		return KF_GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return KF_GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return KF_GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return KF_GRPC_PERMISSION_DENIED;
	default:
		return KF_GRPC_INTERNAL;
	}
}

int kf_grpc_status_parse(const char *s, size_t n)
{
	int v = 0;
	size_t i;

	if (n < 1 || n > 2)
		return KF_GRPC_UNKNOWN;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return KF_GRPC_UNKNOWN;
		v = v * 10 + (s[i] - '0');
	}
	return v <= KF_GRPC_UNAUTHENTICATED ? v : KF_GRPC_UNKNOWN;
}

static int plain(unsigned char c)
{
	return c >= 0x20 && c <= 0x7E && c != '%';
}

/* The bytes of the UTF-8 character at s, at least 1, never past the end of the string. */
static size_t character(const char *s)
{
	size_t n = 1;

	while (((unsigned char)s[n] & 0xC0) == 0x80 && n < 4)
		n++;
	return n;
}

void kf_grpc_message_encode(const char *text, char out[KF_GRPC_MESSAGE])
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0, i, len;

	for (; *text; text += len) {
		len = character(text);
		if (n + 3 * len >= KF_GRPC_MESSAGE)
			break;
		for (i = 0; i < len; i++) {
			unsigned char c = (unsigned char)text[i];

			if (plain(c)) {
				out[n++] = (char)c;
				continue;
			}
			out[n++] = '%';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
		}
	}
	out[n] = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

void kf_grpc_message_decode(const char *s, size_t n, char *out, size_t out_size)
{
	size_t i, o = 0;

	for (i = 0; i < n && o + 1 < out_size; i++) {
		if (s[i] == '%' && i + 2 < n && digit(s[i + 1]) >= 0 && digit(s[i + 2]) >= 0) {
			out[o++] = (char)(digit(s[i + 1]) << 4 | digit(s[i + 2]));
			i += 2;
		} else {
			out[o++] = s[i];
		}
	}
	out[o] = '\0';
}
