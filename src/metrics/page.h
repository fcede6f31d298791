/*
 * The page: three files that are part of the program (page/), and what a browser is told to do with
 * them.  They are for nobody but us: no word of another origin, nothing inline, no frame around it.
 */
#pragma once

#include "metrics/http.h"

extern const unsigned kf_page_html_size, kf_page_js_size, kf_page_css_size;
extern const char kf_page_html[], kf_page_js[], kf_page_css[];

#define KF_PAGE_POLICY                                                                             \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "            \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* Of "/", "/page.js" and "/page.css": handlers of routes. */
void kf_page_on_file(void *ud, const struct kf_http_request *request, struct kf_http_answer *ret);
