/*
 * kerf advise: pods for which a smaller slice would have been enough, by what Prometheus has of
 * them.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advise/advise.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "cli/local.h"
#include "config/duration.h"
#include "labels/facts.h"

#define TIMEOUT_S   60L
#define BODY_LIMIT  (16u << 20)
#define ENOUGH	    .5 /* of the window */
#define MOST_DAYS   400
#define HOURS_MONTH 730

static const char usage[] =
	"usage: kerf advise --prometheus URL [--window TIME] [--margin PERCENT] [--gpu-price USD]\n"
	"                   [-o json|yaml] [--root DIR]\n"
	"\n"
	"Which pods on this node's GPUs would have been well with a smaller slice, or with a part\n"
	"of the memory of a GPU that cannot be cut, and what that would free.  Decided by the "
	"most\n"
	"memory that a pod used, and by the part of its SMs that it kept busy at most for all but\n"
	"1 % of the time.  A pod that is measured for less than half of the window is left alone:\n"
	"not enough data.\n"
	"\n"
	"      --prometheus URL   the server that scrapes the agents, http://HOST:9090\n"
	"      --window TIME      how far to look back [24h]\n"
	"      --margin PERCENT   so much more than was measured has to fit [20]\n"
	"      --gpu-price USD    of a GPU and an hour; without it that of the EC2 instance type, "
	"on\n"
	"                         demand in us-east-1, if this is one\n"
	"  -o, --output FORMAT    json or yaml\n"
	"      --root DIR         where the host's files are, or a simulated machine's [/]\n";

struct advising {
	struct kf_local local;
	const char *url;
	uint64_t window_s;
	struct kf_advise_options opt;
	double price; /* of a GPU and an hour; 0: not known */
	struct kf_usages usages;
};

/* --- the command line ---------------------------------------------------------------------- */

/* Take NAME VALUE or NAME=VALUE out of the arguments; NULL: it is not there. */
static const char *take(int *argc, char **argv, const char *name)
{
	size_t n = strlen(name);
	const char *value;
	int i, words;

	for (i = 1; i < *argc; i++) {
		if (strncmp(argv[i], name, n) != 0 || (argv[i][n] && argv[i][n] != '='))
			continue;
		words = argv[i][n] ? 1 : 2;
		if (i + words > *argc)
			return NULL; /* getopt has to say it */
		value = words == 1 ? argv[i] + n + 1 : argv[i + 1];
		memmove(&argv[i], &argv[i + words],
			(size_t)(*argc - i - words + 1) * sizeof(argv[0]));
		*argc -= words;
		return value;
	}
	return NULL;
}

/* A number of at most `most`, at least 0: 0, or -1. */
static int number(const char *text, double most, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	return end != text && !*end && *ret >= 0 && *ret <= most ? 0 : -1;
}

static int read_numbers(struct advising *a, const char *window, const char *margin,
			const char *price, struct kf_error *err)
{
	double percent = 20;
	uint64_t ms;

	if (kf_duration_parse(window ? window : "24h", &ms) < 0 || ms < 1000 ||
	    ms > 1000ull * 86400 * MOST_DAYS)
		return kf_fail(
			err, KF_E_INPUT, 0,
			"--window %.40s: a time is expected, 24h or 30m, of a second at least",
			window);
	if (margin && number(margin, 1000, &percent) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "--margin %.40s: a percentage is expected",
			       margin);
	if (price && number(price, 1e6, &a->price) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "--gpu-price %.40s: dollars are expected",
			       price);
	a->window_s = ms / 1000;
	a->opt = (struct kf_advise_options){.margin = percent / 100, .covered = ENOUGH};
	return 0;
}

static int read_arguments(struct advising *a, int argc, char **argv)
{
	const char *window = take(&argc, argv, "--window");
	const char *margin = take(&argc, argv, "--margin");
	const char *price = take(&argc, argv, "--gpu-price");
	struct kf_error err = {0};

	a->url = take(&argc, argv, "--prometheus");
	if (!a->url) {
		kf_fail(&err, KF_E_INPUT, 0,
			"advise: --prometheus URL is needed; `kerf help advise` says more");
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	if (read_numbers(a, window, margin, price, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	return kf_local_args(&a->local, argc, argv);
}

/* --- Prometheus ---------------------------------------------------------------------------- */

static size_t on_bytes(char *data, size_t size, size_t n, void *ud)
{
	struct kf_text *body = ud;

	if (body->n + size * n > BODY_LIMIT)
		return 0;
	kf_text_addn(body, data, size * n);
	return body->failed ? 0 : size * n;
}

/* GET `url`, whatever the status of the answer. */
static int get(CURL *curl, const char *url, struct kf_text *body, struct kf_error *err)
{
	CURLcode r;

	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	r = curl_easy_perform(curl);
	if (r != CURLE_OK)
		return kf_fail(err, KF_E_REMOTE, (int)r, "%s", curl_easy_strerror(r));
	return 0;
}

static int ask_one(struct advising *a, CURL *curl, enum kf_series which, struct kf_error *err)
{
	size_t n = strlen(a->url);
	struct kf_text url = {0}, body = {0};
	char query[200];
	char *escaped;
	int r = -1;

	while (n && a->url[n - 1] == '/')
		n--;
	kf_series_query(which, (unsigned long)a->window_s, query, sizeof(query));
	escaped = curl_easy_escape(curl, query, 0);
	kf_text_addf(&url, "%.*s/api/v1/query?query=%s", (int)n, a->url, escaped ? escaped : "");
	if (!escaped || url.failed)
		kf_fail(err, KF_E_NOMEM, 0, "no memory for a query");
	else if (get(curl, url.s, &body, err) == 0)
		r = kf_series_read(which, body.s ? body.s : "", body.n, &a->usages, err);
	curl_free(escaped);
	kf_text_done(&url);
	kf_text_done(&body);
	return r;
}

static int ask(struct advising *a, struct kf_error *err)
{
	CURL *curl = curl_easy_init();
	int i, r = 0;

	if (!curl)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a request");
	kf_cli_progress("asking Prometheus");
	for (i = 0; i < KF_N_SERIES && r == 0; i++)
		r = ask_one(a, curl, (enum kf_series)i, err);
	kf_cli_progress(NULL);
	curl_easy_cleanup(curl);
	return r < 0 ? kf_prefix(err, "Prometheus at %.100s", a->url) : 0;
}

/* --- what it comes to ---------------------------------------------------------------------- */

/* By the instance type, which EC2 has firmware tell as the product's name. */
static void find_price(struct advising *a)
{
	kf_auto_mem char *path = kf_under(a->local.set->root, KF_MACHINE_TYPE_FILE);
	kf_auto_mem char *type = path ? kf_read_file(path, 256, NULL, NULL) : NULL;

	if (!type || a->price > 0)
		return;
	type[strcspn(type, "\n")] = '\0';
	a->price = kf_price_of_gpu(type);
}

static const char *const verdicts[] = {
	[KF_SIZE_SMALLER] = "smaller", [KF_SIZE_SHARE] = "share",
	[KF_SIZE_FITS] = "fits",       [KF_SIZE_NOT_ENOUGH] = "not enough data",
	[KF_SIZE_SHARED] = "shares",   [KF_SIZE_ELSEWHERE] = "elsewhere",
};

static void print_advice(const struct kf_advice *advice, double price)
{
	switch (advice->verdict) {
	case KF_SIZE_SMALLER:
	case KF_SIZE_SHARE:
		if (advice->verdict == KF_SIZE_SMALLER)
			printf("%s would do", advice->to);
		else
			printf("%u Gi of its memory would do", advice->gib);
		printf(" (%.0f %% of memory, %.0f %% of SMs to spare); frees %.2f GPU",
		       floor(advice->memory_spare * 100), floor(advice->sm_spare * 100),
		       advice->frees);
		if (price > 0)
			printf(", $%.2f/h", advice->frees * price);
		break;
	case KF_SIZE_FITS:
		printf("nothing smaller would do");
		break;
	case KF_SIZE_NOT_ENOUGH:
		printf("not enough data: %s", advice->why);
		break;
	case KF_SIZE_SHARED:
		printf("shares its device already");
		break;
	case KF_SIZE_ELSEWHERE:
		break;
	}
	printf("\n");
}

static void print_row(const struct kf_usage *u, const struct kf_advice *advice, double price)
{
	char name[2 * KF_ADVISE_NAME], memory[32] = "-", sm[16] = "-";

	snprintf(name, sizeof(name), "%s/%s", u->name_space, u->pod);
	if (!isnan(u->memory))
		snprintf(memory, sizeof(memory), "%.0f MiB", u->memory / 1048576.0);
	if (!isnan(u->sm))
		snprintf(sm, sizeof(sm), "%.0f %%", u->sm * 100);
	printf("%-32s gpu %u %-12s %12s %6s  ", name, advice->gpu, advice->from, memory, sm);
	print_advice(advice, price);
}

static json_t *number_or_null(double value)
{
	return isnan(value) ? json_null() : json_real(value);
}

static json_t *json_of(const struct kf_usage *u, const struct kf_advice *advice, double price)
{
	int moves = advice->verdict == KF_SIZE_SMALLER || advice->verdict == KF_SIZE_SHARE;
	json_t *row =
		json_pack("{ss ss ss sI ss ss so so so so}", "namespace", u->name_space, "pod",
			  u->pod, "UUID", u->uuid, "gpu", (json_int_t)advice->gpu, "has",
			  advice->from, "verdict", verdicts[advice->verdict], "memory_peak_bytes",
			  number_or_null(u->memory), "memory_device_bytes",
			  number_or_null(u->memory_has), "sm_utilization_99", number_or_null(u->sm),
			  "covered", number_or_null(u->covered));

	if (advice->verdict == KF_SIZE_NOT_ENOUGH)
		json_object_set_new(row, "why", json_string(advice->why));
	if (advice->verdict == KF_SIZE_SMALLER)
		json_object_set_new(row, "to", json_string(advice->to));
	if (advice->verdict == KF_SIZE_SHARE)
		json_object_set_new(row, "to_memory_gib", json_integer(advice->gib));
	if (!moves)
		return row;
	json_object_set_new(row, "memory_spare", json_real(advice->memory_spare));
	json_object_set_new(row, "sm_spare", json_real(advice->sm_spare));
	json_object_set_new(row, "frees_gpus", json_real(advice->frees));
	if (price > 0)
		json_object_set_new(row, "usd_per_hour", json_real(advice->frees * price));
	return row;
}

static void print_sum(const struct advising *a, unsigned n, double frees)
{
	if (n == 0)
		printf("not enough data: Prometheus knows of no pod on this node's GPUs\n");
	else if (frees > 0 && a->price > 0)
		printf("in all: %.2f GPUs of $%.2f/h each, $%.2f/h, $%.0f in a month of %d h\n",
		       frees, a->price, frees * a->price, frees * a->price * HOURS_MONTH,
		       HOURS_MONTH);
	else if (frees > 0)
		printf("in all: %.2f GPUs; what one costs is not known (--gpu-price)\n", frees);
}

static int print_json(const struct advising *a, json_t *rows, double frees)
{
	kf_auto_mem char *text = NULL;
	json_t *all =
		json_pack("{sI sf so sf}", "window_seconds", (json_int_t)a->window_s, "margin",
			  a->opt.margin, "pods", json_incref(rows), "frees_gpus", frees);

	if (all && a->price > 0) {
		json_object_set_new(all, "gpu_usd_per_hour", json_real(a->price));
		json_object_set_new(all, "usd_per_hour", json_real(frees * a->price));
	}
	text = all ? json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(all);
	return text ? kf_local_print(&a->local, text) : KF_EXIT_FAILED;
}

static int judge(const struct advising *a)
{
	int json = a->local.output && strcmp(a->local.output, "text") != 0, status = KF_EXIT_OK;
	json_t *rows = json_array();
	double frees = 0;
	unsigned n = 0;
	size_t i;

	for (i = 0; i < a->usages.n; i++) {
		struct kf_advice advice;

		kf_advise(a->local.node, &a->usages.usage[i], &a->opt, &advice);
		if (advice.verdict == KF_SIZE_ELSEWHERE)
			continue;
		n++;
		frees += advice.frees;
		if (json)
			json_array_append_new(rows,
					      json_of(&a->usages.usage[i], &advice, a->price));
		else
			print_row(&a->usages.usage[i], &advice, a->price);
	}
	if (json)
		status = print_json(a, rows, frees);
	else
		print_sum(a, n, frees);
	json_decref(rows);
	return status;
}

static int run(int argc, char **argv)
{
	struct advising a = {0};
	struct kf_error err = {0};
	int status = read_arguments(&a, argc, argv);

	if (status == KF_EXIT_OK)
		status = kf_local_read(&a.local);
	if (status == KF_EXIT_OK && ask(&a, &err) < 0)
		status = kf_cli_fail(&err, KF_EXIT_FAILED);
	if (status == KF_EXIT_OK) {
		find_price(&a);
		status = judge(&a);
	}
	kf_usages_done(&a.usages);
	kf_local_done(&a.local);
	return status;
}

const struct kf_command kf_cmd_advise = {
	.name = "advise",
	.summary = "pods for which a smaller slice would do, and what that frees",
	.usage = usage,
	.run = run,
};
