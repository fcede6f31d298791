/* The page's files; see page.h. */
#include "metrics/page.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static const struct {
	const char *path, *type, *bytes;
	const unsigned *n;
} files[] = {
	{"/", "text/html; charset=utf-8", kf_page_html, &kf_page_html_size},
	{"/page.js", "text/javascript; charset=utf-8", kf_page_js, &kf_page_js_size},
	{"/page.css", "text/css; charset=utf-8", kf_page_css, &kf_page_css_size},
};

void kf_page_on_file(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret)
{
	unsigned i;

	(void)ud;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(files[i].path, request->path) != 0)
			continue;
		ret->body = kf_calloc(*files[i].n, 1);
		if (!ret->body)
			return;
		memcpy(ret->body, files[i].bytes, *files[i].n);
		ret->n = *files[i].n;
		ret->type = files[i].type;
		ret->policy = KF_PAGE_POLICY;
	}
}
